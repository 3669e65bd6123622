// Bundles what `tsc` has written every module of before:
// - the command line and the threads, which replace those modules there: Node then opens a few files instead of about a thousand, and starts in a
//   third of the time;
// - the library (dist/library), with the libraries that it uses: their `overrides` would not reach whoever installs it. `graphql` stays outside, since
//   there may be one copy of it in a process only.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'rolldown';
import { minifySync } from 'rolldown/utils';

/** Where `tsc` has written the modules, and the bundles are written: a directory that becomes `dist` when it is complete (test/tools/build.mjs). */
const output = process.env.BUILD_DIRECTORY ?? 'dist';
const src = fileURLToPath(new URL('src/', import.meta.url));
const isOurs = (id) => id.startsWith(src);

/** Returns the directory of the package that a module belongs to. */
function packageOf(id) {
  let directory = dirname(id);
  // Some packages have further files of this name in their folders, without a version.
  while (!(existsSync(join(directory, 'package.json')) && readPackage(directory).version)) directory = dirname(directory);
  return directory;
}

const readPackage = (directory) => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));

/** The names and licenses of the packages whose code a bundle contains: their licenses require that. */
function licensesOf(directories) {
  const texts = [...directories].sort().map((directory) => {
    const { name, version, license } = readPackage(directory);
    const files = readdirSync(directory).filter((file) => /^(licen[cs]e|notice)/i.test(file));
    return [`${name} ${version} (${license})`, ...files.map((file) => readFileSync(join(directory, file), 'utf8').trim())].join('\n\n');
  });
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** What contains native code, starts files of its own, or is optional. */
const external = ['lmdb', 'piscina', '@aws-sdk/client-kms', '@graphql-yoga/render-graphiql/graphiql'];

/** A module finds files by its own address. It keeps the one that it has without the bundle. All outputs are in folders of dist. */
const addresses = {
  name: 'addresses',
  transform(code, id) {
    // Of libraries, no places are needed, and their maps would be ten times as large as ours.
    if (!isOurs(id)) return { code, map: { mappings: '' } };
    if (!code.includes('import.meta.url')) return null;
    const path = relative(src, id).replaceAll(sep, '/').replace(/\.ts$/, '.js');
    return code.replaceAll('import.meta.url', `new URL('../${path}', import.meta.url).href`);
  },
};

const licenses = {
  name: 'licenses',
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap((output) => (output.type === 'chunk' ? Object.keys(output.modules) : []));
    const source = licensesOf(new Set(modules.filter((id) => id.includes(`${sep}node_modules${sep}`)).map(packageOf)));
    this.emitFile({ type: 'asset', fileName: 'THIRD_PARTY_LICENSES.txt', source });
  },
};

/** Makes libraries smaller. Names of classes and functions stay, by which some tell what they got. Our own code stays as it is. */
const smallLibraries = {
  name: 'small-libraries',
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== 'chunk' || !chunk.name.startsWith('libraries')) continue;
      const keepNames = { function: true, class: true };
      const options = { module: true, compress: { keepNames }, mangle: { keepNames } };
      const { code, errors } = minifySync(chunk.fileName, chunk.code, options);
      if (errors.length > 0) throw new Error(`${chunk.fileName} cannot be made smaller: ${errors[0].message}`);
      chunk.code = code;
    }
  },
};

// Code of libraries has files of its own: their maps are empty, and Node would take a place in them for the last one of ours before it.
const codeSplitting = { groups: [{ name: 'libraries', test: /[\\/]node_modules[\\/]/, entriesAware: true }] };
// Columns change where an address is replaced. Defects are reported with their lines.
const checks = { sourcemapBroken: false };
// Names of libraries' chunks list the entries that use them.
const nameOf = ({ name }) => name.replace(/~.*/, '');

export default defineConfig([
  {
    platform: 'node',
    input: {
      main: 'src/main.ts',
      'embedded-mongodb/worker': 'src/embedded-mongodb/worker.ts',
      'key-files/worker': 'src/key-files/worker.ts',
    },
    external,
    checks,
    plugins: [addresses, smallLibraries, licenses],
    output: {
      dir: output,
      format: 'esm',
      chunkFileNames: (chunk) => `chunks/${nameOf(chunk)}.js`,
      sourcemap: true,
      sourcemapExcludeSources: true,
      comments: false,
      codeSplitting,
    },
  },
  {
    platform: 'node',
    input: { api: 'src/api.ts', testing: 'src/testing.ts' },
    external: [...external, 'graphql'],
    checks,
    plugins: [addresses, smallLibraries, licenses],
    output: {
      dir: `${output}/library`,
      format: 'esm',
      chunkFileNames: (chunk) => `${nameOf(chunk)}.js`,
      comments: false,
      codeSplitting,
    },
  },
]);
