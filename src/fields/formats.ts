import validator from 'validator';
import { z } from 'zod';
import { parsedUrl, staysBelow } from '../url.ts';
import { armored, standardArmor } from './armor.ts';
import { hostOfUrl, isHostName, isHostPattern, withCanonicalHost } from './hosts.ts';
import { isKnownToken, isMaskPart } from './shown-secrets.ts';
import { isProse, isVisibleLine } from './visible-text.ts';

export interface FormatRule {
  /** The end of an error message that begins with the field's name. It is constant, so it cannot repeat the input. */
  readonly message: string;
  accepts(text: string): boolean;
  /**
   * What the text must also be read as, by `KeyFiles` in `key-files/`. That takes time on another thread, so `accepts` does not do it: only
   * credential kinds can have fields of such a format.
   */
  readonly readAs?: 'certificates' | 'privateKey' | 'sshKey' | 'anyKey';
  /** The form of an accepted text that is stored in its place. Without it, the text is stored as it was sent. */
  standardForm?(text: string): string;
  /** The values within a text that has parts. None of them may be a mask such as `*****` if the text is secret. */
  parts?(text: string): readonly string[];
}

/** The algorithms of keys that `key-files/` takes. */
const ALGORITHMS = 'RSA with 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448';

/** Visible ASCII characters, with spaces only between them: what RFC 9110 (section 5.5) and RFC 6749 (appendix A) have in common. */
const visibleAscii = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
/** No control characters, no line breaks, and none of the invisible characters that come along when a text is copied from a page. */
const visible = /^(?:[^\p{Cc}\p{Cf}\u2028\u2029]|[\u200c\u200d])*$/u;
const PASSWORD = 'must be one line without control characters or invisible characters; spaces are a part of it';

/** Parameters whose characters are visible ASCII, others percent-encoded (RFC 3986, section 2.1). `=` is allowed in a value. */
const urlEncoded =
  /^(?!\?)(?:[!"$'-<>-~]|%[0-9A-Fa-f]{2})+=(?:[!"$'-~]|%[0-9A-Fa-f]{2})*(?:&(?:[!"$'-<>-~]|%[0-9A-Fa-f]{2})+=(?:[!"$'-~]|%[0-9A-Fa-f]{2})*)*$/;
/** User name, password, hosts and the rest. A password must be percent-encoded, so its characters cannot end it. */
const mongodbUri = /^mongodb(?:\+srv)?:\/\/(?=[!-~]+$)(?:[^:/?#[\]@]+(?::([^:/?#[\]@]*))?@)?(?!:)[^/?#@]+(?:[/?][^@#]*)?$/;

/** The formats that a field can require of its text. A secret that is free text says so with `any`. */
export const formats = {
  any: { message: 'must be text', accepts: () => true },
  // Two names that look equal are equal: they are stored and compared in Unicode's normalization form C (UAX #15).
  name: {
    message: 'must be one line of visible characters, without white space at its ends, control characters or invisible characters',
    accepts: isVisibleLine,
    standardForm: (text) => text.normalize('NFC'),
  },
  // An id belongs to another system, which compares it by its characters. So it is not changed.
  externalId: {
    message:
      'must be one line of visible characters in normalization form C, without white space at its ends, control characters or invisible characters',
    accepts: (text) => isVisibleLine(text) && text.normalize('NFC') === text,
  },
  prose: {
    message:
      'must be visible text, without control characters other than line breaks and tabs, and without characters that reverse other text',
    accepts: isProse,
  },
  glob: {
    message: 'must not contain control characters',
    accepts: (text) => /^\P{Cc}*$/u.test(text),
    standardForm: (text) => text.normalize('NFC'),
  },
  line: {
    message: 'must be one line without control characters or invisible characters, and without spaces at its beginning or end',
    accepts: isLine,
  },
  value: {
    message: 'must be a value that everyone may read, not a token or a mask such as *****',
    accepts: (text) => !isMaskPart(text) && !isKnownToken(text),
  },
  /** Text that a person chose. RFC 8265 (section 4.2) allows spaces in a password, but no control characters. */
  password: { message: PASSWORD, accepts: (text) => visible.test(text) },
  /** A secret that is one word, as issuers create them. It can be put into a header, a form or a URL. */
  token: {
    message:
      'must be one token of visible ASCII characters without spaces or line breaks. Leave out the word Bearer before it, and quotation marks around it',
    accepts: (text) => /^[\x21-\x7e]+$/.test(text) && !/^(["'`]).*\1$/.test(text),
  },
  urlSegment: {
    message: 'must be letters, digits, -, ., _ and ~: it becomes a part of a URL (RFC 3986, section 2.3)',
    accepts: (text) => /^[\w.~-]+$/.test(text),
  },
  oauthText: {
    message: 'must be visible ASCII characters, with spaces only between them (RFC 6749, appendix A)',
    accepts: (text) => visibleAscii.test(text),
  },
  headerValue: {
    message: 'must be the value of an HTTP header: visible ASCII characters, with spaces only between them (RFC 9110, section 5.5)',
    accepts: (text) => visibleAscii.test(text),
  },
  /** A header or a URL of a request that is sent elsewhere. It is not stored, so it may contain what nobody should read. */
  sentValue: {
    message: 'must be the value of an HTTP header: visible ASCII characters, with spaces only between them (RFC 9110, section 5.5)',
    accepts: (text) => text === '' || visibleAscii.test(text),
  },
  sentUrl: {
    message:
      'must be an absolute http or https URL, or a path that begins with one slash, without spaces, line breaks, user name, password or fragment',
    accepts: (text) => isUrl(text) || isRequestPath(text),
  },
  sha256: { message: 'must be 64 hexadecimal digits', accepts: (text) => /^[0-9A-Fa-f]{64}$/.test(text) },
  /** A shared secret whose bytes in UTF-8 are a key. */
  sharedSecret: {
    message: 'must be a shared secret: one line without spaces or line breaks at its beginning or end, not a key in PEM',
    accepts: (text) => isLine(text) && !hasArmor(text),
  },
  multiline: {
    message: 'must not contain control characters other than line breaks and tabs',
    accepts: (text) => !/[^\P{Cc}\t\r\n]/u.test(text),
  },
  url: {
    message: 'must be an absolute http or https URL without spaces, line breaks, user name, password or fragment',
    accepts: isUrl,
  },
  /** The URL of a service to which credentials are sent. Its host must be one that `allowedDomains` can list. */
  serviceUrl: {
    message:
      'must be an absolute http or https URL with a host name, not an IP address, because credentials are only sent to hosts with names. No spaces, line breaks, user name, password or fragment',
    accepts: isServiceUrl,
  },
  /** The same with `{name}` for variables. */
  serviceUrlTemplate: {
    message:
      'must be an absolute http or https URL with a host name, not an IP address, because credentials are only sent to hosts with names. No spaces, line breaks, user name, password or fragment',
    accepts: (text) => isUrl(text) && isServiceUrl(text.replace(/\{[^{}]*\}/g, 'x')),
  },
  /** The URLs to which a secret may be sent. Each asterisk stands for any characters. */
  urlPattern: {
    message: 'must begin with http://, https:// or *://, without spaces, line breaks, user name, password or fragment',
    accepts: isUrlPattern,
  },
  cloneUrl: {
    message:
      'must be an http, https or git URL without a user name or password, or an ssh URL without a password, or user@host:path. Put them into username and secretValue',
    accepts: isCloneUrl,
  },
  // The query can contain anything that the URL parser keeps. A fragment is never sent.
  requestPath: {
    message:
      'must be a path that begins with one slash, without a segment . or .. in any form, with a query if needed, in the visible characters of ASCII, without a fragment',
    accepts: (text) => isRequestPath(text) && staysBelow(text),
  },
  hostname: {
    message: 'must be a hostname such as api.example.com, without scheme, port or path; international names as xn--',
    accepts: isHostName,
    standardForm: withCanonicalHost,
  },
  hostPattern: {
    message: 'must be a host name such as api.example.com, or *.example.com for all hosts below it; international names as xn--',
    accepts: (text) => isHostPattern(withCanonicalHost(text)),
    standardForm: withCanonicalHost,
  },
  host: {
    message: 'must be a hostname or an IP address, without scheme, port or path',
    accepts: (text) => isHostName(text) || [z.ipv4(), z.ipv6()].some((schema) => schema.safeParse(text).success),
    standardForm: withCanonicalHost,
  },
  email: {
    message: 'must be an email address such as ada@example.com (RFC 5321, section 4.1.2)',
    accepts: isEmail,
  },
  userId: {
    message:
      'must be one line without a colon, which Basic authentication does not allow in a user name (RFC 7617), and without spaces at its beginning or end',
    accepts: (text) => isLine(text) && !text.includes(':'),
  },
  base64: {
    message: 'must be base64 without line breaks (RFC 4648, section 4, with padding)',
    accepts: (text) => Buffer.from(text, 'base64').toString('base64') === text,
    parts: (text) => [Buffer.from(text, 'base64').toString()],
  },
  json: {
    message: 'must be a JSON object',
    accepts: (text) => parseJsonObject(text) !== undefined,
    parts: (text) => textsWithin(parseJsonObject(text)),
  },
  urlEncoded: {
    message: 'must be URL-encoded parameters such as a=1&b=2',
    accepts: (text) => urlEncoded.test(text),
    parts: (text) => [...new URLSearchParams(text).values()],
  },
  // Only certificates: a private key in the same text would not be sealed.
  pemCertificates: {
    message: `must be one to ten X.509 certificates in PEM (RFC 7468) and no other blocks, with keys of ${ALGORITHMS}`,
    accepts: hasArmor,
    readAs: 'certificates',
    standardForm: (text) => standardArmor(certificatesAlone(text)),
  },
  pemPrivateKey: {
    message: `must be one unencrypted private key in PEM (RFC 7468) and nothing else: ${ALGORITHMS}`,
    accepts: hasArmor,
    readAs: 'privateKey',
    standardForm: standardArmor,
  },
  pemKey: {
    message: `must be one key in PEM (RFC 7468) and nothing else, a private key without a passphrase or a public key: ${ALGORITHMS}`,
    accepts: hasArmor,
    readAs: 'anyKey',
    standardForm: standardArmor,
  },
  sshPrivateKey: {
    message:
      'must be one SSH private key without a passphrase, in PEM or OpenSSH format: RSA with 2048 to 8192 bits, P-256, P-384, P-521, or Ed25519 in OpenSSH format only',
    accepts: hasArmor,
    readAs: 'sshKey',
    standardForm: standardArmor,
  },
  duration: {
    message: 'must be a duration above zero such as 1h30m or 90s',
    accepts: (text) => /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text) && /[1-9]/.test(text),
  },
  httpToken: {
    message: "must be an HTTP token such as X-Api-Key: letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)",
    accepts: (text) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text),
  },
  oauthScope: {
    message: 'must be one OAuth scope, without spaces (RFC 6749, section 3.3)',
    accepts: (text) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text),
  },
  identifier: { message: 'must be letters, digits and underscores', accepts: (text) => /^[A-Za-z0-9_]+$/.test(text) },
  tag: { message: 'must be letters, digits, _, - and /', accepts: (text) => /^[\p{L}\p{N}_/-]+$/u.test(text) },
  reference: {
    message: 'must be a name of letters, digits and _ . : / -',
    accepts: (text) => /^[A-Za-z0-9_.:/-]+$/.test(text),
  },
  mongodbUri: {
    message:
      'must be a connection string that begins with mongodb:// or mongodb+srv://, without spaces or line breaks, with user name and password percent-encoded',
    accepts: (text) => mongodbUri.test(text),
    parts: (text) => [new URLSearchParams(`password=${(mongodbUri.exec(text)?.[1] ?? '').replaceAll('&', '%26')}`).get('password') ?? ''],
  },
} as const satisfies Record<string, FormatRule>;

export type Format = keyof typeof formats;

/** Returns the rule of a format, with all the members that a rule can have. */
export function ruleOfFormat(format: Format): FormatRule {
  return formats[format];
}

/** Returns what a text of the format must be read as, if checking it takes reading a key or certificates. */
export function readAsOf(format: Format | undefined): FormatRule['readAs'] {
  return format && ruleOfFormat(format).readAs;
}

/** Parses a JSON object. Returns undefined when the text is not one. */
export function parseJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A block whose first and last line contain nothing else, as parsers require. */
const certificateBlock = /^[ \t]*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----[ \t]*$/gm;

/**
 * Returns certificates without the text around them (RFC 7468, section 5.2), such as the bag attributes that OpenSSL prints, in lines of 64
 * characters that end in LF. A text with any other block is returned unchanged, and is then refused.
 */
function certificatesAlone(text: string): string {
  if (/-----(?:BEGIN|END) /.test(text.replace(certificateBlock, ''))) return text;
  return [...text.matchAll(certificateBlock)].map(([, body]) => armored('CERTIFICATE', body!)).join('');
}

function hasArmor(text: string): boolean {
  return text.includes('-----BEGIN ');
}

function isLine(text: string): boolean {
  return visible.test(text) && text.trim() === text;
}

/** Returns all texts within a JSON value. It is a loop, because the value can be nested as deep as its text is long. */
function textsWithin(value: unknown): string[] {
  const texts: string[] = [];
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') texts.push(next);
    else if (typeof next === 'object' && next !== null) for (const member of Object.values(next)) open.push(member);
  }
  return texts;
}

/**
 * The characters of a URL (RFC 3986, section 2), letters and digits of other alphabets (RFC 3987), and braces around placeholders. URL parsers
 * also accept line breaks, spaces and backslashes, and remove or replace them; other programs do not.
 */
const urlCharacters = /^(?:[!#$&-;=?-[\]_a-z{}~\p{L}\p{N}\p{M}]|%[0-9A-Fa-f]{2})*$/u;
/** The part of a URL after its scheme: a host without a user name, and maybe a path and a query. */
const afterScheme = /^[^/?#@%]+(?:[/?][^#]*)?$/;

/** A mailbox (RFC 5321, section 4.1.2): the host is a name, also of one label, or the literal of an IP address (section 4.1.3). */
function isEmail(text: string): boolean {
  const [, local, tag, address = ''] = /^(.+)@\[(IPv6:)?([^[\]]+)\]$/.exec(text) ?? [];
  if (local !== undefined) return (tag ? z.ipv6() : z.ipv4()).safeParse(address).success && isEmail(`${local}@example.com`);
  // The library also takes international names (RFC 6531), which many mail servers and services refuse.
  return /^[\x20-\x7e]+$/.test(text) && validator.isEmail(text, { require_tld: false, allow_utf8_local_part: false });
}

function isUrl(text: string): boolean {
  const rest = /^https?:\/\/(.*)$/i.exec(text)?.[1];
  return rest !== undefined && urlCharacters.test(text) && afterScheme.test(rest) && parsedUrl(text) !== undefined;
}

/** Whether it is a URL whose host has a name. */
function isServiceUrl(text: string): boolean {
  return isUrl(text) && hostOfUrl(text) !== undefined;
}

function isRequestPath(text: string): boolean {
  return /^\/(?![/\\])[\x21\x22\x24-\x5b\x5d-\x7e]*$/.test(text);
}

function isUrlPattern(text: string): boolean {
  const rest = /^(?:https?|\*):\/\/(.*)$/i.exec(text)?.[1];
  if (rest === undefined || !urlCharacters.test(text) || !afterScheme.test(rest)) return false;
  return parsedUrl(`https://${rest.replaceAll('*', 'x')}`) !== undefined;
}

function isCloneUrl(text: string): boolean {
  const [, user, host] = /^(\w[\w.-]*)@([\w.-]+):[!-[\]-~]+$/.exec(text) ?? [];
  // A host that begins with a hyphen would be an option of ssh.
  if (!text.includes('://')) return user !== undefined && !isKnownToken(user) && !host!.startsWith('-');
  const [, scheme, rest = ''] = /^(https?|ssh|git):\/\/(.*)$/.exec(text) ?? [];
  if (!scheme || !urlCharacters.test(text) || !parsedUrl(text)) return false;
  return afterScheme.test(scheme === 'ssh' ? rest.replace(/^[\w.-]+@/, '') : rest) && !/^-|^[^@/]*@-/.test(rest);
}
