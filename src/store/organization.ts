import { Schema } from 'mongoose';
import { type Database, DuplicateKeyError, translatingErrors } from './database.ts';
import type { Keyring } from './keyring.ts';
import { newId } from './records.ts';

/** The tenant. It is recorded by its first mutation, together with its keys. */
export function organizationStore(database: Database, keyring: Keyring) {
  const schema = new Schema(
    {
      _id: { type: String, required: true },
      organizationId: { type: String, required: true },
      createdAt: Date,
      deletedAt: Date,
      touches: Number,
    },
    { versionKey: false },
  );
  schema.index({ organizationId: 1 }, { unique: true });
  const model = database.connection.model('Organization', schema, 'organizations');

  const store = translatingErrors({
    async state(organizationId: string): Promise<'unknown' | 'live' | 'deleted'> {
      const found = await model.findOne({ organizationId }).lean();
      if (!found) return 'unknown';
      return found.deletedAt ? 'deleted' : 'live';
    },
    async insert(organizationId: string, now: Date): Promise<void> {
      await model.create([{ _id: newId(), organizationId, createdAt: now, touches: 0 }]);
      await keyring.complete(organizationId, now);
    },
    /** Writes the record without changing it: what does this and what deletes the organization cannot both commit. */
    async touch(organizationId: string): Promise<void> {
      await model.updateOne({ organizationId }, { $inc: { touches: 1 } });
    },
    /** The organizations that are not deleted. */
    async live(): Promise<string[]> {
      const found = await model.find({ deletedAt: null }, { organizationId: 1 }).lean();
      return found.map(({ organizationId }) => organizationId);
    },
    /** Marks the organization as deleted: its tokens stop working at once. False: there is none. */
    async tombstone(organizationId: string, now: Date): Promise<boolean> {
      const result = await model.updateOne({ organizationId }, { $set: { deletedAt: now } });
      return result.matchedCount === 1;
    },
  });
  // Once recorded, an organization stays so: a deleted one leaves its tombstone.
  const recorded = new Set<string>();
  return {
    ...store,
    /** Records the organization with its keys unless it is there already. */
    async ensure(organizationId: string, now: Date): Promise<void> {
      if (recorded.has(organizationId)) return;
      const state = await store.state(organizationId);
      try {
        if (state === 'unknown') await database.transaction(() => store.insert(organizationId, now));
        if (state === 'live') await keyring.complete(organizationId, now);
      } catch (error) {
        // Another mutation did it meanwhile.
        if (!(error instanceof DuplicateKeyError)) throw error;
      }
      if (state !== 'unknown') recorded.add(organizationId);
    },
  };
}
