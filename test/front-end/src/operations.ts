import type { ConnectionsQuery, FailureFragment, KindsQuery } from './gql/graphql.ts';
import { graphql } from './gql/index.ts';

export const CONNECTIONS = graphql(`
  query Connections($first: Int!) {
    viewer { endUser { displayName } }
    connections(first: $first, sort: { field: NAME, direction: ASC }) {
      nodes {
        id
        name
        version
        allowedDomain
        state
        problems { code message }
        requestPlan { baseUrl problems { code message } }
        actionCredentials { credentialId state credential { ...Credential } }
      }
      pageInfo { hasNextPage }
    }
  }
  fragment Credential on CredentialBase {
    id
    name
    kind
    version
    state
    problems { code message }
    fields { name type value secret { isSet sealedAt } }
    facts { name type value }
  }
`);

export const KINDS = graphql(`
  query Kinds {
    credentialKinds {
      name
      kind
      description
      refusal
      generates
      fields {
        name
        description
        type
        isSecret
        isRequired
        minLength
        min
        max
        format
        formatDependsOn
        formats { value format }
        values { name description }
        example
      }
    }
  }
`);

export const ADD = graphql(`
  mutation Add($input: AddConnectionCredentialInput!) {
    result: addConnectionCredential(input: $input) { __typename ...Failure }
  }
  fragment Failure on MutationError {
    __typename
    code
    message
    ... on ValidationError { issues { path message } }
    ... on InUseError { usageCount usages { noun name node { id } } }
  }
`);

export const REPLACE = graphql(`
  mutation Replace($input: UpdateCredentialInput!) {
    result: updateCredential(input: $input) { __typename ...Failure }
  }
`);

export const DELETE = graphql(`
  mutation Delete($input: DeleteCredentialInput!) {
    result: deleteCredential(input: $input) { __typename ...Failure }
  }
`);

export type Connection = NonNullable<ConnectionsQuery['connections']>['nodes'][number];
export type Credential = NonNullable<Connection['actionCredentials'][number]['credential']>;
export type Fact = Credential['facts'][number];
export type Kind = KindsQuery['credentialKinds'][number];
export type Field = Kind['fields'][number];
export type Format = NonNullable<Field['format']>;
export type Failure = FailureFragment;
