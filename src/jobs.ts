import type { Logger } from 'pino';

/** Something that a gateway does by itself, and what the log says when it fails. */
export type Job = readonly [run: () => Promise<unknown>, failure: string];

const MINUTE_MS = 60_000;

/** Runs the jobs each minute, side by side; one that takes longer is not begun again before it ends. Answers how to end that. */
export function everyMinute(jobs: readonly Job[], logger: Logger): () => void {
  const running = new Set<Job>();
  const timer = setInterval(() => {
    for (const job of jobs) {
      if (running.has(job)) continue;
      running.add(job);
      const [run, failure] = job;
      run()
        .catch((error: unknown) => logger.error({ name: namesOf(error) }, `${failure}; it is tried again in a minute`))
        .finally(() => running.delete(job));
    }
  }, MINUTE_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** The names of the errors, each once. Their messages may hold values, which are not for the log. */
function namesOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return [...new Set(errors.map(({ name }: Error) => name))].join(', ');
}
