import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, Decimal128, type Document, MaxKey, MinKey, MongoClient, type MongoError } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedMongodb, startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';

// The whole of MongoDB's lists: each command, option and operator either does what it says or is an error with a code. Nothing is ignored.
const directory = mkdtempSync(join(tmpdir(), 'embedded-refusals-'));
let server: EmbeddedMongodb;
let client: MongoClient;

beforeAll(async () => {
  server = await startEmbeddedMongodb({ directory });
  client = await new MongoClient(server.uri).connect();
  await client
    .db('refusals')
    .collection('things')
    .insertOne({ _id: 1 as never, a: 1, list: [1], text: 'x' });
});
afterAll(async () => {
  await client.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const words = (text: string) => text.trim().split(/\s+/);
const code = (command: Document, database = 'refusals') =>
  client
    .db(database)
    .command(command)
    .then(
      () => 0,
      (error: MongoError & { code: number }) => error.code,
    );
const first = async (command: Document) => {
  const { cursor, writeErrors } = await client.db('refusals').command(command);
  return writeErrors ? writeErrors[0].code : cursor?.firstBatch.length;
};

describe('queries', () => {
  const supported: Record<string, unknown> = {
    $eq: 1,
    $gt: 0,
    $gte: 1,
    $in: [1],
    $lt: 2,
    $lte: 1,
    $ne: 5,
    $nin: [5],
    $exists: true,
    $not: { $gt: 5 },
  };
  it.each(Object.entries(supported))('%s works', async (operator, operand) => {
    expect(await first({ find: 'things', filter: { a: { [operator]: operand } } })).toBe(1);
    expect(await first({ find: 'things', filter: { a: { $not: { [operator]: operand } } } })).toBe(0);
  });
  it.each<[string, Document]>([
    ['$regex', { text: { $regex: '^x(?!.)', $options: 's' } }],
    ['$and', { $and: [{ a: 1 }, { text: 'x' }] }],
    ['$or', { $or: [{ a: 2 }, { text: 'x' }] }],
    ['$nor', { $nor: [{ a: 2 }] }],
  ])('%s works', async (_, filter) => {
    expect(await first({ find: 'things', filter })).toBe(1);
  });
  it.each(
    words(
      '$all $elemMatch $mod $size $comment $bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet $geoIntersects $geoWithin $near $nearSphere $maxDistance $minDistance',
    ),
  )('%s is refused', async (operator) => {
    expect(await code({ find: 'things', filter: { a: { [operator]: 1 } } })).toBe(2);
  });
  it.each(words('$comment $expr $jsonSchema $text $where $sampleRate'))('%s is refused', async (operator) => {
    expect(await code({ find: 'things', filter: { [operator]: {} } })).toBe(2);
  });
  it.each<[string, Document, number]>([
    ['an unknown operator', { a: { $nope: 1 } }, 2],
    ['an unknown operator at the top', { $nope: [] }, 2],
    ...[
      ['(', ''],
      ['a++', ''],
      ['x', ''],
      ['^x', 's'],
      ['x(?!.)', 's'],
      ['^x$', 's'],
      ['^x(?!.)', ''],
      ['^x(?!.)', 'is'],
      ['^x(?!.)', 'ms'],
      ['^x(?!.)', 'xs'],
      ['^x(?!.)', 'q'],
      ['^(a+)+(?!.)', 's'],
      ['^a+(?!.)', 's'],
      ['^a{2}(?!.)', 's'],
      ['^a?(?!.)', 's'],
      ['^a*(?!.)', 's'],
      ['^.*?(?!.)', 's'],
      ['^.**(?!.)', 's'],
      ['^.*+(?!.)', 's'],
      ['^[ab](?!.)', 's'],
      ['^a|b(?!.)', 's'],
      ['^\\w(?!.)', 's'],
      ['^\\b(?!.)', 's'],
      ['^\\1(?!.)', 's'],
      ['^\\Q.*(?!.)', 's'],
      ['^(?i)x(?!.)', 's'],
      ['^\\(?!.)', 's'],
      ['^.*a.*b.*c(?!.)', 's'],
      [`^${'a'.repeat(2000)}(?!.)`, 's'],
    ].map(([$regex, $options]): [string, Document, number] => [
      `the expression /${$regex!.slice(0, 40)}/${$options}`,
      { text: { $regex, $options } },
      238,
    ]),
    ['a zero byte in an expression', { text: { $regex: '^\0(?!.)', $options: 's' } }, 2],
    ['a negated expression', { text: { $not: /^x/ } }, 238],
    ['an expression in $in', { text: { $in: [/^x/] } }, 238],
  ])('%s is an error', async (_, filter, expected) => {
    expect(await code({ find: 'things', filter })).toBe(expected);
    expect(await code({ delete: 'things', deletes: [{ q: filter, limit: 0 }] })).toBe(0);
    expect(await client.db('refusals').collection('things').countDocuments()).toBe(1);
  });
});

describe('updates', () => {
  const supported: [string, Document][] = [
    ['$inc', { a: 0 }],
    ['$set', { u: 1 }],
    ['$setOnInsert', { u: 1 }],
  ];
  it.each(supported)('%s works', async (operator, fields) => {
    expect(
      await client.db('refusals').command({ update: 'things', updates: [{ q: { _id: 1 }, u: { [operator]: fields } }] }),
    ).toMatchObject({ ok: 1, n: 1 });
  });
  it.each<[string, unknown, number]>([
    ["the positional '$'", { $set: { 'list.$': 1 } }, 238],
    ['a pipeline', [{ $set: { a: 2 } }], 238],
    ...words('$addToSet $bit $currentDate $max $min $mul $pop $pull $pullAll $push $rename $nope').map(
      (operator): [string, unknown, number] => [operator, { [operator]: { a: 1 } }, 9],
    ),
    ["every element, '$[]'", { $set: { 'list.$[]': 1 } }, 238],
    ["some elements, '$[x]'", { $set: { 'list.$[x]': 1 } }, 238],
    ['an element at a position', { $set: { 'list.0': 1 } }, 238],
    ['a field inside a field', { $set: { 'a.b': 1 } }, 238],
    ['a field with a number for a name', { $set: { 7: 1 } }, 238],
    ['a modifier by itself', { $each: { a: 1 } }, 9],
    ['Decimal128 arithmetic', { $inc: { a: Decimal128.fromString('1') } }, 238],
  ])('%s is refused', async (_, u, expected) => {
    expect(await first({ update: 'things', updates: [{ q: { _id: 1 }, u }] })).toBe(expected);
  });
});

describe('aggregation', () => {
  const aggregate = (stage: Document) => code({ aggregate: 'things', pipeline: [stage], cursor: {} });
  it.each<[string, unknown]>([
    ['$addFields', { b: '$a' }],
    ['$count', 'n'],
    ['$group', { _id: null }],
    ['$limit', 1],
    ['$match', { a: 1 }],
    ['$project', { a: 1 }],
    ['$skip', 1],
    ['$sort', { a: 1 }],
    ['$unionWith', { coll: 'things', pipeline: [] }],
  ])('%s works', async (stage, operand) => {
    expect(await aggregate({ [stage]: operand })).toBe(0);
  });
  it.each(
    words(`$set $unset $replaceRoot $replaceWith $unwind $bucket $bucketAuto $changeStream $changeStreamSplitLargeEvent $collStats $currentOp $densify $documents $facet $fill $geoNear $graphLookup
      $indexStats $listLocalSessions $listSampledQueries $listSearchIndexes $listSessions $lookup $merge $out $planCacheStats $queryStats $redact $sample $search
      $searchMeta $setWindowFields $sortByCount $vectorSearch $nope`),
  )('%s is refused', async (stage) => {
    expect(await aggregate({ [stage]: {} })).toBe(40324);
  });
  it.each<[string, Document, number]>([
    ['a variable', { $group: { _id: '$$ROOT' } }, 238],
    ['an array in an expression', { $group: { _id: ['$a'] } }, 238],
    ['a nested field in $addFields', { $addFields: { b: { c: 1 } } }, 238],
    ['$unionWith of a whole collection', { $unionWith: 'things' }, 238],
    ['a computed field in $project', { $project: { b: '$a' } }, 238],
  ])('%s is refused', async (_, stage, expected) => {
    expect(await aggregate(stage)).toBe(expected);
  });
  it.each(
    words(`$literal $nope $abs $accumulator $acos $acosh $add $addToSet $and $arrayElemAt $cmp $concat $cond $eq $gt $gte $ifNull $in $isArray $lt $lte $multiply $ne $not $or $size $subtract $type $allElementsTrue $anyElementTrue $arrayToObject $asin $asinh $atan $atan2 $atanh $avg $binarySize $bitAnd $bitNot
      $bitOr $bitXor $bsonSize $ceil $concatArrays $convert $cos $cosh $dateAdd $dateDiff $dateFromParts $dateFromString $dateSubtract $dateToParts
      $dateToString $dateTrunc $dayOfMonth $dayOfWeek $dayOfYear $degreesToRadians $divide $exp $filter $first $firstN $floor $function $getField $hour
      $indexOfArray $indexOfBytes $indexOfCP $isNumber $isoDayOfWeek $isoWeek $isoWeekYear $last $lastN $let $ln $log $log10 $ltrim $map $max $maxN $median
      $mergeObjects $meta $min $minN $millisecond $minute $mod $month $objectToArray $percentile $pow $radiansToDegrees $rand $range $reduce $regexFind
      $regexFindAll $regexMatch $replaceOne $replaceAll $reverseArray $round $rtrim $sampleRate $second $setDifference $setEquals $setField $setIntersection
      $setIsSubset $setUnion $sin $sinh $slice $sortArray $split $sqrt $stdDevPop $stdDevSamp $strcasecmp $strLenBytes $strLenCP $substr $substrBytes
      $substrCP $sum $switch $tan $tanh $toBool $toDate $toDecimal $toDouble $toInt $toLong $toLower $toObjectId $toString $toUpper $trim $trunc
      $tsIncrement $tsSecond $unsetField $week $year $zip`),
  )('the expression %s is refused', async (operator) => {
    expect(await aggregate({ $group: { _id: { value: { [operator]: ['$a'] } } } })).toBe(168);
  });
  it.each(words('$sum $min $max'))('the accumulator %s works', async (operator) => {
    const { cursor } = await client
      .db('refusals')
      .command({ aggregate: 'things', pipeline: [{ $group: { _id: null, v: { [operator]: '$a' } } }], cursor: {} });
    expect(cursor.firstBatch[0].v).toBe(1);
  });
  it.each(
    words(
      '$addToSet $count $first $last $push $nope $accumulator $bottom $bottomN $firstN $lastN $maxN $median $mergeObjects $minN $percentile $stdDevPop $stdDevSamp $top $topN',
    ),
  )('the accumulator %s is refused', async (operator) => {
    expect(await aggregate({ $group: { _id: null, v: { [operator]: '$a' } } })).toBe(15952);
  });
});

describe('commands and options', () => {
  it.each(
    words(`bulkWrite mapReduce getLastError resetError authenticate logout saslStart createUser dropUser usersInfo grantRolesToUser createRole
      applyOps replSetGetStatus replSetInitiate replSetStepDown addShard enableSharding shardCollection moveChunk balancerStart cloneCollectionAsCapped
      collMod compact convertToCapped createSearchIndexes currentOp dbHash fsync getAuditConfig killOp logRotate profile reIndex renameCollection
      setFeatureCompatibilityVersion setIndexCommitQuorum setParameter setDefaultRWConcern shutdown validate collStats dbStats serverStatus hostInfo top
      whatsmyuri features getCmdLineOpts listCommands lockInfo netstat connPoolStats dataSize dbHash planCacheClear configureFailPoint getLog getParameter
      startSession refreshSessions killAllSessions findandmodify deleteIndexes nope`),
  )('%s is not a command', async (name) => {
    expect(await code({ [name]: 1 }, 'admin')).toBe(59);
  });

  it.each<[string, Document, number]>([
    ['an unknown option', { find: 'things', nope: 1 }, 40415],
    ['an unknown option of a part', { update: 'things', updates: [{ q: {}, u: { $set: { b: 1 } }, nope: 1 }] }, 40415],
    ['an option of another type', { find: 'things', limit: 'x' }, 14],
    ['a negative limit', { find: 'things', limit: -1 }, 51024],
    ['a collation', { find: 'things', collation: { locale: 'de' } }, 40415],
    ['let', { find: 'things', let: { x: 1 } }, 40415],
    ['MinKey', { find: 'things', filter: { a: new MinKey() } }, 238],
    ['MaxKey', { find: 'things', filter: { a: new MaxKey() } }, 238],
    ['code', { find: 'things', filter: { a: new Code('1') } }, 238],
    ['a tailable cursor', { find: 'things', tailable: true }, 40415],
    ['min', { find: 'things', min: { a: 1 }, hint: { a: 1 } }, 40415],
    ['showRecordId', { find: 'things', showRecordId: true }, 40415],
    ['a computed projection', { find: 'things', projection: { b: '$a' } }, 238],
    ['$slice in a projection', { find: 'things', projection: { list: { $slice: 1 } } }, 238],
    ['$elemMatch in a projection', { find: 'things', projection: { list: { $elemMatch: { $eq: 1 } } } }, 238],
    ['a field inside a field in a projection', { find: 'things', projection: { 'a.b': 1 } }, 238],
    ['an element at a position', { find: 'things', filter: { 'list.0': 1 } }, 238],
    ['a projection that mixes', { find: 'things', projection: { a: 1, list: 0 } }, 31254],
    ['a hint for no index', { find: 'things', hint: 'nope' }, 2],
    ['a sort by text', { find: 'things', sort: { a: { $meta: 'textScore' } } }, 238],
    ['a snapshot outside a transaction', { find: 'things', readConcern: { level: 'snapshot' } }, 238],
    ['an unknown read concern', { find: 'things', readConcern: { level: 'nope' } }, 9],
    ['a validator', { create: 'new', validator: { a: 1 } }, 40415],
    ['a capped collection', { create: 'new', capped: true, size: 10 }, 40415],
    ['a view', { create: 'new', viewOn: 'things', pipeline: [] }, 40415],
    ['a time series', { create: 'new', timeseries: { timeField: 't' } }, 40415],
    ['a clustered index', { create: 'new', clusteredIndex: { key: { _id: 1 }, unique: true } }, 40415],
    ['an unknown API version', { ping: 1, apiVersion: '2' }, 322],
    ['a sparse index', { createIndexes: 'things', indexes: [{ key: { a: 1 }, name: 'a', sparse: true }] }, 40415],
    ['array filters', { update: 'things', updates: [{ q: {}, u: { $set: { a: 1 } }, arrayFilters: [] }] }, 40415],
    ['a sort in natural order', { find: 'things', sort: { $natural: 1 } }, 238],
    ['a bad namespace', { insert: 'a$b', documents: [{}] }, 73],
    ['listDatabases elsewhere', { listDatabases: 1 }, 13],
  ])('%s is refused', async (_, command, expected) => {
    expect(await code(command)).toBe(expected);
  });

  it.each<[string, Document, number]>([
    ['text', { key: { a: 'text' } }, 238],
    ['2dsphere', { key: { a: '2dsphere' } }, 238],
    ['hashed', { key: { a: 'hashed' } }, 238],
    ['wildcard', { key: { '$**': 1 } }, 238],
    ['TTL', { key: { a: 1 }, expireAfterSeconds: 10 }, 40415],
    ['hidden', { key: { a: 1 }, hidden: true }, 40415],
    ['collation', { key: { a: 1 }, collation: { locale: 'de' } }, 40415],
    ['an unknown option', { key: { a: 1 }, nope: 1 }, 40415],
    ['no direction', { key: { a: 0 } }, 67],
    ['an unknown kind', { key: { a: 'nope' } }, 238],
    ['an element at a position', { key: { 'a.0': 1 } }, 238],
    ['a partial index over $ne', { key: { a: 1 }, partialFilterExpression: { a: { $ne: 1 } } }, 67],
  ])('an index: %s is refused', async (_, index, expected) => {
    expect(await code({ createIndexes: 'things', indexes: [{ name: 'i', ...index }] })).toBe(expected);
  });

  it.each<[string, Document, number]>([
    ['of no collection', { dropIndexes: 'nothing', index: 'a' }, 26],
    ['that does not exist', { dropIndexes: 'things', index: 'nope' }, 27],
    ['of _id', { dropIndexes: 'things', index: '_id_' }, 72],
    ['all', { dropIndexes: 'things', index: '*' }, 238],
    ['by its keys', { dropIndexes: 'things', index: { a: 1 } }, 238],
    ['several', { dropIndexes: 'things', index: ['a', 'b'] }, 238],
  ])('dropping an index: %s is refused', async (_, command, expected) => {
    expect(await code(command)).toBe(expected);
  });

  it('a dropped index is used no more, refuses nothing, and leaves the documents', async () => {
    const dropped = client.db('refusals').collection('dropped');
    await dropped.insertMany(Array.from({ length: 300 }, (_, a) => ({ a })));
    await dropped.createIndex({ a: 1 }, { unique: true, name: 'unique' });
    await expect(dropped.insertOne({ a: 1 })).rejects.toMatchObject({ code: 11000 });
    const open = dropped.find({ a: { $gte: 0 } }, { batchSize: 10 });
    await open.next();
    await dropped.dropIndex('unique', { writeConcern: { w: 'majority', j: true } });
    // It would have read the rest from the index.
    await expect(open.toArray()).rejects.toMatchObject({ code: 43 });
    await dropped.insertOne({ a: 1 });
    expect(await dropped.find({ a: { $gte: 0 } }).toArray()).toHaveLength(301);
    expect((await dropped.indexes()).map(({ name }) => name)).toEqual(['_id_']);
    await dropped.createIndex({ a: 1 }, { name: 'unique' });
    expect(await dropped.countDocuments({ a: 1 })).toBe(2);
  });

  it('a write concern that one server cannot meet is an error beside the answer', async () => {
    const things = client.db('refusals').collection('concerned');
    await expect(things.insertOne({}, { writeConcern: { w: 2 } })).rejects.toMatchObject({ code: 100 });
    await expect(things.insertOne({}, { writeConcern: { w: 'somewhere' as never } })).rejects.toMatchObject({ code: 79 });
    await things.insertOne({}, { writeConcern: { w: 'majority', j: true } });
    await things.insertOne({}, { writeConcern: { w: 0 } });
    await expect.poll(() => things.countDocuments()).toBe(4);
  });

  it('maxTimeMS ends a long scan', async () => {
    const many = client.db('refusals').collection('many');
    await many.insertMany(Array.from({ length: 20_000 }, (_, i) => ({ i, text: 'x'.repeat(50) })));
    await expect(many.find({ text: { $gt: 'y' } }, { maxTimeMS: 1 }).toArray()).rejects.toMatchObject({ code: 50 });
    expect(await many.find({ i: 5 }, { maxTimeMS: 60_000 }).toArray()).toHaveLength(1);
    // The time of a slow reader between two batches does not count.
    const slow = many.find({}, { maxTimeMS: 1_000, batchSize: 1000, limit: 2000 });
    await slow.next();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await slow.toArray()).toHaveLength(1999);
  });

  it('a cursor is read in batches, may be killed, and is then unknown', async () => {
    const many = client.db('refusals').collection('batches');
    await many.insertMany(Array.from({ length: 500 }, (_, i) => ({ _id: i as never })));
    expect(
      await many
        .find({}, { batchSize: 7 })
        .map(({ _id }) => _id)
        .toArray(),
    ).toEqual(Array.from({ length: 500 }, (_, i) => i));
    // As int64: a number of the driver would not do, when a cursor's random one is small enough for it.
    const { cursor } = await client.db('refusals').command({ find: 'batches', batchSize: 2 }, { promoteLongs: false });
    expect(cursor.firstBatch).toHaveLength(2);
    expect(await code({ getMore: cursor.id, collection: 'things' })).toBe(13);
    expect(await client.db('refusals').command({ killCursors: 'batches', cursors: [cursor.id] }, { promoteLongs: false })).toMatchObject({
      cursorsKilled: [cursor.id],
    });
    expect(await code({ getMore: cursor.id, collection: 'batches' })).toBe(43);
  });

  it('bulk writes tell which part failed, and go on when they are not ordered', async () => {
    const bulk = client.db('refusals').collection<{ _id: number }>('bulk');
    const documents = [{ _id: 1 }, { _id: 1 }, { _id: 2 }, { _id: 2 }, { _id: 3 }];
    const ordered = await bulk.insertMany(documents).catch((e) => e);
    expect(ordered).toMatchObject({ code: 11000, result: { insertedCount: 1 }, writeErrors: [{ index: 1, code: 11000 }] });
    const answer = await client.db('refusals').command({ insert: 'bulk', documents: [{ _id: 1 }] });
    const errmsg = 'E11000 duplicate key error collection: refusals.bulk index: _id_ dup key: { _id: 1 }';
    expect(answer).toMatchObject({
      ok: 1,
      n: 0,
      writeErrors: [{ index: 0, code: 11000, errmsg, keyPattern: { _id: 1 }, keyValue: { _id: 1 } }],
    });
    await bulk.deleteMany({});
    const unordered = await bulk.insertMany(documents, { ordered: false }).catch((e) => e);
    expect(unordered).toMatchObject({ code: 11000, result: { insertedCount: 3 }, writeErrors: [{ index: 1 }, { index: 3 }] });
    const mixed = await bulk.bulkWrite([
      { insertOne: { document: { _id: 9 } } },
      { updateOne: { filter: { _id: 9 }, update: { $set: { a: 1 } } } },
      { updateMany: { filter: {}, update: { $set: { b: 1 } } } },
      { replaceOne: { filter: { _id: 10 }, replacement: { c: 1 } as never, upsert: true } },
      { deleteOne: { filter: { _id: 1 } } },
      { deleteMany: { filter: { _id: { $gt: 100 } } } },
    ]);
    expect(mixed).toMatchObject({
      insertedCount: 1,
      matchedCount: 5,
      modifiedCount: 5,
      upsertedCount: 1,
      upsertedIds: { 3: 10 },
      deletedCount: 1,
    });
  });
});

describe('what mongosh and Compass ask', () => {
  it.each<[string, Document, string, Document]>([
    ['hello', { hello: 1 }, 'admin', { isWritablePrimary: true, maxWireVersion: 21, logicalSessionTimeoutMinutes: 30 }],
    ['isMaster', { isMaster: 1 }, 'admin', { ismaster: true }],
    ['buildInfo', { buildInfo: 1 }, 'admin', { version: '7.0.0' }],
    ['ping', { ping: 1 }, 'admin', { ok: 1 }],
    ['connectionStatus', { connectionStatus: 1, showPrivileges: true }, 'admin', { authInfo: { authenticatedUsers: [] } }],
    ['listDatabases', { listDatabases: 1, nameOnly: true }, 'admin', { databases: [{ name: 'refusals' }] }],
    [
      'listCollections',
      { listCollections: 1, filter: { name: 'things' } },
      'refusals',
      { cursor: { firstBatch: [{ name: 'things', type: 'collection' }] } },
    ],
    ['listIndexes', { listIndexes: 'things' }, 'refusals', { cursor: { firstBatch: [{ v: 2, key: { _id: 1 }, name: '_id_' }] } }],
    ['count', { count: 'things' }, 'refusals', { n: 1 }],
  ])('%s', async (_, command, database, expected) => {
    expect(await client.db(database).command(command)).toMatchObject(expected);
  });
});
