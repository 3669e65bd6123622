import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readOwner, takeOver } from '../../src/embedded-mongodb/directory-lock.ts';
import { openFile } from '../../src/embedded-mongodb/file.ts';
import { backupEmbeddedMongodb, restoreEmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';

let root: string;
const cleanups: (() => Promise<void>)[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'embedded-directory-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(root, { recursive: true, force: true });
});

async function open(directory: string, port?: number) {
  const server = await startEmbeddedMongodb({ directory, ...(port !== undefined && { port }) });
  const client = await new MongoClient(server.uri).connect();
  let ended = false;
  const stop = async () => {
    if (ended) return;
    ended = true;
    await client.close();
    await server.stop();
  };
  cleanups.push(stop);
  return { server, things: client.db('test').collection<{ _id: number | string }>('things'), client, stop };
}

it('makes a private directory and keeps what it was told across a restart', async () => {
  const directory = join(root, 'data');
  const first = await open(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(directory)) expect([name, statSync(join(directory, name)).mode & 0o777]).toEqual([name, 0o600]);
  await first.things.insertOne({ _id: 1 });
  await first.things.createIndex({ a: 1 }, { unique: true });
  await first.stop();
  const second = await open(directory);
  expect(await second.things.find().toArray()).toEqual([{ _id: 1 }]);
  expect((await second.things.indexes()).map((index) => index.name)).toEqual(['_id_', 'a_1']);
  await expect(second.things.insertMany([{ _id: 2 }, { _id: 3 }])).rejects.toMatchObject({ code: 11000 });
});

it('puts the socket elsewhere when the directory has a long name', async () => {
  const directory = join(root, 'x'.repeat(120), 'data');
  const { things, server, stop } = await open(directory);
  expect(decodeURIComponent(server.uri)).not.toContain('xxxxxxxxxx');
  const socket = decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!);
  expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  await things.insertOne({ _id: 1 });
  expect(await things.countDocuments()).toBe(1);
  await stop();
  expect(existsSync(dirname(socket))).toBe(false);
});

// The directory had a name that anybody could work out from that of the data.
it('uses no directory that somebody else has prepared for the socket', async () => {
  const [directory, temporary, trap] = [join(root, 'x'.repeat(120), 'data'), join(root, 'tmp'), join(root, 'trap')];
  mkdirSync(directory, { recursive: true });
  for (const path of [temporary, trap]) mkdirSync(path);
  const digest = createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 16);
  symlinkSync(trap, join(temporary, `embedded-mongodb-${userInfo().uid}-${digest}`));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = temporary;
  try {
    const { server } = await open(directory);
    const socket = decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!);
    expect(readdirSync(trap)).toEqual([]);
    expect(lstatSync(dirname(socket)).isSymbolicLink()).toBe(false);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
});

it('makes a directory private that others could enter', async () => {
  const directory = join(root, 'data');
  mkdirSync(directory, { mode: 0o755 });
  await open(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

it('listens on TCP when asked to, on loopback only', async () => {
  const { server, things } = await open(join(root, 'data'), 0);
  expect(server.uri).toMatch(/^mongodb:\/\/127\.0\.0\.1:\d+\//);
  await things.insertOne({ _id: 1 });
  // As a replica set, too: the driver then goes to the address that the server calls its own.
  const client = await new MongoClient(server.uri.replace('directConnection=true', 'replicaSet=embedded')).connect();
  expect(await client.db('test').collection('things').countDocuments()).toBe(1);
  await client.close();
});

it('attaches a second start of the same directory to the first', async () => {
  const directory = join(root, 'data');
  const [first, second] = await Promise.all([open(directory), open(directory)]);
  expect(second.server.uri).toBe(first.server.uri);
  await second.things.insertOne({ _id: 1 });
  expect(await first.things.countDocuments()).toBe(1);
});

it('backs up a consistent snapshot while transactions are writing, and restores it', async () => {
  const directory = join(root, 'data');
  const { things, client, server, stop } = await open(directory);
  await things.createIndex({ n: 1 });
  let stopped = false;
  const writing = (async () => {
    for (let n = 0; !stopped; n++) {
      await client.withSession((session) =>
        session.withTransaction(async () => {
          await things.insertOne({ _id: `a${n}` }, { session });
          await things.insertOne({ _id: `b${n}` }, { session });
        }),
      );
    }
    return undefined;
  })();
  await expect.poll(() => things.countDocuments(), { timeout: 20_000 }).toBeGreaterThan(20);
  const file = join(root, 'backup');
  await backupEmbeddedMongodb({ directory, file });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await expect(backupEmbeddedMongodb({ directory, file })).rejects.toThrow('exists already');
  stopped = true;
  await writing;
  const other = join(root, 'restored');
  await restoreEmbeddedMongodb({ directory: other, file });
  await expect(restoreEmbeddedMongodb({ directory: other, file })).rejects.toThrow('there is data');
  // The first server is still running: the copy must not lead to it.
  const restored = await open(other);
  expect(restored.server.uri).not.toBe(server.uri);
  const ids = (await restored.things.find().toArray()).map(({ _id }) => String(_id));
  expect(ids.length).toBeGreaterThan(0);
  expect(
    ids
      .filter((id) => id.startsWith('a'))
      .map((id) => id.slice(1))
      .sort(),
  ).toEqual(
    ids
      .filter((id) => id.startsWith('b'))
      .map((id) => id.slice(1))
      .sort(),
  );
  await restored.things.insertOne({ _id: 'only here' });
  expect(await things.countDocuments({ _id: 'only here' })).toBe(0);
  await stop();
});

it.each<[string, (path: string) => void]>([
  ['another kind of file', (path) => writeFileSync(path, Buffer.alloc(100_000, 'x'))],
  ['the beginning of a file', (path) => truncateSync(path, 100)],
  ['a file that has been cut off', (path) => truncateSync(path, Math.floor(statSync(path).size / 2 / 4096) * 4096)],
])('refuses %s instead of losing anything', async (_, damage) => {
  const directory = join(root, 'data');
  const { things, stop } = await open(directory);
  await things.insertMany(Array.from({ length: 2000 }, (_x, n) => ({ _id: n, text: 'x'.repeat(100) })));
  await stop();
  damage(join(directory, 'data.mdb'));
  await expect(startEmbeddedMongodb({ directory })).rejects.toThrow(
    /data\.mdb cannot be opened: (it is not a data file|it is damaged: page \d+ is cut off)/,
  );
});

// Asking the owner is how a second server is avoided; this is what happens if that ever goes wrong.
it('writes no more once another server has taken the directory over', async () => {
  const directory = join(root, 'data');
  const { things } = await open(directory);
  await things.insertOne({ _id: 1 });
  const db = openFile(join(directory, 'data.mdb'));
  db.resetReadTxn();
  const owner = readOwner((key) => db.get(key))!;
  expect(takeOver(db, { ...owner, identity: 'somebody else' }, 'nobody')).toBe(false);
  await things.insertOne({ _id: 2 });
  expect(takeOver(db, { ...owner, identity: 'somebody else' }, owner.identity)).toBe(true);
  await expect(things.insertOne({ _id: 3 })).rejects.toThrow('another server has taken over the data directory');
  expect(await things.countDocuments()).toBe(2);
  await db.close();
});

it('takes a copied file for a database of its own, though it names the server of the original', async () => {
  const [directory, copy] = [join(root, 'data'), join(root, 'copy')];
  const original = await open(directory);
  await original.things.insertOne({ _id: 1 });
  mkdirSync(copy);
  copyFileSync(join(directory, 'data.mdb'), join(copy, 'data.mdb'));
  const copied = await open(copy);
  expect(copied.server.uri).not.toBe(original.server.uri);
  await copied.things.insertOne({ _id: 2 });
  expect(await original.things.countDocuments()).toBe(1);
});

it('closes a connection that talks nonsense, and goes on', async () => {
  const { server, things } = await open(join(root, 'data'));
  const path = decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!);
  const message = (length: number, opcode: number, rest = Buffer.alloc(0)) => {
    const header = Buffer.alloc(16);
    header.writeInt32LE(length, 0);
    header.writeInt32LE(opcode, 12);
    return Buffer.concat([header, rest]);
  };
  const nonsense = [
    message(-5, 2013),
    message(2 ** 31 - 1, 2013),
    message(16, 2013),
    message(18, 2013, Buffer.from('ab')),
    message(30, 2013, Buffer.alloc(14, 0xff)),
    message(16, 2004),
    message(26, 2013, Buffer.concat([Buffer.alloc(4), Buffer.from([0, 0xff, 0xff, 0, 0, 0])])),
    Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  ];
  for (const bytes of nonsense) {
    const socket = connect(path);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  await things.insertOne({ _id: 1 });
  expect(await things.countDocuments()).toBe(1);
});

it('keeps hundreds of transactions open at once', async () => {
  const { things, client } = await open(join(root, 'data'));
  await things.insertMany(Array.from({ length: 300 }, (_, n) => ({ _id: n })));
  const sessions = Array.from({ length: 300 }, () => client.startSession());
  await Promise.all(
    sessions.map(async (session, n) => {
      session.startTransaction();
      await things.deleteOne({ _id: n }, { session });
    }),
  );
  expect(await things.countDocuments()).toBe(300);
  await Promise.all(sessions.map((session) => session.commitTransaction()));
  expect(await things.countDocuments()).toBe(0);
  await Promise.all(sessions.map((session) => session.endSession()));
});

it('refuses a directory that is a file', async () => {
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'file'), 'x');
  await expect(startEmbeddedMongodb({ directory: join(root, 'file') })).rejects.toThrow(/cannot be opened/);
  expect(readFileSync(join(root, 'file'), 'utf8')).toBe('x');
});
