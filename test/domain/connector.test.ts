import { describe, expect, it } from 'vitest';
import { type Caller, useTestGateway } from '../harness.ts';
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
