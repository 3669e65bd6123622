import type { Happening } from './event-forms.ts';
import { decoded } from './pipelines.ts';
import type { BaseRecord } from './record.ts';
import { IDS_AT_ONCE, type RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { RecordEvents } from './record-events.ts';
import type { Selection } from './selection.ts';
import { newTouch } from './touch.ts';

/** Returns the functions that write beside the MAC of records: neither their version nor their times change, so they are in nobody's way. */
export function recordNotes<R extends BaseRecord>(
  { database, driver, find }: RecordCollection,
  { outbox, eventOf, othersOf, stateChange }: RecordEvents<R>,
  { extent: { organizationId }, written }: Selection<R>,
  { noun, isCovered, storableOf, toRecord, authenticator }: Documents<R>,
) {
  return {
    /**
     * Writes fields that the MAC does not cover. Neither the version nor the times change, so it is in nobody's way. If what is written follows from
     * other fields, the caller has read the record in the same transaction. `before` is the record that was read, for the events that follow; null if
     * it was altered.
     */
    async annotateAll(
      all: readonly {
        readonly id: string;
        readonly fields: Partial<R>;
        readonly before: R | null;
        readonly also?: readonly Happening[];
      }[],
    ): Promise<void> {
      if (all.length === 0) return;
      const updates = all.map(({ id, fields: values }) => {
        const covered = Object.keys(values).filter(isCovered);
        if (covered.length > 0) throw new TypeError(`The MAC covers ${covered.join(' and ')}.`);
        return { updateOne: { filter: written({ id }), update: { $set: storableOf(values) } } };
      });
      await driver.bulkWrite(updates as never, { ordered: true, ...database.session() });
      await outbox?.note(
        organizationId,
        all.flatMap(({ before, fields: values, also = [] }) => {
          if (before === null) return also;
          const record = { ...before, ...values };
          return [...also, ...othersOf(record, before), ...('state' in values ? stateChange(record, before) : [])];
        }),
      );
    },

    /** Notes what has happened to records without changing them. Call it in a transaction, with records that were read in it. */
    async tell(type: Happening['type'], all: readonly R[]): Promise<void> {
      await outbox?.note(
        organizationId,
        all.map((record) => eventOf(type, record)),
      );
    },

    /** Writes the record without changing it, so that this transaction and one that deletes it cannot both commit. */
    async touch(id: string): Promise<boolean> {
      const result = await driver.updateOne(written({ id }), { $set: { touches: newTouch() } }, database.session());
      return result.matchedCount === 1;
    },

    /** Does the same for many records, with one command. */
    async touchAll(ids: readonly string[]): Promise<void> {
      if (ids.length > 0) await driver.updateMany(written({ id: ids }), { $set: { touches: newTouch() } }, database.session());
    },

    /**
     * Writes when records were last used. Changes neither their version nor their times: only for nouns whose `lastUsedAt` is in `unauthenticated`.
     * Those that were never used before are read, in a transaction, for the event that says so.
     */
    async noteUsed(ids: readonly string[], at: Date): Promise<void> {
      if (isCovered('lastUsedAt')) throw new Error(`The noun ${noun} has no lastUsedAt.`);
      for (let start = 0; start < ids.length; start += IDS_AT_ONCE) {
        const some = written({ id: ids.slice(start, start + IDS_AT_ONCE) });
        await database.transaction(async () => {
          // In the same snapshot: of two copies of the gateway that note the first use at once, one is repeated and finds a time.
          const first = (await find({ ...some, lastUsedAt: null }, 0)).map(decoded).filter(await authenticator());
          await driver.updateMany(some, { $set: { lastUsedAt: at } }, database.session());
          await outbox?.note(
            organizationId,
            first.map((document) => eventOf('FIRST_USED', { ...toRecord(document), lastUsedAt: at } as BaseRecord)),
          );
        });
      }
    },
  };
}
