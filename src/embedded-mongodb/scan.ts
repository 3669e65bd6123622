import { type Doc, decode } from './bson.ts';
import { type Collection, type Index, keyIn, recordKey } from './catalog.ts';
import { damaged } from './checksum.ts';
import { CommandError } from './errors.ts';
import type { Plan, Range } from './planner.ts';
import { everything, type Filter, matches } from './query.ts';
import type { TransactionView, View } from './storage.ts';
import type { Turns } from './turns.ts';

/** How much all statements together, and each of them, may keep in memory for sorting and grouping, in bytes. */
const maxHeldBytes = 512 * 2 ** 20;
const maxStatementBytes = 256 * 2 ** 20;
let heldBytes = 0;

/**
 * A statement yields this, instead of an item, when others should get their turn. Every stage passes it on, and whoever draws the items waits
 * (`Examined.rest`) before it draws the next.
 */
export const pause = Symbol('pause');
export type OrPause<T> = T | typeof pause;

/** How long a statement works before others get their turn. */
const turnMilliseconds = 5;

/** For whom a statement runs. */
interface Client {
  peer: { readonly isClosed: boolean };
  turns: Turns;
}

/** What a query has examined, as reported by `explain`, its time limit, and its turns. */
export class Examined {
  keys = 0;
  documents = 0;
  /** Whether the turn of the statement is over. Always false for one that cannot pause. */
  isTurnOver = false;
  /** The transaction of the statement. */
  transaction: TransactionView | undefined;
  /** Undefined if the collection does not exist. */
  readonly plans: (Plan | undefined)[] = [];
  /** Whether a cursor needs it after the command. */
  isKept = false;
  private millisecondsLeft: number;
  private since = Date.now();
  private turnSince = this.since;
  private held = 0;
  private readonly client: Client | undefined;
  private pinned: View | undefined;

  constructor(maxTimeMS = 0, client?: Client) {
    this.millisecondsLeft = maxTimeMS || Number.POSITIVE_INFINITY;
    this.client = client;
  }

  /** The time between two batches of a cursor does not count. */
  pause(): void {
    this.millisecondsLeft -= Date.now() - this.since;
    this.pinned?.unpin();
    this.pinned = undefined;
  }
  resume(): void {
    this.since = Date.now();
    this.turnSince = this.since;
    this.isTurnOver = false;
  }

  /**
   * Gives others their turn. Until the end of the batch, the view then reads the snapshot that it has read until now.
   * @throws CommandError when the client has gone, or the transaction has ended meanwhile
   */
  async rest(view: View): Promise<void> {
    if (view.pin()) this.pinned = view;
    const { turns, peer } = this.client!;
    await turns.next();
    if (peer.isClosed) throw new CommandError(279, 'the client has closed its connection');
    if (this.transaction?.isOpen === false) throw new CommandError(251, 'The transaction has been aborted.');
    this.turnSince = Date.now();
    this.isTurnOver = false;
  }

  /** Accounts for memory. @throws CommandError when it is too much */
  hold(bytes: number): void {
    this.held += bytes;
    heldBytes += bytes;
    if (this.held > maxStatementBytes || heldBytes > maxHeldBytes) {
      throw new CommandError(292, 'Exceeded memory limit for sorting or grouping, and the embedded database does not use the disk for it.');
    }
  }
  release(): void {
    heldBytes -= this.held;
    this.held = 0;
  }

  /** Counts, and regularly checks the time limit and the end of the turn. */
  count(what: 'keys' | 'documents', number = 1): void {
    const before = this[what];
    this[what] += number;
    if (this[what] >> 5 !== before >> 5) this.lookAtClock();
  }

  /** @throws CommandError when the time limit has passed */
  lookAtClock(): void {
    const now = Date.now();
    if (now - this.since > this.millisecondsLeft) throw new CommandError(50, 'operation exceeded time limit');
    this.isTurnOver = this.client !== undefined && now - this.turnSince >= turnMilliseconds;
  }
}

/** A stored document, decoded on first use. */
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
}

/** Returns the documents of a plan. Only of one that is exact, the first `skip` can be left out: they are not read. */
export function* scan(
  view: View,
  collection: Collection,
  filter: Filter,
  plan: Plan,
  examined: Examined,
  skip = 0,
): Generator<OrPause<Row>> {
  for (const row of plan.index ? fetch(view, collection, plan.index, plan, examined, skip) : readAll(view, collection)) {
    if (row === pause) {
      yield pause;
      continue;
    }
    examined.count('documents');
    if (filter === everything || matches(filter, row.doc)) yield row;
    if (examined.isTurnOver) yield pause;
  }
}

/**
 * Shortens the ranges of a plan that is exact by a number of documents at their beginning, as far as LMDB can count them. Returns how many are
 * left to skip.
 */
export function skipKeys(view: View, plan: Plan, skip: number, examined: Examined): number {
  const { index, isLookup, isReverse, mergesAfter } = plan;
  if (!index || isLookup || mergesAfter) return skip;
  let left = skip;
  const ranges = isReverse ? plan.ranges.toReversed() : [...plan.ranges];
  while (left > 0 && ranges.length > 0) {
    const { start, end } = ranges[0]!;
    const [from, to] = [keyIn(index.id, start), keyIn(index.id, end)];
    const key = left > countedAtOnce ? null : view.keyAfter(from, to, left, isReverse);
    if (key === null) break;
    if (key) {
      const bytes = key.subarray(4);
      ranges[0] = isReverse ? { start, end: Buffer.concat([bytes, Buffer.alloc(1)]) } : { start: bytes, end };
      examined.count('keys', left);
      left = 0;
    } else {
      const { number } = view.countRange(from, to, left);
      examined.count('keys', number);
      left -= number;
      ranges.shift();
    }
  }
  plan.ranges = isReverse ? ranges.reverse() : ranges;
  return left;
}

/** How many entries are counted or skipped at once. */
const countedAtOnce = 10_000;

/**
 * Counts the documents of a plan that is exact, up to `most`, without reading one: LMDB counts the entries of the index.
 */
export function* countKeys(view: View, plan: Plan, most: number, examined: Examined): Generator<typeof pause, number> {
  const { index, ranges, isLookup } = plan;
  let total = 0;
  for (const range of ranges) {
    if (isLookup) {
      examined.count('keys');
      if (view.get(keyIn(index!.id, range.start))) total++;
      if (total >= most) return most;
      if (examined.isTurnOver) yield pause;
      continue;
    }
    let start: Buffer | undefined = keyIn(index!.id, range.start);
    const end = keyIn(index!.id, range.end);
    while (start) {
      const step: { number: number; next: Buffer | undefined } = view.countRange(start, end, Math.min(countedAtOnce, most - total));
      examined.count('keys', step.number);
      total += step.number;
      if (total >= most) return most;
      start = step.next;
      if (examined.isTurnOver) yield pause;
    }
  }
  return total;
}

function* readAll(view: View, { id }: Collection): Generator<Row> {
  for (const { key, value } of view.range(keyIn(id), keyIn(id + 1))) yield new Row(key.subarray(4), value);
}

function* fetch(view: View, collection: Collection, index: Index, plan: Plan, examined: Examined, skip: number): Generator<OrPause<Row>> {
  let skipped = 0;
  // With arrays, a document can be in several ranges, or in one range several times.
  const seen = index.multikey.includes(true) ? new Set<string>() : undefined;
  for (const { record, entry } of plan.mergesAfter ? merged(view, index, plan, plan.mergesAfter) : oneByOne(view, index, plan)) {
    examined.count('keys');
    if (examined.isTurnOver) yield pause;
    if (skipped++ < skip) continue;
    if (seen?.has(record.toString('latin1'))) continue;
    seen?.add(record.toString('latin1'));
    const bytes = view.get(recordKey(collection, record));
    if (bytes) yield new Row(record, bytes);
    // The document may have been deleted between two batches of a cursor, and then its entry was, too, or belongs to another document.
    else if (isEntryOf(view, index, entry, record)) throw damaged(`an entry of the index ${index.name} belongs to no document`);
  }
}

function isEntryOf(view: View, index: Index, entry: Buffer, record: Buffer): boolean {
  const stored = view.get(entry);
  return stored !== undefined && (!index.unique || stored.equals(record));
}

interface Found {
  record: Buffer;
  entry: Buffer;
}

function* oneByOne(view: View, index: Index, plan: Plan): Generator<Found> {
  for (const range of plan.isReverse ? plan.ranges.toReversed() : plan.ranges) yield* recordsOf(view, index, range, plan);
}

/** Reads ranges side by side, each of which is in order, and returns their entries in the order of all. */
function* merged(view: View, index: Index, plan: Plan, mergesAfter: number[]): Generator<Found> {
  const sign = plan.isReverse ? -1 : 1;
  // Each entry begins with the number of the index, in four bytes.
  const sources = plan.ranges.map((range, i) => ({ found: recordsOf(view, index, range, plan), from: 4 + mergesAfter[i]! }));
  const heads: { found: Generator<Found>; from: number; head: Found }[] = [];
  for (const { found, from } of sources) {
    const head = found.next().value;
    if (head) heads.push({ found, from, head });
  }
  while (heads.length) {
    let first = 0;
    for (let i = 1; i < heads.length; i++) {
      const [a, b] = [heads[i]!, heads[first]!];
      if (a.head.entry.compare(b.head.entry, b.from, undefined, a.from) * sign < 0) first = i;
    }
    const least = heads[first]!;
    yield least.head;
    const next = least.found.next().value;
    if (next) least.head = next;
    else heads.splice(first, 1);
  }
}

function* recordsOf(view: View, index: Index, { start, end }: Range, { isLookup, isReverse }: Plan): Generator<Found> {
  if (isLookup) {
    const entry = keyIn(index.id, start);
    const record = view.get(entry);
    if (record) yield { record, entry };
    return;
  }
  for (const { key, value } of view.range(keyIn(index.id, start), keyIn(index.id, end), isReverse)) {
    yield { record: index.unique ? value : key.subarray(-8), entry: key };
  }
}
