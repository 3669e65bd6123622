import { nouns, nounTable } from '../access/nouns.ts';
import { contextOf, type DomainContext, type GatewayContext } from './context.ts';
import { removeIntegration } from './integration.ts';
import { recordPlatformEvent } from './platform.ts';

/** Returns a context in which the gateway itself acts in an organization. */
export function asItself(gateway: GatewayContext, organizationId: string): DomainContext {
  return contextOf(gateway, { organizationId, kind: 'gateway', subject: '(credential-gateway)', scopes: new Set() });
}

/**
 * Deletes an organization and all its data. First it writes a permanent tombstone, so that tokens stop working and the name is not used
 * again, together with an entry in the log of the platform, which keeps the end of the organization's own log. Then it deletes the keys, so
 * that no secret can be opened, and then the rest. It can be run again after an interruption.
 *
 * Returns whether the organization existed. `operator` is who deletes it.
 *
 * @throws PlatformLogMissingError
 */
export async function deleteOrganization(gateway: GatewayContext, organizationId: string, operator: string): Promise<boolean> {
  const context = asItself(gateway, organizationId);
  const { store, now } = context;
  const state = await store.organization.state();
  if (state === 'unknown') return false;
  if (state === 'live') {
    // A log that cannot be sealed must not keep an organization from being deleted.
    await store.audit.seal(now()).catch(() => undefined);
    const entries = await store.audit.count();
    const head = await store.audit.lastHead();
    const details = JSON.stringify({ auditEntries: entries, auditHead: head });
    await store.transaction(async () => {
      await store.organization.tombstone(now());
      await recordPlatformEvent(gateway, { action: 'deleteOrganization', subject: operator, organization: organizationId, details });
    });
  }
  await store.keys.remove();
  await store.audit.removeAll();
  for (const id of await store.integrations.ids({})) await store.transaction(() => removeIntegration(context, id));
  // Records that belong to no integration, of whatever noun.
  for (const noun of nouns) await store[nounTable[noun].plural].remove({});
  return true;
}
