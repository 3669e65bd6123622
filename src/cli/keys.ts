import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError } from '../config.ts';

const KEY_BYTES = 32;

/** Reads master keys from text: base64 or base64url, separated by commas or lines. @throws ConfigError naming the setting */
export function parseMasterKeys(text: string, setting: string): Uint8Array[] {
  const keys = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map((part) => new Uint8Array(Buffer.from(part, 'base64')));
  if (keys.length === 0 || keys.some((key) => key.length !== KEY_BYTES)) {
    throw new ConfigError(
      `${setting} must hold keys of ${KEY_BYTES} bytes in base64, separated by commas or lines, as from: openssl rand -base64 32.`,
    );
  }
  return keys;
}

/** Reads a file of master keys. @throws ConfigError when it cannot be read or holds something else */
export function readMasterKeyFile(file: string): Uint8Array[] {
  return parseMasterKeys(readOrExplain(file, 'MASTER_KEY_FILE'), 'MASTER_KEY_FILE');
}

/** Whether there is a file. */
export function hasFile(file: string): boolean {
  return existsSync(file);
}

/** The random bytes that a file keeps; a file that is missing is made, for this user only. */
export function keptRandomBytes(file: string): Uint8Array {
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    try {
      // Never over a file that another process has made meanwhile.
      writeFileSync(file, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  chmodSync(file, 0o600);
  const [bytes] = parseMasterKeys(readOrExplain(file, file), file);
  return bytes!;
}

function readOrExplain(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`${setting} cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
  }
}
