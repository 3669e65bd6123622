import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BSON, BSONRegExp, type Collection, type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { checkDataFile } from './check.ts';
import { Random } from './random.ts';

const directory = mkdtempSync(join(tmpdir(), 'embedded-planner-'));
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

const text = (value: unknown) => BSON.EJSON.stringify(value, { relaxed: false });
const raw = { promoteValues: false, promoteLongs: false } as const;

const indexes: [Document, Document?][] = [
  [{ a: 1 }],
  [{ b: -1 }],
  [{ a: 1, b: -1 }],
  [{ b: 1, a: 1, _id: 1 }],
  [{ 'a.b': 1 }],
  [{ c: 1, a: -1, b: 1 }],
  [{ c: 1, 'b.c': 1 }],
  [{ 'b.c': -1 }],
  [{ c: -1, a: 1 }, { partialFilterExpression: { c: { $gt: 0 } } }],
  [{ b: 1 }, { name: 'strings', partialFilterExpression: { b: { $gte: '' }, c: { $exists: true } } }],
  [{ a: 1, _id: 1 }, { unique: true }],
];

describe('with and without indexes', () => {
  // Nothing but the indexes differs, so what is found must be the same, in the same order, after any writes.
  // PLANNER_ROUNDS makes it longer, PLANNER_SEED repeats one round.
  const rounds = Number(process.env.PLANNER_ROUNDS ?? 5);
  const first = Number(process.env.PLANNER_SEED ?? 1);

  it.each(Array.from({ length: rounds }, (_, i) => first + i))('random queries find the same (seed %i)', async (seed) => {
    const random = new Random(seed);
    const [plain, indexed] = ['plain', 'indexed'].map((name) => client.db('planner').collection(`${name}${seed}`)) as [
      Collection,
      Collection,
    ];
    const used = new Set<string>();
    for (const [key, options] of indexes) if (random.chance(0.6)) await indexed.createIndex(key as never, options);
    let id = 0;
    const insert = async () => {
      const document = random.document(id++);
      // Parallel arrays cannot be indexed, nor two fields in one array; such a document stays out of both.
      const refused = await indexed.insertOne({ ...document } as never).then(
        () => false,
        (error: { code: number }) => [171, 238].includes(error.code),
      );
      if (!refused) await plain.insertOne({ ...document } as never);
    };
    for (let i = 0; i < 60; i++) await insert();
    for (let i = 0; i < 200; i++) {
      if (random.chance(0.2)) await insert();
      if (random.chance(0.1)) {
        const which = { _id: random.below(id) as never };
        await Promise.all([plain.deleteOne(which), indexed.deleteOne(which)]);
      }
      if (random.chance(0.2)) {
        const which = { _id: random.below(id) as never };
        const update = random.update();
        if (Object.keys(update)[0]!.startsWith('$')) {
          const done = await indexed.updateOne(which, update).then(
            () => true,
            () => false,
          );
          if (done) await plain.updateOne(which, update);
        }
      }
      const filter = random.filter();
      const sort = random.chance(0.5) ? { ...random.sort(), _id: random.pick([1, -1]) as 1 | -1 } : undefined;
      const limit = random.chance(0.3) ? 1 + random.below(5) : 0;
      const run = async (collection: Collection) => {
        try {
          const found = await collection.find(filter, { ...(sort && { sort }), ...(limit && sort && { limit }), ...raw }).toArray();
          return text(sort ? found : found.map(text).sort());
        } catch (error) {
          return (error as Error).message;
        }
      };
      const [expected, found] = await Promise.all([run(plain), run(indexed)]);
      // A sort by two arrays is refused when it meets them: an index that gives the order need not look.
      if (/parallel arrays|is not supported/.test(expected)) continue;
      const { queryPlanner } = await indexed.find(filter, sort ? { sort } : {}).explain('queryPlanner');
      used.add(queryPlanner.winningPlan.inputStage?.indexName ?? queryPlanner.winningPlan.inputStage?.inputStage?.indexName ?? 'none');
      expect(found, `seed ${seed}: ${text(filter)} sort ${text(sort)} limit ${limit} with ${text(queryPlanner)}`).toBe(expected);
    }
    // A run in which no index was used would prove nothing.
    expect(used.size).toBeGreaterThan(2);
  });

  it('keeps exactly the entries that a rebuild would make', async () => {
    const { documents, entries } = await checkDataFile(join(directory, 'data.mdb'));
    expect(documents).toBeGreaterThan(100);
    expect(entries).toBeGreaterThan(documents);
  });
});

// What an index of arrays must not be used for; the fuzz meets these too rarely.
it.each<[string, Document, Document, Document, number[]]>([
  ['two elements that meet one condition each', { 'a.b': 1 }, { 'a.b': 1, 'a.c': 1 }, { _id: 1 }, [1]],
  ['two ends of a range met by different elements', { a: 1 }, { a: { $gt: 2, $lt: 4 } }, { _id: 1 }, [2]],
  ['the order of elements outside the range', { a: 1, _id: 1 }, { a: { $gt: 2 } }, { a: 1 }, [2, 3]],
  ['the order of elements outside the range, backwards', { a: -1 }, { a: { $lt: 4 } }, { a: -1 }, [2, 3]],
])('%s', async (name, key, filter, sort, expected) => {
  const collection = client.db('planner').collection<{ _id: number; a?: unknown }>(`arrays ${name}`);
  const documents = [
    {
      _id: 1,
      a: [
        { b: 1, c: 2 },
        { b: 2, c: 1 },
      ],
    },
    { _id: 2, a: [1, 5] },
    { _id: 3, a: [3.5] },
    { _id: 4, a: [[7]] },
    { _id: 5, a: [7] },
  ]
    .filter(({ _id }) => !name.includes('order') || _id < 4)
    .map((document) => (name.includes('different') && document._id === 3 ? { ...document, a: [4] } : document));
  await collection.insertMany(documents);
  const ids = async () => (await collection.find(filter, { sort }).toArray()).map(({ _id }) => _id);
  expect(await ids()).toEqual(expected);
  await collection.createIndex(key as never);
  expect(await ids()).toEqual(expected);
  expect((await collection.find(filter).explain('queryPlanner')).queryPlanner.winningPlan.stage).toBe('FETCH');
});

describe('reads what it returns', () => {
  let collection: Collection;
  const examined = async (filter: Document, options: Document = {}) => {
    const { executionStats, queryPlanner } = await collection.find(filter, options).explain('executionStats');
    const { nReturned, totalKeysExamined, totalDocsExamined } = executionStats;
    const { winningPlan } = queryPlanner;
    const stage =
      winningPlan.stage === 'SORT'
        ? `SORT ${winningPlan.inputStage.inputStage?.indexName ?? 'COLLSCAN'}`
        : (winningPlan.inputStage?.indexName ?? winningPlan.inputStage?.stage ?? winningPlan.stage);
    return [stage, nReturned, totalKeysExamined, totalDocsExamined];
  };

  beforeAll(async () => {
    collection = client.db('planner').collection('pages');
    await collection.createIndexes([
      { key: { organizationId: 1, name: 1, _id: 1 } },
      { key: { organizationId: 1, 'uses.credentialId': 1, _id: 1 } },
      { key: { organizationId: 1, externalId: 1 }, unique: true, partialFilterExpression: { externalId: { $exists: true } } },
      { key: { createdAt: -1 } },
      { key: { kind: 1, createdAt: 1, _id: 1 } },
      { key: { name: 1, createdAt: 1 }, partialFilterExpression: { isOld: true } },
    ]);
    await collection.insertMany(
      Array.from({ length: 1000 }, (_, i) => ({
        _id: i as never,
        organizationId: i % 2,
        name: `n${String(i % 100).padStart(3, '0')}`,
        createdAt: new Date(i * 1000),
        kind: 'abcdef'[i % 6],
        isOld: i < 20,
        uses: [{ credentialId: i % 10 }, { credentialId: (i + 1) % 10 }],
        ...(i % 5 === 0 && { externalId: `e${i}` }),
      })),
    );
  });

  it.each<[string, Document, Document, unknown[]]>([
    ['an id', { _id: 7 }, {}, ['_id_', 1, 1, 1]],
    ['several ids', { _id: { $in: [7, 8, 9, 5000] } }, {}, ['_id_', 3, 3, 3]],
    [
      'a page in the order of an index',
      { organizationId: 1 },
      { sort: { name: 1, _id: 1 }, limit: 50 },
      ['organizationId_1_name_1__id_1', 50, 50, 50],
    ],
    ['a page backwards', { organizationId: 1 }, { sort: { name: -1, _id: -1 }, limit: 50 }, ['organizationId_1_name_1__id_1', 50, 50, 50]],
    [
      'the next page',
      { organizationId: 1, name: 'n051', _id: { $gt: 151 } },
      { sort: { name: 1, _id: 1 }, limit: 5 },
      ['organizationId_1_name_1__id_1', 5, 5, 5],
    ],
    [
      'a prefix, as the gateway asks for it',
      { organizationId: 1, name: { $gte: 'n05', $lt: 'n05\u{10ffff}', $regex: '^n05.*(?!.)', $options: 's' } },
      {},
      ['organizationId_1_name_1__id_1', 50, 50, 50],
    ],
    [
      'an element of an array',
      { organizationId: 0, 'uses.credentialId': 4 },
      { sort: { _id: 1 }, limit: 5 },
      ['organizationId_1_uses.credentialId_1__id_1', 5, 5, 5],
    ],
    ['a value under a partial index', { organizationId: 0, externalId: 'e10' }, {}, ['organizationId_1_externalId_1', 1, 1, 1]],
    ['a range of dates', { createdAt: { $gte: new Date(10_000), $lt: new Date(20_000) } }, {}, ['createdAt_-1', 10, 10, 10]],
    [
      'an order the index lacks',
      { organizationId: 1, name: 'n001' },
      { sort: { createdAt: 1 } },
      ['SORT organizationId_1_name_1__id_1', 10, 10, 10],
    ],
    [
      'several values and a range',
      { organizationId: { $in: [1, 1, 0] }, name: { $lt: 'n002' } },
      {},
      ['organizationId_1_name_1__id_1', 20, 20, 20],
    ],
    ['either of two', { $or: [{ _id: 3 }, { createdAt: new Date(5000) }] }, {}, ['COLLSCAN', 2, 0, 1000]],
    ['nothing indexed', { name: { $in: [new BSONRegExp('^n00.*(?!.)', 's')] } }, {}, ['COLLSCAN', 100, 0, 1000]],
  ])('%s', async (_, filter, options, expected) => {
    expect(await examined(filter, options)).toEqual(expected);
  });

  it('a partial index is preferred to one that is as good otherwise', async () => {
    await collection.createIndex({ name: 1, createdAt: 1 }, { name: 'whole' });
    const sort = { createdAt: 1 } as const;
    expect(await examined({ name: 'n001', isOld: true }, { sort })).toEqual(['name_1_createdAt_1', 1, 1, 1]);
    await collection.dropIndex('whole');
  });

  it('several ranges are merged in order, forwards and backwards', async () => {
    for (const direction of [1, -1] as const) {
      const sort = { createdAt: direction, _id: direction };
      const filter = { kind: { $in: ['f', 'b', 'c', 'x'] }, createdAt: { $gt: new Date(100_000), $lt: new Date(900_000) } };
      expect(await examined(filter, { sort, limit: 20 })).toEqual(['SORT_MERGE', 20, 20, 20]);
      const found = await collection.find(filter, { sort }).toArray();
      const all = (await collection.find(filter, { hint: '_id_' }).toArray()).sort((a, b) => direction * (a.createdAt - b.createdAt));
      expect(found).toEqual(all);
      // The order of the field with several values is that of the ranges themselves, if it comes first.
      expect(await examined(filter, { sort: { kind: direction, createdAt: direction }, limit: 20 })).toEqual([
        'kind_1_createdAt_1__id_1',
        20,
        20,
        20,
      ]);
      expect(await examined(filter, { sort: { createdAt: direction, kind: direction } })).toEqual([
        'SORT kind_1_createdAt_1__id_1',
        400,
        400,
        400,
      ]);
    }
  });

  it('what an index tells alone is counted and skipped without documents', async () => {
    const filter = { kind: { $in: ['a', 'b'] }, createdAt: { $gte: new Date(100_000) } };
    const run = async (pipeline: Document[]) => {
      const { executionStats } = (await collection.aggregate(pipeline).explain('executionStats')) as Document;
      return [(await collection.aggregate(pipeline).toArray())[0]?.n, executionStats.totalKeysExamined, executionStats.totalDocsExamined];
    };
    const count = { $count: 'n' };
    expect(await run([{ $match: filter }, count])).toEqual([300, 300, 0]);
    expect(await run([{ $match: filter }, { $limit: 170 }, count])).toEqual([170, 170, 0]);
    expect(await run([{ $match: filter }, { $skip: 290 }, { $limit: 170 }, count])).toEqual([10, 300, 0]);
    expect(await run([{ $match: { ...filter, isOld: false } }, count])).toEqual([300, 300, 300]);
    expect(await run([{ $match: { _id: { $in: [1, 2, 5_000] } } }, count])).toEqual([2, 3, 0]);
    // An element can be in an array twice, and a document in several ranges.
    expect(await run([{ $match: { organizationId: 0, 'uses.credentialId': { $in: [4, 5] } } }, count])).toEqual([100, 200, 100]);
    const page = [
      { $match: { kind: 'a' } },
      { $sort: { createdAt: 1, _id: 1 } },
      { $skip: 100 },
      { $limit: 2 },
      { $addFields: { n: '$_id' } },
    ];
    expect(await run(page)).toEqual([600, 102, 2]);
    expect(await run(page.with(1, { $sort: { createdAt: -1, _id: -1 } }))).toEqual([396, 102, 2]);
    expect(await run(page.with(2, { $skip: 1_000 }))).toEqual([undefined, 167, 0]);
    // Writes of a transaction that nobody else sees are counted, too.
    await client.withSession(async (session) => {
      session.startTransaction();
      await collection.insertOne({ _id: 5_000 as never, kind: 'a', createdAt: new Date(50_000) }, { session });
      await collection.deleteOne({ _id: 6 as never }, { session });
      await collection.deleteOne({ _id: 12 as never }, { session });
      const [found] = await collection.aggregate([{ $match: { kind: 'a' } }, count], { session }).toArray();
      expect(found?.n).toBe(166);
      const ids = (await collection.aggregate(page, { session }).toArray()).map(({ n }) => n);
      expect(ids).toEqual([606, 612]);
      await session.abortTransaction();
    });
    expect(await run([{ $match: { kind: 'a' } }, count])).toEqual([167, 167, 0]);
  });

  it('a hint is followed, and a wrong one is an error', async () => {
    expect(await examined({ organizationId: 1, name: 'n001' }, { hint: 'createdAt_-1' })).toEqual(['createdAt_-1', 10, 1000, 1000]);
    await expect(collection.find({}, { hint: 'nope' }).toArray()).rejects.toMatchObject({
      code: 2,
      message: expect.stringContaining('bad hint'),
    });
  });
});

// LMDB takes no longer keys, and would end the process; what is asked for may be longer than all that there is.
it('values that no index could hold are asked for as others are', async () => {
  const longest = 'x'.repeat(1_900);
  const things = client.db('planner').collection<{ _id: string; a: string }>('long');
  await things.createIndexes([{ key: { a: 1 } }, { key: { a: -1, _id: 1 } }, { key: { a: 1, _id: -1 }, unique: true }]);
  await things.insertMany(['a', longest, 'y'].map((a) => ({ _id: a.slice(0, 3), a })));
  const found = async (filter: object, hint: string) =>
    (await things.find({ a: filter, _id: { $exists: true } } as never, { hint }).toArray()).length;
  for (const hint of ['a_1', 'a_-1__id_1', 'a_1__id_-1']) {
    for (const long of [`${longest}${'x'.repeat(100)}`, `${longest}${'y'.repeat(5_000)}`]) {
      expect([hint, await found({ $eq: long }, hint), await found({ $in: [long, longest, `${long}z`, 'y'] }, hint)]).toEqual([hint, 0, 2]);
      expect([hint, await found({ $gt: long }, hint), await found({ $lte: long }, hint)]).toEqual([hint, 1, 2]);
      expect(await things.findOne({ a: long, _id: long })).toBeNull();
      expect(await things.findOne({ _id: long })).toBeNull();
    }
  }
});
