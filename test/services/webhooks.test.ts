import { createPublicKey, verify } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inFairOrder } from '../../src/domain/in-turn.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { type Caller, type Json, TestGateway } from '../harness.ts';
import { type Answer, LocalService, type Received, TestAuthority } from './local-service.ts';

// Receivers are on this machine: each webhook has a path of its own, and a test says what the path answers. What arrives is verified with the
// library that receivers use.
const authority = new TestAuthority();
const service = new LocalService({ isPlain: true, authority });
const addresses: Record<string, string[]> = { localhost: ['127.0.0.1'], 'inside.test': ['203.0.113.7', '10.0.0.1'] };
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
  test.outbound = { ...service.outbound, lookup: async (name) => addresses[name] ?? [] };
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
/** Whose webhooks get events of connections only. */
const few = (): Caller => ({ ...caller, scopes: ['webhooks.post', 'webhooks.patch', 'events.get', 'connections.get'] });
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
  // Key rotation moves them, too. Neither an earlier one nor that of another opens in its place.
  const secrets = test.database.collection('secrets');
  const { organization } = caller;
  const sealedOf = async (each: string) => (await secrets.findOne({ credentialId: parseId(each)!.id }))!;
  const [old, foreign] = [await sealedOf(id), await sealedOf(asymmetric.id)];
  const place = async ({ sealed, keyId }: Record<string, unknown>) =>
    secrets.updateOne({ credentialId: parseId(id)!.id }, { $set: { sealed, keyId } });
  expect(await test.gateway.keys.rotate({ organizationId: organization })).toMatchObject({ resealed: 2, unreadableCount: 0 });
  expect((await sealedOf(id)).keyId).not.toBe(old.keyId);
  expect((await run('testWebhook', { webhook: id }, 'delivery { status }')).delivery.status).toBe(204);
  expect(await test.gateway.checkIntegrity(organization)).toEqual({ altered: [], unreadable: [] });
  const present = await sealedOf(id);
  await run('rotateWebhookSecret', { webhook: id, overlapSeconds: 0 }, 'issued { secret }');
  for (const wrong of [present, await sealedOf(asymmetric.id), foreign]) {
    await place(wrong);
    const { data } = await answer('testWebhook', { webhook: id }, 'delivery { status }');
    expect(data.result.message).toBe('input.webhook: has a secret that cannot be opened. Rotate it');
    expect((await test.gateway.checkIntegrity(organization)).unreadable).toMatchObject([
      { noun: 'webhook', credentialId: parseId(id)!.id },
    ]);
  }
  expect((await test.gateway.keys.rotate({ organizationId: organization })).unreadable).toMatchObject([
    { noun: 'webhook', credentialId: parseId(id)!.id },
  ]);
  await connection('unsigned');
  await deliver();
  expect(await webhook(id)).toMatchObject({ problem: { code: 'SECRET_UNREADABLE' } });
  const renewed = await run('rotateWebhookSecret', { webhook: id, overlapSeconds: 0 }, 'issued { secret }');
  await run('resumeWebhook', { webhook: id }, 'webhook { id }');
  await deliver();
  const signedAnew = at('/all').at(-1)!;
  expect(new Webhook(renewed.issued.secret).verify(signedAnew.body, headersOf(signedAnew))).toHaveProperty('type');
  expect(await test.gateway.checkIntegrity(organization)).toEqual({ altered: [], unreadable: [] });
  for (const each of [id, asymmetric.id]) await run('deleteWebhook', { webhook: each }, 'deletedId');
  expect(await test.database.collection('secrets').countDocuments({ credentialId: parseId(id)!.id })).toBe(0);
  await test.gateway.webhooks.trim();
  for (const name of ['webhookStates', 'webhookWaiting', 'webhookDeliveries']) {
    expect(await test.database.collection(name).countDocuments({ organizationId: caller.organization }), name).toBe(0);
  }
});

it('retries in order, and not for ever: 500, Retry-After, 410, a redirect, no connection; pauses, resumes, and delivers again', async () => {
  const only = { types: ['CREATED', 'UPDATED'] };
  const paths = ['/works', '/fails', '/busy', '/gone', '/moved', '/drips'] as const;
  const ids = {} as Record<(typeof paths)[number], string>;
  for (const path of paths) ids[path] = (await make(path, only, path === '/fails' ? caller : few())).id;
  const closed = await new LocalService({ isPlain: true, authority }).start();
  const unreachable = closed.origin('127.0.0.1');
  await closed.stop();
  const { id: refused } = (await run('createWebhook', { url: unreachable, ...only }, 'issued { id: webhookId }', few())).issued;
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
  const pauses = new Map(
    auditLog.nodes
      .filter(({ action, reason }: Json) => action === 'pauseWebhook' && reason !== 'SECRET_UNREADABLE')
      .map((each: Json) => [each.objectId, each]),
  );
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
  const reader = { ...caller, scopes };
  const other = { id: (await test.create(caller, 'Integration', { name: 'other' })).id };
  const { id: ofFew } = await make('/few', {}, reader);
  // Nothing would ever come.
  const blind = { ...caller, scopes: ['webhooks.post', 'webhooks.patch', 'events.get'] };
  const { errors } = await answer('createWebhook', { url: 'https://a.example/' }, 'issued { webhookId }', blind);
  expect(errors![0]!.extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'credentials.get' });
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
    const who = { ...reader, scopes: [...scopes, 'webhookDeliveries.get'] };
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
  const names = ['/a', '/b', '/c'];
  const ids: string[] = [];
  for (const path of names) ids.push((await make(path, {}, few())).id);
  const { id: hanging } = await make('/hangs', {}, few());
  const all = await Promise.all(Array.from({ length: 10 }, (_, n) => connection(`many ${n}`)));
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
      if (isFirst && ++count > 20) {
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
  expect(expected).toHaveLength(10 * 5);
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

it('asks receivers of every kind, whatever they do: what comes of it, and when it is tried again', async () => {
  const pair = (issuer: TestAuthority, name: string, isExpired = false) => ({ pair: issuer.issue([name], { isExpired }) });
  const services = [
    new LocalService({ authority, ...pair(authority, 'localhost') }),
    new LocalService({ authority, ...pair(authority, 'other.example') }),
    new LocalService({ authority, ...pair(authority, 'localhost', true) }),
    new LocalService({ authority: new TestAuthority() }),
  ];
  const [valid, otherName, expired, unknown] = await Promise.all(services.map((each) => each.start()));
  const raw = async (onRequest: (socket: Socket) => void) => {
    const server = createServer((socket) => socket.on('error', () => {}).once('data', () => onRequest(socket)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return { server, url: `http://localhost:${(server.address() as AddressInfo).port}/` };
  };
  const raws = await Promise.all([
    raw((socket) => socket.destroy()),
    raw((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')),
    raw((socket) => socket.write(`HTTP/1.1 200 OK\r\n${`x-header: ${'x'.repeat(1_000)}\r\n`.repeat(1_000)}`)),
    raw((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegins')),
  ]);
  const { id } = await make('/kinds');
  const [closes, talks, heads, pauses] = raws.map(({ url }) => url);
  for (const status of [301, 303, 307, 308])
    answers.set(`/redirect-${status}`, () => ({ status, headers: { location: `${service.origin()}/elsewhere` } }));
  const redirects = [301, 303, 307, 308].map((status) => [`${service.origin()}/redirect-${status}`, { status, failure: null }] as const);
  const kinds: readonly (readonly [url: string, expected: object])[] = [
    [`${valid!.origin()}/`, { status: 200, failure: null }],
    [`${otherName!.origin()}/`, { status: null, failure: 'TLS_FAILED' }],
    [`${expired!.origin()}/`, { status: null, failure: 'TLS_FAILED' }],
    [`${unknown!.origin()}/`, { status: null, failure: 'TLS_FAILED' }],
    ['https://10.0.0.1/', { status: null, failure: 'ADDRESS_NOT_ALLOWED' }],
    ['https://[::ffff:a00:1]/', { status: null, failure: 'ADDRESS_NOT_ALLOWED' }],
    ['https://169.254.169.254/latest/', { status: null, failure: 'ADDRESS_NOT_ALLOWED' }],
    ['https://inside.test/', { status: null, failure: 'ADDRESS_NOT_ALLOWED' }],
    ['https://nowhere.test/', { status: null, failure: 'NAME_NOT_FOUND' }],
    [closes!, { status: null, failure: 'CONNECTION_FAILED' }],
    [talks!, { status: null, failure: 'INVALID_ANSWER' }],
    [heads!, { status: null, failure: 'TOO_LARGE' }],
    [`${service.origin()}/drips`, { status: 200, failure: null, answer: expect.stringMatching(/^d\ufffdrip/) }],
    ...redirects,
  ];
  const elsewhere = at('/elsewhere').length;
  const query = `mutation ($webhook: ID!) { result: testWebhook(input: { webhook: $webhook }) {
    ... on TestWebhookSuccess { delivery { status failure answer } } ... on MutationError { message } } }`;
  const { id: idOfPausing } = (await run('createWebhook', { url: pauses }, 'issued { id: webhookId }')).issued;
  const pausing = test.query(caller, query, { webhook: idOfPausing });
  for (const [url, expected] of kinds) {
    await run('updateWebhook', { webhook: id, url }, 'webhook { id }');
    expect((await test.query(caller, query, { webhook: id })).result.delivery, url).toMatchObject(expected);
  }
  expect(at('/elsewhere')).toHaveLength(elsewhere);
  await run('updateWebhook', { webhook: idOfPausing, enabled: false }, 'webhook { id }');
  await run('deleteWebhook', { webhook: id }, 'deletedId');

  // What receivers ask for, how long they are left alone, and that no wish is longer than four hours.
  const date = (milliseconds: number) => new Date(clock + milliseconds).toUTCString();
  const wishes: readonly (readonly [path: string, status: number, wish: string, milliseconds: number])[] = [
    ['/seconds', 503, '1800', HOUR / 2],
    ['/date', 429, date(HOUR), HOUR],
    ['/huge', 429, '9'.repeat(40), 4 * HOUR],
    ['/far', 503, date(400 * DAY), 4 * HOUR],
    ['/negative', 429, '-86400', 0],
    ['/past', 503, date(-DAY), 0],
    ['/words', 503, 'in 2 days', 0],
    ['/loose', 429, '1 jan 2099', 0],
  ];
  const ids: string[] = [];
  for (const [path] of wishes) ids.push((await make(path, {}, few())).id);
  for (const [path, status, wish] of wishes) answers.set(path, () => ({ status, headers: { 'retry-after': wish } }));
  await connection('wished');
  await deliver();
  answers.clear();
  const counts = () => Object.fromEntries(wishes.map(([path]) => [path, at(path).length]));
  const expected = (elapsed: number) => Object.fromEntries(wishes.map(([path, , , held]) => [path, elapsed > held ? 2 : 1]));
  for (let elapsed = 6_000; elapsed <= 5 * HOUR; elapsed += HOUR) {
    later(elapsed === 6_000 ? 6_000 : HOUR);
    await deliver();
    expect(counts(), String(elapsed)).toEqual(expected(elapsed));
  }
  // The status has decided. The rest of the answer is waited for, but not for long.
  expect((await pausing).result.delivery).toEqual({ status: 200, failure: null, answer: 'begins' });
  for (const each of [...ids, idOfPausing]) await run('deleteWebhook', { webhook: each }, 'deletedId');
  await Promise.all([...services.map((each) => each.stop()), ...raws.map(async ({ server }) => void server.close())]);
});

it('receivers that hang hold up no other webhook, no other organization, and not the end of the gateway', async () => {
  const sockets = new Set<Socket>();
  // It accepts connections, and reads nothing.
  const deaf = createServer({ pauseOnConnect: true }, (socket) => void sockets.add(socket.on('error', () => {})));
  await once(deaf.listen(0, '127.0.0.1'), 'listening');
  const deafUrl = `http://localhost:${(deaf.address() as AddressInfo).port}/`;
  const neighbor = { organization: test.newOrganization() };
  const theirs = { id: (await test.create(neighbor, 'Integration', { name: 'theirs' })).id };
  const hanging: string[] = [];
  while (hanging.length < 17) hanging.push((await run('createWebhook', { url: deafUrl }, 'issued { id: webhookId }', few())).issued.id);
  const { id: good } = await make('/good', {}, few());
  await make('/theirs', {}, neighbor);
  const arrived = (path: string) =>
    new Promise<void>((resolve) => {
      answers.set(path, () => {
        resolve();
        return { status: 204 };
      });
    });
  const full = new Promise<void>((resolve) => {
    deaf.on('connection', () => sockets.size >= 128 && resolve());
  });

  // As many attempts hang as may be under way at once.
  const serving = Object.assign(new TestGateway(), { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
  serving.outbound = test.outbound;
  serving.time = test.time;
  serving.runsJobs = true;
  await serving.open();
  opened.push(serving);
  const all: { id: string }[] = [];
  for (let n = 0; n < 8; n++) all.push(await serving.create(caller, 'Connection', { integration, name: `held ${n}` }));
  await full;
  const [ours, others] = [arrived('/good'), arrived('/theirs')];
  await serving.create(caller, 'Connection', { integration, name: 'last' });
  await serving.create(neighbor, 'Connection', { integration: theirs, name: 'there' });
  await Promise.all([ours, others]);
  // It still has the webhook, and sends where the webhook leads now.
  await run('updateWebhook', { webhook: good, url: `${service.origin()}/better` }, 'webhook { id }');
  const better = arrived('/better');
  const moved = await serving.create(caller, 'Connection', { integration, name: 'moved' });
  await better;
  expect(bodies('/good').some(({ data }) => data.objectId === moved.id)).toBe(false);
  await serving.close();
  // What was cut off did not fail: it is not put off, and is delivered now.
  for (const each of hanging) await run('updateWebhook', { webhook: each, url: `${service.origin()}/mended` }, 'webhook { id }');
  await deliver();
  const ids = new Set(all.map(({ id }) => id));
  expect(bodies('/mended').filter(({ data }) => ids.has(data.objectId))).toHaveLength(17 * 8);
  expect((await webhook(hanging[0]!)).deliveries.nodes.every(({ status }: Json) => status === 204)).toBe(true);
  for (const socket of sockets) socket.destroy();
  deaf.close();
});

it('goes on after events that somebody else has written, after an answer of an old URL, and with no more than 10,000 deliveries', async () => {
  const own: Caller = { organization: test.newOrganization() };
  const there = { id: (await test.create(own, 'Integration', { name: 'shop' })).id };
  const { id } = await make('/altered', {}, own);
  const { id: ofIntegration } = await make('/altered/integration', { integration: there }, own);
  await deliver();
  const events = test.database.collection<Json>('events');
  const [template] = await events.find({ organizationId: own.organization }).sort({ position: -1 }).limit(1).toArray();
  const planted = Array.from({ length: 150 }, (_, at) => ({
    ...template,
    _id: `${template!._id.slice(0, 20)}${(0x1000 + at).toString(16)}`,
    integrationId: null,
    position: `${template!.position}x${100 + at}`,
  }));
  const beyond = { ...template, _id: `${template!._id.slice(0, 20)}ffff`, position: `8${template!.position.slice(1)}` };
  await events.insertMany([...planted, beyond] as never);
  await test.create(own, 'Connection', { integration: there, name: 'after them' });
  await deliver();
  for (const path of ['/altered', '/altered/integration'])
    expect(bodies(path).map(({ type }) => type)).toEqual(expect.arrayContaining(['connection.created']));
  await test.create(own, 'Connection', { integration: there, name: 'later' });
  await deliver();
  for (const path of ['/altered', '/altered/integration'])
    expect(bodies(path).filter(({ type }) => type === 'connection.created')).toHaveLength(2);

  // It was sent to the old URL, and answered when the webhook had a new one.
  answers.set('/altered', async () => {
    answers.delete('/altered');
    await run('updateWebhook', { webhook: id, url: `${service.origin()}/altered/new` }, 'webhook { id }', own);
    return { status: 410 };
  });
  await test.create(own, 'Connection', { integration: there, name: 'moving' });
  await deliver();
  await deliver();
  const { webhook: moved } = await test.query(own, 'query ($id: ID!) { webhook(id: $id) { enabled problem { code } } }', { id });
  expect(moved).toEqual({ enabled: true, problem: null });
  later(HOUR);
  await deliver();
  expect(bodies('/altered/new').map(({ type }) => type)).toContain('connection.created');

  const deliveries = test.database.collection<Json>('webhookDeliveries');
  const of = async (webhookId: string) => deliveries.countDocuments({ organizationId: own.organization, webhookId });
  const webhookId = parseId(id)!.id;
  const [delivery] = await deliveries.find({ organizationId: own.organization, webhookId }).sort({ createdAt: 1 }).limit(1).toArray();
  const kept = await of(webhookId);
  const older = Array.from({ length: 10_000 }, (_, at) => ({
    ...delivery,
    _id: `${delivery!._id.slice(0, 19)}${(0x10000 + at).toString(16)}`,
    createdAt: new Date(delivery!.createdAt.getTime() - 1 - at),
  }));
  await deliveries.insertMany(older as never);
  const ofOther = await of(parseId(ofIntegration)!.id);
  await test.gateway.webhooks.trim();
  expect(await of(webhookId)).toBe(10_000);
  expect(await deliveries.countDocuments({ _id: older.at(-kept)!._id as never })).toBe(0);
  expect(await of(parseId(ofIntegration)!.id)).toBe(ofOther);
  for (const each of [id, ofIntegration]) await run('deleteWebhook', { webhook: each }, 'deletedId', own);
});
