import { type Binary, type BSONRegExp, Decimal128, Long, type ObjectId, type Timestamp } from 'bson';
import { type BsonNumber, rankOf, type TypeName, toNumber, typeOf, typeRanks, type Value } from './bson.ts';
import { compareWithDouble, parseDecimal } from './decimal.ts';

/**
 * Encodes BSON values as bytes whose order (memcmp) is MongoDB's comparison order. Index keys, comparison, sorting, grouping and distinct
 * all use this encoding, so that they are always consistent. No encoding is a prefix of another, so encodings can be concatenated.
 */

/** The encoding of an empty array in an index and in a sort: less than null. */
export const emptyArray = Symbol('empty array');
export type KeyPart = Value | undefined | typeof emptyArray;

/** The maximum key length of LMDB is 1,978 bytes, of which the prefix (4) and the record number (8) are reserved. */
export const maxKeyBytes = 1960;

const emptyRank = 0x0c;
const end = 0x00;

let scratch = Buffer.alloc(1 << 16);
let at = 0;

/** Returns the concatenated encodings of several values. The encoding of a descending value is complemented, which reverses its order. */
export function encodeKey(parts: readonly KeyPart[], descending: readonly boolean[] = []): Buffer {
  at = 0;
  for (let i = 0; i < parts.length; i++) {
    const from = at;
    put(parts[i]);
    if (descending[i]) complement(from);
  }
  return Buffer.from(scratch.subarray(0, at));
}

/** Returns the encoding as text, to be used as the key of a Map. */
export const keyText = (value: KeyPart): string => encodeKey([value]).toString('latin1');

/** Compares values in MongoDB's sort order: first by type, where all number types count as one, then by content. */
export function compare(a: KeyPart, b: KeyPart): number {
  return encodeKey([a]).compare(encodeKey([b]));
}

/** Returns whether MongoDB treats two values as equal: 1 and 1.0 are equal; documents with different orders of fields are not. */
export const equal = (a: KeyPart, b: KeyPart): boolean => compare(a, b) === 0;

/** Returns a function that compares values with one value, which is encoded only once. The result is negative if the value is less. */
export function comparer(operand: Value): (value: Value) => number {
  const encoded = encodeKey([operand]);
  return (value) => {
    at = 0;
    put(value);
    return scratch.compare(encoded, 0, encoded.length, 0, at);
  };
}

/** Returns the first byte string after all those that begin with `prefix`. */
export function after(prefix: Buffer): Buffer {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) length--;
  const next = Buffer.from(prefix.subarray(0, length));
  next[length - 1]!++;
  return next;
}

function room(bytes: number): void {
  while (at + bytes > scratch.length) scratch = Buffer.concat([scratch, Buffer.alloc(scratch.length)]);
}

function byte(value: number): void {
  room(1);
  at = scratch.writeUInt8(value, at);
}

function raw(bytes: Uint8Array): void {
  room(bytes.length);
  scratch.set(bytes, at);
  at += bytes.length;
}

function complement(from: number): void {
  for (let i = from; i < at; i++) scratch[i] = ~scratch[i]!;
}

function put(part: KeyPart = null): void {
  if (part === emptyArray) {
    byte(emptyRank);
    return;
  }
  const type = typeOf(part);
  byte(typeRanks[type]);
  putContent(part, type);
}

function putContent(value: Value, type: TypeName): void {
  switch (type) {
    case 'double':
    case 'int':
    case 'long':
    case 'decimal':
      putNumber(value as BsonNumber);
      break;
    case 'string':
      putString(value as string);
      break;
    case 'object':
      // MongoDB compares field by field: type, then name, then value.
      for (const [name, v] of value as Map<string, Value>) {
        byte(rankOf(v));
        raw(Buffer.from(name));
        byte(end);
        putContent(v, typeOf(v));
      }
      byte(end);
      break;
    case 'array':
      for (const v of value as Value[]) put(v);
      byte(end);
      break;
    case 'binData': {
      const { buffer, position, sub_type } = value as Binary;
      room(5);
      at = scratch.writeUInt32BE(position, at);
      byte(sub_type);
      raw(buffer.subarray(0, position));
      break;
    }
    case 'objectId':
      raw((value as ObjectId).id);
      break;
    case 'bool':
      byte(value ? 1 : 0);
      break;
    case 'date':
      room(8);
      at = scratch.writeBigUInt64BE(BigInt((value as Date).getTime()) + (1n << 63n), at);
      break;
    case 'timestamp':
      room(8);
      at = scratch.writeBigUInt64BE(BigInt.asUintN(64, (value as Timestamp).toBigInt()), at);
      break;
    case 'regex':
      putString((value as BSONRegExp).pattern);
      putString((value as BSONRegExp).options);
      break;
  }
}

/** A zero byte in the text becomes three bytes that sort after the two bytes that end a shorter string. */
function putString(text: string): void {
  const escaped = text.includes('\0') ? text.replaceAll('\0', '\0\xff') : text;
  room(Buffer.byteLength(escaped) + 2);
  at += scratch.write(escaped, at);
  at = scratch.writeUInt16BE(0x0001, at);
}

/**
 * A number is encoded as the nearest double, with its bits changed so that they sort; then whether the number is below, equal to or above
 * that double; and, if it is not equal, its digits. So int32, int64, double and Decimal128 compare exactly with each other.
 */
function putNumber(value: BsonNumber): void {
  const double = toNumber(value)!;
  room(50);
  const from = at;
  at = scratch.writeDoubleBE(double === 0 || Number.isNaN(double) ? 0 : double, at);
  if (double < 0) complement(from);
  else if (!Number.isNaN(double)) scratch[from]! |= 0x80;
  const hasRest = value instanceof Decimal128 || (value instanceof Long && !Number.isSafeInteger(double));
  const text = hasRest ? value.toString() : '';
  // No number is beyond Infinity or NaN.
  if (!/\d/.test(text)) {
    byte(1);
    return;
  }
  const decimal = parseDecimal(text);
  const isNegative = text.startsWith('-');
  const side = compareWithDouble(decimal, double) * (isNegative ? -1 : 1);
  byte(side + 1);
  if (side === 0) return;
  const restAt = at;
  at = scratch.writeUInt16BE(decimal.exponent + decimal.digits.length + 10_000, at);
  at += scratch.write(decimal.digits.padEnd(34, '0'), at, 'latin1');
  if (isNegative) complement(restAt);
}
