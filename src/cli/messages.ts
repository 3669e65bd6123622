import { ConfigError } from '../config/index.ts';
import { GatewayError } from '../errors.ts';
import { failuresOf, isDatabaseUnavailable, MasterKeyError, PlatformLogMissingError } from '../gateway/index.ts';

/** Returns what a user is told about an error, as a sentence. Undefined if the error is a bug. */
export function sentenceOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) {
    const sentences = new Set(failuresOf(error).map((failure) => sentenceOf(failure)));
    return sentences.has(undefined) ? undefined : [...sentences].join('\n');
  }
  if (error instanceof ConfigError || error instanceof PlatformLogMissingError || error instanceof GatewayError) return error.message;
  if (error instanceof MasterKeyError) return `MASTER_KEY: ${error.message}`;
  if (isDatabaseUnavailable(error)) return 'The database does not respond. Run the command again when it does.';
  return error instanceof Error && error.cause instanceof Error ? sentenceOf(error.cause) : undefined;
}

/** Returns a number with its noun, such as `1 secret` or `2 secrets`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
