import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, tenantSchema, text } from './fields.ts';
import { newId } from './records.ts';

/**
 * Who refreshes the tokens of which credential. Of all copies of the gateway, one has a lease; it ends by time if the copy dies. It is
 * not in the record of the credential, so that taking one changes nothing that somebody edits. Call these functions outside of transactions.
 */
export function leaseStore(database: Database) {
  const schema = tenantSchema({ name: text(), owner: text(), endsAt: date() });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  const model = database.model('Lease', schema, 'leases');
  const collection = database.collection<{ _id: string }>('leases');

  return ({ organizationId }: Extent) =>
    translatingErrors({
      /** Takes the lease of a name until a time. Returns false if another one has it. An owner is the text of one attempt. */
      async take(name: string, owner: string, now: Date, endsAt: Date): Promise<boolean> {
        try {
          await collection.insertOne({ _id: newId(), organizationId, name, owner, endsAt } as never);
          return true;
        } catch (error) {
          if (!(translate(error) instanceof DuplicateKeyError)) throw error;
        }
        const { matchedCount } = await collection.updateOne({ organizationId, name, endsAt: { $lte: now } } as never, {
          $set: { owner, endsAt },
        });
        return matchedCount === 1;
      },
      /** Gives a lease back, if the owner still has it. */
      async release(name: string, owner: string): Promise<void> {
        await model.deleteOne({ organizationId, name, owner });
      },
      /** Removes the leases that ended before a time: those of copies that died, for credentials that nobody uses any more. */
      async removeEnded(before: Date): Promise<void> {
        await model.deleteMany({ organizationId, endsAt: { $lt: before } });
      },
      async removeAll(): Promise<void> {
        await model.deleteMany({ organizationId });
      },
    });
}
