import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Long, MongoClient, UUID } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { buildEmbedded } from './build.ts';
import { checkDataFile } from './check.ts';
import { Random } from './random.ts';
import { rawCommand } from './raw.ts';

// What needs processes of its own: being killed, being started twice, the worker thread, a full disk.
let built: string;
let directory: string;
const children = new Set<ChildProcess>();

beforeAll(() => {
  built = buildEmbedded();
});
afterAll(() => rmSync(built, { recursive: true, force: true }));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'embedded-process-'));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  rmSync(directory, { recursive: true, force: true });
});

async function run(options: object, wrapper: string[] = []): Promise<{ child: ChildProcess; uri: string; error?: string }> {
  const [command, ...args] = [...wrapper, process.execPath, join(built, 'child.js'), JSON.stringify({ directory, ...options })];
  const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  const [line] = await once(child.stdout!, 'data');
  return { child, ...JSON.parse(String(line)) };
}

async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  children.delete(child);
  // One that uses the database of another process can have ended with it.
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

const quick = { serverSelectionTimeoutMS: 300 };

// KILL_ROUNDS makes it longer. Each round: writers at work, kill -9 at a random moment, then everything acknowledged must be there.
it('loses and tears nothing when it is killed', { timeout: 300_000 }, async () => {
  const rounds = Number(process.env.KILL_ROUNDS ?? 8);
  const random = new Random(Date.now());
  const acknowledged = new Set<string>();
  const pairs = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const { child, uri } = await run({ worker: round % 2 === 0 });
    const client = await new MongoClient(uri, quick).connect();
    const collection = client.db('test').collection<{ _id: string; n: number; tags: string[] }>('things');
    if (round === 0) await collection.createIndexes([{ key: { n: 1 } }, { key: { tags: 1, n: -1 }, unique: true }]);
    let running = true;
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let i = 0; running; i++) {
        const id = `${round}-${writer}-${i}`;
        const document = { n: i, tags: [id, `${id}+`] };
        try {
          if (writer % 2) {
            await collection.insertOne({ _id: id, ...document });
            acknowledged.add(id);
            if (i % 3 === 0) await collection.updateOne({ _id: id }, { $inc: { n: 1 }, $set: { tags: [id, `${id}+`, `${id}++`] } });
            continue;
          }
          await client.withSession((session) =>
            session.withTransaction(async () => {
              for (const half of ['a', 'b'])
                await collection.insertOne({ _id: `${id}${half}`, ...document, tags: [`${id}${half}`] }, { session });
            }),
          );
          pairs.add(id);
        } catch {
          return;
        }
      }
    });
    // Not before both kinds of writes have been acknowledged, however slow the machine is.
    const enough = [acknowledged.size + 3, pairs.size + 3] as const;
    while (acknowledged.size < enough[0] || pairs.size < enough[1]) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, random.below(200)));
    await kill(child);
    running = false;
    await Promise.all(writers);
    await client.close();
    await checkDataFile(join(directory, 'data.mdb'));
  }
  const server = await startEmbeddedMongodb({ directory });
  const client = await new MongoClient(server.uri).connect();
  const ids = new Set((await client.db('test').collection<{ _id: string }>('things').find().toArray()).map(({ _id }) => _id));
  await client.close();
  await server.stop();
  expect([...acknowledged].filter((id) => !ids.has(id))).toEqual([]);
  expect([...pairs].filter((id) => !ids.has(`${id}a`) || !ids.has(`${id}b`))).toEqual([]);
  expect(
    [...ids].filter((id) => (id.endsWith('a') && !ids.has(`${id.slice(0, -1)}b`)) || (id.endsWith('b') && !ids.has(`${id.slice(0, -1)}a`))),
  ).toEqual([]);
  expect(acknowledged.size).toBeGreaterThanOrEqual(3 * rounds);
  expect(pairs.size).toBeGreaterThanOrEqual(3 * rounds);
  console.log(`kill -9: ${rounds} rounds, ${acknowledged.size} acknowledged inserts, ${pairs.size} acknowledged transactions`);
});

// A pass begins a second after a deletion. Each round is killed a little later.
it('loses nothing when it is killed while it overwrites deleted data, and overwrites the rest after the next start', async () => {
  const random = new Random(Date.now());
  const kept = new Map<number, string>();
  let id = 0;
  for (let round = 0; round < 3; round++) {
    const { child, uri } = await run({ worker: round % 2 === 0 });
    const client = await new MongoClient(uri, quick).connect();
    const things = client.db('test').collection<{ _id: number; text: string }>('things');
    const made = Array.from({ length: 3000 }, () => {
      const isKept = random.below(2) === 0;
      return { _id: id++, text: (isKept ? 'KEPT' : 'DELETED').padEnd(random.pick([20, 500, 9000]), 'x') };
    });
    for (const { _id, text } of made) if (text.startsWith('KEPT')) kept.set(_id, text);
    await things.insertMany(made);
    await things.deleteMany({ text: { $gte: 'DELETED', $lt: 'DELETEE' } });
    await new Promise((resolve) => setTimeout(resolve, 950 + 80 * round + random.below(40)));
    await kill(child);
    await client.close();
    await checkDataFile(join(directory, 'data.mdb'));
  }
  const server = await startEmbeddedMongodb({ directory });
  const client = await new MongoClient(server.uri).connect();
  const found = await client.db('test').collection<{ _id: number; text: string }>('things').find().toArray();
  await client.close();
  await server.stop();
  expect(found.length).toBe(kept.size);
  expect(found.filter(({ _id, text }) => kept.get(_id) !== text)).toEqual([]);
  expect(readFileSync(join(directory, 'data.mdb')).includes('DELETED')).toBe(false);
});

/** Mounts a small disk, or returns false where that is not permitted. */
function mountDisk(path: string, size: string): boolean {
  mkdirSync(path);
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]).status === 0;
}

it.each(['16k', '64k', '160k', '300k', '400k'])('says so when a start finds no space, on a disk of %s', async (size) => {
  const disk = join(directory, 'disk');
  if (!mountDisk(disk, size)) return;
  try {
    const { child, uri, error } = await run({ directory: join(disk, 'data') });
    if (uri === undefined) expect(error).toMatch(/no space left/i);
    await kill(child).catch(() => {});
  } finally {
    spawnSync('umount', ['-l', disk]);
  }
});

it('says so when the disk has become full, and starts again with all data when there is space', async () => {
  const disk = join(directory, 'disk');
  if (!mountDisk(disk, '4m')) return;
  try {
    const first = await run({ directory: disk });
    const client = await new MongoClient(first.uri, { ...quick, retryWrites: false }).connect();
    await client.db('test').collection<{ _id: number }>('things').insertOne({ _id: 1 });
    await client.close();
    await kill(first.child);
    const filler = join(disk, 'filler');
    try {
      for (;;) appendFileSync(filler, Buffer.alloc(4096));
    } catch {
      // The disk is full.
    }
    expect((await run({ directory: disk })).error).toMatch(/no space left/i);
    rmSync(filler);
    const second = await run({ directory: disk });
    const other = await new MongoClient(second.uri, quick).connect();
    expect(await other.db('test').collection('things').countDocuments()).toBe(1);
    await other.close();
    await kill(second.child);
  } finally {
    spawnSync('umount', ['-l', disk]);
  }
});

it('is one server, however many processes start it at once, and a fresh one after it was killed', async () => {
  const started = await Promise.all(Array.from({ length: 4 }, () => run({})));
  expect(new Set(started.map(({ uri }) => uri)).size).toBe(1);
  const client = await new MongoClient(started[0]!.uri, quick).connect();
  await client
    .db('test')
    .collection('things')
    .insertOne({ _id: 1 as never });
  await client.close();
  for (const { child } of started) await kill(child);
  const again = await run({});
  expect(again.uri).not.toBe(started[0]!.uri);
  const other = await new MongoClient(again.uri, quick).connect();
  expect(await other.db('test').collection('things').countDocuments()).toBe(1);
  await other.close();
});

it('answers a retried write and a retried commit as it did before it was killed', async () => {
  const first = await run({});
  const client = await new MongoClient(first.uri, quick).connect();
  const database = client.db('test');
  await database.createCollection('things');
  const lsid = { id: new UUID() };
  const insert = { insert: 'things', documents: [{ _id: 1 }], txnNumber: Long.fromNumber(1), lsid };
  const inTransaction = { lsid, txnNumber: Long.fromNumber(2), autocommit: false };
  expect(await rawCommand(first.uri, 'test', insert)).toMatchObject({ ok: 1, n: 1 });
  expect(
    await rawCommand(first.uri, 'test', { insert: 'things', documents: [{ _id: 2 }], startTransaction: true, ...inTransaction }),
  ).toMatchObject({ ok: 1 });
  expect(await rawCommand(first.uri, 'admin', { commitTransaction: 1, ...inTransaction })).toMatchObject({ ok: 1 });
  await client.close();
  await kill(first.child);
  const second = await run({});
  expect(await rawCommand(second.uri, 'admin', { commitTransaction: 1, ...inTransaction })).toMatchObject({ ok: 1 });
  expect(await rawCommand(second.uri, 'test', insert)).toMatchObject({ ok: 0, code: 225 });
  const retried = { ...insert, documents: [{ _id: 3 }], lsid: { id: new UUID() } };
  expect(await rawCommand(second.uri, 'test', retried)).toMatchObject({ ok: 1, n: 1 });
  await kill(second.child);
  const third = await run({});
  expect(await rawCommand(third.uri, 'test', retried)).toMatchObject({ ok: 1, n: 1 });
  expect(await rawCommand(third.uri, 'test', { count: 'things' })).toMatchObject({ n: 3 });
});

it('says so when the disk is full, loses nothing and goes on', async () => {
  // A limit on the size of files is what a full disk looks like to LMDB.
  const { child, uri } = await run({}, ['bash', '-c', 'ulimit -f 2048; exec "$@"', '-']);
  const client = await new MongoClient(uri, { ...quick, retryWrites: false }).connect();
  const collection = client.db('test').collection<{ _id: number; text: string }>('things');
  let stored = 0;
  const failure = await (async () => {
    for (; ; stored++) await collection.insertOne({ _id: stored, text: 'x'.repeat(20_000) });
  })().catch((error) => error);
  expect(failure).toMatchObject({ code: 14031, message: expect.stringContaining('nothing was written') });
  expect(stored).toBeGreaterThan(10);
  expect(await collection.countDocuments()).toBe(stored);
  await collection.deleteMany({ _id: { $lt: 10 } }).catch(() => {});
  await client.close();
  await kill(child);
  await checkDataFile(join(directory, 'data.mdb'));
});

it('refuses a directory that it may not write to', async () => {
  mkdirSync(join(directory, 'sub'));
  chmodSync(join(directory, 'sub'), 0o500);
  // Root may write everywhere; the test then runs as nobody.
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : [];
  chmodSync(directory, 0o755);
  chmodSync(built, 0o755);
  const { error } = await run({ directory: join(directory, 'sub') }, asNobody);
  expect(error).toMatch(/data\.mdb cannot be opened: EACCES: permission denied/);
});

it('runs in a worker thread and stops there', async () => {
  const { child, uri } = await run({ worker: true });
  const client = await new MongoClient(uri, quick).connect();
  await client
    .db('test')
    .collection('things')
    .insertOne({ _id: 1 as never });
  await client.close();
  const exited = once(child, 'exit');
  child.stdin!.write('stop\n');
  expect((await exited)[0]).toBe(0);
  await checkDataFile(join(directory, 'data.mdb'));
});

it('needs the built JavaScript for the worker thread, and says so', async () => {
  await expect(startEmbeddedMongodb({ directory, worker: true })).rejects.toThrow('requires the built JavaScript');
});
