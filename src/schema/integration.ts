import { createIntegration, deleteIntegration, updateIntegration } from '../domain/integration.ts';
import { findIntegration } from '../domain/references.ts';
import { ConflictError, InUseError, InvalidIntegrationError, ValidationError } from '../errors.ts';
import type { Builder } from './builder.ts';
import { recordFields, recordSortFields } from './fields.ts';
import { encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import { globDescription, loadPage, pageArgs, readGlob } from './page.ts';
import { readIntegrationRef } from './references.ts';
import { addSSOClaims } from './sso-claims.ts';

/** Adds `Integration`, its queries and its mutations. */
export function addIntegration(builder: Builder, { node, pages, references, mutation, deleted, expectedVersion, force, sort, types }: Kit) {
  const { integration } = types;
  const ssoClaims = addSSOClaims(builder);
  integration.implement({
    description:
      'A namespace of the organization. Connectors, end users, connections and credentials belong to exactly one, for good. Zendesk’s integration, Versori’s hub, Losant’s application.',
    interfaces: [node],
    authScopes: { scope: 'integrations.get' },
    fields: (t) => ({
      ...recordFields('integration')(t),
      name: t.exposeString('name', { description: 'Unique within the organization.' }),
      description: t.exposeString('description', { nullable: true, description: 'What it is for. Null: nobody said.' }),
      ssoClaims: t.field({
        type: ssoClaims.type,
        nullable: true,
        description: 'What `createSSOLink` tells Zendesk of the end users, beyond who they are. Null: nothing.',
        resolve: (record) => record.ssoClaims,
      }),
    }),
  });
  const sortType = sort('IntegrationSort', recordSortFields);

  builder.queryField('integration', (t) =>
    t.field({
      type: integration,
      nullable: true,
      description: 'One integration. Null when there is none. Scope: `integrations.get`.',
      authScopes: { scope: 'integrations.get' },
      args: { by: t.arg({ type: references.integration, required: true, description: 'Which one.' }) },
      resolve: (_root, { by }, context) => findIntegration(context, readIntegrationRef(by, ['by'])),
    }),
  );
  builder.queryField('integrations', (t) =>
    t.field({
      type: pages.integration,
      description:
        'The organization’s integrations. An index serves every sort, and the name filter together with the sort by name. Scope: `integrations.get`.',
      authScopes: { scope: 'integrations.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        name: t.arg.string({ description: globDescription }),
      },
      resolve: (_root, { name, sort, ...args }, context) =>
        loadPage(context, 'integration', { nameGlob: readGlob(name, ['name']) }, args, sort, recordSortFields),
    }),
  );

  const input = builder.inputType('CreateIntegrationInput', {
    description: 'A new integration.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 255 characters, unique within the organization.' }),
      description: t.string({ description: 'What it is for. At most 32,767 characters.' }),
      ssoClaims: t.field({ type: ssoClaims.input, description: 'What to tell Zendesk of the end users in SSO links.' }),
    }),
  });
  const which = { type: references.integration, required: true, description: 'Which one.' } as const;
  const changes = builder.inputType('UpdateIntegrationInput', {
    description: 'Which integration to change, and what: absent is kept, null is cleared.',
    fields: (t) => ({
      integration: t.field(which),
      name: t.string({ description: 'The new name; ids stay as they are.' }),
      description: t.string({ description: 'What it is for.' }),
      ssoClaims: t.field({
        type: ssoClaims.input,
        description: 'What to tell Zendesk of the end users in SSO links; replaced as a whole.',
      }),
      expectedVersion: expectedVersion(t),
    }),
  });
  const success = { field: 'integration', type: integration, description: 'The integration as it is now.' } as const;
  mutation('createIntegration', {
    description: 'Makes an integration.',
    scope: 'integrations.post',
    input,
    success,
    errors: [ValidationError, ConflictError],
    audit: 'integration',
    resolve: (context, input) => createIntegration(context, input as never),
  });
  mutation('updateIntegration', {
    description: 'Changes an integration.',
    scope: 'integrations.patch',
    input: changes,
    success,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'integration',
    resolve: async (context, { integration: ref, expectedVersion, ...changes }) =>
      updateIntegration(context, readIntegrationRef(ref, ['integration']), changes as never, expectedVersion),
  });
  mutation('deleteIntegration', {
    description: 'Deletes an integration. An integration that is not empty is refused, unless `force` is given.',
    scope: 'integrations.delete',
    input: builder.inputType('DeleteIntegrationInput', {
      description: 'Which integration to delete.',
      fields: (t) => ({
        integration: t.field(which),
        expectedVersion: expectedVersion(t),
        force: force(t, 'Delete all that belongs to it, too. Needs the delete scopes of all that.'),
      }),
    }),
    alsoNeeds: ({ force }) => (force ? ['connectors.delete', 'endUsers.delete', 'connections.delete', 'credentials.delete'] : []),
    success: deleted,
    errors: [ValidationError, InvalidIntegrationError, ConflictError, InUseError],
    audit: 'integration',
    resolve: async (context, input) =>
      encodeId('integration', await deleteIntegration(context, readIntegrationRef(input.integration, ['integration']), input)),
  });
  return { userField: ssoClaims.userField };
}
