import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Json, TestGateway } from '../harness.ts';

// A stop lets what runs come to its end, but not for ever, and takes nothing new. The requests here run until their bodies have arrived.

const QUERY = '{ viewer { organization } }';
const test = new TestGateway();
const caller = { organization: test.newOrganization() };

beforeAll(() => test.start());
afterAll(() => test.stop());

/** Opens the gateway again, whose stop waits for so many seconds. */
async function reopen(drainSeconds: number): Promise<void> {
  await test.close();
  test.drainSeconds = drainSeconds;
  await test.open();
}

/** Begins a request. Returns what sends the rest of its body, and the answer. */
async function begin() {
  const body = new TextEncoder().encode(JSON.stringify({ query: QUERY }));
  let finish = () => {};
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(body.slice(0, 5));
      finish = () => {
        controller.enqueue(body.slice(5));
        controller.close();
      };
    },
  });
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${await test.token(caller)}` },
    body: stream,
    duplex: 'half',
  };
  const answer = test.gateway.fetch(new Request('http://gateway.test/graphql', init)).then(async (response) => ({
    status: response.status,
    body: (await response.json()) as Json,
    retryAfter: response.headers.get('retry-after'),
  }));
  return { finish, answer };
}

it('running requests end, and later ones are refused with a code', async () => {
  await reopen(60);
  const { gateway } = test;
  const running = await begin();
  let isStopped = false;
  const stopping = gateway.stop().then(() => {
    isStopped = true;
  });
  const late = await begin();
  const refused = await late.answer;
  expect(refused).toMatchObject({
    status: 503,
    retryAfter: '1',
    body: { errors: [{ extensions: { code: 'UNAVAILABLE', retryAfter: 1 } }] },
  });
  expect(refused.body.errors[0].message).toContain('is stopping');
  const viewer = { organizationId: caller.organization, kind: 'token', subject: 'ada', scopes: new Set<string>() } as const;
  expect(await gateway.execute({ query: QUERY, viewer })).toMatchObject({ errors: [{ extensions: { code: 'UNAVAILABLE' } }] });
  expect(isStopped).toBe(false);
  running.finish();
  expect(await running.answer).toMatchObject({ status: 200, body: { data: { viewer: { organization: caller.organization } } } });
  await stopping;
  // Once more is once.
  await gateway.stop();
});

it('what does not end in time is answered: it may or may not have been carried out', async () => {
  await reopen(0.05);
  const running = await begin();
  const stopping = test.gateway.stop();
  const ended = await running.answer;
  expect(ended).toMatchObject({ status: 503, body: { errors: [{ extensions: { code: 'UNAVAILABLE', outcome: 'UNKNOWN' } }] } });
  expect(ended.body.errors[0].message).toContain('has stopped');
  await stopping;
});

it('live queries end at once', async () => {
  await reopen(60);
  const response = await test.gateway.fetch(
    new Request('http://gateway.test/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        authorization: `Bearer ${await test.token(caller)}`,
      },
      body: JSON.stringify({ query: 'subscription { events { id } }' }),
    }),
  );
  expect(response.status).toBe(200);
  const text = response.text();
  await test.gateway.stop();
  expect(await text).toContain('event: complete');
});
