import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { readTrustedDocuments } from '../../src/http/trusted-documents.ts';
import { defaultLimits } from '../../src/limits.ts';
import { schema } from '../contracts/walk.ts';
import { type Answer, type Caller, type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const hash = (text: string, algorithm = 'sha256') => createHash(algorithm).update(text).digest('hex');
const all = 'query All($first: Int) { integrations(first: $first) { totalCount } }';
const two = 'query One { integrations { totalCount } }\nquery Two { __typename }';
const create = 'mutation Create { createIntegration(input: { name: "trusted" }) { __typename } }';
const introspection = '{ __schema { description } }';
let caller: Caller;
let endUser: Caller;
let apiKey: Caller;

const manifest = (json: unknown) => ({ name: 'documents.json', json: typeof json === 'string' ? json : JSON.stringify(json) });
async function trust(documents: unknown[], requiredFor?: ('endUser' | 'apiKey' | 'token')[]): Promise<void> {
  await test.close();
  test.trustedDocuments = { manifests: documents.map(manifest), ...(requiredFor && { requiredFor }) };
  await test.open();
}
/** As the client preset of GraphQL Code Generator writes it, with and without the name of the algorithm; Relay’s compiler; and Apollo’s tool. */
const preset = { [`sha256:${hash(all)}`]: all, [hash(two, 'sha1')]: two };
const relay = { [hash(create, 'md5')]: create };
const apollo = {
  format: 'apollo-persisted-query-manifest',
  version: 1,
  operations: [{ id: hash('{ __typename }'), name: 'None', type: 'query', body: '{ __typename }' }],
};
const ask = async (who: Caller, body: object): Promise<Answer> => test.send(body, { authorization: `Bearer ${await test.token(who)}` });
const codes = ({ errors = [] }: Answer) => errors.map(({ extensions }: Json) => extensions.code);

beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  const { id } = await test.create(caller, 'EndUser', { integration: { name: 'crm' }, externalId: 'e' });
  endUser = { ...caller, token: await test.makeEndUserToken(caller, { id }) };
  apiKey = { ...caller, token: (await test.makeAPIKey(caller, { scopes: ['all.Organization'] })).key };
});
describe('a request', () => {
  it('names a document as each client does', async () => {
    await trust([preset, relay, apollo]);
    const persistedQuery = (sha256Hash: string) => ({ extensions: { persistedQuery: { version: 1, sha256Hash } } });
    for (const body of [
      { documentId: `sha256:${hash(all)}` },
      { documentId: hash(all) },
      { documentId: `sha256:${hash(all).toUpperCase()}` },
      { doc_id: hash(all), variables: { first: 1 } },
      { id: hash(all), query: null },
      persistedQuery(hash(all)),
      { documentId: `sha1:${hash(two, 'sha1')}`, operationName: 'One' },
    ]) {
      expect((await ask(caller, body)).data, JSON.stringify(body)).toEqual({ integrations: { totalCount: 1 } });
    }
    expect((await ask(endUser, persistedQuery(hash('{ __typename }')))).data).toEqual({ __typename: 'Query' });
    expect((await ask(caller, { doc_id: hash(create, 'md5') })).data.createIntegration.__typename).toBe('CreateIntegrationSuccess');

    const authorization = `Bearer ${await test.token(caller)}`;
    const get = async (parameters: Record<string, string>) => {
      const url = `http://gateway.test/graphql?${new URLSearchParams(parameters)}`;
      return (await (await test.gateway.fetch(new Request(url, { headers: { authorization } }))).json()) as Json;
    };
    expect((await get({ documentId: `sha256:${hash(all)}` })).data).toMatchObject({ integrations: {} });
    expect((await get(Object.fromEntries([['extensions', JSON.stringify(persistedQuery(hash(all)).extensions)]]))).data).toMatchObject({
      integrations: {},
    });
    expect((await get({ documentId: hash(create, 'md5') })).errors).toMatchObject([{ extensions: { code: 'BAD_REQUEST' } }]);
  });

  it('is refused with what each client understands when there is no such document', async () => {
    await trust([preset]);
    const apollos = await ask(caller, { extensions: { persistedQuery: { version: 1, sha256Hash: hash('x') } } });
    expect([codes(apollos), apollos.errors![0].message]).toEqual([['PERSISTED_QUERY_NOT_FOUND'], 'PersistedQueryNotFound']);
    for (const id of [hash('x'), 'constructor', '__proto__', '', `md5:${hash('x')}`]) {
      expect(codes(await ask(caller, { documentId: id })), id).toEqual(['DOCUMENT_NOT_FOUND']);
    }
    // The last ones are no names of an id, though some clients send them.
    const others = ['docId', 'queryId', 'hash'].map((name) => ({ [name]: hash(all) }));
    for (const body of [{ documentId: 7 }, { extensions: { persistedQuery: 7 } }, { id: null }, ...others]) {
      expect(codes(await ask(caller, body)), JSON.stringify(body)).toEqual(['BAD_REQUEST']);
    }
  });

  it('has the same limits and checks as any other', async () => {
    test.limits = { ...test.limits, maxCost: 24 };
    await trust([preset, relay]);
    expect(codes(await ask(caller, { documentId: hash(all), variables: { first: 'x' } }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await ask(caller, { documentId: hash(create, 'md5') }))).toEqual(['COST_LIMIT_EXCEEDED']);
    test.limits = { ...test.limits, maxCost: 10_000 };
    await trust([preset, relay]);
    expect(codes(await ask({ ...caller, scopes: [] }, { documentId: hash(all) }))).toEqual(['FORBIDDEN']);
    expect((await test.send({ documentId: hash(all) })).status).toBe(401);
  });
});

describe('another document', () => {
  const other = '{ integrations { nodes { id } } }';
  it('is refused for end users only, unless told, and the text of a trusted one is not', async () => {
    await trust([preset]);
    const refused = await ask(endUser, { query: other });
    expect([refused.status, codes(refused), refused.data]).toEqual([400, ['DOCUMENT_REQUIRED'], undefined]);
    expect(codes(await ask(endUser, { query: other, documentId: hash(all) }))).toEqual(['DOCUMENT_REQUIRED']);
    expect(codes(await ask(endUser, { query: all }))).toEqual([]);
    for (const who of [caller, apiKey]) expect(codes(await ask(who, { query: other }))).toEqual([]);
  });

  it('is refused for the kinds of viewer that the setting lists', async () => {
    await trust([preset], ['apiKey', 'token']);
    for (const who of [caller, apiKey]) expect(codes(await ask(who, { query: other }))).toEqual(['DOCUMENT_REQUIRED']);
    expect(codes(await ask(endUser, { query: other }))).toEqual([]);
    const viewer = { organizationId: caller.organization, kind: 'token', subject: 's', scopes: new Set(['all.Organization']) } as const;
    expect((await test.gateway.execute({ query: other, viewer })).errors).toBeUndefined();
    await trust([preset], []);
    for (const who of [caller, apiKey, endUser]) expect(codes(await ask(who, { query: other }))).toEqual([]);
  });
});

it.each<[string, unknown, RegExp]>([
  ['no JSON', '{', /^documents\.json is not JSON$/],
  ['no object', 7, /is not a manifest/],
  ['a list', ['x'], /its id must be a hash/],
  ['no texts', { [hash(all)]: 7 }, /each document must be a text/],
  ['nothing', {}, /contain no documents/],
  ['another version', { ...apollo, version: 2 }, /version 1/],
  ['an operation without a body', { ...apollo, operations: [{ id: hash(all) }, null] }, /each document must be a text/],
  ['an id that is no hash', { secret: all }, /with an id that is no hash: its id must be a hash/],
  ['a hash of another algorithm', { [`sha256:${hash(all, 'sha1')}`]: all }, /its id must be a hash/],
  ['a wrong hash', { [hash(all)]: two }, /is not its sha256 hash/],
  ['a document that is not GraphQL', { [hash('{ a(b: "secret ')]: '{ a(b: "secret ' }, /is not GraphQL$/],
  ['a document for another schema', { [hash('{ secret }')]: '{ secret }' }, /cannot run: The type Query has no such field/],
  [
    'a document beyond a limit',
    { [hash(`{ ${'a: __typename '.repeat(3000)}}`)]: `{ ${'a: __typename '.repeat(3000)}}` },
    /cannot run: .* too many tokens/,
  ],
  [
    'a document that asks for the schema, which the settings forbid',
    { [hash(introspection)]: introspection },
    /cannot run: Introspection is disabled/,
  ],
  ['more than 8 MiB of UTF-8', 'é'.repeat(4 * 1024 * 1024 + 1), /too large: at most 8 MiB/],
])('a manifest is refused that is %s', (_, json, message) => {
  const read = () => readTrustedDocuments({ manifests: [manifest(json)] }, schema, { ...defaultLimits, introspection: false });
  expect(read).toThrow(expect.objectContaining({ name: 'TrustedDocumentsError', message: expect.stringMatching(message) }));
  expect(read).not.toThrow(/secret/);
});

it('the gateway does not start with a manifest that is wrong', async () => {
  await expect(trust([{ [hash(all)]: two }])).rejects.toThrow('is not its sha256 hash');
  await trust([preset]);
});
