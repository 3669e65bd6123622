import { createIntegration, deleteIntegration, integrationFields, updateIntegration } from '../domain/integration.ts';
import { ConflictError, InUseError, InvalidIntegrationError, ValidationError } from '../errors.ts';
import { byGlob } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Integration`, its queries and its mutations. */
export function addIntegration({ integration, fields }: Kit): void {
  integration.implement({
    description:
      'A namespace of the organization. Connectors, end users, connections and credentials belong to exactly one, for good. Zendesk’s integration, Versori’s hub, Losant’s application.',
    fields: (t) => fields.outputFields(t, integrationFields),
  });

  integration.one('One integration. Null when there is none.');
  integration.list({
    description: 'The organization’s integrations. An index serves every sort, and the name filter together with the sort by name.',
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
    description: 'Deletes an integration. An integration that is not empty is refused, unless `force` is given.',
    force: {
      description: 'Delete all that belongs to it, too. Needs the delete scopes of all that.',
      needs: ['connectors.delete', 'endUsers.delete', 'connections.delete', 'credentials.delete'],
    },
    errors: [ValidationError, InvalidIntegrationError, ConflictError, InUseError],
    run: deleteIntegration,
  });
}
