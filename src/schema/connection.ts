import {
  type BindingInput,
  bindingFields,
  connectionFields,
  createConnection,
  deleteConnection,
  updateConnection,
} from '../domain/connection.ts';
import type { Binding } from '../domain/reading.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { authSchemeType } from './auth-scheme.ts';
import { newCredentialInput } from './credential.ts';
import { byGlob, byReference, byText } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Connection`, its queries and its mutations. */
export function addConnection(kit: Kit): void {
  const { builder, connection, connector, credential, endUser, integration, fields, input } = kit;
  const binding = builder.objectRef<Binding>('ConnectionCredential').implement({
    description: 'A credential that a connection binds, and how it authenticates there.',
    fields: (t) => ({
      credential: credential.related(t, {
        description: 'The credential. Null when it has expired.',
        id: ({ credentialId }) => credentialId,
      }),
      credentialId: t.id({
        description: 'Its global id, which needs no scope of its own.',
        resolve: ({ credentialId }) => encodeId('credential', credentialId),
      }),
      authScheme: t.field({
        type: authSchemeType(kit),
        nullable: true,
        description: 'How it authenticates. Null: as the credential’s kind says.',
        resolve: (source) => source.authScheme,
      }),
    }),
  });
  connection.implement({
    description:
      'Binds credentials, in order, to a connector, an end user or a domain. Not a page of a list: those are called pages here. Zendesk’s and Versori’s connection.',
    fields: (t) => ({
      integration: integration.owner(t),
      connector: connector.related(t, {
        description: 'The service it connects to, for good. Null: none, the credentials are for `allowedDomain`.',
        id: ({ connectorId }) => connectorId,
      }),
      endUser: endUser.related(t, {
        description: 'Whose it is, for good. Null: the integration’s own.',
        id: ({ endUserId }) => endUserId,
      }),
      ...fields.outputFields(t, connectionFields),
      actionCredentials: t.field({
        type: [binding],
        description: 'The credentials for what is done at the service, applied in this order.',
        resolve: ({ actionCredentials }) => actionCredentials,
      }),
      triggerCredentials: t.field({
        type: [binding],
        description: 'The credentials for what the service calls us about, applied in this order.',
        resolve: ({ triggerCredentials }) => triggerCredentials,
      }),
    }),
  });

  connection.one('One connection, by its id or its name. Null when there is none.');
  connection.list({
    description:
      'Connections. An index serves every sort, with and without an integration, and the newest-first order of a connector, an end user, or an allowed domain within an integration. Other combinations end at a time limit with `TIMEOUT`.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only those of this integration.'),
      connector: byReference(connector.reference, 'connectorId', 'Only those of this connector.'),
      endUser: byReference(endUser.reference, 'endUserId', 'Only those of this end user.'),
      allowedDomain: byText('Only those for exactly this domain.', (allowedDomain) => ({ allowedDomain })),
      name: byGlob(),
    },
  });

  const source = builder.inputType('ConnectionCredentialSource', {
    description: 'An existing credential, or a new one that is created in the same transaction.',
    isOneOf: true,
    fields: () => ({
      id: credential.member({
        description: 'An existing credential of the same integration: the integration’s own, or one of the connection’s end user.',
      }),
      create: input.field({
        type: newCredentialInput(kit),
        description:
          'A new credential. It belongs to the connection’s integration, and to its end user if it has one. Needs `credentials.post`.',
      }),
    }),
  });
  const bindingInput = builder.inputType('ConnectionCredentialInput', {
    description: 'One of a connection’s credentials.',
    fields: () => ({
      credential: input.field({ type: source, required: true, description: 'Which credential, or a new one.' }),
      ...fields.inputFields(bindingFields),
    }),
  });
  const description = 'In the order in which they are applied; action and trigger credentials together at most 20.';
  const credentialLists = {
    actionCredentials: input.field({ type: [bindingInput], description }),
    triggerCredentials: input.field({ type: [bindingInput], description }),
  };

  connection.create({
    description: 'Creates a connection, together with the credentials that its entries create: all of it, or nothing.',
    input: {
      integration: integration.member({ required: true, description: 'Where it belongs, for good.' }),
      connector: connector.member({ description: 'The service it connects to, of the same integration, for good.' }),
      endUser: endUser.member({ description: 'Whose it is, of the same integration, for good.' }),
      ...fields.inputFields(connectionFields),
      ...credentialLists,
    },
    alsoNeeds: (given) => (createsCredential(given) ? ['credentials.post'] : []),
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    run: createConnection,
  });
  connection.update({
    description:
      'Changes a connection. A list that is given replaces the whole list. To change a credential itself, use `updateCredential`.',
    input: { ...fields.inputFields(connectionFields, { partial: true }), ...credentialLists },
    alsoNeeds: (given) => (createsCredential(given) ? ['credentials.post'] : []),
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    run: updateConnection,
  });
  connection.remove({
    description: 'Deletes a connection. Its credentials stay.',
    errors: [ValidationError, NotFoundError, ConflictError],
    run: deleteConnection,
  });
}

type Lists = { readonly [L in 'actionCredentials' | 'triggerCredentials']?: readonly BindingInput[] | null };

function createsCredential({ actionCredentials, triggerCredentials }: Lists): boolean {
  return [...(actionCredentials ?? []), ...(triggerCredentials ?? [])].some(({ credential }) => credential.create);
}
