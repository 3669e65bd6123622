import { once } from 'node:events';
import { createServer, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, expect, it } from 'vitest';
import { startEmbeddedMongodb } from '../../src/embedded-mongodb/index.ts';
import { newDataDirectory, send, startServer, useProcesses } from './process.ts';

useProcesses();

/** A token server that accepts each refresh token once, and rotates it with its answer. Its access tokens end at once, so each use needs a new one. */
let current = 0;
let isHolding = true;
let hold: (response: ServerResponse) => void;
const held = new Promise<ServerResponse>((done) => {
  hold = done;
});
const sent: (string | null)[] = [];
const service = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  sent.push(form.get('refresh_token'));
  if (isHolding) return void hold(response);
  const isCurrent = form.get('refresh_token') === `refresh-${current}`;
  if (isCurrent) current++;
  const answer = { access_token: `access-${current}`, refresh_token: `refresh-${current}`, token_type: 'Bearer', expires_in: 5 };
  response.writeHead(isCurrent ? 200 : 400, { 'content-type': 'application/json' });
  response.end(JSON.stringify(isCurrent ? answer : { error: 'invalid_grant' }));
});
afterAll(() => {
  service.closeAllConnections();
  service.close();
});

it('kill -9 in the middle of a refresh loses no refresh token, and after a commit no event', async () => {
  await new Promise<void>((done) => service.listen(0, '127.0.0.1', done));
  const tokenUrl = `http://localhost:${(service.address() as AddressInfo).port}/token`;
  const directory = newDataDirectory();
  const settings = { OUTBOUND_ALLOW_HTTP: 'true', OUTBOUND_ALLOWED_ADDRESSES: '127.0.0.1/32,::1/128', TOKEN_REFRESH_AHEAD_SECONDS: '0' };
  const killed = await startServer(directory, settings);
  const made = async (mutation: string, id: string) => {
    const { data, errors } = await send(
      killed.url,
      killed.token,
      `mutation { made: ${mutation} { ... on MutationError { message } ${id} } }`,
    );
    expect(errors).toBeUndefined();
    return JSON.stringify(data!.made).match(/"id":"([^"]+)"/)![1]!;
  };
  const allowed = 'allowedDomains: ["localhost", "api.example.com"], allowedPurposes: [TOKEN_REQUEST, ACTION]';
  const createCredential = (name: string, data: string) =>
    made(
      `createCredential(input: { integration: { name: "crm" }, name: "${name}", ${allowed}, data: { ${data} } })`,
      '... on CreateCredentialSuccess { credential { ... on CredentialBase { id } } }',
    );
  await made('createIntegration(input: { name: "crm" })', '... on CreateIntegrationSuccess { integration { id } }');
  const client = await createCredential('client', `oauth2Client: { clientId: "me", clientSecret: "s", tokenUrl: "${tokenUrl}" }`);
  const token = await createCredential(
    'token',
    'oauth2Token: { accessToken: "access-0", refreshToken: "refresh-0", scopes: [], accessTokenExpiresAt: "2020-01-01T00:00:00Z" }',
  );
  const oauth2 = `{ grant: AUTHORIZATION_CODE, authorizeUrl: "https://example.com/", tokenUrl: "${tokenUrl}", clientCredentialId: "${client}" }`;
  const connection = await made(
    `createConnection(input: { integration: { name: "crm" }, name: "c", allowedDomain: "api.example.com", actionCredentials: [{
      credential: { id: "${token}" }, authScheme: { schemeId: "oauth", schemeType: OAUTH2, oauth2: ${oauth2} } }] })`,
    '... on CreateConnectionSuccess { connection { id } }',
  );
  const use = async (server: typeof killed) =>
    send(
      server.url,
      server.token,
      `mutation { used: authorizeRequest(input: { connection: { id: "${connection}" }, method: "GET", url: "https://api.example.com/" }) {
        ... on AuthorizeRequestSuccess { request { headers { value } } } ... on MutationError { code message } } }`,
    );

  const lost = use(killed).catch(() => 'no answer');
  const first = await Promise.race([held, lost]);
  expect(first instanceof ServerResponse || first).toBe(true);
  // It is killed between the commit and the moment at which the event gets its position.
  await made(
    'createEndUser(input: { integration: { name: "crm" }, externalId: "last" })',
    '... on CreateEndUserSuccess { endUser { id } }',
  );
  killed.child.kill('SIGKILL');
  expect((await once(killed.child, 'exit'))[1]).toBe('SIGKILL');
  expect(await lost).toBe('no answer');
  isHolding = false;

  // The lease of the dead process ends by time.
  const mongodb = await startEmbeddedMongodb({ directory: join(directory, 'mongodb') });
  const database = await new MongoClient(mongodb.uri).connect();
  const { databases } = await database.db('admin').admin().listDatabases();
  const names = databases.map(({ name }) => name).filter((name) => !['admin', 'local', 'config'].includes(name));
  const { deletedCount } = await database.db(names[0]!).collection('leases').deleteMany({});
  expect(deletedCount).toBe(1);
  await database.close();

  const again = await startServer(directory, settings);
  for (const value of ['Bearer access-1', 'Bearer access-2']) {
    expect((await use(again)).data).toEqual({ used: { request: { headers: [{ value }] } } });
  }
  expect(sent).toEqual(['refresh-0', 'refresh-0', 'refresh-1']);
  const { data } = await send(again.url, again.token, '{ events(first: 100, types: [CREATED]) { nodes { objectType } } }');
  const types: string[] = JSON.stringify(data)
    .match(/"objectType":"\w+"/g)!
    .map((each) => each.split('"')[3]!);
  expect(types.sort()).toEqual(['CONNECTION', 'CREDENTIAL', 'CREDENTIAL', 'END_USER', 'INTEGRATION']);
  again.child.kill('SIGKILL');
  await mongodb.stop();
});
