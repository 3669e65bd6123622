/** The signals that ask a process to stop. SIGHUP is left alone, so that `nohup` works. */
const stopSignals = { SIGINT: 2, SIGTERM: 15 } as const;
type StopSignal = keyof typeof stopSignals;

/**
 * How long a second signal counts as the first one, in milliseconds: npm passes a Ctrl-C on that the terminal has also sent to this process.
 */
const SAME_MILLISECONDS = 500;

const stopping = new AbortController();
/** Whether the command stops by itself when it is told to. */
let isAwaited = false;

/**
 * Handles SIGINT and SIGTERM from now on. Called before anything else is loaded: the first process of a container (PID 1) ignores signals without
 * a handler. If no command waits for the signal, and for a second signal, the process ends at once, with the exit code 128 plus the number of the
 * signal, as shells report it. Ending at once is safe: the databases survive it.
 */
export function handleSignals(): void {
  let firstAt: number | undefined;
  const handle = (name: StopSignal) => {
    const isFirst = firstAt === undefined;
    firstAt ??= performance.now();
    if (isFirst && isAwaited) stopping.abort();
    else if (isFirst || performance.now() - firstAt >= SAME_MILLISECONDS) process.exit(128 + stopSignals[name]);
  };
  for (const name of Object.keys(stopSignals) as StopSignal[]) process.on(name, handle);
}

/**
 * Returns a signal that the first SIGINT or SIGTERM aborts. The caller must then stop by itself. The second one ends the process at once.
 */
export function untilSignal(): AbortSignal {
  isAwaited = true;
  return stopping.signal;
}
