import { type Noun, type NounName, namedVerbs, nounTable, type PluralOf } from './nouns.ts';

export { type Noun, nouns } from './nouns.ts';

type NamedVerbs = typeof namedVerbs;
type CoveredScope = { [N in NounName]: `${PluralOf<N>}.${(typeof nounTable)[N]['verbs'][number]}` }[NounName];
type NamedScope = { [N in keyof NamedVerbs]: `${PluralOf<N>}.${keyof NamedVerbs[N] & string}` }[keyof NamedVerbs];

/**
 * A scope that a field or type can require, in Losant's notation. A wildcard (`credentials.*`, `all.Organization`) covers the verbs of its
 * nouns, but never the scopes to reveal, fingerprint, confirm or give lasting access, which must be named.
 */
export type Scope = CoveredScope | NamedScope;

const rows = Object.values(nounTable);
const coveredScopes = rows.flatMap(({ plural, verbs }) => verbs.map((verb) => `${plural}.${verb}` as CoveredScope));
/** The scopes that no wildcard covers. */
export const namedScopes = (Object.keys(namedVerbs) as (keyof NamedVerbs)[]).flatMap((noun) =>
  Object.keys(namedVerbs[noun]).map((verb) => `${nounTable[noun].plural}.${verb}` as NamedScope),
);

/** Every scope that a field or type can require. */
export const scopes: readonly Scope[] = [...coveredScopes, ...namedScopes];

/** Every scope that a token can contain: the scopes above and the wildcards. */
export const grantableScopes: readonly string[] = [
  ...scopes,
  ...rows.map(({ plural }) => `${plural}.*`),
  'all.Organization',
  'all.Organization.read',
];

/** Returns the noun's scope for reading, such as `credentials.get`. */
export function readScope<N extends Noun>(noun: N): `${PluralOf<N>}.get` {
  return `${nounTable[noun].plural}.get`;
}

/** Returns whether the scopes and wildcards of a token cover a scope. */
export function covers(granted: ReadonlySet<string>, scope: Scope): boolean {
  if (granted.has(scope)) return true;
  if (namedScopes.includes(scope as NamedScope)) return false;
  const [noun, verb] = scope.split('.');
  return granted.has(`${noun}.*`) || granted.has('all.Organization') || (verb === 'get' && granted.has('all.Organization.read'));
}

/** Returns the scopes that a scope or a wildcard covers. */
export function scopesOf(granted: string): Scope[] {
  return scopes.filter((scope) => covers(new Set([granted]), scope));
}

/** The scopes that a viewer can have who is limited to one integration, or to one end user of it. */
export const confinedScopes: { readonly [L in 'integration' | 'endUser']: readonly Scope[] } = {
  integration: confinedTo('integration'),
  endUser: confinedTo('endUser'),
};

function confinedTo(limit: 'integration' | 'endUser'): Scope[] {
  const allowed = new Set<string>(rows.flatMap(({ plural, confinedVerbs }) => confinedVerbs[limit].map((verb) => `${plural}.${verb}`)));
  return scopes.filter((scope) => allowed.has(scope));
}
