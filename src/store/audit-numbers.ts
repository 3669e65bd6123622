import type { TransactionOutcome } from './outcomes.ts';

/** The numbers that one writer gives to its entries. */
export type EntryNumbers = ReturnType<typeof createEntryNumbers>;

/**
 * Gives out numbers from 1 without leaving gaps. A number is returned, and given out again, if its transaction was aborted. It is settled if
 * its transaction was committed. If nobody knows, it waits until an entry with that number, or the failure to insert one, shows which.
 */
export function createEntryNumbers() {
  let issued = 0;
  let settled = 0;
  /** Returned numbers, ascending. All are less than `issued`. */
  const free: number[] = [];
  /** Settled numbers greater than `settled`. */
  const settledAhead = new Set<number>();
  const unknown = new Set<number>();
  const taken = new Set<number>();

  function settle(number: number): void {
    settledAhead.add(number);
    while (settledAhead.delete(settled + 1)) settled++;
  }

  function release(number: number): void {
    if (number === issued) issued--;
    else free.splice(free.findLastIndex((other) => other < number) + 1, 0, number);
    for (; free.length > 0 && free.at(-1) === issued; issued--) free.pop();
  }

  return {
    /** Returns the number of the next entry: the smallest one that is free. */
    take(): number {
      const number = free.shift() ?? ++issued;
      taken.add(number);
      return number;
    },
    /** Says what became of a number that was taken. */
    end(number: number, outcome: TransactionOutcome): void {
      if (!taken.delete(number)) return;
      if (outcome === 'committed') settle(number);
      else if (outcome === 'aborted') release(number);
      else unknown.add(number);
    },
    /** Takes one of the numbers whose outcome nobody knows, to insert an entry that shows it. */
    takeUnknown(): number | undefined {
      const [number] = unknown;
      if (number === undefined) return undefined;
      unknown.delete(number);
      taken.add(number);
      return number;
    },
    /** Takes a returned number that is less than one that was used: without an entry it would be a gap. */
    takeGap(): number | undefined {
      const number = free.shift();
      if (number !== undefined) taken.add(number);
      return number;
    },
    /** All numbers up to this one are settled. */
    settled: () => settled,
    /** Whether numbers are in use, or their outcome is not known. */
    isOpen: () => taken.size > 0 || unknown.size > 0,
    hasGaps: () => free.length > 0,
    /** Whether no number was used yet. */
    isUnused: () => issued === 0,
  };
}
