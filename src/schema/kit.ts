import { kindOf, readableKinds } from '../credential-kinds/index.ts';
import type {
  APIKeyRecord,
  AuditRecord,
  ConnectionRecord,
  ConnectorRecord,
  CredentialRecord,
  EndUserRecord,
  IntegrationRecord,
} from '../domain/reading.ts';
import { addAuthScheme } from './auth-scheme.ts';
import type { Builder } from './builder.ts';
import { addMutations } from './mutation.ts';
import { addNode } from './node.ts';
import { addPages } from './page.ts';
import { addReferences } from './references.ts';

/** What the nouns' files build with: the types that all share, and the helpers that make pages and mutations. */
export type Kit = ReturnType<typeof createKit>;

export function createKit(builder: Builder) {
  const { pageType, sort } = addPages(builder);
  const integration = builder.objectRef<IntegrationRecord>('Integration');
  const connector = builder.objectRef<ConnectorRecord>('Connector');
  const endUser = builder.objectRef<EndUserRecord>('EndUser');
  const connection = builder.objectRef<ConnectionRecord>('Connection');
  const apiKey = builder.objectRef<APIKeyRecord>('APIKey');
  const auditEntry = builder.objectRef<AuditRecord>('AuditEntry');
  const credentialKinds = readableKinds.map((kind) => ({ kind, type: builder.objectRef<CredentialRecord>(kind.typeName) }));
  const credential = builder.unionType('Credential', {
    description:
      'What is needed to use a third-party service on somebody’s behalf: one member per kind. Select what all have with `... on CredentialBase`. Secrets are shown as `*****`.',
    types: credentialKinds.map(({ type }) => type),
    resolveType: ({ kind }) => kindOf(kind)!.typeName,
  });
  return {
    node: addNode(builder),
    authScheme: addAuthScheme(builder),
    references: addReferences(builder),
    ...addMutations(builder),
    sort,
    /** The nouns' types, by reference: they are implemented in the nouns' own files, and refer to each other. */
    types: { integration, connector, endUser, connection, credential, apiKey, auditEntry },
    /** The members of the union `Credential`. */
    credentialKinds,
    /** The nouns' pages. */
    pages: {
      integration: pageType('integration', integration),
      connector: pageType('connector', connector),
      endUser: pageType('endUser', endUser),
      connection: pageType('connection', connection),
      credential: pageType('credential', credential),
      apiKey: pageType('apiKey', apiKey),
      auditEntry: pageType('auditEntry', auditEntry),
    },
  };
}
