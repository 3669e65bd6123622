import { nounTable } from '../access/nouns.ts';
import type { Happening } from './event-forms.ts';
import type { Filter } from './filter.ts';
import { type BaseRecord, type Document, isId } from './record.ts';
import { IDS_AT_ONCE, type RecordCollection } from './record-collection.ts';
import type { Documents } from './record-documents.ts';
import type { RecordEvents } from './record-events.ts';
import type { Selection } from './selection.ts';
import { countedBytes, sumOfBytes } from './sizes.ts';

/** Returns the function that deletes records, after it has noted with what they were that they are deleted. */
export function recordRemoval<R extends BaseRecord>(
  { database, name: collectionName, driver, model }: RecordCollection,
  { outbox, eventOf }: RecordEvents<R>,
  { extent: { organizationId }, written }: Selection<R>,
  { noun, toRecord, recordKey, isIntact, shownAltered }: Documents<R>,
) {
  /**
   * Notes the deletion of records, with what they were, before they are deleted. Returns the sum of their sizes. They are read one after the other,
   * because there can be many.
   */
  async function noteDeletion(filter: Filter<R>): Promise<number> {
    const key = await recordKey().catch(() => null);
    const all: Happening[] = [];
    let bytes = 0;
    for await (const document of driver.find(written(filter), {
      batchSize: IDS_AT_ONCE,
      ...database.session(),
    }) as AsyncIterable<Document>) {
      bytes += countedBytes(document.bytes);
      // Only such an object has a global id. Whatever somebody else has written there is no text of an event.
      if (!isId(document._id)) continue;
      const isProven = key !== null && isIntact(key, document);
      all.push(eventOf('DELETED', isProven ? toRecord(document) : shownAltered({ _id: document._id })));
    }
    await outbox!.note(organizationId, all);
    return bytes;
  }

  return {
    /** Deletes all matching records, including those that reads hide. */
    async remove(filter: Filter<R>): Promise<number> {
      if (nounTable[noun].storedLimit === null) return (await model.deleteMany(written(filter))).deletedCount;
      const bytes = outbox && !outbox.isSilent() ? await noteDeletion(filter) : await sumOfBytes(model, written(filter));
      const { deletedCount } = await model.deleteMany(written(filter));
      if (deletedCount > 0) await database.account(organizationId, { [collectionName]: -deletedCount, bytes: -bytes });
      return deletedCount;
    },
  };
}
