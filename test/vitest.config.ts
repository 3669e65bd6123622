import { statfsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/**
 * On another database, tests that start an embedded one of their own would say nothing new. Neither would those that never ask a database, those of
 * pages in a browser, and the search for texts in responses and logs.
 */
const isElsewhere = process.env.MONGODB_URI !== undefined;
const sameElsewhere = [
  'test/cli/!(keys).test.ts',
  'test/clients/typed.test.ts',
  'test/credential-kinds/**',
  'test/{architecture,config,errors,front-end,jobs,placeholders}.test.ts',
  'test/http/{browser,graphiql}.test.ts',
  'test/domain/sso-link-browser.test.ts',
  'test/contracts/echo-fuzz.test.ts',
];

/** What the gateway's tests write is gone with them. Where memory can take it, no commit waits for a disk. */
function scratch(): Record<string, string> {
  const memory = '/dev/shm';
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > 2 ** 32 ? { TMPDIR: memory } : {};
  } catch {
    return {};
  }
}

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  resolve: {
    // Without this, tests and source each load a copy of graphql ("from another module or realm").
    alias: { graphql: 'graphql/index.js' },
  },
  test: {
    // For what hangs; what is slow on a busy machine is not wrong.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Files of one worker share what they import: a gateway keeps nothing in module scope, and loading it costs more than most files take.
    isolate: false,
    // Most of what a request makes is gone before it is collected for the first time, as in the script `start`. With less, it is copied twice.
    execArgv: ['--max-semi-space-size=64'],
    // Twice the cores of a small machine: tests also wait for processes, browsers and timers. With three workers, it did nothing a quarter of the time.
    maxWorkers: 4,
    projects: [
      {
        extends: true,
        test: {
          name: 'gateway',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/embedded-mongodb/**', ...(isElsewhere ? sameElsewhere : [])],
          env: scratch(),
        },
      },
      {
        extends: true,
        test: {
          name: 'embedded-mongodb',
          include: [isElsewhere ? 'test/embedded-mongodb/differential.test.ts' : 'test/embedded-mongodb/*.test.ts'],
          // After the others: a worker that goes from one project to another begins anew.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
