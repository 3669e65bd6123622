import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newDataDirectory, startServer, useProcesses } from './process.ts';

useProcesses();

const CANARY = 'CanaryHunter2Xyzzy';
const error = `Object.assign(new Error('${CANARY}\\n    at ${CANARY} (${CANARY}:1:1)', { cause: '${CANARY}' }), { value: '${CANARY}' })`;

// Node prints an error that nobody handles with all that it holds.
it.each([
  ['an exception', `throw ${error};`, '"name":"Error"'],
  ['a rejection', `Promise.reject(${error});`, '"name":"Error"'],
  ['a rejection with what is no error', `Promise.reject({ password: '${CANARY}' });`, '"code":"ERR_UNHANDLED_REJECTION"'],
  ['an error of a thread', `new Worker(${JSON.stringify(`throw ${error}`)}, { eval: true });`, '"name":"Error"'],
  ['a text that is thrown', `throw '${CANARY}';`, '"thrown":"string"'],
])('%s that nobody handles ends the process, and is not quoted', async (_, defect, told) => {
  const directory = newDataDirectory();
  const onSignal = join(directory, 'on-signal.mjs');
  writeFileSync(onSignal, `import { Worker } from 'node:worker_threads';\nprocess.on('SIGUSR2', () => { ${defect} });`);
  const server = await startServer(directory, { NODE_OPTIONS: `--import=${onSignal}` });
  server.child.kill('SIGUSR2');
  const { code, stdout, stderr } = await server.ended;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^\{"defect":.*"msg":"the process ends because of a bug"\}\n$/),
  });
  expect(stderr).toContain(told);
  expect(stdout + stderr).not.toContain(CANARY);
});

// Lines of what is built help nobody.
it('tells the place in the source', async () => {
  const directory = newDataDirectory();
  const onSignal = join(directory, 'on-signal.mjs');
  const config = new URL('../../dist/config.js', import.meta.url);
  writeFileSync(onSignal, `process.on('SIGUSR2', async () => (await import('${config}')).readConfig(null));`);
  const server = await startServer(directory, { NODE_OPTIONS: `--import=${onSignal}` });
  server.child.kill('SIGUSR2');
  const { defect } = JSON.parse((await server.ended).stderr);
  expect(defect.at[0]).toMatch(/\/src\/config\.ts:\d+:\d+\)$/);
});
