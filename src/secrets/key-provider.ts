import { createHash } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';

/** Names one data key: whose it is, and which. The wrapped key's header carries it, so that a wrapped key cannot be moved. */
export interface DataKeyPlace {
  readonly organizationId: string;
  readonly keyId: string;
}

/** Holds the master keys and never gives one away: it wraps and unwraps data keys. */
export interface KeyProvider {
  /** Encrypts a data key for storage. */
  wrap(dataKey: Uint8Array, place: DataKeyPlace): Promise<string>;
  /**
   * Decrypts a stored data key.
   * @throws MasterKeyError when no master key at hand opens it
   * @throws Error when it was wrapped for another place, or changed
   */
  unwrap(wrapped: string, place: DataKeyPlace): Promise<Uint8Array>;
}

/** The master key that is needed is not at hand. */
export class MasterKeyError extends Error {
  override name = 'MasterKeyError';
}

/** The length of every key here, in bytes: all algorithms are AES-256. */
export const KEY_BYTES = 32;

const algorithms = { keyManagementAlgorithms: ['A256GCMKW'], contentEncryptionAlgorithms: ['A256GCM'] };

/**
 * A provider whose master keys are bytes in this process's memory, from a file or the environment. The first wraps, all open.
 * A wrapped key is a compact JWE (RFC 7516) with A256GCMKW (RFC 7518, section 4.7) and A256GCM.
 *
 * @throws RangeError when a key is not 32 bytes, or there is none
 */
export function localKeyProvider(masterKeys: readonly Uint8Array[]): KeyProvider {
  if (masterKeys.length === 0) throw new RangeError('At least one master key is needed.');
  for (const masterKey of masterKeys) if (masterKey.length !== KEY_BYTES) throw new RangeError(`A master key is ${KEY_BYTES} bytes.`);
  const byId = new Map(masterKeys.map((masterKey) => [masterKeyId(masterKey), masterKey]));
  const [wrapping] = [...byId] as [[string, Uint8Array]];
  return {
    wrap: (dataKey, place) =>
      new CompactEncrypt(dataKey)
        .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', kid: wrapping[0], org: place.organizationId, dk: place.keyId })
        .encrypt(wrapping[1]),
    async unwrap(wrapped, place) {
      const masterKey = byId.get(decodeProtectedHeader(wrapped).kid ?? '');
      if (!masterKey) throw new MasterKeyError('the master key that wrapped the data keys is not among those given.');
      const { plaintext, protectedHeader } = await compactDecrypt(wrapped, masterKey, algorithms);
      if (protectedHeader.org !== place.organizationId || protectedHeader.dk !== place.keyId) {
        throw new Error('The wrapped data key belongs to another place.');
      }
      return plaintext;
    },
  };
}

/** A master key's name in the headers of what it wrapped: a hash, which tells nothing of 256 random bits. */
function masterKeyId(masterKey: Uint8Array): string {
  return createHash('sha256').update('credential-gateway master key').update(masterKey).digest('base64url').slice(0, 16);
}
