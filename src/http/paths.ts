import type { Plugin } from 'graphql-yoga';
import type { ServerContext } from './access-log.ts';
import { mediaTypeFor } from './negotiation.ts';
import { type Refusal, refusalResponse } from './refusal.ts';

/**
 * Serves HEAD as GET without its content (RFC 9110, section 9.3.2), on every path. Must come before all plugins that look at the method, except
 * those that log it.
 */
export function useHead(): Plugin<object, ServerContext> {
  return {
    onRequest({ request, setRequest, fetchAPI }) {
      if (request.method !== 'HEAD') return;
      setRequest(new fetchAPI.Request(request.url, { method: 'GET', headers: request.headers, signal: request.signal }));
    },
    onResponse({ response, setResponse, serverContext, fetchAPI }) {
      if (serverContext.method !== 'HEAD') return;
      const { status, headers } = response;
      setResponse(new fetchAPI.Response(null, { status, headers }));
    },
  };
}

const nothing: Refusal = { status: 404, code: 'BAD_REQUEST', message: 'There is nothing at this path. GraphQL is at /graphql.' };
const notAcceptable: Refusal = {
  status: 406,
  code: 'BAD_REQUEST',
  message: 'The response can be application/json or application/graphql-response+json. Accept must allow one of them.',
};

/**
 * Leads browsers from the root to GraphiQL, and says where GraphQL is. Refuses what accepts no GraphQL response before anything is carried out. Must
 * come after all plugins that serve paths.
 */
export function usePaths({ graphiql }: { readonly graphiql: boolean }): Plugin {
  return {
    onRequest({ request, url, endResponse, fetchAPI }) {
      const refuse = (refusal: Refusal) => endResponse(refusalResponse(refusal, fetchAPI));
      if (url.pathname === '/graphql' || url.pathname === '/graphql/') {
        return mediaTypeFor(request.headers) ? undefined : refuse(notAcceptable);
      }
      if (graphiql && url.pathname === '/' && request.method === 'GET') {
        return endResponse(new fetchAPI.Response(null, { status: 302, headers: { location: '/graphql' } }));
      }
      refuse(nothing);
    },
  };
}
