// What live queries cost: memory and commands for ten and for 1,000 listeners of one organization, idle and for each event; and how long it takes from the
// answer to a mutation, which is after its commit, to the listener, in the same process. The listeners are a process of their own.
//
//   node test/bench/live.mjs                      on the embedded database
//   MONGODB_URI=… node test/bench/live.mjs        on that database
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { bench, post } from './setup.mjs';

const LISTENERS = [10, 1_000];
const EVENTS = 100;
const IDLE_SECONDS = 10;

/** Listens many times, and tells when each event has come to how many, by the clock. */
function beListeners() {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  let begun = 0;
  process.on('message', ({ port, headers, count, query }) => {
    const body = JSON.stringify({ query });
    for (let index = 0; index < count; index++) {
      const sent = request({ port, path: '/graphql', method: 'POST', agent, headers: { ...headers, accept: 'text/event-stream' } });
      sent.on('response', (response) => {
        if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
        let hasBegun = false;
        response.on('data', (chunk) => {
          if (!hasBegun) {
            hasBegun = true;
            begun += 1;
            if (begun % count === 0) process.send('begun');
          }
          const told = chunk.toString().match(/event: next/g)?.length ?? 0;
          if (told > 0) process.send({ at: Date.now(), told });
        });
      });
      sent.end(body);
    }
  });
}

const used = () => {
  global.gc?.();
  return process.memoryUsage().rss / 1024 ** 2;
};
const sorted = (values) => values.toSorted((a, b) => a - b);
const at = (values, share) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * share))];

if (process.send) beListeners();
else {
  const commands = [];
  const count = () => {
    const counts = {};
    for (const name of commands.splice(0)) if (name !== 'hello') counts[name] = (counts[name] ?? 0) + 1;
    return JSON.stringify(counts);
  };
  await bench(
    async ({ headers, port }) => {
      const run = async (query) => JSON.parse(await post(port, headers, JSON.stringify({ query })));
      const create = 'mutation { createIntegration(input: { name: "crm" }) { ... on CreateIntegrationSuccess { integration { id } } } }';
      const { id } = (await run(create)).data.createIntegration.integration;
      const change = (description) =>
        run(`mutation { updateIntegration(input: { integration: { id: "${id}" }, description: "${description}" }) { __typename } }`);
      for (const listeners of LISTENERS) {
        const child = fork(fileURLToPath(import.meta.url));
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        const before = used();
        child.send({ port, headers, count: listeners, query: 'subscription { events { cursor type objectType objectId } }' });
        await once(child, 'message');
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        const after = used();
        console.log(
          `${listeners} listeners: ${Math.round(after - before)} MiB, ${Math.round(((after - before) * 1024) / listeners)} KiB each`,
        );
        count();
        await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
        console.log(`idle for ${IDLE_SECONDS} s: ${count()}`);
        const first = [];
        const all = [];
        const last = [];
        for (let event = 0; event < EVENTS; event++) {
          const latencies = [];
          const done = new Promise((resolve) => {
            const told = ({ at: time }) => {
              latencies.push(time);
              if (latencies.length < listeners) return;
              child.off('message', told);
              resolve();
            };
            child.on('message', told);
          });
          await change(`change ${event}`);
          const startedAt = Date.now();
          await done;
          const ms = latencies.map((time) => time - startedAt);
          first.push(Math.min(...ms));
          last.push(Math.max(...ms));
          all.push(...ms);
        }
        console.log(`${EVENTS} events for ${listeners} listeners: ${count()}`);
        for (const [name, values] of [
          ['each listener', all],
          ['the first listener', first],
          ['the last listener', last],
        ])
          console.log(`from the answer of the mutation to ${name}: p50 ${at(values, 0.5)} ms, p99 ${at(values, 0.99)} ms`);
        child.kill();
        await once(child, 'exit');
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    },
    (name) => commands.push(name),
    { maxListenersPerViewer: Math.max(...LISTENERS), maxListenersPerOrganization: Math.max(...LISTENERS) },
  );
}
