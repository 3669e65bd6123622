import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Binary,
  BSON,
  BSONRegExp,
  type Collection,
  Decimal128,
  type Document,
  Double,
  Int32,
  Long,
  MongoClient,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';

// Answers taken from MongoDB's manual; each row names the page (under https://www.mongodb.com/docs/manual/reference/) that says so.
/** What the glob `b*` becomes; no other expressions are supported. */
const glob = new BSONRegExp('^b.*(?!.)', 's');
const directory = mkdtempSync(join(tmpdir(), 'embedded-documentation-'));
let server: EmbeddedMongodb;
let client: MongoClient;
let values: Collection<{ _id: string; v?: unknown }>;
let things: Collection<Document>;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  client = await new MongoClient(server.uri).connect();
  values = client.db('documentation').collection('values');
  things = client.db('documentation').collection('things');
  await values.insertMany(Object.entries(samples).map(([_id, v]) => (v === undefined ? { _id } : { _id, v })));
});
afterAll(async () => {
  await client.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const id = new ObjectId('0123456789abcdef01234567');
/** One value of every type, in MongoDB's order of types. */
const samples: Record<string, unknown> = {
  empty: [],
  missing: undefined,
  null: null,
  array: [1, 'b', { x: 2 }],
  nan: new Double(Number.NaN),
  int: new Int32(1),
  double: new Double(1.5),
  long: Long.fromString('9007199254740993'),
  decimal: Decimal128.fromString('9007199254740993.5'),
  string: 'b',
  object: { x: 2 },
  binary: new Binary(Buffer.from('ab')),
  objectId: id,
  false: false,
  true: true,
  date: new Date(5),
  timestamp: new Timestamp({ t: 1, i: 2 }),
  regex: glob,
};

const numbers = ['int', 'double', 'long', 'decimal'];
const all = Object.keys(samples);
const except = (...names: string[]) => all.filter((name) => !names.includes(name));

describe('a value of every type, null, missing and arrays', () => {
  it.each<[string, Document, string[]]>([
    ['operator/query/eq', { v: { $eq: new Int32(1) } }, ['array', 'int']],
    ['operator/query/eq', { v: new Double(1) }, ['array', 'int']],
    ['operator/query/eq', { v: Decimal128.fromString('1.50') }, ['double']],
    ['operator/query/eq', { v: Decimal128.fromString('9007199254740993') }, ['long']],
    ['operator/query/eq', { v: Long.fromString('9007199254740992') }, []],
    ['operator/query/eq', { v: 'b' }, ['array', 'string']],
    ['operator/query/eq', { v: { x: 2 } }, ['array', 'object']],
    ['operator/query/eq', { v: { x: 2, y: 1 } }, []],
    ['operator/query/eq', { v: [1, 'b', { x: 2 }] }, ['array']],
    ['operator/query/eq', { v: ['b', 1, { x: 2 }] }, []],
    ['operator/query/eq', { v: [] }, ['empty']],
    ['operator/query/eq', { v: id }, ['objectId']],
    ['operator/query/eq', { v: new Date(5) }, ['date']],
    ['operator/query/eq', { v: true }, ['true']],
    ['operator/query/eq', { v: new Timestamp({ t: 1, i: 2 }) }, ['timestamp']],
    ['operator/query/eq', { v: new Binary(Buffer.from('ab')) }, ['binary']],
    ['operator/query/eq', { v: new Binary(Buffer.from('ab'), 4) }, []],
    ['operator/query/eq', { v: new Double(Number.NaN) }, ['nan']],
    ['operator/query/eq (regular expressions)', { v: { $eq: glob } }, ['regex']],
    ['../tutorial/query-for-null-fields', { v: null }, ['null', 'missing']],
    ['../tutorial/query-for-null-fields', { v: { $exists: false } }, ['missing']],
    ['../tutorial/query-for-null-fields', { v: { $ne: null } }, except('null', 'missing')],
    ['operator/query/exists', { v: { $exists: true } }, except('missing')],
    ['operator/query/ne', { v: { $ne: 'b' } }, except('array', 'string')],
    ['operator/query/in', { v: { $in: [1, 'b', null] } }, ['array', 'int', 'string', 'null', 'missing']],
    ['operator/query/in (regular expressions)', { v: { $in: [glob] } }, ['array', 'string', 'regex']],
    ['operator/query/nin', { v: { $nin: [1, null] } }, except('array', 'int', 'null', 'missing')],
    ['operator/query/in', { v: { $in: [] } }, []],
    // "For most data types, comparison operators only perform comparisons on fields where the BSON type matches the query value's type."
    ['operator/query-comparison (type bracketing)', { v: { $gt: 1 } }, ['double', 'long', 'decimal']],
    ['operator/query-comparison (type bracketing)', { v: { $gte: 1 } }, ['array', ...numbers]],
    ['operator/query-comparison (type bracketing)', { v: { $lt: 2 } }, ['array', 'int', 'double']],
    ['operator/query-comparison (type bracketing)', { v: { $gt: Long.fromString('9007199254740992') } }, ['long', 'decimal']],
    ['operator/query-comparison (type bracketing)', { v: { $gt: Long.fromString('9007199254740993') } }, ['decimal']],
    [
      'operator/query-comparison (type bracketing)',
      { v: { $lt: Decimal128.fromString('1.000000000000000000000000000000001') } },
      ['array', 'int'],
    ],
    ['operator/query-comparison (type bracketing)', { v: { $gt: 'a' } }, ['array', 'string']],
    ['operator/query-comparison (type bracketing)', { v: { $lte: new Date(5) } }, ['date']],
    ['operator/query-comparison (type bracketing)', { v: { $lt: true } }, ['false']],
    ['operator/query-comparison (type bracketing)', { v: { $gte: id } }, ['objectId']],
    ['operator/query-comparison (type bracketing)', { v: { $gte: { x: 1 } } }, ['array', 'object']],
    ['operator/query-comparison (type bracketing)', { v: { $gte: null } }, ['null', 'missing']],
    ['operator/query-comparison (type bracketing)', { v: { $gt: [] } }, ['array']],
    ['operator/query/regex', { v: glob }, ['array', 'string', 'regex']],
    ['operator/query/regex', { v: { $regex: '^.*b(?!.)', $options: 's' } }, ['array', 'string']],
    ['operator/query/not', { v: { $not: { $gt: 1 } } }, except('double', 'long', 'decimal')],
    ['operator/query/not', { v: { $not: glob } }, except('array', 'string', 'regex')],
    ['operator/query/and', { $and: [{ v: { $gte: 1 } }, { v: { $lt: 2 } }] }, ['array', 'int', 'double']],
    ['operator/query/or', { $or: [{ v: 'b' }, { v: null }] }, ['array', 'string', 'null', 'missing']],
    ['operator/query/nor', { $nor: [{ v: { $exists: true } }, { v: 5 }] }, ['missing']],
    ['operator/query (dotted paths)', { 'v.x': 2 }, ['array', 'object']],
  ])('%s %j', async (_, filter, expected) => {
    const found = (await values.find(filter).toArray()).map(({ _id }) => _id);
    expect(found.sort()).toEqual([...expected].sort());
  });

  // bson-type-comparison-order: (empty array), null and missing, numbers, text, object, array, binary, id, boolean, date, timestamp, regex.
  it('sorts by type, then by value; an array by its least or its greatest element', async () => {
    const ids = async (direction: 1 | -1) => (await values.find().sort({ v: direction, _id: 1 }).toArray()).map((d) => d._id);
    expect(await ids(1)).toEqual(['empty', 'missing', 'null', 'nan', 'array', 'int', 'double', ...all.slice(7)]);
    const backwards = await ids(-1);
    expect(backwards.slice(0, 7)).toEqual(['regex', 'timestamp', 'date', 'true', 'false', 'objectId', 'binary']);
    expect(backwards.slice(7, 9)).toEqual(['array', 'object']);
    expect(backwards.slice(-4)).toEqual(['nan', 'missing', 'null', 'empty']);
    await values.createIndex({ v: 1 });
    expect(await ids(1)).toEqual(['empty', 'missing', 'null', 'nan', 'array', 'int', 'double', ...all.slice(7)]);
    expect(await ids(-1)).toEqual(backwards);
  });
});

const raw = { promoteValues: false, promoteLongs: false } as const;
const text = (value: unknown) => BSON.EJSON.stringify(value, { relaxed: false });

describe('an update', () => {
  it.each<[string, Document, Document, Document]>([
    [
      'operator/update/set',
      { a: new Double(5), l: Long.fromNumber(5) },
      { $set: { b: new Int32(1) } },
      { a: new Double(5), l: Long.fromNumber(5), b: new Int32(1) },
    ],
    [
      'limits of this server: Decimal128 stays as it is',
      { a: Decimal128.fromString('1.10') },
      { $set: { b: true } },
      { a: Decimal128.fromString('1.10'), b: true },
    ],
    ['operator/update (order of fields)', {}, { $set: { c: 1, a: 1, b: 1 } }, { a: 1, b: 1, c: 1 }],
    ['operator/update/unset', { a: 1, b: 2 }, { $unset: { a: '', e: '' } }, { b: 2 }],
    ['operator/update/setOnInsert', { a: 1 }, { $setOnInsert: { b: 1, a: 2 } }, { a: 1 }],
    ['operator/update/inc', { a: new Int32(1) }, { $inc: { a: new Int32(2), b: new Int32(3) } }, { a: new Int32(3), b: new Int32(3) }],
    ['operator/update/inc', { a: new Int32(2147483647) }, { $inc: { a: new Int32(1) } }, { a: Long.fromString('2147483648') }],
    [
      'operator/update/inc',
      { a: Long.fromString('9007199254740993') },
      { $inc: { a: new Int32(1) } },
      { a: Long.fromString('9007199254740994') },
    ],
    ['operator/update/inc', { a: new Int32(1) }, { $inc: { a: new Double(0.5) } }, { a: new Double(1.5) }],
    ['operator/update/setOnInsert', { a: 1 }, { $setOnInsert: { b: 1 }, $set: { a: 2 } }, { a: 2 }],
  ])('%s %j', async (_, before, update, expected) => {
    await things.deleteMany({});
    await things.insertOne({ _id: 1 as never, ...before });
    await things.updateOne({ _id: 1 as never }, update);
    const fields = Object.entries(expected);
    expect(text(await things.findOne({}, raw))).toBe(
      `{"_id":{"$numberInt":"1"}${fields.map(([name, value]) => `,${JSON.stringify(name)}:${text(value)}`).join('')}}`,
    );
  });

  it.each<[string, Document, Document, number, RegExp]>([
    ['operator/update/inc', { a: 'x' }, { $inc: { a: 1 } }, 14, /Cannot apply \$inc to a value of non-numeric type/],
    ['operator/update/inc', { a: 1 }, { $inc: { a: 'x' } }, 14, /Cannot increment with non-numeric argument/],
    ['operator/update', { a: 1 }, { $set: { a: 1 }, $inc: { a: 1 } }, 40, /would create a conflict at 'a'/],
    ['operator/update', { a: 1 }, { $nope: { a: 1 } }, 9, /Unknown modifier: \$nope/],
    ['command/update (_id is immutable)', { a: 1 }, { $set: { _id: 2 } }, 66, /immutable field '_id'/],
  ])('%s refuses %j', async (_, before, update, code, message) => {
    await things.deleteMany({});
    await things.insertOne({ _id: 1 as never, ...before });
    await expect(things.updateOne({ _id: 1 as never }, update)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(await things.findOne()).toEqual({ _id: 1, ...before });
  });

  it('method/db.collection.updateOne (upsert) begins with what the query holds equal', async () => {
    await things.deleteMany({});
    const result = await things.updateOne(
      { a: 1, b: { $eq: { c: 2 } }, d: { $gt: 3 }, $and: [{ e: 4 }] },
      { $set: { f: 5 }, $setOnInsert: { g: 6 } },
      { upsert: true },
    );
    expect(await things.findOne()).toEqual({ _id: result.upsertedId, a: 1, b: { c: 2 }, e: 4, f: 5, g: 6 });
    expect(await things.replaceOne({ _id: 9 as never }, { x: 1 }, { upsert: true })).toMatchObject({ upsertedId: 9, upsertedCount: 1 });
  });

  it('operator/update/setOnInsert gives an upsert its _id, unless another operator or the query does', async () => {
    await things.deleteMany({});
    const upsert = (filter: Document, update: Document) => ({ updateOne: { filter, update, upsert: true } });
    const byName = ['a', 'b'].map((name) => upsert({ name }, { $set: { n: 1 }, $setOnInsert: { _id: `id ${name}` } }));
    expect(await things.bulkWrite(byName, { ordered: false })).toMatchObject({ upsertedIds: { 0: 'id a', 1: 'id b' } });
    const again = upsert({ name: 'a' }, { $set: { n: 2 }, $setOnInsert: { _id: 'other' } });
    expect(await things.bulkWrite([again, upsert({ _id: 'c' }, { $setOnInsert: { _id: 'c' } })], { ordered: false })).toMatchObject({
      matchedCount: 1,
      upsertedIds: { 1: 'c' },
    });
    expect(await things.find({}, { sort: { _id: 1 } }).toArray()).toEqual([
      { _id: 'c' },
      { _id: 'id a', name: 'a', n: 2 },
      { _id: 'id b', name: 'b', n: 1 },
    ]);
    for (const [update, code] of [
      [upsert({ name: 'd' }, { $set: { _id: 'd' }, $setOnInsert: { _id: 'd' } }), 40],
      [upsert({ _id: 'd' }, { $setOnInsert: { _id: 'e' } }), 66],
    ] as const)
      await expect(things.bulkWrite([update], { ordered: false })).rejects.toMatchObject({ code });
    expect(await things.countDocuments()).toBe(3);
  });
});

describe('a pipeline', () => {
  beforeAll(async () => {
    const sales = client.db('documentation').collection('sales');
    await sales.insertMany([
      { _id: 1 as never, item: 'abc', price: new Double(10), quantity: new Int32(2), sizes: ['S', 'M'] },
      { _id: 2 as never, item: 'jkl', price: new Double(20), quantity: new Int32(1), sizes: [] },
      { _id: 3 as never, item: 'xyz', price: new Double(5), quantity: Long.fromNumber(10), sizes: 'L' },
      { _id: 4 as never, item: 'abc', quantity: null },
    ]);
  });

  it.each<[string, Document[], unknown]>([
    ['operator/aggregation/match', [{ $match: { item: 'abc', price: { $gt: 1 } } }, { $project: { item: 1 } }], [{ _id: 1, item: 'abc' }]],
    [
      'operator/aggregation/group',
      [{ $group: { _id: '$item', n: { $sum: 1 } } }, { $sort: { _id: 1 } }],
      [
        { _id: 'abc', n: 2 },
        { _id: 'jkl', n: 1 },
        { _id: 'xyz', n: 1 },
      ],
    ],
    [
      'operator/aggregation/sum, min, max',
      [
        { $sort: { _id: 1 } },
        {
          $group: {
            _id: null,
            sum: { $sum: '$quantity' },
            min: { $min: '$price' },
            max: { $max: '$item' },
          },
        },
      ],
      [{ _id: null, sum: 13, min: 5, max: 'xyz' }],
    ],
    [
      'operator/aggregation/addFields',
      [{ $match: { _id: 4 } }, { $addFields: { page: 3, item: '$price', was: '$item' } }],
      [{ _id: 4, quantity: null, page: 3, was: 'abc' }],
    ],
    [
      'operator/aggregation/group (several fields)',
      [{ $group: { _id: { i: '$item' }, least: { $min: '$_id' } } }, { $sort: { least: -1 } }, { $limit: 1 }],
      [{ _id: { i: 'xyz' }, least: 3 }],
    ],
    ['operator/aggregation/count', [{ $match: { item: 'abc' } }, { $count: 'n' }], [{ n: 2 }]],
    ['operator/aggregation/count', [{ $match: { item: 'nothing' } }, { $count: 'n' }], []],
    [
      'operator/aggregation/sort, skip, limit',
      [{ $sort: { item: -1, _id: 1 } }, { $skip: 1 }, { $limit: 2 }, { $project: { item: 1, _id: 0 } }],
      [{ item: 'jkl' }, { item: 'abc' }],
    ],
    [
      'operator/aggregation/unionWith',
      [
        { $match: { _id: 1 } },
        { $project: { item: 1 } },
        { $unionWith: { coll: 'sales', pipeline: [{ $sort: { _id: -1 } }, { $limit: 1 }, { $project: { item: 1 } }] } },
      ],
      [
        { _id: 1, item: 'abc' },
        { _id: 4, item: 'abc' },
      ],
    ],
  ])('%s %j', async (_, pipeline, expected) => {
    expect(await client.db('documentation').collection('sales').aggregate(pipeline).toArray()).toEqual(expected);
  });
});

describe('a projection', () => {
  it.each<[string, Document, Document]>([
    ['method/db.collection.find (inclusion)', { a: 1, z: 1 }, { _id: 1, a: 1, z: { y: 1 } }],
    ['method/db.collection.find (without _id)', { b: true, _id: 0 }, { b: [{ c: 1, d: 1 }, { c: 2 }, 5] }],
    ['method/db.collection.find (exclusion)', { a: 0, b: false }, { _id: 1, z: { y: 1 } }],
  ])('%s %j', async (_, projection, expected) => {
    await things.deleteMany({});
    await things.insertOne({ _id: 1 as never, a: 1, b: [{ c: 1, d: 1 }, { c: 2 }, 5], z: { y: 1 } });
    expect(await things.findOne({}, { projection })).toEqual(expected);
  });
});
