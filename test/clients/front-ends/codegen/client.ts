import type { ResultOf, VariablesOf } from '@graphql-typed-document-node/core';
import { graphql } from './generated/index.ts';

export const credentialPage = graphql(`
  query CredentialPage($endUser: EndUserRef, $after: String) {
    credentials(endUser: $endUser, first: 20, after: $after) {
      nodes {
        __typename
        ... on CredentialBase { id name kind updatedAt problems { code since } }
        ... on BasicAuthCredential { username password { isSet } }
        ... on NoneCredential { organization }
      }
      pageInfo { endCursor hasNextPage }
    }
  }
`);

export const storeCredential = graphql(`
  mutation StoreCredential($input: CreateCredentialInput!) {
    createCredential(input: $input) {
      __typename
      ... on CreateCredentialSuccess { credential { ... on CredentialBase { id } } }
      ... on ValidationError { issues { path message } }
      ... on MutationError { code message }
    }
  }
`);

export const renameConnection = graphql(`
  mutation RenameConnection($input: UpdateConnectionInput!) {
    updateConnection(input: $input) {
      __typename
      ... on UpdateConnectionSuccess { connection { id name } }
      ... on ConflictError { currentVersion }
      ... on MutationError { code }
    }
  }
`);

/** The text that a list shows of each credential. */
export function rows({ credentials }: ResultOf<typeof credentialPage>): readonly string[] {
  return (credentials?.nodes ?? []).map((credential) => {
    const { name, kind, updatedAt }: { name: string; kind: string; updatedAt: string } = credential;
    // @ts-expect-error Only a credential of this kind has a user name.
    credential.username;
    if (credential.__typename !== 'BasicAuthCredential') return `${name} ${kind} ${updatedAt}`;
    return `${credential.username} ${credential.password.isSet ? '*****' : ''}`;
  });
}

/** The variables of the next page, or null. */
export function nextPage({ credentials }: ResultOf<typeof credentialPage>): VariablesOf<typeof credentialPage> | null {
  const { pageInfo } = credentials ?? {};
  return pageInfo?.hasNextPage ? { after: pageInfo.endCursor } : null;
}

export const newCredential: VariablesOf<typeof storeCredential> = {
  input: { integration: { name: 'crm' }, name: 'login', data: { basicAuth: { username: 'ada', password: 'pa55word' } } },
};

export const newName: VariablesOf<typeof renameConnection> = {
  input: { connection: { inIntegration: { integration: { name: 'crm' }, name: 'support' } }, expectedVersion: 1, name: 'help desk' },
};

/** What to tell the user. */
export function told({ createCredential: result }: ResultOf<typeof storeCredential>): string {
  switch (result.__typename) {
    case 'CreateCredentialSuccess':
      return result.credential.id;
    case 'ValidationError':
      return result.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n');
    default:
      return `${result.code}: ${result.message}`;
  }
}

/** The version to ask about, if somebody else was faster. */
export function otherVersion({ updateConnection: result }: ResultOf<typeof renameConnection>): number | null {
  return result.__typename === 'ConflictError' ? result.currentVersion : null;
}

export const wrongReference: VariablesOf<typeof renameConnection> = {
  // @ts-expect-error A reference has one of its members.
  input: { connection: { id: 'a', inConnector: { connector: { id: 'b' }, name: 'support' } } },
};
