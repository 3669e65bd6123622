import type { Confinement } from '../access/viewer.ts';
import type { Store } from './index.ts';

/**
 * The store as it is for a viewer who is limited to one integration, or to one end user of it: nothing else can be found, changed, deleted or
 * made, whatever is asked for. The audit log and API keys are the organization's, and stay out of such a viewer's reach by their scopes.
 */
export function confined(store: Store, { integrationId, endUserId }: Confinement): Store {
  const inIntegration = { integrationId };
  const own = endUserId === undefined ? inIntegration : { integrationId, endUserId };
  const { integrations, connectors, endUsers, connections, credentials } = store;
  return {
    ...store,
    integrations: { ...integrations, ...integrations.confinedTo({ id: integrationId }) },
    connectors: { ...connectors, ...connectors.confinedTo(inIntegration) },
    endUsers: { ...endUsers, ...endUsers.confinedTo(endUserId === undefined ? inIntegration : { integrationId, id: endUserId }) },
    connections: { ...connections, ...connections.confinedTo(own) },
    credentials: { ...credentials, ...credentials.confinedTo(own) },
  };
}
