import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { databaseOf, runHere } from './here.ts';
import { newDataDirectory, run, send, startServer, useProcesses } from './process.ts';

useProcesses();

/** For tests that start many processes. */
const LONG = 600_000;

const create = (name: string) => `mutation { createIntegration(input: { name: "${name}" }) { __typename } }`;

async function platformLog(settings: Record<string, string>) {
  const { stdout } = await runHere(['audit', 'list', '--platform'], settings);
  return linesOf(stdout);
}

function linesOf(text: string) {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

it('verifies the audit log while the server runs, also against heads that were kept', async () => {
  const directory = newDataDirectory();
  const server = await startServer(directory);
  const settings = databaseOf(server, directory);
  await send(server.url, server.token, create('crm'));
  // One as a process: what it prints, and its exit code, are those of the command.
  const verified = await run(['audit', 'verify'], { DATA_DIR: directory }).ended;
  expect(verified).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\(platform\): intact; .*\nexample: intact; 0 entries in 0 batches, 1 not sealed yet/),
  });
  const { stdout: heads } = await runHere(['audit', 'heads'], settings);
  const [platform, example] = heads
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(platform).toMatchObject({ organization: '(platform)' });
  expect(example).toEqual({ organization: 'example', sequence: 1, headHash: expect.stringMatching(/^[\w-]{43}$/) });
  const file = join(directory, 'heads');
  writeFileSync(file, heads);
  expect(await runHere(['audit', 'verify', '--heads', file], settings)).toMatchObject({ code: 0 });
  writeFileSync(file, heads.replace(/"headHash":"./g, '"headHash":"!'));
  const cut = await runHere(['audit', 'verify', '--heads', file], settings);
  expect(cut).toMatchObject({ code: 1, stdout: expect.stringContaining('does not have the hash of the given head') });
});

it(
  'backs up while the server runs, without keys, and restores',
  async () => {
    const directory = newDataDirectory();
    const server = await startServer(directory);
    await send(server.url, server.token, create('kept'));
    const file = join(newDataDirectory(), 'backup');
    expect(await run(['backup', file], { DATA_DIR: directory }).ended).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('It does not contain the master key'),
    });
    await send(server.url, server.token, create('later'));

    const restored = newDataDirectory();
    expect(await runHere(['restore', file], { DATA_DIR: restored })).toMatchObject({ code: 0 });
    expect(readdirSync(restored)).toEqual(['mongodb', 'restored.json']);
    const without = await run(['start'], { DATA_DIR: restored, PORT: '0' }).ended;
    expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('the master key that wrapped them is not in') });
    const second = await startServer(restored, { MASTER_KEY_FILE: join(directory, 'master.key') });
    expect(readdirSync(restored)).not.toContain('restored.json');
    const log = await platformLog({ ...databaseOf(second, restored), MASTER_KEY_FILE: join(directory, 'master.key') });
    expect(log.map(({ action }) => action)).toEqual([
      'startServer',
      'createDevelopmentToken',
      'restore',
      'startServer',
      'createDevelopmentToken',
    ]);
    expect(log[2].details).toMatch(/^at \S+ by .+@.+$/);
    expect((await platformLog(databaseOf(server, directory))).map(({ action }) => action)).toContain('backup');
    expect(await send(second.url, second.token, '{ integrations { nodes { name } } }')).toMatchObject({
      data: { integrations: { nodes: [{ name: 'kept' }] } },
    });

    const again = await runHere(['restore', file], { DATA_DIR: restored });
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('There is data in') });
  },
  LONG,
);

it(
  'writes to the log of the platform what is done to it, and who does it',
  async () => {
    const directory = newDataDirectory();
    const settings = { DATA_DIR: directory };
    const server = await startServer(directory);
    await send(server.url, server.token, create('crm'));
    await fetch(server.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer wrong' }, body: '{}' });
    expect(await run(['token', '--organization', 'acme', '--scope', 'credentials.get'], settings).ended).toMatchObject({ code: 0 });
    const here = databaseOf(server, directory);
    expect(await runHere(['keys', 'rotate'], here)).toMatchObject({ code: 0 });
    expect(await runHere(['keys', 'rewrap'], here)).toMatchObject({ code: 0 });
    expect(await runHere(['organization', 'delete', 'example', '--yes'], here)).toMatchObject({ code: 0 });
    server.child.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
    const listed = await run(['audit', 'list', '--platform'], settings).ended;
    const all = linesOf(listed.stdout);
    // Written within a minute, at whatever place.
    expect(all.filter(({ action }) => action === 'refuseToken')).toEqual([expect.objectContaining({ address: '127.0.0.1', count: 1 })]);
    const log = all.filter(({ action }) => action !== 'refuseToken');
    expect(log.map(({ action, organization, address, details }) => [action, organization, address, details])).toEqual([
      ['startServer', null, null, expect.stringMatching(/^version \d+\.\d+\.\d+$/)],
      ['createDevelopmentToken', 'example', null, expect.stringContaining('all.Organization')],
      ['createDevelopmentToken', 'acme', null, 'credentials.get'],
      ['rotateKeys', null, null, 'begin'],
      ['rotateKeys', null, null, 'end, exit code 0'],
      ['rewrapKeys', null, null, 'begin'],
      ['rewrapKeys', null, null, 'end, exit code 0'],
      ['deleteOrganization', 'example', null, expect.stringContaining('auditHead')],
      ['stopServer', null, null, null],
    ]);
    expect(log[0].subject).toMatch(/^.+@.+$/);
    const verified = await run(['audit', 'verify', '--platform'], settings).ended;
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\(platform\): intact; 10 entries in \d+ batches\n$/) });
  },
  LONG,
);

it(
  'takes no kill -9 for a forgery, and seals the last entries when it is stopped',
  async () => {
    const directory = newDataDirectory();
    for (let round = 0; round < 2; round++) {
      const server = await startServer(directory);
      let written = 0;
      const writing = Array.from({ length: 8 }, async (_, writer) => {
        for (let index = 0; ; index++) {
          await send(server.url, server.token, create(`${round}-${writer}-${index}`));
          if (++written > 30) server.child.kill('SIGKILL');
        }
      });
      await Promise.allSettled(writing);
      await server.ended;
    }
    const server = await startServer(directory);
    const verified = await runHere(['audit', 'verify'], databaseOf(server, directory));
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringMatching(/^example: intact/m) });
    await send(server.url, server.token, create('last'));
    server.child.kill('SIGTERM');
    await server.ended;
    // Of those that were killed nobody has sealed the last entries yet: only the organizations that it has written to are sealed.
    const { code, stdout } = await run(['audit', 'verify', '--organization', 'example'], { DATA_DIR: directory }).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.not.stringContaining('not sealed yet') });
  },
  LONG,
);
