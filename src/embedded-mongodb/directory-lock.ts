import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { keyIn, spaces } from './catalog.ts';
import { Framer, readRequest, writeRequest } from './wire.ts';

/**
 * One server per data directory. Who it is stands in the data file itself: a new server listens first, then writes its address there in an
 * LMDB transaction, which excludes other processes. Whoever finds an address asks there; only when nobody answers does it take over. And
 * every commit checks that the address is still its own, so that even a mistaken takeover cannot let two servers write.
 */
export interface Owner {
  identity: string;
  /** The data file it serves: a copy of the file does not belong to it. */
  file: string;
  uri: string;
  /** Where it listens, for asking whether it still does. */
  address: Address;
}

/** A unix socket, or TCP. */
export type Address = { path: string } | { host: string; port: number };

export const ownerKey = keyIn(spaces.meta, Buffer.from('owner'));

export function readOwner(get: (key: Buffer) => Buffer | undefined): Owner | undefined {
  const bytes = get(ownerKey);
  return bytes && (JSON.parse(bytes.toString()) as Owner);
}

/** Makes `owner` the owner, if that is still `expected`. */
export function takeOver(db: RootDatabase<Buffer, Buffer>, owner: Owner | undefined, expected: string | undefined): boolean {
  return db.transactionSync(() => {
    if (readOwner((key) => db.get(key))?.identity !== expected) return false;
    if (owner) db.putSync(ownerKey, Buffer.from(JSON.stringify(owner)));
    else db.removeSync(ownerKey);
    return true;
  });
}

/** Whether the owner's server answers at its address. */
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

/** A new path for a unix socket: in the data directory, or, when that makes it too long for the system, in one of our own under the temporary directory. */
export function socketPath(directory: string): string {
  const name = `mongodb-${randomBytes(4).toString('hex')}.sock`;
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= 100) return path;
  const own = join(tmpdir(), `embedded-mongodb-${userInfo().uid}-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`);
  mkdirSync(own, { recursive: true, mode: 0o700 });
  chmodSync(own, 0o700);
  return join(own, name);
}

/** Removes the sockets of servers that were killed. */
export function removeOldSockets(path: string): void {
  const directory = join(path, '..');
  for (const name of readdirSync(directory)) {
    if (/^mongodb-[0-9a-f]{8}\.sock$/.test(name) && join(directory, name) !== path) rmSync(join(directory, name), { force: true });
  }
}

/** The data directory, made private if it is not there. */
export function prepareDirectory(directory: string): string {
  if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
  return realpathSync(directory);
}
