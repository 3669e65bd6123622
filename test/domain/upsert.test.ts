import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { upserting } from '../../src/domain/records.ts';
import { ConflictError } from '../../src/errors.ts';
import { DuplicateKeyError } from '../../src/store/database.ts';
import { type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';

const test = useTestGateway();
/** Another copy of the gateway, on the same database. */
const copy = new TestGateway();
let caller: Caller;
beforeAll(async () => {
  const { uri, databaseName, masterKey } = test;
  Object.assign(copy, { uri, databaseName, masterKey });
  await copy.open();
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
});
afterAll(() => copy.close());

const integration = { name: 'crm' };
const errors =
  '... on MutationError { code message } ... on ValidationError { issues { path message } } ... on ConflictError { path currentVersion }';
const upsert = async (noun: 'EndUser' | 'Connection', input: object, who: Caller = caller, gateway = test): Promise<Json> => {
  const fields =
    noun === 'EndUser'
      ? 'endUser { id version displayName contacts { type email emailVerified } }'
      : 'connection { id version baseUrl actionCredentials { credential { ... on CredentialBase { id version } } } }';
  const query = `mutation ($input: Upsert${noun}Input!) {
    result: upsert${noun}(input: $input) { __typename ... on Upsert${noun}Success { created ${fields} } ${errors}
      ${noun === 'Connection' ? '... on NotFoundError { path }' : ''} } }`;
  const { result } = await gateway.query(who, query, { input: { integration, ...input } });
  return result;
};
const stored = (collection: string) => test.database.collection(collection).countDocuments({ organizationId: caller.organization });

describe('upsertEndUser', () => {
  it('creates, changes what is given, clears what is null, and then changes nothing', async () => {
    const contacts = [{ type: 'BILLING', email: 'ada@example.com' }];
    const first = await upsert('EndUser', { externalId: 'e1', displayName: 'Ada', contacts });
    expect(first).toMatchObject({ created: true, endUser: { version: 1, displayName: 'Ada' } });
    const { id } = first.endUser;
    const verify = `mutation ($id: ID!) { setEmailVerified(input: { endUser: { id: $id }, contactType: BILLING, email: "ada@example.com", verified: true }) { __typename } }`;
    await test.query(caller, verify, { id });
    const verified = [{ type: 'BILLING', email: 'ada@example.com', emailVerified: true }];
    expect(await upsert('EndUser', { externalId: 'e1', contacts })).toEqual({
      __typename: 'UpsertEndUserSuccess',
      created: false,
      endUser: { id, version: 2, displayName: 'Ada', contacts: verified },
    });
    const changed = await upsert('EndUser', { externalId: 'e1', displayName: null });
    expect(changed).toMatchObject({ created: false, endUser: { id, version: 3, displayName: '', contacts: verified } });
    expect(await upsert('EndUser', { externalId: 'e1', displayName: '', contacts })).toEqual({ ...changed, created: false });
    const { auditLog } = await test.query(caller, '{ auditLog(first: 5) { nodes { action reason objectId } } }');
    expect(auditLog.nodes.map(({ action, reason, objectId }: Json) => [action, reason, objectId])).toEqual([
      ['upsertEndUser', 'nothing changed', id],
      ['upsertEndUser', null, id],
      ['upsertEndUser', 'nothing changed', id],
      ['setEmailVerified', null, id],
      ['upsertEndUser', null, id],
    ]);
  });

  it('keeps to the expected version, which is 0 if there is none', async () => {
    expect(await upsert('EndUser', { externalId: 'e2', expectedVersion: 1 })).toMatchObject({ code: 'CONFLICT', currentVersion: 0 });
    expect(await upsert('EndUser', { externalId: 'e2', expectedVersion: 0 })).toMatchObject({ created: true });
    expect(await upsert('EndUser', { externalId: 'e2', expectedVersion: 0 })).toMatchObject({ code: 'CONFLICT', currentVersion: 1 });
    expect(await upsert('EndUser', { externalId: 'e2', expectedVersion: 1, displayName: 'x' })).toMatchObject({ endUser: { version: 2 } });
  });

  it('says everything that is wrong, and needs the scopes of both', async () => {
    const wrong = await upsert('EndUser', { integration: { name: 'none' }, externalId: '', displayName: 'x'.repeat(300) });
    expect(wrong.issues.map(({ path }: Json) => path.join('.')).sort()).toEqual([
      'input.displayName',
      'input.externalId',
      'input.integration',
    ]);
    const query = 'mutation { upsertEndUser(input: { integration: { name: "crm" }, externalId: "e3" }) { __typename } }';
    for (const scopes of [['endUsers.post'], ['endUsers.patch']]) {
      expect((await test.answer({ ...caller, scopes }, query)).errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    }
    expect((await test.answer({ ...caller, scopes: ['endUsers.post', 'endUsers.patch'] }, query)).errors).toBeUndefined();
  });
});

describe('upsertConnection', () => {
  const data = { basicAuth: { username: 'ada', password: 'secret' } };
  const actionCredentials = [{ credential: { create: { name: 'c', data } } }];

  it('creates, changes what is given, and knows its new credentials again', async () => {
    const first = await upsert('Connection', { name: 'n', actionCredentials });
    expect(first).toMatchObject({ created: true, connection: { version: 1 } });
    const kept = { name: 'n', actionCredentials, replaceSecrets: false };
    expect(await upsert('Connection', kept)).toEqual({ ...first, created: false });
    const changed = await upsert('Connection', { name: 'n', allowedDomain: 'api.example.com', baseUrl: 'https://api.example.com/v2' });
    expect(changed).toEqual({
      ...first,
      created: false,
      connection: { ...first.connection, version: 2, baseUrl: 'https://api.example.com/v2' },
    });
    const other = { basicAuth: { username: 'grace', password: 'another secret' } };
    const replaced = await upsert('Connection', { name: 'n', actionCredentials: [{ credential: { create: { name: 'c', data: other } } }] });
    const secret = { credential: first.connection.actionCredentials[0].credential.id, field: 'password', reason: 'the test looks' };
    const reveal =
      'mutation ($i: RevealSecretInput!) { result: revealSecret(input: $i) { ... on RevealSecretSuccess { secret { plaintext } } } }';
    // A name and a password that do not belong together would be worse than either.
    expect((await test.query(caller, reveal, { i: secret })).result.secret.plaintext).toBe('another secret');
    expect(replaced.connection.actionCredentials[0].credential).toEqual({
      id: first.connection.actionCredentials[0].credential.id,
      version: 2,
    });
    expect(await stored('credentials')).toBe(1);
  });

  it('is another one of another end user or connector', async () => {
    await upsert('EndUser', { externalId: 'owner' });
    const owner = { endUser: { inIntegration: { integration, externalId: 'owner' } } };
    const { id } = await test.create(caller, 'Connector', { integration, name: 'c', baseUrl: 'https://api.example.com' });
    for (const key of [owner, { connector: { id } }, { ...owner, connector: { id } }]) {
      expect(await upsert('Connection', { name: 'n', ...key })).toMatchObject({ created: true });
      expect(await upsert('Connection', { name: 'n', ...key })).toMatchObject({ created: false, connection: { version: 1 } });
    }
  });

  it('keeps to the expected version, and names paths in its own input', async () => {
    expect(await upsert('Connection', { name: 'v', expectedVersion: 3 })).toMatchObject({
      path: ['input', 'expectedVersion'],
      currentVersion: 0,
    });
    expect(await upsert('Connection', { name: 'v', expectedVersion: 0 })).toMatchObject({ created: true });
    expect(await upsert('Connection', { name: 'v', expectedVersion: 0 })).toMatchObject({ code: 'CONFLICT', currentVersion: 1 });
    const missing = { connector: { id: 'Q29ubmVjdG9yOjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nw' } };
    expect(await upsert('Connection', { name: 'v', ...missing })).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'connector'] });
    const wrong = await upsert('Connection', {
      integration: { name: 'none' },
      name: '',
      connector: { id: 'x' },
      actionCredentials: [{ credential: { create: { name: '', data } } }],
    });
    expect(wrong.issues.map(({ path }: Json) => path.join('.')).sort()).toEqual([
      'input.actionCredentials.0.credential.create.name',
      'input.connector.id',
      'input.integration',
      'input.name',
    ]);
  });

  it('needs the scopes of both, also for new credentials', async () => {
    const query = `mutation ($input: UpsertConnectionInput!) { upsertConnection(input: $input) { __typename } }`;
    const input = { integration, name: 's', actionCredentials };
    const scopes = ['connections.post', 'connections.patch', 'credentials.post', 'credentials.patch'];
    for (const each of scopes) {
      const { errors } = await test.answer({ ...caller, scopes: scopes.filter((other) => other !== each) }, query, { input });
      expect(errors).toMatchObject([{ extensions: { code: 'FORBIDDEN', scope: each } }]);
    }
    expect((await test.answer({ ...caller, scopes }, query, { input })).errors).toBeUndefined();
  });
});

it.each(['EndUser', 'Connection'] as const)('%s: many at once, over two copies, create one', async (noun) => {
  const collection = noun === 'EndUser' ? 'endUsers' : 'connections';
  const before = await stored(collection);
  const results = await Promise.all(
    Array.from({ length: 4 }, (_, n) => {
      const own =
        noun === 'EndUser' ? { externalId: 'race', displayName: `${n % 2}` } : { name: 'race', allowedDomain: `a${n % 2}.example.com` };
      return upsert(noun, own, caller, n % 2 ? copy : test);
    }),
  );
  expect(results.map(({ __typename, message }) => message ?? __typename)).toEqual(Array(4).fill(`Upsert${noun}Success`));
  expect(results.filter(({ created }) => created)).toHaveLength(1);
  expect(await stored(collection)).toBe(before + 1);
});

// Our database makes the transaction itself run again. Another one can say that the key is taken.
it('an upsert is tried again when a unique index refuses it, three times at most, and not when it expects another version', async () => {
  const failing = (times: number, error: Error) => {
    let tried = 0;
    return async () => {
      if (tried++ < times) throw error;
      return tried;
    };
  };
  const taken = new DuplicateKeyError(['externalId']);
  expect(await upserting(failing(2, taken))).toBe(3);
  await expect(upserting(failing(3, taken))).rejects.toMatchObject({ code: 'CONFLICT', currentVersion: null });
  await expect(upserting(failing(1, new ConflictError('x', ['expectedVersion'], 2)))).rejects.toMatchObject({ currentVersion: 2 });
});
