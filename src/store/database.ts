import { type Connection, type Model, Mongoose, type Schema } from 'mongoose';
import { TimeoutError } from '../errors.ts';

/** An open database. Everything in `store/` is built on one; nothing outside sees it. */
export interface Database {
  readonly connection: Connection;
  /** Makes the model of a collection. */
  model<D>(name: string, schema: Schema<D>, collection: string): Model<D>;
  /** The longest that one read may take, in milliseconds. */
  readonly readTimeMs: number;
  /**
   * Runs the function in one transaction: all of its writes or none. It may run more than once (write conflicts), so it must have no
   * effect but its writes, and it must await one command before it sends the next.
   */
  transaction<T>(run: () => Promise<T>): Promise<T>;
}

/** A unique index refused a write. The domain says what that means for the caller. */
export class DuplicateKeyError extends Error {
  /** The names of the index's fields. */
  readonly fields: readonly string[];
  constructor(fields: readonly string[]) {
    super(`A unique index over ${fields.join(', ')} refused a write.`);
    this.fields = fields;
  }
}

/**
 * Connects to a MongoDB replica set, sharded cluster or the embedded database; the store cannot tell which.
 * @throws Error (MongooseServerSelectionError) when no server answers within ten seconds
 */
export async function openDatabase(options: {
  uri: string;
  name: string;
  readTimeMs?: number;
  /** Called with the name of each command that is sent. */
  onCommand?: (name: string) => void;
}): Promise<Database> {
  // An instance of its own: options, models and the transaction's async context are never shared with another gateway in this process.
  const mongoose = new Mongoose();
  mongoose.set('transactionAsyncLocalStorage', true);
  // As a plugin, for `mongoose.set` does not reach schemas that were built before they meet this instance.
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
      await connection.transaction(
        async () => {
          result = await run();
        },
        { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } },
      );
      return result!;
    },
  };
}

/** Makes the driver's errors ours, for all functions of one part of the store. What a transaction retries on passes unchanged. */
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

/** The driver's error as ours, or as it is. */
export function translate(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('code' in error)) return error;
  if (error.code === DUPLICATE_KEY) {
    const pattern = 'keyPattern' in error ? (error.keyPattern as object) : {};
    return new DuplicateKeyError(Object.keys(pattern));
  }
  return error.code === MAX_TIME_EXPIRED ? new TimeoutError() : error;
}
