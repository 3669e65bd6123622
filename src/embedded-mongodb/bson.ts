import { Binary, BSONRegExp, Decimal128, Double, Int32, Long, ObjectId, serialize, Timestamp } from 'bson';
import { CommandError, unsupported } from './errors.ts';

/**
 * A document is a Map: unlike an object it keeps the order of fields named "2" and "1", and treats `__proto__` like any other name.
 * Numbers are instances of bson's classes, so that they keep their BSON type when a document is read, changed and written again.
 */
export type Doc = Map<string, Value>;
export type BsonNumber = Double | Int32 | Long | Decimal128;
export type Value = null | boolean | string | BsonNumber | ObjectId | Date | Timestamp | Binary | BSONRegExp | Value[] | Doc;

export const isDoc = (value: unknown): value is Doc => value instanceof Map;

const maxDepth = 180;
export const maxDocumentBytes = 16 * 1024 * 1024;

/** MongoDB allows commands to be larger than documents by this much. */
const maxCommandBytes = maxDocumentBytes + 16 * 1024;

const invalid = (what: string) => new CommandError(22, `invalid BSON: ${what}`);

/**
 * Decodes one BSON document, which begins at `at`. Reads nothing outside of it, and every step reads at least one byte, so time and memory
 * are proportional to its length. @throws CommandError when it is not valid or not supported
 */
export function decode(bytes: Buffer, at = 0): Doc {
  return decodeDocument(bytes, at, endOf(bytes, at, bytes.length, 0), 0);
}

/** Checks the length and the last byte of the document or array at `at`. Returns its end. */
function endOf(bytes: Buffer, at: number, limit: number, depth: number): number {
  if (depth > maxDepth) throw new CommandError(15, `BSON is nested deeper than ${maxDepth} levels`);
  if (at + 5 > limit) throw invalid('a document outside of its surroundings');
  const length = bytes.readInt32LE(at);
  if (length < 5 || at + length > limit) throw invalid('a document with a wrong length');
  if (length > maxCommandBytes) throw new CommandError(10334, `a document of ${length} bytes is larger than ${maxCommandBytes}`);
  if (bytes[at + length - 1] !== 0) throw invalid('a document without its terminator');
  return at + length;
}

function decodeDocument(bytes: Buffer, start: number, end: number, depth: number): Doc {
  const doc: Doc = new Map();
  let count = 0;
  for (let at = start + 4; at < end - 1; count++) {
    const nameEnd = terminator(bytes, at + 1, end - 1);
    const name = utf8(bytes, at + 1, nameEnd);
    const valueEnd = endOfValue(bytes, bytes[at]!, nameEnd + 1, end - 1, depth);
    doc.set(name, readValue(bytes, bytes[at]!, nameEnd + 1, valueEnd, depth));
    at = valueEnd;
  }
  if (doc.size !== count) throw unsupported('a document in which two fields have the same name');
  return doc;
}

/** The names of the elements of an array are ignored, as by MongoDB. */
function decodeArray(bytes: Buffer, start: number, end: number, depth: number): Value[] {
  const values: Value[] = [];
  for (let at = start + 4; at < end - 1; ) {
    const valueAt = terminator(bytes, at + 1, end - 1) + 1;
    const valueEnd = endOfValue(bytes, bytes[at]!, valueAt, end - 1, depth);
    values.push(readValue(bytes, bytes[at]!, valueAt, valueEnd, depth));
    at = valueEnd;
  }
  return values;
}

/** Returns the position of the zero byte that ends a name. */
function terminator(bytes: Buffer, at: number, limit: number): number {
  for (let end = at; end < limit; end++) if (bytes[end] === 0) return end;
  throw invalid('a name without its terminator');
}

/** The lengths of the values whose length is always the same, by type. */
const lengths: Readonly<Record<number, number>> = {
  1: 8,
  7: 12,
  8: 1,
  9: 8,
  10: 0,
  16: 4,
  17: 8,
  18: 8,
  19: 16,
};

/** Returns where a value ends, which is not after `limit`. */
function endOfValue(bytes: Buffer, type: number, at: number, limit: number, depth: number): number {
  const counted = (from: number, least: number) => {
    if (at + 4 > limit) throw invalid('a value longer than its document');
    const length = bytes.readInt32LE(at);
    if (length < least) throw invalid('a value with a wrong length');
    return from + length;
  };
  let end: number;
  if (type === 0x03 || type === 0x04) end = endOf(bytes, at, limit, depth + 1);
  else if (type === 0x02) end = counted(at + 4, 1);
  else if (type === 0x05) end = counted(at + 5, 0);
  else if (type === 0x0b) end = terminator(bytes, terminator(bytes, at, limit) + 1, limit) + 1;
  else if (lengths[type] !== undefined) end = at + lengths[type];
  else throw unsupported(`BSON type 0x${type.toString(16)}`);
  if (end > limit) throw invalid('a value longer than its document');
  return end;
}

/** Encodes a document or a plain reply. JavaScript numbers become int32 if they are integers in its range, as always in bson. */
export function encode(doc: Doc | Record<string, unknown>): Buffer {
  const bytes = serialize(doc as Record<string, unknown>, { ignoreUndefined: true });
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Encodes a document to be stored. @throws CommandError when it is larger than MongoDB allows */
export function encodeStored(doc: Doc): Buffer {
  const bytes = encode(doc);
  if (bytes.length > maxDocumentBytes) {
    throw new CommandError(10334, `BSONObj size: ${bytes.length} is invalid. Size must be between 0 and ${maxDocumentBytes}`);
  }
  return bytes;
}

function readValue(bytes: Buffer, type: number, at: number, end: number, depth: number): Value {
  switch (type) {
    case 0x01:
      return new Double(bytes.readDoubleLE(at));
    case 0x02:
      if (bytes[end - 1] !== 0) throw invalid('a string without its terminator');
      return utf8(bytes, at + 4, end - 1);
    case 0x03:
      return decodeDocument(bytes, at, end, depth + 1);
    case 0x04:
      return decodeArray(bytes, at, end, depth + 1);
    case 0x05:
      if (bytes[at + 4] === 2) throw unsupported('the old binary subtype 2');
      return new Binary(Buffer.from(bytes.subarray(at + 5, end)), bytes[at + 4]);
    case 0x07:
      return new ObjectId(Buffer.from(bytes.subarray(at, end)));
    case 0x08:
      if (bytes[at]! > 1) throw invalid('a boolean that is neither true nor false');
      return bytes[at] === 1;
    case 0x09:
      return readDate(bytes.readBigInt64LE(at));
    case 0x0a:
      return null;
    case 0x0b: {
      const middle = terminator(bytes, at, end);
      const options = utf8(bytes, middle + 1, end - 1);
      if (/[^imxlsu]/.test(options)) throw invalid('an unknown option of a regular expression');
      return new BSONRegExp(utf8(bytes, at, middle), options);
    }
    case 0x10:
      return new Int32(bytes.readInt32LE(at));
    case 0x11:
      return new Timestamp(bytes.readBigUInt64LE(at));
    case 0x12:
      return new Long(bytes.readInt32LE(at), bytes.readInt32LE(at + 4));
    default:
      return new Decimal128(Buffer.from(bytes.subarray(at, end)));
  }
}

function readDate(milliseconds: bigint): Date {
  const date = new Date(Number(milliseconds));
  if (Number.isNaN(date.getTime())) throw unsupported('a date beyond the year 275760');
  return date;
}

function utf8(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // Decoding replaces invalid UTF-8, so writing the string again would change it.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(bytes.subarray(start, end))) throw unsupported('a string that is not UTF-8');
  return text;
}

/** MongoDB's names of the BSON types, and their ranks in the comparison order of types. */
export const typeRanks = {
  null: 0x10,
  double: 0x18,
  int: 0x18,
  long: 0x18,
  decimal: 0x18,
  string: 0x20,
  object: 0x28,
  array: 0x30,
  binData: 0x38,
  objectId: 0x40,
  bool: 0x48,
  date: 0x50,
  timestamp: 0x58,
  regex: 0x60,
} as const;
export type TypeName = keyof typeof typeRanks;

const byBsonType: Record<string, TypeName> = {
  Double: 'double',
  Int32: 'int',
  Long: 'long',
  Decimal128: 'decimal',
  ObjectId: 'objectId',
  Timestamp: 'timestamp',
  Binary: 'binData',
  BSONRegExp: 'regex',
};

/** Returns the name of a value's BSON type. */
export function typeOf(value: Value): TypeName {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof Map) return 'object';
  if (Array.isArray(value)) return 'array';
  return value instanceof Date ? 'date' : byBsonType[value._bsontype]!;
}

export const rankOf = (value: Value): number => typeRanks[typeOf(value)];

export const isNumber = (value: Value | undefined): value is BsonNumber => value !== undefined && rankOf(value) === typeRanks.double;

/** Converts a number to a JavaScript number, which rounds a large Long or a Decimal128. Returns undefined for other values. */
export function toNumber(value: Value | undefined): number | undefined {
  if (!isNumber(value)) return undefined;
  return 'value' in value ? value.value : Number(value.toString());
}

/** Adds two numbers. The result has the wider of their types. */
export function add(a: BsonNumber, b: BsonNumber): BsonNumber {
  if (a instanceof Decimal128 || b instanceof Decimal128) throw unsupported('arithmetic on Decimal128');
  if (a instanceof Double || b instanceof Double) return new Double(toNumber(a)! + toNumber(b)!);
  const sum = BigInt(a.toString()) + BigInt(b.toString());
  if (a instanceof Int32 && b instanceof Int32 && sum === BigInt.asIntN(32, sum)) return new Int32(Number(sum));
  if (sum !== BigInt.asIntN(64, sum)) throw new CommandError(2, `the sum of ${a} and ${b} does not fit into 64 bits`);
  return Long.fromBigInt(sum);
}

/** Returns whether MongoDB treats a value as true: all values except false, null, zero and missing values. */
export function truthy(value: Value | undefined): boolean {
  return value !== undefined && value !== null && value !== false && toNumber(value) !== 0;
}

/** Formats a value for an error message, such as `{ name: "a", n: 1 }`. */
export function show(value: Value | undefined): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (isDoc(value)) return value.size ? `{ ${[...value].map(([name, v]) => `${name}: ${show(v)}`).join(', ')} }` : '{}';
  if (Array.isArray(value)) return value.length ? `[ ${value.map(show).join(', ')} ]` : '[]';
  if (value instanceof Date) return `new Date(${value.getTime()})`;
  if (value instanceof ObjectId) return `ObjectId('${value.toHexString()}')`;
  if (value instanceof Binary) return `BinData(${value.sub_type}, ${value.toString('hex').toUpperCase()})`;
  if (value instanceof Double && Number.isInteger(value.value)) return value.value.toFixed(1);
  return String(value);
}
