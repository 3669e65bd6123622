import { createHmac } from 'node:crypto';
import type { Redacted } from '../redacted.ts';

/**
 * Returns 128 bits of the HMAC-SHA-256 (RFC 2104) of a secret under a key of the organization, in base64url. Equal secrets of one
 * organization have equal fingerprints; fingerprints of different organizations are unrelated. Fingerprints show duplicates, and whether a
 * secret changed.
 */
export function fingerprint(fingerprintKey: Uint8Array, plain: Redacted): string {
  return createHmac('sha256', fingerprintKey).update(plain.expose()).digest().subarray(0, 16).toString('base64url');
}
