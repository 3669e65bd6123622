import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { buildASTSchema, graphql, parse, visit } from 'graphql';
import type { Json } from './harness.ts';

/** A small subgraph of somebody else: what it has and what it does. */
export interface Neighbour {
  /** The schema, with the directives of Federation. */
  readonly sdl: string;
  /** Its queries. */
  readonly queries: Readonly<Record<string, () => unknown>>;
  /** Returns the entity of a representation, for the names of its types. */
  readonly entities: Readonly<Record<string, (representation: Json) => object>>;
}

/** Serves a subgraph. */
export function neighbourListener({ sdl, queries, entities }: Neighbour): RequestListener {
  // Without what only composition reads, and with what a router asks for.
  const plain = visit(parse(sdl), { SchemaExtension: () => null, Directive: () => null });
  const router = parse(`scalar _Any union _Entity = ${Object.keys(entities).join(' | ')}`);
  const withEntities = visit(plain, {
    ObjectTypeDefinition(node) {
      if (node.name.value !== 'Query') return undefined;
      const [query] = parse('type Query { _entities(representations: [_Any!]!): [_Entity]! }').definitions as [Json];
      return { ...node, fields: [...(node.fields ?? []), ...query.fields] };
    },
  });
  const schema = buildASTSchema({ ...withEntities, definitions: [...withEntities.definitions, ...router.definitions] });
  const rootValue = {
    ...queries,
    _entities: ({ representations }: Json) =>
      representations.map((each: Json) => ({ __typename: each.__typename, ...each, ...entities[each.__typename]!(each) })),
  };
  return async (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk) => {
      body += chunk;
    });
    await once(request, 'end');
    const { query, variables } = JSON.parse(body);
    const result = await graphql({ schema, source: query, rootValue, variableValues: variables });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(result));
  };
}

/** Knows of end users what a shop knows: their external ids. */
export const billingSdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
  type EndUser @key(fields: "integrationId externalId") { integrationId: ID! externalId: String! balance: Int! }
  type Connection @key(fields: "id") { id: ID! calls: Int! }
  type Invoice @key(fields: "number") { number: ID! endUser: EndUser! connection: Connection! }
  type Query { invoices: [Invoice!]! }
`;
/** The same, for a subgraph that knows integrations by their names. */
export const billingByNameSdl = billingSdl
  .replaceAll('integrationId: ID!', 'integrationName: String')
  .replaceAll('integrationId', 'integrationName');
export const catalogueSdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
  type Connector @key(fields: "id") { id: ID! rating: Int! }
  type Query { bestConnectors: [Connector!]! }
`;
/** Extends credentials of all kinds. */
export const inventorySdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@interfaceObject"])
  type CredentialBase @key(fields: "id") @interfaceObject { id: ID! costCentre: String! }
  type Query { costly: [CredentialBase!]! }
`;
