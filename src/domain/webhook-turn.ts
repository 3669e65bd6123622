import { randomUUID } from 'node:crypto';
import { AlteredRecordError, UnreadableSecretError } from '../errors.ts';
import { type EventRecord, pageAfter } from '../store/event.ts';
import { isPosition, NO_POSITION, positionOf } from '../store/event-forms.ts';
import type { OrganizationStore } from '../store/index.ts';
import { newId, type PageStart } from '../store/records.ts';
import type { WebhookDeliveryRecord, WebhookProblem, WebhookRecord, WebhookSigner } from '../store/webhook.ts';
import type { Waiting, WebhookLease, WebhookProgress } from '../store/webhook-queue.ts';
import type { GatewayContext } from './context.ts';
import { mutate } from './mutate.ts';
import { asItself } from './organization.ts';
import { actorOf } from './records.ts';
import { gets, isActive } from './webhook.ts';
import { contentOf, isDelivered, sendTo } from './webhook-message.ts';

/** How many deliveries are under way at once: of one webhook, and of all. Beyond the latter, each webhook has one, so that none waits for others. */
const AT_ONCE = 8;
const ALL_AT_ONCE = 128;
/** After this many failures without a success, no new events are taken, and one that waits is tried at a time. */
export const FAILURES_MAX = 5;
/** How many events of a webhook can wait. Then no new ones are taken: they stay where they are. */
const WAITING_MAX = 1_000;
/** How many more are read: an event that is to be delivered again can always be added. */
const WAITING_READ = 2 * WAITING_MAX;
const EVENTS_AT_ONCE = 100;

/**
 * For how long a copy has a webhook for itself, in milliseconds, and how often it says that it lives. An attempt takes 25 s at most, and none begins when
 * less than half of the lease is left.
 */
const LEASE_MS = 60_000;
const SAVE_MS = 2_000;
/** After so many attempts, it saves at once: a crash repeats no more of a webhook than these and those under way. */
const UNSAVED_MAX = 100;
/** After this time, others get a turn, in milliseconds. */
const TURN_MS = 20_000;
/** How long it keeps a webhook that has nothing to do, so that what happens next is sent at once and with few commands. In milliseconds. */
const LINGER_MS = 1_000;
/** When it looks again at a webhook that it cannot read, in milliseconds. */
const UNREADABLE_MS = 60 * 60_000;

/** How long after the first attempt an event is tried, in milliseconds. Then the webhook is paused. */
const TRIED_MS = 2 * 24 * 60 * 60_000;
const RETRY_MIN_MS = 5_000;
const RETRY_FACTOR = 3;
/** The longest wait between two attempts, also if the receiver asks for more, in milliseconds. */
const RETRY_MAX_MS = 4 * 60 * 60_000;

/** What all webhooks of this process share. */
export interface Load {
  /** How many attempts are under way. */
  count: number;
  isStopped: boolean;
  /** Whether it waits for events while it has none. */
  readonly lingers: boolean;
  /** Ends all attempts. */
  readonly stopping: AbortSignal;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** An event that is to be delivered. */
interface Item extends Mutable<Waiting> {
  /** Whether it is stored as one that waits. */
  isStored: boolean;
  /** Undefined until it is read. Null if it is not to be delivered: it was deleted, or altered, or the webhook does not get it. */
  event: EventRecord | null | undefined;
}

/**
 * Delivers for one webhook, for a turn. Another copy of the gateway can have it already. `onTurn` is called when this one has the lease.
 * Returns whether there is more at once.
 */
export async function deliverFor(
  gateway: GatewayContext,
  { id, organizationId }: WebhookProgress,
  load: Load,
  onTurn: (turn: Turn) => void,
): Promise<boolean> {
  const { stores, now } = gateway;
  const store = stores.of(organizationId);
  const lease = { id, owner: randomUUID() };
  const leasedAt = performance.now();
  const progress = await store.webhookQueue.take(lease, now(), new Date(now().getTime() + LEASE_MS));
  if (!progress) return false;
  let prepared: Prepared | null;
  try {
    prepared = await prepare(gateway, store, id, progress);
  } catch (error) {
    // What nobody can prove is not delivered. It is in the audit log that it was altered.
    const isAltered = error instanceof AlteredRecordError;
    const heldUntil = isAltered ? new Date(now().getTime() + UNREADABLE_MS) : progress.heldUntil;
    await store.webhookQueue.save(lease, { ...pick(progress), heldUntil }, [], [], null);
    if (!isAltered) throw error;
    return false;
  }
  if (!prepared) return false;
  const turn = new Turn(gateway, store, { ...prepared, lease, leasedAt, progress }, load);
  onTurn(turn);
  return turn.run();
}

/** What is needed to deliver for a webhook. */
interface Prepared {
  readonly webhook: WebhookRecord;
  readonly signature: WebhookSigner;
}

/** Returns null if nothing can be delivered for the webhook. It is paused then, if somebody has to mend something. */
async function prepare(
  gateway: GatewayContext,
  store: OrganizationStore,
  id: string,
  { position }: WebhookProgress,
): Promise<Prepared | null> {
  const webhook = await store.webhooks.one({ id });
  if (!webhook || !isActive(webhook)) {
    await store.webhookQueue.setActive(id, false);
    return null;
  }
  const { removed } = await store.events.range();
  if (position < removed) {
    await pause(gateway, webhook, 'EVENTS_LOST');
    return null;
  }
  try {
    return { webhook, signature: await store.webhooks.signer(webhook, gateway.now()) };
  } catch (error) {
    if (!(error instanceof UnreadableSecretError)) throw error;
    await pause(gateway, webhook, 'SECRET_UNREADABLE');
    return null;
  }
}

function pick({ position, heldUntil, failures }: WebhookProgress) {
  return { position, heldUntil, failures };
}

/** Stops deliveries, with an entry in the audit log, unless the webhook was changed meanwhile. Nothing that waits is lost. */
async function pause(gateway: GatewayContext, { id, organizationId, version }: WebhookRecord, code: WebhookProblem): Promise<void> {
  const context = asItself(gateway, organizationId);
  const { store } = context;
  const present = await store.webhooks.one({ id });
  // What was wrong is said of another URL, or of another secret, or of nothing any more.
  if (present?.version !== version) return store.webhookQueue.setActive(id, present !== null && isActive(present));
  const action = { name: 'pauseWebhook', noun: 'webhook', address: null, requestId: null } as const;
  await mutate(
    { ...context, action },
    async () => {
      const record = await store.webhooks.one({ id });
      const isSame = record?.version === version;
      await store.webhookQueue.setActive(id, record !== null && !isSame && isActive(record));
      if (!record || !isSame || !isActive(record)) return id;
      const since = context.now();
      await store.webhooks.update(record, { problem: { code, since } }, { updatedAt: since, updatedBy: actorOf(context) });
      return id;
    },
    code,
  );
}

/** Returns how long to wait before the next attempt, in milliseconds: from half of the time to all of it. */
function backoff(attempts: number): number {
  const longest = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * RETRY_FACTOR ** Math.min(attempts - 1, 20));
  return longest * (0.5 + Math.random() / 2);
}

/** A webhook whose lease this process has. */
interface Held extends Prepared {
  readonly lease: WebhookLease;
  /** When it got the lease, by a clock that nobody changes (`performance.now()`). */
  readonly leasedAt: number;
  readonly progress: WebhookProgress;
}

/** The time in which one copy of the gateway delivers for one webhook. */
export class Turn {
  readonly #gateway: GatewayContext;
  readonly #store: OrganizationStore;
  readonly #webhook: WebhookRecord;
  readonly #signature: WebhookSigner;
  readonly #lease: WebhookLease;
  readonly #load: Load;
  readonly #startedAt: number;
  /** When the lease was prolonged last, by a clock that nobody changes. */
  #leasedAt: number;

  /** What is to be delivered of each object, in order. */
  readonly #queues = new Map<string, Item[]>();
  /** The objects whose first item is due. */
  readonly #ready: string[] = [];
  readonly #busy = new Set<string>();
  /** The ids of all events in `#queues`. */
  readonly #known = new Set<string>();
  /** The positions of events that were read and are neither done nor stored, in the order in which they were read. */
  readonly #open = new Set<string>();
  #readTo: string;
  #hasMore = true;
  /** Where the next page begins, and the newest position when the first one was read. Undefined: after `#readTo`. */
  #nextPage: { readonly start: PageStart; readonly newest: string } | undefined;
  #stored = 0;
  #failures: number;
  #heldUntil: Date | null;
  #problem: WebhookProblem | null = null;
  #isLost = false;
  /** Whether the webhook was changed, so that what it says now needs another turn. */
  #isChanged = false;

  #changed = new Set<Item>();
  #done: string[] = [];
  #deliveries: WebhookDeliveryRecord[] = [];
  #inFlight = 0;
  /** Continues what waits. */
  wake: () => void = () => {};

  constructor(gateway: GatewayContext, store: OrganizationStore, held: Held, load: Load) {
    this.#gateway = gateway;
    this.#store = store;
    this.#webhook = held.webhook;
    this.#signature = held.signature;
    this.#lease = held.lease;
    this.#readTo = held.progress.position;
    this.#failures = held.progress.failures;
    this.#heldUntil = held.progress.heldUntil;
    this.#load = load;
    this.#startedAt = held.leasedAt;
    this.#leasedAt = held.leasedAt;
  }

  /** Tells how far the events reach, of which another copy of the gateway can have numbered the last ones. */
  notice(newest = NO_POSITION): void {
    if (newest <= this.#readTo) return;
    this.#hasMore = true;
    this.wake();
  }

  /** Delivers until nothing is due, or the turn is over. Returns whether more events have come while it ended. */
  async run(): Promise<boolean> {
    let savedAt = performance.now();
    let busyAt = savedAt;
    let failure: unknown;
    const stopListening = this.#gateway.events.onNumbered((organizationId) => {
      if (organizationId !== this.#webhook.organizationId) return;
      this.#hasMore = true;
      this.wake();
    });
    try {
      const waiting = await this.#store.webhookQueue.waiting(this.#webhook.id, WAITING_READ);
      for (const each of waiting) this.#add({ ...each, isStored: true, event: undefined });
      this.#stored = waiting.length;
      while (!this.#isOver) {
        if (this.#wantsMore) await this.#read();
        await this.#begin();
        if (performance.now() - savedAt >= SAVE_MS || this.#deliveries.length >= UNSAVED_MAX) {
          savedAt = performance.now();
          await this.#save(false);
          await this.#checkWebhook();
        }
        // Something can begin, or be read.
        if (!this.#isFull || this.#wantsMore) continue;
        const at = performance.now();
        if (this.#inFlight > 0) busyAt = at;
        else if (!this.#load.lingers || this.#isFailing || at - busyAt >= LINGER_MS) break;
        const isIdle = this.#inFlight === 0;
        await this.#one(isIdle ? busyAt + LINGER_MS - at : SAVE_MS);
        if (isIdle && this.#hasMore) await this.#checkWebhook();
      }
    } catch (error) {
      failure = error;
    }
    const mayContinue = failure === undefined && (this.#isChanged || !this.#isOver) && !this.#isFailing;
    try {
      while (this.#inFlight > 0) await this.#one(SAVE_MS);
      await this.#save(true);
    } catch (error) {
      // The first failure tells more: this one often follows from it.
      failure ??= error;
    } finally {
      stopListening();
    }
    if (this.#problem) await pause(this.#gateway, this.#webhook, this.#problem);
    if (failure) throw failure;
    return mayContinue && (this.#isChanged || this.#hasMore);
  }

  get #isOver(): boolean {
    const at = performance.now();
    return (
      this.#isLost ||
      this.#isChanged ||
      this.#load.isStopped ||
      this.#problem !== null ||
      (this.#heldUntil !== null && this.#heldUntil > this.#gateway.now()) ||
      at - this.#startedAt >= TURN_MS ||
      at - this.#leasedAt >= LEASE_MS / 2
    );
  }

  get #isFailing(): boolean {
    return this.#failures >= FAILURES_MAX && this.#stored > 0;
  }

  get #isFull(): boolean {
    if (this.#ready.length === 0) return true;
    const most = this.#isFailing ? 1 : this.#load.count >= ALL_AT_ONCE ? 1 : AT_ONCE;
    return this.#inFlight >= most;
  }

  /** Whether further events are taken. */
  get #wantsMore(): boolean {
    return (
      this.#hasMore && !this.#isFailing && this.#ready.length < AT_ONCE && this.#open.size < EVENTS_AT_ONCE && this.#stored < WAITING_MAX
    );
  }

  /** Waits until an attempt has ended, but not longer than a time, in milliseconds. */
  async #one(milliseconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
  }

  /** Adds an item behind those of the same object, by its position. */
  #add(item: Item): void {
    const queue = this.#queues.get(item.object);
    this.#known.add(item.eventId);
    if (!queue) {
      this.#queues.set(item.object, [item]);
      this.#readyIfDue(item.object);
      return;
    }
    queue.push(item);
    // What comes behind something that waits, waits too.
    if (queue[0]!.isStored) this.#wait(item, queue[0]!.dueAt);
  }

  /** Stores an item as one that waits, not for less than until a time. */
  #wait(item: Item, until: Date): void {
    if (item.isStored && item.dueAt >= until) return;
    if (item.dueAt < until) item.dueAt = until;
    this.#keep(item);
  }

  /** Stores an item as one that waits. */
  #keep(item: Item): void {
    if (!item.isStored) this.#stored += 1;
    item.isStored = true;
    this.#changed.add(item);
  }

  #readyIfDue(object: string): void {
    const first = this.#queues.get(object)?.[0];
    if (first && !this.#busy.has(object) && first.dueAt <= this.#gateway.now()) this.#ready.push(object);
  }

  /** Reads the next events. */
  async #read(): Promise<void> {
    const { integrationId, types } = this.#webhook;
    const filter = integrationId === null ? {} : { integrationId };
    const { newest, start } = this.#nextPage ?? { newest: (await this.#store.events.range()).newest, start: this.#readTo };
    // What comes while it reads is told again.
    this.#hasMore = false;
    const { records, hasMore, continuesAt } = await this.#store.events.evenAltered.page(filter, pageAfter(start, EVENTS_AT_ONCE));
    const at = this.#gateway.now();
    for (const event of records) {
      const { id: eventId, position } = event;
      // Somebody else can write any position, also one beyond all that are given.
      if (!isPosition(position) || (event.isAltered && position > newest)) continue;
      this.#readTo = position;
      const isWanted = !event.isAltered && gets(this.#webhook, event) && (types.length === 0 || types.includes(event.type));
      if (!isWanted || this.#known.has(eventId)) continue;
      this.#open.add(position);
      this.#add({ eventId, position, object: objectOf(event), attempts: 0, firstAt: null, dueAt: at, isStored: false, event });
    }
    const last = records.at(-1);
    const end = continuesAt ?? (last && { value: last.position, id: last.id });
    if (hasMore && end) {
      this.#hasMore = true;
      this.#nextPage = { newest, start: end };
      return;
    }
    this.#nextPage = undefined;
    // All that had positions before it began to read are read, whoever they are for.
    if (newest > this.#readTo) this.#readTo = newest;
  }

  /** Looks whether the webhook is as it was: nothing more is sent to a URL that it had before, or signed with a secret that it had. */
  async #checkWebhook(): Promise<void> {
    const webhook = await this.#store.webhooks.evenAltered.one({ id: this.#webhook.id });
    this.#isChanged = !webhook || webhook.isAltered === true || webhook.version !== this.#webhook.version;
  }

  /** Begins attempts, as many as may be under way. */
  async #begin(): Promise<void> {
    if (this.#isFull || this.#isOver) return;
    await this.#readWaiting();
    while (!this.#isFull && !this.#isOver) {
      const object = this.#ready.shift()!;
      const item = this.#queues.get(object)![0]!;
      if (item.event === undefined) {
        // It is read before the next ones begin.
        this.#ready.unshift(object);
        return;
      }
      if (item.event === null) {
        this.#finish(item);
        continue;
      }
      void this.#attempt(item, item.event);
    }
  }

  /** Sends an event once, and decides what comes of it. */
  async #attempt(item: Item, event: EventRecord): Promise<void> {
    const { stopping } = this.#load;
    const startedAt = this.#gateway.now();
    this.#busy.add(item.object);
    this.#inFlight += 1;
    this.#load.count += 1;
    try {
      const sent = await sendTo(this.#gateway, this.#webhook, this.#signature, contentOf(event, this.#webhook), stopping);
      const { status, failure, milliseconds, text, retryAfterMs } = sent;
      // The gateway stops. Whoever delivers next makes this attempt again.
      if (failure === 'ABORTED' && stopping.aborted) return void this.#busy.delete(item.object);
      this.#note(item, { status, failure, milliseconds, answer: text }, startedAt);
      if (isDelivered(status)) this.#delivered(item);
      else this.#failed(item, status, retryAfterMs, startedAt);
    } catch {
      // A defect of our own: it is tried again.
      this.#failed(item, null, null, startedAt);
    } finally {
      this.#inFlight -= 1;
      this.#load.count -= 1;
      this.wake();
    }
  }

  /** Reads the events of the first items that waited. */
  async #readWaiting(): Promise<void> {
    const firsts = this.#ready.map((object) => this.#queues.get(object)![0]!);
    const unread = firsts.filter(({ event }) => event === undefined).slice(0, EVENTS_AT_ONCE);
    if (unread.length > 0) {
      const found = await this.#store.events.evenAltered.byIds(unread.map(({ eventId }) => eventId));
      const byId = new Map(found.filter((event) => !event.isAltered && gets(this.#webhook, event)).map((event) => [event.id, event]));
      for (const item of unread) item.event = byId.get(item.eventId) ?? null;
    }
  }

  #note(item: Item, answer: Pick<WebhookDeliveryRecord, 'status' | 'failure' | 'milliseconds' | 'answer'>, createdAt: Date): void {
    const { id: webhookId, organizationId, integrationId } = this.#webhook;
    const entry = { id: newId(), organizationId, version: 1, createdAt, updatedAt: createdAt };
    this.#deliveries.push({ ...entry, webhookId, integrationId, eventId: item.eventId, attempt: item.attempts + 1, ...answer });
  }

  /** Removes an item that needs no further attempt. */
  #finish(item: Item): void {
    const queue = this.#queues.get(item.object)!;
    queue.shift();
    this.#busy.delete(item.object);
    this.#known.delete(item.eventId);
    this.#changed.delete(item);
    if (item.isStored) {
      this.#done.push(item.eventId);
      this.#stored -= 1;
    }
    this.#open.delete(item.position);
    const [next] = queue;
    if (!next) this.#queues.delete(item.object);
    // It has waited for this one only.
    else if (next.attempts === 0) next.dueAt = this.#gateway.now();
    this.#readyIfDue(item.object);
  }

  #delivered(item: Item): void {
    const wasFailing = this.#isFailing;
    this.#failures = 0;
    this.#finish(item);
    if (!wasFailing) return;
    // The receiver works again, so everything that waits is tried again.
    const at = this.#gateway.now();
    for (const [object, [first]] of this.#queues) {
      if (this.#busy.has(object) || first!.dueAt <= at) continue;
      first!.dueAt = at;
      this.#keep(first!);
      this.#ready.push(object);
    }
  }

  #failed(item: Item, status: number | null, retryAfterMs: number | null, startedAt: Date): void {
    this.#failures += 1;
    item.attempts += 1;
    item.firstAt ??= startedAt;
    const at = this.#gateway.now().getTime();
    const wait = Math.max(backoff(item.attempts), Math.min(retryAfterMs ?? 0, RETRY_MAX_MS));
    item.dueAt = new Date(at + wait);
    this.#busy.delete(item.object);
    this.#keep(item);
    for (const each of this.#queues.get(item.object) ?? []) this.#wait(each, item.dueAt);
    if (status === 410) this.#problem = 'GONE';
    else if (at - item.firstAt.getTime() >= TRIED_MS) this.#problem ??= 'FAILING';
    // Who has too much to do, or is closed, means everything.
    if (retryAfterMs !== null && (status === 429 || status === 503)) this.#heldUntil = new Date(at + Math.min(retryAfterMs, RETRY_MAX_MS));
  }

  /** Stores what was done. At the end, the lease is given back. */
  async #save(isEnd: boolean): Promise<void> {
    // What was not tried would be read again, with what was delivered after it.
    if (isEnd) for (const queue of this.#queues.values()) for (const item of queue) if (!item.isStored) this.#keep(item);
    const [changed, done, deliveries] = [[...this.#changed], this.#done, this.#deliveries];
    this.#changed = new Set();
    this.#done = [];
    this.#deliveries = [];
    const isPast = this.#heldUntil !== null && this.#heldUntil <= this.#gateway.now();
    // What waits is stored, so the position can pass it.
    const stored = new Set(changed.map(({ position }) => position));
    const [first] = [...this.#open].filter((position) => !stored.has(position));
    const position = first === undefined ? this.#readTo : positionOf(Number(first) - 1);
    const progress = { position, heldUntil: isPast ? null : this.#heldUntil, failures: Math.min(this.#failures, 1_000_000) };
    const waits = changed.map(({ isStored: _, event: _event, ...waiting }) => waiting);
    if (deliveries.length > 0) await this.#store.webhookDeliveries.insertAll(deliveries);
    const leasedAt = performance.now();
    // Who pauses it ends the lease, so that nobody begins before.
    const leaseEndsAt = isEnd && this.#problem === null ? null : new Date(this.#gateway.now().getTime() + LEASE_MS);
    if (!(await this.#store.webhookQueue.save(this.#lease, progress, waits, done, leaseEndsAt))) this.#isLost = true;
    this.#leasedAt = leasedAt;
    for (const each of changed) this.#open.delete(each.position);
  }
}

function objectOf({ objectNoun, objectId }: Pick<EventRecord, 'objectNoun' | 'objectId'>): string {
  return `${objectNoun} ${objectId}`;
}
