import { Double, Int32 } from 'bson';
import { type Doc, encode, isDoc, isNumber, toNumber, typeOf, type Value } from './bson.ts';
import { CommandError, typeMismatch, unsupported } from './errors.ts';
import { add, constant, type Expression, parseExpression } from './expression.ts';
import { parseProjection, parseSort, select, slice, sorted } from './find.ts';
import { compare, encodeKey } from './keys.ts';
import type { Examined, Plan } from './planner.ts';
import { type Filter, matches, parseFilter } from './query.ts';
import type { View } from './store.ts';

/** One document on its way through a pipeline; `bytes` is there as long as it is as stored. */
interface Item {
  doc: Doc;
  bytes?: Buffer;
}

/** What a pipeline reads with. */
interface Source {
  view: View;
  database: string;
  examined: Examined;
  hint?: Doc | string | undefined;
  /** Told about the plan of every collection that is read. */
  onPlan?: (namespace: string, plan: Plan | undefined) => void;
}

type Stage = (items: Iterable<Item>, source: Source) => Iterable<Item>;

/** The beginning of a pipeline that a collection is read with, so that it is planned like a find, and the stages after it. */
interface Pipeline {
  filter: Filter;
  sort: ReturnType<typeof parseSort>;
  skip: number;
  limit: number;
  stages: Stage[];
}

/** Compiles a pipeline. Every stage is checked before anything is read. */
export function parsePipeline(stages: Value[]): Pipeline {
  const specifications = stages.map((stage) => {
    if (!isDoc(stage)) throw typeMismatch("Each element of the 'pipeline' array must be an object");
    if (stage.size !== 1) throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.');
    return [...stage][0]!;
  });
  const pipeline: Pipeline = { filter: { kind: 'and', of: [] }, sort: undefined, skip: 0, limit: 0, stages: [] };
  const filters: Filter[] = [];
  let i = 0;
  for (; specifications[i]?.[0] === '$match'; i++) filters.push(parseMatch(specifications[i]![1]));
  if (specifications[i]?.[0] === '$sort') pipeline.sort = parseSortStage(specifications[i++]![1]);
  if (specifications[i]?.[0] === '$skip') pipeline.skip = count('$skip', specifications[i++]![1]);
  if (specifications[i]?.[0] === '$limit') pipeline.limit = count('$limit', specifications[i++]![1]);
  pipeline.filter = filters.length === 1 ? filters[0]! : { kind: 'and', of: filters };
  pipeline.stages = specifications.slice(i).map(([name, operand]) => {
    const make = stageMakers[name];
    if (make) return make(operand);
    throw knownStages.has(name) ? unsupported(`the stage ${name}`) : new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`);
  });
  return pipeline;
}

/** Runs a pipeline over a collection, reading as far as the answer is asked for. */
export function run(pipeline: Pipeline, namespace: string, source: Source): Iterable<Item> {
  const { plan, rows } = select(source.view, source.view.collection(namespace), { ...pipeline, hint: source.hint }, source.examined);
  source.onPlan?.(namespace, plan);
  return pipeline.stages.reduce<Iterable<Item>>((items, stage) => stage(items, source), rows);
}

function parseMatch(operand: Value): Filter {
  if (!isDoc(operand)) throw new CommandError(15959, 'the match filter must be an expression in an object');
  return parseFilter(operand);
}

function parseSortStage(operand: Value) {
  if (!isDoc(operand)) throw new CommandError(15973, 'the $sort key specification must be an object');
  const sort = parseSort(operand);
  if (!sort) throw new CommandError(15976, '$sort stage must have at least one sort key');
  return sort;
}

function count(name: string, operand: Value): number {
  const number = toNumber(operand);
  if (number === undefined || !Number.isInteger(number) || number < 0) {
    throw new CommandError(
      name === '$skip' ? 5107200 : 5107201,
      `invalid argument to ${name} stage: Expected a non-negative number in: ${name}`,
    );
  }
  if (name === '$limit' && number === 0) throw new CommandError(15958, 'the limit must be positive');
  return number;
}

function* map(items: Iterable<Item>, change: (doc: Doc) => Doc): Generator<Item> {
  for (const { doc } of items) yield { doc: change(doc) };
}

const stageMakers: Record<string, (operand: Value) => Stage> = {
  $match: (operand) => {
    const filter = parseMatch(operand);
    return function* (items) {
      for (const item of items) if (matches(filter, item.doc)) yield item;
    };
  },
  $sort: (operand) => {
    const sort = parseSortStage(operand);
    return (items) => sorted(items, sort);
  },
  $skip: (operand) => {
    const skip = count('$skip', operand);
    return (items) => slice(items, skip, Number.POSITIVE_INFINITY);
  },
  $limit: (operand) => {
    const limit = count('$limit', operand);
    return (items) => slice(items, 0, limit);
  },
  $project: (operand) => {
    if (!isDoc(operand)) throw new CommandError(15969, '$project specification must be an object');
    if (!operand.size) throw new CommandError(51272, 'projection specification must have at least one field');
    const project = parseProjection(operand)!;
    return (items) => map(items, project);
  },
  $unset: (operand) => {
    const paths = Array.isArray(operand) ? operand : [operand];
    if (!paths.length || !paths.every((path) => typeof path === 'string'))
      throw new CommandError(31120, '$unset specification must be a string or an array');
    const project = parseProjection(new Map(paths.map((path) => [path as string, false])))!;
    return (items) => map(items, project);
  },
  $addFields: addFields,
  $set: addFields,
  $replaceRoot: (operand) => {
    if (!isDoc(operand) || operand.size !== 1 || !operand.has('newRoot'))
      throw new CommandError(40229, 'expected an object with the field newRoot as specification for $replaceRoot stage');
    return replaceRoot(operand.get('newRoot')!);
  },
  $replaceWith: replaceRoot,
  $count: (operand) => {
    if (typeof operand !== 'string' || !operand || operand.startsWith('$') || operand.includes('.')) {
      throw new CommandError(40156, 'the count field must be a non-empty string without $ or .');
    }
    return function* (items) {
      let number = 0;
      for (const _ of items) number++;
      if (number) yield { doc: new Map([[operand, new Int32(number)]]) };
    };
  },
  $unwind: (operand) => {
    const options = isDoc(operand) ? operand : new Map<string, Value>([['path', operand]]);
    for (const name of options.keys())
      if (!['path', 'preserveNullAndEmptyArrays', 'includeArrayIndex'].includes(name))
        throw new CommandError(28811, `unrecognized option to $unwind stage: ${name}`);
    if (options.has('includeArrayIndex')) throw unsupported('includeArrayIndex of $unwind');
    const path = options.get('path');
    const keep = options.get('preserveNullAndEmptyArrays') ?? false;
    if (typeof keep !== 'boolean')
      throw new CommandError(28809, 'expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage');
    if (typeof path !== 'string') throw new CommandError(28808, 'expected a string as the path for $unwind stage');
    if (!path.startsWith('$') || path.length < 2)
      throw new CommandError(28818, `path option to $unwind stage should be prefixed with a '$': ${path}`);
    return (items) => unwind(items, path.slice(1).split('.'), keep);
  },
  $group: group,
  $unionWith: (operand) => {
    const options = typeof operand === 'string' ? new Map<string, Value>([['coll', operand]]) : operand;
    if (!isDoc(options)) throw failed('$unionWith', 'a string or an object');
    const collection = options.get('coll');
    if (typeof collection !== 'string') throw failed('$unionWith', "the field 'coll'");
    for (const name of options.keys())
      if (name !== 'coll' && name !== 'pipeline') throw new CommandError(40415, `BSON field '$unionWith.${name}' is an unknown field.`);
    const stages = options.get('pipeline') ?? [];
    if (!Array.isArray(stages)) throw typeMismatch("BSON field '$unionWith.pipeline' is the wrong type, expected type 'array'");
    const pipeline = parsePipeline(stages);
    return function* (items, source) {
      yield* items;
      yield* run(pipeline, `${source.database}.${collection}`, { ...source, hint: undefined });
    };
  },
};

function failed(stage: string, wanted: string): CommandError {
  return new CommandError(9, `the ${stage} stage specification must be ${wanted}`);
}

function addFields(operand: Value): Stage {
  if (!isDoc(operand) || !operand.size)
    throw new CommandError(40272, '$addFields specification stage must be an object with at least one field');
  const fields = [...operand].map(([name, value]) => {
    if (name.includes('.') || isPlainObject(value)) throw unsupported(`a nested field ('${name}') in $addFields`);
    return [name, parseExpression(value)] as const;
  });
  return (items) =>
    map(items, (doc) => {
      const result = new Map(doc);
      for (const [name, expression] of fields) {
        const value = expression(doc);
        if (value === undefined) result.delete(name);
        else result.set(name, value);
      }
      return result;
    });
}

/** `$addFields` merges such an object into an existing one instead of replacing it. */
function isPlainObject(value: Value): boolean {
  return isDoc(value) && ![...value.keys()][0]?.startsWith('$');
}

function replaceRoot(operand: Value): Stage {
  const expression = parseExpression(operand);
  return (items) =>
    map(items, (doc) => {
      const root = expression(doc);
      if (!isDoc(root))
        throw new CommandError(
          40228,
          `'newRoot' expression must evaluate to an object, but resulting value was of type ${root === undefined ? 'missing' : typeOf(root)}`,
        );
      return root;
    });
}

function* unwind(items: Iterable<Item>, parts: string[], keep: boolean): Generator<Item> {
  const replaceAt = (doc: Doc, i: number, value: Value | undefined): Doc => {
    const copy = new Map(doc);
    const name = parts[i]!;
    if (i < parts.length - 1) copy.set(name, replaceAt(copy.get(name) as Doc, i + 1, value));
    else if (value === undefined) copy.delete(name);
    else copy.set(name, value);
    return copy;
  };
  for (const item of items) {
    let value: Value | undefined = item.doc;
    for (const part of parts) value = isDoc(value) ? value.get(part) : undefined;
    if (Array.isArray(value) && value.length) for (const element of value) yield { doc: replaceAt(item.doc, 0, element) };
    else if (Array.isArray(value)) {
      if (keep) yield { doc: replaceAt(item.doc, 0, undefined) };
    } else if (keep || (value !== undefined && value !== null)) yield item;
  }
}

interface Accumulator {
  add(value: Value | undefined): void;
  result(): Value;
}

const accumulators: Record<string, () => Accumulator> = {
  $sum: () => {
    let total: Value = new Int32(0);
    return {
      add: (value) => {
        if (isNumber(value)) total = add(total, value, '$sum');
      },
      result: () => total,
    };
  },
  $avg: () => {
    let [total, number] = [0, 0];
    return {
      add: (value) => {
        if (!isNumber(value)) return;
        if (typeOf(value) === 'decimal') throw unsupported('$avg of Decimal128');
        total += toNumber(value)!;
        number++;
      },
      result: () => (number ? new Double(total / number) : null),
    };
  },
  $min: () => extreme((order) => order < 0),
  $max: () => extreme((order) => order > 0),
  $first: () => {
    let first: Value | undefined;
    return {
      add: (value) => {
        first ??= value ?? null;
      },
      result: () => first ?? null,
    };
  },
  $last: () => {
    let last: Value = null;
    return {
      add: (value) => {
        last = value ?? null;
      },
      result: () => last,
    };
  },
  $push: () => {
    const values: Value[] = [];
    return { add: (value) => value !== undefined && values.push(value), result: () => values };
  },
  $addToSet: () => {
    const values = new Map<string, Value>();
    return {
      add: (value) => {
        if (value === undefined) return;
        const key = encodeKey([value]).toString('latin1');
        if (!values.has(key)) values.set(key, value);
      },
      result: () => [...values.values()],
    };
  },
};

function extreme(better: (order: number) => boolean): Accumulator {
  let best: Value | undefined;
  return {
    add: (value) => {
      if (value !== undefined && value !== null && (best === undefined || better(compare(value, best)))) best = value;
    },
    result: () => best ?? null,
  };
}

function group(operand: Value): Stage {
  if (!isDoc(operand)) throw new CommandError(15947, "a group's fields must be specified in an object");
  const id = operand.get('_id');
  if (id === undefined) throw new CommandError(15955, 'a group specification must include an _id');
  const key = parseExpression(id);
  const fields: { name: string; make: () => Accumulator; of: Expression }[] = [];
  for (const [name, accumulator] of operand) {
    if (name === '_id') continue;
    if (!isDoc(accumulator)) throw new CommandError(40234, `The field '${name}' must be an accumulator object`);
    if (accumulator.size !== 1) throw new CommandError(40238, `The field '${name}' must specify one accumulator`);
    if (name.includes('.')) throw new CommandError(40235, `The field name '${name}' cannot contain '.'`);
    if (name.startsWith('$')) throw new CommandError(40236, `The field name '${name}' cannot be an operator name`);
    const [operator, argument] = [...accumulator][0]!;
    if (operator === '$count') {
      if (!isDoc(argument) || argument.size) throw typeMismatch('$count takes no arguments, i.e. $count:{}');
      fields.push({ name, make: accumulators.$sum!, of: constant(new Int32(1)) });
      continue;
    }
    const make = accumulators[operator];
    if (!make) {
      if (
        /^\$(stdDev(Pop|Samp)|mergeObjects|accumulator|(first|last|min|max|top|bottom)N|top|bottom|median|percentile|setUnion|concatArrays)$/.test(
          operator,
        )
      ) {
        throw unsupported(`the accumulator ${operator}`);
      }
      throw new CommandError(15952, `unknown group operator '${operator}'`);
    }
    fields.push({ name, make, of: parseExpression(argument) });
  }
  return function* (items) {
    const groups = new Map<string, { id: Value; accumulators: Accumulator[] }>();
    const one = key.constant === true ? encodeKey([id]).toString('latin1') : undefined;
    for (const item of items) {
      // A row is decoded only when an expression looks at it: a count does not.
      const value = one === undefined ? key(item.doc) : (key(noDoc) ?? null);
      const group = one ?? encodeKey([value]).toString('latin1');
      let found = groups.get(group);
      if (!found) {
        found = { id: value ?? null, accumulators: fields.map((field) => field.make()) };
        groups.set(group, found);
      }
      for (const [i, field] of fields.entries()) found.accumulators[i]!.add(field.of(field.of.constant ? noDoc : item.doc));
    }
    for (const found of groups.values()) {
      const doc: Doc = new Map([['_id', found.id]]);
      for (const [i, { name }] of fields.entries()) doc.set(name, found.accumulators[i]!.result());
      yield { doc };
    }
  };
}

const noDoc: Doc = new Map();

export function encodeItem({ bytes, doc }: Item): Buffer {
  return bytes ?? encode(doc);
}

/** MongoDB's other stages: known, and refused by name rather than as unknown ones. */
const knownStages = new Set(
  `bucket bucketAuto changeStream changeStreamSplitLargeEvent collStats currentOp densify documents facet fill geoNear graphLookup indexStats
  listLocalSessions listSampledQueries listSearchIndexes listSessions lookup merge out planCacheStats queryStats redact sample search searchMeta
  setWindowFields shardedDataDistribution sortByCount vectorSearch rankFusion scoreFusion`
    .split(/\s+/)
    .map((name) => `$${name}`),
);
