import { randomBytes } from 'node:crypto';
import type { Binary } from 'bson';
import { Long } from 'bson';
import { type Doc, decode, encode } from './bson.ts';
import { keyIn, spaces } from './catalog.ts';
import { CommandError } from './errors.ts';
import type { Examined } from './planner.ts';
import { type Store, TransactionView, type View } from './store.ts';
import { Batch, type Reply } from './wire.ts';

export const sessionMinutes = 30;
const transactionSeconds = 60;
const cursorMinutes = 10;
const maxBatchBytes = 16 * 1024 * 1024;

/** A client's session: at most one transaction at a time, numbered upwards. */
export class Session {
  readonly key: Buffer;
  transactionNumber = -1n;
  state: 'none' | 'inProgress' | 'committed' | 'aborted' = 'none';
  transaction: TransactionView | undefined;
  lastUsed = Date.now();
  private expiry: NodeJS.Timeout | undefined;

  constructor(key: Buffer) {
    this.key = key;
  }

  start(store: Store, number: bigint): TransactionView {
    this.abort();
    const transaction = new TransactionView(store);
    this.transaction = transaction;
    this.transactionNumber = number;
    this.state = 'inProgress';
    this.expiry = setTimeout(() => this.abort(), transactionSeconds * 1000).unref();
    return transaction;
  }

  /** The open transaction of a number, or the error that MongoDB has for it. */
  continue(number: bigint): TransactionView {
    if (number < this.transactionNumber) throw tooOld(number, this.transactionNumber);
    if (number > this.transactionNumber || this.state === 'none') throw noSuchTransaction(number, this.transactionNumber);
    if (this.state === 'committed') throw new CommandError(256, `Transaction ${number} has been committed.`);
    // The store ends transactions by itself when it closes or a commit fails.
    if (this.state === 'aborted' || !this.transaction?.isOpen) {
      this.state = 'aborted';
      throw new CommandError(251, `Transaction ${number} has been aborted.`);
    }
    return this.transaction;
  }

  abort(): void {
    this.end('aborted');
  }

  end(state: 'committed' | 'aborted'): void {
    if (this.state !== 'inProgress') return;
    clearTimeout(this.expiry);
    this.state = state;
    this.transaction?.release();
    this.transaction = undefined;
  }
}

export function noSuchTransaction(number: bigint, current: bigint): CommandError {
  return new CommandError(
    251,
    `Given transaction number ${number} does not match any in-progress transactions. The active transaction number is ${current}`,
  );
}

function tooOld(number: bigint, current: bigint): CommandError {
  return new CommandError(225, `Cannot start transaction ${number} on session because a newer transaction ${current} has already started.`);
}

export class Sessions {
  private readonly known = new Map<string, Session>();

  get(lsid: Doc): Session {
    const id = lsid.get('id') as Binary | undefined;
    if (id?._bsontype !== 'Binary' || id.position !== 16) throw new CommandError(9, 'lsid.id must be a UUID');
    const bytes = Buffer.from(id.buffer.subarray(0, 16));
    const name = bytes.toString('hex');
    let session = this.known.get(name);
    if (!session) {
      session = new Session(keyIn(spaces.sessions, bytes));
      this.known.set(name, session);
    }
    session.lastUsed = Date.now();
    return session;
  }

  end(lsid: Doc): void {
    const session = this.get(lsid);
    session.abort();
    this.known.delete(session.key.toString('hex', 4));
  }

  abortAll(): void {
    for (const session of this.known.values()) session.abort();
  }

  /** Forgets sessions that nobody has used for half an hour. */
  sweep(): void {
    const before = Date.now() - sessionMinutes * 60_000;
    for (const [name, session] of this.known) {
      if (session.lastUsed > before) continue;
      session.abort();
      this.known.delete(name);
    }
  }
}

interface Outcome {
  number: bigint;
  /** A retryable write's answer, or undefined for a committed transaction. */
  reply: Doc | undefined;
}

/** What a session's last numbered write did. It is written in the same commit as the write, so it is as durable. */
export function readOutcome(view: View, session: Session): Outcome | undefined {
  const bytes = view.get(session.key);
  if (!bytes) return undefined;
  const stored = decode(bytes);
  return { number: (stored.get('number') as Long).toBigInt(), reply: stored.get('reply') as Doc | undefined };
}

export function writeOutcome(view: View, session: Session, number: bigint, reply?: Reply): void {
  view.put(session.key, encode({ number: Long.fromBigInt(number), at: new Date(), ...(reply && { reply }) }));
}

/** Runs a retryable write, or, when it has been run before, gives the answer it got then. */
export function once(view: View, session: Session, number: bigint, run: () => Reply): Reply {
  const before = readOutcome(view, session);
  if (before && before.number > number) throw tooOld(number, before.number);
  if (before?.number === number) {
    if (!before.reply) throw new CommandError(256, `Transaction ${number} has been committed.`);
    return Object.fromEntries(before.reply);
  }
  const reply = run();
  writeOutcome(view, session, number, reply);
  return reply;
}

/** Removes the outcomes of sessions that have expired. */
export async function sweepOutcomes(store: Store): Promise<void> {
  const before = Date.now() - sessionMinutes * 60_000;
  const expired = [...store.latest.range(keyIn(spaces.sessions), keyIn(spaces.sessions + 1))].filter(
    ({ value }) => (decode(value).get('at') as Date).getTime() < before,
  );
  if (!expired.length) return;
  await store.write((view) => {
    for (const { key } of expired) view.remove(key);
  });
}

/** An open result. Between two batches it holds no resources of LMDB, unless it belongs to a transaction. */
interface Cursor {
  namespace: string;
  documents: Iterator<Buffer>;
  /** Fetched, but did not fit into the last batch. */
  waiting: Buffer | undefined;
  session: Session | undefined;
  transaction: TransactionView | undefined;
  lastUsed: number;
  keeps: boolean;
  examined: Examined | undefined;
}

export class Cursors {
  private readonly open = new Map<string, Cursor>();

  /** The first batch of a result, and a cursor when there is more. */
  first(
    namespace: string,
    documents: Iterable<Buffer>,
    owner: { session: Session | undefined; transaction: TransactionView | undefined },
    options: { batchSize?: number | undefined; singleBatch?: boolean; keeps?: boolean | undefined; examined?: Examined },
  ): Batch {
    const { batchSize = 101, singleBatch = false, keeps = false, examined } = options;
    const cursor: Cursor = {
      namespace,
      documents: documents[Symbol.iterator](),
      waiting: undefined,
      lastUsed: Date.now(),
      keeps,
      examined,
      ...owner,
    };
    const [batch, done] = fill(cursor, batchSize);
    if (done || singleBatch) {
      cursor.documents.return?.();
      return new Batch('firstBatch', batch, Long.ZERO, namespace);
    }
    const id = Long.fromBigInt(BigInt.asUintN(62, randomBytes(8).readBigInt64LE()) || 1n);
    examined?.pause();
    this.open.set(id.toString(), cursor);
    return new Batch('firstBatch', batch, id, namespace);
  }

  next(
    id: Long,
    namespace: string,
    owner: { session: Session | undefined; transaction: TransactionView | undefined },
    batchSize: number,
  ): Batch {
    const cursor = this.open.get(id.toString());
    if (!cursor || (cursor.transaction && !cursor.transaction.isOpen)) {
      this.open.delete(id.toString());
      throw new CommandError(43, `cursor id ${id} not found`);
    }
    if (cursor.namespace !== namespace) {
      throw new CommandError(
        13,
        `Requested getMore on namespace '${namespace}', but cursor belongs to a different namespace ${cursor.namespace}`,
      );
    }
    if (cursor.session !== owner.session)
      throw new CommandError(50738, `Cannot run getMore on cursor ${id}, which was created in another session`);
    if (cursor.transaction !== owner.transaction)
      throw new CommandError(50741, `Cannot run getMore on cursor ${id}, which was created in another transaction`);
    cursor.lastUsed = Date.now();
    cursor.examined?.resume();
    const [batch, done] = fill(cursor, batchSize);
    cursor.examined?.pause();
    if (done) this.open.delete(id.toString());
    return new Batch('nextBatch', batch, done ? Long.ZERO : id, namespace);
  }

  kill(id: Long, namespace: string): boolean {
    const cursor = this.open.get(id.toString());
    if (cursor?.namespace !== namespace) return false;
    cursor.documents.return?.();
    return this.open.delete(id.toString());
  }

  sweep(): void {
    const before = Date.now() - cursorMinutes * 60_000;
    for (const [id, cursor] of this.open) {
      if ((cursor.keeps || cursor.lastUsed > before) && cursor.transaction?.isOpen !== false) continue;
      cursor.documents.return?.();
      this.open.delete(id);
    }
  }
}

/** Up to `size` documents, and whether that was all. */
function fill(cursor: Cursor, size: number): [Buffer[], boolean] {
  const batch: Buffer[] = [];
  let bytes = 0;
  while (batch.length < size) {
    let document = cursor.waiting;
    cursor.waiting = undefined;
    if (!document) {
      const next = cursor.documents.next();
      if (next.done) return [batch, true];
      document = next.value;
    }
    if (batch.length && bytes + document.length > maxBatchBytes) {
      cursor.waiting = document;
      return [batch, false];
    }
    bytes += document.length;
    batch.push(document);
  }
  return [batch, false];
}
