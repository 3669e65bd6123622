import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: {
    // Without this, tests and source each load a copy of graphql ("from another module or realm").
    alias: { graphql: 'graphql/index.js' },
  },
  test: {
    include: ['test/**/*.test.ts'],
    // On another database, those that start an embedded one of their own would say nothing new.
    exclude: process.env.MONGODB_URI ? ['test/cli/!(keys).test.ts', 'test/embedded-mongodb/!(differential).test.ts'] : [],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Files of one worker share what they import: a gateway keeps nothing in module scope, and loading it costs more than most files take.
    isolate: false,
    // One core would stay idle otherwise.
    maxWorkers: 2,
  },
});
