import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newDataDirectory, run, send, startServer, useProcesses } from './process.ts';

useProcesses();

const create = (name: string) => `mutation { createIntegration(input: { name: "${name}" }) { __typename } }`;

it('verifies the audit log while the server runs, also against heads that were kept', async () => {
  const directory = newDataDirectory();
  const settings = { DATA_DIR: directory };
  const server = await startServer(directory);
  await send(server.url, server.token, create('crm'));
  const verified = await run(['audit', 'verify'], settings).ended;
  expect(verified).toMatchObject({ code: 0, stdout: expect.stringMatching(/^example: intact; 0 entries in 0 batches, 1 not sealed yet/) });
  const { stdout: heads } = await run(['audit', 'heads'], settings).ended;
  expect(JSON.parse(heads)).toEqual({ organization: 'example', sequence: 1, headHash: expect.stringMatching(/^[\w-]{43}$/) });
  const file = join(directory, 'heads');
  writeFileSync(file, heads);
  expect(await run(['audit', 'verify', '--heads', file], settings).ended).toMatchObject({ code: 0 });
  writeFileSync(file, heads.replace(/"headHash":"./, '"headHash":"!'));
  const cut = await run(['audit', 'verify', '--heads', file], settings).ended;
  expect(cut).toMatchObject({ code: 1, stdout: expect.stringContaining('does not have the hash of the given head') });
});

it('backs up while the server runs, without keys, and restores', async () => {
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
  expect(await run(['restore', file], { DATA_DIR: restored }).ended).toMatchObject({ code: 0 });
  expect(readdirSync(restored)).toEqual(['mongodb']);
  const without = await run(['start'], { DATA_DIR: restored, PORT: '0' }).ended;
  expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('the master key that wrapped them is not in') });
  const second = await startServer(restored, { MASTER_KEY_FILE: join(directory, 'master.key') });
  expect(await send(second.url, second.token, '{ integrations { nodes { name } } }')).toMatchObject({
    data: { integrations: { nodes: [{ name: 'kept' }] } },
  });

  const again = await run(['restore', file], { DATA_DIR: restored }).ended;
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('there is data in') });
});
