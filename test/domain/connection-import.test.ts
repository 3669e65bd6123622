import { beforeAll, expect, it, vi } from 'vitest';
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
  ... on NotFoundError { path }
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
    credential { ... on BasicAuthCredential { id version name description username integrity } } } } }`;
  return (await test.query(caller, query, { id })).connection;
};
/** How often an import runs a transaction, and how many commands it sends. */
const counted = async <T>(run: () => Promise<T>): Promise<{ result: T; commands: number; transactions: number }> => {
  const before = test.commands.length;
  const result = await run();
  const sent = test.commands.slice(before);
  // Each read comes in one batch.
  expect(sent).not.toContain('getMore');
  return { result, commands: sent.length, transactions: sent.filter((name) => /^(?:commit|abort)Transaction$/.test(name)).length };
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
  // One that needs less is still tried.
  const partly = await test.create(caller, 'EndUser', { integration, externalId: 'partly' });
  const having = (name: string, count: number) =>
    item(name, { endUser: { id: partly.id }, actionCredentials: Array.from({ length: count }, (_, index) => login(`${name} ${index}`)) });
  const codes = (await results([having('four', 4), having('two', 2), having('three', 3), having('one', 1)])).map(
    ({ error }) => error?.code,
  );
  expect(codes).toEqual([undefined, 'LIMIT_EXCEEDED', 'LIMIT_EXCEEDED', undefined]);
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
  // All end users that the items name are read at once.
  const named = ['ada', 'bob'].map((externalId) => ({ name: 'named', endUser: { inIntegration: { integration, externalId } } }));
  expect((await counted(() => statuses(named))).result).toEqual(['CREATED', 'CREATED']);
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

it('checks changes before it writes, and writes a credential once, however many connections have it', async () => {
  const shared = await test.create(caller, 'Credential', { integration, name: 'shared', data: basicAuth('old') });
  const names = Array.from({ length: 120 }, (_, index) => `shared ${index}`);
  const existing = [{ credential: { id: shared.id } }];
  await send(names.map((name) => ({ name, actionCredentials: existing, triggerCredentials: existing })));
  const own = (username: string, password: string) => [{ credential: { create: { name: 'shared', data: basicAuth(password, username) } } }];
  const again = names.map((name, index) => ({ name, actionCredentials: own(`user ${index}`, `secret ${index}`) }));
  const { result, commands, transactions } = await counted(() => results(again, { replaceSecrets: true }));
  expect(result.map(({ status }) => status)).toEqual(names.map(() => 'UPDATED'));
  expect(transactions).toBe(2);
  expect(commands).toBeLessThan(120);
  // The last one is stored. It is written once for each transaction.
  expect((await read(result[0]!.connectionId)).actionCredentials[0].credential).toMatchObject({
    version: 3,
    username: 'user 119',
    integrity: 'INTACT',
  });
  expect(await reveal(shared.id)).toBe('secret 119');
  // In both lists of one connection, the later one sees what the earlier one changes.
  const [first] = own('bob', 'first');
  const described = { credential: { create: { ...first!.credential.create, description: 'of the earlier one' } } };
  const both = { name: 'shared 0', actionCredentials: [described], triggerCredentials: own('carol', 'second') };
  expect(await statuses([both, { name: 'shared 1' }], { replaceSecrets: true })).toEqual(['UPDATED', 'UNCHANGED']);
  expect((await read(result[0]!.connectionId)).actionCredentials[0].credential).toMatchObject({
    version: 4,
    username: 'carol',
    description: 'of the earlier one',
  });
  expect(await reveal(shared.id)).toBe('second');

  // An item that fails changes nothing, also none of its credentials, and costs no transaction.
  const half = Array.from({ length: 40 }, (_, index) => item(`half ${index}`, { connector: null }));
  await send(half);
  const changed = half.map((each, index) => ({
    ...each,
    allowedDomain: index % 2 === 0 ? 'api.example.com' : 'other.example.com',
    actionCredentials: [login('x', { data: basicAuth('x', 'changed') })],
  }));
  const halves = await counted(() => send(changed));
  expect(halves.transactions).toBe(1);
  const told: Json[] = halves.result.imported.results;
  expect(told.map(({ error }) => error?.issues[0].path.join('.'))).toEqual(
    half.map((_, index) => (index % 2 === 0 ? undefined : `input.connections.${index}.allowedDomain`)),
  );
  const query = `{ credentials(integration: { name: "crm" }, name: "login", first: 100) { nodes { ... on BasicAuthCredential { username } } } }`;
  const { credentials } = await test.query(caller, query);
  expect(credentials.nodes.filter(({ username }: Json) => username === 'changed')).toHaveLength(20);
  expect((await test.gateway.audit.verify(caller.organization))!.problems).toEqual([]);
});

it('ends in time, repeats few transactions, and logs the items that it refuses', async () => {
  // The second transaction is not started: the clock moves when the first one is committed.
  const before = test.commands.length;
  const real = performance.now.bind(performance);
  const isCommitted = () => test.commands.includes('commitTransaction', before);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => real() + (isCommitted() ? 15_000 : 0));
  const late = await results(Array.from({ length: 120 }, (_, index) => ({ name: `late ${index}` }))).finally(() => clock.mockRestore());
  expect(late.map(({ status, error }) => error?.code ?? status)).toEqual([...Array(100).fill('CREATED'), ...Array(20).fill('TIMEOUT')]);

  const owner = await test.create(caller, 'EndUser', { integration, externalId: 'full' });
  const many = Array.from({ length: 300 }, (_, index) => ({ name: `full ${index}`, endUser: { id: owner.id } }));
  const { result, transactions } = await counted(() => results([...many, { name: 'not full' }]));
  expect(transactions).toBeLessThan(30);
  const codes = result.map(({ status, error }) => error?.code ?? status);
  expect(codes.filter((code) => code === 'CREATED')).toHaveLength(6);
  expect(codes.filter((code) => code === 'LIMIT_EXCEEDED')).toHaveLength(295);

  // The same item in another transaction is refused too, before anything is written.
  const apart = [
    { name: 'twice' },
    ...Array.from({ length: 109 }, (_, index) => ({ name: `late ${index}` })),
    { name: 'twice', variables: [] },
  ];
  const twice = await results(apart);
  expect([twice[0]!.status, twice[110]!.status]).toEqual(['CREATED', 'FAILED']);
  expect(twice[110]!.error.issues.map(({ path }: Json) => path.join('.'))).toEqual(['input.connections.110.name']);

  const unknown = { name: 'guess', endUser: { inIntegration: { integration, externalId: 'nobody' } } };
  expect(await send([unknown])).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'connections', '0', 'endUser'] });
  expect(await statuses([{ name: 'late 0' }, unknown, { ...unknown, name: 'other guess' }])).toEqual(['UNCHANGED', 'FAILED', 'FAILED']);
  await test.gateway.audit.seal();
  const log = '{ auditLog(first: 100) { nodes { action outcome count } } }';
  const entries: Json[] = (await test.query(caller, log)).auditLog.nodes;
  expect(entries.filter(({ outcome }) => outcome === 'NOT_FOUND').reduce((sum, { count }) => sum + count, 0)).toBeGreaterThanOrEqual(3);
  expect(entries.find(({ outcome }) => outcome === 'TIMEOUT')).toMatchObject({ action: 'importConnections', count: 20 });
});

it('tells an end user nothing about the hidden credentials of its other connections', async () => {
  const carl = await test.create(caller, 'EndUser', { integration, externalId: 'carl' });
  const hidden = await test.create(caller, 'Credential', { integration, name: 'hidden', data: basicAuth('h') });
  const name = (each: string) => ({ name: each, endUser: { id: carl.id } });
  const [one] = await results([{ ...name('one'), actionCredentials: [{ credential: { id: hidden.id } }] }, name('two')]);
  const token = await test.makeEndUserToken(caller, carl, { scopes: ['connections.*', 'credentials.*'] });
  const aim = (id: string) => ({ ...name('two'), actionCredentials: [{ credential: { id } }] });
  const { id: absent } = await test.create(caller, 'Credential', {
    integration: { name: 'shop' },
    name: 'elsewhere',
    data: basicAuth('e'),
  });
  for (const id of [hidden.id, absent]) {
    const [kept, refused] = await results(
      [{ ...name('one'), actionCredentials: [{ credential: { id: hidden.id } }] }, aim(id)],
      {},
      { token },
    );
    expect([kept!.status, refused!.error?.code]).toEqual(['UNCHANGED', 'NOT_FOUND']);
  }
  expect((await read(one!.connectionId)).actionCredentials[0].credential.version).toBe(1);
});
