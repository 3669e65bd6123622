import { setTimeout } from 'node:timers/promises';
import type { GraphQLSchema } from 'graphql';
import { openAuditSink } from '../audit-sink.ts';
import { builtInKinds } from '../credential-kinds/index.ts';
import { createKindRegistry, type KindRegistry } from '../credential-kinds/registry.ts';
import { createTokens } from '../domain/access-token.ts';
import { type Alterations, createAlterations } from '../domain/alterations.ts';
import type { SealProblem } from '../domain/audit.ts';
import { type AuditStream, createAuditStream } from '../domain/audit-stream.ts';
import type { GatewayContext } from '../domain/context.ts';
import { createEvents } from '../domain/events.ts';
import { noticeDue } from '../domain/expiry-notices.ts';
import { createFailedLogins, type FailedLogins } from '../domain/failed-logins.ts';
import { createFindings, type Findings } from '../domain/findings.ts';
import { derivedConnectionHealth, derivedHealth } from '../domain/health.ts';
import { createLiveEvents } from '../domain/live-events.ts';
import { defaultPolicy, type Policy } from '../domain/policy.ts';
import { createCredentialReads } from '../domain/reads.ts';
import { createRefusals, type Refusals } from '../domain/refusals.ts';
import { createRevocationList } from '../domain/revocation-list.ts';
import { refreshDue } from '../domain/token-facts.ts';
import { createUses } from '../domain/uses.ts';
import { createWebhooks, type Webhooks } from '../domain/webhook-delivery.ts';
import { readTrustedDocuments, type TrustedDocuments } from '../http/trusted-documents.ts';
import { createKeyFilesPool, type KeyFilesPool } from '../key-files/pool.ts';
import { EVENT_DAYS, type Limits } from '../limits.ts';
import type { Logger } from '../logger.ts';
import { createSchema, shownEntry } from '../schema/index.ts';
import { awsKmsMasterKey } from '../secrets/aws-kms.ts';
import { keyProvider, localMasterKey, type MasterKey } from '../secrets/key-provider.ts';
import { createOAuth } from '../services/oauth/index.ts';
import { createOutbound, defaultOutbound } from '../services/outbound/index.ts';
import type { Database } from '../store/database.ts';
import { createStore, type StorageLimits, type Store } from '../store/index.ts';
import { onFirstUse } from '../store/lazily.ts';
import type { MasterKeySource, Resolved } from './options.ts';

/** An earlier version wrote the database, and it has not been migrated. */
export class OldFormatError extends Error {
  override name = 'OldFormatError';
}

/** After this time, the commands that prepare a database are on their way. */
const COMMANDS_SENT_MS = 10;

/** The rules with all that they need, and what only the gateway around them uses. */
export interface Domain {
  readonly context: GatewayContext;
  readonly schema: () => GraphQLSchema;
  readonly trustedDocuments: () => TrustedDocuments | undefined;
  readonly auditStream: AuditStream | undefined;
  readonly webhooks: Webhooks;
  readonly keyFiles: KeyFilesPool;
  /** Altered records, refused requests and requests without a valid token, which are counted in memory and written each minute. */
  readonly alterations: Alterations;
  readonly refusals: Refusals;
  readonly failedLogins: FailedLogins;
  /** Logs why an audit log was not sealed. */
  readonly onSealProblem: (problem: SealProblem) => void;
}

/** What is there before the database was read. */
interface Ground {
  readonly kinds: KindRegistry;
  readonly policy: Policy;
  readonly findings: Findings;
  readonly alterations: Alterations;
  readonly stores: Store;
}

/** Connects the domain with the store and the services. @throws OldFormatError, TrustedDocumentsError, MasterKeyError */
export async function openDomain(database: Database, resolved: Resolved): Promise<Domain> {
  const { options, limits } = resolved;
  const ground = layGround(database, resolved);
  const schema = onFirstUse(() => options.builtSchema ?? createSchema(ground.kinds, options));
  const trustedDocuments = onFirstUse(() => options.trustedDocuments && readTrustedDocuments(options.trustedDocuments, schema(), limits));
  const preparing = ground.stores.prepare();
  // While the database does what it has got in the first moments, the schema is built, which keeps this thread busy.
  const whilePreparing = async () => {
    await Promise.race([preparing, setTimeout(COMMANDS_SENT_MS)]);
    schema();
    trustedDocuments();
  };
  await Promise.all([options.isLazy ? undefined : whilePreparing(), preparing]);
  const { keyring } = ground.stores;
  await keyring.probe();
  if (!options.opensOldFormat && (await keyring.unboundOrganizations()).length > 0) {
    throw new OldFormatError('The database was written by an earlier version and must be migrated.');
  }
  return { ...(await connect(ground, resolved)), schema, trustedDocuments };
}

function layGround(database: Database, { options, limits, now }: Resolved): Ground {
  const alterations = createAlterations();
  const provider = keyProvider(options.masterKeys.map(masterKey));
  const kinds = createKindRegistry(options.credentialKinds ?? builtInKinds);
  const findings = createFindings();
  const { maxLifetimeSeconds } = options.tokens;
  const tokenLifetimeMs = maxLifetimeSeconds === undefined ? defaultPolicy.tokenLifetimeMs : maxLifetimeSeconds * 1_000;
  const { allowsHttp } = { ...defaultOutbound, ...options.outbound };
  const policy: Policy = { ...defaultPolicy, tokenLifetimeMs, allowsHttp, countTimeMs: database.countTimeMs, ...options.policy };
  const healthOf = derivedHealth(now);
  const derivedFields: typeof healthOf = (record, before) => ({
    ...healthOf(record, before),
    ...noticeDue(record, before, now()),
    refreshAt: refreshDue(record, policy),
  });
  const stores = createStore(database, provider, now, {
    storageLimits: storageLimits(limits),
    onAltered: alterations.add,
    onUnreadable: (secret) => findings.noteUnreadable(secret, now()),
    searchableOf: (kind) => kinds.searchable.get(kind),
    health: { credential: derivedFields, connection: derivedConnectionHealth },
  });
  return { kinds, policy, findings, alterations, stores };
}

async function connect({ kinds, policy, findings, alterations, stores }: Ground, { options, logger, now, elapsed, runsJobs }: Resolved) {
  const revocations = createRevocationList({ stores, now, elapsed });
  await revocations.refresh();
  const keyFiles = createKeyFilesPool();
  const onSealProblem = sealProblemLog(logger);
  const { auditSink } = options;
  const auditStream =
    auditSink &&
    createAuditStream(
      { stores, now },
      {
        sink: openAuditSink(auditSink.target),
        isRequired: auditSink.isRequired,
        shown: shownEntry,
        onProblem: onSealProblem,
        onBroken: (organization) =>
          logger.error(
            { organization },
            'the audit log was not streamed: a batch is not as it was sealed, or not the one that the sink has got',
          ),
      },
    );
  const outbound = createOutbound({ ...defaultOutbound, ...options.outbound }, (event) => logger.info(event, 'request to a third party'));
  const events = createEvents({ stores, now }, { days: options.eventDays ?? EVENT_DAYS, isAutomatic: runsJobs });
  const context: GatewayContext = {
    stores,
    now,
    kinds,
    policy,
    revocations,
    keyFiles,
    uses: createUses(options.auditsProxied ?? 'each'),
    outbound,
    oauth: createOAuth(outbound, now),
    tokens: createTokens(() => context),
    findings,
    events,
    live: createLiveEvents({ stores, events }),
    ...(auditStream && { auditStream }),
    ...(options.logsReads && { reads: createCredentialReads() }),
  };
  const webhooks = createWebhooks(context, {
    isAutomatic: runsJobs && options.sharesJobs !== true,
    onFailure: (organization, error) => logger.error({ organization, error }, 'webhooks could not be served; it will be tried again'),
  });
  const [refusals, failedLogins] = [createRefusals(), createFailedLogins()];
  return { context, auditStream, webhooks, keyFiles, alterations, refusals, failedLogins, onSealProblem };
}

function sealProblemLog(logger: Logger) {
  return ({ organizationId, refusal, rejected, rejectedIds, missing }: SealProblem) => {
    const log = { organization: organizationId };
    if (refusal !== null) logger.error({ ...log, refusal }, 'the audit log was not sealed: its chain is not as it should be');
    if (rejected > 0) {
      logger.error(
        { ...log, count: rejected, ids: rejectedIds },
        'the audit log contains entries that this gateway did not write; they are not sealed',
      );
    }
    if (missing.length > 0) logger.error({ ...log, count: missing.length }, 'entries were removed from the audit log');
  };
}

function storageLimits(limits: Limits): StorageLimits {
  return {
    MAX_INTEGRATIONS: limits.maxIntegrations,
    MAX_CONNECTORS: limits.maxConnectors,
    MAX_END_USERS: limits.maxEndUsers,
    MAX_CONNECTIONS: limits.maxConnections,
    MAX_CREDENTIALS: limits.maxCredentials,
    MAX_API_KEYS: limits.maxAPIKeys,
    MAX_WEBHOOKS: limits.maxWebhooks,
    MAX_OWNED: limits.maxOwned,
    MAX_IDEMPOTENCY_KEYS: limits.maxIdempotencyKeys,
    MAX_STORED_BYTES: limits.maxStoredBytes,
  };
}

function masterKey(source: MasterKeySource): MasterKey {
  return source instanceof Uint8Array ? localMasterKey(source) : awsKmsMasterKey(source.awsKmsKeyArn);
}
