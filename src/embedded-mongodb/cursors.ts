import { randomBytes } from 'node:crypto';
import { Long } from 'bson';
import { maxDocumentBytes } from './bson.ts';
import type { Peer } from './command.ts';
import { CommandError } from './errors.ts';
import { type Examined, type OrPause, pause } from './scan.ts';
import type { Session } from './sessions.ts';
import type { TransactionView, View } from './storage.ts';
import type { Reply } from './wire.ts';

const idleMinutes = 10;

/** The session and transaction that opened a cursor. */
interface Owner {
  view: View;
  session: Session | undefined;
  transaction: TransactionView | undefined;
  peer: Peer;
  examined: Examined;
}

/** An open cursor. Between two batches it holds no LMDB resources, unless it belongs to a transaction. */
interface Cursor extends Owner {
  namespace: string;
  documents: Iterator<OrPause<Buffer>>;
  /** Whether a batch is being read. */
  isInUse: boolean;
  /** Whether somebody has closed it. It may be in use. */
  isClosed: boolean;
  /** A document that was read but did not fit into the last batch. */
  waiting: Buffer | undefined;
  lastUsed: number;
}

export class Cursors {
  private readonly open = new Map<string, Cursor>();

  /** Returns the first batch of a result, and opens a cursor if there is more. */
  async first(namespace: string, result: Iterable<OrPause<Buffer>>, owner: Owner, batchSize = 101, isSingleBatch = false): Promise<Reply> {
    const { view, session, transaction, peer, examined } = owner;
    const state = { documents: result[Symbol.iterator](), waiting: undefined, isInUse: false, isClosed: false, lastUsed: 0 };
    const cursor: Cursor = { namespace, view, session, transaction, peer, examined, ...state };
    const { documents, isLast } = await fill(cursor, batchSize);
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

  async next(id: Long, namespace: string, owner: Owner, batchSize: number): Promise<Reply> {
    const cursor = this.open.get(id.toString());
    if (!cursor || cursor.transaction?.isOpen === false) throw new CommandError(43, `cursor id ${id} not found`);
    if (cursor.namespace !== namespace) throw new CommandError(13, `the cursor belongs to another namespace, ${cursor.namespace}`);
    if (cursor.session !== owner.session) throw new CommandError(50738, `cursor ${id} was created in another session`);
    if (cursor.transaction !== owner.transaction) throw new CommandError(50741, `cursor ${id} was created in another transaction`);
    if (cursor.isInUse) throw new CommandError(12051, `cursor id ${id} is already in use`);
    cursor.examined.resume();
    const { documents, isLast } = await this.fillOrClose(id.toString(), cursor, batchSize);
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
      const isIdle = !cursor.isInUse && cursor.lastUsed < Date.now() - idleMinutes * 60_000;
      if (isIdle || cursor.transaction?.isOpen === false) this.close(id, cursor);
    }
  }

  /** Closes the cursors of a session, or those that a connection has opened without a session. */
  closeOf(owner: Session | Peer): void {
    for (const [id, cursor] of this.open)
      if (cursor.session === owner || (!cursor.session && cursor.peer === owner)) this.close(id, cursor);
  }

  /** An error ends the cursor. */
  private async fillOrClose(id: string, cursor: Cursor, size: number) {
    try {
      return await fill(cursor, size);
    } catch (error) {
      this.close(id, cursor);
      throw error;
    }
  }

  private close(id: string, cursor: Cursor): boolean {
    cursor.isClosed = true;
    cursor.documents.return?.();
    cursor.examined.release();
    return this.open.delete(id);
  }
}

/** Returns up to `size` documents, as many as fit into a reply, and whether these were the last. */
async function fill(cursor: Cursor, size: number): Promise<{ documents: Buffer[]; isLast: boolean }> {
  cursor.isInUse = true;
  try {
    return await draw(cursor, size);
  } finally {
    cursor.isInUse = false;
    cursor.examined.pause();
    cursor.lastUsed = Date.now();
  }
}

async function draw(cursor: Cursor, size: number): Promise<{ documents: Buffer[]; isLast: boolean }> {
  const batch: Buffer[] = [];
  let bytes = 0;
  let isLast = false;
  while (batch.length < size) {
    const document = cursor.waiting ?? cursor.documents.next().value;
    if (document === pause) {
      await cursor.examined.rest(cursor.view);
      if (cursor.isClosed) throw new CommandError(237, 'the cursor was killed while it was in use');
      continue;
    }
    isLast = document === undefined;
    cursor.waiting = document;
    if (!document || (batch.length && bytes + document.length > maxDocumentBytes)) break;
    cursor.waiting = undefined;
    bytes += document.length;
    batch.push(document);
  }
  return { documents: batch, isLast };
}
