import { assembledJwt, sharedSecretSigner } from '../key-files/jwt.ts';
import { Redacted } from '../redacted.ts';

/** The encoding of a signing secret: UTF-8 text or base64. */
export type SecretEncoding = 'utf8' | 'base64';

/**
 * Creates a JSON Web Token (RFC 7519) with the claims, signed with HS256 (RFC 7518, section 3.2). Its holder can sign in as the user whom
 * the claims name, so it is returned as a secret.
 */
export async function sign(claims: object, plain: Redacted, encoding: SecretEncoding): Promise<Redacted> {
  const key = Buffer.from(plain.expose(), encoding);
  return new Redacted((await assembledJwt({ typ: 'JWT', alg: 'HS256' }, claims, sharedSecretSigner('HS256', key)))!);
}
