import {
  createCredential,
  credentialFields,
  deleteCredential,
  revealFields,
  revealSecret,
  updateCredential,
} from '../domain/credential.ts';
import type { CredentialRecord } from '../domain/reading.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, UnreadableSecretError, ValidationError } from '../errors.ts';
import { credentialData, enumValue } from './credential-data.ts';
import type { OutputBuilder } from './kit/builder.ts';
import { byFlag, byGlob, byReference, byValues } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { recordFields, recordSortFields } from './kit/record-fields.ts';
import { shared } from './kit/shared.ts';

const sortFields = {
  ...recordSortFields,
  KIND: { field: 'kind', description: 'Its kind, in alphabetical order of `CredentialKindInfo.name`.' },
} as const;

/** The members that every new credential has, wherever it is created. */
function newMembers(kit: Kit) {
  return {
    ...kit.fields.inputFields(credentialFields),
    data: kit.input.field({ type: credentialData(kit).create, required: true, description: 'The kind, and its fields.' }),
  };
}

/** The input of a credential that is created together with a connection. */
export const newCredentialInput = shared((kit: Kit) =>
  kit.builder.inputType('NewCredentialInput', {
    description: 'A credential that is created together with a connection.',
    fields: () => newMembers(kit),
  }),
);

/** Adds `Credential` with one type per kind, its queries and its mutations. Everything about a kind comes from its descriptor. */
export function addCredential(kit: Kit): void {
  const { builder, kinds, node, connection, credential, endUser, integration, fields, input, mutation } = kit;
  const data = credentialData(kit);
  const kindEnum = builder.enumType('CredentialKind', {
    description: 'The kinds of credential that can be stored. `credentialKinds` tells all about them.',
    values: Object.fromEntries(kinds.readable.map(({ kind, description }) => [enumValue(kind), { value: kind, description }])),
  });

  const base = builder.interfaceRef<CredentialRecord>('CredentialBase').implement({
    description: 'What credentials of all kinds have.',
    interfaces: [node],
    resolveType: (record) => kinds.of(record).typeName,
    fields: (interfaceBuilder) => {
      // An interface's fields are built as an object's are; to the compiler the builders differ.
      const t = interfaceBuilder as unknown as OutputBuilder<CredentialRecord>;
      return {
        ...recordFields('credential')(t),
        integration: integration.owner(t),
        endUser: endUser.related(t, {
          description: 'Whose it is, for good. Null: the integration’s own, for any of its connections.',
          id: ({ endUserId }) => endUserId,
        }),
        ...fields.outputFields(t, credentialFields),
        kind: t.field({ type: kindEnum, description: 'Never changes.', resolve: ({ kind }) => kind }),
        errors: t.stringList({
          nullable: true,
          description:
            'What was wrong when it was last checked, and the secrets that cannot be opened now. Null: it was never checked, and nothing may be assumed. Empty: it is valid.',
          resolve: async (record, _args, { loaders }) => {
            const errors = await loaders.credentialErrors.load(record);
            return errors && [...errors];
          },
        }),
        usages: connection.relatedPage(t, {
          description:
            'The connections that use it, newest first, with their connectors; an empty page when none does. Read only when asked for.',
          filter: ({ id }) => ({ credentialIds: id }),
        }),
      };
    },
  });
  for (const { kind, type } of kit.credentialTypes) {
    type.implement({
      description: kind.description,
      interfaces: [node, base],
      authScopes: { scope: 'credentials.get' },
      fields: (t) => data.outputFields(kind, t),
    });
  }

  credential.one('One credential. Null when there is none.');
  credential.list({
    description:
      'Credentials. An index serves every sort, with and without an integration, and the newest-first order of a kind within an integration, or of an end user. Other combinations end at a time limit with `TIMEOUT`.',
    sort: { fields: sortFields },
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only those of this integration.'),
      endUser: byReference(endUser.reference, 'endUserId', 'Only those of this end user.'),
      kinds: byValues(kindEnum, 'kind', 'Only those of these kinds.'),
      enabled: byFlag('enabled', 'Only those that are, or are not, to be used.'),
      name: byGlob(),
    },
  });

  credential.create({
    description: 'Creates a credential.',
    input: {
      integration: integration.member({ required: true, description: 'Where it belongs, for good.' }),
      endUser: endUser.member({ description: 'Whose it is, of the same integration, for good.' }),
      ...newMembers(kit),
    },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError],
    run: createCredential,
  });
  credential.update({
    description: 'Changes a credential, field by field: one secret can be replaced without sending the others.',
    input: {
      ...fields.inputFields(credentialFields, { partial: true }),
      data: input.field({ type: data.update, description: 'The fields to change, under the name of its kind.' }),
    },
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateCredential,
  });
  credential.remove({
    description: 'Deletes a credential and its secrets. One that is in use is refused, unless `force` is given.',
    force: {
      description: 'Take it out of the connections and connectors that use it, too. Needs `connections.patch` and `connectors.patch`.',
      needs: ['connections.patch', 'connectors.patch'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteCredential,
  });

  const revealed = builder.objectRef<Awaited<ReturnType<typeof revealSecret>>>('RevealedSecret').implement({
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
    inputDescription: 'Which secret, and why.',
    input: {
      credential: credential.member({ required: true, description: 'The credential’s global id.' }),
      ...fields.inputFields(revealFields),
    },
    success: { field: 'secret', type: revealed, description: 'The secret.' },
    errors: [ValidationError, NotFoundError, UnreadableSecretError],
    audit: 'credential',
    run: revealSecret,
  });
}
