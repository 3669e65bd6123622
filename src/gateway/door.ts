import { authenticateAPIKey } from '../domain/api-key.ts';
import { handleCallback } from '../domain/authorization.ts';
import { contextOf } from '../domain/context.ts';
import { authenticateEndUser } from '../domain/end-user-token.ts';
import { finish, reserve } from '../domain/idempotency.ts';
import { createProxy } from '../domain/proxy.ts';
import { createAuthenticator, type OwnTokens } from '../http/authenticate.ts';
import { createDraining } from '../http/draining.ts';
import { fetchDoor } from '../http/fetch.ts';
import { createHttp } from '../http/index.ts';
import { nodeListener } from '../http/node-listener.ts';
import { NO_ORGANIZATION } from '../store/rate-limit.ts';
import type { Domain } from './domain.ts';
import type { Gateway } from './gateway.ts';
import type { Resolved } from './options.ts';

/** How long a stop lets running requests continue, in seconds. */
const DRAIN_SECONDS = 10;

/** The ways into the gateway: by HTTP, and from code. */
export interface Door extends Pick<Gateway, 'fetch' | 'requestListener' | 'execute' | 'endLiveQueries'> {
  /** Refuses what comes from now on, waits for what runs (`drainSeconds`), and ends the rest. */
  close(): Promise<void>;
}

/** Creates the ways into the gateway. What only they need is built now, or at the first request if the gateway is lazy. */
export function createDoor(domain: Domain, resolved: Resolved): Door {
  const { options } = resolved;
  const { stores } = domain.context;
  const openHttp = httpOf(domain, resolved);
  let opened = options.isLazy ? undefined : openHttp();
  const http = () => {
    opened ??= openHttp();
    return opened;
  };
  const draining = createDraining((request, refusal) => stores.serve(() => http().handle(request, refusal)));
  const endLiveQueries = () => opened?.endListeners();
  return {
    fetch: fetchDoor(draining.serve),
    requestListener: nodeListener(draining.serve),
    endLiveQueries,
    execute: (operation) => draining.run((refusal) => stores.serve(() => http().execute(operation, refusal))),
    async close() {
      endLiveQueries();
      await draining.end((options.drainSeconds ?? DRAIN_SECONDS) * 1_000);
    },
  };
}

/** Connects HTTP with the domain. Returns the function that builds it. */
function httpOf(domain: Domain, { options, logger, limits, now, elapsed }: Resolved): () => ReturnType<typeof createHttp> {
  const { context, schema, trustedDocuments, refusals, failedLogins } = domain;
  const { stores, revocations } = context;
  const own = {
    issued: (viewer) => {
      revocations.refuseRevoked(viewer);
      return viewer;
    },
    apiKey: (key) => authenticateAPIKey(context, key),
    endUser: (token) => authenticateEndUser(context, token),
  } satisfies OwnTokens;
  const authenticate = createAuthenticator(options.tokens, own, now, {
    onKeyFailure: (reason) => logger.warn({ reason }, 'the keys of the issuer (TOKEN_JWKS_URL) could not be fetched'),
  });
  return () =>
    createHttp({
      ...options,
      logger,
      graphiql: options.graphiql ?? false,
      schema: schema(),
      trustedDocuments: trustedDocuments(),
      contextOf: (viewer) => contextOf(context, viewer),
      authenticate,
      callback: (parameters, from) => handleCallback(context, parameters, from),
      proxy: createProxy(limits),
      idempotency: { reserve, finish },
      refusals,
      failedLogins,
      ready: stores.ping,
      limits,
      trustedProxies: options.trustedProxies ?? 0,
      logsDefectMessages: options.logsDefectMessages ?? false,
      reserve: stores.rateLimits.reserve,
      noOrganization: NO_ORGANIZATION,
      now,
      elapsed,
      onFailure: (error) =>
        logger.warn(
          { error: (error as Error).name },
          'a share of a rate limit could not be reserved; requests are allowed up to one share',
        ),
    });
}
