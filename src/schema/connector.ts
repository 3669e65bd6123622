import {
  connectorFields,
  createConnector,
  deleteConnector,
  discoverConnector,
  discoveryFields,
  updateConnector,
} from '../domain/connector.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ServiceFailedError, ValidationError } from '../errors.ts';
import { authSchemeType } from './auth-scheme.ts';
import { connectionFilters, endUserFilter } from './connection.ts';
import { byGlob, byReference, bySearch } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';
import { credentialUsage } from './usage.ts';

/** Adds `Connector`, its queries and its mutations. */
export function addConnector(kit: Kit): void {
  const { connector, connection, integration, fields, input, mutation } = kit;
  const { authSchemes, ...ownFields } = connectorFields;
  connector.implement({
    interfaces: [credentialUsage(kit) as never],
    description: 'A third-party service, and how it authenticates. Called connector in Versori, too.',
    fields: (t) => ({
      integration: integration.owner(t),
      ...fields.outputFields(t, ownFields),
      authSchemes: t.field({
        type: [authSchemeType(kit)],
        description: authSchemes.description,
        resolve: (record) => record.authSchemes,
      }),
      connections: connection.relatedPage(t, {
        description: 'The connections of this connector, newest first.',
        filter: ({ id }) => ({ connectorId: id }),
        filters: { ...endUserFilter(kit), ...connectionFilters(kit) },
      }),
    }),
  });

  connector.one('Returns a connector. Null if not found.');
  connector.list({
    description:
      'Lists connectors. Indexed: every sort, with and without an integration; newest first for `search` without a wildcard. A name filter with another sort than by name can have short pages: see `ConnectorPage`.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only connectors of this integration.'),
      name: byGlob(),
      search: bySearch('name'),
    },
  });

  connector.create({
    description: 'Creates a connector.',
    input: {
      integration: integration.member({ required: true, description: 'The integration it belongs to. It cannot be changed.' }),
      ...fields.inputFields(connectorFields),
    },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    run: createConnector,
  });
  connector.update({
    description: 'Changes a connector. A given list of auth schemes replaces the whole list.',
    input: fields.inputFields(connectorFields, { partial: true }),
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateConnector,
  });
  mutation('discoverConnector', {
    description:
      'Fills an `OAUTH2` scheme of a connector with what the server says about itself (RFC 8414, OpenID Connect Discovery 1.0): its endpoints, and for a new scheme the scopes and the way in which clients authenticate. The gateway sends a request to the issuer. Check the hosts in the result before you bind a client to the scheme.',
    scope: 'connectors.patch',
    cost: 50,
    inputDescription: 'A connector, and the issuer whose endpoints it gets.',
    input: {
      connector: connector.member({ required: true, description: 'The connector.' }),
      expectedVersion: input.int({ description: 'The version that the connector must have. If it has another, nothing is changed.' }),
      ...fields.inputFields(discoveryFields),
    },
    success: { field: 'connector', type: connector.type, description: 'The changed connector.' },
    errors: [ValidationError, NotFoundError, ConflictError, ServiceFailedError],
    audit: 'connector',
    run: discoverConnector,
  });
  connector.remove({
    description: 'Deletes a connector. If it has connections, `force` is required.',
    force: {
      description: 'Also deletes its connections, but not their credentials. Also requires `connections.delete` if there are any.',
      needs: ['connections.delete'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteConnector,
  });
}
