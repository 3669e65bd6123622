import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { checkDueConnections } from '../../src/domain/check.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { createOAuth } from '../../src/services/oauth/index.ts';
import { createOutbound, defaultOutbound } from '../../src/services/outbound/index.ts';
import { type Json, TestGateway, useTestGateway } from '../harness.ts';
import { gatewayOn, openStore } from '../vault.ts';
import { type OAuthServer, oauthClient, startOAuthServer } from './oauth-server.ts';

const HOUR = 3_600_000;
const policy = { publicUrl: 'https://gateway.example', returnOrigins: ['https://app.example.com'] };
const test = useTestGateway(Object.assign(new TestGateway(), { policy }));
/** Another copy of the gateway on the same database. */
let copy: TestGateway;
let travelled = 0;
const time = () => new Date(Date.now() + travelled);

/** How the way to the token endpoint treats the next requests. Then it lets them pass. */
type Treatment = 'pass' | 'drop' | 'lose' | 'hold' | { readonly status: number; readonly body: object; readonly isHeld?: true };
let next: Treatment[] = [];
let held: (() => void)[] = [];
let seen: URLSearchParams[] = [];
/** The paths of the requests in `seen`. */
let paths: string[] = [];
const googleKey = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const way = createServer((request, response) => void treat(request, response).catch(() => response.destroy()));
let server: OAuthServer;
let tokenUrl = '';

async function treat(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  seen.push(form);
  paths.push(request.url!);
  const treatment = next.shift();
  if (treatment === 'drop') return void request.socket.destroy();
  if (treatment === 'hold' || (typeof treatment === 'object' && treatment.isHeld)) await new Promise<void>((release) => held.push(release));
  if (typeof treatment === 'object') {
    response.writeHead(treatment.status, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify(treatment.body));
  }
  if (request.url === '/google') {
    const key = await import('node:crypto').then(({ createPublicKey }) => createPublicKey(googleKey.publicKey));
    const { payload } = await jwtVerify(form.get('assertion')!, key, {
      audience: `${tokenUrl.replace('/token', '')}/google`,
      currentDate: time(),
    });
    response.writeHead(200, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify({ access_token: `for ${payload.iss}`.replace(' ', '-'), expires_in: 3600 }));
  }
  const { 'content-type': type, authorization } = request.headers;
  const answer = await fetch(`${server.issuer}${request.url}`, {
    method: 'POST',
    headers: { 'content-type': type!, ...(authorization && { authorization }) },
    body,
  });
  const text = await answer.text();
  if (treatment === 'lose') return void request.socket.destroy();
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
}

beforeAll(async () => {
  server = await startOAuthServer();
  await new Promise<void>((done) => way.listen(0, '127.0.0.1', done));
  tokenUrl = `http://localhost:${(way.address() as AddressInfo).port}/token`;
  const { uri, databaseName, masterKey } = test;
  copy = Object.assign(new TestGateway(), { policy, uri, databaseName, masterKey, time });
  await copy.open();
});
afterAll(async () => {
  await copy.close();
  way.closeAllConnections();
  way.close();
  await server.stop();
});
beforeEach(() => {
  [travelled, next, held, seen, paths] = [0, [], [], [], []];
  test.time = time;
});

interface World {
  readonly organization: string;
  readonly integration: string;
  readonly connector: string;
  readonly client: string;
}

async function seed(more: object = {}): Promise<World> {
  const organization = test.newOrganization();
  const caller = { organization };
  const { id: integration } = await test.create(caller, 'Integration', { name: 'shop' });
  const { id: client } = await test.create(caller, 'Credential', {
    integration: { id: integration },
    name: 'client',
    allowedDomains: ['localhost', 'api.example.com'],
    allowedPurposes: ['TOKEN_REQUEST', 'ACTION'],
    data: { oauth2Client: { clientId: oauthClient.id, clientSecret: oauthClient.secret, tokenUrl } },
  });
  const { id: connector } = await test.create(caller, 'Connector', {
    integration: { id: integration },
    name: 'desk',
    baseUrl: 'https://api.example.com/v1',
    authSchemes: [scheme({ clientCredentialId: client, ...more })],
  });
  return { organization, integration, connector, client };
}

function scheme(more: object) {
  const oauth2 = { grant: 'AUTHORIZATION_CODE', authorizeUrl: server.authorizeUrl, tokenUrl, defaultScopes: ['tickets:read'] };
  const additionalAuthorizeParams = [{ name: 'prompt', value: 'consent' }];
  return { schemeId: 'oauth', schemeType: 'OAUTH2', oauth2: { ...oauth2, additionalAuthorizeParams, ...more } };
}

const googleFile = () => ({ type: 'service_account', client_email: 'robot@example.com', private_key: googleKey.privateKey });

/** A user consents: returns the connection, or renews one. */
async function consent({ organization, connector }: World, connection?: string, name?: string): Promise<string> {
  const { result } = await test.query(
    { organization },
    `mutation ($input: StartAuthorizationInput!) {
      result: startAuthorization(input: $input) { ... on StartAuthorizationSuccess { authorization { authorizationUrl } } ... on MutationError { message } }
    }`,
    {
      input: {
        connector: { id: connector },
        ...(connection && { connection: { id: connection } }),
        ...(name && { name }),
        returnTo: 'https://app.example.com/',
      },
    },
  );
  const { search } = await server.consent(result.authorization.authorizationUrl);
  const answer = await test.gateway.fetch(new Request(`http://gateway.test/oauth/callback${search}`, { redirect: 'manual' }));
  const landed = new URL(answer.headers.get('location')!).searchParams;
  expect(landed.get('result')).toBe('connected');
  seen = [];
  return landed.get('connection')!;
}

/** Uses a connection: returns the Authorization header, or why there is none. */
async function use({ organization }: World, connection: string, at: TestGateway = test): Promise<string> {
  const input = { connection: { id: connection }, method: 'GET', url: 'https://api.example.com/v1/tickets' };
  const { result } = await at.query(
    { organization, scopes: ['connections.use', 'connections.get', 'credentials.get'] },
    `mutation ($input: AuthorizeRequestInput!) {
      result: authorizeRequest(input: $input) {
        ... on AuthorizeRequestSuccess { request { headers { name value } } }
        ... on MutationError { code } ... on CredentialNotUsableError { reason } ... on ServiceFailedError { failure: reason serviceCode }
      }
    }`,
    { input },
  );
  return result.request ? result.request.headers[0].value : [result.code, result.reason ?? result.failure].join(' ');
}

async function credentialOf({ organization }: World, connection: string): Promise<Json> {
  const query = `query ($id: ID!) { connection(by: { id: $id }) { actionCredentials { credential { ... on CredentialBase {
    id name version updatedAt state checkedAt problems { code }
    tokenFacts { scopes expiresAt refreshedAt refreshAt failure failureCode failures }
  } } } } }`;
  return (await test.query({ organization }, query, { id: connection })).connection.actionCredentials[0].credential;
}

async function refresh({ organization }: World, credential: string, more: object = {}, at: TestGateway = test): Promise<Json> {
  const query = `mutation ($input: RefreshCredentialInput!) {
    result: refreshCredential(input: $input) {
      ... on RefreshCredentialSuccess { credential { id version updatedAt } }
      ... on MutationError { code } ... on CredentialNotUsableError { reason } ... on ServiceFailedError { failure: reason serviceCode }
    }
  }`;
  return (await at.query({ organization }, query, { input: { credential, ...more } })).result;
}

const until = async (isSo: () => boolean) => {
  while (!isSo()) await new Promise((done) => setImmediate(done));
};

it('fifty requests on two copies, at a token that just ran out, make one refresh', async () => {
  const world = await seed();
  const connection = await consent(world);
  const [before, first] = [await credentialOf(world, connection), await use(world, connection)];
  expect(await use(world, connection, copy)).toBe(first);
  expect(seen).toHaveLength(0);
  travelled = HOUR;
  const used = await Promise.all(Array.from({ length: 50 }, (_, index) => use(world, connection, index % 2 ? copy : test)));
  expect(new Set(used).size).toBe(1);
  expect(used[0]).toMatch(/^Bearer .+/);
  expect(used[0]).not.toBe(first);
  expect(seen.map((form) => form.get('grant_type'))).toEqual(['refresh_token']);
  const after = await credentialOf(world, connection);
  expect(after).toMatchObject({ version: before.version, updatedAt: before.updatedAt, problems: [] });
  expect(after.tokenFacts).toMatchObject({
    failure: null,
    failures: 0,
    refreshedAt: expect.any(String),
    scopes: expect.arrayContaining(['tickets:read']),
  });
  // The rotated refresh token was stored: it can be used in its turn.
  travelled = 2 * HOUR;
  const third = await use(world, connection, copy);
  expect(third).toMatch(/^Bearer .+/);
  expect([first, used[0]]).not.toContain(third);
  // By hand, also twice at once; then it was done a moment ago.
  travelled += 60_000;
  const byHand = await Promise.all([refresh(world, after.id), refresh(world, after.id, { expectedVersion: before.version }, copy)]);
  expect(byHand.map(({ credential }) => credential.version)).toEqual([before.version, before.version]);
  await refresh(world, after.id);
  expect(seen).toHaveLength(3);
  expect(await refresh(world, after.id, { expectedVersion: 99 })).toEqual({ code: 'CONFLICT' });
  expect((await refresh(world, world.client)).credential).toMatchObject({ version: 1 });
});

it('what ends soon is refreshed though nobody uses it, once over all copies', async () => {
  const world = await seed();
  const connection = await consent(world);
  const { tokenFacts, updatedAt } = await credentialOf(world, connection);
  const due = new Date(tokenFacts.refreshAt).getTime();
  expect(new Date(tokenFacts.expiresAt).getTime() - due).toBeGreaterThanOrEqual(300_000);
  await test.gateway.refreshTokens();
  expect(seen).toHaveLength(0);
  // A record of an earlier version does not say when it is due.
  const own = { organizationId: world.organization, kind: 'oauth2Token' };
  await test.database.collection('credentials').updateOne(own, { $unset: { refreshAt: '' } });
  travelled = due - Date.now() + 1_000;
  await Promise.all([test.gateway.refreshTokens(), copy.gateway.refreshTokens()]);
  expect(seen.map((form) => form.get('grant_type'))).toEqual(['refresh_token']);
  const after = await credentialOf(world, connection);
  expect(after.updatedAt).toBe(updatedAt);
  expect(new Date(after.tokenFacts.refreshAt).getTime()).toBeGreaterThan(due + HOUR / 2);
});

// Until the next flush of findings, a credential that works would be shown as one of which nothing is known.
it('a refresh proves that the credential works, and tells its connections only what is news', async () => {
  const world = await seed();
  const { organization } = world;
  const connection = await consent(world);
  const stateOf = async () => {
    const { nodes } = (await test.query(world, '{ connections(state: WORKING) { nodes { id } } }')).connections;
    expect(nodes.filter(({ id }: Json) => id !== connection)).toEqual([]);
    return nodes.length === 1 ? 'WORKING' : 'another';
  };
  const told = async () => {
    const [record] = await test.database.collection('credentials').find({ organizationId: organization, kind: 'oauth2Token' }).toArray();
    const [user] = await test.database.collection('connections').find({ organizationId: organization }).toArray();
    return { isUnspread: record!.isUnspread === true, stateChangesAt: user!.stateChangesAt.toISOString() };
  };
  const renewed = async () => {
    travelled += HOUR;
    const at = time().toISOString();
    expect(await use(world, connection)).toMatch(/^Bearer /);
    const credential = await credentialOf(world, connection);
    expect(credential).toMatchObject({ state: 'WORKING', problems: [] });
    expect(credential.checkedAt >= at).toBe(true);
    return credential.id;
  };
  await test.query(world, '{ connections(state: UNKNOWN) { nodes { id } } }');
  const credential = await renewed();
  expect((await told()).isUnspread).toBe(true);
  // The client works too. That is written with the next findings.
  expect(await stateOf()).toBe('another');
  await test.gateway.updateHealth();
  expect(await stateOf()).toBe('WORKING');
  const settled = await told();
  expect(settled).toEqual({ isUnspread: false, stateChangesAt: '9999-12-31T23:59:59.999Z' });
  await renewed();
  expect(await told()).toEqual(settled);
  await test.gateway.updateHealth();
  expect(await told()).toEqual(settled);
  expect(await stateOf()).toBe('WORKING');
  // What was found before is over, and the connection is told.
  const credentials = test.database.collection('credentials');
  const finding = { findings: [{ code: 'REFUSED', since: new Date() }], state: 'NEEDS_ATTENTION' };
  await credentials.updateOne({ organizationId: organization, kind: 'oauth2Token' }, { $set: finding });
  expect((await credentialOf(world, connection)).state).toBe('NEEDS_ATTENTION');
  await renewed();
  expect((await told()).isUnspread).toBe(true);

  // What is learned about old tokens says nothing about those that somebody writes meanwhile.
  const write = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename } }`;
  const mine = () => ({
    oauth2Token: { accessToken: 'mine', refreshToken: 'mine-too', accessTokenExpiresAt: new Date(Date.now() + travelled + HOUR) },
  });
  for (const answer of [
    { status: 200, body: { access_token: 'late', token_type: 'Bearer' } },
    { status: 400, body: { error: 'invalid_grant' } },
  ]) {
    travelled += HOUR;
    [next, held] = [[{ ...answer, isHeld: true }], []];
    const old = use(world, connection);
    await until(() => held.length === 1);
    await test.query(world, write, { input: { credential, data: mine() } });
    travelled += 1_000;
    held[0]!();
    expect(await old).toBe('Bearer mine');
    await test.gateway.updateHealth();
    expect(await credentialOf(world, connection)).toMatchObject({ state: 'UNKNOWN', checkedAt: null, tokenFacts: { failure: null } });
  }
});

it('a lost answer, a dead copy and an edit at the same time lose no refresh token', async () => {
  const world = await seed();
  const connection = await consent(world);
  // The connection broke before anything came of it.
  travelled = HOUR;
  next = ['drop'];
  expect(await use(world, connection)).toMatch(/^Bearer /);
  expect(seen).toHaveLength(2);
  expect(seen[1]!.get('refresh_token')).toBe(seen[0]!.get('refresh_token'));

  // A copy never gets an answer, and has the lease until it ends by time.
  travelled = 2 * HOUR;
  [next, seen] = [['hold'], []];
  const dead = use(world, connection, copy);
  await until(() => held.length === 1);
  travelled += 121_000;
  const taken = await use(world, connection);
  expect(taken).toMatch(/^Bearer /);
  expect(seen).toHaveLength(2);
  // It comes back to life: its answer is that of a token which is not the current one any more. What was stored stays.
  way.closeAllConnections();
  expect(await dead).toBe(taken);
  expect(seen).toHaveLength(2);
  expect(await use(world, connection)).toBe(taken);

  // The same copy waits for what it has begun itself, though the lease has ended meanwhile.
  travelled += HOUR;
  [next, held, seen] = [['hold'], [], []];
  const slow = use(world, connection);
  await until(() => held.length === 1);
  travelled += 121_000;
  const waiting = use(world, connection);
  // Time in which it could send a request of its own.
  for (let n = 0; n < 5; n++) await credentialOf(world, connection);
  held[0]!();
  expect(await slow).toMatch(/^Bearer /);
  expect(await waiting).toBe(await slow);
  expect(seen).toHaveLength(1);

  // Somebody edits the credential while it is refreshed.
  travelled += HOUR;
  [next, held, seen] = [['hold'], [], []];
  const before = await credentialOf(world, connection);
  const refreshed = use(world, connection);
  await until(() => held.length === 1);
  const rename = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename } }`;
  const { result } = await test.query(world, rename, {
    input: { credential: before.id, name: 'renamed', expectedVersion: before.version },
  });
  expect(result.__typename).toBe('UpdateCredentialSuccess');
  held[0]!();
  expect(await refreshed).toMatch(/^Bearer /);
  expect(await credentialOf(world, connection)).toMatchObject({ name: 'renamed', version: before.version + 1 });
  expect(await use(world, connection)).toBe(await refreshed);

  // Somebody writes other tokens meanwhile: the answer belongs to the old ones, and is dropped.
  travelled += HOUR;
  [next, held] = [['hold'], []];
  const old = use(world, connection);
  await until(() => held.length === 1);
  const data = {
    oauth2Token: { accessToken: 'mine', refreshToken: 'mine-too', accessTokenExpiresAt: new Date(Date.now() + travelled + HOUR) },
  };
  await test.query(world, rename, { input: { credential: before.id, data } });
  held[0]!();
  expect(await old).toBe('Bearer mine');
  expect(await use(world, connection)).toBe('Bearer mine');
});

it('a consent that was withdrawn ends it, until there is a new one; other failures wait', async () => {
  const world = await seed();
  const connection = await consent(world);
  const { updatedAt } = await credentialOf(world, connection);
  travelled = HOUR - 30_000;
  // A service that is down cannot know whether a consent has ended, whatever it says.
  const failing = { status: 503, body: { error: 'invalid_grant' } };
  // While the old token is valid, it will do.
  next = [failing];
  expect(await use(world, connection)).toMatch(/^Bearer /);
  const failed = await credentialOf(world, connection);
  expect(failed).toMatchObject({ version: 1, updatedAt });
  expect(failed.tokenFacts).toMatchObject({ failure: 'TOKEN_REQUEST_FAILED', failureCode: 'invalid_grant', failures: 1 });
  travelled = HOUR + 1_000;
  next = [{ status: 400, body: { error: 'invalid_client', error_description: 'canary-text' } }];
  expect(await use(world, connection)).toBe('SERVICE_FAILED REFUSED');
  expect(seen).toHaveLength(2);
  // It is not asked again at once, but after a pause that grows.
  next = [];
  expect(await use(world, connection)).toBe('SERVICE_FAILED REFUSED');
  travelled += 31_000;
  expect(await use(world, connection, copy)).toBe('SERVICE_FAILED REFUSED');
  expect(seen).toHaveLength(2);
  travelled += 30_000;
  expect(await use(world, connection)).toMatch(/^Bearer /);
  expect((await credentialOf(world, connection)).tokenFacts).toMatchObject({ failure: null, failures: 0 });

  await server.withdrawConsents();
  travelled += HOUR;
  seen = [];
  expect(await use(world, connection)).toBe('CREDENTIAL_NOT_USABLE NEEDS_AUTHORIZATION');
  expect(await use(world, connection, copy)).toBe('CREDENTIAL_NOT_USABLE NEEDS_AUTHORIZATION');
  const lost = await credentialOf(world, connection);
  expect(await refresh(world, lost.id)).toEqual({ code: 'CREDENTIAL_NOT_USABLE', reason: 'NEEDS_AUTHORIZATION' });
  travelled += 24 * HOUR;
  await test.gateway.refreshTokens();
  // The job refreshes what belongs to other tests.
  expect(seen.filter((form) => form.get('refresh_token') === seen[0]!.get('refresh_token'))).toHaveLength(1);
  expect(lost).toMatchObject({ state: 'NEEDS_AUTHORIZATION', problems: [{ code: 'AUTHORIZATION_LOST' }] });
  expect(lost.tokenFacts).toMatchObject({ failure: 'AUTHORIZATION_LOST', failureCode: 'invalid_grant', refreshAt: null });
  const audit = `{ auditLog(first: 50) { nodes { action subject reason } } }`;
  const { nodes } = (await test.query(world, audit)).auditLog;
  expect(nodes.filter(({ subject }: Json) => subject === '(credential-gateway)')).toEqual([
    { action: 'refreshCredential', subject: '(credential-gateway)', reason: 'the service does not renew the tokens any more' },
  ]);

  travelled = 0;
  await consent(world, connection);
  expect(await use(world, connection)).toMatch(/^Bearer /);
  expect(await credentialOf(world, connection)).toMatchObject({ problems: [], tokenFacts: { failure: null } });
  expect(test.logs.join('\n')).not.toContain('canary-text');

  // Without the scheme, or a client that may be used, nothing is refreshed.
  const update = `mutation ($input: UpdateConnectorInput!) { result: updateConnector(input: $input) { __typename } }`;
  await test.query(world, update, { input: { connector: { id: world.connector }, authSchemes: [] } });
  travelled = HOUR + 1_000;
  expect(await use(world, connection)).toBe('CREDENTIAL_NOT_USABLE NO_CLIENT');
  expect(await credentialOf(world, connection)).toMatchObject({ state: 'NEEDS_ATTENTION', problems: [{ code: 'RENEWAL_STOPPED' }] });
  await test.query(world, update, {
    input: { connector: { id: world.connector }, authSchemes: [scheme({ clientCredentialId: world.client })] },
  });
  expect(await use(world, connection)).toMatch(/^Bearer /);
  expect((await credentialOf(world, connection)).problems).toEqual([]);
});

it('tokens that the gateway obtains are sealed, reused, and dropped with what they were made from', async () => {
  const world = await seed();
  const caller = { organization: world.organization };
  const connect = async (credential: string, oauth2: object | null) => {
    const authScheme = oauth2 && { schemeId: 'own', schemeType: 'OAUTH2', oauth2: { tokenUrl, ...oauth2 } };
    const actionCredentials = [{ credential: { id: credential }, ...(authScheme && { authScheme }) }];
    const input = {
      integration: { id: world.integration },
      name: `c${Math.random()}`,
      allowedDomain: 'api.example.com',
      actionCredentials,
    };
    return (await test.create(caller, 'Connection', input)).id;
  };
  const create = async (data: object) => {
    const allowed = { allowedDomains: ['localhost', 'api.example.com'], allowedPurposes: ['TOKEN_REQUEST', 'ACTION'] };
    return (await test.create(caller, 'Credential', { integration: { id: world.integration }, name: 'n', ...allowed, data })).id;
  };
  const connection = await connect(world.client, { grant: 'CLIENT_CREDENTIALS', defaultScopes: ['tickets:read'] });
  const used = await Promise.all(Array.from({ length: 10 }, (_, index) => use(world, connection, index % 2 ? copy : test)));
  expect(new Set(used).size).toBe(1);
  expect(used[0]).toMatch(/^Bearer /);
  expect(seen.map((form) => form.get('grant_type'))).toEqual(['client_credentials']);
  expect((await credentialOf(world, connection)).tokenFacts).toMatchObject({ scopes: ['tickets:read'], failure: null });
  // The token is no field of the credential: it cannot be revealed, and is not exported.
  const stored: Json = await test.database.collection('credentials').findOne({ organizationId: world.organization, name: 'client' });
  const hidden = Object.keys(stored.secrets).find((name) => name.startsWith('token:'))!;
  expect(JSON.stringify(stored)).not.toContain(used[0]!.slice('Bearer '.length));
  const reveal = `mutation ($input: RevealSecretInput!) { result: revealSecret(input: $input) { ... on MutationError { code } } }`;
  const { result } = await test.query(caller, reveal, { input: { credential: world.client, field: hidden, reason: 'the test looks' } });
  expect(result).toEqual({ code: 'VALIDATION_FAILED' });
  const lines: string[] = [];
  for await (const line of test.gateway.transfer.exportLines(world.organization, { onProblem: () => {} })) lines.push(line);
  expect(lines.join('\n')).not.toContain('token:');
  // It ends, and another one is obtained; the old one is dropped.
  travelled = HOUR;
  expect(await use(world, connection)).not.toBe(used[0]);
  expect(seen).toHaveLength(2);
  const update = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename } }`;
  const secrets = test.database.collection('secrets');
  const ofClient = { organizationId: world.organization, field: { $gte: 'token:', $lt: 'token;' } };
  expect(await secrets.countDocuments(ofClient)).toBe(1);
  await test.query(caller, update, { input: { credential: world.client, data: { oauth2Client: { clientSecret: 'wrong' } } } });
  expect(await secrets.countDocuments(ofClient)).toBe(0);
  expect(await use(world, connection)).toBe('SERVICE_FAILED REFUSED');
  await test.query(caller, update, { input: { credential: world.client, data: { oauth2Client: { clientSecret: oauthClient.secret } } } });
  expect(await use(world, connection)).toMatch(/^Bearer /);
  // A client that may not be sent there is not sent, and its token is not used any more.
  await test.query(caller, update, { input: { credential: world.client, allowedDomains: ['api.example.com'] } });
  seen = [];
  expect(await use(world, connection)).toBe('CREDENTIAL_NOT_USABLE DOMAIN');
  expect(seen).toHaveLength(0);

  // Nor is anything else: it is checked before it is opened. (What is stored here cannot be opened.)
  await test.query(caller, update, { input: { credential: world.client, allowedDomains: ['localhost'] } });
  const others = {
    oauth2Token: { accessToken: 'a', refreshToken: 'r', scopes: [], accessTokenExpiresAt: new Date(0) },
    oauth2Password: { username: 'ada', password: 'pw' },
    gcp: { keyJson: JSON.stringify({ ...googleFile(), token_uri: tokenUrl }) },
  };
  for (const [kind, fields] of Object.entries(others)) {
    const id = await create({ [kind]: fields });
    const grant = kind === 'oauth2Password' ? 'PASSWORD' : 'AUTHORIZATION_CODE';
    const own = { grant, authorizeUrl: server.authorizeUrl, clientCredentialId: world.client };
    const using = await connect(id, kind === 'gcp' ? null : own);
    const where = { organizationId: world.organization, credentialId: parseId(id)!.id };
    expect((await secrets.updateMany(where, { $set: { sealed: 'AAAA' } })).modifiedCount).toBeGreaterThan(0);
    for (const [forbidden, reason] of [
      [{ allowedDomains: ['api.example.com'] }, 'DOMAIN'],
      [{ allowedDomains: ['localhost', 'api.example.com'], allowedPurposes: ['ACTION'] }, 'PURPOSE'],
    ] as const) {
      await test.query(caller, update, { input: { credential: id, ...forbidden } });
      expect([kind, await use(world, using)]).toEqual([kind, `CREDENTIAL_NOT_USABLE ${reason}`]);
      // Without a plan, which would refuse it before.
      expect([kind, await refresh(world, id)]).toEqual([kind, { code: 'CREDENTIAL_NOT_USABLE', reason }]);
    }
  }
  expect(seen).toHaveLength(0);

  // Google's service accounts.
  const file = { ...googleFile(), token_uri: tokenUrl.replace('/token', '/google') };
  const google = await connect(await create({ gcp: { keyJson: JSON.stringify(file) } }), null);
  expect(await use(world, google)).toBe('Bearer for-robot@example.com');
  expect(await use(world, google)).toBe('Bearer for-robot@example.com');
  expect(seen).toHaveLength(1);
  // A user name and a password, without a client.
  next = [{ status: 200, body: { access_token: 'of-ada', token_type: 'bearer' } }];
  const password = await connect(await create({ oauth2Password: { username: 'ada', password: 'pw' } }), { grant: 'PASSWORD' });
  expect(await use(world, password)).toBe('Bearer of-ada');
  expect(Object.fromEntries(seen[1]!)).toMatchObject({ grant_type: 'password', username: 'ada', password: 'pw' });
});

const rule = (world: World, more: object) =>
  test.query(world, 'mutation ($input: UpdateConnectorInput!) { result: updateConnector(input: $input) { __typename } }', {
    input: { connector: { id: world.connector }, authSchemes: [scheme({ clientCredentialId: world.client, ...more })] },
  });
const change = async (world: World, credential: string, changes: object) => {
  const query = 'mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename } }';
  const { result } = await test.query(world, query, { input: { credential, ...changes } });
  expect(result.__typename).toBe('UpdateCredentialSuccess');
};

it('a deletion revokes the tokens at the service if asked, after it is committed, and says what became of them', async () => {
  const revocationUrl = `${tokenUrl}/revocation`;
  const world = await seed({ revocationUrl });
  const remove = async (credential: string, more: object = { force: true, revoke: true }) => {
    const query = `mutation ($input: DeleteCredentialInput!) { result: deleteCredential(input: $input) {
      ... on DeleteCredentialSuccess { deletedId revocation } ... on MutationError { code }
    } }`;
    const { result } = await test.query(world, query, { input: { credential, ...more } });
    if (!result.code) expect(result.deletedId).toBe(credential);
    return result.code ?? result.revocation;
  };
  let count = 0;
  const made = async () => {
    const { id } = await credentialOf(world, await consent(world, undefined, `${count++}`));
    paths = [];
    return id;
  };
  const isThere = async (id: string) =>
    (await test.query(world, 'query ($id: ID!) { credential(id: $id) { __typename } }', { id })).credential !== null;

  // A deletion that is refused revokes nothing.
  const id = await made();
  expect(await remove(id, { revoke: true })).toBe('IN_USE');
  expect(await remove(id, { revoke: true, force: true, expectedVersion: 7 })).toBe('CONFLICT');
  expect(await remove(id.replace(/.{4}$/, 'AAAA'), { revoke: true })).toMatch(/NOT_FOUND|VALIDATION_FAILED/);
  expect(paths).toEqual([]);
  next = ['hold'];
  const running = remove(id);
  await until(() => held.length > 0);
  expect(await isThere(id)).toBe(false);
  held[0]!();
  expect(await running).toBe('REVOKED');
  expect(paths).toEqual(['/token/revocation', '/token/revocation']);
  expect(seen.map((form) => form.get('token_type_hint'))).toEqual(['refresh_token', 'access_token']);
  const { id: clientId, secret } = oauthClient;
  const used = await fetch(`${server.issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa([clientId, secret].map(encodeURIComponent).join(':'))}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: seen[0]!.get('token')! }),
  });
  expect([used.status, await used.json()]).toEqual([400, expect.objectContaining({ error: 'invalid_grant' })]);
  const { nodes } = (await test.query(world, '{ auditLog(first: 1) { nodes { action reason } } }')).auditLog;
  expect(nodes).toEqual([{ action: 'deleteCredential', reason: 'revoked at the service' }]);

  // Whatever the service answers, the credential is gone.
  const error = (status: number, code: string) => ({ status, body: { error: code, error_description: 'canary-text' } });
  const answers: [Treatment[], string, number][] = [
    [['drop'], 'FAILED', 1],
    [[error(503, 'server_error')], 'FAILED', 1],
    [[error(400, 'unsupported_token_type')], 'NOT_SUPPORTED', 1],
    [['pass', error(400, 'unsupported_token_type')], 'REVOKED', 2],
    [['pass', error(401, 'invalid_client')], 'FAILED', 2],
  ];
  for (const [treatments, outcome, requests] of answers) {
    const one = await made();
    next = [...treatments];
    expect(await remove(one), JSON.stringify(treatments)).toBe(outcome);
    expect(paths).toHaveLength(requests);
    expect(await isThere(one)).toBe(false);
  }
  expect(test.logs.join('\n')).not.toContain('canary-text');

  // The tokens of a refresh that is under way are revoked, and not those that it replaces.
  const refreshed = await made();
  [seen, next, held] = [[], ['hold'], []];
  const refreshing = refresh(world, refreshed, {}, copy);
  await until(() => held.length > 0);
  const removing = remove(refreshed);
  held[0]!();
  expect(await removing).toBe('REVOKED');
  await refreshing;
  expect(paths).toEqual(['/token', '/token/revocation', '/token/revocation']);
  expect(seen[1]!.get('token')).not.toBe(seen[0]!.get('refresh_token'));

  // Nothing is sent if nobody asks, or if it may not be sent there.
  expect(await remove(await made(), { force: true })).toBeNull();
  const [off, elsewhere, client, without] = [await made(), await made(), await made(), await made()];
  await change(world, off, { enabled: false });
  expect(await remove(off)).toBe('NOT_ALLOWED');
  await rule(world, { revocationUrl: 'https://elsewhere.example/revoke' });
  await change(world, client, { allowedDomains: ['localhost', 'elsewhere.example'] });
  expect(await remove(client)).toBe('NOT_ALLOWED');
  await change(world, world.client, { allowedDomains: ['localhost', 'elsewhere.example'] });
  expect(await remove(elsewhere)).toBe('NOT_ALLOWED');
  await rule(world, {});
  expect(await remove(without)).toBe('NOT_SUPPORTED');
  expect(await remove(world.client)).toBe('NOT_SUPPORTED');
  expect(paths).toEqual([]);
}, 120_000);

it('tokens are checked by introspection, or by a refresh, and only a refused refresh asks for a new consent', async () => {
  const introspectionUrl = `${tokenUrl}/introspection`;
  const world = await seed({ introspectionUrl });
  const connection = await consent(world);
  const { id } = await credentialOf(world, connection);
  const check = async (noun: 'Credential' | 'Connection' = 'Credential', which = id) => {
    [seen, paths] = [[], []];
    travelled += 11_000;
    const selection = 'state problems { code }';
    const query = `mutation ($input: Check${noun}Input!) { result: check${noun}(input: $input) {
      ... on Check${noun}Success { node: ${noun.toLowerCase()} { ${noun === 'Credential' ? `... on CredentialBase { ${selection} checkedAt }` : selection} } } ... on MutationError { code message }
    } }`;
    const input = noun === 'Credential' ? { credential: which } : { connection: { id: which } };
    const { result } = await test.query(world, query, { input });
    return result.node ? [result.node.state, ...result.node.problems.map(({ code }: Json) => code)].join(' ') : result.code;
  };
  const [introspection, refreshed] = [['/token/introspection'], ['/token/introspection', '/token']];

  expect((await credentialOf(world, connection)).state).toBe('UNKNOWN');
  expect([await check(), paths]).toEqual(['WORKING', introspection]);
  expect([await check('Connection', connection), paths]).toEqual(['WORKING', introspection]);
  next = ['drop'];
  expect([await check(), paths]).toEqual(['NEEDS_ATTENTION SERVICE_FAILED', introspection]);
  expect([await check(), paths]).toEqual(['WORKING', introspection]);
  // A refresh decides if the service says nothing, or that the token is not active.
  for (const body of [{ error: 'invalid_client' }, { active: 'yes' }, { active: false }]) {
    next = [{ status: 'error' in body ? 401 : 200, body }];
    expect([await check(), paths], JSON.stringify(body)).toEqual(['WORKING', refreshed]);
  }
  // It was refreshed a moment ago, and the new token is not active either.
  next = [{ status: 200, body: { active: false } }];
  travelled -= 11_000;
  expect([await check(), paths]).toEqual(['NEEDS_ATTENTION REFUSED', introspection]);
  next = [
    { status: 200, body: { active: false } },
    { status: 503, body: {} },
  ];
  expect([await check(), paths]).toEqual(['NEEDS_ATTENTION TOKEN_REQUEST_FAILED', refreshed]);
  // The token has run out: there is nothing to ask about.
  travelled += HOUR;
  expect([await check('Connection', connection), paths]).toEqual(['WORKING', ['/token']]);
  await rule(world, {});
  expect([await check(), paths]).toEqual(['WORKING', ['/token']]);
  await rule(world, { introspectionUrl: 'https://elsewhere.example/introspect' });
  expect([await check(), paths]).toEqual(['WORKING', ['/token']]);
  await rule(world, { introspectionUrl });

  await server.withdrawConsents();
  expect([await check('Connection', connection), paths]).toEqual(['NEEDS_AUTHORIZATION AUTHORIZATION_LOST', refreshed]);
  expect((await credentialOf(world, connection)).problems).toEqual([{ code: 'AUTHORIZATION_LOST' }]);

  // Without a refresh token, an inactive token is one that is refused.
  travelled = 0;
  await consent(world, connection);
  expect(await check()).toBe('WORKING');
  await change(world, id, { data: { oauth2Token: { refreshToken: null } } });
  expect([await check(), paths]).toEqual(['WORKING', introspection]);
  next = [{ status: 401, body: { error: 'invalid_client' } }];
  expect(await check()).toBe('NEEDS_ATTENTION UNEXPECTED_ANSWER');
  await server.withdrawConsents();
  expect([await check(), paths]).toEqual(['NEEDS_ATTENTION REFUSED', introspection]);
  await change(world, id, { enabled: false });
  expect([await check('Connection', connection), paths]).toEqual(['DISABLED REFUSED', []]);

  // The job checks what the connector allows to ask about.
  await change(world, id, { enabled: true });
  const stores = await openStore(test);
  const outbound = createOutbound({ ...defaultOutbound, ...test.outbound });
  [next, paths] = [[], []];
  travelled += 60_000;
  await checkDueConnections({ ...gatewayOn(stores, time), outbound, oauth: createOAuth(outbound, time) }, 24);
  expect(paths).toContain('/token/introspection');
  expect((await credentialOf(world, connection)).problems).toEqual([{ code: 'REFUSED' }]);
  await outbound.stop();
  await stores.close();
  await change(world, id, { enabled: false });

  // The client itself is checked by obtaining a token.
  expect([await check('Credential', world.client), paths]).toEqual(['WORKING', ['/token']]);
  await change(world, world.client, { data: { oauth2Client: { clientSecret: 'wrong' } } });
  expect([await check('Credential', world.client), paths]).toEqual(['NEEDS_ATTENTION TOKEN_REQUEST_FAILED', ['/token']]);
  await rule(world, { clientCredentialId: null });
  await change(world, id, { enabled: true });
  expect([await check(), paths]).toEqual([expect.stringContaining('REFUSED'), []]);
}, 120_000);

it('what an end user has written is not sent with a client that is not for end users', async () => {
  const world = await seed();
  const caller = { organization: world.organization };
  const { id: endUser } = await test.create(caller, 'EndUser', { integration: { id: world.integration }, externalId: 'ada' });
  const create = async (data: object, authScheme: object) => {
    const allowed = { allowedDomains: ['localhost', 'api.example.com'], allowedPurposes: ['TOKEN_REQUEST', 'ACTION'] };
    const owner = { integration: { id: world.integration }, endUser: { id: endUser } };
    const { id } = await test.create(caller, 'Credential', { ...owner, name: 'n', ...allowed, data });
    const actionCredentials = [{ credential: { id }, authScheme }];
    await test.create(caller, 'Connection', { ...owner, connector: { id: world.connector }, name: `c${Math.random()}`, actionCredentials });
    return id;
  };
  const endpoints = { introspectionUrl: `${tokenUrl}/introspection`, revocationUrl: `${tokenUrl}/revocation` };
  const withClient = { clientCredentialId: world.client, ...endpoints };
  const passwords = { ...scheme({ ...withClient, grant: 'PASSWORD' }), schemeId: 'password' };
  const update = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename } }`;
  const write = async (isEndUser: boolean, input: object) => {
    // The last one has expired.
    const by = isEndUser ? { token: await test.makeEndUserToken(caller, { id: endUser }) } : {};
    expect((await test.query({ ...caller, ...by }, update, { input })).result.__typename).toBe('UpdateCredentialSuccess');
  };
  const allow = `mutation ($input: UpdateConnectorInput!) { result: updateConnector(input: $input) { __typename } }`;
  const setAllowed = (endUsersMayUseClient: boolean) =>
    test.query(caller, allow, { input: { connector: { id: world.connector }, endUsersMayUseClient } });
  await test.query(caller, allow, { input: { connector: { id: world.connector }, authSchemes: [scheme(withClient), passwords] } });
  const answer = { status: 200, body: { access_token: 'a', refresh_token: 'r', token_type: 'bearer', expires_in: 3600 } };
  const cases = [
    { kind: 'oauth2Token', secret: 'refreshToken', data: { accessToken: 'a', refreshToken: 'given', scopes: [] }, of: scheme(withClient) },
    { kind: 'oauth2Password', secret: 'password', data: { username: 'ada', password: 'given' }, of: passwords },
  ];
  for (const { kind, secret, data, of } of cases) {
    const credential = await create({ [kind]: data }, of);
    const refreshed = async () => {
      travelled += HOUR;
      [next, seen] = [[answer], []];
      const result = await refresh(world, credential);
      return result.credential ? seen.length : result.reason;
    };
    const refused = async () => {
      expect([kind, await refreshed(), seen]).toEqual([kind, 'NO_CLIENT', []]);
    };
    // What the organization has written is, whatever the end user calls it.
    await write(true, { credential, name: 'renamed' });
    expect([kind, await refreshed()]).toEqual([kind, 1]);
    await write(true, { credential, data: { [kind]: { [secret]: 'planted' } } });
    await refused();
    // A later change by the organization does not make it good.
    await write(false, { credential, name: 'renamed again' });
    await refused();
    await setAllowed(true);
    expect([kind, await refreshed()]).toEqual([kind, 1]);
    // What came of it is no better.
    await setAllowed(false);
    if (kind === 'oauth2Token') await refused();
    await write(false, { credential, data: { [kind]: { [secret]: 'given' } } });
    expect([kind, await refreshed()]).toEqual([kind, 1]);
    if (kind === 'oauth2Token') {
      // Neither are they looked up or revoked.
      const planted = { accessToken: 'planted', refreshToken: 'planted', accessTokenExpiresAt: null };
      await write(true, { credential, data: { [kind]: planted } });
      [next, seen, paths] = [[], [], []];
      const own = { ...caller, token: await test.makeEndUserToken(caller, { id: endUser }) };
      const checked = 'mutation ($input: CheckCredentialInput!) { result: checkCredential(input: $input) { __typename } }';
      expect((await test.query(own, checked, { input: { credential } })).result.__typename).toBe('CheckCredentialSuccess');
      expect(paths).toEqual([]);
      const deleted = `mutation ($input: DeleteCredentialInput!) {
        result: deleteCredential(input: $input) { ... on DeleteCredentialSuccess { revocation } }
      }`;
      const { result } = await test.query(own, deleted, { input: { credential, force: true, revoke: true } });
      expect([result.revocation, paths]).toEqual(['NOT_ALLOWED', []]);
    }
  }
});
