import { nounTable, type StoredLimit } from '../access/nouns.ts';
import { StorageLimitError } from '../errors.ts';
import type { Database, Delta } from './database.ts';
import { number, tenantSchema } from './fields.ts';
import { freeSlots } from './free-slots.ts';
import { noteOf } from './outcomes.ts';
import { newId, union } from './records.ts';
import { sumOfBytes } from './sizes.ts';

/** How many records of each noun an organization can store, how many bytes, and how many credentials and connections an end user can own. */
export type StorageLimits = Readonly<Record<StoredLimit | 'MAX_STORED_BYTES' | 'MAX_OWNED' | 'MAX_IDEMPOTENCY_KEYS', number>>;

/** The counters of an organization. Each transaction writes one of them, and reads all. */
const SLOTS = 32;
/** A counter as it is read: anybody who can write to the database can have written it. */
type Slot = Readonly<Record<string, unknown>>;

/** From this distance to a limit on, all transactions write the same counter, so that they cannot exceed the limit together. */
const NEAR = 1_000;
const NEAR_BYTES = 256 * 1024 * 1024;
/** The gateway writes no counter that is further from 0. */
const COUNTER_MAX = 1e15;

/** The nouns whose records are counted: the plural, which is the name of the collection, and the limit. */
const countedNouns = Object.values(nounTable).flatMap(({ plural, label, storedLimit }) =>
  storedLimit === null ? [] : [{ plural: plural as string, label: label as string, limit: storedLimit as keyof StorageLimits }],
);
/** The collection of idempotency keys, which are no noun. */
const IDEMPOTENCY_KEYS = 'idempotencyKeys';
const counted = [...countedNouns, { plural: IDEMPOTENCY_KEYS, label: 'idempotency key', limit: 'MAX_IDEMPOTENCY_KEYS' as const }];

/**
 * Counts what each organization stores. A transaction adds what it inserts to one of several counters, those of one process to different ones, so
 * that transactions do not wait for each other. The sum of the counters is exact, because they are written in the same transaction. The transaction reads the
 * sum and refuses to exceed a limit. Near a limit, all write the same counter: of two transactions that would exceed it together, one is
 * repeated and then refused.
 *
 * Counters that cannot be right, because somebody else wrote them, are replaced by what is counted, in the same transaction.
 */
export function usageStore(database: Database, storageLimits: StorageLimits | undefined) {
  const counters = Object.fromEntries([...counted.map(({ plural }) => plural), 'bytes'].map((name) => [name, number()]));
  const schema = tenantSchema({ slot: number(), ...counters });
  schema.index({ organizationId: 1, slot: 1 }, { unique: true });
  // The names of the counters are data, so mongoose's exact types cannot be used.
  const model = database.model('Usage', schema, 'usage') as unknown as import('mongoose').Model<Record<string, unknown>>;
  const slots = database.collection(model.collection.collectionName);
  const names = Object.keys(counters);
  const free = freeSlots(SLOTS);
  /** Returns what the running transaction has reserved and read, by organization. Undefined outside of a transaction. */
  const known = () => noteOf(known, () => new Map<string, { readonly slot: number; found?: readonly Slot[] }>());

  /** Returns the sums of the counters; undefined if there are none, and null if they must be counted again. */
  async function sums(organizationId: string): Promise<Record<string, number> | null | undefined> {
    const found = known()?.get(organizationId)?.found ?? (await model.find({ organizationId }).lean());
    if (found.length === 0) return undefined;
    // A version that did not count idempotency keys had none.
    const valueIn = (slot: Slot, name: string) => (name === IDEMPOTENCY_KEYS ? (slot[name] ?? 0) : slot[name]);
    if (!found.every((slot) => names.every((name) => isCounter(valueIn(slot, name))))) return null;
    const used = Object.fromEntries(names.map((name) => [name, found.reduce((sum, slot) => sum + Number(valueIn(slot, name)), 0)]));
    // Each counter can be less than 0, but not their sum.
    return Object.values(used).some((sum) => sum < 0) ? null : used;
  }

  /** Writes new counters, from this one on. */
  async function write(organizationId: string, used: Readonly<Record<string, number>>, first = 0): Promise<void> {
    const zero = Object.fromEntries(names.map((name) => [name, 0]));
    const numbers = Array.from({ length: SLOTS - first }, (_, index) => first + index);
    await model.insertMany(numbers.map((slot) => ({ _id: newId(), organizationId, slot, ...(slot === 0 ? used : zero) })));
  }

  async function replace(organizationId: string, used: Readonly<Record<string, number>>): Promise<void> {
    await model.deleteMany({ organizationId });
    await write(organizationId, used);
  }

  /** @throws StorageLimitError */
  function refuseBeyond(used: Readonly<Record<string, number>>, delta: Delta, limits: StorageLimits): void {
    for (const { plural, label, limit } of counted) {
      if ((delta[plural] ?? 0) > 0 && used[plural]! + delta[plural]! > limits[limit]) {
        throw new StorageLimitError(`The organization cannot store another ${label}`, limit, limits[limit]);
      }
    }
    if ((delta.bytes ?? 0) > 0 && used.bytes! + delta.bytes! > limits.MAX_STORED_BYTES) {
      throw new StorageLimitError('The organization cannot store more bytes', 'MAX_STORED_BYTES', limits.MAX_STORED_BYTES);
    }
  }

  function isNear(used: Readonly<Record<string, number>>, delta: Delta, limits: StorageLimits): boolean {
    const isClose = (name: string, limit: number, near: number) => (delta[name] ?? 0) > 0 && limit - used[name]! - delta[name]! < near;
    return (
      counted.some(({ plural, limit }) => isClose(plural, limits[limit], NEAR)) || isClose('bytes', limits.MAX_STORED_BYTES, NEAR_BYTES)
    );
  }

  /** A new owner of something has been written by the same transaction, so two transactions cannot exceed this limit together. */
  async function refuseOwners(organizationId: string, owners: ReadonlySet<string>, limits: StorageLimits): Promise<void> {
    if (owners.size === 0) return;
    for (const plural of ['credentials', 'connections'] as const) {
      const counts = [...owners].map((endUserId) => [
        { $match: { organizationId, endUserId } },
        { $limit: limits.MAX_OWNED + 1 },
        { $count: 'count' },
      ]);
      const found: { readonly count: number }[] = await modelOf(plural).aggregate(union(plural, counts));
      if (found.some(({ count }) => count > limits.MAX_OWNED)) {
        throw new StorageLimitError(`The end user cannot own more ${plural}`, 'MAX_OWNED', limits.MAX_OWNED);
      }
    }
  }

  function modelOf(collection: string) {
    return Object.values(database.connection.models).find((each) => each.collection.collectionName === collection)!;
  }

  database.onSettle(async (organizationId, delta, owners, isExempt) => {
    const limits = isExempt ? undefined : storageLimits;
    if (limits) await refuseOwners(organizationId, owners, limits);
    const changed = Object.fromEntries(Object.entries(delta).filter(([, amount]) => amount !== 0));
    if (Object.keys(changed).length === 0) return;
    const used = await sums(organizationId);
    // Not counted yet: `open` will count what is there.
    if (used === undefined) return;
    const grows = Object.values(changed).some((amount) => amount > 0);
    if (used === null) {
      const stored = await count(organizationId);
      const before = Object.fromEntries(names.map((name) => [name, stored[name]! - (changed[name] ?? 0)]));
      if (limits && grows) refuseBeyond(before, changed, limits);
      await replace(organizationId, stored);
      return;
    }
    let slot = known()?.get(organizationId)?.slot ?? free.take(organizationId);
    if (limits && grows) {
      refuseBeyond(used, changed, limits);
      if (isNear(used, changed, limits)) slot = 0;
    }
    const { matchedCount } = await slots.updateOne({ organizationId, slot }, { $inc: changed }, database.session());
    // Somebody has removed this one.
    if (matchedCount === 0) await replace(organizationId, await count(organizationId));
  });

  /** Returns what is stored, by counting it. */
  async function count(organizationId: string): Promise<Record<string, number>> {
    const used = Object.fromEntries(names.map((name) => [name, 0]));
    for (const collection of [...counted.map(({ plural }) => plural), 'secrets']) {
      if (collection !== 'secrets') {
        const [found] = await modelOf(collection).aggregate([{ $match: { organizationId } }, { $count: 'count' }]);
        used[collection] = found?.count ?? 0;
      }
      used.bytes! += await sumOfBytes(modelOf(collection), { organizationId });
    }
    return used;
  }

  return {
    /** Creates the counters of an organization if it has none, and counts what it stores already. Adds those that an earlier version did not have. */
    async open(organizationId: string): Promise<void> {
      const last = await model.findOne({ organizationId }).sort({ slot: -1 }).lean();
      if (!last) return write(organizationId, await count(organizationId));
      if (Number(last.slot) < SLOTS - 1) await write(organizationId, {}, Number(last.slot) + 1);
    },

    /** Reserves a counter for the running transaction. Call it before the transaction reads anything. */
    reserve(organizationId: string): void {
      known()?.set(organizationId, { slot: free.take(organizationId) });
    },
    /** Spares the running transaction from reading the counters, which it has read. Call `reserve` before. */
    learn(organizationId: string, found: readonly Slot[]): void {
      const { slot } = known()?.get(organizationId) ?? {};
      if (slot !== undefined) known()!.set(organizationId, { slot, found });
    },

    /**
     * Corrects the counters. They are wrong only if a version of the gateway without counters wrote at the same time. Both are read in one
     * snapshot, so what others write meanwhile does not matter.
     */
    async correct(organizationId: string): Promise<void> {
      await database.transaction(async () => {
        const counters = await sums(organizationId);
        if (counters === undefined) return;
        const stored = await count(organizationId);
        if (counters === null) return replace(organizationId, stored);
        const changed = names.map((name) => [name, stored[name]! - counters[name]!] as const).filter(([, amount]) => amount !== 0);
        if (changed.length > 0) await model.updateOne({ organizationId, slot: 0 }, { $inc: Object.fromEntries(changed) });
      });
    },

    async remove(organizationId: string): Promise<void> {
      await model.deleteMany({ organizationId });
    },
  };
}

function isCounter(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= COUNTER_MAX;
}
