import { randomUUID } from 'node:crypto';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Viewer } from '../access/viewer.ts';
import type { Quota } from './limits/rate-limiter.ts';

/** The state of a request while it runs. */
export interface ServerContext {
  requestId?: string;
  /** When the request arrived, in milliseconds of `performance.now()`. */
  startedAt?: number;
  /** The method of the request. HEAD is served as GET. */
  method?: string;
  viewer?: Viewer;
  /** The client's network address. */
  address?: string;
  /** The cost of the operation. */
  cost?: number;
  /** Whether the operation is a mutation. Undefined before it is known. */
  isMutation?: boolean;
  /** The additional cost of the body. */
  bodyCost?: number;
  /** The caller's state in the rate limit. */
  quota?: Quota;
}

/** Only these methods and paths are logged. Any other text in their place comes from the caller. */
const knownMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const knownPaths = ['/graphql', '/health', '/ready'];

/**
 * Logs one line per request: method, path, status, duration and viewer. Never logs the query string, the body, a header or an operation's
 * name, because these come from the caller.
 */
export function useAccessLog(logger: Logger): Plugin<object, ServerContext> {
  return {
    onRequest({ request, serverContext }) {
      serverContext.startedAt = performance.now();
      serverContext.requestId = randomUUID();
      serverContext.method = request.method;
    },
    onResponse({ request, response, serverContext }) {
      const { startedAt = performance.now(), requestId = '', method = '' } = serverContext;
      response.headers.set('x-request-id', requestId);
      const { pathname } = new URL(request.url, 'http://localhost');
      logger.info(
        {
          requestId,
          method: knownMethods.includes(method) ? method : 'other',
          path: knownPaths.includes(pathname) ? pathname : 'other',
          status: response.status,
          milliseconds: Math.round(performance.now() - startedAt),
          organization: serverContext.viewer?.organizationId,
          subject: serverContext.viewer?.subject,
        },
        'request',
      );
    },
  };
}
