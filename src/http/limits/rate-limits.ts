import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { Viewer } from '../../access/viewer.ts';
import { RateLimitedError, UnauthenticatedError } from '../../errors.ts';
import type { Limits } from '../../limits.ts';
import type { ServerContext } from '../access-log.ts';
import { addressGroup, clientAddress } from './address.ts';
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
/** Large bodies cost more to read and check: 1 for each this many bytes. */
const BYTES_FOR_ONE = 1_024;
/** The cost of a body without a Content-Length. */
const UNTOLD_BODY_COST = 64;
/** The part of an address's limit that causes no write. */
const ANONYMOUS_HEAD_SHARE = 0.05;

/** Returns the network address of the client; undefined for a request that came from code and not through a socket. */
export function addressOf(request: Request, serverContext: object, trustedProxies: number): string | undefined {
  return clientAddress(socketOf(serverContext)?.remoteAddress, request.headers, trustedProxies);
}

function socketOf(serverContext: object): IncomingMessage['socket'] | undefined {
  return (serverContext as { readonly req?: IncomingMessage }).req?.socket;
}

/** Creates the rate limits: of each viewer, by cost, and of each address, by requests without a valid token. */
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
     * Returns the viewer of a request, if its token is valid and the viewer is within its limit. Call it before the body is read. A valid
     * token is accepted whatever other clients at its address did: behind a proxy many share one address, and none may lock out the others.
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
      const { organizationId } = serverContext.viewer;
      serverContext.bodyCost = bodyCost(request, limits.maxBodyBytes, socketOf(serverContext) !== undefined);
      serverContext.quota = await viewers.spend(organizationId, spenderOf(serverContext.viewer), REQUEST_COST + serverContext.bodyCost);
      if (serverContext.quota?.allowed === false) throw new RateLimitedError(serverContext.quota.resetSeconds);
      return serverContext.viewer;
    },

    /** Spends the cost of an operation before it runs, and reports what remains. Must come after the plugin that computes the cost. */
    plugin: {
      async onExecute({ args }) {
        const serverContext = args.contextValue as unknown as ServerContext;
        const { viewer, cost = 0 } = serverContext;
        // An operation from code has no quota: it is trusted.
        if (!viewer || !serverContext.quota || cost <= REQUEST_COST) return;
        serverContext.quota = await viewers.spend(viewer.organizationId, spenderOf(viewer), cost - REQUEST_COST);
        if (serverContext.quota?.allowed === false) throw new RateLimitedError(serverContext.quota.resetSeconds);
      },
      onResultProcess({ result, setResult, serverContext }) {
        const { cost, bodyCost = 0, quota } = serverContext;
        if (cost === undefined || Array.isArray(result) || Symbol.asyncIterator in result) return;
        const { limit = null, remaining = null, resetSeconds = null } = quota ?? {};
        setResult({
          ...result,
          extensions: { ...result.extensions, cost: { requested: cost + bodyCost, limit, remaining, resetSeconds } },
        });
      },
      onResponse({ response, serverContext }) {
        if (serverContext?.quota) setQuotaHeaders(response.headers, serverContext.quota);
      },
    } as Plugin<object, ServerContext>,
  };
}

/** Viewers of different kinds can have the same subject, but do not share a limit. */
function spenderOf({ kind, subject }: Viewer): string {
  return `${kind}:${subject}`;
}

function bodyCost({ method, headers }: Request, maxBodyBytes: number, isFromSocket: boolean): number {
  if (method !== 'POST') return 0;
  const length = headers.get('content-length');
  if (length === null) return isFromSocket ? UNTOLD_BODY_COST : 0;
  // A longer body, or a length that is not a number, is rejected before it is read.
  return Math.floor(Math.min(Math.max(0, Number(length)), maxBodyBytes) / BYTES_FOR_ONE) || 0;
}

/** As in draft-ietf-httpapi-ratelimit-headers (version 10): the policy with its quota and window, and what remains for how many seconds. */
function setQuotaHeaders(headers: Headers, { policy, limit, remaining, resetSeconds }: Quota): void {
  headers.set('ratelimit-policy', `"${policy}";q=${limit};w=${WINDOW_MS / 1_000}`);
  headers.set('ratelimit', `"${policy}";r=${Math.max(0, remaining)};t=${resetSeconds}`);
}
