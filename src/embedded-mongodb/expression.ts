import { Double, Int32, Long } from 'bson';
import { type Doc, isDoc, show, toNumber, typeOf, type Value } from './bson.ts';
import { CommandError, unsupported } from './errors.ts';

/** An aggregation expression, compiled. Undefined is what is missing. */
export type Expression = ((doc: Doc) => Value | undefined) & {
  /** Set when the value does not depend on the document. */
  constant?: boolean;
};

export function constant(value: Value): Expression {
  return Object.assign(() => value, { constant: true });
}

/** Compiles an expression: a path, a literal, or documents and arrays of these. Operators are refused. */
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
  throw knownOperators.has(first) ? unsupported(`the expression ${first}`) : new CommandError(168, `Unrecognized expression '${first}'`);
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

/** Adds two numbers in the wider of their types. Decimal128 arithmetic is refused. */
export function add(a: Value, b: Value, name: string): Value {
  const kinds = [typeOf(a), typeOf(b)];
  if (kinds.includes('decimal')) throw unsupported(`${name} of Decimal128`);
  if (kinds.includes('double')) return new Double(toNumber(a)! + toNumber(b)!);
  const whole = (value: Value) => (value instanceof Long ? value.toBigInt() : BigInt(toNumber(value)!));
  const sum = whole(a) + whole(b);
  if (!kinds.includes('long') && sum === BigInt.asIntN(32, sum)) return new Int32(Number(sum));
  if (sum !== BigInt.asIntN(64, sum)) throw new CommandError(2, `Failed to apply ${name}: the sum does not fit into 64 bits`);
  return Long.fromBigInt(sum);
}

/** MongoDB's expression operators: known, and refused by name rather than as unknown ones. */
const knownOperators = new Set(
  `abs accumulator acos acosh add addToSet allElementsTrue and anyElementTrue arrayElemAt arrayToObject asin asinh atan atan2 atanh avg binarySize bitAnd
  bitNot bitOr bitXor bottom bottomN bsonSize ceil cmp concat concatArrays cond convert cos cosh count dateAdd dateDiff dateFromParts dateFromString
  dateSubtract dateToParts dateToString dateTrunc dayOfMonth dayOfWeek dayOfYear degreesToRadians divide eq exp filter first firstN floor function getField gt
  gte hour ifNull in indexOfArray indexOfBytes indexOfCP isArray isNumber isoDayOfWeek isoWeek isoWeekYear last lastN let ln log log10 lt lte ltrim map max
  maxN median mergeObjects meta millisecond min minN minute mod month multiply ne not objectToArray or percentile pow push radiansToDegrees rand range reduce
  regexFind regexFindAll regexMatch replaceAll replaceOne reverseArray round rtrim sampleRate second setDifference setEquals setField setIntersection
  setIsSubset setUnion sin sinh size slice sortArray split sqrt stdDevPop stdDevSamp strLenBytes strLenCP strcasecmp substr substrBytes substrCP subtract sum
  switch tan tanh toBool toDate toDecimal toDouble toHashedIndexKey toInt toLong toLower toObjectId toString toUpper toUUID top topN trim trunc tsIncrement
  tsSecond type unsetField week year zip`
    .split(/\s+/)
    .map((name) => `$${name}`),
);
