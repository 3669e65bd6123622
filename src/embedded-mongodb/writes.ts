import { ObjectId } from 'bson';
import { type Doc, encode, isDoc, show, typeOf, type Value } from './bson.ts';
import type { Collection } from './catalog.ts';
import { createCollection, insertDocument, replaceDocument } from './documents.ts';
import { CommandError } from './errors.ts';
import { equal } from './keys.ts';
import { fieldOf } from './paths.ts';
import { conjuncts, type Filter } from './query.ts';
import type { Row } from './scan.ts';
import type { View } from './storage.ts';
import type { Change } from './update.ts';

/** The changes that insert, update, delete and findAndModify make to one document. */

/** Returns the collection of a write. Creates it if it does not exist. */
export function collectionFor(view: View, namespace: string): Collection {
  return view.collection(namespace) ?? createCollection(view, namespace);
}

/** Inserts a document like MongoDB: with `_id` as the first field, generated if missing. */
export function insertOne(view: View, collection: Collection, doc: Doc): Doc {
  const id = doc.has('_id') ? doc.get('_id')! : new ObjectId();
  checkId(id);
  const stored: Doc = new Map([['_id', id], ...doc]);
  insertDocument(view, collection, stored);
  return stored;
}

function checkId(id: Value): void {
  if (Array.isArray(id) || typeOf(id) === 'regex') throw new CommandError(53, `The '_id' value cannot be of type ${typeOf(id)}`);
  const dollar = isDoc(id) && [...id.keys()].find((name) => name.startsWith('$'));
  if (dollar) throw new CommandError(52, `_id fields may not contain '$'-prefixed fields: ${dollar} is not valid for storage.`);
}

/** Applies a change to a stored document. Returns the new document, and whether it differs. */
export function updateRow(view: View, collection: Collection, row: Row, change: Change): { doc: Doc; isModified: boolean } {
  const doc = change(row.doc, false);
  checkSameId(doc, row.doc.get('_id')!);
  if (encode(doc).equals(row.bytes)) return { doc, isModified: false };
  replaceDocument(view, collection, row.record, row.doc, doc);
  return { doc, isModified: true };
}

/** Inserts the document of an upsert: the fields that the query requires to be equal, then the change. */
export function upsert(view: View, collection: Collection, filter: Filter, change: Change): Doc {
  const seed: Doc = new Map();
  for (const { path, operand } of conjuncts(filter).filter(({ op }) => op === 'eq')) {
    if (seed.has(path)) throw new CommandError(54, `cannot infer query fields to set, path '${path}' is matched twice`);
    seed.set(fieldOf(path), operand);
  }
  const doc = change(seed, true);
  if (seed.has('_id')) checkSameId(doc, seed.get('_id')!);
  return insertOne(view, collection, doc);
}

function checkSameId(doc: Doc, id: Value): void {
  const now = doc.get('_id');
  if (now !== undefined && equal(now, id) && typeOf(now) === typeOf(id)) return;
  throw new CommandError(66, `Performing an update on the path '_id' would modify the immutable field '_id' to _id: ${show(now)}`);
}

export function removeRow(view: View, collection: Collection, row: Row): void {
  replaceDocument(view, collection, row.record, row.doc, undefined);
}
