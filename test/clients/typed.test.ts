import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { minifyIntrospection, outputIntrospectionFile } from '@gql.tada/internal';
import { buildSchema, introspectionFromSchema } from 'graphql';
import { beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);
const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const frontEnds = folder('front-ends/');
const bin = (name: string, ...args: string[]) => run(process.execPath, [folder(`../../node_modules/${name}`), ...args], { cwd: frontEnds });

/** What each generator has said. */
const said: Record<string, string> = {};

beforeAll(async () => {
  for (const name of ['codegen', 'relay', 'gql-tada']) {
    rmSync(`${frontEnds}${name}/generated`, { recursive: true, force: true });
    mkdirSync(`${frontEnds}${name}/generated`);
  }
  const compiled = await run(folder('../../node_modules/.bin/relay-compiler'), ['relay.config.json'], { cwd: frontEnds });
  said.relay = compiled.stdout + compiled.stderr;
  const generated = await bin('@graphql-codegen/cli/cjs/bin.js', '--config', 'codegen.ts', '--errors-only');
  said.codegen = generated.stdout + generated.stderr;
  // The command `gql.tada generate-output` does the same, but needs a TypeScript before 7.
  const schema = buildSchema(readFileSync(folder('../../schema.graphql'), 'utf8'));
  const facts = outputIntrospectionFile(minifyIntrospection(introspectionFromSchema(schema)), {
    fileType: '.d.ts',
    shouldPreprocess: true,
  });
  writeFileSync(`${frontEnds}gql-tada/generated/graphql-env.d.ts`, facts);
});

it('the generators of Relay and of GraphQL Code Generator accept the schema and the operations, and warn of nothing', () => {
  expect(said.relay).toMatch(/compiled documents: .*\b[1-9]\d* operation text/);
  expect(said.relay).not.toMatch(/warn|error/i);
  expect(said.codegen).toBe('');
});

// Each client has errors on purpose, which the compiler must find: an expected error that is none is an error.
it('the clients of all three have the types that the schema says', async () => {
  const { stdout } = await bin('typescript/bin/tsc', '-p', '.').catch((error) => error);
  expect(stdout).toBe('');
});
