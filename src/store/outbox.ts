import { AsyncLocalStorage } from 'node:async_hooks';
import { isMacOf, macOf, type RecordKey } from '../secrets/record-mac.ts';
import { type Actor, GATEWAY_SUBJECT } from './actor.ts';
import type { Database } from './database.ts';
import { type CarriedEvent, carriedFields, type DeletionReason, type Happening, isEventNoun } from './event-forms.ts';
import { list, object, tenantSchema, text } from './fields.ts';
import { newId } from './ids.ts';
import { isInTransaction, noteOf, onOutcome } from './outcomes.ts';

/** What an entry of the audit log says about the action whose transaction it belongs to. */
interface EntryOfAction {
  readonly createdAt: Date;
  readonly viewerKind?: Actor['kind'] | null | undefined;
  readonly subject: string;
  readonly action: string;
  readonly objectNoun: string | null;
  readonly objectId: string | null;
}

/** What happened in the running transaction, in one organization. */
interface Noted {
  happenings: Happening[];
  /** The last entry of the audit log that the transaction has written. */
  entry: EntryOfAction | null;
}

/** Several events in one document. Removed when they have their positions. */
export interface Box {
  readonly _id: string;
  readonly organizationId: string;
  readonly events: readonly CarriedEvent[];
  readonly mac: string;
}

/** How many events an entry of the audit log carries. The others get documents of their own. */
const IN_ENTRY_MAX = 50;
const IN_BOX_MAX = 250;
const BOXES_AT_ONCE = 20;
const MAC: ReadonlySet<string> = new Set(['mac']);
const boxFields = { events: list(object(carriedFields)), mac: text() };
/** Whether what happens is nobody's business any more. */
const silence = new AsyncLocalStorage<true>();

export type Outbox = ReturnType<typeof createOutbox>;

/**
 * Collects what happens to objects, and writes it with the transaction in which it happens: as part of the entry of the audit log, which costs no
 * command, or else in a document of its own. Later, it gets its position among the events of the organization.
 */
export function createOutbox(database: Database, now: () => Date, keyOf: (organizationId: string) => Promise<RecordKey>) {
  const schema = tenantSchema(boxFields);
  schema.index({ organizationId: 1, _id: 1 });
  database.model('OutboxBox', schema, 'outbox');
  const boxes = () => database.collection<Box>('outbox');
  const changed = new Set<string>();
  let onCommitted = (_organizationId: string) => {};
  const notes = {};

  /** Returns what the running transaction has noted of an organization. */
  function notedOf(organizationId: string): Noted {
    const all = noteOf(notes, () => new Map<string, Noted>())!;
    const known = all.get(organizationId);
    if (known) return known;
    const noted: Noted = { happenings: [], entry: null };
    all.set(organizationId, noted);
    database.beforeCommit(async () => {
      const { happenings, entry } = noted;
      noted.happenings = [];
      await write(
        organizationId,
        happenings.map((each) => carried(each, entry)),
      );
    });
    return noted;
  }

  /** Tells, when the running transaction is committed, that there are events. */
  function announce(organizationId: string): void {
    onOutcome((outcome) => {
      if (outcome === 'aborted') return;
      changed.add(organizationId);
      onCommitted(organizationId);
    });
  }

  async function write(organizationId: string, events: readonly CarriedEvent[]): Promise<void> {
    if (events.length === 0) return;
    const key = await keyOf(organizationId);
    const documents: Box[] = [];
    for (let start = 0; start < events.length; start += IN_BOX_MAX) {
      const document = { _id: newId(), organizationId, events: events.slice(start, start + IN_BOX_MAX) };
      documents.push({ ...document, mac: macOf(key, 'eventBox', document) });
    }
    for (let start = 0; start < documents.length; start += BOXES_AT_ONCE)
      await boxes().insertMany(documents.slice(start, start + BOXES_AT_ONCE), database.session());
  }

  /** Returns an event with who did it, and why. Without an entry of the audit log, the gateway did it by itself. */
  function carried(happening: Happening, entry: EntryOfAction | null): CarriedEvent {
    const { objectNoun, objectId, type } = happening;
    const isOther = entry !== null && entry.objectId !== null && (entry.objectId !== objectId || entry.objectNoun !== objectNoun);
    const requested: DeletionReason = entry?.action === 'expireCredential' ? 'EXPIRED' : 'REQUESTED';
    const isNamed = isOther && isEventNoun(entry.objectNoun);
    return {
      id: newId(),
      createdAt: entry?.createdAt ?? now(),
      createdBy: { kind: entry?.viewerKind ?? 'gateway', subject: entry?.viewerKind ? entry.subject : GATEWAY_SUBJECT },
      ...happening,
      reason: type === 'DELETED' ? (isOther ? 'CASCADE' : requested) : null,
      causeNoun: isNamed ? (entry.objectNoun as CarriedEvent['causeNoun']) : null,
      causeId: isNamed ? entry.objectId : null,
      action: entry?.action ?? null,
    };
  }

  return {
    /** Notes what has happened. It is written with the running transaction. Outside of one, it is written at once. */
    async note(organizationId: string, happenings: readonly Happening[]): Promise<void> {
      if (happenings.length === 0 || silence.getStore()) return;
      if (isInTransaction()) {
        const noted = notedOf(organizationId);
        if (noted.happenings.length === 0) announce(organizationId);
        noted.happenings.push(...happenings);
        return;
      }
      await write(
        organizationId,
        happenings.map((each) => carried(each, null)),
      );
      changed.add(organizationId);
      onCommitted(organizationId);
    },

    /** Returns what the running transaction has noted, for the entry of the audit log that ends the action: as much as one entry carries. */
    take(organizationId: string, entry: EntryOfAction): readonly CarriedEvent[] {
      const all = noteOf(notes, () => new Map<string, Noted>());
      const noted = all?.get(organizationId);
      if (!noted) return [];
      noted.entry = entry;
      return noted.happenings.splice(0, IN_ENTRY_MAX).map((each) => carried(each, entry));
    },

    /** Says on whose behalf the running transaction acts, if no entry ends it. */
    attribute(organizationId: string, entry: EntryOfAction): void {
      const noted = noteOf(notes, () => new Map<string, Noted>())?.get(organizationId);
      if (noted) noted.entry = entry;
    },

    /** Whether events are noted here. */
    isSilent: () => silence.getStore() === true,
    /** Runs something of which no event tells: the organization is deleted, with its events. */
    silently: <T>(run: () => T): T => silence.run(true, run),

    /** Returns boxes that were not emptied, oldest first, and the ids of those that the gateway did not write. */
    async full(organizationId: string, limit: number): Promise<{ readonly intact: readonly Box[]; readonly altered: readonly Box[] }> {
      const found = await boxes()
        .find({ organizationId }, { sort: { _id: 1 }, limit, batchSize: limit + 1, ...database.session() })
        .toArray();
      if (found.length === 0) return { intact: [], altered: [] };
      const key = await keyOf(organizationId);
      const isIntact = (box: Box) => isMacOf(key, 'eventBox', box, box.mac, MAC) && boxFields.events.fits(box.events);
      return { intact: found.filter(isIntact), altered: found.filter((box) => !isIntact(box)) };
    },
    async remove(organizationId: string, ids: readonly string[]): Promise<void> {
      await boxes().deleteMany({ organizationId, _id: { $in: [...ids] } }, database.session());
    },
    async removeAll(organizationId: string): Promise<void> {
      await boxes().deleteMany({ organizationId });
    },

    /** Returns the organizations in which this process has committed something since this was called last. */
    changed(): string[] {
      const names = [...changed];
      changed.clear();
      return names;
    },
    /** Sets the function that is called with the organization when something was committed. It must not throw. */
    onCommitted(callback: (organizationId: string) => void): void {
      onCommitted = callback;
    },
  };
}
