import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Gateway } from '../../src/gateway/index.ts';
import { danglingReferences } from '../database.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { operation, run } from '../operations.ts';
import { type Wire, wireTo } from '../wire.ts';

const test = useTestGateway();
/** Two gateways on one database, as two copies of the process would be; what the second says passes a wire on which it can be held. */
let first: Gateway;
let second: Gateway;
let wire: Wire;
let caller: { organization: string };

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'first' });
  const { uri } = test;
  expect(test.database.databaseName).toBe(test.databaseName);
  first = test.gateway;
  wire = await wireTo(uri);
  test.uri = wire.uri;
  await test.open();
  second = test.gateway;
  test.uri = uri;
});
afterAll(async () => {
  await first?.stop();
  await second?.stop();
  await wire?.close();
});
/** The one thing that must hold whoever wins. */
const expectNothingDangling = async () => expect(await danglingReferences(test)).toEqual([]);

type Mutation = readonly [name: string, input: object, fields?: string];

async function via(gateway: Gateway, [name, input, fields]: Mutation, token?: string): Promise<Json> {
  const request = new Request('http://gateway.test/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token ?? (await test.token(caller))}` },
    body: JSON.stringify(operation(name, input, fields)),
  });
  const { data, errors } = (await (await gateway.fetch(request)).json()) as Json;
  return data?.result ?? errors;
}

/** Runs one mutation and, while that one is held at the command, the other. Answers both results, the held one's first. */
async function whileHeld(
  held: Mutation,
  commands: readonly string[],
  other: Mutation,
  token?: string,
  otherToken?: string,
): Promise<[Json, Json]> {
  const hold = wire.hold(...commands);
  const heldResult = via(second, held, token);
  await Promise.race([hold.reached, heldResult.then((result) => Promise.reject(new Error(`was not held: ${JSON.stringify(result)}`)))]);
  const otherResult = via(first, other, otherToken);
  // The other meets what the held one has written, and waits; or nothing is written yet, and it ends.
  await Promise.race([otherResult, sleep(commands.includes('commitTransaction') ? 60 : 10_000)]);
  hold.release();
  return Promise.all([heldResult, otherResult]);
}

const writes = ['update', 'insert', 'delete', 'findAndModify'];
let serial = 0;
const unused = (what: string) => `${what} ${++serial}`;
const none = { none: {} };

interface Race {
  /** Makes what the two are about, and the mutations themselves. */
  readonly prepare: () => Promise<{ attach: Mutation; remove: (force: boolean) => Mutation }>;
  /** How attaching is refused when the target is gone: code and path. */
  readonly refused: { readonly code: string; readonly path: string };
  /** What remains of the attached when the target was deleted by force: it is gone, too, or has let go of it. */
  readonly afterForce: 'gone' | 'released';
}

const create = async (noun: 'Integration' | 'Connector' | 'EndUser' | 'Connection' | 'Credential', input: object): Promise<string> =>
  (await test.create(caller, noun, input)).id;
const integrationNamed = async (): Promise<{ name: string }> => {
  const name = unused('integration');
  await create('Integration', { name });
  return { name };
};
const mtls = (mtlsCredentialId: string) => ({
  schemeId: 'x',
  schemeType: 'OAUTH2',
  oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', mtlsEnabled: true, mtlsCredentialId },
});
const baseUrl = 'https://api.example.com';
const removal = (name: string, which: object) => (force: boolean) => [name, { ...which, force }] as const;

const toCredential =
  (attach: (integration: object, id: string) => Promise<Mutation>) =>
  async (): Promise<{ attach: Mutation; remove: (force: boolean) => Mutation }> => {
    const integration = await integrationNamed();
    const id = await create('Credential', { integration, name: 'c', data: { string: { value: 'v' } } });
    return { attach: await attach(integration, id), remove: removal('deleteCredential', { credential: id }) };
  };
const toIntegration = (noun: string, rest: object) => async () => {
  const integration = await integrationNamed();
  return {
    attach: [`create${noun}`, { integration, ...rest }] as const,
    remove: removal('deleteIntegration', { integration }),
  };
};

const races: Readonly<Record<string, Race>> = {
  'a credential to a new connection': {
    prepare: toCredential(async (integration, id) => [
      'createConnection',
      { integration, name: 'x', actionCredentials: [{ credential: { id } }] },
    ]),
    refused: { code: 'NOT_FOUND', path: 'input.actionCredentials.0.credential.id' },
    afterForce: 'released',
  },
  'a credential to a connection': {
    prepare: toCredential(async (integration, id) => [
      'updateConnection',
      {
        connection: { id: await create('Connection', { integration, name: 'x' }) },
        triggerCredentials: [{ credential: { id } }],
      },
    ]),
    refused: { code: 'NOT_FOUND', path: 'input.triggerCredentials.0.credential.id' },
    afterForce: 'released',
  },
  'a credential to the scheme of a connection': {
    prepare: toCredential(async (integration, id) => [
      'createConnection',
      { integration, name: 'x', actionCredentials: [{ credential: { create: { name: 'n', data: none } }, authScheme: mtls(id) }] },
    ]),
    refused: { code: 'NOT_FOUND', path: 'input.actionCredentials.0.authScheme.oauth2' },
    afterForce: 'released',
  },
  'a credential to a new connector': {
    prepare: toCredential(async (integration, id) => ['createConnector', { integration, name: 'x', baseUrl, authSchemes: [mtls(id)] }]),
    refused: { code: 'NOT_FOUND', path: 'input.authSchemes.0.oauth2' },
    afterForce: 'released',
  },
  'a credential to a connector': {
    prepare: toCredential(async (integration, id) => [
      'updateConnector',
      { connector: { id: await create('Connector', { integration, name: 'x', baseUrl }) }, authSchemes: [mtls(id)] },
    ]),
    refused: { code: 'NOT_FOUND', path: 'input.authSchemes.0.oauth2' },
    afterForce: 'released',
  },
  'a connection to a connector': {
    prepare: async () => {
      const integration = await integrationNamed();
      const id = await create('Connector', { integration, name: 'x', baseUrl });
      return {
        attach: ['createConnection', { integration, connector: { id }, name: 'x' }],
        remove: removal('deleteConnector', { connector: { id } }),
      };
    },
    refused: { code: 'NOT_FOUND', path: 'input.connector' },
    afterForce: 'gone',
  },
  'a connection to an end user': {
    prepare: async () => {
      const integration = await integrationNamed();
      const id = await create('EndUser', { integration, externalId: 'x' });
      const actionCredentials = [{ credential: { create: { name: 'n', data: { string: { value: 'v' } } } } }];
      return {
        attach: ['createConnection', { integration, endUser: { id }, name: 'x', actionCredentials }],
        remove: removal('deleteEndUser', { endUser: { id } }),
      };
    },
    refused: { code: 'NOT_FOUND', path: 'input.endUser' },
    afterForce: 'gone',
  },
  'a credential to an end user': {
    prepare: async () => {
      const integration = await integrationNamed();
      const id = await create('EndUser', { integration, externalId: 'x' });
      return {
        attach: ['createCredential', { integration, endUser: { id }, name: 'x', data: { string: { value: 'v' } } }],
        remove: removal('deleteEndUser', { endUser: { id } }),
      };
    },
    refused: { code: 'NOT_FOUND', path: 'input.endUser' },
    afterForce: 'gone',
  },
  'a connector to an integration': {
    prepare: toIntegration('Connector', { name: 'x', baseUrl }),
    refused: { code: 'INVALID_INTEGRATION', path: 'input.integration' },
    afterForce: 'gone',
  },
  'an end user to an integration': {
    prepare: toIntegration('EndUser', { externalId: 'x' }),
    refused: { code: 'INVALID_INTEGRATION', path: 'input.integration' },
    afterForce: 'gone',
  },
  'a connection to an integration': {
    prepare: toIntegration('Connection', {
      name: 'x',
      actionCredentials: [{ credential: { create: { name: 'n', data: { string: { value: 'v' } } } } }],
    }),
    refused: { code: 'INVALID_INTEGRATION', path: 'input.integration' },
    afterForce: 'gone',
  },
  'a credential to an integration': {
    prepare: toIntegration('Credential', { name: 'x', data: { string: { value: 'v' } } }),
    refused: { code: 'INVALID_INTEGRATION', path: 'input.integration' },
    afterForce: 'gone',
  },
};

const succeeded = (result: Json) => result.__typename?.endsWith('Success') === true;
const idOf = (result: Json): string => Object.values<Json>(result).find((value) => value?.id)?.id;

async function expectAttachedFirst(race: Race, force: boolean, attached: Json, removed: Json): Promise<void> {
  expect(attached).toSatisfy(succeeded);
  if (force) expect(removed).toSatisfy(succeeded);
  else expect(removed).toMatchObject({ code: 'IN_USE', usageCount: expect.any(Number) });
  const { node } = await test.query(caller, 'query ($id: ID!) { node(id: $id) { id } }', { id: idOf(attached) });
  expect(node === null).toBe(force && race.afterForce === 'gone');
}
function expectRemovedFirst({ refused }: Race, attached: Json, removed: Json): void {
  expect(removed).toSatisfy(succeeded);
  expect({ code: attached.code, path: attached.path?.join('.') }).toEqual(refused);
}

// Snapshot isolation lets "exists, so attach" and "unused, so delete" both commit, unless both write one document. Each order is forced:
// one of the two is held before it commits, or after it has read and before it writes, while the other runs.
describe.each(Object.entries(races))('attaching %s', (_name, race) => {
  afterAll(expectNothingDangling);
  it('attaching is held before it commits: it comes first', async () => {
    const { attach, remove } = await race.prepare();
    const [attached, removed] = await whileHeld(attach, ['commitTransaction'], remove(false));
    await expectAttachedFirst(race, false, attached, removed);
  });
  it('attaching is held before it commits: it comes first, and deleting by force sees it', async () => {
    const { attach, remove } = await race.prepare();
    const [attached, removed] = await whileHeld(attach, ['commitTransaction'], remove(true));
    await expectAttachedFirst(race, true, attached, removed);
  });
  it('attaching is held after it has read: deleting comes first', async () => {
    const { attach, remove } = await race.prepare();
    const [attached, removed] = await whileHeld(attach, writes, remove(false));
    expectRemovedFirst(race, attached, removed);
  });
  it('deleting is held before it commits: it comes first', async () => {
    const { attach, remove } = await race.prepare();
    const [removed, attached] = await whileHeld(remove(false), ['commitTransaction'], attach);
    expectRemovedFirst(race, attached, removed);
  });
  it('deleting is held after it has read: attaching comes first', async () => {
    const { attach, remove } = await race.prepare();
    const [removed, attached] = await whileHeld(remove(false), writes, attach);
    await expectAttachedFirst(race, false, attached, removed);
  });
  it('deleting by force is held after it has read: attaching comes first', async () => {
    const { attach, remove } = await race.prepare();
    const [removed, attached] = await whileHeld(remove(true), writes, attach);
    await expectAttachedFirst(race, true, attached, removed);
  });

  it('all at once, many times: exactly one order each time', async () => {
    for (let round = 0; round < 2; round++) {
      const { attach, remove } = await race.prepare();
      const force = round % 2 === 0;
      const [attached, removed] = await Promise.all([via(first, attach), via(second, remove(force))]);
      if (succeeded(attached)) await expectAttachedFirst(race, force, attached, removed);
      else expectRemovedFirst(race, attached, removed);
    }
  });
});

describe('writers of one object', () => {
  afterEach(expectNothingDangling);
  it('of two that expect the same version, one wins and the other is told the version now', async () => {
    const integration = await integrationNamed();
    const id = await create('Credential', { integration, name: 'c', data: { basicAuth: { username: 'a', password: 'b' } } });
    for (const commands of [['commitTransaction'], writes]) {
      const { version } = (
        await test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { version } } }', { id })
      ).credential;
      const update = (username: string): Mutation => [
        'updateCredential',
        { credential: id, data: { basicAuth: { username, password: username } }, expectedVersion: version },
        '... on BasicAuthCredential { username version }',
      ];
      const results = await whileHeld(update('held'), commands, update('other'));
      expect(results.filter(succeeded)).toHaveLength(1);
      const lost = results.find((result) => !succeeded(result));
      expect(lost).toMatchObject({ code: 'CONFLICT', path: ['input', 'expectedVersion'], currentVersion: version + 1 });
      const { credential } = results.find(succeeded) as Json;
      const { secret } = await run(
        test,
        caller,
        'revealSecret',
        { credential: id, field: 'password', reason: 'the test looks' },
        'plaintext',
      );
      expect(secret.plaintext).toBe(credential.username);
    }
  });

  it('two that change different fields both succeed, and neither undoes the other', async () => {
    const integration = await integrationNamed();
    const id = await create('Credential', { integration, name: 'c', data: { basicAuth: { username: 'a', password: 'b' } } });
    const results = await whileHeld(['updateCredential', { credential: id, data: { basicAuth: { username: 'changed' } } }], writes, [
      'updateCredential',
      { credential: id, description: 'changed, too' },
    ]);
    expect(results.every(succeeded)).toBe(true);
    const { credential } = await test.query(
      caller,
      'query ($id: ID!) { credential(id: $id) { ... on BasicAuthCredential { username description version } } }',
      { id },
    );
    expect(credential).toEqual({ username: 'changed', description: 'changed, too', version: 3 });
  });

  it('one makes a connection the primary one, the other deletes it: no end user names a connection that is gone', async () => {
    for (const [held, commands] of [
      ['set', ['commitTransaction']],
      ['set', writes],
      ['delete', ['commitTransaction']],
      ['delete', writes],
    ] as const) {
      const integration = await integrationNamed();
      const endUser = { id: await create('EndUser', { integration, externalId: 'x' }) };
      const connection = { id: await create('Connection', { integration, endUser, name: 'x' }) };
      const set: Mutation = ['updateEndUser', { endUser, primaryConnection: connection }, 'primaryConnection { name }'];
      const remove: Mutation = ['deleteConnection', { connection }];
      const results = await (held === 'set' ? whileHeld(set, commands, remove) : whileHeld(remove, commands, set));
      const [isSet, isRemoved] = held === 'set' ? results : results.toReversed();
      expect(isRemoved).toSatisfy(succeeded);
      if (!succeeded(isSet)) expect(isSet).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'primaryConnection'] });
    }
  });

  it('two that take one name: one wins, the other is told that it is taken', async () => {
    const integration = await integrationNamed();
    for (const commands of [['commitTransaction'], writes]) {
      const name = unused('name');
      const make: Mutation = ['createConnection', { integration, name }];
      const [held, other] = await whileHeld(make, commands, make);
      expect([held, other].filter(succeeded)).toHaveLength(1);
      expect([held, other].find((result) => !succeeded(result))).toMatchObject({ code: 'CONFLICT', path: ['input', 'name'] });
    }
  });

  it('two that delete one object: one does, for the other it is not there', async () => {
    const integration = await integrationNamed();
    const id = await create('Credential', { integration, name: 'c', data: none });
    const results = await whileHeld(
      ['deleteCredential', { credential: id }],
      ['commitTransaction'],
      ['deleteCredential', { credential: id }],
    );
    expect(results.filter(succeeded)).toHaveLength(1);
    expect(results.find((result) => !succeeded(result))).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'credential'] });
  });

  it('changing a connection and deleting it: no new credential is left behind', async () => {
    for (const commands of [['commitTransaction'], writes]) {
      const integration = await integrationNamed();
      const connection = { id: await create('Connection', { integration, name: 'x' }) };
      const credential = { create: { name: 'n', data: { string: { value: 'v' } } } };
      const update: Mutation = ['updateConnection', { connection, actionCredentials: [{ credential }] }];
      const [updated, deleted] = await whileHeld(update, commands, ['deleteConnection', { connection }]);
      expect(deleted).toSatisfy(succeeded);
      const { credentials } = await test.query(caller, 'query ($i: IntegrationRef) { credentials(integration: $i) { totalCount } }', {
        i: integration,
      });
      expect(credentials.totalCount).toBe(succeeded(updated) ? 1 : 0);
      if (!succeeded(updated)) expect(updated).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'connection'] });
    }
  });
});

describe('writers of one process', () => {
  it('do not meet when they create things of one integration at once', async () => {
    const create = (name: string) =>
      via(first, ['createCredential', { integration: { name: 'first' }, name, data: { basicAuth: { username: 'ada', password: name } } }]);
    await create('opens the counters');
    test.commands.length = 0;
    const results = await Promise.all(Array.from({ length: 24 }, (_, index) => create(`writer ${index}`)));
    expect(results.map(({ __typename }) => __typename)).toEqual(results.map(() => 'CreateCredentialSuccess'));
    expect(test.commands.filter((name) => name === 'commitTransaction')).toHaveLength(24);
    expect(test.commands).not.toContain('abortTransaction');
  });
});

describe('expiry', () => {
  // What happens at another time is an organization's own.
  let usual: typeof caller;
  beforeAll(() => {
    usual = caller;
    caller = { organization: test.newOrganization() };
  });
  afterAll(() => {
    caller = usual;
  });
  it('a credential that is kept longer after all is not swept, whenever the sweep looked', async () => {
    const integration = await integrationNamed();
    const start = Date.now();
    const id = await create('Credential', { integration, name: 'c', expiresAt: new Date(start + 60_000).toISOString(), data: none });
    const hold = wire.hold('commitTransaction');
    const kept = via(second, ['updateCredential', { credential: id, expiresAt: null }]);
    await hold.reached;
    test.time = () => new Date(Date.now() + 120_000);
    try {
      const sweeping = first.sweep();
      await Promise.race([sweeping, sleep(60)]);
      hold.release();
      expect(await kept).toSatisfy(succeeded);
      expect(await sweeping).toBe(0);
      const { credential } = await test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { expiresAt } } }', {
        id,
      });
      expect(credential).toEqual({ expiresAt: null });
    } finally {
      test.time = () => new Date();
    }
  });

  it('two sweeps at once delete each credential once', async () => {
    const integration = await integrationNamed();
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    for (let index = 0; index < 5; index++) await create('Credential', { integration, name: 'c', expiresAt, data: none });
    test.time = () => new Date(Date.now() + 120_000);
    try {
      const [one, other] = await Promise.all([first.sweep(), second.sweep()]);
      expect(one + other).toBe(5);
    } finally {
      test.time = () => new Date();
    }
  });
});

// One that was made when there were fewer: attaching must write one of its slots all the same.
it('what attaches to a parent with one slot left writes that one', async () => {
  const integration = await integrationNamed();
  const slots = test.database.collection<{ _id: string; parentId: string; touches: number }>('slots');
  const { id } = (await test.query(caller, 'query ($by: IntegrationRef!) { integration(by: $by) { id } }', { by: integration }))
    .integration;
  const parentId = Buffer.from(id, 'base64url').toString().split(':')[1]!;
  await slots.deleteMany({ parentId, _id: { $ne: `${parentId}.0` } });
  const touches = new Set<number>([(await slots.findOne({ parentId }))!.touches]);
  for (let index = 0; index < 3; index++) {
    await create('Credential', { integration, name: 'c', data: none });
    touches.add((await slots.findOne({ parentId }))!.touches);
  }
  expect(touches.size).toBe(4);
});

// Else it would be there for good, and let its holder in.
it('an API key and its organization’s deletion: no key outlives it', async () => {
  const before = caller;
  caller = { organization: test.newOrganization() };
  try {
    await test.create(caller, 'Integration', { name: 'first' });
    const hold = wire.hold('insert');
    const issued = via(second, ['createAPIKey', { name: 'late', scopes: ['integrations.get'] }, 'apiKeyId']);
    await hold.reached;
    const sent = test.commands.length;
    const deleted = first.deleteOrganization(caller.organization);
    // It meets the organization's record, which the held one has written, and waits.
    await expect.poll(() => test.commands.slice(sent), { timeout: 20_000 }).toContain('update');
    await sleep(60);
    hold.release();
    await Promise.all([issued, deleted]);
    expect(await test.database.collection('apiKeys').countDocuments({ organizationId: caller.organization })).toBe(0);
  } finally {
    caller = before;
  }
});

describe('an API key that is created or rotated while its creator is revoked', () => {
  const scopes = ['apiKeys.post', 'apiKeys.get', 'integrations.get'];
  const organizationId = () => caller.organization;
  let before: typeof caller;
  let keys: number;
  beforeAll(async () => {
    before = caller;
    caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: 'first' });
  });
  afterAll(() => {
    caller = before;
  });
  const count = (filter: object = {}) =>
    test.database.collection('apiKeys').countDocuments({ organizationId: organizationId(), ...filter });
  const make = (): Mutation => ['createAPIKey', { name: unused('key'), scopes }, 'apiKeyId'];
  const revoke = (apiKey: string): Mutation => ['revokeAPIKey', { apiKey }];
  const unauthenticated = [expect.objectContaining({ extensions: expect.objectContaining({ code: 'UNAUTHENTICATED' }) })];

  /** A key, one that it created, and a way to ask with each. */
  async function prepare() {
    const root = await test.makeAPIKey(caller, { scopes });
    const child = await test.makeAPIKey({ ...caller, token: root.key }, { scopes });
    // The first use of a key is a transaction of its own, which must not be the one that is held.
    await test.query({ ...caller, token: child.key }, '{ viewer { __typename } }');
    keys = await count();
    return { root, child };
  }

  for (const whose of ['root', 'child'] as const) {
    it(`creating is held before it commits, and the ${whose} is revoked: the new key goes with it`, async () => {
      const { root, child } = await prepare();
      const [made, revoked] = await whileHeld(make(), ['commitTransaction'], revoke({ root, child }[whose].id), child.key);
      expect(made).toSatisfy(succeeded);
      expect(revoked).toSatisfy(succeeded);
      expect(await count()).toBe(keys - (whose === 'root' ? 2 : 1));
    });
    it(`creating is held after it has read, and the ${whose} is revoked: there is no new key`, async () => {
      const { root, child } = await prepare();
      const [made, revoked] = await whileHeld(make(), writes, revoke({ root, child }[whose].id), child.key);
      expect(revoked).toSatisfy(succeeded);
      expect(made).toEqual(unauthenticated);
      expect(await count()).toBe(keys - (whose === 'root' ? 2 : 1));
    });
    it(`revoking the ${whose} is held before it commits: there is no new key`, async () => {
      const { root, child } = await prepare();
      const [revoked, made] = await whileHeld(revoke({ root, child }[whose].id), ['commitTransaction'], make(), undefined, child.key);
      expect(revoked).toSatisfy(succeeded);
      expect(made).toEqual(unauthenticated);
      expect(await count()).toBe(keys - (whose === 'root' ? 2 : 1));
    });
    it(`revoking the ${whose} is held after it has read: the new key goes with it`, async () => {
      const { root, child } = await prepare();
      const [revoked, made] = await whileHeld(revoke({ root, child }[whose].id), writes, make(), undefined, child.key);
      expect(made).toSatisfy(succeeded);
      expect(revoked).toSatisfy(succeeded);
      expect(await count()).toBe(keys - (whose === 'root' ? 2 : 1));
    });
  }

  it('nobody holds off a revocation by creating keys all the time', async () => {
    const { root } = await prepare();
    let made = 0;
    let isOver = false;
    const loops = Array.from({ length: 8 }, async () => {
      while (!isOver && succeeded(await via(first, make(), root.key))) made++;
    });
    while (made < 10) await sleep(10);
    const before = made;
    const revoked = await via(first, revoke(root.id));
    isOver = true;
    expect(revoked).toSatisfy(succeeded);
    // Those that had begun.
    expect(made - before).toBeLessThanOrEqual(loops.length);
    await Promise.all(loops);
    expect(await count()).toBe(keys - 2);
  });

  describe('by the tokens of its subject', () => {
    let ada: string;
    let sub: string;
    beforeEach(async () => {
      sub = unused('ada');
      ada = await test.token({ ...caller, claims: { sub, iat: Math.floor(Date.now() / 1_000) - 60 } });
    });
    const revokeAll = (): Mutation => ['revokeTokens', { subject: sub, apiKeys: true }, 'before apiKeyCount'];
    const left = () => count({ $or: [{ createdBySubject: sub }, { 'receivers.subject': sub }] });

    it.each([['commitTransaction'], writes])('creating is held at %s: no key is left', async (...commands) => {
      const [made, revoked] = await whileHeld(make(), commands, revokeAll(), ada);
      expect(revoked).toSatisfy(succeeded);
      if (commands.length === 1) expect(made).toSatisfy(succeeded);
      else expect(made).toEqual(unauthenticated);
      expect(await left()).toBe(0);
    });
    it.each([['commitTransaction'], writes])('rotating is held at %s: no key is left', async (...commands) => {
      const { id } = await test.makeAPIKey(caller, { scopes });
      const [rotated, revoked] = await whileHeld(['rotateAPIKey', { apiKey: id }, 'apiKeyId'], commands, revokeAll(), ada);
      expect(revoked).toSatisfy(succeeded);
      if (commands.length === 1) expect(rotated).toSatisfy(succeeded);
      else expect(rotated).toEqual(unauthenticated);
      expect(await left()).toBe(0);
    });
    it.each([['commitTransaction'], writes])('revoking is held at %s: no key is left', async (...commands) => {
      const [revoked, made] = await whileHeld(revokeAll(), commands, make(), undefined, ada);
      expect(revoked).toSatisfy(succeeded);
      expect(succeeded(made) || made[0].extensions.code === 'UNAUTHENTICATED').toBe(true);
      expect(await left()).toBe(0);
    });
    it('revoking takes longer than the second to which it revokes: no key is left', async () => {
      const hold = wire.hold(...writes);
      const revoked = via(second, revokeAll());
      await hold.reached;
      await sleep(1_050);
      const made = await via(first, make(), ada);
      hold.release();
      expect(made).toSatisfy(succeeded);
      expect(await revoked).toSatisfy(succeeded);
      expect(await left()).toBe(0);
    });
    it('two revocations at once: both hold', async () => {
      const [held, other] = await whileHeld(revokeAll(), writes, [
        'revokeTokens',
        { subject: sub, before: '2001-01-01T00:00:00Z' },
        'before',
      ]);
      expect([held, other]).toSatisfy((results: Json[]) => results.every(succeeded));
      const { errors } = await test.answer({ ...caller, token: ada }, '{ __typename }');
      expect(errors!.map(({ extensions }) => extensions.code)).toEqual(['UNAUTHENTICATED']);
    });
  });
});

// A crowd, as it may really be: many that attach, several that delete, at the same moment.
it('many writers of one integration at once leave nothing dangling and answer nothing unexpected', async () => {
  const expected = new Set(['NOT_FOUND', 'INVALID_INTEGRATION', 'IN_USE', 'VALIDATION_FAILED', undefined]);
  for (let round = 0; round < 3; round++) {
    const integration = await integrationNamed();
    const endUser = { id: await create('EndUser', { integration, externalId: 'u' }) };
    const connector = { id: await create('Connector', { integration, name: 'c', baseUrl }) };
    const credential = { id: await create('Credential', { integration, name: 'c', data: none }) };
    const created = { create: { name: 'n', data: { string: { value: 'v' } } } };
    const mutations: Mutation[] = [
      ...Array.from(
        { length: 6 },
        (_, index): Mutation => [
          'createConnection',
          { integration, endUser, connector, name: `x${index}`, actionCredentials: [{ credential }, { credential: created }] },
        ],
      ),
      ['createCredential', { integration, endUser, name: 'y', data: none }],
      ['updateConnector', { connector, authSchemes: [mtls(credential.id)] }],
      ['deleteCredential', { credential: credential.id, force: round === 1 }],
      ['deleteEndUser', { endUser, force: round === 0 }],
      ['deleteConnector', { connector, force: round === 1 }],
      ['deleteIntegration', { integration, force: round === 2 }],
    ];
    const results = await Promise.all(mutations.map((mutation, index) => via(index % 2 === 0 ? first : second, mutation)));
    for (const result of results)
      expect({ result, known: expected.has(result.code) && result.__typename !== undefined }).toMatchObject({ known: true });
    await expectNothingDangling();
  }
});
