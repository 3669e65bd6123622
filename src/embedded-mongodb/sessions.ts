import { Binary, Long } from 'bson';
import { type Doc, decode, encode } from './bson.ts';
import { keyIn, spaces } from './catalog.ts';
import type { Peer } from './command.ts';
import { CommandError, typeMismatch } from './errors.ts';
import { parseOptions } from './options.ts';
import { type Storage, TransactionView, type View } from './storage.ts';
import type { Reply } from './wire.ts';

export const sessionMinutes = 30;
const transactionSeconds = 60;
/**
 * How long a session waits for another connection when all connections that have used it are closed. A driver whose connection breaks goes
 * on at once on another one; a client that was killed does not.
 */
const orphanSeconds = 3;

/** A client's session. It has at most one transaction at a time, with increasing numbers. */
export class Session {
  /** The key under which its outcomes are stored. */
  readonly key: Buffer;
  transactionNumber = -1n;
  state: 'none' | 'inProgress' | 'committed' | 'aborted' = 'none';
  lastUsed = Date.now();
  /** The last commit. */
  commit: Promise<void> | undefined;
  /** The open connections that have used it. */
  readonly peers = new Set<Peer>();
  orphaned: NodeJS.Timeout | undefined;
  private transaction: TransactionView | undefined;
  private expiry: NodeJS.Timeout | undefined;

  constructor(key: Buffer) {
    this.key = key;
  }

  start(storage: Storage, number: bigint): void {
    const before = readOutcome(storage.latest, this)?.number ?? -1n;
    const last = before > this.transactionNumber ? before : this.transactionNumber;
    if (number < last) throw tooOld(number, last);
    if (number === last) throw new CommandError(117, `a transaction or retryable write with the number ${number} has already been started`);
    this.abort();
    this.transaction = new TransactionView(storage);
    this.transactionNumber = number;
    this.state = 'inProgress';
    this.expiry = setTimeout(() => this.abort(), transactionSeconds * 1000).unref();
  }

  /** Returns the open transaction with a number, or throws the error that MongoDB throws. */
  continue(number: bigint): TransactionView {
    if (number < this.transactionNumber) throw tooOld(number, this.transactionNumber);
    if (number > this.transactionNumber || this.state === 'none') {
      throw new CommandError(251, `Given transaction number ${number} does not match any in-progress transactions.`);
    }
    if (this.state === 'committed') throw new CommandError(256, `Transaction ${number} has been committed.`);
    // The storage aborts transactions when it closes or a commit fails.
    if (!this.transaction?.isOpen) throw new CommandError(251, `Transaction ${number} has been aborted.`);
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

function tooOld(number: bigint, current: bigint): CommandError {
  return new CommandError(225, `Cannot use number ${number} on a session in which ${current} has already started.`);
}

export class Sessions {
  private readonly known = new Map<string, Session>();
  private readonly onOrphan: (session: Session) => void;

  /** `onOrphan` is called for a session whose client has disappeared. */
  constructor(onOrphan: (session: Session) => void) {
    this.onOrphan = onOrphan;
  }

  get(lsid: Doc, peer: Peer): Session {
    const { id } = parseOptions('lsid', lsid, { id: 'any' });
    if (!(id instanceof Binary) || id.sub_type !== Binary.SUBTYPE_UUID || id.position !== 16) throw typeMismatch('lsid.id must be a UUID');
    const key = keyIn(spaces.sessions, id.buffer.subarray(0, 16));
    const session = this.known.get(key.toString('hex')) ?? new Session(key);
    this.known.set(key.toString('hex'), session);
    session.lastUsed = Date.now();
    clearTimeout(session.orphaned);
    session.peers.add(peer);
    peer.sessions.add(session);
    return session;
  }

  /** Ends the transactions, and closes the cursors, of sessions that no open connection has used. */
  disconnect(peer: Peer): void {
    for (const session of peer.sessions) {
      session.peers.delete(peer);
      if (session.peers.size) continue;
      session.orphaned = setTimeout(() => {
        session.abort();
        this.onOrphan(session);
      }, orphanSeconds * 1000).unref();
    }
    peer.sessions.clear();
  }

  end(session: Session): void {
    session.abort();
    for (const peer of session.peers) peer.sessions.delete(session);
    this.known.delete(session.key.toString('hex'));
  }

  abortAll(): void {
    for (const session of this.known.values()) session.abort();
  }

  /** Removes sessions that have not been used for half an hour, and their outcomes. */
  async sweep(storage: Storage): Promise<void> {
    const before = Date.now() - sessionMinutes * 60_000;
    for (const session of this.known.values()) if (session.lastUsed < before) this.end(session);
    const isExpired = (value: Buffer | undefined) => value !== undefined && (decode(value).get('at') as Date).getTime() < before;
    const expired = [...storage.latest.range(keyIn(spaces.sessions), keyIn(spaces.sessions + 1))].filter(({ value }) => isExpired(value));
    if (!expired.length) return;
    await storage.write((view) => {
      for (const { key } of expired) if (isExpired(view.get(key))) view.remove(key);
    });
  }
}

interface Outcome {
  number: bigint;
  /** The reply to a retryable write. Undefined for a committed transaction. */
  reply: Doc | undefined;
}

/** The outcome of a session's last numbered write. It is stored in the same commit as the write, so it is equally durable. */
export function readOutcome(view: View, session: Session): Outcome | undefined {
  const bytes = view.get(session.key);
  if (!bytes) return undefined;
  const stored = decode(bytes);
  return { number: (stored.get('number') as Long).toBigInt(), reply: stored.get('reply') as Doc | undefined };
}

export function writeOutcome(view: View, session: Session, number: bigint, reply?: Reply): void {
  // The reply of findAndModify contains a document.
  const replacesDocument = readOutcome(view, session)?.reply?.has('value') === true;
  view.put(session.key, encode({ number: Long.fromBigInt(number), at: new Date(), reply }), replacesDocument);
}

/** Runs a retryable write. If it has already run, returns its first reply. */
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
