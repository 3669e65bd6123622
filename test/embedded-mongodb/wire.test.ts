import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, BSONRegExp, MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decode, encode } from '../../src/embedded-mongodb/bson.ts';
import { CommandError } from '../../src/embedded-mongodb/errors.ts';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { Framer, readRequest } from '../../src/embedded-mongodb/wire.ts';
import { Random } from './random.ts';
import { rawCommand } from './raw.ts';

// Messages that no driver sends. WIRE_SEED repeats a run, WIRE_MESSAGES makes it longer.
const seed = Number(process.env.WIRE_SEED ?? Date.now() % 1_000_000);
const inProcess = Number(process.env.WIRE_MESSAGES ?? 20_000);
const overSocket = Math.ceil(inProcess / 10);

const directory = mkdtempSync(join(tmpdir(), 'embedded-wire-'));
let server: EmbeddedMongodb;
let captured: Buffer[];

const pathOf = (uri: string) => decodeURIComponent(/^mongodb:\/\/([^/]+)\//.exec(uri)![1]!);

beforeAll(async () => {
  console.log(`wire: seed ${seed}`);
  server = await startEmbeddedMongodb({ directory });
  captured = await capture();
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Returns the messages that a driver sends for a bit of everything. */
async function capture(): Promise<Buffer[]> {
  const messages: Buffer[] = [];
  const between = join(directory, 'between.sock');
  const proxy = createServer((client) => {
    const upstream = connect(pathOf(server.uri));
    const framer = new Framer();
    client.on('data', (chunk: Buffer) => {
      messages.push(...framer.add(Buffer.from(chunk)).map((message) => Buffer.from(message)));
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('close', () => other.destroy()).on('error', () => other.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(between, resolve));
  const client = await new MongoClient(`mongodb://${encodeURIComponent(between)}/?directConnection=true`).connect();
  const things = client.db('wire').collection<{ _id: number | string; a?: unknown; n?: number }>('things');
  await things.createIndex({ a: 1, n: -1 }, { unique: true, partialFilterExpression: { n: { $gt: 0 } } });
  await things.insertMany(Array.from({ length: 150 }, (_, n) => ({ _id: n, n, a: { list: [n, 'text', null, { deep: [new Date(n)] }] } })));
  await things.updateMany({ n: { $in: [1, 2, 3] } }, { $set: { a: Buffer.from('bytes') }, $inc: { n: 1000 } });
  await things.findOneAndUpdate({ _id: 5 }, { $unset: { a: 1 } }, { sort: { n: 1 }, projection: { n: 1 } });
  await things.aggregate([{ $match: { n: { $gte: 3 } } }, { $group: { _id: '$n', sum: { $sum: 1 } } }]).toArray();
  await things.find({ $or: [{ a: null }, { _id: { $exists: true } }] }, { batchSize: 20 }).toArray();
  await client.withSession((session) =>
    session.withTransaction(async () => {
      await things.insertOne({ _id: 'in a transaction' }, { session });
      await things.deleteOne({ _id: 7 }, { session });
    }),
  );
  await client.close();
  proxy.close();
  expect(messages.length).toBeGreaterThan(15);
  return messages;
}

/** Returns documents (type 3) or arrays (type 4) in each other. */
function nested(depth: number, type: number): Buffer {
  const outer = Array.from({ length: depth }, (_, i) => {
    const head = Buffer.from([0, 0, 0, 0, type, 0x61, 0]);
    head.writeInt32LE(8 * (depth - i) + 5);
    return head;
  });
  return Buffer.concat([...outer, Buffer.from([5, 0, 0, 0, 0]), Buffer.alloc(depth)]);
}

/** Changes a message. Its own length is mended afterwards in most cases, so that the change reaches the parser. */
function mutate(random: Random, original: Buffer): Buffer {
  let message: Buffer = Buffer.from(original);
  const position = (from = 16) => from + random.below(Math.max(1, message.length - from));
  const lengths = [0, -1, 1, 4, 5, 12, 2 ** 31 - 1, -(2 ** 31), 0x01000000];
  const putInt = (at: number, value: number) => at + 4 <= message.length && message.writeInt32LE(value, at);
  const splice = (at: number, removed: number, added: Buffer) => {
    message = Buffer.concat([message.subarray(0, at), added, message.subarray(at + removed)]);
  };
  /** Positions that hold what looks like a length. */
  const lengthAt = () => {
    const found: number[] = [];
    for (let at = 16; at + 4 <= message.length; at++) {
      const value = message.readInt32LE(at);
      if (value > 0 && value <= message.length) found.push(at);
    }
    return found.length ? random.pick(found) : position();
  };
  const section = (name: string, documents: Buffer[]) => {
    const body = Buffer.concat([Buffer.from(`${name}\0`), ...documents]);
    const head = Buffer.alloc(5);
    head[0] = 1;
    head.writeInt32LE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const mutations: (() => void)[] = [
    () => {
      for (let i = 0; i <= random.below(4); i++) message[position()] = random.below(256);
    },
    () => putInt(lengthAt(), random.pick(lengths)),
    () => putInt(lengthAt(), random.below(message.length * 2)),
    () => putInt(16, random.pick([1, 2, 3, 0x10000, 0x10001, 0xffff, -1])),
    () => putInt(12, random.pick([2004, 2012, 2013, 1, 0, 2005, 2010, -1])),
    () => {
      message[20] = random.pick([0, 1, 2, 255]);
    },
    () => splice(position(), random.below(20), Buffer.alloc(0)),
    () => splice(position(), 0, Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)))),
    () => splice(position(20), message.length, Buffer.alloc(0)),
    () => splice(message.length, 0, section('documents', [])),
    () => splice(message.length, 0, section('documents', [Buffer.alloc(4 + random.below(30))])),
    () => splice(message.length, 0, section('documents', Array(random.below(3000)).fill(Buffer.from([5, 0, 0, 0, 0])))),
    () => splice(message.length, 0, section(random.pick(['', 'updates', '$db', 'x'.repeat(5000)]), [encode({ a: 1 })])),
    () => splice(message.length, 0, message.subarray(20)),
    () => splice(message.length, 0, section('documents', [nested(random.pick([3, 179, 180, 181, 2000]), random.pick([3, 4]))])),
    () => splice(20, message.length, Buffer.concat([Buffer.alloc(1), nested(random.pick([1, 178, 200, 5000]), random.pick([3, 4]))])),
    // Text without its terminating zero.
    () => {
      for (let at = position(); at < message.length; at++) if (message[at] === 0) message[at] = 0x78;
    },
    () => {
      const at = message.indexOf(0, position());
      if (at > 0) message[at] = 0xff;
    },
    () => {
      const other = random.pick(captured);
      splice(position(), random.below(message.length), other.subarray(random.below(other.length)));
    },
  ];
  for (let i = 0; i <= random.below(3); i++) random.pick(mutations)();
  message.writeInt32LE(random.below(20) ? message.length : random.pick(lengths), 0);
  return message;
}

it(`parses ${inProcess} mutated messages, or says what is wrong, in a number of steps that their length bounds`, () => {
  const random = new Random(seed);
  // Each turn of a loop over a message reads a length or a byte. More lengths than bytes are a loop that does not advance.
  let steps = 0;
  let bound = 0;
  const read = Buffer.prototype.readInt32LE;
  Buffer.prototype.readInt32LE = function (at?: number) {
    if (++steps > bound) throw new Error('more steps than the length of the message allows');
    return read.call(this, at);
  };
  const outcomes = new Map<string, number>();
  let worst: { mutated: Buffer; error: unknown } | undefined;
  const before = process.memoryUsage().rss;
  let most = 0;
  try {
    for (let i = 0; i < inProcess; i++) {
      steps = 0;
      bound = Number.POSITIVE_INFINITY;
      const mutated = mutate(random, random.pick(captured));
      bound = mutated.length + 100;
      steps = 0;
      let outcome = 'parsed';
      try {
        for (const message of new Framer().add(mutated)) readRequest(message);
      } catch (error) {
        if (!(error instanceof CommandError)) worst ??= { mutated, error };
        outcome = error instanceof CommandError ? String(error.code) : 'unexpected';
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (i % 500 === 0) most = Math.max(most, process.memoryUsage().rss - before);
    }
  } finally {
    Buffer.prototype.readInt32LE = read;
  }
  console.log(`wire: ${JSON.stringify(Object.fromEntries(outcomes))}, at most ${Math.round(most / 2 ** 20)} MiB more`);
  expect(worst && { ...worst, mutated: worst.mutated.toString('hex') }).toBeUndefined();
  expect(outcomes.get('parsed')).toBeGreaterThan(inProcess / 50);
  expect(outcomes.get('22')).toBeGreaterThan(inProcess / 50);
  expect(most).toBeLessThan(512 * 2 ** 20);
});

it('refuses a regular expression with an option that there is not', async () => {
  const message = BSON.serialize({ pattern: new BSONRegExp('x', 'i') });
  message[message.lastIndexOf(0x69)] = 0x5b;
  expect(() => decode(Buffer.from(message))).toThrow(expect.objectContaining({ code: 22 }));
});

it(`answers, refuses or closes after ${overSocket} mutated messages on sockets, and goes on answering others`, async () => {
  const random = new Random(seed + 1);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < overSocket; i++) {
    const messages = Array.from({ length: 1 + random.below(4) }, () => mutate(random, random.pick(captured)));
    const socket = connect(pathOf(server.uri));
    socket.on('error', () => {});
    socket.resume();
    // The end is cut off sometimes: the rest of a message that never comes.
    const all = Buffer.concat(messages);
    socket.end(random.below(4) ? all : all.subarray(0, random.below(all.length)));
    if (i % 50 === 0) expect(await rawCommand(server.uri, 'admin', { ping: 1 })).toMatchObject({ ok: 1 });
    await closed(socket);
  }
  expect(await rawCommand(server.uri, 'admin', { ping: 1 })).toMatchObject({ ok: 1 });
  const client = await new MongoClient(server.uri).connect();
  await client
    .db('after')
    .collection('things')
    .insertOne({ _id: 1 as never });
  expect(await client.db('after').collection('things').countDocuments()).toBe(1);
  await client.close();
  expect(process.memoryUsage().rss - before).toBeLessThan(1024 * 2 ** 20);
});

/** The server may reset the connection, which is an error of the socket. */
const closed = (socket: Socket) => new Promise<void>((resolve) => (socket.closed ? resolve() : socket.on('close', () => resolve())));

it.each<[string, number, Buffer]>([
  ['a sequence with a document of no length', 22, Buffer.from('documents\0\0\0\0\0')],
  ['a sequence with a document of negative length', 22, Buffer.from('documents\0\xff\xff\xff\xff\0\0\0\0', 'latin1')],
  ['a sequence with a document of length four', 22, Buffer.from('documents\0\x04\0\0\0\0')],
  ['a sequence with no end of its name', 17, Buffer.from('documents')],
  ['a sequence with too many documents', 16, Buffer.concat([Buffer.from('documents\0'), Buffer.alloc(5 * 100_001, '\x05\0\0\0\0')])],
])('refuses %s', (_, code, content) => {
  const body = encode({ insert: 'things', $db: 'wire' });
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeInt32LE(content.length + 4, 1);
  const message = Buffer.concat([Buffer.alloc(20), Buffer.from([0]), body, head, content]);
  message.writeInt32LE(message.length, 0);
  message.writeInt32LE(2013, 12);
  expect(() => readRequest(message)).toThrow(expect.objectContaining({ code }));
});
