import { Decimal128, Double, Int32, Long } from 'bson';
import { type Doc, encode, isDoc, isNumber, show, toNumber, type Value } from './bson.ts';
import { CommandError, typeMismatch, unsupported } from './errors.ts';
import { count, parseProjection, parseSort, type Selection, select, slice, sorted } from './find.ts';
import { compare, keyText } from './keys.ts';
import { fieldOf, partsOf } from './paths.ts';
import type { Sort } from './planner.ts';
import { everything, type Filter, matches, parseFilter } from './query.ts';
import { type Examined, type OrPause, pause } from './scan.ts';
import type { View } from './storage.ts';

/** A document in a pipeline. `bytes` is set as long as the document is unchanged. */
interface Item {
  doc: Doc;
  bytes?: Buffer;
}

/** What a pipeline reads from. */
interface Source {
  view: View;
  database: string;
  examined: Examined;
}

type Items = Iterable<OrPause<Item>>;
type Stage = (items: Items, source: Source) => Items;

/**
 * A pipeline. Its first stages become a selection that is planned like a find; `stages` are the remaining ones. If `counted` is set, the documents
 * are only counted before these stages, and the number is in this field.
 */
interface Pipeline extends Selection {
  counted?: string | undefined;
  stages: Stage[];
}

/** Compiles a pipeline. Every stage is checked before anything is read. */
export function parsePipeline(stages: Value[]): Pipeline {
  const rest = stages.map((stage) => {
    if (!isDoc(stage)) throw typeMismatch("Each element of the 'pipeline' array must be an object");
    if (stage.size !== 1) throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.');
    return [...stage][0]!;
  });
  const take = <T>(name: string, parse: (operand: Value) => T) => (rest[0]?.[0] === name ? parse(rest.shift()![1]) : undefined);
  return {
    filter: take('$match', parseMatch) ?? everything,
    sort: take('$sort', parseSortStage) ?? [],
    skip: take('$skip', parseSkip),
    limit: take('$limit', parseLimit),
    counted: take('$count', parseCount),
    stages: rest.map(([name, operand]) => {
      const parse = Object.hasOwn(stageParsers, name) ? stageParsers[name] : undefined;
      if (!parse) throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}' (or not supported by the embedded database)`);
      return parse(operand);
    }),
  };
}

/** Runs a pipeline on a collection. Reads lazily, only as far as results are requested. */
export function run({ stages, counted, ...selection }: Pipeline, namespace: string, source: Source): Items {
  const { view, examined } = source;
  const collection = view.collection(namespace);
  const rows =
    counted === undefined
      ? select(view, collection, selection, examined)
      : countItem(counted, count(view, collection, selection, examined));
  return stages.reduce<Items>((items, stage) => stage(items, source), rows);
}

/** There is no document for the number 0. */
function* countItem(name: string, counting: Generator<typeof pause, number>): Generator<OrPause<Item>> {
  const number = yield* counting;
  if (number) yield { doc: new Map([[name, new Int32(number)]]) };
}

/** Returns the documents as BSON. */
export function* encoded(items: Items): Generator<OrPause<Buffer>> {
  for (const item of items) {
    if (item === pause) yield pause;
    else yield item.bytes ?? encode(item.doc);
  }
}

const stageParsers: Record<string, (operand: Value) => Stage> = {
  $match: (operand) => {
    const filter = parseMatch(operand);
    return function* (items) {
      for (const item of items) if (item === pause || matches(filter, item.doc)) yield item;
    };
  },
  $sort: (operand) => {
    const sort = parseSortStage(operand);
    return (items, { examined }) => sorted(items, sort, examined);
  },
  $skip: (operand) => {
    const skip = parseSkip(operand);
    return (items) => slice(items, skip, Number.POSITIVE_INFINITY);
  },
  $limit: (operand) => {
    const limit = parseLimit(operand);
    return (items) => slice(items, 0, limit);
  },
  $project: (operand) => {
    if (!isDoc(operand) || !operand.size) throw new CommandError(51272, 'projection specification must have at least one field');
    return mapped(parseProjection(operand));
  },
  $addFields: (operand) => {
    if (!isDoc(operand) || !operand.size)
      throw new CommandError(40272, '$addFields specification must be an object with at least one field');
    const fields = [...operand].map(([name, value]) => {
      if (isDoc(value)) throw unsupported(`the document '${name}' in $addFields`);
      return [fieldOf(name), parseExpression(value)] as const;
    });
    return mapped((doc) => {
      const values = fields.map(([name, expression]) => [name, expression({ doc })] as const);
      return withoutMissing([...doc, ...values]);
    });
  },
  $count: (operand) => {
    const name = parseCount(operand);
    return (items) => countItem(name, length(items));
  },
  $group: parseGroup,
  $unionWith: (operand) => {
    const isValid = isDoc(operand) && [...operand.keys()].join() === 'coll,pipeline';
    const [collection, stages] = isValid ? operand.values() : [];
    if (typeof collection !== 'string' || !Array.isArray(stages)) throw unsupported('$unionWith other than { coll, pipeline }');
    const pipeline = parsePipeline(stages);
    return function* (items, source) {
      yield* items;
      yield* run(pipeline, `${source.database}.${collection}`, source);
    };
  },
};

function* length(items: Items): Generator<typeof pause, number> {
  let number = 0;
  for (const item of items) {
    if (item === pause) yield pause;
    else number++;
  }
  return number;
}

function parseCount(operand: Value): string {
  if (typeof operand !== 'string') throw new CommandError(40156, 'the count field must be a non-empty string');
  return fieldOf(operand);
}

function parseMatch(operand: Value): Filter {
  if (!isDoc(operand)) throw new CommandError(15959, 'the match filter must be an expression in an object');
  return parseFilter(operand);
}

function parseSortStage(operand: Value): Sort {
  if (!isDoc(operand) || !operand.size) throw new CommandError(15976, '$sort stage must have at least one sort key');
  return parseSort(operand);
}

function parseSkip(operand: Value): number {
  const number = toNumber(operand);
  if (number !== undefined && Number.isInteger(number) && number >= 0) return number;
  throw new CommandError(5107201, 'invalid argument to $skip or $limit stage: Expected a non-negative number');
}

function parseLimit(operand: Value): number {
  const limit = parseSkip(operand);
  if (!limit) throw new CommandError(15958, 'the limit must be positive');
  return limit;
}

export function mapped(change: (doc: Doc) => Doc): Stage {
  return function* (items) {
    for (const item of items) yield item === pause ? pause : { doc: change(item.doc) };
  };
}

/** Evaluates an expression for an item; returns undefined for a missing value. Decodes the item only if the expression uses its fields. */
type Expression = (item: Item) => Value | undefined;

/** Compiles an expression: a path, a constant, or a document of these. Rejects operators. */
function parseExpression(value: Value): Expression {
  if (typeof value === 'string' && value.startsWith('$')) {
    const parts = partsOf(value.slice(1));
    return ({ doc }) => follow(doc, parts);
  }
  if (Array.isArray(value)) throw unsupported('an array in an expression');
  if (!isDoc(value)) return () => value;
  const operator = [...value.keys()].find((name) => name.startsWith('$'));
  if (operator) throw new CommandError(168, `Unrecognized expression '${operator}' (or not supported by the embedded database)`);
  const fields = [...value].map(([name, field]) => [fieldOf(name), parseExpression(field)] as const);
  return (item) => withoutMissing(fields.map(([name, field]) => [name, field(item)] as const));
}

function withoutMissing(fields: Iterable<readonly [string, Value | undefined]>): Doc {
  const doc = new Map(fields);
  for (const [name, value] of doc) if (value === undefined) doc.delete(name);
  return doc as Doc;
}

/** Evaluates a path in an expression. A path maps over arrays and returns an array; numbers in it are field names, not positions. */
function follow(value: Value | undefined, parts: string[]): Value | undefined {
  if (!parts.length) return value;
  if (Array.isArray(value)) return value.map((element) => follow(element, parts)).filter((found) => found !== undefined);
  return isDoc(value) ? follow(value.get(parts[0]!), parts.slice(1)) : undefined;
}

/** Computes one value of a group from its inputs, which are null if missing. */
interface Accumulator {
  add(value: Value): void;
  result(): Value;
}

/** A sum of integers is exact. Doubles are added with compensation, as by MongoDB: the part that rounding loses is kept. */
class Sum implements Accumulator {
  private integers = 0n;
  private isLong = false;
  private hasDoubles = false;
  private high = 0;
  private low = 0;
  /** The sum of infinities and NaN. */
  private special = 0;

  add(value: Value): void {
    if (value instanceof Decimal128) throw unsupported('arithmetic on Decimal128');
    if (value instanceof Double) {
      this.hasDoubles = true;
      this.addDouble(value.value);
    } else if (isNumber(value)) {
      this.isLong ||= value instanceof Long;
      this.integers += BigInt(value.toString());
    }
  }

  /** Knuth's exact sum of two doubles: `sum` and what it lacks. */
  private addDouble(value: number): void {
    if (!Number.isFinite(value)) {
      this.special += value;
      return;
    }
    const sum = this.high + value;
    const part = sum - this.high;
    this.low += this.high - (sum - part) + (value - part);
    this.high = sum;
  }

  result(): Value {
    const { integers } = this;
    if (!this.hasDoubles && !this.isLong && integers === BigInt.asIntN(32, integers)) return new Int32(Number(integers));
    if (!this.hasDoubles && integers === BigInt.asIntN(64, integers)) return Long.fromBigInt(integers);
    const rounded = Number(integers);
    this.addDouble(rounded);
    this.addDouble(Number(integers - BigInt(rounded)));
    this.integers = 0n;
    return new Double(this.special || Number.isNaN(this.special) ? this.special : this.high + this.low);
  }
}

/** The least or the greatest value that is not null. */
const extreme = (sign: 1 | -1) => (): Accumulator => {
  let found: Value = null;
  return {
    add(value) {
      if (found === null || (value !== null && compare(value, found) * sign < 0)) found = value;
    },
    result: () => found,
  };
};

const accumulators: Record<string, () => Accumulator> = {
  $sum: () => new Sum(),
  $min: extreme(1),
  $max: extreme(-1),
};

function parseGroup(operand: Value): Stage {
  if (!isDoc(operand)) throw new CommandError(15947, "a group's fields must be specified in an object");
  const id = operand.get('_id');
  if (id === undefined) throw new CommandError(15955, 'a group specification must include an _id');
  const key = parseExpression(id);
  const fields = [...operand].filter(([name]) => name !== '_id').map(([name, field]) => parseAccumulator(fieldOf(name), field));
  return function* (items, { examined }) {
    const groups = new Map<string, { id: Value; values: Accumulator[] }>();
    for (const item of items) {
      if (item === pause) {
        yield pause;
        continue;
      }
      const id = key(item) ?? null;
      const text = keyText(id);
      let group = groups.get(text);
      if (!group) {
        group = { id, values: fields.map(({ make }) => make()) };
        groups.set(text, group);
        examined.hold(2 * text.length + 100 * (1 + fields.length));
      }
      for (const [i, { of }] of fields.entries()) group.values[i]!.add(of(item) ?? null);
    }
    for (const { id, values } of groups.values()) {
      examined.lookAtClock();
      if (examined.isTurnOver) yield pause;
      const results = fields.map(({ name }, i): [string, Value] => [name, values[i]!.result()]);
      yield { doc: new Map([['_id', id], ...results]) };
    }
  };
}

function parseAccumulator(name: string, field: Value) {
  if (!isDoc(field) || field.size !== 1) throw new CommandError(40234, `The field '${name}' must be an accumulator object: ${show(field)}`);
  const [operator, operand] = [...field][0]!;
  const make = Object.hasOwn(accumulators, operator) ? accumulators[operator] : undefined;
  if (!make) throw new CommandError(15952, `unknown group operator '${operator}' (or not supported by the embedded database)`);
  return { name, make, of: parseExpression(operand) };
}
