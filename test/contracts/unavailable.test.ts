import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Json, TestGateway } from '../harness.ts';
import { operation } from '../operations.ts';
import { type Wire, wireTo } from '../wire.ts';
import { type BoundWorld, seedBoundWorld, seedEndUserWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn, newName } from './mutations.ts';
import { mutationFields, operationOf, queryFields, readFields, resultSelection, selectionOf, titleOf } from './walk.ts';

/** Sits on the database itself, and seeds what the other one finds. */
const direct = useTestGateway();
/** Reaches the database through a wire that can be frozen or cut. */
const far = new TestGateway();
far.federation = {};
far.limits = { ...far.limits, databaseSeconds: 1 };
let wire: Wire;
let world: BoundWorld;
let endUser: BoundWorld;
let key: string;

beforeAll(async () => {
  world = await seedBoundWorld(direct);
  endUser = await seedEndUserWorld(direct, world);
  key = (await direct.makeAPIKey(world.caller, { scopes: ['all.Organization', 'credentials.reveal', 'apiKeys.post'] })).key;
  wire = await wireTo(direct.uri);
  Object.assign(far, { uri: wire.uri, databaseName: direct.databaseName, masterKey: direct.masterKey });
  await far.open();
});
afterEach(async () => {
  wire.thaw();
  wire.mend();
  // It recovers by itself, for every kind of caller.
  for (const caller of [world.caller, { ...world.caller, token: key }, endUser.caller]) {
    await expect.poll(async () => (await far.answer(caller, '{ integrations { totalCount } }')).data, { timeout: 60_000 }).toBeTruthy();
  }
});
afterAll(async () => {
  await far.close();
  await wire.close();
});

const QUERY = '{ integrations { totalCount } }';
const create = (name: string) => `mutation { createIntegration(input: { name: "${name}" }) { __typename } }`;
const exists = async (name: string) => {
  const { integration } = await direct.query(world.caller, 'query ($name: String!) { integration(by: { name: $name }) { id } }', { name });
  return integration !== null;
};
const codes = ({ errors = [] }: Answer) => [...new Set(errors.map(({ extensions }: Json) => extensions.code))];

function expectUnavailable(answer: Answer, extensions: object = {}, what = '') {
  expect({ status: answer.status, codes: codes(answer), text: answer.text }, what).toMatchObject({ status: 503, codes: ['UNAVAILABLE'] });
  expect(answer.headers.get('retry-after')).toBe('5');
  expect(answer.errors![0].extensions).toMatchObject({ retryAfter: 5, ...extensions });
  expect(answer.errors![0].message).toMatch(/database does not respond/);
}

/** The arguments of each query that needs some. */
const queryArguments: Readonly<Record<string, (world: BoundWorld) => object>> = {
  node: ({ ids }) => ({ id: ids.credential }),
  nodes: ({ ids }) => ({ ids: [ids.credential, ids.connection] }),
  integration: ({ refs }) => ({ by: refs.IntegrationRef![1] }),
  connector: ({ refs }) => ({ by: refs.ConnectorRef![0] }),
  endUser: ({ refs }) => ({ by: refs.EndUserRef![0] }),
  connection: ({ refs }) => ({ by: refs.ConnectionRef![0] }),
  credential: ({ ids }) => ({ id: ids.credential }),
  apiKey: ({ ids }) => ({ id: ids.apiKey }),
  webhook: ({ ids }) => ({ id: ids.webhook }),
  deletePreview: ({ ids }) => ({ objectId: ids.credential }),
};
/** What is answered from memory. */
const withoutDatabase = ['viewer', 'credentialKinds', 'credentialKind'];

describe.each(['frozen', 'gone'] as const)('while the database is %s', (how) => {
  const stop = () => (how === 'frozen' ? wire.freeze() : wire.cut());

  it('every query and every subscription is answered with 503', async () => {
    stop();
    const asked = readFields.filter(({ name }) => !withoutDatabase.includes(name));
    expect(asked.length).toBeGreaterThan(10);
    await Promise.all(
      asked.map(async (field) => {
        const { query, variables } = queryOf(field);
        const answer = await far.answer(world.caller, query, variables);
        expectUnavailable(answer, {}, titleOf(field));
      }),
    );
    const ofRouter = 'query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }';
    const of = [
      { __typename: 'Connection', id: world.ids.connection },
      { __typename: 'EndUser', integrationName: 'crm', externalId: 'ada' },
    ];
    expectUnavailable(await far.answer(world.caller, ofRouter, { of }), {}, '_entities');
    for (const name of withoutDatabase.slice(0, 2)) {
      const field = queryFields.find((each) => each.name === name)!;
      expect((await far.answer(world.caller, `{ ${name} ${selectionOf(field)} }`)).status, name).toBe(200);
    }
  });

  it('every mutation is answered with 503, and was not carried out', async () => {
    stop();
    await Promise.all(
      mutationFields.map(async (field) => {
        const { query, variables } = operationOf(field, argumentsIn(world, field.name), resultSelection(field));
        expectUnavailable(await far.answer(world.caller, query, variables), { outcome: 'NOT_EXECUTED' }, field.name);
      }),
    );
  });

  it('every kind of token that the database decides on is answered with 503', async () => {
    stop();
    for (const token of [key, endUser.caller.token!]) {
      expectUnavailable(await far.answer({ ...world.caller, token }, QUERY));
      expectUnavailable(await far.answer({ ...world.caller, token }, create(newName())));
    }
  });

  it('it is alive, and not ready', async () => {
    expect((await far.gateway.fetch(new Request('http://gateway.test/ready'))).status).toBe(200);
    stop();
    const ask = async (path: string) => (await far.gateway.fetch(new Request(`http://gateway.test${path}`))).status;
    await expect.poll(() => ask('/ready'), { timeout: 60_000 }).toBe(503);
    const pings = far.commands.filter((name) => name === 'ping').length;
    expect(await Promise.all(Array.from({ length: 200 }, () => ask('/ready')))).toEqual(Array(200).fill(503));
    expect(far.commands.filter((name) => name === 'ping').length - pings).toBeLessThanOrEqual(2);
    expect(await ask('/health')).toBe(200);
    wire.thaw();
    wire.mend();
    await expect.poll(() => ask('/ready'), { timeout: 60_000 }).toBe(200);
  });

  it('a mutation after one that failed is not tried', async () => {
    stop();
    const [first, second] = [newName(), newName()];
    const both = `mutation { a: createIntegration(input: { name: "${first}" }) { __typename } b: createIntegration(input: { name: "${second}" }) { __typename } }`;
    expectUnavailable(await far.answer(world.caller, both), { outcome: 'NOT_EXECUTED' });
    wire.thaw();
    wire.mend();
    expect([await exists(first), await exists(second)]).toEqual([false, false]);
  });
});

describe('when the database stops responding in the middle of a mutation', () => {
  it('before the commit, it is not carried out, even if the database responds later', async () => {
    const name = newName();
    const held = wire.hold('insert');
    const answering = far.answer(world.caller, create(name));
    await held.reached;
    expectUnavailable(await answering, { outcome: 'NOT_EXECUTED' });
    const before = far.commands.length;
    held.release();
    // The next use of the same connection comes after everything that was held.
    await expect.poll(() => far.answer(world.caller, QUERY).then(({ status }) => status), { timeout: 60_000 }).toBe(200);
    expect(far.commands.slice(before)).not.toContain('commitTransaction');
    expect(await exists(name)).toBe(false);
  });

  it('at the commit, nobody knows whether it was carried out, and the answer says so', async () => {
    const name = newName();
    const held = wire.hold('commitTransaction');
    const answering = far.answer(world.caller, create(name));
    await held.reached;
    const answer = await answering;
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([200, null]);
    expect(answer.errors).toEqual([
      expect.objectContaining({
        message: 'The database does not respond. The mutation may or may not have been carried out: check that before you repeat it.',
        extensions: { code: 'UNAVAILABLE', retryAfter: 5, outcome: 'UNKNOWN' },
      }),
    ]);
    held.release();
    await expect.poll(() => exists(name), { timeout: 60_000 }).toBe(true);
  });

  it('after it was carried out, while its result is read, the answer says so', async () => {
    const name = newName();
    wire.freezeAfter('commitTransaction');
    const { query, variables } = operation(
      'createConnector',
      { integration: { id: world.ids.integration }, name, baseUrl: 'https://api.example.com' },
      'integration { name }',
    );
    const answer = await far.answer(world.caller, query, variables);
    expect(answer.status).toBe(200);
    expect(codes(answer), answer.text).toEqual(['UNAVAILABLE']);
    expect(new Set(answer.errors!.map(({ extensions }: Json) => extensions.outcome))).toEqual(new Set(['EXECUTED']));
    const { connectors } = await direct.query(world.caller, 'query ($name: String!) { connectors(name: $name) { totalCount } }', { name });
    expect(connectors.totalCount).toBe(1);
  });
});

function queryOf(field: (typeof queryFields)[number]) {
  return operationOf(field, { ...queryArguments[field.name]?.(world) }, selectionOf(field));
}
