import { errors, jwtVerify, SignJWT } from 'jose';
import { END_USER_TOKEN_TYPE } from '../access/tokens.ts';
import { Redacted } from '../redacted.ts';
import type { DataKey } from './seal.ts';

/** Of whom an end user's token speaks, and what it lets do. */
export interface EndUserClaims {
  readonly organizationId: string;
  readonly integrationId: string;
  readonly endUserId: string;
  readonly scopes: readonly string[];
  /** Its id, by which the audit log tells when it was made. */
  readonly jti: string;
}

/** The gateway makes these tokens for itself. */
const SELF = 'credential-gateway';

/**
 * A JSON Web Token (RFC 7519) for the browser of an end user, signed with HS256 under a key of its organization. Its type is explicit
 * (RFC 8725, section 3.11), so that it is taken for no other.
 */
export async function signEndUserToken(
  key: DataKey,
  { organizationId, integrationId, endUserId, scopes, jti }: EndUserClaims,
  issuedAt: Date,
  expiresAt: Date,
): Promise<Redacted> {
  const token = await new SignJWT({ organization: organizationId, integration: integrationId, scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256', typ: END_USER_TOKEN_TYPE, kid: key.keyId })
    .setIssuer(SELF)
    .setAudience(SELF)
    .setSubject(endUserId)
    .setJti(jti)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(key.bytes);
  return new Redacted(token);
}

/** What a token says, if it was made here for the organization and its time is not past; else undefined. */
export async function verifyEndUserToken(
  key: DataKey,
  token: Redacted,
  organizationId: string,
  currentDate: Date,
): Promise<EndUserClaims | undefined> {
  try {
    const { payload } = await jwtVerify<{ organization: string; integration: string; scope: string }>(token.expose(), key.bytes, {
      algorithms: ['HS256'],
      typ: END_USER_TOKEN_TYPE,
      issuer: SELF,
      audience: SELF,
      requiredClaims: ['exp', 'sub', 'jti'],
      currentDate,
    });
    const { sub, jti, organization, integration, scope } = payload;
    if (organization !== organizationId) return undefined;
    return { organizationId, integrationId: integration, endUserId: sub!, scopes: scope.split(' '), jti: jti! };
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}
