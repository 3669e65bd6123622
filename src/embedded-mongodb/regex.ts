import { CommandError, unsupported } from './errors.ts';

export interface Pattern {
  pattern: string;
  options: string;
}

/** A character, or null for any one character. */
type Piece = string | null;

const maxPatternLength = 2_000;
/** With two stars, there is one part between them whose place has to be searched. */
const maxStars = 2;

/** The end of the text. `$` also matches before a line break at the end. */
const end = '(?!.)';

/**
 * Compiles the regular expressions that globs become, such as `^a.b.*c(?!.)` with the option `s`; everything else is rejected. Other
 * expressions differ between PCRE and JavaScript in many details, and their evaluation can take forever.
 */
export function compilePattern({ pattern, options }: Pattern): (text: string) => boolean {
  if (pattern.includes('\0')) throw new CommandError(2, 'Regular expression cannot contain an embedded null byte');
  if (options !== 's' || !pattern.startsWith('^') || !pattern.endsWith(end)) throw notAGlob();
  if (pattern.length > maxPatternLength) throw unsupported(`a regular expression longer than ${maxPatternLength} characters`);
  const parts: Piece[][] = [[]];
  const tokens = pattern.slice(1, -end.length).match(/\\.|\.\*|./gsu) ?? [];
  for (const token of tokens) {
    if (token === '.*') parts.push([]);
    else parts.at(-1)!.push(pieceOf(token));
  }
  // Two stars beside each other are one.
  const stars = parts.filter((part, i) => part.length || !i || i === parts.length - 1);
  if (stars.length - 1 > maxStars) throw notAGlob();
  return (text) => matchesParts([...text], stars);
}

function notAGlob(): CommandError {
  return unsupported(
    "a regular expression other than '^', literal characters, '.' and at most two '.*', and '(?!.)', with the option 's',",
  );
}

function pieceOf(token: string): Piece {
  if (token === '.') return null;
  // A backslash before a letter or digit has a meaning of its own, and outside of ASCII no meaning is agreed on.
  if (token.startsWith('\\') && token.length > 1) {
    if (/^\\[!-/:-@[-`{-~]$/.test(token)) return token[1]!;
    throw notAGlob();
  }
  if (/^[\\^$|?*+()[\]{}]$/.test(token)) throw notAGlob();
  return token;
}

/** Text is compared by characters (code points), as PCRE does. Tries each place for the part in the middle once. */
function matchesParts(text: string[], parts: Piece[][]): boolean {
  const fits = (part: Piece[], at: number) => part.every((piece, i) => piece === null || piece === text[at + i]);
  const first = parts[0]!;
  if (parts.length === 1) return text.length === first.length && fits(first, 0);
  const last = parts.at(-1)!;
  const lastAt = text.length - last.length;
  if (lastAt < first.length || !fits(first, 0) || !fits(last, lastAt)) return false;
  if (parts.length === 2) return true;
  const middle = parts[1]!;
  for (let at = first.length; at + middle.length <= lastAt; at++) if (fits(middle, at)) return true;
  return false;
}
