import { Timestamp } from 'bson';
import { clone, type Doc, isDoc, isNumber, show, toNumber, typeOf, type Value } from './bson.ts';
import { badValue, CommandError, failedToParse, typeMismatch, unsupported } from './errors.ts';
import { add } from './expression.ts';
import { parseSort, sortKey } from './find.ts';
import { compare, equal } from './keys.ts';
import { isArrayIndex } from './paths.ts';
import { type Filter, matches, parseFilter } from './query.ts';

/** Changes a document in place. `inserting` is true while an upsert makes it. */
export type Update = (doc: Doc, inserting: boolean) => void;

/** What an operator does to the place a path leads to. */
interface Change {
  path: string;
  parts: string[];
  apply: (doc: Doc, parts: string[], inserting: boolean) => void;
}

/** Compiles an update document with operators. All of it is checked before any document is touched. */
export function parseUpdate(update: Doc, arrayFilters: Doc[] = []): Update {
  const filters = parseArrayFilters(arrayFilters);
  const used = new Set<string>();
  const changes: Change[] = [];
  for (const [operator, fields] of update) {
    const make = operators[operator];
    if (['$bit', '$mul', '$pop', '$pullAll', '$rename'].includes(operator)) throw unsupported(operator);
    if (!make)
      throw failedToParse(`Unknown modifier: ${operator}. Expected a valid update modifier or pipeline-style update specified as an array`);
    if (!isDoc(fields))
      throw failedToParse(
        `Modifiers operate on fields but we found type ${typeOf(fields)} instead. For example: {$mod: {<field>: ...}} not {${operator}: ${show(fields)}}`,
      );
    for (const [path, operand] of fields) {
      const parts = checkedPath(path);
      for (const part of parts) {
        const name = /^\$\[(.*)\]$/.exec(part)?.[1];
        if (!name) continue;
        if (!filters.has(name)) throw badValue(`No array filter found for identifier '${name}' in path '${path}'`);
        used.add(name);
      }
      changes.push({ path, parts, apply: make(path, operand) });
    }
  }
  for (const name of filters.keys())
    if (!used.has(name)) throw failedToParse(`The array filter for identifier '${name}' was not used in the update ${show(update)}`);
  // Fields are added in the order of their names, whatever the order in the update.
  changes.sort((a, b) => comparePaths(a.parts, b.parts));
  checkConflicts(changes);
  return (doc, inserting) => {
    for (const { parts, apply } of changes) {
      for (const place of placesOf(doc, parts, filters)) apply(doc, place, inserting);
    }
  };
}

/** A document that takes the place of another; the `_id` stays. */
export function parseReplacement(replacement: Doc): (old: Doc | undefined) => Doc {
  for (const name of replacement.keys()) {
    if (name.startsWith('$'))
      throw new CommandError(
        52,
        `The dollar ($) prefixed field '${name}' in '${name}' is not allowed in the context of an update's replacement document.`,
      );
  }
  return (old) => {
    const id = (old ?? replacement).get('_id');
    const rest = [...replacement].filter(([name]) => name !== '_id');
    const doc: Doc = new Map(id === undefined ? rest : [['_id', id], ...rest]);
    const given = replacement.get('_id');
    if (old && given !== undefined && !equal(given, id)) throw immutableId(given);
    return clone(doc);
  };
}

export function immutableId(id: Value | undefined): CommandError {
  return new CommandError(
    66,
    `Performing an update on the path '_id' would modify the immutable field '_id'${id === undefined ? '' : ` to _id: ${show(id)}`}`,
  );
}

function parseArrayFilters(documents: Doc[]): Map<string, Filter> {
  const filters = new Map<string, Filter>();
  for (const document of documents) {
    const names = new Set<string>();
    const rename = (doc: Doc): Doc =>
      new Map(
        [...doc].map(([path, value]) => {
          if (path.startsWith('$')) return [path, Array.isArray(value) ? value.map((v) => (isDoc(v) ? rename(v) : v)) : value];
          const [name, ...rest] = path.split('.');
          names.add(name!);
          return [['element', ...rest].join('.'), value];
        }),
      );
    const filter = parseFilter(rename(document));
    const [name] = names;
    if (names.size !== 1)
      throw failedToParse(
        names.size ? 'Expected a single top-level field name' : 'Cannot use an expression without a top-level field name in arrayFilters',
      );
    if (!/^[a-z][a-zA-Z0-9]*$/.test(name!))
      throw badValue(`The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '${name}'`);
    if (filters.has(name!)) throw failedToParse(`Found multiple array filters with the same top-level field name ${name}`);
    filters.set(name!, filter);
  }
  return filters;
}

function checkedPath(path: string): string[] {
  if (!path) throw new CommandError(56, 'An empty update path is not valid.');
  const parts = path.split('.');
  for (const part of parts) {
    if (!part) throw new CommandError(56, `The update path '${path}' contains an empty field name, which is not allowed.`);
    if (part === '$') throw unsupported("the positional operator '$' in an update");
    if (part.startsWith('$') && !/^\$\[.*\]$/.test(part)) {
      throw new CommandError(52, `The dollar ($) prefixed field '${part}' in '${path}' is not allowed in the context of an update.`);
    }
  }
  return parts;
}

function comparePaths(a: string[], b: string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] === b[i]) continue;
    if (isArrayIndex(a[i]!) && isArrayIndex(b[i]!)) return Number(a[i]) - Number(b[i]);
    return a[i]! < b[i]! ? -1 : 1;
  }
  return a.length - b.length;
}

function checkConflicts(changes: Change[]): void {
  const known: string[][] = [];
  for (const { path, parts } of changes) {
    for (const other of known) {
      const length = Math.min(parts.length, other.length);
      if (parts.slice(0, length).join('.') !== other.slice(0, length).join('.')) continue;
      throw new CommandError(40, `Updating the path '${path}' would create a conflict at '${other.slice(0, length).join('.')}'`);
    }
    known.push(parts);
  }
}

/** The places that `$[]` and `$[name]` stand for in a document; a path without them is one place, there or not. */
function placesOf(
  doc: Doc,
  parts: string[],
  filters: Map<string, Filter>,
  done: string[] = [],
  value: Value | undefined = doc,
): string[][] {
  const [part, ...rest] = parts;
  if (part === undefined) return [done];
  const name = /^\$\[(.*)\]$/.exec(part)?.[1];
  if (name === undefined) {
    if (!parts.some((p) => p.startsWith('$['))) return [[...done, ...parts]];
    const next = isDoc(value) ? value.get(part) : Array.isArray(value) && isArrayIndex(part) ? value[Number(part)] : undefined;
    return placesOf(doc, rest, filters, [...done, part], next);
  }
  if (value === undefined) throw badValue(`The path '${done.join('.')}' must exist in the document in order to apply array updates.`);
  if (!Array.isArray(value)) throw badValue(`Cannot apply array updates to non-array element ${done.at(-1)}: ${show(value)}`);
  const filter = filters.get(name);
  return value.flatMap((element, i) =>
    !filter || matches(filter, new Map([['element', element]])) ? placesOf(doc, rest, filters, [...done, String(i)], element) : [],
  );
}

interface Place {
  get(): Value | undefined;
  set(value: Value): void;
  unset(): void;
}

/** The place a path leads to. `create` makes the documents on the way; without it, undefined when something is missing on the way. */
function placeAt(doc: Doc, parts: string[], create: boolean): Place | undefined {
  let value: Value = doc;
  for (const [i, part] of parts.entries()) {
    const place = placeIn(value, part);
    if (!place) throw new CommandError(28, `Cannot create field '${part}' in element {${parts[i - 1]}: ${show(value)}}`);
    if (i === parts.length - 1) return place;
    if (place.get() === undefined) {
      if (!create) return undefined;
      place.set(new Map());
    }
    value = place.get()!;
  }
  return undefined;
}

function placeIn(parent: Value, part: string): Place | undefined {
  if (isDoc(parent)) return { get: () => parent.get(part), set: (v) => void parent.set(part, v), unset: () => void parent.delete(part) };
  if (!Array.isArray(parent) || !isArrayIndex(part)) return undefined;
  const position = Number(part);
  return { get: () => parent[position], set: (v) => setElement(parent, position, v), unset: () => unsetElement(parent, position) };
}

/** Unsetting is the only change that a path through something else than a document does not fail. */
function unset(doc: Doc, parts: string[]): void {
  let value: Value | undefined = doc;
  for (const part of parts.slice(0, -1)) value = value === undefined ? undefined : placeIn(value, part)?.get();
  if (value !== undefined) placeIn(value, parts.at(-1)!)?.unset();
}

function setElement(array: Value[], position: number, value: Value): void {
  if (position > array.length + 1_500_000) throw badValue(`can't backfill array to larger than 1500000 elements`);
  while (array.length < position) array.push(null);
  array[position] = value;
}

function unsetElement(array: Value[], position: number): void {
  if (position < array.length) array[position] = null;
}

type Apply = Change['apply'];
type Operator = (path: string, operand: Value) => Apply;

/** An operator that makes a new value of the old one; undefined leaves things as they are. */
function changing(change: (old: Value | undefined, path: string) => Value | undefined): Apply {
  return (doc, parts) => {
    const old = placeAt(doc, parts, false)?.get();
    const value = change(old, parts.join('.'));
    if (value !== undefined) placeAt(doc, parts, true)!.set(value);
  };
}

const set: Operator = (path, operand) => {
  checkStored(operand, path);
  return changing(() => clone(operand));
};

/** Sets the operand where it comes before (or after) what is there. */
const extreme =
  (sign: 1 | -1): Operator =>
  (_path, operand) =>
    changing((old) => (old === undefined || compare(operand, old) * sign > 0 ? clone(operand) : undefined));

const operators: Record<string, Operator> = {
  $set: set,
  $setOnInsert: (path, operand) => {
    const apply = set(path, operand);
    return (doc, parts, inserting) => inserting && apply(doc, parts, inserting);
  },
  $unset: () => unset,
  $min: extreme(-1),
  $max: extreme(1),
  $inc: (path, operand) => {
    if (!isNumber(operand)) throw typeMismatch(`Cannot increment with non-numeric argument: {${path}: ${show(operand)}}`);
    return changing((old, at) => {
      if (old === undefined) return operand;
      if (isNumber(old)) return add(old, operand, '$inc');
      throw typeMismatch(`Cannot apply $inc to a value of non-numeric type. The field '${at}' has non-numeric type ${typeOf(old)}`);
    });
  },
  $currentDate: (_path, operand) => {
    const type = isDoc(operand) && operand.size === 1 ? operand.get('$type') : typeof operand === 'boolean' ? 'date' : undefined;
    if (type === 'date') return changing(() => new Date());
    if (type === 'timestamp') return changing(() => new Timestamp({ t: Math.floor(Date.now() / 1000), i: 1 }));
    throw badValue(`The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: 'date'}}}`);
  },
  $push: (path, operand) => {
    const modifiers = isDoc(operand) && operand.has('$each') ? operand : new Map<string, Value>([['$each', [operand]]]);
    for (const name of modifiers.keys()) {
      if (!['$each', '$slice', '$sort', '$position'].includes(name)) throw badValue(`Unrecognized clause in $push: ${name}`);
    }
    const each = elements('$push', path, modifiers.get('$each')!);
    const position = integer(modifiers.get('$position'), '$position');
    const slice = integer(modifiers.get('$slice'), '$slice');
    const order = pushOrder(modifiers.get('$sort'));
    return changing((old, at) => {
      const array = arrayOf(old, at);
      // As for splice, a negative position counts from the end.
      array.splice(position ?? array.length, 0, ...(clone(each) as Value[]));
      if (order) array.sort(order);
      return slice === undefined ? array : slice < 0 ? array.slice(slice) : array.slice(0, slice);
    });
  },
  $addToSet: (path, operand) => {
    const several = isDoc(operand) && operand.has('$each');
    if (several && operand.size > 1) throw badValue(`Found unexpected fields after $each in $addToSet: ${show(operand)}`);
    const each = several ? elements('$addToSet', path, operand.get('$each')!) : elements('$addToSet', path, [operand]);
    return changing((old, at) => {
      const array = arrayOf(old, at);
      for (const value of each) if (!array.some((other) => equal(other, value))) array.push(clone(value));
      return array;
    });
  },
  $pull: (_path, operand) => {
    const drop = pullCondition(operand);
    return changing((old) => {
      if (old !== undefined && !Array.isArray(old)) throw badValue('Cannot apply $pull to a non-array value');
      return old?.filter((element) => !drop(element));
    });
  },
};

/** A condition on fields is a query over documents, one with operators over any elements; anything else is compared. */
function pullCondition(operand: Value): (element: Value) => boolean {
  const isPlain = !isDoc(operand) && typeOf(operand) !== 'regex';
  if (isPlain) return (element) => equal(operand, element);
  const [first] = isDoc(operand) ? operand.keys() : ['$regex'];
  if (first?.startsWith('$') && !['$and', '$or', '$nor', '$expr'].includes(first)) {
    const filter = parseFilter(new Map<string, Value>([['element', operand]]));
    return (element) => matches(filter, new Map([['element', element]]));
  }
  const filter = parseFilter(operand as Doc);
  return (element) => isDoc(element) && matches(filter, element);
}

function elements(operator: string, path: string, each: Value): Value[] {
  if (!Array.isArray(each)) {
    const message = `The argument to $each in ${operator} must be an array but it was of type: ${typeOf(each)}`;
    throw operator === '$push' ? badValue(message) : typeMismatch(message);
  }
  checkStored(each, path);
  return each;
}

/** A copy of the array that is there, or a new one. */
function arrayOf(old: Value | undefined, path: string): Value[] {
  if (old === undefined) return [];
  if (Array.isArray(old)) return [...old];
  throw badValue(`The field '${path}' must be an array but is of type ${typeOf(old)}`);
}

function pushOrder(sort: Value | undefined): ((a: Value, b: Value) => number) | undefined {
  if (sort === undefined) return undefined;
  if (isDoc(sort)) {
    const fields = parseSort(sort);
    if (!fields) throw badValue('The $sort pattern is empty when it should be a set of fields.');
    const key = (value: Value) => sortKey(isDoc(value) ? value : new Map(), fields);
    return (a, b) => key(a).compare(key(b));
  }
  const direction = toNumber(sort);
  if (direction !== 1 && direction !== -1) throw badValue('The $sort element value must be either 1 or -1');
  return (a, b) => compare(a, b) * direction;
}

function integer(value: Value | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = toNumber(value);
  if (number === undefined || !Number.isInteger(number))
    throw badValue(`The value for ${name} must be an integer value, found ${show(value)}`);
  return number;
}

/** Fields that begin with a dollar are not stored: MongoDB allows some, only to be changed again through aggregation. */
function checkStored(value: Value, path: string): void {
  if (Array.isArray(value)) for (const element of value) checkStored(element, path);
  if (!isDoc(value)) return;
  for (const [name, inner] of value) {
    if (name.startsWith('$') && !['$ref', '$id', '$db'].includes(name)) {
      throw new CommandError(
        52,
        `The dollar ($) prefixed field '${name}' in '${path}.${name}' is not allowed in the context of an update. Consider using an aggregation pipeline with $replaceWith.`,
      );
    }
    checkStored(inner, path);
  }
}
