import { readFileSync } from 'node:fs';
import { composeServices } from '@apollo/composition';
import { ApolloGateway, RemoteGraphQLDataSource } from '@apollo/gateway';
import { createGatewayRuntime, type GatewayRuntime } from '@graphql-hive/gateway-runtime';
import { composeServices as composeTheGuild } from '@theguild/federation-composition';
import { federateSubgraphs, ROUTER_COMPATIBILITY_VERSION_ONE } from '@wundergraph/composition';
import { type DocumentNode, parse } from 'graphql';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { subgraphText } from '../src/gateway/index.ts';
import type { FederationAddition, SchemaNames } from '../src/schema-names.ts';
import { type Caller, type Json, TestGateway, useTestGateway } from './harness.ts';
import { billingByNameSdl, billingSdl, catalogueSdl, inventorySdl, type Neighbour, neighbourListener } from './neighbours.ts';
import { serve } from './serve.ts';

// What others do with the subgraph: three programs compose it, and two serve it together with the subgraphs of others.
const test = new TestGateway();
test.federation = { adds: ['credentials'] };
// Events are told to who listens.
test.runsJobs = true;
useTestGateway(test);

interface Subgraph {
  readonly name: string;
  readonly sdl: string;
  readonly url?: string;
}
const documents = new Map<string, DocumentNode>();
function parsed(sdl: string): DocumentNode {
  const document = documents.get(sdl) ?? parse(sdl);
  documents.set(sdl, document);
  return document;
}

/** The subgraphs, in the form that composers take. */
function services(subgraphs: readonly Subgraph[]) {
  return subgraphs.map(({ name, sdl, url }) => ({ name, url: url ?? `http://${name}.test/`, typeDefs: parsed(sdl) }));
}
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
/** How each program composes: the supergraph, or what is wrong. */
const composers: Readonly<
  Record<string, (subgraphs: readonly Subgraph[]) => { supergraph?: string | undefined; wrong: readonly string[] }>
> = {
  '@apollo/composition'(subgraphs) {
    try {
      const { supergraphSdl, errors = [] } = composeServices(services(subgraphs));
      return { supergraph: supergraphSdl, wrong: errors.map(({ message }) => message) };
    } catch (error) {
      // Some of what is wrong is thrown.
      return { wrong: [(error as Error).message] };
    }
  },
  '@theguild/federation-composition'(subgraphs) {
    const { supergraphSdl, errors = [] } = composeTheGuild(services(subgraphs));
    return { supergraph: supergraphSdl, wrong: errors.map(({ message }) => message) };
  },
  '@wundergraph/composition'(subgraphs) {
    const given = services(subgraphs).map(({ name, url, typeDefs }) => ({ name, url, definitions: typeDefs }));
    const result = federateSubgraphs({ subgraphs: given, version: ROUTER_COMPATIBILITY_VERSION_ONE });
    return { wrong: result.success ? [] : result.errors.map(({ message }) => message) };
  },
};
const texts = new Map<string, string>();
/** Our subgraph. Its text takes a moment to make, so each is made once. */
function ours(adds: readonly FederationAddition[] = [], names?: SchemaNames): Subgraph {
  const key = JSON.stringify([adds, names]);
  const sdl = texts.get(key) ?? subgraphText({ federation: { adds }, names });
  texts.set(key, sdl);
  return { name: 'credentials', sdl };
}
const billing = { name: 'billing', sdl: billingSdl };
const catalogue = { name: 'catalogue', sdl: catalogueSdl };
const inventory = { name: 'inventory', sdl: inventorySdl };

describe.each(Object.entries(composers))('%s', (_, compose) => {
  it.each<[string, readonly Subgraph[]]>([
    ['alone', [ours()]],
    ['with two subgraphs that extend its types', [ours(), billing, catalogue]],
    [
      'with all that can be added, one that extends all kinds, and one that knows integrations by name',
      [ours(['plaintext', 'scopes', 'credentials']), { ...billing, sdl: billingByNameSdl }, inventory],
    ],
  ])('composes it %s', (_what, subgraphs) => {
    const { supergraph, wrong } = compose(subgraphs);
    expect(wrong).toEqual([]);
    // Without it, clients of the router would not know that there must be one key.
    if (supergraph) expect(supergraph).toMatch(/^input EndUserRef\b[^{]*@oneOf/m);
  });

  it('composes it with subgraphs that have the same names, if ours are others', () => {
    const same = `
      extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
      interface Connection { edges: Int }
      type OrderPage implements Connection { edges: Int }
      type Contact @key(fields: "number") { number: ID! }
      type NotFoundError { what: String }
      input ValidationError { what: Int! }
      scalar Integration
      enum Severity { BAD WORSE }
      type Viewer { name: String }
      type Query { viewer: Viewer connections: OrderPage node(key: Int!): Contact severity: Severity of(error: ValidationError): NotFoundError integration: Integration }
    `;
    const neighbour = { name: 'shop', sdl: same };
    expect(compose([ours(), neighbour]).wrong.length).toBeGreaterThan(0);
    const names = {
      types: {
        Connection: 'ServiceConnection',
        Contact: 'EndUserContact',
        NotFoundError: 'GatewayNotFoundError',
        ValidationError: 'GatewayValidationError',
        Integration: 'ServiceIntegration',
        Viewer: 'GatewayViewer',
        Severity: 'GatewaySeverity',
      },
      rootFields: {
        'Query.viewer': 'gatewayViewer',
        'Query.connections': 'serviceConnections',
        'Query.integration': 'serviceIntegration',
        'Query.node': null,
      },
    };
    expect(compose([ours([], names), neighbour]).wrong).toEqual([]);
  });
});

describe('served together with two other subgraphs', () => {
  const fetches: string[] = [];
  /** The tokens that each subgraph got. */
  const tokens = new Map<string, string | undefined>();
  const stops: (() => Promise<unknown>)[] = [];
  const subgraphs: Subgraph[] = [];
  let accept: string | undefined;
  const caller: Caller & { organization: string } = { organization: '' };
  const ids = { integration: '', ada: '', bob: '', connector: '', connection: '', credential: '' };

  /** What a router answers, and which subgraphs it asked for it. */
  type Ask = (query: string, as?: Caller) => Promise<{ data: Json; errors: Json[] | undefined; fetched: string[] }>;
  const routers: Record<string, Ask> = {};
  let hiveRuntime: () => GatewayRuntime;

  async function listen(name: string, listener: Parameters<typeof serve>[0]): Promise<string> {
    const { origin, stop } = await serve((request, response) => {
      fetches.push(name);
      tokens.set(name, request.headers.authorization);
      listener(request, response);
    });
    stops.push(stop);
    return `${origin}/graphql`;
  }

  beforeAll(async () => {
    caller.organization = test.newOrganization();
    const integration = (await test.create(caller, 'Integration', { name: 'crm' })).id;
    const own = { integration: { id: integration } };
    ids.integration = integration;
    ids.connector = (await test.create(caller, 'Connector', { ...own, name: 'mail', baseUrl: 'https://mail.example' })).id;
    for (const name of ['ada', 'bob'] as const) {
      ids[name] = (await test.create(caller, 'EndUser', { ...own, externalId: name, displayName: name.toUpperCase() })).id;
      const connection = { ...own, name, endUser: { id: ids[name] }, connector: { id: ids.connector } };
      ids.connection = (await test.create(caller, 'Connection', connection)).id;
    }
    ids.credential = (await test.create(caller, 'Credential', { ...own, name: 'key', data: { string: { value: 'a secret' } } })).id;

    const neighbours: Record<string, Neighbour> = {
      billing: {
        sdl: billingSdl,
        queries: {
          invoices: () =>
            ['ada', 'bob'].map((externalId, at) => ({
              number: String(at),
              endUser: { integrationId: integration, externalId, balance: at },
              connection: { id: ids.connection, calls: 7 },
            })),
        },
        entities: {
          EndUser: ({ externalId }) => ({ balance: externalId.length }),
          Connection: () => ({ calls: 7 }),
          Invoice: () => ({}),
        },
      },
      catalogue: {
        sdl: catalogueSdl,
        queries: { bestConnectors: () => [{ id: ids.connector, rating: 5 }] },
        entities: { Connector: () => ({ rating: 5 }) },
      },
      inventory: {
        sdl: inventorySdl,
        queries: { costly: () => [{ id: ids.credential, costCentre: '42' }] },
        entities: { CredentialBase: () => ({ costCentre: '42' }) },
      },
    };
    subgraphs.push({ ...ours(['credentials']), url: await listen('credentials', test.gateway.requestListener) });
    for (const [name, neighbour] of Object.entries(neighbours)) {
      subgraphs.push({ name, sdl: neighbour.sdl, url: await listen(name, neighbourListener(neighbour)) });
    }
    const { supergraph } = composers['@apollo/composition']!(subgraphs);
    routers.apollo = await apollo(supergraph!);
    routers.hive = hive(supergraph!);
  });
  afterEach(() => {
    accept = undefined;
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
  });

  const counted = (ask: (query: string, token: string) => Promise<Json>): Ask => {
    return async (query, as = caller) => {
      fetches.length = 0;
      tokens.clear();
      const token = `Bearer ${await test.token(as)}`;
      const { data, errors } = await ask(query, token);
      // Ours got the token of the client, and nobody else did.
      for (const [name, got] of tokens) expect([name, got === (name === 'credentials' ? token : undefined)]).toEqual([name, true]);
      return {
        data: JSON.parse(JSON.stringify(data ?? null)),
        errors: errors && JSON.parse(JSON.stringify(errors)),
        fetched: [...fetches].sort(),
      };
    };
  };

  async function apollo(supergraphSdl: string): Promise<Ask> {
    class Source extends RemoteGraphQLDataSource {
      override willSendRequest({ request, context }: Json) {
        if (this.url === subgraphs[0]!.url) request.http.headers.set('authorization', context.authorization);
        if (accept) request.http.headers.set('accept', accept);
      }
    }
    const gateway = new ApolloGateway({ supergraphSdl, logger: quiet, buildService: ({ url }) => new Source({ url: url! }) });
    const { executor, schema } = await gateway.load();
    stops.push(() => gateway.stop());
    return counted((query, authorization) =>
      executor({
        document: parse(query),
        request: { query },
        queryHash: query,
        context: { authorization },
        schema,
        logger: quiet,
        metrics: {},
        operation: parse(query).definitions[0],
      } as Json),
    );
  }

  /** The configuration that the README gives. */
  function hiveConfig(): Json {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const [, text] = /^```js\n\/\/ gateway\.config\.js.*\nexport const gatewayConfig = (.*?);\n```$/ms.exec(readme)!;
    return new Function(`return ${text}`)();
  }

  function hive(supergraph: string): Ask {
    const { propagateHeaders, ...config } = hiveConfig();
    const { fromClientToSubgraphs } = propagateHeaders;
    const gateway = createGatewayRuntime({
      ...config,
      supergraph,
      logging: false,
      propagateHeaders: {
        fromClientToSubgraphs: (payload) => ({ ...fromClientToSubgraphs(payload), ...(accept && { accept }) }),
      },
    });
    stops.push(async () => gateway[Symbol.asyncDispose]());
    hiveRuntime = () => gateway;
    return counted(async (query, authorization) => {
      const response = await gateway.fetch('http://router.test/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization },
        body: JSON.stringify({ query }),
      });
      return response.json();
    });
  }

  it('a live query goes through the router of hive, with the token of the client, and ends with it', async () => {
    const listening = async (as: Caller, signal?: AbortSignal) => {
      const response = await hiveRuntime().fetch('http://router.test/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${await test.token(as)}` },
        body: JSON.stringify({ query: 'subscription { events(types: [CREATED]) { objectType objectId } }' }),
        ...(signal && { signal }),
      });
      return response.body!.pipeThrough(new TextDecoderStream() as never) as AsyncIterable<string>;
    };
    const leaving = new AbortController();
    const token = await test.token(caller);
    fetches.length = 0;
    const made: string[] = [];
    const told: Json[] = [];
    let text = '';
    for await (const part of await listening({ ...caller, token }, leaving.signal)) {
      text += part;
      told.push(...[...part.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!)));
      if (told.length === 2) break;
      // The router listens when it passes our first comment on.
      if (made.length > told.length) continue;
      const connector = { integration: { id: ids.integration }, name: `live ${made.length}`, baseUrl: 'https://mail.example' };
      made.push((await test.create(caller, 'Connector', connector)).id);
    }
    leaving.abort();
    expect(told, text).toEqual(made.map((objectId) => ({ data: { events: { objectType: 'CONNECTOR', objectId } } })));
    expect([fetches, tokens.get('credentials')]).toEqual([['credentials'], `Bearer ${token}`]);

    let refused = '';
    for await (const part of await listening({ ...caller, scopes: ['connectors.get'] })) refused += part;
    expect(refused).toContain('"code":"FORBIDDEN"');
    expect(refused).not.toContain('"events":{');
  });

  describe.each(['apollo', 'hive'])('by the router of %s', (name) => {
    const isApollo = name === 'apollo';

    it('a query goes from ours to others', async () => {
      const { data, errors, fetched } = await routers[name]!(
        `{ endUsers(sort: { field: NAME, direction: ASC }) { nodes {
          displayName balance connections(first: 5) { nodes { name calls connector { name rating } } }
        } } }`,
      );
      expect(errors).toBeUndefined();
      expect(data.endUsers.nodes).toEqual(
        ['ada', 'bob'].map((each) => ({
          displayName: each.toUpperCase(),
          balance: 3,
          connections: { nodes: [{ name: each, calls: 7, connector: { name: 'mail', rating: 5 } }] },
        })),
      );
      // Of others, one for each type and depth, however many objects there are. Hive’s router asks ours again for what it has.
      expect(fetched).toEqual(['billing', 'billing', 'catalogue', ...Array(isApollo ? 1 : 3).fill('credentials')]);
    });

    it('a query goes from others to ours, which find an end user by what others know', async () => {
      const { data, errors, fetched } = await routers[name]!(
        '{ invoices { number endUser { balance id displayName } connection { calls name } } bestConnectors { rating name } }',
      );
      expect(errors).toBeUndefined();
      expect(data).toEqual({
        invoices: ['ada', 'bob'].map((each, at) => ({
          number: String(at),
          endUser: { balance: at, id: ids[each as 'ada' | 'bob'], displayName: each.toUpperCase() },
          connection: { calls: 7, name: 'bob' },
        })),
        bestConnectors: [{ rating: 5, name: 'mail' }],
      });
      // Hive’s router asks for several types at once.
      expect(fetched).toEqual(['billing', 'catalogue', ...Array(isApollo ? 3 : 2).fill('credentials')]);
    });

    it.each([undefined, 'application/json'])('errors arrive with their codes and paths, if the router accepts %s', async (accepted) => {
      accept = accepted;
      const as = { ...caller, scopes: ['connections.get', 'endUsers.get'] };
      const forbidden = (scope: string, path?: readonly (string | number)[]) => [
        {
          message: expect.stringContaining(scope),
          extensions: { code: 'FORBIDDEN', scope, requestId: expect.any(String) },
          ...(path && { path }),
        },
      ];
      const asked = async (query: string) => {
        const { errors } = await routers[name]!(query, as);
        return errors;
      };
      // Of a field in an answer, of an entity, and of a whole request.
      expect(await asked('{ connections(first: 1) { nodes { calls connector { name } } } }')).toMatchObject(
        forbidden('connectors.get', ['connections', 'nodes', 0, 'connector']),
      );
      expect(await asked('{ bestConnectors { rating name } }')).toMatchObject(
        forbidden('connectors.get', ['bestConnectors', isApollo ? 0 : 'name']),
      );
      expect(await asked('{ integrations { totalCount } }')).toMatchObject(forbidden('integrations.get'));
    });

    it('two keys are refused, by the router or by the gateway', async () => {
      const query = `{ endUser(by: { id: "${ids.ada}", inIntegration: { integration: { name: "crm" }, externalId: "ada" } }) { id } }`;
      const { data, errors, fetched } = await routers[name]!(query);
      expect(data?.endUser ?? null).toBeNull();
      expect(errors).toMatchObject([{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }]);
      // Apollo’s gateway knows less of @oneOf than its supergraph says.
      expect(fetched).toEqual(isApollo ? ['credentials'] : []);
    });

    it('another subgraph extends the credentials of all kinds', async () => {
      const { data } = await routers[name]!('{ costly { costCentre name kind } }');
      expect(data).toEqual({ costly: [{ costCentre: '42', name: 'key', kind: 'STRING' }] });
      const { data: back, errors } = await routers[name]!(
        '{ credentials(first: 1) { nodes { ... on CredentialBase { name costCentre } } } }',
      );
      // The router of Hive does not go this way: it looks for the field in ours.
      if (isApollo) expect([back, errors]).toEqual([{ credentials: { nodes: [{ name: 'key', costCentre: '42' }] } }, undefined]);
      else expect(errors).toMatchObject([{ path: ['credentials', 'nodes', 0, 'costCentre'] }]);
    });
  });

  it('the gateway of Apollo refuses a graph with @requiresScopes, which routers take', async () => {
    const { supergraph } = composers['@apollo/composition']!([ours(['scopes'])]);
    const refused = new ApolloGateway({ supergraphSdl: supergraph!, logger: quiet }).load();
    await expect(refused).rejects.toThrow(/requiresScopes/);
  });
});
