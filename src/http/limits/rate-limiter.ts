import { createHash } from 'node:crypto';

/** The window of the rate limits, in milliseconds. */
export const WINDOW_MS = 60_000;

/** Reserves a share of what a key may spend in a window. Implemented by `store/rate-limit.ts`. */
export type Reserve = (
  organizationId: string,
  key: string,
  window: number,
  amounts: { readonly least: number; readonly share: number; readonly limit: number },
) => Promise<{ readonly granted: number; readonly left: number }>;

/** The state of a spender after an attempt to spend. */
export interface Quota {
  readonly policy: string;
  readonly allowed: boolean;
  readonly limit: number;
  /** Whether it is refused because the database does not respond, and not because of the limit. */
  readonly isUnavailable: boolean;
  /** What may still be spent in this window, without what other copies have reserved since this copy last asked the database. */
  readonly remaining: number;
  /** Whole seconds until the window ends, at least 1. */
  readonly resetSeconds: number;
  /** Gives back what this attempt spent. Call it at most once. */
  readonly refund: () => void;
}

interface Bucket {
  readonly window: number;
  readonly endsAt: number;
  /** Reserved but not yet spent. */
  balance: number;
  /** The maximum that can still be reserved. It only decreases within a window, so a refusal needs no further query. */
  left: number;
  /** Whether a share was spent without a reservation because the database did not respond. */
  hasBorrowed: boolean;
  /** Whether the last reservation failed because the database did not respond. */
  isUnavailable: boolean;
  reserving: Promise<boolean> | undefined;
}

export type RateLimiter = ReturnType<typeof createRateLimiter>;

/**
 * A share is the limit divided by this. It is also the maximum number of writes per key and window, across all copies, and the number of
 * copies that can spend something in the same window.
 */
const SHARES = 20;
/** How many spenders a copy keeps in memory. When there are more, the one that was idle longest loses its reservation. */
const BUCKETS_MAX = 10_000;

/**
 * Limits what each spender may spend in a fixed window. All copies of the gateway share the limit, without a write for each request: a copy
 * reserves a share of the limit in the database and spends it in memory. Together the copies never allow more than the limit; at worst they
 * allow less, by the unspent rest of one share per copy. Windows follow each other without a gap, so any sixty seconds allow at most twice
 * the limit.
 *
 * Each copy first allows an amount of `head` without asking the database, so that an unauthenticated spender causes no write until it has
 * sent several requests. The copies together can then exceed the limit, by one `head` for every copy except the first.
 *
 * While the database does not respond, each copy allows each spender one share per window and then refuses. So an outage neither removes
 * the limits nor stops the gateway.
 */
export function createRateLimiter(options: {
  readonly policy: string;
  readonly limit: number;
  readonly reserve: Reserve;
  readonly now: () => Date;
  readonly head?: number;
  /** Overrides the number of shares of a limit. */
  readonly shares?: number;
  readonly onFailure: (error: unknown) => void;
}) {
  const { policy, limit, reserve, now, head = 0, shares = SHARES, onFailure } = options;
  const share = Math.ceil(limit / shares);
  const buckets = new Map<string, Bucket>();

  function bucketOf(id: string, offset: number): Bucket {
    const time = now().getTime();
    const window = Math.floor((time + offset) / WINDOW_MS);
    const kept = buckets.get(id);
    const bucket =
      kept?.window === window
        ? kept
        : {
            window,
            endsAt: (window + 1) * WINDOW_MS - offset,
            balance: head,
            left: limit - head,
            hasBorrowed: false,
            isUnavailable: false,
            reserving: undefined,
          };
    // A map keeps the order of insertion: inserting again moves the bucket to the end.
    buckets.delete(id);
    buckets.set(id, bucket);
    if (buckets.size > BUCKETS_MAX) buckets.delete(buckets.keys().next().value!);
    return bucket;
  }

  async function refill(bucket: Bucket, organizationId: string, key: string, least: number): Promise<boolean> {
    try {
      const { granted, left } = await reserve(organizationId, key, bucket.window, {
        least,
        share: Math.max(share, least),
        limit: limit - head,
      });
      bucket.balance += granted;
      bucket.left = left;
      bucket.isUnavailable = false;
      return true;
    } catch (error) {
      onFailure(error);
      bucket.isUnavailable = true;
      if (bucket.hasBorrowed) return false;
      bucket.hasBorrowed = true;
      bucket.balance += Math.max(share, least);
      return true;
    }
  }

  return {
    /** Spends the cost, or refuses and spends nothing. Returns undefined if there is no limit. */
    async spend(organizationId: string, spender: string, cost: number): Promise<Quota | undefined> {
      if (limit === 0) return undefined;
      // Hashed, so that the key in the database has a fixed length and names nobody.
      const hash = createHash('sha256')
        .update(JSON.stringify([policy, organizationId, spender]))
        .digest();
      const key = hash.toString('base64url');
      // The windows of different spenders end at different times, so that waiting spenders do not all retry at once.
      const bucket = bucketOf(key, hash.readUInt32BE() % WINDOW_MS);
      const quota = (allowed: boolean): Quota => ({
        policy,
        allowed,
        isUnavailable: !allowed && bucket.isUnavailable,
        limit,
        remaining: bucket.balance + bucket.left,
        resetSeconds: Math.max(1, Math.ceil((bucket.endsAt - now().getTime()) / 1_000)),
        refund: () => {
          if (allowed) bucket.balance += cost;
        },
      });
      while (bucket.balance < cost) {
        const least = cost - bucket.balance;
        if (bucket.left < least) return quota(false);
        // Requests that arrive in the meantime wait for the same share.
        bucket.reserving ??= refill(bucket, organizationId, key, least).finally(() => {
          bucket.reserving = undefined;
        });
        if (!(await bucket.reserving)) return quota(false);
      }
      bucket.balance -= cost;
      return quota(true);
    },
  };
}
