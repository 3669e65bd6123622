import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { credentialIdQuery, examples } from '../../src/http/graphiql/examples.ts';
import { hasBrowser, launchBrowser, type Observed, openWindow } from '../browser.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { serve } from '../serve.ts';

const test = useTestGateway();
// So that a subscription is told what happens.
test.runsJobs = true;
const secrets = ['correct horse battery staple', 'example-key-1234', 'example-access-token', 'example-refresh-token', 'example-secret'];

const titleOf = (query: string) => /^(?:query|mutation|subscription) (\w+)/m.exec(query)?.[1] ?? '';

/** Runs an example as the page does, and gives its data. */
async function runExample(caller: Caller, title: string): Promise<Json> {
  const { query, variables = {} } = examples.find((example) => titleOf(example.query) === title)!;
  const given: Record<string, unknown> = { ...variables };
  for (const [variable, value] of Object.entries(given)) {
    const [, name] = /^<id of (.+)>$/.exec(String(value)) ?? [];
    if (name) given[variable] = (await test.query(caller, credentialIdQuery, { name })).credentials.nodes[0].id;
  }
  return test.query(caller, query, given);
}

describe('the examples', () => {
  // They are the first that anybody runs: in order on an empty database, and again, each as it stands.
  it('run in order, and again', async () => {
    const caller = { organization: test.newOrganization() };
    const created = await runExample(caller, 'SetUp');
    expect(created).toEqual({
      createIntegration: { integration: { id: expect.any(String) } },
      createConnector: { connector: { id: expect.any(String) } },
      createEndUser: { endUser: { id: expect.any(String) } },
      createConnection: {
        connection: {
          id: expect.any(String),
          actionCredentials: [
            { credential: { name: 'Parcels login', kind: 'BASIC_AUTH' } },
            { credential: { name: 'Parcels key', kind: 'API_KEY' } },
            { credential: { name: "Maple's mailbox", kind: 'OAUTH2_TOKEN' } },
          ],
        },
      },
    });

    for (const round of ['first', 'again']) {
      if (round === 'again') {
        const conflict = { code: 'CONFLICT', message: expect.stringMatching(/^An? .* already exists in the .*\.$/) };
        expect(await runExample(caller, 'SetUp')).toEqual({
          createIntegration: conflict,
          createConnector: conflict,
          createEndUser: conflict,
          createConnection: conflict,
        });
      }
      const { connection } = await runExample(caller, 'Connection');
      expect(connection).toMatchObject({
        endUser: { displayName: 'Maple Street Books' },
        actionCredentials: [
          { credential: { __typename: 'BasicAuthCredential', password: { redacted: '*****' } } },
          { credential: { apiKey: { redacted: '*****', isSet: true, fingerprint: expect.any(String) } } },
          { credential: { accessToken: { redacted: '*****' }, refreshToken: { redacted: '*****', sealedAt: expect.any(String) } } },
        ],
        variables: [{ name: 'warehouse', value: 'north' }],
      });
      const { credentials } = await runExample(caller, 'List');
      expect(credentials).toMatchObject({ totalCount: 4, pageInfo: { hasNextPage: false } });
      expect(credentials.nodes[0]).toMatchObject({ usages: { nodes: [{ name: "Maple's parcels" }] }, value: { redacted: '*****' } });
      const filtered = await runExample(caller, 'Filter');
      expect(filtered.credentials.nodes.map(({ name }: Json) => name)).toEqual(['Parcels key', 'Parcels login']);
      expect((await runExample(caller, 'EndUser')).endUser).toMatchObject({
        contacts: [{ type: 'TECHNICAL', emailVerified: false }],
        connections: { nodes: [{ connector: { name: 'parcels' } }] },
        credentials: { totalCount: 4 },
      });
      expect((await runExample(caller, 'Plan')).connections.nodes).toMatchObject([
        {
          name: "Maple's parcels",
          state: 'UNKNOWN',
          problems: [],
          requestPlan: {
            baseUrl: 'https://api.parcels.example/v2',
            steps: [
              { location: 'HEADER', name: 'Authorization', value: 'Basic *****' },
              { location: 'HEADER', name: 'X-Api-Key', value: '*****' },
              { location: 'HEADER', name: 'Authorization', value: 'Bearer *****' },
            ],
            problems: [{ code: 'PURPOSE' }, { code: 'DOMAIN' }, { code: 'SAME_PLACE' }],
          },
        },
      ]);
      const sealedAt = (await runExample(caller, 'Change')).updateCredential.credential.password.sealedAt;
      const changed = (await runExample(caller, 'Change')).updateCredential.credential;
      expect(changed).toMatchObject({ username: 'maple.books', password: { redacted: '*****', sealedAt } });
      const { imported } = (await runExample(caller, 'Import')).importConnections;
      expect([imported.createdCount, imported.unchangedCount]).toEqual(round === 'first' ? [2, 0] : [0, 2]);
      expect((await runExample(caller, 'Reveal')).revealSecret.secret).toEqual({
        field: 'password',
        plaintext: 'correct horse battery staple',
      });
      const { createAPIKey, createEndUserToken } = await runExample(caller, 'LetIn');
      if (round === 'first') expect((await test.answer({ ...caller, token: createAPIKey.issued.key }, '{ __typename }')).status).toBe(200);
      else expect(createAPIKey).toMatchObject({ code: 'CONFLICT' });
      const { endUsers } = await test.query({ ...caller, token: createEndUserToken.endUserToken.token }, '{ endUsers { totalCount } }');
      expect(endUsers).toEqual({ totalCount: 1 });
      expect((await runExample(caller, 'Mistake')).createCredential).toMatchObject({
        code: 'VALIDATION_FAILED',
        issues: [{ path: ['input', 'data', 'basicAuth', 'username'], message: expect.stringContaining('colon') }],
      });
      const { credentialKinds } = await runExample(caller, 'Form');
      expect(credentialKinds.map(({ name }: Json) => name)).toEqual(['basicAuth', 'sql']);
      expect(credentialKinds[0].fields[1]).toMatchObject({ name: 'password', isSecret: true, isRequired: true });
      const { events } = await runExample(caller, 'Events');
      expect(events.nodes[0]).toMatchObject({ type: 'CREATED', objectType: 'INTEGRATION' });
      expect((await runExample(caller, 'Preview')).deletePreview).toEqual({
        needsForce: true,
        effects: [{ objectType: 'CONNECTION', effect: 'CHANGED', count: expect.any(Number) }],
      });
      // It has begun.
      expect(await runExample(caller, 'Listen')).toEqual({});
    }

    expect(await runExample(caller, 'CleanUp')).toEqual({ deleteIntegration: { deletedId: created.createIntegration.integration.id } });
    expect(await runExample(caller, 'SetUp')).toMatchObject({ createConnection: { connection: { id: expect.any(String) } } });
  });

  it('are read in a small window, and told apart by their names', () => {
    expect(examples.flatMap(({ query }) => query.split('\n')).filter((line) => line.length > 57)).toEqual([]);
    expect(examples.every(({ query }) => query.startsWith('# '))).toBe(true);
    expect(new Set(examples.map(({ query }) => titleOf(query))).size).toBe(examples.length);
  });
});

describe('the page', () => {
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await test.gateway.fetch(new Request(`http://gateway.test${path}`, { headers }));
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  it('is for browsers only, may do little, and is not for the pages of others', async () => {
    const { status, headers, text } = await get('/graphql', { accept: 'text/html,*/*' });
    expect(status).toBe(200);
    expect(text).toContain('<title>GraphiQL');
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; img-src data:; " +
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'private, no-cache',
      etag: expect.stringMatching(/^"[0-9a-f]{16}"$/),
    });
    expect([...headers.keys()].filter((name) => /^access-control-|^set-cookie$/.test(name))).toEqual([]);

    expect((await get('/graphql', { accept: 'application/json' })).status).toBe(401);
    expect((await get('/graphql', { accept: 'text/html', origin: 'https://evil.example' })).status).toBe(403);
  });

  it('loads its parts from here, each once and for good', async () => {
    const { text } = await get('/graphql', { accept: 'text/html' });
    const parts = [...text.matchAll(/(?:src|href)="(graphql\/[^"]+)"/g)].map(([, path]) => `/${path}`);
    const client = (await get(parts[0]!)).text;
    parts.push(...[...client.matchAll(/"(graphql\/[^"]+)"/g)].map(([, path]) => `/${path}`));
    expect(parts).toHaveLength(7);
    for (const part of parts) {
      const { status, headers } = await get(part);
      expect([part, status, headers.get('content-type')]).toEqual([part, 200, expect.stringMatching(/^text\/(javascript|css); /)]);
      expect(headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
      expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
    }
    expect((await get('/graphql/page-0000000000000000.js')).status).toBe(404);
  });
});

/** A browser on a busy machine takes its time. */
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 60_000 });

describe.skipIf(!hasBrowser)('in a browser', { timeout: 300_000 }, () => {
  const caller = { organization: 'example', claims: { sub: 'developer' } };
  let browser: Browser;
  let server: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => {
    server = await serve(test.gateway.requestListener);
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Opens the page, with a token in the fragment, unless there is none to give. */
  async function open(token?: string): Promise<{ page: Page; observed: Observed }> {
    const opened = await openWindow(browser);
    const { page } = opened;
    if (token) await readingTheSchema(page, () => page.goto(`${server.origin}/graphql#token=${token}`));
    else await page.goto(`${server.origin}/graphql`);
    await page.locator('.graphiql-execute-button').waitFor();
    return opened;
  }
  /** What a part of the page shows. Monaco breaks lines and makes every space a fixed one. */
  const shown = async (page: Page, part: string) => (await page.locator(part).innerText()).replace(/\s+/g, ' ');
  const editor = (page: Page) => shown(page, '.graphiql-query-editor .view-lines');
  const result = (page: Page) => shown(page, '.result-window .view-lines');
  const bar = (page: Page) => shown(page, '#bar');
  /** Does something after which the page reads the schema, and waits until it has. */
  async function readingTheSchema(page: Page, act: () => Promise<unknown>) {
    const answer = page.waitForResponse(
      (response) => response.ok() && Boolean(response.request().postData()?.includes('IntrospectionQuery')),
    );
    await act();
    await (await answer).finished();
  }
  async function run(page: Page, title: string) {
    await page.getByRole('tab', { name: title, exact: true }).click();
    await eventually(() => editor(page)).toContain(examples.find(({ query }) => titleOf(query) === title)!.query.slice(0, 40));
    // While something runs, the same button stops it.
    await page.locator('.graphiql-execute-button[aria-label^="Execute"]').click();
  }
  /** Replaces what an editor holds. Monaco's own paste and brackets need no help this way. */
  async function write(page: Page, where: string, text: string) {
    await page.locator(`${where} .view-lines`).click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(text);
  }
  async function giveToken(page: Page, token: string) {
    await page.getByLabel('Token').fill(token);
    await readingTheSchema(page, () => page.getByRole('button', { name: 'Use token' }).click());
  }
  const stored = (page: Page) =>
    page.evaluate(() => ({ local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie, address: location.href }));

  it('takes the token out of the address, runs an example, and loads nothing from elsewhere', async () => {
    const token = await test.token(caller);
    const { page, observed } = await open(token);
    // The day is told if it is another one.
    await eventually(() => bar(page)).toMatch(/organization example · developer · token valid until (\w+ \d+, \d+, )?\d\d:\d\d/);
    expect(page.url()).toBe(`${server.origin}/graphql`);
    expect(await page.evaluate(() => history.length)).toBeLessThanOrEqual(2);
    await page.locator('.graphiql-execute-button').click();
    await eventually(() => result(page)).toContain('createConnection');
    await run(page, 'Connection');
    await eventually(() => result(page)).toContain('*****');
    await eventually(() => result(page)).toContain('mail.read');
    for (const secret of secrets) expect(await result(page)).not.toContain(secret);
    if (process.env.UPDATE_PICTURE) {
      await page.mouse.move(640, 20);
      // The scroll bars fade.
      await page.waitForTimeout(2500);
      await page.screenshot({ path: fileURLToPath(new URL('../../src/http/graphiql/graphiql.png', import.meta.url)) });
    }

    // A subscription shows what happens until it is stopped, though nothing happens any more.
    const change = (description: string) =>
      test.query(
        caller,
        `mutation { updateIntegration(input: { integration: { name: "webshop" }, description: "${description}" }) { __typename } }`,
      );
    const streaming = page.waitForResponse((response) => response.headers()['content-type']?.startsWith('text/event-stream') === true);
    await run(page, 'Listen');
    const stream = (await streaming).request();
    expect(await stream.headerValue('authorization')).toBe(`Bearer ${token}`);
    await change('one');
    await eventually(() => result(page)).toContain('"objectType": "INTEGRATION"');
    const ended = page.waitForEvent('requestfailed', (request) => request === stream);
    await page.locator('.graphiql-execute-button[aria-label^="Stop"]').click();
    await ended;
    const seen = await result(page);
    await change('two');
    expect(await result(page)).toBe(seen);

    // The id that these variables ask for is looked up.
    await run(page, 'Reveal');
    await eventually(() => result(page)).toContain('correct horse battery staple');
    await run(page, 'CleanUp');
    await eventually(() => result(page)).toContain('deletedId');

    expect(new Set(observed.requests.map((address) => new URL(address).origin))).toEqual(new Set([server.origin]));
    expect(observed.requests.filter((address) => address.includes(token))).toEqual([]);
    expect(observed.complaints).toEqual([]);
  });

  it('keeps the token for this tab only, and nothing else', async () => {
    const token = await test.token(caller);
    const { page } = await open(token);
    await write(page, '.graphiql-query-editor', 'query Typed($v: [String!]) { credentialKinds(names: $v) { name } }');
    await page.locator('.graphiql-editor-tools').getByText('Variables').click();
    await write(page, '.graphiql-editor-tool .graphiql-editor:not(.hidden)', '{ "v": ["typed-secret"] }');
    await page.locator('.graphiql-execute-button').click();
    await eventually(() => result(page)).toContain('credentialKinds');
    // GraphiQL stores half a second late.
    await page.waitForTimeout(800);
    const kept = { local: {}, session: { token }, cookie: '', address: `${server.origin}/graphql` };
    expect(await stored(page)).toEqual(kept);

    await readingTheSchema(page, () => page.reload());
    expect(await stored(page)).toEqual(kept);
    expect(await editor(page)).not.toContain('Typed');

    const other = await page.context().newPage();
    await other.goto(`${server.origin}/graphql?query=mutation{planted}`);
    await eventually(() => bar(other)).toContain('This page has no token yet.');
    // A link puts nothing into the editor.
    await other.locator('.graphiql-execute-button').waitFor();
    expect(other.url()).toBe(`${server.origin}/graphql`);
    expect(await editor(other)).not.toContain('planted');
  });

  it('says where to get a token, takes one, and says when one is refused', async () => {
    const { page, observed } = await open();
    await eventually(() => bar(page)).toContain('This page has no token yet.');
    expect(await bar(page)).toContain('node dist/main.js token');
    await eventually(() => result(page)).toContain('There is no token yet.');
    // Nothing was sent in vain.
    expect(observed.requests.filter((address) => address === `${server.origin}/graphql`)).toHaveLength(1);
    expect(observed.complaints).toEqual([]);

    await giveToken(page, await test.token(caller));
    await eventually(() => bar(page)).toContain('developer');

    // The printed address, opened in the same tab, changes the fragment only.
    const expired = await test.token({ ...caller, claims: { exp: 1_000_000_000 } });
    await page.evaluate((token) => location.assign(`#token=${token}`), expired);
    await page.getByRole('button', { name: 'Use the token of the link' }).click();
    await eventually(() => bar(page)).toContain('The token has expired.');
    expect(page.url()).toBe(`${server.origin}/graphql`);
    await giveToken(page, await test.token(caller));
    await eventually(() => bar(page)).toContain('token valid until');

    // Headers typed by hand win, and what they lead to is not the kept token's fault.
    await page.locator('.graphiql-editor-tools').getByText('Headers').click();
    await write(page, '.graphiql-editor-tool .graphiql-editor:not(.hidden)', '{ "Authorization": "Bearer typed" }');
    await page.locator('.graphiql-execute-button').click();
    await eventually(() => result(page)).toContain('The token is not a JWT.');
    expect(await bar(page)).toContain('token valid until');
  });

  // Whoever opens the link of an attacker would type secrets into the attacker's organization.
  it('asks before the token of a link replaces the one that it keeps, by keyboard and without a network', async () => {
    const mine = await test.token(caller);
    const { page, observed } = await open(mine);
    const theirs = await test.token({ organization: 'attackers', claims: { sub: 'mallory\u202e · organization example' } });
    const follow = (token: string) => page.evaluate((given) => location.assign(`#token=${given}`), token);
    const dialog = page.getByRole('dialog', { name: 'Switch to the access of this link?' });
    // Without a network, the editors could not load their workers, which they ask for late.
    const loaded = async () => (await Promise.allSettled(page.workers().map((worker) => worker.evaluate('1')))).map(({ status }) => status);
    await expect.poll(loaded, { timeout: 60_000 }).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    await page.context().setOffline(true);
    const sent = observed.requests.length;

    // The first choice keeps the token, and so does Escape.
    for (const key of ['Enter', 'Escape']) {
      await follow(theirs);
      await dialog.waitFor();
      expect(page.url()).toBe(`${server.origin}/graphql`);
      const text = (await dialog.innerText()).replace(/\s+/g, ' ');
      expect(text).toContain('In use example developer In the link attackers mallory · organization example');
      expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Keep the token in use');
      expect((await stored(page)).session).toEqual({ token: mine });
      await page.keyboard.press(key);
      await dialog.waitFor({ state: 'hidden' });
      expect((await stored(page)).session).toEqual({ token: mine });
      expect(await bar(page)).toContain('organization example · developer');
    }
    // The same token again is no question.
    await follow(mine);
    expect(await dialog.isVisible()).toBe(false);
    // The editor may still load its worker, but nothing is asked with either token.
    const asked = observed.requests.slice(sent).map((address) => new URL(address).pathname);
    expect(asked.filter((path) => path === '/graphql')).toEqual([]);
    await page.context().setOffline(false);

    // A new load of the page with a link, and the other choice.
    await page.goto(`${server.origin}/graphql?fresh#token=${theirs}`);
    await dialog.waitFor();
    expect((await stored(page)).session).toEqual({ token: mine });
    await page.keyboard.press('Tab');
    await readingTheSchema(page, () => page.keyboard.press('Enter'));
    await eventually(() => bar(page)).toContain('organization attackers · mallory');
    expect((await stored(page)).session).toEqual({ token: theirs });
    expect(observed.complaints.filter((each) => !each.includes('ERR_INTERNET_DISCONNECTED'))).toEqual([]);
  });

  it('completes from the schema, and shows its descriptions', async () => {
    const { page } = await open(await test.token(caller));
    await write(page, '.graphiql-query-editor', '{ ');
    await page.keyboard.type('credentialK');
    await page.locator('.suggest-widget').getByText('credentialKinds').first().waitFor();
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: /Show Documentation Explorer/ }).click();
    await page.locator('.graphiql-doc-explorer').getByText('Query', { exact: true }).click();
    await page.getByText('All reads. No query returns the plaintext of a secret.').waitFor();
  });
});
