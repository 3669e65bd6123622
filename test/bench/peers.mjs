// How fast the gateway answers, as ratios to what else a user could run: each is a process of its own on the same database, checks the same
// token, and answers the same facts, which is verified first. Absolute numbers differ from machine to machine; run it on an idle one.
//
//   node test/bench/peers.mjs [CONNECTIONS]       fills a database with that many connections first; 300 unless told
//   MONGODB_URI=… node test/bench/peers.mjs       on that database instead of the embedded one
import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentFor, median, organization, rate, tokenFor } from './setup.mjs';

const connections = Number(process.argv[2] ?? 300);
const ROUNDS = Number(process.env.ROUNDS ?? 10);
const CLIENTS = 8;

const peers = new URL('peers/', import.meta.url).pathname;
if (!existsSync(join(peers, 'node_modules'))) {
  const { status } = spawnSync('npm', ['ci', '--no-fund', '--no-audit', '--ignore-scripts', '--prefix', peers], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}

const page = `{ connections(first: 50) { nodes { id name connector { name } endUser { displayName }
  actionCredentials { credential { ... on CredentialBase { id name kind usages(first: 5) { nodes { name } } } ... on BasicAuthCredential { username password { redacted } } } } } } }`;
const graphql = (query) => ({ method: 'POST', path: '/graphql', body: JSON.stringify({ query }) });
const rest = (path) => ({ method: 'GET', path });

/** For each operation, how often it is sent in a round, and the request of each kind of peer. */
const operations = {
  'nested page': { times: 100, graphql: graphql(page), rest: rest('/connections?first=50') },
  'query without a database': { times: 1_500, graphql: graphql('{ viewer { kind } }'), rest: rest('/viewer') },
};
const speaks = { gateway: 'graphql', yoga: 'graphql', apollo: 'graphql', mercurius: 'graphql', fastify: 'rest', driver: 'rest' };
const names = Object.keys(speaks);

const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-'));
const children = [];
const start = async (name, options) => {
  // As `npm start` runs it. The others run as their documentation says.
  const execArgv = name === 'gateway' ? ['--max-semi-space-size=64'] : [];
  const child = fork(join(peers, `${name}.mjs`), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv });
  children.push(child);
  child.send(options);
  const exited = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name} ended with exit code ${code}`)));
  exited.catch(() => undefined); // ended with the others
  const [{ port, uri }] = await Promise.race([once(child, 'message'), exited]);
  const cpu = async () => {
    child.send('cpu');
    const [{ cpu: used }] = await once(child, 'message');
    return used;
  };
  return { port, uri, cpu };
};

try {
  const secret = randomBytes(32);
  const uri = process.env.MONGODB_URI ?? (await start('database', { directory })).uri;
  const database = { uri, name: `bench-${randomBytes(4).toString('hex')}` };
  const options = {
    database,
    secret: secret.toString('base64'),
    masterKey: randomBytes(32).toString('base64'),
    organization,
    connections,
  };
  const running = {};
  // The gateway first: it fills the database.
  for (const name of names) running[name] = await start(name, options);
  const authorization = `Bearer ${await tokenFor(secret, organization)}`;

  for (const [title, { times, ...requests }] of Object.entries(operations)) {
    const agents = Object.fromEntries(names.map((name) => [name, agentFor(CLIENTS)]));
    const ask = (name) => send(running[name].port, requests[speaks[name]], authorization, agents[name]);
    const [expected, ...answers] = await Promise.all(names.map(async (name) => facts(JSON.parse(await ask(name)).data)));
    for (const answer of answers) assert.deepEqual(answer, expected);
    const measured = Object.fromEntries(names.map((name) => [name, { rates: [], cpu: [] }]));
    for (const name of names) await rate(CLIENTS, times, () => ask(name)); // warm
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const before = await running[name].cpu();
        measured[name].rates.push(await rate(CLIENTS, times, () => ask(name)));
        measured[name].cpu.push(((await running[name].cpu()) - before) / 1_000 / times);
      }
    }
    console.log(`\n${title}${' '.repeat(32 - title.length)}requests/s   CPU of the process, ms   gateway : it`);
    for (const name of names) {
      const ratio = median(measured.gateway.rates.map((each, round) => each / measured[name].rates[round]));
      const cells = [median(measured[name].rates).toFixed(0).padStart(10), median(measured[name].cpu).toFixed(2).padStart(24)];
      console.log(`  ${name.padEnd(30)}${cells.join(' ')} ${name === 'gateway' ? '' : ratio.toFixed(2).padStart(14)}`);
    }
    for (const agent of Object.values(agents)) agent.destroy();
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill();
  rmSync(directory, { recursive: true, force: true });
  process.exit();
}

function send(port, { method, path, body }, authorization, agent) {
  return new Promise((resolve, reject) => {
    const headers = { authorization, ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }) };
    const sent = request({ port, host: '127.0.0.1', method, path, headers, agent });
    sent.on('error', reject);
    sent.on('response', async (response) => {
      const text = Buffer.concat(await response.toArray()).toString();
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${response.statusCode} ${text.slice(0, 300)}`));
    });
    sent.end(body);
  });
}

/** An answer without ids, whose form is the server's own. */
function facts(value) {
  if (Array.isArray(value)) return value.map(facts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .filter((name) => name !== 'id')
      .sort()
      .map((name) => [name, facts(value[name])]),
  );
}
