import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import express from 'express';
import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLimitedServer } from '../../src/cli/server.ts';
import { TestGateway } from '../harness.ts';
import { LocalService } from '../services/local-service.ts';

// A server around the gateway decides by the target as it came which requests the gateway gets. Whatever is written there, the gateway must not take it
// for another one of its endpoints. A client library would resolve such a target itself, so it is written to a socket.

const test = new TestGateway();
const service = new LocalService();
const host = 'api.service.test';
let authorization: string;
let proxied: string;
const servers: Server[] = [];
/** The ports of servers with the gateway: below `/graphql` only, and that of the command line. */
const ports: Record<string, number> = {};

const mounted: RequestListener = (request, response) => {
  if (request.url!.replace(/^http:..[^/]*/, '').startsWith('/graphql')) return void test.gateway.requestListener(request, response);
  response.writeHead(404).end('the host');
};

async function listening(server: Server): Promise<number> {
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  await service.start();
  test.outbound = service.outbound;
  await test.start();
  const caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
  const integration = { name: 'crm' };
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Connector', { integration, name: 'api', baseUrl: `${service.origin(host)}/v1/` });
  const credential = { name: 'own', data: { bearerToken: { token: 'x-7Kq2' } }, allowedDomains: [host], allowedPurposes: ['ACTION'] };
  const connector = { inIntegration: { integration, name: 'api' } };
  const actionCredentials = [{ credential: { create: credential } }];
  proxied = `/proxy/${(await test.create(caller, 'Connection', { integration, connector, name: 'own', actionCredentials })).id}`;

  const app = express();
  app.use('/graphql', test.gateway.requestListener);
  app.use((_request, response) => void response.status(404).send('the host'));
  const fastify = Fastify();
  fastify.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    for (const path of ['/graphql', '/graphql/*', '/graphql*']) {
      scope.all(path, (request, reply) => {
        reply.hijack();
        test.gateway.requestListener(request.raw, reply.raw);
      });
    }
  });
  fastify.setNotFoundHandler((_request, reply) => reply.code(404).send('the host'));
  await fastify.ready();
  ports.node = await listening(createServer(mounted));
  ports.express = await listening(createServer(app));
  ports.fastify = await listening(fastify.server);
  ports.command = await listening(createLimitedServer(test.gateway.requestListener));
});
afterAll(async () => {
  for (const server of servers) server.close().closeAllConnections();
  await test.stop();
  await service.stop();
});

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function sent(server: string, target: string, headers = `Host: 127.0.0.1:${ports[server]}`): Promise<Answer> {
  const socket = connect(ports[server]!, '127.0.0.1');
  socket.write(
    `GET ${target} HTTP/1.1\r\n${headers}\r\nAccept: application/json\r\nAuthorization: ${authorization}\r\nConnection: close\r\n\r\n`,
    'latin1',
  );
  const answer = await text(socket);
  const end = answer.indexOf('\r\n\r\n');
  return { status: Number(answer.slice(9, 12)), body: answer.slice(end + 4) };
}

const QUERY = '?query=%7B__typename%7D';
/** Every endpoint, as what follows a slash. */
const endpoints = () => ['ready', 'health', `graphql${QUERY}`, 'oauth/callback?state=x', `${proxied.slice(1)}/x`, ''];
/** What leads to another path, before the name of an endpoint. */
const detours = [
  ...[
    '/graphql/../',
    '/graphql/./../',
    '/graphql/x/../../',
    '/graphql/..//',
    '//',
    '//evil/',
    '/./',
    '/../',
    '/graphql/%2e%2e/',
    '/graphql/%2E%2E/',
  ],
  ...[
    '/graphql/.%2e/',
    '/graphql/%2e./',
    '/graphql/%252e%252e/',
    '/graphql/..%2f',
    '/graphql/..%5c',
    '/graphql\\..\\',
    '/graphql/..\\',
    '/graphql\\../',
  ],
  ...[
    '\\',
    '/\\',
    '/graphql/\t../',
    '/graphql/.\t./',
    '/graphql/..;/',
    '/graphql/..%00/',
    '/graphql#/../',
    '/graphql/../#/',
    '/graphql/\xe9/../',
  ],
];

describe.each(['node', 'express', 'fastify', 'command'])('a server: %s', (server) => {
  it('whose targets lead to other endpoints gets none of them from the gateway', async () => {
    const reached: string[] = [];
    for (const detour of detours) {
      for (const endpoint of endpoints()) {
        const target = `${detour}${endpoint}`;
        const { status, body } = await sent(server, target);
        // What is not HTTP is refused by Node or by the framework; what was not for the gateway is answered by the host.
        const isRefused = status === 400 || (server !== 'command' && status === 404 && body.includes('the host'));
        if (!isRefused) reached.push(`${status} ${JSON.stringify(target)} ${body}`);
      }
    }
    expect(reached).toEqual([]);
    expect(service.received).toEqual([]);
  });

  it('answers a request with two hosts by nothing but a refusal', async () => {
    const own = `Host: 127.0.0.1:${ports[server]}`;
    for (const headers of [`${own}\r\nHost: evil.test`, `Host: evil.test\r\n${own}`, `${own}\r\n${own.toUpperCase()}`]) {
      const { status, body } = await sent(server, `/graphql${QUERY}`, headers);
      expect([headers, status, JSON.parse(body).errors[0].message]).toEqual([
        headers,
        400,
        expect.stringContaining('several Host headers'),
      ]);
    }
  });

  it('gets GraphQL at /graphql, and at its own URL in absolute form', async () => {
    const own = `127.0.0.1:${ports[server]}`;
    for (const target of [`/graphql${QUERY}`, `http://${own}/graphql${QUERY}`])
      expect([target, await sent(server, target)]).toEqual([
        target,
        { status: 200, body: expect.stringContaining('"data":{"__typename":"Query"}') },
      ]);
  });
});

describe('a target in absolute form', () => {
  it('is served as the path that it names, where its host is that of the request', async () => {
    const ask = (target: string, name: string) => sent('command', target, `Host: ${name}`);
    expect(await ask('http://GATEWAY.test:80/health', 'gateway.test')).toMatchObject({ status: 200, body: 'alive\n' });
    expect(await ask('https://gateway.test/ready', 'gateway.test:443')).toMatchObject({ status: 200, body: 'ready\n' });
    // The root leads to GraphiQL.
    expect((await ask('http://gateway.test', 'gateway.test')).status).toBe(302);
    expect((await ask(`http://gateway.test${proxied}/a"b%2Fc`, 'gateway.test')).status).toBe(200);
    expect(service.received.splice(0).map(({ target }) => target)).toEqual(['/v1/a%22b%2Fc']);
  });

  it('is refused with another host, a user, or a path that is not plain', async () => {
    for (const target of [
      'http://other/ready',
      'http://127.0.0.1/ready',
      `http://user@gateway.test/ready`,
      'http://gateway.test\\@other/ready',
      'http:///ready',
      'http://gateway.test/graphql/../ready',
      'http://gateway.test//ready',
      '/a"b',
      'ftp://gateway.test/ready',
      '*',
    ]) {
      const { status, body } = await sent('command', target, 'Host: gateway.test');
      expect([target, status, JSON.parse(body).errors[0].extensions.code]).toEqual([target, 400, 'BAD_REQUEST']);
    }
  });
});

it('paths of services keep what their clients have written, and lead nowhere else', async () => {
  for (const path of ['/a%2Fb', '/%2ehidden', '/a"b', '/{id}', '/x%2e%2e', '/...', '/a//b'])
    expect([path, (await sent('command', `${proxied}${path}`)).status]).toEqual([path, 200]);
  const targets = service.received.splice(0).map(({ target }) => target);
  expect(targets).toEqual(['/v1/a%2Fb', '/v1/%2ehidden', '/v1/a%22b', '/v1/%7Bid%7D', '/v1/x%2e%2e', '/v1/...', '/v1/a//b']);
});
