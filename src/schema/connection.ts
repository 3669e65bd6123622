import { createConnection, deleteConnection, updateConnection } from '../domain/connection.ts';
import type { Binding } from '../domain/reading.ts';
import { findConnection, findConnector, findEndUser } from '../domain/references.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, type Path, ValidationError } from '../errors.ts';
import { readAuthSchemeInput } from './auth-scheme.ts';
import type { Builder } from './builder.ts';
import type { CredentialInputs } from './credential.ts';
import { integrationField, recordFields, recordSortFields } from './fields.ts';
import { decodeId, encodeId } from './global-id.ts';
import type { Kit } from './kit.ts';
import { globDescription, integrationFilter, loadPage, NOTHING, pageArgs, readGlob } from './page.ts';
import { readConnectionRef, readConnectorRef, readEndUserRef, readIntegrationRef } from './references.ts';

/** Adds `Connection`, its queries and its mutations. */
export function addConnection(builder: Builder, kit: Kit, credentialInputs: CredentialInputs): void {
  const { node, authScheme, pages, references, mutation, deleted, expectedVersion, sort, types } = kit;
  const { connection, connector, endUser, credential } = types;
  const variable = builder.objectRef<{ readonly name: string; readonly value: string }>('Variable').implement({
    description: 'A value that customizes the connector for one connection. Not for secrets.',
    fields: (t) => ({
      name: t.exposeString('name', { description: 'Unique within the connection.' }),
      value: t.exposeString('value', { description: 'Readable by all who may read the connection.' }),
    }),
  });
  const binding = builder.objectRef<Binding>('ConnectionCredential').implement({
    description: 'A credential that a connection binds, and how it authenticates there.',
    fields: (t) => ({
      credential: t.field({
        type: credential,
        nullable: true,
        description: 'The credential. Null when its time is past. Scope: `credentials.get`.',
        authScopes: { scope: 'credentials.get' },
        resolve: ({ credentialId }, _args, { loaders }) => loaders.credential.byId.load(credentialId),
      }),
      credentialId: t.id({
        description: 'Its global id, which needs no scope of its own.',
        resolve: ({ credentialId }) => encodeId('credential', credentialId),
      }),
      authScheme: t.field({
        type: authScheme.scheme,
        nullable: true,
        description: 'How it authenticates. Null: as the credential’s kind says.',
        resolve: (source) => source.authScheme,
      }),
    }),
  });
  connection.implement({
    description:
      'Binds credentials, in order, to a connector, an end user or a domain. Not a page of a list: those are called pages here. Zendesk’s and Versori’s connection.',
    interfaces: [node],
    authScopes: { scope: 'connections.get' },
    fields: (t) => ({
      ...recordFields('connection')(t),
      integration: integrationField(types)(t),
      name: t.exposeString('name', {
        description: 'Unique within its connector, or within its integration when it has none. It may be renamed; the id stays.',
      }),
      connector: t.field({
        type: connector,
        nullable: true,
        description: 'The service it connects to, for good. Null: none, the credentials are for `allowedDomain`. Scope: `connectors.get`.',
        authScopes: { scope: 'connectors.get' },
        resolve: ({ connectorId }, _args, { loaders }) => (connectorId ? loaders.connector.byId.load(connectorId) : null),
      }),
      endUser: t.field({
        type: endUser,
        nullable: true,
        description: 'Whose it is, for good. Null: the integration’s own. Scope: `endUsers.get`.',
        authScopes: { scope: 'endUsers.get' },
        resolve: ({ endUserId }, _args, { loaders }) => (endUserId ? loaders.endUser.byId.load(endUserId) : null),
      }),
      allowedDomain: t.exposeString('allowedDomain', {
        nullable: true,
        description: 'The one host it may be used on. Null: the connector’s.',
      }),
      variables: t.field({ type: [variable], description: 'In the order given.', resolve: ({ variables }) => variables }),
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
  const sortType = sort('ConnectionSort', recordSortFields);

  builder.queryField('connection', (t) =>
    t.field({
      type: connection,
      nullable: true,
      description: 'One connection, by its id or its name. Null when there is none. Scope: `connections.get`.',
      authScopes: { scope: 'connections.get' },
      args: { by: t.arg({ type: references.connection, required: true, description: 'Which one.' }) },
      resolve: (_root, { by }, context) => findConnection(context, readConnectionRef(by, ['by'])),
    }),
  );
  builder.queryField('connections', (t) =>
    t.field({
      type: pages.connection,
      description:
        'Connections. An index serves every sort, with and without an integration, and the newest-first order of a connector, an end user, or an allowed domain within an integration. Other combinations end at a time limit with `TIMEOUT`. Scope: `connections.get`.',
      authScopes: { scope: 'connections.get' },
      args: {
        ...pageArgs(t.arg),
        sort: t.arg({ type: sortType, description: 'Newest first unless told.' }),
        integration: t.arg({ type: references.integration, description: 'Only those of this integration.' }),
        connector: t.arg({ type: references.connector, description: 'Only those of this connector.' }),
        endUser: t.arg({ type: references.endUser, description: 'Only those of this end user.' }),
        allowedDomain: t.arg.string({ description: 'Only those for exactly this domain.' }),
        name: t.arg.string({ description: globDescription }),
      },
      resolve: async (_root, { integration, connector, endUser, allowedDomain, name, sort, ...args }, context) => {
        const filter = {
          ...(await integrationFilter(context, integration)),
          ...(connector && { connectorId: (await findConnector(context, readConnectorRef(connector, ['connector'])))?.id ?? NOTHING }),
          ...(endUser && { endUserId: (await findEndUser(context, readEndUserRef(endUser, ['endUser'])))?.id ?? NOTHING }),
          ...(allowedDomain != null && { allowedDomain }),
          nameGlob: readGlob(name, ['name']),
        };
        return loadPage(context, 'connection', filter, args, sort, recordSortFields);
      },
    }),
  );

  const variableInput = builder.inputType('VariableInput', {
    description: 'A variable. Not for secrets.',
    fields: (t) => ({
      name: t.string({ required: true, description: '1 to 255 characters, each name once.' }),
      value: t.string({ required: true, description: 'At most 4,096 characters.' }),
    }),
  });
  const source = builder.inputType('ConnectionCredentialSource', {
    description: 'An existing credential, or a new one that is made in the same transaction.',
    isOneOf: true,
    fields: (t) => ({
      id: t.id({
        description: 'An existing credential of the same integration: the integration’s own, or one of the connection’s end user.',
      }),
      create: t.field({
        type: credentialInputs.create,
        description:
          'A new credential. It belongs to the connection’s integration, and to its end user if it has one. Needs `credentials.post`.',
      }),
    }),
  });
  const bindingInput = builder.inputType('ConnectionCredentialInput', {
    description: 'One of a connection’s credentials.',
    fields: (t) => ({
      credential: t.field({ type: source, required: true, description: 'Which credential, or what it shall be.' }),
      authScheme: t.field({ type: authScheme.input, description: 'How it authenticates. Absent: as the credential’s kind says.' }),
    }),
  });
  const listDescription = 'In the order in which they are applied; action and trigger credentials together at most 20.';
  const input = builder.inputType('CreateConnectionInput', {
    description: 'A new connection.',
    fields: (t) => ({
      integration: t.field({ type: references.integration, required: true, description: 'Where it belongs, for good.' }),
      connector: t.field({ type: references.connector, description: 'The service it connects to, of the same integration, for good.' }),
      endUser: t.field({ type: references.endUser, description: 'Whose it is, of the same integration, for good.' }),
      name: t.string({ required: true, description: '1 to 255 characters, unique within the connector, or the integration without one.' }),
      allowedDomain: t.string({ description: 'The one host it may be used on, without scheme, port or path.' }),
      variables: t.field({ type: [variableInput], description: 'At most 100.' }),
      actionCredentials: t.field({ type: [bindingInput], description: listDescription }),
      triggerCredentials: t.field({ type: [bindingInput], description: listDescription }),
    }),
  });
  const which = { type: references.connection, required: true, description: 'Which one.' } as const;
  const changes = builder.inputType('UpdateConnectionInput', {
    description:
      'Which connection to change, and what: absent is kept, null is cleared, `[]` is emptied. A list that is given replaces the whole list.',
    fields: (t) => ({
      connection: t.field(which),
      name: t.string({ description: 'The new name; the id stays.' }),
      allowedDomain: t.string({ description: 'The one host it may be used on.' }),
      variables: t.field({ type: [variableInput], description: 'At most 100.' }),
      actionCredentials: t.field({ type: [bindingInput], description: listDescription }),
      triggerCredentials: t.field({ type: [bindingInput], description: listDescription }),
      expectedVersion: expectedVersion(t),
    }),
  });
  const success = { field: 'connection', type: connection, description: 'The connection as it is now.' } as const;
  mutation('createConnection', {
    description: 'Makes a connection, together with the credentials that its entries create: all of it, or nothing.',
    scope: 'connections.post',
    input,
    alsoNeeds: (input) => (createsCredential(input as SentLists) ? ['credentials.post'] : []),
    success,
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    audit: 'connection',
    resolve: async (context, input) =>
      createConnection(context, {
        ...input,
        integration: readIntegrationRef(input.integration, ['integration']),
        connector: input.connector && readConnectorRef(input.connector, ['connector']),
        endUser: input.endUser && readEndUserRef(input.endUser, ['endUser']),
        ...readLists(input as SentLists),
      } as never),
  });
  mutation('updateConnection', {
    description: 'Changes a connection. To change a credential itself, use `updateCredential`.',
    scope: 'connections.patch',
    input: changes,
    alsoNeeds: (input) => (createsCredential(input as SentLists) ? ['credentials.post'] : []),
    success,
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    audit: 'connection',
    resolve: async (context, { connection: ref, expectedVersion, ...changes }) =>
      updateConnection(
        context,
        readConnectionRef(ref, ['connection']),
        { ...changes, ...readLists(changes as SentLists) } as never,
        expectedVersion,
      ),
  });
  mutation('deleteConnection', {
    description: 'Deletes a connection. Its credentials stay.',
    scope: 'connections.delete',
    input: builder.inputType('DeleteConnectionInput', {
      description: 'Which connection to delete.',
      fields: (t) => ({ connection: t.field(which), expectedVersion: expectedVersion(t) }),
    }),
    success: deleted,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'connection',
    resolve: async (context, input) =>
      encodeId('connection', await deleteConnection(context, readConnectionRef(input.connection, ['connection']), input)),
  });
}

const lists = ['actionCredentials', 'triggerCredentials'] as const;
interface SentBinding {
  readonly credential: { readonly id?: string | null; readonly create?: object | null };
  readonly authScheme?: Parameters<typeof readAuthSchemeInput>[0] | null;
}
type SentLists = { readonly [L in (typeof lists)[number]]?: readonly SentBinding[] | null };

function createsCredential(input: SentLists): boolean {
  return lists.some((list) => input[list]?.some(({ credential }) => credential.create));
}

/** The lists as the domain takes them; one that is absent stays absent. @throws ValidationError when an id is malformed */
function readLists(input: SentLists) {
  const given = lists.filter((list) => input[list] !== undefined);
  return Object.fromEntries(given.map((list) => [list, input[list]?.map((entry, index) => readBinding(entry, [list, index])) ?? null]));
}

function readBinding({ credential, authScheme }: SentBinding, path: Path) {
  return {
    credential: credential.id == null ? credential : { id: decodeId('credential', credential.id, [...path, 'credential', 'id']) },
    authScheme: authScheme && readAuthSchemeInput(authScheme, [...path, 'authScheme']),
  };
}
