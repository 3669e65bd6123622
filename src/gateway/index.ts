import { requireGraphiql, requirePackage } from '../optional-package.ts';
import { loadOAuth } from '../services/oauth/index.ts';
import { loadOutbound } from '../services/outbound/index.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { createAdministration } from './administration.ts';
import { openDomain } from './domain.ts';
import { createDoor } from './door.ts';
import type { Gateway } from './gateway.ts';
import { createJobs } from './jobs.ts';
import { type GatewayOptions, type Resolved, resolved } from './options.ts';

export type { AuditSinkTarget } from '../audit-sink.ts';
export { builtInKinds } from '../credential-kinds/index.ts';
export type { AuditHead, AuditMigrationReport, AuditVerification } from '../domain/audit.ts';
export { failuresOf } from '../domain/in-turn.ts';
export type { IntegrityReport } from '../domain/integrity.ts';
export type { KeyProgress, KeyRunOptions, RewrapReport, RotationOptions, RotationReport } from '../domain/keys.ts';
export type { MigrationReport } from '../domain/migration.ts';
export { type PlatformAction, type PlatformEntry, PlatformLogMissingError } from '../domain/platform.ts';
export type { TransferReport } from '../domain/transfer-import.ts';
export { LineError } from '../domain/transfer-lines.ts';
export { socketGroup } from '../http/limits/address.ts';
export { isProxyTarget } from '../http/target.ts';
export { TrustedDocumentsError } from '../http/trusted-documents.ts';
export { MissingPackageError } from '../optional-package.ts';
export { MasterKeyError } from '../secrets/key-provider.ts';
export { requireTransferKey } from '../secrets/transfer.ts';
export { hasDataKeys, isDatabaseUnavailable } from './database.ts';
export { OldFormatError } from './domain.ts';
export type { Gateway } from './gateway.ts';
export { HOW_TO_CREATE, masterKeyProblem } from './master-keys.ts';
export { systemUser } from './operator.ts';
export type { GatewayOptions, MasterKeySource } from './options.ts';
export { schemaText, subgraphText } from './schema-texts.ts';

/** Loads what is else loaded when the first request needs it. A server does so when it listens: its files may be replaced while it runs. */
export async function loadRest(): Promise<void> {
  await Promise.all([loadOutbound(), loadOAuth()]);
}

/**
 * Wires all layers together.
 * @throws OldFormatError when an earlier version wrote the database
 * @throws SchemaNamesError when `names` do not fit the schema
 * @throws MissingPackageError when a setting needs a package that is not installed
 * @throws TrustedDocumentsError
 * @throws Error when the database does not respond, or its data keys are wrapped under a master key that is not configured
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const common = resolved(options);
  const { limits } = common;
  if (options.graphiql && !options.isLazy) requireGraphiql();
  if (options.masterKeys.some((source) => 'awsKmsKeyArn' in source)) requirePackage('@aws-sdk/client-kms', 'A master key in AWS KMS');
  const database = await openDatabase({
    ...options.database,
    waitMs: limits.databaseSeconds * 1_000,
    countTimeMs: limits.countSeconds * 1_000,
  });
  try {
    return await gatewayOn(database, common);
  } catch (error) {
    await database.connection.close();
    throw error;
  }
}

async function gatewayOn(database: Database, common: Resolved): Promise<Gateway> {
  const domain = await openDomain(database, common);
  const { context, webhooks, keyFiles } = domain;
  const { events, revocations } = context;
  const door = createDoor(domain, common);
  const jobs = createJobs(domain, common);
  const { audit, ...administration } = createAdministration(domain, common);
  const endJobs = jobs.begin();
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await door.close();
    context.live.stop();
    await endJobs();
    await context.tokens.stop();
    await webhooks.stop();
    await events.stop();
    await keyFiles.stop().catch(() => common.logger.error({}, 'the worker threads could not be ended'));
    await jobs.writeLast();
    await context.outbound.stop();
    await context.stores.close();
  };
  return {
    ...administration,
    fetch: door.fetch,
    requestListener: door.requestListener,
    endLiveQueries: door.endLiveQueries,
    execute: door.execute,
    get schema() {
      return domain.schema();
    },
    sweep: jobs.sweep,
    updateHealth: jobs.updateHealth,
    checkConnections: jobs.checkConnections,
    refreshRevocations: revocations.refresh,
    refreshTokens: jobs.refreshTokens,
    events: { run: events.run, noticeExpiries: jobs.noticeExpiries, onNumbered: events.onNumbered, newest: events.newest },
    webhooks: { run: webhooks.run, trim: webhooks.trim },
    audit: { ...audit, seal: jobs.sealAuditLog, stream: jobs.stream },
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}
