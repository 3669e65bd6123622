import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Collection, type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { FailPoints } from './fail-points.ts';

// A driver whose connection breaks sends its write once more. It must be done once, whether or not the server had done it.
const directory = mkdtempSync(join(tmpdir(), 'embedded-retries-'));
let server: EmbeddedMongodb;
let failPoints: FailPoints;
let client: MongoClient;
let things: Collection<{ _id: number; n: number }>;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  failPoints = new FailPoints(decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(server.uri)![1]!));
  client = new MongoClient(await failPoints.listen(), { monitorCommands: true, minHeartbeatFrequencyMS: 20 });
});
afterAll(async () => {
  await client.close();
  failPoints.stop();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  things = client.db('retries').collection('things');
  await things.drop();
  await things.insertOne({ _id: 1, n: 1 });
});

const once = { times: 1 };
const beforeWriting = (command: string): Document => ({
  configureFailPoint: 'failCommand',
  mode: once,
  data: { failCommands: [command], closeConnection: true },
});
const afterWriting = (): Document => ({ configureFailPoint: 'onPrimaryTransactionalWrite', mode: once });

it.each([
  ['before', beforeWriting],
  ['after', afterWriting],
] as const)('writes once when the connection breaks %s the write', async (_, broken) => {
  const started: string[] = [];
  client.on('commandStarted', ({ commandName }) => void started.push(commandName));
  const breaking = async <T>(command: string, write: () => Promise<T>): Promise<T> => {
    await client.db('admin').command(broken(command));
    started.length = 0;
    const result = await write();
    expect(started).toEqual([command, command]);
    return result;
  };
  expect(await breaking('insert', () => things.insertOne({ _id: 2, n: 1 }))).toMatchObject({ insertedId: 2 });
  expect(await breaking('update', () => things.updateOne({ _id: 1 }, { $inc: { n: 1 } }))).toMatchObject({
    matchedCount: 1,
    modifiedCount: 1,
  });
  const options = { returnDocument: 'after' } as const;
  expect(await breaking('findAndModify', () => things.findOneAndUpdate({ _id: 1 }, { $inc: { n: 1 } }, options))).toEqual({ _id: 1, n: 3 });
  expect(await breaking('delete', () => things.deleteOne({ _id: 2 }))).toMatchObject({ deletedCount: 1 });
  expect(await things.find().toArray()).toEqual([{ _id: 1, n: 3 }]);
});

it('the server itself has no fail points', async () => {
  const direct = new MongoClient(server.uri);
  await expect(direct.db('admin').command(afterWriting())).rejects.toMatchObject({ code: 59 });
  await direct.close();
});
