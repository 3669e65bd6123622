import type { ClientAuth } from 'openid-client';
import { Redacted } from '../../redacted.ts';
import { type ClientCertificate, type Outbound, OutboundError } from '../outbound/index.ts';
import { readTokenAnswer, type TokenAnswer } from './token-answer.ts';
import { TokenRequestError } from './token-request-error.ts';

export { type TokenAnswer, TokenRequestError };

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

/** Speaks OAuth 2.0 with third parties. Knows no store and no viewer. */
export interface OAuth {
  /** @throws TokenRequestError */
  requestToken(client: OAuthClient, grant: Grant): Promise<TokenAnswer>;
}

/** Answers of token endpoints are small. */
const MAX_ANSWER_BYTES = 256 * 1024;

/** Opens a value that is sent to the server of a third party. */
function plain(value: Redacted | string): string {
  return value instanceof Redacted ? value.expose() : value;
}

/** Creates the client of all OAuth 2.0 servers. The library is loaded when it is needed first: most processes start without a token request. */
export function createOAuth(outbound: Outbound, now: () => Date): OAuth {
  let library: Promise<typeof import('openid-client')> | undefined;
  const load = () => {
    library ??= import('openid-client');
    return library;
  };

  return {
    async requestToken(client, grant) {
      const openid = await load();
      let answer: TokenAnswer | undefined;
      let failure: unknown;
      const config = new openid.Configuration(
        { issuer: client.tokenUrl.origin, token_endpoint: client.tokenUrl.href },
        // Not sent if there is no client: the authentication below then adds nothing.
        client.clientId ?? 'none',
        {},
        clientAuthentication(openid, client),
      );
      // Whether a request may go out without TLS is decided by the way out.
      openid.allowInsecureRequests(config);
      config[openid.customFetch] = async (url, { method, headers, body }) => {
        try {
          const response = await outbound.request({
            method,
            url: new URL(url),
            headers: [...Object.entries(headers).filter(([name]) => name !== 'user-agent'), ['user-agent', 'credential-gateway']],
            body: Buffer.from(String(body)),
            ...(client.clientCertificate && { clientCertificate: client.clientCertificate }),
            limits: { maxBodyBytes: MAX_ANSWER_BYTES },
          });
          answer = await readTokenAnswer(response, MAX_ANSWER_BYTES, now());
          // What the library gets is what it expects: it would refuse the answers of many servers.
          return Response.json({ access_token: 'received', token_type: 'bearer' });
        } catch (error) {
          failure = error;
          throw error;
        }
      };
      const { type, parameters } = grantParameters(grant);
      // Ours come last: no parameter of a connector replaces them.
      const all = [...client.parameters, ...parameters].map(([name, value]) => [name, plain(value)] as const);
      try {
        await openid.genericGrantRequest(config, type, new URLSearchParams(Object.fromEntries(all)));
      } catch (error) {
        throw tokenRequestError(failure ?? error);
      }
      return answer!;
    },
  };
}

/** Returns the error for whatever went wrong. Nothing of the cause is kept: it can contain parts of the request and of the answer. */
function tokenRequestError(error: unknown): TokenRequestError {
  if (error instanceof TokenRequestError) return error;
  if (error instanceof OutboundError) return new TokenRequestError(error.failure.toLowerCase(), false, !error.wasNotSent);
  return new TokenRequestError('request_failed', false, true);
}

/** Returns how the client authenticates, in the form of the library. */
function clientAuthentication(openid: typeof import('openid-client'), { clientId, authentication }: OAuthClient): ClientAuth {
  if (clientId === null) return () => {};
  switch (authentication.method) {
    case 'NONE':
      return openid.None();
    case 'BASIC':
      return openid.ClientSecretBasic(plain(authentication.secret));
    case 'RAW_BASIC':
      return (_server, _client, _body, headers) =>
        headers.set('authorization', `Basic ${Buffer.from(`${clientId}:${plain(authentication.secret)}`).toString('base64')}`);
    case 'POST':
      return openid.ClientSecretPost(plain(authentication.secret));
    case 'TLS':
      return openid.TlsClientAuth();
    case 'PRIVATE_KEY_JWT':
      throw new TokenRequestError('unsupported_client_authentication', true, false);
  }
}

/** Returns the type of a grant (RFC 6749, section 4) and its parameters. */
function grantParameters(grant: Grant): { type: string; parameters: [name: string, value: Redacted | string][] } {
  const scope = (scopes: readonly string[] = []): [string, string][] => (scopes.length > 0 ? [['scope', scopes.join(' ')]] : []);
  switch (grant.type) {
    case 'authorization_code':
      return {
        type: grant.type,
        parameters: [
          ['code', grant.code],
          ...(grant.redirectUrl === null ? [] : [['redirect_uri', grant.redirectUrl] as [string, string]]),
          ...(grant.codeVerifier === null ? [] : [['code_verifier', grant.codeVerifier] as [string, Redacted]]),
        ],
      };
    case 'refresh_token':
      return { type: grant.type, parameters: [['refresh_token', grant.refreshToken], ...scope(grant.scopes)] };
    case 'client_credentials':
      return { type: grant.type, parameters: scope(grant.scopes) };
    case 'password':
      return { type: grant.type, parameters: [['username', grant.username], ['password', grant.password], ...scope(grant.scopes)] };
    case 'jwt_bearer':
      return {
        type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        parameters: [['assertion', grant.assertion], ...scope(grant.scopes)],
      };
  }
}
