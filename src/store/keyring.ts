import { randomBytes } from 'node:crypto';
import { UnreadableSecretError } from '../errors.ts';
import { KEY_BYTES, type KeyProvider, MasterKeyUnavailableError } from '../secrets/key-provider.ts';
import type { DataKey } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, number, oneOf, optional, type TenantDocument, tenantSchema, text } from './fields.ts';
import { newId } from './records.ts';

/**
 * Keys of an organization. `seal` keys encrypt secrets: one is current, older ones only open. The `fingerprint` key never changes, or
 * equal secrets would cease to have equal fingerprints. The `audit` key authenticates the chain of the audit log, the `token` key the tokens
 * that are made for end users.
 */
const purposes = ['seal', 'fingerprint', 'audit', 'token'] as const;
type Purpose = (typeof purposes)[number];

/** Of a destroyed key only the record is left, without its bytes: what is still sealed under it can say why it does not open. */
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

/** A key that only opens. */
export interface OpeningKey {
  readonly keyId: string;
  /** From when on it may be destroyed, if nothing is sealed under it. */
  readonly destroyableAt: Date;
}

/** What came of wrapping a batch of data keys anew. */
export interface Rewrapped {
  readonly rewrapped: number;
  /** Under the first master key already. */
  readonly kept: number;
  /** Opened by no master key at hand. */
  readonly failed: number;
  /** The id to go on after. Null: there are no more. */
  readonly last: string | null;
}

/** The data keys of one organization. */
export type Keys = ReturnType<ReturnType<typeof createKeyring>['keysOf']>;

/** What has an organization's keys: its store. */
export interface KeyHolder {
  readonly keys: Keys;
}

/** How many unwrapped keys stay in memory. */
const CACHED_KEYS = 4_096;

/**
 * How long a key rests between its retirement and its destruction. A transaction that read the key as current may commit what it sealed
 * after the retirement. MongoDB ends transactions after 60 seconds (`transactionLifetimeLimitSeconds`), the one that retired the key too;
 * the rest is for clocks that differ between machines.
 */
export const KEY_REST_MILLISECONDS = 5 * 60_000;

/** A key seals less than 2^31 values: with random nonces of 96 bits, far from where two are likely to be equal (NIST SP 800-38D, 8.3). */
const SEALS_MAX = 2 ** 31;
/** From here on a key is replaced. What lies between is what may be sealed until that is done. */
const SEALS_WORN = 2 ** 30;
/** How many seals a process reserves at once: one write for so many seals, and so many are lost at most when the process ends. */
const SEALS_RESERVED = 2 ** 16;

/** The data keys, stored wrapped under a master key. What must always hold for them is written down in `src/README.md`. */
export function createKeyring(database: Database, keyProvider: KeyProvider) {
  const schema = tenantSchema(fields);
  schema.index({ organizationId: 1, purpose: 1 }, { unique: true, partialFilterExpression: { state: 'current' } });
  schema.index({ organizationId: 1, _id: 1 });
  const model = database.model('DataKey', schema, 'dataKeys');
  const unwrapped = new Map<string, Promise<Uint8Array>>();
  const sealsLeft = new Map<string, number>();
  /** Keys that are to be replaced, and whose they are. */
  const worn = new Map<string, string>();

  async function unwrap({ _id: keyId, organizationId, wrapped }: KeyRecord): Promise<DataKey> {
    let bytes = unwrapped.get(keyId);
    if (!bytes) {
      if (unwrapped.size >= CACHED_KEYS) unwrapped.delete(unwrapped.keys().next().value!);
      // The promise is kept, so that many who ask at once make one call.
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

  /** Counts seals before they are made. Never too few: what a process reserved and did not use stays counted. */
  async function spend({ _id: keyId, organizationId }: KeyRecord, seals: number): Promise<void> {
    const left = sealsLeft.get(keyId) ?? 0;
    if (left < seals) {
      // Past mongoose, and so outside the transaction that is running: this counts although that one may be rolled back and run again.
      const reserved = await database.connection
        .collection<KeyRecord>(model.collection.collectionName)
        .findOneAndUpdate(
          { organizationId, _id: keyId },
          { $inc: { reservedSeals: SEALS_RESERVED } },
          { returnDocument: 'after', projection: { reservedSeals: 1 } },
        );
      const sum = Number(reserved?.reservedSeals ?? 0);
      if (sum > SEALS_WORN) worn.set(keyId, organizationId);
      if (sum > SEALS_MAX) throw new Error('The data key has sealed as much as it may, and has not been replaced.');
      sealsLeft.set(keyId, (sealsLeft.get(keyId) ?? 0) + SEALS_RESERVED);
    }
    sealsLeft.set(keyId, sealsLeft.get(keyId)! - seals);
  }

  /** Why a key does not open. */
  function unreadable(error: unknown): UnreadableSecretError {
    const isPassing = error instanceof MasterKeyUnavailableError;
    return new UnreadableSecretError(
      isPassing ? 'the master key is out of reach at the moment; try again' : 'no master key at hand opens its data key',
    );
  }

  /** The keys of one organization. */
  const keysOf = ({ organizationId }: Extent) =>
    translatingErrors({
      /** Makes the keys that the organization does not have: all, when it is new, and those of purposes that are newer than it. */
      async complete(now: Date): Promise<void> {
        const found = await model.find({ organizationId, state: 'current' }, { purpose: 1 }).lean();
        const missing = purposes.filter((purpose) => !found.some((record) => record.purpose === purpose));
        for (const purpose of missing) await model.create([await newKey(organizationId, purpose, now)]);
      },
      /**
       * The keys to write with now. Reads their records, so that a transaction which seals sees the key it uses as it is in that transaction.
       * `seals` tells how many values are about to be sealed.
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
      /** The key that signs tokens now. */
      async token(): Promise<DataKey> {
        const record = await model.findOne({ organizationId, purpose: 'token', state: 'current' }).lean();
        if (!record) throw new Error('The organization has no token key.');
        return unwrap(record);
      },
      /** @throws UnreadableSecretError when the key is destroyed, or no master key at hand opens it */
      async byId(keyId: string, purpose: Purpose = 'seal'): Promise<DataKey> {
        const record = await model.findOne({ organizationId, _id: keyId, purpose }).lean();
        if (!record) throw new UnreadableSecretError('its key is not there');
        if (record.state === 'destroyed') {
          unwrapped.delete(keyId);
          throw new UnreadableSecretError('its key is destroyed');
        }
        return unwrap(record).catch((error) => {
          throw unreadable(error);
        });
      },
      /** The ids of the keys that open, of those that there are. */
      async openable(): Promise<Set<string>> {
        const filter = { organizationId, purpose: 'seal', state: { $ne: 'destroyed' } } as const;
        const records = await model.find(filter).lean();
        const tried = await Promise.allSettled(records.map(unwrap));
        return new Set(tried.flatMap((each) => (each.status === 'fulfilled' ? [each.value.keyId] : [])));
      },

      /**
       * Puts a new key in the place of the current one, which from then on only opens. Call it in a transaction. Answers whether it did: not
       * when the current key is another by now, for then somebody else did.
       */
      async replace(currentKeyId: string, now: Date): Promise<boolean> {
        // First, for the master key may be far away, and from the first write on others wait for this transaction.
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
      /** Removes the bytes of a key that has rested long enough, for good. The caller has seen, in the same transaction, that nothing is sealed under it. */
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
    /** The keys that have sealed so much that they are to be replaced, until that is done. */
    async worn(): Promise<{ keyId: string; organizationId: string }[]> {
      return [...worn].map(([keyId, organizationId]) => ({ keyId, organizationId }));
    },
    /** A worn key is replaced, or need not be. */
    async forgetWorn(keyId: string): Promise<void> {
      worn.delete(keyId);
    },

    /**
     * Wraps data keys anew under the first master key: those of `limit` records after an id, of whatever organization. What is
     * under the first already is left alone, so this may be stopped and run again.
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
          // What is out of reach for the moment stops the run; a key that will never open must not.
          if (error instanceof MasterKeyUnavailableError) throw error;
          return null;
        });
        if (!bytes) {
          failed++;
          continue;
        }
        const again = await keyProvider.wrap(bytes, place);
        // What replaces the only copy of a key is opened once before.
        if (!Buffer.from(await keyProvider.unwrap(again, place)).equals(bytes))
          throw new Error('A data key that was wrapped does not unwrap.');
        await model.updateOne({ organizationId, _id: keyId, wrapped: wrapped! }, { $set: { wrapped: again } });
        rewrapped++;
      }
      return { last: found.length < limit ? null : found.at(-1)!._id, rewrapped, kept, failed };
    },
    /** How many data keys there are, of all organizations and purposes. */
    async count(): Promise<number> {
      return model.countDocuments({ state: { $ne: 'destroyed' } });
    },
    /** Whether the database holds any data key: then a new master key would be a mistake. */
    async isEmpty(): Promise<boolean> {
      return (await model.findOne({}).lean()) === null;
    },
    /** Unwraps one stored key, so that a wrong master key is found at start and not at the first reveal. */
    async probe(): Promise<void> {
      const record = await model.findOne({ state: 'current' }).lean();
      if (record) await keyProvider.unwrap(record.wrapped!, { organizationId: record.organizationId, keyId: record._id });
    },
  });
  return { ...keyring, keysOf };
}
