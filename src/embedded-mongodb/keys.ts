import type { Binary, BSONRegExp, BSONSymbol, Code, ObjectId, Timestamp } from 'bson';
import { toNumber, typeOf, types, type Value } from './bson.ts';
import { CommandError } from './errors.ts';

/**
 * One encoding of BSON values in bytes whose order (memcmp) is MongoDB's comparison order. Index keys, comparison, sorting, grouping and
 * distinct all use it, so that they cannot disagree. No encoding is a prefix of another, so encodings can be put one after the other.
 */

/** What an empty array is in an index and in a sort: less than null. */
export const emptyArray = Symbol('empty array');
export type KeyPart = Value | undefined | typeof emptyArray;

/** LMDB takes keys of 1,978 bytes; the rest is for the prefix (4) and the record (8). */
export const maxKeyBytes = 1960;

const emptyRank = 0x0c;
const end = 0x00;

let scratch = Buffer.alloc(1 << 16);
let at = 0;

function room(bytes: number): void {
  while (at + bytes > scratch.length) scratch = Buffer.concat([scratch, Buffer.alloc(scratch.length)]);
}

function byte(value: number): void {
  room(1);
  scratch[at] = value;
  at += 1;
}

function raw(bytes: Uint8Array): void {
  room(bytes.length);
  scratch.set(bytes, at);
  at += bytes.length;
}

/** The bytes of several values one after the other; a value marked descending is complemented, which turns its order round. */
export function encodeKey(parts: readonly KeyPart[], descending: readonly boolean[] = []): Buffer {
  at = 0;
  for (let i = 0; i < parts.length; i++) {
    const from = at;
    put(parts[i]);
    if (descending[i]) complement(from);
  }
  return Buffer.from(scratch.subarray(0, at));
}

/** Compares as MongoDB sorts: by type first, numbers by value whatever their type, then by content. */
export function compare(a: KeyPart, b: KeyPart): number {
  if (typeof a === 'object' && typeof b === 'object' && a instanceof Date && b instanceof Date) return a.getTime() - b.getTime();
  return Buffer.compare(encodeKey([a]), encodeKey([b]));
}

/** Whether two values are equal as MongoDB compares them: 1 and 1.0 are, documents with another order of fields are not. */
export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b;
  return compare(a, b) === 0;
}

/** Compares many values with one: the one is encoded once. Negative when the value is less. */
export function comparer(operand: Value): (value: Value) => number {
  const encoded = encodeKey([operand]);
  return (value) => {
    at = 0;
    put(value);
    return scratch.compare(encoded, 0, encoded.length, 0, at);
  };
}

/** The byte that the encodings of all values comparable with this one begin with. */
export function rankOf(value: Value): number {
  return types[typeOf(value)].rank;
}

/** The first byte string after all those that begin with `prefix`. */
export function after(prefix: Buffer): Buffer {
  const next = Buffer.from(prefix);
  for (let i = next.length - 1; i >= 0; i--) {
    if (next[i]! < 0xff) {
      next[i]!++;
      return next.subarray(0, i + 1);
    }
  }
  throw new CommandError(17280, 'a key of nothing but 0xff has no successor');
}

/** Complements bytes from an offset of the scratch buffer on. */
function complement(from: number): void {
  for (let i = from; i < at; i++) scratch[i] = ~scratch[i]! & 0xff;
}

function put(part: KeyPart): void {
  if (part === emptyArray) byte(emptyRank);
  else {
    const type = typeOf(part ?? null);
    byte(types[type].rank);
    putContent(part ?? null, type);
  }
}

function putContent(value: Value, type: keyof typeof types): void {
  switch (type) {
    case 'double':
    case 'int':
    case 'long':
    case 'decimal':
      putNumber(value);
      break;
    case 'string':
      putString(value as string);
      break;
    case 'symbol':
      putString((value as BSONSymbol).value);
      break;
    case 'javascript':
      putString((value as Code).code);
      break;
    case 'object':
      // MongoDB compares field by field: type, then name, then value.
      for (const [name, v] of value as Map<string, Value>) {
        const fieldType = typeOf(v);
        byte(types[fieldType].rank);
        raw(Buffer.from(name));
        byte(end);
        putContent(v, fieldType);
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

function putString(text: string): void {
  const length = Buffer.byteLength(text);
  room(length);
  const from = at;
  at += scratch.write(text, at);
  // A zero byte inside is escaped so that it sorts after the end of a shorter string.
  if (scratch.subarray(from, at).includes(0)) {
    const bytes = Buffer.from(scratch.subarray(from, at));
    at = from;
    for (const b of bytes) {
      byte(b);
      if (b === 0) byte(0xff);
    }
  }
  byte(end);
  byte(0x01);
}

const sign = { nan: 0x01, negative: 0x02, zero: 0x03, positive: 0x04 };
const exact = 0x00;
const inexact = 0x02;

/**
 * A number is its sign and its magnitude: the largest double that is not greater, and, when it lies above that double (large int64s, most
 * Decimal128s), its decimal digits. So int32, int64, double and Decimal128 compare exactly with each other.
 */
function putNumber(value: Value): void {
  const rounded = toNumber(value)!;
  const type = typeOf(value);
  const isDouble = type === 'double' || type === 'int' || (type === 'long' && Number.isSafeInteger(rounded));
  if (Number.isNaN(rounded)) byte(sign.nan);
  else if (isDouble) putMagnitude(Math.abs(rounded), rounded < 0, undefined);
  else {
    const decimal = parseDecimal(String(value));
    let below = Math.abs(rounded);
    // Rounding may have gone up, past every double, or (the smallest Decimal128s) down to zero.
    if (below === Number.POSITIVE_INFINITY && !decimal.infinite) below = Number.MAX_VALUE;
    const side = decimal.infinite || decimal.digits === '0' ? 0 : compareWithDouble(decimal, below);
    if (side < 0) below = previousDouble(below);
    putMagnitude(below, decimal.negative, side === 0 ? undefined : decimal);
  }
}

function putMagnitude(below: number, negative: boolean, rest: Decimal | undefined): void {
  if (below === 0 && !rest) {
    byte(sign.zero);
    return;
  }
  byte(negative ? sign.negative : sign.positive);
  const from = at;
  room(45);
  at = scratch.writeDoubleBE(below, at);
  byte(rest ? inexact : exact);
  if (rest) {
    at = scratch.writeUInt16BE(rest.exponent + rest.digits.length + 10_000, at);
    at += scratch.write(rest.digits.padEnd(34, '0'), at, 'latin1');
  }
  if (negative) complement(from);
}

interface Decimal {
  negative: boolean;
  infinite: boolean;
  /** digits × 10^exponent, without zeros at either end. */
  digits: string;
  exponent: number;
}

function parseDecimal(text: string): Decimal {
  const negative = text.startsWith('-');
  if (/inf/i.test(text)) return { negative, infinite: true, digits: '1', exponent: 0 };
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/i.exec(text)!;
  const padded = `${whole}${fraction}`.replace(/^0+/, '');
  const digits = padded.replace(/0+$/, '');
  return {
    negative,
    infinite: false,
    digits: digits || '0',
    exponent: Number(exponent) - fraction.length + (padded.length - digits.length),
  };
}

function compareWithDouble({ digits, exponent }: Decimal, double: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, double);
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const mantissa = (bits & ((1n << 52n) - 1n)) | (biased ? 1n << 52n : 0n);
  const power = (biased || 1) - 1075;
  const left = BigInt(digits) * (exponent > 0 ? 10n ** BigInt(exponent) : 1n) * (power < 0 ? 1n << BigInt(-power) : 1n);
  const right = mantissa * (power > 0 ? 1n << BigInt(power) : 1n) * (exponent < 0 ? 10n ** BigInt(-exponent) : 1n);
  return left < right ? -1 : left > right ? 1 : 0;
}

function previousDouble(double: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, double);
  view.setBigUint64(0, view.getBigUint64(0) - 1n);
  return view.getFloat64(0);
}
