import type { RootDatabase, Transaction } from 'lmdb';
import { Catalog, type Collection, keyIn, spaces } from './catalog.ts';
import { CommandError } from './errors.ts';

/**
 * Keys and values in LMDB. Every plain write runs inside an LMDB transaction; those that wait at the same time share one commit and its
 * fsync. A multi-document transaction reads a snapshot and keeps its writes to itself until it commits.
 */

interface Entry {
  key: Buffer;
  value: Buffer;
}

/** Somewhere to read and write: the newest state, one statement, or a transaction. */
export abstract class View {
  readonly store: Store;
  /** Collections that this view has made (or, with null, dropped) and others do not see yet. */
  readonly catalogChanges = new Map<string, Collection | null>();

  constructor(store: Store) {
    this.store = store;
  }

  abstract get(key: Buffer): Buffer | undefined;
  /** Up to `limit` entries from `start` (inclusive) to `end` (exclusive), from the other side when reversed. */
  abstract page(start: Buffer, end: Buffer, reverse: boolean, limit: number): Entry[];
  abstract put(key: Buffer, value: Buffer): void;
  abstract remove(key: Buffer): void;

  /**
   * Entries of a range, fetched page by page, so that between two of them nothing is held open: a cursor may rest here for minutes
   * without keeping LMDB from reusing pages.
   */
  *range(start: Buffer, end: Buffer, reverse = false): Generator<Entry> {
    let [from, to] = [start, end];
    for (let size = 16; ; size = Math.min(size * 2, 512)) {
      const page = this.page(from, to, reverse, size);
      yield* page;
      if (page.length < size) return;
      const last = page[page.length - 1]!.key;
      if (reverse) to = last;
      else from = Buffer.concat([last, zero]);
    }
  }

  /** Gives up this statement until a transaction has ended. */
  waitFor(transaction: TransactionView): never {
    throw new Locked(transaction);
  }

  collection(namespace: string): Collection | undefined {
    const changed = this.catalogChanges.get(namespace);
    return changed === undefined ? this.store.catalog.collections.get(namespace) : (changed ?? undefined);
  }

  /** Makes the catalog's changes everybody's. */
  publish(): void {
    for (const [namespace, collection] of this.catalogChanges) {
      if (collection) this.store.catalog.collections.set(namespace, collection);
      else this.store.catalog.collections.delete(namespace);
    }
  }
}

const zero = Buffer.from([0]);
const empty = Buffer.alloc(0);
const flag = Buffer.from([1]);
const name = (key: Buffer) => key.toString('latin1');

function readPage(
  db: RootDatabase<Buffer, Buffer>,
  start: Buffer,
  end: Buffer,
  reverse: boolean,
  limit: number,
  transaction?: Transaction,
) {
  const bounds = reverse ? { start: end, end: start, reverse, exclusiveStart: true, inclusiveEnd: true } : { start, end };
  const options = { ...bounds, limit, ...(transaction && { transaction }) };
  return db.getRange(options).asArray as unknown as Entry[];
}

/** The newest committed state. */
class LatestView extends View {
  get(key: Buffer) {
    return this.store.db.get(key);
  }
  page(start: Buffer, end: Buffer, reverse: boolean, limit: number): Entry[] {
    return readPage(this.store.db, start, end, reverse, limit);
  }
  put(): never {
    throw new Error('the newest state is not written to directly');
  }
  remove(): never {
    throw new Error('the newest state is not written to directly');
  }
}

/** Thrown inside a plain write that meets a transaction's uncommitted write: it waits and runs again. */
class Locked {
  readonly by: TransactionView;
  constructor(by: TransactionView) {
    this.by = by;
  }
}

/** One plain write statement, inside the LMDB transaction. Remembers what it overwrote, to take itself back. */
class StatementView extends View {
  private readonly undo: { key: Buffer; value: Buffer | undefined }[] = [];
  private readonly sequence: number;
  private readonly on: TransactionView | undefined;

  constructor(store: Store, sequence: number, on?: TransactionView) {
    super(store);
    this.sequence = sequence;
    this.on = on;
  }

  get(key: Buffer) {
    return this.store.db.get(key);
  }
  page(start: Buffer, end: Buffer, reverse: boolean, limit: number): Entry[] {
    return readPage(this.store.db, start, end, reverse, limit);
  }
  put(key: Buffer, value: Buffer) {
    this.claim(key);
    this.store.db.putSync(key, value);
  }
  remove(key: Buffer) {
    this.claim(key);
    this.store.db.removeSync(key);
  }

  private claim(key: Buffer) {
    const id = name(key);
    const holder = this.store.locks.get(id);
    if (holder && holder !== this.on) throw new Locked(holder);
    this.store.lastWrites.set(id, this.sequence);
    this.undo.push({ key, value: this.store.db.get(key) });
  }

  rollback() {
    for (const { key, value } of this.undo.reverse()) {
      if (value) this.store.db.putSync(key, value);
      else this.store.db.removeSync(key);
    }
  }
}

/** A multi-document transaction: a snapshot, and the transaction's own writes over it. */
export class TransactionView extends View {
  readonly startSequence: number;
  private readonly snapshot: Transaction;
  private readonly writes = new Map<string, Entry & { removed: boolean }>();
  /** The names of `writes` in order, for ranges. */
  private readonly order: string[] = [];
  private readonly locked = new Set<string>();
  private finish!: () => void;
  readonly ended = new Promise<void>((resolve) => {
    this.finish = resolve;
  });
  isOpen = true;

  constructor(store: Store) {
    super(store);
    this.startSequence = store.durableSequence;
    store.db.resetReadTxn();
    this.snapshot = store.db.useReadTransaction();
    store.transactions.add(this);
  }

  /** An index made after the snapshot lacks the snapshot's documents: such a transaction has to start again. */
  override collection(namespace: string) {
    const changed = this.store.lastWrites.get(name(keyIn(spaces.collections, Buffer.from(namespace)))) ?? 0;
    if (changed > this.startSequence) {
      throw new CommandError(
        246,
        `Unable to read from a snapshot due to pending collection catalog changes of ${namespace}; please retry the operation.`,
      );
    }
    return super.collection(namespace);
  }

  get(key: Buffer) {
    const own = this.writes.get(name(key));
    if (own) return own.removed ? undefined : own.value;
    return this.store.db.get(key, { transaction: this.snapshot });
  }

  page(start: Buffer, end: Buffer, reverse: boolean, limit: number): Entry[] {
    const base = readPage(this.store.db, start, end, reverse, limit, this.snapshot);
    // Own writes matter as far as the page of the snapshot reaches; beyond it the next page will look again.
    const reach = base.length === limit ? base[base.length - 1]!.key : undefined;
    const [from, to] = [name(reach && reverse ? reach : start), name(reach && !reverse ? reach : end)];
    const own: string[] = [];
    for (let i = this.position(from); i < this.order.length && (this.order[i]! < to || (!reverse && reach && this.order[i] === to)); i++) {
      own.push(this.order[i]!);
    }
    if (!own.length) return base;
    const merged = new Map(base.map((entry) => [name(entry.key), entry]));
    for (const id of own) {
      const write = this.writes.get(id)!;
      if (write.removed) merged.delete(id);
      else merged.set(id, write);
    }
    const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
    if (reverse) sorted.reverse();
    // A page shorter than asked for means the end; so when removals shortened it, the rest is fetched here.
    if (reach && sorted.length < limit) {
      const rest = reverse
        ? this.page(start, reach, true, limit - sorted.length)
        : this.page(Buffer.concat([reach, zero]), end, false, limit - sorted.length);
      return [...sorted, ...rest];
    }
    return sorted.slice(0, limit);
  }

  put(key: Buffer, value: Buffer) {
    this.write(key, value, false);
  }
  remove(key: Buffer) {
    this.write(key, empty, true);
  }

  private write(key: Buffer, value: Buffer, removed: boolean) {
    const id = name(key);
    if (!this.locked.has(id)) this.lock(id);
    if (!this.writes.has(id)) this.order.splice(this.position(id), 0, id);
    this.writes.set(id, { key, value, removed });
  }

  private lock(id: string) {
    if (this.store.locks.has(id) || (this.store.lastWrites.get(id) ?? 0) > this.startSequence) throw writeConflict();
    this.store.locks.set(id, this);
    this.locked.add(id);
  }

  /** The position of the first own write that is not before a name. */
  private position(id: string): number {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.order[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether the transaction has written to anything whose key begins so. */
  wroteUnder(prefix: Buffer): boolean {
    const id = name(prefix);
    return this.order[this.position(id)]?.startsWith(id) === true;
  }

  /** Makes everything durable at once, together with what `also` writes. */
  async commit(also: (view: View) => void): Promise<void> {
    const { writes } = this;
    try {
      await this.store.write(
        (view) => {
          for (const { key, value, removed } of writes.values()) removed ? view.remove(key) : view.put(key, value);
          for (const [namespace, collection] of this.catalogChanges) view.catalogChanges.set(namespace, collection);
          also(view);
        },
        { on: this, done: () => this.release() },
      );
    } finally {
      this.release();
    }
  }

  /** Ends the transaction: forgets its writes (unless committed), lets the waiting go on. */
  release(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const id of this.locked) this.store.locks.delete(id);
    this.store.transactions.delete(this);
    this.snapshot.done();
    this.finish();
  }
}

function writeConflict(): CommandError {
  return new CommandError(
    112,
    'WriteConflict error: this operation conflicted with another operation. Please retry your operation or multi-document transaction.',
  );
}

interface Job {
  run: (view: View) => unknown;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
  on: TransactionView | undefined;
  done: (() => void) | undefined;
  /** When a job that waits for a transaction gives up, in ms since the epoch. */
  deadline: number;
  /** It met a transaction, and will run when that has ended. */
  waits: boolean;
}

export class Store {
  readonly db: RootDatabase<Buffer, Buffer>;
  readonly catalog: Catalog;
  readonly latest: View;
  /** Who has written what and not committed yet. */
  readonly locks = new Map<string, TransactionView>();
  /** In which commit a key was last written, as far back as an open transaction may need to know. */
  readonly lastWrites = new Map<string, number>();
  readonly transactions = new Set<TransactionView>();
  /** Keys that the next commit writes whatever becomes of the statements in it. */
  readonly flags: Buffer[] = [];
  durableSequence = 0;
  private sequence = 0;
  private queue: Job[] = [];
  private pumping: Promise<void> | undefined;
  /** Checked inside every LMDB transaction: throws when another server has taken the data directory over. */
  private readonly fence: (get: (key: Buffer) => Buffer | undefined) => void;

  constructor(db: RootDatabase<Buffer, Buffer>, fence: (get: (key: Buffer) => Buffer | undefined) => void) {
    this.db = db;
    this.fence = fence;
    this.latest = new LatestView(this);
    this.catalog = new Catalog();
    this.catalog.load(this.latest);
  }

  /** Runs a statement that writes. Resolves when what it wrote is on disk; when it throws, it has written nothing. */
  write<T>(
    run: (view: View) => T,
    { on, done, deadline = Number.POSITIVE_INFINITY }: { on?: TransactionView; done?: () => void; deadline?: number } = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.queue.push({ run, resolve, reject, on, done, deadline, waits: false });
      this.pumping ??= this.pump().finally(() => {
        this.pumping = undefined;
      });
    });
  }

  private async pump(): Promise<void> {
    while (this.queue.length) {
      // What arrives in the same turn of the event loop, or arrived during the last commit, shares the next commit.
      await new Promise(setImmediate);
      const jobs = this.queue;
      this.queue = [];
      const sequence = ++this.sequence;
      const answers: (() => void)[] = [];
      try {
        // Synchronously: an asynchronous commit of lmdb that fails takes the process down with an unhandled rejection.
        this.db.transactionSync(() => {
          this.fence((key) => this.db.get(key));
          for (const job of jobs) answers.push(this.runJob(job, sequence));
          for (const key of this.flags) this.db.putSync(key, flag);
        });
        this.flags.length = 0;
      } catch (error) {
        // What is in memory may be ahead of the file now: open transactions end, and the catalog is read again.
        for (const transaction of this.transactions) transaction.release();
        this.flags.length = 0;
        this.reload();
        const failure = storageError(error);
        for (const job of jobs) if (!job.waits) job.reject(failure);
        continue;
      }
      this.durableSequence = sequence;
      if (!this.transactions.size) this.lastWrites.clear();
      for (const answer of answers) answer();
    }
  }

  private runJob(job: Job, sequence: number): () => void {
    const view = new StatementView(this, sequence, job.on);
    try {
      const result = job.run(view);
      view.publish();
      job.done?.();
      return () => job.resolve(result as never);
    } catch (error) {
      view.rollback();
      if (!(error instanceof Locked)) return () => job.reject(error);
      job.waits = true;
      const left = job.deadline - Date.now();
      if (left <= 0) return () => job.reject(new CommandError(50, 'operation exceeded time limit'));
      const timeout = left < 2 ** 31 ? new Promise<void>((resolve) => setTimeout(resolve, left).unref()) : undefined;
      void Promise.race([error.by.ended, ...(timeout ? [timeout] : [])]).then(() =>
        this.write(job.run, { deadline: job.deadline }).then(job.resolve as (value: unknown) => void, job.reject),
      );
      return () => {};
    }
  }

  /** Reads what another process may have written until now. */
  reload(): void {
    this.db.resetReadTxn();
    this.catalog.load(this.latest);
  }

  /** Ends open transactions, waits for writes under way and closes the file, after a last word. */
  async close(last: () => void): Promise<void> {
    for (const transaction of this.transactions) transaction.release();
    while (this.pumping) await this.pumping;
    last();
    await this.db.close();
  }
}

/** An LMDB failure as MongoDB would report it. */
function storageError(error: unknown): CommandError {
  const message = error instanceof Error ? error.message : String(error);
  if (/no space|file too large|quota|input\/output error|MDB_MAP_FULL/i.test(message)) {
    return new CommandError(14031, `nothing was written, the disk is full or failing: ${message}`);
  }
  return new CommandError(8, `nothing was written, the data file could not be written: ${message}`);
}
