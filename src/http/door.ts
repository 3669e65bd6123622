import type { Plugin } from 'graphql-yoga';

/** Who may knock: everything that is decided of a request before its body is read, but the token. */
export interface DoorSettings {
  /** The host names that requests may be addressed to, without port. Undefined: any. */
  readonly allowedHosts?: readonly string[];
  /** Whether the database answers. */
  readonly ready: () => Promise<void>;
}

/**
 * Liveness and readiness, and the refusal of requests that a foreign web page makes a browser send: by a name that it lets point here (DNS
 * rebinding), from another origin, or with a body that needs no preflight. There is no CORS: a browser never shows an answer to another
 * origin, and this keeps the request from being run at all.
 */
export function useDoor({ allowedHosts, ready }: DoorSettings): Plugin {
  return {
    async onRequest({ request, url, endResponse, fetchAPI }) {
      const refuse = (status: number, code: string, message: string) =>
        endResponse(fetchAPI.Response.json({ errors: [{ message, extensions: { code } }] }, { status }));
      if (url.pathname === '/health') return endResponse(new fetchAPI.Response('alive\n'));
      if (url.pathname === '/ready') {
        const isReady = await ready().then(
          () => true,
          () => false,
        );
        return endResponse(new fetchAPI.Response(isReady ? 'ready\n' : 'the database does not answer\n', { status: isReady ? 200 : 503 }));
      }
      const host = request.headers.get('host') ?? url.host;
      if (allowedHosts && !allowedHosts.includes(hostnameOf(host))) {
        return refuse(403, 'FORBIDDEN', 'This gateway does not answer to that Host. ALLOWED_HOSTS lists those it answers to.');
      }
      const origin = request.headers.get('origin');
      if (origin !== null && hostOf(origin) !== host) {
        return refuse(403, 'FORBIDDEN', 'Requests from the pages of another origin are refused.');
      }
      const contentType = request.headers.get('content-type') ?? '';
      if (request.method === 'POST' && !/^application\/json\s*(;|$)/i.test(contentType)) {
        return refuse(415, 'BAD_REQUEST', 'The request’s body must be JSON, with Content-Type: application/json.');
      }
    },
    onResponse({ response }) {
      response.headers.set('x-content-type-options', 'nosniff');
      response.headers.set('referrer-policy', 'no-referrer');
      if (!response.headers.has('cache-control')) response.headers.set('cache-control', 'no-store');
    },
  };
}

function hostnameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
