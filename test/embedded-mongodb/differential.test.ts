import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, type Collection, type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { Random } from './random.ts';

// The same random operations here and on the server of MONGODB_URI: answers, errors' codes and what is stored must agree.
// DIFFERENTIAL_ROUNDS makes it longer, DIFFERENTIAL_SEED repeats one round.
const uri = process.env.MONGODB_URI;
const rounds = Number(process.env.DIFFERENTIAL_ROUNDS ?? 6);
const firstSeed = Number(process.env.DIFFERENTIAL_SEED ?? 1);

const directory = mkdtempSync(join(tmpdir(), 'embedded-differential-'));
const database = `differential_${process.pid}`;
let server: EmbeddedMongodb;
let clients: [MongoClient, MongoClient];

beforeAll(async () => {
  if (!uri) return;
  server = await startEmbeddedMongodb({ directory });
  clients = [await new MongoClient(server.uri).connect(), await new MongoClient(uri).connect()];
});
afterAll(async () => {
  if (uri) {
    await clients[1].db(database).dropDatabase();
    for (const client of clients) await client.close();
    await server.stop();
  }
  rmSync(directory, { recursive: true, force: true });
});

const raw = { promoteValues: false, promoteLongs: false } as const;
const text = (value: unknown) => BSON.EJSON.stringify(value, { relaxed: false });

type Outcome = { answer: unknown } | { code: unknown; message: string };

async function outcome(run: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { answer: await run() };
  } catch (error) {
    const { code, message } = error as { code: unknown; message: string };
    return { code: Number(code), message };
  }
}

function operation(random: Random, id: number): { name: string; detail: unknown; run: (collection: Collection) => Promise<unknown> } {
  const filter = random.filter();
  const byId = { sort: { _id: 1 as const } };
  switch (random.below(10)) {
    case 0: {
      const document = random.document(id);
      return { name: 'insertOne', detail: document, run: (c) => c.insertOne({ ...document } as never) };
    }
    case 1: {
      const update = random.update();
      const one = { _id: random.below(40) as never, ...random.filter(0) };
      const isReplacement = !Object.keys(update)[0]!.startsWith('$');
      return {
        name: 'updateOne',
        detail: [one, update],
        run: async (c) => {
          const { matchedCount, modifiedCount } = await (isReplacement ? c.replaceOne(one, update) : c.updateOne(one, update));
          return { matchedCount, modifiedCount, now: await c.findOne({ _id: one._id }, raw) };
        },
      };
    }
    case 2: {
      const update = random.update();
      const one = { _id: random.below(40) as never };
      const isReplacement = !Object.keys(update)[0]!.startsWith('$');
      return {
        name: 'findOneAndUpdate',
        detail: [one, update],
        run: (c) =>
          isReplacement
            ? c.findOneAndReplace(one, update, raw as never)
            : c.findOneAndUpdate(one, update, { returnDocument: 'after', ...raw } as never),
      };
    }
    case 3:
      return random.chance(0.3)
        ? { name: 'deleteOne', detail: id % 40, run: (c) => c.deleteOne({ _id: (id % 40) as never }) }
        : { name: 'countDocuments', detail: filter, run: (c) => c.countDocuments(filter) };
    case 4: {
      const sort = { ...random.sort(), _id: 1 as const };
      return { name: 'find sorted', detail: [filter, sort], run: (c) => c.find(filter, { sort, ...raw }).toArray() };
    }
    case 5: {
      const projection = random.projection();
      return {
        name: 'find projected',
        detail: [filter, projection],
        run: (c) => c.find(filter, { projection, ...byId, ...raw }).toArray(),
      };
    }
    case 6: {
      const key = random.pick(['a', 'b', 'a.b']);
      return {
        name: 'distinct',
        detail: [filter, key],
        run: async (c) => (await c.distinct(key, filter, raw as never)).map((v) => typeof v === 'object' || text(v)).length,
      };
    }
    default:
      return { name: 'find', detail: filter, run: (c) => c.find(filter, { ...byId, ...raw }).toArray() };
  }
}

/** A document's text, its fields by name. */
function inOrder(value: unknown): string {
  const sort = (v: unknown): unknown =>
    Array.isArray(v)
      ? v.map(sort)
      : v && typeof v === 'object'
        ? Object.fromEntries(
            Object.entries(v)
              .sort()
              .map(([k, x]) => [k, sort(x)]),
          )
        : v;
  return JSON.stringify(sort(JSON.parse(text(value))));
}

/** Where the two differ and MongoDB's documentation (or nothing) decides; each with its reason. */
function isKnown(name: string, detail: unknown, ours: Outcome, theirs: Outcome): boolean {
  const isUpdate = name === 'findOneAndUpdate' || name === 'updateOne';
  const uses = (operator: string) => text(detail).includes(`"${operator}"`);
  // Of several things that are wrong, another is seen first.
  if ('code' in ours && 'code' in theirs && Array.isArray(detail) && Object.keys(detail[1] as Document).length > 1) return true;
  if ('answer' in ours && 'answer' in theirs) {
    // "A comparison of an empty array (e.g. [ ]) treats the empty array as less than a null value or a missing field": it is not there.
    // https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/#arrays
    const asSet = (outcome: { answer: unknown }) => (outcome.answer as unknown[]).map(text).sort().join();
    if (name === 'find sorted' && text(ours.answer).includes('[]') && asSet(ours) === asSet(theirs)) return true;
    // "Update operators process document fields with string-based names in lexicographic order": there, in the order of the update.
    // https://www.mongodb.com/docs/manual/reference/operator/update/#update-operators-behavior
    return isUpdate && inOrder(ours.answer) === inOrder(theirs.answer);
  }
  // There, true counts as 1 for $inc.
  if (uses('$inc') && 'code' in ours && ours.code === 14) return true;
  // MongoDB: "cannot sort with keys that are parallel arrays".
  if (name === 'find sorted' && 'code' in ours && ours.message.includes('parallel arrays')) return true;
  // There, a wrong projection is seen when the first document is projected.
  return (
    name === 'find projected' &&
    'code' in ours &&
    [31249, 31250].includes(ours.code as number) &&
    'answer' in theirs &&
    text(theirs.answer) === '[]'
  );
}

it.skipIf(!uri).each(Array.from({ length: rounds }, (_, i) => firstSeed + i))(
  'answers as the other server does (seed %i)',
  async (seed) => {
    const random = new Random(seed);
    random.exotic = seed % 2 === 0;
    const collections = clients.map((client) => client.db(database).collection(`c${seed}`)) as [Collection, Collection];
    const documents = Array.from({ length: 30 }, (_, i) => random.document(i) as Document);
    for (const collection of collections) {
      await collection.drop().catch(() => {});
      for (const document of documents) await collection.insertOne({ ...document } as never);
    }
    const differences: string[] = [];
    for (let i = 0; i < 250 && differences.length < Number(process.env.DIFFERENTIAL_SHOW ?? 3); i++) {
      const { name, detail, run } = operation(random, 30 + i);
      const [ours, theirs] = (await Promise.all(collections.map((collection) => outcome(() => run(collection))))) as [Outcome, Outcome];
      // What is refused is known not to be answered; everything else must be the same.
      const isRefused = 'code' in ours && ours.code === 238;
      const same =
        'answer' in ours && 'answer' in theirs
          ? text(ours.answer) === text(theirs.answer)
          : 'code' in ours && 'code' in theirs && ours.code === theirs.code;
      if (same) continue;
      if (!isRefused && !isKnown(name, detail, ours, theirs)) {
        const only = (one: Outcome, other: Outcome) =>
          'answer' in one && 'answer' in other && Array.isArray(one.answer)
            ? one.answer.map(text).filter((found) => !(other.answer as unknown[]).map(text).includes(found))
            : text(one);
        differences.push(`${name} ${text(detail)}\n  here:  ${only(ours, theirs)}\n  there: ${only(theirs, ours)}`);
      }
      // Go on from the same state.
      const state = await collections[1].find({}, { sort: { _id: 1 }, ...raw }).toArray();
      await collections[0].deleteMany({});
      if (state.length) await collections[0].insertMany(state);
    }
    expect(differences.join('\n')).toBe('');
    const [ours, theirs] = await Promise.all(collections.map((collection) => collection.find({}, { sort: { _id: 1 }, ...raw }).toArray()));
    expect(text(ours)).toBe(text(theirs));
  },
  120_000,
);
