import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createJsonScanner } from '../../../src/http/limits/json.ts';
import { type Caller, type Json, TestGateway, useTestGateway } from '../../harness.ts';
import { serve } from '../../serve.ts';

const test = new TestGateway();
test.limits = { rateLimit: 100_000, organizationRateLimit: 0, anonymousRateLimit: 0 };
// The window of the rate limits does not end meanwhile.
const start = new Date();
test.time = () => start;
useTestGateway(test);

let server: Awaited<ReturnType<typeof serve>>;
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  server = await serve(test.gateway.requestListener);
});
afterAll(() => server.stop());
beforeEach(async () => {
  caller = { organization: test.newOrganization(), scopes: ['all.Organization'] };
  authorization = `Bearer ${await test.token(caller)}`;
});

/** What the viewer has spent so far, without what asking costs. */
async function spent(): Promise<number> {
  const { text } = await test.answer(caller, '{ __typename }');
  const { limit, remaining } = JSON.parse(text).extensions.cost;
  return limit - remaining - 1;
}

/** Sends a request through a socket, whatever its parts, and gives its status and body. */
async function sendRaw(parts: readonly (string | Uint8Array)[]): Promise<{ status: number; answer: Json }> {
  const socket = connect(server.port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  for (const part of parts) if (!socket.write(part)) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
  await closed;
  const [, status] = /^HTTP\/1\.1 (\d+)/.exec(received) ?? [];
  const [json] = /\{.*\}/s.exec(received) ?? ['null'];
  return { status: Number(status), answer: JSON.parse(json) };
}

const head = (more: string) =>
  `POST /graphql HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nConnection: close\r\n${more}\r\n\r\n`;
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const QUERY = '{"query":"{ __typename }"';
const CHUNKED = 'Transfer-Encoding: chunked';

describe('a body is paid for', () => {
  const large = `${QUERY}${' '.repeat(100 * 1024)}}`;

  it('with its length, or in chunks, alike', async () => {
    const told = await sendRaw([head(`Content-Length: ${large.length}`), large]);
    expect(told.answer.extensions.cost.requested).toBe(101);
    expect(await spent()).toBe(101);
    const chunked = await sendRaw([head(CHUNKED), chunk(large), chunk('')]);
    expect(chunked.status).toBe(200);
    expect(chunked.answer.extensions.cost.requested).toBe(101);
    // What was spent between includes 1 for asking.
    expect(await spent()).toBe(101 + 1 + 101);
  });

  it('by what the wire carries, in chunks of one byte', async () => {
    const bytes = [...`${QUERY}${' '.repeat(60 * 1024)}}`];
    const { status, answer } = await sendRaw([head(CHUNKED), bytes.map(chunk).join(''), chunk('')]);
    expect(status).toBe(200);
    // Six bytes for each, but for those that came together with the headers.
    expect(answer.extensions.cost.requested).toBeGreaterThan(200);
    expect(await spent()).toBe(answer.extensions.cost.requested);
  });

  it.each<[string, number, string]>([
    ['is not JSON', 400, `${QUERY}${' '.repeat(100 * 1024)}`],
    ['is too large', 413, `${QUERY}${' '.repeat(3 * 1024 * 1024)}}`],
    ['is nested too deeply', 400, `${QUERY}${' '.repeat(100 * 1024)},"variables":${'['.repeat(70)}`],
    ['has too many values', 400, `${QUERY},"variables":[${'0,'.repeat(60_000)}`],
  ])('when it %s, in chunks', async (_how, status, body) => {
    const pieces = body.match(/.{1,32000}/gs)!;
    expect((await sendRaw([head(CHUNKED), ...pieces.map(chunk), chunk('')])).status).toBe(status);
    expect(await spent()).toBeGreaterThanOrEqual(99);
  });

  it('by its values, too, when there are many', async () => {
    const answer = await test.send(`${QUERY},"variables":{"a":[${'0,'.repeat(40_000)}0]}}`, { authorization });
    expect(JSON.parse(answer.text).extensions.cost.requested).toBeGreaterThan(400);
  });

  it('as long as the viewer can pay, and is not read on after that', async () => {
    const limited = new TestGateway();
    Object.assign(limited, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
    limited.limits = { ...test.limits, rateLimit: 200 };
    await limited.open();
    try {
      let sent = 0;
      const body = new ReadableStream({
        pull(controller) {
          sent += 1_024;
          controller.enqueue(new Uint8Array(1_024).fill(0x20));
        },
      });
      const headers = { authorization, 'content-type': 'application/json' };
      const request = new Request('http://gateway.test/graphql', { method: 'POST', headers, body, duplex: 'half' } as RequestInit);
      expect((await limited.gateway.fetch(request)).status).toBe(429);
      expect(sent).toBeLessThan(512 * 1024);
    } finally {
      await limited.close();
    }
  });
});

describe('a body is refused', () => {
  it.each<[string, Uint8Array]>([
    [
      'a byte that no UTF-8 has',
      Buffer.concat([Buffer.from('{"query":"{ __typename }","variables":{"a":"'), Buffer.from([0xff]), Buffer.from('"}}')]),
    ],
    ['half a character', Buffer.from('{"query":"{ __typename }","variables":{"a":"é"}}').filter((byte) => byte !== 0xa9)],
    [
      'a surrogate',
      Buffer.concat([Buffer.from('{"query":"{ __typename }","variables":{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}}')]),
    ],
    ['UTF-16', Buffer.from('{"query":"{ __typename }"}', 'utf16le')],
  ])('with %s', async (_what, bytes) => {
    const { status, answer } = await sendRaw([head(`Content-Length: ${bytes.length}`), bytes]);
    expect([status, answer.errors[0].extensions.code]).toEqual([400, 'BAD_REQUEST']);
  });

  it('before the token is checked, and so before the database is asked, when its length is too large or is none', async () => {
    const key = `Bearer ${(await test.makeAPIKey({ organization: caller.organization }, { scopes: ['credentials.get'] })).key}`;
    const refuse = (length: string) => test.send('{}', { authorization: key, 'content-length': length });
    const statuses: number[] = [];
    const commands = await test.countCommands(async () => {
      for (const length of ['99999999', '1e9', '-1', '1,1', '0x10', '9'.repeat(400)]) statuses.push((await refuse(length)).status);
    });
    expect(statuses).toEqual([413, 400, 400, 400, 400, 400]);
    expect(commands).toEqual([]);
  });
});

describe('the scanner', () => {
  const scan = (text: string, size = text.length) => {
    const scanner = createJsonScanner();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) scanner.scan(bytes.subarray(at, at + size));
    return scanner.count();
  };

  it('counts the same however the text is cut', () => {
    const text = JSON.stringify({ 'a"b\\': ['é{[,:', { '\\"[': '"\\"' }, [], 1, null], x: { y: [[[{}]]] } });
    const counts = Array.from({ length: 20 }, (_, index) => scan(text, index + 1));
    expect(new Set(counts).size).toBe(1);
  });

  it('takes brackets in texts for what they are, after any escape', () => {
    expect(scan(JSON.stringify(['['.repeat(1_000), '\\'.repeat(999) + '[{'.repeat(1_000), '"'.repeat(99)]))).toBeLessThan(10);
    expect(() => scan(`["\\\\",${'['.repeat(64)}`)).toThrow('NESTING');
  });

  it('takes 64 levels and no more', () => {
    expect(scan('['.repeat(64) + ']'.repeat(64))).toBe(64);
    expect(() => scan('['.repeat(65))).toThrow('NESTING');
    // Closing what is not open gains nothing.
    expect(() => scan(`${']'.repeat(500)}${'['.repeat(65)}`)).toThrow('NESTING');
  });
});

/** What the largest operation that the other limits allow sends. */
it('takes the largest input that there can be', async () => {
  const names = Array.from({ length: 20 }, (_, index) => `i${index}`);
  const variables = Object.fromEntries(
    names.map((name) => [
      name,
      {
        integration: { name: 'crm' },
        name,
        variables: Array.from({ length: 100 }, (_, index) => ({ name: `v${index}`, value: String(index) })),
        actionCredentials: Array.from({ length: 20 }, (_, index) => ({
          credential: { create: { name: `c${index}`, data: { basicAuth: { username: 'ada', password: 'p' } } } },
        })),
      },
    ]),
  );
  const query = `mutation (${names.map((name) => `$${name}: CreateConnectionInput!`).join(' ')}) { ${names
    .map((name) => `${name}: createConnection(input: $${name}) { __typename }`)
    .join(' ')} }`;
  // Carrying it out would take a while; scopes are checked last.
  const answer = await test.answer({ ...caller, scopes: [] }, query, variables);
  expect(answer.errors?.map(({ extensions }) => extensions.code)).toContain('FORBIDDEN');
});
