import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Collection, Long, MongoClient, type MongoError, UUID } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { rawCommand } from './raw.ts';

// The same tests run against MONGODB_URI where there is one: what they say is what MongoDB does.
const directory = mkdtempSync(join(tmpdir(), 'embedded-transactions-'));
let server: EmbeddedMongodb;
let client: MongoClient;
let things: Collection<{ _id: number | string; n?: number; name?: string }>;
const names = { database: `transactions_${process.pid}` };

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  client = await new MongoClient(process.env.MONGODB_URI ?? server.uri).connect();
});
afterAll(async () => {
  await client.db(names.database).dropDatabase();
  await client.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  things = client.db(names.database).collection('things');
  await things.drop().catch(() => {});
  await things.createIndex({ name: 1 }, { unique: true, partialFilterExpression: { name: { $exists: true } } });
  await things.insertMany([
    { _id: 1, n: 1 },
    { _id: 2, n: 2 },
  ]);
});

async function inTransaction<T>(run: (session: ReturnType<MongoClient['startSession']>) => Promise<T>): Promise<T> {
  const session = client.startSession();
  session.startTransaction();
  try {
    return await run(session);
  } finally {
    await session.endSession();
  }
}

const transient = (error: MongoError) => error.hasErrorLabel('TransientTransactionError');

it('shows nothing before the commit, and all of it after', async () => {
  await inTransaction(async (session) => {
    await things.insertOne({ _id: 3 }, { session });
    await things.updateOne({ _id: 1 }, { $set: { n: 10 } }, { session });
    await things.deleteOne({ _id: 2 }, { session });
    expect(await things.find({}, { session, sort: { _id: 1 } }).toArray()).toEqual([{ _id: 1, n: 10 }, { _id: 3 }]);
    expect(await things.find({}, { sort: { _id: 1 } }).toArray()).toEqual([
      { _id: 1, n: 1 },
      { _id: 2, n: 2 },
    ]);
    await session.commitTransaction();
  });
  expect(await things.find({}, { sort: { _id: 1 } }).toArray()).toEqual([{ _id: 1, n: 10 }, { _id: 3 }]);
});

it('reads a snapshot: what others commit meanwhile is not seen', async () => {
  await inTransaction(async (session) => {
    expect(await things.countDocuments({}, { session })).toBe(2);
    await things.insertOne({ _id: 3 });
    await things.updateOne({ _id: 1 }, { $set: { n: 5 } });
    expect(await things.countDocuments({}, { session })).toBe(2);
    expect(await things.findOne({ _id: 1 }, { session })).toEqual({ _id: 1, n: 1 });
  });
});

it('finds its own writes through an index, in order', async () => {
  await things.createIndex({ n: 1 });
  await things.insertMany(Array.from({ length: 40 }, (_, i) => ({ _id: `x${i}`, n: 100 + i * 2 })));
  await inTransaction(async (session) => {
    await things.insertMany(
      Array.from({ length: 40 }, (_, i) => ({ _id: `y${i}`, n: 101 + i * 2 })),
      { session },
    );
    await things.deleteMany({ n: { $gte: 110, $lt: 150 } }, { session });
    const expected = Array.from({ length: 80 }, (_, i) => 100 + i).filter((n) => n < 110 || n >= 150);
    const ns = async (direction: 1 | -1, limit = 0) =>
      (await things.find({ n: { $gte: 100 } }, { session, sort: { n: direction }, limit }).toArray()).map(({ n }) => n);
    expect(await ns(1)).toEqual(expected);
    expect(await ns(-1)).toEqual([...expected].reverse());
    expect(await ns(1, 15)).toEqual(expected.slice(0, 15));
    await session.abortTransaction();
  });
  expect(await things.countDocuments({ n: { $gte: 100 } })).toBe(40);
});

it('refuses a write to what another transaction has written, or written since, and says to try again', async () => {
  await inTransaction(async (first) => {
    await things.updateOne({ _id: 1 }, { $inc: { n: 1 } }, { session: first });
    await inTransaction(async (second) => {
      const error = await things.updateOne({ _id: 1 }, { $inc: { n: 1 } }, { session: second }).catch((e) => e);
      expect(error).toMatchObject({ code: 112, codeName: 'WriteConflict' });
      expect(transient(error)).toBe(true);
    });
    await first.commitTransaction();
  });
  await inTransaction(async (session) => {
    await things.findOne({ _id: 2 }, { session });
    await things.updateOne({ _id: 2 }, { $inc: { n: 1 } });
    const error = await things.updateOne({ _id: 2 }, { $inc: { n: 1 } }, { session }).catch((e) => e);
    expect(error).toMatchObject({ code: 112 });
    // The error has ended the transaction.
    expect(await things.findOne({ _id: 2 }, { session }).catch((e) => e)).toMatchObject({ code: 251, codeName: 'NoSuchTransaction' });
  });
  expect(await things.find({}, { sort: { _id: 1 } }).toArray()).toEqual([
    { _id: 1, n: 2 },
    { _id: 2, n: 3 },
  ]);
});

it('a plain write waits for the transaction and then runs', async () => {
  const events: string[] = [];
  await inTransaction(async (session) => {
    await things.updateOne({ _id: 1 }, { $set: { n: 7 } }, { session });
    const plain = things.updateOne({ _id: 1 }, { $inc: { n: 1 } }).then(() => events.push('plain'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    events.push('commit');
    await session.commitTransaction();
    await plain;
  });
  expect(events).toEqual(['commit', 'plain']);
  expect(await things.findOne({ _id: 1 })).toEqual({ _id: 1, n: 8 });
});

it('a plain write that has to wait halfway has done nothing until then', async () => {
  await things.insertMany(Array.from({ length: 20 }, (_, i) => ({ _id: `m${i}`, n: 0 })));
  await inTransaction(async (session) => {
    await things.updateOne({ _id: 'm10' }, { $set: { n: 100 } }, { session });
    const plain = things.updateMany({ _id: { $gte: 'm', $lt: 'n' } }, { $inc: { n: 1 } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await session.commitTransaction();
    expect(await plain).toMatchObject({ matchedCount: 20, modifiedCount: 20 });
  });
  const counts = (await things.find({ _id: { $gte: 'm', $lt: 'n' } }).toArray()).map(({ n }) => n!);
  expect(counts.sort((a, b) => a - b)).toEqual([...Array.from({ length: 19 }, () => 1), 101]);
});

it('a transaction older than an index starts again, for its snapshot has no entries there', async () => {
  const own = await new MongoClient(server.uri).connect();
  const collection = own.db('catalog').collection<{ _id: number; n: number }>('things');
  await collection.insertOne({ _id: 1, n: 1 });
  await own.withSession(async (session) => {
    session.startTransaction();
    expect(await collection.find({ n: 1 }, { session }).toArray()).toHaveLength(1);
    await collection.createIndex({ n: 1 }, { unique: true });
    const error = await collection.insertOne({ _id: 2, n: 1 }, { session }).catch((e) => e);
    expect(error).toMatchObject({ code: 246, codeName: 'SnapshotUnavailable' });
    expect(transient(error)).toBe(true);
  });
  expect(await collection.countDocuments()).toBe(1);
  await own.close();
});

it('a unique value taken by a transaction is nobody else’s', async () => {
  await inTransaction(async (session) => {
    await things.insertOne({ _id: 'a', name: 'one' }, { session });
    await inTransaction(async (other) => {
      expect(transient(await things.insertOne({ _id: 'b', name: 'one' }, { session: other }).catch((e) => e))).toBe(true);
    });
    const plain = things.insertOne({ _id: 'c', name: 'one' }).catch((e) => e);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await session.commitTransaction();
    expect(await plain).toMatchObject({ code: 11000 });
  });
  await inTransaction(async (session) => {
    expect(await things.insertOne({ _id: 'd', name: 'one' }, { session }).catch((e) => e)).toMatchObject({ code: 11000 });
    expect(await things.findOne({}, { session }).catch((e) => e)).toMatchObject({ code: 251 });
  });
});

it('a collection made in a transaction is there only if it commits', async () => {
  const fresh = (name: string) => client.db(names.database).collection<{ _id: number }>(name);
  const listed = async () => (await client.db(names.database).listCollections().toArray()).map(({ name }) => name);
  await inTransaction(async (session) => {
    await fresh('aborted').insertOne({ _id: 1 }, { session });
    await session.abortTransaction();
  });
  expect(await fresh('aborted').countDocuments()).toBe(0);
  await inTransaction(async (session) => {
    await fresh('committed').insertOne({ _id: 1 }, { session });
    expect(await fresh('committed').find({}, { session }).toArray()).toEqual([{ _id: 1 }]);
    await session.commitTransaction();
  });
  expect(await listed()).toContain('committed');
  if (!process.env.MONGODB_URI) expect(await listed()).not.toContain('aborted');
});

it('money is neither made nor lost between twenty clients', async () => {
  const accounts = Array.from({ length: 10 }, (_, i) => `account${i}`);
  await things.insertMany(accounts.map((_id) => ({ _id, n: 100 })));
  await Promise.all(
    Array.from({ length: 20 }, async (_, worker) => {
      for (let i = 0; i < 5; i++) {
        const [from, to] = [accounts[(worker * 7 + i) % 10]!, accounts[(worker * 3 + i * 2 + 1) % 10]!];
        if (from === to) continue;
        await client.withSession((session) =>
          session.withTransaction(async () => {
            const source = await things.findOne({ _id: from }, { session });
            await things.updateOne({ _id: from }, { $set: { n: source!.n! - 1 } }, { session });
            const target = await things.findOne({ _id: to }, { session });
            await things.updateOne({ _id: to }, { $set: { n: target!.n! + 1 } }, { session });
          }),
        );
      }
    }),
  );
  const [total] = await things.aggregate([{ $match: { _id: { $in: accounts } } }, { $group: { _id: null, n: { $sum: '$n' } } }]).toArray();
  expect(total).toEqual({ _id: null, n: 1000 });
});

// The protocol itself, with numbers of our own: what a driver would not send, or sends again after an answer was lost.
it('holds to the rules about transaction numbers', async () => {
  const lsid = { id: new UUID() };
  let number = 10;
  const send = (command: object, fields: object) => rawCommand(server.uri, 'rules', { ...command, lsid, ...fields });
  const inside = (fields: object = {}) => ({ txnNumber: Long.fromNumber(number), autocommit: false, ...fields });
  const admin = (command: object) => rawCommand(server.uri, 'admin', { ...command, lsid, ...inside() });

  expect(await rawCommand(server.uri, 'rules', { insert: 'things', documents: [{ _id: 1, n: 1 }] })).toMatchObject({ ok: 1, n: 1 });
  expect(await send({ find: 'things' }, inside())).toMatchObject({ code: 251 });
  expect(await send({ find: 'things' }, inside({ startTransaction: true }))).toMatchObject({ ok: 1 });
  expect(await send({ count: 'things' }, inside())).toMatchObject({ code: 263 });
  number++;
  expect(await send({ insert: 'things', documents: [{ _id: 50 }] }, inside({ startTransaction: true }))).toMatchObject({ ok: 1, n: 1 });
  expect(await send({ find: 'things', readConcern: { level: 'local' } }, inside())).toMatchObject({ code: 72 });
  number++;
  expect(await send({ insert: 'things', documents: [{ _id: 50 }] }, inside({ startTransaction: true }))).toMatchObject({ ok: 1, n: 1 });
  expect(await admin({ commitTransaction: 1 })).toMatchObject({ ok: 1 });
  expect(await admin({ commitTransaction: 1 })).toMatchObject({ ok: 1 });
  expect(await admin({ abortTransaction: 1 })).toMatchObject({ code: 256, codeName: 'TransactionCommitted' });
  expect(
    await send({ find: 'things' }, { txnNumber: Long.fromNumber(number - 1), autocommit: false, startTransaction: true }),
  ).toMatchObject({ code: 225, codeName: 'TransactionTooOld' });
  number++;
  expect(await send({ find: 'things' }, inside({ startTransaction: true }))).toMatchObject({ ok: 1 });
  expect(await admin({ abortTransaction: 1 })).toMatchObject({ ok: 1 });
  expect(await admin({ commitTransaction: 1 })).toMatchObject({ code: 251 });
  // A retryable write is run once, however often it is sent; its answer is the first one.
  number++;
  const insert = { insert: 'things', documents: [{ _id: 60 }] };
  expect(await send(insert, { txnNumber: Long.fromNumber(number) })).toMatchObject({ ok: 1, n: 1 });
  expect(await send(insert, { txnNumber: Long.fromNumber(number) })).toMatchObject({ ok: 1, n: 1 });
  number++;
  const modify = { findAndModify: 'things', query: { _id: 1 }, update: { $inc: { n: 1 } }, new: true };
  expect(await send(modify, { txnNumber: Long.fromNumber(number) })).toMatchObject({ value: { n: 2 } });
  expect(await send(modify, { txnNumber: Long.fromNumber(number) })).toMatchObject({ value: { n: 2 } });
  expect(await rawCommand(server.uri, 'rules', { count: 'things', query: { _id: 1, n: 2 } })).toMatchObject({ n: 1 });
});
