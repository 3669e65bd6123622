import { AlteredRecordError } from '../errors.ts';
import { isMacOf, macOf } from '../secrets/record-mac.ts';
import type { auditStore } from './audit.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import { type CarriedEvent, eventFields, LAST_ID, NO_POSITION, positionOf } from './event-forms.ts';
import type { Extent } from './extent.ts';
import { date, nullable, type TenantDocument, tenantSchema, text } from './fields.ts';
import { newId } from './ids.ts';
import type { Box } from './outbox.ts';
import { type PageRequest, type PageStart, type RecordOf, recordSchema, recordStore } from './records.ts';

/** Something that happened to an object, with its position in the order of the organization's events. */
export interface EventRecord extends RecordOf<typeof eventFields> {}

/** How far the events of an organization reach. */
export interface EventRange {
  /** The position of the newest event. */
  readonly newest: string;
  /** Events up to this position are deleted, or will be soon. */
  readonly removed: string;
}

const headFields = {
  newest: text(),
  removed: text(),
  /** When `removed` was set. The events are deleted a while later, so that nobody who has just read it misses one. */
  removedAt: nullable(date()),
  /** When the newest of these events got its position. What happened before, and has no position, is a copy of what had one. */
  removedUntil: nullable(date()),
  /** The next position is at least this one. */
  leastNext: nullable(text()),
  mac: text(),
};
type Head = TenantDocument<typeof headFields>;
type StoredEvent = { readonly _id: string; readonly position: string; readonly updatedAt: Date };

/** How many entries of the audit log and how many boxes are numbered in one transaction. */
const ENTRIES_AT_ONCE = 1_000;
const BOXES_AT_ONCE = 10;
const EVENTS_AT_ONCE = 1_000;
/** The time between the announcement that events are deleted and their deletion, in milliseconds. */
const NOTICE_MS = 60_000;
const REMOVED_AT_ONCE = 5_000;
/** Another copy seldom numbers or deletes so often meanwhile. If it fails then, somebody else may have written something, and this is looked for. */
const TRIES_WITHOUT_REPAIR = 3;
const TRIES_MAX = 10;
const REPAIRED_AT_ONCE = 1_000;
/** After the head was changed, positions go on with the time of the clock, in milliseconds, times this: beyond all that anybody can have read. */
const POSITIONS_PER_MS = 1_000;
const DAY_MS = 24 * 60 * 60_000;
const MAC: ReadonlySet<string> = new Set(['mac']);

/** Gives positions to events that are committed, and reads events by them. */
export function eventStore(
  database: Database,
  authenticity: Authenticity,
  auditOf: (extent: Extent) => Pick<ReturnType<ReturnType<typeof auditStore>>, 'withNewEvents' | 'noteNumbered'>,
) {
  const { outbox } = authenticity;
  const schema = recordSchema(eventFields);
  // Two copies that number at the same time would give the same positions. The index makes the second one fail.
  schema.index({ organizationId: 1, position: 1 }, { unique: true });
  schema.index({ organizationId: 1, position: 1, _id: 1 });
  for (const field of ['type', 'objectNoun', 'integrationId', 'endUserId'])
    schema.index({ organizationId: 1, [field]: 1, position: 1, _id: 1 });
  for (const owner of ['integrationId', 'endUserId']) schema.index({ organizationId: 1, [owner]: 1, type: 1, position: 1, _id: 1 });
  const model = database.model('Event', schema, 'events');
  const records = recordStore<EventRecord>(database, model, { noun: 'event', fields: eventFields, authenticity, nameField: 'objectId' });

  const headSchema = tenantSchema(headFields);
  headSchema.index({ organizationId: 1 }, { unique: true });
  database.model('EventHead', headSchema, 'eventHeads');
  const heads = () => database.collection<Head>('eventHeads');
  const events = () => database.collection<StoredEvent>('events');

  const of = (extent: Extent) => {
    const { organizationId } = extent;
    const own = records(extent);
    const audit = () => auditOf({ organizationId, confines: {} });

    async function isSound(found: Head): Promise<boolean> {
      return isMacOf(await authenticity.key(organizationId), 'eventHead', found, found.mac, MAC);
    }

    /** Returns the head. Null if there was no event yet. @throws DamagedHeadError when somebody else has changed or removed it */
    async function head(): Promise<Head | null> {
      const found = await heads().findOne({ organizationId }, database.session());
      if (found ? !(await isSound(found)) : (await oldestAfter('', 1)).length > 0) throw new DamagedHeadError();
      return found;
    }

    /** Moves the head. @throws SupersededError when another copy has moved it */
    async function move(from: Head | null, changes: Partial<Omit<Head, '_id' | 'organizationId' | 'mac'>>): Promise<void> {
      const { mac: _, ...known } = from ?? {
        _id: newId(),
        organizationId,
        newest: NO_POSITION,
        removed: NO_POSITION,
        removedAt: null,
        removedUntil: null,
        leastNext: null,
        mac: '',
      };
      const next = { ...known, ...changes };
      const mac = macOf(await authenticity.key(organizationId), 'eventHead', next);
      if (!from) return void (await heads().insertOne({ ...next, mac }, database.session()));
      const where = { organizationId, newest: from.newest, removed: from.removed };
      const moved = await heads().updateOne(where, { $set: { ...changes, mac } }, database.session());
      if (moved.matchedCount === 0) throw new SupersededError();
    }

    /** Returns whether there are events without positions. One command. */
    async function hasNew(): Promise<boolean> {
      const one = [{ $limit: 1 }, { $project: { _id: 1 } }];
      const found = await database
        .collection('auditEntries')
        .aggregate([
          { $match: { organizationId, hasNewEvents: true } },
          ...one,
          { $unionWith: { coll: 'outbox', pipeline: [{ $match: { organizationId } }, ...one] } },
        ])
        .toArray();
      return found.length > 0;
    }

    /** Numbers some events in one transaction. Returns whether these were all. */
    const numberSome = (now: Date): Promise<boolean> =>
      database.transaction(async () => {
        const entries = await audit().withNewEvents(ENTRIES_AT_ONCE);
        const { intact, altered } = await outbox.full(organizationId, BOXES_AT_ONCE);
        if (entries.length === 0 && intact.length + altered.length === 0) return true;
        const last = await head();
        const all = [...entries.flatMap((entry) => entry.events), ...intact.flatMap((box) => box.events)];
        // Somebody else can say again that the events of an entry have no positions, or put back a box.
        const known = await numberedAmong(all.map(({ id }) => id));
        const until = last?.removedUntil ?? null;
        const carried = inOrder(all.filter(({ id, createdAt }) => !known.has(id) && (until === null || createdAt > until)));
        const first = Math.max(Number(last?.newest ?? NO_POSITION) + 1, Number(last?.leastNext ?? NO_POSITION));
        const numbered = carried.map(
          (event, at): EventRecord => ({
            ...event,
            organizationId,
            version: 1,
            updatedAt: now,
            updatedBy: null,
            position: positionOf(first + at),
          }),
        );
        for (let start = 0; start < numbered.length; start += EVENTS_AT_ONCE)
          await own.insertAll(numbered.slice(start, start + EVENTS_AT_ONCE));
        if (entries.length > 0) await audit().noteNumbered(entries.map(({ id }) => id));
        const boxes: readonly Box[] = [...intact, ...altered];
        if (boxes.length > 0)
          await outbox.remove(
            organizationId,
            boxes.map(({ _id }) => _id),
          );
        if (numbered.length > 0) await move(last, { newest: numbered.at(-1)!.position, leastNext: null });
        return entries.length < ENTRIES_AT_ONCE && boxes.length < BOXES_AT_ONCE;
      });

    /** Returns which of these events have positions. What somebody else has written in the place of one is deleted: it must not keep the event out. */
    async function numberedAmong(ids: readonly string[]): Promise<ReadonlySet<string>> {
      const found = await events()
        .find({ _id: { $in: [...ids] } }, database.session())
        .toArray();
      const intact = new Set(await own.authenticIds(found));
      const others = found.filter(({ _id }) => !intact.has(_id)).map(({ _id }) => _id);
      // Such an id is of no other organization: the gateway has just made it.
      if (others.length > 0) await events().deleteMany({ _id: { $in: others } }, database.session());
      return intact;
    }

    /** Returns the position of the newest event after a position. Null if there is none. What somebody else has written beyond it is deleted. */
    async function newestAfter(position: string): Promise<string | null> {
      for (;;) {
        const found = await events()
          .find({ organizationId, position: { $gt: position } }, { sort: { position: -1 }, limit: REPAIRED_AT_ONCE })
          .toArray();
        if (found.length === 0) return null;
        const intact = new Set(await own.authenticIds(found));
        const newest = found.findIndex(({ _id }) => intact.has(_id));
        const beyond = newest < 0 ? found : found.slice(0, newest);
        await events().deleteMany({ organizationId, _id: { $in: beyond.map(({ _id }) => _id) } });
        if (newest >= 0) return found[newest]!.position;
      }
    }

    /** Returns the position of the oldest event; null if there is none. */
    async function oldestIntact(): Promise<string | null> {
      for (let position = ''; ; ) {
        const found = await events()
          .find({ organizationId, position: { $gt: position } }, { sort: { position: 1 }, limit: REPAIRED_AT_ONCE })
          .toArray();
        const [oldest] = await own.authenticIds(found);
        if (oldest !== undefined) return found.find(({ _id }) => _id === oldest)!.position;
        if (found.length === 0) return null;
        position = found.at(-1)!.position;
      }
    }

    /**
     * Removes what somebody else has written beyond the newest event, where the next ones belong. If the head was changed, removed or put back, it is made
     * anew from the events, and the next position is far beyond: though events may be gone, no position that a reader may know is used again.
     */
    async function repair(): Promise<void> {
      const sound = async () => {
        const found = await heads().find({ organizationId }, database.session()).toArray();
        const all = await Promise.all(found.map(isSound));
        const [known = null] = found.filter((_, at) => all[at]).sort((a, b) => Number(b.newest) - Number(a.newest));
        return { known, others: found.filter((each) => each !== known) };
      };
      const before = await sound();
      const newest = await newestAfter(before.known?.newest ?? '');
      const oldest = before.known ? null : await oldestIntact();
      await database.transaction(async () => {
        const { known, others } = await sound();
        const isBehind = newest !== null && newest > (known?.newest ?? NO_POSITION);
        if (!isBehind && others.length === 0) return;
        authenticity.report({ organizationId, noun: 'event', id: null });
        await heads().deleteMany({ organizationId }, database.session());
        const last = isBehind ? newest : (known?.newest ?? NO_POSITION);
        const removed = known?.removed ?? (oldest === null ? last : positionOf(Number(oldest) - 1));
        const leastNext = positionOf(Math.max(Number(last) + 1, Number(known?.leastNext ?? 0), Date.now() * POSITIONS_PER_MS));
        const { removedAt = null, removedUntil = null } = known ?? {};
        await move(null, { newest: last, removed, removedAt, removedUntil, leastNext });
      });
    }

    const oldestAfter = (position: string, limit: number) =>
      events()
        .find(
          { organizationId, position: { $gt: position } },
          { sort: { position: 1 }, limit, batchSize: limit + 1, ...database.session() },
        )
        .project<{ readonly position: string; readonly updatedAt: unknown }>({ position: 1, updatedAt: 1 })
        .toArray();

    async function rangeNow(): Promise<EventRange> {
      const { newest, removed } = (await again(head, repair)) ?? NO_EVENTS;
      return { newest, removed };
    }

    return {
      ...own,
      ...translatingErrors({
        /**
         * Gives positions to the events of the organization that are committed and have none, in so many transactions at most. Several copies of the
         * gateway can do so at once. Returns whether there were any, and whether these were all.
         */
        async number(now: Date, times: number): Promise<{ readonly hadNew: boolean; readonly isAll: boolean }> {
          if (!(await hasNew())) return { hadNew: false, isAll: true };
          for (let time = 0; time < times; time++) if (await again(() => numberSome(now), repair)) return { hadNew: true, isAll: true };
          return { hadNew: true, isAll: false };
        },

        /**
         * Returns how far the events reach. One read by an index. If a reader has read further, somebody else may have put back the head: then it is made
         * good, if the events prove it.
         */
        async range(reached: string = NO_POSITION): Promise<EventRange> {
          const range = await rangeNow();
          if (reached <= range.newest) return range;
          await repair();
          return rangeNow();
        },

        /**
         * Returns the position before the first event that got its position at a time, or later. It takes about twenty reads for a million events.
         */
        async positionAt(time: Date): Promise<string> {
          const { newest, removed } = await rangeNow();
          let [before, last] = [Number(removed), Number(newest)];
          // All up to `before` are older, and all after `last` are not.
          while (before < last) {
            const middle = Math.ceil((before + last) / 2);
            const [found] = await oldestAfter(positionOf(middle - 1), 1);
            const isOlder = found?.updatedAt instanceof Date && found.updatedAt < time;
            if (isOlder) before = middle;
            else last = middle - 1;
          }
          return positionOf(before);
        },

        /**
         * Deletes events that got their positions before a time. In one run it is announced that they are deleted, and in another one, at least a
         * minute later, they are.
         */
        async trim(before: Date, now: Date): Promise<void> {
          // Whatever somebody else has written there is not kept for it.
          const isOld = ({ updatedAt }: { readonly updatedAt: unknown }) =>
            !(updatedAt instanceof Date) || updatedAt < before || updatedAt.getTime() > now.getTime() + DAY_MS;
          const trimSome = () =>
            database.transaction(async () => {
              const last = await head();
              if (!last) return;
              if (last.removedAt !== null && now.getTime() - last.removedAt.getTime() < NOTICE_MS) return;
              if (last.removedAt !== null)
                await events().deleteMany({ organizationId, position: { $lte: last.removed } }, database.session());
              const [oldest] = await oldestAfter(last.removed, 1);
              if (!oldest || !isOld(oldest)) {
                if (last.removedAt !== null) await move(last, { removedAt: null });
                return;
              }
              const found = await oldestAfter(last.removed, REMOVED_AT_ONCE);
              const kept = found.findIndex((event) => !isOld(event));
              const old = kept < 0 ? found : found.slice(0, kept);
              const times = old.flatMap(({ updatedAt }) => (updatedAt instanceof Date && updatedAt < before ? [updatedAt.getTime()] : []));
              const removedUntil = new Date(Math.max(last.removedUntil?.getTime() ?? 0, ...times));
              await move(last, { removed: old.at(-1)!.position, removedAt: now, removedUntil });
            });
          await again(trimSome, repair);
        },

        /** Deletes all events, and what is about them. */
        async removeAll(): Promise<void> {
          await events().deleteMany({ organizationId });
          await heads().deleteMany({ organizationId });
          await outbox.removeAll(organizationId);
        },
      }),
    };
  };

  return Object.assign(of, {
    /** Returns the positions of the newest events of some organizations, by organization. One read by an index, which verifies nothing. */
    async newest(organizationIds: readonly string[]): Promise<Map<string, string>> {
      const found = await heads()
        .find({ organizationId: { $in: [...organizationIds] } }, { batchSize: organizationIds.length + 1 })
        .project<{ organizationId: string; newest: string }>({ organizationId: 1, newest: 1 })
        .toArray();
      return new Map(found.map(({ organizationId, newest }) => [organizationId, String(newest)]));
    },
  });
}

const NO_EVENTS: EventRange = { newest: NO_POSITION, removed: NO_POSITION };

/** Returns the request for a page of events in their order, after a position, or where another page has ended. */
export function pageAfter(start: string | PageStart, limit: number): PageRequest<'position'> {
  const after = typeof start === 'string' ? { value: start, id: LAST_ID } : start;
  return { limit, sortField: 'position', descending: false, after };
}

/** Another copy of the gateway has numbered, or deleted, at the same time. */
class SupersededError extends Error {}

/** The head is not as the gateway wrote it. */
class DamagedHeadError extends AlteredRecordError {
  constructor() {
    super('event');
  }
}

/** Runs something again if another copy of the gateway has done the same at the same time, or if somebody else was in its way. */
async function again<T>(run: () => Promise<T>, repair: () => Promise<void>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      const isDamaged = error instanceof DamagedHeadError;
      const isSuperseded = error instanceof SupersededError || translate(error) instanceof DuplicateKeyError;
      if (!(isDamaged || isSuperseded) || tries === TRIES_MAX) throw error;
      if (isDamaged || tries % TRIES_WITHOUT_REPAIR === 0) await repair();
    }
  }
}

/**
 * Returns events in the order in which they get their positions. What happened to one object is in the order of its versions, whatever the clocks
 * of several copies say; everything else is ordered by time.
 */
function inOrder(events: readonly CarriedEvent[]): CarriedEvent[] {
  const all = events
    .map((event, at) => ({ event, at }))
    .sort((a, b) => a.event.createdAt.getTime() - b.event.createdAt.getTime() || a.at - b.at);
  const byObject = new Map<string, number[]>();
  for (const [place, { event }] of all.entries()) {
    const key = `${event.objectNoun} ${event.objectId}`;
    const places = byObject.get(key);
    if (places) places.push(place);
    else byObject.set(key, [place]);
  }
  const result = all.map(({ event }) => event);
  for (const places of byObject.values()) {
    if (places.length === 1) continue;
    const own = places.map((place) => all[place]!.event);
    const rank = ({ type, snapshot }: CarriedEvent) => (type === 'DELETED' ? Number.POSITIVE_INFINITY : (snapshot?.version ?? 0));
    const sorted = own
      .map((event, at) => ({ event, at }))
      .sort((a, b) => (rank(a.event) === rank(b.event) ? a.at - b.at : rank(a.event) - rank(b.event)));
    for (const [at, place] of places.entries()) result[place] = sorted[at]!.event;
  }
  return result;
}
