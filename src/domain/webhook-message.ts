import { encodeId } from '../access/global-id.ts';
import { enumValue } from '../fields/enum-value.ts';
import { sendWebhook, type WebhookAnswer } from '../services/webhooks/index.ts';
import type { EventRecord } from '../store/event.ts';
import type { WebhookRecord, WebhookSigner } from '../store/webhook.ts';
import type { DomainContext } from './context.ts';

/** What is sent of an event, or of a test. */
export interface WebhookContent {
  /** The value of `webhook-id`: the same for each attempt, and what `Event.id` is in the API. */
  readonly id: string;
  readonly body: string;
}

/** Returns the name of an event, as Standard Webhooks recommends it: `credential.deleted`, `end_user.created`. */
export function eventName({ objectNoun, type }: Pick<EventRecord, 'objectNoun' | 'type'>): string {
  return `${enumValue(objectNoun)}.${type}`.toLowerCase();
}

/**
 * Returns what is sent of an event: names, values and ids as `Event` has them in the API, and nothing that is secret or a text of a caller, but for the subject of who did it. A webhook of
 * one integration does not learn subjects of the organization’s tokens and API keys, as a viewer does not who is limited to it.
 */
export function contentOf(event: EventRecord, { integrationId: limit }: Pick<WebhookRecord, 'integrationId'>): WebhookContent {
  const { objectNoun, objectId, integrationId, endUserId, causeNoun, causeId, createdBy, snapshot, expiry } = event;
  const id = encodeId('event', event.id);
  const actor = createdBy && {
    kind: enumValue(createdBy.kind),
    subject: limit !== null && createdBy.kind !== 'endUser' ? null : subjectOf(createdBy),
  };
  const data = {
    id,
    type: event.type,
    objectType: enumValue(objectNoun),
    objectId: encodeId(objectNoun, objectId),
    reason: event.reason,
    action: event.action,
    createdBy: actor ?? null,
    causeId: causeNoun && causeId && encodeId(causeNoun, causeId),
    integrationId: integrationId && encodeId('integration', integrationId),
    endUserId: endUserId && encodeId('endUser', endUserId),
    snapshot: snapshot && {
      ...snapshot,
      kind: snapshot.kind && enumValue(snapshot.kind),
      connectorId: snapshot.connectorId && encodeId('connector', snapshot.connectorId),
    },
    previousState: event.previousState,
    state: event.state,
    problem: event.problem,
    expiry,
  };
  return { id, body: JSON.stringify({ type: eventName(event), timestamp: event.createdAt.toISOString(), data }) };
}

function subjectOf({ kind, subject }: { readonly kind: string; readonly subject: string }): string {
  return kind === 'apiKey' || kind === 'endUser' ? encodeId(kind, subject) : subject;
}

/** Returns what is sent to test a webhook. */
export function testContent(webhookId: string, id: string, at: Date): WebhookContent {
  const data = { webhookId: encodeId('webhook', webhookId) };
  return { id: `test_${id}`, body: JSON.stringify({ type: 'webhook.test', timestamp: at.toISOString(), data }) };
}

/** Signs and sends a content to the URL of a webhook. The signal ends it. */
export async function sendTo(
  { outbound, now }: Pick<DomainContext, 'outbound' | 'now'>,
  { id: partition, url }: Pick<WebhookRecord, 'id' | 'url'>,
  signature: WebhookSigner,
  { id, body }: WebhookContent,
  signal?: AbortSignal,
): Promise<WebhookAnswer> {
  const seconds = Math.floor(now().getTime() / 1_000);
  const message = { url: new URL(url), id, seconds, signature: signature(id, seconds, body), body, partition };
  return sendWebhook(outbound, { ...message, ...(signal && { signal }) });
}

export function isDelivered(status: number | null): boolean {
  return status !== null && status >= 200 && status < 300;
}
