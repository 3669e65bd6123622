import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errors } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createIssuerKeys } from '../../src/http/issuer-keys.ts';
import { allowedKey } from '../../src/http/public-keys.ts';

const jwkOf = (type: string, options: object = {}): JsonWebKey =>
  generateKeyPairSync(type as 'rsa', options as { modulusLength: number }).publicKey.export({ format: 'jwk' });
const odd = (bits: number) => {
  const bytes = Buffer.alloc(Math.ceil(bits / 8), 0xff);
  bytes[0] = 0xff >> ((8 - (bits % 8)) % 8);
  return bytes.toString('base64url');
};
const even = Buffer.from([...Buffer.alloc(255, 0xff), 0xfe]).toString('base64url');

describe('a key of the issuer', () => {
  it.each([
    ['RSA', jwkOf('rsa', { modulusLength: 2048 })],
    ['P-256', jwkOf('ec', { namedCurve: 'P-256' })],
    ['P-384', jwkOf('ec', { namedCurve: 'P-384' })],
    ['P-521', jwkOf('ec', { namedCurve: 'P-521' })],
    ['Ed25519', jwkOf('ed25519')],
    ['Ed448', jwkOf('ed448')],
  ])('is taken when it is %s, without what verifying does not need', (_, jwk) => {
    const known = { ...jwk, kid: '1', alg: 'ES256', use: 'sig' };
    expect(allowedKey({ ...known, x5c: ['MII'], d: 'secret', oth: [] })).toEqual({ ...known, key_ops: undefined });
  });

  const rsa = { kty: 'RSA', n: odd(2048), e: 'AQAB' };
  const ec = jwkOf('ec', { namedCurve: 'P-256' });
  it.each<[string, unknown]>([
    ['a huge modulus', { ...rsa, n: odd(16_384) }],
    ['a small modulus', { ...rsa, n: odd(1024) }],
    [
      'a modulus that is small but for its zeros',
      { ...rsa, n: Buffer.concat([Buffer.alloc(200), Buffer.alloc(100, 0xff)]).toString('base64url') },
    ],
    ['an even modulus', { ...rsa, n: even }],
    ['a huge exponent', { ...rsa, e: odd(2047) }],
    ['the exponent 1', { ...rsa, e: 'AQ' }],
    ['an even exponent', { ...rsa, e: 'BA' }],
    ['no exponent', { ...rsa, e: undefined }],
    ['a number in other letters', { ...rsa, n: `${odd(2048)}=` }],
    ['another curve', { ...ec, crv: 'secp256k1' }],
    ['a curve from the prototype', { ...ec, crv: 'constructor' }],
    ['a long coordinate', { ...ec, x: odd(8_000) }],
    ['no coordinate', { ...ec, y: undefined }],
    ['a curve of another type', { ...ec, kty: 'OKP' }],
    ['a shared secret', { kty: 'oct', k: 'AQAB' }],
    ['no object', 'RSA'],
    ['null', null],
  ])('is left out when it has %s', (_, jwk) => {
    expect(allowedKey(jwk)).toBeUndefined();
  });
});

describe('the issuer’s answer', () => {
  let server: Server;
  let url: string;
  let body = '';
  beforeAll(async () => {
    server = createServer((_request, response) => void response.end(body)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => void server.close());

  it('keeps its allowed keys, and no others', async () => {
    const good = { ...jwkOf('ed25519'), kid: 'good' };
    body = JSON.stringify({ keys: [{ kty: 'RSA', n: odd(16_384), e: 'AQAB', kid: 'large' }, good] });
    const find = createIssuerKeys({ url: new URL(url), onFailure: () => {}, now: () => new Date() });
    const token = { payload: '', signature: '' };
    expect(await find({ alg: 'EdDSA', kid: 'good' }, token)).toMatchObject({ type: 'public' });
    await expect(find({ alg: 'RS256', kid: 'large' }, token)).rejects.toThrow(errors.JWKSNoMatchingKey);
  });
});
