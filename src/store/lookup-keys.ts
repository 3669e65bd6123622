import { LRUCache } from 'lru-cache';
import { type NounName, nounTable } from '../access/nouns.ts';
import { beingPrepared } from '../errors.ts';
import type { Filter } from './filter.ts';
import { onFirstUse } from './lazily.ts';
import { lookupMembers } from './lookup.ts';
import { decoded } from './pipelines.ts';
import type { BaseRecord, Document } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { Selection } from './selection.ts';

export interface LookupOptions<R extends BaseRecord> {
  readonly noun: NounName;
  /**
   * Returns the keys by which records are found, see `lookup.ts`: for each of the records, which are complete. The noun then has the field
   * `lookupKeys`, and whatever writes a record writes its keys.
   */
  readonly lookupKeys?: (records: readonly R[], organizationId: string) => readonly string[][] | Promise<readonly string[][]>;
}

/** How long it is remembered that all records of an organization have keys, in milliseconds. */
const KEYS_KNOWN_MS = 60_000;
const KEYS_AT_ONCE = 200;
/** The number of records that get keys within a request that needs them. */
const KEYS_IN_REQUEST = 1_000;

export type LookupKeys<R extends BaseRecord> = ReturnType<ReturnType<typeof lookupKeysIn<R>>>;

/**
 * Returns a function that returns, for a selection, what gives their derived keys to the records of one noun: to those that are written, and to
 * those that an earlier version wrote.
 */
export function lookupKeysIn<R extends BaseRecord>(collection: RecordCollection, { noun, lookupKeys }: LookupOptions<R>) {
  const { database, driver, find } = collection;
  /** The organizations whose records have keys, or have lately had. Copies of an earlier version can still write some without. */
  const withKeys = onFirstUse(() => new LRUCache<string, true>({ max: 10_000, ttl: KEYS_KNOWN_MS }));

  return ({ extent: { organizationId } }: Selection<R>, { authenticator, toRecord, macFor }: Documents<R>) => {
    /** Returns the records with their keys. */
    async function keyed(records: readonly R[]): Promise<readonly R[]> {
      if (!lookupKeys || records.length === 0) return records;
      const keys = await lookupKeys(records, organizationId);
      return records.map((record, at) => ({ ...record, lookupKeys: [...new Set(keys[at])] }));
    }

    /** Returns the keys of a record, as a part of its document. Nothing if the noun has none. */
    async function keysOf(record: R): Promise<Document> {
      return lookupKeys ? { lookupKeys: ((await keyed([record]))[0] as unknown as Document).lookupKeys } : {};
    }

    /** Gives keys to records that an earlier version wrote: at most `limit`, of the whole organization. The version and the times stay. */
    async function addKeys(
      limit: number,
      except: readonly string[],
    ): Promise<{ readonly found: number; readonly altered: readonly string[] }> {
      const lacking = { organizationId, lookupKeys: null, ...(except.length > 0 && { $nor: [{ _id: { $in: except } }] }) };
      const documents: Document[] = (await find(lacking, limit)).map(decoded);
      const isAuthentic = await authenticator();
      const intact = documents.filter(isAuthentic);
      const records = await keyed(intact.map(toRecord));
      const changes = await Promise.all(
        intact.map(async (document, at) => {
          const set = { lookupKeys: (records[at] as unknown as Document).lookupKeys };
          // Whoever changes the record at the same time gives it another MAC, and keys.
          const filter = { organizationId, _id: String(document._id), mac: document.mac };
          return { updateOne: { filter, update: { $set: { ...set, ...(await macFor({ ...document, ...set })) } } } };
        }),
      );
      if (changes.length > 0) await driver.bulkWrite(changes, { ordered: false, ...database.session() });
      return { found: documents.length, altered: documents.filter((each) => !isAuthentic(each)).map(({ _id }) => String(_id)) };
    }

    /**
     * Gives keys to all records of the organization that have none, at most `most`. Returns whether none is left, but for altered ones: nothing
     * may be derived from them.
     */
    async function completeKeys(most: number): Promise<boolean> {
      if (!lookupKeys || withKeys().has(organizationId)) return true;
      const altered: string[] = [];
      for (let done = 0; done < most; done += KEYS_AT_ONCE) {
        const batch = await addKeys(KEYS_AT_ONCE, altered);
        altered.push(...batch.altered);
        if (batch.found < KEYS_AT_ONCE || altered.length >= KEYS_AT_ONCE) {
          withKeys().set(organizationId, true);
          return true;
        }
      }
      return false;
    }

    /** @throws UnavailableError when a filter needs keys that records of an earlier version do not have yet */
    async function requireKeys(filters: readonly Filter<R>[]): Promise<void> {
      if (!filters.some((filter) => lookupMembers.some((name) => name in filter))) return;
      if (!lookupKeys) throw new TypeError(`A filter looks for keys, which a ${nounTable[noun].label} does not have.`);
      if (!(await completeKeys(KEYS_IN_REQUEST))) {
        throw beingPrepared('Objects that an earlier version stored are being prepared.', 5);
      }
    }

    return { keyed, keysOf, completeKeys, requireKeys };
  };
}
