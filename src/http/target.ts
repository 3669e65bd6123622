import { parsedUrl, staysBelow } from '../url.ts';
import { isProxyPath } from './paths.ts';
import type { Refusal } from './refusal.ts';
import type { HttpRequest } from './request.ts';

/** A target in absolute form: with the scheme and the host of the request (RFC 9112, section 3.2.2). */
const absoluteForm = /^(https?):\/\/([^/?#]*)/i;
const isHost = /^[^/?#@\\\s]*$/;

const badRequest = { status: 400, code: 'BAD_REQUEST' } as const;
const noUrl: Refusal = { ...badRequest, message: 'The Host and path of the request do not form a valid URL.' };
const severalHosts: Refusal = { ...badRequest, message: 'The request has several Host headers (RFC 9112, section 3.2).' };
const otherHost: Refusal = {
  ...badRequest,
  message: 'The target of the request is a URL of another host than the header Host names (RFC 9112, section 3.2.2).',
};
const notPlain: Refusal = {
  ...badRequest,
  message:
    'The path of the request must be in its normal form: ASCII characters and escapes of bytes (RFC 3986), without a backslash, a fragment, an empty first segment, or a segment that is . or .. in any form.',
};

/** Returns whether the target of a request, in the form in which it came, is one of the proxy. */
export function isProxyTarget(target: string): boolean {
  return isProxyPath(originForm(target));
}

/** Returns a target in origin form: the path with the parameters (RFC 9112, section 3.2.1). */
function originForm(target: string): string {
  const [start] = absoluteForm.exec(target) ?? [];
  if (start === undefined) return target;
  const rest = target.slice(start.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * Reads the target of a request. Returns it in origin form with its URL, or why it is refused.
 *
 * A server around the gateway decides by the target as it came which requests the gateway gets. A URL parser resolves dot segments, turns backslashes
 * and removes tabs, so the same target can then be another endpoint. So every target is refused whose path is not the one that the parser returns; of
 * proxied requests, whose paths are those of other services, only the characters may differ, which the parser encodes.
 */
export function readTarget({
  host,
  target,
  isEncrypted,
  rawHeaders,
}: HttpRequest): { readonly target: string; readonly url: URL } | Refusal {
  const [, scheme, authority] = absoluteForm.exec(target) ?? [];
  // A host with a path or a user would make another URL of the target than a proxy in front of the gateway has seen.
  if (!isHost.test(host)) return noUrl;
  if (rawHeaders.filter(([name]) => name.toLowerCase() === 'host').length > 1) return severalHosts;
  if (scheme !== undefined && !isSameHost(scheme, authority!, host)) return otherHost;
  const plain = originForm(target);
  const url = parsedUrl(`${isEncrypted ? 'https' : 'http'}://${host}${plain}`);
  if (!url) return noUrl;
  const path = plain.replace(/\?.*$/s, '');
  const isNormal = !plain.includes('#') && path.startsWith('/') && staysBelow(path) && (isProxyPath(path) || path === url.pathname);
  return isNormal ? { target: plain, url } : notPlain;
}

/** Returns whether two hosts with ports are the same one. Names have no case, and the default port of the scheme can be left out. */
function isSameHost(scheme: string, authority: string, host: string): boolean {
  if (!isHost.test(authority)) return false;
  const named = parsedUrl(`${scheme}://${authority}`)?.host;
  return named !== undefined && named === parsedUrl(`${scheme}://${host}`)?.host;
}
