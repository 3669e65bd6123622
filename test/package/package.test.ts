import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { SignJWT } from 'jose';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../harness.ts';

// The package as somebody installs it: packed, and installed in an empty project, by a package manager that insists on `engines`. What the project contains
// is in `project/`; the README shows its files (test/cli/readme.test.ts).

const exec = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const files = fileURLToPath(new URL('project/', import.meta.url));
const place = mkdtempSync(join(tmpdir(), 'credential-gateway-package-'));
const project = join(place, 'project');
const installed = join(project, 'node_modules/credential-gateway');
let tarball: string;
/** The names of the packages that were installed. */
let packages: string[];

/** Runs a command in the project, without the settings of whoever runs the tests. */
const run = (command: string, args: readonly string[], env: Record<string, string> = {}) =>
  exec(command, [...args], {
    cwd: project,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    maxBuffer: 2 ** 26,
  });
const node = async (file: string, env?: Record<string, string>): Promise<Json> => {
  const { stdout } = await run(process.execPath, [`out/${file}`], env);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
};

/** Lends a package of this repository to the project, as if it were installed there. */
function lend(name: string): void {
  const path = join(project, 'node_modules', name);
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(join(root, 'node_modules', name), path);
}

const tsc = (...args: string[]) =>
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...args]).catch((error: Json) => error);

function newestOf(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return Math.max(...entries.map((entry) => statSync(join(folder, entry)).mtimeMs));
}

beforeAll(async () => {
  const types = join(root, 'dist/types/api.d.ts');
  if (!existsSync(types) || statSync(types).mtimeMs < newestOf(join(root, 'src'))) await exec('npm', ['run', 'build:types'], { cwd: root });
  // What would run before packing has run.
  const packed = await exec('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', place], { cwd: root });
  tarball = join(place, (JSON.parse(packed.stdout) as [{ filename: string }])[0].filename);
  cpSync(files, project, { recursive: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  await run('npm', ['install', '--engine-strict', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball]);
  const list = await run('npm', ['ls', '--all', '--parseable']);
  packages = list.stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((path) => path.replace(/^.*node_modules\//, ''));
  for (const name of ['fastify', 'express', 'hono', '@types/express', '@types/node']) lend(name);
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

describe('what is packed', () => {
  const all = () =>
    readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((file) => statSync(join(installed, file)).isFile());

  it('is what runs, with its types, the schema and the documents', () => {
    const ofDist =
      /^dist\/(main\.js$|chunks\/|library\/|types\/|embedded-mongodb\/worker\.js$|key-files\/worker\.js$|THIRD_PARTY_LICENSES\.txt$)/;
    const documents = [
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'package.json',
      'schema.graphql',
      'subgraph.graphql',
      'src/README.md',
    ];
    const pictures = ['src/http/consent.png', 'src/http/graphiql/graphiql.png', 'test/front-end/settings-page.png'];
    expect(
      all()
        .filter((file) => !ofDist.test(file))
        .sort(),
    ).toEqual([...documents, ...pictures].sort());
    expect(all().filter((file) => file.endsWith('.map'))).toEqual([]);
  });

  it('has every file that its README names', () => {
    const links = [...readFileSync(join(installed, 'README.md'), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, file]) => file!);
    expect(links.length).toBeGreaterThan(5);
    expect(links.filter((file) => !existsSync(join(installed, file)))).toEqual([]);
  });

  it('is small, and brings few packages', () => {
    expect(statSync(tarball).size).toBeLessThan(3_000_000);
    expect(packages.filter((name) => !name.startsWith('@napi-rs/nice')).sort()).toEqual(['credential-gateway', 'graphql', 'piscina']);
  });

  it('names no file that is not there', () => {
    for (const file of all().filter((name) => name.startsWith('dist/library/'))) {
      expect(readFileSync(join(installed, file), 'utf8').match(/^\/\/# sourceMappingURL=.*$/m), file).toBeNull();
    }
  });

  it('has nothing to complain about for publint', async () => {
    const { messages } = await publint({ pkgDir: installed, strict: true });
    // The address of the repository is not known yet.
    expect(messages.filter(({ code }) => !['USE_REPOSITORY'].includes(code)).map(({ code, path }) => `${code} ${path.join('.')}`)).toEqual(
      [],
    );
  });

  it('has types that resolve to what runs, for every way to import', async () => {
    const result: Json = await checkPackage(createPackageFromTarballData(readFileSync(tarball)), {
      excludeEntrypoints: ['./schema.graphql', './subgraph.graphql'],
    });
    expect(result.types).toMatchObject({ kind: 'included' });
    const problems = result.problems
      // `require()` loads ES modules from Node 20.19 on, and TypeScript 5.8 knows it.
      .filter(({ kind }: Json) => kind !== 'CJSResolvesToESM')
      // Resolution of Node 10, which knows no `exports`.
      .filter(({ resolutionKind, entrypoint }: Json) => !(resolutionKind === 'node10' && entrypoint !== '.'));
    expect(problems).toEqual([]);
  });
});

// Scripts and people use what it prints: the name of the package, or JSON.
it('packing prints nothing else than npm does, though it builds before', async () => {
  const checkout = join(place, 'checkout');
  mkdirSync(join(checkout, 'test/tools'), { recursive: true });
  for (const file of ['package.json', '.npmrc']) cpSync(join(root, file), join(checkout, file));
  // In the place of the build, which takes long, something that prints more than it does.
  for (const name of ['build', 'types']) writeFileSync(join(checkout, `test/tools/${name}.mjs`), `console.log('${name}')`);
  const pack = async (...args: string[]) => (await exec('npm', ['pack', '--dry-run', ...args], { cwd: checkout })).stdout;
  expect(await pack()).toBe('credential-gateway-0.1.0.tgz\n');
  expect(JSON.parse(await pack('--json'))).toMatchObject([{ name: 'credential-gateway' }]);
});

describe('the project', () => {
  const options = [
    '--strict',
    '--skipLibCheck',
    'false',
    '--target',
    'es2022',
    '--types',
    'node',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
  ];
  const sources = readdirSync(files).filter((file) => /\.c?ts$/.test(file));

  it('compiles, with the declarations of the package checked, too', async () => {
    const { stdout } = await tsc(...options, '--module', 'nodenext', '--outDir', 'out', ...sources);
    expect(stdout).toBe('');
  });

  it('compiles for a bundler', async () => {
    const { stdout } = await tsc(...options, '--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit', 'types.ts');
    expect(stdout).toBe('');
  });

  it('gets the package with require(), too', async () => {
    const { names, create } = await node('required.cjs');
    expect(create).toBe('function');
    expect(names.length).toBeGreaterThan(10);
  });

  it('checks a kind of its own with the contract tests, in the runner of its choice', async () => {
    const { stdout } = await run(process.execPath, ['--test', '--test-reporter', 'tap', 'out/badge-checks.js']);
    expect(stdout).toContain('# fail 0');
    expect(stdout).toMatch(/# pass (1[0-9]|2[0-9])\n/);
  });

  it('is told which package is missing', async () => {
    const told = await node('missing.js', {
      MY_DIRECTORY: join(place, 'missing'),
      MY_KEY: randomBytes(32).toString('base64'),
      MY_TOKEN_SECRET: randomBytes(32).toString('base64'),
    });
    expect(told.map(({ code, packageName }: Json) => [code, packageName])).toEqual([
      ['MISSING_PACKAGE', 'lmdb'],
      ['MISSING_PACKAGE', 'lmdb'],
      ['MISSING_PACKAGE', '@graphql-yoga/render-graphiql'],
      ['MISSING_PACKAGE', '@aws-sdk/client-kms'],
    ]);
    for (const { packageName, message } of told) expect(message).toContain(`Run: npm install ${packageName}`);
    const started = await run(process.execPath, [join(installed, 'dist/main.js'), 'start'], {
      DATA_DIR: join(place, 'cli'),
      PORT: '0',
    }).catch((error: Json) => error);
    expect([started.code, started.stderr]).toEqual([
      1,
      expect.stringMatching(/^DATA_DIR: .*needs the package lmdb, which is not installed\. Run: npm install lmdb/),
    ]);
  });
});

describe('the command without GraphiQL', () => {
  beforeAll(() => lend('lmdb'));
  const outbound = { OUTBOUND_ALLOWED_ADDRESSES: '127.0.0.0/8,::1/128', OUTBOUND_ALLOW_HTTP: 'true' };
  const start = (env: Record<string, string>) =>
    spawn(process.execPath, [join(installed, 'dist/main.js'), 'start'], {
      cwd: project,
      env: { PATH: process.env.PATH, DATA_DIR: join(place, 'newcomer'), PORT: '0', ...env },
    });

  it('starts in development, says which package is missing, and answers with the token that it prints', async () => {
    const server = start(outbound);
    try {
      const lines: string[] = [];
      for await (const line of createInterface(server.stdout)) {
        lines.push(line);
        if (line.startsWith('The development token: ')) break;
      }
      expect(lines).toContain(
        'There is no GraphiQL. GraphiQL needs the package @graphql-yoga/render-graphiql, which is not installed. Run: npm install @graphql-yoga/render-graphiql.',
      );
      const [url, token] = lines.slice(-2).map((line) => line.split(' ').at(-1)!);
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
      const answer = await fetch(url!, { method: 'POST', headers, body: '{"query":"{ viewer { organization } }"}' });
      expect(await answer.json()).toMatchObject({ data: { viewer: { organization: 'example' } } });

      // A build takes its files away. What it has not used yet was loaded.
      const api = createServer((_request, response) => response.end('the service')).listen(0, 'localhost');
      await once(api, 'listening');
      const base = `http://localhost:${(api.address() as AddressInfo).port}/`;
      const mutate = async (operation: string) => {
        const sent = await fetch(url!, { method: 'POST', headers, body: JSON.stringify({ query: `mutation { ${operation} }` }) });
        return (await sent.json()).data;
      };
      await mutate('createIntegration(input: { name: "crm" }) { __typename }');
      await mutate(`createConnector(input: { integration: { name: "crm" }, name: "api", baseUrl: "${base}" }) { __typename }`);
      const { createConnection } = await mutate(`createConnection(input: {
        integration: { name: "crm" }, name: "own", connector: { inIntegration: { integration: { name: "crm" }, name: "api" } },
        actionCredentials: [{ credential: { create: {
          name: "key", data: { bearerToken: { token: "x-7Kq2" } }, allowedDomains: ["localhost"], allowedPurposes: [ACTION]
        } } }]
      }) { ... on CreateConnectionSuccess { connection { id } } ... on MutationError { message } }`);
      const chunks = join(installed, 'dist/chunks');
      renameSync(chunks, `${chunks}-away`);
      try {
        const proxied = await fetch(url!.replace('/graphql', `/proxy/${createConnection.connection.id}/x`), { headers });
        expect([proxied.status, await proxied.text()]).toEqual([200, 'the service']);
      } finally {
        renameSync(`${chunks}-away`, chunks);
        api.close();
      }
    } finally {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
    }
  });

  it.each<Record<string, string>>([{}, { NODE_ENV: 'production', TOKEN_SECRET: randomBytes(32).toString('base64') }])(
    'does not start when it was told to serve it: %j',
    async (env) => {
      const server = start({ ...env, GRAPHIQL: 'true' });
      const [stderr, [code]] = await Promise.all([text(server.stderr), once(server, 'exit')]);
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/^GRAPHIQL: .*Run: npm install @graphql-yoga.render-graphiql, or set GRAPHIQL=false/),
      ]);
    },
  );
});

describe('the gateway in a server of one’s own', () => {
  let told: Json;
  const secret = randomBytes(32);
  const masterKey = randomBytes(32).toString('base64');
  const pin = randomBytes(4).toString('hex');
  let token: string;

  beforeAll(async () => {
    lend('lmdb');
    token = await new SignJWT({ organization: 'acme', scope: 'all.Organization', sub: 'ada' })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://login.example.com')
      .setAudience('credentials')
      .setExpirationTime('10m')
      .sign(secret);
    told = await node('run.js', {
      MY_DIRECTORY: join(place, 'data'),
      MY_KEY: masterKey,
      MY_TOKEN_SECRET: secret.toString('base64'),
      MY_TOKEN: token,
      MY_PIN: pin,
      // Settings of the command line, which is not what runs here.
      MASTER_KEY: 'not a key',
      TOKEN_ISSUER: 'https://elsewhere.example',
      LOG_LEVEL: 'trace',
    });
  });

  const answer = {
    viewer: { organization: 'acme' },
    credentialKinds: [
      {
        typeName: 'BadgeCredential',
        fields: [
          { name: 'number', isSecret: false },
          { name: 'pin', isSecret: true },
        ],
      },
    ],
  };

  it.each(['node', 'express', 'fastify', 'hono', 'web'])('answers in %s', (framework) => {
    expect(told.answers[framework]).toMatchObject({ status: 200, body: { data: answer } });
    expect(told.answers[framework].body.errors).toBeUndefined();
  });

  it('runs operations without HTTP, and knows kinds of one’s own', () => {
    expect(told.executed.data).toEqual(answer);
    expect(told.inSchema).toBe(true);
  });

  it('works with keys in its worker threads', () => {
    expect(told.generated).toMatchObject({
      data: { createCredential: { credential: { publicKey: expect.stringContaining('PUBLIC KEY') } } },
    });
  });

  it('shares nothing with another one in the same process', () => {
    expect(told.second.hasBadge).toBe(false);
    expect(told.second.found).toMatchObject({ status: 200, body: { data: { integrations: { nodes: [] } } } });
    expect(told.second.after).toMatchObject({ status: 503 });
  });

  it('reads nothing of the environment that is a setting of the command line', async () => {
    const { settingNames } = await import('../../src/config/index.ts');
    expect(settingNames.length).toBeGreaterThan(20);
    expect(told.read.filter((name: string) => (settingNames as readonly string[]).includes(name))).toEqual([]);
  });

  it('lets running requests end when it stops, and refuses others with a code', () => {
    expect(told.ended).toMatchObject({ status: 200, body: { data: { a0: { totalCount: 1 }, a19: { totalCount: 1 } } } });
    expect(told.late).toMatchObject({ status: 503, body: { errors: [{ extensions: { code: 'UNAVAILABLE', retryAfter: 1 } }] } });
    expect(told.lateExecuted).toMatchObject({ errors: [{ extensions: { code: 'UNAVAILABLE' } }] });
  });

  it('logs where it was told to, and nothing secret', () => {
    expect(told.created).toMatchObject({ status: 200, body: { data: { createCredential: { __typename: 'CreateCredentialSuccess' } } } });
    expect(told.refused).toMatchObject({ status: 200, body: { data: { createCredential: { __typename: 'ValidationError' } } } });
    expect(told.unknown).toMatchObject({ status: 401 });
    // Each line is the details and the message, as JSON.
    const requests = told.lines.map((line: string) => JSON.parse(line)).filter(([, message]: Json) => message === 'request');
    expect(requests.length).toBeGreaterThan(8);
    for (const [details] of requests) expect(details).toMatchObject({ requestId: expect.any(String), status: expect.any(Number) });
    for (const plain of [token, masterKey, secret.toString('base64'), pin]) {
      expect(told.lines.filter((line: string) => line.includes(plain))).toEqual([]);
    }
  });
});
