import { SignJWT } from 'jose';
import { Redacted } from '../redacted.ts';

/** How a signing secret is written down: as the bytes of its text, or in base64. */
export type SecretEncoding = 'utf8' | 'base64';

/**
 * A JSON Web Token (RFC 7519) of the claims, signed with HS256 (RFC 7518, section 3.2). Whoever holds it is taken for whom the claims name,
 * so it comes wrapped like any other secret.
 */
export async function sign(claims: object, plain: Redacted, encoding: SecretEncoding): Promise<Redacted> {
  const key = Buffer.from(plain.expose(), encoding);
  return new Redacted(await new SignJWT({ ...claims }).setProtectedHeader({ typ: 'JWT', alg: 'HS256' }).sign(key));
}
