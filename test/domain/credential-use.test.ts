import { describe, expect, it } from 'vitest';
import { forbiddenUse } from '../../src/domain/credential-use.ts';
import { contents } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';
import { resign } from '../vault.ts';
import { type Account, account, addConnection, ask, integration, maySignFor, newSharedSecret, openAccount } from './sso-account.ts';

const test = useTestGateway();

/** The caller of the attack: it may write connections and ask for links, and knows no secret. */
const attacker = (caller: Caller): Caller => ({
  ...caller,
  scopes: ['connections.get', 'connections.post', 'connections.patch', 'ssoLinks.post', 'endUsers.get'],
});
const named = (name: string) => ({ connection: { inIntegration: { integration, name } } });

/** A caller with a token of an end user of an account. */
const endUserOf = async ({ caller, endUser }: Account): Promise<Caller> => ({
  ...caller,
  token: await test.makeEndUserToken(caller, { id: endUser }),
});
const client = async (caller: Caller, rest: object = {}): Promise<string> => {
  const data = { oauth2Client: { clientId: 'c', clientSecret: 's', tokenUrl: 'https://auth.example.com/token' } };
  return (await test.create(caller, 'Credential', { integration, name: 'client', data, ...rest })).id;
};
const oauth = (clientCredentialId: string | null, tokenUrl = 'https://auth.example.com/token') => ({
  schemeId: 'oauth',
  schemeType: 'OAUTH2',
  oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl, clientCredentialId },
});
const connectorWith = (caller: Caller, input: object): Promise<Json> =>
  test.create(caller, 'Connector', { integration, name: 'crm', baseUrl: 'https://api.example.com', ...input });
const firstCredential = async (caller: Caller): Promise<string> =>
  (await test.query(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }')).credentials.nodes[0].id;
const own = (name: string, host: string) => ({
  integration,
  name,
  allowedDomain: host,
  actionCredentials: [
    { credential: { create: { name: 'key', ...maySignFor(host), data: { jwt: { algorithm: 'HS256', secret: newSharedSecret() } } } } },
  ],
});

describe('who may only write connections', () => {
  it('cannot have a token signed with another’s key for a host of its own', async () => {
    const { caller } = await openAccount(test);
    const { credentials } = await test.query(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }');
    const actionCredentials = [{ credential: { id: credentials.nodes[0].id } }];
    await run(test, attacker(caller), 'createConnection', {
      integration,
      name: 'mine',
      allowedDomain: 'attacker.zendesk.com',
      actionCredentials,
    });
    expect(await ask(test, attacker(caller), named('mine'))).not.toHaveProperty('ssoLink');
    await run(test, attacker(caller), 'updateConnection', { ...named('zendesk'), allowedDomain: 'attacker.zendesk.com' });
    const { ssoLink } = await ask(test, attacker(caller), named('zendesk'));
    expect(ssoLink?.form.action).not.toBe('https://attacker.zendesk.com/access/jwt');
  });

  it('cannot have a token signed with a key that is for something else', async () => {
    const { caller } = await openAccount(test);
    const { id } = await test.create(caller, 'Credential', {
      integration,
      name: 'webhooks',
      data: { jwt: { algorithm: 'HS256', secret: newSharedSecret() } },
    });
    const actionCredentials = [{ credential: { id } }];
    const input = { integration, name: 'mine', allowedDomain: 'attacker.zendesk.com', actionCredentials };
    await run(test, attacker(caller), 'createConnection', input);
    expect(await ask(test, attacker(caller), named('mine'))).not.toHaveProperty('ssoLink');
  });
});

describe('a credential', () => {
  const jwt = { jwt: { algorithm: 'HS256', secret: newSharedSecret() } };
  const missing = (result: Json) => result.missing ?? result.code ?? result.ssoLink?.form.action;
  const update = (caller: Caller, credential: string, changes: object) =>
    run(test, caller, 'updateCredential', { credential, ...changes }, 'allowedDomains allowedPurposes');

  it('allows nothing at first, shows what it allows, and loses it again', async () => {
    const { caller } = await openAccount(test);
    await run(test, caller, 'deleteConnection', named('zendesk'));
    const connection = await addConnection(test, caller, { data: jwt, allowed: {} });
    const { connection: read } = await test.query(
      caller,
      'query ($id: ID!) { connection(by: { id: $id }) { actionCredentials { credentialId credential { ... on JWTCredential { allowedDomains allowedPurposes } } } } }',
      { id: connection },
    );
    const [{ credentialId, credential }] = read.actionCredentials;
    expect(credential).toEqual({ allowedDomains: [], allowedPurposes: [] });
    expect(missing(await ask(test, caller))).toBe('CREDENTIAL_PURPOSE');
    const purpose = { allowedPurposes: ['SSO_SIGNING'] };
    expect((await update(caller, credentialId, purpose)).credential).toEqual({ allowedDomains: [], ...purpose });
    expect(missing(await ask(test, caller))).toBe('CREDENTIAL_ALLOWED_DOMAINS');
    for (const domains of [['*.zendesk.com'], ['other.zendesk.com', 'zendesk.com']]) {
      await update(caller, credentialId, { allowedDomains: domains });
      expect([domains, missing(await ask(test, caller))]).toEqual([domains, 'CREDENTIAL_ALLOWED_DOMAINS']);
    }
    await update(caller, credentialId, { allowedDomains: ['x.example.com', 'acme.zendesk.com'] });
    expect(missing(await ask(test, caller))).toBe('https://acme.zendesk.com/access/jwt');
    expect((await update(caller, credentialId, { allowedPurposes: null })).credential.allowedPurposes).toEqual([]);
    expect(missing(await ask(test, caller))).toBe('CREDENTIAL_PURPOSE');
  });

  it('that is older than these fields allows nothing, and is shown as such', async () => {
    const { caller } = await openAccount(test);
    const older = ({ allowedDomains: _, allowedPurposes: __, ...document }: Json) => document;
    await resign(test, 'credential', { organizationId: caller.organization }, older);
    const { credentials } = await test.query(
      caller,
      '{ credentials { nodes { ... on CredentialBase { allowedDomains allowedPurposes } } } }',
    );
    expect(credentials.nodes).toEqual([{ allowedDomains: [], allowedPurposes: [] }]);
    expect(missing(await ask(test, caller))).toBe('CREDENTIAL_PURPOSE');
    await update(caller, await firstCredential(caller), maySignFor('acme.zendesk.com'));
    expect(missing(await ask(test, caller))).toBe('https://acme.zendesk.com/access/jwt');
  });

  it.each([
    ['https://example.com', 'example.com/', 'example.com:443', 'a@example.com', 'example.com.', '.example.com', ''],
    ['127.0.0.1', '2130706433', '0x7f.1', '1.2.3', '[::1]', '::1', 'example.1', 'ex ample.com', 'example.com\n', 'exa%6dple.com'],
    ['*', '*.com', '*.', '*example.com', '*.*.example.com', 'a.*.example.com', '*.127.0.0.1', '*.example.com.'],
    [
      'bücher.example',
      'xn--a.example',
      'ｅxample.com',
      'example。com',
      'exam\u00adple.com',
      '-a.example',
      'a_b-.example',
      `${'a'.repeat(64)}.example`,
    ],
  ])('refuses %s and its like as an allowed domain', async (...domains) => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    for (const domain of domains) {
      const result = await run(test, caller, 'createCredential', { integration, name: 'n', allowedDomains: [domain], data: jwt });
      expect([domain, result.issues?.[0].path]).toEqual([domain, ['input', 'allowedDomains', '0']]);
    }
  });

  it('takes hosts in their canonical form, twenty at most', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const domains = [
      'localhost',
      'api.example.com',
      '*.example.com',
      '*.a.b.example.com',
      'xn--bcher-kva.example',
      '3com.example',
      'a--b.example',
    ];
    const credential = await test.create(
      caller,
      'Credential',
      { integration, name: 'n', allowedDomains: domains, data: jwt },
      'id allowedDomains',
    );
    expect(credential.allowedDomains).toEqual(domains);
    // Host names have no case, and are stored in lower case.
    const inCapitals = { allowedDomains: domains.map((domain) => domain.toUpperCase()) };
    expect((await update(caller, credential.id, inCapitals)).credential.allowedDomains).toEqual(domains);
    const twenty = Array.from({ length: 20 }, (_, index) => `h${index}.example.com`);
    expect((await update(caller, credential.id, { allowedDomains: twenty })).credential.allowedDomains).toEqual(twenty);
    const result = await update(caller, credential.id, { allowedDomains: [...twenty, 'one.more.example.com'] });
    expect(result.issues[0].path).toEqual(['input', 'allowedDomains']);
  });

  it('needs credentials.patch to allow more', async () => {
    const { caller } = await openAccount(test);
    const credential = await firstCredential(caller);
    const answer = await send(test, attacker(caller), 'updateCredential', { credential, ...maySignFor('attacker.zendesk.com') });
    expect(answer.errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'credentials.patch' });
  });

  it.each([
    ['sql', { system: 'PG', host: 'db.example.com', username: 'u', password: 'p' }, { host: 'evil.example' }, { password: 'q' }],
    ['sql', { system: 'PG', host: 'db.example.com', username: 'u', password: 'p' }, { disableSSLVerification: true }, { password: 'q' }],
    [
      'snowflake',
      { host: 'a.example.com', username: 'u', generatePrivateKey: true },
      { host: 'evil.example' },
      { generatePrivateKey: true },
    ],
    ['datadog', { secretValue: 'dd0example0key' }, { site: 'evil.example' }, { secretValue: 'dd0example0new' }],
    [
      'git',
      { type: 'HTTP_PASSWORD', cloneUrl: 'https://example.com/a.git', secretValue: 's' },
      { cloneUrl: 'https://evil.example/a.git' },
      { secretValue: null },
    ],
    [
      'http',
      { uriMatch: 'https://example.com/', authMethod: 'HEADER', secretValue: 's' },
      { uriMatch: 'https://evil.example/' },
      { secretValue: 't' },
    ],
    [
      'oauth2Client',
      { clientId: 'c', clientSecret: 's', tokenUrl: 'https://example.com/t', additionalParams: 'a=1' },
      { tokenUrl: 'https://evil.example/t' },
      { clientSecret: 't', additionalParams: null },
    ],
  ])('%s: its secrets do not follow a new destination', async (kind, data, change, secrets) => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const { id } = await test.create(caller, 'Credential', { integration, name: 'n', data: { [kind]: data } });
    const before = await contents(test);
    const refused = await update(caller, id, { data: { [kind]: change } });
    const names = Object.keys(secrets).map((name) => (name === 'generatePrivateKey' ? 'privateKey' : name));
    expect(refused.issues?.map(({ path }: Json) => path.at(-1))).toEqual(names);
    expect(await contents(test)).toEqual(before);
    expect(await update(caller, id, { data: { [kind]: { ...change, ...secrets } } })).toHaveProperty('credential');
    // The same value again leads nowhere new.
    expect(await update(caller, id, { data: { [kind]: change } })).toHaveProperty('credential');
  });
});

it('a use is decided by the credential, and narrowed by the connection', () => {
  const credential = { enabled: true, allowedPurposes: ['SSO_SIGNING'], allowedDomains: ['a.example.com', '*.example.org'] };
  const forbidden = (host: string, narrowedTo: string | null = null, changes: object = {}) =>
    forbiddenUse({ ...credential, ...changes } as never, { purpose: 'SSO_SIGNING', host, narrowedTo });
  expect([forbidden('a.example.com'), forbidden('A.example.COM', 'a.EXAMPLE.com')]).toEqual([null, null]);
  for (const host of ['b.example.com', 'x.a.example.com', 'a.example.com.', 'a.example.com:8443', 'a.example.com/x', 'x.example.org', ''])
    expect([host, forbidden(host)]).toEqual([host, 'DOMAIN']);
  for (const narrowedTo of ['b.example.com', 'example.com', '', '*.example.com'])
    expect(forbidden('a.example.com', narrowedTo)).toBe('DOMAIN');
  expect(forbidden('a.example.com', null, { enabled: false })).toBe('DISABLED');
  expect([{ allowedPurposes: [] }, { allowedPurposes: undefined }].map((each) => forbidden('a.example.com', null, each))).toEqual([
    'PURPOSE',
    'PURPOSE',
  ]);
  expect(forbidden('a.example.com', null, { allowedDomains: undefined })).toBe('DOMAIN');
});

describe('a connection or a scheme that leads elsewhere', () => {
  const basic = { basicAuth: { username: 'ada', password: 'x' } };
  const at = (result: Json) => result.issues?.map(({ path }: Json) => path.slice(1).join('.')) ?? result.__typename;

  it('is refused when it is written, and does not block later changes', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const { id } = await test.create(caller, 'Credential', { integration, name: 'n', allowedDomains: ['*.example.com'], data: basic });
    const connector = await connectorWith(caller, {});
    const bind = { actionCredentials: [{ credential: { id } }] };
    const create = (name: string, input: object) => run(test, caller, 'createConnection', { integration, name, ...bind, ...input });
    expect(at(await create('a', { allowedDomain: 'evil.example' }))).toEqual(['actionCredentials.0.credential']);
    expect(at(await create('a', { allowedDomain: 'example.com' }))).toEqual(['actionCredentials.0.credential']);
    expect(at(await create('a', { allowedDomain: 'notexample.com' }))).toEqual(['actionCredentials.0.credential']);
    expect(at(await create('a', { allowedDomain: 'API.example.com' }))).toBe('CreateConnectionSuccess');
    expect(at(await create('b', { connector: { id: connector.id } }))).toBe('CreateConnectionSuccess');
    expect(at(await create('c', { connector: { id: connector.id }, allowedDomain: 'evil.example' }))).toEqual([
      'actionCredentials.0.credential',
    ]);
    const update = (input: object) => run(test, caller, 'updateConnection', { ...named('a'), ...input });
    expect(at(await update({ allowedDomain: 'evil.example' }))).toEqual(['allowedDomain']);
    expect(at(await update({ allowedDomain: 'evil.example', ...bind }))).toEqual(['actionCredentials.0.credential']);
    // Somebody narrows the credential: the connection can still be changed, and saved as it is.
    await run(test, caller, 'updateCredential', { credential: id, allowedDomains: ['other.example.com'] });
    expect(at(await update({ variables: [], ...bind, allowedDomain: 'api.example.com' }))).toBe('UpdateConnectionSuccess');
    expect(at(await update({ allowedDomain: 'b.example.com' }))).toEqual(['allowedDomain']);
    expect(at(await update({ allowedDomain: 'other.example.com' }))).toBe('UpdateConnectionSuccess');
  });

  it('is refused for the client of an auth scheme, whose secret goes to the token endpoint', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const id = await client(caller, { allowedDomains: ['auth.example.com'] });
    const connector = await connectorWith(caller, { authSchemes: [oauth(id)] });
    const evil = 'https://evil.example/token';
    const update = (authSchemes: object[]) => run(test, caller, 'updateConnector', { connector: { id: connector.id }, authSchemes });
    expect(at(await update([oauth(null), { ...oauth(id, evil), schemeId: 'b' }]))).toEqual(['authSchemes.1.oauth2.tokenUrl']);
    const made = await run(test, caller, 'createConnector', { integration, name: 'b', baseUrl: evil, authSchemes: [oauth(id, evil)] });
    expect(at(made)).toEqual(['authSchemes.0.oauth2.tokenUrl']);
    const binding = { credential: { create: { name: 'n', data: { none: {} } } }, authScheme: oauth(id, evil) };
    expect(at(await run(test, caller, 'createConnection', { integration, name: 'a', triggerCredentials: [binding] }))).toEqual([
      'triggerCredentials.0.authScheme.oauth2.tokenUrl',
    ]);
    // What sets up triggers is sent to the service, too.
    const trigger = { allowedDomain: 'evil.example', triggerCredentials: [{ credential: { id } }] };
    expect(at(await run(test, caller, 'createConnection', { integration, name: 'b', ...trigger }))).toEqual([
      'triggerCredentials.0.credential',
    ]);
    await run(test, caller, 'updateCredential', { credential: id, allowedDomains: [] });
    expect(at(await update([oauth(id)]))).toBe('UpdateConnectorSuccess');
  });

  it('does not lead a key to another account, whatever else changes', async () => {
    const { caller } = await openAccount(test);
    const other = { allowedDomain: 'attacker.zendesk.com' };
    await run(test, caller, 'updateCredential', { credential: await firstCredential(caller), allowedDomains: ['other.zendesk.com'] });
    expect(await ask(test, caller)).toMatchObject({ missing: 'CREDENTIAL_ALLOWED_DOMAINS' });
    expect(at(await run(test, attacker(caller), 'updateConnection', { ...named('zendesk'), ...other }))).toEqual(['allowedDomain']);
    // Without the check at writing, the check at signing holds.
    await resign(test, 'connection', { organizationId: caller.organization }, (document) => ({ ...document, ...other }));
    expect(await ask(test, caller)).toMatchObject({ missing: 'CREDENTIAL_ALLOWED_DOMAINS' });
  });
});

describe('an end user', () => {
  it('cannot make or change a connection whose connector uses the integration’s own client, unless the connector says so', async () => {
    const opened = await openAccount(test);
    const { caller, endUser } = opened;
    const hers = await endUserOf(opened);
    const connector = await connectorWith(caller, { authSchemes: [oauth(await client(caller))] });
    const input = { integration, connector: { id: connector.id }, name: 'mine' };
    expect(await run(test, hers, 'createConnection', input)).toMatchObject({ issues: [{ path: ['input', 'connector'] }] });
    // The organization can make one for her. She can rename and delete it, but neither bind nor aim.
    const { id } = await test.create(caller, 'Connection', { ...input, endUser: { id: endUser } });
    const connection = { id };
    const create = { name: 'n', data: { basicAuth: { username: 'ada', password: 'x' } } };
    for (const change of [
      { actionCredentials: [{ credential: { create } }] },
      { triggerCredentials: [] },
      { allowedDomain: 'evil.example' },
      { variables: [{ name: 'a', value: 'b' }] },
    ]) {
      const result = await run(test, hers, 'updateConnection', { connection, ...change });
      expect([change, result.issues?.[0].path]).toEqual([change, ['input', 'connection']]);
    }
    expect(await run(test, hers, 'updateConnection', { connection, name: 'renamed' })).toHaveProperty('connection');
    const open = { connector: { id: connector.id }, endUsersMayUseClient: true };
    expect(await run(test, caller, 'updateConnector', open, 'endUsersMayUseClient')).toMatchObject({
      connector: { endUsersMayUseClient: true },
    });
    expect(await run(test, hers, 'createConnection', input)).toHaveProperty('connection');
    expect(await run(test, hers, 'updateConnection', { connection, variables: [] })).toHaveProperty('connection');
    // Whose scheme uses no client needs no permission; and she cannot name the client herself.
    const free = await connectorWith(caller, { name: 'free', authSchemes: [oauth(null)] });
    expect(await run(test, hers, 'createConnection', { ...input, connector: { id: free.id } })).toHaveProperty('connection');
    const { credentials } = await test.query(caller, '{ credentials(kinds: [OAUTH2_CLIENT]) { nodes { ... on CredentialBase { id } } } }');
    const binding = { credential: { create }, authScheme: oauth(credentials.nodes[0].id) };
    expect(await run(test, hers, 'createConnection', { integration, name: 'x', actionCredentials: [binding] })).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('cannot break the sign-in by making connections, or decide where it leads', async () => {
    const opened = await openAccount(test);
    const { caller } = opened;
    const hers = await endUserOf(opened);
    const action = async () => {
      const result = await ask(test, caller);
      return result.ssoLink?.form.action ?? result.missing ?? result.code;
    };
    for (const name of ['a', 'b'])
      expect(await run(test, hers, 'createConnection', own(name, 'evil.zendesk.com'))).toHaveProperty('connection');
    expect(await action()).toBe('https://acme.zendesk.com/access/jwt');
    // A shared connection that cannot sign any more does not make way for hers.
    const { credentials } = await test.query(caller, '{ credentials { nodes { ... on CredentialBase { id endUser { id } } } } }');
    const shared = credentials.nodes.find(({ endUser }: Json) => endUser === null).id;
    for (const [changes, outcome] of [
      [{ enabled: false }, 'ENABLED_CREDENTIAL'],
      [{ enabled: true, allowedPurposes: [] }, 'CREDENTIAL_PURPOSE'],
      [maySignFor('acme.zendesk.com'), 'https://acme.zendesk.com/access/jwt'],
    ] as const) {
      await run(test, caller, 'updateCredential', { credential: shared, ...changes });
      expect(await action()).toBe(outcome);
    }
    // Without a shared one, one of hers is used as before.
    await run(test, caller, 'deleteConnection', named('zendesk'), '');
    expect(await action()).toBe('VALIDATION_FAILED');
    await run(test, hers, 'deleteConnection', named('a'), '');
    expect(await action()).toBe('https://evil.zendesk.com/access/jwt');
  });

  it('cannot take a name that others need, or learn that it is taken', async () => {
    const opened = await openAccount(test);
    const { caller, endUser } = opened;
    const hers = await endUserOf(opened);
    const { id: bob } = await test.create(caller, 'EndUser', { integration, externalId: 'bob' });
    const bobs = { ...caller, token: await test.makeEndUserToken(caller, { id: bob }) };
    const make = (who: Caller, name: string) => run(test, who, 'createConnection', { integration, name });
    const ids: string[] = [];
    for (const [who, name] of [
      [hers, 'zendesk'],
      [hers, 'wanted'],
      [bobs, 'wanted'],
      [caller, 'wanted'],
    ] as const) {
      const { connection } = await make(who, name);
      ids.push(connection.id);
      expect(await make(who, name)).toMatchObject({ code: 'CONFLICT', path: ['input', 'name'] });
    }
    const find = async (who: Caller, owner: object = {}) => {
      const by = { inIntegration: { integration, name: 'wanted', ...owner } };
      return (await test.query(who, 'query ($by: ConnectionRef!) { connection(by: $by) { id } }', { by })).connection?.id;
    };
    const [, herWanted, bobsWanted, shared] = ids;
    expect([await find(hers), await find(bobs), await find(caller), await find(caller, { endUser: null })]).toEqual([
      herWanted,
      bobsWanted,
      shared,
      shared,
    ]);
    expect([await find(caller, { endUser: account }), await find(caller, { endUser: { id: bob } })]).toEqual([herWanted, bobsWanted]);
    expect([await find(hers, { endUser: { id: endUser } }), await find(hers, { endUser: { id: bob } })]).toEqual([herWanted, undefined]);
    expect(await find(caller, { endUser: { inIntegration: { integration, externalId: 'nobody' } } })).toBeUndefined();
    // A name means the same for a change.
    await run(test, hers, 'deleteConnection', { connection: { inIntegration: { integration, name: 'wanted' } } }, '');
    expect([await find(hers), await find(bobs), await find(caller)]).toEqual([undefined, bobsWanted, shared]);
  });
});

it('a start replaces the unique index of earlier versions, and keeps what is stored', async () => {
  const opened = await openAccount(test);
  const { caller } = opened;
  const connections = test.database.collection('connections');
  const keys = async () => (await connections.indexes()).filter(({ unique }) => unique).map(({ key }) => Object.keys(key).join());
  const after = ['organizationId,ownerId,endUserId,name'];
  expect(await keys()).toEqual(after);
  await connections.dropIndex('organizationId_1_ownerId_1_endUserId_1_name_1');
  // What the tests before this one have made would not be valid in an earlier version.
  await connections.deleteMany({ organizationId: { $ne: caller.organization } });
  await connections.createIndex({ organizationId: 1, ownerId: 1, name: 1 }, { unique: true });
  const stored = await connections.find({ organizationId: caller.organization }).toArray();
  await test.close();
  await test.open();
  expect(await keys()).toEqual(after);
  await test.close();
  await test.open();
  expect(await keys()).toEqual(after);
  expect(await connections.find({ organizationId: caller.organization }).toArray()).toEqual(stored);
  expect(await run(test, await endUserOf(opened), 'createConnection', { integration, name: 'zendesk' })).toHaveProperty('connection');
});
