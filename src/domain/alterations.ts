import type { Alteration } from '../store/authenticity.ts';
import type { Store } from '../store/index.ts';
import { newId } from '../store/records.ts';
import { inTurn } from './in-turn.ts';
import { GATEWAY_SUBJECT } from './organization.ts';

export type { Alteration };

/** The maximum number of altered records that are remembered. Those beyond are told when there is room again. */
const REMEMBERED_MAX = 10_000;
/** The time after which an altered record that is still read is told again. */
const AGAIN_MILLISECONDS = 60 * 60_000;

export type Alterations = ReturnType<typeof createAlterations>;

/**
 * Collects the altered records that are read, for the audit log. Each gets one entry an hour at most, however often it is read, so that reads do
 * not fill the log.
 */
export function createAlterations() {
  const told = new Map<string, number>();
  const waiting = new Map<string, Alteration>();
  return {
    add(alteration: Alteration): void {
      const key = JSON.stringify([alteration.organizationId, alteration.noun, alteration.id]);
      if (waiting.has(key) || told.has(key) || waiting.size + told.size >= REMEMBERED_MAX) return;
      waiting.set(key, alteration);
    },
    /** Writes the entries since the last flush. Returns their number. Those that cannot be written are kept for the next flush. */
    async flush(stores: Store, now: Date): Promise<number> {
      for (const [key, at] of told) if (now.getTime() - at >= AGAIN_MILLISECONDS) told.delete(key);
      let count = 0;
      await inTurn([...waiting], async ([key, { organizationId, noun, id }]) => {
        const store = stores.of(organizationId);
        if ((await store.organization.state()) === 'live') {
          const base = { id: newId(), organizationId, version: 1, createdAt: now, updatedAt: now };
          const what = { action: 'detectAlteration', outcome: 'ALTERED_RECORD', objectNoun: noun, objectId: id, count: 1 };
          const who = { viewerKind: 'gateway', subject: GATEWAY_SUBJECT, address: null, requestId: null } as const;
          await store.audit.insert({ ...base, ...who, ...what, reason: null, sequence: null });
        }
        waiting.delete(key);
        told.set(key, now.getTime());
        count++;
      });
      return count;
    },
  };
}
