import { type Database, DuplicateKeyError, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, number, optional, tenantSchema } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId } from './records.ts';
import { newTouch } from './touch.ts';
import type { usageStore } from './usage.ts';

type Usage = ReturnType<typeof usageStore>;

/** Whether an organization exists. `unknown` before its first change. */
export type OrganizationState = 'unknown' | 'live' | 'deleted';

/** An object with access to an organization's audit log: its store. */
interface AuditHolder {
  readonly audit: { begin(): Promise<void> };
}

/** The tenants. The first mutation of an organization creates its record, its keys and its audit log. */
export function organizationStore(database: Database, usage: Usage) {
  const schema = tenantSchema({ createdAt: optional(date()), deletedAt: optional(date()), touches: optional(number()) });
  schema.index({ organizationId: 1 }, { unique: true });
  const model = database.model('Organization', schema, 'organizations');
  // The record of an organization is never removed: a deleted one keeps a tombstone.
  const recorded = new Set<string>();

  const { live, deleted, isEmpty } = translatingErrors({
    /** Returns whether there has never been an organization. */
    async isEmpty(): Promise<boolean> {
      return (await model.findOne({}, { _id: 1 }).lean()) === null;
    },
    /** Returns the organizations that are not deleted. */
    async live(): Promise<string[]> {
      const found = await model.find({ deletedAt: null }, { organizationId: 1 }).lean();
      return found.map(({ organizationId }) => organizationId);
    },
    /** Returns the organizations that are deleted. */
    async deleted(): Promise<string[]> {
      const found = await model.find({ deletedAt: { $ne: null } }, { organizationId: 1 }).lean();
      return found.map(({ organizationId }) => organizationId);
    },
  });

  /** Returns the functions for the record of one organization. */
  function of({ organizationId }: Extent, { keys, audit }: KeyHolder & AuditHolder) {
    const record = translatingErrors({
      async state(): Promise<OrganizationState> {
        return stateOf(await model.findOne({ organizationId }).lean());
      },
      /**
       * Begins a transaction that changes something: reads in one command the record, and what nearly every change needs, the current keys and the
       * counters. Returns the state of the record. Call it first in the transaction.
       */
      async begin(): Promise<OrganizationState> {
        usage.reserve(organizationId);
        const parts = [
          { part: 'keys', coll: 'dataKeys', filter: { organizationId, state: 'current' } },
          { part: 'usage', coll: 'usage', filter: { organizationId } },
        ];
        const marked = (part: string, filter: object) => [{ $match: filter }, { $addFields: { part } }];
        const others = parts.map(({ part, coll, filter }) => ({ $unionWith: { coll, pipeline: marked(part, filter) } }));
        const found = await database
          .collection(model.collection.collectionName)
          .aggregate([...marked('organization', { organizationId }), ...others], database.session())
          .toArray();
        const of = (name: string) => found.filter(({ part }) => part === name);
        await keys.learn(of('keys'));
        usage.learn(organizationId, of('usage'));
        return stateOf(of('organization')[0]);
      },
      async insert(now: Date): Promise<void> {
        await model.create([{ _id: newId(), organizationId, createdAt: now, touches: 0 }]);
        await keys.complete(now);
        await usage.open(organizationId);
        await audit.begin();
      },
      /** Writes the record without changing it, so that this transaction and one that deletes the organization cannot both commit. */
      async touch(): Promise<void> {
        await model.updateOne({ organizationId }, { $set: { touches: newTouch() } });
      },
      /** Begins to count what the organization stores, unless it is counted already. */
      async count(): Promise<void> {
        await usage.open(organizationId);
      },
      /** Corrects the counts of what the organization stores. */
      async recount(): Promise<void> {
        await usage.correct(organizationId);
      },
      /** Deletes the counts of what the organization stores. Call it last. */
      async forgetCounts(): Promise<void> {
        await usage.remove(organizationId);
      },
      /** Marks the organization as deleted, so that its tokens stop working at once. Returns false if it does not exist. */
      async tombstone(now: Date): Promise<boolean> {
        const result = await model.updateOne({ organizationId }, { $set: { deletedAt: now } });
        return result.matchedCount === 1;
      },
    });
    return {
      ...record,
      /** Creates the record and the keys of the organization if they do not exist. */
      async ensure(now: Date): Promise<void> {
        if (recorded.has(organizationId)) return;
        const state = await record.state();
        try {
          if (state === 'unknown') await database.transaction(() => record.insert(now));
          if (state === 'live') await keys.complete(now);
          // Older organizations have no counters.
          if (state === 'live') await database.transaction(() => record.count());
        } catch (error) {
          // Another mutation has created it at the same time.
          if (!(error instanceof DuplicateKeyError)) throw error;
          return;
        }
        recorded.add(organizationId);
      },
    };
  }

  return { live, deleted, isEmpty, of };
}

function stateOf(record: { readonly deletedAt?: unknown } | null | undefined): OrganizationState {
  if (!record) return 'unknown';
  return record.deletedAt ? 'deleted' : 'live';
}
