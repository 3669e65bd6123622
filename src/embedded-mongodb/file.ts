import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { keyIn, spaces } from './catalog.ts';
import { sealed } from './checksum.ts';
import { prepareDirectory } from './directory.ts';
import { ownerKey } from './directory-lock.ts';
import { checkStructure, DamagedFile, PageFile } from './pages.ts';
import { scrubNow } from './scrub.ts';

/** Opens the data file, `data.mdb`; converts older formats; copies it while it is in use; restores a copy. */
type File = RootDatabase<Buffer, Buffer>;

/** Format 3 has a checksum in each entry. Format 2 is converted at the start. */
const format = Buffer.from('3');
const olderFormat = Buffer.from('2');
export const formatKey = keyIn(spaces.meta, Buffer.from('format'));

const maxReaders = 2000;
/** With these options, an LMDB commit returns when it is on disk. Every open transaction occupies a reader. */
const options = {
  noSubdir: true,
  keyEncoding: 'binary',
  encoding: 'binary',
  overlappingSync: false,
  noMemInit: false,
  maxReaders,
} as const;

/** LMDB maps its table of readers into memory. A table without room on the disk would end the process when it is first written to. */
const lockBytes = 64 * maxReaders + 4096;
/** What a start needs to write. */
const leastFreeBytes = 256 * 1024;

/**
 * Opens the data file, which is created only if there is none. Checks its structure first: LMDB crashes the process if the file is damaged.
 * A file of the older format is an error unless `allowOlder` is true; then call `convert` before anything else.
 * @throws Error saying what is wrong with it
 */
export function openFile(path: string, { allowOlder = false } = {}): File {
  try {
    accessSync(existsSync(path) ? path : dirname(path), constants.R_OK | constants.W_OK);
    reserveRoom(path);
    if (!existsSync(path)) createFile(path);
    const db = openChecked(path);
    const found = db.get(formatKey);
    if (!found) throw new Error('it was not written by this program');
    const isKnown = found.equals(format) || (allowOlder && found.equals(olderFormat));
    if (isKnown) return db;
    const cure = found.equals(olderFormat) ? '; start the server once to convert it' : '';
    throw new Error(`it has format ${found}; this program supports format ${format}${cure}`);
  } catch (error) {
    throw new Error(`the data file ${path} cannot be opened: ${(error as Error).message}`, { cause: error });
  }
}

/** Opens a file after a check of its structure, on a snapshot that nobody changes. */
export function openChecked(path: string): File {
  if (statSync(path).size === 0) throw new DamagedFile('it is empty. Restore a backup, or delete it if there was never any data');
  const file = new PageFile(path);
  let db: File | undefined;
  try {
    // Before LMDB relies on it.
    file.meta();
    db = open<Buffer, Buffer>({ path, ...options });
    const snapshot = db.useReadTransaction();
    try {
      checkStructure(file);
    } finally {
      snapshot.done();
    }
    return db;
  } catch (error) {
    void db?.close();
    throw error;
  } finally {
    file.close();
  }
}

/** @throws Error when the disk is full */
function reserveRoom(path: string): void {
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize < leastFreeBytes) throw new Error('there is no space left on its disk');
  const lock = `${path}-lock`;
  if (existsSync(lock)) return;
  // By writing, because a file that is only made longer has no room yet.
  const partial = `${lock}.${randomBytes(4).toString('hex')}`;
  writeWhole(partial, Buffer.alloc(lockBytes));
  moveUnlessExists(partial, lock);
}

function writeWhole(path: string, bytes: Buffer): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    fsyncSync(file);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Creates an empty database. It appears under its name only when it is complete, so an incomplete file is always a damaged one. */
function createFile(path: string): void {
  const partial = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    writeWhole(`${partial}-lock`, Buffer.alloc(lockBytes));
    const db = open<Buffer, Buffer>({ path: partial, ...options });
    db.transactionSync(() => db.putSync(formatKey, format));
    void db.close();
    chmodSync(partial, 0o600);
    moveUnlessExists(partial, path);
  } finally {
    for (const name of [partial, `${partial}-lock`]) rmSync(name, { force: true });
  }
}

/** Gives a file a new name. If another process was faster, its file stays. */
function moveUnlessExists(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Some file systems have no links.
    if (code !== 'EEXIST') copyUnlessExists(from, to);
  } finally {
    rmSync(from, { force: true });
  }
}

function copyUnlessExists(from: string, to: string): void {
  try {
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Converts a file of the older format, in one transaction. No other server may be running. */
export function convert(db: File): boolean {
  return db.transactionSync(() => {
    if (!db.get(formatKey)?.equals(olderFormat)) return false;
    const first = keyIn(spaces.collections);
    for (let from = first; ; ) {
      const page = db.getRange({ start: from, limit: 500 }).asArray as unknown as { key: Buffer; value: Buffer }[];
      for (const { key, value } of page) db.putSync(key, sealed(key, value));
      if (page.length < 500) break;
      from = Buffer.concat([page.at(-1)!.key, Buffer.from([0])]);
    }
    db.putSync(formatKey, format);
    return true;
  });
}

/** Distinguishes a file from its copies. */
export function fileNumber(path: string): string {
  return String(statSync(path, { bigint: true }).ino);
}

/** See `backupEmbeddedMongodb`. */
export async function backup({ directory, file }: { directory: string; file: string }): Promise<void> {
  const source = join(directory, 'data.mdb');
  if (!existsSync(source)) throw new Error(`there is no data in ${directory}`);
  if (existsSync(file)) throw new Error(`${file} exists already`);
  const partial = `${file}.partial`;
  rmSync(partial, { force: true });
  const db = openFile(source);
  try {
    await db.backup(partial, true);
  } finally {
    await db.close();
  }
  const copy = openFile(partial);
  copy.transactionSync(() => copy.removeSync(ownerKey));
  // The copy has no free pages, but gaps in its pages, and the page that held the owner.
  scrubNow({ path: partial, db: copy });
  await copy.close();
  rmSync(`${partial}-lock`, { force: true });
  chmodSync(partial, 0o600);
  const handle = openSync(partial, 'r+');
  fsyncSync(handle);
  closeSync(handle);
  renameSync(partial, file);
}

/** See `restoreEmbeddedMongodb`. */
export async function restore({ directory, file }: { directory: string; file: string }): Promise<void> {
  const target = join(prepareDirectory(directory), 'data.mdb');
  if (existsSync(target)) throw new Error(`there is data in ${directory} already`);
  const partial = `${target}.partial`;
  copyFileSync(file, partial);
  await openFile(partial, { allowOlder: true }).close();
  rmSync(`${partial}-lock`, { force: true });
  renameSync(partial, target);
}
