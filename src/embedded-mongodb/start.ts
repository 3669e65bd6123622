import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Cleaner } from './cleaner.ts';
import { answers, readOwner, removeOldSockets, removeSocket, socketPath, takeOver, untilGone } from './directory-lock.ts';
import { convert, fileNumber, openFile } from './file.ts';
import type { EmbeddedMongodb } from './index.ts';
import { Server } from './server.ts';
import { Storage } from './storage.ts';

/** Starts the server of a data directory in this thread, or attaches to the one that is running. */
export async function start(directory: string, port?: number): Promise<EmbeddedMongodb> {
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
