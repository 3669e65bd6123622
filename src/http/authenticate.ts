import { hash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, type JWTHeaderParameters, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { type APIKeyParts, END_USER_TOKEN_TYPE, parseAPIKey } from '../access/tokens.ts';
import { isSubject, organizationPattern, type Viewer } from '../access/viewer.ts';
import { UnauthenticatedError } from '../errors.ts';
import { TOKEN_LIFETIME_SECONDS } from '../limits.ts';
import { Redacted } from '../redacted.ts';
import { createIssuerKeys, type issuerKeyLimits } from './issuer-keys.ts';
import type { Guard } from './limits/guesses.ts';
import type { RequestHeaders } from './request.ts';

/** How tokens of the issuer are verified. */
export interface TokenSettings {
  /** `iss` must be this. */
  readonly issuer: string;
  /** `aud` must contain this. */
  readonly audience: string;
  /** The claim that names the organization. */
  readonly organizationClaim: string;
  /**
   * The claim that lists the scopes. By default `scope` (RFC 8693, section 4.2), and in a token without it `scp`, as Okta and Microsoft Entra ID
   * name it.
   */
  readonly scopeClaim?: string;
  /** The header `typ` must be this, in any case, with or without `application/` (RFC 7515, section 4.1.9). If undefined, every type is accepted. */
  readonly typ?: string | undefined;
  /** The longest accepted lifetime, in seconds. One day by default. */
  readonly maxLifetimeSeconds?: number;
  /** The issuer's public keys (RFC 7517), or a shared secret of at least 32 bytes. */
  readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array };
}

/** Returns the viewer of a request, from its headers. The guard decides whether the database is asked about a token of the gateway itself. */
export type Authenticator = (headers: RequestHeaders, guard?: Guard) => Promise<Viewer>;

/** The gateway's own checks: of the tokens that it issues itself, and of what is revoked. */
export interface OwnTokens {
  /** Checks the viewer of a valid token of the issuer. @throws UnauthenticatedError when the token is revoked */
  readonly issued: (viewer: Viewer) => Viewer;
  readonly apiKey: (key: APIKeyParts) => Promise<Viewer>;
  readonly endUser: (presented: { readonly organizationId: string; readonly keyId: string; readonly token: Redacted }) => Promise<Viewer>;
}

/** The tolerated difference between the issuer's clock and ours, in seconds. */
const CLOCK_TOLERANCE_SECONDS = 5;
/** The name of the claim that lists the scopes, and the name that it has instead at some issuers. */
const DEFAULT_SCOPE_CLAIM = 'scope';
const OTHER_SCOPE_CLAIM = 'scp';
/** How many verified tokens are kept in memory, and how long each may be: together about 20 MB. */
const KEPT_TOKENS_MAX = 5_000;
const KEPT_TOKEN_MAX_LENGTH = 4_096;
const UNUSABLE_KEY = 'The issuer’s key that the token names cannot be used.';
const SHARED_SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'];
const PUBLIC_KEY_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

export interface AuthenticatorOptions {
  /** Called with the reason when the issuer's keys could not be fetched. */
  readonly onKeyFailure?: (reason: string) => void;
  readonly issuerKeyLimits?: Partial<typeof issuerKeyLimits>;
}

/**
 * Creates the function that authenticates requests. A request presents a bearer token (RFC 6750) that is a JWT (RFC 7519) of the issuer or
 * of an end user, or an API key, as a bearer token or as the password of HTTP Basic (RFC 7617). `now` is the gateway's clock, which also
 * decides when everything else expires.
 */
export function createAuthenticator(
  settings: TokenSettings,
  own: OwnTokens,
  now: () => Date,
  options: AuthenticatorOptions = {},
): Authenticator {
  const issued = issuedTokens(settings, now, options);
  /** Returns the viewer of a token, unless it is revoked. Only a token that is accepted is kept. */
  const accept = (token: string, verified: Verified): Viewer => {
    try {
      const viewer = own.issued(verified.viewer);
      issued.keep(token, verified);
      return viewer;
    } catch (error) {
      issued.drop(token);
      throw error;
    }
  };
  return async (headers, guard = (_token, check) => check()) => {
    const token = presented(headers);
    const apiKey = parseAPIKey(token);
    if (apiKey) return guard(token, () => own.apiKey(apiKey));
    const known = await issued.verifiedBefore(token);
    if (known) return accept(token, known);
    const endUser = endUserToken(token);
    return endUser ? guard(token, () => own.endUser(endUser)) : accept(token, await issued.verify(token));
  };
}

/** @throws UnauthenticatedError when the request presents nothing that can be a token */
function presented(headers: RequestHeaders): string {
  const authorization = headers.authorization ?? '';
  // Some clients name the scheme after the token: JWT. Between the scheme and the token there can be several spaces (RFC 9110, section 11.4).
  const [, token] = /^(?:Bearer|JWT) +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization) ?? [];
  if (token) return token;
  const [, basic] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  if (!basic) throw new UnauthenticatedError('A bearer token or an API key is required: Authorization: Bearer <token>.');
  // A browser sends saved Basic credentials automatically, whichever page causes the request.
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
    throw new UnauthenticatedError('Basic authentication is not accepted from browsers. Use Authorization: Bearer <token>.');
  }
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? [];
  if (!password || !parseAPIKey(password))
    throw new UnauthenticatedError('With Basic authentication, the password must be an API key; the user name can be any text.');
  return password;
}

/** Returns the parts of an end user's token that are needed to find its key; undefined if the token has another type. Verifies nothing. */
function endUserToken(token: string) {
  try {
    const { typ, kid } = decodeProtectedHeader(token);
    if (typ !== END_USER_TOKEN_TYPE || typeof kid !== 'string') return undefined;
    const { organization } = decodeJwt(token);
    if (typeof organization !== 'string') return undefined;
    return { organizationId: organization, keyId: kid, token: new Redacted(token) };
  } catch {
    return undefined;
  }
}

/** What was found out about a token when its signature was verified, and does not change. */
interface Verified {
  readonly header: JWTHeaderParameters;
  /** The key that the signature was verified with. */
  readonly key: unknown;
  readonly times: Pick<JWTPayload, 'exp' | 'nbf' | 'iat'>;
  readonly viewer: Viewer;
}

/**
 * Verifies tokens of the issuer. The key, never the token, decides which algorithms are accepted. `exp` and `sub` are required, as jose accepts tokens
 * without them.
 *
 * Signatures of the tokens that were used last are verified once. Whatever can change is checked each time: the clock, and which key the issuer
 * publishes under the name in the header. A new set of keys consists of new objects, so every token is then verified again. Tokens are kept by their
 * hash.
 */
function issuedTokens(
  {
    issuer,
    audience,
    organizationClaim,
    scopeClaim = DEFAULT_SCOPE_CLAIM,
    typ,
    maxLifetimeSeconds = TOKEN_LIFETIME_SECONDS,
    key,
  }: TokenSettings,
  now: () => Date,
  { onKeyFailure = () => {}, issuerKeyLimits: limits }: AuthenticatorOptions,
) {
  const settings = {
    issuer,
    audience,
    ...(typ !== undefined && { typ }),
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
    requiredClaims: ['exp', 'sub', organizationClaim],
    algorithms: 'secret' in key ? SHARED_SECRET_ALGORITHMS : PUBLIC_KEY_ALGORITHMS,
  };
  const findKey =
    'jwksUrl' in key ? createIssuerKeys({ url: key.jwksUrl, now, onFailure: onKeyFailure, ...(limits && { limits }) }) : undefined;
  const kept = new LRUCache<string, Verified>({ max: KEPT_TOKENS_MAX });
  const nameOf = (token: string) => hash('sha256', token, 'base64url');
  const keyFor: JWTVerifyGetKey = 'secret' in key ? () => key.secret : findKey!;

  /** @throws UnauthenticatedError in the place of jose's errors */
  async function translating<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new UnauthenticatedError(reason(error));
      // jose and WebCrypto reject a published key that is malformed or too small in this way.
      if (findKey && (error instanceof TypeError || error instanceof DOMException)) throw new UnauthenticatedError(UNUSABLE_KEY);
      throw error;
    }
  }

  return {
    /** Verifies a token. @throws UnauthenticatedError, UnavailableError */
    verify: (token: string): Promise<Verified> =>
      translating(async () => {
        const currentDate = now();
        let used: unknown;
        const findUsed: JWTVerifyGetKey = async (header, jws) => {
          const found = await keyFor(header, jws);
          used = found;
          return found;
        };
        const { payload, protectedHeader } = await jwtVerify(token, findUsed, { ...settings, currentDate });
        checkLifetime(payload, currentDate, maxLifetimeSeconds);
        const { exp, nbf, iat } = payload;
        return { header: protectedHeader, key: used, times: { exp, nbf, iat }, viewer: viewerOf(payload, organizationClaim, scopeClaim) };
      }),

    /**
     * Returns what was found out about a token before, if all of it still holds. Otherwise the token must be verified again, which also tells why it
     * is refused.
     *
     * @throws UnauthenticatedError, UnavailableError
     */
    async verifiedBefore(token: string): Promise<Verified | undefined> {
      const name = nameOf(token);
      const known = kept.get(name);
      if (!known) return undefined;
      const currentDate = now();
      if (!isCurrent(known.times, currentDate)) {
        kept.delete(name);
        return undefined;
      }
      if (findKey) {
        // Only the header decides which key that is.
        const current = await translating(async () => findKey(known.header, { payload: '', signature: '' }));
        if (current !== known.key) return undefined;
      }
      checkLifetime(known.times, currentDate, maxLifetimeSeconds);
      return known;
    },

    keep(token: string, verified: Verified): void {
      if (token.length <= KEPT_TOKEN_MAX_LENGTH) kept.set(nameOf(token), verified);
    },

    drop(token: string): void {
      kept.delete(nameOf(token));
    },
  };
}

/** Returns whether a token is valid at a time, by RFC 7519, sections 4.1.4 and 4.1.5. */
function isCurrent({ exp, nbf }: Verified['times'], currentDate: Date): boolean {
  const now = Math.floor(currentDate.getTime() / 1_000);
  return exp! > now - CLOCK_TOLERANCE_SECONDS && (nbf === undefined || nbf <= now + CLOCK_TOLERANCE_SECONDS);
}

/**
 * Checks that a token was issued, and is not valid for longer than is accepted: a stolen token, or one that the issuer made by mistake, must end.
 * Without `iat`, the rest of its lifetime counts. Numbers in JSON can be infinite (1e999): such a lifetime is too long.
 */
function checkLifetime({ iat, exp }: Verified['times'], currentDate: Date, maxSeconds: number): void {
  const now = Math.floor(currentDate.getTime() / 1_000);
  if (iat !== undefined && !(iat <= now + CLOCK_TOLERANCE_SECONDS)) throw new UnauthenticatedError(wrongClaim('iat'));
  const lifetime = exp! - (iat ?? now + CLOCK_TOLERANCE_SECONDS);
  if (!(lifetime <= maxSeconds)) {
    throw new UnauthenticatedError(
      'The token is valid for longer than the gateway accepts. The setting TOKEN_MAX_LIFETIME_SECONDS is the maximum.',
    );
  }
}

function viewerOf(claims: JWTPayload, organizationClaim: string, scopeClaim: string): Viewer {
  const organizationId = claims[organizationClaim];
  if (typeof organizationId !== 'string' || !organizationPattern.test(organizationId)) {
    throw new UnauthenticatedError(`The token's claim ${organizationClaim} is not a valid name of an organization.`);
  }
  // `requiredClaims` checks only that the claim exists.
  if (typeof claims.sub !== 'string' || !isSubject(claims.sub)) throw new UnauthenticatedError(wrongClaim('sub'));
  const scopes = scopesIn(claims, scopeClaim);
  return {
    organizationId,
    kind: 'token',
    subject: claims.sub,
    scopes,
    ...(claims.iat !== undefined && { issuedAt: secondsAsDate(claims.iat) }),
  };
}

/**
 * Returns the scopes of a token: a text with scopes separated by spaces (RFC 8693, section 4.2), or a list of them. Only one claim counts: a claim
 * that was not configured can mean something else, and must not add scopes.
 */
function scopesIn(claims: JWTPayload, scopeClaim: string): Set<string> {
  const isDefault = scopeClaim === DEFAULT_SCOPE_CLAIM && claims[DEFAULT_SCOPE_CLAIM] === undefined;
  const given = claims[isDefault ? OTHER_SCOPE_CLAIM : scopeClaim];
  const scopes: unknown[] = Array.isArray(given) ? given : typeof given === 'string' ? given.split(' ') : [];
  return new Set(scopes.filter((each): each is string => typeof each === 'string' && each !== ''));
}

/** Returns a time in seconds since 1970 (RFC 7519, NumericDate) as a date. It is invalid if the value is not a number in range. */
function secondsAsDate(seconds: unknown): Date {
  return new Date(typeof seconds === 'number' ? seconds * 1_000 : Number.NaN);
}

/** Returns why a token is rejected, in a message that repeats no part of it. */
function reason(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired.';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'typ' ? 'The token’s header typ is missing or does not have the expected value.' : wrongClaim(error.claim);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return 'The token’s signature is not valid: it was made with another key than the one of this gateway (TOKEN_SECRET, TOKEN_JWKS_URL or, for a development token, that of the DATA_DIR).';
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'The token is signed with an algorithm that is not accepted here.';
  if (error instanceof errors.JWKSNoMatchingKey) return 'The token is signed with a key that the issuer does not publish.';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'The token does not name the issuer’s key that it is signed with.';
  if (error instanceof errors.JWKInvalid || error instanceof errors.JWKSInvalid) return UNUSABLE_KEY;
  return 'The token is not a JWT.';
}

function wrongClaim(name: string): string {
  return `The token's claim ${name} is missing or does not have the expected value.`;
}
