import { once } from 'node:events';

/**
 * Runs one peer as a process of its own: waits for its options, starts it, and tells its port. After that, each message is answered with the
 * processor time that the process has used, in microseconds. `start` returns a server, or the port if it listens already.
 */
export async function serve(start) {
  const [options] = await once(process, 'message');
  const server = await start(options);
  if (typeof server !== 'number' && !server.listening) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  process.send({ port: typeof server === 'number' ? server : server.address().port });
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send({ cpu: user + system });
  });
}
