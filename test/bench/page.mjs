// How fast the gateway answers the nested page, as a ratio to the same page made by the bare driver and node:http, in the same run and on
// the same database: what authentication, GraphQL, scopes and redaction cost. Absolute numbers differ from machine to machine.
//
//   npm run bench [-- CONNECTIONS]       fills a database with that many connections first; 300 unless told
//   MONGODB_URI=… npm run bench          on that database instead of the embedded one
import { demo } from '../../dist/cli/demo.js';
import { agentFor, bench, listen, median, organization, post, rate } from './setup.mjs';

const connections = Number(process.argv[2] ?? 300);
const ROUNDS = 5;
const REQUESTS_PER_ROUND = 100;
const CLIENTS = 8;

const query = `{ connections(first: 50) { nodes { id name connector { name } endUser { displayName }
  actionCredentials { credential { ... on CredentialBase { id name kind usages(first: 5) { nodes { name } } } ... on BasicAuthCredential { username password { redacted } } } } } } }`;

await bench(async ({ gateway, database, headers, port: ours }) => {
  const filled = performance.now();
  await demo(gateway, organization, connections);
  console.log(`filled with ${connections} connections in ${seconds(performance.now() - filled)}, through the front door`);

  const bare = await listen(async (_request, response) => response.end(JSON.stringify({ data: await barePage(database) })));
  const body = JSON.stringify({ query });

  const answers = await Promise.all([ours, bare].map((port) => post(port, headers, body)));
  if (JSON.stringify(JSON.parse(answers[0]).data).length < 1_000) throw new Error(answers[0]);
  const load = async (port) => {
    const agent = agentFor(CLIENTS);
    const pages = await rate(CLIENTS, REQUESTS_PER_ROUND, () => post(port, headers, body, agent));
    agent.destroy();
    return pages;
  };
  for (const port of [ours, bare]) await load(port); // warm
  const ratios = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [mine, theirs] = [await load(ours), await load(bare)];
    ratios.push(mine / theirs);
    console.log(
      `round ${round + 1}: gateway ${mine.toFixed(0)} pages/s, bare driver ${theirs.toFixed(0)} pages/s, ratio ${(mine / theirs).toFixed(2)}`,
    );
  }
  console.log(`median ratio: ${median(ratios).toFixed(2)}`);
});

/** The same page, as somebody would write it who needs nothing else: five commands, no checks. */
async function barePage(database) {
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

function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
