// What the proxy adds: the latency of a small request over a connection against the same one to the service itself, from a client with one kept
// connection; how fast 1 GiB passes in each direction; and how much memory the gateway takes meanwhile. The service and the client are processes of
// their own. The proxied requests are in the audit log, each for itself or summed per minute.
//
//   node test/bench/proxy.mjs                      on the embedded database
//   MONGODB_URI=… node test/bench/proxy.mjs        on that database
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { createServer, Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { bench, post } from './setup.mjs';

const ROUNDS = 5;
const REQUESTS_PER_ROUND = 200;
const GIB = 1024 ** 3;
const chunk = Buffer.alloc(256 * 1024, 'x');

function* bytes(size) {
  for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
}

/** Serves a small answer, 1 GiB, or takes whatever is sent. */
async function serve({ cert, key }) {
  const server = createServer({ cert, key }, async (request, response) => {
    for await (const _ of request);
    if (request.url === '/large') await pipeline(Readable.from(bytes(GIB)), response).catch(() => {});
    else response.end('{"ok":true}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.send(server.address().port);
}

/** Does what it is asked for, and tells how long each took, in milliseconds. */
function beClient({ cert }) {
  const agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true, ca: cert }) };
  const send = async ({ url, headers = {}, method = 'GET', size = 0 }) => {
    const { protocol } = new URL(url);
    const started = performance.now();
    const length = method === 'POST' ? { 'content-length': size } : {};
    const sent = (protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method,
      agent: agents[protocol],
      headers: { ...headers, ...length },
    });
    const answered = once(sent, 'response');
    if (size > 0) await pipeline(Readable.from(bytes(size)), sent);
    else sent.end();
    const [response] = await answered;
    for await (const _ of response);
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    return performance.now() - started;
  };
  process.on('message', async ({ times, ...asked }) => {
    const took = [];
    for (let time = 0; time < times; time++) took.push(await send(asked));
    process.send(took);
  });
}

const at = (numbers, part) => numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];

async function run(auditsProxied, pair) {
  const children = ['service', 'client'].map((role) => fork(fileURLToPath(import.meta.url), [role, pair.directory]));
  const [service, client] = children;
  const [servicePort] = await once(service, 'message');
  const ask = async (asked) => {
    client.send(asked);
    return (await once(client, 'message'))[0];
  };
  const outbound = { allowedAddresses: ['127.0.0.0/8'], trustedAuthorities: pair.cert };
  const measure = async ({ headers, port }) => {
    const mutate = async (name, input) => {
      const noun = name.replace('create', '').toLowerCase();
      const type = name.replace('create', 'Create');
      const query = `mutation ($input: ${type}Input!) { result: ${name}(input: $input) { ... on ${type}Success { ${noun} { id } } ... on MutationError { message } } }`;
      const { data, errors } = JSON.parse(await post(port, headers, JSON.stringify({ query, variables: { input } })));
      if (!data?.result[noun]) throw new Error(errors?.[0].message ?? data.result.message);
      return data.result[noun].id;
    };
    const integration = { name: 'crm' };
    await mutate('createIntegration', integration);
    await mutate('createConnector', { integration, name: 'api', baseUrl: `https://localhost:${servicePort}/` });
    const create = {
      name: 'token',
      allowedDomains: ['localhost'],
      allowedPurposes: ['ACTION'],
      data: { bearerToken: { token: 'a-token' } },
    };
    const connector = { inIntegration: { integration, name: 'api' } };
    const id = await mutate('createConnection', { integration, connector, name: 'api', actionCredentials: [{ credential: { create } }] });
    const direct = { url: `https://localhost:${servicePort}` };
    const proxied = { url: `http://127.0.0.1:${port}/proxy/${id}`, headers: { authorization: headers.authorization } };
    const latencies = { direct: [], proxied: [] };
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, { url, ...rest }] of Object.entries({ direct, proxied })) {
        const took = await ask({ ...rest, url: `${url}/small`, times: REQUESTS_PER_ROUND });
        // The first round warms up.
        if (round > 0) latencies[name].push(...took);
      }
    }
    const added = (part) => (at(latencies.proxied, part) - at(latencies.direct, part)).toFixed(2);
    console.log(
      `audit log ${auditsProxied}: adds ${added(0.5)} ms (p50), ${added(0.99)} ms (p99) to ${at(latencies.direct, 0.5).toFixed(2)} ms`,
    );
    if (auditsProxied === 'each') return;
    for (const [direction, asked] of Object.entries({ down: {}, up: { method: 'POST', size: GIB } })) {
      const path = direction === 'down' ? '/large' : '/small';
      const [alone] = await ask({ ...direct, ...asked, url: `${direct.url}${path}`, times: 1 });
      const before = process.memoryUsage().rss;
      let most = before;
      const sampling = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss);
      }, 20);
      const [took] = await ask({ ...proxied, ...asked, url: `${proxied.url}${path}`, times: 1 });
      clearInterval(sampling);
      const speed = (milliseconds) => `${Math.round(1024 / (milliseconds / 1000))} MiB/s`;
      const mib = (size) => `${Math.round(size / 1024 ** 2)} MiB`;
      console.log(
        `1 GiB ${direction}: ${speed(took)} against ${speed(alone)} without the gateway; memory ${mib(before)}, at most ${mib(most)}`,
      );
    }
  };
  await bench(measure, undefined, {}, { outbound, auditsProxied }, () => {
    for (const child of children) child.kill();
  });
}

const [, , role, given] = process.argv;
const read = (directory) => ({
  directory,
  cert: readFileSync(join(directory, 'cert.pem'), 'utf8'),
  key: readFileSync(join(directory, 'key.pem'), 'utf8'),
});
if (role === 'service') await serve(read(given));
else if (role === 'client') beClient(read(given));
else if (role === 'each' || role === 'minute') await run(role, read(given));
else {
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-tls-'));
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
  const files = ['-keyout', 'key.pem', '-out', 'cert.pem', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...files], { cwd: directory, stdio: 'ignore' });
  try {
    for (const each of ['each', 'minute'])
      execFileSync(process.execPath, [fileURLToPath(import.meta.url), each, directory], { stdio: 'inherit' });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
