import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign as signBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Viewer } from '../../src/access/viewer.ts';
import { UnauthenticatedError, UnavailableError } from '../../src/errors.ts';
import { createGateway } from '../../src/gateway/index.ts';
import { createAuthenticator, type TokenSettings } from '../../src/http/authenticate.ts';
import type { issuerKeyLimits } from '../../src/http/issuer-keys.ts';
import { useTestGateway } from '../harness.ts';

const secret = randomBytes(64);
const base = { issuer: 'https://issuer.example', audience: 'gateway', organizationClaim: 'organization' } as const;
const withSecret: TokenSettings = { ...base, key: { secret } };
/** Those are tested in test/access. */
const refused = async () => {
  throw new UnauthenticatedError('None is known here.');
};
const ownTokens = { issued: (viewer: Viewer) => viewer, apiKey: refused, endUser: refused };
const now = () => Math.floor(Date.now() / 1000);

function claims(changed: Record<string, unknown> = {}): JWTPayload {
  return { iss: base.issuer, aud: base.audience, sub: 'ada', organization: 'acme', scope: 'credentials.get', exp: now() + 60, ...changed };
}
function sign(
  payload: JWTPayload,
  key: Uint8Array | KeyObject | CryptoKey = secret,
  header: { alg: string; kid?: string; typ?: string } = { alg: 'HS256' },
) {
  return new SignJWT(payload).setProtectedHeader(header).sign(key);
}
function authenticate(token: string, settings: TokenSettings = withSecret): Promise<Viewer> {
  return createAuthenticator(settings, ownTokens, () => new Date())({ authorization: `Bearer ${token}` });
}

/** The refusal: always of one class, and repeating nothing of the token. */
async function refusal(token: string, settings: TokenSettings = withSecret): Promise<string> {
  const error: unknown = await authenticate(token, settings).then(
    () => 'The token was taken.',
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UnauthenticatedError);
  const { message, code } = error as UnauthenticatedError;
  expect(code).toBe('UNAUTHENTICATED');
  for (const part of token.split('.').filter((each) => each.length > 3)) expect(message).not.toContain(part);
  return message;
}

// Such a subject could not be revoked: `revokeTokens` does not take it.
it.each([
  ['a lone surrogate', 'ada\ud800'],
  ['half a pair', '\udc00'],
  ['256 characters', 'x'.repeat(256)],
])('a subject with %s is refused', async (_what, sub) => {
  expect(await refusal(await sign(claims({ sub })))).toContain('claim sub');
  expect((await authenticate(await sign(claims({ sub: `😀${'x'.repeat(253)}` })))).subject).toHaveLength(255);
});

describe('the header', () => {
  const authenticator = createAuthenticator(withSecret, ownTokens, () => new Date());
  it.each([
    ['none', undefined],
    ['empty', ''],
    ['a bare token', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'],
    ['Bearer without a token', 'Bearer '],
    ['two tokens', 'Bearer a b'],
    ['JWT without a token', 'JWT '],
    ['two schemes', 'JWT Bearer a.b.c'],
    ['another scheme', 'Token eyJhbGciOiJIUzI1NiJ9.e30.c2ln'],
    ['a token with what no token has', 'Bearer a"b'],
  ])('is refused: %s', async (_, authorization) => {
    const headers = authorization === undefined ? {} : { authorization };
    await expect(authenticator(headers)).rejects.toThrow('A bearer token or an API key is required: Authorization: Bearer <token>.');
  });

  // RFC 9110, section 11.1: the scheme’s case does not matter.
  // Some clients, such as Versori's, name the scheme after the token. Between the two there can be several spaces.
  it.each(['Bearer', 'bearer', 'BEARER', 'JWT', 'jwt', 'Bearer  ', 'JWT '])('takes the scheme in any case: %s', async (scheme) => {
    const headers = { authorization: `${scheme} ${await sign(claims())}` };
    expect(await authenticator(headers)).toMatchObject({ organizationId: 'acme', subject: 'ada' });
  });

  it.each(['a', 'a.b', 'a.b.c', '...', 'eyJhbGciOiJIUzI1NiJ9.e30', 'W10.W10.W10'])(
    'is refused when the token is no JWT: %s',
    async (token) => {
      expect(await refusal(token)).toBe('The token is not a JWT.');
    },
  );
});

const tooLong = 'The token is valid for longer than the gateway accepts. The setting TOKEN_MAX_LIFETIME_SECONDS is the maximum.';

describe('the claims', () => {
  // JSON has no infinity, but 1e999 is read as one: a token that never expires.
  it('are refused when a number in them is infinite', async () => {
    const signed = (payload: string) => {
      const content = [`{"alg":"HS256"}`, payload].map((part) => Buffer.from(part).toString('base64url')).join('.');
      return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
    };
    const payload = JSON.stringify(claims()).slice(0, -1);
    expect(await authenticate(signed(`${payload}}`))).toMatchObject({ organizationId: 'acme' });
    expect(await refusal(signed(`${payload},"exp":1e999}`))).toBe(tooLong);
    expect(await refusal(signed(`${payload},"exp":1e999,"iat":${now()}}`))).toBe(tooLong);
    expect(await refusal(signed(`${payload},"exp":1e999,"iat":1e999}`))).toContain(' iat ');
    expect(await refusal(signed(`${payload},"iat":-1e999}`))).toBe(tooLong);
  });

  it('may say that a token is valid for as long as is configured', async () => {
    const settings = { ...withSecret, maxLifetimeSeconds: 300 };
    expect(await authenticate(await sign(claims({ iat: now(), exp: now() + 300 })), settings)).toMatchObject({ organizationId: 'acme' });
    expect(await refusal(await sign(claims({ iat: now(), exp: now() + 301 })), settings)).toBe(tooLong);
    const month = { ...withSecret, maxLifetimeSeconds: 30 * 86_400 };
    expect(await authenticate(await sign(claims({ exp: now() + 29 * 86_400 })), month)).toMatchObject({ organizationId: 'acme' });
  });

  // RFC 7515, section 4.1.9, and RFC 9068: otherwise an ID token, which pages hold, could be used as an access token.
  it('have the type that is configured', async () => {
    const typ = 'The token’s header typ is missing or does not have the expected value.';
    const signTyped = (value: unknown) => sign(claims(), secret, { alg: 'HS256', ...(value !== undefined && { typ: value as string }) });
    for (const required of ['at+jwt', 'AT+JWT', 'application/at+jwt']) {
      const settings = { ...withSecret, typ: required };
      for (const taken of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt']) {
        expect(await authenticate(await signTyped(taken), settings), taken).toMatchObject({ organizationId: 'acme' });
      }
      for (const wrong of [undefined, 'JWT', '', 'at+jwt ', 'text/at+jwt', 'application/application/at+jwt', 7, ['at+jwt']]) {
        expect(await refusal(await signTyped(wrong), settings), String(wrong)).toMatch(new RegExp(`^${typ}$|not a JWT`));
      }
    }
    expect(await authenticate(await signTyped('anything'))).toMatchObject({ organizationId: 'acme' });
  });

  // jose takes a token without exp or sub: such a one would be good for ever, or nobody’s.
  it.each<[string, Record<string, unknown>, string]>([
    ['no exp', { exp: undefined }, "The token's claim exp is missing or does not have the expected value."],
    ['exp that is no number', { exp: 'never' }, "The token's claim exp is missing or does not have the expected value."],
    ['no sub', { sub: undefined }, "The token's claim sub is missing or does not have the expected value."],
    ['sub that is null', { sub: null }, "The token's claim sub is missing or does not have the expected value."],
    ['sub that is too long', { sub: 'a'.repeat(256) }, "The token's claim sub is missing or does not have the expected value."],
    ['sub that is empty', { sub: '' }, "The token's claim sub is missing or does not have the expected value."],
    ['sub that is an object', { sub: { $ne: '' } }, "The token's claim sub is missing or does not have the expected value."],
    ['no organization', { organization: undefined }, "The token's claim organization is missing or does not have the expected value."],
    ['no iss', { iss: undefined }, "The token's claim iss is missing or does not have the expected value."],
    ['another iss', { iss: 'https://issuer.example.evil' }, "The token's claim iss is missing or does not have the expected value."],
    ['no aud', { aud: undefined }, "The token's claim aud is missing or does not have the expected value."],
    ['another aud', { aud: ['other', 'another'] }, "The token's claim aud is missing or does not have the expected value."],
    ['expired before the tolerance', { exp: now() - 30 }, 'The token has expired.'],
    ['not valid yet', { nbf: now() + 60 }, "The token's claim nbf is missing or does not have the expected value."],
    ['issued in the future', { iat: now() + 600 }, "The token's claim iat is missing or does not have the expected value."],
    ['issued at a time that is no number', { iat: 'now' }, "The token's claim iat is missing or does not have the expected value."],
    ['issued at null', { iat: null }, "The token's claim iat is missing or does not have the expected value."],
    ['valid for longer than a day', { iat: now() - 10, exp: now() + 86_400 }, tooLong],
    ['valid for longer than a day, and issued long ago', { iat: now() - 90_000, exp: now() + 60 }, tooLong],
    ['valid for longer than a day from now, without iat', { exp: now() + 90_000 }, tooLong],
    ['issued before there were clocks', { iat: -1e300 }, tooLong],
  ])('are refused: %s', async (_, changed, message) => {
    expect(await refusal(await sign(claims(changed)))).toBe(message);
  });

  it.each<[string, () => Record<string, unknown>]>([
    ['one of several audiences', () => ({ aud: ['other', base.audience] })],
    ['expired within the tolerance of five seconds', () => ({ exp: now() - 2 })],
    ['valid in a moment, within the tolerance', () => ({ nbf: now() + 2 })],
    ['issued in a moment, within the tolerance', () => ({ iat: now() + 2 })],
    ['valid for a day', () => ({ iat: now() - 10, exp: now() - 10 + 86_400 })],
    ['valid for a day from now, without iat', () => ({ exp: now() + 86_395 })],
  ])('are taken: %s', async (_, changed) => {
    expect(await authenticate(await sign(claims(changed())))).toMatchObject({ organizationId: 'acme' });
  });

  // The organization stands in ciphertext headers, queries and command lines.
  it.each<[string, unknown]>([
    ['empty', ''],
    ['an operator', { $ne: null }],
    ['a list', ['acme']],
    ['a number', 7],
    ['null', null],
    ['a path', '../acme'],
    ['a leading dot', '.acme'],
    ['a space', 'acme corp'],
    ['a line break', 'acme\n'],
    ['65 characters', 'a'.repeat(65)],
    ['other letters', 'ácme'],
    ['a null character', 'acme\u0000'],
  ])('are refused when the organization is %s', async (_, organization) => {
    expect(await refusal(await sign(claims({ organization })))).toBe(
      "The token's claim organization is not a valid name of an organization.",
    );
  });

  it.each(['a', 'acme', 'Acme-Corp_1.eu', '0'.repeat(64)])('take the organization %s', async (organization) => {
    expect((await authenticate(await sign(claims({ organization })))).organizationId).toBe(organization);
  });

  it('name the organization under the name that is configured', async () => {
    const settings = { ...withSecret, organizationClaim: 'https://acme.example/tenant' };
    const token = await sign(claims({ 'https://acme.example/tenant': 'tenant-7' }));
    expect((await authenticate(token, settings)).organizationId).toBe('tenant-7');
    expect(await refusal(await sign(claims()), settings)).toContain('https://acme.example/tenant');
  });

  // RFC 8693 has one text; some issuers send a list. Whatever else it is grants nothing.
  it.each<[string, unknown, string[]]>([
    ['a text', 'credentials.get connections.get', ['credentials.get', 'connections.get']],
    ['a text with more spaces', '  credentials.get   connections.get ', ['credentials.get', 'connections.get']],
    ['a list', ['credentials.get', 'connections.get'], ['credentials.get', 'connections.get']],
    ['a list with what is no scope', ['credentials.get', 7, null, '', { a: 1 }], ['credentials.get']],
    ['absent', undefined, []],
    ['empty', '', []],
    ['an object', { 'credentials.get': true }, []],
    ['a number', 7, []],
    ['true', true, []],
  ])('give the scopes: %s', async (_, scope, expected) => {
    const scopesOf = async (changed: object, settings = withSecret) => [
      ...(await authenticate(await sign(claims({ ...changed })), settings)).scopes,
    ];
    expect(await scopesOf({ scope })).toEqual(expected);
    // The same in each claim that can list them. Only one counts: what an unconfigured claim says must not add a scope.
    const other = { scp: 'credentials.reveal', permissions: ['credentials.reveal'] };
    expect(await scopesOf({ scope: undefined, scp: scope })).toEqual(expected);
    expect(await scopesOf({ scope: undefined, permissions: scope }, { ...withSecret, scopeClaim: 'permissions' })).toEqual(expected);
    expect(await scopesOf({ ...other, scp: scope, scope: 'credentials.reveal' }, { ...withSecret, scopeClaim: 'scp' })).toEqual(expected);
    if (scope !== undefined) expect(await scopesOf({ ...other, scope })).toEqual(expected);
    expect(await scopesOf({ ...other, scope: undefined }, { ...withSecret, scopeClaim: 'roles' })).toEqual([]);
  });
});

describe('a shared secret', () => {
  it.each(['HS256', 'HS384', 'HS512'])('takes %s', async (alg) => {
    expect(await authenticate(await sign(claims(), secret, { alg }))).toMatchObject({ organizationId: 'acme' });
  });

  it('refuses a token under another secret, and one that was changed', async () => {
    expect(await refusal(await sign(claims(), randomBytes(64)))).toContain('The token’s signature is not valid');
    const [header, , signature] = (await sign(claims())).split('.');
    const changed = Buffer.from(JSON.stringify(claims({ organization: 'other' }))).toString('base64url');
    expect(await refusal(`${header}.${changed}.${signature}`)).toContain('The token’s signature is not valid');
  });

  it('refuses alg none, with and without a signature, in any case', async () => {
    const unsigned = new UnsecuredJWT(claims()).encode();
    expect(await refusal(unsigned)).toMatch(/algorithm|not a JWT/);
    for (const alg of ['none', 'None', 'NONE', '']) {
      const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
      for (const signature of ['', 'c2ln'])
        expect(await refusal(`${header}.${unsigned.split('.')[1]}.${signature}`)).toMatch(/algorithm|not a JWT/);
    }
  });

  it('refuses tokens that a private key signed', async () => {
    for (const alg of ['RS256', 'ES256', 'EdDSA', 'PS256']) {
      const { privateKey } = await generateKeyPair(alg);
      expect(await refusal(await sign(claims(), privateKey, { alg }))).toBe(
        'The token is signed with an algorithm that is not accepted here.',
      );
    }
  });
});

describe('a token that was accepted before', () => {
  let clock = 0;
  let revoked: string | undefined;
  const kept = createAuthenticator(
    withSecret,
    {
      ...ownTokens,
      issued: (viewer) => {
        if (viewer.subject === revoked) throw new UnauthenticatedError('It is revoked.');
        return viewer;
      },
    },
    () => new Date(Date.now() + clock * 1_000),
  );
  const taken = (token: string) =>
    kept({ authorization: `Bearer ${token}` }).then(
      () => 'taken',
      ({ message }: Error) => message,
    );
  afterEach(() => {
    clock = 0;
    revoked = undefined;
  });

  it('is verified once, and every other one each time', async () => {
    const [good, bad] = [await sign(claims()), await sign(claims(), randomBytes(64))];
    const changed = `${good.slice(0, -2)}${good.endsWith('AA') ? 'BB' : 'AA'}`;
    const verify = vi.spyOn(crypto.subtle, 'verify');
    for (let again = 0; again < 3; again++) expect(await taken(good)).toBe('taken');
    expect(verify).toHaveBeenCalledTimes(1);
    for (const token of [bad, changed]) {
      for (let again = 0; again < 2; again++) expect(await taken(token)).toContain('The token’s signature is not valid');
    }
    expect(verify).toHaveBeenCalledTimes(5);
    // It is dropped when it is refused, and so verified again.
    revoked = 'ada';
    for (let again = 0; again < 2; again++) expect(await taken(good)).toBe('It is revoked.');
    expect(verify).toHaveBeenCalledTimes(6);
    verify.mockRestore();
  });

  it.each<[string, Record<string, unknown>, number, string]>([
    ['it has expired', { exp: now() + 60 }, 90, 'The token has expired.'],
    [
      'the clock was set back to before it is valid',
      { nbf: now() - 60 },
      -120,
      "The token's claim nbf is missing or does not have the expected value.",
    ],
    [
      'the clock was set back to before it was issued',
      { iat: now() - 60 },
      -120,
      "The token's claim iat is missing or does not have the expected value.",
    ],
    [
      'the clock was set back, and it is valid for too long',
      { exp: now() + 86_000 },
      -1_000,
      'The token is valid for longer than the gateway accepts.',
    ],
  ])('is refused when %s', async (_what, changed, seconds, message) => {
    const token = await sign(claims(changed));
    expect(await taken(token)).toBe('taken');
    expect(await taken(token)).toBe('taken');
    clock = seconds;
    expect(await taken(token)).toContain(message);
    expect(await taken(token)).toContain(message);
    clock = 0;
    expect(await taken(token)).toBe('taken');
  });
});

describe('an issuer’s published keys', () => {
  interface Published {
    readonly kid: string;
    readonly alg: string;
    readonly privateKey: CryptoKey;
    readonly publicKey: CryptoKey;
  }
  let server: Server;
  let settings: TokenSettings;
  let published: Published[] = [];
  type Answer =
    | 'keys'
    | 'error'
    | 'garbage'
    | 'null'
    | 'no list'
    | 'redirect'
    | 'large'
    | 'compressed'
    | 'many'
    | 'cut'
    | 'slow'
    | 'silent';
  let answer: Answer = 'keys';
  let fetches = 0;
  let redirected = 0;
  /** Published beside the others. */
  let extra: unknown[] = [];
  afterEach(() => {
    answer = 'keys';
    extra = [];
  });

  async function newKey(alg: string, kid: string): Promise<Published> {
    return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
  }
  const signWith = ({ privateKey, alg, kid }: Published, payload = claims()) => sign(payload, privateKey, { alg, kid });

  beforeAll(async () => {
    server = createServer(async (request, response) => {
      if (request.url === '/elsewhere') redirected++;
      else fetches++;
      if (answer === 'error') return response.writeHead(500).end();
      if (answer === 'garbage') return response.end('<html>');
      if (answer === 'null') return response.end('null');
      if (answer === 'no list') return response.end('{"keys":{"length":1}}');
      if (answer === 'redirect' && request.url !== '/elsewhere') return response.writeHead(302, { location: '/elsewhere' }).end();
      if (answer === 'large') return response.end(JSON.stringify({ keys: [], padding: 'x'.repeat(600_000) }));
      if (answer === 'compressed') {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        return response.end(gzipSync(JSON.stringify({ keys: [], padding: 'x'.repeat(50_000_000) })));
      }
      if (answer === 'many') return response.end(JSON.stringify({ keys: Array(101).fill({ kty: 'RSA' }) }));
      if (answer === 'cut') {
        response.writeHead(200, { 'content-length': 1_000 });
        return response.write('{"keys"', () => response.destroy());
      }
      if (answer === 'slow') return void response.write('{"keys":');
      if (answer === 'silent') return undefined;
      const keys = await Promise.all(
        published.map(async ({ publicKey, kid, alg }) => ({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' })),
      );
      response.setHeader('content-type', 'application/json');
      return response.end(JSON.stringify({ keys: [...keys, ...extra] }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    settings = { ...base, key: { jwksUrl: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`) } };
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  it.each(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])('take %s, and fetch the keys once', async (alg) => {
    published = [await newKey(alg, 'one')];
    fetches = 0;
    const authenticator = createAuthenticator(settings, ownTokens, () => new Date());
    for (let again = 0; again < 3; again++) {
      const viewer = await authenticator({ authorization: `Bearer ${await signWith(published[0]!)}` });
      expect(viewer).toMatchObject({ organizationId: 'acme', subject: 'ada' });
    }
    expect(fetches).toBe(1);
  });

  // The issuer publishes the new key before it signs with it, and drops the old one after the last token has expired.
  it('follow the issuer’s rotation', async () => {
    const [old, next] = [await newKey('ES256', 'old'), await newKey('ES256', 'next')];
    published = [old, next];
    expect(await authenticate(await signWith(old), settings)).toMatchObject({ subject: 'ada' });
    expect(await authenticate(await signWith(next), settings)).toMatchObject({ subject: 'ada' });
    published = [next];
    expect(await refusal(await signWith(old), settings)).toBe('The token is signed with a key that the issuer does not publish.');
    expect(await authenticate(await signWith(next), settings)).toMatchObject({ subject: 'ada' });
  });

  // Between two keys and no name, trying both would be guessing.
  it('refuse a token that does not say which of two keys it is signed with', async () => {
    const key = await newKey('ES256', 'one');
    published = [key, await newKey('ES256', 'two')];
    const token = await sign(claims(), key.privateKey, { alg: 'ES256' });
    expect(await refusal(token, settings)).toBe('The token does not name the issuer’s key that it is signed with.');
  });

  it('refuse a key that takes the name of a published one', async () => {
    published = [await newKey('ES256', 'one')];
    expect(await refusal(await signWith(await newKey('ES256', 'one')), settings)).toContain('The token’s signature is not valid');
  });

  // The classic confusion: what is public becomes the secret of an HMAC. Pinning by the kind of key makes it impossible.
  it('refuse their own public key as the secret of HS256', async () => {
    const key = await newKey('RS256', 'one');
    published = [key];
    const jwk = await exportJWK(key.publicKey);
    const spki = createPublicKey({ key: jwk as never, format: 'jwk' });
    for (const confused of [
      spki.export({ type: 'spki', format: 'pem' }),
      spki.export({ type: 'spki', format: 'der' }),
      spki.export({ type: 'pkcs1', format: 'pem' }),
      JSON.stringify(jwk),
    ]) {
      const head = Buffer.from(JSON.stringify({ alg: 'HS256', kid: 'one' })).toString('base64url');
      const body = Buffer.from(JSON.stringify(claims())).toString('base64url');
      const signature = createHmac('sha256', confused as Buffer)
        .update(`${head}.${body}`)
        .digest('base64url');
      expect(await refusal(`${head}.${body}.${signature}`, settings)).toBe(
        'The token is signed with an algorithm that is not accepted here.',
      );
    }
  });

  it('refuse alg none', async () => {
    expect(await refusal(new UnsecuredJWT(claims()).encode(), settings)).toMatch(/algorithm|not a JWT/);
  });

  // A key that is embedded or named in the token’s own header is the sender’s.
  it('refuse keys that the token brings along', async () => {
    published = [await newKey('ES256', 'one')];
    const own = await newKey('ES256', 'own');
    const header = { alg: 'ES256', jwk: await exportJWK(own.publicKey), jku: 'http://127.0.0.1:9/keys' };
    const token = await new SignJWT(claims()).setProtectedHeader(header as never).sign(own.privateKey);
    expect(await refusal(token, settings)).toMatch(/signature|publish/);
  });

  it('ask for the same claims as a shared secret does', async () => {
    const key = await newKey('ES256', 'one');
    published = [key];
    for (const missing of ['exp', 'sub', 'organization', 'iss', 'aud']) {
      expect(await refusal(await signWith(key, claims({ [missing]: undefined })), settings)).toContain(` ${missing} `);
    }
  });

  it('refuse a token whose key is not one that the gateway uses', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    extra = [
      { ...publicKey.export({ format: 'jwk' }), kid: 'small' },
      { kty: 'RSA', n: '%', e: 'AQAB', kid: 'broken' },
      { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA', kid: 'no point' },
      { kty: 'none' },
    ];
    const content = (kid: string) =>
      [{ alg: kid === 'no point' ? 'ES256' : 'RS256', kid }, claims()]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
    for (const kid of ['small', 'broken', 'no point']) {
      const signature = signBytes('sha256', Buffer.from(content(kid)), privateKey).toString('base64url');
      expect(await refusal(`${content(kid)}.${signature}`, settings), kid).toBe(
        'The token is signed with a key that the issuer does not publish.',
      );
    }
  });

  /** An authenticator that is kept, its clock, and what it said of failures. */
  function kept(limits: Partial<typeof issuerKeyLimits> = {}, url = (settings.key as { jwksUrl: URL }).jwksUrl) {
    const failures: string[] = [];
    const clock = { elapsed: 0 };
    const authenticator = createAuthenticator({ ...base, key: { jwksUrl: url } }, ownTokens, () => new Date(Date.now() + clock.elapsed), {
      onKeyFailure: (reason) => failures.push(reason),
      issuerKeyLimits: limits,
    });
    const taken = (token: string): Promise<string> =>
      authenticator({ authorization: `Bearer ${token}` }).then(
        () => 'taken',
        (error: unknown) =>
          error instanceof UnavailableError ? `unavailable, retry in ${error.retryAfter}` : String((error as Error).message),
      );
    return { taken, failures, clock };
  }
  const longLived = (key: Published) => signWith(key, claims({ exp: now() + 80_000 }));
  const notPublished = 'The token is signed with a key that the issuer does not publish.';

  // The token is not to blame, and nobody is charged for it.
  it.each<[Answer, string]>([
    ['error', 'the status is not 200'],
    ['garbage', 'the answer is not a JSON Web Key Set'],
    ['null', 'the answer is not a JSON Web Key Set'],
    ['no list', 'the answer is not a JSON Web Key Set'],
    ['redirect', 'the answer is a redirect'],
    ['large', 'the answer is too large'],
    ['compressed', 'the answer is too large'],
    ['many', 'the answer contains too many keys'],
    ['cut', 'the answer was cut off'],
    ['slow', 'the answer took too long'],
    ['silent', 'the answer took too long'],
  ])('are unavailable, and asked for once in a while, when the answer is: %s', async (what, reason) => {
    const key = await newKey('ES256', 'one');
    published = [key];
    answer = what;
    // The time only matters for the two that never end; with less, the others could be late on a busy machine.
    const { taken, failures, clock } = kept({ timeout: what === 'slow' || what === 'silent' ? 300 : 60_000 });
    const token = await longLived(key);
    fetches = 0;
    expect(await taken(token)).toMatch(/^unavailable, retry in [1-5]$/);
    const many = await Promise.all(Array.from({ length: 50 }, () => taken(token)));
    expect(new Set(many.map((each) => each.replace(/\d/, 'n')))).toEqual(new Set(['unavailable, retry in n']));
    expect({ fetches, failures }).toEqual({ fetches: 1, failures: [reason] });
    clock.elapsed += 5_001;
    await Promise.all(Array.from({ length: 50 }, () => taken(token)));
    expect(fetches).toBe(2);
    answer = 'keys';
    clock.elapsed += 5_001;
    expect(await taken(token)).toBe('taken');
    expect(redirected).toBe(0);
  });

  it('are unavailable when nobody listens', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const { taken, failures } = kept({}, new URL(`http://127.0.0.1:${port}/jwks.json`));
    expect(await taken(await signWith(await newKey('ES256', 'one')))).toMatch(/^unavailable/);
    expect(failures).toEqual(['there is no answer']);
  });

  it('are used for an hour while the issuer does not answer, and not longer', async () => {
    const key = await newKey('ES256', 'one');
    published = [key];
    const { taken, failures, clock } = kept();
    const token = await longLived(key);
    const unknown = await longLived(await newKey('ES256', 'two'));
    expect(await taken(token)).toBe('taken');
    answer = 'error';
    clock.elapsed = 11 * 60_000;
    expect(await taken(token)).toBe('taken');
    expect(failures).toHaveLength(1);
    // Whether this key exists, nobody can say.
    expect(await taken(unknown)).toMatch(/^unavailable/);
    clock.elapsed = 59 * 60_000;
    expect(await taken(token)).toBe('taken');
    clock.elapsed = 61 * 60_000;
    expect(await taken(token)).toMatch(/^unavailable/);
    answer = 'keys';
    clock.elapsed += 6_000;
    expect(await taken(token)).toBe('taken');
    expect(await taken(unknown)).toBe(notPublished);
  });

  it('that the issuer has withdrawn are refused when the set is ten minutes old, and a new one is taken after a pause', async () => {
    const [old, next] = [await newKey('ES256', 'old'), await newKey('ES256', 'next')];
    published = [old];
    const { taken, clock } = kept();
    const tokens = { old: await longLived(old), next: await longLived(next) };
    expect(await taken(tokens.old)).toBe('taken');
    published = [old, next];
    expect(await taken(tokens.next)).toBe(notPublished);
    clock.elapsed = 31_000;
    expect(await taken(tokens.next)).toBe('taken');
    published = [next];
    expect(await taken(tokens.old)).toBe('taken');
    clock.elapsed = 11 * 60_000;
    expect(await taken(tokens.old)).toBe(notPublished);
  });

  // Otherwise a stranger could make us send requests to the issuer, one for each of his own.
  it.each(['keys', 'error'] as const)('are not asked for more often because of key ids that nobody knows: %s', async (what) => {
    const key = await newKey('ES256', 'one');
    published = [key];
    const { taken, clock } = kept();
    expect(await taken(await longLived(key))).toBe('taken');
    const { privateKey, alg } = key;
    const strangers = await Promise.all(Array.from({ length: 200 }, (_, at) => sign(claims(), privateKey, { alg, kid: `random-${at}` })));
    answer = what;
    fetches = 0;
    await Promise.all(strangers.map(taken));
    expect(fetches).toBe(0);
    clock.elapsed = 31_000;
    for (const stranger of strangers) await taken(stranger);
    expect(fetches).toBe(1);
    expect(await taken(await longLived(key))).toBe('taken');
  });

  it('verify a token once, until the key under its name is another one', async () => {
    const [key, other] = [await newKey('ES256', 'one'), await newKey('ES256', 'one')];
    published = [key];
    const { taken, clock } = kept();
    const token = await longLived(key);
    const verify = vi.spyOn(crypto.subtle, 'verify');
    for (let again = 0; again < 3; again++) expect(await taken(token)).toBe('taken');
    expect(verify).toHaveBeenCalledTimes(1);
    published = [other];
    clock.elapsed = 11 * 60_000;
    for (let again = 0; again < 2; again++) expect(await taken(token)).toContain('The token’s signature is not valid');
    expect(await taken(await longLived(other))).toBe('taken');
    verify.mockRestore();
  });

  it('are asked for again after the clock was set back', async () => {
    const key = await newKey('ES256', 'one');
    published = [key];
    const { taken, clock } = kept();
    clock.elapsed = 10 * 365 * 86_400_000;
    expect(await taken(await signWith(key))).toBe('The token has expired.');
    clock.elapsed = 0;
    expect(await taken(await signWith(key))).toBe('taken');
  });
});

describe('at the front door', () => {
  const test = useTestGateway();
  const query = '{ integrations { totalCount } }';

  it('a JWKS endpoint that is down is a 503 that charges nobody, and is logged', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const commands: string[] = [];
    const logs: string[] = [];
    const gateway = await createGateway({
      database: { uri: test.uri, name: test.databaseName, onCommand: (name) => commands.push(name) },
      masterKeys: [test.masterKey],
      tokens: { ...base, key: { jwksUrl: new URL(`http://127.0.0.1:${port}/jwks.json`) } },
      logger: pino({}, { write: (line) => void logs.push(line) }),
      graphiql: false,
      limits: { rateLimit: 20, anonymousRateLimit: 5, maxCost: 20 },
      runsJobs: false,
    });
    try {
      const { privateKey } = await generateKeyPair('ES256');
      const authorization = `Bearer ${await sign(claims(), privateKey, { alg: 'ES256', kid: 'one' })}`;
      commands.length = 0;
      for (let again = 0; again < 30; again++) {
        const response = await gateway.fetch(
          new Request('http://gateway.test/graphql', {
            method: 'POST',
            headers: { authorization, 'content-type': 'application/json' },
            body: JSON.stringify({ query }),
          }),
        );
        expect(response.status).toBe(503);
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
        expect([...response.headers.keys()].filter((name) => name.startsWith('ratelimit'))).toEqual([]);
        const retryAfter = Number(response.headers.get('retry-after'));
        const extensions = { code: 'UNAVAILABLE', retryAfter, requestId: response.headers.get('x-request-id') };
        expect(await response.json()).toEqual({ errors: [{ message: expect.stringMatching(/keys could not be fetched/), extensions }] });
      }
      expect(commands).toEqual([]);
      expect(logs.filter((line) => line.includes('(TOKEN_JWKS_URL) could not be fetched')).length).toBeGreaterThan(0);
    } finally {
      await gateway.stop();
    }
  });

  it('a missing or bad token is a 401 that names no way but Bearer, and nothing is read', async () => {
    const good = await test.token({ organization: test.newOrganization() });
    for (const authorization of [undefined, 'Basic YTpi', 'Bearer x', `Bearer ${good}x`]) {
      const commands = await test.countCommands(async () => {
        const { status, headers, data, errors } = await test.send({ query }, authorization === undefined ? {} : { authorization });
        expect(status).toBe(401);
        expect(headers.get('www-authenticate')).toBe('Bearer');
        expect(data).toBeUndefined();
        expect(errors).toEqual([{ message: expect.any(String), extensions: { code: 'UNAUTHENTICATED' } }]);
      });
      expect(commands).toEqual([]);
    }
  });

  // Who has no token learns nothing: neither what is wrong with a document nor which types there are.
  it.each(['{ nothing }', '{', '{ __schema { types { name } } }', '{ __typename }'])('a token comes before all else: %s', async (text) => {
    const { status, errors } = await test.send({ query: text });
    expect(status).toBe(401);
    expect(errors?.map(({ extensions }) => extensions.code)).toEqual(['UNAUTHENTICATED']);
  });

  it('two requests at once keep their own organizations', async () => {
    const callers = Array.from({ length: 8 }, () => ({ organization: test.newOrganization() }));
    await Promise.all(callers.map((caller) => test.create(caller, 'Integration', { name: caller.organization })));
    const seen = await Promise.all(callers.map((caller) => test.query(caller, '{ integrations { nodes { name } } }')));
    expect(seen.map(({ integrations }) => integrations.nodes)).toEqual(callers.map(({ organization }) => [{ name: organization }]));
  });
});
