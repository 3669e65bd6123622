import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { newWebhookSecret, type WebhookAlgorithm, webhookAlgorithms, webhookSignature } from '../secrets/webhook-signature.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import { eventNouns, eventTypes } from './event-forms.ts';
import { type Extent, isWithin } from './extent.ts';
import { boolean, date, list, nullable, number, object, oneOf, text, type ValuesOf } from './fields.ts';
import { type Change, newId, type RecordOf, recordSchema, recordStore } from './records.ts';
import { type SecretOwner, type secretStore, type UnreadableSecret, WEBHOOK_FIELD } from './secret.ts';

/** Why the gateway has paused a webhook. The schema describes each. */
export const webhookProblems = ['FAILING', 'GONE', 'EVENTS_LOST', 'SECRET_UNREADABLE'] as const;
export type WebhookProblem = (typeof webhookProblems)[number];

/** Why an attempt got no complete answer. Those of `OutboundFailure`. */
export const deliveryFailures = [
  'INVALID_REQUEST',
  'HTTPS_REQUIRED',
  'ADDRESS_NOT_ALLOWED',
  'NAME_NOT_FOUND',
  'CONNECTION_FAILED',
  'TLS_FAILED',
  'TIMEOUT',
  'TOO_LARGE',
  'INVALID_ANSWER',
  'ABORTED',
] as const;

const secretFields = {
  /** Its place among the sealed values of the webhook. Another one for each secret, so two of them can be there. */
  field: text(),
  generation: text(),
  sealedAt: date(),
  /** Of ED25519. */
  publicKey: nullable(text()),
  /** Until when a replaced secret still signs. Null for the present one. */
  until: nullable(date()),
};
export type StoredWebhookSecret = ValuesOf<typeof secretFields>;

const fields = {
  url: text(),
  /** The types of events that it gets. */
  types: list(oneOf(eventTypes)),
  /** The integration whose events it gets. Null for those of the whole organization. */
  integrationId: nullable(text()),
  /** The nouns of whose objects it gets events: those that everybody who has decided where it leads could read. */
  nouns: list(oneOf(eventNouns)),
  /** Whether callers want deliveries. */
  enabled: boolean(),
  /** Why the gateway does not deliver, and since when. */
  problem: nullable(object({ code: oneOf(webhookProblems), since: date() })),
  algorithm: oneOf(webhookAlgorithms),
  /** The present secret, then those that were replaced. */
  secrets: list(object(secretFields)),
};

/** Where events are sent. */
export interface WebhookRecord extends RecordOf<typeof fields> {}

const deliveryFields = {
  webhookId: text(),
  integrationId: nullable(text()),
  /** The event. Null if it was a test. */
  eventId: nullable(text()),
  /** How many attempts there were for the event, with this one. */
  attempt: number(),
  /** The status of the answer. Null if there was none. */
  status: nullable(number()),
  failure: nullable(oneOf(deliveryFailures)),
  milliseconds: number(),
  /** The first bytes of the answer, as text. */
  answer: nullable(text()),
};

/** Returns the value of `webhook-signature` for the id of a message, the time at which it is sent, in seconds, and its body. */
export type WebhookSigner = (id: string, seconds: number, body: string) => string;

/** An attempt to deliver an event. Its `createdAt` is when it began. */
export interface WebhookDeliveryRecord extends RecordOf<typeof deliveryFields> {}

/** Whatever the viewer is limited to, the secrets of all credentials and webhooks: a webhook uses its own only. */
interface SecretHolder {
  readonly secrets: Pick<ReturnType<ReturnType<typeof secretStore>>, 'put' | 'removeAll' | 'unset' | 'open' | 'findUnreadable'>;
}

export function webhookStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  for (const field of ['url', 'createdAt', 'updatedAt']) schema.index({ organizationId: 1, [field]: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, createdAt: 1, _id: 1 });
  const model = database.model('Webhook', schema, 'webhooks');
  const recordsWithin = recordStore<WebhookRecord>(database, model, {
    noun: 'webhook',
    fields,
    authenticity,
    nameField: 'url',
    happenings: (record, before) => (record.secrets[0]?.field === before.secrets[0]?.field ? [] : [{ type: 'SECRET_REPLACED' }]),
  });

  return (extent: Extent, { secrets }: SecretHolder) => {
    const records = recordsWithin(extent);
    /** What a sealed secret is bound to. A webhook of the whole organization belongs to no integration. */
    const ownerOf = ({ id, integrationId }: Pick<WebhookRecord, 'id' | 'integrationId'>) => ({
      id,
      integrationId: integrationId ?? '',
      endUserId: null,
    });

    const secretOwner = (record: WebhookRecord): SecretOwner => ({
      ...ownerOf(record),
      secrets: Object.fromEntries(
        record.secrets.map(({ field, generation, sealedAt }) => [field, { fingerprint: '', sealedAt, generation }]),
      ),
    });

    async function sealed(
      webhook: Pick<WebhookRecord, 'id' | 'integrationId'>,
      algorithm: WebhookAlgorithm,
      sealedAt: Date,
    ): Promise<[StoredWebhookSecret, Redacted]> {
      const { secret, publicKey } = newWebhookSecret(algorithm);
      const field = `${WEBHOOK_FIELD}${newId()}`;
      const facts = await secrets.put(ownerOf(webhook), { [field]: secret }, sealedAt);
      return [{ field, generation: facts[field]!.generation, sealedAt, publicKey, until: null }, secret];
    }

    return {
      ...records,
      ...translatingErrors({
        /** Stores a new webhook with a new secret. Returns the secret, which no caller can read again. Call it in a transaction. */
        async issue(record: Omit<WebhookRecord, 'secrets'>): Promise<[WebhookRecord, Redacted]> {
          const whole = { ...record, secrets: [] };
          const [stored, secret] = await sealed(record, record.algorithm, record.createdAt);
          const inserted = { ...whole, secrets: [stored] };
          await records.insert(inserted);
          return [inserted, secret];
        },

        /**
         * Gives a webhook a new secret. The present one signs too until a time, and those that were replaced before are deleted.
         * @throws ConflictError when the record has changed
         */
        async reissue(record: WebhookRecord, until: Date, change: Change): Promise<[WebhookRecord, Redacted]> {
          const [present, ...others] = record.secrets;
          const [stored, secret] = await sealed(record, record.algorithm, change.updatedAt);
          const isKept = present !== undefined && until > change.updatedAt;
          const dropped = isKept ? others : record.secrets;
          const updated = await records.update(record, { secrets: [stored, ...(isKept ? [{ ...present, until }] : [])] }, change);
          await secrets.unset(
            record.id,
            dropped.map(({ field }) => field),
          );
          return [updated, secret];
        },

        /**
         * Returns a function that signs deliveries with all secrets that are valid at a time, without returning them: the value of `webhook-signature`.
         * @throws UnreadableSecretError when one cannot be opened
         */
        async signer(record: WebhookRecord, now: Date): Promise<WebhookSigner> {
          if (!isWithin(extent, record)) throw new UnreadableSecretError('its ciphertext is missing');
          const signing = record.secrets.filter(({ until }) => until === null || until > now);
          if (signing.length === 0) throw new UnreadableSecretError('its ciphertext is missing');
          const owner = secretOwner(record);
          const opened = await Promise.all(signing.map(({ field }) => secrets.open(owner, field)));
          return (id, seconds, body) => opened.map((secret) => webhookSignature(secret, id, seconds, body)).join(' ');
        },

        /** Opens all secrets of these webhooks, and returns those that cannot be opened. */
        async findUnreadable(all: readonly WebhookRecord[]): Promise<UnreadableSecret[]> {
          return secrets.findUnreadable(all.map(secretOwner));
        },

        /** Deletes webhooks with their secrets. Returns their ids. */
        async removeWhole(filter: Parameters<typeof records.ids>[0]): Promise<string[]> {
          const ids = await records.ids(filter);
          await secrets.removeAll(ids);
          for (const id of ids) await records.remove({ id });
          return ids;
        },
      }),
    };
  };
}

export function webhookDeliveryStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(deliveryFields);
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, webhookId: 1, createdAt: 1, _id: 1 });
  const model = database.model('WebhookDelivery', schema, 'webhookDeliveries');
  const records = recordStore<WebhookDeliveryRecord>(database, model, {
    noun: 'webhookDelivery',
    fields: deliveryFields,
    authenticity,
    nameField: 'webhookId',
  });
  return (extent: Extent) => ({
    ...records(extent),
    ...translatingErrors({
      /** Deletes the attempts of a webhook, except for so many of the newest. One read by an index if there are no more. */
      async keepNewest(webhookId: string, count: number): Promise<void> {
        const all = database.collection<{ readonly _id: string; readonly createdAt: Date }>('webhookDeliveries');
        const where = { organizationId: extent.organizationId, webhookId };
        const newestFirst = { createdAt: -1, _id: -1 } as const;
        const [first] = await all.find(where, { sort: newestFirst, skip: count, limit: 1, projection: { createdAt: 1 } }).toArray();
        if (!first) return;
        const isBefore = { $or: [{ createdAt: { $lt: first.createdAt } }, { createdAt: first.createdAt, _id: { $lte: first._id } }] };
        await all.deleteMany({ ...where, ...isBefore });
      },
    }),
  });
}
