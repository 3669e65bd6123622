import { TimeoutError } from '../errors.ts';
import { type Path, widestPaths } from './access-paths.ts';
import { translate } from './database.ts';
import type { Filter } from './filter.ts';
import type { LookupKeys } from './lookup-keys.ts';
import type { Stage } from './pipelines.ts';
import type { BaseRecord } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Selection } from './selection.ts';

/** How many records match a filter. If not exact, there are at least so many. */
export interface Count {
  readonly count: number;
  readonly isExact: boolean;
}

/** Records that match a filter: all of them, or those among a limited number that was looked at. */
export interface SomeIds {
  readonly ids: readonly string[];
  readonly isAll: boolean;
}

/** Returns the functions that count records, or find out which there are, from the keys of an index as far as one serves the filter. */
export function recordCounts<R extends BaseRecord>(
  { database, driver, indexes, computed }: RecordCollection,
  { extent: { organizationId }, visible, written, readable, requirements }: Selection<R>,
  { requireKeys }: LookupKeys<R>,
) {
  /** Returns how the indexes find the records of a filter: by a path that needs no look at the records, or else by all that narrow it. */
  function pathsOf(filter: Filter<R>): { readonly whole: Path | undefined; readonly all: readonly Path[] } {
    const required = requirements(filter);
    const all = widestPaths(indexes, required);
    const whole = all.find(({ covered }) => covered.size === required.length);
    return { whole, all: whole ? [whole] : all };
  }

  async function countsOf(filters: readonly Filter<R>[], most: number): Promise<Count[]> {
    const limit = { $limit: most + 1 };
    const count = { $count: 'count' };
    const paths = filters.map(pathsOf);
    const found = await counted([
      ...paths.flatMap(({ all }, at) =>
        all.map((path) => ({ name: nameOf(at, path), stages: [{ $match: path.conditions }, limit, count] })),
      ),
      // What is hidden is few, and not in the indexes of a filter.
      ...paths.flatMap(({ whole }, at) =>
        whole && visible
          ? [
              {
                name: `${at} hidden`,
                stages: [{ $match: { organizationId, ...visible.hidden() } }, limit, { $match: written(filters[at]!) }, count],
              },
            ]
          : [],
      ),
    ]);
    const sizeOf = (at: number) => (path: Path) => found.get(nameOf(at, path)) ?? 0;
    const least = paths.map(({ all }, at) => [...all].sort((a, b) => sizeOf(at)(a) - sizeOf(at)(b))[0]!);
    const matching = await counted(
      filters.flatMap((filter, at) =>
        paths[at]!.whole
          ? []
          : [{ name: `${at}`, stages: [{ $match: least[at]!.conditions }, limit, { $match: readable(filter) }, count] }],
      ),
    );
    return filters.map((_, at) => {
      const size = sizeOf(at)(least[at]!);
      const number = paths[at]!.whole ? Math.max(0, size - (found.get(`${at} hidden`) ?? 0)) : (matching.get(`${at}`) ?? 0);
      return { count: Math.min(number, most), isExact: size <= most };
    });

    function nameOf(at: number, path: Path): string {
      return `${at} ${paths[at]!.all.indexOf(path)}`;
    }
  }

  async function idsOf(filter: Filter<R>, most: number): Promise<SomeIds> {
    const limit = { $limit: most + 1 };
    const { all } = pathsOf(filter);
    const sizes = await counted(
      all.map((path, at) => ({ name: `${at}`, stages: [{ $match: path.conditions }, limit, { $count: 'count' }] })),
    );
    const [least] = all.map((path, at) => ({ path, size: sizes.get(`${at}`) ?? 0 })).sort((a, b) => a.size - b.size);
    const found = await computed<{ _id: string }>(
      [[{ $match: least!.path.conditions }, limit, { $match: readable(filter) }, { $project: { _id: 1 } }]],
      database.countTimeMs,
    );
    return { ids: found.slice(0, most).map(({ _id }) => _id), isAll: least!.size <= most };
  }

  /** Runs pipelines that count, in one command. Returns the counts by name; none for 0. */
  async function counted(pipelines: readonly { readonly name: string; readonly stages: Stage[] }[]): Promise<Map<string, number>> {
    if (pipelines.length === 0) return new Map();
    const branches = pipelines.map(({ name, stages }): Stage[] => [...stages, { $addFields: { name } }]);
    const found = await computed<{ name: string; count: number }>(branches, database.countTimeMs);
    return new Map(found.map(({ name, count }) => [name, count]));
  }

  return {
    /**
     * Counts the matches of each filter: exactly up to `most`, and not further. Counts index keys. Only if no index serves a filter, up to
     * `most` records are read, with a second command. All are null if counting takes too long.
     */
    async counts(filters: readonly Filter<R>[], most: number): Promise<(Count | null)[]> {
      await requireKeys(filters);
      return (await unlessTooLong(countsOf(filters, most))) ?? filters.map(() => null);
    },

    /**
     * Returns the ids of the records that match, of at most `most` records that are looked at, in any order. Uses two commands. Null if that
     * takes too long.
     */
    async idsAmong(filter: Filter<R>, most: number): Promise<SomeIds | null> {
      await requireKeys([filter]);
      return unlessTooLong(idsOf(filter, most));
    },

    /** Returns which of these values a list of some record contains. */
    async containedIn(field: keyof R & string, values: readonly string[]): Promise<Set<string>> {
      const most = 4 * values.length;
      const options = { limit: most, projection: { [field]: 1 }, ...database.session() };
      const documents = await driver.find(written({ [field]: values } as Filter<R>), { ...options, batchSize: most + 1 }).toArray();
      const wanted = new Set(values);
      const contained = new Set(
        documents
          .flatMap((each) => [(each as Readonly<Record<string, unknown>>)[field]].flat() as string[])
          .filter((each) => wanted.has(each)),
      );
      if (documents.length < most) return contained;
      // Some are in very many records: the others are counted one by one.
      const others = values.filter((each) => !contained.has(each));
      const counts = await countsOf(
        others.map((each) => ({ [field]: each }) as Filter<R>),
        1,
      );
      for (const [at, each] of others.entries()) if (counts[at]!.count > 0) contained.add(each);
      return contained;
    },
  };
}

/** Returns null if the database has not counted in time. */
async function unlessTooLong<T>(counting: Promise<T>): Promise<T | null> {
  try {
    return await counting;
  } catch (error) {
    if (translate(error) instanceof TimeoutError) return null;
    throw error;
  }
}
