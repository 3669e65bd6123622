import { add, type BsonNumber, type Doc, isDoc, isNumber, show, typeOf, type Value } from './bson.ts';
import { CommandError, failedToParse, typeMismatch, unsupported } from './errors.ts';
import { isArrayIndex } from './paths.ts';

/** What becomes of a document, which may be changed in place. `inserting` is true while an upsert makes it. */
export type Change = (doc: Doc, inserting: boolean) => Doc;

/** What an operator makes of the value at a path; undefined removes it. */
type Apply = (old: Value | undefined, inserting: boolean) => Value | undefined;

interface PathChange {
  path: string;
  parts: string[];
  apply: Apply;
}

/** Reads `u` of an update: a document of operators, or one that replaces. All of it is checked before any document is touched. */
export function parseChange(update: Doc | Value[] | undefined): Change {
  if (Array.isArray(update)) throw unsupported('an update with an aggregation pipeline');
  if (!update) throw failedToParse('an update needs a document');
  if (isReplacement(update)) return parseReplacement(update);
  const changes = [...update].flatMap(([operator, fields]) => {
    const make = Object.hasOwn(operators, operator) ? operators[operator] : undefined;
    if (!make) throw failedToParse(`Unknown modifier: ${operator} (or not supported by the embedded database)`);
    if (!isDoc(fields)) throw failedToParse(`Modifiers operate on fields but we found type ${typeOf(fields)} instead: ${operator}`);
    return [...fields].map(([path, operand]) => ({ path, parts: checkedPath(path), apply: make(path, operand) }));
  });
  return changing(changes, 40);
}

export function isReplacement(update: Doc): boolean {
  return update.keys().next().value?.startsWith('$') !== true;
}

/** A document that takes the place of another; the `_id` stays. */
function parseReplacement(replacement: Doc): Change {
  for (const name of replacement.keys()) if (name.startsWith('$')) throw dollarPrefixed(name);
  return (old) => {
    const id = replacement.get('_id') ?? old.get('_id');
    return id === undefined ? new Map(replacement) : new Map([['_id', id], ...replacement]);
  };
}

/** Sets fields to values: what an upsert begins with. */
export function setting(values: [string, Value][]): Change {
  return changing(
    values.map(([path, value]) => ({ path, parts: checkedPath(path), apply: () => value })),
    54,
  );
}

function changing(changes: PathChange[], conflictCode: number): Change {
  // Fields are added in the order of their names, whatever the order in the update.
  changes.sort((a, b) => comparePaths(a.parts, b.parts));
  checkConflicts(changes, conflictCode);
  return (doc, inserting) => {
    for (const { parts, apply } of changes) change(doc, parts, (old) => apply(old, inserting));
    return doc;
  };
}

/** Changes the value at a path. The documents on the way are made when there is something to put into them. */
function change(doc: Doc, [name, ...rest]: string[], apply: (old: Value | undefined) => Value | undefined): void {
  const old = doc.get(name!);
  const value = rest.length ? changeInside(old, name!, rest, apply) : apply(old);
  if (value === undefined) doc.delete(name!);
  else doc.set(name!, value);
}

function changeInside(old: Value | undefined, name: string, rest: string[], apply: (old: Value | undefined) => Value | undefined) {
  if (Array.isArray(old)) throw unsupported('an update inside an array');
  if (old !== undefined && !isDoc(old)) {
    if (apply(undefined) === undefined) return old;
    throw new CommandError(28, `Cannot create field '${rest[0]}' in element {${name}: ${show(old)}}`);
  }
  const inner: Doc = old ?? new Map();
  change(inner, rest, apply);
  return old ?? (inner.size ? inner : undefined);
}

const operators: Record<string, (path: string, operand: Value) => Apply> = {
  $set: (path, operand) => {
    checkStored(operand, path);
    return () => operand;
  },
  $setOnInsert: (path, operand) => {
    checkStored(operand, path);
    return (old, inserting) => (inserting ? operand : old);
  },
  $unset: () => () => undefined,
  $inc: (path, operand) => {
    if (!isNumber(operand)) throw typeMismatch(`Cannot increment with non-numeric argument: {${path}: ${show(operand)}}`);
    return (old) => increment(path, old, operand);
  },
};

function increment(path: string, old: Value | undefined, by: BsonNumber): Value {
  if (old === undefined) return by;
  if (isNumber(old)) return add(old, by);
  throw typeMismatch(`Cannot apply $inc to a value of non-numeric type. The field '${path}' has non-numeric type ${typeOf(old)}`);
}

function checkedPath(path: string): string[] {
  const parts = path.split('.');
  if (!parts.every(Boolean)) throw new CommandError(56, `The update path '${path}' contains an empty field name, which is not allowed.`);
  const positional = parts.find((part) => part.startsWith('$'));
  if (positional !== undefined) throw unsupported(`'${positional}' in the path of an update`);
  return parts;
}

function comparePaths(a: string[], b: string[]): number {
  const i = a.findIndex((part, at) => part !== b[at]);
  if (i < 0 || i >= b.length) return a.length - b.length;
  if (isArrayIndex(a[i]!) && isArrayIndex(b[i]!)) return Number(a[i]) - Number(b[i]);
  return a[i]! < b[i]! ? -1 : 1;
}

/** In order, a path that lies within another, or is the same, comes right after it. */
function checkConflicts(changes: PathChange[], code: number): void {
  for (const [i, { path }] of changes.entries()) {
    const before = changes[i - 1]?.path;
    if (before === undefined || !`${path}.`.startsWith(`${before}.`)) continue;
    throw new CommandError(code, `Updating the path '${path}' would create a conflict at '${before}'`);
  }
}

/** Fields that begin with a dollar are not stored: MongoDB allows some, only to be changed again through aggregation. */
function checkStored(value: Value, path: string): void {
  if (Array.isArray(value)) for (const element of value) checkStored(element, path);
  if (!isDoc(value)) return;
  for (const [name, inner] of value) {
    if (name.startsWith('$')) throw dollarPrefixed(`${path}.${name}`);
    checkStored(inner, path);
  }
}

function dollarPrefixed(path: string): CommandError {
  return new CommandError(52, `The dollar ($) prefixed field in '${path}' is not allowed in the context of an update.`);
}
