import type { Logger } from '../logger.ts';
import { isProxyPath } from './paths.ts';
import type { RequestState } from './request.ts';

/** Only these methods and paths are logged. Any other text in their place comes from the caller. */
const knownMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const knownPaths = ['/graphql', '/health', '/ready'];

/**
 * Logs one line for a request: method, path, status, duration and viewer. Never logs the query string, the body, a header or an operation's
 * name, because these come from the caller. `startedAt` is in milliseconds of `performance.now()`.
 */
export function logRequest(
  logger: Logger,
  { requestId, viewer }: RequestState,
  {
    method,
    pathname,
    status,
    startedAt,
  }: { readonly method: string; readonly pathname: string; readonly status: number; readonly startedAt: number },
): void {
  logger.info(
    {
      requestId,
      method: knownMethods.includes(method) ? method : 'other',
      // Of a proxied request, what follows is for the service.
      path: isProxyPath(pathname) ? '/proxy' : knownPaths.includes(pathname) ? pathname : 'other',
      status,
      milliseconds: Math.round(performance.now() - startedAt),
      organization: viewer?.organizationId,
      subject: viewer?.subject,
    },
    'request',
  );
}
