import { loggableDefect } from '../errors.ts';

/**
 * Ends the process on an uncaught error, and prints only its class and place. Node's own handler prints the whole error, which may contain
 * input. Unhandled rejections and errors of the embedded database's thread are handled here, too.
 */
export function endOnDefects(): void {
  process.on('uncaughtException', (error) => {
    printDefect(error);
    process.exit(1);
  });
}

/** Prints where a bug is, as one line of JSON. */
export function printDefect(error: unknown): void {
  process.stderr.write(`${JSON.stringify({ defect: loggableDefect(error), msg: 'the process ends because of a bug' })}\n`);
}
