import { ConfigError } from '../config.ts';
import { GatewayError } from '../errors.ts';
import { failuresOf, isDatabaseUnavailable, MasterKeyError, PlatformLogMissingError } from '../gateway.ts';

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

/** Says that the output cannot be written, and ends the process. A command whose output nobody gets has nothing left to do. */
export function endOnClosedOutput(): void {
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    process.stderr.write(`The output cannot be written (${code}).\n`);
    process.exit(1);
  });
  // Where nothing can be said, the exit code is all that is left.
  process.stderr.on('error', () => {});
}

/** The server continues without its output: its log is lost, and an audit sink on stdout reports that by itself. */
export function continueOnClosedOutput(): void {
  process.stdout.removeAllListeners('error').on('error', () => {});
}
