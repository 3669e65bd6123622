import {
  contactInput,
  contactType,
  createEndUser,
  deleteEndUser,
  endUserFields,
  endUserIdentity,
  setEmailVerified,
  updateEndUser,
  upsertEndUser,
} from '../domain/end-user.ts';
import type { Contact } from '../domain/reading.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { connectionFilters, connectorFilters } from './connection.ts';
import { credentialFilters } from './credential.ts';
import type { CostExtensions } from './kit/cost.ts';
import { byGlob, byReference, bySearch } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { recordSortFields } from './kit/record-fields.ts';

const sortFields = {
  ...recordSortFields,
  NAME: { field: 'displayName', description: 'The display name, by code points.' },
} as const;

/** Adds `EndUser`, its queries and its mutations. */
export function addEndUser(kit: Kit): void {
  const { builder, endUser, integration, connection, credential, fields, input, mutation } = kit;
  const contactTypeEnum = fields.enumOf(contactType);
  const contact = builder.objectRef<Contact>(contactInput.typeName).implement({
    description: contactInput.description,
    fields: (t) => ({
      ...fields.outputFields(t, contactInput.fields),
      emailVerified: t.exposeBoolean('emailVerified', {
        description:
          'Whether `setEmailVerified` confirmed that this email address belongs to the contact. Reset to false when the address changes.',
      }),
    }),
  });
  const { contacts, ...ownFields } = endUserFields;
  endUser.implement({
    description:
      'A customer of the organization; connections and credentials can belong to it. Not to be confused with the viewer, who sends the request. Called end user in Versori, account in Hostway.',
    fields: (t) => ({
      integration: integration.owner(t),
      integrationId: t.id({
        description: 'The global id of the integration it belongs to. Unlike `integration`, it needs no other scope.',
        resolve: ({ integrationId }) => encodeId('integration', integrationId),
      }),
      integrationName: t.string({
        nullable: true,
        // The integration is read for it.
        extensions: { cost: { own: 1 } } satisfies CostExtensions,
        description:
          'The name of the integration it belongs to. Unlike `integration`, it needs no other scope. Null only while the integration is being deleted.',
        resolve: async ({ integrationId }, _args, { loaders }) => (await loaders.integration.byId.load(integrationId))?.name ?? null,
      }),
      ...fields.outputFields(t, { ...endUserIdentity, ...ownFields }),
      contacts: t.field({ type: [contact], description: contacts.description, resolve: (record) => record.contacts }),
      primaryConnection: connection.related(t, {
        description: 'The connection of this end user to use if nothing else is said. Null if not set, or if that connection was deleted.',
        id: ({ primaryConnectionId }) => primaryConnectionId,
      }),
      connections: connection.relatedPage(t, {
        description: 'The connections of this end user, newest first.',
        filter: ({ id }) => ({ endUserId: id }),
        filters: { ...connectorFilters(kit), ...connectionFilters(kit) },
      }),
      credentials: credential.relatedPage(t, {
        description:
          'The credentials of this end user, newest first. Does not include credentials of the integration that its connections use.',
        filter: ({ id }) => ({ endUserId: id }),
        filters: credentialFilters(kit),
      }),
    }),
  });

  endUser.one('Returns an end user by global id or external id. Null if not found.');
  endUser.list({
    description:
      'Lists end users. Indexed: every sort, with and without an integration; newest first for `search` without a wildcard. A name filter with another sort than by name can have short pages: see `EndUserPage`.',
    sort: { fields: sortFields },
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only end users of this integration.'),
      displayName: byGlob(),
      search: bySearch('external id or display name'),
    },
  });

  endUser.create({
    description: 'Creates an end user.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to. It cannot be changed.' }),
      ...fields.inputFields({ ...endUserIdentity, ...endUserFields }),
    },
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    run: createEndUser,
  });
  endUser.upsert({
    description:
      'Creates an end user, or changes the one that has the external id in the integration. Sending the same again changes nothing.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to.' }),
      ...fields.inputFields({ ...endUserIdentity, ...endUserFields }),
    },
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    run: upsertEndUser,
  });
  endUser.update({
    description: 'Changes an end user.',
    input: {
      ...fields.inputFields(endUserFields, { partial: true }),
      primaryConnection: connection.member({
        description:
          'The connection to use if nothing else is said. It must belong to this end user. Null clears it; deleting the connection, too.',
      }),
    },
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateEndUser,
  });
  endUser.remove({
    description: 'Deletes an end user. If it has connections or credentials, `force` is required.',
    force: {
      description:
        'Also deletes its connections and its own credentials. Also requires `connections.delete` and `credentials.delete`, each if there are any.',
      needs: ['connections.delete', 'credentials.delete'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteEndUser,
  });
  mutation('setEmailVerified', {
    description: 'Confirms that an email address belongs to the contact, or withdraws the confirmation. No wildcard covers its scope.',
    scope: 'endUsers.verifyEmail',
    inputDescription: 'The email address, and whether it is verified.',
    input: {
      endUser: endUser.member({ required: true, description: 'The end user of the contact.' }),
      contactType: input.field({ type: contactTypeEnum, required: true, description: 'The type of the contact.' }),
      email: input.string({
        required: true,
        description: 'The verified email address. Refused if it is no longer the address of the contact.',
      }),
      verified: input.boolean({ required: true, description: 'True if the address belongs to the contact.' }),
    },
    success: { field: 'endUser', type: endUser.type, description: 'The changed end user.' },
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    run: setEmailVerified,
  });
}
