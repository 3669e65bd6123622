import { createConnector, deleteConnector, updateConnector } from '../domain/connector.ts';
import { findConnector } from '../domain/references.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { readAuthSchemeInput } from './auth-scheme.ts';
import type { Builder } from './builder.ts';
import { integrationField, recordFields, recordSortFields } from './fields.ts';
import { encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import { globDescription, integrationFilter, loadPage, pageArgs, readGlob } from './page.ts';
import { readConnectorRef, readIntegrationRef } from './references.ts';

/** Adds `Connector`, its queries and its mutations. */
export function addConnector(builder: Builder, kit: Kit): void {
  const { node, authScheme, pages, references, mutation, deleted, expectedVersion, force, sort, types } = kit;
  const { connector } = types;
  connector.implement({
    description: 'A third-party service, and the ways it authenticates. Versori’s connector.',
    interfaces: [node],
    authScopes: { scope: 'connectors.get' },
    fields: (t) => ({
      ...recordFields('connector')(t),
      integration: integrationField(types)(t),
      name: t.exposeString('name', { description: 'Unique within the integration.' }),
      description: t.exposeString('description', { nullable: true, description: 'What it is for. Null: nobody said.' }),
      baseUrl: t.exposeString('baseUrl', { description: 'Where the service’s API is.' }),
      authSchemes: t.field({
        type: [authScheme.scheme],
        description: 'The ways it authenticates, in the order given.',
        resolve: ({ authSchemes }) => authSchemes,
      }),
    }),
  });
  const sortType = sort('ConnectorSort', recordSortFields);

  builder.queryField('connector', (t) =>
    t.field({
      type: connector,
      nullable: true,
      description: 'One connector. Null when there is none. Scope: `connectors.get`.',
      authScopes: { scope: 'connectors.get' },
      args: { by: t.arg({ type: references.connector, required: true, description: 'Which one.' }) },
      resolve: (_root, { by }, context) => findConnector(context, readConnectorRef(by, ['by'])),
    }),
  );
  builder.queryField('connectors', (t) =>
    t.field({
      type: pages.connector,
      description: 'Connectors. An index serves every sort, with and without an integration. Scope: `connectors.get`.',
      authScopes: { scope: 'connectors.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        integration: t.arg({ type: references.integration, description: 'Only those of this integration.' }),
        name: t.arg.string({ description: globDescription }),
      },
      resolve: async (_root, { integration, name, sort, ...args }, context) => {
        const filter = { ...(await integrationFilter(context, integration)), nameGlob: readGlob(name, ['name']) };
        return loadPage(context, 'connector', filter, args, sort, recordSortFields);
      },
    }),
  );

  const schemesDescription = 'At most 20; their ids are unique among them.';
  const input = builder.inputType('CreateConnectorInput', {
    description: 'A new connector.',
    fields: (t) => ({
      integration: t.field({ type: references.integration, required: true, description: 'Where it belongs, for good.' }),
      name: t.string({ required: true, description: '1 to 255 characters, unique within the integration.' }),
      description: t.string({ description: 'What it is for. At most 32,767 characters.' }),
      baseUrl: t.string({ required: true, description: 'An absolute http or https URL.' }),
      authSchemes: t.field({ type: [authScheme.input], description: schemesDescription }),
    }),
  });
  const which = { type: references.connector, required: true, description: 'Which one.' } as const;
  const changes = builder.inputType('UpdateConnectorInput', {
    description: 'Which connector to change, and what: absent is kept, null is cleared, `[]` is emptied.',
    fields: (t) => ({
      connector: t.field(which),
      name: t.string({ description: 'The new name; ids stay as they are.' }),
      description: t.string({ description: 'What it is for.' }),
      baseUrl: t.string({ description: 'An absolute http or https URL.' }),
      authSchemes: t.field({ type: [authScheme.input], description: `Replaces the whole list. ${schemesDescription}` }),
      expectedVersion: expectedVersion(t),
    }),
  });
  type Sent = { readonly authSchemes?: readonly Parameters<typeof readAuthSchemeInput>[0][] | null };
  const readSchemes = ({ authSchemes }: Sent) =>
    authSchemes === undefined
      ? {}
      : { authSchemes: authSchemes?.map((each, index) => readAuthSchemeInput(each, ['authSchemes', index])) ?? null };
  const success = { field: 'connector', type: connector, description: 'The connector as it is now.' } as const;
  mutation('createConnector', {
    description: 'Makes a connector.',
    scope: 'connectors.post',
    input,
    success,
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    audit: 'connector',
    resolve: async (context, input) =>
      createConnector(context, {
        ...input,
        integration: readIntegrationRef(input.integration, ['integration']),
        ...readSchemes(input as Sent),
      } as never),
  });
  mutation('updateConnector', {
    description: 'Changes a connector.',
    scope: 'connectors.patch',
    input: changes,
    success,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'connector',
    resolve: async (context, { connector: ref, expectedVersion, ...changes }) =>
      updateConnector(
        context,
        readConnectorRef(ref, ['connector']),
        { ...changes, ...readSchemes(changes as Sent) } as never,
        expectedVersion,
      ),
  });
  mutation('deleteConnector', {
    description: 'Deletes a connector. A connector that has connections is refused, unless `force` is given.',
    scope: 'connectors.delete',
    input: builder.inputType('DeleteConnectorInput', {
      description: 'Which connector to delete.',
      fields: (t) => ({
        connector: t.field(which),
        expectedVersion: expectedVersion(t),
        force: force(t, 'Delete its connections, too; their credentials stay. Needs `connections.delete`.'),
      }),
    }),
    alsoNeeds: ({ force }) => (force ? ['connections.delete'] : []),
    success: deleted,
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    audit: 'connector',
    resolve: async (context, input) =>
      encodeId('connector', await deleteConnector(context, readConnectorRef(input.connector, ['connector']), input)),
  });
}
