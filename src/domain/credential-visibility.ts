import type { Binding } from '../store/connection.ts';
import type { AuthScheme } from '../store/connector.ts';
import { credentialsOf, withDefaults } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { shown } from './reading.ts';
import { isSameValue } from './same-value.ts';

/** Whether a viewer can see a credential that another record names. */
export type Visibility = 'AVAILABLE' | 'HIDDEN' | 'EXPIRED';

/**
 * Returns for each id whether the viewer can see the credential, altered or not. HIDDEN: it belongs to somebody else, or this gateway does not
 * know its kind. EXPIRED: it has expired, or does not exist any more. A viewer with a limit is told EXPIRED only of its own credentials. Uses
 * one command, and two more if some are not found.
 */
export async function visibilityOf(context: DomainContext, ids: readonly string[]): Promise<Map<string, Visibility>> {
  const { store, viewer } = context;
  const visibility = new Map<string, Visibility>();
  if (ids.length === 0) return visibility;
  const available = new Set(shown(context, 'credential', await store.credentials.evenAltered.byIds(ids)).map(({ id }) => id));
  const others = ids.filter((id) => !available.has(id));
  const expired = new Set(others.length === 0 ? [] : await store.credentials.expiredOf(others));
  const existing = new Set(others.length === 0 || viewer.confinedTo ? others : await store.credentials.ids({ id: others }));
  for (const id of ids) {
    visibility.set(id, available.has(id) ? 'AVAILABLE' : expired.has(id) || !existing.has(id) ? 'EXPIRED' : 'HIDDEN');
  }
  return visibility;
}

/** Returns whether a scheme names a credential with this visibility. */
export function namesIn(visibility: ReadonlyMap<string, Visibility>, scheme: AuthScheme | null, which: Visibility): boolean {
  return credentialsOf(scheme).some((id) => visibility.get(id) === which);
}

/** Returns whether an entry, or its scheme, names a credential with this visibility. */
export function bindsIn(visibility: ReadonlyMap<string, Visibility>, { credentialId, authScheme }: Binding, which: Visibility): boolean {
  return visibility.get(credentialId) === which || namesIn(visibility, authScheme, which);
}

export function isSameScheme(a: AuthScheme | null, b: AuthScheme | null): boolean {
  return isSameValue(a && withDefaults(a), b && withDefaults(b));
}

/**
 * Puts what is kept back into a list that a caller sent without it: each at the place that it had, or at the end if the list is shorter now.
 * `kept` are values with their places, in ascending order.
 */
export function putBack<T>(list: readonly T[], kept: readonly { readonly value: T; readonly place: number }[]): T[] {
  const result = [...list];
  for (const { value, place } of kept) result.splice(Math.min(place, result.length), 0, value);
  return result;
}
