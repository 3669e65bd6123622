import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll } from 'vitest';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const running = new Set<ChildProcess>();
const directories = new Set<string>();

/**
 * Ends after each test of a file what it started, and removes its data directories. Each file calls it: files of one worker share this module,
 * and a hook at its top would be the first file's only.
 */
export function useProcesses(): void {
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
    directories.clear();
  });
}

/** A new data directory, gone after the test. */
export function newDataDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-cli-'));
  directories.add(directory);
  return directory;
}

/** The built command as a user starts it, or `under` another command. Only the settings given are set. */
export function run(args: readonly string[], settings: Record<string, string>, { under = [] as readonly string[], input = '' } = {}) {
  const { MONGODB_URI: _, ...environment } = process.env;
  const [command, ...rest] = [...under, process.execPath, main, ...args];
  const child = spawn(command!, rest, { env: { ...environment, ...settings }, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  running.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child);
    return { ...output, code: code as number | null };
  });
  return { child, output, ended };
}

/** A server that is up, its address and the token in it. */
export async function startServer(
  dataDirectory: string,
  settings: Record<string, string> = {},
  options: { readonly under?: readonly string[] } = {},
) {
  const process = run(['start'], { DATA_DIR: dataDirectory, PORT: '0', ...settings }, options);
  const deadline = Date.now() + 90_000;
  for (;;) {
    const [, url, token] = /^Open (\S+)#token=(\S+)$/m.exec(process.output.stdout) ?? [];
    if (url && token) return { ...process, url, token };
    if (process.child.exitCode !== null || Date.now() > deadline)
      throw new Error(`The server did not start.\n${JSON.stringify(process.output)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** One server for the tests of a file that leave nothing behind in it, with its data directory. */
export function useServer() {
  const shared = {} as Awaited<ReturnType<typeof startServer>> & { directory: string };
  beforeAll(async () => {
    const directory = newDataDirectory();
    Object.assign(shared, { directory }, await startServer(directory));
    // Not to be ended after the first test.
    running.delete(shared.child);
    directories.delete(directory);
  });
  afterAll(() => {
    shared.child?.kill('SIGKILL');
    rmSync(shared.directory, { recursive: true, force: true });
  });
  return shared;
}

/** Sends an operation to a server. */
export async function send(url: string, token: string, query: string, headers: Record<string, string> = {}, seconds = 100) {
  const response = await fetch(url, {
    method: 'POST',
    signal: AbortSignal.timeout(seconds * 1_000),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = (await response.json()) as {
    data?: Record<string, never>;
    errors?: { message: string; extensions: { code: string } }[];
  };
  return { data, errors };
}
