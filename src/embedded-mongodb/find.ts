import { type Doc, isDoc, toNumber, truthy } from './bson.ts';
import type { Collection } from './catalog.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { encodeKey } from './keys.ts';
import { fieldOf, keyParts, partsOf } from './paths.ts';
import { planQuery, type Sort } from './planner.ts';
import { everything, type Filter } from './query.ts';
import { countKeys, type Examined, type OrPause, pause, type Row, scan, skipKeys } from './scan.ts';
import type { View } from './storage.ts';

export interface Selection {
  filter: Filter;
  sort: Sort;
  skip?: number | undefined;
  /** Undefined and 0 mean no limit. */
  limit?: number | undefined;
  /** The name of the index to use. */
  hint?: string | undefined;
}

/** Returns the documents of a query in order. Reads lazily, only as far as documents are requested. */
export function select(view: View, collection: Collection | undefined, selection: Selection, examined: Examined): Iterable<OrPause<Row>> {
  const { filter, sort, skip = 0, limit, hint } = selection;
  const plan = collection && planQuery(collection, filter, sort, hint);
  examined.plans.push(plan);
  if (!plan) return [];
  const most = limit || Number.POSITIVE_INFINITY;
  if (plan.isExact && plan.isSorted) {
    const left = skip > 0 ? skipKeys(view, plan, skip, examined) : 0;
    return slice(scan(view, collection, everything, plan, examined, left), 0, most);
  }
  const rows = scan(view, collection, plan.isExact ? everything : filter, plan, examined);
  return slice(plan.isSorted ? rows : sorted(rows, sort, examined), skip, most);
}

/** Returns the number of documents of a query, after `skip` and up to `limit`. Reads the index only, if that is enough. */
export function* count(
  view: View,
  collection: Collection | undefined,
  selection: Selection,
  examined: Examined,
): Generator<typeof pause, number> {
  const { filter, skip = 0, limit, hint } = selection;
  const plan = collection && planQuery(collection, filter, [], hint);
  if (plan?.isExact) {
    examined.plans.push(plan);
    const total = yield* countKeys(view, plan, skip + (limit || Number.POSITIVE_INFINITY), examined);
    return Math.max(0, total - skip);
  }
  let number = 0;
  for (const row of select(view, collection, { ...selection, sort: [] }, examined)) {
    if (row === pause) yield pause;
    else number++;
  }
  return number;
}

/** Omits the first `skip` items and stops after `limit`, without requesting another item. */
export function* slice<T>(items: Iterable<OrPause<T>>, skip: number, limit: number): Generator<OrPause<T>> {
  let position = 0;
  for (const item of items) {
    if (item === pause) {
      yield pause;
      continue;
    }
    if (position++ < skip) continue;
    yield item;
    if (position - skip >= limit) return;
  }
}

interface Keyed<T> {
  row: T;
  key: Buffer;
}

/** How many items are sorted at once. More are sorted in several runs, which are then merged, so that others get their turn. */
const runLength = 2_000;

export function* sorted<T extends { doc: Doc; bytes?: Buffer }>(
  rows: Iterable<OrPause<T>>,
  sort: Sort,
  examined: Examined,
): Generator<OrPause<T>> {
  const runs: Keyed<T>[][] = [];
  let run: Keyed<T>[] = [];
  const endRun = () => {
    if (run.length) runs.push(run.sort((a, b) => a.key.compare(b.key)));
    run = [];
  };
  for (const row of rows) {
    if (row === pause) {
      yield pause;
      continue;
    }
    const key = sortKey(row.doc, sort);
    // A decoded document is several times as large as its bytes.
    examined.hold(4 * (row.bytes?.length ?? 250) + key.length + 100);
    run.push({ row, key });
    if (run.length === runLength) endRun();
  }
  endRun();
  let merged = 0;
  for (const { row } of mergedRuns(runs)) {
    yield row;
    if ((++merged & 31) === 0) examined.lookAtClock();
    if (examined.isTurnOver) yield pause;
  }
}

/** Merges sorted runs. Equal items stay in the order of the runs. */
function mergedRuns<T>(runs: Keyed<T>[][]): Iterable<Keyed<T>> {
  if (runs.length === 0) return [];
  if (runs.length === 1) return runs[0]!;
  const middle = runs.length >> 1;
  return mergedTwo(mergedRuns(runs.slice(0, middle)), mergedRuns(runs.slice(middle)));
}

function* mergedTwo<T>(first: Iterable<Keyed<T>>, second: Iterable<Keyed<T>>): Generator<Keyed<T>> {
  const [left, right] = [first[Symbol.iterator](), second[Symbol.iterator]()];
  let [a, b] = [left.next().value, right.next().value];
  while (a || b) {
    if (a && (!b || a.key.compare(b.key) <= 0)) {
      yield a;
      a = left.next().value;
    } else {
      yield b!;
      b = right.next().value;
    }
  }
}

/**
 * Returns the sort key of a document: the least of its keys in an index on these fields. So an array sorts by its least (or greatest)
 * element.
 */
function sortKey(doc: Doc, sort: Sort): Buffer {
  const descending = sort.map((field) => field.descending);
  const paths = sort.map((field) => field.parts);
  return keyParts(doc, paths)
    .map((parts) => encodeKey(parts, descending))
    .reduce((a, b) => (b.compare(a) < 0 ? b : a));
}

export function parseSort(sort: Doc): Sort {
  const fields = [...sort].map(([path, direction]) => {
    if (isDoc(direction)) throw unsupported('$meta in a sort');
    const number = toNumber(direction);
    if (number !== 1 && number !== -1) {
      throw new CommandError(15975, '$sort key ordering must be 1 (for ascending) or -1 (for descending)');
    }
    return { path, parts: partsOf(path), descending: number < 0 };
  });
  if (fields.length > 32) throw badValue('too many sort fields');
  return fields;
}

/** Compiles a projection that includes or excludes fields. Rejects computed fields. */
export function parseProjection(projection: Doc): (doc: Doc) => Doc {
  for (const [name, value] of projection) {
    if (typeof value !== 'boolean' && toNumber(value) === undefined) throw unsupported(`a computed field ('${name}') in a projection`);
    fieldOf(name);
  }
  const named = [...projection].filter(([name]) => name !== '_id');
  const isIncluding = truthy((named[0] ?? [...projection][0]!)[1]);
  const other = named.find(([, value]) => truthy(value) !== isIncluding)?.[0];
  if (other) throw new CommandError(isIncluding ? 31254 : 31253, `Cannot both include and exclude fields in a projection: ${other}`);
  const names = new Set(named.map(([name]) => name));
  const id = projection.get('_id');
  if (isIncluding === (id === undefined || truthy(id))) names.add('_id');
  return (doc) => new Map([...doc].filter(([name]) => names.has(name) === isIncluding));
}
