import { readdirSync, readFileSync } from 'node:fs';
import { getOperationAST, getVariableValues, parse, validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { exampleCertificate, exampleKey, exampleRsaKey } from '../../../src/credential-kinds/examples-pem.ts';
import { createSchema, operationCost, requiredScopes } from '../../../src/schema/index.ts';
import { PAGE_DEFAULT, PAGE_MAX } from '../../../src/schema/kit/cost.ts';
import { kindRegistry } from '../../kinds.ts';

const schema = createSchema(kindRegistry);

function cost(query: string, variables: Record<string, unknown> = {}, operationName?: string): number {
  const document = parse(query);
  expect(validate(schema, document)).toEqual([]);
  const operation = getOperationAST(document, operationName)!;
  const { coerced = {} } = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
  return operationCost(schema, document, operation, coerced);
}

describe('an operation costs', () => {
  it.each([
    ['one for itself', '{ __typename }', 1],
    ['one for each object', '{ credentialKinds { name } }', 1 + 5],
    ['the page and its records', '{ integrations(first: 10) { nodes { name } } }', 1 + 1 + 10],
    ['twenty records when it does not say', '{ integrations { nodes { name } } }', 1 + 1 + 20],
    ['what pages multiply', '{ endUsers(first: 10) { nodes { connections(first: 5) { nodes { name } } } } }', 1 + 1 + 10 * (1 + 1 + 5)],
    ['edges as it does nodes', '{ integrations(first: 10) { edges { cursor node { name } } } }', 1 + 1 + 10 * (1 + 1)],
    ['more when it looks up uses', '{ credentials(first: 1, unused: false) { nodes { __typename } } }', 1 + 301 + 1],
    [
      'the same below others',
      '{ integrations(first: 2) { nodes { credentials(first: 1, unused: true) { totalCount } } } }',
      1 + 1 + 2 * (1 + 301 + 20),
    ],
    ['more when it counts', '{ integrations(first: 1) { totalCount } }', 1 + 1 + 20],
    ['what a backward page holds', '{ integrations(last: 30, before: "x") { nodes { name } } }', 1 + 1 + 30],
    ['a secret more than a name', '{ credential(id: "x") { ... on StringCredential { name value { redacted } } } }', 1 + 1 + 5],
    ['the schema once, whatever is asked of it', '{ __schema { types { fields { name } } } }', 1 + 100],
    [
      'a mutation, and what it answers',
      'mutation { deleteCredential(input: { credential: "x" }) { ... on DeleteCredentialSuccess { deletedId } } }',
      1 + 25,
    ],
    [
      'most for a reveal',
      'mutation { revealSecret(input: { credential: "x", field: "f", reason: "the test looks" }) { __typename } }',
      1 + 500,
    ],
  ])('%s', (_what, query, expected) => {
    expect(cost(query)).toBe(expected);
  });

  // If the two had limits of their own, a longer page would cost too little.
  it('as much as the longest page that a list accepts', () => {
    const first = schema
      .getQueryType()!
      .getFields()
      .integrations!.args.find(({ name }) => name === 'first')!;
    expect(first.description).toBe(`The page size: 1 to ${PAGE_MAX}, ${PAGE_DEFAULT} by default.`);
    const page = (length: number) => cost(`{ integrations(first: ${length}) { nodes { name } } }`);
    expect([page(PAGE_MAX), page(PAGE_MAX + 1)]).toEqual([2 + PAGE_MAX, 2 + PAGE_MAX]);
    // No file of the schema has a length of its own.
    const kit = new URL('../../../src/schema/kit/', import.meta.url);
    const declaring = readdirSync(kit).filter((file) =>
      /PAGE_\w+ = |FIRST_\w+ = |from 1 to \d/.test(readFileSync(new URL(file, kit), 'utf8')),
    );
    expect(declaring).toEqual(['cost.ts']);
  });

  // Traps that cost plugins fall into.
  it('the maximum over a union’s members, not the sum', () => {
    const secret = (kind: string, field: string) => `... on ${kind} { ${field} { redacted } }`;
    const one = cost(`{ credential(id: "x") { ${secret('StringCredential', 'value')} } }`);
    const two = cost(`{ credential(id: "x") { ${secret('StringCredential', 'value')} ${secret('BasicAuthCredential', 'password')} } }`);
    expect(two).toBe(one);
  });

  it('as much whatever a caller does to make a page look short', () => {
    const page = (args: string) => cost(`{ integrations(${args}) { nodes { name } } }`);
    expect(page('first: -100')).toBe(22);
    expect(page('first: 0')).toBe(22);
    expect(page('first: null')).toBe(22);
    expect(page('first: 1, last: 100')).toBe(102);
    expect(page('first: 2000000000')).toBe(102);
    expect(cost('query ($n: Int) { integrations(first: $n) { nodes { name } } }')).toBe(22);
    expect(cost('query ($n: Int = 100) { integrations(first: $n) { nodes { name } } }')).toBe(102);
    expect(cost('query ($n: Int = 1) { integrations(first: $n) { nodes { name } } }', { n: 100 })).toBe(102);
  });

  it('nothing for what is left out, and all for what is put in by a variable', () => {
    const query = 'query ($with: Boolean! = true) { __typename ... @include(if: $with) { integrations { nodes { name } } } }';
    expect(cost(query)).toBe(22);
    expect(cost(query, { with: false })).toBe(1);
    expect(cost('{ integrations @skip(if: true) { nodes { name } } }')).toBe(1);
  });

  it('by the operation that runs, not the first', () => {
    const query = 'query A { __typename } query B { integrations { nodes { name } } }';
    expect([cost(query, {}, 'A'), cost(query, {}, 'B')]).toEqual([1, 22]);
  });

  // One of RSA keeps a processor busy as long as hundreds of reads.
  it('much for each key pair that the server is to make, wherever it is asked', () => {
    const made = { name: 'n', data: { snowflake: { username: 'ada', host: 'a.example', generatePrivateKey: true } } };
    const given = { name: 'n', data: { string: { value: 'generate' } } };
    const create = 'mutation ($input: CreateConnectionInput!) { createConnection(input: $input) { __typename } }';
    const connection = (...all: object[]) => ({
      input: { integration: { name: 'crm' }, name: 'c', actionCredentials: all.map((each) => ({ credential: { create: each } })) },
    });
    expect([cost(create, connection(given)), cost(create, connection(made, given, made))]).toEqual([1 + 25, 1 + 25 + 800]);
    expect(
      cost('mutation { updateCredential(input: { credential: "x", data: { snowflake: { generatePrivateKey: true } } }) { __typename } }'),
    ).toBe(1 + 25 + 400);
    expect(
      cost('mutation { updateCredential(input: { credential: "x", data: { snowflake: { generatePrivateKey: false } } }) { __typename } }'),
    ).toBe(1 + 25);
  });

  it('some for each key and certificate that must be read', () => {
    const create = 'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }';
    const of = (data: object) => cost(create, { input: { integration: { name: 'crm' }, name: 'c', data } });
    const [certificate, privateKey] = [exampleCertificate, exampleKey];
    const length = (text: string) => Math.ceil(text.length / 100);
    expect(of({ certificateKeyPair: { certificate, privateKey } })).toBe(1 + 25 + 20 + length(certificate) + length(privateKey));
    expect(of({ certificateKeyPair: { certificate: certificate.repeat(10), privateKey } })).toBe(
      1 + 25 + 110 + length(certificate.repeat(10)) + length(privateKey),
    );
    expect(of({ string: { value: '-----BEGIN '.repeat(1000) } })).toBe(1 + 25 + 100 + 110);
    for (const encoding of [exampleRsaKey, exampleRsaKey.replace(/-----[^-]+-----|\s/g, '')]) {
      const secret = encoding === exampleRsaKey ? Buffer.from(encoding).toString('base64') : encoding;
      const jwtBearer = { algorithm: 'RS256', secret, payload: '{}', expiresIn: '1m', authorizationHeaderPrefix: 'Bearer' };
      expect(of({ jwtBearer })).toBe(1 + 25 + 10 + length(secret));
    }
  });

  it('by the number of ids', () => {
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    expect(cost(query, { ids: [] })).toBe(1 + 1);
    expect(cost(query, { ids: Array(200).fill('x') })).toBe(1 + 200);
    expect(cost('{ nodes(ids: ["a", "b", "c"]) { id } }')).toBe(1 + 3);
  });

  it('for each alias, and for each place where a fragment stands', () => {
    expect(cost('{ a: integrations { nodes { name } } b: integrations { nodes { name } } }')).toBe(43);
    expect(cost('{ a: integrations { ...F } b: integrations { ...F } } fragment F on IntegrationPage { nodes { name } }')).toBe(43);
  });
});

// Each level has 28 members, each fragment is spread twice: without memory, seconds become years.
it('is counted in no time for nested unions and fragments', () => {
  const nested = (levels: number): string =>
    levels === 0
      ? 'name'
      : `actionCredentials { credential { ... on CredentialBase { usages(first: 1) { nodes { ... on Connection { ${nested(levels - 1)} } } } } } }`;
  const fragments = Array.from(
    { length: 40 },
    (_, index) => `fragment F${index} on Query { ...F${index + 1} ... on Query { ...F${index + 1} } }`,
  );
  const started = performance.now();
  expect(cost(`{ connections { nodes { ${nested(12)} } } }`)).toBeGreaterThan(1e9);
  expect(cost(`{ ...F0 } ${fragments.join(' ')} fragment F40 on Query { integrations { nodes { name } } }`)).toBeGreaterThan(1e12);
  const mutation = parse(`mutation { a { ...F0 } ... on Mutation { updateConnection(input: { connection: { id: "x" } }) {
    ... on UpdateConnectionSuccess { connection { ${nested(12)} } } } } }`);
  expect(requiredScopes(schema, mutation, getOperationAST(mutation)!, {})).toContain('credentials.get');
  expect(performance.now() - started).toBeLessThan(3_000);
});
