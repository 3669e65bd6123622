import type { Schema } from 'mongoose';
import { both, type Conditions } from './extent.ts';

/**
 * Finds out how the indexes of a collection serve a filter and an order, before anything is read. Query planners of databases choose by trial,
 * and a wrong choice reads a whole list. So the store tells in the form of its queries what to read, and reads a limited part of what no index
 * serves.
 */

/** What a filter requires of one field. */
export interface Requirement {
  readonly field: string;
  /** As in a query. */
  readonly condition: unknown;
  /** `values`: one of some values. `range`: an interval of values. `other`: what no index finds, such as a pattern. */
  readonly form: 'values' | 'range' | 'other';
  /** The number of values. */
  readonly size?: number;
  /** Whether (nearly) all records satisfy it that satisfy the others, so no index needs to find it. */
  readonly isImplied?: boolean;
}

/** An index: its fields, all ascending, and the values that all of its records have in other fields. */
export interface Index {
  readonly fields: readonly string[];
  readonly partial: Conditions;
}

/** A key range, or several, of one index. */
export interface Path {
  readonly conditions: Conditions;
  readonly covered: ReadonlySet<Requirement>;
}

/**
 * How to read a page. `direct`: an index returns exactly the requested records, in the requested order. Otherwise the records of `inOrder` are in
 * the requested order, and those of each of `candidates` are not, but may be few; all of them contain the requested ones.
 */
export type Access = 'direct' | { readonly inOrder: Conditions; readonly candidates: readonly Conditions[] };

/** More key ranges are not merged in order: databases sort them instead. */
const MERGED_MAX = 100;

/** Returns the indexes of a collection that are ascending, which all indexes of the store are. */
export function indexesOf(schema: Schema): Index[] {
  const own = schema.indexes().map(([key, options]) => ({
    fields: Object.keys(key as object),
    partial: ((options as { partialFilterExpression?: Conditions }).partialFilterExpression ?? {}) as Conditions,
  }));
  return [{ fields: ['_id'], partial: {} }, ...own];
}

/** @throws Error when no index has the order: the lists of a noun can be sorted only by fields that have one */
export function accessTo(indexes: readonly Index[], requirements: readonly Requirement[], sortField: string): Access {
  // One record at most.
  if (requirements.some(({ field }) => field === '_id')) return 'direct';
  const ordered = indexes.flatMap((index) => orderedPath(index, requirements, sortField) ?? []);
  const missing = ({ covered }: Path) => requirements.filter((each) => !each.isImplied && !covered.has(each)).length;
  const [best] = ordered.sort((a, b) => missing(a) - missing(b) || b.covered.size - a.covered.size);
  if (!best) throw new Error(`No index has the order by ${sortField}.`);
  if (missing(best) === 0) return 'direct';
  const candidates = widestPaths(indexes, requirements).filter(({ covered }) => !isSubset(covered, best.covered));
  return { inOrder: best.conditions, candidates: candidates.map(({ conditions }) => conditions) };
}

/** Returns the key ranges that contain the records of a filter: for each index that finds more of it, or something else, than the others. */
export function widestPaths(indexes: readonly Index[], requirements: readonly Requirement[]): Path[] {
  const paths = indexes.flatMap((index) => pathIn(index, requirements) ?? []);
  return paths.filter(
    ({ covered }, at) =>
      covered.size > 0 &&
      !paths.some(
        (other, otherAt) =>
          other.covered !== covered && isSubset(covered, other.covered) && (other.covered.size > covered.size || otherAt < at),
      ),
  );
}

/** Returns what an index finds of a filter: values of its first fields, and then an interval. */
function pathIn({ fields, partial }: Index, requirements: readonly Requirement[]): Path | null {
  const covered = coveredBy(partial, requirements);
  if (!covered) return null;
  for (const field of fields) {
    const found = servable(requirements, field);
    if (!found) break;
    covered.push(found);
    if (found.form === 'range') break;
  }
  return pathOf(covered);
}

/** Returns the key ranges of an index that are in order, or null if it does not have this order. */
function orderedPath({ fields, partial }: Index, requirements: readonly Requirement[], sortField: string): Path | null {
  const at = fields.indexOf(sortField);
  if (at < 0 || fields[at + 1] !== '_id' || fields.length > at + 2) return null;
  const covered = coveredBy(partial, requirements);
  if (!covered) return null;
  const before = fields.slice(0, at).map((field) => servable(requirements, field));
  if (!before.every((found) => found?.form === 'values')) return null;
  if (before.reduce((ranges, found) => ranges * (found?.size ?? 1), 1) > MERGED_MAX) return null;
  const own = servable(requirements, sortField);
  return pathOf([...covered, ...(before as Requirement[]), ...(own ? [own] : [])]);
}

function servable(requirements: readonly Requirement[], field: string): Requirement | undefined {
  const own = requirements.filter((each) => each.field === field);
  return own.find(({ form }) => form === 'values') ?? own.find(({ form }) => form === 'range');
}

/** Returns the requirements that all records of a partial index satisfy, or null if the index may lack a requested record. */
function coveredBy(partial: Conditions, requirements: readonly Requirement[]): Requirement[] | null {
  const covered: Requirement[] = [];
  for (const [field, value] of Object.entries(partial)) {
    const found = requirements.find((each) => each.field === field && each.condition === value);
    if (!found) return null;
    covered.push(found);
  }
  return covered;
}

function pathOf(covered: readonly Requirement[]): Path {
  return { conditions: conditionsOf(covered), covered: new Set(covered) };
}

/** Returns the condition that all requirements are satisfied. */
export function conditionsOf(requirements: Iterable<Requirement>): Conditions {
  let conditions: Conditions = {};
  for (const { field, condition } of requirements) conditions = both(conditions, { [field]: condition });
  return conditions;
}

function isSubset(part: ReadonlySet<Requirement>, whole: ReadonlySet<Requirement>): boolean {
  return [...part].every((each) => whole.has(each));
}
