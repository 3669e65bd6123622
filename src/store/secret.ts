import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { fingerprint } from '../secrets/fingerprint.ts';
import { open, seal, sealingKeyId } from '../secrets/seal.ts';
import { type SecretEncoding, sign } from '../secrets/sign.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { tenantSchema, text } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId } from './records.ts';

/** What a record tells of a secret that is set. The ciphertext lies in a collection of its own. */
export interface SecretFacts {
  readonly fingerprint: string;
  readonly sealedAt: Date;
}

const IDS_PER_COMMAND = 1_000;

/** A secret that cannot be moved to another key, and why. */
export interface UnreadableSecret {
  readonly organizationId: string;
  readonly credentialId: string;
  readonly field: string;
  readonly why: string;
}

/** What came of moving a batch of secrets to another key. */
export interface Resealed {
  readonly resealed: number;
  readonly unreadable: readonly UnreadableSecret[];
  /** The id to go on after. Null: there are no more. */
  readonly last: string | null;
}

/**
 * The sealed secrets, one document each, in a collection that only this file reads: no query for credentials, however it is written, can
 * fetch ciphertext. They are written in the transaction of the credential they belong to.
 */
export function secretStore(database: Database) {
  const schema = tenantSchema({ credentialId: text(), field: text(), keyId: text(), sealed: text() });
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
          // It may have been moved to another key, and its own destroyed, since it was read: then it has changed.
          if (!(error instanceof UnreadableSecretError) || stored.sealed === before) throw error;
          before = stored.sealed;
        }
      }
    }

    return translatingErrors({
      /** Seals and stores secrets of one credential, which must be unset; answers what its record shall tell of them. */
      async put(credentialId: string, secrets: Readonly<Record<string, Redacted>>, sealedAt: Date): Promise<Record<string, SecretFacts>> {
        const entries = Object.entries(secrets);
        if (entries.length === 0) return {};
        const current = await keys.current(entries.length);
        const facts: Record<string, SecretFacts> = {};
        const documents = [];
        for (const [field, plain] of entries) {
          const sealed = await seal(current.seal, { organizationId, credentialId, field }, plain);
          documents.push({ _id: newId(), organizationId, credentialId, field, keyId: current.seal.keyId, sealed });
          facts[field] = { fingerprint: fingerprint(current.fingerprint.bytes, plain), sealedAt };
        }
        await model.insertMany(documents);
        return facts;
      },

      async unset(credentialId: string, fields: readonly string[]): Promise<void> {
        if (fields.length > 0) await model.deleteMany({ organizationId, credentialId, field: { $in: fields } });
      },

      async removeAll(credentialIds: readonly string[]): Promise<void> {
        for (let at = 0; at < credentialIds.length; at += IDS_PER_COMMAND) {
          await model.deleteMany({ organizationId, credentialId: { $in: credentialIds.slice(at, at + IDS_PER_COMMAND) } });
        }
      },

      /** Opens one secret. @throws UnreadableSecretError when it cannot be opened */
      open: openStored,

      /** Signs claims with one secret, which is opened for that and goes nowhere. @throws UnreadableSecretError when it cannot be opened */
      async sign(credentialId: string, field: string, encoding: SecretEncoding, claims: object): Promise<Redacted> {
        return sign(claims, await openStored(credentialId, field), encoding);
      },

      /**
       * Moves secrets from one data key to the current one: at most `limit` of those after an id. What
       * has been written meanwhile is left alone, and what cannot be opened too. The credential, its version and its times stay as they are.
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
        // The key is opened once: if it does not open, none of them does.
        const dataKey = found.length > 0 ? await settled(keys.byId(keyId)) : null;
        for (const stored of found) {
          const { credentialId, field, sealed } = stored;
          const place = { organizationId, credentialId, field };
          const plain = dataKey instanceof Error ? dataKey : await settled(open(dataKey!, place, sealed));
          if (plain instanceof Error) unreadable.push({ ...place, why: plain.message });
          else opened.push({ stored, plain });
        }
        if (opened.length === 0) return { resealed: 0, unreadable, last };
        // The current key is read in the transaction that seals under it, as everywhere: see the invariants of keys.
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

      /** Of each credential, the fields whose ciphertext is there and whose key opens. Two commands, however many credentials. */
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

/** What a promise gives, or the reason why a secret cannot be opened; other errors are thrown. */
async function settled<T>(promise: Promise<T>): Promise<T | UnreadableSecretError> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof UnreadableSecretError) return error;
    throw error;
  }
}
