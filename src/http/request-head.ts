import { isUtf8 } from 'node:buffer';
import type { Refusal } from './refusal.ts';
import type { ReadableRequest, RequestHeaders } from './request.ts';

/** A token (RFC 9110, section 5.6.2), and a quoted string (section 5.6.4). */
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\]|\\\\.)*"';
const PARAMETER = new RegExp(`[ \\t]*;[ \\t]*(?:(${TOKEN})=(${TOKEN}|${QUOTED}))?`, 'y');
const JSON_TYPE = /^[ \t]*application\/json(?=[ \t]*(?:;|$))/i;

/** The parameters of a URL that belong to GraphQL over HTTP. */
const URL_PARAMETERS = ['query', 'variables', 'operationName', 'extensions', 'documentId'];

/**
 * Returns why a request cannot be read as it was sent; undefined if it can. Nothing in a request is ever decoded by guessing, because what does not
 * fit would be replaced, and a secret would be stored that is not the one that was sent.
 */
export function unreadableRequest({ method, headers, url: { search } }: ReadableRequest): Refusal | undefined {
  if (search && !hasOnlyUtf8(search))
    return { ...badRequest, message: 'The parameters of the URL must be UTF-8, percent-encoded (RFC 3986, section 2.5).' };
  if (search && hasRepeatedParameter(search)) return { ...badRequest, message: 'The URL has a parameter of GraphQL more than once.' };
  return method === 'POST' ? unreadableBody(headers) : undefined;
}

/** Returns why a request cannot be answered whose body somebody else has read: what is left of it would be taken for the whole. */
export function readBefore({ hasBody, isBodyRead }: ReadableRequest): Refusal | undefined {
  if (!hasBody || !isBodyRead) return undefined;
  return { ...badRequest, message: 'The body of the request was read before it came to the gateway: no body parser may run before it.' };
}

const badRequest = { status: 400, code: 'BAD_REQUEST' } as const;
const wrongType = { status: 415, code: 'BAD_REQUEST' } as const;

function unreadableBody(headers: RequestHeaders): Refusal | undefined {
  const charset = jsonCharset(headers['content-type'] ?? '');
  if (charset === undefined) {
    return { ...wrongType, message: 'The body of the request must be JSON, with Content-Type: application/json.' };
  }
  // The registration of application/json has no charset: JSON is UTF-8 (RFC 8259, section 8.1). Many clients name it nevertheless.
  if (!/^utf-?8$/i.test(charset)) return { ...wrongType, message: 'The body of the request must be JSON in UTF-8, and no other charset.' };
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && !/^[ \t]*(?:identity)?[ \t]*$/i.test(encoding)) {
    // RFC 9110, section 15.5.16: the header tells a client which codings a request may have.
    return {
      ...wrongType,
      message: 'The body of the request must not be compressed: Content-Encoding is not supported.',
      headers: { 'accept-encoding': 'identity' },
    };
  }
  return undefined;
}

/** Returns the charset of a JSON media type, `utf-8` if it names none. Undefined if it is another type, or not a media type. */
function jsonCharset(contentType: string): string | undefined {
  const [type] = JSON_TYPE.exec(contentType) ?? [];
  if (type === undefined) return undefined;
  const charsets: string[] = [];
  PARAMETER.lastIndex = type.length;
  for (let end = type.length; end < contentType.trimEnd().length; end = PARAMETER.lastIndex) {
    const [, name, value = ''] = PARAMETER.exec(contentType) ?? [undefined, undefined];
    if (PARAMETER.lastIndex <= end) return undefined;
    if (name?.toLowerCase() === 'charset') charsets.push(value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value);
  }
  // Of two, nobody can tell which one was meant.
  return charsets.length > 1 ? charsets.join() : (charsets[0] ?? 'utf-8');
}

/** Returns whether all percent-encoded bytes are UTF-8. `URLSearchParams` replaces others by U+FFFD. */
function hasOnlyUtf8(search: string): boolean {
  // Not by an exception of `decodeURIComponent`, whose result nobody would need: a bundler can leave such a call out.
  return [...search.matchAll(/(?:%[0-9a-f]{2})+/gi)].every(([encoded]) => isUtf8(Buffer.from(encoded.replaceAll('%', ''), 'hex')));
}

function hasRepeatedParameter(search: string): boolean {
  const parameters = new URLSearchParams(search);
  return URL_PARAMETERS.some((name) => parameters.getAll(name).length > 1);
}
