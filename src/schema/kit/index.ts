import type { FieldMap } from '@pothos/core';
import { nounTable } from '../../access/nouns.ts';
import { type Noun, readScope } from '../../access/scopes.ts';
import type { KindRegistry } from '../../credential-kinds/registry.ts';
import type { CredentialRecord, RecordOf } from '../../domain/reading.ts';
import { createBuilder, createInputBuilder, type OutputBuilder } from './builder.ts';
import { fieldTypes } from './field-types.ts';
import { addMutations } from './mutation.ts';
import { addNode, addNodeQueries } from './node.ts';
import { listKit, nounKit } from './noun.ts';
import { addPages } from './page.ts';
import { recordFields } from './record-fields.ts';
import { addReferences, type Reference } from './references.ts';

/** What one schema is built with: its builder, the types that all share, and the usual parts of each noun. */
export type Kit = ReturnType<typeof createKit>;

/** A kit for a new schema: two gateways in one process may have other credential kinds, and share no type. */
export function createKit(kinds: KindRegistry) {
  const builder = createBuilder();
  const node = addNode(builder);
  const pages = addPages(builder);
  const mutations = addMutations(builder);
  const references = addReferences(builder);
  addNodeQueries(builder, node, kinds);

  // The nouns' types, by reference: they are implemented in the nouns' own files, and refer to each other.
  const credentialTypes = kinds.readable.map((kind) => ({ kind, type: builder.objectRef<CredentialRecord>(kind.typeName) }));
  const credential = builder.unionType('Credential', {
    description:
      'What is needed to use a third-party service on somebody’s behalf: one member per kind. Select what all have with `... on CredentialBase`. Secrets are shown as `*****`.',
    types: credentialTypes.map(({ type }) => type),
    resolveType: (record) => kinds.of(record).typeName,
  });

  /** A noun whose records have one GraphQL type. */
  function objectNoun<N extends Exclude<Noun, 'credential'>, Ref>(noun: N, reference: Reference<Ref, RecordOf[N]>) {
    const type = builder.objectRef<RecordOf[N]>(nounTable[noun].typeName);
    return {
      ...nounKit(builder, noun, type, reference, pages, mutations),
      /** Says what the type is. The fields that all records have are added. */
      implement(options: { readonly description: string; readonly fields: (t: OutputBuilder<RecordOf[N]>) => FieldMap }): void {
        type.implement({
          description: options.description,
          interfaces: [node],
          authScopes: { scope: readScope(noun) },
          fields: (t: OutputBuilder<RecordOf[N]>) => ({ ...recordFields(noun)(t as never), ...options.fields(t) }),
        } as never);
      },
    };
  }

  const integration = objectNoun('integration', references.integration);
  const auditEntry = builder.objectRef<RecordOf['auditEntry']>(nounTable.auditEntry.typeName);
  return {
    builder,
    kinds,
    node,
    references,
    /** Makes the members of inputs. */
    input: createInputBuilder(builder),
    fields: fieldTypes(builder),
    mutation: mutations.mutation,
    /** The members of the union `Credential`. */
    credentialTypes,

    integration: {
      ...integration,
      /** The field by which a record shows the integration that it belongs to. */
      owner: <Source extends { readonly integrationId: string }>(t: OutputBuilder<Source>) =>
        integration.related(t, {
          description: 'Where it belongs, for good. Null only while the integration is being deleted.',
          id: ({ integrationId }) => integrationId,
        }),
    },
    connector: objectNoun('connector', references.connector),
    endUser: objectNoun('endUser', references.endUser),
    connection: objectNoun('connection', references.connection),
    apiKey: objectNoun('apiKey', references.apiKey),
    credential: nounKit(builder, 'credential', credential, references.credential, pages, mutations),
    auditEntry: { ...listKit(builder, 'auditEntry', auditEntry, pages), type: auditEntry },
  };
}
