import { Long } from 'bson';
import { encoded, mapped, parsePipeline, run } from './aggregate.ts';
import { type Doc, maxDocumentBytes, type Value } from './bson.ts';
import { type Command, type Context, command, namespaceOf, transactionalCommand } from './command.ts';
import { CommandError, failedToParse, typeMismatch, unsupported } from './errors.ts';
import { count, parseProjection, parseSort, type Selection, select } from './find.ts';
import { keyText } from './keys.ts';
import { type Parsed, parseOptions, required } from './options.ts';
import { partsOf, valuesAt } from './paths.ts';
import type { Plan } from './planner.ts';
import { parseFilter } from './query.ts';
import { type OrPause, pause, type Row } from './scan.ts';
import type { Reply } from './wire.ts';

const findOptions = {
  find: 'string',
  filter: 'doc',
  projection: 'doc',
  sort: 'doc',
  skip: 'count',
  limit: 'count',
  batchSize: 'count',
  singleBatch: 'bool',
  hint: 'string',
  allowDiskUse: 'bool',
} as const;

function find(context: Context, options: Parsed<typeof findOptions>): Iterable<OrPause<Buffer>> {
  const stages = options.projection?.size ? [mapped(parseProjection(options.projection))] : [];
  return encoded(run({ ...selectionOf(options), stages }, namespaceOf(context, options.find), context));
}

interface SelectionOptions extends Omit<Selection, 'filter' | 'sort'> {
  filter?: Doc;
  sort?: Doc;
}

export function selectionOf({ filter = new Map(), sort = new Map(), ...rest }: SelectionOptions): Selection {
  return { ...rest, filter: parseFilter(filter), sort: parseSort(sort) };
}

const aggregateOptions = {
  aggregate: 'any',
  pipeline: 'array',
  cursor: 'doc',
  hint: 'string',
  allowDiskUse: 'bool',
} as const;

function aggregate(context: Context, options: Parsed<typeof aggregateOptions>): Iterable<OrPause<Buffer>> {
  if (typeof options.aggregate !== 'string') throw unsupported('aggregate without a collection');
  const pipeline = parsePipeline(required(options.pipeline, 'aggregate.pipeline'));
  return encoded(run({ ...pipeline, hint: options.hint }, namespaceOf(context, options.aggregate), context));
}

/** Draws everything from a statement that has no cursor, and gives way to others. Returns what it returns. */
async function complete<T, R>(
  { examined, view }: Context,
  items: Generator<OrPause<T>, R>,
  onItem: (item: T) => void = () => {},
): Promise<R> {
  try {
    for (let step = items.next(); ; step = items.next()) {
      if (step.done) return step.value;
      if (step.value === pause) await examined.rest(view);
      else onItem(step.value as T);
    }
  } finally {
    items.return(undefined as R);
    examined.pause();
  }
}

/** MongoDB returns at most as many values as fit into a document. */
function* distinct(rows: Iterable<OrPause<Row>>, path: string): Generator<typeof pause, Value[]> {
  const parts = partsOf(path);
  const values = new Map<string, Value>();
  let bytes = 0;
  for (const row of rows) {
    if (row === pause) {
      yield pause;
      continue;
    }
    for (const value of valuesAt(row.doc, parts)) {
      const text = keyText(value);
      if (!values.has(text)) bytes += text.length + 16;
      if (bytes > maxDocumentBytes) throw new CommandError(17217, 'distinct too big, 16mb cap');
      values.set(text, value);
    }
  }
  return [...values.values()];
}

/** Runs a find or an aggregate, unless only the plan is requested, and returns how it was run. */
async function explain(context: Context, explained: Doc, verbosity = 'allPlansExecution'): Promise<Reply> {
  if (!/^(queryPlanner|executionStats|allPlansExecution)$/.test(verbosity)) throw failedToParse(`unknown verbosity ${verbosity}`);
  const [name] = explained.keys();
  const started = performance.now();
  const own: Doc = new Map(
    [...explained].filter(([field]) => !['$db', 'lsid', '$readPreference', 'readConcern', 'maxTimeMS'].includes(field)),
  );
  if (name !== 'find' && name !== 'aggregate') throw unsupported(`explain of ${name}`);
  const documents =
    name === 'find' ? find(context, parseOptions(name, own, findOptions)) : aggregate(context, parseOptions(name, own, aggregateOptions));
  let nReturned = 0;
  const all = (function* () {
    yield* documents;
  })();
  if (verbosity !== 'queryPlanner') await complete(context, all, () => nReturned++);
  const { plans, keys, documents: totalDocsExamined } = context.examined;
  const [winningPlan, ...others] = plans.map(planTree);
  const queryPlanner = { winningPlan, rejectedPlans: [], ...(others.length && { plansOfUnions: others }) };
  if (verbosity === 'queryPlanner') return { queryPlanner };
  const executionTimeMillis = Math.round(performance.now() - started);
  return { queryPlanner, executionStats: { nReturned, executionTimeMillis, totalKeysExamined: keys, totalDocsExamined } };
}

function planTree(plan: Plan | undefined): Reply {
  if (!plan) return { stage: 'EOF' };
  const { index, ranges, isReverse, isSorted, mergesAfter } = plan;
  const direction = isReverse ? 'backward' : 'forward';
  if (!isSorted) return { stage: 'SORT', inputStage: planTree({ ...plan, isSorted: true }) };
  if (!index) return { stage: 'COLLSCAN', direction };
  const { name: indexName, specification, multikey, unique: isUnique } = index;
  const keyPattern = specification.get('key');
  const inputStage = { stage: 'IXSCAN', indexName, keyPattern, isMultiKey: multikey.includes(true), isUnique, direction };
  const found = { ...inputStage, ranges: ranges.length };
  return { stage: 'FETCH', inputStage: mergesAfter ? { stage: 'SORT_MERGE', inputStage: found } : found };
}

export const readCommands: [string, Command][] = [
  transactionalCommand('find', findOptions, (context, options) => {
    const { limit = 0, batchSize, singleBatch } = options;
    const isSingleBatch = singleBatch === true || (limit > 0 && batchSize === limit);
    const namespace = namespaceOf(context, options.find);
    return context.cursors.first(namespace, find(context, options), context, batchSize, isSingleBatch);
  }),
  transactionalCommand('aggregate', aggregateOptions, (context, options) => {
    const { batchSize } = parseOptions('aggregate.cursor', required(options.cursor, 'aggregate.cursor'), { batchSize: 'count' });
    const documents = aggregate(context, options);
    return context.cursors.first(namespaceOf(context, options.aggregate as string), documents, context, batchSize);
  }),
  transactionalCommand(
    'getMore',
    { getMore: 'any', collection: 'string', batchSize: 'count' },
    (context, { getMore: id, collection, batchSize }) => {
      if (!(id instanceof Long)) throw typeMismatch("BSON field 'getMore.getMore' is the wrong type, expected type 'long'");
      return context.cursors.next(id, namespaceOf(context, collection), context, batchSize || Number.POSITIVE_INFINITY);
    },
  ),
  transactionalCommand('killCursors', { killCursors: 'string', cursors: 'array' }, (context, { killCursors, cursors }) => {
    const namespace = namespaceOf(context, killCursors);
    const [cursorsKilled, cursorsNotFound]: Value[][] = [[], []];
    for (const id of required(cursors, 'killCursors.cursors')) {
      (context.cursors.kill(id as Long, namespace) ? cursorsKilled! : cursorsNotFound!).push(id);
    }
    return { cursorsKilled, cursorsNotFound, cursorsAlive: [], cursorsUnknown: [] };
  }),
  command('count', { count: 'string', query: 'doc', limit: 'int', skip: 'count', hint: 'string' }, async (context, options) => {
    const collection = context.view.collection(namespaceOf(context, options.count));
    const selection = selectionOf({ ...options, filter: options.query ?? new Map(), limit: Math.abs(options.limit ?? 0) });
    return { n: await complete(context, count(context.view, collection, selection, context.examined)) };
  }),
  transactionalCommand('distinct', { distinct: 'string', key: 'string', query: 'doc' }, async (context, options) => {
    const collection = context.view.collection(namespaceOf(context, options.distinct));
    const selection = selectionOf({ filter: options.query ?? new Map() });
    const rows = select(context.view, collection, selection, context.examined);
    return { values: await complete(context, distinct(rows, required(options.key, 'distinct.key'))) };
  }),
  command('explain', { explain: 'doc', verbosity: 'string' }, (context, options) =>
    explain(context, required(options.explain, 'explain.explain'), options.verbosity),
  ),
];
