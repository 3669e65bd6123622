import type { Redacted } from '../../redacted.ts';
import type { ClientCertificate, Outbound } from '../outbound/index.ts';

/** How a client proves to the token endpoint who it is (RFC 6749, section 2.3; RFC 7523; RFC 8705). */
export type ClientAuthentication =
  /** A public client: only its id is sent. */
  | { readonly method: 'NONE' }
  /** Basic, with id and secret form-encoded as RFC 6749, section 2.3.1 demands. */
  | { readonly method: 'BASIC'; readonly secret: Redacted }
  /** Basic, with id and secret as they are, which many servers expect. */
  | { readonly method: 'RAW_BASIC'; readonly secret: Redacted }
  /** Id and secret in the body. */
  | { readonly method: 'POST'; readonly secret: Redacted }
  /** A signed assertion (RFC 7523). The key is in PEM. */
  | { readonly method: 'PRIVATE_KEY_JWT'; readonly privateKey: Redacted; readonly keyId: string | null; readonly algorithm: string }
  /** The client certificate alone (RFC 8705). */
  | { readonly method: 'TLS' };

/** A client at an OAuth 2.0 server. */
export interface OAuthClient {
  readonly tokenUrl: URL;
  /** Null only for grants that need no client. */
  readonly clientId: string | null;
  readonly authentication: ClientAuthentication;
  /** Presented to the token endpoint (RFC 8705). */
  readonly clientCertificate?: ClientCertificate;
  /** Further parameters of each token request. */
  readonly parameters: readonly (readonly [name: string, value: Redacted | string])[];
}

export type Grant =
  | {
      readonly type: 'authorization_code';
      readonly code: Redacted;
      readonly redirectUrl: string | null;
      readonly codeVerifier: Redacted | null;
    }
  | { readonly type: 'refresh_token'; readonly refreshToken: Redacted; readonly scopes?: readonly string[] }
  | { readonly type: 'client_credentials'; readonly scopes: readonly string[] }
  | { readonly type: 'password'; readonly username: string; readonly password: Redacted; readonly scopes: readonly string[] }
  /** RFC 7523, section 2.1: Google's service accounts, and others. */
  | { readonly type: 'jwt_bearer'; readonly assertion: Redacted; readonly scopes: readonly string[] };

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

/** A token request failed. The message contains nothing of the request or of the answer. */
export class TokenRequestError extends Error {
  override name = 'TokenRequestError';
  /** The error code of RFC 6749, section 5.2, if it is a registered one, such as `invalid_grant`; otherwise why there is no usable answer. */
  readonly code: string;
  /** Whether the request will fail again until a person does something: consent again, or another secret. */
  readonly isFinal: boolean;
  /** Whether the server may have carried it out although there is no answer. */
  readonly mayHaveSucceeded: boolean;
  constructor(code: string, isFinal: boolean, mayHaveSucceeded: boolean) {
    super(`A token request failed: ${code}.`);
    this.code = code;
    this.isFinal = isFinal;
    this.mayHaveSucceeded = mayHaveSucceeded;
  }
}

/** Speaks OAuth 2.0 with third parties. Knows no store and no viewer. */
export interface OAuth {
  /** @throws TokenRequestError */
  requestToken(client: OAuthClient, grant: Grant): Promise<TokenAnswer>;
}

/** To be written. */
export function createOAuth(_outbound: Outbound, _now: () => Date): OAuth {
  return {
    async requestToken() {
      throw new TokenRequestError('not_written_yet', true, false);
    },
  };
}
