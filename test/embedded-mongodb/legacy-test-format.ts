import type { Document } from 'mongodb';

/**
 * Says a test file of one of the older formats in the unified format, so that one runner does for all.
 * Sources: the README files beside the tests of transactions, retryable reads, retryable writes and sessions ("Test Format"), and of CRUD ("Version 1").
 * What the format does not say but means: sessions end before events are compared, and commands may have more fields than are named.
 * Gives nothing for a file of any other format.
 */
export function toUnified(file: Document): Document | undefined {
  if (file.schemaVersion) return file;
  const isKnown = file.tests?.every(({ operations, operation, outcome }: Document) => operations || (operation?.name && outcome));
  if (!file.data || !isKnown) return undefined;
  const { database_name: databaseName = 'specifications', collection_name: collectionName = 'test', bucket_name: bucketName } = file;
  const data: Document = Array.isArray(file.data) ? { [collectionName]: file.data } : file.data;
  return {
    runOnRequirements: file.runOn?.map(({ topology, ...other }: Document) => ({ ...other, ...(topology && { topologies: topology }) })) ?? [
      { minServerVersion: file.minServerVersion, maxServerVersion: file.maxServerVersion },
    ],
    initialData: Object.entries(data).map(([name, documents]) => ({ databaseName, collectionName: name, documents })),
    tests: file.tests.map((test: Document) => {
      const entities = new Map<string, Document>();
      const operations = (test.operations ?? [{ ...test.operation, ...legacyResult(test.outcome) }]).map((operation: Document) =>
        toOperation(operation, entities),
      );
      const { collection } = test.outcome ?? {};
      return {
        description: test.description,
        skipReason: test.skipReason,
        createEntities: [
          { client: { id: 'client', uriOptions: test.clientOptions, observeEvents: ['commandStartedEvent'] } },
          { database: { id: 'database', client: 'client', databaseName } },
          { collection: { id: 'collection', database: 'database', collectionName } },
          { bucket: { id: 'gridfsbucket', database: 'database', bucketOptions: { bucketName } } },
          ...['session0', 'session1'].map((id) => ({ session: { id, client: 'client', sessionOptions: test.sessionOptions?.[id] } })),
          ...[...entities].map(([id, { object, options }]) =>
            object === 'database'
              ? { database: { id, client: 'client', databaseName, databaseOptions: options } }
              : { collection: { id, database: 'database', collectionName, collectionOptions: options } },
          ),
        ],
        operations: [
          ...(test.failPoint ? [{ name: 'failPoint', object: 'testRunner', arguments: { failPoint: test.failPoint } }] : []),
          ...operations,
          ...['session0', 'session1'].map((object) => ({ name: 'endSession', object })),
        ],
        expectEvents: test.expectations && [{ client: 'client', ignoreExtraFields: true, events: test.expectations.map(toEvent) }],
        outcome: collection && [{ databaseName, collectionName: collection.name ?? collectionName, documents: collection.data }],
      };
    }),
  };
}

const legacyResult = ({ error, result }: Document) => ({ error, ...(result !== undefined && { result }) });

const errorFields = ['errorContains', 'errorCode', 'errorCodeName', 'errorLabelsContain', 'errorLabelsOmit'];

function toOperation(operation: Document, entities: Map<string, Document>): Document {
  const { name, command_name: commandName, object = 'collection', collectionOptions, databaseOptions, error, result } = operation;
  const { options, callback, requests, ...other } = operation.arguments ?? {};
  const args: Document = { ...other, ...options, ...(commandName && { commandName }) };
  if (callback) args.callback = callback.operations.map((inner: Document) => toOperation(inner, entities));
  if (requests) args.requests = requests.map((request: Document) => ({ [request.name]: request.arguments }));
  const own = collectionOptions ?? databaseOptions;
  const id = own ? `${object} ${JSON.stringify(own)}` : object;
  if (own) entities.set(id, { object, options: own });
  const translated: Document = { name, object: id, arguments: args };
  const isError = error || (Object(result) === result && errorFields.some((field) => field in result));
  if (!isError) return 'result' in operation ? { ...translated, expectResult: orUnset(result) } : translated;
  const { ...partial } = result ?? {};
  const expectError: Document = { isError: true };
  for (const field of errorFields) {
    if (field in partial) expectError[field] = partial[field];
    delete partial[field];
  }
  if (Object.keys(partial).length) expectError.expectResult = orUnset(partial);
  return { ...translated, expectError };
}

/** What drivers need not tell ("optional" in the specification of CRUD) is compared if it is told. */
function orUnset(result: unknown): unknown {
  const optional = ['insertedId', 'insertedIds', 'insertedCount', 'upsertedCount', 'upsertedIds'];
  if (typeof result !== 'object' || result === null || Array.isArray(result)) return result;
  return Object.fromEntries(Object.entries(result).map(([k, v]) => [k, optional.includes(k) ? { $$unsetOrMatches: v } : v]));
}

function toEvent({ command_started_event: event }: Document): Document {
  const { command, command_name: commandName, database_name: databaseName } = event;
  return { commandStartedEvent: { command: toExpectation(command), commandName, databaseName } };
}

/** In a command null says that the field is not there, 42 that it is, and a session's name stands for its id. */
function toExpectation(value: unknown, field?: string): unknown {
  if (value === null) return { $$exists: false };
  if (value === 42 && field && ['afterClusterTime', 'recoveryToken', 'getMore'].includes(field)) return { $$exists: true };
  if (field === 'lsid') return { $$sessionLsid: value };
  if (Array.isArray(value)) return value.map((item) => toExpectation(item));
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value as Document).map(([name, item]) => [name, toExpectation(item, name)]));
}
