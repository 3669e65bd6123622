/** The bounds of a glob. With more stars, matching could take seconds because of backtracking. */
export const GLOB_MAX_LENGTH = 128;
export const GLOB_MAX_STARS = 2;

/** What a name must satisfy to match a glob. All given parts together. */
export interface GlobParts {
  /** The name itself, if the glob has no wildcard. */
  readonly name?: string;
  /** The key range of the names that begin with the text before the first wildcard. An index on the name finds them. */
  readonly range?: { readonly $gte: string; readonly $lt: string };
  readonly pattern?: { readonly $regex: string; readonly $options: string };
  /** Whether each name in the range matches the pattern. */
  readonly isPrefix: boolean;
}

/** Returns the parts of a glob. `*` matches any text, `?` any single character. */
export function globParts(glob: string): GlobParts {
  const prefix = /^[^*?]*/.exec(glob)?.[0] ?? '';
  if (prefix === glob) return { name: glob, isPrefix: false };
  const pattern = [...glob].map((char) => (char === '*' ? '.*' : char === '?' ? '.' : char.replace(/[\\^$.|+()[\]{}]/, '\\$&'))).join('');
  return {
    ...(prefix && { range: { $gte: prefix, $lt: `${prefix}\u{10ffff}` } }),
    // With `s`, a dot also matches line breaks. `$` is not used, because it also matches before a line break at the end.
    pattern: { $regex: `^${pattern}(?!.)`, $options: 's' },
    isPrefix: /^\*+$/.test(glob.slice(prefix.length)),
  };
}

/** Returns the condition for names that match a glob. */
export function globCondition(glob: string): unknown {
  const { name, range, pattern } = globParts(glob);
  return name ?? { ...range, ...pattern };
}
