import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLimitedServer } from '../../src/cli/server.ts';
import { responseHeaders } from '../../src/response-headers.ts';
import { newTlsPair } from '../cli/tls-pair.ts';
import { type Caller, TestGateway } from '../harness.ts';
import { serve } from '../serve.ts';
import { corpus, throughFetch, throughSocket } from './doors.ts';

/** What the contract is about: in numbers, so that a change of the table is a change here, too. */
const required = {
  'content-security-policy': /(^|; )frame-ancestors 'none'(;|$)/,
  'cross-origin-resource-policy': /^same-origin$/,
  'referrer-policy': /^no-referrer$/,
  'x-content-type-options': /^nosniff$/,
  'x-frame-options': /^DENY$/,
};
const HSTS = /^max-age=63072000$/;

const test = new TestGateway();
test.corsOrigins = ['https://app.example'];
// Such that they are never met, but told.
test.limits = { rateLimit: 40_000_000, organizationRateLimit: 50_000_000, anonymousRateLimit: 0 };
test.trustedProxies = 1;
const caller: Caller = { organization: 'acme' };
let token = '';
let limited: TestGateway;
/** The servers: of both kinds, and one with limits that are met soon. */
const servers: Record<string, { server: Server; isTls: boolean }> = {};

beforeAll(async () => {
  await test.start();
  limited = new TestGateway();
  limited.limits = { rateLimit: 10, anonymousRateLimit: 1, maxCost: 10, operationSeconds: 0 };
  await limited.start();
  token = await test.token(caller);
  const pair = newTlsPair('gateway.test');
  // The times of the real one, made short.
  const times = {
    headersTimeout: 300,
    requestTimeout: 600,
    connectionsCheckingInterval: 50,
    keepAliveTimeout: 300,
    maxRequestsPerSocket: 3,
  };
  servers.http = { server: createLimitedServer(test.gateway.requestListener, times), isTls: false };
  servers.https = { server: createLimitedServer(test.gateway.requestListener, times, pair), isTls: true };
  servers.limited = { server: createLimitedServer(limited.gateway.requestListener, times), isTls: false };
  for (const { server } of Object.values(servers)) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
});
afterAll(async () => {
  for (const { server } of Object.values(servers)) {
    server.closeAllConnections();
    server.close();
  }
  await test.stop();
  await limited.stop();
});

function open(name: string): Socket {
  const { server, isTls } = servers[name]!;
  const { port } = server.address() as AddressInfo;
  return isTls ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect(port, '127.0.0.1');
}

interface Received {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Sends bytes, and returns the responses that came until the connection was closed, without those in between (1xx). */
async function exchange(name: string, sent: string): Promise<Received[]> {
  const socket = open(name);
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part)).on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(sent);
  await closed;
  return responsesOf(Buffer.concat(parts).toString('latin1'));
}

function responsesOf(text: string): Received[] {
  const responses: Received[] = [];
  for (let rest = text; rest !== ''; ) {
    const [, status, head] = /^HTTP\/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest) ?? [];
    if (!status) throw new Error(`This is no response: ${rest.slice(0, 200)}`);
    rest = rest.slice(rest.indexOf('\r\n\r\n') + 4);
    if (status.startsWith('1')) continue;
    const headers = Object.fromEntries(
      head!
        .trim()
        .split('\r\n')
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    let body = '';
    if (headers['transfer-encoding'] === 'chunked') {
      for (;;) {
        const size = Number.parseInt(rest, 16);
        const at = rest.indexOf('\r\n') + 2;
        body += rest.slice(at, at + size);
        rest = rest.slice(at + size + 2);
        if (!size) break;
      }
    } else if (status !== '204') {
      const length = Number(headers['content-length'] ?? rest.length);
      body = rest.slice(0, length);
      rest = rest.slice(length);
    }
    responses.push({ status: Number(status), headers, body });
  }
  return responses;
}

const head = (line: string, ...headers: string[]) =>
  `${[line, 'Host: gateway.test', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
const json = (body: string, ...headers: string[]) =>
  head('POST /graphql HTTP/1.1', 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, ...headers) + body;
const authorized = () => `Authorization: Bearer ${token}`;
const query = (text: string) => JSON.stringify({ query: text });

/** Every kind of answer, with its status. `limited`: from the server whose limits are met at once. */
const kinds: Readonly<Record<string, readonly [status: number, sent: () => string, name?: 'limited']>> = {
  'a result': [200, () => json(query('{ __typename }'), authorized())],
  'a result by GET': [200, () => head('GET /graphql?query={__typename} HTTP/1.1', authorized())],
  'a mutation by GET': [405, () => head('GET /graphql?query=mutation{__typename} HTTP/1.1', authorized())],
  'an error of GraphQL': [200, () => json(query('{ nothing }'), authorized(), 'Accept: application/json')],
  'an error of GraphQL, for who reads the status': [
    400,
    () => json(query('{ nothing }'), authorized(), 'Accept: application/graphql-response+json'),
  ],
  'a syntax error': [200, () => json(query('{'), authorized(), 'Accept: application/json')],
  'a media type that is not there': [406, () => json(query('{ __typename }'), authorized(), 'Accept: image/png')],
  'a compressed body': [415, () => json('{}', authorized(), 'Content-Encoding: gzip')],
  'a compressed answer': [200, () => json(query('{ __schema { types { name description } } }'), authorized(), 'Accept-Encoding: gzip')],
  'the root': [302, () => head('GET / HTTP/1.1')],
  'a body that is no JSON': [400, () => json('{', authorized())],
  'a body of another type': [415, () => json('{}', authorized()).replace('application/json', 'text/plain')],
  'a body that is too large': [
    413,
    () => head('POST /graphql HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 99999999', authorized()),
  ],
  'no token': [401, () => json(query('{ __typename }'))],
  'a wrong token': [401, () => json(query('{ __typename }'), 'Authorization: Bearer x')],
  'an API key that is none': [401, () => json(query('{ __typename }'), 'Authorization: Basic YTpi')],
  'another origin': [403, () => json(query('{ __typename }'), 'Origin: https://evil.example', authorized())],
  'a page that may': [200, () => json(query('{ __typename }'), 'Origin: https://app.example', authorized())],
  'a preflight': [204, () => head('OPTIONS /graphql HTTP/1.1', 'Origin: https://app.example', 'Access-Control-Request-Method: POST')],
  'OPTIONS of everything': [404, () => head('OPTIONS http://gateway.test/ HTTP/1.1')],
  'another method': [405, () => head('PUT /graphql HTTP/1.1', 'Content-Length: 0', authorized())],
  HEAD: [404, () => head('HEAD /nowhere HTTP/1.1')],
  'another path': [404, () => head('GET /nowhere HTTP/1.1')],
  'an asset that is not there': [404, () => head('GET /graphql/page-0000000000000000.js HTTP/1.1')],
  liveness: [200, () => head('GET /health HTTP/1.1')],
  readiness: [200, () => head('GET /ready HTTP/1.1')],
  GraphiQL: [200, () => head('GET /graphql HTTP/1.1', 'Accept: text/html')],
  'an upgrade': [401, () => head('GET /graphql HTTP/1.1', 'Upgrade: websocket').replace('Connection: close', 'Connection: close, upgrade')],
  'too many requests': [429, () => json(query('{ __typename }'), 'X-Forwarded-For: 192.0.2.1'), 'limited'],
  // What the gateway never sees.
  'a Host that makes no URL': [400, () => head('GET /graphql HTTP/1.1').replace('gateway.test', 'a b')],
  'a Host with a path': [400, () => head('GET / HTTP/1.1').replace('gateway.test', 'gateway.test/graphql?')],
  'a Host with a user': [400, () => head('GET /graphql HTTP/1.1').replace('gateway.test', 'a@gateway.test')],
  'what is no HTTP': [400, () => 'hello\r\n\r\n'],
  'another protocol': [400, () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  'a method that is none': [400, () => head('HACK /graphql HTTP/1.1')],
  'a header that is none': [400, () => head('GET /health HTTP/1.1', 'no header')],
  'two lengths': [400, () => head('POST /graphql HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2')],
  'a length and chunks': [400, () => head('POST /graphql HTTP/1.1', 'Content-Length: 1', 'Transfer-Encoding: chunked')],
  'headers that are too large': [431, () => head('GET /health HTTP/1.1', `X-Large: ${'x'.repeat(20_000)}`)],
  'chunk extensions that are too large': [
    413,
    () =>
      `${head('POST /graphql HTTP/1.1', 'Content-Type: application/json', 'Transfer-Encoding: chunked', authorized())}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`,
  ],
  'headers that do not arrive': [408, () => 'GET /health HTTP/1.1\r\nHost: gateway.test\r\n'],
  'no Host': [400, () => 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n'],
  'an expectation': [417, () => head('GET /health HTTP/1.1', 'Expect: everything')],
  CONNECT: [405, () => head('CONNECT gateway.test:443 HTTP/1.1')],
};

describe.each(['http', 'https'])('every answer over %s has the headers that keep browsers from misusing it', (scheme) => {
  it.each(Object.keys(kinds))('%s', async (kind) => {
    const [status, sent, name = scheme] = kinds[kind]!;
    if (name !== scheme && scheme === 'https') return;
    // What a limit counts is used up by the first.
    if (name === 'limited') await exchange(name, sent());
    const received = await exchange(name, sent());
    expect(received.map((each) => each.status)).toEqual([status]);
    const { headers, body } = received[0]!;
    for (const [header, value] of Object.entries(required)) expect(headers[header], header).toMatch(value);
    // The page has an ETag, and contains no token.
    expect(headers['cache-control']).toBe(kind === 'GraphiQL' ? 'private, no-cache' : 'no-store');
    if (scheme === 'https') expect(headers['strict-transport-security']).toMatch(HSTS);
    else expect(headers).not.toHaveProperty('strict-transport-security');
    // What is no page may do nothing at all.
    if (kind !== 'GraphiQL') expect(headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'");
    expect(headers).not.toHaveProperty('server');
    expect(headers).not.toHaveProperty('x-powered-by');
    if (body.startsWith('{')) expect(Object.keys(JSON.parse(body))).not.toEqual([]);
    expect(body).not.toMatch(/node_modules|node:internal|Error:/);
  });

  it('the parts of GraphiQL, which may be kept', async () => {
    const [page] = await exchange(scheme, head('GET /graphql HTTP/1.1', 'Accept: text/html'));
    const paths = [...page!.body.matchAll(/(?:src|href)="(graphql\/[^"]+)"/g)].map(([, path]) => path);
    expect(paths.length).toBeGreaterThan(3);
    for (const path of paths) {
      const [part] = await exchange(scheme, head(`GET /${path} HTTP/1.1`));
      expect(part!.status).toBe(200);
      for (const [header, value] of Object.entries(required)) expect(part!.headers[header], `${path}: ${header}`).toMatch(value);
      expect(part!.headers['cache-control']).toBe('private, max-age=31536000, immutable');
    }
  });

  it('the last one of a connection that had many requests', async () => {
    const one = 'GET /health HTTP/1.1\r\nHost: gateway.test\r\n\r\n';
    const received = await exchange(scheme, one.repeat(4));
    expect(received.map(({ status }) => status)).toEqual([200, 200, 200, 503]);
    for (const { headers } of received)
      for (const [header, value] of Object.entries(required)) expect(headers[header], header).toMatch(value);
  });

  it('and none is cut by another one: what follows a response that was begun closes the connection', async () => {
    const received = await exchange(scheme, `GET /health HTTP/1.1\r\nHost: gateway.test\r\n\r\nhello\r\n\r\n`);
    expect(received.length).toBeLessThanOrEqual(2);
    for (const { headers } of received) expect(headers['x-content-type-options']).toBe('nosniff');
  });
});

it('the table has what the contract asks for, and no more', () => {
  expect(Object.keys(responseHeaders).sort()).toEqual([...Object.keys(required), 'cache-control'].sort());
});

describe('HSTS', () => {
  const hsts = async (scheme: string, ...headers: string[]) =>
    (await exchange(scheme, `${['GET /health HTTP/1.1', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`))[0]!.headers[
      'strict-transport-security'
    ];

  // A browser would use TLS for all other servers of that machine as well.
  it.each(['localhost', 'localhost:4000', 'LOCALHOST', 'gateway.localhost:4000', 'localhost.'])('is not sent for %s', async (host) => {
    expect(await hsts('https', `Host: ${host}`)).toBe(undefined);
  });
  it.each(['gateway.test:4000', '127.0.0.1', '[::1]:4000', 'localhost.example'])('is sent for %s', async (host) => {
    expect(await hsts('https', `Host: ${host}`)).toMatch(HSTS);
  });

  it('is sent behind a trusted proxy with TLS, as the last proxy says', async () => {
    const host = 'Host: gateway.test';
    expect(await hsts('http', host, 'X-Forwarded-Proto: https')).toMatch(HSTS);
    expect(await hsts('http', host, 'X-Forwarded-Proto: http, https')).toMatch(HSTS);
    expect(await hsts('http', host, 'X-Forwarded-Proto: https, http')).toBe(undefined);
    expect(await hsts('limited', host, 'X-Forwarded-Proto: https')).toBe(undefined);
  });
});

// There is one function that answers requests. What stands in front of it must change nothing.
it('is the same through fetch and through a socket, with the status and the content', async () => {
  await test.create(caller, 'Integration', { name: 'doors' });
  const { id: endUser } = await test.create(caller, 'EndUser', { integration: { name: 'doors' }, externalId: 'u', displayName: 'U' });
  const requests = corpus({
    all: token,
    few: await test.token({ ...caller, scopes: ['credentials.get'] }),
    expired: await test.token({ ...caller, claims: { exp: 1 } }),
    apiKey: (await test.makeAPIKey(caller, { scopes: ['credentials.get'] })).key,
    endUser: await test.makeEndUserToken(caller, { id: endUser }),
  });
  const { origin, stop } = await serve(test.gateway.requestListener);
  const statuses = new Set<number>();
  const next = requests.values();
  const ask = async () => {
    for (const sent of next) {
      const [socket, fetched] = await Promise.all([throughSocket(origin, sent), throughFetch(test.gateway, origin, sent)]);
      // Each has an id of its own.
      const [one, other] = [socket, fetched].map((answer) => ({ ...answer, body: answer.body.replace(/"requestId":"[^"]+"/g, '') }));
      expect(one, JSON.stringify({ ...sent, body: sent.body?.slice(0, 200) })).toEqual(other);
      statuses.add(socket.status);
    }
  };
  await Promise.all(Array.from({ length: 8 }, ask));
  // Otherwise the requests would not say much.
  expect([...statuses].sort()).toEqual([200, 204, 302, 304, 400, 401, 403, 404, 405, 406, 413, 415]);
  await stop();
});
