import { setMaxListeners } from 'node:events';
import { NO_POSITION } from '../store/event-forms.ts';
import type { WebhookProgress } from '../store/webhook-queue.ts';
import type { GatewayContext } from './context.ts';
import { inFairOrder, inTurnByOrganization } from './in-turn.ts';
import { deliverFor, FAILURES_MAX, type Load, type Turn } from './webhook-turn.ts';

/** How many webhooks this process delivers for at once. Those whose last attempt has failed get half of the places. */
const WEBHOOKS_AT_ONCE = 512;
const POLL_MS = 1_000;
/** How long attempts may go on when it stops, in milliseconds. Then they are ended, and made again later. */
const STOP_MS = 1_000;

const DAY_MS = 24 * 60 * 60_000;
/** How long attempts are kept, in days, and how many of each webhook. */
const DELIVERY_DAYS = 7;
const DELIVERIES_MAX = 10_000;

export type Webhooks = ReturnType<typeof createWebhooks>;

/**
 * Delivers events to webhooks. All copies of the gateway can do so: each webhook is with one of them at a time, which has its lease. Every second, one read
 * by an index tells how far all webhooks have come, and one more how far the events of their organizations reach. So organizations without webhooks cost nothing.
 */
export function createWebhooks(
  gateway: GatewayContext,
  { isAutomatic, onFailure }: { readonly isAutomatic: boolean; readonly onFailure: (organizationId: string, error: string) => void },
) {
  const { stores, events, now } = gateway;
  const running = new Map<string, Running>();
  const stopping = new AbortController();
  // Each attempt listens to it.
  setMaxListeners(0, stopping.signal);
  const load: Load = { count: 0, isStopped: false, lingers: isAutomatic, stopping: stopping.signal };
  /** The organizations that had webhooks when it looked last. */
  let followed = new Set<string>();
  let polling: Promise<number> | undefined;
  let timer: NodeJS.Timeout | undefined;

  /** Begins to work on the webhooks that have something to do. Returns how many there are, with those under way. */
  async function poll(organizationId?: string): Promise<number> {
    const active = await stores.activeWebhooks(organizationId);
    const organizations = new Set(active.map((each) => each.organizationId));
    if (organizationId === undefined) followed = organizations;
    const newest = organizations.size === 0 ? new Map<string, string>() : await events.newest([...organizations]);
    const at = now();
    const isDue = ({ organizationId: of, position, dueAt, heldUntil, leaseEndsAt, failures }: WebhookProgress) => {
      if ((heldUntil !== null && heldUntil > at) || (leaseEndsAt !== null && leaseEndsAt > at)) return false;
      const hasNew = (newest.get(of) ?? NO_POSITION) > position && (failures < FAILURES_MAX || dueAt === null);
      return hasNew || (dueAt !== null && dueAt <= at);
    };
    for (const { id, organizationId: of } of active) running.get(id)?.turn?.notice(newest.get(of));
    const due = active.filter((progress) => !running.has(progress.id) && isDue(progress));
    const underWay = [...running.values()].map((each) => each.organizationId);
    // Those of a few organizations with slow receivers must not always be the ones that get a turn.
    for (const progress of inFairOrder(due, underWay)) {
      if (load.isStopped) break;
      if (running.size < WEBHOOKS_AT_ONCE / (progress.failures > 0 ? 2 : 1)) begin(progress);
    }
    return running.size;
  }

  function begin(progress: WebhookProgress): void {
    const { id, organizationId } = progress;
    const run = async (handle: Partial<Running>) => {
      let hasMore = false;
      try {
        hasMore = await deliverFor(gateway, progress, load, (turn) => Object.assign(handle, { turn }));
      } catch (error) {
        onFailure(organizationId, (error as Error).name);
      }
      running.delete(id);
      // What has happened while it ended must not wait for the next look.
      if (hasMore && isAutomatic && !load.isStopped) poll(organizationId).catch(() => {});
    };
    const handle: Partial<Running> = {};
    running.set(id, Object.assign(handle, { organizationId, ended: run(handle) }));
  }

  function again(milliseconds: number): void {
    if (load.isStopped) return;
    timer = setTimeout(async () => {
      const startedAt = performance.now();
      polling = poll().catch((error: unknown) => {
        onFailure('', (error as Error).name);
        return 0;
      });
      await polling;
      // With very many webhooks, looking takes its time, and must not take all of it.
      again(Math.max(POLL_MS, 10 * (performance.now() - startedAt)));
    }, milliseconds).unref();
  }
  const stopListening = events.onNumbered((organizationId) => {
    if (!isAutomatic || load.isStopped || !followed.has(organizationId)) return;
    poll(organizationId).catch(() => {});
  });
  if (isAutomatic) again(0);

  return {
    /** Delivers what is due now. It ends when nothing more is, or when other copies deliver the rest. */
    async run(): Promise<void> {
      while ((await poll()) > 0) await Promise.race([...running.values()].map(({ ended }) => ended));
    },

    /** Deletes old deliveries, and what is left of deleted webhooks. @throws AggregateError of an OrganizationError for each organization that failed */
    async trim(): Promise<void> {
      const before = new Date(now().getTime() - DELIVERY_DAYS * DAY_MS);
      const organizations = (await stores.organizationsWithWebhooks()).map((organizationId) => ({ organizationId }));
      await inTurnByOrganization(organizations, async ({ organizationId }) => {
        const { webhooks, webhookDeliveries, webhookQueue } = stores.of(organizationId);
        await webhookDeliveries.remove({ createdBefore: before });
        const known = await webhookQueue.ids();
        for (const webhookId of known) await webhookDeliveries.keepNewest(webhookId, DELIVERIES_MAX);
        const existing = new Set(await webhooks.ids({ id: known }));
        const deleted = known.filter((id) => !existing.has(id));
        if (deleted.length === 0) return;
        await webhookDeliveries.remove({ webhookId: deleted });
        await webhookQueue.forget(deleted);
      });
    },

    /** Ends: waits for the attempts under way, but not for long, and gives back all leases. */
    async stop(): Promise<void> {
      load.isStopped = true;
      clearTimeout(timer);
      stopListening();
      for (const { turn } of running.values()) turn?.wake();
      const ending = setTimeout(() => stopping.abort(), STOP_MS);
      await polling;
      await Promise.all([...running.values()].map(({ ended }) => ended));
      clearTimeout(ending);
    },
  };
}

/** A webhook for which this process delivers now. */
interface Running {
  readonly organizationId: string;
  readonly ended: Promise<void>;
  /** Undefined until it has the lease. */
  readonly turn?: Turn;
}
