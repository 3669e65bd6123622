import { contextOf, type DomainContext, type GatewayContext } from './context.ts';
import { removeIntegration } from './integration.ts';

/** Who acts when nobody asks: the gateway itself, in one organization. */
export function asItself(gateway: GatewayContext, organizationId: string): DomainContext {
  return contextOf(gateway, { organizationId, kind: 'gateway', subject: '(credential-gateway)', scopes: new Set() });
}

/**
 * Deletes an organization with all it has. The tombstone comes first and stays: its tokens stop working, and the name is not given again.
 * Then the keys, after which no secret can be opened; then the rest. May be run again after it was cut short.
 *
 * Answers whether there was such an organization.
 */
export async function deleteOrganization(gateway: GatewayContext, organizationId: string): Promise<boolean> {
  const context = asItself(gateway, organizationId);
  const { store, now } = context;
  if (!(await store.organization.tombstone(now()))) return false;
  await store.keys.remove();
  await store.apiKeys.remove({});
  await store.audit.removeAll();
  for (const id of await store.integrations.ids({})) await store.transaction(() => removeIntegration(context, id));
  return true;
}
