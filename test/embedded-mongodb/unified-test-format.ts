import { isDeepStrictEqual } from 'node:util';
import {
  type AbstractCursor,
  BSON,
  type ClientSession,
  type Collection,
  type Db,
  type Document,
  GridFSBucket,
  MongoBulkWriteError,
  MongoClient,
  type MongoError,
  MongoServerError,
  ObjectId,
  ReadPreference,
} from 'mongodb';
import type { FailPoints } from './fail-points.ts';

/**
 * Runs tests of MongoDB's driver specifications in the unified test format, as far as the specifications about a server's answers use it.
 * Source: https://github.com/mongodb/specifications/blob/master/source/unified-test-format/unified-test-format.md
 */

/** What the runner or the driver has not: a test that needs it says nothing. */
export class NotRun extends Error {}

/** "runOnRequirement": one of them has to be met. The server says it is the primary of a replica set, version 7.0. */
export function meets(requirements: Document[] | undefined): boolean {
  const number = (version: string) => version.split('.').reduce((sum, part, i) => sum + Number(part) / 1000 ** i, 0);
  return (requirements ?? [{}]).some(
    ({ minServerVersion = '0', maxServerVersion = '99', topologies = ['replicaset'], auth, csfle, serverless, serverParameters }) =>
      number(minServerVersion) <= number('7.0.0') &&
      number('7.0.0') <= number(maxServerVersion) &&
      topologies.includes('replicaset') &&
      !auth &&
      !csfle &&
      serverless !== 'require' &&
      !serverParameters,
  );
}

interface Observed {
  client: MongoClient;
  events: Document[];
}

/** Runs one test of a file. Throws when something is not as expected. */
export async function runTest(uri: string, file: Document, test: Document, failPoints: FailPoints): Promise<void> {
  const internal = await new MongoClient(uri).connect();
  const run = new Run(uri, internal);
  try {
    for (const { databaseName, collectionName, documents } of file.initialData ?? []) {
      const collection = internal.db(databaseName).collection(collectionName, { writeConcern: { w: 'majority' } });
      await collection.drop();
      if (documents.length) await collection.insertMany(documents);
      else await internal.db(databaseName).createCollection(collectionName, { writeConcern: { w: 'majority' } });
    }
    failPoints.clear();
    for (const entity of [...(file.createEntities ?? []), ...(test.createEntities ?? [])]) run.create(entity);
    for (const operation of test.operations) await run.operation(operation);
    for (const { databaseName, collectionName, documents } of test.outcome ?? []) {
      const found = await internal
        .db(databaseName)
        .collection(collectionName)
        .find({}, { sort: { _id: 1 } })
        .toArray();
      run.match(documents, found, `the outcome of ${collectionName}`, 'nowhere');
    }
    for (const expected of test.expectEvents ?? []) run.checkEvents(expected);
  } finally {
    await internal.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
    await run.close();
    await internal.close();
  }
}

class Run {
  private readonly uri: string;
  readonly internal: MongoClient;
  private readonly entities = new Map<string, unknown>();
  private readonly clients = new Map<string, Observed>();
  private readonly lsids = new Map<string, unknown>();

  constructor(uri: string, internal: MongoClient) {
    this.uri = uri;
    this.internal = internal;
  }

  get<T>(id: string): T {
    const entity = this.entities.get(id);
    if (entity === undefined) throw new NotRun(`the entity ${id}`);
    return entity as T;
  }

  async close(): Promise<void> {
    await this.endSessions();
    // A transaction whose abort failed would hold what it wrote against the next test. (The specifications kill all sessions before a test.)
    await this.internal.db('admin').command({ endSessions: [...this.lsids.values()] });
    for (const { client } of this.clients.values()) await client.close();
  }

  async endSessions(): Promise<void> {
    for (const id of this.lsids.keys()) await this.get<ClientSession>(id).endSession();
  }

  /** "entity": clients, databases, collections, sessions and buckets. */
  create(entity: Document): void {
    const [[kind, description]] = Object.entries(entity) as [[string, Document]];
    const { id } = description;
    const options = toOptions(description[`${kind}Options`] ?? {});
    if (kind === 'client') this.entities.set(id, this.connect(description));
    else if (kind === 'database') this.entities.set(id, this.get<MongoClient>(description.client).db(description.databaseName, options));
    else if (kind === 'collection')
      this.entities.set(id, this.get<Db>(description.database).collection(description.collectionName, options));
    else if (kind === 'bucket') this.entities.set(id, new GridFSBucket(this.get<Db>(description.database), options));
    else if (kind === 'session') {
      const session = this.get<MongoClient>(description.client).startSession(options);
      this.entities.set(id, session);
      this.lsids.set(id, session.id);
    } else throw new NotRun(`an entity ${kind}`);
  }

  private connect(description: Document): MongoClient {
    const { id, uriOptions = {}, serverApi, observeEvents = [], ignoreCommandMonitoringEvents = [] } = description;
    if (description.storeEventsAsEntities || description.observeSensitiveCommands)
      throw new NotRun('events as entities, commands with passwords');
    const uri = Object.entries(uriOptions).reduce((all, [name, value]) => `${all}&${name}=${encodeURIComponent(String(value))}`, this.uri);
    const client = new MongoClient(uri, { serverApi, monitorCommands: true, serverSelectionTimeoutMS: 2_000, minHeartbeatFrequencyMS: 20 });
    const events: Document[] = [];
    for (const kind of ['commandStarted', 'commandSucceeded', 'commandFailed'] as const) {
      if (!observeEvents.includes(`${kind}Event`)) continue;
      client.on(kind, (event: { commandName: string }) => {
        if (![...ignoreCommandMonitoringEvents, 'configureFailPoint'].includes(event.commandName)) events.push({ [`${kind}Event`]: event });
      });
    }
    this.clients.set(id, { client, events });
    return client;
  }

  /** `rethrow` passes an expected error on, as a callback does that is to be told whether to try again. */
  async operation(
    { name, object, arguments: given, expectError, expectResult, saveResultAsEntity, ignoreResultAndError }: Document,
    rethrow = false,
  ) {
    const target = object === 'testRunner' ? this : this.get<object>(object);
    const run = operations[name];
    if (!run) throw new NotRun(`the operation ${name}`);
    const { session, ...args } = toOptions(given ?? {});
    if (session) args.session = typeof session === 'string' && object !== 'testRunner' ? this.get(session) : session;
    let result: unknown;
    try {
      result = await run(target as never, args, this);
    } catch (error) {
      if (error instanceof NotRun) throw error;
      if (ignoreResultAndError) return;
      if (!expectError) throw error;
      this.checkError(expectError, error as MongoError, name);
      if (rethrow) throw error;
      return;
    }
    if (ignoreResultAndError) return;
    if (expectError) throw new Error(`${name} was to fail with ${show(expectError)}, and gave ${show(result)}`);
    if (expectResult !== undefined) this.match(expectResult, result, `the result of ${name}`);
    if (saveResultAsEntity) this.entities.set(saveResultAsEntity, result);
  }

  private checkError(expected: Document, error: MongoError & Document, name: string): void {
    const fail = (what: string) => {
      throw new Error(`${name}: ${what}, expected ${show(expected)}`, { cause: error });
    };
    const {
      isClientError,
      errorContains,
      errorCode,
      errorCodeName,
      errorLabelsContain = [],
      errorLabelsOmit = [],
      expectResult,
    } = expected;
    if (isClientError !== undefined && isClientError === error instanceof MongoServerError) fail(`another kind of error: ${error}`);
    if (errorContains && !error.message.toLowerCase().includes(errorContains.toLowerCase())) fail(`another message: ${error.message}`);
    if (errorCode !== undefined && error.code !== errorCode) fail(`another code: ${error.code}`);
    const codeName = error.codeName ?? error.errorResponse?.codeName ?? error.result?.writeConcernError?.codeName;
    if (errorCodeName && codeName !== errorCodeName) fail(`another name: ${codeName}`);
    for (const label of errorLabelsContain) if (!error.hasErrorLabel(label)) fail(`the label ${label} is missing`);
    for (const label of errorLabelsOmit) if (error.hasErrorLabel(label)) fail(`it has the label ${label}`);
    if (expectResult && error instanceof MongoBulkWriteError) this.match(expectResult, error.result, `what ${name} did before its error`);
  }

  checkEvents({ client, events: expected, ignoreExtraEvents, ignoreExtraFields, eventType = 'command' }: Document): void {
    if (eventType !== 'command') throw new NotRun(`events about ${eventType}`);
    const { events } = this.clients.get(client)!;
    if (ignoreExtraEvents ? events.length < expected.length : events.length !== expected.length)
      throw new Error(`${expected.length} events expected, not ${show(events)}`);
    const problems: string[] = [];
    for (const [i, event] of (expected as Document[]).entries()) {
      const [[kind, fields]] = Object.entries(event) as [[string, Document]];
      const actual = events[i]![kind];
      if (actual) actual.hasServerConnectionId = Boolean(actual.serverConnectionId);
      else throw new Error(`event ${i}: ${kind} expected, not ${show(events[i])}`);
      for (const [field, value] of Object.entries(fields)) {
        try {
          const more = ignoreExtraFields ? 'anywhere' : 'at the root';
          if (value !== undefined) this.match(value, withoutMaps(actual[field]), `event ${i}, ${field}`, more);
        } catch (error) {
          if (error instanceof NotRun) throw error;
          problems.push((error as Error).message);
        }
      }
    }
    if (problems.length) throw new Error(problems.join('\n'));
  }

  commands(id: string): Document[] {
    return this.clients.get(id)!.events.flatMap(({ commandStartedEvent }) => (commandStartedEvent ? [commandStartedEvent.command] : []));
  }

  /** "Evaluating Matches": numbers of any type are equal if their values are; where told, and in documents at the root, more fields may be. */
  match(expected: unknown, actual: unknown, where: string, more: 'at the root' | 'anywhere' | 'nowhere' = 'at the root'): void {
    const hold = (holds: boolean) => {
      if (!holds) throw new Error(`${where} is ${show(actual)}, expected ${show(expected)}`);
    };
    const inside = more === 'at the root' ? 'nowhere' : more;
    if (Array.isArray(expected)) {
      hold(Array.isArray(actual) && actual.length === expected.length);
      for (const [i, item] of expected.entries()) this.match(item, (actual as unknown[])[i], `${where}, ${i}`, more);
    } else if (isPlain(expected)) {
      const [operator = '', operand] = Object.entries(expected)[0] ?? [];
      if (operator === '$$exists') hold(operand === (actual !== undefined));
      else if (operator === '$$unsetOrMatches') actual === undefined || this.match(operand, actual, where, more);
      else if (operator === '$$sessionLsid') hold(isDeepStrictEqual(plain(this.lsids.get(operand)), plain(actual)));
      else if (operator === '$$type') hold([operand].flat().some((type) => isOfType(type, actual)));
      else if (operator === '$$matchesEntity') this.match(this.get(operand), actual, where, more);
      else if (operator.startsWith('$$')) throw new NotRun(`the matching operator ${operator}`);
      else {
        hold(isPlain(actual));
        for (const [field, value] of Object.entries(expected)) this.match(value, (actual as Document)[field], `${where}, ${field}`, inside);
        hold(more !== 'nowhere' || Object.entries(actual as Document).every(([field, value]) => value === undefined || field in expected));
      }
    } else hold(isDeepStrictEqual(plain(expected), plain(actual)));
  }
}

const show = (value: unknown) => BSON.EJSON.stringify(value)?.slice(0, 2000);

const isPlain = (value: unknown): value is Document =>
  typeof value === 'object' && value !== null && !('_bsontype' in value) && !(value instanceof Date) && !Array.isArray(value);

/** A sort order or the key of an index is a Map in the driver's events. */
function withoutMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMaps);
  if (!(value instanceof Map) && !isPlain(value)) return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(entries.map(([field, item]) => [field, withoutMaps(item)]));
}

/** Values whose numbers are all of one type. */
const plain = (value: unknown) =>
  JSON.parse(BSON.EJSON.stringify({ value: typeof value === 'bigint' ? Number(value) : value }, { relaxed: true }));

function isOfType(type: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (/^(int|long|double|number)$/.test(type)) return ['number', 'bigint'].includes(typeof value) || value instanceof BSON.Long;
  if (type === 'objectId') return value instanceof ObjectId;
  if (type === 'date') return value instanceof Date;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isPlain(value);
  if (type === 'binData') return value instanceof BSON.Binary;
  return typeof value === type.replace('bool', 'boolean').replace('booleanean', 'boolean');
}

/** What the driver writes in another way. */
function toOptions(given: Document): Document {
  const { readPreference, returnDocument, readConcern, defaultTransactionOptions, ...options } = given;
  if (readPreference) {
    const mode = readPreference.mode[0].toLowerCase() + readPreference.mode.slice(1);
    options.readPreference = new ReadPreference(mode, readPreference.tagSets, { maxStalenessSeconds: readPreference.maxStalenessSeconds });
  }
  if (returnDocument) options.returnDocument = returnDocument.toLowerCase();
  if (readConcern && Object.keys(readConcern).length) options.readConcern = readConcern;
  if (defaultTransactionOptions) options.defaultTransactionOptions = toOptions(defaultTransactionOptions);
  return options;
}

type Operation<T> = (target: T, args: Document, run: Run) => unknown;

/** "Operations", by their names in the specifications. */
const operations: Record<string, Operation<never>> = {
  ...({
    aggregate: (c, { pipeline, ...o }) => c.aggregate(pipeline, o).toArray(),
    bulkWrite: (c, { requests, ...o }) => c.bulkWrite(requests, o),
    count: (c, { filter, ...o }) => c.count(filter, o),
    countDocuments: (c, { filter, ...o }) => c.countDocuments(filter, o),
    createFindCursor: async (c, { filter, ...o }) => {
      const cursor = c.find(filter, o);
      await cursor.hasNext();
      return cursor;
    },
    createIndex: (c, { keys, ...o }) => c.createIndex(keys, o),
    deleteMany: (c, { filter, ...o }) => c.deleteMany(filter, o),
    deleteOne: (c, { filter, ...o }) => c.deleteOne(filter, o),
    distinct: (c, { fieldName, filter = {}, ...o }) => c.distinct(fieldName, filter, o),
    dropIndex: (c, { name, ...o }) => c.dropIndex(name, o),
    estimatedDocumentCount: (c, o) => c.estimatedDocumentCount(o),
    find: (c, { filter, ...o }) => c.find(filter, o).toArray(),
    findOne: (c, { filter, ...o }) => c.findOne(filter, o),
    findOneAndDelete: (c, { filter, ...o }) => c.findOneAndDelete(filter, o),
    findOneAndReplace: (c, { filter, replacement, ...o }) => c.findOneAndReplace(filter, replacement, o),
    findOneAndUpdate: (c, { filter, update, ...o }) => c.findOneAndUpdate(filter, update, o),
    insertMany: (c, { documents, ...o }) => c.insertMany(documents, o),
    insertOne: (c, { document, ...o }) => c.insertOne(document, o),
    listIndexes: (c, o) => c.listIndexes(o).toArray(),
    listIndexNames: async (c, o) => (await c.listIndexes(o).toArray()).map(({ name }) => name),
    replaceOne: (c, { filter, replacement, ...o }) => c.replaceOne(filter, replacement, o),
    updateMany: (c, { filter, update, ...o }) => c.updateMany(filter, update, o),
    updateOne: (c, { filter, update, ...o }) => c.updateOne(filter, update, o),
  } satisfies Record<string, Operation<Collection>>),
  ...({
    createCollection: (db, { collection, ...o }) => db.createCollection(collection, o),
    dropCollection: (db, { collection, ...o }) => db.dropCollection(collection, o),
    listCollections: (db, { filter, ...o }) => db.listCollections(filter, o).toArray(),
    listCollectionNames: async (db, { filter, ...o }) =>
      (await db.listCollections(filter, { ...o, nameOnly: true }).toArray()).map(({ name }) => name),
    modifyCollection: (db, { collection, ...o }) => db.command({ collMod: collection, ...o }),
    runCommand: (db, { command, commandName: _, ...o }) => db.command(command, o),
  } satisfies Record<string, Operation<Db>>),
  ...({
    listDatabases: async (client, o) => (await client.db().admin().listDatabases(o)).databases,
    listDatabaseNames: async (client, o) =>
      (
        await client
          .db()
          .admin()
          .listDatabases({ ...o, nameOnly: true })
      ).databases.map(({ name }) => name),
    createChangeStream: async (watched, { pipeline, ...o }) => {
      const stream = watched.watch(pipeline, o);
      try {
        await stream.tryNext();
      } finally {
        await stream.close();
      }
    },
  } satisfies Record<string, Operation<MongoClient>>),
  ...({
    abortTransaction: (session) => session.abortTransaction(),
    commitTransaction: (session) => session.commitTransaction(),
    endSession: (session) => session.endSession(),
    startTransaction: (session, o) => session.startTransaction(o),
    withTransaction: (session, { callback, ...o }, run) =>
      session.withTransaction(async () => {
        for (const operation of callback) await run.operation(operation, true);
      }, o),
  } satisfies Record<string, Operation<ClientSession>>),
  ...({
    close: (cursor) => cursor.close(),
    iterateUntilDocumentOrError: (cursor) => cursor.next(),
  } satisfies Record<string, Operation<AbstractCursor>>),
  ...({
    download: (bucket, { id }) => bucket.openDownloadStream(id).toArray(),
    downloadByName: (bucket, { filename }) => bucket.openDownloadStreamByName(filename).toArray(),
  } satisfies Record<string, Operation<GridFSBucket>>),
  ...({
    failPoint: (run, { failPoint }) =>
      run.internal
        .db('admin')
        .command(failPoint)
        .catch((error) => {
          throw new NotRun(error.message);
        }),
    assertCollectionExists: async (run, args) => run.match(true, await hasCollection(run, args), 'the collection is there'),
    assertCollectionNotExists: async (run, args) => run.match(false, await hasCollection(run, args), 'the collection is there'),
    assertIndexExists: async (run, args) => run.match(true, await hasIndex(run, args), 'the index is there'),
    assertIndexNotExists: async (run, args) => run.match(false, await hasIndex(run, args), 'the index is there'),
    assertSessionTransactionState: (run, { session, state }) => {
      const { transaction } = run.get<ClientSession & { transaction: Document }>(session);
      run.match(state === 'none' ? 'no' : state, transaction.state.toLowerCase().replace(/_?transaction_?/, ''), 'the state');
    },
    assertSessionDirty: (run, { session }) => run.match(true, run.get<ClientSession>(session).serverSession?.isDirty, 'dirty'),
    assertSessionNotDirty: (run, { session }) => run.match(false, run.get<ClientSession>(session).serverSession?.isDirty, 'dirty'),
    assertSameLsidOnLastTwoCommands: (run, { client = 'client' }) => run.match(true, sameLsid(run.commands(client)), 'same session'),
    assertDifferentLsidOnLastTwoCommands: (run, { client = 'client' }) => run.match(false, sameLsid(run.commands(client)), 'same session'),
  } satisfies Record<string, Operation<Run>>),
};
operations.watch = operations.createChangeStream!;
operations.download_by_name = operations.downloadByName!;

async function hasCollection(run: Run, args: Document): Promise<boolean> {
  const { databaseName, collectionName, database = databaseName, collection = collectionName } = args;
  return (await run.internal.db(database).listCollections({ name: collection }).toArray()).length > 0;
}

async function hasIndex(run: Run, args: Document): Promise<boolean> {
  const { databaseName, collectionName, database = databaseName, collection = collectionName, indexName, index = indexName } = args;
  return (await run.internal.db(database).collection(collection).listIndexes().toArray()).some(({ name }) => name === index);
}

function sameLsid(commands: Document[]): boolean {
  const [one, other] = commands.slice(-2).map(({ lsid }) => plain(lsid));
  return isDeepStrictEqual(one, other);
}
