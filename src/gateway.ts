import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import type { Logger } from 'pino';
import { authenticateAPIKey } from './domain/api-key.ts';
import { type AuditHead, type AuditVerification, sealAuditLogs, verifyAuditLog } from './domain/audit.ts';
import { contextOf } from './domain/context.ts';
import { authenticateEndUser } from './domain/end-user-token.ts';
import { sweepExpired } from './domain/expiry.ts';
import {
  type KeyRunOptions,
  type RewrapReport,
  type RotationOptions,
  type RotationReport,
  replaceWornKeys,
  rewrapKeys,
  rotateKeys,
} from './domain/keys.ts';
import { deleteOrganization } from './domain/organization.ts';
import { createRefusals } from './domain/refusals.ts';
import { createAuthenticator, type OwnTokens, type TokenSettings } from './http/authenticate.ts';
import { createHttp, type ExecutionResult, type Operation } from './http/index.ts';
import { WINDOW_MS } from './http/limits/rate-limiter.ts';
import { nodeListener } from './http/node-listener.ts';
import { everyMinute, type Job } from './jobs.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { createSchema } from './schema/index.ts';
import { awsKmsMasterKey, isAwsKmsKeyArn } from './secrets/aws-kms.ts';
import { keyProvider, localKeyProvider, localMasterKey, type MasterKey, MasterKeyError } from './secrets/key-provider.ts';
import { openDatabase } from './store/database.ts';
import { createStore } from './store/index.ts';
import { NO_ORGANIZATION } from './store/rate-limit.ts';

export type { KeyProgress, KeyRunOptions, RewrapReport, RotationOptions, RotationReport } from './domain/keys.ts';
export { isAwsKmsKeyArn, MasterKeyError };

/** A master key: its 32 bytes, or where it is. */
export type MasterKeySource = Uint8Array | { readonly awsKmsKeyArn: string };

export type { AuditHead, AuditVerification };

export interface GatewayOptions {
  readonly database: {
    /** A MongoDB connection string: a replica set, a sharded cluster or the embedded database. */
    readonly uri: string;
    readonly name: string;
    /** Called with the name of each command that is sent; for counting. */
    readonly onCommand?: (name: string) => void;
  };
  /** The first wraps data keys, all open them. */
  readonly masterKeys: readonly MasterKeySource[];
  readonly tokens: TokenSettings;
  readonly logger: Logger;
  /** Whether browsers are shown GraphiQL. */
  readonly graphiql: boolean;
  /** Whether the log tells messages of defects, as far as their words are surely ours: for development. It does not unless told. */
  readonly logsDefectMessages?: boolean;
  /** The host names that requests may be addressed to. Undefined: any. */
  readonly allowedHosts?: readonly string[];
  /** The origins whose pages may use the gateway. None unless told. */
  readonly corsOrigins?: readonly string[];
  /** How many proxies that append to X-Forwarded-For stand before the gateway; 0 unless told. */
  readonly trustedProxies?: number;
  /** What a request may cost; where it does not say, `defaultLimits` hold. */
  readonly limits?: Partial<Limits>;
  /** Whether it sweeps, seals the audit log and replaces worn keys by itself each minute: unless told, it does. One copy has to. */
  readonly runsJobs?: boolean;
  /** The clock. */
  readonly now?: () => Date;
}

/** A running gateway. */
export interface Gateway {
  /** Answers a request: the front door. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** The same, for `node:http`. */
  readonly requestListener: RequestListener;
  /** Runs an operation on behalf of a viewer, without HTTP. */
  readonly execute: (operation: Operation) => Promise<ExecutionResult>;
  /** Deletes an organization, its keys and all it has, for good. False: there is none of that name. */
  readonly deleteOrganization: (organizationId: string) => Promise<boolean>;
  readonly keys: {
    /** Gives organizations new data keys, moves their secrets to them, and destroys the old. May be ended, and run again, at any time. */
    readonly rotate: (options?: RotationOptions) => Promise<RotationReport>;
    /** Wraps all data keys anew under the first master key, after which the others are not needed. */
    readonly rewrap: (options?: KeyRunOptions) => Promise<RewrapReport>;
  };
  /** Deletes the credentials whose time is past, and answers how many there were. Runs by itself each minute. */
  readonly sweep: () => Promise<number>;
  readonly audit: {
    /** Writes what was refused into the audit log, and seals the entries that are not sealed yet. Runs by itself each minute. */
    readonly seal: () => Promise<void>;
    /** Checks an organization's log against its chain, and against a head that was kept elsewhere. Undefined: there is no such organization. */
    readonly verify: (organizationId: string, knownHead?: AuditHead) => Promise<AuditVerification | undefined>;
    /** The organizations that have a log. */
    readonly organizations: () => Promise<string[]>;
  };
  /** Lets go of the database. Requests must have ended. */
  readonly stop: () => Promise<void>;
}

/**
 * Wires all layers together.
 * @throws Error when the database does not answer, or its data keys were wrapped under a master key that is not given
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { logger, now = () => new Date() } = options;
  const database = await openDatabase(options.database);
  try {
    const store = createStore(database, keyProvider(options.masterKeys.map(masterKey)), now);
    await store.prepare();
    await store.keyring.probe();
    const domain = { store, now };
    const own = {
      apiKey: (key) => authenticateAPIKey(domain, key),
      endUser: (token) => authenticateEndUser(domain, token),
    } satisfies OwnTokens;
    const authenticate = createAuthenticator(options.tokens, own, now);
    const refusals = createRefusals();
    const { yoga, execute } = createHttp({
      ...options,
      schema: createSchema(),
      contextOf: (viewer) => contextOf(domain, viewer),
      authenticate,
      refusals,
      ready: store.ping,
      limits: { ...defaultLimits, ...options.limits },
      trustedProxies: options.trustedProxies ?? 0,
      logsDefectMessages: options.logsDefectMessages ?? false,
      reserve: store.rateLimits.reserve,
      noOrganization: NO_ORGANIZATION,
      now,
      onFailure: (error) => logger.warn({ name: (error as Error).name }, 'a share of a rate limit could not be reserved; it is lent'),
    });
    const sweep = () => sweepExpired(domain);
    const sealAuditLog = async () => {
      const anonymous = await refusals.flush(store, now());
      if (anonymous > 0) logger.warn({ count: anonymous }, 'requests without a valid token were refused');
      await sealAuditLogs(domain);
    };
    const jobs: readonly Job[] = [
      [() => replaceWornKeys(domain), 'a data key that has sealed much could not be replaced'],
      // Windows of different spenders do not begin together, and another copy's clock may be late.
      [() => store.rateLimits.sweep(Math.floor(now().getTime() / WINDOW_MS) - 2), 'the sweep of rate limits failed'],
      [sealAuditLog, 'the audit log could not be sealed'],
      [sweep, 'the sweep of expired credentials failed'],
    ];
    const endJobs = options.runsJobs === false ? () => {} : everyMinute(jobs, logger);
    return {
      fetch: async (request) => yoga.fetch(request),
      requestListener: nodeListener(yoga),
      execute,
      deleteOrganization: (organizationId) => deleteOrganization(domain, organizationId),
      keys: { rotate: (rotation = {}) => rotateKeys(domain, rotation), rewrap: (run = {}) => rewrapKeys(domain, run) },
      sweep,
      audit: {
        seal: sealAuditLog,
        verify: (organizationId, knownHead) => verifyAuditLog(domain, organizationId, knownHead),
        organizations: store.organizations.live,
      },
      async stop() {
        endJobs();
        await refusals.flush(store, now()).catch(() => logger.error('what was refused in the last minute could not be written'));
        await store.close();
      },
    };
  } catch (error) {
    await database.connection.close();
    throw error;
  }
}

function masterKey(source: MasterKeySource): MasterKey {
  return source instanceof Uint8Array ? localMasterKey(source) : awsKmsMasterKey(source.awsKmsKeyArn);
}

/** Whether a database holds data keys already, so that a master key which is missing must not be made anew. */
export async function hasDataKeys(options: { readonly uri: string; readonly name: string }): Promise<boolean> {
  const database = await openDatabase(options);
  try {
    // Nothing is unwrapped here, so no real master key is needed.
    return !(await createStore(database, localKeyProvider([randomBytes(32)]), () => new Date()).keyring.isEmpty());
  } finally {
    await database.connection.close();
  }
}
