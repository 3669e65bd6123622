import type { NounName } from '../access/nouns.ts';
import { readScope } from '../access/scopes.ts';
import { may, type Viewer } from '../access/viewer.ts';
import type { Choices } from '../fields/field.ts';
import type { EventRange } from '../store/event.ts';
import { type EventNoun, type EventType, eventNouns } from '../store/event-forms.ts';
import type { Store } from '../store/index.ts';
import { inTurnByOrganization } from './in-turn.ts';

export {
  type DeletionReason,
  type EventNoun,
  type EventType,
  type Expiring,
  eventNouns,
  eventTypes,
  isPosition,
  LAST_ID,
  lastPositionUpTo,
  NO_POSITION,
  positionOf,
  type Snapshot,
} from '../store/event-forms.ts';
export type { EventRange };

/** After a commit, others that follow it closely get their positions together with it. In milliseconds. */
const GATHERING_MS = 25;
/** How many transactions a query waits for that number events that are committed. More than these are a matter of the job. */
const TIMES_AT_ONCE = 5;
const DAY_MS = 24 * 60 * 60_000;

export type Events = ReturnType<typeof createEvents>;

/** The numbering of an organization that runs, and the one that comes after it, if somebody waits for it. */
interface Numbering {
  readonly running: Promise<boolean>;
  next: Promise<boolean> | undefined;
}

/** What a query needs to know of the events of its organization. */
export interface OrganizationEvents {
  /**
   * Gives positions to the events that are committed, so that a query finds what was done before it. Returns how far the events reach. `reached` is how far
   * the reader has come, if it has read any.
   */
  prepare(reached?: string): Promise<EventRange>;
  /** Returns how far the events reach that have positions. */
  range(): Promise<EventRange>;
  /** Returns a position: all events that got theirs at a time, or later, come after it. */
  positionAt(time: Date): Promise<string>;
}

/**
 * The events of all organizations: numbers them, and tells who waits for them. Whoever follows the events of an organization, such as a webhook or a live
 * query, does it like this:
 *
 * 1. It keeps the position of the last event that it has handled, and reads `stores.of(organizationId).events.page` in the order of `position`, after that
 *    position. A position that is smaller than `removed` of `range` has lost events, and must be told so.
 * 2. `onNumbered` wakes it up when this process has given positions. It says nothing more than that there is something to read.
 * 3. For what other processes have numbered, it asks `newest` for the positions of the newest events of all organizations that it follows, with one
 *    read by an index, as often as it likes, and compares them with its own.
 *
 * An event is never inserted before another one that already has a position, so nothing is missed and nothing comes twice.
 */
export function createEvents(
  { stores, now }: { readonly stores: Store; readonly now: () => Date },
  { days, isAutomatic }: { readonly days: number; readonly isAutomatic: boolean },
) {
  const callbacks = new Set<(organizationId: string) => void>();
  const waiting = new Map<string, NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  const numberings = new Map<string, Numbering>();

  /** Runs some transactions that number the events of an organization, and wakes up who waits for them. Returns whether these were all events. */
  async function numberNow(organizationId: string): Promise<boolean> {
    const { hadNew, isAll } = await stores.of(organizationId).events.number(now(), TIMES_AT_ONCE);
    if (hadNew) for (const callback of callbacks) callback(organizationId);
    return isAll;
  }

  /**
   * Numbers events that were committed before this is called. Many transactions that number at once would only refuse each other. So what is asked for
   * while one runs is done once for all who ask, when it has ended: it can have begun before the commit. Returns whether these were all events.
   */
  function numberSome(organizationId: string): Promise<boolean> {
    const present = numberings.get(organizationId);
    if (!present) return begin(organizationId);
    present.next ??= present.running.catch(() => {}).then(() => begin(organizationId));
    return present.next;
  }

  function begin(organizationId: string): Promise<boolean> {
    const numbering: Numbering = { running: numberNow(organizationId), next: undefined };
    numberings.set(organizationId, numbering);
    const end = () => {
      if (numbering.next === undefined) numberings.delete(organizationId);
    };
    numbering.running.then(end, end);
    return numbering.running;
  }

  /** Numbers all events of an organization that were committed before this is called. */
  async function number(organizationId: string): Promise<void> {
    while (!(await numberSome(organizationId)));
  }

  if (isAutomatic) {
    stores.outbox.onCommitted((organizationId) => {
      if (waiting.has(organizationId)) return;
      const timer = setTimeout(() => {
        waiting.delete(organizationId);
        // What fails, the job does again.
        const run = number(organizationId)
          .catch(() => {})
          .finally(() => running.delete(run));
        running.add(run);
      }, GATHERING_MS);
      waiting.set(organizationId, timer.unref());
    });
  }

  return {
    number,
    /** Calls the function when events of an organization got their positions in this process. It must not throw. Returns what ends that. */
    onNumbered(callback: (organizationId: string) => void): () => void {
      callbacks.add(callback);
      return () => void callbacks.delete(callback);
    },
    /** Returns the positions of the newest events of some organizations. None for an organization without events. */
    newest: (organizationIds: readonly string[]): Promise<Map<string, string>> => stores.newestEvents(organizationIds),
    /** Returns what a query needs to know of the events of an organization. */
    of: (organizationId: string): OrganizationEvents => ({
      async prepare(reached) {
        await numberSome(organizationId);
        return stores.of(organizationId).events.range(reached);
      },
      range: () => stores.of(organizationId).events.range(),
      positionAt: (time) => stores.of(organizationId).events.positionAt(time),
    }),
    /**
     * Numbers what no process has numbered since it was committed, and deletes old events.
     * @throws AggregateError of an OrganizationError for each organization that failed, at the end
     */
    async run(): Promise<void> {
      const before = new Date(now().getTime() - days * DAY_MS);
      const organizations = (await stores.liveOrganizations()).map((organizationId) => ({ organizationId }));
      await inTurnByOrganization(organizations, async ({ organizationId }) => {
        await number(organizationId);
        await stores.of(organizationId).events.trim(before, now());
      });
    },
    /** Waits for what is running. What is not numbered then, another process numbers. */
    async stop(): Promise<void> {
      for (const timer of waiting.values()) clearTimeout(timer);
      waiting.clear();
      await Promise.all(running);
    },
  };
}

/** The types of events, for callers. */
export const eventTypeChoices = {
  enumName: 'EventType',
  description: 'What has happened to an object.',
  values: {
    CREATED: 'It was created.',
    UPDATED: 'It was changed; `version` of the snapshot is that after the change.',
    DELETED: 'It was deleted. `reason` says why, and the snapshot what it was before.',
    STATE_CHANGED: 'The state of a credential or a connection has changed: whether it works, needs attention or needs an authorization.',
    TOKENS_REFRESHED: 'The gateway has obtained or refreshed tokens of a credential.',
    REFRESH_FAILED: 'The gateway could not obtain or refresh tokens of a credential. `problem` says why.',
    CHECK_FAILED: 'A check, or requests that were sent, showed a problem that was not known before.',
    ABOUT_TO_EXPIRE: 'A credential, its certificate or its token expires soon: see `expiry`. The integration sets how long before.',
    SECRET_REPLACED: 'A secret of a credential was set, replaced or removed, or an API key was rotated, or a webhook got a new secret.',
    SECRET_REVEALED: 'A secret of a credential was revealed, or exported.',
    FIRST_USED: 'A connection, a credential or an API key was used for the first time. It is written within a minute or two.',
  },
} as const satisfies Choices<EventType>;

/** Returns the nouns of whose objects the viewer may read events: those that it may read itself. */
export function readableNouns(viewer: Viewer): EventNoun[] {
  return eventNouns.filter((noun) => may(viewer, readScope(noun)));
}

/** Returns the filter for the events that the viewer may read. Empty if these are all that its limit contains. */
export function readableEvents(viewer: Viewer): { readonly objectNoun?: readonly EventNoun[] } {
  const nouns = readableNouns(viewer);
  // Within a limit, there are no events of API keys, and none of what all end users of an integration share.
  const beyond: readonly NounName[] = viewer.confinedTo
    ? viewer.confinedTo.endUserId === undefined
      ? ['apiKey']
      : ['apiKey', 'integration', 'connector', 'webhook']
    : [];
  return eventNouns.every((noun) => nouns.includes(noun) || beyond.includes(noun)) ? {} : { objectNoun: nouns };
}
