import { execFileSync } from 'node:child_process';
import { createHmac, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CredentialKind, KindField } from '../../src/credential-kinds/define.ts';
import { exampleCertificate, exampleKey, exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { checkValue } from '../../src/fields/check.ts';
import type { Field } from '../../src/fields/field.ts';
import type { Format } from '../../src/fields/formats.ts';
import { showsSecret } from '../../src/fields/shown-secrets.ts';
import { exampleData, issuesOf, kindNamed, prepareWrite, storedExample } from '../credential-kinds/examples.ts';
import { ed25519, p256 } from '../credential-kinds/key-examples.ts';
import type { Json } from '../harness.ts';
import { credentialKinds, readableKinds } from '../kinds.ts';
import { useTestGateway } from './answers.ts';

// What is stored is what its consumer takes, or it is refused. What everyone can read contains no secret. The tests walk all descriptors.

type Text = Extract<KindField, { type: 'String' }>;

/** Every field of every kind that is text, with each format that it can have, and the settings with which it has it. */
const textFields = credentialKinds.flatMap((kind) =>
  Object.entries(kind.fields).flatMap(([name, field]) => {
    if (field.type !== 'String') return [];
    const by = field.formatBy;
    const cases: { format: Format | undefined; data: Record<string, unknown> }[] = by
      ? Object.entries(by.formats).map(([value, format]) => ({ format, data: { [by.setting]: value } }))
      : [{ format: field.format, data: {} }];
    return cases.map((each) => ({ kind, name, field: field as Text, ...each }));
  }),
);
const secretFields = textFields.filter(({ field }) => field.secret);
const at = ({ kind, name, data }: (typeof textFields)[number]) => `${kind.kind}.${name} ${Object.values(data)}`.trim();

/** Valid values of the fields whose format depends on a setting, by format. */
const validByFormat: Partial<Record<Format, string>> = {
  headerValue: 'Token abc',
  httpToken: 'X-Key',
  line: 'key',
  userId: 'ada',
  password: 'pass *** word',
  pemCertificates: exampleCertificate,
  pemPrivateKey: exampleKey,
  sshPrivateKey: ed25519.plainKey,
  sharedSecret: 'a shared secret of sixty-four bytes, for each of the hashes that there are',
};
/** The keys for the algorithms of `jwt` whose keys are no shared secrets. */
const ecKey = (namedCurve: string) =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const edwardsKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const keysByAlgorithm: Readonly<Record<string, string>> = {
  ES256: exampleKey,
  ES384: ecKey('P-384'),
  ES512: ecKey('P-521'),
  EdDSA: edwardsKey,
};

/** Data that are valid with these settings. */
function validData(kind: CredentialKind, settings: Record<string, unknown>): Record<string, unknown> {
  const data = { ...exampleData(kind), ...settings };
  for (const each of textFields) {
    const [setting, value] = Object.entries(each.data)[0] ?? [];
    if (each.kind !== kind || setting === undefined || data[setting] !== value) continue;
    data[each.name] = each.format === 'pemKey' ? (keysByAlgorithm[String(value)] ?? exampleRsaKey) : validByFormat[each.format!];
  }
  return data;
}

describe('each secret', () => {
  it('is not blank', async () => {
    for (const { kind, name } of secretFields)
      for (const value of [' ', '\n', '\u00a0\u200b', '    '])
        expect((await issuesOf(kind, { ...exampleData(kind), [name]: value }))[0]?.path).toEqual([name]);
  });

  it('names the format of its text, or says that it is free text', () => {
    const free = secretFields.filter(({ format }) => format === undefined || format === 'any').map(at);
    expect(free).toEqual(['string.value']);
    expect(secretFields.length).toBeGreaterThan(40);
  });

  it('takes valid data with each format that it can have', async () => {
    for (const each of textFields) await prepareWrite(each.kind, validData(each.kind, each.data));
  });
});

describe('masks', () => {
  const test = useTestGateway();
  const caller = { organization: 'masks' };
  const masks = [
    '*****',
    '*',
    ' ***** ',
    '\t••••••••\n',
    '●●●●',
    '........',
    '…',
    '* * *',
    '"*****"',
    '*\u200b*\u200b*',
    '＊＊＊',
    '[redacted]',
    '[REDACTED]',
  ];
  /** Within a text that has parts. */
  const withParts: Partial<Record<Format, readonly string[]>> = {
    json: ['{"password":"*****"}', '{"a":[{"b":" •••• "}]}'],
    urlEncoded: ['client_secret=*****', 'a=1&b=%E2%80%A2%E2%80%A2%E2%80%A2'],
    mongodbUri: ['mongodb://ada:*****@db.example.com', 'mongodb+srv://ada:%2A%2A%2A@db.example.com/app'],
    base64: [Buffer.from('*****').toString('base64'), Buffer.from('•••••').toString('base64')],
  };
  let integration: { id: string };
  beforeAll(async () => {
    integration = { id: (await test.create(caller, 'Integration', { name: 'crm' })).id };
  });

  it('are refused in every secret, with a message that says what to do', async () => {
    for (const { kind, name, field } of secretFields) {
      for (const mask of [...masks, ...(withParts[field.format!] ?? [])])
        expect([kind.kind, name, mask, await issuesOf(kind, { ...exampleData(kind), [name]: mask })]).toEqual([
          kind.kind,
          name,
          mask,
          [{ path: [name], message: expect.stringContaining('leave the field out') }],
        ]);
    }
  });

  it('do not replace a stored secret, of whichever kind', async () => {
    const kinds = readableKinds.filter((kind) => secretFields.some((each) => each.kind === kind));
    for (const kind of kinds) {
      const { id } = await test.create(caller, 'Credential', { integration, name: kind.kind, data: { [kind.kind]: exampleData(kind) } });
      const shown = Object.entries(kind.fields).flatMap(([name, { secret }]) => (secret ? [`${name} { redacted }`] : []));
      const read = `query ($id: ID!) { credential(id: $id) { ... on CredentialBase { version } ... on ${kind.typeName} { ${shown} } } }`;
      const { version, ...secrets } = (await test.query(caller, read, { id })).credential;
      // As a front end that sends back what it has read.
      const data = Object.fromEntries(Object.entries<Json>(secrets).map(([name, { redacted }]) => [name, redacted]));
      const query = `mutation ($update: UpdateCredentialInput!, $create: CreateCredentialInput!) {
        updated: updateCredential(input: $update) { ... on MutationError { code } ... on ValidationError { issues { path } } }
        created: createCredential(input: $create) { ... on MutationError { code } ... on ValidationError { issues { path } } } }`;
      const { updated, created } = await test.query(caller, query, {
        update: { credential: id, data: { [kind.kind]: data } },
        create: { integration, name: 'masked', data: { [kind.kind]: { ...exampleData(kind), ...data } } },
      });
      const issues = Object.keys(data).map((name) => ({ path: ['input', 'data', kind.kind, name] }));
      expect([kind.kind, updated, created]).toEqual([kind.kind, ...Array(2).fill({ code: 'VALIDATION_FAILED', issues })]);
      expect((await test.query(caller, read, { id })).credential.version).toBe(version);
    }
    const { result } = await test.query(caller, 'query { result: credentials(first: 1) { totalCount } }');
    expect([kinds.length > 25, result.totalCount]).toEqual([true, kinds.length]);
  });

  it('are refused as a variable of a connection and as a parameter of an auth scheme, which are sent as they are', async () => {
    const create = async (input: object) =>
      (
        await test.query(
          caller,
          `mutation ($input: CreateConnectionInput!) { result: createConnection(input: $input) { __typename ... on ValidationError { issues { path } } } }`,
          {
            input: { integration, name: `c-${Math.random()}`, ...input },
          },
        )
      ).result;
    const scheme = (name: string, value: string) => ({
      actionCredentials: [
        {
          credential: { create: { name: 'new', data: { none: {} } } },
          authScheme: {
            schemeId: 's',
            schemeType: 'OAUTH2',
            oauth2: { grant: 'PASSWORD', tokenUrl: 'https://a.example.com', additionalTokenParams: [{ name, value }] },
          },
        },
      ],
    });
    for (const value of ['*****', '••••', 'ghp_16C7e42F292c6912E7'])
      for (const input of [{ variables: [{ name: 'v', value }] }, scheme('audience', value)])
        expect((await create(input)).__typename).toBe('ValidationError');
    expect((await create(scheme('api_key', 'abc'))).issues).toEqual([
      { path: ['input', 'actionCredentials', '0', 'authScheme', 'oauth2', 'additionalTokenParams', '0', 'value'] },
    ]);
    for (const input of [
      { variables: [{ name: 'v', value: '*' }] },
      scheme('audience', 'https://a.example.com/api'),
      scheme('sort_key', 'name'),
    ])
      expect((await create(input)).__typename).toBe('CreateConnectionSuccess');
  });

  it('are not found in a secret that contains other characters', async () => {
    for (const password of ['p*****d', '*a*', '....1', 'redacted', '- - -'])
      await prepareWrite(kindNamed('basicAuth'), { username: 'ada', password });
    await prepareWrite(kindNamed('customFunction'), { functionName: 'f', secretParameters: '{"scope":"*","path":".."}' });
    await prepareWrite(kindNamed('string'), { value: 'line one\r\nline two ' });
  });
});

describe('values that cannot work', () => {
  const pasted = [
    'abc\r\nX-Admin: 1',
    ' abcdef',
    'abcdef ',
    'abcdef\n',
    '\ufeffabcdef',
    'abc\u00a0def',
    'abc\u200bdef',
    '“abcdef”',
    'abc\u2028def',
    'ab\tcd',
  ];
  /** What each format of a secret refuses; the others are read as keys. */
  const refusedBy: Partial<Record<Format, readonly string[]>> = {
    token: [...pasted, 'Bearer abcdef', '"abcdef"', 'abc def'],
    urlSegment: [...pasted, 'abc/def', 'abc?def', 'abc def'],
    headerValue: pasted,
    oauthText: pasted,
    line: ['abc\r\ndef', ' abcdef', 'abcdef ', 'abcdef\n', '\ufeffabcdef', 'abc\u200bdef', 'abc\u2028def'],
    password: ['abc\r\ndef', 'abcdef\n', '\ufeffabcdef', 'abc\u200bdef', 'abc\u2028def', 'abc\u0000def'],
    sharedSecret: ['\n', ' ', '\r\n', '\ufeff'].map((end) => validByFormat.sharedSecret! + end),
    base64: ['YWJj\nZGVm', ' YWJj', 'YWJj\n', '_u3-7Q=='],
    json: ['\ufeff{}', '{} x', '“{}”', '"{}"'],
    urlEncoded: ['?a=b', 'a=b c', 'a=1\n', ' a=1', 'a=%zz', 'a=\u00a0', 'a=b#c'],
    mongodbUri: [' mongodb://h', 'mongodb://h\n', 'mongodb://h\u200b', 'mongodb://ada:p@ss@h', 'mongodb://ada:p/ss@h', '"mongodb://h"'],
    url: ['https://a.exa\nmple/t', ' https://a.example/t', 'https://a.example/t\n', 'https:\\\\a.example'],
    pemPrivateKey: ['\\n', 'x\n'].map((end) => exampleKey + end),
    pemKey: ['\\n', 'x\n'].map((end) => exampleKey + end),
    sshPrivateKey: ['\\n', 'x\n'].map((end) => exampleKey + end),
    any: [],
  };

  it('are refused in every secret, with the rule of its format', async () => {
    for (const each of secretFields) {
      const bad = refusedBy[each.format!];
      if (!bad) throw new Error(`What does the format ${each.format} refuse?`);
      for (const value of bad) {
        const issues = await issuesOf(each.kind, { ...validData(each.kind, each.data), [each.name]: value });
        expect([at(each), value, issues.map(({ path }) => path)]).toEqual([at(each), value, [[each.name]]]);
      }
    }
  });

  it('are refused when only the setting that decides the format changes', async () => {
    const http = kindNamed('http');
    const stored = await storedExample(http, { authMethod: 'QUERY_PARAM', publicValue: 'api key', secretValue: 'ä' });
    const issues = await issuesOf(http, { authMethod: 'HEADER', secretValue: 'ä' }, stored);
    expect(issues).toEqual([
      { path: ['publicValue'], message: expect.stringMatching(/^must be an HTTP token .*, because authMethod is HEADER$/) },
      { path: ['secretValue'], message: expect.stringMatching(/^must be the value of an HTTP header.*, because authMethod is HEADER$/) },
    ]);
    // A stored value that is not changed does not prevent other updates.
    await prepareWrite(
      http,
      { uriMatch: 'https://other.example.com/*', secretValue: 'new' },
      { ...stored, settings: { ...stored.settings, authMethod: 'HEADER' } },
    );
  });

  it('are refused in the settings that become a part of a request', async () => {
    const apiScheme = (place: string, name: string) => ({ schemeId: 's', schemeType: 'API_KEY', apiKey: { name, in: place } });
    const { authScheme } = await import('../../src/domain/auth-scheme.ts');
    const field = { type: 'Object', secret: false, of: authScheme, description: '' } as Field;
    for (const place of ['HEADER', 'COOKIE']) {
      expect(() => checkValue(field, apiScheme(place, 'X Key'))).toThrow('because in is');
      expect(() => checkValue(field, apiScheme(place, 'X-Key:'))).toThrow('because in is');
      checkValue(field, apiScheme(place, 'X-Key'));
    }
    checkValue(field, apiScheme('QUERY', 'filter[key]'));
    const settings: [string, string, string][] = [
      ['aws', 'accessKeyId', 'AKIAIOSFODNN7EXAMPLE '],
      ['twilio', 'accountSid', 'AC123/../x'],
      ['twilio', 'apiKeySid', 'SK1:2'],
      ['whatsapp', 'fromNumberId', '1/2'],
      ['oauth2Client', 'clientId', 'client\u00a0id'],
      ['basicAuth', 'username', ' ada'],
      ['sql', 'username', 'ada\ufeff'],
    ];
    for (const [kind, name, value] of settings)
      expect([kind, (await issuesOf(kindNamed(kind), { ...exampleData(kindNamed(kind)), [name]: value }))[0]?.path]).toEqual([
        kind,
        [name],
      ]);
  });
});

describe('URLs', () => {
  const formatsOfUrls: readonly unknown[] = ['url', 'serviceUrl', 'urlPattern', 'cloneUrl'];
  const urlFields = textFields.filter(({ format }) => formatsOfUrls.includes(format));
  const malformed = [
    'https://a.exa\nmple/t',
    ' https://a.example/t',
    'https://a.example/t ',
    'https://a.example/a b',
    'https://a.example/\tb',
    'https:\\\\a.example',
    'https://a.example\\b',
    'https:/a.example',
    'https:///a.example',
    'https:a.example',
    'https://ada:pw@a.example/',
    'https://ada@a.example/',
    'https://@a.example/',
    'https://a.example/#access_token=abc',
    'https://a.example/%zz',
    'https://a.example/\u200b',
    'https://ex%61mple.com/',
  ];
  it('are absolute, and have only the characters of URLs', async () => {
    expect(urlFields.map(at).sort()).toEqual([
      'git.cloneUrl',
      'http.uriMatch',
      'oauth2Client.authorizeUrl',
      'oauth2Client.tokenUrl',
      'oauth2Code.redirectUrl',
    ]);
    for (const each of urlFields) {
      for (const value of malformed)
        expect([
          at(each),
          value,
          (await issuesOf(each.kind, { ...exampleData(each.kind), [each.name]: value })).map(({ path }) => path),
        ]).toEqual([at(each), value, [[each.name]]]);
      for (const value of ['https://a.example/b?c=d&e', 'https://a.example:8443/%C3%A4?tenant=1', 'https://xn--mnchen-3ya.example/a;b/@c'])
        await prepareWrite(each.kind, { ...exampleData(each.kind), [each.name]: value });
    }
  });

  it('of Git can name the user of ssh, and nothing that ssh takes for an option', async () => {
    const git = kindNamed('git');
    const take = (cloneUrl: string) => prepareWrite(git, { ...exampleData(git), cloneUrl });
    for (const cloneUrl of ['ssh://git@h.example/a.git', 'ssh://h.example:22/a', 'git@h.example:a/b.git', 'git://h.example/a'])
      await take(cloneUrl);
    for (const cloneUrl of [
      'ssh://git:pw@h.example/a',
      'a@-oProxyCommand=x:y',
      'ssh://-oProxyCommand=x/y',
      'ssh://a@-oProxyCommand=x/y',
      'ghp_abc123@h.example:a',
      'ssh://ghp_abc123@h.example/a',
    ])
      await expect(take(cloneUrl)).rejects.toThrow('cloneUrl');
  });
});

describe('what everyone can read', () => {
  /** The descriptors that the files of a folder export, at any depth, by where they are. */
  async function descriptorsIn(folder: URL): Promise<Map<string, Field>> {
    const found = new Map<string, Field>();
    const seen = new Set<unknown>();
    const visit = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null || seen.has(value)) return;
      seen.add(value);
      if ('type' in value && 'secret' in value && typeof value.type === 'string' && 'description' in value) found.set(path, value as Field);
      for (const [name, member] of Object.entries(value)) visit(member, `${path}.${name}`);
    };
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.ts')))
      visit({ ...(await import(new URL(file, folder).href)) }, file);
    return found;
  }
  const showing = [
    'https://ada:pw@a.example/',
    'https://ghp_abc123@github.com/o/r.git',
    ' https://ada@a.example/',
    'https://a.example/?access_token=abc',
    'https://a.example/?x=1&api_key=abc',
    'https://a.example/?apiKey=abc',
    'https://a.example/?key=abc',
    'https://a.example/?client-secret=abc',
    'https://a.example/?pass%77ord=abc',
    'https://a.example/?sig=abc',
    'https://a.example/?X-Amz-Signature=abc',
    'https://a.example/?code=abc',
    'https://a.example/?x=ghp_abc123',
    'https://a.example/?x=xoxb-123-abc',
    'https://a.example/?x=sk_live_abc123',
    'https://a.example/?x=AKIAIOSFODNN7EXAMPLE',
    'https://a.example/?x=eyJhbGciOiJIUzI1NiJ9.e30.x',
    'https://a.example/?next=https%3A%2F%2Fada%3Apw%40b.example',
    'https://a.example/sk_live_abc123/x',
    'https://a.example/cb#access_token=abc',
    'postgres://ada:pw@db.example/app',
    'redis://:pw@db.example',
    'jdbc:postgresql://db.example/app?user=ada&password=pw',
    'Server=db.example;User Id=ada;Password=pw;',
    'host=db.example user=ada password=pw',
    'ada:pw@tcp(db.example:3306)/app',
    'ada:pw@db.example:5432/app',
    'https:/ada:hunter2@a.example/',
    'jdbc:sqlserver://db.example:1433;databaseName=app;user=sa;password=S3cret',
    'jdbc:mysql:loadbalance://ada:pw@db.example',
    '\u200bhttps://a.example/?k=Bearer%20ghp_16C7e42F292c6912E7',
  ];
  const harmless = [
    'https://a.example/',
    'https://a.example/?response_type=code&code_challenge=abc&token_access_type=offline&auth_type=rerequest',
    'https://a.example/?country_code=de&sort_key=name&api_key=',
    'https://a.example/?api_key={apiKey}',
    'ssh://git@a.example/x',
    'The password = the one of last year; ask Ada.',
    'mailto:ada@a.example',
    'urn:a:b@c',
    'Region=eu; Zone=1',
    'a=b c=d',
  ];

  it('shows no secret in a URL or connection string, in any field of any kind and of any noun', async () => {
    const ofNouns = await descriptorsIn(new URL('../../src/domain/', import.meta.url));
    const ofKinds = textFields.map((each) => [at(each), each.field] as const);
    const readable = [...ofNouns, ...ofKinds].filter(
      ([, field]) =>
        (field.type === 'String' || field.type === 'StringList') && !field.secret && !('comparedOnly' in field && field.comparedOnly),
    );
    expect(readable.length).toBeGreaterThan(45);
    for (const [path, field] of readable) {
      for (const text of showing) {
        const value = field.type === 'StringList' ? [text] : text;
        expect(() => checkValue(field, value), `${path}: ${text}`).toThrow();
      }
    }
    // With formats that take any text, it is this rule that refuses.
    const free = readable.filter(
      ([, field]) =>
        'format' in field && ['any', 'value', 'prose'].includes(String(field.format)) && 'maxLength' in field && field.maxLength >= 500,
    );
    expect(free.length).toBeGreaterThan(5);
    for (const [path, field] of free) {
      for (const text of showing)
        if (!text.includes('x=')) expect(() => checkValue(field, text), path).toThrow(/because everyone who can read|not a token/);
      for (const text of harmless) expect([path, text, checkValue(field, text)]).toEqual([path, text, text]);
    }
  });

  it('is looked for in the longest texts without a stack overflow', () => {
    const nested = `http://x?${'a=http://x?'.repeat(2_970)}`;
    const spaced = `a=${' '.repeat(32_740)}b c=d`;
    for (const text of [nested, spaced, 'a=b '.repeat(8_000), `https://x/?${'a=b&'.repeat(8_000)}`])
      expect([text.length, showsSecret(text)]).toEqual([text.length, false]);
  });

  it('is every text that callers write, but for those that are only compared', async () => {
    const ofNouns = await descriptorsIn(new URL('../../src/domain/', import.meta.url));
    const compared = [...ofNouns].filter(([, field]) => 'comparedOnly' in field && field.comparedOnly).map(([path]) => path);
    expect(compared).toEqual([
      // They are sent or signed, and not stored.
      'authorize-request.ts.authorizeRequestFields.url',
      'authorize-request.ts.authorizeRequestFields.headers.of.fields.value',
      'authorize-request.ts.authorizeRequestFields.body',
      'revocation.ts.tokenRevocationFields.subject',
    ]);
  });

  it('includes the facts that are taken from a secret', async () => {
    const gcp = kindNamed('gcp');
    const file = JSON.parse(String(exampleData(gcp).keyJson));
    for (const name of ['auth_uri', 'token_uri', 'client_x509_cert_url', 'project_id'])
      for (const text of showing.slice(0, 4))
        expect((await issuesOf(gcp, { keyJson: JSON.stringify({ ...file, [name]: text }) }))[0]?.path).toEqual(['keyJson']);
  });

  it('includes the texts within the JSON of a custom function', async () => {
    const kind = kindNamed('customFunction');
    for (const text of showing.filter((each) => each.includes('://')))
      expect((await issuesOf(kind, { functionName: 'f', parameters: JSON.stringify({ a: [{ url: text }] }) }))[0]?.path).toEqual([
        'parameters',
      ]);
    await prepareWrite(kind, { functionName: 'f', parameters: `{"a":${'['.repeat(15_000)}${']'.repeat(15_000)}}` });
  });
});

describe('keys', () => {
  const mangled: readonly [string, (text: string) => string][] = [
    ['CR LF', (text) => text.replaceAll('\n', '\r\n')],
    ['no last line break', (text) => text.trimEnd()],
    ['spaces in the place of line breaks', (text) => text.replaceAll('\n', ' ')],
    ['no line breaks at all', (text) => text.replace(/\n(?!-)|(?<!-)\n/g, '')],
    ['white space around', (text) => `\n  ${text}\n\n`],
    ['indented lines', (text) => text.replaceAll(/^/gm, '    ')],
  ];

  it('are stored in their standard form, whichever field of whichever kind they are in', async () => {
    const armored = textFields.filter(
      ({ format }) => format && ['pemCertificates', 'pemPrivateKey', 'pemKey', 'sshPrivateKey'].includes(format),
    );
    expect(armored.map(at)).toHaveLength(20);
    for (const each of armored) {
      const valid = validData(each.kind, each.data);
      const form = String(valid[each.name]);
      for (const [how, mangle] of mangled) {
        const write = await prepareWrite(each.kind, { ...valid, [each.name]: mangle(form) });
        const value = each.field.secret ? write.secrets[each.name]?.expose() : write.settings[each.name];
        expect([at(each), how, value]).toEqual([at(each), how, form]);
      }
    }
  });

  // It needs the ssh-keygen of OpenSSH, which the machine may not have.
  const hasSsh = (() => {
    try {
      execFileSync('ssh-keygen', ['-?'], { stdio: 'ignore' });
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== 'ENOENT';
    }
  })();
  it.runIf(hasSsh)('for Git are read by ssh-keygen, which gives the public key that the gateway shows', async () => {
    const git = kindNamed('git');
    const folder = mkdtempSync(join(tmpdir(), 'keys-'));
    try {
      const pkcs8 = (key: string) => createPrivateKey(key).export({ type: 'pkcs8', format: 'pem' }).toString();
      // OpenSSH does not read it.
      const unreadable = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
      expect(await issuesOf(git, { ...exampleData(git), type: 'SSH_KEY', secretValue: unreadable })).toHaveLength(1);
      const keys = [ed25519.plainKey, p256.plainKey, pkcs8(p256.plainKey), exampleRsaKey];
      for (const [index, key] of keys.entries()) {
        // The other ways of mangling have the same result: see above.
        for (const [how, mangle] of mangled.slice(0, 1)) {
          const { secrets, facts } = await prepareWrite(git, { ...exampleData(git), type: 'SSH_KEY', secretValue: mangle(key) });
          const file = join(folder, `key-${index}`);
          writeFileSync(file, secrets.secretValue!.expose(), { mode: 0o600 });
          const shown = execFileSync('ssh-keygen', ['-y', '-P', '', '-f', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
          expect([how, shown.trim().split(' ').slice(0, 2).join(' ')]).toEqual([how, facts.publicKey]);
          rmSync(file);
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('of a Google key file have their line breaks', async () => {
    const gcp = kindNamed('gcp');
    const file = JSON.parse(String(exampleData(gcp).keyJson));
    const take = (key: string) => prepareWrite(gcp, { keyJson: JSON.stringify({ ...file, private_key: key }) });
    for (const key of [
      file.private_key.replaceAll('\n', '\\n'),
      file.private_key.replaceAll('\n', ' '),
      file.private_key.replaceAll('\n', ''),
      '*****',
    ])
      await expect(take(key)).rejects.toThrow('keyJson');
    for (const key of [file.private_key, file.private_key.trimEnd(), file.private_key.replaceAll('\n', '\r\n')]) await take(key);
  });
});

describe('signing keys', () => {
  const algorithms = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'] as const;
  const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64');
  const asciiOf = (bytes: number) => 'k'.repeat(bytes);
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  /** By a name, keys in the form of `jwt`. */
  const keys: Readonly<Record<string, string>> = {
    ...Object.fromEntries([31, 32, 47, 48, 63, 64].map((bytes) => [`${bytes} bytes`, asciiOf(bytes)])),
    RSA: exampleRsaKey,
    small,
    'P-256': keysByAlgorithm.ES256!,
    'P-384': keysByAlgorithm.ES384!,
    'P-521': keysByAlgorithm.ES512!,
    Ed25519: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: exampleCertificate,
  };
  const expected: Readonly<Record<(typeof algorithms)[number], readonly string[]>> = {
    HS256: ['32 bytes', '47 bytes', '48 bytes', '63 bytes', '64 bytes'],
    HS384: ['48 bytes', '63 bytes', '64 bytes'],
    HS512: ['64 bytes'],
    RS256: ['RSA'],
    RS384: ['RSA'],
    RS512: ['RSA'],
    ES256: ['P-256'],
    ES384: ['P-384'],
    ES512: ['P-521'],
  };

  it('have the type, the curve and the size that their algorithm requires, in every kind with an algorithm', async () => {
    const kinds = credentialKinds.filter(({ fields }) => fields.algorithm);
    expect(kinds.map(({ kind }) => kind)).toEqual(['jwtBearer', 'jwt']);
    for (const kind of kinds) {
      const { algorithm: field } = kind.fields;
      const own = field?.type === 'Choice' && field.only ? algorithms.filter((name) => field.only!.includes(name)) : algorithms;
      for (const algorithm of own) {
        const taken: string[] = [];
        for (const [name, key] of Object.entries(keys)) {
          const secret = kind.kind === 'jwt' ? key : base64(key);
          const write = await prepareWrite(kind, { ...exampleData(kind), algorithm, secret }).catch(() => undefined);
          if (write) taken.push(name);
          // A certificate has a public key, which verifies.
        }
        const alsoVerifies = kind.kind === 'jwt' && algorithm === 'ES256' ? ['certificate'] : [];
        expect([kind.kind, algorithm, taken]).toEqual([kind.kind, algorithm, [...expected[algorithm], ...alsoVerifies]]);
      }
    }
  });

  it('of jwtBearer can be in DER, and are no text that was encoded with its line break', async () => {
    const kind = kindNamed('jwtBearer');
    const take = (algorithm: string, secret: string | Buffer) =>
      prepareWrite(kind, { ...exampleData(kind), algorithm, secret: base64(secret) });
    for (const type of ['pkcs1', 'pkcs8'] as const) await take('RS256', createPrivateKey(exampleRsaKey).export({ type, format: 'der' }));
    await take('HS256', createHmac('sha256', 'x').digest());
    await take('HS256', Buffer.concat([createHmac('sha256', 'x').digest(), Buffer.from('\n')]));
    for (const [algorithm, secret] of [
      ['RS256', 'hello'],
      ['RS256', exampleRsaKey.replaceAll('\n', ' ')],
      ['HS256', `${asciiOf(40)}\n`],
      ['HS256', `${asciiOf(40)}\r\n`],
      ['HS512', exampleRsaKey],
    ] as const)
      await expect(take(algorithm, secret), algorithm).rejects.toThrow('secret');
  });

  it('must be set again when the algorithm requires another key, and stay when it does not', async () => {
    for (const kind of [kindNamed('jwt'), kindNamed('jwtBearer')]) {
      const set = (key: string) => (kind.kind === 'jwt' ? key : base64(key));
      const changes: [string, string, string, boolean][] = [
        ['HS512', keys['64 bytes']!, 'HS256', true],
        ['HS256', keys['32 bytes']!, 'HS512', false],
        ['HS256', keys['32 bytes']!, 'RS256', false],
        ['RS256', exampleRsaKey, 'HS256', false],
        ['RS256', exampleRsaKey, 'RS512', true],
        ...(kind.kind === 'jwt' ? ([['ES256', keys['P-256']!, 'ES384', false]] as [string, string, string, boolean][]) : []),
      ];
      for (const [before, key, algorithm, stays] of changes) {
        const stored = await storedExample(kind, { algorithm: before, secret: set(key) });
        const outcome = await prepareWrite(kind, { algorithm }, stored).then(
          () => true,
          (error: Json) => error.issues,
        );
        expect([before, algorithm, outcome]).toEqual([
          before,
          algorithm,
          stays || [{ path: ['secret'], message: expect.stringMatching(/^must be set when algorithm changes/) }],
        ]);
      }
    }
  });
});
