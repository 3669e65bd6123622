import { createHash, randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { ClientAuth, Configuration, ServerMetadata } from 'openid-client';
import { assembledJwt, type Signer } from '../../key-files/jwt.ts';
import { Redacted } from '../../redacted.ts';
import { parsedUrl } from '../../url.ts';
import { type ClientCertificate, type Outbound, OutboundError, type OutboundLimits, type OutboundResponse } from '../outbound/index.ts';
import { type TokenErrorCode, tokenErrorCodes } from './error-codes.ts';
import { type Introspection, MAX_ANSWER_BYTES, readAnswer, readIntrospection, readTokenAnswer, type TokenAnswer } from './token-answer.ts';
import { TokenRequestError } from './token-request-error.ts';

export { serviceAccountAssertion } from './service-account.ts';
export { type Introspection, type TokenAnswer, type TokenErrorCode, TokenRequestError, tokenErrorCodes };

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
  /** An assertion (RFC 7523), signed with the algorithm. The private key stays with whoever signs. */
  | { readonly method: 'PRIVATE_KEY_JWT'; readonly sign: Signer; readonly keyId: string | null; readonly algorithm: string }
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
  /** The issuer identifier of the server. If it is known, an ID token must come from it. */
  readonly issuer?: string | null;
  /** Further parameters of each token request. */
  readonly parameters: readonly (readonly [name: string, value: Redacted | string])[];
  /** More of them, URL-encoded. */
  readonly sealedParameters?: Redacted;
}

export type Grant =
  | {
      readonly type: 'authorization_code';
      readonly code: Redacted;
      readonly redirectUrl: string | Redacted | null;
      readonly codeVerifier: Redacted | null;
      /** The nonce of the authorization request. If there is an ID token with a nonce, it must be this one. */
      readonly nonce?: Redacted | null;
      /** Further parameters, URL-encoded, such as a verifier that the gateway has not made. They replace none of the others. */
      readonly parameters?: Redacted | null;
    }
  | { readonly type: 'refresh_token'; readonly refreshToken: Redacted; readonly scopes?: readonly string[] }
  | { readonly type: 'client_credentials'; readonly scopes: readonly string[] }
  | { readonly type: 'password'; readonly username: string; readonly password: Redacted; readonly scopes: readonly string[] }
  /** RFC 7523, section 2.1: Google's service accounts, and others. */
  | { readonly type: 'jwt_bearer'; readonly assertion: Redacted; readonly scopes: readonly string[] };

/** A request to consent, which a browser makes (RFC 6749, section 4.1.1). */
export interface AuthorizationUrlRequest {
  readonly authorizeUrl: URL;
  readonly clientId: string;
  readonly redirectUrl: string;
  readonly scopes: readonly string[];
  readonly state: Redacted;
  readonly codeVerifier: Redacted;
  /** Sent only if an ID token is requested. */
  readonly nonce: Redacted;
  /** Further parameters. The others replace them. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** The names of the parameters of an authorization request that the gateway sets, or that would replace those that it sets. */
export const ownAuthorizeParameters: readonly string[] = [
  'client_id',
  'client_secret',
  'code_challenge',
  'code_challenge_method',
  'nonce',
  'redirect_uri',
  'request',
  'request_uri',
  'response_mode',
  'response_type',
  'scope',
  'state',
];

/** Speaks OAuth 2.0 with third parties. Knows no store and no viewer. */
export interface OAuth {
  /** Returns the URL of the page of consent, with a challenge of PKCE (RFC 7636). */
  authorizationUrl(request: AuthorizationUrlRequest): URL;
  /** @throws TokenRequestError */
  requestToken(client: OAuthClient, grant: Grant): Promise<TokenAnswer>;
  /** Revokes a token (RFC 7009). A token that the server does not know counts as revoked. @throws TokenRequestError */
  revoke(client: OAuthClient, revocationUrl: URL, token: Redacted, kind: 'access_token' | 'refresh_token'): Promise<void>;
  /** Asks whether a token is active (RFC 7662). @throws TokenRequestError */
  introspect(client: OAuthClient, introspectionUrl: URL, token: Redacted): Promise<Introspection>;
  /**
   * Reads what a server says about itself (RFC 8414, or OpenID Connect Discovery 1.0). The document must name the same issuer.
   * @throws TokenRequestError
   */
  discover(issuer: URL): Promise<ServerFacts>;
}

/** What a server says about itself. The URLs can lead anywhere. */
export interface ServerFacts {
  readonly issuer: string;
  readonly authorizeUrl: URL | null;
  readonly tokenUrl: URL | null;
  readonly revocationUrl: URL | null;
  readonly introspectionUrl: URL | null;
  readonly scopes: readonly string[];
  /** How clients can authenticate (`token_endpoint_auth_methods_supported`). Without it, Basic is the default (RFC 8414, section 2). */
  readonly clientAuthentications: readonly string[];
}

function discovered(metadata: Readonly<ServerMetadata>): ServerFacts {
  const url = (value: unknown) => (typeof value === 'string' ? (parsedUrl(value) ?? null) : null);
  const texts = (value: unknown) => (Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : []);
  return {
    issuer: metadata.issuer,
    authorizeUrl: url(metadata.authorization_endpoint),
    tokenUrl: url(metadata.token_endpoint),
    revocationUrl: url(metadata.revocation_endpoint),
    introspectionUrl: url(metadata.introspection_endpoint),
    scopes: texts(metadata.scopes_supported),
    clientAuthentications: texts(metadata.token_endpoint_auth_methods_supported),
  };
}

/** What the library says of a document of another issuer than the one that was asked for. */
const ISSUER_DIFFERS = 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED';

/** How long one request to an OAuth 2.0 server may take at most, with connecting, in milliseconds. */
export const TOKEN_REQUEST_MS = 60_000;
const answerLimits = { maxBodyBytes: MAX_ANSWER_BYTES, totalMs: TOKEN_REQUEST_MS };
/** Nothing is lost if these fail, and several of them must fit into one operation: each has five seconds. */
const quickLimits = { ...answerLimits, headersMs: 5_000, totalMs: 5_000 };

/** Opens a value that is sent to the server of a third party. */
function plain(value: Redacted | string): string {
  return value instanceof Redacted ? value.expose() : value;
}

/** Loads what the first token request needs. Can be called before, so that it does not depend on files that may change later. */
export async function loadOAuth(): Promise<void> {
  await import('openid-client');
}

/** Creates the client of all OAuth 2.0 servers. The library is loaded when it is needed first: most processes start without a token request. */
export function createOAuth(outbound: Outbound, now: () => Date): OAuth {
  let library: Promise<Library> | undefined;
  const load = () => {
    library ??= import('openid-client');
    return library;
  };

  return {
    authorizationUrl({ authorizeUrl, clientId, redirectUrl, scopes, state, codeVerifier, nonce, parameters }) {
      const url = new URL(authorizeUrl);
      const own = {
        response_type: 'code',
        client_id: clientId,
        redirect_uri: redirectUrl,
        ...(scopes.length > 0 && { scope: scopes.join(' ') }),
        state: plain(state),
        code_challenge: createHash('sha256').update(plain(codeVerifier)).digest('base64url'),
        code_challenge_method: 'S256',
        ...(scopes.includes('openid') && { nonce: plain(nonce) }),
      };
      for (const [name, value] of [...parameters, ...Object.entries(own)]) url.searchParams.set(name, value);
      return url;
    },

    async requestToken(client, grant) {
      let answer: TokenAnswer | undefined;
      const { type, parameters } = grantParameters(grant);
      await withServer(client, { token_endpoint: client.tokenUrl.href }, async (response) => {
        answer = await readTokenAnswer(response, now());
        // What the library gets is what it expects: it would refuse the answers of many servers.
        return { access_token: 'received', token_type: 'bearer' };
      })((openid, config) => openid.genericGrantRequest(config, type, new URLSearchParams(parametersOf(client, parameters))));
      if (grant.type === 'authorization_code') checkIdToken(answer!, client, grant.nonce ?? null);
      return answer!;
    },

    async revoke(client, revocationUrl, token, kind) {
      const read = async (response: OutboundResponse) => {
        await readAnswer(response);
        return {};
      };
      await withServer(
        client,
        { revocation_endpoint: revocationUrl.href },
        read,
        quickLimits,
      )((openid, config) =>
        openid.tokenRevocation(config, plain(token), new URLSearchParams(parametersOf(client, [['token_type_hint', kind]]))),
      );
    },

    async introspect(client, introspectionUrl, token) {
      let facts: Introspection | undefined;
      const read = async (response: OutboundResponse) => {
        facts = await readIntrospection(response);
        return { active: facts.isActive };
      };
      await withServer(
        client,
        { introspection_endpoint: introspectionUrl.href },
        read,
        quickLimits,
      )((openid, config) => openid.tokenIntrospection(config, plain(token), new URLSearchParams(parametersOf(client, []))));
      return facts!;
    },

    async discover(issuer) {
      const openid = await load();
      let failure: unknown;
      for (const algorithm of ['oidc', 'oauth2'] as const) {
        failure = undefined;
        try {
          const config = await openid.discovery(issuer, 'none', {}, openid.None(), {
            algorithm,
            // Whether a request may go out without TLS is decided by the way out.
            execute: [openid.allowInsecureRequests],
            [openid.customFetch]: async (url, { method, headers }) => {
              try {
                const response = await outbound.request({ method, url: new URL(url), headers: ownHeaders(headers), limits: answerLimits });
                return Response.json(await readAnswer(response));
              } catch (error) {
                failure = error;
                throw error;
              }
            },
          });
          return discovered(config.serverMetadata());
        } catch (error) {
          const isOther = failure === undefined && (error as { readonly code?: unknown }).code === ISSUER_DIFFERS;
          const known = tokenRequestError(failure ?? error, isOther ? 'other_issuer' : 'invalid_answer');
          failure = known;
          // A server has one of the two documents.
          if (known.code !== 'request_refused' && known.code !== 'unexpected_status') throw known;
        }
      }
      throw failure;
    },
  };

  /** Returns a function that calls the library, which gets the members that `read` makes of the answer of the server. */
  function withServer(
    client: OAuthClient,
    endpoints: object,
    read: (response: OutboundResponse) => Promise<object>,
    limits: Partial<OutboundLimits> = answerLimits,
  ) {
    return async (call: (openid: Library, config: Configuration) => Promise<unknown>): Promise<void> => {
      const openid = await load();
      let failure: unknown;
      const config = new openid.Configuration(
        { issuer: client.tokenUrl.origin, ...endpoints },
        // Not sent if there is no client: the authentication below then adds nothing.
        client.clientId ?? 'none',
        {},
        await clientAuthentication(openid, client, now),
      );
      // Whether a request may go out without TLS is decided by the way out.
      openid.allowInsecureRequests(config);
      config[openid.customFetch] = async (url, { method, headers, body }) => {
        try {
          const response = await outbound.request({
            method,
            url: new URL(url),
            headers: ownHeaders(headers),
            body: Buffer.from(String(body)),
            ...(client.clientCertificate && { clientCertificate: client.clientCertificate }),
            limits,
          });
          return Response.json(await read(response));
        } catch (error) {
          failure = error;
          throw error;
        }
      };
      try {
        await call(openid, config);
      } catch (error) {
        throw tokenRequestError(failure ?? error);
      }
    };
  }
}

type Library = typeof import('openid-client');

/** Returns the parameters of a request. Those of the request come last: no parameter of a connector replaces them. */
function parametersOf(
  { parameters, sealedParameters }: OAuthClient,
  own: readonly (readonly [name: string, value: Redacted | string])[],
): Record<string, string> {
  const sealed = sealedParameters ? [...new URLSearchParams(plain(sealedParameters))] : [];
  return Object.fromEntries([...parameters, ...sealed, ...own].map(([name, value]) => [name, plain(value)]));
}

function ownHeaders(headers: Readonly<Record<string, string>>): [string, string][] {
  return [...Object.entries(headers).filter(([name]) => name !== 'user-agent'), ['user-agent', 'credential-gateway']];
}

/** Returns the error for whatever went wrong. Nothing of the cause is kept: it can contain parts of the request and of the answer. */
function tokenRequestError(error: unknown, otherwise: TokenErrorCode = 'request_failed'): TokenRequestError {
  if (error instanceof TokenRequestError) return error;
  if (error instanceof OutboundError) return new TokenRequestError('request_failed', false, !error.wasNotSent, error.failure);
  return new TokenRequestError(otherwise, false, true);
}

/**
 * Returns how the client authenticates, in the form of the library.
 * @throws TokenRequestError when its private key cannot sign
 * @throws RateLimitedError, OperationTimeoutError when too many keys are waiting to sign
 */
async function clientAuthentication(
  openid: Library,
  { clientId, authentication, tokenUrl }: OAuthClient,
  now: () => Date,
): Promise<ClientAuth> {
  if (clientId === null) return () => {};
  switch (authentication.method) {
    case 'NONE':
      return openid.None();
    case 'BASIC':
      // The library also encodes `-`, `_` and `.`, which servers take literally that do not decode at all.
      return basic(formEncoded(clientId), formEncoded(plain(authentication.secret)));
    case 'RAW_BASIC':
      return basic(clientId, plain(authentication.secret));
    case 'POST':
      return openid.ClientSecretPost(plain(authentication.secret));
    case 'TLS':
      return openid.TlsClientAuth();
    case 'PRIVATE_KEY_JWT': {
      const assertion = await clientAssertion(clientId, authentication, tokenUrl, now());
      if (assertion === undefined) throw new TokenRequestError('invalid_private_key', true, false);
      return (_server, _client, body) => {
        body.set('client_id', clientId);
        body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
        body.set('client_assertion', assertion);
      };
    }
  }
}

/** Encodes a text as RFC 6749, appendix B, requires. */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

function basic(user: string, password: string): ClientAuth {
  const credentials = Buffer.from(`${user}:${password}`).toString('base64');
  return (_server, _client, _body, headers) => headers.set('authorization', `Basic ${credentials}`);
}

/** The lifetime of a client's assertion in seconds. */
const ASSERTION_SECONDS = 60;

/** Returns a JWT that says who the client is (RFC 7523, section 3). Undefined when the private key cannot sign it. */
function clientAssertion(
  clientId: string,
  { keyId, algorithm, sign }: ClientAuthentication & { readonly method: 'PRIVATE_KEY_JWT' },
  tokenUrl: URL,
  now: Date,
): Promise<string | undefined> {
  const iat = Math.floor(now.getTime() / 1_000);
  const claims = { iss: clientId, sub: clientId, aud: tokenUrl.href, jti: randomUUID(), iat, exp: iat + ASSERTION_SECONDS };
  return assembledJwt({ alg: algorithm, ...(keyId !== null && { kid: keyId }) }, claims, sign);
}

/**
 * Refuses an ID token that is not for this client or this authorization. It came directly from the token endpoint over TLS, so its signature need not be
 * checked (OpenID Connect Core 1.0, section 3.1.3.7, item 6). The gateway takes nothing else from it. One that cannot be read says nothing.
 *
 * @throws TokenRequestError
 */
function checkIdToken({ idToken }: TokenAnswer, { clientId, issuer }: OAuthClient, nonce: Redacted | null): void {
  if (idToken === null) return;
  let claims: ReturnType<typeof decodeJwt>;
  try {
    claims = decodeJwt(plain(idToken));
  } catch {
    return;
  }
  const audiences = [claims.aud].flat();
  const isOurs =
    (claims.nonce === undefined || (nonce !== null && claims.nonce === plain(nonce))) &&
    (claims.aud === undefined || audiences.includes(clientId ?? undefined)) &&
    (!issuer || claims.iss === issuer);
  if (!isOurs) throw new TokenRequestError('invalid_id_token', true, true);
}

/** Returns the type of a grant (RFC 6749, section 4) and its parameters. */
function grantParameters(grant: Grant): { type: string; parameters: [name: string, value: Redacted | string][] } {
  const scope = (scopes: readonly string[] = []): [string, string][] => (scopes.length > 0 ? [['scope', scopes.join(' ')]] : []);
  switch (grant.type) {
    case 'authorization_code':
      return {
        type: grant.type,
        parameters: [
          ...(grant.parameters ? new URLSearchParams(plain(grant.parameters)) : []),
          ['code', grant.code],
          ...(grant.redirectUrl === null ? [] : [['redirect_uri', grant.redirectUrl] as [string, Redacted | string]]),
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
