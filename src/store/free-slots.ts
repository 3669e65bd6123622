import { isInTransaction, onOutcome } from './outcomes.ts';

/** The maximum number of names of which the order of slots is remembered. */
const NAMES_MAX = 10_000;

/** Chooses slots, so that the transactions of this process do not write the same document. */
export interface FreeSlots {
  /**
   * Returns the slot of a name that was free for the longest time, and keeps it from others until the outcome of the running transaction is known. A
   * transaction conflicts with each that wrote the same slot since it began: so take it as early as possible. If no slot is free, returns one that
   * others use, too.
   */
  take(name: string): number;
}

/** Creates the choice among `count` slots, numbered from 0, for any number of names. */
export function freeSlots(count: number): FreeSlots {
  const queues = new Map<string, number[]>();
  const queueOf = (name: string) => {
    const known = queues.get(name);
    if (known) return known;
    if (queues.size >= NAMES_MAX) queues.delete(queues.keys().next().value!);
    const queue = shuffled(count);
    queues.set(name, queue);
    return queue;
  };
  return {
    take(name) {
      const queue = queueOf(name);
      let slot: number | undefined;
      const giveBack = () => {
        if (slot !== undefined && !queue.includes(slot)) queue.push(slot);
      };
      // First, because it throws if the attempt has ended meanwhile. The slot would stay taken for ever.
      const isHeld = isInTransaction();
      if (isHeld) onOutcome(giveBack);
      slot = queue.shift() ?? Math.floor(Math.random() * count);
      if (!isHeld) giveBack();
      return slot;
    },
  };
}

/** Returns the numbers from 0 in a random order, so that processes begin with different ones. */
function shuffled(count: number): number[] {
  const numbers = Array.from({ length: count }, (_, number) => number);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [numbers[last], numbers[other]] = [numbers[other]!, numbers[last]!];
  }
  return numbers;
}
