import { translatingErrors } from './database.ts';
import { both, type Conditions, within } from './extent.ts';
import type { Filter } from './filter.ts';
import type { LookupKeys } from './lookup-keys.ts';
import type { Page, PageOf, PageRequest } from './page.ts';
import { pageReads } from './page-reads.ts';
import { decoded, type Stage, untagged } from './pipelines.ts';
import { type BaseRecord, isId } from './record.ts';
import { IDS_AT_ONCE, type RecordCollection } from './record-collection.ts';
import type { Altered, Documents } from './record-documents.ts';
import type { Selection } from './selection.ts';
import { bothLists, type WholeLists } from './whole-lists.ts';

type PagesOf<R extends BaseRecord> = (asked: readonly PageOf<R>[]) => Promise<Page<R>[]>;
type WholeListsOf<R extends BaseRecord> = (asked: readonly PageOf<R>[]) => WholeLists<R> | null;

/** Returns a function that returns the functions that read records, for each way to treat altered ones. */
export function recordReads<R extends BaseRecord>(
  collection: RecordCollection,
  selection: Selection<R>,
  documents: Documents<R>,
  { requireKeys }: LookupKeys<R>,
  wholeLists: WholeListsOf<R>,
) {
  const { find, aggregate } = collection;
  const { readable } = selection;
  const { recordsOf } = documents;
  const pagesOneByOne = pageReads(collection, selection, documents);

  async function pages(asked: readonly PageOf<R>[], altered: Altered): Promise<Page<R>[]> {
    await requireKeys(asked.map(({ filter }) => filter));
    const lists = wholeLists(asked);
    return (lists && (await lists.pages(await find(lists.conditions, lists.limit)))) ?? pagesOneByOne(asked, altered);
  }

  return (altered: Altered) =>
    translatingErrors({
      /** Returns the records with these ids that exist, in any order. */
      async byIds(ids: readonly string[]): Promise<R[]> {
        if (ids.length === 0) return [];
        const filter = { id: ids };
        return recordsOf(await find(readable(filter), ids.length), filter, altered);
      },

      /** Returns all records that match, in any order, in one command. The caller makes sure that there are few. */
      async all(filter: Filter<R>): Promise<R[]> {
        return recordsOf(await find(readable(filter), 0), filter, altered);
      },

      /** Returns all records that match one of these filters, in any order, in one command. The caller makes sure that there are few. */
      async allOf(filters: readonly Filter<R>[]): Promise<R[]> {
        const [first, ...others] = filters;
        if (!first) return [];
        if (others.length === 0) return recordsOf(await find(readable(first), 0), first, altered);
        // Not by `$or`, for which the database would read more than one index serves.
        const branches = filters.map((filter, page): Stage[] => [{ $match: readable(filter) }, { $addFields: { page } }]);
        const found = await aggregate(branches, IDS_AT_ONCE);
        const records = await Promise.all(untagged(found, filters).map((own, index) => recordsOf(own, filters[index]!, altered)));
        return records.flat();
      },

      async one(filter: Filter<R>): Promise<R | null> {
        return (await recordsOf(await find(readable(filter), 1), filter, altered))[0] ?? null;
      },

      async page(filter: Filter<R>, request: PageRequest): Promise<Page<R>> {
        return (await pages([{ filter, request }], altered))[0]!;
      },

      /**
       * Reads many pages in one command, such as the first connections of fifty end users. If their lists are short, all of them are read at once.
       * Otherwise the database limits each page. It takes one more command to find out that they are long.
       */
      pages: (asked: readonly PageOf<R>[]): Promise<Page<R>[]> => pages(asked, altered),

      /** Reads many pages of this noun and of another one, in one command if the lists of both are short. */
      async pagesOfTwo<S extends BaseRecord>(
        asked: readonly PageOf<R>[],
        other: { readonly wholeLists: WholeListsOf<S>; readonly pages: PagesOf<S> },
        otherAsked: readonly PageOf<S>[],
      ): Promise<readonly [readonly Page<R>[], readonly Page<S>[]]> {
        const lists = wholeLists(asked);
        const otherLists = lists && other.wholeLists(otherAsked);
        if (lists && otherLists) {
          const found = await aggregate([bothLists(lists, otherLists)], lists.limit + otherLists.limit);
          const [own, others] = untagged(found, [0, 1]);
          const [ownPages, otherPages] = [await lists.pages(own!), await otherLists.pages(others!)];
          if (ownPages && otherPages) return [ownPages, otherPages];
        }
        return Promise.all([pages(asked, altered), other.pages(otherAsked)]);
      },
    });
}

/** Returns the functions that find records that reads hide, too. */
export function unhiddenReads<R extends BaseRecord>(
  { model, aggregate }: RecordCollection,
  { extent, written }: Selection<R>,
  { reader }: Documents<R>,
) {
  return {
    /**
     * Returns the records that satisfy one of some conditions of the store itself, including those that reads hide: at most `limit` of each. `altered` are
     * the ids of those that are not as the gateway wrote them.
     */
    async matching(
      any: readonly Conditions[],
      limit: number,
    ): Promise<{ readonly intact: readonly R[]; readonly altered: readonly string[] }> {
      const branches = any.map((conditions): Stage[] => [{ $match: both(within(extent), conditions) }, { $limit: limit }]);
      const found = await aggregate(branches, limit * any.length);
      const read = await reader({});
      const intact = found.map(read);
      const altered = found.flatMap((bytes, index) => (intact[index] ? [] : [decoded(bytes)._id]));
      return { intact: intact.filter((record) => record !== null), altered: altered.filter(isId) };
    },

    /** Returns the ids of all matching records, including those that reads hide. */
    async ids(filter: Filter<R>): Promise<string[]> {
      const found = await model.find(written(filter), { _id: 1 }).batchSize(IDS_AT_ONCE).lean();
      return found.map(({ _id }) => _id as string);
    },
  };
}
