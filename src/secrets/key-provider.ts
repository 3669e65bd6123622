import { createHash } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';

/**
 * Identifies a data key, and what it is for. The header of the wrapped key contains it, so that a wrapped key cannot be used for another
 * organization, under another id, or for another purpose.
 */
export interface DataKeyPlace {
  readonly organizationId: string;
  readonly keyId: string;
  /** Null for keys that were wrapped before the header contained the purpose. Only the migration unwraps such keys. */
  readonly purpose: string | null;
}

/** Wraps and unwraps data keys with the master keys, and never exposes these. */
export interface KeyProvider {
  /** Encrypts a data key for storage, under the first master key. */
  wrap(dataKey: Uint8Array, place: DataKeyPlace): Promise<string>;
  /**
   * Decrypts a stored data key.
   * @throws MasterKeyError when no available master key can unwrap it
   * @throws Error when it was wrapped for another place or changed
   */
  unwrap(wrapped: string, place: DataKeyPlace): Promise<Uint8Array>;
  /** Returns whether the first master key wrapped it, so that it need not be wrapped again. */
  isUnderFirst(wrapped: string): boolean;
}

/** A master key, in the memory of this process or elsewhere. */
export interface MasterKey extends Omit<KeyProvider, 'isUnderFirst'> {
  /** Returns whether a wrapped key claims to be wrapped by this master key. Never throws. */
  owns(wrapped: string): boolean;
}

/** The required master key is not available. */
export class MasterKeyError extends Error {
  override name = 'MasterKeyError';
}

/** The service that holds the master key is temporarily unavailable. The same call may succeed later. */
export class MasterKeyUnavailableError extends MasterKeyError {
  override name = 'MasterKeyUnavailableError';
}

/** The length of every key here, in bytes: all algorithms are AES-256. */
export const KEY_BYTES = 32;

const algorithms = { keyManagementAlgorithms: ['A256GCMKW'], contentEncryptionAlgorithms: ['A256GCM'] };

/** Returns a provider for several master keys: the first one wraps, all of them unwrap. @throws RangeError when there is none */
export function keyProvider(masterKeys: readonly MasterKey[]): KeyProvider {
  const [first] = masterKeys;
  if (!first) throw new RangeError('At least one master key is required.');
  return {
    wrap: first.wrap,
    isUnderFirst: first.owns,
    async unwrap(wrapped, place) {
      const owner = masterKeys.find((masterKey) => masterKey.owns(wrapped));
      if (!owner) throw new MasterKeyError('the master key that wrapped the data keys is not configured.');
      return owner.unwrap(wrapped, place);
    },
  };
}

/**
 * Returns a provider whose master keys are in the memory of this process. @throws RangeError when a key is not 32 bytes, or there is none
 */
export function localKeyProvider(masterKeys: readonly Uint8Array[]): KeyProvider {
  return keyProvider(masterKeys.map(localMasterKey));
}

/**
 * Returns a master key whose bytes are in the memory of this process, from a file or the environment. A wrapped key is a compact JWE (RFC
 * 7516) with A256GCMKW (RFC 7518, section 4.7) and A256GCM.
 *
 * @throws RangeError when the key is not 32 bytes
 */
export function localMasterKey(masterKey: Uint8Array): MasterKey {
  if (masterKey.length !== KEY_BYTES) throw new RangeError(`A master key must be ${KEY_BYTES} bytes.`);
  const kid = masterKeyId(masterKey);
  return {
    owns: (wrapped) => keyIdOf(wrapped) === kid,
    wrap: (dataKey, place) =>
      new CompactEncrypt(dataKey)
        .setProtectedHeader({
          alg: 'A256GCMKW',
          enc: 'A256GCM',
          kid,
          org: place.organizationId,
          dk: place.keyId,
          ...(place.purpose !== null && { use: place.purpose }),
        })
        .encrypt(masterKey),
    async unwrap(wrapped, place) {
      const { plaintext, protectedHeader } = await compactDecrypt(wrapped, masterKey, algorithms);
      const { org, dk, use = null } = protectedHeader;
      if (org !== place.organizationId || dk !== place.keyId || use !== place.purpose) {
        throw new Error('The wrapped data key belongs to another place.');
      }
      return plaintext;
    },
  };
}

/** Returns the id of the master key that a header names. It is not verified until the key is unwrapped. */
function keyIdOf(wrapped: string): string | undefined {
  try {
    return decodeProtectedHeader(wrapped).kid;
  } catch {
    return undefined;
  }
}

/** Returns the id of a master key in the headers of wrapped keys. It is a hash, which reveals nothing about 256 random bits. */
function masterKeyId(masterKey: Uint8Array): string {
  return createHash('sha256').update('credential-gateway master key').update(masterKey).digest('base64url').slice(0, 16);
}
