// Two processes deliver events to four webhooks. One of them is killed (SIGKILL) in the middle. Counts what arrives, how often, and whether what happened
// to one object arrives in order. Then measures the time from the answer of a mutation to its receiver.
//
//   node test/bench/webhooks.mjs [events, 100000 by default] [mutations whose latency is measured, 500 by default]
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { pino } from 'pino';
import { startEmbeddedMongodb } from '../../dist/embedded-mongodb/index.js';
import { createGateway } from '../../dist/gateway.js';

const WEBHOOKS = 4;
const ITEMS = 100;

const open = ({ uri, masterKey, secret }, options) =>
  createGateway({
    database: { uri, name: 'bench' },
    masterKeys: [Buffer.from(masterKey, 'base64')],
    tokens: { issuer: 'bench', audience: 'bench', organizationClaim: 'organization', key: { secret: Buffer.from(secret, 'base64') } },
    logger: pino({ level: 'error' }),
    graphiql: false,
    limits: { rateLimit: 0, organizationRateLimit: 0 },
    outbound: { allowsHttp: true, allowedAddresses: ['127.0.0.0/8'] },
    ...options,
  });

if (process.argv[2] === 'copy') {
  const gateway = await open(JSON.parse(process.env.BENCH), {});
  process.send('ready');
  process.on('message', async () => {
    await gateway.stop();
    process.exit();
  });
} else {
  const [events, mutations] = [Number(process.argv[2] ?? 100_000), Number(process.argv[3] ?? 500)];
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-'));
  const embedded = await startEmbeddedMongodb({ directory, worker: true });
  const settings = { uri: embedded.uri, masterKey: randomBytes(32).toString('base64'), secret: randomBytes(32).toString('base64') };

  /** What has arrived at each path: how often each event, and the last position of each object by its version. */
  const arrived = Array.from({ length: WEBHOOKS }, () => ({ counts: new Map(), versions: new Map(), outOfOrder: 0 }));
  const waiting = new Map();
  let requests = 0;
  const receiver = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    requests++;
    const { counts, versions } = arrived[Number(request.url.slice(1))];
    const { data } = JSON.parse(text);
    const isFirst = !counts.has(data.id);
    counts.set(data.id, (counts.get(data.id) ?? 0) + 1);
    if (isFirst && data.snapshot) {
      if ((versions.get(data.objectId) ?? 0) > data.snapshot.version) arrived[Number(request.url.slice(1))].outOfOrder++;
      versions.set(data.objectId, data.snapshot.version);
    }
    waiting.get(`${request.url} ${data.objectId} ${data.snapshot?.version}`)?.(performance.now());
    response.writeHead(204).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const origin = `http://127.0.0.1:${receiver.address().port}`;

  // It gives positions, and delivers nothing.
  const gateway = await open(settings, { sharesJobs: true });
  const token = await new SignJWT({ organization: 'bench', scope: 'all.Organization webhooks.post' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('bench')
    .setAudience('bench')
    .setSubject('bench')
    .setExpirationTime('4h')
    .sign(Buffer.from(settings.secret, 'base64'));
  const send = async (query, variables) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const answer = await gateway.fetch(
      new Request('http://bench/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) }),
    );
    const body = await answer.json();
    if (!body.data) throw new Error(JSON.stringify(body));
    return body.data;
  };
  const copy = async () => {
    const child = fork(new URL(import.meta.url), ['copy'], { env: { ...process.env, BENCH: JSON.stringify(settings) } });
    await once(child, 'message');
    return child;
  };
  const finish = async (limitMs, isDone) => {
    const endsAt = Date.now() + limitMs;
    while (!isDone() && Date.now() < endsAt) await setTimeout(100);
  };
  const integration = { name: 'crm' };
  await send('mutation { createIntegration(input: { name: "crm" }) { __typename } }');
  for (let n = 0; n < WEBHOOKS; n++) {
    await send('mutation ($url: String!) { createWebhook(input: { url: $url }) { __typename } }', { url: `${origin}/${n}` });
  }
  await setTimeout(200);
  const copies = [await copy(), await copy()];

  const makeEvents = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
    ... on ImportConnectionsSuccess { imported { createdCount updatedCount } } ... on MutationError { code message } } }`;
  const startedAt = performance.now();
  // Each item is made once, and changed three times.
  const batches = Math.ceil(events / ITEMS);
  let killedAt;
  for (let batch = 0; batch < batches; batch++) {
    const [group, version] = [Math.floor(batch / 4), batch % 4];
    const connections = Array.from({ length: ITEMS }, (_, n) => ({
      name: `${group} ${n}`,
      variables: [{ name: 'v', value: String(version) }],
    }));
    const { result } = await send(makeEvents, { input: { integration, connections } });
    if (!result.imported) throw new Error(JSON.stringify(result));
    if (killedAt === undefined && batch >= batches / 2) {
      await finish(60_000, () => requests > 0);
      copies[0].kill('SIGKILL');
      killedAt = requests;
    }
  }
  const seconds = (since) => ((performance.now() - since) / 1_000).toFixed(1);
  console.log(
    `${batches * ITEMS} events of connections were made in ${seconds(startedAt)} s; one process was killed after ${killedAt} deliveries`,
  );
  const all = new Set();
  for (let after = null; ; ) {
    const { events: page } = await send(
      'query ($after: String) { events(first: 100, after: $after) { nodes { id action } readUpTo pageInfo { hasNextPage } } }',
      { after },
    );
    for (const { id, action } of page.nodes) if (action === 'importConnections') all.add(id);
    if (!page.pageInfo.hasNextPage) break;
    after = page.readUpTo;
  }
  const missing = ({ counts }) => [...all].filter((id) => !counts.has(id)).length;
  await finish(20 * 60_000, () => arrived.every(({ counts }) => counts.size >= all.size) && arrived.every((each) => missing(each) === 0));
  console.log(
    `${all.size} events, ${WEBHOOKS} webhooks, ${requests} requests, ${seconds(startedAt)} s, ${Math.round(requests / seconds(startedAt))} a second`,
  );
  for (const [n, each] of arrived.entries()) {
    const repeated = [...each.counts.values()].filter((count) => count > 1).length;
    console.log(`webhook ${n}: ${missing(each)} lost, ${repeated} delivered more than once, ${each.outOfOrder} out of order`);
  }

  const ids = await send('{ connections(first: 1) { nodes { id version } } }');
  const [{ id, version }] = ids.connections.nodes;
  const latencies = [];
  for (let n = 0; n < mutations; n++) {
    const next = version + 1 + n;
    const came = new Promise((resolve) => waiting.set(`/0 ${id} ${next}`, resolve));
    await send('mutation ($id: ID!, $name: String!) { updateConnection(input: { connection: { id: $id }, name: $name }) { __typename } }', {
      id,
      name: `latency ${n}`,
    });
    const committed = performance.now();
    latencies.push((await came) - committed);
  }
  latencies.sort((a, b) => a - b);
  const percentile = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]?.toFixed(0);
  console.log(
    `from the answer of a mutation to its receiver, another process delivering: p50 ${percentile(0.5)} ms, p99 ${percentile(0.99)} ms`,
  );

  copies[1].send('stop');
  await once(copies[1], 'exit');
  await gateway.stop();
  await embedded.stop();
  receiver.close();
  rmSync(directory, { recursive: true, force: true });
  process.exit();
}
