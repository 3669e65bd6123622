import { Worker } from 'node:worker_threads';
import type { CheckResult } from './check.ts';
import { prepareDirectory } from './directory.ts';

// The other files are loaded only where they run: a process that starts the server in a thread needs none of them.
export type { CheckResult };

export interface EmbeddedMongodbOptions {
  /** The data directory. If it does not exist, it is created, for this user only. */
  directory: string;
  /**
   * Listens on this TCP port, on loopback, instead of on a socket in the directory; 0 chooses a free port. There is no password: all users
   * of the machine can connect.
   */
  port?: number;
  /**
   * Runs the server in a separate thread, so that a long scan does not block the caller. Requires the built JavaScript, because Node 20
   * cannot load TypeScript.
   */
  worker?: boolean;
}

export interface EmbeddedMongodb {
  /** A standard connection string, without a database name. */
  uri: string;
  /** Resolves when the server has ended that another process runs. Undefined if this process runs the server. */
  readonly ended?: Promise<void> | undefined;
  /** Stops the server if this call started it. Otherwise the server continues. */
  stop(): Promise<void>;
}

const running = new Map<string, Promise<EmbeddedMongodb>>();

/**
 * Starts the server of a data directory, or attaches to the one that is running in this or another process. An attached caller depends on
 * the process that started the server: `ended` says when that one has ended.
 */
export async function startEmbeddedMongodb(options: EmbeddedMongodbOptions): Promise<EmbeddedMongodb> {
  const directory = prepareDirectory(options.directory);
  const known = running.get(directory);
  if (known) return { ...(await known), stop: async () => {} };
  const starting = options.worker ? startWorker({ ...options, directory }) : startHere(directory, options.port);
  running.set(directory, starting);
  try {
    const { uri, ended, stop } = await starting;
    const end = async () => {
      running.delete(directory);
      await stop();
    };
    return { uri, ended, stop: end };
  } catch (error) {
    running.delete(directory);
    throw error;
  }
}

async function startHere(directory: string, port?: number): Promise<EmbeddedMongodb> {
  const { start } = await import('./start.ts').catch((error: unknown) => {
    throw isWithoutLmdb(error) ? new MissingLmdbError() : error;
  });
  return start(directory, port);
}

/** What the thread of a server tells: that it has started or why not, and that the server of another process, which it uses, has ended. */
export interface WorkerMessage {
  readonly uri?: string;
  readonly isAttached?: boolean;
  readonly error?: string;
  /** Whether the reason is that lmdb is not installed. */
  readonly isWithoutLmdb?: boolean;
  readonly hasEnded?: true;
}

/** The package that reads and writes the data file is not installed. */
export class MissingLmdbError extends Error {
  override name = 'MissingLmdbError';
  /** Stable, and meant for programs. */
  readonly code = 'MISSING_PACKAGE';
  readonly packageName = 'lmdb';
  constructor() {
    super('it needs the package lmdb, which is not installed. Run: npm install lmdb');
  }
}

function isWithoutLmdb(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes("'lmdb'");
}

/**
 * The memory for new objects in the thread of a server, in MiB: three times a semi-space of 64 MiB. What a reply consists of is then mostly gone before
 * it is collected for the first time. With Node's default of 16 MiB, it is copied, and kept until the next full collection.
 */
const YOUNG_GENERATION_MB = 192;

async function startWorker(options: EmbeddedMongodbOptions): Promise<EmbeddedMongodb> {
  if (import.meta.url.endsWith('.ts')) throw new Error('worker: true requires the built JavaScript (npm run build)');
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: { ...options, worker: false }, resourceLimits });
  let isGone = () => {};
  const gone = new Promise<void>((resolve) => {
    isGone = resolve;
  });
  const started = () =>
    new Promise<WorkerMessage>((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => {
        // Under `node --watch`, Node 24 tells by messages of the same port what a thread imports.
        if ('uri' in message || 'error' in message) resolve(message);
        if ('hasEnded' in message) isGone();
      });
      worker.once('error', reject);
    });
  const { uri, error, isAttached, isWithoutLmdb } = await started();
  if (uri === undefined) throw isWithoutLmdb ? new MissingLmdbError() : new Error(error);
  // From here on, an error of the thread is not handled and ends the process, which cannot work without its database.
  worker.removeAllListeners('error');
  const stop = async () => {
    worker.postMessage('stop');
    await new Promise((resolve) => worker.once('exit', resolve));
  };
  return { uri, ended: isAttached ? gone : undefined, stop };
}

/** Copies a consistent snapshot of a data directory to a file. A server in this or another process may be writing at the same time. */
export async function backupEmbeddedMongodb(options: { directory: string; file: string }): Promise<void> {
  const { backup } = await import('./file.ts');
  await backup(options);
}

/** Restores a backup into a directory without data. */
export async function restoreEmbeddedMongodb(options: { directory: string; file: string }): Promise<void> {
  const { restore } = await import('./file.ts');
  await restore(options);
}

/**
 * Reads the whole data file of a directory, and compares indexes with documents both ways. A server in this or another process may be
 * writing at the same time: one snapshot is checked. @throws Error when the file cannot be opened at all
 */
export async function checkEmbeddedMongodb(options: { directory: string }): Promise<CheckResult> {
  const { check } = await import('./check.ts');
  return check(options);
}
