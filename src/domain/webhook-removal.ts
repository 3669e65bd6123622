import type { WebhookRecord } from '../store/webhook.ts';
import type { DomainContext } from './context.ts';

/** Deletes webhooks with their secrets, in the caller's transaction. A job deletes the rest, which can be much. */
export async function removeWebhooks(
  { store }: DomainContext,
  filter: { readonly id: string } | Partial<Pick<WebhookRecord, 'integrationId'>>,
): Promise<void> {
  const ids = await store.webhooks.removeWhole(filter);
  for (const id of ids) await store.webhookQueue.setActive(id, false);
}
