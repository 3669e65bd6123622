import { Readable } from 'node:stream';
import type { GraphQLError } from 'graphql';
import type { Viewer } from '../access/viewer.ts';
import type { EventStream } from '../domain/live-events.ts';
import { RateLimitedError, UnauthenticatedError, UnavailableError, UnreadError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { cursorOfEvent } from '../schema/index.ts';
import { tooManyListeners } from './error-redaction.ts';
import type { RawResult } from './execution.ts';
import { COMPLETE, nextMessage } from './response.ts';

/** How often a client without news gets a sign of life, so that neither it nor a proxy takes the connection for dead. In milliseconds. */
const HEARTBEAT_MS = 10_000;
/** How long a client may leave everything unread, and then the reason why its stream ends. */
const UNREAD_MS = 30_000;
/** How much is written for a client before it is read, besides what the sockets keep. In bytes. */
const BUFFER_BYTES = 16 * 1024;
/** How often something is looked after. */
const TICK_MS = 500;
/** How often a token is checked again: one that needs no database, and an API key, which is also checked when one was deleted or rotated. */
const CHECK_MS = 5_000;
const KEY_CHECK_MS = 30_000;
/** How old the last check may be when an event is shown, for a token that needs no database. */
const FRESH_MS = 1_000;
/** For how long a token counts whose check gets no answer. */
const UNCHECKED_MS = 60_000;
/** The part of the listeners of an organization that all its end users together can have. */
const END_USERS_SHARE = 0.5;
/** When a client should try again that has too many listeners, or that a stopping copy refuses. In seconds. */
const RETRY_SECONDS = 10;
const STOPPED_RETRY_SECONDS = 1;
/** For how long events are handled before other work gets its turn, in milliseconds. */
const TURN_MS = 5;

export interface ListenersSettings {
  readonly limits: Limits;
  /** Returns the viewer of the same request again. @throws UnauthenticatedError, UnavailableError */
  readonly authenticate: (authorization: string) => Promise<Viewer>;
  /** The milliseconds since some moment, whatever happens to the clock. */
  readonly elapsed: () => number;
}

/** A place among the listeners. */
export interface Place {
  /** Checks the token soon: something says that it may have ended. */
  readonly check: () => void;
  /** Sends the events. The place is given back when the client has gone. */
  readonly listen: (listened: Listened) => Readable;
  /** Gives the place back, unless somebody listens. */
  readonly leave: () => void;
}

export interface Listened {
  readonly events: EventStream;
  readonly requestId: string;
  readonly resultOf: (event: unknown) => Promise<RawResult>;
  /** Pays for an event. @throws RateLimitedError, UnavailableError */
  readonly charge: () => Promise<void>;
  /** Returns a result that may be shown. */
  readonly shown: (result: RawResult) => RawResult & { readonly errors?: readonly GraphQLError[] };
}

/** The token of some listeners. */
interface Watch {
  readonly authorization: string;
  readonly viewer: Viewer;
  readonly listeners: Set<Listener>;
  checkedAt: number;
  dueAt: number;
  checking: Promise<void> | undefined;
}

/** Serves the clients of live queries: limits their number, checks their tokens again and again, and ends them. */
export function createListeners({ limits, authenticate, elapsed }: ListenersSettings) {
  const open = new Set<Listener>();
  const watches = new Map<string, Watch>();
  const counts = new Map<string, number>();
  const turn = createTurns();
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  /** Takes a place in each of the groups that a viewer belongs to. @throws GraphQLError */
  function take({ organizationId, kind, subject }: Viewer): () => void {
    const groups: readonly [name: string, limit: keyof typeof limitNames, most: number][] = [
      ['', 'maxListeners', limits.maxListeners],
      [organizationId, 'maxListenersPerOrganization', limits.maxListenersPerOrganization],
      ...(kind === 'endUser'
        ? [
            [
              `${organizationId} end users`,
              'maxListenersPerOrganization',
              Math.floor(limits.maxListenersPerOrganization * END_USERS_SHARE),
            ] as [string, keyof typeof limitNames, number],
          ]
        : []),
      [`${organizationId} ${kind}:${subject}`, 'maxListenersPerViewer', limits.maxListenersPerViewer],
    ];
    for (const [name, limit, most] of groups) {
      if ((counts.get(name) ?? 0) >= most) throw tooManyListeners(limitNames[limit], most, RETRY_SECONDS);
    }
    for (const [name] of groups) counts.set(name, (counts.get(name) ?? 0) + 1);
    return () => {
      for (const [name] of groups) {
        const left = counts.get(name)! - 1;
        if (left > 0) counts.set(name, left);
        else counts.delete(name);
      }
    };
  }

  function tick(): void {
    const now = elapsed();
    for (const listener of open) listener.tick(now);
    for (const watch of watches.values()) if (watch.dueAt <= now) void check(watch);
  }

  /** Checks a token for all who listen with it. */
  function check(watch: Watch): Promise<void> {
    watch.checking ??= checkNow(watch).finally(() => {
      watch.checking = undefined;
    });
    return watch.checking;
  }

  async function checkNow(watch: Watch): Promise<void> {
    // Not all at the same time.
    watch.dueAt = elapsed() + periodOf(watch.viewer) * (0.75 + Math.random() / 2);
    try {
      const viewer = await authenticate(watch.authorization);
      if (!isSame(viewer, watch.viewer)) throw new UnauthenticatedError('The token has changed what it may do. Listen again.');
      watch.checkedAt = elapsed();
    } catch (error) {
      const isRefused = !(error instanceof UnavailableError) || elapsed() - watch.checkedAt > UNCHECKED_MS;
      if (isRefused) for (const listener of [...watch.listeners]) listener.end(error);
      else watch.dueAt = Number.NEGATIVE_INFINITY;
    }
  }

  /** Checks a token before an event is shown, if something says that it may have ended, or if that costs little. */
  async function checkBeforeEvent(watch: Watch): Promise<void> {
    const now = elapsed();
    const isOld = watch.viewer.kind !== 'apiKey' && now - watch.checkedAt > FRESH_MS;
    if (isOld || watch.dueAt <= now) await check(watch);
  }

  function watchOf(viewer: Viewer, authorization: string): Watch {
    const known = watches.get(authorization);
    if (known) return known;
    const now = elapsed();
    const watch = {
      authorization,
      viewer,
      listeners: new Set<Listener>(),
      checkedAt: now,
      dueAt: now + periodOf(viewer),
      checking: undefined,
    };
    watches.set(authorization, watch);
    return watch;
  }

  return {
    /**
     * Takes a place for a viewer who wants to listen.
     * @throws GraphQLError when there are too many listeners
     * @throws UnavailableError when this copy is stopping
     */
    enter(viewer: Viewer, authorization: string): Place {
      if (isStopped) throw new UnavailableError('This copy of the gateway is stopping.', STOPPED_RETRY_SECONDS);
      const leave = take(viewer);
      let isListening = false;
      return {
        check: () => {
          const watch = watches.get(authorization);
          if (watch && viewer.kind === 'apiKey') watch.dueAt = Number.NEGATIVE_INFINITY;
        },
        leave: () => {
          if (!isListening) leave();
        },
        listen(listened) {
          isListening = true;
          const watch = watchOf(viewer, authorization);
          const listener = new Listener(listened, { turn, elapsed, check: () => checkBeforeEvent(watch) }, () => {
            open.delete(listener);
            watch.listeners.delete(listener);
            if (watch.listeners.size === 0 && watches.get(authorization) === watch) watches.delete(authorization);
            leave();
            if (open.size > 0) return;
            clearInterval(timer);
            timer = undefined;
          });
          open.add(listener);
          watch.listeners.add(listener);
          timer ??= setInterval(tick, TICK_MS).unref();
          if (isStopped) listener.end();
          return listener.body;
        },
      };
    },

    /** Ends all, so that their clients listen at another copy, and refuses further ones. */
    endAll(): void {
      isStopped = true;
      for (const listener of [...open]) listener.end();
    },
  };
}

const limitNames = {
  maxListeners: 'MAX_LISTENERS',
  maxListenersPerOrganization: 'MAX_LISTENERS_PER_ORGANIZATION',
  maxListenersPerViewer: 'MAX_LISTENERS_PER_VIEWER',
} as const;

function periodOf({ kind }: Viewer): number {
  return kind === 'apiKey' ? KEY_CHECK_MS : CHECK_MS;
}

function isSame(a: Viewer, b: Viewer): boolean {
  const form = ({ organizationId, kind, subject, scopes, confinedTo }: Viewer) =>
    JSON.stringify([organizationId, kind, subject, [...scopes], confinedTo?.integrationId, confinedTo?.endUserId]);
  return form(a) === form(b);
}

/** One client, and what is written for it. */
class Listener {
  readonly body: StreamBody;
  readonly #listened: Listened;
  readonly #turn: () => Promise<void>;
  readonly #check: () => Promise<void>;
  readonly #ended = new AbortController();
  #failure: unknown;
  /** The last position that the client was told. */
  #told: string;
  #isWaiting = false;
  #heartbeatAt: number;

  constructor(
    listened: Listened,
    { turn, elapsed, check }: { readonly turn: () => Promise<void>; readonly elapsed: () => number; readonly check: () => Promise<void> },
    onClose: () => void,
  ) {
    this.#listened = listened;
    this.#turn = turn;
    this.#check = check;
    this.#heartbeatAt = elapsed() + HEARTBEAT_MS;
    this.#told = listened.events.position;
    this.body = new StreamBody(elapsed);
    this.body.once('close', () => {
      this.end();
      onClose();
    });
    // The client has gone, or did not read. Nobody needs to know.
    this.body.on('error', () => {});
    // Where it begins, for a client that loses the connection before the first event.
    void this.body.write(`${comment}${idOf(this.#told)}`);
    void this.#run();
  }

  async #run(): Promise<void> {
    const { events, resultOf, charge, shown, requestId } = this.#listened;
    try {
      for (;;) {
        this.#isWaiting = true;
        const event = await this.#patiently(() => events.next());
        this.#isWaiting = false;
        if (!event) break;
        await this.#patiently(charge);
        await this.#turn();
        await this.#check();
        if (this.#ended.signal.aborted) break;
        const result = shown(await resultOf(event));
        if (this.#ended.signal.aborted) break;
        this.#told = event.position;
        await this.body.write(nextMessage(result, requestId, cursorOfEvent(event.position)));
      }
    } catch (error) {
      this.#failure ??= error;
    }
    this.#isWaiting = false;
    events.end();
    const last = this.#failure === undefined ? '' : nextMessage(shown({ errors: [this.#failure] }), requestId);
    this.body.end(`${last}${COMPLETE}`);
  }

  /** Does what has to be paid for. Who is over the rate limit waits, until the end of the stream. */
  async #patiently<T>(run: () => Promise<T>): Promise<T | undefined> {
    while (!this.#ended.signal.aborted) {
      try {
        return await run();
      } catch (error) {
        if (!(error instanceof RateLimitedError)) throw error;
        await this.#pause(error.retryAfter * 1_000);
      }
    }
    return undefined;
  }

  #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#ended;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds).unref();
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }

  /** Gives a sign of life, and ends what is not read. */
  tick(now: number): void {
    if (this.body.unreadSince !== undefined) {
      if (now - this.body.unreadSince <= UNREAD_MS) return;
      if (this.body.isOver) this.body.destroy();
      else this.end(new UnreadError(UNREAD_MS / 1_000));
      return;
    }
    if (now < this.#heartbeatAt || this.#ended.signal.aborted) return;
    this.#heartbeatAt = now + HEARTBEAT_MS;
    const { position } = this.#listened.events;
    // While it waits, all before this position is told, also what it does not get.
    const isFurther = this.#isWaiting && position > this.#told;
    if (isFurther) this.#told = position;
    void this.body.write(isFurther ? `${comment}${idOf(position)}` : comment);
  }

  /** Ends the stream: with an error, or so that the client listens again. */
  end(error?: unknown): void {
    this.#failure ??= error;
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#listened.events.end();
    this.body.release();
  }
}

/** A comment, which clients ignore. */
const comment = ':\n\n';

/** A message without data: a client only remembers its id. */
function idOf(position: string): string {
  return `id: ${cursorOfEvent(position)}\n\n`;
}

/** The body of a stream. No more is written than the client reads, but for one message. */
class StreamBody extends Readable {
  /** Since when the client has read nothing of what was written. Undefined if more can be written. */
  unreadSince: number | undefined;
  /** Whether the last was written. */
  isOver = false;
  #onRead: (() => void) | undefined;

  readonly #elapsed: () => number;

  constructor(elapsed: () => number) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#elapsed = elapsed;
  }

  override _read(): void {
    if (!this.isOver) this.unreadSince = undefined;
    this.release();
  }

  /** Stops waiting for the client to read. */
  release(): void {
    this.#onRead?.();
    this.#onRead = undefined;
  }

  /** Resolves when the client has read so much that more can be written. */
  write(text: string): Promise<void> {
    if (this.isOver || this.destroyed || this.push(text)) return Promise.resolve();
    this.unreadSince ??= this.#elapsed();
    return new Promise((resolve) => {
      this.#onRead = resolve;
    });
  }

  /** Writes what is last. */
  end(text: string): void {
    if (this.isOver || this.destroyed) return;
    this.isOver = true;
    this.push(text);
    this.push(null);
    // Once more, it has time to read.
    this.unreadSince = this.#elapsed();
  }
}

/** Returns a function that is awaited before a piece of work, so that many pieces leave time for other work in between. */
function createTurns(): () => Promise<void> {
  const waiting: (() => void)[] = [];
  let begunAt = Number.NEGATIVE_INFINITY;
  let isScheduled = false;
  const isOver = () => performance.now() - begunAt > TURN_MS;
  async function goOn(): Promise<void> {
    begunAt = performance.now();
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      next();
      // What it does at once is done now.
      await Promise.resolve();
      if (isOver()) break;
    }
    isScheduled = waiting.length > 0;
    if (isScheduled) setImmediate(() => void goOn());
  }
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (isScheduled) return;
      isScheduled = true;
      setImmediate(() => void goOn());
    });
}
