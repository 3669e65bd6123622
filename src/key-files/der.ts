import { BitString, fromBER, Integer, Null, ObjectIdentifier, OctetString, Sequence } from 'asn1js';

/** An element of DER (X.690). It is only cut out of the bytes: no number in it was computed with. */
export interface Element {
  /** The class and number of the tag, such as `universal 16`. */
  readonly tag: string;
  /** The whole element. */
  readonly bytes: Uint8Array;
  /** The content of a primitive element; empty for a constructed one. */
  readonly content: Uint8Array;
  /** The parts of a constructed element; undefined for a primitive one. */
  readonly parts: readonly Element[] | undefined;
}

/** The text is not an allowed key or certificate. It has no message: nobody is told more than that. */
export class Refused extends Error {}

export const INTEGER = 'universal 2';
export const BIT_STRING = 'universal 3';
export const OCTET_STRING = 'universal 4';
export const NULL = 'universal 5';
export const OBJECT_IDENTIFIER = 'universal 6';
export const SEQUENCE = 'universal 16';

/** A certificate with many extensions has about 200 elements, at a depth of about 10. */
const LIMITS = { maxDepth: 24, maxNodes: 4_000, maxContentLength: 16_384, parseEmbedded: false };

/** The parts of asn1js's blocks that are used here. Its types do not tell which block has which. */
interface Block {
  readonly idBlock: { readonly tagClass: number; readonly tagNumber: number; readonly isConstructed: boolean };
  readonly lenBlock: { readonly isIndefiniteForm: boolean };
  readonly valueBlock: { readonly value?: unknown };
  readonly valueBeforeDecodeView: Uint8Array;
  readonly blockLength: number;
}

const classes: Readonly<Record<number, string>> = { 1: 'universal', 2: 'application', 3: 'context', 4: 'private' };

/**
 * Reads the one element that the bytes consist of.
 * @throws Refused for anything after it, for encodings that BER has and DER has not, and for trees that are too deep or too wide
 */
export function readDer(bytes: Uint8Array): Element {
  const { offset, result } = parsed(bytes);
  if (offset !== bytes.length) throw new Refused();
  return elementOf(result as unknown as Block);
}

/** asn1js returns most errors as an offset of -1, and throws few. */
function parsed(bytes: Uint8Array): ReturnType<typeof fromBER> {
  try {
    return fromBER(bytes as Uint8Array<ArrayBuffer>, LIMITS);
  } catch {
    throw new Refused();
  }
}

function elementOf(block: Block): Element {
  const { tagClass, tagNumber, isConstructed } = block.idBlock;
  const tag = `${classes[tagClass]} ${tagNumber}`;
  // Only BER has these two: a length that is found by searching its end, and a string in pieces.
  if (block.lenBlock.isIndefiniteForm || (isConstructed && tagClass === 1 && tagNumber !== 16 && tagNumber !== 17)) throw new Refused();
  const bytes = block.valueBeforeDecodeView;
  if (bytes.length !== block.blockLength) throw new Refused();
  if (!isConstructed) return { tag, bytes, content: bytes.subarray(headerLength(bytes)), parts: undefined };
  return { tag, bytes, content: new Uint8Array(), parts: (block.valueBlock.value as Block[]).map(elementOf) };
}

/** The number of bytes before the content: the tag, which has one byte in all that is read here, and the length. */
function headerLength(bytes: Uint8Array): number {
  const [tag = 0, length = 0] = bytes;
  if ((tag & 0x1f) === 0x1f) throw new Refused();
  return length < 0x80 ? 2 : 2 + (length & 0x7f);
}

/** Returns the element, which must be there and have the tag. @throws Refused */
export function expectTag(element: Element | undefined, tag: string): Element {
  if (element?.tag !== tag) throw new Refused();
  return element;
}

/** Returns the parts of a SEQUENCE, or of an explicit context tag. @throws Refused when it is another element, or has another number of parts */
export function partsOf(element: Element | undefined, tag: string, min: number, max = min): readonly Element[] {
  const { parts } = expectTag(element, tag);
  if (!parts || parts.length < min || parts.length > max) throw new Refused();
  return parts;
}

/** Returns the bytes of a positive INTEGER, without the zero before a set highest bit. @throws Refused */
export function positiveInteger(element: Element | undefined): Uint8Array {
  const { content } = expectTag(element, INTEGER);
  const [first, second = 0] = content;
  if (first === undefined || first >= 0x80 || (first === 0 && second < 0x80)) throw new Refused();
  return first === 0 ? content.subarray(1) : content;
}

/** @throws Refused when it is not the INTEGER of one byte with one of these values */
export function expectSmallInteger(element: Element | undefined, ...values: readonly number[]): void {
  const { content } = expectTag(element, INTEGER);
  if (content.length !== 1 || !values.includes(content[0]!)) throw new Refused();
}

/** Returns the content of a BIT STRING of whole bytes. @throws Refused */
export function wholeBytes(element: Element | undefined): Uint8Array {
  const { content } = expectTag(element, BIT_STRING);
  if (content.length < 2 || content[0] !== 0) throw new Refused();
  return content.subarray(1);
}

/** Returns the content of an OBJECT IDENTIFIER in hexadecimal. @throws Refused */
export function objectIdentifier(element: Element | undefined): string {
  return hex(expectTag(element, OBJECT_IDENTIFIER).content);
}

/** Returns the content of an OBJECT IDENTIFIER, such as `1.3.101.112`, in hexadecimal. */
export function oid(value: string): string {
  return hex(new Uint8Array(new ObjectIdentifier({ value }).toBER()).subarray(2));
}

/** The number of bits of a positive number. */
export function bitLength(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : (bytes.length - 1) * 8 + (32 - Math.clz32(bytes[0]!));
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Writes DER. Only values that were read and checked are written, so that OpenSSL gets nothing else. */
export const der = {
  sequence: (...value: Part[]): Part => new Sequence({ value }),
  /** A number that is small, or positive and given in bytes. */
  integer: (value: number | Uint8Array): Part =>
    typeof value === 'number' ? new Integer({ value }) : new Integer({ valueHex: buffer(value[0]! & 0x80 ? [0, ...value] : value) }),
  oid: (value: string): Part => new ObjectIdentifier({ value }),
  null: (): Part => new Null(),
  octetString: (bytes: Uint8Array): Part => new OctetString({ valueHex: buffer(bytes) }),
  bitString: (bytes: Uint8Array): Part => new BitString({ valueHex: buffer(bytes) }),
  encode: (part: Part): Buffer => Buffer.from(part.toBER()),
};
type Part = Sequence | Integer | ObjectIdentifier | Null | OctetString | BitString;

function buffer(bytes: Iterable<number>): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
