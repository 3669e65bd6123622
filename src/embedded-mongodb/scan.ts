import { type Doc, decode } from './bson.ts';
import { type Collection, type Index, keyIn, recordKey } from './catalog.ts';
import { damaged } from './checksum.ts';
import { CommandError } from './errors.ts';
import type { Plan, Range } from './planner.ts';
import { everything, type Filter, matches } from './query.ts';
import type { View } from './storage.ts';

/** How much all statements together, and each of them, may keep in memory for sorting and grouping, in bytes. */
const maxHeldBytes = 512 * 2 ** 20;
const maxStatementBytes = 256 * 2 ** 20;
let heldBytes = 0;

/** What a query has examined, as reported by `explain`, and its time limit. */
export class Examined {
  keys = 0;
  documents = 0;
  /** Undefined if the collection does not exist. */
  readonly plans: (Plan | undefined)[] = [];
  /** Whether a cursor needs it after the command. */
  isKept = false;
  private millisecondsLeft: number;
  private since = Date.now();
  private held = 0;

  constructor(maxTimeMS = 0) {
    this.millisecondsLeft = maxTimeMS || Number.POSITIVE_INFINITY;
  }

  /** The time between two batches of a cursor does not count. */
  pause(): void {
    this.millisecondsLeft -= Date.now() - this.since;
  }
  resume(): void {
    this.since = Date.now();
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

  /** Counts, and regularly checks the time limit. */
  count(what: 'keys' | 'documents'): void {
    if ((++this[what] & 127) === 0 && Date.now() - this.since > this.millisecondsLeft) {
      throw new CommandError(50, 'operation exceeded time limit');
    }
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

/** Returns the documents of a plan. */
export function* scan(view: View, collection: Collection, filter: Filter, plan: Plan, examined: Examined): Generator<Row> {
  for (const row of plan.index ? fetch(view, collection, plan.index, plan, examined) : readAll(view, collection)) {
    examined.count('documents');
    if (filter === everything || matches(filter, row.doc)) yield row;
  }
}

function* readAll(view: View, { id }: Collection): Generator<Row> {
  for (const { key, value } of view.range(keyIn(id), keyIn(id + 1))) yield new Row(key.subarray(4), value);
}

function* fetch(view: View, collection: Collection, index: Index, plan: Plan, examined: Examined): Generator<Row> {
  // With arrays, a document can be in several ranges, or in one range several times.
  const seen = index.multikey.includes(true) ? new Set<string>() : undefined;
  for (const range of plan.isReverse ? plan.ranges.toReversed() : plan.ranges) {
    for (const { record, entry } of recordsOf(view, index, range, plan)) {
      examined.count('keys');
      if (seen?.has(record.toString('latin1'))) continue;
      seen?.add(record.toString('latin1'));
      const bytes = view.get(recordKey(collection, record));
      if (bytes) yield new Row(record, bytes);
      // The document may have been deleted between two batches of a cursor, and then its entry was, too.
      else if (view.get(entry)) throw damaged(`an entry of the index ${index.name} belongs to no document`);
    }
  }
}

function* recordsOf(
  view: View,
  index: Index,
  { start, end }: Range,
  { isLookup, isReverse }: Plan,
): Generator<{ record: Buffer; entry: Buffer }> {
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
