import { createHash } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';

/** Names one data key: whose it is, and which. The wrapped key's header carries it, so that a wrapped key cannot be moved. */
export interface DataKeyPlace {
  readonly organizationId: string;
  readonly keyId: string;
}

/** Holds the master keys and never gives one away: it wraps and unwraps data keys. */
export interface KeyProvider {
  /** Encrypts a data key for storage, under the first master key. */
  wrap(dataKey: Uint8Array, place: DataKeyPlace): Promise<string>;
  /**
   * Decrypts a stored data key.
   * @throws MasterKeyError when no master key at hand opens it
   * @throws Error when it was wrapped for another place, or changed
   */
  unwrap(wrapped: string, place: DataKeyPlace): Promise<Uint8Array>;
  /** Whether the first master key wrapped it, so that it need not be wrapped again. */
  isUnderFirst(wrapped: string): boolean;
}

/** One master key, in this process's memory or elsewhere. */
export interface MasterKey extends Omit<KeyProvider, 'isUnderFirst'> {
  /** Whether what is wrapped says that this key wrapped it. Never throws. */
  owns(wrapped: string): boolean;
}

/** The master key that is needed is not at hand. */
export class MasterKeyError extends Error {
  override name = 'MasterKeyError';
}

/** The master key is elsewhere, and does not answer at the moment: what failed may succeed later. */
export class MasterKeyUnavailableError extends MasterKeyError {
  override name = 'MasterKeyUnavailableError';
}

/** The length of every key here, in bytes: all algorithms are AES-256. */
export const KEY_BYTES = 32;

const algorithms = { keyManagementAlgorithms: ['A256GCMKW'], contentEncryptionAlgorithms: ['A256GCM'] };

/** A provider of several master keys, wherever they are: the first wraps, all open. @throws RangeError when there is none */
export function keyProvider(masterKeys: readonly MasterKey[]): KeyProvider {
  const [first] = masterKeys;
  if (!first) throw new RangeError('At least one master key is needed.');
  return {
    wrap: first.wrap,
    isUnderFirst: first.owns,
    async unwrap(wrapped, place) {
      const owner = masterKeys.find((masterKey) => masterKey.owns(wrapped));
      if (!owner) throw new MasterKeyError('the master key that wrapped the data keys is not among those given.');
      return owner.unwrap(wrapped, place);
    },
  };
}

/** A provider whose master keys are bytes in this process's memory. @throws RangeError when a key is not 32 bytes, or there is none */
export function localKeyProvider(masterKeys: readonly Uint8Array[]): KeyProvider {
  return keyProvider(masterKeys.map(localMasterKey));
}

/**
 * A master key whose bytes are in this process's memory, from a file or the environment. What it wraps is a compact JWE (RFC 7516) with
 * A256GCMKW (RFC 7518, section 4.7) and A256GCM.
 *
 * @throws RangeError when the key is not 32 bytes
 */
export function localMasterKey(masterKey: Uint8Array): MasterKey {
  if (masterKey.length !== KEY_BYTES) throw new RangeError(`A master key is ${KEY_BYTES} bytes.`);
  const kid = masterKeyId(masterKey);
  return {
    owns: (wrapped) => keyIdOf(wrapped) === kid,
    wrap: (dataKey, place) =>
      new CompactEncrypt(dataKey)
        .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', kid, org: place.organizationId, dk: place.keyId })
        .encrypt(masterKey),
    async unwrap(wrapped, place) {
      const { plaintext, protectedHeader } = await compactDecrypt(wrapped, masterKey, algorithms);
      if (protectedHeader.org !== place.organizationId || protectedHeader.dk !== place.keyId) {
        throw new Error('The wrapped data key belongs to another place.');
      }
      return plaintext;
    },
  };
}

/** The master key that a header names. A hint: only opening proves it. */
function keyIdOf(wrapped: string): string | undefined {
  try {
    return decodeProtectedHeader(wrapped).kid;
  } catch {
    return undefined;
  }
}

/** A master key's name in the headers of what it wrapped: a hash, which tells nothing of 256 random bits. */
function masterKeyId(masterKey: Uint8Array): string {
  return createHash('sha256').update('credential-gateway master key').update(masterKey).digest('base64url').slice(0, 16);
}
