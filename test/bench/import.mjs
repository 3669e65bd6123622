// How many connections a second `importConnections` creates, each with a credential, as a ratio to the bare driver that inserts the same documents
// with `insertMany`, one transaction for as many, on the same database and into the same collections, in the same run: what authentication,
// GraphQL, checks, sealing and the audit log cost. Also how many a second are sent again without a change.
//
//   node test/bench/import.mjs                  on the embedded database
//   MONGODB_URI=… node test/bench/import.mjs    on that database
import { randomBytes } from 'node:crypto';
import { agentFor, bench, median, organization, post, rate } from './setup.mjs';

const ROUNDS = 5;
const ITEMS = 500;
const ITEMS_PER_TRANSACTION = 100;

const query = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
  ... on ImportConnectionsSuccess { imported { createdCount unchangedCount } } ... on MutationError { code message } } }`;
const integration = { name: 'crm' };
const connection = (name) => ({
  name,
  connector: { inIntegration: { integration, name: 'service' } },
  endUser: { inIntegration: { integration, externalId: '4711' } },
  allowedDomain: 'service.example.com',
  variables: [{ name: 'region', value: 'eu' }],
  actionCredentials: [
    {
      credential: {
        create: {
          name: 'login',
          allowedDomains: ['service.example.com'],
          data: { basicAuth: { username: 'ada', password: randomBytes(12).toString('hex') } },
        },
      },
    },
  ],
});

await bench(
  async ({ client, database, headers, port }) => {
    const agent = agentFor(1);
    const send = async (text, variables) => {
      const answer = await post(port, headers, JSON.stringify({ query: text, variables }), agent);
      const { data } = JSON.parse(answer);
      if (!data) throw new Error(answer);
      return data;
    };
    await send('mutation { createIntegration(input: { name: "crm" }) { __typename } }');
    await send(
      'mutation { createConnector(input: { integration: { name: "crm" }, name: "service", baseUrl: "https://service.example.com" }) { __typename } }',
    );
    await send('mutation { createEndUser(input: { integration: { name: "crm" }, externalId: "4711" }) { __typename } }');
    let made = 0;
    let last;
    const run = async (connections, count) => {
      const { result } = await send(query, { input: { integration, connections } });
      if (result.imported?.[count] !== ITEMS) throw new Error(JSON.stringify(result));
    };
    const create = () => {
      last = Array.from({ length: ITEMS }, () => connection(`service ${++made}`));
      return run(last, 'createdCount');
    };
    await create();

    // What the gateway has written for one connection; the driver writes the same under another organization.
    const written = (name, filter) => database.collection(name).findOne({ organizationId: organization, ...filter });
    const parts = [
      { name: 'connections', document: await written('connections') },
      { name: 'credentials', document: await written('credentials') },
      { name: 'secrets', document: await written('secrets') },
      { name: 'auditEntries', document: await written('auditEntries', { action: 'createConnection' }) },
      { name: 'auditEntries', document: await written('auditEntries', { action: 'createCredential' }) },
    ];
    const newId = () => randomBytes(12).toString('hex');
    const copy = (document) => ({
      ...document,
      _id: newId(),
      organizationId: 'bare',
      ...(document.credentialId && { credentialId: newId() }),
      ...(document.ownerId && { name: newId() }),
      ...(document.writer && { writer: newId() }),
    });
    const bare = async () => {
      for (let at = 0; at < ITEMS; at += ITEMS_PER_TRANSACTION) {
        await client.withSession((session) =>
          session.withTransaction(
            async () => {
              for (const { name, document } of parts) {
                const documents = Array.from({ length: ITEMS_PER_TRANSACTION }, () => copy(document));
                await database.collection(name).insertMany(documents, { session });
              }
            },
            { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } },
          ),
        );
      }
    };

    const kinds = { create, again: () => run(last, 'unchangedCount'), bare };
    const rates = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]));
    // The first round warms.
    for (let round = -1; round < ROUNDS; round++) {
      for (const [name, work] of Object.entries(kinds)) {
        const measured = (await rate(1, 1, work)) * ITEMS;
        if (round >= 0) rates[name].push(measured);
      }
    }
    agent.destroy();
    const ratio = median(rates.create.map((each, round) => each / rates.bare[round])).toFixed(2);
    const told = (name) => `${median(rates[name]).toFixed(0)}/s`;
    console.log(`importConnections ${told('create')}, bare driver ${told('bare')}, ratio ${ratio}; the same again ${told('again')}`);
  },
  undefined,
  { maxOwned: 1_000_000 },
);
