// How fast the gateway answers the nested page, as a ratio to the same page made by the bare driver and node:http, in the same run and on
// the same database: what authentication, GraphQL, scopes and redaction cost. Absolute numbers differ from machine to machine.
//
//   npm run bench [-- CONNECTIONS]       fills a database with that many connections first; 300 unless told
//   MONGODB_URI=… npm run bench          on that database instead of the embedded one
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { MongoClient } from 'mongodb';
import { pino } from 'pino';
import { demo } from '../../dist/cli/demo.js';
import { startEmbeddedMongodb } from '../../dist/embedded-mongodb/index.js';
import { createGateway } from '../../dist/gateway.js';

const connections = Number(process.argv[2] ?? 300);
const ROUNDS = 5;
const REQUESTS_PER_ROUND = 100;
const CLIENTS = 8;
const organization = 'bench';
const name = `bench-${randomBytes(4).toString('hex')}`;

const query = `{ connections(first: 50) { nodes { id name connector { name } endUser { displayName }
  actionCredentials { credential { ... on CredentialBase { id name kind usages(first: 5) { nodes { name } } } ... on BasicAuthCredential { username password { redacted } } } } } } }`;

const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-'));
const embedded = process.env.MONGODB_URI ? undefined : await startEmbeddedMongodb({ directory, worker: true });
const uri = process.env.MONGODB_URI ?? embedded.uri;
const secret = randomBytes(32);
const gateway = await createGateway({
  database: { uri, name },
  masterKeys: [randomBytes(32)],
  tokens: { issuer: 'bench', audience: 'bench', organizationClaim: 'organization', key: { secret } },
  logger: pino({ level: 'silent' }),
  graphiql: false,
});
const client = new MongoClient(uri);
const database = client.db(name);
try {
  const filled = performance.now();
  await demo(gateway, organization, connections);
  console.log(`filled with ${connections} connections in ${seconds(performance.now() - filled)}, through the front door`);

  const token = await new SignJWT({ organization, scope: 'all.Organization' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('bench')
    .setAudience('bench')
    .setSubject('bench')
    .setExpirationTime('1h')
    .sign(secret);
  const ours = await listen(createServer(gateway.requestListener));
  const bare = await listen(createServer(async (_request, response) => response.end(JSON.stringify({ data: await barePage() }))));
  const body = JSON.stringify({ query });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };

  const answers = await Promise.all([ours, bare].map((port) => post(port, headers, body)));
  if (JSON.stringify(JSON.parse(answers[0]).data).length < 1_000) throw new Error(answers[0]);
  for (const port of [ours, bare]) await load(port, headers, body); // warm
  const ratios = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [mine, theirs] = [await load(ours, headers, body), await load(bare, headers, body)];
    ratios.push(mine / theirs);
    console.log(
      `round ${round + 1}: gateway ${mine.toFixed(0)} pages/s, bare driver ${theirs.toFixed(0)} pages/s, ratio ${(mine / theirs).toFixed(2)}`,
    );
  }
  console.log(`median ratio: ${ratios.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)].toFixed(2)}`);
} finally {
  await database.dropDatabase();
  await client.close();
  await gateway.stop();
  await embedded?.stop();
  rmSync(directory, { recursive: true, force: true });
  process.exit();
}

/** The same page, as somebody would write it who needs nothing else: five commands, no checks. */
async function barePage() {
  const organizationId = organization;
  const page = await database.collection('connections').find({ organizationId }).sort({ createdAt: -1, _id: -1 }).limit(51).toArray();
  const ids = [...new Set(page.flatMap(({ credentialIds }) => credentialIds))];
  const find = (collection, wanted) =>
    database
      .collection(collection)
      .find({ organizationId, _id: { $in: [...new Set(wanted)] } })
      .toArray();
  const [credentials, connectors, endUsers, users] = await Promise.all([
    find('credentials', ids),
    find(
      'connectors',
      page.map(({ connectorId }) => connectorId),
    ),
    find(
      'endUsers',
      page.map(({ endUserId }) => endUserId),
    ),
    database
      .collection('connections')
      .find({ organizationId, credentialIds: { $in: ids } })
      .toArray(),
  ]);
  const byId = (records) => new Map(records.map((record) => [record._id, record]));
  const [credential, connector, endUser] = [byId(credentials), byId(connectors), byId(endUsers)];
  return page.slice(0, 50).map((each) => ({
    id: each._id,
    name: each.name,
    connector: { name: connector.get(each.connectorId).name },
    endUser: { displayName: endUser.get(each.endUserId).displayName },
    actionCredentials: each.actionCredentials.map(({ credentialId }) => {
      const { _id, name, kind, settings } = credential.get(credentialId);
      return {
        id: _id,
        name,
        kind,
        username: settings.username,
        usages: users.filter(({ credentialIds }) => credentialIds.includes(_id)).map((user) => user.name),
      };
    }),
  }));
}

/** Answers a second, of a round of requests from several clients at once. */
async function load(port, headers, body) {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const started = performance.now();
  let left = REQUESTS_PER_ROUND;
  const work = async () => {
    while (left-- > 0) await post(port, headers, body, agent);
  };
  await Promise.all(Array.from({ length: CLIENTS }, work));
  agent.destroy();
  return REQUESTS_PER_ROUND / ((performance.now() - started) / 1000);
}

function post(port, headers, body, agent) {
  return new Promise((resolve, reject) => {
    const sent = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/graphql',
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      agent,
    });
    sent.on('error', reject);
    sent.on('response', async (response) => resolve((await response.toArray()).join('')));
    sent.end(body);
  });
}

async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
