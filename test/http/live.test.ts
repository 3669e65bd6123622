import { createClient } from 'graphql-sse';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { serve } from '../serve.ts';
import { seedBoundWorld, seedEndUserWorld } from '../world.ts';

// Live queries, over real sockets: two copies of the gateway on one database, one of which is listened to.
const ORIGIN = 'https://app.example.com';
const test = new TestGateway();
test.runsJobs = true;
test.corsOrigins = [ORIGIN];
useTestGateway(test);
/** The other copy. What it does, the first one learns from the database. */
const other = new TestGateway();
let door: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  Object.assign(other, { uri: test.uri, databaseName: test.databaseName, runsJobs: true });
  await other.open([test.masterKey]);
  door = await serve((request, response) => test.gateway.requestListener(request, response));
});
afterAll(async () => {
  await door.stop();
  await other.close();
});

const FIELDS = 'cursor type objectType objectId reason snapshot { version } integrity createdBy { kind subject }';
const SUBSCRIPTION = `subscription ($after: String, $types: [EventType!], $integration: IntegrationRef, $endUser: EndUserRef) {
  events(after: $after, types: $types, integration: $integration, endUser: $endUser) { ${FIELDS} }
}`;
const QUERY = `query ($after: String, $types: [EventType!], $integration: IntegrationRef, $endUser: EndUserRef) {
  events(first: 100, after: $after, types: $types, integration: $integration, endUser: $endUser) { nodes { ${FIELDS} } readUpTo }
}`;
const HEARTBEAT_MS = 10_000;

interface Message {
  readonly id?: string;
  readonly event?: string;
  readonly data?: Json;
}

/** A stream that is read message by message. */
class Stream {
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = '';

  constructor(response: Response) {
    this.response = response;
    this.#reader = response.body!.pipeThrough(new TextDecoderStream() as never).getReader() as never;
  }

  /** The next message that is more than a comment. Undefined after the end. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) return undefined;
        this.#text += value;
        continue;
      }
      const lines = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      const field = (name: string) =>
        lines
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim();
      const { id, event, data } = { id: field('id'), event: field('event'), data: field('data') };
      if (id || event) return { ...(id && { id }), ...(event && { event }), ...(data && { data: JSON.parse(data) }) };
    }
  }

  /** The next event. */
  async event(): Promise<Json> {
    for (let message = await this.next(); message; message = await this.next()) {
      if (message.event === 'next') return message.data.data?.events ?? message.data;
    }
    throw new Error('The stream has ended.');
  }

  /** All messages until the end. */
  async rest(): Promise<Message[]> {
    const messages: Message[] = [];
    for (let message = await this.next(); message; message = await this.next()) messages.push(message);
    return messages;
  }

  close(): Promise<void> {
    return this.#reader.cancel();
  }
}

async function open(caller: Caller, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${door.origin}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${await test.token(caller)}`,
      ...headers,
    },
    body: JSON.stringify(body),
  });
}

const listen = async (caller: Caller, variables: object = {}, headers: Record<string, string> = {}) =>
  new Stream(await open(caller, { query: SUBSCRIPTION, variables }, headers));

/** Listens, and waits until the stream has begun, so that nothing that follows is before it. */
async function begin(caller: Caller, variables: object = {}, headers: Record<string, string> = {}): Promise<Stream & { start: string }> {
  const stream = await listen(caller, variables, headers);
  return Object.assign(stream, { start: (await stream.next())!.id! });
}

/** The position that a reader has come to with a cursor. One that is before all ids is before the event at its position. */
const positionOf = (cursor: string): string => {
  const [, , [, position], id] = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  return id === '0'.repeat(24) ? String(Number(position) - 1).padStart(16, '0') : position;
};

/** What the query lists after a cursor, and how far it has read. */
async function listed(caller: Caller, variables: object): Promise<{ nodes: Json[]; upTo: string }> {
  const { events } = await test.query(caller, QUERY, variables);
  return { nodes: events.nodes, upTo: positionOf(events.readUpTo) };
}

/** Lets time pass, but for the clock. */
async function pass(milliseconds: number): Promise<void> {
  test.elapsed += milliseconds;
  await test.gateway.refreshRevocations();
}

/** Does something while time passes, so that each stream says again and again how far it has come. */
async function whileTimePasses<T>(run: () => Promise<T>): Promise<T> {
  let isDone = false;
  const running = run().finally(() => {
    isDone = true;
  });
  running.catch(() => {});
  while (!isDone) {
    await pass(HEARTBEAT_MS + 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return running;
}

/** Reads a stream until it says that all before a position was told. */
async function readUpTo(stream: Stream, position: string): Promise<Json[]> {
  const events: Json[] = [];
  for (;;) {
    const message = await stream.next();
    if (!message) throw new Error('The stream has ended.');
    if (message.event === 'next') {
      expect(message.data.errors).toBeUndefined();
      expect(message.id).toBe(message.data.data.events.cursor);
      events.push(message.data.data.events);
    }
    if (positionOf(message.id!) >= position) return events;
  }
}

const change = (by: TestGateway, caller: Caller, id: string, description: string) =>
  by.query(
    caller,
    'mutation ($input: UpdateIntegrationInput!) { result: updateIntegration(input: $input) { __typename ... on MutationError { code message } } }',
    { input: { integration: { id }, description } },
  );

it('tells each viewer what the query lists, from the same process and from another copy, and again from a cursor', async () => {
  const world = await seedBoundWorld(test);
  const beside = await seedBoundWorld(test, world.caller.organization);
  const { caller, ids } = world;
  const key = async (scopes: string[], more = {}) => ({
    organization: caller.organization,
    token: (await test.makeAPIKey(caller, { scopes, ...more })).key,
  });
  const endUser = await seedEndUserWorld(test, world);
  const viewers: Record<string, Caller> = {
    everything: caller,
    'connections and credentials only': { ...caller, scopes: ['events.get', 'connections.get', 'credentials.get', 'integrations.get'] },
    'no objects at all': { ...caller, scopes: ['events.get'] },
    'an API key': await key(['all.Organization']),
    'an API key of one integration': await key(['all.Organization'], { integration: { id: ids.integration } }),
    'an API key of the other integration, credentials only': await key(['events.get', 'credentials.get'], {
      integration: { id: beside.ids.integration },
    }),
    'an end user': endUser.caller,
    'another end user': (await seedEndUserWorld(test, beside)).caller,
  };
  const filters: Record<string, object> = {
    'no filter': {},
    types: { types: ['DELETED', 'CREATED'] },
    integration: { integration: { id: ids.integration } },
    'end user and types': { endUser: { id: ids.endUser }, types: ['UPDATED', 'CREATED'] },
  };
  const cases: { name: string; viewer: Caller; variables: object; stream: Stream & { start: string } }[] = [];
  for (const [who, viewer] of Object.entries(viewers)) {
    const isWhole = /^(everything|an API key of one integration|an end user)$/.test(who);
    for (const [what, variables] of Object.entries(filters).slice(0, isWhole ? undefined : 1)) {
      const stream = await listen(viewer, variables);
      const first = await stream.next();
      // Whose filter names what it cannot see is refused, as the query is.
      if (first?.event === 'next') {
        const query = await test.answer(viewer, QUERY, variables);
        expect(first.data.errors[0].extensions.code, `${who}, ${what}`).toBe(query.errors![0].extensions.code);
        expect(await stream.next()).toEqual({ event: 'complete' });
        continue;
      }
      cases.push({ name: `${who}, ${what}`, viewer, variables, stream: Object.assign(stream, { start: first!.id! }) });
    }
  }
  expect(cases.length).toBeGreaterThan(15);
  const { start } = cases[0]!.stream;
  for (const by of [test, other]) {
    for (const { caller: whose, ids: own } of [world, beside]) {
      await change(by, whose, own.integration, `by ${by === test}`);
      const made = await by.create(whose, 'Credential', {
        integration: { id: own.integration },
        endUser: { id: own.endUser },
        name: `live-${by === test}`,
        data: { string: { value: 'x' } },
      });
      await by.create(whose, 'EndUser', { integration: { id: own.integration }, externalId: `live-${by === test}` });
      await by.makeAPIKey(whose, { scopes: ['events.get'] });
      await by.query(
        whose,
        'mutation ($input: DeleteCredentialInput!) { deleteCredential(input: $input) { __typename ... on MutationError { code message } } }',
        { input: { credential: made.id, force: true } },
      );
    }
  }
  const { upTo } = await listed(caller, { after: start });
  const told = await whileTimePasses(() =>
    Promise.all(
      cases.map(async ({ name, viewer, variables, stream }) => {
        const { nodes } = await listed(viewer, { ...variables, after: stream.start });
        expect(await readUpTo(stream, upTo), name).toEqual(nodes);
        await stream.close();
        // The same again, read for this listener alone, from the beginning and from the middle.
        const again = await listen(viewer, { ...variables, after: stream.start });
        expect(await readUpTo(again, upTo), name).toEqual(nodes);
        await again.close();
        if (nodes.length < 2) return nodes.length;
        const middle = await listen(viewer, { ...variables, after: stream.start }, { 'last-event-id': nodes[0].cursor });
        expect(await readUpTo(middle, upTo), name).toEqual(nodes.slice(1));
        await middle.close();
        return nodes.length;
      }),
    ),
  );
  expect(told.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(100);
});

it('reads what is new once for all listeners of an organization', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const streams = await Promise.all(Array.from({ length: 20 }, () => begin(caller)));
  const rounds: string[][] = [];
  // Jobs of the minute, and shares of rate limits, can come into some of them.
  for (let round = 0; round < 10 && !rounds.some((names) => names.join() === 'aggregate'); round++) {
    const commands = await test.countCommands(async () => {
      await change(other, caller, id, `by the other copy, ${round}`);
      for (const stream of streams) expect((await stream.event()).type).toBe('UPDATED');
    });
    // The rest asks, for all organizations, whether there is something new.
    rounds.push(commands.filter((name) => name !== 'find'));
  }
  expect(rounds).toContainEqual(['aggregate']);
  for (const stream of streams) await stream.close();
});

it('gives a client of graphql-sse each event exactly once, though connections drop', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const authorization = `Bearer ${await test.token(caller)}`;
  const sockets = new Set<{ destroy: () => void }>();
  const dropping = await serve((request, response) => {
    sockets.add(request.socket);
    test.gateway.requestListener(request, response);
  });
  let last = (await begin(caller)).start;
  const client = createClient({
    url: `${dropping.origin}/graphql`,
    headers: () => ({ authorization, 'last-event-id': last }),
    retry: async () => {},
    retryAttempts: 1_000,
  });
  const versions: number[] = [];
  const wanted = 30;
  const results = client.iterate<Json>({ query: 'subscription { events { cursor snapshot { version } } }' });
  const changing = (async () => {
    for (let count = 0; count < wanted; count++) await change(count % 2 ? test : other, caller, id, `change ${count}`);
  })();
  for await (const { data } of results) {
    last = data.events.cursor;
    versions.push(data.events.snapshot.version);
    if (versions.length === wanted) break;
    if (versions.length % 7 === 0) for (const socket of sockets) socket.destroy();
  }
  await changing;
  expect(versions).toEqual(Array.from({ length: wanted }, (_, index) => index + 2));
  client.dispose();
  await dropping.stop();
});

it('refuses what it cannot stream, with a code', async () => {
  const caller = { organization: test.newOrganization() };
  const refusal = async (body: object, headers: Record<string, string> = {}, who: Caller = caller) => {
    const response = await open(who, body, headers);
    const text = await response.text();
    const data = JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? text);
    expect(data.data).toBeUndefined();
    expect(data.errors[0].extensions.requestId).toBe(response.headers.get('x-request-id'));
    const isStream = response.headers.get('content-type')!.startsWith('text/event-stream');
    expect(isStream ? text.endsWith('event: complete\ndata:\n\n') : true).toBe(true);
    return [response.status, isStream ? 'stream' : 'json', data.errors[0].extensions.code];
  };
  const query = 'subscription { events { id } }';
  expect(await refusal({ query }, { accept: 'application/json' })).toEqual([406, 'json', 'BAD_REQUEST']);
  expect(await refusal({ query }, { accept: '*/*' })).toEqual([406, 'json', 'BAD_REQUEST']);
  expect(await refusal({ query }, { accept: 'text/event-stream;q=0, */*' })).toEqual([406, 'json', 'BAD_REQUEST']);
  expect(await refusal({ query }, { authorization: 'Bearer nothing' })).toEqual([401, 'json', 'UNAUTHENTICATED']);
  expect(await refusal([{ query }])).toEqual([400, 'json', 'BAD_REQUEST']);
  expect(await refusal({ query }, {}, { ...caller, scopes: ['connections.get'] })).toEqual([200, 'stream', 'FORBIDDEN']);
  for (const [text, code] of [
    ['subscription { events { id', 'GRAPHQL_PARSE_FAILED'],
    ['subscription { events { nothing } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { events { id } more: events { id } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { __typename }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { ... @defer { events { id } } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { events @stream { id } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { events @skip(if: true) { id } }', 'BAD_REQUEST'],
    ['subscription { events(types: [NOTHING]) { id } }', 'GRAPHQL_VALIDATION_FAILED'],
    ['subscription { events(after: "nothing") { id } }', 'VALIDATION_FAILED'],
    ['subscription { events(integration: { name: "nothing" }) { id } }', 'INVALID_INTEGRATION'],
    [`subscription { events { ${'a: id '.repeat(101)} } }`, 'LIMIT_EXCEEDED'],
  ] as const) {
    expect(await refusal({ query: text }), text).toEqual([200, 'stream', code]);
  }
  const conditional = 'subscription ($is: Boolean!) { events @include(if: $is) { id } }';
  expect(await refusal({ query: conditional, variables: { is: false } })).toEqual([200, 'stream', 'BAD_USER_INPUT']);
  expect(await refusal({ query: conditional })).toEqual([200, 'stream', 'BAD_USER_INPUT']);
  const foreign = Buffer.from(JSON.stringify(['event', 'position', ['text', '9'.repeat(15).padStart(16, '0')], 'f'.repeat(24)]));
  expect(await refusal({ query }, { 'last-event-id': foreign.toString('base64url') })).toEqual([200, 'stream', 'CURSOR_EXPIRED']);
  const elsewhere = { organization: test.newOrganization() };
  const strange = await begin(elsewhere);
  await test.create(elsewhere, 'Integration', { name: 'crm' });
  const { cursor } = await strange.event();
  await strange.close();
  for (const [id, code] of [
    ['nothing', 'VALIDATION_FAILED'],
    [`${cursor.slice(0, 20)}!${cursor.slice(21)}`, 'VALIDATION_FAILED'],
    ['x'.repeat(8_000), 'VALIDATION_FAILED'],
    [Buffer.from(JSON.stringify(['event', 'createdAt', ['text', 'x'], 'f'.repeat(24)])).toString('base64url'), 'VALIDATION_FAILED'],
    // The position of another organization is none here.
    [cursor, 'CURSOR_EXPIRED'],
  ] as const) {
    expect(await refusal({ query }, { 'last-event-id': id }), id).toEqual([200, 'stream', code]);
  }
  // Aliases, fragments and names of types are as in any other operation.
  const aliased = new Stream(
    await open(caller, {
      query: 'subscription S { ...F } fragment F on Subscription { it: events { __typename ...G } } fragment G on Event { what: type }',
    }),
  );
  await aliased.next();
  await test.create(caller, 'Integration', { name: 'aliased' });
  expect((await aliased.next())!.data).toEqual({ data: { it: { __typename: 'Event', what: 'CREATED' } } });
  await aliased.close();
  const { errors } = await test.gateway.execute({
    query,
    viewer: { organizationId: caller.organization, kind: 'token', subject: 'x', scopes: new Set(['events.get']) },
  });
  expect(errors![0]!.extensions.code).toBe('BAD_REQUEST');

  // Other operations are answered with one result.
  const answer = await (await open(caller, { query: '{ viewer { id } }' })).text();
  expect(answer).toMatch(/^event: next\ndata: \{"data":\{"viewer":.*\n\nevent: complete\ndata:\n\n$/);
  const headers = {
    origin: ORIGIN,
    authorization: `Bearer ${await test.token(caller)}`,
    accept: 'text/event-stream',
    'accept-encoding': 'gzip, br',
  };
  // By GET, from a page of another origin that may; another one learns nothing, whatever its browser sends by itself.
  const foreignPage = await fetch(`${door.origin}/graphql?query=${encodeURIComponent(query)}`, {
    headers: { ...headers, origin: 'https://evil.example' },
  });
  expect([foreignPage.status, foreignPage.headers.get('access-control-allow-origin')]).toEqual([403, null]);
  const response = await fetch(`${door.origin}/graphql?query=${encodeURIComponent(query)}`, { headers });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-store, no-transform',
    'x-accel-buffering': 'no',
    'access-control-allow-origin': ORIGIN,
  });
  expect(response.headers.get('content-encoding')).toBeNull();
  await response.body!.cancel();
  const preflight = await fetch(`${door.origin}/graphql`, { method: 'OPTIONS', headers: { origin: ORIGIN } });
  expect(preflight.headers.get('access-control-allow-headers')).toContain('last-event-id');
  const head = await fetch(`${door.origin}/graphql?query=${encodeURIComponent(query)}`, { method: 'HEAD', headers });
  expect([head.status, await head.text()]).toEqual([200, '']);
});

it('ends with the token', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const endUser = await test.create(caller, 'EndUser', { integration: { id }, externalId: 'ada' });
  const now = Math.floor(Date.now() / 1_000);
  const key = (more: object = {}) => test.makeAPIKey(caller, { scopes: ['all.Organization'], ...more });
  const keys = [await key(), await key(), await key(), await key({ expiresAt: new Date((now + 65) * 1_000).toISOString() })] as const;
  const gone = await test.create(caller, 'EndUser', { integration: { id }, externalId: 'gone' });
  const goneScopes = { scopes: ['events.get', 'credentials.get'] };
  await test.create(caller, 'Credential', {
    integration: { id },
    endUser: { id: gone.id },
    name: 'goes along',
    data: { string: { value: 'x' } },
  });
  const who = {
    expiring: { ...caller, claims: { sub: 'expiring', exp: now + 60 } },
    revoked: { ...caller, claims: { sub: 'revoked', iat: now - 10 } },
    endUser: { ...caller, token: await test.makeEndUserToken(caller, { id: endUser.id }, { scopes: ['events.get', 'connections.get'] }) },
    key: { ...caller, token: keys[0].key },
    other: { ...caller, token: keys[1].key },
    rotated: { ...caller, token: keys[2].key },
    expiringKey: { ...caller, token: keys[3].key },
    gone: { ...caller, token: await test.makeEndUserToken(caller, { id: gone.id }, goneScopes) },
  };
  const streams = Object.fromEntries(
    await Promise.all(Object.entries(who).map(async ([name, each]) => [name, await begin(each)] as const)),
  );
  const mutate = (by: TestGateway, text: string) =>
    by.query(caller, `mutation { result: ${text} { __typename ... on MutationError { code message } } }`);
  const code = async (stream: Stream) =>
    (await stream.rest()).filter(({ event }) => event).map(({ event, data }) => data?.errors?.[0].extensions.code ?? event);

  // An event tells that a key was revoked, though another copy has done it: nobody waits for the next check.
  await mutate(other, `revokeAPIKey(input: { apiKey: "${keys[0].id}" })`);
  expect((await code(streams.key!)).slice(-2)).toEqual(['UNAUTHENTICATED', 'complete']);

  await mutate(other, `rotateAPIKey(input: { apiKey: "${keys[2].id}" })`);
  expect((await code(streams.rotated!)).slice(-2)).toEqual(['UNAUTHENTICATED', 'complete']);

  // What goes along with an end user is told to its page, and nothing after that.
  await mutate(other, `deleteEndUser(input: { endUser: { id: "${gone.id}" }, force: true })`);
  const last = await streams.gone!.event();
  expect([last.type, last.objectType]).toEqual(['DELETED', 'CREDENTIAL']);
  expect(await code(streams.gone!)).toEqual(['UNAUTHENTICATED', 'complete']);

  // An event is shown to nobody whose token ended before.
  const until = await begin({ ...caller, claims: { sub: 'until', iat: now - 10 } });
  await mutate(test, 'revokeTokens(input: { subject: "until" })');
  test.elapsed += 1_001;
  await change(test, caller, id, 'after the token');
  expect(await code(until)).toEqual(['UNAUTHENTICATED', 'complete']);

  await mutate(test, 'revokeTokens(input: { subject: "revoked" })');
  await mutate(other, `revokeEndUserTokens(input: { endUser: { id: "${endUser.id}" } })`);
  await pass(7_000);
  for (const name of ['revoked', 'endUser']) expect((await code(streams[name]!)).slice(-2), name).toEqual(['UNAUTHENTICATED', 'complete']);

  test.time = () => new Date((now + 70) * 1_000);
  await pass(7_000);
  expect((await code(streams.expiring!)).slice(-2)).toEqual(['UNAUTHENTICATED', 'complete']);
  await pass(40_000);
  expect((await code(streams.expiringKey!)).slice(-2)).toEqual(['UNAUTHENTICATED', 'complete']);
  test.time = () => new Date();

  // The other key still listens.
  await change(other, caller, id, 'still');
  for (
    let event = await streams.other!.event();
    event.type !== 'UPDATED' || event.objectType !== 'INTEGRATION';
    event = await streams.other!.event()
  );
  // With the organization, all of its streams end.
  const ofOne = await begin({ ...caller, claims: { sub: 'one' } });
  await other.gateway.deleteOrganization(caller.organization);
  for (const stream of [ofOne, streams.other!]) expect((await code(stream)).slice(-2)).toEqual(['UNAUTHENTICATED', 'complete']);
});

it('gives the objects of events as they are when the event is told', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const { events } = await test.query(caller, '{ events { readUpTo } }');
  for (let count = 0; count < 2; count++) await change(test, caller, id, `change ${count}`);
  const query = `subscription ($after: String) {
    events(after: $after) { snapshot { version } object { ... on Integration { version } } integration { version } }
  }`;
  const stream = new Stream(await open(caller, { query, variables: { after: events.readUpTo } }));
  const told = (then: number, now: number) => ({ snapshot: { version: then }, object: { version: now }, integration: { version: now } });
  expect([await stream.event(), await stream.event()]).toEqual([told(2, 3), told(3, 3)]);
  // What was read for an earlier event is not kept.
  await change(other, caller, id, 'the last one');
  expect(await stream.event()).toEqual(told(4, 4));
  await stream.close();
});

it('ends what is not read, and limits how many listen', async () => {
  const caller = { organization: test.newOrganization(), claims: { sub: 'reader' } };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const authorization = `Bearer ${await test.token(caller)}`;
  const begun = {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization },
    // A large result for each event.
    body: JSON.stringify({
      query: `subscription { events { ${Array.from({ length: 49 }, (_, index) => `a${index}: objectId`).join(' ')} } }`,
    }),
  };
  const [one, another] = await Promise.all(
    [1, 2].map(async () => (await test.gateway.fetch(new Request('http://gateway.test/graphql', begun))).body),
  );
  for (let count = 0; count < 20; count++) await change(test, caller, id, `change ${count}`);
  const reader = await begin(caller);
  await change(test, caller, id, 'the last one');
  expect((await reader.event()).snapshot.version).toBe(22);
  // They have been written no more than what fits. After half a minute they are ended with a reason, and after another one altogether.
  const longAfter = async () => {
    await pass(31_000);
    for (let tries = 0; tries < 50; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await longAfter();
  const unread = await new Response(one).text();
  expect(unread.length).toBeLessThan(40 * 1024);
  expect(unread).toMatch(
    /event: next\ndata: \{"errors":\[\{"message":"The stream was not read .*"code":"TIMEOUT".*\n\nevent: complete\ndata:\n\n$/,
  );
  await longAfter();
  await expect(new Response(another).text()).rejects.toThrow();
  await reader.close();

  const streams = await Promise.all(Array.from({ length: 50 }, () => begin(caller)));
  const refused = await open(caller, { query: SUBSCRIPTION });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '10']);
  const [{ message, extensions }] = ((await refused.json()) as Json).errors;
  expect(extensions).toMatchObject({
    code: 'LIMIT_EXCEEDED',
    limit: 'MAX_LISTENERS_PER_VIEWER',
    maximum: 50,
  });
  expect(message).toMatch(/^There are too many live queries: the maximum is 50 \(MAX_LISTENERS_PER_VIEWER\)\. End one/);
  // Another subject still can.
  await (await begin({ ...caller, claims: { sub: 'another' } })).close();
  for (const stream of streams) await stream.close();
  // The places are given back when the gateway notices that the clients have gone.
  for (let status = 429; status === 429; ) {
    const response = await open(caller, { query: SUBSCRIPTION });
    status = response.status;
    await response.body!.cancel();
  }
});

it('says that events were lost, and not less, when it cannot read them any more', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const stream = await begin(caller);
  const { start } = stream;
  await change(test, caller, id, 'one');
  const first = await stream.event();
  // The database goes back to an earlier time: the position will soon belong to another event.
  const heads = test.database.collection('eventHeads');
  const after = await heads.findOne({ organizationId: caller.organization });
  await change(test, caller, id, 'two');
  await stream.event();
  await heads.replaceOne({ organizationId: caller.organization }, after!);
  expect((await stream.rest()).map(({ event, data }) => data?.errors[0].extensions.code ?? event)).toEqual(['CURSOR_EXPIRED', 'complete']);
  await test.database.collection('events').deleteMany({ organizationId: caller.organization, position: { $gt: positionOf(first.cursor) } });
  // All are old after a month.
  test.time = () => new Date(Date.now() + 40 * 86_400_000);
  await test.gateway.events.run();
  test.time = () => new Date();
  const late = await listen(caller, { after: start });
  expect((await late.rest()).map(({ event, data }) => data?.errors[0].extensions.code ?? event)).toEqual(['CURSOR_EXPIRED', 'complete']);
});

it('tells of altered events what the query tells', async () => {
  const world = await seedBoundWorld(test);
  const { caller, ids } = world;
  const limited = {
    ...caller,
    token: (await test.makeAPIKey(caller, { scopes: ['all.Organization'], integration: { id: ids.integration } })).key,
  };
  const events = test.database.collection('events');
  const listeners = await Promise.all(
    (
      [
        [caller, { types: ['UPDATED'] }],
        [limited, {}],
        [caller, {}],
      ] as const
    ).map(async ([who, variables]) => ({
      who,
      variables,
      stream: await begin(who, variables),
    })),
  );
  const [first] = await events.find({ organizationId: caller.organization }).sort({ position: -1 }).limit(1).toArray();
  // Somebody else writes what would come next.
  await events.insertOne({ ...first, _id: 'e'.repeat(24) as never, type: 'UPDATED', position: `${first!.position}5` });
  await change(other, caller, ids.integration, 'one');
  for (const { who, variables, stream } of listeners) {
    const { nodes, upTo } = await listed(who, { ...variables, after: stream.start });
    expect(await whileTimePasses(() => readUpTo(stream, upTo))).toEqual(nodes);
    expect(nodes.some(({ integrity }) => integrity === 'ALTERED')).toBe(who !== limited);
    expect(nodes.at(-1).integrity).toBe('INTACT');
    await stream.close();
  }
});

it('lets who is over the rate limit wait, and ends all when it stops', async () => {
  const own = new TestGateway();
  Object.assign(own, { uri: test.uri, databaseName: test.databaseName, runsJobs: true });
  own.limits = {
    rateLimit: 20,
    organizationRateLimit: 0,
    anonymousRateLimit: 0,
    maxListeners: 4,
    maxListenersPerOrganization: 2,
  };
  await own.open([test.masterKey]);
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const ownDoor = await serve((request, response) => own.gateway.requestListener(request, response));
  const openHere = async (who: Caller) =>
    fetch(`${ownDoor.origin}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${await test.token(who)}` },
      body: JSON.stringify({ query: SUBSCRIPTION }),
    });
  const stream = new Stream(await openHere(caller));
  const { id: start } = (await stream.next())!;

  // The limits of the organization, of its end users and of the process.
  const refusal = async (who: Caller) => {
    const { status, headers, ...rest } = await openHere(who).then(async (response) => ({
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Json,
    }));
    const [{ message, extensions }] = rest.body.errors;
    expect([status, headers.get('retry-after'), extensions.code]).toEqual([429, '10', 'LIMIT_EXCEEDED']);
    expect(message).toContain(`the maximum is ${extensions.maximum} (${extensions.limit}). End one that is not needed, or try again in 10`);
    return [extensions.limit, extensions.maximum];
  };
  const second = { organization: test.newOrganization() };
  const { id: ofSecond } = await test.create(second, 'Integration', { name: 'crm' });
  const endUsers = await Promise.all(
    ['ada', 'bob'].map(async (externalId) => {
      const made = await test.create(second, 'EndUser', { integration: { id: ofSecond }, externalId });
      return { ...second, token: await test.makeEndUserToken(second, { id: made.id }, { scopes: ['events.get'] }) };
    }),
  );
  const subject = (sub: string) => ({ ...caller, claims: { sub } });
  expect((await openHere(subject('one'))).status).toBe(200);
  expect(await refusal(subject('another'))).toEqual(['MAX_LISTENERS_PER_ORGANIZATION', 2]);
  expect((await openHere(endUsers[0]!)).status).toBe(200);
  expect(await refusal(endUsers[1]!)).toEqual(['MAX_LISTENERS_PER_ORGANIZATION', 1]);
  expect((await openHere({ organization: test.newOrganization() })).status).toBe(200);
  expect(await refusal({ organization: test.newOrganization() })).toEqual(['MAX_LISTENERS', 4]);

  for (let count = 0; count < 10; count++) await change(test, caller, id, `change ${count}`);
  const first = await stream.event();
  expect(first.snapshot.version).toBe(2);
  const reading = stream.rest();
  for (let count = 0; count < 5; count++) await change(test, caller, id, `more ${count}`);
  own.gateway.endLiveQueries();
  const rest = await reading;
  expect(rest.filter(({ data }) => data?.errors)).toEqual([]);
  expect(rest.at(-1)).toEqual({ event: 'complete' });
  expect(rest.length).toBeLessThan(8);
  // It goes on at another copy, with nothing missing.
  const told = [first, ...rest.flatMap(({ data }) => data?.data.events ?? [])];
  const again = await listen(caller, {}, { 'last-event-id': told.at(-1).cursor });
  while (told.length < 15) told.push(await again.event());
  await again.close();
  expect(told.map(({ snapshot }) => snapshot.version)).toEqual(Array.from({ length: 15 }, (_, index) => index + 2));
  expect((await listed(caller, { after: start })).nodes.map(({ cursor }) => cursor)).toEqual(told.map(({ cursor }) => cursor));
  const refused = await openHere({ ...caller, claims: { sub: 'x' } });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  await ownDoor.stop();
  await own.close();
});
