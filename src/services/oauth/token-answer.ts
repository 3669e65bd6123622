import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { formats } from '../../fields/formats.ts';
import { Redacted } from '../../redacted.ts';
import type { OutboundResponse } from '../outbound/index.ts';
import { TokenRequestError } from './token-request-error.ts';

/** The answer of a token endpoint (RFC 6749, section 5.1), in one form for all servers. */
export interface TokenAnswer {
  readonly accessToken: Redacted;
  /** `Bearer` if the server says nothing. */
  readonly tokenType: string;
  /** Null if the server issued none: a refresh then keeps the old one. */
  readonly refreshToken: Redacted | null;
  readonly expiresAt: Date | null;
  /** Null if the server says nothing: then they are those that were requested. */
  readonly scopes: readonly string[] | null;
  readonly idToken: Redacted | null;
}

/** The error codes of RFC 6749, section 5.2, RFC 7009, section 2.2.1, and RFC 8707, section 2, and whether the request is certain to fail again. */
const registeredErrors: Readonly<Record<string, boolean>> = {
  invalid_grant: true,
  invalid_client: true,
  unauthorized_client: true,
  unsupported_grant_type: true,
  invalid_scope: true,
  invalid_target: true,
  // Servers also answer so when they are at fault.
  invalid_request: false,
  unsupported_token_type: false,
  // Of RFC 6749, section 4.1.2.1, but some token endpoints answer so, too.
  access_denied: false,
  server_error: false,
  temporarily_unavailable: false,
  slow_down: false,
};

/** What well-known services answer in the place of a registered code. */
const otherErrors: Readonly<Record<string, string>> = {
  // GitHub.
  bad_verification_code: 'invalid_grant',
  bad_refresh_token: 'invalid_grant',
  incorrect_client_credentials: 'invalid_client',
  // Slack.
  invalid_code: 'invalid_grant',
  code_already_used: 'invalid_grant',
  invalid_refresh_token: 'invalid_grant',
  token_expired: 'invalid_grant',
  token_revoked: 'invalid_grant',
  bad_client_secret: 'invalid_client',
  invalid_client_id: 'invalid_client',
  ratelimited: 'slow_down',
};

/** Tokens whose lifetime is longer are used until the service refuses them: ten years, in seconds. */
const MAX_LIFETIME = 315_360_000;
const MAX_TOKEN_LENGTH = 16_384;

type Members = Readonly<Record<string, unknown>>;

/**
 * Reads the answer of a token endpoint. It forgives what servers get wrong and what does not matter: `src/README.md` lists it.
 * @throws TokenRequestError
 */
export async function readTokenAnswer(response: OutboundResponse, maxBytes: number, now: Date): Promise<TokenAnswer> {
  const { status } = response;
  const text = await readText(response, maxBytes);
  const isSuccess = status >= 200 && status < 300;
  const members = text === undefined ? undefined : parse(text);
  const error = members && errorOf(members);
  if (error) throw new TokenRequestError(error, status < 500 && registeredErrors[error] === true, status >= 500);
  if (!isSuccess) throw new TokenRequestError(failureOf(status), false, status < 400 || status >= 500);
  const tokens = members && tokensOf(members);
  if (!tokens) throw new TokenRequestError('invalid_answer', false, true);
  return tokenAnswer(tokens, now);
}

/** Returns a code for an answer without an error code that is known. */
function failureOf(status: number): string {
  if (status === 429) return 'slow_down';
  if (status >= 500) return 'server_error';
  return status >= 400 ? 'request_refused' : 'unexpected_status';
}

/** Returns the body as text, or undefined when it cannot be read as UTF-8. A byte order mark is left out. */
async function readText({ headers, body }: OutboundResponse, maxBytes: number): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    // Leaving the loop destroys the body.
    if (size > maxBytes) throw new TokenRequestError('too_large', false, true);
    parts.push(part);
  }
  const coding = headers
    .find(([name]) => name.toLowerCase() === 'content-encoding')?.[1]
    .trim()
    .toLowerCase();
  try {
    const bytes = await decoded(Buffer.concat(parts), coding, maxBytes);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return undefined;
  }
}

/** Some servers compress although it was not asked for. */
async function decoded(bytes: Buffer, coding: string | undefined, maxOutputLength: number): Promise<Uint8Array> {
  const decoders = { gzip: gunzip, 'x-gzip': gunzip, deflate: inflate, br: brotliDecompress };
  if (coding === undefined || !(coding in decoders)) return bytes;
  return promisify<Buffer, object, Buffer>(decoders[coding as keyof typeof decoders])(bytes, { maxOutputLength });
}

/** Returns the members of an answer in JSON, or in the form of a query string, whatever its media type says. */
function parse(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    if (!/^[\w.%-]+=/.test(text)) return undefined;
    return Object.fromEntries(new URLSearchParams(text));
  }
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the code of an error, in the terms of RFC 6749. Undefined when the answer is none. */
function errorOf(members: Members): string | undefined {
  const { error, ok } = members;
  if (error === undefined || error === null || error === '' || error === false) return ok === false ? 'unknown_error' : undefined;
  const candidates = isObject(error) ? [error.code, error.type, error.error] : [error];
  const known = candidates.find(
    (each) => typeof each === 'string' && (Object.hasOwn(registeredErrors, each) || Object.hasOwn(otherErrors, each)),
  );
  if (typeof known !== 'string') return 'unknown_error';
  return Object.hasOwn(registeredErrors, known) ? known : otherErrors[known];
}

const accessTokenOf = ({ access_token, accessToken }: Members) => token(access_token ?? accessToken, 'token');

/** Returns the object that holds the access token: the answer, or the only one in it that has one. */
function tokensOf(members: Members): Members | undefined {
  if (accessTokenOf(members)) return members;
  const within = (value: Members) => Object.values(value).filter(isObject);
  const nested = within(members);
  const holders = [...nested, ...nested.flatMap(within)].filter(accessTokenOf);
  return holders.length === 1 ? holders[0] : undefined;
}

/** Returns a token as it can be stored and sent. Undefined when it is none. */
function token(value: unknown, format: 'token' | 'oauthText'): Redacted | undefined {
  if (typeof value !== 'string') return undefined;
  const trimmed = value.trim();
  const isToken = trimmed.length > 0 && trimmed.length <= MAX_TOKEN_LENGTH && formats[format].accepts(trimmed);
  return isToken ? new Redacted(trimmed) : undefined;
}

/** @throws TokenRequestError when the tokens are of a type that the gateway cannot use, or the refresh token cannot be stored */
function tokenAnswer(tokens: Members, now: Date): TokenAnswer {
  const type = tokens.token_type ?? tokens.tokenType;
  // Such a token is bound to a key that the gateway does not have (RFC 9449). Any other type stands for Bearer: Slack names the kind of the account.
  if (typeof type === 'string' && /^(?:dpop|pop|mac)$/i.test(type.trim()))
    throw new TokenRequestError('unsupported_token_type', true, true);
  const refreshToken = tokens.refresh_token ?? tokens.refreshToken;
  const refresh = token(refreshToken, 'oauthText');
  // To lose it would lose the consent.
  if (refresh === undefined && typeof refreshToken === 'string' && refreshToken.trim() !== '') {
    throw new TokenRequestError('invalid_answer', false, true);
  }
  return {
    accessToken: accessTokenOf(tokens)!,
    tokenType: 'Bearer',
    refreshToken: refresh ?? null,
    expiresAt: expiryOf(tokens, now),
    scopes: scopesOf(tokens.scope ?? tokens.scopes),
    idToken: token(tokens.id_token, 'token') ?? null,
  };
}

/** Returns when the access token expires. Null when the server says nothing that makes sense. */
function expiryOf(tokens: Members, now: Date): Date | null {
  const lifetime = seconds(tokens.expires_in ?? tokens.expiresIn);
  return lifetime === undefined ? null : new Date(now.getTime() + lifetime * 1_000);
}

/** Returns a positive number of seconds. */
function seconds(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\s*\d{1,12}(?:\.\d+)?\s*$/.test(value) ? Number(value) : value;
  // 0 and -1 stand for tokens that do not expire.
  return typeof number === 'number' && number >= 1 && number <= MAX_LIFETIME ? Math.floor(number) : undefined;
}

/** Returns the scopes of a text or a list. Null when there are none that could be stored. */
function scopesOf(value: unknown): string[] | null {
  const list = typeof value === 'string' ? value.split(/[\s,]+/) : Array.isArray(value) ? value : [];
  const scopes = list.filter((each) => typeof each === 'string' && each.length <= 512 && formats.oauthScope.accepts(each));
  return scopes.length === 0 ? null : [...new Set(scopes)].slice(0, 100);
}
