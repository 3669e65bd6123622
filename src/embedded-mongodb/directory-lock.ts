import { randomBytes } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { keyIn, spaces } from './catalog.ts';
import { Framer, readRequest, writeRequest } from './wire.ts';

/**
 * Ensures that a data directory has only one server. The data file contains the address of its owner: a new server first listens, then
 * writes its address to the file in an LMDB transaction, which excludes other processes. A process that finds an address sends a request to
 * it, and takes over only if there is no response. Every commit checks that the address is still its own, so that two servers never write,
 * even after a mistaken takeover.
 */
export interface Owner {
  identity: string;
  /** Identifies the data file of the server. A copy of the file does not belong to the server. */
  file: string;
  uri: string;
  /** The address that it listens on, used to check whether it is still running. */
  address: Address;
}

/** A unix socket, or TCP. */
export type Address = { path: string } | { host: string; port: number };

export const ownerKey = keyIn(spaces.meta, Buffer.from('owner'));

export function readOwner(get: (key: Buffer) => Buffer | undefined): Owner | undefined {
  const bytes = get(ownerKey);
  return bytes && (JSON.parse(bytes.toString()) as Owner);
}

/** Makes `owner` the owner if the current owner is still `expected`. */
export function takeOver(db: RootDatabase<Buffer, Buffer>, owner: Owner | undefined, expected: string | undefined): boolean {
  return db.transactionSync(() => {
    if (readOwner((key) => db.get(key))?.identity !== expected) return false;
    if (owner) db.putSync(ownerKey, Buffer.from(JSON.stringify(owner)));
    else db.removeSync(ownerKey);
    return true;
  });
}

/** Returns whether the owner's server responds at its address. */
export function answers({ address, identity }: Owner): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    const framer = new Framer();
    socket.setTimeout(10_000, () => finish(true));
    socket.on('error', () => finish(false));
    socket.on('connect', () => socket.write(writeRequest({ hello: 1, $db: 'admin' })));
    socket.on('data', (chunk) => {
      try {
        for (const message of framer.add(chunk)) finish(readRequest(message).get('embedded') === identity);
      } catch {
        finish(false);
      }
    });
  });
}

/** Resolves when the owner's server does not respond any more. Never, if `signal` is aborted before. */
export async function untilGone(owner: Owner, signal: AbortSignal): Promise<void> {
  do {
    await disconnected(owner.address, signal);
  } while (await answers(owner));
}

/** Keeps a connection to a server, and resolves when it is closed. */
function disconnected(address: Address, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return;
    const socket = connect(address);
    // The reason does not matter: the caller finds out whether the server responds.
    socket.on('error', () => {});
    const end = () => {
      socket.removeAllListeners('close');
      socket.destroy();
    };
    signal.addEventListener('abort', end, { once: true });
    socket.on('close', () => {
      signal.removeEventListener('abort', end);
      resolve();
    });
    // A server sends nothing unasked.
    socket.resume();
  });
}

/**
 * Returns a new path for a unix socket: in the data directory or, if that path is too long, in a private directory of the temporary
 * directory.
 */
export function socketPath(directory: string): string {
  const name = `mongodb-${randomBytes(4).toString('hex')}.sock`;
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= 100) return path;
  return join(privateDirectory(), name);
}

const privatePrefix = 'embedded-mongodb-';

/** Creates a directory with an unpredictable name, so that nobody else can have prepared it. @throws Error when somebody else can enter it */
function privateDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), privatePrefix));
  if (!isPrivate(path)) throw new Error(`the directory of the socket, ${path}, does not belong to this user alone`);
  return path;
}

/** Returns whether a path is a directory, not a link to one, that only this user can enter. */
function isPrivate(path: string): boolean {
  const { uid } = userInfo();
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && (uid < 0 || (found.uid === uid && (found.mode & 0o077) === 0));
}

/** Deletes the socket at a path that is no longer used, and its private directory if it has one. */
export function removeSocket({ path }: { path: string }): void {
  if (!socketName.test(basename(path))) return;
  const directory = dirname(path);
  if (!basename(directory).startsWith(privatePrefix)) rmSync(path, { force: true });
  else if (isPrivate(directory)) rmSync(directory, { recursive: true, force: true });
}

const socketName = /^mongodb-[0-9a-f]{8}\.sock$/;

/** Deletes the sockets of killed servers in the data directory. */
export function removeOldSockets(directory: string, current: string): void {
  for (const name of readdirSync(directory)) {
    if (socketName.test(name) && join(directory, name) !== current) rmSync(join(directory, name), { force: true });
  }
}
