import { mongo } from 'mongoose';
import { nounTable } from '../access/nouns.ts';
import { AlteredRecordError, ConflictError } from '../errors.ts';
import { both, refuseBeyond } from './extent.ts';
import type { LookupKeys } from './lookup-keys.ts';
import type { BaseRecord, Change, Document } from './record.ts';
import type { RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { RecordEvents } from './record-events.ts';
import type { Selection } from './selection.ts';
import { countedBytes } from './sizes.ts';

/** A smaller change of the size of a record is not counted, in bytes. */
const BYTES_STEP = 256;

export interface WriteOptions<R extends BaseRecord> {
  /**
   * Returns fields that follow from a record that is written, a new one or one that replaces `before`. They are among those that the MAC does not
   * cover.
   */
  readonly derived?: (record: R, before: R | null) => Partial<R>;
}

/** Returns a function that returns, for a selection, the functions that insert and change records. They count what they write, and note its events. */
export function recordWrites<R extends BaseRecord>(
  { database, name: collectionName, driver }: RecordCollection,
  { outbox, eventOf, othersOf, stateChange }: RecordEvents<R>,
  { derived = () => ({}) }: WriteOptions<R>,
) {
  return (
    { extent, written }: Selection<R>,
    { noun, toRecord, storedForm, storableOf, macFor }: Documents<R>,
    { keyed, keysOf }: LookupKeys<R>,
  ) => {
    const { organizationId } = extent;
    const { label, storedLimit } = nounTable[noun];
    const isCounted = storedLimit !== null;

    /** Inserts records with one command, and counts them. Returns their documents, without the bookkeeping. */
    async function insertAll(records: readonly R[]): Promise<readonly Document[]> {
      for (const record of records) refuseBeyond(extent, record);
      const stored = (await keyed(records)).map((record) => storedForm({ ...record, ...derived(record, null) }));
      const sizes = stored.map((document) => mongo.BSON.calculateObjectSize(document));
      const documents = await Promise.all(
        stored.map(async (document, at) => ({ ...document, ...(await macFor(document)), ...(isCounted && { bytes: sizes[at] }) })),
      );
      // Of one document, the driver tells which index has refused it.
      if (documents.length === 1) await driver.insertOne(documents[0]!, database.session());
      else await driver.insertMany(documents, database.session());
      await outbox?.note(
        organizationId,
        records.map((record) => eventOf('CREATED', record)),
      );
      if (!isCounted) return stored;
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      await database.account(organizationId, { [collectionName]: documents.length, bytes });
      const owners = new Set(records.map((record) => ('endUserId' in record ? (record.endUserId as string | null) : null)));
      for (const owner of owners) if (owner !== null) await database.account(organizationId, {}, owner);
      return stored;
    }

    /** Writes changes to a record, with the version that it gets, and who changed it when. */
    async function replace(
      record: R,
      changes: Partial<Omit<R, keyof BaseRecord>>,
      stamp: Pick<R, 'version' | 'updatedAt'> & Partial<Change>,
    ): Promise<R> {
      if (record.isAltered) throw new AlteredRecordError(label);
      const { id, version, ...rest } = record;
      const changed = { ...record, ...changes, ...stamp };
      const following = { ...derived(changed, record), ...(await keysOf(changed)) };
      const set = { ...storableOf({ ...changes, ...following }), ...stamp };
      const merged = { ...rest, _id: id, ...set };
      const mac = await macFor(merged);
      const change = { $set: { ...set, ...mac } };
      const options = { projection: { bytes: 1 }, ...database.session() };
      const old: Document | null = await driver.findOneAndUpdate(both(written({ id }), { version }), change, options);
      if (!old) throw new ConflictError('The object was changed by another request at the same time.', []);
      const bytes = mongo.BSON.calculateObjectSize(merged);
      const grown = bytes - countedBytes(old.bytes);
      if (isCounted && Math.abs(grown) >= BYTES_STEP) {
        await driver.updateOne(written({ id }), { $set: { bytes } }, database.session());
        await database.account(organizationId, { bytes: grown });
      }
      const replaced = { ...record, ...set } as R;
      await outbox?.note(organizationId, [
        ...(stamp.version > version ? [eventOf('UPDATED', replaced)] : []),
        ...othersOf(replaced, record),
        ...stateChange(replaced, record),
      ]);
      return replaced;
    }

    return {
      /** @throws Error when the record is outside the extent */
      async insert(record: R): Promise<R> {
        const [stored] = await insertAll([record]);
        return toRecord(stored!);
      },

      /**
       * Inserts many records with one command.
       * @throws Error when one is outside the extent; TypeError when it has an unknown or a missing field
       */
      async insertAll(records: readonly R[]): Promise<void> {
        if (records.length > 0) await insertAll(records);
      },

      /**
       * Writes the changes if the stored record still has the version of the given one, which must have been read in the same transaction.
       * Returns the changed record. The new MAC covers what was read and the changes: if the stored record has become another in the meantime,
       * it stays altered.
       *
       * @throws ConflictError when the version is another; AlteredRecordError
       */
      update(record: R, changes: Partial<Omit<R, keyof BaseRecord>>, change: Change): Promise<R> {
        return replace(record, changes, { version: record.version + 1, ...change });
      },

      /**
       * Does the same, but neither the version nor `updatedAt` change: for what the gateway does by itself, which must not be in the way of somebody who edits
       * the record. The record must have been read in the same transaction: then one that writes it at the same time conflicts with this one.
       *
       * @throws ConflictError when the version is another; AlteredRecordError
       */
      rewrite(record: R, changes: Partial<Omit<R, keyof BaseRecord>>): Promise<R> {
        database.exempt(organizationId);
        return replace(record, changes, { version: record.version, updatedAt: record.updatedAt });
      },
    };
  };
}
