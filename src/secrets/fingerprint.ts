import { createHmac } from 'node:crypto';
import type { Redacted } from '../redacted.ts';

/**
 * 128 bits of HMAC-SHA-256 (RFC 2104) of a secret under a key of the organization's own, base64url: equal for equal secrets of one
 * organization, unrelated between organizations. It finds duplicates and tells whether a rotation took.
 */
export function fingerprint(fingerprintKey: Uint8Array, plain: Redacted): string {
  return createHmac('sha256', fingerprintKey).update(plain.expose()).digest().subarray(0, 16).toString('base64url');
}
