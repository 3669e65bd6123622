import { afterEach, describe, expect, it } from 'vitest';
import { nouns, nounTable } from '../../src/access/nouns.ts';
import type { Limits } from '../../src/limits.ts';
import { type Answer, type Caller, type Json, TestGateway } from '../harness.ts';
import { operation } from '../operations.ts';
import { useTestGateway } from './answers.ts';
import { newName } from './mutations.ts';

/** Seeds without limits. */
const test = useTestGateway();
const opened: TestGateway[] = [];
afterEach(async () => {
  for (const gateway of opened.splice(0)) await gateway.close();
});

/** A gateway on the same database, with other limits: another copy. */
async function withLimits(limits: Partial<Limits>): Promise<TestGateway> {
  const gateway = new TestGateway();
  const { uri, databaseName, masterKey } = test;
  Object.assign(gateway, { uri, databaseName, masterKey, limits: { ...test.limits, ...limits } });
  await gateway.open();
  opened.push(gateway);
  return gateway;
}

const run = (gateway: TestGateway, caller: Caller, name: string, input: object): Promise<Answer> => {
  const { query, variables } = operation(name, input);
  return gateway.answer(caller, query, variables);
};
const isDone = ({ data }: Answer) => data?.result.__typename.endsWith('Success') === true;
const refusal = (limit: string, maximum: number) => [expect.objectContaining({ extensions: { code: 'LIMIT_EXCEEDED', limit, maximum } })];

/** For each noun: the limit, the mutation that creates one, and the one that deletes it. */
const cases: Readonly<Record<string, { limit: keyof Limits; create: string; input: (integration: object) => object; delete: string }>> = {
  integration: { limit: 'maxIntegrations', create: 'createIntegration', input: () => ({ name: newName() }), delete: 'deleteIntegration' },
  connector: {
    limit: 'maxConnectors',
    create: 'createConnector',
    input: (integration) => ({ integration, name: newName(), baseUrl: 'https://api.example.com' }),
    delete: 'deleteConnector',
  },
  endUser: {
    limit: 'maxEndUsers',
    create: 'createEndUser',
    input: (integration) => ({ integration, externalId: newName() }),
    delete: 'deleteEndUser',
  },
  connection: {
    limit: 'maxConnections',
    create: 'createConnection',
    input: (integration) => ({ integration, name: newName() }),
    delete: 'deleteConnection',
  },
  credential: {
    limit: 'maxCredentials',
    create: 'createCredential',
    input: (integration) => ({ integration, name: newName(), data: { string: { value: 'v' } } }),
    delete: 'deleteCredential',
  },
  apiKey: {
    limit: 'maxAPIKeys',
    create: 'createAPIKey',
    input: () => ({ name: newName(), scopes: ['credentials.get'] }),
    delete: 'revokeAPIKey',
  },
  webhook: {
    limit: 'maxWebhooks',
    create: 'createWebhook',
    input: () => ({ url: 'https://hooks.example.com/' }),
    delete: 'deleteWebhook',
  },
};

async function seed() {
  const caller = { organization: test.newOrganization() };
  const { id } = await test.create(caller, 'Integration', { name: newName() });
  return { caller, integration: { id } };
}

/** What the counters say, and what there is. */
async function counts(organizationId: string): Promise<[Json, Json]> {
  const told: Record<string, number> = {};
  const slots = await test.database.collection('usage').find({ organizationId }).toArray();
  const there: Record<string, number> = { bytes: 0 };
  const plurals = nouns.filter((noun) => nounTable[noun].storedLimit !== null).map((noun) => nounTable[noun].plural);
  for (const name of [...plurals, 'bytes']) told[name] = slots.reduce((sum, slot) => sum + slot[name], 0);
  for (const name of [...plurals, 'secrets']) {
    const documents = await test.database.collection(name).find({ organizationId }).toArray();
    if (name !== 'secrets') there[name] = documents.length;
    there.bytes! += documents.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  return [told, there];
}

it('every noun that callers create has a case', () => {
  expect(Object.keys(cases).sort()).toEqual(nouns.filter((noun) => nounTable[noun].storedLimit !== null).sort());
});

describe.each(Object.entries(cases))('%s', (noun, { limit, create, input, delete: remove }) => {
  const setting = nounTable[noun as keyof typeof nounTable].storedLimit!;
  const most = 5;

  it('cannot be created beyond the limit, and can again after one was deleted', async () => {
    const { caller, integration } = await seed();
    const gateway = await withLimits({ [limit]: most });
    const ids: string[] = [];
    let answer = await run(gateway, caller, create, input(integration));
    for (; isDone(answer); answer = await run(gateway, caller, create, input(integration))) {
      const [payload] = Object.values(answer.data.result).filter((value) => typeof value === 'object') as Json[];
      ids.push(payload.id);
    }
    expect(answer.errors).toEqual(refusal(setting, most));
    expect(answer.status).toBe(200);
    expect(ids).toHaveLength(noun === 'integration' ? most - 1 : most);
    const [told, there] = await counts(caller.organization);
    expect(told).toEqual(there);
    expect(there[nounTable[noun as keyof typeof nounTable].plural]).toBe(most);
    const target = ['credential', 'apiKey', 'webhook'].includes(noun) ? ids[0] : { id: ids[0] };
    expect(isDone(await run(gateway, caller, remove, { [noun]: target }))).toBe(true);
    expect(isDone(await run(gateway, caller, create, input(integration)))).toBe(true);
    expect((await run(gateway, caller, create, input(integration))).errors).toEqual(refusal(setting, most));
  });

  it('cannot be created beyond the limit by two copies at once', async () => {
    const { caller, integration } = await seed();
    const copies = [await withLimits({ [limit]: most }), await withLimits({ [limit]: most })] as const;
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => run(copies[index % 2]!, caller, create, input(integration))),
    );
    const there = (await counts(caller.organization))[1][nounTable[noun as keyof typeof nounTable].plural];
    expect(there).toBeLessThanOrEqual(most);
    // An operation that ran out of time on a slow machine can have been carried out.
    expect(answers.filter(isDone).length).toBeLessThanOrEqual(there);
  });
});

describe('an end user', () => {
  it.each(['credential', 'connection'] as const)('cannot own more than its limit of each: %s', async (noun) => {
    const { caller, integration } = await seed();
    const endUser = { id: (await test.create(caller, 'EndUser', { integration, externalId: newName() })).id };
    const gateway = await withLimits({ maxOwned: 3 });
    const browser = { ...caller, token: await gateway.makeEndUserToken(caller, endUser) };
    const { create, input } = cases[noun]!;
    const answers = await Promise.all(Array.from({ length: 6 }, () => run(gateway, browser, create, input(integration))));
    expect(answers.filter(isDone).length).toBeLessThanOrEqual(3);
    let answer = answers[0]!;
    for (let tries = 0; tries < 4; tries++) answer = await run(gateway, browser, create, input(integration));
    expect(answer.errors).toEqual(refusal('MAX_OWNED', 3));
    // The others can go on.
    expect(isDone(await run(gateway, caller, create, input(integration)))).toBe(true);
  });

  it('cannot own more by way of a connection that creates credentials', async () => {
    const { caller, integration } = await seed();
    const endUser = { id: (await test.create(caller, 'EndUser', { integration, externalId: newName() })).id };
    const gateway = await withLimits({ maxOwned: 3 });
    const entry = () => ({ credential: { create: { name: newName(), data: { string: { value: 'v' } } } } });
    const make = (count: number) =>
      run(gateway, caller, 'createConnection', {
        integration,
        endUser,
        name: newName(),
        actionCredentials: Array.from({ length: count }, entry),
      });
    expect((await make(4)).errors).toEqual(refusal('MAX_OWNED', 3));
    expect(isDone(await make(3))).toBe(true);
  });
});

describe('bytes', () => {
  const large = (size: number) => ({ string: { value: 'x'.repeat(size) } });

  it('cannot be stored beyond the limit, by creating or by updating', async () => {
    const { caller, integration } = await seed();
    const gateway = await withLimits({ maxStoredBytes: 100_000 });
    const small = await gateway.create(caller, 'Credential', { integration, name: 'small', data: large(10) });
    let created = 0;
    let answer = await run(gateway, caller, 'createCredential', { integration, name: 'large', data: large(4_000) });
    for (; isDone(answer); created++) {
      answer = await run(gateway, caller, 'createCredential', { integration, name: 'large', data: large(4_000) });
    }
    expect(answer.errors).toEqual(refusal('MAX_STORED_BYTES', 100_000));
    expect(created).toBeGreaterThan(10);
    expect(created).toBeLessThan(25);
    // A secret in the place of another counts for what it adds.
    const replace = (size: number) => run(gateway, caller, 'updateCredential', { credential: small.id, data: large(size) });
    expect((await replace(9_000)).errors).toEqual(refusal('MAX_STORED_BYTES', 100_000));
    const connection = await run(await withLimits({}), caller, 'createConnection', { integration, name: 'connection' });
    const variables = Array.from({ length: 50 }, (_, index) => ({ name: `v${index}`, value: 'x'.repeat(1_000) }));
    const grow = { connection: { id: connection.data.result.connection.id }, variables };
    expect((await run(gateway, caller, 'updateConnection', grow)).errors).toEqual(refusal('MAX_STORED_BYTES', 100_000));
    const [told, there] = await counts(caller.organization);
    expect(told).toEqual(there);
  });
});

describe('the counters', () => {
  it('are right after everything that can be done, and gone with the organization', async () => {
    const { caller, integration } = await seed();
    const { organization } = caller;
    const endUser = { id: (await test.create(caller, 'EndUser', { integration, externalId: 'ada' })).id };
    const entry = () => ({ credential: { create: { name: newName(), data: { basicAuth: { username: 'a', password: 'b' } } } } });
    const input = { integration, endUser, name: 'connection', actionCredentials: [entry(), entry()] };
    const connection = await test.create(
      caller,
      'Connection',
      input,
      'id actionCredentials { credential { ... on CredentialBase { id } } }',
    );
    const [first] = connection.actionCredentials;
    await run(test, caller, 'updateCredential', { credential: first.credential.id, data: { basicAuth: { password: 'x'.repeat(900) } } });
    await run(test, caller, 'updateConnection', { connection: { id: connection.id }, name: 'y'.repeat(200), actionCredentials: [entry()] });
    await run(test, caller, 'deleteCredential', { credential: first.credential.id, force: true });
    await test.makeAPIKey(caller, { scopes: ['credentials.get'], integration });
    // What is refused changes nothing.
    await run(test, caller, 'createIntegration', { name: '' });
    await run(test, caller, 'createEndUser', { integration, externalId: 'ada' });
    const [told, there] = await counts(organization);
    expect(told).toEqual(there);
    expect(there).toMatchObject({ integrations: 1, credentials: 2, connections: 1, apiKeys: 1 });
    expect(isDone(await run(test, caller, 'deleteEndUser', { endUser, force: true }))).toBe(true);
    expect((await counts(organization))[0]).toEqual((await counts(organization))[1]);
    expect(isDone(await run(test, caller, 'deleteIntegration', { integration, force: true }))).toBe(true);
    const none = { integrations: 0, connectors: 0, endUsers: 0, connections: 0, credentials: 0, apiKeys: 0, webhooks: 0, bytes: 0 };
    expect(await counts(organization)).toEqual([none, none]);
    await test.gateway.deleteOrganization(organization);
    expect(await test.database.collection('usage').countDocuments({ organizationId: organization })).toBe(0);
  });

  it('of an organization that is older than they are begin with what there is', async () => {
    const { caller, integration } = await seed();
    const create = { integration, name: newName(), data: { string: { value: 'v' } } };
    for (let index = 0; index < 3; index++) await test.create(caller, 'Credential', create);
    await test.database.collection('usage').deleteMany({ organizationId: caller.organization });
    const gateway = await withLimits({ maxCredentials: 4 });
    expect(isDone(await run(gateway, caller, 'createCredential', create))).toBe(true);
    expect((await run(gateway, caller, 'createCredential', create)).errors).toEqual(refusal('MAX_CREDENTIALS', 4));
    const [told, there] = await counts(caller.organization);
    expect(told).toEqual(there);
  });

  it('of an earlier version, which had fewer, are kept, and the others are added', async () => {
    const { caller, integration } = await seed();
    const usage = test.database.collection<Json>('usage');
    const ofThis = { organizationId: caller.organization };
    const later = await usage.find({ ...ofThis, slot: { $gte: 16 } }).toArray();
    expect(later).toHaveLength(16);
    // What the missing ones have counted is in the first one.
    const names = Object.keys(later[0]!).filter((name) => typeof later[0]![name] === 'number' && name !== 'slot');
    const sums = Object.fromEntries(names.map((name) => [name, later.reduce((sum, slot) => sum + slot[name], 0)]));
    await usage.deleteMany({ ...ofThis, slot: { $gte: 16 } });
    await usage.updateOne({ ...ofThis, slot: 0 }, { $inc: sums });
    const ids = async () => (await usage.find({ ...ofThis, slot: { $lt: 16 } }).toArray()).map(({ _id }) => String(_id)).sort();
    const before = await ids();
    const gateway = await withLimits({});
    const create = { integration, name: newName(), data: { string: { value: 'v' } } };
    expect(isDone(await run(gateway, caller, 'createCredential', create))).toBe(true);
    expect(await ids()).toEqual(before);
    expect((await usage.distinct('slot', ofThis)).sort((a, b) => a - b)).toEqual(Array.from({ length: 32 }, (_, slot) => slot));
    const [told, there] = await counts(caller.organization);
    expect(told).toEqual(there);
  });
});

// Whoever writes to the database can change the counters, but no request may fail for it, and no limit end.
describe('counters that the gateway did not write', () => {
  const garbage = ['x', Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1e9, 1e300, [1], null, {}, true];

  it.each(garbage)('%j: they are counted again', async (value) => {
    const gateway = await withLimits({ maxIntegrations: 3 });
    const { caller } = await seed();
    const usage = test.database.collection<Json>('usage');
    const spoil = async () => {
      const [{ _id: _, organizationId: _organization, slot: _slot, ...counters }] = await usage
        .find({ organizationId: caller.organization })
        .toArray();
      const spoilt = Object.fromEntries(Object.keys(counters).map((name) => [name, value]));
      await usage.updateMany({ organizationId: caller.organization }, { $set: spoilt });
    };
    const create = () => run(gateway, caller, 'createIntegration', { name: newName() });
    await spoil();
    const second = await create();
    expect(second.data, second.text).toSatisfy(() => isDone(second));
    await spoil();
    const { data } = await test.answer(caller, '{ integrations { nodes { id } } }');
    expect(isDone(await run(gateway, caller, 'deleteIntegration', { integration: { id: data.integrations.nodes[0].id } }))).toBe(true);
    for (let made = 0; made < 2; made++) expect(isDone(await create())).toBe(true);
    expect((await create()).errors).toEqual(refusal('MAX_INTEGRATIONS', 3));
  });

  it.each(garbage)('%j as the size and the touches of each document', async (value) => {
    const gateway = await withLimits({ maxStoredBytes: 20_000 });
    const { caller } = await seed();
    const { id } = await test.create(caller, 'Integration', { name: newName() });
    const integration = { id };
    const store = (length: number) =>
      run(gateway, caller, 'createCredential', { integration, name: newName(), data: { string: { value: 'v'.repeat(length) } } });
    expect(isDone(await store(1_000))).toBe(true);
    for (const name of ['integrations', 'credentials', 'secrets', 'slots', 'organizations']) {
      const change = name === 'slots' || name === 'organizations' ? { touches: value } : { bytes: value, touches: value };
      const collection = test.database.collection<Json>(name);
      await collection.updateMany({ organizationId: caller.organization }, { $set: name === 'secrets' ? { bytes: value } : change });
    }
    const stored = await store(1_000);
    expect(stored.data, stored.text).toSatisfy(() => isDone(stored));
    const key = await run(gateway, caller, 'createAPIKey', { name: newName(), scopes: ['credentials.get'] });
    expect(key.data, key.text).toSatisfy(() => isDone(key));
    const { data } = await test.answer(caller, '{ credentials { nodes { ... on CredentialBase { id } } } }');
    const [one] = data.credentials.nodes;
    const change = { credential: one.id, data: { string: { value: 'w'.repeat(2_000) } } };
    for (const [name, input] of [
      ['updateCredential', change],
      ['deleteCredential', { credential: one.id }],
    ] as const) {
      const answer = await run(gateway, caller, name, input);
      expect(answer.text).not.toContain('INTERNAL_SERVER_ERROR');
      expect(isDone(answer), answer.text).toBe(true);
    }
    let left = 30;
    while (isDone(await store(1_000))) expect(left--).toBeGreaterThan(0);
    expect((await store(1_000)).errors).toEqual(refusal('MAX_STORED_BYTES', 20_000));
  });
});
