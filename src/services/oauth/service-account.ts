import { SignJWT } from 'jose';
import { Redacted } from '../../redacted.ts';
import { storedPrivateKey } from './private-key.ts';
import { TokenRequestError } from './token-request-error.ts';

/** The lifetime of an assertion in seconds. */
const ASSERTION_SECONDS = 300;

/**
 * Returns the assertion of a Google service account (RFC 7523, section 2.1), which its token endpoint exchanges for an access token. `keyJson` is the key
 * file. It is an error if that has no usable key.
 *
 * @throws TokenRequestError
 */
export async function serviceAccountAssertion(
  keyJson: Redacted,
  { audience, scopes, now }: { readonly audience: string; readonly scopes: readonly string[]; readonly now: Date },
): Promise<Redacted> {
  const file = JSON.parse(keyJson.expose()) as { client_email?: unknown; private_key?: unknown; private_key_id?: unknown };
  const key = storedPrivateKey(String(file.private_key));
  const { client_email: email, private_key_id: keyId } = file;
  if (typeof email !== 'string' || key?.asymmetricKeyType !== 'rsa') throw new TokenRequestError('invalid_private_key', true, false);
  const issuedAt = Math.floor(now.getTime() / 1_000);
  const assertion = await new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(typeof keyId === 'string' && { kid: keyId }) })
    .setIssuer(email)
    .setAudience(audience)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ASSERTION_SECONDS)
    .sign(key);
  return new Redacted(assertion);
}
