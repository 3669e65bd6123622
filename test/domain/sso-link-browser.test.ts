import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser, openWindow } from '../browser.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { serve } from '../serve.ts';
import { type Account, link, openAccount } from './sso-account.ts';
import { startZendesk } from './zendesk.ts';

const test = useTestGateway();

/** The recipe as the README gives it to front ends. */
const recipe = /```js\n(function signIn[\s\S]+?)```/.exec(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'))?.[1] ?? '';

it('the README has the recipe, in twelve lines', () => {
  expect(recipe.trim().split('\n')).toHaveLength(12);
});

// What is posted goes to https://acme.zendesk.com, as it would; only the browser’s name resolution and its view of certificates are ours.
describe.skipIf(!hasBrowser)('a browser', () => {
  let account: Account;
  let zendesk: Awaited<ReturnType<typeof startZendesk>>;
  let app: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;

  beforeAll(async () => {
    account = await openAccount(test);
    zendesk = await startZendesk('acme.zendesk.com', account.sharedSecret);
    app = await serve((_request, response) => {
      response.setHeader('content-type', 'text/html; charset=utf-8').end(`<!doctype html><title>App</title><script>${recipe}</script>`);
    });
    const rules = `MAP *.zendesk.com 127.0.0.1:${zendesk.port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
    browser = await launchBrowser(rules, '--ignore-certificate-errors');
  });
  afterAll(async () => {
    await browser?.close();
    await app?.stop();
    await zendesk?.stop();
  });

  /** A new window that has opened the app and posts the link from it; gives what it then shows. */
  async function post(made: Json): Promise<{ url: string; text: string; again: () => Promise<string> }> {
    const { page } = await openWindow(browser);
    await page.goto(app.origin);
    await Promise.all([
      page.waitForURL('https://acme.zendesk.com/**'),
      page.evaluate((ssoLink) => (globalThis as unknown as { signIn: (given: unknown) => void }).signIn(ssoLink), made),
    ]);
    const text = () => page.locator('p').innerText();
    return {
      url: page.url(),
      text: await text(),
      async again() {
        await page.goto('https://acme.zendesk.com/hc/requests');
        return text();
      },
    };
  }

  it('H7, H21: posts the form and ends signed in, as whom the contact is', async () => {
    const window = await post(await link(test, account.caller, {}, 'form { action method fields { name value } }'));
    expect(window).toMatchObject({ url: 'https://acme.zendesk.com/hc', text: 'Signed in as The BILLING one <billing@example.com>' });
    expect(zendesk.requests).toContain('POST acme.zendesk.com/access/jwt application/x-www-form-urlencoded');
    // Not by what was posted alone: by the cookie that it was answered with.
    expect(await window.again()).toBe('Signed in as The BILLING one <billing@example.com>');
  });

  it('H7: and returns where it was asked to', async () => {
    const window = await post(await link(test, account.caller, { returnTo: '/hc/requests?page=2&q=a%20b' }));
    expect(window.url).toBe('https://acme.zendesk.com/hc/requests?page=2&q=a%20b');
    expect(window.text).toContain('billing@example.com');
  });

  it('H14, H21: the same form, posted a second time, signs nobody in', async () => {
    const made = await link(test, account.caller);
    expect((await post(made)).text).toContain('Signed in as');
    const second = await post(made);
    expect(second).toMatchObject({ url: expect.stringContaining('/access/unauthenticated'), text: 'Refused: jti' });
    expect(await second.again()).toBe('Not signed in');
  });

  it('H14, H21: a form that is too old signs nobody in', async () => {
    const { time } = test;
    test.time = () => new Date(Date.now() - 181_000);
    const made = await link(test, account.caller).finally(() => {
      test.time = time;
    });
    expect((await post(made)).text).toBe('Refused: iat');
  });

  it('H7: the older address signs in, too, once', async () => {
    const { url } = await link(test, account.caller, {}, 'url');
    for (const text of ['Signed in as The BILLING one <billing@example.com>', 'Refused: jti']) {
      const { page } = await openWindow(browser);
      await page.goto(url);
      expect(await page.locator('p').innerText()).toBe(text);
    }
  });

  it('H21: a request of a script signs nobody in, which is why there is a form', async () => {
    const { form } = await link(test, account.caller);
    const { page } = await openWindow(browser);
    await page.goto(app.origin);
    const answered = await page.evaluate(async ({ action, fields }: Json) => {
      const body = new URLSearchParams(fields.map(({ name, value }: Json) => [name, value]));
      return fetch(action, { method: 'POST', body }).then(
        () => 'answered',
        () => 'failed',
      );
    }, form);
    expect(answered).toBe('failed');
    await page.goto('https://acme.zendesk.com/hc');
    expect(await page.locator('p').innerText()).toBe('Not signed in');
  });
});
