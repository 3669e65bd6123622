import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inFairOrder } from '../../src/domain/in-turn.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { type Caller, type Json, TestGateway } from '../harness.ts';
import { type Answer, LocalService, type Received } from './local-service.ts';

// Receivers are on this machine: each webhook has a path of its own, and a test says what the path answers. What arrives is verified with the
// library that receivers use.
const service = new LocalService();
const test = new TestGateway();
const answers = new Map<string, (received: Received) => Answer | undefined | Promise<Answer | undefined>>();
let caller: Caller;
let integration: { id: string };
const opened: TestGateway[] = [];

beforeAll(async () => {
  service.answer = (received, response) => {
    const answer = answers.get(received.target);
    if (received.target.startsWith('/drips')) {
      response.writeHead(200);
      // It is cut off after the first bytes.
      response.write('d\u0000rip'.repeat(500));
      return undefined;
    }
    return answer ? answer(received) : { status: 204 };
  };
  await service.start();
  test.outbound = service.outbound;
  await test.start();
  caller = { organization: test.newOrganization() };
  integration = { id: (await test.create(caller, 'Integration', { name: 'shop' })).id };
});
afterAll(async () => {
  for (const each of opened) await each.close();
  await test.stop();
  await service.stop();
});

/** The clock stands still, unless a test moves it. */
let clock = Date.now();
test.time = () => new Date(clock);
const later = (milliseconds: number) => {
  clock += milliseconds;
};
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const answer = async (name: string, input: object, selection: string, who: Caller = caller) => {
  const type = name[0]!.toUpperCase() + name.slice(1);
  const query = `mutation ($input: ${type}Input!) { result: ${name}(input: $input) { __typename ... on ${type}Success { ${selection} } ... on MutationError { code message } } }`;
  return test.answer(who, query, { input });
};
const run = async (name: string, input: object, selection: string, who: Caller = caller): Promise<Json> => {
  const { data, errors } = await answer(name, input, selection, who);
  if (!data?.result.__typename.endsWith('Success')) throw new Error(`${name} failed: ${JSON.stringify(data ?? errors)}`);
  return data.result;
};
const make = async (path: string, more: object = {}, who: Caller = caller): Promise<{ id: string; secret: string; publicKey: string }> => {
  const { issued } = await run(
    'createWebhook',
    { url: `${service.origin()}${path}`, ...more },
    'issued { id: webhookId secret publicKey }',
    who,
  );
  return issued;
};
const webhook = async (id: string): Promise<Json> =>
  (
    await test.query(
      caller,
      `query ($id: ID!) { webhook(id: $id) { enabled version problem { code message since } previousSecretUntil
        deliveries(first: 50) { nodes { eventId attempt status failure milliseconds answer integrity } } } }`,
      { id },
    )
  ).webhook;
/** Numbers events, and delivers what is due. */
const deliver = async () => {
  await test.gateway.events.run();
  await test.gateway.webhooks.run();
};
const at = (path: string) => service.received.filter(({ target }) => target === path);
const bodies = (path: string): Json[] => at(path).map(({ body }) => JSON.parse(body.toString()));
const idsAt = (path: string) => at(path).map(({ headers }) => headers['webhook-id'] as string);
const allEvents = async (): Promise<Json[]> => {
  const found: Json[] = [];
  for (let after: string | null = null; ; ) {
    const { events } = await test.query(
      caller,
      'query ($after: String) { events(first: 100, after: $after) { nodes { id objectId } readUpTo pageInfo { hasNextPage } } }',
      { after },
    );
    found.push(...events.nodes);
    if (!events.pageInfo.hasNextPage) return found;
    after = events.readUpTo;
  }
};
const connection = async (name: string) => ({ id: (await test.create(caller, 'Connection', { integration, name })).id as string });
const rename = (one: { id: string }, name: string) => run('updateConnection', { connection: one, name }, 'connection { id }');
const headersOf = ({ headers }: Received) => headers as Record<string, string>;

it('delivers what happens, signed, once, and nothing of before; a test; with two secrets during rotation, and with Ed25519', async () => {
  await connection('before');
  const { id, secret } = await make('/all');
  const asymmetric = await make('/asymmetric', { algorithm: 'ED25519', types: ['DELETED'] });
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(asymmetric).toMatchObject({ secret: null, publicKey: expect.stringMatching(/^whpk_[A-Za-z0-9+/]{43}=$/) });
  const one = await connection('one');
  await rename(one, 'two');
  await run('deleteConnection', { connection: one }, 'deletedId');
  await deliver();
  await deliver();
  const own = bodies('/all').filter(({ data }) => data.objectId === one.id);
  expect(own.map(({ type }) => type)).toEqual(['connection.created', 'connection.updated', 'connection.deleted']);
  expect(own[2]).toEqual({
    type: 'connection.deleted',
    timestamp: expect.stringMatching(/Z$/),
    data: expect.objectContaining({
      type: 'DELETED',
      objectType: 'CONNECTION',
      reason: 'REQUESTED',
      action: 'deleteConnection',
      createdBy: { kind: 'TOKEN', subject: 'tester' },
      integrationId: integration.id,
      endUserId: null,
    }),
  });
  expect(bodies('/all').some(({ data }) => data.action === 'createIntegration')).toBe(false);
  const { events } = await test.query(caller, '{ events(first: 100) { nodes { id objectId } } }');
  const expected = events.nodes.filter(({ objectId }: Json) => objectId === one.id).map(({ id: event }: Json) => event);
  expect(idsAt('/all').filter((event) => expected.includes(event))).toEqual(expected);
  expect(at('/asymmetric')).toHaveLength(1);
  const receiver = new Webhook(secret);
  for (const received of at('/all')) expect(receiver.verify(received.body, headersOf(received))).toHaveProperty('type');
  expect(() =>
    new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`).verify(at('/all')[0]!.body, headersOf(at('/all')[0]!)),
  ).toThrow();

  const [signed] = at('/asymmetric');
  const { 'webhook-id': event, 'webhook-timestamp': seconds, 'webhook-signature': signature } = headersOf(signed!);
  const point = Buffer.from(asymmetric.publicKey.slice('whpk_'.length), 'base64');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }, format: 'jwk' });
  const [version, text] = signature!.split(',');
  expect(version).toBe('v1a');
  expect(verify(null, Buffer.from(`${event}.${seconds}.${signed!.body}`), key, Buffer.from(text!, 'base64'))).toBe(true);

  const selection = 'issued { secret webhook { previousSecretUntil } }';
  const { issued } = await run('rotateWebhookSecret', { webhook: id, overlapSeconds: 60 }, selection);
  expect(issued.webhook.previousSecretUntil).not.toBeNull();
  const { delivery } = await run('testWebhook', { webhook: id }, 'delivery { status failure eventId attempt answer }');
  expect(delivery).toEqual({ status: 204, failure: null, eventId: null, attempt: 1, answer: '' });
  const tested = at('/all').at(-1)!;
  expect(headersOf(tested)['webhook-signature']!.split(' ')).toHaveLength(2);
  for (const each of [secret, issued.secret])
    expect(new Webhook(each).verify(tested.body, headersOf(tested))).toHaveProperty('type', 'webhook.test');
  later(MINUTE);
  await run('testWebhook', { webhook: id }, 'delivery { status }');
  const last = at('/all').at(-1)!;
  const wanted = (each: string) =>
    new Webhook(each).sign(
      headersOf(last)['webhook-id']!,
      new Date(Number(headersOf(last)['webhook-timestamp']) * 1_000),
      last.body.toString(),
    );
  expect(headersOf(last)['webhook-signature']).toBe(wanted(issued.secret));
  expect(wanted(secret)).not.toBe(wanted(issued.secret));

  // A second rotation drops the first secret, and none is in the database in clear, nor in the log.
  const again = await run('rotateWebhookSecret', { webhook: id, overlapSeconds: 0 }, 'issued { secret }');
  expect(await test.database.collection('secrets').countDocuments({ credentialId: parseId(id)!.id })).toBe(1);
  const all =
    JSON.stringify(await Promise.all((await test.database.collections()).map((each) => each.find().toArray()))) + test.logs.join();
  for (const each of [secret, issued.secret, again.issued.secret]) {
    expect(all).not.toContain(each.slice('whsec_'.length));
    expect(all).not.toContain(Buffer.from(each.slice('whsec_'.length), 'base64').toString('hex'));
  }
  // Key rotation moves them, too.
  await test.gateway.keys.rotate({ organizationId: caller.organization } as never);
  expect((await run('testWebhook', { webhook: id }, 'delivery { status }')).delivery.status).toBe(204);
  for (const each of [id, asymmetric.id]) await run('deleteWebhook', { webhook: each }, 'deletedId');
  expect(await test.database.collection('secrets').countDocuments({ credentialId: parseId(id)!.id })).toBe(0);
  await test.gateway.webhooks.trim();
  for (const name of ['webhookStates', 'webhookWaiting', 'webhookDeliveries']) {
    expect(await test.database.collection(name).countDocuments({ organizationId: caller.organization }), name).toBe(0);
  }
});

it('retries in order, and not for ever: 500, Retry-After, 410, a redirect, no connection; pauses, resumes, and delivers again', async () => {
  const only = { types: ['CREATED', 'UPDATED'] };
  const paths = ['/works', '/fails', '/busy', '/gone', '/moved', '/drips'];
  const ids = Object.fromEntries(await Promise.all(paths.map(async (path) => [path, (await make(path, only)).id])));
  const closed = await new LocalService({ isPlain: true }).start();
  const unreachable = closed.origin('127.0.0.1');
  await closed.stop();
  const { id: refused } = (await run('createWebhook', { url: unreachable, ...only }, 'issued { id: webhookId }')).issued;
  answers.set('/fails', () => ({ status: 500, body: 'x'.repeat(5_000) }));
  answers.set('/busy', () => ({ status: 429, headers: { 'retry-after': '3600' } }));
  answers.set('/gone', () => ({ status: 410 }));
  answers.set('/moved', () => ({ status: 302, headers: { location: `${service.origin()}/elsewhere` } }));
  const one = await connection('ordered');
  await rename(one, 'ordered 2');
  const other = await connection('beside');
  await rename(one, 'ordered 3');
  await deliver();
  const ownOf = (path: string) =>
    bodies(path)
      .filter(({ data }) => data.objectId === one.id)
      .map(({ data }) => data.snapshot.version);
  expect(ownOf('/works')).toEqual([1, 2, 3]);
  expect(ownOf('/drips')).toEqual([1, 2, 3]);
  // The others wait behind the first, and other objects do not wait for it.
  expect(ownOf('/fails')).toEqual([1]);
  expect(bodies('/fails').some(({ data }) => data.objectId === other.id)).toBe(true);
  expect(at('/elsewhere')).toEqual([]);
  expect(await webhook(ids['/gone'])).toMatchObject({ enabled: true, problem: { code: 'GONE' } });
  const [failed] = (await webhook(ids['/fails'])).deliveries.nodes;
  expect(failed).toMatchObject({ attempt: 1, status: 500, failure: null, answer: 'x'.repeat(1_024), integrity: 'INTACT' });
  expect((await webhook(ids['/drips'])).deliveries.nodes[0]).toMatchObject({ status: 200, answer: expect.stringMatching(/^d\ufffdrip/) });
  expect((await webhook(ids['/moved'])).deliveries.nodes[0]).toMatchObject({ status: 302 });
  expect((await webhook(refused)).deliveries.nodes[0]).toMatchObject({ status: null, failure: 'CONNECTION_FAILED', answer: null });

  // Nothing is tried before its time; then everything that waits is, at once, as soon as one is delivered.
  const [fails, busy] = [at('/fails').length, at('/busy').length];
  await deliver();
  expect([at('/fails').length, at('/busy').length]).toEqual([fails, busy]);
  later(MINUTE);
  await deliver();
  expect(at('/fails').length).toBeGreaterThan(fails);
  expect(at('/busy')).toHaveLength(busy);
  answers.clear();
  later(HOUR);
  await deliver();
  expect(ownOf('/fails').slice(-3)).toEqual([1, 2, 3]);
  expect(ownOf('/busy').slice(-3)).toEqual([1, 2, 3]);
  expect(ownOf('/moved').slice(-3)).toEqual([1, 2, 3]);
  // The same id each time.
  const firsts = at('/fails').filter(
    ({ body }) => JSON.parse(body.toString()).data.objectId === one.id && JSON.parse(body.toString()).data.snapshot.version === 1,
  );
  expect(firsts.length).toBeGreaterThan(2);
  expect(new Set(firsts.map(({ headers }) => headers['webhook-id'])).size).toBe(1);

  // What fails for two days pauses the webhook. What happens meanwhile is delivered when it is resumed.
  answers.set('/fails', () => ({ status: 500 }));
  await rename(one, 'ordered 4');
  await deliver();
  later(2 * DAY);
  await deliver();
  expect(await webhook(ids['/fails'])).toMatchObject({
    problem: {
      code: 'FAILING',
      message: expect.stringMatching(/^An event could not be delivered for two days\. .* resume the webhook\.$/),
    },
  });
  await rename(one, 'ordered 5');
  answers.clear();
  await deliver();
  const paused = at('/fails').length;
  later(DAY);
  await deliver();
  expect(at('/fails')).toHaveLength(paused);
  expect(
    (await answer('redeliver', { webhook: ids['/fails'], redelivery: { since: test.time() } }, 'webhook { id }')).data.result.message,
  ).toBe('input.webhook: is paused or disabled: resume it first');
  expect((await run('resumeWebhook', { webhook: ids['/fails'] }, 'webhook { problem { code } }')).webhook.problem).toBeNull();
  await deliver();
  expect(ownOf('/fails').slice(-2)).toEqual([4, 5]);
  const { auditLog } = await test.query(caller, '{ auditLog(first: 100) { nodes { action reason viewerKind objectId } } }');
  const pauses = new Map(auditLog.nodes.filter(({ action }: Json) => action === 'pauseWebhook').map((each: Json) => [each.objectId, each]));
  expect(pauses.size).toBe(3);
  for (const [id, reason] of [
    [ids['/fails'], 'FAILING'],
    [ids['/gone'], 'GONE'],
    [refused, 'FAILING'],
  ])
    expect(pauses.get(id)).toMatchObject({ reason, viewerKind: 'GATEWAY' });

  // Again: one event, and all since a time, of which those before it are none.
  const { events } = await test.query(
    caller,
    'query ($types: [EventType!]) { events(first: 100, types: $types) { nodes { id objectId createdAt } } }',
    only,
  );
  const own = events.nodes.filter(({ objectId }: Json) => objectId === one.id);
  const before = at('/works').length;
  await run('redeliver', { webhook: ids['/works'], redelivery: { event: own[0].id } }, 'webhook { id }');
  await deliver();
  expect(idsAt('/works').slice(before)).toEqual([own[0].id]);
  await run('redeliver', { webhook: ids['/works'], redelivery: { since: own[3].createdAt } }, 'webhook { id }');
  await deliver();
  const mine = new Set(own.map(({ id }: Json) => id));
  const repeated = idsAt('/works')
    .slice(before + 1)
    .filter((id) => mine.has(id));
  expect(repeated.slice(-2)).toEqual([own[3].id, own[4].id]);
  expect(repeated).not.toContain(own[2].id);

  // Events that are deleted before they are delivered are told.
  await run('updateWebhook', { webhook: ids['/works'], enabled: false }, 'webhook { id }');
  await rename(one, 'ordered 6');
  await test.gateway.events.run();
  later(31 * DAY);
  await test.gateway.events.run();
  later(2 * MINUTE);
  await test.gateway.events.run();
  const known = at('/works').length;
  await run('updateWebhook', { webhook: ids['/works'], enabled: true }, 'webhook { id }');
  await deliver();
  expect(await webhook(ids['/works'])).toMatchObject({ problem: { code: 'EVENTS_LOST' } });
  await run('resumeWebhook', { webhook: ids['/works'] }, 'webhook { id }');
  await rename(one, 'ordered 7');
  await deliver();
  expect(ownOf('/works').at(-1)).toBe(7);
  expect(at('/works').length).toBeGreaterThan(known);
  await test.gateway.webhooks.trim();
  expect((await webhook(ids['/moved'])).deliveries.nodes.every(({ eventId }: Json) => own.every((each: Json) => each.id !== eventId))).toBe(
    true,
  );
  for (const id of [...Object.values(ids), refused]) await run('deleteWebhook', { webhook: id }, 'deletedId');
});

it('sends nobody what its creator could not read, and keeps to an integration; refuses bad input', async () => {
  const scopes = ['webhooks.*', 'webhooks.post', 'webhooks.patch', 'events.get', 'connections.get'];
  const few = { ...caller, scopes };
  const other = { id: (await test.create(caller, 'Integration', { name: 'other' })).id };
  const { id: ofFew } = await make('/few', {}, few);
  const { id: ofOther } = await make('/other', { integration: other });
  const key = await test.makeAPIKey(caller, {
    integration: other,
    scopes: ['webhooks.*', 'webhooks.post', 'webhooks.patch', 'events.get', 'connections.get', 'all.Organization.read'],
  });
  const limited = { ...caller, token: key.key };
  const { id: ofKey } = await make('/key', { integration: other }, limited);
  await test.create(caller, 'Credential', { integration, name: 'secret', data: { string: { value: 'a value that is secret' } } });
  await test.create(caller, 'Credential', { integration: other, name: 'secret', data: { string: { value: 'a value that is secret' } } });
  await test.create(caller, 'Connection', { integration: other, name: 'there' });
  await connection('here');
  await deliver();
  const types = (path: string) => new Set(bodies(path).map(({ data }) => data.objectType));
  expect(types('/few')).toEqual(new Set(['CONNECTION', 'WEBHOOK']));
  for (const path of ['/other', '/key']) {
    expect(types(path)).toEqual(new Set(['CONNECTION', 'CREDENTIAL', 'WEBHOOK']));
    expect(new Set(bodies(path).map(({ data }) => data.integrationId))).toEqual(new Set([other.id]));
    expect(bodies(path).find(({ data }) => data.objectType === 'CREDENTIAL')!.data.snapshot.kind).toBe('STRING');
    // Who is limited to an integration does not learn who the others are.
    expect(new Set(bodies(path).map(({ data }) => data.createdBy.subject))).toEqual(new Set([null]));
  }
  expect(service.received.some(({ body }) => body.includes('a value that is secret'))).toBe(false);
  const seen = await test.query(limited, '{ webhooks(first: 10) { nodes { id } } }');
  const kinds = await test.query(limited, '{ events(first: 100) { nodes { objectType snapshot { kind } } } }');
  expect(kinds.events.nodes).toContainEqual({ objectType: 'CREDENTIAL', snapshot: { kind: 'STRING' } });
  const ofWhat = await test.query(caller, 'query ($id: ID!) { webhook(id: $id) { objectTypes } }', { id: ofFew });
  expect(ofWhat.webhook.objectTypes.toSorted()).toEqual(['CONNECTION', 'WEBHOOK']);
  expect(seen.webhooks.nodes.map(({ id }: Json) => id).toSorted()).toEqual([ofKey, ofOther].toSorted());
  expect((await answer('deleteWebhook', { webhook: ofFew }, 'deletedId', limited)).data.result.code).toBe('NOT_FOUND');
  const beyond = { url: 'https://a.example/', integration };
  expect((await answer('createWebhook', beyond, 'issued { webhookId }', limited)).data.result.code).toBe('INVALID_INTEGRATION');
  expect((await answer('createWebhook', { url: 'https://a.example/' }, 'issued { webhookId }', limited)).data.result.message).toBe(
    'input.integration: must be given by a viewer who is limited to one',
  );
  // Whoever decides where it leads must be able to read it.
  for (const [name, input, selection] of [
    ['updateWebhook', { url: 'https://thief.example/' }, 'webhook { id }'],
    ['rotateWebhookSecret', {}, 'issued { secret }'],
    ['testWebhook', {}, 'delivery { id }'],
    ['resumeWebhook', {}, 'webhook { id }'],
    ['redeliver', { redelivery: { since: new Date(0) } }, 'webhook { id }'],
  ] as const) {
    const who = { ...few, scopes: [...scopes, 'webhookDeliveries.get'] };
    const { errors } = await answer(name, { webhook: ofOther, ...input }, selection, who);
    expect(errors?.[0]?.extensions, name).toMatchObject({ code: 'FORBIDDEN', scope: expect.stringMatching(/\.get$/) });
    const without = await answer(name, { webhook: ofOther, ...input }, selection, {
      ...caller,
      scopes: ['webhooks.patch', 'webhooks.get'],
    });
    expect(without.errors?.[0]?.extensions, name).toMatchObject({ code: 'FORBIDDEN', scope: 'events.get' });
  }
  const endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
  const token = await test.makeEndUserToken(caller, { id: endUser.id }, { scopes: ['all.Organization'] });
  expect((await test.answer({ ...caller, token }, '{ webhooks(first: 1) { nodes { id } } }')).errors?.[0]?.extensions.code).toBe(
    'FORBIDDEN',
  );

  const urls = [
    'ftp://a.example/',
    'https://u:p@a.example/',
    'https://a.example/#x',
    'https://0x7f.1/',
    'https://a.example:99999/',
    '//a.example',
    'https://',
    'https://a b/',
    'https://EXÄMPLE.com/',
    '',
  ];
  for (const url of urls)
    expect((await answer('createWebhook', { url }, 'issued { webhookId }')).data.result.code, url).toBe('VALIDATION_FAILED');
  expect((await answer('createWebhook', { url: 'https://a.example/', types: ['PAID'] }, 'issued { webhookId }')).errors).toHaveLength(1);
  const strict = Object.assign(new TestGateway(), { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
  strict.outbound = { allowsHttp: false };
  await strict.open();
  opened.push(strict);
  const query = `mutation ($input: CreateWebhookInput!) { result: createWebhook(input: $input) {
    ... on CreateWebhookSuccess { issued { webhookId } } ... on MutationError { message } } }`;
  const { result } = await strict.query(caller, query, { input: { url: 'http://a.example/' } });
  expect(result.message).toBe('input.url: must be an https URL');
  // An address that is not public is not reached.
  const local = await strict.query(caller, query, { input: { url: 'https://127.0.0.1:1/' } });
  const tested = await strict.query(
    caller,
    'mutation ($webhook: ID!) { result: testWebhook(input: { webhook: $webhook }) { ... on TestWebhookSuccess { delivery { status failure } } } }',
    { webhook: local.result.issued.webhookId },
  );
  expect(tested.result.delivery).toEqual({ status: null, failure: 'ADDRESS_NOT_ALLOWED' });
  for (const id of [ofFew, ofKey, local.result.issued.webhookId]) await run('deleteWebhook', { webhook: id }, 'deletedId');
  // With the integration goes the webhook.
  const { deletePreview } = await test.query(caller, `{ deletePreview(objectId: "${other.id}") { effects { objectType effect count } } }`);
  expect(deletePreview.effects).toContainEqual({ objectType: 'WEBHOOK', effect: 'DELETED', count: 1 });
  await run('deleteIntegration', { integration: other, force: true }, 'deletedId');
  expect(await webhook(ofOther)).toBeNull();
});

it('begins with webhooks of organizations of which less is under way', () => {
  const many = Array.from({ length: 50 }, (_, n) => ({ id: n, organizationId: 'many' }));
  const few = { id: 50, organizationId: 'few' };
  const order = inFairOrder([...many, few], ['many', 'many', 'few']);
  expect(order[0]).toBe(few);
  expect(order.map(({ id }) => id).toSorted((a, b) => a - b)).toEqual([...many, few].map(({ id }) => id));
  // Of one organization, another one is first the next time.
  const firsts = Array.from({ length: 20 }, () => inFairOrder(many, [])[0]!.id);
  expect(new Set(firsts).size).toBeGreaterThan(1);
});

it('sends nothing more to a URL that the webhook had before', async () => {
  const { id } = await make('/before');
  const one = await connection('moves');
  await rename(one, 'moves 2');
  answers.set('/before', async () => {
    await run('updateWebhook', { webhook: id, url: `${service.origin()}/after` }, 'webhook { id }');
    // Longer than until the next time that it looks.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    return { status: 204 };
  });
  await deliver();
  expect(bodies('/before').filter(({ data }) => data.objectId === one.id)).toHaveLength(1);
  await deliver();
  const after = bodies('/after').filter(({ data }) => data.objectId === one.id);
  expect(after.map(({ data }) => data.snapshot.version)).toEqual([2]);
  await run('deleteWebhook', { webhook: id }, 'deletedId');
});

it('two copies share the work; one that hangs delays no other; one that is stopped in the middle loses nothing, nor the order', async () => {
  const second = Object.assign(new TestGateway(), { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
  second.outbound = test.outbound;
  // The first copy will be asleep for two minutes.
  second.time = () => new Date(clock + 2 * MINUTE);
  await second.open();
  opened.push(second);
  const names = ['/a', '/b', '/c', '/d'];
  const ids = await Promise.all(names.map(async (path) => (await make(path)).id));
  const { id: hanging } = await make('/hangs');
  const all = await Promise.all(Array.from({ length: 24 }, (_, n) => connection(`many ${n}`)));
  for (let round = 0; round < 4; round++) await Promise.all(all.map((one, n) => rename(one, `many ${n} ${round}`)));
  await test.gateway.events.run();
  // After some deliveries of the first copy, nothing is answered any more.
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let asleep = () => {};
  const fallen = new Promise<void>((resolve) => {
    asleep = resolve;
  });
  let count = 0;
  let isFirst = true;
  for (const path of names) {
    answers.set(path, async () => {
      if (isFirst && ++count > 60) {
        asleep();
        await released;
      }
      return { status: 200 };
    });
  }
  answers.set('/hangs', async () => {
    if (isFirst) await released;
    return { status: 200 };
  });
  const running = test.gateway.webhooks.run();
  await fallen;
  isFirst = false;
  const before = service.received.length;
  await second.gateway.webhooks.run();
  release();
  await running;
  await test.gateway.webhooks.run();
  expect(service.received.length).toBeGreaterThan(before);
  const ours = new Set(all.map(({ id }) => id));
  const expected = (await allEvents()).filter(({ objectId }: Json) => ours.has(objectId)).map(({ id }: Json) => id as string);
  expect(expected).toHaveLength(24 * 5);
  for (const path of [...names, '/hangs']) {
    const arrived = bodies(path).filter(({ data }) => ours.has(data.objectId));
    expect(
      expected.filter((id) => !arrived.some(({ data }) => data.id === id)),
      path,
    ).toEqual([]);
    // Some came twice. When they came first is in order.
    for (const { id } of all) {
      const versions = [...new Set(arrived.filter(({ data }) => data.objectId === id).map(({ data }) => data.snapshot.version))];
      expect(versions, path).toEqual([1, 2, 3, 4, 5]);
    }
  }
  for (const id of [...ids, hanging]) await run('deleteWebhook', { webhook: id }, 'deletedId');
});
