import { randomBytes } from 'node:crypto';
import type { Model } from 'mongoose';
import { MasterKeyUnavailableError } from '../secrets/key-provider.ts';
import { sameText } from '../secrets/same-text.ts';
import {
  type AuditHead,
  type AuditRecord,
  type AuditSeal,
  chained,
  cursorFields,
  entryFields,
  FORMAT,
  type HeadRecord,
  hashOf,
  headFields,
  isAuthentic,
  isAuthenticHead,
  isAuthenticSeal,
  isSameHead,
  macOfCursor,
  macOfEntry,
  macOfHead,
  macOfSeal,
  NO_BATCH,
  NO_ID,
  type NumberedEntry,
  type StoredEntry,
  sealFields,
} from './audit-forms.ts';
import { createEntryNumbers, type EntryNumbers } from './audit-numbers.ts';
import { type AuditVerification, verifyLog } from './audit-verify.ts';
import { type Database, DuplicateKeyError, translate, translatingErrors } from './database.ts';
import type { CarriedEvent } from './event-forms.ts';
import type { Extent } from './extent.ts';
import { type TenantDocument, tenantSchema, text } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import type { Outbox } from './outbox.ts';
import { isInTransaction, onOutcome } from './outcomes.ts';
import { newId, recordSchema, recordStore } from './records.ts';

export type { AuditHead, AuditRecord, AuditVerification };

/** A sealed batch with its entries. */
export interface SealedBatch {
  readonly seal: AuditSeal;
  readonly entries: readonly AuditRecord[];
}

/** What sealing an organization's log found. */
export interface SealReport {
  /** The number of entries that were sealed. */
  sealed: number;
  /** The number of unsealed entries that the gateway did not write, or that were changed, and the ids of the first of them. */
  rejected: number;
  rejectedIds: string[];
  /** The writer's numbers of entries that this process wrote, and that are not in the log any more. */
  missing: readonly number[];
  /** Why nothing was sealed: the chain is not what it was. Null if there is no reason. */
  refusal: string | null;
}

/** The result of a migration of a log. */
export interface AuditMigration {
  /** The number of batches of older versions. */
  readonly legacyBatches: number;
  /** The number of entries of older versions that were not sealed, and are now sealed as unproven. */
  readonly unproven: number;
}

/** The newest batch, and how many batches of older versions there are. */
type Head = Omit<HeadRecord, 'mac'>;

/** The log cannot be migrated. */
export class AuditMigrationError extends Error {
  override name = 'AuditMigrationError';
}

/** A sealed batch is not as it was sealed. */
export class AuditChainError extends Error {
  override name = 'AuditChainError';
}

/** What a process remembers of the log of one organization. */
interface OpenLog {
  readonly key: Uint8Array;
  readonly writer: string;
  readonly numbers: EntryNumbers;
  /** The newest batch that this process has seen. */
  seen: AuditHead;
  /** All own numbers up to this one were found in the log when they were settled, except those in `watched` and those reported as missing. */
  confirmed: number;
  /** Own numbers that were found but not sealed yet. */
  watched: Set<number>;
}

const ENTRIES_PER_BATCH = 1_000;
const OPEN_LOGS_MAX = 10_000;
const NAMED_MAX = 10;
const WATCHED_MAX = 10_000;
const WRITER_BYTES = 12;

/** The name of the gateway itself in entries. */
const ITSELF = '(credential-gateway)';

export type Models = ReturnType<typeof createModels>;

function createModels(database: Database) {
  const schema = recordSchema(entryFields);
  schema.index({ organizationId: 1, createdAt: 1, _id: 1 });
  for (const field of ['subject', 'action', 'outcome', 'objectId']) schema.index({ organizationId: 1, [field]: 1, createdAt: 1, _id: 1 });
  schema.index({ organizationId: 1, sequence: 1, _id: 1 });
  // Decides whether a transaction with an unknown outcome was committed. Entries of older versions have no numbers.
  schema.index({ organizationId: 1, writer: 1, number: 1 }, { unique: true, partialFilterExpression: { format: FORMAT } });
  // Small: the events of an entry get their positions soon after it was committed.
  schema.index({ organizationId: 1, _id: 1 }, { name: 'newEvents', partialFilterExpression: { hasNewEvents: true } });
  const entries: Model<StoredEntry> = database.model('AuditEntry', schema as never, 'auditEntries');

  const sealSchema = tenantSchema({ ...sealFields, mac: text() });
  // Two copies that seal at the same time would use the same number. The index makes the second one fail.
  sealSchema.index({ organizationId: 1, sequence: 1 }, { unique: true });
  const seals = database.model('AuditSeal', sealSchema, 'auditSeals');

  const headSchema = tenantSchema(headFields);
  headSchema.index({ organizationId: 1 }, { unique: true });
  const heads: Model<TenantDocument<typeof headFields>> = database.model('AuditHead', headSchema, 'auditHeads');

  const cursorSchema = tenantSchema(cursorFields);
  cursorSchema.index({ organizationId: 1, sink: 1 }, { unique: true });
  const cursors: Model<TenantDocument<typeof cursorFields>> = database.model('AuditSinkCursor', cursorSchema, 'auditSinkCursors');
  return { entries, seals, heads, cursors };
}

/**
 * The audit log. Entries are never changed, except for the number of the batch that seals them. `src/README.md` describes what is
 * authenticated by what.
 */
export function auditStore(database: Database, outbox: Outbox) {
  const models = createModels(database);
  const { entries, seals, heads, cursors } = models;
  const collection = database.collection<StoredEntry>(entries.collection.collectionName);
  const records = recordStore<AuditRecord>(database, entries as never, {
    noun: 'auditEntry',
    fields: entryFields,
    // Entries have their own MAC, which covers their place in the log too.
    authenticity: null,
    nameField: 'subject',
  });
  const logs = new Map<string, OpenLog>();
  const changed = new Set<string>();

  function remember(organizationId: string, log: OpenLog): OpenLog {
    if (logs.size >= OPEN_LOGS_MAX) {
      for (const [name, { numbers }] of logs) {
        if (numbers.isOpen() || numbers.hasGaps()) continue;
        logs.delete(name);
        break;
      }
    }
    logs.set(organizationId, log);
    return log;
  }

  const of = (extent: Extent, { keys }: KeyHolder) => {
    const { organizationId } = extent;
    const own = records(extent);

    /** Sends commands only the first time: the audit key is never replaced. */
    async function opened(): Promise<OpenLog> {
      const known = logs.get(organizationId);
      if (known) return known;
      const { bytes: key } = await keys.audit();
      const head = await heads.findOne({ organizationId }).lean();
      const seen = head && isAuthenticHead(key, organizationId, head) ? { sequence: head.sequence, headHash: head.headHash } : NO_BATCH;
      // Another transaction can have opened it meanwhile. There must be one only, which counts.
      return (
        logs.get(organizationId) ??
        remember(organizationId, {
          key,
          writer: randomBytes(WRITER_BYTES).toString('base64url'),
          numbers: createEntryNumbers(),
          seen,
          confirmed: 0,
          watched: new Set(),
        })
      );
    }

    /** Inserts an entry with this number of this process. Call it in a transaction. */
    async function insertNumbered(log: OpenLog, number: number, record: AuditRecord): Promise<void> {
      const { _id: id, ...rest } = numbered(log, number, record);
      await own.insert({ id, ...rest });
    }

    /** Returns the stored form of an entry with this number of this process. */
    function numbered({ writer, numbers, seen, key }: OpenLog, number: number, record: AuditRecord): StoredEntry {
      const { id, ...rest } = wellFormed(record);
      const place = { format: FORMAT, writer, number, settled: numbers.settled(), batch: seen.sequence, batchHash: seen.headHash };
      const stored = { ...rest, ...place, _id: id, organizationId, sequence: null };
      return { ...stored, mac: macOfEntry(key, stored) };
    }

    /** Inserts entries with the next numbers of this process. Call it in a transaction. */
    async function insertNext(records: readonly AuditRecord[]): Promise<void> {
      const log = await opened();
      const { numbers } = log;
      let isNumberUsed = false;
      let taken: readonly number[] = [];
      // First, because it throws if the attempt has ended meanwhile. The numbers would stay taken for ever.
      onOutcome((outcome) => {
        for (const number of taken) numbers.end(number, isNumberUsed ? 'unknown' : outcome);
        if (outcome !== 'aborted') changed.add(organizationId);
      });
      taken = records.map(() => numbers.take());
      try {
        const [first] = records;
        if (records.length === 1) await insertNumbered(log, taken[0]!, first!);
        else
          await collection.insertMany(
            records.map((record, index) => numbered(log, taken[index]!, record)),
            database.session(),
          );
      } catch (error) {
        isNumberUsed = isNumberTaken(error);
        // It must not be taken for a name that is in use.
        throw isNumberUsed ? new Error('An entry of the audit log has a number that only this process may use.') : error;
      }
    }

    async function write(record: AuditRecord): Promise<AuditRecord> {
      if (!isInTransaction()) {
        await database.transaction(() => insertNext([record]));
        return record;
      }
      const events = outbox.take(organizationId, record);
      await insertNext([events.length === 0 ? record : { ...record, events, hasNewEvents: true }]);
      return record;
    }

    /** Writes an entry for a number that must not become a gap. If there is one already, the transaction that wrote it was committed. */
    async function insertVoid(log: OpenLog, number: number, now: Date): Promise<void> {
      try {
        await database.transaction(() => insertNumbered(log, number, gatewayEntry(organizationId, 'voidAuditNumber', null, now)));
        log.numbers.end(number, 'committed');
      } catch (error) {
        log.numbers.end(number, isNumberTaken(error) ? 'committed' : 'unknown');
        if (!isNumberTaken(error)) throw error;
      }
    }

    /** Returns why nothing may be added to the chain, or null. `head` is the record of the newest batch. */
    async function refusal({ key, seen }: OpenLog, head: HeadRecord | null): Promise<string | null> {
      const last = await seals.findOne({ organizationId }).sort({ sequence: -1 }).lean();
      if (!head) {
        return last?.format === FORMAT || seen.sequence > 0
          ? 'the record of the newest batch is missing'
          : 'it has no record of its newest batch; if an older version made this log, run `credential-gateway migrate`';
      }
      if (!isAuthenticHead(key, organizationId, head)) return 'the record of the newest batch was changed';
      if (!isSameHead(last ?? NO_BATCH, head)) return 'the newest batch is not the one that was sealed last';
      if (last && !isAuthenticSeal(key, organizationId, last)) return `batch ${last.sequence} was not sealed by this gateway`;
      if (head.sequence < seen.sequence)
        return `the chain ends at batch ${head.sequence}, but this process has seen batch ${seen.sequence}`;
      const then =
        head.sequence === seen.sequence || seen.sequence === 0
          ? head
          : await seals.findOne({ organizationId, sequence: seen.sequence }).lean();
      if (seen.sequence > 0 && then?.headHash !== seen.headHash) return `batch ${seen.sequence} is not the one that this process has seen`;
      return null;
    }

    interface Step {
      readonly found: readonly StoredEntry[];
      readonly rejected: readonly StoredEntry[];
      readonly head: Head;
      readonly refusal: string | null;
    }

    /** Seals the next entries after an id, in one transaction. */
    const sealNext = ({ key }: OpenLog, head: Head, after: string, now: Date): Promise<Step> =>
      database.transaction(async () => {
        // Selects unsealed entries, not entries by time, because a transaction can commit long after its entry was written.
        const found = await unsealed(after);
        const batch = found.filter((entry) => isAuthentic(key, entry)) as NumberedEntry[];
        const rejected = found.filter((entry) => !batch.includes(entry as NumberedEntry));
        const later = batch.find(
          (entry) => entry.batch > head.sequence || (entry.batch === head.sequence && entry.batchHash !== head.headHash),
        );
        if (later) return { found, rejected, head, refusal: `entry ${later._id} was written after batch ${later.batch}, which is missing` };
        if (batch.length === 0) return { found, rejected, head, refusal: null };
        return { found, rejected, head: await moveHead(key, head, await addBatch(key, head, batch, now, 0)), refusal: null };
      });

    function unsealed(after: string, format?: { readonly $ne: number }): Promise<StoredEntry[]> {
      const filter = { organizationId, sequence: null, _id: { $gt: after }, ...(format && { format }) };
      return entries
        .find(filter)
        .sort({ _id: 1 })
        .limit(ENTRIES_PER_BATCH)
        .batchSize(ENTRIES_PER_BATCH + 1)
        .lean() as unknown as Promise<StoredEntry[]>;
    }

    /** Returns unsealed entries whose ids are no text, which the database does not compare with text. The gateway never writes one. */
    function unsealedWithoutId(): Promise<StoredEntry[]> {
      const filter = { organizationId, sequence: null, $nor: [{ _id: { $gte: '' } }] };
      return entries
        .find(filter)
        .limit(ENTRIES_PER_BATCH)
        .batchSize(ENTRIES_PER_BATCH + 1)
        .lean() as unknown as Promise<StoredEntry[]>;
    }

    /** Chains a batch to the newest one. Returns its place in the chain. */
    async function addBatch(
      key: Uint8Array,
      head: AuditHead,
      batch: readonly StoredEntry[],
      now: Date,
      unproven: number,
    ): Promise<AuditHead> {
      const seal = chained(head, batch, now, unproven);
      const { sequence, headHash } = seal;
      await entries.updateMany({ organizationId, _id: { $in: batch.map(({ _id }) => _id) } }, { $set: { sequence } });
      await seals.create([{ _id: newId(), organizationId, ...seal, mac: macOfSeal(key, organizationId, seal) }]);
      return { sequence, headHash };
    }

    /** Writes which batch is the newest one. */
    async function moveHead(key: Uint8Array, from: Head, to: AuditHead): Promise<Head> {
      const head = { ...to, legacyBatches: from.legacyBatches };
      const mac = macOfHead(key, organizationId, head);
      const moved = await heads.updateOne({ organizationId, sequence: from.sequence, headHash: from.headHash }, { $set: { ...to, mac } });
      if (moved.matchedCount === 0) throw new SupersededError();
      return head;
    }

    async function createHead(key: Uint8Array, head: Head): Promise<void> {
      await heads.create([{ _id: newId(), organizationId, ...head, mac: macOfHead(key, organizationId, head) }]);
    }

    /** Finds out whether the entries that this process has written are still there. Returns the numbers of those that are not. */
    async function missingOf(log: OpenLog, upTo: number): Promise<number[]> {
      const { writer, watched } = log;
      const count = upTo - log.confirmed;
      const mine = { organizationId, format: FORMAT, writer };
      if (count > 0) {
        const fresh = { ...mine, number: { $gt: log.confirmed, $lte: upTo } };
        // Mostly all of them are sealed, and counting is enough.
        const isAllSealed = (await entries.countDocuments({ ...fresh, sequence: { $gte: 1 } })) === count;
        if (!isAllSealed && count + watched.size <= WATCHED_MAX) for (let n = log.confirmed + 1; n <= upTo; n++) watched.add(n);
        log.confirmed = upTo;
      }
      if (watched.size === 0) return [];
      const found = (await entries.find({ ...mine, number: { $in: [...watched] } }, { number: 1, sequence: 1 }).lean()) as unknown as Pick<
        NumberedEntry,
        'number' | 'sequence'
      >[];
      const numbers = new Set(found.map(({ number }) => number));
      const missing = [...watched].filter((number) => !numbers.has(number));
      for (const number of missing) watched.delete(number);
      for (const { number, sequence } of found) if (sequence !== null) watched.delete(number);
      return missing;
    }

    return {
      ...own,

      ...translatingErrors({
        /**
         * Adds an entry, with its number and MAC. Call it in the transaction of what it tells; outside of one, it is a transaction of its own.
         */
        insert: write,

        /** Adds several entries. Call it in the transaction of what they tell. */
        async insertAll(added: readonly AuditRecord[]): Promise<void> {
          const last = added.at(-1);
          if (last) outbox.attribute(organizationId, last);
          for (let start = 0; start < added.length; start += ENTRIES_PER_BATCH)
            await insertNext(added.slice(start, start + ENTRIES_PER_BATCH));
        },

        /** Returns entries whose events have no positions yet, oldest first: at most `limit`. Those that the gateway did not write have no events. */
        async withNewEvents(limit: number): Promise<{ readonly id: string; readonly events: readonly CarriedEvent[] }[]> {
          const found = await collection
            .find({ organizationId, hasNewEvents: true }, { sort: { _id: 1 }, limit, batchSize: limit + 1, ...database.session() })
            .toArray();
          if (found.length === 0) return [];
          const { key } = await opened();
          return found.map((entry) => ({ id: entry._id, events: isAuthentic(key, entry) ? (entry.events ?? []) : [] }));
        },

        /** Notes that the events of entries have got their positions. */
        async noteNumbered(ids: readonly string[]): Promise<void> {
          const filter = { organizationId, _id: { $in: [...ids] } };
          await collection.updateMany(filter, { $unset: { hasNewEvents: '' } } as never, database.session());
        },

        /** Begins the log of a new organization. Call it in the transaction that creates the organization's keys. */
        async begin(): Promise<void> {
          const { bytes: key } = await keys.audit();
          await createHead(key, { ...NO_BATCH, legacyBatches: 0 });
        },

        /** Whether the log has been begun, or migrated. */
        async hasBegun(): Promise<boolean> {
          return (await heads.findOne({ organizationId }).lean()) !== null;
        },

        /**
         * Seals all unsealed entries that this organization's gateway wrote, batch by batch. Other entries stay unsealed and are counted. If the
         * chain is not what this process has seen, or contradicts what is authentic, seals nothing.
         */
        async seal(now: Date): Promise<SealReport> {
          const report: SealReport = { sealed: 0, rejected: 0, rejectedIds: [], missing: [], refusal: null };
          const log = await opened();
          for (let number = log.numbers.takeUnknown(); number !== undefined; number = log.numbers.takeUnknown()) {
            await insertVoid(log, number, now);
          }
          const upTo = log.numbers.settled();
          try {
            await sealAll(log, report, now);
          } catch (error) {
            // Another copy of the gateway is sealing at the same time.
            if (!(error instanceof SupersededError) && !(translate(error) instanceof DuplicateKeyError)) throw error;
          }
          report.missing = await missingOf(log, upTo);
          // This entry proves later that the numbers before it had been in the log.
          if (report.missing.length > 0) {
            const numbers = report.missing.slice(0, NAMED_MAX).join(', ');
            const more = report.missing.length > NAMED_MAX ? `, and ${report.missing.length - NAMED_MAX} more` : '';
            await write(gatewayEntry(organizationId, 'missAuditEntries', `writer ${log.writer}: ${numbers}${more}`, now));
          }
          return report;
        },

        /** Writes entries for returned numbers that would be gaps. Call it before the process ends, when nothing else writes. */
        async fillGaps(now: Date): Promise<void> {
          const log = await opened();
          for (let number = log.numbers.takeGap(); number !== undefined; number = log.numbers.takeGap()) await insertVoid(log, number, now);
        },

        /**
         * Recomputes the chain, and checks every entry and every writer's numbers. `knownHead` is a head that was exported earlier. If the
         * chain does not contain it, somebody truncated and rebuilt the chain.
         */
        async verify(knownHead?: AuditHead): Promise<AuditVerification> {
          const key = await keys.audit().catch((error: unknown) => {
            if (error instanceof MasterKeyUnavailableError) throw error;
            return null;
          });
          const log = logs.get(organizationId);
          const remembered = log && { seen: log.seen, writer: log.writer, settled: log.numbers.settled() };
          return verifyLog(models, { organizationId, key: key?.bytes ?? null, knownHead, remembered });
        },

        /** Returns the newest sealed batch. Null if there is none. Verifies nothing. */
        async lastHead(): Promise<AuditHead | null> {
          const last = await seals.findOne({ organizationId }).sort({ sequence: -1 }).lean();
          return last && { sequence: last.sequence, headHash: last.headHash };
        },

        /**
         * Returns the sealed batches after a number, in their order. @throws AuditChainError when one of them is not as it was sealed
         */
        async batchesAfter(sequence: number, limit: number): Promise<SealedBatch[]> {
          const { key } = await opened();
          const found = await seals
            .find({ organizationId, sequence: { $gt: sequence } })
            .sort({ sequence: 1 })
            .limit(limit)
            .lean();
          const batches: SealedBatch[] = [];
          for (const seal of found) {
            const batch = (await entries
              .find({ organizationId, sequence: seal.sequence })
              .sort({ _id: 1 })
              .lean()) as unknown as StoredEntry[];
            const isIntact = isAuthenticSeal(key, organizationId, seal) && hashOf(batch, seal.format) === seal.entriesHash;
            // Values of other types can have the same hash.
            const others = seal.format === FORMAT ? batch.filter((entry) => !isAuthentic(key, entry)).length : 0;
            if (!isIntact || others !== (seal.unproven ?? 0)) throw new AuditChainError(`Batch ${seal.sequence} is not as it was sealed.`);
            batches.push({ seal, entries: batch.map(({ _id, ...entry }) => ({ id: _id, ...entry })) });
          }
          return batches;
        },

        /**
         * Returns the number of the last batch that a sink has got. 0 if nothing proves that it has got any.
         * @throws AuditChainError when the log does not contain that batch: it was put back, or its end was removed and rebuilt
         */
        async sentTo(sink: string): Promise<number> {
          const { key } = await opened();
          const cursor = await cursors.findOne({ organizationId, sink }).lean();
          if (!cursor || !sameText(String(cursor.mac), macOfCursor(key, organizationId, cursor))) return 0;
          const { sequence, headHash } = cursor;
          const sent = await seals.findOne({ organizationId, sequence }).lean();
          if (sent?.headHash !== headHash) throw new AuditChainError(`Batch ${sequence} is not the one that the sink has got.`);
          return sequence;
        },

        /** Notes that a sink has got all batches up to this one. */
        async noteSent(sink: string, { sequence, headHash }: AuditHead): Promise<void> {
          const { key } = await opened();
          const set = { sequence, headHash, mac: macOfCursor(key, organizationId, { sink, sequence, headHash }) };
          try {
            await cursors.updateOne({ organizationId, sink }, { $set: set, $setOnInsert: { _id: newId() } }, { upsert: true });
          } catch (error) {
            // Another copy has noted it at the same time. At worst, batches are sent again.
            if (!(translate(error) instanceof DuplicateKeyError)) throw error;
          }
        },

        async count(): Promise<number> {
          return entries.countDocuments({ organizationId });
        },

        /**
         * Migrates a log of an older version, whose entries have no MAC. Its batches stay, and keep their rule. Its unsealed entries are sealed
         * as unproven: from then on nobody can change them, but nothing tells who wrote them. Returns null if there is nothing to do.
         *
         * @throws AuditMigrationError when the log contains traces of the current format: then somebody has removed the record of its migration
         */
        async migrate(now: Date): Promise<AuditMigration | null> {
          if (await heads.findOne({ organizationId }).lean()) return null;
          const { bytes: key } = await keys.audit();
          if ((logs.get(organizationId)?.seen.sequence ?? 0) > 0) throw new AuditMigrationError('This process has seen it migrated.');
          // Only a log that had a record of its newest batch has entries that name one.
          for await (const entry of entries.find({ organizationId, format: FORMAT, batch: { $gte: 1 } }).lean()) {
            if (isAuthentic(key, entry as unknown as StoredEntry))
              throw new AuditMigrationError('It contains entries that were written after its migration.');
          }
          // A migration that was interrupted has left batches of unproven entries.
          for await (const seal of seals.find({ organizationId, format: FORMAT }).lean()) {
            if (seal.unproven !== seal.entryCount || !isAuthenticSeal(key, organizationId, seal)) {
              throw new AuditMigrationError('It contains batches that were sealed after its migration.');
            }
          }
          let unproven = 0;
          for (;;) {
            const sealed = await database.transaction(async () => {
              const batch = await unsealed('', { $ne: FORMAT });
              if (batch.length === 0) return 0;
              const last = await seals.findOne({ organizationId }).sort({ sequence: -1 }).lean();
              await addBatch(key, last ?? NO_BATCH, batch, now, batch.length);
              return batch.length;
            });
            unproven += sealed;
            if (sealed === 0) break;
          }
          const legacyBatches = await seals.countDocuments({ organizationId, format: { $ne: FORMAT } });
          const last = (await seals.findOne({ organizationId }).sort({ sequence: -1 }).lean()) ?? NO_BATCH;
          await createHead(key, { sequence: last.sequence, headHash: last.headHash, legacyBatches });
          logs.delete(organizationId);
          changed.delete(organizationId);
          return { legacyBatches, unproven };
        },

        /** Deletes the log and its chain. */
        async removeAll(): Promise<void> {
          await entries.deleteMany({ organizationId });
          await seals.deleteMany({ organizationId });
          await heads.deleteMany({ organizationId });
          await cursors.deleteMany({ organizationId });
          logs.delete(organizationId);
        },
      }),
    };

    async function sealAll(log: OpenLog, report: SealReport, now: Date): Promise<void> {
      let head: Head | null = null;
      for (let after = ''; ; ) {
        if (!head) {
          const newest = await heads.findOne({ organizationId }).lean();
          // Without new entries, the chain is compared with what this process remembers only.
          const isIdle = newest && isSameHead(newest, log.seen) && !(await entries.exists({ organizationId, sequence: null }));
          if (isIdle) return;
          // In one snapshot: another process can seal between two reads, and then they would not fit together.
          const { record, why } = await database.transaction(async () => {
            const record = await heads.findOne({ organizationId }).lean();
            return { record, why: await refusal(log, record) };
          });
          report.refusal = why;
          if (report.refusal) return;
          const { sequence, headHash, legacyBatches } = record!;
          head = { sequence, headHash, legacyBatches };
          log.seen = { sequence, headHash };
          const withoutId = await unsealedWithoutId();
          report.rejected += withoutId.length;
          report.rejectedIds.push(...withoutId.slice(0, NAMED_MAX).map(() => NO_ID));
        }
        const step = await sealNext(log, head, after, now);
        report.rejected += step.rejected.length;
        report.rejectedIds.push(...step.rejected.slice(0, NAMED_MAX - report.rejectedIds.length).map(({ _id }) => _id));
        report.refusal = step.refusal;
        if (step.refusal) return;
        report.sealed += step.found.length - step.rejected.length;
        head = step.head;
        log.seen = { sequence: head.sequence, headHash: head.headHash };
        if (step.found.length < ENTRIES_PER_BATCH) return;
        after = step.found.at(-1)!._id;
      }
    }
  };

  return Object.assign(of, {
    /** Returns the organizations whose logs this process has written to since this was called last. */
    changed(): string[] {
      const names = [...changed];
      changed.clear();
      return names;
    },
    /** Returns the organizations whose logs this process has written to. */
    written: (): string[] => [...logs].filter(([, { numbers }]) => !numbers.isUnused()).map(([organizationId]) => organizationId),
  });
}

/** Another copy of the gateway has sealed at the same time. */
class SupersededError extends Error {}

function isNumberTaken(error: unknown): boolean {
  const duplicate = translate(error);
  return duplicate instanceof DuplicateKeyError && duplicate.fields.includes('number');
}

/** An entry about something that the gateway itself has done or found. */
function gatewayEntry(organizationId: string, action: string, reason: string | null, now: Date): AuditRecord {
  const base = { id: newId(), organizationId, version: 1, createdAt: now, updatedAt: now };
  const about = { viewerKind: 'gateway', subject: ITSELF, address: null, requestId: null, objectNoun: null, objectId: null } as const;
  return { ...base, ...about, action, outcome: 'SUCCESS', reason, count: 1, sequence: null };
}

/** The database stores a lone surrogate as another character, which the MAC must cover as it is read later. */
function wellFormed(record: AuditRecord): AuditRecord {
  const texts = Object.entries(record).map(([name, value]) => [name, typeof value === 'string' ? Buffer.from(value).toString() : value]);
  return Object.fromEntries(texts) as AuditRecord;
}
