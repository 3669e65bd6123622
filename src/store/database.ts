import { type Connection, type Model, Mongoose, type Schema } from 'mongoose';
import { TimeoutError } from '../errors.ts';
import { runTransaction } from './outcomes.ts';

/** An open database. Everything in `store/` is built on it; nothing outside uses it. */
export interface Database {
  readonly connection: Connection;
  /** Creates the model of a collection. */
  model<D>(name: string, schema: Schema<D>, collection: string): Model<D>;
  /** The time limit of one read, in milliseconds. */
  readonly readTimeMs: number;
  /**
   * Runs the function in one transaction. It can run several times because of write conflicts, so its writes must be its only effect. It must
   * await each command before it sends the next.
   */
  transaction<T>(run: () => Promise<T>): Promise<T>;
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
  /** Called with the name of each sent command. */
  onCommand?: (name: string) => void;
}): Promise<Database> {
  // A separate instance, so that options, models and the async context of transactions are not shared with other gateways in this process.
  const mongoose = new Mongoose();
  mongoose.set('transactionAsyncLocalStorage', true);
  // A plugin, because `mongoose.set` does not affect schemas that were created without this instance.
  mongoose.plugin((schema) => schema.set('strict', 'throw').set('strictQuery', 'throw'));
  const connection = await mongoose
    .createConnection(options.uri, {
      dbName: options.name,
      autoIndex: false,
      autoCreate: false,
      serverSelectionTimeoutMS: 10_000,
      writeConcern: { w: 'majority', journal: true },
      monitorCommands: options.onCommand !== undefined,
    })
    .asPromise();
  if (options.onCommand) connection.getClient().on('commandStarted', ({ commandName }) => options.onCommand?.(commandName));
  return {
    connection,
    model: <D>(name: string, schema: Schema<D>, collection: string) => connection.model<D>(name, schema, collection),
    readTimeMs: options.readTimeMs ?? 5_000,
    async transaction<T>(run: () => Promise<T>): Promise<T> {
      let result: T;
      await runTransaction(connection, async () => {
        result = await run();
      });
      return result!;
    },
  };
}

/** Wraps functions so that they throw our errors instead of the driver's. Errors that make a transaction retry are not changed. */
export function translatingErrors<Functions extends object>(functions: Functions): Functions {
  const wrapped: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(functions)) {
    wrapped[name] = async (...args: unknown[]) => {
      try {
        return await value(...args);
      } catch (error) {
        throw translate(error);
      }
    };
  }
  return wrapped as Functions;
}

const DUPLICATE_KEY = 11000;
const MAX_TIME_EXPIRED = 50;

/** Converts an error of the driver to ours. Returns other errors unchanged. */
export function translate(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('code' in error)) return error;
  if (error.code === DUPLICATE_KEY) {
    const pattern = 'keyPattern' in error ? (error.keyPattern as object) : {};
    return new DuplicateKeyError(Object.keys(pattern));
  }
  return error.code === MAX_TIME_EXPIRED ? new TimeoutError() : error;
}
