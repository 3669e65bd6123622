import type { ViewerKind } from '../access/viewer.ts';
import type { Redacted } from '../redacted.ts';
import { apiKeyHash, newAPIKey } from '../secrets/api-key.ts';
import { sameText } from '../secrets/same-text.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, list, nullable, oneOf, optional, text } from './fields.ts';
import { type RecordOf, recordSchema, recordStore } from './records.ts';

/** The kinds of viewers who can create and rotate keys. `gateway` is the gateway itself. */
const creatorKinds = ['token', 'apiKey', 'endUser', 'gateway'] as const satisfies readonly ViewerKind[];

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
  createdByKind: optional(oneOf(creatorKinds)),
  createdBySubject: optional(text()),
  /** Who received the present key, if the first one was replaced. */
  rotatedByKind: optional(oneOf(creatorKinds)),
  rotatedBySubject: optional(text()),
  /** The API key that created it, the one that created that one, and so on. It is valid only while they all are. */
  ancestors: optional(list(text())),
};

/** A key that authenticates a service that cannot get tokens. Only a hash of the key is stored. */
export interface APIKeyRecord extends RecordOf<typeof fields> {}

/** A key that is in constant use causes one write in this time. */
const LAST_USED_MILLISECONDS = 60_000;

export function apiKeyStore(database: Database, authenticity: Authenticity) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  for (const field of ['name', 'createdAt', 'updatedAt']) schema.index({ organizationId: 1, [field]: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, ancestors: 1 });
  for (const whose of ['createdBySubject', 'rotatedBySubject']) schema.index({ organizationId: 1, [whose]: 1 });
  const model = database.model('APIKey', schema, 'apiKeys');
  const recordsWithin = recordStore<APIKeyRecord>(database, model, {
    noun: 'apiKey',
    fields,
    authenticity,
    // Written by `verify`. It is shown and decides nothing.
    unauthenticated: ['lastUsedAt'],
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
          updatedAt: Date,
          by: Pick<APIKeyRecord, 'rotatedByKind' | 'rotatedBySubject'>,
        ): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          const kept = { hash, previousHash: record.hash, previousUntil, ...by };
          return [await records.update(record, kept, updatedAt), key];
        },

        /**
         * Returns the record if the secret is valid and neither the key nor one of those that it was created with has expired or is revoked,
         * and updates `lastUsedAt`. Uses one command, or two for a key that another one created, and rarely one more. `lifetimeMs` is the
         * longest lifetime of a key in milliseconds; null if it is not limited.
         */
        async verify(id: string, secret: Redacted, now: Date, lifetimeMs: number | null): Promise<APIKeyRecord | null> {
          const isLive = (key: APIKeyRecord) => {
            const end = endOf(key, lifetimeMs);
            return end === null || end > now;
          };
          const record = await records.evenAltered.one({ id });
          if (!record || record.isAltered || !isLive(record)) return null;
          const hash = apiKeyHash(secret);
          const isPrevious = record.previousUntil !== null && record.previousUntil > now && sameText(hash, record.previousHash ?? '');
          if (!isPrevious && !sameText(hash, record.hash)) return null;
          const { lastUsedAt, ancestors = [] } = record;
          if (ancestors.length > 0) {
            const found = await records.byIds(ancestors);
            if (found.length < ancestors.length || !found.every(isLive)) return null;
          }
          if (!lastUsedAt || now.getTime() - lastUsedAt.getTime() >= LAST_USED_MILLISECONDS) {
            await model.updateOne({ organizationId, _id: id, lastUsedAt }, { $set: { lastUsedAt: now } });
          }
          return record;
        },
      }),
    };
  };
}

/** Returns the time from which on a key is refused: its own, or the end of the longest lifetime. Null if there is neither. */
export function endOf({ createdAt, expiresAt }: Pick<APIKeyRecord, 'createdAt' | 'expiresAt'>, lifetimeMs: number | null): Date | null {
  if (lifetimeMs === null) return expiresAt;
  const longest = createdAt.getTime() + lifetimeMs;
  return new Date(expiresAt ? Math.min(expiresAt.getTime(), longest) : longest);
}

type KeptHashes = Pick<APIKeyRecord, 'hash' | 'previousHash' | 'previousUntil'>;
