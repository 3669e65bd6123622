import type { Long } from 'bson';
import { encodeItem, parsePipeline, run } from './aggregate.ts';
import { type Doc, encode, type Value } from './bson.ts';
import { type Collection, createCollection, dropCollection } from './catalog.ts';
import { CommandError, failedToParse, unsupported } from './errors.ts';
import { parseProjection, parseSort, select } from './find.ts';
import { indexCommands } from './index-commands.ts';
import { encodeKey } from './keys.ts';
import { nonNegative, type Options, type Parsed, parseOptions, required } from './options.ts';
import { valuesAt } from './paths.ts';
import { Examined, type Plan, type Row } from './planner.ts';
import { parseFilter } from './query.ts';
import type { Cursors, Session, Sessions } from './sessions.ts';
import type { Store, TransactionView, View } from './store.ts';
import type { Reply } from './wire.ts';
import { collectionFor, insertOne, parseChange, projected, removeRow, rowsFor, updateRow, upsert } from './writes.ts';

/** What a command is run with. */
export interface Context {
  store: Store;
  database: string;
  /** The newest state, or the transaction's. */
  view: View;
  session: Session | undefined;
  transaction: TransactionView | undefined;
  sessions: Sessions;
  cursors: Cursors;
  /** When `maxTimeMS` ends, in ms since the epoch. */
  deadline: number;
  /** Runs a write: in the transaction, once if it is retryable, or by itself. The answer comes when it is on disk. */
  write: (run: (view: View) => Reply) => Promise<Reply>;
}

export interface Command {
  options: Options;
  /** Whether it may be part of a multi-document transaction. */
  inTransaction?: boolean;
  /** Whether a retryable write may be one. */
  writes?: boolean;
  run: (context: Context, command: Doc) => Reply | Promise<Reply>;
}

/** Joins a command's options with a function that gets them parsed. */
export function command<T extends Options>(
  name: string,
  options: T,
  run: (context: Context, options: Parsed<T>) => Reply | Promise<Reply>,
  allows: { inTransaction?: boolean; writes?: boolean } = {},
): [string, Command] {
  return [name, { options, ...allows, run: (context, doc) => run(context, parseOptions(name, doc, options)) }];
}

const inTransaction = { inTransaction: true };
const writes = { inTransaction: true, writes: true };

function namespaceOf(context: Context, collection: string | undefined): string {
  if (!collection) throw new CommandError(73, `Invalid namespace specified '${context.database}.'`);
  return `${context.database}.${collection}`;
}

const findOptions = {
  find: 'string',
  filter: 'doc',
  projection: 'doc',
  sort: 'doc',
  skip: 'int',
  limit: 'int',
  batchSize: 'int',
  singleBatch: 'bool',
  hint: 'docOrString',
  allowDiskUse: 'bool',
  allowPartialResults: 'bool',
  noCursorTimeout: 'bool',
  collation: 'refused',
  let: 'refused',
  min: 'refused',
  max: 'refused',
  returnKey: 'refused',
  showRecordId: 'refused',
  tailable: 'refused',
  awaitData: 'refused',
  oplogReplay: 'refused',
} as const;

function selectionOf(
  options: { filter?: Doc; query?: Doc; sort?: Doc; skip?: number; limit?: number; hint?: Doc | string },
  owner: string,
) {
  return {
    filter: parseFilter(options.filter ?? options.query ?? new Map()),
    sort: parseSort(options.sort),
    skip: nonNegative(options.skip, owner, 'skip'),
    limit: nonNegative(options.limit, owner, 'limit'),
    hint: options.hint,
  };
}

const find = command(
  'find',
  findOptions,
  (context, options) => {
    const namespace = namespaceOf(context, options.find);
    const projection = parseProjection(options.projection);
    const examined = new Examined(context.deadline);
    const { rows } = select(context.view, context.view.collection(namespace), selectionOf(options, 'find'), examined);
    const batchSize = nonNegative(options.batchSize, 'find', 'batchSize');
    const batch = context.cursors.first(namespace, bytesOf(rows, projection), context, {
      batchSize,
      singleBatch: options.singleBatch === true || (options.limit !== undefined && options.limit > 0 && batchSize === options.limit),
      keeps: options.noCursorTimeout,
      examined,
    });
    return { cursor: batch };
  },
  inTransaction,
);

function* bytesOf(rows: Iterable<Row>, projection: ReturnType<typeof parseProjection>): Generator<Buffer> {
  for (const row of rows) yield projection ? encode(projection(row.doc)) : row.bytes;
}

const aggregateOptions = {
  aggregate: 'any',
  pipeline: 'array',
  cursor: 'doc',
  explain: 'bool',
  hint: 'docOrString',
  allowDiskUse: 'bool',
  bypassDocumentValidation: 'bool',
  collation: 'refused',
  let: 'refused',
} as const;

const aggregate = command(
  'aggregate',
  aggregateOptions,
  (context, options) => {
    const pipeline = parsePipeline(required(options.pipeline, 'aggregate', 'pipeline'));
    if (typeof options.aggregate !== 'string') throw unsupported('aggregate without a collection');
    const namespace = namespaceOf(context, options.aggregate);
    if (options.explain) return explainAggregate(context, namespace, pipeline, 'queryPlanner', options.hint);
    if (!options.cursor) throw failedToParse("The 'cursor' option is required, except for aggregate with the explain argument");
    const { batchSize } = parseOptions('aggregate.cursor', options.cursor, { batchSize: 'int' });
    const examined = new Examined(context.deadline);
    const items = run(pipeline, namespace, { view: context.view, database: context.database, examined, hint: options.hint });
    const first = { batchSize: nonNegative(batchSize, 'aggregate', 'batchSize'), examined };
    return { cursor: context.cursors.first(namespace, encoded(items), context, first) };
  },
  inTransaction,
);

function* encoded(items: ReturnType<typeof run>): Generator<Buffer> {
  for (const item of items) yield encodeItem(item);
}

const getMore = command(
  'getMore',
  { getMore: 'any', collection: 'string', batchSize: 'int' },
  (context, options) => {
    const id = options.getMore as Long;
    if (id?._bsontype !== 'Long') throw new CommandError(14, "BSON field 'getMore.getMore' is the wrong type, expected type 'long'");
    const batchSize = nonNegative(options.batchSize, 'getMore', 'batchSize') || Number.POSITIVE_INFINITY;
    return { cursor: context.cursors.next(id, namespaceOf(context, options.collection), context, batchSize) };
  },
  inTransaction,
);

const killCursors = command(
  'killCursors',
  { killCursors: 'string', cursors: 'array' },
  (context, options) => {
    const namespace = namespaceOf(context, options.killCursors);
    const ids = required(options.cursors, 'killCursors', 'cursors') as Long[];
    const killed = ids.map((id) => context.cursors.kill(id, namespace));
    return {
      cursorsKilled: ids.filter((_, i) => killed[i]),
      cursorsNotFound: ids.filter((_, i) => !killed[i]),
      cursorsAlive: [],
      cursorsUnknown: [],
    };
  },
  inTransaction,
);

const count = command(
  'count',
  { count: 'string', query: 'doc', limit: 'int', skip: 'int', hint: 'docOrString', collation: 'refused', fields: 'any' },
  (context, options) => {
    const collection = context.view.collection(namespaceOf(context, options.count));
    const limit = options.limit === undefined ? undefined : Math.abs(options.limit);
    const { rows } = select(
      context.view,
      collection,
      { ...selectionOf({ ...options, limit } as typeof options, 'count') },
      new Examined(context.deadline),
    );
    let n = 0;
    for (const _ of rows) n++;
    return { n };
  },
);

const distinct = command(
  'distinct',
  { distinct: 'string', key: 'string', query: 'doc', hint: 'docOrString', collation: 'refused' },
  (context, options) => {
    const collection = context.view.collection(namespaceOf(context, options.distinct));
    const key = required(options.key, 'distinct', 'key');
    const { rows } = select(context.view, collection, selectionOf(options, 'distinct'), new Examined(context.deadline));
    const values = new Map<string, Value>();
    for (const row of rows) {
      for (const value of valuesAt(row.doc, key)) {
        const encodedValue = encodeKey([value]).toString('latin1');
        if (!values.has(encodedValue)) values.set(encodedValue, value);
      }
    }
    return { values: [...values.values()] };
  },
  inTransaction,
);

/** Runs the parts of a bulk write; the error of a part is reported, and ends the bulk when it is ordered. */
function bulk<T>(parts: readonly T[], ordered: boolean | undefined, apply: (part: T, index: number) => void): Reply[] {
  const errors: Reply[] = [];
  for (const [index, part] of parts.entries()) {
    try {
      apply(part, index);
    } catch (error) {
      // What is to be retried as a whole is no error of one part.
      if (!(error instanceof CommandError) || error.labels.length || error.code === 50) throw error;
      errors.push({ index, code: error.code, errmsg: error.message, ...error.details });
      if (ordered ?? true) break;
    }
  }
  return errors;
}

const maxBulk = 100_000;

function checkBulkSize(length: number): void {
  if (!length || length > maxBulk)
    throw new CommandError(16, `Write batch sizes must be between 1 and ${maxBulk}. Got ${length} operations.`);
}

const insert = command(
  'insert',
  { insert: 'string', documents: 'docs', ordered: 'bool', bypassDocumentValidation: 'bool' },
  (context, options) => {
    const namespace = namespaceOf(context, options.insert);
    const documents = required(options.documents, 'insert', 'documents');
    checkBulkSize(documents.length);
    return context.write((view) => {
      const collection = collectionFor(view, namespace);
      let n = 0;
      const writeErrors = bulk(documents, options.ordered, (document) => {
        insertOne(view, collection, document);
        n++;
      });
      return { n, ...(writeErrors.length && { writeErrors }) };
    });
  },
  writes,
);

const updatePart = {
  q: 'doc',
  u: 'docOrArray',
  multi: 'bool',
  upsert: 'bool',
  arrayFilters: 'docs',
  hint: 'docOrString',
  c: 'refused',
  collation: 'refused',
} as const;

const update = command(
  'update',
  { update: 'string', updates: 'docs', ordered: 'bool', bypassDocumentValidation: 'bool', let: 'refused' },
  (context, options) => {
    const namespace = namespaceOf(context, options.update);
    const parts = required(options.updates, 'update', 'updates').map((part) => parseOptions('update.updates', part, updatePart));
    checkBulkSize(parts.length);
    return context.write((view) => {
      let [n, nModified] = [0, 0];
      const upserted: Reply[] = [];
      const writeErrors = bulk(parts, options.ordered, ({ q, u, multi, upsert: inserts, arrayFilters, hint }, index) => {
        const filter = parseFilter(required(q, 'update.updates', 'q'));
        const change = parseChange(u, arrayFilters);
        if (multi && change.replacement) throw failedToParse('multi update is not supported for replacement-style update');
        const selection = { filter, hint, limit: multi ? undefined : 1 };
        const rows = rowsFor(view, view.collection(namespace), selection, new Examined(context.deadline));
        for (const row of rows) {
          if (updateRow(view, view.collection(namespace)!, row, change).modified) nModified++;
          n++;
        }
        if (rows.length || !inserts) return;
        upserted.push({ index, _id: upsert(view, collectionFor(view, namespace), filter, change).get('_id') });
        n++;
      });
      return { n, nModified, ...(upserted.length && { upserted }), ...(writeErrors.length && { writeErrors }) };
    });
  },
  writes,
);

const deletePart = { q: 'doc', limit: 'int', hint: 'docOrString', collation: 'refused' } as const;

const remove = command(
  'delete',
  { delete: 'string', deletes: 'docs', ordered: 'bool', let: 'refused' },
  (context, options) => {
    const namespace = namespaceOf(context, options.delete);
    const parts = required(options.deletes, 'delete', 'deletes').map((part) => parseOptions('delete.deletes', part, deletePart));
    checkBulkSize(parts.length);
    return context.write((view) => {
      let n = 0;
      const writeErrors = bulk(parts, options.ordered, ({ q, limit, hint }) => {
        if (limit !== 0 && limit !== 1) throw failedToParse(`The limit field in delete objects must be 0 or 1. Got ${limit}`);
        const collection = view.collection(namespace);
        const selection = { filter: parseFilter(required(q, 'delete.deletes', 'q')), hint, limit };
        for (const row of rowsFor(view, collection, selection, new Examined(context.deadline))) {
          removeRow(view, collection!, row);
          n++;
        }
      });
      return { n, ...(writeErrors.length && { writeErrors }) };
    });
  },
  writes,
);

const findAndModifyOptions = {
  findAndModify: 'string',
  query: 'doc',
  sort: 'doc',
  fields: 'doc',
  remove: 'bool',
  update: 'docOrArray',
  new: 'bool',
  upsert: 'bool',
  arrayFilters: 'docs',
  hint: 'docOrString',
  bypassDocumentValidation: 'bool',
  collation: 'refused',
  let: 'refused',
} as const;

const findAndModify = command(
  'findAndModify',
  findAndModifyOptions,
  (context, options) => {
    const namespace = namespaceOf(context, options.findAndModify);
    if (options.remove && options.update) throw failedToParse("Cannot specify both an 'update' and 'remove'=true");
    if (options.remove && options.upsert) throw failedToParse("Cannot specify both 'upsert'=true and 'remove'=true");
    if (options.remove && options.new)
      throw failedToParse("Cannot specify both 'new'=true and 'remove'=true; 'remove' always returns the deleted document");
    if (!options.remove && !options.update) throw failedToParse("Either an 'update' or 'remove'=true must be specified");
    const selection = { ...selectionOf(options, 'findAndModify'), limit: 1 };
    const change = options.remove ? undefined : parseChange(options.update, options.arrayFilters);
    const projection = parseProjection(options.fields);
    return context.write((view) => {
      const [row] = rowsFor(view, view.collection(namespace), selection, new Examined(context.deadline));
      const collection = view.collection(namespace);
      if (row && !change) {
        removeRow(view, collection!, row);
        return { lastErrorObject: { n: 1 }, value: projected(row.doc, projection) };
      }
      if (row) {
        const { doc } = updateRow(view, collection!, row, change!);
        return { lastErrorObject: { n: 1, updatedExisting: true }, value: projected(options.new ? doc : row.doc, projection) };
      }
      if (!change) return { lastErrorObject: { n: 0 }, value: null };
      if (!options.upsert) return { lastErrorObject: { n: 0, updatedExisting: false }, value: null };
      const doc = upsert(view, collectionFor(view, namespace), selection.filter, change);
      return {
        lastErrorObject: { n: 1, updatedExisting: false, upserted: doc.get('_id') },
        value: options.new ? projected(doc, projection) : null,
      };
    });
  },
  writes,
);

const create = command(
  'create',
  {
    create: 'string',
    capped: 'refused',
    timeseries: 'refused',
    clusteredIndex: 'refused',
    viewOn: 'refused',
    pipeline: 'refused',
    validator: 'refused',
    validationLevel: 'refused',
    validationAction: 'refused',
    collation: 'refused',
    storageEngine: 'refused',
    indexOptionDefaults: 'refused',
    expireAfterSeconds: 'refused',
    encryptedFields: 'refused',
    changeStreamPreAndPostImages: 'refused',
    size: 'refused',
    max: 'refused',
    autoIndexId: 'refused',
  },
  (context, options) => {
    const namespace = namespaceOf(context, options.create);
    return context.write((view) => {
      if (!view.collection(namespace)) createCollection(view, namespace);
      // With equal options, and there are none, making a collection twice is no error inside or outside a transaction since MongoDB 7.0.
      return {};
    });
  },
  inTransaction,
);

const drop = command('drop', { drop: 'string' }, (context, options) => {
  const namespace = namespaceOf(context, options.drop);
  return context.write((view) => {
    const collection = view.collection(namespace);
    // Dropping what is not there succeeds since MongoDB 7.0.
    if (!collection) return {};
    dropCollection(view, collection);
    return { nIndexesWas: collection.indexes.length, ns: namespace };
  });
});

const dropDatabase = command('dropDatabase', { dropDatabase: 'int' }, (context) =>
  context.write((view) => {
    const collections = collectionsOf(context);
    for (const collection of collections) dropCollection(view, collection);
    return collections.length ? { dropped: context.database } : {};
  }),
);

function collectionsOf({ store, database }: Context): Collection[] {
  return [...store.catalog.collections.values()].filter(({ namespace }) => namespace.startsWith(`${database}.`));
}

function planTree(plan: Plan | undefined): Reply {
  if (!plan) return { stage: 'EOF' };
  if (plan.branches) {
    const either = { stage: 'OR', inputStages: plan.branches.map(planTree) };
    return plan.sorted ? either : { stage: 'SORT', inputStage: either };
  }
  const direction = plan.reverse ? 'backward' : 'forward';
  const read: Reply = plan.index
    ? {
        stage: 'FETCH',
        inputStage: {
          stage: 'IXSCAN',
          indexName: plan.index.name,
          keyPattern: plan.index.specification.get('key'),
          isMultiKey: plan.index.multikey.includes(true),
          isUnique: plan.index.unique,
          isSparse: plan.index.sparse,
          isPartial: plan.index.partial !== undefined,
          direction,
          ranges: plan.ranges.length,
        },
      }
    : { stage: 'COLLSCAN', direction };
  return plan.sorted ? read : { stage: 'SORT', inputStage: read };
}

function statistics(examined: Examined, nReturned: number, started: number): Reply {
  return {
    executionSuccess: true,
    nReturned,
    executionTimeMillis: Math.round(performance.now() - started),
    totalKeysExamined: examined.keys,
    totalDocsExamined: examined.documents,
  };
}

function explainAggregate(
  context: Context,
  namespace: string,
  pipeline: ReturnType<typeof parsePipeline>,
  verbosity: string,
  hint?: Doc | string,
): Reply {
  const examined = new Examined(context.deadline);
  const plans: Reply[] = [];
  const started = performance.now();
  const onPlan = (of: string, plan: Plan | undefined) => plans.push({ namespace: of, winningPlan: planTree(plan) });
  const items = run(pipeline, namespace, { view: context.view, database: context.database, examined, hint, onPlan });
  let n = 0;
  if (verbosity !== 'queryPlanner') for (const _ of items) n++;
  return {
    queryPlanner: { ...plans[0], ...(plans.length > 1 && { plans }) },
    ...(verbosity !== 'queryPlanner' && { executionStats: statistics(examined, n, started) }),
  };
}

const explain = command('explain', { explain: 'doc', verbosity: 'string' }, (context, options) => {
  const explained = required(options.explain, 'explain', 'explain');
  const verbosity = options.verbosity ?? 'allPlansExecution';
  if (!['queryPlanner', 'executionStats', 'allPlansExecution'].includes(verbosity))
    throw failedToParse(`verbosity string must be one of {'queryPlanner', 'executionStats', 'allPlansExecution'}`);
  const [name] = explained.keys();
  const ignored = new Set(['$db', 'lsid', '$readPreference', 'readConcern', 'comment', 'maxTimeMS']);
  if (name === 'aggregate') {
    const parsed = parseOptions('aggregate', explained, aggregateOptions, ignored);
    const pipeline = parsePipeline(required(parsed.pipeline, 'aggregate', 'pipeline'));
    return explainAggregate(context, namespaceOf(context, parsed.aggregate as string), pipeline, verbosity, parsed.hint);
  }
  if (name !== 'find') throw unsupported(`explain of ${name}`);
  const parsed = parseOptions('find', explained, findOptions, ignored);
  const namespace = namespaceOf(context, parsed.find);
  const examined = new Examined(context.deadline);
  const started = performance.now();
  const { plan, rows } = select(context.view, context.view.collection(namespace), selectionOf(parsed, 'find'), examined);
  let n = 0;
  if (verbosity !== 'queryPlanner') for (const _ of rows) n++;
  return {
    queryPlanner: { namespace, winningPlan: planTree(plan), rejectedPlans: [] },
    ...(verbosity !== 'queryPlanner' && { executionStats: statistics(examined, n, started) }),
  };
});

/** Every command this server knows, apart from those about the connection itself (`server.ts`). */
export const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  find,
  aggregate,
  getMore,
  killCursors,
  count,
  distinct,
  insert,
  update,
  remove,
  findAndModify,
  ['findandmodify', findAndModify[1]],
  create,
  drop,
  dropDatabase,
  explain,
  ...indexCommands,
]);
