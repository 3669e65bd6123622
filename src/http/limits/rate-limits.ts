import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { Viewer } from '../../access/viewer.ts';
import { RateLimitedError, UnauthenticatedError, UnavailableError } from '../../errors.ts';
import type { Limits } from '../../limits.ts';
import type { ServerContext } from '../access-log.ts';
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
export function addressOf(request: Request, serverContext: object, trustedProxies: number): string | undefined {
  return clientAddress(incomingOf(serverContext)?.socket?.remoteAddress, request.headers, trustedProxies);
}

/** Returns Node's request; undefined for a request that came from code and not through a socket. */
export function incomingOf(serverContext: object): IncomingMessage | undefined {
  return (serverContext as { readonly req?: IncomingMessage }).req;
}

/**
 * Creates the rate limits: of each viewer and of each organization, by cost, and of each address, by requests without a valid token. The end
 * users of an organization together have a limit below that of the organization: their tokens are in browsers.
 */
export function createRateLimits({ limits, trustedProxies, reserve, noOrganization, now, onFailure }: RateLimitSettings) {
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
  async function spendOrRefuse(serverContext: ServerContext, viewer: Viewer, cost: number): Promise<void> {
    serverContext.quota = await spend(viewer, cost);
    if (serverContext.quota?.allowed === false) throw refusal(serverContext.quota);
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
    async admit(request: Request, serverContext: ServerContext, authenticate: (guard: Guard) => Promise<Viewer>): Promise<Viewer> {
      const spendOnAddress = async () => {
        const address = addressOf(request, serverContext, trustedProxies);
        const quota = await addresses.spend(noOrganization, address ? addressGroup(address) : '', REQUEST_COST);
        serverContext.quota = quota;
        if (quota?.allowed === false) throw refusal(quota);
        return () => quota?.refund();
      };
      try {
        serverContext.viewer = await authenticate(guarding(spendOnAddress));
      } catch (error) {
        if (error instanceof UnauthenticatedError && !(error instanceof SpentGuessError)) await spendOnAddress();
        throw error;
      }
      serverContext.bodyCost = declaredCost(request);
      await spendOrRefuse(serverContext, serverContext.viewer, REQUEST_COST + serverContext.bodyCost);
      return serverContext.viewer;
    },

    /** Spends what a body has cost so far, as far as that is not spent yet. @throws RateLimitedError */
    async chargeBody(serverContext: ServerContext, cost: number): Promise<void> {
      const { viewer, bodyCost = 0 } = serverContext;
      if (!viewer || cost <= bodyCost) return;
      serverContext.bodyCost = cost;
      await spendOrRefuse(serverContext, viewer, cost - bodyCost);
    },

    /** Spends the cost of an operation before it runs, and reports what remains. Must come after the plugin that computes the cost. */
    plugin: {
      async onExecute({ args }) {
        const serverContext = args.contextValue as unknown as ServerContext;
        const { viewer, cost = 0 } = serverContext;
        // An operation from code has no quota: it is trusted.
        if (!viewer || !serverContext.quota || cost <= REQUEST_COST) return;
        await spendOrRefuse(serverContext, viewer, cost - REQUEST_COST);
      },
      onResultProcess({ result, setResult, serverContext }) {
        const { cost, bodyCost = 0, quota } = serverContext;
        if (cost === undefined || Array.isArray(result) || Symbol.asyncIterator in result) return;
        const { policy = null, limit = null, remaining = null, resetSeconds = null } = quota ?? {};
        setResult({
          ...result,
          extensions: { ...result.extensions, cost: { requested: cost + bodyCost, policy, limit, remaining, resetSeconds } },
        });
      },
      onResponse({ response, serverContext }) {
        if (serverContext?.quota) setQuotaHeaders(response.headers, serverContext.quota);
      },
    } as Plugin<object, ServerContext>,
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

/** As in draft-ietf-httpapi-ratelimit-headers (version 10): the policy with its quota and window, and what remains for how many seconds. */
function setQuotaHeaders(headers: Headers, { policy, limit, remaining, resetSeconds }: Quota): void {
  headers.set('ratelimit-policy', `"${policy}";q=${limit};w=${WINDOW_MS / 1_000}`);
  headers.set('ratelimit', `"${policy}";r=${Math.max(0, remaining)};t=${resetSeconds}`);
}
