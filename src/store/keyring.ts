import { randomBytes } from 'node:crypto';
import { UnreadableSecretError } from '../errors.ts';
import { type DataKeyPlace, KEY_BYTES, type KeyProvider, MasterKeyError, MasterKeyUnavailableError } from '../secrets/key-provider.ts';
import { type RecordKey, recordKey } from '../secrets/record-mac.ts';
import type { DataKey } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { date, number, oneOf, optional, type TenantDocument, tenantSchema, text } from './fields.ts';
import { noteOf } from './outcomes.ts';
import { newId } from './records.ts';

/**
 * The purposes of an organization's keys. `seal` keys encrypt secrets: one is current, older ones are only used to open. The `fingerprint`
 * key never changes, because equal secrets must have equal fingerprints. The `audit` key authenticates the chain of the audit log. The
 * `token` key signs end users' tokens. The `records` key authenticates the records (`store/records.ts`).
 *
 * The purpose is in the header of the wrapped key. So whoever writes to the database cannot give a key another purpose, for example to let
 * the gateway compute MACs of records in place of fingerprints.
 */
const purposes = ['seal', 'fingerprint', 'audit', 'token', 'records'] as const;
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
  /** 2 if the header of the wrapped key contains the purpose. Absent in keys that were written before. A hint: the header decides. */
  format: optional(number()),
};

/** The format of the keys, and of everything that is sealed or authenticated under them. */
const FORMAT = 2;

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

const ADD_MASTER_KEY =
  '. Start the gateway with the master key under which it was sealed: in MASTER_KEY, or with the DATA_DIR that contains it';
/** Why a secret cannot be opened whose data key cannot. */
export const NO_MASTER_KEY = `no available master key opens its data key${ADD_MASTER_KEY}`;

/** A key that was wrapped before the header contained the purpose, and its bytes. Undefined if no available master key opens it. */
export interface UnboundKey {
  readonly keyId: string;
  readonly purpose: Purpose;
  readonly isCurrent: boolean;
  readonly wrapped: string;
  readonly bytes: Uint8Array | undefined;
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
  /** By organization, id and purpose, as the header says them: a record that was changed afterwards finds nothing here. */
  const unwrapped = new Map<string, Promise<Uint8Array>>();
  const recordKeys = new Map<string, Promise<RecordKey>>();
  const sealsLeft = new Map<string, number>();
  /** Returns the current keys that the running transaction has read, by organization. Undefined outside of a transaction. */
  const known = () => noteOf(known, () => new Map<string, readonly KeyRecord[]>());
  /** Keys to replace, with their organizations. */
  const worn = new Map<string, string>();

  async function unwrap(record: KeyRecord): Promise<DataKey> {
    const place = placeOf(record);
    const bytes = remembered(unwrapped, cacheKey(place), () => keyProvider.unwrap(record.wrapped!, place));
    return { keyId: place.keyId, bytes: await bytes };
  }

  function forget(record: Pick<KeyRecord, '_id' | 'organizationId' | 'purpose'>): void {
    unwrapped.delete(cacheKey(placeOf(record)));
    if (record.purpose === 'records') recordKeys.delete(record.organizationId);
  }

  async function newKey(organizationId: string, purpose: Purpose, createdAt: Date) {
    const keyId = newId();
    const wrapped = await keyProvider.wrap(randomBytes(KEY_BYTES), { organizationId, keyId, purpose });
    return { _id: keyId, organizationId, purpose, state: 'current', wrapped, createdAt, format: FORMAT } as const;
  }

  /**
   * Returns the key that authenticates an organization's records. It never changes, so it is read once.
   * @throws UnreadableSecretError when it is missing, or no available master key opens it
   */
  function recordKeyOf(organizationId: string): Promise<RecordKey> {
    return remembered(recordKeys, organizationId, async () => {
      // Without mongoose, and so outside the running transaction: several requests can wait for this.
      const record = await database
        .collection<KeyRecord>(model.collection.collectionName)
        .findOne({ organizationId, purpose: 'records', state: 'current' });
      if (!record) throw new UnreadableSecretError('it does not exist', RECORD_KEY);
      return recordKey(
        await unwrap(record).catch((error) => {
          throw unreadable(error, RECORD_KEY);
        }),
      );
    });
  }

  /** Counts seals in advance. The count is never too low: unused reservations of a process stay counted. */
  async function spend({ _id: keyId, organizationId }: KeyRecord, seals: number): Promise<void> {
    const left = sealsLeft.get(keyId) ?? 0;
    if (left < seals) {
      // Without mongoose, and so outside the running transaction: the count must stay even if the transaction is rolled back and repeated.
      const reserved = await database
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
  function unreadable(error: unknown, what?: string): UnreadableSecretError {
    const isPassing = error instanceof MasterKeyUnavailableError;
    const reason = isPassing
      ? 'the master key is temporarily unavailable; try again'
      : what === undefined
        ? NO_MASTER_KEY
        : `no available master key opens it${ADD_MASTER_KEY}`;
    return new UnreadableSecretError(reason, what);
  }

  /** Returns the keys of one organization. */
  const keysOf = ({ organizationId }: Extent) =>
    translatingErrors({
      /**
       * Creates missing keys: all for a new organization; for an older one, those of purposes that were added later. Not the `records` key: an
       * organization that has other keys has records, which only the migration may authenticate.
       */
      async complete(now: Date, wanted: readonly Purpose[] = purposes): Promise<void> {
        const found = await model.find({ organizationId, state: 'current' }, { purpose: 1 }).lean();
        const missing = wanted.filter(
          (purpose) => !found.some((record) => record.purpose === purpose) && (purpose !== 'records' || found.length === 0),
        );
        for (const purpose of missing) await model.create([await newKey(organizationId, purpose, now)]);
      },
      /**
       * Returns the current keys. Reads their records, so that a transaction that seals uses the key that is current in that transaction.
       * `seals` is the number of values that will be sealed.
       */
      async current(seals = 0): Promise<Record<'seal' | 'fingerprint' | 'audit', DataKey>> {
        const records = known()?.get(organizationId) ?? (await model.find({ organizationId, state: 'current' }).lean());
        const find = (purpose: Purpose) => {
          const record = records.find((candidate) => candidate.purpose === purpose);
          if (!record) throw new Error(`The organization has no ${purpose} key.`);
          return record;
        };
        if (seals > 0) await spend(find('seal'), seals);
        const open = (purpose: Purpose) =>
          unwrap(find(purpose)).catch((error) => {
            throw unreadable(error, 'A data key of the organization');
          });
        return { seal: await open('seal'), fingerprint: await open('fingerprint'), audit: await open('audit') };
      },
      /** Spares the running transaction from reading the current keys, which it has read. */
      async learn(records: readonly object[]): Promise<void> {
        known()?.set(organizationId, records as readonly KeyRecord[]);
      },
      /** Returns the current key for tokens. */
      async token(): Promise<DataKey> {
        const record = await model.findOne({ organizationId, purpose: 'token', state: 'current' }).lean();
        if (!record) throw new Error('The organization has no token key.');
        return unwrap(record).catch((error) => {
          throw unreadable(error, 'The key that signs the organization’s tokens');
        });
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
          forget(record);
          throw new UnreadableSecretError('its key was destroyed');
        }
        return unwrap(record).catch((error) => {
          throw unreadable(error);
        });
      },
      /** Returns the sealing keys that can be unwrapped, by id. */
      async openable(): Promise<Map<string, DataKey>> {
        const filter = { organizationId, purpose: 'seal', state: { $ne: 'destroyed' } } as const;
        const records = await model.find(filter).lean();
        const tried = await Promise.allSettled(records.map(unwrap));
        return new Map(tried.flatMap((each) => (each.status === 'fulfilled' ? [[each.value.keyId, each.value]] : [])));
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
        known()?.delete(organizationId);
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
        forget({ _id: keyId, organizationId, purpose: 'seal' });
        return result.matchedCount === 1;
      },

      /**
       * Returns the keys that were wrapped before the header contained the purpose, for the migration. Only keys that a master key opens prove
       * that an earlier version wrote them, whatever their records say.
       *
       * Returns null if there are keys of both formats, which no version and no interrupted migration writes.
       */
      async unbound(): Promise<UnboundKey[] | null> {
        const records = await model.find({ organizationId, state: { $ne: 'destroyed' } }).lean();
        const old = records.filter(({ format }) => format === undefined);
        if (old.length > 0 && records.some(({ format, purpose }) => format !== undefined && purpose !== 'records')) {
          return null;
        }
        const keys: UnboundKey[] = [];
        for (const { _id: keyId, purpose, state, wrapped = '' } of old) {
          const bytes = await keyProvider.unwrap(wrapped, { organizationId, keyId, purpose: null }).catch((error) => {
            if (error instanceof MasterKeyUnavailableError) throw error;
            return undefined;
          });
          keys.push({ keyId, purpose, isCurrent: state === 'current', wrapped, bytes });
        }
        return keys;
      },
      /** Creates the `records` key of an organization that was written by an earlier version, for the migration. */
      async createRecordsKey(now: Date): Promise<void> {
        const found = await model.findOne({ organizationId, purpose: 'records', state: 'current' }).lean();
        if (!found) await model.create([await newKey(organizationId, 'records', now)]);
      },
      /** Wraps keys again, with their purpose in the header. Call it in a transaction. Keys that cannot be opened stay as they are. */
      async bind(keys: readonly UnboundKey[]): Promise<void> {
        for (const { keyId, purpose, wrapped, bytes } of keys) {
          if (!bytes) continue;
          const place = { organizationId, keyId, purpose };
          const again = await keyProvider.wrap(bytes, place);
          if (!Buffer.from(await keyProvider.unwrap(again, place)).equals(bytes))
            throw new Error('A wrapped data key cannot be unwrapped.');
          await model.updateOne({ organizationId, _id: keyId, wrapped }, { $set: { wrapped: again, format: FORMAT } });
        }
      },
      /** Counts seals that were made without `current`, in the running transaction. */
      async countSeals(keyId: string, seals: number): Promise<void> {
        if (seals > 0) await model.updateOne({ organizationId, _id: keyId }, { $inc: { reservedSeals: seals } });
      },
      async remove(): Promise<void> {
        const records = await model.find({ organizationId }).lean();
        await model.deleteMany({ organizationId });
        for (const record of records) forget(record);
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
      for (const record of found) {
        const { _id: keyId, organizationId, wrapped } = record;
        if (keyProvider.isUnderFirst(wrapped!)) {
          kept++;
          continue;
        }
        const place = placeOf(record);
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
    /**
     * Returns the organizations that an earlier version wrote: those whose keys do not have their purpose in the header. Reads the records of
     * all keys, because nothing else tells.
     */
    async unboundOrganizations(): Promise<string[]> {
      return model.distinct('organizationId', { purpose: 'fingerprint', state: 'current', format: null });
    },
    /** Returns the number of data keys of all organizations and purposes. */
    async count(): Promise<number> {
      return model.countDocuments({ state: { $ne: 'destroyed' } });
    },
    /** Returns whether the database contains no data key. Only then may a new master key be created. */
    async isEmpty(): Promise<boolean> {
      return (await model.findOne({}).lean()) === null;
    },
    /**
     * Unwraps a stored key, so that a wrong master key is detected at the start and not at the first reveal. Keys that cannot be unwrapped prevent
     * no start as long as another one can: the data under the others must stay within reach.
     * @throws MasterKeyError when the master keys unwrap none of the first 100 keys
     */
    async probe(): Promise<void> {
      let refused: MasterKeyError | undefined;
      for (const record of await model.find({ state: 'current' }).limit(PROBED_KEYS).lean()) {
        const place = placeOf(record);
        try {
          await keyProvider.unwrap(record.wrapped ?? '', record.format === undefined ? { ...place, purpose: null } : place);
          return;
        } catch (error) {
          if (error instanceof MasterKeyUnavailableError) throw error;
          // A key that was changed is refused where it is used. It says nothing about the master key.
          if (error instanceof MasterKeyError) refused ??= error;
        }
      }
      if (refused) throw refused;
    },
  });
  return { ...keyring, keysOf, recordKeyOf };
}

/** How many keys are tried at the start. */
const PROBED_KEYS = 100;

/** How the message of an error names the key for records. */
const RECORD_KEY = 'The key that authenticates the organization’s records';

function placeOf({ organizationId, _id: keyId, purpose }: Pick<KeyRecord, '_id' | 'organizationId' | 'purpose'>): DataKeyPlace {
  return { organizationId, keyId, purpose };
}

function cacheKey({ organizationId, keyId, purpose }: DataKeyPlace): string {
  return JSON.stringify([organizationId, keyId, purpose]);
}

/** Returns the remembered result for a key, or computes it. The promise is remembered, so that concurrent callers cause one call only. */
function remembered<T>(results: Map<string, Promise<T>>, key: string, compute: () => Promise<T>): Promise<T> {
  const known = results.get(key);
  if (known) return known;
  if (results.size >= CACHED_KEYS) results.delete(results.keys().next().value!);
  const result = compute();
  results.set(key, result);
  result.catch(() => results.delete(key));
  return result;
}
