import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { organizationPattern, type Viewer } from '../access/viewer.ts';
import { UnauthenticatedError } from '../errors.ts';

/** How tokens are checked: which they must be, and with what. */
export interface TokenSettings {
  /** `iss` must be this. */
  readonly issuer: string;
  /** `aud` must hold this. */
  readonly audience: string;
  /** The claim that names the organization. */
  readonly organizationClaim: string;
  /** The issuer's public keys (RFC 7517), or a shared secret of at least 32 bytes. */
  readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array };
}

/** Makes the viewer of a request from its headers. */
export type Authenticator = (headers: Headers) => Promise<Viewer>;

/** Difference between the issuer's clock and ours that is let pass, in seconds. */
const CLOCK_TOLERANCE_SECONDS = 5;
const SHARED_SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'];
const PUBLIC_KEY_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/**
 * Checks bearer tokens (RFC 6750) that are JWTs (RFC 7519). Which algorithms are taken follows from the key, never from the token.
 * `exp` and `sub` are required: jose by itself takes a token without them. `now` is the gateway's clock, by which everything else expires too.
 */
export function createAuthenticator({ issuer, audience, organizationClaim, key }: TokenSettings, now: () => Date): Authenticator {
  const settings = {
    issuer,
    audience,
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
    requiredClaims: ['exp', 'sub', organizationClaim],
    algorithms: 'secret' in key ? SHARED_SECRET_ALGORITHMS : PUBLIC_KEY_ALGORITHMS,
  };
  const jwks = 'jwksUrl' in key ? publishedKeys(key.jwksUrl) : undefined;
  const verify = (token: string) => {
    const options = { ...settings, currentDate: now() };
    return 'secret' in key ? jwtVerify(token, key.secret, options) : jwtVerify(token, jwks!, options);
  };

  return async (headers) => {
    const [, token] = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(headers.get('authorization') ?? '') ?? [];
    if (!token) throw new UnauthenticatedError('A bearer token is needed: Authorization: Bearer <token>.');
    try {
      return viewerOf((await verify(token)).payload, organizationClaim);
    } catch (error) {
      throw error instanceof errors.JOSEError ? new UnauthenticatedError(reason(error)) : error;
    }
  };
}

/** The issuer's keys. That they cannot be had is not the token's fault, and is told apart from it. */
function publishedKeys(url: URL): JWTVerifyGetKey {
  const jwks = createRemoteJWKSet(url);
  return async (header, token) => {
    try {
      return await jwks(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      throw new UnauthenticatedError('The issuer’s keys could not be fetched.');
    }
  };
}

function viewerOf(claims: JWTPayload, organizationClaim: string): Viewer {
  const organizationId = claims[organizationClaim];
  if (typeof organizationId !== 'string' || !organizationPattern.test(organizationId)) {
    throw new UnauthenticatedError(`The token's claim ${organizationClaim} is not the name of an organization.`);
  }
  // `requiredClaims` asks that it is there, not what it is.
  if (typeof claims.sub !== 'string' || claims.sub === '') throw new UnauthenticatedError(wrongClaim('sub'));
  // RFC 8693, section 4.2: a list of scopes separated by spaces. Some issuers send an array.
  const scope = Array.isArray(claims.scope) ? claims.scope : typeof claims.scope === 'string' ? claims.scope.split(' ') : [];
  return { organizationId, subject: claims.sub, scopes: new Set(scope.filter((each) => typeof each === 'string' && each !== '')) };
}

/** Why a token is refused, in words that do not repeat any of it. */
function reason(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired.';
  if (error instanceof errors.JWTClaimValidationFailed) return wrongClaim(error.claim);
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'The token’s signature is not valid.';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'The token is signed with an algorithm that is not accepted here.';
  if (error instanceof errors.JWKSNoMatchingKey) return 'The token is signed with a key that its issuer does not publish.';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'The token does not say which of its issuer’s keys it is signed with.';
  return 'The token is not a JWT.';
}

function wrongClaim(name: string): string {
  return `The token's claim ${name} is missing or not the one expected.`;
}
