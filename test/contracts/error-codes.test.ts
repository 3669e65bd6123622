import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInKinds, defineCredentialKind, text } from '../../src/api.ts';
import { type ErrorCode, errorCodes } from '../../src/errors.ts';
import type { Limits } from '../../src/limits.ts';
import type { Answer, Json } from '../harness.ts';
import { type BoundWorld, emailOfContact, missingId, seedBoundWorld } from '../world.ts';
import { codesOf, useTestGateway } from './answers.ts';

const test = useTestGateway();
let world: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
});

const MESSAGE = '{ ... on MutationError { code message requestId } }';

/** Runs something on a gateway with other limits. */
async function within(limits: Partial<Limits>, run: () => Promise<Answer>): Promise<Answer> {
  const usual = test.limits;
  await test.close();
  test.limits = { ...usual, ...limits };
  await test.open();
  try {
    return await run();
  } finally {
    await test.close();
    test.limits = usual;
    await test.open();
  }
}

const mutation = 'mutation { createIntegration(input: { name: "" }) { __typename } }';
/** Sends a request to a gateway on which every viewer can run one document only. */
async function trusting(body: object): Promise<Answer> {
  const query = 'query A { integrations { totalCount } }';
  const json = JSON.stringify({ [createHash('sha256').update(query).digest('hex')]: query });
  await test.close();
  test.trustedDocuments = { manifests: [{ name: 'm', json }], requiredFor: ['token'] };
  await test.open();
  try {
    return await test.send(body, { authorization: `Bearer ${await test.token(world.caller)}` });
  } finally {
    await test.close();
    test.trustedDocuments = undefined;
    await test.open();
  }
}

/** Sends an operation with an idempotency key. */
async function keyed(key: string, query: string): Promise<Answer> {
  return test.send({ query }, { authorization: `Bearer ${await test.token(world.caller)}`, 'idempotency-key': key });
}

const failingKind = defineCredentialKind({
  kind: 'failing',
  typeName: 'FailingCredential',
  description: 'It fails.',
  fields: { word: text({ description: 'A word.', maxLength: 8, example: 'x', invalidExample: '' }) },
  check: () => {
    throw new Error('the test');
  },
});

const asks = (query: string, variables?: object) => test.answer(world.caller, query, variables);

/** How each code comes about. A code that is added needs a line here, and one that cannot come about is not a code. */
const produced: Readonly<Record<ErrorCode, () => Promise<Answer>>> = {
  VALIDATION_FAILED: () => asks(`mutation { createIntegration(input: { name: "" }) ${MESSAGE} }`),
  NOT_FOUND: () => asks(`mutation ($id: ID!) { deleteCredential(input: { credential: $id }) ${MESSAGE} }`, { id: missingId('credential') }),
  CONFLICT: () =>
    asks(`mutation ($id: ID!) { deleteCredential(input: { credential: $id, expectedVersion: 7 }) ${MESSAGE} }`, {
      id: world.ids.credential,
    }),
  SERVICE_FAILED: () =>
    asks(`mutation ($id: ID!) { discoverConnector(input: { connector: { id: $id }, issuer: "https://nowhere.invalid" }) ${MESSAGE} }`, {
      id: world.ids.connector,
    }),
  INVALID_INTEGRATION: () => asks(`mutation { createEndUser(input: { integration: { name: "none" }, externalId: "x" }) ${MESSAGE} }`),
  IN_USE: () => asks(`mutation ($id: ID!) { deleteCredential(input: { credential: $id }) ${MESSAGE} }`, { id: world.ids.credential }),
  EMAIL_NOT_VERIFIED: async () => {
    const endUser = { id: world.ids.endUser };
    await setVerified(false);
    const answer = await asks(
      `mutation ($endUser: EndUserRef!) { createSSOLink(input: { endUser: $endUser, contactType: REGULAR }) ${MESSAGE} }`,
      {
        endUser,
      },
    );
    await setVerified(true);
    return answer;
  },
  SSO_NOT_CONFIGURED: () =>
    asks(
      `mutation ($endUser: EndUserRef!, $connection: ConnectionRef!) { createSSOLink(input: { endUser: $endUser, connection: $connection, contactType: REGULAR }) ${MESSAGE} }`,
      {
        endUser: { id: world.ids.endUser },
        connection: { id: world.ids.connection },
      },
    ),

  CREDENTIAL_NOT_USABLE: () =>
    asks(
      `mutation ($connection: ConnectionRef!) { authorizeRequest(input: { connection: $connection, method: "GET", url: "https://elsewhere.example/" }) ${MESSAGE} }`,
      { connection: { id: world.ids.connection } },
    ),

  PERSISTED_QUERY_NOT_FOUND: () => trusting({ extensions: { persistedQuery: { version: 1, sha256Hash: 'ab' } } }),
  DOCUMENT_NOT_FOUND: () => trusting({ documentId: 'sha256:ab' }),
  DOCUMENT_REQUIRED: () => trusting({ query: '{ __typename }' }),
  IDEMPOTENCY_KEY_REUSED: async () => {
    await keyed('reused', 'mutation { createIntegration(input: { name: "" }) { __typename } }');
    return keyed('reused', 'mutation { other: createIntegration(input: { name: "" }) { __typename } }');
  },
  IDEMPOTENCY_KEY_IN_USE: async () => {
    await keyed('running', mutation);
    await test.database.collection('idempotencyKeys').updateMany({}, { $set: { state: 'running' } });
    return keyed('running', mutation);
  },
  ALREADY_EXECUTED: async () => {
    const reveals = `mutation { revealSecret(input: { credential: "${world.ids.credential}", field: "password", reason: "the test looks" }) { __typename } }`;
    await keyed('revealed', reveals);
    return keyed('revealed', reveals);
  },

  UNAUTHENTICATED: () => test.send({ query: '{ __typename }' }),
  FORBIDDEN: () => test.answer({ ...world.caller, scopes: [] }, '{ integrations { totalCount } }'),
  BAD_USER_INPUT: () => asks('query ($first: Int) { credentials(first: $first) { totalCount } }', { first: 'x' }),
  BAD_REQUEST: () => asks('query A { __typename } query B { __typename }'),
  PERSISTED_QUERY_NOT_SUPPORTED: async () =>
    test.send({ extensions: { persistedQuery: { version: 1 } } }, { authorization: `Bearer ${await test.token(world.caller)}` }),
  GRAPHQL_PARSE_FAILED: () => asks('{'),
  GRAPHQL_VALIDATION_FAILED: () => asks('{ nothing }'),
  LIMIT_EXCEEDED: () => within({ maxTokens: 10 }, () => asks('{ a: __typename b: __typename c: __typename d: __typename }')),
  COST_LIMIT_EXCEEDED: () => within({ maxCost: 5 }, () => asks('{ credentials(first: 100) { nodes { __typename } } }')),
  RATE_LIMITED: () => within({ rateLimit: 10 }, () => asks('{ credentials(first: 100) { nodes { __typename } } }')),
  UNAVAILABLE: () => within({ databaseSeconds: 0 }, () => asks('{ credentials { totalCount } }')),
  TIMEOUT: () => within({ operationSeconds: 0 }, () => asks('{ credentials { totalCount } }')),
  CREDENTIAL_KIND_FAILED: async () => {
    await test.close();
    test.credentialKinds = [...builtInKinds, failingKind];
    await test.open();
    try {
      const [integration] = world.refs.IntegrationRef!;
      const input = { integration, name: 'failing', data: { failing: { word: 'x' } } };
      return await asks(`mutation ($input: CreateCredentialInput!) { createCredential(input: $input) ${MESSAGE} }`, { input });
    } finally {
      await test.close();
      test.credentialKinds = undefined;
      await test.open();
    }
  },
  UNREADABLE_SECRET: async () => {
    const { id } = await newSecret('tampered');
    const place = { credentialId: localId(id) };
    await tamper(place);
    return asks(`mutation ($id: ID!) { revealSecret(input: { credential: $id, field: "value", reason: "the test looks" }) ${MESSAGE} }`, {
      id,
    });
  },
  CURSOR_EXPIRED: () => {
    // A database that was put back has fewer events than its readers have read.
    const cursor = JSON.stringify(['event', 'position', ['text', '9'.repeat(15).padStart(16, '0')], 'f'.repeat(24)]);
    return asks(`{ events(after: "${Buffer.from(cursor).toString('base64url')}") { nodes { id } } }`);
  },
  ALTERED_RECORD: async () => {
    const { id } = await newSecret('altered');
    await test.database.collection<{ _id: string }>('credentials').updateOne({ _id: localId(id) }, { $set: { kind: 'jwt' } });
    return asks(`mutation ($id: ID!) { revealSecret(input: { credential: $id, field: "value", reason: "to test it" }) ${MESSAGE} }`, {
      id,
    });
  },
  INTERNAL_SERVER_ERROR: async () => {
    // A key that every version of the gateway creates.
    const caller = { organization: test.newOrganization() };
    for (const name of ['a', 'b']) await test.create(caller, 'Integration', { name });
    await test.database.collection('dataKeys').deleteOne({ organizationId: caller.organization, purpose: 'seal' });
    const input = { integration: { name: 'a' }, name: 'x', data: { string: { value: 'x' } } };
    return test.answer(caller, `mutation ($input: CreateCredentialInput!) { createCredential(input: $input) ${MESSAGE} }`, { input });
  },
};

/** The statuses of a response with one of these codes, for each media type. All others are those of operations that ran: 200. */
const statuses: Partial<Record<ErrorCode, readonly [json: number, graphql: number]>> = {
  UNAUTHENTICATED: [401, 401],
  FORBIDDEN: [200, 403],
  BAD_USER_INPUT: [200, 400],
  BAD_REQUEST: [200, 400],
  PERSISTED_QUERY_NOT_SUPPORTED: [400, 400],
  GRAPHQL_PARSE_FAILED: [200, 400],
  GRAPHQL_VALIDATION_FAILED: [200, 400],
  LIMIT_EXCEEDED: [200, 400],
  COST_LIMIT_EXCEEDED: [200, 400],
  PERSISTED_QUERY_NOT_FOUND: [200, 400],
  DOCUMENT_NOT_FOUND: [200, 400],
  DOCUMENT_REQUIRED: [200, 400],
  IDEMPOTENCY_KEY_REUSED: [422, 422],
  IDEMPOTENCY_KEY_IN_USE: [409, 409],
  ALREADY_EXECUTED: [422, 422],
  RATE_LIMITED: [429, 429],
  UNAVAILABLE: [503, 503],
  TIMEOUT: [504, 504],
};
let accept = '';
const send = test.send.bind(test);
test.send = (body, headers = {}) => send(body, { accept, ...headers });

const cases = (Object.keys(errorCodes) as ErrorCode[]).flatMap((code) => [
  [code, 'application/json', 0] as const,
  [code, 'application/graphql-response+json', 1] as const,
]);

describe('each code comes about, and is told with a message and the status of the media type', () => {
  it.each(cases)('%s in %s', async (code, mediaType, index) => {
    accept = mediaType;
    const answer = await produced[code]();
    expect(answer.headers.get('content-type')).toBe(`${mediaType}; charset=utf-8`);
    expect(answer.status, answer.text).toBe(statuses[code]?.[index] ?? 200);
    // GraphQL over HTTP: data that is not null is always 200.
    if (answer.data) expect(answer.status).toBe(200);
    expect(codesOf(answer), answer.text).toEqual([code]);
    const told: Json[] = [...(answer.errors ?? []), ...Object.values(answer.data ?? {})].filter((each) => each?.message);
    expect(told.map(({ message }) => message)).toEqual([expect.stringMatching(/^.{10,}\.?$/)]);
    // Whoever has the answer finds the request in the log.
    const id = answer.headers.get('x-request-id')!;
    expect(JSON.stringify(JSON.parse(answer.text)).match(/"requestId":"[^"]*"/g), answer.text).toEqual([`"requestId":"${id}"`]);
    expect(test.logs.filter((line) => JSON.parse(line).msg === 'request' && JSON.parse(line).requestId === id)).toHaveLength(1);
    if (code === 'INTERNAL_SERVER_ERROR') expect(test.logs.some((line) => line.includes('"defect"') && line.includes(id))).toBe(true);
    // What a defect says is in the log, and never in the answer.
    expect(answer.text).not.toMatch(/node_modules|\.ts:\d|at Object|Error:/);
  });
});

it('a description of each code is there, a sentence', () => {
  for (const text of Object.values(errorCodes)) expect(text).toMatch(/^[A-Z].*\.$/);
});

async function setVerified(verified: boolean): Promise<void> {
  const query = `mutation ($endUser: EndUserRef!, $email: String!, $verified: Boolean!) {
    setEmailVerified(input: { endUser: $endUser, contactType: REGULAR, email: $email, verified: $verified }) { __typename ... on MutationError { message } } }`;
  await test.query(world.caller, query, { endUser: { id: world.ids.endUser }, email: emailOfContact, verified });
}

const localId = (id: string) => Buffer.from(id, 'base64url').toString().split(':')[1]!;

function newSecret(name: string): Promise<Json> {
  return test.create(world.caller, 'Credential', {
    integration: world.refs.IntegrationRef![0],
    name,
    data: { string: { value: 'secret' } },
  });
}

async function tamper(place: { credentialId: string }): Promise<void> {
  const secrets = test.database.collection('secrets');
  const { sealed } = (await secrets.findOne(place)) as Json;
  await secrets.updateOne(place, { $set: { sealed: `${sealed.slice(0, -4)}AAAA` } });
}
