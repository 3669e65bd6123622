import { createHash, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Redacted } from '../../src/redacted.ts';
import { fingerprint } from '../../src/secrets/fingerprint.ts';

const of = (key: Uint8Array, text: string) => fingerprint(key, new Redacted(text));
const acme = randomBytes(32);
const other = randomBytes(32);

it('is equal for equal secrets of one organization, and differs for any two others', () => {
  const texts = ['', 'a', 'b', 'password', 'Password', 'password ', 'x'.repeat(65_536), 'x'.repeat(65_535), '\u00e9', 'e\u0301'];
  const prints = texts.map((text) => of(acme, text));
  expect(texts.map((text) => of(acme, text))).toEqual(prints);
  expect(new Set(prints).size).toBe(texts.length);
});

// Else two organizations could find out that they use the same password.
it('differs between organizations', () => {
  expect(of(acme, 'password')).not.toBe(of(other, 'password'));
});

it('is 128 bits, base64url, and nothing that somebody without the key could compute', () => {
  expect(of(acme, 'password')).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(of(acme, 'password')).not.toBe(createHash('sha256').update('password').digest().subarray(0, 16).toString('base64url'));
});

// RFC 4231, test case 2: HMAC-SHA-256, of which the first half is kept.
it('is HMAC-SHA-256, as published', () => {
  const expected = Buffer.from('5bdcc146bf60754e6a042426089575c7', 'hex').toString('base64url');
  expect(of(Buffer.from('Jefe'), 'what do ya want for nothing?')).toBe(expected);
});
