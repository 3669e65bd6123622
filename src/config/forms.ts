// The forms of settings: what a text must be, and what it is turned into.
import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { parsedUrl } from '../url.ts';

/** A setting that is a whole number. */
export function whole(min: number, max: number, byDefault: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return digits(message).pipe(z.number().min(min, message).max(max, message)).default(byDefault);
}

/** Digits only: `Number` also reads spaces as 0, which often means "no limit". */
function digits(message: string) {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, message)
    .transform(Number);
}

const wrongPort = 'must be a port number, 0 to 65535';
export const portNumber = digits(wrongPort).pipe(z.number().min(0, wrongPort).max(65_535, wrongPort));

/** A setting that is a list, separated by commas, and whose items have a canonical form. */
export function listOf(canonical: (item: string, refuse: (message: string) => void) => string) {
  return z.string().transform((list, { addIssue }) =>
    list.split(',').map((item) => {
      const messages = new Set<string>();
      const text = item.trim();
      const result = text === '' ? text : canonical(text, (message) => messages.add(message));
      if (text === '') messages.add('must not have an empty item');
      for (const message of messages) addIssue(message);
      return result;
    }),
  );
}

/** In ROOT_FIELDS, stands for a field that is left out. */
export const LEFT_OUT = '-';
export const typePlace = /^[A-Z]\w*$/;
export const rootFieldPlace = /^(Query|Mutation|Subscription)\.[a-z]\w*$/;

/** A setting that is a list of pairs `old=new`. Whether there is the old name, and whether the new one is free, only the schema tells. */
export function pairsOf(wrong: (old: string, name: string) => string | undefined) {
  return z.string().transform((list, { addIssue }) => {
    const pairs = new Map<string, string>();
    const messages = new Set<string>();
    for (const item of list.split(',')) {
      const [old = '', name = '', ...more] = item.split('=').map((part) => part.trim());
      const message = more.length > 0 ? wrong('', '') : wrong(old, name);
      if (message) messages.add(message);
      else if (pairs.has(old)) messages.add('must not name the same one twice');
      pairs.set(old, name);
    }
    for (const message of messages) addIssue(message);
    return pairs;
  });
}

/** Returns what is wrong with a text that should be a host name or an address without anything else. Undefined if nothing of this is wrong. */
function wrongHost(text: string): string | undefined {
  if (text.includes('*')) return 'must not contain a wildcard: list each host name';
  if (text.includes('://')) return 'must be host names without a scheme such as https://';
  if (text.endsWith('/')) return 'must be host names without a slash at the end';
  if (/[/?#@\\]/.test(text)) return 'must be host names without a path, query or user name';
  return undefined;
}

/** Returns a host name or address as the Host header of a request has it, in the form that URLs give it: lower case, Punycode, IPv6 in brackets. */
export function canonicalHostHeader(text: string, refuse: (message: string) => void): string {
  const wrong = wrongHost(text);
  if (wrong) {
    refuse(wrong);
    return text;
  }
  const host = isIPv6(text) ? `[${text}]` : text;
  const url = parsedUrl(`http://${host}`);
  if (!url) refuse('must be host names or addresses, such as gateway.example.com');
  else if (/:\d*$/.test(host)) refuse('must be host names without a port: any port is accepted');
  return url?.hostname.replace(/\.$/, '') ?? text;
}

/** Returns an origin as browsers send it: in lower case, in Punycode, without the default port. */
export function canonicalOrigin(text: string, refuse: (message: string) => void): string {
  const url = parsedUrl(text);
  if (text.includes('*')) refuse('must be origins without wildcards: list each origin');
  else if (!url || !/^https?:\/\//i.test(text))
    refuse('must be origins that begin with https:// or http://, such as https://app.example.com');
  else if (/^[^/]*\/\/[^/?#]*\/+$/.test(text)) refuse('must be origins without a slash at the end, such as https://app.example.com');
  else if (!/^[^/]*\/\/[^/?#@\\]*$/.test(text))
    refuse('must be origins without a path, query or user name, such as https://app.example.com');
  else if (url.hostname.endsWith('.')) refuse('must be origins without a dot at the end of the host name');
  else return url.origin;
  return text;
}

/** Returns a block of addresses (CIDR), or one address, without brackets. */
export function canonicalBlock(text: string, refuse: (message: string) => void): string {
  const [, address = '', bits] = /^([^/]*?)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const isBlock = family !== 0 && !address.includes('%') && Number(bits ?? 0) <= (family === 4 ? 32 : 128);
  if (!isBlock) refuse('must be addresses or blocks of addresses, such as 10.1.0.0/16 or fd12::/16');
  return text.toLowerCase();
}

/** Returns an item of NO_PROXY: a host or a domain, with a port or without. */
export function canonicalNoProxy(text: string, refuse: (message: string) => void): string {
  if (!/^(?:\*|(?:\*?\.)?[\w.-]+(?::\d{1,5})?|\[[\da-fA-F:.]+\](?::\d{1,5})?|[\da-fA-F:]+)$/.test(text)) {
    refuse('must be host names, such as example.com or example.com:8443');
  }
  return text.toLowerCase();
}

/** Returns whether a text is the URL of a proxy. Its user name and password must be percent-encoded. */
export function isProxyUrl(text: string): boolean {
  const url = parsedUrl(text);
  return (
    url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.hash === '' && isDecodable(url)
  );
}

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(`${username}${password}`) !== undefined;
  } catch {
    return false;
  }
}

/** Returns the host to listen on as the system takes it: in lower case, IPv6 without brackets. Undefined if it is neither a name nor an address. */
export function canonicalListenHost(text: string): string | undefined {
  const [, inBrackets] = /^\[(.*)\]$/.exec(text) ?? [];
  if (inBrackets !== undefined) return isIPv6(inBrackets) ? inBrackets.toLowerCase() : undefined;
  const isName = isIP(text) !== 0 || z.hostname().safeParse(text).success;
  return isName ? text.toLowerCase().replace(/\.$/, '') : undefined;
}

/** A claim of a token. The registered claims that are times cannot contain text (RFC 7519, section 4.1). */
export function claim(byDefault: string) {
  return z
    .string()
    .min(1)
    .refine((name) => !['exp', 'iat', 'nbf'].includes(name), 'must not be a registered claim that is a time')
    .default(byDefault);
}
