import { randomBytes } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { exampleCertificate } from '../../src/credential-kinds/examples-pem.ts';
import { rememberingContents } from '../database.ts';
import { type Answer, type Caller, type Json, useTestGateway } from '../harness.ts';
import { expectNoTrace, newCanary, send, sendAll } from '../operations.ts';
import { seedWorld, type World } from '../world.ts';

const test = useTestGateway();
const contents = rememberingContents(test);
let world: World;
let stranger: World;
beforeAll(async () => {
  world = await seedWorld(test);
  stranger = await seedWorld(test);
});

const crm = { name: 'crm' };
const shop = { name: 'shop' };
const none = { none: {} };
const globalId = (noun: string, id = randomBytes(12).toString('hex')) => Buffer.from(`${noun}:${id}`).toString('base64url');
const basicAuth = (password: string) => ({ basicAuth: { username: 'ada', password } });
const use = (credential: object, authScheme?: object) => ({ actionCredentials: [{ credential, authScheme }] });
const oauth2 = (settings: object) => ({
  schemeId: 'x',
  schemeType: 'OAUTH2',
  oauth2: { grant: 'CLIENT_CREDENTIALS', tokenUrl: 'https://auth.example.com/token', ...settings },
});
const connectorByName = (name: string, integration: object = crm) => ({ inIntegration: { integration, name } });
const endUserById = (externalId: string, integration: object = crm) => ({ inIntegration: { integration, externalId } });

/** What a bad request must do: say this of this place, hold no trace of the value, and change nothing. */
async function expectRefusal(ask: () => Promise<Answer>, canary: string, expected: { code: string; path?: string }): Promise<Answer> {
  const before = await contents();
  const logsBefore = test.logs.length;
  const answer = await ask();
  expect(refusal(answer)).toMatchObject(expected);
  expectNoTrace(test, answer, canary, logsBefore);
  expect(await contents()).toEqual(before);
  return answer;
}

/** The code and the path of an answer that is an error, wherever in the answer it stands. */
function refusal({ data, errors }: Answer): { code: string; path: string; message: string } {
  const { code, message, path, issues, currentVersion } = data?.result?.code ? data.result : flatten(errors?.[0]);
  return { code, message, path: (issues?.[0].path ?? path ?? []).join('.'), ...(currentVersion && { currentVersion }) };
}
const flatten = (error: Json) => ({ message: error.message, ...error.extensions });

/** Name of the case; the mutation; its input, made with the bad value; the code; the path that is named. */
type Case = readonly [string, string, (canary: string) => object, string, string];

/** The text of an answer, without the id of the request, which is another one each time. */
function textOf({ text, headers }: Pick<Answer, 'text' | 'headers'>): string {
  return text.replaceAll(headers.get('x-request-id')!, '');
}

describe('what is named and does not exist', () => {
  const cases: Case[] = [
    ...['Connector', 'EndUser', 'Connection', 'Credential'].map(
      (noun): Case => [
        `an integration, for a new ${noun}`,
        `create${noun}`,
        (name) => ({ integration: { name }, ...minimal[noun as keyof typeof minimal] }),
        'INVALID_INTEGRATION',
        'input.integration',
      ],
    ),
    ['an integration', 'updateIntegration', (name) => ({ integration: { name } }), 'INVALID_INTEGRATION', 'input.integration'],
    ['an integration', 'deleteIntegration', (name) => ({ integration: { name }, force: true }), 'INVALID_INTEGRATION', 'input.integration'],
    ['a connector', 'createConnection', (name) => connection({ connector: connectorByName(name) }), 'NOT_FOUND', 'input.connector'],
    ['a connector', 'updateConnector', (name) => ({ connector: connectorByName(name) }), 'NOT_FOUND', 'input.connector'],
    ['a connector', 'deleteConnector', (name) => ({ connector: connectorByName(name), force: true }), 'NOT_FOUND', 'input.connector'],
    [
      'a connector’s integration',
      'deleteConnector',
      (name) => ({ connector: connectorByName('zendesk', { name }) }),
      'NOT_FOUND',
      'input.connector',
    ],
    ['an end user', 'createConnection', (id) => connection({ endUser: endUserById(id) }), 'NOT_FOUND', 'input.endUser'],
    ['an end user', 'createCredential', (id) => credential({ endUser: endUserById(id) }), 'NOT_FOUND', 'input.endUser'],
    ['an end user', 'updateEndUser', (id) => ({ endUser: endUserById(id) }), 'NOT_FOUND', 'input.endUser'],
    ['an end user', 'deleteEndUser', (id) => ({ endUser: endUserById(id) }), 'NOT_FOUND', 'input.endUser'],
    [
      'a contact',
      'setEmailVerified',
      (email) => ({ endUser: endUserById('ada'), contactType: 'BILLING', email, verified: true }),
      'NOT_FOUND',
      'input.contactType',
    ],
    [
      'a connection',
      'updateConnection',
      (name) => ({ connection: { inIntegration: { integration: crm, name } } }),
      'NOT_FOUND',
      'input.connection',
    ],
    [
      'a connection',
      'deleteConnection',
      (name) => ({ connection: { inIntegration: { integration: crm, name } } }),
      'NOT_FOUND',
      'input.connection',
    ],
    [
      'a connection of a connector',
      'deleteConnection',
      (name) => ({ connection: { inConnector: { connector: connectorByName('zendesk'), name } } }),
      'NOT_FOUND',
      'input.connection',
    ],
  ];
  it.each(cases)('%s (%s)', async (_what, mutation, input, code, path) => {
    const canary = newCanary();
    await expectRefusal(() => send(test, world.caller, mutation, input(canary)), canary, { code, path });
  });

  const byId: Case[] = [
    ['a credential to update', 'updateCredential', (id) => ({ credential: id }), 'NOT_FOUND', 'input.credential'],
    ['a credential to delete', 'deleteCredential', (id) => ({ credential: id }), 'NOT_FOUND', 'input.credential'],
    [
      'a credential to reveal',
      'revealSecret',
      (credential) => ({ credential, field: 'password', reason: 'the test looks' }),
      'NOT_FOUND',
      'input.credential',
    ],
    ['a credential to bind', 'createConnection', (id) => connection(use({ id })), 'NOT_FOUND', 'input.actionCredentials.0.credential.id'],
    [
      'a credential of a connection’s scheme',
      'createConnection',
      (id) => connection(use({ create: { name: 'x', data: none } }, oauth2({ clientCredentialId: id }))),
      'NOT_FOUND',
      'input.actionCredentials.0.authScheme.oauth2',
    ],
    [
      'a credential of a connector’s scheme',
      'createConnector',
      (id) => ({ integration: crm, ...minimal.Connector, authSchemes: [oauth2({ mtlsCredentialId: id })] }),
      'NOT_FOUND',
      'input.authSchemes.0.oauth2',
    ],
  ];
  it.each(byId)('%s (%s)', async (_what, mutation, input, code, path) => {
    const canary = globalId('Credential');
    await expectRefusal(() => send(test, world.caller, mutation, input(canary), fieldsOf(mutation)), canary, {
      code,
      path,
    });
  });
});

const minimal = {
  Connector: { name: 'new', baseUrl: 'https://api.example.com' },
  EndUser: { externalId: 'new' },
  Connection: { name: 'new' },
  Credential: { name: 'new', data: none },
};
const connection = (input: object = {}) => ({ integration: crm, ...minimal.Connection, ...input });
const credential = (input: object = {}) => ({ integration: crm, ...minimal.Credential, ...input });
const fieldsOf = (mutation: string) => (mutation === 'revealSecret' ? 'plaintext' : 'id');

describe('what belongs to somebody else', () => {
  const cases: readonly (readonly [string, string, () => object, string, string])[] = [
    [
      'another integration’s connector',
      'createConnection',
      () => connection({ connector: { id: world.otherConnector } }),
      'NOT_FOUND',
      'input.connector',
    ],
    [
      'another integration’s end user',
      'createConnection',
      () => connection({ endUser: { id: world.otherEndUser } }),
      'NOT_FOUND',
      'input.endUser',
    ],
    [
      'another integration’s end user',
      'createCredential',
      () => credential({ endUser: { id: world.otherEndUser } }),
      'NOT_FOUND',
      'input.endUser',
    ],
    [
      'another integration’s credential',
      'createConnection',
      () => connection(use({ id: world.otherCredential })),
      'NOT_FOUND',
      'input.actionCredentials.0.credential.id',
    ],
    [
      'another integration’s credential',
      'updateConnection',
      () => ({ connection: { id: world.connection }, triggerCredentials: [{ credential: { id: world.otherCredential } }] }),
      'NOT_FOUND',
      'input.triggerCredentials.0.credential.id',
    ],
    [
      'an end user’s credential, for a connection of another',
      'createConnection',
      () => connection({ endUser: { id: world.bob }, ...use({ id: world.adasCredential }) }),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.credential.id',
    ],
    [
      'an end user’s credential, for a connection of nobody',
      'updateConnection',
      () => ({ connection: { id: world.connection }, ...use({ id: world.adasCredential }) }),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.credential.id',
    ],
    [
      'an end user’s credential, in the scheme of a connection of another',
      'createConnection',
      () => connection(use({ id: world.credential }, oauth2({ clientCredentialId: world.adasCredential }))),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.authScheme.oauth2',
    ],
    [
      'an end user’s credential, in a connector’s scheme',
      'updateConnector',
      () => ({ connector: { id: world.connector }, authSchemes: [oauth2({ clientCredentialId: world.adasCredential })] }),
      'VALIDATION_FAILED',
      'input.authSchemes.0.oauth2',
    ],
  ];
  it.each(cases)('%s (%s)', async (_what, mutation, input, code, path) => {
    await expectRefusal(() => send(test, world.caller, mutation, input()), 'pa55word', { code, path });
  });

  const reads = {
    credential: 'query ($id: ID!) { credential(id: $id) { __typename } }',
    node: 'query ($id: ID!) { node(id: $id) { id } }',
    nodes: 'query ($id: ID!) { nodes(ids: [$id]) { id } }',
    integration: 'query ($id: ID!) { integration(by: { id: $id }) { id } }',
    connector: 'query ($id: ID!) { connector(by: { id: $id }) { id } }',
    endUser: 'query ($id: ID!) { endUser(by: { id: $id }) { id } }',
    connection: 'query ($id: ID!) { connection(by: { id: $id }) { id } }',
    'credentials of an integration': 'query ($id: ID!) { credentials(integration: { id: $id }) { totalCount nodes { __typename } } }',
    'credentials of an end user': 'query ($id: ID!) { credentials(endUser: { id: $id }) { totalCount nodes { __typename } } }',
    'connections of a connector': 'query ($id: ID!) { connections(connector: { id: $id }) { totalCount nodes { id } } }',
    'connectors of an integration': 'query ($id: ID!) { connectors(integration: { id: $id }) { totalCount nodes { id } } }',
    'end users of an integration': 'query ($id: ID!) { endUsers(integration: { id: $id }) { totalCount nodes { id } } }',
  };
  const theirs = ['crm', 'connector', 'ada', 'connection', 'credential'] as const;
  const nounOf = { crm: 'Integration', connector: 'Connector', ada: 'EndUser', connection: 'Connection', credential: 'Credential' };
  const writes: Readonly<Record<string, (id: string) => readonly [string, object]>> = {
    'an integration in a new credential': (id) => ['createCredential', { integration: { id }, ...minimal.Credential }],
    'an integration to change': (id) => ['updateIntegration', { integration: { id }, description: 'x' }],
    'an integration to delete': (id) => ['deleteIntegration', { integration: { id }, force: true }],
    'a connector to connect to': (id) => ['createConnection', connection({ connector: { id } })],
    'a connector to delete': (id) => ['deleteConnector', { connector: { id }, force: true }],
    'an end user to connect': (id) => ['createConnection', connection({ endUser: { id } })],
    'an end user to change': (id) => ['updateEndUser', { endUser: { id }, displayName: 'x' }],
    'an end user to vouch for': (id) => [
      'setEmailVerified',
      { endUser: { id }, contactType: 'BILLING', email: 'a@example.com', verified: true },
    ],
    'a connection to change': (id) => ['updateConnection', { connection: { id }, name: 'x', expectedVersion: 7 }],
    'a connection to delete': (id) => ['deleteConnection', { connection: { id } }],
    'a credential to bind': (id) => ['createConnection', connection(use({ id }))],
    'a credential to name in a scheme': (id) => [
      'updateConnector',
      { connector: { id: world.connector }, authSchemes: [oauth2({ mtlsCredentialId: id })] },
    ],
    'a credential to change': (id) => ['updateCredential', { credential: id, data: { string: { value: 'x' } }, expectedVersion: 7 }],
    'a credential to delete': (id) => ['deleteCredential', { credential: id, force: true }],
    'a credential to reveal': (credential) => ['revealSecret', { credential, field: 'password', reason: 'the test looks' }],
  };
  const whole = ({ status, text, headers }: Answer) => ({
    status,
    text: textOf({ text, headers }),
    headers: [...headers].filter(([name]) => name !== 'x-request-id'),
  });

  // A caller must not be able to find out what other organizations have: not even by how a refusal is worded.
  it.each(Object.keys(reads) as (keyof typeof reads)[])('another organization’s: %s answers as if there were none', async (read) => {
    for (const name of theirs) {
      const [foreign, missing] = [stranger[name], globalId(nounOf[name])];
      const ask = async (id: string) => whole(await test.answer(world.caller, reads[read], { id }));
      expect(await ask(foreign)).toEqual(await ask(missing));
      expect((await ask(foreign)).text).not.toContain(foreign);
    }
  });
  it.each(Object.keys(writes))('another organization’s: %s is refused as if there were none', async (write) => {
    for (const name of theirs) {
      const ask = async (id: string) => {
        const [mutation, input] = writes[write]!(id);
        return send(test, world.caller, mutation, input, fieldsOf(mutation));
      };
      const missing = await ask(globalId(nounOf[name]));
      // The id of another noun is told apart without looking.
      if (refusal(missing).code === 'VALIDATION_FAILED') continue;
      const answer = await expectRefusal(() => ask(stranger[name]), stranger[name], refusal(missing));
      expect(whole(answer)).toEqual(whole(missing));
    }
  });
  it('another organization’s: a name that is theirs is as free, and as unknown, as any', async () => {
    const mine = newCanary();
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: mine });
    expect(
      (await test.query(world.caller, 'query ($by: IntegrationRef!) { integration(by: $by) { id } }', { by: { name: mine } })).integration,
    ).toBeNull();
    await test.create(world.caller, 'Integration', { name: mine });
  });
});

describe('what is taken, stale or fixed', () => {
  const taken: readonly (readonly [string, (name: string) => readonly [string, object][], string])[] = [
    ['an integration', (name) => repeated('createIntegration', { name }), 'input.name'],
    ['a connector', (name) => repeated('createConnector', { integration: crm, ...minimal.Connector, name }), 'input.name'],
    ['an end user', (externalId) => repeated('createEndUser', { integration: crm, externalId }), 'input.externalId'],
    ['a connection without connector', (name) => repeated('createConnection', connection({ name })), 'input.name'],
    ['a connection', (name) => repeated('createConnection', connection({ name, connector: { id: world.connector } })), 'input.name'],
    [
      'an integration renamed',
      (name) => [
        ['createIntegration', { name }],
        ['updateIntegration', { integration: shop, name }],
      ],
      'input.name',
    ],
    [
      'a connector renamed',
      (name) => [
        ['createConnector', { integration: crm, ...minimal.Connector, name }],
        ['updateConnector', { connector: { id: world.connector }, name }],
      ],
      'input.name',
    ],
    [
      'a connection renamed',
      (name) => [
        ['createConnection', connection({ name })],
        ['updateConnection', { connection: { id: world.connection }, name }],
      ],
      'input.name',
    ],
  ];
  const repeated = (mutation: string, input: object): [string, object][] => [
    [mutation, input],
    [mutation, input],
  ];
  it.each(taken)('the name of %s', async (_what, mutations, path) => {
    const canary = newCanary();
    const [first, second] = mutations(canary);
    expect((await send(test, world.caller, ...first!)).data.result.code).toBeUndefined();
    await expectRefusal(() => send(test, world.caller, ...second!), canary, { code: 'CONFLICT', path });
  });

  const versioned: readonly (readonly [string, () => object])[] = [
    ['updateIntegration', () => ({ integration: crm, description: 'x' })],
    ['updateConnector', () => ({ connector: { id: world.connector }, description: 'x' })],
    ['updateEndUser', () => ({ endUser: { id: world.ada }, displayName: 'x' })],
    ['updateConnection', () => ({ connection: { id: world.connection }, variables: [] })],
    ['updateCredential', () => ({ credential: world.credential, data: basicAuth('new') })],
    ['deleteIntegration', () => ({ integration: crm, force: true })],
    ['deleteConnector', () => ({ connector: { id: world.connector }, force: true })],
    ['deleteEndUser', () => ({ endUser: { id: world.ada }, force: true })],
    ['deleteConnection', () => ({ connection: { id: world.connection } })],
    ['deleteCredential', () => ({ credential: world.credential, force: true })],
  ];
  it.each(versioned)('a stale version (%s)', async (mutation, input) => {
    const ask = () => send(test, world.caller, mutation, { ...input(), expectedVersion: 2_091_807_253 });
    const answer = await expectRefusal(ask, '2091807253', { code: 'CONFLICT', path: 'input.expectedVersion' });
    expect(answer.data.result.currentVersion).toBe(1);
  });

  it('the kind of a credential', async () => {
    const canary = newCanary();
    const ask = () => send(test, world.caller, 'updateCredential', { credential: world.credential, data: { string: { value: canary } } });
    await expectRefusal(ask, canary, { code: 'VALIDATION_FAILED', path: 'input.data.string' });
  });

  const immutable: readonly (readonly [string, () => object, object])[] = [
    ['updateConnector', () => ({ connector: { id: world.connector } }), { integration: shop }],
    ['updateEndUser', () => ({ endUser: { id: world.ada } }), { externalId: 'other' }],
    ['updateEndUser', () => ({ endUser: { id: world.ada } }), { integration: shop }],
    ['updateConnection', () => ({ connection: { id: world.connection } }), { integration: shop }],
    ['updateConnection', () => ({ connection: { id: world.connection } }), { connector: connectorByName('zendesk') }],
    ['updateConnection', () => ({ connection: { id: world.connection } }), { endUser: endUserById('ada') }],
    ['updateCredential', () => ({ credential: world.credential }), { integration: shop }],
    ['updateCredential', () => ({ credential: world.credential }), { endUser: endUserById('ada') }],
  ];
  it.each(immutable)('what is for good (%s)', async (mutation, which, input) => {
    await expectRefusal(() => send(test, world.caller, mutation, { ...which(), ...input }), 'pa55word', {
      code: 'BAD_USER_INPUT',
      path: '$input',
    });
  });
});

describe('values of the wrong form', () => {
  const certificate = (fields: object) =>
    credential({ data: { certificate: { certificate: exampleCertificate, key: 'x', ca: exampleCertificate, ...fields } } });
  const cases: Case[] = [
    [
      'PEM certificate',
      'createCredential',
      (value) => certificate({ certificate: value }),
      'VALIDATION_FAILED',
      'input.data.certificate.certificate',
    ],
    [
      'PEM key',
      'createCredential',
      (value) => certificate({ key: `-----BEGIN PRIVATE KEY-----\n${value}\n-----END PRIVATE KEY-----` }),
      'VALIDATION_FAILED',
      'input.data.certificate.key',
    ],
    ['URL', 'createConnector', (value) => ({ integration: crm, name: 'x', baseUrl: `${value}://x` }), 'VALIDATION_FAILED', 'input.baseUrl'],
    [
      'URL that holds a password',
      'createConnector',
      (value) => ({ integration: crm, name: 'x', baseUrl: `https://ada:${value}@api.example.com` }),
      'VALIDATION_FAILED',
      'input.baseUrl',
    ],
    [
      'URL of a scheme',
      'createConnector',
      (tokenUrl) => ({ integration: crm, ...minimal.Connector, authSchemes: [oauth2({ tokenUrl })] }),
      'VALIDATION_FAILED',
      'input.authSchemes.0.oauth2.tokenUrl',
    ],
    [
      'hostname',
      'createConnection',
      (value) => connection({ allowedDomain: `https://${value}/` }),
      'VALIDATION_FAILED',
      'input.allowedDomain',
    ],
    [
      'base64',
      'createCredential',
      (value) => credential({ data: { binary: { valueBase64: `${value}!` } } }),
      'VALIDATION_FAILED',
      'input.data.binary.valueBase64',
    ],
    [
      'JSON',
      'createCredential',
      (value) => credential({ data: { customFunction: { functionName: 'f', secretParameters: `{${value}` } } }),
      'VALIDATION_FAILED',
      'input.data.customFunction.secretParameters',
    ],
    [
      'mail address',
      'createEndUser',
      (value) => ({ integration: crm, externalId: 'x', contacts: [{ type: 'REGULAR', email: value }] }),
      'VALIDATION_FAILED',
      'input.contacts.0.email',
    ],
    ['time', 'createCredential', (value) => credential({ expiresAt: value }), 'BAD_USER_INPUT', '$input.expiresAt'],
    [
      'enum value',
      'createEndUser',
      (value) => ({ integration: crm, externalId: 'x', contacts: [{ type: value }] }),
      'BAD_USER_INPUT',
      '$input.contacts.0.type',
    ],
    ['type', 'createCredential', (value) => credential({ name: { first: value } }), 'BAD_USER_INPUT', '$input.name'],
    [
      'type of a secret',
      'createCredential',
      (value) => credential({ data: { string: { value: [value, value] } } }),
      'BAD_USER_INPUT',
      '$input.data.string.value',
    ],
    ['member', 'createCredential', (value) => credential({ [value]: value }), 'BAD_USER_INPUT', '$input'],
    [
      'member of a secret’s kind',
      'createCredential',
      (value) => credential({ data: { string: { value: 'x', [value]: 'x' } } }),
      'BAD_USER_INPUT',
      '$input.data.string',
    ],
    ['id', 'updateCredential', (id) => ({ credential: id }), 'VALIDATION_FAILED', 'input.credential'],
    [
      'id of another noun',
      'updateCredential',
      (value) => ({ credential: globalId('Connection', Buffer.from(value).toString('hex').slice(0, 24)) }),
      'VALIDATION_FAILED',
      'input.credential',
    ],
    ['id of a connection', 'deleteConnection', (id) => ({ connection: { id } }), 'VALIDATION_FAILED', 'input.connection.id'],
    [
      'id within a reference',
      'deleteConnection',
      (id) => ({ connection: { inConnector: { connector: { id }, name: 'x' } } }),
      'VALIDATION_FAILED',
      'input.connection.inConnector.connector.id',
    ],
    [
      'id of a bound credential',
      'createConnection',
      (id) => connection(use({ id })),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.credential.id',
    ],
    ['name with a control character', 'createIntegration', (value) => ({ name: `${value}\u0000` }), 'VALIDATION_FAILED', 'input.name'],
    ['name that is half a character', 'createIntegration', (value) => ({ name: `${value}\ud83d` }), 'VALIDATION_FAILED', 'input.name'],
    [
      'description that is half a character',
      'createIntegration',
      (value) => ({ name: 'x', description: `${value}\ud83d` }),
      'VALIDATION_FAILED',
      'input.description',
    ],
    [
      'external id that is half a character',
      'createEndUser',
      (value) => ({ integration: crm, externalId: `${value}\ud83d` }),
      'VALIDATION_FAILED',
      'input.externalId',
    ],
    [
      'field to reveal',
      'revealSecret',
      (field) => ({ credential: world.credential, field, reason: 'the test looks' }),
      'VALIDATION_FAILED',
      'input.field',
    ],
    [
      'readable field to reveal',
      'revealSecret',
      () => ({ credential: world.credential, field: 'username', reason: 'the test looks' }),
      'VALIDATION_FAILED',
      'input.field',
    ],
    [
      'empty reason',
      'revealSecret',
      () => ({ credential: world.credential, field: 'password', reason: '' }),
      'VALIDATION_FAILED',
      'input.reason',
    ],
    ['null for what must be', 'updateIntegration', () => ({ integration: crm, name: null }), 'VALIDATION_FAILED', 'input.name'],
    [
      'null for a required secret',
      'updateCredential',
      () => ({ credential: world.credential, data: { basicAuth: { password: null } } }),
      'VALIDATION_FAILED',
      'input.data.basicAuth.password',
    ],
    [
      'settings of another scheme',
      'createConnection',
      (value) =>
        connection(
          use({ create: { name: 'x', data: none } }, { schemeId: 'x', schemeType: 'NONE', apiKey: { name: value, in: 'HEADER' } }),
        ),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.authScheme.apiKey',
    ],
    [
      'scheme without its settings',
      'createConnection',
      (value) => connection(use({ create: { name: value, data: none } }, { schemeId: 'x', schemeType: 'HMAC' })),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.authScheme.hmac',
    ],
    [
      'variable given twice',
      'createConnection',
      (name) =>
        connection({
          variables: [
            { name, value: '1' },
            { name, value: '2' },
          ],
        }),
      'VALIDATION_FAILED',
      'input.variables',
    ],
    [
      'expiry in the past',
      'createCredential',
      () => credential({ expiresAt: '2001-01-01T00:00:00Z' }),
      'VALIDATION_FAILED',
      'input.expiresAt',
    ],
    [
      'empty name',
      'createConnector',
      () => ({ integration: crm, name: '', baseUrl: 'https://api.example.com' }),
      'VALIDATION_FAILED',
      'input.name',
    ],
    [
      'kind of a new credential, missing',
      'createConnection',
      (name) => connection(use({ create: { name, data: {} } })),
      'BAD_USER_INPUT',
      '$input.actionCredentials.0.credential.create.data',
    ],
    [
      'field of a new credential',
      'createConnection',
      (value) => connection(use({ create: { name: 'x', data: { azure: { account: value, accountKey: '123' } } } })),
      'VALIDATION_FAILED',
      'input.actionCredentials.0.credential.create.data.azure.accountKey',
    ],
  ];
  it.each(cases)('%s (%s)', async (_what, mutation, input, code, path) => {
    const canary = newCanary();
    await expectRefusal(() => send(test, world.caller, mutation, input(canary), fieldsOf(mutation)), canary, { code, path });
  });

  const tooLong: readonly (readonly [string, number, string, (text: string) => object, string])[] = [
    ['name', 255, 'createIntegration', (name) => ({ name }), 'input.name'],
    ['description', 32_767, 'createIntegration', (description) => ({ name: newCanary(), description }), 'input.description'],
    [
      'display name',
      255,
      'createEndUser',
      (displayName) => ({ integration: crm, externalId: newCanary(), displayName }),
      'input.displayName',
    ],
    ['external id', 255, 'createEndUser', (externalId) => ({ integration: crm, externalId }), 'input.externalId'],
    [
      'phone number',
      64,
      'createEndUser',
      (phone) => ({ integration: crm, externalId: newCanary(), contacts: [{ type: 'BILLING', phone }] }),
      'input.contacts.0.phone',
    ],
    [
      'variable',
      4_096,
      'createConnection',
      (value) => connection({ name: newCanary(), variables: [{ name: 'v', value }] }),
      'input.variables.0.value',
    ],
    [
      'scheme id',
      64,
      'createConnection',
      (id) => connection({ name: newCanary(), ...use({ create: { name: 'x', data: none } }, { schemeId: id, schemeType: 'NONE' }) }),
      'input.actionCredentials.0.authScheme.schemeId',
    ],
    ['secret', 4_096, 'createCredential', (password) => credential({ data: basicAuth(password) }), 'input.data.basicAuth.password'],
    ['reason', 500, 'revealSecret', (reason) => ({ credential: world.credential, field: 'password', reason }), 'input.reason'],
  ];
  it.each(tooLong)('a %s of more than %i characters', async (_what, most, mutation, input, path) => {
    const canary = newCanary();
    const ask = (length: number) => send(test, world.caller, mutation, input(canary.padEnd(length, 'x')), fieldsOf(mutation));
    await expectRefusal(() => ask(most + 1), canary, { code: 'VALIDATION_FAILED', path });
    expect((await ask(most)).data.result.code).toBeUndefined();
  });

  it('more than there may be of a list', async () => {
    const lists = {
      'input.variables': connection({ variables: Array.from({ length: 101 }, (_, index) => ({ name: `v${index}`, value: '' })) }),
      'input.actionCredentials': connection({
        actionCredentials: Array.from({ length: 21 }, () => ({ credential: { id: world.credential } })),
      }),
      'input.triggerCredentials': connection({
        actionCredentials: Array.from({ length: 10 }, () => ({ credential: { id: world.credential } })),
        triggerCredentials: Array.from({ length: 11 }, () => ({ credential: { id: world.credential } })),
      }),
    };
    for (const [path, input] of Object.entries(lists)) {
      await expectRefusal(() => send(test, world.caller, 'createConnection', input), 'pa55word', { code: 'VALIDATION_FAILED', path });
    }
  });

  const sources: readonly (readonly [string, (value: string) => object])[] = [
    ['both', (value) => ({ id: value, create: { name: value, data: { string: { value } } } })],
    ['neither', () => ({})],
    ['null', () => ({ id: null })],
    ['one, and null for the other', (value) => ({ id: null, create: { name: value, data: { string: { value } } } })],
  ];
  it.each(sources)('%s of reference and create', async (_which, source) => {
    const canary = newCanary();
    const path = '$input.actionCredentials.0.credential';
    await expectRefusal(() => send(test, world.caller, 'createConnection', connection(use(source(canary)))), canary, {
      code: 'BAD_USER_INPUT',
      path,
    });
  });

  // The same in the document itself, where other checks of graphql-js see the values.
  const inline: readonly (readonly [string, (value: string) => string])[] = [
    [
      'both of reference and create',
      (value) =>
        `createConnection(input: { integration: { name: "crm" }, name: "x", actionCredentials: [{ credential: { id: "${value}", create: { name: "${value}", data: { string: { value: "${value}" } } } } }] }) { __typename }`,
    ],
    ['a number for a name', (value) => `createIntegration(input: { name: ${Number.parseInt(value.slice(6, 14), 16)} }) { __typename }`],
    [
      'a name for an enum',
      (value) =>
        `setEmailVerified(input: { endUser: { id: "x" }, contactType: ${value}, email: "${value}", verified: true }) { __typename }`,
    ],
    [
      'a text for a time',
      (value) =>
        `createCredential(input: { integration: { name: "crm" }, name: "x", expiresAt: "${value}", data: { none: {} } }) { __typename }`,
    ],
    ['a text for an object', (value) => `createIntegration(input: "${value}") { __typename }`],
    ['an unknown member', (value) => `createIntegration(input: { name: "x", ${value}: "${value}" }) { __typename }`],
    [
      'two kinds',
      (value) =>
        `createCredential(input: { integration: { name: "crm" }, name: "x", data: { string: { value: "${value}" }, none: {} } }) { __typename }`,
    ],
  ];
  it.each(inline)('in the document: %s', async (_what, field) => {
    const canary = newCanary();
    await expectRefusal(() => test.answer(world.caller, `mutation { ${field(canary)} }`), canary, { code: 'GRAPHQL_VALIDATION_FAILED' });
  });

  it.each([
    ['a document that is not GraphQL', (value: string) => ({ query: `{ integrations "${value}" }` }), 'GRAPHQL_PARSE_FAILED'],
    ['a body that is not JSON', (value: string) => `{"query": ${value}`, 'BAD_REQUEST'],
    ['a body of another shape', (value: string) => [value], 'BAD_REQUEST'],
    ['variables of another shape', (value: string) => ({ query: '{ __typename }', variables: value }), 'BAD_REQUEST'],
    [
      'an unknown operation name',
      (value: string) => ({ query: 'query a { __typename } query b { __typename }', operationName: value }),
      'BAD_REQUEST',
    ],
  ] as const)('%s', async (_what, body, code) => {
    const canary = newCanary();
    const authorization = `Bearer ${await test.token(world.caller)}`;
    await expectRefusal(() => test.send(body(canary), { authorization }), canary, { code });
  });

  const queries: readonly (readonly [string, string, string])[] = [
    ['a cursor', 'query ($v: String) { credentials(first: 1, after: $v) { totalCount } }', 'after'],
    ['a cursor backwards', 'query ($v: String) { connections(last: 1, before: $v) { totalCount } }', 'before'],
    ['an id', 'query ($v: ID!) { credential(id: $v) { __typename } }', 'id'],
    ['an id within a reference', 'query ($v: ID!) { connection(by: { id: $v }) { id } }', 'by.id'],
    ['an id in a filter', 'query ($v: ID!) { connections(endUser: { id: $v }) { totalCount } }', 'endUser.id'],
    ['a glob with three stars', 'query ($v: String!) { connectors(name: $v) { totalCount } }', 'name'],
  ];
  it.each(queries)('in a query: %s', async (what, query, path) => {
    const canary = newCanary();
    const v = what.startsWith('a glob') ? `*${canary}**` : canary;
    await expectRefusal(() => test.answer(world.caller, query, { v }), canary, { code: 'VALIDATION_FAILED', path });
  });
  it('in a query: a cursor that was tampered with, or is of another sort', async () => {
    const { connectors } = await test.query(world.caller, '{ connectors(first: 1) { pageInfo { endCursor } } }');
    const [, [type], id] = JSON.parse(Buffer.from(connectors.pageInfo.endCursor, 'base64url').toString());
    const canary = newCanary();
    const tampered = [
      ['createdAt', [type, { $gt: canary }], id],
      ['createdAt', ['date', canary], id],
      ['createdAt', ['text', canary], { $ne: canary }],
      ['createdAt', ['text', canary, canary], id],
      ['name', ['text', canary], id],
      [{ $where: canary }, ['text', canary], id],
    ];
    for (const value of tampered) {
      const after = Buffer.from(JSON.stringify(value)).toString('base64url');
      const ask = () =>
        test.answer(world.caller, 'query ($after: String) { connectors(first: 1, after: $after) { totalCount } }', { after });
      await expectRefusal(ask, canary, { code: 'VALIDATION_FAILED', path: 'after' });
    }
  });
  it.each([
    ['{ connections(first: 0) { totalCount } }', 'first'],
    ['{ connections(first: -1) { totalCount } }', 'first'],
    ['{ connections(first: 101) { totalCount } }', 'first'],
    ['{ connections(last: 1) { totalCount } }', 'last'],
    ['{ connections(first: 1, last: 1) { totalCount } }', 'last'],
    ['{ connections(before: "x") { totalCount } }', 'before'],
    ['{ connections(after: "x", before: "x") { totalCount } }', 'before'],
  ])('in a query: %s', async (query, path) => {
    await expectRefusal(() => test.answer(world.caller, query), 'pa55word', { code: 'VALIDATION_FAILED', path });
  });
  it('an id that is no id names nothing, for node', async () => {
    const canary = newCanary();
    const answer = await test.answer(world.caller, 'query ($v: ID!) { node(id: $v) { id } nodes(ids: [$v]) { id } }', { v: canary });
    expect(answer.data).toEqual({ node: null, nodes: [null] });
    expectNoTrace(test, answer, canary, test.logs.length - 1);
  });
});

describe('tokens', () => {
  const now = () => Math.floor(Date.now() / 1000);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  async function tampered(caller: Caller, change: (parts: string[]) => string[]): Promise<string> {
    return change((await test.token(caller)).split('.')).join('.');
  }
  const withClaims = (claims: JWTPayload) => test.token({ ...world.caller, claims });
  const bad: readonly (readonly [string, (canary: string) => Promise<string>])[] = [
    ['nonsense', async (canary) => canary],
    ['a token of another key', async (sub) => test.token({ ...world.caller, claims: { sub } }, new Uint8Array(randomBytes(32)))],
    ['an expired token', async (sub) => withClaims({ sub, exp: now() - 60 })],
    ['a token for later', async (sub) => withClaims({ sub, nbf: now() + 600 })],
    ['a foreign issuer’s', async (iss) => withClaims({ iss })],
    ['a token for another audience', async (aud) => withClaims({ aud })],
    ['no issuer', async (sub) => withClaims({ sub, iss: undefined })],
    ['no audience', async (sub) => withClaims({ sub, aud: undefined })],
    ['no exp', async (sub) => withClaims({ sub, exp: undefined })],
    ['no sub', async (jti) => withClaims({ jti, sub: undefined })],
    ['no organization', async (sub) => withClaims({ sub, organization: undefined })],
    ['an organization that is no name', async (canary) => withClaims({ organization: `${canary}/..` })],
    ['an organization that is a list', async (canary) => withClaims({ organization: [canary] })],
    ['alg none', async (sub) => `${encode({ alg: 'none' })}.${encode({ sub, organization: world.caller.organization, exp: now() + 60 })}.`],
    [
      'another organization in the payload',
      async (organization) =>
        tampered(world.caller, ([header, payload, signature]) => [
          header!,
          encode({ ...JSON.parse(Buffer.from(payload!, 'base64url').toString()), organization }),
          signature!,
        ]),
    ],
    [
      'another signature',
      async () => tampered(world.caller, ([header, payload]) => [header!, payload!, randomBytes(32).toString('base64url')]),
    ],
    ['no signature', async () => tampered(world.caller, ([header, payload]) => [header!, payload!, ''])],
    [
      'an algorithm of public keys, with the shared secret',
      async (sub) =>
        tampered({ ...world.caller, claims: { sub } }, ([, payload, signature]) => [encode({ alg: 'RS256' }), payload!, signature!]),
    ],
    [
      'an unknown critical header',
      async (sub) => new SignJWT({ sub }).setProtectedHeader({ alg: 'HS256', crit: ['b64'], b64: true }).sign(new Uint8Array(32)),
    ],
  ];
  it.each(bad)('%s is refused before anything is read', async (_what, make) => {
    const canary = newCanary();
    const token = await make(canary);
    let commands: string[] = [];
    const answer = await expectRefusal(
      async () => {
        let sent: Answer;
        commands = await test.countCommands(async () => {
          sent = await test.send(
            { query: 'mutation { createIntegration(input: { name: "made by a bad token" }) { __typename } }' },
            { authorization: `Bearer ${token}` },
          );
        });
        return sent!;
      },
      canary,
      { code: 'UNAUTHENTICATED' },
    );
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect(answer.data).toBeUndefined();
    expect(commands).toEqual([]);
    for (const part of token.split('.').filter((each) => each.length > 16)) {
      expect(answer.text).not.toContain(part);
      expect(test.logs.at(-1)).not.toContain(part);
    }
  });

  it('who has no token does not learn what is wrong with the rest', async () => {
    const bodies = ['not JSON', JSON.stringify({ query: '{ nonsense }' }), JSON.stringify({ query: '{ __typename }' })];
    const texts = await Promise.all(bodies.map(async (body) => textOf(await test.send(body))));
    expect(new Set(texts).size).toBe(1);
  });
});

describe('scopes', () => {
  const mutations: readonly (readonly [string, () => object, string])[] = [
    ['createIntegration', () => ({ name: 'new' }), 'integrations.post'],
    ['updateIntegration', () => ({ integration: crm, description: 'x' }), 'integrations.patch'],
    ['deleteIntegration', () => ({ integration: crm, force: true }), 'integrations.delete'],
    ['createConnector', () => ({ integration: crm, ...minimal.Connector }), 'connectors.post'],
    ['updateConnector', () => ({ connector: { id: world.connector }, description: 'x' }), 'connectors.patch'],
    ['deleteConnector', () => ({ connector: { id: world.connector } }), 'connectors.delete'],
    ['createEndUser', () => ({ integration: crm, externalId: 'new' }), 'endUsers.post'],
    ['updateEndUser', () => ({ endUser: { id: world.ada }, displayName: 'x' }), 'endUsers.patch'],
    ['deleteEndUser', () => ({ endUser: { id: world.bob } }), 'endUsers.delete'],
    [
      'setEmailVerified',
      () => ({ endUser: { id: world.bob }, contactType: 'BILLING', email: 'x', verified: true }),
      'endUsers.verifyEmail',
    ],
    ['createConnection', () => connection(), 'connections.post'],
    ['updateConnection', () => ({ connection: { id: world.connection }, variables: [] }), 'connections.patch'],
    ['deleteConnection', () => ({ connection: { id: world.connection } }), 'connections.delete'],
    ['createCredential', () => credential(), 'credentials.post'],
    ['updateCredential', () => ({ credential: world.credential, enabled: false }), 'credentials.patch'],
    ['deleteCredential', () => ({ credential: world.credential }), 'credentials.delete'],
    ['revealSecret', () => ({ credential: world.credential, field: 'password', reason: 'the test looks' }), 'credentials.reveal'],
  ];
  const everyScope = mutations.map(([, , scope]) => scope);
  const reading = ['integrations.get', 'connectors.get', 'endUsers.get', 'connections.get', 'credentials.get'];
  const forbidden = (scope: string) => ({ code: 'FORBIDDEN', message: `Cannot access this resource. Missing scope ${scope}.`, scope });
  const missing = ({ errors }: Answer) => errors?.map(flatten).map(({ code, message, scope }) => ({ code, message, scope }));
  const refusing = async (scopes: readonly string[], ask: (caller: Caller) => Promise<Answer>): Promise<Answer> => {
    const answer = await expectRefusal(() => ask({ ...world.caller, scopes }), 'pa55word', { code: 'FORBIDDEN' });
    expect(answer.data ?? undefined).toBeUndefined();
    expect(answer.status).toBe(403);
    return answer;
  };

  it.each(mutations)('%s asks for its scope by name', async (mutation, input, scope) => {
    const others = [...everyScope, ...reading].filter((other) => other !== scope);
    expect(missing(await refusing(others, (caller) => send(test, caller, mutation, input(), fieldsOf(mutation))))).toEqual([
      forbidden(scope),
    ]);
  });

  it.each(['credentials.reveal', 'endUsers.verifyEmail'])('no wildcard covers %s', async (scope) => {
    const [mutation, input] = mutations.find(([, , each]) => each === scope)!;
    const wildcards = ['all.Organization', 'all.Organization.read', 'credentials.*', 'endUsers.*', ...reading];
    expect(missing(await refusing(wildcards, (caller) => send(test, caller, mutation, input(), fieldsOf(mutation))))).toEqual([
      forbidden(scope),
    ]);
  });

  // Otherwise the first would have written before the last is refused, and the caller would not know which.
  it('of all mutations of an operation are checked before the first runs', async () => {
    const three: [string, object][] = [
      ['createIntegration', { name: 'first' }],
      ['createIntegration', { name: 'second' }],
      ['deleteCredential', { credential: world.credential }],
    ];
    const answer = await refusing(['integrations.*'], (caller) => sendAll(test, caller, three));
    expect(missing(answer)).toEqual([forbidden('credentials.delete')]);
    const allowed = await sendAll(test, { ...world.caller, scopes: ['integrations.*'] }, three.slice(0, 2));
    expect(allowed.errors).toBeUndefined();
  });

  const answers: readonly (readonly [string, string, string])[] = [
    ['the object itself', 'id', 'connections.get'],
    ['what it refers to', '__typename connector { name }', 'connectors.get'],
    ['what that refers to', '__typename connector { integration { name } }', 'integrations.get'],
    ['its credentials', '__typename actionCredentials { credential { __typename } }', 'credentials.get'],
    ['a fragment’s', '... { ... on Connection { endUser { externalId } } }', 'endUsers.get'],
  ];
  it.each(answers)('of what is selected in an answer are checked, too: %s', async (_what, fields, scope) => {
    const others = [...everyScope, ...reading].filter((other) => other !== scope);
    const answer = await refusing(others, (caller) => send(test, caller, 'createConnection', connection(), fields));
    expect(missing(answer)).toContainEqual(forbidden(scope));
  });

  const beyond: readonly (readonly [string, string, () => object, string])[] = [
    [
      'making a credential with a connection',
      'createConnection',
      () => connection(use({ create: { name: 'x', data: none } })),
      'credentials.post',
    ],
    [
      'making one on update',
      'updateConnection',
      () => ({ connection: { id: world.connection }, ...use({ create: { name: 'x', data: none } }) }),
      'credentials.post',
    ],
    [
      'making one for an entry that is added',
      'addConnectionCredential',
      () => ({ connection: { id: world.connection }, list: 'ACTION', credential: { create: { name: 'x', data: none } } }),
      'credentials.post',
    ],
    // What a forced deletion takes along is known only when it runs: test/contracts/changes.test.ts.
  ];
  it.each(beyond)('of what else it does are asked for: %s', async (_what, mutation, input, scope) => {
    const others = [...everyScope, ...reading].filter((other) => other !== scope);
    expect(missing(await refusing(others, (caller) => send(test, caller, mutation, input())))).toEqual([forbidden(scope)]);
  });

  it('for reading are named, and what is allowed is still answered', async () => {
    const { data, errors, status } = await test.answer(
      { ...world.caller, scopes: ['connections.get'] },
      'query ($id: ID!) { connections(first: 1) { nodes { name } } credential(id: $id) { __typename } }',
      { id: world.credential },
    );
    expect({ status, data, missing: errors?.map(flatten).map(({ code, message, scope }) => ({ code, message, scope })) }).toEqual({
      status: 200,
      data: { connections: { nodes: [{ name: expect.any(String) }] }, credential: null },
      missing: [forbidden('credentials.get')],
    });
  });

  // A scope is decided from the id alone: otherwise the refusal would tell what exists.
  it('for node are decided before anything is loaded', async () => {
    const ask = async (id: string) =>
      textOf(
        await test.answer({ ...world.caller, scopes: ['connections.get'] }, 'query ($id: ID!) { node(id: $id) { __typename } }', { id }),
      );
    const [existing, missingOne] = [await ask(world.credential), await ask(globalId('Credential'))];
    expect(existing).toEqual(missingOne);
    expect(existing).toContain('credentials.get');
  });
});
