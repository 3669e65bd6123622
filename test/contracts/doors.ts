import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Gateway } from '../../src/gateway/index.ts';

/** A request, as both doors of the gateway get it: `fetch`, and a socket. */
export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

/** What was received, without what differs from time to time, or is about the socket. */
export interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Headers of the connection and not of the response, which `fetch` does not have. */
const ofConnection = ['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding'];

/** Sends a request through `gateway.fetch`. */
export async function throughFetch(gateway: Gateway, origin: string, { method, path, headers = {}, body }: Sent): Promise<Received> {
  const length: Record<string, string> = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const init = { method, headers: { host: new URL(origin).host, ...length, ...headers }, ...(body !== undefined && { body }) };
  const response = await gateway.fetch(new Request(`${origin}${path}`, init));
  return received(response.status, Object.fromEntries(response.headers), Buffer.from(await response.arrayBuffer()));
}

/** Sends a request through a socket. */
export async function throughSocket(origin: string, { method, path, headers = {}, body }: Sent): Promise<Received> {
  const { hostname, port } = new URL(origin);
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const sent = httpRequest({ host: hostname, port, method, path, headers: { ...length, ...headers }, agent: false });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return received(response.statusCode, response.headers, Buffer.concat(await response.toArray()));
}

function received(status: number, headers: Readonly<Record<string, string>>, bytes: Buffer): Received {
  const stable = Object.entries(headers)
    .filter(([name]) => !ofConnection.includes(name))
    .map(([name, value]) => [name, name === 'x-request-id' ? 'an id' : name === 'ratelimit' ? value.replace(/[rt]=\d+/g, 'n') : value])
    .sort(([one], [other]) => (one! < other! ? -1 : 1));
  const coding = bytes.length > 0 ? headers['content-encoding'] : undefined;
  const content = coding === 'br' ? brotliDecompressSync(bytes) : coding === 'gzip' ? gunzipSync(bytes) : bytes;
  const body = content
    .toString('latin1')
    .replace(/"(remaining|resetSeconds|retryAfter)":\d+/g, '"$1":0')
    .replace(/cgk_[\w-]+/g, 'a key');
  return { status, headers: Object.fromEntries(stable), body };
}

/** The tokens that requests of the corpus present. */
export interface Tokens {
  readonly all: string;
  readonly few: string;
  readonly expired: string;
  readonly apiKey: string;
  readonly endUser: string;
}

/** Requests, good and bad, of every kind that the gateway distinguishes. */
export function corpus({ all, few, expired, apiKey, endUser }: Tokens): Sent[] {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const json = { 'content-type': 'application/json' };
  const post = (body: unknown, headers: Record<string, string> = {}): Sent => ({
    method: 'POST',
    path: '/graphql',
    headers: { ...json, ...bearer(all), ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
  const get = (path: string, headers: Record<string, string> = bearer(all)): Sent => ({ method: 'GET', path, headers });
  const query = (text: string, more = '') => `/graphql?query=${encodeURIComponent(text)}${more}`;
  const many = (count: number) => Array.from({ length: count }, (_, index) => index);
  const typename = { query: '{ __typename }' };
  const large = { query: '{ __schema { types { name description } } }' };
  const mutation = 'mutation { createIntegration(input: { name: "" }) { __typename ... on MutationError { code message } } }';
  const own = { origin: 'http://127.0.0.1', host: '127.0.0.1' };
  return [
    // Paths and methods.
    ...[
      '/',
      '/health',
      '/ready',
      '/nowhere',
      '/graphql',
      '/graphql/',
      '/graphql/x',
      '/graphql/page-0.js',
      '//graphql',
      '/%67raphql',
    ].flatMap((path) =>
      ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => ({ method, path, headers: bearer(all) })),
    ),
    ...['PUT', 'PATCH', 'DELETE', 'OPTIONS'].flatMap((method) => [
      { method, path: '/graphql', headers: { ...json, ...bearer(all) }, body: JSON.stringify(typename) },
      { method, path: '/graphql' },
    ]),
    // GraphiQL.
    ...['text/html', 'TEXT/HTML;q=0.5', 'text/plain'].map((accept) => get('/graphql', { accept })),
    get('/graphql', { accept: 'text/html', 'accept-encoding': 'gzip' }),
    get('/graphql', { accept: 'text/html', 'if-none-match': '*' }),
    { method: 'HEAD', path: '/graphql', headers: { accept: 'text/html', 'accept-encoding': 'br' } },
    // Tokens.
    ...[
      '',
      'x',
      'Bearer',
      'Bearer x',
      'Bearer a.b.c',
      `bearer ${all}`,
      `JWT  ${all}`,
      `Bearer ${all}x`,
      `Bearer ${expired}`,
      `Bearer ${few}`,
    ].map((authorization) => post(typename, { authorization })),
    ...[apiKey, endUser, `${apiKey}x`, `${endUser}x`].map((token) => post({ query: '{ viewer { kind } }' }, bearer(token))),
    ...['', `x:${apiKey}`, 'x:y', 'x'].flatMap((basic) => {
      const authorization = `Basic ${Buffer.from(basic).toString('base64')}`;
      return [post(typename, { authorization }), post(typename, { authorization, 'sec-fetch-site': 'none' })];
    }),
    { method: 'POST', path: '/graphql', headers: json, body: '{' },
    get(query('{ __typename }'), {}),
    // Origins and hosts.
    ...['null', 'x', '', 'https://app.example', 'https://evil.example.com', own.origin].flatMap((origin) => [
      post(typename, { origin }),
      { method: 'OPTIONS', path: '/graphql', headers: { origin } },
      get('/health', { origin }),
    ]),
    post(typename, own),
    ...['a b', 'gateway.test:1', 'LOCALHOST.'].map((host) => post(typename, { host })),
    ...['https', 'http, HTTPS', 'x'].map((proto) => post(typename, { 'x-forwarded-proto': proto, 'x-forwarded-for': '192.0.2.1, ::1' })),
    // Media types and codings.
    ...[
      '*/*',
      'application/json',
      'application/graphql-response+json',
      'image/png',
      'application/json;q=0',
      'text/html;q=0, */*;q=0.8',
      '',
    ].flatMap((accept) => [
      post(typename, { accept }),
      post({ query: '{' }, { accept }),
      post({ query: '{ x }' }, { accept }),
      post({}, { accept }),
    ]),
    ...['gzip', 'br', 'gzip, br;q=0.1', 'identity', 'x'].flatMap((coding) => [
      post(large, { 'accept-encoding': coding }),
      post(
        {
          query: `mutation { createAPIKey(input: { name: "x${coding.length}", scopes: ["x"] }) { ${many(90)
            .map((n) => `a${n}: __typename`)
            .join(' ')} } }`,
        },
        { 'accept-encoding': coding },
      ),
    ]),
    ...[
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/graphql',
      'application/json; charset=latin1',
      'application/json;charset="utf-8"',
      'x',
    ].map((type) => post(typename, { 'content-type': type })),
    ...['gzip', 'identity', 'x'].map((coding) => post(typename, { 'content-encoding': coding })),
    // Bodies.
    ...['', ' ', '{', 'null', '1', '"x"', '[]', '[{}]', `[${JSON.stringify(typename)}]`, '{}', 'x', '{"query":"{ __typename }"} x'].map(
      (body) => post(body),
    ),
    ...['efbbbf7b7d', 'ff', '7b22717565727922 3a22c3227d'.replaceAll(' ', ''), 'fffe7b007d00'].map((hex) => post(Buffer.from(hex, 'hex'))),
    post(`${'['.repeat(100)}${']'.repeat(100)}`),
    post(`[${'1,'.repeat(60_000)}1]`),
    post({ ...typename, variables: { a: 'x'.repeat(3_000_000) } }),
    ...[null, 1, 'x', [], [1], {}, true].flatMap((value) => [
      post({ query: value }),
      post({ ...typename, variables: value }),
      post({ ...typename, operationName: value }),
      post({ ...typename, extensions: value }),
      post({ ...typename, variabels: value }),
      post({ ...typename, id: value }),
      post({ id: value }),
      post({ extensions: { persistedQuery: value } }),
    ]),
    post('{"query":"{ __typename }","__proto__":{"a":1},"constructor":1}'),
    // Parameters of the URL.
    ...[
      '{ __typename }',
      'query A { __typename } query B { __typename }',
      'mutation { __typename }',
      '{',
      '{ x }',
      'subscription { x }',
      '',
    ].flatMap((text) =>
      [
        '',
        '&operationName=A',
        '&operationName=',
        '&variables=',
        '&variables=%7B%7D',
        '&variables=[]',
        '&variables=%7B',
        '&extensions=1',
        '&extensions=%7B%7D',
        '&x=1',
        '&id=x',
        '&query=x',
        '&a=%FF',
      ].map((more) => get(query(text, more))),
    ),
    get('/graphql?variables=%7B%7D'),
    get('/graphql?extensions=%7B%22persistedQuery%22:%7B%7D%7D'),
    { ...post(typename), path: '/graphql?variables=%7B' },
    { ...post(typename), path: '/graphql?query=x&variables=%7B%7D' },
    { method: 'HEAD', path: query('{ __typename }'), headers: bearer(all) },
    // Documents.
    ...[
      '{ viewer { kind } }',
      '{ integrations { nodes { name } totalCount } nothing: node(id: "x") { id } }',
      'query ($a: ID!) { node(id: $a) { id } }',
      'query ($a: ID! = "x") { node(id: $a) { id } }',
      'query ($a: [ID!]!) { nodes(ids: $a) { id } }',
      'query A { __typename } query B { __typename }',
      'subscription { x }',
      'mutation { __typename }',
      mutation,
      '{ integrations(first: 1000) { totalCount } }',
      '{ integrations { totalCount } a: integrations(first: 1, after: "x") { totalCount } }',
      '{ connections(first: 100) { nodes { actionCredentials { credential { ... on CredentialBase { usages(first: 100) { nodes { id } } } } } } } }',
      `{ ${many(101)
        .map((n) => `a${n}: __typename`)
        .join(' ')} }`,
      `${'{ a '.repeat(100)}${'}'.repeat(100)}`,
      `{ ${'a '.repeat(20_000)} }`,
      '{ __proto__: __typename constructor: __typename }',
      '{ viewer { kind @skip(if: true) } a: __typename @include(if: false) }',
      'fragment F on Query { ...F } { ...F }',
      'mutation { a: revealSecret(input: {}) { __typename } }',
    ].flatMap((text) => [
      post({ query: text }),
      post({ query: text, variables: { a: 1, b: ['x'] }, operationName: 'A' }),
      post({ query: text, variables: { a: ['x', {}] } }, bearer(few)),
      post({ query: text }, { ...bearer(few), accept: 'application/graphql-response+json' }),
    ]),
  ];
}
