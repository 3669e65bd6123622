import { beforeAll, expect, it } from 'vitest';
import { createLookupKeysJob } from '../../src/domain/lookup-keys.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';
import { gatewayOn, openStore, resign, signer } from '../vault.ts';

const test = useTestGateway();
const integration = { name: 'CRM' };
const baseUrl = 'https://api.example.com';
let caller: Caller;
const made: Record<string, string> = {};

const make = async (noun: 'Connector' | 'EndUser' | 'Connection' | 'Credential', name: string, input: object): Promise<string> => {
  const { id } = await test.create(caller, noun, { integration, ...input });
  made[name] = id;
  return id;
};
const nameOf = (id: string) => Object.entries(made).find(([, each]) => each === id)?.[0] ?? id;

/** The names of what a list contains, sorted. The counts agree with it. */
async function found(list: string, filters: string, viewer: Caller = caller): Promise<string[]> {
  const query = `{ page: ${list}(first: 100 ${filters}) { totalCount nodes { ... on Node { id } } pageInfo { hasNextPage } } }`;
  const { page } = await test.query(viewer, query);
  expect(page).toMatchObject({ totalCount: page.nodes.length, pageInfo: { hasNextPage: false } });
  return page.nodes.map(({ id }: Json) => nameOf(id)).sort();
}
async function refused(list: string, filters: string, viewer: Caller = caller): Promise<Json> {
  const { data, errors } = await test.answer(viewer, `{ page: ${list}(${filters}) { nodes { ... on Node { id } } } }`);
  expect(data).toEqual({ page: null });
  return errors![0].extensions;
}

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  made.crm = (await test.create(caller, 'Integration', integration)).id;
  made.shop = (await test.create(caller, 'Integration', { name: 'Shop' })).id;
  const ada = await make('EndUser', 'ada', { externalId: 'ADA-1', displayName: 'Ada Lovelace Ünlü' });
  await make('EndUser', 'bob', { externalId: 'bob-1', displayName: 'BOB ada' });
  const client = { clientId: 'Client-7', clientSecret: 'first', tokenUrl: 'https://auth.example.com/token' };
  const clientId = await make('Credential', 'client', { name: 'client', data: { oauth2Client: client } });
  await make('Credential', 'basic', { name: 'Basic', data: { basicAuth: { username: 'Ada@Example.com', password: 'same' } } });
  await make('Credential', 'sql', { name: 'db', data: { oauth2Password: { username: 'ada@example.com', password: 'same' } } });
  await make('Credential', 'word', { name: 'word', endUser: { id: ada }, data: { string: { value: 'other' } } });
  const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', clientCredentialId: clientId };
  const authSchemes = [{ schemeId: 'x', schemeType: 'OAUTH2', oauth2 }];
  const one = await make('Connector', 'one', { name: 'Service One', baseUrl, authSchemes });
  const two = await make('Connector', 'two', { name: 'Service Two', baseUrl });
  await make('Connector', 'three', { name: 'Other', baseUrl });
  const bind = (id: string) => ({ actionCredentials: [{ credential: { id } }] });
  await make('Connection', 'own', { name: 'Own', endUser: { id: ada }, connector: { id: one }, ...bind(made.word!) });
  await make('Connection', 'shared', { name: 'SHARED', connector: { id: two }, ...bind(made.basic!) });
  await make('Connection', 'plain', { name: 'plain', allowedDomain: 'api.example.com' });
});

it('search: id, names and searchable settings, without regard to case, whole or by a glob', async () => {
  expect(await found('integrations', 'search: "crm"')).toEqual(['crm']);
  expect(await found('integrations', 'search: "*"')).toEqual(['crm', 'shop']);
  expect(await found('connectors', 'search: "SERVICE *"')).toEqual(['one', 'two']);
  expect(await found('connectors', 'search: "service"')).toEqual([]);
  expect(await found('connections', 'search: "shared"')).toEqual(['shared']);
  expect(await found('connections', `search: "${made.own}"`)).toEqual(['own']);
  expect(await found('endUsers', 'search: "ada-1"')).toEqual(['ada']);
  expect(await found('endUsers', 'search: "bob ADA"')).toEqual(['bob']);
  // As it is written elsewhere: decomposed.
  expect(await found('endUsers', 'search: "*u\\u0308nlu\\u0308"')).toEqual(['ada']);
  expect(await found('endUsers', 'search: "*ada*"')).toEqual(['ada', 'bob']);
  expect(await found('endUsers', 'search: "ad?-1"')).toEqual(['ada']);
  expect(await found('endUsers', `search: "${made.bob}", integration: { id: "${made.crm}" }`)).toEqual(['bob']);
  expect(await found('credentials', 'search: "ada@*"')).toEqual(['basic', 'sql']);
  expect(await found('credentials', 'search: "basic"')).toEqual(['basic']);
  // Neither secrets nor other sorts of keys can be reached.
  for (const text of ['same', '#*', ':*', '=*', 'username=*', '^*']) expect(await found('credentials', `search: "${text}"`)).toEqual([]);
  expect(await refused('endUsers', 'search: "a*b*c*"')).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['search'] }] });
  // A glob on the name keeps its case.
  expect(await found('connections', 'name: "shared"')).toEqual([]);
});

it('setting: a searchable field of whatever kind, and no other', async () => {
  expect(await found('credentials', 'setting: { name: "username", value: "ADA@example.com" }')).toEqual(['basic', 'sql']);
  expect(await found('credentials', 'setting: { name: "username", value: "ada*" }, kinds: [BASIC_AUTH]')).toEqual(['basic']);
  expect(await found('credentials', 'setting: { name: "username", value: "*.com" }, unused: true')).toEqual(['sql']);
  expect(await found('credentials', 'setting: { name: "clientId", value: "client-?" }')).toEqual(['client']);
  expect(await found('credentials', 'setting: { name: "clientId", value: "ada@example.com" }')).toEqual([]);
  for (const name of ['password', 'tokenUrl', 'constructor', '#', '']) {
    const extensions = await refused('credentials', `setting: { name: "${name}", value: "*" }`);
    expect(extensions).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['setting', 'name'] }] });
  }
  const id = await make('Credential', 'moved', { name: 'moved', data: { basicAuth: { username: 'before', password: 'p' } } });
  await run(test, caller, 'updateCredential', { credential: id, data: { basicAuth: { username: 'after', password: 'p' } } });
  expect(await found('credentials', 'setting: { name: "username", value: "before" }')).toEqual([]);
  expect(await found('credentials', 'setting: { name: "username", value: "after" }')).toEqual(['moved']);
  await run(test, caller, 'deleteCredential', { credential: id });
});

it('fingerprint: every credential with this secret, for who may read fingerprints', async () => {
  const query = 'query ($id: ID!) { credential(id: $id) { ... on BasicAuthCredential { password { fingerprint } } } }';
  const { fingerprint } = (await test.query(caller, query, { id: made.basic })).credential.password;
  const filter = `fingerprint: "${fingerprint}"`;
  expect(await found('credentials', filter)).toEqual(['basic', 'sql']);
  expect(await found('credentials', `${filter}, setting: { name: "username", value: "ada*" }, search: "db"`)).toEqual(['sql']);
  const scopes = ['credentials.get', 'credentials.*', 'all.Organization'];
  expect(await refused('credentials', filter, { ...caller, scopes })).toEqual({ code: 'FORBIDDEN', scope: 'credentials.fingerprint' });
  await run(test, caller, 'updateCredential', { credential: made.sql, data: { oauth2Password: { password: 'replaced' } } });
  expect(await found('credentials', filter)).toEqual(['basic']);
});

it('unused: named by no connection and no connector', async () => {
  expect(await found('credentials', 'unused: true')).toEqual(['sql']);
  expect(await found('credentials', 'unused: false')).toEqual(['basic', 'client', 'word']);
  expect(await found('credentials', `unused: false, endUser: { id: "${made.ada}" }`)).toEqual(['word']);
  const entry = { connection: { id: made.plain }, list: 'ACTION', credential: { id: made.sql } };
  await run(test, caller, 'addConnectionCredential', entry);
  expect(await found('credentials', 'unused: true')).toEqual([]);
  await run(test, caller, 'removeConnectionCredential', { ...entry, credential: made.sql });
  expect(await found('credentials', 'unused: true')).toEqual(['sql']);

  // Pages in both directions, each as long as asked.
  const other = { organization: test.newOrganization() };
  await test.create(other, 'Integration', integration);
  for (let n = 0; n < 7; n++) await test.create(other, 'Credential', { integration, name: `c${n}`, data: { none: {} } });
  const { credentials } = await test.query(other, '{ credentials(first: 7) { nodes { ... on CredentialBase { id name } } } }');
  const bound = credentials.nodes.filter(({ name }: Json) => ['c1', 'c4'].includes(name));
  await test.create(other, 'Connection', {
    integration,
    name: 'x',
    actionCredentials: bound.map(({ id }: Json) => ({ credential: { id } })),
  });
  const page = async (args: string) =>
    (
      await test.query(
        other,
        `{ credentials(unused: true, ${args}, sort: { field: NAME, direction: ASC }) { nodes { ... on CredentialBase { name } } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }`,
      )
    ).credentials;
  const names = ({ nodes }: Json) => nodes.map(({ name }: Json) => name);
  const first = await page('first: 2');
  const second = await page(`first: 2, after: "${first.pageInfo.endCursor}"`);
  const third = await page(`first: 2, after: "${second.pageInfo.endCursor}"`);
  expect([first, second, third].map(names)).toEqual([['c0', 'c2'], ['c3', 'c5'], ['c6']]);
  expect([first, second, third].map(({ pageInfo }) => pageInfo.hasNextPage)).toEqual([true, true, false]);
  expect(names(await page(`last: 2, before: "${third.pageInfo.startCursor}"`))).toEqual(['c3', 'c5']);
});

it('unusedSince: not used since a time at which it existed', async () => {
  const start = new Date(Date.now() + 60_000).toISOString();
  const credentials = test.database.collection<Json>('credentials');
  expect(await found('credentials', `unusedSince: "${start}"`)).toEqual(['basic', 'client', 'sql', 'word']);
  expect(await found('credentials', 'unusedSince: "2020-01-01T00:00:00Z"')).toEqual([]);
  const used = async (name: string, lastUsedAt: Date) => credentials.updateOne({ _id: parseId(made[name]!)!.id }, { $set: { lastUsedAt } });
  await used('basic', new Date(Date.now() + 120_000));
  await used('word', new Date());
  expect(await found('credentials', `unusedSince: "${start}"`)).toEqual(['client', 'sql', 'word']);
});

it('connections by the kinds of their credentials, and by several connectors', async () => {
  expect(await found('connections', 'credentialKinds: [STRING]')).toEqual(['own']);
  expect(await found('connections', 'credentialKinds: [STRING, BASIC_AUTH]')).toEqual(['own', 'shared']);
  expect(await found('connections', 'credentialKinds: [OAUTH2_CLIENT]')).toEqual([]);
  // The kind of a client that a scheme names, of a new credential, and no longer that of one that is gone.
  const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', clientCredentialId: made.client };
  const create = { name: 'new', data: { none: {} } };
  await run(test, caller, 'updateConnection', {
    connection: { id: made.plain },
    actionCredentials: [{ credential: { create }, authScheme: { schemeId: 'x', schemeType: 'OAUTH2', oauth2 } }],
  });
  expect(await found('connections', 'credentialKinds: [OAUTH2_CLIENT]')).toEqual(['plain']);
  expect(await found('connections', 'credentialKinds: [NONE], search: "PLAIN"')).toEqual(['plain']);
  const { id } = (await test.query(caller, '{ credentials(kinds: [NONE]) { nodes { ... on Node { id } } } }')).credentials.nodes[0];
  await run(test, caller, 'deleteCredential', { credential: id, force: true });
  expect(await found('connections', 'credentialKinds: [NONE, OAUTH2_CLIENT]')).toEqual([]);

  // What an end user cannot see of its own connection does not show in what is found.
  const entries = [made.word, made.basic].map((each) => ({ credential: { id: each } }));
  const mixed = await make('Connection', 'mixed', { name: 'mixed', endUser: { id: made.ada }, actionCredentials: entries });
  const ada = { ...caller, token: await test.makeEndUserToken(caller, { id: made.ada }) };
  expect(await found('connections', 'credentialKinds: [STRING]', ada)).toEqual(['mixed', 'own']);
  expect(await found('connections', 'credentialKinds: [BASIC_AUTH]', ada)).toEqual([]);
  expect(await refused('connections', 'credentialKinds: [STRING]', { ...caller, scopes: ['connections.get'] })).toMatchObject({
    code: 'FORBIDDEN',
    scope: 'credentials.get',
  });
  await run(test, caller, 'deleteConnection', { connection: { id: mixed } });

  const refs = (...names: string[]) => `[${names.map((name) => `{ id: "${made[name]}" }`).join()}]`;
  expect(await found('connections', `connectors: ${refs('one', 'two')}`)).toEqual(['own', 'shared']);
  expect(await found('connections', `connectors: ${refs('three', 'two')}, credentialKinds: [BASIC_AUTH]`)).toEqual(['shared']);
  expect(await found('connections', 'connectors: []')).toEqual([]);
  expect(await refused('connections', `connectors: ${refs('one')}, connector: { id: "${made.two}" }`)).toMatchObject({
    code: 'VALIDATION_FAILED',
    issues: [{ message: expect.stringContaining('must not be used together with') }],
  });
  expect(await refused('connections', `connectors: ${refs('one').replace(']', `, { id: "${made.ada}" }]`)}`)).toMatchObject({
    code: 'VALIDATION_FAILED',
  });
});

it('what belongs to an integration, a connector and an end user are pages with the same filters', async () => {
  const {
    integration: crm,
    connector,
    endUser,
  } = await test.query(
    caller,
    `query ($crm: ID!, $one: ID!, $ada: ID!) {
      integration(by: { id: $crm }) {
        connectors(search: "service*") { totalCount nodes { name } } endUsers(search: "ada-1") { nodes { displayName } }
        connections(credentialKinds: [BASIC_AUTH]) { nodes { name } } credentials(unused: true, first: 1) { totalCount nodes { ... on CredentialBase { name } } }
      }
      connector(by: { id: $one }) { connections(search: "own") { nodes { name } } none: connections(search: "shared") { totalCount } }
      endUser(by: { id: $ada }) {
        connections(credentialKinds: [STRING], connectors: [{ id: $one }]) { nodes { name } }
        none: connections(name: "x*") { totalCount } credentials(kinds: [STRING]) { totalCount }
      }
    }`,
    { crm: made.crm, one: made.one, ada: made.ada },
  );
  expect(crm).toMatchObject({
    connectors: { totalCount: 2 },
    endUsers: { nodes: [{ displayName: 'Ada Lovelace Ünlü' }] },
    connections: { nodes: [{ name: 'SHARED' }] },
    credentials: { totalCount: 1, nodes: [{ name: 'db' }] },
  });
  expect(connector).toEqual({ connections: { nodes: [{ name: 'Own' }] }, none: { totalCount: 0 } });
  expect(endUser).toMatchObject({ connections: { nodes: [{ name: 'Own' }] }, none: { totalCount: 0 }, credentials: { totalCount: 1 } });
});

it('records of an earlier version are found, and get their keys without a new version', async () => {
  const organizationId = caller.organization;
  const nouns = {
    integration: 'integrations',
    connector: 'connectors',
    endUser: 'endUsers',
    connection: 'connections',
    credential: 'credentials',
  };
  const withoutKeys = ({ lookupKeys: _, ...rest }: Json) => rest;
  for (const noun of Object.keys(nouns)) await resign(test, noun as keyof typeof nouns, { organizationId }, withoutKeys);
  const all = async () =>
    Promise.all(Object.values(nouns).map((each) => test.database.collection(each).find({ organizationId }).toArray()));
  const facts = (lists: Json[][]) => lists.flat().map(({ _id, version, updatedAt, updatedBy }) => ({ _id, version, updatedAt, updatedBy }));
  const before = facts(await all());
  // Whatever an altered one says must not get a MAC.
  const altered = await test.database
    .collection<Json>('endUsers')
    .findOneAndUpdate({ organizationId, externalId: 'bob-1' }, { $set: { displayName: 'altered' } });
  // This copy remembers for a minute that all records have keys; another one does not.
  await test.close();
  await test.open();
  expect(await found('integrations', 'search: "CRM"')).toEqual(['crm']);
  expect(await found('connectors', 'search: "service*"')).toEqual(['one', 'two']);
  expect(await found('endUsers', 'search: "ada-1"')).toEqual(['ada']);
  expect(await found('endUsers', 'search: "altered"')).toEqual([]);
  expect(await found('connections', 'credentialKinds: [STRING]')).toEqual(['own']);
  expect(await found('credentials', 'setting: { name: "username", value: "ada*" }')).toEqual(['basic', 'sql']);
  const after = await all();
  expect(facts(after)).toEqual(before);
  expect(
    after
      .flat()
      .filter(({ lookupKeys }) => !lookupKeys)
      .map(({ _id }) => _id),
  ).toEqual([altered!._id]);
  // They are as the gateway wrote them.
  const { credentials } = await test.query(caller, '{ credentials(first: 100) { nodes { ... on CredentialBase { integrity } } } }');
  expect(new Set(credentials.nodes.map(({ integrity }: Json) => integrity))).toEqual(new Set(['INTACT']));
});

it('a filter that needs the keys of very many records of an earlier version says that it is not ready, until a job has written them', async () => {
  const many = { organization: test.newOrganization() };
  await test.create(many, 'Integration', integration);
  await test.create(many, 'Connector', { integration, name: 'c', baseUrl });
  const connectors = test.database.collection<Json>('connectors');
  const { lookupKeys: _, ...template } = (await connectors.findOne({ organizationId: many.organization }))!;
  const copies = Array.from({ length: 1_250 }, (_, n) => ({ ...template, _id: n.toString(16).padStart(24, '0'), name: `old ${n}` }));
  await connectors.insertMany(copies.map(await signer(test, 'connector', many.organization)));
  await test.close();
  await test.open();
  const { status, errors } = await test.answer(many, '{ connectors(search: "old 7") { nodes { name } } }');
  expect([status, errors!.map(({ extensions }) => extensions.code)]).toEqual([503, ['UNAVAILABLE']]);
  // Other filters do not wait for it.
  expect((await test.query(many, '{ connectors(name: "old 7") { nodes { name } } }')).connectors.nodes).toHaveLength(1);
  await createLookupKeysJob(gatewayOn(await openStore(test), () => new Date()))();
  expect((await test.query(many, '{ connectors(search: "OLD 7") { nodes { name } } }')).connectors.nodes).toEqual([{ name: 'old 7' }]);
  expect(await connectors.countDocuments({ organizationId: many.organization, lookupKeys: null })).toBe(0);
});
