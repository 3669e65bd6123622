import { isDeepStrictEqual } from 'node:util';

/**
 * Returns whether a value is the one that is stored already, so that writing it changes nothing. A member that is absent equals null: the
 * records of earlier versions lack members that are null now. The order of members does not matter, that of list items does.
 */
export function isSameValue(stored: unknown, value: unknown): boolean {
  return isDeepStrictEqual(withoutAbsent(stored), withoutAbsent(value));
}

/** Returns the value with null in the place of undefined, and without members that are null. */
function withoutAbsent(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(withoutAbsent);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined && member !== null);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutAbsent(member)]));
}

/** Returns whether a stored value is absent and the new one is what its absence means: null, false or an empty list. */
export function isStillAbsent(stored: unknown, value: unknown): boolean {
  return stored === undefined && (value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0));
}
