import { type Doc, isDoc, toNumber, truthy } from './bson.ts';
import type { Collection } from './catalog.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { encodeKey } from './keys.ts';
import { fieldOf, keyParts, partsOf } from './paths.ts';
import { planQuery, type Sort } from './planner.ts';
import type { Filter } from './query.ts';
import { type Examined, type Row, scan } from './scan.ts';
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
export function select(view: View, collection: Collection | undefined, selection: Selection, examined: Examined): Iterable<Row> {
  const { filter, sort, skip = 0, limit, hint } = selection;
  const plan = collection && planQuery(collection, filter, sort, hint);
  examined.plans.push(plan);
  if (!plan) return [];
  const rows = scan(view, collection, filter, plan, examined);
  return slice(plan.isSorted ? rows : sorted(rows, sort, examined), skip, limit || Number.POSITIVE_INFINITY);
}

/** Omits the first `skip` items and stops after `limit`, without requesting another item. */
export function* slice<T>(items: Iterable<T>, skip: number, limit: number): Generator<T> {
  let position = 0;
  for (const item of items) {
    if (position++ < skip) continue;
    yield item;
    if (position - skip >= limit) return;
  }
}

export function* sorted<T extends { doc: Doc; bytes?: Buffer }>(rows: Iterable<T>, sort: Sort, examined: Examined): Generator<T> {
  const keyed: { row: T; key: Buffer }[] = [];
  for (const row of rows) {
    const key = sortKey(row.doc, sort);
    // A decoded document is several times as large as its bytes.
    examined.hold(4 * (row.bytes?.length ?? 250) + key.length + 100);
    keyed.push({ row, key });
  }
  keyed.sort((a, b) => a.key.compare(b.key));
  for (const { row } of keyed) yield row;
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
