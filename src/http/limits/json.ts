import { LimitExceededError } from '../../errors.ts';

/** The maximum nesting of lists and objects. The inputs of the schema need less than twenty. */
const NESTING_MAX = 64;
/** The maximum number of values in a text: of items, members and the brackets around them. */
const VALUES_MAX = 50_000;
/** The maximum number of names of members. Parsing a new name takes ten times as long as parsing another value. */
const NAMES_MAX = 20_000;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Scans JSON text (RFC 8259) in UTF-8, chunk by chunk, before it is parsed. Counts what makes parsing slow. It does not check the syntax: in
 * text that is not JSON, it only counts the same characters, and the parser rejects the text.
 */
export function createJsonScanner() {
  let nesting = 0;
  let values = 0;
  let names = 0;
  let isInText = false;
  let isEscaped = false;
  return {
    /** Returns the number of values and names so far. */
    count: () => values + names,

    /** @throws LimitExceededError */
    scan(chunk: Uint8Array): void {
      for (let index = 0; index < chunk.length; index++) {
        const byte = chunk[index];
        if (isInText) {
          // Bytes of characters outside of ASCII are never equal to those of quotes and backslashes.
          if (isEscaped) isEscaped = false;
          else if (byte === BACKSLASH) isEscaped = true;
          else if (byte === QUOTE) isInText = false;
          continue;
        }
        switch (byte) {
          case QUOTE:
            isInText = true;
            break;
          case OPEN_LIST:
          case OPEN_OBJECT:
            if (++nesting > NESTING_MAX) throw new LimitExceededError('The JSON is nested too deeply', 'NESTING', NESTING_MAX);
            if (++values > VALUES_MAX) throw tooManyValues();
            break;
          case CLOSE_LIST:
          case CLOSE_OBJECT:
            if (nesting > 0) nesting--;
            break;
          case COMMA:
            if (++values > VALUES_MAX) throw tooManyValues();
            break;
          case COLON:
            if (++names > NAMES_MAX) throw new LimitExceededError('The JSON has too many names of members', 'JSON_NAMES', NAMES_MAX);
            break;
        }
      }
    },
  };
}

function tooManyValues(): LimitExceededError {
  return new LimitExceededError('The JSON has too many values', 'JSON_VALUES', VALUES_MAX);
}
