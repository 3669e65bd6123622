import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { exampleCertificate, exampleKey } from '../../src/credential-kinds/examples-pem.ts';
import { type Json, useTestGateway } from '../harness.ts';

// Input that standards and services allow, and that a check could take for wrong; and beside it what looks like it and cannot work.

const test = useTestGateway();
const caller = { organization: 'valid-input' };
const integration = { name: 'crm' };

beforeAll(async () => {
  await test.create(caller, 'Integration', integration);
});

const CREATE = `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) {
  __typename ... on CreateCredentialSuccess { credential { ... on CredentialBase { id } } } ... on ValidationError { issues { path message } } } }`;
const UPDATE = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) {
  __typename ... on ValidationError { issues { path message } } } }`;
const REVEAL = `mutation ($id: ID!, $field: String!) { result: revealSecret(input: { credential: $id, field: $field, reason: "the test looks" }) {
  ... on RevealSecretSuccess { secret { plaintext } } ... on MutationError { code } } }`;

const create = async (data: object): Promise<Json> =>
  (await test.query(caller, CREATE, { input: { integration, name: 'a credential', data } })).result;
const update = async (credential: string, data: object): Promise<Json> =>
  (await test.query(caller, UPDATE, { input: { credential, data } })).result;

/** The fields that are refused, without the beginning of their paths. None if the input is accepted. */
const refusedIn = ({ __typename, issues }: Json): string[] => {
  expect(__typename).toMatch(/Success$|^ValidationError$/);
  return (issues ?? []).map(({ path }: Json) => path.slice(3).join('.'));
};
const refusedOf = async (data: object) => refusedIn(await create(data));

/** Creates a credential that must be accepted, and returns its id. */
async function accepted(data: object): Promise<string> {
  const result = await create(data);
  expect(refusedIn(result)).toEqual([]);
  return result.credential.id;
}
const plaintextOf = async (id: string, field: string) => (await test.query(caller, REVEAL, { id, field })).result.secret.plaintext;

const names = ['myorg-my_account.snowflakecomputing.com', 'localhost', 'DB-1.Example.com', '_tcp.example.com', 'xn--mnchen-3ya.de'];
const noNames = [
  '-a.example.com',
  'a-.example.com',
  'a..example.com',
  'example.com.',
  'münchen.de',
  'a b',
  'a:443',
  'https://a.com',
  '1.2',
];
const addresses = ['192.0.2.1', '2001:db8::1'];

describe('hosts', () => {
  const password = { system: 'PG', username: 'ada', password: 'pw' };
  const inField: readonly [string, (host: string) => object, readonly string[], readonly string[]][] = [
    ['sql.host', (host) => ({ sql: { ...password, host } }), [...names, ...addresses], noNames],
    ['datadog.site', (site) => ({ datadog: { site, secretValue: 'dd0' } }), names, [...noNames, ...addresses]],
    [
      'snowflake.host',
      (host) => ({ snowflake: { host, username: 'ada', generatePrivateKey: false, privateKey: rsaKey } }),
      names,
      [...noNames, ...addresses],
    ],
  ];
  it.each(inField)('%s', async (at, data, valid, invalid) => {
    for (const host of valid) expect([host, await refusedOf(data(host))]).toEqual([host, []]);
    for (const host of invalid) expect([host, await refusedOf(data(host))]).toEqual([host, [at.split('.')[1]]]);
  });

  it('Connection.allowedDomain and Credential.allowedDomains, which have the same names', async () => {
    const query = `mutation ($connection: CreateConnectionInput!, $credential: CreateCredentialInput!) {
      a: createConnection(input: $connection) { __typename } b: createCredential(input: $credential) { __typename } }`;
    for (const host of [...names, ...noNames, ...addresses]) {
      const connection = { integration, name: `c ${host}`, allowedDomain: host };
      const credential = { integration, name: 'c', allowedDomains: [host.toLowerCase()], data: { none: {} } };
      const { a, b } = await test.query(caller, query, { connection, credential });
      const is = names.includes(host) ? 'Success' : 'ValidationError';
      expect([host, a.__typename, b.__typename]).toEqual([host, expect.stringMatching(is), expect.stringMatching(is)]);
    }
  });
});

it('addresses of mail, as RFC 5321 has them', async () => {
  const valid = [
    ...['a&b@example.com', "o'hara+tag=1/2?^`{|}~-%#!$*_@example.com", 'a.b@mail.example.museum', 'ada@xn--mnchen-3ya.de', 'ada@localhost'],
    ...['"ada lovelace"@example.com', 'ada@[192.0.2.1]', 'ada@[IPv6:2001:db8::1]', `${'a'.repeat(64)}@example.com`],
  ];
  const invalid = [
    ...[
      'user@example-.com',
      'user@-example.com',
      'user@exa_mple.com',
      'user@example..com',
      '.a@example.com',
      'a.@example.com',
      'a..b@example.com',
    ],
    ...['a@b@example.com', 'ada@192.0.2.1', 'ada@[example.com]', 'ada', '@example.com', 'ada@', ' ada@example.com', 'ada@example.com\n'],
    ...['Ada <ada@example.com>', 'mailto:ada@example.com', `${'a'.repeat(65)}@example.com`, 'ada@example.com, b@example.com'],
  ];
  const git = { type: 'HTTP_PASSWORD', cloneUrl: 'https://git.example.com/a.git' };
  const query = `mutation ($input: CreateEndUserInput!) { result: createEndUser(input: $input) { __typename } }`;
  for (const [index, email] of [...valid, ...invalid].entries()) {
    const isValid = valid.includes(email);
    expect([email, await refusedOf({ git: { ...git, committerEmail: email } })]).toEqual([email, isValid ? [] : ['committerEmail']]);
    const input = { integration, externalId: `user-${index}`, contacts: [{ type: 'REGULAR', email }] };
    const { result } = await test.query(caller, query, { input });
    expect([email, result.__typename]).toEqual([email, isValid ? 'CreateEndUserSuccess' : 'ValidationError']);
  }
});

it('Basic authentication with an empty password or an empty user name, but not both', async () => {
  const keyAsName = await accepted({ basicAuth: { username: 'sk_live_1', password: '' } });
  expect(await plaintextOf(keyAsName, 'password')).toBe('');
  const noName = await accepted({ basicAuth: { username: '', password: 'pw' } });
  expect(await refusedOf({ basicAuth: { username: '', password: '' } })).toEqual(['username']);
  expect(refusedIn(await update(keyAsName, { basicAuth: { username: '' } }))).toEqual(['username']);
  expect(refusedIn(await update(noName, { basicAuth: { password: '' } }))).toEqual(['username']);
  expect(refusedIn(await update(keyAsName, { basicAuth: { username: '', password: 'pw' } }))).toEqual([]);

  const http = { uriMatch: 'https://api.example.com/*' };
  const basic = { ...http, authMethod: 'BASIC_AUTH' };
  const id = await accepted({ http: { ...basic, publicValue: 'sk_live_1', secretValue: '' } });
  expect(await plaintextOf(id, 'secretValue')).toBe('');
  await accepted({ http: { ...basic, publicValue: '', secretValue: 'pw' } });
  expect(await refusedOf({ http: { ...basic, publicValue: '', secretValue: '' } })).toEqual(['publicValue']);
  expect(refusedIn(await update(id, { http: { publicValue: '' } }))).toEqual(['publicValue']);
  // Nothing else can be empty.
  expect(await refusedOf({ http: { ...http, authMethod: 'HEADER', publicValue: 'X-Key', secretValue: '' } })).toEqual(['secretValue']);
  expect(await refusedOf({ http: { ...http, authMethod: 'HEADER', publicValue: '', secretValue: 'k' } })).toEqual(['publicValue']);
  expect(await refusedOf({ http: { ...http, authMethod: 'QUERY_PARAM', publicValue: '', secretValue: '' } })).toEqual([
    'publicValue',
    'secretValue',
  ]);
  const pair = { ...http, authMethod: 'CLIENT_CERTIFICATE', publicValue: exampleCertificate, secretValue: exampleKey };
  await accepted({ http: pair });
  expect(await refusedOf({ http: { ...pair, secretValue: '' } })).toEqual(['secretValue']);
});

it('OAuth clients without a secret', async () => {
  const client = { clientId: 'app', tokenUrl: 'https://auth.example.com/token' };
  const id = await accepted({ oauth2Client: client });
  expect(refusedIn(await update(id, { oauth2Client: { tokenUrl: 'https://other.example.com/token' } }))).toEqual([]);
  expect(refusedIn(await update(id, { oauth2Client: { clientSecret: 's' } }))).toEqual([]);
  expect(refusedIn(await update(id, { oauth2Client: { clientSecret: null } }))).toEqual([]);
});

it('temporary keys of AWS with their token, and no key that is taken for the other kind', async () => {
  const key = { secretAccessKey: 'wJalrXUtnFEMI', region: 'eu-central-1' };
  const [lasting, temporary] = ['AKIAIOSFODNN7EXAMPLE', 'ASIAIOSFODNN7EXAMPLE'];
  const id = await accepted({ aws: { ...key, accessKeyId: temporary, sessionToken: 'IQoJb3JpZ2lu' } });
  const lastingId = await accepted({ aws: { ...key, accessKeyId: lasting } });
  expect(await refusedOf({ aws: { ...key, accessKeyId: temporary } })).toEqual(['sessionToken']);
  expect(await refusedOf({ aws: { ...key, accessKeyId: lasting, sessionToken: 'IQoJb3JpZ2lu' } })).toEqual(['sessionToken']);
  expect(refusedIn(await update(lastingId, { aws: { accessKeyId: temporary } }))).toEqual(['sessionToken']);
  expect(refusedIn(await update(id, { aws: { sessionToken: null } }))).toEqual(['sessionToken']);
  expect(refusedIn(await update(id, { aws: { accessKeyId: lasting } }))).toEqual(['sessionToken']);
  expect(refusedIn(await update(id, { aws: { accessKeyId: lasting, sessionToken: null } }))).toEqual([]);
});

const pemOf = (type: 'ed25519' | 'ed448' | 'rsa' | 'ec') => {
  const keys = {
    ed25519: () => generateKeyPairSync('ed25519'),
    ed448: () => generateKeyPairSync('ed448'),
    rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  };
  return keys[type]().privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
};
const rsaKey = pemOf('rsa');

it('the algorithms PS256 to PS512 and EdDSA, with the keys that they need', async () => {
  const keys = { rsa: rsaKey, ed25519: pemOf('ed25519'), ed448: pemOf('ed448'), ec: pemOf('ec') };
  const claims = { payload: '{}', expiresIn: '1m', authorizationHeaderPrefix: 'Bearer' };
  for (const algorithm of ['PS256', 'PS384', 'PS512', 'EdDSA']) {
    for (const [type, secret] of Object.entries(keys)) {
      const expected = (algorithm === 'EdDSA') === type.startsWith('ed') && type !== 'ec' ? [] : ['secret'];
      expect([algorithm, type, await refusedOf({ jwt: { algorithm, secret } })]).toEqual([algorithm, type, expected]);
      const jwtBearer = { ...claims, algorithm, secret: Buffer.from(secret).toString('base64') };
      expect([algorithm, type, await refusedOf({ jwtBearer })]).toEqual([algorithm, type, expected]);
    }
  }
  // The same RSA key serves both paddings. It serves nothing else.
  const id = await accepted({ jwt: { algorithm: 'RS256', secret: rsaKey } });
  expect(refusedIn(await update(id, { jwt: { algorithm: 'PS256' } }))).toEqual([]);
  for (const algorithm of ['HS256', 'ES256', 'EdDSA']) expect(refusedIn(await update(id, { jwt: { algorithm } }))).toEqual(['secret']);
});
