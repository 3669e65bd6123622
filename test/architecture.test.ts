import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../src/', import.meta.url));

/** Import nothing of ours but each other's like: what a leaf imports is in its own folder, or another leaf. */
const leaves = [
  'errors.ts',
  'limits.ts',
  'url.ts',
  'redacted.ts',
  'response-headers.ts',
  'schema-names.ts',
  'logger.ts',
  'optional-package.ts',
  'access',
  'fields',
  'key-files',
  'credential-kinds',
];
const everythingBelow = [...leaves, 'secrets', 'services', 'store', 'domain', 'schema', 'http'];

/** The table of the design: what each folder and file of `src` may import of ours, beside itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  'limits.ts': [],
  'url.ts': [],
  'redacted.ts': [],
  'response-headers.ts': [],
  'schema-names.ts': [],
  'logger.ts': [],
  'optional-package.ts': [],
  access: [],
  fields: ['errors.ts', 'redacted.ts', 'url.ts', 'access'],
  'key-files': ['errors.ts', 'redacted.ts'],
  'credential-kinds': ['errors.ts', 'redacted.ts', 'fields', 'key-files'],
  secrets: leaves,
  services: leaves,
  store: ['secrets', ...leaves],
  domain: ['store', 'services', ...leaves],
  schema: ['domain', ...leaves],
  http: ['schema', 'domain', ...leaves],
  'embedded-mongodb': [],
  'placeholders.ts': [],
  config: ['access', 'limits.ts', 'schema-names.ts', 'url.ts', 'placeholders.ts', 'audit-sink.ts'],
  'jobs.ts': ['logger.ts'],
  'audit-sink.ts': [],
  gateway: ['jobs.ts', 'audit-sink.ts', 'placeholders.ts', ...everythingBelow],
  'api.ts': ['gateway', 'audit-sink.ts', 'placeholders.ts', 'embedded-mongodb', ...everythingBelow],
  'testing.ts': ['schema', ...leaves],
  cli: ['gateway', 'config', 'audit-sink.ts', 'embedded-mongodb', ...leaves],
  'main.ts': ['cli'],
};

/** The packages that `src` imports, and which files may import each, so that what they stand for stays in one place. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  mongoose: ['store'],
  '@aws-sdk/client-kms': ['secrets/aws-kms.ts'],
  undici: ['services/outbound'],
  'ipaddr.js': ['services/outbound'],
  'openid-client': ['services/oauth'],
  aws4fetch: ['services'],
  jose: ['secrets', 'services', 'http/authenticate.ts', 'http/issuer-keys.ts', 'cli/token.ts'],
  '@pothos/core': ['schema'],
  '@pothos/plugin-errors': ['schema'],
  '@pothos/plugin-scope-auth': ['schema'],
  graphql: ['schema', 'http', 'gateway', 'api.ts', 'testing.ts'],
  'graphql-scalars': ['schema'],
  'graphql-yoga': ['http/engine.ts'],
  '@graphql-yoga/render-graphiql': ['http'],
  negotiator: ['http/negotiation.ts'],
  dataloader: ['schema'],
  lmdb: ['embedded-mongodb'],
  bson: ['embedded-mongodb'],
  asn1js: ['key-files/der.ts'],
  piscina: ['key-files/pool.ts'],
  validator: ['fields'],
  commander: ['cli/program.ts'],
  'cli-progress': ['cli'],
  'lru-cache': ['domain/findings.ts', 'http', 'store'],
  pino: ['cli'],
  'pino-pretty': ['cli/logger.ts'],
  zod: ['config', 'fields', 'domain/transfer-lines.ts', 'schema/kit/cursor.ts', 'cli'],
};

/** `Redacted#expose`; Pothos has an `expose` too, which takes a field’s name. */
const plaintexts = /\.expose\b(?!\s*\(\s*['"])/;
/** Where a plaintext is taken out of its wrapping: where it is checked, sealed, compared, signed with, and handed to whoever asked for it. */
const mayExpose = [
  // The examples of a kind, which are no secrets.
  'testing.ts',
  'fields/check.ts',
  'key-files/index.ts',
  'credential-kinds/gcp.ts',
  'credential-kinds/signing-key.ts',
  'secrets/seal.ts',
  'secrets/fingerprint.ts',
  'secrets/sign.ts',
  'secrets/api-key.ts',
  'secrets/end-user-token.ts',
  'secrets/transfer.ts',
  'services/outbound/tls.ts',
  'secrets/authorization-state.ts',
  'secrets/idempotency.ts',
  'secrets/webhook-signature.ts',
  'services/requests/index.ts',
  'schema/use.ts',
  'domain/proxy.ts',
  'services/oauth/service-account.ts',
  'services/oauth/index.ts',
  'schema/credential.ts',
  'schema/sso-link.ts',
  'schema/api-key.ts',
  'schema/end-user-token.ts',
  'schema/webhook.ts',
];

const packageFile = JSON.parse(readFileSync(join(src, '../package.json'), 'utf8')) as Record<
  'dependencies' | 'devDependencies' | 'peerDependencies' | 'peerDependenciesMeta',
  Record<string, unknown>
>;

interface Import {
  readonly from: string;
  /** A file of ours, relative to `src`, or a package. */
  readonly to: string;
  readonly isOurs: boolean;
  readonly isTypeOnly: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const sources = new Map(files.map((file) => [file, withoutComments(readFileSync(join(src, file), 'utf8'))]));
const imports = files.flatMap(importsOf);
const ownImports = imports.filter(({ isOurs }) => isOurs);

/** The row of the table that a file stands in: its top folder, or the file itself at the top. */
function rowOf(file: string): string {
  return file.split('/')[0]!;
}

describe('the import table', () => {
  it('has a row for every folder and file of src, and no other', () => {
    expect([...new Set(files.map(rowOf))].sort()).toEqual(Object.keys(mayImport).sort());
  });

  // A layer that reaches past its neighbour is where a key, a query or a header ends up in the wrong hands.
  it('holds', () => {
    const wrong = ownImports.filter(({ from, to }) => rowOf(from) !== rowOf(to) && !mayImport[rowOf(from)]!.includes(rowOf(to)));
    expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('names nothing that is not there', () => {
    for (const row of Object.values(mayImport).flat()) expect(Object.keys(mayImport)).toContain(row);
  });

  it('lets http/ have only types of domain/', () => {
    const values = ownImports.filter(({ from, to, isTypeOnly }) => rowOf(from) === 'http' && rowOf(to) === 'domain' && !isTypeOnly);
    expect(values).toEqual([]);
  });

  // It is a server of its own: the gateway speaks to it through a connection string.
  it('lets nothing import the insides of embedded-mongodb/', () => {
    const inside = ownImports.filter(({ from, to }) => rowOf(from) !== 'embedded-mongodb' && rowOf(to) === 'embedded-mongodb');
    expect(new Set(inside.map(({ to }) => to))).toEqual(new Set(['embedded-mongodb/index.ts']));
  });

  it('imports files by their names, and only such as there are', () => {
    expect(ownImports.filter(({ to }) => !sources.has(to)).map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('finds the imports that there are', () => {
    expect(ownImports.length).toBeGreaterThan(300);
    expect(ownImports).toContainEqual({ from: 'http/index.ts', to: 'domain/context.ts', isOurs: true, isTypeOnly: true });
    expect(ownImports).toContainEqual({ from: 'gateway/domain.ts', to: 'store/index.ts', isOurs: true, isTypeOnly: false });
  });
});

// Two files that need each other are one file, or hide a third, and what runs first is then chance. Types may refer to each other.
it('no file imports itself by a way round', () => {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, way: readonly string[]) => {
    if (state.get(file) === 'open') cycles.push([...way.slice(way.indexOf(file)), file].join(' > '));
    if (state.has(file)) return;
    state.set(file, 'open');
    for (const { from, to, isTypeOnly } of ownImports) if (from === file && !isTypeOnly) visit(to, [...way, file]);
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
  expect(cycles).toEqual([]);
});

describe('packages', () => {
  it.each(Object.entries(packageOwners))('%s is imported where it belongs', (name, owners) => {
    const from = imports.filter(({ isOurs, to }) => !isOurs && packageName(to) === name).map((each) => each.from);
    expect(from).not.toEqual([]);
    expect(from.filter((file) => !owners.some((owner) => file === owner || file.startsWith(`${owner}/`)))).toEqual([]);
  });

  // Libraries and tools of tests are both `devDependencies`. So each library has a row above, which must be used, and nothing else may be imported.
  it('are those above, all declared in package.json', () => {
    const { dependencies, devDependencies, peerDependencies } = packageFile;
    const used = new Set(imports.filter(({ isOurs, to }) => !isOurs && !to.startsWith('node:')).map(({ to }) => packageName(to)));
    expect([...used].sort()).toEqual(Object.keys(packageOwners).sort());
    const declared = { ...devDependencies, ...dependencies };
    expect([...used].filter((name) => !(name in declared))).toEqual([]);
    expect(Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !used.has(name))).toEqual([]);
  });

  // Whoever installs the package gets nothing that the bundles do not have, but for what is listed here, and `overrides` do not hold for them.
  it('are in the bundles, but for what is installed beside them', () => {
    const { dependencies, peerDependencies, peerDependenciesMeta } = packageFile;
    const optional = Object.keys(peerDependenciesMeta);
    expect(Object.keys(dependencies)).toEqual(['piscina']);
    expect(Object.keys(peerDependencies).filter((name) => !optional.includes(name))).toEqual(['graphql']);
    expect(optional).toEqual(['@aws-sdk/client-kms', '@graphql-yoga/render-graphiql', 'lmdb']);
    // `npm ci && npm start` in the repository has all of them.
    expect(optional.filter((name) => !(name in packageFile.devDependencies))).toEqual([]);
  });
});

// A search for this word finds every place that can leak. A new place is a decision, and is written down here.
it('a plaintext is taken out of its wrapping in few places', () => {
  const exposing = files.filter((file) => file !== 'redacted.ts' && plaintexts.test(sources.get(file)!));
  expect(exposing.sort()).toEqual([...mayExpose].sort());
  for (const file of mayExpose) expect(sources.get(file)!.split(plaintexts), file).toHaveLength(2);
});

// OpenSSL computes while it decodes, with numbers of any size. What a caller sent must have been read before, by `key-files/read.ts`.
describe('OpenSSL', () => {
  const decoders =
    /\b(?:createPrivateKey|createPublicKey|createSecretKey|X509Certificate|KeyObject|generateKeyPair(?:Sync)?|generatePrime\w*|checkPrime\w*|DiffieHellman|createDiffieHellman\w*|createECDH|ECDH|pbkdf2\w*|scrypt\w*|createSign|createVerify|privateDecrypt|publicEncrypt)\b/;
  const ofJose = /\bimport(?:JWK|PKCS8|SPKI|X509)\b|\bembeddedJWK\b|\bEmbeddedJWK\b|subtle\b/;

  it('decodes what callers sent in one file only', () => {
    // The others read the operator's own files, and make a key of the gateway's own bytes.
    const decoding = [
      'cli/tls.ts',
      'cli/transfer-keys.ts',
      'key-files/openssl.ts',
      'secrets/record-mac.ts',
      'secrets/transfer.ts',
      'secrets/webhook-signature.ts',
    ];
    expect(files.filter((file) => decoders.test(sources.get(file)!))).toEqual(decoding);
    expect(files.filter((file) => ofJose.test(sources.get(file)!))).toEqual([]);
  });

  it('is called by the workers only', () => {
    const importers = (to: string) => ownImports.filter((each) => each.to === to && !each.isTypeOnly).map(({ from }) => from);
    expect(importers('key-files/openssl.ts')).toEqual(['key-files/tasks.ts']);
    expect(importers('key-files/tasks.ts')).toEqual(['key-files/worker.ts']);
    expect(importers('key-files/worker.ts')).toEqual([]);
  });
});

// No value of the environment and no test can change what the code does on the way.
it('only the configuration reads the environment, and nothing asks whether it is tested', () => {
  const reading = files.filter((file) => /process\s*\.\s*env|process\[/.test(sources.get(file)!));
  expect(reading.filter((file) => file !== 'cli/program.ts')).toEqual([]);
  expect(files.filter((file) => /vitest|import\.meta\.env/i.test(sources.get(file)!))).toEqual([]);
});

// In Node 20, it refuses URLs with characters such as ü after some thousand calls.
it('no file calls URL.canParse', () => {
  expect(files.filter((file) => withoutComments(sources.get(file)!).includes('URL.canParse('))).toEqual([]);
});

function importsOf(file: string): Import[] {
  const statement = /\b(?:import|export)\b(\s+type\b)?([^'"`;]*?)\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;
  return [...sources.get(file)!.matchAll(statement)].map(([, type, names = '', from, bare]) => {
    const to = (from ?? bare)!;
    const isOurs = to.startsWith('.');
    const inBraces = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1];
    const allTypes = inBraces?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type ')) ?? false;
    return {
      from: file,
      to: isOurs ? relative(src, join(src, dirname(file), to)) : to,
      isOurs,
      isTypeOnly: type !== undefined || allTypes,
    };
  });
}

function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
