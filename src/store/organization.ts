import { type Database, DuplicateKeyError, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, number, optional, tenantSchema } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId } from './records.ts';

/** The tenants. Each is recorded by its first mutation, together with its keys. */
export function organizationStore(database: Database) {
  const schema = tenantSchema({ createdAt: optional(date()), deletedAt: optional(date()), touches: optional(number()) });
  schema.index({ organizationId: 1 }, { unique: true });
  const model = database.model('Organization', schema, 'organizations');
  // Once recorded, an organization stays so: a deleted one leaves its tombstone.
  const recorded = new Set<string>();

  const { live } = translatingErrors({
    /** The organizations that are not deleted. */
    async live(): Promise<string[]> {
      const found = await model.find({ deletedAt: null }, { organizationId: 1 }).lean();
      return found.map(({ organizationId }) => organizationId);
    },
  });

  /** One organization's own record. */
  function of({ organizationId }: Extent, { keys }: KeyHolder) {
    const record = translatingErrors({
      async state(): Promise<'unknown' | 'live' | 'deleted'> {
        const found = await model.findOne({ organizationId }).lean();
        if (!found) return 'unknown';
        return found.deletedAt ? 'deleted' : 'live';
      },
      async insert(now: Date): Promise<void> {
        await model.create([{ _id: newId(), organizationId, createdAt: now, touches: 0 }]);
        await keys.complete(now);
      },
      /** Writes the record without changing it: what does this and what deletes the organization cannot both commit. */
      async touch(): Promise<void> {
        await model.updateOne({ organizationId }, { $inc: { touches: 1 } });
      },
      /** Marks the organization as deleted: its tokens stop working at once. False: there is none. */
      async tombstone(now: Date): Promise<boolean> {
        const result = await model.updateOne({ organizationId }, { $set: { deletedAt: now } });
        return result.matchedCount === 1;
      },
    });
    return {
      ...record,
      /** Records the organization with its keys unless it is there already. */
      async ensure(now: Date): Promise<void> {
        if (recorded.has(organizationId)) return;
        const state = await record.state();
        try {
          if (state === 'unknown') await database.transaction(() => record.insert(now));
          if (state === 'live') await keys.complete(now);
        } catch (error) {
          // Another mutation did it meanwhile.
          if (!(error instanceof DuplicateKeyError)) throw error;
        }
        if (state !== 'unknown') recorded.add(organizationId);
      },
    };
  }

  return { live, of };
}
