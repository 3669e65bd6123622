// Bundles the types of the library, which `tsc` has written for every module, into one file for each entry: those of single modules name libraries that
// whoever installs the package does not have.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineConfig } from 'rolldown';
import { dts } from 'rolldown-plugin-dts';

/**
 * `tsc` writes no types for modules that export what cannot be named, such as the tables of the store. What the library exports needs none of them: an
 * import that was left would not be found by whoever installs the package, and so by the tests.
 */
const unwritten = {
  name: 'unwritten',
  resolveId(source, importer) {
    if (!importer || !source.startsWith('.') || existsSync(join(dirname(importer), source.replace(/\.ts$/, '.d.ts')))) return null;
    return { id: source, external: true };
  },
};

export default defineConfig({
  input: { api: 'dist/declarations/api.d.ts', testing: 'dist/declarations/testing.d.ts' },
  // Of packages, only `graphql` may be left, which the tests find out.
  external: /^[^./]/,
  plugins: [unwritten, dts({ dtsInput: true, tsconfig: false })],
  output: { dir: 'dist/types', format: 'esm', chunkFileNames: 'shared.d.ts', cleanDir: true },
});
