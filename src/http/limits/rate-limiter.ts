import { createHash } from 'node:crypto';

/** The window of the rate limits, in milliseconds. */
export const WINDOW_MS = 60_000;

/** Takes a share of what a key may spend in a window; `store/rate-limit.ts` does. */
export type Reserve = (
  organizationId: string,
  key: string,
  window: number,
  amounts: { readonly least: number; readonly share: number; readonly limit: number },
) => Promise<{ readonly granted: number; readonly left: number }>;

/** How a spender stands after an attempt to spend. */
export interface Quota {
  readonly policy: string;
  readonly allowed: boolean;
  readonly limit: number;
  /** What may still be spent in this window, as far as this copy knows: what other copies took since it last asked is not in it. */
  readonly remaining: number;
  /** Whole seconds until the window ends, at least 1. */
  readonly resetSeconds: number;
}

interface Bucket {
  readonly window: number;
  readonly endsAt: number;
  /** Reserved and not yet spent. */
  balance: number;
  /** The most that can still be reserved. It only shrinks within a window, so what is refused once needs no second look. */
  left: number;
  /** Whether a share was taken while the database did not answer. */
  hasBorrowed: boolean;
  reserving: Promise<boolean> | undefined;
}

export type RateLimiter = ReturnType<typeof createRateLimiter>;

/** A share is this part of the limit: so many writes at most for each key and window, from all copies together. */
const SHARES = 20;
/** How many spenders a copy keeps in memory; beyond, the one that was idle longest loses what it had reserved. */
const BUCKETS_MAX = 10_000;

/**
 * A limit on what each spender may spend in a fixed window, shared by all copies of the gateway without a write for each request: a copy
 * reserves a share of the window in the database, and spends it in memory. Together the copies never let pass more than the limit; at worst
 * they let pass less, by the unspent rest of one share for each copy. Two windows meet without a gap, so any sixty seconds let pass at most
 * twice the limit.
 *
 * `head` is spent by each copy before it first asks the database. It lets a spender whom nobody vouched for cause no write until it has
 * been seen often enough; the copies together may then let pass more than the limit, by one head for each copy but one.
 *
 * While the database does not answer, each copy lends each spender one share for the window, and then refuses: neither a gateway without
 * limits nor one that is shut because a counter could not be written.
 */
export function createRateLimiter(options: {
  readonly policy: string;
  readonly limit: number;
  readonly reserve: Reserve;
  readonly now: () => Date;
  readonly head?: number;
  readonly onFailure: (error: unknown) => void;
}) {
  const { policy, limit, reserve, now, head = 0, onFailure } = options;
  const share = Math.ceil(limit / SHARES);
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
            reserving: undefined,
          };
    // A map keeps the order of insertion: what was used last goes to its end.
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
      return true;
    } catch (error) {
      onFailure(error);
      if (bucket.hasBorrowed) return false;
      bucket.hasBorrowed = true;
      bucket.balance += Math.max(share, least);
      return true;
    }
  }

  return {
    /** Spends, or refuses and spends nothing. Undefined: there is no limit. */
    async spend(organizationId: string, spender: string, cost: number): Promise<Quota | undefined> {
      if (limit === 0) return undefined;
      // Hashed: what the database is told has one length, and names nobody.
      const hash = createHash('sha256')
        .update(JSON.stringify([policy, organizationId, spender]))
        .digest();
      const key = hash.toString('base64url');
      // Windows of different spenders end at different times, so that those who wait do not all come back at once.
      const bucket = bucketOf(key, hash.readUInt32BE() % WINDOW_MS);
      const quota = (allowed: boolean): Quota => ({
        policy,
        allowed,
        limit,
        remaining: bucket.balance + bucket.left,
        resetSeconds: Math.max(1, Math.ceil((bucket.endsAt - now().getTime()) / 1_000)),
      });
      while (bucket.balance < cost) {
        const least = cost - bucket.balance;
        if (bucket.left < least) return quota(false);
        // Requests that come meanwhile wait for the same share.
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
