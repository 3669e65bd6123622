import { describe, expect, it, vi } from 'vitest';
import { createFairQueue, type Rejection } from '../../src/key-files/fair-queue.ts';

/** A queue, and work that ends when it is told to. */
function queueOf({ concurrency = 1, maxWaiting = 3, maxWaitMilliseconds = 60_000 } = {}) {
  const queue = createFairQueue({ concurrency, maxWaiting, maxWaitMilliseconds, rejected: (why: Rejection) => new Error(why) });
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const add = (owner: string, name: string) =>
    queue.run(owner, () => {
      started.push(name);
      return new Promise<string>((resolve) => ends.push(() => resolve(name)));
    });
  /** Ends the oldest running work, and lets what follows start. */
  const endOne = async () => {
    await Promise.resolve();
    ends.shift()!();
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  return { queue, add, started, endOne };
}

describe('a fair queue', () => {
  it('lets owners take turns, however much one of them has waiting', async () => {
    const { add, started, endOne } = queueOf();
    const all = [add('a', 'a1'), add('a', 'a2'), add('a', 'a3'), add('a', 'a4'), add('b', 'b1'), add('c', 'c1'), add('b', 'b2')];
    for (let done = 0; done < all.length; done++) await endOne();
    expect(started).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2']);
  });

  it('runs as much at once as it may', async () => {
    const { add, started, endOne } = queueOf({ concurrency: 2 });
    const all = [add('a', 'a1'), add('a', 'a2'), add('a', 'a3')];
    await Promise.resolve();
    expect(started).toEqual(['a1', 'a2']);
    for (let done = 0; done < all.length; done++) await endOne();
    expect(started).toEqual(['a1', 'a2', 'a3']);
  });

  it('refuses what is too much for one owner, and takes that of another', async () => {
    const { add, endOne } = queueOf();
    const taken = ['a1', 'a2', 'a3', 'a4'].map((name) => add('a', name));
    await expect(add('a', 'a5')).rejects.toThrow('full');
    taken.push(add('b', 'b1'));
    for (let done = 0; done < taken.length; done++) await endOne();
    expect(await Promise.all(taken)).toHaveLength(5);
  });

  it('goes on after work that failed', async () => {
    const { queue } = queueOf();
    await expect(queue.run('a', () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(await queue.run('a', async () => 'done')).toBe('done');
  });

  it('refuses work that waited too long, which then never runs', async () => {
    vi.useFakeTimers();
    try {
      const { add, started, endOne } = queueOf({ maxWaitMilliseconds: 1_000 });
      const first = add('a', 'a1');
      const late = expect(add('a', 'a2')).rejects.toThrow('waited');
      await vi.advanceTimersByTimeAsync(1_000);
      await late;
      await endOne();
      expect(await first).toBe('a1');
      expect(started).toEqual(['a1']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('refuses everything when it is closed, but what runs may end', async () => {
    const { queue, add, endOne } = queueOf();
    const running = add('a', 'a1');
    const waiting = expect(add('b', 'b1')).rejects.toThrow('closed');
    queue.close();
    await waiting;
    await expect(add('b', 'b2')).rejects.toThrow('closed');
    await endOne();
    expect(await running).toBe('a1');
  });
});
