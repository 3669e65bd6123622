import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON } from 'mongodb';
import mongoose, { Schema, Types } from 'mongoose';
import { it } from 'vitest';
import { openFile } from '../../src/embedded-mongodb/file.ts';
import { buildEmbedded } from './build.ts';

// What the gateway does most, through mongoose, against 100k connections, beside the same amount of work on LMDB alone in the same run: the
// machine's speed cancels out of the ratio. BENCH_DOCUMENTS and BENCH_SECONDS make it shorter or longer.
const count = Number(process.env.BENCH_DOCUMENTS ?? 100_000);
const seconds = Number(process.env.BENCH_SECONDS ?? 3);

const organizations = Array.from({ length: 10 }, () => new Types.ObjectId());
const ids = Array.from({ length: count }, () => new Types.ObjectId());
const connection = (_id: Types.ObjectId, i: number) => ({
  _id,
  organizationId: organizations[i % 10]!,
  integrationId: organizations[(i + 1) % 10]!,
  name: `connection ${i}`,
  endUserId: ids[(i * 7) % count],
  credentials: [{ credentialId: ids[(i * 3) % count], purpose: 'action' }],
  labels: ['one', 'two'],
  note: 'x'.repeat(120),
  version: 1,
});

it('bench', async () => {
  const built = buildEmbedded();
  const directory = mkdtempSync(join(tmpdir(), 'embedded-bench-'));
  const rows: string[][] = [];
  const bare = await lmdbAlone(directory);
  const report = (what: string, perSecond: number, base?: number) =>
    rows.push([
      what,
      `${Math.round(perSecond)}/s`,
      base ? `${Math.round(base)}/s` : '',
      base ? `1 : ${(base / perSecond).toFixed(1)}` : '',
    ]);

  const begun = performance.now();
  const child = spawn(process.execPath, [join(built, 'child.js'), JSON.stringify({ directory: join(directory, 'data'), worker: true })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { uri } = JSON.parse(String((await once(child.stdout, 'data'))[0]));
  const startMilliseconds = performance.now() - begun;
  const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  const memoryAtStart = memory();

  const database = await mongoose.createConnection(uri, { dbName: 'bench' }).asPromise();
  const schema = new Schema({ organizationId: Schema.Types.ObjectId, name: String }, { strict: false, versionKey: false });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  schema.index({ organizationId: 1, _id: 1 });
  schema.index({ organizationId: 1, 'credentials.credentialId': 1 });
  const Connection = database.model('Connection', schema);
  await Connection.init();

  report('ping, the driver and the socket alone', await rate(1, () => database.db!.command({ ping: 1 })));
  const bulkBegun = performance.now();
  for (let i = 0; i < count; i += 1000) {
    await Connection.insertMany(
      ids.slice(i, i + 1000).map((id, k) => connection(id, i + k)),
      { lean: true, ordered: true },
    );
  }
  report('insertMany, batches of 1,000', count / ((performance.now() - bulkBegun) / 1000), bare.bulk);

  let made = count;
  const fresh = () => Connection.collection.insertOne(connection(new Types.ObjectId(), made++) as never);
  report('insertOne, one after the other', await rate(1, fresh), bare.put);
  report('insertOne, 20 at a time', await rate(20, fresh), bare.put);
  const random = () => ids[Math.floor(Math.random() * count)]!;
  report('findById', await rate(1, () => Connection.findById(random()).lean()), bare.get);
  report('findById, 20 at a time', await rate(20, () => Connection.findById(random()).lean()), bare.get);
  const page = () =>
    Connection.find({ organizationId: organizations[0], _id: { $gt: random() } })
      .sort({ _id: 1 })
      .limit(50)
      .lean();
  report('a page of 50', await rate(1, page), bare.page);
  report('updateOne', await rate(1, () => Connection.updateOne({ _id: random() }, { $inc: { version: 1 } })), bare.put);
  report(
    'a transaction of two writes',
    await rate(1, () =>
      database.transaction((session) =>
        Connection.updateMany({ _id: { $in: [random(), random()] } }, { $inc: { version: 1 } }, { session }),
      ),
    ),
    bare.put,
  );
  report('a scan of everything (documents)', (await rate(1, () => Connection.countDocuments({ note: 'none' }))) * count);
  const memoryAtEnd = memory();
  await database.close();
  child.stdin.write('stop\n');
  await once(child, 'exit');
  const again = performance.now();
  const second = spawn(process.execPath, [join(built, 'child.js'), JSON.stringify({ directory: join(directory, 'data'), worker: true })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(second.stdout, 'data');
  const restartMilliseconds = performance.now() - again;
  second.stdin.write('stop\n');
  await once(second, 'exit');

  const widths = [36, 12, 14, 10];
  const table = [['', 'here', 'LMDB alone', 'ratio'], ...rows].map((row) =>
    row.map((cell, i) => (i ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(''),
  );
  const size = statSync(join(directory, 'data', 'data.mdb')).size / 2 ** 20;
  console.log(
    [
      ...table,
      `process start to listening: ${Math.round(startMilliseconds)} ms empty, ${Math.round(restartMilliseconds)} ms with ${count} documents`,
      `memory of that process: ${Math.round(memoryAtStart)} MB at the start, ${Math.round(memoryAtEnd)} MB at the end (with the file as far as it is mapped); file: ${Math.round(size)} MB`,
    ].join('\n'),
  );
  rmSync(directory, { recursive: true, force: true });
  rmSync(built, { recursive: true, force: true });
});

async function rate(concurrent: number, run: () => PromiseLike<unknown>): Promise<number> {
  let done = 0;
  const begun = performance.now();
  const worker = async () => {
    while (performance.now() - begun < seconds * 1000) {
      await run();
      done++;
    }
  };
  await Promise.all(Array.from({ length: concurrent }, worker));
  return done / ((performance.now() - begun) / 1000);
}

/** The same documents with one key each: no indexes, no protocol, no driver. */
async function lmdbAlone(directory: string) {
  const db = openFile(join(directory, 'bare.mdb'));
  const values = ids.map((id, i) => BSON.serialize(connection(id, i)) as Buffer);
  const keys = ids.map((id) => Buffer.from(id.id));
  const bulkBegun = performance.now();
  for (let i = 0; i < count; i += 1000)
    db.transactionSync(() => keys.slice(i, i + 1000).forEach((key, k) => void db.putSync(key, values[i + k]!)));
  const bulk = count / ((performance.now() - bulkBegun) / 1000);
  const timed = (run: (i: number) => void) => {
    const begun = performance.now();
    let done = 0;
    for (; performance.now() - begun < seconds * 1000; done++) run(Math.floor(Math.random() * count));
    return done / ((performance.now() - begun) / 1000);
  };
  const put = timed((i) => db.transactionSync(() => void db.putSync(keys[i]!, values[i]!)));
  const get = timed((i) => BSON.deserialize(db.get(keys[i]!)!));
  const page = timed((i) => [...db.getRange({ start: keys[i]!, limit: 50 })].map(({ value }) => BSON.deserialize(value)));
  await db.close();
  return { bulk, put, get, page };
}
