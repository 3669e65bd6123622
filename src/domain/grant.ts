import { grantableScopes, type Scope, scopesOf } from '../access/scopes.ts';
import { may, type Viewer } from '../access/viewer.ts';
import { ForbiddenError, type Path, ValidationError } from '../errors.ts';

const SCOPES_MAX = 100;

/** Checks scopes that are granted to a viewer, maybe with a limit, whatever the granting viewer has. @throws ValidationError */
export function checkGrantable(wanted: readonly string[], limit: readonly Scope[] | null, path: Path): string[] {
  const issues = wanted.flatMap((scope, index) => {
    if (!grantableScopes.includes(scope)) return [{ path: [...path, index], message: 'is not a scope' }];
    const isBeyond = limit && !scopesOf(scope).some((each) => limit.includes(each));
    return isBeyond ? [{ path: [...path, index], message: 'is not allowed with this limit' }] : [];
  });
  if (wanted.length === 0) issues.push({ path: [...path], message: 'must not be empty' });
  if (wanted.length > SCOPES_MAX) issues.push({ path: [...path], message: `must be at most ${SCOPES_MAX} items` });
  if (issues.length > 0) throw new ValidationError(issues);
  return [...new Set(wanted)];
}

/** Checks that the viewer has all scopes to be granted. @throws ForbiddenError */
export function requireGrant(viewer: Viewer, wanted: readonly string[]): void {
  const missing = wanted.flatMap(scopesOf).find((scope) => !may(viewer, scope));
  if (missing) throw new ForbiddenError(missing);
}
