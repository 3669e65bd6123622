import { loggableDefect } from '../errors.ts';

/**
 * Ends the process when an error is nobody's, and tells its class and place. Node by itself prints the error with all that it holds, which may
 * be what somebody sent; a rejection, and an error of the database's thread, come here, too.
 */
export function endOnDefects(): void {
  process.on('uncaughtException', (error) => {
    printDefect(error);
    process.exit(1);
  });
}

/** Prints where a defect is, as one line of JSON. */
export function printDefect(error: unknown): void {
  process.stderr.write(`${JSON.stringify({ defect: loggableDefect(error), msg: 'a defect ends the process' })}\n`);
}
