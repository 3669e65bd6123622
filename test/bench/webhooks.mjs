// Two processes share events, which they deliver to four receivers that verify signatures. One process is killed (SIGKILL) in the middle. Counts what
// arrives, how often, and whether what happened to one object arrives in order. Then measures, at a low steady rate, the time from the answer of a mutation
// to its receiver.
//
//   node test/bench/webhooks.mjs [events, 100000 by default] [mutations whose latency is measured, 300 by default]
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
import { Webhook } from 'standardwebhooks';
import { startEmbeddedMongodb } from '../../dist/embedded-mongodb/index.js';
import { createGateway } from '../../dist/gateway/index.js';

/** Each has an integration of its own, so that each event goes to one. */
const WEBHOOKS = 4;
const ITEMS = 100;
/** Each object is made once, and changed three times. */
const VERSIONS = 4;
const BETWEEN_MUTATIONS_MS = 100;

let commands = 0;
const open = ({ uri, masterKey, secret }, options) =>
  createGateway({
    database: { uri, name: 'bench', onCommand: () => commands++ },
    masterKeys: [Buffer.from(masterKey, 'base64')],
    tokens: { issuer: 'bench', audience: 'bench', organizationClaim: 'organization', key: { secret: Buffer.from(secret, 'base64') } },
    logger: pino({ level: 'error' }),
    graphiql: false,
    limits: { rateLimit: 0, organizationRateLimit: 0, maxConnections: 1_000_000, maxOwned: 1_000_000, maxStoredBytes: 2 ** 40 },
    outbound: { allowsHttp: true, allowedAddresses: ['127.0.0.0/8'] },
    ...options,
  });

if (process.argv[2] === 'copy') {
  const gateway = await open(JSON.parse(process.env.BENCH), {});
  process.on('message', async (message) => {
    if (message === 'count') {
      const { user, system } = process.cpuUsage();
      process.send({ commands, cpuMs: (user + system) / 1_000 });
      return;
    }
    await gateway.stop();
    process.exit();
  });
  process.send('ready');
} else {
  const [events, mutations] = [Number(process.argv[2] ?? 100_000), Number(process.argv[3] ?? 300)];
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-'));
  const embedded = await startEmbeddedMongodb({ directory, worker: true });
  const settings = { uri: embedded.uri, masterKey: randomBytes(32).toString('base64'), secret: randomBytes(32).toString('base64') };

  /** What has arrived at each path: how often each event, and the last version of each object. */
  const arrived = Array.from({ length: WEBHOOKS }, () => ({ counts: new Map(), versions: new Map(), outOfOrder: 0, verifier: null }));
  const waiting = new Map();
  let [requests, refused] = [0, 0];
  const receiver = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const at = performance.now();
    const state = arrived[Number(request.url.slice(1))];
    requests++;
    let data;
    try {
      ({ data } = state.verifier.verify(text, request.headers));
    } catch {
      refused++;
      response.writeHead(401).end();
      return;
    }
    const isFirst = !state.counts.has(data.id);
    state.counts.set(data.id, (state.counts.get(data.id) ?? 0) + 1);
    if (isFirst && data.snapshot) {
      if ((state.versions.get(data.objectId) ?? 0) > data.snapshot.version) state.outOfOrder++;
      state.versions.set(data.objectId, data.snapshot.version);
    }
    waiting.get(`${data.objectId} ${data.snapshot?.version}`)?.(at);
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
  const sendTo = async (target, query, variables) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const answer = await target.fetch(
      new Request('http://bench/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) }),
    );
    const body = await answer.json();
    if (!body.data) throw new Error(JSON.stringify(body));
    return body.data;
  };
  const send = (query, variables) => sendTo(gateway, query, variables);
  const copy = async () => {
    const child = fork(new URL(import.meta.url), ['copy'], { env: { ...process.env, BENCH: JSON.stringify(settings) } });
    await once(child, 'message');
    return child;
  };
  const countsOf = async (child) => {
    child.send('count');
    return (await once(child, 'message'))[0];
  };
  const until = async (isDone, limitMs = 30 * 60_000) => {
    const endsAt = performance.now() + limitMs;
    while (!isDone() && performance.now() < endsAt) await setTimeout(50);
  };
  const seconds = (since) => (performance.now() - since) / 1_000;

  const names = Array.from({ length: WEBHOOKS }, (_, n) => `crm ${n}`);
  for (const [n, name] of names.entries()) {
    await send('mutation ($name: String!) { createIntegration(input: { name: $name }) { __typename } }', { name });
    const { result } = await send(
      `mutation ($url: String!, $name: String!) { result: createWebhook(input: { url: $url, integration: { name: $name } }) {
        ... on CreateWebhookSuccess { issued { secret } } ... on MutationError { message } } }`,
      { url: `${origin}/${n}`, name },
    );
    arrived[n].verifier = new Webhook(result.issued.secret);
  }

  const makeEvents = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
    ... on ImportConnectionsSuccess { imported { createdCount updatedCount } } ... on MutationError { code message } } }`;
  const batches = Math.ceil(events / ITEMS);
  let startedAt = performance.now();
  for (let batch = 0; batch < batches; batch++) {
    const [group, version] = [Math.floor(batch / VERSIONS), batch % VERSIONS];
    const connections = Array.from({ length: ITEMS }, (_, n) => ({
      name: `${group} ${n}`,
      variables: [{ name: 'v', value: String(version) }],
    }));
    const { result } = await send(makeEvents, { input: { integration: { name: names[group % WEBHOOKS] }, connections } });
    if (!result.imported) throw new Error(JSON.stringify(result));
  }
  console.log(`${batches * ITEMS} events of connections were made in ${seconds(startedAt).toFixed(1)} s`);
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

  const arrivedCount = () => arrived.reduce((sum, { counts }) => sum + counts.size, 0);
  // Each counts from its beginning.
  startedAt = performance.now();
  const copies = await Promise.all([copy(), copy()]);
  await until(() => requests >= all.size / 2);
  const [both, inBoth] = [requests, seconds(startedAt)];
  const after = await Promise.all(copies.map(countsOf));
  const sum = (each) => after.reduce((total, counts) => total + each(counts), 0);
  const perDelivery = (total) => (total / both).toFixed(2);
  console.log(`with two processes: ${both} requests in ${inBoth.toFixed(1)} s from their start, ${Math.round(both / inBoth)} a second`);
  console.log(
    `for each: ${perDelivery(sum((counts) => counts.commands))} commands, ${perDelivery(sum((counts) => counts.cpuMs))} ms of their processors`,
  );
  copies[0].kill('SIGKILL');
  const killedAt = performance.now();
  const missing = () => [...all].filter((id) => !arrived.some(({ counts }) => counts.has(id))).length;
  await until(() => arrivedCount() >= all.size && missing() === 0);
  console.log(`one was killed; the other one needed ${seconds(killedAt).toFixed(1)} s for the rest, of which a minute is its lease`);
  // What comes twice would come now.
  await setTimeout(2_000);
  const repeated = arrived.reduce((total, { counts }) => total + [...counts.values()].filter((count) => count > 1).length, 0);
  const outOfOrder = arrived.reduce((total, each) => total + each.outOfOrder, 0);
  console.log(
    `${all.size} events: ${missing()} lost, ${repeated} delivered more than once, ${outOfOrder} out of order, ${refused} with a signature that is not valid`,
  );

  const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(0);
  const latency = async (target, label) => {
    const { connections } = await sendTo(target, '{ connections(first: 100) { nodes { id version } } }');
    const versions = new Map(connections.nodes.map(({ id, version }) => [id, version]));
    const measured = [];
    for (let n = 0; n < mutations; n++) {
      const [id, version] = [...versions][n % versions.size];
      versions.set(id, version + 1);
      const came = new Promise((resolve) => waiting.set(`${id} ${version + 1}`, resolve));
      const next = setTimeout(BETWEEN_MUTATIONS_MS);
      await sendTo(
        target,
        'mutation ($id: ID!, $name: String!) { updateConnection(input: { connection: { id: $id }, name: $name }) { __typename } }',
        { id, name: `${label} ${n}` },
      );
      const committed = performance.now();
      measured.push(came.then((at) => Math.max(0, at - committed)));
      await next;
    }
    const sorted = (await Promise.all(measured)).sort((a, b) => a - b);
    console.log(
      `from the answer of a mutation to its receiver, ${label}: p50 ${percentile(sorted, 0.5)} ms, p99 ${percentile(sorted, 0.99)} ms`,
    );
  };
  if (mutations > 0) await latency(gateway, 'another process delivers');
  copies[1].send('stop');
  await once(copies[1], 'exit');
  const whole = await open(settings, {});
  if (mutations > 0) await latency(whole, 'the same process delivers');

  await whole.stop();
  await gateway.stop();
  await embedded.stop();
  receiver.close();
  receiver.closeAllConnections();
  rmSync(directory, { recursive: true, force: true });
  process.exit();
}
