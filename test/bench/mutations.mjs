// How many mutations a second the gateway does, by one writer and by 32, as a ratio to the bare driver that inserts the same documents in one
// transaction, on the same database and into the same collections, in the same run: what authentication, GraphQL, checks and sealing cost.
// The driver runs with and without the entry of the audit log: what that costs. Transactions that were run again show how often writers met in
// one document: those that change credentials of their own have none in common, those that create in one integration have its slots.
//
//   node test/bench/mutations.mjs                  on the embedded database
//   MONGODB_URI=… node test/bench/mutations.mjs    on that database
import { randomBytes } from 'node:crypto';
import { agentFor, bench, median, organization, post, rate } from './setup.mjs';

const ROUNDS = 5;
const MUTATIONS_PER_ROUND = 128;
const WRITERS = [1, 32];

const create = `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) {
  ... on CreateCredentialSuccess { credential { ... on CredentialBase { id } } } ... on MutationError { code message } } }`;
const update = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) {
  ... on UpdateCredentialSuccess { credential { ... on CredentialBase { id } } } ... on MutationError { code message } } }`;
const reveal = `mutation ($input: RevealSecretInput!) { result: revealSecret(input: $input) {
  ... on RevealSecretSuccess { secret { plaintext } } ... on MutationError { code message } } }`;
const newData = () => ({ basicAuth: { username: 'ada', password: randomBytes(12).toString('hex') } });

let aborted = 0;
const onCommand = (name) => {
  if (name === 'abortTransaction') aborted++;
};

await bench(async ({ client, database, headers, port }) => {
  const run = async (query, variables, agent) => {
    const answer = await post(port, headers, JSON.stringify({ query, variables }), agent);
    const { data } = JSON.parse(answer);
    if (!data?.result.credential && !data?.result.secret) throw new Error(answer);
    return data.result.credential?.id;
  };
  await post(port, headers, JSON.stringify({ query: 'mutation { createIntegration(input: { name: "crm" }) { __typename } }' }));
  const createOne = (agent) => run(create, { input: { integration: { name: 'crm' }, name: 'mine', data: newData() } }, agent);
  const ids = [];
  for (let credential = 0; credential < Math.max(...WRITERS); credential++) ids.push(await createOne());

  // What the gateway has written for one mutation; the driver writes the same under another organization.
  const written = (name, filter) => database.collection(name).findOne({ organizationId: organization, ...filter });
  const entry = { name: 'auditEntries', document: await written('auditEntries', { action: 'createCredential' }) };
  const credential = [
    { name: 'credentials', document: await written('credentials') },
    { name: 'secrets', document: await written('secrets') },
  ];
  const newId = () => randomBytes(12).toString('hex');
  let inserted = 0;
  const insert = (parts) =>
    client.withSession((session) =>
      session.withTransaction(
        async () => {
          for (const { name, document } of parts) {
            const other = {
              ...document,
              _id: newId(),
              organizationId: 'bare',
              ...(document.credentialId && { credentialId: newId() }),
              ...(document.number && { number: ++inserted }),
            };
            await database.collection(name).insertOne(other, { session });
          }
        },
        { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } },
      ),
    );

  for (const writers of WRITERS) {
    const agent = agentFor(writers);
    const kinds = {
      create: () => createOne(agent),
      async update() {
        const id = ids.pop();
        await run(update, { input: { credential: id, data: newData() } }, agent);
        ids.push(id);
      },
      async reveal() {
        await run(reveal, { input: { credential: ids[0], field: 'password', reason: 'for the benchmark' } }, agent);
      },
      bare: () => insert([...credential, entry]),
      unaudited: () => insert(credential),
    };
    const names = Object.keys(kinds);
    const rates = Object.fromEntries(names.map((name) => [name, []]));
    const again = Object.fromEntries(names.map((name) => [name, 0]));
    // The first round warms.
    for (let round = -1; round < ROUNDS; round++) {
      for (const name of names) {
        const before = aborted;
        const measured = await rate(writers, MUTATIONS_PER_ROUND, kinds[name]);
        if (round < 0) continue;
        rates[name].push(measured);
        again[name] += aborted - before;
      }
    }
    agent.destroy();
    const ratio = (a, b) => median(rates[a].map((each, round) => each / rates[b][round])).toFixed(2);
    const told = (name) => `${median(rates[name]).toFixed(0)}/s`;
    const share = (name) => `${again[name]} reruns of ${ROUNDS * MUTATIONS_PER_ROUND} transactions`;
    console.log(
      [
        `${writers} ${writers === 1 ? 'writer' : 'writers'}:`,
        `  createCredential ${told('create')}, bare driver ${told('bare')}, ratio ${ratio('create', 'bare')}; ${share('create')}`,
        `  updateCredential ${told('update')}; ${share('update')}`,
        `  revealSecret ${told('reveal')}, ratio to createCredential ${ratio('reveal', 'create')}`,
        `  bare driver without the audit entry ${told('unaudited')}, ratio with to without ${ratio('bare', 'unaudited')}`,
      ].join('\n'),
    );
  }
}, onCommand);
