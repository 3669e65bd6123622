import type { Viewer, ViewerKind } from '../access/viewer.ts';
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
      const entries = [...counts].map(([key, use]) => ({ key, ...use }));
      const times = [...used].map(([key, use]) => ({ key, ...use }));
      const organizations = [...new Set([...entries, ...times].map(({ organizationId }) => organizationId))];
      await inTurnByOrganization(
        organizations.map((organizationId) => ({ organizationId })),
        async ({ organizationId }) => {
          const store = stores.of(organizationId);
          const isLive = (await store.organization.state()) === 'live';
          const isOwn = (each: { readonly organizationId: string }) => each.organizationId === organizationId;
          for (const { key, count, connectionId, ...use } of entries.filter(isOwn)) {
            counts.delete(key);
            // An organization that is deleted has no audit log.
            if (!isLive) continue;
            const base = { id: newId(), version: 1, createdAt: now, updatedAt: now, reason: null, address: null, requestId: null };
            const about = {
              action: 'proxyRequest',
              outcome: 'SUCCESS',
              objectNoun: 'connection',
              objectId: connectionId,
              sequence: null,
            } as const;
            try {
              await store.audit.insert({ ...base, ...use, ...about, objectNoun: connectionId === null ? null : about.objectNoun, count });
            } catch (error) {
              const since = counts.get(key)?.count ?? 0;
              counts.set(key, { ...use, connectionId, count: count + since });
              throw error;
            }
          }
          const own = times.filter(isOwn);
          for (const noun of ['connection', 'credential'] as const) {
            const ofNoun = own.filter((each) => each.noun === noun);
            const records = noun === 'connection' ? store.connections : store.credentials;
            for (const at of new Set(ofNoun.map((each) => each.at.getTime()))) {
              const same = ofNoun.filter((each) => each.at.getTime() === at);
              if (isLive)
                await records.noteUsed(
                  same.map(({ id }) => id),
                  new Date(at),
                );
              // One that was used again meanwhile has another time.
              for (const { key } of same) if (used.get(key)?.at.getTime() === at) used.delete(key);
            }
          }
        },
      );
    },
  };
}
