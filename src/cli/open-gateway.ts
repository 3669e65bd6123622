import { accessSync, constants, mkdirSync } from 'node:fs';
import { type Config, ConfigError, dataPaths, isLoopback } from '../config.ts';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../embedded-mongodb/index.ts';
import { createGateway, type Gateway, hasDataKeys, MasterKeyError, type MasterKeySource } from '../gateway.ts';
import { createLogger } from './logger.ts';
import { hasFile, keptRandomBytes, parseMasterKeys, readMasterKeyFile } from './master-keys.ts';

export interface OpenGateway {
  readonly gateway: Gateway;
  /** What a development token is signed with; undefined where there are none. */
  readonly developmentSecret: Uint8Array | undefined;
  /** Which database, and where its data is, in words. */
  readonly databaseDescription: string;
  /** What was made on the way and the user should know of. */
  readonly notices: readonly string[];
  /** Lets go of the database, and ends the embedded one if this process started it. */
  close(): Promise<void>;
}

/** Opens the gateway of a configuration: with the server running beside it or not, as every command does. @throws ConfigError */
export async function openGateway(config: Config): Promise<OpenGateway> {
  const paths = dataPaths(config.dataDirectory);
  const notices: string[] = [];
  if (config.mongodbUri === undefined) makeDirectory(config.dataDirectory);
  const embedded = config.mongodbUri === undefined ? await startEmbedded(paths.database, config.embeddedMongodbPort) : undefined;
  try {
    const uri = config.mongodbUri ?? embedded!.uri;
    const developmentSecret = developmentSecretOf(config);
    const gateway = await createGateway({
      database: { uri, name: config.databaseName },
      masterKeys: await masterKeysOf(config, uri, notices),
      tokens: { ...config.tokens, key: config.tokens.key ?? { secret: developmentSecret! } },
      logger: await createLogger(config),
      logsDefectMessages: config.isDevelopment,
      graphiql: config.graphiql,
      allowedHosts: config.allowedHosts,
      corsOrigins: config.corsOrigins,
      trustedProxies: config.trustedProxies,
      limits: config.limits,
    });
    return {
      gateway,
      developmentSecret,
      databaseDescription: embedded ? `embedded, in ${paths.database}, at ${embedded.uri}` : `MongoDB, database ${config.databaseName}`,
      notices,
      async close() {
        await gateway.stop();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw explained(error);
  }
}

async function startEmbedded(directory: string, port: number | undefined): Promise<EmbeddedMongodb> {
  try {
    return await startEmbeddedMongodb({ directory, worker: true, ...(port !== undefined && { port }) });
  } catch (error) {
    // It holds nothing of anybody yet.
    throw new ConfigError(`DATA_DIR: the embedded database in ${directory} does not start: ${(error as Error).message}.`);
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    accessSync(directory, constants.W_OK);
  } catch (error) {
    throw new ConfigError(
      `DATA_DIR: ${directory} cannot be written (${(error as NodeJS.ErrnoException).code}). Name a directory that can.`,
    );
  }
}

/** MongoDB's code. */
const AUTHENTICATION_FAILED = 18;

/** What a user can mend, said as such; a defect as it is. */
function explained(error: unknown): unknown {
  if (error instanceof MasterKeyError) return new ConfigError(`MASTER_KEY: ${error.message}`);
  if (error instanceof Error && error.name === 'MongooseServerSelectionError') {
    return new ConfigError(
      'MONGODB_URI: no database answered within ten seconds. Check the address, the network and the credentials in it.',
    );
  }
  if (error instanceof Error && error.name === 'MongoParseError') return new ConfigError('MONGODB_URI: this is not a connection string.');
  if (error instanceof Error && 'code' in error && error.code === AUTHENTICATION_FAILED) {
    return new ConfigError('MONGODB_URI: the database refuses the user name and password in it.');
  }
  return error;
}

/** The secret of development tokens, which exist on the embedded database and on loopback only. */
export function developmentSecretOf(config: Config): Uint8Array | undefined {
  if (config.tokens.key || config.mongodbUri || !isLoopback(config.host)) return undefined;
  return keptRandomBytes(dataPaths(config.dataDirectory).tokenSecret);
}

async function masterKeysOf(config: Config, uri: string, notices: string[]): Promise<readonly MasterKeySource[]> {
  const { masterKeys } = config;
  if (masterKeys) return 'base64' in masterKeys ? parseMasterKeys(masterKeys.base64, 'MASTER_KEY') : readMasterKeyFile(masterKeys.file);
  const { masterKey } = dataPaths(config.dataDirectory);
  if (!hasFile(masterKey)) {
    if (await hasDataKeys({ uri, name: config.databaseName })) {
      throw new ConfigError(
        `The database holds data keys, and the master key that wrapped them is not in ${masterKey}. Put it back there, or give it as MASTER_KEY; a new one would open nothing.`,
      );
    }
    notices.push(`Made a master key: ${masterKey}. Without it no secret can be opened; keep a copy elsewhere.`);
  }
  keptRandomBytes(masterKey);
  return readMasterKeyFile(masterKey, masterKey);
}
