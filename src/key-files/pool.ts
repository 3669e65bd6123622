import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { OperationTimeoutError, RateLimitedError } from '../errors.ts';
import { createFairQueue, type Rejection } from './fair-queue.ts';
import { createKeyFiles, type KeyFiles } from './index.ts';
import type { Task, TaskResult } from './tasks.ts';

/** One core is left for the thread that answers requests. */
const THREADS = Math.max(1, Math.min(4, availableParallelism() - 1));
/** How many tasks of one organization wait at most. A request has one at a time. */
const WAITING_MAX = 64;
/** How long a task waits at most: less than the default time limit of an operation. */
const WAIT_SECONDS = 15;
const RETRY_SECONDS = 5;
/** How long a task runs at most. On a busy machine, an RSA key pair takes a second or two. */
const TASK_SECONDS = 15;
/** Threads that nobody needs end after this time. */
const IDLE_MILLISECONDS = 60_000;
/** Where the system knows priorities of single threads, answering requests comes before this work. */
const NICE = process.platform === 'linux' ? 5 : 0;

/** The worker threads of one gateway. They start when they are needed, and do not keep the process running. */
export interface KeyFilesPool {
  /** Returns the `KeyFiles` of one mutation. The work of each organization waits in a queue of its own. */
  of(organizationId: string): KeyFiles;
  /** Ends the threads. */
  stop(): Promise<void>;
}

/**
 * Creates the pool. A thread that computes inside OpenSSL cannot be ended from outside: the time limit then ends only the wait for it. That
 * is why the bounds in `read.ts` come first, and the time limit is the second defense.
 */
export function createKeyFilesPool(): KeyFilesPool {
  let threads: Piscina<Task, TaskResult> | undefined;
  const queue = createFairQueue({
    concurrency: THREADS,
    maxWaiting: WAITING_MAX,
    maxWaitMilliseconds: WAIT_SECONDS * 1000,
    rejected: (why: Rejection) =>
      why === 'closed'
        ? new Error('The gateway has stopped.')
        : new RateLimitedError(RETRY_SECONDS, 'Too many keys and certificates of the organization are waiting'),
  });

  async function run(task: Task): Promise<TaskResult> {
    threads ??= startThreads();
    const signal = AbortSignal.timeout(TASK_SECONDS * 1000);
    try {
      return await threads.run(task, { signal });
    } catch {
      // The error is replaced: nothing of a thread may get into the log.
      throw signal.aborted ? new OperationTimeoutError(TASK_SECONDS) : new Error('The work with a key or certificate failed.');
    }
  }

  return {
    of: (organizationId) => createKeyFiles((task) => queue.run(organizationId, () => run(task))),
    async stop() {
      queue.close();
      await threads?.destroy();
    },
  };
}

function startThreads(): Piscina<Task, TaskResult> {
  return new Piscina<Task, TaskResult>({
    filename: workerFile(),
    minThreads: 0,
    maxThreads: THREADS,
    idleTimeout: IDLE_MILLISECONDS,
    niceIncrement: NICE,
    // The threads need nothing of the environment, which can contain the master key.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 128 },
  });
}

/** Node 20 runs no TypeScript, so the sources run the worker that `npm run build` wrote. */
function workerFile(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../dist/key-files/worker.js' : './worker.js', import.meta.url));
}
