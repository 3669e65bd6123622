import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Logger } from 'pino';
import type { AuditSinkTarget } from '../audit-sink.ts';
import { type Config, ConfigError, dataPaths } from '../config/index.ts';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../embedded-mongodb/index.ts';
import type { Gateway, MasterKeySource } from '../gateway/index.ts';
import { requireGraphiql } from '../optional-package.ts';
import { SchemaNamesError } from '../schema-names.ts';
import { makeDirectoryPrivate } from './private-files.ts';
import { namesProblem } from './subgraph.ts';

export interface OpenGateway {
  readonly gateway: Gateway;
  /** The key that signs development tokens. Undefined if there are none. */
  readonly developmentSecret: Uint8Array | undefined;
  /** A description of the database and its location. */
  readonly databaseDescription: string;
  /** The connection string of the database. */
  readonly databaseUri: string;
  /** Whether browsers get GraphiQL. */
  readonly servesGraphiql: boolean;
  /** Messages for the user: about files that were created, and what is not served. */
  readonly notices: readonly string[];
  readonly logger: Logger;
  /** Closes the database connections, and stops the embedded database if this process started it. */
  close(): Promise<void>;
}

interface OpenOptions {
  readonly isServer?: boolean;
  readonly opensOldFormat?: boolean;
  /** In a worker: the connection string of the database that the main process has opened. */
  readonly workerDatabase?: string;
}

/** Loads what most of the start is spent with. What is wrong with the arguments or the settings is said before. */
async function loadModules() {
  const [gateway, logger, masterKeys, restoreNote] = await Promise.all([
    import('../gateway/index.ts'),
    import('./logger.ts'),
    import('./master-keys.ts'),
    import('./restore-note.ts'),
  ]);
  return { ...gateway, ...logger, ...masterKeys, ...restoreNote };
}
type Modules = Awaited<ReturnType<typeof loadModules>>;

/**
 * Opens the gateway of a configuration, whether or not a server is running. Only a server streams the audit log: what a command writes is
 * sent by the next server, and the output of a command stays its own. `opensOldFormat` is for the migration.
 * @throws ConfigError
 */
export async function openGateway(config: Config, options: OpenOptions = {}): Promise<OpenGateway> {
  const { isServer = false, opensOldFormat = false, workerDatabase } = options;
  const paths = dataPaths(config.dataDirectory);
  const notices: string[] = [];
  const isEmbedded = config.mongodbUri === undefined && workerDatabase === undefined;
  if (isEmbedded) prepareDataDirectory(config);
  // The thread of the database starts while the modules are loaded.
  const starting = isEmbedded ? startEmbedded(paths.database, config.embeddedMongodbPort) : undefined;
  const [modules, embedded] = await Promise.all([loadModules(), starting]);
  try {
    const uri = config.mongodbUri ?? workerDatabase ?? embedded!.uri;
    const developmentSecret = modules.developmentSecretOf(config);
    const logger = await modules.createLogger(config);
    // Without the database, nothing can be done, and what is being done would wait for it in vain.
    embedded?.ended?.then(() => endBecauseOf(databaseEnded(paths.database)));
    if (isServer && config.auditSink) checkSink(config.auditSink.target);
    const servesGraphiql = isServer && canServeGraphiql(config, notices);
    const gateway = await modules.createGateway({
      database: { uri, name: config.databaseName },
      masterKeys: await masterKeysOf(config, uri, notices, modules),
      tokens: { ...config.tokens, key: config.tokens.key ?? { secret: developmentSecret! } },
      logger,
      logsDefectMessages: config.isDevelopment,
      graphiql: servesGraphiql,
      allowedHosts: config.allowedHosts,
      corsOrigins: config.corsOrigins,
      trustedProxies: config.trustedProxies,
      limits: config.limits,
      policy: config.policy,
      opensOldFormat,
      isLazy: !isServer,
      sharesJobs: workerDatabase !== undefined,
      logsReads: config.logsReads,
      federation: config.federation,
      names: config.names,
      checkConnectionsHours: config.checkConnectionsHours,
      eventDays: config.eventDays,
      outbound: config.outbound,
      auditsProxied: config.auditsProxied,
      // The server has let them end before.
      drainSeconds: 0,
      ...(isServer && config.auditSink && { auditSink: config.auditSink }),
      ...(isServer && config.trustedDocuments && { trustedDocuments: trustedDocumentsOf(config.trustedDocuments) }),
    });
    if (embedded) {
      await modules.recordRestore(config.dataDirectory, gateway).catch(async (error) => {
        await gateway.stop();
        throw error;
      });
    }
    return {
      gateway,
      developmentSecret,
      databaseDescription: embedded ? describe(embedded, paths.database) : `MongoDB, database ${config.databaseName}`,
      databaseUri: uri,
      servesGraphiql,
      notices,
      logger,
      async close() {
        await gateway.stop();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw explained(error, modules, embedded && paths.database);
  }
}

function describe({ uri, ended }: EmbeddedMongodb, directory: string): string {
  const where = `embedded, in ${directory}, at ${uri}`;
  return ended ? `${where}. Another process serves it; this process ends when that one ends` : where;
}

function databaseEnded(directory: string): string {
  return `DATA_DIR: the process that served the embedded database in ${directory} has ended, so this process ends, too. Start it again.`;
}

/** Ends the process. What is under way is lost, as its database is. */
function endBecauseOf(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

async function startEmbedded(directory: string, port: number | undefined): Promise<EmbeddedMongodb> {
  try {
    return await startEmbeddedMongodb({ directory, worker: true, ...(port !== undefined && { port }) });
  } catch (error) {
    // The message cannot contain any data yet.
    throw new ConfigError(`DATA_DIR: the embedded database in ${directory} cannot be started: ${(error as Error).message}.`);
  }
}

/** Creates the data directory, and makes sure that nobody else can read or replace what is in it. */
function prepareDataDirectory({ dataDirectory: directory, isDevelopment }: Config): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    accessSync(directory, constants.W_OK);
  } catch (error) {
    throw new ConfigError(
      `DATA_DIR: ${directory} is not writable (${(error as NodeJS.ErrnoException).code}). Choose a writable directory.`,
    );
  }
  makeDirectoryPrivate(
    directory,
    'DATA_DIR',
    Object.values(dataPaths(directory)).map((path) => basename(path)),
    { mayLackPermissions: isDevelopment },
  );
}

/** What an error of MongoDB means, by its code (`error_codes.yml` of MongoDB). */
const databaseErrors: Readonly<Record<string, string>> = {
  13: 'the user has no permission to read and write the database',
  18: 'the database rejected its user name and password',
  20: 'the database does not support transactions; a replica set or a sharded cluster is needed',
};

/** Returns a ConfigError for an error that the user can fix, and any other error unchanged. */
function explained(
  error: unknown,
  { OldFormatError, MasterKeyError, MissingPackageError, TrustedDocumentsError }: Modules,
  embeddedDirectory: string | undefined,
): unknown {
  if (error instanceof OldFormatError) {
    return new ConfigError(
      'The database was written by an earlier version, which did not authenticate what it stored. Stop all copies of the gateway and make a backup. If you trust the contents of the database, run `credential-gateway migrate` once.',
    );
  }
  if (error instanceof SchemaNamesError) return new ConfigError(namesProblem(error));
  if (error instanceof MissingPackageError) return new ConfigError(missingPackage(error));
  if (error instanceof TrustedDocumentsError) return new ConfigError(`TRUSTED_DOCUMENTS: ${error.message}.`);
  if (error instanceof MasterKeyError) return new ConfigError(`MASTER_KEY: ${error.message}`);
  if (error instanceof Error && error.name === 'MongooseServerSelectionError') {
    if (embeddedDirectory !== undefined) return new ConfigError(databaseEnded(embeddedDirectory));
    return new ConfigError('MONGODB_URI: no database responded within ten seconds. Check its address and credentials, and the network.');
  }
  if (error instanceof Error && error.name === 'MongoParseError')
    return new ConfigError('MONGODB_URI: this is not a valid connection string.');
  const reason = error instanceof Error && 'code' in error ? databaseErrors[String(error.code)] : undefined;
  if (reason !== undefined && embeddedDirectory === undefined) return new ConfigError(`MONGODB_URI: ${reason}.`);
  return error;
}

/** Returns whether GraphiQL is served. Whoever has not asked for it gets a notice in its place if its package is not installed. */
function canServeGraphiql({ graphiql, isGraphiqlRequired }: Config, notices: string[]): boolean {
  if (!graphiql || isGraphiqlRequired) return graphiql;
  try {
    requireGraphiql();
    return true;
  } catch (error) {
    notices.push(`There is no GraphiQL. ${(error as Error).message}.`);
    return false;
  }
}

function missingPackage({ packageName, message }: Error & { readonly packageName: string }): string {
  return packageName === '@aws-sdk/client-kms' ? `MASTER_KEY: ${message}.` : `GRAPHIQL: ${message}, or set GRAPHIQL=false.`;
}

async function masterKeysOf(config: Config, uri: string, notices: string[], modules: Modules): Promise<readonly MasterKeySource[]> {
  const { hasDataKeys, hasFile, keptRandomBytes, parseMasterKeys, readMasterKeyFile } = modules;
  const { masterKeys } = config;
  const options = { mayLackPermissions: config.isDevelopment };
  if (masterKeys && 'base64' in masterKeys) return parseMasterKeys(masterKeys.base64, 'MASTER_KEY');
  if (masterKeys) return readMasterKeyFile(masterKeys.file, 'MASTER_KEY_FILE', options);
  const { masterKey } = dataPaths(config.dataDirectory);
  if (!hasFile(masterKey)) {
    if (await hasDataKeys({ uri, name: config.databaseName })) {
      throw new ConfigError(
        `The database contains data keys, but the master key that wrapped them is not in ${masterKey}. Put it back there or set MASTER_KEY; a new master key could not open them.`,
      );
    }
    notices.push(`Created a master key: ${masterKey}. Without it no secret can be opened; keep a copy elsewhere.`);
  }
  keptRandomBytes(masterKey, options);
  return readMasterKeyFile(masterKey, masterKey, options);
}

/** Reads the manifests of trusted documents. @throws ConfigError */
function trustedDocumentsOf({ files, requiredFor }: NonNullable<Config['trustedDocuments']>) {
  const manifests = files.map((name) => {
    try {
      return { name, json: readFileSync(name, 'utf8') };
    } catch (error) {
      throw new ConfigError(`TRUSTED_DOCUMENTS: the file ${name} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    }
  });
  return { manifests, requiredFor };
}

/** Finds out at the start whether the file of the audit log can be written. @throws ConfigError */
function checkSink(target: AuditSinkTarget): void {
  if (target.kind !== 'file') return;
  try {
    closeSync(openSync(target.path, 'a', 0o600));
  } catch (error) {
    throw new ConfigError(`AUDIT_SINK: the file cannot be written (${(error as NodeJS.ErrnoException).code}).`);
  }
}
