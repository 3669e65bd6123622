import type { Plugin } from 'graphql-yoga';

/** Who may knock: everything that is decided of a request before its body is read, but the token. */
export interface OriginGuardSettings {
  /** The host names that requests may be addressed to, without port. Undefined: any. */
  readonly allowedHosts?: readonly string[];
  /** The origins whose pages may use the gateway, as in `https://app.example.com`. None unless told. */
  readonly corsOrigins?: readonly string[];
  /** Whether the database answers. */
  readonly ready: () => Promise<void>;
}

/**
 * Liveness and readiness, and the refusal of requests that a foreign web page makes a browser send: by a name that it lets point here (DNS
 * rebinding), from another origin, or with a body that needs no preflight. Only the pages of listed origins may send requests and see
 * answers. They are never allowed credentials that a browser sends by itself: a page must have a token, and give it.
 */
export function useOriginGuard({ allowedHosts, corsOrigins = [], ready }: OriginGuardSettings): Plugin {
  const isAllowed = (origin: string | null) => origin !== null && corsOrigins.includes(origin);
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
      if (origin !== null && hostOf(origin) !== host && !isAllowed(origin)) {
        return refuse(
          403,
          'FORBIDDEN',
          'Requests from the pages of another origin are refused. CORS_ORIGINS lists those that may send them.',
        );
      }
      if (request.method === 'OPTIONS' && isAllowed(origin)) {
        return endResponse(new fetchAPI.Response(null, { status: 204, headers: preflight }));
      }
      const contentType = request.headers.get('content-type') ?? '';
      if (request.method === 'POST' && !/^application\/json\s*(;|$)/i.test(contentType)) {
        return refuse(415, 'BAD_REQUEST', 'The request’s body must be JSON, with Content-Type: application/json.');
      }
    },
    onResponse({ request, response }) {
      if (corsOrigins.length > 0) {
        response.headers.append('vary', 'Origin');
        const origin = request.headers.get('origin');
        if (isAllowed(origin)) {
          response.headers.set('access-control-allow-origin', origin!);
          response.headers.set('access-control-expose-headers', 'RateLimit, RateLimit-Policy, Retry-After, X-Request-Id');
        }
      }
      response.headers.set('x-content-type-options', 'nosniff');
      response.headers.set('referrer-policy', 'no-referrer');
      if (!response.headers.has('cache-control')) response.headers.set('cache-control', 'no-store');
    },
  };
}

const preflight = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-allow-headers': 'authorization, content-type',
  'access-control-max-age': '600',
};

function hostnameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
