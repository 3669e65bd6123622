import { startEmbeddedMongodb } from '../../../dist/embedded-mongodb/index.js';

process.once('message', async ({ directory }) => {
  const { uri } = await startEmbeddedMongodb({ directory });
  process.send({ uri });
  process.on('message', () => process.send({ cpu: process.cpuUsage() }));
});
