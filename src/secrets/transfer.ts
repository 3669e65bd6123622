import type { KeyObject } from 'node:crypto';
import { type CompactDecryptResult, CompactEncrypt, compactDecrypt, errors } from 'jose';
import { type Path, UnreadableSecretError, ValidationError } from '../errors.ts';
import { Redacted } from '../redacted.ts';

/** A key of an export: the public key of the recipient, or the private key. */
export type TransferKey = KeyObject;

/** Where a secret stands in an export. It is authenticated with the secret, so that it cannot be moved to another line. */
export interface TransferPlace {
  /** The reference of the credential in the file. */
  readonly reference: string;
  readonly field: string;
  /** A digest of what decides where and when the secret may be used. */
  readonly binding: string;
}

/** Fatal: bytes that are not UTF-8 are refused, because they would become other characters. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const keyAlgorithms = ['RSA-OAEP-256', 'ECDH-ES'];
const RSA_BITS_MIN = 2_048;
const curves = ['prime256v1', 'secp384r1', 'secp521r1'];

/**
 * Refuses a key that cannot seal or open the secrets of an export, or is too weak for it. `path` is that of the key in the input.
 * @throws ValidationError
 */
export function requireTransferKey(key: KeyObject, type: 'public' | 'private', path: Path): void {
  if (key.type === type && algorithmFor(key) !== undefined) return;
  const message = `must be the ${type} key of an RSA key pair of at least ${RSA_BITS_MIN} bits, or of one for P-256, P-384, P-521 or X25519`;
  throw new ValidationError([{ path, message }]);
}

/** Returns the algorithm of RFC 7518 that seals for a key: RSA-OAEP-256 for RSA, otherwise ECDH-ES. Undefined if there is none that is strong enough. */
function algorithmFor({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails;
  if (asymmetricKeyType === 'rsa') return modulusLength >= RSA_BITS_MIN ? 'RSA-OAEP-256' : undefined;
  return asymmetricKeyType === 'x25519' || (asymmetricKeyType === 'ec' && curves.includes(namedCurve)) ? 'ECDH-ES' : undefined;
}

/** Seals a secret for the owner of a public key. Returns a compact JWE (RFC 7516) with A256GCM, and the place in the protected header. */
export function sealForTransfer(publicKey: KeyObject, { reference, field, binding }: TransferPlace, plain: Redacted): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(plain.expose()))
    .setProtectedHeader({ alg: algorithmFor(publicKey)!, enc: 'A256GCM', ref: reference, fld: field, bnd: binding })
    .encrypt(publicKey);
}

/**
 * Opens a sealed secret of an export.
 * @throws UnreadableSecretError when it was changed, moved, or sealed for another key, its line was changed, or it is not UTF-8
 */
export async function openTransferred(privateKey: KeyObject, place: TransferPlace, sealed: string): Promise<Redacted> {
  const { plaintext, protectedHeader } = await decrypted(privateKey, sealed);
  const { ref, fld, bnd } = protectedHeader as { readonly ref?: unknown; readonly fld?: unknown; readonly bnd?: unknown };
  if (ref !== place.reference || fld !== place.field) throw new UnreadableSecretError('it was sealed for another place');
  if (bnd !== place.binding) {
    throw new UnreadableSecretError('its line was changed after the export, and says something else about where or when it may be used');
  }
  try {
    return new Redacted(decoder.decode(plaintext));
  } catch {
    throw new UnreadableSecretError('it is not UTF-8');
  }
}

async function decrypted(privateKey: KeyObject, sealed: string): Promise<CompactDecryptResult> {
  try {
    return await compactDecrypt(sealed, privateKey, {
      keyManagementAlgorithms: keyAlgorithms,
      contentEncryptionAlgorithms: ['A256GCM'],
    });
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) {
      throw new UnreadableSecretError('it was changed, or sealed for another key');
    }
    throw error;
  }
}
