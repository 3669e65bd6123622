import { createDecipheriv, randomBytes } from 'node:crypto';
import { CompactEncrypt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { type DataKeyPlace, localKeyProvider } from '../../src/secrets/key-provider.ts';
import { rfc7520Section57 } from './vectors.ts';

const first = randomBytes(32);
const second = randomBytes(32);
const dataKey = randomBytes(32);
const place: DataKeyPlace = { organizationId: 'acme', keyId: '0123456789abcdef01234567', purpose: 'seal' };
const wrapped = await localKeyProvider([first]).wrap(dataKey, place);

const unwrap = (text: string, masterKeys: readonly Uint8Array[] = [first], from = place) => localKeyProvider(masterKeys).unwrap(text, from);

describe('master keys', () => {
  it('wrap, and unwrap what they wrapped', async () => {
    expect(Buffer.from(await unwrap(wrapped))).toEqual(dataKey);
  });

  // Rotation is a list: the new key goes first, the old ones stay until nothing is wrapped under them.
  it('the first wraps, and all open', async () => {
    const rotated = localKeyProvider([second, first]);
    expect(Buffer.from(await rotated.unwrap(wrapped, place))).toEqual(dataKey);
    const anew = await rotated.wrap(dataKey, place);
    expect(Buffer.from(await unwrap(anew, [second]))).toEqual(dataKey);
    await expect(unwrap(anew, [first])).rejects.toThrow(/master key that wrapped .* is not configured/);
  });

  it('given twice count once', async () => {
    expect(Buffer.from(await unwrap(wrapped, [second, first, first]))).toEqual(dataKey);
  });

  it.each([
    ['no key', []],
    ['16 bytes', [randomBytes(16)]],
    ['31 bytes', [randomBytes(31)]],
    ['33 bytes', [first, randomBytes(33)]],
    ['no bytes', [new Uint8Array()]],
  ])('are refused: %s', (_, keys) => {
    expect(() => localKeyProvider(keys)).toThrow(RangeError);
  });

  it('are not told by their names, nor by anything that is wrapped', async () => {
    expect(decodeProtectedHeader(wrapped)).toMatchObject({ alg: 'A256GCMKW', enc: 'A256GCM', org: 'acme', dk: place.keyId, use: 'seal' });
    const all = Buffer.from(
      wrapped
        .split('.')
        .map((part) => Buffer.from(part, 'base64url').toString('latin1'))
        .join(''),
      'latin1',
    );
    for (const key of [first, dataKey]) {
      expect(all.includes(key)).toBe(false);
      expect(wrapped).not.toContain(Buffer.from(key).toString('base64url').slice(0, 20));
    }
  });
});

describe('a wrapped key does not open', () => {
  it.each([
    ['organization', { ...place, organizationId: 'other' }],
    ['key id', { ...place, keyId: '0123456789abcdef01234568' }],
    ['purpose', { ...place, purpose: 'records' }],
    ['without a purpose', { ...place, purpose: null }],
  ])('in another place: %s', async (_, from) => {
    await expect(unwrap(wrapped, [first], from)).rejects.toThrow('The wrapped data key belongs to another place.');
  });

  it('under another master key', async () => {
    await expect(unwrap(wrapped, [second])).rejects.toThrow('is not configured');
  });

  // The name of the master key is a hint, which an attacker may write; the bytes decide.
  it('under another master key that has taken its name', async () => {
    const { kid } = decodeProtectedHeader(wrapped);
    const forged = await new CompactEncrypt(dataKey)
      .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', kid, org: place.organizationId, dk: place.keyId, use: place.purpose })
      .encrypt(second);
    await expect(unwrap(forged)).rejects.toThrow('decryption operation failed');
  });

  it('with any bit flipped', async () => {
    const parts = wrapped.split('.');
    for (const [index, part] of parts.entries()) {
      const bytes = Buffer.from(part, 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit += 5) {
        const changed = Buffer.from(bytes);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        await expect(unwrap(parts.with(index, changed.toString('base64url')).join('.'))).rejects.toThrow();
      }
    }
  });

  it('cut short, at any length', async () => {
    for (let length = 0; length < wrapped.length; length++) await expect(unwrap(wrapped.slice(0, length))).rejects.toThrow();
  });

  // What opens it must be what wrapped it: `dir` would take the master key itself as the content's key.
  it.each([
    ['dir', { alg: 'dir', enc: 'A256GCM' }],
    ['A256KW', { alg: 'A256KW', enc: 'A256GCM' }],
    ['A256CBC-HS512', { alg: 'A256GCMKW', enc: 'A256CBC-HS512' }],
  ])('by another algorithm, even when made for this place: %s', async (_, algorithms) => {
    const { kid } = decodeProtectedHeader(wrapped);
    const other = await new CompactEncrypt(dataKey)
      .setProtectedHeader({ ...algorithms, kid, org: place.organizationId, dk: place.keyId, use: place.purpose })
      .encrypt(first);
    await expect(unwrap(other)).rejects.toThrow('not allowed');
  });
});

// RFC 7518, section 4.7: an independent reading of A256GCMKW, itself held to the example of RFC 7520, section 5.7.
it('wraps as RFC 7518 says: another implementation unwraps it', () => {
  const { masterKey, iv, tag, encryptedKey, contentEncryptionKey } = rfc7520Section57;
  expect(decrypt(masterKey, iv, tag, encryptedKey)).toEqual(Buffer.from(contentEncryptionKey));
  const { iv: ownIv, tag: ownTag } = decodeProtectedHeader(wrapped) as { iv: string; tag: string };
  const [header, key, contentIv, ciphertext, contentTag] = wrapped.split('.').map((part) => Buffer.from(part, 'base64url'));
  const inner = decrypt(first, Buffer.from(ownIv, 'base64url'), Buffer.from(ownTag, 'base64url'), key!);
  expect(decrypt(inner, contentIv!, contentTag!, ciphertext!, Buffer.from(header!.toString('base64url')))).toEqual(dataKey);
});

function decrypt(key: Uint8Array, iv: Uint8Array, tag: Uint8Array, ciphertext: Uint8Array, authenticated?: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, iv);
  if (authenticated) decipher.setAAD(authenticated);
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}
