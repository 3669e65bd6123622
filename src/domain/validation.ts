import { GatewayError, type Path, ValidationError } from '../errors.ts';

/** @throws ValidationError when `expiresAt` is not in the future. `path` is that of the object that contains it. */
export function refusePast(expiresAt: Date | null | undefined, now: Date, path: Path = []): void {
  if (expiresAt && expiresAt <= now) throw new ValidationError([{ path: [...path, 'expiresAt'], message: 'must be in the future' }]);
}

/** Runs a function that handles a part of an input. Adds the path of that part to the paths of its errors. */
export async function at<T>(path: Path, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof GatewayError ? error.within(path) : error;
  }
}
