import { nouns, nounTable } from '../access/nouns.ts';
import { GATEWAY_SUBJECT } from '../store/actor.ts';
import { contextOf, type DomainContext, type GatewayContext } from './context.ts';
import { removeIntegration } from './integration.ts';
import { recordPlatformEvent } from './platform.ts';
import { removeWebhooks } from './webhook-removal.ts';

export { GATEWAY_SUBJECT };

/** Returns a context in which the gateway itself acts in an organization. */
export function asItself(gateway: GatewayContext, organizationId: string): DomainContext {
  return contextOf(gateway, { organizationId, kind: 'gateway', subject: GATEWAY_SUBJECT, scopes: new Set() });
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
      await store.revocations.announce(null, now());
      await recordPlatformEvent(gateway, { action: 'deleteOrganization', subject: operator, organization: organizationId, details });
    });
  }
  gateway.revocations.addDeleted(organizationId);
  await store.keys.remove();
  await store.audit.removeAll();
  // Nobody could read events about it: no token is valid any more.
  await gateway.stores.outbox.silently(async () => {
    for (const id of await store.integrations.ids({})) await store.transaction(() => removeIntegration(context, id));
    await store.transaction(() => removeWebhooks(context, {}));
    // Records that belong to no integration, of whatever noun.
    for (const noun of nouns) await store[nounTable[noun].plural].remove({});
  });
  await store.events.removeAll();
  await store.revocations.remove({});
  await store.authorizations.removeAll({});
  await store.leases.removeAll();
  await store.idempotency.removeAll();
  await store.webhookQueue.forget();
  await store.organization.forgetCounts();
  return true;
}

/** How often each copy of the gateway counts what an organization stores, in milliseconds. */
const RECOUNT_MS = 24 * 60 * 60_000;

/**
 * Returns a job that corrects the counts of what organizations store: of one organization at a time, and of each once a day. They are wrong
 * only if an older version of the gateway, which does not count, has written meanwhile.
 */
export function createRecount(gateway: GatewayContext): () => Promise<void> {
  const countedAt = new Map<string, number>();
  return async () => {
    const now = gateway.now().getTime();
    const due = (await gateway.stores.liveOrganizations()).find(
      (id) => now - (countedAt.get(id) ?? Number.NEGATIVE_INFINITY) >= RECOUNT_MS,
    );
    if (due === undefined) return;
    countedAt.set(due, now);
    await asItself(gateway, due).store.organization.recount();
  };
}
