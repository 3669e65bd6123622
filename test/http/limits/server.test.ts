import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLimitedServer, serverLimits } from '../../../src/cli/server.ts';
import { useTestGateway } from '../../harness.ts';

const test = useTestGateway();
let server: Server;
let authorization: string;

beforeAll(async () => {
  authorization = `Bearer ${await test.token({ organization: test.newOrganization() })}`;
  // The times of the real one, made short.
  server = createLimitedServer(test.gateway.requestListener, {
    headersTimeout: 300,
    requestTimeout: 600,
    connectionsCheckingInterval: 50,
    keepAliveTimeout: 300,
    socketTimeout: 20_000,
    maxConnections: 40,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const body = '{"query":"{ __typename }"}';
const head = (length: number, more = '') =>
  `POST /graphql HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${more}\r\n`;

/** A connection; what it was sent, and after how many milliseconds it was closed. */
function open(): { socket: Socket; received: () => string; closed: Promise<number> } {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const started = performance.now();
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  socket.on('error', () => {});
  // Not `once`, which rejects when the socket has an error before it is closed.
  const closed = new Promise<number>((resolve) => socket.on('close', () => resolve(performance.now() - started)));
  return { socket, received: () => received, closed };
}

/** The gateway answers, whatever the others do meanwhile. */
async function stillAnswers(): Promise<void> {
  const { socket, received, closed } = open();
  socket.write(head(body.length, 'Connection: close\r\n') + body);
  await closed;
  expect(received()).toMatch(/^HTTP\/1\.1 200 /);
}

describe('a client is let go that', () => {
  it('sends its headers slowly', async () => {
    const { socket, received, closed } = open();
    socket.write('POST /graphql HTTP/1.1\r\nHost: gateway.test\r\n');
    const dripping = setInterval(() => socket.write('X-Slow: a\r\n'), 50);
    await stillAnswers();
    const milliseconds = await closed.finally(() => clearInterval(dripping));
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
    expect(milliseconds).toBeLessThan(10_000);
  });

  it('sends its body slowly', async () => {
    const { socket, received, closed } = open();
    socket.write(head(1_000) + body.slice(0, 10));
    const dripping = setInterval(() => socket.write(' '), 50);
    await stillAnswers();
    const milliseconds = await closed.finally(() => clearInterval(dripping));
    expect(received()).toMatch(/^HTTP\/1\.1 408 |^$/);
    expect(milliseconds).toBeLessThan(10_000);
  });

  it('sends half of its body', async () => {
    const { socket, closed } = open();
    socket.write(head(body.length) + body.slice(0, 10));
    expect(await closed).toBeLessThan(10_000);
    await stillAnswers();
  });

  it('sends half of a chunk', async () => {
    const { socket, closed } = open();
    socket.write(`${head(0).replace('Content-Length: 0', 'Transfer-Encoding: chunked')}400\r\n${body}`);
    expect(await closed).toBeLessThan(10_000);
    await stillAnswers();
  });

  it('goes away in the middle', async () => {
    const { socket, closed } = open();
    socket.write(head(body.length) + body.slice(0, 10), () => socket.destroy());
    await closed;
    await stillAnswers();
  });

  it('says nothing at all, or nothing more', async () => {
    const silent = open();
    const idle = open();
    idle.socket.write(head(body.length) + body);
    expect(await silent.closed).toBeLessThan(10_000);
    expect(await idle.closed).toBeLessThan(10_000);
    expect(idle.received()).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('sends more headers than there are', async () => {
    const { socket, received, closed } = open();
    socket.write(head(body.length, `X-Large: ${'x'.repeat(serverLimits.maxHeaderSize)}\r\n`) + body);
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 431 /);
    await stillAnswers();
  });

  it('sends a body that is too large, without its being read', async () => {
    const { socket, received, closed } = open();
    socket.write(head(1_000_000_000) + body);
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 413 /);
    await stillAnswers();
  });
});

it('takes no more connections than it may', async () => {
  const many = Array.from({ length: 60 }, () => open());
  await expect.poll(() => many.filter(({ socket }) => socket.closed).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(20);
  for (const { socket } of many) socket.destroy();
  await Promise.all(many.map((each) => each.closed));
  await stillAnswers();
});

it('has times that its server keeps', () => {
  const real = createLimitedServer(() => {});
  expect(real).toMatchObject({
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    maxConnections: 5_000,
    timeout: 120_000,
  });
  expect(real).toMatchObject({ maxRequestsPerSocket: 10_000, maxHeadersCount: 100 });
  expect(serverLimits.connectionsCheckingInterval).toBe(1_000);
});
