import { beforeAll, describe, expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();
const integration = { name: 'crm' };
/** Names with ties, sorted otherwise than they were created; several share a time, too. */
const names = ['b', 'a', 'c', 'a', 'b', 'a', 'B', 'é', 'a', '\u{1F600}', 'z', '\uFF5E'];
/** Strings compare by code points, as MongoDB does, not by UTF-16. */
const codePoints = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

interface Item {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}
interface List {
  readonly field: string;
  /** The argument that filters by name. */
  readonly glob: string;
  readonly item: string;
  readonly items: Item[];
}
let caller: Caller;
const lists: Record<string, List> = {
  integrations: { field: 'integrations', glob: 'name', item: 'id name createdAt updatedAt', items: [] },
  connectors: { field: 'connectors', glob: 'name', item: 'id name createdAt updatedAt', items: [] },
  endUsers: { field: 'endUsers', glob: 'displayName', item: 'id name: displayName createdAt updatedAt', items: [] },
  connections: { field: 'connections', glob: 'name', item: 'id name createdAt updatedAt', items: [] },
  credentials: { field: 'credentials', glob: 'name', item: '... on CredentialBase { id name createdAt updatedAt }', items: [] },
};

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  const start = Date.now();
  let tick = 0;
  // Two of each list share a creation time.
  test.time = () => new Date(start + Math.floor(tick / 2) * 1_000);
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'EndUser', { integration, externalId: 'owner', displayName: 'owner' });
  const endUser = { inIntegration: { integration, externalId: 'owner' } };
  const made: Item[] = [];
  for (const [index, name] of names.entries()) {
    tick = index;
    const unique = `${name} ${index}`;
    const fields = 'id createdAt updatedAt';
    const add = async (list: string, noun: Parameters<typeof test.create>[1], input: object, shown: string) => {
      const item = { name: shown, ...(await test.create(caller, noun, input, fields)) };
      lists[list]!.items.push(item);
      return item;
    };
    made.push(await add('integrations', 'Integration', { name: unique }, unique));
    await add('connectors', 'Connector', { integration, name: unique, baseUrl: 'https://api.example.com' }, unique);
    await add('endUsers', 'EndUser', { integration, externalId: unique, displayName: name }, name);
    const { id } = await add(
      'credentials',
      'Credential',
      { integration, endUser, name, data: index % 3 ? { none: {} } : { string: { value: 'v' } } },
      name,
    );
    const connector = index % 2 ? { inIntegration: { integration, name: `${names[0]} 0` } } : undefined;
    const actionCredentials = [{ credential: { id: index < 6 ? id : lists.credentials!.items[0]!.id } }];
    const allowedDomain = index % 4 ? null : 'api.example.com';
    await add(
      'connections',
      'Connection',
      { integration, endUser, connector, name: `${name} ${index}`, allowedDomain, actionCredentials },
      unique,
    );
  }
  // Every other one is changed later, all at the same moment.
  tick = 100;
  for (const [index, { id }] of lists.credentials!.items.entries()) {
    if (index % 2) continue;
    await run(test, caller, 'updateCredential', { credential: id, description: 'changed' });
    (lists.credentials!.items[index] as { updatedAt: string }).updatedAt = test.time().toISOString();
  }
  test.time = () => new Date();
  // The two that were there to begin with.
  const first = await test.query(
    caller,
    '{ integration(by: { name: "crm" }) { id name createdAt updatedAt } endUser(by: { inIntegration: { integration: { name: "crm" }, externalId: "owner" } }) { id name: displayName createdAt updatedAt } }',
  );
  lists.integrations!.items.push(first.integration);
  lists.endUsers!.items.push(first.endUser);
});

const hex = (globalId: string) => Buffer.from(globalId, 'base64url').toString();
const keyOf = { NAME: 'name', CREATED_AT: 'createdAt', UPDATED_AT: 'updatedAt' } as const;
function sorted(items: readonly Item[], field: keyof typeof keyOf, direction: string): string[] {
  const key = keyOf[field];
  const ascending = [...items].sort((a, b) => codePoints(a[key], b[key]) || codePoints(hex(a.id), hex(b.id)));
  return (direction === 'ASC' ? ascending : ascending.reverse()).map(({ id }) => id);
}
const ids = (page: Json): string[] => page.nodes.map(({ id }: Json) => id);

interface Asking {
  readonly args?: string;
  readonly first?: number;
  readonly last?: number;
  readonly after?: string | null;
  readonly before?: string | null;
}
async function ask({ field, item }: List, { args = '', ...rest }: Asking = {}): Promise<Json> {
  const query = `query ($first: Int, $last: Int, $after: String, $before: String) {
    page: ${field}(first: $first, last: $last, after: $after, before: $before ${args}) {
      nodes { ${item} } edges { cursor node { ${item} } } totalCount
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }`;
  return (await test.query(caller, query, rest)).page;
}
async function forwards(list: List, size: number, args = ''): Promise<string[][]> {
  const pages: string[][] = [];
  for (let after: string | null = null, more = true; more; ) {
    const page = await ask(list, { first: size, after, args });
    expect(page.pageInfo.hasPreviousPage).toBe(after !== null);
    pages.push(ids(page));
    after = page.pageInfo.endCursor;
    more = page.pageInfo.hasNextPage;
  }
  return pages;
}
async function backwards(list: List, size: number, args: string): Promise<string[][]> {
  // Begins at the last of all, which is read first.
  const whole = await ask(list, { first: 100, args });
  const pages: string[][] = [[ids(whole).at(-1)!]];
  for (let before = whole.pageInfo.endCursor, more = true; more; ) {
    const page: Json = await ask(list, { last: size, before, args });
    expect(page.pageInfo.hasNextPage).toBe(true);
    pages.unshift(ids(page));
    before = page.pageInfo.startCursor;
    more = page.pageInfo.hasPreviousPage;
  }
  return pages;
}

describe.each(Object.keys(lists))('%s', (name) => {
  const sorts = ['NAME', 'CREATED_AT', 'UPDATED_AT'].flatMap((field) => ['ASC', 'DESC'].map((direction) => [field, direction] as const));

  // Many records share their sort values here; a page that ends among them must go on exactly there.
  it.each(sorts)('%s %s: pages of any size give every record once, in one total order, both ways', async (field, direction) => {
    const list = lists[name]!;
    const args = `sort: { field: ${field}, direction: ${direction} }`;
    const expected = sorted(list.items, field as 'NAME', direction);
    expect(ids(await ask(list, { first: 100, args }))).toEqual(expected);
    const size = field === 'NAME' ? 2 : 5;
    const onwards = await forwards(list, size, args);
    expect(onwards.flat()).toEqual(expected);
    expect(onwards.length).toBe(Math.ceil(expected.length / size));
    const pages = await backwards(list, 5, args);
    expect(pages.flat()).toEqual(expected);
  });

  it('newest first unless told, and 20 of them', async () => {
    const list = lists[name]!;
    expect(ids(await ask(list))).toEqual(sorted(list.items, 'CREATED_AT', 'DESC').slice(0, 20));
  });

  it('counts the whole list, whatever the page; edges are the nodes with their cursors', async () => {
    const list = lists[name]!;
    const page = await ask(list, { first: 3 });
    expect(page.totalCount).toBe(list.items.length);
    expect(page.edges.map(({ node }: Json) => node)).toEqual(page.nodes);
    expect([page.edges[0].cursor, page.edges[2].cursor]).toEqual([page.pageInfo.startCursor, page.pageInfo.endCursor]);
    const last = await ask(list, { first: 3, after: (await ask(list, { first: 100 })).pageInfo.endCursor });
    expect(last).toMatchObject({
      nodes: [],
      totalCount: list.items.length,
      pageInfo: { hasNextPage: false, hasPreviousPage: true, startCursor: null, endCursor: null },
    });
    const middle = page.edges[1].cursor;
    expect(ids(await ask(list, { first: 1, after: middle }))).toEqual([ids(page)[2]]);
    expect(ids(await ask(list, { last: 5, before: middle }))).toEqual([ids(page)[0]]);
  });

  const globs: readonly (readonly [string, (name: string) => boolean])[] = [
    ['a*', (text) => text.startsWith('a')],
    ['*', () => true],
    ['?', (text) => [...text].length === 1],
    ['?*', () => true],
    ['*3', (text) => text.endsWith('3')],
    ['? ?', (text) => /^. .$/u.test(text)],
    ['\u{1F600}*', (text) => text.startsWith('\u{1F600}')],
    ['[ab]*', () => false],
    ['.*', () => false],
    ['*.*', () => false],
    ['*[a]*', () => false],
    ['*|*', () => false],
    ['A*', () => false],
  ];
  it.each(globs)('the glob %s', async (glob, matches) => {
    const list = lists[name]!;
    const expected = list.items.filter((item) => matches(item.name));
    for (const field of ['NAME', 'CREATED_AT'] as const) {
      const args = `${list.glob}: "${glob}" sort: { field: ${field}, direction: ASC }`;
      const page = await ask(list, { first: 100, args });
      expect(ids(page)).toEqual(sorted(expected, field, 'ASC'));
      expect(page.totalCount).toBe(expected.length);
      if (expected.length > 2) expect((await forwards(list, 2, args)).flat()).toEqual(ids(page));
    }
  });

  // NUL ends a pattern of the database; half a surrogate pair is no text.
  it.each([
    ['NUL', 'a*\u0000'],
    ['half a surrogate pair', '*\ud800'],
  ])('a glob with %s is refused', async (_, glob) => {
    const list = lists[name]!;
    const { errors } = await test.answer(caller, `query ($glob: String) { ${list.field}(${list.glob}: $glob) { totalCount } }`, { glob });
    expect(errors?.[0].extensions).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: [list.glob] }] });
  });

  it('an order that its cursor is not of is refused', async () => {
    const { pageInfo } = await ask(lists[name]!, { first: 1, args: 'sort: { field: NAME }' });
    const query = `query ($after: String) { ${name}(after: $after, sort: { field: CREATED_AT }) { totalCount } }`;
    expect((await test.answer(caller, query, { after: pageInfo.endCursor })).errors?.[0].extensions.issues[0].path).toEqual(['after']);
  });
});

describe('filters', () => {
  const owner = 'endUser: { inIntegration: { integration: { name: "crm" }, externalId: "owner" } }';
  const byIndex = (list: string, keep: (index: number) => boolean) =>
    lists[list]!.items.filter((_, index) => keep(index) && index < names.length);
  const filters: readonly (readonly [string, string, () => Item[]])[] = [
    ['connectors', 'integration: { name: "crm" }', () => lists.connectors!.items],
    ['connectors', `integration: { name: "a 1" }`, () => []],
    ['endUsers', 'integration: { name: "crm" }', () => lists.endUsers!.items],
    ['credentials', owner, () => lists.credentials!.items],
    ['credentials', 'kinds: [STRING]', () => byIndex('credentials', (index) => index % 3 === 0)],
    ['credentials', 'kinds: [STRING, NONE]', () => lists.credentials!.items],
    ['credentials', 'kinds: []', () => []],
    ['credentials', 'enabled: false', () => []],
    ['credentials', 'enabled: true', () => lists.credentials!.items],
    [
      'credentials',
      `integration: { name: "crm" } kinds: [STRING] ${owner} name: "a"`,
      () => byIndex('credentials', (index) => index % 3 === 0 && names[index] === 'a'),
    ],
    [
      'connections',
      'connector: { inIntegration: { integration: { name: "crm" }, name: "b 0" } }',
      () => byIndex('connections', (index) => index % 2 === 1),
    ],
    ['connections', owner, () => lists.connections!.items],
    ['connections', 'allowedDomain: "api.example.com"', () => byIndex('connections', (index) => index % 4 === 0)],
    ['connections', `allowedDomain: "api.example.com" ${owner} name: "*"`, () => byIndex('connections', (index) => index % 4 === 0)],
  ];
  // An empty page would look as if there were one. The rest of the operation is answered.
  it('that name no record are errors, and the page is null', async () => {
    const id = lists.connections!.items[0]!.id;
    for (const [list, argument, ref, code] of [
      ['connectors', 'integration', '{ name: "no such" }', 'INVALID_INTEGRATION'],
      ['endUsers', 'integration', '{ name: "no such" }', 'INVALID_INTEGRATION'],
      ['credentials', 'integration', '{ name: "no such" }', 'INVALID_INTEGRATION'],
      ['connections', 'integration', '{ name: "no such" }', 'INVALID_INTEGRATION'],
      ['connections', 'connector', '{ inIntegration: { integration: { name: "crm" }, name: "no such" } }', 'NOT_FOUND'],
      ['connections', 'endUser', '{ inIntegration: { integration: { name: "no such" }, externalId: "owner" } }', 'NOT_FOUND'],
      ['credentials', 'endUser', '{ inIntegration: { integration: { name: "crm" }, externalId: "no such" } }', 'NOT_FOUND'],
    ]) {
      const query = `{ page: ${list}(${argument}: ${ref}) { totalCount } node(id: "${id}") { id } }`;
      const { status, data, errors } = await test.answer(caller, query);
      expect([status, data]).toEqual([200, { page: null, node: { id } }]);
      expect(errors).toMatchObject([{ path: ['page'], extensions: { code, path: [argument] } }]);
    }
  });
  it.each(filters)('%s(%s)', async (name, filter, expected) => {
    const list = lists[name]!;
    for (const direction of ['ASC', 'DESC']) {
      const args = `${filter} sort: { field: NAME, direction: ${direction} }`;
      const page = await ask(list, { first: 100, args });
      expect(ids(page)).toEqual(sorted(expected(), 'NAME', direction));
      expect(page.totalCount).toBe(expected().length);
      expect((await forwards(list, 2, args)).flat()).toEqual(ids(page));
    }
  });

  it('credentials by kind, in either direction, ties by id', async () => {
    const kinds = lists.credentials!.items.map((item, index) => ({ ...item, name: index % 3 ? 'none' : 'string' }));
    for (const direction of ['ASC', 'DESC']) {
      const args = `sort: { field: KIND, direction: ${direction} }`;
      const expected = sorted(kinds, 'NAME', direction);
      expect((await forwards(lists.credentials!, 5, args)).flat()).toEqual(expected);
      expect((await backwards(lists.credentials!, 5, args)).flat()).toEqual(expected);
    }
  });
});

describe('nested pages', () => {
  it('each of many has its own page, count and cursors, and goes on from there', async () => {
    const query = `query ($after: String) {
      credentials(first: 100, sort: { field: CREATED_AT, direction: ASC }) {
        nodes { ... on CredentialBase { id usages(first: 2, after: $after) { totalCount nodes { name ... on Connection { connector { name } } } pageInfo { hasNextPage endCursor } } } }
      }
    }`;
    const { credentials } = await test.query(caller, query);
    const usages = new Map<string, Json>(credentials.nodes.map(({ id, usages }: Json) => [id, usages]));
    const connections = lists.connections!.items;
    lists.credentials!.items.forEach(({ id }, index) => {
      const using = connections.filter((_, at) => (at < 6 ? at : 0) === index);
      const newest = sorted(using, 'CREATED_AT', 'DESC').map((each) => connections.find((connection) => connection.id === each)!.name);
      expect(usages.get(id)).toMatchObject({ totalCount: using.length, pageInfo: { hasNextPage: using.length > 2 } });
      expect(usages.get(id).nodes.map(({ name }: Json) => name)).toEqual(newest.slice(0, 2));
    });
    // The first credential has seven: its page goes on.
    const [{ id }] = lists.credentials!.items as [Item];
    const next = `query ($id: ID!, $after: String) { credential(id: $id) { ... on CredentialBase { usages(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage } } } } }`;
    const rest = await test.query(caller, next, { id, after: usages.get(id).pageInfo.endCursor });
    const all = sorted(
      connections.filter((_, at) => at === 0 || at >= 6),
      'CREATED_AT',
      'DESC',
    );
    expect(ids(rest.credential.usages)).toEqual(all.slice(2));
  });

  // Short lists are read as a whole, and cut here; long ones are cut by the database. Nobody may be able to tell which it was.
  it('of many lists are those of each list alone, however they were read, for every viewer', async () => {
    const full = { organization: test.newOrganization() };
    const start = Date.now();
    let tick = 0;
    // Three of them share a creation time.
    test.time = () => new Date(start + Math.floor(tick++ / 3) * 1_000);
    await test.create(full, 'Integration', integration);
    const endUser = await test.create(full, 'EndUser', { integration, externalId: 'owner' });
    const hot: string[] = [];
    for (const name of ['hot 1', 'hot 2', 'own 1', 'own 2']) {
      const more = name.startsWith('own') ? { endUser } : {};
      const data = { basicAuth: { username: 'ada', password: 'pw' } };
      hot.push((await test.create(full, 'Credential', { integration, name, data, ...more })).id);
    }
    const [one, two, own, ownToo] = hot as [string, string, string, string];
    const connection = async (index: number, ids: readonly string[]) =>
      test.create(full, 'Connection', {
        integration,
        endUser,
        name: `connection ${index}`,
        actionCredentials: ids.map((id) => ({ credential: { id } })),
      });
    for (let index = 0; index < 14; index++) {
      await connection(index, [...(index % 3 ? [one] : []), ...(index % 2 ? [two] : []), index < 9 ? own : ownToo]);
      if (index % 5) continue;
      const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', clientCredentialId: one };
      const authSchemes = [{ schemeId: 'client', schemeType: 'OAUTH2', oauth2 }];
      await test.create(full, 'Connector', { integration, name: `connector ${index}`, baseUrl: 'https://api.example.com', authSchemes });
    }
    test.time = () => new Date();
    const viewers = {
      full,
      withoutConnectors: { ...full, scopes: ['credentials.get', 'connections.get'] },
      endUser: { ...full, token: await test.makeEndUserToken(full, endUser) },
    };
    const usages = (fields: string) => `usages(first: $first, last: $last, after: $after, before: $before) { ${fields} }`;
    const variables = '$first: Int, $last: Int, $after: String, $before: String';
    const all =
      'nodes { __typename id name ... on Connection { integrity } } edges { cursor } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';
    const nested = (fields: string, name = '*') =>
      `query (${variables}) { credentials(first: 10, name: "${name}") { nodes { ... on CredentialBase { id ${usages(fields)} } } } }`;
    const alone = `query ($id: ID!, ${variables}) { credential(id: $id) { ... on CredentialBase { ${usages(all)} } } }`;
    const compare = async (viewer: Caller, asking: Asking) => {
      const { credentials } = await test.query(viewer, nested(all), asking);
      for (const { id, usages } of credentials.nodes) {
        expect(usages).toEqual((await test.query(viewer, alone, { ...asking, id })).credential.usages);
      }
      return credentials.nodes;
    };
    for (const [name, viewer] of Object.entries(viewers)) {
      const [first] = await compare(viewer, { first: 1 });
      expect(first.usages.pageInfo.hasNextPage, name).toBe(true);
      const whole = (await compare(viewer, { first: 50 })).flatMap(({ usages }: Json) => usages.nodes);
      expect(whole.some(({ __typename }: Json) => __typename === 'Connector')).toBe(name === 'full');
      expect((await compare(viewer, { first: 50 })).length).toBe(name === 'endUser' ? 2 : 4);
      const { edges } = (await test.query(viewer, alone, { id: own, first: 100 })).credential.usages;
      for (const { cursor } of [edges[1], edges[4]]) {
        await compare(viewer, { first: 1, after: cursor });
        await compare(viewer, { first: 3, after: cursor });
        await compare(viewer, { last: 1, before: cursor });
        await compare(viewer, { last: 3, before: cursor });
      }
    }
    // The two ways, told by their commands: whether the lists are long is found out once.
    const commands = async (first: number) =>
      (await test.countCommands(() => test.query(full, nested('nodes { id }', 'hot*'), { first }))).length;
    const fresh = [await commands(50), await commands(1), await commands(1), await commands(5)];
    // One of them looks in the indexes how much the list of credentials has to read, because none serves its pattern and its order together.
    expect(fresh.slice(2)).toEqual([4, 3]);
    expect(fresh[0]).toBe(3);
    // An altered record is told in both, and leaves its place to nobody.
    await test.database
      .collection('connections')
      .updateOne({ organizationId: full.organization, name: 'connection 1' }, { $set: { name: 'forged' } });
    for (const first of [1, 5, 50]) await compare(full, { first });
    const told = await compare(full, { first: 50 });
    expect(JSON.stringify(told)).toContain('"integrity":"ALTERED"');
    expect(JSON.stringify(await compare(viewers.endUser, { first: 50 }))).not.toContain('forged');
  });

  it('of an end user: its connections and its own credentials, newest first, both ways', async () => {
    const query = `query ($args: EndUserRef!, $last: Int, $before: String) {
      endUser(by: $args) { connections(first: 100) { totalCount nodes { id } pageInfo { endCursor } } credentials(last: $last, before: $before) { nodes { ... on CredentialBase { id } } } }
    }`;
    const by = { inIntegration: { integration, externalId: 'owner' } };
    const { endUser } = await test.query(caller, query, { args: by });
    expect(ids(endUser.connections)).toEqual(sorted(lists.connections!.items, 'CREATED_AT', 'DESC'));
    expect(endUser.connections.totalCount).toBe(names.length);
    expect(ids(endUser.credentials)).toEqual(sorted(lists.credentials!.items, 'CREATED_AT', 'DESC'));
    const { pageInfo } = await ask(lists.credentials!, { first: 3 });
    const back = await test.query(caller, query, { args: by, last: 2, before: pageInfo.endCursor });
    expect(ids(back.endUser.credentials)).toEqual(sorted(lists.credentials!.items, 'CREATED_AT', 'DESC').slice(0, 2));
  });
});

// Records that come and go between two pages: nothing that stays is skipped or shown twice.
it('a page goes on rightly when the record at its cursor is gone, and new ones have come', async () => {
  const fresh = { organization: test.newOrganization() };
  for (const name of ['a', 'c', 'e', 'g']) await test.create(fresh, 'Integration', { name });
  const query = `query ($after: String) { integrations(first: 2, after: $after, sort: { field: NAME, direction: ASC }) { nodes { name } pageInfo { endCursor } } }`;
  const first = (await test.query(fresh, query)).integrations;
  await run(test, fresh, 'deleteIntegration', { integration: { name: 'c' } });
  for (const name of ['b', 'd']) await test.create(fresh, 'Integration', { name });
  const next = (await test.query(fresh, query, { after: first.pageInfo.endCursor })).integrations;
  expect(next.nodes.map(({ name }: Json) => name)).toEqual(['d', 'e']);
});
