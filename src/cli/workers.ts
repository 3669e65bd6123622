import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, ConfigError } from '../config/index.ts';
import { type OpenGateway, openGateway } from './open-gateway.ts';
import { type Serving, serve } from './serve.ts';
import { untilSignal } from './signals.ts';
import type { TlsPair } from './tls.ts';

/** A worker that lived for so long is replaced without a pause. In milliseconds. */
const HEALTHY_MILLISECONDS = 10_000;
/** The pause before a worker is replaced that lived for a shorter time, in milliseconds. It is doubled each time, up to the maximum. */
const PAUSE_MILLISECONDS = 100;
const PAUSE_MAX_MILLISECONDS = 10_000;
/** How many workers may end in a row before one of them has listened. */
const FAILED_STARTS_MAX = 5;
/** How long workers may take to stop: longer than their requests may continue, and their last writes. In milliseconds. */
const STOP_MILLISECONDS = 20_000;

/** What a worker tells the main process: that it waits for the database, that it listens, or what is wrong with a setting. */
interface WorkerMessage {
  readonly asksForDatabase?: true;
  readonly port?: number;
  readonly refusal?: string;
}
/** What the main process tells a worker: where the database is, and to stop. */
interface MainMessage {
  readonly database?: string;
  readonly stop?: true;
}

/**
 * Starts the workers of `WORKERS`. This process, which has opened the database, accepts their sockets and passes them on in turn. A worker that ends
 * is replaced, one after the other. Resolves when all of them listen.
 * @throws ConfigError when a worker cannot listen, or workers end again and again before they do
 */
export async function startWorkers(config: Config, { databaseUri, logger }: OpenGateway, signal: AbortSignal): Promise<Serving> {
  let isStopping = false;
  let hasListened = false;
  let failedStarts = 0;
  let shortLives = 0;
  /** The end of the last worker that is being replaced. */
  let replaced: Promise<unknown> = Promise.resolve();
  let fail = (_error: Error) => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});

  /** Starts a worker. Resolves with its port when it listens; undefined if it ends before. @throws ConfigError */
  async function startOne(): Promise<number | undefined> {
    const worker = cluster.fork();
    const startedAt = performance.now();
    // A message to a worker that has just ended; its end is handled below.
    worker.on('error', () => {});
    let isListening = false;
    const started = new Promise<WorkerMessage>((resolve) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.asksForDatabase) worker.send({ database: databaseUri } satisfies MainMessage);
        else resolve(message);
      });
      worker.once('exit', () => resolve({}));
    });
    worker.once('exit', (code: number | null, endSignal: string | null) => {
      if (isStopping || signal.aborted) return;
      logger.error({ worker: worker.process.pid, code, signal: endSignal }, 'a worker has ended; it will be replaced');
      shortLives = performance.now() - startedAt < HEALTHY_MILLISECONDS ? shortLives + 1 : 0;
      // Until it has listened, whoever has started it replaces it.
      if (isListening) replaced = replaced.then(replace).catch(fail);
    });
    const { port, refusal } = await started;
    isListening = port !== undefined;
    if (isListening) {
      failedStarts = 0;
      hasListened = true;
    } else if (refusal === undefined) failedStarts++;
    // Later, it is for example the database that does not respond, which does not end the other workers either.
    else if (hasListened) logger.error({ reason: refusal }, 'a worker could not start');
    else throw new ConfigError(refusal);
    return port;
  }

  /** Starts workers until one of them listens, and returns its port. */
  async function replace(): Promise<number> {
    while (!isStopping && !signal.aborted) {
      if (shortLives > 0)
        await sleep(Math.min(PAUSE_MILLISECONDS * 2 ** (shortLives - 1), PAUSE_MAX_MILLISECONDS), undefined, { ref: false });
      if (isStopping || signal.aborted) break;
      const port = await startOne();
      if (port !== undefined) return port;
      if (failedStarts >= FAILED_STARTS_MAX)
        throw new ConfigError(
          `WORKERS: ${failedStarts} workers in a row ended before they were ready, so the gateway ends. The lines above say why; with WORKERS=1, it starts without workers.`,
        );
    }
    return 0;
  }

  async function stop(): Promise<void> {
    isStopping = true;
    const workers = Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker !== undefined);
    const ended = workers.map(async (worker) => {
      if (worker.isDead()) return;
      // Not `once` of node:events, which fails if a message cannot be sent to a worker that is about to end.
      const exit = new Promise((resolve) => worker.once('exit', resolve));
      if (worker.isConnected()) worker.send({ stop: true } satisfies MainMessage);
      const isLate = await Promise.race([exit, sleep(STOP_MILLISECONDS, 'late', { ref: false })]);
      if (isLate === 'late') worker.process.kill('SIGKILL');
    });
    await Promise.all(ended);
  }

  try {
    // The first one alone: what prevents all of them is said once.
    const port = await replace();
    await Promise.all(Array.from({ length: config.workers - 1 }, replace));
    return { port, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Answers requests as one of several processes, until the main process or a signal stops it. Ends with the main process. */
export async function runAsWorker(config: Config, tls: TlsPair | undefined): Promise<void> {
  const tell = (message: WorkerMessage) => process.send!(message);
  const told = new AbortController();
  let begin = (_database: string) => {};
  const database = new Promise<string>((resolve) => {
    begin = resolve;
  });
  process.on('message', ({ database, stop }: MainMessage) => {
    if (database !== undefined) begin(database);
    if (stop) told.abort();
  });
  // What is sent before somebody listens to it would be lost.
  tell({ asksForDatabase: true });
  try {
    const open = await openGateway(config, { isServer: true, workerDatabase: await database });
    const signal = AbortSignal.any([untilSignal(), told.signal]);
    try {
      const serving = await serve(config, open, tls);
      tell({ port: serving.port });
      if (!signal.aborted) await once(signal, 'abort');
      await serving.stop();
    } finally {
      await open.close();
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    tell({ refusal: error.message });
    process.exitCode = 1;
  } finally {
    // Otherwise, the channel to the main process would keep this one running.
    process.channel?.unref();
  }
}
