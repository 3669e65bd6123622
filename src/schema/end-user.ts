import {
  contactInput,
  contactType,
  createEndUser,
  deleteEndUser,
  endUserFields,
  endUserIdentity,
  setEmailVerified,
  updateEndUser,
} from '../domain/end-user.ts';
import type { Contact } from '../domain/reading.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { byGlob, byReference } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';
import { recordSortFields } from './kit/record-fields.ts';

const sortFields = {
  ...recordSortFields,
  NAME: { field: 'displayName', description: 'Its display name, by code points.' },
} as const;

/** Adds `EndUser`, its queries and its mutations. */
export function addEndUser({ builder, endUser, integration, connection, credential, fields, input, mutation }: Kit): void {
  const contactTypeEnum = fields.enumOf(contactType);
  const contact = builder.objectRef<Contact>(contactInput.typeName).implement({
    description: contactInput.description,
    fields: (t) => ({
      ...fields.outputFields(t, contactInput.fields),
      emailVerified: t.exposeBoolean('emailVerified', {
        description:
          'Whether somebody with the scope for it vouched that this very address is the contact’s. False again when the address changes.',
      }),
    }),
  });
  const { contacts, ...ownFields } = endUserFields;
  endUser.implement({
    description:
      'Whose credentials these are: a customer of the organization. Not the viewer, who asks. Versori’s end user, Hostway’s account.',
    fields: (t) => ({
      integration: integration.owner(t),
      ...fields.outputFields(t, { ...endUserIdentity, ...ownFields }),
      contacts: t.field({ type: [contact], description: contacts.description, resolve: (record) => record.contacts }),
      connections: connection.relatedPage(t, {
        description: 'Its connections, newest first.',
        filter: ({ id }) => ({ endUserId: id }),
      }),
      credentials: credential.relatedPage(t, {
        description: 'Its own credentials, newest first; those of the integration that its connections share are not among them.',
        filter: ({ id }) => ({ endUserId: id }),
      }),
    }),
  });

  endUser.one('One end user, by the gateway’s id or the organization’s own. Null when there is none.');
  endUser.list({
    description: 'End users. An index serves every sort, with and without an integration.',
    sort: { fields: sortFields },
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only those of this integration.'),
      displayName: byGlob(),
    },
  });

  endUser.create({
    description: 'Creates an end user.',
    input: {
      integration: integration.member({ required: true, description: 'Where it belongs, for good.' }),
      ...fields.inputFields({ ...endUserIdentity, ...endUserFields }),
    },
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    run: createEndUser,
  });
  endUser.update({
    description: 'Changes an end user.',
    input: fields.inputFields(endUserFields, { partial: true }),
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateEndUser,
  });
  endUser.remove({
    description: 'Deletes an end user. One that has connections or credentials is refused, unless `force` is given.',
    force: {
      description: 'Delete its connections and its own credentials, too. Needs `connections.delete` and `credentials.delete`.',
      needs: ['connections.delete', 'credentials.delete'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteEndUser,
  });
  mutation('setEmailVerified', {
    description: 'Vouches that a contact’s mail address is the contact’s, or takes that back.',
    scope: 'endUsers.verifyEmail',
    inputDescription: 'Which address, and whether it is verified.',
    input: {
      endUser: endUser.member({ required: true, description: 'Whose contact it is.' }),
      contactType: input.field({ type: contactTypeEnum, required: true, description: 'Which contact.' }),
      email: input.string({ required: true, description: 'The address that was verified: one that was changed meanwhile is refused.' }),
      verified: input.boolean({ required: true, description: 'True: it is the contact’s.' }),
    },
    success: { field: 'endUser', type: endUser.type, description: 'The end user as it is now.' },
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    run: setEmailVerified,
  });
}
