import { randomInt } from 'node:crypto';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { number, optional, tenantSchema, text } from './fields.ts';

/** With 32 writers, 64 slots are met by two at once a fifth as often as 16; more make a parent dearer to make and delete. */
const SLOTS = 64;

/**
 * Keeps a parent that many writers attach to at once (an integration, a connector) from being deleted under them, without making it a hot
 * document. Snapshot isolation lets "exists, so attach" and "empty, so delete" both commit, unless both write one document. Attaching
 * writes one of the parent's slots, taken at random; deleting writes them all. So the two conflict and one runs again, while two that
 * attach seldom meet.
 */
export function slotStore(database: Database) {
  const schema = tenantSchema({ parentId: text(), touches: optional(number()) });
  schema.index({ organizationId: 1, parentId: 1 });
  const model = database.model('Slot', schema, 'slots');
  return ({ organizationId }: Extent) =>
    translatingErrors({
      /** With the parent's insert, in the same transaction. */
      async open(parentId: string): Promise<void> {
        const slots = Array.from({ length: SLOTS }, (_, slot) => ({ _id: `${parentId}.${slot}`, organizationId, parentId, touches: 0 }));
        await model.insertMany(slots);
      },
      /** Before attaching something to the parent. */
      async attach(parentId: string): Promise<void> {
        const touch = { $inc: { touches: 1 } };
        const one = await model.updateOne({ organizationId, _id: `${parentId}.${randomInt(SLOTS)}` }, touch);
        // A parent that was made when there were fewer slots: any of its own.
        if (one.matchedCount === 0) await model.updateOne({ organizationId, parentId }, touch);
      },
      /** Before looking whether the parents are empty, and deleting them. */
      async close(parentIds: readonly string[]): Promise<void> {
        await model.deleteMany({ organizationId, parentId: { $in: parentIds } });
      },
    });
}
