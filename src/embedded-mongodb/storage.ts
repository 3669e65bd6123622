import type { RootDatabase, Transaction } from 'lmdb';
import { Catalog, type Collection, keyIn, spaces } from './catalog.ts';
import { sealed, unsealed } from './checksum.ts';
import { CommandError } from './errors.ts';

/**
 * Stores keys and values in LMDB. Concurrent plain writes share one LMDB transaction and its fsync. A multi-document transaction reads a
 * snapshot. Until either ends, its uncommitted writes are kept in memory and override what it reads.
 */

interface Entry {
  key: Buffer;
  value: Buffer;
}

interface Write {
  key: Buffer;
  /** Undefined if the key was deleted. */
  value: Buffer | undefined;
}

/** Returns a key as text with the same order. */
const nameOf = (key: Buffer) => key.toString('latin1');

/** A view to read and write: the current state of the file, overridden by the uncommitted writes of one plain write. */
export class View {
  readonly storage: Storage;
  /** Collections that this view has created (or dropped, if null) and that other views do not see yet. */
  readonly catalogChanges = new Map<string, Collection | null>();
  protected snapshot: Transaction | undefined;
  protected readonly writes = new Map<string, Write>();
  /** Whether the writes delete data, which must then be overwritten in the file. */
  protected deletes = false;

  constructor(storage: Storage, snapshot?: Transaction) {
    this.storage = storage;
    this.snapshot = snapshot;
  }

  get(key: Buffer): Buffer | undefined {
    const own = this.writes.size ? this.writes.get(nameOf(key)) : undefined;
    if (own) return own.value;
    const stored = this.storage.db.get(key, this.snapshot && { transaction: this.snapshot });
    return stored && unsealed(key, stored);
  }

  /** Writes a value. `replaces` tells that an older value with data of a client is deleted by this. */
  put(key: Buffer, value: Buffer, replaces = false): void {
    this.deletes ||= replaces;
    this.write({ key, value });
  }

  remove(key: Buffer): void {
    this.deletes = true;
    this.write({ key, value: undefined });
  }

  private write(write: Write): void {
    const name = nameOf(write.key);
    this.claim(name);
    this.writes.set(name, write);
  }

  /** Called before a key is written. */
  protected claim(name: string): void {
    const holder = this.storage.locks.get(name);
    if (holder) throw new Locked(holder);
  }

  /** Returns the entries from `start` (inclusive) to `end` (exclusive), in descending order if `reverse` is true. */
  *range(start: Buffer, end: Buffer, reverse = false): Generator<Entry> {
    const own = this.ownWrites(start, end);
    if (reverse) own.reverse();
    const sign = reverse ? -1 : 1;
    let i = 0;
    for (const entry of this.stored(start, end, reverse)) {
      for (; i < own.length && own[i]!.key.compare(entry.key) * sign < 0; i++) yield* present(own[i]!);
      if (own[i]?.key.equals(entry.key)) yield* present(own[i++]!);
      else yield entry;
    }
    for (; i < own.length; i++) yield* present(own[i]!);
  }

  private ownWrites(start: Buffer, end: Buffer): Write[] {
    const [from, to] = [nameOf(start), nameOf(end)];
    const names = [...this.writes.keys()].filter((name) => name >= from && name < to);
    return names.sort().map((name) => this.writes.get(name)!);
  }

  /**
   * Returns the entries of the file. Reads them in pages, between which no LMDB transaction is open: a cursor can pause here for minutes
   * without preventing LMDB from reusing space.
   */
  private *stored(start: Buffer, end: Buffer, reverse: boolean): Generator<Entry> {
    let [from, to] = [start, end];
    for (let limit = 16; ; limit = Math.min(limit * 2, 512)) {
      const bounds = reverse ? { start: to, end: from, reverse, exclusiveStart: true, inclusiveEnd: true } : { start: from, end: to };
      const snapshot = this.snapshot && { transaction: this.snapshot };
      const page: Entry[] = [];
      let bytes = 0;
      for (const { key, value } of this.storage.db.getRange({ ...bounds, ...snapshot, limit }) as Iterable<Entry>) {
        page.push({ key, value: unsealed(key, value) });
        bytes += key.length + value.length;
        if (bytes > maxPageBytes) break;
      }
      yield* page;
      if (page.length < limit && bytes <= maxPageBytes) return;
      const last = page.at(-1)!.key;
      if (reverse) to = last;
      else from = Buffer.concat([last, zero]);
    }
  }

  /**
   * Counts entries from `start` (inclusive) to `end` (exclusive), at most `most`, without reading them one by one. `next` is where to go on;
   * undefined if there are no more.
   */
  countRange(start: Buffer, end: Buffer, most: number): { number: number; next: Buffer | undefined } {
    const { db } = this.storage;
    const snapshot = this.snapshot && { transaction: this.snapshot };
    if (this.writes.size && this.ownWrites(start, end).length) {
      let number = 0;
      for (const { key } of this.range(start, end)) {
        if (number === most) return { number, next: key };
        number++;
      }
      return { number, next: undefined };
    }
    const [next] = db.getKeys({ start, end, ...snapshot, offset: most, limit: 1 });
    if (next) return { number: most, next };
    return { number: db.getKeysCount({ start, end, ...snapshot }), next: undefined };
  }

  /** Returns the key that comes after `skip` others in a range; undefined if there are not so many. Null if it would have to read them all. */
  keyAfter(start: Buffer, end: Buffer, skip: number, reverse: boolean): Buffer | undefined | null {
    if (this.writes.size && this.ownWrites(start, end).length) return null;
    const bounds = reverse ? { start: end, end: start, reverse, exclusiveStart: true, inclusiveEnd: true } : { start, end };
    const [key] = this.storage.db.getKeys({ ...bounds, ...(this.snapshot && { transaction: this.snapshot }), offset: skip, limit: 1 });
    return key;
  }

  /** From now on, reads what it has read in this turn, whatever is written meanwhile. Returns false if it does so already. */
  pin(): boolean {
    if (this.snapshot) return false;
    this.snapshot = this.storage.db.useReadTransaction();
    return true;
  }
  unpin(): void {
    this.snapshot?.done();
    this.snapshot = undefined;
  }

  collection(namespace: string): Collection | undefined {
    const changed = this.catalogChanges.get(namespace);
    return changed === undefined ? this.storage.catalog.collections.get(namespace) : (changed ?? undefined);
  }

  /** Takes over the writes of a transaction. */
  adopt({ writes, catalogChanges, deletes }: TransactionView): void {
    this.deletes ||= deletes;
    for (const write of writes.values()) this.write(write);
    for (const [namespace, collection] of catalogChanges) this.catalogChanges.set(namespace, collection);
  }

  /** Writes everything to the open LMDB transaction. */
  flush(sequence: number): void {
    const { db, catalog, lastWrites } = this.storage;
    for (const [name, { key, value }] of this.writes) {
      if (value) db.putSync(key, sealed(key, value));
      else db.removeSync(key);
      lastWrites.set(name, sequence);
    }
    if (this.deletes) this.storage.hasDeleted = true;
    for (const [namespace, collection] of this.catalogChanges) {
      if (collection) catalog.collections.set(namespace, collection);
      else catalog.collections.delete(namespace);
    }
  }
}

/** The size of what a waiting cursor has already read. */
const maxPageBytes = 256 * 1024;

const zero = Buffer.from([0]);
const flag = Buffer.from([1]);

function* present({ key, value }: Write): Generator<Entry> {
  if (value) yield { key, value };
}

/** Thrown in a plain write that conflicts with an uncommitted write of a transaction. The plain write waits and runs again. */
export class Locked {
  readonly by: TransactionView;
  constructor(by: TransactionView) {
    this.by = by;
  }
}

/** A multi-document transaction: a snapshot, overridden by the transaction's own writes. */
export class TransactionView extends View {
  isOpen = true;
  private readonly startSequence: number;
  private finish!: () => void;
  readonly ended = new Promise<void>((resolve) => {
    this.finish = resolve;
  });

  constructor(storage: Storage) {
    storage.db.resetReadTxn();
    super(storage, storage.db.useReadTransaction());
    this.startSequence = storage.durableSequence;
    storage.transactions.add(this);
  }

  /** An index that was created after the snapshot does not contain the snapshot's documents, so the transaction must be restarted. */
  override collection(namespace: string): Collection | undefined {
    if (this.isNewer(nameOf(keyIn(spaces.collections, Buffer.from(namespace))))) {
      const problem = `Unable to read from a snapshot due to pending collection catalog changes of ${namespace}`;
      throw new CommandError(246, `${problem}; please retry the operation.`);
    }
    return super.collection(namespace);
  }

  protected override claim(name: string): void {
    const holder = this.storage.locks.get(name);
    if (holder === this) return;
    if (holder || this.isNewer(name)) {
      throw new CommandError(112, 'WriteConflict error: this operation conflicted with another operation. Please retry your transaction.');
    }
    this.storage.locks.set(name, this);
  }

  /** Returns whether a key has been written since the snapshot. */
  private isNewer(name: string): boolean {
    return (this.storage.lastWrites.get(name) ?? 0) > this.startSequence;
  }

  /** Returns whether the transaction has written any key with this prefix. */
  wroteUnder(prefix: Buffer): boolean {
    const name = nameOf(prefix);
    return [...this.writes.keys()].some((written) => written.startsWith(name));
  }

  /** Commits all writes atomically, together with those of `also`. */
  commit(also: (view: View) => void): Promise<void> {
    return this.storage.write((view) => {
      if (!this.isOpen) throw new CommandError(251, 'The transaction has been aborted.');
      this.release();
      view.adopt(this);
      also(view);
    });
  }

  /** Ends the transaction: releases its locks and its snapshot, and resumes waiting writes. */
  release(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const name of this.writes.keys()) this.storage.locks.delete(name);
    this.storage.transactions.delete(this);
    this.snapshot!.done();
    this.finish();
  }
}

interface Job {
  run: (view: View) => unknown;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
  /** When to stop waiting for a transaction, in milliseconds since the epoch. */
  deadline: number;
}

type Fence = (get: (key: Buffer) => Buffer | undefined) => void;

export class Storage {
  readonly db: RootDatabase<Buffer, Buffer>;
  readonly catalog = new Catalog();
  /** The current state, read-only. */
  readonly latest: View;
  /** Maps uncommitted keys to the transaction that wrote them. */
  readonly locks = new Map<string, TransactionView>();
  /** The last commit that wrote each key, as far back as open transactions need it. */
  readonly lastWrites = new Map<string, number>();
  readonly transactions = new Set<TransactionView>();
  /** Keys that the next commit writes even if its statements fail. */
  readonly flags: Buffer[] = [];
  /** Whether data has been deleted since this was last set to false. */
  hasDeleted = false;
  /** Called after a commit that has deleted data. */
  onDelete = (): void => {};
  durableSequence = 0;
  private sequence = 0;
  private queue: Job[] = [];
  private pumping: Promise<void> | undefined;
  /** Called in every LMDB transaction. Throws if another server has taken over the data directory. */
  private readonly fence: Fence;

  constructor(db: RootDatabase<Buffer, Buffer>, fence: Fence) {
    this.db = db;
    this.fence = fence;
    this.latest = new View(this);
    this.catalog.load(this.latest);
  }

  /** Returns a view of a snapshot, read-only. */
  viewOf(snapshot: Transaction): View {
    return new View(this, snapshot);
  }

  /** Runs a statement that writes. Resolves when its writes are on disk. If it rejects, nothing was written. */
  write<T>(run: (view: View) => T, deadline = Number.POSITIVE_INFINITY): Promise<T> {
    return new Promise<T>((resolve, reject) => this.enqueue({ run, resolve, reject, deadline }));
  }

  private enqueue(job: Job): void {
    this.queue.push(job);
    this.pumping ??= this.pump();
  }

  private async pump(): Promise<void> {
    while (this.queue.length) {
      // Writes that arrive in the same turn of the event loop, or during the last commit, share the next commit.
      await new Promise(setImmediate);
      this.commit(this.queue.splice(0));
    }
    this.pumping = undefined;
  }

  private commit(jobs: Job[]): void {
    const sequence = ++this.sequence;
    const answers = new Map<Job, () => void>();
    try {
      // The commit is synchronous: if an asynchronous commit of lmdb fails, an unhandled rejection ends the process.
      this.db.transactionSync(() => {
        this.fence((key) => this.db.get(key));
        for (const job of jobs) answers.set(job, this.run(job, sequence));
        for (const key of this.flags) this.db.putSync(key, sealed(key, flag));
      });
    } catch (error) {
      this.startOver();
      for (const job of jobs) if (answers.get(job) !== waits) job.reject(storageError(error));
      return;
    } finally {
      this.flags.length = 0;
    }
    this.durableSequence = sequence;
    if (!this.transactions.size) this.lastWrites.clear();
    for (const answer of answers.values()) answer();
    if (this.hasDeleted) this.onDelete();
  }

  /** Runs a job. Returns a function that settles it once its writes are on disk. */
  private run(job: Job, sequence: number): () => void {
    const view = new View(this);
    let result: unknown;
    try {
      result = job.run(view);
    } catch (error) {
      if (!(error instanceof Locked)) return () => job.reject(error);
      this.runAfter(error.by, job);
      return waits;
    }
    // A failure here fails the whole commit.
    view.flush(sequence);
    return () => job.resolve(result as never);
  }

  private runAfter(transaction: TransactionView, job: Job): void {
    const giveUp = () => {
      job.deadline = 0;
      job.reject(new CommandError(50, 'operation exceeded time limit'));
    };
    const left = job.deadline - Date.now();
    const timeout = left < 2 ** 31 ? setTimeout(giveUp, left) : undefined;
    void transaction.ended.then(() => {
      clearTimeout(timeout);
      if (Date.now() < job.deadline) this.enqueue(job);
      else giveUp();
    });
  }

  /** After a failed commit the memory can be ahead of the file. So all open transactions are aborted, and the catalog is read again. */
  private startOver(): void {
    for (const transaction of this.transactions) transaction.release();
    this.lastWrites.clear();
    this.reload();
  }

  /** Reads the latest writes of other processes. */
  reload(): void {
    this.db.resetReadTxn();
    this.catalog.load(this.latest);
  }

  /** Aborts open transactions, waits for running writes, runs `last` and closes the file. */
  async close(last: () => Promise<void>): Promise<void> {
    for (const transaction of this.transactions) transaction.release();
    while (this.pumping) await this.pumping;
    await last();
    await this.db.close();
  }
}

/** The outcome of a job that will run again. */
const waits = () => {};

/** Converts an LMDB error to the error that MongoDB would report. */
function storageError(error: unknown): CommandError {
  const message = error instanceof Error ? error.message : String(error);
  const isFull = /no space|file too large|quota|input\/output error|MDB_MAP_FULL/i.test(message);
  return new CommandError(isFull ? 14031 : 8, `nothing was written because the disk is full or failing: ${message}`);
}
