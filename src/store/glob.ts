/** The bounds of a glob. With more stars, matching could take seconds because of backtracking. */
export const GLOB_MAX_LENGTH = 128;
export const GLOB_MAX_STARS = 2;

/**
 * Returns the condition for names that match a glob. `*` matches any text, `?` any single character. The text before the first of them
 * becomes a key range, so that an index on the name can be used.
 */
export function globCondition(glob: string): unknown {
  const prefix = /^[^*?]*/.exec(glob)?.[0] ?? '';
  if (prefix === glob) return glob;
  const pattern = [...glob].map((char) => (char === '*' ? '.*' : char === '?' ? '.' : char.replace(/[\\^$.|+()[\]{}]/, '\\$&'))).join('');
  const range = prefix ? { $gte: prefix, $lt: `${prefix}\u{10ffff}` } : {};
  // With `s`, a dot also matches line breaks. `$` is not used, because it also matches before a line break at the end.
  return { ...range, $regex: `^${pattern}(?!.)`, $options: 's' };
}
