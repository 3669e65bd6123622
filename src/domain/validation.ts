import { GatewayError, type Path, ValidationError } from '../errors.ts';

/** @throws ValidationError when the time at which something is to end has come already; `path` is that of what has the time */
export function refusePast(expiresAt: Date | null | undefined, now: Date, path: Path = []): void {
  if (expiresAt && expiresAt <= now) throw new ValidationError([{ path: [...path, 'expiresAt'], message: 'must be in the future' }]);
}

/** Runs what was given a part of an input: the paths of its errors begin with where that part stands. */
export async function at<T>(path: Path, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof GatewayError ? error.within(path) : error;
  }
}
