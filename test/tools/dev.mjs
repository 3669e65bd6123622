// Serves, and starts anew on each change of src: `tsc --watch` builds, and `node --watch` runs what it has built.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const isWindows = process.platform === 'win32';

/** What runs, each with what ends it. */
const running = new Map();
let isEnding = false;

/**
 * Starts a Node program in a process group of its own: Ctrl-C would reach it beside the signal that is passed on, and the second of two makes the
 * server end without cleaning up.
 */
function run(args, stdout, end) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', stdout, 'inherit'], detached: !isWindows });
  running.set(child, end);
  child.on('exit', (code) => {
    running.delete(child);
    if (!isEnding) process.exitCode = code || 1;
    endAll();
  });
  return child;
}

function endAll() {
  if (isEnding) return;
  isEnding = true;
  for (const [child, end] of running) end(child);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, endAll);

const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
// tsc is a program of its own below the one that is started, so its group is ended.
const compiler = run([tsc, '--watch', '--preserveWatchOutput', '--pretty'], 'pipe', ({ pid }) => {
  if (isWindows) spawn('taskkill', ['/pid', String(pid), '/t', '/f']);
  else process.kill(-pid, 'SIGTERM');
});
let isServing = false;
compiler.stdout.on('data', (output) => {
  process.stdout.write(output);
  // The first build is complete.
  if (isServing || isEnding || !String(output).includes('Watching for file changes')) return;
  isServing = true;
  run(['--watch', '--watch-preserve-output', 'dist/main.js', 'start'], 'inherit', (server) => server.kill('SIGTERM'));
});
