import {
  Binary,
  BSONRegExp,
  BSONSymbol,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  serialize,
  Timestamp,
} from 'bson';
import { CommandError, unsupported } from './errors.ts';

/**
 * A document is a Map: unlike an object it keeps fields named "2" and "1" in their order, and `__proto__` is a name like any other.
 * Numbers keep their BSON type in bson's classes, so that what is read, changed and written again is of the type it was.
 */
export type Doc = Map<string, Value>;
export type Value =
  | null
  | boolean
  | string
  | Double
  | Int32
  | Long
  | Decimal128
  | ObjectId
  | Date
  | Binary
  | BSONRegExp
  | Timestamp
  | MinKey
  | MaxKey
  | Code
  | BSONSymbol
  | Value[]
  | Doc;

export const isDoc = (value: unknown): value is Doc => value instanceof Map;

const maxDepth = 180;
const maxDocumentBytes = 16 * 1024 * 1024;

/** Reads one BSON document; `at` is where its length stands. */
export function decode(bytes: Buffer, at = 0): Doc {
  return readDocument(bytes, at, 0);
}

/** Writes a document or a plain reply. Plain JS numbers become int32 when they are whole and fit, as everywhere in bson. */
export function encode(doc: Doc | Record<string, unknown>): Buffer {
  const bytes = serialize(doc as Record<string, unknown>, { ignoreUndefined: true });
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A document that is to be stored must not be larger than MongoDB allows. */
export function encodeStored(doc: Doc): Buffer {
  const bytes = encode(doc);
  if (bytes.length > maxDocumentBytes) {
    throw new CommandError(10334, `BSONObj size: ${bytes.length} is invalid. Size must be between 0 and ${maxDocumentBytes}`);
  }
  return bytes;
}

function invalid(why: string): CommandError {
  return new CommandError(22, `invalid BSON: ${why}`);
}

function readDocument(bytes: Buffer, start: number, depth: number): Doc {
  const doc: Doc = new Map();
  let count = 0;
  readFields(bytes, start, depth, (name, value) => {
    doc.set(name, value);
    count++;
  });
  if (doc.size !== count) throw unsupported('a document in which two fields have the same name');
  return doc;
}

function readArray(bytes: Buffer, start: number, depth: number): Value[] {
  const values: Value[] = [];
  readFields(bytes, start, depth, (_name, value) => values.push(value));
  return values;
}

function readFields(bytes: Buffer, start: number, depth: number, add: (name: string, value: Value) => void): void {
  if (depth > maxDepth) throw new CommandError(15, `BSON is nested deeper than ${maxDepth} levels`);
  if (start + 5 > bytes.length) throw invalid('cut off');
  const end = start + bytes.readInt32LE(start) - 1;
  if (end < start + 4 || end >= bytes.length || bytes[end] !== 0) throw invalid('wrong length');
  let at = start + 4;
  while (at < end) {
    const type = bytes[at]!;
    const nameEnd = bytes.indexOf(0, at + 1);
    if (nameEnd < 0 || nameEnd >= end) throw invalid('a field name without an end');
    const name = utf8(bytes, at + 1, nameEnd);
    const [value, next] = readValue(bytes, nameEnd + 1, type, depth);
    if (next > end) throw invalid('a field longer than its document');
    add(name, value);
    at = next;
  }
}

function readValue(bytes: Buffer, at: number, type: number, depth: number): [Value, number] {
  switch (type) {
    case 0x01:
      return [new Double(bytes.readDoubleLE(at)), at + 8];
    case 0x02:
      return readString(bytes, at);
    case 0x03:
      return [readDocument(bytes, at, depth + 1), at + bytes.readInt32LE(at)];
    case 0x04:
      return [readArray(bytes, at, depth + 1), at + bytes.readInt32LE(at)];
    case 0x05: {
      const length = bytes.readInt32LE(at);
      if (length < 0 || at + 5 + length > bytes.length) throw invalid('binary length');
      const subtype = bytes[at + 4]!;
      // Subtype 2 repeats the length inside.
      const from = subtype === 2 ? at + 9 : at + 5;
      return [new Binary(Buffer.from(bytes.subarray(from, at + 5 + length)), subtype), at + 5 + length];
    }
    case 0x07:
      return [new ObjectId(Buffer.from(bytes.subarray(at, at + 12))), at + 12];
    case 0x08:
      return [bytes[at] === 1, at + 1];
    case 0x09: {
      const date = new Date(Number(bytes.readBigInt64LE(at)));
      if (Number.isNaN(date.getTime())) throw unsupported('a date beyond the year 275760');
      return [date, at + 8];
    }
    case 0x0a:
      return [null, at];
    case 0x0b: {
      const [pattern, afterPattern] = readCString(bytes, at);
      const [options, next] = readCString(bytes, afterPattern);
      return [new BSONRegExp(pattern, options), next];
    }
    case 0x0d: {
      const [text, next] = readString(bytes, at);
      return [new Code(text), next];
    }
    case 0x0e: {
      const [text, next] = readString(bytes, at);
      return [new BSONSymbol(text), next];
    }
    case 0x10:
      return [new Int32(bytes.readInt32LE(at)), at + 4];
    case 0x11:
      return [new Timestamp(bytes.readBigUInt64LE(at)), at + 8];
    case 0x12:
      return [new Long(bytes.readInt32LE(at), bytes.readInt32LE(at + 4)), at + 8];
    case 0x13:
      return [new Decimal128(Buffer.from(bytes.subarray(at, at + 16))), at + 16];
    case 0x7f:
      return [new MaxKey(), at];
    case 0xff:
      return [new MinKey(), at];
    default:
      throw unsupported(`BSON type 0x${type.toString(16)}`);
  }
}

function readString(bytes: Buffer, at: number): [string, number] {
  const end = at + 4 + bytes.readInt32LE(at);
  if (end <= at + 4 || end > bytes.length || bytes[end - 1] !== 0) throw invalid('string length');
  return [utf8(bytes, at + 4, end - 1), end];
}

function readCString(bytes: Buffer, at: number): [string, number] {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw invalid('a string without an end');
  return [utf8(bytes, at, end), end + 1];
}

function utf8(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // Decoding replaces what is not UTF-8, and writing it back would then change what was stored.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(bytes.subarray(start, end))) throw unsupported('a string that is not UTF-8');
  return text;
}

/** BSON's type names as `$type` knows them, with their numbers and their place in the order of types. */
export const types = {
  minKey: { code: -1, rank: 0x08 },
  null: { code: 10, rank: 0x10 },
  double: { code: 1, rank: 0x18 },
  int: { code: 16, rank: 0x18 },
  long: { code: 18, rank: 0x18 },
  decimal: { code: 19, rank: 0x18 },
  string: { code: 2, rank: 0x20 },
  symbol: { code: 14, rank: 0x20 },
  object: { code: 3, rank: 0x28 },
  array: { code: 4, rank: 0x30 },
  binData: { code: 5, rank: 0x38 },
  objectId: { code: 7, rank: 0x40 },
  bool: { code: 8, rank: 0x48 },
  date: { code: 9, rank: 0x50 },
  timestamp: { code: 17, rank: 0x58 },
  regex: { code: 11, rank: 0x60 },
  javascript: { code: 13, rank: 0x68 },
  maxKey: { code: 127, rank: 0xf0 },
} as const;
export type TypeName = keyof typeof types;

const byBsonType: Record<string, TypeName> = {
  Double: 'double',
  Int32: 'int',
  Long: 'long',
  Decimal128: 'decimal',
  ObjectId: 'objectId',
  Binary: 'binData',
  BSONRegExp: 'regex',
  Timestamp: 'timestamp',
  MinKey: 'minKey',
  MaxKey: 'maxKey',
  Code: 'javascript',
  BSONSymbol: 'symbol',
};

/** The name of a value's BSON type. */
export function typeOf(value: Value): TypeName {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
  }
  if (value instanceof Map) return 'object';
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  return byBsonType[(value as { _bsontype: string })._bsontype]!;
}

export const isNumber = (value: Value | undefined): value is Double | Int32 | Long | Decimal128 =>
  value !== undefined && types[typeOf(value)].rank === types.double.rank;

/** A number as a JS number (a Decimal128 or a large Long is rounded), or undefined when it is not a number. */
export function toNumber(value: Value | undefined): number | undefined {
  if (!isNumber(value)) return undefined;
  if (value instanceof Long) return value.toNumber();
  if (value instanceof Decimal128) return Number(value.toString());
  return value.value;
}

/** What MongoDB takes for true: everything but false, null, zero and what is missing. */
export function truthy(value: Value | undefined): boolean {
  if (value === undefined || value === null || value === false) return false;
  return !isNumber(value) || toNumber(value) !== 0;
}

/** A value as an error message shows it, `{ name: "a", n: 1 }`. */
export function show(value: Value | undefined): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (isDoc(value)) return value.size ? `{ ${[...value].map(([name, v]) => `${name}: ${show(v)}`).join(', ')} }` : '{}';
  if (Array.isArray(value)) return value.length ? `[ ${value.map(show).join(', ')} ]` : '[]';
  if (value instanceof Date) return `new Date(${value.getTime()})`;
  if (value instanceof ObjectId) return `ObjectId('${value.toHexString()}')`;
  if (value instanceof Binary) return `BinData(${value.sub_type}, ${value.toString('hex').toUpperCase()})`;
  if (value instanceof Double) return Number.isInteger(value.value) ? value.value.toFixed(1) : String(value.value);
  return String(value);
}

/** A deep copy; values other than documents and arrays are never changed in place. */
export function clone<T extends Value | undefined>(value: T): T {
  if (value instanceof Map) return new Map([...(value as Doc)].map(([name, v]) => [name, clone(v)])) as unknown as T;
  if (Array.isArray(value)) return value.map(clone) as T;
  return value;
}
