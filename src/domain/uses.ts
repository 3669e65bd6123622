import type { Viewer, ViewerKind } from '../access/viewer.ts';
import type { AuditRecord } from '../store/audit.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';
import { inTurnByOrganization } from './in-turn.ts';

/** The maximum number of viewers and connections that are told apart between two flushes. Other uses of an organization are counted together. */
const DISTINCT_MAX = 10_000;
/** The maximum number of records whose last use is kept between two flushes. The next use of the others is noted. */
const USED_MAX = 100_000;
/** Replaces viewers that are not told apart any more. */
const MANY = '(many)';
/** The last use is stored to the minute. */
const MINUTE_MS = 60_000;

/** Whether each proxied request gets an entry in the audit log, or all of a viewer over one connection in a minute get one. */
export type ProxiedAudit = 'each' | 'minute';

interface Use {
  readonly organizationId: string;
  readonly viewerKind: ViewerKind | null;
  readonly subject: string;
  /** Null if it sums up several connections. */
  readonly connectionId: string | null;
  count: number;
}

interface Used {
  readonly organizationId: string;
  readonly noun: 'connection' | 'credential';
  readonly id: string;
  readonly at: Date;
}

export type Uses = ReturnType<typeof createUses>;

/** Collects the uses of connections and credentials in memory, so that a request needs no write for them. */
export function createUses(proxied: ProxiedAudit) {
  const counts = new Map<string, Use>();
  const used = new Map<string, Used>();

  return {
    proxied,
    /** Counts a proxied request for the audit log. */
    count({ organizationId, kind: viewerKind, subject }: Viewer, connectionId: string): void {
      const key = JSON.stringify([organizationId, viewerKind, subject, connectionId]);
      const isTold = counts.has(key) || counts.size < DISTINCT_MAX;
      const all = JSON.stringify([organizationId]);
      const which = isTold
        ? { organizationId, viewerKind, subject, connectionId }
        : { organizationId, viewerKind: null, subject: MANY, connectionId: null };
      const entry = counts.get(isTold ? key : all) ?? { ...which, count: 0 };
      entry.count++;
      counts.set(isTold ? key : all, entry);
    },
    /** Notes when a connection and its credentials were used. */
    note(organizationId: string, connectionId: string, credentialIds: readonly string[], now: Date): void {
      const at = new Date(now.getTime() - (now.getTime() % MINUTE_MS));
      const records = [['connection', connectionId] as const, ...credentialIds.map((id) => ['credential', id] as const)];
      for (const [noun, id] of records) {
        const key = `${organizationId} ${noun} ${id}`;
        if (used.has(key) || used.size < USED_MAX) used.set(key, { organizationId, noun, id, at });
      }
    },
    /**
     * Writes what was collected since the last flush. What cannot be written is kept for the next one.
     * @throws AggregateError of an OrganizationError for each organization that fails, at the end
     */
    async flush(stores: Store, now: Date): Promise<void> {
      await inTurnByOrganization(byOrganization(counts, used), async ({ organizationId, keysOfCounts, keysOfUsed }) => {
        const store = stores.of(organizationId);
        // An organization that is deleted has no audit log, and no records.
        const isLive = (await store.organization.state()) === 'live';
        for (const key of keysOfCounts) {
          const use = counts.get(key);
          counts.delete(key);
          // Without it, another flush has written it meanwhile.
          if (!use || !isLive) continue;
          try {
            await store.audit.insert(entryOf(use, now));
          } catch (error) {
            counts.set(key, { ...use, count: use.count + (counts.get(key)?.count ?? 0) });
            throw error;
          }
        }
        for (const [noun, at, keys] of byTime(keysOfUsed, used)) {
          const records = noun === 'connection' ? store.connections : store.credentials;
          const ids = keys.flatMap((key) => used.get(key)?.id ?? []);
          if (isLive) await records.noteUsed(ids, new Date(at));
          // One that was used again meanwhile has another time.
          for (const key of keys) if (used.get(key)?.at.getTime() === at) used.delete(key);
        }
      });
    },
  };
}

/** Returns the keys of what is to be written, by organization. */
function byOrganization(counts: ReadonlyMap<string, Use>, used: ReadonlyMap<string, Used>) {
  const all = new Map<string, { organizationId: string; keysOfCounts: string[]; keysOfUsed: string[] }>();
  const of = ({ organizationId }: Use | Used) => {
    const known = all.get(organizationId) ?? { organizationId, keysOfCounts: [], keysOfUsed: [] };
    all.set(organizationId, known);
    return known;
  };
  for (const [key, use] of counts) of(use).keysOfCounts.push(key);
  for (const [key, use] of used) of(use).keysOfUsed.push(key);
  return [...all.values()];
}

/** Returns the keys of records of a noun that were used at the same time: one command writes them. */
function byTime(keys: readonly string[], used: ReadonlyMap<string, Used>): [noun: Used['noun'], at: number, keys: string[]][] {
  const groups = new Map<string, [Used['noun'], number, string[]]>();
  for (const key of keys) {
    const { noun, at } = used.get(key)!;
    const name = `${noun} ${at.getTime()}`;
    const group = groups.get(name) ?? [noun, at.getTime(), []];
    group[2].push(key);
    groups.set(name, group);
  }
  return [...groups.values()];
}

/** Returns the entry of the audit log for proxied requests that are summed. */
function entryOf({ organizationId, viewerKind, subject, connectionId, count }: Use, now: Date): AuditRecord {
  return {
    id: newId(),
    version: 1,
    organizationId,
    createdAt: now,
    updatedAt: now,
    viewerKind,
    subject,
    address: null,
    requestId: null,
    action: 'proxyRequest',
    outcome: 'SUCCESS',
    objectNoun: connectionId === null ? null : 'connection',
    objectId: connectionId,
    reason: null,
    count,
    sequence: null,
  };
}
