import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ClientMetadata, type Configuration, Provider } from 'oidc-provider';
import { consent } from './consent-by-hand.ts';

/** The client of the tests at the OAuth server. */
export const oauthClient = { id: 'gateway-client', secret: 'Zk3 client+9fQ/%&=' } as const;

const defaultRedirectUrls = ['https://gateway.example/oauth/callback', 'https://app.example.com/landed'];

/** A request that reached the token endpoint. */
export interface TokenRequest {
  readonly grantType: string;
  readonly status: number;
}

/** An OAuth 2.0 server on this machine. */
export interface OAuthServer {
  readonly issuer: string;
  readonly authorizeUrl: string;
  readonly tokenUrl: string;
  /** The requests that the token endpoint answered, in order. */
  readonly tokenRequests: readonly TokenRequest[];
  /**
   * Consents as a browser does: follows the redirects from an authorization URL, signs in, consents, and returns the redirect back, which it does
   * not follow.
   */
  consent(authorizationUrl: string, answer?: 'consent' | 'abort'): Promise<URL>;
  /** Makes refresh tokens of all grants useless, as a user does who withdraws the consent. */
  withdrawConsents(): Promise<void>;
  stop(): Promise<void>;
}

export interface OAuthServerOptions {
  readonly redirectUrls?: readonly string[];
  /** The lifetime of access tokens in seconds. An hour unless told. */
  readonly accessTokenSeconds?: number;
  /** Further clients, in the terms of OpenID Connect Dynamic Client Registration 1.0. */
  readonly clients?: readonly ClientMetadata[];
  /** Overrides of the configuration of the server. */
  readonly configuration?: Configuration;
}

/**
 * Starts a certified OAuth 2.0 server (oidc-provider). It rotates refresh tokens: each can be used once, and a second use of one ends the grant.
 * Its page for signing in and consenting is a form with the buttons `Allow` and `Deny`.
 */
export async function startOAuthServer({
  redirectUrls,
  accessTokenSeconds = 3_600,
  clients = [],
  configuration,
}: OAuthServerOptions = {}): Promise<OAuthServer> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  // A name, because credentials can be limited to names only.
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const tokenRequests: TokenRequest[] = [];
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: oauthClient.id,
        client_secret: oauthClient.secret,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        redirect_uris: [...(redirectUrls ?? defaultRedirectUrls)],
        response_types: ['code'],
        scope: 'openid offline_access tickets:read users:read',
      },
      ...clients.map((client) => ({
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        redirect_uris: [...(redirectUrls ?? defaultRedirectUrls)],
        ...client,
      })),
    ],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    scopes: ['openid', 'offline_access', 'tickets:read', 'users:read'],
    findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    cookies: { keys: ['a key of the tests for cookies'] },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (_context, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    ttl: {
      AccessToken: accessTokenSeconds,
      ClientCredentials: accessTokenSeconds,
      AuthorizationCode: 60,
      Grant: 86_400,
      IdToken: 3_600,
      Interaction: 3_600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    ...configuration,
  });
  const grants = new Set<string>();
  provider.on('grant.success', ({ oidc }) => {
    tokenRequests.push({ grantType: String(oidc.params?.grant_type), status: 200 });
    if (oidc.entities.Grant) grants.add(oidc.entities.Grant.jti);
  });
  provider.on('grant.error', ({ oidc }, { statusCode }) => {
    tokenRequests.push({ grantType: String(oidc.params?.grant_type), status: statusCode });
  });

  const callback = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url!.startsWith('/interaction/')) return callback(request, response);
    try {
      const { prompt, params } = await provider.interactionDetails(request, response);
      if (request.method !== 'POST') {
        response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
        return response.end(consentPage(String(params.scope ?? '')));
      }
      let form = '';
      for await (const part of request) form += part;
      if (new URLSearchParams(form).get('answer') !== 'allow') {
        return await provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'the user said no' });
      }
      const grant = new provider.Grant({ accountId: 'ada', clientId: String(params.client_id) });
      grant.addOIDCScope(String(params.scope ?? ''));
      const grantId = await grant.save();
      const login = prompt.name === 'login' ? { login: { accountId: 'ada' } } : {};
      await provider.interactionFinished(request, response, { ...login, consent: { grantId } }, { mergeWithLastSubmission: true });
    } catch {
      response.writeHead(400).end();
    }
  });

  return {
    issuer,
    authorizeUrl: `${issuer}/auth`,
    tokenUrl: `${issuer}/token`,
    tokenRequests,
    consent: (url, answer = 'consent') => consent(issuer, url, answer),
    async withdrawConsents() {
      for (const id of grants) await (await provider.Grant.find(id))?.destroy();
    },
    stop: () => stop(server),
  };
}

function consentPage(scopes: string): string {
  const escaped = scopes.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Example Service</title><link rel="icon" href="data:,">
<body style="font: 16px sans-serif; max-width: 32rem; margin: 4rem auto">
<h1>Example Service</h1><p>The application asks for access to: ${escaped}</p>
<form method="post"><button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button></form>
</body></html>`;
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((done) => server.close(() => done()));
}
