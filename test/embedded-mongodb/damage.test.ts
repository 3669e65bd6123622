import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open as openLmdb } from 'lmdb';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keyIn } from '../../src/embedded-mongodb/catalog.ts';
import { unsealed } from '../../src/embedded-mongodb/checksum.ts';
import { formatKey, openFile } from '../../src/embedded-mongodb/file.ts';
import {
  backupEmbeddedMongodb,
  checkEmbeddedMongodb,
  restoreEmbeddedMongodb,
  startEmbeddedMongodb,
} from '../../src/embedded-mongodb/index.ts';
import { checkDataFile } from './check.ts';
import { Random } from './random.ts';

// A file that is not what was written: every change is noticed, and none is taken for other data.
const root = mkdtempSync(join(tmpdir(), 'embedded-damage-'));
const original = join(root, 'original');
let number = 0;

const documents = Array.from({ length: 120 }, (_, _id) => ({
  _id,
  name: `name${_id}`,
  tags: [`t${_id % 7}`, `u${_id % 5}`],
  text: 'z'.repeat([10, 200, 6000][_id % 3]!),
}));

beforeAll(async () => {
  await using(original, async (client) => {
    const things = client.db('test').collection<(typeof documents)[number]>('things');
    await things.createIndexes([{ key: { name: 1 }, unique: true }, { key: { tags: 1, name: -1 } }]);
    await things.insertMany(documents);
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function using<T>(directory: string, run: (client: MongoClient) => Promise<T>): Promise<T> {
  const server = await startEmbeddedMongodb({ directory });
  const client = await new MongoClient(server.uri).connect();
  try {
    return await run(client);
  } finally {
    await client.close();
    await server.stop();
  }
}

/** Returns a directory with a copy of the data. */
function copied(): { directory: string; path: string } {
  const directory = join(root, `copy${number++}`);
  mkdirSync(directory);
  const path = join(directory, 'data.mdb');
  copyFileSync(join(original, 'data.mdb'), path);
  return { directory, path };
}

const find = (client: MongoClient, filter: object) => client.db('test').collection('things').find(filter).toArray();

it('refuses a file that was cut off anywhere, an empty one included', async () => {
  const { size } = statSync(join(original, 'data.mdb'));
  const used = size / 4096;
  const lengths = [0, 1, 23, 24, 100, 160, 4095, 4096, 4256, 8191, 8192];
  for (let page = 2; page < used; page += Math.ceil(used / 30)) lengths.push(page * 4096, page * 4096 + 100);
  let refused = 0;
  for (const length of lengths) {
    const { directory, path } = copied();
    truncateSync(path, length);
    const error = await startEmbeddedMongodb({ directory }).then(
      async (server) => {
        await server.stop();
        return undefined;
      },
      (failure: Error) => failure,
    );
    expect(error?.message ?? `started with ${length} bytes`).toMatch(/data\.mdb cannot be opened: it is (empty|not a data file|damaged)/);
    // Nothing was changed, so that it can be examined.
    expect(statSync(path).size).toBe(length);
    refused++;
  }
  expect(refused).toBe(lengths.length);
});

it('notices every changed byte that matters', { timeout: 300_000 }, async () => {
  const seed = Number(process.env.DAMAGE_SEED ?? Date.now() % 1_000_000);
  console.log(`damage: seed ${seed}`);
  const random = new Random(seed);
  const bytes = readFileSync(join(original, 'data.mdb'));
  // Most of the file is text in large values, and free; so bytes of the small pages are changed as often.
  const small = Array.from({ length: bytes.length / 4096 }, (_, page) => page).filter((page) => (bytes[page * 4096 + 18]! & 3) !== 0);
  const outcomes = { refused: 0, damage: 0, unused: 0 };
  for (let i = 0; i < 200; i++) {
    const { directory, path } = copied();
    const at = random.pick([
      () => random.below(bytes.length),
      () => random.pick(small) * 4096 + random.below(4096),
      // What describes the newest versions and the pages.
      () => random.below(2) * 4096 + 24 + random.below(136),
      () => random.pick(small) * 4096 + random.below(200),
    ])();
    const changed = Buffer.from(bytes);
    changed[at] = changed[at]! ^ (1 << random.below(8));
    writeFileSync(path, changed);
    try {
      const { damage } = await checkEmbeddedMongodb({ directory });
      if (damage.length) outcomes.damage++;
      else {
        // Then nothing may have changed.
        outcomes.unused++;
        expect(await contents(path), `byte ${at}`).toEqual(await contents(join(original, 'data.mdb')));
      }
    } catch (error) {
      expect((error as Error).message).toContain('data.mdb cannot be opened');
      outcomes.refused++;
    }
    rmSync(directory, { recursive: true });
  }
  console.log(`damage: ${JSON.stringify(outcomes)}`);
  expect(outcomes.damage).toBeGreaterThan(20);
  expect(outcomes.refused).toBeGreaterThan(20);
});

/** Returns all entries with data of clients. */
async function contents(path: string): Promise<string[]> {
  const db = openFile(path);
  const entries = [...(db.getRange({ start: keyIn(1) }) as Iterable<{ key: Buffer; value: Buffer }>)];
  await db.close();
  return entries.map(({ key, value }) => `${key.toString('hex')} ${value.toString('hex')}`);
}

/** Changes the entries of a file through LMDB, as a fault of this program would. */
async function tamper(path: string, change: (key: Buffer, value: Buffer) => Buffer | undefined | null): Promise<void> {
  const db = openLmdb<Buffer, Buffer>({ path, noSubdir: true, keyEncoding: 'binary', encoding: 'binary', maxReaders: 2000 });
  db.transactionSync(() => {
    for (const { key, value } of [...(db.getRange({ start: keyIn(1) }) as Iterable<{ key: Buffer; value: Buffer }>)]) {
      const changed = change(key, value);
      if (changed) db.putSync(key, changed);
      else if (changed === null) db.removeSync(key);
    }
  });
  await db.close();
}

/** Whether the entry is that of the document with the text, which has `name7` in an index. */
const isRecord = (value: Buffer) => value.includes('name7\0') && value.includes('zzz');
const isEntry = (key: Buffer, value: Buffer) => key.includes('name7\0') && !isRecord(value);

it('answers with an error, not with less, when a document is damaged', async () => {
  const { directory, path } = copied();
  await tamper(path, (_key, value) =>
    isRecord(value) ? Buffer.from(value.map((byte, i) => (i === value.length - 20 ? byte ^ 1 : byte))) : undefined,
  );
  await using(directory, async (client) => {
    for (const filter of [{}, { name: 'name7' }, { _id: 7 }, { tags: 't0' }]) {
      await expect(find(client, filter)).rejects.toMatchObject({ code: 301, codeName: 'DataCorruptionDetected' });
    }
    await expect(
      client
        .db('test')
        .collection('things')
        .updateOne({ _id: 7 as never }, { $set: { a: 1 } }),
    ).rejects.toMatchObject({ code: 301 });
    expect(await find(client, { name: 'name8' })).toHaveLength(1);
  });
  expect((await checkEmbeddedMongodb({ directory })).damage).toEqual(['1 entries do not have their checksum']);
});

it('answers with an error when an index has lost its document', async () => {
  const { directory, path } = copied();
  await tamper(path, (_key, value) => (isRecord(value) ? null : undefined));
  await using(directory, async (client) => {
    await expect(find(client, { name: 'name7' })).rejects.toMatchObject({ code: 301 });
    await expect(find(client, { tags: 't0' })).rejects.toMatchObject({ code: 301 });
  });
  const { damage } = await checkEmbeddedMongodb({ directory });
  expect(damage).toEqual([
    'test.things, index _id_: 1 entries belong to no document',
    'test.things, index name_1: 1 entries belong to no document',
    'test.things, index tags_1_name_-1: 2 entries belong to no document',
  ]);
});

it('finds in a check what an index has lost', async () => {
  const { directory, path } = copied();
  await tamper(path, (key, value) => (isEntry(key, value) ? null : undefined));
  expect((await checkEmbeddedMongodb({ directory })).damage).toEqual(['test.things, index name_1: 1 entries are missing']);
});

it('finds nothing in a sound directory, while a server is writing, too', async () => {
  expect(await checkEmbeddedMongodb({ directory: original })).toEqual({ collections: 1, documents: 120, indexEntries: 480, damage: [] });
  const { directory } = copied();
  await using(directory, async (client) => {
    const things = client.db('test').collection<{ _id: string; tags: string[] }>('things');
    let isRunning = true;
    const writing = (async () => {
      for (let n = 0; isRunning; n++) {
        await things.insertOne({ _id: `n${n}`, tags: ['a', 'b'], name: `n${n}` } as never);
        if (n % 3 === 0) await things.deleteOne({ _id: `n${n}` });
      }
    })();
    for (let i = 0; i < 10; i++) expect((await checkEmbeddedMongodb({ directory })).damage).toEqual([]);
    isRunning = false;
    await writing;
  });
});

it('converts a directory of the older format at the start, and restores a backup of it', async () => {
  const { directory, path } = copied();
  await tamper(path, (key, value) => unsealed(key, value));
  const db = openLmdb<Buffer, Buffer>({ path, noSubdir: true, keyEncoding: 'binary', encoding: 'binary', maxReaders: 2000 });
  db.transactionSync(() => db.putSync(formatKey, Buffer.from('2')));
  await db.close();
  const other = join(root, 'restored');
  await restoreEmbeddedMongodb({ directory: other, file: path });
  await expect(checkEmbeddedMongodb({ directory })).rejects.toThrow(
    'it has format 2; this program supports format 3; start the server once',
  );
  await expect(backupEmbeddedMongodb({ directory, file: join(root, 'backup') })).rejects.toThrow('it has format 2');
  for (const converted of [directory, other]) {
    await using(converted, async (client) => {
      expect(await find(client, {})).toEqual(documents);
      expect(await find(client, { name: 'name7' })).toHaveLength(1);
    });
    expect((await checkEmbeddedMongodb({ directory: converted })).damage).toEqual([]);
    await checkDataFile(join(converted, 'data.mdb'));
  }
});

it('says what it does not know', async () => {
  const { directory, path } = copied();
  const db = openLmdb<Buffer, Buffer>({ path, noSubdir: true, keyEncoding: 'binary', encoding: 'binary', maxReaders: 2000 });
  db.transactionSync(() => db.putSync(formatKey, Buffer.from('4')));
  await db.close();
  await expect(startEmbeddedMongodb({ directory })).rejects.toThrow('it has format 4; this program supports format 3');
});
