import { readFileSync } from 'node:fs';
import { ApolloClient, ApolloLink, gql, HttpLink } from '@apollo/client';
import { createClient, fetchExchange } from '@urql/core';
import { buildSchema, introspectionFromSchema, parse, print } from 'graphql';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';
import { operation } from '../operations.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { selectionOfAll } from './documents.ts';
import { apolloCache } from './front-ends/caches/apollo.ts';
import { schemaFacts } from './front-ends/caches/schema-facts.ts';
import { urqlCache } from './front-ends/caches/urql.ts';

const schema = buildSchema(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'));
const facts = schemaFacts(schema);
const introspection = introspectionFromSchema(schema, { descriptions: false });

const test = useTestGateway();
// Every field of every kind in one query is more than clients ask for.
test.limits = { ...test.limits, maxCost: 1_000_000, maxDepth: 50, maxTokens: 100_000, maxAliases: 10_000 };
// Two answers about the same object say the same.
const now = new Date();
test.time = () => now;

/** What a cache can do, whosever it is. */
interface Client {
  /** Asks the gateway. Its answer is the last of `answers`. */
  ask(query: string, variables?: object): Promise<Json>;
  /** Reads from the cache alone. */
  read(query: string, variables?: object): Promise<Json>;
  readonly answers: Json[];
}

const clients: Readonly<Record<string, (token: string) => Client & { readonly entities?: () => object }>> = {
  'Apollo Client': (token) => {
    const { fetch, answers } = recording(token);
    const cache = apolloCache(facts);
    const client = new ApolloClient({ cache, link: ApolloLink.from([new HttpLink({ uri: 'http://gateway.test/graphql', fetch })]) });
    return {
      answers,
      entities: () => cache.extract(),
      async ask(query, variables) {
        const document = gql(query);
        const isMutation = /^\s*mutation/.test(query);
        const { data, error } = isMutation
          ? await client.mutate({ mutation: document, variables: variables as never })
          : await client.query({ query: document, variables: variables as never, fetchPolicy: 'network-only' });
        if (error) throw error;
        return data;
      },
      read: async (query, variables) => cache.readQuery({ query: gql(query), variables: variables as never }),
    };
  },
  'urql graphcache': (token) => {
    const { fetch, answers } = recording(token);
    const client = createClient({
      url: 'http://gateway.test/graphql',
      fetch,
      preferGetMethod: false,
      exchanges: [urqlCache(introspection, facts), fetchExchange],
    });
    const run = async (query: string, variables: object, requestPolicy: 'network-only' | 'cache-only') => {
      const isMutation = /^\s*mutation/.test(query);
      const { data, error } = isMutation
        ? await client.mutation(query, variables).toPromise()
        : await client.query(query, variables, { requestPolicy }).toPromise();
      if (error) throw error;
      return data ?? null;
    };
    return {
      answers,
      ask: (query, variables = {}) => run(query, variables, 'network-only'),
      read: (query, variables = {}) => run(query, variables, 'cache-only'),
    };
  },
};

/** A `fetch` through the front door, which keeps the data of each answer. */
function recording(token: string) {
  const answers: Json[] = [];
  const fetch = async (url: unknown, init?: RequestInit) => {
    const request = new Request(url as string, init);
    request.headers.set('authorization', `Bearer ${token}`);
    const response = await test.gateway.fetch(request);
    const { data, errors } = (await response.clone().json()) as Json;
    if (errors) throw new Error(JSON.stringify(errors).slice(0, 2_000));
    answers.push(data);
    return response;
  };
  return { fetch: fetch as typeof globalThis.fetch, answers };
}

/** Every object with an id that an answer holds. */
function entitiesIn(value: Json, found = new Set<string>()): Set<string> {
  if (Array.isArray(value)) for (const item of value) entitiesIn(item, found);
  else if (value !== null && typeof value === 'object') {
    if ('id' in value) found.add(`${value.__typename}:${value.id}`);
    for (const member of Object.values(value)) entitiesIn(member, found);
  }
  return found;
}

const connections = `query ($after: String) {
  connections(first: 1, after: $after) { __typename nodes { __typename id name } pageInfo { __typename hasNextPage endCursor } }
}`;

let world: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
});

describe.each(Object.entries(clients))('%s', (name, createClientOf) => {
  let client: ReturnType<typeof createClientOf>;
  const warned = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'error')];
  beforeEach(async () => {
    client = createClientOf(await test.token(world.caller));
    for (const each of warned) each.mockClear();
  });
  afterEach(() => expect(warned.flatMap(({ mock }) => mock.calls)).toEqual([]));

  it('reads back all that each query has answered, after all of them were written to one cache', async () => {
    const { ids, more } = world;
    const all = [...Object.values(ids), ...Object.values(more)];
    const asked = Object.values(schema.getQueryType()!.getFields()).map((field) => {
      const given: Record<string, string> = {
        nodes: `(ids: ${JSON.stringify(all)})`,
        node: `(id: ${JSON.stringify(ids.credential)})`,
        credential: `(id: ${JSON.stringify(more.client)})`,
        apiKey: `(id: ${JSON.stringify(ids.apiKey)})`,
        webhook: `(id: ${JSON.stringify(ids.webhook)})`,
        deletePreview: `(objectId: ${JSON.stringify(ids.connector)})`,
      };
      const noun = (ids as Readonly<Record<string, string>>)[field.name];
      const byRef = field.args.some((arg) => arg.name === 'by') ? `(by: { id: ${JSON.stringify(noun)} })` : '';
      const page = field.args.some((arg) => arg.name === 'first') ? '(first: 10)' : '';
      const selection = (depth: number) => selectionOfAll(schema, field.type, depth);
      const documents = [1, 0].map((depth) => `{ ${field.name}${given[field.name] ?? (byRef || page)} ${selection(depth)} }`);
      // What the gateway takes: a document has at most 131,072 characters, with what the clients add.
      return documents.find((each) => print(parse(each)).length < 100_000)!;
    });
    expect(asked.length).toBeGreaterThan(20);
    for (const query of asked) await client.ask(query);
    expect(client.answers).toHaveLength(asked.length);
    for (const [index, query] of asked.entries()) {
      const answer = client.answers[index];
      expect(await client.read(query), query.slice(0, 60)).toEqual(answer);
      expect(Object.values(answer)[0], query.slice(0, 60)).not.toBeNull();
    }
    const entities = entitiesIn(client.answers);
    expect(entities.size).toBeGreaterThan(20);
    if (client.entities) {
      expect(
        Object.keys(client.entities())
          .filter((key) => !/^(ROOT_|__META)/.test(key))
          .sort(),
      ).toEqual([...entities].sort());
    }
  });

  it('keeps the pages of a list apart, and shows in each what a mutation has changed', async () => {
    const first = await client.ask(connections);
    const after = { after: first.connections.pageInfo.endCursor };
    const second = await client.ask(connections, after);
    expect(second.connections.nodes[0].id).not.toBe(first.connections.nodes[0].id);
    expect(await client.read(connections)).toEqual(first);
    expect(await client.read(connections, after)).toEqual(second);
    const { id } = second.connections.nodes[0];
    const { query, variables } = operation('updateConnection', { connection: { id }, name: `renamed by ${name}` }, 'id name');
    const { result } = await client.ask(query, variables);
    expect(result.connection).toMatchObject({ id, name: `renamed by ${name}` });
    expect((await client.read(connections, after)).connections.nodes).toMatchObject([{ id, name: `renamed by ${name}` }]);
    expect(await client.read(connections)).toEqual(first);
    const refused = await client.ask(query, { input: { ...variables.input, expectedVersion: 1 } });
    expect(refused.result).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT' });
    expect((await client.read(connections, after)).connections.nodes).toMatchObject([{ id, name: `renamed by ${name}` }]);
  });

  it('keeps what one query has selected of a page and of the viewer, when another has selected other fields', async () => {
    const one = '{ viewer { __typename id kind } connections(first: 2) { __typename nodes { __typename id name } } }';
    const other = '{ viewer { __typename id scopes } connections(first: 2) { __typename totalCount nodes { __typename id version } } }';
    const both =
      '{ viewer { __typename id kind scopes } connections(first: 2) { __typename totalCount nodes { __typename id name version } } }';
    const answers = [await client.ask(one), await client.ask(other)];
    expect([await client.read(one), await client.read(other)]).toEqual(answers);
    const fromBoth = await client.read(both);
    expect(fromBoth).toEqual(await client.ask(both));
  });
});
