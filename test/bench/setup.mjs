import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { MongoClient } from 'mongodb';
import { pino } from 'pino';
import { startEmbeddedMongodb } from '../../dist/embedded-mongodb/index.js';
import { createGateway } from '../../dist/gateway/index.js';

export const organization = 'bench';

/** Runs a benchmark on a gateway with a database of its own, and a driver beside it; ends the process. `onCommand` is told of each command that the gateway sends; `limits` and `options` are its own. */
export async function bench(run, onCommand, limits = {}, options = {}, atEnd = () => {}) {
  const name = `bench-${randomBytes(4).toString('hex')}`;
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-bench-'));
  const embedded = process.env.MONGODB_URI ? undefined : await startEmbeddedMongodb({ directory, worker: true });
  const uri = process.env.MONGODB_URI ?? embedded.uri;
  const secret = randomBytes(32);
  const gateway = await createGateway({
    database: { uri, name, onCommand },
    masterKeys: [randomBytes(32)],
    tokens: { issuer: 'bench', audience: 'bench', organizationClaim: 'organization', key: { secret } },
    logger: pino({ level: 'silent' }),
    graphiql: false,
    limits: { rateLimit: 0, organizationRateLimit: 0, ...limits },
    ...options,
  });
  const client = new MongoClient(uri);
  try {
    const token = await tokenFor(secret, organization);
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    await run({ gateway, client, secret, database: client.db(name), headers, port: await listen(gateway.requestListener) });
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    // The directory of the embedded one is removed as a whole.
    if (!embedded) await client.db(name).dropDatabase();
    await client.close();
    await gateway.stop();
    await embedded?.stop();
    rmSync(directory, { recursive: true, force: true });
    atEnd();
    process.exit();
  }
}

/** A token with which everything in the organization is allowed. */
export function tokenFor(secret, organization) {
  return new SignJWT({ organization, scope: 'all.Organization credentials.reveal connections.use' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('bench')
    .setAudience('bench')
    .setSubject('bench')
    .setExpirationTime('1h')
    .sign(secret);
}

export async function listen(listener) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** How often something is done in a second, of so many times by several workers at once. */
export async function rate(workers, times, work) {
  const started = performance.now();
  let left = times;
  const worker = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return times / ((performance.now() - started) / 1000);
}

export const agentFor = (workers) => new Agent({ keepAlive: true, maxSockets: workers });

export function post(port, headers, body, agent) {
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

export function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
