import { describe, expect, it } from 'vitest';
import { kindNamed } from '../credential-kinds/examples.ts';
import { contents } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();

// The document's hub is our integration, its user our end user, its connector our connector.
const hub = { name: 'my hub' };
const connector = { inIntegration: { integration: hub, name: 'crm' } };
const externalUser = { inIntegration: { integration: hub, externalId: 'user-1' } };

interface SetUp {
  readonly caller: Caller;
  readonly hubId: string;
  readonly connectorId: string;
  readonly endUserId: string;
}
async function setUp(): Promise<SetUp> {
  const caller = { organization: test.newOrganization() };
  const { id: hubId } = await test.create(caller, 'Integration', hub);
  const { id: connectorId } = await test.create(caller, 'Connector', { integration: hub, name: 'crm', baseUrl: 'https://api.example.com' });
  const { id: endUserId } = await test.create(caller, 'EndUser', { integration: hub, externalId: 'user-1', displayName: 'Ada' });
  return { caller, hubId, connectorId, endUserId };
}

const scheme = `schemeId schemeType description validationMessages { severity text details }`;
const bound = `credentialId authScheme { ${scheme} } credential { ... on CredentialBase { id name kind errors expiresAt } }`;
const shown = `id name createdAt updatedAt variables { name value }
  connector { id name } endUser { id externalId }
  actionCredentials { ${bound} } triggerCredentials { ${bound} }`;

const none = (name: string) => ({ create: { name, data: { none: {} } } });
const connectionInput = (input: object = {}) => ({ integration: hub, connector, endUser: externalUser, name: 'my connection', ...input });

describe('the operation', () => {
  it('V1, V2: creates a connection for an end user to a connector, its credentials supplied by the caller', async () => {
    const { caller, connectorId, endUserId } = await setUp();
    const create = { name: 'token', data: { string: { value: 'supplied-by-another-api' } } };
    const connection = await test.create(caller, 'Connection', connectionInput({ actionCredentials: [{ credential: { create } }] }), shown);
    expect(connection).toMatchObject({
      name: 'my connection',
      connector: { id: connectorId, name: 'crm' },
      endUser: { id: endUserId, externalId: 'user-1' },
      actionCredentials: [{ credential: { name: 'token', kind: 'STRING' } }],
      triggerCredentials: [],
    });
    const { endUser } = await test.query(
      caller,
      'query ($by: EndUserRef!) { endUser(by: $by) { connections { nodes { name } } credentials { nodes { ... on CredentialBase { name } } } } }',
      { by: externalUser },
    );
    expect(endUser).toEqual({ connections: { nodes: [{ name: 'my connection' }] }, credentials: { nodes: [{ name: 'token' }] } });
  });

  it('V3, V4, V5: takes the end user’s internal id and the external one, which needs the hub', async () => {
    const { caller, endUserId, hubId } = await setUp();
    const users = {
      internal: { id: endUserId },
      external: externalUser,
      'external with the hub’s id': { inIntegration: { integration: { id: hubId }, externalId: 'user-1' } },
    };
    for (const [name, endUser] of Object.entries(users)) {
      const connection = await test.create(caller, 'Connection', connectionInput({ name, endUser }), shown);
      expect(connection.endUser).toEqual({ id: endUserId, externalId: 'user-1' });
    }
    // Another hub has its own end users, who may have the same external id.
    await test.create(caller, 'Integration', { name: 'other hub' });
    const other = { inIntegration: { integration: { name: 'other hub' }, externalId: 'user-1' } };
    expect(await run(test, caller, 'createConnection', connectionInput({ name: 'x', endUser: other }))).toMatchObject({
      code: 'NOT_FOUND',
      path: ['input', 'endUser'],
    });
  });

  it('V29: the neighbours that this gateway keeps are there: hubs, end users, connections, connectors', async () => {
    const { caller } = await setUp();
    await test.create(caller, 'Connection', connectionInput());
    const all = await test.query(
      caller,
      '{ integrations { totalCount } endUsers { totalCount } connectors { totalCount } connections { totalCount } }',
    );
    for (const noun of ['integrations', 'endUsers', 'connectors', 'connections']) expect(all[noun].totalCount).toBe(1);
  });
});

describe('the request', () => {
  it('V6, V7, V8: has a name, and action and trigger credentials that keep their order', async () => {
    const { caller } = await setUp();
    const list = (prefix: string) => ['c', 'a', 'd', 'b'].map((name) => ({ credential: none(`${prefix} ${name}`) }));
    const connection = await test.create(
      caller,
      'Connection',
      connectionInput({ actionCredentials: list('action'), triggerCredentials: list('trigger') }),
      shown,
    );
    const names = (entries: Json[]) => entries.map(({ credential }) => credential.name);
    expect(names(connection.actionCredentials)).toEqual(['action c', 'action a', 'action d', 'action b']);
    expect(names(connection.triggerCredentials)).toEqual(['trigger c', 'trigger a', 'trigger d', 'trigger b']);
    const read = await test.query(caller, `query ($id: ID!) { node(id: $id) { ... on Connection { ${shown} } } }`, { id: connection.id });
    expect(read.node).toEqual(connection);
  });

  it('V8: a session token and an API key together, applied in the order defined', async () => {
    const { caller } = await setUp();
    const actionCredentials = [
      { credential: { create: { name: 'session', data: { bearerToken: { token: 'session-token' } } } } },
      { credential: { create: { name: 'key', data: { apiKey: { apiKey: 'api-key', headerName: 'X-Api-Key' } } } } },
    ];
    const connection = await test.create(caller, 'Connection', connectionInput({ actionCredentials }), shown);
    expect(connection.actionCredentials.map(({ credential }: Json) => credential.kind)).toEqual(['BEARER_TOKEN', 'API_KEY']);
    await run(test, caller, 'updateConnection', {
      connection: { id: connection.id },
      actionCredentials: [...connection.actionCredentials]
        .reverse()
        .map(({ credentialId }: Json) => ({ credential: { id: credentialId } })),
    });
    const read = await test.query(caller, `query ($id: ID!) { node(id: $id) { ... on Connection { ${shown} } } }`, { id: connection.id });
    expect(read.node.actionCredentials.map(({ credential }: Json) => credential.kind)).toEqual(['API_KEY', 'BEARER_TOKEN']);
  });

  it('V9: each entry is a reference or a new credential, mixed in one list', async () => {
    const { caller } = await setUp();
    const { id } = await test.create(caller, 'Credential', { integration: hub, name: 'existing', data: { none: {} } });
    const connection = await test.create(
      caller,
      'Connection',
      connectionInput({ actionCredentials: [{ credential: none('new 1') }, { credential: { id } }, { credential: none('new 2') }] }),
      shown,
    );
    expect(connection.actionCredentials.map(({ credential }: Json) => credential.name)).toEqual(['new 1', 'existing', 'new 2']);
    expect(connection.actionCredentials[1].credentialId).toBe(id);
    expect((await test.query(caller, '{ credentials { totalCount } }')).credentials.totalCount).toBe(3);
  });

  it('V9: when one entry fails, nothing of the others is left', async () => {
    const { caller } = await setUp();
    await test.create(caller, 'Credential', { integration: hub, name: 'existing', data: { none: {} } });
    const before = await contents(test);
    const unknown = Buffer.from(`Credential:${'0'.repeat(24)}`).toString('base64url');
    const secretive = { create: { name: 'new', data: { string: { value: 'never kept' } } } };
    const actionCredentials = [{ credential: secretive }, { credential: secretive }, { credential: { id: unknown } }];
    expect(await run(test, caller, 'createConnection', connectionInput({ actionCredentials }))).toMatchObject({
      code: 'NOT_FOUND',
      path: ['input', 'actionCredentials', '2', 'credential', 'id'],
    });
    expect(await contents(test)).toEqual(before);
  });

  it('V10, V11, V12, V13: each entry has an auth scheme with the client’s id and description, unique in its list only', async () => {
    const { caller } = await setUp();
    const entry = (id: string, description: string) => ({
      credential: none(id),
      authScheme: { schemeId: id, schemeType: 'NONE', description },
    });
    const connection = await test.create(
      caller,
      'Connection',
      connectionInput({
        actionCredentials: [entry('config-1', 'for reading'), entry('config-2', 'for writing')],
        triggerCredentials: [entry('config-1', 'for hooks')],
      }),
      shown,
    );
    const schemes = (entries: Json[]) => entries.map(({ authScheme }) => authScheme);
    const expected = (id: string, description: string) => ({ schemeId: id, schemeType: 'NONE', description, validationMessages: [] });
    expect(schemes(connection.actionCredentials)).toEqual([expected('config-1', 'for reading'), expected('config-2', 'for writing')]);
    expect(schemes(connection.triggerCredentials)).toEqual([expected('config-1', 'for hooks')]);

    const twice = connectionInput({ name: 'twice', actionCredentials: [entry('same', 'a'), entry('same', 'b')] });
    const result = await run(test, caller, 'createConnection', twice);
    expect(result).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'actionCredentials', '1', 'authScheme', 'schemeId'], message: expect.stringContaining('unique') }],
    });
  });

  it('V10: configures only: no field of a scheme is a secret', async () => {
    const { caller } = await setUp();
    const { __schema } = await test.query(caller, '{ __schema { types { name fields { type { name ofType { name } } } } } }');
    const schemes = __schema.types.filter(({ name, fields }: Json) => fields && name.endsWith('AuthScheme'));
    expect(schemes.length).toBeGreaterThan(3);
    for (const { fields } of schemes) {
      expect(fields.map(({ type }: Json) => type.ofType?.name ?? type.name)).not.toContain('Secret');
    }
  });

  it('V14, V15: the server’s own messages replace those that are sent', async () => {
    const { caller } = await setUp();
    const sent = { severity: 'ERROR', text: 'made up by the caller', details: ['made up'] };
    const authScheme = {
      schemeId: 'key',
      schemeType: 'API_KEY',
      apiKey: { name: 'api_key', in: 'QUERY' },
      validationMessages: [sent],
    };
    const oauth2 = {
      grant: 'AUTHORIZATION_CODE',
      tokenUrl: 'https://auth.example.com/token',
      defaultScopes: ['tickets:read'],
    };
    const connection = await test.create(
      caller,
      'Connection',
      connectionInput({
        actionCredentials: [
          { credential: none('key'), authScheme },
          { credential: none('oauth'), authScheme: { schemeId: 'oauth', schemeType: 'OAUTH2', oauth2, validationMessages: [sent] } },
        ],
      }),
      shown,
    );
    const [key, oauth] = connection.actionCredentials.map(({ authScheme }: Json) => authScheme.validationMessages);
    expect(key).toEqual([{ severity: 'WARNING', text: expect.any(String), details: [] }]);
    expect(oauth.map(({ severity }: Json) => severity)).toEqual(['ERROR', 'WARNING']);
    expect(oauth[1].details).toEqual(['tickets:read']);
    expect(JSON.stringify([await contents(test), connection])).not.toContain('made up');
  });
});

/** What each type of the document's list may be sent with, and what is read back. */
const types = [
  ['V17, V18a', 'none', 'NONE', '__typename', { __typename: 'NoneCredential' }],
  ['V18b', 'string', 'STRING', 'value { isSet redacted }', { value: { isSet: true, redacted: '*****' } }],
  ['V18c', 'binary', 'BINARY', 'valueBase64 { isSet redacted }', { valueBase64: { isSet: true, redacted: '*****' } }],
  ['V18d', 'basicAuth', 'BASIC_AUTH', 'username password { isSet }', { password: { isSet: true } }],
  ['V18e', 'oauth2Client', 'OAUTH2_CLIENT', 'clientId tokenUrl clientSecret { isSet }', { clientSecret: { isSet: true } }],
  ['V18g', 'oauth2Password', 'OAUTH2_PASSWORD', 'username password { isSet }', { password: { isSet: true } }],
  ['V18h', 'oauth2Token', 'OAUTH2_TOKEN', 'scopes accessToken { isSet }', { accessToken: { isSet: true } }],
  [
    'V18i',
    'customFunction',
    'CUSTOM_FUNCTION',
    'functionName parameters secretParameters { isSet }',
    { secretParameters: { isSet: true } },
  ],
  ['V18j', 'certificate', 'CERTIFICATE', 'certificate ca key { isSet }', { key: { isSet: true } }],
  ['V18k', 'jwtBearer', 'JWT_BEARER', 'algorithm expiresIn secret { isSet } payload { isSet }', { secret: { isSet: true } }],
] as const;
describe('the types of credential', () => {
  it.each(types)('%s: %s is created with its connection, and its secrets are not shown', async (_row, name, kind, fields, expected) => {
    const { caller } = await setUp();
    const fieldsOfKind = kindNamed(name).fields;
    const data = Object.fromEntries(Object.entries(fieldsOfKind).map(([field, { example }]) => [field, example]));
    const create = { name: 'mine', data: { [name]: data } };
    const typeName = kindNamed(kindNamed(name).storedAs ?? name).typeName;
    const connection = await test.create(
      caller,
      'Connection',
      connectionInput({ actionCredentials: [{ credential: { create } }] }),
      `actionCredentials { credential { ... on CredentialBase { kind } ... on ${typeName} { ${fields} } } }`,
    );
    const [{ credential }] = connection.actionCredentials;
    expect(credential).toMatchObject({ kind, ...expected });
    for (const [field, { secret, example }] of Object.entries(fieldsOfKind)) {
      if (secret) expect(JSON.stringify(connection)).not.toContain(JSON.stringify(example).slice(1, -1));
      else if (credential[field] !== undefined) expect(credential[field]).toEqual(example);
    }
  });

  it('V18f: oauth2Code is refused where nothing says how to exchange the code', async () => {
    const { caller } = await setUp();
    const create = { name: 'mine', data: { oauth2Code: { code: 'c0de', state: 'st4te' } } };
    const { result } = await test.query(
      caller,
      'mutation ($input: CreateConnectionInput!) { result: createConnection(input: $input) { ... on MutationError { code message } } }',
      { input: connectionInput({ actionCredentials: [{ credential: { create } }] }) },
    );
    expect(result).toEqual({
      code: 'VALIDATION_FAILED',
      message: expect.stringContaining('is exchanged only if the authScheme of the entry is an OAUTH2 scheme with a client'),
    });
  });

  it('V16, V18: a credential has a name, a type and its data, and exactly one type', async () => {
    const { caller } = await setUp();
    const query = 'mutation ($input: CreateConnectionInput!) { createConnection(input: $input) { __typename } }';
    for (const create of [
      { name: 'x' },
      { data: { none: {} } },
      { name: 'x', data: {} },
      { name: 'x', data: { none: {}, string: { value: 'y' } } },
    ]) {
      const { status } = await test.answer(caller, query, { input: connectionInput({ actionCredentials: [{ credential: { create } }] }) });
      expect(status).toBe(400);
    }
  });
});

describe('the response', () => {
  it('V19, V22: a connection has id, name, credentials, variables and times; variables keep their order', async () => {
    const { caller } = await setUp();
    const variables = [
      { name: 'subdomain', value: 'acme' },
      { name: 'region', value: 'eu' },
      { name: 'empty', value: '' },
    ];
    const connection = await test.create(caller, 'Connection', connectionInput({ variables }), shown);
    expect(connection).toMatchObject({
      id: expect.any(String),
      name: 'my connection',
      variables,
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: connection.createdAt,
    });
  });

  it('V20: a connection is told by its name with its connector, by the connector’s id or name', async () => {
    const { caller, connectorId } = await setUp();
    const { id } = await test.create(caller, 'Connection', connectionInput());
    for (const by of [{ id: connectorId }, connector]) {
      const read = await test.query(caller, 'query ($by: ConnectionRef!) { connection(by: $by) { id } }', {
        by: { inConnector: { connector: by, name: 'my connection', endUser: externalUser } },
      });
      expect(read.connection.id).toBe(id);
    }
  });

  // Within one connector, each end user has names of its own, so that none can take a name that another needs.
  it('V21: its name is unique within the connector, and free in another', async () => {
    const { caller } = await setUp();
    for (const endUser of [externalUser, null]) {
      await test.create(caller, 'Connection', connectionInput({ endUser }));
      const again = await run(test, caller, 'createConnection', connectionInput({ endUser }));
      expect(again).toMatchObject({ code: 'CONFLICT', path: ['input', 'name'] });
    }
    await test.create(caller, 'Connector', { integration: hub, name: 'erp', baseUrl: 'https://erp.example.com' });
    const elsewhere = connectionInput({ connector: { inIntegration: { integration: hub, name: 'erp' } } });
    expect((await run(test, caller, 'createConnection', elsewhere)).__typename).toBe('CreateConnectionSuccess');
  });

  it('V23: a credential has id, name, its owner, type and data', async () => {
    const { caller } = await setUp();
    const { id } = await test.create(caller, 'Credential', {
      integration: hub,
      endUser: externalUser,
      name: 'mine',
      data: { basicAuth: { username: 'ada', password: 'secret' } },
    });
    const { credential } = await test.query(
      caller,
      `query ($id: ID!) { credential(id: $id) { ... on BasicAuthCredential { id name kind integration { name } endUser { externalId } username } } }`,
      { id },
    );
    expect(credential).toEqual({
      id,
      name: 'mine',
      kind: 'BASIC_AUTH',
      integration: { name: 'my hub' },
      endUser: { externalId: 'user-1' },
      username: 'ada',
    });
    // The organization is the token's, and another's token does not find it.
    const stranger = { organization: test.newOrganization() };
    expect((await test.query(stranger, 'query ($id: ID!) { credential(id: $id) { __typename } }', { id })).credential).toBeNull();
  });

  it('V24: errors are three things: null, never checked; empty, valid; the errors met', async () => {
    const { caller } = await setUp();
    const { id } = await test.create(caller, 'Credential', { integration: hub, name: 'mine', data: { none: {} } });
    const read = async () =>
      (await test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { errors } } }', { id })).credential.errors;
    expect(await read()).toBeNull();
    // As it is after the gateway has learned from the service whether it works.
    for (const [findings, errors] of [
      [[], []],
      [[{ code: 'REFUSED', since: new Date() }], ['The service refuses the credential (401), or says that its token is not active.']],
    ]) {
      const own = { name: 'mine', organizationId: caller.organization };
      await test.database.collection('credentials').updateOne(own, { $set: { checkedAt: new Date(), findings } });
      expect(await read()).toEqual(errors);
    }
  });

  it('V25: at expiresAt a credential is deleted by itself, out of the connections that use it', async () => {
    const { caller } = await setUp();
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const create = { name: 'short-lived', expiresAt, data: { string: { value: 'v' } } };
    const connection = await test.create(caller, 'Connection', connectionInput({ actionCredentials: [{ credential: { create } }] }), shown);
    expect(connection.actionCredentials[0].credential.expiresAt).toBe(expiresAt);
    test.time = () => new Date(Date.now() + 3_600_001);
    try {
      expect(await test.gateway.sweep()).toBe(1);
      const read = await test.query(
        caller,
        `query ($id: ID!) { node(id: $id) { ... on Connection { ${shown} } } credentials { totalCount } }`,
        { id: connection.id },
      );
      expect(read).toMatchObject({ node: { actionCredentials: [] }, credentials: { totalCount: 0 } });
    } finally {
      test.time = () => new Date();
    }
  });

  it('V26, V27, V28: usages are read when asked for: none, or the connections with id, name, times and connector', async () => {
    const { caller, connectorId } = await setUp();
    const { id } = await test.create(caller, 'Credential', { integration: hub, name: 'shared', data: { none: {} } });
    const read = async () =>
      (
        await test.query(
          caller,
          `query ($id: ID!) { credential(id: $id) { ... on CredentialBase { usages { nodes { id name createdAt updatedAt ... on Connection { connector { id name } } } } } } }`,
          { id },
        )
      ).credential.usages.nodes;
    expect(await read()).toEqual([]);
    const uses = { actionCredentials: [{ credential: { id } }] };
    const first = await test.create(caller, 'Connection', connectionInput(uses), 'id name createdAt updatedAt');
    await test.create(caller, 'Connection', connectionInput({ name: 'without' }));
    expect(await read()).toEqual([{ ...first, connector: { id: connectorId, name: 'crm' } }]);
    // Not asked for, not loaded: one command reads the credential, and none its usages.
    const commands = await test.countCommands(() =>
      test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { name } } }', { id }),
    );
    const withUsages = await test.countCommands(read);
    expect(withUsages.length).toBeGreaterThan(commands.length);
  });
});
