import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { expect, it } from 'vitest';
import { startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { newDataDirectory, run, send, startServer, useProcesses } from './process.ts';

useProcesses();

/** Returns which of the texts are in any file of the directory. */
function found(directory: string, texts: string[]): string[] {
  const files = readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name)));
  const contents = files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file));
  return texts.filter((text) => contents.some((bytes) => bytes.includes(text)));
}

const gone = (directory: string, texts: string[]) =>
  expect.poll(() => found(directory, texts), { timeout: 90_000, interval: 250 }).toEqual([]);

// With the master key, what is still in the file could be opened, though the API says that it is deleted.
it('leaves neither ciphertext nor wrapped keys in the files after they were deleted', async () => {
  const directory = newDataDirectory();
  const server = await startServer(directory);
  const ask = (query: string) => send(server.url, server.token, query);
  await ask('mutation { createIntegration(input: { name: "crm" }) { __typename } }');
  const { uri } = await startEmbeddedMongodb({ directory: join(directory, 'mongodb') });
  const client = await new MongoClient(uri).connect();
  const { databases } = await client.db('admin').admin().listDatabases();
  const database = client.db(databases.map(({ name }) => name).find((name) => !['admin', 'local', 'config'].includes(name))!);
  const stored = async (collection: string, field: string) =>
    // The log of the platform stays, and keeps its key.
    (await database.collection(collection).find({ organizationId: 'example' }).toArray())
      .map((document) => document[field])
      .filter((text) => typeof text === 'string' && text.length > 20);
  const ciphertext = () => stored('secrets', 'sealed');

  const ids: string[] = [];
  for (let n = 0; n < 30; n++) {
    const made = await ask(
      `mutation { createCredential(input: { integration: { name: "crm" }, name: "c${n}", data: { string: { value: "planted-${n}" } } }) {
        ... on CreateCredentialSuccess { credential { ... on StringCredential { id } } } } }`,
    );
    ids.push((made.data!.createCredential as unknown as { credential: { id: string } }).credential.id);
  }
  const first = await ciphertext();
  expect(first).toHaveLength(30);
  expect(found(directory, first)).toHaveLength(30);

  for (const id of ids.slice(0, 10)) {
    expect(await ask(`mutation { deleteCredential(input: { credential: "${id}" }) { __typename } }`)).toMatchObject({
      data: { deleteCredential: { __typename: 'DeleteCredentialSuccess' } },
    });
  }
  for (const id of ids.slice(10, 20)) {
    expect(
      await ask(`mutation { updateCredential(input: { credential: "${id}", data: { string: { value: "replaced" } } }) { __typename } }`),
    ).toMatchObject({ data: { updateCredential: { __typename: 'UpdateCredentialSuccess' } } });
  }
  const second = await ciphertext();
  const deleted = first.filter((text) => !second.includes(text));
  expect(deleted).toHaveLength(20);
  await gone(directory, deleted);
  expect(found(directory, second)).toHaveLength(20);

  const wrapped = await stored('dataKeys', 'wrapped');
  expect(wrapped.length).toBeGreaterThan(0);
  expect(found(directory, wrapped)).toHaveLength(wrapped.length);
  expect(await run(['organization', 'delete', 'example', '--yes'], { DATA_DIR: directory }).ended).toMatchObject({ code: 0 });
  expect(await ciphertext()).toEqual([]);
  await gone(directory, [...first, ...second, ...wrapped]);
  await client.close();
});
