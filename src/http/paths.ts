import { mediaTypeFor } from './negotiation.ts';
import { type Refusal, refusalResponse } from './refusal.ts';
import type { HttpResponse, ReadableRequest } from './request.ts';

/** Below it are the proxied requests: `/proxy/<id of a connection>/<path>`. */
const PROXY = '/proxy/';
/** The parts of the target of a proxied request: the id, the path and the query. */
export const proxyTarget: RegExp = new RegExp(`^${PROXY}([^/?]+)((?:/[^?]*)?)(\\?.*)?$`, 's');

/** Returns whether a path is one of the proxy. */
export function isProxyPath(path: string): boolean {
  return path.startsWith(PROXY);
}

const nothing: Refusal = { status: 404, code: 'BAD_REQUEST', message: 'There is nothing at this path. GraphQL is at /graphql.' };
const notAcceptable: Refusal = {
  status: 406,
  code: 'BAD_REQUEST',
  message: 'The response can be application/json, application/graphql-response+json or text/event-stream. Accept must allow one of them.',
};

/**
 * Leads browsers from the root to GraphiQL, and says where GraphQL is. Refuses what accepts no GraphQL response before anything is carried out.
 * Returns undefined for a request of GraphQL. Must come after all that serves paths.
 */
export function pathResponse({ method, url, headers, requestId }: ReadableRequest, graphiql: boolean): HttpResponse | undefined {
  if (url.pathname === '/graphql' || url.pathname === '/graphql/') {
    return mediaTypeFor(headers) ? undefined : refusalResponse(notAcceptable, requestId);
  }
  if (graphiql && url.pathname === '/' && method === 'GET') return { status: 302, headers: { location: '/graphql' }, body: null };
  return refusalResponse(nothing, requestId);
}
