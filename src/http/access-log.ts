import { randomUUID } from 'node:crypto';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from 'pino';
import type { Viewer } from '../access/viewer.ts';
import type { Quota } from './limits/rate-limiter.ts';

/** What the gateway keeps of a request while it runs. */
export interface ServerContext {
  requestId?: string;
  viewer?: Viewer;
  /** Where the request came from. */
  address?: string;
  /** What the operation costs. */
  cost?: number;
  /** What its body costs beside. */
  bodyCost?: number;
  /** How who asks stands with the rate limit. */
  quota?: Quota;
}

/** Methods, and of paths those that there are, are told; all else that stands in their place is the caller's word. */
const knownMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const knownPaths = ['/graphql', '/health', '/ready'];

/**
 * One line for each request: method, path, status, time, who. Never the query string, the body, a header or an operation's name, which are
 * the caller's words.
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
