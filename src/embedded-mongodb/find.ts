import type { Doc, Value } from './bson.ts';
import { isDoc, toNumber } from './bson.ts';
import type { Collection } from './catalog.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { encodeKey } from './keys.ts';
import { keyParts } from './paths.ts';
import { type Examined, type Plan, plan, type Row, type Sort, scan } from './planner.ts';
import type { Filter } from './query.ts';
import type { View } from './store.ts';

export interface Selection {
  filter: Filter;
  sort?: Sort | undefined;
  skip?: number | undefined;
  limit?: number | undefined;
  hint?: Doc | string | undefined;
}

/** The documents of a query in order, read as far as they are asked for. */
export function select(
  view: View,
  collection: Collection | undefined,
  selection: Selection,
  examined: Examined,
): { plan: Plan | undefined; rows: Iterable<Row> } {
  if (!collection) return { plan: undefined, rows: [] };
  const chosen = plan(collection, selection);
  let rows: Iterable<Row> = scan(view, collection, selection.filter, chosen, examined);
  if (!chosen.sorted) rows = sorted(rows, selection.sort!);
  return { plan: chosen, rows: slice(rows, selection.skip ?? 0, selection.limit || Number.POSITIVE_INFINITY) };
}

/** Leaves out the first `skip` and stops after `limit`, without asking for one more. */
export function* slice<T>(items: Iterable<T>, skip: number, limit: number): Generator<T> {
  if (limit <= 0) return;
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
export function sortKey(doc: Doc, sort: Sort): Buffer {
  let parts: ReturnType<typeof keyParts>;
  try {
    parts = keyParts(
      doc,
      sort.map((field) => field.parts),
      () => {},
    );
  } catch (error) {
    if (error instanceof CommandError && error.code === 171) throw badValue('cannot sort with keys that are parallel arrays');
    throw error;
  }
  const descending = sort.map((field) => field.descending);
  return parts.map((part) => encodeKey(part, descending)).reduce((a, b) => (b.compare(a) < 0 ? b : a));
}

export function parseSort(sort: Doc | undefined): Sort | undefined {
  if (!sort?.size) return undefined;
  const fields = [...sort].map(([path, direction]) => {
    if (isDoc(direction)) throw unsupported('$meta in a sort');
    const number = toNumber(direction);
    if (number === undefined) throw new CommandError(15974, `Illegal key in $sort specification: ${path}: ${direction}`);
    if (number !== 1 && number !== -1) throw new CommandError(15975, '$sort key ordering must be 1 (for ascending) or -1 (for descending)');
    checkPath(path);
    return { path, parts: path.split('.'), descending: number < 0 };
  });
  if (fields.length > 1 && fields.some((field) => field.path === '$natural'))
    throw badValue('$natural sort cannot be set to a value other than -1 or 1');
  if (fields.length > 32) throw badValue('too many sort fields');
  return fields;
}

function checkPath(path: string): void {
  if (path === '$natural') return;
  if (path.split('.').some((part) => !part)) throw new CommandError(15998, 'FieldPath field names may not be empty strings.');
  if (path.startsWith('$'))
    throw new CommandError(16410, `FieldPath field names may not start with '$'. Consider using $getField or $setField.`);
}

/** Which fields a projection lets through. */
type Fields = Map<string, true | Fields>;
export type Projection = (doc: Doc) => Doc;

/** Compiles a projection that includes or excludes fields. Computed fields and `$slice`, `$elemMatch`, `$meta`, `$` are refused. */
export function parseProjection(projection: Doc | undefined): Projection | undefined {
  if (!projection?.size) return undefined;
  const fields: Fields = new Map();
  let including: boolean | undefined;
  let id: boolean | undefined;
  const add = (path: string, value: Value) => {
    if (isDoc(value)) {
      if (!value.size) throw new CommandError(51270, 'An empty sub-projection is not a valid value. Found empty object at path');
      const [first] = value.keys();
      if (first!.startsWith('$')) throw unsupported(`${first} in a projection`);
      for (const [name, inner] of value) add(`${path}.${name}`, inner);
      return;
    }
    if (typeof value !== 'boolean' && toNumber(value) === undefined) throw unsupported(`a computed field ('${path}') in a projection`);
    if (path.endsWith('.$')) throw unsupported("the positional '$' in a projection");
    checkPath(path);
    const include = value === true || (value !== false && toNumber(value) !== 0);
    if (path === '_id') id = include;
    else if (including === undefined) including = include;
    else if (including !== include) {
      throw new CommandError(
        include ? 31253 : 31254,
        `Cannot do ${include ? 'inclusion' : 'exclusion'} on field ${path} in ${include ? 'exclusion' : 'inclusion'} projection`,
      );
    }
    if (path !== '_id') insert(fields, path.split('.'), path);
  };
  for (const [path, value] of projection) add(path, value);
  const include = including ?? id ?? false;
  if (include ? id !== false : id === false) fields.set('_id', true);
  return (doc) => (include ? includeFields(doc, fields) : excludeFields(doc, fields));
}

function insert(fields: Fields, parts: string[], path: string): void {
  let at = fields;
  for (const [i, part] of parts.entries()) {
    const next = at.get(part);
    const last = i === parts.length - 1;
    if (next === true) throw new CommandError(31249, `Path collision at ${path} remaining portion ${parts.slice(i + 1).join('.')}`);
    if (last && next) throw new CommandError(31250, `Path collision at ${path}`);
    if (last) at.set(part, true);
    else {
      const inner = next ?? new Map();
      at.set(part, inner);
      at = inner;
    }
  }
}

function includeFields(doc: Doc, fields: Fields): Doc {
  const result: Doc = new Map();
  for (const [name, value] of doc) {
    const inner = fields.get(name);
    if (inner === true) result.set(name, value);
    else if (inner) {
      const kept = within(value, (d) => includeFields(d, inner), true);
      if (kept !== undefined) result.set(name, kept);
    }
  }
  return result;
}

function excludeFields(doc: Doc, fields: Fields): Doc {
  const result: Doc = new Map();
  for (const [name, value] of doc) {
    const inner = fields.get(name);
    if (inner === undefined) result.set(name, value);
    else if (inner !== true) result.set(name, within(value, (d) => excludeFields(d, inner), false)!);
  }
  return result;
}

/** Applies a projection inside a value; an inclusion leaves out what is not a document, an exclusion keeps it. */
function within(value: Value, apply: (doc: Doc) => Doc, drop: boolean): Value | undefined {
  if (isDoc(value)) return apply(value);
  if (Array.isArray(value)) return value.map((element) => within(element, apply, drop)).filter((element) => element !== undefined);
  return drop ? undefined : value;
}
