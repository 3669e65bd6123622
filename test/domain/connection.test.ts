import { describe, expect, it } from 'vitest';
import { contents, danglingReferences } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run, sendAll } from '../operations.ts';

const test = useTestGateway();
const integration = { name: 'crm' };
const connection = { inIntegration: { integration, name: 'main' } };
const variables = [
  { name: 'b', value: '2' },
  { name: 'a', value: '1' },
];
const fields = `id name allowedDomain version variables { name value }
  actionCredentials { credentialId authScheme { schemeId } } triggerCredentials { credentialId }`;
const made = (name: string, value = 'v') => ({ credential: { create: { name, data: { string: { value } } } } });

async function setUp(): Promise<{ caller: Caller; ids: string[] }> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  const ids: string[] = [];
  for (const name of ['c0', 'c1', 'c2']) ids.push((await test.create(caller, 'Credential', { integration, name, data: { none: {} } })).id);
  await test.create(caller, 'Connection', {
    integration,
    name: 'main',
    allowedDomain: 'api.example.com',
    variables,
    actionCredentials: [{ credential: { id: ids[0] }, authScheme: { schemeId: 's', schemeType: 'NONE' } }],
    triggerCredentials: [{ credential: { id: ids[1] } }],
  });
  return { caller, ids };
}
const update = (caller: Caller, input: object) => run(test, caller, 'updateConnection', { connection, ...input }, fields);
const bound = (entries: Json[]): string[] => entries.map(({ credentialId }) => credentialId);

describe('an update', () => {
  it('keeps what is absent, clears what is null and empties with []', async () => {
    const { caller, ids } = await setUp();
    const whole = {
      allowedDomain: 'api.example.com',
      variables,
      actionCredentials: [{ credentialId: ids[0], authScheme: { schemeId: 's' } }],
      triggerCredentials: [{ credentialId: ids[1] }],
    };
    expect((await update(caller, {})).connection).toMatchObject({ ...whole, version: 1 });
    expect((await update(caller, { allowedDomain: null })).connection).toMatchObject({ ...whole, allowedDomain: null });
    expect((await update(caller, { triggerCredentials: [] })).connection).toMatchObject({
      actionCredentials: whole.actionCredentials,
      triggerCredentials: [],
    });
    expect((await update(caller, { variables: [] })).connection).toMatchObject({
      variables: [],
      actionCredentials: whole.actionCredentials,
    });
    expect((await update(caller, { actionCredentials: null, variables: null })).connection).toMatchObject({
      actionCredentials: [],
      variables: [],
    });
  });

  it('replaces a list whole, in the order given', async () => {
    const { caller, ids } = await setUp();
    for (const order of [ids, [...ids].reverse(), [ids[2], ids[0], ids[2]]]) {
      const { connection } = await update(caller, { actionCredentials: order.map((id) => ({ credential: { id } })) });
      expect(bound(connection.actionCredentials)).toEqual(order);
    }
  });

  it('renames: the id stays, the old name is free', async () => {
    const { caller } = await setUp();
    const { connection: renamed } = await update(caller, { name: 'other' });
    const by = { inIntegration: { integration, name: 'other' } };
    const read = await test.query(caller, 'query ($by: ConnectionRef!) { connection(by: $by) { id } }', { by });
    expect(read.connection.id).toBe(renamed.id);
    await test.create(caller, 'Connection', { integration, name: 'main' });
  });
});

describe('reference or create', () => {
  it('makes what an update creates, each with an id and secrets of its own', async () => {
    const { caller, ids } = await setUp();
    const entries = [made('new 1', 'one'), { credential: { id: ids[0] } }, made('new 2', 'two')];
    const { connection } = await update(caller, { actionCredentials: entries, triggerCredentials: [made('new 3', 'three')] });
    const [one, existing, two] = bound(connection.actionCredentials);
    const [three] = bound(connection.triggerCredentials);
    expect(existing).toBe(ids[0]);
    for (const [credentialId, value] of [
      [one, 'one'],
      [two, 'two'],
      [three, 'three'],
    ]) {
      const { secret } = await run(
        test,
        caller,
        'revealSecret',
        { credential: credentialId, field: 'value', reason: 'the test looks' },
        'plaintext',
      );
      expect(secret.plaintext).toBe(value);
    }
    const read = await test.query(
      caller,
      'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { version name usages { totalCount } } } }',
      { id: two },
    );
    expect(read.credential).toEqual({ version: 1, name: 'new 2', usages: { totalCount: 1 } });
  });

  it('gives what is created to the connection’s end user', async () => {
    const { caller } = await setUp();
    await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
    const endUser = { inIntegration: { integration, externalId: 'ada' } };
    await test.create(caller, 'Connection', { integration, endUser, name: 'hers', actionCredentials: [made('hers')] });
    await run(test, caller, 'updateConnection', {
      connection: { inIntegration: { integration, name: 'hers', endUser } },
      triggerCredentials: [made('hers, too')],
    });
    const read = await test.query(
      caller,
      'query ($by: EndUserRef!) { endUser(by: $by) { credentials { nodes { ... on CredentialBase { name } } } } }',
      { by: endUser },
    );
    expect(read.endUser.credentials.nodes.map(({ name }: Json) => name)).toEqual(['hers, too', 'hers']);
  });

  // All of it in one transaction: what the first two entries made must not outlive the third's refusal.
  it.each([
    ['createConnection', (input: object) => ({ integration, name: 'new', ...input })],
    ['updateConnection', (input: object) => ({ connection, name: 'renamed', ...input })],
  ])('%s: a third entry that fails leaves nothing of the first two', async (mutation, inputOf) => {
    const { caller, ids } = await setUp();
    const before = await contents(test);
    const bad = { credential: { create: { name: 'bad', data: { binary: { valueBase64: '?' } } } } };
    expect(
      await run(test, caller, mutation, inputOf({ actionCredentials: [made('1'), { credential: { id: ids[0] } }, bad] })),
    ).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'actionCredentials', '2', 'credential', 'create', 'data', 'binary', 'valueBase64'] }],
    });
    const triggers = { actionCredentials: [made('1'), made('2')], triggerCredentials: [made('3'), bad] };
    expect((await run(test, caller, mutation, inputOf(triggers))).issues[0].path.slice(0, 3)).toEqual(['input', 'triggerCredentials', '1']);
    expect(await contents(test)).toEqual(before);
  });
});

describe('how many credentials', () => {
  it('20 in all, whichever of the lists they are in, also over two updates', async () => {
    const { caller, ids } = await setUp();
    const entries = (count: number) => Array.from({ length: count }, () => ({ credential: { id: ids[0] } }));
    expect((await update(caller, { actionCredentials: entries(12), triggerCredentials: entries(8) })).__typename).toBe(
      'UpdateConnectionSuccess',
    );
    for (const [list, input] of [
      ['triggerCredentials', { triggerCredentials: entries(9) }],
      ['actionCredentials', { actionCredentials: entries(21) }],
      ['triggerCredentials', { actionCredentials: entries(13) }],
    ] as const) {
      const result = await update(caller, input);
      expect({ code: result.code, path: result.issues?.[0].path }).toEqual({ code: 'VALIDATION_FAILED', path: ['input', list] });
    }
    expect((await update(caller, { actionCredentials: entries(19), triggerCredentials: entries(1) })).__typename).toBe(
      'UpdateConnectionSuccess',
    );
  });
});

describe('deleting', () => {
  it('leaves the credentials, also those made with it', async () => {
    const { caller } = await setUp();
    await update(caller, { actionCredentials: [made('made with it')] });
    await run(test, caller, 'deleteConnection', { connection });
    expect(await test.query(caller, '{ credentials { totalCount } connections { totalCount } }')).toEqual({
      credentials: { totalCount: 4 },
      connections: { totalCount: 0 },
    });
    expect(await danglingReferences(test)).toEqual([]);
  });
});

// What one mutation read must not be answered by a later one of the same operation, when it has changed in between.
it('an operation of several mutations shows in each answer what was true then', async () => {
  const { caller } = await setUp();
  const { data } = await sendAll(test, caller, [
    ['updateConnection', { connection }, 'integration { name description }'],
    ['updateIntegration', { integration, description: 'changed' }],
    ['updateConnection', { connection }, 'integration { name description } actionCredentials { credential { __typename } }'],
  ]);
  expect(data.r0.connection.integration).toEqual({ name: 'crm', description: null });
  expect(data.r2.connection.integration).toEqual({ name: 'crm', description: 'changed' });
});
