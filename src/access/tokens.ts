import { organizationPattern } from './viewer.ts';

/** The parts of an API key that are needed to look it up and check it. */
export interface APIKeyParts {
  readonly organizationId: string;
  readonly id: string;
  /** 256 random bits in base64url. */
  readonly secret: string;
}

/** The prefix lets secret scanners find leaked keys. */
const form = /^cgk_(.+)\.([0-9a-f]{24})\.([A-Za-z0-9_-]{43})$/;

/** Returns the text of an API key, `cgk_<organization>.<id>.<secret>`. All its characters are allowed in a bearer token (RFC 6750). */
export function apiKeyText({ organizationId, id, secret }: APIKeyParts): string {
  return `cgk_${organizationId}.${id}.${secret}`;
}

/** Parses an API key; returns undefined when the text is not one. Does not check whether the key exists. */
export function parseAPIKey(text: string): APIKeyParts | undefined {
  const [, organizationId, id, secret] = form.exec(text) ?? [];
  if (!organizationId || !id || !secret || !organizationPattern.test(organizationId)) return undefined;
  return { organizationId, id, secret };
}
/** The `typ` of end users' tokens. It distinguishes them from the issuer's tokens before anything is verified. */
export const END_USER_TOKEN_TYPE = 'end-user+jwt';
