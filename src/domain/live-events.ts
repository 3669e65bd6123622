import type { Viewer } from '../access/viewer.ts';
import { CursorExpiredError, UnauthenticatedError } from '../errors.ts';
import { type EventRange, type EventRecord, pageAfter } from '../store/event.ts';
import { NO_POSITION } from '../store/event-forms.ts';
import type { OrganizationStore, Store } from '../store/index.ts';
import type { Filter } from '../store/records.ts';
import type { Events, OrganizationEvents } from './events.ts';

/** How often each copy of the gateway asks what other copies have numbered, in milliseconds. */
const POLL_MS = 500;
/** For how many organizations it asks with one command. If more are followed, they take turns. */
const POLLED_MAX = 1_000;
/** How many events are read with one command. */
const PAGE_SIZE = 100;
/** How many events of an organization are kept in memory for its listeners, and for how long after the last one, in milliseconds. */
const KEPT_MAX = 1_000;
const KEPT_MS = 2_000;

/** The events that a listener gets, one after the other. */
export interface EventStream extends AsyncIterable<EventRecord> {
  /** How far the listener has come: the position of the event that it has handled last, or of a later one that it does not get. */
  readonly position: string;
  /**
   * Returns the next event, as soon as there is one. Undefined after the end. The one before is handled then.
   * @throws CursorExpiredError when events were deleted before this listener could read them
   * @throws UnauthenticatedError when the end user that listens was deleted, after the events of that
   */
  next(): Promise<EventRecord | undefined>;
  end(): void;
}

/** What a listener asks for. */
export interface Follow {
  readonly filter: Filter<EventRecord>;
  /** The position after which it begins. Undefined: with what is numbered from now on. */
  readonly after?: string | undefined;
  /** Awaited before events are read for this listener alone. */
  readonly beforeReading?: () => Promise<void>;
  /** Called when an API key of the organization was deleted or rotated. It must not throw. */
  readonly onKeyChange?: () => void;
}

export type LiveEvents = ReturnType<typeof createLiveEvents>;

/** What was read lately of the events of one organization, for all its listeners. */
interface Feed {
  readonly organizationId: string;
  readonly listeners: Set<Listener>;
  /** All events after `from`, up to `newest`. */
  kept: EventRecord[];
  from: string;
  newest: string;
  /** When something was read last, as a value of `performance.now()`. */
  readAt: number;
  isReading: boolean;
  /** Whether there may be more to read. */
  isStale: boolean;
}

/**
 * Gives events to listeners as they are numbered. All listeners of an organization share one read of what is new, whose events each of them filters in
 * memory, by the rule that the store itself follows when it reads. Who begins further back, or falls back, reads pages of its own, as a query does,
 * until it has caught up. For what other copies have numbered, one command each half second asks for the newest positions of all organizations that
 * are followed; without listeners, there is none.
 */
export function createLiveEvents({ stores, events }: { readonly stores: Store; readonly events: Events }) {
  const feeds = new Map<string, Feed>();
  let timer: NodeJS.Timeout | undefined;
  let isPolling = false;

  /** Reads what is new for all listeners of an organization. What fails is done again after the next poll. */
  async function advance(feed: Feed): Promise<void> {
    feed.isStale = true;
    if (feed.isReading) return;
    feed.isReading = true;
    try {
      while (feed.isStale && feed.listeners.size > 0) {
        feed.isStale = false;
        await readNews(feed);
      }
    } catch {
      feed.isStale = true;
    } finally {
      feed.isReading = false;
    }
  }

  async function readNews(feed: Feed): Promise<void> {
    const own = stores.of(feed.organizationId).events;
    const { records, hasMore, continuesAt } = await own.evenAltered.page({}, pageAfter(feed.newest, PAGE_SIZE));
    const last = continuesAt ? { position: String(continuesAt.value) } : records.at(-1);
    if (!last) return;
    const before = feed.newest;
    if (continuesAt || records.some(({ isAltered }) => isAltered)) {
      // What an altered record says decides nothing here. Each listener reads this part for itself, so that the database tells whether it is in its list.
      const { newest } = await own.range();
      feed.kept = [];
      feed.newest = later(feed.newest, earlier(last.position, newest));
      feed.from = feed.newest;
    } else {
      feed.kept.push(...records);
      feed.newest = last.position;
      const surplus = feed.kept.length - KEPT_MAX;
      if (surplus > 0) feed.from = feed.kept.splice(0, surplus).at(-1)!.position;
    }
    feed.readAt = performance.now();
    feed.isStale ||= hasMore && feed.newest > before;
    const isKeyChange = records.some(
      ({ objectNoun, type }) => objectNoun === 'apiKey' && (type === 'DELETED' || type === 'SECRET_REPLACED'),
    );
    for (const { objectNoun, objectId, type, position, isAltered } of records) {
      if (objectNoun !== 'endUser' || type !== 'DELETED' || isAltered) continue;
      for (const listener of feed.listeners) if (listener.endUserId === objectId) listener.endAfter(position);
    }
    for (const listener of feed.listeners) {
      if (isKeyChange) listener.follow.onKeyChange?.();
      listener.wake();
    }
  }

  /** Asks what other copies have numbered. One command. */
  async function poll(): Promise<void> {
    const asked = [...feeds.values()].slice(0, POLLED_MAX);
    // They come last the next time.
    for (const feed of asked.length < feeds.size ? asked : []) {
      feeds.delete(feed.organizationId);
      feeds.set(feed.organizationId, feed);
    }
    const before = new Map(asked.map((feed) => [feed, feed.newest]));
    const newest = await events.newest(asked.map(({ organizationId }) => organizationId));
    for (const feed of asked) {
      const now = newest.get(feed.organizationId) ?? NO_POSITION;
      if (now > feed.newest || feed.isStale) void advance(feed);
      else if (now < before.get(feed)!) await endIfGone(feed);
      if (feed.kept.length > 0 && performance.now() - feed.readAt > KEPT_MS) {
        feed.kept = [];
        feed.from = feed.newest;
      }
    }
  }

  /**
   * Ends the listeners of an organization whose events have gone back: the organization was deleted; or the database was restored, and positions will
   * mean other events.
   */
  async function endIfGone(feed: Feed): Promise<void> {
    const { events: own, organization } = stores.of(feed.organizationId);
    const { newest } = await own.range();
    if (newest >= feed.newest) return;
    const isDeleted = (await organization.state()) === 'deleted';
    const error = isDeleted ? new UnauthenticatedError('The organization of this token has been deleted.') : new CursorExpiredError();
    for (const listener of [...feed.listeners]) listener.fail(error);
  }

  function feedOf(organizationId: string, newest: string): Feed {
    const known = feeds.get(organizationId);
    if (known) return known;
    const feed: Feed = {
      organizationId,
      listeners: new Set(),
      kept: [],
      from: newest,
      newest,
      readAt: 0,
      isReading: false,
      isStale: true,
    };
    feeds.set(organizationId, feed);
    timer ??= setInterval(() => {
      if (isPolling) return;
      isPolling = true;
      poll()
        .catch(() => {})
        .finally(() => {
          isPolling = false;
        });
    }, POLL_MS).unref();
    return feed;
  }

  const endNumbered = events.onNumbered((organizationId) => {
    const feed = feeds.get(organizationId);
    if (feed) void advance(feed);
  });

  return {
    /**
     * Begins to give a viewer the events of its organization that are in its list.
     * @throws CursorExpiredError when events after that position are not kept any more, or the position is from another database
     */
    async follow(
      { viewer, store, events: own }: { readonly viewer: Viewer; readonly store: OrganizationStore; readonly events: OrganizationEvents },
      follow: Follow,
    ): Promise<EventStream> {
      const { organizationId } = viewer;
      const { newest, removed } = await own.prepare(follow.after);
      const { after = newest } = follow;
      if (after < removed || after > newest) throw new CursorExpiredError();
      const feed = feedOf(organizationId, newest);
      const range = () => stores.of(organizationId).events.range();
      const listener = new Listener(feed, follow, { store, range, after, endUserId: viewer.confinedTo?.endUserId }, () => {
        feed.listeners.delete(listener);
        if (feed.listeners.size > 0 || feeds.get(organizationId) !== feed) return;
        feeds.delete(organizationId);
        if (feeds.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      });
      feed.listeners.add(listener);
      if (feed.isStale || feed.newest < newest) void advance(feed);
      return listener;
    },
    stop(): void {
      endNumbered();
      clearInterval(timer);
      for (const feed of feeds.values()) for (const listener of [...feed.listeners]) listener.end();
    },
  };
}

class Listener implements EventStream {
  readonly follow: Follow;
  /** The end user that listens. */
  readonly endUserId: string | undefined;
  readonly #feed: Feed;
  readonly #from: { readonly store: OrganizationStore; readonly range: () => Promise<EventRange> };
  readonly #onEnd: () => void;
  readonly #isWanted: (event: EventRecord) => boolean;
  #position: string;
  /** Up to where events were looked at. */
  #at: string;
  /** What was read for this listener alone, and how far that reaches. */
  #own: EventRecord[] = [];
  #ownUpTo: string | undefined;
  /** The position of the last event that it gets. */
  #last: string | undefined;
  #wake: (() => void) | undefined;
  #isEnded = false;
  #failure: unknown;

  constructor(
    feed: Feed,
    follow: Follow,
    {
      after,
      endUserId,
      ...from
    }: {
      readonly store: OrganizationStore;
      readonly range: () => Promise<EventRange>;
      readonly after: string;
      readonly endUserId: string | undefined;
    },
    onEnd: () => void,
  ) {
    this.follow = follow;
    this.endUserId = endUserId;
    this.#feed = feed;
    this.#from = from;
    this.#onEnd = onEnd;
    this.#isWanted = from.store.events.wanted(follow.filter);
    this.#position = after;
    this.#at = after;
  }

  get position(): string {
    return this.#position;
  }

  async next(): Promise<EventRecord | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isEnded) return undefined;
      this.#position = this.#at;
      const event = this.#ownUpTo === undefined ? this.#ofFeed() : this.#ofOwn();
      const isBeyond = this.#last !== undefined && (event ? event.position > this.#last : this.#at >= this.#last);
      if (isBeyond) throw new UnauthenticatedError('The end user of this token was deleted.');
      if (event) {
        this.#at = event.position;
        return event;
      }
      this.#position = this.#at;
      if (this.#at < this.#feed.from) await this.#readOwn();
      else if (this.#at >= this.#feed.newest) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Returns the next event among those that were read for all listeners. */
  #ofFeed(): EventRecord | undefined {
    const { kept, from, newest } = this.#feed;
    if (this.#at < from || this.#at >= newest) return undefined;
    for (let index = firstAfter(kept, this.#at); index < kept.length; index++) if (this.#isWanted(kept[index]!)) return kept[index];
    this.#at = newest;
    return undefined;
  }

  #ofOwn(): EventRecord | undefined {
    const event = this.#own.shift();
    if (event) return event;
    this.#at = this.#ownUpTo!;
    this.#ownUpTo = undefined;
    return undefined;
  }

  /** Reads a page of the list of this listener, exactly as the query does. @throws CursorExpiredError */
  async #readOwn(): Promise<void> {
    await this.follow.beforeReading?.();
    if (this.#isEnded) return;
    const { newest, removed } = await this.#from.range();
    if (this.#at < removed || this.#at > newest) throw new CursorExpiredError();
    // What is removed is announced a minute before.
    const page = await this.#from.store.events.evenAltered.page(this.follow.filter, { ...pageAfter(this.#at, PAGE_SIZE), isBounded: true });
    // Nothing that has a position is beyond the newest one, unless somebody else has written it, or it came in the meantime.
    this.#own = page.records.filter(({ position }) => position <= newest);
    const last = page.continuesAt ? String(page.continuesAt.value) : page.records.at(-1)?.position;
    this.#ownUpTo = page.hasMore && last !== undefined ? earlier(last, newest) : newest;
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Ends after the events up to a position. */
  endAfter(position: string): void {
    this.#last ??= position;
  }

  fail(error: unknown): void {
    this.#failure ??= error;
    this.end();
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd();
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EventRecord> {
    try {
      for (let event = await this.next(); event; event = await this.next()) yield event;
    } finally {
      this.end();
    }
  }
}

/** Returns the index of the first event after a position. Events are in the order of their positions. */
function firstAfter(events: readonly EventRecord[], position: string): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle]!.position > position) high = middle;
    else low = middle + 1;
  }
  return low;
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}

function earlier(a: string, b: string): string {
  return a < b ? a : b;
}
