import { OutboundError } from './error.ts';
import type { OutboundRequest } from './index.ts';

/** Of letters, as all registered ones. */
const methodPattern = /^[A-Z][A-Z-]{0,31}$/;
/** CONNECT makes a tunnel, and an answer to TRACE repeats the request with its secrets. */
const refusedMethods: readonly string[] = ['CONNECT', 'TRACE', 'TRACK'];
/** A token (RFC 9110, section 5.6.2). */
const namePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** A field value (RFC 9110, section 5.5), as bytes. Above all no CR, LF or NUL. */
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers of one connection, of framing and of routing. They are the door's own: two opinions about them are how requests are smuggled. */
const ownHeaders: readonly string[] = [
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** @throws OutboundError when a request is not valid, or may never go out */
export function checkRequest({ method, url, headers, clientCertificate }: OutboundRequest, allowsHttp: boolean): void {
  const isSecure = url.protocol === 'https:';
  // A certificate that is not presented is not what was asked for.
  if (!isSecure && (url.protocol !== 'http:' || !allowsHttp || clientCertificate)) throw new OutboundError('HTTPS_REQUIRED', true);
  const isValid =
    methodPattern.test(method) &&
    !refusedMethods.includes(method) &&
    url.username === '' &&
    url.password === '' &&
    url.port !== '0' &&
    headers.every(([name, value]) => namePattern.test(name) && valuePattern.test(value) && !ownHeaders.includes(name.toLowerCase()));
  if (!isValid) throw new OutboundError('INVALID_REQUEST', true);
}
