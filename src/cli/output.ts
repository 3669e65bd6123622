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
