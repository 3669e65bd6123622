import type { Logger } from 'pino';

/** A periodic job, and the log message for when it fails. */
export type Job = readonly [run: () => Promise<unknown>, failure: string];

const MINUTE_MS = 60_000;

/** Runs the jobs concurrently each minute. A job is not started again while it is running. Returns a function that stops them. */
export function everyMinute(jobs: readonly Job[], logger: Logger): () => void {
  return every(MINUTE_MS, jobs, logger);
}

/** The same, with another time between two runs, in milliseconds. */
export function every(milliseconds: number, jobs: readonly Job[], logger: Logger): () => void {
  const running = new Set<Job>();
  const timer = setInterval(() => {
    for (const job of jobs) {
      if (running.has(job)) continue;
      running.add(job);
      const [run, failure] = job;
      run()
        .catch((error: unknown) =>
          logger.error(
            { errors: namesOf(error) },
            `${failure}; it will be retried in ${milliseconds === MINUTE_MS ? 'a minute' : `${milliseconds / 1_000} seconds`}`,
          ),
        )
        .finally(() => running.delete(job));
    }
  }, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

/** Returns the names of the errors, without duplicates. Their messages may contain values, which must not be logged. */
function namesOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return [...new Set(errors.map(({ name }: Error) => name))].join(', ');
}
