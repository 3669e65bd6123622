import { createHmac } from 'node:crypto';
import { compactDecrypt, decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { confinedScopes } from '../../src/access/scopes.ts';
import { enumValue } from '../../src/fields/enum-value.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';

/** A scope as `Viewer.scopes` shows it. */
const enumOf = (scope: string) => enumValue(scope.replace('.', '_'));

// A back end knows whose browser it speaks to, and gives it a token that is for this end user alone.
const test = useTestGateway();
const integration = { name: 'crm' };
let caller: Caller;
let endUser: { readonly id: string };
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'Connector', { integration, name: 'shop', baseUrl: 'https://shop.example' });
  endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
});

const CREATE = `mutation ($input: CreateEndUserTokenInput!) {
  result: createEndUserToken(input: $input) {
    ... on CreateEndUserTokenSuccess { endUserToken { token scopes expiresAt } }
    ... on MutationError { code } ... on ValidationError { issues { path message } }
  }
}`;
const OWN = '{ endUsers { nodes { externalId } } connections { totalCount nodes { name endUser { externalId } } } }';
const asEndUser = async (more: object = {}): Promise<Caller> => ({ ...caller, token: await test.makeEndUserToken(caller, endUser, more) });
async function shown(token: string): Promise<[number, Json]> {
  const { status, errors } = await test.answer({ ...caller, token }, OWN);
  return [status, errors?.[0].extensions.code];
}
let made = 0;
const newName = () => `name ${++made}`;

describe('a token', () => {
  it('grants what an end user can be allowed, for a quarter of an hour', async () => {
    // What happens at another time is an organization's own: it would stay the newest in the log of this one.
    const own = { organization: test.newOrganization() };
    await test.create(own, 'Integration', integration);
    const { id } = await test.create(own, 'EndUser', { integration, externalId: 'ada' });
    const start = Math.floor(Date.now() / 1000) * 1000;
    try {
      test.time = () => new Date(start + 400);
      const { endUserToken } = (await test.query(own, CREATE, { input: { endUser: { id } } })).result;
      expect(endUserToken.scopes).toEqual(confinedScopes.endUser);
      expect(endUserToken.expiresAt).toBe(new Date(start + 900_000).toISOString());
      test.time = () => new Date(start + 899_000);
      expect(await shown(endUserToken.token)).toEqual([200, undefined]);
      test.time = () => new Date(start + 900_000);
      expect(await shown(endUserToken.token)).toEqual([401, 'UNAUTHENTICATED']);
    } finally {
      test.time = () => new Date();
    }
  });

  it('is for reading and writing this end user’s own', async () => {
    const own = await asEndUser();
    const credential = await test.create(own, 'Credential', {
      integration,
      name: newName(),
      data: { basicAuth: { username: 'ada', password: 'pw' } },
    });
    const name = newName();
    // No end user is named: whoever is limited to one makes things for that one.
    await test.create(own, 'Connection', { integration, name, actionCredentials: [{ credential: { id: credential.id } }] });
    const data = await test.query(own, OWN);
    expect(data.endUsers.nodes).toEqual([{ externalId: 'ada' }]);
    expect(data.connections).toEqual({ totalCount: 1, nodes: [{ name, endUser: { externalId: 'ada' } }] });
  });

  it('never reveals, fingerprints, mints or reads the audit log', async () => {
    const own = await asEndUser();
    const { id } = await test.create(own, 'Credential', { integration, name: newName(), data: { string: { value: 'v' } } });
    const reading = 'query ($id: ID!) { credential(id: $id) { ... on StringCredential { value { isSet redacted fingerprint } } } }';
    expect((await test.query(own, reading, { id })).credential.value).toEqual({ isSet: true, redacted: '*****', fingerprint: null });
    for (const [query, scope] of [
      [
        `mutation { revealSecret(input: { credential: "${id}", field: "value", reason: "the test looks" }) { __typename } }`,
        'credentials.reveal',
      ],
      [`mutation { createEndUserToken(input: { endUser: { id: "${endUser.id}" } }) { __typename } }`, 'endUserTokens.post'],
      ['mutation { createAPIKey(input: { name: "x", scopes: ["credentials.get"] }) { __typename } }', 'apiKeys.post'],
      ['{ auditLog { totalCount } }', 'audit.get'],
      ['{ apiKeys { totalCount } }', 'apiKeys.get'],
    ] as const) {
      const { errors } = await test.answer(own, query);
      expect(errors!.map(({ extensions }) => extensions)).toContainEqual({ code: 'FORBIDDEN', scope });
    }
  });

  it('is known to the audit log as the end user', async () => {
    const own = await asEndUser();
    const { id } = await test.create(own, 'Credential', { integration, name: newName(), data: { none: {} } });
    const query = `query ($subject: String!, $id: ID!) { auditLog(subject: $subject, objectId: $id) { nodes { action subject viewerKind } } }`;
    const { auditLog } = await test.query(caller, query, { subject: endUser.id, id });
    expect(auditLog.nodes).toEqual([{ action: 'createCredential', subject: endUser.id, viewerKind: 'END_USER' }]);
  });

  it('says what it is for, and nothing that is secret', async () => {
    const { token = '' } = await asEndUser({ scopes: ['connections.get'] });
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'HS256', typ: 'end-user+jwt' });
    const { jti, ...claims } = decodeJwt(token);
    expect(claims).toMatchObject({
      iss: 'credential-gateway',
      aud: 'credential-gateway',
      organization: caller.organization,
      scope: 'connections.get',
    });
    // The one who made it, and when, is found by the token's id.
    const { auditLog } = await test.query(caller, '{ auditLog(action: createEndUserToken, first: 1) { nodes { reason objectId } } }');
    expect(auditLog.nodes).toEqual([{ reason: jti, objectId: endUser.id }]);
  });
});

describe('making one', () => {
  it('takes a lifetime of a minute to an hour', async () => {
    for (const lifetimeSeconds of [60, 3_600]) {
      expect((await test.query(caller, CREATE, { input: { endUser, lifetimeSeconds } })).result.endUserToken.token).toBeTruthy();
    }
    for (const lifetimeSeconds of [59, 3_601, -1, 0]) {
      const { result } = await test.query(caller, CREATE, { input: { endUser, lifetimeSeconds } });
      expect(result.issues).toMatchObject([{ path: ['input', 'lifetimeSeconds'] }]);
    }
  });

  it.each<[readonly string[], string[], string]>([
    [['connections.get', 'audit.get'], ['input', 'scopes', '1'], 'is not allowed with this limit'],
    [['credentials.reveal'], ['input', 'scopes', '0'], 'is not allowed with this limit'],
    [['nonsense'], ['input', 'scopes', '0'], 'is not a scope'],
    [[], ['input', 'scopes'], 'must not be empty'],
  ])('is refused with the scopes %j', async (scopes, path, message) => {
    expect((await test.query(caller, CREATE, { input: { endUser, scopes } })).result.issues).toEqual([{ path, message }]);
  });

  // A back end that lets end users in need not be able to do itself what they can do.
  it('gives what an end user can have, though its maker has none of it, and never more', async () => {
    const maker = { ...caller, scopes: ['endUserTokens.post'] };
    const { result } = await test.query(maker, CREATE, { input: { endUser } });
    expect(result.endUserToken.scopes).toEqual(confinedScopes.endUser);
    expect(await shown(result.endUserToken.token)).toEqual([200, undefined]);
    const some = (await test.query(maker, CREATE, { input: { endUser, scopes: ['connections.get'] } })).result.endUserToken;
    expect(some.scopes).toEqual(['connections.get']);
    // A wildcard covers no more than that.
    const wide = (await test.query(maker, CREATE, { input: { endUser, scopes: ['all.Organization', 'credentials.*'] } })).result
      .endUserToken;
    const { viewer } = await test.query({ ...caller, token: wide.token }, '{ viewer { scopes } }');
    expect(viewer.scopes.toSorted()).toEqual(confinedScopes.endUser.map(enumOf).toSorted());
    for (const scope of [
      'credentials.reveal',
      'credentials.fingerprint',
      'endUsers.patch',
      'endUserTokens.post',
      'apiKeys.post',
      'tokens.delete',
    ]) {
      expect((await test.query(maker, CREATE, { input: { endUser, scopes: [scope] } })).result.code).toBe('VALIDATION_FAILED');
    }
    const { errors } = await test.answer({ ...caller, scopes: confinedScopes.endUser }, CREATE, { input: { endUser } });
    expect(errors!.map(({ extensions }) => extensions.scope)).toContain('endUserTokens.post');
  });

  it('an API key with that scope alone makes them for end users of its integration, and of no other', async () => {
    const other = newName();
    await test.create(caller, 'Integration', { name: other });
    const stranger = await test.create(caller, 'EndUser', { integration: { name: other }, externalId: 'ada' });
    const { key } = await test.makeAPIKey(caller, { scopes: ['endUserTokens.post'], integration });
    const maker = { ...caller, token: key };
    expect(await shown((await test.query(maker, CREATE, { input: { endUser } })).result.endUserToken.token)).toEqual([200, undefined]);
    expect((await test.query(maker, CREATE, { input: { endUser: stranger } })).result).toEqual({ code: 'NOT_FOUND' });
  });
});

describe('a token is refused', () => {
  const wrong: readonly [string, (token: string) => string | Promise<string>][] = [
    ['that another key signed', (token) => signed(token, Buffer.alloc(32))],
    ['that is not signed', (token) => [encoded({ ...decodeProtectedHeader(token), alg: 'none' }), token.split('.')[1], ''].join('.')],
    ['whose end user is another', (token) => changed(token, { sub: '0'.repeat(24) })],
    ['whose organization is another', (token) => changed(token, { organization: 'other' })],
    ['whose scopes are others', (token) => changed(token, { scope: 'all.Organization' })],
    ['whose key is none', (token) => withHeader(token, { kid: '0'.repeat(24) })],
    ['whose key is no text', (token) => withHeader(token, { kid: { $ne: null } })],
    ['that passes itself off as the issuer’s', (token) => withHeader(token, { typ: 'JWT' })],
  ];
  it.each(wrong)('%s', async (_, change) => {
    const token = await change((await asEndUser()).token!);
    const { status, text } = await test.answer({ ...caller, token }, OWN);
    expect(status).toBe(401);
    for (const part of token.split('.').filter((each) => each.length > 3)) expect(text).not.toContain(part);
  });

  // Whoever may sign the issuer's tokens cannot make an end user's of them, nor the other way round.
  it('that the issuer signed', async () => {
    const token = await test.token({ ...caller, claims: { iss: 'credential-gateway', aud: 'credential-gateway', integration: 'x' } });
    expect(
      (await test.answer({ ...caller, token: await withHeader(token, { typ: 'end-user+jwt', kid: '0'.repeat(24) }) }, OWN)).status,
    ).toBe(401);
  });

  it('that a key for another purpose signed', async () => {
    const { token = '' } = await asEndUser();
    const { organization: organizationId } = caller;
    const keys = await test.database.collection('dataKeys').find({ organizationId, state: 'current' }).toArray();
    const taken: [string, boolean][] = [];
    for (const { _id, purpose, wrapped } of keys) {
      const { plaintext } = await compactDecrypt(wrapped, test.masterKey, { keyManagementAlgorithms: ['A256GCMKW'] });
      const header = { alg: 'HS256', typ: 'end-user+jwt', kid: String(_id) };
      const own = await new SignJWT(decodeJwt(token)).setProtectedHeader(header).sign(plaintext);
      taken.push([purpose, (await shown(own))[0] === 200]);
    }
    expect(Object.fromEntries(taken)).toEqual({ seal: false, fingerprint: false, audit: false, records: false, token: true });
  });

  it('when its organization is deleted', async () => {
    const own: Caller = { organization: test.newOrganization() };
    await test.create(own, 'Integration', integration);
    const { id } = await test.create(own, 'EndUser', { integration, externalId: 'ada' });
    const token = await test.makeEndUserToken(own, { id });
    expect((await shown(token))[0]).toBe(200);
    await test.gateway.deleteOrganization(own.organization);
    expect((await shown(token))[0]).toBe(401);
  });

  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = (token: string, key: Uint8Array) =>
    new SignJWT(decodeJwt(token)).setProtectedHeader(decodeProtectedHeader(token) as { alg: string }).sign(key);
  const changed = (token: string, claims: object) => {
    const [header, , signature] = token.split('.');
    return [header, encoded({ ...decodeJwt(token), ...claims }), signature].join('.');
  };
  const withHeader = (token: string, header: object) => {
    const [, payload] = token.split('.');
    const head = encoded({ ...decodeProtectedHeader(token), ...header });
    return [head, payload, createHmac('sha256', Buffer.alloc(32)).update(`${head}.${payload}`).digest('base64url')].join('.');
  };
});

// The credentials that the organization itself put into an end user's connection would else go wherever the end user says.
describe('a connection that has credentials which are not the end user’s', () => {
  const UPDATE = `mutation ($input: UpdateConnectionInput!) { result: updateConnection(input: $input) {
    ... on UpdateConnectionSuccess { connection { name allowedDomain actionCredentials { credential { ... on CredentialBase { id } } credentialId } } }
    ... on MutationError { code } ... on ValidationError { issues { path } }
  } }`;
  it('is renamed by the end user, and not aimed elsewhere', async () => {
    const own = await asEndUser();
    const { id: shared } = await test.create(caller, 'Credential', { integration, name: 'shared', data: { string: { value: 'v' } } });
    const { id } = await test.create(caller, 'Connection', {
      integration,
      endUser,
      name: newName(),
      allowedDomain: 'shop.example',
      actionCredentials: [{ credential: { id: shared } }],
    });
    const connection = { id };
    const name = newName();
    expect((await test.query(own, UPDATE, { input: { connection, name } })).result.connection).toEqual({
      name,
      allowedDomain: 'shop.example',
      // Its id is told, and nothing else of it.
      actionCredentials: [{ credential: null, credentialId: shared }],
    });
    for (const aim of [{ allowedDomain: 'evil.example' }, { allowedDomain: null }, { variables: [{ name: 'host', value: 'evil' }] }]) {
      const { result } = await test.query(own, UPDATE, { input: { connection, ...aim } });
      expect(result).toEqual({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', Object.keys(aim)[0]] }] });
    }
    // The organization may.
    expect(
      (await test.query(caller, UPDATE, { input: { connection, allowedDomain: 'other.example' } })).result.connection.allowedDomain,
    ).toBe('other.example');
    // The end user cannot remove it, and so does not get round the rule.
    const removing = { input: { connection, actionCredentials: [], allowedDomain: 'mine.example' } };
    expect((await test.query(own, UPDATE, removing)).result).toEqual({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'allowedDomain'] }],
    });
    // What the organization has removed goes nowhere.
    await test.query(caller, UPDATE, { input: { connection, actionCredentials: [] } });
    const freed = await test.query(own, UPDATE, { input: { connection, allowedDomain: 'mine.example' } });
    expect(freed.result.connection).toMatchObject({ allowedDomain: 'mine.example', actionCredentials: [] });
  });
});

it('a browser on a listed origin presents it, and reads the answer', async () => {
  const { token } = await asEndUser();
  const { status, data } = await test.send(
    { query: OWN },
    { authorization: `Bearer ${token}`, 'sec-fetch-site': 'same-origin', origin: 'http://gateway.test', host: 'gateway.test' },
  );
  expect([status, data.endUsers.nodes]).toEqual([200, [{ externalId: 'ada' }]]);
});

describe('the viewer', () => {
  const WHO = '{ viewer { organization kind subject scopes integration { name } endUser { externalId } } }';
  it('is told how it is known, whichever way', async () => {
    const key = await test.makeAPIKey(caller, { scopes: ['all.Organization'], integration });
    const { organization } = caller;
    const [byToken, byKey, byEndUser] = await Promise.all([
      test.query({ ...caller, scopes: ['integrations.*', 'endUsers.get'] }, WHO),
      test.query({ ...caller, token: key.key }, WHO),
      test.query(await asEndUser({ scopes: ['all.Organization'] }), WHO),
    ]);
    const scopes = ['integrations.get', 'integrations.post', 'integrations.patch', 'integrations.delete', 'endUsers.get'];
    expect(byToken.viewer).toEqual({
      organization,
      kind: 'TOKEN',
      subject: 'tester',
      scopes: scopes.map(enumOf),
      integration: null,
      endUser: null,
    });
    expect(byKey.viewer).toMatchObject({ organization, kind: 'API_KEY', subject: key.id, integration, endUser: null });
    expect(byKey.viewer.scopes).not.toContain('INTEGRATIONS_DELETE');
    expect(byKey.viewer.scopes).not.toContain('CREDENTIALS_REVEAL');
    expect(byEndUser.viewer).toMatchObject({
      organization,
      kind: 'END_USER',
      subject: endUser.id,
      integration,
      endUser: { externalId: 'ada' },
    });
    expect(byEndUser.viewer.scopes.toSorted()).toEqual(confinedScopes.endUser.map(enumOf).toSorted());
  });

  it('needs no scope, and no database', async () => {
    const commands = await test.countCommands(async () => {
      expect((await test.query({ ...caller, scopes: [] }, '{ viewer { organization scopes } }')).viewer.scopes).toEqual([]);
    });
    expect(commands).toEqual([]);
  });
});
