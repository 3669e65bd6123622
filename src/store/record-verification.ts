import { both, within } from './extent.ts';
import type { BaseRecord, Document } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { Selection } from './selection.ts';

/** Returns the functions that verify all records of an extent, and that authenticate those of a version that did not. */
export function recordVerification<R extends BaseRecord>(
  { database, model }: RecordCollection,
  { extent }: Selection<R>,
  { authenticator, toRecord, macFor, report }: Documents<R>,
) {
  /** Reads documents, whatever they say, in the order of their ids: at most `limit` after an id. */
  async function following(after: string, limit: number): Promise<Document[]> {
    return model
      .find(both(within(extent), { _id: { $gt: after } }))
      .sort({ _id: 1 })
      .limit(limit)
      .batchSize(limit + 1)
      .lean();
  }

  return {
    /**
     * Authenticates records that an earlier version wrote, whatever they say: at most `limit` after an id, in one transaction. Only the
     * migration calls it. `complete` returns what a record lacks, and writes what belongs to it.
     */
    async adopt(
      after: string,
      limit: number,
      complete: (record: R) => Promise<Partial<R>> = async () => ({}),
    ): Promise<{ readonly adopted: number; readonly last: string | null }> {
      return database.transaction(async () => {
        const found = await following(after, limit);
        const isAuthentic = await authenticator();
        let adopted = 0;
        for (const document of found) {
          // An earlier run has authenticated it.
          if (isAuthentic(document)) continue;
          const set = await complete(toRecord(document));
          const mac = await macFor({ ...document, ...set });
          await model.updateOne({ organizationId: extent.organizationId, _id: document._id }, { $set: { ...set, ...mac } });
          adopted++;
        }
        return { adopted, last: found.length < limit ? null : String(found.at(-1)!._id) };
      });
    },

    /** Returns the ids of those documents of the extent that are as the gateway wrote them, and reports the others. */
    async authenticIds(found: readonly object[]): Promise<string[]> {
      if (found.length === 0) return [];
      const isAuthentic = await authenticator();
      const documents = found as readonly Document[];
      for (const document of documents) if (!isAuthentic(document)) report(document);
      return documents.filter(isAuthentic).map(({ _id }) => String(_id));
    },

    /** Verifies records, including those that reads hide: at most `limit` after an id. Returns the ids of the altered ones. */
    async findAltered(
      after: string,
      limit: number,
    ): Promise<{ readonly altered: readonly string[]; readonly intact: readonly R[]; readonly last: string | null }> {
      const found = await following(after, limit);
      const isAuthentic = await authenticator();
      const altered = found.filter((document) => !isAuthentic(document)).map(({ _id }) => String(_id));
      const intact = found.filter(isAuthentic).map(toRecord);
      return { altered, intact, last: found.length < limit ? null : String(found.at(-1)!._id) };
    },
  };
}
