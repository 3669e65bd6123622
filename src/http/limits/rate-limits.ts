import type { Viewer } from '../../access/viewer.ts';
import { RateLimitedError, UnauthenticatedError, UnavailableError } from '../../errors.ts';
import type { Limits } from '../../limits.ts';
import type { HttpRequest, RequestState } from '../request.ts';
import { addressGroup, clientAddress } from './address.ts';
import { declaredCost } from './body.ts';
import { createGuesses, type Guard, SpentGuessError } from './guesses.ts';
import { createRateLimiter, type Quota, type Reserve, WINDOW_MS } from './rate-limiter.ts';

export interface RateLimitSettings {
  readonly limits: Limits;
  /** The number of proxies in front of the gateway that append to X-Forwarded-For. */
  readonly trustedProxies: number;
  readonly reserve: Reserve;
  /** The name under which reservations without an organization are stored. */
  readonly noOrganization: string;
  readonly now: () => Date;
  readonly onFailure: (error: unknown) => void;
}

/** The minimum cost of an operation, and the cost of a request that is rejected before it. */
const REQUEST_COST = 1;
/** When a caller should try again whose rate limit cannot be checked, in seconds. */
const RETRY_SECONDS = 5;
/** The part of an address's limit that causes no write. */
const ANONYMOUS_HEAD_SHARE = 0.05;
/** The part of an organization's limit that all its end users together can spend. The rest is left for its services. */
const END_USERS_SHARE = 0.5;
/** Many copies serve one organization, and each needs a share. */
const ORGANIZATION_SHARES = 200;

/** Returns the network address of the client; undefined for a request that came from code and not through a socket. */
export function addressOf({ headers, incoming }: HttpRequest, trustedProxies: number): string | undefined {
  return clientAddress(incoming?.socket?.remoteAddress, headers, trustedProxies);
}

/**
 * Creates the rate limits: of each viewer and of each organization, by cost, and of each address, by requests without a valid token. The end
 * users of an organization together have a limit below that of the organization: their tokens are in browsers.
 */
export function createRateLimits({ limits, reserve, noOrganization, now, onFailure }: RateLimitSettings) {
  const common = { reserve, now, onFailure };
  const viewers = createRateLimiter({ ...common, policy: 'viewer', limit: limits.rateLimit });
  const organizations = createRateLimiter({
    ...common,
    policy: 'organization',
    limit: limits.organizationRateLimit,
    shares: ORGANIZATION_SHARES,
  });
  const endUsers = createRateLimiter({
    ...common,
    policy: 'endUsers',
    limit: Math.floor(limits.organizationRateLimit * END_USERS_SHARE),
    shares: ORGANIZATION_SHARES,
  });
  const addresses = createRateLimiter({
    ...common,
    policy: 'address',
    limit: limits.anonymousRateLimit,
    head: Math.ceil(limits.anonymousRateLimit * ANONYMOUS_HEAD_SHARE),
  });

  const guarding = createGuesses(now);

  /** Spends the cost from all limits of a viewer, or refuses and spends nothing. Returns the limit that refuses, or else the closest. */
  async function spend(viewer: Viewer, cost: number): Promise<Quota | undefined> {
    const { organizationId } = viewer;
    const spent: Quota[] = [];
    for (const [limiter, spender] of [
      [viewers, spenderOf(viewer)],
      ...(viewer.kind === 'endUser' ? [[endUsers, ''] as const] : []),
      [organizations, ''],
    ] as const) {
      const quota = await limiter.spend(organizationId, spender, cost);
      if (quota?.allowed === false) {
        for (const { refund } of spent) refund();
        return quota;
      }
      if (quota) spent.push(quota);
    }
    return spent.reduce<Quota | undefined>(
      (closest, quota) => (closest && closest.remaining <= quota.remaining ? closest : quota),
      undefined,
    );
  }

  /** Spends the cost, and notes what remains. @throws RateLimitedError, UnavailableError */
  async function spendOrRefuse(state: RequestState, viewer: Viewer, cost: number): Promise<void> {
    state.quota = await spend(viewer, cost);
    if (state.quota?.allowed === false) throw refusal(state.quota);
  }

  return {
    /**
     * Returns the viewer of a request, if its token is valid and the viewer is within its limits. Call it before the body is read. A valid
     * token is accepted whatever other clients at its address did: behind a proxy many share one address, and none may lock out the others.
     * The exception is a token of the gateway itself that this copy does not know yet, see `createGuesses`.
     *
     * @throws RateLimitedError
     * @throws UnauthenticatedError
     */
    async admit(
      request: HttpRequest,
      state: RequestState,
      authenticate: (guard: Guard) => Promise<Viewer>,
      bodyCost = declaredCost(request),
    ): Promise<Viewer> {
      const spendOnAddress = async () => {
        const { address } = state;
        const quota = await addresses.spend(noOrganization, address ? addressGroup(address) : '', REQUEST_COST);
        state.quota = quota;
        if (quota?.allowed === false) throw refusal(quota);
        return () => quota?.refund();
      };
      try {
        state.viewer = await authenticate(guarding(spendOnAddress));
      } catch (error) {
        if (error instanceof UnauthenticatedError && !(error instanceof SpentGuessError)) await spendOnAddress();
        throw error;
      }
      state.bodyCost = bodyCost;
      await spendOrRefuse(state, state.viewer, REQUEST_COST + state.bodyCost);
      return state.viewer;
    },

    /** Admits a request that needs no token. @throws RateLimitedError */
    async admitAnonymous(state: RequestState): Promise<void> {
      const { address } = state;
      state.quota = await addresses.spend(noOrganization, address ? addressGroup(address) : '', REQUEST_COST);
      if (state.quota?.allowed === false) throw refusal(state.quota);
    },

    /** Spends what a body has cost so far, as far as that is not spent yet. @throws RateLimitedError */
    async chargeBody(state: RequestState, cost: number): Promise<void> {
      const { viewer, bodyCost = 0 } = state;
      if (!viewer || cost <= bodyCost) return;
      state.bodyCost = cost;
      await spendOrRefuse(state, viewer, cost - bodyCost);
    },

    /** Spends the cost of an operation before it runs. @throws RateLimitedError, UnavailableError */
    async chargeOperation(state: RequestState): Promise<void> {
      const { viewer, cost = 0, quota } = state;
      // An operation from code has no quota: it is trusted.
      if (!viewer || !quota || cost <= REQUEST_COST) return;
      await spendOrRefuse(state, viewer, cost - REQUEST_COST);
    },

    /** Spends the cost of one event of a live query, or of a page that is read for it. @throws RateLimitedError, UnavailableError */
    async chargeEvent(state: RequestState): Promise<void> {
      const { viewer, cost = 0, quota } = state;
      if (viewer && quota) await spendOrRefuse(state, viewer, Math.max(REQUEST_COST, cost - REQUEST_COST));
    },
  };
}

/** Returns what a response says about the cost of its operation, and what remains. Undefined before the cost is known. */
export function costExtension({ cost, bodyCost = 0, quota }: RequestState): object | undefined {
  if (cost === undefined) return undefined;
  const { policy = null, limit = null, remaining = null, resetSeconds = null } = quota ?? {};
  return { requested: cost + bodyCost, policy, limit, remaining, resetSeconds };
}

/** As in draft-ietf-httpapi-ratelimit-headers (version 10): the policy with its quota and window, and what remains for how many seconds. */
export function quotaHeaders({ quota }: RequestState): Record<string, string> {
  if (!quota) return {};
  const { policy, limit, remaining, resetSeconds } = quota;
  return {
    'ratelimit-policy': `"${policy}";q=${limit};w=${WINDOW_MS / 1_000}`,
    ratelimit: `"${policy}";r=${Math.max(0, remaining)};t=${resetSeconds}`,
  };
}

/** Returns the error for a refused attempt to spend. */
function refusal({ isUnavailable, resetSeconds }: Quota): RateLimitedError | UnavailableError {
  return isUnavailable
    ? new UnavailableError('The rate limit cannot be checked, because the database does not respond.', RETRY_SECONDS)
    : new RateLimitedError(resetSeconds);
}

/** Viewers of different kinds can have the same subject, but do not share a limit. */
function spenderOf({ kind, subject }: Viewer): string {
  return `${kind}:${subject}`;
}
