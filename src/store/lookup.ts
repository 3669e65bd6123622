import { type GlobParts, globParts } from './glob.ts';

/**
 * The keys by which records are found besides their own fields. They are one derived list, `lookupKeys`, in one index: the texts that a search
 * looks at, folded; the settings that are marked as searchable; fingerprints; and the kinds of a connection's credentials. Each sort of key has
 * a beginning of its own: a name of a setting begins with a letter.
 */

/** What a filter asks of the keys. */
export interface LookupFilter {
  /** A glob that one of the texts of the record matches, without regard to case. */
  readonly search?: string;
  /** A glob that a setting of this name matches, without regard to case. */
  readonly setting?: { readonly name: string; readonly value: string };
  readonly fingerprint?: string;
  /** The kinds of credentials. A record must have one of them. */
  readonly credentialKinds?: readonly string[];
}

/** The names of the members. */
export const lookupMembers = ['search', 'setting', 'fingerprint', 'credentialKinds'] as const satisfies readonly (keyof LookupFilter)[];

/** One condition on the keys: one of these keys, or a pattern of keys. */
export type KeyCondition = { readonly keys: readonly string[] } | { readonly pattern: NonNullable<GlobParts['pattern']> };

/** The number of characters with which an index finds the texts that begin with them. */
const BEGINNING = 3;

/**
 * Returns a text in the form in which texts are compared without regard to case: in normalization form C, in lower case. Compatibility forms stay
 * different, because some become wildcards.
 */
function folded(text: string): string {
  return text.normalize('NFC').toLowerCase().normalize('NFC');
}

/** Returns the keys of texts that a search finds: the texts as a whole, and their beginnings. */
export function textKeys(texts: readonly string[]): string[] {
  return texts.filter(Boolean).flatMap((text) => {
    const whole = folded(text);
    return [`=${whole}`, ...beginningOf(whole)];
  });
}

function beginningOf(text: string): string[] {
  const first = [...text].slice(0, BEGINNING);
  return first.length === BEGINNING ? [`^${first.join('')}`] : [];
}

/** Returns the key of a setting. */
export function settingKey(name: string, value: string): string {
  return `${name}=${folded(value)}`;
}

/** Returns the key of the fingerprint of a secret. */
export function fingerprintKey(fingerprint: string): string {
  return `#${fingerprint}`;
}

/** Returns the key of the kind of a credential. */
export function kindKey(kind: string): string {
  return `:${kind}`;
}

/** Returns what a filter requires of the keys. A record has to satisfy all. */
export function keyConditions({ search, setting, fingerprint, credentialKinds }: LookupFilter): KeyCondition[] {
  return [
    ...(fingerprint === undefined ? [] : [{ keys: [fingerprintKey(fingerprint)] }]),
    ...(setting === undefined ? [] : globConditions(`${setting.name}=`, setting.value)),
    ...(search === undefined ? [] : globConditions('=', search)),
    ...(credentialKinds === undefined ? [] : [{ keys: credentialKinds.map(kindKey) }]),
  ];
}

/** Returns the conditions that a text with this beginning of its key matches a glob. The first one is served by the index. */
function globConditions(beginning: string, glob: string): KeyCondition[] {
  const wanted = folded(glob);
  const { name, pattern } = globParts(wanted);
  if (name !== undefined) return [{ keys: [beginning + name] }];
  const literal = /^[^*?]*/.exec(wanted)![0];
  const { $regex, $options } = pattern!;
  return [...beginningOf(literal).map((key) => ({ keys: [key] })), { pattern: { $regex: `^${beginning}${$regex.slice(1)}`, $options } }];
}
