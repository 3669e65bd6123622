import cliProgress from 'cli-progress';
import { ConfigError } from '../config/index.ts';
import { NotFoundError } from '../errors.ts';
import type { Gateway, KeyProgress, RewrapReport, RotationReport } from '../gateway/index.ts';
import { count } from './messages.ts';
import { untilSignal } from './signals.ts';

type Print = (line: string) => void;

/** The exit code of a command that was ended by SIGINT. */
export const STOPPED = 130;

/**
 * Rotates data keys, with a progress bar, until it is done or receives a signal. Returns the exit code.
 * @throws ConfigError when there is no such organization
 */
export async function rotate(
  gateway: Gateway,
  options: { readonly organization?: string; readonly finish?: boolean; readonly wait?: boolean },
  print: Print,
): Promise<number> {
  const signal = untilSignal();
  const { organization, finish = false, wait = false } = options;
  const only = organization === undefined ? {} : { organizationId: organization };
  const run = (newKeys: boolean) => withBar('secrets', (onProgress) => gateway.keys.rotate({ ...only, newKeys, signal, onProgress }));
  let report = await run(!finish).catch((error) => {
    throw error instanceof NotFoundError ? new ConfigError('There is no organization with that name.') : error;
  });
  tellRotation(report, print);
  while (wait && report.restingUntil && !signal.aborted) {
    await until(report.restingUntil, signal);
    if (signal.aborted) break;
    report = await run(false);
    tellRotation(report, print);
  }
  if (report.stopped || (wait && signal.aborted)) {
    print('Stopped. Run the command again to continue.');
    return STOPPED;
  }
  if (report.restingUntil) {
    const old = report.resting === 1 ? 'An old key must be kept' : `${report.resting} old keys must be kept`;
    print(
      `${old} until ${report.restingUntil.toISOString()}, because open transactions may still use it. Then run the command with --finish, or now with --wait.`,
    );
  }
  return report.unreadableCount > 0 ? 1 : 0;
}

function tellRotation(report: RotationReport, print: Print): void {
  if (report.continued > 0) {
    print(
      `In ${count(report.continued, 'organization')} an earlier rotation was not finished: it was continued, and no new key was created.`,
    );
  }
  print(`New keys: ${report.newKeys}. Re-sealed secrets: ${report.resealed}. Destroyed keys: ${report.destroyed}.`);
  tellUnreadable(report, 'cannot be opened and stay sealed under the old key, which is kept', print);
}

/** Prints the secrets that cannot be opened, if there are any. */
export function tellUnreadable(
  { unreadableCount, unreadable }: Pick<RotationReport, 'unreadableCount' | 'unreadable'>,
  what: string,
  print: Print,
): void {
  if (unreadableCount === 0) return;
  print(`${count(unreadableCount, 'secret')} ${what}:`);
  for (const { organizationId, noun, credentialId, field, why } of unreadable) {
    print(`  ${organizationId}, ${noun} ${credentialId}, ${field}: ${why}`);
  }
  if (unreadable.length < unreadableCount) print('  …');
}

/** Wraps data keys again under the first master key. Returns the exit code. */
export async function rewrap(gateway: Gateway, print: Print): Promise<number> {
  const signal = untilSignal();
  const report: RewrapReport = await withBar('data keys', (onProgress) => gateway.keys.rewrap({ signal, onProgress }));
  print(`Re-wrapped: ${report.rewrapped}. Already under the first master key: ${report.kept}.`);
  if (report.stopped) {
    print('Stopped. Run the command again to continue.');
    return STOPPED;
  }
  if (report.failed > 0) {
    print(
      `${count(report.failed, 'data key')} cannot be unwrapped with the configured master keys: keep the master key that wrapped them.`,
    );
    return 1;
  }
  print('The other master keys are no longer needed.');
  return 0;
}

function until(time: Date, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, time.getTime() - Date.now()) + 1_000);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Runs something with a progress bar. */
export async function withBar<T>(noun: string, run: (onProgress: (progress: KeyProgress) => void) => Promise<T>): Promise<T> {
  const bar = new cliProgress.SingleBar(
    { format: `{bar} {percentage}% | {value}/{total} ${noun} | {duration_formatted}`, noTTYOutput: false, stream: process.stderr },
    cliProgress.Presets.shades_classic,
  );
  let isStarted = false;
  try {
    return await run(({ done, total }) => {
      if (!isStarted && total > 0) {
        bar.start(total, done);
        isStarted = true;
      }
      bar.setTotal(total);
      bar.update(done);
    });
  } finally {
    if (isStarted) bar.stop();
  }
}
