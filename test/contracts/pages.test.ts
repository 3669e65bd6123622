import { type GraphQLEnumType, type GraphQLInputObjectType, getNamedType } from 'graphql';
import mongoose from 'mongoose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Answer, Json } from '../harness.ts';
import { useTestGateway } from './answers.ts';
import { pageFields } from './walk.ts';

// Every list is a page, and every page keeps the same promises: the five at the root, those of an end user, the connections that use a
// credential, and whichever come after them.

/** What the server sends back, to see how many documents a page takes. Listened to from before the gateway connects. */
const replies: { readonly collection: string; readonly documents: number }[] = [];
const { BSON, MongoClient } = mongoose.mongo;
const { connect } = MongoClient.prototype;
MongoClient.prototype.connect = function (this: InstanceType<typeof MongoClient>) {
  const listening = this as typeof this & { isHeard?: boolean };
  if (!listening.isHeard) this.on('commandSucceeded', ({ reply }) => note(reply as Json));
  listening.isHeard = true;
  return connect.call(this);
};
function note(reply: Json): void {
  // The gateway reads bytes, and so does who listens.
  const cursor = reply?.cursor instanceof Uint8Array ? BSON.deserialize(reply.cursor) : reply?.cursor;
  const documents = cursor?.firstBatch ?? cursor?.nextBatch;
  if (documents) replies.push({ collection: cursor.ns, documents: documents.length });
}
afterAll(() => {
  MongoClient.prototype.connect = connect;
});

const test = useTestGateway();
const caller = { organization: 'pages' };
/** An object of each type that has pages of its own. */
const parents: Record<string, string> = {};
const COUNT = 23;

beforeAll(async () => {
  await test.create({ organization: 'other' }, 'Integration', { name: 'other' });
  // Three at each instant, and names that many share: ties everywhere.
  const start = Date.now();
  let made = 0;
  test.time = () => new Date(start + Math.floor(made / 3) * 1_000);
  const integration = { name: 'crm' };
  const { id: integrationId } = await test.create(caller, 'Integration', integration);
  const { id: connector } = await test.create(caller, 'Connector', {
    integration,
    name: 'with connections',
    baseUrl: 'https://api.example.com',
  });
  const endUser = await test.create(caller, 'EndUser', { integration, externalId: 'owner', displayName: 'Owner' });
  const shared = await test.create(caller, 'Credential', { integration, name: 'shared', data: { none: {} } });
  Object.assign(parents, { EndUser: endUser.id, CredentialBase: shared.id, Integration: integrationId, Connector: connector });
  for (made = 0; made < COUNT - 1; made++) {
    const name = `name ${made % 4}`;
    await Promise.all([
      test.create(caller, 'Integration', { name: `integration ${made}` }),
      test.makeAPIKey(caller, { name: `key ${made}`, integration, scopes: ['credentials.get'] }),
      makeWebhook(),
      test.create(caller, 'Connector', { integration, name: `Ünïcode ${made} 🐎`, baseUrl: 'https://api.example.com' }),
      test.create(caller, 'EndUser', { integration, externalId: `e${made}`, displayName: made % 5 === 0 ? '' : name }),
      test.create(caller, 'Credential', {
        integration,
        endUser: { id: endUser.id },
        name,
        data: made % 2 ? { none: {} } : { string: { value: 'v' } },
      }),
    ]);
  }
  for (made = 0; made < COUNT; made++) {
    await test.create(caller, 'Connection', {
      integration,
      endUser: { id: endUser.id },
      connector: { id: connector },
      name: `connection ${made}`,
      actionCredentials: [{ credential: { id: shared.id } }],
    });
  }
  const id = await makeWebhook();
  parents.Webhook = id;
  const attempt = `mutation { testWebhook(input: { webhook: "${id}" }) { __typename } }`;
  for (made = 0; made < COUNT; made++) await test.query(caller, attempt);
  test.time = () => new Date();
}, 120_000);

async function makeWebhook(): Promise<string> {
  const made = '{ ... on CreateWebhookSuccess { issued { webhookId } } }';
  const { createWebhook } = await test.query(
    caller,
    `mutation { createWebhook(input: { integration: { name: "crm" }, url: "https://127.0.0.1:1/" }) ${made} }`,
  );
  return createWebhook.issued.webhookId;
}

const SELECTION =
  'nodes { ... on Node { id } } edges { cursor node { ... on Node { id } } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';

interface PageField {
  readonly parent: string;
  readonly field: { readonly name: string };
}

/** Asks for a page, wherever it is. */
function ask({ parent, field }: PageField, args: string, selection = SELECTION): Promise<Answer> {
  const page = `page: ${field.name} ${args ? `(${args})` : ''} { ${selection} }`;
  if (parent === 'Query') return test.answer(caller, `{ ${page} }`);
  const id = parents[parent];
  if (!id) throw new Error(`Which ${parent} has a page ${field.name}? Make one above.`);
  return test.answer(caller, `{ node(id: "${id}") { ... on ${parent} { ${page} } } }`);
}
async function pageOf(field: PageField, args = '', selection?: string): Promise<Json> {
  const { data, text } = await ask(field, args, selection);
  const page = data?.page ?? data?.node?.page;
  if (!page) throw new Error(`${field.parent}.${field.field.name}(${args}): ${text}`);
  return page;
}
const idsOf = (page: Json): string[] => page.nodes.map(({ id }: Json) => id);

/** Reads a whole list forwards, in pages of a size. */
async function readForwards(field: PageField, order: string, size: number): Promise<{ ids: string[]; cursors: string[] }> {
  const ids: string[] = [];
  const cursors: string[] = [];
  for (let after = ''; ; ) {
    const page = await pageOf(field, `first: ${size} ${order} ${after && `after: "${after}"`}`);
    expect(page.edges.map(({ node }: Json) => node.id)).toEqual(idsOf(page));
    expect(page.pageInfo.startCursor).toBe(page.edges[0]?.cursor ?? null);
    expect(page.pageInfo.endCursor).toBe(page.edges.at(-1)?.cursor ?? null);
    expect(page.pageInfo.hasPreviousPage).toBe(after !== '');
    expect(page.nodes.length).toBeLessThanOrEqual(size);
    if (page.pageInfo.hasNextPage) expect(page.nodes).toHaveLength(size);
    ids.push(...idsOf(page));
    cursors.push(...page.edges.map(({ cursor }: Json) => cursor));
    if (!page.pageInfo.hasNextPage) return { ids, cursors };
    after = page.pageInfo.endCursor;
  }
}

/** The ways a page can be sorted; one way, which has no name, where it cannot be told. */
function ordersOf({ field }: (typeof pageFields)[number]): string[] {
  const sort = field.args.find(({ name }) => name === 'sort');
  if (!sort) return [''];
  const fields = (getNamedType(sort.type) as GraphQLInputObjectType).getFields().field!;
  return (getNamedType(fields.type) as GraphQLEnumType)
    .getValues()
    .flatMap(({ name }) => ['ASC', 'DESC'].map((direction) => `sort: { field: ${name}, direction: ${direction} }`));
}

async function expectRefused(answer: Promise<Answer>, path: string): Promise<void> {
  const { errors, data, text } = await answer;
  expect(data?.page ?? data?.node?.page ?? null).toBeNull();
  expect(
    errors?.map(({ extensions }) => [extensions.code, extensions.issues?.[0].path]),
    text,
  ).toEqual([['VALIDATION_FAILED', [path]]]);
}

it('there are pages at the root and within', () => {
  expect(pageFields.length).toBeGreaterThan(7);
});

describe.each(pageFields.map((field) => [field.at, field] as const))('%s', (_, field) => {
  it('has 20 records unless told, and 1 to 100', async () => {
    expect((await pageOf(field)).nodes).toHaveLength(20);
    expect((await pageOf(field, 'first: 1')).nodes).toHaveLength(1);
    expect((await pageOf(field, 'first: 100')).nodes.length).toBeGreaterThanOrEqual(COUNT - 1);
    for (const first of [0, -1, 101, 2_147_483_647]) await expectRefused(ask(field, `first: ${first}`), 'first');
    const { endCursor } = (await pageOf(field, 'first: 1')).pageInfo;
    for (const last of [0, -1, 101]) await expectRefused(ask(field, `last: ${last} before: "${endCursor}"`), 'last');
    await expectRefused(ask(field, 'last: 1'), 'last');
    await expectRefused(ask(field, 'first: 1 last: 1'), 'last');
    await expectRefused(ask(field, `before: "${endCursor}"`), 'before');
    await expectRefused(ask(field, `first: 1 after: "${endCursor}" before: "${endCursor}"`), 'before');
  });

  it.each(ordersOf(field))('gives everything exactly once, forwards and backwards, ties and all: %s', async (order) => {
    const { ids, cursors } = await readForwards(field, order, 7);
    expect(new Set(ids).size).toBe(ids.length);
    expect((await readForwards(field, order, 100)).ids).toEqual(ids);
    expect((await pageOf(field, '', 'totalCount')).totalCount).toBe(ids.length);
    if (order.includes('ASC')) expect((await readForwards(field, order.replace('ASC', 'DESC'), 7)).ids).toEqual(ids.toReversed());

    // From the last record on, all that come before it.
    const before: string[] = [];
    for (let cursor = cursors.at(-1)!; ; ) {
      const page = await pageOf(field, `last: 5 before: "${cursor}" ${order}`);
      before.unshift(...idsOf(page));
      expect(page.pageInfo.hasNextPage).toBe(true);
      if (!page.pageInfo.hasPreviousPage) break;
      expect(page.nodes).toHaveLength(5);
      cursor = page.pageInfo.startCursor;
    }
    expect(before).toEqual(ids.slice(0, -1));
    expect((await pageOf(field, `last: 5 before: "${cursors[0]}" ${order}`)).pageInfo).toMatchObject({
      hasPreviousPage: false,
      startCursor: null,
    });
    expect((await pageOf(field, `first: 5 after: "${cursors.at(-1)}" ${order}`)).pageInfo).toMatchObject({
      hasNextPage: false,
      endCursor: null,
    });
  });

  it('refuses a cursor that it did not give', async () => {
    const { endCursor } = (await pageOf(field, 'first: 1')).pageInfo;
    const parts = JSON.parse(Buffer.from(endCursor, 'base64url').toString());
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const malformed = [
      '',
      'x',
      endCursor.slice(0, -4),
      endCursor.slice(2),
      `x${endCursor}`,
      encode(null),
      encode([]),
      encode({}),
      encode([...parts, 1]),
    ];
    // The value of another type, an operator in its place, an id that is none: what only who tampers with it sends.
    const value = parts.findIndex((part: unknown) => Array.isArray(part));
    const tampered = [['text', 'x'], ['date', 'x'], ['date', { $gt: '' }], ['text', { $ne: 1 }], 'x', null].map((other) =>
      encode(parts.with(value, other)),
    );
    const text = field.field.name === 'events' ? tampered.shift() : undefined;
    const ids = ['', 'x', null, { $gt: '' }, `${parts.at(-1)}0`].map((id) => encode([...parts.slice(0, -1), id]));
    for (const cursor of [...malformed, ...tampered, ...ids]) {
      await expectRefused(ask(field, `first: 2 after: "${cursor}"`), 'after');
      await expectRefused(ask(field, `last: 2 before: "${cursor}"`), 'before');
    }
    // The list of events has given cursors with any text, if somebody else has written it there. This one is after all that it can have given.
    if (text !== undefined)
      for (const args of [`first: 2 after: "${text}"`, `last: 2 before: "${text}"`])
        expect((await ask(field, args)).errors?.map(({ extensions }) => extensions.code)).toEqual(['CURSOR_EXPIRED']);
  });

  it('refuses a cursor of another list, and of another order', async () => {
    for (const other of pageFields) {
      if (getNamedType(other.field.type) === getNamedType(field.field.type)) continue;
      const { endCursor } = (await pageOf(other, 'first: 1')).pageInfo;
      await expectRefused(ask(field, `first: 2 after: "${endCursor}"`), 'after');
    }
    const orders = ordersOf(field);
    for (const order of orders) {
      const { endCursor } = (await pageOf(field, `first: 1 ${order}`)).pageInfo;
      const others = orders.filter((each) => each.split(',')[0] !== order.split(',')[0]);
      for (const each of others) await expectRefused(ask(field, `first: 2 ${each} after: "${endCursor}"`), 'after');
    }
  });

  // A cursor is a place, not a permission.
  it('shows a stranger nothing for its cursors', async () => {
    if (field.parent !== 'Query') return;
    const { endCursor } = (await pageOf(field, 'first: 3')).pageInfo;
    const { data: own, errors = [] } = await test.answer(
      { organization: 'other' },
      `{ page: ${field.field.name}(first: 100 after: "${endCursor}") { nodes { ... on Node { id } } } }`,
    );
    // Of a reader that is further than the events are, nobody knows what it has missed.
    if (field.field.name === 'events') {
      expect(errors.map(({ extensions }) => extensions.code)).toEqual(['CURSOR_EXPIRED']);
      return;
    }
    const all = await test.query(caller, `{ page: ${field.field.name}(first: 100) { nodes { ... on Node { id } } } }`);
    expect(idsOf(own.page).filter((id) => idsOf(all.page).includes(id))).toEqual([]);
  });

  it('counts only when asked, and reads no more than it returns and one', async () => {
    const collection = async (args: string, selection: string) => {
      const before = replies.length;
      const commands = await test.countCommands(() => pageOf(field, args, selection));
      return { commands, documents: replies.slice(before).map(({ documents }) => documents) };
    };
    const plain = await collection('first: 4', 'nodes { ... on Node { id } }');
    const counted = await collection('first: 4', 'nodes { ... on Node { id } } totalCount');
    // A list of records of two nouns counts both.
    const nouns = field.parent === 'CredentialBase' ? 2 : 1;
    expect(counted.commands).toHaveLength(plain.commands.length + nouns);
    expect(Math.max(...plain.documents)).toBe(5);
    expect(plain.documents.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(5 + 1); // the parent of a nested page
    const { endCursor } = (await pageOf(field, 'first: 4')).pageInfo;
    const next = await collection(`first: 4 after: "${endCursor}"`, 'nodes { ... on Node { id } }');
    // Beyond a cursor a page is two runs: what shares its value, and what comes after.
    expect(Math.max(...next.documents)).toBeLessThanOrEqual(2 * 5);
    expect(next.commands).toEqual(plain.commands);
  });
});
