import { kindOf } from '../credential-kinds/index.ts';
import { createCredential, deleteCredential, findCredential, revealSecret, updateCredential } from '../domain/credential.ts';
import type { CredentialRecord } from '../domain/reading.ts';
import { findEndUser } from '../domain/references.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, UnreadableSecretError, ValidationError } from '../errors.ts';
import type { Builder } from './builder.ts';
import { addCredentialData, enumValue } from './credential-data.ts';
import { loadProblems } from './credential-problems.ts';
import { integrationField, recordFields, recordSortFields } from './fields.ts';
import { decodeId, encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import type { InputBuilder } from './mutation.ts';
import { globDescription, integrationFilter, loadPage, NOTHING, pageArgs, readGlob } from './page.ts';
import { readEndUserRef, readIntegrationRef } from './references.ts';

const sortFields = {
  ...recordSortFields,
  KIND: { field: 'kind', description: 'Its kind, in alphabetical order of `CredentialKindInfo.name`.' },
} as const;

export type CredentialInputs = ReturnType<typeof addCredential>;

/** Adds `Credential` with one type per kind, its queries and its mutations. Everything about a kind comes from its descriptor. */
export function addCredential(builder: Builder, kit: Kit) {
  const { node, pages, references, mutation, deleted, expectedVersion, force, sort, types } = kit;
  const { credential, endUser } = types;
  const data = addCredentialData(builder);
  const kindEnum = builder.enumType('CredentialKind', {
    description: 'The kinds of credential that can be stored. `credentialKinds` tells all about them.',
    values: Object.fromEntries(
      kit.credentialKinds.map(({ kind }) => [enumValue(kind.kind), { value: kind.kind, description: kind.description }]),
    ),
  });

  const base = builder.interfaceRef<CredentialRecord>('CredentialBase').implement({
    description: 'What credentials of all kinds have.',
    interfaces: [node],
    resolveType: ({ kind }) => kindOf(kind)!.typeName,
    fields: (t) => ({
      // An interface's fields are built as an object's are; to the compiler the builders differ.
      ...recordFields('credential')<CredentialRecord>(t as never),
      integration: integrationField(types)<CredentialRecord>(t as never),
      endUser: t.field({
        type: endUser,
        nullable: true,
        description: 'Whose it is, for good. Null: the integration’s own, for any of its connections. Scope: `endUsers.get`.',
        authScopes: { scope: 'endUsers.get' },
        resolve: ({ endUserId }, _args, { loaders }) => (endUserId ? loaders.endUser.byId.load(endUserId) : null),
      }),
      name: t.exposeString('name', { description: 'For people; need not be unique.' }),
      description: t.exposeString('description', { nullable: true, description: 'What it is for. Null: nobody said.' }),
      kind: t.field({ type: kindEnum, description: 'Never changes.', resolve: ({ kind }) => kind }),
      enabled: t.exposeBoolean('enabled', { description: 'False: it is kept, and is not to be used.' }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it is deleted without anybody asking. Null: never. Not when its token or certificate runs out.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
      errors: t.stringList({
        nullable: true,
        description:
          'What was wrong when it was last checked, and the secrets that cannot be opened now. Null: it was never checked, and nothing may be assumed. Empty: it is valid.',
        resolve: (credential, _args, context) => loadProblems(context, credential),
      }),
      usages: t.field({
        type: pages.connection,
        description:
          'The connections that use it, newest first, with their connectors; an empty page when none does. Read only when asked for. Scope: `connections.get`.',
        authScopes: { scope: 'connections.get' },
        args: pageArgs(t.arg),
        resolve: ({ id }, args, context) => loadPage(context, 'connection', { credentialIds: id }, args),
      }),
    }),
  });

  for (const { kind, type } of kit.credentialKinds) {
    type.implement({
      description: kind.description,
      interfaces: [node, base],
      authScopes: { scope: 'credentials.get' },
      fields: (t) => data.outputFields(kind, t),
    });
  }
  const sortType = sort('CredentialSort', sortFields);

  builder.queryField('credential', (t) =>
    t.field({
      type: credential,
      nullable: true,
      description: 'One credential. Null when there is none. Scope: `credentials.get`.',
      authScopes: { scope: 'credentials.get' },
      args: { id: t.arg.id({ required: true, description: 'Its global id.' }) },
      resolve: (_root, { id }, context) => findCredential(context, decodeId('credential', id, ['id'])),
    }),
  );
  builder.queryField('credentials', (t) =>
    t.field({
      type: pages.credential,
      description:
        'Credentials. An index serves every sort, with and without an integration, and the newest-first order of a kind within an integration, or of an end user. Other combinations end at a time limit with `TIMEOUT`. Scope: `credentials.get`.',
      authScopes: { scope: 'credentials.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        integration: t.arg({ type: references.integration, description: 'Only those of this integration.' }),
        endUser: t.arg({ type: references.endUser, description: 'Only those of this end user.' }),
        kinds: t.arg({ type: [kindEnum], description: 'Only those of these kinds.' }),
        enabled: t.arg.boolean({ description: 'Only those that are, or are not, to be used.' }),
        name: t.arg.string({ description: globDescription }),
      },
      resolve: async (_root, { integration, endUser, kinds, enabled, name, sort, ...args }, context) => {
        const filter = {
          ...(await integrationFilter(context, integration)),
          ...(endUser && { endUserId: (await findEndUser(context, readEndUserRef(endUser, ['endUser'])))?.id ?? NOTHING }),
          ...(kinds && { kind: kinds }),
          ...(enabled != null && { enabled }),
          nameGlob: readGlob(name, ['name']),
        };
        return loadPage(context, 'credential', filter, args, sort, sortFields);
      },
    }),
  );

  const common = (t: InputBuilder) => ({
    description: t.string({ description: 'What it is for. At most 32,767 characters.' }),
    enabled: t.boolean({ description: 'Whether it is to be used.' }),
    expiresAt: t.field({ type: 'DateTime', description: 'When to delete it without being asked; in the future.' }),
  });
  const created = (t: InputBuilder) => ({
    name: t.string({ required: true, description: '1 to 255 characters; need not be unique.' }),
    ...common(t),
    data: t.field({ type: data.create, required: true, description: 'The kind, and its fields.' }),
  });
  const newCredential = builder.inputType('NewCredentialInput', {
    description: 'A credential that is made together with a connection.',
    fields: created,
  });
  const input = builder.inputType('CreateCredentialInput', {
    description: 'A new credential.',
    fields: (t) => ({
      integration: t.field({ type: references.integration, required: true, description: 'Where it belongs, for good.' }),
      endUser: t.field({ type: references.endUser, description: 'Whose it is, of the same integration, for good.' }),
      ...created(t),
    }),
  });
  const id = { required: true, description: 'The credential’s global id.' } as const;
  const changes = builder.inputType('UpdateCredentialInput', {
    description: 'Which credential to change, and what: absent is kept, null is cleared.',
    fields: (t) => ({
      credential: t.id(id),
      name: t.string({ description: '1 to 255 characters.' }),
      ...common(t),
      data: t.field({ type: data.update, description: 'The fields to change, under the name of its kind.' }),
      expectedVersion: expectedVersion(t),
    }),
  });
  const success = { field: 'credential', type: credential, description: 'The credential as it is now, its secrets as `*****`.' } as const;
  mutation('createCredential', {
    description: 'Makes a credential.',
    scope: 'credentials.post',
    input,
    success,
    errors: [ValidationError, InvalidIntegrationError, NotFoundError],
    audit: 'credential',
    resolve: async (context, input) =>
      createCredential(context, {
        ...input,
        integration: readIntegrationRef(input.integration, ['integration']),
        endUser: input.endUser && readEndUserRef(input.endUser, ['endUser']),
      } as never),
  });
  mutation('updateCredential', {
    description: 'Changes a credential, field by field: one secret can be replaced without sending the others.',
    scope: 'credentials.patch',
    input: changes,
    success,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'credential',
    resolve: async (context, { credential: id, expectedVersion, ...changes }) =>
      updateCredential(context, decodeId('credential', id, ['credential']), changes as never, expectedVersion),
  });
  mutation('deleteCredential', {
    description: 'Deletes a credential and its secrets. One that is in use is refused, unless `force` is given.',
    scope: 'credentials.delete',
    input: builder.inputType('DeleteCredentialInput', {
      description: 'Which credential to delete.',
      fields: (t) => ({
        credential: t.id(id),
        expectedVersion: expectedVersion(t),
        force: force(
          t,
          'Take it out of the connections and connectors that use it, too. Needs `connections.patch` and `connectors.patch`.',
        ),
      }),
    }),
    alsoNeeds: ({ force }) => (force ? ['connections.patch', 'connectors.patch'] : []),
    success: deleted,
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    audit: 'credential',
    resolve: async (context, input) =>
      encodeId('credential', await deleteCredential(context, decodeId('credential', input.credential, ['credential']), input)),
  });

  const revealed = builder.objectRef<Revealed>('RevealedSecret').implement({
    description: 'A secret in the clear. The only type of the schema that holds one; do not log or cache it.',
    authScopes: { scope: 'credentials.reveal' },
    fields: (t) => ({
      credentialId: t.id({
        description: 'The credential’s global id.',
        resolve: ({ credential }) => encodeId('credential', credential.id),
      }),
      field: t.exposeString('field', { description: 'Which of its secrets.' }),
      plaintext: t.string({ description: 'The secret itself.', resolve: ({ plain }) => plain.expose() }),
    }),
  });
  mutation('revealSecret', {
    description:
      'Gives one secret in the clear. A mutation, because it leaves a trace; the answer is never to be cached. No wildcard covers its scope.',
    scope: 'credentials.reveal',
    // The dearest there is: ten a second by one viewer, before the rate limit says no.
    cost: 500,
    input: builder.inputType('RevealSecretInput', {
      description: 'Which secret to reveal, and why.',
      fields: (t) => ({
        credential: t.id(id),
        field: t.string({ required: true, description: 'The name of the secret field, such as `password`.' }),
        reason: t.string({ required: true, description: 'Why, for those who ask later. 1 to 500 characters.' }),
      }),
    }),
    success: { field: 'secret', type: revealed, description: 'The secret.' },
    errors: [ValidationError, NotFoundError, UnreadableSecretError],
    audit: 'credential',
    resolve: async (context, { credential: id, field, reason }) =>
      revealSecret(context, { credentialId: decodeId('credential', id, ['credential']), field, reason }),
  });
  return { create: newCredential };
}

type Revealed = Awaited<ReturnType<typeof revealSecret>>;
