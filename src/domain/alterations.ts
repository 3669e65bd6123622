import type { Alteration } from '../store/authenticity.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';
import { inTurnByOrganization } from './in-turn.ts';
import { GATEWAY_SUBJECT } from './organization.ts';

export type { Alteration };

/** The maximum number of altered records of one organization that are named in an hour. One entry more says that there are others. */
const NAMED_MAX = 100;
/** The maximum number of altered records that are remembered for all organizations. Those beyond are told when there is room again. */
const REMEMBERED_MAX = 10_000;
/** The time after which an altered record that is still read is told again. */
const AGAIN_MILLISECONDS = 60 * 60_000;

/** What an entry tells. `noun` and `id` are null if it stands for all records of an organization that are not named. */
type Told = Pick<Alteration, 'organizationId' | 'id'> & { readonly noun: Alteration['noun'] | null };

export type Alterations = ReturnType<typeof createAlterations>;

/**
 * Collects the altered records that are read, for the audit log. Each gets one entry an hour at most, however often it is read, so that reads do
 * not fill the log. Each organization has a limit of its own, so that many altered records of one do not hide those of another.
 */
export function createAlterations() {
  const told = new Map<string, { readonly organizationId: string; readonly at: number }>();
  const waiting = new Map<string, Told>();
  /** The number of remembered records by organization. */
  const counts = new Map<string, number>();

  function add(alteration: Told, maximum: number): boolean {
    const { organizationId, noun, id } = alteration;
    const key = JSON.stringify([organizationId, noun, id]);
    if (waiting.has(key) || told.has(key)) return true;
    const count = counts.get(organizationId) ?? 0;
    if (count >= maximum || waiting.size + told.size >= REMEMBERED_MAX) return false;
    waiting.set(key, alteration);
    counts.set(organizationId, count + 1);
    return true;
  }

  function forgetTold(now: Date): void {
    for (const [key, { organizationId, at }] of told) {
      if (now.getTime() - at < AGAIN_MILLISECONDS) continue;
      told.delete(key);
      const count = counts.get(organizationId)! - 1;
      if (count > 0) counts.set(organizationId, count);
      else counts.delete(organizationId);
    }
  }

  return {
    add(alteration: Alteration): void {
      if (!add(alteration, NAMED_MAX)) add({ organizationId: alteration.organizationId, noun: null, id: null }, NAMED_MAX + 1);
    },
    /**
     * Writes the entries since the last flush. Returns their number. Those that cannot be written are kept for the next flush.
     * @throws AggregateError of an OrganizationError for each organization whose entries cannot be written, at the end
     */
    async flush(stores: Store, now: Date): Promise<number> {
      forgetTold(now);
      let count = 0;
      const items = [...waiting].map(([key, alteration]) => ({ key, ...alteration }));
      await inTurnByOrganization(items, async ({ key, organizationId, noun, id }) => {
        const store = stores.of(organizationId);
        if ((await store.organization.state()) === 'live') {
          const base = { id: newId(), organizationId, version: 1, createdAt: now, updatedAt: now };
          const what = { action: 'detectAlteration', outcome: 'ALTERED_RECORD', objectNoun: noun, objectId: id, count: 1 };
          const who = { viewerKind: 'gateway', subject: GATEWAY_SUBJECT, address: null, requestId: null } as const;
          await store.audit.insert({ ...base, ...who, ...what, reason: null, sequence: null });
        }
        waiting.delete(key);
        told.set(key, { organizationId, at: now.getTime() });
        count++;
      });
      return count;
    },
  };
}
