import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Collection, MongoClient } from 'mongodb';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backupEmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { checkDataFile } from './check.ts';
import { Random } from './random.ts';

// What has been deleted must not be in the files any more. Found by searching them.
let root: string;
let directory: string;
const cleanups: (() => Promise<void>)[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'embedded-deletion-'));
  directory = join(root, 'data');
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(root, { recursive: true, force: true });
});

interface Thing {
  _id: number;
  secret: string;
}

async function open() {
  const server = await startEmbeddedMongodb({ directory });
  const client = await new MongoClient(server.uri).connect();
  let ended = false;
  const stop = async () => {
    if (ended) return;
    ended = true;
    await client.close();
    await server.stop();
  };
  cleanups.push(stop);
  return { things: client.db('test').collection<Thing>('things'), client, stop };
}

/** Returns how often a text is in the files of the directory. */
function occurrences(text: string, path = directory): number {
  let count = 0;
  for (const name of existsSync(path) ? readdirSync(path) : []) {
    if (!statSync(join(path, name)).isFile()) continue;
    const bytes = readFileSync(join(path, name));
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) count++;
  }
  return count;
}

const gone = (text: string) => expect.poll(() => occurrences(text), { timeout: 60_000, interval: 100 }).toBe(0);

/** Short values stay in the page of their neighbours; long ones get pages of their own. */
const sizes = [20, 300, 1900, 2100, 5000, 70_000];
const secretOf = (mark: string, n: number) => mark + 'x'.repeat(sizes[n % sizes.length]!) + mark;

async function fill(things: Collection<Thing>, mark: (n: number) => string, count = 300): Promise<void> {
  await things.insertMany(Array.from({ length: count }, (_, _id) => ({ _id, secret: secretOf(mark(_id), _id) })));
}

const isOdd = (n: number) => n % 2 === 1;
const marks = (n: number) => (isOdd(n) ? 'ODD-SECRET' : 'EVEN-SECRET');

it.each<[string, (things: Collection<Thing>, client: MongoClient) => Promise<unknown>]>([
  [
    'deleted one by one',
    async (things) => {
      for (let n = 1; n < 300; n += 2) await things.deleteOne({ _id: n });
    },
  ],
  ['deleted at once', (things) => things.deleteMany({ secret: { $gt: 'ODD', $lt: 'ODE' } })],
  [
    'deleted in a transaction',
    (things, client) =>
      client.withSession((session) =>
        session.withTransaction(() => things.deleteMany({ secret: { $gt: 'ODD', $lt: 'ODE' } }, { session })),
      ),
  ],
  [
    'found and deleted',
    async (things) => {
      for (let n = 1; n < 300; n += 2) await things.findOneAndDelete({ _id: n }, { projection: { _id: 1 } });
    },
  ],
  [
    'replaced by longer values',
    async (things) => {
      for (let n = 1; n < 300; n += 2) await things.replaceOne({ _id: n }, { secret: secretOf('NEW', n + 1) });
    },
  ],
  [
    'replaced by shorter values',
    async (things) => {
      for (let n = 1; n < 300; n += 2) await things.updateOne({ _id: n }, { $set: { secret: 'NEW' } });
    },
  ],
])('overwrites what was %s, while the server runs, and keeps the rest', async (_, remove) => {
  const { things, client, stop } = await open();
  await fill(things, marks);
  expect(occurrences('ODD-SECRET')).toBeGreaterThan(150);
  await remove(things, client);
  await gone('ODD-SECRET');
  for (const { _id, secret } of await things.find().toArray()) if (!isOdd(_id)) expect(secret).toBe(secretOf('EVEN-SECRET', _id));
  expect(await things.countDocuments({ secret: { $gt: 'EVEN', $lt: 'EVEO' } })).toBe(150);
  await stop();
  expect(occurrences('ODD-SECRET')).toBe(0);
  await checkDataFile(join(directory, 'data.mdb'));
});

it('overwrites what a dropped collection and a dropped database held', async () => {
  const { things, client } = await open();
  await fill(things, () => 'DROPPED');
  await client.db('other').collection<Thing>('things').insertOne({ _id: 1, secret: 'DROPPED TOO' });
  await things.drop();
  await client.db('other').dropDatabase();
  await gone('DROPPED');
});

it('overwrites before it stops', async () => {
  const { things, stop } = await open();
  await fill(things, marks);
  await things.deleteMany({ secret: { $gt: 'ODD', $lt: 'ODE' } });
  await stop();
  expect(occurrences('ODD-SECRET')).toBe(0);
  expect(occurrences('EVEN-SECRET')).toBeGreaterThanOrEqual(300);
});

it('overwrites what an open transaction still saw, once it has ended', async () => {
  const { things, client } = await open();
  await fill(things, marks);
  const session = client.startSession();
  session.startTransaction({ readConcern: { level: 'snapshot' } });
  expect(await things.countDocuments({}, { session })).toBe(300);
  await things.deleteMany({ secret: { $gt: 'ODD', $lt: 'ODE' } });
  // The first pass runs meanwhile, and must leave the transaction what it sees.
  await expect.poll(() => readFileSync(join(directory, 'data.mdb')).includes('scrubbed'), { timeout: 30_000 }).toBe(true);
  const seen = await things.find({}, { session }).toArray();
  expect(seen.filter(({ _id, secret }) => secret === secretOf(marks(_id), _id)).length).toBe(300);
  await session.commitTransaction();
  await session.endSession();
  await gone('ODD-SECRET');
});

it('leaves nothing of deleted data in a backup', async () => {
  const { things } = await open();
  await fill(things, marks);
  await things.deleteMany({ secret: { $gt: 'ODD', $lt: 'ODE' } });
  await backupEmbeddedMongodb({ directory, file: join(root, 'backups', 'backup') });
  expect(occurrences('ODD-SECRET', join(root, 'backups'))).toBe(0);
  expect(occurrences('EVEN-SECRET', join(root, 'backups'))).toBeGreaterThanOrEqual(300);
});

it('loses nothing while it overwrites and many write', { timeout: 300_000 }, async () => {
  const seed = Date.now() % 1_000_000;
  console.log(`deletion: seed ${seed}`);
  const random = new Random(seed);
  const { things, client, stop } = await open();
  const expected = new Map<number, string>();
  for (let round = 0; round < 40; round++) {
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 6; i++) {
          const _id = writer * 100 + random.below(60);
          const secret = `live${random.below(1e9)}${'y'.repeat(random.pick(sizes))}`;
          if (random.below(3)) {
            await things.replaceOne({ _id }, { secret }, { upsert: true });
            expected.set(_id, secret);
          } else {
            await client.withSession((session) => session.withTransaction(() => things.deleteOne({ _id }, { session })));
            expected.delete(_id);
          }
        }
      }),
    );
  }
  const found = new Map((await things.find().toArray()).map(({ _id, secret }) => [_id, secret]));
  expect(found.size).toBe(expected.size);
  for (const [_id, secret] of expected) expect(found.get(_id) === secret).toBe(true);
  await stop();
  await checkDataFile(join(directory, 'data.mdb'));
  const file = readFileSync(join(directory, 'data.mdb')).toString('latin1');
  const marksInFile = file.match(/live\d+y/g) ?? [];
  expect(new Set(marksInFile).size).toBe(expected.size);
});
