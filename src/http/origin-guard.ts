import type { Plugin } from 'graphql-yoga';
import { responseHeaders, strictTransport } from '../response-headers.ts';
import { parsedUrl } from '../url.ts';
import { createReadiness } from './readiness.ts';
import { type Refusal, refusalResponse } from './refusal.ts';
import { unreadableRequest } from './request-head.ts';

/** The settings for the checks of Host, Origin and content type. */
export interface OriginGuardSettings {
  /** The accepted host names, without port. If undefined, all are accepted. */
  readonly allowedHosts?: readonly string[];
  /** The origins whose pages may use the gateway, such as `https://app.example.com`. None by default. */
  readonly corsOrigins?: readonly string[];
  /** The number of proxies in front of the gateway. With any, `X-Forwarded-Proto` says whether the client uses TLS. */
  readonly trustedProxies: number;
  /** Resolves if the database responds, and rejects otherwise. */
  readonly ready: () => Promise<void>;
}

/**
 * Serves liveness and readiness, and rejects requests that a foreign web page makes a browser send: with a host name that was made to
 * resolve to this gateway (DNS rebinding), from another origin, or with a content type that needs no preflight. Only pages of the listed
 * origins may send requests and read responses. Credentials that browsers send automatically are never allowed: a page must send a token.
 */
export function useOriginGuard({ allowedHosts, corsOrigins = [], trustedProxies, ready }: OriginGuardSettings): Plugin {
  const hasDatabase = createReadiness(ready);
  const isAllowed = (origin: string | null) => origin !== null && corsOrigins.includes(origin);
  const names = allowedHosts?.map(hostnameOf);
  return {
    async onRequest({ request, url, endResponse, fetchAPI }) {
      const refuse = (refusal: Refusal) => endResponse(refusalResponse(refusal, fetchAPI));
      const forbid = (message: string) => refuse({ status: 403, code: 'FORBIDDEN', message });
      if (url.pathname === '/health') return endResponse(new fetchAPI.Response('alive\n'));
      if (url.pathname === '/ready') {
        const isReady = await hasDatabase();
        return endResponse(new fetchAPI.Response(isReady ? 'ready\n' : 'the database does not respond\n', { status: isReady ? 200 : 503 }));
      }
      const host = request.headers.get('host') ?? url.host;
      if (names && !names.includes(hostnameOf(host))) {
        return forbid('This Host is not accepted. The setting ALLOWED_HOSTS lists the accepted ones.');
      }
      const origin = request.headers.get('origin');
      if (origin !== null && !isOwnOrigin(origin, host) && !isAllowed(origin)) {
        return forbid('Requests from pages of this origin are not accepted. The setting CORS_ORIGINS lists the accepted origins.');
      }
      if (request.method === 'OPTIONS' && isAllowed(origin)) {
        return endResponse(new fetchAPI.Response(null, { status: 204, headers: preflight }));
      }
      const unreadable = unreadableRequest(request.method, request.headers, url.search);
      if (unreadable) return refuse(unreadable);
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
      const { protocol, host } = new URL(request.url, 'http://localhost');
      // A proxy that adds to the header puts its own word last.
      const forwarded = trustedProxies > 0 ? request.headers.get('x-forwarded-proto')?.split(',').at(-1)?.trim().toLowerCase() : undefined;
      const isSecure = protocol === 'https:' || forwarded === 'https';
      const headers = { ...responseHeaders, ...(isSecure && strictTransport(request.headers.get('host') ?? host)) };
      for (const [name, value] of Object.entries(headers)) if (!response.headers.has(name)) response.headers.set(name, value);
    },
  };
}

const preflight = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-allow-headers': 'authorization, content-type',
  'access-control-max-age': '600',
};

/** Returns the host name of a Host header in its canonical form: in lower case, without port and without the dot of the root at its end. */
function hostnameOf(host: string): string {
  return parsedUrl(`http://${host}`)?.hostname.replace(/\.$/, '') ?? '';
}

/** Returns whether a page of this origin comes from this host. Host names have no case, and the default port of a scheme can be left out. */
function isOwnOrigin(origin: string, host: string): boolean {
  const page = parsedUrl(origin);
  if (!page || !['http:', 'https:'].includes(page.protocol)) return false;
  return parsedUrl(`${page.protocol}//${host}`)?.host === page.host;
}
