import { execFileSync } from 'node:child_process';
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Compiles the embedded database as `npm run build` does, into a directory of its own: Node 20 runs no TypeScript, neither in a worker
 * thread nor in a process that is to be killed. Returns the directory.
 */
export function buildEmbedded(): string {
  const directory = mkdtempSync(join(tmpdir(), 'embedded-built-'));
  const compilerOptions = {
    rootDir: join(root, 'src'),
    outDir: directory,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [join(root, 'src/embedded-mongodb')] };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ type: 'module' }));
  symlinkSync(resolve(root, 'node_modules'), join(directory, 'node_modules'));
  writeFileSync(join(directory, 'child.js'), child);
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', directory], { stdio: 'pipe' });
  return directory;
}

/** A process that runs the server until it is told to stop, or killed. */
const child = `
import { startEmbeddedMongodb } from './embedded-mongodb/index.js';
const options = JSON.parse(process.argv[2]);
try {
  const server = await startEmbeddedMongodb(options);
  console.log(JSON.stringify({ uri: server.uri }));
  process.stdin.once('data', async () => {
    await server.stop();
    process.exit();
  });
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
`;
