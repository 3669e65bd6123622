import { randomUUID } from 'node:crypto';
import { Int32 } from 'bson';
import { type Doc, decode, encode, encodeStored, show, type Value } from './bson.ts';
import { CommandError } from './errors.ts';
import { emptyArray, encodeKey, type KeyPart, maxKeyBytes } from './keys.ts';
import { keyParts } from './paths.ts';
import { type Filter, matches, parseFilter } from './query.ts';
import type { View } from './store.ts';

/**
 * Which collections and indexes there are, and the keys that documents have in them. Every LMDB key begins with four bytes: one of the
 * spaces below, or the id of a collection or index. Ids are never used twice.
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
  sparse: boolean;
  partial: Filter | undefined;
  /** The index as listIndexes gives it. */
  specification: Doc;
  /** For each field, whether some document has had an array on its path. Never taken back. */
  multikey: boolean[];
}

export interface Collection {
  id: number;
  namespace: string;
  uuid: string;
  indexes: Index[];
  nextRecord: number;
}

export class Catalog {
  readonly collections = new Map<string, Collection>();
  private nextId = firstId;

  newId(): number {
    return this.nextId++;
  }

  /** Reads the catalog again, at the start and when a commit has failed. */
  load(view: View): void {
    this.collections.clear();
    for (const { key, value } of view.range(keyIn(spaces.collections), keyIn(spaces.collections + 1))) {
      const collection = readCollection(key.toString('utf8', 4), decode(value));
      for (const index of collection.indexes) {
        index.multikey = index.fields.map((_, i) => view.get(multikeyKey(index, i)) !== undefined);
      }
      const [last] = view.page(keyIn(collection.id), keyIn(collection.id + 1), true, 1);
      collection.nextRecord = last ? Number(last.key.readBigUInt64BE(4)) + 1 : 1;
      this.collections.set(collection.namespace, collection);
      for (const { id } of [collection, ...collection.indexes]) this.nextId = Math.max(this.nextId, id + 1);
    }
  }
}

function readCollection(namespace: string, stored: Doc): Collection {
  return {
    id: Number(stored.get('id')),
    namespace,
    uuid: stored.get('uuid') as string,
    indexes: (stored.get('indexes') as Doc[]).map((index) => readIndex(Number(index.get('id')), index.get('specification') as Doc)),
    nextRecord: 1,
  };
}

function readIndex(id: number, specification: Doc): Index {
  const partial = specification.get('partialFilterExpression');
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
    sparse: specification.get('sparse') === true,
    partial: partial === undefined ? undefined : parseFilter(partial as Doc),
    specification,
    multikey: fields.map(() => false),
  };
}

function specificationOf(key: Doc, name: string, options: [string, Value][] = []): Doc {
  return new Map<string, Value>([['v', new Int32(2)], ['key', key], ['name', name], ...options]);
}

/** Makes a collection with its `_id_` index. */
export function createCollection(view: View, namespace: string): Collection {
  checkNamespace(namespace);
  const { catalog } = view.store;
  const collection: Collection = {
    id: catalog.newId(),
    namespace,
    uuid: randomUUID(),
    indexes: [readIndex(catalog.newId(), specificationOf(new Map([['_id', new Int32(1)]]), '_id_'))],
    nextRecord: 1,
  };
  saveCollection(view, collection);
  return collection;
}

function checkNamespace(namespace: string): void {
  const dot = namespace.indexOf('.');
  const [database, name] = [namespace.slice(0, dot), namespace.slice(dot + 1)];
  const wrong =
    !/^[^\0/\\. "$*<>:|?]{1,63}$/.test(database) ||
    !name ||
    /[\0$]/.test(name) ||
    /^\.|^system\.|\.$/.test(name) ||
    Buffer.byteLength(namespace) > 255;
  if (wrong) throw new CommandError(73, `Invalid namespace specified '${namespace}'`);
}

/** Writes a collection's entry in the catalog. Other views see it when the statement or transaction ends. */
function saveCollection(view: View, collection: Collection): void {
  const indexes = collection.indexes.map(
    ({ id, specification }) =>
      new Map<string, Value>([
        ['id', new Int32(id)],
        ['specification', specification],
      ]),
  );
  const stored: Doc = new Map<string, Value>([
    ['id', new Int32(collection.id)],
    ['uuid', collection.uuid],
    ['indexes', indexes],
  ]);
  view.put(keyIn(spaces.collections, Buffer.from(collection.namespace)), encode(stored));
  view.catalogChanges.set(collection.namespace, collection);
}

/** Removes a collection with its documents and indexes. */
export function dropCollection(view: View, collection: Collection): void {
  waitForWriters(view, collection);
  for (const { id } of [collection, ...collection.indexes]) removeAll(view, id);
  for (const index of collection.indexes) forgetMultikey(view, index);
  view.remove(keyIn(spaces.collections, Buffer.from(collection.namespace)));
  view.catalogChanges.set(collection.namespace, null);
}

/** Adds an index and the keys of the documents there are. Throws when they break its uniqueness. */
export function createIndex(view: View, collection: Collection, specification: Doc): Collection {
  waitForWriters(view, collection);
  const index = readIndex(view.store.catalog.newId(), specification);
  for (const { key, value } of view.range(keyIn(collection.id), keyIn(collection.id + 1))) {
    const record = key.subarray(4);
    for (const added of entriesOf(view, index, decode(value))) addEntry(view, collection, index, added, record);
  }
  const changed = { ...collection, indexes: [...collection.indexes, index] };
  saveCollection(view, changed);
  return changed;
}

/** Removes an index and its keys. */
export function dropIndex(view: View, collection: Collection, index: Index): Collection {
  waitForWriters(view, collection);
  removeAll(view, index.id);
  forgetMultikey(view, index);
  const changed = { ...collection, indexes: collection.indexes.filter((other) => other !== index) };
  saveCollection(view, changed);
  return changed;
}

function removeAll(view: View, id: number): void {
  for (const { key } of view.range(keyIn(id), keyIn(id + 1))) view.remove(key);
}

function forgetMultikey(view: View, index: Index): void {
  index.fields.forEach((_, i) => {
    if (index.multikey[i]) view.remove(multikeyKey(index, i));
  });
}

/** A change of the catalog waits until no transaction holds uncommitted documents of the collection. */
function waitForWriters(view: View, collection: Collection): void {
  for (const transaction of view.store.transactions) if (transaction.wroteUnder(keyIn(collection.id))) view.waitFor(transaction);
}

function multikeyKey(index: Index, field: number): Buffer {
  return keyIn(spaces.multikey, keyIn(index.id), Buffer.from([field]));
}

export function recordKey(collection: Collection, record: Uint8Array): Buffer {
  return keyIn(collection.id, record);
}

interface IndexEntry {
  /** The encoded values, without prefix and record. */
  fields: Buffer;
  parts: KeyPart[];
}

/** The keys a document has in an index; none when the index leaves the document out. */
export function entriesOf(view: View, index: Index, doc: Doc): IndexEntry[] {
  if (index.partial && !matches(index.partial, doc)) return [];
  const entries = new Map<string, IndexEntry>();
  const all = keyParts(
    doc,
    index.fields.map((field) => field.parts),
    (field) => {
      if (index.multikey[field]) return;
      // Set at once, for everybody, and kept when the statement is taken back: an index wrongly called multikey is only used with more care.
      index.multikey[field] = true;
      view.store.flags.push(multikeyKey(index, field));
    },
  );
  const descending = index.fields.map((field) => field.descending);
  for (const parts of all) {
    if (index.sparse && parts.every((part) => part === undefined)) continue;
    const fields = encodeKey(parts, descending);
    if (fields.length > maxKeyBytes) {
      throw new CommandError(
        17280,
        `Index key too large for index ${index.name}: ${fields.length} bytes, the embedded database allows ${maxKeyBytes}`,
      );
    }
    entries.set(fields.toString('latin1'), { fields, parts });
  }
  return [...entries.values()];
}

const present = Buffer.from([1]);

function addEntry(view: View, collection: Collection, index: Index, entry: IndexEntry, record: Buffer): void {
  const key = keyOf(index, entry, record);
  const holder = index.unique ? view.get(key) : undefined;
  if (holder && !holder.equals(record)) throw duplicateKey(collection, index, entry);
  view.put(key, index.unique ? record : present);
}

/** A unique index has the record as its value, any other at the end of its key. */
function keyOf(index: Index, entry: IndexEntry, record: Buffer): Buffer {
  return index.unique ? keyIn(index.id, entry.fields) : keyIn(index.id, entry.fields, record);
}

function duplicateKey(collection: Collection, index: Index, entry: IndexEntry): CommandError {
  const values = new Map(
    index.fields.map(({ path }, i) => [path, entry.parts[i] === emptyArray ? null : ((entry.parts[i] as Value) ?? null)]),
  );
  const message = `E11000 duplicate key error collection: ${collection.namespace} index: ${index.name} dup key: ${show(values)}`;
  return new CommandError(11000, message, { keyPattern: index.specification.get('key'), keyValue: values });
}

/** Stores a new document. The `_id` comes first, and is made when there is none. */
export function insertDocument(view: View, collection: Collection, doc: Doc): void {
  const record = Buffer.alloc(8);
  record.writeBigUInt64BE(BigInt(collection.nextRecord++));
  replaceDocument(view, collection, record, undefined, doc, encodeStored(doc));
}

/** Puts a document in the place of another (or of none), and mends the indexes. Either all of it happens or an error is thrown. */
export function replaceDocument(
  view: View,
  collection: Collection,
  record: Buffer,
  old: Doc | undefined,
  doc: Doc | undefined,
  bytes: Buffer,
): void {
  const changes = collection.indexes.map((index) => {
    const before = old ? entriesOf(view, index, old) : [];
    const now = doc ? entriesOf(view, index, doc) : [];
    const added = now.filter((entry) => !before.some((other) => other.fields.equals(entry.fields)));
    const removed = before.filter((entry) => !now.some((other) => other.fields.equals(entry.fields)));
    if (index.unique) {
      for (const entry of added) if (view.get(keyIn(index.id, entry.fields))) throw duplicateKey(collection, index, entry);
    }
    return { index, added, removed };
  });
  if (doc) view.put(recordKey(collection, record), bytes);
  else view.remove(recordKey(collection, record));
  for (const { index, added, removed } of changes) {
    for (const entry of removed) view.remove(keyOf(index, entry, record));
    for (const entry of added) addEntry(view, collection, index, entry, record);
  }
}
