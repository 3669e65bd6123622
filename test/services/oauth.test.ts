import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Redacted } from '../../src/redacted.ts';
import { createOAuth, type OAuthClient } from '../../src/services/oauth/index.ts';
import { createOutbound, defaultOutbound } from '../../src/services/outbound/index.ts';
import { type OAuthServer, oauthClient, startOAuthServer } from './oauth-server.ts';

const redirectUrl = 'https://gateway.example/oauth/callback';
const outbound = createOutbound({ ...defaultOutbound, allowedAddresses: ['127.0.0.0/8'], allowsHttp: true });
const oauth = createOAuth(outbound, () => new Date());

let server: OAuthServer;
beforeAll(async () => {
  server = await startOAuthServer();
});
afterAll(async () => {
  await server.stop();
  await outbound.stop();
});

function client(more: Partial<OAuthClient> = {}): OAuthClient {
  return {
    tokenUrl: new URL(server.tokenUrl),
    clientId: oauthClient.id,
    authentication: { method: 'BASIC', secret: new Redacted(oauthClient.secret) },
    parameters: [],
    ...more,
  };
}

/** Consents as a user does, and returns the code with its verifier. */
async function consent(scope: string): Promise<{ code: Redacted; codeVerifier: Redacted }> {
  const codeVerifier = randomBytes(32).toString('base64url');
  const url = new URL(server.authorizeUrl);
  const query = {
    client_id: oauthClient.id,
    response_type: 'code',
    redirect_uri: redirectUrl,
    scope,
    prompt: 'consent',
    state: 'a state',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  url.search = String(new URLSearchParams(query));
  const back = await server.consent(url.href);
  expect(back.origin + back.pathname).toBe(redirectUrl);
  return { code: new Redacted(back.searchParams.get('code')!), codeVerifier: new Redacted(codeVerifier) };
}

it('exchanges a code, and refreshes with a refresh token that is good once', async () => {
  const grant = { type: 'authorization_code', redirectUrl, ...(await consent('openid offline_access tickets:read')) } as const;
  const first = await oauth.requestToken(client(), grant);
  expect(first).toMatchObject({ tokenType: 'Bearer', scopes: expect.arrayContaining(['offline_access', 'tickets:read']) });
  expect(first.expiresAt!.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
  expect(first.idToken).toBeInstanceOf(Redacted);
  const refused = { code: 'invalid_grant', isFinal: true, mayHaveSucceeded: false };
  // A code is good once.
  await expect(oauth.requestToken(client(), grant)).rejects.toMatchObject(refused);

  const again = await oauth.requestToken(client(), {
    type: 'authorization_code',
    redirectUrl,
    ...(await consent('openid offline_access tickets:read')),
  });
  const second = await oauth.requestToken(client(), { type: 'refresh_token', refreshToken: again.refreshToken! });
  expect(second.refreshToken!.expose()).not.toBe(again.refreshToken!.expose());
  await expect(oauth.requestToken(client(), { type: 'refresh_token', refreshToken: again.refreshToken! })).rejects.toMatchObject(refused);
});

it('authenticates the client in the ways that the server knows', async () => {
  const grant = { type: 'client_credentials', scopes: ['tickets:read'] } as const;
  const secret = new Redacted(oauthClient.secret);
  await expect(oauth.requestToken(client(), grant)).resolves.toMatchObject({ refreshToken: null, scopes: ['tickets:read'] });
  const wrong = { authentication: { method: 'BASIC', secret: new Redacted('wrong') } } as const;
  await expect(oauth.requestToken(client(wrong), grant)).rejects.toMatchObject({ code: 'invalid_client', isFinal: true });
  // A server of this kind decodes the secret, so it refuses one that is sent as it is.
  await expect(oauth.requestToken(client({ authentication: { method: 'RAW_BASIC', secret } }), grant)).rejects.toMatchObject({
    code: 'invalid_request',
    isFinal: false,
  });
});
