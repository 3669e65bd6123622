import { createHash, randomBytes } from 'node:crypto';
import { apiKeyText } from '../access/tokens.ts';
import { Redacted } from '../redacted.ts';

const SECRET_BYTES = 32;

/** A new API key, and the hash of its secret part, which is all that is kept. */
export function newAPIKey(organizationId: string, id: string): { readonly key: Redacted; readonly hash: string } {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { key: new Redacted(apiKeyText({ organizationId, id, secret })), hash: apiKeyHash(new Redacted(secret)) };
}

/** SHA-256 in base64url. A fast hash is enough for what has 256 random bits: nobody can try them (NIST SP 800-63B, 5.1.2.2). */
export function apiKeyHash(secret: Redacted): string {
  return createHash('sha256').update(secret.expose()).digest('base64url');
}
