// Builds the command and the library into a new directory, which then takes the place of `dist`. So a gateway that runs from `dist` finds all its files at any
// time, those that it loads later, too; and no file of an earlier build is left. Writes to the standard error only: `npm pack` prints the name of the
// package, and npm runs this before.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, renameSync, rmSync } from 'node:fs';

const next = `dist-${process.pid}`;
const last = `${next}-last`;
/** What `npm run build:types` has written. It stays until that is run again. */
const ofTypes = ['declarations', 'types'];

const run = (...args) => {
  const { status } = spawnSync('npx', ['--no-install', ...args], {
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
    env: { ...process.env, BUILD_DIRECTORY: next },
  });
  if (status !== 0) throw new Error(`${args[0]} failed.`);
};

try {
  run('tsc', '--noCheck', '--outDir', next);
  run('rolldown', '-c', '--logLevel', 'silent');
  chmodSync(`${next}/main.js`, 0o755);
  if (existsSync('dist')) renameSync('dist', last);
  try {
    renameSync(next, 'dist');
  } catch (error) {
    if (existsSync(last)) renameSync(last, 'dist');
    throw error;
  }
  for (const name of ofTypes) if (existsSync(`${last}/${name}`)) renameSync(`${last}/${name}`, `dist/${name}`);
} finally {
  rmSync(next, { recursive: true, force: true });
  // Without a new build, it is the only one.
  if (existsSync('dist')) rmSync(last, { recursive: true, force: true });
}
