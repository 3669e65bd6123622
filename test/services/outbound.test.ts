import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redacted } from '../../src/redacted.ts';
import { createAddressGuard } from '../../src/services/outbound/addresses.ts';
import {
  createOutbound,
  defaultOutbound,
  type Outbound,
  type OutboundError,
  type OutboundEvent,
  type OutboundLimits,
  type OutboundRequest,
  type OutboundSettings,
  readAll,
} from '../../src/services/outbound/index.ts';
import { createNameLookup } from '../../src/services/outbound/names.ts';
import { usesProxy } from '../../src/services/outbound/no-proxy.ts';
import { LocalService, TestAuthority } from './local-service.ts';

const service = new LocalService();
const opened: Outbound[] = [];
/** Limits that a test can reach. */
const short: Partial<OutboundLimits> = { headersMs: 100, idleMs: 100, totalMs: 60_000 };

beforeAll(() => service.start());
afterAll(async () => {
  await Promise.all(opened.map((outbound) => outbound.stop()));
  await service.stop();
});

/** A door that reaches the local service, unless told otherwise. */
function door(settings: Partial<OutboundSettings> = {}, onRequest?: (event: OutboundEvent) => void): Outbound {
  const outbound = createOutbound({ ...defaultOutbound, ...service.outbound, ...settings }, onRequest);
  opened.push(outbound);
  return outbound;
}

function get(url: URL | string, more: Partial<OutboundRequest> = {}): OutboundRequest {
  return { method: 'GET', url: new URL(url), headers: [], ...more };
}

/** How a request fails, with its answer read to the end. */
async function failureOf(outbound: Outbound, request: OutboundRequest): Promise<string> {
  try {
    const answer = await outbound.request(request);
    await answer.body.resume().toArray();
    return `no failure, status ${answer.status}`;
  } catch (error) {
    return (error as OutboundError).failure ?? String(error);
  }
}

/** A connection is free for the next request one turn of the event loop after an answer. */
const isFree = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** A server that answers every request with these bytes, whatever they are. A function writes by itself. */
async function rawServer(
  answer: string | Buffer | ((socket: Socket) => void),
): Promise<{ url: string; server: Server; open: Set<Socket>; used: Set<Socket> }> {
  const open = new Set<Socket>();
  const used = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    socket.once('data', () => {
      used.add(socket);
      if (typeof answer === 'function') answer(socket);
      else socket.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://localhost:${(server.address() as AddressInfo).port}/`, server, open, used };
}

function closeServer({ server, open }: { readonly server: Server; readonly open: Set<Socket> }): void {
  for (const socket of open) socket.destroy();
  server.close();
}

describe('what goes out', () => {
  it('goes over TLS as it is, and the answer comes as it is', async () => {
    const events: OutboundEvent[] = [];
    const outbound = door({}, (event) => events.push(event));
    const url = new URL('/v1/things?a=1&b=%20', service.origin('api.service.test'));
    service.answer = { status: 418, headers: { 'x-a': ['1', '2'] }, body: { a: 1 } };
    const body = Buffer.from('hello');
    const answer = await outbound.request({
      method: 'POST',
      url,
      headers: [
        ['X-One', '1'],
        ['x-one', '2'],
      ],
      body,
    });
    expect([answer.status, String(await readAll(answer, 100))]).toEqual([418, '{"a":1}']);
    expect(answer.headers.filter(([name]) => name === 'x-a')).toEqual([
      ['x-a', '1'],
      ['x-a', '2'],
    ]);
    expect(service.last).toMatchObject({ method: 'POST', target: '/v1/things?a=1&b=%20', serverName: 'api.service.test', body });
    expect(service.last.headers).toMatchObject({ host: `api.service.test:${service.port}`, 'x-one': '1, 2', 'content-length': '5' });
    expect(service.last.clientCertificate).toBeUndefined();
    expect(events).toEqual([{ host: url.host, status: 418, milliseconds: expect.any(Number) }]);
  });

  it('streams a body in both directions, with the size that is told or in chunks', async () => {
    const outbound = door();
    const parts = async function* () {
      yield Buffer.from('one ');
      yield Buffer.from('two');
    };
    service.answer = ({ body }) => ({ body });
    for (const contentLength of [undefined, 7]) {
      const request = { ...get(service.origin(), { method: 'PUT' }), body: parts(), ...(contentLength && { contentLength }) };
      expect(String(await readAll(await outbound.request(request), 100))).toBe('one two');
      expect(service.last.headers['content-length'] ?? service.last.headers['transfer-encoding']).toBe(contentLength ? '7' : 'chunked');
    }
    // A body that is not as long as told would become a part of the next request, or take a part of it.
    for (const contentLength of [6, 8]) {
      expect(await failureOf(outbound, { ...get(service.origin(), { method: 'PUT' }), body: parts(), contentLength })).toBe('ABORTED');
    }
    const broken = async function* () {
      yield Buffer.from('one ');
      throw new Error('The caller has gone.');
    };
    expect(await failureOf(outbound, { ...get(service.origin(), { method: 'PUT' }), body: broken() })).toBe('ABORTED');
    service.answer = { body: {} };
  });

  it('presents a client certificate where one is given, and shares no connection with a request that has another', async () => {
    const strict = await new LocalService({ authority: service.authority, requiresClientCertificate: true }).start();
    const outbound = door();
    const certificateOf = (name: string) => {
      const { cert, key } = service.authority.issue([name], { usage: 'client' });
      return { certificates: cert, privateKey: new Redacted(key) };
    };
    for (const name of ['first-client', 'second-client']) {
      await readAll(await outbound.request(get(strict.origin(), { clientCertificate: certificateOf(name) })), 100);
      expect(strict.last.clientCertificate).toBe(name);
    }
    expect(await failureOf(outbound, get(strict.origin()))).toBe('CONNECTION_FAILED');
    const unusable = { certificates: 'no certificate', privateKey: new Redacted('no key') };
    expect(await failureOf(outbound, get(strict.origin(), { clientCertificate: unusable }))).toBe('TLS_FAILED');
    const plain = await new LocalService({ isPlain: true }).start();
    expect(await failureOf(outbound, get(plain.origin(), { clientCertificate: certificateOf('first-client') }))).toBe('HTTPS_REQUIRED');
    await strict.stop();
    await plain.stop();
  });

  it('shares connections only within a partition', async () => {
    const outbound = door();
    const connectionOf = async (partition: string) => {
      await readAll(await outbound.request(get(service.origin(), { partition })), 100);
      await isFree();
      return service.last.connection;
    };
    const first = await connectionOf('a');
    expect(await connectionOf('a')).toBe(first);
    expect(await connectionOf('b')).not.toBe(first);
  });

  it('is valid HTTP, and says nothing about framing, routing and connections', async () => {
    const outbound = door();
    const before = service.received.length;
    const url = service.origin();
    const refused: OutboundRequest[] = [
      ...['CONNECT', 'TRACE', 'TRACK', 'get', 'GET /', 'GET\r\nX: 1', '', 'G'.repeat(40)].map((method) => get(url, { method })),
      ...['a\r\nb', 'a\nb', 'a\rb', 'a\0b', 'ā'].map((value) => get(url, { headers: [['x-a', value]] })),
      ...['', 'x a', 'x:a', 'x\r\na', 'x\0', 'é', '(x)'].map((name) => get(url, { headers: [[name, 'a']] })),
      ...[
        'Host',
        'content-length',
        'Transfer-Encoding',
        'CONNECTION',
        'Upgrade',
        'TE',
        'Trailer',
        'Expect',
        'Keep-Alive',
        'Proxy-Authorization',
      ].map((name) => get(url, { headers: [[name, '5']] })),
      get(url.replace('https://', 'https://user:password@')),
      get('https://localhost:0/'),
    ];
    for (const request of refused) expect([request, await failureOf(outbound, request)]).toEqual([request, 'INVALID_REQUEST']);
    for (const protocol of ['ftp:', 'file:', 'ws:', 'data:'])
      expect(await failureOf(outbound, get(`${protocol}//localhost/`))).toBe('HTTPS_REQUIRED');
    expect(await failureOf(door({ allowsHttp: false }), get(`http://localhost:${service.port}/`))).toBe('HTTPS_REQUIRED');
    expect(service.received).toHaveLength(before);
  });

  it('ends when its caller ends it, before and after the answer', async () => {
    const outbound = door();
    expect(await failureOf(outbound, get(service.origin(), { signal: AbortSignal.abort() }))).toBe('ABORTED');
    const aborting = new AbortController();
    service.answer = (_received, response) => {
      response.writeHead(200);
      response.write('beginning');
      return undefined;
    };
    const answer = await outbound.request(get(service.origin(), { signal: aborting.signal }));
    const closed = new Promise((resolve) => service.lastSocket.once('close', resolve));
    aborting.abort();
    await expect(readAll(answer, 100)).rejects.toMatchObject({ failure: 'ABORTED', wasNotSent: false });
    await closed;
    // An answer that nobody wants any more frees its connection.
    const unread = await outbound.request(get(service.origin()));
    const freed = new Promise((resolve) => service.lastSocket.once('close', resolve));
    unread.body.destroy();
    await freed;
    service.answer = { body: {} };
  });
});

describe('where it goes', () => {
  const forbidden = [
    // Of IPv4.
    ...[
      '0.0.0.0',
      '0.1.2.3',
      '10.0.0.1',
      '100.64.0.1',
      '100.100.100.200',
      '127.0.0.1',
      '127.255.255.254',
      '169.254.169.254',
      '169.254.170.2',
    ],
    ...[
      '172.16.0.1',
      '172.31.255.255',
      '192.0.0.1',
      '192.0.0.192',
      '192.0.2.1',
      '192.88.99.1',
      '192.168.1.1',
      '198.18.0.1',
      '198.19.255.255',
    ],
    ...['198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '168.63.129.16'],
    // Of IPv6.
    ...[
      '::',
      '::1',
      'fc00::1',
      'fd00:ec2::254',
      'fe80::1',
      'fe80::1%lo',
      'febf::1',
      'fec0::1',
      'ff02::1',
      'ff0e::1',
      '2001:db8::1',
      '3fff::1',
    ],
    ...['100::1', '2001:2::1', '2001:10::1', '2001:20::1', '5f00::1', '4000::1', '1::1', 'e000::1', 'fe00::1'],
    // IPv4 within IPv6: mapped, compatible, translated, NAT64, 6to4 and Teredo.
    ...[
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:10.0.0.1',
      '::ffff:169.254.169.254',
      '0:0:0:0:0:ffff:a9fe:a9fe',
      '::127.0.0.1',
      '::8.8.8.8',
    ],
    ...[
      '::ffff:0:127.0.0.1',
      '::ffff:0:8.8.8.8',
      '64:ff9b::127.0.0.1',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b::168.63.129.16',
      '64:ff9b:1::8.8.8.8',
    ],
    ...['2002:7f00:1::', '2002:808:808::', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
    // Not an address, or not in the standard form.
    ...['', 'localhost', '2130706433', '0x7f.1', '0177.0.0.1', '127.1', '8.8.8.8.', ' 8.8.8.8', '8.8.8.8/32', '[::1]'],
  ];

  it('is a public address, in whatever form it is written', () => {
    const isAllowed = createAddressGuard([]);
    expect(forbidden.filter(isAllowed)).toEqual([]);
    const open = ['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '192.0.1.1', '198.20.0.1', '223.255.255.255', '2606:4700:4700::1111'];
    const reachingIPv4 = ['::ffff:8.8.8.8', '64:ff9b::8.8.8.8'];
    expect([...open, ...reachingIPv4].filter((address) => !isAllowed(address))).toEqual([]);
  });

  it('is one of the allowed blocks otherwise', () => {
    const isAllowed = createAddressGuard(['10.1.0.0/16', 'fd12::/16', '192.168.7.7']);
    const reached = ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::10.1.2.3', 'fd12::5', '192.168.7.7', '8.8.8.8'];
    expect(reached.filter((address) => !isAllowed(address))).toEqual([]);
    expect(['10.2.0.1', 'fd13::1', '192.168.7.8', '127.0.0.1'].filter(isAllowed)).toEqual([]);
  });

  it('is no address that a URL writes in another form, and no name that leads to one', async () => {
    const asked: string[] = [];
    const names: Record<string, readonly string[]> = {
      'private.test': ['10.0.0.1'],
      'mixed.test': ['8.8.8.8', '127.0.0.1'],
      'mixed6.test': ['2606:4700:4700::1111', '::ffff:127.0.0.1'],
      'odd.test': ['0x7f.1'],
      'zone.test': ['fe80::1%lo'],
      'localhost.': ['127.0.0.1'],
      localhost: ['127.0.0.1', '::1'],
    };
    const lookup = async (name: string) => {
      asked.push(name);
      return names[name] ?? [];
    };
    const outbound = door({ allowedAddresses: [], lookup });
    const { port } = service;
    const before = service.received.length;
    const hosts = [
      ...[
        '127.0.0.1',
        '2130706433',
        '0x7f000001',
        '0x7f.0.0.1',
        '0177.0.0.1',
        '017700000001',
        '127.1',
        '127.0.1',
        '0',
        '127.0.0.1.',
        '①②⑦.0.0.1',
      ],
      ...[
        '[::1]',
        '[::]',
        '[::ffff:127.0.0.1]',
        '[::ffff:7f00:1]',
        '[0:0:0:0:0:0:0:1]',
        '[64:ff9b::7f00:1]',
        '[2002:7f00:1::]',
        '[fe80::1]',
      ],
      ...Object.keys(names),
    ];
    for (const host of hosts) {
      for (const protocol of ['http', 'https']) {
        expect([host, await failureOf(outbound, get(`${protocol}://${host}:${port}/`))]).toEqual([host, 'ADDRESS_NOT_ALLOWED']);
      }
    }
    expect(new Set(asked)).toEqual(new Set(Object.keys(names)));
    expect(() => new URL('http://[fe80::1%25lo]/')).toThrow();
    expect(await failureOf(outbound, get('https://nobody.test/'))).toBe('NAME_NOT_FOUND');
    const failing = door({ lookup: () => Promise.reject(new Error('secret.test cannot be looked up')) });
    expect(await failureOf(failing, get('https://nobody.test/'))).toBe('NAME_NOT_FOUND');
    expect(service.received).toHaveLength(before);
  });

  it('is what the name meant when the connection was opened: a later answer changes nothing, and is asked for with every connection', async () => {
    let answers: string[][] = [['127.0.0.1'], ['10.0.0.1']];
    const lookups: string[] = [];
    const lookup = async (name: string) => {
      lookups.push(name);
      return answers.shift() ?? ['10.0.0.1'];
    };
    const outbound = door({ allowedAddresses: ['127.0.0.0/8'], lookup });
    const url = service.origin('rebinding.service.test');
    await readAll(await outbound.request(get(url)), 100);
    await isFree();
    await readAll(await outbound.request(get(url)), 100);
    // The second request took the open connection. Another connection needs another lookup, and gets the address of the attacker.
    expect(lookups).toHaveLength(1);
    expect(await failureOf(outbound, get(url, { partition: 'other' }))).toBe('ADDRESS_NOT_ALLOWED');
    expect(lookups).toHaveLength(2);
    // Several addresses of which the first does not answer.
    answers = [['127.0.0.2', '127.0.0.1']];
    expect(await failureOf(outbound, get(url, { partition: 'third' }))).toBe('no failure, status 200');
  });

  it('is never where an answer leads', async () => {
    const other = await new LocalService({ authority: service.authority }).start();
    const outbound = door();
    for (const status of [301, 302, 303, 307, 308]) {
      service.answer = { status, headers: { location: other.origin(), refresh: `0; url=${other.origin()}` } };
      const answer = await outbound.request(get(service.origin(), { headers: [['authorization', 'Bearer secret']] }));
      expect([answer.status, Object.fromEntries(answer.headers).location]).toEqual([status, other.origin()]);
      await readAll(answer, 100);
    }
    expect(other.received).toEqual([]);
    await other.stop();
    service.answer = { body: {} };
  });
});

describe('TLS', () => {
  it('is refused without a valid certificate for the name', async () => {
    const { authority } = service;
    const stranger = new TestAuthority('A stranger');
    const certificates = {
      'of nobody’s authority': { authority: stranger, pair: stranger.issue(['localhost']) },
      'for another name': { authority, pair: authority.issue(['other.test']) },
      'for another address': { authority, pair: authority.issue(['10.0.0.1']) },
      expired: { authority, pair: authority.issue(['localhost'], { isExpired: true }) },
      'for clients only': { authority, pair: authority.issue(['localhost'], { usage: 'client' }) },
    };
    const outbound = door();
    for (const [what, options] of Object.entries(certificates)) {
      const wrong = await new LocalService(options).start();
      expect([what, await failureOf(outbound, get(wrong.origin()))]).toEqual([what, 'TLS_FAILED']);
      expect(wrong.received).toEqual([]);
      await wrong.stop();
    }
    // The authorities of Node.js do not know that of the test; a server without TLS has no certificate.
    const { trustedAuthorities: _, ...strict } = service.outbound;
    const unknown = createOutbound({ ...defaultOutbound, ...strict });
    opened.push(unknown);
    expect(await failureOf(unknown, get(service.origin()))).toBe('TLS_FAILED');
    const plain = await rawServer('HTTP/1.1 200 OK\r\n\r\n');
    expect(await failureOf(outbound, get(plain.url.replace('http:', 'https:')))).toBe('TLS_FAILED');
    closeServer(plain);
    // By its address, with a certificate for the address.
    expect(await failureOf(outbound, get(service.origin('127.0.0.1')))).toBe('no failure, status 200');
  });
});

describe('an answer', () => {
  it('that is not HTTP, or could be read in two ways, is refused', async () => {
    const outbound = door();
    const answers = {
      'no HTTP': 'SSH-2.0-OpenSSH_9.6\r\n',
      'HTTP/0.9': '<html>hello</html>',
      'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
      'length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      'chunks, announced twice':
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      'negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello',
      'length with a sign': 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello',
      'lengths in a list': 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello',
      'hexadecimal length': 'HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello',
      'chunk without a size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n',
      'chunk of a negative size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n',
      'chunk of 2^64 and more': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n',
      'chunks with lines of LF': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n',
      'space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello',
      'folded header': 'HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n',
      'NUL in a header': 'HTTP/1.1 200 OK\r\nX-A: 1\u00002\r\nContent-Length: 0\r\n\r\n',
      'header without a name': 'HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 0\r\n\r\n',
      'a switch of the protocol': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      'a body of a second answer': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'no status': 'HTTP/1.1 OK\r\n\r\n',
    };
    for (const [what, answer] of Object.entries(answers)) {
      const server = await rawServer(answer);
      expect([what, await failureOf(outbound, get(server.url))]).toEqual([what, 'INVALID_ANSWER']);
      closeServer(server);
    }
  });

  it('that breaks off is no answer', async () => {
    const outbound = door();
    const answers = {
      'no answer': '',
      'half of the headers': 'HTTP/1.1 200 OK\r\nContent-Le',
      'half of the body': 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello',
      'half of the body, with close': 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 50\r\n\r\nhello',
      'half of the chunks': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
      'half of the chunks, with close': 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    };
    for (const [what, answer] of Object.entries(answers)) {
      const server = await rawServer(answer);
      const failure = await failureOf(outbound, get(server.url));
      expect([what, ['CONNECTION_FAILED', 'INVALID_ANSWER'].includes(failure) || failure]).toEqual([what, true]);
      closeServer(server);
    }
    // What follows an answer belongs to no request.
    const poisoning = await rawServer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    for (let index = 0; index < 2; index++) {
      const answer = await outbound.request(get(poisoning.url));
      expect(String(await readAll(answer, 100))).toBe('');
    }
    closeServer(poisoning);
  });

  it('that is slow, endless or large ends at a limit, also if nobody reads it', async () => {
    const outbound = door();
    const repeat = (socket: Socket, text: string) => {
      const write = () => {
        while (!socket.destroyed && socket.write(text));
      };
      socket.on('drain', write);
      write();
    };
    const drip = (socket: Socket, text: string) => {
      const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(text)), 5);
    };
    const head = 'HTTP/1.1 200 OK\r\n';
    const answers: Record<string, [string, (socket: Socket) => void, Partial<OutboundLimits>]> = {
      'no answer': ['TIMEOUT', () => {}, short],
      'slow headers': [
        'TIMEOUT',
        (socket) => {
          socket.write(head);
          drip(socket, 'X-A: 1\r\n');
        },
        short,
      ],
      'interim answers without end': ['TIMEOUT', (socket) => drip(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n'), short],
      'headers without end': [
        'TOO_LARGE',
        (socket) => {
          socket.write(head);
          repeat(socket, `X-A: ${'1'.repeat(1_000)}\r\n`);
        },
        {},
      ],
      'a header without end': [
        'TOO_LARGE',
        (socket) => {
          socket.write(`${head}X-A: `);
          repeat(socket, '1'.repeat(1_000));
        },
        {},
      ],
      'many small headers': ['TOO_LARGE', (socket) => socket.end(`${head}${'a:\r\n'.repeat(300)}\r\n`), {}],
      'a pause in the body': ['TIMEOUT', (socket) => socket.write(`${head}Content-Length: 10\r\n\r\n12345`), short],
      'a slow body': [
        'TIMEOUT',
        (socket) => {
          socket.write(`${head}\r\n`);
          drip(socket, '1');
        },
        { totalMs: 300 },
      ],
      'a body without end': [
        'TOO_LARGE',
        (socket) => {
          socket.write(`${head}\r\n`);
          repeat(socket, '1'.repeat(10_000));
        },
        {},
      ],
      'chunks without end': [
        'TOO_LARGE',
        (socket) => {
          socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
          repeat(socket, `2710\r\n${'1'.repeat(10_000)}\r\n`);
        },
        {},
      ],
      'a chunk extension without end': [
        'TIMEOUT',
        (socket) => {
          socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n1;`);
          drip(socket, 'x');
        },
        short,
      ],
      'trailers without end': [
        'TOO_LARGE',
        (socket) => {
          socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n0\r\n`);
          repeat(socket, `X-A: ${'1'.repeat(1_000)}\r\n`);
        },
        {},
      ],
    };
    const run = async ([what, [failure, answer, limits]]: (typeof entries)[number]) => {
      const server = await rawServer(answer);
      expect([what, await failureOf(outbound, get(server.url, { limits }))]).toEqual([what, failure]);
      const unread = await outbound.request(get(server.url, { limits: { ...short, ...limits } })).catch(() => undefined);
      if (unread) await new Promise((resolve) => unread.body.once('close', resolve));
      // The connections of both are closed.
      await Promise.all(
        [...server.used].map((socket) => new Promise((resolve) => (socket.destroyed ? resolve(0) : socket.once('close', resolve)))),
      );
      closeServer(server);
    };
    const entries = Object.entries(answers);
    await Promise.all(entries.map(run));
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    // The handshake is a part of connecting, and so is the lookup.
    expect(await failureOf(outbound, get(`https://localhost:${port}/`, { limits: { connectMs: 50 } }))).toBe('TIMEOUT');
    const lost = door({ lookup: () => new Promise(() => {}) });
    await expect(lost.request(get('https://lost.test/', { limits: { connectMs: 50 } }))).rejects.toMatchObject({
      failure: 'TIMEOUT',
      wasNotSent: true,
    });
    silent.close();
    await expect(outbound.request(get(`https://localhost:${port}/`))).rejects.toMatchObject({
      failure: 'CONNECTION_FAILED',
      wasNotSent: true,
    });
  });

  it('is not decompressed by the door, and within a limit by the helper', async () => {
    const outbound = door();
    const large = Buffer.alloc(5_000_000);
    const compress = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
    for (const [coding, run] of Object.entries(compress)) {
      const headers = { 'content-encoding': coding };
      service.answer = { headers, body: run('hello') };
      expect(String(await readAll(await outbound.request(get(service.origin())), 100))).toBe('hello');
      const raw = await outbound.request(get(service.origin()));
      expect(Buffer.concat(await raw.body.toArray())).toEqual(run('hello'));
      service.answer = { headers, body: run(large) };
      await expect(readAll(await outbound.request(get(service.origin())), 100_000)).rejects.toMatchObject({ failure: 'TOO_LARGE' });
      service.answer = { headers, body: run('hello').subarray(0, -3) };
      await expect(readAll(await outbound.request(get(service.origin())), 100)).rejects.toMatchObject({ failure: 'INVALID_ANSWER' });
    }
    for (const coding of ['gzip, gzip', 'zstd', 'secret', 'constructor', '__proto__']) {
      service.answer = { headers: { 'content-encoding': coding }, body: gzipSync(gzipSync('hello')) };
      await expect(readAll(await outbound.request(get(service.origin())), 100)).rejects.toMatchObject({ failure: 'INVALID_ANSWER' });
    }
    service.answer = { body: 'x'.repeat(101) };
    await expect(readAll(await outbound.request(get(service.origin())), 100)).rejects.toMatchObject({ failure: 'TOO_LARGE' });
    service.answer = { body: {} };
  });
});

describe('a name', () => {
  /** A name server: it answers for some names, says of others that they do not exist, and is silent about those that begin with `slow`. */
  async function nameServer(names: Readonly<Record<string, { readonly 1?: readonly string[]; readonly 28?: readonly string[] }>>) {
    const asked: string[] = [];
    const socket = createSocket('udp4');
    socket.on('message', (query, { port, address }) => {
      const labels: string[] = [];
      let at = 12;
      for (; query[at] !== 0; at += 1 + query[at]!) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
      const name = labels.join('.');
      const type = query.readUInt16BE(at + 1) as 1 | 28;
      asked.push(`${name} ${type === 1 ? 'A' : 'AAAA'}`);
      if (name.startsWith('slow')) return;
      const answers = names[name]?.[type] ?? [];
      const head = Buffer.from(query.subarray(0, 12));
      head.writeUInt16BE(name in names ? 0x8180 : 0x8183, 2);
      head.writeUInt16BE(answers.length, 6);
      head.fill(0, 8);
      const records = answers.map((answer) => {
        const data = type === 1 ? Buffer.from(answer.split('.').map(Number)) : Buffer.from(answer.replaceAll(':', ''), 'hex');
        return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]), data]);
      });
      socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...records]), port, address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return { servers: [`127.0.0.1:${socket.address().port}`], asked, stop: () => socket.close() };
  }

  it('occupies no thread while name servers are slow, and is asked for once at a time', async () => {
    const server = await nameServer({ 'quick.test': { 1: ['8.8.8.8'] } });
    const lookup = createNameLookup({ servers: server.servers, resolverFile: '/nowhere' });
    const slow = Array.from({ length: 50 }, (_, index) => lookup(`slow${index % 25}.test`, 400).catch(({ code }) => code));
    // Both would wait for a thread if the lookups had them.
    expect(await lookup('quick.test', 5_000)).toEqual(['8.8.8.8']);
    expect((await stat('/')).isDirectory()).toBe(true);
    const outbound = createOutbound(defaultOutbound);
    const request = outbound.request(get('https://slow.invalid/')).catch(({ failure }) => failure);
    await new Promise((resolve) => setImmediate(resolve));
    expect(process.getActiveResourcesInfo()).not.toContain('GetAddrInfoReqWrap');
    await outbound.stop();
    expect(await request).toMatch(/^[A-Z_]+$/);
    for (const code of await Promise.all(slow)) expect(['ETIMEOUT', 'ECANCELLED']).toContain(code);
    // One question of each family for 25 names, though there were 50 lookups.
    expect(new Set(server.asked.filter((each) => each.startsWith('slow0.'))).size).toBe(2);
    expect(server.asked.filter((each) => each === 'slow0.test A').length).toBeLessThanOrEqual(2);
    server.stop();
  });

  it('has all addresses of both families, from the hosts file and the search domains, too', async () => {
    const six = '26064700470000000000000000001111';
    const server = await nameServer({
      'both.test': { 1: ['8.8.8.8', '10.0.0.1'], 28: [six] },
      'six.test': { 28: [six] },
      'empty.test': {},
      'db.shop.svc.test': { 1: ['10.0.0.2'] },
      'db.shop.more.test': { 1: ['10.0.0.3'] },
    });
    const directory = mkdtempSync(join(tmpdir(), 'names-'));
    const [hostsFile, resolverFile] = [join(directory, 'hosts'), join(directory, 'resolv.conf')];
    writeFileSync(hostsFile, '# None\n10.0.0.9\tHosted.test alias # 10.0.0.8 other.test\n::1 hosted.test\n');
    writeFileSync(resolverFile, 'nameserver 192.0.2.1\nsearch shop.svc.test  more.test.\n');
    const lookup = createNameLookup({ servers: server.servers, hostsFile, resolverFile });
    const names = ['both.test', 'six.test', 'empty.test', 'nobody.test', 'db', 'db.shop', 'db.', 'hosted.test', 'hosted.test.', 'alias'];
    const found = Object.fromEntries(
      await Promise.all([...names, 'localhost', 'a.LOCALHOST.'].map(async (name) => [name, await lookup(name, 5_000)])),
    );
    const address = '2606:4700:4700::1111';
    expect(found).toEqual({
      'both.test': ['8.8.8.8', '10.0.0.1', address],
      'six.test': [address],
      'empty.test': [],
      'nobody.test': [],
      db: ['10.0.0.2'],
      'db.shop': ['10.0.0.3'],
      'db.': [],
      'hosted.test': ['10.0.0.9', '::1'],
      'hosted.test.': ['10.0.0.9', '::1'],
      alias: ['10.0.0.9'],
      localhost: ['127.0.0.1', '::1'],
      'a.LOCALHOST.': ['127.0.0.1', '::1'],
    });
    // No name server hears of what it does not know.
    expect(server.asked.filter((each) => /localhost|hosted|alias/i.test(each))).toEqual([]);
    // What the resolver finds is judged like all else.
    const outbound = door({ allowedAddresses: [], lookup: (name) => lookup(name, 5_000) });
    expect(await failureOf(outbound, get('https://both.test/'))).toBe('ADDRESS_NOT_ALLOWED');
    expect(await failureOf(outbound, get('https://hosted.test/'))).toBe('ADDRESS_NOT_ALLOWED');
    server.stop();
    rmSync(directory, { recursive: true });
  });
});

describe('a proxy', () => {
  it('gets the name of a checked host, and nothing that is not in TLS', async () => {
    const asked: (readonly [string, string | undefined])[] = [];
    const proxy = createHttpServer((_request, response) => response.writeHead(500).end());
    const tunnels = new Set<Socket>();
    let status = 200;
    proxy.on('connect', ({ url, headers }, socket: Socket) => {
      asked.push([String(url), headers['proxy-authorization']]);
      socket.write(`HTTP/1.1 ${status} Whatever\r\n\r\n`);
      if (status !== 200) return void socket.end();
      const upstream = connect(service.port, '127.0.0.1');
      for (const each of [upstream, socket]) tunnels.add(each.on('error', () => {}));
      upstream.pipe(socket).pipe(upstream);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = `http://user:pass%20word@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    // The proxy itself needs no permission.
    const names: Record<string, string[]> = {
      'api.service.test': ['8.8.8.8'],
      'inner.service.test': ['10.0.0.1'],
      'other.test': ['8.8.8.8'],
    };
    const lookup = async (name: string) => names[name] ?? [];
    const outbound = door({ allowedAddresses: [], proxy: new URL(address), noProxy: ['localhost'], lookup });
    const url = service.origin('api.service.test');
    expect(await failureOf(outbound, get(url))).toBe('no failure, status 200');
    expect(service.last.serverName).toBe('api.service.test');
    const authorization = `Basic ${Buffer.from('user:pass word').toString('base64')}`;
    expect(asked.splice(0)).toEqual([[`api.service.test:${service.port}`, authorization]]);
    expect(service.last.headers['proxy-authorization']).toBeUndefined();
    // Checked before the proxy hears of it.
    expect(await failureOf(outbound, get(service.origin('inner.service.test')))).toBe('ADDRESS_NOT_ALLOWED');
    expect(await failureOf(outbound, get('https://169.254.169.254/'))).toBe('ADDRESS_NOT_ALLOWED');
    expect(asked).toEqual([]);
    // The proxy may lead to another host: that one has no certificate for the name.
    expect(await failureOf(outbound, get(`https://other.test:${service.port}/`))).toBe('TLS_FAILED');
    status = 407;
    expect(await failureOf(outbound, get(url, { partition: 'new' }))).toBe('CONNECTION_FAILED');
    asked.splice(0);
    const around = door({ proxy: new URL(address), noProxy: ['service.test'] });
    expect(await failureOf(around, get(url))).toBe('no failure, status 200');
    expect(asked).toEqual([]);
    for (const tunnel of tunnels) tunnel.destroy();
    proxy.close();
  });

  it('is not used for the hosts of NO_PROXY', () => {
    const uses = (url: string, ...noProxy: string[]) => usesProxy(new URL(url), noProxy);
    const direct = [
      ['https://example.com/', '*'],
      ['https://example.com/', 'example.com'],
      ['https://api.example.com/', 'example.com'],
      ['https://api.example.com/', '.example.com'],
      ['https://api.example.com/', '*.Example.com'],
      ['https://example.com./', 'example.com'],
      ['https://example.com:8443/', 'example.com:8443'],
      ['https://example.com/', 'example.com:443'],
      ['https://10.1.2.3/', '10.1.2.3'],
      ['https://[fd00::1]/', 'fd00::1'],
      ['https://[fd00::1]:8443/', '[fd00::1]:8443'],
    ] as const;
    expect(direct.filter(([url, entry]) => uses(url, 'first.test', entry))).toEqual([]);
    const proxied = [
      ['https://example.com/', 'api.example.com'],
      ['https://badexample.com/', 'example.com'],
      ['https://example.com/', 'example.com:8443'],
      ['https://example.com/', ''],
      ['https://example.com/', '.'],
      ['https://example.com/', 'com.'],
    ] as const;
    expect(proxied.filter(([url, entry]) => !uses(url, entry))).toEqual([]);
  });
});

it('nothing in the log or in an error tells what was sent', async () => {
  const events: OutboundEvent[] = [];
  const outbound = door({}, (event) => events.push(event));
  service.answer = { status: 500, headers: { 'x-secret-header': 'secret' }, body: 'secret' };
  const url = new URL('/secret?secret=1#secret', service.origin());
  await readAll(await outbound.request(get(url, { headers: [['authorization', 'secret']] })), 100);
  await failureOf(outbound, get(url, { headers: [['x-secret\r\n', 'secret']] }));
  await failureOf(outbound, get(url, { limits: { maxBodyBytes: 1 } }));
  expect(events.map(({ milliseconds, ...event }) => event)).toEqual([
    { host: url.host, status: 500 },
    { host: url.host, failure: 'INVALID_REQUEST' },
    { host: url.host, status: 500, failure: 'TOO_LARGE' },
  ]);
  const error = await outbound.request(get(url, { method: 'secret' })).catch((thrown: OutboundError) => thrown);
  expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('secret');
});
