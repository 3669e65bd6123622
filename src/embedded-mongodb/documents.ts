import { type Doc, decode, encode, encodeStored, show, type Value } from './bson.ts';
import { type Collection, type Index, keyIn, multikeyKey, readIndex, recordKey, spaces, storedCollection } from './catalog.ts';
import { CommandError } from './errors.ts';
import { after, emptyArray, encodeKey, type KeyPart, maxKeyBytes } from './keys.ts';
import { keyParts } from './paths.ts';
import { matches } from './query.ts';
import { Locked, type View } from './storage.ts';

/** Writes collections, indexes and documents, and computes the keys of documents in indexes. */

/** Creates a collection with its `_id_` index. */
export function createCollection(view: View, namespace: string): Collection {
  checkNamespace(namespace);
  const { catalog } = view.storage;
  const collection = { id: catalog.newId(), namespace, indexes: [], nextRecord: 1 };
  return createIndex(view, collection, { v: 2, key: { _id: 1 }, name: '_id_' });
}

function checkNamespace(namespace: string): void {
  const isValid = /^[^\0/\\. "$*<>:|?]{1,63}\.(?!system\.|\.)[^\0$]*[^\0$.]$/.test(namespace);
  if (!isValid || Buffer.byteLength(namespace) > 255) throw new CommandError(73, `Invalid namespace specified '${namespace}'`);
}

/** Writes the catalog entry of a collection. Other views see it after the statement or transaction ends. */
function saveCollection(view: View, collection: Collection): Collection {
  view.put(keyIn(spaces.collections, Buffer.from(collection.namespace)), encode(storedCollection(collection)));
  view.catalogChanges.set(collection.namespace, collection);
  return collection;
}

/** Drops a collection with its documents and indexes. */
export function dropCollection(view: View, collection: Collection): void {
  waitForWriters(view, collection);
  for (const { id } of [collection, ...collection.indexes]) {
    for (const space of [keyIn(id), keyIn(spaces.multikey, keyIn(id))]) {
      for (const { key } of view.range(space, after(space))) view.remove(key);
    }
  }
  view.remove(keyIn(spaces.collections, Buffer.from(collection.namespace)));
  view.catalogChanges.set(collection.namespace, null);
}

/** Creates an index with the keys of all existing documents. Throws when they violate its uniqueness. */
export function createIndex(view: View, collection: Collection, specification: object): Collection {
  waitForWriters(view, collection);
  const index = readIndex(view.storage.catalog.newId(), decode(encode(specification as Record<string, unknown>)));
  for (const { key, value } of view.range(keyIn(collection.id), keyIn(collection.id + 1))) {
    for (const entry of entriesOf(view, index, decode(value))) {
      if (isTaken(view, index, entry)) throw duplicateKey(collection, index, entry);
      addEntry(view, index, entry, key.subarray(4));
    }
  }
  return saveCollection(view, { ...collection, indexes: [...collection.indexes, index] });
}

/** Drops an index with its keys. */
export function dropIndex(view: View, collection: Collection, index: Index): Collection {
  waitForWriters(view, collection);
  for (const space of [keyIn(index.id), keyIn(spaces.multikey, keyIn(index.id))]) {
    for (const { key } of view.range(space, after(space))) view.remove(key);
  }
  return saveCollection(view, { ...collection, indexes: collection.indexes.filter((each) => each !== index) });
}

/** A catalog change waits until no transaction has uncommitted documents of the collection. */
function waitForWriters(view: View, collection: Collection): void {
  for (const transaction of view.storage.transactions) {
    if (transaction !== view && transaction.wroteUnder(keyIn(collection.id))) throw new Locked(transaction);
  }
}

interface IndexEntry {
  /** The encoded values, without prefix and record. */
  fields: Buffer;
  parts: KeyPart[];
}

/** Returns the keys of a document in an index. There are none if the index is partial and excludes the document. */
export function entriesOf(view: View, index: Index, doc: Doc): IndexEntry[] {
  if (index.partial && !matches(index.partial, doc)) return [];
  const paths = index.fields.map((field) => field.parts);
  const descending = index.fields.map((field) => field.descending);
  const entries = keyParts(doc, paths, (field) => markMultikey(view, index, field)).map((parts) => {
    return { fields: encodeKey(parts, descending), parts };
  });
  const tooLong = entries.find(({ fields }) => fields.length > maxKeyBytes);
  if (tooLong) {
    const problem = `Index key too large for index ${index.name}: ${tooLong.fields.length} bytes`;
    throw new CommandError(17280, `${problem}, the embedded database allows ${maxKeyBytes}`);
  }
  // An array can contain a value twice.
  return entries.length < 2 ? entries : [...new Map(entries.map((entry) => [entry.fields.toString('latin1'), entry])).values()];
}

/**
 * Takes effect at once, for all views, even if the statement is rolled back: an index that is wrongly marked as multikey is only less
 * efficient.
 */
function markMultikey(view: View, index: Index, field: number): void {
  if (index.multikey[field]) return;
  index.multikey[field] = true;
  view.storage.flags.push(multikeyKey(index, field));
}

/** A unique index has the record number as its value; any other index has it at the end of its key. */
function keyOf(index: Index, { fields }: IndexEntry, record: Buffer): Buffer {
  return index.unique ? keyIn(index.id, fields) : keyIn(index.id, fields, record);
}

const present = Buffer.from([1]);

function addEntry(view: View, index: Index, entry: IndexEntry, record: Buffer): void {
  view.put(keyOf(index, entry, record), index.unique ? record : present);
}

function isTaken(view: View, index: Index, { fields }: IndexEntry): boolean {
  return index.unique && view.get(keyIn(index.id, fields)) !== undefined;
}

function duplicateKey({ namespace }: Collection, { name, fields, specification }: Index, { parts }: IndexEntry): CommandError {
  const keyValue = new Map(fields.map(({ path }, i) => [path, parts[i] === emptyArray ? null : ((parts[i] as Value) ?? null)]));
  const message = `E11000 duplicate key error collection: ${namespace} index: ${name} dup key: ${show(keyValue)}`;
  return new CommandError(11000, message, { keyPattern: specification.get('key'), keyValue });
}

export function insertDocument(view: View, collection: Collection, doc: Doc): void {
  const record = Buffer.alloc(8);
  record.writeBigUInt64BE(BigInt(collection.nextRecord++));
  replaceDocument(view, collection, record, undefined, doc);
}

/** Inserts, replaces or deletes a document, and updates the indexes. If it throws, it has written nothing. */
export function replaceDocument(view: View, collection: Collection, record: Buffer, old: Doc | undefined, doc: Doc | undefined): void {
  const changes = collection.indexes.map((index) => {
    const before = old ? entriesOf(view, index, old) : [];
    const now = doc ? entriesOf(view, index, doc) : [];
    const isIn = (entries: IndexEntry[]) => (entry: IndexEntry) => entries.some(({ fields }) => fields.equals(entry.fields));
    const added = now.filter((entry) => !isIn(before)(entry));
    const taken = added.find((entry) => isTaken(view, index, entry));
    if (taken) throw duplicateKey(collection, index, taken);
    return { index, added, removed: before.filter((entry) => !isIn(now)(entry)) };
  });
  const bytes = doc && encodeStored(doc);
  if (bytes) view.put(recordKey(collection, record), bytes, old !== undefined);
  else view.remove(recordKey(collection, record));
  for (const { index, added, removed } of changes) {
    for (const entry of removed) view.remove(keyOf(index, entry, record));
    for (const entry of added) addEntry(view, index, entry, record);
  }
}
