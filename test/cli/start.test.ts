import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { expect, it } from 'vitest';
import { grantableScopes } from '../../src/access/scopes.ts';
import { databaseOf, runHere } from './here.ts';
import { newDataDirectory, run, send, startServer, useProcesses, useServer } from './process.ts';

useProcesses();

const shared = useServer();

const createIntegration = 'mutation { createIntegration(input: { name: "crm" }) { __typename } }';
const create = (name: string) => createIntegration.replace('crm', name);
const integrations = '{ integrations { nodes { name } } }';
const createCredential = `mutation { createCredential(input: { integration: { name: "crm" }, name: "mine", data: { string: { value: "planted-value-73" } } }) {
  ... on CreateCredentialSuccess { credential { ... on StringCredential { id value { redacted } } } } } }`;

interface IntegrationPage {
  readonly nodes: readonly { readonly name: string }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
}

it('starts on nothing, prints where to look, and finds everything again after a stop', async () => {
  const directory = newDataDirectory();
  const first = await startServer(directory);
  expect(first.output.stdout).toContain(`Created a master key: ${join(directory, 'master.key')}`);
  expect(first.output.stdout).toContain(`Database: embedded, in ${directory}`);
  expect(await send(first.url, first.token, createIntegration)).toEqual({
    data: { createIntegration: { __typename: 'CreateIntegrationSuccess' } },
  });
  first.child.kill('SIGTERM');
  expect((await first.ended).code).toBe(0);

  const second = await startServer(directory);
  expect(second.output.stdout).not.toContain('Created a master key');
  expect(await send(second.url, second.token, integrations)).toEqual({ data: { integrations: { nodes: [{ name: 'crm' }] } } });
});

it('keeps every acknowledged write through kill -9, and none in clear', async () => {
  const directory = newDataDirectory();
  const first = await startServer(directory);
  await send(first.url, first.token, createIntegration);
  const { data } = await send(first.url, first.token, createCredential);
  first.child.kill('SIGKILL');
  await first.ended;
  for (const file of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (file.isFile()) expect(readFileSync(join(file.parentPath, file.name)).includes('planted-value-73'), file.name).toBe(false);
  }

  const second = await startServer(directory);
  const id = (data as never as { createCredential: { credential: { id: string } } }).createCredential.credential.id;
  const reveal = `mutation { revealSecret(input: { credential: "${id}", field: "value", reason: "the test looks" }) { ... on RevealSecretSuccess { secret { plaintext } } } }`;
  expect(await send(second.url, second.token, reveal)).toEqual({ data: { revealSecret: { secret: { plaintext: 'planted-value-73' } } } });
});

it('keeps its keys to itself', () => {
  const { directory } = shared;
  for (const file of ['master.key', 'token.secret']) expect(statSync(join(directory, file)).mode & 0o777, file).toBe(0o600);
  expect(statSync(join(directory, 'mongodb')).mode & 0o777).toBe(0o700);
});

// A new master key would open nothing of what is there, and make it look as if everything were fine.
it('does not make a second master key for data that was sealed under a first', async () => {
  const directory = newDataDirectory();
  const first = await startServer(directory);
  await send(first.url, first.token, createIntegration);
  first.child.kill('SIGTERM');
  await first.ended;
  renameSync(join(directory, 'master.key'), join(directory, 'elsewhere'));
  const { code, stderr } = await run(['start'], { DATA_DIR: directory, PORT: '0' }).ended;
  expect(code).toBe(1);
  expect(stderr).toContain('the master key that wrapped them is not in');
  const wrong = await run(['start'], { DATA_DIR: directory, PORT: '0', MASTER_KEY: randomBytes(32).toString('base64') }).ended;
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('is not configured');
});

it('finishes what is under way when a signal comes, and takes nothing new', async () => {
  const server = await startServer(newDataDirectory());
  const { port } = new URL(server.url);
  const body = JSON.stringify({ query: createIntegration });
  const socket = connect(Number(port), '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  const head = `POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer ${server.token}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`;
  socket.write(head + body.slice(0, 10));
  // The server has the head, so the request is under way.
  await expect.poll(() => answer, { timeout: 20_000 }).toContain('100 Continue');
  server.child.kill('SIGTERM');
  const another = () =>
    fetch(server.url, { signal: AbortSignal.timeout(5_000) }).then(
      async (response) => {
        await response.body?.cancel();
        return 'taken';
      },
      () => 'refused',
    );
  await expect.poll(another, { timeout: 20_000 }).toBe('refused');
  const answered = once(socket, 'close');
  socket.write(body.slice(10));
  expect((await server.ended).code).toBe(0);
  // The last bytes may be read after the process has ended.
  await answered;
  expect(answer).toContain('CreateIntegrationSuccess');
});

it('says what is wrong when it cannot start', async () => {
  const port = await run(['start'], { PORT: 'x' }).ended;
  expect(port).toMatchObject({ code: 1, stdout: '', stderr: 'PORT must be a port number, 0 to 65535.\n' });
  const second = await run(['start'], { DATA_DIR: newDataDirectory(), PORT: new URL(shared.url).port }).ended;
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/^HOST and PORT: cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/);
});

it('prints a token and nothing else, which the running server takes', async () => {
  const { stdout, stderr, code } = await run(['token', '--organization', 'acme', '--scope', 'integrations.get', 'credentials.*'], {
    DATA_DIR: shared.directory,
  }).ended;
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  expect(decodeJwt(stdout.trim())).toMatchObject({ organization: 'acme', scope: 'integrations.get credentials.*' });
  expect(await send(shared.url, stdout.trim(), integrations)).toEqual({ data: { integrations: { nodes: [] } } });
  expect((await send(shared.url, stdout.trim(), createIntegration)).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
});

it('refuses to print tokens that nobody could want', async () => {
  const settings = { DATA_DIR: newDataDirectory() };
  const unknown = await runHere(['token', '--organization', 'acme', '--scope', 'credentials.steal'], settings);
  expect(unknown).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Unknown scope: credentials.steal') });
  const name = await runHere(['token', '--organization', '../x', '--scope', 'credentials.get'], settings);
  expect(name).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('The name of an organization must be') });
  const elsewhere = await runHere(['token', '--organization', 'acme', '--scope', 'credentials.get'], {
    ...settings,
    TOKEN_SECRET: randomBytes(32).toString('hex'),
  });
  expect(elsewhere).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Development tokens are not available') });
});

it('fills an organization while the server runs, and deletes it', async () => {
  const directory = newDataDirectory();
  const settings = { DATA_DIR: directory };
  const server = await startServer(directory);
  const demo = await run(['demo', '--organization', 'acme', '--connections', '40'], settings).ended;
  expect(demo).toMatchObject({
    code: 0,
    stdout:
      'Creating 40 connections with credentials of all kinds in the integration demo of acme.\nCreated: 1 integration, 10 connectors, 14 end users and 40 connections with 50 credentials.\n',
    stderr: '',
  });
  const token = (await run(['token', '--organization', 'acme', '--scope', 'all.Organization'], settings).ended).stdout.trim();
  const totals =
    '{ connections { totalCount } credentials { totalCount nodes { __typename } } connectors { totalCount } endUsers { totalCount } }';
  const { data } = await send(server.url, token, totals);
  expect(data).toMatchObject({
    connections: { totalCount: 40 },
    credentials: { totalCount: 50 },
    connectors: { totalCount: 10 },
    endUsers: { totalCount: 14 },
  });

  expect(await runHere(['organization', 'delete', 'acme', '--yes'], databaseOf(server, directory))).toMatchObject({ code: 0 });
  expect((await send(server.url, token, totals)).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  expect((await send(server.url, token, createIntegration)).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
});

it('answers by several processes, loses no acknowledged write when one of them is killed, replaces it, and ends all', async () => {
  const server = await startServer(newDataDirectory(), { WORKERS: '2' });
  const answering = () => new Set([...server.output.stdout.matchAll(/"pid":(\d+),.*"msg":"request"/g)].map(([, pid]) => Number(pid)));
  const acknowledged: string[] = [];
  let isOver = false;
  const writing = Array.from({ length: 3 }, async (_, writer) => {
    for (let index = 0; !isOver; index++) {
      const name = `${writer}-${index}`;
      // Each request has a connection of its own, so that each process gets some. One of a killed process fails, or is never answered.
      const { data } = await send(server.url, server.token, create(name), { connection: 'close' }, 10).catch(() => ({ data: undefined }));
      if (data) acknowledged.push(name);
    }
  });
  await expect.poll(() => answering().size, { timeout: 60_000 }).toBe(2);
  const [killed] = answering();
  process.kill(killed!, 'SIGKILL');
  await expect.poll(() => answering().size, { timeout: 60_000 }).toBe(3);
  isOver = true;
  await Promise.all(writing);
  expect(answering()).not.toContain(server.child.pid);
  expect(server.output.stdout).toMatch(new RegExp(`"worker":${killed},.*"msg":"a worker has ended; it will be replaced"`));
  const stored = new Set<string>();
  for (let after = ''; ; ) {
    const page = `{ integrations(first: 100 ${after}) { nodes { name } pageInfo { hasNextPage endCursor } } }`;
    const { nodes, pageInfo } = (await send(server.url, server.token, page)).data!.integrations as never as IntegrationPage;
    for (const { name } of nodes) stored.add(name);
    if (!pageInfo.hasNextPage) break;
    after = `after: "${pageInfo.endCursor}"`;
  }
  expect(acknowledged.filter((name) => !stored.has(name))).toEqual([]);

  // Whichever process serves a live query, it is told what any of them has done. They end as such queries do, so that their clients listen elsewhere.
  const subscription = 'subscription { events(types: [CREATED]) { objectType } }';
  const streams = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json', accept: 'text/event-stream' };
      const response = await fetch(server.url, { method: 'POST', headers, body: JSON.stringify({ query: subscription }) });
      let text = '';
      const decoder = new TextDecoderStream();
      const ended = response.body!.pipeThrough(decoder as never).pipeTo(
        new WritableStream({
          write: (chunk) => {
            text += chunk;
          },
        }),
      );
      await expect.poll(() => text, { timeout: 60_000 }).toMatch(/^id: /m);
      return { ended, text: () => text };
    }),
  );
  await send(server.url, server.token, create('told to all'), { connection: 'close' });
  const told = /^event: next\ndata: \{"data":\{"events":\{"objectType":"INTEGRATION"\}\}\}$/m;
  for (const { text } of streams) await expect.poll(text, { timeout: 60_000 }).toMatch(told);
  server.child.kill('SIGTERM');
  await Promise.all(streams.map(({ ended }) => ended));
  for (const { text } of streams) expect(text()).toMatch(/event: complete\ndata:\n\n$/);
  expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
  for (const pid of answering()) expect(() => process.kill(pid, 0), String(pid)).toThrow('ESRCH');
});

it('ends with a sentence when its processes cannot start', async () => {
  const used = await run(['start'], { DATA_DIR: newDataDirectory(), PORT: new URL(shared.url).port, WORKERS: '2' }).ended;
  expect({ code: used.code, stderr: used.stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^HOST and PORT: cannot listen on [^\n]*\n$/),
  });
  const preload = join(newDataDirectory(), 'preload.mjs');
  writeFileSync(preload, `import cluster from 'node:cluster'; if (cluster.isWorker) process.exit(7);`);
  const settings = { DATA_DIR: newDataDirectory(), PORT: '0', WORKERS: '2', NODE_OPTIONS: `--import=${preload}` };
  const { code, stdout, stderr } = await run(['start'], settings).ended;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^WORKERS: 5 workers in a row ended before they were ready, [^\n]*\n$/),
  });
  expect(stdout.match(/"code":7,/g)).toHaveLength(5);
});

it('helps', async () => {
  const { stdout, code } = await run(['--help'], {}).ended;
  expect(code).toBe(0);
  for (const command of ['start', 'token', 'demo', 'organization']) expect(stdout).toContain(command);
  const token = await run(['token', '--help'], {}).ended;
  for (const scope of grantableScopes) expect(token.stdout).toContain(scope);
});

it('answers whether it lives and whether it is ready', async () => {
  for (const path of ['/health', '/ready']) expect((await fetch(new URL(path, shared.url))).status, path).toBe(200);
});

it('logs a line of JSON for each request where stdout is no terminal', async () => {
  const server = await startServer(newDataDirectory());
  await send(server.url, server.token, integrations);
  server.child.kill('SIGTERM');
  const { stdout } = await server.ended;
  const [line, ...others] = stdout.split('\n').filter((each) => each.startsWith('{'));
  expect(JSON.parse(line!)).toMatchObject({ level: 30, msg: 'request', path: '/graphql', status: 200, organization: 'example' });
  expect(others).toEqual([]);
});

// The token has all scopes, and a log keeps what is printed.
it.each<[string, Record<string, string>]>([
  ['nothing else set', {}],
  ['another database', { MONGODB_URI: 'mongodb://127.0.0.1:1/?replicaSet=rs0', MASTER_KEY: randomBytes(32).toString('base64') }],
  ['an open address', { HOST: '0.0.0.0' }],
])('makes no development token in production, with %s', async (_, settings) => {
  const directory = newDataDirectory();
  for (const command of [['start'], ['token', '--organization', 'acme', '--scope', 'all.Organization']]) {
    const { code, stdout, stderr } = await runHere(command, { NODE_ENV: 'production', DATA_DIR: directory, PORT: '0', ...settings });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^TOKEN_JWKS_URL \(or TOKEN_SECRET\) is missing: development tokens are not available in production/);
  }
  expect(readdirSync(directory)).toEqual([]);
});

it('prints no token in production, and takes none that was made for development', async () => {
  const directory = newDataDirectory();
  const token = (
    await run(['token', '--organization', 'acme', '--scope', 'all.Organization'], { DATA_DIR: directory }).ended
  ).stdout.trim();
  expect(token).toMatch(/^ey/);
  const settings = {
    NODE_ENV: 'production',
    DATA_DIR: directory,
    PORT: '0',
    TOKEN_SECRET: randomBytes(32).toString('hex'),
    GRAPHIQL: 'true',
  };
  const server = run(['start'], settings);
  await expect.poll(() => server.output.stdout, { timeout: 90_000 }).toContain('GraphQL at ');
  expect(server.output.stdout).not.toContain('token=');
  const [url] = /http\S+/.exec(server.output.stdout.split('GraphQL at ')[1]!)!;
  expect((await send(url, token, integrations)).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
});

it('says why when the data directory cannot be written', async () => {
  const file = join(newDataDirectory(), 'file');
  writeFileSync(file, '');
  const { code, stderr } = await run(['start'], { DATA_DIR: join(file, 'data'), PORT: '0' }).ended;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `DATA_DIR: ${join(file, 'data')} is not writable (ENOTDIR). Choose a writable directory.\n`,
  });
});
