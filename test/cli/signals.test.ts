import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newDataDirectory, run, startServer, useProcesses } from './process.ts';

useProcesses();

/** Makes a command the first process of a namespace, as in a container: the kernel drops its signals unless it has a handler. */
const asFirstProcess = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child'];

/** Some systems do not let users create namespaces. There, the tests run as any process: only a handler gives the exit code 143. */
const firstProcessWorks = (() => {
  try {
    execFileSync(asFirstProcess[0]!, [...asFirstProcess.slice(1), 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const under = firstProcessWorks ? asFirstProcess : [];

/** Sends a signal to the gateway, not to the command that it runs under. */
function signal({ pid }: { readonly pid?: number | undefined }, name: NodeJS.Signals): void {
  process.kill(firstProcessWorks ? Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')) : pid!, name);
}

/** The code that a process ends with at once. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

it.each(['SIGTERM', 'SIGINT'] as const)('%s ends a start while modules are loaded', async (name) => {
  const hooks = join(newDataDirectory(), 'hooks.mjs');
  // The hook runs in a thread of its own, so the signal arrives while the main thread waits for the module.
  writeFileSync(
    hooks,
    `export async function resolve(specifier, context, next) {
       if (/\\/gateway\\d*\\.js$/.test(specifier)) process.kill(process.pid, '${name}');
       return next(specifier, context);
     }`,
  );
  const preload = join(newDataDirectory(), 'preload.mjs');
  writeFileSync(preload, `import { register } from 'node:module'; register(${JSON.stringify(`file://${hooks}`)});`);
  const started = run(['start'], { DATA_DIR: newDataDirectory(), PORT: '0', NODE_OPTIONS: `--import=${preload}` }, { under });
  expect(await started.ended).toEqual({ code: codes[name], stdout: '', stderr: '' });
});

it('a signal ends a start that waits for its database, also if it comes twice', async () => {
  const silent = createServer();
  const sockets: Socket[] = [];
  silent.on('connection', (socket) => sockets.push(socket.on('error', () => {})));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const settings = {
    MONGODB_URI: `mongodb://127.0.0.1:${(silent.address() as AddressInfo).port}/?directConnection=true`,
    MASTER_KEY: randomBytes(32).toString('base64'),
    TOKEN_SECRET: randomBytes(32).toString('hex'),
    PORT: '0',
  };
  const connected = once(silent, 'connection');
  const { child, ended } = run(['start'], settings, { under });
  await connected;
  signal(child, 'SIGTERM');
  try {
    signal(child, 'SIGTERM');
  } catch {
    // It has ended.
  }
  expect(await ended).toEqual({ code: codes.SIGTERM, stdout: '', stderr: '' });
  for (const socket of sockets) socket.destroy();
  silent.close();
});

it('a second process on a directory says whose database it uses, and ends with a message when that process ends', async () => {
  const directory = newDataDirectory();
  const first = await startServer(directory, {}, { under });
  const second = await startServer(directory);
  expect(second.output.stdout).toContain('Another process serves it; this process ends when that one ends.');
  signal(first.child, 'SIGTERM');
  // A server that is up completes its requests, and seals its log. The second signal, by npm for example, is the same one.
  signal(first.child, 'SIGTERM');
  expect(await first.ended).toMatchObject({ code: 0, stderr: '' });
  const gone = expect.stringMatching(/^DATA_DIR: the process that served the embedded database in \S+ has ended, .*\n$/);
  expect(await second.ended).toMatchObject({ code: 1, stderr: gone });

  // The same for one that is killed, and for a command.
  const third = await startServer(directory);
  expect(third.output.stdout).not.toContain('Another process');
  const command = run(['demo', '--organization', 'acme', '--connections', '100000'], { DATA_DIR: directory });
  await expect.poll(() => command.output.stdout, { timeout: 90_000 }).toContain('Creating');
  third.child.kill('SIGKILL');
  expect(await command.ended).toMatchObject({ code: 1, stderr: gone });
});
