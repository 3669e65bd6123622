import { createHmac } from 'node:crypto';

/** Returns the signature of a text in base64url; undefined when the key cannot sign. */
export type Signer = (text: string) => Promise<string | undefined>;

/** The protected header of a token, in the order in which it is written. */
export type JwtHeader = { readonly alg: string; readonly typ?: 'JWT'; readonly kid?: string };

/**
 * Assembles a JSON Web Token (RFC 7519) in the compact form of JSON Web Signatures (RFC 7515, section 3.1). Private keys sign in worker threads
 * (`KeyFiles.sign`), so jose cannot assemble it. Returns undefined when the key cannot sign.
 */
export async function assembledJwt(header: JwtHeader, claims: object, sign: Signer): Promise<string | undefined> {
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = await sign(text);
  return signature === undefined ? undefined : `${text}.${signature}`;
}

/** Returns what signs with a shared secret: `HS256`, `HS384` or `HS512` (RFC 7518, section 3.2). */
export function sharedSecretSigner(algorithm: string, secret: Uint8Array): Signer {
  return async (text) =>
    createHmac(`sha${algorithm.slice(2)}`, secret)
      .update(text)
      .digest('base64url');
}
