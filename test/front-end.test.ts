import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { defineCredentialKind } from '../src/credential-kinds/define.ts';
import { builtInKinds } from '../src/credential-kinds/index.ts';
import { flag, instant, integer, secret } from '../src/fields/field.ts';
import { hasBrowser, launchBrowser, type Observed, openWindow } from './browser.ts';
import { newTlsPair } from './cli/tls-pair.ts';
import { exampleData } from './credential-kinds/examples.ts';
import { labelOf } from './front-end/src/labels.ts';
import { type Json, TestGateway } from './harness.ts';
import { newCanary, run } from './operations.ts';
import { serve } from './serve.ts';
import { placesOf, type Traffic, watch } from './traces.ts';

const root = fileURLToPath(new URL('front-end', import.meta.url));
const vite = fileURLToPath(new URL('../node_modules/.bin/vite', import.meta.url));
const integration = { name: 'crm' };
const endUser = { inIntegration: { integration, externalId: 'maple' } };

/** A kind that the page was not built for, with the types of fields that no built-in kind requires. */
const badge = defineCredentialKind({
  kind: 'acmeBadge',
  typeName: 'AcmeBadgeCredential',
  description: 'A badge for the doors of Acme.',
  fields: {
    floor: integer({ description: 'The highest floor.', min: 0, max: 9, example: 3, invalidExample: 10 }),
    isGuest: flag({ description: 'Whether it is for a guest.', example: false, invalidExample: 'no' }),
    validFrom: instant({ description: 'When it begins to be valid.', example: '2030-01-01T00:00:00.000Z', invalidExample: 'soon' }),
    pin: secret({ description: 'What is typed beside it.', format: 'token', maxLength: 100, example: '1234', invalidExample: '' }),
  },
});
const kinds = [...builtInKinds, badge];
const kindNamed = (name: string) => kinds.find(({ kind }) => kind === name)!;

// The settings page that a customer of ours could write, as its own scripts build and serve it: from another origin, against a gateway.
describe.skipIf(!hasBrowser)('the page of a customer', () => {
  const test = new TestGateway();
  const caller = { organization: test.newOrganization() };
  const outDir = mkdtempSync(join(tmpdir(), 'front-end-'));
  const requests: IncomingMessage[] = [];
  let [gateway, service]: Awaited<ReturnType<typeof serve>>[] = [];
  let origin: string;
  let backEnd: ChildProcess;
  let browser: Browser;

  beforeAll(async () => {
    gateway = await serve((request, response) => {
      requests.push(request);
      test.gateway.requestListener(request, response);
    });
    service = await serve(({ url }, response) => response.writeHead(url?.includes('refused') ? 401 : 200).end('{}'));
    const port = await freePort();
    origin = `http://127.0.0.1:${port}`;
    test.corsOrigins = [origin];
    test.credentialKinds = kinds;
    await test.start();
    await test.create(caller, 'Integration', integration);
    await test.create(caller, 'EndUser', { integration, externalId: 'maple', displayName: 'Maple Street Books' });
    const { key } = await test.makeAPIKey(caller, { scopes: ['endUserTokens.post'], integration });

    const env = {
      ...process.env,
      NODE_ENV: undefined,
      VITE_GATEWAY_URL: gateway.origin,
      API_KEY: key,
      INTEGRATION: 'crm',
      END_USER: 'maple',
    };
    await promisify(execFile)('npm', ['run', '--silent', 'build', '--', '--outDir', outDir, '--emptyOutDir'], { cwd: root, env });
    backEnd = spawn(vite, ['preview', '--outDir', outDir, '--host', '127.0.0.1', '--port', String(port), '--strictPort'], {
      cwd: root,
      env,
    });
    // Otherwise, a heap snapshot has only the beginning of a long string.
    browser = await launchBrowser(undefined, '--js-flags=--heap-snapshot-string-limit=1000000');
    await vi.waitFor(() => fetch(origin), { timeout: 60_000, interval: 50 });
  });
  afterAll(async () => {
    await browser?.close();
    backEnd?.kill();
    for (const server of [gateway, service]) await server?.stop();
    await test.stop();
    rmSync(outDir, { recursive: true });
  });

  /** A connection of the end user, to a service on this machine. */
  async function connect(name: string, credentials: object[] = [], more: object = {}): Promise<string> {
    const check = { method: 'GET', path: '/me' };
    const baseUrl = `http://localhost:${service!.port}/api`;
    const connector = await test.create(caller, 'Connector', { integration, name, baseUrl, check, ...more });
    const actionCredentials = credentials.map((credential) => ({ credential }));
    const input = { integration, endUser, connector: { id: connector.id }, name, actionCredentials };
    return (await test.create(caller, 'Connection', input)).id;
  }
  const usable = { allowedDomains: ['localhost'], allowedPurposes: ['ACTION'] };
  const login = (name: string, password = 'correct horse battery staple') => ({
    create: { name, ...usable, data: { basicAuth: { username: 'maple.books', password } } },
  });

  async function open(prepare?: (page: Page) => Promise<unknown>): Promise<{ page: Page; observed: Observed; traffic: Traffic }> {
    const { page, observed } = await openWindow(browser, { width: 820, height: 1000 });
    page.setDefaultTimeout(60_000);
    const traffic = watch(page.context());
    await prepare?.(page);
    await page.goto(origin);
    return { page, observed, traffic };
  }
  const connection = (page: Page, name: string) => page.getByRole('region', { name, exact: true });
  async function credentialsOf(connectionId: string, fields = ''): Promise<Json[]> {
    const query = `query ($id: ID!) {
      connection(by: { id: $id }) { actionCredentials { credential { ... on CredentialBase { id name version } ${fields} } } }
    }`;
    const { connection } = await test.query(caller, query, { id: connectionId });
    return connection.actionCredentials.map(({ credential }: Json) => credential);
  }
  const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 60_000 });
  const hasFocus = (element: Locator) => element.evaluate((element) => element === document.activeElement);

  it('lists the connections of its user, with what is wrong, by requests that any page may send', async () => {
    await test.create(caller, 'Connection', { integration, name: 'of nobody' });
    const parcels = await connect('Parcels', [login('Login of Maple')]);
    const key = { name: 'Key of Maple', ...usable, data: { apiKey: { headerName: 'X-API-Key', apiKey: 'outdated' } } };
    const accounting = await connect('Accounting', [{ create: key }], { check: { method: 'GET', path: '/refused' } });
    await connect('Newsletter', [], { authSchemes: [{ schemeId: 'login', schemeType: 'BASIC_AUTH' }] });
    for (const id of [parcels, accounting]) await run(test, caller, 'checkConnection', { connection: { id } });
    requests.length = 0;
    const { page, observed } = await open();
    await page.context().addCookies([{ name: 'session', value: 'of the page', url: origin }]);
    await page.reload();
    await eventually(() => page.getByRole('region').count()).toBe(3);

    const told = async (name: string) => ({
      state: await connection(page, name).locator('.state').first().textContent(),
      problems: await connection(page, name).getByRole('list', { name: 'Problems' }).first().getByRole('listitem').allTextContents(),
    });
    expect(await told('Parcels')).toEqual({ state: 'Working', problems: [] });
    const refused = 'The service refuses the credential. Replace what has changed.';
    expect(await told('Accounting')).toEqual({ state: 'Needs attention', problems: [refused] });
    expect(await told('Newsletter')).toEqual({ state: 'Not used yet', problems: ['There is no credential yet. Add one.'] });
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Connected services');
    expect(await page.locator('header').textContent()).toContain('Maple Street Books');

    if (process.env.UPDATE_PICTURE) {
      await page.getByRole('button', { name: 'Add a credential to Newsletter' }).click();
      await page.getByLabel('Kind').selectOption('basicAuth');
      await page.getByLabel('Name', { exact: true }).fill('Login of Maple to the newsletter');
      await page.getByLabel('Username').fill('maple:books');
      await type(page.getByLabel('Password', { exact: true }), 'correct horse battery staple');
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByRole('alert').waitFor();
      await page.screenshot({ path: join(root, 'settings-page.png'), fullPage: true });
    }

    const fromPages = requests.filter(({ headers }) => headers.origin);
    expect(new Set(fromPages.map(({ method }) => method))).toEqual(new Set(['OPTIONS', 'POST']));
    expect(fromPages.filter(({ headers }) => headers.origin !== origin || headers.cookie)).toEqual([]);
    expect(new Set(observed.requests.map((address) => new URL(address).origin))).toEqual(new Set([origin, gateway!.origin]));
    expect(observed.complaints).toEqual([]);
  });

  it('adds a credential of every kind by a form drawn from what the gateway tells about it, and no secret stays anywhere', async () => {
    // A connection takes 20 credentials.
    const ids = [await connect('First half'), await connect('Second half')];
    const { page, observed, traffic } = await open();
    const { credentialKinds } = await test.query(
      caller,
      '{ credentialKinds { name refusal generates fields { name type isSecret isRequired values { name } } } }',
    );
    const controls = new Set<string>();
    const written: Record<string, Json> = {};
    for (const [index, kind] of credentialKinds.entries()) {
      const place = connection(page, index % 2 ? 'Second half' : 'First half');
      await place.getByRole('button', { name: /^Add a credential/ }).click();
      const form = place.getByRole('form');
      await form.getByLabel('Kind').selectOption(kind.name);
      await form.getByLabel('Name', { exact: true }).fill(`of kind ${kind.name}`);
      const data = newData(kind.name);
      written[kind.name] = data;
      // Settings first: the format of a secret can depend on one.
      for (const field of kind.fields.toSorted((a: Json, b: Json) => a.isSecret - b.isSecret)) {
        const input = form.getByLabel(`${labelOf(field.name)}${field.isRequired ? '' : ' (optional)'}`, { exact: true });
        controls.add(await input.evaluate((element) => element.getAttribute('type') ?? element.tagName));
        // What `fill` writes passes through a script of the page’s; keys do not.
        if (field.isSecret) await type(input, data[field.name]);
        else await enter(input, field, data[field.name]);
      }
      const add = form.getByRole('button', { name: 'Add' });
      if (kind.refusal) {
        expect(await add.isDisabled()).toBe(true);
        expect(await form.textContent()).toContain(kind.refusal);
        await form.getByRole('button', { name: 'Cancel' }).click();
      } else {
        await add.click();
      }
      await eventually(async () =>
        (await form.count()) > 0 ? [kind.name, ...(await form.locator('.error').allTextContents())] : 'closed',
      ).toBe('closed');
    }
    expect(controls).toEqual(new Set(['INPUT', 'password', 'TEXTAREA', 'SELECT', 'number', 'datetime-local']));

    // What is stored is what was typed, to the last character.
    const stored = Object.fromEntries(
      (await Promise.all(ids.map((id) => credentialsOf(id, '... on CredentialBase { fields { name value secret { isSet } } }'))))
        .flat()
        .map((credential: Json) => [credential.name, credential]),
    );
    for (const kind of credentialKinds.filter(({ refusal }: Json) => !refusal)) {
      const credential = stored[`of kind ${kind.name}`];
      for (const { name, value, secret } of credential.fields) {
        const reveal = { credential: credential.id, field: name, reason: 'the test compares' };
        const kept = secret ? (await run(test, caller, 'revealSecret', reveal, 'plaintext')).secret.plaintext : value;
        expect([kind.name, name, kept]).toEqual([kind.name, name, written[kind.name][name]]);
      }
    }
    const typed = credentialKinds.flatMap((kind: Json) =>
      kind.fields.filter(({ isSecret }: Json) => isSecret).map(({ name }: Json) => written[kind.name][name]),
    );
    expect(typed.length).toBeGreaterThan(30);
    expect(stored['of kind acmeBadge'].fields).toHaveLength(4);

    expect(await placesOf(typed, page, traffic)).toEqual({});
    expect(observed.complaints).toEqual([]);
  });

  it('shows what is wrong at its field, keeps what was typed, and goes there', async () => {
    const id = await connect('Errors');
    const { page, observed } = await open();
    const place = connection(page, 'Errors');
    await place.getByRole('button', { name: 'Add a credential to Errors' }).click();
    const form = place.getByRole('form', { name: 'Add a credential to Errors' });
    const field = (label: string) => form.getByLabel(label, { exact: true });
    await field('Kind').selectOption('oauth2Token');
    await field('Name').fill('tokens');
    await field('Scopes').fill('read\nwrite "all"');
    await type(field('Access token'), 'two words');
    await field('Token type (optional)').fill('Bearer');
    await form.getByRole('button', { name: 'Add' }).click();

    await eventually(() => form.getByRole('alert').textContent()).toBe('Some values were not accepted.');
    const told = async (label: string) => {
      const ids = (await field(label).getAttribute('aria-describedby'))!.split(' ');
      const [error, description] = await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).textContent()));
      return { isInvalid: await field(label).getAttribute('aria-invalid'), error, description };
    };
    const { description } = kindNamed('oauth2Token').fields.scopes!;
    expect(await told('Scopes')).toEqual({ isInvalid: 'true', error: expect.stringContaining('must be'), description });
    expect(await told('Access token')).toMatchObject({ isInvalid: 'true', error: expect.stringContaining('must be') });
    expect(await told('Token type (optional)')).toMatchObject({ isInvalid: null, error: '' });
    expect(await hasFocus(field('Scopes'))).toBe(true);

    await field('Scopes').fill('read\n\n write ');
    await field('Access token').fill('one-word');
    await form.getByRole('button', { name: 'Add' }).click();
    await form.waitFor({ state: 'detached' });
    expect(await page.getByRole('status').textContent()).toBe('The credential was added.');
    const fields = '... on CredentialBase { allowedDomains allowedPurposes } ... on OAuth2TokenCredential { scopes }';
    expect(await credentialsOf(id, fields)).toMatchObject([{ name: 'tokens', ...usable, scopes: ['read', 'write'] }]);
    expect(observed.complaints).toEqual([]);
  });

  it('draws an input for several lines where the value of another field asks for it, and lets the gateway generate a key', async () => {
    const id = await connect('Formats');
    const { page } = await open();
    const place = connection(page, 'Formats');
    await place.getByRole('button', { name: 'Add a credential to Formats' }).click();
    const form = place.getByRole('form');
    const tag = (label: string) => form.getByLabel(label, { exact: true }).evaluate((element) => element.tagName);
    await form.getByLabel('Kind').selectOption('http');
    for (const [method, expected] of [
      ['HEADER', 'INPUT'],
      ['CLIENT_CERTIFICATE', 'TEXTAREA'],
    ] as const) {
      await form.getByLabel('Auth method').selectOption(method);
      expect([method, await tag('Secret value'), await tag('Public value (optional)')]).toEqual([method, expected, expected]);
    }
    await form.getByLabel('Kind').selectOption('git');
    await form.getByLabel('Name', { exact: true }).fill('deploy key');
    await form.getByLabel('Type', { exact: true }).selectOption('SSH_KEY');
    await form.getByLabel('Clone URL').fill('git@git.example.com:team/app.git');
    expect(await form.getByLabel(/^Secret value/).count()).toBe(1);
    await form.getByRole('checkbox').check();
    expect(await form.getByLabel(/^Secret value/).count()).toBe(0);
    await form.getByRole('button', { name: 'Add' }).click();
    await form.waitFor({ state: 'detached' });
    expect(await credentialsOf(id, '... on GitCredential { publicKey secretValue { isSet } }')).toMatchObject([
      { publicKey: expect.stringContaining('ssh-'), secretValue: { isSet: true } },
    ]);
  });

  it('replaces one secret of what was read, and not of what somebody has changed since', async () => {
    const [first, second] = [`${newCanary()} "1"`, `${newCanary()} "2"`];
    const id = await connect('Replacing', [login('Login to replace', 'first password')]);
    const { page, observed, traffic } = await open();
    const place = connection(page, 'Replacing');
    const [{ id: credential, version }] = (await credentialsOf(id)) as [Json];
    const reveal = { credential, field: 'password', reason: 'the test compares' };
    const password = async () => (await run(test, caller, 'revealSecret', reveal, 'plaintext')).secret.plaintext;
    const button = place.getByRole('button', { name: 'Replace Password of Login to replace' });
    const form = place.getByRole('form', { name: 'Replace Password of Login to replace' });

    await button.click();
    await type(form.getByLabel('Password'), first);
    expect(await placesOf([first], page, traffic)).toHaveProperty('inputs', [first]);
    await form.getByRole('button', { name: 'Replace' }).click();
    await form.waitFor({ state: 'detached' });
    expect(await page.getByRole('status').textContent()).toBe('Password was replaced.');
    expect(await hasFocus(button)).toBe(true);
    expect(await password()).toBe(first);
    expect(await credentialsOf(id, '... on BasicAuthCredential { username }')).toMatchObject([
      { version: version + 1, username: 'maple.books' },
    ]);

    await button.click();
    await run(test, caller, 'updateCredential', { credential, data: { basicAuth: { username: 'oak.books' } } });
    await type(form.getByLabel('Password'), second);
    await form.getByRole('button', { name: 'Replace' }).click();
    await eventually(() => form.getByRole('alert').textContent()).toContain('Somebody has changed this');
    expect(await password()).toBe(first);
    await eventually(() => place.getByRole('article').textContent()).toContain('oak.books');
    await form.getByRole('button', { name: 'Replace' }).click();
    await form.waitFor({ state: 'detached' });
    expect(await password()).toBe(second);
    expect(await placesOf([first, second], page, traffic)).toEqual({});
    expect(observed.complaints).toEqual([]);
  });

  it('deletes a credential after it has said what uses it, or not', async () => {
    const id = await connect('Deleting', [login('Login to delete')]);
    const [{ id: credential }] = (await credentialsOf(id)) as [Json];
    const actionCredentials = [{ credential: { id: credential } }];
    await test.create(caller, 'Connection', { integration, endUser, name: 'Deleting, too', actionCredentials });
    const { page, observed } = await open();
    const place = connection(page, 'Deleting');
    const form = place.getByRole('form', { name: 'Delete Login to delete' });
    for (const decision of ['Keep', 'Delete anyway']) {
      await place.getByRole('button', { name: 'Delete Login to delete' }).click();
      await form.getByRole('button', { name: 'Delete' }).click();
      const usages = form.getByRole('alert').getByRole('listitem');
      await eventually(async () => (await usages.allTextContents()).sort()).toEqual(['Connection Deleting', 'Connection Deleting, too']);
      expect(await credentialsOf(id)).toHaveLength(1);
      await form.getByRole('button', { name: decision }).click();
      await form.waitFor({ state: 'detached' });
    }
    expect(await page.getByRole('status').textContent()).toBe('Login to delete was deleted.');
    expect(await credentialsOf(id)).toEqual([]);
    expect(observed.complaints).toEqual([]);
  });

  it('gets a new token before the old one ends, and once more if that is refused, and survives a failure', async () => {
    await connect('Renewing', [login('Login to keep')]);
    const { page, traffic } = await open((page) => page.clock.install());
    const place = connection(page, 'Renewing');
    const form = place.getByRole('form', { name: 'Delete Login to keep' });
    const askAgain = async () => {
      await place.getByRole('button', { name: 'Delete Login to keep' }).click();
      await form.getByRole('button', { name: 'Delete' }).click();
      await eventually(() => form.getByRole('alert').textContent()).toContain('It is used here');
      await form.getByRole('button', { name: 'Keep' }).click();
    };
    const tokens = () => traffic.addresses.filter((address) => address.endsWith('/api/token')).length;
    await askAgain();
    expect(tokens()).toBe(1);
    await page.clock.fastForward(8.5 * 60_000);
    await askAgain();
    expect(tokens()).toBe(1);
    await page.clock.fastForward(60_000);
    await askAgain();
    expect(tokens()).toBe(2);
    test.time = () => new Date(Date.now() + 601_000);
    await askAgain();
    expect(tokens()).toBe(3);
    test.time = () => new Date();

    await page.context().setOffline(true);
    await place.getByRole('button', { name: 'Delete Login to keep' }).click();
    await form.getByRole('button', { name: 'Delete' }).click();
    await eventually(() => form.getByRole('alert').textContent()).toBe('The gateway cannot be reached. Try again later.');
    await page.context().setOffline(false);
    await form.getByRole('button', { name: 'Delete' }).click();
    await eventually(() => form.getByRole('alert').textContent()).toContain('It is used here');
  });

  it('keeps neither secrets nor a token in the page that the Back button brings back', async () => {
    await connect('Leaving', [login('Login to leave')]);
    const { page, observed, traffic } = await open();
    const password = connection(page, 'Leaving').getByLabel('Password', { exact: true });
    const typeSecret = async () => {
      await page.getByRole('button', { name: 'Replace Password of Login to leave' }).click();
      await type(password, canary);
    };
    const canary = newCanary();
    const token = async () => JSON.parse((await Promise.all(traffic.answers)).find((answer) => answer.startsWith('{"token"'))!).token;

    await typeSecret();
    const [input, held] = [await password.elementHandle(), await token()];
    expect(await placesOf([held], page, traffic)).toEqual({ answers: [held], memory: [held] });
    await page.evaluate(() => void dispatchEvent(new PageTransitionEvent('pagehide')));
    expect(await input!.inputValue()).toBe('');
    await input!.dispose();
    expect(await placesOf([canary, held], page, traffic)).toEqual({ answers: [held] });

    await page.addInitScript(() => {
      addEventListener('pageshow', ({ persisted }) => {
        if (persisted) sessionStorage.setItem('brought back', document.body.innerText);
      });
    });
    await page.goto(origin);
    await typeSecret();
    await page.goto('about:blank');
    await page.goBack({ waitUntil: 'commit' });
    await connection(page, 'Leaving').waitFor();
    // Chromium has kept the page, and all of it was loaded again.
    expect(await page.evaluate(() => sessionStorage.getItem('brought back'))).toBe('');
    expect(await password.count()).toBe(0);
    expect(traffic.addresses.filter((address) => address.endsWith('/api/token'))).toHaveLength(3);
    expect(observed.complaints).toEqual([]);
  });

  it('shows a date and a kind that it does not understand, and everything but a connection that it cannot draw', async () => {
    for (const name of ['Strange', 'Broken']) await connect(name, [login(`Login of ${name}`)]);
    const { page } = await open((page) =>
      page.route(`${gateway!.origin}/graphql`, async (route) => {
        const response = await route.fetch();
        const body = await response.json();
        for (const connection of body.data.connections?.nodes ?? []) {
          const { credential } = connection.actionCredentials[0] ?? {};
          if (connection.name === 'Strange')
            Object.assign(credential, { kind: '', facts: [{ name: 'since', type: 'DATE_TIME', value: 'long ago' }] });
          if (connection.name === 'Broken') credential.fields = null;
        }
        await route.fulfill({ response, json: body });
      }),
    );
    await connection(page, 'Strange').waitFor();
    expect(await connection(page, 'Strange').getByRole('article').textContent()).toContain('long ago');
    expect(await page.getByRole('alert').allTextContents()).toEqual(['“Broken” cannot be shown.']);
  });

  it('has a back end that gives tokens to nobody but the page', async () => {
    const answerTo = async (path: string, method: string, site?: string) => {
      const headers = { origin: 'http://localhost:9999', ...(site && { 'sec-fetch-site': site }) };
      const answer = await fetch(`${origin}${path}`, { method, headers });
      return [answer.status, (await answer.text()).includes('"token"'), answer.headers.get('access-control-allow-origin')];
    };
    expect(await answerTo('/api/token', 'POST', 'same-origin')).toEqual([200, true, null]);
    for (const site of ['same-site', 'cross-site', 'none', undefined])
      expect([site, ...(await answerTo('/api/token', 'POST', site))]).toEqual([site, 403, false, null]);
    for (const method of ['GET', 'PUT', 'OPTIONS'])
      expect([method, ...(await answerTo('/api/token', method, 'same-origin'))]).toEqual([method, 403, false, null]);
    expect(await answerTo('/api/token/anything', 'POST', 'same-origin')).toEqual([404, false, null]);
  });

  it('would be found out if a secret stayed somewhere', async () => {
    const canary = newCanary();
    const { page, traffic } = await open();
    await page.evaluate(async (canary) => {
      document.querySelector('h1')!.title = canary;
      document.body.append(Object.assign(document.createElement('input'), { value: canary }));
      localStorage.setItem('planted', canary);
      sessionStorage.setItem('planted', canary);
      await cookieStore.set('planted', canary);
      history.replaceState({ planted: canary }, '', `#${canary}`);
      console.log(canary);
      await (await caches.open('planted')).put('/planted', new Response(canary));
      await fetch(`/index.html?${canary}`);
      Object.assign(window, { planted: `${'.'.repeat(5000)}${canary}` });
      const opening = indexedDB.open('planted');
      opening.onupgradeneeded = () => opening.result.createObjectStore('planted').put(canary, 'planted');
      await new Promise((resolve) => {
        opening.onsuccess = resolve;
      });
      opening.result.close();
    }, canary);
    await page.route('**/planted.json', (route) => route.fulfill({ body: canary }));
    await page.evaluate(() => fetch('/planted.json').then((response) => response.text()));
    const places = [
      'addresses',
      'answers',
      'cacheStorage',
      'console',
      'cookies',
      'history',
      'indexedDB',
      'inputs',
      'localStorage',
      'memory',
    ];
    expect(Object.keys(await placesOf([canary], page, traffic)).sort()).toEqual([...places, 'page', 'sessionStorage']);
  });
});

/** Data of a kind, whose secrets nobody knows: those of the examples come with the kinds themselves. */
function newData(kind: string): Json {
  const data: Json = exampleData(kindNamed(kind));
  const { fields } = kindNamed(kind);
  const pair = 'certificate' in fields ? newTlsPair('api.example.com') : undefined;
  if (pair) data.certificate = pair.cert;
  for (const [name, field] of Object.entries(fields)) {
    if (!field.secret) continue;
    const canary = newCanary();
    const { format } = field as { format?: string };
    if (kind === 'snowflake')
      data[name] = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    else if (pair) data[name] = pair.key;
    else if (format === 'json') data[name] = JSON.stringify({ ...JSON.parse(data[name]), canary });
    else if (format === 'base64') data[name] = Buffer.from(`${canary} of 36 bytes or more`).toString('base64');
    else if (format === 'mongodbUri') data[name] = data[name].replace('s3cret', canary);
    else data[name] += canary;
  }
  return data;
}

/** Types a text as a keyboard does. */
async function type(input: Locator, text: string): Promise<void> {
  await input.focus();
  await input.page().keyboard.insertText(text);
}

/** Enters a value as a person does. */
async function enter(input: Locator, { type, values }: Json, value: Json): Promise<void> {
  if (values || type === 'BOOLEAN') await input.selectOption(String(value));
  else if (type === 'STRING_LIST') await input.fill(value.join('\n'));
  else if (type === 'DATE_TIME') await input.fill(localTime(new Date(value)));
  else await input.fill(String(value));
}

/** A time as an input for local times takes it. */
function localTime(time: Date): string {
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

async function freePort(): Promise<number> {
  const { port, stop } = await serve(() => {});
  await stop();
  return port;
}
