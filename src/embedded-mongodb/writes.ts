import { ObjectId, Timestamp } from 'bson';
import { type Doc, encodeStored, isDoc, typeOf, type Value } from './bson.ts';
import { type Collection, createCollection, insertDocument, replaceDocument } from './catalog.ts';
import { CommandError, failedToParse, unsupported } from './errors.ts';
import { type Projection, type Selection, select } from './find.ts';
import { equal } from './keys.ts';
import type { Examined, Row } from './planner.ts';
import type { Filter } from './query.ts';
import type { View } from './store.ts';
import { immutableId, parseReplacement, parseUpdate, type Update } from './update.ts';

/** What the commands insert, update, delete and findAndModify do to a collection. */

/** The collection of a write, made when it is not there. */
export function collectionFor(view: View, namespace: string): Collection {
  return view.collection(namespace) ?? createCollection(view, namespace);
}

/** Inserts a document as MongoDB stores it: `_id` first, made when missing. */
export function insertOne(view: View, collection: Collection, doc: Doc): Doc {
  const id = doc.has('_id') ? doc.get('_id')! : new ObjectId();
  const idType = typeOf(id);
  if (idType === 'array' || idType === 'regex') throw new CommandError(53, `The '_id' value cannot be of type ${idType}`);
  if (isDoc(id))
    for (const name of id.keys())
      if (name.startsWith('$'))
        throw new CommandError(52, `_id fields may not contain '$'-prefixed fields: ${name} is not valid for storage.`);
  for (const value of doc.values()) {
    if (value instanceof Timestamp && value.isZero()) throw unsupported('an empty timestamp, which MongoDB replaces with the current time');
  }
  const stored: Doc = [...doc.keys()][0] === '_id' ? doc : new Map([['_id', id], ...[...doc].filter(([name]) => name !== '_id')]);
  insertDocument(view, collection, stored);
  return stored;
}

export interface Change {
  update: Update | undefined;
  replacement: ((old: Doc | undefined) => Doc) | undefined;
}

/** Reads `u` of an update: a document of operators, or one that replaces. */
export function parseChange(u: Doc | Value[] | undefined, arrayFilters: Doc[] | undefined): Change {
  if (Array.isArray(u)) throw unsupported('an update with an aggregation pipeline');
  if (!u) throw failedToParse('an update needs a document');
  const first = [...u.keys()][0];
  if (first?.startsWith('$')) return { update: parseUpdate(u, arrayFilters), replacement: undefined };
  if (arrayFilters?.length) throw failedToParse('arrayFilters may not be specified for replacement-style updates');
  return { update: undefined, replacement: parseReplacement(u) };
}

/** Applies a change to a stored document; returns what it is now, and whether that is something else. */
export function updateRow(view: View, collection: Collection, row: Row, change: Change): { doc: Doc; modified: boolean } {
  const old = row.doc;
  let doc: Doc;
  if (change.replacement) doc = change.replacement(old);
  else {
    // `row.doc` keeps the old state for the indexes; the copy is the row read once more.
    doc = row.copy();
    change.update!(doc, false);
    const id = doc.get('_id');
    if (id === undefined || !equal(id, old.get('_id')) || typeOf(id) !== typeOf(old.get('_id')!)) throw immutableId(id);
  }
  const bytes = encodeStored(doc);
  if (bytes.equals(row.bytes)) return { doc: old, modified: false };
  replaceDocument(view, collection, row.record, old, doc, bytes);
  return { doc, modified: true };
}

/** Makes the document of an upsert: what the query holds equal, then the change. */
export function upsert(view: View, collection: Collection, filter: Filter, change: Change): Doc {
  const seed = seedOf(filter);
  if (change.replacement) {
    const doc = change.replacement(undefined);
    const id = seed.get('_id');
    if (id !== undefined && doc.has('_id') && !equal(doc.get('_id'), id)) throw immutableId(doc.get('_id'));
    return insertOne(view, collection, id === undefined ? doc : new Map([['_id', id], ...[...doc].filter(([name]) => name !== '_id')]));
  }
  const id = seed.get('_id');
  change.update!(seed, true);
  if (id !== undefined && (!seed.has('_id') || !equal(seed.get('_id'), id))) throw immutableId(seed.get('_id'));
  return insertOne(view, collection, seed);
}

function seedOf(filter: Filter): Doc {
  const seed: Doc = new Map();
  const known: string[] = [];
  const visit = (part: Filter) => {
    if (part.kind === 'and') for (const inner of part.of) visit(inner);
    if (part.kind === 'or' && part.of.length === 1) visit(part.of[0]!);
    if (part.kind !== 'leaf') return;
    const value =
      part.op === 'eq'
        ? part.operand
        : part.op === 'in' && (part.operand as Value[]).length === 1
          ? (part.operand as Value[])[0]
          : undefined;
    if (value === undefined || (part.op === 'in' && typeOf(value) === 'regex')) return;
    for (const path of known) {
      if (path === part.path || path.startsWith(`${part.path}.`) || part.path.startsWith(`${path}.`)) {
        throw new CommandError(54, `cannot infer query fields to set, path '${part.path}' is matched twice`);
      }
    }
    known.push(part.path);
    parseUpdate(new Map([['$set', new Map([[part.path, value]])]]))(seed, true);
  };
  visit(filter);
  return seed;
}

/** The first document of a query, or all, read before anything is written. */
export function rowsFor(view: View, collection: Collection | undefined, selection: Selection, examined: Examined): Row[] {
  return [...select(view, collection, selection, examined).rows];
}

export function removeRow(view: View, collection: Collection, row: Row): void {
  replaceDocument(view, collection, row.record, row.doc, undefined, row.bytes);
}

export function projected(doc: Doc | undefined, projection: Projection | undefined): Doc | null {
  if (!doc) return null;
  return projection ? projection(doc) : doc;
}
