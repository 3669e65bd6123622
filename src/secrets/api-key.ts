import { createHash, randomBytes } from 'node:crypto';
import { apiKeyText } from '../access/tokens.ts';
import { Redacted } from '../redacted.ts';

const SECRET_BYTES = 32;

/** Creates an API key, and the hash of its secret part. Only the hash is stored. */
export function newAPIKey(organizationId: string, id: string): { readonly key: Redacted; readonly hash: string } {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { key: new Redacted(apiKeyText({ organizationId, id, secret })), hash: apiKeyHash(new Redacted(secret)) };
}

/** Returns the SHA-256 in base64url. A fast hash is enough: 256 random bits cannot be guessed (NIST SP 800-63B, 5.1.2.2). */
export function apiKeyHash(secret: Redacted): string {
  return createHash('sha256').update(secret.expose()).digest('base64url');
}
