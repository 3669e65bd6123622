import { CompactEncrypt, compactDecrypt, decodeProtectedHeader, errors } from 'jose';
import { UnreadableSecretError } from '../errors.ts';
import { Redacted } from '../redacted.ts';

/** The place of a sealed value. It is authenticated with the value, so that ciphertext cannot be opened in another place. */
export interface SealedPlace {
  readonly organizationId: string;
  readonly credentialId: string;
  readonly field: string;
}

/** A data key. The header of each sealed value contains its id. */
export interface DataKey {
  readonly keyId: string;
  readonly bytes: Uint8Array;
}

/** Keeps a byte order mark, which decoders drop by default, so that secrets are returned unchanged. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const algorithms = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };

/** Seals a secret. Returns a compact JWE (RFC 7516) with `dir` and A256GCM (RFC 7518), and the place in the protected header. */
export function seal(dataKey: DataKey, place: SealedPlace, plain: Redacted): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(plain.expose()))
    .setProtectedHeader({
      alg: 'dir',
      enc: 'A256GCM',
      kid: dataKey.keyId,
      org: place.organizationId,
      crd: place.credentialId,
      fld: place.field,
    })
    .encrypt(dataKey.bytes);
}

/**
 * Returns the id of the data key of a sealed value. It is not verified: use it only to find the key.
 * @throws UnreadableSecretError when the text is not a JWE
 */
export function sealingKeyId(sealed: string): string {
  try {
    return String(decodeProtectedHeader(sealed).kid);
  } catch {
    throw new UnreadableSecretError('the stored value is not a sealed value');
  }
}

/**
 * Opens a sealed value, and checks that it was sealed for this place.
 * @throws UnreadableSecretError when it was changed, moved, or sealed under another key
 */
export async function open(dataKey: DataKey, place: SealedPlace, sealed: string): Promise<Redacted> {
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(sealed, dataKey.bytes, algorithms);
    const { kid, org, crd, fld } = protectedHeader;
    if (kid !== dataKey.keyId || org !== place.organizationId || crd !== place.credentialId || fld !== place.field) {
      throw new UnreadableSecretError('it was sealed for another place');
    }
    return new Redacted(decoder.decode(plaintext));
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new UnreadableSecretError('it was changed or sealed under another key');
    throw error;
  }
}
