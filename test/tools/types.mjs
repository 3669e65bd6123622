// Writes the types of the library, and nothing to the standard output, as test/tools/build.mjs: `tsc` writes those of every module, and rolldown bundles what the entries need of them.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';

const run = (args, stdio) => spawnSync('npx', ['--no-install', ...args], { stdio, shell: process.platform === 'win32' }).status;

rmSync('dist/declarations', { recursive: true, force: true });
// Some modules export what cannot be named in a declaration, and `tsc` says so. What is missing because of that is needed by none of the entries, or the
// tests of the package fail. Errors of types are found by `npm run types`.
run(['tsc', '--noCheck', '--declaration', '--emitDeclarationOnly', '--sourceMap', 'false', '--outDir', 'dist/declarations'], 'ignore');
for (const entry of ['api', 'testing'])
  if (!existsSync(`dist/declarations/${entry}.d.ts`)) throw new Error(`There are no types of ${entry}.`);
process.exitCode = run(['rolldown', '-c', 'rolldown.types.config.mjs', '--logLevel', 'warn'], ['ignore', 2, 2]) ?? 1;
