import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { Viewer } from '../../access/viewer.ts';
import { RateLimitedError, UnauthenticatedError } from '../../errors.ts';
import type { ServerContext } from '../access-log.ts';
import { addressGroup, clientAddress } from './address.ts';
import { createRateLimiter, type Quota, type Reserve } from './rate-limiter.ts';
import { type Limits, WINDOW_MS } from './settings.ts';

export interface RateLimitSettings {
  readonly limits: Limits;
  /** How many proxies that append to X-Forwarded-For stand before this gateway. */
  readonly trustedProxies: number;
  readonly reserve: Reserve;
  /** Under which the reservations of those without an organization are kept. */
  readonly noOrganization: string;
  readonly now: () => Date;
  readonly onFailure: (error: unknown) => void;
}

/** What reading and checking a request costs, whatever becomes of it. It is part of what its operation costs. */
const REQUEST_COST = 1;
/** How many refusals of an address cause no write. */
const ANONYMOUS_HEAD_SHARE = 0.05;

/** Where a request comes from; undefined when it came by no socket, but from code. */
export function addressOf(request: Request, serverContext: object, trustedProxies: number): string | undefined {
  const { req } = serverContext as { readonly req?: IncomingMessage };
  return clientAddress(req?.socket?.remoteAddress, request.headers, trustedProxies);
}

/** The rate limits: of each viewer by cost, and of each address by requests that had no good token. */
export function createRateLimits({ limits, trustedProxies, reserve, noOrganization, now, onFailure }: RateLimitSettings) {
  const common = { reserve, now, onFailure };
  const viewers = createRateLimiter({ ...common, policy: 'viewer', limit: limits.rateLimit });
  const addresses = createRateLimiter({
    ...common,
    policy: 'address',
    limit: limits.anonymousRateLimit,
    head: Math.ceil(limits.anonymousRateLimit * ANONYMOUS_HEAD_SHARE),
  });

  return {
    /**
     * Lets a request in: its viewer, if its token is good and the viewer has something left to spend. Before the body is read. A good token
     * passes whatever others at its address did: many share one behind a proxy, and nobody must be able to shut out the rest.
     *
     * @throws RateLimitedError
     * @throws UnauthenticatedError
     */
    async admit(request: Request, serverContext: ServerContext, authenticate: () => Promise<Viewer>): Promise<Viewer> {
      try {
        serverContext.viewer = await authenticate();
      } catch (error) {
        if (!(error instanceof UnauthenticatedError)) throw error;
        const address = addressOf(request, serverContext, trustedProxies);
        serverContext.quota = await addresses.spend(noOrganization, address ? addressGroup(address) : '', REQUEST_COST);
        throw serverContext.quota?.allowed === false ? new RateLimitedError(serverContext.quota.resetSeconds) : error;
      }
      const { organizationId, subject } = serverContext.viewer;
      serverContext.quota = await viewers.spend(organizationId, subject, REQUEST_COST);
      if (serverContext.quota?.allowed === false) throw new RateLimitedError(serverContext.quota.resetSeconds);
      return serverContext.viewer;
    },

    /** Takes what an operation costs before it runs, and tells what is left. After the plugin that counts the cost. */
    plugin: {
      async onExecute({ args }) {
        const serverContext = args.contextValue as unknown as ServerContext;
        const { viewer, cost = 0 } = serverContext;
        // An operation from code has passed no door, and is trusted.
        if (!viewer || !serverContext.quota || cost <= REQUEST_COST) return;
        serverContext.quota = await viewers.spend(viewer.organizationId, viewer.subject, cost - REQUEST_COST);
        if (serverContext.quota?.allowed === false) throw new RateLimitedError(serverContext.quota.resetSeconds);
      },
      onResultProcess({ result, setResult, serverContext }) {
        const { cost, quota } = serverContext;
        if (cost === undefined || Array.isArray(result) || Symbol.asyncIterator in result) return;
        const { limit = null, remaining = null, resetSeconds = null } = quota ?? {};
        setResult({ ...result, extensions: { ...result.extensions, cost: { requested: cost, limit, remaining, resetSeconds } } });
      },
      onResponse({ response, serverContext }) {
        if (serverContext?.quota) setQuotaHeaders(response.headers, serverContext.quota);
      },
    } as Plugin<object, ServerContext>,
  };
}

/** As draft-ietf-httpapi-ratelimit-headers has it (version 10): a policy with quota and window, and what remains for how many seconds. */
function setQuotaHeaders(headers: Headers, { policy, limit, remaining, resetSeconds }: Quota): void {
  headers.set('ratelimit-policy', `"${policy}";q=${limit};w=${WINDOW_MS / 1_000}`);
  headers.set('ratelimit', `"${policy}";r=${Math.max(0, remaining)};t=${resetSeconds}`);
}
