import { createDecipheriv, randomBytes } from 'node:crypto';
import { CompactEncrypt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { UnreadableSecretError } from '../../src/errors.ts';
import { Redacted } from '../../src/redacted.ts';
import { type DataKey, open, type SealedPlace, seal, sealingKeyId } from '../../src/secrets/seal.ts';
import { rfc7516A1, rfc7520Section56 } from './vectors.ts';

const key: DataKey = { keyId: 'key-1', bytes: randomBytes(32) };
const place: SealedPlace = {
  organizationId: 'acme',
  integrationId: '0123456789abcdef0123456a',
  endUserId: '0123456789abcdef0123456b',
  credentialId: '0123456789abcdef01234567',
  field: 'password',
  generation: 'AAAAAAAAAAAAAAAA',
};
const plain = 'correct horse battery staple';
const sealed = await seal(key, place, new Redacted(plain));
const parts = sealed.split('.') as [string, string, string, string, string];

/** Every way of not opening is the one error that says so, and says nothing of what is sealed. */
async function refuses(text: string, why: RegExp, from: { key?: DataKey; place?: SealedPlace } = {}): Promise<void> {
  const error: unknown = await open(from.key ?? key, from.place ?? place, text).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UnreadableSecretError);
  expect((error as UnreadableSecretError).code).toBe('UNREADABLE_SECRET');
  expect((error as UnreadableSecretError).message).toMatch(why);
  expect((error as UnreadableSecretError).message).not.toContain(plain);
}

/** A sealed value with any header, under the right key: what only who holds the key could make. */
function sealedWith(header: Record<string, unknown>, bytes: Uint8Array = key.bytes): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(plain)).setProtectedHeader(header as never).encrypt(bytes);
}

describe('what is sealed', () => {
  // "Kept exactly as given": a byte order mark is part of a text, too.
  it.each([
    ['nothing', ''],
    ['one letter', 'a'],
    ['spaces and line breaks', ' \t a\r\n\n'],
    ['a byte order mark first', '\ufeffafter the mark'],
    ['a null character', 'a\u0000b'],
    ['characters of all planes', 'žluťoučký 🐎 \u{10ffff}'],
    ['the longest secret', 'x'.repeat(65_536)],
    ['what looks like a sealed value', sealed],
    ['random bytes, in base64', randomBytes(4_096).toString('base64')],
  ])('comes back as it was: %s', async (_, text) => {
    expect((await open(key, place, await seal(key, place, new Redacted(text)))).expose()).toBe(text);
  });

  it('is a Redacted again when it is opened', async () => {
    expect(await open(key, place, sealed)).toBeInstanceOf(Redacted);
  });

  // Equal secrets must not be told from their ciphertext, and a nonce is never used twice.
  it('is never the same twice', async () => {
    const many = await Promise.all(Array.from({ length: 50 }, () => seal(key, place, new Redacted(plain))));
    expect(new Set(many.map((text) => text.split('.')[2])).size).toBe(50);
    expect(new Set(many.map((text) => text.split('.')[3])).size).toBe(50);
  });

  it('names its key, place and algorithms in the header, and nothing else', () => {
    expect(JSON.parse(Buffer.from(parts[0], 'base64url').toString())).toEqual({
      alg: 'dir',
      enc: 'A256GCM',
      kid: key.keyId,
      org: place.organizationId,
      int: place.integrationId,
      usr: place.endUserId,
      crd: place.credentialId,
      fld: place.field,
      gen: place.generation,
    });
    expect(sealingKeyId(sealed)).toBe(key.keyId);
  });

  // RFC 7516, section 5: an independent reading of the format, itself held to the vector of appendix A.1.
  it('is what RFC 7516 says: another implementation opens it', () => {
    expect(decrypt(rfc7516A1.contentEncryptionKey, rfc7516A1.jwe)).toBe(rfc7516A1.plaintext);
    expect(parts[1]).toBe('');
    expect(decrypt(key.bytes, sealed)).toBe(plain);
  });
});

describe('a sealed value does not open', () => {
  it('under another key', () => refuses(sealed, /changed or sealed under another key/, { key: { ...key, bytes: randomBytes(32) } }));

  // The bytes are right and the name is not: a key that was swapped in the database.
  it('under the right bytes by the name of another key', () => refuses(sealed, /another place/, { key: { ...key, keyId: 'key-2' } }));

  it.each(Object.keys(place) as (keyof SealedPlace)[])('in another place, or replaced since: %s', (part) =>
    refuses(sealed, /another place/, { place: { ...place, [part]: `${place[part]}x` } }),
  );

  it('for an end user when the credential belongs to none, and the other way round', async () => {
    await refuses(sealed, /another place/, { place: { ...place, endUserId: null } });
    const shared = await seal(key, { ...place, endUserId: null }, new Redacted(plain));
    await refuses(shared, /another place/);
    expect((await open(key, { ...place, endUserId: null }, shared)).expose()).toBe(plain);
  });

  it('with a header that says nothing of the place', async () => {
    await refuses(await sealedWith({ alg: 'dir', enc: 'A256GCM', kid: key.keyId }), /another place/);
  });

  // Every bit of every part: the header is authenticated, the nonce, ciphertext and tag are too.
  it('with any bit flipped', async () => {
    for (const [index, part] of parts.entries()) {
      const bytes = Buffer.from(part, 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit += index === 0 ? 7 : 1) {
        const changed = Buffer.from(bytes);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        await refuses(parts.with(index, changed.toString('base64url')).join('.'), /changed|another/);
      }
    }
  });

  it('with a character of its text changed', async () => {
    for (let at = 0; at < sealed.length; at++) {
      const other = sealed[at] === 'A' ? 'g' : 'A';
      if (other === sealed[at] || isPadding(at)) continue;
      await refuses(sealed.slice(0, at) + other + sealed.slice(at + 1), /changed|another/);
    }
  });

  it('cut short, at any length', async () => {
    for (let length = 0; length < sealed.length; length++) await refuses(sealed.slice(0, length), /changed|another/);
  });

  it('with parts added, dropped or taken from another value', async () => {
    const other = (await seal(key, { ...place, field: 'token' }, new Redacted('other'))).split('.');
    await refuses(`${sealed}.`, /changed/);
    await refuses(parts.slice(0, 4).join('.'), /changed/);
    await refuses(parts.with(1, 'AAAA').join('.'), /changed/);
    for (const index of [0, 2, 3, 4]) await refuses(parts.with(index, other[index]!).join('.'), /changed|another/);
  });

  const header = { alg: 'dir', enc: 'A256GCM', kid: key.keyId, ...decodeProtectedHeader(sealed) };
  it.each<[string, Record<string, unknown>, number]>([
    ['a key wrap in place of dir', { ...header, alg: 'A256KW' }, 32],
    ['GCM key wrap in place of dir', { ...header, alg: 'A256GCMKW' }, 32],
    ['A128GCM', { ...header, enc: 'A128GCM' }, 16],
    ['A192GCM', { ...header, enc: 'A192GCM' }, 24],
    ['A256CBC-HS512', { ...header, enc: 'A256CBC-HS512' }, 64],
  ])('by another algorithm, even when made for this place: %s', async (_, other, length) => {
    const bytes = length === 32 ? key.bytes : randomBytes(length);
    await refuses(await sealedWith(other, bytes), /changed or sealed under another key/, { key: { ...key, bytes } });
  });

  // RFC 7520, section 5.6: a value of the same form that others made.
  it('by another algorithm: the published example with A128GCM', () =>
    refuses(rfc7520Section56.jwe, /changed/, { key: { keyId: rfc7520Section56.kid, bytes: rfc7520Section56.key } }));

  it.each(['', 'plain text', '....', 'a.b.c.d.e', '{}', `${parts[0]}....`])('when it is none: %s', (text) => refuses(text, /changed/));

  it.each(['', 'plain text', '.', '!.!', 'W10.a.b.c.d'])('and no key is looked up for what is none: %s', (text) => {
    expect(() => sealingKeyId(text)).toThrow(UnreadableSecretError);
  });
});

/** Whether the character at that index is the last of a part, some bits of which base64url does not use. */
function isPadding(at: number): boolean {
  return at === sealed.length - 1 || sealed[at] === '.' || sealed[at + 1] === '.';
}

function decrypt(contentEncryptionKey: Uint8Array, jwe: string): string {
  const [header, , iv, ciphertext, tag] = jwe.split('.') as [string, string, string, string, string];
  const decipher = createDecipheriv('aes-256-gcm', contentEncryptionKey, Buffer.from(iv, 'base64url'));
  decipher.setAAD(Buffer.from(header, 'ascii'));
  decipher.setAuthTag(Buffer.from(tag, 'base64url'));
  return Buffer.concat([decipher.update(Buffer.from(ciphertext, 'base64url')), decipher.final()]).toString();
}
