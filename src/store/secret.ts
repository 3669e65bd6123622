import { AlteredRecordError, UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { fingerprint } from '../secrets/fingerprint.ts';
import { type DataKey, newGeneration, open, openToReseal, openUnbound, type SealedPlace, seal, sealingKeyId } from '../secrets/seal.ts';
import { type SecretEncoding, sign } from '../secrets/sign.ts';
import type { CredentialRecord } from './credential.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Conditions, Extent } from './extent.ts';
import { number, optional, tenantSchema, text } from './fields.ts';
import { type KeyHolder, NO_MASTER_KEY } from './keyring.ts';
import { newId, type RecordStore } from './records.ts';
import { sumOfBytes } from './sizes.ts';

/** The data about a set secret in a credential's record. The ciphertext is in a separate collection. */
export interface SecretFacts {
  readonly fingerprint: string;
  readonly sealedAt: Date;
  /** The generation in the header of the sealed value. An earlier value of the secret has another. */
  readonly generation: string;
  /** Present if an end user has written it with its own token. */
  readonly byEndUser?: true;
}

/** The part of a credential's record that decides which sealed values are its own. */
export type SecretOwner = Pick<CredentialRecord, 'id' | 'integrationId' | 'endUserId' | 'secrets' | 'isAltered'>;

/** Secrets to seal, by field, and the credential that they belong to. */
export interface PlainSecrets {
  readonly owner: Omit<SecretOwner, 'secrets'>;
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** The names of those that an end user has written elsewhere. What it writes here is marked anyway. */
  readonly byEndUser?: readonly string[];
}

const IDS_PER_COMMAND = 1_000;

/** A secret that cannot be moved to another key, and the reason. */
export interface UnreadableSecret {
  readonly organizationId: string;
  /** What it belongs to. */
  readonly noun: 'credential' | 'webhook';
  /** The id of the credential or the webhook. */
  readonly credentialId: string;
  readonly field: string;
  readonly why: string;
}

/** How the fields of webhooks’ secrets begin. No field of a credential does. */
export const WEBHOOK_FIELD = 'webhook-';

function nounOf(field: string): UnreadableSecret['noun'] {
  return field.startsWith(WEBHOOK_FIELD) ? 'webhook' : 'credential';
}

/** The result of moving a batch of secrets to another key. */
export interface Resealed {
  readonly resealed: number;
  readonly unreadable: readonly UnreadableSecret[];
  /** The id after which to continue. Null if there are no more. */
  readonly last: string | null;
}

/**
 * The sealed secrets, one document each, in a collection that only this file reads. So no query for credentials can read ciphertext. They are
 * written in the same transaction as the credential.
 */
export function secretStore(
  database: Database,
  onCredential: (secret: Pick<UnreadableSecret, 'organizationId' | 'credentialId' | 'field'>) => void,
) {
  const schema = tenantSchema({ credentialId: text(), field: text(), keyId: text(), sealed: text(), bytes: optional(number()) });
  schema.index({ organizationId: 1, credentialId: 1, field: 1 }, { unique: true });
  schema.index({ organizationId: 1, keyId: 1, _id: 1 });
  const model = database.model('Secret', schema, 'secrets');
  const collection = database.collection<{ _id: string }>('secrets');

  return ({ organizationId }: Extent, { keys, credentials }: KeyHolder & CredentialHolder) => {
    /** Tells that a secret of a credential cannot be opened. A webhook is paused by who delivers for it. */
    function onUnreadable(credentialId: string, field: string): void {
      if (nounOf(field) === 'credential') onCredential({ organizationId, credentialId, field });
    }

    /** Returns the place that the sealed value of a secret must name. Undefined if the secret is not set. */
    function placeOf({ id: credentialId, integrationId, endUserId, secrets }: SecretOwner, field: string): SealedPlace | undefined {
      const generation = Object.hasOwn(secrets, field) ? secrets[field]?.generation : undefined;
      return generation === undefined ? undefined : { organizationId, integrationId, endUserId, credentialId, field, generation };
    }

    /** `credential` is its record, as it was read. It decides which sealed value is the current one. */
    async function openStored(credential: SecretOwner, field: string): Promise<Redacted> {
      const { id: credentialId } = credential;
      let owner = credential;
      for (let before: string | undefined; ; ) {
        if (owner.isAltered) throw new AlteredRecordError('credential');
        const place = placeOf(owner, field);
        const stored = await model.findOne({ organizationId, credentialId, field }).lean();
        if (!place || !stored) {
          if (place) onUnreadable(credentialId, field);
          throw new UnreadableSecretError('its ciphertext is missing');
        }
        const read = JSON.stringify([place, stored.sealed]);
        try {
          const dataKey = await keys.byId(sealingKeyId(stored.sealed));
          return await open(dataKey, place, stored.sealed);
        } catch (error) {
          // Since it was read, it can have been replaced, or moved to another key and the old key destroyed. If so, read it again.
          if (!(error instanceof UnreadableSecretError)) throw error;
          if (read === before) {
            onUnreadable(credentialId, field);
            throw error;
          }
          before = read;
          owner = (await credentials.one({ id: credentialId })) ?? owner;
        }
      }
    }

    /** Deletes secrets, and what they add to the size of what is stored. */
    async function removeCounted(conditions: Conditions): Promise<void> {
      const bytes = await sumOfBytes(model, { organizationId, ...conditions });
      await model.deleteMany({ organizationId, ...conditions });
      if (bytes > 0) await database.account(organizationId, { bytes: -bytes });
    }

    async function sealAll(all: readonly PlainSecrets[], sealedAt: Date): Promise<Record<string, SecretFacts>[]> {
      const count = all.reduce((sum, { secrets }) => sum + Object.keys(secrets).length, 0);
      if (count === 0) return all.map(() => ({}));
      const current = await keys.current(count);
      const { keyId } = current.seal;
      const documents = [];
      const factsOfAll: Record<string, SecretFacts>[] = [];
      for (const { owner, secrets, byEndUser = [] } of all) {
        const { id: credentialId, integrationId, endUserId } = owner;
        const facts: Record<string, SecretFacts> = {};
        for (const [field, plain] of Object.entries(secrets)) {
          const generation = newGeneration();
          const sealed = await seal(current.seal, { organizationId, integrationId, endUserId, credentialId, field, generation }, plain);
          documents.push({ _id: newId(), organizationId, credentialId, field, keyId, sealed, bytes: sealed.length });
          const mark = byEndUser.includes(field) ? ({ byEndUser: true } as const) : {};
          facts[field] = { fingerprint: fingerprint(current.fingerprint.bytes, plain), sealedAt, generation, ...mark };
        }
        factsOfAll.push(facts);
      }
      await collection.insertMany(documents, database.session());
      await database.account(organizationId, { bytes: documents.reduce((sum, { bytes }) => sum + bytes, 0) });
      return factsOfAll;
    }

    return translatingErrors({
      /** Seals and stores secrets of one credential, which must not be set. Returns the data about them for its record. */
      async put(owner: PlainSecrets['owner'], secrets: PlainSecrets['secrets'], sealedAt: Date): Promise<Record<string, SecretFacts>> {
        return (await sealAll([{ owner, secrets }], sealedAt))[0]!;
      },

      /** Does the same for many credentials, with one command for each collection. The results have the order of the credentials. */
      putAll: sealAll,

      async unset(credentialId: string, fields: readonly string[]): Promise<void> {
        if (fields.length > 0) await removeCounted({ credentialId, field: { $in: fields } });
      },

      async removeAll(credentialIds: readonly string[]): Promise<void> {
        for (let at = 0; at < credentialIds.length; at += IDS_PER_COMMAND) {
          await removeCounted({ credentialId: { $in: credentialIds.slice(at, at + IDS_PER_COMMAND) } });
        }
      },

      /** Opens one secret of a credential. @throws UnreadableSecretError when it cannot be opened; AlteredRecordError */
      open: openStored,

      /** Signs claims with one secret, without returning the secret. @throws UnreadableSecretError when it cannot be opened; AlteredRecordError */
      async sign(credential: SecretOwner, field: string, encoding: SecretEncoding, claims: object): Promise<Redacted> {
        return sign(claims, await openStored(credential, field), encoding);
      },

      /**
       * Moves secrets from one data key to the current one: at most `limit` secrets after an id. Skips secrets that cannot be opened, or that
       * have changed in the meantime. Does not change the credential, its version or its times.
       */
      async reseal(keyId: string, after: string, limit: number): Promise<Resealed> {
        const found = await model
          .find({ organizationId, keyId, _id: { $gt: after } })
          .sort({ _id: 1 })
          .limit(limit)
          .batchSize(limit + 1)
          .lean();
        const last = found.length < limit ? null : found.at(-1)!._id;
        const opened: { readonly stored: (typeof found)[number]; readonly place: SealedPlace; readonly plain: Redacted }[] = [];
        const unreadable: UnreadableSecret[] = [];
        // The key is unwrapped once. If that fails, none of the secrets can be opened.
        const dataKey = found.length > 0 ? await settled(keys.byId(keyId)) : null;
        for (const stored of found) {
          const { credentialId, field, sealed } = stored;
          const place = { organizationId, credentialId, field };
          const result = dataKey instanceof Error ? dataKey : await settled(openToReseal(dataKey!, place, sealed));
          if (result instanceof Error) unreadable.push({ ...place, noun: nounOf(field), why: result.message });
          else opened.push({ stored, ...result });
        }
        if (opened.length === 0) return { resealed: 0, unreadable, last };
        // The current key must be read in the transaction that seals under it: see the invariants of keys in `src/README.md`.
        const resealed = await database.transaction(async () => {
          const { seal: current } = await keys.current(opened.length);
          const updates = [];
          for (const { stored, place, plain } of opened) {
            const { _id, sealed } = stored;
            const again = await seal(current, place, plain);
            const update = { $set: { keyId: current.keyId, sealed: again } };
            updates.push({ updateOne: { filter: { organizationId, _id, sealed }, update } });
          }
          return (await model.bulkWrite(updates, { ordered: true })).modifiedCount;
        });
        return { resealed, unreadable, last };
      },

      /**
       * Seals the secrets of a credential again that an earlier version sealed, for the migration: the new header binds them to their owner and
       * to a generation. Returns the data about them for the record, and the secrets that cannot be opened. Call it in a transaction.
       */
      async adopt(
        { id: credentialId, integrationId, endUserId, secrets }: SecretOwner,
        keys: ReadonlyMap<string, DataKey>,
        current: DataKey,
      ): Promise<{ readonly facts: Readonly<Record<string, SecretFacts>>; readonly unreadable: readonly UnreadableSecret[] }> {
        const facts: Record<string, SecretFacts> = {};
        const unreadable: UnreadableSecret[] = [];
        for (const [field, known] of Object.entries(secrets)) {
          const generation = newGeneration();
          facts[field] = { ...known, generation };
          const place = { organizationId, credentialId, field };
          const stored = await model.findOne(place).lean();
          const result = await settled(
            (async () => {
              if (!stored) throw new UnreadableSecretError('its ciphertext is missing');
              const key = keys.get(sealingKeyId(stored.sealed));
              if (!key) throw new UnreadableSecretError(NO_MASTER_KEY);
              return openUnbound(key, place, stored.sealed);
            })(),
          );
          if (result instanceof Error) {
            unreadable.push({ ...place, noun: nounOf(field), why: result.message });
            continue;
          }
          const sealed = await seal(current, { ...place, integrationId, endUserId, generation }, result);
          await model.updateOne({ organizationId, _id: stored!._id }, { $set: { keyId: current.keyId, sealed } });
        }
        return { facts, unreadable };
      },

      /** Opens all secrets of these credentials, and returns those that cannot be opened. */
      async findUnreadable(owners: readonly SecretOwner[]): Promise<UnreadableSecret[]> {
        const unreadable: UnreadableSecret[] = [];
        for (const owner of owners) {
          for (const field of Object.keys(owner.secrets)) {
            const result = await settled(openStored(owner, field));
            if (result instanceof Error)
              unreadable.push({ organizationId, noun: nounOf(field), credentialId: owner.id, field, why: result.message });
          }
        }
        return unreadable;
      },

      async countUnder(keyIds: readonly string[]): Promise<number> {
        return model.countDocuments({ organizationId, keyId: { $in: keyIds } });
      },

      async isAnyUnder(keyId: string): Promise<boolean> {
        return (await model.findOne({ organizationId, keyId }, { _id: 1 }).lean()) !== null;
      },

      /**
       * Returns for each credential the fields whose secret can be opened, by opening them: only that shows whether a ciphertext was changed. The
       * plaintexts are dropped. Always uses two commands.
       */
      async readableFields(owners: readonly SecretOwner[]): Promise<Map<string, Set<string>>> {
        const openable = await keys.openable();
        const byId = new Map(owners.map((owner) => [owner.id, owner]));
        const found = await model
          .find({ organizationId, credentialId: { $in: [...byId.keys()] } })
          .batchSize(SECRETS_AT_ONCE)
          .lean();
        const readable = new Map(owners.map(({ id }) => [id, new Set<string>()]));
        for (const { credentialId, field, sealed } of found) {
          const owner = byId.get(credentialId);
          const place = owner && placeOf(owner, field);
          if (place && (await canOpen(openable, place, sealed))) readable.get(credentialId)!.add(field);
        }
        return readable;
      },
    });
  };
}

/** How many secrets come in one reply of the database. */
const SECRETS_AT_ONCE = 10_000;

/** An object with access to an organization's credentials: its store. */
interface CredentialHolder {
  readonly credentials: Pick<RecordStore<CredentialRecord>, 'one'>;
}

/** Returns whether one of the keys opens a sealed value, and whether it is sealed for this place. */
async function canOpen(keys: ReadonlyMap<string, DataKey>, place: SealedPlace, sealed: string): Promise<boolean> {
  const opened = await settled(
    (async () => {
      const key = keys.get(sealingKeyId(sealed));
      return key && (await open(key, place, sealed));
    })(),
  );
  return opened !== undefined && !(opened instanceof Error);
}

/** Returns the result of a promise, or an `UnreadableSecretError`. Throws other errors. */
async function settled<T>(promise: Promise<T>): Promise<T | UnreadableSecretError> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof UnreadableSecretError) return error;
    throw error;
  }
}
