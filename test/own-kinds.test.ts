import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtInKinds, type CredentialKind, defineCredentialKind, secret, text } from '../src/api.ts';
import { assertConsistent } from '../src/credential-kinds/consistency.ts';
import { type Json, TestGateway } from './harness.ts';
import { run } from './operations.ts';

// Whoever runs a gateway can hand in credential kinds of their own. Everything about a kind follows from its definition, as for the built-in
// ones; a gateway that was not given the kind keeps its credentials, and shows everything else.

const acme = defineCredentialKind({
  kind: 'acmeBadge',
  typeName: 'AcmeBadgeCredential',
  description: 'A badge for the doors of Acme.',
  fields: {
    badge: text({ description: 'The number on it.', maxLength: 16, example: '007', invalidExample: '' }),
    pin: secret({ description: 'What is typed beside it.', maxLength: 8, example: '1234', invalidExample: '123456789' }),
  },
});

const test = new TestGateway();
test.credentialKinds = [...builtInKinds, acme];
const caller = { organization: test.newOrganization() };
const integration = { name: 'doors' };
let id: string;

beforeAll(async () => {
  await test.start();
  await test.create(caller, 'Integration', integration);
  ({ id } = await test.create(caller, 'Credential', { integration, name: 'badge', data: { acmeBadge: { badge: '007', pin: '4711' } } }));
  await test.create(caller, 'Credential', { integration, name: 'other', data: { string: { value: 'v' } } });
});
afterAll(() => test.stop());

const ALL =
  '{ credentials(first: 1, sort: { field: NAME, direction: ASC }) { nodes { ... on CredentialBase { name } } pageInfo { hasNextPage endCursor } } }';
const reopen = async (kinds: readonly CredentialKind[] | undefined) => {
  await test.close();
  test.credentialKinds = kinds;
  await test.open();
};

it('a kind of one’s own has a type, an input, a form, and secrets that are sealed', async () => {
  const { credential, credentialKinds } = await test.query(
    caller,
    `query ($id: ID!) {
      credential(id: $id) { __typename ... on AcmeBadgeCredential { kind badge pin { isSet redacted } } }
      credentialKinds(names: ["acmeBadge"]) { typeName fields { name isSecret maxLength } }
    }`,
    { id },
  );
  expect(credential).toEqual({
    __typename: 'AcmeBadgeCredential',
    kind: 'ACME_BADGE',
    badge: '007',
    pin: { isSet: true, redacted: '*****' },
  });
  expect(credentialKinds).toEqual([
    {
      typeName: 'AcmeBadgeCredential',
      fields: [
        { name: 'badge', isSecret: false, maxLength: 16 },
        { name: 'pin', isSecret: true, maxLength: 8 },
      ],
    },
  ]);
  const refused = await run(test, caller, 'updateCredential', { credential: id, data: { acmeBadge: { pin: '123456789' } } });
  expect(refused.issues).toEqual([{ path: ['input', 'data', 'acmeBadge', 'pin'], message: 'must be at most 8 characters' }]);
  expect(JSON.stringify(await test.database.collection('credentials').find({}).toArray())).not.toContain('4711');
  const revealed = await run(test, caller, 'revealSecret', { credential: id, field: 'pin', reason: 'the test looks' }, 'plaintext');
  expect(revealed.secret.plaintext).toBe('4711');
});

it('a list shows credentials of one’s own kind and of others with one selection', async () => {
  const query =
    '{ credentials(first: 2, sort: { field: NAME, direction: ASC }) { nodes { ... on CredentialBase { kind fields { name type value secret { isSet } } facts { name value } } } } }';
  let nodes: Json[] = [];
  const commands = await test.countCommands(async () => {
    nodes = (await test.query(caller, query)).credentials.nodes;
  });
  expect(nodes).toEqual([
    {
      kind: 'ACME_BADGE',
      fields: [
        { name: 'badge', type: 'STRING', value: '007', secret: null },
        { name: 'pin', type: 'STRING', value: null, secret: { isSet: true } },
      ],
      facts: [],
    },
    { kind: 'STRING', fields: [{ name: 'value', type: 'STRING', value: null, secret: { isSet: true } }], facts: [] },
  ]);
  const without = await test.countCommands(() => test.query(caller, query.replace(/kind fields.*value \}/, 'kind')));
  expect(commands).toEqual(without);
});

it('no kind has a field with the name of one that all kinds have', async () => {
  const { __type } = await test.query(caller, '{ __type(name: "CredentialBase") { fields { name } } }');
  const common = __type.fields.map(({ name }: Json) => name);
  expect(common).toContain('fields');
  for (const name of common) {
    const kind = { ...acme, fields: { [name]: acme.fields.badge! } };
    expect(() => assertConsistent([kind]), name).toThrow(`${name} is a field that every credential has.`);
  }
});

it('a gateway that was not given the kind finds none of its credentials, and fails nowhere', async () => {
  await reopen(undefined);
  const { credential, node, nodes } = await test.query(
    caller,
    'query ($id: ID!) { credential(id: $id) { __typename } node(id: $id) { id } nodes(ids: [$id]) { id } }',
    { id },
  );
  expect([credential, node, nodes]).toEqual([null, null, [null]]);
  const first = (await test.query(caller, ALL)).credentials;
  expect(first.nodes).toEqual([]);
  // The page is short; where it ends is told all the same, so that reading on comes to the rest.
  const next = await test.query(caller, ALL.replace('first: 1', `first: 1, after: "${first.pageInfo.endCursor}"`));
  expect(next.credentials.nodes.map(({ name }: Json) => name)).toEqual(['other']);
  const bound = { integration, name: 'bound', actionCredentials: [{ credential: { id } }] };
  expect(await run(test, caller, 'createConnection', bound)).toMatchObject({
    code: 'NOT_FOUND',
    path: ['input', 'actionCredentials', '0', 'credential', 'id'],
  });
  const change = { credential: id, data: { string: { value: 'x' } } };
  for (const [mutation, input] of [
    ['updateCredential', change],
    ['deleteCredential', { credential: id, force: true }],
    ['revealSecret', { credential: id, field: 'pin', reason: 'the test looks' }],
  ] as const) {
    expect(await run(test, caller, mutation, input, mutation === 'revealSecret' ? 'field' : 'id'), mutation).toMatchObject({
      code: 'NOT_FOUND',
      path: ['input', 'credential'],
    });
  }
});

it('they are all there when it is given again', async () => {
  await reopen([...builtInKinds, acme]);
  const { credential } = await test.query(
    caller,
    'query ($id: ID!) { credential(id: $id) { ... on AcmeBadgeCredential { badge version } } }',
    { id },
  );
  expect(credential).toEqual({ badge: '007', version: 1 });
});

it('kinds that cannot stand beside the built-in ones are refused at the start', async () => {
  await test.close();
  test.credentialKinds = [...builtInKinds, { ...acme, kind: 'basicAuth' }];
  await expect(test.open()).rejects.toThrow('Credential kind basicAuth is listed twice.');
  await reopen(undefined);
});

it('a gateway without the kinds that sign for Zendesk says that nothing can sign', async () => {
  await reopen(builtInKinds);
  const endUser = await test.create(caller, 'EndUser', {
    integration,
    externalId: 'ada',
    contacts: [{ type: 'BILLING', email: 'ada@example.com' }],
  });
  const data = { jwt: { algorithm: 'HS256', secret: 'a shared secret of thirty-two bytes!' } };
  const create = { name: 'signer', data, allowedDomains: ['acme.zendesk.com'], allowedPurposes: ['SSO_SIGNING'] };
  const connection = { integration, name: 'zendesk', allowedDomain: 'acme.zendesk.com', actionCredentials: [{ credential: { create } }] };
  const { id: connectionId } = await test.create(caller, 'Connection', connection);
  const who = { endUser: { id: endUser.id }, contactType: 'BILLING' };
  await run(test, caller, 'setEmailVerified', { ...who, email: 'ada@example.com', verified: true });
  expect(await run(test, caller, 'createSSOLink', who, 'jti')).toHaveProperty('ssoLink');
  await reopen(builtInKinds.filter(({ kind }) => !['jwt', 'jwtBearer'].includes(kind)));
  expect(await run(test, caller, 'createSSOLink', who, 'jti')).toMatchObject({ code: 'SSO_NOT_CONFIGURED' });
  const named = { ...who, connection: { id: connectionId } };
  expect(await run(test, caller, 'createSSOLink', named, 'jti')).toMatchObject({ code: 'SSO_NOT_CONFIGURED', missing: 'CREDENTIAL' });
});

describe('a function of a kind that fails', () => {
  const PLAIN = 'planted-4711';
  const fields = {
    badge: text({ description: 'The number on it.', maxLength: 16, example: '007', invalidExample: '' }),
    pin: secret({ description: 'What is typed beside it.', maxLength: 16, example: '1234', invalidExample: '' }),
  };
  const thrown = () => {
    throw Object.assign(new Error(`${PLAIN}\n    at ${PLAIN} (/${PLAIN}:1:1)`, { cause: PLAIN }), { name: PLAIN, code: PLAIN });
  };
  const functions: Record<string, object> = {
    'check throws': { check: thrown },
    'check rejects': { check: async () => thrown() },
    'check returns nothing': { check: () => undefined },
    'check returns issues without a path': { check: () => [{ message: PLAIN }] },
    'derive throws': { derive: thrown },
    'derive returns a fact that it does not declare': { derive: () => ({ other: PLAIN }) },
    'derive returns a fact of another type': { derive: () => ({ size: 7 }) },
    'derive returns a secret': { derive: ({ secrets }: Json) => ({ size: secrets.pin }) },
    'derive returns nothing': { derive: () => undefined },
    'generate.make throws': { generate: { field: 'pin', make: thrown } },
    'generate.make returns a text': { generate: { field: 'pin', make: async () => PLAIN } },
  };

  it.each(Object.entries(functions))('%s: a coded error, and nothing of it is stored or told', async (name, given) => {
    const facts = { size: { type: 'String', description: 'A fact.' } } as const;
    const kind = { kind: 'broken', typeName: 'BrokenCredential', description: 'It is broken.', fields, facts, ...given };
    await reopen([...builtInKinds, defineCredentialKind(kind as never)]);
    test.logs.length = 0;
    const data = { broken: { badge: '007', ...('generate' in given ? { generatePrivateKey: true } : { pin: PLAIN }) } };
    const query = 'mutation ($input: CreateCredentialInput!) { createCredential(input: $input) { __typename } }';
    const answer = await test.answer(caller, query, { input: { integration, name: 'broken', data } });
    expect(answer.errors).toMatchObject([
      {
        message: expect.stringContaining(`The function ${name.split(' ')[0]} of the credential kind broken`),
        extensions: { code: 'CREDENTIAL_KIND_FAILED' },
      },
    ]);
    expect(answer.text).not.toContain(PLAIN);
    const logged = test.logs.join('');
    expect(logged).toContain('CREDENTIAL_KIND_FAILED');
    expect(logged).not.toContain(PLAIN);
    for (const { name: collection } of await test.database.listCollections().toArray()) {
      expect(JSON.stringify(await test.database.collection(collection).find({}).toArray())).not.toContain(PLAIN);
    }
    expect((await test.query(caller, '{ credentials(name: "broken") { totalCount } }')).credentials.totalCount).toBe(0);
  });
});
