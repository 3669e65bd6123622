import { createHash, createHmac, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignatureV4 } from '@smithy/signature-v4';
import { jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appliedTable } from '../../src/credential-kinds/applied-table.ts';
import { exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { authSchemeType } from '../../src/domain/auth-scheme.ts';
import { credentialPurpose } from '../../src/domain/credential-use.ts';
import { applicationOf } from '../../src/domain/use-application.ts';
import { notUsable } from '../../src/errors.ts';
import { createOutbound, defaultOutbound, type Outbound } from '../../src/services/outbound/index.ts';
import { exampleData, kindNamed } from '../credential-kinds/examples.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { readableKinds } from '../kinds.ts';
import { run } from '../operations.ts';
import { LocalService, type Received } from '../services/local-service.ts';

const service = new LocalService();
const test = useTestGateway();
const HOST = 'api.service.test';
const integration = { name: 'crm' };
let caller: Caller;
let outbound: Outbound;
let origin: string;

beforeAll(async () => {
  await service.start();
  origin = service.origin(HOST);
  outbound = createOutbound({ ...defaultOutbound, ...service.outbound });
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Connector', { integration, name: 'api', baseUrl: `${origin}/v1` });
});
afterAll(async () => {
  await outbound.stop();
  await service.stop();
});

const PLAN =
  'requestPlan { steps { credentialId location name value } problems { code credentialId } baseUrl allowedHosts permits(url: "https://x.example/") }';
const use = { allowedDomains: [HOST], allowedPurposes: ['ACTION'] };
const credential = (data: object, rest: object = {}) => ({ create: { name: 'key', ...use, ...rest, data } });
let made = 0;

/** Makes a connection with new credentials, and returns its id and its plan. */
async function connect(entries: readonly object[], rest: object = {}): Promise<Json> {
  const input = {
    integration,
    name: `connection ${made++}`,
    connector: { inIntegration: { integration, name: 'api' } },
    actionCredentials: entries,
    ...rest,
  };
  const { id } = await test.create(caller, 'Connection', input);
  return { id, ...(await planOf(id)) };
}

async function planOf(id: string, fields = PLAN): Promise<Json> {
  const { connection } = await test.query(caller, `query ($id: ID!) { connection(by: { id: $id }) { ${fields} } }`, { id });
  return connection.requestPlan;
}

const RESULT = `__typename
  ... on AuthorizeRequestSuccess { request { url headers { name value } query { name value } expiresAt clientCertificate { certificates privateKey } } }
  ... on CredentialNotUsableError { code reason credentialId message } ... on ValidationError { issues { path message } } ... on MutationError { code }`;

async function authorize(id: string, input: object = {}, as = caller): Promise<Json> {
  const { result } = await test.query(
    as,
    `mutation ($input: AuthorizeRequestInput!) { result: authorizeRequest(input: $input) { ${RESULT} } }`,
    {
      input: { connection: { id }, method: 'GET', url: `${origin}/v1/things?a=1`, ...input },
    },
  );
  return result;
}

/** Sends a request as a back end does that got it authorized, and returns what arrived. */
async function sendIt({ request }: Json, { method = 'GET', headers = [], body }: Json = {}): Promise<Received> {
  const set = request.headers.map(({ name }: Json) => name.toLowerCase());
  const kept = headers.filter(({ name }: Json) => !set.includes(name.toLowerCase()));
  const all = [...kept, ...request.headers].map(({ name, value }: Json) => [name, value] as const);
  const { clientCertificate: pair } = request;
  const clientCertificate = pair && { certificates: pair.certificates, privateKey: { expose: () => pair.privateKey } };
  const answer = await outbound.request({
    method,
    url: new URL(request.url),
    headers: all,
    ...(body && { body: Buffer.from(body) }),
    ...(pair && { clientCertificate }),
  });
  answer.body.resume();
  return service.last;
}

const scheme = (schemeType: string, settings: object = {}) => ({ schemeId: 's', schemeType, ...settings });
const placed = { name: 'X-Placed', in: 'HEADER' };
const schemes: Readonly<Record<string, object>> = {
  API_KEY: scheme('API_KEY', { apiKey: placed }),
  BASIC_AUTH: scheme('BASIC_AUTH'),
  CERTIFICATE: scheme('CERTIFICATE'),
  CUSTOM_FUNCTION: scheme('CUSTOM_FUNCTION'),
  GOOGLE_SERVICE_ACCOUNT: scheme('GOOGLE_SERVICE_ACCOUNT'),
  HMAC: scheme('HMAC', { hmac: { ...placed, algorithm: 'SHA256', digestInputs: ['URL', 'BODY'] } }),
  JWT_BEARER: scheme('JWT_BEARER'),
  NONE: scheme('NONE'),
  OAUTH1: scheme('OAUTH1'),
  OAUTH2: scheme('OAUTH2', { oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token' } }),
  SECRET: scheme('SECRET'),
};

const http = (authMethod: string, publicValue: string, secretValue: string) => ({
  uriMatch: `${service.origin(HOST)}/*`,
  authMethod,
  publicValue,
  secretValue,
});
const pem = kindNamed('certificateKeyPair');
/** What each kind, and each of its ways, is made of, where its examples are not for the host of the test. */
const ways: Readonly<Record<string, () => object>> = {
  azure: () => ({ account: 'acme', accountKey: 'c2VjcmV0LWtleQ==' }),
  datadog: () => ({ site: 'service.test', secretValue: 'dd0example0key' }),
  git: () => ({ ...exampleData(kindNamed('git')), cloneUrl: `${service.origin(HOST)}/app.git` }),
  'git SSH': () => ({ type: 'SSH_KEY', cloneUrl: 'git@api.service.test:app.git', generatePrivateKey: true }),
  http: () => http('HEADER', 'X-Api-Key', 'hs_5up3r'),
  'http QUERY': () => http('QUERY_PARAM', 'key', 'hs 5up3r&'),
  'http BASIC': () => http('BASIC_AUTH', 'ada', 'päss:word'),
  'http CERTIFICATE': () => http('CLIENT_CERTIFICATE', String(pem.fields.certificate!.example), String(pem.fields.privateKey!.example)),
  snowflake: () => ({ host: HOST, username: 'gateway', privateKey: exampleRsaKey }),
};
const firstKinds = [
  'apiKey',
  'aws',
  'azure',
  'basicAuth',
  'bearerToken',
  'binary',
  'certificate',
  'certificateKeyPair',
  'customFunction',
  'datadog',
  'gcp',
];
const moreKinds = [
  'git',
  'git SSH',
  'http',
  'http QUERY',
  'http BASIC',
  'http CERTIFICATE',
  'jwt',
  'jwtBearer',
  'loggly',
  'mailgun',
  'mongodb',
  'none',
];
const lastKinds = ['oauth2Client', 'oauth2Password', 'oauth2Token', 'sendgrid', 'snowflake', 'sql', 'string', 'twilio', 'whatsapp'];
const rows = [...firstKinds, ...moreKinds, ...lastKinds];

const basic = 'HEADER Authorization: Basic *****';
const bearer = 'HEADER Authorization: Bearer *****';
const placedHere = 'HEADER X-Placed: *****';
const bare = 'HEADER Authorization: *****';
const certificate = 'CLIENT_CERTIFICATE: *****';
const snowflakeHeaders = `${bearer}, HEADER X-Snowflake-Authorization-Token-Type: KEYPAIR_JWT`;
const aws =
  'HEADER Authorization: AWS4-HMAC-SHA256 *****, HEADER X-Amz-Date: *****, HEADER X-Amz-Content-Sha256: *****, HEADER X-Amz-Security-Token: *****';
const keyOnly = (alone: string, secret = bare) => ({ alone, API_KEY: placedHere, SECRET: secret });
/** The whole table: how each kind is applied without a scheme, and with those that it fits. With any other, it does not fit. */
const table: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  apiKey: { ...keyOnly('HEADER X-Api-Key: *****', 'HEADER X-Api-Key: *****'), HMAC: placedHere },
  aws: { alone: aws },
  azure: { alone: 'HEADER Authorization: SharedKey acme:*****, HEADER x-ms-date: *****' },
  basicAuth: { alone: basic, BASIC_AUTH: basic },
  bearerToken: { ...keyOnly(bearer), OAUTH2: bearer },
  binary: { alone: 'SCHEME_REQUIRED', HMAC: placedHere },
  certificate: { alone: certificate, CERTIFICATE: certificate },
  certificateKeyPair: { alone: certificate, CERTIFICATE: certificate },
  customFunction: { alone: 'NOT_SUPPORTED', CUSTOM_FUNCTION: 'NOT_SUPPORTED' },
  datadog: keyOnly('HEADER DD-API-KEY: *****', 'HEADER DD-API-KEY: *****'),
  gcp: { alone: bearer, GOOGLE_SERVICE_ACCOUNT: bearer, OAUTH2: bearer },
  git: { alone: basic, BASIC_AUTH: basic },
  'git SSH': { alone: 'NOT_FOR_REQUESTS' },
  http: keyOnly('HEADER X-Api-Key: *****', 'HEADER X-Api-Key: *****'),
  'http QUERY': { alone: 'QUERY key: *****', API_KEY: placedHere, SECRET: 'QUERY key: *****' },
  'http BASIC': { alone: basic, BASIC_AUTH: basic },
  'http CERTIFICATE': { alone: certificate, CERTIFICATE: certificate },
  jwt: { alone: 'NOT_FOR_REQUESTS' },
  jwtBearer: { alone: bearer, JWT_BEARER: bearer },
  loggly: keyOnly('PATH: *****'),
  mailgun: { ...keyOnly(basic), BASIC_AUTH: basic },
  mongodb: { alone: 'NOT_FOR_REQUESTS' },
  none: { alone: '', NONE: '' },
  oauth2Client: { alone: bearer, OAUTH2: bearer },
  oauth2Password: { alone: 'SCHEME_REQUIRED', OAUTH2: bearer },
  oauth2Token: { alone: bearer, OAUTH2: bearer },
  sendgrid: keyOnly(bearer),
  snowflake: { alone: snowflakeHeaders },
  sql: { alone: 'NOT_FOR_REQUESTS' },
  string: { alone: 'SCHEME_REQUIRED', API_KEY: placedHere, SECRET: bare, HMAC: placedHere },
  twilio: { alone: basic, BASIC_AUTH: basic },
  whatsapp: keyOnly(bearer),
};
/** These send a token request first, which is tested where tokens are. */
const obtained = ['gcp', 'oauth2Client', 'oauth2Password'];
const tokenUse = {
  allowedDomains: [HOST, 'auth.example.com', 'oauth2.googleapis.com'],
  allowedPurposes: ['ACTION', 'TOKEN_REQUEST'],
};

/** A plan in one line. */
const shown = ({ steps, problems }: Json) =>
  problems.length > 0
    ? [...new Set(problems.map(({ code }: Json) => code))].join()
    : steps.map(({ location, name, value }: Json) => `${location}${name === null ? '' : ` ${name}`}: ${value}`).join(', ');

const asPattern = (value: string) =>
  new RegExp(
    `^${value
      .split('*****')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.+')}$`,
    's',
  );

describe('every kind with every scheme', () => {
  it('is applied as its plan says, and in no other way', async () => {
    expect([...new Set(rows.map((row) => row.split(' ')[0]))].sort()).toEqual(readableKinds.map(({ kind }) => kind).sort());
    expect(Object.keys(schemes).sort()).toEqual(Object.keys(authSchemeType.values).sort());
    const combinations = rows.flatMap((row) =>
      ['alone', ...Object.keys(table[row]!).filter((type) => type !== 'alone')].map((type) => [row, type] as const),
    );
    const items = combinations.map(([row, type]) => {
      const kind = row.split(' ')[0]!;
      const data = { [kind]: ways[row]?.() ?? exampleData(kindNamed(kind)) };
      return {
        name: `${row} ${type}`,
        connector: { inIntegration: { integration, name: 'api' } },
        actionCredentials: [{ credential: credential(data, obtained.includes(row) ? tokenUse : {}), authScheme: schemes[type] ?? null }],
      };
    });
    for (let at = 0; at < items.length; at += 100) {
      const { imported } = await run(
        test,
        caller,
        'importConnections',
        { integration, connections: items.slice(at, at + 100) },
        'results { error { message issues { path message } } }',
      );
      expect(imported.results.filter(({ error }: Json) => error)).toEqual([]);
    }
    const plans = new Map<string, Json>();
    for (let after: string | null = null, more = true; more; ) {
      test.commands.length = 0;
      const { connections }: Json = await test.query(
        caller,
        `query ($after: String) { connections(first: 100, after: $after) { nodes { id name ${PLAN} } pageInfo { hasNextPage endCursor } } }`,
        { after },
      );
      // A page of a hundred plans takes as many commands as one.
      expect(test.commands.length).toBeLessThanOrEqual(6);
      for (const node of connections.nodes) plans.set(node.name, node);
      more = connections.pageInfo.hasNextPage;
      after = connections.pageInfo.endCursor;
    }
    const actual = Object.fromEntries(rows.map((row) => [row, {} as Record<string, string>]));
    for (const [row, type] of combinations) actual[row]![type] = shown(plans.get(`${row} ${type}`).requestPlan);
    expect(actual).toEqual(table);
    expect(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')).toContain(appliedTable(readableKinds));
    // No kind fits any other scheme.
    for (const row of rows) {
      const kind = kindNamed(row.split(' ')[0]!);
      const settings = (ways[row]?.() ?? exampleData(kind)) as Record<string, unknown>;
      for (const schemeType of Object.keys(authSchemeType.values).filter((type) => !(type in table[row]!)))
        expect(applicationOf(kind.apply, settings, { schemeType, settings: placed }), `${row} ${schemeType}`).toBe(
          schemeType === 'OAUTH1' ? 'NOT_SUPPORTED' : 'KIND_DOES_NOT_FIT',
        );
    }

    // What a request gets is what the plan shows, with the secrets in it.
    let sent = 0;
    for (const [row, type] of combinations) {
      const { id, requestPlan } = plans.get(`${row} ${type}`);
      if (requestPlan.problems.length > 0 || obtained.includes(row)) continue;
      const url = `${origin}/v1/TOKEN/things?a=%20b`;
      const headers = [{ name: 'x-ms-version', value: '2024-11-04' }];
      const { request, ...rest } = await authorize(id, { url, headers });
      expect(request, `${row} ${type} ${JSON.stringify(rest)}`).toBeDefined();
      const steps = (location: string) => requestPlan.steps.filter((step: Json) => step.location === location);
      expect(request.headers.map(({ name }: Json) => name)).toEqual(steps('HEADER').map(({ name }: Json) => name));
      for (const [index, { value }] of request.headers.entries()) expect(value).toMatch(asPattern(steps('HEADER')[index].value));
      expect(request.query.map(({ name }: Json) => name)).toEqual(steps('QUERY').map(({ name }: Json) => name));
      expect(request.clientCertificate !== null).toBe(steps('CLIENT_CERTIFICATE').length > 0);
      expect(request.url.startsWith(url)).toBe(steps('PATH').length === 0);
      sent++;
    }
    expect(sent).toBeGreaterThan(50);
  });
});

describe('a service gets', () => {
  it('Basic, bearer, API keys, cookies and parameters', async () => {
    const user = await connect([{ credential: credential({ basicAuth: { username: 'ada', password: 'pässwörd' } }) }]);
    const { headers } = await sendIt(await authorize(user.id));
    expect(Buffer.from(headers.authorization!.slice(6), 'base64').toString()).toBe('ada:pässwörd');

    const cookie = (name: string) => scheme('API_KEY', { apiKey: { name, in: 'COOKIE' } });
    const several = await connect([
      { credential: credential({ bearerToken: { token: 'tok' } }) },
      { credential: credential({ string: { value: 'one' } }), authScheme: cookie('{value}') },
      { credential: credential({ string: { value: 'two' } }), authScheme: { ...cookie('b'), schemeId: 't' } },
      {
        credential: credential({ string: { value: 'a b&c=ü' } }),
        authScheme: { ...scheme('API_KEY', { apiKey: { name: 'k{value}', in: 'QUERY' } }), schemeId: 'u' },
      },
    ]).catch((error: Error) => error);
    // A cookie's name is a token (RFC 6265), and a brace is in none.
    expect(String(several)).toContain('VALIDATION_FAILED');
    const given = [{ name: 'Cookie', value: 'own=1' }];
    const { id } = await connect([
      { credential: credential({ bearerToken: { token: 'tok' } }) },
      { credential: credential({ string: { value: 'one' } }), authScheme: cookie('a') },
      {
        credential: credential({ string: { value: 'a b&c=ü' } }),
        authScheme: { ...scheme('API_KEY', { apiKey: { name: 'k{value}', in: 'QUERY' } }), schemeId: 'u' },
      },
    ]);
    const received = await sendIt(await authorize(id, { headers: given }), { headers: given });
    expect(received.headers.authorization).toBe('Bearer tok');
    expect(received.headers.cookie).toBe('own=1; a=one');
    // The name is literal: it does not become the secret.
    expect(received.target).toBe('/v1/things?a=1&k%7Bvalue%7D=a%20b%26c%3D%C3%BC');
  });

  it('an HMAC over what the scheme says', async () => {
    const hmac = (settings: object) => scheme('HMAC', { hmac: { name: 'X-Signature', in: 'HEADER', ...settings } });
    const secret = { string: { value: 'shared' } };
    const both = await connect([
      { credential: credential(secret), authScheme: hmac({ algorithm: 'SHA512', digestInputs: ['BODY', 'URL'], encoding: 'BASE64' }) },
    ]);
    const post = { method: 'POST', body: 'hello wörld' };
    const received = await sendIt(await authorize(both.id, post), post);
    const expected = createHmac('sha512', 'shared').update(received.body).update(`${origin}${received.target}`).digest('base64');
    expect(received.headers['x-signature']).toBe(expected);
    // Without the whole body, nothing is signed as if it were empty.
    expect(await authorize(both.id, { method: 'POST' })).toMatchObject({ reason: 'BODY_REQUIRED' });
    expect(await authorize(both.id, { method: 'POST', bodySha256: '0'.repeat(64) })).toMatchObject({ reason: 'BODY_REQUIRED' });

    // It covers the parameter that another credential adds.
    const key = Buffer.from([1, 2, 254]);
    const url = await connect([
      {
        credential: credential({ binary: { valueBase64: key.toString('base64') } }),
        authScheme: hmac({ algorithm: 'SHA1', digestInputs: ['URL'], encoding: 'BASE64URL', in: 'QUERY', name: 'sig' }),
      },
      {
        credential: credential({ string: { value: 'v' } }),
        authScheme: { ...scheme('API_KEY', { apiKey: { name: 'key', in: 'QUERY' } }), schemeId: 't' },
      },
    ]);
    const { target } = await sendIt(await authorize(url.id));
    const signed = `${origin}/v1/things?a=1&key=v`;
    expect(`${origin}${target}`).toBe(`${signed}&sig=${createHmac('sha1', key).update(signed).digest('base64url')}`);
  });

  it('an AWS signature that the signer of the AWS SDK makes, too', async () => {
    const keys = exampleData(kindNamed('aws')) as Record<'accessKeyId' | 'secretAccessKey' | 'sessionToken' | 'region' | 'service', string>;
    // This host does not tell the service.
    const unknown = await connect([{ credential: credential({ aws: { ...keys, service: undefined } }) }]);
    expect(await authorize(unknown.id)).toMatchObject({ reason: 'SERVICE_REQUIRED' });
    const { id } = await connect([{ credential: credential({ aws: keys }) }]);
    const post = {
      method: 'PUT',
      url: `${origin}/v1/a b/%C3%BC?z=1&a=%2F&a=!`.replace(' ', '%20'),
      body: 'content',
      headers: [
        { name: 'X-Amz-Target', value: 'Things.Put' },
        { name: 'Content-Type', value: 'text/plain' },
      ],
    };
    const { request } = await authorize(id, post);
    const received = await sendIt({ request }, post);
    const signer = new SignatureV4({
      credentials: keys,
      region: keys.region,
      service: keys.service,
      sha256: class {
        readonly #hash: { update(data: string | Uint8Array): unknown; digest(): Buffer };
        constructor(secret?: string | Uint8Array) {
          this.#hash = secret ? createHmac('sha256', secret) : createHash('sha256');
        }
        update(data: string | Uint8Array) {
          this.#hash.update(data);
        }
        async digest() {
          return new Uint8Array(this.#hash.digest());
        }
      } as never,
    });
    const url = new URL(`${origin}${received.target}`);
    const { authorization: _, 'content-type': __, ...headers } = received.headers as Record<string, string>;
    const query = Object.fromEntries([...new Set(url.searchParams.keys())].map((name) => [name, url.searchParams.getAll(name)]));
    const date = headers['x-amz-date']!.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const signed = await signer.sign(
      {
        method: 'PUT',
        protocol: 'https:',
        hostname: url.host,
        path: url.pathname,
        query,
        headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name === 'host' || name.startsWith('x-amz-'))),
        body: received.body,
      },
      { signingDate: new Date(date) },
    );
    expect(received.headers.authorization).toBe(signed.headers.authorization);
    expect(received.headers['x-amz-content-sha256']).toBe(createHash('sha256').update('content').digest('hex'));
    // A digest is enough, and gives the same signature.
    const { body: ___, ...without } = post;
    const time = new Date();
    test.time = () => time;
    const bySha = await authorize(id, { ...without, bodySha256: createHash('sha256').update('content').digest('hex').toUpperCase() });
    expect(bySha.request).toEqual((await authorize(id, post)).request);
    test.time = () => new Date();
    expect(await authorize(id, without)).toMatchObject({ reason: 'BODY_REQUIRED' });
  });

  it('Azure’s Shared Key, as Microsoft describes it', async () => {
    const { id } = await connect([{ credential: credential({ azure: { account: 'acme', accountKey: 'c2VjcmV0LWtleQ==' } }) }]);
    const given = {
      method: 'PUT',
      url: `${origin}/v1/box/x%20y?Timeout=20&comp=list&include=b&include=a`,
      body: 'abc',
      headers: [
        { name: 'x-ms-version', value: '2024-11-04' },
        { name: 'Content-Type', value: 'text/plain' },
        { name: 'x-ms-blob-type', value: 'BlockBlob' },
      ],
    };
    const { headers, target } = await sendIt(await authorize(id, given), given);
    const date = headers['x-ms-date'];
    const text = `PUT\n\n\n3\n\ntext/plain\n\n\n\n\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:${date}\nx-ms-version:2024-11-04\n/acme/v1/box/x%20y\ncomp:list\ninclude:a,b\ntimeout:20`;
    expect(target).toBe('/v1/box/x%20y?Timeout=20&comp=list&include=b&include=a');
    expect(headers.authorization).toBe(`SharedKey acme:${createHmac('sha256', 'secret-key').update(text).digest('base64')}`);
    expect(await authorize(id)).toMatchObject({ reason: 'HEADER_REQUIRED' });
  });

  it('tokens that are made for the request', async () => {
    const claims = '{"iss":"gateway","sub":"ada","exp":1}';
    const make = (data: object) =>
      connect([
        { credential: credential({ jwtBearer: { payload: claims, expiresIn: '1m30s', authorizationHeaderPrefix: 'JWT', ...data } }) },
      ]);
    const shared = Buffer.alloc(48, 7);
    const hs = await make({ algorithm: 'HS384', secret: shared.toString('base64') });
    const { authorization } = (await sendIt(await authorize(hs.id))).headers;
    const { payload } = await jwtVerify(authorization!.slice(4), shared, { algorithms: ['HS384'] });
    expect(payload).toMatchObject({ iss: 'gateway', sub: 'ada' });
    expect(payload.exp! - payload.iat!).toBe(90);

    const publicKey = createPublicKey(exampleRsaKey);
    for (const algorithm of ['RS256', 'PS512']) {
      const rsa = await make({ algorithm, secret: Buffer.from(exampleRsaKey).toString('base64') });
      const result = await authorize(rsa.id);
      await jwtVerify(result.request.headers[0].value.slice(4), publicKey, { algorithms: [algorithm] });
      expect(Date.parse(result.request.expiresAt) - Date.now()).toBeLessThan(90_000);
    }
    const snowflake = await connect([
      { credential: credential({ snowflake: { host: HOST, username: 'loader', privateKey: exampleRsaKey } }) },
    ]);
    const { headers } = await sendIt(await authorize(snowflake.id));
    const key = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64');
    const verified = await jwtVerify(headers.authorization!.slice(7), publicKey, {
      issuer: `API.LOADER.SHA256:${key}`,
      subject: 'API.LOADER',
    });
    expect(verified.payload.exp! - verified.payload.iat!).toBeLessThanOrEqual(3_600);
  });

  it('a client certificate', async () => {
    const { cert, key } = service.authority.issue(['client.example'], { usage: 'client' });
    const { id } = await connect([{ credential: credential({ certificateKeyPair: { certificate: cert, privateKey: key } }) }]);
    const { request } = await authorize(id);
    expect(request.clientCertificate.certificates.trim()).toBe(cert.trim());
    expect(createPublicKey(request.clientCertificate.privateKey).export({ type: 'spki', format: 'pem' })).toBe(
      createPublicKey(cert).export({ type: 'spki', format: 'pem' }),
    );
  });
});

describe('a request goes only', () => {
  it('where the connection and the credential say, and as it was read', async () => {
    const { id } = await connect([{ credential: credential({ bearerToken: { token: 'tok' } }) }]);
    const { port } = new URL(origin);
    const refused = [
      `https://${HOST}/`,
      `http://${HOST}:${port}/`,
      `https://evil.example:${port}/`,
      `https://${HOST}.evil.example:${port}/`,
      `https://${HOST}.:${port}/`,
      `https://x.${HOST}:${port}/`,
      `https://service.test:${port}/`,
      `https://127.0.0.1:${port}/`,
      `https://[::1]:${port}/`,
      `https://ada@${HOST}:${port}/`,
      `https://ada:pw@${HOST}:${port}/`,
      `https://evil.example\\@${HOST}:${port}/`,
      `https://${HOST}:${port}\\@evil.example/`,
      `https:/${HOST}:${port}/`,
      `https://%61pi.service.test:${port}/`,
      `https://ａpi.service.test:${port}/`,
      `https://${HOST}:${port}/a\tb`,
      ` https://${HOST}:${port}/`,
      `ftp://${HOST}:${port}/`,
      `//${HOST}:${port}/`,
      'javascript:alert(1)',
      '',
    ];
    for (const url of refused) {
      const result = await authorize(id, { url });
      expect(['VALIDATION_FAILED', 'CREDENTIAL_NOT_USABLE'], url).toContain(result.code);
      const { permits } = await planOf(id, `requestPlan { permits(url: ${JSON.stringify(url)}) }`);
      expect(permits, url).toBe(false);
    }
    // A path is below the base URL, as that of the proxy is.
    for (const path of ['/things?a=1', '/a%2fx', '/a?b=/../c']) {
      expect((await authorize(id, { url: path })).request.url).toBe(new URL(`${origin}/v1${path}`).href);
      expect((await planOf(id, `requestPlan { permits(url: ${JSON.stringify(path)}) }`)).permits).toBe(true);
    }
    for (const path of ['/a#b', '/\\evil.example', '//evil.example/', '/a b', '?a=1', 'things', '/é']) {
      expect(await authorize(id, { url: path }), path).toMatchObject({ code: 'VALIDATION_FAILED' });
      expect((await planOf(id, `requestPlan { permits(url: ${JSON.stringify(path)}) }`)).permits, path).toBe(false);
    }
    for (const path of ['/../../x', '/..%2fx', '/a/%2e%2e/b', '/%252e%252e/x']) {
      expect(await authorize(id, { url: path }), path).toMatchObject({ reason: 'URL_NOT_ALLOWED' });
      expect((await planOf(id, `requestPlan { permits(url: ${JSON.stringify(path)}) }`)).permits, path).toBe(false);
    }
    for (const url of [`${origin}/`, `HTTPS://${HOST.toUpperCase()}:${port}/v2/../x`, origin]) {
      const { request } = await authorize(id, { url });
      expect(request.url).toBe(new URL(url).href);
      expect((await planOf(id, `requestPlan { permits(url: ${JSON.stringify(url)}) }`)).permits).toBe(true);
    }
    // What a credential sets cannot be given, nor another host.
    for (const name of ['authorization', 'AUTHORIZATION', 'Host'])
      expect(await authorize(id, { headers: [{ name, value: 'x' }] })).toMatchObject({ reason: 'HEADER_NOT_ALLOWED' });
    const inQuery = await connect([
      { credential: credential({ string: { value: 'v' } }), authScheme: scheme('API_KEY', { apiKey: { name: 'key', in: 'QUERY' } }) },
    ]);
    expect(await authorize(inQuery.id, { url: `${origin}/?k%65y=mine` })).toMatchObject({ reason: 'HEADER_NOT_ALLOWED' });
  });

  it('to what a pattern of the http kind covers', async () => {
    const { port } = new URL(origin);
    const cases: readonly (readonly [pattern: string, path: string, permits: boolean])[] = [
      [`https://${HOST}:${port}`, '/any', true],
      [`https://${HOST}:${port}/v1/`, '/v1/x', true],
      [`https://${HOST}:${port}/v1/`, '/v2/x', false],
      [`https://${HOST}:${port}/v1/`, '/v1/../v2/x', false],
      [`https://${HOST}:${port}/v1/`, '/v1/%2e%2E/v2/x', false],
      [`https://${HOST}:${port}/v1/`, '/v1/..%2fv2', false],
      [`https://${HOST}:${port}/v1/`, '/v1/..%5cv2', false],
      [`https://*.service.test:${port}/*/things`, '/v1/things', true],
      [`https://*.service.test:${port}/*/things`, '/v1/things/2', false],
      [`*://${HOST}:${port}/v1/*`, '/v1/', true],
      [`https://${HOST}/*`, '/', false],
      [`https://example.com:${port}/*`, '/', false],
      [`https://api.service:${port}/*`, '/', false],
      [`http://${HOST}:${port}/*`, '/', false],
    ];
    for (const [uriMatch, path, permits] of cases) {
      const { id } = await connect([
        { credential: credential({ http: { uriMatch, authMethod: 'HEADER', publicValue: 'X-Key', secretValue: 'v' } }) },
      ]);
      const { code } = await authorize(id, { url: `${origin}${path}` });
      expect(code === undefined, `${uriMatch} ${path}`).toBe(permits);
    }
  });

  it('below a base URL with the variables of the connection in it', async () => {
    const { port } = new URL(origin);
    await test.create(caller, 'Connector', { integration, name: 'tenants', baseUrl: `https://{tenant}.service.test:${port}/{area}/v1` });
    const connector = { inIntegration: { integration, name: 'tenants' } };
    const entry = { credential: credential({ bearerToken: { token: 'tok' } }, { allowedDomains: ['*.service.test'] }) };
    const of = (variables: Record<string, string>, rest: object = {}) =>
      connect([entry], { connector, variables: Object.entries(variables).map(([name, value]) => ({ name, value })), ...rest });
    const acme = await of({ tenant: 'acme', area: 'a/b?c' });
    expect(acme).toMatchObject({
      problems: [],
      baseUrl: `https://acme.service.test:${port}/a%2Fb%3Fc/v1`,
      allowedHosts: ['acme.service.test'],
    });
    for (const tenant of ['evil.example/', 'evil.example#', 'a@evil', 'evil.example:1/', '%65', 'a\\b', '..', ''])
      expect(shown(await of({ tenant, area: 'x' })), tenant).toBe('VARIABLE_MISSING');
    expect(shown(await of({ tenant: 'x' }))).toBe('VARIABLE_MISSING');
    expect(shown(await of({ tenant: 'x', area: '..' }))).toBe('VARIABLE_MISSING');
    // The base URL of the connection overrides that of the connector, on the same host.
    const own = await of({ tenant: 'acme', area: 'x' }, { baseUrl: 'https://{tenant}.service.test/v2' });
    expect(own).toMatchObject({ problems: [], baseUrl: 'https://acme.service.test/v2' });
    await expect(of({ tenant: 'acme', area: 'x' }, { baseUrl: 'https://other.service.test/' })).rejects.toThrow(/baseUrl/);
    // Another variable leads elsewhere than the base URL, which is refused, too.
    const moved = await run(test, caller, 'updateConnection', { connection: { id: own.id }, allowedDomain: 'other.service.test' }).catch(
      String,
    );
    expect(JSON.stringify(moved)).toContain('baseUrl');
  });

  it('with a plan without problems', async () => {
    const token = (rest: object) => ({ credential: credential({ bearerToken: { token: 'tok' } }, rest) });
    const problems = async (entries: readonly object[], rest: object = {}) => {
      const { id, ...plan } = await connect(entries, rest);
      const { code, reason } = await authorize(id);
      expect([code, reason]).toEqual(['CREDENTIAL_NOT_USABLE', plan.problems[0].code]);
      expect(plan.permits).toBe(false);
      return plan.problems.map((problem: Json) => problem.code);
    };
    expect(await problems([token({ enabled: false })])).toEqual(['DISABLED']);
    expect(await problems([token({ allowedPurposes: ['TRIGGER'] })])).toEqual(['PURPOSE']);
    expect(await problems([token({ allowedDomains: [] })])).toEqual(['DOMAIN']);
    expect(await problems([token({}), token({})])).toEqual(['SAME_PLACE']);
    expect(await problems([token({})], { connector: null })).toEqual(['NO_HOST']);
    expect(
      await problems([
        {
          credential: credential({ oauth2Token: { scopes: [], accessToken: 't' } }),
          authScheme: scheme('OAUTH2', { oauth2: { grant: 'PASSWORD', tokenUrl: 'https://auth.example.com/', mtlsEnabled: true } }),
        },
      ]),
    ).toEqual(['SCHEME_INCOMPLETE']);
    expect(await problems([{ credential: credential({ git: { type: 'HTTP_PASSWORD', cloneUrl: `https://${HOST}/a.git` } }) }])).toEqual([
      'SECRET_MISSING',
    ]);
    expect(await problems([{ credential: credential({ datadog: { site: 'datadoghq.eu', secretValue: 'key' } }) }])).toEqual(['DOMAIN']);
    const bad = await connect([{ credential: credential({ string: { value: 'a\r\nX: y' } }), authScheme: schemes.API_KEY }]);
    expect(await authorize(bad.id)).toMatchObject({ reason: 'SECRET_NOT_SUITABLE' });
    await test.create(caller, 'Connector', { integration, name: 'secured', baseUrl: origin, authSchemes: [schemes.BASIC_AUTH] });
    const secured = { connector: { inIntegration: { integration, name: 'secured' } } };
    expect(await problems([], secured)).toEqual(['CREDENTIAL_REQUIRED']);
    // For each purpose: the credentials for one are not those for the other.
    const onlyActions = await connect([token({})], secured);
    expect(await authorize(onlyActions.id, { purpose: 'TRIGGER' })).toMatchObject({ reason: 'CREDENTIAL_REQUIRED', credentialId: null });
    expect(await planOf(onlyActions.id, 'requestPlan(purpose: TRIGGER) { problems { code } permits(url: "/") }')).toEqual({
      problems: [{ code: 'CREDENTIAL_REQUIRED' }],
      permits: false,
    });
    const onlyTriggers = await connect([], { ...secured, triggerCredentials: [token({ allowedPurposes: ['TRIGGER'] })] });
    expect(onlyTriggers.problems).toMatchObject([{ code: 'CREDENTIAL_REQUIRED' }]);
    expect((await authorize(onlyTriggers.id, { purpose: 'TRIGGER' })).request).toBeDefined();

    // Everything that is wrong is shown, and only the allowed host.
    const wrong = await connect([
      {
        credential: credential({ string: { value: 'v' } }, { enabled: false, allowedDomains: [], allowedPurposes: [] }),
        authScheme: schemes.BASIC_AUTH,
      },
    ]);
    expect(wrong.problems.map(({ code }: Json) => code)).toEqual(['DISABLED', 'PURPOSE', 'DOMAIN', 'KIND_DOES_NOT_FIT']);
    expect(wrong.allowedHosts).toEqual([]);
    const nowhere = await connect([token({ allowedPurposes: [] })], { connector: null });
    expect(nowhere.problems.map(({ code }: Json) => code)).toEqual(['NO_HOST', 'PURPOSE']);
    // What sends a token request needs that purpose and that host, too.
    const oauth = (settings: object = {}) =>
      scheme('OAUTH2', { oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', ...settings } });
    const client = { oauth2Client: exampleData(kindNamed('oauth2Client')) };
    const asked = await connect([{ credential: credential(client), authScheme: oauth({ clientAuthentication: 'TLS' }) }]);
    expect(asked.problems.map(({ code }: Json) => code)).toEqual(['PURPOSE', 'DOMAIN', 'SCHEME_INCOMPLETE']);
    expect(asked.allowedHosts).toEqual([HOST]);

    // A dead token is not sent.
    const dead = {
      expired: { oauth2Token: { accessToken: 't', scopes: [], accessTokenExpiresAt: '2020-01-01T00:00:00Z' } },
      // It could be refreshed, if it were allowed to.
      refreshed: { oauth2Token: { accessToken: 't', refreshToken: 'r', scopes: [], accessTokenExpiresAt: '2020-01-01T00:00:00Z' } },
      valid: { oauth2Token: { accessToken: 't', scopes: [], accessTokenExpiresAt: '2999-01-01T00:00:00Z' } },
    };
    const expired = await connect([{ credential: credential(dead.expired) }]);
    expect(expired.problems.map(({ code }: Json) => code)).toEqual(['NEEDS_AUTHORIZATION']);
    expect(await authorize(expired.id)).toMatchObject({
      reason: 'NEEDS_AUTHORIZATION',
      credentialId: expired.problems[0].credentialId,
      message: expect.stringContaining('startAuthorization'),
    });
    expect((await connect([{ credential: credential(dead.valid) }])).problems).toEqual([]);
    expect((await connect([{ credential: credential(dead.refreshed) }])).problems).toMatchObject([{ code: 'PURPOSE' }]);
    for (const purpose of Object.keys(credentialPurpose.values)) {
      const { id } = await connect([token({ allowedPurposes: Object.keys(credentialPurpose.values) })]);
      const isForRequests = ['ACTION', 'TRIGGER'].includes(purpose);
      expect((await authorize(id, { purpose })).reason).toBe(isForRequests ? undefined : 'PURPOSE_WITHOUT_REQUESTS');
    }
    for (const message of Object.values(notUsable)) expect(message).not.toMatch(/[.!]$/);
  });
});

it('an authorized request is in the audit log before a secret is opened, and the last use is noted without a write', async () => {
  const { id } = await connect([{ credential: credential({ bearerToken: { token: 'tok' } }) }]);
  const noon = new Date('2026-11-26T12:00:42Z');
  test.time = () => noon;
  test.commands.length = 0;
  await authorize(id);
  const commands = [...test.commands];
  await authorize(id);
  const LAST = 'lastUsedAt actionCredentials { credential { ... on CredentialBase { lastUsedAt version updatedAt } } } version';
  const read = () => test.query(caller, `query ($id: ID!) { connection(by: { id: $id }) { ${LAST} } }`, { id });
  expect((await read()).connection.lastUsedAt).toBeNull();
  await test.gateway.audit.seal();
  const { connection } = await read();
  expect(connection).toMatchObject({ lastUsedAt: '2026-11-26T12:00:00.000Z', version: 1 });
  expect(connection.actionCredentials[0].credential).toMatchObject({ lastUsedAt: '2026-11-26T12:00:00.000Z', version: 1 });
  test.time = () => new Date();
  expect(commands.filter((name) => name === 'update').length).toBeLessThanOrEqual(2);
  const { auditLog } = await test.query(
    caller,
    '{ auditLog(first: 100, action: authorizeRequest) { nodes { action outcome reason createdAt } } }',
  );
  expect(auditLog.nodes.filter((entry: Json) => entry.createdAt === noon.toISOString() && entry.outcome === 'SUCCESS')).toMatchObject([
    { action: 'authorizeRequest', outcome: 'SUCCESS', reason: `ACTION: ${HOST}` },
    { action: 'authorizeRequest', outcome: 'SUCCESS', reason: `ACTION: ${HOST}` },
  ]);
});

it('needs a scope of its own, which end users never have, and whose answers nobody stores', async () => {
  const { id } = await connect([{ credential: credential({ bearerToken: { token: 'tok' } }) }]);
  const wild = { ...caller, scopes: ['*', 'connections.*'] };
  const query = `mutation ($id: ID!) { authorizeRequest(input: { connection: { id: $id }, method: "GET", url: "${origin}/" }) { __typename } }`;
  expect((await test.answer(wild, query, { id })).errors?.[0].extensions).toMatchObject({ code: 'FORBIDDEN', scope: 'connections.use' });
  const answer = await test.answer({ ...caller, scopes: ['connections.use', 'connections.get'] }, query, { id });
  expect(answer.data.authorizeRequest.__typename).toBe('AuthorizeRequestSuccess');
  expect(answer.headers.get('cache-control')).toContain('no-store');
});
