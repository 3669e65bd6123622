import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Noun, nouns, nounTable } from '../../src/access/nouns.ts';
import { apiKeyText } from '../../src/access/tokens.ts';
import { encodeId, parseId } from '../../src/schema/kit/global-id.ts';
import { healthFieldNames } from '../../src/store/health.ts';
import type { Answer, Caller, Json } from '../harness.ts';
import { useTestGateway } from '../harness.ts';
import { add, newVault, reveal } from '../vault.ts';
import { type BoundWorld, emailOfContact, seedBoundWorld } from '../world.ts';

// What somebody can do who writes to the database, and may hold an ordinary token, but has no master key.
const test = useTestGateway();
const collection = (noun: Noun | 'secret' | 'dataKey') =>
  test.database.collection<Json>(noun === 'secret' ? 'secrets' : noun === 'dataKey' ? 'dataKeys' : nounTable[noun].plural);
const idOf = (globalId: string) => parseId(globalId)!.id;
const authenticatedNouns = nouns.filter((noun) => noun !== 'auditEntry');
const MESSAGE = '__typename ... on MutationError { code message }';

/** The result of one mutation: its code, or the name of its success. */
async function outcome(caller: Caller, mutation: string, variables?: object): Promise<string> {
  const { data, errors, text } = await test.answer(caller, mutation, variables);
  expect(text).not.toContain('INTERNAL_SERVER_ERROR');
  return data?.result?.code ?? data?.result?.__typename ?? errors?.[0].extensions.code;
}

/** Changes a document round the gateway, and puts it back when the run is over. */
async function altered<T>(
  noun: Noun | 'secret' | 'dataKey',
  _id: string,
  change: (document: Json) => object,
  run: () => Promise<T>,
): Promise<T> {
  const documents = collection(noun);
  const before = (await documents.findOne({ _id }))!;
  await documents.replaceOne({ _id }, change(structuredClone(before)) as Json);
  try {
    return await run();
  } finally {
    await documents.replaceOne({ _id }, before, { upsert: true });
  }
}

const integrityQuery = `query ($id: ID!) { node(id: $id) { ${authenticatedNouns
  .map((noun) => `... on ${noun === 'credential' ? 'CredentialBase' : nounTable[noun].typeName} { ${noun}: integrity }`)
  .join(' ')} } }`;

/** What a query says of an object: its state, or that it is not found. It must answer in any case. */
async function integrity(caller: Caller, noun: Noun, _id: string): Promise<string> {
  const { data, errors, text } = await test.answer(caller, integrityQuery, { id: encodeId(noun, _id) });
  expect(errors, text).toBeUndefined();
  return data.node?.[noun] ?? 'NOT_FOUND';
}

let world: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
  const integration = { id: world.ids.integration };
  // Documents with something in every field.
  const fields = { integration, description: 'd', expiresAt: new Date(Date.now() + 1e9).toISOString() };
  const data = { jwt: { algorithm: 'HS256', secret: 'a shared secret of thirty-two bytes, and more' } };
  world = {
    ...world,
    ids: { ...world.ids, credential: (await test.create(world.caller, 'Credential', { ...fields, name: 'full', data })).id },
  };
  const ssoClaims = { organization: 'o', tags: ['t'], userFields: [{ name: 'n', text: 'x' }] };
  const change = `mutation ($input: UpdateIntegrationInput!) { result: updateIntegration(input: $input) { ${MESSAGE} } }`;
  expect(await outcome(world.caller, change, { input: { integration, ssoClaims } })).toBe('UpdateIntegrationSuccess');
});

/** Everything that is not covered, by noun. A field that is added here decides nothing. */
const uncovered: Readonly<Partial<Record<string, readonly string[]>>> = {
  apiKey: ['touches', 'lastUsedAt'],
  credential: ['lastUsedAt', ...healthFieldNames, 'runsOutAt', 'noticeAt', 'isUnspread', 'refreshAt'],
  connection: ['lastUsedAt', ...healthFieldNames],
};

/** Whether the database takes a document: of two lists in one index it does not, and the embedded one takes no field twice. */
async function isTaken(writing: Promise<unknown>): Promise<boolean> {
  return writing.then(
    () => true,
    (error) => {
      expect(error.message).toMatch(/parallel arrays|two fields have the same name/);
      return false;
    },
  );
}

/** Other values in the place of one, of the same type and of others. */
function others(value: unknown): unknown[] {
  if (typeof value === 'string') return [`${value}x`, '', null, 5, [value], { $eq: value }, new Date(0)];
  if (typeof value === 'number') return [value + 1, String(value), null, [value], 1.5];
  if (typeof value === 'boolean') return [!value, String(value), Number(value), null];
  if (value instanceof Date) return [new Date(value.getTime() + 1), value.toISOString(), value.getTime(), null];
  if (value === null) return ['x', 0, false, [], {}];
  if (Array.isArray(value))
    return [[...value, 'x'], value.slice(1), null, Object.fromEntries(value.entries()), [value]].filter(
      (other) => JSON.stringify(other) !== JSON.stringify(value),
    );
  return [{ ...(value as object), x: 1 }, null, [value], JSON.stringify(value)];
}

/** Every place within a document, and the document with something else there. */
function* changes(value: Json, rebuild: (value: unknown) => Json, path: string): Generator<[path: string, document: Json]> {
  if (path !== '') for (const other of others(value)) yield [`${path} = ${JSON.stringify(other)}`, rebuild(other)];
  if (typeof value !== 'object' || value === null || value instanceof Date) return;
  for (const name of Object.keys(value)) {
    if (path === '' && name === '_id') continue;
    const inner = (replaced: unknown) =>
      rebuild(Array.isArray(value) ? value.with(Number(name), replaced) : { ...value, [name]: replaced });
    yield* changes(value[name], inner, path === '' ? name : `${path}.${name}`);
    if (!Array.isArray(value)) {
      const { [name]: _, ...rest } = value;
      yield [`${path}.${name} removed`, rebuild(rest)];
    }
  }
  if (!Array.isArray(value)) yield [`${path} with another field`, rebuild({ ...value, another: 1 })];
}

describe('each field of each record', () => {
  it.each(authenticatedNouns)('%s: a change is noticed, and every query still answers', async (noun) => {
    const _id = idOf(world.ids[noun]);
    const documents = collection(noun);
    const before = (await documents.findOne({ _id }))!;
    expect(await integrity(world.caller, noun, _id)).toBe('INTACT');
    const unnoticed: string[] = [];
    let count = 0;
    for (const [what, document] of changes(before, (value) => value as Json, '')) {
      if (!(await isTaken(documents.replaceOne({ _id }, document)))) continue;
      if ((await integrity(world.caller, noun, _id)) === 'INTACT') unnoticed.push(what);
      count++;
    }
    await documents.replaceOne({ _id }, before);
    expect(await integrity(world.caller, noun, _id)).toBe('INTACT');
    expect(count).toBeGreaterThan(50);
    const free = ['touches', 'bytes', ...(uncovered[noun] ?? [])];
    expect(unnoticed.filter((what) => !free.some((field) => new RegExp(`^\\.?${field}( |$)`).test(what)))).toEqual([]);
  });

  it.each(authenticatedNouns)('%s: is not taken with no MAC, another MAC, or as another noun or id', async (noun) => {
    const _id = idOf(world.ids[noun]);
    const state = () => integrity(world.caller, noun, _id);
    const { mac } = (await collection(noun).findOne({ _id }))!;
    const own = (await collection(noun).findOne({ organizationId: world.caller.organization, _id: { $ne: _id } })) ?? { mac: 'x.y' };
    const [keyId, tag] = mac.split('.');
    const forged = [
      undefined,
      null,
      '',
      keyId,
      `${keyId}.`,
      `.${tag}`,
      `x${keyId}.${tag}`,
      own.mac,
      mac.toLowerCase(),
      { $ne: '' },
      5,
      [mac],
    ];
    for (const other of forged) expect(await altered(noun, _id, (document) => ({ ...document, mac: other }), state)).toBe('ALTERED');
    const copy = randomBytes(12).toString('hex');
    const before = (await collection(noun).findOne({ _id }))!;
    const renamed = Object.fromEntries(
      ['name', 'externalId', 'position'].filter((field) => field in before).map((field) => [field, 'a copy']),
    );
    await collection(noun).insertOne({ ...before, ...renamed, _id: copy });
    expect(await integrity(world.caller, noun, copy)).toBe('ALTERED');
    await collection(noun).deleteOne({ _id: copy });
  });

  it('lists answer, and show what is altered with its type and state', async () => {
    const { caller, ids } = world;
    const list =
      '{ credentials(first: 100) { nodes { __typename ... on CredentialBase { id name integrity errors version allowedPurposes } ... on JWTCredential { algorithm } } } connections(first: 100) { nodes { id integrity allowedDomain variables { name } actionCredentials { credentialId } } } }';
    const change = (document: Json) => ({
      ...document,
      name: 7,
      version: 'x',
      settings: { algorithm: { a: 1 } },
      allowedPurposes: ['ACTION', 'UNKNOWN'],
      secrets: null,
      errors: [1],
    });
    const { credentials } = await altered('credential', idOf(ids.credential), change, () => test.query(caller, list));
    const shown = credentials.nodes.find((node: Json) => node.id === ids.credential);
    expect(shown).toEqual({
      __typename: 'AlteredCredential',
      id: ids.credential,
      name: '',
      integrity: 'ALTERED',
      errors: [expect.stringContaining('was changed')],
      version: 0,
      allowedPurposes: [],
    });
    expect(credentials.nodes.filter((node: Json) => node.integrity === 'ALTERED')).toHaveLength(1);
    const broken = (document: Json) => ({
      ...document,
      variables: 'x',
      actionCredentials: [{ credentialId: 5 }],
      allowedDomain: 'evil.example',
    });
    const { connections } = await altered('connection', idOf(ids.connection), broken, () => test.query(caller, list));
    expect(connections.nodes.find((node: Json) => node.id === ids.connection)).toEqual({
      id: ids.connection,
      integrity: 'ALTERED',
      allowedDomain: 'evil.example',
      variables: [],
      actionCredentials: [],
    });
  });
});

describe('an API key', () => {
  const usual = '{ viewer { subject } }';
  const asks = async (token: string): Promise<number> => (await test.answer({ organization: '', token }, usual)).status;
  const make = async (caller = world.caller, input: object = { scopes: ['credentials.get'] }) => {
    const { id, key } = await test.makeAPIKey(caller, input);
    return { _id: idOf(id), key };
  };

  it('that was inserted is refused', async () => {
    const { _id, key } = await make();
    expect(await asks(key)).toBe(200);
    const secret = randomBytes(32).toString('base64url');
    const hash = createHash('sha256').update(secret).digest('base64url');
    const id = randomBytes(12).toString('hex');
    const scopes = ['all.Organization', 'credentials.reveal'];
    await collection('apiKey').insertOne({ ...(await collection('apiKey').findOne({ _id }))!, _id: id, name: 'forged', hash, scopes });
    expect(await asks(apiKeyText({ organizationId: world.caller.organization, id, secret }))).toBe(401);
    await collection('apiKey').deleteOne({ _id: id });
  });

  it.each<[string, (document: Json) => Json]>([
    ['with wider scopes', (document) => ({ ...document, scopes: [...document.scopes, 'credentials.reveal'] })],
    ['with a moved expiry', (document) => ({ ...document, expiresAt: new Date(Date.now() + 1e9) })],
    ['without its integration', (document) => ({ ...document, integrationId: null })],
    [
      'with a previous key that is accepted for ever',
      (document) => ({ ...document, previousHash: document.hash, previousUntil: new Date(1e14) }),
    ],
    ['without its MAC', ({ mac: _, ...document }) => document],
  ])('%s is refused', async (_, change) => {
    const { _id, key } = await make(world.caller, { scopes: ['credentials.get'], integration: { id: world.ids.integration } });
    expect(await asks(key)).toBe(200);
    expect(await altered('apiKey', _id, change, () => asks(key))).toBe(401);
  });

  it('whose hash was replaced is refused', async () => {
    const { _id } = await make();
    const secret = randomBytes(32).toString('base64url');
    const hash = createHash('sha256').update(secret).digest('base64url');
    const token = apiKeyText({ organizationId: world.caller.organization, id: _id, secret });
    expect(
      await altered(
        'apiKey',
        _id,
        (document) => ({ ...document, hash }),
        () => asks(token),
      ),
    ).toBe(401);
  });

  it('that was copied into another organization is refused there, with the key that made its MAC or without', async () => {
    const other = await newVault(test, 1);
    const { _id, key } = await make(other.caller, { scopes: ['credentials.get', 'credentials.reveal'] });
    const secret = key.split('.').at(-1)!;
    const { organization: organizationId } = world.caller;
    const token = apiKeyText({ organizationId, id: _id, secret });
    await altered(
      'apiKey',
      _id,
      (document) => ({ ...document, organizationId }),
      async () => {
        expect(await asks(token)).toBe(401);
        // The key of the other organization, in the place of this one's.
        const records = { purpose: 'records', state: 'current' };
        const theirs = (await collection('dataKey').findOne({ ...records, organizationId: other.caller.organization }))!;
        const ours = (await collection('dataKey').findOne({ ...records, organizationId }))!;
        await collection('dataKey').deleteMany({ _id: { $in: [ours._id, theirs._id] } });
        await collection('dataKey').insertOne({ ...theirs, organizationId });
        await test.close();
        await test.open();
        const { data, errors } = await test.answer({ organization: '', token }, usual);
        expect([data?.viewer, errors?.[0].extensions.code]).toEqual([undefined, 'UNREADABLE_SECRET']);
        await collection('dataKey').deleteOne({ _id: theirs._id });
        await collection('dataKey').insertMany([ours, theirs]);
        await test.close();
        await test.open();
      },
    );
    expect(await asks(key)).toBe(200);
  });
});

describe('a credential', () => {
  const revealing =
    'mutation ($id: ID!) { result: revealSecret(input: { credential: $id, field: "secret", reason: "an attack on it" }) { __typename ... on MutationError { code } } }';
  const reveals = (caller: Caller, id = world.more.jwt) => outcome(caller, revealing, { id });

  it.each<[string, (document: Json) => Json]>([
    ['moved to another integration', (document) => ({ ...document, integrationId: 'f'.repeat(24) })],
    ['given to an end user', (document) => ({ ...document, endUserId: idOf(world.ids.endUser) })],
    ['of another kind', (document) => ({ ...document, kind: 'jwtBearer' })],
    ['with other settings', (document) => ({ ...document, settings: { ...document.settings, algorithm: 'HS512' } })],
    ['enabled or disabled', (document) => ({ ...document, enabled: !document.enabled })],
    ['with another generation', (document) => ({ ...document, secrets: { secret: { ...document.secrets.secret, generation: 'x' } } })],
  ])('%s is not revealed, nor changed, and can be deleted', async (_, change) => {
    const data = { jwt: { algorithm: 'HS256', secret: 'a shared secret of thirty-two bytes' } };
    const { id } = await test.create(world.caller, 'Credential', { integration: { id: world.ids.integration }, name: 'x', data });
    expect(await reveals(world.caller, id)).toBe('RevealSecretSuccess');
    await altered('credential', idOf(id), change, async () => {
      expect(await reveals(world.caller, id)).toBe('ALTERED_RECORD');
      const rename = `mutation ($id: ID!) { result: updateCredential(input: { credential: $id, name: "laundered" }) { ${MESSAGE} } }`;
      expect(await outcome(world.caller, rename, { id })).toBe('ALTERED_RECORD');
      expect(await integrity(world.caller, 'credential', idOf(id))).toBe('ALTERED');
      const bind = `mutation ($integration: ID!, $id: ID!) { result: createConnection(input: { integration: { id: $integration }, name: "bound", actionCredentials: [{ credential: { id: $id } }] }) { ${MESSAGE} } }`;
      expect(await outcome(world.caller, bind, { id, integration: world.ids.integration })).toBe('ALTERED_RECORD');
      const remove = `mutation ($id: ID!) { result: deleteCredential(input: { credential: $id }) { ${MESSAGE} } }`;
      expect(await outcome(world.caller, remove, { id })).toBe('DeleteCredentialSuccess');
    });
    await collection('credential').deleteOne({ _id: idOf(id) });
  });

  it('that was given to the integration or the end user of a limited viewer does not exist for them', async () => {
    const { caller } = world;
    const { id: shop } = await test.create(caller, 'Integration', { name: 'the attacker’s' });
    const { id: mallory } = await test.create(caller, 'EndUser', { integration: { id: shop }, externalId: 'mallory' });
    const scopes = ['credentials.get', 'credentials.patch', 'credentials.delete', 'credentials.reveal'];
    const { key } = await test.makeAPIKey(caller, { scopes, integration: { id: shop } });
    const limited = { organization: '', token: key };
    const token = await test.makeEndUserToken(caller, { id: mallory }, { scopes: ['all.Organization'] });
    const _id = idOf(world.more.jwt);
    const moved = { integrationId: idOf(shop), endUserId: idOf(mallory) };
    await altered(
      'credential',
      _id,
      (document) => ({ ...document, ...moved }),
      async () => {
        expect(await reveals(limited)).toBe('NOT_FOUND');
        for (const viewer of [limited, { organization: '', token }]) {
          expect(await integrity(viewer, 'credential', _id)).toBe('NOT_FOUND');
          const { credentials } = await test.query(viewer, '{ credentials { nodes { ... on CredentialBase { id } } } }');
          expect(credentials.nodes).toEqual([]);
          const remove = `mutation ($id: ID!) { result: deleteCredential(input: { credential: $id }) { ${MESSAGE} } }`;
          expect(await outcome(viewer, remove, { id: world.more.jwt })).toBe('NOT_FOUND');
        }
      },
    );
  });

  // The database compares one of two fields with the same name, the driver returns the other.
  it('with a field twice, for the query and for the MAC, does not exist for a limited viewer', async () => {
    const { caller } = world;
    const { id: shop } = await test.create(caller, 'Integration', { name: 'twice' });
    const scopes = ['credentials.get', 'credentials.reveal'];
    const { key } = await test.makeAPIKey(caller, { scopes, integration: { id: shop } });
    const limited = { organization: '', token: key };
    const _id = idOf(world.more.jwt);
    const before = (await collection('credential').findOne({ _id }))!;
    class Twice extends Map<string, unknown> {
      override *entries() {
        yield* Object.entries({ _id, integrationId: idOf(shop) });
        yield* Object.entries(before).filter(([name]) => name !== '_id');
        return undefined;
      }
      override [Symbol.iterator]() {
        return this.entries();
      }
    }
    if (!(await isTaken(collection('credential').replaceOne({ _id }, new Twice() as Json)))) return;
    expect(await reveals(limited)).toBe('NOT_FOUND');
    expect(await integrity(limited, 'credential', _id)).toBe('NOT_FOUND');
    await collection('credential').replaceOne({ _id }, before);
    expect(await reveals(caller)).toBe('RevealSecretSuccess');
  });

  it('does not expire because somebody says so: its secrets are kept', async () => {
    const { caller, values } = await newVault(test, 2);
    const [one, other] = [...values.keys()];
    const past = { expiresAt: new Date(Date.now() - 60_000) };
    await altered(
      'credential',
      idOf(one!),
      (document) => ({ ...document, ...past }),
      async () => {
        expect(await test.gateway.sweep()).toBe(0);
      },
    );
    expect(await reveal(test, caller, one!)).toBe(values.get(one!));
    expect(await reveal(test, caller, other!)).toBe(values.get(other!));
  });
});

describe('a sealed secret', () => {
  const setTo = (caller: Caller, id: string, value: string) =>
    outcome(
      caller,
      `mutation ($id: ID!, $value: String!) { result: updateCredential(input: { credential: $id, data: { string: { value: $value } } }) { ${MESSAGE} } }`,
      { id, value },
    );
  const errorsOf = async (caller: Caller, id: string) =>
    (await test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { errors } } }', { id })).credential.errors;
  const sealedOf = async (id: string) => (await collection('secret').findOne({ credentialId: idOf(id) }))!;

  it('that was replaced does not open when it is put back, not even after a rotation', async () => {
    const { caller, values } = await newVault(test, 1);
    const [id] = [...values.keys()];
    const old = await sealedOf(id!);
    await setTo(caller, id!, 'the new value');
    await collection('secret').updateOne({ credentialId: idOf(id!) }, { $set: { sealed: old.sealed, keyId: old.keyId } });
    expect(await reveal(test, caller, id!)).toBe('UNREADABLE_SECRET');
    expect(await errorsOf(caller, id!)).toEqual(['The secret value cannot be opened.']);
    await test.gateway.keys.rotate({ organizationId: caller.organization });
    expect((await sealedOf(id!)).sealed).not.toBe(old.sealed);
    expect(await reveal(test, caller, id!)).toBe('UNREADABLE_SECRET');
    expect((await test.gateway.checkIntegrity(caller.organization)).unreadable).toMatchObject([
      { credentialId: idOf(id!), field: 'value' },
    ]);
  });

  it('does not open in the place of another', async () => {
    const { caller, values } = await newVault(test, 2);
    const [one, other] = [...values.keys()];
    const { sealed } = await sealedOf(one!);
    await collection('secret').updateOne({ credentialId: idOf(other!) }, { $set: { sealed } });
    expect(await reveal(test, caller, other!)).toBe('UNREADABLE_SECRET');
    expect(await reveal(test, caller, one!)).toBe(values.get(one!));
  });

  it('opens after rotations, updates and re-wrapping', async () => {
    const { caller, values } = await newVault(test, 2);
    const { organization: organizationId } = caller;
    await test.gateway.keys.rotate({ organizationId });
    const [id] = [...values.keys()];
    await setTo(caller, id!, 'another value');
    values.set(id!, 'another value');
    await add(test, caller, values);
    await test.gateway.keys.rewrap();
    for (const [each, value] of values) expect(await reveal(test, caller, each)).toBe(value);
    expect(await test.gateway.checkIntegrity(organizationId)).toEqual({ altered: [], unreadable: [] });
  });
});

describe('a sign-in', () => {
  const sign = () =>
    outcome(
      world.caller,
      `mutation ($endUser: EndUserRef!) { result: createSSOLink(input: { endUser: $endUser, contactType: REGULAR }) { ${MESSAGE} } }`,
      { endUser: { id: world.ids.endUser } },
    );
  const support = async () =>
    (await collection('connection').findOne({ organizationId: world.caller.organization, allowedDomain: 'acme.zendesk.com' }))!;

  it('is not signed for a connection that was aimed elsewhere or bound to another credential', async () => {
    expect(await sign()).toBe('CreateSSOLinkSuccess');
    const { _id } = await support();
    expect(await altered('connection', _id, (document) => ({ ...document, allowedDomain: 'mallory.zendesk.com' }), sign)).toBe(
      'ALTERED_RECORD',
    );
    const credentialId = idOf(world.ids.credential);
    const bound = { actionCredentials: [{ credentialId, authScheme: null }], credentialIds: [credentialId] };
    expect(await altered('connection', _id, (document) => ({ ...document, ...bound }), sign)).toBe('ALTERED_RECORD');
  });

  it('is not signed for a contact whose address was changed or confirmed', async () => {
    const _id = idOf(world.ids.endUser);
    const contact = (change: object) => (document: Json) => ({
      ...document,
      contacts: document.contacts.map((each: Json) => ({ ...each, ...change })),
    });
    expect(await altered('endUser', _id, contact({ email: 'mallory@example.com' }), sign)).toBe('ALTERED_RECORD');
    const verify = `mutation ($endUser: EndUserRef!, $email: String!, $verified: Boolean!) {
      result: setEmailVerified(input: { endUser: $endUser, contactType: REGULAR, email: $email, verified: $verified }) { ${MESSAGE} } }`;
    const variables = { endUser: { id: world.ids.endUser }, email: emailOfContact };
    await outcome(world.caller, verify, { ...variables, verified: false });
    expect(await sign()).toBe('EMAIL_NOT_VERIFIED');
    expect(await altered('endUser', _id, contact({ emailVerified: true }), sign)).toBe('ALTERED_RECORD');
    expect(
      await altered('endUser', _id, contact({ emailVerified: true }), () =>
        outcome(world.caller, verify, { ...variables, verified: true }),
      ),
    ).toBe('ALTERED_RECORD');
    expect(await outcome(world.caller, verify, { ...variables, verified: true })).toBe('SetEmailVerifiedSuccess');
    expect(await sign()).toBe('CreateSSOLinkSuccess');
  });

  it('is not signed with claims that somebody else set', async () => {
    const change = (document: Json) => ({ ...document, ssoClaims: { ...document.ssoClaims, organization: 'another company' } });
    expect(await altered('integration', idOf(world.ids.integration), change, sign)).toBe('ALTERED_RECORD');
  });
});

describe('a data key', () => {
  it.each(['fingerprint', 'audit', 'token', 'seal'])(
    'for records cannot be replaced by the key of another purpose: %s',
    async (purpose) => {
      const { caller, values } = await newVault(test, 1);
      const { organization: organizationId } = caller;
      const keys = collection('dataKey');
      const [id] = [...values.keys()];
      const records = (await keys.findOne({ organizationId, purpose: 'records' }))!;
      const other = (await keys.findOne({ organizationId, purpose }))!;
      const swap = async (recordsFrom: Json, otherFrom: Json) => {
        await keys.deleteMany({ _id: { $in: [records._id, other._id] } });
        await keys.insertMany([
          { ...recordsFrom, purpose: 'records' },
          { ...otherFrom, purpose },
        ]);
      };
      await swap(other, records);
      // A process that has unwrapped the keys already, and one that has not.
      expect(await reveal(test, caller, id!).catch(() => 'refused')).not.toBe('');
      const mutation = `mutation { result: createIntegration(input: { name: "x" }) { ${MESSAGE} } }`;
      await test.close();
      await test.open();
      expect(await outcome(caller, mutation)).toBe('UNREADABLE_SECRET');
      expect(await outcome(caller, 'query { credentials { nodes { __typename } } }')).toBe('UNREADABLE_SECRET');
      await swap(records, other);
      await test.close();
      await test.open();
      expect(await outcome(caller, mutation)).toBe('CreateIntegrationSuccess');
      expect(await reveal(test, caller, id!)).toBe(values.get(id!));
    },
  );

  it('for records is not created again for an organization that has keys', async () => {
    const { caller } = await newVault(test, 1);
    const { organization: organizationId } = caller;
    await collection('dataKey').deleteOne({ organizationId, purpose: 'records' });
    await test.close();
    await test.open();
    expect(await outcome(caller, `mutation { result: createIntegration(input: { name: "x" }) { ${MESSAGE} } }`)).toBe('UNREADABLE_SECRET');
    expect(await collection('dataKey').countDocuments({ organizationId, purpose: 'records' })).toBe(0);
  });
});

describe('what is told', () => {
  it('one entry for each object, however often it is read, and again after an hour', async () => {
    const { caller, values } = await newVault(test, 1);
    const [id] = [...values.keys()];
    const log = async () =>
      (await test.query(caller, '{ auditLog(action: detectAlteration) { nodes { action outcome objectId viewerKind count } } }')).auditLog
        .nodes;
    await altered(
      'credential',
      idOf(id!),
      (document) => ({ ...document, name: 'forged' }),
      async () => {
        for (let index = 0; index < 5; index++) await test.query(caller, '{ credentials { nodes { __typename } } }');
        await test.gateway.audit.seal();
        await test.query(caller, '{ credentials { nodes { __typename } } }');
        await test.gateway.audit.seal();
        const entry = { action: 'detectAlteration', outcome: 'ALTERED_RECORD', objectId: id, viewerKind: 'GATEWAY', count: 1 };
        expect(await log()).toEqual([entry]);
        expect((await test.gateway.checkIntegrity(caller.organization)).altered).toEqual([{ noun: 'credential', id: idOf(id!) }]);
        const { time } = test;
        test.time = () => new Date(Date.now() + 2 * 60 * 60_000);
        await test.gateway.audit.seal();
        await test.query(caller, '{ credentials { nodes { __typename } } }');
        await test.gateway.audit.seal();
        test.time = time;
        expect(await log()).toEqual([entry, entry]);
      },
    );
    expect(test.logs.some((line) => line.includes('the audit log names them'))).toBe(true);
  });

  it('a deletion that removes bindings leaves an altered connection as it is', async () => {
    const { caller } = world;
    const make = async (noun: 'Credential' | 'Connection', input: object) =>
      (await test.create(caller, noun, { integration: { id: world.ids.integration }, ...input })).id;
    const credential = await make('Credential', { name: 'bound', data: { none: {} } });
    const connection = await make('Connection', { name: 'binds', actionCredentials: [{ credential: { id: credential } }] });
    await altered(
      'connection',
      idOf(connection),
      (document) => ({ ...document, allowedDomain: 'evil.example' }),
      async () => {
        const remove = (force: boolean): Promise<Answer> =>
          test.answer(
            caller,
            `mutation ($id: ID!) { result: deleteCredential(input: { credential: $id, force: ${force} }) { ${MESSAGE} } }`,
            { id: credential },
          );
        expect((await remove(false)).data.result.code).toBe('IN_USE');
        expect((await remove(true)).data.result.__typename).toBe('DeleteCredentialSuccess');
        expect(await integrity(caller, 'connection', idOf(connection))).toBe('ALTERED');
      },
    );
  });
});

it('what must be read before it is written is all in the same commands as before', async () => {
  const { caller, values } = await newVault(test, 1);
  const [id] = [...values.keys()];
  await reveal(test, caller, id!);
  const commands = await test.countCommands(() => reveal(test, caller, id!));
  expect(commands.length).toBeLessThanOrEqual(9);
});
