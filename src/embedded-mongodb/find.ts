import { type Doc, isDoc, toNumber } from './bson.ts';
import type { Collection } from './catalog.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { encodeKey } from './keys.ts';
import { isArrayIndex, keyParts } from './paths.ts';
import { type Examined, planQuery, type Row, type Sort, scan } from './planner.ts';
import type { Filter } from './query.ts';
import type { View } from './store.ts';

export interface Selection {
  filter: Filter;
  sort: Sort;
  skip?: number | undefined;
  /** 0: no limit. */
  limit?: number | undefined;
  /** The name of the index to use. */
  hint?: string | undefined;
}

/** The documents of a query in order, read as far as they are asked for. */
export function select(view: View, collection: Collection | undefined, selection: Selection, examined: Examined): Iterable<Row> {
  const { filter, sort, skip = 0, limit, hint } = selection;
  const plan = collection && planQuery(collection, filter, sort, hint);
  examined.plans.push(plan);
  if (!plan) return [];
  const rows = scan(view, collection, filter, plan, examined);
  return slice(plan.isSorted ? rows : sorted(rows, sort), skip, limit || Number.POSITIVE_INFINITY);
}

/** Leaves out the first `skip` and stops after `limit`, without asking for one more. */
export function* slice<T>(items: Iterable<T>, skip: number, limit: number): Generator<T> {
  let position = 0;
  for (const item of items) {
    if (position++ < skip) continue;
    yield item;
    if (position - skip >= limit) return;
  }
}

export function* sorted<T extends { doc: Doc }>(rows: Iterable<T>, sort: Sort): Generator<T> {
  const keyed = [...rows].map((row) => ({ row, key: sortKey(row.doc, sort) }));
  keyed.sort((a, b) => a.key.compare(b.key));
  for (const { row } of keyed) yield row;
}

/** The least of the keys that an index of the sort's fields would have for the document: an array sorts by its least (or greatest) element. */
function sortKey(doc: Doc, sort: Sort): Buffer {
  const descending = sort.map((field) => field.descending);
  const paths = sort.map((field) => field.parts);
  return keyParts(doc, paths)
    .map((parts) => encodeKey(parts, descending))
    .reduce((a, b) => (b.compare(a) < 0 ? b : a));
}

export function parseSort(sort: Doc): Sort {
  const fields = [...sort].map(([path, direction]) => {
    if (isDoc(direction) || path.includes('$') || path.split('.').some(isArrayIndex)) throw unsupported(`a sort by '${path}'`);
    const number = toNumber(direction);
    if (number !== 1 && number !== -1) {
      throw new CommandError(15975, '$sort key ordering must be 1 (for ascending) or -1 (for descending)');
    }
    if (!path.split('.').every(Boolean)) throw new CommandError(15998, 'FieldPath field names may not be empty strings.');
    return { path, parts: path.split('.'), descending: number < 0 };
  });
  if (fields.length > 32) throw badValue('too many sort fields');
  return fields;
}
