import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, expect, it } from 'vitest';
import { startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { newDataDirectory, send, startServer, useProcesses } from './process.ts';

useProcesses();

/** Receives webhooks and describes itself as an OAuth 2.0 server. It first answers nothing. */
const asked: string[] = [];
let isHolding = true;
const service = createServer(({ url }, response) => {
  asked.push(url!);
  if (isHolding) return;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }));
});
let issuer = '';
afterAll(() => {
  service.closeAllConnections();
  service.close();
});

it('kill -9 between the commit of a mutation and its answer: it does not run again, and one without a commit does', async () => {
  await new Promise<void>((done) => service.listen(0, '127.0.0.1', done));
  issuer = `http://localhost:${(service.address() as AddressInfo).port}`;
  const directory = newDataDirectory();
  const settings = { OUTBOUND_ALLOW_HTTP: 'true', OUTBOUND_ALLOWED_ADDRESSES: '127.0.0.1/32,::1/128' };
  const killed = await startServer(directory, settings);
  const made = async (mutation: string) => {
    const { data } = await send(killed.url, killed.token, `mutation { made: ${mutation} }`);
    return JSON.stringify(data).match(/"id":"([^"]+)"/)![1]!;
  };
  await made('createIntegration(input: { name: "crm" }) { ... on CreateIntegrationSuccess { integration { id } } }');
  const connector = await made(
    'createConnector(input: { integration: { name: "crm" }, name: "c", baseUrl: "https://api.example.com" }) { ... on CreateConnectorSuccess { connector { id } } }',
  );
  const webhook = await made(
    `createWebhook(input: { url: "${issuer}/hook", types: [DELETED] }) { ... on CreateWebhookSuccess { issued { id: webhookId } } }`,
  );
  // The audit entry of a test of a webhook is committed before it is sent; a discovery commits after the answer of the service.
  const test = `mutation { testWebhook(input: { webhook: "${webhook}" }) { __typename } }`;
  const discover = `mutation { discoverConnector(input: { connector: { id: "${connector}" }, issuer: "${issuer}" }) { __typename } }`;
  const keyed = (server: typeof killed, key: string, query: string) =>
    send(server.url, server.token, query, { 'idempotency-key': `"${key}"` });
  const lost = Promise.allSettled([keyed(killed, 'a', test), keyed(killed, 'b', discover)]);
  await expect.poll(() => asked.length, { timeout: 60_000 }).toBe(2);
  killed.child.kill('SIGKILL');
  await once(killed.child, 'exit');
  expect((await lost).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  isHolding = false;

  const codeOf = async (answer: ReturnType<typeof send>) => (await answer).errors?.map(({ extensions }) => extensions);
  const again = await startServer(directory, settings);
  // Nobody can know yet that the process is dead.
  for (const [key, query] of [['a', test] as const, ['b', discover] as const]) {
    expect(await codeOf(keyed(again, key, query))).toMatchObject([{ code: 'IDEMPOTENCY_KEY_IN_USE' }]);
  }
  const mongodb = await startEmbeddedMongodb({ directory: join(directory, 'mongodb') });
  const database = await new MongoClient(mongodb.uri).connect();
  const { databases } = await database.db('admin').admin().listDatabases();
  const { name } = databases.find(({ name }) => !['admin', 'local', 'config'].includes(name))!;
  await database
    .db(name)
    .collection('idempotencyKeys')
    .updateMany({}, { $set: { endsAt: new Date(0) } });
  await database.close();

  expect(await codeOf(keyed(again, 'a', test))).toMatchObject([{ code: 'ALREADY_EXECUTED', reason: 'LOST' }]);
  const { data } = await keyed(again, 'b', discover);
  expect(data).toEqual({ discoverConnector: { __typename: 'DiscoverConnectorSuccess' } });
  expect((await keyed(again, 'b', discover)).data).toEqual(data);
  expect(asked.filter((url) => url === '/hook')).toHaveLength(1);
  again.child.kill('SIGKILL');
  await mongodb.stop();
});
