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

  it('sends many small headers: none of them is left out unseen', async () => {
    for (const [count, status] of [
      [90, 200],
      [101, 431],
    ] as const) {
      const { socket, received, closed } = open();
      const more = Array.from({ length: count }, (_, index) => `X-${index}: 1\r\n`).join('');
      socket.write(head(body.length, `${more}Connection: close\r\n`) + body);
      await closed;
      expect(received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
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

it('takes no more connections of one address than it may, however many are closed and opened again', async () => {
  const limited = createLimitedServer(test.gateway.requestListener, { maxConnectionsPerAddress: 5 });
  limited.listen(0, '127.0.0.1');
  await once(limited, 'listening');
  const { port } = limited.address() as AddressInfo;
  const from = (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    return socket;
  };
  const isOpen = (socket: Socket) => !socket.closed;
  try {
    for (let round = 0; round < 3; round++) {
      const many = Array.from({ length: 20 }, () => from('127.0.0.1'));
      await expect.poll(() => many.filter(isOpen).length, { timeout: 10_000 }).toBe(5);
      // Another address is not affected.
      const other = from('127.0.0.2');
      const answered = once(other, 'data');
      other.write(head(body.length) + body);
      expect(String((await answered)[0])).toMatch(/^HTTP\/1\.1 200 /);
      for (const socket of [...many, other]) socket.destroy();
      await expect.poll(() => new Promise((resolve) => limited.getConnections((_, count) => resolve(count))), { timeout: 10_000 }).toBe(0);
    }
  } finally {
    limited.closeAllConnections();
    limited.close();
  }
});

it('disconnects a client that takes too long to read an answer, though it is never inactive', async () => {
  const large = createLimitedServer((_request, response) => void response.end('x'.repeat(64 * 1024 * 1024)), { answerTimeout: 500 });
  large.listen(0, '127.0.0.1');
  await once(large, 'listening');
  const socket = connect((large.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  let received = 0;
  // Reads a little, again and again.
  socket.on('data', (chunk) => {
    received += chunk.length;
    socket.pause();
    setTimeout(() => socket.resume(), 20);
  });
  socket.write('GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n');
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  expect(received).toBeLessThan(64 * 1024 * 1024);
  large.closeAllConnections();
  large.close();
});

it('has times that its server keeps', () => {
  const real = createLimitedServer(() => {});
  expect(real).toMatchObject({
    headersTimeout: 10_000,
    requestTimeout: serverLimits.proxyTimeout,
    keepAliveTimeout: 65_000,
    maxConnections: 5_000,
    timeout: 120_000,
  });
  expect(real).toMatchObject({ maxRequestsPerSocket: 10_000, maxHeadersCount: 0 });
  expect(serverLimits.connectionsCheckingInterval).toBe(1_000);
});
