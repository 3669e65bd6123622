import { covers, type Scope } from './scopes.ts';

/** Who is asking: made once per request from a token that was checked, and never changed. */
export interface Viewer {
  /** The tenant. Every record belongs to one, and a viewer sees no other's. */
  readonly organizationId: string;
  /** Who within the organization: the token's `sub`. */
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
}

/** What an organization may be called: it stands in tokens, ciphertext headers and command lines. */
export const organizationPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Whether the viewer's token covers the scope. */
export function may(viewer: Viewer, scope: Scope): boolean {
  return covers(viewer.scopes, scope);
}
