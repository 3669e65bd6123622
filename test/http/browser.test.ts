import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser, openWindow } from '../browser.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { serve } from '../serve.ts';

const test = useTestGateway();
const integration = { name: 'crm' };

// A page of the organization's, on an origin of its own, speaks to the gateway for the end user who looks at it.
describe.skipIf(!hasBrowser)('a browser', () => {
  const page = (_request: unknown, response: { end: (text: string) => void }) => response.end('<!doctype html><title>App</title>');
  let [app, stranger, gateway]: Awaited<ReturnType<typeof serve>>[] = [];
  let browser: Browser;
  let token: string;
  let key: string;

  beforeAll(async () => {
    [app, stranger] = [await serve(page), await serve(page)];
    await test.close();
    test.corsOrigins = [app.origin];
    await test.open();
    gateway = await serve(test.gateway.requestListener);
    browser = await launchBrowser();

    const caller: Caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    const endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
    await test.create(caller, 'EndUser', { integration, externalId: 'bob' });
    token = await test.makeEndUserToken(caller, endUser);
    ({ key } = await test.makeAPIKey(caller, { scopes: ['endUsers.get'] }));
  });
  afterAll(async () => {
    await browser?.close();
    for (const server of [app, stranger, gateway]) await server?.stop();
  });

  async function open(origin: string): Promise<Page> {
    const { page } = await openWindow(browser);
    await page.goto(origin);
    return page;
  }
  /** What a script of the page gets, or the name of the error. */
  function ask(page: Page, authorization: string, query: string, variables: object = {}): Promise<Json> {
    return page.evaluate(
      async ([url, authorization, body]) => {
        const headers = { 'content-type': 'application/json', authorization: authorization! };
        const response = await fetch(url!, { method: 'POST', headers, body: body! }).catch((error: Error) => error);
        return response instanceof Error ? response.name : response.json();
      },
      [`${gateway!.origin}/graphql`, authorization, JSON.stringify({ query, variables })],
    );
  }
  const LIST =
    '{ endUsers { nodes { externalId } } credentials { nodes { ... on BasicAuthCredential { username password { redacted } } } } }';

  it('with an end user’s token makes and shows what is this end user’s, from a listed origin', async () => {
    const page = await open(app!.origin);
    const made = await ask(
      page,
      `Bearer ${token}`,
      'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }',
      { input: { integration, name: 'login', data: { basicAuth: { username: 'ada', password: 'pw-of-ada' } } } },
    );
    expect(made.data).toEqual({ createCredential: { __typename: 'CreateCredentialSuccess' } });
    expect((await ask(page, `Bearer ${token}`, LIST)).data).toEqual({
      endUsers: { nodes: [{ externalId: 'ada' }] },
      credentials: { nodes: [{ username: 'ada', password: { redacted: '*****' } }] },
    });
  });

  it('lists what happens, and updates itself when a credential runs out', async () => {
    const page = await open(app!.origin);
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const input = { integration, name: 'runs out', expiresAt, data: { string: { value: 'x' } } };
    const mutation = 'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }';
    await ask(page, `Bearer ${token}`, mutation, { input });
    await page.evaluate(
      async ([url, authorization, body]) => {
        const headers = { 'content-type': 'application/json', accept: 'text/event-stream', authorization: authorization! };
        const { body: stream } = await fetch(url!, { method: 'POST', headers: { ...headers, 'last-event-id': '' }, body: body! });
        const reader = stream!.pipeThrough(new TextDecoderStream()).getReader();
        let text = (await reader.read()).value ?? '';
        (async () => {
          for (;;) {
            const messages = text.split('\n\n');
            text = messages.pop()!;
            for (const message of messages) {
              const data = /^data: (.+)$/m.exec(message)?.[1];
              if (!data) continue;
              const { type, reason } = JSON.parse(data).data.events;
              document.body.append(Object.assign(document.createElement('p'), { textContent: `${type} ${reason}` }));
            }
            const { value, done } = await reader.read();
            if (done) return;
            text += value;
          }
        })();
      },
      [
        `${gateway!.origin}/graphql`,
        `Bearer ${token}`,
        JSON.stringify({ query: 'subscription { events(types: [DELETED]) { type reason } }' }),
      ],
    );
    const start = test.time;
    test.time = () => new Date(Date.now() + 3_601_000);
    await test.gateway.sweep();
    test.time = start;
    await test.gateway.events.run();
    await page.waitForSelector('text=DELETED EXPIRED');
  });

  it('on any other origin gets nothing, though it has the token', async () => {
    expect(await ask(await open(stranger!.origin), `Bearer ${token}`, LIST)).toBe('TypeError');
  });

  it('is refused an API key over Basic', async () => {
    const authorization = `Basic ${Buffer.from(`:${key}`).toString('base64')}`;
    const { errors } = await ask(await open(app!.origin), authorization, '{ endUsers { totalCount } }');
    expect(errors[0].extensions.code).toBe('UNAUTHENTICATED');
    expect(errors[0].message).toContain('Basic authentication is not accepted from browsers');
  });
});
