import { type Doc, isDoc, show, toNumber, typeOf, type Value } from './bson.ts';
import { CommandError, typeMismatch, unsupported } from './errors.ts';

/** What a command's fields may be. Every command lists its fields; any other field is an error. */
const kinds = {
  string: (value: Value) => (typeof value === 'string' ? value : undefined),
  bool: (value: Value) => (typeof value === 'boolean' ? value : toNumber(value) === undefined ? undefined : toNumber(value) !== 0),
  int: (value: Value) => {
    const number = toNumber(value);
    return number !== undefined && Number.isInteger(number) ? number : undefined;
  },
  doc: (value: Value) => (isDoc(value) ? value : undefined),
  array: (value: Value) => (Array.isArray(value) ? value : undefined),
  docs: (value: Value) => (Array.isArray(value) && value.every(isDoc) ? (value as Doc[]) : undefined),
  docOrString: (value: Value) => (isDoc(value) || typeof value === 'string' ? value : undefined),
  docOrArray: (value: Value) => (isDoc(value) ? value : Array.isArray(value) ? value : undefined),
  any: (value: Value) => value,
  /** MongoDB knows the field and this server cannot do what it asks. Saying no (false, or the plain collation) is no request. */
  refused: (value: Value) => (asksForNothing(value) ? null : undefined),
} as const;

type Kind = keyof typeof kinds;
export type Options = Record<string, Kind>;
export type Parsed<T extends Options> = { [name in keyof T]?: Exclude<ReturnType<(typeof kinds)[T[name]]>, undefined> };

function asksForNothing(value: Value): boolean {
  if (value === false || value === null) return true;
  return isDoc(value) && (value.size === 0 || (value.size === 1 && value.get('locale') === 'simple'));
}

/** Reads the fields of a command, or of a part of one. Null is the same as absent. */
export function parseOptions<T extends Options>(owner: string, doc: Doc, options: T, ignored?: ReadonlySet<string>): Parsed<T> {
  const parsed: Record<string, unknown> = {};
  for (const [name, value] of doc) {
    if (ignored?.has(name)) continue;
    const kind = options[name];
    if (!kind) throw new CommandError(40415, `BSON field '${owner}.${name}' is an unknown field.`);
    if (value === null && kind !== 'any') continue;
    const read = kinds[kind](value);
    if (read === undefined) {
      if (kind === 'refused') throw unsupported(`the option '${name}' of ${owner} (${show(value)})`);
      throw typeMismatch(`BSON field '${owner}.${name}' is the wrong type '${typeOf(value)}', expected type '${kind}'`);
    }
    parsed[name] = read;
  }
  return parsed as Parsed<T>;
}

/** The value of an option that must be there. */
export function required<T>(value: T | undefined, owner: string, name: string): T {
  if (value === undefined) throw new CommandError(40414, `BSON field '${owner}.${name}' is missing but a required field`);
  return value;
}

export function nonNegative(value: number | undefined, owner: string, name: string): number | undefined {
  if (value !== undefined && value < 0)
    throw new CommandError(51024, `BSON field '${name}' value must be >= 0, actual value '${value}' (${owner})`);
  return value;
}
