/** What a glob may be: at most this many characters, of which two stars. More would let a pattern backtrack for seconds. */
export const GLOB_MAX_LENGTH = 128;
export const GLOB_MAX_STARS = 2;

/**
 * The condition for a name that matches a glob, in which `*` is any text and `?` any one character. The part before the first of them
 * becomes a key range, so that an index on the name serves it.
 */
export function globCondition(glob: string): unknown {
  const prefix = /^[^*?]*/.exec(glob)?.[0] ?? '';
  if (prefix === glob) return glob;
  const pattern = [...glob].map((char) => (char === '*' ? '.*' : char === '?' ? '.' : char.replace(/[\\^$.|+()[\]{}]/, '\\$&'))).join('');
  const range = prefix ? { $gte: prefix, $lt: `${prefix}\u{10ffff}` } : {};
  // With `s`, a dot is a line break, too; `$` would match before one at the end.
  return { ...range, $regex: `^${pattern}(?!.)`, $options: 's' };
}
