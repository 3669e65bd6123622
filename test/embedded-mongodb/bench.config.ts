import { defineConfig } from 'vitest/config';
import base from '../vitest.config.ts';

/** `npm run bench:embedded`: the benchmark alone, which is no test and takes a minute. */
export default defineConfig({ ...base, test: { ...base.test, include: ['test/embedded-mongodb/bench.ts'], testTimeout: 600_000 } });
