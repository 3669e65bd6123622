import { CommandError, unsupported } from './errors.ts';

export interface Pattern {
  pattern: string;
  options: string;
}

const space = ' \\t\\n\\v\\f\\r';

/**
 * Converts a PCRE pattern to JavaScript. Syntax with the same meaning is kept, and syntax with a different meaning is translated (`.`, `^`,
 * `$`, `\s`) or rejected. Syntax that JavaScript does not support is rejected; the `u` flag makes unknown escapes an error.
 */
export function toRegExp({ pattern, options }: Pattern): RegExp {
  if (!/^[ims]*$/.test(options)) throw unsupported(`the regular expression option '${options}'`);
  if (pattern.includes('\0')) throw new CommandError(2, 'Regular expression cannot contain an embedded null byte');
  const translated = pattern.replace(/\\.|\[\^?(?:\\.|[^\\\]])*\]|[.^$]/gsu, (token) => translate(token, options));
  try {
    return new RegExp(translated, options.includes('i') ? 'iu' : 'u');
  } catch (error) {
    throw new CommandError(51091, `Regular expression is invalid or not supported by the embedded database: ${(error as Error).message}`);
  }
}

/** An escape, a class in brackets, or one of the characters `.`, `^` and `$`. */
function translate(token: string, options: string): string {
  switch (token[0]) {
    case '\\':
      return token === '\\s' ? `[${space}]` : token === '\\S' ? `[^${space}]` : knownEscape(token);
    case '[':
      if (/^\[\^?\]|\[[:.=]/.test(token)) throw unsupported(`'${token}' in a regular expression`);
      return token.replace(/\\./gsu, (escaped) => (escaped === '\\s' ? space : knownEscape(escaped)));
    case '.':
      return options.includes('s') ? '[^]' : '[^\\n]';
    case '^':
      return options.includes('m') ? '(?<![^\\n])' : '^';
    default:
      return options.includes('m') ? '(?=\\n|(?![^]))' : '(?=\\n?(?![^]))';
  }
}

function knownEscape(escaped: string): string {
  if (/^\\[a-zA-Z0-9]$/.test(escaped) && !/[dDwWbBnrtf]/.test(escaped)) throw unsupported(`'${escaped}' in a regular expression`);
  return escaped;
}
