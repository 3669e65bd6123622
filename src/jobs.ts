import type { Logger } from './logger.ts';

/** A periodic job, and the log message for when it fails. */
export type Job = readonly [run: () => Promise<unknown>, failure: string];

const MINUTE_MS = 60_000;
/** How long the end waits for jobs that run. */
const END_MS = 5_000;

/**
 * Runs the jobs concurrently each minute. A job is not started again while it is running. Returns a function that stops them, and
 * waits for those that run, but not for long.
 */
export function everyMinute(jobs: readonly Job[], logger: Logger): () => Promise<void> {
  return every(MINUTE_MS, jobs, logger);
}

/** The same, with another time between two runs, in milliseconds. */
export function every(milliseconds: number, jobs: readonly Job[], logger: Logger): () => Promise<void> {
  const running = new Map<Job, Promise<void>>();
  const timer = setInterval(() => {
    for (const job of jobs) {
      if (running.has(job)) continue;
      const [run, failure] = job;
      const done = run()
        .then(() => {})
        .catch((error: unknown) =>
          logger.error(
            { errors: namesOf(error) },
            `${failure}; it will be retried in ${milliseconds === MINUTE_MS ? 'a minute' : `${milliseconds / 1_000} seconds`}`,
          ),
        )
        .finally(() => running.delete(job));
      running.set(job, done);
    }
  }, milliseconds);
  timer.unref();
  return async () => {
    clearInterval(timer);
    const late = new Promise((resolve) => setTimeout(resolve, END_MS).unref());
    await Promise.race([Promise.all(running.values()), late]);
  };
}

/** Returns the names of the errors, without duplicates. Their messages may contain values, which must not be logged. */
function namesOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return [...new Set(errors.map(({ name }: Error) => name))].join(', ');
}
