import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Cleaner } from './cleaner.ts';
import { answers, prepareDirectory, readOwner, removeOldSockets, removeSocket, socketPath, takeOver, untilGone } from './directory-lock.ts';
import { convert, fileNumber, openFile } from './file.ts';
import { Server } from './server.ts';
import { Storage } from './storage.ts';

export { type CheckResult, checkEmbeddedMongodb } from './check.ts';
export { backupEmbeddedMongodb, restoreEmbeddedMongodb } from './file.ts';

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
  const starting = options.worker ? startWorker({ ...options, directory }) : start(directory, options.port);
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

async function start(directory: string, port?: number): Promise<EmbeddedMongodb> {
  const path = join(directory, 'data.mdb');
  const db = openFile(path, { allowOlder: true });
  let isConverted = false;
  for (let attempt = 0; ; attempt++) {
    db.resetReadTxn();
    const before = readOwner((key) => db.get(key));
    // A copied file contains the owner of the original.
    if (before && before.file === fileNumber(path) && (await answers(before))) {
      await db.close();
      const attached = new AbortController();
      return { uri: before.uri, ended: untilGone(before, attached.signal), stop: async () => attached.abort() };
    }
    isConverted = convert(db) || isConverted;
    const identity = randomBytes(16).toString('hex');
    const fence = (get: (key: Buffer) => Buffer | undefined) => {
      if (readOwner(get)?.identity !== identity) throw new Error('another server has taken over the data directory');
    };
    const storage = new Storage(db, fence);
    const server = new Server(storage, identity);
    const address = await server.listen(port === undefined ? { path: socketPath(directory) } : { host: '127.0.0.1', port });
    const uri = `mongodb://${'path' in address ? encodeURIComponent(address.path) : `${address.host}:${address.port}`}/?directConnection=true`;
    if (takeOver(db, { identity, uri, address, file: fileNumber(path) }, before?.identity)) {
      storage.reload();
      if ('path' in address) removeOldSockets(directory, address.path);
      if (before && before.file === fileNumber(path) && 'path' in before.address) removeSocket(before.address);
      const cleaner = new Cleaner({ path, db, fence: () => fence((key) => db.get(key)) });
      storage.onDelete = () => {
        storage.hasDeleted = false;
        cleaner.deleted();
      };
      // The last server was killed, perhaps before it had overwritten what was deleted.
      if (before || isConverted) cleaner.deleted();
      const stop = async () => {
        await server.stop();
        if ('path' in address) removeSocket(address);
        await storage.close(async () => {
          await cleaner.stop();
          takeOver(db, undefined, identity);
        });
      };
      return { uri, stop };
    }
    // Another process was faster: check whether it responds.
    await server.stop();
    if ('path' in address) removeSocket(address);
    if (attempt > 20) throw new Error(`several processes are starting on ${directory} at the same time; try again`);
  }
}

/** What the thread of a server tells: that it has started or why not, and that the server of another process, which it uses, has ended. */
export interface WorkerMessage {
  readonly uri?: string;
  readonly isAttached?: boolean;
  readonly error?: string;
  readonly hasEnded?: true;
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
  const { uri, error, isAttached } = await started();
  if (uri === undefined) throw new Error(error);
  // From here on, an error of the thread is not handled and ends the process, which cannot work without its database.
  worker.removeAllListeners('error');
  const stop = async () => {
    worker.postMessage('stop');
    await new Promise((resolve) => worker.once('exit', resolve));
  };
  return { uri, ended: isAttached ? gone : undefined, stop };
}
