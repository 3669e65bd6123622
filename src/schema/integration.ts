import { createIntegration, deleteIntegration, integrationFields, updateIntegration } from '../domain/integration.ts';
import { ConflictError, InUseError, InvalidIntegrationError, ValidationError } from '../errors.ts';
import { connectionFilters, connectorFilters, endUserFilter } from './connection.ts';
import { credentialFilters } from './credential.ts';
import { byGlob, bySearch } from './kit/filter.ts';
import type { Kit } from './kit/index.ts';

/** Adds `Integration`, its queries and its mutations. */
export function addIntegration(kit: Kit): void {
  const { apiKey, integration, connector, endUser, connection, credential, fields, webhook } = kit;
  const filter = ({ id }: { readonly id: string }) => ({ integrationId: id });
  integration.implement({
    description:
      'A namespace of the organization. Each connector, end user, connection and credential belongs to one integration, which never changes. Called integration in Zendesk, hub in Versori, application in Losant.',
    fields: (t) => ({
      ...fields.outputFields(t, integrationFields),
      connectors: connector.relatedPage(t, {
        description: 'Its connectors, newest first.',
        filter,
        filters: { name: byGlob(), search: bySearch('name') },
      }),
      endUsers: endUser.relatedPage(t, {
        description: 'Its end users, newest first.',
        filter,
        filters: { displayName: byGlob(), search: bySearch('external id or display name') },
      }),
      connections: connection.relatedPage(t, {
        description: 'Its connections, of end users and of none, newest first.',
        filter,
        filters: { ...connectorFilters(kit), ...endUserFilter(kit), ...connectionFilters(kit) },
      }),
      credentials: credential.relatedPage(t, {
        description: 'Its credentials, of end users and of none, newest first.',
        filter,
        filters: credentialFilters(kit),
      }),
      webhooks: webhook.relatedPage(t, { description: 'The webhooks that get its events only, newest first.', filter }),
      apiKeys: apiKey.relatedPage(t, {
        description: 'The API keys that are limited to it, without the keys themselves, newest first.',
        filter,
        filters: { name: byGlob() },
      }),
    }),
  });

  integration.one('Returns an integration. Null if not found.');
  integration.list({
    description:
      'Lists integrations. Indexed: every sort; the name filter together with the sort by name. With another sort, pages can be short: see `IntegrationPage`.',
    filters: { name: byGlob(), search: bySearch('name') },
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
