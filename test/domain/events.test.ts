import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exampleCertificate, exampleKey } from '../../src/credential-kinds/examples-pem.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import type { Store } from '../../src/store/index.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { openCopy, openStore } from '../vault.ts';

const test = useTestGateway();
/** Another copy of the gateway on the same database, with a clock that is late. */
let second: Gateway;
let stores: Store;
beforeAll(async () => {
  second = await openCopy(test, { now: () => new Date(test.time().getTime() - 5_000) });
  stores = await openStore(test);
});
afterAll(async () => {
  await stores.close();
  await second.stop();
});

const DAY = 24 * 3_600_000;
const FIELDS =
  'type action reason objectType objectId causeId integrationId endUserId createdBy { kind subject } snapshot { version credentialCount } expiry { what days }';

async function page(caller: Caller, args: object = {}): Promise<Json> {
  const { events } = await test.query(
    caller,
    `query ($first: Int, $after: String, $types: [EventType!], $integration: IntegrationRef, $endUser: EndUserRef) {
      events(first: $first, after: $after, types: $types, integration: $integration, endUser: $endUser) {
        nodes { ${FIELDS} } readUpTo pageInfo { hasNextPage endCursor }
      }
    }`,
    args,
  );
  return events;
}

/** Sends an operation to the second copy, which knows no issuer, with an API key. */
async function onSecond(key: string, query: string, variables: object): Promise<Json> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
  const response = await second.fetch(
    new Request('http://gateway.test/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) }),
  );
  return response.json();
}

const RENAME =
  'mutation ($input: UpdateIntegrationInput!) { result: updateIntegration(input: $input) { ... on UpdateIntegrationSuccess { integration { version } } ... on MutationError { code } } }';

async function mutate(caller: Caller, name: string, input: object): Promise<Json> {
  const typeName = name[0]!.toUpperCase() + name.slice(1);
  const query = `mutation ($input: ${typeName}Input!) { result: ${name}(input: $input) { __typename ... on MutationError { code message } } }`;
  const { result } = await test.query(caller, query, { input });
  return result;
}

it('gives each event to each reader exactly once, in one order, while two copies write and number', async () => {
  const caller = { organization: test.newOrganization() };
  const ids: string[] = [];
  for (let n = 0; n < 6; n++) ids.push((await test.create(caller, 'Integration', { name: `i${n}` })).id);
  const { key } = await test.makeAPIKey(caller, { scopes: ['integrations.get', 'integrations.patch'] });
  const ROUNDS = 8;
  let isOver = false;
  let woken = 0;
  const end = test.gateway.events.onNumbered((organization) => {
    if (organization === caller.organization) woken++;
  });
  const writer = async (id: string, at: number) => {
    for (let round = 0; round < ROUNDS; round++) {
      const input = { integration: { id }, description: `round ${round}` };
      const { data } = at % 2 ? await onSecond(key, RENAME, { input }) : await test.answer(caller, RENAME, { input });
      expect(data.result).toEqual({ integration: { version: round + 2 } });
    }
  };
  const reader = async (size: number): Promise<Json[]> => {
    const seen: Json[] = [];
    for (let after: string | null = null; ; ) {
      const last = isOver;
      const { nodes, readUpTo, pageInfo }: Json = await page(caller, { first: size, after });
      seen.push(...nodes);
      after = readUpTo;
      if (last && !pageInfo.hasNextPage) return seen;
    }
  };
  const writing = Promise.all(ids.map(writer)).finally(() => {
    isOver = true;
  });
  const [, small, large] = await Promise.all([writing, reader(3), reader(100)]);
  end();
  expect(woken).toBeGreaterThan(0);
  expect(small).toEqual(large);
  const ofKey = small.filter(({ objectType }) => objectType === 'API_KEY').map(({ type }) => type);
  expect(ofKey).toEqual(['CREATED', 'FIRST_USED']);
  const ofIntegrations = small.filter(({ objectType }) => objectType === 'INTEGRATION');
  const all = ofIntegrations.map(({ objectId, snapshot: { version } }) => `${objectId} ${version}`);
  expect(new Set(all).size).toBe(all.length);
  expect(all).toHaveLength(ids.length * (ROUNDS + 1));
  // Though the clock of one copy is late, what happened to one object is in the order of its versions.
  for (const id of ids) {
    const versions = ofIntegrations.filter(({ objectId }) => objectId === id).map(({ snapshot }) => snapshot.version);
    expect(versions).toEqual(Array.from({ length: ROUNDS + 1 }, (_, n) => n + 1));
  }
  const newest = await test.gateway.events.newest([caller.organization, 'nobody']);
  expect([...newest]).toEqual([[caller.organization, String(small.length).padStart(16, '0')]]);
  // Also when both have changed it before somebody reads.
  const { readUpTo } = await page(caller, { first: 100 });
  for (let round = 0; round < 4; round++) {
    const input = { integration: { id: ids[0] }, description: `in turn ${round}` };
    await (round % 2 ? onSecond(key, RENAME, { input }) : test.answer(caller, RENAME, { input }));
  }
  const { nodes } = await page(caller, { first: 100, after: readUpTo });
  const inTurn = nodes.filter(({ objectId }: Json) => objectId === ids[0]).map(({ snapshot }: Json) => snapshot.version);
  expect(inTurn).toEqual([2, 3, 4, 5].map((n) => n + ROUNDS));
  // What somebody else has written beyond the newest event is not read.
  const events = test.database.collection<Json>('events');
  const last = await events.findOne({ organizationId: caller.organization }, { sort: { position: -1 } });
  await events.insertOne({ ...last, _id: 'e'.repeat(24), position: '5'.repeat(16) } as never);
  expect((await page(caller, { first: 100, after: readUpTo })).nodes).toEqual(nodes);
}, 120_000);

it('gives positions once for all who ask at the same time, and everybody sees what was done before', async () => {
  const caller = { organization: test.newOrganization() };
  await page(caller);
  let pages: Json[] = [];
  const names = await test.countCommands(async () => {
    await test.create(caller, 'Integration', { name: 'i' });
    pages = await Promise.all(Array.from({ length: 20 }, () => page(caller, { first: 1 })));
  });
  expect(pages.map(({ nodes }) => nodes.length)).toEqual(pages.map(() => 1));
  // That of the mutation, and few that give positions: many at once would refuse each other.
  expect(names.filter((name) => /^(commit|abort)Transaction$/.test(name)).length).toBeLessThanOrEqual(8);
});

it('does not lose what commits late, nor what a process has committed before it was killed', async () => {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'first' });
  const [{ readUpTo: start }] = [await page(caller)];
  const store = stores.of(caller.organization);
  const base = { organizationId: caller.organization, version: 1, createdAt: new Date(0), updatedAt: new Date(0), description: null };
  let proceed = () => {};
  const gate = new Promise<void>((resolve) => {
    proceed = resolve;
  });
  let wrote = () => {};
  const isWritten = new Promise<void>((resolve) => {
    wrote = resolve;
  });
  // No entry of the audit log ends it, and the process that commits it numbers nothing.
  const late = store.transaction(async () => {
    await store.integrations.insert({ ...base, id: '0'.repeat(24), name: 'late' });
    wrote();
    await gate;
  });
  await isWritten;
  await test.create(caller, 'Integration', { name: 'meanwhile' });
  const before = await page(caller, { after: start });
  expect(before.nodes.map(({ createdBy }: Json) => createdBy.kind)).toEqual(['TOKEN']);
  proceed();
  await late;
  const after = await page(caller, { after: before.readUpTo });
  expect(after.nodes).toMatchObject([
    { type: 'CREATED', action: null, createdBy: { kind: 'GATEWAY', subject: '(credential-gateway)' }, snapshot: { version: 1 } },
  ]);
  // What is aborted has not happened.
  await expect(
    store.transaction(async () => {
      await store.integrations.insert({ ...base, id: '1'.repeat(24), name: 'never' });
      throw new Error('given up');
    }),
  ).rejects.toThrow('given up');
  expect((await page(caller, { after: after.readUpTo })).nodes).toEqual([]);
  // Whoever can write to the database can say that an entry has new events, but they come once, and forged ones never.
  const entries = test.database.collection<Json>('auditEntries');
  const own = { organizationId: caller.organization };
  await entries.updateMany({ ...own, events: { $exists: true } }, { $set: { hasNewEvents: true } });
  const [entry] = await entries.find({ ...own, events: { $exists: true } }).toArray();
  await entries.insertOne({ ...entry, _id: 'f'.repeat(24), number: 10_000, events: [{ ...entry!.events[0], id: '2'.repeat(24) }] });
  await test.database
    .collection<Json>('outbox')
    .insertOne({ _id: '3'.repeat(24), ...own, events: [{ ...entry!.events[0], id: '4'.repeat(24) }], mac: String(entry!.mac) });
  expect((await page(caller, { after: after.readUpTo })).nodes).toEqual([]);
  expect(await entries.countDocuments({ ...own, hasNewEvents: true })).toBe(0);
  expect(await test.database.collection('outbox').countDocuments(own)).toBe(0);
  // A change of the whole organization at once is more than one entry of the audit log carries.
  const { id } = await test.create(caller, 'Integration', { name: 'large' });
  const endUser = await test.create(caller, 'EndUser', { integration: { id }, externalId: 'owner' });
  const connections = Array.from({ length: 70 }, (_, n) => ({ name: `c${n}`, endUser: { id: endUser.id } }));
  await mutate(caller, 'importConnections', { integration: { id }, connections });
  const { readUpTo } = await page(caller, { first: 100 });
  expect(await mutate(caller, 'deleteIntegration', { integration: { id }, force: true })).toEqual({
    __typename: 'DeleteIntegrationSuccess',
  });
  const { nodes } = await page(caller, { first: 100, after: readUpTo });
  expect(nodes).toHaveLength(72);
  for (const event of nodes) {
    const isOwn = event.objectId === id;
    expect(event).toMatchObject({
      ...{ type: 'DELETED', reason: isOwn ? 'REQUESTED' : 'CASCADE', causeId: isOwn ? null : id, action: 'deleteIntegration' },
      ...{ integrationId: id, createdBy: { kind: 'TOKEN', subject: 'tester' } },
    });
  }
}, 60_000);

it('shows a reader only what it may read itself, and refuses what is not a filter or a cursor of this list', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = await test.create(caller, 'Integration', { name: 'crm' });
  const other = await test.create(caller, 'Integration', { name: 'shop' });
  const [ada, bob] = [
    await test.create(caller, 'EndUser', { integration: { id: integration.id }, externalId: 'ada' }),
    await test.create(caller, 'EndUser', { integration: { id: integration.id }, externalId: 'bob' }),
  ];
  const credential = (endUser: object | null, name: string) =>
    test.create(caller, 'Credential', { integration: { id: integration.id }, endUser, name, data: { string: { value: 'v' } } });
  const [own, , shared] = [await credential({ id: ada.id }, 'a'), await credential({ id: bob.id }, 'b'), await credential(null, 's')];
  const key = await test.makeAPIKey(caller, { scopes: ['events.get', 'credentials.get'], integration: { id: integration.id } });
  const token = await test.makeEndUserToken(caller, { id: ada.id }, { scopes: ['events.get', 'credentials.get', 'endUsers.get'] });
  const idsOf = async (reader: Caller, args: object = {}) => (await page(reader, args)).nodes.map(({ objectId }: Json) => objectId);

  const all = await idsOf(caller);
  expect(all).toHaveLength(8);
  expect(await idsOf({ ...caller, scopes: ['events.get'] })).toEqual([]);
  expect(await idsOf({ ...caller, scopes: ['events.get', 'endUsers.get'] })).toEqual([ada.id, bob.id]);
  expect(await idsOf({ ...caller, token: key.key })).toHaveLength(3);
  expect(await idsOf({ ...caller, token })).toEqual([ada.id, own.id]);
  // Whoever did it, a limited viewer does not learn the subject of the issuer's token.
  expect((await page({ ...caller, token })).nodes[0].createdBy).toEqual({ kind: 'TOKEN', subject: null });
  expect(await idsOf(caller, { integration: { id: other.id } })).toEqual([other.id]);
  expect(await idsOf(caller, { endUser: { id: ada.id } })).toEqual([ada.id, own.id]);
  expect(await idsOf(caller, { types: ['DELETED'] })).toEqual([]);
  const { data } = await test.answer(caller, '{ events(first: 100) { nodes { id objectId } } }');
  const ofShared = data.events.nodes.find(({ objectId }: Json) => objectId === shared.id).id;
  const node = async (reader: Caller) => (await test.query(reader, 'query ($id: ID!) { node(id: $id) { id } }', { id: ofShared })).node;
  expect([await node(caller), await node({ ...caller, token }), await node({ ...caller, scopes: ['events.get'] })]).toEqual([
    { id: ofShared },
    null,
    null,
  ]);

  const codeOf = async (reader: Caller, args: string) => {
    const { errors } = await test.answer(reader, `{ events(${args}) { nodes { id } } }`);
    return errors?.map(({ message, extensions: { code } }) => `${code}: ${message}`);
  };
  const confined = { ...caller, token: key.key };
  // Unknown and forbidden are one answer.
  expect(
    await codeOf(
      {
        ...caller,
        token: (await test.makeAPIKey(caller, { scopes: ['events.get', 'integrations.get'], integration: { id: integration.id } })).key,
      },
      `integration: { id: "${other.id}" }`,
    ),
  ).toEqual(await codeOf(caller, 'integration: { name: "none" }'));
  expect((await codeOf(confined, 'types: [NOTHING]'))?.[0]).toMatch(/^(GRAPHQL_VALIDATION_FAILED|BAD_USER_INPUT)/);
  for (const first of [0, -1, 101]) expect((await codeOf(caller, `first: ${first}`))?.[0]).toMatch(/^VALIDATION_FAILED/);
  const { integrations } = await test.query(caller, '{ integrations(first: 1) { pageInfo { endCursor } } }');
  expect((await codeOf(caller, `after: "${integrations.pageInfo.endCursor}"`))?.[0]).toMatch(/^VALIDATION_FAILED/);
  expect((await codeOf({ ...caller, scopes: ['credentials.get'] }, 'first: 1'))?.[0]).toMatch(/^FORBIDDEN/);
}, 60_000);

it('says that a cursor is too old, only when events are gone, and never skips them', async () => {
  const caller = { organization: test.newOrganization() };
  const start = Date.now();
  try {
    test.time = () => new Date(start);
    for (const name of ['a', 'b', 'c']) await test.create(caller, 'Integration', { name });
    const { pageInfo: first } = await page(caller, { first: 1 });
    test.time = () => new Date(start + 20 * DAY);
    await test.create(caller, 'Integration', { name: 'd' });
    const { readUpTo } = await page(caller, { types: ['DELETED'] });
    test.time = () => new Date(start + 31 * DAY);
    // The first run announces what the next one deletes.
    await test.gateway.events.run();
    await second.events.run();
    const left = () => test.database.collection('events').countDocuments({ organizationId: caller.organization });
    expect(await left()).toBe(4);
    const { errors } = await test.answer(caller, `{ events(after: "${first.endCursor}") { nodes { id } } }`);
    expect(errors).toMatchObject([{ extensions: { code: 'CURSOR_EXPIRED' } }]);
    // Nothing that the filter leaves out makes a cursor too old: it had read that far.
    expect((await page(caller, { after: readUpTo })).nodes).toEqual([]);
    test.time = () => new Date(start + 31 * DAY + 120_000);
    await test.gateway.events.run();
    expect(await left()).toBe(1);
    expect((await page(caller)).nodes).toHaveLength(1);
    await test.create(caller, 'Integration', { name: 'e' });
    expect((await page(caller, { after: readUpTo })).nodes).toHaveLength(1);
  } finally {
    test.time = () => new Date();
  }
}, 60_000);

it('goes on whatever somebody else writes to the database: nothing is lost, repeated or taken for an event', async () => {
  const caller = { organization: test.newOrganization() };
  const own = { organizationId: caller.organization };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const limited = await test.makeAPIKey(caller, { scopes: ['events.get', 'integrations.get'], integration: { id } });
  const few = { ...caller, scopes: ['events.get', 'integrations.get'] };
  await test.query(few, '{ events { readUpTo } }');
  const collection = (name: string) => test.database.collection<Json>(name);
  const [events, heads, outbox] = [collection('events'), collection('eventHeads'), collection('outbox')];
  /** The newest event that is where the gateway has put it. */
  const newest = async () => {
    const { newest: position } = await head();
    return (await events.findOne({ ...own, position }))!;
  };
  const head = async () => (await heads.findOne(own))!;
  const store = stores.of(caller.organization);
  let made = 0;
  /** Commits a change, which this process does not number, and returns its box. */
  const commit = async (): Promise<Json> => {
    const times = { createdAt: new Date(), updatedAt: test.time() };
    const name = `n${++made}`;
    const record = {
      ...times,
      id: String(made).padStart(24, '0'),
      organizationId: caller.organization,
      version: 1,
      name,
      description: null,
    };
    await store.transaction(() => store.integrations.insert(record));
    return (await outbox.findOne(own))!;
  };
  let forged = 0;
  const forge = (event: Json, changes: object) => ({ ...event, _id: `f${String(++forged).padStart(23, '0')}`, ...changes });
  const after = ({ position }: Json, by = 1) => String(Number(position) + by).padStart(16, '0');

  const viewers: Record<string, Caller> = { all: caller, few, limited: { ...caller, token: limited.key } };
  const cursors: Record<string, string | null> = {};
  const QUERY = '{ nodes { id integrity type objectId cursor } readUpTo pageInfo { hasNextPage endCursor } }';
  /** Reads on, and returns what the gateway itself has written. */
  const read = async (name: string): Promise<Json[]> => {
    const nodes: Json[] = [];
    for (let pages = 0; pages < 10; pages++) {
      const { events: got } = await test.query(viewers[name]!, `query ($after: String) { events(first: 50, after: $after) ${QUERY} }`, {
        after: cursors[name] ?? null,
      });
      nodes.push(...got.nodes);
      // Both ways to continue lead to the same.
      expect(got.pageInfo.endCursor !== null || !got.pageInfo.hasNextPage).toBe(true);
      cursors[name] = got.pageInfo.hasNextPage && pages % 2 ? got.pageInfo.endCursor : got.readUpTo;
      if (!got.pageInfo.hasNextPage) {
        if (name === 'limited') expect(nodes.filter(({ integrity }) => integrity !== 'INTACT')).toEqual([]);
        return nodes.filter(({ integrity, type }) => integrity === 'INTACT' && type !== 'FIRST_USED');
      }
    }
    throw new Error(`${name} reads the same again and again.`);
  };
  const readAll = async () => Promise.all(Object.keys(viewers).map(read));
  await readAll();

  const attacks: Readonly<Record<string, () => Promise<unknown>>> = {
    nothing: async () => {},
    'an event at the next position': async () => events.insertOne(forge(await newest(), { position: after(await newest()) })),
    'events at positions to come': async () =>
      events.insertMany([2, 3, 4].map((by) => forge({ ...own, type: 'UPDATED' }, { position: String(by).repeat(16) }))),
    'more altered events in a row than a page has': async () => {
      const last = await newest();
      await commit();
      await page(caller);
      await events.insertMany(
        Array.from({ length: 230 }, (_, n) =>
          forge(last, { position: `${last.position}${n % 2 ? 'a' : ''}${String(n).padStart(4, '0')}` }),
        ),
      );
      await events.insertMany(
        Array.from({ length: 120 }, (_, n) => forge(last, { _id: forged * 1_000 + n, position: `${last.position}b${n}` })),
      );
    },
    'events whose positions are no texts': async () =>
      events.insertMany(Array.from({ length: 120 }, (_, n) => forge({ ...own, type: 'UPDATED' }, { position: n }))),
    'another event under the id of one to come': async () => {
      const box = await commit();
      await events.insertOne({ ...(await newest()), _id: box.events[0].id, position: `${(await newest()).position}c` });
    },
    'the same in another organization': async () => {
      const box = await commit();
      await events.insertOne({ ...(await newest()), _id: box.events[0].id, organizationId: 'another' });
    },
    'a box again': async () => {
      const box = await commit();
      await page(caller);
      await outbox.insertOne(box);
    },
    'a box with another event': async () => {
      const box = await commit();
      await outbox.insertOne({ ...box, _id: 'e'.repeat(24), events: [{ ...box.events[0], id: 'd'.repeat(24) }] });
    },
    'a head without its MAC': async () => heads.updateOne(own, { $set: { newest: '0'.repeat(16) } }),
    'a head that is far ahead': async () => heads.updateOne(own, { $set: { newest: '9'.repeat(15).padStart(16, '0') } }),
    'no head': async () => heads.deleteMany(own),
    'no head, and no newest event': async () => {
      await events.deleteOne({ _id: (await newest())._id });
      await heads.deleteMany(own);
    },
    'a box in place of the head': async () => {
      const box = await commit();
      await heads.deleteMany(own);
      await heads.insertOne(box);
    },
    'an event in place of the head': async () => {
      const event = await newest();
      await heads.deleteMany(own);
      await heads.insertOne(event);
    },
    'a head of an earlier time': async () => {
      const before = await head();
      await commit();
      await readAll().then((all) => expect(all.map((nodes) => nodes.length)).toEqual([1, 1, 0]));
      await heads.replaceOne(own, before);
    },
    'the newest event changed': async () => events.updateOne({ _id: (await newest())._id }, { $set: { type: 'DELETED' } }),
    'an event less': async () => events.deleteOne({ ...own, position: `${'0'.repeat(15)}2` }),
  };
  for (const [name, attack] of Object.entries(attacks)) {
    const before = made;
    await attack();
    // One was read before the head was put back.
    const expected = made - before - (name === 'a head of an earlier time' ? 1 : 0);
    expect(await mutate(caller, 'updateIntegration', { integration: { id }, description: name }), name).toMatchObject({
      __typename: 'UpdateIntegrationSuccess',
    });
    const [all, some, mine] = await readAll();
    const types = (nodes: Json[]) => nodes.map(({ type }) => type).sort();
    const others = Array.from({ length: expected }, () => 'CREATED');
    expect(types(all!), name).toEqual([...others, 'UPDATED']);
    expect(types(some!), name).toEqual([...others, 'UPDATED']);
    expect(types(mine!), name).toEqual(['UPDATED']);
    // Nothing comes again.
    expect(await readAll(), name).toEqual([[], [], []]);
  }

  // What is deleted because it is old does not come back with what carried it.
  const box = await commit();
  await readAll();
  const start = Date.now();
  try {
    for (const minutes of [0, 2, 4]) {
      test.time = () => new Date(start + 31 * DAY + minutes * 60_000);
      await test.gateway.events.run();
    }
    expect(await events.countDocuments({ ...own, position: { $gte: '' } })).toBe(0);
  } finally {
    test.time = () => new Date();
  }
  await outbox.insertOne(box);
  await mutate(caller, 'updateIntegration', { integration: { id }, description: 'at last' });
  expect((await page(caller)).nodes).toMatchObject([{ type: 'UPDATED' }]);
}, 120_000);

it('tells once for each threshold that a credential is about to expire, with two copies, and as its integration says', async () => {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: 'crm' });
  const start = Date.now();
  const expiresAt = new Date(start + 40 * DAY);
  const credential = await test.create(caller, 'Credential', {
    integration: { id },
    name: 'c',
    expiresAt,
    data: { string: { value: 'v' } },
  });
  const { readUpTo } = await page(caller);
  const noticed = async () => {
    await Promise.all([test.gateway.events.noticeExpiries(), second.events.noticeExpiries()]);
    await Promise.all([test.gateway.events.noticeExpiries(), second.events.noticeExpiries()]);
    return (await page(caller, { after: readUpTo, types: ['ABOUT_TO_EXPIRE'] })).nodes.map(
      ({ expiry: { what, days } }: Json) => `${what} ${days}`,
    );
  };
  const at = (days: number) => {
    test.time = () => new Date(expiresAt.getTime() - days * DAY + 60_000);
  };
  try {
    expect(await noticed()).toEqual([]);
    at(30);
    expect(await noticed()).toEqual(['CREDENTIAL 30']);
    // A change of something else does not repeat it.
    expect(await mutate(caller, 'updateCredential', { credential: credential.id, description: 'x' })).toMatchObject({
      __typename: 'UpdateCredentialSuccess',
    });
    expect(await noticed()).toEqual(['CREDENTIAL 30']);
    expect(await mutate(caller, 'updateIntegration', { integration: { id }, expiryNotices: ['DAYS_14', 'DAYS_3'] })).toMatchObject({
      __typename: 'UpdateIntegrationSuccess',
    });
    expect(await noticed()).toEqual(['CREDENTIAL 30']);
    at(14);
    expect(await noticed()).toEqual(['CREDENTIAL 30', 'CREDENTIAL 14']);
    // Of several that are due at once, because nothing ran, the last one.
    await mutate(caller, 'updateIntegration', { integration: { id }, expiryNotices: ['DAYS_7', 'DAYS_3'] });
    await noticed();
    at(1);
    expect(await noticed()).toEqual(['CREDENTIAL 30', 'CREDENTIAL 14', 'CREDENTIAL 3']);
  } finally {
    test.time = () => new Date();
  }
}, 60_000);

it('tells what becomes due, or is due, when another expiry or the thresholds change before the job runs', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = { id: (await test.create(caller, 'Integration', { name: 'crm', expiryNotices: ['DAYS_7'] })).id };
  const expiry = new Date(new X509Certificate(exampleCertificate).validTo);
  const make = async (name: string) => {
    const data = { certificateKeyPair: { certificate: exampleCertificate, privateKey: exampleKey } };
    return (await test.create(caller, 'Credential', { integration, name, data, expiresAt: new Date(expiry.getTime() + DAY) })).id;
  };
  const [early, late, untouched] = [await make('early'), await make('late'), await make('untouched')];
  const expires = (credential: string) =>
    mutate(caller, 'updateCredential', { credential, expiresAt: new Date(expiry.getTime() + 2 * DAY) });
  const at = (seconds: number) => {
    test.time = () => new Date(expiry.getTime() - 7 * DAY + seconds * 1_000);
  };
  try {
    await test.gateway.events.noticeExpiries();
    const { readUpTo } = await page(caller);
    at(-10);
    await expires(early);
    at(10);
    await expires(late);
    const notices = { integration, expiryNotices: ['DAYS_14', 'DAYS_7'] };
    expect(await mutate(caller, 'updateIntegration', notices)).toMatchObject({ __typename: 'UpdateIntegrationSuccess' });
    at(20);
    await test.gateway.events.noticeExpiries();
    await test.gateway.events.noticeExpiries();
    const { nodes } = await page(caller, { after: readUpTo, types: ['ABOUT_TO_EXPIRE'] });
    const told = nodes.map(({ objectId, expiry: { what, days } }: Json) => [objectId, what, days]);
    expect(told.toSorted()).toEqual([early, late, untouched].map((id) => [id, 'CERTIFICATE', 7]).toSorted());
  } finally {
    test.time = () => new Date();
  }
}, 60_000);

it('tells it of certificates, and of tokens that nobody can renew, and once more when the time is another one', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = { id: (await test.create(caller, 'Integration', { name: 'crm', expiryNotices: ['DAYS_7'] })).id };
  const expiry = new Date(new X509Certificate(exampleCertificate).validTo);
  const make = (name: string, data: object) => test.create(caller, 'Credential', { integration, name, data });
  const { id: token } = await make('token', { oauth2Token: { scopes: [], accessToken: 'secret', accessTokenExpiresAt: expiry } });
  await make('renewed', { oauth2Token: { scopes: [], accessToken: 'secret', refreshToken: 'secret', accessTokenExpiresAt: expiry } });
  await make('certificate', { certificateKeyPair: { certificate: exampleCertificate, privateKey: exampleKey } });
  let { readUpTo } = await page(caller);
  const noticed = async () => {
    await Promise.all([test.gateway.events.noticeExpiries(), second.events.noticeExpiries()]);
    const found = await page(caller, { after: readUpTo });
    readUpTo = found.readUpTo;
    return found.nodes
      .filter(({ type }: Json) => type === 'ABOUT_TO_EXPIRE')
      .map(({ expiry: { what, days } }: Json) => `${what} ${days}`)
      .toSorted();
  };
  const before = async (time: Date, days: number) => {
    test.time = () => new Date(time.getTime() - days * DAY + 60_000);
    return noticed();
  };
  const setTime = (accessTokenExpiresAt: Date) =>
    mutate(caller, 'updateCredential', { credential: token, data: { oauth2Token: { accessTokenExpiresAt } } });
  try {
    expect(await noticed()).toEqual([]);
    expect(await before(expiry, 8)).toEqual([]);
    expect(await before(expiry, 7)).toEqual(['CERTIFICATE 7', 'TOKEN 7']);
    expect(await before(expiry, 6)).toEqual([]);
    const later = new Date(expiry.getTime() + 30 * DAY);
    expect(await setTime(later)).toMatchObject({ __typename: 'UpdateCredentialSuccess' });
    expect(await noticed()).toEqual([]);
    expect(await before(later, 8)).toEqual([]);
    // It is put off before anybody is told, and comes near again.
    const last = new Date(later.getTime() + 30 * DAY);
    expect(await setTime(last)).toMatchObject({ __typename: 'UpdateCredentialSuccess' });
    expect(await before(later, 7)).toEqual([]);
    expect(await before(last, 7)).toEqual(['TOKEN 7']);
  } finally {
    test.time = () => new Date();
  }
}, 60_000);

it('shows before what a deletion takes along: the same as the events tell after', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = { id: (await test.create(caller, 'Integration', { name: 'crm' })).id };
  const seed = async (name: string) => {
    const endUser = await test.create(caller, 'EndUser', { integration, externalId: name });
    const connector = await test.create(caller, 'Connector', { integration, name, baseUrl: 'https://api.example.com' });
    const credential = await test.create(caller, 'Credential', { integration, name, data: { string: { value: 'v' } } });
    const bindings = [
      { credential: { id: credential.id } },
      { credential: { create: { name: `own ${name}`, data: { string: { value: 'v' } } } } },
    ];
    const connection = (more: string) =>
      test.create(caller, 'Connection', {
        integration,
        connector: { id: connector.id },
        endUser: { id: endUser.id },
        name: more,
        actionCredentials: bindings.slice(0, more === name ? 2 : 1),
      });
    const first = await connection(name);
    await connection(`${name} 2`);
    await mutate(caller, 'updateEndUser', { endUser: { id: endUser.id }, primaryConnection: { id: first.id } });
    return { endUser: endUser.id, connector: connector.id, credential: credential.id, connection: first.id };
  };
  const PREVIEW = `query ($id: ID!, $which: DeletedCredentials) {
    preview: deletePreview(objectId: $id, deleteCredentials: $which) { needsForce effects { objectType effect count countPrecision } }
  }`;
  const previewOf = async (id: string, which = 'NONE') => (await test.query(caller, PREVIEW, { id, which })).preview;
  const counted = (nodes: Json[], id: string) => {
    const counts: Record<string, number> = {};
    for (const { type, objectType, objectId } of nodes) {
      if (objectId === id) continue;
      const key = `${objectType} ${type === 'DELETED' ? 'DELETED' : 'CHANGED'}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  };
  const cases: readonly (readonly [string, (s: Json) => string, (id: string) => object, string?])[] = [
    ['deleteConnection', (s) => s.connection, (id) => ({ connection: { id } })],
    ['deleteConnection', (s) => s.connection, (id) => ({ connection: { id }, deleteCredentials: 'UNUSED' }), 'UNUSED'],
    ['deleteCredential', (s) => s.credential, (id) => ({ credential: id, force: true })],
    ['deleteConnector', (s) => s.connector, (id) => ({ connector: { id }, force: true })],
    ['deleteEndUser', (s) => s.endUser, (id) => ({ endUser: { id }, force: true })],
    ['deleteIntegration', () => integration.id, (id) => ({ integration: { id }, force: true })],
  ];
  for (const [at, [name, idOf, inputOf, which]] of cases.entries()) {
    const id = idOf(await seed(`s${at}`));
    const { readUpTo } = await page(caller, { first: 100, types: ['DELETED'] });
    const { needsForce, effects } = await previewOf(id, which);
    expect(needsForce, name).toBe(name !== 'deleteConnection');
    const scopes = [`${name.replace('delete', '')[0]!.toLowerCase()}${name.replace('delete', '').slice(1)}s.delete`];
    const { errors } = await test.answer({ ...caller, scopes }, PREVIEW, { id, which: which ?? 'NONE' });
    const needed = effects.filter(({ objectType, effect }: Json) => objectType !== 'END_USER' || effect === 'DELETED');
    expect(errors?.[0].extensions.code, name).toBe(needed.length > 0 ? 'FORBIDDEN' : undefined);
    expect((await page(caller, { after: readUpTo })).nodes, name).toEqual([]);
    expect(await mutate(caller, name, inputOf(id))).toEqual({ __typename: `${name[0]!.toUpperCase()}${name.slice(1)}Success` });
    const { nodes } = await page(caller, { first: 100, after: readUpTo });
    expect(Object.fromEntries(effects.map(({ objectType, effect, count }: Json) => [`${objectType} ${effect}`, count])), name).toEqual(
      counted(nodes, id),
    );
    // Of two that are used, only the one that nothing else uses.
    if (which) expect(counted(nodes, id)['CREDENTIAL DELETED']).toBe(1);
    const gone = await test.answer(caller, PREVIEW, { id });
    expect(gone.errors?.[0].extensions.code).toBe('NOT_FOUND');
  }
}, 120_000);
