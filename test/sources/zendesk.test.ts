import { describe, expect, it } from 'vitest';
import { type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';

const test = useTestGateway();

/** The values of the document's example, as it prints them. */
const example = {
  name: 'my_basic_auth_connection',
  username: '[email protected]',
  password: 'MY_PASSWORD',
  allowedDomain: 'api.example.com',
};
const integration = { name: 'my_integration' };

/** The document's body of `POST …/connections/basic_auth`, in our words. */
function createInput({ name, username, password, allowedDomain } = example) {
  const create = { name, data: { basicAuth: { username, password } } };
  return { integration, name, allowedDomain, actionCredentials: [{ credential: { create } }] };
}

/** All that the document's response holds. */
const shown = `
  name allowedDomain createdAt updatedAt
  actionCredentials { credentialId credential { ... on BasicAuthCredential { id username password { isSet redacted } updatedAt } } }
`;
const byName = (name = example.name) => ({ inIntegration: { integration, name } });

async function show(caller: Caller, by: object = byName()): Promise<Json> {
  return (await test.query(caller, `query ($by: ConnectionRef!) { connection(by: $by) { id ${shown} } }`, { by })).connection;
}

async function setUp(): Promise<{ caller: Caller; connection: Json; credentialId: string }> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  const connection = await test.create(caller, 'Connection', createInput(), `id ${shown}`);
  return { caller, connection, credentialId: connection.actionCredentials[0].credentialId };
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/;

describe('create', () => {
  it('Z1, Z2, Z14, Z15, Z16: creates a basic-auth connection for an integration named in the request, and shows it whole', async () => {
    const { connection } = await setUp();
    expect(connection).toMatchObject({
      name: example.name,
      allowedDomain: example.allowedDomain,
      actionCredentials: [{ credential: { username: example.username, password: { isSet: true, redacted: '*****' } } }],
    });
  });

  it('Z4, Z5, Z6, Z7: refuses a create without name, user name or password, and takes no null for them', async () => {
    const { caller } = await setUp();
    const whole = createInput();
    const credential = (basicAuth: object) => ({
      ...whole,
      name: 'x',
      actionCredentials: [{ credential: { create: { name: 'x', data: { basicAuth } } } }],
    });
    const refused = {
      name: { ...whole, name: null },
      username: credential({ password: 'p' }),
      password: credential({ username: 'u' }),
      allowedDomain: { ...whole, name: 'y', allowedDomain: 'https://api.example.com/path' },
    };
    for (const [field, input] of Object.entries(refused)) {
      const { text, data } = await send(test, caller, 'createConnection', input);
      const code = data?.result.code ?? JSON.parse(text).errors[0].extensions.code;
      expect({ field, named: text.includes(field), refused: ['BAD_USER_INPUT', 'VALIDATION_FAILED'].includes(code) }).toEqual({
        field,
        named: true,
        refused: true,
      });
    }
    expect((await test.query(caller, '{ connections { totalCount } }')).connections.totalCount).toBe(1);
  });

  it('Z17: names an unknown integration as invalid, in the document’s words', async () => {
    const { caller } = await setUp();
    const result = await run(test, caller, 'createConnection', { ...createInput(), integration: { name: 'no_such' } });
    expect(result).toMatchObject({
      __typename: 'InvalidIntegrationError',
      code: 'INVALID_INTEGRATION',
      message: expect.stringContaining('Specified integration is not valid'),
      path: ['input', 'integration'],
    });
  });

  it('Z20: refuses a second connection of the name on create, and leaves the first as it was', async () => {
    const { caller, connection } = await setUp();
    const result = await run(test, caller, 'createConnection', createInput({ ...example, username: 'other' }));
    expect(result).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT', path: ['input', 'name'] });
    expect(await show(caller)).toEqual(connection);
  });

  it('Z22: a create never answers that something was not found for an integration, which is a code of its own', async () => {
    const { caller } = await setUp();
    const unknown = { ...createInput(), integration: { id: Buffer.from(`Integration:${'0'.repeat(24)}`).toString('base64url') } };
    expect((await run(test, caller, 'createConnection', unknown)).code).toBe('INVALID_INTEGRATION');
  });
});

describe('show', () => {
  it('Z3, Z23, Z24: shows it by integration and name: user name and domain in clear, the password as *****', async () => {
    const { caller, connection } = await setUp();
    expect(await show(caller)).toEqual(connection);
    expect(connection.actionCredentials[0].credential).toMatchObject({
      username: '[email protected]',
      password: { isSet: true, redacted: '*****' },
    });
  });

  it('Z7: the password is redacted in every response, of every operation', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const password = 'c0rrect-horse-battery';
    const created = await send(test, caller, 'createConnection', createInput({ ...example, password }), `id ${shown}`);
    const { credentialId } = created.data.result.connection.actionCredentials[0];
    const basicAuth = '... on BasicAuthCredential { username password { isSet redacted fingerprint sealedAt } }';
    const answers = [
      created,
      await test.answer(caller, `query ($by: ConnectionRef!) { connection(by: $by) { ${shown} } }`, { by: byName() }),
      await test.answer(caller, `{ credentials { nodes { ${basicAuth} } edges { cursor } } }`),
      await test.answer(caller, `query ($id: ID!) { node(id: $id) { ${basicAuth} } }`, { id: credentialId }),
      await send(
        test,
        caller,
        'updateCredential',
        { credential: credentialId, data: { basicAuth: { username: 'new', password } } },
        basicAuth,
      ),
      await send(test, caller, 'deleteCredential', { credential: credentialId }),
    ];
    for (const { text } of answers) expect(text).not.toContain(password);
    expect(test.logs.join('')).not.toContain(password);
  });

  it.each(['x', 'MY_PASSWORD', 'y'.repeat(4_096)])('Z10: the redaction is five asterisks whatever the length (%#)', async (password) => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const connection = await test.create(caller, 'Connection', createInput({ ...example, password }), shown);
    expect(connection.actionCredentials[0].credential.password.redacted).toBe('*****');
  });

  it('Z8, Z9: both times are RFC 3339 in UTC with a fraction, and cannot be sent', async () => {
    test.time = () => new Date('1985-04-12T23:20:50.520Z');
    try {
      const { caller, connection, credentialId } = await setUp();
      expect(connection).toMatchObject({ createdAt: '1985-04-12T23:20:50.520Z', updatedAt: '1985-04-12T23:20:50.520Z' });
      test.time = () => new Date('1985-04-12T23:21:00.000Z');
      await run(test, caller, 'updateConnection', { connection: byName(), allowedDomain: 'other.example.com' });
      const after = await show(caller);
      expect(after).toMatchObject({ createdAt: '1985-04-12T23:20:50.520Z', updatedAt: '1985-04-12T23:21:00.000Z' });
      expect([after.createdAt, after.updatedAt]).toEqual([expect.stringMatching(rfc3339), expect.stringMatching(rfc3339)]);
      for (const sent of [{ createdAt: '2000-01-01T00:00:00Z' }, { updatedAt: '2000-01-01T00:00:00Z' }]) {
        expect((await send(test, caller, 'createConnection', { ...createInput(), ...sent })).status).toBe(400);
        expect((await send(test, caller, 'updateCredential', { credential: credentialId, ...sent })).status).toBe(400);
      }
    } finally {
      test.time = () => new Date();
    }
  });

  it('Z25: what does not exist is null, whether the connection or the integration is missing', async () => {
    const { caller } = await setUp();
    expect(await show(caller, byName('no_such'))).toBeNull();
    expect(await show(caller, { inIntegration: { integration: { name: 'no_such' }, name: example.name } })).toBeNull();
  });

  it('Z26: a read that is refused names the read scope, not the one for writing', async () => {
    const { caller } = await setUp();
    const { errors } = await test.answer(
      { ...caller, scopes: ['connections.post', 'connections.patch', 'connections.delete'] },
      'query ($by: ConnectionRef!) { connection(by: $by) { name } }',
      { by: byName() },
    );
    expect(errors).toEqual([
      expect.objectContaining({
        message: 'Cannot access this resource. Missing scope connections.get.',
        extensions: { code: 'FORBIDDEN', scope: 'connections.get' },
      }),
    ]);
  });
});

describe('update', () => {
  const update = { basicAuth: { username: '[email protected]', password: 'MY_PASSWORD' } };

  it('Z27: changes user name and password only; name and domain stay', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    await test.create(caller, 'Connection', createInput({ ...example, username: 'before', password: 'before' }));
    const before = await show(caller);
    const id = before.actionCredentials[0].credentialId;
    await run(test, caller, 'updateCredential', { credential: id, data: update });
    const after = await show(caller);
    expect(after.actionCredentials[0].credential.username).toBe('[email protected]');
    const { actionCredentials: _, ...connection } = after;
    expect(before).toMatchObject(connection);
    const revealed = await run(test, caller, 'revealSecret', { credential: id, field: 'password', reason: 'the test looks' }, 'plaintext');
    expect(revealed.secret.plaintext).toBe('MY_PASSWORD');
  });

  it('Z27: one of the two alone is a partial update, too', async () => {
    const { caller, credentialId } = await setUp();
    await run(test, caller, 'updateCredential', { credential: credentialId, data: { basicAuth: { username: 'grace' } } });
    const { secret } = await run(
      test,
      caller,
      'revealSecret',
      { credential: credentialId, field: 'password', reason: 'the test looks' },
      'plaintext',
    );
    expect(secret.plaintext).toBe('MY_PASSWORD');
    expect((await show(caller)).actionCredentials[0].credential.username).toBe('grace');
  });

  it('Z28: the answer to an update holds no secret, even when it asks for all it can', async () => {
    const { caller, credentialId } = await setUp();
    const fields = 'id ... on BasicAuthCredential { username password { isSet redacted fingerprint sealedAt } }';
    const { text, data } = await send(test, caller, 'updateCredential', { credential: credentialId, data: update }, fields);
    expect(data.result.credential.password.redacted).toBe('*****');
    expect(text).not.toContain('MY_PASSWORD');
  });

  it('Z29: an unknown connection is not found, and an unknown integration is invalid, as on create', async () => {
    const { caller } = await setUp();
    const update = (connection: object) => run(test, caller, 'updateConnection', { connection, allowedDomain: 'a.example.com' });
    expect(await update(byName('no_such'))).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'connection'] });
    expect(await update({ inIntegration: { integration: { name: 'no_such' }, name: example.name } })).toMatchObject({
      code: 'INVALID_INTEGRATION',
      path: ['input', 'connection', 'inIntegration', 'integration'],
    });
  });
});

describe('delete', () => {
  it('Z30: deletes it by name, and it is gone', async () => {
    const { caller, connection, credentialId } = await setUp();
    expect(await run(test, caller, 'deleteConnection', { connection: byName() })).toMatchObject({ deletedId: connection.id });
    expect(await run(test, caller, 'deleteCredential', { credential: credentialId })).toMatchObject({ deletedId: credentialId });
    expect(await show(caller)).toBeNull();
    expect((await test.query(caller, '{ credentials { totalCount } }')).credentials.totalCount).toBe(0);
  });

  it('Z31: deleting what is not there is not found, whether the connection or the integration is missing', async () => {
    const { caller } = await setUp();
    for (const connection of [byName('no_such'), { inIntegration: { integration: { name: 'no_such' }, name: example.name } }]) {
      expect(await run(test, caller, 'deleteConnection', { connection })).toMatchObject({
        code: 'NOT_FOUND',
        path: ['input', 'connection'],
      });
    }
  });
});

/** The document's four operations, with the scope that each needs here. */
const operations = [
  ['create', 'connections.post', 'createConnection', () => createInput({ ...example, name: 'another' })],
  ['show', 'connections.get', undefined, () => ({ by: byName() })],
  ['update', 'connections.patch', 'updateConnection', () => ({ connection: byName(), allowedDomain: 'b.example.com' })],
  ['delete', 'connections.delete', 'deleteConnection', () => ({ connection: byName() })],
] as const;

describe.each(operations)('who may %s', (_verb, scope, mutation, args) => {
  const ask = (caller: Caller) =>
    mutation
      ? send(test, caller, mutation, args(), 'id')
      : test.answer(caller, 'query ($by: ConnectionRef!) { connection(by: $by) { id } }', args());

  it('Z12: only JSON is read, whatever the operation', async () => {
    const { caller } = await setUp();
    const headers = { authorization: `Bearer ${await test.token(caller)}`, 'content-type': 'application/x-www-form-urlencoded' };
    const { status, errors } = await test.send('query=%7B__typename%7D', headers);
    expect({ status, code: errors?.[0].extensions.code }).toEqual({ status: 415, code: 'BAD_REQUEST' });
  });

  it('Z13: a bearer token authorizes it', async () => {
    const { caller } = await setUp();
    const { status, errors } = await ask({ ...caller, scopes: [scope, 'connections.get', 'credentials.post'] });
    expect({ status, errors }).toEqual({ status: 200, errors: undefined });
  });

  it('Z18, Z33: a bad token is refused with 401 before anything is read', async () => {
    const { caller } = await setUp();
    const bad = [
      undefined,
      'Bearer ',
      'Bearer too-short',
      'Basic YWRhOnNlY3JldA==',
      `Bearer ${await test.token(caller, new Uint8Array(32))}`,
    ];
    for (const authorization of bad) {
      const commands = await test.countCommands(async () => {
        const { status, errors, data } = await test.send({ query: '{ __typename }' }, authorization === undefined ? {} : { authorization });
        expect({ status, code: errors?.[0].extensions.code, data }).toEqual({ status: 401, code: 'UNAUTHENTICATED', data: undefined });
      });
      expect(commands).toEqual([]);
    }
  });

  it('Z19, Z33: without its scope it is forbidden, the scope is named, and nothing is done', async () => {
    const { caller, connection } = await setUp();
    const others = ['connections.get', 'connections.post', 'connections.patch', 'connections.delete', 'credentials.*'].filter(
      (other) => other !== scope,
    );
    const { errors, data } = await ask({ ...caller, scopes: others });
    expect(errors?.map(({ message, extensions }: Json) => ({ message, extensions }))).toEqual([
      { message: `Cannot access this resource. Missing scope ${scope}.`, extensions: { code: 'FORBIDDEN', scope } },
    ]);
    expect(data?.connection ?? null).toBeNull();
    expect(await show(caller)).toEqual(connection);
  });
});

it('Z32: errors are a list, and broken rules are listed all at once', async () => {
  const { caller } = await setUp();
  const { errors } = await test.send({ query: '{ __typename }' });
  expect(errors).toHaveLength(1);
  const input = { ...createInput(), name: '', allowedDomain: 'not a host' };
  const { issues } = await run(test, caller, 'createConnection', input);
  expect(issues.map(({ path }: Json) => path.join('.'))).toEqual(['input.name', 'input.allowedDomain']);
});

it('Z33: each of the document’s codes has one of ours, and none is used for two', async () => {
  const { caller } = await setUp();
  const results = [
    await run(test, caller, 'createConnection', { ...createInput(), integration: { name: 'no_such' } }),
    await run(test, caller, 'deleteConnection', { connection: byName('no_such') }),
    await run(test, caller, 'createConnection', createInput()),
  ];
  expect(results.map(({ code }) => code)).toEqual(['INVALID_INTEGRATION', 'NOT_FOUND', 'CONFLICT']);
});

it('Z21: who asks too often is refused with 429, is told when to come back, and nothing is done', async () => {
  const { caller } = await setUp();
  const limited = new TestGateway();
  const { uri, databaseName, masterKey } = test;
  Object.assign(limited, { uri, databaseName, masterKey, limits: { rateLimit: 300, anonymousRateLimit: 0 } });
  await limited.open();
  try {
    const update = () => send(limited, caller, 'updateConnection', { connection: byName(), allowedDomain: 'b.example.com' }, 'version');
    let version = 1;
    let answer = await update();
    for (; answer.status !== 429; answer = await update()) version = answer.data.result.connection.version;
    const { message, extensions } = answer.errors?.[0] ?? {};
    expect({ message, extensions, data: answer.data }).toEqual({
      message: expect.stringContaining('The rate limit is exceeded'),
      extensions: { code: 'RATE_LIMITED', retryAfter: expect.any(Number) },
      data: undefined,
    });
    expect(answer.headers.get('retry-after')).toBe(String(extensions.retryAfter));
    const query = 'query ($by: ConnectionRef!) { connection(by: $by) { version } }';
    expect((await test.query(caller, query, { by: byName() })).connection.version).toBe(version);
  } finally {
    await limited.close();
  }
});
