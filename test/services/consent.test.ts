import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser, openWindow } from '../browser.ts';
import { TestGateway } from '../harness.ts';
import { serve } from '../serve.ts';
import { type OAuthServer, oauthClient, startOAuthServer } from './oauth-server.ts';

/** A front end: one page, which has the token of its end user, starts an authorization, and completes it when the browser comes back. */
const frontEnd = (gateway: string, token: string, connector: string) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">
<style>body { font: 18px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto } button { font: inherit; padding: .4rem 1rem }</style>
<h1>Shop settings</h1><p id="text">No help desk is connected.</p><button id="connect">Connect Example Service</button>
<script>
const text = document.getElementById('text');
async function run(name, success, input) {
  const query = 'mutation ($input: ' + name[0].toUpperCase() + name.slice(1) + 'Input!) { result: ' + name +
    '(input: $input) { ' + success + ' ... on MutationError { code message } } }';
  const answer = await fetch('${gateway}/graphql', { method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer ${token}' },
    body: JSON.stringify({ query, variables: { input } }) });
  const { data, errors } = await answer.json();
  if (errors || data.result.code) throw new Error(JSON.stringify(errors ?? data.result));
  return data.result;
}
document.getElementById('connect').onclick = async () => {
  const { authorization } = await run('startAuthorization', '... on StartAuthorizationSuccess { authorization { authorizationId authorizationUrl } }',
    { connector: { id: '${connector}' }, name: 'Help desk', returnTo: location.origin + '/' });
  sessionStorage.setItem('authorization', authorization.authorizationId);
  location.assign(authorization.authorizationUrl);
};
const came = new URLSearchParams(location.search);
if (came.get('result') === 'error') text.textContent = 'Not connected: ' + came.get('error');
if (came.get('result') === 'confirm' && came.get('authorization') === sessionStorage.getItem('authorization')) {
  history.replaceState(null, '', '/');
  run('completeAuthorization', '... on CompleteAuthorizationSuccess { connection { id name } }',
    { state: came.get('state'), code: came.get('code'), iss: came.get('iss') }).then(
    ({ connection }) => { text.textContent = 'Connected: ' + connection.name; text.dataset.connection = connection.id },
    (error) => { text.textContent = 'Failed: ' + error.message });
}
</script></html>`;

describe.skipIf(!hasBrowser)('a browser', () => {
  const test = new TestGateway();
  let browser: Browser;
  let server: OAuthServer;
  let door: Awaited<ReturnType<typeof serve>>;
  let app: Awaited<ReturnType<typeof serve>>;
  let page = '';
  const caller = { organization: test.newOrganization() };

  beforeAll(async () => {
    door = await serve((request, response) => test.gateway.requestListener(request, response));
    app = await serve((_request, response) => response.setHeader('content-type', 'text/html; charset=utf-8').end(page));
    test.policy = { publicUrl: door.origin, returnOrigins: [app.origin] };
    test.corsOrigins = [app.origin];
    await test.start();
    server = await startOAuthServer({ redirectUrls: [`${door.origin}/oauth/callback`] });

    const integration = { id: (await test.create(caller, 'Integration', { name: 'shop' })).id };
    const endUser = { id: (await test.create(caller, 'EndUser', { integration, externalId: 'ada' })).id };
    const client = await test.create(caller, 'Credential', {
      integration,
      name: 'client',
      allowedDomains: ['localhost'],
      allowedPurposes: ['TOKEN_REQUEST'],
      data: { oauth2Client: { clientId: oauthClient.id, clientSecret: oauthClient.secret, tokenUrl: server.tokenUrl } },
    });
    const oauth2 = {
      grant: 'AUTHORIZATION_CODE',
      authorizeUrl: server.authorizeUrl,
      tokenUrl: server.tokenUrl,
      defaultScopes: ['openid', 'tickets:read'],
      additionalAuthorizeParams: [{ name: 'prompt', value: 'consent' }],
      clientCredentialId: client.id,
      issuer: server.issuer,
    };
    const { id: connector } = await test.create(caller, 'Connector', {
      integration,
      name: 'Example Service',
      baseUrl: 'https://api.example.com',
      endUsersMayUseClient: true,
      authSchemes: [{ schemeId: 'oauth', schemeType: 'OAUTH2', oauth2 }],
    });
    page = frontEnd(door.origin, await test.makeEndUserToken(caller, endUser), connector);
    browser = await launchBrowser('MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1');
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await app?.stop();
    await door?.stop();
    await test.stop();
  });

  it('comes back from a refusal, and shows a page of the gateway for a link that is used up', async () => {
    const { page: shop, observed } = await openWindow(browser);
    await shop.goto(app.origin);
    await shop.click('#connect');
    await shop.waitForURL(`${server.issuer}/interaction/**`);
    await shop.click('text=Deny');
    await shop.waitForURL(`${app.origin}/**`);
    expect(await shop.locator('#text').innerText()).toBe('Not connected: access_denied');
    const callback = observed.requests.find((url) => url.startsWith(`${door.origin}/oauth/callback`))!;
    await shop.goto(callback);
    expect(await shop.locator('h1').innerText()).toBe('Not connected');
    expect(await shop.locator('h1').evaluate((heading) => getComputedStyle(heading).fontFamily)).toContain('system-ui');
    expect(observed.complaints.filter((text) => !text.includes('400 (Bad Request)'))).toEqual([]);
  });

  it('goes from the front end to the page of consent and back, and the connection works', async () => {
    const { page: shop, observed } = await openWindow(browser);
    await shop.goto(app.origin);
    await shop.click('#connect');
    await shop.waitForURL(`${server.issuer}/interaction/**`);
    expect(await shop.locator('p').innerText()).toBe('The application asks for access to: openid tickets:read offline_access');
    await shop.click('text=Allow');
    await shop.waitForSelector('#text[data-connection]');
    expect(await shop.locator('#text').innerText()).toBe('Connected: Help desk');
    // Nothing is left in the address, and the service never learns of the page of the front end.
    expect(shop.url()).toBe(`${app.origin}/`);
    expect(observed.complaints).toEqual([]);

    // The token works at the service.
    const connection = await shop.locator('#text').getAttribute('data-connection');
    const { by } = await test.query(
      caller,
      'query ($id: ID!) { by: connection(by: { id: $id }) { actionCredentials { credential { ... on CredentialBase { id } } } } }',
      { id: connection },
    );
    const reveal = `mutation ($input: RevealSecretInput!) { result: revealSecret(input: $input) { ... on RevealSecretSuccess { secret { plaintext } } } }`;
    const credential = by.actionCredentials[0].credential.id;
    const { result } = await test.query(caller, reveal, { input: { credential, field: 'accessToken', reason: 'the test uses it' } });
    const used = await fetch(`${server.issuer}/me`, { headers: { authorization: `Bearer ${result.secret.plaintext}` } });
    expect(await used.json()).toEqual({ sub: 'ada' });
  });
});
