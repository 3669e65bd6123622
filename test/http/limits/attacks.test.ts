import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, useTestGateway } from '../../harness.ts';

const test = useTestGateway();
let caller: Caller;
let authorization: string;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  authorization = `Bearer ${await test.token(caller)}`;
});

/** Stands in what is sent; no answer and no line of the log may hold it. */
const canary = `canary${randomBytes(6).toString('hex')}`;
/** How long an attack may keep the gateway's processor busy, in milliseconds. */
const BUSY_MS = 4_000;
/** How long an answer to an attack may be. */
const ANSWER_MAX = 20_000;

/** What became of each attack, printed at the end. */
const outcomes: string[] = [];
afterAll(() => {
  if (process.env.SHOW_ATTACKS) console.log(outcomes.join('\n'));
  expect(test.logs.join('')).not.toContain(canary);
});

interface Outcome {
  readonly status: number;
  readonly code: string | undefined;
  readonly limit: string | undefined;
}

/** A body that comes in chunks of 64 KiB, without its length. */
function inChunks(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length; at += 65_536) controller.enqueue(bytes.slice(at, at + 65_536));
      controller.close();
    },
  });
}

/** Sends a request; its answer is short, quick, and repeats nothing, and the gateway answers the next. */
async function attack(body: BodyInit, headers: Record<string, string> = {}, init: RequestInit = {}): Promise<Outcome> {
  const before = process.cpuUsage();
  const response = await test.gateway.fetch(
    new Request('http://gateway.test/graphql', {
      method: 'POST',
      body,
      headers: { authorization, ...(headers['content-type'] === '' ? {} : { 'content-type': 'application/json' }), ...headers },
      ...init,
    }),
  );
  const text = await response.text();
  const { user, system } = process.cpuUsage(before);
  const milliseconds = Math.round((user + system) / 1_000);
  expect(text).not.toContain(canary);
  expect(JSON.stringify([...response.headers])).not.toContain(canary);
  expect(text.length).toBeLessThan(ANSWER_MAX);
  expect(milliseconds).toBeLessThan(BUSY_MS);
  const [error] = text.startsWith('{') ? (JSON.parse(text).errors ?? []) : [];
  const outcome = { status: response.status, code: error?.extensions.code, limit: error?.extensions.limit };
  outcomes.push(`${expect.getState().currentTestName}: ${JSON.stringify(outcome)} ${milliseconds} ms, ${text.length} characters`);
  expect(await test.query(caller, '{ __typename }')).toEqual({ __typename: 'Query' });
  return outcome;
}

const run = (query: string, variables?: unknown) => attack(JSON.stringify({ query, variables }));
const repeat = (count: number, make: (index: number) => string) => Array.from({ length: count }, (_, index) => make(index)).join(' ');
const limited = (limit: string) => ({ status: 400, code: 'LIMIT_EXCEEDED', limit });
const made = async () => {
  const { integrations } = await test.query(caller, '{ integrations(first: 100) { nodes { name } } }');
  return integrations.nodes.map(({ name }: { name: string }) => name);
};
const create = (name: string) => `mutation { createIntegration(input: { name: "${name}" }) { __typename } }`;

describe('many in one', () => {
  it('an array of operations', async () => {
    const operations = Array.from({ length: 50 }, (_, index) => ({ query: create(`batched-${index}-${canary}`) }));
    expect(await attack(JSON.stringify(operations))).toMatchObject({ status: 400, code: 'BAD_REQUEST' });
    expect(await made()).toEqual([]);
  });

  it('a thousand aliases', async () => {
    expect(await run(`{ ${repeat(1_000, (index) => `a${index}: integrations { totalCount }`)} }`)).toEqual(limited('MAX_TOKENS'));
    expect(await run(`{ ${repeat(500, (index) => `${canary}${index}: __typename`)} }`)).toEqual(limited('MAX_ALIASES'));
  });

  it('fifty guesses in one mutation', async () => {
    const guess = (index: number) =>
      `a${index}: revealSecret(input: { credential: "x", field: "${canary}", reason: "${canary}" }) { __typename }`;
    expect(await run(`mutation { ${repeat(50, guess)} }`)).toEqual(limited('MAX_ROOT_FIELDS'));
    expect(await run(`mutation { ${repeat(20, guess)} }`)).toMatchObject({ status: 400, code: 'COST_LIMIT_EXCEEDED' });
  });

  it('aliases in a fragment that is spread under aliases', async () => {
    const field = (name: string) =>
      repeat(
        10,
        (index) =>
          `${name}${index}: actionCredentials { credential { ... on CredentialBase { usages { nodes { ... on Connection { ...F } } } } } }`,
      );
    const query = `{ connections { nodes { ${field('a')} } } } fragment F on Connection { ${field('b').replaceAll('...F', 'name')} }`;
    expect(await run(query)).toMatchObject({ status: 400, code: 'COST_LIMIT_EXCEEDED' });
  });

  it('one field, thousands of times', async () => {
    expect(await run(`{ integrations { nodes { ${repeat(3_900, () => 'name')} } } }`)).toEqual(limited('DUPLICATES'));
    const spread = `{ integrations { nodes { ${repeat(40, (index) => `...F${index}`)} } } } ${repeat(40, (index) => `fragment F${index} on Integration { ${repeat(80, () => 'name')} }`)}`;
    expect(await run(spread)).toEqual(limited('DUPLICATES'));
  });
});

describe('round and round, and down', () => {
  it('fragments that spread each other', async () => {
    expect(await run(`{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }`)).toMatchObject({
      code: 'GRAPHQL_VALIDATION_FAILED',
    });
    const through =
      '{ connections { nodes { ...A } } } fragment A on Connection { connector { integration { ...B } } } fragment B on Integration { connectors { nodes { integration { ...B } } } }';
    expect(await run(through)).toEqual(limited('MAX_DEPTH'));
  });

  it('fragments that each spread the next twice, forty times over', async () => {
    const bomb = repeat(
      40,
      (index) => `fragment F${index} on Query { a${index % 25}: __typename ...F${index + 1} ... on Query { ...F${index + 1} } }`,
    );
    const outcome = await run(`{ ...F0 } ${bomb} fragment F40 on Query { __typename }`);
    expect(outcome.status).toBe(400);
    const nested = repeat(
      12,
      (index) =>
        `fragment N${index} on Connection { a: connector { integration { name } } b: endUser { connections(first: 1) { nodes { ...N${index + 1} } } } }`,
    );
    expect(await run(`{ connections { nodes { ...N0 } } } ${nested} fragment N12 on Connection { name }`)).toEqual(limited('MAX_DEPTH'));
  });

  it.each([
    ['selections', `${'{ a '.repeat(20_000)}`],
    ['lists', `{ nodes(ids: ${'['.repeat(20_000)}`],
    ['objects', `{ nodes(ids: ${'{ a: '.repeat(20_000)}`],
    ['types', `query ($a: ${'['.repeat(20_000)}`],
    ['inline fragments', `${'{ ... '.repeat(20_000)}`],
    ['selections that are closed', `${'{ a '.repeat(900)} ${'}'.repeat(900)}`],
    ['types that are closed', `query ($a: ${'['.repeat(1_900)} Int ${']'.repeat(1_900)}) { __typename }`],
  ])('twenty thousand nested %s', async (_what, query) => {
    expect(await run(query)).toEqual(limited('NESTING'));
  });

  it('the schema, round and round', async () => {
    const circle = (levels: number): string => (levels === 0 ? 'name' : `fields { type { ${circle(levels - 1)} } }`);
    expect(await run(`{ __schema { types { ${circle(4)} } } }`)).toMatchObject({ code: 'GRAPHQL_VALIDATION_FAILED' });
    expect(await run(`{ __schema { types { ${circle(8)} } } }`)).toEqual(limited('MAX_DEPTH'));
    expect(await run(`{ ${repeat(20, (index) => `a${index}: __type(name: "${canary}") { name }`)} }`)).toMatchObject({
      status: 200,
      code: undefined,
    });
  });

  it('unions in unions, in a mutation, whose scopes and cost are looked up', async () => {
    const nested = (levels: number): string =>
      levels === 0
        ? 'name'
        : `actionCredentials { credential { ... on CredentialBase { usages(first: 1) { nodes { ... on Connection { ${nested(levels - 1)} } } } } } }`;
    const query = `mutation { updateConnection(input: { connection: { id: "x" } }) { ... on UpdateConnectionSuccess { connection { ${nested(2)} } } } }`;
    expect(await run(query)).toEqual({ status: 200, code: undefined, limit: undefined });
  });
});

describe('too much', () => {
  it('directives', async () => {
    expect(await run(`{ __typename ${'@include(if: true) '.repeat(500)} }`)).toEqual(limited('MAX_DIRECTIVES'));
    expect(await run(`{ __typename ${`@${canary} `.repeat(1_900)} }`)).toEqual(limited('MAX_DIRECTIVES'));
  });

  it('tokens', async () => {
    expect(await run(`{ ${repeat(60_000, () => 'a')} }`)).toEqual(limited('MAX_TOKENS'));
    expect(await run(`{ ${'#\n'.repeat(60_000)} __typename }`)).toEqual(limited('MAX_TOKENS'));
    expect(await run(`{ ${' \n'.repeat(60_000)} __typename }`)).toMatchObject({ status: 200, code: undefined });
    expect(await run(`{ nodes(ids: "${canary}${'x'.repeat(120_000)}") { id } }`)).toMatchObject({ status: 200 });
  });

  it('a body, with its length told, not told, and told wrongly', async () => {
    const large = JSON.stringify({ query: '{ __typename }', variables: { a: canary + 'x'.repeat(5_000_000) } });
    expect(await attack(large)).toMatchObject({ status: 413 });
    expect(await attack(inChunks(large), {}, { duplex: 'half' } as RequestInit)).toMatchObject({ status: 413 });
    expect(await attack('{}', { 'content-length': '1e9' })).toMatchObject({ status: 400 });
  });

  it('a body that unpacks to more', async () => {
    expect(await attack(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]), { 'content-encoding': 'gzip' })).toMatchObject({
      status: 415,
    });
  });

  it('variables as deep as the body is long', async () => {
    const deep = (levels: number) => `${'['.repeat(levels)}"${canary}"${']'.repeat(levels)}`;
    const send = (query: string, variables: string) => attack(`{"query":${JSON.stringify(query)},"variables":${variables}}`);
    expect(await send('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', `{"ids":${deep(500_000)}}`)).toEqual(limited('NESTING'));
    expect(await send('{ __typename }', `{"unused":${deep(500_000)}}`)).toEqual(limited('NESTING'));
    expect(await send('{ __typename }', deep(500_000))).toEqual(limited('NESTING'));
    expect(await attack(`{"query":"{ __typename }","extensions":{"a":${deep(500_000)}}}`)).toEqual(limited('NESTING'));
    // As deep as it may be.
    expect(await send('{ __typename }', `{"unused":${deep(60)}}`)).toMatchObject({ status: 200 });
  });

  it('lists, of items that are all wrong', async () => {
    const list = Array.from({ length: 200_000 }, () => 'x');
    const ask = (kinds: readonly string[]) =>
      run('query ($kinds: [CredentialKind!]) { credentials(kinds: $kinds) { totalCount } }', { kinds });
    expect(await ask(list)).toEqual(limited('JSON_VALUES'));
    expect(await ask(list.slice(0, 40_000))).toEqual(limited('MAX_LIST_ITEMS'));
    const few = list.slice(0, 250).map(() => canary);
    expect(await run('query ($kinds: [CredentialKind!]) { credentials(kinds: $kinds) { totalCount } }', { kinds: few })).toMatchObject({
      code: 'BAD_USER_INPUT',
    });
  });

  const megabytes = (piece: string) => piece.repeat(Math.floor(2_000_000 / piece.length));
  it.each<[string, string, object]>([
    ['open brackets', megabytes('['), limited('NESTING')],
    ['open objects', megabytes('{"a":'), limited('NESTING')],
    ['closed brackets', megabytes('[],'), limited('JSON_VALUES')],
    ['lists in lists', megabytes('[0,'), limited('NESTING')],
    ['items', `[${megabytes('0,')}0]`, limited('JSON_VALUES')],
    ['names', `{${Array.from({ length: 150_000 }, (_, index) => `"k${index}":0`).join()}}`, limited('JSON_NAMES')],
    ['names of one object each', `[${Array.from({ length: 120_000 }, (_, index) => `{"k${index}":0}`).join()}]`, limited('JSON_NAMES')],
    ['duplicates', `{${megabytes('"query":0,')}"query":"{ __typename }"}`, limited('JSON_NAMES')],
    ['escapes', `"${megabytes('\\u0000')}`, { status: 400, code: 'BAD_REQUEST', limit: undefined }],
    ['digits', megabytes('1'), { status: 400, code: 'BAD_REQUEST', limit: undefined }],
    ['spaces', megabytes(' '), { status: 400, code: 'BAD_REQUEST', limit: undefined }],
    ['brackets in a text that is not closed', `"${megabytes('[')}`, { status: 400, code: 'BAD_REQUEST', limit: undefined }],
  ])('two megabytes of %s, with their length and in chunks', async (_what, body, outcome) => {
    expect(await attack(body)).toEqual(outcome);
    expect(await attack(inChunks(body), {}, { duplex: 'half' } as RequestInit)).toEqual(outcome);
  });

  it.each(['variables', 'extensions'])('brackets in the parameter %s of a URL', async (name) => {
    const get = async (text: string) => {
      const url = `http://gateway.test/graphql?query=${encodeURIComponent('{ __typename }')}&${name}=${encodeURIComponent(text)}`;
      const response = await test.gateway.fetch(new Request(url, { headers: { authorization } }));
      return (await response.json()).errors?.[0].extensions;
    };
    expect(await get(`{"a":${'['.repeat(64)}`)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 'NESTING' });
    expect(await get(`{"a":${'['.repeat(60)}${']'.repeat(60)}}`)).toBeUndefined();
  });

  it('headers', async () => {
    const headers = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`x-${index}`, canary]));
    expect(await attack(JSON.stringify({ query: '{ __typename }' }), headers)).toMatchObject({ status: 200 });
    const token = `${Buffer.from('['.repeat(6_000)).toString('base64url')}.${Buffer.from('{"a":'.repeat(1_000)).toString('base64url')}.x`;
    expect(await attack('{}', { authorization: `Bearer ${token}` })).toMatchObject({ status: 401 });
  });

  it('a page of two billion, and of minus one', async () => {
    expect(await run('{ integrations(first: 2000000000) { nodes { name } } }')).toMatchObject({ status: 200, code: 'VALIDATION_FAILED' });
    expect(await run('{ integrations(first: -1) { nodes { name } } }')).toMatchObject({ status: 200, code: 'VALIDATION_FAILED' });
  });
});

// A web page can make a browser send these without asking first, or with what the browser adds by itself.
describe('from a page of another site', () => {
  const body = JSON.stringify({ query: create(`forged-${canary}`) });
  const form = new FormData();
  form.set('operations', body);
  form.set('map', '{}');
  it.each<[string, BodyInit, Record<string, string>, number]>([
    ['as text', body, { 'content-type': 'text/plain' }, 415],
    ['as a form', new URLSearchParams({ query: create('forged') }), { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['as a form with files', form, { 'content-type': '' }, 415],
    ['as GraphQL', create('forged'), { 'content-type': 'application/graphql' }, 415],
    ['without a type', new Uint8Array(Buffer.from(body)), { 'content-type': '' }, 415],
    ['as JSON, from its own origin', body, { origin: 'https://evil.example' }, 403],
  ])('a mutation %s', async (_how, body, headers, status) => {
    expect((await attack(body, headers)).status).toBe(status);
    expect(await made()).toEqual([]);
  });

  it('a mutation by GET', async () => {
    const response = await test.gateway.fetch(
      new Request(`http://gateway.test/graphql?query=${encodeURIComponent(create('forged'))}`, { headers: { authorization } }),
    );
    expect(response.status).toBe(405);
    expect(await made()).toEqual([]);
    outcomes.push(`a mutation by GET: ${response.status}`);
  });
});
