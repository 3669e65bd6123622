import type { Redacted } from '../redacted.ts';
import { apiKeyHash, newAPIKey } from '../secrets/api-key.ts';
import { sameText } from '../secrets/same-text.ts';
import type { Authenticity } from './authenticity.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, list, nullable, text } from './fields.ts';
import { type RecordOf, recordSchema, recordStore } from './records.ts';

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
        async reissue(record: APIKeyRecord, previousUntil: Date, updatedAt: Date): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          const kept: KeptHashes = { hash, previousHash: record.hash, previousUntil };
          return [await records.update(record, kept, updatedAt), key];
        },

        /** Returns the record if it is not altered, the secret is valid and the key has not expired, and updates `lastUsedAt`. Uses one command, rarely two. */
        async verify(id: string, secret: Redacted, now: Date): Promise<APIKeyRecord | null> {
          const record = await records.evenAltered.one({ id });
          if (!record || record.isAltered || (record.expiresAt && record.expiresAt <= now)) return null;
          const hash = apiKeyHash(secret);
          const isPrevious = record.previousUntil !== null && record.previousUntil > now && sameText(hash, record.previousHash ?? '');
          if (!isPrevious && !sameText(hash, record.hash)) return null;
          const { lastUsedAt } = record;
          if (!lastUsedAt || now.getTime() - lastUsedAt.getTime() >= LAST_USED_MILLISECONDS) {
            await model.updateOne({ organizationId, _id: id, lastUsedAt }, { $set: { lastUsedAt: now } });
          }
          return record;
        },
      }),
    };
  };
}

type KeptHashes = Pick<APIKeyRecord, 'hash' | 'previousHash' | 'previousUntil'>;
