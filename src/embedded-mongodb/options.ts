import { type Doc, isDoc, toNumber, typeOf, type Value } from './bson.ts';
import { CommandError, typeMismatch } from './errors.ts';

/** The types of the options of commands. Every command lists its options; any other one is an error. */
const kinds = {
  string: (value: Value) => (typeof value === 'string' ? value : undefined),
  bool: (value: Value) => (typeof value === 'boolean' ? value : toNumber(value) === undefined ? undefined : toNumber(value) !== 0),
  int: (value: Value) => (Number.isInteger(toNumber(value)) ? toNumber(value) : undefined),
  /** Like int, but not negative. */
  count: (value: Value) => kinds.int(value),
  doc: (value: Value) => (isDoc(value) ? value : undefined),
  array: (value: Value) => (Array.isArray(value) ? value : undefined),
  docs: (value: Value) => (Array.isArray(value) && value.every(isDoc) ? (value as Doc[]) : undefined),
  docOrArray: (value: Value) => (isDoc(value) || Array.isArray(value) ? value : undefined),
  any: (value: Value) => value,
} as const;

export type Options = Record<string, keyof typeof kinds>;
export type Parsed<T extends Options> = { [name in keyof T]?: Exclude<ReturnType<(typeof kinds)[T[name]]>, undefined> };

/** Parses the options of a command, or of a part of one. Null means absent. */
export function parseOptions<T extends Options>(owner: string, doc: Doc, options: T): Parsed<T> {
  const parsed: Record<string, unknown> = {};
  for (const [name, value] of doc) {
    const field = `BSON field '${owner}.${name}'`;
    const kind = Object.hasOwn(options, name) ? options[name] : undefined;
    if (!kind) throw new CommandError(40415, `${field} is an unknown field (or not supported by the embedded database).`);
    if (value === null && kind !== 'any') continue;
    parsed[name] = kinds[kind](value);
    if (parsed[name] === undefined) throw typeMismatch(`${field} is the wrong type '${typeOf(value)}', expected type '${kind}'`);
    if (kind === 'count' && toNumber(value)! < 0) throw new CommandError(51024, `${field} value must be >= 0, actual value '${value}'`);
  }
  return parsed as Parsed<T>;
}

/** Returns the value of a required option. */
export function required<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new CommandError(40414, `BSON field '${field}' is missing but a required field`);
  return value;
}
