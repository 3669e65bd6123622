import { randomUUID } from 'node:crypto';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Viewer } from '../access/viewer.ts';
import type { Quota } from './limits/rate-limiter.ts';

/** The state of a request while it runs. */
export interface ServerContext {
  requestId?: string;
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
  const started = new WeakMap<Request, { at: number; id: string }>();
  return {
    onRequest({ request, serverContext }) {
      const id = randomUUID();
      started.set(request, { at: performance.now(), id });
      serverContext.requestId = id;
    },
    onResponse({ request, response, serverContext }) {
      const { at, id } = started.get(request) ?? { at: performance.now(), id: '' };
      response.headers.set('x-request-id', id);
      const { pathname } = new URL(request.url, 'http://localhost');
      logger.info(
        {
          requestId: id,
          method: knownMethods.includes(request.method) ? request.method : 'other',
          path: knownPaths.includes(pathname) ? pathname : 'other',
          status: response.status,
          milliseconds: Math.round(performance.now() - at),
          organization: serverContext?.viewer?.organizationId,
          subject: serverContext?.viewer?.subject,
        },
        'request',
      );
    },
  };
}
