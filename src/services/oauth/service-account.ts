import type { KeyFiles } from '../../key-files/index.ts';
import { assembledJwt } from '../../key-files/jwt.ts';
import { Redacted } from '../../redacted.ts';
import { TokenRequestError } from './token-request-error.ts';

/** The lifetime of an assertion in seconds. */
const ASSERTION_SECONDS = 300;

/** What the assertion of a service account says, and what signs it. */
interface ServiceAccountRequest {
  readonly audience: string;
  readonly scopes: readonly string[];
  readonly now: Date;
  readonly keyFiles: KeyFiles;
}

/**
 * Returns the assertion of a Google service account (RFC 7523, section 2.1), which its token endpoint exchanges for an access token. `keyJson` is the key
 * file. It is an error if that has no usable key.
 *
 * @throws TokenRequestError, RateLimitedError, OperationTimeoutError
 */
export async function serviceAccountAssertion(
  keyJson: Redacted,
  { audience, scopes, now, keyFiles }: ServiceAccountRequest,
): Promise<Redacted> {
  const file = JSON.parse(keyJson.expose()) as { client_email?: unknown; private_key?: unknown; private_key_id?: unknown };
  const { client_email: email, private_key_id: keyId } = file;
  const iat = Math.floor(now.getTime() / 1_000);
  const claims = { scope: scopes.join(' '), iss: email, aud: audience, iat, exp: iat + ASSERTION_SECONDS };
  const privateKey = new Redacted(String(file.private_key));
  const header = { alg: 'RS256', typ: 'JWT', ...(typeof keyId === 'string' && { kid: keyId }) } as const;
  const assertion =
    typeof email === 'string' ? await assembledJwt(header, claims, (text) => keyFiles.sign('RS256', privateKey, text)) : undefined;
  if (assertion === undefined) throw new TokenRequestError('invalid_private_key', true, false);
  return new Redacted(assertion);
}
