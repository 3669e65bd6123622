import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newDataDirectory, run, useProcesses } from './process.ts';

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
  const preload = join(newDataDirectory(), 'preload.mjs');
  // As soon as somebody handles it. The command then waits for a database that does not respond.
  writeFileSync(
    preload,
    `import { Worker } from 'node:worker_threads';
     process.on('newListener', (event) => event === 'uncaughtException' && setImmediate(() => { ${defect} }));`,
  );
  const settings = {
    MONGODB_URI: 'mongodb://127.0.0.1:1/?replicaSet=rs0',
    MASTER_KEY: randomBytes(32).toString('base64'),
    TOKEN_SECRET: randomBytes(32).toString('hex'),
    NODE_OPTIONS: `--import=${preload}`,
  };
  const { code, stdout, stderr } = await run(['start'], settings).ended;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^\{"defect":.*"msg":"the process ends because of a bug"\}\n$/),
  });
  expect(stderr).toContain(told);
  expect(stdout + stderr).not.toContain(CANARY);
});

// Lines of what is built help nobody.
it('tells the place in the source', async () => {
  const preload = join(newDataDirectory(), 'preload.mjs');
  // What a command of ours reads fails, called by a library.
  writeFileSync(
    preload,
    `const { env } = process;
     Object.defineProperty(process, 'env', {
       get: () => {
         if (new Error().stack.split('\\n')[2]?.includes('/cli/program.')) throw new Error();
         return env;
       },
     });`,
  );
  const { stderr } = await run(['start'], { NODE_OPTIONS: `--import=${preload}` }).ended;
  const [own, ...others] = JSON.parse(stderr).defect.at.slice(1) as string[];
  const source = readFileSync(new URL('../../src/cli/program.ts', import.meta.url), 'utf8');
  const line = source.slice(0, source.indexOf('start(readConfig(process.env)')).split('\n').length;
  expect(own).toMatch(new RegExp(`/src/cli/program\\.ts:${line}:\\d+\\)?$`));
  // Places of libraries are not taken for ours.
  expect(others[0]).toMatch(/\/dist\/chunks\/libraries[^/]*\.js:\d+:\d+\)$/);
});
