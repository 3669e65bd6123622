import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { confinedScopes, grantableScopes, scopes } from '../../src/access/scopes.ts';
import { type Answer, type Caller, type Json, useTestGateway } from '../harness.ts';

// H4: the client application's credentials in Authorization, over Basic too. L10: Authorization: Bearer.
const test = useTestGateway();
let caller: Caller;
beforeAll(async () => {
  caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
});

const LIST = '{ integrations { nodes { name } } }';
const CREATE = `mutation ($input: CreateAPIKeyInput!) { result: createAPIKey(input: $input) {
  __typename
  ... on CreateAPIKeySuccess { issued { id: apiKeyId key apiKey { id name scopes version expiresAt lastUsedAt previousKeyUntil integration { name } } } }
  ... on MutationError { code message } ... on ValidationError { issues { path message } } ... on ConflictError { path }
} }`;
const ROTATE = `mutation ($input: RotateAPIKeyInput!) { result: rotateAPIKey(input: $input) {
  ... on RotateAPIKeySuccess { issued { id: apiKeyId key apiKey { version previousKeyUntil } } }
  ... on MutationError { code message } ... on ValidationError { issues { path message } }
} }`;
const REVOKE =
  'mutation ($input: RevokeAPIKeyInput!) { result: revokeAPIKey(input: $input) { ... on RevokeAPIKeySuccess { deletedId } ... on MutationError { code } } }';

let made = 0;
const newName = () => `key ${++made}`;
const withKey = (key: string): Caller => ({ ...caller, token: key });

/** Shows a key, and answers with the status and the code of the refusal, if it is one. */
async function shown(key: string, query = LIST): Promise<[number, string | undefined]> {
  const { status, errors } = await test.answer(withKey(key), query);
  return [status, errors?.[0]?.extensions.code];
}
const letIn = [200, undefined];
const refused = [401, 'UNAUTHENTICATED'];

function sendBasic(user: string, password: string, headers: Record<string, string> = {}): Promise<Answer> {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return test.send({ query: LIST }, { authorization, ...headers });
}

describe('a key', () => {
  it('is shown once, and lets its holder do what it grants and nothing else', async () => {
    const input = { name: newName(), scopes: ['integrations.get', 'credentials.*'], expiresAt: '2999-01-01T00:00:00.000Z' };
    const { issued } = (await test.query(caller, CREATE, { input })).result;
    expect(issued.apiKey).toEqual({
      id: issued.id,
      ...input,
      version: 1,
      lastUsedAt: null,
      previousKeyUntil: null,
      integration: null,
    });
    expect(issued.key).toMatch(new RegExp(`^cgk_${caller.organization}\\.[0-9a-f]{24}\\.[A-Za-z0-9_-]{43}$`));
    expect(await shown(issued.key)).toEqual(letIn);
    const { errors } = await test.answer(withKey(issued.key), '{ connections { nodes { id } } }');
    expect(errors?.[0].extensions).toEqual({ code: 'FORBIDDEN', scope: 'connections.get' });
  });

  // The key is a secret: who has the database, the log or a later answer has not the key.
  it('is nowhere else: not in the database, in the log, or in what is read of it', async () => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: grantableScopes });
    const secret = key.split('.').at(-1)!;
    await test.query(withKey(key), LIST);
    const { text } = await test.answer(
      caller,
      `query ($id: ID!) { node(id: $id) { ... on APIKey { name scopes lastUsedAt } } apiKeys { nodes { id name } } auditLog { nodes { subject action reason objectId } } }`,
      { id },
    );
    expect(text).toContain('createAPIKey');
    const stored = await Promise.all((await test.database.collections()).map((collection) => collection.find().toArray()));
    for (const place of [text, JSON.stringify(stored), test.logs.join('\n')]) expect(place).not.toContain(secret);
    expect(JSON.stringify(stored)).toContain('"hash"');
  });

  it('tells when it was last used, to the minute, with a write a minute', async () => {
    const start = Date.now();
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const lastUsedAt = async () => (await test.query(caller, 'query ($id: ID!) { apiKey(id: $id) { lastUsedAt version } }', { id })).apiKey;
    expect(await lastUsedAt()).toEqual({ lastUsedAt: null, version: 1 });
    try {
      test.time = () => new Date(start + 1_000);
      const first = await test.countCommands(() => shown(key));
      test.time = () => new Date(start + 30_000);
      const second = await test.countCommands(() => shown(key));
      expect([first, second]).toEqual([
        // Its first use is an event, once and for all.
        ['find', 'find', 'update', 'insert', 'commitTransaction', 'aggregate'],
        ['find', 'aggregate'],
      ]);
      expect(await lastUsedAt()).toEqual({ lastUsedAt: new Date(start + 1_000).toISOString(), version: 1 });
      test.time = () => new Date(start + 61_000);
      expect(await test.countCommands(() => shown(key))).toEqual(['find', 'update', 'aggregate']);
      expect((await lastUsedAt()).lastUsedAt).toBe(new Date(start + 61_000).toISOString());
    } finally {
      test.time = () => new Date();
    }
  });

  // It is not authenticated, so that it can be written without reading the record.
  it.each(['x', 5, [], Number.NaN, true, { at: 5 }])('is accepted whatever the database says of its last use: %j', async (lastUsedAt) => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const _id = Buffer.from(id, 'base64url').toString().split(':')[1] as never;
    await test.database.collection('apiKeys').updateOne({ _id }, { $set: { lastUsedAt } });
    const read = async () => (await test.query(caller, 'query ($id: ID!) { apiKey(id: $id) { lastUsedAt integrity } }', { id })).apiKey;
    expect(await read()).toEqual({ lastUsedAt: null, integrity: 'INTACT' });
    expect(await shown(key)).toEqual(letIn);
    expect(await read()).toEqual({ lastUsedAt: expect.stringMatching(/^20/), integrity: 'INTACT' });
  });

  it('is refused when the key that created it was altered, like an unknown one', async () => {
    const parent = await test.makeAPIKey(caller, { scopes: ['integrations.get', 'apiKeys.post'] });
    const child = await test.makeAPIKey(withKey(parent.key), { scopes: ['integrations.get'] });
    const _id = Buffer.from(parent.id, 'base64url').toString().split(':')[1] as never;
    await test.database.collection('apiKeys').updateOne({ _id }, { $set: { name: newName() } });
    for (const { key } of [parent, child]) expect(await shown(key)).toEqual(refused);
  });

  it('is refused when its time is past', async () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const { key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'], expiresAt });
    expect(await shown(key)).toEqual(letIn);
    try {
      test.time = () => expiresAt;
      expect(await shown(key)).toEqual(refused);
    } finally {
      test.time = () => new Date();
    }
  });

  it.each<[string, (key: string) => string]>([
    ['another secret', (key) => key.slice(0, -43) + 'A'.repeat(43)],
    ['another id', (key) => key.replace(/\.[0-9a-f]{24}\./, `.${'0'.repeat(24)}.`)],
    ['another organization', (key) => key.replace(`cgk_${caller.organization}`, 'cgk_other')],
    ['one character more', (key) => `${key}A`],
    ['one character less', (key) => key.slice(0, -1)],
    ['another prefix', (key) => key.replace('cgk_', 'cgx_')],
    ['no secret', (key) => key.slice(0, -43)],
    ['the hash for the secret', (key) => key],
  ])('with %s is none, and nothing of it is repeated', async (name, change) => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const hash = (await test.database
      .collection('apiKeys')
      .findOne({ _id: Buffer.from(id, 'base64url').toString().split(':')[1] as never }))!.hash;
    const wrong = name.startsWith('the hash') ? key.slice(0, -43) + hash : change(key);
    const { status, text, headers } = await test.answer(withKey(wrong), LIST);
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    for (const part of wrong.split('.').filter((each) => each.length > 20)) expect(text + test.logs.join()).not.toContain(part);
  });

  it('is known to the audit log by its id, in what it did and what it was refused', async () => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['integrations.post', 'integrations.get'] });
    await test.create(withKey(key), 'Integration', { name: newName() });
    await test.answer(withKey(key), 'mutation { deleteIntegration(input: { integration: { name: "crm" } }) { __typename } }');
    await test.gateway.audit.seal();
    const query = 'query ($subject: String!) { auditLog(subject: $subject) { nodes { action outcome subject viewerKind } } }';
    const { auditLog } = await test.query(caller, query, { subject: id });
    expect(auditLog.nodes).toEqual(
      expect.arrayContaining([
        { action: 'createIntegration', outcome: 'SUCCESS', subject: id, viewerKind: 'API_KEY' },
        { action: 'deleteIntegration', outcome: 'FORBIDDEN', subject: id, viewerKind: 'API_KEY' },
      ]),
    );
    expect(auditLog.nodes).toHaveLength(2);
  });
});

describe('over Basic', () => {
  it.each(['', 'acme', 'any:thing'.replace(':', '')])('a key is taken as the password, whatever the user: %j', async (user) => {
    const { key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const { status, data } = await sendBasic(user, key);
    expect(status).toBe(200);
    expect(data.integrations.nodes).toContainEqual({ name: 'crm' });
  });

  // A browser keeps what it was given for Basic, and sends it along with whatever any page makes it send.
  it.each([{ 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, { origin: 'http://gateway.test' }])(
    'a browser is refused: %j',
    async (headers) => {
      const { key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
      const { status, errors } = await sendBasic('', key, headers as object as Record<string, string>);
      expect([status, errors?.[0].message]).toEqual([
        401,
        'Basic authentication is not accepted from browsers. Use Authorization: Bearer <token>.',
      ]);
    },
  );

  it.each(['secret', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln', ''])('nothing else is a password: %j', async (password) => {
    const { status, headers, errors } = await sendBasic('ada', password);
    expect([status, errors?.[0].extensions.code]).toEqual(refused);
    // Asked for Basic, a browser would ask its user for a password, and keep it.
    expect(headers.get('www-authenticate')).toBe('Bearer');
  });

  it.each(['Basic', 'Basic !!!', `Basic ${Buffer.from('no colon').toString('base64')}`])('%s is refused', async (authorization) => {
    const { status, headers } = await test.send({ query: LIST }, { authorization });
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
  });
});

describe('making one', () => {
  it.each<[string, readonly string[], string]>([
    ['a scope', ['credentials.get', 'credentials.reveal'], 'credentials.reveal'],
    ['a wildcard', ['connections.*'], 'connections.post'],
    ['a wildcard over all', ['all.Organization'], 'integrations.post'],
    ['what no wildcard covers', ['credentials.fingerprint'], 'credentials.fingerprint'],
  ])('gives at most what its maker has: %s', async (_, wanted, missing) => {
    const has = ['apiKeys.post', 'apiKeys.get', 'integrations.get', 'credentials.*', 'all.Organization.read'];
    const { status, data, errors } = await test.answer({ ...caller, scopes: has }, CREATE, { input: { name: newName(), scopes: wanted } });
    expect([status, data]).toEqual([403, undefined]);
    expect(errors!.map(({ extensions }) => extensions.scope)).toContain(missing);
  });

  it('a wildcard over all covers it as little as a wildcard over keys', async () => {
    for (const scope of ['all.Organization', 'apiKeys.*']) {
      const { errors } = await test.answer({ ...caller, scopes: [scope] }, CREATE, { input: { name: newName(), scopes: ['apiKeys.get'] } });
      expect(errors!.map(({ extensions }) => extensions.scope)).toContain('apiKeys.post');
    }
  });

  it.each<[string, object, string[], string]>([
    ['an unknown scope', { scopes: ['credentials.get', 'credentials.steal'] }, ['input', 'scopes', '1'], 'is not a scope'],
    ['no scope', { scopes: [] }, ['input', 'scopes'], 'must not be empty'],
    [
      'an expiry that is past',
      { scopes: ['audit.get'], expiresAt: '2001-01-01T00:00:00Z' },
      ['input', 'expiresAt'],
      'must be in the future',
    ],
    ['no name', { scopes: ['audit.get'], name: '' }, ['input', 'name'], 'must not be empty'],
    [
      'a scope that its integration has no room for',
      { scopes: ['credentials.get', 'audit.get'], integration: { name: 'crm' } },
      ['input', 'scopes', '1'],
      'is not allowed with this limit',
    ],
  ])('is refused with %s', async (_, input, path, message) => {
    const { result } = await test.query(caller, CREATE, { input: { name: newName(), ...input } });
    expect(result).toMatchObject({ __typename: 'ValidationError', issues: [{ path, message }] });
  });

  it('is refused by a name that is taken', async () => {
    const name = newName();
    await test.makeAPIKey(caller, { name, scopes: ['audit.get'] });
    const { result } = await test.query(caller, CREATE, { input: { name, scopes: ['audit.get'] } });
    expect(result).toMatchObject({ code: 'CONFLICT', path: ['input', 'name'] });
  });
});

describe('rotating one', () => {
  it('refuses the old key at once, or when the overlap ends', async () => {
    const { id, key: first } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const second = (await test.query(caller, ROTATE, { input: { apiKey: id } })).result.issued;
    expect(second.id).toBe(id);
    expect([await shown(first), await shown(second.key)]).toEqual([refused, letIn]);

    const start = Date.now();
    try {
      test.time = () => new Date(start);
      const third = (await test.query(caller, ROTATE, { input: { apiKey: id, overlapSeconds: 3_600 } })).result.issued;
      expect(third.apiKey).toEqual({ version: 3, previousKeyUntil: new Date(start + 3_600_000).toISOString() });
      expect([await shown(first), await shown(second.key), await shown(third.key)]).toEqual([refused, letIn, letIn]);
      test.time = () => new Date(start + 3_600_000);
      expect([await shown(second.key), await shown(third.key)]).toEqual([refused, letIn]);
    } finally {
      test.time = () => new Date();
    }
  });

  // Whoever rotates has the key in hand: without this, a small token could make itself a large one.
  it('needs all that the key grants', async () => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['credentials.*', 'credentials.reveal'] });
    const { data, errors } = await test.answer({ ...caller, scopes: ['apiKeys.post', 'apiKeys.get', 'credentials.*'] }, ROTATE, {
      input: { apiKey: id },
    });
    expect([data?.result ?? null, errors![0].extensions]).toEqual([null, { code: 'FORBIDDEN', scope: 'credentials.reveal' }]);
    expect(await shown(key, '{ credentials { nodes { __typename } } }')).toEqual(letIn);
  });

  it.each([-1, 604_801])('takes no overlap of %i seconds', async (overlapSeconds) => {
    const { id } = await test.makeAPIKey(caller, { scopes: ['audit.get'] });
    const { result } = await test.query(caller, ROTATE, { input: { apiKey: id, overlapSeconds } });
    expect(result).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'overlapSeconds'] }] });
  });
});

describe('one that another one created', () => {
  const scopes = ['integrations.get', 'apiKeys.post', 'apiKeys.get', 'apiKeys.delete'];
  const makeWith = (key: string, more: object = {}) => test.makeAPIKey(withKey(key), { scopes, ...more });
  const SHOW = 'query ($id: ID!) { apiKey(id: $id) { expiresAt createdBy { kind subject } } }';
  const shownOf = async (id: string) => (await test.query(caller, SHOW, { id })).apiKey;
  const all = (keys: readonly string[]) => Promise.all(keys.map((key) => shown(key)));

  it('tells who created it', async () => {
    const parent = await test.makeAPIKey(caller, { scopes });
    const child = await makeWith(parent.key);
    expect(await shownOf(parent.id)).toEqual({ expiresAt: null, createdBy: { kind: 'TOKEN', subject: 'tester' } });
    expect(await shownOf(child.id)).toEqual({ expiresAt: null, createdBy: { kind: 'API_KEY', subject: parent.id } });
  });

  it('is revoked with it, and so are those that it created; others are not', async () => {
    const [root, other] = [await test.makeAPIKey(caller, { scopes }), await test.makeAPIKey(caller, { scopes })];
    const child = await makeWith(root.key);
    const [grandchild, sibling] = [await makeWith(child.key), await makeWith(root.key)];
    const keys = [root, child, grandchild, sibling, other].map(({ key }) => key);
    expect(await all(keys)).toEqual([letIn, letIn, letIn, letIn, letIn]);
    await test.query(caller, REVOKE, { input: { apiKey: child.id } });
    expect(await all(keys)).toEqual([letIn, refused, refused, letIn, letIn]);
    await test.query(caller, REVOKE, { input: { apiKey: root.id } });
    expect(await all(keys)).toEqual([refused, refused, refused, refused, letIn]);
    const { apiKeys } = await test.query(caller, '{ apiKeys(first: 100) { nodes { id } } }');
    for (const { id } of [root, child, grandchild, sibling]) expect(apiKeys.nodes).not.toContainEqual({ id });
  });

  // An older version revoked a key alone; and who removes a record from the database must not leave the others.
  it('is refused when one of those before it is gone, however it went', async () => {
    const root = await test.makeAPIKey(caller, { scopes });
    const child = await makeWith(root.key);
    const grandchild = await makeWith(child.key);
    const _id = Buffer.from(root.id, 'base64url').toString().split(':')[1] as never;
    await test.database.collection('apiKeys').deleteOne({ _id });
    expect(await all([child.key, grandchild.key])).toEqual([refused, refused]);
  });

  it('expires with it at the latest', async () => {
    const end = new Date(Date.now() + 3_600_000);
    const parent = await test.makeAPIKey(caller, { scopes, expiresAt: end });
    const child = await makeWith(parent.key);
    expect((await shownOf(child.id)).expiresAt).toBe(end.toISOString());
    const soon = new Date(end.getTime() - 1_000).toISOString();
    expect((await shownOf((await makeWith(parent.key, { expiresAt: soon })).id)).expiresAt).toBe(soon);
    const input = { name: newName(), scopes, expiresAt: new Date(end.getTime() + 1).toISOString() };
    expect((await test.query(withKey(parent.key), CREATE, { input })).result).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'expiresAt'], message: 'must not be later than the expiry of the API key that creates it' }],
    });
    const grandchild = await makeWith(child.key);
    try {
      test.time = () => end;
      expect(await all([parent.key, child.key, grandchild.key])).toEqual([refused, refused, refused]);
    } finally {
      test.time = () => new Date();
    }
  });

  it('stays when it is rotated, by either key', async () => {
    const parent = await test.makeAPIKey(caller, { scopes });
    const child = await makeWith(parent.key);
    await test.query(caller, ROTATE, { input: { apiKey: parent.id } });
    expect(await all([parent.key, child.key])).toEqual([refused, letIn]);
  });

  // Who holds a leaked key would else take another one in hand, and keep it.
  it('an API key rotates itself and those that it created, and no others', async () => {
    const [root, other] = [await test.makeAPIKey(caller, { scopes }), await test.makeAPIKey(caller, { scopes })];
    const child = await makeWith(root.key);
    const rotate = async (key: string, apiKey: string) => (await test.query(withKey(key), ROTATE, { input: { apiKey } })).result;
    const message = 'must be the API key of the viewer, or one that was created with it';
    for (const [key, id] of [
      [root.key, other.id],
      [child.key, root.id],
    ] as const) {
      expect(await rotate(key, id)).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'apiKey'], message }] });
    }
    expect(await all([root.key, child.key, other.key])).toEqual([letIn, letIn, letIn]);
    const next = (await rotate(root.key, child.id)).issued.key;
    const itself = (await rotate(next, child.id)).issued.key;
    expect(await all([root.key, next, itself])).toEqual([letIn, refused, letIn]);
  });

  it('can create another one, to the eighth generation', async () => {
    let { key } = await test.makeAPIKey(caller, { scopes });
    const keys = [key];
    for (let generation = 1; generation <= 7; generation++) {
      ({ key } = await makeWith(key));
      keys.push(key);
    }
    const { result } = await test.query(withKey(key), CREATE, { input: { name: newName(), scopes } });
    const message = 'cannot be created with this API key, which is the last of 8 that were created one with the other';
    expect(result).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input'], message }] });
    const commands = await test.countCommands(() => shown(key, '{ __typename }'));
    expect(commands.filter((name) => name === 'find')).toHaveLength(2);
    expect(await all(keys)).toEqual(keys.map(() => letIn));
  });
});

describe('with a longest lifetime', () => {
  const day = 86_400_000;
  const start = Date.now();
  let old: { id: string; key: string };
  beforeAll(async () => {
    // Made before there was a limit.
    old = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    await test.close();
    test.policy = { apiKeyLifetimeMs: 90 * day };
    await test.open();
    test.time = () => new Date(start);
  });
  afterAll(async () => {
    test.time = () => new Date();
    await test.close();
    test.policy = {};
    await test.open();
  });
  const expiry = async (id: string) =>
    (await test.query(caller, 'query ($id: ID!) { apiKey(id: $id) { expiresAt } }', { id })).apiKey.expiresAt;

  it('a key expires by then, unless it is to expire before', async () => {
    const { id } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    expect(await expiry(id)).toBe(new Date(start + 90 * day).toISOString());
    const before = new Date(start + 89 * day).toISOString();
    expect(await expiry((await test.makeAPIKey(caller, { scopes: ['integrations.get'], expiresAt: before })).id)).toBe(before);
  });

  it('a later time is refused', async () => {
    const input = { name: newName(), scopes: ['integrations.get'], expiresAt: new Date(start + 90 * day + 1).toISOString() };
    expect((await test.query(caller, CREATE, { input })).result).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'expiresAt'], message: 'must not be later than the longest lifetime of API keys allows' }],
    });
  });

  it('an existing key without one is refused after it, and is shown to expire; rotating it changes nothing', async () => {
    const end = Date.parse(await expiry(old.id));
    expect(Math.abs(end - (start + 90 * day))).toBeLessThan(day);
    const { issued } = (await test.query(caller, ROTATE, { input: { apiKey: old.id } })).result;
    try {
      test.time = () => new Date(end - 1);
      expect(await shown(issued.key)).toEqual(letIn);
      test.time = () => new Date(end);
      expect(await shown(issued.key)).toEqual(refused);
    } finally {
      test.time = () => new Date(start);
    }
  });

  it('a key that another one created does not outlive it', async () => {
    const scopes = ['integrations.get', 'apiKeys.post'];
    const parent = await test.makeAPIKey(caller, { scopes });
    try {
      test.time = () => new Date(start + 60 * day);
      const child = await test.makeAPIKey(withKey(parent.key), { scopes });
      expect(await expiry(child.id)).toBe(new Date(start + 90 * day).toISOString());
      expect(await shown(child.key)).toEqual(letIn);
      test.time = () => new Date(start + 90 * day);
      expect(await shown(child.key)).toEqual(refused);
    } finally {
      test.time = () => new Date(start);
    }
  });
});

describe('revoking one', () => {
  it('refuses it from the next request on, and the one that it was rotated from', async () => {
    const { id, key } = await test.makeAPIKey(caller, { scopes: ['integrations.get'] });
    const next = (await test.query(caller, ROTATE, { input: { apiKey: id, overlapSeconds: 600 } })).result.issued.key;
    expect([await shown(key), await shown(next)]).toEqual([letIn, letIn]);
    expect((await test.query(caller, REVOKE, { input: { apiKey: id } })).result).toEqual({ deletedId: id });
    expect([await shown(key), await shown(next)]).toEqual([refused, refused]);
    expect((await test.query(caller, REVOKE, { input: { apiKey: id } })).result).toEqual({ code: 'NOT_FOUND' });
  });

  it('is what deleting its integration does, or its organization', async () => {
    const own: Caller = { organization: test.newOrganization() };
    const integration = { name: 'crm' };
    await test.create(own, 'Integration', integration);
    const limited = await test.makeAPIKey(own, { scopes: ['integrations.get'], integration });
    const free = await test.makeAPIKey(own, { scopes: ['integrations.get'] });
    expect([await shown(limited.key), await shown(free.key)]).toEqual([letIn, letIn]);
    await test.query(own, 'mutation { deleteIntegration(input: { integration: { name: "crm" }, force: true }) { __typename } }');
    expect([await shown(limited.key), await shown(free.key)]).toEqual([refused, letIn]);
    await test.gateway.deleteOrganization(own.organization);
    expect(await shown(free.key)).toEqual(refused);
    expect(await test.database.collection('apiKeys').countDocuments({ organizationId: own.organization })).toBe(0);
  });
});

// What it cannot reach of another integration, test/contracts/boundaries.test.ts tries in every field and every mutation.
describe('limited to an integration', () => {
  it('it can be allowed anything but what is the organization’s own', () => {
    expect(scopes.filter((scope) => !confinedScopes.integration.includes(scope))).toEqual([
      'integrations.post',
      'integrations.delete',
      'audit.get',
      'apiKeys.get',
      'apiKeys.delete',
      'tokens.delete',
      'apiKeys.post',
    ]);
  });

  it('it makes things there, and only there', async () => {
    const other = newName();
    await test.create(caller, 'Integration', { name: other });
    const { key } = await test.makeAPIKey(caller, { scopes: ['all.Organization'], integration: { name: 'crm' } });
    const made: Json = await test.create(withKey(key), 'Connection', { integration: { name: 'crm' }, name: newName() });
    expect(made.id).toBeTruthy();
    const { result } = await test.query(
      withKey(key),
      'mutation ($input: CreateConnectionInput!) { result: createConnection(input: $input) { ... on MutationError { code } } }',
      { input: { integration: { name: other }, name: newName() } },
    );
    expect(result).toEqual({ code: 'INVALID_INTEGRATION' });
    expect((await test.query(withKey(key), '{ integrations { totalCount nodes { name } } }')).integrations).toEqual({
      totalCount: 1,
      nodes: [{ name: 'crm' }],
    });
  });
});
