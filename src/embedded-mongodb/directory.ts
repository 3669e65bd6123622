import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';

/** Returns the data directory. If it does not exist, creates it for this user only. If others can enter it, ends that. */
export function prepareDirectory(directory: string): string {
  if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = realpathSync(directory);
  const { uid, mode } = statSync(path);
  if (statSync(path).isDirectory() && uid === userInfo().uid && (mode & 0o077) !== 0) chmodSync(path, 0o700);
  return path;
}
