import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { answers, type Owner, prepareDirectory, readOwner, removeOldSockets, socketPath, takeOver } from './claim.ts';
import { Server } from './server.ts';
import { openFile, Store } from './store.ts';

export interface EmbeddedMongodbOptions {
  /** Where the data lies. Made, for this user only, when it is not there. */
  directory: string;
  /** A unix socket in the directory (the default), or TCP on loopback, where anyone on the machine can connect: there is no password. */
  listen?: 'socket' | { port: number };
}

export interface EmbeddedMongodb {
  /** An ordinary connection string, without a database name. */
  uri: string;
  /** Ends the server if this call started it; an attached one goes on. */
  stop(): Promise<void>;
}

const running = new Map<string, Promise<EmbeddedMongodb>>();

/**
 * Starts the server of a data directory, or attaches to the one that is running, in this process or another. An attached caller depends on
 * the process that started the server.
 */
export async function startEmbeddedMongodb(options: EmbeddedMongodbOptions): Promise<EmbeddedMongodb> {
  const directory = prepareDirectory(options.directory);
  const known = running.get(directory);
  if (known) return { uri: (await known).uri, stop: async () => {} };
  const starting = start(directory, options.listen ?? 'socket');
  running.set(directory, starting);
  try {
    const { uri, stop } = await starting;
    return {
      uri,
      stop: async () => {
        running.delete(directory);
        await stop();
      },
    };
  } catch (error) {
    running.delete(directory);
    throw error;
  }
}

async function start(directory: string, listen: 'socket' | { port: number }): Promise<EmbeddedMongodb> {
  const db = openFile(join(directory, 'data.mdb'));
  for (let attempt = 0; ; attempt++) {
    db.resetReadTxn();
    const before = readOwner((key) => db.get(key));
    if (before && (await answers(before))) {
      await db.close();
      return { uri: before.uri, stop: async () => {} };
    }
    const identity = randomBytes(16).toString('hex');
    const store = new Store(db, (get) => {
      if (readOwner(get)?.identity !== identity) throw new Error('another server has taken over the data directory');
    });
    const server = new Server(store, identity);
    const owner = await listenOn(server, directory, listen, identity);
    if (!takeOver(db, owner, before?.identity)) {
      // Somebody was faster: ask them.
      await server.stop();
      if (attempt > 20) throw new Error(`several processes are starting on ${directory} at the same time; try again`);
      continue;
    }
    store.reload();
    if ('path' in owner.address) removeOldSockets(owner.address.path);
    return {
      uri: owner.uri,
      stop: async () => {
        await server.stop();
        await store.close(() => takeOver(db, undefined, identity));
      },
    };
  }
}

async function listenOn(server: Server, directory: string, listen: 'socket' | { port: number }, identity: string): Promise<Owner> {
  if (listen === 'socket') {
    const path = socketPath(directory);
    await server.listen(path);
    return { identity, uri: `mongodb://${encodeURIComponent(path)}/?directConnection=true`, address: { path } };
  }
  await server.listen(listen);
  return { identity, uri: `mongodb://127.0.0.1:${server.port}/?directConnection=true`, address: { port: server.port } };
}
