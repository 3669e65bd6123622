import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Config, ConfigError, dataPaths } from '../config/index.ts';
import { isAwsKmsKeyArn, type MasterKeySource } from '../gateway/index.ts';
import { keyPlaceholder } from '../placeholders.ts';
import { type PrivateFileOptions, readPrivateFile } from './private-files.ts';

const KEY_BYTES = 32;

/** The prefix of the ARN of a key in AWS KMS, in a list of master keys. */
const AWS_KMS = 'aws-kms:';

/**
 * Reads a list of master keys, separated by commas or lines: each 32 bytes in base64 or base64url, or the ARN of a key in AWS KMS. The first one,
 * which wraps, must not be a placeholder; the others may be, so that it can be replaced.
 * @throws ConfigError naming the setting
 */
export function parseMasterKeys(text: string, setting: string): MasterKeySource[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  const keys = parts.map((part) => (part.startsWith(AWS_KMS) ? awsKmsKey(part.slice(AWS_KMS.length), setting) : keyBytes(part, setting)));
  const [first] = keys;
  if (!first) throw wrongKey(setting);
  const reason = first instanceof Uint8Array ? keyPlaceholder(first) : undefined;
  if (!reason) return keys;
  throw new ConfigError(
    `${setting}: the first key is a placeholder: it ${reason}. To create a key, run: openssl rand -base64 32. If secrets are already stored, keep the old key in second place and run: credential-gateway keys rewrap. The README says under "A leaked master key" what else to do.`,
  );
}

function keyBytes(base64: string, setting: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  if (bytes.length !== KEY_BYTES) throw wrongKey(setting);
  return bytes;
}

function awsKmsKey(awsKmsKeyArn: string, setting: string): MasterKeySource {
  if (isAwsKmsKeyArn(awsKmsKeyArn)) return { awsKmsKeyArn };
  throw new ConfigError(
    `${setting}: aws-kms: must be followed by the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID. The ARN of an alias is not accepted.`,
  );
}

function wrongKey(setting: string): ConfigError {
  return new ConfigError(
    `${setting} must contain keys of ${KEY_BYTES} bytes in base64, separated by commas or lines. To create one, run: openssl rand -base64 32.`,
  );
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
  return readPrivateFile(file, file, (text) => keyBytes(text.trim().split(/[\s,]+/)[0]!, file), options);
}

/** Returns the secret of development tokens, which are available only on somebody's own machine. */
export function developmentSecretOf(config: Config): Uint8Array | undefined {
  if (config.tokens.key || !config.isDevelopment) return undefined;
  return keptRandomBytes(dataPaths(config.dataDirectory).tokenSecret, { mayLackPermissions: true });
}
