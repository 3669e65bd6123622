import { errors, jwtVerify, SignJWT } from 'jose';
import { END_USER_TOKEN_TYPE } from '../access/tokens.ts';
import { Redacted } from '../redacted.ts';
import type { DataKey } from './seal.ts';

/** The claims of an end user's token. */
export interface EndUserClaims {
  readonly organizationId: string;
  readonly integrationId: string;
  readonly endUserId: string;
  readonly scopes: readonly string[];
  /** The id of the token. The audit log contains it. */
  readonly jti: string;
}

/** The claims of a verified token, with the time when it was issued. */
export interface VerifiedEndUserClaims extends EndUserClaims {
  readonly issuedAt: Date;
}

/** The gateway is both the issuer and the audience of these tokens. */
const SELF = 'credential-gateway';

/**
 * Creates a JSON Web Token (RFC 7519) for the browser of an end user, signed with HS256 and a key of the organization. Its explicit type
 * (RFC 8725, section 3.11) distinguishes it from all other tokens.
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

/** Returns the claims of a token, or undefined unless the gateway issued it for this organization and it has not expired. */
export async function verifyEndUserToken(
  key: DataKey,
  token: Redacted,
  organizationId: string,
  currentDate: Date,
): Promise<VerifiedEndUserClaims | undefined> {
  try {
    const { payload } = await jwtVerify<{ organization: string; integration: string; scope: string }>(token.expose(), key.bytes, {
      algorithms: ['HS256'],
      typ: END_USER_TOKEN_TYPE,
      issuer: SELF,
      audience: SELF,
      requiredClaims: ['exp', 'iat', 'sub', 'jti'],
      currentDate,
    });
    const { sub, jti, iat, organization, integration, scope } = payload;
    if (organization !== organizationId) return undefined;
    const issuedAt = new Date(iat! * 1_000);
    return { organizationId, integrationId: integration, endUserId: sub!, scopes: scope.split(' '), jti: jti!, issuedAt };
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}
