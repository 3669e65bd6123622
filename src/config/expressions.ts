/** Each repetition without an end multiplies the time of a text that does not match by its length. */
export const REPETITIONS_MAX = 3;

export function isExpression(pattern: string): boolean {
  try {
    return new RegExp(pattern, 'u') !== undefined;
  } catch {
    return false;
  }
}

/**
 * Returns whether a regular expression can take exponential time by the usual causes: a repeated group that can match the same text in several
 * ways, or a reference to a group. `domain/reveal-reason.ts` ends what is not found here.
 */
export function mayTakeLong(pattern: string): boolean {
  // Escapes and classes match one character each. What begins a group has no meaning here.
  const plain = pattern.replace(/\\(?![1-9k])[\s\S]|\[(?:\\[\s\S]|[^\]])*\]/gu, 'x').replace(/\((?:\?(?:[:=!]|<[=!]|<\w+>))?/g, '(');
  if (plain.includes('\\')) return true;
  if ((plain.match(/[*+]|\{\d+,\}/g) ?? []).length > REPETITIONS_MAX) return true;
  // For each open group, whether it contains a repetition or alternatives.
  const varies = [false];
  for (const { 0: part, index } of plain.matchAll(/[()|*+?]|\{\d+(?:,\d*)?\}/g)) {
    const innermost = varies.length - 1;
    if (part === '(') varies.push(false);
    else if (part !== ')') varies[innermost] = true;
    else {
      const isRepeated = /^(?:[*+]|\{)/.test(plain.slice(index + 1));
      if (isRepeated && varies[innermost]) return true;
      varies[innermost - 1] ||= varies.pop()!;
    }
  }
  return false;
}
