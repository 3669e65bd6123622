import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { everyMinute } from '../src/jobs.ts';

let logs: string[];
const logger = pino({}, { write: (line) => void logs.push(line) });
beforeEach(() => {
  logs = [];
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

it('runs each job every minute until it is ended, whatever becomes of the others', async () => {
  const run = vi.fn(async () => {});
  const failing = vi.fn(async () => Promise.reject(new RangeError('hunter2')));
  const end = everyMinute(
    [
      [failing, 'it failed'],
      [run, ''],
    ],
    logger,
  );
  await vi.advanceTimersByTimeAsync(180_000);
  end();
  await vi.advanceTimersByTimeAsync(180_000);
  expect([run.mock.calls.length, failing.mock.calls.length]).toEqual([3, 3]);
});

it('logs the names of what failed, and no message', async () => {
  const errors = [new RangeError('hunter2'), new TypeError('hunter2'), new RangeError('hunter2')];
  const end = everyMinute(
    [
      [async () => Promise.reject(errors[0]), 'one failed'],
      [async () => Promise.reject(new AggregateError(errors, 'hunter2')), 'many failed'],
    ],
    logger,
  );
  await vi.advanceTimersByTimeAsync(60_000);
  end();
  expect(logs.map((line) => JSON.parse(line)).map(({ errors, msg }) => ({ errors, msg }))).toEqual([
    { errors: 'RangeError', msg: 'one failed; it will be retried in a minute' },
    { errors: 'RangeError, TypeError', msg: 'many failed; it will be retried in a minute' },
  ]);
  expect(logs.join()).not.toContain('hunter2');
});

// Two runs of one job in one process would do the same work twice, and conflict.
it('does not begin a job again before it has ended', async () => {
  let release = () => {};
  const run = vi.fn(() => new Promise<void>((resolve) => (release = resolve)));
  const end = everyMinute([[run, '']], logger);
  await vi.advanceTimersByTimeAsync(180_000);
  expect(run).toHaveBeenCalledOnce();
  release();
  await vi.advanceTimersByTimeAsync(60_000);
  end();
  expect(run).toHaveBeenCalledTimes(2);
});
