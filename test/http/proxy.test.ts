import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLimitedServer } from '../../src/cli/server.ts';
import { type Received, type Sent, throughFetch, throughSocket } from '../contracts/doors.ts';
import { type Caller, type Json, TestGateway } from '../harness.ts';
import { LocalService } from '../services/local-service.ts';
import { oauthClient, startOAuthServer } from '../services/oauth-server.ts';

const service = new LocalService();
const test = new TestGateway();
const host = 'api.service.test';
const integration = { name: 'crm' };
const bearer = 'a-token-of-the-service-that-nobody-may-see';
let server: ReturnType<typeof createLimitedServer>;
let origin: string;
let caller: Caller;
let authorization: string;

const allowed = { allowedDomains: [host], allowedPurposes: ['ACTION'] };

beforeAll(async () => {
  await service.start();
  const { lookup } = service.outbound;
  test.outbound = { ...service.outbound, lookup: async (name) => (name === 'inner.test' ? ['169.254.169.254'] : lookup!(name)) };
  test.limits = {
    ...test.limits,
    proxyWaitSeconds: 2,
    proxyBufferBytes: 64 * 1024,
    proxyMaxBodyBytes: 1024 * 1024,
    proxyRequestsPerConnection: 2,
  };
  await test.start();
  server = createLimitedServer(test.gateway.requestListener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Connector', { integration, name: 'api', baseUrl: `${service.origin(host)}/v1/` });
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await test.stop();
  await service.stop();
});

/** Makes a connection to the service, with a credential of its own. */
async function connect(name: string, data: Json, more: Json = {}): Promise<string> {
  const { authScheme = null, credential = {}, ...input } = more;
  const created = {
    credential: { create: { name: `${name} ${randomBytes(4).toString('hex')}`, ...allowed, data, ...credential } },
    authScheme,
  };
  const connector = { inIntegration: { integration, name: 'api' } };
  return (await test.create(caller, 'Connection', { integration, connector, name, actionCredentials: [created], ...input })).id;
}

const doors: Record<string, (sent: Sent) => Promise<Received>> = {
  fetch: (sent) => throughFetch(test.gateway, 'http://gateway.test', sent),
  socket: (sent) => throughSocket(origin, sent),
};

/** Sends the same through both doors, and gives what both answer alike. */
async function ask(path: string, { headers = {}, ...sent }: Partial<Sent> = {}): Promise<Received> {
  const answers: Received[] = [];
  for (const send of Object.values(doors))
    answers.push(await send({ method: 'GET', path, ...sent, headers: { authorization, ...headers } }));
  // Each has an id of its own.
  const [first, second] = answers.map((answer) => ({ ...answer, body: answer.body.replace(/,"requestId":"[^"]+"/, '') }));
  expect(first).toEqual(second);
  return first!;
}

const codeOf = ({ status, body }: Received) => `${status} ${JSON.parse(body).errors[0].extensions.code}`;
const reasonOf = ({ body }: Received) => JSON.parse(body).errors[0].extensions.reason;

describe('a request', () => {
  it('reaches the service as it is, with the credential, and the answer comes back as it is', async () => {
    const id = await connect('whole', { bearerToken: { token: bearer } });
    const body = new Uint8Array(randomBytes(2_000));
    service.answer = (received) => ({
      status: 201,
      headers: {
        'x-first': ['1', '2'],
        etag: '"abc"',
        'content-type': 'application/octet-stream',
        link: '</v1/things?page=2>; rel="next"',
      },
      body: received.body,
    });
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const answer = await ask(`/proxy/${id}/things/a%2Fb/%C3%BC?a=1&a=2&query=x&b=%20+%00`, {
        method,
        body,
        headers: { 'content-type': 'image/png', 'X-Own': 'yes', accept: 'image/*' },
      });
      expect([answer.status, Buffer.from(answer.body, 'latin1')]).toEqual([201, Buffer.from(body)]);
      expect(answer.headers).toMatchObject({ 'x-first': '1, 2', etag: '"abc"', 'content-type': 'application/octet-stream' });
      expect(answer.headers.link).toBe('</v1/things?page=2>; rel="next"');
      for (const { method: sent, target, headers, body: arrived } of service.received.splice(0)) {
        expect([sent, target]).toEqual([method, '/v1/things/a%2Fb/%C3%BC?a=1&a=2&query=x&b=%20+%00']);
        expect(arrived).toEqual(Buffer.from(body));
        expect(headers).toMatchObject({
          authorization: `Bearer ${bearer}`,
          'content-type': 'image/png',
          'x-own': 'yes',
          accept: 'image/*',
        });
        expect(headers.host).toBe(`${host}:${service.port}`);
      }
    }
    // Without a body, there is none. An empty path is the base URL itself.
    service.answer = { body: 'hello' };
    for (const [method, path, target] of [
      ['GET', '', '/v1'],
      ['GET', '/', '/v1/'],
      ['GET', '?a=b', '/v1?a=b'],
      ['OPTIONS', '/x', '/v1/x'],
      ['DELETE', '/x', '/v1/x'],
    ] as const) {
      expect((await ask(`/proxy/${id}${path}`, { method })).body).toBe('hello');
      for (const received of service.received.splice(0)) {
        expect([received.target, received.headers['transfer-encoding'], received.body.length]).toEqual([target, undefined, 0]);
      }
    }
    // The answer to HEAD has the headers of the content, and the answer with 204 or 304 has none.
    service.answer = (_received, response) => void response.writeHead(200, { 'content-length': '1234' }).end();
    const head = httpRequest(`${origin}/proxy/${id}/`, { method: 'HEAD', headers: { authorization } }).end();
    const [headed] = (await once(head, 'response')) as [IncomingMessage];
    expect([headed.statusCode, headed.headers['content-length']]).toEqual([200, '1234']);
    expect(service.last.method).toBe('HEAD');
    headed.resume();
    for (const status of [204, 304]) {
      service.answer = { status, headers: { etag: '"x"' } };
      expect(await ask(`/proxy/${id}/`)).toMatchObject({ status, body: '', headers: { etag: '"x"' } });
    }
    // Each is in the audit log, and says who, where and nothing else.
    const { auditLog } = await test.query(caller, '{ auditLog(first: 100) { nodes { action outcome objectId reason } } }');
    const entries = auditLog.nodes.filter(({ action }: Json) => action === 'proxyRequest');
    expect(entries).toHaveLength(23);
    expect(entries[0]).toEqual({ action: 'proxyRequest', outcome: 'SUCCESS', objectId: id, reason: 'ACTION' });
    service.received.splice(0);
  });

  it('has nothing of the caller’s own connection and token, and the answer nothing about our host', async () => {
    const id = await connect('headers', { bearerToken: { token: bearer } });
    const dropped = {
      connection: 'close, X-Private',
      'x-private': 'mine',
      cookie: 'session=mine',
      te: 'trailers',
      'proxy-authorization': 'Basic mine',
      forwarded: 'for=mine',
      'x-forwarded-for': '10.1.2.3',
      'x-forwarded-host': 'mine',
      'x-real-ip': '10.1.2.3',
      // Servers that pass headers on as variables take them for the same.
      x_forwarded_for: '10.1.2.3',
      proxy_authorization: 'Basic mine',
      transfer_encoding: 'mine',
      'x-rewrite-url': '/mine',
      'x-forwarded': 'for=mine',
      'x-http-host-override': 'mine',
      via: '1.1 mine',
      'credential-gateway-purpose': 'ACTION',
    };
    service.answer = {
      headers: {
        connection: 'close, X-Hop',
        'x-hop': '1',
        'keep-alive': 'timeout=5',
        'proxy-authenticate': 'Basic',
        'set-cookie': ['session=theirs', 'other=theirs'],
        'strict-transport-security': 'max-age=1',
        'alt-svc': 'h3="evil.example:443"',
        'clear-site-data': '"*"',
        'access-control-allow-origin': '*',
        'access-control-allow-credentials': 'true',
        'content-security-policy': "default-src 'unsafe-inline'",
        'x-frame-options': 'ALLOWALL',
        'x-content-type-options': 'none',
        'cache-control': 'public, max-age=3600',
        expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
        refresh: '0; url=https://evil.example/',
        'service-worker-allowed': '/',
        'x-request-id': 'theirs',
        'credential-gateway-answer': 'gateway',
        'content-type': 'text/html',
        'x-ratelimit-remaining': '7',
      },
      body: '<script>alert(1)</script>',
    };
    const answer = await ask(`/proxy/${id}/page`, { headers: dropped });
    for (const { headers, rawHeaders } of service.received.splice(0)) {
      expect(Object.keys(headers).filter((name) => name in dropped && name !== 'connection')).toEqual([]);
      expect(JSON.stringify(rawHeaders)).not.toMatch(/mine|10\.1\.2\.3/);
      expect(JSON.stringify(rawHeaders)).not.toContain(authorization.slice(-40));
      expect(headers.authorization).toBe(`Bearer ${bearer}`);
    }
    expect(answer.headers).toEqual({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
      'content-type': 'text/html',
      'credential-gateway-answer': 'service',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'x-ratelimit-remaining': '7',
      'x-request-id': 'an id',
    });
  });

  it('gets redirects and errors of the service as they are, and nobody follows or hides them', async () => {
    const id = await connect('statuses', { bearerToken: { token: bearer } });
    for (const status of [301, 307, 308, 401, 403, 429, 500, 599]) {
      service.answer = {
        status,
        headers: { location: 'https://elsewhere.example/x?y=1', 'www-authenticate': 'Bearer error="x"' },
        body: 'no',
      };
      expect(await ask(`/proxy/${id}/x`, { method: 'POST', body: 'a' })).toMatchObject({
        status,
        body: 'no',
        headers: {
          location: 'https://elsewhere.example/x?y=1',
          'www-authenticate': 'Bearer error="x"',
          'credential-gateway-answer': 'service',
        },
      });
      expect(service.received.splice(0)).toHaveLength(2);
    }
    service.answer = { status: 999 };
    expect(codeOf(await ask(`/proxy/${id}/x`))).toBe('502 SERVICE_FAILED');
    service.received.splice(0);
  });

  it('is not sent elsewhere at the gateway by a client that follows redirects', async () => {
    const id = await connect('redirects', { bearerToken: { token: bearer } });
    const redirected = async (location: string) => {
      service.answer = { status: 307, headers: { location } };
      return (await ask(`/proxy/${id}/a/b?c=1`, { method: 'POST', body: 'x' })).headers.location;
    };
    const site = service.origin(host);
    for (const [location, whole] of [
      [`/proxy/${id}/other`, `${site}/proxy/${id}/other`],
      ['c?d', `${site}/v1/a/c?d`],
      ['?d', `${site}/v1/a/b?d`],
      ['//elsewhere.example/x', 'https://elsewhere.example/x'],
      [`https:/proxy/${id}/other`, `${site}/proxy/${id}/other`],
      ['app://callback', 'app://callback'],
      ['http://elsewhere.example\\@gateway.test/x', 'http://elsewhere.example/@gateway.test/x'],
      ['http://[', undefined],
    ]) {
      expect(await redirected(location!)).toBe(whole);
    }
    // Not even if the service knows where the gateway is.
    service.answer = { status: 307, headers: { location: `${origin}/proxy/${id}/other` } };
    const { received } = service;
    received.splice(0);
    const followed = await fetch(`${origin}/proxy/${id}/start`, { method: 'POST', headers: { authorization }, body: 'x' });
    expect([followed.status, followed.headers.get('location'), received.splice(0).length]).toEqual([307, null, 1]);
  });

  it('does not get the secrets that were added to it back in a header', async () => {
    const key = 'key+of/the=service&ünder';
    const authScheme = { schemeId: 'key', schemeType: 'API_KEY', apiKey: { in: 'QUERY', name: 'api_key' } };
    const id = await connect('query', { string: { value: key } }, { authScheme });
    service.answer = ({ target }) => ({
      status: 302,
      headers: {
        location: `https://${host}/other${target.slice(target.indexOf('?'))}&end=1#fragment`,
        'content-location': target,
        'x-echo': `you sent ${new URL(target, 'https://x').searchParams.get('api_key')}`.replace('ü', '%C3%BC'),
        'x-echo-encoded': `you sent ${encodeURIComponent(key)}`,
        // As servers write it when they lead to their page for signing in, and in JSON.
        'x-echo-twice': `/login?ReturnUrl=${encodeURIComponent(target)}`,
        'x-echo-lower': encodeURIComponent(key).replace(/%../g, (each) => each.toLowerCase()),
        'x-echo-json': JSON.stringify({ key }).replaceAll('/', '\\/').replace('+', '\\u002B').replace('ü', '%c3%bc'),
        'x-safe': 'yes',
      },
    });
    const { status, headers } = await ask(`/proxy/${id}/x?a=1`);
    expect(new URL(service.last.target, 'https://x').searchParams.get('api_key')).toBe(key);
    expect([status, headers.location, headers['content-location']]).toEqual([302, `https://${host}/other?a=1&end=1#fragment`, '/v1/x?a=1']);
    expect(headers).toMatchObject({ 'x-safe': 'yes' });
    expect(Object.keys(headers).filter((name) => name.startsWith('x-echo'))).toEqual([]);
    expect(codeOf(await ask(`/proxy/${id}/x?api_key=mine`))).toBe('409 CREDENTIAL_NOT_USABLE');
    const header = await connect('header', { bearerToken: { token: bearer } });
    service.answer = { headers: { 'x-echo': `token ${bearer}`, 'x-safe': 'yes' } };
    expect((await ask(`/proxy/${header}/`)).headers).not.toHaveProperty('x-echo');
    // In the path, where a service builds its URLs from.
    const token = '0123abcd-0000-4000-8000-0123456789ab';
    const path = await connect('path', { loggly: { customerToken: token } });
    service.answer = ({ target }) => ({ status: 301, headers: { location: `${target}/`, 'x-path': target, 'x-safe': 'yes' } });
    const moved = await ask(`/proxy/${path}/inputs/TOKEN/tag/http`);
    expect(service.last.target).toBe(`/v1/inputs/${token}/tag/http`);
    expect([moved.status, moved.headers['x-safe'], JSON.stringify(moved).includes(token)]).toEqual([301, 'yes', false]);
    // The entry in the audit log comes before a secret is opened, also if the request is not sent then.
    const uses = async () => {
      const { auditLog } = await test.query(caller, '{ auditLog(first: 100) { nodes { action objectId outcome } } }');
      return auditLog.nodes.filter((entry: Json) => entry.objectId === path && entry.outcome === 'SUCCESS').length;
    };
    const before = await uses();
    expect(codeOf(await ask(`/proxy/${path}/inputs/none/tag/http`))).toBe('409 CREDENTIAL_NOT_USABLE');
    expect(await uses()).toBe(before + 2);
    // In a cookie and in a signature, and the parts of Basic as the service decodes them.
    const session = 'a=session/of=the=service';
    const inCookie = { schemeId: 'cookie', schemeType: 'API_KEY', apiKey: { in: 'COOKIE', name: 'sid' } };
    const cookie = await connect('cookie', { string: { value: session } }, { authScheme: inCookie });
    service.answer = ({ headers }) => ({ headers: { 'x-session': headers.cookie!.slice(4), 'x-safe': 'yes' } });
    const withCookie = await ask(`/proxy/${cookie}/`);
    expect([service.last.headers.cookie, withCookie.headers['x-safe']]).toEqual([`sid=${session}`, 'yes']);
    expect(withCookie.headers).not.toHaveProperty('x-session');
    const inUrl = { in: 'QUERY', name: 'sig', algorithm: 'SHA256', digestInputs: ['URL'], encoding: 'HEX' };
    const hmac = { schemeId: 'hmac', schemeType: 'HMAC', hmac: inUrl };
    const signed = await connect('signed url', { string: { value: 'a shared secret' } }, { authScheme: hmac });
    service.answer = ({ target }) => ({ headers: { 'x-signed': `by ${new URL(target, 'https://x').searchParams.get('sig')}` } });
    expect((await ask(`/proxy/${signed}/`)).headers).not.toHaveProperty('x-signed');
    expect(service.last.target).toMatch(/sig=[0-9a-f]{64}$/);
    const basic = await connect('basic', { basicAuth: { username: 'ada', password: 'a password: of Ada' } });
    service.answer = ({ headers }) => {
      const [, encoded = ''] = headers.authorization!.split(' ');
      return { headers: { 'x-login': Buffer.from(encoded, 'base64').toString(), 'x-user': 'ada' } };
    };
    const loggedIn = await ask(`/proxy/${basic}/`);
    expect(loggedIn.headers).toMatchObject({ 'x-user': 'ada' });
    expect(loggedIn.headers).not.toHaveProperty('x-login');
    service.received.splice(0);
  });

  it('costs little, however many parts a secret and how many headers an answer has', async () => {
    const inHeader = { schemeId: 'key', schemeType: 'API_KEY', apiKey: { in: 'HEADER', name: 'x-key' } };
    const parts = Array.from({ length: 6_000 }, (_, index) => String(index).padStart(9, '0'));
    const millisecondsOf = async (name: string, separator: string) => {
      const id = await connect(name, { string: { value: parts.join(separator) } }, { authScheme: inHeader });
      service.answer = { headers: Object.fromEntries(parts.slice(0, 140).map((part) => [`x-${part}`, '00000000z'.repeat(20)])) };
      const begin = performance.now();
      const sent = httpRequest(`${origin}/proxy/${id}/`, { headers: { authorization }, maxHeaderSize: 64 * 1024 }).end();
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      answer.resume();
      expect([answer.statusCode, answer.headers['x-000000001']]).toEqual([200, '00000000z'.repeat(20)]);
      return performance.now() - begin;
    };
    const whole = await millisecondsOf('whole text', '_');
    expect(await millisecondsOf('many parts', ' ')).toBeLessThan(300 + 2 * whole);
    service.received.splice(0);
  });

  it('gets a header back under whatever name the service gives it', async () => {
    const id = await connect('names', { bearerToken: { token: bearer } });
    const odd = ['constructor', 'toString', 'hasOwnProperty'];
    service.answer = (_received, response) => {
      const lines = [...odd, '__proto__'].flatMap((name) => [`${name}: first`, `${name}: second`]);
      response.socket!.end(['HTTP/1.1 200 OK', ...lines, 'Content-Length: 2', 'Connection: close', '', 'ok'].join('\r\n'));
      return undefined;
    };
    const { status, headers } = await ask(`/proxy/${id}/`);
    expect([status, ...odd.map((name) => Object.entries(headers).find(([each]) => each === name.toLowerCase())?.[1])]).toEqual([
      200,
      ...odd.map(() => 'first, second'),
    ]);
    service.received.splice(0);
  });

  it('is sent once more with another token, after one refresh, if the service refuses the first', async () => {
    const server = await startOAuthServer();
    const world = { integration, name: 'oauth client' };
    const { id: client } = await test.create(caller, 'Credential', {
      ...world,
      allowedDomains: ['localhost'],
      allowedPurposes: ['TOKEN_REQUEST'],
      data: { oauth2Client: { clientId: oauthClient.id, clientSecret: oauthClient.secret, tokenUrl: server.tokenUrl } },
    });
    const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: server.tokenUrl, defaultScopes: ['tickets:read'], clientCredentialId: client };
    const authScheme = { schemeId: 'oauth', schemeType: 'OAUTH2', oauth2 };
    const data = { oauth2Client: { clientId: oauthClient.id, clientSecret: oauthClient.secret, tokenUrl: server.tokenUrl } };
    const allowedBoth = { allowedDomains: [host, 'localhost'], allowedPurposes: ['ACTION', 'TOKEN_REQUEST'] };
    const id = await connect('renewed', data, { authScheme, credential: allowedBoth });
    const send = (init: object = {}) =>
      doors.socket!({ method: 'POST', path: `/proxy/${id}/x`, headers: { authorization }, body: 'hello', ...init });
    service.answer = { body: 'ok' };
    expect((await send()).body).toBe('ok');
    const [first] = service.received.splice(0).map(({ headers }) => headers.authorization);
    // A new token is not replaced for some seconds. Later, the service has forgotten it.
    let travelled = 20_000;
    test.time = () => new Date(Date.now() + travelled);
    service.answer = ({ headers, body }) => (headers.authorization === first ? { status: 401 } : { body });
    expect(await send()).toMatchObject({ status: 200, body: 'hello' });
    const tried = service.received.splice(0).map(({ headers, body }) => [headers.authorization, String(body)]);
    expect(tried).toEqual([
      [first, 'hello'],
      [expect.stringMatching(/^Bearer ./), 'hello'],
    ]);
    expect(server.tokenRequests).toHaveLength(2);
    // The new token stays. A service that refuses each one is asked twice, and its refusal is the answer.
    travelled = 40_000;
    expect((await send()).body).toBe('hello');
    expect(service.received.splice(0).map(({ headers }) => headers.authorization)).toEqual([tried[1]![0]]);
    service.answer = { status: 401, body: 'no' };
    expect(await send()).toMatchObject({ status: 401, body: 'no' });
    expect(service.received.splice(0)).toHaveLength(2);
    expect(server.tokenRequests).toHaveLength(3);
    // A body that was not kept cannot be sent again.
    travelled = 60_000;
    expect((await send({ body: 'x'.repeat(64 * 1024 + 1) })).status).toBe(401);
    expect(service.received.splice(0)).toHaveLength(1);
    expect(server.tokenRequests).toHaveLength(3);

    // When the service has ended the authorization, the dead token is not sent any more.
    const alone = { connector: null, allowedDomain: host, baseUrl: `${service.origin(host)}/v1` };
    const tokens = { oauth2Token: { accessToken: 'a-dead-token', refreshToken: 'a-dead-refresh-token', scopes: ['tickets:read'] } };
    const lost = await connect('lost', tokens, { ...alone, authScheme, credential: allowedBoth });
    const overLost = { path: `/proxy/${lost}/x` };
    expect((await send(overLost)).status).toBe(401);
    expect(service.received.splice(0)).toHaveLength(1);
    const refused = await send(overLost);
    expect([codeOf(refused), reasonOf(refused)]).toEqual(['409 CREDENTIAL_NOT_USABLE', 'NEEDS_AUTHORIZATION']);
    expect(refused.body).toContain('startAuthorization');
    expect(service.received).toEqual([]);
    const plan = 'query ($id: ID!) { connection(by: { id: $id }) { state requestPlan { problems { code message } } } }';
    expect((await test.query(caller, plan, { id: lost })).connection).toMatchObject({
      state: 'NEEDS_AUTHORIZATION',
      requestPlan: { problems: [{ code: 'NEEDS_AUTHORIZATION', message: expect.stringContaining('startAuthorization') }] },
    });
    await server.stop();
  });

  it('is signed with its body, which is read before, and streamed otherwise', async () => {
    const secret = 'a shared secret of the webhook';
    const authScheme = {
      schemeId: 'signature',
      schemeType: 'HMAC',
      hmac: { name: 'X-Signature', in: 'HEADER', algorithm: 'SHA256', digestInputs: ['BODY'], encoding: 'HEX' },
    };
    const id = await connect('signed', { string: { value: secret } }, { authScheme });
    service.answer = { body: 'ok' };
    for (const body of ['', 'hello', 'x'.repeat(64 * 1024)]) {
      expect((await ask(`/proxy/${id}/hook`, { method: 'POST', body })).body).toBe('ok');
      for (const received of service.received.splice(0)) {
        expect(String(received.body)).toBe(body);
        expect(received.headers['x-signature']).toBe(createHmac('sha256', secret).update(received.body).digest('hex'));
      }
    }
    expect(codeOf(await ask(`/proxy/${id}/hook`, { method: 'POST', body: 'x'.repeat(64 * 1024 + 1) }))).toBe('413 LIMIT_EXCEEDED');
    expect(service.received).toEqual([]);
    // A body that is too large to be kept for a signature is not too large to be sent.
    const plain = await connect('not signed', { bearerToken: { token: bearer } });
    expect((await ask(`/proxy/${plain}/hook`, { method: 'POST', body: 'x'.repeat(64 * 1024 + 1) })).body).toBe('ok');
    service.received.splice(0);
  });
});

describe('a path', () => {
  it('leads nowhere else than below the base URL', async () => {
    const id = await connect('paths', { bearerToken: { token: bearer } });
    service.answer = { body: 'ok' };
    const tricks = [
      ...[
        '/..',
        '/../',
        '/a/../../x',
        '/.',
        '/a/./b',
        '/%2e%2e/x',
        '/%2E./x',
        '/.%2e/x',
        '/..%2fx',
        '/..%5cx',
        '/%2e%2e%2fx',
        '/a/..;/x',
        '/..;a=b/x',
      ],
      ...[
        '/%252e%252e/x',
        '/%25252e%25252e/x',
        '/..%252fx',
        '/..%00/x',
        '/%00',
        '//evil.example/x',
        '/\\evil.example',
        '/a\\..\\..\\x',
        '/%',
        '/%zz',
      ],
      ...['/x#y', '/ü'],
    ];
    for (const path of tricks) {
      // A client must write it as it is: `fetch` and other clients resolve dots themselves.
      const sent = httpRequest({
        host: '127.0.0.1',
        port: new URL(origin).port,
        path: `/proxy/${id}${encodeURI(path).replaceAll('%25', '%').replaceAll('%5C', '\\')}`,
        headers: { authorization },
      }).end();
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      const text = String(Buffer.concat(await response.toArray()));
      if (path === '/ü') expect([path, response.statusCode]).toEqual([path, 200]);
      else expect([path, response.statusCode, JSON.parse(text).errors?.[0].extensions.code]).toEqual([path, 400, 'BAD_REQUEST']);
    }
    expect(service.received.splice(0).map(({ target }) => target)).toEqual(['/v1/%C3%BC']);
    // It may be encoded four times. What goes on after that costs the more the longer it is, and is for nobody.
    const encoded = (times: number) => `/%${'25'.repeat(times - 1)}41`;
    expect((await ask(`/proxy/${id}${encoded(4)}`)).body).toBe('ok');
    for (const path of [encoded(5), `/;${'/'.repeat(7_400)}%${'25'.repeat(3_000)}`])
      expect(codeOf(await ask(`/proxy/${id}${path}`))).toBe('400 BAD_REQUEST');
    expect(service.received.splice(0).map(({ target }) => target)).toEqual(Array(2).fill(`/v1${encoded(4)}`));
    for (const path of ['/...', '/a..b', '/..a', '/a%2Fb', '/%20', '/a//b', '/a;b=c', '/@x', '/http://evil.example/'])
      expect([path, (await ask(`/proxy/${id}${path}`)).status]).toEqual([path, 200]);
    expect(new Set(service.received.splice(0).map(({ headers }) => headers.host))).toEqual(new Set([`${host}:${service.port}`]));
  });

  it('names a connection that the caller can use; of all others nothing is told', async () => {
    const id = await connect('known', { bearerToken: { token: bearer } });
    const other = { organization: test.newOrganization() };
    const theirs = `Bearer ${await test.token(other)}`;
    const unknown = [
      await ask(`/proxy/${id}/x`, { headers: { authorization: theirs } }),
      await ask(`/proxy/${Buffer.from('Connection:0123456789abcdef01234567').toString('base64url')}/x`),
      await ask(`/proxy/${Buffer.from('Credential:0123456789abcdef01234567').toString('base64url')}/x`),
      await ask('/proxy/nothing/x'),
      await ask('/proxy//x'),
    ];
    for (const answer of unknown.slice(0, 4)) expect(answer).toEqual(unknown[0]);
    expect(unknown.map(codeOf)).toEqual([...Array(4).fill('404 NOT_FOUND'), expect.stringMatching(/^4/)]);
    const wildcards = ['all.Organization', 'connections.*', 'credentials.reveal'];
    const refused: [string, Json][] = [
      ['403 FORBIDDEN', { authorization: `Bearer ${await test.token({ ...caller, scopes: wildcards })}` }],
      ['401 UNAUTHENTICATED', { authorization: 'Bearer nothing' }],
      ['401 UNAUTHENTICATED', { authorization: '' }],
      ['403 FORBIDDEN', { 'sec-fetch-site': 'same-origin' }],
      ['403 FORBIDDEN', { origin: 'http://gateway.test' }],
      ['400 BAD_REQUEST', { 'credential-gateway-purpose': 'SSO_SIGNING' }],
      ['400 BAD_REQUEST', { upgrade: 'websocket', connection: 'upgrade' }],
    ];
    for (const [code, headers] of refused) {
      for (const send of Object.values(doors)) {
        // `fetch` of Node.js does not let a request have an Upgrade.
        if ('upgrade' in headers && send === doors.fetch) continue;
        expect([headers, codeOf(await send({ method: 'GET', path: `/proxy/${id}/x`, headers: { authorization, ...headers } }))]).toEqual([
          headers,
          code,
        ]);
      }
    }
    expect(service.received).toEqual([]);
    // Nothing is bound for triggers, so nothing is added.
    service.answer = { body: 'ok' };
    expect((await ask(`/proxy/${id}/x`, { headers: { 'credential-gateway-purpose': 'TRIGGER' } })).body).toBe('ok');
    expect(service.last.headers.authorization).toBeUndefined();
    await test.create(caller, 'EndUser', { integration, externalId: 'ada', displayName: 'Ada' });
    const token = await test.makeEndUserToken(caller, { inIntegration: { integration, externalId: 'ada' } });
    expect(codeOf(await ask(`/proxy/${id}/x`, { headers: { authorization: `Bearer ${token}` } }))).toBe('403 FORBIDDEN');
    service.received.splice(0);
  });

  it('leads nowhere if a credential does not allow it, or the address is not allowed', async () => {
    const notAllowed = await connect('not allowed', { bearerToken: { token: bearer } }, { credential: { allowedPurposes: [] } });
    const answer = await ask(`/proxy/${notAllowed}/x`);
    expect([codeOf(answer), reasonOf(answer)]).toEqual(['409 CREDENTIAL_NOT_USABLE', 'PURPOSE']);
    await test.create(caller, 'Connector', { integration, name: 'inner', baseUrl: 'https://inner.test/latest' });
    const create = {
      name: 'inner',
      allowedDomains: ['inner.test'],
      allowedPurposes: ['ACTION'],
      data: { bearerToken: { token: bearer } },
    };
    const connector = { inIntegration: { integration, name: 'inner' } };
    const input = { integration, connector, name: 'inner', actionCredentials: [{ credential: { create } }] };
    const inner = await test.create(caller, 'Connection', input);
    const refused = await ask(`/proxy/${inner.id}/`);
    expect([codeOf(refused), reasonOf(refused)]).toEqual(['502 SERVICE_FAILED', 'UNREACHABLE']);
    // Whether a name exists in the network of the operator is not told.
    await test.create(caller, 'Connector', { integration, name: 'nobody', baseUrl: 'https://nobody.test/latest' });
    const nobody = await test.create(caller, 'Connection', {
      ...input,
      connector: { inIntegration: { integration, name: 'nobody' } },
      name: 'nobody',
      actionCredentials: [{ credential: { create: { ...create, name: 'nobody', allowedDomains: ['nobody.test'] } } }],
    });
    expect(await ask(`/proxy/${nobody.id}/`)).toEqual(refused);
    expect(service.received).toEqual([]);
  });
});

describe('a stream', () => {
  const open = (id: string, options: object = {}) =>
    httpRequest(`${origin}/proxy/${id}/stream`, { headers: { authorization }, agent: false, ...options });

  it('goes both ways while it is written', async () => {
    const echo = new LocalService({ authority: service.authority, listener: (request, response) => request.pipe(response) });
    await echo.start();
    await test.create(caller, 'Connector', { integration, name: 'echo', baseUrl: echo.origin(host) });
    const create = { name: 'echo', ...allowed, data: { bearerToken: { token: bearer } } };
    const connector = { inIntegration: { integration, name: 'echo' } };
    const input = { integration, connector, name: 'echo', actionCredentials: [{ credential: { create } }] };
    const { id: echoing } = await test.create(caller, 'Connection', input);
    const sent = open(echoing, { method: 'POST' });
    sent.write('first');
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    expect(String((await once(response, 'data'))[0])).toBe('first');
    sent.end('second');
    expect(String(Buffer.concat(await response.toArray()))).toBe('second');
    // The same by code, with streams of the web.
    const parts = Readable.toWeb(Readable.from([Buffer.from('one'), Buffer.from('two')])) as ReadableStream<Uint8Array>;
    const init = { method: 'POST', headers: { authorization }, body: parts, duplex: 'half' } as RequestInit;
    expect(await (await test.gateway.fetch(new Request(`http://gateway.test/proxy/${echoing}/x`, init))).text()).toBe('onetwo');
    await echo.stop();
  });

  it('ends at the service when its client goes, and at the client when the service goes', async () => {
    const id = await connect('ending', { bearerToken: { token: bearer } });
    service.answer = (_received, response) => void response.writeHead(200).write('beginning');
    const sent = open(id).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    await once(response, 'data');
    const closed = once(service.lastSocket, 'close');
    response.destroy();
    await closed;
    const aborting = new AbortController();
    const byCode = await test.gateway.fetch(
      new Request(`http://gateway.test/proxy/${id}/`, { headers: { authorization }, signal: aborting.signal }),
    );
    const ended = once(service.lastSocket, 'close');
    await byCode.body!.cancel();
    await ended;
    service.answer = (_received, written) => {
      written.writeHead(200, { 'content-length': '100' }).write('beginning');
      written.socket!.end();
      return undefined;
    };
    const broken = open(id).end();
    const [part] = (await once(broken, 'response')) as [IncomingMessage];
    await expect(part.toArray()).rejects.toThrow();
    service.received.splice(0);
  });

  it('has a limit of size and of number, and what has ended counts no longer', async () => {
    const id = await connect('limits', { bearerToken: { token: bearer } });
    const large = 1024 * 1024 + 1;
    expect(codeOf(await ask(`/proxy/${id}/`, { method: 'POST', body: new Uint8Array(large) }))).toBe('413 LIMIT_EXCEEDED');
    const chunked = open(id, { method: 'POST' });
    chunked.on('error', () => {});
    for (let sent = 0; sent < large; sent += 64 * 1024) chunked.write(Buffer.alloc(64 * 1024));
    chunked.end();
    const [refused] = (await once(chunked, 'response')) as [IncomingMessage];
    expect(refused.statusCode).toBe(413);
    refused.resume();
    service.answer = { body: new Uint8Array(large) };
    const answer = open(id).end();
    const [part] = (await once(answer, 'response')) as [IncomingMessage];
    await expect(part.toArray()).rejects.toThrow();
    // Two are under way, and a third is refused until one of them has ended.
    service.answer = (_received, response) => void response.writeHead(200).write('beginning');
    const running = [open(id).end(), open(id).end()];
    const responses = (await Promise.all(running.map((each) => once(each, 'response')))) as [IncomingMessage][];
    const third = await ask(`/proxy/${id}/`);
    expect([codeOf(third), third.headers['retry-after']]).toEqual(['429 LIMIT_EXCEEDED', '1']);
    const closed = once(service.lastSocket, 'close');
    for (const [each] of responses) each.destroy();
    await closed;
    service.answer = { body: 'ok' };
    await expect.poll(async () => (await ask(`/proxy/${id}/`)).body).toBe('ok');
    service.received.splice(0);
  });
});

it('a failure of the service has a code, and repeats nothing', async () => {
  const id = await connect('failing', { bearerToken: { token: bearer } });
  const failing = {
    '502 SERVICE_FAILED UNREACHABLE': () => (service.answer = (_received, response) => void response.socket!.destroy()),
    '504 SERVICE_FAILED TIMEOUT': () => (service.answer = () => undefined),
    '502 SERVICE_FAILED INVALID_ANSWER': () =>
      (service.answer = (_received, response) => void response.socket!.end('HTTP/1.1 200 OK\r\nContent-Length: secret-of-service\r\n\r\n')),
  };
  for (const [expected, prepare] of Object.entries(failing)) {
    prepare();
    const answer = await ask(`/proxy/${id}/secret-of-caller?secret-of-caller`, {
      method: 'POST',
      body: 'secret-of-caller',
      headers: { 'x-secret-of-caller': 'secret-of-caller' },
    });
    expect(`${codeOf(answer)} ${reasonOf(answer)}`).toBe(expected);
    expect(JSON.stringify(answer)).not.toMatch(/secret-of|a-token-of/);
  }
  service.received.splice(0);
  service.answer = { body: {} };
  const logs = test.logs.join('');
  expect(logs).not.toMatch(/secret-of|a-token-of/);
  expect(logs).toContain('"path":"/proxy"');
  expect(logs).toContain(`"host":"${host}:${service.port}"`);
});
