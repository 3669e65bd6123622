import { graphql } from 'relay-runtime';
import type { clientCredentialPageQuery } from './generated/clientCredentialPageQuery.graphql.ts';
import type { clientCredentialRow$data } from './generated/clientCredentialRow.graphql.ts';
import type { clientRenameConnectionMutation } from './generated/clientRenameConnectionMutation.graphql.ts';
import type { clientStoreCredentialMutation } from './generated/clientStoreCredentialMutation.graphql.ts';

export const credentialRow = graphql`
  fragment clientCredentialRow on Credential {
    __typename
    ... on CredentialBase { id name kind updatedAt problems { code since } }
    ... on BasicAuthCredential { username password { isSet } }
  }
`;

/** A page that is refetched by the id of its end user, and continued by a cursor. */
export const credentialList = graphql`
  fragment clientCredentialList on EndUser
    @argumentDefinitions(after: { type: "String" }, first: { type: "Int", defaultValue: 20 })
    @refetchable(queryName: "clientCredentialListQuery") {
    credentials(first: $first, after: $after) @connection(key: "clientCredentialList_credentials") {
      edges { node { ...clientCredentialRow } }
    }
  }
`;

export const credentialPage = graphql`
  query clientCredentialPageQuery($endUser: EndUserRef!) {
    viewer { id scopes }
    endUser(by: $endUser) { displayName ...clientCredentialList }
  }
`;

export const storeCredential = graphql`
  mutation clientStoreCredentialMutation($input: CreateCredentialInput!) {
    createCredential(input: $input) {
      __typename
      ... on CreateCredentialSuccess { credential { ...clientCredentialRow } }
      ... on ValidationError { issues { path message } }
      ... on MutationError { code message }
    }
  }
`;

export const renameConnection = graphql`
  mutation clientRenameConnectionMutation($input: UpdateConnectionInput!) {
    updateConnection(input: $input) {
      __typename
      ... on UpdateConnectionSuccess { connection { id name } }
      ... on ConflictError { currentVersion }
      ... on MutationError { code }
    }
  }
`;

/** The text that a list shows of a credential. */
export function row(credential: clientCredentialRow$data): string {
  const { name, kind, updatedAt }: { name?: string; kind?: string; updatedAt?: string } = credential;
  // @ts-expect-error Nothing has a secret that can be read.
  credential.password?.value;
  return `${name} ${kind} ${updatedAt} ${credential.username} ${credential.password?.isSet ? '*****' : ''}`;
}

export const ofEndUser: clientCredentialPageQuery['variables'] = {
  endUser: { inIntegration: { integration: { name: 'crm' }, externalId: 'ada' } },
};

export const newCredential: clientStoreCredentialMutation['variables'] = {
  input: { integration: { name: 'crm' }, name: 'login', data: { basicAuth: { username: 'ada', password: 'pa55word' } } },
};

export const newName: clientRenameConnectionMutation['variables'] = {
  input: { connection: { inIntegration: { integration: { name: 'crm' }, name: 'support' } }, expectedVersion: 1, name: 'help desk' },
};

export const wrongReference: clientRenameConnectionMutation['variables'] = {
  // @ts-expect-error A reference has one of its members.
  input: { connection: { id: 'a', inConnector: { connector: { id: 'b' }, name: 'support' } } },
};

/** What to tell the user. */
export function told({ createCredential: result }: clientStoreCredentialMutation['response']): string {
  return result.issues?.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n') ?? `${result.code}: ${result.message}`;
}

/** The version to ask about, if somebody else was faster. */
export function otherVersion({ updateConnection: result }: clientRenameConnectionMutation['response']): number | null {
  return result.currentVersion ?? null;
}
