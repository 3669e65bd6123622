import { type Doc, decode } from './bson.ts';
import { type Collection, type Index, keyIn, recordKey } from './catalog.ts';
import { CommandError } from './errors.ts';
import type { Plan, Range } from './planner.ts';
import { everything, type Filter, matches } from './query.ts';
import type { View } from './storage.ts';

/** What a query looks at, as `explain` tells it, and for how long it may. */
export class Examined {
  keys = 0;
  documents = 0;
  /** Undefined: there is no such collection. */
  readonly plans: (Plan | undefined)[] = [];
  private millisecondsLeft: number;
  private since = Date.now();

  constructor(maxTimeMS = 0) {
    this.millisecondsLeft = maxTimeMS || Number.POSITIVE_INFINITY;
  }

  /** Between two batches of a cursor the clock stands still. */
  pause(): void {
    this.millisecondsLeft -= Date.now() - this.since;
  }
  resume(): void {
    this.since = Date.now();
  }

  /** Counts, and now and then looks at the clock. */
  count(what: 'keys' | 'documents'): void {
    if ((++this[what] & 127) === 0 && Date.now() - this.since > this.millisecondsLeft) {
      throw new CommandError(50, 'operation exceeded time limit');
    }
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
}

/** Reads the documents of a plan. */
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
  // An array puts a document into several ranges, or into one of them several times.
  const seen = index.multikey.includes(true) ? new Set<string>() : undefined;
  for (const range of plan.isReverse ? plan.ranges.toReversed() : plan.ranges) {
    for (const record of recordsOf(view, index, range, plan)) {
      examined.count('keys');
      if (seen?.has(record.toString('latin1'))) continue;
      seen?.add(record.toString('latin1'));
      const bytes = view.get(recordKey(collection, record));
      // Between two batches of a cursor a document may have gone.
      if (bytes) yield new Row(record, bytes);
    }
  }
}

function* recordsOf(view: View, index: Index, { start, end }: Range, { isLookup, isReverse }: Plan): Generator<Buffer> {
  if (isLookup) {
    const record = view.get(keyIn(index.id, start));
    if (record) yield record;
    return;
  }
  for (const { key, value } of view.range(keyIn(index.id, start), keyIn(index.id, end), isReverse)) {
    yield index.unique ? value : key.subarray(-8);
  }
}
