// Bundles what runs as a process or a thread of its own. Node then opens a few files instead of about a thousand, and starts in a third of the time.
// `tsc` has written every module to dist before; those named below are replaced there by their bundles.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'rolldown';

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

export default defineConfig({
  platform: 'node',
  input: {
    main: 'src/main.ts',
    'embedded-mongodb/worker': 'src/embedded-mongodb/worker.ts',
    'key-files/worker': 'src/key-files/worker.ts',
  },
  // What contains native code, starts files of its own, or is used rarely.
  external: ['lmdb', 'piscina', '@aws-sdk/client-kms', 'pino-pretty', '@graphql-yoga/render-graphiql/graphiql'],
  // Columns change where an address is replaced. Defects are reported with their lines.
  checks: { sourcemapBroken: false },
  plugins: [
    {
      name: 'addresses',
      // A module finds files by its own address. It keeps the one that it has without the bundle. All outputs are in folders of dist.
      transform(code, id) {
        // Of libraries, no places are needed, and their maps would be ten times as large as ours.
        if (!isOurs(id)) return { code, map: { mappings: '' } };
        if (!code.includes('import.meta.url')) return null;
        const path = relative(src, id).replaceAll(sep, '/').replace(/\.ts$/, '.js');
        return code.replaceAll('import.meta.url', `new URL('../${path}', import.meta.url).href`);
      },
    },
    {
      name: 'licenses',
      generateBundle(_, bundle) {
        const modules = Object.values(bundle).flatMap((output) => (output.type === 'chunk' ? Object.keys(output.modules) : []));
        const source = licensesOf(new Set(modules.filter((id) => id.includes(`${sep}node_modules${sep}`)).map(packageOf)));
        this.emitFile({ type: 'asset', fileName: 'THIRD_PARTY_LICENSES.txt', source });
      },
    },
  ],
  output: {
    dir: 'dist',
    format: 'esm',
    // Names of libraries' chunks list the entries that use them.
    chunkFileNames: ({ name }) => `chunks/${name.replace(/~.*/, '')}.js`,
    sourcemap: true,
    sourcemapExcludeSources: true,
    comments: false,
    // Code of libraries has files of its own: their maps are empty, and Node would take a place in them for the last one of ours before it.
    codeSplitting: { groups: [{ name: 'libraries', test: /[\\/]node_modules[\\/]/, entriesAware: true }] },
  },
});
