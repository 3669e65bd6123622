import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { hostname, userInfo } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { GraphQLSchema } from 'graphql';
import { grantableScopes } from './access/scopes.ts';
import { type AuditSinkTarget, openAuditSink } from './audit-sink.ts';
import type { CredentialKind } from './credential-kinds/define.ts';
import { builtInKinds } from './credential-kinds/index.ts';
import { createKindRegistry } from './credential-kinds/registry.ts';
import { createTokens } from './domain/access-token.ts';
import { createAlterations } from './domain/alterations.ts';
import { authenticateAPIKey } from './domain/api-key.ts';
import {
  type AuditHead,
  type AuditMigrationReport,
  type AuditVerification,
  endAuditLogs,
  migrateAuditLog,
  type SealProblem,
  sealAuditLogs,
  verifyAuditLog,
} from './domain/audit.ts';
import { createAuditStream, STREAM_MS } from './domain/audit-stream.ts';
import { handleCallback } from './domain/authorization.ts';
import { checkDueConnections } from './domain/check.ts';
import { contextOf, type GatewayContext } from './domain/context.ts';
import { authenticateEndUser } from './domain/end-user-token.ts';
import { createEvents, type Events } from './domain/events.ts';
import { sweepExpired } from './domain/expiry.ts';
import { noticeDue, noticeExpiries } from './domain/expiry-notices.ts';
import { createFailedLogins } from './domain/failed-logins.ts';
import { createFindings } from './domain/findings.ts';
import { derivedConnectionHealth, derivedHealth } from './domain/health.ts';
import { finish, reserve } from './domain/idempotency.ts';
import { failuresOf, inTurn, OrganizationError } from './domain/in-turn.ts';
import { checkIntegrity, type IntegrityReport } from './domain/integrity.ts';
import {
  type KeyRunOptions,
  type RewrapReport,
  type RotationOptions,
  type RotationReport,
  replaceWornKeys,
  rewrapKeys,
  rotateKeys,
} from './domain/keys.ts';
import { createLiveEvents } from './domain/live-events.ts';
import { createLookupKeysJob } from './domain/lookup-keys.ts';
import { type MigrationReport, migrateDatabase } from './domain/migration.ts';
import { createRecount, deleteOrganization } from './domain/organization.ts';
import {
  type PlatformAction,
  type PlatformEntry,
  PlatformLogMissingError,
  platformEntries,
  recordPlatformEvent,
} from './domain/platform.ts';
import { defaultPolicy, type Policy } from './domain/policy.ts';
import { createProxy } from './domain/proxy.ts';
import { createCredentialReads } from './domain/reads.ts';
import { createRefusals } from './domain/refusals.ts';
import { createRevocationList, REVOCATION_POLL_MS, REVOCATION_SPREAD_MS } from './domain/revocation-list.ts';
import { settleStates } from './domain/states.ts';
import { refreshDue } from './domain/token-facts.ts';
import { refreshDueTokens } from './domain/token-refreshing.ts';
import { exportLines } from './domain/transfer-export.ts';
import { importLines, type TransferImportOptions, type TransferReport } from './domain/transfer-import.ts';
import { LineError } from './domain/transfer-lines.ts';
import { createUses, type ProxiedAudit } from './domain/uses.ts';
import { createWebhooks } from './domain/webhook-delivery.ts';
import { UnavailableError } from './errors.ts';
import { createAuthenticator, type OwnTokens, type TokenSettings } from './http/authenticate.ts';
import { createDraining } from './http/draining.ts';
import { fetchDoor } from './http/fetch.ts';
import { createHttp, type ExecutionResult, type Operation } from './http/index.ts';
import { WINDOW_MS } from './http/limits/rate-limiter.ts';
import { nodeListener } from './http/node-listener.ts';
import { readTrustedDocuments, TrustedDocumentsError, type TrustedDocumentsSettings } from './http/trusted-documents.ts';
import { every, everyMinute, type Job } from './jobs.ts';
import { createKeyFilesPool } from './key-files/pool.ts';
import { defaultLimits, EVENT_DAYS, type Limits } from './limits.ts';
import { type Logger, safeLogger, silentLogger } from './logger.ts';
import { requirePackage } from './optional-package.ts';
import { createSchema, schemaText as printedSchema, subgraphText as printedSubgraph, shownEntry } from './schema/index.ts';
import type { FederationOptions, SchemaNames } from './schema-names.ts';
import { awsKmsMasterKey, isAwsKmsKeyArn } from './secrets/aws-kms.ts';
import { keyProvider, localKeyProvider, localMasterKey, type MasterKey, MasterKeyError } from './secrets/key-provider.ts';
import { openTransferred, requireTransferKey, sealForTransfer, type TransferKey } from './secrets/transfer.ts';
import { createOAuth } from './services/oauth/index.ts';
import { createOutbound, defaultOutbound, type OutboundSettings } from './services/outbound/index.ts';
import { openDatabase, translate } from './store/database.ts';
import { createStore, type StorageLimits } from './store/index.ts';
import { onFirstUse } from './store/lazily.ts';
import { NO_ORGANIZATION } from './store/rate-limit.ts';

export type { IntegrityReport } from './domain/integrity.ts';
export type { KeyProgress, KeyRunOptions, RewrapReport, RotationOptions, RotationReport } from './domain/keys.ts';
export type { MigrationReport } from './domain/migration.ts';
export { socketGroup } from './http/limits/address.ts';
export { isProxyTarget } from './http/target.ts';
export { MissingPackageError } from './optional-package.ts';
export { builtInKinds, failuresOf, isAwsKmsKeyArn, MasterKeyError, PlatformLogMissingError, TrustedDocumentsError };

/** A master key: its 32 bytes, or its location. */
export type MasterKeySource = Uint8Array | { readonly awsKmsKeyArn: string };

export type { AuditSinkTarget } from './audit-sink.ts';
export type { TransferReport } from './domain/transfer-import.ts';
export type { AuditHead, AuditMigrationReport, AuditVerification, PlatformAction, PlatformEntry };
export { LineError, requireTransferKey };

export interface GatewayOptions {
  readonly database: {
    /** A MongoDB connection string: a replica set, a sharded cluster or the embedded database. */
    readonly uri: string;
    readonly name: string;
    /** Called with the name of each command that is sent. Used to count commands. */
    readonly onCommand?: (name: string) => void;
  };
  /** The first one wraps data keys; all of them unwrap data keys. */
  readonly masterKeys: readonly MasterKeySource[];
  readonly tokens: TokenSettings;
  /** Where the gateway logs. By default, nowhere. */
  readonly logger?: Logger;
  /** The kinds of credential that there are: the built-in ones, and any of your own. The built-in ones by default. */
  readonly credentialKinds?: readonly CredentialKind[];
  /** Whether to serve GraphiQL to browsers. It needs the package `@graphql-yoga/render-graphiql`. False by default. */
  readonly graphiql?: boolean;
  /** Whether the log holds messages of defects, reduced to words that no caller sent: for development. False by default. */
  readonly logsDefectMessages?: boolean;
  /** How it is a subgraph of Apollo Federation 2. By default, it is none. */
  readonly federation?: FederationOptions | undefined;
  /** Other names of types and root fields than those of `schema.graphql`. */
  readonly names?: SchemaNames | undefined;
  /** The accepted host names. If undefined, all are accepted. */
  readonly allowedHosts?: readonly string[];
  /** The origins whose pages may use the gateway. None by default. */
  readonly corsOrigins?: readonly string[];
  /** The number of proxies in front of the gateway that append to X-Forwarded-For. 0 by default. */
  readonly trustedProxies?: number;
  /**
   * The documents that clients can name by their ids, and whose viewers can run no others. A manifest that is wrong ends the start with a
   * `TrustedDocumentsError`. Operations that are run from code are not affected.
   */
  readonly trustedDocuments?: TrustedDocumentsSettings;
  /** Limits that override `defaultLimits`. */
  readonly limits?: Partial<Limits>;
  /** Rules that override `defaultPolicy`. The longest lifetime of tokens is that of `tokens`, and `outbound` says whether http is allowed. */
  readonly policy?: Partial<Omit<Policy, 'tokenLifetimeMs' | 'allowsHttp'>>;
  /**
   * Whether it does what is done each minute: it deletes expired credentials, seals the audit log, replaces worn keys, refreshes tokens, checks
   * connections. True by default. At least one copy must do so.
   */
  readonly runsJobs?: boolean;
  /**
   * Whether another process does the jobs that are done once for all copies. This one then does only those that concern what it has in memory.
   * False by default.
   */
  readonly sharesJobs?: boolean;
  /**
   * Whether it reads each half second what other copies have revoked. True by default. Every copy must do so. If false, call
   * `refreshRevocations`.
   */
  readonly readsRevocations?: boolean;
  /** Whether what only requests need is built at the first of them: for commands, most of which make none. False by default. */
  readonly isLazy?: boolean;
  /**
   * The schema, if it was built already, by `createSchema` with the same kinds, `federation` and `names`: building it takes as long as all else. Gateways
   * can share one, because nothing in it belongs to a gateway or a request.
   */
  readonly builtSchema?: GraphQLSchema | undefined;
  /** Whether a database that an earlier version wrote is accepted: only to call `migrate`. Nothing else works on it. */
  readonly opensOldFormat?: boolean;
  /** Where the audit logs are streamed to, and whether mutations are refused while that fails. By default, nowhere. */
  readonly auditSink?: { readonly target: AuditSinkTarget; readonly isRequired: boolean };
  /** After how many hours each connection is checked again whose connector says how. By default, connections are checked only when somebody asks. */
  readonly checkConnectionsHours?: number;
  /** How long events are kept, in days. 30 by default. */
  readonly eventDays?: number;
  /** Settings of requests to third parties that override `defaultOutbound`. */
  readonly outbound?: Partial<OutboundSettings>;
  /** Whether reads of credentials are logged, too. False by default. */
  readonly logsReads?: boolean;
  /** Whether each proxied request gets an entry in the audit log, or all of a viewer over one connection in a minute get one. `each` by default. */
  readonly auditsProxied?: ProxiedAudit;
  /** Who runs this process, for the log of the platform. By default, the user of the operating system and the name of the host. */
  readonly operator?: string;
  /** How long `stop` lets running requests continue, in seconds. Then it ends them. 10 by default. */
  readonly drainSeconds?: number;
  /** The clock. */
  readonly now?: () => Date;
  /** The milliseconds since some moment, whatever happens to the clock. */
  readonly elapsed?: () => number;
}

/** A running gateway. */
export interface Gateway {
  /** Handles a request. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** The same, for `node:http`. */
  readonly requestListener: RequestListener;
  /**
   * Ends all live queries, so that their clients begin them again, at another copy. Further ones are refused. Call it before you wait for the server
   * to close.
   */
  readonly endLiveQueries: () => void;
  /** Runs an operation on behalf of a viewer, without HTTP. */
  readonly execute: (operation: Operation) => Promise<ExecutionResult>;
  /** The GraphQL schema, with the types of all credential kinds. For tools that print or examine it: whoever executes it directly passes no check. */
  readonly schema: GraphQLSchema;
  /**
   * Permanently deletes an organization with its keys and all its data. When it returns, other copies have had two seconds to learn of it, and refuse
   * the organization's tokens. Returns false if there is no organization with that name.
   */
  readonly deleteOrganization: (organizationId: string) => Promise<boolean>;
  readonly keys: {
    /** Creates new data keys, re-seals secrets under them, and destroys the old keys. Can be stopped, and run again, at any time. */
    readonly rotate: (options?: RotationOptions) => Promise<RotationReport>;
    /** Wraps all data keys again under the first master key. After that, the others are not needed. */
    readonly rewrap: (options?: KeyRunOptions) => Promise<RewrapReport>;
  };
  /**
   * Migrates a database that an earlier version wrote. It accepts all that the database contains, so call it only while you trust the database,
   * and while no other copy runs. Can be stopped, and run again, at any time.
   */
  readonly migrate: (options?: KeyRunOptions) => Promise<MigrationReport>;
  /** Verifies all records and opens all secrets of an organization. @throws NotFoundError when there is no such organization */
  readonly checkIntegrity: (organizationId: string) => Promise<IntegrityReport>;
  /** Deletes expired credentials and returns their number. Runs automatically each minute. */
  readonly sweep: () => Promise<number>;
  /**
   * Writes what was learned by using credentials, and determines the states of credentials and connections that have changed. Runs automatically each
   * minute.
   */
  readonly updateHealth: () => Promise<void>;
  /** Refreshes the tokens that end soon, though nobody uses them. Runs automatically each minute. */
  readonly refreshTokens: () => Promise<void>;
  /** Checks the connections that are due, if they are checked at all. Runs automatically each minute. */
  readonly checkConnections: () => Promise<void>;
  /** Reads what other copies have revoked. Runs automatically each half second. */
  readonly refreshRevocations: () => Promise<void>;
  readonly events: {
    /** Numbers events that no process has numbered since they were committed, and deletes old ones. Runs automatically each minute. */
    readonly run: () => Promise<void>;
    /** Writes the events about credentials that are about to expire. Runs automatically each minute. */
    readonly noticeExpiries: () => Promise<void>;
    /** Calls the function when events of an organization got their positions in this process. Returns what ends that. */
    readonly onNumbered: Events['onNumbered'];
    /** Returns the positions of the newest events of some organizations, with one read by an index. */
    readonly newest: Events['newest'];
  };
  readonly webhooks: {
    /** Delivers events that are due now, unless other copies do. Runs automatically each second, and when something has happened. */
    readonly run: () => Promise<void>;
    /** Deletes old deliveries. Runs automatically each minute. */
    readonly trim: () => Promise<void>;
  };
  readonly audit: {
    /** Writes refused operations to the audit log, and seals unsealed entries. Runs automatically each minute. */
    readonly seal: () => Promise<void>;
    /** Sends what the audit sink has not got. Runs automatically each five seconds. Does nothing without a sink. */
    readonly stream: () => Promise<void>;
    /**
     * Verifies an organization's log against its chain, and against a head that was kept elsewhere. Returns undefined if there is no such
     * organization.
     */
    readonly verify: (organizationId: string, knownHead?: AuditHead) => Promise<AuditVerification | undefined>;
    /** Returns the names of the organizations that have a log. */
    readonly organizations: () => Promise<string[]>;
    /**
     * Migrates the logs that an older version has written. Call it only when the operator asks for it, after all copies of the older version
     * have been stopped. It can be run again.
     */
    readonly migrate: () => Promise<AuditMigrationReport>;
  };
  /** Moves the contents of an organization, as lines of JSON. `README.md` describes them. */
  readonly transfer: {
    /**
     * Returns the lines of an organization. With `secrets`, each secret is sealed for the owner of the public key, and leaves an entry in the audit
     * log with the reason.
     *
     * @throws ValidationError when the reason does not say enough, or the key is too weak
     */
    readonly exportLines: (
      organizationId: string,
      options: {
        readonly secrets?: { readonly recipient: TransferKey; readonly reason: string };
        readonly onProblem: (message: string) => void;
      },
    ) => AsyncIterable<string>;
    /**
     * Imports lines into an organization. `key` opens its secrets. A `LineError` stands for a line that could not be read. Can be stopped, and run
     * again, at any time.
     * @throws ValidationError when the key is not a private key that can open secrets
     */
    readonly importLines: (
      organizationId: string,
      lines: AsyncIterable<string | LineError>,
      options: Omit<TransferImportOptions, 'open'> & { readonly key?: TransferKey },
    ) => Promise<TransferReport>;
  };
  /** The log of what happens to the platform itself. It outlives organizations. */
  readonly platform: {
    /** The id under which `audit.verify` verifies this log. No organization can have it. */
    readonly id: string;
    /** Whether there is a log. There is none in a database of an older version, until it is migrated. */
    readonly exists: () => Promise<boolean>;
    /** Adds an entry. `details` must contain no secret. @throws PlatformLogMissingError */
    readonly record: (action: PlatformAction, about?: { readonly organization?: string; readonly details?: string }) => Promise<void>;
    /** Reads the log, oldest entry first. */
    readonly entries: () => AsyncIterable<PlatformEntry>;
  };
  /**
   * Refuses further requests, ends live queries, waits for running requests (`drainSeconds`), ends the worker threads and closes the database
   * connections. Can be called again, which waits for the same stop.
   */
  readonly stop: () => Promise<void>;
}

/** An earlier version wrote the database, and it has not been migrated. */
export class OldFormatError extends Error {
  override name = 'OldFormatError';
}

/** How long a stop lets running requests continue, in seconds. */
const DRAIN_SECONDS = 10;

/** After this time, the commands that prepare a database are on their way. */
const COMMANDS_SENT_MS = 10;

/**
 * Wires all layers together.
 * @throws OldFormatError when an earlier version wrote the database
 * @throws SchemaNamesError when `names` do not fit the schema
 * @throws MissingPackageError when a setting needs a package that is not installed
 * @throws TrustedDocumentsError
 * @throws Error when the database does not respond, or its data keys are wrapped under a master key that is not configured
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { now = () => new Date(), elapsed = () => performance.now() } = options;
  const logger = safeLogger(options.logger ?? silentLogger);
  const limits: Limits = { ...defaultLimits, ...options.limits };
  if (options.graphiql && !options.isLazy) requirePackage('@graphql-yoga/render-graphiql', 'GraphiQL', '/graphiql');
  if (options.masterKeys.some((source) => 'awsKmsKeyArn' in source)) requirePackage('@aws-sdk/client-kms', 'A master key in AWS KMS');
  const database = await openDatabase({
    ...options.database,
    waitMs: limits.databaseSeconds * 1_000,
    countTimeMs: limits.countSeconds * 1_000,
  });
  try {
    const alterations = createAlterations();
    const provider = keyProvider(options.masterKeys.map(masterKey));
    const kinds = createKindRegistry(options.credentialKinds ?? builtInKinds);
    const schema = onFirstUse(() => options.builtSchema ?? createSchema(kinds, options));
    const trustedDocuments = onFirstUse(() => options.trustedDocuments && readTrustedDocuments(options.trustedDocuments, schema(), limits));
    const findings = createFindings();
    const { maxLifetimeSeconds } = options.tokens;
    const tokenLifetimeMs = maxLifetimeSeconds === undefined ? defaultPolicy.tokenLifetimeMs : maxLifetimeSeconds * 1_000;
    const outboundSettings = { ...defaultOutbound, ...options.outbound };
    const policy: Policy = { ...defaultPolicy, tokenLifetimeMs, allowsHttp: outboundSettings.allowsHttp, ...options.policy };
    const healthOf = derivedHealth(now);
    const derivedFields: typeof healthOf = (record, before) => ({
      ...healthOf(record, before),
      ...noticeDue(record, before),
      refreshAt: refreshDue(record, policy),
    });
    const stores = createStore(database, provider, now, {
      storageLimits: storageLimits(limits),
      onAltered: alterations.add,
      onUnreadable: (secret) => findings.noteUnreadable(secret, now()),
      searchableOf: (kind) => kinds.searchable.get(kind),
      health: { credential: derivedFields, connection: derivedConnectionHealth },
    });
    const preparing = stores.prepare();
    // While the database does what it has got in the first moments, the schema is built, which keeps this thread busy.
    const whilePreparing = async () => {
      await Promise.race([preparing, setTimeout(COMMANDS_SENT_MS)]);
      schema();
      trustedDocuments();
    };
    await Promise.all([options.isLazy ? undefined : whilePreparing(), preparing]);
    await stores.keyring.probe();
    if (!options.opensOldFormat && (await stores.keyring.unboundOrganizations()).length > 0) {
      throw new OldFormatError('The database was written by an earlier version and must be migrated.');
    }
    const revocations = createRevocationList({ stores, now, elapsed });
    await revocations.refresh();
    const keyFiles = createKeyFilesPool();
    const onSealProblem = ({ organizationId, refusal, rejected, rejectedIds, missing }: SealProblem) => {
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
    const auditStream =
      options.auditSink &&
      createAuditStream(
        { stores, now },
        {
          sink: openAuditSink(options.auditSink.target),
          isRequired: options.auditSink.isRequired,
          shown: shownEntry,
          onProblem: onSealProblem,
          onBroken: (organization) =>
            logger.error(
              { organization },
              'the audit log was not streamed: a batch is not as it was sealed, or not the one that the sink has got',
            ),
        },
      );
    const outbound = createOutbound(outboundSettings, (event) => logger.info(event, 'request to a third party'));
    const runsJobs = options.runsJobs !== false && !options.opensOldFormat;
    const events = createEvents({ stores, now }, { days: options.eventDays ?? EVENT_DAYS, isAutomatic: runsJobs });
    const live = createLiveEvents({ stores, events });
    const uses = createUses(options.auditsProxied ?? 'each');
    const reads = options.logsReads ? createCredentialReads() : undefined;
    const gateway: GatewayContext = {
      stores,
      now,
      kinds,
      policy,
      revocations,
      keyFiles,
      uses,
      outbound,
      oauth: createOAuth(outbound, now),
      tokens: createTokens(() => gateway),
      findings,
      events,
      live,
      ...(auditStream && { auditStream }),
      ...(reads && { reads }),
    };
    const webhooks = createWebhooks(gateway, {
      isAutomatic: runsJobs && options.sharesJobs !== true,
      onFailure: (organization, error) => logger.error({ organization, error }, 'webhooks could not be served; it will be tried again'),
    });
    const own = {
      issued: (viewer) => {
        revocations.refuseRevoked(viewer);
        return viewer;
      },
      apiKey: (key) => authenticateAPIKey(gateway, key),
      endUser: (token) => authenticateEndUser(gateway, token),
    } satisfies OwnTokens;
    const authenticate = createAuthenticator(options.tokens, own, now, {
      onKeyFailure: (reason) => logger.warn({ reason }, 'the keys of the issuer (TOKEN_JWKS_URL) could not be fetched'),
    });
    const refusals = createRefusals();
    const failedLogins = createFailedLogins();
    const openHttp = () =>
      createHttp({
        ...options,
        logger,
        graphiql: options.graphiql ?? false,
        schema: schema(),
        trustedDocuments: trustedDocuments(),
        contextOf: (viewer) => contextOf(gateway, viewer),
        authenticate,
        callback: (parameters, from) => handleCallback(gateway, parameters, from),
        proxy: createProxy(limits),
        idempotency: { reserve, finish },
        refusals,
        failedLogins,
        ready: stores.ping,
        limits,
        trustedProxies: options.trustedProxies ?? 0,
        logsDefectMessages: options.logsDefectMessages ?? false,
        reserve: stores.rateLimits.reserve,
        noOrganization: NO_ORGANIZATION,
        now,
        elapsed,
        onFailure: (error) =>
          logger.warn(
            { error: (error as Error).name },
            'a share of a rate limit could not be reserved; requests are allowed up to one share',
          ),
      });
    let opened = options.isLazy ? undefined : openHttp();
    const http = () => {
      opened ??= openHttp();
      return opened;
    };
    const draining = createDraining((request, refusal) => stores.serve(() => http().handle(request, refusal)));
    const sweep = () => sweepExpired(gateway);
    const refreshTokens = () => refreshDueTokens(gateway);
    /** Writes what was counted, and seals the logs. None of these steps depends on another, so each is done though another fails. */
    const sealAuditLog = async () => {
      try {
        await inTurn([flushCounts, () => sealAuditLogs(gateway, onSealProblem)], (step) => step());
      } catch (error) {
        for (const failure of failuresOf(error)) {
          if (!(failure instanceof OrganizationError)) continue;
          const { organizationId: organization, name } = failure;
          logger.error({ organization, error: name }, 'the audit log of an organization could not be written or sealed');
        }
        throw error;
      }
    };
    const flushCounts = () =>
      inTurn(
        [
          () => refusals.flush(stores, now()),
          async () => {
            const altered = await alterations.flush(stores, now());
            if (altered > 0)
              logger.warn({ count: altered }, 'stored objects were changed, but not by the gateway; the audit log names them');
          },
          async () => reads?.flush(stores, now()),
          () => findings.flush(stores),
          () => uses.flush(stores, now()),
          async () => {
            try {
              const failed = await failedLogins.flush(gateway);
              if (failed > 0) logger.warn({ count: failed }, 'requests without a valid token were refused');
            } catch (error) {
              if (!(error instanceof PlatformLogMissingError)) throw error;
              logger.error({}, 'requests without a valid token could not be written down: there is no log of the platform');
            }
          },
        ],
        (step) => step(),
      );
    const operator = options.operator ?? systemUser();
    const ownJobs: readonly Job[] = [
      [() => replaceWornKeys(gateway), 'a worn data key could not be replaced'],
      [flushCounts, 'what was counted could not be written'],
    ];
    const checkDue = async () => options.checkConnectionsHours && checkDueConnections(gateway, options.checkConnectionsHours);
    const transferContext = (organizationId: string, what: 'exporting' | 'importing') =>
      contextOf(gateway, { organizationId, kind: 'token', subject: `${operator} (${what})`, scopes: new Set(grantableScopes) });
    const jobs: readonly Job[] = [
      [() => replaceWornKeys(gateway), 'a worn data key could not be replaced'],
      // The windows of different spenders begin at different times, and the clock of another copy can be late.
      [() => stores.rateLimits.sweep(Math.floor(now().getTime() / WINDOW_MS) - 2), 'idle rate limits could not be deleted'],
      [createRecount(gateway), 'what an organization stores could not be counted'],
      [sealAuditLog, 'the audit log could not be sealed'],
      [sweep, 'expired credentials could not be deleted'],
      [() => noticeExpiries(gateway), 'events about credentials that are about to expire could not be written'],
      [events.run, 'events could not be numbered, or old ones not deleted'],
      [webhooks.trim, 'old deliveries of webhooks could not be deleted'],
      [refreshTokens, 'tokens could not be refreshed'],
      [() => settleStates(gateway), 'the states of credentials and connections could not be determined'],
      [checkDue, 'connections could not be checked'],
      [createLookupKeysJob(gateway), 'records of an earlier version could not be prepared for filters'],
    ];
    const stream = async () => auditStream?.run();
    const streamJobs: readonly Job[] = auditStream ? [[stream, 'the audit log could not be sent to its sink']] : [];
    const poll: Job = [revocations.refresh, 'the revocations could not be read'];
    const ends = [
      ...(runsJobs ? [everyMinute(options.sharesJobs ? ownJobs : jobs, logger), every(STREAM_MS, streamJobs, logger)] : []),
      ...(options.readsRevocations === false ? [] : [every(REVOCATION_POLL_MS, [poll], logger)]),
    ];
    let stopped: Promise<void> | undefined;
    const stop = async () => {
      opened?.endListeners();
      await draining.end((options.drainSeconds ?? DRAIN_SECONDS) * 1_000);
      live.stop();
      await Promise.all(ends.map((end) => end()));
      await gateway.tokens.stop();
      await webhooks.stop();
      await events.stop();
      await keyFiles.stop().catch(() => logger.error({}, 'the worker threads could not be ended'));
      await stores.serve(flushCounts).catch(() => logger.error({}, 'what was counted in the last minute could not be written'));
      if (runsJobs) {
        await stores
          .serve(() => endAuditLogs(gateway, onSealProblem))
          .catch(() => logger.error({}, 'the last entries of the audit log could not be sealed'));
        await stores.serve(stream).catch(() => logger.error({}, 'the last entries of the audit log could not be sent to its sink'));
      }
      await outbound.stop();
      await stores.close();
    };
    return {
      fetch: fetchDoor(draining.serve),
      requestListener: nodeListener(draining.serve),
      endLiveQueries: () => opened?.endListeners(),
      execute: (operation) => draining.run((refusal) => stores.serve(() => http().execute(operation, refusal))),
      get schema() {
        return schema();
      },
      async deleteOrganization(organizationId) {
        const isDeleted = await deleteOrganization(gateway, organizationId, operator);
        // Other copies may still accept its tokens. Whoever is told that it is deleted must be able to rely on that.
        if (isDeleted && options.readsRevocations !== false) await setTimeout(REVOCATION_SPREAD_MS);
        return isDeleted;
      },
      keys: { rotate: (rotation = {}) => rotateKeys(gateway, rotation), rewrap: (run = {}) => rewrapKeys(gateway, run) },
      migrate: (run = {}) => migrateDatabase(gateway, run),
      checkIntegrity: (organizationId) => checkIntegrity(gateway, organizationId),
      sweep,
      updateHealth: () => inTurn([() => findings.flush(stores), () => settleStates(gateway)], (step) => step()),
      checkConnections: async () => void (await checkDue()),
      refreshRevocations: revocations.refresh,
      refreshTokens,
      events: { run: events.run, noticeExpiries: () => noticeExpiries(gateway), onNumbered: events.onNumbered, newest: events.newest },
      webhooks: { run: webhooks.run, trim: webhooks.trim },
      audit: {
        seal: sealAuditLog,
        stream,
        verify: (organizationId, knownHead) => verifyAuditLog(gateway, organizationId, knownHead),
        organizations: stores.liveOrganizations,
        migrate: () => migrateAuditLog(gateway),
      },
      transfer: {
        async *exportLines(organizationId, { secrets, onProblem }) {
          if (secrets) requireTransferKey(secrets.recipient, 'public', ['secrets', 'recipient']);
          yield* exportLines(transferContext(organizationId, 'exporting'), {
            onProblem,
            ...(secrets && {
              secrets: { reason: secrets.reason, seal: (place, plain) => sealForTransfer(secrets.recipient, place, plain) },
            }),
          });
        },
        async importLines(organizationId, lines, { key, ...rest }) {
          if (key) requireTransferKey(key, 'private', ['key']);
          return importLines(transferContext(organizationId, 'importing'), lines, {
            ...rest,
            ...(key && { open: (place, sealed) => openTransferred(key, place, sealed) }),
          });
        },
      },
      platform: {
        id: stores.platform.organizationId,
        exists: stores.platform.exists,
        record: (action, about = {}) => recordPlatformEvent(gateway, { action, subject: operator, ...about }),
        entries: () => platformEntries(gateway),
      },
      stop() {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await database.connection.close();
    throw error;
  }
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

/** The user of the operating system and the name of the host, such as `ada@gateway-1`. */
export function systemUser(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // The system has no name for the user.
    return `${process.getuid?.() ?? '?'}@${hostname()}`;
  }
}

function masterKey(source: MasterKeySource): MasterKey {
  return source instanceof Uint8Array ? localMasterKey(source) : awsKmsMasterKey(source.awsKmsKeyArn);
}

/** The schema of a gateway with the built-in credential kinds, as `schema.graphql` holds it. */
export function schemaText(): string {
  return printedSchema(createSchema(createKindRegistry(builtInKinds)));
}

/**
 * The text of the subgraph of a gateway with these credential kinds; of the built-in ones by default. `subgraph.graphql` holds it with the defaults.
 * @throws SchemaNamesError
 */
export function subgraphText({
  federation = {},
  names,
  credentialKinds = builtInKinds,
}: Pick<GatewayOptions, 'federation' | 'names' | 'credentialKinds'> = {}): string {
  return printedSubgraph(createSchema(createKindRegistry(credentialKinds), { federation, names }), federation);
}

/** Returns whether an error says that the database cannot be reached or does not respond. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return translate(error) instanceof UnavailableError;
}

/** Returns whether a database already contains data keys. If it does, a missing master key must not be replaced by a new one. */
export async function hasDataKeys(options: { readonly uri: string; readonly name: string }): Promise<boolean> {
  const database = await openDatabase(options);
  try {
    // Nothing is unwrapped here, so any master key will do.
    return !(await createStore(database, localKeyProvider([randomBytes(32)]), () => new Date()).keyring.isEmpty());
  } finally {
    await database.connection.close();
  }
}
