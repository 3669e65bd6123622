import { SignJWT } from 'jose';
import { grantableScopes } from '../access/scopes.ts';
import { organizationPattern } from '../access/viewer.ts';
import { type Config, ConfigError } from '../config.ts';

/** How long a development token is good for, in seconds: twelve hours. */
export const TOKEN_SECONDS = 12 * 60 * 60;

/**
 * A development token.
 * @throws ConfigError when the organization's name or a scope is not one
 */
export function developmentToken(config: Config, secret: Uint8Array, organization: string, scopes: readonly string[]): Promise<string> {
  if (!organizationPattern.test(organization)) {
    throw new ConfigError(
      'An organization is called by 1 to 64 letters, digits, dots, dashes or underscores, and begins with a letter or digit.',
    );
  }
  const unknown = scopes.filter((scope) => !grantableScopes.includes(scope));
  if (unknown.length > 0) throw new ConfigError(`There is no such scope: ${unknown.join(', ')}. There are: ${grantableScopes.join(', ')}.`);
  const { issuer, audience, organizationClaim } = config.tokens;
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ [organizationClaim]: organization, scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('developer')
    .setIssuedAt(now)
    .setExpirationTime(now + TOKEN_SECONDS)
    .sign(secret);
}
