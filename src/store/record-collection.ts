import type { Model } from 'mongoose';
import { indexesOf } from './access-paths.ts';
import type { Database } from './database.ts';
import type { Conditions } from './extent.ts';
import { type Bytes, type Stage, union } from './pipelines.ts';

/** How many ids come in one reply of the database. */
export const IDS_AT_ONCE = 10_000;

export type RecordCollection = ReturnType<typeof recordCollection>;

/** Returns the collection of one noun, and the commands by which the parts of its store read it. */
export function recordCollection<D>(database: Database, typedModel: Model<D>) {
  // The fields of a noun are data here, so mongoose's exact types for filters and updates cannot be used. `strict` checks them at run time.
  const model = typedModel as unknown as Model<Record<string, unknown>>;
  const name = model.collection.collectionName;
  const driver = database.collection<{ _id: string }>(name);
  /** All that is read comes in one batch, unless it is too large for one. */
  const reading = (most: number) => ({ raw: true, batchSize: most + 1, maxTimeMS: database.readTimeMs, ...database.session() });
  return {
    database,
    name,
    indexes: indexesOf(typedModel.schema),
    model,
    /** Reads and writes with the driver, without mongoose. */
    driver,

    /** Reads at most `limit` documents; all if it is 0, as for the driver. They come as bytes, so that what is known is not decoded. */
    async find(conditions: Conditions, limit: number): Promise<Bytes[]> {
      return (await driver.find(conditions, { limit, ...reading(limit || IDS_AT_ONCE) }).toArray()) as unknown as Bytes[];
    },

    /** Reads the documents of some pipelines, about `most`, in one command. */
    async aggregate(branches: readonly Stage[][], most: number): Promise<Bytes[]> {
      return (await driver.aggregate(union(name, branches), reading(most)).toArray()) as unknown as Bytes[];
    },

    /** Returns what some pipelines compute, such as counts, in one command of limited time. */
    async computed<T>(branches: readonly Stage[][], maxTimeMS: number): Promise<T[]> {
      return model.aggregate<T>(union(name, branches)).option({ maxTimeMS });
    },
  };
}
