import { createHmac, hkdfSync } from 'node:crypto';
import { Redacted } from '../redacted.ts';

/** What is hashed: the key of a caller, or its request. */
type Hashed = 'key' | 'request';

/**
 * Returns the HMAC-SHA-256 (RFC 2104) of a text in base64url, under a key that is derived from the organization's key for fingerprints (HKDF, RFC
 * 5869), so that no hash is a fingerprint. What callers send must not be found by trying out texts.
 */
export function idempotencyHash(fingerprintKey: Uint8Array, hashed: Hashed, text: string): string {
  const key = new Uint8Array(hkdfSync('sha256', fingerprintKey, '', `idempotency ${hashed}`, 32));
  return createHmac('sha256', key).update(text).digest('base64url');
}

/** Returns what is kept of an operation as one text, to be sealed: answers hold personal data. */
export function packedAnswer(kept: object): Redacted {
  return new Redacted(JSON.stringify(kept));
}

/** Returns what `packedAnswer` was given. */
export function unpackedAnswer<Kept extends object>(text: Redacted): Kept {
  return JSON.parse(text.expose());
}
