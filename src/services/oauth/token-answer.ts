import { formats } from '../../fields/formats.ts';
import { Redacted } from '../../redacted.ts';
import { type OutboundResponse, readAll } from '../outbound/index.ts';
import { answeredCode, type TokenErrorCode, tokenErrorCodes } from './error-codes.ts';
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

/** Tokens whose lifetime is longer are used until the service refuses them: ten years, in seconds. */
const MAX_LIFETIME = 315_360_000;
const MAX_TOKEN_LENGTH = 16_384;
/** The year 9999, in seconds since 1970. */
const MAX_TIME = 253_402_300_799;
/** Answers of OAuth 2.0 servers are small. */
export const MAX_ANSWER_BYTES = 256 * 1024;

type Members = Readonly<Record<string, unknown>>;

/**
 * Reads the answer of a token endpoint. It forgives what servers get wrong and what does not matter: `src/README.md` lists it.
 * @throws TokenRequestError
 */
export async function readTokenAnswer(response: OutboundResponse, now: Date): Promise<TokenAnswer> {
  const members = await readAnswer(response);
  const tokens = tokensOf(members);
  if (!tokens) throw new TokenRequestError('invalid_answer', false, true);
  return tokenAnswer(tokens, now);
}

/** What a server says about a token (RFC 7662, section 2.2). */
export interface Introspection {
  readonly isActive: boolean;
  readonly expiresAt: Date | null;
  readonly scopes: readonly string[] | null;
}

/** Reads the answer of an introspection endpoint. @throws TokenRequestError */
export async function readIntrospection(response: OutboundResponse): Promise<Introspection> {
  const { active, exp, scope } = await readAnswer(response);
  if (typeof active !== 'boolean') throw new TokenRequestError('invalid_answer', false, true);
  const isTime = typeof exp === 'number' && exp > 0 && exp < MAX_TIME;
  return { isActive: active, expiresAt: isTime ? new Date(exp * 1_000) : null, scopes: scopesOf(scope) };
}

/** Reads the members of any answer of an OAuth 2.0 server. An empty answer has none. @throws TokenRequestError when it is an error */
export async function readAnswer(response: OutboundResponse): Promise<Members> {
  const { status } = response;
  const text = decoded(await readAll(response, MAX_ANSWER_BYTES));
  const members = text === undefined ? undefined : parse(text);
  const error = members && errorOf(members);
  if (error) throw new TokenRequestError(error, status < 500 && tokenErrorCodes[error].isFinal, status >= 500);
  if (status < 200 || status >= 300) throw new TokenRequestError(failureOf(status), false, status < 400 || status >= 500);
  return members ?? {};
}

/** Returns a code for an answer without an error code that is known. */
function failureOf(status: number): TokenErrorCode {
  if (status === 429) return 'slow_down';
  if (status >= 500) return 'server_error';
  return status >= 400 ? 'request_refused' : 'unexpected_status';
}

/** Returns bytes as text, or undefined when they are not UTF-8. A byte order mark is left out. */
function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return undefined;
  }
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
function errorOf(members: Members): TokenErrorCode | undefined {
  const { error, ok } = members;
  if (error === undefined || error === null || error === '' || error === false) return ok === false ? 'unknown_error' : undefined;
  const candidates = isObject(error) ? [error.code, error.type, error.error] : [error];
  const [known] = candidates.flatMap((each) => (typeof each === 'string' ? (answeredCode(each) ?? []) : []));
  return known ?? 'unknown_error';
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
