import { randomInt } from 'node:crypto';

/**
 * Returns a new value for `touches`, a field that is only written so that two transactions conflict. It is not incremented, because that fails
 * if somebody else has written a text there.
 */
export function newTouch(): number {
  return randomInt(2 ** 31);
}
