import { afterEach, describe, expect, it, vi } from 'vitest';
import { exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { Redacted } from '../../src/redacted.ts';
import { counts, danglingReferences } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { kindOf } from '../kinds.ts';
import { run, send } from '../operations.ts';

const test = useTestGateway();
// What a test leaves to expire would be swept in another.
afterEach(async () => {
  test.time = () => new Date(Date.now() + 7_200_000);
  await test.gateway.sweep();
  test.time = () => new Date();
});
const integration = { name: 'crm' };
const http = { uriMatch: 'https://api.example.com/*', authMethod: 'HEADER', publicValue: 'X-Key', secretValue: 'first' };
const fields = `id name description enabled expiresAt version
  ... on HTTPCredential { uriMatch publicValue secretValue { isSet redacted fingerprint sealedAt } }`;

async function setUp(input: object = {}): Promise<{ caller: Caller; id: string; credential: Json }> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  const credential = await test.create(
    caller,
    'Credential',
    { integration, name: 'mine', description: 'why', data: { http }, ...input },
    fields,
  );
  return { caller, id: credential.id, credential };
}
const update = (caller: Caller, id: string, input: object) => run(test, caller, 'updateCredential', { credential: id, ...input }, fields);
const reveal = (caller: Caller, credentialId: string, field = 'secretValue') =>
  run(test, caller, 'revealSecret', { credential: credentialId, field, reason: 'the test looks' }, 'credentialId field plaintext');

describe('an update', () => {
  it('keeps what is absent and clears what is null, of the common fields', async () => {
    const { caller, id } = await setUp();
    expect((await update(caller, id, { name: 'ours' })).credential).toMatchObject({
      name: 'ours',
      description: 'why',
      enabled: true,
      version: 2,
    });
    expect((await update(caller, id, { description: null, enabled: false })).credential).toMatchObject({
      name: 'ours',
      description: null,
      enabled: false,
    });
    expect((await update(caller, id, { enabled: null })).code).toBe('VALIDATION_FAILED');
  });

  it('keeps what is absent and clears what is null, of the kind’s fields, secrets included', async () => {
    const { caller, id, credential } = await setUp();
    const changed = (await update(caller, id, { data: { http: { publicValue: 'X-Other' } } })).credential;
    expect(changed).toMatchObject({ uriMatch: http.uriMatch, publicValue: 'X-Other', secretValue: credential.secretValue });
    expect((await reveal(caller, id)).secret.plaintext).toBe('first');

    const rotated = (await update(caller, id, { data: { http: { secretValue: 'second' } } })).credential;
    expect(rotated).toMatchObject({ uriMatch: http.uriMatch, publicValue: 'X-Other' });
    expect(rotated.secretValue.fingerprint).not.toBe(credential.secretValue.fingerprint);
    expect((await reveal(caller, id)).secret.plaintext).toBe('second');
  });

  it('unsets an optional secret, and what it was is gone', async () => {
    const { caller } = await setUp();
    const data = { oauth2Token: { scopes: ['read'], accessToken: 'access', refreshToken: 'refresh' } };
    const { id } = await test.create(caller, 'Credential', { integration, name: 'token', data });
    const before = await counts(test);
    const shown = '... on OAuth2TokenCredential { refreshToken { isSet redacted fingerprint sealedAt } accessToken { isSet } }';
    const { credential } = await run(
      test,
      caller,
      'updateCredential',
      { credential: id, data: { oauth2Token: { refreshToken: null } } },
      shown,
    );
    expect(credential).toEqual({
      refreshToken: { isSet: false, redacted: '*****', fingerprint: null, sealedAt: null },
      accessToken: { isSet: true },
    });
    expect((await counts(test)).secrets).toBe(before.secrets! - 1);
    expect(await reveal(caller, id, 'refreshToken')).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'field'] });
    expect((await reveal(caller, id, 'accessToken')).secret.plaintext).toBe('access');
  });

  it('keeps one ciphertext of each secret, however often it is changed', async () => {
    const { caller, id } = await setUp();
    const before = await counts(test);
    for (const secretValue of ['2', '3', '4']) await update(caller, id, { data: { http: { secretValue } } });
    expect((await counts(test)).secrets).toBe(before.secrets);
  });
});

describe('revealing', () => {
  it('gives the one secret that is asked for, and is never cached', async () => {
    const { caller, id } = await setUp();
    const answer = await send(
      test,
      caller,
      'revealSecret',
      { credential: id, field: 'secretValue', reason: 'the test looks' },
      'credentialId field plaintext',
    );
    expect(answer.data.result.secret).toEqual({ credentialId: id, field: 'secretValue', plaintext: 'first' });
    expect(answer.headers.get('cache-control')).toContain('no-store');
  });

  it.each(['', '  x  ', 'ünï\u0000cödé \u{1F511}', 'x'.repeat(65_536)])('gives back what was sealed, byte for byte (%#)', async (value) => {
    const { caller } = await setUp();
    const input = { integration, name: 's', data: { string: { value } } };
    const created = await run(test, caller, 'createCredential', input);
    if (value === '') expect(created.code).toBe('VALIDATION_FAILED');
    else expect((await reveal(caller, created.credential.id, 'value')).secret.plaintext).toBe(value);
  });

  // A secret that was moved or changed in the database must not open under another name.
  it('says so when what is stored cannot be opened, and of nothing else', async () => {
    const { caller, id } = await setUp();
    const other = await test.create(caller, 'Credential', { integration, name: 'other', data: { string: { value: 'theirs' } } });
    const secrets = test.database.collection('secrets');
    const raw = (globalId: string) => Buffer.from(globalId, 'base64url').toString().split(':')[1]!;
    const theirs = await secrets.findOne({ credentialId: raw(other.id) });
    await secrets.updateOne({ credentialId: raw(id) }, { $set: { sealed: theirs!.sealed } });
    expect(await reveal(caller, id)).toMatchObject({ __typename: 'UnreadableSecretError', code: 'UNREADABLE_SECRET' });
    expect((await reveal(caller, other.id, 'value')).secret.plaintext).toBe('theirs');
    // The credential itself is still shown, and can be set again.
    expect((await update(caller, id, { data: { http: { secretValue: 'anew' } } })).credential.secretValue.isSet).toBe(true);
    expect((await reveal(caller, id)).secret.plaintext).toBe('anew');
  });
});

describe('fingerprints', () => {
  it('are equal for equal secrets of an organization, different elsewhere, and need their scope', async () => {
    const { caller, credential } = await setUp();
    const twin = await test.create(caller, 'Credential', { integration, name: 'twin', data: { http } }, fields);
    const elsewhere = await setUp();
    expect(twin.secretValue.fingerprint).toBe(credential.secretValue.fingerprint);
    expect(twin.secretValue.fingerprint).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(elsewhere.credential.secretValue.fingerprint).not.toBe(credential.secretValue.fingerprint);
    const query = `query ($id: ID!) { credential(id: $id) { ... on HTTPCredential { secretValue { isSet fingerprint } } } }`;
    const read = await test.query({ ...caller, scopes: ['all.Organization'] }, query, { id: twin.id });
    expect(read.credential.secretValue).toEqual({ isSet: true, fingerprint: null });
  });
});

// A key takes a good part of a second: a transaction would hold others up for so long, and may run more than once.
it('makes a key before its transaction, and once', async () => {
  const { caller } = await setUp();
  const data = { snowflake: { host: 'x.snowflakecomputing.com', username: 'ada', generatePrivateKey: true } };
  const { id } = await test.create(caller, 'Credential', { integration, name: 'pair', data });
  await test.create(caller, 'Connection', { integration, name: 'main' });
  const connection = { inIntegration: { integration, name: 'main' } };
  const made = { actionCredentials: [{ credential: { create: { name: 'new', data } } }] };
  const generate = kindOf('snowflake')!.generate!;
  const make = vi.spyOn(generate, 'make');
  try {
    for (const [mutation, input] of [
      ['createCredential', { integration, name: 'another', data }],
      ['updateCredential', { credential: id, data: { snowflake: { generatePrivateKey: true } } }],
      ['createConnection', { integration, name: 'second', ...made }],
      ['updateConnection', { connection, ...made }],
    ] as const) {
      make.mockReset();
      const before = test.commands.length;
      make.mockImplementation(async () => {
        expect(test.commands.slice(before), mutation).toEqual([]);
        return new Redacted(exampleRsaKey);
      });
      expect(await run(test, caller, mutation, input)).not.toHaveProperty('code');
      expect(make, mutation).toHaveBeenCalledOnce();
    }
  } finally {
    make.mockRestore();
  }
});

describe('what has expired', () => {
  const inAnHour = () => new Date(Date.now() + 3_600_000);
  const travel = () => {
    test.time = () => new Date(Date.now() + 3_600_001);
  };
  async function setUpExpiring() {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', integration);
    await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
    const create = async (name: string, expiresAt: Date | null) =>
      (await test.create(caller, 'Credential', { integration, name, expiresAt, data: { string: { value: name } } })).id as string;
    const [short, long] = [await create('short', inAnHour()), await create('long', null)];
    const mtls = {
      grant: 'CLIENT_CREDENTIALS',
      tokenUrl: 'https://auth.example.com/token',
      mtlsCredentialId: short,
      clientCredentialId: long,
    };
    const scheme = { schemeId: 'x', schemeType: 'OAUTH2', oauth2: mtls };
    await test.create(caller, 'Connector', { integration, name: 'c', baseUrl: 'https://api.example.com', authSchemes: [scheme] });
    await test.create(caller, 'Connection', {
      integration,
      name: 'main',
      actionCredentials: [{ credential: { id: short } }, { credential: { id: long }, authScheme: scheme }],
      triggerCredentials: [{ credential: { id: short } }],
    });
    return { caller, short, long };
  }
  const everything = `query ($id: ID!) {
    credential(id: $id) { __typename } node(id: $id) { id } nodes(ids: [$id]) { id }
    credentials { totalCount nodes { ... on CredentialBase { name } } }
    connections { nodes { actionCredentials { credentialId credential { ... on CredentialBase { name } } authScheme { ... on OAuth2AuthScheme { mtlsCredentialId clientCredentialId } } }
      triggerCredentials { credentialId } } }
    connectors { nodes { authSchemes { ... on OAuth2AuthScheme { mtlsCredentialId clientCredentialId } } } }
  }`;

  it('is hidden from then on, before any sweep, by every way to it', async () => {
    const { caller, short } = await setUpExpiring();
    travel();
    const read = await test.query(caller, everything, { id: short });
    expect(read).toMatchObject({ credential: null, node: null, nodes: [null], credentials: { totalCount: 1, nodes: [{ name: 'long' }] } });
    expect(read.connections.nodes[0].actionCredentials.map(({ credential }: Json) => credential?.name ?? null)).toEqual([null, 'long']);
    for (const [mutation, input] of [
      ['updateCredential', { credential: short, expiresAt: null }],
      ['deleteCredential', { credential: short }],
      ['revealSecret', { credential: short, field: 'value', reason: 'the test looks' }],
      ['createConnection', { integration, name: 'new', actionCredentials: [{ credential: { id: short } }] }],
    ] as const) {
      expect((await run(test, caller, mutation, input, mutation === 'revealSecret' ? 'plaintext' : 'id')).code).toBe('NOT_FOUND');
    }
  });

  it('is swept, out of bindings and schemes too, and once only', async () => {
    const { caller, short, long } = await setUpExpiring();
    const before = await counts(test);
    expect(await test.gateway.sweep()).toBe(0);
    travel();
    expect(await test.gateway.sweep()).toBe(1);
    expect(await test.gateway.sweep()).toBe(0);
    const { connections, connectors } = await test.query(caller, everything, { id: short });
    const scheme = { mtlsCredentialId: null, clientCredentialId: long };
    expect(connections.nodes[0]).toMatchObject({ actionCredentials: [{ credentialId: long, authScheme: scheme }], triggerCredentials: [] });
    expect(connectors.nodes[0].authSchemes).toEqual([scheme]);
    const after = await counts(test);
    expect({ credentials: after.credentials, secrets: after.secrets }).toEqual({
      credentials: before.credentials! - 1,
      secrets: before.secrets! - 1,
    });
    expect(await danglingReferences(test)).toEqual([]);
  });

  it('is not what merely was to expire: the time can be put off, and taken away', async () => {
    const { caller, short } = await setUpExpiring();
    await update(caller, short, { expiresAt: null });
    travel();
    expect(await test.gateway.sweep()).toBe(0);
    expect((await test.query(caller, everything, { id: short })).credentials.totalCount).toBe(2);
  });

  it('is exact to the millisecond', async () => {
    const { caller, short } = await setUpExpiring();
    const expiresAt = new Date(Date.now() + 3_600_000);
    await update(caller, short, { expiresAt });
    const isThere = async (time: number) => {
      test.time = () => new Date(time);
      return (await test.query(caller, everything, { id: short })).credential !== null;
    };
    expect(await isThere(expiresAt.getTime() - 1)).toBe(true);
    expect(await isThere(expiresAt.getTime())).toBe(false);
  });
});
