import { BSONRegExp } from 'bson';
import { type Doc, decode, toNumber, types, type Value } from './bson.ts';
import { type Collection, type Index, keyIn, recordKey } from './catalog.ts';
import { badValue, CommandError } from './errors.ts';
import { after, comparer, emptyArray, encodeKey, type KeyPart, rankOf } from './keys.ts';
import { isArrayIndex } from './paths.ts';
import { type Filter, type Leaf, matches } from './query.ts';
import { literalPrefix } from './regex.ts';
import type { View } from './store.ts';

/**
 * Chooses where to look for the documents of a query. A plan is one index and a set of disjoint ranges of its keys, in order, so that
 * `$in` and `$or` read only what they ask for and still come out sorted. Unless the ranges say exactly what the filter says, every
 * document is checked against the filter again: a mistake here could lose documents but never add any, which the fuzz test looks for.
 */

/** A range of bytes: from `start` (inclusive) to `end` (exclusive). */
interface Range {
  start: Buffer;
  end: Buffer;
}

export interface Plan {
  /** Instead of all that follows: the plans of the branches of an `$or`, each over its own index. */
  branches?: Plan[];
  index: Index | undefined;
  ranges: Range[];
  reverse: boolean;
  /** The ranges hold what the filter asks for and nothing else. */
  exact: boolean;
  /** What comes out is in the order asked for. */
  sorted: boolean;
}

export type Sort = { path: string; parts: string[]; descending: boolean }[];

/** What a query looked at, as `explain` tells it. */
export class Examined {
  keys = 0;
  documents = 0;
  /** The time left, in ms, when the clock was started last. */
  private left: number;
  private since = Date.now();

  constructor(deadline = Number.POSITIVE_INFINITY) {
    this.left = deadline - this.since;
  }

  /** Between two batches of a cursor the clock stands still. */
  pause(): void {
    this.left -= Date.now() - this.since;
  }
  resume(): void {
    this.since = Date.now();
  }

  /** Counts, and now and then looks at the clock. */
  key(): void {
    if ((++this.keys & 127) === 0) this.checkTime();
  }
  document(): void {
    if ((++this.documents & 127) === 0) this.checkTime();
  }
  checkTime(): void {
    if (Date.now() - this.since > this.left) throw new CommandError(50, 'operation exceeded time limit');
  }
}

/** A stored document, decoded when it is first needed. */
export class Row {
  readonly record: Buffer;
  readonly bytes: Buffer;
  private decoded: Doc | undefined;

  constructor(record: Buffer, bytes: Buffer) {
    this.record = record;
    this.bytes = bytes;
  }

  get doc(): Doc {
    this.decoded ??= decode(this.bytes);
    return this.decoded;
  }

  /** The document once more, to be changed. */
  copy(): Doc {
    return decode(this.bytes);
  }
}

/** Reads the documents of a plan. */
export function* scan(view: View, collection: Collection, filter: Filter, plan: Plan, examined: Examined): Generator<Row> {
  const { index } = plan;
  if (plan.branches) {
    const found = new Set<string>();
    for (const branch of plan.branches) {
      for (const row of scan(view, collection, filter, branch, examined)) {
        const id = row.record.toString('latin1');
        if (!found.has(id)) yield row;
        found.add(id);
      }
    }
    return;
  }
  const ranges = plan.reverse ? [...plan.ranges].reverse() : plan.ranges;
  // An array puts a document into several ranges, or into one of them several times.
  const seen = index?.multikey.includes(true) ? new Set<string>() : undefined;
  for (const range of ranges) {
    if (!index) {
      for (const { key, value } of view.range(keyIn(collection.id), keyIn(collection.id + 1), plan.reverse)) {
        examined.document();
        const row = new Row(key.subarray(4), value);
        if (matches(filter, row.doc)) yield row;
      }
      continue;
    }
    for (const record of recordsOf(view, index, range, plan.reverse)) {
      examined.key();
      if (seen) {
        const id = record.toString('latin1');
        if (seen.has(id)) continue;
        seen.add(id);
      }
      const bytes = view.get(recordKey(collection, record));
      // Between two batches of a cursor a document may have gone.
      if (!bytes) continue;
      examined.document();
      const row = new Row(record, bytes);
      if (plan.exact || matches(filter, row.doc)) yield row;
    }
  }
}

function* recordsOf(view: View, index: Index, { start, end }: Range, reverse: boolean): Generator<Buffer> {
  const [from, to] = [keyIn(index.id, start), end.length ? keyIn(index.id, end) : keyIn(index.id + 1)];
  // A single key of a unique index needs no cursor.
  if (index.unique && end.length === start.length + 1 && end[end.length - 1] === 0 && end.subarray(0, -1).equals(start)) {
    const record = view.get(from);
    if (record) yield record;
    return;
  }
  for (const { key, value } of view.range(from, to, reverse)) yield index.unique ? value : key.subarray(-8);
}

interface PlanRequest {
  filter: Filter;
  sort?: Sort | undefined;
  hint?: Doc | string | undefined;
}

/** The best plan for a query; a scan of the collection when no index serves. */
export function plan(collection: Collection, { filter, sort, hint }: PlanRequest): Plan {
  const branches = alternatives(filter);
  const everything: Range[] = [{ start: Buffer.alloc(0), end: Buffer.alloc(0) }];
  const natural = naturalDirection(sort, hint);
  const scanAll: Plan = {
    index: undefined,
    ranges: everything,
    reverse: natural < 0,
    exact: false,
    sorted: natural !== 0 || !sort?.length,
  };
  if (natural) return scanAll;
  const hinted = hint === undefined ? undefined : hintedIndex(collection, hint);
  const candidates = hinted ? [hinted] : collection.indexes;
  const best = candidates.map((index) => planIndex(index, branches, sort ?? [], hinted !== undefined)).reduce(better, undefined);
  if (hinted && !best)
    throw badValue('error processing query: planner returned error: hint provided does not serve this query (sparse or partial index)');
  if (best || branches.length < 2) return best?.plan ?? scanAll;
  // No single index serves all branches of an $or: perhaps each has one of its own.
  const each = branches.map(
    (branch) => collection.indexes.map((index) => planIndex(index, [branch], [], false)).reduce(better, undefined)?.plan,
  );
  if (!each.every((found) => found !== undefined)) return scanAll;
  return { ...scanAll, branches: each.map((found) => ({ ...found, exact: false })), sorted: !sort?.length };
}

type Candidate = { plan: Plan; score: number } | undefined;
const better = (a: Candidate, b: Candidate) => (!a || (b && b.score > a.score) ? b : a);

function naturalDirection(sort: Sort | undefined, hint: Doc | string | undefined): number {
  const natural = hint instanceof Map ? hint.get('$natural') : undefined;
  if (natural !== undefined) return sort?.length ? 0 : toNumber(natural)! < 0 ? -1 : 1;
  return sort?.length === 1 && sort[0]!.path === '$natural' ? (sort[0]!.descending ? -1 : 1) : 0;
}

function hintedIndex(collection: Collection, hint: Doc | string): Index | undefined {
  if (hint instanceof Map && hint.has('$natural')) return undefined;
  const wanted = hint instanceof Map ? encodeKey([hint]) : hint;
  const found = collection.indexes.find((index) =>
    typeof wanted === 'string' ? index.name === wanted : encodeKey([index.specification.get('key')]).equals(wanted),
  );
  if (!found) throw badValue('error processing query: planner returned error: bad hint');
  return found;
}

/** A condition that every document of an alternative meets, as far as ranges can express it. */
type Conjunction = Leaf[];

const maxAlternatives = 200;
const maxRanges = 20_000;

/** A filter as alternatives (of `$or`) of conditions; `complete` says whether they are the whole filter. */
function alternatives(filter: Filter): { leaves: Conjunction; complete: boolean }[] {
  switch (filter.kind) {
    case 'leaf':
      return [expandElemMatch(filter)];
    case 'or':
      return filter.of.flatMap(alternatives);
    case 'and': {
      let result = [{ leaves: [] as Conjunction, complete: true }];
      for (const part of filter.of) {
        const branches = alternatives(part);
        if (branches.length * result.length > maxAlternatives) result = result.map(({ leaves }) => ({ leaves, complete: false }));
        else {
          result = result.flatMap((a) => branches.map((b) => ({ leaves: [...a.leaves, ...b.leaves], complete: a.complete && b.complete })));
        }
      }
      return result;
    }
    default:
      return [{ leaves: [], complete: false }];
  }
}

/** `$elemMatch` over documents implies its conditions on the elements' paths, over values those on the array's path. */
function expandElemMatch(leaf: Leaf): { leaves: Conjunction; complete: boolean } {
  if (leaf.op !== 'elemMatch') return { leaves: [leaf], complete: true };
  if (leaf.innerLeaves)
    return { leaves: leaf.innerLeaves.map((inner) => ({ ...inner, path: leaf.path, parts: leaf.parts })), complete: false };
  const inner = leaf.inner && conjunctsOf(leaf.inner);
  const leaves = (inner ?? [])
    .filter((l) => !isArrayIndex(l.parts[0]!))
    .map((l) => ({ ...l, path: `${leaf.path}.${l.path}`, parts: [...leaf.parts, ...l.parts] }));
  // Null in an element may be told apart from what an index of the whole path has for it.
  return { leaves: leaves.filter((l) => l.op !== 'eq' || l.operand !== null), complete: false };
}

function conjunctsOf(filter: Filter): Leaf[] {
  if (filter.kind === 'leaf') return [filter];
  return filter.kind === 'and' ? filter.of.flatMap(conjunctsOf) : [];
}

function planIndex(
  index: Index,
  branches: { leaves: Conjunction; complete: boolean }[],
  sort: Sort,
  hinted: boolean,
): { plan: Plan; score: number } | undefined {
  if (index.partial && !branches.every(({ leaves }) => implies(leaves, index.partial!))) return undefined;
  const bounded = branches.map((branch) => boundsOf(index, branch.leaves));
  if (index.sparse && !bounded.every((bounds) => bounds.excludesMissing)) return undefined;
  const ranges = union(bounded.flatMap((bounds) => bounds.ranges));
  const fewest = (of: (bounds: Bounds) => number) => bounded.map(of).reduce((a, b) => Math.min(a, b));
  const [first] = bounded;
  const shared = first?.constants.findIndex((value, i) => !bounded.every((other) => other.constants[i]?.equals(value))) ?? 0;
  const constant = shared < 0 ? first!.constants.length : shared;
  const direction = sortDirection(index, constant, sort);
  const points = bounded.length ? fewest((bounds) => bounds.points) : index.fields.length;
  const ranged = bounded.length ? fewest((bounds) => (bounds.ranged ? 1 : 0)) : 0;
  if (!points && !ranged && !(sort.length && direction) && !hinted) return undefined;
  const exact = branches.every(({ complete, leaves }, i) => complete && leaves.length === bounded[i]!.exactLeaves);
  const unique = index.unique && points === index.fields.length;
  return {
    plan: { index, ranges, reverse: direction < 0, exact, sorted: !sort.length || direction !== 0 },
    // A key of a unique index is the best there is; then as many equalities as possible, then the order, then a range.
    score:
      (unique ? 1000 : 0) + points * 10 + (sort.length && direction ? 6 : 0) + ranged * 5 + (exact ? 1 : 0) - index.fields.length * 0.1,
  };
}

/** 1 or -1 when the index, past its `constant` first fields, is in the order asked for, forwards or backwards; else 0. */
function sortDirection(index: Index, constant: number, sort: Sort): number {
  if (!sort.length) return 1;
  let position = 0;
  let direction = 0;
  for (const { path, descending } of sort) {
    const at = index.fields.findIndex((field) => field.path === path);
    if (at < 0 || index.multikey[at]) return 0;
    if (at < constant) continue;
    position = Math.max(position, constant);
    if (at !== position) return 0;
    const wanted = index.fields[at]!.descending === descending ? 1 : -1;
    if (direction && direction !== wanted) return 0;
    direction = wanted;
    position++;
    // Past every field of a unique index nothing is left to order.
  }
  return direction || 1;
}

interface Bounds {
  ranges: Range[];
  /** How many leading fields are held to single values. */
  points: number;
  /** The values of the leading fields that are held to exactly one. */
  constants: Buffer[];
  ranged: boolean;
  exactLeaves: number;
  excludesMissing: boolean;
}

/** The ranges of an index in which all documents lie that meet some conditions. */
function boundsOf(index: Index, leaves: Conjunction): Bounds {
  let prefixes: Buffer[] = [Buffer.alloc(0)];
  const bounds: Bounds = { ranges: [], points: 0, constants: [], ranged: false, exactLeaves: 0, excludesMissing: false };
  const boundedArrays = new Set<string>();
  for (const [i, field] of index.fields.entries()) {
    // Two fields under one array: the elements that meet the two conditions may be different ones.
    const root = field.parts[0]!;
    const allowed = !(index.multikey[i] && boundedArrays.has(root));
    const found = allowed
      ? fieldIntervals(
          leaves.filter((leaf) => leaf.path === field.path),
          index.multikey[i] === true,
        )
      : undefined;
    if (!found) break;
    if (index.multikey[i]) boundedArrays.add(root);
    bounds.exactLeaves += found.exactLeaves;
    bounds.excludesMissing ||= !found.intervals.some(({ low, high }) => low.compare(nullKey) <= 0 && high.compare(nullKey) >= 0);
    const points = found.intervals.every((interval) => interval.point);
    if (found.intervals.length * prefixes.length > maxRanges) break;
    if (!points) {
      bounds.ranges = prefixes.flatMap((prefix) => found.intervals.map((interval) => rangeOf(prefix, interval, field.descending)));
      bounds.ranged = true;
      return bounds;
    }
    prefixes = prefixes.flatMap((prefix) => found.intervals.map(({ low }) => Buffer.concat([prefix, directed(low, field.descending)])));
    bounds.points++;
    if (bounds.constants.length === i && found.intervals.length === 1) bounds.constants.push(found.intervals[0]!.low);
  }
  const whole = bounds.points === index.fields.length;
  bounds.ranges = prefixes.map((prefix) => ({
    start: prefix,
    // All fields given, in a unique index: exactly this key.
    end: whole && index.unique ? Buffer.concat([prefix, zero]) : prefix.length ? after(prefix) : Buffer.alloc(0),
  }));
  return bounds;
}

const zero = Buffer.from([0]);
const nullKey = encodeKey([null]);

function directed(bytes: Buffer, descending: boolean): Buffer {
  return descending ? Buffer.from(bytes.map((b) => ~b & 0xff)) : bytes;
}

function rangeOf(prefix: Buffer, { low, lowOpen, high, highOpen }: Interval, descending: boolean): Range {
  let start = lowOpen ? after(low) : low;
  let end = highOpen ? high : after(high);
  if (descending) {
    // Complemented, "before all that begins with X" is "after all that begins with not X".
    start = highOpen ? after(directed(high, true)) : directed(high, true);
    end = lowOpen ? directed(low, true) : after(directed(low, true));
  }
  return { start: Buffer.concat([prefix, start]), end: Buffer.concat([prefix, end]) };
}

/** Values from `low` to `high`, given as beginnings of encodings; open sides leave out what begins so. */
interface Interval {
  low: Buffer;
  lowOpen: boolean;
  high: Buffer;
  highOpen: boolean;
  point: boolean;
}

const pointAt = (part: KeyPart): Interval => {
  const key = encodeKey([part]);
  return { low: key, lowOpen: false, high: key, highOpen: false, point: true };
};

interface Condition {
  intervals: Interval[];
  exact: boolean;
}

/** The intervals of one field. Conditions on an array may be met by different elements, so only one of them can be used. */
function fieldIntervals(leaves: Leaf[], multikey: boolean): { intervals: Interval[]; exactLeaves: number } | undefined {
  const conditions = leaves.map(intervalsOf).filter((condition) => condition !== undefined);
  if (!conditions.length) return undefined;
  const fewer = (a: Condition, b: Condition) => (weight(b) < weight(a) ? b : a);
  if (multikey) {
    const best = conditions.reduce(fewer);
    return { intervals: normal(best.intervals), exactLeaves: best.exact ? 1 : 0 };
  }
  return {
    intervals: normal(conditions.map((condition) => condition.intervals).reduce(intersect)),
    exactLeaves: conditions.filter((condition) => condition.exact).length,
  };
}

function weight({ intervals }: Condition): number {
  return intervals.every((interval) => interval.point) ? intervals.length / 1e6 : 1 + intervals.length;
}

function intervalsOf(leaf: Leaf): Condition | undefined {
  const condition = conditionOf(leaf);
  // At the position that a path names an index has an array's elements, a query only the array.
  return condition && leaf.parts.some(isArrayIndex) ? { ...condition, exact: false } : condition;
}

function conditionOf({ op, operand }: Leaf): Condition | undefined {
  switch (op) {
    case 'eq':
      return equalityIntervals(operand);
    case 'in': {
      const parts = (operand as Value[]).map((v) => (v instanceof BSONRegExp ? regexIntervals(v) : equalityIntervals(v)));
      if (parts.some((part) => !part)) return undefined;
      return { intervals: parts.flatMap((part) => part!.intervals), exact: parts.every((part) => part!.exact) };
    }
    case 'regex':
      return regexIntervals(operand as BSONRegExp);
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return orderingIntervals(op, operand);
    default:
      return undefined;
  }
}

function equalityIntervals(value: Value): Condition | undefined {
  // An index has an array's elements, not the array.
  if (Array.isArray(value)) return undefined;
  if (value === null) return { intervals: [pointAt(emptyArray), pointAt(null)], exact: false };
  return { intervals: [pointAt(value)], exact: true };
}

function regexIntervals(regex: BSONRegExp): Condition | undefined {
  const prefix = literalPrefix(regex);
  if (!prefix) return undefined;
  const key = encodeKey([prefix]).subarray(0, -2);
  return { intervals: [{ low: key, lowOpen: false, high: key, highOpen: false, point: false }, pointAt(regex)], exact: false };
}

function orderingIntervals(op: string, operand: Value): Condition | undefined {
  if (operand === null) return op.endsWith('e') ? { intervals: [pointAt(emptyArray), pointAt(null)], exact: false } : undefined;
  const rank = rankOf(operand);
  const bracketed = ![types.minKey.rank, types.maxKey.rank, types.array.rank].includes(rank as never);
  if (!bracketed || Number.isNaN(toNumber(operand))) return undefined;
  const bracket = Buffer.from([rank]);
  const key = encodeKey([operand]);
  const open = !op.endsWith('e');
  const interval = op.startsWith('g')
    ? { low: key, lowOpen: open, high: bracket, highOpen: false, point: false }
    : { low: bracket, lowOpen: false, high: key, highOpen: open, point: false };
  // Among numbers there is NaN, which is less than none.
  return { intervals: [interval], exact: rank !== types.double.rank };
}

/** Where an interval begins and ends as keys: comparable with each other. */
const startOf = (interval: Interval) => (interval.lowOpen ? after(interval.low) : interval.low);
const endOf = (interval: Interval) => (interval.highOpen ? interval.high : after(interval.high));

function intersect(left: Interval[], right: Interval[]): Interval[] {
  const result: Interval[] = [];
  for (const a of left) {
    for (const b of right) {
      const low = startOf(a).compare(startOf(b)) >= 0 ? a : b;
      const high = endOf(a).compare(endOf(b)) <= 0 ? a : b;
      if (startOf(low).compare(endOf(high)) >= 0) continue;
      result.push(
        a.point ? a : b.point ? b : { low: low.low, lowOpen: low.lowOpen, high: high.high, highOpen: high.highOpen, point: false },
      );
    }
  }
  return result;
}

/** Without repetitions, for `$in` may name a value twice. */
function normal(intervals: Interval[]): Interval[] {
  const known = new Map(
    intervals.map((interval) => [`${startOf(interval).toString('latin1')}|${endOf(interval).toString('latin1')}`, interval]),
  );
  return [...known.values()];
}

/** Ranges in order, those that touch made one. */
function union(ranges: Range[]): Range[] {
  const sorted = ranges.filter(({ start, end }) => !end.length || start.compare(end) < 0).sort((a, b) => a.start.compare(b.start));
  const result: Range[] = [];
  for (const range of sorted) {
    const last = result[result.length - 1];
    if (!last || (last.end.length && range.start.compare(last.end) > 0)) result.push({ ...range });
    else if (last.end.length && (!range.end.length || range.end.compare(last.end) > 0)) last.end = range.end;
  }
  return result;
}

/** Whether documents that meet the conditions are all in a partial index. What is not seen to be implied is not. */
function implies(leaves: Conjunction, partial: Filter): boolean {
  if (partial.kind === 'and') return partial.of.every((part) => implies(leaves, part));
  if (partial.kind === 'or') return partial.of.some((part) => implies(leaves, part));
  if (partial.kind !== 'leaf') return false;
  return leaves.some((leaf) => leaf.path === partial.path && leafImplies(leaf, partial));
}

function leafImplies(leaf: Leaf, partial: Leaf): boolean {
  if (leaf.op === partial.op && encodeKey([leaf.operand]).equals(encodeKey([partial.operand]))) return true;
  if (leaf.op === 'eq') return simple(leaf.operand) && partial.test(leaf.operand);
  if (leaf.op === 'in') return (leaf.operand as Value[]).every((v) => simple(v) && partial.test(v));
  if (!['gt', 'gte', 'lt', 'lte'].includes(leaf.op) || !simple(leaf.operand)) return false;
  if (partial.op === 'exists') return true;
  const sameSide = leaf.op[0] === partial.op[0] && rankOf(leaf.operand) === rankOf(partial.operand);
  if (!sameSide || Number.isNaN(toNumber(leaf.operand)) || Number.isNaN(toNumber(partial.operand))) return false;
  const order = comparer(partial.operand)(leaf.operand) * (leaf.op[0] === 'g' ? 1 : -1);
  return order > 0 || (order === 0 && (partial.op.endsWith('e') || !leaf.op.endsWith('e')));
}

/** A value that no array and no missing field equals. */
function simple(value: Value): boolean {
  return value !== null && !Array.isArray(value) && !(value instanceof BSONRegExp);
}
