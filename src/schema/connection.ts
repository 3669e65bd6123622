import { checkConnection } from '../domain/check.ts';
import {
  addConnectionCredential,
  addedEntryFields,
  connectionFields,
  createConnection,
  deleteConnection,
  moveConnectionCredential,
  movedEntryFields,
  removeConnectionCredential,
  removedEntryFields,
  updateConnection,
} from '../domain/connection.ts';
import { BINDINGS_MAX, type BindingLists, bindingFields } from '../domain/connection-entries.ts';
import { importConnections, upsertConnection } from '../domain/connection-import.ts';
import { type FailedItem, IMPORT_MAX, type ImportResult, issuesOf } from '../domain/import.ts';
import type { Binding } from '../domain/reading.ts';
import {
  ConflictError,
  type GatewayError,
  InvalidIntegrationError,
  NotFoundError,
  ServiceFailedError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import { withCanonicalHost } from '../fields/hosts.ts';
import { authSchemeType } from './auth-scheme.ts';
import { credentialKindEnum, newCredentialInput } from './credential.ts';
import { credentialsToDeleteType } from './delete-preview.ts';
import { byState, connectionHealthFields } from './health.ts';
import { errorCode } from './kit/closed-sets.ts';
import { byGlob, byReference, byReferences, bySearch, byText, byValues, type ListFilter } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { NOTHING } from './kit/input.ts';
import { shared } from './kit/shared.ts';
import { credentialUsage } from './usage.ts';
import { requestPlanField } from './use.ts';

/** The filters of lists of connections, but for those by whose they are. */
export const connectionFilters = shared(
  (kit: Kit) =>
    ({
      allowedDomain: byText('Only connections with exactly this domain. Host names have no case.', (allowedDomain) => {
        const canonical = withCanonicalHost(allowedDomain);
        // Earlier versions stored domains as they were given.
        return { allowedDomain: canonical === allowedDomain ? canonical : [canonical, allowedDomain] };
      }),
      name: byGlob(),
      search: bySearch('name'),
      state: byState(kit, 'connection'),
      credentialKinds: {
        ...byValues(
          credentialKindEnum(kit),
          'credentialKinds',
          'Only connections with a credential of one of these kinds, as an entry or in the auth scheme of one. For an end user, only credentials of its own count. Scope: `credentials.get`.',
        ),
        scope: 'credentials.get',
        // What an end user cannot see must not show in what is found.
        async condition(kinds: readonly string[], { viewer, store }) {
          if (viewer.confinedTo?.endUserId === undefined) return { credentialKinds: kinds };
          const own = await store.credentials.ids({ kind: kinds });
          return { credentialIds: own.length > 0 ? own : [NOTHING] };
        },
      },
    }) satisfies Readonly<Record<string, ListFilter>>,
);

/** The filters of lists of connections by their connector. */
export const connectorFilters = shared(
  ({ connector }: Kit) =>
    ({
      connector: byReference(connector.reference, 'connectorId', 'Only connections of this connector.'),
      connectors: byReferences(connector.reference, 'connectorId', 'Only connections of these connectors. Not together with `connector`.'),
    }) satisfies Readonly<Record<string, ListFilter>>,
);

/** The filter of lists of connections by their end user. */
export const endUserFilter = shared(
  ({ endUser }: Kit) =>
    ({ endUser: byReference(endUser.reference, 'endUserId', 'Only connections of this end user.') }) satisfies Readonly<
      Record<string, ListFilter>
    >,
);

/** Adds `Connection`, its queries and its mutations. */
export function addConnection(kit: Kit): void {
  const { builder, connection, connector, credential, endUser, integration, issue, fields, input, mutation } = kit;
  const state = builder.enumType('ConnectionCredentialState', {
    description: 'Whether the viewer can see a credential of a connection.',
    values: {
      AVAILABLE: { description: 'The viewer can see it.' },
      HIDDEN: {
        description:
          'The viewer cannot see it: it belongs to the integration and the viewer is an end user, or this gateway does not know its kind. The viewer cannot remove it either.',
      },
      EXPIRED: { description: 'It has expired or was deleted. It will be removed from the connection within a minute.' },
    } as const,
  });
  const binding = builder.objectRef<Binding>('ConnectionCredential').implement({
    description: 'A credential of a connection, and how it authenticates.',
    fields: (t) => ({
      credential: credential.related(t, {
        description: 'The credential. Null if it is hidden from the viewer or has expired; `state` tells which.',
        id: ({ credentialId }) => credentialId,
      }),
      state: t.field({
        type: state,
        nullable: true,
        description: 'Whether the viewer can see the credential. Null only without the scope. Scope: `credentials.get`.',
        authScopes: { scope: 'credentials.get' },
        resolve: ({ credentialId }, _args, { loaders }) => loaders.credentialVisibility.load(credentialId),
      }),
      credentialId: t.id({
        description: 'The global id of the credential. Requires no further scope.',
        resolve: ({ credentialId }) => encodeId('credential', credentialId),
      }),
      authScheme: t.field({
        type: authSchemeType(kit),
        nullable: true,
        description: 'How it authenticates. Null if the credential’s kind decides.',
        resolve: (source) => source.authScheme,
      }),
    }),
  });
  connection.implement({
    interfaces: [credentialUsage(kit) as never],
    description:
      'Binds an ordered list of credentials to a connector, an end user or a domain. Not to be confused with a page of a list, such as `ConnectionPage`. Called connection in Zendesk and Versori, too.',
    fields: (t) => ({
      integration: integration.owner(t),
      connector: connector.related(t, {
        description: 'The connector of the service; never changes. Null if the credentials are for `allowedDomain` only.',
        id: ({ connectorId }) => connectorId,
      }),
      endUser: endUser.related(t, {
        description: 'The end user it belongs to; never changes. Null if it belongs to no end user.',
        id: ({ endUserId }) => endUserId,
      }),
      ...fields.outputFields(t, connectionFields),
      actionCredentials: t.field({
        type: [binding],
        description: 'The credentials for requests to the service, in the order in which they are applied.',
        resolve: ({ actionCredentials }) => actionCredentials,
      }),
      triggerCredentials: t.field({
        type: [binding],
        description: 'The credentials for requests that set up what the service sends (triggers), in the order in which they are applied.',
        resolve: ({ triggerCredentials }) => triggerCredentials,
      }),
      ...connectionHealthFields(kit, t),
      requestPlan: requestPlanField(kit, t as never),
      lastUsedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description:
          'When it was last used for a request to a service. It is exact to the minute, and appears up to a minute later. Null if never, or if that was before this was recorded.',
        resolve: ({ lastUsedAt }) => lastUsedAt ?? null,
      }),
    }),
  });

  connection.one('Returns a connection by id or name. Null if not found.');
  connection.list({
    description:
      'Lists connections. Indexed: every sort, with and without an integration; newest first for a connector, an end user, an allowed domain, or a state, also within an integration; by name for a connector; newest first for `search` without a wildcard. Other combinations can have short pages: see `ConnectionPage`.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only connections of this integration.'),
      ...connectorFilters(kit),
      ...endUserFilter(kit),
      ...connectionFilters(kit),
    },
  });

  const source = builder.inputType('ConnectionCredentialSource', {
    description: 'An existing credential, or a new one that is created in the same transaction.',
    isOneOf: true,
    fields: () => ({
      id: credential.member({
        description:
          'An existing credential of the same integration. It must belong to no end user, or to the connection’s end user. In an update, it can also be a credential that the viewer cannot see, if an entry of the same list has it already.',
      }),
      create: input.field({
        type: newCredentialInput(kit),
        description: 'A new credential. It gets the integration and the end user of the connection. Also requires `credentials.post`.',
      }),
    }),
  });
  const bindingInput = builder.inputType('ConnectionCredentialInput', {
    description: 'A credential of a connection, and how it authenticates.',
    fields: () => ({
      credential: input.field({ type: source, required: true, description: 'The credential: an existing or a new one.' }),
      ...fields.inputFields(bindingFields),
    }),
  });
  const description = `The credentials, in the order in which they are applied. At most ${BINDINGS_MAX} action and trigger credentials together.`;
  const credentialLists = {
    actionCredentials: input.field({ type: [bindingInput], description }),
    triggerCredentials: input.field({ type: [bindingInput], description }),
  };

  connection.create({
    description: 'Creates a connection and the new credentials in it, in one transaction.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to. It cannot be changed.' }),
      connector: connector.member({ description: 'A connector of the same integration. It cannot be changed.' }),
      endUser: endUser.member({ description: 'An end user of the same integration. It cannot be changed.' }),
      ...fields.inputFields(connectionFields),
      ...credentialLists,
    },
    alsoNeeds: (given) => (createsCredential(given) ? ['credentials.post'] : []),
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError],
    run: createConnection,
  });
  connection.upsert({
    description:
      'Creates a connection, or changes the one that has the name, with the same connector and end user, as `importConnections` does for one connection: so a new credential that has the name and the kind of one in the same list of the existing connection is that one. Sending the same again changes nothing but given secrets, which are written anew. A credential that is left out of a given list is not deleted. With new credentials, also requires `credentials.post` and `credentials.patch`.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to.' }),
      ...importedConnection(),
      replaceSecrets: input.boolean({ defaultValue: true, description: replaceSecretsDescription }),
    },
    alsoNeeds: (given) => (createsCredential(given) ? ['credentials.post', 'credentials.patch'] : []),
    cost: (given) => IMPORT_COST + ITEM_COST + (1 + (given.replaceSecrets ? REPLACED_COST : 0)) * newCredentialsIn(given),
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError],
    run: upsertConnection,
  });
  addImport();
  connection.update({
    description:
      'Changes a connection. A given list replaces the whole list, except for entries with a credential that is hidden from the viewer: they can be sent without `authScheme` to choose their position, and keep their place if they are left out. To change one entry, use `addConnectionCredential`, `removeConnectionCredential` or `moveConnectionCredential`. To change a credential itself, use `updateCredential`.',
    input: { ...fields.inputFields(connectionFields, { partial: true }), ...credentialLists },
    alsoNeeds: (given) => (createsCredential(given) ? ['credentials.post'] : []),
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError],
    run: updateConnection,
  });
  const errors = [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError, ServiceFailedError, UnreadableSecretError];
  const changed = {
    scope: 'connections.patch',
    success: { field: 'connection', type: connection.type, description: 'The changed connection.' },
    errors,
    audit: 'connection',
  } as const;
  mutation('addConnectionCredential', {
    ...changed,
    description: 'Adds one credential to a list of a connection. All other entries stay as they are.',
    inputDescription: 'The connection, the list and the new entry.',
    input: {
      ...connection.which(),
      ...fields.inputFields(addedEntryFields),
      credential: input.field({ type: source, required: true, description: 'The credential: an existing or a new one.' }),
      ...fields.inputFields(bindingFields),
    },
    alsoNeeds: ({ credential }) => (credential.create ? ['credentials.post'] : []),
    run: addConnectionCredential,
  });
  const boundCredential = credential.member({ required: true, description: 'The credential of the entry.' });
  mutation('removeConnectionCredential', {
    ...changed,
    description:
      'Removes one entry from a list of a connection. The credential is not deleted. An entry whose credential is hidden from the viewer cannot be removed.',
    inputDescription: 'The connection, the list and the entry.',
    input: { ...connection.which(), ...fields.inputFields(removedEntryFields), credential: boundCredential },
    run: removeConnectionCredential,
  });
  mutation('moveConnectionCredential', {
    ...changed,
    description: 'Moves one entry to another position in the same list of a connection.',
    inputDescription: 'The connection, the list, the entry and its new position.',
    input: { ...connection.which(), ...fields.inputFields(movedEntryFields), credential: boundCredential },
    run: moveConnectionCredential,
  });
  mutation('checkConnection', {
    description:
      'Asks the service whether a connection works, by the request that `check` of its connector describes, and writes what it answers: read `state` and `problems` of the result. The answer itself is not returned. If the connector has no `check`, the tokens of its credentials are checked as `checkCredential` does, and `checkedAt` of the credentials tells when.',
    scope: 'connections.check',
    cost: 100,
    inputDescription: 'The connection to check.',
    input: { connection: connection.member({ required: true, description: 'The connection.' }) },
    success: { field: 'connection', type: connection.type, description: 'The connection, as it is after the check.' },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError],
    audit: 'connection',
    run: checkConnection,
  });
  connection.remove({
    description: 'Deletes a connection. Its credentials are not deleted, unless `deleteCredentials` says so.',
    input: {
      deleteCredentials: input.field({
        type: credentialsToDeleteType(kit),
        defaultValue: 'NONE',
        description: 'Which of its credentials are deleted, too. `credentials.delete` is needed if there are any.',
      }),
    },
    mayNeed: ({ deleteCredentials }) => (deleteCredentials === 'UNUSED' ? ['credentials.delete'] : []),
    errors: [ValidationError, NotFoundError, ConflictError],
    run: deleteConnection,
  });

  /** The members of a connection that is created or changed. */
  function importedConnection() {
    return {
      connector: connector.member({ description: 'A connector of the same integration.' }),
      endUser: endUser.member({ description: 'An end user of the same integration.' }),
      ...fields.inputFields({
        ...connectionFields,
        name: {
          ...connectionFields.name,
          description: 'The name. With the connector and the end user, it decides which connection it is, so an import does not change it.',
        },
      }),
      ...credentialLists,
    };
  }

  function addImport(): void {
    const status = builder.enumType('ImportStatus', {
      description: 'What has become of an item of an import.',
      values: {
        CREATED: { description: 'It was created.' },
        UPDATED: { description: 'It existed, and was changed, or one of its credentials was.' },
        UNCHANGED: { description: 'It existed, and is as it was.' },
        FAILED: { description: 'It was not imported. `error` says why.' },
      } as const,
    });
    const error = builder.objectRef<FailedItem>('ImportError').implement({
      description: 'Why an item was not imported.',
      fields: (t) => ({
        code: t.field({ type: errorCode(builder), description: 'A stable code for programs.', resolve: ({ error }) => error.code }),
        message: t.string({
          description: 'A text for people, without any value from the input.',
          resolve: (failed) => inArguments(failed).message,
        }),
        issues: t.field({
          type: [issue],
          description: 'What is wrong, with the paths in the arguments. Empty if it is nothing about the input.',
          resolve: (failed) => issuesOf(inArguments(failed), []),
        }),
      }),
    });
    const item = builder.objectRef<ImportResult & { readonly index: number }>('ImportedConnection').implement({
      description: 'The result of one item of an import.',
      fields: (t) => ({
        status: t.field({ type: status, description: 'What has become of it.', resolve: (source) => source.status }),
        connectionId: t.id({
          nullable: true,
          description: 'The global id of the connection. Null if the item failed.',
          resolve: ({ id }) => id && encodeId('connection', id),
        }),
        connection: connection.related(t, { description: 'The connection. Null if the item failed.', id: ({ id }) => id }),
        error: t.field({
          type: error,
          nullable: true,
          description: 'Why it failed; otherwise null.',
          resolve: ({ index, error }) => error && { index, error },
        }),
      }),
    });
    const result = builder.objectRef<readonly ImportResult[]>('ConnectionImport').implement({
      description: 'The results of an import.',
      fields: (t) => ({
        results: t.field({
          type: [item],
          description: 'One result for each item, in the order of the items.',
          resolve: (results) => results.map((each, index) => ({ ...each, index })),
        }),
        ...Object.fromEntries(
          (['CREATED', 'UPDATED', 'UNCHANGED', 'FAILED'] as const).map((which) => [
            `${which.toLowerCase()}Count`,
            t.int({
              description: `The number of items with the status \`${which}\`.`,
              resolve: (results) => results.filter((each) => each.status === which).length,
            }),
          ]),
        ),
      }),
    });
    const itemInput = builder.inputType('ImportedConnectionInput', {
      description:
        'A connection to create, or to update if there is one with the same name, connector and end user. In an update, absent fields are kept, null clears a field, and a given list replaces the whole list.',
      fields: importedConnection,
    });
    mutation('importConnections', {
      description: `Creates or updates up to ${IMPORT_MAX} connections of an integration, with their new credentials. Sending the same again changes nothing. Each hundred items are one transaction. An item that fails changes nothing, and the others are imported. If all items fail, the result is their error. A new credential that has the name and kind of one in the same list of an existing connection is that one, if both have the same owner: its settings are updated, and its secrets kept, unless \`replaceSecrets\` is set. The size of the body is limited, too. If the time limit of the operation is close, the remaining items fail with \`TIMEOUT\`. Always also requires \`connections.patch\`, and with new credentials \`credentials.post\` and \`credentials.patch\`.`,
      scope: 'connections.post',
      inputDescription: 'The connections to import.',
      input: {
        integration: integration.member({ required: true, description: 'The integration that the connections belong to.' }),
        connections: input.field({
          type: [itemInput],
          required: true,
          description: `The connections: 1 to ${IMPORT_MAX}. No two of them can have the same name, connector and end user.`,
        }),
        replaceSecrets: input.boolean({
          defaultValue: false,
          description: replaceSecretsDescription,
        }),
      },
      alsoNeeds: ({ connections }) => [
        'connections.patch',
        ...(connections.some(createsCredential) ? (['credentials.post', 'credentials.patch'] as const) : []),
      ],
      cost: ({ connections, replaceSecrets }) =>
        IMPORT_COST +
        connections.reduce((sum, each) => sum + ITEM_COST + (1 + (replaceSecrets ? REPLACED_COST : 0)) * newCredentialsIn(each), 0),
      success: { field: 'imported', type: result, description: 'The results.' },
      errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
      audit: 'integration',
      run: importConnections,
    });
  }
}

const replaceSecretsDescription =
  'Whether the given secrets replace those of credentials that exist already. They are then written anew each time, also if they are equal.';

/** The cost of an import without its items, as of any mutation. */
const IMPORT_COST = 25;
/** The cost of each item. A new connection takes a fifth of the time that a mutation for it alone takes. Each new credential adds 1. */
const ITEM_COST = 5;
/** The additional cost of each new credential if secrets are replaced. A credential that exists already is written on its own then. */
const REPLACED_COST = 3;

function newCredentialsIn({ actionCredentials, triggerCredentials }: BindingLists): number {
  return [...(actionCredentials ?? []), ...(triggerCredentials ?? [])].filter(({ credential }) => credential.create).length;
}

/** Returns the error of an item with paths in the arguments. */
function inArguments({ index, error }: FailedItem): GatewayError {
  return error.within(['input', 'connections', index]);
}

function createsCredential(lists: BindingLists): boolean {
  return newCredentialsIn(lists) > 0;
}
