import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, type Document, Double, Int32, Long, MongoClient, UUID } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../src/embedded-mongodb/bson.ts';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { Framer, readRequest, writeRequest } from '../../src/embedded-mongodb/wire.ts';
import { rawCommand } from './raw.ts';

// What one client can cost the others: memory, and locks that it leaves behind.
const directory = mkdtempSync(join(tmpdir(), 'embedded-fairness-'));
let server: EmbeddedMongodb;
let client: MongoClient;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  client = await new MongoClient(server.uri).connect();
});
afterAll(async () => {
  await client.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A connection on which several commands can be sent. */
class Connection {
  readonly socket: Socket;
  constructor() {
    this.socket = connect(decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!));
  }
  async run(command: Document, $db = 'fairness'): Promise<Document> {
    const framer = new Framer();
    this.socket.write(writeRequest({ ...command, $db }));
    for (;;) {
      const [chunk] = await once(this.socket, 'data');
      for (const message of framer.add(chunk)) return BSON.deserialize(encode(readRequest(message)));
    }
  }
  close(): void {
    this.socket.destroy();
  }
}

it('reads no more requests from a client that does not read the answers', async () => {
  const things = client.db('fairness').collection('large');
  await things.insertMany(Array.from({ length: 10 }, (_, n) => ({ n, text: 'x'.repeat(1_000_000) })));
  const before = process.memoryUsage().rss;
  const { socket } = new Connection();
  const request = writeRequest({ find: 'large', $db: 'fairness', singleBatch: true });
  // Two gigabytes of answers.
  for (let n = 0; n < 200; n++) socket.write(request);
  for (let n = 0; n < 20; n++) expect(await rawCommand(server.uri, 'admin', { ping: 1 })).toMatchObject({ ok: 1 });
  expect(process.memoryUsage().rss - before).toBeLessThan(600 * 2 ** 20);
  socket.destroy();
  expect(await things.countDocuments()).toBe(10);
});

it('answers another client between the requests that one sends at once', async () => {
  const { socket } = new Connection();
  let answers = 0;
  const framer = new Framer();
  socket.on('data', (chunk) => {
    answers += framer.add(chunk).length;
  });
  const count = 3000;
  socket.write(Buffer.concat(Array.from({ length: count }, () => writeRequest({ ping: 1, $db: 'admin' }))));
  while (!answers) await new Promise(setImmediate);
  await rawCommand(server.uri, 'admin', { ping: 1 });
  expect(answers).toBeLessThan(count);
  await expect.poll(() => answers, { timeout: 60_000 }).toBe(count);
  socket.destroy();
});

describe('a long statement', () => {
  const size = 6_000;
  beforeAll(async () => {
    const things = client.db('fairness').collection('many');
    await things.insertMany(Array.from({ length: size }, (_, n) => ({ _id: n as never, n: (n * 7_919) % size, name: `name ${n}` })));
    await things.createIndex({ n: 1 });
  });

  const filter = { name: { $regex: '^.*none.*(?!.)', $options: 's' } };
  const pipeline = [{ $match: { name: { $gte: '' } } }, { $group: { _id: null, count: { $sum: 1 } } }];
  it.each<[string, Document, (reply: Document) => unknown, unknown]>([
    ['find', { find: 'many', filter }, ({ cursor }) => cursor.firstBatch, []],
    ['find by an index', { find: 'many', filter, hint: 'n_1' }, ({ cursor }) => cursor.firstBatch, []],
    [
      'sort',
      { find: 'many', sort: { name: 1 }, batchSize: size },
      ({ cursor }) => cursor.firstBatch.map(({ _id }: Document) => _id),
      sortedByName(size),
    ],
    ['aggregate', { aggregate: 'many', pipeline, cursor: {} }, ({ cursor }) => cursor.firstBatch, [{ _id: null, count: size }]],
    ['count', { count: 'many', query: { name: { $gte: '' } } }, ({ n }) => n, size],
    ['distinct', { distinct: 'many', key: 'name' }, ({ values }) => values.length, size],
    ['explain', { explain: { find: 'many', filter } }, ({ executionStats }) => executionStats.totalDocsExamined, size],
  ])('%s lets others take turns, and sees nothing of what they write meanwhile', async (_, command, read, expected) => {
    const [long, other] = [new Connection(), new Connection()];
    let isAnswered = false;
    const answer = long.run(command).finally(() => {
      isAnswered = true;
    });
    // The server runs in this process: it has got the command before it gets the next one.
    await new Promise(setImmediate);
    let turns = 0;
    while (!isAnswered) {
      const _id = size + turns++;
      expect(await other.run({ insert: 'many', documents: [{ _id, n: _id, name: 'new' }] })).toMatchObject({ ok: 1, n: 1 });
    }
    const found = await answer;
    expect(found).toMatchObject({ ok: 1 });
    expect(read(found)).toEqual(expected);
    // Without turns, there would be one at most.
    expect(turns).toBeGreaterThan(1);
    expect(await other.run({ delete: 'many', deletes: [{ q: { _id: { $gte: size } }, limit: 0 }] })).toMatchObject({ n: turns });
    long.close();
    other.close();
  });

  it('ends when its client has gone, its cursor is killed, its transaction is aborted, or the server stops', async () => {
    const cursor = async (connection: Connection) => {
      const opened = await connection.run({ find: 'many', filter: { name: { $in: ['name 0', 'none'] } }, batchSize: 1 });
      return Long.fromValue(opened.cursor.id);
    };
    const [first, second] = [new Connection(), new Connection()];
    const killed = await cursor(first);
    const more = { getMore: killed, collection: 'many' };
    const answer = first.run(more);
    await new Promise(setImmediate);
    expect(await second.run(more)).toMatchObject({ code: 12051 });
    expect(await second.run({ killCursors: 'many', cursors: [killed] })).toMatchObject({ cursorsKilled: [expect.anything()] });
    expect(await answer).toMatchObject({ code: 237 });

    const transaction = { lsid: { id: new UUID() }, txnNumber: Long.fromNumber(1), autocommit: false };
    const reading = first.run({ find: 'many', filter, ...transaction, startTransaction: true });
    await new Promise(setImmediate);
    expect(await second.run({ abortTransaction: 1, ...transaction }, 'admin')).toMatchObject({ ok: 1 });
    expect(await reading).toMatchObject({ ok: 0, code: 251 });
    // The session goes on.
    expect(
      await second.run({ find: 'many', limit: 1, ...transaction, txnNumber: Long.fromNumber(2), startTransaction: true }),
    ).toMatchObject({
      ok: 1,
    });

    // In a directory of its own, because it stops.
    const place = mkdtempSync(join(tmpdir(), 'embedded-fairness-'));
    const stopping = await startEmbeddedMongodb({ directory: place });
    const its = await new MongoClient(stopping.uri, { retryReads: false, serverSelectionTimeoutMS: 500 }).connect();
    const things = its.db('fairness').collection('many');
    await things.insertMany(Array.from({ length: size }, (_, n) => ({ n, name: `name ${n}` })));
    const running = Array.from({ length: 3 }, () => things.countDocuments({ name: 'none' }).catch(() => 'gone'));
    await new Promise(setImmediate);
    await stopping.stop();
    expect((await Promise.all(running)).filter((outcome) => outcome !== 'gone' && outcome !== 0)).toEqual([]);
    await its.close();
    rmSync(place, { recursive: true, force: true });
    first.close();
    second.close();
  });
});

/** The ids of the documents, sorted as text. */
function sortedByName(size: number): number[] {
  return Array.from({ length: size }, (_, n) => n).sort((a, b) => Buffer.compare(Buffer.from(`name ${a}`), Buffer.from(`name ${b}`)));
}

it('limits what a sort, a group and distinct keep in memory', { timeout: 300_000 }, async () => {
  const things = client.db('fairness').collection('sorted');
  for (let round = 0; round < 8; round++) {
    await things.insertMany(Array.from({ length: 10 }, (_, n) => ({ n: round * 10 + n, text: `${round}${n}`.padEnd(1_000_000, 'x') })));
  }
  await expect(things.find().sort({ n: 1 }).toArray()).rejects.toMatchObject({
    code: 292,
    codeName: 'QueryExceededMemoryLimitNoDiskUseAllowed',
  });
  await expect(
    things.aggregate([{ $match: {} }, { $addFields: { a: 1 } }, { $group: { _id: { a: '$text', b: '$text' } } }]).toArray(),
  ).rejects.toMatchObject({
    code: 292,
  });
  await expect(things.distinct('text')).rejects.toMatchObject({ code: 17217 });
  // What a failed statement held is free again.
  for (let i = 0; i < 4; i++)
    expect(
      await things
        .find({ n: { $lt: 50 } }, { projection: { n: 1 } })
        .sort({ n: -1 })
        .toArray(),
    ).toHaveLength(50);
  // Open cursors together, too; those that are closed give it back.
  const cursors = Array.from({ length: 4 }, () => things.find({ n: { $lt: 50 } }, { batchSize: 1 }).sort({ n: -1 }));
  const opened = await Promise.allSettled(cursors.map((cursor) => cursor.next()));
  expect(opened.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
  for (const cursor of cursors) await cursor.close();
  expect(
    await things
      .find({ n: { $lt: 50 } }, { projection: { n: 1 } })
      .sort({ n: -1 })
      .toArray(),
  ).toHaveLength(50);
  // An order that an index provides needs no memory.
  await things.createIndex({ n: 1 });
  expect(
    await things
      .find({}, { projection: { n: 1 } })
      .sort({ n: 1 })
      .toArray(),
  ).toHaveLength(80);
});

it('ends the transaction of a client that has disappeared, and gives the locks to others', async () => {
  const things = client.db('fairness').collection<{ _id: number; n: number }>('locked');
  await things.insertOne({ _id: 1, n: 0 });
  const killed = new Connection();
  const transaction = { lsid: { id: new UUID() }, txnNumber: Long.fromNumber(1), autocommit: false };
  const updates = [{ q: { _id: 1 }, u: { $inc: { n: 100 } } }];
  expect(await killed.run({ update: 'locked', updates, startTransaction: true, ...transaction })).toMatchObject({ ok: 1, n: 1 });
  const opened = await killed.run({ find: 'large', batchSize: 1, lsid: { id: new UUID() } });
  const bare = await killed.run({ find: 'large', batchSize: 1 });
  const started = Date.now();
  killed.close();
  await things.updateOne({ _id: 1 }, { $inc: { n: 1 } });
  // Not after the minute that a transaction may take.
  expect(Date.now() - started).toBeLessThan(45_000);
  expect(await things.findOne()).toEqual({ _id: 1, n: 1 });
  expect(await rawCommand(server.uri, 'fairness', { getMore: Long.fromValue(bare.cursor.id), collection: 'large' })).toMatchObject({
    code: 43,
  });
  expect(await rawCommand(server.uri, 'fairness', { killCursors: 'large', cursors: [Long.fromValue(opened.cursor.id)] })).toMatchObject({
    cursorsNotFound: [expect.anything()],
  });
});

it('keeps the transaction of a client that goes on on another connection', async () => {
  const things = client.db('fairness').collection<{ _id: number; n: number }>('kept');
  await things.insertOne({ _id: 1, n: 0 });
  const transaction = { lsid: { id: new UUID() }, txnNumber: Long.fromNumber(1), autocommit: false };
  const updates = [{ q: { _id: 1 }, u: { $inc: { n: 100 } } }];
  const first = new Connection();
  await first.run({ update: 'kept', updates, startTransaction: true, ...transaction });
  const second = new Connection();
  first.close();
  expect(await second.run({ update: 'kept', updates, ...transaction })).toMatchObject({ ok: 1 });
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  expect(await second.run({ commitTransaction: 1, ...transaction }, 'admin')).toMatchObject({ ok: 1 });
  second.close();
  expect(await things.findOne()).toEqual({ _id: 1, n: 200 });
});

it("serves clients that ask for MongoDB's Stable API", async () => {
  const strict = await new MongoClient(server.uri, { serverApi: { version: '1', strict: true, deprecationErrors: true } }).connect();
  const things = strict.db('fairness').collection<{ _id: number }>('stable');
  await things.insertOne({ _id: 1 });
  await strict.withSession((session) => session.withTransaction(() => things.insertOne({ _id: 2 }, { session })));
  expect(await things.find().toArray()).toHaveLength(2);
  expect(await things.aggregate([{ $match: { _id: 1 } }]).toArray()).toHaveLength(1);
  await expect(things.distinct('_id')).rejects.toMatchObject({ code: 323, codeName: 'APIStrictError' });
  await strict.close();
  expect(await rawCommand(server.uri, 'admin', { hello: 1, apiVersion: '1' })).toMatchObject({ ok: 1 });
  expect(await rawCommand(server.uri, 'admin', { hello: 1, apiVersion: '2' })).toMatchObject({ code: 322, codeName: 'APIVersionError' });
  expect(await rawCommand(server.uri, 'admin', { hello: 1, apiStrict: true })).toMatchObject({ code: 4886600 });
});

// Source: https://www.mongodb.com/docs/manual/reference/operator/aggregation/sum/ and the compensation of MongoDB's summation.
it.each<[string, unknown[], unknown]>([
  ['doubles', Array(10).fill(new Double(0.1)), new Double(1)],
  ['doubles that cancel each other', [1e100, 1, -1e100].map((n) => new Double(n)), new Double(1)],
  [
    'doubles and integers',
    [new Double(0.5), new Int32(2), Long.fromString('9007199254740993'), new Double(-0.5)],
    new Double(9007199254740996),
  ],
  ['integers', [new Int32(1), new Int32(2)], new Int32(3)],
  ['integers beyond 32 bits', [new Int32(2 ** 31 - 1), new Int32(1)], Long.fromNumber(2 ** 31)],
  ['integers, one of 64 bits', [new Int32(1), Long.fromNumber(1)], Long.fromNumber(2)],
  ['integers beyond 64 bits', [Long.MAX_VALUE, Long.MAX_VALUE], new Double(2 ** 64)],
  ['infinity', [new Double(Number.POSITIVE_INFINITY), new Double(1)], new Double(Number.POSITIVE_INFINITY)],
  ['opposite infinities', [new Double(Number.POSITIVE_INFINITY), new Double(Number.NEGATIVE_INFINITY)], new Double(Number.NaN)],
  ['what is no number', ['a', null, new Int32(1)], new Int32(1)],
  ['nothing', [], undefined],
])('sums %s', async (name, values, wanted) => {
  const things = client.db('fairness').collection(`sum of ${name}`);
  if (values.length) await things.insertMany(values.map((v) => ({ v })));
  const [found] = await things
    .aggregate([{ $group: { _id: null, sum: { $sum: '$v' } } }], { promoteValues: false, promoteLongs: false })
    .toArray();
  expect(found?.sum).toEqual(wanted);
});
