import { parentPort, workerData } from 'node:worker_threads';
import type { EmbeddedMongodbOptions, WorkerMessage } from './index.ts';

const post = (message: WorkerMessage) => parentPort!.postMessage(message);

/** The thread of `worker: true`. Posts its address, and stops on request. */
try {
  // Before what it is for is loaded: Node reads no source map of a module that has been loaded already.
  process.setSourceMapsEnabled(true);
  const { startEmbeddedMongodb } = await import('./index.ts');
  const server = await startEmbeddedMongodb(workerData as EmbeddedMongodbOptions);
  parentPort!.once('message', async () => {
    await server.stop();
    parentPort!.close();
  });
  server.ended?.then(() => post({ hasEnded: true }));
  post({ uri: server.uri, isAttached: server.ended !== undefined });
} catch (error) {
  post({ error: (error as Error).message, isWithoutLmdb: (error as Error).name === 'MissingLmdbError' });
}
