// The part of the gateway's schema that the benchmark's operations need, written by hand.
import { redacted, shownKind } from './data.mjs';

export const typeDefs = /* GraphQL */ `
  type Query {
    viewer: Viewer!
    connections(first: Int!): ConnectionPage!
  }
  type Viewer { kind: String! }
  type ConnectionPage { nodes: [Connection!]! }
  type Connection {
    id: ID!
    name: String!
    connector: Connector
    endUser: EndUser
    actionCredentials: [Binding!]!
  }
  type Connector { name: String! }
  type EndUser { displayName: String }
  type Binding { credential: CredentialBase }
  interface CredentialBase {
    id: ID!
    name: String!
    kind: String!
    usages(first: Int!): ConnectionPage!
  }
  type BasicAuthCredential implements CredentialBase {
    id: ID!
    name: String!
    kind: String!
    usages(first: Int!): ConnectionPage!
    username: String
    password: Secret!
  }
  type OtherCredential implements CredentialBase {
    id: ID!
    name: String!
    kind: String!
    usages(first: Int!): ConnectionPage!
  }
  type Secret { redacted: String! }
`;

const credential = {
  id: ({ _id }) => _id,
  kind: shownKind,
  usages: async ({ _id }, { first }, { data }) => ({ nodes: await data.usages(_id, first) }),
};

/** The context needs `data`, which `openData` makes. */
export const resolvers = {
  Query: {
    viewer: () => ({ kind: 'TOKEN' }),
    connections: async (_root, { first }, { data }) => ({ nodes: await data.connections(first) }),
  },
  Connection: {
    id: ({ _id }) => _id,
    connector: ({ connectorId }, _args, { data }) => connectorId && data.connector(connectorId),
    endUser: ({ endUserId }, _args, { data }) => endUserId && data.endUser(endUserId),
  },
  Binding: { credential: ({ credentialId }, _args, { data }) => data.credential(credentialId) },
  CredentialBase: { __resolveType: ({ kind }) => (kind === 'basicAuth' ? 'BasicAuthCredential' : 'OtherCredential') },
  BasicAuthCredential: {
    ...credential,
    username: ({ settings }) => settings.username,
    password: (record) => ({ redacted: redacted(record) }),
  },
  OtherCredential: credential,
};
