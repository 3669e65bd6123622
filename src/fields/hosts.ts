import { isIPv6 } from 'node:net';

/** A label of a host name (RFC 1123, section 2.1), in lower case. */
const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** The last label begins with a letter. Otherwise it would be an IPv4 address for a URL parser. */
const dnsName = new RegExp(`^(?=.{1,253}$)(?:${label}\\.)*(?=[a-z])${label}$`);
const WILDCARD = '*.';

/**
 * Returns the canonical form of a host name, as URLs have it (WHATWG URL, host parsing): lower case, with international labels in Punycode.
 * Returns undefined when the text is not the name of a host: an IP address, a name with a dot at its end, or anything with a port or a path.
 */
export function canonicalHost(text: string): string | undefined {
  // These would end the host, or be decoded to other characters.
  if (/[/?#@:\\[\]%\s]/.test(text) || !URL.canParse(`https://${text}/`)) return undefined;
  const { hostname } = new URL(`https://${text}/`);
  return dnsName.test(hostname) ? hostname : undefined;
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
  return URL.canParse(text) ? canonicalHost(new URL(text).hostname) : undefined;
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
