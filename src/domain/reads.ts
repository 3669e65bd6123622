import type { Viewer, ViewerKind } from '../access/viewer.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';
import { inTurnByOrganization } from './in-turn.ts';

/** The maximum number of entries that are distinguished between two flushes. Other reads are counted together. */
const KINDS_MAX = 10_000;
/** The maximum number of end users and integrations that are told apart for one viewer between two flushes. */
const OWNERS_MAX = 20;
/** Replaces viewers that are not distinguished any more. */
const MANY = '(many)';

/** A credential that was read: whose it is. */
interface Owned {
  readonly integrationId: string;
  readonly endUserId: string | null;
}

interface Reads {
  readonly organizationId: string;
  /** Null if it sums up several viewers. */
  readonly viewerKind: ViewerKind | null;
  readonly subject: string;
  /** Null if it sums up several owners. */
  readonly objectNoun: 'endUser' | 'integration' | null;
  readonly objectId: string | null;
  count: number;
}

export type CredentialReads = ReturnType<typeof createCredentialReads>;

/**
 * Counts the credentials that viewers read, for the audit log. There is one entry per viewer, minute, and end user or integration that the
 * credentials belong to, so that many reads do not fill the database.
 */
export function createCredentialReads() {
  const reads = new Map<string, Reads>();
  /** The number of owners that are told apart, by viewer. */
  const owners = new Map<string, number>();

  function entryOf({ organizationId, kind, subject }: Viewer, { integrationId, endUserId }: Owned): Reads {
    const viewer = JSON.stringify([organizationId, kind, subject]);
    const [objectNoun, objectId] = endUserId ? (['endUser', endUserId] as const) : (['integration', integrationId] as const);
    const about = { organizationId, viewerKind: kind, subject };
    const choices: readonly (readonly [string, Omit<Reads, 'count'>, boolean])[] = [
      [`${viewer} ${objectNoun} ${objectId}`, { ...about, objectNoun, objectId }, (owners.get(viewer) ?? 0) < OWNERS_MAX],
      [viewer, { ...about, objectNoun: null, objectId: null }, true],
      [organizationId, { organizationId, viewerKind: null, subject: MANY, objectNoun: null, objectId: null }, true],
    ];
    for (const [index, [key, which, isAllowed]] of choices.entries()) {
      const known = reads.get(key);
      if (known) return known;
      if (!isAllowed || (reads.size >= KINDS_MAX && index < choices.length - 1)) continue;
      const entry = { ...which, count: 0 };
      reads.set(key, entry);
      if (index === 0) owners.set(viewer, (owners.get(viewer) ?? 0) + 1);
      return entry;
    }
    throw new Error('The last choice is always allowed.');
  }

  return {
    add(viewer: Viewer, credentials: readonly Owned[]): void {
      for (const credential of credentials) entryOf(viewer, credential).count++;
    },
    /**
     * Writes the counts since the last flush. Counts that cannot be written are kept for the next flush.
     * @throws AggregateError of an OrganizationError for each organization whose counts cannot be written, at the end
     */
    async flush(stores: Store, now: Date): Promise<void> {
      owners.clear();
      const items = [...reads].map(([key, read]) => ({ key, ...read }));
      await inTurnByOrganization(items, async ({ key, count, organizationId, ...read }) => {
        reads.delete(key);
        try {
          const store = stores.of(organizationId);
          // An organization that is deleted, or has no record yet, has no audit log.
          if ((await store.organization.state()) !== 'live') return;
          const about = { reason: null, address: null, requestId: null, sequence: null, action: 'readCredentials', outcome: 'SUCCESS' };
          await store.audit.insert({ id: newId(), organizationId, version: 1, createdAt: now, updatedAt: now, ...read, ...about, count });
        } catch (error) {
          reads.set(key, { ...read, organizationId, count: count + (reads.get(key)?.count ?? 0) });
          throw error;
        }
      });
    },
  };
}
