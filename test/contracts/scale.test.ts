import { type GraphQLEnumType, type GraphQLInputObjectType, getNamedType } from 'graphql';
import mongoose from 'mongoose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nounTable } from '../../src/access/nouns.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { positionOf } from '../../src/store/event-forms.ts';
import { globCondition } from '../../src/store/glob.ts';
import { EXAMINED_MAX } from '../../src/store/records.ts';
import type { Json } from '../harness.ts';
import { signed } from '../vault.ts';
import { useTestGateway } from './answers.ts';
import { nounOf, objectsOf, pageFields } from './walk.ts';

// No list costs more when it becomes longer. Every combination of filters and orders that the schema offers is asked for, and the database
// explains how much it has read: what it returns, or a limited part of the list.

/** The commands that read lists, as they were sent. Listened to from before the gateway connects. */
const sent: Json[] = [];
const { MongoClient } = mongoose.mongo;
const { connect } = MongoClient.prototype;
MongoClient.prototype.connect = function (this: InstanceType<typeof MongoClient>) {
  const listening = this as typeof this & { isHeard?: boolean };
  if (!listening.isHeard) this.on('commandStarted', ({ command, commandName }) => commandName === 'aggregate' && sent.push(command));
  listening.isHeard = true;
  return connect.call(this);
};
afterAll(() => {
  MongoClient.prototype.connect = connect;
});

const test = useTestGateway();
const caller = { organization: 'scale' };
/** More than is read for one page. */
const SIZE = 2 * EXAMINED_MAX + 200;
/** The distance between two of the few that a filter matches. */
const DISTANCE = 400;
const LARGEST_PAGE = 100;
/** The position of the newest event, as the gateway is told, and a cursor after it. */
const NEWEST = 1_000_000;
const END_OF_EVENTS = Buffer.from(JSON.stringify(['event', 'position', ['text', positionOf(NEWEST)], 'f'.repeat(24)])).toString(
  'base64url',
);

const lists = pageFields.filter(({ parent }) => parent === 'Query').map(({ field }) => field);
const collectionOf = (list: (typeof lists)[number]) => {
  const { plural } = nounTable[nounOf(objectsOf((objectsOf(list)[0]!.getFields() as Json).nodes)[0]!)];
  return plural === 'audit' ? 'auditEntries' : plural;
};

/**
 * For each filter, values that match nearly everything, a few records, and nothing. The few are others for each filter, so no record matches two
 * of them. A new filter needs its values here.
 */
const values: Record<string, readonly Json[]> = {};

beforeAll(async () => {
  const integrations: Json[] = [];
  for (const name of ['many', 'few', 'none']) integrations.push(await test.create(caller, 'Integration', { name }));
  const integration = { name: 'many' };
  const connectors: Json[] = [];
  const endUsers: Json[] = [];
  for (const name of ['many', 'few', 'none']) {
    connectors.push(await test.create(caller, 'Connector', { integration, name, baseUrl: 'https://api.example.com' }));
    endUsers.push(await test.create(caller, 'EndUser', { integration, externalId: name, displayName: name }));
  }
  const endUser = { id: endUsers[0].id };
  await test.create(caller, 'Credential', { integration, endUser, name: 'many', data: { string: { value: 'v' } } });
  await test.create(caller, 'Connection', { integration, connector: { id: connectors[0].id }, endUser, name: 'many' });
  await test.makeAPIKey(caller, { name: 'many', scopes: ['credentials.get'], integration });
  await test.query(caller, 'mutation { createWebhook(input: { url: "https://hooks.example.com/", enabled: false }) { __typename } }');
  const start = Date.now() - SIZE * 1_000;
  // Their states are stored before they are searched.
  await test.query(caller, '{ events { totalCount } }');
  await test.query(caller, '{ connections(state: UNKNOWN) { totalCount } credentials(state: UNKNOWN) { totalCount } }');
  Object.assign(values, {
    integration: integrations.map(({ id }) => ({ id })),
    connector: connectors.map(({ id }) => ({ id })),
    connectors: [[{ id: connectors[0].id }, { id: connectors[2].id }], [{ id: connectors[1].id }], [{ id: connectors[2].id }]],
    search: ['nam*', '*ew 6*', 'few*', 'none*', 'NAME 15', 'few 406'],
    setting: ['many', 'f*', 'few', 'none'].map((value) => ({ name: 'username', value })),
    fingerprint: ['many', 'few', 'none'],
    credentialKinds: [['STRING', 'NONE'], ['API_KEY'], ['BASIC_AUTH']],
    unused: [true, false],
    unusedSince: [new Date(start + 2 * SIZE * 1_000), new Date(start + 20_000), new Date(0)],
    endUser: endUsers.map(({ id }) => ({ id })),
    allowedDomain: ['many.example.com', 'few.example.com', 'none.example.com'],
    kinds: [['STRING', 'NONE'], ['API_KEY'], ['BASIC_AUTH', 'OAUTH2_TOKEN']],
    enabled: [true, false],
    name: ['name*', '*few*', 'few*', 'none*', 'name 1*5'],
    subject: ['many', 'few', 'none'],
    action: ['createConnection', 'deleteConnection', 'revealSecret'],
    outcome: ['SUCCESS', 'FORBIDDEN', 'NOT_FOUND'],
    objectId: integrations.map(({ id }) => id),
    since: [new Date(start), new Date(start + (SIZE - 20) * 1_000), new Date(start + 2 * SIZE * 1_000)],
    state: ['UNKNOWN', 'DISABLED', 'WORKING'],
    types: [['CREATED', 'UPDATED'], ['FIRST_USED'], ['TOKENS_REFRESHED']],
    expiresBefore: [new Date(start + 2 * SIZE * 1_000), new Date(start + 20_000), new Date(0)],
    until: [new Date(start + 2 * SIZE * 1_000), new Date(start + 20_000), new Date(0)],
  });
  values.displayName = values.name!;
  const [many, few] = [0, 1].map((at) => (objects: Json[]) => parseId(objects[at].id)!.id) as [
    (o: Json[]) => string,
    (o: Json[]) => string,
  ];
  // Copies of what the gateway wrote. They are not authentic, and only shown, which costs the same.
  for (const collection of new Set(lists.map(collectionOf))) {
    const documents = test.database.collection<Json>(collection);
    const template = await documents.findOne({}, { sort: { createdAt: -1 } });
    const copies = Array.from({ length: SIZE }, (_, n) => {
      /** Whether it is one of the few of a filter. */
      const isFew = (filter: number) => n % DISTANCE === filter;
      const connectorId = (isFew(1) ? few : many)(connectors);
      const own: Json = {
        integrationId: (isFew(0) ? few : many)(integrations),
        connectorId,
        ownerId: connectorId,
        endUserId: (isFew(2) ? few : many)(endUsers),
        allowedDomain: isFew(3) ? 'few.example.com' : 'many.example.com',
        kind: isFew(4) ? 'apiKey' : ['string', 'none'][n % 2],
        enabled: !isFew(5),
        state: isFew(7) ? 'DISABLED' : 'UNKNOWN',
        runsOutAt: new Date(start + ((n * 7_901) % SIZE) * 1_000),
        name: `${isFew(6) ? 'few' : 'name'} ${n}`,
        displayName: `${isFew(6) ? 'few' : 'name'} ${n}`,
        externalId: `external ${n}`,
        subject: isFew(1) ? 'few' : 'many',
        action: isFew(2) ? 'deleteConnection' : 'createConnection',
        type: isFew(9) ? 'FIRST_USED' : ['CREATED', 'UPDATED'][n % 2],
        position: String(1_000 + n).padStart(16, '0'),
        outcome: isFew(3) ? 'FORBIDDEN' : 'SUCCESS',
        objectId: (isFew(4) ? few : many)(integrations),
        lastUsedAt: new Date(start + n * 1_000),
        lookupKeys: [
          `=${isFew(6) ? 'few' : 'name'} ${n}`,
          `^${isFew(6) ? 'few' : 'nam'}`,
          `username=${isFew(7) ? 'few' : 'many'}`,
          `^${isFew(7) ? 'few' : 'man'}`,
          `#${isFew(8) ? 'few' : 'many'}`,
          `:${isFew(4) ? 'apiKey' : ['string', 'none'][n % 2]}`,
        ],
        number: 1_000_000 + n,
        updatedAt: new Date(start + ((n * 7_919) % SIZE) * 1_000),
      };
      const fields = Object.fromEntries(
        Object.entries(own).filter(([name]) => name in template || (name === 'lastUsedAt' && collection === 'credentials')),
      );
      // Ids and times have different orders, and times are shared.
      const _id = ((n * 7_907) % SIZE).toString(16).padStart(24, '0');
      return { ...template, ...fields, _id, createdAt: new Date(start + (n - (n % 3)) * 1_000) };
    });
    await documents.insertMany(copies);
  }
  // Readers may be as far as the copies are.
  const heads = test.database.collection<Json>('eventHeads');
  const head = (await heads.findOne({ organizationId: caller.organization }))!;
  await heads.replaceOne({ _id: head._id }, await signed(test, 'eventHead', { ...head, newest: positionOf(NEWEST) }));
}, 120_000);

/** Skips a test on a database that refuses to explain what it reads, which some compatible servers do. */
async function needsExplain(skip: (isSkipped: boolean, note: string) => void): Promise<void> {
  const probe = { explain: { aggregate: 'credentials', pipeline: [], cursor: {} } };
  const error = await test.database.command(probe).then(
    () => null,
    ({ code }) => code,
  );
  if (error !== null && error !== COMMAND_NOT_FOUND) throw new Error(`The database refuses to explain, with code ${error}.`);
  skip(error !== null, 'this database does not explain');
}
const COMMAND_NOT_FOUND = 59;

const typeOf = (list: (typeof lists)[number], name: string) => String(list.args.find((arg) => arg.name === name)!.type);

/** Asks for a page. */
async function ask(list: (typeof lists)[number], args: Record<string, Json>, selection: string): Promise<Json> {
  const names = Object.keys(args);
  const variables = names.map((name) => `$${name}: ${typeOf(list, name)}`).join(', ');
  const given = names.map((name) => `${name}: $${name}`).join(', ');
  const query = `query ${names.length > 0 ? `(${variables})` : ''} { page: ${list.name} ${given && `(${given})`} { ${selection} } }`;
  return (await test.query(caller, query, args)).page;
}
const PAGE = 'nodes { ... on Node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }';

/** Runs something, and returns what the database examined for the commands on a collection that read the list. */
async function examined(collection: string, run: () => Promise<Json>) {
  const before = sent.length;
  const result = await run();
  const commands = sent.slice(before).filter(({ aggregate }) => aggregate === collection);
  // A list by state first looks for states that are not right any more. There are none here.
  const settling = commands.filter(({ pipeline }) => JSON.stringify(pipeline).includes('stateChangesAt'));
  const settled = await costsOf(settling);
  expect(settled.documents, JSON.stringify(settling)).toBe(0);
  expect(settled.keys, JSON.stringify(settling)).toBeLessThanOrEqual(10);
  const reading = commands.filter((command) => !settling.includes(command));
  return { result, commands: reading.length, ...(await costsOf(reading)) };
}

/** Returns what the database examines for commands. */
async function costsOf(commands: readonly Json[]) {
  const costs = { documents: 0, keys: 0 };
  for (const { aggregate, pipeline } of commands) {
    const explained = await test.database.command({ explain: { aggregate, pipeline, cursor: {} }, verbosity: 'executionStats' });
    add(explained, costs);
  }
  return costs;
}

/** Adds up all statistics in an explanation. Servers differ in where they are. */
function add(explained: Json, costs: { documents: number; keys: number }): void {
  if (typeof explained !== 'object' || explained === null) return;
  if ('executionStats' in explained && 'totalDocsExamined' in explained.executionStats) {
    costs.documents += explained.executionStats.totalDocsExamined;
    costs.keys += explained.executionStats.totalKeysExamined;
  }
  for (const value of Object.values(explained)) add(value, costs);
}

/**
 * The sets of some things: none and each one, with every order; each two and each three, with one order in turn. How a page is read depends on what
 * each index finds of a filter, and no index has more than three fields before those of the order.
 */
const subsets = <T>(things: readonly T[]): T[][] =>
  Array.from({ length: 2 ** things.length }, (_, number) => things.filter((_, at) => (number >> at) & 1)).filter(
    ({ length }) => length <= 3,
  );
/** The filters that one index of lists serves. */
const byKeys = ['search', 'setting', 'fingerprint', 'credentialKinds'];
/** What nothing can be asked together. */
const isContradiction = (set: readonly string[]) => set.includes('connector') && set.includes('connectors');

describe.each(lists.map((list) => [list.name, list] as const))('%s', (_, list) => {
  const filters = list.args.map(({ name }) => name).filter((name) => !['first', 'after', 'last', 'before', 'sort'].includes(name));
  const collection = collectionOf(list);
  const sort = list.args.find(({ name }) => name === 'sort');
  const sortField = sort && (getNamedType(sort.type) as GraphQLInputObjectType).getFields().field!;
  /** Null for a list that has one order. */
  const orders = sortField ? (getNamedType(sortField.type) as GraphQLEnumType).getValues().map(({ name }) => name) : [null];
  const inOrder = (field: string | null, direction: string) => (field === null ? {} : { sort: { field, direction } });

  it('reads what it returns, or a limited part, for each combination of filters and orders', { timeout: 120_000 }, async ({ skip }) => {
    await needsExplain(skip);
    for (const name of filters) if (!values[name]) throw new Error(`Which values has the filter ${name}? Add some above.`);
    const cursors: Record<string, string> = {};
    for (const field of orders) {
      const { pageInfo } = await ask(list, { first: LARGEST_PAGE, ...inOrder(field, 'ASC') }, PAGE);
      cursors[String(field)] = pageInfo.endCursor;
    }
    let number = 0;
    const directly = new Set<string>();
    for (const [at, set] of subsets(filters)
      .filter((each) => !isContradiction(each))
      .entries()) {
      for (const field of set.length > 1 ? [orders[at % orders.length]!] : orders) {
        // Directions, sizes, positions and values take turns, so that each meets each.
        number++;
        const size = [25, 1, 8][number % 3]!;
        const position =
          [{ first: size }, { first: size, after: cursors[String(field)] }, { last: size, before: cursors[String(field)] }][number % 5] ??
          {};
        const args = {
          ...position,
          ...inOrder(field, number % 2 ? 'ASC' : 'DESC'),
          ...Object.fromEntries(set.map((name, at) => [name, values[name]![(number + (number >> at)) % values[name]!.length]])),
        };
        const { result, commands, documents, keys } = await examined(collection, () => ask(list, args, PAGE));
        const asked = `${list.name}(${JSON.stringify(args)}): ${commands} commands, ${documents} documents, ${keys} keys`;
        const returned = result.nodes.length;
        if (set.includes('unused')) {
          // What is examined is read like a page, and looked up in two other collections.
          expect(documents, asked).toBeLessThanOrEqual(5 * EXAMINED_MAX + 10 * LARGEST_PAGE + 250);
        } else if (commands === 1) {
          // Two key ranges after a cursor, and one record more, to know whether there are more.
          expect(documents, asked).toBeLessThanOrEqual(2 * (returned + 1));
          expect(keys, asked).toBeLessThanOrEqual(2 * (returned + 1) + 10);
          directly.add([String(field), ...set].join());
        } else {
          // Ten times the largest page, and what the page itself has. To count keys of an index of lists, databases read the documents.
          const looked = set.some((name) => byKeys.includes(name)) ? EXAMINED_MAX + 2 : 0;
          expect(documents, asked).toBeLessThanOrEqual(10 * LARGEST_PAGE + looked + 2 * (returned + 1));
          expect(keys, asked).toBeLessThanOrEqual((3 + set.length) * EXAMINED_MAX + 100);
          // A page that is shorter than asked says where to go on.
          const { hasNextPage, hasPreviousPage, startCursor, endCursor } = result.pageInfo;
          if ('last' in position && hasPreviousPage) expect(startCursor, asked).not.toBeNull();
          if (!('last' in position) && hasNextPage) expect(endCursor, asked).not.toBeNull();
        }
      }
    }
    // What is documented as indexed.
    for (const field of orders) expect([...directly]).toContain(String(field));
  });

  it('gives every record once, in both directions, however short the pages are', { timeout: 60_000 }, async () => {
    const glob = filters.find((name) => ['name', 'displayName'].includes(name));
    // The worst: few records, in another order than the one in which they are found. Of the audit log, two filters.
    const [filter, at]: [Record<string, Json>, number] = glob
      ? [{ [glob]: '*few *' }, 6]
      : filters.includes('types')
        ? [{ integration: values.integration![0], endUser: values.endUser![0], types: ['FIRST_USED'] }, 9]
        : filters.includes('outcome')
          ? [{ subject: 'many', action: 'createConnection', outcome: 'FORBIDDEN' }, 3]
          : [{ integration: values.integration![1] }, 0];
    const few = Math.ceil((SIZE - at) / DISTANCE);
    for (const field of orders) {
      const sort = inOrder(field, 'ASC');
      const ids: string[] = [];
      let pages = 0;
      for (let after: string | null = null, more = true; more; pages++) {
        const page: Json = await ask(list, { ...filter, first: 4, after, ...sort }, PAGE);
        ids.push(...page.nodes.map(({ id }: Json) => id));
        after = page.pageInfo.endCursor;
        more = page.pageInfo.hasNextPage;
      }
      expect(new Set(ids).size).toBe(few);
      expect(ids).toHaveLength(few);
      expect(pages).toBeLessThanOrEqual(Math.ceil(SIZE / EXAMINED_MAX) + Math.ceil(few / 4));
      const back: string[] = [];
      // Begins after all that match.
      const end = field === null ? END_OF_EVENTS : (await ask(list, { first: 1, ...inOrder(field, 'DESC') }, PAGE)).pageInfo.endCursor;
      for (let before: string | null = end, more = true; more; ) {
        const page: Json = await ask(list, { ...filter, last: 4, before, ...sort }, PAGE);
        back.unshift(...page.nodes.map(({ id }: Json) => id));
        before = page.pageInfo.startCursor;
        more = page.pageInfo.hasPreviousPage;
      }
      expect(back).toEqual(ids);
    }
  });

  it('counts keys of an index, not documents, where an index serves the filter', { timeout: 60_000 }, async ({ skip }) => {
    await needsExplain(skip);
    for (const name of [undefined, ...filters]) {
      for (const value of name === undefined ? [undefined] : values[name]!) {
        const args = name === undefined ? {} : { [name]: value };
        // An order that an index has together with the filter.
        const orderOf = (filter = '') =>
          filter === 'expiresBefore' ? 'RUNS_OUT_AT' : orders.find((field) => field?.includes('NAME') && /name/i.test(filter));
        const sort = { field: orderOf(name) ?? 'CREATED_AT', direction: 'ASC' };
        const order = orders[0] === null ? {} : { sort };
        const { result, documents, keys } = await examined(collection, () =>
          ask(list, { ...args, first: 1, ...order }, 'totalCount totalCountPrecision'),
        );
        const asked = `${list.name}(${JSON.stringify(args)}): ${JSON.stringify(result)}, ${documents} documents, ${keys} keys`;
        expect(result.totalCountPrecision, asked).toBe('EXACT');
        // Only a pattern is looked for in the documents, and what is enabled.
        const isInIndex =
          !(typeof value === 'string' && /\*./.test(value)) &&
          value !== true &&
          // Of an index of lists, databases check the documents.
          ![...byKeys, 'unused', 'unusedSince'].includes(name ?? '');
        // The page itself has a few.
        if (isInIndex) expect(documents, asked).toBeLessThanOrEqual(2);
        expect(keys, asked).toBeLessThanOrEqual(4 * SIZE + 100);
      }
    }
  });
});

const credentials = lists.find(({ name }) => name === 'credentials')!;

it('counts by use what few records of a long list match, wherever they are in it', async () => {
  for (const [name, few] of [
    ['*few *', Math.ceil((SIZE - 6) / DISTANCE)],
    ['*w 6', 1],
  ]) {
    for (const unused of [true, false]) {
      const count = await ask(credentials, { name, unused, first: 1 }, 'totalCount totalCountPrecision');
      expect(count).toEqual({ totalCount: unused ? few : 0, totalCountPrecision: 'EXACT' });
    }
  }
});

/** Skips a test on a database that does not say that a command has exceeded its time limit in the way that MongoDB documents. */
async function needsTimeLimit(skip: (isSkipped: boolean, note: string) => void): Promise<void> {
  const slow = test.database
    .collection('credentials')
    .aggregate([{ $match: { name: globCondition('*few*x') } }, { $count: 'count' }], { maxTimeMS: 1 });
  const code = await slow.toArray().then(
    () => null,
    (error) => error.code,
  );
  if (code === null) throw new Error('The database counts the whole list in a millisecond.');
  skip(code !== MAX_TIME_EXPIRED, `this database reports an exceeded time limit with code ${code}, not ${MAX_TIME_EXPIRED}`);
}
const MAX_TIME_EXPIRED = 50;

it('answers a list without its number, when the database takes too long to count it', async ({ skip }) => {
  await needsTimeLimit(skip);
  await test.close();
  test.limits = { ...test.limits, countSeconds: 0.001 };
  await test.open();
  for (const args of [{ name: '*few *' }, { name: '*few *', unused: true }]) {
    const page = await ask(credentials, { ...args, first: 1 }, 'nodes { ... on CredentialBase { name } } totalCount totalCountPrecision');
    expect(page).toEqual({ nodes: [{ name: expect.stringContaining('few ') }], totalCount: null, totalCountPrecision: null });
  }
});
