/** Why a queue did not run a piece of work: too much of its owner's is waiting, it waited too long, or the queue was closed. */
export type Rejection = 'full' | 'waited' | 'closed';

interface FairQueueOptions {
  /** How many pieces of work run at once. */
  readonly concurrency: number;
  /** How many pieces of work of one owner wait at most. */
  readonly maxWaiting: number;
  /** How long a piece of work waits at most. */
  readonly maxWaitMilliseconds: number;
  /** Creates the error of work that is not run. */
  readonly rejected: (why: Rejection) => Error;
}

/** A queue in which owners take turns, so that the work of one delays the work of another by one piece at most. */
export interface FairQueue {
  /** Runs the work when it is its turn. */
  run<T>(owner: string, work: () => Promise<T>): Promise<T>;
  /** Rejects all work that is waiting or comes later. */
  close(): void;
}

interface Waiting {
  readonly start: () => void;
  readonly reject: (why: Rejection) => void;
}

export function createFairQueue({ concurrency, maxWaiting, maxWaitMilliseconds, rejected }: FairQueueOptions): FairQueue {
  /** The waiting work of each owner. The first owner is the next in turn. */
  const waiting = new Map<string, Waiting[]>();
  let running = 0;
  let isClosed = false;

  function startNext(): void {
    if (running >= concurrency) return;
    const [turn] = waiting;
    if (!turn) return;
    const [owner, [next, ...rest]] = turn;
    waiting.delete(owner);
    if (rest.length > 0) waiting.set(owner, rest);
    next!.start();
  }

  function enqueue(owner: string): Promise<void> {
    return new Promise((resolve, fail) => {
      const queue = waiting.get(owner) ?? [];
      const why = isClosed ? 'closed' : queue.length >= maxWaiting ? 'full' : undefined;
      if (why) return fail(rejected(why));
      const timer = setTimeout(() => {
        const left = (waiting.get(owner) ?? []).filter((each) => each !== entry);
        if (left.length > 0) waiting.set(owner, left);
        else waiting.delete(owner);
        entry.reject('waited');
      }, maxWaitMilliseconds).unref();
      const entry: Waiting = {
        start() {
          clearTimeout(timer);
          running++;
          resolve();
        },
        reject(reason) {
          clearTimeout(timer);
          fail(rejected(reason));
        },
      };
      waiting.set(owner, [...queue, entry]);
      startNext();
    });
  }

  return {
    async run(owner, work) {
      await enqueue(owner);
      try {
        return await work();
      } finally {
        running--;
        startNext();
      }
    },
    close() {
      isClosed = true;
      const all = [...waiting.values()].flat();
      waiting.clear();
      for (const each of all) each.reject('closed');
    },
  };
}
