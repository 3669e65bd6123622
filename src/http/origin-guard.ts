import { responseHeaders, strictTransport } from '../response-headers.ts';
import { parsedUrl } from '../url.ts';
import { createReadiness } from './readiness.ts';
import { refusalResponse } from './refusal.ts';
import type { HttpRequest, HttpResponse, ReadableRequest } from './request.ts';
import { readBefore, unreadableRequest } from './request-head.ts';

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
 * Creates the parts of the guard. `check` serves liveness and readiness, and rejects requests that a foreign web page makes a browser send: with
 * a host name that was made to resolve to this gateway (DNS rebinding), from another origin, or with a content type that needs no preflight. It
 * returns undefined for a request that may proceed. `headersFor` and `corsHeadersFor` return headers of a response; the response itself
 * can replace the first ones.
 *
 * Only pages of the listed origins may send requests and read responses. Credentials that browsers send automatically are never allowed: a page must
 * send a token.
 */
export function createOriginGuard({ allowedHosts, corsOrigins = [], trustedProxies, ready }: OriginGuardSettings) {
  const hasDatabase = createReadiness(ready);
  const isAllowed = (origin: string | undefined) => origin !== undefined && corsOrigins.includes(origin);
  const names = allowedHosts?.map(hostnameOf);
  const forbid = (message: string, requestId: string) => refusalResponse({ status: 403, code: 'FORBIDDEN', message }, requestId);

  return {
    /** With `isProxied`, the parameters and the body are for another service, and not looked at. */
    check(request: ReadableRequest, isProxied = false): HttpResponse | undefined | Promise<HttpResponse> {
      const { method, url, headers, requestId } = request;
      if (url.pathname === '/health') return { status: 200, headers: textHeaders, body: 'alive\n' };
      if (url.pathname === '/ready') {
        return hasDatabase().then((isReady) => ({
          status: isReady ? 200 : 503,
          headers: textHeaders,
          body: isReady ? 'ready\n' : 'the database does not respond\n',
        }));
      }
      const { origin, host = url.host } = headers;
      if (names && !names.includes(hostnameOf(host))) {
        return forbid('This Host is not accepted. The setting ALLOWED_HOSTS lists the accepted ones.', requestId);
      }
      if (origin !== undefined && !isOwnOrigin(origin, host) && !isAllowed(origin)) {
        return forbid(
          'Requests from pages of this origin are not accepted. The setting CORS_ORIGINS lists the accepted origins.',
          requestId,
        );
      }
      if (method === 'OPTIONS' && isAllowed(origin)) return { status: 204, headers: preflight, body: null };
      const unreadable = readBefore(request) ?? (isProxied ? undefined : unreadableRequest(request));
      return unreadable && refusalResponse(unreadable, requestId);
    },

    headersFor({ isEncrypted, headers, host }: HttpRequest): Record<string, string> {
      // A proxy that adds to the header puts its own word last.
      const forwarded = trustedProxies > 0 ? headers['x-forwarded-proto']?.split(',').at(-1)?.trim().toLowerCase() : undefined;
      const isSecure = isEncrypted || forwarded === 'https';
      return { ...responseHeaders, ...(isSecure && strictTransport(headers.host ?? host)) };
    },

    /** Returns the headers by which a page of another origin may read a response with this `Vary`. */
    corsHeadersFor({ headers: { origin } }: HttpRequest, vary: string | undefined): Record<string, string> {
      if (corsOrigins.length === 0) return {};
      return {
        vary: vary === undefined ? 'Origin' : `${vary}, Origin`,
        ...(isAllowed(origin) && {
          'access-control-allow-origin': origin!,
          'access-control-expose-headers': 'Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id',
        }),
      };
    },
  };
}

const textHeaders = { 'content-type': 'text/plain;charset=UTF-8' };
const preflight = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-allow-headers': 'authorization, content-type, idempotency-key, last-event-id',
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
