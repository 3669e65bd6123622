import type { Conditions } from './extent.ts';
import { type Filter, isSame } from './filter.ts';
import type { BaseRecord } from './record.ts';

/** A page of a list: what is requested, the order of its records, and the key ranges after a cursor. Reads nothing. */

/** The last record before a page, as encoded in a cursor: its value of the sort field, and its id. */
export interface PageStart {
  readonly value: string | Date;
  readonly id: string;
}

/** The requested part of a list. */
export interface PageRequest<SortField extends string = string> {
  /** The maximum number of records. */
  readonly limit: number;
  readonly sortField: SortField;
  readonly descending: boolean;
  readonly after?: PageStart;
  /** If given, the page consists of the last `limit` records before this record. */
  readonly before?: PageStart;
  /**
   * Whether at most `EXAMINED_MAX` records are read for a filter and an order that no index serves together. The page can then be shorter than
   * `limit`, or empty, although more records follow. Not limited by default.
   */
  readonly isBounded?: boolean;
}

/** A page of a list, in the requested order. */
export interface Page<R> {
  readonly records: readonly R[];
  /** Whether more records follow the page, in the direction of reading. */
  readonly hasMore: boolean;
  /** Where the next page begins, if this one is shorter than requested because enough was read. */
  readonly continuesAt?: PageStart;
  /** Whether up to `EXAMINED_MAX` records were read for it. Without it, no more were read than the page and one. */
  readonly wasExamined?: true;
}

/** A page to read: the filter of the list, and the requested part. */
export interface PageOf<R extends BaseRecord> {
  readonly filter: Filter<R>;
  readonly request: PageRequest;
}

/** Reading backward from `before` is the same as reading forward in the opposite order. */
function ascending(request: PageRequest): boolean {
  return request.descending === Boolean(request.before);
}

/** After all ids in the direction of reading: for a cursor that continues after something that somebody else has stored without an id. */
export function lastId(request: PageRequest): string {
  return (ascending(request) ? 'f' : '0').repeat(24);
}

export function order(request: PageRequest): Record<string, 1 | -1> {
  const direction = ascending(request) ? 1 : -1;
  return { [request.sortField]: direction, _id: direction };
}

/**
 * Returns the key ranges after a cursor, up to and including a position if one is given: the remaining records with the same sort value, and all
 * with a later one. Each is one interval of the index, so a page reads only the records that it returns. The performance of one `$or` over all
 * would depend on the query planner.
 */
export function ranges(request: PageRequest, to?: PageStart): Conditions[] {
  const { sortField } = request;
  const from = request.before ?? request.after;
  const [beyond, within] = ascending(request) ? ['$gt', '$lt'] : ['$lt', '$gt'];
  const upToId = to && { [`${within}e`]: to.id };
  if (from && to && isSame(from.value, to.value)) return [{ [sortField]: from.value, _id: { [beyond]: from.id, ...upToId } }];
  const between = { ...(from && { [beyond]: from.value }), ...(to && { [within]: to.value }) };
  return [
    ...(from ? [{ [sortField]: from.value, _id: { [beyond]: from.id } }] : []),
    from || to ? { [sortField]: between } : {},
    ...(to ? [{ [sortField]: to.value, _id: upToId }] : []),
  ];
}

const HIGH = /[\ud800-\uffff]/;

/** Compares records in the same order as `order`, to merge the two ranges of a page. Compares strings by their UTF-8 bytes, as MongoDB does. */
export function comparing(request: PageRequest) {
  const sign = ascending(request) ? 1 : -1;
  const compare = (a: unknown, b: unknown) =>
    a instanceof Date && b instanceof Date ? a.getTime() - b.getTime() : compareTexts(String(a), String(b));
  return <R extends BaseRecord>(a: R, b: R): number =>
    sign * (compare(a[request.sortField as keyof R], b[request.sortField as keyof R]) || compare(a.id, b.id));
}

/** Compares texts by their UTF-8 bytes. Below the surrogates, UTF-16 has the same order. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return HIGH.test(a) || HIGH.test(b) ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : a < b ? -1 : 1;
}
