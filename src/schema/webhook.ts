import { readScope } from '../access/scopes.ts';
import { eventNouns } from '../domain/events.ts';
import type { RecordOf } from '../domain/reading.ts';
import {
  createWebhook,
  deleteWebhook,
  deliveryFailureMessages,
  type IssuedWebhook,
  newWebhookFields,
  type Redelivery,
  redeliver,
  resumeWebhook,
  rotateWebhookSecret,
  testWebhook,
  updateWebhook,
  webhookFields,
  webhookOverlapSeconds,
  webhookProblemMessages,
} from '../domain/webhook.ts';
import { ConflictError, InvalidIntegrationError, NotFoundError, ValidationError } from '../errors.ts';
import { boundsOf } from '../fields/field.ts';
import { eventObjectType } from './event.ts';
import { describedBy } from './kit/closed-sets.ts';
import { byReference } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { readsId } from './kit/input.ts';
import { MUTATION_COST } from './kit/mutation.ts';
import { recordFields, recordSortFields } from './kit/record-fields.ts';

/** Who decides where events are sent gets them. */
const READS_EVENTS = ['events.get'] as const;
/** Whatever the webhook gets, at most. */
const READS_OBJECTS = eventNouns.map(readScope);
/** A request to a third party. */
const REQUEST_COST = 100;
/** Many of them, later. */
const REPLAY_COST = 1_000;

/** Adds `Webhook`, its queries, its mutations and its deliveries. */
export function addWebhook(kit: Kit): void {
  const { builder, event, fields, input, integration, mutation, node, webhook, webhookDelivery } = kit;
  const problemCode = builder.enumType('WebhookProblemCode', {
    description: 'Why the gateway has paused a webhook.',
    values: describedBy(webhookProblemMessages),
  });
  const problem = builder.objectRef<NonNullable<RecordOf['webhook']['problem']>>('WebhookProblem').implement({
    description: 'Why the gateway has paused a webhook.',
    fields: (t) => ({
      code: t.expose('code', { type: problemCode, description: 'Why, for programs.' }),
      message: t.string({ description: 'The same for people.', resolve: ({ code }) => webhookProblemMessages[code] }),
      since: t.expose('since', { type: 'DateTime', description: 'Since when.' }),
    }),
  });

  webhook.implement({
    description:
      'A URL to which events are sent, as Standard Webhooks (https://www.standardwebhooks.com) says: at least once, and those of one object in order. What cannot be delivered is tried again for two days. Then the webhook is paused with a problem, and nothing is lost for as long as events are kept.',
    fields: (t) => ({
      ...fields.outputFields(t, newWebhookFields),
      objectTypes: t.field({
        type: [eventObjectType(kit)],
        description: 'Only events of objects of these types: those that its creator could read. If it is empty, it gets none.',
        resolve: ({ nouns }) => [...nouns],
      }),
      integration: integration.related(t, {
        description: 'The integration whose events it gets. Null if it gets those of the whole organization.',
        id: ({ integrationId }) => integrationId,
      }),
      problem: t.expose('problem', {
        type: problem,
        nullable: true,
        description: 'Why the gateway has paused it, until somebody resumes it. Null if it has not.',
      }),
      publicKey: t.string({
        nullable: true,
        description: 'The key with which receivers verify, as `whpk_…`, with ED25519. Null with HMAC_SHA256.',
        resolve: ({ secrets }) => secrets[0]?.publicKey ?? null,
      }),
      previousSecretUntil: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'The replaced secret signs until this time, beside the present one. Null if none was kept.',
        resolve: ({ secrets }) => secrets[1]?.until ?? null,
      }),
      deliveries: webhookDelivery.relatedPage(t, {
        description: 'The attempts to deliver events and tests, newest first. They are kept for seven days, the newest 10,000 at most.',
        filter: ({ id }) => ({ webhookId: id }),
      }),
    }),
  });

  const failure = builder.enumType('WebhookDeliveryFailure', {
    description: 'Why an attempt got no answer.',
    values: describedBy(deliveryFailureMessages),
  });
  webhookDelivery.type.implement({
    description: 'An attempt to deliver an event to a webhook. It was successful if the status is between 200 and 299.',
    interfaces: [node],
    authScopes: { scope: 'webhookDeliveries.get' },
    fields: (t) => {
      const { id, integrity, createdAt } = recordFields('webhookDelivery', builder)(t);
      return {
        id,
        integrity,
        createdAt,
        webhookId: t.id({ description: 'The global id of the webhook.', resolve: ({ webhookId }) => encodeId('webhook', webhookId) }),
        webhook: webhook.related(t, { description: 'The webhook. Null if it was deleted.', id: ({ webhookId }) => webhookId }),
        eventId: t.id({
          nullable: true,
          description: 'The global id of the event. Null if it was a test.',
          resolve: ({ eventId }) => eventId && encodeId('event', eventId),
        }),
        event: event.related(t, {
          description: 'The event. Null if it was a test, or if the event is not kept any more.',
          id: ({ eventId }) => eventId,
        }),
        attempt: t.exposeInt('attempt', { description: 'How many attempts there were for the event, with this one.' }),
        status: t.exposeInt('status', { nullable: true, description: 'The HTTP status of the answer. Null if there was none.' }),
        failure: t.expose('failure', { type: failure, nullable: true, description: 'Why there was no answer. Null if there was one.' }),
        milliseconds: t.exposeInt('milliseconds', { description: 'How long it took, in milliseconds.' }),
        answer: t.exposeString('answer', {
          nullable: true,
          description:
            'The first 1,024 bytes of the answer, as text, with control characters replaced. The receiver has written it: do not trust it. Null if there was none, or if it is compressed.',
        }),
      };
    },
  });

  webhook.one('Returns a webhook, without its secret. Null if not found.');
  const { NAME: _, ...sortFields } = recordSortFields;
  webhook.list({
    description:
      'Lists the webhooks, without their secrets. Indexed: every sort, and newest first within an integration. Other combinations can have short pages: see `WebhookPage`.',
    filters: { integration: byReference(integration.reference, 'integrationId', 'Only webhooks of this integration.') },
    sort: { fields: sortFields },
  });

  const issued = builder.objectRef<IssuedWebhook>('IssuedWebhook').implement({
    description: 'A webhook with its new secret. The secret cannot be read again; do not log or cache it.',
    authScopes: { scope: 'events.get' },
    fields: (t) => ({
      webhook: t.field({
        type: webhook.type,
        description: 'The webhook. Scope: `webhooks.get`.',
        authScopes: { scope: 'webhooks.get' },
        resolve: (source) => source.webhook,
      }),
      webhookId: t.id({
        description: 'The global id of the webhook. Requires no further scope.',
        resolve: (source) => encodeId('webhook', source.webhook.id),
      }),
      secret: t.string({
        nullable: true,
        description:
          'The secret with which the receiver verifies, as `whsec_…`. Null with ED25519, whose private key never leaves the gateway.',
        resolve: ({ secret }) => secret?.expose() ?? null,
      }),
      publicKey: t.string({
        nullable: true,
        description: 'The key with which the receiver verifies, as `whpk_…`, with ED25519. Not secret. Null with HMAC_SHA256.',
        resolve: (source) => source.webhook.secrets[0]!.publicKey,
      }),
    }),
  });
  const issuedSuccess = { field: 'issued', type: issued, description: 'The webhook, with its secret. It is returned only once.' } as const;

  mutation('createWebhook', {
    description:
      'Creates a webhook. It gets what happens from now on, beginning with its own event `webhook.created`, and only to objects of types that you can read (`objectTypes`). No wildcard covers the scope of this mutation, because the webhook gets events after your token has expired.',
    scope: 'webhooks.post',
    cost: 100,
    perRequest: 1,
    inputDescription: 'A new webhook.',
    input: {
      ...fields.inputFields(newWebhookFields),
      integration: integration.member({
        description:
          'Only events of objects of this integration, and of itself. A viewer who is limited to an integration must give it. Deleting the integration deletes the webhook.',
      }),
    },
    alsoNeeds: () => READS_EVENTS,
    mayNeed: () => READS_OBJECTS,
    success: issuedSuccess,
    errors: [ValidationError, InvalidIntegrationError, ConflictError],
    audit: 'webhook',
    run: createWebhook,
  });
  webhook.update({
    description:
      'Changes a webhook. You must be able to read whatever it gets: `events.get`, and the objects of all types that it gets. Disabling it keeps its events, as long as events are kept.',
    input: fields.inputFields(webhookFields, { partial: true }),
    alsoNeeds: () => READS_EVENTS,
    mayNeed: () => READS_OBJECTS,
    errors: [ValidationError, NotFoundError, ConflictError],
    run: updateWebhook,
  });
  webhook.remove({
    description: 'Deletes a webhook with its secrets, permanently.',
    errors: [ValidationError, NotFoundError, ConflictError],
    run: deleteWebhook,
  });
  mutation('rotateWebhookSecret', {
    description:
      'Gives a webhook a new secret. For a time, deliveries have the signatures of both. You must be able to read whatever the webhook gets.',
    scope: 'webhooks.patch',
    cost: 100,
    perRequest: 1,
    inputDescription: 'The webhook.',
    input: {
      ...webhook.which(),
      overlapSeconds: input.int({
        defaultValue: webhookOverlapSeconds.default,
        description: `${webhookOverlapSeconds.description} ${boundsOf(webhookOverlapSeconds)}`,
      }),
    },
    alsoNeeds: () => READS_EVENTS,
    mayNeed: () => READS_OBJECTS,
    success: issuedSuccess,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'webhook',
    run: rotateWebhookSecret,
  });

  const changed = { field: 'webhook', type: webhook.type, description: 'The webhook.' } as const;
  mutation('resumeWebhook', {
    description:
      'Enables a webhook, also one that the gateway has paused, and tries what waits at once. Events that were deleted meanwhile are not delivered. You must be able to read whatever the webhook gets.',
    scope: 'webhooks.patch',
    inputDescription: 'The webhook.',
    input: webhook.which(),
    alsoNeeds: () => READS_EVENTS,
    mayNeed: () => READS_OBJECTS,
    success: changed,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'webhook',
    run: resumeWebhook,
  });
  const redelivery = builder.inputRef<Redelivery, false>('Redelivery').implement({
    description: 'Which events are delivered again: exactly one of the fields.',
    isOneOf: true,
    fields: (t) => ({
      event: t.id({ description: 'The global id of one event, of any type that the webhook could get.', extensions: readsId('event') }),
      since: t.field({
        type: 'DateTime',
        description: 'All events since this time that are still kept, of the types of the webhook, also from before it was created.',
      }),
    }),
  });
  mutation('redeliver', {
    description:
      'Delivers events again, with the same ids, whether or not they were delivered. The webhook must be enabled and not paused. You must be able to read whatever the webhook gets.',
    scope: 'webhooks.patch',
    cost: ({ redelivery }) => (redelivery.since ? REPLAY_COST : MUTATION_COST),
    inputDescription: 'The webhook, and the events.',
    input: {
      ...webhook.which(),
      redelivery: input.field({ type: redelivery, required: true, description: 'The events.' }),
    },
    alsoNeeds: () => READS_EVENTS,
    mayNeed: () => READS_OBJECTS,
    success: changed,
    errors: [ValidationError, NotFoundError, ConflictError],
    audit: 'webhook',
    run: redeliver,
  });
  mutation('testWebhook', {
    description: 'Sends an event `webhook.test` at once, and returns how the receiver has answered. It works for a paused webhook, too.',
    scope: 'webhooks.patch',
    cost: REQUEST_COST,
    inputDescription: 'The webhook.',
    input: { webhook: webhook.member({ required: true, description: 'The webhook.' }) },
    alsoNeeds: () => [...READS_EVENTS, 'webhookDeliveries.get'],
    mayNeed: () => READS_OBJECTS,
    success: { field: 'delivery', type: webhookDelivery.type, description: 'The attempt.' },
    errors: [ValidationError, NotFoundError],
    audit: 'webhook',
    run: testWebhook,
  });
}
