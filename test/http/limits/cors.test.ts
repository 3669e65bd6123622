import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../../src/config/index.ts';
import { createGateway, type Gateway } from '../../../src/gateway/index.ts';
import { useTestGateway } from '../../harness.ts';

const ALLOWED = 'https://app.example.com';
const test = useTestGateway();
let gateway: Gateway;
beforeAll(async () => {
  gateway = await createGateway({
    database: { uri: test.uri, name: test.databaseName },
    masterKeys: [test.masterKey],
    tokens: { issuer: 'i', audience: 'a', organizationClaim: 'organization', key: { secret: new Uint8Array(32) } },
    logger: pino({ level: 'silent' }),
    graphiql: false,
    corsOrigins: [ALLOWED, 'https://other.example.com'],
  });
});
afterAll(() => gateway.stop());

const send = (method: string, headers: Record<string, string>) =>
  gateway.fetch(
    new Request('http://gateway.test/graphql', {
      method,
      headers: method === 'POST' ? { 'content-type': 'application/json', ...headers } : headers,
      ...(method === 'POST' && { body: '{"query":"{ __typename }"}' }),
    }),
  );
const cors = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')).map(([name, value]) => [name.slice(15), value]));
const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' };

describe('a page of an origin that is listed', () => {
  it('is told in advance what it may send', async () => {
    const response = await send('OPTIONS', { origin: ALLOWED, ...preflight });
    expect([response.status, cors(response)]).toEqual([
      204,
      {
        'allow-origin': ALLOWED,
        'allow-methods': 'GET, POST',
        'allow-headers': 'authorization, content-type, idempotency-key, last-event-id',
        'expose-headers': 'Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id',
        'max-age': '600',
      },
    ]);
    expect(response.headers.get('vary')).toContain('Origin');
  });

  it('sees answers, refusals too, and what is left', async () => {
    const response = await send('POST', { origin: ALLOWED });
    expect(response.status).toBe(401);
    expect(cors(response)).toEqual({
      'allow-origin': ALLOWED,
      'expose-headers': 'Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id',
    });
  });

  // With this, a browser would add cookies and cached passwords by itself.
  it('is never let send credentials that the browser keeps', async () => {
    for (const method of ['OPTIONS', 'POST', 'GET']) {
      expect((await send(method, { origin: ALLOWED, ...preflight })).headers.has('access-control-allow-credentials')).toBe(false);
    }
  });
});

it.each([
  'https://evil.example',
  'null',
  'https://app.example.com.evil.example',
  'http://app.example.com',
  'https://app.example.com:8443',
  'https://APP.example.com',
  '*',
])('a page of another origin is refused, before and without being asked: %s', async (origin) => {
  for (const method of ['OPTIONS', 'POST', 'GET']) {
    const response = await send(method, { origin, ...preflight });
    expect([response.status, cors(response)]).toEqual([403, {}]);
    expect(response.headers.get('vary')).toContain('Origin');
  }
});

it('what no page sends is not told about pages, but caches are', async () => {
  const response = await send('POST', {});
  expect([response.status, cors(response), response.headers.get('vary')]).toEqual([401, {}, expect.stringContaining('Origin')]);
});

it('is off unless told: no page of another origin, and no word of it', async () => {
  const response = await test.gateway.fetch(
    new Request('http://gateway.test/graphql', { method: 'OPTIONS', headers: { origin: ALLOWED, ...preflight } }),
  );
  expect([response.status, cors(response)]).toEqual([403, {}]);
});

it('takes origins, and nothing that is like one', () => {
  const production = { MONGODB_URI: 'mongodb://x/', MASTER_KEY: 'x', TOKEN_SECRET: randomBytes(32).toString('hex') };
  expect(readConfig({ CORS_ORIGINS: 'https://a.example, http://localhost:3000' }).corsOrigins).toEqual([
    'https://a.example',
    'http://localhost:3000',
  ]);
  expect(readConfig({}).corsOrigins).toEqual([]);
  for (const wrong of [
    '*',
    'null',
    'https://*.example.com',
    'https://a.example/',
    'a.example',
    'https://a.example https://b.example',
    'file://',
  ]) {
    expect(() => readConfig({ ...production, CORS_ORIGINS: wrong }), wrong).toThrow(/^CORS_ORIGINS must be origins/);
  }
});
