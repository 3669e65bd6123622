import { createHmac, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Viewer } from '../../src/access/viewer.ts';
import { UnauthenticatedError } from '../../src/errors.ts';
import { createAuthenticator, type TokenSettings } from '../../src/http/authenticate.ts';
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
  header: { alg: string; kid?: string } = { alg: 'HS256' },
) {
  return new SignJWT(payload).setProtectedHeader(header).sign(key);
}
function authenticate(token: string, settings: TokenSettings = withSecret): Promise<Viewer> {
  return createAuthenticator(settings, ownTokens, () => new Date())(new Headers({ authorization: `Bearer ${token}` }));
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

describe('the header', () => {
  const authenticator = createAuthenticator(withSecret, ownTokens, () => new Date());
  it.each([
    ['none', undefined],
    ['empty', ''],
    ['a bare token', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'],
    ['Bearer without a token', 'Bearer '],
    ['two tokens', 'Bearer a b'],
    ['a token with what no token has', 'Bearer a"b'],
  ])('is refused: %s', async (_, authorization) => {
    const headers = new Headers(authorization === undefined ? {} : { authorization });
    await expect(authenticator(headers)).rejects.toThrow('A bearer token or an API key is required: Authorization: Bearer <token>.');
  });

  // RFC 9110, section 11.1: the scheme’s case does not matter.
  it.each(['Bearer', 'bearer', 'BEARER'])('takes the scheme in any case: %s', async (scheme) => {
    const headers = new Headers({ authorization: `${scheme} ${await sign(claims())}` });
    expect(await authenticator(headers)).toMatchObject({ organizationId: 'acme', subject: 'ada' });
  });

  it.each(['a', 'a.b', 'a.b.c', '...', 'eyJhbGciOiJIUzI1NiJ9.e30', 'W10.W10.W10'])(
    'is refused when the token is no JWT: %s',
    async (token) => {
      expect(await refusal(token)).toBe('The token is not a JWT.');
    },
  );
});

describe('the claims', () => {
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
  ])('are refused: %s', async (_, changed, message) => {
    expect(await refusal(await sign(claims(changed)))).toBe(message);
  });

  it.each<[string, Record<string, unknown>]>([
    ['one of several audiences', { aud: ['other', base.audience] }],
    ['expired within the tolerance of five seconds', { exp: now() - 2 }],
    ['valid in a moment, within the tolerance', { nbf: now() + 2 }],
  ])('are taken: %s', async (_, changed) => {
    expect(await authenticate(await sign(claims(changed)))).toMatchObject({ organizationId: 'acme' });
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
    expect([...(await authenticate(await sign(claims({ scope })))).scopes]).toEqual(expected);
  });
});

describe('a shared secret', () => {
  it.each(['HS256', 'HS384', 'HS512'])('takes %s', async (alg) => {
    expect(await authenticate(await sign(claims(), secret, { alg }))).toMatchObject({ organizationId: 'acme' });
  });

  it('refuses a token under another secret, and one that was changed', async () => {
    expect(await refusal(await sign(claims(), randomBytes(64)))).toBe('The token’s signature is not valid.');
    const [header, , signature] = (await sign(claims())).split('.');
    const changed = Buffer.from(JSON.stringify(claims({ organization: 'other' }))).toString('base64url');
    expect(await refusal(`${header}.${changed}.${signature}`)).toBe('The token’s signature is not valid.');
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
  let answer: 'keys' | 'error' | 'garbage' = 'keys';
  let fetches = 0;

  async function newKey(alg: string, kid: string): Promise<Published> {
    return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
  }
  const signWith = ({ privateKey, alg, kid }: Published, payload = claims()) => sign(payload, privateKey, { alg, kid });

  beforeAll(async () => {
    server = createServer(async (_request, response) => {
      fetches++;
      if (answer === 'error') return response.writeHead(500).end();
      if (answer === 'garbage') return response.end('<html>');
      const keys = await Promise.all(
        published.map(async ({ publicKey, kid, alg }) => ({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' })),
      );
      response.setHeader('content-type', 'application/json');
      return response.end(JSON.stringify({ keys }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    settings = { ...base, key: { jwksUrl: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`) } };
  });
  afterAll(() => void server.close());

  it.each(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])('take %s, and fetch the keys once', async (alg) => {
    published = [await newKey(alg, 'one')];
    fetches = 0;
    const authenticator = createAuthenticator(settings, ownTokens, () => new Date());
    for (let again = 0; again < 3; again++) {
      const viewer = await authenticator(new Headers({ authorization: `Bearer ${await signWith(published[0]!)}` }));
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
    expect(await refusal(await signWith(await newKey('ES256', 'one')), settings)).toBe('The token’s signature is not valid.');
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

  // Nobody gets in while the keys cannot be had, and the reason is not put on the token.
  it.each(['error', 'garbage'] as const)('let nobody in when they cannot be had: %s', async (what) => {
    const key = await newKey('ES256', 'one');
    published = [key];
    answer = what;
    try {
      expect(await refusal(await signWith(key), settings)).toBe('The issuer’s keys could not be fetched.');
    } finally {
      answer = 'keys';
    }
  });

  it('let nobody in when the issuer does not answer', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const key = await newKey('ES256', 'one');
    const unreachable: TokenSettings = { ...base, key: { jwksUrl: new URL(`http://127.0.0.1:${port}/jwks.json`) } };
    expect(await refusal(await signWith(key), unreachable)).toBe('The issuer’s keys could not be fetched.');
  });
});

describe('at the front door', () => {
  const test = useTestGateway();
  const query = '{ integrations { totalCount } }';

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
