import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import type { Logger } from 'pino';
import { sweepExpired } from './domain/expiry.ts';
import { deleteOrganization } from './domain/organization.ts';
import { type Authenticator, createAuthenticator, type TokenSettings } from './http/authenticate.ts';
import { createHttp, type ExecutionResult, type Operation } from './http/index.ts';
import { createSchema } from './schema/index.ts';
import { localKeyProvider, MasterKeyError } from './secrets/key-provider.ts';
import { openDatabase } from './store/database.ts';
import { createStore } from './store/index.ts';

export { MasterKeyError };

export interface GatewayOptions {
  readonly database: {
    /** A MongoDB connection string: a replica set, a sharded cluster or the embedded database. */
    readonly uri: string;
    readonly name: string;
    /** Called with the name of each command that is sent; for counting. */
    readonly onCommand?: (name: string) => void;
  };
  /** 32 bytes each. The first wraps data keys, all open them. */
  readonly masterKeys: readonly Uint8Array[];
  readonly tokens: TokenSettings;
  readonly logger: Logger;
  /** Whether browsers are shown GraphiQL. */
  readonly graphiql: boolean;
  /** The host names that requests may be addressed to. Undefined: any. */
  readonly allowedHosts?: readonly string[];
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
  /** Deletes the credentials whose time is past, and answers how many there were. Runs by itself each minute. */
  readonly sweep: () => Promise<number>;
  /** Lets go of the database. Requests must have ended. */
  readonly stop: () => Promise<void>;
}

const SWEEP_MILLISECONDS = 60_000;

/**
 * Wires all layers together.
 * @throws Error when the database does not answer, or its data keys were wrapped under a master key that is not given
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { logger, now = () => new Date() } = options;
  const database = await openDatabase(options.database);
  try {
    const store = createStore(database, localKeyProvider(options.masterKeys), now);
    await store.prepare();
    await store.keyring.probe();
    const authenticate: Authenticator = createAuthenticator(options.tokens, now);
    const domain = { store, now };
    const { yoga, execute } = createHttp({ ...options, schema: createSchema(), domain, authenticate, ready: store.ping });
    const sweep = () => sweepExpired(domain);
    const sweeping = setInterval(() => {
      sweep().catch((error) =>
        logger.error({ name: (error as Error).name }, 'the sweep of expired credentials failed; it runs again in a minute'),
      );
    }, SWEEP_MILLISECONDS);
    sweeping.unref();
    return {
      fetch: async (request) => yoga.fetch(request),
      requestListener: yoga,
      execute,
      deleteOrganization: (organizationId) => deleteOrganization(domain, organizationId),
      sweep,
      async stop() {
        clearInterval(sweeping);
        await store.close();
      },
    };
  } catch (error) {
    await database.connection.close();
    throw error;
  }
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
