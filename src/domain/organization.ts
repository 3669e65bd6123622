import { nouns, nounTable } from '../access/nouns.ts';
import { contextOf, type DomainContext, type GatewayContext } from './context.ts';
import { removeIntegration } from './integration.ts';

/** The subject of what the gateway itself does, in the audit log. */
export const GATEWAY_SUBJECT = '(credential-gateway)';

/** Returns a context in which the gateway itself acts in an organization. */
export function asItself(gateway: GatewayContext, organizationId: string): DomainContext {
  return contextOf(gateway, { organizationId, kind: 'gateway', subject: GATEWAY_SUBJECT, scopes: new Set() });
}

/**
 * Deletes an organization and all its data. First it writes a permanent tombstone, so that tokens stop working and the name is not used
 * again. Then it deletes the keys, so that no secret can be opened, and then the rest. It can be run again after an interruption.
 *
 * Returns whether the organization existed.
 */
export async function deleteOrganization(gateway: GatewayContext, organizationId: string): Promise<boolean> {
  const context = asItself(gateway, organizationId);
  const { store, now } = context;
  if (!(await store.organization.tombstone(now()))) return false;
  await store.keys.remove();
  await store.audit.removeAll();
  for (const id of await store.integrations.ids({})) await store.transaction(() => removeIntegration(context, id));
  // Records that belong to no integration, of whatever noun.
  for (const noun of nouns) await store[nounTable[noun].plural].remove({});
  return true;
}
