import validator from 'validator';
import { z } from 'zod';
import { isHostName, isHostPattern } from './hosts.ts';
import { isProse, isVisibleLine } from './visible-text.ts';

export interface FormatRule {
  /** The end of an error message that begins with the field's name. It is constant, so it cannot repeat the input. */
  readonly message: string;
  accepts(text: string): boolean;
  /**
   * What the text must also be read as, by `KeyFiles` in `key-files/`. That takes time on another thread, so `accepts` does not do it: only
   * credential kinds can have fields of such a format.
   */
  readonly readAs?: 'certificates' | 'privateKey';
  /** The form of an accepted text that is stored in its place. Without it, the text is stored as it was sent. */
  standardForm?(text: string): string;
}

/** The algorithms of keys that `key-files/` takes. */
const ALGORITHMS = 'RSA with 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448';

/** The formats that a field can require of its text. */
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
  line: { message: 'must be one line without control characters', accepts: (text) => /^[^\p{Cc}\u2028\u2029]*$/u.test(text) },
  multiline: {
    message: 'must not contain control characters other than line breaks and tabs',
    accepts: (text) => !/[^\P{Cc}\t\r\n]/u.test(text),
  },
  url: { message: 'must be an absolute http or https URL without a user name or password', accepts: isUrl },
  cloneUrl: {
    message: 'must be an http, https, ssh or git URL without a password, or user@host:path',
    accepts: isCloneUrl,
  },
  hostname: {
    message: 'must be a hostname such as api.example.com, without scheme, port or path; international names as xn--',
    accepts: isHostName,
  },
  hostPattern: {
    message:
      'must be a host name in lower case such as api.example.com, or *.example.com for all hosts below it; international names as xn--',
    accepts: isHostPattern,
  },
  host: {
    message: 'must be a hostname or an IP address, without scheme, port or path',
    accepts: (text) => isHostName(text) || [z.ipv4(), z.ipv6()].some((schema) => schema.safeParse(text).success),
  },
  email: {
    message: 'must be an email address such as ada@example.com (RFC 5321, section 4.1.2)',
    accepts: isEmail,
  },
  userId: {
    message: 'must be one line without a colon: Basic authentication allows none in a user name (RFC 7617)',
    accepts: (text) => /^[^\p{Cc}:]*$/u.test(text),
  },
  base64: {
    message: 'must be base64 (RFC 4648, section 4, with padding)',
    accepts: (text) => Buffer.from(text, 'base64').toString('base64') === text,
  },
  json: { message: 'must be a JSON object', accepts: (text) => parseJsonObject(text) !== undefined },
  urlEncoded: {
    message: 'must be URL-encoded parameters such as a=1&b=2',
    accepts: (text) => /^[^\s&=]+=[^\s&]*(?:&[^\s&=]+=[^\s&]*)*$/.test(text),
  },
  // Only certificates: a private key in the same text would not be sealed.
  pemCertificates: {
    message: `must be one to ten X.509 certificates in PEM (RFC 7468) and no other blocks, with keys of ${ALGORITHMS}`,
    accepts: hasArmor,
    readAs: 'certificates',
    standardForm: certificatesAlone,
  },
  pemPrivateKey: {
    message: `must be one unencrypted private key in PEM (RFC 7468) and nothing else: ${ALGORITHMS}`,
    accepts: hasArmor,
    readAs: 'privateKey',
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
    message: 'must be a connection string that begins with mongodb:// or mongodb+srv://',
    accepts: (text) => /^mongodb(?:\+srv)?:\/\/[^\s/]\S*$/.test(text),
  },
} as const satisfies Record<string, FormatRule>;

export type Format = keyof typeof formats;

/** Returns what a text of the format must be read as, if checking it takes reading a key or certificates. */
export function readAsOf(format: Format | undefined): FormatRule['readAs'] {
  return format && (formats[format] as FormatRule).readAs;
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
  const blocks = [...text.matchAll(certificateBlock)].map(([, body]) => {
    const lines = body!.replace(/\s/g, '').match(/.{1,64}/g) ?? [];
    return `${['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----'].join('\n')}\n`;
  });
  return blocks.join('');
}

function hasArmor(text: string): boolean {
  return text.includes('-----BEGIN ');
}

/** A mailbox (RFC 5321, section 4.1.2): the host is a name, also of one label, or the literal of an IP address (section 4.1.3). */
function isEmail(text: string): boolean {
  const [, local, tag, address = ''] = /^(.+)@\[(IPv6:)?([^[\]]+)\]$/.exec(text) ?? [];
  if (local !== undefined) return (tag ? z.ipv6() : z.ipv4()).safeParse(address).success && isEmail(`${local}@example.com`);
  // The library also takes international names (RFC 6531), which many mail servers and services refuse.
  return /^[\x20-\x7e]+$/.test(text) && validator.isEmail(text, { require_tld: false, allow_utf8_local_part: false });
}

function isUrl(text: string): boolean {
  if (!z.url({ protocol: /^https?$/ }).safeParse(text).success) return false;
  const url = new URL(text);
  return url.username === '' && url.password === '';
}

function isCloneUrl(text: string): boolean {
  if (!text.includes('://')) return /^[\w.-]+@[\w.-]+:\S+$/.test(text);
  return /^(?:https?|ssh|git):\/\/\S+$/.test(text) && URL.canParse(text) && new URL(text).password === '';
}
