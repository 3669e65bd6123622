import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';

/** Debian's Chromium, unless CHROMIUM names another. */
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Whether tests in a browser can run. In CI they must: there they fail where no browser is. */
export const hasBrowser = existsSync(executablePath) || Boolean(process.env.CI);
if (!hasBrowser) console.warn(`Tests in a browser are skipped: there is no ${executablePath}. Install Chromium, or set CHROMIUM.`);

/** A browser with a profile of its own, that finds no host but this machine, unless other rules are given, and more of its arguments. */
export function launchBrowser(hostRules = 'MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', ...more: readonly string[]): Promise<Browser> {
  return chromium.launch({
    executablePath,
    // As in the browsers of people, a page that was left stays as it is for the Back button.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${hostRules}`,
      ...more,
    ],
  });
}

/** What a page did that its user does not see. */
export interface Observed {
  /** The addresses it asked for, over the network. */
  readonly requests: string[];
  /** What the console says is wrong, and exceptions, and breaches of the content security policy. */
  readonly complaints: string[];
}

/** A new window, in a context of its own, and what it does from the beginning. It is closed after the test: an open page goes on working. */
export async function openWindow(browser: Browser, viewport = { width: 1280, height: 800 }): Promise<{ page: Page; observed: Observed }> {
  const observed: Observed = { requests: [], complaints: [] };
  const context = await browser.newContext({ viewport });
  onTestFinished(() => context.close());
  context.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url())) observed.requests.push(request.url());
  });
  context.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') observed.complaints.push(message.text());
  });
  context.on('weberror', (error) => observed.complaints.push(String(error.error())));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return { page: await context.newPage(), observed };
}
