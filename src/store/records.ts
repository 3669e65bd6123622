import type { Model } from 'mongoose';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import type { Filter } from './filter.ts';
import { type LookupOptions, lookupKeysIn } from './lookup-keys.ts';
import type { BaseRecord, Stored } from './record.ts';
import { recordCollection } from './record-collection.ts';
import { recordCounts } from './record-counts.ts';
import { type DocumentOptions, recordDocuments } from './record-documents.ts';
import { type EventOptions, recordEvents } from './record-events.ts';
import { recordNotes } from './record-notes.ts';
import { recordReads, unhiddenReads } from './record-reads.ts';
import { recordRemoval } from './record-removal.ts';
import { recordVerification } from './record-verification.ts';
import { recordWrites, type WriteOptions } from './record-writes.ts';
import { type SelectionOptions, selections } from './selection.ts';
import { wholeListsIn } from './whole-lists.ts';

export { type Actor, viewerKinds } from './actor.ts';
export type { Filter } from './filter.ts';
export { newId } from './ids.ts';
export type { Page, PageOf, PageRequest, PageStart } from './page.ts';
export { EXAMINED_MAX } from './page-reads.ts';
export { union } from './pipelines.ts';
export {
  addLookupIndex,
  type BaseRecord,
  baseFields,
  type Change,
  isId,
  lookupFields,
  type RecordOf,
  recordSchema,
} from './record.ts';
export type { Count, SomeIds } from './record-counts.ts';

/** Reads and writes the records of one noun, within an extent only. */
export type RecordStore<R extends BaseRecord> = ReturnType<ReturnType<typeof recordStore<R>>>;

/** The functions that read records. */
export type RecordReads<R extends BaseRecord> = Pick<RecordStore<R>, 'all' | 'allOf' | 'byIds' | 'one' | 'page' | 'pages'>;

/** What distinguishes the records of one noun. Each part of the store describes what it needs. */
interface RecordStoreOptions<R extends BaseRecord>
  extends SelectionOptions<R>,
    DocumentOptions<R>,
    LookupOptions<R>,
    EventOptions<R>,
    WriteOptions<R> {}

/**
 * Returns a function that creates the store of one noun's records for an extent. It connects the parts, each of which has a file:
 *
 * - `filter.ts` and `selection.ts` make conditions of filters. Every query begins with those of the extent.
 * - `record-documents.ts` makes records of documents. Every record is stored with a MAC, and every read verifies it.
 * - `record-reads.ts` reads, with `page-reads.ts` and `whole-lists.ts` for pages; `record-counts.ts` counts.
 * - `record-writes.ts` inserts and changes; `record-removal.ts` deletes; `record-notes.ts` writes what the MAC does not cover; `record-events.ts` tells
 *   what happened.
 * - `lookup-keys.ts` keeps the derived keys; `record-verification.ts` checks everything that is stored.
 *
 * A record that does not verify is refused, so no rule can be based on it. Only the reads in `evenAltered` return it, for display and deletion,
 * and not to a limited viewer: nothing proves that it belongs to this viewer.
 */
export function recordStore<R extends BaseRecord>(database: Database, model: Model<Stored<R>>, options: RecordStoreOptions<R>) {
  const collection = recordCollection(database, model);
  const selectionWithin = selections(options);
  const documentsWithin = recordDocuments(options);
  const lookupKeysWithin = lookupKeysIn(collection, options);
  const wholeListsWithin = wholeListsIn<R>(collection);
  const events = recordEvents(options);
  const writesWithin = recordWrites(collection, events, options);

  return (extent: Extent) => {
    const selection = selectionWithin(extent);
    const documents = documentsWithin(selection);
    const lookupKeys = lookupKeysWithin(selection, documents);
    const wholeLists = wholeListsWithin(selection, documents);
    const reads = recordReads(collection, selection, documents, lookupKeys, wholeLists);
    return {
      wholeLists,
      /**
       * Returns a function that returns whether a record that is intact is in the list of a filter, by the rule that reads follow. Globs, times and
       * searches are left to the database.
       */
      wanted: (filter: Filter<R>) => selection.wanted(filter),
      /** The same reads for display and deletion: altered records are returned, marked with `isAltered`. */
      evenAltered: reads('shown'),
      /** @throws AlteredRecordError when a record that was found is altered */
      ...reads('refused'),
      ...translatingErrors(unhiddenReads(collection, selection, documents)),
      ...translatingErrors(recordCounts(collection, selection, lookupKeys)),
      ...translatingErrors(writesWithin(selection, documents, lookupKeys)),
      ...translatingErrors(recordRemoval(collection, events, selection, documents)),
      ...translatingErrors(recordNotes(collection, events, selection, documents)),
      ...translatingErrors(recordVerification(collection, selection, documents)),
      ...translatingErrors({ completeKeys: lookupKeys.completeKeys }),
    };
  };
}
