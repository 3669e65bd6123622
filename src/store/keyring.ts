import { randomBytes } from 'node:crypto';
import { UnreadableSecretError } from '../errors.ts';
import { KEY_BYTES, type KeyProvider, MasterKeyUnavailableError } from '../secrets/key-provider.ts';
import type { DataKey } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, number, oneOf, optional, type TenantDocument, tenantSchema, text } from './fields.ts';
import { newId } from './records.ts';

/**
 * The purposes of an organization's keys. `seal` keys encrypt secrets: one is current, older ones are only used to open. The `fingerprint`
 * key never changes, because equal secrets must have equal fingerprints. The `audit` key authenticates the chain of the audit log. The
 * `token` key signs end users' tokens.
 */
const purposes = ['seal', 'fingerprint', 'audit', 'token'] as const;
type Purpose = (typeof purposes)[number];

/** The record of a destroyed key is kept without its bytes, so that errors can state why a secret does not open. */
const states = ['current', 'opening', 'destroyed'] as const;

const fields = {
  purpose: oneOf(purposes),
  state: oneOf(states),
  wrapped: optional(text()),
  createdAt: optional(date()),
  retiredAt: optional(date()),
  destroyedAt: optional(date()),
  reservedSeals: optional(number()),
};

type KeyRecord = TenantDocument<typeof fields>;

/** A key that is only used to open. */
export interface OpeningKey {
  readonly keyId: string;
  /** It can be destroyed from this time on, if nothing is sealed under it. */
  readonly destroyableAt: Date;
}

/** The result of wrapping a batch of data keys again. */
export interface Rewrapped {
  readonly rewrapped: number;
  /** The number that are already wrapped under the first master key. */
  readonly kept: number;
  /** The number that no available master key can open. */
  readonly failed: number;
  /** The id after which to continue. Null if there are no more. */
  readonly last: string | null;
}

/** The data keys of one organization. */
export type Keys = ReturnType<ReturnType<typeof createKeyring>['keysOf']>;

/** An object with access to an organization's keys: its store. */
export interface KeyHolder {
  readonly keys: Keys;
}

/** The maximum number of unwrapped keys in memory. */
const CACHED_KEYS = 4_096;

/**
 * The minimum time between the retirement and the destruction of a key. A transaction that read the key as current can commit sealed values
 * after the retirement. MongoDB ends transactions after 60 seconds (`transactionLifetimeLimitSeconds`), including the one that retired the
 * key. The rest of the time allows for clock differences between machines.
 */
export const KEY_REST_MILLISECONDS = 5 * 60_000;

/** A key seals less than 2^31 values. So two random nonces of 96 bits are very unlikely to be equal (NIST SP 800-38D, 8.3). */
const SEALS_MAX = 2 ** 31;
/** A key with more seals is replaced. The difference to the maximum allows sealing until that is done. */
const SEALS_WORN = 2 ** 30;
/** The number of seals that a process reserves with one write. At most so many are lost when the process ends. */
const SEALS_RESERVED = 2 ** 16;

/** The data keys, stored wrapped under a master key. `src/README.md` describes their invariants. */
export function createKeyring(database: Database, keyProvider: KeyProvider) {
  const schema = tenantSchema(fields);
  schema.index({ organizationId: 1, purpose: 1 }, { unique: true, partialFilterExpression: { state: 'current' } });
  schema.index({ organizationId: 1, _id: 1 });
  const model = database.model('DataKey', schema, 'dataKeys');
  const unwrapped = new Map<string, Promise<Uint8Array>>();
  const sealsLeft = new Map<string, number>();
  /** Keys to replace, with their organizations. */
  const worn = new Map<string, string>();

  async function unwrap({ _id: keyId, organizationId, wrapped }: KeyRecord): Promise<DataKey> {
    let bytes = unwrapped.get(keyId);
    if (!bytes) {
      if (unwrapped.size >= CACHED_KEYS) unwrapped.delete(unwrapped.keys().next().value!);
      // The promise is cached, so that concurrent callers cause one call only.
      bytes = keyProvider.unwrap(wrapped!, { organizationId, keyId });
      unwrapped.set(keyId, bytes);
      bytes.catch(() => unwrapped.delete(keyId));
    }
    return { keyId, bytes: await bytes };
  }

  async function newKey(organizationId: string, purpose: Purpose, createdAt: Date) {
    const keyId = newId();
    const wrapped = await keyProvider.wrap(randomBytes(KEY_BYTES), { organizationId, keyId });
    return { _id: keyId, organizationId, purpose, state: 'current', wrapped, createdAt } as const;
  }

  /** Counts seals in advance. The count is never too low: unused reservations of a process stay counted. */
  async function spend({ _id: keyId, organizationId }: KeyRecord, seals: number): Promise<void> {
    const left = sealsLeft.get(keyId) ?? 0;
    if (left < seals) {
      // Without mongoose, and so outside the running transaction: the count must stay even if the transaction is rolled back and repeated.
      const reserved = await database.connection
        .collection<KeyRecord>(model.collection.collectionName)
        .findOneAndUpdate(
          { organizationId, _id: keyId },
          { $inc: { reservedSeals: SEALS_RESERVED } },
          { returnDocument: 'after', projection: { reservedSeals: 1 } },
        );
      const sum = Number(reserved?.reservedSeals ?? 0);
      if (sum > SEALS_WORN) worn.set(keyId, organizationId);
      if (sum > SEALS_MAX) throw new Error('The data key has reached its maximum number of seals and has not been replaced.');
      sealsLeft.set(keyId, (sealsLeft.get(keyId) ?? 0) + SEALS_RESERVED);
    }
    sealsLeft.set(keyId, sealsLeft.get(keyId)! - seals);
  }

  /** Returns the error for a key that cannot be unwrapped. */
  function unreadable(error: unknown): UnreadableSecretError {
    const isPassing = error instanceof MasterKeyUnavailableError;
    return new UnreadableSecretError(
      isPassing ? 'the master key is temporarily unavailable; try again' : 'no available master key opens its data key',
    );
  }

  /** Returns the keys of one organization. */
  const keysOf = ({ organizationId }: Extent) =>
    translatingErrors({
      /** Creates missing keys: all for a new organization; for an older one, those of purposes that were added later. */
      async complete(now: Date, wanted: readonly Purpose[] = purposes): Promise<void> {
        const found = await model.find({ organizationId, state: 'current' }, { purpose: 1 }).lean();
        const missing = wanted.filter((purpose) => !found.some((record) => record.purpose === purpose));
        for (const purpose of missing) await model.create([await newKey(organizationId, purpose, now)]);
      },
      /**
       * Returns the current keys. Reads their records, so that a transaction that seals uses the key that is current in that transaction.
       * `seals` is the number of values that will be sealed.
       */
      async current(seals = 0): Promise<Record<Exclude<Purpose, 'token'>, DataKey>> {
        const records = await model.find({ organizationId, state: 'current' }).lean();
        const find = (purpose: Purpose) => {
          const record = records.find((candidate) => candidate.purpose === purpose);
          if (!record) throw new Error(`The organization has no ${purpose} key.`);
          return record;
        };
        if (seals > 0) await spend(find('seal'), seals);
        return { seal: await unwrap(find('seal')), fingerprint: await unwrap(find('fingerprint')), audit: await unwrap(find('audit')) };
      },
      /** Returns the current key for tokens. */
      async token(): Promise<DataKey> {
        const record = await model.findOne({ organizationId, purpose: 'token', state: 'current' }).lean();
        if (!record) throw new Error('The organization has no token key.');
        return unwrap(record);
      },
      /** Returns the key of the audit log. */
      async audit(): Promise<DataKey> {
        const record = await model.findOne({ organizationId, purpose: 'audit', state: 'current' }).lean();
        if (!record) throw new Error('The organization has no audit key.');
        return unwrap(record);
      },
      /** @throws UnreadableSecretError when the key is destroyed, or no available master key opens it */
      async byId(keyId: string, purpose: Purpose = 'seal'): Promise<DataKey> {
        const record = await model.findOne({ organizationId, _id: keyId, purpose }).lean();
        if (!record) throw new UnreadableSecretError('its key does not exist');
        if (record.state === 'destroyed') {
          unwrapped.delete(keyId);
          throw new UnreadableSecretError('its key was destroyed');
        }
        return unwrap(record).catch((error) => {
          throw unreadable(error);
        });
      },
      /** Returns the ids of the keys that can be unwrapped. */
      async openable(): Promise<Set<string>> {
        const filter = { organizationId, purpose: 'seal', state: { $ne: 'destroyed' } } as const;
        const records = await model.find(filter).lean();
        const tried = await Promise.allSettled(records.map(unwrap));
        return new Set(tried.flatMap((each) => (each.status === 'fulfilled' ? [each.value.keyId] : [])));
      },

      /**
       * Replaces the current key, which is only used to open from now on. Call it in a transaction. Returns false if the key with this id is
       * not current any more.
       */
      async replace(currentKeyId: string, now: Date): Promise<boolean> {
        // Before the first write: wrapping can take long, and other transactions wait from the first write on.
        const next = await newKey(organizationId, 'seal', now);
        const filter = { organizationId, _id: currentKeyId, purpose: 'seal', state: 'current' } as const;
        const retired = await model.updateOne(filter, { $set: { state: 'opening', retiredAt: now } });
        if (retired.matchedCount === 0) return false;
        await model.create([next]);
        return true;
      },
      async currentKeyId(): Promise<string | null> {
        const record = await model.findOne({ organizationId, purpose: 'seal', state: 'current' }, { _id: 1 }).lean();
        return record?._id ?? null;
      },
      async openingKeys(): Promise<OpeningKey[]> {
        const records = await model.find({ organizationId, purpose: 'seal', state: 'opening' }, { retiredAt: 1 }).lean();
        return records.map(({ _id, retiredAt }) => ({ keyId: _id, destroyableAt: new Date(retiredAt!.getTime() + KEY_REST_MILLISECONDS) }));
      },
      /** Permanently removes the bytes of a key that was retired long enough ago. The caller must check, in the same transaction, that nothing is sealed under it. */
      async destroy(keyId: string, now: Date): Promise<boolean> {
        const retiredBefore = new Date(now.getTime() - KEY_REST_MILLISECONDS);
        const result = await model.updateOne(
          { organizationId, _id: keyId, purpose: 'seal', state: 'opening', retiredAt: { $lte: retiredBefore } },
          { $set: { state: 'destroyed', destroyedAt: now }, $unset: { wrapped: 1 } },
        );
        unwrapped.delete(keyId);
        return result.matchedCount === 1;
      },
      async remove(): Promise<void> {
        const records = await model.find({ organizationId }).lean();
        await model.deleteMany({ organizationId });
        for (const { _id } of records) unwrapped.delete(_id);
      },
    });

  const keyring = translatingErrors({
    /** Returns the keys that have sealed too many values and are not replaced yet. */
    async worn(): Promise<{ keyId: string; organizationId: string }[]> {
      return [...worn].map(([keyId, organizationId]) => ({ keyId, organizationId }));
    },
    /** Removes a key from this list: it has been replaced, or need not be. */
    async forgetWorn(keyId: string): Promise<void> {
      worn.delete(keyId);
    },

    /**
     * Wraps data keys of all organizations again under the first master key: at most `limit` records after an id. Skips keys that are already
     * under the first master key, so it can be stopped and run again.
     */
    async rewrap(after: string, limit: number): Promise<Rewrapped> {
      const found = await model
        .find({ _id: { $gt: after }, state: { $ne: 'destroyed' } })
        .sort({ _id: 1 })
        .limit(limit)
        .lean();
      let [rewrapped, kept, failed] = [0, 0, 0];
      for (const { _id: keyId, organizationId, wrapped } of found) {
        if (keyProvider.isUnderFirst(wrapped!)) {
          kept++;
          continue;
        }
        const place = { organizationId, keyId };
        const bytes = await keyProvider.unwrap(wrapped!, place).catch((error) => {
          // A temporary failure stops the run; a key that can never be opened must not.
          if (error instanceof MasterKeyUnavailableError) throw error;
          return null;
        });
        if (!bytes) {
          failed++;
          continue;
        }
        const again = await keyProvider.wrap(bytes, place);
        // Check that the new form can be unwrapped before it replaces the only copy of the key.
        if (!Buffer.from(await keyProvider.unwrap(again, place)).equals(bytes)) throw new Error('A wrapped data key cannot be unwrapped.');
        await model.updateOne({ organizationId, _id: keyId, wrapped: wrapped! }, { $set: { wrapped: again } });
        rewrapped++;
      }
      return { last: found.length < limit ? null : found.at(-1)!._id, rewrapped, kept, failed };
    },
    /** Returns the number of data keys of all organizations and purposes. */
    async count(): Promise<number> {
      return model.countDocuments({ state: { $ne: 'destroyed' } });
    },
    /** Returns whether the database contains no data key. Only then may a new master key be created. */
    async isEmpty(): Promise<boolean> {
      return (await model.findOne({}).lean()) === null;
    },
    /** Unwraps one stored key, so that a wrong master key is detected at the start and not at the first reveal. */
    async probe(): Promise<void> {
      const record = await model.findOne({ state: 'current' }).lean();
      if (record) await keyProvider.unwrap(record.wrapped!, { organizationId: record.organizationId, keyId: record._id });
    },
  });
  return { ...keyring, keysOf };
}
