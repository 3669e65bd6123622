import { LRUCache } from 'lru-cache';
import type { Conditions } from './extent.ts';
import { differingField, type Filter } from './filter.ts';
import { onFirstUse } from './lazily.ts';
import { comparing, type Page, type PageOf, type PageRequest } from './page.ts';
import type { Bytes, Stage } from './pipelines.ts';
import type { BaseRecord, Document } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { Selection } from './selection.ts';

/** How to answer pages by one read of all records of their lists. */
export interface WholeLists<R> {
  readonly collectionName: string;
  readonly conditions: Conditions;
  readonly limit: number;
  /** Returns the pages. Null if the lists are too long, or if a record is not as the gateway wrote it: then only the database can tell the pages. */
  readonly pages: (found: readonly Bytes[]) => Promise<Page<R>[] | null>;
}

/** The length of the time for which the pages of a list that was too long are read one by one, in milliseconds. */
const LONG_LIST_MS = 60_000;

/** Returns a function that returns, for a selection, how to answer the pages of several lists by one read of these lists as a whole. */
export function wholeListsIn<R extends BaseRecord>({ name: collectionName }: RecordCollection) {
  /**
   * How many records certain lists exceeded lately, or held besides one that is not as the gateway wrote it, by organization and filter. Until then,
   * their pages are read one by one.
   */
  const longLists = onFirstUse(() => new LRUCache<string, number>({ max: 1_000, ttl: LONG_LIST_MS }));

  return ({ extent: { organizationId }, readable, visible }: Selection<R>, { reader }: Documents<R>) =>
    /**
     * Returns how to answer pages of lists whose filters differ in the value of one field, such as the usages of fifty credentials: by one read of
     * everything in these lists. Null if the filters differ otherwise, or if the lists were too long lately.
     */
    function wholeLists(asked: readonly PageOf<R>[]): WholeLists<R> | null {
      const field = differingField(asked.map(({ filter }) => filter as Document));
      if (field === null) return null;
      const { [field]: _, ...common } = asked[0]!.filter as Document;
      const lists = JSON.stringify([organizationId, field, Object.keys(common)]);
      const valueIn = ({ filter }: PageOf<R>) => (filter as Document)[field] as string;
      const filter = { ...common, [field]: [...new Set(asked.map(valueIn))] } as Filter<R>;
      // At most twice as much as the pages themselves can have.
      const most = 2 * asked.reduce((sum, { request }) => sum + request.limit + 1, 0);
      if ((longLists().get(lists) ?? 0) >= most) return null;
      return {
        collectionName,
        conditions: readable(filter),
        limit: most + 1,
        async pages(found) {
          if (found.length > most) {
            longLists().set(lists, most);
            return null;
          }
          const read = await reader(filter);
          const byValue = new Map<unknown, R[]>(asked.map((each) => [valueIn(each), []]));
          for (const bytes of found) {
            const record = read(bytes);
            if (!record) {
              longLists().set(lists, most);
              return null;
            }
            if (visible && !visible.holds(record)) continue;
            const value = (record as unknown as Document)[field];
            for (const each of Array.isArray(value) ? new Set(value) : [value]) byValue.get(each)?.push(record);
          }
          const pages = asked.map((each) => pageOf(byValue.get(valueIn(each))!, each.request));
          return pages.includes(null) ? null : (pages as Page<R>[]);
        },
      };
    };
}

/** Returns a page of the records of a whole list. Null if one has no value to sort by. */
function pageOf<R extends BaseRecord>(list: readonly R[], request: PageRequest): Page<R> | null {
  const sortValue = (record: R) => record[request.sortField as keyof R] as unknown;
  if (!list.every((record) => typeof sortValue(record) === 'string' || sortValue(record) instanceof Date)) return null;
  const compare = comparing(request);
  const from = request.before ?? request.after;
  const cursor = from && ({ id: from.id, [request.sortField]: from.value } as unknown as BaseRecord);
  const rest = (cursor ? list.filter((record) => compare(record, cursor) > 0) : [...list]).sort(compare);
  const records = rest.slice(0, request.limit);
  if (request.before) records.reverse();
  return { records, hasMore: rest.length > request.limit };
}

/** Returns the pipeline that reads the lists of two collections. The documents of the second one are tagged with `page`, which is 1. */
export function bothLists(first: WholeLists<unknown>, second: WholeLists<unknown>): Stage[] {
  const pipeline = [{ $match: second.conditions }, { $limit: second.limit }, { $addFields: { page: 1 } }];
  return [{ $match: first.conditions }, { $limit: first.limit }, { $unionWith: { coll: second.collectionName, pipeline } }];
}
