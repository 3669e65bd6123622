import { confinedScopes, covers, type Scope } from './scopes.ts';

/** How a viewer was authenticated: by a token of the issuer, an API key or an end user's token. `gateway` is the gateway itself. */
export type ViewerKind = 'token' | 'apiKey' | 'endUser' | 'gateway';

/** The authenticated caller. Created once per request from a verified token, and immutable. */
export interface Viewer {
  /** The tenant. Every record belongs to one, and a viewer sees only the records of its own. */
  readonly organizationId: string;
  readonly kind: ViewerKind;
  /** The caller within the organization: the `sub` of the token, or the id of the API key or end user. */
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
  /** When the token was issued (`iat`). Absent for an API key, and if the token does not contain it. */
  readonly issuedAt?: Date;
  /** The hash of the presented API key. Absent for a token. */
  readonly keyHash?: string;
  /** The part of the organization that this viewer is limited to. If absent, it is not limited. */
  readonly confinedTo?: Confinement;
}

/** One integration, or one end user of it. */
export interface Confinement {
  readonly integrationId: string;
  readonly endUserId?: string;
}

/** OpenID Connect Core 1.0, section 2: the maximum length of `sub`. Tokens and revocations accept the same subjects. */
export const SUBJECT_MAX = 255;

/** Returns whether a text can be a subject, which `revokeTokens` accepts, too. Text with half of a surrogate pair cannot be stored as it is. */
export function isSubject(sub: string): boolean {
  return sub !== '' && sub.length <= SUBJECT_MAX && !/\p{Surrogate}/u.test(sub);
}

/** The pattern of organization names, which appear in tokens, ciphertext headers and command lines. */
export const organizationPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Returns whether the viewer's token covers the scope, and a viewer with this limit may have it. */
export function may({ scopes, confinedTo }: Viewer, scope: Scope): boolean {
  return covers(scopes, scope) && (!confinedTo || confinedScopes[confinedTo.endUserId ? 'endUser' : 'integration'].includes(scope));
}
