import { randomInt } from 'node:crypto';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { number, optional, tenantSchema, text } from './fields.ts';
import { newTouch } from './touch.ts';

/** With 32 writers, 64 slots have a fifth of the conflicts of 16 slots. More slots make it more expensive to create and delete a parent. */
const SLOTS = 64;

/**
 * Prevents the deletion of a parent (an integration or a connector) while others attach to it, without a document that all writers contend
 * for. Under snapshot isolation, "it exists, so attach" and "it is empty, so delete" can both commit unless both write the same document.
 * Attaching writes one random slot of the parent; deleting deletes all slots. So attaching and deleting conflict, and one is repeated, while
 * two attaching transactions rarely conflict.
 */
export function slotStore(database: Database) {
  const schema = tenantSchema({ parentId: text(), touches: optional(number()) });
  schema.index({ organizationId: 1, parentId: 1 });
  const model = database.model('Slot', schema, 'slots');
  return ({ organizationId }: Extent) =>
    translatingErrors({
      /** Creates the slots. Call it in the transaction that inserts the parent. */
      async open(parentId: string): Promise<void> {
        const slots = Array.from({ length: SLOTS }, (_, slot) => ({ _id: `${parentId}.${slot}`, organizationId, parentId, touches: 0 }));
        await model.insertMany(slots);
      },
      /** Call it before attaching something to the parent. */
      async attach(parentId: string): Promise<void> {
        const touch = { $set: { touches: newTouch() } };
        const one = await model.updateOne({ organizationId, _id: `${parentId}.${randomInt(SLOTS)}` }, touch);
        // The parent was created when there were fewer slots: write any of them.
        if (one.matchedCount === 0) await model.updateOne({ organizationId, parentId }, touch);
      },
      /** Call it before checking whether the parents are empty and deleting them. */
      async close(parentIds: readonly string[]): Promise<void> {
        await model.deleteMany({ organizationId, parentId: { $in: parentIds } });
      },
    });
}
