import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';
import { type OAuthServer, oauthClient, startOAuthServer } from './oauth-server.ts';

const test = useTestGateway();
const returnTo = 'https://app.example.com/settings?tab=services';
const landing = 'https://app.example.com/landed';

let server: OAuthServer;
beforeAll(async () => {
  server = await startOAuthServer();
});
afterAll(() => server.stop());

const ERRORS = `... on MutationError { code message } ... on ValidationError { issues { path message } }`;
const START = `mutation ($input: StartAuthorizationInput!) {
  result: startAuthorization(input: $input) {
    ... on StartAuthorizationSuccess { authorization { authorizationId authorizationUrl redirectUrl expiresAt } } ${ERRORS}
  }
}`;
const COMPLETE = `mutation ($input: CompleteAuthorizationInput!) {
  result: completeAuthorization(input: $input) {
    ... on CompleteAuthorizationSuccess { connection { id endUser { id } } } ${ERRORS} ... on ServiceFailedError { reason serviceCode }
  }
}`;
const MADE = `fragment made on Connection {
  id name endUser { id }
  actionCredentials { authScheme { schemeId } credential { ... on CredentialBase { id name allowedDomains allowedPurposes }
    ... on OAuth2TokenCredential { scopes tokenType accessTokenExpiresAt accessToken { isSet } refreshToken { isSet } } } }
}`;

interface World {
  readonly organization: string;
  readonly integration: string;
  readonly endUser: string;
  readonly connector: string;
  readonly client: string;
}

/** An organization with a connector to the OAuth server. */
async function seed(settings: object = {}, more: object = {}, client: object = {}): Promise<World> {
  const organization = test.newOrganization();
  const caller = { organization };
  const integration = (await test.create(caller, 'Integration', { name: 'shop' })).id;
  const endUser = (await test.create(caller, 'EndUser', { integration: { id: integration }, externalId: 'ada' })).id;
  const { id: clientId } = await test.create(caller, 'Credential', {
    integration: { id: integration },
    name: 'client',
    allowedDomains: ['localhost'],
    allowedPurposes: ['TOKEN_REQUEST'],
    data: { oauth2Client: { clientId: oauthClient.id, clientSecret: oauthClient.secret, tokenUrl: server.tokenUrl } },
    ...client,
  });
  const oauth2 = {
    grant: 'AUTHORIZATION_CODE',
    authorizeUrl: server.authorizeUrl,
    tokenUrl: server.tokenUrl,
    defaultScopes: ['tickets:read'],
    additionalAuthorizeParams: [{ name: 'prompt', value: 'consent' }],
    clientCredentialId: clientId,
    issuer: server.issuer,
    ...settings,
  };
  const { id: connector } = await test.create(caller, 'Connector', {
    integration: { id: integration },
    name: 'desk',
    baseUrl: 'https://api.example.com/v1',
    authSchemes: [{ schemeId: 'oauth', schemeType: 'OAUTH2', oauth2 }],
    ...more,
  });
  return { organization, integration, endUser, connector, client: clientId };
}

/** Starts an authorization, by a token of the issuer or by this one. */
async function start({ organization, connector, endUser }: World, input: object = {}, token?: string): Promise<Json> {
  const target = { connector: { id: connector }, ...(token === undefined && { endUser: { id: endUser } }) };
  const caller = { organization, ...(token !== undefined && { token }) };
  return (await test.query(caller, START, { input: { ...target, ...input } })).result;
}

async function complete({ organization }: World, back: URL, more: object = {}, caller: object = {}): Promise<Json> {
  const { state, code, iss } = Object.fromEntries(back.searchParams);
  return (await test.query({ organization, ...caller }, COMPLETE, { input: { state, code, iss, ...more } })).result;
}

/** The browser follows the redirect of the service to the callback. */
function callback(url: URL | string, method = 'GET'): Promise<Response> {
  const { search } = new URL(url);
  return test.gateway.fetch(new Request(`http://gateway.test/oauth/callback${search}`, { method, redirect: 'manual' }));
}

/** Where a redirect leads, without the parameters that were there before. */
function landed(response: Response): Record<string, string> {
  expect(response.status).toBe(303);
  const { tab, ...result } = Object.fromEntries(new URL(response.headers.get('location')!).searchParams);
  return result;
}

async function read({ organization }: World, id: string): Promise<Json> {
  return (await test.query({ organization }, `query ($id: ID!) { connection(by: { id: $id }) { ...made } } ${MADE}`, { id })).connection;
}

async function countOf({ organization }: World): Promise<Json> {
  const data = await test.query({ organization }, '{ connections { totalCount } credentials { totalCount } }');
  return { connections: data.connections.totalCount, credentials: data.credentials.totalCount };
}

it('makes a connection of a consent, and renews it', async () => {
  const world = await seed();
  const { authorization } = await start(world, { name: 'Ada’s desk', scopes: ['openid', 'users:read'], returnTo });
  const asked = new URL(authorization.authorizationUrl).searchParams;
  expect(Object.fromEntries(asked)).toMatchObject({
    client_id: oauthClient.id,
    response_type: 'code',
    redirect_uri: 'https://gateway.example/oauth/callback',
    scope: 'openid users:read offline_access',
    code_challenge_method: 'S256',
    prompt: 'consent',
    nonce: expect.stringMatching(/^[\w-]{43}$/),
    state: expect.stringMatching(/^[\w-]{43}$/),
  });
  // Neither the state nor the verifier is stored as it is.
  const stored = JSON.stringify(await test.database.collection('authorizations').findOne({ organizationId: world.organization }));
  expect(stored).not.toContain(asked.get('state'));
  expect(stored).not.toContain('app.example.com');

  const back = await server.consent(authorization.authorizationUrl);
  expect(back.searchParams.get('iss')).toBe(server.issuer);
  // A request that only looks does not use up the state.
  expect((await callback(back, 'HEAD')).status).toBe(405);
  const answer = await callback(back);
  expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const { connection: id, ...rest } = landed(answer);
  expect(rest).toEqual({ authorization: authorization.authorizationId, result: 'connected' });

  const connection = await read(world, id!);
  const credential = {
    name: 'desk',
    allowedDomains: ['api.example.com', 'localhost'],
    allowedPurposes: ['ACTION', 'TRIGGER', 'TOKEN_REQUEST'],
    scopes: expect.arrayContaining(['openid', 'users:read', 'offline_access']),
    tokenType: 'Bearer',
    accessTokenExpiresAt: expect.any(String),
    accessToken: { isSet: true },
    refreshToken: { isSet: true },
  };
  const actionCredentials = [{ authScheme: { schemeId: 'oauth' }, credential }];
  expect(connection).toMatchObject({ name: 'Ada’s desk', endUser: { id: world.endUser }, actionCredentials });

  // A state is good once.
  const replayed = await callback(back);
  const text = await replayed.text();
  expect([replayed.status, text]).toEqual([400, expect.stringContaining('This link was used already')]);
  expect(text).not.toContain(back.searchParams.get('code')!);
  expect(replayed.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /);

  const renewal = await start(world, { connection: { id } });
  const renewed = await callback(await server.consent(renewal.authorization.authorizationUrl));
  expect([renewed.status, await renewed.text()]).toEqual([200, expect.stringContaining('The service is connected.')]);
  const after = await read(world, id!);
  expect(after.actionCredentials).toHaveLength(1);
  expect(after.actionCredentials[0].credential.id).toBe(connection.actionCredentials[0].credential.id);
  expect(after.actionCredentials[0].credential.scopes).toEqual(expect.arrayContaining(['tickets:read', 'offline_access']));

  // The audit log names who has started them.
  const query = '{ auditLog(first: 50) { nodes { action subject outcome } } }';
  const { auditLog } = await test.query({ organization: world.organization }, query);
  const done = auditLog.nodes.filter(({ action }: Json) => action === 'completeAuthorization');
  expect(done).toEqual(Array(2).fill({ action: 'completeAuthorization', subject: 'tester', outcome: 'SUCCESS' }));
});

it('completes where the redirect lands elsewhere, for who has started it only', async () => {
  const world = await seed();
  const { authorization } = await start(world, { redirectUrl: landing });
  const back = await server.consent(authorization.authorizationUrl);
  expect(`${back.origin}${back.pathname}`).toBe(landing);
  const before = await countOf(world);
  const nothing = { code: 'NOT_FOUND', message: 'There is no such authorization.' };
  // Everybody else gets the answer that a made-up state gets.
  const other = await test.create({ organization: world.organization }, 'EndUser', {
    integration: { id: world.integration },
    externalId: 'bob',
  });
  expect(await complete(world, back, { state: 'made-up' })).toEqual(nothing);
  expect(await complete(world, back, {}, { claims: { sub: 'another' } })).toEqual(nothing);
  expect(await complete(world, back, {}, { organization: (await seed()).organization })).toEqual(nothing);
  expect(await complete(world, back, { redirectUrl: 'https://app.example.com/another' })).toEqual(nothing);
  expect(await complete(world, back, { endUser: { id: other.id } })).toEqual(nothing);
  expect(await countOf(world)).toEqual(before);
  // Who may not do any more what comes of it cannot complete it, and does not use it up.
  const { errors } = await test.answer(
    { organization: world.organization, scopes: ['credentials.post', 'connections.get', 'endUsers.get'] },
    COMPLETE,
    {
      input: Object.fromEntries(back.searchParams),
    },
  );
  expect(errors![0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'connections.post' });
  expect(await countOf(world)).toEqual(before);
  const { connection } = await complete(world, back, { redirectUrl: landing, endUser: { id: world.endUser } });
  expect(connection.endUser.id).toBe(world.endUser);
  expect(await complete(world, back)).toEqual(nothing);

  // The code is exchanged with the verifier of the state, so that a code of somebody else is worth nothing.
  const one = await start(world, { redirectUrl: landing, name: 'one' });
  const two = await start(world, { redirectUrl: landing, name: 'two' });
  const backOfOne = await server.consent(one.authorization.authorizationUrl);
  const backOfTwo = await server.consent(two.authorization.authorizationUrl);
  backOfOne.searchParams.set('code', backOfTwo.searchParams.get('code')!);
  expect(await complete(world, backOfOne)).toMatchObject({ code: 'SERVICE_FAILED', reason: 'REFUSED', serviceCode: 'invalid_grant' });

  // A response of another server (RFC 9207).
  const mixed = await start(world, { redirectUrl: landing, name: 'mixed' });
  const backOfMixed = await server.consent(mixed.authorization.authorizationUrl);
  const { issues } = await complete(world, backOfMixed, { iss: 'https://another.example' });
  expect(issues).toEqual([{ path: ['input', 'iss'], message: 'must be the issuer of the auth scheme' }]);
});

describe('an end user with its own token', () => {
  it('must complete what it has started, and can if the connector lets it', async () => {
    const world = await seed({}, { endUsersMayUseClient: true });
    const caller = { organization: world.organization };
    const own = await test.makeEndUserToken(caller, { id: world.endUser });
    // Without a page of its own it could not be told from a stranger who is lured to the page of consent.
    expect((await start(world, {}, own)).issues).toEqual([
      { path: ['input', 'returnTo'], message: 'is required, because the authorization must be completed by who started it' },
    ]);
    const scopes = { returnTo, scopes: ['users:read'] };
    expect((await start(world, scopes, own)).issues[0]).toEqual({
      path: ['input', 'scopes', '0'],
      message: 'must be a scope that the auth scheme lists',
    });
    const { authorization } = await start(world, { returnTo }, own);
    const answer = await callback(await server.consent(authorization.authorizationUrl));
    const result = landed(answer);
    expect(result).toMatchObject({ authorization: authorization.authorizationId, result: 'confirm', state: expect.any(String) });
    expect((await countOf(world)).connections).toBe(0);
    const back = new URL(answer.headers.get('location')!);
    // The session of another end user, and of the organization, cannot complete it.
    const bob = await test.create(caller, 'EndUser', { integration: { id: world.integration }, externalId: 'bob' });
    const others = await test.makeEndUserToken(caller, { id: bob.id });
    expect(await complete(world, back, {}, { token: others })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await complete(world, back)).toMatchObject({ code: 'NOT_FOUND' });
    const setMayUse = (endUsersMayUseClient: boolean) =>
      test.query(caller, `mutation ($input: UpdateConnectorInput!) { updateConnector(input: $input) { __typename } }`, {
        input: { connector: { id: world.connector }, endUsersMayUseClient },
      });
    // The connector may forbid it meanwhile.
    const forbidden = await start(world, { returnTo, name: 'forbidden' }, own);
    const late = new URL((await callback(await server.consent(forbidden.authorization.authorizationUrl))).headers.get('location')!);
    await setMayUse(false);
    expect(await complete(world, late, {}, { token: own })).toMatchObject({ code: 'NOT_FOUND' });
    await setMayUse(true);
    const { connection } = await complete(world, back, {}, { token: own });
    expect(connection.endUser.id).toBe(world.endUser);

    // As if it had started twenty.
    await start(world, { returnTo, name: 'one' }, own);
    const authorizations = test.database.collection<{ _id: string }>('authorizations');
    const { _id, ...one } = (await authorizations.findOne({ organizationId: world.organization }))!;
    await authorizations.insertMany(
      Array.from({ length: 19 }, (_, index) => ({ ...one, _id: `copy-${index}`, stateHash: `copy-${index}` })),
    );
    const { errors } = await answerOf(world, { returnTo, name: 'another' }, own);
    expect(errors![0].extensions).toMatchObject({ code: 'LIMIT_EXCEEDED', maximum: 20 });
    expect(await start(world, { returnTo, name: 'another' })).toHaveProperty('authorization');
  });

  it('cannot use a client that the connector keeps from it', async () => {
    const world = await seed();
    const own = await test.makeEndUserToken({ organization: world.organization }, { id: world.endUser });
    const { issues } = await start(world, { returnTo }, own);
    expect(issues[0]).toMatchObject({ path: ['input', 'connector'], message: expect.stringContaining('endUsersMayUseClient') });
  });

  it('renews only a credential of its own, and cannot widen what the tokens are for', async () => {
    const world = await seed({}, { endUsersMayUseClient: true });
    const caller = { organization: world.organization };
    const shared = await test.create(caller, 'Credential', {
      integration: { id: world.integration },
      name: 'shared token',
      allowedDomains: ['api.example.com', 'localhost'],
      allowedPurposes: ['ACTION', 'TOKEN_REQUEST'],
      data: { oauth2Token: { accessToken: 'of-the-organization', refreshToken: 'of-the-organization-too', scopes: [] } },
    });
    const { id: connection } = await test.create(caller, 'Connection', {
      integration: { id: world.integration },
      connector: { id: world.connector },
      endUser: { id: world.endUser },
      name: 'mine',
      actionCredentials: [{ credential: { id: shared.id } }],
    });
    // Binding it elsewhere counts as a touch.
    const stored = async () => {
      const found = await test.database.collection('credentials').findOne({ organizationId: world.organization, name: 'shared token' });
      return { ...found, touches: undefined };
    };
    const before = await stored();
    const own = await test.makeEndUserToken(caller, { id: world.endUser });
    const renew = async (token?: string) => {
      const { authorization } = await start(world, { returnTo, confirmation: true, connection: { id: connection } }, token);
      const answer = await callback(await server.consent(authorization.authorizationUrl));
      return complete(world, new URL(answer.headers.get('location')!), {}, token === undefined ? {} : { token });
    };
    const idsOf = async () => (await read(world, connection)).actionCredentials.map(({ credential }: Json) => credential.id);
    expect(await renew(own)).toMatchObject({ connection: { id: connection } });
    const ids = await idsOf();
    expect(ids).toEqual([shared.id, expect.any(String)]);
    expect(await stored()).toEqual(before);
    const ownOf = (id: string) =>
      test.query({ ...caller, token: own }, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { version } } }', {
        id,
      });
    const { credential } = await ownOf(ids[1]);
    expect(await renew(own)).toMatchObject({ connection: { id: connection } });
    expect(await idsOf()).toEqual(ids);
    expect((await ownOf(ids[1])).credential.version).toBeGreaterThan(credential.version);
    expect(await stored()).toEqual(before);

    const set = (name: string, token?: string) => start(world, { returnTo, name, additionalParams: [{ name, value: 'x' }] }, token);
    const refused = ['user_scope', 'authorization_details', 'claims', 'audience', 'resource', 'scopes', 'response_mode', 'made_up'];
    for (const name of refused) expect((await set(name, own)).issues).toMatchObject([{ path: ['input', 'additionalParams', '0', 'name'] }]);
    for (const name of ['login_hint', 'UI_Locales', 'hd']) expect(await set(name, own)).toHaveProperty('authorization');
    expect(await set('audience')).toHaveProperty('authorization');
  });
});

it('believes nothing that somebody else has written into an authorization, and removes it with what it belongs to', async () => {
  const authorizations = test.database.collection<{ _id: string }>('authorizations');
  const world = await seed();
  const { organization } = world;
  const begun = async (of = world) => {
    const url = new URL((await start(of, { returnTo, name: `n${Math.random()}` })).authorization.authorizationUrl);
    const stateHash = createHash('sha256').update(url.searchParams.get('state')!).digest('base64url');
    return { url, stateHash };
  };
  const changes = [
    { expiresAt: new Date(Date.now() + 1e11) },
    { expiresAt: 'never' },
    { expiresAt: Number.MAX_SAFE_INTEGER },
    { expiresAt: null },
    { organizationId: { a: 1 } },
    { organizationId: ['a'] },
    { organizationId: 1 },
    { integrationId: { a: 1 } },
    { endUserId: 5 },
    { sealed: { a: 1 } },
    { sealed: 'x' },
  ];
  for (const change of changes) {
    const { url, stateHash } = await begun();
    const { matchedCount } = await authorizations.updateOne({ stateHash } as object, { $set: change } as object);
    expect(matchedCount).toBe(1);
    const answer = await callback(`https://x.example/?${new URLSearchParams({ state: url.searchParams.get('state')!, code: 'c' })}`);
    expect([change, answer.status]).toEqual([change, 400]);
    await authorizations.deleteOne({ stateHash } as object);
  }

  const left = async () => authorizations.countDocuments({ organizationId: organization } as object);
  const remove = async (noun: string, id: string) => {
    const member = noun[0]!.toLowerCase() + noun.slice(1);
    const query = `mutation ($input: Delete${noun}Input!) { result: delete${noun}(input: $input) { __typename ... on MutationError { message } } }`;
    const { result } = await test.query({ organization }, query, { input: { [member]: { id }, force: true } });
    expect(result).toMatchObject({ __typename: `Delete${noun}Success` });
  };
  const another = await test.create({ organization }, 'EndUser', { integration: { id: world.integration }, externalId: 'bob' });
  await begun();
  await begun({ ...world, endUser: another.id });
  expect(await left()).toBe(2);
  await remove('EndUser', another.id);
  expect(await left()).toBe(1);
  await remove('Connector', world.connector);
  expect(await left()).toBe(0);
  const second = await seed();
  await begun(second);
  const query = `mutation ($input: DeleteIntegrationInput!) { result: deleteIntegration(input: $input) { __typename } }`;
  const input = { integration: { id: second.integration }, force: true };
  await test.query({ organization: second.organization }, query, { input });
  expect(await authorizations.countDocuments({ organizationId: second.organization } as object)).toBe(0);
  const third = await seed();
  await begun(third);
  await test.gateway.deleteOrganization(third.organization);
  expect(await authorizations.countDocuments({ organizationId: third.organization } as object)).toBe(0);
});

function answerOf({ organization, connector }: World, input: object, token: string) {
  return test.answer({ organization, token }, START, { input: { connector: { id: connector }, ...input } });
}

it('ends what the service refuses, and what is too old or revoked', async () => {
  const world = await seed();
  const begun = async (input: object = { returnTo }) => new URL((await start(world, input)).authorization.authorizationUrl);
  const before = await countOf(world);

  const denied = await server.consent((await begun()).href, 'abort');
  expect(landed(await callback(denied))).toMatchObject({ result: 'error', error: 'access_denied' });
  expect((await callback(denied)).status).toBe(400);
  const refused = await callback(await server.consent((await begun({})).href, 'abort'));
  expect([refused.status, await refused.text()]).toEqual([200, expect.stringContaining('You did not give your consent')]);

  const stateOf = async () => (await begun()).searchParams.get('state')!;
  const sent = async (parameters: object) =>
    callback(`https://x.example/?${new URLSearchParams({ state: await stateOf(), ...parameters })}`);
  // Whatever a service says is reduced to what a standard defines.
  expect(landed(await sent({ error: 'server_error', error_description: 'canary' }))).toMatchObject({ error: 'server_error' });
  expect(landed(await sent({ error: 'canary' }))).toMatchObject({ error: 'unknown_error' });
  expect(landed(await sent({}))).toMatchObject({ error: 'unknown_error' });
  expect(landed(await sent({ code: 'two words\n' }))).toMatchObject({ error: 'unknown_error' });
  expect(landed(await sent({ code: 'made-up' }))).toMatchObject({ error: 'service_failed' });
  expect(landed(await sent({ code: 'made-up', iss: 'https://another.example' }))).toMatchObject({ error: 'validation_failed' });
  expect((await callback(`https://x.example/?code=a&state=${await stateOf()}&state=b`)).status).toBe(400);
  expect((await callback('https://x.example/')).status).toBe(400);

  // The client was forbidden meanwhile.
  const forbidden = await server.consent((await begun()).href);
  const update = `mutation ($input: UpdateCredentialInput!) { updateCredential(input: $input) { __typename } }`;
  const setPurposes = (allowedPurposes: string[]) =>
    test.query({ organization: world.organization }, update, { input: { credential: world.client, allowedPurposes } });
  await setPurposes([]);
  expect(landed(await callback(forbidden))).toMatchObject({ error: 'validation_failed' });
  await setPurposes(['TOKEN_REQUEST']);

  const old = await server.consent((await begun()).href);
  const late = await server.consent((await begun()).href);
  const now = test.time();
  test.time = () => new Date(now.getTime() + 10 * 60_000 + 1_000);
  expect((await callback(old)).status).toBe(400);
  await test.gateway.sweep();
  expect(await test.database.collection('authorizations').countDocuments({ organizationId: world.organization })).toBe(0);
  test.time = () => new Date();
  expect((await callback(late)).status).toBe(400);

  // Who started it has been revoked meanwhile: its API key, or its token.
  const key = await test.makeAPIKey({ organization: world.organization }, { scopes: ['connections.post', 'credentials.post'] });
  const byKey = await start(world, { returnTo }, key.key).then(({ authorization }) => server.consent(authorization.authorizationUrl));
  const revoke = `mutation ($input: RevokeAPIKeyInput!) { revokeAPIKey(input: $input) { __typename } }`;
  await test.query({ organization: world.organization }, revoke, { input: { apiKey: key.id } });
  expect(landed(await callback(byKey))).toMatchObject({ error: 'unauthenticated' });
  expect(await countOf(world)).toEqual(before);
  const byToken = await server.consent((await begun()).href);
  const revokeTokens = `mutation ($input: RevokeTokensInput!) { revokeTokens(input: $input) { __typename } }`;
  const admin = { organization: world.organization, claims: { sub: 'admin' } };
  await test.query(admin, revokeTokens, { input: { subject: 'tester' } });
  expect(landed(await callback(byToken))).toMatchObject({ error: 'unauthenticated' });
  // Nothing of a redirect is in the log.
  const logs = test.logs.join('\n');
  for (const text of ['canary', old.searchParams.get('code')!, old.searchParams.get('state')!]) expect(logs).not.toContain(text);
});

it('refuses what cannot lead to a connection, before a user sees a page', async () => {
  const world = await seed({ additionalAuthorizeParams: [{ name: 'access_type', value: 'offline' }] });
  const caller = { organization: world.organization };
  const issueOf = async (input: object, of = world) => [
    ...new Set((await start(of, input)).issues?.map(({ path }: Json) => path.slice(1).join('.'))),
  ];
  expect(await issueOf({ returnTo: 'https://evil.example/' })).toEqual(['returnTo']);
  expect(await issueOf({ returnTo: 'https://user@app.example.com/' })).toEqual(['returnTo']);
  expect(await issueOf({ returnTo: 'https://app.example.com.evil.example/' })).toEqual(['returnTo']);
  expect(await issueOf({ redirectUrl: 'http://app.example.com/' })).toEqual(['redirectUrl']);
  expect(await issueOf({ redirectUrl: landing, returnTo })).toEqual(['returnTo']);
  for (const name of ['state', 'redirect_uri', 'code_challenge', 'request', 'access_type', 'Scope', 'STATE', 'Access_Type']) {
    expect(await issueOf({ additionalParams: [{ name, value: 'x' }] })).toEqual(['additionalParams.0.name']);
  }
  expect(await issueOf({ prompt: 'none', additionalParams: [{ name: 'prompt', value: 'login' }] })).toEqual(['additionalParams.0.name']);
  const twice = ['login_hint', 'Login_Hint'].map((name) => ({ name, value: 'x' }));
  expect(await issueOf({ additionalParams: twice })).toEqual(['additionalParams.1.name']);
  expect(await issueOf({ authSchemeId: 'another' })).toEqual(['authSchemeId']);
  const promptOf = async (input: object) => new URL((await start(world, input)).authorization.authorizationUrl).searchParams.get('prompt');
  expect(await promptOf({})).toBe('login');
  expect(await promptOf({ additionalParams: [{ name: 'approval_prompt', value: 'force' }] })).toBeNull();
  expect(await promptOf({ prompt: 'select_account' })).toBe('select_account');

  const connection = await test.create(caller, 'Connection', {
    integration: { id: world.integration },
    connector: { id: world.connector },
    endUser: { id: world.endUser },
    name: 'taken',
  });
  expect(await start(world, { name: 'taken' })).toMatchObject({ code: 'CONFLICT' });
  expect(await issueOf({ connection: { id: connection.id }, name: 'x' })).toEqual(['name']);
  const other = await test.create(caller, 'EndUser', { integration: { id: world.integration }, externalId: 'bob' });
  expect(await start(world, { connection: { id: connection.id }, endUser: { id: other.id } })).toMatchObject({ code: 'NOT_FOUND' });
  const loose = await test.create(caller, 'Connection', { integration: { id: world.integration }, name: 'loose' });
  expect(await start(world, { connection: { id: loose.id } })).toMatchObject({ code: 'NOT_FOUND' });

  // The client may not be sent there, or is not there.
  for (const client of [{ allowedDomains: [] }, { allowedPurposes: ['ACTION'] }, { enabled: false }]) {
    expect(await issueOf({}, await seed({}, {}, client))).toEqual(['connector']);
  }
  expect(await issueOf({}, await seed({ clientCredentialId: null }))).toEqual(['connector']);
  expect(await issueOf({}, await seed({ authorizeUrl: null }))).toEqual(['authSchemeId']);
  expect(await issueOf({}, await seed({ grant: 'CLIENT_CREDENTIALS' }))).toEqual(['authSchemeId']);

  const scopes = ['credentials.post', 'connectors.get'];
  const { errors } = await test.answer({ ...caller, scopes }, START, { input: { connector: { id: world.connector } } });
  expect(errors![0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'connections.post' });
});

it('V18f: exchanges a code that the application itself has received', async () => {
  const world = await seed();
  const caller = { organization: world.organization };
  const codeVerifier = randomBytes(32).toString('base64url');
  const asked = {
    client_id: oauthClient.id,
    response_type: 'code',
    redirect_uri: landing,
    scope: 'tickets:read offline_access',
    prompt: 'consent',
    state: 'of-the-application',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  const received = async () => (await server.consent(`${server.authorizeUrl}?${new URLSearchParams(asked)}`)).searchParams.get('code');
  const scheme = { schemeId: 'oauth', schemeType: 'OAUTH2' };
  const oauth2 = { grant: 'AUTHORIZATION_CODE', tokenUrl: server.tokenUrl, clientCredentialId: world.client };
  const inputOf = (oauth2Code: object, name: string, authScheme: object | null = { ...scheme, oauth2 }) => ({
    integration: { id: world.integration },
    connector: { id: world.connector },
    name,
    actionCredentials: [{ credential: { create: { name: 'mine', data: { oauth2Code } } }, authScheme }],
  });
  const code = {
    code: await received(),
    state: 'of-the-application',
    redirectUrl: landing,
    additionalParams: `code_verifier=${codeVerifier}`,
  };
  const attempt = async (input: object) => {
    const query = `mutation ($input: CreateConnectionInput!) {
      result: createConnection(input: $input) { __typename ${ERRORS} ... on ServiceFailedError { serviceCode } }
    }`;
    return (await test.query(caller, query, { input })).result;
  };
  // What is wrong with the rest of the input leaves the code alone.
  expect(await attempt(inputOf(code, ''))).toMatchObject({ code: 'VALIDATION_FAILED' });
  expect(await attempt(inputOf(code, 'one', null))).toMatchObject({
    issues: [{ message: expect.stringContaining('is exchanged only if the authScheme of the entry is an OAUTH2 scheme') }],
  });
  const { id } = await test.create(caller, 'Connection', inputOf(code, 'one'));
  const [{ credential }] = (await read(world, id)).actionCredentials;
  expect(credential).toMatchObject({
    scopes: expect.arrayContaining(['tickets:read']),
    accessToken: { isSet: true },
    refreshToken: { isSet: true },
  });
  // A code is good once, and a state of the gateway is not the application’s.
  expect(await attempt(inputOf(code, 'two'))).toMatchObject({ code: 'SERVICE_FAILED', serviceCode: 'invalid_grant' });
  const { authorization } = await start(world, { redirectUrl: landing });
  const state = new URL(authorization.authorizationUrl).searchParams.get('state');
  expect((await attempt(inputOf({ ...code, state }, 'three'))).issues[0].message).toContain('complete it with completeAuthorization');
});

it('fills a connector with what a server says about itself', async () => {
  const world = await seed();
  const query = `mutation ($input: DiscoverConnectorInput!) {
    result: discoverConnector(input: $input) {
      ... on DiscoverConnectorSuccess { connector { authSchemes { schemeId ... on OAuth2AuthScheme {
        grant authorizeUrl tokenUrl revocationUrl introspectionUrl issuer clientAuthentication clientCredentialId scopes { name } } } } }
      ${ERRORS} ... on ServiceFailedError { reason }
    }
  }`;
  const discover = async (input: object) =>
    (await test.query({ organization: world.organization }, query, { input: { connector: { id: world.connector }, ...input } })).result;
  const { connector } = await discover({ issuer: server.issuer, authSchemeId: 'new' });
  const endpoints = {
    authorizeUrl: server.authorizeUrl,
    tokenUrl: server.tokenUrl,
    revocationUrl: `${server.tokenUrl}/revocation`,
    introspectionUrl: `${server.tokenUrl}/introspection`,
    issuer: server.issuer,
  };
  const scopes = expect.arrayContaining([{ name: 'tickets:read' }]);
  expect(connector.authSchemes).toMatchObject([
    { schemeId: 'oauth', clientCredentialId: world.client, revocationUrl: null },
    { schemeId: 'new', grant: 'AUTHORIZATION_CODE', clientAuthentication: 'BASIC', clientCredentialId: null, scopes, ...endpoints },
  ]);
  // A scheme that is there keeps its client.
  const again = await discover({ issuer: server.issuer, authSchemeId: 'oauth' });
  expect(again.connector.authSchemes[0]).toMatchObject({ schemeId: 'oauth', clientCredentialId: world.client, ...endpoints });
  // The document must name the issuer that was asked for, and there must be one.
  const { port } = new URL(server.issuer);
  expect(await discover({ issuer: `http://127.0.0.1:${port}` })).toMatchObject({ code: 'SERVICE_FAILED', reason: 'OTHER_ISSUER' });
  expect(await discover({ issuer: `${server.issuer}/tenant` })).toMatchObject({ code: 'SERVICE_FAILED' });
  expect(await discover({ issuer: 'https://nowhere.invalid' })).toMatchObject({ code: 'SERVICE_FAILED', reason: 'UNREACHABLE' });
});
