import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { decodeJwt, exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serviceFailed } from '../../src/domain/oauth-client.ts';
import type { Signer } from '../../src/key-files/jwt.ts';
import { createKeyFilesPool } from '../../src/key-files/pool.ts';
import { Redacted } from '../../src/redacted.ts';
import { createOAuth, type OAuthClient, type TokenRequestError } from '../../src/services/oauth/index.ts';
import { createOutbound, defaultOutbound } from '../../src/services/outbound/index.ts';
import { type Answer, LocalService, TestAuthority } from './local-service.ts';
import { type OAuthServer, oauthClient, startOAuthServer } from './oauth-server.ts';

const redirectUrl = 'https://gateway.example/oauth/callback';
const service = new LocalService({ authority: new TestAuthority(), requiresClientCertificate: true });
const outbound = createOutbound({ ...defaultOutbound, ...service.outbound });
const now = new Date();
const oauth = createOAuth(outbound, () => now);
const keyFiles = createKeyFilesPool();

/** The keys of a client that signs assertions. */
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const privateKey = new Redacted(String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })));

let server: OAuthServer;
beforeAll(async () => {
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), alg: 'ES256' }] };
  server = await startOAuthServer({ clients: [{ client_id: 'signer', token_endpoint_auth_method: 'private_key_jwt', jwks }] });
  await service.start();
});
afterAll(async () => {
  await server.stop();
  await service.stop();
  await outbound.stop();
  await keyFiles.stop();
});

function client(more: Partial<OAuthClient> = {}): OAuthClient {
  return {
    tokenUrl: new URL(server.tokenUrl),
    clientId: oauthClient.id,
    authentication: { method: 'BASIC', secret: new Redacted(oauthClient.secret) },
    parameters: [],
    ...more,
  };
}

/** Consents as a user does, and returns the code with its verifier. */
async function consent(scope: string): Promise<{ code: Redacted; codeVerifier: Redacted }> {
  const codeVerifier = randomBytes(32).toString('base64url');
  const url = new URL(server.authorizeUrl);
  const query = {
    client_id: oauthClient.id,
    response_type: 'code',
    redirect_uri: redirectUrl,
    scope,
    prompt: 'consent',
    state: 'a state',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  url.search = String(new URLSearchParams(query));
  const back = await server.consent(url.href);
  expect(back.origin + back.pathname).toBe(redirectUrl);
  return { code: new Redacted(back.searchParams.get('code')!), codeVerifier: new Redacted(codeVerifier) };
}

it('exchanges a code, and refreshes with a refresh token that is good once', async () => {
  const grant = { type: 'authorization_code', redirectUrl, ...(await consent('openid offline_access tickets:read')) } as const;
  const first = await oauth.requestToken(client(), grant);
  expect(first).toMatchObject({ tokenType: 'Bearer', scopes: expect.arrayContaining(['offline_access', 'tickets:read']) });
  expect(first.expiresAt!.getTime()).toBeGreaterThan(now.getTime() + 3_000_000);
  expect(first.idToken).toBeInstanceOf(Redacted);
  const refused = { code: 'invalid_grant', isFinal: true, mayHaveSucceeded: false };
  // A code is good once.
  await expect(oauth.requestToken(client(), grant)).rejects.toMatchObject(refused);

  const again = await oauth.requestToken(client(), {
    type: 'authorization_code',
    redirectUrl,
    ...(await consent('openid offline_access tickets:read')),
  });
  const second = await oauth.requestToken(client(), { type: 'refresh_token', refreshToken: again.refreshToken! });
  expect(second.refreshToken!.expose()).not.toBe(again.refreshToken!.expose());
  await expect(oauth.requestToken(client(), { type: 'refresh_token', refreshToken: again.refreshToken! })).rejects.toMatchObject(refused);
});

it('authenticates the client in the ways that the server knows', async () => {
  const grant = { type: 'client_credentials', scopes: ['tickets:read'] } as const;
  const secret = new Redacted(oauthClient.secret);
  await expect(oauth.requestToken(client(), grant)).resolves.toMatchObject({ refreshToken: null, scopes: ['tickets:read'] });
  const wrong = { authentication: { method: 'BASIC', secret: new Redacted('wrong') } } as const;
  await expect(oauth.requestToken(client(wrong), grant)).rejects.toMatchObject({ code: 'invalid_client', isFinal: true });
  // A server of this kind decodes the secret, so it refuses one that is sent as it is.
  await expect(oauth.requestToken(client({ authentication: { method: 'RAW_BASIC', secret } }), grant)).rejects.toMatchObject({
    code: 'invalid_request',
    isFinal: false,
  });
});

it('signs assertions as a client, and presents a certificate', async () => {
  const grant = { type: 'client_credentials', scopes: ['tickets:read'] } as const;
  const signedBy =
    (key: Redacted): Signer =>
    (text) =>
      keyFiles.of('organization').sign('ES256', key, text);
  const signs = { method: 'PRIVATE_KEY_JWT', sign: signedBy(privateKey), keyId: null, algorithm: 'ES256' } as const;
  await expect(oauth.requestToken(client({ clientId: 'signer', authentication: signs }), grant)).resolves.toHaveProperty('accessToken');
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const forged = { ...signs, sign: signedBy(new Redacted(String(other))) };
  await expect(oauth.requestToken(client({ clientId: 'signer', authentication: forged }), grant)).rejects.toMatchObject({
    code: 'invalid_client',
  });
  const none = { ...signs, sign: signedBy(new Redacted('no key')) };
  await expect(oauth.requestToken(client({ authentication: none }), grant)).rejects.toMatchObject({
    code: 'invalid_private_key',
    isFinal: true,
  });

  service.answer = { body: { access_token: 'at' } };
  const { cert, key } = service.authority.issue(['client.test'], { usage: 'client' });
  const clientCertificate = { certificates: cert, privateKey: new Redacted(key) };
  await oauth.requestToken(local({ authentication: { method: 'TLS' }, clientCertificate }), grant);
  expect(service.last.clientCertificate).toBe('client.test');
  expect(service.last.headers.authorization).toBeUndefined();
  expect(sentLast()).toEqual({ grant_type: 'client_credentials', scope: 'tickets:read', client_id: oauthClient.id });
});

it('sends each grant and each form of client authentication as the standards say', async () => {
  service.answer = { body: { access_token: 'at' } };
  const secret = new Redacted(oauthClient.secret);
  const basic = () => Buffer.from(service.last.headers.authorization!.replace('Basic ', ''), 'base64').toString();
  await oauth.requestToken(local(), { type: 'password', username: 'ada', password: new Redacted('p&w'), scopes: [] });
  expect(sentLast()).toEqual({ grant_type: 'password', username: 'ada', password: 'p&w' });
  expect(basic()).toBe('gateway-client:Zk3+client%2B9fQ%2F%25%26%3D');
  expect(service.last.headers).toMatchObject({ accept: 'application/json', 'user-agent': 'credential-gateway' });
  await oauth.requestToken(local({ authentication: { method: 'RAW_BASIC', secret } }), { type: 'client_credentials', scopes: [] });
  expect(basic()).toBe(`gateway-client:${oauthClient.secret}`);
  await oauth.requestToken(local({ authentication: { method: 'POST', secret } }), { type: 'client_credentials', scopes: [] });
  expect(sentLast()).toEqual({ grant_type: 'client_credentials', client_id: oauthClient.id, client_secret: oauthClient.secret });
  await oauth.requestToken(local({ clientId: null, authentication: { method: 'NONE' } }), {
    type: 'jwt_bearer',
    assertion: new Redacted('a.b.c'),
    scopes: ['a', 'b'],
  });
  expect(sentLast()).toEqual({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: 'a.b.c', scope: 'a b' });
  // No parameter of a connector or a credential replaces one of the request.
  const parameters = [
    ['grant_type', 'x'],
    ['audience', 'api'],
  ] as const;
  const sealedParameters = new Redacted('refresh_token=x&resource=y%20z');
  await oauth.requestToken(local({ authentication: { method: 'NONE' }, parameters, sealedParameters }), {
    type: 'refresh_token',
    refreshToken: new Redacted('rt'),
  });
  expect(sentLast()).toEqual({
    grant_type: 'refresh_token',
    refresh_token: 'rt',
    client_id: oauthClient.id,
    audience: 'api',
    resource: 'y z',
  });
});

/** A client of the local service, with its certificate, without which the service takes no request. */
function local(more: Partial<OAuthClient> = {}): OAuthClient {
  const { cert, key } = certificate;
  return client({
    tokenUrl: new URL(`${service.origin()}/token`),
    clientCertificate: { certificates: cert, privateKey: new Redacted(key) },
    ...more,
  });
}
const certificate = service.authority.issue(['client.test'], { usage: 'client' });
const sentLast = () => Object.fromEntries(new URLSearchParams(String(service.last.body)));
const refresh = { type: 'refresh_token', refreshToken: new Redacted('old') } as const;

/** Requests tokens of a service that answers so, and shows what comes of it. */
async function tokensOf(answer: Answer): Promise<object> {
  service.answer = answer;
  const { accessToken, refreshToken, tokenType, expiresAt, scopes } = await oauth.requestToken(local(), refresh);
  const seconds = expiresAt && Math.round((expiresAt.getTime() - now.getTime()) / 1_000);
  return { at: accessToken.expose(), rt: refreshToken?.expose() ?? null, type: tokenType, seconds, scopes };
}
const usual = { at: 'at', rt: null, type: 'Bearer', seconds: null, scopes: null };
const text = (body: string | Uint8Array, type = 'application/json'): Answer => ({ body, headers: { 'content-type': type } });
const json = (members: object): Answer => ({ body: { access_token: 'at', token_type: 'Bearer', ...members } });

describe('what servers get wrong is forgiven', () => {
  it.each<[quirk: string, Answer, expected: object]>([
    ['no token_type', { body: { access_token: 'at' } }, {}],
    ['token_type null', json({ token_type: null }), {}],
    ['token_type in other letters', json({ token_type: 'bEARER' }), {}],
    ['a token_type that names the account', json({ token_type: 'user' }), {}],
    ['a token_type that is no text', json({ token_type: 7 }), {}],
    ['expires_in null', json({ expires_in: null }), {}],
    ['expires_in as text', json({ expires_in: ' 3600 ' }), { seconds: 3_600 }],
    ['expires_in with a fraction', json({ expires_in: 59.9 }), { seconds: 59 }],
    ['expires_in 0, for never', json({ expires_in: 0 }), {}],
    ['expires_in negative', json({ expires_in: -1 }), {}],
    ['expires_in of more than ten years', json({ expires_in: 1e15 }), {}],
    ['expires_in that is no number', json({ expires_in: 'soon' }), {}],
    ['expires_in as a list', json({ expires_in: [3_600] }), {}],
    ['refresh_token null', json({ refresh_token: null }), {}],
    ['refresh_token empty', json({ refresh_token: '' }), {}],
    ['refresh_token false', json({ refresh_token: false }), {}],
    ['spaces around tokens', json({ access_token: ' at\n', refresh_token: ' rt ' }), { rt: 'rt' }],
    ['scope null', json({ scope: null }), {}],
    ['scope empty', json({ scope: '' }), {}],
    ['scope as a list', json({ scope: ['a', 'b', 7, 'a'] }), { scopes: ['a', 'b'] }],
    ['scope with commas', json({ scope: 'a,b, c' }), { scopes: ['a', 'b', 'c'] }],
    ['scopes', json({ scopes: 'a b' }), { scopes: ['a', 'b'] }],
    ['camel case', { body: { accessToken: 'at', refreshToken: 'rt', expiresIn: 60 } }, { rt: 'rt', seconds: 60 }],
    ['status 201', { ...json({}), status: 201 }, {}],
    ['status 202', { ...json({}), status: 202 }, {}],
    ['an error that is null or empty', json({ error: null, ok: true }), {}],
    [
      'form-encoded',
      text('access_token=at&expires_in=60&scope=a%2Cb', 'application/x-www-form-urlencoded'),
      { seconds: 60, scopes: ['a', 'b'] },
    ],
    ['form-encoded as plain text', text('access_token=at&token_type=bearer', 'text/plain'), {}],
    ['JSON as HTML', text('{"access_token":"at"}', 'text/html; charset=iso-8859-1'), {}],
    ['no media type', { body: Buffer.from('{"access_token":"at"}') }, {}],
    ['a byte order mark, and white space', text('\ufeff\r\n {"access_token":"at"}\n\n'), {}],
    [
      'tokens in an object',
      { body: { ok: true, authed_user: { access_token: 'at', scope: 'a,b', token_type: 'user' } } },
      { scopes: ['a', 'b'] },
    ],
    ['tokens two objects deep', { body: { status: 'ok', data: { tokens: { access_token: 'at', expires_in: 60 } } } }, { seconds: 60 }],
    ['gzip that was not asked for', { body: gzipSync('{"access_token":"at"}'), headers: { 'content-encoding': 'gzip' } }, {}],
    ['an ID token that cannot be read', json({ id_token: 'x' }), {}],
  ])('%s', async (_quirk, answer, expected) => {
    expect(await tokensOf(answer)).toEqual({ ...usual, ...expected });
  });
});

describe('what is not forgiven', () => {
  const lost = { isFinal: false, mayHaveSucceeded: true };
  const refused = { isFinal: false, mayHaveSucceeded: false };
  const final = { isFinal: true, mayHaveSucceeded: false };
  it.each<[what: string, Answer | 'cut', expected: object]>([
    ['no access token', { body: { token_type: 'Bearer' } }, { code: 'invalid_answer', ...lost }],
    ['an access token that is no text', json({ access_token: { a: 1 } }), { code: 'invalid_answer', ...lost }],
    ['an access token with a line break in it', json({ access_token: 'a\nb' }), { code: 'invalid_answer', ...lost }],
    ['an access token that is too long', json({ access_token: 'a'.repeat(16_385) }), { code: 'invalid_answer', ...lost }],
    ['a refresh token that cannot be kept', json({ refresh_token: 'ü' }), { code: 'invalid_answer', ...lost }],
    ['two objects with tokens', { body: { a: { access_token: 'a' }, b: { access_token: 'b' } } }, { code: 'invalid_answer', ...lost }],
    ['a token that is bound to a key', json({ token_type: 'DPoP' }), { code: 'unsupported_token_type' }],
    ['no JSON', text('<html>canary</html>'), { code: 'invalid_answer', ...lost }],
    ['a list', text('[1]'), { code: 'invalid_answer', ...lost }],
    ['nothing', text(''), { code: 'invalid_answer', ...lost }],
    ['not UTF-8', text(Buffer.from('{"access_token":"\xe9"}', 'latin1')), { code: 'invalid_answer', ...lost }],
    [
      'too much',
      text(`{"access_token":"at","x":"${'x'.repeat(300_000)}"}`),
      { code: 'request_failed', outboundFailure: 'TOO_LARGE', ...lost },
    ],
    ['a redirect', { ...json({}), status: 302, headers: { location: '/other' } }, { code: 'unexpected_status', ...lost }],
    ['invalid_grant', { status: 400, body: { error: 'invalid_grant', error_description: 'canary' } }, { code: 'invalid_grant', ...final }],
    ['an error with status 200', { body: { error: 'invalid_client' } }, { code: 'invalid_client', ...final }],
    ['an error with an access token', json({ error: 'invalid_scope' }), { code: 'invalid_scope', ...final }],
    ['an error of GitHub', { body: { error: 'bad_verification_code' } }, { code: 'invalid_grant', ...final }],
    ['an error of Slack', { body: { ok: false, error: 'token_revoked' } }, { code: 'invalid_grant', ...final }],
    [
      'an error in an object',
      { status: 400, body: { error: { code: 'invalid_request', message: 'canary' } } },
      { code: 'invalid_request', ...refused },
    ],
    ['a form-encoded error', { ...text('error=invalid_grant', 'text/plain'), status: 400 }, { code: 'invalid_grant', ...final }],
    ['an error of no standard', { status: 400, body: { error: 'canary' } }, { code: 'unknown_error', ...refused }],
    ['an error with the name of a method', { status: 400, body: { error: 'toString' } }, { code: 'unknown_error', ...refused }],
    ['ok: false', { body: { ok: false } }, { code: 'unknown_error', ...refused }],
    ['status 401 without more', { status: 401, body: {} }, { code: 'request_refused', ...refused }],
    ['status 429', { status: 429, body: {} }, { code: 'slow_down', ...refused }],
    ['status 503', { status: 503, body: 'canary' }, { code: 'server_error', ...lost }],
    ['invalid_grant of a server that fails', { status: 500, body: { error: 'invalid_grant' } }, { code: 'invalid_grant', ...lost }],
    ['an answer that breaks off', 'cut', lost],
  ])('%s', async (_what, answer, expected) => {
    service.answer = answer === 'cut' ? (_received, response) => void response.socket!.destroy() : answer;
    const error = await oauth.requestToken(local(), refresh).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: 'TokenRequestError', ...expected });
    // Nothing of an answer, and nothing of a request.
    const { message, cause, stack } = error as Error;
    expect(`${message} ${String(cause)} ${stack}`).not.toMatch(/canary|Zk3|old|xxx/);
  });

  it('a server that cannot be reached: the request can be sent again', async () => {
    const gone = local({ tokenUrl: new URL('https://nowhere.invalid/token') });
    await expect(oauth.requestToken(gone, refresh)).rejects.toMatchObject({
      code: 'request_failed',
      outboundFailure: 'NAME_NOT_FOUND',
      isFinal: false,
      mayHaveSucceeded: false,
    });
  });

  it('a request that the gateway itself does not send is not the invalid_request of a server', async () => {
    const odd = local({ tokenUrl: new URL('https://user:password@localhost/token') });
    const error = await oauth.requestToken(odd, refresh).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'request_failed', outboundFailure: 'INVALID_REQUEST', isFinal: false, mayHaveSucceeded: false });
    expect(serviceFailed(error as TokenRequestError)).toMatchObject({ reason: 'NOT_ALLOWED', serviceCode: null });
  });

  it('an ID token of another client, issuer or authorization', async () => {
    const code = {
      type: 'authorization_code',
      code: new Redacted('c'),
      redirectUrl,
      codeVerifier: null,
      nonce: new Redacted('n'),
    } as const;
    const attempt = async (claims: object, issuer: string | null = 'https://issuer.example') => {
      const valid = { iss: 'https://issuer.example', aud: oauthClient.id, nonce: 'n' };
      const token = await new SignJWT({ ...valid, ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(randomBytes(32));
      expect(decodeJwt(token)).toBeTruthy();
      service.answer = json({ id_token: token });
      return oauth.requestToken(local({ issuer }), code).then(
        () => 'accepted',
        ({ code }) => code,
      );
    };
    expect(await attempt({})).toBe('accepted');
    expect(await attempt({ iss: 'https://another.example' }, null)).toBe('accepted');
    for (const claims of [{ nonce: 'another' }, { aud: 'another' }, { iss: 'https://another.example' }]) {
      expect(await attempt(claims)).toBe('invalid_id_token');
    }
  });
});

it('revokes, introspects and discovers', async () => {
  const grant = { type: 'authorization_code', redirectUrl, ...(await consent('openid offline_access tickets:read')) } as const;
  const { accessToken, refreshToken } = await oauth.requestToken(client(), grant);
  const facts = await oauth.discover(new URL(server.issuer));
  expect(facts).toMatchObject({ issuer: server.issuer, scopes: expect.arrayContaining(['tickets:read']) });
  expect([facts.authorizeUrl!.href, facts.tokenUrl!.href]).toEqual([server.authorizeUrl, server.tokenUrl]);
  const introspect = () => oauth.introspect(client(), facts.introspectionUrl!, accessToken);
  expect(await introspect()).toMatchObject({
    isActive: true,
    expiresAt: expect.any(Date),
    scopes: expect.arrayContaining(['tickets:read']),
  });
  await oauth.revoke(client(), facts.revocationUrl!, refreshToken!, 'refresh_token');
  await oauth.revoke(client(), facts.revocationUrl!, new Redacted('unknown'), 'access_token');
  expect(await introspect()).toMatchObject({ isActive: false });
  await expect(oauth.requestToken(client(), { type: 'refresh_token', refreshToken: refreshToken! })).rejects.toMatchObject({
    code: 'invalid_grant',
  });
  const wrong = client({ authentication: { method: 'BASIC', secret: new Redacted('wrong') } });
  await expect(oauth.revoke(wrong, facts.revocationUrl!, accessToken, 'access_token')).rejects.toMatchObject({ code: 'invalid_client' });
});
