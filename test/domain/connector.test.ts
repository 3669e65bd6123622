import { describe, expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();
const integration = { name: 'crm' };
const scheme = (schemeId: string) => ({ schemeId, schemeType: 'NONE' });
const fields = 'id name description baseUrl version authSchemes { schemeId }';

async function setUp(): Promise<{ caller: Caller; id: string }> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  const input = {
    integration,
    name: 'zendesk',
    description: 'tickets',
    baseUrl: 'https://api.example.com',
    authSchemes: [scheme('a'), scheme('b')],
  };
  return { caller, id: (await test.create(caller, 'Connector', input)).id };
}

describe('an update', () => {
  it('keeps what is absent, clears what is null, empties with [] and replaces a list whole', async () => {
    const { caller, id } = await setUp();
    const update = async (input: object) => (await run(test, caller, 'updateConnector', { connector: { id }, ...input }, fields)).connector;
    const whole = {
      name: 'zendesk',
      description: 'tickets',
      baseUrl: 'https://api.example.com',
      authSchemes: [{ schemeId: 'a' }, { schemeId: 'b' }],
    };
    expect(await update({})).toMatchObject(whole);
    expect(await update({ description: null })).toMatchObject({ ...whole, description: null });
    expect(await update({ authSchemes: [scheme('c')] })).toMatchObject({ authSchemes: [{ schemeId: 'c' }] });
    expect(await update({ authSchemes: [] })).toMatchObject({ authSchemes: [], version: 4 });
    expect(await update({ authSchemes: [scheme('d')], baseUrl: 'http://localhost:8080/v1' })).toMatchObject({
      baseUrl: 'http://localhost:8080/v1',
    });
    expect(await update({ authSchemes: null })).toMatchObject({ authSchemes: [], name: 'zendesk' });
  });
});

it('refuses the URL of a service that no credential could ever be sent to, wherever one is given', async () => {
  const { caller, id } = await setUp();
  const connector = { id };
  const owner = { integration, name: 'x' };
  const codes = 'results { error { message } }';
  const oauth2 = { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token' };
  const authSchemes = (settings: object) => [{ schemeId: 'o', schemeType: 'OAUTH2', oauth2: { ...oauth2, ...settings } }];
  const client = (tokenUrl: string) => ({ oauth2Client: { clientId: 'c', tokenUrl } });
  const inputs: Readonly<Record<string, (url: string) => Promise<Json>>> = {
    createConnector: (baseUrl) => run(test, caller, 'createConnector', { ...owner, baseUrl }),
    updateConnector: (baseUrl) => run(test, caller, 'updateConnector', { connector, baseUrl }),
    createConnection: (baseUrl) => run(test, caller, 'createConnection', { ...owner, connector, baseUrl }),
    importConnections: (baseUrl) => run(test, caller, 'importConnections', { integration, connections: [{ name: 'x', baseUrl }] }, codes),
    tokenUrl: (tokenUrl) => run(test, caller, 'updateConnector', { connector, authSchemes: authSchemes({ tokenUrl }) }),
    revocationUrl: (revocationUrl) => run(test, caller, 'updateConnector', { connector, authSchemes: authSchemes({ revocationUrl }) }),
    introspectionUrl: (introspectionUrl) =>
      run(test, caller, 'updateConnector', { connector, authSchemes: authSchemes({ introspectionUrl }) }),
    client: (tokenUrl) => run(test, caller, 'createCredential', { ...owner, data: client(tokenUrl) }),
  };
  for (const [name, send] of Object.entries(inputs)) {
    for (const url of [
      'https://10.1.2.3/v1',
      'http://[::1]:8080',
      'https://0x7f.1/',
      'https://2130706433/',
      'https://example.com./',
      'https://a.1/',
    ]) {
      const answer = await send(url).catch((error: Error) => ({ message: error.message }));
      expect(JSON.stringify(answer), `${name} ${url}`).toMatch(/host name, not an IP address/);
    }
  }
  // A name can lead to an address that the operator allows, and a variable can become a name.
  for (const baseUrl of ['https://localhost/', 'http://intranet:8080/', 'https://{tenant}.example.com/{area}', 'https://{host}/'])
    expect(await run(test, caller, 'updateConnector', { connector, baseUrl }, fields)).toMatchObject({ connector: { baseUrl } });
  // These are only compared, or for the browser, or asked without credentials.
  const others = { authorizeUrl: 'https://10.1.2.3/authorize', issuer: 'https://10.1.2.3' };
  expect(await run(test, caller, 'updateConnector', { connector, authSchemes: authSchemes(others) }, fields)).toHaveProperty('connector');
});

it('keeps every setting of every scheme as it was sent', async () => {
  const { caller } = await setUp();
  const client = await test.create(caller, 'Credential', {
    integration,
    name: 'client',
    data: { oauth2Client: { clientId: 'c', clientSecret: 's', tokenUrl: 'https://auth.example.com/token' } },
  });
  const oauth2 = {
    grant: 'AUTHORIZATION_CODE',
    authorizeUrl: 'https://auth.example.com/authorize',
    tokenUrl: 'https://auth.example.com/token',
    scopes: [
      { name: 'tickets:read', value: 'Read tickets' },
      { name: 'tickets:write', value: null },
    ],
    defaultScopes: ['tickets:read'],
    additionalAuthorizeParams: [{ name: 'prompt', value: 'login' }],
    additionalTokenParams: [{ name: 'audience', value: 'api' }],
    mtlsEnabled: false,
    mtlsCredentialId: null,
    clientCredentialId: client.id,
  };
  const hmac = { name: 'X-Signature', in: 'HEADER', algorithm: 'SHA256', digestInputs: ['BODY', 'URL'], encoding: 'BASE64' };
  const apiKey = { name: 'X-Api-Key', in: 'HEADER' };
  const created = await test.create(
    caller,
    'Connector',
    {
      integration,
      name: 'all',
      baseUrl: 'https://api.example.com',
      authSchemes: [
        { schemeId: '1', schemeType: 'OAUTH2', description: 'with consent', oauth2 },
        { schemeId: '2', schemeType: 'HMAC', hmac },
        { schemeId: '3', schemeType: 'API_KEY', apiKey },
        ...['NONE', 'BASIC_AUTH', 'CERTIFICATE', 'CUSTOM_FUNCTION', 'GOOGLE_SERVICE_ACCOUNT', 'JWT_BEARER', 'OAUTH1', 'SECRET'].map(
          (schemeType) => ({ schemeId: schemeType, schemeType }),
        ),
      ],
    },
    `authSchemes { schemeId schemeType description
      ... on OAuth2AuthScheme { grant authorizeUrl tokenUrl scopes { name value } defaultScopes additionalAuthorizeParams { name value }
        additionalTokenParams { name value } mtlsEnabled mtlsCredentialId clientCredentialId }
      ... on HmacAuthScheme { name in algorithm digestInputs encoding }
      ... on ApiKeyAuthScheme { name in } }`,
  );
  expect(created.authSchemes).toMatchObject([
    { schemeId: '1', description: 'with consent', ...oauth2 },
    { schemeId: '2', description: null, ...hmac },
    { schemeId: '3', ...apiKey },
    ...Array.from({ length: 8 }, () => ({ description: null })),
  ]);
});
