import { LRUCache } from 'lru-cache';
import type { NounName } from '../access/nouns.ts';
import type { RecordKey } from '../secrets/record-mac.ts';

/** The bytes of the documents that are remembered, of one gateway. Their records take about four times as much. */
const BYTES_MAX = 8 * 1024 * 1024;
const DOCUMENTS_MAX = 16_384;
/** A larger document is verified each time. */
const DOCUMENT_BYTES_MAX = 64 * 1024;

interface Verified {
  readonly noun: NounName;
  readonly key: RecordKey;
  readonly bytes: Uint8Array;
  readonly record: object;
}

/** The records that were verified, by their bytes. */
export type VerifiedRecords = ReturnType<typeof createVerifiedRecords>;

/**
 * Remembers records that were read and whose MAC was right, with their bytes. A MAC depends on nothing but the key, the noun and the bytes: if
 * the database returns the same bytes again, the record needs to be neither decoded nor verified again. Nothing is answered from memory: the
 * database is asked each time, and every byte is compared.
 *
 * The records are frozen, because several requests get the same object.
 */
export function createVerifiedRecords() {
  const remembered = new LRUCache<string, Verified>({
    max: DOCUMENTS_MAX,
    maxSize: BYTES_MAX,
    maxEntrySize: DOCUMENT_BYTES_MAX,
    sizeCalculation: ({ bytes }) => bytes.length,
  });
  return {
    /** Returns the record of a document whose MAC was right, if these are its bytes. */
    find(noun: NounName, key: RecordKey, bytes: Uint8Array): object | undefined {
      const id = idOf(bytes);
      const known = id === undefined ? undefined : remembered.get(id);
      return known && known.noun === noun && known.key === key && isEqual(known.bytes, bytes) ? known.record : undefined;
    },

    /** Freezes a record, and remembers it. The MAC of its document must have been right. */
    add(noun: NounName, key: RecordKey, bytes: Uint8Array, record: object): void {
      freeze(record);
      const id = idOf(bytes);
      // The bytes are a part of the whole reply of the database, and Node's small buffers share memory with others: so they are copied.
      if (id !== undefined) remembered.set(id, { noun, key, bytes: new Uint8Array(bytes), record });
    },
  };
}

/** The beginning of a document whose first field is an id of 24 digits, after its length: the type, the name and the length of a BSON string. */
const ID_FIRST = Buffer.from('\u0002_id\u0000\u0019\u0000\u0000\u0000', 'latin1');
const ID_START = 4 + ID_FIRST.length;

/** Returns the id of a document from its bytes, without decoding it. Undefined if it does not begin with an id: a database puts the id first. */
function idOf(bytes: Uint8Array): string | undefined {
  if (bytes.length < ID_START + 24) return undefined;
  for (let index = 0; index < ID_FIRST.length; index++) if (bytes[4 + index] !== ID_FIRST[index]) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset + ID_START, 24).toString('latin1');
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Freezes an object and everything in it. */
function freeze(value: object): void {
  Object.freeze(value);
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null && !(inner instanceof Date)) freeze(inner);
}
