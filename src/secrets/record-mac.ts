import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { sameText } from './same-text.ts';
import type { DataKey } from './seal.ts';

/** The key of an organization that authenticates its records. */
export interface RecordKey {
  readonly keyId: string;
  readonly key: KeyObject;
}

/** Prepares a data key for many MACs. */
export function recordKey({ keyId, bytes }: DataKey): RecordKey {
  return { keyId, key: createSecretKey(bytes) };
}

/**
 * Returns the MAC of a record: the id of the key, and the HMAC-SHA-256 (RFC 2104) of the noun and the document, in base64url. The document
 * contains its organization and its id, so a MAC is valid for one record of one noun only. The document's own fields in `uncovered` are left out.
 *
 * @throws TypeError when the document contains a value that is not stored, such as a function
 */
export function macOf({ keyId, key }: RecordKey, noun: string, document: object, uncovered?: ReadonlySet<string>): string {
  // The number is the version of this form.
  const text = `1${canonical(noun)}${ofObject(document, uncovered)}`;
  return `${keyId}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

/** Returns whether a stored MAC is that of the document. Never throws. */
export function isMacOf(recordKey: RecordKey, noun: string, document: object, mac: unknown, uncovered?: ReadonlySet<string>): boolean {
  if (typeof mac !== 'string') return false;
  try {
    return sameText(mac, macOf(recordKey, noun, document, uncovered));
  } catch {
    return false;
  }
}

/**
 * Returns a text that is equal for equal values only. Each part begins with a letter for its type and shows where it ends. The order of an
 * object's members has no meaning in JavaScript, so they are sorted. A value of another type, such as a MongoDB `Long` or `undefined`, has no
 * such text: the gateway never stores one.
 *
 * @throws TypeError
 */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `s${value.length}:${value}`;
    case 'number':
      return Object.is(value, -0) ? 'd-0;' : `d${value};`;
    case 'boolean':
      return value ? 't' : 'f';
    case 'object':
      return value === null ? 'n' : ofObject(value);
    default:
      throw new TypeError('A record contains a value of a type that is not stored.');
  }
}

function ofObject(value: object, uncovered?: ReadonlySet<string>): string {
  if (Array.isArray(value)) {
    let text = '[';
    for (const item of value) text += canonical(item);
    return `${text}]`;
  }
  if (value instanceof Date) return `D${value.getTime()};`;
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new TypeError('A record contains a value of a type that is not stored.');
  const members = value as Readonly<Record<string, unknown>>;
  let text = '{';
  for (const name of Object.keys(members).sort()) if (!uncovered?.has(name)) text += canonical(name) + canonical(members[name]);
  return `${text}}`;
}
