// Runs everything in this project that the tests look at, and prints what came of it as one line of JSON.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Gateway, startEmbeddedMongodb } from 'credential-gateway';
import { printSchema } from 'graphql';
import { expressServer } from './express.js';
import { fastifyServer } from './fastify.js';
import { openGateway } from './gateway.js';
import { honoServer } from './hono.js';
import { nodeServer } from './node.js';

const token = process.env.MY_TOKEN ?? '';
const QUERY = '{ viewer { organization } credentialKinds(names: ["badge"]) { typeName fields { name isSecret } } }';

/** What a front end asks, and what it is answered. */
async function ask(send: (request: Request) => Promise<Response>, origin = 'http://localhost', query = QUERY, bearer = token) {
  const response = await send(
    new Request(`${origin}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
      body: JSON.stringify({ query }),
    }),
  );
  return { status: response.status, body: await response.json() };
}

async function asked(server: Server, query = QUERY) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await ask(fetch, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, query);
  server.close();
  server.closeAllConnections();
  return answer;
}

const read = new Set<string>();
/** Everything that is read of the environment while it is called. */
async function watched<T>(run: () => Promise<T>): Promise<T> {
  const { env } = process;
  process.env = new Proxy(env, {
    get(target, name) {
      read.add(String(name));
      return Reflect.get(target, name);
    },
  });
  try {
    return await run();
  } finally {
    process.env = env;
  }
}

const directory = process.env.MY_DIRECTORY ?? '';
const database = await startEmbeddedMongodb({ directory, worker: true });
const lines: string[] = [];
const log = (details: object, message: string) => void lines.push(JSON.stringify([details, message]));
const logger = { info: log, warn: log, error: log };
const answers: Record<string, unknown> = {};

async function servers(gateway: Gateway) {
  answers.node = await asked(nodeServer(gateway));
  answers.express = await asked(createServer(expressServer(gateway)));
  answers.hono = await ask(async (request) => honoServer(gateway).fetch(request));
  answers.web = await ask(gateway.fetch);
  const fastify = fastifyServer(gateway);
  const address = await fastify.listen({ port: 0, host: '127.0.0.1' });
  answers.fastify = await ask(fetch, address);
  await fastify.close();
}

const gateway = await openGateway(database.uri, { logger });
await servers(gateway);
const viewer = { organizationId: 'acme', kind: 'token', subject: 'ada', scopes: new Set(['all.Organization']) } as const;
const executed = await gateway.execute({ query: QUERY, viewer });
// A key is read in a worker thread of the package.
const key = await gateway.execute({
  query: `mutation ($input: CreateIntegrationInput!) { createIntegration(input: $input) { __typename } }`,
  variables: { input: { name: 'doors' } },
  viewer,
});
const generated = await gateway.execute({
  query: `mutation ($input: CreateCredentialInput!) {
    createCredential(input: $input) { __typename ... on CreateCredentialSuccess { credential { ... on SnowflakeCredential { publicKey } } } }
  }`,
  variables: {
    input: {
      integration: { name: 'doors' },
      name: 'snow',
      data: { snowflake: { host: 'acme.snowflakecomputing.com', username: 'ada', generatePrivateKey: true } },
    },
  },
  viewer,
});

// Secrets that no line of the log may show: in a mutation that succeeds, in one that is refused, and with a token that is not accepted.
const pin = process.env.MY_PIN ?? '';
const create = (number: string) => `mutation {
  createCredential(input: { integration: { name: "doors" }, name: "${number}", data: { badge: { number: "${number}", pin: "${pin}" } } }) { __typename }
}`;
const created = await ask(gateway.fetch, 'http://localhost', create('007'));
const refused = await ask(gateway.fetch, 'http://localhost', create('000'));
const unknown = await ask(gateway.fetch, 'http://localhost', QUERY, `${token}x`);

// Another gateway in the same process, with other kinds, another key of tokens and another database.
const second = await watched(async () => {
  const { builtInKinds } = await import('credential-gateway');
  const opened = await openGateway(database.uri, {
    database: { uri: database.uri, name: 'others' },
    credentialKinds: builtInKinds.filter(({ kind }) => kind === 'basicAuth' || kind === 'string'),
    logger,
  });
  const found = await ask(opened.fetch, 'http://localhost', '{ integrations { nodes { id } } }');
  const hasBadge = opened.schema.getType('BadgeCredential') !== undefined;
  await opened.stop();
  return { found, hasBadge, after: await ask(opened.fetch) };
});

// A stop lets what runs come to its end, and refuses what comes later.
const running = ask(
  gateway.fetch,
  'http://localhost',
  `{ ${Array.from({ length: 20 }, (_, index) => `a${index}: integrations { totalCount }`).join(' ')} }`,
);
const stopping = gateway.stop();
const late = await ask(gateway.fetch);
const lateExecuted = await gateway.execute({ query: QUERY, viewer });
const ended = await running;
await stopping;
await gateway.stop();
await database.stop();

const schema = printSchema(gateway.schema);
console.log(
  JSON.stringify({
    answers,
    executed,
    key,
    generated,
    created,
    refused,
    unknown,
    second,
    ended,
    late,
    lateExecuted,
    lines,
    read: [...read],
    inSchema: schema.includes('type BadgeCredential'),
  }),
);
