// How long others wait while one viewer sends the dearest things that it may: `npm run bench:dear`. SECONDS (30 by default) is how long each
// load lasts. It prints a table: the median and the 99th percentile in milliseconds of `GET /health` and of
// another organization's query.
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { exampleCertificate, exampleKey, exampleRsaKey } from '../../dist/credential-kinds/examples-pem.js';
import { bench, post, tokenFor } from './setup.mjs';

const seconds = Number(process.env.SECONDS ?? 30);
/** How many requests the one viewer has under way at once. */
const PARALLEL = 6;

const create = (index) => `m${index}: createCredential(input: { integration: { name: "i" }, name: "n", data: $d${index} }) { __typename }`;
const operation = (data) =>
  JSON.stringify({
    query: `mutation (${data.map((_, index) => `$d${index}: CredentialDataInput!`).join(' ')}) { ${data.map((_, index) => create(index)).join(' ')} }`,
    variables: Object.fromEntries(data.map((each, index) => [`d${index}`, each])),
  });
const times = (count, data) => Array(count).fill(data);

const loads = {
  idle: undefined,
  'twenty RSA key pairs': operation(times(20, { snowflake: { host: 'a.example', username: 'ada', generatePrivateKey: true } })),
  'twenty pairs with ten certificates': operation(
    times(20, { certificateKeyPair: { certificate: exampleCertificate.repeat(10), privateKey: exampleRsaKey } }),
  ),
  'authorities that are nonsense': operation(
    times(20, {
      certificate: {
        certificate: exampleCertificate,
        key: exampleKey,
        ca: `-----BEGIN CERTIFICATE-----\n${Buffer.from([0x30, 0x82, 0xbb, 0x7c, ...Buffer.alloc(47_996, Buffer.from([5, 0]))]).toString('base64')}\n-----END CERTIFICATE-----`,
      },
    }),
  ),
  'two megabytes of text': JSON.stringify({ query: '{ integrations { nodes { name } } }', variables: { text: 'x'.repeat(2_000_000) } }),
};

await bench(async ({ port, headers, secret, database }) => {
  await post(port, headers, JSON.stringify({ query: 'mutation { createIntegration(input: { name: "i" }) { __typename } }' }), false);
  const other = { 'content-type': 'application/json', authorization: `Bearer ${await tokenFor(secret, 'other')}` };
  await post(port, other, JSON.stringify({ query: 'mutation { createIntegration(input: { name: "o" }) { __typename } }' }), false);
  const query = JSON.stringify({ query: '{ integrations(first: 20) { nodes { id name createdAt } } }' });
  const agent = new Agent({ keepAlive: true });
  const health = () =>
    new Promise((resolve, reject) =>
      get({ port, host: '127.0.0.1', path: '/health', agent }, (answer) => answer.resume().on('end', resolve)).on('error', reject),
    );

  console.log('load'.padEnd(40), ...['health p50', 'p99', 'query p50', 'p99', 'requests', 'refused'].map((title) => title.padStart(10)));
  for (const [name, body] of Object.entries(loads)) {
    const until = performance.now() + seconds * 1000;
    let [requests, refused] = [0, 0];
    const attack = async () => {
      while (body && performance.now() < until) {
        const answer = await post(port, headers, body, false);
        requests++;
        if (answer.includes('RATE_LIMITED')) {
          refused++;
          await sleep(100);
        }
      }
    };
    const measure = async (work) => {
      const waits = [];
      while (performance.now() < until) {
        const started = performance.now();
        await work();
        waits.push(performance.now() - started);
        await sleep(20);
      }
      return waits;
    };
    const attacks = Array.from({ length: PARALLEL }, attack);
    const [ofHealth, ofQuery] = await Promise.all([measure(health), measure(() => post(port, other, query, agent))]);
    await Promise.all(attacks);
    const row = [percentile(ofHealth, 50), percentile(ofHealth, 99), percentile(ofQuery, 50), percentile(ofQuery, 99)].map((wait) =>
      wait.toFixed(1),
    );
    console.log(name.padEnd(40), ...[...row, requests, refused].map((cell) => String(cell).padStart(10)));
    await database.collection('credentials').deleteMany({});
    await database.collection('secrets').deleteMany({});
  }
});

function percentile(numbers, percent) {
  return numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor((numbers.length * percent) / 100))];
}
