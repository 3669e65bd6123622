import { describe, expect, it } from 'vitest';
import { exampleData, issuesOf, kindNamed, prepareWrite, textOfLength } from './examples.ts';

/** Row of the checklist, kind, what is readable, what is secret; what may be left out has a question mark. */
const promises: [row: string, kind: string, readable: string, secret: string][] = [
  ['V18a', 'none', '', ''],
  ['V18b', 'string', '', 'value'],
  ['V18c', 'binary', '', 'valueBase64'],
  ['V18d', 'basicAuth', 'username', 'password'],
  ['V18e', 'oauth2Client', 'clientId authorizeUrl? tokenUrl scopes? mtlsEnabled?', 'clientSecret? additionalParams?'],
  ['V18f', 'oauth2Code', '', 'code state redirectUrl? additionalParams?'],
  ['V18g', 'oauth2Password', 'username', 'password'],
  ['V18h', 'oauth2Token', 'scopes tokenType? accessTokenExpiresAt?', 'accessToken refreshToken?'],
  ['V18i', 'customFunction', 'functionName parameters?', 'secretParameters?'],
  ['V18j', 'certificate', 'certificate ca', 'key'],
  ['V18k', 'jwtBearer', 'algorithm expiresIn authorizationHeaderPrefix', 'secret payload'],
  ['Z44', 'bearerToken', '', 'token'],
  ['Z45', 'apiKey', 'headerName', 'apiKey'],
  ['L30', 'aws', 'accessKeyId region service?', 'secretAccessKey sessionToken?'],
  ['L31', 'azure', 'account', 'accountKey'],
  ['L32', 'gcp', '', 'keyJson'],
  ['L33', 'http', 'uriMatch authMethod publicValue?', 'secretValue'],
  ['L34', 'sendgrid', '', 'apiKey'],
  ['L35', 'twilio', 'accountSid apiKeySid', 'apiKeySecret'],
  ['L36', 'loggly', '', 'customerToken'],
  ['L37', 'jwt', 'issuer? algorithm', 'secret'],
  ['L38', 'whatsapp', 'fromNumberId', 'accessToken'],
  ['L39', 'sql', 'system host port? username secureConnection? caCertificate? disableSSLVerification?', 'password'],
  ['L40', 'mongodb', '', 'connectionUri'],
  ['L41', 'mailgun', '', 'apiKey'],
  ['L42', 'snowflake', 'host username', 'privateKey?'],
  ['L43', 'git', 'type cloneUrl username? committerName? committerEmail?', 'secretValue?'],
  ['L44', 'datadog', 'site?', 'secretValue'],
  ['L45', 'certificateKeyPair', 'certificate', 'privateKey'],
];

describe('fields', () => {
  it.each(promises)('%s: %s has exactly the fields of the checklist', (_, name, readable, secret) => {
    const fields = Object.entries(kindNamed(name).fields);
    const spell = (isSecret: boolean) =>
      fields.filter(([, field]) => field.secret === isSecret).map(([key, field]) => key + (field.optional ? '?' : ''));
    expect(spell(false)).toEqual(readable.split(' ').filter(Boolean));
    expect(spell(true)).toEqual(secret.split(' ').filter(Boolean));
  });
});

const lengths: [row: string, kind: string, field: string, min: number, max: number][] = [
  ['L30', 'aws', 'accessKeyId', 16, 128],
  ['L31', 'azure', 'accountKey', 4, 128],
  ['L32', 'gcp', 'keyJson', 1, 8192],
  ['L33', 'http', 'uriMatch', 8, 1024],
  ['L34', 'sendgrid', 'apiKey', 4, 128],
  ['L36', 'loggly', 'customerToken', 1, 128],
  ['L37', 'jwt', 'secret', 1, 4096],
  ['L40', 'mongodb', 'connectionUri', 1, 2048],
  ['L41', 'mailgun', 'apiKey', 4, 128],
  ['L43', 'git', 'cloneUrl', 5, 1024],
];

describe('limits', () => {
  it.each(lengths)('%s: %s.%s is %d to %d characters long', async (_, name, fieldName, min, max) => {
    const kind = kindNamed(name);
    const field = kind.fields[fieldName];
    if (field?.type !== 'String') throw new Error('not text');
    const issues = (length: number) => issuesOf(kind, { ...exampleData(kind), [fieldName]: textOfLength(field, length) });
    expect(await prepareWrite(kind, { ...exampleData(kind), [fieldName]: textOfLength(field, max) })).toBeDefined();
    expect(await issues(max + 1)).toEqual([{ path: [fieldName], message: `must be at most ${max} characters` }]);
    expect(await issues(min - 1)).toEqual([
      { path: [fieldName], message: min === 1 ? 'must not be empty' : `must be at least ${min} characters` },
    ]);
  });

  it('L43: the shortest clone URL is scp-like', async () => {
    const git = kindNamed('git');
    expect((await prepareWrite(git, { ...exampleData(git), cloneUrl: 'a@b:c' })).settings.cloneUrl).toBe('a@b:c');
  });

  it('L39: a port is 1 to 65535, or null', async () => {
    const sql = kindNamed('sql');
    const port = async (value: unknown) => (await prepareWrite(sql, { ...exampleData(sql), port: value })).settings.port;
    expect([await port(1), await port(65_535), await port(null)]).toEqual([1, 65_535, undefined]);
    for (const value of [0, 65_536, 1.5, '5432', Number.NaN])
      expect(await issuesOf(sql, { ...exampleData(sql), port: value })).toEqual([
        { path: ['port'], message: 'must be a whole number from 1 to 65535' },
      ]);
  });

  it('V18c: bytes are counted, not characters', async () => {
    const binary = kindNamed('binary');
    const base64 = (bytes: number) => ({ valueBase64: Buffer.alloc(bytes).toString('base64') });
    expect((await prepareWrite(binary, base64(65_536))).secrets.valueBase64?.expose()).toHaveLength(87_384);
    expect(await issuesOf(binary, base64(65_537))).toEqual([{ path: ['valueBase64'], message: 'must be at most 65536 bytes' }]);
  });
});

describe('enumerations', () => {
  const values = (kind: string, name: string) => {
    const field = kindNamed(kind).fields[name];
    return field?.type === 'Choice' ? (field.only ?? Object.keys(field.choices.values)) : undefined;
  };
  const families = (...letters: string[]) => letters.flatMap((family) => ['256', '384', '512'].map((bits) => family + bits));

  it.each([
    ['L33', 'http', 'authMethod', ['HEADER', 'QUERY_PARAM', 'BASIC_AUTH', 'CLIENT_CERTIFICATE']],
    ['L37', 'jwt', 'algorithm', [...families('HS', 'RS', 'ES', 'PS'), 'EdDSA']],
    ['V18k', 'jwtBearer', 'algorithm', [...families('HS', 'RS', 'ES', 'PS'), 'EdDSA']],
    ['L39', 'sql', 'system', ['MSSQL', 'MYSQL', 'PG']],
    ['L43', 'git', 'type', ['SSH_KEY', 'HTTP_PASSWORD']],
  ])('%s: %s.%s', (_, kind, name, expected) => {
    expect(values(kind, name)).toEqual(expected);
  });
});

describe('forms', () => {
  const takes = (kindName: string, data: Record<string, unknown>) => {
    const kind = kindNamed(kindName);
    return prepareWrite(kind, { ...exampleData(kind), ...data });
  };
  const refuses = async (kindName: string, data: Record<string, unknown>) => {
    const kind = kindNamed(kindName);
    expect((await issuesOf(kind, { ...exampleData(kind), ...data })).map(({ path }) => path[0])).toEqual(Object.keys(data));
  };

  it('L14: the source’s own example passes', async () => {
    expect((await takes('azure', { account: 'my account', accountKey: '123abc' })).settings).toEqual({ account: 'my account' });
  });

  it('V18c: base64 is the canonical kind, so that equal bytes are equal texts', async () => {
    for (const valueBase64 of ['QQ==', 'QUI=', 'QUJD', '+/+/']) await takes('binary', { valueBase64 });
    for (const valueBase64 of ['QQ', 'QR==', 'QQ==\n', '-_-_', 'Q']) await refuses('binary', { valueBase64 });
  });

  it('V18k: a duration is Go’s, and above zero', async () => {
    for (const expiresIn of ['90s', '1m30s', '1.5h', '100ms']) await takes('jwtBearer', { expiresIn });
    for (const expiresIn of ['90', '1d', '0s', '-1h', '1h 30m', '1..5h']) await refuses('jwtBearer', { expiresIn });
  });

  it('V18i: a function is referred to by name, so that no code can be stored', async () => {
    for (const functionName of ['eval(1)', '() => 1', 'return 1;', 'a b']) await refuses('customFunction', { functionName });
  });

  it('V18e: a URL has no password in it, which would be readable', async () => {
    for (const tokenUrl of [
      'https://ada:pw@example.com/token',
      'https://ada@example.com',
      'ftp://example.com',
      '//example.com',
      'https://',
    ])
      await refuses('oauth2Client', { tokenUrl });
    for (const tokenUrl of ['https://example.com', 'http://localhost:8080/token?a=b']) await takes('oauth2Client', { tokenUrl });
  });

  it('L43: a clone URL has no password in it, which would be readable', async () => {
    for (const cloneUrl of ['ssh://git@example.com/a.git', 'git@example.com:team/app.git', 'https://example.com/a'])
      await takes('git', { cloneUrl });
    for (const cloneUrl of [
      'https://ada:pw@example.com/a',
      'https://ada@example.com/a',
      'ext::sh -c id',
      '--upload-pack=id',
      'file:///etc',
      'a@b: c',
    ])
      await refuses('git', { cloneUrl });
  });

  it('L39: a host is a name or an address, alone', async () => {
    for (const host of ['localhost', 'db.example.com', '10.0.0.1', '2001:db8::1']) await takes('sql', { host });
    for (const host of ['db.example.com:5432', 'tcp://db', 'db/app', 'a b']) await refuses('sql', { host });
  });

  it('L40: a connection string begins with the scheme of MongoDB', async () => {
    for (const connectionUri of ['mongodb://a:b@h1:27017,h2/db?replicaSet=r', 'mongodb+srv://h']) await takes('mongodb', { connectionUri });
    for (const connectionUri of ['mysql://h', 'mongodb://', 'mongodb:///db', ' mongodb://h', 'mongodb://h h'])
      await refuses('mongodb', { connectionUri });
  });

  it('Z6, Z45: what goes into a header cannot break out of it', async () => {
    await refuses('basicAuth', { username: 'ada:x' });
    await refuses('basicAuth', { username: 'ada\r\nX-Admin: 1' });
    await refuses('apiKey', { headerName: 'X Key' });
    await refuses('apiKey', { apiKey: 'k\r\nX-Admin: 1' });
    await refuses('bearerToken', { token: 'pasted\n' });
    await takes('basicAuth', { username: 'ada@example.com/token', password: 'a:b c' });
  });

  it('V18h: an instant is a Date or RFC 3339 text', async () => {
    const at = async (accessTokenExpiresAt: unknown) =>
      (await takes('oauth2Token', { accessTokenExpiresAt })).settings.accessTokenExpiresAt;
    const date = new Date('2030-01-01T00:00:00Z');
    expect([await at(date), await at('2030-01-01T01:00:00+01:00')]).toEqual([date, date]);
    for (const accessTokenExpiresAt of [new Date(Number.NaN), new Date('+010000-01-01T00:00:00Z'), '2030-01-01', 1_893_456_000])
      await refuses('oauth2Token', { accessTokenExpiresAt });
  });

  it('V18e, V18h: a scope is one item, so that two pasted as one are noticed', async () => {
    await takes('oauth2Token', { scopes: ['https://graph.microsoft.com/.default', 'a:b'] });
    expect(
      (await issuesOf(kindNamed('oauth2Token'), { ...exampleData(kindNamed('oauth2Token')), scopes: ['read', 'read write'] }))[0]?.path,
    ).toEqual(['scopes', 1]);
  });
});
