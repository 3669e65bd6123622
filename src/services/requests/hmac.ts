import { createHmac } from 'node:crypto';
import type { Application } from '../../credential-kinds/apply.ts';
import type { Signing } from './index.ts';

/** Returns the HMAC (RFC 2104) over the parts of a request that it covers, one after the other. The URL is the one before the signature is added. */
export function hmacOf(
  { covers, algorithm, encoding, keyEncoding }: Extract<Application, { put: 'HMAC' }>,
  { url, parts }: Signing<'name' | 'key'>,
  body: Uint8Array,
): string {
  const hmac = createHmac(algorithm.toLowerCase(), Buffer.from(parts.key, keyEncoding));
  for (const part of covers) hmac.update(part === 'URL' ? url.href : body);
  return hmac.digest(encoding.toLowerCase() as 'hex' | 'base64' | 'base64url');
}
