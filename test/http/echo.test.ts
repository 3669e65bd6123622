import { beforeAll, describe, expect, it } from 'vitest';
import { grantableScopes } from '../../src/access/scopes.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';

/** What must not come back. It is one word of letters, so that it can stand wherever a name or a value can. */
const CANARY = 'CanaryHunter2Xyzzy';
const create = 'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }';
const integration = { name: 'crm' };
const secretData = { basicAuth: { username: 'ada', password: CANARY } };

interface Refusal {
  readonly code: string;
  readonly status: number;
  /** What the message says, so that the caller can find the fault without being shown it. */
  readonly says: RegExp;
  /** Where, among the variables. */
  readonly path?: readonly (string | number)[];
}
interface BadOperation {
  readonly query: string;
  readonly variables?: Record<string, unknown>;
  readonly operationName?: string;
  readonly refusal: Refusal;
  readonly accept?: string;
}

const badInput = (says: RegExp, path?: readonly (string | number)[]): Refusal => ({ code: 'BAD_USER_INPUT', status: 400, says, path });
const invalid = (says: RegExp): Refusal => ({ code: 'GRAPHQL_VALIDATION_FAILED', status: 400, says });
const credentialWith = (changed: object) => ({ input: { integration, name: 'mine', data: secretData, ...changed } });

/** Operations that are wrong, each with a secret somewhere near the fault or in it. */
const operations: Readonly<Record<string, BadOperation>> = {
  'a variable that lacks a field': {
    query: create,
    variables: { input: { integration, data: secretData } },
    refusal: badInput(/\$input\.name is required, with the type String!/, ['$input', 'name']),
  },
  'a variable with a field too many': {
    query: create,
    variables: credentialWith({ [CANARY]: CANARY }),
    refusal: badInput(/\$input has a field that the type CreateCredentialInput does not have/, ['$input']),
  },
  'a field too many, deep inside': {
    query: create,
    variables: credentialWith({ data: { basicAuth: { username: 'ada', password: CANARY, [CANARY]: { deep: CANARY } } } }),
    refusal: badInput(/\$input\.data\.basicAuth has a field/, ['$input', 'data', 'basicAuth']),
  },
  'an object where a text belongs': {
    query: create,
    variables: credentialWith({ data: { basicAuth: { username: 'ada', password: { [CANARY]: CANARY } } } }),
    refusal: badInput(/password must have the type String/, ['$input', 'data', 'basicAuth', 'password']),
  },
  'a list where a text belongs': {
    query: create,
    variables: credentialWith({ data: { basicAuth: { username: 'ada', password: [CANARY] } } }),
    refusal: badInput(/password must have the type String/, ['$input', 'data', 'basicAuth', 'password']),
  },
  'a text where an object belongs': {
    query: create,
    variables: { input: CANARY },
    refusal: badInput(/\$input must be an object of type CreateCredentialInput/, ['$input']),
  },
  'null where there must be something': {
    query: create,
    variables: credentialWith({ name: null }),
    refusal: badInput(/\$input\.name must not be null/, ['$input', 'name']),
  },
  'two members of a oneOf': {
    query: create,
    variables: credentialWith({ data: { basicAuth: secretData.basicAuth, string: { value: CANARY } } }),
    refusal: badInput(/\$input\.data must have exactly one field/, ['$input', 'data']),
  },
  'no member of a oneOf': {
    query: create,
    variables: { ...credentialWith({ data: {} }), other: CANARY },
    refusal: badInput(/\$input\.data must have exactly one field/, ['$input', 'data']),
  },
  'a null member of a oneOf': {
    query: create,
    variables: credentialWith({ data: { basicAuth: null } }),
    refusal: badInput(/\$input\.data must have exactly one field/, ['$input', 'data']),
  },
  'a scalar of graphql-scalars': {
    query: create,
    variables: credentialWith({ expiresAt: CANARY }),
    refusal: badInput(/\$input\.expiresAt must have the type DateTime/, ['$input', 'expiresAt']),
  },
  'the empty object’s scalar': {
    query: create,
    variables: credentialWith({ data: { none: { password: CANARY } } }),
    refusal: badInput(/\$input\.data\.none must have the type EmptyObject/, ['$input', 'data', 'none']),
  },
  'an enum': {
    query: 'query ($kinds: [CredentialKind!]) { credentials(kinds: $kinds) { totalCount } }',
    variables: { kinds: ['BASIC_AUTH', CANARY] },
    refusal: badInput(/\$kinds\.1 must have the type CredentialKind\. Its values: .*\bBASIC_AUTH, /, ['$kinds', 1]),
  },
  'a number': {
    query: 'query ($first: Int) { credentials(first: $first) { totalCount } }',
    variables: { first: CANARY },
    refusal: badInput(/\$first must have the type Int/, ['$first']),
  },
  'a boolean': {
    query: 'query ($enabled: Boolean) { credentials(enabled: $enabled) { totalCount } }',
    variables: { enabled: CANARY },
    refusal: badInput(/\$enabled must have the type Boolean/, ['$enabled']),
  },
  'an id': {
    query: 'query ($id: ID!) { credential(id: $id) { __typename } }',
    variables: { id: { [CANARY]: CANARY } },
    refusal: badInput(/\$id must have the type ID/, ['$id']),
  },
  'lists inside of lists': {
    query: 'mutation ($input: CreateConnectionInput!) { createConnection(input: $input) { __typename } }',
    variables: {
      input: {
        integration,
        name: 'x',
        actionCredentials: [
          { credential: { create: { name: 'a', data: secretData } } },
          { credential: { create: { name: 'b', data: secretData } }, authScheme: { schemeId: 'x', schemeType: CANARY } },
        ],
      },
    },
    refusal: badInput(/\$input\.actionCredentials\.1\.authScheme\.schemeType/, [
      '$input',
      'actionCredentials',
      1,
      'authScheme',
      'schemeType',
    ]),
  },
  'a variable that is not there': {
    query: 'query ($id: ID!, $name: String) { credential(id: $id) { __typename } credentials(name: $name) { totalCount } }',
    variables: { name: CANARY },
    refusal: badInput(/\$id is required, with the type ID!/, ['$id']),
  },
  'several at once, each told': {
    query: create,
    variables: { input: { data: { basicAuth: { password: CANARY } }, [CANARY]: 1 } },
    refusal: badInput(/\$input\.integration is required/, ['$input', 'integration']),
  },

  'an inline number where a text belongs': {
    query: `{ credentials(name: 4711471147114711) { totalCount } }`,
    refusal: invalid(/A value here does not have the type String/),
  },
  'an inline text where a number belongs': {
    query: `{ credentials(first: "${CANARY}") { totalCount } }`,
    refusal: invalid(/A value here does not have the type Int/),
  },
  'an inline word where a text belongs: quotes forgotten': {
    query: `mutation { createCredential(input: { integration: { name: "crm" }, name: "x", data: { basicAuth: { username: "ada", password: ${CANARY} } } }) { __typename } }`,
    refusal: invalid(/A value here does not have the type String/),
  },
  'an inline object that lacks a field': {
    query: `mutation { createCredential(input: { integration: { name: "crm" }, data: { basicAuth: { username: "ada", password: "${CANARY}" } } }) { __typename } }`,
    refusal: invalid(/^The input type CreateCredentialInput requires the fields name: String!, which are missing here\.$/),
  },
  'an inline object with a field too many': {
    query: `mutation { createCredential(input: { integration: { name: "crm" }, name: "x", ${CANARY}: "${CANARY}", data: { string: { value: "a" } } }) { __typename } }`,
    refusal: invalid(/^The input type CreateCredentialInput has no such field\. Its fields: .*name/),
  },
  'an inline oneOf with two members': {
    query: `{ integration(by: { id: "${CANARY}", name: "${CANARY}" }) { id } }`,
    refusal: invalid(
      /^A value of the input type IntegrationRef must have exactly one field, which must not be null\. Its fields: id, name\.$/,
    ),
  },
  'an inline null where there must be something': {
    query: `mutation { createCredential(input: { integration: { name: "${CANARY}" }, name: null, data: { string: { value: "a" } } }) { __typename } }`,
    refusal: invalid(/^A value here must not be null: its type is String!\.$/),
  },
  'an inline enum': {
    query: `{ credentials(kinds: [${CANARY}]) { totalCount } }`,
    refusal: invalid(/A value here does not have the type \[?CredentialKind!?\]?!?\. Its values: .*\bBASIC_AUTH, /),
  },
  'an inline DateTime': {
    query: `mutation { createCredential(input: { integration: { name: "crm" }, name: "x", expiresAt: "${CANARY}", data: { string: { value: "a" } } }) { __typename } }`,
    refusal: invalid(/A value here does not have the type DateTime/),
  },
  'an inline empty object that is not': {
    query: `mutation { createCredential(input: { integration: { name: "crm" }, name: "x", data: { none: { password: "${CANARY}" } } }) { __typename } }`,
    refusal: invalid(/A value here does not have the type EmptyObject/),
  },
  'an inline list of lists': {
    query: `{ nodes(ids: [["${CANARY}"], [["${CANARY}"]]]) { id } }`,
    refusal: invalid(/A value here does not have the type/),
  },
  'a default value of the wrong type': {
    query: `query ($first: Int = "${CANARY}") { credentials(first: $first) { totalCount } }`,
    refusal: invalid(/A value here does not have the type Int/),
  },
  'a default value with a field too many': {
    query: `query ($by: IntegrationRef! = { ${CANARY}: "${CANARY}" }) { integration(by: $by) { id } }`,
    refusal: invalid(/^The input type IntegrationRef has no such field\. Its fields: id, name\.$/),
  },
  'a field whose arguments conflict': {
    query: `{ a: credentials(name: "${CANARY}") { totalCount } a: credentials(name: "other") { totalCount } }`,
    refusal: invalid(/conflict/),
  },
  'an argument of an object that does not exist': {
    query: `{ integrations(password: "${CANARY}") { totalCount } }`,
    refusal: invalid(/Query.integrations has no such argument/),
  },

  'a subscription': {
    query: `subscription { ${CANARY}(name: "${CANARY}") }`,
    refusal: { code: 'BAD_REQUEST', status: 406, says: /^A subscription is answered with a stream of server-sent events\./ },
    accept: 'application/json',
  },

  'a text that ends nowhere': {
    query: `{ credentials(name: "${CANARY}) { totalCount } }`,
    refusal: { code: 'GRAPHQL_PARSE_FAILED', status: 400, says: /line 1, column \d+/ },
  },
  'a word where none belongs': {
    query: `{ credentials(name: "x" "${CANARY}") { totalCount } }\n\n}`,
    refusal: { code: 'GRAPHQL_PARSE_FAILED', status: 400, says: /line 1, column 25/ },
  },
  'what is no GraphQL at all': {
    query: `${CANARY}`,
    refusal: { code: 'GRAPHQL_PARSE_FAILED', status: 400, says: /line 1, column 1/ },
  },
  'a bad escape': {
    query: `{ credentials(name: "${CANARY}\\q${CANARY}") { totalCount } }`,
    refusal: { code: 'GRAPHQL_PARSE_FAILED', status: 400, says: /line 1/ },
  },
  'an operation name that there is not': {
    query: 'query A { integrations { totalCount } }',
    operationName: CANARY,
    refusal: { code: 'BAD_REQUEST', status: 400, says: /must name one of the operations in the document/ },
  },
  'an operation name forgotten': {
    query: `query A { credentials(name: "${CANARY}") { totalCount } } query B { integrations { totalCount } }`,
    refusal: { code: 'BAD_REQUEST', status: 400, says: /must name one of the operations in the document/ },
  },

  // Past the types, and answered by resolvers: what is wrong is said by path and rule.
  'a malformed id': {
    query: 'query ($id: ID!) { credential(id: $id) { __typename } }',
    variables: { id: CANARY },
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /id: must be the id of a Credential/ },
  },
  'a malformed id, inline': {
    query: `{ integration(by: { id: "${CANARY}" }) { id } }`,
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /by\.id: must be the id of an Integration/ },
  },
  'a malformed cursor': {
    query: 'query ($after: String) { credentials(after: $after) { totalCount } }',
    variables: { after: CANARY },
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /after: must be a cursor of the same list/ },
  },
  // An index of the embedded database ends where this begins; a longer text ended its process.
  'a name that nothing can have': {
    query: 'query ($name: String) { integration(by: { name: $name }) { id } }',
    variables: { name: CANARY.repeat(200) },
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /by\.name: must be at most 255 characters/ },
  },
  'a filter that nothing can pass': {
    query: 'query ($subject: String) { auditLog(subject: $subject) { nodes { id } } }',
    variables: { subject: CANARY.repeat(200) },
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /subject: must be at most 255 characters/ },
  },
  'a malformed glob': {
    query: 'query ($name: String) { credentials(name: $name) { totalCount } }',
    variables: { name: `${CANARY}***` },
    refusal: { code: 'VALIDATION_FAILED', status: 200, says: /name: must have at most 2 stars/ },
  },
};

const test = useTestGateway();
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
  await test.create(caller, 'Integration', integration);
});

/** Nothing of what was sent is in the answer, nor in the log. */
function expectSilence(...texts: string[]): void {
  const all = [...texts, ...test.logs].join('\n').toLowerCase();
  for (const told of [
    CANARY,
    CANARY.slice(0, 8),
    CANARY.slice(-8),
    '4711471147114711',
    Buffer.from(CANARY).toString('base64').slice(0, 20),
  ]) {
    expect(all).not.toContain(told.toLowerCase());
  }
}
function expectRefusal(errors: Json[], { code, says, path }: Refusal): void {
  expect(errors.map(({ extensions }) => extensions.code)).toContain(code);
  expect(errors.map(({ message }) => message).join('\n')).toMatch(says);
  if (path) expect(errors.map(({ extensions }) => extensions.path)).toContainEqual(path);
  // No stack, no original error, no stock text beside the message that was written for callers.
  for (const { extensions, ...error } of errors) {
    expect(Object.keys(error).filter((name) => !['message', 'locations', 'path'].includes(name))).toEqual([]);
    expect(Object.keys(extensions).filter((name) => !['code', 'path', 'issues', 'scope', 'requestId'].includes(name))).toEqual([]);
  }
}

describe('an operation that is wrong is refused without repeating it', () => {
  it.each(Object.entries(operations))('over HTTP: %s', async (_, { refusal, accept, ...operation }) => {
    const { status, text, headers, errors } = await test.send(operation, { authorization, ...(accept && { accept }) });
    expectSilence(text, JSON.stringify([...headers]));
    expect([status, text]).toEqual([refusal.status, expect.stringContaining('errors')]);
    expectRefusal(errors!, refusal);
  });

  it.each(Object.entries(operations))('by GET: %s', async (_, { refusal, query, variables, operationName }) => {
    if (query.startsWith('mutation')) return; // 405: see door.test.ts
    const parameters = new URLSearchParams({
      query,
      ...(variables && { variables: JSON.stringify(variables) }),
      ...(operationName && { operationName }),
    });
    const response = await test.gateway.fetch(new Request(`http://gateway.test/graphql?${parameters}`, { headers: { authorization } }));
    const text = await response.text();
    expectSilence(text, JSON.stringify([...response.headers]));
    expectRefusal(JSON.parse(text).errors, refusal);
  });

  it.each(Object.entries(operations))('from code: %s', async (_, { refusal, accept: _accept, ...operation }) => {
    const viewer = { organizationId: caller.organization, kind: 'token' as const, subject: 'tester', scopes: new Set(grantableScopes) };
    const result = await test.gateway.execute({ ...operation, viewer });
    expectSilence(JSON.stringify(result));
    expectRefusal([...result.errors!], refusal);
  });

  it('and does nothing', async () => {
    expect(await test.query(caller, '{ credentials { totalCount } connections { totalCount } }')).toMatchObject({
      credentials: { totalCount: 0 },
      connections: { totalCount: 0 },
    });
  });
});

describe('a request that is wrong is refused without repeating it', () => {
  it.each<[string, unknown, number]>([
    ['JSON that ends nowhere', `{"query":"{ __typename }","variables":{"password":"${CANARY}`, 400],
    ['no JSON', CANARY, 400],
    ['a text', JSON.stringify(CANARY), 400],
    ['a list', [CANARY], 400],
    ['null', 'null', 400],
    ['nothing', '', 400],
    ['no query', { variables: { password: CANARY } }, 400],
    ['a query that is none', { query: { [CANARY]: CANARY } }, 400],
    ['a query that is null', { query: null, variables: { password: CANARY } }, 400],
    ['variables that are a text', { query: '{ __typename }', variables: CANARY }, 400],
    ['variables that are a list', { query: '{ __typename }', variables: [CANARY] }, 400],
    ['variables that are a number', { query: '{ __typename }', variables: 7 }, 400],
    ['an operation name that is an object', { query: '{ __typename }', operationName: { [CANARY]: CANARY } }, 400],
    ['extensions that are a text', { query: '{ __typename }', extensions: CANARY }, 400],
    ['a member that no request has', { query: '{ __typename }', [CANARY]: CANARY }, 400],
    ['a name that is none', { query: '{ __typename }', __proto__x: CANARY }, 400],
  ])('by POST: %s', async (_, body, status) => {
    const answer = await test.send(body, { authorization });
    expectSilence(answer.text, JSON.stringify([...answer.headers]));
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining('"BAD_REQUEST"')]);
    expectRefusal(answer.errors!, {
      code: 'BAD_REQUEST',
      status,
      says: /JSON object with a member "query"|one of the operations in the document/,
    });
  });

  it.each<[string, Record<string, string>]>([
    ['variables that are no JSON', { query: '{ __typename }', variables: `{"password":"${CANARY}` }],
    ['variables that are a word', { query: '{ __typename }', variables: CANARY }],
    ['variables that are a text', { query: '{ __typename }', variables: JSON.stringify(CANARY) }],
    ['extensions that are no JSON', { query: '{ __typename }', extensions: CANARY }],
    ['no query', { password: CANARY }],
  ])('by GET: %s', async (_, parameters) => {
    const url = `http://gateway.test/graphql?${new URLSearchParams(parameters)}`;
    const response = await test.gateway.fetch(new Request(url, { headers: { authorization } }));
    const text = await response.text();
    expectSilence(text, JSON.stringify([...response.headers]));
    expect([response.status, text]).toEqual([400, expect.stringContaining('"BAD_REQUEST"')]);
  });

  it('wherever else it may stand: in paths, parameters and headers', async () => {
    for (const [path, headers] of [
      [`/${CANARY}`, {}],
      [`/graphql?query={__typename}&token=${CANARY}`, {}],
      [
        '/graphql?query={__typename}',
        { cookie: `session=${CANARY}`, 'x-api-key': CANARY, 'x-request-id': CANARY, referer: `http://x/${CANARY}` },
      ],
      ['/graphql?query={__typename}', { authorization: `Bearer ${CANARY}` }],
      ['/graphql?query={__typename}', { origin: `https://${CANARY}.example` }],
      ['/graphql?query={__typename}', { 'user-agent': CANARY, 'x-forwarded-for': CANARY }],
    ] as [string, Record<string, string>][]) {
      const response = await test.gateway.fetch(new Request(`http://gateway.test${path}`, { headers: { authorization, ...headers } }));
      expectSilence(await response.text(), JSON.stringify([...response.headers]));
    }
  });
});

// A search that finds nothing proves nothing unless it can find: what is shown on purpose is found.
it('the search finds what is there', async () => {
  const { text } = await test.answer(
    caller,
    'mutation { createIntegration(input: { name: "CanaryHunter2Xyzzy" }) { ... on CreateIntegrationSuccess { integration { name } } } }',
  );
  expect(() => expectSilence(text)).toThrow();
});
