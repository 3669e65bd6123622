import type { BSONRegExp } from 'bson';
import { badValue, CommandError, unsupported } from './errors.ts';

const space = ' \\t\\n\\v\\f\\r';
const compiled = new Map<string, RegExp>();

/**
 * A PCRE pattern as a JavaScript one. What means the same is kept, what differs is translated (`.`, `$`, `\s`), and what JavaScript does
 * not know is an error: the `u` flag makes unknown escapes one.
 */
export function toRegExp({ pattern, options }: BSONRegExp): RegExp {
  const key = `${options}/${pattern}`;
  const known = compiled.get(key);
  if (known) return known;
  for (const option of options) {
    if (option === 'x') throw unsupported('the regular expression option x');
    if (!'ims'.includes(option)) throw new CommandError(51108, `invalid flag in regex options: ${option}`);
  }
  let expression: RegExp;
  try {
    expression = new RegExp(translate(pattern, options), `u${[...'ims'].filter((option) => options.includes(option)).join('')}`);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(51091, `Regular expression is invalid or not supported by the embedded database: ${(error as Error).message}`);
  }
  if (compiled.size > 500) compiled.clear();
  compiled.set(key, expression);
  return expression;
}

function translate(pattern: string, options: string): string {
  if (pattern.includes('\0')) throw badValue('Regular expression cannot contain an embedded null byte');
  let out = '';
  let inClass = false;
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === '\\') {
      const next = pattern[++i];
      if (next === undefined) throw new CommandError(51091, 'Regular expression is invalid: \\ at end of pattern');
      if (next === 's') out += inClass ? space : `[${space}]`;
      else if (next === 'S') out += inClass ? unclear('\\S in a class') : `[^${space}]`;
      else if (/[a-zA-Z0-9]/.test(next)) out += /[dDwWbBnrtfvxu0-9]/.test(next) ? `\\${next}` : unclear(`\\${next}`);
      // PCRE takes any other escaped character for itself; with `u` JavaScript wants only those that need it escaped.
      else out += /[\^$\\.*+?()[\]{}|/]/.test(next) || (inClass && next === '-') ? `\\${next}` : next;
    } else if (inClass) {
      if (c === '[' && /[:.=]/.test(pattern[i + 1] ?? '')) unclear('a POSIX class');
      out += c === '[' ? '\\[' : c;
      inClass = c !== ']';
    } else if (c === '[') {
      inClass = true;
      out += c;
      if (pattern[i + 1] === '^') out += pattern[++i];
      // A bracket in the first place is a member of the class.
      if (pattern[i + 1] === ']') {
        out += '\\]';
        i++;
      }
    } else if (c === '.' && !options.includes('s')) out += '[^\\n]';
    else if (c === '^' && options.includes('m')) out += '(?<![^\\n])';
    else if (c === '$') out += options.includes('m') ? '(?=\\n|(?![^]))' : '(?=\\n?(?![^]))';
    else out += c === ']' || c === '}' ? literalBracket(c, out) : c;
  }
  return out;
}

/** A closing bracket that closes nothing stands for itself in PCRE. */
function literalBracket(bracket: string, before: string): string {
  if (bracket === ']') return '\\]';
  return /(\{\d+(,\d*)?|\\u\{[0-9a-f]+)$/i.test(before) ? '}' : '\\}';
}

function unclear(what: string): never {
  throw unsupported(`${what} in a regular expression`);
}

/** The text that every match of an anchored pattern begins with, or undefined when that is not known. */
export function literalPrefix({ pattern, options }: BSONRegExp): string | undefined {
  if (/[imx]/.test(options) || !pattern.startsWith('^') || pattern.includes('|')) return undefined;
  let prefix = '';
  for (let i = 1; i < pattern.length; i++) {
    let c = pattern[i]!;
    if (c === '\\') {
      c = pattern[++i] ?? '';
      if (!c || /[a-zA-Z0-9]/.test(c)) break;
    } else if (/[\^$.*+?()[\]{}]/.test(c)) {
      // A quantifier that allows none takes its character back.
      if (/[*?{]/.test(c)) prefix = [...prefix].slice(0, -1).join('');
      break;
    }
    prefix += c;
  }
  return prefix || undefined;
}
