import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { type EndUserClaims, signEndUserToken, type VerifiedEndUserClaims, verifyEndUserToken } from '../secrets/end-user-token.ts';
import { translatingErrors } from './database.ts';
import { type Extent, isWithin, refuseBeyond } from './extent.ts';
import type { KeyHolder } from './keyring.ts';

/** Tokens for end users. They are signed and short-lived, and not stored. */
export function endUserTokenStore(extent: Extent, { keys }: KeyHolder) {
  const { organizationId } = extent;
  return translatingErrors({
    async sign(claims: Omit<EndUserClaims, 'organizationId'>, issuedAt: Date, expiresAt: Date): Promise<Redacted> {
      refuseBeyond(extent, claims);
      return signEndUserToken(await keys.token(), { ...claims, organizationId }, issuedAt, expiresAt);
    },
    /** Returns the claims of a token. Undefined if it is not signed with the organization's key of this id, or has expired. */
    async verify(keyId: string, token: Redacted, now: Date): Promise<VerifiedEndUserClaims | undefined> {
      try {
        const claims = await verifyEndUserToken(await keys.byId(keyId, 'token'), token, organizationId, now);
        return claims && isWithin(extent, claims) ? claims : undefined;
      } catch (error) {
        if (error instanceof UnreadableSecretError) return undefined;
        throw error;
      }
    },
  });
}
