import { BSONRegExp } from 'bson';
import { rankOf, toNumber, type Value } from './bson.ts';
import type { Collection, Index } from './catalog.ts';
import { badValue } from './errors.ts';
import { after, encodeKey, maxKeyBytes } from './keys.ts';
import { conjuncts, type Filter, type Leaf } from './query.ts';

/**
 * Chooses where to look for the documents of a query. A plan is one index and a set of disjoint ranges of its keys, in order, so that
 * `$in` reads only what it asks for and still comes out sorted. Every document is checked against the whole filter again: a mistake here
 * could lose documents but never add any, which the fuzz test looks for.
 */
export interface Plan {
  /** Undefined: the whole collection is read. */
  index: Index | undefined;
  ranges: Range[];
  isReverse: boolean;
  /** What comes out is in the order asked for. */
  isSorted: boolean;
  /** The ranges are single keys of a unique index. */
  isLookup: boolean;
}

/** A range of bytes: from `start` (inclusive) to `end` (exclusive). */
export interface Range {
  start: Buffer;
  end: Buffer;
}

export type Sort = { path: string; parts: string[]; descending: boolean }[];

/** The best plan for a query; a scan of the collection when no index serves. */
export function planQuery(collection: Collection, filter: Filter, sort: Sort, hint?: string): Plan {
  const leaves = conjuncts(filter);
  const candidates = collection.indexes.filter((index) => hint === undefined || index.name === hint);
  const usable = candidates.filter(
    ({ partial }) => !partial || conjuncts(partial).every((needed) => leaves.some((l) => implies(l, needed))),
  );
  if (hint !== undefined && !usable.length) throw badValue('error processing query: planner returned error: bad hint');
  const plans = usable.map((index) => planIndex(index, leaves, sort)).sort((a, b) => b.score - a.score);
  const [best] = plans;
  if (best && (best.score > 0 || hint !== undefined)) return best.plan;
  return { index: undefined, ranges: [], isReverse: false, isSorted: !sort.length, isLookup: false };
}

/** Whether a document that meets a condition meets one of a partial index. What is not seen to be implied is not. */
function implies(leaf: Leaf, needed: Leaf): boolean {
  if (leaf.path !== needed.path) return false;
  if (leaf.op === needed.op && encodeKey([leaf.operand]).equals(encodeKey([needed.operand]))) return true;
  return leaf.op === 'eq' && isPoint(leaf.operand) && leaf.operand !== null && needed.test(leaf.operand);
}

/** The ranges of an index in which all documents lie that meet some conditions, and how well they serve. */
function planIndex(index: Index, leaves: Leaf[], sort: Sort): { plan: Plan; score: number } {
  let prefixes: Buffer[] = [Buffer.alloc(0)];
  let inside: Range | undefined;
  let [points, constants] = [0, 0];
  for (const [i, field] of index.fields.entries()) {
    const bounds = boundsOf(
      leaves.filter((leaf) => leaf.path === field.path),
      index.multikey[i]!,
    );
    if (!bounds?.points || bounds.points.length * prefixes.length > maxRanges) {
      inside = bounds?.range && directed(bounds.range, field.descending);
      break;
    }
    const values = bounds.points.map((point) => (field.descending ? complement(point) : point));
    prefixes = prefixes.flatMap((prefix) => values.map((value) => Buffer.concat([prefix, value])));
    points++;
    if (constants === i && values.length === 1) constants++;
  }
  const ranges = union(prefixes.map((prefix) => short(rangeIn(prefix, inside))));
  const direction = sortDirection(index, constants, sort);
  const isLookup = index.unique && points === index.fields.length;
  const served = points * 10 + (sort.length && direction ? 6 : 0) + (inside ? 5 : 0);
  return {
    plan: { index, ranges, isReverse: direction < 0, isSorted: !sort.length || direction !== 0, isLookup },
    // A key of a unique index is the best there is; then as many equalities as possible, then the order, then a range.
    score: served && served + (isLookup ? 1000 : 0) - index.fields.length * 0.1,
  };
}

const maxRanges = 20_000;
const everyKey: Range = { start: Buffer.alloc(0), end: Buffer.from([0xff]) };

function rangeIn(prefix: Buffer, inside: Range | undefined): Range {
  if (!inside) return prefix.length ? { start: prefix, end: after(prefix) } : everyKey;
  return { start: Buffer.concat([prefix, inside.start]), end: Buffer.concat([prefix, inside.end]) };
}

/** A range as LMDB can be asked for it: no key is longer, so it leaves out none that lies in the other. */
function short({ start, end }: Range): Range {
  const cut = (bytes: Buffer) => bytes.subarray(0, maxKeyBytes);
  return { start: cut(start), end: end.length > maxKeyBytes ? after(cut(end)) : end };
}

const complement = (bytes: Buffer) => Buffer.from(bytes.map((byte) => ~byte));

/** Complemented, "before all that begins with X" is "after all that begins with not X". */
function directed({ start, end }: Range, descending: boolean): Range {
  return descending ? { start: after(complement(end)), end: after(complement(start)) } : { start, end };
}

/** 1 or -1 when the index, past its `constants` first fields, is in the order asked for, forwards or backwards; else 0. */
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

/** What one field is held to: single values or a range of values, encoded. */
interface Bounds {
  points?: Buffer[];
  range?: Range;
}

/** Conditions on an array may be met by different elements, so only one of them can be used. */
function boundsOf(leaves: Leaf[], multikey: boolean): Bounds | undefined {
  const bounds = leaves.map(boundsOfLeaf).filter((found) => found !== undefined);
  const points = bounds.filter((found) => found.points).sort((a, b) => a.points!.length - b.points!.length);
  if (points.length || multikey) return points[0] ?? bounds[0];
  return bounds.length ? { range: bounds.map(({ range }) => range!).reduce(intersection) } : undefined;
}

function boundsOfLeaf({ op, operand }: Leaf): Bounds | undefined {
  if (op === 'eq') return isPoint(operand) ? { points: [encodeKey([operand])] } : undefined;
  if (op === 'in')
    return (operand as Value[]).every(isPoint) ? { points: (operand as Value[]).map((value) => encodeKey([value])) } : undefined;
  if (!['gt', 'gte', 'lt', 'lte'].includes(op) || operand === null || Array.isArray(operand)) return undefined;
  if (Number.isNaN(toNumber(operand))) return undefined;
  const value = encodeKey([operand]);
  const type = Buffer.from([rankOf(operand)]);
  const edge = op === 'gt' || op === 'lte' ? after(value) : value;
  return { range: op.startsWith('g') ? { start: edge, end: after(type) } : { start: type, end: edge } };
}

/** An index has an array's elements, not the array; and a regular expression in `$in` is a pattern. */
const isPoint = (value: Value) => !Array.isArray(value) && !(value instanceof BSONRegExp);

function intersection(a: Range, b: Range): Range {
  return { start: a.start.compare(b.start) > 0 ? a.start : b.start, end: a.end.compare(b.end) < 0 ? a.end : b.end };
}

/** Ranges in order, without empty ones and repetitions, for `$in` may name a value twice. */
function union(ranges: Range[]): Range[] {
  const sorted = ranges.filter(({ start, end }) => start.compare(end) < 0).sort((a, b) => a.start.compare(b.start));
  return sorted.filter(({ start }, i) => !i || !sorted[i - 1]!.start.equals(start));
}
