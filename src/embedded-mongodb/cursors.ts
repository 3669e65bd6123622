import { randomBytes } from 'node:crypto';
import { Long } from 'bson';
import { maxDocumentBytes } from './bson.ts';
import type { Peer } from './command.ts';
import { CommandError } from './errors.ts';
import type { Examined } from './scan.ts';
import type { Session } from './sessions.ts';
import type { TransactionView } from './storage.ts';
import type { Reply } from './wire.ts';

const idleMinutes = 10;

/** The session and transaction that opened a cursor. */
interface Owner {
  session: Session | undefined;
  transaction: TransactionView | undefined;
  peer: Peer;
  examined: Examined;
}

/** An open cursor. Between two batches it holds no LMDB resources, unless it belongs to a transaction. */
interface Cursor extends Owner {
  namespace: string;
  documents: Iterator<Buffer>;
  /** A document that was read but did not fit into the last batch. */
  waiting: Buffer | undefined;
  lastUsed: number;
}

export class Cursors {
  private readonly open = new Map<string, Cursor>();

  /** Returns the first batch of a result, and opens a cursor if there is more. */
  first(namespace: string, result: Iterable<Buffer>, owner: Owner, batchSize = 101, isSingleBatch = false): Reply {
    const { session, transaction, peer, examined } = owner;
    const state = { documents: result[Symbol.iterator](), waiting: undefined, lastUsed: 0 };
    const cursor: Cursor = { namespace, session, transaction, peer, examined, ...state };
    const { documents, isLast } = fill(cursor, batchSize);
    if (isLast || isSingleBatch) {
      cursor.documents.return?.();
      examined.release();
      return { batch: { name: 'firstBatch', documents, cursorId: Long.ZERO, namespace } };
    }
    const id = Long.fromBigInt(BigInt.asUintN(62, randomBytes(8).readBigInt64LE()) || 1n);
    examined.isKept = true;
    this.open.set(id.toString(), cursor);
    return { batch: { name: 'firstBatch', documents, cursorId: id, namespace } };
  }

  next(id: Long, namespace: string, owner: Owner, batchSize: number): Reply {
    const cursor = this.open.get(id.toString());
    if (!cursor || cursor.transaction?.isOpen === false) throw new CommandError(43, `cursor id ${id} not found`);
    if (cursor.namespace !== namespace) throw new CommandError(13, `the cursor belongs to another namespace, ${cursor.namespace}`);
    if (cursor.session !== owner.session) throw new CommandError(50738, `cursor ${id} was created in another session`);
    if (cursor.transaction !== owner.transaction) throw new CommandError(50741, `cursor ${id} was created in another transaction`);
    cursor.examined.resume();
    const { documents, isLast } = this.fillOrClose(id.toString(), cursor, batchSize);
    if (isLast) this.close(id.toString(), cursor);
    return { batch: { name: 'nextBatch', documents, cursorId: isLast ? Long.ZERO : id, namespace } };
  }

  kill(id: Long, namespace: string): boolean {
    const cursor = this.open.get(id.toString());
    return cursor?.namespace === namespace && this.close(id.toString(), cursor);
  }

  /** Closes all cursors of a collection. */
  killAll(namespace: string): void {
    for (const [id, cursor] of this.open) if (cursor.namespace === namespace) this.close(id, cursor);
  }

  sweep(): void {
    for (const [id, cursor] of this.open) {
      const isIdle = cursor.lastUsed < Date.now() - idleMinutes * 60_000;
      if (isIdle || cursor.transaction?.isOpen === false) this.close(id, cursor);
    }
  }

  /** Closes the cursors of a session, or those that a connection has opened without a session. */
  closeOf(owner: Session | Peer): void {
    for (const [id, cursor] of this.open)
      if (cursor.session === owner || (!cursor.session && cursor.peer === owner)) this.close(id, cursor);
  }

  /** An error ends the cursor. */
  private fillOrClose(id: string, cursor: Cursor, size: number) {
    try {
      return fill(cursor, size);
    } catch (error) {
      this.close(id, cursor);
      throw error;
    }
  }

  private close(id: string, cursor: Cursor): boolean {
    cursor.documents.return?.();
    cursor.examined.release();
    return this.open.delete(id);
  }
}

/** Returns up to `size` documents, as many as fit into a reply, and whether these were the last. */
function fill(cursor: Cursor, size: number): { documents: Buffer[]; isLast: boolean } {
  const batch: Buffer[] = [];
  let bytes = 0;
  let isLast = false;
  while (batch.length < size) {
    const document = cursor.waiting ?? cursor.documents.next().value;
    isLast = document === undefined;
    cursor.waiting = document;
    if (!document || (batch.length && bytes + document.length > maxDocumentBytes)) break;
    cursor.waiting = undefined;
    bytes += document.length;
    batch.push(document);
  }
  cursor.examined.pause();
  cursor.lastUsed = Date.now();
  return { documents: batch, isLast };
}
