import { parentPort, workerData } from 'node:worker_threads';
import type { EmbeddedMongodbOptions } from './index.ts';

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
  parentPort!.postMessage({ uri: server.uri });
} catch (error) {
  parentPort!.postMessage({ error: (error as Error).message });
}
