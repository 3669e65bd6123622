import { AsyncLocalStorage } from 'node:async_hooks';
import { type ClientSession, type Connection, type Model, Mongoose, type mongo, type Schema } from 'mongoose';
import { TimeoutError, UnavailableError } from '../errors.ts';
import { noteOf, runTransaction } from './outcomes.ts';

/** How long a request waits for the database, in milliseconds. Undefined outside of requests: jobs and commands take as long as they need. */
const patience = new AsyncLocalStorage<number>();
/** When a caller should try again, in seconds: after an election of a replica set. */
const RETRY_SECONDS = 5;

/** What is added to the stored records of each noun (by plural) and to the stored `bytes`. Negative for what is removed. */
export type Delta = Readonly<Record<string, number>>;
type Settle = (organizationId: string, delta: Delta, owners: ReadonlySet<string>, isExempt: boolean) => Promise<void>;
interface Account {
  readonly delta: Record<string, number>;
  /** The end users that own something new. */
  readonly owners: Set<string>;
  /** Whether no limit refuses it. */
  isExempt: boolean;
}
/** Returns what the running transaction has added and removed so far, by organization. Undefined outside of a transaction. */
const accounts = () => noteOf(accounts, () => new Map<string, Account>());

/** Returns what is done at the end of the running transaction. Undefined outside of one. */
const endings = () => noteOf(endings, (): (() => Promise<void>)[] => []);

function accountOf(noted: Map<string, Account>, organizationId: string): Account {
  const account = noted.get(organizationId) ?? { delta: {}, owners: new Set(), isExempt: false };
  noted.set(organizationId, account);
  return account;
}

/** An open database. Everything in `store/` is built on it; nothing outside uses it. */
export interface Database {
  readonly connection: Connection;
  /** Creates the model of a collection. */
  model<D>(name: string, schema: Schema<D>, collection: string): Model<D>;
  /**
   * Returns a collection of the driver, without mongoose. Its commands take part in the running transaction only if they get `session()`. It is for
   * what must stay outside of the transaction, and for writes, which it does with a fraction of the work.
   */
  collection<D extends mongo.Document>(name: string): mongo.Collection<D>;
  /** The options that let a command of the driver take part in the running transaction. Empty outside of a transaction. */
  session(): { readonly session?: ClientSession };
  /** Drops the indexes with these names, as far as they exist. */
  dropIndexes(collection: string, names: readonly string[]): Promise<void>;
  /** The time limit of one read, in milliseconds. */
  readonly readTimeMs: number;
  /** The time limit of one command that counts a list, in milliseconds. */
  readonly countTimeMs: number;
  /**
   * Runs the function in one transaction. It can run several times because of write conflicts, so its writes must be its only effect. It must
   * await each command before it sends the next.
   *
   * @throws UnavailableError when the database does not respond. Its outcome is UNKNOWN only if the commit was sent.
   */
  transaction<T>(run: () => Promise<T>): Promise<T>;
  /** Notes what was added or removed, and who owns it. Settled once before the transaction is committed, or at once outside of a transaction. */
  account(organizationId: string, delta: Delta, owner?: string | null): Promise<void>;
  /** Says that no limit refuses what the running transaction adds: the gateway must not lose it. */
  exempt(organizationId: string): void;
  /** Runs a function at the end of the running transaction, before it is committed. Call it in a transaction. */
  beforeCommit(run: () => Promise<void>): void;
  /** Sets the function that settles what was noted. It runs in the transaction. */
  onSettle(settle: Settle): void;
  /** Runs a request: within it, each function of the store waits for a limited time. */
  serve<T>(run: () => T): T;
}

/** A unique index refused a write. The domain converts it to an error for the caller. */
export class DuplicateKeyError extends Error {
  /** The names of the index's fields. */
  readonly fields: readonly string[];
  constructor(fields: readonly string[]) {
    super(`A unique index over ${fields.join(', ')} refused a write.`);
    this.fields = fields;
  }
}

/**
 * Connects to a MongoDB replica set, a sharded cluster or the embedded database. The store does not distinguish them.
 * @throws Error (MongooseServerSelectionError) when no server answers within ten seconds
 */
export async function openDatabase(options: {
  uri: string;
  name: string;
  readTimeMs?: number;
  countTimeMs?: number;
  /** How long each function of the store waits for the database while it serves a request, in milliseconds. */
  waitMs?: number;
  /** Called with the name of each sent command. */
  onCommand?: (name: string) => void;
}): Promise<Database> {
  // A separate instance, so that options, models and the async context of transactions are not shared with other gateways in this process.
  const mongoose = new Mongoose();
  mongoose.set('transactionAsyncLocalStorage', true);
  // Mongoose's types do not contain it.
  const transactions = Reflect.get(mongoose, 'transactionAsyncLocalStorage') as AsyncLocalStorage<{ readonly session: ClientSession }>;
  // A plugin, because `mongoose.set` does not affect schemas that were created without this instance.
  mongoose.plugin((schema) => schema.set('strict', 'throw').set('strictQuery', 'throw'));
  const connection = await mongoose
    .createConnection(options.uri, {
      dbName: options.name,
      autoIndex: false,
      autoCreate: false,
      serverSelectionTimeoutMS: 10_000,
      // The driver's monitor detects a server that is frozen: it closes all connections to it, and so ends the commands that wait. There is no
      // `socketTimeoutMS`, which would also end commands that rightly take long, such as the creation of an index.
      connectTimeoutMS: 5_000,
      heartbeatFrequencyMS: 5_000,
      waitQueueTimeoutMS: 5_000,
      writeConcern: { w: 'majority', journal: true },
      monitorCommands: options.onCommand !== undefined,
    })
    .asPromise();
  // Each storage that is in use makes every promise of the process dearer.
  connection.once('close', () => transactions.disable());
  if (options.onCommand) connection.getClient().on('commandStarted', ({ commandName }) => options.onCommand?.(commandName));
  let settle: Settle = async () => {};
  return {
    connection,
    model: <D>(name: string, schema: Schema<D>, collection: string) => connection.model<D>(name, schema, collection),
    collection: <D extends mongo.Document>(name: string) => connection.db!.collection<D>(name),
    session() {
      const running = transactions.getStore();
      return running ? { session: running.session } : {};
    },
    async dropIndexes(name, names) {
      const collection = connection.collection(name);
      for (const index of await collection.indexes()) {
        if (!index.name || !names.includes(index.name)) continue;
        await collection.dropIndex(index.name).catch((error) => {
          // Another copy of the gateway, which starts at the same time, has dropped it.
          if (error?.code !== INDEX_NOT_FOUND) throw error;
        });
      }
    },
    readTimeMs: options.readTimeMs ?? 5_000,
    countTimeMs: options.countTimeMs ?? 1_000,
    serve: (run) => patience.run(options.waitMs ?? 10_000, run),
    onSettle: (given) => {
      settle = given;
    },
    exempt(organizationId) {
      const noted = accounts();
      if (noted) accountOf(noted, organizationId).isExempt = true;
    },
    async account(organizationId, delta, owner) {
      const noted = accounts();
      if (!noted) return settle(organizationId, delta, new Set(owner ? [owner] : []), false);
      const account = accountOf(noted, organizationId);
      for (const [name, amount] of Object.entries(delta)) account.delta[name] = (account.delta[name] ?? 0) + amount;
      if (owner) account.owners.add(owner);
    },
    beforeCommit: (run) => void endings()!.push(run),
    transaction: (run) =>
      transactionOn(connection, async () => {
        const result = await run();
        for (const end of endings()!) await patiently(end);
        for (const [organizationId, { delta, owners, isExempt }] of accounts()!) {
          await patiently(() => settle(organizationId, delta, owners, isExempt));
        }
        return result;
      }),
  };
}

/** Runs a transaction. While it serves a request, it ends in time, whatever the driver is still doing. */
async function transactionOn<T>(connection: Connection, run: () => Promise<T>): Promise<T> {
  const waitMs = patience.getStore();
  let isCommitting = false;
  let isOver = false;
  let isFailing = false;
  let timer: NodeJS.Timeout | undefined;
  let result: T;
  let giveUp = (_error: UnavailableError) => {};
  const gaveUp = new Promise<never>((_, reject) => {
    giveUp = (error) => {
      isOver = true;
      reject(error);
    };
  });
  gaveUp.catch(() => {});
  /** Gives up after the time limit, unless the driver succeeds before. */
  const limit = () => {
    if (waitMs !== undefined) timer ??= setTimeout(() => giveUp(noResponse().of(isCommitting ? 'UNKNOWN' : 'NOT_EXECUTED')), waitMs);
  };
  const attempt = async () => {
    // The driver repeats the function only if it knows that the previous attempt was not committed.
    isCommitting = false;
    if (!isFailing) {
      clearTimeout(timer);
      timer = undefined;
    }
    try {
      result = await run();
    } catch (error) {
      // The driver aborts the transaction, which can take as long as any other command.
      if (translate(error) instanceof UnavailableError) giveUp(noResponse().of('NOT_EXECUTED'));
      // It is repeated after a lost connection, too, but not for longer than one time limit.
      isFailing ||= translate(unlabelled(error)) instanceof UnavailableError;
      limit();
      throw error;
    }
    // The caller was told that nothing is carried out.
    if (isOver) throw noResponse();
    isCommitting = true;
    limit();
  };
  const running = runTransaction(connection, attempt).catch((error: unknown) => {
    const own = translate(unlabelled(error));
    if (own instanceof UnavailableError) throw own.of(isCommitting ? 'UNKNOWN' : 'NOT_EXECUTED');
    // Whatever the server said of the commit, such as that it took too long, it can have been carried out.
    throw isCommitting ? noResponse().of('UNKNOWN') : error;
  });
  running.catch(() => {});
  try {
    await (waitMs === undefined ? running : Promise.race([running, gaveUp]));
    return result!;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for the database no longer than a request may. @throws UnavailableError */
async function patiently<T>(run: () => Promise<T>): Promise<T> {
  const waitMs = patience.getStore();
  if (waitMs === undefined) return run();
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(noResponse()), waitMs);
  });
  const running = run();
  // It fails later, when nobody waits for it any more.
  running.catch(() => {});
  try {
    return await Promise.race([running, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

function noResponse(): UnavailableError {
  return new UnavailableError('The database does not respond.', RETRY_SECONDS);
}

/** Wraps functions so that they throw our errors instead of the driver's. Errors that make a transaction retry are not changed. */
export function translatingErrors<Functions extends object>(functions: Functions): Functions {
  const own = functions as Readonly<Record<string, (...args: unknown[]) => unknown>>;
  const wrapped: Record<string, unknown> = {};
  // Stores are made for each request. To read the names only costs less than to make a list of entries.
  for (const name of Object.keys(own)) {
    const run = own[name]!;
    wrapped[name] = async (...args: unknown[]) => {
      try {
        return await patiently(async () => run(...args));
      } catch (error) {
        throw translate(error);
      }
    };
  }
  return wrapped as Functions;
}

const DUPLICATE_KEY = 11000;
const INDEX_NOT_FOUND = 27;
const MAX_TIME_EXPIRED = 50;
/** The errors of the driver, by name, that say that the server cannot be reached or does not answer. */
const unavailableNames = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongooseServerSelectionError',
  'MongoPoolClearedError',
  'PoolClearedOnNetworkError',
  'MongoPoolClosedError',
  'MongoWaitQueueTimeoutError',
  'MongoOperationTimeoutError',
  'MongoNotConnectedError',
  'MongoTopologyClosedError',
  'MongoServerClosedError',
  'MongoClientClosedError',
  'MongoExpiredSessionError',
]);
/** The errors of a server that is about to stop, is not the primary any more, or cannot reach the others: see MongoDB's `error_codes.yml`. */
const unavailableCodes = new Set([6, 7, 64, 89, 91, 189, 202, 262, 358, 9001, 10107, 11600, 11602, 13435, 13436]);

/** The errors of Node that the driver passes on when it writes to a connection that the server has just closed. */
const closedCodes: ReadonlySet<unknown> = new Set([
  'EPIPE',
  'ECONNRESET',
  'ERR_SOCKET_CLOSED',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
]);

/** Converts an error of the driver to ours. Returns other errors unchanged, and also those that make a transaction retry. */
export function translate(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return error;
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  if (code === DUPLICATE_KEY) {
    const pattern = 'keyPattern' in error ? (error.keyPattern as object) : {};
    return new DuplicateKeyError(Object.keys(pattern));
  }
  if (code === MAX_TIME_EXPIRED) return new TimeoutError();
  if (hasRetryLabel(error)) return error;
  const isUnavailable = unavailableNames.has(String(name)) || unavailableCodes.has(Number(code ?? 0)) || closedCodes.has(code);
  return isUnavailable ? noResponse() : error;
}

/** Whether the driver will run the transaction or its commit again because of this error. */
function hasRetryLabel(error: object): boolean {
  const { errorLabelSet: labels } = error as { readonly errorLabelSet?: ReadonlySet<string> };
  return labels?.has('TransientTransactionError') === true || labels?.has('UnknownTransactionCommitResult') === true;
}

/** The error without its labels: the driver has given up. */
function unlabelled(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !hasRetryLabel(error)) return error;
  const { name, code } = error as { readonly name?: unknown; readonly code?: unknown };
  const isUnavailable = unavailableNames.has(String(name)) || unavailableCodes.has(Number(code ?? 0));
  return isUnavailable ? noResponse() : error;
}
