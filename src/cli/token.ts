import { SignJWT } from 'jose';
import { grantableScopes } from '../access/scopes.ts';
import { type Config, ConfigError } from '../config/index.ts';
import { requireOrganizationName } from './organization.ts';

/** The lifetime of a development token in seconds: twelve hours, unless the longest accepted lifetime is shorter. */
export const TOKEN_SECONDS = 12 * 60 * 60;

/**
 * Creates a development token.
 * @throws ConfigError when the name of the organization is invalid, or a scope is unknown
 */
export function developmentToken(config: Config, secret: Uint8Array, organization: string, scopes: readonly string[]): Promise<string> {
  requireOrganizationName(organization);
  const unknown = scopes.filter((scope) => !grantableScopes.includes(scope));
  if (unknown.length > 0) throw new ConfigError(`Unknown scope: ${unknown.join(', ')}. The scopes are: ${grantableScopes.join(', ')}.`);
  const { issuer, audience, organizationClaim, scopeClaim, typ = 'JWT', maxLifetimeSeconds } = config.tokens;
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ [organizationClaim]: organization, [scopeClaim]: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256', typ })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('developer')
    .setIssuedAt(now)
    .setExpirationTime(now + Math.min(TOKEN_SECONDS, maxLifetimeSeconds))
    .sign(secret);
}
