import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { keyIn, spaces } from './catalog.ts';
import { ownerKey, prepareDirectory } from './directory-lock.ts';

/** Opens the data file, `data.mdb`; copies it while it is in use; restores a copy. */
type File = RootDatabase<Buffer, Buffer>;

const format = Buffer.from('2');
const formatKey = keyIn(spaces.meta, Buffer.from('format'));

/** With these options, an LMDB commit returns when it is on disk. Every open transaction occupies a reader. */
const options = {
  noSubdir: true,
  keyEncoding: 'binary',
  encoding: 'binary',
  overlappingSync: false,
  noMemInit: false,
  maxReaders: 2000,
} as const;

/** Opens the data file. @throws Error saying what is wrong with it */
export function openFile(path: string): File {
  try {
    const isNew = !existsSync(path) || statSync(path).size === 0;
    accessSync(isNew ? dirname(path) : path, constants.R_OK | constants.W_OK);
    const isShort = !isNew && mendLength(path);
    const db = open<Buffer, Buffer>({ path, ...options });
    if (isNew) for (const name of [path, `${path}-lock`]) chmodSync(name, 0o600);
    // If the file is truncated, the missing part may or may not have been in use. Reading everything shows that.
    if (isShort) {
      for (const _ of db.getRange({}));
    }
    const found = db.get(formatKey);
    if (!found && [...db.getKeys({ limit: 1 })].length) throw new Error('it was not written by this program');
    if (found && !found.equals(format)) throw new Error(`it has format ${found}; this program supports format ${format}`);
    if (!found) db.transactionSync(() => db.putSync(formatKey, format));
    return db;
  } catch (error) {
    throw new Error(`the data file ${path} cannot be opened: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * LMDB maps its file into memory and crashes the process if it is not a data file or is shorter than its header says. So the two pages that
 * describe the file are checked first, and a file that is too short is padded with zeros, which LMDB detects as invalid.
 */
function mendLength(path: string): boolean {
  const file = openSync(path, 'r+');
  try {
    const { size } = fstatSync(file);
    const page = (at: number) => {
      const bytes = Buffer.alloc(160);
      readSync(file, bytes, 0, bytes.length, at);
      return bytes;
    };
    const pageBytes = page(0).readUInt32LE(48);
    if (pageBytes < 512 || pageBytes > 65_536 || size < 2 * pageBytes) throw new Error('it is not a data file, or damaged');
    const metas = [page(0), page(pageBytes)];
    if (metas.some((meta) => meta.readUInt32LE(24) !== 0xbeefc0de)) throw new Error('it is not a data file, or damaged');
    const newest = metas.reduce((a, b) => (b.readBigUInt64LE(152) > a.readBigUInt64LE(152) ? b : a));
    const length = (Number(newest.readBigUInt64LE(144)) + 1) * pageBytes;
    if (size >= length) return false;
    ftruncateSync(file, length);
    return true;
  } finally {
    closeSync(file);
  }
}

/** Distinguishes a file from its copies. */
export function fileNumber(path: string): string {
  return String(statSync(path, { bigint: true }).ino);
}

/** Copies a consistent snapshot of a data directory to a file. A server in this or another process may be writing at the same time. */
export async function backupEmbeddedMongodb({ directory, file }: { directory: string; file: string }): Promise<void> {
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
  await copy.close();
  rmSync(`${partial}-lock`, { force: true });
  chmodSync(partial, 0o600);
  const handle = openSync(partial, 'r+');
  fsyncSync(handle);
  closeSync(handle);
  renameSync(partial, file);
}

/** Restores a backup into a directory without data. */
export async function restoreEmbeddedMongodb({ directory, file }: { directory: string; file: string }): Promise<void> {
  const target = join(prepareDirectory(directory), 'data.mdb');
  if (existsSync(target)) throw new Error(`there is data in ${directory} already`);
  const partial = `${target}.partial`;
  copyFileSync(file, partial);
  await openFile(partial).close();
  rmSync(`${partial}-lock`, { force: true });
  renameSync(partial, target);
}
