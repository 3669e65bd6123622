import { Double, Int32, Long } from 'bson';
import { type Doc, isDoc, isNumber, show, toNumber, truthy, typeOf, type Value } from './bson.ts';
import { CommandError, typeMismatch, unsupported } from './errors.ts';
import { compare } from './keys.ts';

/** An aggregation expression, compiled. Undefined is what is missing. */
export type Expression = ((doc: Doc) => Value | undefined) & {
  /** Set when the value does not depend on the document. */
  constant?: boolean;
};

export function constant(value: Value): Expression {
  return Object.assign(() => value, { constant: true });
}

/** Compiles an expression; operators that are not in the table below are refused. */
export function parseExpression(value: Value): Expression {
  if (typeof value === 'string' && value.startsWith('$')) return parsePath(value);
  if (Array.isArray(value)) {
    const items = value.map(parseExpression);
    return (doc) => items.map((item) => item(doc) ?? null);
  }
  if (!isDoc(value)) return constant(value);
  const [first] = value.keys();
  if (!first?.startsWith('$')) {
    const fields = [...value].map(([name, v]) => {
      if (name.includes('.'))
        throw new CommandError(16412, `FieldPath field names may not contain '.'. Consider using $getField or $setField.`);
      return [name, parseExpression(v)] as const;
    });
    return (doc) => {
      const result: Doc = new Map();
      for (const [name, field] of fields) {
        const v = field(doc);
        if (v !== undefined) result.set(name, v);
      }
      return result;
    };
  }
  if (value.size !== 1) throw new CommandError(15983, `An object representing an expression must have exactly one field: ${show(value)}`);
  const operand = value.get(first)!;
  if (first === '$literal') return constant(operand);
  const operator = operators[first];
  if (!operator) throw knownOperators.has(first) ? unsupported(first) : new CommandError(168, `Unrecognized expression '${first}'`);
  return operator(operand, first);
}

function parsePath(text: string): Expression {
  if (text === '$$REMOVE') return () => undefined;
  let path = text.slice(1);
  if (path.startsWith('$')) {
    const [, name, rest] = /^\$([^.]+)(?:\.(.*))?$/s.exec(path) ?? [];
    if (name !== 'ROOT' && name !== 'CURRENT') {
      if (name && /^(NOW|CLUSTER_TIME|USER_ROLES|DESCEND|PRUNE|KEEP|SEARCH_META)$/.test(name)) throw unsupported(`$$${name}`);
      throw new CommandError(17276, `Use of undefined variable: ${name}`);
    }
    if (rest === undefined) return (doc) => doc;
    path = rest;
  }
  if (!path) throw new CommandError(16872, "'$' by itself is not a valid FieldPath");
  const parts = path.split('.');
  if (parts.some((part) => !part)) throw new CommandError(15998, 'FieldPath field names may not be empty strings.');
  return (doc) => follow(doc, parts, 0);
}

/** A path in an expression maps over arrays and gives an array; numbers in it are names, not positions. */
function follow(value: Value | undefined, parts: string[], i: number): Value | undefined {
  if (i === parts.length) return value;
  if (isDoc(value)) return follow(value.get(parts[i]!), parts, i + 1);
  if (Array.isArray(value)) return value.map((element) => follow(element, parts, i)).filter((v) => v !== undefined);
  return undefined;
}

type Operator = (operand: Value, name: string) => Expression;

/** An operator of a fixed (or bounded) number of arguments; a single argument needs no array. */
function of(min: number, max: number, apply: (args: (Value | undefined)[], name: string) => Value | undefined): Operator {
  return (operand, name) => {
    const args = (Array.isArray(operand) ? operand : [operand]).map(parseExpression);
    if (args.length < min || args.length > max) {
      throw new CommandError(
        16020,
        `Expression ${name} takes ${min === max ? `exactly ${min}` : `at least ${min}`} arguments. ${args.length} were passed in.`,
      );
    }
    return (doc) =>
      apply(
        args.map((arg) => arg(doc)),
        name,
      );
  };
}

/** What is missing is less than everything, null included: `{ $eq: ['$missing', null] }` is false. */
function order(a: Value | undefined, b: Value | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  return compare(a, b);
}

const comparison = (holds: (order: number) => boolean) => of(2, 2, ([a, b]) => holds(order(a, b)));
const isNull = (value: Value | undefined) => value === undefined || value === null;

const operators: Record<string, Operator> = {
  $eq: comparison((o) => o === 0),
  $ne: comparison((o) => o !== 0),
  $gt: comparison((o) => o > 0),
  $gte: comparison((o) => o >= 0),
  $lt: comparison((o) => o < 0),
  $lte: comparison((o) => o <= 0),
  $cmp: of(2, 2, ([a, b]) => new Int32(Math.sign(order(a, b)))),
  $and: of(0, Number.POSITIVE_INFINITY, (args) => args.every(truthy)),
  $or: of(0, Number.POSITIVE_INFINITY, (args) => args.some(truthy)),
  $not: of(1, 1, ([a]) => !truthy(a)),
  $ifNull: of(2, Number.POSITIVE_INFINITY, (args) => args.find((arg) => !isNull(arg)) ?? args.at(-1)),
  $cond: (operand, name) => {
    const parts = isDoc(operand) ? ['if', 'then', 'else'].map((key) => operand.get(key)) : operand;
    if (!Array.isArray(parts) || parts.length !== 3 || parts.includes(undefined) || (isDoc(operand) && operand.size !== 3)) {
      throw new CommandError(16020, `Expression ${name} takes exactly 3 arguments`);
    }
    const [test, then, otherwise] = (parts as Value[]).map(parseExpression) as [Expression, Expression, Expression];
    return (doc) => (truthy(test(doc)) ? then(doc) : otherwise(doc));
  },
  $in: of(2, 2, ([a, array]) => {
    if (!Array.isArray(array)) throw new CommandError(40081, `$in requires an array as a second argument, found: ${found(array)}`);
    return array.some((element) => order(a, element) === 0);
  }),
  $size: of(1, 1, ([array]) => {
    if (!Array.isArray(array)) throw new CommandError(17124, `The argument to $size must be an array, but was of type: ${found(array)}`);
    return new Int32(array.length);
  }),
  $isArray: of(1, 1, ([a]) => Array.isArray(a)),
  $type: of(1, 1, ([a]) => (a === undefined ? 'missing' : typeOf(a))),
  $arrayElemAt: of(2, 2, ([array, index]) => {
    if (isNull(array) || isNull(index)) return null;
    if (!Array.isArray(array)) throw new CommandError(28689, `$arrayElemAt's first argument must be an array, but is ${found(array)}`);
    if (!Number.isInteger(toNumber(index)))
      throw new CommandError(28690, "$arrayElemAt's second argument must be representable as a 32-bit integer");
    return array.at(toNumber(index)!);
  }),
  $concat: of(0, Number.POSITIVE_INFINITY, (args) => {
    if (args.some(isNull)) return null;
    const wrong = args.find((arg) => typeof arg !== 'string');
    if (wrong !== undefined) throw new CommandError(16702, `$concat only supports strings, not ${typeOf(wrong)}`);
    return args.join('');
  }),
  $add: of(0, Number.POSITIVE_INFINITY, (args, name) => arithmetic(args, name, (a, b) => a + b)),
  $multiply: of(0, Number.POSITIVE_INFINITY, (args, name) => arithmetic(args, name, (a, b) => a * b, 1n)),
  $subtract: of(2, 2, (args, name) => arithmetic(args, name, (a, b) => a - b, undefined)),
};

function found(value: Value | undefined): string {
  return value === undefined ? 'missing' : typeOf(value);
}

function arithmetic(
  args: (Value | undefined)[],
  name: string,
  apply: (a: number, b: number) => number,
  initial: bigint | undefined = name === '$subtract' ? undefined : 0n,
): Value {
  if (args.some(isNull)) return null;
  for (const arg of args) {
    if (arg instanceof Date) throw unsupported(`${name} of dates`);
    if (!isNumber(arg)) throw typeMismatch(`${name} only supports numeric types, not ${typeOf(arg!)}`);
  }
  const values = initial === undefined ? (args as Value[]) : [new Int32(Number(initial)), ...(args as Value[])];
  return values.reduce((a, b) => calculate(a, b, apply as never, name));
}

/** Adds (or multiplies, or…) two numbers in the wider of their types. Decimal128 arithmetic is refused. */
export function calculate(a: Value, b: Value, apply: (a: never, b: never) => number | bigint, name: string): Value {
  const [ta, tb] = [typeOf(a), typeOf(b)];
  if (ta === 'decimal' || tb === 'decimal') throw unsupported(`${name} of Decimal128`);
  if (ta === 'double' || tb === 'double') return new Double(apply(toNumber(a) as never, toNumber(b) as never) as number);
  const big = (v: Value) => BigInt(v instanceof Long ? v.toString() : toNumber(v)!);
  const result = apply(big(a) as never, big(b) as never) as bigint;
  if (ta === 'int' && tb === 'int' && result === BigInt.asIntN(32, result)) return new Int32(Number(result));
  if (result !== BigInt.asIntN(64, result)) throw new CommandError(2, `${name} overflows a 64-bit integer`);
  return Long.fromBigInt(result);
}

/** MongoDB's other expression operators: known, and refused by name rather than as unknown ones. */
const knownOperators = new Set(
  `abs accumulator acos acosh allElementsTrue anyElementTrue arrayToObject asin asinh atan atan2 atanh avg binarySize bitAnd bitNot bitOr
  bitXor bottom bottomN bsonSize ceil concatArrays convert cos cosh count covariancePop covarianceSamp createObjectId dateAdd dateDiff
  dateFromParts dateFromString dateSubtract dateToParts dateToString dateTrunc dayOfMonth dayOfWeek dayOfYear degreesToRadians denseRank
  derivative divide documentNumber exp expMovingAvg filter first firstN floor function getField hour indexOfArray indexOfBytes indexOfCP
  integral isNumber isoDayOfWeek isoWeek isoWeekYear last lastN let linearFill ln locf log log10 ltrim map max maxN median mergeObjects meta
  millisecond min minN minute minMaxScaler mod month objectToArray percentile pow push radiansToDegrees rand range rank reduce regexFind
  regexFindAll regexMatch replaceAll replaceOne reverseArray round rtrim sampleRate second setDifference setEquals setField setIntersection
  setIsSubset setUnion shift sigmoid sin sinh slice sortArray split sqrt stdDevPop stdDevSamp strLenBytes strLenCP strcasecmp substr substrBytes
  substrCP sum switch tan tanh toBool toDate toDecimal toDouble toHashedIndexKey toInt toLong toLower toObjectId toString toUUID toUpper top topN
  trim trunc tsIncrement tsSecond unsetField week year zip addToSet serializeEJSON deserializeEJSON encStrContains encStrEndsWith encStrStartsWith
  encStrNormalizedEq similarityCosine similarityDotProduct similarityEuclidean subtype`
    .split(/\s+/)
    .map((name) => `$${name}`),
);
