import { beforeAll, describe, expect, it } from 'vitest';
import { useTestGateway } from '../harness.ts';
import { type Account, ask, link, openAccount } from './sso-account.ts';

const test = useTestGateway();
let account: Account;
beforeAll(async () => {
  account = await openAccount(test);
});

describe('H7: a link returns to the account’s own pages', () => {
  it.each([
    '/',
    '/hc',
    '/hc/en-us/requests/42?page=2&query=a%20b+c#comment_1',
    '/hc/sv/articles/123-%C3%A4pple',
    '/hc/en-us/search?query=1/2:3@4',
    'https://acme.zendesk.com',
    'https://acme.zendesk.com/',
    'HTTPS://ACME.zendesk.com/agent/tickets/1',
    'https://acme.zendesk.com/agent/#/tickets/1',
    'https://acme.zendesk.com?a=b',
    `/${'a'.repeat(2_047)}`,
  ])('%s', async (returnTo) => {
    const { form } = await link(test, account.caller, { returnTo });
    expect(form.fields).toEqual([
      { name: 'jwt', value: expect.any(String) },
      { name: 'return_to', value: returnTo },
    ]);
  });
});

/** Every way round that is known to have worked somewhere. */
const tricks: Readonly<Record<string, readonly string[]>> = {
  'another host': [
    'https://evil.example/',
    'https://acme.zendesk.com.evil.example/',
    'https://acme.zendesk.comevil.example/',
    'https://evil-acme.zendesk.com/',
    'https://other.zendesk.com/',
    'https://sub.acme.zendesk.com/',
    'https://zendesk.com/',
    'https://acme.zendesk.com./',
    'https://evil.example/https://acme.zendesk.com/',
    'https://evil.example?https://acme.zendesk.com/',
    'https://evil.example#https://acme.zendesk.com/',
  ],
  'a host in disguise': [
    'https://acme。zendesk。com/',
    'https://аcme.zendesk.com/', // a Cyrillic a
    'https://acme.zendesk.com%2eevil.example/',
    'https://acme%2ezendesk.com/',
    'https://[::1]/',
    'https://2130706433/',
  ],
  userinfo: [
    'https://acme.zendesk.com@evil.example/',
    'https://acme.zendesk.com:pw@evil.example/',
    'https://evil.example@acme.zendesk.com/',
    'https://acme.zendesk.com%40evil.example/',
    'https://acme.zendesk.com%23@evil.example/',
    'https://acme.zendesk.com\\@evil.example/',
  ],
  'a port': ['https://acme.zendesk.com:443/', 'https://acme.zendesk.com:8443/', 'https://acme.zendesk.com:/'],
  'another scheme': [
    'http://acme.zendesk.com/',
    'ftp://acme.zendesk.com/',
    'javascript:alert(1)',
    'JavaScript://acme.zendesk.com/%0aalert(1)',
    'data:text/html,hi',
    'blob:https://acme.zendesk.com/1',
    'https:acme.zendesk.com/',
    'https:/acme.zendesk.com/',
    'https:///acme.zendesk.com/',
    'view-source:https://acme.zendesk.com/',
  ],
  'no scheme': ['//evil.example', '//acme.zendesk.com', '///evil.example', '////evil.example', '//acme.zendesk.com@evil.example'],
  'no slash at the beginning': ['', 'hc', './hc', '../hc', '?a=b', '#a', '@evil.example', '.evil.example', ':8443/hc'],
  'two slashes further on': ['/hc//evil.example', '/.//evil.example', '/hc/..//evil.example', 'https://acme.zendesk.com//evil.example'],
  'dot segments': ['/./hc', '/../hc', '/hc/..', '/hc/./x', 'https://acme.zendesk.com/../x', '/%2e%2e/x', '/%2E/x'],
  backslashes: ['\\\\evil.example', '/\\evil.example', '\\/evil.example', '/\\/evil.example', 'https:\\\\evil.example', '/hc\\..\\x'],
  'encoded slashes': ['/%2Fevil.example', '/%2f%2fevil.example', '%2F%2Fevil.example', '/%5Cevil.example', '/%5c%5cevil.example'],
  'encoded twice': ['/%252Fevil.example', '/%25252fevil.example', '/%255cevil.example', '/hc?x=%252F'],
  'encoded badly': ['/%', '/%2', '/%zz', '/%u002f', '/%c0%af/evil.example', '/%ff', '/%e2%80'],
  'other slashes of Unicode': ['/%EF%BC%8Fevil.example', '/%EF%BC%BCevil.example', '/／evil.example', '/%EF%BC%8F%EF%BC%8Fevil.example'],
  'control characters': [
    '\t//evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    'java\nscript:alert(1)',
    '/hc\u0000',
    '/hc\r\nSet-Cookie: a=b',
    '/%09/evil.example',
    '/%0d%0aSet-Cookie:%20a=b',
    '/%00',
    '/%7F',
    '/%C2%85',
    '/%E2%80%AE',
    '/%E2%80%A8',
  ],
  'white space': [' https://evil.example', ' //evil.example', '/ /evil.example', ' /hc', '/hc ', '\u00a0//evil.example', '\ufeff/hc'],
  markup: ['/"><script>alert(1)</script>', "/'onload='x<y", '/`x`', '/{x}', '/a|b', '/<x'],
  'a redirect within': ['/hc?return_to=//evil.example', '/hc?return_to=https://evil.example', '/hc?return_to=https%3A%2F%2Fevil.example'],
  'signing in as somebody else': [
    '/access/jwt?jwt=x',
    '/access/logout',
    '/access',
    '/ACCESS/jwt',
    '/%61ccess/jwt?jwt=x',
    '/auth/v2/logout',
    'https://acme.zendesk.com/access/jwt?jwt=x',
  ],
  'too long': [`/${'a'.repeat(2_048)}`],
};

describe.each(Object.entries(tricks))('H7: a link returns nowhere else: %s', (_, these) => {
  it.each(these)('%j', async (returnTo) => {
    const result = await ask(test, account.caller, { returnTo });
    expect(result).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'returnTo'] }] });
    // The message tells the rule, not what was sent.
    if (returnTo.length > 3) expect(JSON.stringify(result)).not.toContain(JSON.stringify(returnTo).slice(1, -1));
  });
});

it('H7: what is refused leaves no token behind', async () => {
  const before = await test.database.collection('ssoLinks').countDocuments();
  await ask(test, account.caller, { returnTo: '//evil.example' });
  expect(await test.database.collection('ssoLinks').countDocuments()).toBe(before);
});
