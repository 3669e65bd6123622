import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { type EndUserClaims, signEndUserToken, verifyEndUserToken } from '../secrets/end-user-token.ts';
import { translatingErrors } from './database.ts';
import type { Keyring } from './keyring.ts';

/** Tokens for end users. They are not kept: what they say is signed, and short-lived. */
export function endUserTokenStore(keyring: Keyring) {
  return translatingErrors({
    async sign(organizationId: string, claims: Omit<EndUserClaims, 'organizationId'>, issuedAt: Date, expiresAt: Date): Promise<Redacted> {
      return signEndUserToken(await keyring.tokenKey(organizationId), { ...claims, organizationId }, issuedAt, expiresAt);
    },
    /** What a token says that names one of the organization's keys; undefined when it was not signed with it, or its time is past. */
    async verify(organizationId: string, keyId: string, token: Redacted, now: Date): Promise<EndUserClaims | undefined> {
      try {
        return await verifyEndUserToken(await keyring.byId(organizationId, keyId, 'token'), token, organizationId, now);
      } catch (error) {
        if (error instanceof UnreadableSecretError) return undefined;
        throw error;
      }
    },
  });
}
