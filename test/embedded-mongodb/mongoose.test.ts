import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose, { type Connection, Schema, Types } from 'mongoose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';

// The gateway's own way of using the database: mongoose over an ordinary connection string.
const directory = mkdtempSync(join(tmpdir(), 'embedded-mongoose-'));
let server: EmbeddedMongodb;
let connection: Connection;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  connection = await mongoose.createConnection(server.uri, { dbName: 'gateway' }).asPromise();
});
afterAll(async () => {
  await connection?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

it('keeps documents, indexes and transactions as mongoose expects', async () => {
  const schema = new Schema({
    organizationId: { type: Schema.Types.ObjectId, required: true },
    name: String,
    externalId: String,
    tags: [String],
    uses: [{ _id: false, credentialId: Schema.Types.ObjectId }],
    count: { type: Number, default: 0 },
  });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, 'uses.credentialId': 1 });
  schema.index({ organizationId: 1, externalId: 1 }, { unique: true, partialFilterExpression: { externalId: { $exists: true } } });
  const Thing = connection.model('Thing', schema);
  await Thing.init();
  expect((await Thing.listIndexes()).map((index) => index.name)).toEqual([
    '_id_',
    'organizationId_1_name_1',
    'organizationId_1_uses.credentialId_1',
    'organizationId_1_externalId_1',
  ]);

  const organizationId = new Types.ObjectId();
  const credentialId = new Types.ObjectId();
  await Thing.create({ organizationId, name: 'a', uses: [{ credentialId }, { credentialId: new Types.ObjectId() }] });
  await Thing.insertMany([...'bcdefghij'].map((name) => ({ organizationId, name, tags: [name, 'all'] })));
  await expect(Thing.create({ organizationId, name: 'a' })).rejects.toMatchObject({
    code: 11000,
    keyPattern: { organizationId: 1, name: 1 },
    keyValue: { organizationId, name: 'a' },
    message: `E11000 duplicate key error collection: gateway.things index: organizationId_1_name_1 dup key: { organizationId: ObjectId('${organizationId}'), name: "a" }`,
  });

  expect(await Thing.countDocuments({ organizationId, tags: 'all' })).toBe(9);
  expect(await Thing.estimatedDocumentCount()).toBe(10);
  expect((await Thing.findOne({ organizationId, 'uses.credentialId': credentialId }).lean())?.name).toBe('a');
  const page = await Thing.find({ organizationId, name: { $gt: 'b' } }, { name: 1, _id: 0 })
    .sort({ name: -1 })
    .limit(3)
    .lean();
  expect(page).toEqual([{ name: 'j' }, { name: 'i' }, { name: 'h' }]);
  const updated = await Thing.findOneAndUpdate(
    { organizationId, name: 'b' },
    { $inc: { count: 2 }, $set: { tags: ['b', 'all', 'new'] } },
    { returnDocument: 'after' },
  );
  expect(updated).toMatchObject({ count: 2, tags: ['b', 'all', 'new'] });
  expect(await Thing.updateMany({ organizationId, count: { $lt: 2 } }, { $set: { count: 5 } })).toMatchObject({
    matchedCount: 9,
    modifiedCount: 9,
  });
  expect(await Thing.deleteOne({ organizationId, name: 'c' })).toMatchObject({ deletedCount: 1 });
  expect((await Thing.distinct('tags', { organizationId })).sort()).toEqual(['all', 'b', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'new']);

  await connection.transaction(async (session) => {
    await Thing.create([{ organizationId, name: 'in' }], { session });
    expect(await Thing.countDocuments({ name: 'in' })).toBe(0);
    expect(await Thing.countDocuments({ name: 'in' }).session(session)).toBe(1);
  });
  expect(await Thing.countDocuments({ name: 'in' })).toBe(1);
  await expect(
    connection.transaction(async (session) => {
      await Thing.updateOne({ name: 'in' }, { name: 'out' }, { session });
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await Thing.countDocuments({ name: 'in' })).toBe(1);

  // Many parents, a bounded page of children for each, in one command.
  const explained = await Thing.collection
    .aggregate([
      { $match: { organizationId, name: { $gte: 'd' } } },
      { $sort: { name: 1 } },
      { $limit: 2 },
      {
        $unionWith: {
          coll: 'things',
          pipeline: [{ $match: { organizationId, name: { $gte: 'g' } } }, { $sort: { name: 1 } }, { $limit: 2 }, { $project: { name: 1 } }],
        },
      },
    ])
    .explain('executionStats');
  expect(explained.executionStats).toMatchObject({ nReturned: 4, totalKeysExamined: 4, totalDocsExamined: 4 });
});
