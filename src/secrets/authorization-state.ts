import { createHash, randomBytes } from 'node:crypto';
import { Redacted } from '../redacted.ts';

/** The secrets of an authorization that was started: the verifier (RFC 7636), and the nonce of an ID token. */
export interface AuthorizationSecrets {
  readonly codeVerifier: Redacted;
  readonly nonce: Redacted;
}

/** 256 random bits, in base64url: as many as RFC 7636, section 7.1, recommends for a verifier. */
export function randomText(): Redacted {
  return new Redacted(randomBytes(32).toString('base64url'));
}

function plain(value: Redacted): string {
  return value.expose();
}

/** Returns the SHA-256 of a state in base64url. Only this is stored. A fast hash is enough for 256 random bits. */
export function hashOfState(state: Redacted): string {
  return createHash('sha256').update(plain(state)).digest('base64url');
}

/** Returns the details and the secrets of an authorization as one text, to be sealed. */
export function packed(details: object, { codeVerifier, nonce }: AuthorizationSecrets): Redacted {
  return new Redacted(JSON.stringify({ details, codeVerifier: plain(codeVerifier), nonce: plain(nonce) }));
}

/** Returns what `packed` was given. */
export function unpacked<Details extends object>(text: Redacted): { readonly details: Details; readonly secrets: AuthorizationSecrets } {
  const { details, codeVerifier, nonce } = JSON.parse(plain(text));
  return { details, secrets: { codeVerifier: new Redacted(codeVerifier), nonce: new Redacted(nonce) } };
}
