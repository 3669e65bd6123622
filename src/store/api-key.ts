import type { Redacted } from '../redacted.ts';
import { apiKeyHash, newAPIKey } from '../secrets/api-key.ts';
import { sameText } from '../secrets/same-text.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, list, nullable, text } from './fields.ts';
import { type RecordOf, recordSchema, recordStore } from './records.ts';

const fields = {
  name: text(),
  /** What it grants: scopes and wildcards. */
  scopes: list(text()),
  /** The one integration that it is limited to. Null: none. */
  integrationId: nullable(text()),
  /** From when on it is refused. Null: never. */
  expiresAt: nullable(date()),
  /** To the minute. Null: never. */
  lastUsedAt: nullable(date()),
  hash: text(),
  /** The hash of the key that a rotation replaced, which is still taken until its own time is past. */
  previousHash: nullable(text()),
  previousUntil: nullable(date()),
};

/** By what a service is known that cannot get tokens. Of the key itself only a hash is kept. */
export interface APIKeyRecord extends RecordOf<typeof fields> {}

/** A key that is used all the time causes a write this often. */
const LAST_USED_MILLISECONDS = 60_000;

export function apiKeyStore(database: Database) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  for (const field of ['name', 'createdAt', 'updatedAt']) schema.index({ organizationId: 1, [field]: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, createdAt: 1, _id: 1 });
  const model = database.model('APIKey', schema, 'apiKeys');
  const recordsWithin = recordStore<APIKeyRecord>(database, model);
  return (extent: Extent) => {
    const { organizationId } = extent;
    const records = recordsWithin(extent);
    return {
      ...records,
      ...translatingErrors({
        /** Stores a new key's record; answers the key, which cannot be had a second time. @throws DuplicateKeyError when the name is taken */
        async issue(record: Omit<APIKeyRecord, keyof KeptHashes>): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          return [await records.insert({ ...record, hash, previousHash: null, previousUntil: null }), key];
        },

        /** Puts a new key in the place of one that is still taken until `previousUntil`. @throws ConflictError when the record has changed */
        async reissue(record: APIKeyRecord, previousUntil: Date, updatedAt: Date): Promise<[APIKeyRecord, Redacted]> {
          const { key, hash } = newAPIKey(organizationId, record.id);
          const kept: KeptHashes = { hash, previousHash: record.hash, previousUntil };
          await records.update(record.id, record.version, kept, updatedAt);
          return [{ ...record, ...kept, version: record.version + 1, updatedAt }, key];
        },

        /** The key that a caller showed, if it is one and its time is not past; notes that it was used. One command, and seldom a second. */
        async verify(id: string, secret: Redacted, now: Date): Promise<APIKeyRecord | null> {
          const record = await records.one({ id });
          if (!record || (record.expiresAt && record.expiresAt <= now)) return null;
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
