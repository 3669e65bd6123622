import { createContext, Script } from 'node:vm';
import { ValidationError } from '../errors.ts';

/** The minimum length of a reason, unless a pattern is set. */
const REASON_MIN = 10;
/** For how long a pattern may run. A regular expression can take exponential time, and the pattern is not ours. */
const PATTERN_MS = 100;

/** Characters that show nothing by themselves. U+2800 is a symbol that looks like a space. */
const invisible = /[\p{C}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** Returns a text without invisible characters, and without spaces at its ends. Other runs of spaces become one. */
function shown(text: string): string {
  return text
    .normalize('NFC')
    .replace(/\p{White_Space}/gu, ' ')
    .replace(invisible, '')
    .replace(/ {2,}/g, ' ')
    .trim();
}

/**
 * Checks the reason of a reveal, whose maximum length is already checked: it must have ten characters or, if the operator has set a pattern,
 * match that. Spaces at its ends and invisible characters do not count.
 *
 * @throws ValidationError, which never repeats the reason
 */
export function checkRevealReason(reason: string, pattern: RegExp | null): void {
  const text = shown(reason);
  if (pattern) {
    if (!matchesInTime(pattern, text)) fail(`must match the pattern ${pattern.source}, which the operator of the gateway has set`);
  } else if ([...text].length < REASON_MIN) {
    fail(`must have at least ${REASON_MIN} characters, without spaces at its ends and invisible characters`);
  }
}

function fail(message: string): never {
  throw new ValidationError([{ path: ['reason'], message }]);
}

const sandbox = createContext({ pattern: /x/, text: '' });
const test = new Script('pattern.test(text)');

/** Returns whether a text matches a pattern. False if that takes too long: V8 interrupts a regular expression only for a script with a time limit. */
function matchesInTime(pattern: RegExp, text: string): boolean {
  Object.assign(sandbox, { pattern: new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')), text });
  try {
    return test.runInContext(sandbox, { timeout: PATTERN_MS }) === true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  } finally {
    Object.assign(sandbox, { text: '' });
  }
}
