import type { RequestListener } from 'node:http';
import type { GraphQLSchema } from 'graphql';
import type { AuditHead, AuditMigrationReport, AuditVerification } from '../domain/audit.ts';
import type { Events } from '../domain/events.ts';
import type { IntegrityReport } from '../domain/integrity.ts';
import type { KeyRunOptions, RewrapReport, RotationOptions, RotationReport } from '../domain/keys.ts';
import type { MigrationReport } from '../domain/migration.ts';
import type { PlatformAction, PlatformEntry } from '../domain/platform.ts';
import type { TransferImportOptions, TransferReport } from '../domain/transfer-import.ts';
import type { LineError } from '../domain/transfer-lines.ts';
import type { ExecutionResult, Operation } from '../http/index.ts';
import type { TransferKey } from '../secrets/transfer.ts';

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
