import type { Redacted } from '../redacted.ts';
import { apiKeyHash, newAPIKey } from '../secrets/api-key.ts';
import { sameText } from '../secrets/same-text.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import { type Extent, within } from './extent.ts';
import { date, list, nullable, object, oneOf, optional, text, type ValuesOf } from './fields.ts';
import { type Change, type RecordOf, recordSchema, recordStore, viewerKinds } from './records.ts';

const receiver = {
  /** The `sub` of the issuer's token. */
  subject: text(),
  at: date(),
};

/** A subject of the issuer's tokens that received a key, or another key with which this one was created or replaced, and when. */
export type Receiver = ValuesOf<typeof receiver>;

const fields = {
  name: text(),
  /** The scopes and wildcards that it grants. */
  scopes: list(text()),
  /** The integration that it is limited to. Null if not limited. */
  integrationId: nullable(text()),
  /** It is refused from this time on. Null if it does not expire. */
  expiresAt: nullable(date()),
  /** To the minute. Null if never used. */
  lastUsedAt: nullable(date()),
  hash: text(),
  /** The hash of the replaced key, which is accepted until `previousUntil`. */
  previousHash: nullable(text()),
  previousUntil: nullable(date()),
  /** Who created it. Absent if it was created before this was stored. */
  createdByKind: optional(oneOf(viewerKinds)),
  createdBySubject: optional(text()),
  /** Who received the present key. Absent if it was created before this was stored. */
  receivers: optional(list(object(receiver))),
  /** Who received the replaced key. */
  previousReceivers: optional(list(object(receiver))),
  /** The API key that created it, the one that created that one, and so on. It is valid only while they all are. */
  ancestors: optional(list(text())),
};

/** A key that authenticates a service that cannot get tokens. Only a hash of the key is stored. */
export interface APIKeyRecord extends RecordOf<typeof fields> {}

/** A key, and the hash of the secret that was presented. */
type VerifiedAPIKey = APIKeyRecord & { readonly keyHash: string };

/** A key that is in constant use causes one write in this time. */
const LAST_USED_MILLISECONDS = 60_000;

export function apiKeyStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  for (const field of ['name', 'createdAt', 'updatedAt']) schema.index({ organizationId: 1, [field]: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, ancestors: 1 });
  for (const whose of ['createdBySubject', 'receivers.subject', 'previousReceivers.subject'])
    schema.index({ organizationId: 1, [whose]: 1 });
  const model = database.model('APIKey', schema, 'apiKeys');
  const recordsWithin = recordStore<APIKeyRecord>(database, model, {
    noun: 'apiKey',
    fields,
    authenticity,
    // Written by `verify`. It is shown and decides nothing.
    unauthenticated: ['lastUsedAt'],
    happenings: (record, before) => (record.hash === before.hash ? [] : [{ type: 'SECRET_REPLACED' }]),
  });
  return (extent: Extent) => {
    const { organizationId } = extent;
    const records = recordsWithin(extent);
    return {
      ...records,
      ...translatingErrors({
        /** Stores a new key's record. Returns the key, which cannot be read again. @throws DuplicateKeyError when the name is already in use */
        async issue(record: Omit<APIKeyRecord, keyof KeptHashes>): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          return [await records.insert({ ...record, hash, previousHash: null, previousUntil: null }), key];
        },

        /** Replaces the key. The old one is accepted until `previousUntil`. @throws ConflictError when the record has changed */
        async reissue(
          record: APIKeyRecord,
          previousUntil: Date,
          change: Change,
          receivers: readonly Receiver[],
        ): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          const previousReceivers = record.receivers ?? [];
          const kept = { hash, previousHash: record.hash, previousUntil, receivers, previousReceivers };
          return [await records.update(record, kept, change), key];
        },

        /** Returns the keys of which a subject received the present or the replaced one, also altered ones. */
        async receivedBy(subject: string): Promise<APIKeyRecord[]> {
          const conditions = { $or: [{ 'receivers.subject': subject }, { 'previousReceivers.subject': subject }] };
          const found = await model.find({ ...within(extent), ...conditions }, { _id: 1 }).lean();
          return records.evenAltered.byIds(found.map(({ _id }) => _id));
        },

        /** Ends the overlap: the replaced key is refused from now on. @throws ConflictError */
        async endOverlap(record: APIKeyRecord, change: Change): Promise<void> {
          await records.update(record, { previousHash: null, previousUntil: null, previousReceivers: [] }, change);
        },

        /**
         * Returns the record if the secret is valid and neither the key nor one of those that it was created with has expired or is revoked,
         * and updates `lastUsedAt`. Uses one command, or two for a key that another one created, and rarely one more. `lifetimeMs` is the
         * longest lifetime of a key in milliseconds; null if it is not limited.
         */
        async verify(id: string, secret: Redacted, now: Date, lifetimeMs: number | null): Promise<VerifiedAPIKey | null> {
          const isLive = (key: APIKeyRecord) => {
            const end = endOf(key, lifetimeMs);
            return end === null || end > now;
          };
          const record = await records.evenAltered.one({ id });
          if (!record || record.isAltered || !isLive(record)) return null;
          const keyHash = apiKeyHash(secret);
          if (!acceptedAs(record, keyHash, now)) return null;
          const { lastUsedAt, ancestors = [] } = record;
          if (ancestors.length > 0) {
            const found = await records.evenAltered.byIds(ancestors);
            if (found.length < ancestors.length || !found.every((key) => !key.isAltered && isLive(key))) return null;
          }
          if (!lastUsedAt || now.getTime() - lastUsedAt.getTime() >= LAST_USED_MILLISECONDS) {
            if (lastUsedAt) await model.updateOne({ organizationId, _id: id, lastUsedAt }, { $set: { lastUsedAt: now } });
            else await records.noteUsed([id], now);
          }
          return { ...record, keyHash };
        },
      }),
    };
  };
}

/** Returns whether the key with this hash is the present one, or the replaced one while it is still accepted. Null if it is neither. */
export function acceptedAs(record: APIKeyRecord, hash: string, now: Date): 'present' | 'previous' | null {
  if (sameText(hash, record.hash)) return 'present';
  const { previousHash, previousUntil } = record;
  return previousHash !== null && previousUntil !== null && previousUntil > now && sameText(hash, previousHash) ? 'previous' : null;
}

/** Returns the time from which on a key is refused: its own, or the end of the longest lifetime. Null if there is neither. */
export function endOf({ createdAt, expiresAt }: Pick<APIKeyRecord, 'createdAt' | 'expiresAt'>, lifetimeMs: number | null): Date | null {
  if (lifetimeMs === null) return expiresAt;
  const longest = createdAt.getTime() + lifetimeMs;
  return new Date(expiresAt ? Math.min(expiresAt.getTime(), longest) : longest);
}

type KeptHashes = Pick<APIKeyRecord, 'hash' | 'previousHash' | 'previousUntil'>;
