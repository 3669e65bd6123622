import type { Issue } from '../errors.ts';

type Values = Readonly<Record<string, unknown>>;

/** The parts of a write that the rule needs. */
interface Redirection {
  readonly settings: Values;
  readonly before: Values | undefined;
  readonly secrets: Values;
  readonly isSet: Values;
}

/** Returns an issue for each stored secret that an update would send to a destination that the secret was not stored for. */
export function redirected({ settings, before, secrets, isSet }: Redirection, destinations: readonly string[]): Issue[] {
  if (!before) return [];
  const changed = destinations.filter((name) => settings[name] !== undefined && settings[name] !== before[name]);
  if (changed.length === 0) return [];
  const kept = Object.keys(isSet).filter((name) => isSet[name] && secrets[name] === undefined);
  const message = `must be set or cleared when ${changed.join(' or ')} changes: the stored value is not for the new destination`;
  return kept.map((name) => ({ path: [name], message }));
}
