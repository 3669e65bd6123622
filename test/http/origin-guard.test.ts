import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway, type Gateway } from '../../src/gateway/index.ts';
import { type Caller, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const query = '{ integrations { nodes { name } } }';
const mutation = 'mutation { createIntegration(input: { name: "made" }) { __typename } }';
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
});

/** A request as it is given, with a token. */
async function ask(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
  return test.gateway.fetch(new Request(`http://gateway.test${path}`, { ...init, headers: { authorization, ...init.headers } }));
}
const post = (body: string, headers: Record<string, string>) => ask('/graphql', { method: 'POST', body, headers });
const get = (parameters: Record<string, string>, headers: Record<string, string> = {}) =>
  ask(`/graphql?${new URLSearchParams(parameters)}`, { headers });

async function refused(response: Response, status: number, code: string): Promise<void> {
  const text = await response.text();
  expect([response.status, text]).toEqual([status, expect.stringContaining(code)]);
  expect(JSON.parse(text)).toEqual({
    errors: [{ message: expect.any(String), extensions: { code, requestId: response.headers.get('x-request-id') } }],
  });
}

describe('where a request comes from', () => {
  // A page of another site makes the browser send it; it would run, even if the page cannot read the answer.
  it.each([
    'https://evil.example',
    'http://gateway.test.evil.example',
    'http://gateway.test:8080',
    'http://evil.gateway.test',
    'null',
    '',
    'gateway.test',
    'file://',
    'chrome-extension://abcdef',
  ])('is refused from the pages of another origin: %s', async (origin) => {
    for (const response of [
      await post(JSON.stringify({ query }), { 'content-type': 'application/json', origin }),
      await post(JSON.stringify({ query: mutation }), { 'content-type': 'application/json', origin }),
      await get({ query }, { origin }),
    ]) {
      await refused(response, 403, 'FORBIDDEN');
    }
    expect((await test.query(caller, query)).integrations.nodes).toEqual([]);
  });

  it('is let in from its own page, and from no page', async () => {
    for (const headers of [{ origin: 'http://gateway.test' }, {}] as Record<string, string>[]) {
      const response = await post(JSON.stringify({ query }), { 'content-type': 'application/json', ...headers });
      expect(response.status).toBe(200);
    }
  });

  // There is no CORS at all.
  it('is told nothing that would let another origin read the answer', async () => {
    const preflight = await ask('/graphql', {
      method: 'OPTIONS',
      headers: {
        origin: 'https://evil.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    });
    const answers = [
      preflight,
      await post(JSON.stringify({ query }), { 'content-type': 'application/json', origin: 'https://evil.example' }),
      await post(JSON.stringify({ query }), { 'content-type': 'application/json' }),
      await get({ query }),
      await ask('/health', { headers: { origin: 'https://evil.example' } }),
    ];
    expect(preflight.status).toBeGreaterThanOrEqual(400);
    for (const { headers } of answers) expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('every answer is kept from caches, sniffing and referrers, and has an id', async () => {
    for (const response of [
      await get({ query }),
      await ask('/health'),
      await ask('/nowhere'),
      await post('{', { 'content-type': 'text/plain' }),
    ]) {
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('no-referrer');
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });
});

describe('what a request is', () => {
  // What a form of another page can send without asking first.
  it.each([
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain',
    'text/plain; application/json',
    'application/jsonx',
    'application/graphql',
    'application/graphql+json',
    '',
  ])('is refused unless its body is JSON: %s', async (contentType) => {
    const bodies = [JSON.stringify({ query: mutation }), `query=${encodeURIComponent(mutation)}`, mutation];
    for (const body of bodies) await refused(await post(body, { 'content-type': contentType }), 415, 'BAD_REQUEST');
    expect((await test.query(caller, query)).integrations.nodes).toEqual([]);
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'application/json;charset=UTF-8'])(
    'is taken as %s',
    async (contentType) => {
      expect((await post(JSON.stringify({ query }), { 'content-type': contentType })).status).toBe(200);
    },
  );

  it('may be a query by GET, and never a mutation', async () => {
    const response = await get({ query });
    expect([response.status, await response.json()]).toMatchObject([200, { data: { integrations: { nodes: [] } } }]);
    const refusal = await get({ query: mutation });
    expect(refusal.headers.get('allow')).toBe('POST');
    await refused(refusal, 405, 'BAD_REQUEST');
    await refused(
      await get({ query: `query A { __typename } ${mutation.replace('mutation', 'mutation B')}`, operationName: 'B' }),
      405,
      'BAD_REQUEST',
    );
    expect((await test.query(caller, query)).integrations.nodes).toEqual([]);
  });

  it.each(['PUT', 'PATCH', 'DELETE'])('is refused by %s', async (method) => {
    const response = await ask('/graphql', { method, body: JSON.stringify({ query }), headers: { 'content-type': 'application/json' } });
    await refused(response, 405, 'BAD_REQUEST');
  });

  it('is one operation: a list of them is refused', async () => {
    await refused(await post(JSON.stringify([{ query }, { query: mutation }]), { 'content-type': 'application/json' }), 400, 'BAD_REQUEST');
  });

  it('is refused when it is larger than any write can be', async () => {
    const body = JSON.stringify({ query, variables: { pad: 'x'.repeat(2 * 1024 * 1024) } });
    await refused(await post(body, { 'content-type': 'application/json' }), 413, 'BAD_REQUEST');
  });

  it('finds nothing at another path', async () => {
    for (const path of ['/graphql2', '/admin', '/.env', '/nowhere?x=/graphql', '/nowhere/graphql']) {
      await refused(await ask(path), 404, 'BAD_REQUEST');
    }
  });
});

describe('liveness and readiness', () => {
  // Yoga’s own would answer any URL with such an end, without our headers, log and door.
  it('are paths, not ends of a URL', async () => {
    const response = await test.gateway.fetch(new Request(`http://gateway.test/graphql?query=${encodeURIComponent(query)}&x=/health`));
    expect(response.status).toBe(401);
  });

  it('need no token, and say nothing else', async () => {
    for (const [path, text] of [
      ['/health', 'alive\n'],
      ['/ready', 'ready\n'],
    ] as const) {
      const response = await test.gateway.fetch(new Request(`http://gateway.test${path}`));
      expect([response.status, await response.text()]).toEqual([200, text]);
    }
  });
});

describe('a gateway that answers to its own names', () => {
  // Between it and its database, a wire that can be cut.
  let gateway: Gateway;
  let wire: Awaited<ReturnType<typeof cuttableWire>>;
  let port: number;
  const server = createServer((request, response) => gateway.requestListener(request, response));
  const logs: string[] = [];
  beforeAll(async () => {
    wire = await cuttableWire(test.uri);
    gateway = await createGateway({
      database: { uri: wire.uri, name: test.databaseName },
      masterKeys: [test.masterKey],
      tokens: { issuer: 'i', audience: 'a', organizationClaim: 'o', key: { secret: randomBytes(32) } },
      logger: pino({}, { write: (line) => void logs.push(line) }),
      graphiql: false,
      allowedHosts: ['localhost', '127.0.0.1', '[::1]'],
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await gateway.stop();
    wire.close();
  });

  // DNS rebinding: the browser thinks that it talks to evil.example, and the address is ours. Then Origin and Host agree.
  it.each(['evil.example', 'evil.example:4000', 'localhost.evil.example', '127.0.0.1.nip.io', '0.0.0.0', '[::2]', ''])(
    'refuses another Host: %s',
    async (host) => {
      const { status, text } = await raw({ host, origin: `http://${host}` });
      expect([status, text]).toEqual([403, expect.stringContaining('FORBIDDEN')]);
      if (host) expect(text).not.toContain(host);
    },
  );

  // Before a plugin is asked, the adapter makes a URL of these; when it could not, it answered with its stack and our paths.
  it.each([
    ['a b', '/graphql'],
    ['[', '/graphql'],
    ['localhost:99999', '/graphql'],
  ])('refuses a Host and path that make no URL, and shows nothing of itself: %s %s', async (host, path) => {
    const { status, text } = await raw({ host }, path);
    const extensions = { code: 'BAD_REQUEST', requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) };
    expect([status, JSON.parse(text)]).toEqual([400, { errors: [{ message: expect.any(String), extensions }] }]);
  });

  it.each(['localhost', 'localhost:4000', '127.0.0.1', '127.0.0.1:80', '[::1]:4000', 'LOCALHOST'])('takes %s', async (host) => {
    expect((await raw({ host })).status).toBe(401);
  });

  it('is not ready while its database does not answer, and is again when it does; it is alive throughout', async () => {
    expect((await raw({ host: 'localhost' }, '/ready')).status).toBe(200);
    wire.cut();
    // The answer may be a second old.
    await expect
      .poll(() => raw({ host: 'localhost' }, '/ready'), { timeout: 20_000 })
      .toEqual({ status: 503, text: 'the database does not respond\n' });
    expect((await raw({ host: 'localhost' }, '/health')).status).toBe(200);
    wire.mend();
    await expect.poll(async () => (await raw({ host: 'localhost' }, '/ready')).status, { timeout: 20_000, interval: 250 }).toBe(200);
  });

  function raw(headers: IncomingHttpHeaders, path = '/graphql?query=%7B__typename%7D'): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port, path, headers, setHost: false, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.on('error', reject).end();
    });
  }
});

/** A port that leads to the database until it is cut. */
async function cuttableWire(uri: string) {
  const address = decodeURIComponent(/^mongodb:\/\/([^/?]+)/.exec(uri)![1]!);
  const [host, port] = address.split(':') as [string, string?];
  const database = address.startsWith('/') ? { path: address } : { host, port: Number(port) };
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createTcpServer((socket) => {
    if (isCut) return socket.destroy();
    const onward = connect(database);
    for (const each of [socket, onward]) {
      sockets.add(each);
      each.on('error', () => {}).on('close', () => sockets.delete(each));
    }
    socket.pipe(onward).pipe(socket);
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
    return socket;
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    uri: `mongodb://127.0.0.1:${(server.address() as AddressInfo).port}/?directConnection=true`,
    cut() {
      isCut = true;
      drop();
    },
    mend() {
      isCut = false;
    },
    close() {
      server.close();
      drop();
    },
  };
}
