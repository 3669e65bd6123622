import type { GraphQLSchema } from 'graphql';
import type { AuditSinkTarget } from '../audit-sink.ts';
import type { CredentialKind } from '../credential-kinds/define.ts';
import type { Policy } from '../domain/policy.ts';
import type { ProxiedAudit } from '../domain/uses.ts';
import type { TokenSettings } from '../http/authenticate.ts';
import type { TrustedDocumentsSettings } from '../http/trusted-documents.ts';
import { defaultLimits, type Limits } from '../limits.ts';
import { type Logger, safeLogger, silentLogger } from '../logger.ts';
import type { FederationOptions, SchemaNames } from '../schema-names.ts';
import type { OutboundSettings } from '../services/outbound/index.ts';

/** A master key: its 32 bytes, or its location. */
export type MasterKeySource = Uint8Array | { readonly awsKmsKeyArn: string };

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
  readonly policy?: Partial<Omit<Policy, 'tokenLifetimeMs' | 'allowsHttp' | 'countTimeMs'>>;
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

/** The options of a gateway, and what several of its parts need of them, with the defaults. */
export interface Resolved {
  readonly options: GatewayOptions;
  readonly logger: Logger;
  readonly limits: Limits;
  readonly now: () => Date;
  readonly elapsed: () => number;
  /** Whether it does the jobs of each minute. Nothing works on a database in an old format. */
  readonly runsJobs: boolean;
}

export function resolved(options: GatewayOptions): Resolved {
  const { now = () => new Date(), elapsed = () => performance.now() } = options;
  return {
    options,
    logger: safeLogger(options.logger ?? silentLogger),
    limits: { ...defaultLimits, ...options.limits },
    now,
    elapsed,
    runsJobs: options.runsJobs !== false && !options.opensOldFormat,
  };
}
