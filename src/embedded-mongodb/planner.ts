import { BSONRegExp } from 'bson';
import { rankOf, toNumber, type Value } from './bson.ts';
import type { Collection, Index } from './catalog.ts';
import { badValue } from './errors.ts';
import { after, encodeKey, maxKeyBytes } from './keys.ts';
import { conjuncts, type Filter, type Leaf } from './query.ts';

/**
 * Chooses how to find the documents of a query. A plan is an index and an ordered set of disjoint ranges of its keys, so that `$in` reads
 * only the requested keys and still returns them in order. Every document is checked against the whole filter again. So a mistake here
 * could omit documents but never add any; the fuzz test looks for such mistakes.
 */
export interface Plan {
  /** If undefined, the whole collection is read. */
  index: Index | undefined;
  ranges: Range[];
  isReverse: boolean;
  /** Whether the results have the requested order. */
  isSorted: boolean;
  /** Whether the ranges are single keys of a unique index. */
  isLookup: boolean;
  /**
   * Set if each range has the requested order, but one after the other they have not: the number of bytes with which the keys of a range begin
   * and after which they are in order. The ranges are then read side by side and merged.
   */
  mergesAfter?: number[] | undefined;
  /** Whether the keys in the ranges are those of all documents that match, and each of these is there once. Then counting needs no document. */
  isExact: boolean;
}

/** A range of bytes: from `start` (inclusive) to `end` (exclusive). */
export interface Range {
  start: Buffer;
  end: Buffer;
}

export type Sort = { path: string; parts: string[]; descending: boolean }[];

/** Returns the best plan for a query: a collection scan if no index is usable. */
export function planQuery(collection: Collection, filter: Filter, sort: Sort, hint?: string): Plan {
  const leaves = conjuncts(filter);
  const candidates = collection.indexes.filter((index) => hint === undefined || index.name === hint);
  const usable = candidates.filter(
    ({ partial }) => !partial || conjuncts(partial).every((needed) => leaves.some((l) => implies(l, needed))),
  );
  if (hint !== undefined && !usable.length) throw badValue('error processing query: planner returned error: bad hint');
  const plans = usable.map((index) => planIndex(index, leaves, isConjunction(filter), sort)).sort((a, b) => b.score - a.score);
  const [best] = plans;
  if (best && (best.score > 0 || hint !== undefined)) return best.plan;
  return { index: undefined, ranges: [], isReverse: false, isSorted: !sort.length, isLookup: false, isExact: false };
}

/** Returns whether a condition implies one of a partial index. When unsure, returns false. */
function implies(leaf: Leaf, needed: Leaf): boolean {
  if (leaf.path !== needed.path) return false;
  if (isSame(leaf, needed)) return true;
  return leaf.op === 'eq' && isPoint(leaf.operand) && leaf.operand !== null && needed.test(leaf.operand);
}

/** Returns the ranges of an index that contain all documents that satisfy the conditions, and a rating of the plan. */
function planIndex(index: Index, leaves: Leaf[], isComplete: boolean, sort: Sort): { plan: Plan; score: number } {
  let prefixes: Buffer[] = [Buffer.alloc(0)];
  let inside: Range | undefined;
  let [points, constants] = [0, 0];
  // A condition of a partial index is satisfied by all of its documents.
  const needed = index.partial ? conjuncts(index.partial) : [];
  const unserved = new Set(leaves.filter((leaf) => !needed.some((each) => isSame(each, leaf))));
  for (const [i, field] of index.fields.entries()) {
    const bounds = boundsOf(
      leaves.filter((leaf) => leaf.path === field.path),
      index.multikey[i]!,
    );
    if (!bounds?.points || bounds.points.length * prefixes.length > maxRanges) {
      inside = bounds?.range && directed(bounds.range, field.descending);
      for (const leaf of bounds?.exactFor ?? []) unserved.delete(leaf);
      break;
    }
    for (const leaf of bounds.exactFor) unserved.delete(leaf);
    const values = bounds.points.map((point) => (field.descending ? complement(point) : point));
    prefixes = prefixes.flatMap((prefix) => values.map((value) => Buffer.concat([prefix, value])));
    points++;
    if (constants === i && values.length === 1) constants++;
  }
  const ranges = union(prefixes.map((prefix) => ({ ...short(rangeIn(prefix, inside)), fixed: prefix.length })));
  let direction = sortDirection(index, constants, sort);
  const isMerged = !direction && ranges.length <= maxMerged && !index.multikey.includes(true);
  // Within each of the ranges, all equalities are constants. The order is not that of a field with several values.
  if (isMerged && !sort.some(({ path }) => index.fields.findIndex((field) => field.path === path) < points))
    direction = sortDirection(index, points, sort);
  const isLookup = index.unique && points === index.fields.length;
  const served = points * 10 + (sort.length && direction ? 6 : 0) + (inside ? 5 : 0);
  return {
    plan: {
      index,
      ranges,
      isReverse: direction < 0,
      isSorted: !sort.length || direction !== 0,
      isLookup,
      mergesAfter: isMerged && direction && ranges.length > 1 ? ranges.map(({ fixed }) => fixed) : undefined,
      isExact: isComplete && !unserved.size && !index.multikey.includes(true),
    },
    // Prefers single keys of a unique index, then the highest number of equalities, then the requested order, then a range. Of two indexes that
    // are equally good, a partial one has fewer keys.
    score: served && served + (isLookup ? 1000 : 0) + (index.partial ? 3 : 0) - index.fields.length * 0.1,
  };
}

/** Whether a filter consists of conditions that a document must all satisfy, and of nothing else. */
const isConjunction = (filter: Filter): boolean => filter.kind === 'leaf' || (filter.kind === 'and' && filter.of.every(isConjunction));

const isSame = (a: Leaf, b: Leaf) => a.path === b.path && a.op === b.op && encodeKey([a.operand]).equals(encodeKey([b.operand]));

const maxRanges = 20_000;
/** More ranges are not merged, as in MongoDB: their documents are sorted. */
const maxMerged = 200;
const everyKey: Range = { start: Buffer.alloc(0), end: Buffer.from([0xff]) };

function rangeIn(prefix: Buffer, inside: Range | undefined): Range {
  if (!inside) return prefix.length ? { start: prefix, end: after(prefix) } : everyKey;
  return { start: Buffer.concat([prefix, inside.start]), end: Buffer.concat([prefix, inside.end]) };
}

/** Shortens a range to what LMDB accepts. No key is longer, so both ranges contain the same keys. */
function short({ start, end }: Range): Range {
  const cut = (bytes: Buffer) => bytes.subarray(0, maxKeyBytes);
  return { start: cut(start), end: end.length > maxKeyBytes ? after(cut(end)) : end };
}

const complement = (bytes: Buffer) => Buffer.from(bytes.map((byte) => ~byte));

/** After complementing, "before all keys with prefix X" becomes "after all keys with prefix not X". */
function directed({ start, end }: Range, descending: boolean): Range {
  return descending ? { start: after(complement(end)), end: after(complement(start)) } : { start, end };
}

/** Returns 1 or -1 if the index, without its first `constants` fields, has the requested order forwards or backwards; otherwise 0. */
function sortDirection(index: Index, constants: number, sort: Sort): number {
  let position = constants;
  let direction = 0;
  for (const { path, descending } of sort) {
    const at = index.fields.findIndex((field) => field.path === path);
    if (at < 0 || index.multikey[at]) return 0;
    if (at < constants) continue;
    const wanted = index.fields[at]!.descending === descending ? 1 : -1;
    if (at !== position++ || (direction && direction !== wanted)) return 0;
    direction = wanted;
  }
  return direction || 1;
}

/** The constraint on one field: single values or a range of values, encoded. */
interface Bounds {
  points?: Buffer[];
  range?: Range;
  /** The conditions that exactly the keys within the bounds satisfy. */
  exactFor: Leaf[];
}

/** Different elements of an array can satisfy different conditions, so only one condition on an array can be used. */
function boundsOf(leaves: Leaf[], multikey: boolean): Bounds | undefined {
  const bounds = leaves.map(boundsOfLeaf).filter((found) => found !== undefined);
  const points = bounds.filter((found) => found.points).sort((a, b) => a.points!.length - b.points!.length);
  if (multikey) return points[0] ?? bounds[0];
  if (!bounds.length) return undefined;
  const exactFor = bounds.flatMap((each) => each.exactFor);
  const ranges = bounds.flatMap(({ range }) => range ?? []);
  const range = ranges.length ? ranges.reduce(intersection) : undefined;
  const [fewest, ...others] = points;
  if (!fewest) return { range: range!, exactFor };
  const isWanted = (point: Buffer) =>
    (!range || (point.compare(range.start) >= 0 && point.compare(range.end) < 0)) &&
    others.every((each) => each.points!.some((other) => other.equals(point)));
  return { points: others.length || range ? fewest.points!.filter(isWanted) : fewest.points!, exactFor };
}

function boundsOfLeaf(leaf: Leaf): Bounds | undefined {
  const { op, operand } = leaf;
  const pointsOf = (values: Value[]): Bounds | undefined =>
    values.every(isPoint) ? { points: values.map((value) => encodeKey([value])), exactFor: [leaf] } : undefined;
  if (op === 'eq') return pointsOf([operand]);
  if (op === 'in') return pointsOf(operand as Value[]);
  if (!['gt', 'gte', 'lt', 'lte'].includes(op) || operand === null || Array.isArray(operand)) return undefined;
  if (Number.isNaN(toNumber(operand))) return undefined;
  const value = encodeKey([operand]);
  const type = Buffer.from([rankOf(operand)]);
  const edge = op === 'gt' || op === 'lte' ? after(value) : value;
  const range = op.startsWith('g') ? { start: edge, end: after(type) } : { start: type, end: edge };
  // NaN has the rank of a number, and no range.
  return { range, exactFor: toNumber(operand) === undefined ? [leaf] : [] };
}

/** An index contains the elements of an array, not the array itself. A regular expression in `$in` is a pattern, not a value. */
const isPoint = (value: Value) => !Array.isArray(value) && !(value instanceof BSONRegExp);

function intersection(a: Range, b: Range): Range {
  return { start: a.start.compare(b.start) > 0 ? a.start : b.start, end: a.end.compare(b.end) < 0 ? a.end : b.end };
}

/** Sorts ranges, and removes empty ones and duplicates, because `$in` can contain a value twice. */
function union<R extends Range>(ranges: R[]): R[] {
  const sorted = ranges.filter(({ start, end }) => start.compare(end) < 0).sort((a, b) => a.start.compare(b.start));
  return sorted.filter(({ start }, i) => !i || !sorted[i - 1]!.start.equals(start));
}
