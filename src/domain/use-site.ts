import type { OnlyFor, Template } from '../credential-kinds/apply.ts';
import type { NotUsable } from '../errors.ts';
import { canonicalHost, coversHost, hostOfUrl, withCanonicalHost } from '../fields/hosts.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import { parsedUrl, staysBelow } from '../url.ts';

/** Where a connection leads. */
export interface Site {
  /** The only host that requests go to. */
  readonly host: string;
  /** On this host. Requests have its scheme and port. */
  readonly baseUrl: URL;
}

type Leading = Pick<ConnectionRecord, 'allowedDomain' | 'baseUrl' | 'variables'>;

/**
 * Returns where a connection leads, with its variables replaced, or why that is not known. The host is the allowed domain of the connection or, if it
 * has none, the host of the connector’s base URL. The base URL is that of the connection, or that of the connector if it is on this host;
 * otherwise the root of the host.
 */
export function siteOf(connection: Leading, connector: Pick<ConnectorRecord, 'baseUrl'> | null): Site | NotUsable {
  const { allowedDomain, baseUrl = null, variables } = connection;
  const ofConnector = connector && urlWith(connector.baseUrl, variables);
  if (ofConnector === 'VARIABLE_MISSING' && (allowedDomain === null || baseUrl === null)) return ofConnector;
  const host = allowedDomain === null ? ofConnector instanceof URL && canonicalHost(ofConnector.hostname) : canonicalHost(allowedDomain);
  if (!host) return 'NO_HOST';
  const root = new URL(`https://${host}/`);
  if (baseUrl === null) return { host, baseUrl: ofConnector instanceof URL && ofConnector.hostname === host ? ofConnector : root };
  const own = urlWith(baseUrl, variables);
  if (!(own instanceof URL)) return own ?? 'BASE_URL';
  return own.hostname === host ? { host, baseUrl: own } : 'BASE_URL';
}

/** The value of a variable in the host of a URL: labels, and nothing that ends a host. */
const hostLabels = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i;

/** Replaces `{name}` by the variables of a connection. In the path, a value stands for one segment or a part of it. Undefined if it is no URL. */
function urlWith(text: string, variables: ConnectionRecord['variables']): URL | 'VARIABLE_MISSING' | undefined {
  const [, scheme = '', authority = '', rest = ''] = /^(https?:\/\/)([^/?#]*)(.*)$/is.exec(text) ?? [];
  let isMissing = false;
  const replace = (part: string, encode: (value: string) => string | undefined) =>
    part.replace(/\{([^{}]*)\}/g, (_, name: string) => {
      const value = variables.find((variable) => variable.name === name)?.value;
      const encoded = value === undefined ? undefined : encode(value);
      isMissing ||= encoded === undefined;
      return encoded ?? '';
    });
  const host = replace(authority, (value) => (hostLabels.test(value) ? value : undefined));
  const path = replace(rest, (value) => (/^\.{0,2}$|\p{Surrogate}/u.test(value) ? undefined : encodeURIComponent(value)));
  if (isMissing) return 'VARIABLE_MISSING';
  const url = parsedUrl(`${scheme}${host}${path}`);
  return url && url.username === '' && url.password === '' ? url : undefined;
}

/**
 * Reads the URL that a caller gives. Returns undefined for one that programs could read differently: with characters that URL parsers replace or
 * drop, or a host in another than its canonical form.
 */
export function givenUrl(text: string): URL | undefined {
  if (!/^[\x21-\x7e]+$/.test(text) || text.includes('\\')) return undefined;
  const [, authority] = /^https?:\/\/([^/?#]+)/i.exec(text) ?? [];
  const url = parsedUrl(text);
  if (authority === undefined || !url) return undefined;
  const defaultPort = url.protocol === 'https:' ? ':443' : ':80';
  const given = authority.toLowerCase();
  return given === url.host || given === `${url.host}${defaultPort}` ? url : undefined;
}

/** Whether a URL leads to this site: with its scheme, host and port, and without a user. */
export function isAt({ host, baseUrl }: Site, url: URL): boolean {
  return url.origin === baseUrl.origin && url.hostname === host && url.username === '' && url.password === '';
}

/** Returns the URL of a path with its query below the base URL. Null if it leads elsewhere, by dots too, or is none. */
export function below({ host, baseUrl }: Site, pathAndQuery: string): URL | null {
  if (!staysBelow(pathAndQuery) || pathAndQuery.includes('\\')) return null;
  const url = parsedUrl(`${baseUrl.origin}${baseUrl.pathname.replace(/\/$/, '')}${pathAndQuery}`);
  return url && isAt({ host, baseUrl }, url) ? url : null;
}

/** Whether the kind of a credential is for a host at all. `fill` replaces the fields of a template. */
export function coversSite({ hosts, hostOf }: OnlyFor, host: string, fill: (template: Template) => string): boolean {
  if (hosts && !hosts.some((pattern) => coversHost(withCanonicalHost(fill(pattern)), host))) return false;
  return hostOf === undefined || hostOfUrl(fill(hostOf)) === host;
}

/**
 * Whether a URL begins with a prefix, or matches a pattern as a whole in which asterisks stand for any characters. The host of the pattern is always a
 * whole host. A path that a server could read as another one matches only a pattern for all paths.
 */
export function matchesUrl(pattern: string, url: URL): boolean {
  const [, scheme, authority = '', rest = ''] = /^(https?|\*):\/\/([^/?#]*)(.*)$/is.exec(pattern) ?? [];
  if (scheme === undefined || (scheme !== '*' && `${scheme.toLowerCase()}:` !== url.protocol)) return false;
  const [, name = '', port] = /^(.*?)(?::(\d+|\*))?$/.exec(authority.toLowerCase()) ?? [];
  const defaultPort = url.protocol === 'https:' ? '443' : '80';
  if (port !== '*' && (port ?? defaultPort) !== (url.port || defaultPort)) return false;
  if (!matches(name, url.hostname)) return false;
  if (rest === '' || rest === '/' || rest === '/*') return true;
  if (/%(?:2e|2f|5c)/i.test(url.pathname)) return false;
  // In the form that URLs have: normalized, and with the same escapes.
  const canonical = parsedUrl(`https://host${rest}`);
  if (!canonical) return false;
  const wanted = `${canonical.pathname}${canonical.search}`;
  const actual = `${url.pathname}${url.search}`;
  return wanted.includes('*') ? matches(wanted, actual) : actual.startsWith(wanted);
}

/** Whether a text is the pattern, in which each asterisk stands for any characters. Takes time in proportion to both. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  const last = others.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
