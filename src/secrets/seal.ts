import { randomBytes } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader, errors } from 'jose';
import { UnreadableSecretError } from '../errors.ts';
import { Redacted } from '../redacted.ts';

/** The place of a sealed value. It is authenticated with the value, so that ciphertext cannot be opened in another place. */
export interface SealedPlace {
  readonly organizationId: string;
  readonly integrationId: string;
  /** The end user that the credential belongs to, or null. */
  readonly endUserId: string | null;
  readonly credentialId: string;
  readonly field: string;
  /** Changes each time the secret is set. The record of the credential contains the current one, so an earlier value does not open. */
  readonly generation: string;
}

/** Where a sealed value is stored. */
export type StoredPlace = Pick<SealedPlace, 'organizationId' | 'credentialId' | 'field'>;

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
      ...headerOf(place),
    })
    .encrypt(dataKey.bytes);
}

function headerOf(place: SealedPlace) {
  return {
    org: place.organizationId,
    int: place.integrationId,
    usr: place.endUserId,
    crd: place.credentialId,
    fld: place.field,
    gen: place.generation,
  };
}

/** Returns a new generation: 96 random bits. */
export function newGeneration(): string {
  return randomBytes(12).toString('base64url');
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

function isSealedFor(place: SealedPlace, header: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(headerOf(place)).every(([name, value]) => header[name] === value);
}

/**
 * Opens a sealed value, and checks that it was sealed for this place, and in this generation.
 * @throws UnreadableSecretError when it was changed, moved, replaced, or sealed under another key
 */
export async function open(dataKey: DataKey, place: SealedPlace, sealed: string): Promise<Redacted> {
  const { plain, header } = await decrypt(dataKey, sealed);
  if (!isSealedFor(place, header)) throw new UnreadableSecretError('it was sealed for another place, or has been replaced since');
  return plain;
}

/**
 * Opens a value in order to seal it again under another key. Returns the place and the generation that its header names, whatever they are: so
 * this needs no record, and a value that cannot be opened before cannot be opened after. `stored` is where it is stored.
 *
 * @throws UnreadableSecretError when it was changed, moved to another credential, or sealed under another key
 */
export async function openToReseal(
  dataKey: DataKey,
  stored: StoredPlace,
  sealed: string,
): Promise<{ place: SealedPlace; plain: Redacted }> {
  const { plain, header } = await decrypt(dataKey, sealed);
  const { int, usr, gen } = header as Readonly<Record<string, never>>;
  const place: SealedPlace = { ...stored, integrationId: int!, endUserId: usr!, generation: gen! };
  if (!isSealedFor(place, header)) throw new UnreadableSecretError('it was sealed for another place');
  return { place, plain };
}

/**
 * Opens a value whose header contains only the organization, the credential and the field, as it was sealed by versions that did not know
 * generations. Only the migration uses it.
 *
 * @throws UnreadableSecretError
 */
export async function openUnbound(
  dataKey: DataKey,
  { organizationId, credentialId, field }: StoredPlace,
  sealed: string,
): Promise<Redacted> {
  const { plain, header } = await decrypt(dataKey, sealed);
  const { org, crd, fld, gen } = header;
  if (org !== organizationId || crd !== credentialId || fld !== field || gen !== undefined) {
    throw new UnreadableSecretError('it was sealed for another place');
  }
  return plain;
}

/** Decrypts a sealed value. Its header is authenticated, but the caller must check what it says. @throws UnreadableSecretError */
async function decrypt(dataKey: DataKey, sealed: string) {
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(sealed, dataKey.bytes, algorithms);
    if (protectedHeader.kid !== dataKey.keyId) throw new UnreadableSecretError('it was sealed for another place');
    return { plain: new Redacted(decoder.decode(plaintext)), header: protectedHeader as Readonly<Record<string, unknown>> };
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new UnreadableSecretError('it was changed or sealed under another key');
    throw error;
  }
}
