/**
 * The headers of every response. A response is for programs: no cache may keep it, no page may frame it, no page of another site may embed it,
 * and a browser that shows it may run nothing in it. GraphiQL's page and assets replace some of them. Pages of `CORS_ORIGINS` can read responses
 * in spite of `cross-origin-resource-policy`, which is only for requests without CORS.
 */
export const responseHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** Two years, as is usual. Subdomains are not included: the gateway does not know whether they have TLS. */
const HSTS = 'max-age=63072000';

/**
 * Returns the header of a response over TLS that makes browsers use only TLS for its host (RFC 6797). There is none for localhost: a browser would
 * apply it to every other server on that machine. For hosts that are addresses, browsers ignore it.
 */
export function strictTransport(host: string | undefined): Readonly<Record<string, string>> {
  const [, name = ''] = /^([^:]*)(:\d+)?$/.exec(host ?? '') ?? [];
  return /(^|\.)localhost\.?$/i.test(name) ? {} : { 'strict-transport-security': HSTS };
}
