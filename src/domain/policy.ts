import { TOKEN_LIFETIME_SECONDS } from '../limits.ts';

/** The rules that an operator sets for the whole gateway. */
export interface Policy {
  /** The pattern that the reason of a reveal must match. If null, a reason must have ten visible characters. */
  readonly revealReasonPattern: RegExp | null;
  /** The longest lifetime of an API key in milliseconds, counted from its creation. Null if it is not limited. */
  readonly apiKeyLifetimeMs: number | null;
  /** The longest lifetime of a token of the issuer in milliseconds. A revocation is kept for as long as a token that it refuses can be valid. */
  readonly tokenLifetimeMs: number;
  /** The URL under which browsers reach the gateway. Null if it is not known: then there is no callback for authorizations. */
  readonly publicUrl: string | null;
  /** The origins to which browsers are sent after an authorization. */
  readonly returnOrigins: readonly string[];
  /** An access token that has less time left is refreshed before it is used, in milliseconds. */
  readonly tokenRefreshMs: number;
  /** An access token that has less time left is refreshed though nobody uses it, in milliseconds. 0 for never. */
  readonly tokenRefreshAheadMs: number;
  /** Whether credentials may be applied to requests without TLS. It is the setting of requests to third parties. */
  readonly allowsHttp: boolean;
  /** How long a list may be counted, in milliseconds. */
  readonly countTimeMs: number;
}

export const defaultPolicy: Policy = {
  revealReasonPattern: null,
  apiKeyLifetimeMs: null,
  tokenLifetimeMs: TOKEN_LIFETIME_SECONDS * 1_000,
  publicUrl: null,
  returnOrigins: [],
  tokenRefreshMs: 60_000,
  tokenRefreshAheadMs: 5 * 60_000,
  allowsHttp: false,
  countTimeMs: 1_000,
};
