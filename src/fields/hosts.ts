import { isIPv6 } from 'node:net';
import validator from 'validator';
import { parsedUrl } from '../url.ts';

/**
 * Whether the text is the name of a host, in upper or lower case: labels of letters, digits and hyphens (RFC 1123, section 2.1), and of
 * underscores, which RFC 2181 (section 11) allows in the DNS and services such as Snowflake use. International labels must be in Punycode. A
 * last label of digits would make it an IPv4 address for a URL parser (WHATWG URL, host parsing), and URL parsers must take it.
 */
export function isHostName(text: string): boolean {
  // Some other letters become ASCII in lower case.
  return /^[\x21-\x7e]+$/.test(text) && canonicalHost(text) === text.toLowerCase();
}

/** Whether a host that a URL parser has read is a name. The last label begins with a letter, as all top-level domains do. */
function isName(host: string): boolean {
  return host.length <= 253 && /(?:^|\.)[a-z][^.]*$/.test(host) && validator.isFQDN(host, { require_tld: false, allow_underscores: true });
}

const WILDCARD = '*.';

/**
 * Returns the canonical form of a host name, as URLs have it (WHATWG URL, host parsing): lower case, with international labels in Punycode.
 * Returns undefined when the text is not the name of a host: an IP address, a name with a dot at its end, or anything with a port or a path.
 */
export function canonicalHost(text: string): string | undefined {
  // These would end the host, or be decoded to other characters.
  const hostname = /[/?#@:\\[\]%\s]/.test(text) ? undefined : parsedUrl(`https://${text}/`)?.hostname;
  return hostname !== undefined && isName(hostname) ? hostname : undefined;
}

/**
 * Returns a host name, a pattern of hosts or an address in its canonical form: host names have no case. Returns the text as it is when it is none of
 * these, or has characters outside of ASCII: several of them look like others, so international names must be given in Punycode.
 */
export function withCanonicalHost(text: string): string {
  if (!/^[\x21-\x7e]*$/.test(text)) return text;
  const [, wildcard = '', host = ''] = /^(\*\.)?(.*)$/s.exec(text) ?? [];
  const canonical = isIPv6(host) ? host.toLowerCase() : canonicalHost(host);
  return canonical === undefined ? text : `${wildcard}${canonical}`;
}

/** Returns the canonical host of a URL. Returns undefined when the text is no URL, or its host has no name. */
export function hostOfUrl(text: string): string | undefined {
  const url = parsedUrl(text);
  return url && canonicalHost(url.hostname);
}

/** Whether the text is a canonical host, or `*.` and a canonical host of at least two labels, such as `*.example.com`. */
export function isHostPattern(text: string): boolean {
  if (!text.startsWith(WILDCARD)) return canonicalHost(text) === text;
  const parent = text.slice(WILDCARD.length);
  return parent.includes('.') && canonicalHost(parent) === parent;
}

/** Whether a pattern covers a canonical host. A wildcard covers all hosts below its domain at any depth, but not the domain itself. */
export function coversHost(pattern: string, host: string): boolean {
  return pattern.startsWith(WILDCARD) ? host.endsWith(pattern.slice(1)) : pattern === host;
}
