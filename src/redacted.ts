import { inspect } from 'node:util';

/** What every secret looks like wherever it is shown: five asterisks, whatever the secret's length. */
export const REDACTED = '*****';

/**
 * A plaintext secret on its way through the gateway. It prints, inspects, joins and serialises as `[redacted]`;
 * only `expose` gives the value back, so a search for that word finds every place that can leak.
 */
export class Redacted {
  readonly #plain: string;
  constructor(plain: string) {
    this.#plain = plain;
  }
  /** The plaintext. Call it where the value is sealed, compared or handed to whoever asked to reveal it, and nowhere else. */
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
