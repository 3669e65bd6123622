import { beforeEach, describe, expect, it } from 'vitest';
import { grantableScopes } from '../../src/access/scopes.ts';
import { enumValue } from '../../src/fields/enum-value.ts';
import { contents, danglingReferences } from '../database.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';
import { seedWorld, type World } from '../world.ts';

const test = useTestGateway();
let world: World;
beforeEach(async () => {
  world = await seedWorld(test);
});
const crm = { name: 'crm' };
const bare = { none: {} };

/** Connects all that the world has to each other: a connection of Ada's, to the connector, with two credentials. */
async function connect(): Promise<string> {
  const { id } = await test.create(world.caller, 'Connection', {
    integration: crm,
    connector: { id: world.connector },
    endUser: { id: world.ada },
    name: 'Ada’s',
    actionCredentials: [{ credential: { id: world.credential } }, { credential: { id: world.adasCredential } }],
  });
  return id;
}
const exists = async (id: string) => (await test.query(world.caller, 'query ($id: ID!) { node(id: $id) { id } }', { id })).node !== null;
const whatExists = async (ids: Record<string, string>) =>
  Object.fromEntries(await Promise.all(Object.entries(ids).map(async ([name, id]) => [name, await exists(id)])));

/** For each noun: how to delete the world's one, who uses it, and what is left of them when it is forced. */
const uses = [
  [
    'deleteCredential',
    () => ({ credential: world.credential }),
    ['connection'],
    { credential: false, connection: true, ada: true, connector: true },
  ],
  [
    'deleteEndUser',
    () => ({ endUser: { id: world.ada } }),
    ['connection', 'credential'],
    { ada: false, connection: false, adasCredential: false, credential: true, connector: true },
  ],
  [
    'deleteConnector',
    () => ({ connector: { id: world.connector } }),
    ['connection'],
    { connector: false, connection: false, credential: true, adasCredential: true, ada: true },
  ],
  [
    'deleteIntegration',
    () => ({ integration: crm }),
    ['connector', 'endUser', 'endUser', 'connection', 'connection', 'credential', 'credential'],
    {
      crm: false,
      connector: false,
      ada: false,
      bob: false,
      connection: false,
      credential: false,
      adasCredential: false,
      shop: true,
      otherConnector: true,
      otherCredential: true,
    },
  ],
] as const;

describe.each(uses)('%s', (mutation, which, users, left) => {
  it('is refused while in use, tells by what, and changes nothing', async () => {
    await connect();
    const before = await contents(test);
    const result = await run(test, world.caller, mutation, which());
    expect(result).toMatchObject({ __typename: 'InUseError', code: 'IN_USE', usageCount: users.length });
    expect(result.usages.map(({ noun }: Json) => noun)).toEqual(users.map(enumValue));
    for (const { node, name } of result.usages) {
      expect(name).toEqual(expect.any(String));
      expect(await exists(node.id)).toBe(true);
    }
    expect(await contents(test)).toEqual(before);
  });

  it('with force takes along what needs it, and nothing else', async () => {
    const connection = await connect();
    const { deletedId } = await run(test, world.caller, mutation, { ...which(), force: true });
    expect(await exists(deletedId)).toBe(false);
    const { caller: _, ...ids } = { ...world, connection };
    expect(await whatExists(ids)).toMatchObject(left);
    expect(await danglingReferences(test)).toEqual([]);
  });

  // A caller learns how many there are, and of those that it may not read no more than that.
  it('names only those users that the viewer may read, and counts all', async () => {
    await connect();
    const scopes = ['integrations.delete', 'connectors.delete', 'endUsers.delete', 'credentials.delete', 'credentials.get'];
    const { data, text } = await send(test, { ...world.caller, scopes }, mutation, which());
    expect(data.result.usageCount).toBe(users.length);
    const shown = (users as readonly string[]).filter((noun) => noun === 'credential');
    expect(data.result.usages.map(({ noun }: Json) => noun)).toEqual(shown.map(enumValue));
    expect(text).not.toContain('Ada’s');
  });

  it('with the version expected, and then not again', async () => {
    await connect();
    expect(await run(test, world.caller, mutation, { ...which(), force: true, expectedVersion: 2 })).toMatchObject({
      code: 'CONFLICT',
      currentVersion: 1,
    });
    expect((await run(test, world.caller, mutation, { ...which(), force: true, expectedVersion: 1 })).code).toBeUndefined();
    expect((await run(test, world.caller, mutation, { ...which(), force: true })).code).toMatch(/^(NOT_FOUND|INVALID_INTEGRATION)$/);
  });
});

describe('deleting a credential by force', () => {
  it('takes it out of both lists of every connection and out of schemes, and keeps the rest in order', async () => {
    const other = await test.create(world.caller, 'Credential', { integration: crm, name: 'other', data: bare });
    const scheme = {
      schemeId: 's',
      schemeType: 'OAUTH2',
      oauth2: {
        grant: 'CLIENT_CREDENTIALS',
        tokenUrl: 'https://auth.example.com/token',
        mtlsCredentialId: world.credential,
        clientCredentialId: other.id,
      },
    };
    const bind = (id: string, authScheme?: object) => ({ credential: { id }, authScheme });
    const connection = await test.create(world.caller, 'Connection', {
      integration: crm,
      name: 'both',
      actionCredentials: [bind(world.credential), bind(other.id, scheme), bind(world.credential)],
      triggerCredentials: [bind(other.id), bind(world.credential)],
    });
    const connector = await test.create(world.caller, 'Connector', {
      integration: crm,
      name: 'c',
      baseUrl: 'https://api.example.com',
      authSchemes: [scheme],
    });
    await run(test, world.caller, 'deleteCredential', { credential: world.credential, force: true });
    const query = `query ($connection: ID!, $connector: ID!) {
      connection: node(id: $connection) { ... on Connection { version actionCredentials { credentialId authScheme { ...scheme } } triggerCredentials { credentialId } } }
      connector: node(id: $connector) { ... on Connector { version authSchemes { ...scheme } } }
    } fragment scheme on OAuth2AuthScheme { mtlsCredentialId clientCredentialId }`;
    const left = { mtlsCredentialId: null, clientCredentialId: other.id };
    expect(await test.query(world.caller, query, { connection: connection.id, connector: connector.id })).toEqual({
      connection: {
        version: 2,
        actionCredentials: [{ credentialId: other.id, authScheme: left }],
        triggerCredentials: [{ credentialId: other.id }],
      },
      connector: { version: 2, authSchemes: [left] },
    });
    expect(await danglingReferences(test)).toEqual([]);
  });

  it('that only a connector’s scheme names is in use, too', async () => {
    const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', mtlsCredentialId: world.credential };
    await run(test, world.caller, 'updateConnector', {
      connector: { id: world.connector },
      authSchemes: [{ schemeId: 's', schemeType: 'OAUTH2', oauth2 }],
    });
    expect(await run(test, world.caller, 'deleteCredential', { credential: world.credential })).toMatchObject({
      code: 'IN_USE',
      usageCount: 1,
      usages: [{ noun: 'CONNECTOR', node: { id: world.connector }, name: 'zendesk' }],
    });
  });
});

it('names ten users at most, and counts more', async () => {
  for (let index = 0; index < 12; index++) {
    await test.create(world.caller, 'Connection', {
      integration: crm,
      name: `c${index}`,
      actionCredentials: [{ credential: { id: world.credential } }],
    });
  }
  const { usages, usageCount, message } = await run(test, world.caller, 'deleteCredential', { credential: world.credential });
  expect(usages.map(({ name }: Json) => name)).toEqual(Array.from({ length: 10 }, (_, index) => `c${index}`));
  expect(usageCount).toBe(12);
  expect(message).toContain('12 other objects');
});

it('what is not in use is deleted without force, its name is free again', async () => {
  for (const [mutation, input] of [
    ['deleteConnection', { connection: { id: world.connection } }],
    ['deleteCredential', { credential: world.credential }],
    ['deleteEndUser', { endUser: { id: world.bob } }],
    ['deleteConnector', { connector: { id: world.connector } }],
  ] as const) {
    expect((await run(test, world.caller, mutation, input)).deletedId).toBeDefined();
  }
  await test.create(world.caller, 'Connector', { integration: crm, name: 'zendesk', baseUrl: 'https://api.example.com' });
  await test.create(world.caller, 'EndUser', { integration: crm, externalId: 'bob' });
  await test.create(world.caller, 'Connection', { integration: crm, name: 'plain' });
  await run(test, world.caller, 'deleteIntegration', { integration: crm, force: true });
  await test.create(world.caller, 'Integration', crm);
  expect((await test.query(world.caller, '{ credentials { totalCount } }')).credentials.totalCount).toBe(1);
});

describe('deleting an organization', () => {
  const deleteIt = () => test.gateway.deleteOrganization(world.caller.organization);
  /** All documents of the organization, in whatever collection. */
  async function remains(): Promise<string[]> {
    const names = (await test.database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    const found: string[] = [];
    for (const name of names) {
      const count = await test.database.collection(name).countDocuments({ organizationId: world.caller.organization });
      found.push(...Array.from({ length: count }, () => name));
    }
    return found;
  }

  it('leaves a tombstone and nothing else, in any collection, its keys included', async () => {
    await connect();
    const other = await seedWorld(test);
    const othersBefore = (await contents(test)).credentials!.filter(({ organizationId }) => organizationId === other.caller.organization);
    expect(new Set(await remains())).toContain('dataKeys');
    expect(await deleteIt()).toBe(true);
    expect(await remains()).toEqual(['organizations']);
    const { organizations, credentials } = await contents(test);
    expect(organizations!.find(({ organizationId }) => organizationId === world.caller.organization)).toMatchObject({
      deletedAt: expect.any(Date),
    });
    expect(credentials!.filter(({ organizationId }) => organizationId === other.caller.organization)).toEqual(othersBefore);
    expect(await danglingReferences(test)).toEqual([]);
  });

  it('its tokens change nothing any more, and reveal nothing', async () => {
    await deleteIt();
    for (const [mutation, input] of [
      ['createIntegration', { name: 'again' }],
      ['updateCredential', { credential: world.credential }],
      ['deleteIntegration', { integration: crm, force: true }],
    ] as const) {
      const { data, errors } = await send(test, { ...world.caller, scopes: grantableScopes }, mutation, input);
      expect({ data, codes: errors?.map(({ extensions }) => extensions.code) }).toEqual({ data: undefined, codes: ['UNAUTHENTICATED'] });
    }
    const input = { credential: world.credential, field: 'password', reason: 'the test looks' };
    const revealed = await send(test, world.caller, 'revealSecret', input, 'plaintext');
    expect({ data: revealed.data, code: revealed.errors?.[0].extensions.code }).toEqual({ data: undefined, code: 'UNAUTHENTICATED' });
    expect(await remains()).toEqual(['organizations']);
  });

  it('its tokens are refused for queries, too', async () => {
    await deleteIt();
    const query = 'query ($id: ID!) { node(id: $id) { id } credentials { totalCount nodes { __typename } } integrations { totalCount } }';
    const { status, data, errors } = await test.answer(world.caller, query, { id: world.credential });
    expect([status, data, errors!.map(({ extensions }) => extensions.code)]).toEqual([401, undefined, ['UNAUTHENTICATED']]);
  });

  it('may be run again, and knows what never was', async () => {
    expect([await deleteIt(), await deleteIt(), await test.gateway.deleteOrganization('never-was')]).toEqual([true, true, false]);
    expect(await remains()).toEqual(['organizations']);
  });

  // Cut short after the tombstone, or after the keys: the next run does the rest.
  it('finishes what was cut short', async () => {
    const { organization } = world.caller;
    await test.database.collection('organizations').updateOne({ organizationId: organization }, { $set: { deletedAt: new Date() } });
    await test.database.collection('dataKeys').deleteMany({ organizationId: organization });
    expect((await send(test, world.caller, 'createIntegration', { name: 'x' })).errors?.[0].extensions.code).toBe('UNAUTHENTICATED');
    expect(await deleteIt()).toBe(true);
    expect(await remains()).toEqual(['organizations']);
  });
});
