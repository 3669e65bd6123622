import { connectorFields, createConnector, deleteConnector, updateConnector } from '../domain/connector.ts';
import { ConflictError, InUseError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { authSchemeType } from './auth-scheme.ts';
import { byGlob, byReference } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Connector`, its queries and its mutations. */
export function addConnector(kit: Kit): void {
  const { connector, integration, fields } = kit;
  const { authSchemes, ...ownFields } = connectorFields;
  connector.implement({
    description: 'A third-party service, and the ways it authenticates. Versori’s connector.',
    fields: (t) => ({
      integration: integration.owner(t),
      ...fields.outputFields(t, ownFields),
      authSchemes: t.field({
        type: [authSchemeType(kit)],
        description: authSchemes.description,
        resolve: (record) => record.authSchemes,
      }),
    }),
  });

  connector.one('One connector. Null when there is none.');
  connector.list({
    description: 'Connectors. An index serves every sort, with and without an integration.',
    filters: {
      integration: byReference(integration.reference, 'integrationId', 'Only those of this integration.'),
      name: byGlob(),
    },
  });

  connector.create({
    description: 'Creates a connector.',
    input: {
      integration: integration.member({ required: true, description: 'Where it belongs, for good.' }),
      ...fields.inputFields(connectorFields),
    },
    errors: [ValidationError, InvalidIntegrationError, NotFoundError, ConflictError],
    run: createConnector,
  });
  connector.update({
    description: 'Changes a connector. A list of auth schemes that is given replaces the whole list.',
    input: fields.inputFields(connectorFields, { partial: true }),
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateConnector,
  });
  connector.remove({
    description: 'Deletes a connector. A connector that has connections is refused, unless `force` is given.',
    force: {
      description: 'Delete its connections, too; their credentials stay. Needs `connections.delete`.',
      needs: ['connections.delete'],
    },
    errors: [ValidationError, NotFoundError, ConflictError, InUseError],
    run: deleteConnector,
  });
}
