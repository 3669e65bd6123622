import { beforeAll, expect, it } from 'vitest';
import { isAboutItem } from '../../src/domain/import.ts';
import * as errors from '../../src/errors.ts';
import { contents } from '../database.ts';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
test.limits = { ...test.limits, maxOwned: 5 };
const caller = { organization: test.newOrganization() };
const integration = { name: 'crm' };
let connector: { id: string };
let endUser: { id: string };

beforeAll(async () => {
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Integration', { name: 'shop' });
  connector = await test.create(caller, 'Connector', { integration, name: 'zendesk', baseUrl: 'https://api.example.com' });
  endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
  await test.create(caller, 'EndUser', { integration: { name: 'shop' }, externalId: 'other' });
});

const IMPORT = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
  __typename
  ... on ImportConnectionsSuccess { imported {
    createdCount updatedCount unchangedCount failedCount
    results { status connectionId error { code message issues { path message } } }
  } }
  ... on MutationError { code message } ... on ValidationError { issues { path message } }
} }`;

const send = async (connections: readonly object[], more: object = {}, as: object = {}): Promise<Json> =>
  (await test.query({ ...caller, ...as }, IMPORT, { input: { integration, connections, ...more } })).result;
const results = async (...args: Parameters<typeof send>): Promise<Json[]> => {
  const result = await send(...args);
  if (!result.imported) throw new Error(JSON.stringify(result));
  return result.imported.results;
};
const statuses = async (...args: Parameters<typeof send>) => (await results(...args)).map(({ status }) => status);

const basicAuth = (password: string, username = 'ada') => ({ basicAuth: { username, password } });
const login = (password: string, more: object = {}) => ({
  credential: { create: { name: 'login', allowedDomains: ['api.example.com'], data: basicAuth(password), ...more } },
});
const item = (name: string, more: object = {}) => ({
  name,
  connector: { inIntegration: { integration, name: 'zendesk' } },
  variables: [{ name: 'region', value: 'eu' }],
  actionCredentials: [login(`secret of ${name}`)],
  ...more,
});
const reveal = async (credential: string) => {
  const query = `mutation ($credential: ID!) { revealSecret(input: { credential: $credential, field: "password", reason: "the test looks" }) {
    ... on RevealSecretSuccess { secret { plaintext } } } }`;
  return (await test.query(caller, query, { credential })).revealSecret.secret.plaintext;
};
const read = async (id: string): Promise<Json> => {
  const query = `query ($id: ID!) { connection(by: { id: $id }) { version name allowedDomain endUser { externalId } actionCredentials {
    credential { ... on BasicAuthCredential { id version name username integrity } } } } }`;
  return (await test.query(caller, query, { id })).connection;
};
/** What is stored, without what each request leaves. */
const stored = async () => {
  const { auditEntries: _, slots: __, usage: ___, ...rest } = await contents(test, caller.organization);
  return JSON.parse(JSON.stringify(rest, (name, value) => (name === 'touches' ? undefined : value)));
};

it('creates what is new, updates what exists, and changes nothing when it is sent again', async () => {
  const items = [item('a'), item('b', { endUser }), item('c', { connector: null, actionCredentials: null })];
  const first = await results(items);
  expect(first.map(({ status }) => status)).toEqual(['CREATED', 'CREATED', 'CREATED']);
  expect((await read(first[1]!.connectionId)).endUser).toEqual({ externalId: 'ada' });
  const before = await stored();
  expect(await statuses(items)).toEqual(['UNCHANGED', 'UNCHANGED', 'UNCHANGED']);
  expect(await stored()).toEqual(before);

  // The same name of another owner is another connection, however the owner is named.
  const byExternalId = { inIntegration: { integration, externalId: 'ada' } };
  expect(await statuses([item('b'), item('b', { endUser: byExternalId })])).toEqual(['CREATED', 'UNCHANGED']);
  const changed = [item('a', { allowedDomain: 'api.example.com' }), { name: 'c' }, item('a', { endUser })];
  expect(await statuses(changed)).toEqual(['UPDATED', 'UNCHANGED', 'CREATED']);
  const a = await read(first[0]!.connectionId);
  expect(a).toMatchObject({ version: 2, allowedDomain: 'api.example.com', actionCredentials: [{ credential: { version: 1 } }] });
  expect(await reveal(a.actionCredentials[0].credential.id)).toBe('secret of a');
});

it('matches new credentials by name and kind, and replaces secrets only if it is told to', async () => {
  const [created] = await results([item('m', { actionCredentials: [login('one'), login('two')] })]);
  const ids = async () =>
    (await read(created!.connectionId)).actionCredentials.map(({ credential }: Json) => [credential.id, credential.version]);
  const [[one], [two]] = await ids();
  const other = { actionCredentials: [login('new', { data: basicAuth('new', 'bob') }), login('two')] };
  expect(await statuses([item('m', other)])).toEqual(['UPDATED']);
  expect(await ids()).toEqual([
    [one, 2],
    [two, 1],
  ]);
  expect(await reveal(one)).toBe('one');
  // A secret that is sent is written each time: nobody learns whether a guess is right.
  for (const version of [3, 4]) {
    expect(await statuses([item('m', other)], { replaceSecrets: true })).toEqual(['UPDATED']);
    expect((await ids())[0]).toEqual([one, version]);
  }
  expect(await reveal(one)).toBe('new');
  // Another kind is another credential, and what is left out is unbound.
  const token = { credential: { create: { name: 'login', data: { bearerToken: { token: 'abc' } } } } };
  expect(await statuses([item('m', { actionCredentials: [token] })])).toEqual(['UPDATED']);
  expect((await read(created!.connectionId)).actionCredentials).toHaveLength(1);
});

it('says of each item what is wrong with it, and imports the others', async () => {
  const before = await stored();
  const wrong = [
    item('', { variables: [{ name: 'v', value: 'x' }], endUser: { inIntegration: { integration, externalId: 'none' } } }),
    item('x', { connector: { inIntegration: { integration: { name: 'shop' }, name: 'zendesk' } } }),
    item('y', { endUser: { inIntegration: { integration: { name: 'shop' }, externalId: 'other' } } }),
    item('z', { actionCredentials: [login('*****')] }),
    item('d', { allowedDomain: 'other.example.com' }),
  ];
  const failed = await send(wrong);
  expect(failed).toMatchObject({ __typename: 'ValidationError', code: 'VALIDATION_FAILED' });
  expect(await stored()).toEqual(before);

  const mixed = await results([item('good'), ...wrong, item('good'), item('last')]);
  expect(mixed.map(({ status }) => status)).toEqual(['CREATED', ...wrong.map(() => 'FAILED'), 'FAILED', 'CREATED']);
  expect(mixed.slice(1, -1).map(({ error }) => [error.code, error.issues.map(({ path }: Json) => path.join('.'))])).toEqual([
    ['VALIDATION_FAILED', ['input.connections.1.name', 'input.connections.1.endUser']],
    ['NOT_FOUND', ['input.connections.2.connector']],
    ['NOT_FOUND', ['input.connections.3.endUser']],
    ['VALIDATION_FAILED', ['input.connections.4.actionCredentials.0.credential.create.data.basicAuth.password']],
    ['VALIDATION_FAILED', ['input.connections.5.actionCredentials.0.credential']],
    ['VALIDATION_FAILED', ['input.connections.6.name']],
  ]);
  // An update that fails after another item of its chunk was written.
  const shop = await test.create(caller, 'Credential', { integration: { name: 'shop' }, name: 's', data: basicAuth('s') });
  const goodBefore = await read(mixed[0]!.connectionId);
  // Its credential is written before the other one is refused.
  const renamed = login('new', { data: basicAuth('new', 'bob') });
  const foreign = item('good', { variables: [], actionCredentials: [renamed, { credential: { id: shop.id } }] });
  const after = await results([item('before', { actionCredentials: [] }), foreign, item('last', { variables: [] })]);
  expect(after.map(({ status, error }) => [status, error?.code])).toEqual([
    ['CREATED', undefined],
    ['FAILED', 'NOT_FOUND'],
    ['UPDATED', undefined],
  ]);
  expect(await read(mixed[0]!.connectionId)).toEqual(goodBefore);
  expect((await test.gateway.audit.verify(caller.organization))!.problems).toEqual([]);
});

it('stores as much as the limits allow, and says which items are too many', async () => {
  const owner = await test.create(caller, 'EndUser', { integration, externalId: 'limited' });
  const items = Array.from({ length: 7 }, (_, index) => item(`l${index}`, { endUser: { id: owner.id } }));
  const limited = await results([...items, item('free')]);
  expect(limited.map(({ status, error }) => error?.code ?? status)).toEqual([
    ...Array(5).fill('CREATED'),
    'LIMIT_EXCEEDED',
    'LIMIT_EXCEEDED',
    'CREATED',
  ]);
  const outside = await send([]);
  expect(outside).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'connections'] }] });
});

it('takes a thousand, and an end user imports into its own connections only', async () => {
  const many = Array.from({ length: 1_000 }, (_, index) => ({ name: `many ${index}`, connector: { id: connector.id } }));
  const { imported: result } = await send(many);
  expect([result.createdCount, result.failedCount]).toEqual([1_000, 0]);
  const token = await test.makeEndUserToken(caller, endUser, { scopes: ['connections.*', 'credentials.*'] });
  const bob = await test.create(caller, 'EndUser', { integration, externalId: 'bob' });
  const own = await results([item('own'), item('a', { endUser: { id: bob.id } }), item('b', { variables: [] })], {}, { token });
  expect(own.map(({ status, error }) => error?.code ?? status)).toEqual(['CREATED', 'NOT_FOUND', 'UPDATED']);
  expect((await read(own[0]!.connectionId)).endUser).toEqual({ externalId: 'ada' });
});

it('goes on with the other items only after errors that are about one', () => {
  const classes = Object.values(errors).filter(
    (each): each is typeof errors.GatewayError => typeof each === 'function' && each.prototype instanceof errors.GatewayError,
  );
  const aboutItem = classes.filter(({ prototype }) => isAboutItem(Object.create(prototype))).map(({ name }) => name);
  expect(aboutItem.sort()).toEqual([
    'AlteredRecordError',
    'ConflictError',
    'InvalidIntegrationError',
    'NotFoundError',
    'StorageLimitError',
    'ValidationError',
  ]);
  expect(classes.length).toBeGreaterThan(15);
});
