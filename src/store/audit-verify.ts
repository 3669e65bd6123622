import { sameText } from '../secrets/same-text.ts';
import type { Models } from './audit.ts';
import {
  type AuditHead,
  type AuditSeal,
  FORMAT,
  hashOf,
  headHashOf,
  isAuthentic,
  isAuthenticHead,
  isSameHead,
  macOfSeal,
  NO_BATCH,
  NO_ID,
  type NumberedEntry,
  type StoredEntry,
} from './audit-forms.ts';

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
  /** Descriptions of what is not a problem, but cannot be proven either. */
  readonly notes: readonly string[];
}

interface Question {
  readonly organizationId: string;
  /** Null if the key is missing or cannot be unwrapped. */
  readonly key: Uint8Array | null;
  /** A head that was kept elsewhere. */
  readonly knownHead: AuditHead | undefined;
  /** What this process remembers of the log, if it has used it. */
  readonly remembered: { readonly seen: AuditHead; readonly writer: string; readonly settled: number } | undefined;
}

/** The number of entries, numbers or writers that one message names. Others are only counted. */
const NAMED_MAX = 10;
/** The number of missing numbers that are looked for once more, because entries are sealed while this runs. */
const LOOKED_UP_MAX = 1_000;
/** The number of messages about single batches. */
const MESSAGES_MAX = 1_000;

/** The numbers of one writer that were found. */
interface Run {
  /** All numbers up to this one were found. */
  complete: number;
  /** Found numbers beyond. */
  readonly beyond: Set<number>;
  /** An entry says that all numbers up to this one had been in the log. */
  settled: number;
  highest: number;
}

/** Recomputes the chain of a log, and checks every entry and the numbers of every writer. */
export async function verifyLog({ entries, seals, heads }: Models, question: Question): Promise<AuditVerification> {
  const { organizationId, key, knownHead, remembered } = question;
  const [problems, notes]: [string[], string[]] = [[], []];
  const problem = (text: string) => void (problems.length < MESSAGES_MAX && problems.push(text));
  if (!key) problem('its audit key is missing or cannot be unwrapped, so nothing can be authenticated');

  const runs = new Map<string, Run>();
  /** The hashes of batches that entries name, until the batches are known. */
  const named = new Map<number, Set<string>>();
  /** Notes what an authentic entry says about its writer's numbers and about the chain. */
  function consider({ writer, number, settled, batch, batchHash }: NumberedEntry): void {
    const run = runs.get(writer) ?? { complete: 0, beyond: new Set(), settled: 0, highest: 0 };
    runs.set(writer, run);
    if (number > run.complete) run.beyond.add(number);
    while (run.beyond.delete(run.complete + 1)) run.complete++;
    run.settled = Math.max(run.settled, settled);
    run.highest = Math.max(run.highest, number);
    if (batch > 0 && chain.get(batch) !== batchHash) named.set(batch, (named.get(batch) ?? new Set()).add(batchHash));
  }

  const chain = new Map<number, string>();
  const totals = { entries: 0, legacyBatches: 0, unproven: 0, unprovenBatches: [] as number[] };
  let previous: AuditSeal | null = null;

  async function verifyBatch(seal: AuditSeal & { readonly mac: string }): Promise<void> {
    const where = `batch ${seal.sequence}`;
    const isCurrent = seal.format === FORMAT;
    if (seal.sequence !== (previous?.sequence ?? 0) + 1) problem(`${where}: does not follow batch ${previous?.sequence ?? 0}`);
    const batch = (await entries.find({ organizationId, sequence: seal.sequence }).sort({ _id: 1 }).lean()) as unknown as StoredEntry[];
    if (batch.length !== seal.entryCount) problem(`${where}: has ${batch.length} entries, but was sealed with ${seal.entryCount}`);
    if (hashOf(batch, seal.format) !== seal.entriesHash) problem(`${where}: an entry was removed, changed or inserted`);
    if (seal.previousHash !== (previous?.headHash ?? '')) problem(`${where}: is not chained to the previous batch`);
    if (headHashOf(seal) !== seal.headHash) problem(`${where}: the record of the batch was changed`);
    if (key && !sameText(String(seal.mac), macOfSeal(key, organizationId, seal))) problem(`${where}: was not sealed by this gateway`);
    if (knownHead?.sequence === seal.sequence && knownHead.headHash !== seal.headHash)
      problem(`${where}: does not have the hash of the given head`);
    if (remembered?.seen.sequence === seal.sequence && remembered.seen.headHash !== seal.headHash)
      problem(`${where}: is not the batch that this process has seen`);
    if (isCurrent) {
      const authentic = key ? batch.filter((entry) => isAuthentic(key, entry)) : [];
      const others = batch.length - authentic.length;
      const unproven = seal.unproven ?? 0;
      if (key && others !== unproven) problem(`${where}: ${entriesWere(others - unproven)} not written by this gateway, or changed later`);
      for (const entry of authentic) consider(entry as NumberedEntry);
      totals.unproven += unproven;
      if (unproven > 0) totals.unprovenBatches.push(seal.sequence);
    } else {
      if (previous?.format === FORMAT) problem(`${where}: has the form of an older version, but follows batches of the current one`);
      totals.legacyBatches++;
    }
    chain.set(seal.sequence, seal.headHash);
    previous = seal;
    totals.entries += batch.length;
  }

  const unsealed = { count: 0, oldest: null as Date | null, rejected: 0, rejectedIds: [] as string[] };
  // Entries are sealed while this runs: what is not read as unsealed is in a batch that is read in the next turn.
  for (;;) {
    const from: number = (previous as AuditSeal | null)?.sequence ?? 0;
    for await (const seal of seals
      .find({ organizationId, ...(from > 0 && { sequence: { $gt: from } }) })
      .sort({ sequence: 1 })
      .lean()) {
      await verifyBatch(seal);
    }
    Object.assign(unsealed, { count: 0, oldest: null, rejected: 0, rejectedIds: [] });
    for await (const found of entries.find({ organizationId, sequence: null }).sort({ _id: 1 }).lean()) {
      const entry = found as unknown as StoredEntry;
      unsealed.count++;
      if (entry.createdAt instanceof Date && (!unsealed.oldest || entry.createdAt < unsealed.oldest)) unsealed.oldest = entry.createdAt;
      if (key && isAuthentic(key, entry)) consider(entry);
      else if (unsealed.rejected++ < NAMED_MAX) unsealed.rejectedIds.push(typeof entry._id === 'string' ? entry._id : NO_ID);
    }
    const last: number = (previous as AuditSeal | null)?.sequence ?? 0;
    if (!(await seals.exists({ organizationId, sequence: { $gt: last } }))) break;
  }
  const last: AuditHead = previous ?? NO_BATCH;

  if (knownHead && knownHead.sequence > last.sequence)
    problem(`the chain ends before batch ${knownHead.sequence}, which the given head belongs to`);
  if (remembered && remembered.seen.sequence > last.sequence)
    problem(`the chain ends before batch ${remembered.seen.sequence}, which this process has seen`);
  const beyond = await entries.countDocuments({ organizationId, sequence: { $gt: last.sequence } });
  if (beyond > 0 && !(await seals.exists({ organizationId, sequence: { $gt: last.sequence } })))
    problem(`${beyond} entries belong to batches that are missing`);
  const within = await entries.countDocuments({ organizationId, sequence: { $gte: 1, $lte: last.sequence } });
  const misplaced =
    within - totals.entries + (await entries.countDocuments({ organizationId, $nor: [{ sequence: null }, { sequence: { $gte: 1 } }] }));
  if (misplaced > 0) problem(`${misplaced} entries have a number of a batch that cannot exist`);

  await verifyHead();
  verifyNamed();
  await verifyNumbers();
  if (key && unsealed.rejected > 0) {
    const names = list(unsealed.rejectedIds, unsealed.rejected);
    problem(`${entriesWere(unsealed.rejected)} not written by this gateway, or changed later, and never sealed: ${names}`);
  }
  if (totals.legacyBatches > 0) {
    notes.push(`batches 1 to ${totals.legacyBatches} were sealed by an older version, which did not check who had written an entry`);
  }
  if (totals.unproven > 0) {
    const where = totals.unprovenBatches.join(', ');
    notes.push(`batch ${where}: ${entriesWere(totals.unproven)} not sealed when the log was migrated; nothing proves who wrote them`);
  }
  return {
    batches: last.sequence,
    entries: totals.entries,
    unsealed: unsealed.count,
    oldestUnsealed: unsealed.oldest,
    head: previous && { sequence: last.sequence, headHash: last.headHash },
    problems,
    notes,
  };

  /** Compares the chain with the record of its newest batch. */
  async function verifyHead(): Promise<void> {
    const head = await heads.findOne({ organizationId }).lean();
    if (!head) {
      const isLegacy = totals.legacyBatches === last.sequence && named.size === 0;
      return problem(
        isLegacy
          ? 'there is no record of the newest batch: run `credential-gateway migrate` once if an older version made this log; otherwise the record was removed'
          : 'the record of the newest batch was removed',
      );
    }
    if (key && !isAuthenticHead(key, organizationId, head)) problem('the record of the newest batch was changed');
    if (head.legacyBatches !== totals.legacyBatches)
      problem(`the log has ${totals.legacyBatches} batches of older versions, but had ${head.legacyBatches} when it was migrated`);
    const first = head.legacyBatches + 1;
    if (totals.unprovenBatches.some((sequence, index) => sequence !== first + index))
      problem('a batch after the migration contains unproven entries');
    // Read after the batches: a batch can have been added meanwhile.
    if (head.sequence < last.sequence)
      problem(`batch ${last.sequence} is newer than the record of the newest batch, which names batch ${head.sequence}`);
    else if (head.sequence > last.sequence) {
      const isAdded = await seals.exists({ organizationId, sequence: head.sequence });
      if (!isAdded)
        problem(`the chain ends at batch ${last.sequence}, but batch ${head.sequence} was sealed: the batches after it were removed`);
    } else if (!isSameHead(head, last)) problem(`batch ${last.sequence} is not the one that was sealed`);
  }

  /** Compares the chain with the batches that entries name. */
  function verifyNamed(): void {
    for (const [sequence, hashes] of named) {
      if (sequence > last.sequence) problem(`entries were written after batch ${sequence}, but the chain ends at batch ${last.sequence}`);
      else if ([...hashes].some((hash) => hash !== chain.get(sequence)))
        problem(`batch ${sequence} is not the one that entries name: the chain was rebuilt`);
    }
  }

  async function verifyNumbers(): Promise<void> {
    if (remembered) {
      const run = runs.get(remembered.writer) ?? { complete: 0, beyond: new Set<number>(), settled: 0, highest: 0 };
      run.settled = Math.max(run.settled, remembered.settled);
      if (run.settled > 0) runs.set(remembered.writer, run);
    }
    for (const [writer, run] of runs) {
      const missing: number[] = [];
      let lookedUp = 0;
      let count = 0;
      for (let number = run.complete + 1; number <= run.settled; number++) {
        if (run.beyond.has(number)) continue;
        if (lookedUp++ < LOOKED_UP_MAX && (await isThere(writer, number))) continue;
        count++;
        if (missing.length < NAMED_MAX) missing.push(number);
      }
      if (count > 0)
        problem(
          `writer ${writer}: ${count === 1 ? 'an entry was' : `${count} entries were`} removed or changed: number ${list(missing, count)}`,
        );
      const open: number[] = [];
      for (let number = Math.max(run.complete, run.settled) + 1; number < run.highest; number++)
        if (!run.beyond.has(number)) open.push(number);
      if (open.length > 0) {
        const names = list(open.slice(0, NAMED_MAX), open.length);
        notes.push(`writer ${writer}: number ${names} may have been in flight when the process ended, or is still`);
      }
    }
  }

  async function isThere(writer: string, number: number): Promise<boolean> {
    const found = await entries.findOne({ organizationId, format: FORMAT, writer, number }).lean();
    return found !== null && key !== null && isAuthentic(key, found as unknown as StoredEntry);
  }
}

function entriesWere(count: number): string {
  return count === 1 ? '1 entry was' : `${count} entries were`;
}

function list(shown: readonly (string | number)[], count: number): string {
  return `${shown.join(', ')}${count > shown.length ? `, and ${count - shown.length} more` : ''}`;
}
