import { BSONRegExp, BSONSymbol, Long } from 'bson';
import { type Doc, isDoc, isNumber, show, type TypeName, toNumber, truthy, typeOf, types, type Value } from './bson.ts';
import { badValue, CommandError, unsupported } from './errors.ts';
import { comparer, rankOf } from './keys.ts';
import { someAt } from './paths.ts';
import { toRegExp } from './regex.ts';

/** A query as a tree. Only positive leaves tell the planner where to look; the tree is what decides. */
export type Filter = { kind: 'and' | 'or' | 'nor'; of: Filter[] } | { kind: 'not'; of: Filter } | Leaf;

export interface Leaf {
  kind: 'leaf';
  path: string;
  parts: string[];
  op: string;
  operand: Value;
  /** Decides for one value that the path leads to; undefined when it leads nowhere. */
  test: (value: Value | undefined) => boolean;
  /** Whether the elements of an array at the path's end are tried too. */
  elements: boolean;
  /** The query inside `$elemMatch` over documents. */
  inner?: Filter;
  /** The operators inside `$elemMatch` over values. */
  innerLeaves?: Leaf[];
}

/** Whether a document answers to a filter. */
export function matches(filter: Filter, doc: Doc): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.of.every((part) => matches(part, doc));
    case 'or':
      return filter.of.some((part) => matches(part, doc));
    case 'nor':
      return !filter.of.some((part) => matches(part, doc));
    case 'not':
      return !matches(filter.of, doc);
    case 'leaf':
      return someAt(doc, filter.parts, (value, isElement) => filter.test(value) || (!isElement && someElement(filter, value)));
  }
}

function someElement({ elements, test }: Leaf, value: Value | undefined): boolean {
  return elements && Array.isArray(value) && value.some(test);
}

/** Reads a query document. Operators that are not known are errors, never ignored. */
export function parseFilter(query: Doc): Filter {
  const of: Filter[] = [];
  for (const [name, operand] of query) {
    switch (name) {
      case '$and':
      case '$or':
      case '$nor':
        of.push({ kind: name.slice(1) as 'and' | 'or' | 'nor', of: branches(name, operand) });
        break;
      case '$comment':
        break;
      case '$expr':
      case '$where':
      case '$text':
      case '$jsonSchema':
      case '$alwaysTrue':
      case '$alwaysFalse':
      case '$sampleRate':
        throw unsupported(name);
      default:
        if (name.startsWith('$'))
          throw badValue(`unknown top level operator: ${name}. If you are trying to use an operator, check its spelling.`);
        of.push(...parseField(name, operand));
    }
  }
  return of.length === 1 ? of[0]! : { kind: 'and', of };
}

function branches(name: string, operand: Value): Filter[] {
  if (!Array.isArray(operand)) throw badValue(`${name} must be an array`);
  if (!operand.length) throw badValue('$and/$or/$nor must be a nonempty array');
  return operand.map((branch) => {
    if (!isDoc(branch)) throw badValue('$or/$and/$nor entries need to be full objects');
    return parseFilter(branch);
  });
}

function isOperators(value: Value): value is Doc {
  if (!isDoc(value)) return false;
  const first = value.keys().next().value;
  // `{ $ref, $id }` is a reference, a plain value.
  return first?.startsWith('$') === true && !['$ref', '$id', '$db'].includes(first);
}

function parseField(path: string, operand: Value): Filter[] {
  if (operand instanceof BSONRegExp) return [leaf(path, 'regex', operand)];
  return isOperators(operand) ? parseOperators(path, operand) : [leaf(path, 'eq', operand)];
}

function parseOperators(path: string, operators: Doc): Filter[] {
  const filters: Filter[] = [];
  for (const [name, operand] of operators) {
    switch (name) {
      case '$eq':
        filters.push(leaf(path, 'eq', operand));
        break;
      case '$ne':
        if (operand instanceof BSONRegExp) throw badValue("Can't have regex as arg to $ne.");
        filters.push({ kind: 'not', of: leaf(path, 'eq', operand) });
        break;
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        if (operand instanceof BSONRegExp) throw badValue(`Can't have RegEx as arg to predicate over field '${path}'.`);
        filters.push(leaf(path, name.slice(1), operand));
        break;
      case '$in':
      case '$nin': {
        if (!Array.isArray(operand)) throw badValue(`${name} needs an array`);
        if (operand.some(isOperators)) throw badValue(`cannot nest $ under ${name}`);
        const found = leaf(path, 'in', operand);
        filters.push(name === '$in' ? found : { kind: 'not', of: found });
        break;
      }
      case '$exists': {
        const found = leaf(path, 'exists', true);
        filters.push(truthy(operand) ? found : { kind: 'not', of: found });
        break;
      }
      case '$not': {
        if (operand instanceof BSONRegExp) filters.push({ kind: 'not', of: leaf(path, 'regex', operand) });
        else if (!isDoc(operand)) throw badValue('$not needs a regex or a document');
        else if (!operand.size) throw badValue('$not cannot be empty');
        else filters.push({ kind: 'not', of: { kind: 'and', of: parseOperators(path, operand) } });
        break;
      }
      case '$regex': {
        const options = operators.get('$options');
        if (options !== undefined && typeof options !== 'string') throw badValue('$options has to be a string');
        if (typeof operand !== 'string' && !(operand instanceof BSONRegExp)) throw badValue('$regex has to be a string');
        const pattern = typeof operand === 'string' ? operand : operand.pattern;
        const own = typeof operand === 'string' ? '' : operand.options;
        const wrong = [...(options ?? '')].find((option) => !'imsx'.includes(option));
        if (wrong) throw new CommandError(51108, `invalid flag in regex options: ${wrong}`);
        if (own && options !== undefined) throw new CommandError(51075, 'options set in both $regex and $options');
        filters.push(leaf(path, 'regex', new BSONRegExp(pattern, options ?? own)));
        break;
      }
      case '$options':
        if (!operators.has('$regex')) throw badValue('$options needs a $regex');
        break;
      case '$type':
      case '$size':
      case '$mod':
      case '$elemMatch':
        filters.push(leaf(path, name.slice(1), operand));
        break;
      case '$all': {
        if (!Array.isArray(operand)) throw badValue('$all needs an array');
        const all = operand.map((v) => (isDoc(v) && v.has('$elemMatch') ? leaf(path, 'elemMatch', v.get('$elemMatch')!) : all1(path, v)));
        filters.push(all.length ? { kind: 'and', of: all } : { kind: 'or', of: [] });
        break;
      }
      case '$comment':
      case '$bitsAllSet':
      case '$bitsAllClear':
      case '$bitsAnySet':
      case '$bitsAnyClear':
      case '$near':
      case '$nearSphere':
      case '$within':
      case '$geoWithin':
      case '$geoIntersects':
      case '$maxDistance':
      case '$minDistance':
      case '$uniqueDocs':
        throw unsupported(name);
      default:
        throw badValue(`unknown operator: ${name}`);
    }
  }
  return filters;
}

function all1(path: string, value: Value): Leaf {
  if (isOperators(value)) throw badValue('no $ expressions in $all');
  return value instanceof BSONRegExp ? leaf(path, 'regex', value) : leaf(path, 'eq', value);
}

function leaf(path: string, op: string, operand: Value): Leaf {
  return { kind: 'leaf', path, parts: path.split('.'), op, operand, elements: true, ...semantics(path, op, operand) };
}

/** What each operator asks of a value. */
function semantics(path: string, op: string, operand: Value): Partial<Leaf> & Pick<Leaf, 'test'> {
  switch (op) {
    case 'eq':
      return { test: equality(operand) };
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return { test: ordering(op, operand) };
    case 'in': {
      const tests = (operand as Value[]).map((v) => (v instanceof BSONRegExp ? semantics(path, 'regex', v).test : equality(v)));
      return { test: (value) => tests.some((test) => test(value)) };
    }
    case 'exists':
      return { test: (value) => value !== undefined, elements: false };
    case 'regex': {
      const expression = toRegExp(operand as BSONRegExp);
      const { pattern, options } = operand as BSONRegExp;
      return {
        test: (value) =>
          (typeof value === 'string' && expression.test(value)) ||
          (value instanceof BSONRegExp && value.pattern === pattern && value.options === options),
      };
    }
    case 'type':
      return { test: typeTest(operand) };
    case 'size': {
      const size = wholeNumber(operand, 'Failed to parse $size');
      if (size < 0) throw badValue(`Failed to parse $size. Expected a non-negative number in: $size: ${show(operand)}`);
      return { test: (value) => Array.isArray(value) && value.length === size, elements: false };
    }
    case 'mod': {
      if (!Array.isArray(operand)) throw badValue('malformed mod, needs to be an array');
      if (operand.length < 2) throw badValue('malformed mod, not enough elements');
      if (operand.length > 2) throw badValue('malformed mod, too many elements');
      if (!operand.every(isNumber)) throw badValue('malformed mod, divisor and remainder must be numbers');
      const [divisor, remainder] = operand.map(truncated);
      if (divisor === undefined || remainder === undefined)
        throw badValue('malformed mod, divisor and remainder must be finite and fit into 64 bits');
      if (divisor === 0n) throw badValue('divisor cannot be 0');
      return { test: (value) => isNumber(value) && truncated(value) !== undefined && truncated(value)! % divisor === remainder };
    }
    case 'elemMatch':
      return elemMatch(operand);
    default:
      throw badValue(`unknown operator: $${op}`);
  }
}

function elemMatch(operand: Value): Partial<Leaf> & Pick<Leaf, 'test'> {
  if (!isDoc(operand)) throw badValue('$elemMatch needs an Object');
  const names = [...operand.keys()];
  const overValues = names.length > 0 && names[0]!.startsWith('$') && !['$and', '$or', '$nor', '$expr', '$where'].includes(names[0]!);
  if (overValues) {
    const filters = parseOperators('', operand);
    const test = (element: Value) => filters.every((filter) => testsValue(filter, element));
    const innerLeaves = filters.filter((filter) => filter.kind === 'leaf');
    return { test: (value) => Array.isArray(value) && value.some(test), elements: false, innerLeaves };
  }
  const inner = parseFilter(operand);
  const test = (element: Value) => {
    if (isDoc(element)) return matches(inner, element);
    // An array inside the array is a document whose names are the positions.
    return Array.isArray(element) && matches(inner, new Map(element.map((v, i) => [String(i), v])));
  };
  return { test: (value) => Array.isArray(value) && value.some(test), elements: false, inner };
}

/** A filter parsed by `parseOperators`, put to one element of an array. */
function testsValue(filter: Filter, value: Value): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.of.every((part) => testsValue(part, value));
    case 'or':
      return filter.of.some((part) => testsValue(part, value));
    case 'not':
      return !testsValue(filter.of, value);
    case 'leaf':
      // The elements of an array inside the array are not tried.
      return filter.test(value);
    default:
      throw unsupported(`$${filter.kind} inside $elemMatch over values`);
  }
}

function equality(operand: Value): (value: Value | undefined) => boolean {
  if (operand === null) return (value) => value === undefined || value === null;
  const order = comparer(operand);
  if (typeof operand === 'string') return (value) => value === operand || (value instanceof BSONSymbol && order(value) === 0);
  return (value) => value !== undefined && order(value) === 0;
}

/** `$gt` and its like compare values of one type only; null equals what is missing, and NaN is neither less nor greater. */
function ordering(op: string, operand: Value): (value: Value | undefined) => boolean {
  const orEqual = op.endsWith('e');
  if (operand === null) return (value) => orEqual && (value === undefined || value === null);
  const rank = rankOf(operand);
  const unbracketed = rank === types.minKey.rank || rank === types.maxKey.rank;
  const notANumber = Number.isNaN(toNumber(operand));
  const compared = comparer(operand);
  return (value) => {
    if (value === undefined) return unbracketed && ordering(op, operand)(null);
    if (!unbracketed && rankOf(value) !== rank) return false;
    const valueNotANumber = Number.isNaN(toNumber(value));
    if (!unbracketed && (notANumber || valueNotANumber)) return orEqual && notANumber && valueNotANumber;
    const order = compared(value);
    return (orEqual && order === 0) || (op.startsWith('g') ? order > 0 : order < 0);
  };
}

function typeTest(operand: Value): (value: Value | undefined) => boolean {
  const wanted = Array.isArray(operand) ? operand : [operand];
  if (!wanted.length) throw new CommandError(9, '$type must match at least one type');
  const names = new Set<TypeName>();
  for (const type of wanted) {
    if (type === 'number') for (const name of ['double', 'int', 'long', 'decimal'] as const) names.add(name);
    else if (typeof type === 'string') {
      if (['undefined', 'dbPointer', 'javascriptWithScope'].includes(type)) throw unsupported(`$type: ${show(type)}`);
      if (!(type in types)) throw badValue(`Unknown type name alias: ${type}`);
      names.add(type as TypeName);
    } else if (isNumber(type)) {
      const code = toNumber(type)!;
      if ([6, 12, 15].includes(code)) throw unsupported(`$type: ${code}`);
      const name = (Object.keys(types) as TypeName[]).find((key) => types[key].code === code);
      if (!name) throw badValue(`Invalid numerical type code: ${code}`);
      names.add(name);
    } else throw new CommandError(14, 'type must be represented as a number or a string');
  }
  return (value) => value !== undefined && names.has(typeOf(value));
}

/** A number without its fraction; undefined when it does not fit into 64 bits. */
function truncated(value: Value): bigint | undefined {
  if (value instanceof Long) return value.toBigInt();
  const number = Math.trunc(toNumber(value)!);
  return Number.isFinite(number) && BigInt(number) === BigInt.asIntN(64, BigInt(number)) ? BigInt(number) : undefined;
}

function wholeNumber(value: Value, what: string): number {
  const number = toNumber(value);
  if (number === undefined || !Number.isInteger(number)) throw badValue(`${what}. Expected an integer: ${show(value)}`);
  return number;
}
