import type { DomainContext, GatewayContext } from './context.ts';
import { removeIntegration } from './integration.ts';

/** Who acts when nobody asks: the gateway itself, in one organization. */
export function asItself(context: GatewayContext, organizationId: string): DomainContext {
  return { ...context, viewer: { organizationId, kind: 'gateway', subject: '(credential-gateway)', scopes: new Set() } };
}

/**
 * Deletes an organization with all it has. The tombstone comes first and stays: its tokens stop working, and the name is not given again.
 * Then the keys, after which no secret can be opened; then the rest. May be run again after it was cut short.
 *
 * Answers whether there was such an organization.
 */
export async function deleteOrganization(outer: GatewayContext, organizationId: string): Promise<boolean> {
  const context = asItself(outer, organizationId);
  const { store, now } = context;
  if (!(await store.organizations.tombstone(organizationId, now()))) return false;
  await store.keyring.remove(organizationId);
  await store.apiKeys.remove(organizationId, {});
  await store.audit.removeAll(organizationId);
  for (const id of await store.integrations.ids(organizationId, {})) await store.transaction(() => removeIntegration(context, id));
  return true;
}
