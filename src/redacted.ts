import { inspect } from 'node:util';

/** Shown in place of every secret: five asterisks, whatever the length of the secret. */
export const REDACTED = '*****';

/**
 * A plaintext secret. It prints, inspects, joins and serializes as `[redacted]`. Only `expose` returns the value, so a search for that
 * word finds every place that can leak it.
 */
export class Redacted {
  readonly #plain: string;
  constructor(plain: string) {
    this.#plain = plain;
  }
  /** Returns the plaintext. Call it only where the value is sealed, compared or returned to a caller who asked to reveal it. */
  expose(): string {
    return this.#plain;
  }
  toString(): string {
    return '[redacted]';
  }
  toJSON(): string {
    return '[redacted]';
  }
  [inspect.custom](): string {
    return '[redacted]';
  }
}
