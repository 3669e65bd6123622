import { createEndUser, deleteEndUser, setEmailVerified, updateEndUser } from '../domain/end-user.ts';
import { type Contact, contactTypes } from '../domain/reading.ts';
import { findEndUser } from '../domain/references.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import type { Builder } from './builder.ts';
import { integrationField, recordFields, recordSortFields } from './fields.ts';
import { encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import { globDescription, integrationFilter, loadPage, pageArgs, readGlob } from './page.ts';
import { readEndUserRef, readIntegrationRef } from './references.ts';

const sortFields = {
  ...recordSortFields,
  NAME: { field: 'displayName', description: 'Its display name, by code points.' },
} as const;

/** Adds `EndUser`, its queries and its mutations. */
export function addEndUser(builder: Builder, kit: Kit) {
  const { node, pages, references, mutation, deleted, expectedVersion, force, sort, types } = kit;
  const { endUser } = types;
  const contactType = builder.enumType('ContactType', {
    description: 'What a contact is for. An end user has one of each at most.',
    values: Object.fromEntries(contactTypes.map((type) => [type, { description: `The ${type.toLowerCase()} contact.` }])) as Record<
      (typeof contactTypes)[number],
      { description: string }
    >,
  });
  const contact = builder.objectRef<Contact>('Contact').implement({
    description: 'A person or mailbox that stands for an end user.',
    fields: (t) => ({
      type: t.expose('type', { type: contactType, description: 'What it is for.' }),
      name: t.exposeString('name', { nullable: true, description: 'A person’s name. Null: not given.' }),
      email: t.exposeString('email', { nullable: true, description: 'A mail address. Null: not given.' }),
      emailVerified: t.exposeBoolean('emailVerified', {
        description:
          'Whether somebody with the scope for it vouched that this very address is the contact’s. Falls back to false when it changes.',
      }),
      phone: t.exposeString('phone', { nullable: true, description: 'A phone number, as it was given. Null: not given.' }),
    }),
  });
  endUser.implement({
    description:
      'Whose credentials these are: a customer of the organization. Not the viewer, who asks. Versori’s end user, Hostway’s account.',
    interfaces: [node],
    authScopes: { scope: 'endUsers.get' },
    fields: (t) => ({
      ...recordFields('endUser')(t),
      integration: integrationField(types)(t),
      externalId: t.exposeString('externalId', {
        description: 'The organization’s own id for it. Unique within the integration, and never changes.',
      }),
      displayName: t.exposeString('displayName', { description: 'For people; need not be unique. Empty when not given.' }),
      contacts: t.field({ type: [contact], description: 'At most one of each type.', resolve: ({ contacts }) => contacts }),
      connections: t.field({
        type: pages.connection,
        description: 'Its connections, newest first. Scope: `connections.get`.',
        authScopes: { scope: 'connections.get' },
        args: pageArgs(t.arg),
        resolve: ({ id }, args, context) => loadPage(context, 'connection', { endUserId: id }, args),
      }),
      credentials: t.field({
        type: pages.credential,
        description:
          'Its own credentials, newest first; those of the integration that its connections share are not among them. Scope: `credentials.get`.',
        authScopes: { scope: 'credentials.get' },
        args: pageArgs(t.arg),
        resolve: ({ id }, args, context) => loadPage(context, 'credential', { endUserId: id }, args),
      }),
    }),
  });
  const sortType = sort('EndUserSort', sortFields);

  builder.queryField('endUser', (t) =>
    t.field({
      type: endUser,
      nullable: true,
      description: 'One end user, by the gateway’s id or the organization’s own. Null when there is none. Scope: `endUsers.get`.',
      authScopes: { scope: 'endUsers.get' },
      args: { by: t.arg({ type: references.endUser, required: true, description: 'Which one.' }) },
      resolve: (_root, { by }, context) => findEndUser(context, readEndUserRef(by, ['by'])),
    }),
  );
  builder.queryField('endUsers', (t) =>
    t.field({
      type: pages.endUser,
      description: 'End users. An index serves every sort, with and without an integration. Scope: `endUsers.get`.',
      authScopes: { scope: 'endUsers.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        integration: t.arg({ type: references.integration, description: 'Only those of this integration.' }),
        displayName: t.arg.string({ description: globDescription }),
      },
      resolve: async (_root, { integration, displayName, sort, ...args }, context) => {
        const filter = { ...(await integrationFilter(context, integration)), nameGlob: readGlob(displayName, ['displayName']) };
        return loadPage(context, 'endUser', filter, args, sort, sortFields);
      },
    }),
  );

  const contactInput = builder.inputType('ContactInput', {
    description: 'A contact.',
    fields: (t) => ({
      type: t.field({ type: contactType, required: true, description: 'What it is for; each type once.' }),
      name: t.string({ description: '1 to 255 characters.' }),
      email: t.string({ description: 'A mail address. Whether it is verified is set by `setEmailVerified`.' }),
      phone: t.string({ description: '1 to 64 characters.' }),
    }),
  });
  const input = builder.inputType('CreateEndUserInput', {
    description: 'A new end user.',
    fields: (t) => ({
      integration: t.field({ type: references.integration, required: true, description: 'Where it belongs, for good.' }),
      externalId: t.string({
        required: true,
        description: 'Your own id for it, 1 to 255 characters, for good. Not a mail address: those change.',
      }),
      displayName: t.string({ description: 'For people. At most 255 characters.' }),
      contacts: t.field({ type: [contactInput], description: 'At most one of each type.' }),
    }),
  });
  const which = { type: references.endUser, required: true, description: 'Which one.' } as const;
  const changes = builder.inputType('UpdateEndUserInput', {
    description: 'Which end user to change, and what: absent is kept, null is cleared, `[]` is emptied.',
    fields: (t) => ({
      endUser: t.field(which),
      displayName: t.string({ description: 'For people.' }),
      contacts: t.field({ type: [contactInput], description: 'Replaces them all. An address that stays as it was stays verified.' }),
      expectedVersion: expectedVersion(t),
    }),
  });
  const success = { field: 'endUser', type: endUser, description: 'The end user as it is now.' } as const;
  mutation('createEndUser', {
    description: 'Makes an end user.',
    scope: 'endUsers.post',
    input,
    success,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'endUser',
    resolve: async (context, input) =>
      createEndUser(context, { ...input, integration: readIntegrationRef(input.integration, ['integration']) }),
  });
  mutation('updateEndUser', {
    description: 'Changes an end user.',
    scope: 'endUsers.patch',
    input: changes,
    success,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'endUser',
    resolve: async (context, { endUser: ref, expectedVersion, ...changes }) =>
      updateEndUser(context, readEndUserRef(ref, ['endUser']), changes, expectedVersion),
  });
  mutation('setEmailVerified', {
    description: 'Vouches that a contact’s mail address is the contact’s, or takes that back.',
    scope: 'endUsers.verifyEmail',
    input: builder.inputType('SetEmailVerifiedInput', {
      description: 'Which address is verified, or no longer is.',
      fields: (t) => ({
        endUser: t.field(which),
        contactType: t.field({ type: contactType, required: true, description: 'Which contact.' }),
        email: t.string({ required: true, description: 'The address that was verified: one that was changed meanwhile is refused.' }),
        verified: t.boolean({ required: true, description: 'True: it is the contact’s.' }),
      }),
    }),
    success,
    errors: [ValidationError, NotFoundError],
    audit: 'endUser',
    resolve: async (context, { endUser: ref, ...vouched }) => setEmailVerified(context, readEndUserRef(ref, ['endUser']), vouched),
  });
  mutation('deleteEndUser', {
    description: 'Deletes an end user. One that has connections or credentials is refused, unless `force` is given.',
    scope: 'endUsers.delete',
    input: builder.inputType('DeleteEndUserInput', {
      description: 'Which end user to delete.',
      fields: (t) => ({
        endUser: t.field(which),
        expectedVersion: expectedVersion(t),
        force: force(t, 'Delete its connections and its own credentials, too. Needs `connections.delete` and `credentials.delete`.'),
      }),
    }),
    alsoNeeds: ({ force }) => (force ? ['connections.delete', 'credentials.delete'] : []),
    success: deleted,
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    audit: 'endUser',
    resolve: async (context, input) => encodeId('endUser', await deleteEndUser(context, readEndUserRef(input.endUser, ['endUser']), input)),
  });
  return { contactType };
}
