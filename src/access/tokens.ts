import { organizationPattern } from './viewer.ts';

/** What an API key says of itself, so that it can be looked up and checked. */
export interface APIKeyParts {
  readonly organizationId: string;
  readonly id: string;
  /** 256 random bits in base64url. */
  readonly secret: string;
}

/** The prefix lets secret scanners find a key that lies where it should not. */
const form = /^cgk_(.+)\.([0-9a-f]{24})\.([A-Za-z0-9_-]{43})$/;

/** An API key as it is shown to whoever made it: `cgk_<organization>.<id>.<secret>`, all of them characters of a bearer token (RFC 6750). */
export function apiKeyText({ organizationId, id, secret }: APIKeyParts): string {
  return `cgk_${organizationId}.${id}.${secret}`;
}

/** The parts of an API key, or undefined when the text is not one. Knows nothing of what exists. */
export function parseAPIKey(text: string): APIKeyParts | undefined {
  const [, organizationId, id, secret] = form.exec(text) ?? [];
  if (!organizationId || !id || !secret || !organizationPattern.test(organizationId)) return undefined;
  return { organizationId, id, secret };
}
/** The `typ` of the tokens that the gateway makes for end users, by which they are told from the issuer's before anything is verified. */
export const END_USER_TOKEN_TYPE = 'end-user+jwt';
