import { add, type BsonNumber, type Doc, isDoc, isNumber, show, typeOf, type Value } from './bson.ts';
import { CommandError, failedToParse, typeMismatch, unsupported } from './errors.ts';
import { fieldOf } from './paths.ts';

/** Returns the changed document. `inserting` is true if an upsert creates the document. */
export type Change = (doc: Doc, inserting: boolean) => Doc;

/** Returns the new value of a field; undefined removes the field. */
type Apply = (old: Value | undefined, inserting: boolean) => Value | undefined;

/** Parses `u` of an update: a document of operators or a replacement. Validates all of it before any document is changed. */
export function parseChange(update: Doc | Value[] | undefined): Change {
  if (Array.isArray(update)) throw unsupported('an update with an aggregation pipeline');
  if (!update) throw failedToParse('an update requires a document');
  return isReplacement(update) ? parseReplacement(update) : parseOperators(update);
}

export function isReplacement(update: Doc): boolean {
  return update.keys().next().value?.startsWith('$') !== true;
}

/** A replacement document. The `_id` does not change. */
function parseReplacement(replacement: Doc): Change {
  for (const name of replacement.keys()) if (name.startsWith('$')) throw dollarPrefixed(name);
  return (old) => {
    const id = replacement.get('_id') ?? old.get('_id');
    return id === undefined ? replacement : new Map([['_id', id], ...replacement]);
  };
}

function parseOperators(update: Doc): Change {
  const changes = [...update].flatMap(([operator, fields]) => {
    const make = Object.hasOwn(operators, operator) ? operators[operator] : undefined;
    if (!make) throw failedToParse(`Unknown modifier: ${operator} (or not supported by the embedded database)`);
    if (!isDoc(fields)) throw failedToParse(`Modifiers operate on fields but we found type ${typeOf(fields)} instead: ${operator}`);
    return [...fields].map(([name, operand]) => ({ name: fieldOf(name), apply: make(operand, name) }));
  });
  // New fields are added in the order of their names, not in the order of the update.
  changes.sort((a, b) => (a.name < b.name ? -1 : 1));
  const twice = changes.find(({ name }, i) => name === changes[i - 1]?.name)?.name;
  if (twice) throw new CommandError(40, `Updating the path '${twice}' would create a conflict at '${twice}'`);
  return (old, inserting) => {
    const doc = new Map(old);
    for (const { name, apply } of changes) {
      const value = apply(doc.get(name), inserting);
      if (value === undefined) doc.delete(name);
      else doc.set(name, value);
    }
    return doc;
  };
}

const operators: Record<string, (operand: Value, name: string) => Apply> = {
  $set: (operand, name) => {
    checkStored(operand, name);
    return () => operand;
  },
  $setOnInsert: (operand, name) => {
    checkStored(operand, name);
    return (old, inserting) => (inserting ? operand : old);
  },
  $unset: () => () => undefined,
  $inc: (operand, name) => {
    if (!isNumber(operand)) throw typeMismatch(`Cannot increment with non-numeric argument: {${name}: ${show(operand)}}`);
    return (old) => increment(name, old, operand);
  },
};

function increment(name: string, old: Value | undefined, by: BsonNumber): Value {
  if (old === undefined) return by;
  if (isNumber(old)) return add(old, by);
  throw typeMismatch(`Cannot apply $inc to a value of non-numeric type. The field '${name}' has non-numeric type ${typeOf(old)}`);
}

/** Fields that begin with a dollar sign are rejected. MongoDB allows some of them, but only aggregation can change these. */
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
