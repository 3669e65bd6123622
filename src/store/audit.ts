import { createHash, createHmac } from 'node:crypto';
import type { ViewerKind } from '../access/viewer.ts';
import { sameText } from '../secrets/same-text.ts';
import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { anyText, date, nullable, number, optional, tenantSchema, text, type ValuesOf } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId, type RecordOf, recordSchema, recordStore } from './records.ts';

const fields = {
  /** The viewer's kind (absent in entries that are older than this field) and subject. */
  viewerKind: optional(nullable(text<ViewerKind>())),
  subject: text(),
  /** The network address of the client. Null if the gateway acted by itself. */
  address: nullable(text()),
  requestId: nullable(text()),
  /** The name of a mutation, or an action of the gateway itself. */
  action: text(),
  /** `SUCCESS`, or the error code if it was refused. */
  outcome: text(),
  /** The noun of the object, if known. */
  objectNoun: nullable(text()),
  objectId: nullable(text()),
  /** The given reason, for actions that require one. */
  reason: nullable(text()),
  /** How many times it happened within one minute. Greater than 1 only for refused actions. */
  count: number(),
  /** The number of the batch that seals it. Null if not sealed yet. */
  sequence: nullable(number()),
};

/** An action that succeeded or was refused. Contains ids but never values. */
export interface AuditRecord extends RecordOf<typeof fields> {}

const sealFields = {
  sequence: number(),
  sealedAt: date(),
  entryCount: number(),
  /** SHA-256 of the batch's entries. */
  entriesHash: text(),
  /** The `headHash` of the previous batch. Empty for the first batch. */
  previousHash: anyText(),
  /** SHA-256 of the other fields: the head of the chain. A copy that is stored elsewhere can be compared with it. */
  headHash: text(),
};

/** A batch of entries, chained to the previous batch. Changing or removing an entry breaks the chain. */
export interface AuditSeal extends ValuesOf<typeof sealFields> {}

/** The newest batch of a chain. A copy that is stored elsewhere proves that the chain was not truncated and rebuilt. */
export type AuditHead = Pick<AuditSeal, 'sequence' | 'headHash'>;

/** The result of verifying an organization's log. */
export interface AuditVerification {
  readonly batches: number;
  readonly entries: number;
  /** The number of entries that are not sealed yet, and the time of the oldest. */
  readonly unsealed: number;
  readonly oldestUnsealed: Date | null;
  readonly head: AuditHead | null;
  /** Descriptions of the problems. Empty if there are none. */
  readonly problems: readonly string[];
}

const ENTRIES_PER_BATCH = 1_000;

/** The audit log. Entries are never changed, except for the number of the batch that seals them. */
export function auditStore(database: Database) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  for (const field of ['subject', 'action', 'outcome', 'objectId']) schema.index({ organizationId: 1, [field]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, sequence: 1, _id: 1 });
  const entries = database.model('AuditEntry', schema, 'auditEntries');

  const sealSchema = tenantSchema({ ...sealFields, mac: text() });
  // Two copies that seal at the same time would use the same number. The index makes the second one fail.
  sealSchema.index({ organizationId: 1, sequence: 1 }, { unique: true });
  const seals = database.model('AuditSeal', sealSchema, 'auditSeals');

  const records = recordStore<AuditRecord>(database, entries, {
    noun: 'auditEntry',
    fields,
    // The chain authenticates the entries.
    authenticity: null,
    nameField: 'subject',
  });

  return (extent: Extent, { keys }: KeyHolder) => {
    const { organizationId } = extent;
    const sealNext = (now: Date): Promise<number> =>
      database.transaction(async () => {
        // Selects unsealed entries, not entries by time, because a transaction can commit long after its entry was written.
        const batch = await entries.find({ organizationId, sequence: null }).sort({ _id: 1 }).limit(ENTRIES_PER_BATCH).lean();
        if (batch.length === 0) return 0;
        const last = await seals.findOne({ organizationId }).sort({ sequence: -1 }).lean();
        const seal: AuditSeal = chained(last, batch, now);
        const { audit } = await keys.current();
        await entries.updateMany({ organizationId, _id: { $in: batch.map(({ _id }) => _id) } }, { $set: { sequence: seal.sequence } });
        await seals.create([{ _id: newId(), organizationId, ...seal, mac: mac(audit.bytes, organizationId, seal.headHash) }]);
        return batch.length;
      });

    return {
      ...records(extent),

      ...translatingErrors({
        /** Seals all unsealed entries, batch by batch. Returns their number. */
        async seal(now: Date): Promise<number> {
          let sealed = 0;
          for (;;) {
            try {
              const count = await sealNext(now);
              if (count === 0) return sealed;
              sealed += count;
            } catch (error) {
              // Another copy of the gateway is sealing at the same time.
              if (error instanceof DuplicateKeyError || translate(error) instanceof DuplicateKeyError) return sealed;
              throw error;
            }
          }
        },

        /**
         * Recomputes the chain. `knownHead` is a head that was exported earlier. If the chain does not contain it, somebody who has the key
         * truncated and rebuilt the chain.
         */
        async verify(knownHead?: AuditHead): Promise<AuditVerification> {
          const problems: string[] = [];
          const { audit } = await keys.current();
          let [previous, total]: [AuditSeal | null, number] = [null, 0];
          for await (const seal of seals.find({ organizationId }).sort({ sequence: 1 }).lean()) {
            const where = `batch ${seal.sequence}`;
            if (seal.sequence !== (previous?.sequence ?? 0) + 1)
              problems.push(`${where}: does not follow batch ${previous?.sequence ?? 0}`);
            const batch = await entries.find({ organizationId, sequence: seal.sequence }).sort({ _id: 1 }).lean();
            if (batch.length !== seal.entryCount)
              problems.push(`${where}: has ${batch.length} entries, but was sealed with ${seal.entryCount}`);
            if (hashOf(batch) !== seal.entriesHash) problems.push(`${where}: an entry was removed, changed or inserted`);
            if (seal.previousHash !== (previous?.headHash ?? '')) problems.push(`${where}: is not chained to the previous batch`);
            if (headHashOf(seal) !== seal.headHash) problems.push(`${where}: the record of the batch was changed`);
            if (!sameText(seal.mac, mac(audit.bytes, organizationId, seal.headHash)))
              problems.push(`${where}: was not sealed by this gateway`);
            if (knownHead?.sequence === seal.sequence && knownHead.headHash !== seal.headHash)
              problems.push(`${where}: does not have the hash of the given head`);
            previous = seal;
            total += batch.length;
          }
          if (knownHead && knownHead.sequence > (previous?.sequence ?? 0))
            problems.push(`the chain ends before batch ${knownHead.sequence}, which the given head belongs to`);
          const beyond = await entries.countDocuments({ organizationId, sequence: { $gt: previous?.sequence ?? 0 } });
          if (beyond > 0) problems.push(`${beyond} entries belong to batches that are missing`);
          const unsealed = await entries.countDocuments({ organizationId, sequence: null });
          const oldest = await entries.findOne({ organizationId, sequence: null }).sort({ createdAt: 1 }).lean();
          return {
            batches: previous?.sequence ?? 0,
            entries: total,
            unsealed,
            oldestUnsealed: oldest?.createdAt ?? null,
            head: previous && { sequence: previous.sequence, headHash: previous.headHash },
            problems,
          };
        },
        /** Deletes the log and its chain. */
        async removeAll(): Promise<void> {
          await entries.deleteMany({ organizationId });
          await seals.deleteMany({ organizationId });
        },
      }),
    };
  };
}

type Stored = Omit<AuditRecord, 'id'> & { readonly _id: string };

function chained(last: AuditHead | null, batch: readonly Stored[], sealedAt: Date): AuditSeal {
  const seal = {
    sequence: (last?.sequence ?? 0) + 1,
    sealedAt,
    entryCount: batch.length,
    entriesHash: hashOf(batch),
    previousHash: last?.headHash ?? '',
  };
  return { ...seal, headHash: headHashOf(seal) };
}

/** Hashes every field in a fixed order, so that each change is detected. `sequence` is part of the head. */
function hashOf(batch: readonly Stored[]): string {
  const rows = batch.map((entry) => [
    entry._id,
    entry.organizationId,
    entry.createdAt.toISOString(),
    entry.subject,
    entry.address ?? null,
    entry.requestId ?? null,
    entry.action,
    entry.outcome,
    entry.objectNoun ?? null,
    entry.objectId ?? null,
    entry.reason ?? null,
    entry.count,
    // Last, and only if present, so that the hash of entries that are older than this field does not change.
    ...(entry.viewerKind ? [entry.viewerKind] : []),
  ]);
  return sha256(JSON.stringify(rows));
}

function headHashOf({ sequence, sealedAt, entryCount, entriesHash, previousHash }: Omit<AuditSeal, 'headHash'>): string {
  return sha256(JSON.stringify([sequence, sealedAt.toISOString(), entryCount, entriesHash, previousHash]));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function mac(key: Uint8Array, organizationId: string, headHash: string): string {
  return createHmac('sha256', key)
    .update(JSON.stringify([organizationId, headHash]))
    .digest('base64url');
}
