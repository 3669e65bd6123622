import { type Access, accessTo } from './access-paths.ts';
import { both, type Conditions } from './extent.ts';
import { comparing, lastId, order, type Page, type PageOf, type PageRequest, type PageStart, ranges } from './page.ts';
import { type Bytes, decoded, type Stage, untagged } from './pipelines.ts';
import { type BaseRecord, type Document, isId } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Altered, Documents } from './record-documents.ts';
import type { Selection } from './selection.ts';

/**
 * How many records are read for a page at most, if no index serves its filter and its order together. (Twice as many if it begins among many
 * records with the same value of the sort field.)
 */
export const EXAMINED_MAX = 1_000;

/** How to read a page: a few records that are not in order, or records in order, up to a position. Without both, exactly its records. */
interface Reading {
  readonly few?: Conditions;
  readonly inOrder?: Conditions;
  readonly edge?: PageStart;
}

/** What a look in the indexes has found: the number of records of a candidate, or the position where reading ends. */
interface Look extends Document {
  readonly page: number;
  readonly candidate?: number;
  readonly count?: number;
  readonly range?: number;
}

/**
 * Returns a function that reads pages of any lists in one command, of which the database limits each. If no index serves a page, one command more
 * decides before how to read it.
 */
export function pageReads<R extends BaseRecord>(
  { database, indexes, aggregate, computed }: RecordCollection,
  { readable, requirements }: Selection<R>,
  { fits, recordsOf }: Documents<R>,
) {
  /**
   * Decides how to read each page. Pages that an index serves need no command for that. For the others, one command looks in the indexes how
   * much there is to read.
   */
  async function readingsOf(asked: readonly PageOf<R>[]): Promise<Reading[]> {
    const accesses = asked.map(({ filter, request }) =>
      request.isBounded ? accessTo(indexes, requirements(filter), request.sortField) : 'direct',
    );
    const looks = accesses.flatMap((access, page) => (access === 'direct' ? [] : looksOf(access, asked[page]!.request, page)));
    if (looks.length === 0) return accesses.map(() => ({}));
    const seen = await computed<Look>(looks, database.readTimeMs);
    return accesses.map((access, page): Reading => {
      if (access === 'direct') return {};
      const own = seen.filter((look) => look.page === page);
      const sizes = access.candidates.map((_, at) => own.find(({ candidate }) => candidate === at)?.count ?? 0);
      const least = Math.min(...sizes);
      if (least <= EXAMINED_MAX) return { few: access.candidates[sizes.indexOf(least)]! };
      const { sortField } = asked[page]!.request;
      const [edge] = own.filter(({ range }) => range !== undefined).sort((a, b) => a.range! - b.range!);
      const value = edge?.[sortField];
      const isPosition = edge !== undefined && fits(sortField, value);
      const id = edge !== undefined && isId(edge._id) ? edge._id : lastId(asked[page]!.request);
      return { inOrder: access.inOrder, ...(isPosition && { edge: { value: value as PageStart['value'], id } }) };
    });
  }

  /** Returns the stages that read a page: one or more branches, each in order. */
  function branchesOf({ filter, request }: PageOf<R>, { few, inOrder, edge }: Reading): Stage[][] {
    const sort = { $sort: order(request) };
    // One more than requested, to know whether there are more.
    const limit = { $limit: request.limit + 1 };
    // Limits between two conditions keep the database from choosing another index. What was written since the look is read, too.
    const most = { $limit: 2 * EXAMINED_MAX };
    if (few) {
      const [first, ...others] = ranges(request);
      const range = others.length > 0 ? { $or: [first, ...others] } : first!;
      return [[{ $match: few }, most, { $match: both(readable(filter), range) }, sort, limit]];
    }
    if (!inOrder) return ranges(request).map((range) => [{ $match: both(readable(filter), range) }, sort, limit]);
    return ranges(request, edge).map((range) => [{ $match: both(inOrder, range) }, sort, most, { $match: readable(filter) }, limit]);
  }

  /** Returns where the next page begins if records are left out of this one, because somebody else has written them: after what was read for it. */
  function lastPosition(found: readonly Bytes[], request: PageRequest): PageStart | undefined {
    const { sortField, limit } = request;
    const compare = comparing(request);
    const read = found
      .map(decoded)
      .map(({ _id, [sortField]: value }) => ({ id: isId(_id) ? _id : lastId(request), [sortField]: value }) as unknown as BaseRecord)
      .sort(compare)
      .slice(0, limit);
    const last = read.findLast((each) => fits(sortField, (each as unknown as Document)[sortField]));
    return last && { id: last.id, value: (last as unknown as Document)[sortField] as PageStart['value'] };
  }

  return async (asked: readonly PageOf<R>[], altered: Altered): Promise<Page<R>[]> => {
    const isOne = asked.length === 1;
    const readings = await readingsOf(asked);
    const branches = asked.flatMap((each, page) =>
      branchesOf(each, readings[page]!).map((stages): Stage[] => (isOne ? stages : [...stages, { $addFields: { page } }])),
    );
    const most = asked.reduce((sum, { request }) => sum + ranges(request).length * (request.limit + 1), 0);
    const found = await aggregate(branches, most);
    const byPage = isOne ? [found] : untagged(found, asked);
    const result: Page<R>[] = [];
    for (const [index, { filter, request }] of asked.entries()) {
      const own = byPage[index]!;
      const records = (await recordsOf(own, filter, altered, request.sortField)).sort(comparing(request)).slice(0, request.limit);
      if (request.before) records.reverse();
      const { few, inOrder, edge } = readings[index]!;
      const isShort = own.length > request.limit && records.length < request.limit;
      const continuesAt = isShort ? lastPosition(own, request) : own.length <= request.limit ? edge : undefined;
      const hasMore = own.length > request.limit || continuesAt !== undefined;
      result.push({ records, hasMore, ...(continuesAt && { continuesAt }), ...((few || inOrder) && { wasExamined: true }) });
    }
    return result;
  };
}

/** Returns the pipelines that look in the indexes for a page. */
function looksOf({ candidates, inOrder }: Exclude<Access, 'direct'>, request: PageRequest, page: number): Stage[][] {
  const sizes = candidates.map((path, candidate): Stage[] => [
    { $match: path },
    { $limit: EXAMINED_MAX + 1 },
    { $count: 'count' },
    { $addFields: { page, candidate } },
  ]);
  const edges = ranges(request).map((each, range): Stage[] => [
    { $match: both(inOrder, each) },
    { $sort: order(request) },
    { $skip: EXAMINED_MAX - 1 },
    { $limit: 1 },
    { $project: { [request.sortField]: 1 } },
    { $addFields: { page, range } },
  ]);
  return [...sizes, ...edges];
}
