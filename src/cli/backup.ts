import { resolve } from 'node:path';
import { type Config, ConfigError, dataPaths } from '../config/index.ts';
import { backupEmbeddedMongodb, checkEmbeddedMongodb, restoreEmbeddedMongodb } from '../embedded-mongodb/index.ts';
import { PlatformLogMissingError } from '../gateway/index.ts';
import { openGateway } from './open-gateway.ts';

/** Copies the embedded database to a file. A server may be writing at the same time. @throws ConfigError */
export async function backup(config: Config, file: string): Promise<void> {
  await told(() => backupEmbeddedMongodb({ directory: embeddedDirectory(config), file: resolve(file) }));
}

/** Restores a backup as the embedded database. @throws ConfigError */
export async function restore(config: Config, file: string): Promise<Config> {
  await told(() => restoreEmbeddedMongodb({ directory: embeddedDirectory(config), file: resolve(file) }));
  return config;
}

/**
 * Writes the backup to the log of the platform. A backup needs no master key, but the log does. Without one, returns a notice for the user.
 */
export async function recordBackup(config: Config): Promise<string[]> {
  try {
    const { gateway, close } = await openGateway({ ...config, logLevel: 'silent' });
    try {
      await gateway.platform.record('backup');
    } finally {
      await close();
    }
    return [];
  } catch (error) {
    const isTold = error instanceof ConfigError || error instanceof PlatformLogMissingError;
    return [`The backup is not in the log of the platform: ${isTold ? error.message : 'the database could not be opened.'}`];
  }
}

/** Checks the file of the embedded database, and prints the result. Returns the exit code: 1 if it is damaged. @throws ConfigError */
export async function check(config: Config, print: (line: string) => void): Promise<number> {
  const { collections, documents, indexEntries, damage } = await told(() => checkEmbeddedMongodb({ directory: embeddedDirectory(config) }));
  print(
    `${damage.length ? 'DAMAGED' : 'intact'}; ${documents} documents in ${collections} collections, ${indexEntries} entries in indexes`,
  );
  for (const problem of damage) print(`  ${problem}`);
  return damage.length ? 1 : 0;
}

function embeddedDirectory(config: Config): string {
  if (config.mongodbUri) throw new ConfigError('MONGODB_URI is set: use the tools of that database, such as mongodump.');
  return dataPaths(config.dataDirectory).database;
}

/** Converts errors, all of which the user can fix, to messages of one line. */
async function told<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const { message } = error as Error;
    throw new ConfigError(`${message.charAt(0).toUpperCase()}${message.slice(1)}.`);
  }
}
