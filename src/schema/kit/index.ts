import type { FieldMap, InterfaceRef } from '@pothos/core';
import { nounTable } from '../../access/nouns.ts';
import { type Noun, readScope } from '../../access/scopes.ts';
import { ALTERED_CREDENTIAL, OUTDATED_CREDENTIAL } from '../../credential-kinds/define.ts';
import type { KindRegistry } from '../../credential-kinds/registry.ts';
import type { CredentialRecord, RecordOf } from '../../domain/reading.ts';
import { defaultNames, type SchemaNames, typeNameIn } from '../../schema-names.ts';
import { createBuilder, createInputBuilder, type OutputBuilder, type SchemaTypes } from './builder.ts';
import { entityKeysOf } from './entity-keys.ts';
import { fieldTypes } from './field-types.ts';
import { addMutations } from './mutation.ts';
import { addNode, addNodeQueries, credentialTypeName, nodeLoader, relatedNodes } from './node.ts';
import { listKit, nounKit } from './noun.ts';
import { addPages } from './page.ts';
import { recordFields } from './record-fields.ts';
import { addReferences, type Reference } from './references.ts';
import type { KeyExtensions } from './subgraph-extensions.ts';

/** The helpers to build one schema: the builder, shared types, and the standard parts of each noun. */
export type Kit = ReturnType<typeof createKit>;

/**
 * Creates the kit for a new schema. Two gateways in one process can have different credential kinds, so they share no types. `names` are those that the
 * types get when the schema is built.
 */
export function createKit(kinds: KindRegistry, names: SchemaNames = defaultNames) {
  const builder = createBuilder();
  const node = addNode(builder);
  const nodes = { node, ...nodeLoader(kinds) };
  const pages = addPages(builder);
  const mutations = addMutations(builder, nodes);
  const references = addReferences(builder);
  addNodeQueries(builder, nodes);

  // The types of the nouns refer to each other, so these are references only. They are implemented in the files of the nouns.
  const credentialTypes = kinds.readable.map((kind) => ({ kind, type: builder.objectRef<CredentialRecord>(kind.typeName) }));
  const alteredCredential = builder.objectRef<CredentialRecord>(ALTERED_CREDENTIAL);
  const outdatedCredential = builder.objectRef<CredentialRecord>(OUTDATED_CREDENTIAL);
  const credential = builder.unionType('Credential', {
    description:
      'Authentication data for a third-party service, with one member type per kind, one for altered credentials, and one for those that do not fit their kind any more. Select the common fields with `... on CredentialBase`. Secrets are shown as `*****`.',
    types: [...credentialTypes.map(({ type }) => type), alteredCredential, outdatedCredential],
    resolveType: (record) => credentialTypeName(kinds, record),
  });

  /** A noun whose records have one GraphQL type. */
  function objectNoun<N extends Exclude<Noun, 'credential'>, Ref>(noun: N, reference: Reference<Ref, RecordOf[N]>) {
    const type = builder.objectRef<RecordOf[N]>(nounTable[noun].typeName);
    return {
      ...nounKit(builder, noun, type, reference, pages, mutations),
      /** Implements the type. The fields that all records have are added. */
      implement(options: {
        readonly description: string;
        /** Other interfaces than `Node` that it implements. */
        readonly interfaces?: readonly InterfaceRef<SchemaTypes, RecordOf[N]>[];
        readonly fields: (t: OutputBuilder<RecordOf[N]>) => FieldMap;
      }): void {
        type.implement({
          description: options.description,
          interfaces: [node, ...(options.interfaces ?? [])],
          authScopes: { scope: readScope(noun) },
          extensions: { keys: entityKeysOf(noun).map(({ fields }) => fields.join(' ')) } satisfies KeyExtensions,
          fields: (t: OutputBuilder<RecordOf[N]>) => ({ ...recordFields(noun, builder)(t as never), ...options.fields(t) }),
        } as never);
      },
    };
  }

  const integration = objectNoun('integration', references.integration);
  const event = builder.objectRef<RecordOf['event']>(nounTable.event.typeName);
  const webhookDelivery = builder.objectRef<RecordOf['webhookDelivery']>(nounTable.webhookDelivery.typeName);
  const auditEntry = builder.objectRef<RecordOf['auditEntry']>(nounTable.auditEntry.typeName);
  const connector = objectNoun('connector', references.connector);
  const endUser = objectNoun('endUser', references.endUser);
  const connection = objectNoun('connection', references.connection);
  const apiKey = objectNoun('apiKey', references.apiKey);
  const webhook = objectNoun('webhook', references.webhook);
  return {
    builder,
    kinds,
    /** Returns the name that a type gets. */
    typeName: (name: string) => typeNameIn(names, name),
    node,
    asNode: nodes.asNode,
    /** Returns a field for the object of any noun that a record names. */
    relatedNode: relatedNodes(nodes),
    /** The types of records. */
    entityTypes: [
      ...[integration, connector, endUser, connection, apiKey, webhook].map(({ type }) => type),
      event,
      webhookDelivery,
      auditEntry,
      ...credentialTypes.map(({ type }) => type),
      alteredCredential,
      outdatedCredential,
    ],
    pages,
    references,
    /** Creates the members of inputs. */
    input: createInputBuilder(builder),
    fields: fieldTypes(builder),
    mutation: mutations.mutation,
    /** The type of a broken rule, with its path. */
    issue: mutations.issue,
    /** The members of the union `Credential`. */
    credentialTypes,
    /** The member for credentials of all kinds whose record is altered. */
    alteredCredential,
    /** The member for credentials whose settings do not fit their kind any more. */
    outdatedCredential,

    integration: {
      ...integration,
      /** Returns the field for the integration that a record belongs to. */
      owner: <Source extends { readonly integrationId: string }>(t: OutputBuilder<Source>) =>
        integration.related(t, {
          description: 'The integration it belongs to. Null only while the integration is being deleted.',
          id: ({ integrationId }) => integrationId,
        }),
    },
    connector,
    endUser,
    connection,
    apiKey,
    webhook,
    webhookDelivery: { ...listKit(builder, 'webhookDelivery', webhookDelivery, pages), type: webhookDelivery },
    credential: nounKit(builder, 'credential', credential, references.credential, pages, mutations),
    event: { ...listKit(builder, 'event', event, pages), type: event },
    auditEntry: { ...listKit(builder, 'auditEntry', auditEntry, pages), type: auditEntry },
  };
}
