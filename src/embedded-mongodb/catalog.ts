import { type Doc, decode } from './bson.ts';
import { type Filter, parseFilter } from './query.ts';

/**
 * The catalog of collections and indexes. Every LMDB key begins with four bytes: one of the spaces below, or the id of a collection or
 * index. Ids are never reused.
 */
export const spaces = { meta: 0, collections: 1, multikey: 2, sessions: 3 };
const firstId = 16;

export function keyIn(space: number, ...rest: Uint8Array[]): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(space);
  return Buffer.concat([prefix, ...rest]);
}

export interface Index {
  id: number;
  name: string;
  fields: { path: string; parts: string[]; descending: boolean }[];
  unique: boolean;
  /** The filter of a partial index. If undefined, the index contains all documents. */
  partial: Filter | undefined;
  /** The index in the form of listIndexes. */
  specification: Doc;
  /** For each field, whether any document has ever had an array on its path. Never reset. */
  multikey: boolean[];
}

export interface Collection {
  id: number;
  namespace: string;
  indexes: Index[];
  nextRecord: number;
}

/** The storage that a catalog is read from. */
interface Reader {
  get(key: Buffer): Buffer | undefined;
  range(start: Buffer, end: Buffer, reverse?: boolean): Iterable<{ key: Buffer; value: Buffer }>;
}

export class Catalog {
  readonly collections = new Map<string, Collection>();
  private nextId = firstId;

  newId(): number {
    return this.nextId++;
  }

  /** Reads the catalog, at the start and after a failed commit. */
  load(reader: Reader): void {
    this.collections.clear();
    for (const { key, value } of reader.range(keyIn(spaces.collections), keyIn(spaces.collections + 1))) {
      const collection = readCollection(key.toString('utf8', 4), decode(value));
      for (const index of collection.indexes) index.multikey = index.fields.map((_, i) => reader.get(multikeyKey(index, i)) !== undefined);
      for (const last of reader.range(keyIn(collection.id), keyIn(collection.id + 1), true)) {
        collection.nextRecord = Number(last.key.readBigUInt64BE(4)) + 1;
        break;
      }
      this.collections.set(collection.namespace, collection);
      this.nextId = Math.max(this.nextId, ...[collection, ...collection.indexes].map(({ id }) => id + 1));
    }
  }
}

function readCollection(namespace: string, stored: Doc): Collection {
  return {
    id: Number(stored.get('id')),
    namespace,
    indexes: (stored.get('indexes') as Doc[]).map((index) => readIndex(Number(index.get('id')), index.get('specification') as Doc)),
    nextRecord: 1,
  };
}

/** Encodes the catalog entry of a collection. */
export function storedCollection({ id, indexes }: Collection): Record<string, unknown> {
  return { id, indexes: indexes.map((index) => ({ id: index.id, specification: index.specification })) };
}

export function readIndex(id: number, specification: Doc): Index {
  const partial = specification.get('partialFilterExpression') as Doc | undefined;
  const fields = [...(specification.get('key') as Doc)].map(([path, direction]) => ({
    path,
    parts: path.split('.'),
    descending: Number(direction) < 0,
  }));
  return {
    id,
    name: specification.get('name') as string,
    fields,
    unique: specification.get('unique') === true || specification.get('name') === '_id_',
    partial: partial && parseFilter(partial),
    specification,
    multikey: fields.map(() => false),
  };
}

export function multikeyKey(index: Index, field: number): Buffer {
  return keyIn(spaces.multikey, keyIn(index.id), Buffer.from([field]));
}

export function recordKey(collection: Collection, record: Uint8Array): Buffer {
  return keyIn(collection.id, record);
}
