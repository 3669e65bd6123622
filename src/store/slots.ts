import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { number, optional, tenantSchema, text } from './fields.ts';
import { freeSlots } from './free-slots.ts';
import { noteOf } from './outcomes.ts';
import { newTouch } from './touch.ts';

/** Transactions of different processes meet less often in more slots. More slots make it more expensive to create and delete a parent. */
const SLOTS = 64;

/**
 * Prevents the deletion of a parent (an integration or a connector) while others attach to it, without a document that all writers contend
 * for. Under snapshot isolation, "it exists, so attach" and "it is empty, so delete" can both commit unless both write the same document.
 * Attaching writes one slot of the parent; deleting deletes all slots. So attaching and deleting conflict, and one is repeated, while two
 * attaching transactions rarely conflict: those of one process take different slots.
 */
export function slotStore(database: Database) {
  const schema = tenantSchema({ parentId: text(), touches: optional(number()) });
  schema.index({ organizationId: 1, parentId: 1 });
  const model = database.model('Slot', schema, 'slots');
  const free = freeSlots(SLOTS);
  const attached = {};
  return ({ organizationId }: Extent) =>
    translatingErrors({
      /** Creates the slots. Call it in the transaction that inserts the parent. */
      async open(parentId: string): Promise<void> {
        const slots = Array.from({ length: SLOTS }, (_, slot) => ({ _id: `${parentId}.${slot}`, organizationId, parentId, touches: 0 }));
        await model.insertMany(slots);
      },
      /** Call it before attaching something to the parent. */
      async attach(parentId: string): Promise<void> {
        const parents = noteOf(attached, () => new Set<string>());
        if (parents?.has(parentId)) return;
        const slots = database.collection<{ _id: string }>('slots');
        const touch = { $set: { touches: newTouch() } };
        const one = await slots.updateOne({ organizationId, _id: `${parentId}.${free.take(parentId)}` }, touch, database.session());
        // The parent was created when there were fewer slots: write any of them.
        if (one.matchedCount === 0) await slots.updateOne({ organizationId, parentId }, touch, database.session());
        parents?.add(parentId);
      },
      /** Call it before checking whether the parents are empty and deleting them. */
      async close(parentIds: readonly string[]): Promise<void> {
        await model.deleteMany({ organizationId, parentId: { $in: parentIds } });
      },
    });
}
