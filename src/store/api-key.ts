import type { Redacted } from '../redacted.ts';
import { apiKeyHash, newAPIKey } from '../secrets/api-key.ts';
import { sameText } from '../secrets/same-text.ts';
import { type Database, translatingErrors } from './database.ts';
import { type BaseRecord, recordSchema, recordStore } from './records.ts';

/** By what a service is known that cannot get tokens. Of the key itself only a hash is kept. */
export interface APIKeyRecord extends BaseRecord {
  readonly name: string;
  /** What it grants: scopes and wildcards. */
  readonly scopes: readonly string[];
  /** The one integration that it is limited to. Null: none. */
  readonly integrationId: string | null;
  /** From when on it is refused. Null: never. */
  readonly expiresAt: Date | null;
  /** To the minute. Null: never. */
  readonly lastUsedAt: Date | null;
  readonly hash: string;
  /** The hash of the key that a rotation replaced, which is still taken until its own time is past. */
  readonly previousHash: string | null;
  readonly previousUntil: Date | null;
}

/** A key that is used all the time causes a write this often. */
const LAST_USED_MILLISECONDS = 60_000;

export function apiKeyStore(database: Database) {
  const schema = recordSchema({
    name: { type: String, required: true },
    scopes: [String],
    integrationId: String,
    expiresAt: Date,
    lastUsedAt: Date,
    hash: { type: String, required: true },
    previousHash: String,
    previousUntil: Date,
  });
  schema.index({ organizationId: 1, name: 1 }, { unique: true });
  for (const field of ['name', 'createdAt', 'updatedAt']) schema.index({ organizationId: 1, [field]: 1, _id: 1 });
  schema.index({ organizationId: 1, integrationId: 1, createdAt: 1, _id: 1 });
  const model = database.connection.model('APIKey', schema, 'apiKeys');
  const records = recordStore<APIKeyRecord>(database, model as never);
  return {
    ...records,
    ...translatingErrors({
      /** Stores a new key's record; answers the key, which cannot be had a second time. @throws DuplicateKeyError when the name is taken */
      async issue(organizationId: string, record: Omit<APIKeyRecord, keyof KeptHashes>): Promise<[APIKeyRecord, Redacted]> {
        const { key, hash } = newAPIKey(organizationId, record.id);
        return [await records.insert(organizationId, { ...record, hash, previousHash: null, previousUntil: null }), key];
      },

      /** Puts a new key in the place of one that is still taken until `previousUntil`. @throws ConflictError when the record has changed */
      async reissue(organizationId: string, record: APIKeyRecord, previousUntil: Date, updatedAt: Date): Promise<[APIKeyRecord, Redacted]> {
        const { key, hash } = newAPIKey(organizationId, record.id);
        const kept: KeptHashes = { hash, previousHash: record.hash, previousUntil };
        await records.update(organizationId, record.id, record.version, kept, updatedAt);
        return [{ ...record, ...kept, version: record.version + 1, updatedAt }, key];
      },

      /** The key that a caller showed, if it is one and its time is not past; notes that it was used. One command, and seldom a second. */
      async verify(organizationId: string, id: string, secret: Redacted, now: Date): Promise<APIKeyRecord | null> {
        const record = await records.one(organizationId, { id });
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
}

type KeptHashes = Pick<APIKeyRecord, 'hash' | 'previousHash' | 'previousUntil'>;
