import { parentPort, workerData } from 'node:worker_threads';
import { type EmbeddedMongodbOptions, startEmbeddedMongodb } from './index.ts';

/** The thread of `worker: true`. Posts its address, and stops on request. */
try {
  const server = await startEmbeddedMongodb(workerData as EmbeddedMongodbOptions);
  parentPort!.once('message', async () => {
    await server.stop();
    parentPort!.close();
  });
  parentPort!.postMessage({ uri: server.uri });
} catch (error) {
  parentPort!.postMessage({ error: (error as Error).message });
}
