import { createIntegration, deleteIntegration, integrationFields, updateIntegration } from '../domain/integration.ts';
import { ConflictError, InUseError, InvalidIntegrationError, ValidationError } from '../errors.ts';
import { byGlob } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Integration`, its queries and its mutations. */
export function addIntegration({ integration, fields }: Kit): void {
  integration.implement({
    description:
      'A namespace of the organization. Each connector, end user, connection and credential belongs to one integration, which never changes. Called integration in Zendesk, hub in Versori, application in Losant.',
    fields: (t) => fields.outputFields(t, integrationFields),
  });

  integration.one('Returns an integration. Null if not found.');
  integration.list({
    description:
      'Lists integrations. Indexed: every sort; the name filter together with the sort by name. With another sort, pages can be short: see `IntegrationPage`.',
    filters: { name: byGlob() },
  });

  integration.create({
    description: 'Creates an integration.',
    input: fields.inputFields(integrationFields),
    errors: [ValidationError, ConflictError],
    run: createIntegration,
  });
  integration.update({
    description: 'Changes an integration.',
    input: fields.inputFields(integrationFields, { partial: true }),
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    run: updateIntegration,
  });
  integration.remove({
    description: 'Deletes an integration. If it is not empty, `force` is required.',
    force: {
      description:
        'Also deletes everything that belongs to it. Also requires `connectors.delete`, `endUsers.delete`, `connections.delete` and `credentials.delete`, each if there are any.',
      needs: ['connectors.delete', 'endUsers.delete', 'connections.delete', 'credentials.delete'],
    },
    errors: [ValidationError, InvalidIntegrationError, ConflictError, InUseError],
    run: deleteIntegration,
  });
}
