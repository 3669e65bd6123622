import { describe, expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';

const test = useTestGateway();

/** The document's body of `POST /applications/APPLICATION_ID/credentials`. */
const example = { name: 'locker', type: 'azure', enabled: true, azureConfig: { account: 'my account', accountKey: '123abc' } };
const application = { name: 'my application' };

/** The same in our words: an application is an integration, `<type>Config` is a member of `data`. */
function postInput({ name, enabled, azureConfig } = example, integration: object = application) {
  return { integration, name, enabled, data: { azure: azureConfig } };
}
const shown = `id name kind enabled createdAt updatedAt integration { id name } ... on AzureCredential { account accountKey { isSet redacted } }`;

async function setUp(): Promise<Caller & { id: string }> {
  const caller = { organization: test.newOrganization() };
  return { ...caller, id: (await test.create(caller, 'Integration', application)).id };
}

const someData: Readonly<Record<string, object>> = {
  aws: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'secret', region: 'eu-central-1' },
  azure: { account: 'my account', accountKey: '123abc' },
  mailgun: { apiKey: 'key-123' },
};
/** Five credentials, created one second after the other, and changed in another order. */
const collection = [
  { name: 'locker', kind: 'azure' },
  { name: 'archive', kind: 'aws' },
  { name: 'mail', kind: 'mailgun' },
  { name: 'lock', kind: 'aws' },
  { name: 'Locker', kind: 'azure' },
] as const;

let made: ReturnType<typeof makeCollection> | undefined;
/** The collection, for tests that only read it. */
const setUpCollection = () => (made ??= makeCollection());

async function makeCollection(): Promise<Caller & { id: string }> {
  const caller = await setUp();
  const start = Date.now();
  const ids: string[] = [];
  try {
    for (const [index, { name, kind }] of collection.entries()) {
      test.time = () => new Date(start + index * 1_000);
      const input = { integration: application, name, data: { [kind]: someData[kind] } };
      ids.push((await test.create(caller, 'Credential', input)).id);
    }
    test.time = () => new Date(start + 60_000);
    await run(test, caller, 'updateCredential', { credential: ids[1], description: 'changed last' });
  } finally {
    test.time = () => new Date();
  }
  return caller;
}

const listQuery = `query ($integration: IntegrationRef, $sort: CredentialSort, $first: Int, $after: String, $kinds: [CredentialKind!], $name: String) {
  credentials(integration: $integration, sort: $sort, first: $first, after: $after, kinds: $kinds, name: $name) {
    nodes { ... on CredentialBase { name kind } }
    pageInfo { hasNextPage endCursor }
    totalCount
  }
}`;
async function list(caller: Caller, variables: object = {}): Promise<Json> {
  return (await test.query(caller, listQuery, { integration: application, ...variables })).credentials;
}
const names = ({ nodes }: Json): string[] => nodes.map(({ name }: Json) => name);

describe('get', () => {
  it('L1, L11: gives the credentials of one application, and of no other', async () => {
    const caller = await setUpCollection();
    await test.create(caller, 'Integration', { name: 'another' });
    await test.create(caller, 'Credential', postInput(example, { name: 'another' }));
    const page = await list(caller);
    expect([...names(page)].sort()).toEqual(['Locker', 'archive', 'lock', 'locker', 'mail']);
    expect(page.totalCount).toBe(5);
  });

  const sorts = [
    ['name', 'NAME', 'ASC', ['Locker', 'archive', 'lock', 'locker', 'mail']],
    ['name', 'NAME', 'DESC', ['mail', 'locker', 'lock', 'archive', 'Locker']],
    ['creationDate', 'CREATED_AT', 'ASC', ['locker', 'archive', 'mail', 'lock', 'Locker']],
    ['creationDate', 'CREATED_AT', 'DESC', ['Locker', 'lock', 'mail', 'archive', 'locker']],
    ['lastUpdated', 'UPDATED_AT', 'ASC', ['locker', 'mail', 'lock', 'Locker', 'archive']],
    ['lastUpdated', 'UPDATED_AT', 'DESC', ['archive', 'Locker', 'lock', 'mail', 'locker']],
  ] as const;
  it.each(sorts)('L4, L5: sortField=%s (%s) sortDirection=%s', async (_theirs, field, direction, expected) => {
    expect(names(await list(await setUpCollection(), { sort: { field, direction } }))).toEqual(expected);
  });

  it.each([['ASC'], ['DESC']])('L4, L5: sortField=type sortDirection=%s', async (direction) => {
    const page = await list(await setUpCollection(), { sort: { field: 'KIND', direction } });
    const kinds = ['AWS', 'AWS', 'AZURE', 'AZURE', 'MAILGUN'];
    expect(page.nodes.map(({ kind }: Json) => kind)).toEqual(direction === 'ASC' ? kinds : kinds.reverse());
  });

  it('L4, L5: newest first unless told, and either half of the sort may be left out', async () => {
    const caller = await setUpCollection();
    const newestFirst = names(await list(caller, { sort: { field: 'CREATED_AT', direction: 'DESC' } }));
    for (const sort of [undefined, {}, { field: 'CREATED_AT' }, { direction: 'DESC' }]) {
      expect(names(await list(caller, { sort }))).toEqual(newestFirst);
    }
  });

  it('L6, L7: perPage=2, page=0, 1, 2 are three pages without gap or repetition', async () => {
    const caller = await setUpCollection();
    const pages: string[][] = [];
    let after: string | null = null;
    do {
      const page = await list(caller, { first: 2, after, sort: { field: 'NAME', direction: 'ASC' } });
      pages.push(names(page));
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after);
    expect(pages).toEqual([['Locker', 'archive'], ['lock', 'locker'], ['mail']]);
  });

  it('L7: a page may hold 100, their default, and not more', async () => {
    const caller = await setUp();
    expect(names(await list(caller, { first: 100 }))).toEqual([]);
    const { errors } = await test.answer(caller, listQuery, { first: 101 });
    expect(errors?.[0].extensions.issues).toEqual([{ path: ['first'], message: 'must be from 1 to 100' }]);
  });

  const filters = [
    ['filterField=type filter=aws', { kinds: ['AWS'] }, ['archive', 'lock']],
    ['filterField=type, two of them', { kinds: ['AWS', 'MAILGUN'] }, ['archive', 'lock', 'mail']],
    ['filterField=name filter=locker', { name: 'locker' }, ['locker']],
    ['filterField=name filter=lock*', { name: 'lock*' }, ['lock', 'locker']],
    ['filterField=name filter=*ock*', { name: '*ock*' }, ['Locker', 'lock', 'locker']],
    ['filterField=name filter=?ocker', { name: '?ocker' }, ['Locker', 'locker']],
    ['filterField=name filter=*', { name: '*' }, ['Locker', 'archive', 'lock', 'locker', 'mail']],
    ['filterField=name filter=l.ck', { name: 'l.ck' }, []],
    ['a blank filter', { name: '' }, ['Locker', 'archive', 'lock', 'locker', 'mail']],
    ['no filter', { name: null, kinds: null }, ['Locker', 'archive', 'lock', 'locker', 'mail']],
  ] as const;
  it.each(filters)('L8, L9: %s', async (_theirs, filter, expected) => {
    const page = await list(await setUpCollection(), { ...filter, sort: { field: 'NAME', direction: 'ASC' } });
    expect(names(page)).toEqual(expected);
    expect(page.totalCount).toBe(expected.length);
  });

  it('L3: the application is told by its id, too', async () => {
    const caller = await setUpCollection();
    expect((await list(caller, { integration: { id: caller.id } })).totalCount).toBe(5);
  });

  it('L12: a malformed request is refused, an unknown application is told as such', async () => {
    const caller = await setUpCollection();
    const { errors } = await test.answer(caller, listQuery, { integration: { id: '575ec8687ae143cd83dc4a97' } });
    expect(errors?.[0].extensions).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['integration', 'id'] }] });
    expect((await test.answer(caller, listQuery, { sort: { field: 'creationDate' } })).status).toBe(400);
    const unknown = await test.answer(caller, listQuery, { integration: { name: 'no such' } });
    expect(Object.values(unknown.data)).toEqual([null]);
    expect(unknown.errors?.[0].extensions).toEqual({ code: 'INVALID_INTEGRATION', path: ['integration'] });
  });

  it.each([['all.Organization'], ['all.Organization.read'], ['credentials.*'], ['credentials.get']])(
    'L2: %s suffices to read',
    async (scope) => {
      const caller = await setUpCollection();
      expect((await list({ ...caller, scopes: [scope] })).totalCount).toBe(5);
    },
  );

  it.each([['credentials.post'], ['connections.get'], ['credentials.get.all'], ['']])('L2: %s does not suffice to read', async (scope) => {
    const caller = await setUp();
    const { errors, data } = await test.answer({ ...caller, scopes: [scope] }, listQuery, {});
    expect({ extensions: errors?.[0].extensions, data }).toEqual({
      extensions: { code: 'FORBIDDEN', scope: 'credentials.get' },
      data: { credentials: null },
    });
  });

  it('L10: nothing is read without a bearer token', async () => {
    const { status, errors } = await test.send({ query: '{ credentials { totalCount } }' });
    expect({ status, code: errors?.[0].extensions.code }).toEqual({ status: 401, code: 'UNAUTHENTICATED' });
  });
});

describe('post', () => {
  it('L14, L15, L17: the document’s body makes the credential, its config under the name of its type', async () => {
    const caller = await setUp();
    const created = await test.create(caller, 'Credential', postInput(), shown);
    expect(created).toMatchObject({
      name: 'locker',
      kind: 'AZURE',
      enabled: true,
      account: 'my account',
      accountKey: { isSet: true, redacted: '*****' },
      integration: { name: application.name },
    });
    const read = await test.query(caller, `query ($id: ID!) { credential(id: $id) { ... on CredentialBase { ${shown} } } }`, {
      id: created.id,
    });
    expect(read.credential).toEqual(created);
    const { secret } = await run(
      test,
      caller,
      'revealSecret',
      { credential: created.id, field: 'accountKey', reason: 'the test looks' },
      'plaintext',
    );
    expect(secret.plaintext).toBe('123abc');
  });

  it('L14: `enabled` false is kept, absent is true', async () => {
    const caller = await setUp();
    const disabled = await test.create(caller, 'Credential', postInput({ ...example, enabled: false }), shown);
    const { enabled: _, ...absent } = postInput();
    expect([disabled.enabled, (await test.create(caller, 'Credential', absent, shown)).enabled]).toEqual([false, true]);
  });

  const malformed = [
    ['no name', { integration: application, data: { azure: example.azureConfig } }],
    ['no type', { integration: application, name: 'locker' }],
    ['an unknown type', { integration: application, name: 'locker', data: { azur: example.azureConfig } }],
    ['two types', { integration: application, name: 'locker', data: { azure: example.azureConfig, mailgun: { apiKey: '123abc' } } }],
    ['an unknown member', { ...postInput(), lastUpdated: '2020-01-01T00:00:00Z' }],
    ['an unknown member of the config', { ...postInput(), data: { azure: { ...example.azureConfig, key: 'x' } } }],
    ['a config without its secret', { ...postInput(), data: { azure: { account: 'my account' } } }],
    ['a secret that is too short', { ...postInput(), data: { azure: { ...example.azureConfig, accountKey: '123' } } }],
    ['an empty name', { ...postInput(), name: '' }],
  ] as const;
  it.each(malformed)('L12, L14, L16: %s is a malformed request, and nothing is made', async (_what, input) => {
    const caller = await setUp();
    const { data, errors } = await send(test, caller, 'createCredential', input);
    expect(['BAD_USER_INPUT', 'VALIDATION_FAILED']).toContain(data?.result.code ?? errors?.[0].extensions.code);
    expect((await list(caller)).totalCount).toBe(0);
  });

  it('L12, L16: an unknown application is told as such', async () => {
    const caller = await setUp();
    const result = await run(test, caller, 'createCredential', postInput(example, { name: 'no such' }));
    expect(result).toMatchObject({ code: 'INVALID_INTEGRATION', path: ['input', 'integration'] });
  });

  it.each([['all.Organization'], ['credentials.*'], ['credentials.post']])('L13: %s suffices to create', async (scope) => {
    const caller = await setUp();
    const result = await send(test, { ...caller, scopes: [scope] }, 'createCredential', postInput(), 'id');
    // What is selected in the answer is read, which `credentials.post` alone does not allow.
    const expected = scope === 'credentials.post' ? { status: 403, missing: 'credentials.get' } : { status: 200, missing: undefined };
    expect({ status: result.status, missing: result.errors?.[0].extensions.scope }).toEqual(expected);
    const blind = 'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }';
    const { data } = await test.answer({ ...caller, scopes: [scope] }, blind, { input: postInput() });
    expect(data.createCredential.__typename).toBe('CreateCredentialSuccess');
  });

  it.each([['all.Organization.read'], ['credentials.get'], ['credentials.patch'], ['all.User.read']])(
    'L13: no read scope suffices to create, such as %s',
    async (scope) => {
      const caller = await setUp();
      const { status, errors } = await send(test, { ...caller, scopes: [scope, 'credentials.get'] }, 'createCredential', postInput());
      expect({ status, extensions: errors?.[0].extensions }).toEqual({
        status: 403,
        extensions: { code: 'FORBIDDEN', scope: 'credentials.post' },
      });
      expect((await list(caller)).totalCount).toBe(0);
    },
  );
});
