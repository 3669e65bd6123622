import { isSubject, organizationPattern, SUBJECT_MAX, type Viewer, type ViewerKind } from '../access/viewer.ts';
import { UnauthenticatedError } from '../errors.ts';
import { malformedIdempotencyKey, malformedRequest } from './error-redaction.ts';

/** An operation that is run from code, on behalf of a viewer. */
export interface Operation {
  readonly query: string;
  readonly variables?: Record<string, unknown>;
  /** Which operation of the document runs, if there are several. */
  readonly operationName?: string;
  /** Who it is run for: the caller is trusted to have authenticated it. */
  readonly viewer: Viewer;
  /**
   * Lets a mutation operation run once: within a day, the same viewer gets the same answer for it. 1 to 255 visible ASCII characters. For
   * a query, it does nothing, but a malformed one is refused. Null is none.
   */
  readonly idempotencyKey?: string | null;
}

/** Those whom code can act for. The gateway itself acts for nobody. */
const kinds: readonly ViewerKind[] = ['token', 'apiKey', 'endUser'];

/**
 * Returns an operation with nothing in it but what its type says. Code often makes a viewer of claims or of a session, and what is an object there
 * in the place of a text would become a condition of a query.
 *
 * @throws UnauthenticatedError when the viewer cannot be one
 * @throws GraphQLError with the code BAD_REQUEST when the rest is not an operation
 */
export function checkedOperation({ query, variables, operationName, viewer, idempotencyKey }: Operation): Operation {
  const checked = { viewer: checkedViewer(viewer), query, ...(variables && { variables }), ...(operationName && { operationName }) };
  const isName = operationName === undefined || operationName === null || typeof operationName === 'string';
  const areVariables = variables === undefined || variables === null || (typeof variables === 'object' && !Array.isArray(variables));
  if (typeof query !== 'string' || !isName || !areVariables) throw malformedRequest();
  // Headers of the Fetch standard that are absent are null.
  if (idempotencyKey === undefined || idempotencyKey === null) return checked;
  if (typeof idempotencyKey !== 'string') throw malformedIdempotencyKey();
  if (!isJSON(variables)) throw malformedRequest();
  return { ...checked, idempotencyKey };
}

function checkedViewer(viewer: Viewer): Viewer {
  const { organizationId, kind, subject, scopes, issuedAt, keyHash, confinedTo } = (viewer ?? {}) as Partial<Viewer>;
  const require = (isRight: boolean, what: string): void => {
    if (!isRight) throw new UnauthenticatedError(`The viewer is not valid: ${what}.`);
  };
  require(isText(organizationId) && organizationPattern.test(organizationId!), 'organizationId must be the name of an organization');
  require(kinds.includes(kind!), `kind must be ${kinds.join(', ')}`);
  require(isText(subject) && isSubject(subject!), `subject must be a text of 1 to ${SUBJECT_MAX} characters`);
  require(scopes instanceof Set && [...scopes].every(isText), 'scopes must be a Set of texts');
  require(issuedAt === undefined || (issuedAt instanceof Date && !Number.isNaN(issuedAt.getTime())), 'issuedAt must be a Date');
  require(keyHash === undefined || isText(keyHash), 'keyHash must be a text');
  const { integrationId, endUserId } = confinedTo ?? {};
  require(confinedTo === undefined || isText(integrationId), 'confinedTo.integrationId must be a text');
  require(endUserId === undefined || isText(endUserId), 'confinedTo.endUserId must be a text');
  require((kind === 'endUser') === (endUserId !== undefined), 'confinedTo.endUserId is required for an end user, and only there');
  return {
    organizationId: organizationId!,
    kind: kind!,
    subject: subject!,
    scopes: new Set(scopes),
    ...(issuedAt && { issuedAt }),
    ...(keyHash && { keyHash }),
    ...(confinedTo && { confinedTo: { integrationId: integrationId!, ...(endUserId && { endUserId }) } }),
  };
}

/** Returns whether a value can be written as JSON, by which equal requests are known. */
function isJSON(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}
