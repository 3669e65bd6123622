import { LRUCache } from 'lru-cache';
import type { ConnectionRecord } from '../store/connection.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { type ProblemCode, UNSETTLED } from '../store/health.ts';
import type { OrganizationStore, Store } from '../store/index.ts';
import type { DomainContext } from './context.ts';
import { credentialHealth, isSameForConnections, runsOutAt, stored } from './health.ts';
import { inTurnByOrganization } from './in-turn.ts';

export type { ProblemCode };

/** What was learned about credentials by using them. */
export interface Finding {
  readonly connectionId: string | null;
  readonly credentialIds: readonly string[];
  /** Null if it worked, which clears earlier findings. */
  readonly problem: ProblemCode | null;
}

/** How many failures in a row make a finding, and over how many milliseconds: a service that fails for moments is not a problem. */
const FAILURES_MIN = 3;
const FAILURES_SPAN_MS = 60_000;
/** What one answer proves. */
const certain: ReadonlySet<ProblemCode> = new Set(['AUTHORIZATION_LOST', 'TOKEN_EXPIRED', 'SECRET_UNREADABLE', 'SECRET_MISSING']);
/** What is wrong with the service or the connection, whichever credential was used. */
const ofConnection: ReadonlySet<ProblemCode> = new Set(['SERVICE_FAILED', 'UNEXPECTED_ANSWER', 'NOT_USABLE']);
/** A credential that is in constant use causes one write in this time. */
const CHECKED_MS = 60 * 60_000;
/** The maximum number of credentials and connections that are remembered between two flushes. Others are forgotten, and noticed again. */
const REMEMBERED_MAX = 10_000;

/** The credential or connection that something was learned about. */
interface Subject {
  readonly organizationId: string;
  readonly noun: 'credential' | 'connection';
  readonly id: string;
}

/** What is to be written about a credential or a connection. */
interface Outcome {
  /** Null if it worked; `READABLE` if its secrets can be opened, which tells nothing about the service. */
  readonly problem: ProblemCode | 'READABLE' | null;
  /** When the first of its failures was noticed, or when it worked. */
  readonly since: Date;
  readonly at: Date;
}

/** What this process knows about one subject: its failures in a row, and what is to be written. */
interface Known {
  readonly subject: Subject;
  run: { readonly first: Date; count: number } | null;
  outcome: Outcome | null;
}

function keyOf({ organizationId, noun, id }: Subject): string {
  return `${noun} ${id} ${organizationId}`;
}

export type Findings = ReturnType<typeof createFindings>;

/**
 * Collects what is learned by using credentials, in memory. A flush each minute writes what has changed, so a request costs no write. Each process counts
 * its own failures; what works in one clears what another has found.
 */
export function createFindings() {
  const known = new LRUCache<string, Known>({ max: REMEMBERED_MAX });

  function note(subject: Subject, problem: ProblemCode | null, at: Date): void {
    const key = keyOf(subject);
    let entry = known.get(key);
    if (!entry) {
      entry = { subject, run: null, outcome: null };
      known.set(key, entry);
    }
    if (problem === null) {
      entry.run = null;
      entry.outcome = { problem, since: at, at };
      return;
    }
    entry.run ??= { first: at, count: 0 };
    entry.run.count++;
    const isEnough = entry.run.count >= FAILURES_MIN && at.getTime() - entry.run.first.getTime() >= FAILURES_SPAN_MS;
    // What worked before the first failure stays to be written until the failures are enough.
    if (isEnough || certain.has(problem)) entry.outcome = { problem, since: entry.run.first, at };
  }

  return {
    /** Notes a finding. Takes no time, and never fails. */
    note(organizationId: string, finding: Finding, at: Date): void {
      for (const subject of subjectsOf(finding)) note({ organizationId, ...subject }, finding.problem, at);
    },
    /** Notes that a secret of a credential cannot be opened. */
    noteUnreadable({ organizationId, credentialId }: { readonly organizationId: string; readonly credentialId: string }, at: Date): void {
      note({ organizationId, noun: 'credential', id: credentialId }, 'SECRET_UNREADABLE', at);
    },
    /** Notes that all secrets of a credential can be opened, after that was not so. */
    noteReadable({ organizationId, id }: { readonly organizationId: string; readonly id: string }, at: Date): void {
      const subject = { organizationId, noun: 'credential', id } as const;
      known.set(keyOf(subject), { subject, run: null, outcome: { problem: 'READABLE', since: at, at } });
    },
    /**
     * Writes what was found since the last flush. What cannot be written is kept for the next one.
     * @throws AggregateError of an OrganizationError for each organization whose findings cannot be written, at the end
     */
    async flush(stores: Store): Promise<void> {
      const items = [...known.values()].flatMap((entry) =>
        entry.outcome ? [{ organizationId: entry.subject.organizationId, entry }] : [],
      );
      await inTurnByOrganization(items, async ({ organizationId, entry }) => {
        const { outcome } = entry;
        const isAbout = await applyOutcome(stores.of(organizationId), entry.subject, outcome!);
        // What was noted while it was written is written next time.
        if (entry.outcome === outcome) entry.outcome = null;
        if (!isAbout) entry.run = null;
      });
    },
  };
}

/** Notes what was learned by using a credential. Takes no time, and never fails. */
export function noteFinding({ findings, viewer, now }: DomainContext, finding: Finding): void {
  findings.note(viewer.organizationId, finding, now());
}

/** Writes at once what was learned by asking for it, whatever was known before. */
export async function writeFinding(store: OrganizationStore, finding: Finding, at: Date): Promise<void> {
  for (const subject of subjectsOf(finding)) await applyOutcome(store, subject, { problem: finding.problem, since: at, at });
}

/** Writes at once that all secrets of a credential can be opened. */
export async function writeReadable(store: OrganizationStore, id: string, at: Date): Promise<void> {
  await applyOutcome(store, { noun: 'credential', id }, { problem: 'READABLE', since: at, at });
}

/**
 * Returns what a finding is about. If it worked, everything that took part works. A problem is one of the connection if it has several credentials,
 * because nobody knows which of them was meant.
 */
function subjectsOf({ connectionId, credentialIds, problem }: Finding): Omit<Subject, 'organizationId'>[] {
  const credentials = credentialIds.map((id) => ({ noun: 'credential', id }) as const);
  const connection = connectionId === null ? [] : [{ noun: 'connection', id: connectionId } as const];
  if (problem === null) return [...connection, ...credentials];
  const isOfCredential = !ofConnection.has(problem) && credentials.length === 1;
  return isOfCredential || connection.length === 0 ? credentials : connection;
}

/**
 * Writes what was learned about a credential or a connection, if it is news. It changes neither the version nor `updatedAt`. Returns false if the record has
 * changed since it was learned, or cannot be found.
 */
async function applyOutcome(store: OrganizationStore, { noun, id }: Omit<Subject, 'organizationId'>, outcome: Outcome): Promise<boolean> {
  return store.transaction(async () => {
    // Nothing is learned about a record that somebody else has written, or that is gone.
    const record =
      noun === 'credential' ? await store.credentials.evenAltered.one({ id }) : await store.connections.evenAltered.one({ id });
    if (!record || record.isAltered) return false;
    // It was learned about what is not there any more.
    if (outcome.since < record.updatedAt) return false;
    const learned = learnedBy(record, outcome);
    if (!learned) return true;
    if (noun === 'connection') {
      await store.connections.annotateAll([{ id, before: record as ConnectionRecord, fields: { ...learned, stateChangesAt: UNSETTLED } }]);
      return true;
    }
    const before = record as CredentialRecord;
    const credential = { ...before, ...learned };
    const following = { ...stored(credentialHealth(credential, outcome.at)), runsOutAt: runsOutAt(credential) };
    const isSpread = isSameForConnections({ ...credential, ...following }, before);
    await store.credentials.annotateAll([{ id, before, fields: { ...learned, ...following, ...(!isSpread && { isUnspread: true }) } }]);
    return true;
  });
}

/** Returns what is written about a record. Null if it is nothing new. */
function learnedBy(
  { findings = [], checkedAt = null }: CredentialRecord | ConnectionRecord,
  { problem, since, at }: Outcome,
): Pick<CredentialRecord, 'findings' | 'checkedAt'> | null {
  const others = findings.filter(({ code }) => code !== 'SECRET_UNREADABLE');
  if (problem === 'READABLE') return others.length === findings.length ? null : { findings: others, checkedAt };
  if (problem === 'SECRET_UNREADABLE') {
    return others.length < findings.length ? null : { findings: [...findings, { code: problem, since }], checkedAt };
  }
  const isSame = problem === null ? findings.length === 0 : findings.length === 1 && findings[0]!.code === problem;
  if (isSame && checkedAt !== null && at.getTime() - checkedAt.getTime() < CHECKED_MS) return null;
  if (isSame) return { findings, checkedAt: at };
  return { findings: problem === null ? [] : [{ code: problem, since }], checkedAt: at };
}
