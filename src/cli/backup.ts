import { resolve } from 'node:path';
import { type Config, ConfigError, dataPaths } from '../config.ts';
import { backupEmbeddedMongodb, restoreEmbeddedMongodb } from '../embedded-mongodb/index.ts';

/** Copies the embedded database to a file, while a server writes or not. @throws ConfigError */
export async function backup(config: Config, file: string): Promise<void> {
  await told(() => backupEmbeddedMongodb({ directory: embeddedDirectory(config), file: resolve(file) }));
}

/** Puts a backup where the embedded database will be. @throws ConfigError */
export async function restore(config: Config, file: string): Promise<Config> {
  await told(() => restoreEmbeddedMongodb({ directory: embeddedDirectory(config), file: resolve(file) }));
  return config;
}

function embeddedDirectory(config: Config): string {
  if (config.mongodbUri) throw new ConfigError('MONGODB_URI is set: back that database up with its own tools, such as mongodump.');
  return dataPaths(config.dataDirectory).database;
}

/** What the user can mend, in a line. */
async function told(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}.`);
  }
}
