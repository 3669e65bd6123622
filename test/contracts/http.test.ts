import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller, Json } from '../harness.ts';
import { serve } from '../serve.ts';
import { useTestGateway } from './answers.ts';

// What GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/) and HTTP (RFC 9110) say of a request and its response, through a
// socket, as clients send it.
const test = useTestGateway();
let server: Awaited<ReturnType<typeof serve>>;
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
  await test.create(caller, 'Integration', { name: 'crm' });
  server = await serve(test.gateway.requestListener);
});
afterAll(() => server.stop());

interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly body: Json;
}

async function send(method: string, path: string, headers: OutgoingHttpHeaders = {}, content?: string | Uint8Array): Promise<Received> {
  const sent = httpRequest({ port: server.port, host: '127.0.0.1', method, path, headers: { authorization, ...headers }, agent: false });
  sent.end(content);
  const [response] = await once(sent, 'response');
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part);
  const bytes = Buffer.concat(parts);
  const isJson = /json/.test(response.headers['content-type'] ?? '') && !response.headers['content-encoding'] && bytes.length > 0;
  return { status: response.statusCode, headers: response.headers, bytes, body: isJson ? JSON.parse(bytes.toString()) : undefined };
}
const post = (content: string | Uint8Array | object, headers: OutgoingHttpHeaders = {}) =>
  send(
    'POST',
    '/graphql',
    { 'content-type': 'application/json', ...headers },
    typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
  );
const codes = ({ body }: Received) => body?.errors?.map(({ extensions }: Json) => extensions.code);
const defects = () => test.logs.filter((line) => JSON.parse(line).level >= 50);

describe('a body is read as it was sent, or not at all', () => {
  const createNamed = (name: string, encoding: BufferEncoding) =>
    Buffer.from(
      JSON.stringify({
        query:
          'mutation ($i: CreateCredentialInput!) { createCredential(input: $i) { ... on CreateCredentialSuccess { credential { ... on CredentialBase { id } } } ... on MutationError { message } } }',
        variables: { i: { integration: { name: 'crm' }, name, data: { basicAuth: { username: 'ada', password: 'pässwörd€😀' } } } },
      }),
      encoding,
    );
  const passwordOf = async (id: string) => {
    const query = 'mutation ($i: RevealSecretInput!) { revealSecret(input: $i) { ... on RevealSecretSuccess { secret { plaintext } } } }';
    const { revealSecret } = await test.query(caller, query, { i: { credential: id, field: 'password', reason: 'the test looks' } });
    return revealSecret.secret.plaintext;
  };
  const count = async () => (await test.query(caller, '{ credentials { totalCount } }')).credentials.totalCount;

  it('in UTF-8, under each name of it, and with a byte order mark', async () => {
    const types = [
      'application/json',
      'Application/JSON',
      'application/json;',
      'application/json ; charset=utf-8',
      'application/json; charset=UTF-8',
      'application/json;charset="utf-8"',
      'application/json; charset="ut\\f-8"',
      'application/json; charset=utf8',
      'application/json; Charset=Utf8; profile="a;b"',
    ];
    for (const [index, type] of types.entries()) {
      const mark = index === 0 ? [0xef, 0xbb, 0xbf] : [];
      const answer = await post(Buffer.concat([Buffer.from(mark), createNamed(`utf8-${index}`, 'utf8')]), { 'content-type': type });
      expect([type, answer.status, answer.body.errors]).toEqual([type, 200, undefined]);
      expect(await passwordOf(answer.body.data.createCredential.credential.id)).toBe('pässwörd€😀');
    }
  });

  it('in any other charset or coding it is refused, whatever its content, and nothing is stored', async () => {
    const before = await count();
    const utf8 = createNamed('refused', 'utf8');
    const types = [
      ...['iso-8859-1', 'latin1', 'us-ascii', 'utf-16', 'utf-16le', 'utf-32', 'utf-7', 'windows-1252', 'none', '""', 'utf-8x'].map(
        (charset) => `application/json; charset=${charset}`,
      ),
      'application/json; charset=utf-8; charset=iso-8859-1',
      'application/json; charset=utf-8; charset=utf-8',
      'application/json; charset',
      'application/json, application/json',
      'application/json; charset="utf-8',
      'application/jsonp',
      'application/graphql-response+json',
      'text/json',
    ];
    for (const type of types) {
      const answer = await post(utf8, { 'content-type': type });
      expect([type, answer.status, codes(answer)]).toEqual([type, 415, ['BAD_REQUEST']]);
    }
    const withoutType = await send('POST', '/graphql', {}, utf8);
    expect([withoutType.status, codes(withoutType)]).toEqual([415, ['BAD_REQUEST']]);
    for (const coding of ['gzip', 'GZIP', 'x-gzip', 'deflate', 'br', 'zstd', 'gzip, gzip', 'identity, gzip', 'none']) {
      for (const content of [utf8, gzipSync(utf8)]) {
        const answer = await post(content, { 'content-encoding': coding });
        expect([coding, answer.status, codes(answer)]).toEqual([coding, 415, ['BAD_REQUEST']]);
        // RFC 9110, section 15.5.16.
        expect(answer.headers['accept-encoding']).toBe('identity');
      }
    }
    expect((await post({ query: '{ __typename }' }, { 'content-encoding': 'Identity' })).status).toBe(200);
    const bodies = [
      createNamed('refused', 'latin1'),
      createNamed('refused', 'utf16le'),
      Buffer.concat([Buffer.from([0xff, 0xfe]), createNamed('refused', 'utf16le')]),
      createNamed('refused', 'utf16le').swap16(),
      // Overlong, a surrogate, beyond Unicode, and cut.
      ...['c0af', 'eda080', 'f4908080', 'c3'].map((hex) =>
        Buffer.concat([Buffer.from('{"query":"{ __typename }","variables":{"a":"'), Buffer.from(hex, 'hex'), Buffer.from('"}}')]),
      ),
    ];
    for (const content of bodies) {
      const answer = await post(content);
      expect([answer.status, codes(answer)], content.toString('latin1')).toEqual([400, ['BAD_REQUEST']]);
    }
    expect(await count()).toBe(before);
  });

  it('and so are the parameters of a URL', async () => {
    const query = 'query($n:String){credentials(name:$n){totalCount}}';
    const get = (variables: string) => send('GET', `/graphql?query=${encodeURIComponent(query)}&variables=${variables}`);
    expect((await get('%7B%22n%22:%22p%C3%A4ss%22%7D')).body.data).toEqual({ credentials: { totalCount: 0 } });
    for (const bytes of ['%E4', '%C3', '%ED%A0%80', '%C0%AF', '%FF%FE', 'a%F4%90%80%80']) {
      const answer = await get(`%7B%22n%22:%22${bytes}%22%7D`);
      expect([bytes, answer.status, codes(answer)]).toEqual([bytes, 400, ['BAD_REQUEST']]);
    }
    for (const name of ['query', 'variables', 'operationName', 'extensions']) {
      const answer = await send('GET', `/graphql?query=%7B__typename%7D&${name}=%7B%7D&${name}=%7B%7D`);
      expect([name, answer.status, codes(answer)]).toEqual([name, 400, ['BAD_REQUEST']]);
    }
    // Bytes that are not even encoded.
    const socket = connect(server.port, '127.0.0.1');
    socket.write(
      Buffer.from(
        'GET /graphql?query={__typename}&variables={"n":"p\xe4"} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n',
        'latin1',
      ),
    );
    let received = '';
    for await (const part of socket) received += part;
    expect(received).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('with the members that clients add, which mean nothing here', async () => {
    const query = '{ __typename }';
    const persistedQuery = { version: 1, sha256Hash: createHash('sha256').update(query).digest('hex') };
    for (const members of [
      { id: 'x' },
      { id: null, doc_id: '1', docId: 1 },
      { documentId: 'sha256:x' },
      { extensions: { persistedQuery, clientLibrary: { name: '@apollo/client' } } },
      { operationName: null, variables: null, extensions: null },
      { operationName: '' },
    ]) {
      expect((await post({ query, ...members })).body.data, JSON.stringify(members)).toEqual({ __typename: 'Query' });
    }
    expect((await send('GET', '/graphql?query=%7B__typename%7D&operationName=&variables=&extensions=')).body.data).toEqual({
      __typename: 'Query',
    });
    for (const members of [{ id: 'x' }, { doc_id: '1' }, { documentId: 'sha256:x' }, { extensions: { persistedQuery } }]) {
      const answer = await post(members);
      expect([answer.status, codes(answer)], JSON.stringify(members)).toEqual([400, ['PERSISTED_QUERY_NOT_SUPPORTED']]);
    }
    // Not well-formed, and so 400 for every media type. A misspelt member would otherwise be lost.
    for (const members of [
      { variabels: {} },
      { operationName: 7 },
      { variables: [7] },
      { extensions: 'x' },
      { query: ['{}'] },
      { query: null },
    ]) {
      for (const accept of ['application/json', 'application/graphql-response+json']) {
        const answer = await post({ query, ...members }, { accept });
        expect([answer.status, codes(answer)], JSON.stringify(members)).toEqual([400, ['BAD_REQUEST']]);
      }
    }
  });
});

describe('a response', () => {
  it('has the media type that is accepted, by its weight', async () => {
    const json = 'application/json; charset=utf-8';
    const graphql = 'application/graphql-response+json; charset=utf-8';
    for (const [accept, type] of [
      [undefined, graphql],
      ['*/*', json],
      ['application/*', json],
      ['application/json', json],
      ['APPLICATION/JSON', json],
      ['application/json; charset=utf-8', json],
      ['application/graphql-response+json', graphql],
      ['application/graphql-response+json, application/json;q=0.9', graphql],
      ['application/json;q=0.9, application/graphql-response+json', graphql],
      ['application/graphql-response+json;q=0.1, application/json', json],
      ['application/graphql-response+json; charset=utf-8, application/json; charset=utf-8', graphql],
      ['multipart/mixed;deferSpec=20220824, application/json', json],
      ['text/event-stream;q=0.5, application/json', json],
      ['text/event-stream, application/json;q=0.5', 'text/event-stream; charset=utf-8'],
      ['text/html;q=0, */*;q=0.8', json],
    ] as const) {
      const answer = await post({ query: '{ __typename }' }, accept === undefined ? {} : { accept });
      expect([accept, answer.status, answer.headers['content-type']]).toEqual([accept, 200, type]);
      expect(answer.headers.vary).toBe('accept, accept-encoding');
    }
  });

  it('is refused, and nothing carried out, if no media type is accepted', async () => {
    const mutation = { query: 'mutation { createIntegration(input: { name: "unaccepted" }) { __typename } }' };
    for (const accept of ['image/png', 'multipart/mixed', 'application/json;q=0', 'x']) {
      const answer = await post(mutation, { accept });
      expect([accept, answer.status, codes(answer)]).toEqual([accept, 406, ['BAD_REQUEST']]);
    }
    expect((await test.query(caller, '{ integration(by: { name: "unaccepted" }) { id } }')).integration).toBe(null);
  });

  it('is the same for a query and a mutation that are forbidden, and lists every scope', async () => {
    const nobody = { authorization: `Bearer ${await test.token({ ...caller, scopes: ['credentials.get'] })}` };
    for (const [query, scopes] of [
      ['{ credentials { totalCount } a: integrations { totalCount } auditLog { nodes { id } } }', ['integrations.get', 'audit.get']],
      ['query { ...F } fragment F on Query { ... { integrations { totalCount } } }', ['integrations.get']],
      ['mutation { createIntegration(input: { name: "x" }) { __typename } }', ['integrations.post']],
    ] as const) {
      for (const [accept, status] of [
        ['application/json', 200],
        ['application/graphql-response+json', 403],
      ] as const) {
        const answer = await post({ query }, { ...nobody, accept });
        expect([query, answer.status]).toEqual([query, status]);
        expect(answer.body.errors.map(({ extensions }: Json) => extensions)).toEqual(
          scopes.map((scope) => ({ code: 'FORBIDDEN', scope, requestId: answer.headers['x-request-id'] })),
        );
        expect(answer.body).not.toHaveProperty('data');
      }
    }
    // A field that may be null, or that is skipped, does not refuse the others.
    const query =
      'query ($no: Boolean!) { credentials { totalCount } connections { totalCount } integrations @skip(if: true) { totalCount } auditLog @include(if: $no) { nodes { id } } }';
    const partial = await post({ query, variables: { no: false } }, { ...nobody, accept: 'application/graphql-response+json' });
    expect([partial.status, partial.body.data]).toEqual([200, { credentials: { totalCount: expect.any(Number) }, connections: null }]);
  });

  it('to HEAD is that to GET without its content, on every path', async () => {
    for (const [path, headers] of [
      ['/', {}],
      ['/health', {}],
      ['/ready', {}],
      ['/nowhere', {}],
      ['/graphql', { accept: 'text/html' }],
      ['/graphql', { accept: 'text/html', 'accept-encoding': 'gzip' }],
      ['/graphql', {}],
      ['/graphql', { authorization: '' }],
      ['/graphql?query=%7B__typename%7D', {}],
      ['/graphql?query=mutation%7B__typename%7D', {}],
      ['/graphql?query=%7B', {}],
      ['/graphql/page-0000000000000000.js', {}],
    ] as const) {
      const [head, get] = [await send('HEAD', path, headers), await send('GET', path, headers)];
      const stable = ({
        status,
        headers: {
          date: _,
          'x-request-id': __,
          ratelimit: ___,
          connection: ____,
          'transfer-encoding': _____,
          'content-length': ______,
          ...rest
        },
      }: Received) => ({ status, rest });
      expect([path, stable(head)]).toEqual([path, stable(get)]);
      expect(head.bytes).toHaveLength(0);
    }
    expect(test.logs.some((line) => line.includes('"method":"HEAD"'))).toBe(true);
  });

  it('to another path says where GraphQL is, and to the root leads to GraphiQL', async () => {
    const answer = await send('GET', '/graphq');
    expect([answer.status, answer.body.errors[0].message]).toEqual([404, 'There is nothing at this path. GraphQL is at /graphql.']);
    const root = await send('GET', '/');
    expect([root.status, root.headers.location]).toEqual([302, '/graphql']);
  });
});

describe('compression', () => {
  const large = '{ __schema { types { name description fields { name description } } } }';
  const unpack = ({ headers, bytes }: Received) =>
    headers['content-encoding'] === 'br' ? brotliDecompressSync(bytes) : headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;

  it('is used as the client weighs it, for queries and GraphiQL', async () => {
    const plain = await post({ query: large });
    for (const [accepted, coding] of [
      ['gzip', 'gzip'],
      ['GZIP', 'gzip'],
      ['br', 'br'],
      ['gzip, deflate, br', 'br'],
      ['*', 'br'],
      ['br;q=0.5, gzip;q=0.8', 'gzip'],
      ['br;q=0, *', 'gzip'],
      ['gzip;q=0.5, identity', undefined],
      ['gzip;q=0', undefined],
      ['br;q=0, gzip;q=0.0', undefined],
      ['deflate', undefined],
      ['identity', undefined],
      ['', undefined],
      ['zstd', undefined],
    ] as const) {
      const headers = { 'accept-encoding': accepted };
      const answer = await post({ query: large }, headers);
      expect([accepted, answer.headers['content-encoding']]).toEqual([accepted, coding]);
      expect(JSON.parse(unpack(answer).toString()).data).toEqual(plain.body.data);
      if (coding) expect(answer.bytes.length).toBeLessThan(plain.bytes.length / 3);
      const page = await send('GET', '/graphql', { ...headers, accept: 'text/html' });
      expect([accepted, page.headers['content-encoding']]).toEqual([accepted, coding]);
      expect(unpack(page).toString()).toContain('<title>GraphiQL');
    }
  });

  // BREACH: the length of what is compressed together tells how much of it is equal.
  it('is never used for a mutation, which can return a secret', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `key${index}: key`).join(' ');
    const query = `mutation { createAPIKey(input: { name: "compressed", scopes: ["credentials.get"] }) { ... on CreateAPIKeySuccess { issued { key ${keys} } } } }`;
    const answer = await post({ query }, { 'accept-encoding': 'gzip, br' });
    expect(answer.body?.data.createAPIKey.issued.key).toMatch(/^cgk_/);
    expect(answer.headers['content-encoding']).toBe(undefined);
    expect(answer.bytes.length).toBeGreaterThan(1_500);
  });

  it('the page and its parts are sent once, and then only said to be the same', async () => {
    const page = await send('GET', '/graphql', { accept: 'text/html', 'accept-encoding': 'gzip' });
    expect(page.headers['cache-control']).toBe('private, no-cache');
    const [, path] = /src="(graphql\/page-[^"]+)"/.exec(gunzipSync(page.bytes).toString())!;
    for (const [at, headers] of [
      ['/graphql', { accept: 'text/html', 'accept-encoding': 'gzip' }],
      ['/graphql', { accept: 'TEXT/HTML' }],
      [`/${path}`, { 'accept-encoding': 'br' }],
    ] as const) {
      const { headers: first } = await send('GET', at, headers);
      for (const known of [first.etag!, `W/${first.etag}`, `"x", ${first.etag}`, '*']) {
        const again = await send('GET', at, { ...headers, 'if-none-match': known });
        expect([again.status, again.bytes.length, again.headers.etag]).toEqual([304, 0, first.etag]);
      }
      expect((await send('GET', at, { ...headers, 'if-none-match': '"x"' })).status).toBe(200);
      // Other bytes have another tag.
      expect((await send('GET', at, { accept: 'text/html' })).headers.etag === first.etag).toBe(!('accept-encoding' in headers));
    }
  });
});

describe('a document', () => {
  const errorsOf = async (query: string, variables?: object) => (await post({ query, variables })).body.errors;

  it('that makes one mistake often is told a few times, and what else is wrong, too', async () => {
    const inner = Array.from({ length: 50 }, (_, index) => `nothing${index}`).join(' ');
    const errors = await errorsOf(`{ integrations { nodes { ${inner} } totalCount { x } } }`);
    const messages: string[] = errors.map(({ message }: Json) => message);
    expect(messages.filter((message) => message === 'The type Integration has no such field.')).toHaveLength(5);
    expect(messages).toContain('Int has no fields to select.');
    expect(messages.at(-1)).toBe('There are more errors than are listed here.');
    expect(messages).toHaveLength(7);
    const list = await errorsOf('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array.from({ length: 50 }, () => ({})) });
    expect(list.map(({ message }: Json) => message.replace(/\d+/, 'n'))).toEqual(
      Array(5).fill('The variable $ids.n must have the type ID.'),
    );
  });

  it('that lacks members is told which, once', async () => {
    const errors = await errorsOf('mutation { createCredential(input: {}) { __typename } }');
    expect(errors.map(({ message }: Json) => message)).toEqual([
      'The input type CreateCredentialInput requires the fields integration: IntegrationRef!, name: String!, data: CredentialDataInput!, which are missing here.',
    ]);
  });

  it('that is a subscription is not answered without a stream, in every way to send it', async () => {
    for (const query of [
      'subscription { x }',
      'subscription S { integrations { totalCount } }',
      'query A { __typename } subscription B { x }',
      'subscription { __typename }',
    ]) {
      for (const answer of [
        await post({ query, operationName: query.includes('B') ? 'B' : undefined }),
        await send('GET', `/graphql?query=${encodeURIComponent(query)}${query.includes('B') ? '&operationName=B' : ''}`),
      ]) {
        expect([query, answer.status, codes(answer)]).toEqual([query, 406, ['BAD_REQUEST']]);
      }
    }
  });
});

/** Returns a generator of numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('no request is a defect of the gateway', () => {
  it.each([1, 2, 3])('random requests of seed %i', async (seed) => {
    const random = randomOf(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
    const values: unknown[] = [
      null,
      true,
      0,
      -1,
      1e300,
      '',
      'x',
      '\u0000',
      '\ud800',
      'é'.repeat(300),
      [],
      [[]],
      {},
      { a: 1 },
      { __proto__: null, constructor: 1 },
    ];
    const names = ['query', 'variables', 'operationName', 'extensions', 'id', '__proto__', 'constructor', 'toString', 'x', ''];
    const words = [
      'query',
      'mutation',
      'subscription',
      'fragment',
      'on',
      'Query',
      '{',
      '}',
      '(',
      ')',
      '[',
      ']',
      ':',
      '$a',
      '!',
      '=',
      '@skip',
      '@include',
      '(if: true)',
      '...',
      '__typename',
      '__schema',
      '__type(name: "x")',
      'integrations',
      'credentials',
      'node(id: "x")',
      'createIntegration',
      'input: {',
      'name:',
      '"x"',
      '"""x"""',
      '"\\ud800"',
      '1e999',
      'null',
      '-',
      '#',
      '\n',
      '\u0000',
      '😀',
      'A',
      'extend schema',
      'type T { a: Int }',
      ',',
    ];
    const document = () => Array.from({ length: Math.floor(random() * 14) }, () => pick(words)).join(' ');
    const valid = () =>
      pick([
        '{ __typename }',
        'query A { integrations { totalCount } }',
        'query ($a: String) { credentials(name: $a) { totalCount } }',
        'subscription { x }',
        '{ node(id: "x") { id } }',
        'query ($a: [ID!]! = ["x"]) { nodes(ids: $a) { id } }',
      ]);
    const header = () =>
      pick([
        '',
        'x',
        '*',
        '*/*',
        ';',
        ',',
        '"',
        'a=b',
        'application/json',
        'q=1;q=2',
        'gzip;q=x',
        'é',
        '1'.repeat(50),
        '\t',
        'W/"x"',
        '%',
        'http://[',
        'null',
        'Bearer',
        'JWT x',
        'Basic Og==',
        'utf-8',
      ]);
    const headerNames = [
      'accept',
      'accept-encoding',
      'content-type',
      'content-encoding',
      'origin',
      'authorization',
      'x-forwarded-for',
      'x-forwarded-proto',
      'if-none-match',
      'accept-charset',
      'te',
      'range',
      'x-request-id',
    ];
    for (let index = 0; index < 150; index++) {
      const isGet = random() < 0.3;
      const method = isGet ? pick(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'GET']) : 'POST';
      const headers: Record<string, string> =
        random() < 0.3 ? Object.fromEntries([[pick(headerNames), Buffer.from(header()).toString('latin1')]]) : {};
      const query = random() < 0.5 ? valid() : document();
      let content: string | undefined;
      let path = '/graphql';
      if (method === 'POST') {
        const members = Object.fromEntries(Array.from({ length: Math.floor(random() * 3) }, () => [pick(names), pick(values)]));
        content = JSON.stringify(
          random() < 0.9 ? { query, variables: random() < 0.5 ? { a: pick(values) } : undefined, ...members } : pick(values),
        );
        if (random() < 0.1) content = content.slice(0, Math.floor(random() * content.length));
      } else {
        path = pick(['/graphql', '/', '/graphql/', '/graphql/x', '/health', '//graphql', '/%67raphql', '/graphql;x']);
        path += `?query=${encodeURIComponent(query.replace(/\p{Surrogate}/gu, ''))}&${pick(['', 'variables=', 'variables=%7B', 'variables=[]', 'extensions=1', 'operationName=%00', 'variables=null', '%zz', '%', 'query=', '__proto__=1'])}`;
      }
      const what = `seed ${seed}, request ${index}: ${method} ${path} ${JSON.stringify(headers)} ${content}`;
      const before = defects().length;
      const answer = await send(
        method,
        path,
        { ...(content !== undefined && { 'content-type': 'application/json' }), ...headers },
        content,
      );
      expect(answer.status, what).toBeLessThan(500);
      expect(codes(answer) ?? [], what).not.toContain('INTERNAL_SERVER_ERROR');
      expect(defects().length, what).toBe(before);
      if (answer.status >= 400 && method !== 'HEAD')
        expect(
          codes(answer)?.every((code: unknown) => typeof code === 'string'),
          what,
        ).toBe(true);
    }
  });
});
