import { defineConfig } from 'vitest/config';
import base from '../vitest.config.ts';

const { projects: _, ...settings } = base.test!;

/** `npm run bench:embedded`: the benchmark alone, which is no test and takes a minute. */
export default defineConfig({ ...base, test: { ...settings, include: ['test/embedded-mongodb/bench.ts'], testTimeout: 600_000 } });
