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
  /** How many proxies that append to X-Forwarded-For stand before this gateway. */
  readonly trustedProxies: number;
  readonly reserve: Reserve;
  /** Under which the reservations of those without an organization are kept. */
  readonly noOrganization: string;
  readonly now: () => Date;
  readonly onFailure: (error: unknown) => void;
}

/** What an operation costs at least, and a request that does not get so far. */
const REQUEST_COST = 1;
/** Reading and checking what is large costs more: one for each so many bytes of the body. */
const BYTES_FOR_ONE = 1_024;
/** The cost of a body of untold length. */
const UNTOLD_BODY_COST = 64;
/** How many refusals of an address cause no write. */
const ANONYMOUS_HEAD_SHARE = 0.05;

/** Where a request comes from; undefined when it came by no socket, but from code. */
export function addressOf(request: Request, serverContext: object, trustedProxies: number): string | undefined {
  return clientAddress(socketOf(serverContext)?.remoteAddress, request.headers, trustedProxies);
}

function socketOf(serverContext: object): IncomingMessage['socket'] | undefined {
  return (serverContext as { readonly req?: IncomingMessage }).req?.socket;
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
      const { organizationId } = serverContext.viewer;
      serverContext.bodyCost = bodyCost(request, limits.maxBodyBytes, socketOf(serverContext) !== undefined);
      serverContext.quota = await viewers.spend(organizationId, spenderOf(serverContext.viewer), REQUEST_COST + serverContext.bodyCost);
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

/** Viewers of different kinds may have one subject, and do not spend from one purse. */
function spenderOf({ kind, subject }: Viewer): string {
  return `${kind}:${subject}`;
}

function bodyCost({ method, headers }: Request, maxBodyBytes: number, isFromSocket: boolean): number {
  if (method !== 'POST') return 0;
  const length = headers.get('content-length');
  if (length === null) return isFromSocket ? UNTOLD_BODY_COST : 0;
  // What is longer is refused unread, and what is no number too.
  return Math.floor(Math.min(Math.max(0, Number(length)), maxBodyBytes) / BYTES_FOR_ONE) || 0;
}

/** As draft-ietf-httpapi-ratelimit-headers has it (version 10): a policy with quota and window, and what remains for how many seconds. */
function setQuotaHeaders(headers: Headers, { policy, limit, remaining, resetSeconds }: Quota): void {
  headers.set('ratelimit-policy', `"${policy}";q=${limit};w=${WINDOW_MS / 1_000}`);
  headers.set('ratelimit', `"${policy}";r=${Math.max(0, remaining)};t=${resetSeconds}`);
}
