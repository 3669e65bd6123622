import { BSONRegExp } from 'bson';
import { type Doc, isDoc, rankOf, toNumber, truthy, type Value } from './bson.ts';
import { badValue, CommandError } from './errors.ts';
import { comparer } from './keys.ts';
import { partsOf, someAt } from './paths.ts';
import { compilePattern, type Pattern } from './regex.ts';

/** A query as a tree. The planner uses the leaves below `and`; the whole tree decides which documents match. */
export type Filter = { kind: 'and' | 'or' | 'nor'; of: Filter[] } | Leaf;

type Test = (value: Value | undefined) => boolean;

export interface Leaf {
  kind: 'leaf';
  path: string;
  parts: string[];
  op: string;
  operand: Value;
  /** Tests one value at the path; undefined if there is none. */
  test: Test;
}

export const everything: Filter = { kind: 'and', of: [] };

/** Returns whether a document matches a filter. */
export function matches(filter: Filter, doc: Doc): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.of.every((part) => matches(part, doc));
    case 'or':
      return filter.of.some((part) => matches(part, doc));
    case 'nor':
      return !filter.of.some((part) => matches(part, doc));
    case 'leaf':
      return someAt(doc, filter.parts, filter.test);
  }
}

/** Returns the conditions that every matching document satisfies. */
export function conjuncts(filter: Filter): Leaf[] {
  if (filter.kind === 'leaf') return [filter];
  return filter.kind === 'and' ? filter.of.flatMap(conjuncts) : [];
}

/** Parses a query document. Everything unknown is an error. */
export function parseFilter(query: Doc): Filter {
  const of = [...query].flatMap(([name, operand]): Filter | Filter[] => {
    if (name === '$and') return branches(name, operand);
    if (name === '$or') return either(branches(name, operand));
    if (name === '$nor') return { kind: 'nor', of: branches(name, operand) };
    if (name.startsWith('$')) throw badValue(`unknown top level operator: ${name} (or not supported by the embedded database)`);
    return parseField(name, operand);
  });
  if (!of.length) return everything;
  return of.length === 1 ? of[0]! : { kind: 'and', of };
}

function branches(name: string, operand: Value): Filter[] {
  if (!Array.isArray(operand) || !operand.length) throw badValue(`${name} must be a nonempty array`);
  return operand.map((branch) => {
    if (!isDoc(branch)) throw badValue('$or/$and/$nor entries need to be full objects');
    return parseFilter(branch);
  });
}

const either = (branches: Filter[]): Filter => (branches.length === 1 ? branches[0]! : { kind: 'or', of: branches });

const isOperators = (value: Value): value is Doc => isDoc(value) && value.keys().next().value?.startsWith('$') === true;

function parseField(path: string, operand: Value): Filter[] {
  if (operand instanceof BSONRegExp) return [leaf(path, 'regex', operand, regexTest(operand))];
  return isOperators(operand) ? parseOperators(path, operand) : [equals(path, operand)];
}

function parseOperators(path: string, operators: Doc): Filter[] {
  return [...operators].map(([name, operand]) => {
    const parse = Object.hasOwn(fieldOperators, name) ? fieldOperators[name] : undefined;
    if (!parse) throw badValue(`unknown operator: ${name} (or not supported by the embedded database)`);
    return parse(path, operand, operators);
  });
}

const fieldOperators: Record<string, (path: string, operand: Value, siblings: Doc) => Filter> = {
  $eq: equals,
  $ne: (path, operand) => not(equals(path, notRegex(operand))),
  $gt: (path, operand) => leaf(path, 'gt', operand, ordering(operand, 1, false)),
  $gte: (path, operand) => leaf(path, 'gte', operand, ordering(operand, 1, true)),
  $lt: (path, operand) => leaf(path, 'lt', operand, ordering(operand, -1, false)),
  $lte: (path, operand) => leaf(path, 'lte', operand, ordering(operand, -1, true)),
  $in: oneOf,
  $nin: (path, operand) => not(oneOf(path, operand)),
  $exists: (path, operand) => {
    const exists = leaf(path, 'exists', true, (value) => value !== undefined);
    return truthy(operand) ? exists : not(exists);
  },
  $regex: (path, operand, siblings) => {
    return leaf(path, 'regex', null, regexTest(patternOf(operand, siblings.get('$options'))));
  },
  $options: (_path, _operand, siblings) => {
    if (!siblings.has('$regex')) throw badValue('$options requires a $regex');
    return everything;
  },
  $not: (path, operand) => {
    if (!(operand instanceof BSONRegExp) && !(isOperators(operand) && operand.size)) throw badValue('$not needs a regex or a document');
    return not({ kind: 'and', of: parseField(path, operand) });
  },
};

const not = (filter: Filter): Filter => ({ kind: 'nor', of: [filter] });

function leaf(path: string, op: string, operand: Value, test: Test): Leaf {
  return { kind: 'leaf', path, parts: partsOf(path), op, operand, test };
}

function equals(path: string, operand: Value): Leaf {
  return leaf(path, 'eq', operand, equality(operand));
}

function oneOf(path: string, operand: Value): Leaf {
  if (!Array.isArray(operand)) throw badValue('$in and $nin need an array');
  if (operand.some(isOperators)) throw badValue('cannot nest $ under $in or $nin');
  if (operand.length === 1 && !(operand[0] instanceof BSONRegExp)) return equals(path, operand[0]!);
  const tests = operand.map((value) => (value instanceof BSONRegExp ? regexTest(value) : equality(value)));
  return leaf(path, 'in', operand, (value) => tests.some((test) => test(value)));
}

function notRegex(operand: Value): Value {
  if (operand instanceof BSONRegExp) throw badValue("Can't have regex as arg to this predicate.");
  return operand;
}

function equality(operand: Value): Test {
  if (operand === null) return (value) => value === undefined || value === null;
  if (typeof operand === 'string') return (value) => value === operand;
  const order = comparer(operand);
  return (value) => value !== undefined && order(value) === 0;
}

/** `$gt`, `$gte`, `$lt` and `$lte` compare only values of the same type. Null equals a missing value; NaN is neither less nor greater. */
function ordering(operand: Value, sign: 1 | -1, orEqual: boolean): Test {
  if (operand === null) return (value) => orEqual && (value === undefined || value === null);
  const rank = rankOf(notRegex(operand));
  const order = comparer(operand);
  const isNotANumber = (value: Value) => Number.isNaN(toNumber(value));
  return (value) => {
    if (value === undefined || rankOf(value) !== rank) return false;
    const difference = order(value) * sign;
    return (orEqual && difference === 0) || (difference > 0 && !isNotANumber(operand) && !isNotANumber(value));
  };
}

function patternOf(operand: Value, options: Value = ''): Pattern {
  if (typeof options !== 'string') throw badValue('$options has to be a string');
  if (typeof operand === 'string') return { pattern: operand, options };
  if (!(operand instanceof BSONRegExp)) throw badValue('$regex has to be a string');
  if (operand.options && options) throw new CommandError(51075, 'options set in both $regex and $options');
  return { pattern: operand.pattern, options: options || operand.options };
}

function regexTest({ pattern, options }: Pattern): Test {
  const isMatch = compilePattern({ pattern, options });
  return (value) =>
    (typeof value === 'string' && isMatch(value)) ||
    (value instanceof BSONRegExp && value.pattern === pattern && value.options === options);
}
