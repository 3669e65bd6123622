import { setImmediate } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaultLimits } from '../../../src/limits.ts';
import { type Answer, TestGateway, useTestGateway } from '../../harness.ts';

const test = useTestGateway();
const caller = { organization: '' };
beforeAll(() => {
  caller.organization = test.newOrganization();
});

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
const repeat = (count: number, make: (index: number) => string) => times(count, make).join(' ');

/** A request, as its body. */
interface Sent {
  readonly query: string;
  readonly variables?: object;
  readonly operationName?: string;
}

/** Each limit by its default: what makes a request of a size, and the largest size that passes. */
const limits: readonly [limit: string, largest: number, request: (size: number) => Sent, code?: string][] = [
  // Many operations of a hundred tokens, of which one runs; and fields, until there are enough.
  [
    'MAX_TOKENS',
    4_000,
    (size) => {
      const operations = times(39, (index) => `query Q${index} { integrations { nodes { ${repeat(90, () => 'name')} } } }`);
      const last = `query Last { integrations { nodes { ${repeat(size - 3_910, () => 'name')} } } }`;
      return { query: [...operations, last].join(' '), operationName: 'Last' };
    },
  ],
  ['LENGTH', 128 * 1024, (size) => ({ query: `{ __typename }${'\n'.repeat(size - 14)}` })],
  [
    'NESTING',
    64,
    (size) => ({ query: `{ nodes(ids: ${'['.repeat(size - 2)}${']'.repeat(size - 2)}) { id } }` }),
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'MAX_DEPTH',
    16,
    (size) => ({ query: `{ __schema { types { fields { type { ${'ofType { '.repeat(size - 5)} name ${'}'.repeat(size - 5)} } } } } }` }),
  ],
  ['MAX_ALIASES', 50, (size) => ({ query: `{ integrations { nodes { ${repeat(size, (index) => `a${index}: name`)} } } }` })],
  ['MAX_DIRECTIVES', 50, (size) => ({ query: `{ integrations { nodes { ${repeat(size, () => 'name @include(if: true)')} } } }` })],
  ['MAX_ROOT_FIELDS', 20, (size) => ({ query: `{ ${repeat(size, (index) => `a${index}: __typename`)} }` })],
  ['MAX_LIST_ITEMS', 1_000, (size) => ({ query: `{ nodes(ids: [${repeat(size, () => '"canary"')}]) { id } }` })],
  [
    'MAX_LIST_ITEMS',
    1_000,
    (size) => ({ query: 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', variables: { ids: times(size, () => 'canary') } }),
  ],
  ['DUPLICATES', 100, (size) => ({ query: `{ integrations { nodes { ${repeat(size, () => 'name')} } } }` })],
  // Each operation selects 93, a fragment of 90 fields written out.
  [
    'SELECTIONS',
    107,
    (size) => ({
      query: `${repeat(size, (index) => `query Q${index} { integrations { nodes { ...F } } }`)} fragment F on Integration { ${repeat(90, () => 'name')} }`,
      operationName: 'Q0',
    }),
  ],
];

describe('a request just below a limit passes, and one just above is refused', () => {
  const send = async (sent: Sent): Promise<Answer> => test.send(sent, { authorization: `Bearer ${await test.token(caller)}` });

  it.each(limits)('%s of %i', async (limit, largest, request, code) => {
    const below = await send(request(largest));
    expect(below.errors?.[0].extensions.code, below.text.slice(0, 500)).toBe(code);
    const above = await send(request(largest + 1));
    expect([above.status, above.errors?.length, above.errors?.[0].extensions]).toEqual([
      400,
      1,
      { code: 'LIMIT_EXCEEDED', limit, maximum: limit === 'SELECTIONS' ? 10_000 : largest },
    ]);
    expect(above.errors![0].message).toContain(`(${limit})`);
    expect(above.data).toBeUndefined();
    expect(above.text).not.toContain('canary');
  });

  it('MAX_BODY_BYTES of 2 MiB', async () => {
    const body = JSON.stringify({ query: '{ __typename }' });
    const padded = (bytes: number) => body + ' '.repeat(bytes - body.length);
    const headers = { authorization: `Bearer ${await test.token(caller)}` };
    expect((await test.send(padded(defaultLimits.maxBodyBytes), headers)).status).toBe(200);
    const above = await test.send(padded(defaultLimits.maxBodyBytes + 1), headers);
    expect([above.status, above.errors?.[0].extensions.code]).toEqual([413, 'BAD_REQUEST']);
  });

  it('MAX_COST of 10,000', async () => {
    // 1 + (1 + 100 * (1 + 1 + 97)) + (1 + first)
    const query = (first: number) =>
      `{ endUsers(first: 100) { nodes { connections(first: 97) { nodes { id } } } } integrations(first: ${first}) { nodes { id } } }`;
    const below = await test.answer(caller, query(97));
    expect(JSON.parse(below.text).extensions.cost.requested).toBe(10_000);
    expect(below.errors).toBeUndefined();
    const above = await test.answer(caller, query(98));
    expect([above.status, above.errors?.[0].extensions]).toEqual([400, { code: 'COST_LIMIT_EXCEEDED', cost: 10_001, maxCost: 10_000 }]);
    // A variable's default counts as what it is.
    const byDefault = await test.answer(caller, query(97).replace('{', 'query ($n: Int = 98) {').replace('first: 97', 'first: $n'));
    expect(byDefault.errors?.[0].extensions.code).toBe('COST_LIMIT_EXCEEDED');
  });
});

// The largest things that people send by right.
it('lets the stock introspection query and a query of all kinds pass', async () => {
  const { getIntrospectionQuery } = await import('graphql');
  const all = {
    descriptions: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  };
  const introspected = await test.query(caller, getIntrospectionQuery(all));
  const types: {
    name: string;
    kind: string;
    fields: { name: string; args: object[]; type: object }[];
    possibleTypes: { name: string }[];
  }[] = introspected.__schema.types;
  const typeNamed = (name: string) => types.find((type) => type.name === name)!;
  const base = new Set(typeNamed('CredentialBase').fields.map(({ name }) => name));
  const namedType = (type: { name?: string; ofType?: object }): string => type.name ?? namedType(type.ofType as object);
  let aliases = 0;
  /** Every field of a type, those of what it is made of included. Fields of one name and different types need aliases. */
  const select = (name: string, taken: Map<string, string>): string =>
    typeNamed(name)
      .fields.filter((field) => !base.has(field.name))
      .map((field) => {
        const type = JSON.stringify(field.type);
        const clashes = taken.has(field.name) && taken.get(field.name) !== type;
        taken.set(field.name, taken.get(field.name) ?? type);
        const alias = clashes ? `a${aliases++}: ` : '';
        const inner = typeNamed(namedType(field.type));
        return `${alias}${field.name}${inner.kind === 'OBJECT' ? ` { ${select(inner.name, new Map())} }` : ''}`;
      })
      .join(' ');
  const taken = new Map<string, string>();
  const kinds = typeNamed('Credential').possibleTypes.map(({ name }) => `... on ${name} { ${select(name, taken) || '__typename'} }`);
  expect(kinds.length).toBeGreaterThanOrEqual(28);
  const query = `{ credentials(first: 20) { totalCount pageInfo { hasNextPage endCursor } edges { cursor node { __typename
    ... on CredentialBase { id version name description kind enabled expiresAt errors createdAt updatedAt
      integration { id name } endUser { id displayName contacts { type } } usages(first: 5) { nodes { id name ... on Connection { connector { name } } } } }
    ${kinds.join('\n')} } } } }`;
  const { errors, text } = await test.answer(caller, query);
  expect(errors).toBeUndefined();
  const { requested } = JSON.parse(text).extensions.cost;
  expect(requested).toBeGreaterThan(500);
  expect(requested).toBeLessThan(defaultLimits.maxCost / 2);
});

it('names the variable whose list is too long, however deep the list lies in it', async () => {
  const variables = { input: { name: 'a', integration: { name: 'crm' }, contacts: times(1_001, () => 'canary') } };
  const { errors, text } = await test.answer(
    caller,
    'mutation ($input: CreateEndUserInput!) { createEndUser(input: $input) { __typename } }',
    variables,
  );
  expect(errors).toEqual([
    {
      message: 'The variable $input holds a list with too many items: at most 1000 (MAX_LIST_ITEMS).',
      extensions: { code: 'LIMIT_EXCEEDED', limit: 'MAX_LIST_ITEMS', maximum: 1_000 },
    },
  ]);
  expect(text).not.toContain('canary');
});

describe('of a gateway with other settings', () => {
  async function withLimits(limits: TestGateway['limits'], run: (other: TestGateway) => Promise<void>): Promise<void> {
    const other = new TestGateway();
    Object.assign(other, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
    other.limits = { ...other.limits, ...limits };
    await other.open();
    await run(other).finally(() => other.close());
  }

  it('introspection can be off', async () => {
    await withLimits({ introspection: false }, async (other) => {
      for (const query of [
        '{ __schema { types { name } } }',
        '{ __type(name: "Query") { name } }',
        '{ ...F } fragment F on Query { __schema { types { name } } }',
      ]) {
        const { errors, data } = await other.answer(caller, query);
        expect([errors?.[0].extensions.code, data]).toEqual(['GRAPHQL_VALIDATION_FAILED', undefined]);
      }
      expect(await other.query(caller, '{ __typename }')).toEqual({ __typename: 'Query' });
    });
  });

  const names = async (): Promise<string[]> =>
    (await test.query(caller, '{ integrations(first: 100) { nodes { name } } }')).integrations.nodes.map(
      ({ name }: { name: string }) => name,
    );

  it('an operation that takes too long is left, and its later mutations are not carried out', async () => {
    await withLimits({ operationSeconds: 0.001 }, async (other) => {
      const { status, errors, data } = await other.answer(
        caller,
        'mutation { a: createIntegration(input: { name: "late-a" }) { __typename } b: createIntegration(input: { name: "late-b" }) { __typename } }',
      );
      expect([status, errors?.[0].extensions, data]).toEqual([504, { code: 'TIMEOUT' }, undefined]);
      const result = await other.gateway.execute({
        query: '{ integrations { nodes { name } } }',
        viewer: { organizationId: caller.organization, kind: 'token' as const, subject: 'code', scopes: new Set(['integrations.get']) },
      });
      expect(result.errors?.[0]?.extensions.code).toBe('TIMEOUT');
      // What has begun is carried out. What would begin then has the time that two others take.
      while (!(await names()).includes('late-a')) await setImmediate();
      for (const name of ['later-a', 'later-b']) await test.create(caller, 'Integration', { name });
    });
    expect(await names()).toEqual(expect.arrayContaining(['late-a', 'later-a', 'later-b']));
    expect(await names()).not.toContain('late-b');
  });

  // A document is kept, and what was found out about it. With other variables, other things hold.
  it('a document costs and requires what its variables say, each time', async () => {
    const costOf = async (query: string, variables: object) =>
      JSON.parse((await test.answer(caller, query, variables)).text).extensions.cost.requested;
    const page = 'query ($first: Int = 3) { integrations(first: $first) { nodes { name } } }';
    const costs = [];
    for (const variables of [{}, { first: 10 }, {}, { first: 100 }]) costs.push(await costOf(page, variables));
    expect(costs).toEqual([5, 12, 5, 102]);
    const some = { ...caller, scopes: ['credentials.get'] };
    const either = 'query ($more: Boolean!) { credentials { totalCount } integrations @include(if: $more) { totalCount } }';
    const codes = [];
    for (const more of [false, true, false]) codes.push((await test.answer(some, either, { more })).errors?.[0].extensions.code);
    expect(codes).toEqual([undefined, 'FORBIDDEN', undefined]);
    // Of one that declares none, the same holds for everybody, but not that everybody may run it.
    const answers = [];
    for (const each of [caller, some, caller]) answers.push((await test.answer(each, '{ integrations { totalCount } }')).errors?.length);
    expect(answers).toEqual([undefined, 1, undefined]);
  });

  it('limits hold for code too, but for the rate', async () => {
    await withLimits({ maxCost: 20, rateLimit: 1 }, async ({ gateway }) => {
      const viewer = {
        organizationId: caller.organization,
        kind: 'token' as const,
        subject: 'code',
        scopes: new Set(['integrations.get']),
      };
      const execute = (query: string) => gateway.execute({ query, viewer });
      for (let index = 0; index < 5; index++)
        expect((await execute('{ integrations(first: 10) { nodes { name } } }')).errors).toBeUndefined();
      expect((await execute('{ integrations(first: 50) { nodes { name } } }')).errors?.[0]?.extensions).toEqual({
        code: 'COST_LIMIT_EXCEEDED',
        cost: 52,
        maxCost: 20,
        requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
    });
  });
});
