import { randomBytes } from 'node:crypto';
import { Schema } from 'mongoose';
import { UnreadableSecretError } from '../errors.ts';
import { KEY_BYTES, type KeyProvider } from '../secrets/key-provider.ts';
import type { DataKey } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import { newId } from './records.ts';

/**
 * Keys of an organization. `seal` keys encrypt secrets: one is current, older ones only open. The `fingerprint` key never changes, or
 * equal secrets would cease to have equal fingerprints.
 */
type Purpose = 'seal' | 'fingerprint';

export type Keyring = ReturnType<typeof createKeyring>;

/** How many unwrapped keys stay in memory. */
const CACHED_KEYS = 4_096;

/** The data keys, stored wrapped under a master key. What must always hold for them: DESIGN of keys, in `src/README.md`. */
export function createKeyring(database: Database, keyProvider: KeyProvider) {
  const schema = new Schema(
    {
      _id: { type: String, required: true },
      organizationId: { type: String, required: true },
      purpose: { type: String, enum: ['seal', 'fingerprint'], required: true },
      state: { type: String, enum: ['current', 'opening'], required: true },
      wrapped: { type: String, required: true },
      createdAt: Date,
    },
    { versionKey: false },
  );
  schema.index({ organizationId: 1, purpose: 1 }, { unique: true, partialFilterExpression: { state: 'current' } });
  schema.index({ organizationId: 1, _id: 1 });
  const model = database.connection.model('DataKey', schema, 'dataKeys');
  const unwrapped = new Map<string, Uint8Array>();

  async function unwrap(record: { _id: string; organizationId: string; wrapped: string }): Promise<DataKey> {
    const cached = unwrapped.get(record._id);
    if (cached) return { keyId: record._id, bytes: cached };
    const bytes = await keyProvider.unwrap(record.wrapped, { organizationId: record.organizationId, keyId: record._id });
    if (unwrapped.size >= CACHED_KEYS) unwrapped.delete(unwrapped.keys().next().value!);
    unwrapped.set(record._id, bytes);
    return { keyId: record._id, bytes };
  }

  return translatingErrors({
    async create(organizationId: string, now: Date): Promise<void> {
      for (const purpose of ['seal', 'fingerprint'] satisfies Purpose[]) {
        const keyId = newId();
        const wrapped = await keyProvider.wrap(randomBytes(KEY_BYTES), { organizationId, keyId });
        await model.create([{ _id: keyId, organizationId, purpose, state: 'current', wrapped, createdAt: now }]);
      }
    },
    /** The keys to seal with. Reads their records, so that a transaction which seals sees the key it uses as it is now. */
    async current(organizationId: string): Promise<Record<Purpose, DataKey>> {
      const records = await model.find({ organizationId, state: 'current' }).lean();
      const find = (purpose: Purpose) => {
        const record = records.find((candidate) => candidate.purpose === purpose);
        if (!record) throw new Error(`The organization has no ${purpose} key.`);
        return unwrap(record);
      };
      return { seal: await find('seal'), fingerprint: await find('fingerprint') };
    },
    /** @throws UnreadableSecretError when there is no such key any more, or no master key at hand opens it */
    async byId(organizationId: string, keyId: string): Promise<DataKey> {
      const record = await model.findOne({ organizationId, _id: keyId }).lean();
      if (!record) throw new UnreadableSecretError('its key is destroyed');
      try {
        return await unwrap(record);
      } catch {
        throw new UnreadableSecretError('no master key at hand opens its data key');
      }
    },
    async remove(organizationId: string): Promise<void> {
      const records = await model.find({ organizationId }).lean();
      await model.deleteMany({ organizationId });
      for (const { _id } of records) unwrapped.delete(_id);
    },
    /** Whether the database holds any data key: then a new master key would be a mistake. */
    async isEmpty(): Promise<boolean> {
      return (await model.findOne({}).lean()) === null;
    },
    /** Unwraps one stored key, so that a wrong master key is found at start and not at the first reveal. */
    async probe(): Promise<void> {
      const record = await model.findOne({}).lean();
      if (record) await keyProvider.unwrap(record.wrapped, { organizationId: record.organizationId, keyId: record._id });
    },
  });
}
