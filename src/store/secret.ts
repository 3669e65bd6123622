import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { fingerprint } from '../secrets/fingerprint.ts';
import { open, seal, sealingKeyId } from '../secrets/seal.ts';
import { type SecretEncoding, sign } from '../secrets/sign.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Conditions, Extent } from './extent.ts';
import { number, optional, tenantSchema, text } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId } from './records.ts';

/** The data about a set secret in a credential's record. The ciphertext is in a separate collection. */
export interface SecretFacts {
  readonly fingerprint: string;
  readonly sealedAt: Date;
}

const IDS_PER_COMMAND = 1_000;

/** A secret that cannot be moved to another key, and the reason. */
export interface UnreadableSecret {
  readonly organizationId: string;
  readonly credentialId: string;
  readonly field: string;
  readonly why: string;
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
export function secretStore(database: Database) {
  const schema = tenantSchema({ credentialId: text(), field: text(), keyId: text(), sealed: text(), bytes: optional(number()) });
  schema.index({ organizationId: 1, credentialId: 1, field: 1 }, { unique: true });
  schema.index({ organizationId: 1, keyId: 1, _id: 1 });
  const model = database.model('Secret', schema, 'secrets');

  return ({ organizationId }: Extent, { keys }: KeyHolder) => {
    async function openStored(credentialId: string, field: string): Promise<Redacted> {
      for (let before: string | undefined; ; ) {
        const stored = await model.findOne({ organizationId, credentialId, field }).lean();
        if (!stored) throw new UnreadableSecretError('its ciphertext is missing');
        try {
          const dataKey = await keys.byId(sealingKeyId(stored.sealed));
          return await open(dataKey, { organizationId, credentialId, field }, stored.sealed);
        } catch (error) {
          // Since it was read, it can have been moved to another key and the old key destroyed. In that case it has changed, so read it again.
          if (!(error instanceof UnreadableSecretError) || stored.sealed === before) throw error;
          before = stored.sealed;
        }
      }
    }

    /** Deletes secrets, and what they add to the size of what is stored. */
    async function removeCounted(conditions: Conditions): Promise<void> {
      const group = { _id: null, bytes: { $sum: '$bytes' } };
      const [found] = await model.aggregate([{ $match: { organizationId, ...conditions } }, { $group: group }]);
      if (!found) return;
      await model.deleteMany({ organizationId, ...conditions });
      await database.account(organizationId, { bytes: -Number(found.bytes) });
    }

    return translatingErrors({
      /** Seals and stores secrets of one credential, which must not be set. Returns the data about them for its record. */
      async put(credentialId: string, secrets: Readonly<Record<string, Redacted>>, sealedAt: Date): Promise<Record<string, SecretFacts>> {
        const entries = Object.entries(secrets);
        if (entries.length === 0) return {};
        const current = await keys.current(entries.length);
        const facts: Record<string, SecretFacts> = {};
        const documents = [];
        for (const [field, plain] of entries) {
          const sealed = await seal(current.seal, { organizationId, credentialId, field }, plain);
          documents.push({ _id: newId(), organizationId, credentialId, field, keyId: current.seal.keyId, sealed, bytes: sealed.length });
          facts[field] = { fingerprint: fingerprint(current.fingerprint.bytes, plain), sealedAt };
        }
        await model.insertMany(documents);
        await database.account(organizationId, { bytes: documents.reduce((sum, { bytes }) => sum + bytes, 0) });
        return facts;
      },

      async unset(credentialId: string, fields: readonly string[]): Promise<void> {
        if (fields.length > 0) await removeCounted({ credentialId, field: { $in: fields } });
      },

      async removeAll(credentialIds: readonly string[]): Promise<void> {
        for (let at = 0; at < credentialIds.length; at += IDS_PER_COMMAND) {
          await removeCounted({ credentialId: { $in: credentialIds.slice(at, at + IDS_PER_COMMAND) } });
        }
      },

      /** Opens one secret. @throws UnreadableSecretError when it cannot be opened */
      open: openStored,

      /** Signs claims with one secret, without returning the secret. @throws UnreadableSecretError when it cannot be opened */
      async sign(credentialId: string, field: string, encoding: SecretEncoding, claims: object): Promise<Redacted> {
        return sign(claims, await openStored(credentialId, field), encoding);
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
          .lean();
        const last = found.length < limit ? null : found.at(-1)!._id;
        const opened: { readonly stored: (typeof found)[number]; readonly plain: Redacted }[] = [];
        const unreadable: UnreadableSecret[] = [];
        // The key is unwrapped once. If that fails, none of the secrets can be opened.
        const dataKey = found.length > 0 ? await settled(keys.byId(keyId)) : null;
        for (const stored of found) {
          const { credentialId, field, sealed } = stored;
          const place = { organizationId, credentialId, field };
          const plain = dataKey instanceof Error ? dataKey : await settled(open(dataKey!, place, sealed));
          if (plain instanceof Error) unreadable.push({ ...place, why: plain.message });
          else opened.push({ stored, plain });
        }
        if (opened.length === 0) return { resealed: 0, unreadable, last };
        // The current key must be read in the transaction that seals under it: see the invariants of keys in `src/README.md`.
        const resealed = await database.transaction(async () => {
          const { seal: current } = await keys.current(opened.length);
          const updates = [];
          for (const { stored, plain } of opened) {
            const { _id, credentialId, field, sealed } = stored;
            const again = await seal(current, { organizationId, credentialId, field }, plain);
            const update = { $set: { keyId: current.keyId, sealed: again } };
            updates.push({ updateOne: { filter: { organizationId, _id, sealed }, update } });
          }
          return (await model.bulkWrite(updates, { ordered: true })).modifiedCount;
        });
        return { resealed, unreadable, last };
      },

      async countUnder(keyIds: readonly string[]): Promise<number> {
        return model.countDocuments({ organizationId, keyId: { $in: keyIds } });
      },

      async isAnyUnder(keyId: string): Promise<boolean> {
        return (await model.findOne({ organizationId, keyId }, { _id: 1 }).lean()) !== null;
      },

      /** Returns for each credential the fields whose ciphertext exists and whose key can be unwrapped. Always uses two commands. */
      async readableFields(credentialIds: readonly string[]): Promise<Map<string, Set<string>>> {
        const openable = await keys.openable();
        const fields = { credentialId: 1, field: 1, keyId: 1 };
        const found = await model.find({ organizationId, credentialId: { $in: credentialIds } }, fields).lean();
        const readable = new Map(credentialIds.map((id) => [id, new Set<string>()]));
        for (const { credentialId, field, keyId } of found) if (openable.has(keyId)) readable.get(credentialId)!.add(field);
        return readable;
      },
    });
  };
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
