import { agentFor, bench, median, post, tokenFor } from './setup.mjs';

// How long a query takes in an organization with N connections and credentials, against one with a thousand, in the same database and by turns, so
// that the machine's speed cancels out of the ratio: `npm run bench:scale [N]`. The records are copies of what the gateway wrote, which it shows as
// altered: that costs the same, and fills faster.

const size = Number(process.argv[2] ?? 100_000);
const rounds = Number(process.env.BENCH_ROUNDS ?? 41);
const kinds = ['string', 'none', 'apiKey', 'token'];
const page = (field, args = '', selection = 'nodes { ... on Node { id } } pageInfo { hasNextPage endCursor }') =>
  `{ page: ${field}${args && `(${args})`} { ${selection} } }`;
const count = 'totalCount totalCountPrecision';
const integration = 'integration: { name: "crm" }';

/** The queries, by what they show. `ids` are global ids of the organization. */
const queries = ({ connector, endUser }) => ({
  'newest connections': page('connections'),
  'deep page': (cursor) => page('connections', `after: "${cursor}", sort: { field: NAME, direction: ASC }`),
  'by name, within an integration': page('connections', `${integration}, sort: { field: NAME, direction: ASC }`),
  'of a connector, newest first': page('connections', `connector: { id: "${connector}" }`),
  'of a connector, by name': page('connections', `connector: { id: "${connector}" }, sort: { field: NAME, direction: ASC }`),
  'of a connector, by change': page('connections', `connector: { id: "${connector}" }, sort: { field: UPDATED_AT }`),
  'of an end user, by name': page('connections', `endUser: { id: "${endUser}" }, sort: { field: NAME, direction: ASC }`),
  'of a domain': page('connections', 'allowedDomain: "few.example.com"'),
  'of a domain, by name': page('connections', 'allowedDomain: "few.example.com", sort: { field: NAME, direction: ASC }'),
  'prefix, by name': page('connections', 'name: "few*", sort: { field: NAME, direction: ASC }'),
  'prefix of few, newest first': page('connections', 'name: "few*"'),
  'prefix of many, newest first': page('connections', 'name: "name 1*"'),
  'pattern, newest first': page('connections', 'name: "*9 9*"'),
  'pattern of nothing, newest first': page('connections', 'name: "*none*"'),
  'credentials of two kinds': page('credentials', 'kinds: [STRING, NONE]'),
  'credentials of two kinds, within an integration': page('credentials', `kinds: [STRING, NONE], ${integration}`),
  'credentials of two kinds, by name': page('credentials', 'kinds: [STRING, NONE], sort: { field: NAME, direction: ASC }'),
  'disabled credentials': page('credentials', 'enabled: false'),
  'enabled credentials of a kind, by name': page('credentials', 'enabled: true, kinds: [API_KEY], sort: { field: NAME, direction: ASC }'),
  'count of all': page('connections', 'first: 1', count),
  'count of a connector': page('connections', `first: 1, connector: { id: "${connector}" }`, count),
  'count of a pattern': page('connections', 'first: 1, name: "*9 9*"', count),
});

await bench(async ({ secret, database, port }) => {
  const agent = agentFor(1);
  const organizations = { small: 1_000, large: size };
  const asked = {};
  for (const [organization, length] of Object.entries(organizations)) {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${await tokenFor(secret, organization)}` };
    const ask = async (query) => {
      const { data, errors } = JSON.parse(await post(port, headers, JSON.stringify({ query }), agent));
      if (errors) throw new Error(`${query}: ${JSON.stringify(errors)}`);
      return data;
    };
    const started = performance.now();
    const ids = await fill(database, organization, length, ask);
    console.log(`${organization}: ${length} connections and credentials in ${((performance.now() - started) / 1000).toFixed(0)} s`);
    const { page: first } = await ask(page('connections', 'first: 100, sort: { field: NAME, direction: ASC }'));
    const its = queries(ids);
    asked[organization] = Object.fromEntries(
      Object.entries(its).map(([name, query]) => [name, () => ask(typeof query === 'function' ? query(first.pageInfo.endCursor) : query)]),
    );
  }
  console.log(['query', '1,000: p50 ms', `${size.toLocaleString('en')}: p50 ms`, 'ratio'].map(column).join(''));
  for (const name of Object.keys(asked.small)) {
    const times = { small: [], large: [] };
    for (let round = -5; round < rounds; round++) {
      for (const organization of round % 2 ? ['small', 'large'] : ['large', 'small']) {
        const before = performance.now();
        await asked[organization][name]();
        if (round >= 0) times[organization].push(performance.now() - before);
      }
    }
    const [small, large] = [median(times.small), median(times.large)];
    console.log([name, small.toFixed(2), large.toFixed(2), (large / small).toFixed(2)].map(column).join(''));
  }
});

function column(text, at) {
  return at === 0 ? text.padEnd(50) : text.padStart(20);
}

/** Fills an organization. Returns global ids of what owns nearly everything, and a little. */
async function fill(database, organization, length, ask) {
  const create = async (noun, input, selection = 'id') => {
    const name = noun[0].toLowerCase() + noun.slice(1);
    const object = noun === 'Credential' ? '... on CredentialBase { id }' : selection;
    const { result } = await ask(
      `mutation { result: create${noun}(input: ${input}) { ... on Create${noun}Success { ${name} { ${object} } } ... on MutationError { message } } }`,
    );
    if (!result[name]) throw new Error(result.message);
    return result[name].id;
  };
  await create('Integration', '{ name: "crm" }');
  const connector = await create('Connector', `{ ${integration}, name: "many", baseUrl: "https://api.example.com" }`);
  const endUser = await create('EndUser', `{ ${integration}, externalId: "few", displayName: "few" }`);
  await create('Credential', `{ ${integration}, name: "template", data: { string: { value: "v" } } }`);
  await create('Connection', `{ ${integration}, connector: { id: "${connector}" }, name: "template" }`);
  const few = Buffer.from(endUser, 'base64url').toString().split(':').at(-1);
  const now = Date.now();
  for (const name of ['connections', 'credentials']) {
    const collection = database.collection(name);
    const template = await collection.findOne({ organizationId: organization });
    const prefix = organization === 'small' ? 'a' : 'b';
    for (let from = 0; from < length; from += 1_000) {
      const copies = Array.from({ length: Math.min(1_000, length - from) }, (_, at) => {
        const n = from + at;
        const isFew = n % Math.floor(length / 12) === 7;
        const own = {
          name: `${isFew ? 'few' : 'name'} ${n % 1_000} ${n}`,
          endUserId: isFew ? few : `${n % Math.floor(length / 10)}`.padStart(24, 'e'),
          allowedDomain: isFew ? 'few.example.com' : null,
          kind: kinds[n % kinds.length],
          enabled: !isFew,
        };
        const fields = Object.fromEntries(Object.entries(own).filter(([field]) => field in template));
        const times = { createdAt: new Date(now - (length - n) * 1_000), updatedAt: new Date(now - ((n * 7_919) % length) * 1_000) };
        return { ...template, ...fields, ...times, _id: prefix + n.toString(16).padStart(23, '0') };
      });
      await collection.insertMany(copies, { ordered: false });
    }
  }
  return { connector, endUser };
}
