import { fdatasyncSync } from 'node:fs';
import type { RootDatabase } from 'lmdb';
import { keyIn, spaces } from './catalog.ts';
import { type Meta, PageFile, PageSet, walk } from './pages.ts';

/**
 * Overwrites what has been deleted. LMDB only marks pages as free, and leaves in a page what it has moved or removed there. So a pass
 * overwrites with zeros, in place, every byte of the file that no snapshot uses: free pages, gaps in pages, and the ends of large values.
 * These bytes mean nothing to LMDB: a crash in the middle of a pass leaves a valid file.
 */

const scrubbedKey = keyIn(spaces.meta, Buffer.from('scrubbed'));
/** How many free pages are overwritten at once, while writers wait. */
const chunkPages = 2048;

export interface ScrubOptions {
  path: string;
  db: RootDatabase<Buffer, Buffer>;
  /** Called in each transaction. Throws if the file belongs to another server. */
  fence?: () => void;
}

/**
 * One pass. Yields often, so that others can work meanwhile. Returns whether everything was overwritten that had been deleted when it
 * began: pages of snapshots that are still being read stay. @throws DamagedFile
 */
export function* scrub({ path, db, fence = () => {} }: ScrubOptions): Generator<void, boolean> {
  const file = new PageFile(path, 'r+');
  try {
    const used = new PageSet();
    const visitor = {
      page: (first: number, count: number) => used.add(first, count, false),
      unused: (at: number, length: number) => void file.erase(at, length),
    };
    /** Visits what was written after `since`. */
    function* visit(meta: Meta, since?: number): Generator<void> {
      for (const tree of [meta.free, meta.main]) yield* walk(file, meta, tree, visitor, since);
    }
    // Committed pages do not change, and are not used again as long as a transaction reads the snapshot that they belong to.
    db.resetReadTxn();
    const snapshot = db.useReadTransaction();
    let meta = file.meta();
    try {
      yield* visit(meta);
    } finally {
      snapshot.done();
    }
    // LMDB uses a page again only two commits after it became free: if the newest commit is lost, the one before is the newest.
    db.transactionSync(() => {
      fence();
      db.putSync(scrubbedKey, Buffer.from(String(Date.now())));
    });
    let isComplete = true;
    for (let next = 2; next <= meta.lastPage; next += chunkPages) {
      yield;
      db.resetReadTxn();
      // Nobody else can commit while this transaction is open. It writes nothing through LMDB.
      db.transactionSync(() => {
        fence();
        const newest = file.meta();
        for (const _ of visit(newest, meta.transaction));
        meta = newest;
        const oldest = Math.min(meta.transaction, ...readers(db));
        isComplete &&= oldest === meta.transaction;
        const kept = keptPages(file, meta, oldest);
        for (let page = next; page < next + chunkPages && page <= meta.lastPage; page++) {
          const first = page;
          const isFree = (number: number) =>
            number < next + chunkPages && number <= meta.lastPage && !used.has(number) && !kept.has(number);
          while (isFree(page)) page++;
          if (page > first) file.erase(first * file.pageBytes, (page - first) * file.pageBytes);
        }
        if (next + chunkPages > meta.lastPage) {
          const end = (meta.lastPage + 1) * file.pageBytes;
          file.erase(end, file.size - end);
        }
      });
    }
    fdatasyncSync(file.descriptor);
    return isComplete;
  } finally {
    file.close();
  }
}

/** Runs a whole pass at once. */
export function scrubNow(options: ScrubOptions): boolean {
  const pass = scrub(options);
  for (;;) {
    const { done, value } = pass.next();
    if (done) return value;
  }
}

/** Returns the transactions whose snapshots are being read, by this and other processes. */
function readers(db: RootDatabase<Buffer, Buffer>): number[] {
  return [...db.readerList().matchAll(/^\s*\d+\s+[0-9a-f]+\s+(\d+)\s*$/gm)].map(([, transaction]) => Number(transaction));
}

/** Returns the pages that became free in this transaction or later: older snapshots use them. */
function keptPages(file: PageFile, meta: Meta, oldest: number): PageSet {
  const kept = new PageSet();
  const entry = (key: Buffer, value: () => Buffer) => {
    if (Number(key.readBigUInt64LE()) < oldest) return;
    const list = value();
    const count = Number(list.readBigUInt64LE(0));
    for (let i = 1; i <= count && i * 8 + 8 <= list.length; i++) {
      const number = Number(list.readBigInt64LE(i * 8));
      if (number > 0) kept.add(number, 1, false);
      // A negative number is how many pages follow the next number.
      if (number < 0 && i < count) kept.add(Number(list.readBigInt64LE(++i * 8)), -number, false);
    }
  };
  for (const _ of walk(file, meta, meta.free, { page: () => {}, entry }));
  return kept;
}
