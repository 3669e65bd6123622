import { confinedScopes, covers, type Scope } from './scopes.ts';

/** By what a viewer is known: a token of the organization's issuer, an API key, a token made for an end user; or it is the gateway itself. */
export type ViewerKind = 'token' | 'apiKey' | 'endUser' | 'gateway';

/** Who is asking: made once per request from a token that was checked, and never changed. */
export interface Viewer {
  /** The tenant. Every record belongs to one, and a viewer sees no other's. */
  readonly organizationId: string;
  readonly kind: ViewerKind;
  /** Who within the organization: the token's `sub`, or the id of the API key or the end user. */
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
  /** The part of the organization that there is for this viewer. Absent: all of it. */
  readonly confinedTo?: Confinement;
}

/** One integration, or one end user of it. */
export interface Confinement {
  readonly integrationId: string;
  readonly endUserId?: string;
}

/** What an organization may be called: it stands in tokens, ciphertext headers and command lines. */
export const organizationPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Whether the viewer's token covers the scope, and the viewer's limit leaves room for it. */
export function may({ scopes, confinedTo }: Viewer, scope: Scope): boolean {
  return covers(scopes, scope) && (!confinedTo || confinedScopes[confinedTo.endUserId ? 'endUser' : 'integration'].includes(scope));
}
