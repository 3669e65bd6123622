import { readScope } from '../access/scopes.ts';
import { may } from '../access/viewer.ts';
import { ForbiddenError, NotFoundError, UnreadableSecretError, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, type Choices, choice, choiceList, flag, type InputOf, integer, text } from '../fields/field.ts';
import type { Redacted } from '../redacted.ts';
import type { OutboundFailure } from '../services/outbound/index.ts';
import type { WebhookDeliveryRecord, WebhookProblem, WebhookRecord } from '../store/webhook.ts';
import type { DomainContext } from './context.ts';
import { eventTypeChoices, readableNouns } from './events.ts';
import { type FieldsIn, urlText } from './fields.ts';
import { beforeChanges, type MutationContext, mutate } from './mutate.ts';
import { actorOf, type EvenAltered, expectVersion, newRecord, readsOf, required, type Target, updateRecord } from './records.ts';
import { type IntegrationRef, requireIntegration } from './references.ts';
import { givenUrl } from './use-site.ts';
import { at, Checks } from './validation.ts';
import { sendTo, testContent } from './webhook-message.ts';
import { removeWebhooks } from './webhook-removal.ts';

export { deliveryFailures, webhookProblems } from '../store/webhook.ts';

const algorithms = {
  enumName: 'WebhookAlgorithm',
  description: 'How deliveries of a webhook are signed.',
  values: {
    HMAC_SHA256: 'With a secret that the receiver has too (`v1` of Standard Webhooks).',
    ED25519: 'With a private key that never leaves the gateway. Receivers verify with the public key (`v1a` of Standard Webhooks).',
  },
} as const satisfies Choices<WebhookRecord['algorithm']>;

/** The fields of a webhook that callers write. */
export const webhookFields = {
  url: text({
    ...urlText,
    description:
      'Where events are sent: an https URL without user name, password and fragment. It is shown to everybody who can read the webhook.',
  }),
  types: choiceList({
    choices: eventTypeChoices,
    optional: true,
    default: [],
    minItems: 0,
    maxItems: Object.keys(eventTypeChoices.values).length,
    description: 'Only events of these types. Empty for all.',
  }),
  enabled: flag({
    optional: true,
    default: true,
    description: 'Whether events are sent. While it is false, they are kept, as long as events are.',
  }),
} satisfies FieldsIn<WebhookRecord>;
export const newWebhookFields = {
  ...webhookFields,
  algorithm: choice({
    choices: algorithms,
    optional: true,
    default: 'HMAC_SHA256',
    description: 'How deliveries are signed. It never changes.',
  }),
} satisfies FieldsIn<WebhookRecord>;
/** For how long a replaced secret still signs. */
export const webhookOverlapSeconds = integer({
  optional: true,
  default: 24 * 60 * 60,
  min: 0,
  max: 7 * 24 * 60 * 60,
  description: 'For how many seconds the old secret still signs, beside the new one. Use 0 for a leaked secret.',
});

/** What is wrong with a webhook, for people. */
export const webhookProblemMessages: Readonly<Record<WebhookProblem, string>> = {
  FAILING: 'An event could not be delivered for two days. `deliveries` says why; when the receiver works again, resume the webhook.',
  GONE: 'The receiver has answered with status 410. Delete the webhook, or resume it when the receiver works again.',
  EVENTS_LOST:
    'Events were deleted, because they were too old, before they were delivered. Compare your data with the objects, and resume the webhook.',
  SECRET_UNREADABLE: 'Its secret cannot be opened. Rotate it, and resume the webhook.',
};

/** Why a delivery got no answer, for people. */
export const deliveryFailureMessages: Readonly<Record<OutboundFailure, string>> = {
  INVALID_REQUEST: 'It is not a valid request.',
  HTTPS_REQUIRED: 'The URL is not https.',
  ADDRESS_NOT_ALLOWED: 'The host, or one of its addresses, is not public, and OUTBOUND_ALLOWED_ADDRESSES does not contain it.',
  NAME_NOT_FOUND: 'The name of the host was not found.',
  CONNECTION_FAILED: 'There was no connection, or it was closed.',
  TLS_FAILED: 'TLS failed, for example because of the certificate.',
  TIMEOUT: 'There was no answer in time.',
  TOO_LARGE: 'The answer was too large.',
  INVALID_ANSWER: 'The answer was not HTTP.',
  ABORTED: 'The gateway has ended it.',
};

/** A new secret of a webhook. It is shown once. */
export interface IssuedWebhook {
  readonly webhook: WebhookRecord;
  /** Null with ED25519: the gateway keeps the private key. */
  readonly secret: Redacted | null;
}

/**
 * Creates a webhook, and begins to deliver what happens from now on. It gets events of those nouns only that the viewer can read.
 * @throws ValidationError, InvalidIntegrationError, ForbiddenError when the viewer can read none
 */
export async function createWebhook(
  context: MutationContext,
  input: InputOf<typeof newWebhookFields> & { readonly integration?: IntegrationRef | null },
): Promise<IssuedWebhook> {
  const { store, viewer } = context;
  const { integration: ref, ...given } = input;
  const nouns = readableNouns(viewer);
  if (nouns.length === 0) throw new ForbiddenError(readScope('credential'));
  const checks = new Checks(context);
  const checked = await checks.run(() => checkInput(newWebhookFields, given));
  await checks.run(() => checkUrl(context, checked?.url));
  await checks.run(() => {
    if (viewer.confinedTo && !ref)
      throw new ValidationError([{ path: ['integration'], message: 'must be given by a viewer who is limited to one' }]);
  });
  const findIntegration = () => ref && requireIntegration(context, ref, ['integration']);
  const issue = async () => {
    const integration = await findIntegration();
    // A deletion of the integration or the organization writes the same document, so no webhook can be left over.
    if (integration) await store.slots.attach(integration.id);
    else await store.organization.touch();
    const base = { ...newRecord(context), ...checked! };
    const record = { ...base, integrationId: integration?.id ?? null, nouns, problem: null };
    const [webhook, secret] = await store.webhooks.issue(record);
    await store.webhookQueue.begin(webhook.id, (await context.events.range()).newest);
    if (!webhook.enabled) await store.webhookQueue.setActive(webhook.id, false);
    return { id: webhook.id, ...issued(webhook, secret) };
  };
  const make = async () => {
    await beforeChanges(async () => findIntegration());
    // What has happened before gets its position before.
    await beforeChanges(() => context.events.prepare());
    return mutate(context, issue);
  };
  return checks.thenMake(make, [findIntegration]);
}

/** @throws ValidationError, NotFoundError, ConflictError, ForbiddenError */
export async function updateWebhook(
  context: MutationContext,
  input: Target<'webhook', string> & ChangesOf<typeof webhookFields>,
): Promise<WebhookRecord> {
  const { webhook: id, expectedVersion, ...changes } = input;
  const { store } = context;
  const checks = new Checks(context);
  const checked = await checks.run(() => checkChanges(webhookFields, changes));
  await checks.run(() => checkUrl(context, checked?.url));
  const change = () =>
    mutate(context, async () => {
      const record = await requireWebhook(context, id);
      expectVersion(record, expectedVersion);
      requireItsNouns(context, record);
      const updated = await updateRecord(context, store.webhooks, record, checked!);
      if (updated.enabled !== record.enabled) await store.webhookQueue.setActive(id, isActive(updated));
      return updated;
    });
  return checks.thenMake(change, [() => requireWebhook(context, id)]);
}

/** @throws NotFoundError, ConflictError */
export async function deleteWebhook(
  context: MutationContext,
  { webhook: id, expectedVersion, ...rest }: Target<'webhook', string>,
): Promise<string> {
  refuseUnknown(rest);
  return mutate(context, async () => {
    expectVersion(await requireWebhook(context, id, 'evenAltered'), expectedVersion);
    await removeWebhooks(context, { id });
    return id;
  });
}

/** Replaces the secret. The old one still signs for a time. @throws ValidationError, NotFoundError, ConflictError, ForbiddenError */
export async function rotateWebhookSecret(
  context: MutationContext,
  { webhook: id, expectedVersion, ...given }: Target<'webhook', string> & { readonly overlapSeconds?: number | null },
): Promise<IssuedWebhook> {
  const { store, now } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput({ overlapSeconds: webhookOverlapSeconds }, given));
  const reissue = async () => {
    const record = await requireWebhook(context, id);
    expectVersion(record, expectedVersion);
    requireItsNouns(context, record);
    const updatedAt = now();
    const until = new Date(updatedAt.getTime() + valid!.overlapSeconds * 1_000);
    const [webhook, secret] = await store.webhooks.reissue(record, until, { updatedAt, updatedBy: actorOf(context) });
    return { id, ...issued(webhook, secret) };
  };
  return checks.thenMake(() => mutate(context, reissue), [() => requireWebhook(context, id)]);
}

/** Ends what the gateway has paused, and tries everything that waits at once. @throws NotFoundError, ConflictError, ForbiddenError */
export async function resumeWebhook(
  context: MutationContext,
  { webhook: id, expectedVersion, ...rest }: Target<'webhook', string>,
): Promise<WebhookRecord> {
  refuseUnknown(rest);
  const { store, now } = context;
  return mutate(context, async () => {
    const record = await requireWebhook(context, id);
    expectVersion(record, expectedVersion);
    requireItsNouns(context, record);
    const updated = await updateRecord(context, store.webhooks, record, { enabled: true, problem: null });
    await store.webhookQueue.restart(id, (await context.events.range()).removed, now());
    return updated;
  });
}

/** Which events are delivered again. Exactly one member is set. */
export interface Redelivery {
  readonly event?: string;
  readonly since?: Date;
}

/**
 * Delivers one event, or all since a time, again, whether or not they were delivered. Events of nouns and integrations that the webhook does not get are
 * left out.
 *
 * @throws ValidationError, NotFoundError, ConflictError, ForbiddenError
 */
export async function redeliver(
  context: MutationContext,
  { webhook: id, expectedVersion, redelivery, ...rest }: Target<'webhook', string> & { readonly redelivery: Redelivery },
): Promise<WebhookRecord> {
  refuseUnknown(rest);
  const { store, now } = context;
  const { event: eventId, since, ...others } = redelivery;
  const missing = new NotFoundError('event', ['redelivery', 'event']);
  const checks = new Checks(context);
  await checks.run(() => at(['redelivery'], () => refuseUnknown(others)));
  const findEvent = async () => eventId !== undefined && required(await store.events.one({ id: eventId }), missing);
  const change = () =>
    mutate(context, async () => {
      const record = await requireWebhook(context, id);
      expectVersion(record, expectedVersion);
      requireItsNouns(context, record);
      if (!isActive(record)) throw new ValidationError([{ path: ['webhook'], message: 'is paused or disabled: resume it first' }]);
      const event = await findEvent();
      if (event) {
        if (!gets(record, event)) throw missing;
        const place = { eventId: event.id, position: event.position, object: `${event.objectNoun} ${event.objectId}` };
        await store.webhookQueue.add(id, place, now());
      } else {
        await store.webhookQueue.rewind(id, await context.events.positionAt(since!));
      }
      return record;
    });
  return checks.thenMake(change, [() => requireWebhook(context, id), findEvent]);
}

/** Whether a webhook may get an event, whatever its type: of an object that those could read who decided where it leads. */
export function gets(
  { nouns, integrationId }: Pick<WebhookRecord, 'nouns' | 'integrationId'>,
  event: { readonly objectNoun: WebhookRecord['nouns'][number]; readonly integrationId: string | null },
): boolean {
  return nouns.includes(event.objectNoun) && (integrationId === null || event.integrationId === integrationId);
}

/**
 * Sends a test event, and returns how the receiver has answered. It is in the audit log before it is sent.
 * @throws NotFoundError, ForbiddenError, AlteredRecordError, ValidationError when its secret cannot be opened
 */
export async function testWebhook(
  context: MutationContext,
  { webhook: id, ...rest }: { readonly webhook: string },
): Promise<WebhookDeliveryRecord> {
  refuseUnknown(rest);
  const { store, now } = context;
  const webhook = await mutate(context, async () => {
    const record = await requireWebhook(context, id);
    requireItsNouns(context, record);
    return record;
  });
  const entry = newRecord(context);
  const signature = await store.webhooks.signer(webhook, now()).catch((error: unknown) => {
    if (!(error instanceof UnreadableSecretError)) throw error;
    throw new ValidationError([{ path: ['webhook'], message: 'has a secret that cannot be opened. Rotate it' }]);
  });
  const {
    status,
    failure,
    milliseconds,
    text: answer,
  } = await sendTo(context, webhook, signature, testContent(id, entry.id, entry.createdAt));
  const { integrationId } = webhook;
  const delivery = { ...entry, webhookId: id, integrationId, eventId: null, attempt: 1, status, failure, milliseconds, answer };
  await store.webhookDeliveries.insert(delivery);
  return delivery;
}

export function findWebhook({ store }: DomainContext, id: string, altered?: EvenAltered): Promise<WebhookRecord | null> {
  return readsOf(store.webhooks, altered).one({ id });
}

export function isActive({ enabled, problem }: Pick<WebhookRecord, 'enabled' | 'problem'>): boolean {
  return enabled && problem === null;
}

async function requireWebhook(context: DomainContext, id: string, altered?: EvenAltered): Promise<WebhookRecord> {
  return required(await findWebhook(context, id, altered), new NotFoundError('webhook', ['webhook']));
}

/**
 * Requires that the viewer can read whatever the webhook gets: who decides where it leads gets it.
 * @throws ForbiddenError
 */
function requireItsNouns({ viewer }: DomainContext, { nouns }: WebhookRecord): void {
  const missing = nouns.map(readScope).find((scope) => !may(viewer, scope));
  if (missing) throw new ForbiddenError(missing);
}

/** @throws ValidationError when requests to the URL would be refused, or programs could read it differently */
function checkUrl({ policy }: DomainContext, url: string | undefined): void {
  if (url === undefined) return;
  const parsed = givenUrl(url);
  const isAllowed = parsed?.protocol === 'https:' || policy.allowsHttp;
  const message = parsed ? 'must be an https URL' : 'must have its host in the standard form, and no characters that URL parsers replace';
  if (!parsed || !isAllowed) throw new ValidationError([{ path: ['url'], message }]);
}

function issued(webhook: WebhookRecord, secret: Redacted): IssuedWebhook {
  return { webhook, secret: webhook.algorithm === 'ED25519' ? null : secret };
}
