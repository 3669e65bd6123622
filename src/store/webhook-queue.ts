import { type Database, translatingErrors } from './database.ts';
import { isPosition } from './event-forms.ts';
import type { Extent } from './extent.ts';
import { boolean, date, nullable, number, tenantSchema, text } from './fields.ts';

/** How far the deliveries of a webhook have come. */
export interface WebhookProgress {
  readonly id: string;
  readonly organizationId: string;
  /** All events up to it are delivered, or stored as ones to retry, or of no interest to the webhook. */
  readonly position: string;
  /** When the first of those to retry is due. Null if there is none. */
  readonly dueAt: Date | null;
  /** Nothing is sent before, because the receiver has asked for it. */
  readonly heldUntil: Date | null;
  /** How many attempts have failed since one has succeeded. */
  readonly failures: number;
  /** Until when a copy of the gateway delivers. Null if none does. */
  readonly leaseEndsAt: Date | null;
}

/** An event that is delivered later, or again. */
export interface Waiting {
  readonly eventId: string;
  readonly position: string;
  /** What happens to one object is delivered in order. */
  readonly object: string;
  readonly attempts: number;
  /** When it was tried first. Null if it was not tried yet. */
  readonly firstAt: Date | null;
  readonly dueAt: Date;
}

/** The right of one copy of the gateway to deliver the events of a webhook. */
export interface WebhookLease {
  readonly id: string;
  readonly owner: string;
}

interface State {
  readonly _id: string;
  readonly organizationId: string;
  readonly isActive: boolean;
  readonly position: string;
  readonly dueAt: Date | null;
  readonly heldUntil: Date | null;
  readonly failures: number;
  readonly owner: string | null;
  readonly leaseEndsAt: Date | null;
}
interface StoredWaiting extends Waiting {
  readonly _id: string;
  readonly organizationId: string;
  readonly webhookId: string;
}

/** How many webhooks a copy of the gateway looks at. */
const ACTIVE_MAX = 50_000;
const WRITES_AT_ONCE = 500;

/**
 * What is to be delivered: for each webhook, how far it has come among the events, and which events wait to be retried. It is not authenticated:
 * whoever can write here can delete events, too. What is sent where follows from records that are.
 */
export function webhookQueueStore(database: Database) {
  const states = tenantSchema({
    isActive: boolean(),
    position: text(),
    dueAt: nullable(date()),
    heldUntil: nullable(date()),
    failures: number(),
    owner: nullable(text()),
    leaseEndsAt: nullable(date()),
  });
  states.index({ organizationId: 1 });
  // Over all organizations: those without webhooks cost nothing.
  states.index({ isActive: 1 });
  database.model('WebhookState', states, 'webhookStates');
  const waiting = tenantSchema({
    webhookId: text(),
    eventId: text(),
    position: text(),
    object: text(),
    attempts: number(),
    firstAt: nullable(date()),
    dueAt: date(),
  });
  waiting.index({ organizationId: 1, webhookId: 1, position: 1 });
  waiting.index({ organizationId: 1, webhookId: 1, dueAt: 1 });
  database.model('WebhookWaiting', waiting, 'webhookWaiting');
  const stateCollection = () => database.collection<State>('webhookStates');
  const waitingCollection = () => database.collection<StoredWaiting>('webhookWaiting');

  const of = ({ organizationId }: Extent) => {
    /** When the first of those that wait is due. */
    async function firstDue(webhookId: string): Promise<Date | null> {
      const [first] = await waitingCollection()
        .find({ organizationId, webhookId }, { sort: { dueAt: 1 }, limit: 1, ...database.session() })
        .toArray();
      return first && isDate(first.dueAt) ? first.dueAt : null;
    }
    const anew = { failures: 0, heldUntil: null, owner: null, leaseEndsAt: null };
    const putAll = async (webhookId: string, all: readonly Waiting[]) => {
      for (let start = 0; start < all.length; start += WRITES_AT_ONCE) {
        await waitingCollection().bulkWrite(
          all.slice(start, start + WRITES_AT_ONCE).map((each) => ({
            updateOne: {
              // An event waits once.
              filter: { organizationId, _id: `${webhookId}.${each.eventId}` },
              update: { $set: { webhookId, ...waitingOf(each) } },
              upsert: true,
            },
          })),
          { ordered: false, ...database.session() },
        );
      }
    };

    return translatingErrors({
      /** Begins to deliver, after a position. Call it in the transaction that creates the webhook. */
      async begin(id: string, position: string): Promise<void> {
        await stateCollection().insertOne({ _id: id, organizationId, isActive: true, position, dueAt: null, ...anew }, database.session());
      },

      /** Stops to deliver, or continues where it stopped. Whoever delivers now loses its lease. */
      async setActive(id: string, isActive: boolean): Promise<void> {
        await stateCollection().updateOne({ organizationId, _id: id }, { $set: { isActive, ...anew } }, database.session());
      },

      /** Forgets how often deliveries have failed: all that wait are due now. `after` is where it continues at the earliest. */
      async restart(id: string, after: string, now: Date): Promise<void> {
        const found = await stateCollection().findOne({ organizationId, _id: id }, database.session());
        const position = found && isPosition(String(found.position)) && found.position > after ? found.position : after;
        const wait = { attempts: 0, firstAt: null, dueAt: now };
        await waitingCollection().updateMany({ organizationId, webhookId: id }, { $set: wait }, database.session());
        const set = { isActive: true, ...anew, position, dueAt: await firstDue(id) };
        await stateCollection().updateOne({ organizationId, _id: id }, { $set: set }, database.session());
      },

      /** Goes back to a position, if it is before the present one. Returns the position from which on it delivers. */
      async rewind(id: string, position: string): Promise<void> {
        const where = { organizationId, _id: id, position: { $gt: position } };
        await stateCollection().updateOne(where, { $set: { position, ...anew } }, database.session());
      },

      /** Delivers an event once more. */
      async add(id: string, event: Pick<Waiting, 'eventId' | 'position' | 'object'>, now: Date): Promise<void> {
        await putAll(id, [{ ...event, attempts: 0, firstAt: null, dueAt: now }]);
        await stateCollection().updateOne({ organizationId, _id: id }, { $set: { dueAt: now, ...anew } }, database.session());
      },

      /** Takes the lease of a webhook until a time. Null if another one has it, or if nothing is delivered. */
      async take({ id, owner }: WebhookLease, now: Date, leaseEndsAt: Date): Promise<WebhookProgress | null> {
        const free = [{ leaseEndsAt: null }, { leaseEndsAt: { $lte: now } }];
        const where = { organizationId, _id: id, isActive: true, $or: free };
        const found = await stateCollection().findOneAndUpdate(where, { $set: { owner, leaseEndsAt } }, { returnDocument: 'after' });
        return found && progressOf(found);
      },

      /** Returns the first events that wait, in the order of their positions. */
      async waiting(id: string, limit: number): Promise<Waiting[]> {
        const found = await waitingCollection()
          .find({ organizationId, webhookId: id }, { sort: { position: 1 }, limit, batchSize: limit + 1 })
          .toArray();
        return found.filter(isWaiting).map(waitingOf);
      },

      /**
       * Stores what was done: events that wait, then how far the webhook has come, and at last which of those that waited are done. A crash in between
       * delivers some again. Returns false if the lease was lost: then only the events that wait are stored.
       */
      async save(
        { id, owner }: WebhookLease,
        progress: Pick<WebhookProgress, 'position' | 'heldUntil' | 'failures'>,
        waits: readonly Waiting[],
        done: readonly string[],
        leaseEndsAt: Date | null,
      ): Promise<boolean> {
        await putAll(id, waits);
        // Only its owner knows which of them are done.
        const mine = await stateCollection().updateOne(
          { organizationId, _id: id, owner, isActive: true },
          { $set: { ...progress, leaseEndsAt } },
        );
        if (mine.matchedCount === 0) return false;
        for (let start = 0; start < done.length; start += WRITES_AT_ONCE) {
          const some = done.slice(start, start + WRITES_AT_ONCE).map((eventId) => `${id}.${eventId}`);
          await waitingCollection().deleteMany({ organizationId, _id: { $in: some } });
        }
        if (leaseEndsAt === null) {
          const dueAt = await firstDue(id);
          await stateCollection().updateOne({ organizationId, _id: id, owner }, { $set: { dueAt, owner: null } });
        }
        return true;
      },

      /** Returns the ids of all webhooks that were created and are not forgotten. */
      async ids(): Promise<string[]> {
        const found = await stateCollection().find({ organizationId }).project<{ readonly _id: unknown }>({ _id: 1 }).toArray();
        return found.map(({ _id }) => String(_id));
      },

      /** Deletes what there is of some webhooks; without ids, of all. */
      async forget(ids?: readonly string[]): Promise<void> {
        const some = ids && { $in: [...ids] };
        await waitingCollection().deleteMany({ organizationId, ...(some && { webhookId: some }) }, database.session());
        await stateCollection().deleteMany({ organizationId, ...(some && { _id: some }) }, database.session());
      },
    });
  };

  return Object.assign(
    of,
    translatingErrors({
      /** Returns the progress of all webhooks that deliver, of one organization or of all. One read by an index. */
      async active(organizationId?: string): Promise<WebhookProgress[]> {
        const where = organizationId === undefined ? { isActive: true } : { organizationId, isActive: true };
        const found = await stateCollection().find(where, { limit: ACTIVE_MAX }).toArray();
        return found.flatMap((state) => progressOf(state) ?? []);
      },
      /** Returns the organizations that have webhooks, also paused ones. */
      async organizations(): Promise<string[]> {
        return ((await stateCollection().distinct('organizationId')) as unknown[]).map(String);
      },
    }),
  );
}

function isDate(value: unknown): value is Date {
  return value instanceof Date && !Number.isNaN(value.getTime());
}

/** Returns the progress in a document that anybody can have written. Null if it is none. */
function progressOf({ _id: id, organizationId, position, dueAt, heldUntil, failures, leaseEndsAt }: State): WebhookProgress | null {
  const dates: readonly unknown[] = [dueAt, heldUntil, leaseEndsAt];
  const isProgress =
    [id, organizationId, position].every((text) => typeof text === 'string') &&
    isPosition(position) &&
    Number.isSafeInteger(failures) &&
    dates.every((value) => value === null || isDate(value));
  return isProgress ? { id, organizationId, position, dueAt, heldUntil, failures, leaseEndsAt } : null;
}

/** Returns what is known of an event that waits, without its keys and what else the document has. */
function waitingOf({ eventId, position, object, attempts, firstAt, dueAt }: Waiting): Waiting {
  return { eventId, position, object, attempts, firstAt, dueAt };
}

function isWaiting({ eventId, position, object, attempts, firstAt, dueAt }: StoredWaiting): boolean {
  return (
    [eventId, object].every((text) => typeof text === 'string') &&
    isPosition(String(position)) &&
    Number.isSafeInteger(attempts) &&
    (firstAt === null || isDate(firstAt)) &&
    isDate(dueAt)
  );
}
