import type { Doc, Value } from './bson.ts';
import { type Command, type Context, namespaceOf, writeCommand } from './command.ts';
import { CommandError, failedToParse, invalidOptions } from './errors.ts';
import { parseProjection, type Selection, select } from './find.ts';
import { type Parsed, parseOptions, required } from './options.ts';
import { parseFilter } from './query.ts';
import { selectionOf } from './read-commands.ts';
import { pause, type Row } from './scan.ts';
import type { View } from './storage.ts';
import { type Change, isReplacement, parseChange } from './update.ts';
import { maxBatch, type Reply } from './wire.ts';
import { collectionFor, insertOne, removeRow, updateRow, upsert } from './writes.ts';

const maxErrorBytes = 2 ** 20;

/** Runs the statements of a bulk write and reports their errors. An error ends the bulk write if it is ordered or in a transaction. */
function bulk<T>(
  { transaction }: Context,
  parts: T[],
  ordered: boolean | undefined,
  apply: (part: T, index: number) => void,
): { writeErrors?: Reply[] } {
  if (!parts.length || parts.length > maxBatch) {
    throw new CommandError(16, `Write batch sizes must be between 1 and ${maxBatch}. Got ${parts.length} operations.`);
  }
  const writeErrors: Reply[] = [];
  let bytes = 0;
  for (const [index, part] of parts.entries()) {
    try {
      apply(part, index);
    } catch (error) {
      // An error that requires a retry of the whole command is not an error of one statement.
      if (!(error instanceof CommandError) || error.labels.length || error.code === 50) throw error;
      // Like MongoDB, so that the reply does not become too large.
      const { code, message, details } = error;
      bytes += message.length;
      writeErrors.push(bytes > maxErrorBytes ? { index, code, errmsg: '' } : { index, code, errmsg: message, ...details });
      if (transaction || (ordered ?? true)) break;
    }
  }
  return writeErrors.length ? { writeErrors } : {};
}

/** Returns the documents that a write affects. All of them are read before any is written, without a pause. */
function rowsOf(context: Context, view: View, namespace: string, selection: Selection): Row[] {
  const rows: Row[] = [];
  for (const row of select(view, view.collection(namespace), selection, context.examined)) if (row !== pause) rows.push(row);
  return rows;
}

const updateOptions = { q: 'doc', u: 'docOrArray', multi: 'bool', upsert: 'bool' } as const;

/** The result of one update statement: the numbers of matched and of modified documents, and the id of an inserted one. */
interface Updated {
  n: number;
  nModified: number;
  upserted?: Value;
}

function updatePart(context: Context, view: View, namespace: string, part: Parsed<typeof updateOptions>): Updated {
  const { q, u, multi, upsert: mayInsert } = part;
  const filter = parseFilter(required(q, 'update.updates.q'));
  const change = parseChange(u);
  if (multi && context.isRetryable) throw invalidOptions('Cannot use (or request) retryable writes with multi=true');
  if (multi && isReplacement(u as Doc)) throw failedToParse('multi update is not supported for replacement-style update');
  const rows = rowsOf(context, view, namespace, { filter, sort: [], limit: multi ? 0 : 1 });
  if (!rows.length && mayInsert) {
    return { n: 1, nModified: 0, upserted: upsert(view, collectionFor(view, namespace), filter, change).get('_id')! };
  }
  let nModified = 0;
  for (const row of rows) if (updateRow(view, view.collection(namespace)!, row, change).isModified) nModified++;
  return { n: rows.length, nModified };
}

const deleteOptions = { q: 'doc', limit: 'int' } as const;

function deletePart(context: Context, view: View, namespace: string, { q, limit }: Parsed<typeof deleteOptions>): number {
  if (limit !== 0 && limit !== 1) throw failedToParse(`The limit field in delete objects must be 0 or 1. Got ${limit}`);
  if (limit === 0 && context.isRetryable) throw invalidOptions('Cannot use (or request) retryable writes with limit=0');
  const rows = rowsOf(context, view, namespace, { filter: parseFilter(required(q, 'delete.deletes.q')), sort: [], limit });
  for (const row of rows) removeRow(view, view.collection(namespace)!, row);
  return rows.length;
}

const findAndModifyOptions = {
  findAndModify: 'string',
  query: 'doc',
  sort: 'doc',
  fields: 'doc',
  remove: 'bool',
  update: 'docOrArray',
  new: 'bool',
  upsert: 'bool',
} as const;

const findAndModify = writeCommand(
  'findAndModify',
  findAndModifyOptions,
  (context, { findAndModify: name, query = new Map(), sort, fields, remove, update, new: returnsNew, upsert: mayInsert }) => {
    const namespace = namespaceOf(context, name);
    if (remove ? update || mayInsert || returnsNew : !update) {
      throw failedToParse("either an 'update' or 'remove'=true must be specified, and neither 'new' nor 'upsert' with 'remove'");
    }
    const selection = { ...selectionOf({ filter: query, ...(sort && { sort }) }), limit: 1 };
    const change: Change | undefined = update && parseChange(update);
    const project = fields?.size ? parseProjection(fields) : (doc: Doc) => doc;
    return context.write((view) => {
      const [row] = rowsOf(context, view, namespace, selection);
      if (!row && !mayInsert) return { lastErrorObject: { n: 0, ...(change && { updatedExisting: false }) }, value: null };
      if (!row) {
        const made = upsert(view, collectionFor(view, namespace), selection.filter, change!);
        const lastErrorObject = { n: 1, updatedExisting: false, upserted: made.get('_id') };
        return { lastErrorObject, value: returnsNew ? project(made) : null };
      }
      const collection = view.collection(namespace)!;
      if (!change) {
        removeRow(view, collection, row);
        return { lastErrorObject: { n: 1 }, value: project(row.doc) };
      }
      const { doc } = updateRow(view, collection, row, change);
      return { lastErrorObject: { n: 1, updatedExisting: true }, value: project(returnsNew ? doc : row.doc) };
    });
  },
);

export const writeCommands: [string, Command][] = [
  writeCommand('insert', { insert: 'string', documents: 'docs', ordered: 'bool' }, (context, { insert, documents, ordered }) => {
    const namespace = namespaceOf(context, insert);
    return context.write((view) => {
      const collection = collectionFor(view, namespace);
      let n = 0;
      const errors = bulk(context, required(documents, 'insert.documents'), ordered, (document) => {
        insertOne(view, collection, document);
        n++;
      });
      return { n, ...errors };
    });
  }),
  writeCommand('update', { update: 'string', updates: 'docs', ordered: 'bool' }, (context, { update, updates, ordered }) => {
    const namespace = namespaceOf(context, update);
    const parts = required(updates, 'update.updates').map((part) => parseOptions('update.updates', part, updateOptions));
    return context.write((view) => {
      let [n, nModified] = [0, 0];
      const upserted: Reply[] = [];
      const errors = bulk(context, parts, ordered, (part, index) => {
        const done = updatePart(context, view, namespace, part);
        n += done.n;
        nModified += done.nModified;
        if (done.upserted !== undefined) upserted.push({ index, _id: done.upserted });
      });
      return { n, nModified, ...(upserted.length && { upserted }), ...errors };
    });
  }),
  writeCommand('delete', { delete: 'string', deletes: 'docs', ordered: 'bool' }, (context, { delete: name, deletes, ordered }) => {
    const namespace = namespaceOf(context, name);
    const parts = required(deletes, 'delete.deletes').map((part) => parseOptions('delete.deletes', part, deleteOptions));
    return context.write((view) => {
      let n = 0;
      const errors = bulk(context, parts, ordered, (part) => {
        n += deletePart(context, view, namespace, part);
      });
      return { n, ...errors };
    });
  }),
  findAndModify,
];
