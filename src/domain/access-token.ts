import type { Redacted } from '../redacted.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { DomainContext } from './context.ts';

/** A token that authenticates requests to a service. */
export interface AccessToken {
  readonly token: Redacted;
  /** The scheme before the token in the Authorization header. */
  readonly tokenType: string;
  readonly expiresAt: Date | null;
}

/** A credential from which access tokens come, and how. */
export interface TokenSource {
  readonly credential: CredentialRecord;
  /** The auth scheme of the binding. Null if the kind of the credential decides. */
  readonly scheme: AuthScheme | null;
}

/**
 * Returns an access token that is valid now: the stored one, or one that is obtained or refreshed for this. To be completed: this first form knows
 * stored tokens only.
 */
export async function accessToken({ store }: DomainContext, { credential }: TokenSource): Promise<AccessToken> {
  const { tokenType, accessTokenExpiresAt } = credential.settings as { tokenType?: string; accessTokenExpiresAt?: Date };
  return {
    token: await store.secrets.open(credential, 'accessToken'),
    tokenType: tokenType ?? 'Bearer',
    expiresAt: accessTokenExpiresAt ?? null,
  };
}

/**
 * Returns another token after the service has refused this one (401). Null if there is no other. To be completed.
 */
export async function anotherAccessToken(_context: DomainContext, _source: TokenSource, _refused: Redacted): Promise<AccessToken | null> {
  return null;
}
