import { createHash, createHmac } from 'node:crypto';
import type { ViewerKind } from '../access/viewer.ts';
import { sameText } from '../secrets/same-text.ts';
import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { anyText, date, nullable, number, optional, tenantSchema, text, type ValuesOf } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId, type RecordOf, recordSchema, recordStore } from './records.ts';

const fields = {
  /** Who: what kind of viewer (absent in entries older than it), and its subject. */
  viewerKind: optional(nullable(text<ViewerKind>())),
  subject: text(),
  /** The network address that the request came from. Null: from within the process. */
  address: nullable(text()),
  requestId: nullable(text()),
  /** What was asked for: a mutation's name, or what the gateway does by itself. */
  action: text(),
  /** `SUCCESS`, or the code of the error that refused it. */
  outcome: text(),
  /** The noun of the object, when one is known. */
  objectNoun: nullable(text()),
  objectId: nullable(text()),
  /** The reason that was given, where one is asked for. */
  reason: nullable(text()),
  /** How often, within one minute. More than one only for what was refused. */
  count: number(),
  /** The batch that it is sealed in. Null: not yet. */
  sequence: nullable(number()),
};

/** One thing that was done, or refused. It names objects and never holds a value. */
export interface AuditRecord extends RecordOf<typeof fields> {}

const sealFields = {
  sequence: number(),
  sealedAt: date(),
  entryCount: number(),
  /** SHA-256 of the batch's entries. */
  entriesHash: text(),
  /** `headHash` of the batch before; empty for the first. */
  previousHash: anyText(),
  /** SHA-256 of the four above: the head of the chain, which may be kept elsewhere to compare with. */
  headHash: text(),
};

/** A batch of entries, chained to the one before. Changing an entry, or leaving one out, breaks the chain. */
export interface AuditSeal extends ValuesOf<typeof sealFields> {}

/** The newest batch of a chain: kept elsewhere, it shows that the chain was not cut and rebuilt. */
export type AuditHead = Pick<AuditSeal, 'sequence' | 'headHash'>;

/** What a check of an organization's log found. */
export interface AuditVerification {
  readonly batches: number;
  readonly entries: number;
  /** Entries not sealed yet, and when the oldest of them was written. */
  readonly unsealed: number;
  readonly oldestUnsealed: Date | null;
  readonly head: AuditHead | null;
  /** What is wrong, in words. Empty: nothing. */
  readonly problems: readonly string[];
}

const ENTRIES_PER_BATCH = 1_000;

/** The log of what was done. Entries are inserted and never changed, but for the number of the batch that seals them. */
export function auditStore(database: Database) {
  const schema = recordSchema(fields);
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  for (const field of ['subject', 'action', 'outcome', 'objectId']) schema.index({ organizationId: 1, [field]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, sequence: 1, _id: 1 });
  const entries = database.model('AuditEntry', schema, 'auditEntries');

  const sealSchema = tenantSchema({ ...sealFields, mac: text() });
  // Two that seal at once would take the same number: the second starts over.
  sealSchema.index({ organizationId: 1, sequence: 1 }, { unique: true });
  const seals = database.model('AuditSeal', sealSchema, 'auditSeals');

  const records = recordStore<AuditRecord>(database, entries, { nameField: 'subject' });

  return (extent: Extent, { keys }: KeyHolder) => {
    const { organizationId } = extent;
    const sealNext = (now: Date): Promise<number> =>
      database.transaction(async () => {
        // By what is not sealed yet, never by time: a transaction may commit long after its entry was written.
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
        /** Seals what is not sealed yet, batch by batch, and answers how many entries that were. */
        async seal(now: Date): Promise<number> {
          let sealed = 0;
          for (;;) {
            try {
              const count = await sealNext(now);
              if (count === 0) return sealed;
              sealed += count;
            } catch (error) {
              // Another copy of the gateway seals at this moment.
              if (error instanceof DuplicateKeyError || translate(error) instanceof DuplicateKeyError) return sealed;
              throw error;
            }
          }
        },

        /**
         * Recomputes the chain. `knownHead` is a head that was exported earlier: the chain must still hold it, or it was cut and rebuilt by
         * somebody who has the key.
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
              problems.push(`${where}: has ${batch.length} entries, was sealed with ${seal.entryCount}`);
            if (hashOf(batch) !== seal.entriesHash) problems.push(`${where}: an entry was removed, changed or inserted`);
            if (seal.previousHash !== (previous?.headHash ?? '')) problems.push(`${where}: is not chained to the one before`);
            if (headHashOf(seal) !== seal.headHash) problems.push(`${where}: its own record was changed`);
            if (!sameText(seal.mac, mac(audit.bytes, organizationId, seal.headHash)))
              problems.push(`${where}: was not sealed by this gateway`);
            if (knownHead?.sequence === seal.sequence && knownHead.headHash !== seal.headHash)
              problems.push(`${where}: is not the one whose head was kept`);
            previous = seal;
            total += batch.length;
          }
          if (knownHead && knownHead.sequence > (previous?.sequence ?? 0))
            problems.push(`the chain ends before batch ${knownHead.sequence}, whose head was kept`);
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
        /** Deletes the log with its chain. */
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

/** Over every member in a fixed order, so that none can be changed unseen; `sequence` is in the head. */
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
    // At the end and only where it is: entries older than it keep their hash.
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
