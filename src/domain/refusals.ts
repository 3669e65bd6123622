import type { Viewer, ViewerKind } from '../access/viewer.ts';
import type { ErrorCode } from '../errors.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';
import { inTurnByOrganization } from './in-turn.ts';

/** The maximum number of refusals that are distinguished between two flushes. Others are counted together. */
const KINDS_MAX = 10_000;
/** Replaces values that are not distinguished any more. */
const MANY = '(many)';

interface Refusal {
  readonly organizationId: string;
  /** Null if it sums up several viewers. */
  readonly viewerKind: ViewerKind | null;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
  /** The first of the requests. Null if it sums up several viewers, or if there was no request. */
  readonly requestId: string | null;
  readonly address: string | null;
  count: number;
}

/** The request that was refused. */
export interface RefusedRequest {
  readonly requestId: string | null;
  readonly address: string | null;
}

export type Refusals = ReturnType<typeof createRefusals>;

/**
 * Counts the refusals of authenticated viewers for the audit log. There is one entry per viewer, action, outcome and minute, so that many
 * refusals do not fill the database. The entry names the first of these requests.
 */
export function createRefusals() {
  const refusals = new Map<string, Refusal>();
  return {
    add(
      { organizationId, kind: viewerKind, subject }: Viewer,
      action: string,
      outcome: ErrorCode,
      { requestId, address }: RefusedRequest,
    ): void {
      const told = JSON.stringify([organizationId, viewerKind, subject, action, outcome]);
      const [key, which] =
        refusals.has(told) || refusals.size < KINDS_MAX
          ? [told, { organizationId, viewerKind, subject, action, outcome, requestId, address }]
          : [
              organizationId,
              { organizationId, viewerKind: null, subject: MANY, action: MANY, outcome: MANY, requestId: null, address: null },
            ];
      const refusal = refusals.get(key) ?? { ...which, count: 0 };
      refusal.count++;
      refusals.set(key, refusal);
    },
    /**
     * Writes the counts since the last flush. Counts that cannot be written are kept for the next flush.
     * @throws AggregateError of an OrganizationError for each organization whose counts cannot be written, at the end
     */
    async flush(stores: Store, now: Date): Promise<void> {
      const items = [...refusals].map(([key, refusal]) => ({ key, ...refusal }));
      await inTurnByOrganization(items, async ({ key, count, organizationId, ...refusal }) => {
        refusals.delete(key);
        try {
          const store = stores.of(organizationId);
          // An organization that is deleted, or has no record yet, has no audit log.
          if ((await store.organization.state()) !== 'live') return;
          const about = { objectNoun: null, objectId: null, reason: null, sequence: null };
          const record = { id: newId(), organizationId, version: 1, createdAt: now, updatedAt: now, ...refusal, ...about, count };
          await store.audit.insert(record);
        } catch (error) {
          refusals.set(key, { ...refusal, organizationId, count: count + (refusals.get(key)?.count ?? 0) });
          throw error;
        }
      });
    },
  };
}
