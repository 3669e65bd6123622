import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Config, ConfigError, dataPaths } from '../config/index.ts';
import { type MasterKeySource, masterKeyProblem } from '../gateway/index.ts';
import { type PrivateFileOptions, readPrivateFile } from './private-files.ts';

const KEY_BYTES = 32;

/** The prefix of the ARN of a key in AWS KMS, in a list of master keys. */
const AWS_KMS = 'aws-kms:';

/**
 * Reads a list of master keys, separated by commas or lines: each 32 bytes in base64 or base64url, or the ARN of a key in AWS KMS.
 * @throws ConfigError, naming the setting, when they cannot be used (`masterKeyProblem`)
 */
export function parseMasterKeys(text: string, setting: string): MasterKeySource[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  const keys = parts.map((part) => (part.startsWith(AWS_KMS) ? { awsKmsKeyArn: part.slice(AWS_KMS.length) } : bytesOf(part)));
  const problem = masterKeyProblem(keys);
  if (problem) throw new ConfigError(`${setting}: ${problem}`);
  return keys;
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

/** Returns the first of the keys in a file. */
function firstBytesOf(text: string, file: string): Uint8Array {
  const bytes = bytesOf(text.trim().split(/[\s,]+/)[0]!);
  if (bytes.length !== KEY_BYTES) throw new ConfigError(`${file}: the key must be ${KEY_BYTES} bytes in base64.`);
  return bytes;
}

/**
 * Reads a file of master keys, see `readPrivateFile`.
 * @throws ConfigError, naming the setting, when it cannot be read, others can read it, or it contains anything else
 */
export function readMasterKeyFile(file: string, setting = 'MASTER_KEY_FILE', options?: PrivateFileOptions): MasterKeySource[] {
  return readPrivateFile(file, setting, (text) => parseMasterKeys(text, setting), options);
}

/** Returns whether the file exists. */
export function hasFile(file: string): boolean {
  return existsSync(file);
}

/** Returns the key in a file, the first if there are several. Creates a missing file with a random key, readable for this user only. */
export function keptRandomBytes(file: string, options?: PrivateFileOptions): Uint8Array {
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    try {
      // Never overwrites a file that another process has created in the meantime.
      writeFileSync(file, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return readPrivateFile(file, file, (text) => firstBytesOf(text, file), options);
}

/** Returns the secret of development tokens, which are available only on somebody's own machine. */
export function developmentSecretOf(config: Config): Uint8Array | undefined {
  if (config.tokens.key || !config.isDevelopment) return undefined;
  return keptRandomBytes(dataPaths(config.dataDirectory).tokenSecret, { mayLackPermissions: true });
}
