import { type GraphQLInputObjectType, getNamedType } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { exampleCertificate, exampleKey } from '../../src/credential-kinds/examples-pem.ts';
import type { Answer, Json } from '../harness.ts';
import { credentialKinds } from '../kinds.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn } from './mutations.ts';
import { leafPlaces, type Path, placeAt, spotsIn, valueAt } from './places.ts';
import { type Field, mutationFields, operationOf, resultSelection, schema, withValue } from './walk.ts';

// What is true of the input of every mutation: everything that is wrong is told at once, and every name can be seen and told from others.

const test = useTestGateway();
let world: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
});

async function send(field: Field, args: Record<string, unknown>): Promise<Answer> {
  const { query, variables } = operationOf(field, args, resultSelection(field));
  return test.answer(world.caller, query, variables);
}

/** The paths of what is wrong with an input. None if it is accepted, or refused for another reason. */
async function pathsOf(field: Field, args: Record<string, unknown>): Promise<string[]> {
  const { data, text } = await send(field, args);
  if (!data) throw new Error(text);
  const { issues, path, code } = data.result;
  const isOfInput = code === 'VALIDATION_FAILED' || code === 'NOT_FOUND' || code === 'INVALID_INTEGRATION';
  if (!isOfInput) return [];
  return (issues ?? [{ path }]).map((issue: Json) => issue.path.join('.'));
}

/** A value of its type that no place accepts, by the type and the name of the place. */
const wrong: Readonly<Record<string, (name: string) => unknown>> = {
  ID: () => 'no-id',
  String: () => '\u0000',
  Int: () => -1,
  DateTime: (name) => (name === 'before' ? '2999-01-01T00:00:00Z' : '2001-01-01T00:00:00Z'),
};

/** What cannot be judged before something else is right. */
const dependent: Readonly<Record<string, RegExp>> = {
  // Whether it is the address of the contact depends on the end user.
  setEmailVerified: /\.email$/,
  // Which secrets there are depends on the credential.
  revealSecret: /\.field$/,
  // The order of the checks is a promise: what follows is told only to who names a contact whose address is verified.
  createSSOLink: /connection|returnTo/,
};

const severalOf = mutationFields.filter((field) => field.args.length > 0).map((field) => [field.name, field] as const);

describe('everything that is wrong is told at once', () => {
  it.each(severalOf)('%s', async (name, field) => {
    const args = argumentsIn(world, name);
    const broken: { readonly path: Path; readonly value: unknown; readonly told: readonly string[] }[] = [];
    for (const { path, type } of spotsIn(field, args).leaves) {
      const value = wrong[getNamedType(type).name]?.(String(path.at(-1)));
      if (value === undefined || dependent[name]?.test(path.join('.')) || typeof valueAt(args, path) === 'boolean') continue;
      const told = await pathsOf(field, withValue(args, path, value));
      if (told.length > 0) broken.push({ path, value, told });
    }
    if (broken.length < 2) return;
    const all = broken.reduce<Record<string, unknown>>((given, { path, value }) => withValue(given, path, value), args);
    const told = await pathsOf(field, all);
    for (const { path, told: alone } of broken)
      expect([path.join('.'), told]).toEqual([path.join('.'), expect.arrayContaining([...alone])]);
  });

  it('the walk above breaks many places', () => {
    expect(severalOf.length).toBeGreaterThan(15);
  });

  it('a form of several rows: its own fields, the nested credentials, rules between fields, and references', async () => {
    const { ids, more } = world;
    const data = (member: object) => ({ credential: { create: { name: 'c', data: member } } });
    const field = mutationFields.find(({ name }) => name === 'createConnection')!;
    const input = {
      integration: { name: 'there is none' },
      name: ' ',
      allowedDomain: 'https://a',
      connector: { id: ids.connector },
      variables: [
        { name: 'a', value: '' },
        { name: 'a', value: '' },
        { name: '', value: '' },
      ],
      actionCredentials: [
        data({ snowflake: { host: 'a b', username: '' } }),
        { credential: { create: { name: '', data: { http: { uriMatch: '', authMethod: 'BASIC_AUTH', secretValue: 'a' } } } } },
        { credential: { id: more.client }, authScheme: { schemeId: 'x', schemeType: 'HMAC', apiKey: { name: '', in: 'HEADER' } } },
        { credential: { id: 'no-id' }, authScheme: { schemeId: 'x', schemeType: 'NONE' } },
      ],
    };
    expect((await pathsOf(field, { input })).toSorted()).toEqual(
      [
        ...['integration', 'name', 'allowedDomain', 'variables', 'variables.2.name'],
        ...['host', 'username', 'privateKey'].map((member) => `actionCredentials.0.credential.create.data.snowflake.${member}`),
        'actionCredentials.1.credential.create.name',
        ...['uriMatch', 'publicValue'].map((member) => `actionCredentials.1.credential.create.data.http.${member}`),
        ...['apiKey', 'apiKey.name', 'hmac'].map((member) => `actionCredentials.2.authScheme.${member}`),
        ...['actionCredentials.3.authScheme.schemeId', 'actionCredentials.3.credential.id'],
      ]
        .map((path) => `input.${path}`)
        .toSorted(),
    );
  });

  it('two references that name nothing', async () => {
    const field = mutationFields.find(({ name }) => name === 'createCredential')!;
    const input = { ...(argumentsIn(world, 'createCredential').input as object), integration: { name: 'none' }, endUser: { id: 'no-id' } };
    expect((await pathsOf(field, { input })).toSorted()).toEqual(['input.endUser.id', 'input.integration']);
  });
});

describe('names', () => {
  const refused = [
    ...[' ', '\t', '\u00a0', '\u2003', '\u3000', '\u200b', '\u200b\u200b', '\u2060', '\ufeff', '\u00ad', '\u034f', '\u061c', '\u180e'],
    ...[
      '\u115f',
      '\u1160',
      '\u3164',
      '\uffa0',
      '\u2800',
      '\ufe0f',
      '\u{e0001}',
      '\u{e0100}',
      '\u200d',
      '\u200c',
      '\u17b4',
      '\u2064',
      '\u0301',
    ],
    ...[
      ' name',
      'name ',
      '\u00a0name',
      'name\n',
      'na\nme',
      'na\u0000me',
      'na\u0085me',
      'na\u2028me',
      'na\u2029me',
      'na\u001bme',
      'na\u007fme',
    ],
    ...[
      'na\u200bme',
      'na\u200dme',
      'na\u00adme',
      'na\u202eme',
      'na\u202ame',
      'na\u2066me',
      'na\u200fme',
      'na\u200eme',
      'na\ufeffme',
      'na\ufe0fme',
    ],
  ];
  const accepted = [
    'Zoë',
    'nai\u0308ve',
    '名前',
    'שלום',
    'مرحبا',
    'می\u200cخواهم',
    'क्\u200dष',
    '👩\u200d💻',
    '❤\ufe0f',
    '葛\u{e0100}',
    'a  b',
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
  ];

  /** Inputs with every place of a name in them, for each mutation that has one. */
  const inputs: Readonly<Record<string, (world: BoundWorld) => Record<string, unknown>>> = {
    createIntegration: () => ({ ssoClaims: { organization: 'o', userFields: [] } }),
    createConnector: ({ ids }) => ({ integration: { id: ids.integration }, baseUrl: 'https://a.example', authSchemes: schemes }),
    createEndUser: ({ ids }) => ({ integration: { id: ids.integration }, displayName: 'd', contacts: [{ type: 'REGULAR', name: 'n' }] }),
    createConnection: ({ ids }) => ({ integration: { id: ids.integration }, variables: [{ name: 'v', value: '' }] }),
    createCredential: ({ ids }) => ({ integration: { id: ids.integration }, data: { none: {} } }),
    createAPIKey: () => ({ scopes: ['credentials.get'] }),
  };
  const named = { name: 'n' };
  const oauth2 = {
    grant: 'PASSWORD',
    tokenUrl: 'https://a.example',
    scopes: [named],
    defaultScopes: ['s'],
    additionalAuthorizeParams: [named],
  };
  const schemes = [
    { schemeId: 'a', schemeType: 'API_KEY', apiKey: { ...named, in: 'QUERY' } },
    { schemeId: 'h', schemeType: 'HMAC', hmac: { ...named, in: 'QUERY', algorithm: 'SHA256', digestInputs: ['BODY'] } },
    { schemeId: 'o', schemeType: 'OAUTH2', oauth2: { ...oauth2, additionalTokenParams: [named] } },
  ];
  const isName = (place: string) => /\.(?:name|displayName|externalId|organization|schemeId|defaultScopes\.\*)$/.test(place);

  it.each(Object.keys(inputs))('%s: one that nobody can see, or that looks like another, is refused wherever it stands', async (name) => {
    const field = mutationFields.find((each) => each.name === name)!;
    const own = name === 'createEndUser' ? { externalId: 'x' } : { name: 'x' };
    const args = { input: { ...own, ...inputs[name]!(world) } };
    const places = spotsIn(field, args).leaves.filter(
      ({ path, type, parent }) => getNamedType(type).name === 'String' && !/Ref$/.test(parent!.name) && isName(placeAt(field, path)),
    );
    expect(places.length).toBeGreaterThan(0);
    for (const value of refused) {
      // All at once, which the tests above allow.
      const all = places.reduce<Record<string, unknown>>((given, { path }) => withValue(given, path, value), args);
      const told = await pathsOf(field, all);
      for (const { path } of places)
        expect([JSON.stringify(value), told]).toEqual([JSON.stringify(value), expect.arrayContaining([path.join('.')])]);
    }
    if (name === 'createAPIKey') return;
    for (const value of accepted) {
      const given = places.filter(({ path }) => path.at(-1) !== 'externalId');
      const input = given.reduce<Record<string, unknown>>((before, { path }) => withValue(before, path, value), args);
      const unique = name === 'createEndUser' ? withValue(input, ['input', 'externalId'], value.normalize('NFC')) : input;
      const told = (await pathsOf(field, unique)).filter((path) => !path.startsWith('input.authSchemes'));
      expect([value, told]).toEqual([value, []]);
    }
  });

  it('the inputs above have all places of names, except those of credentials and schemes within a connection', () => {
    const walked = Object.keys(inputs).flatMap((name) => {
      const field = mutationFields.find((each) => each.name === name)!;
      const own = name === 'createEndUser' ? { externalId: 'x' } : { name: 'x' };
      return spotsIn(field, { input: { ...own, ...inputs[name]!(world) } }).leaves.map(({ path }) => placeAt(field, path));
    });
    const missing = Object.keys(inputs).flatMap((name) => {
      const field = mutationFields.find((each) => each.name === name)!;
      const places = [...leafPlaces(field).keys()].filter((place) => /\.(?:name|displayName|externalId|organization)$/.test(place));
      return places.filter(
        (place) =>
          !/Credentials|connector\.|endUser\.|integration\.|data\.|userFields|ssoClaims\.externalId/.test(place) && !walked.includes(place),
      );
    });
    expect(missing).toEqual([]);
  });

  it('compare after NFC: uniqueness, references and filters', async () => {
    const { caller } = world;
    const [composed, decomposed] = ['Zo\u00eb', 'Zoe\u0308'];
    const { id, name } = await test.create(caller, 'Integration', { name: `${decomposed} 2` }, 'id name');
    expect(name).toBe(`${composed} 2`);
    const field = mutationFields.find((each) => each.name === 'createIntegration')!;
    for (const each of [composed, decomposed]) {
      expect((await send(field, { input: { name: `${each} 2` } })).data.result.code).toBe('CONFLICT');
      const found = await test.query(
        caller,
        'query ($name: String!, $glob: String!) { integration(by: { name: $name }) { id } integrations(name: $glob) { nodes { id } } }',
        { name: `${each} 2`, glob: `${each}*2` },
      );
      expect(found).toEqual({ integration: { id }, integrations: { nodes: [{ id }] } });
    }
  });

  it('descriptions have line breaks and no other control characters', async () => {
    const field = mutationFields.find((each) => each.name === 'updateIntegration')!;
    const of = (description: string) => pathsOf(field, { input: { integration: { id: world.ids.integration }, description } });
    for (const text of ['', 'one\ntwo\r\n\tthree', 'שלום \u2067x\u2069']) expect([text, await of(text)]).toEqual([text, []]);
    for (const text of [' ', '\n', '\u200b', '\u2800', 'a\u0000', 'a\u001b[31m', 'a\u202eb', '\u0085'])
      expect([text, await of(text)]).toEqual([text, ['input.description']]);
  });
});

describe('what creation needs', () => {
  it('has a ! in the input of every kind, and nothing else has', () => {
    for (const { typeName, fields, kind, storedAs } of credentialKinds) {
      const type = schema.getType(`${typeName}Input`) as GraphQLInputObjectType | undefined;
      if (Object.keys(fields).length === 0) continue;
      const required = Object.values(type!.getFields()).filter((member) => String(member.type).endsWith('!'));
      // A secret can be still to come: the domain requires it, unless the credential is pending.
      const expected = Object.keys(fields).filter((name) => !fields[name]!.optional && (storedAs || !fields[name]!.secret));
      expect([kind, required.map(({ name }) => name).toSorted()]).toEqual([kind, expected.toSorted()]);
      const changes = schema.getType(`${typeName}Changes`) as GraphQLInputObjectType | undefined;
      for (const member of Object.values(changes?.getFields() ?? {})) expect(String(member.type)).not.toMatch(/!$/);
    }
  });

  it('is asked for before anything runs', async () => {
    const query = (data: string) =>
      `mutation { createCredential(input: { integration: { name: "crm" }, name: "x", data: ${data} }) { __typename } }`;
    for (const data of ['{ basicAuth: { password: "a" } }', '{ snowflake: {} }', '{ git: {} }', '{ oauth2Token: { accessToken: "a" } }']) {
      const { errors } = await test.send({ query: query(data) }, { authorization: `Bearer ${await test.token(world.caller)}` });
      expect([data, errors![0].extensions.code]).toEqual([data, 'GRAPHQL_VALIDATION_FAILED']);
    }
  });
});

it('certificates may have text around them, which is dropped; other blocks are refused', async () => {
  const { caller, ids } = world;
  const bags = `Bag Attributes\n    friendlyName: a - b\n    localKeyID: 9B 72 EC\nsubject=O = "Acme, Inc."\nissuer=CN = a\n`;
  const given = `\ufeff${bags}${exampleCertificate.replaceAll('\n', '\r\n')}\n\n${bags}${exampleCertificate.trim()}\n---\n`;
  const create = (certificate: string) =>
    test.query(
      caller,
      `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) {
        ... on CreateCredentialSuccess { credential { ... on CertificateKeyPairCredential { certificate } } } ... on ValidationError { issues { path } } } }`,
      { input: { integration: { id: ids.integration }, name: 'c', data: { certificateKeyPair: { certificate, privateKey: exampleKey } } } },
    );
  expect((await create(given)).result.credential.certificate).toBe(exampleCertificate.repeat(2));
  for (const other of [
    exampleKey,
    '-----BEGIN CERTIFICATE-----\n',
    '-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n',
    '-----END X-----',
  ])
    expect((await create(`${exampleCertificate}${other}`)).result.issues[0].path).toEqual([
      'input',
      'data',
      'certificateKeyPair',
      'certificate',
    ]);
});
