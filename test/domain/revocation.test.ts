import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { confinedScopes } from '../../src/access/scopes.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import { contents } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';
import { gatewayOn, openStore } from '../vault.ts';

const test = useTestGateway();
/** Two copies of the gateway on one database. What is asked goes to the one that `on` names. */
let first: Gateway;
let second: Gateway;
let organization: string;
let caller: Caller;
const integration = { name: 'crm' };
const start = new Date('2030-01-01T12:00:00.400Z');
const at = (seconds: number) => new Date(start.getTime() + seconds * 1_000);
const seconds = (time: Date) => Math.floor(time.getTime() / 1_000);

beforeAll(async () => {
  first = test.gateway;
  await test.open();
  second = test.gateway;
});
afterAll(() => first.stop());
beforeEach(async () => {
  test.time = () => start;
  organization = test.newOrganization();
  caller = { organization, claims: { sub: 'admin', iat: seconds(start) } };
  await test.create(caller, 'Integration', integration);
});
afterEach(() => {
  test.time = () => new Date();
});

/** A token of a subject that was issued some seconds before or after the start. */
const tokenOf = async (sub: string, issued: number | undefined, more: object = {}): Promise<Caller> => ({
  organization,
  token: await test.token({ organization, claims: { sub, iat: issued === undefined ? undefined : seconds(start) + issued, ...more } }),
});
const QUERY = '{ integrations { totalCount } }';
let made = 0;
const mutation = () => `mutation { createIntegration(input: { name: "made ${++made}" }) { __typename } }`;

/** What a copy says to a caller: to a query that reads the database, one that does not, and a mutation. */
async function asked(gateway: Gateway, who: Caller): Promise<Json> {
  const codes: Json[] = [];
  for (const query of [QUERY, '{ __typename }', mutation()]) {
    const request = new Request('http://gateway.test/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${await test.token(who)}` },
      body: JSON.stringify({ query }),
    });
    const response = await gateway.fetch(request);
    const { errors } = (await response.json()) as Json;
    codes.push(errors?.[0].extensions.code ?? response.status);
  }
  return codes;
}
const letIn = [200, 200, 200];
const refused = ['UNAUTHENTICATED', 'UNAUTHENTICATED', 'UNAUTHENTICATED'];
const revoke = async (input: object, who: Caller = caller) => run(test, who, 'revokeTokens', input, 'before apiKeyCount');
const revokeEndUser = async (input: object, who: Caller = caller) => run(test, who, 'revokeEndUserTokens', input, 'before apiKeyCount');

describe('the issuer’s tokens of a subject', () => {
  it('that were issued before now are refused: at once by the copy that revoked them, by the others when they have read it', async () => {
    const [ada, bob] = [await tokenOf('ada', -60), await tokenOf('bob', -60)];
    expect([await asked(first, ada), await asked(second, ada)]).toEqual([letIn, letIn]);
    const { revocation } = await revoke({ subject: 'ada' });
    // To the end of the second, as tokens tell no more.
    expect(revocation).toEqual({ before: '2030-01-01T12:00:01.000Z', apiKeyCount: 0 });
    expect([await asked(second, ada), await asked(first, ada)]).toEqual([refused, letIn]);
    const commands = await test.countCommands(() => first.refreshRevocations());
    expect(commands).toEqual(['find', 'find']);
    expect(await asked(first, ada)).toEqual(refused);
    for (const gateway of [first, second]) expect(await asked(gateway, bob)).toEqual(letIn);
    // Nothing is new, and no request asks the database.
    expect(await test.countCommands(() => first.refreshRevocations())).toEqual(['find']);
    expect(await test.countCommands(() => test.query(bob, '{ __typename }'))).toEqual([]);
  });

  it('are told apart by when they were issued; one that does not tell counts as issued before', async () => {
    await revoke({ subject: 'ada', before: at(-10).toISOString() });
    const issued = { '-11': refused, '-10': refused, '-9': letIn, '0': letIn };
    for (const [when, expected] of Object.entries(issued))
      expect([when, await asked(second, await tokenOf('ada', Number(when)))]).toEqual([when, expected]);
    expect(await asked(second, await tokenOf('ada', undefined))).toEqual(refused);
  });

  it.each([-1, 0, 1e18, 1e300, -1e300])('iat: %d is no way round', async (iat) => {
    await revoke({ subject: 'ada' });
    const answers = await asked(second, await tokenOf('ada', undefined, { iat }));
    // A time that no clock shows is none.
    expect(answers).toEqual(refused);
  });

  it('work again when they are issued afterwards', async () => {
    await revoke({ subject: 'ada' });
    expect(await asked(second, await tokenOf('ada', 0))).toEqual(refused);
    test.time = () => at(2);
    expect(await asked(second, await tokenOf('ada', 1))).toEqual(letIn);
  });

  it('of another organization are others', async () => {
    await revoke({ subject: 'ada' });
    const other = { organization: test.newOrganization() };
    expect(await asked(second, { ...other, claims: { sub: 'ada', iat: seconds(start) - 60 } })).toEqual(letIn);
  });

  it('a revocation is not weakened by a later one for an earlier time, nor by a clock that is set back', async () => {
    const ada = await tokenOf('ada', -60);
    await revoke({ subject: 'ada' });
    test.time = () => at(-3_600);
    const early = { organization, token: await test.token({ organization, claims: { iat: seconds(start) - 3_600 } }) };
    const weaker = await revoke({ subject: 'ada' }, early);
    expect(weaker.revocation).toEqual({ before: '2030-01-01T12:00:01.000Z', apiKeyCount: 0 });
    await revoke({ subject: 'ada', before: at(-7_200).toISOString() }, early);
    await reopen();
    expect(await asked(second, ada)).toEqual(refused);
    await second.sweep();
    await reopen();
    expect([await asked(second, ada), await asked(second, await tokenOf('ada', -3_600))]).toEqual([refused, refused]);
    expect((await contents(test, organization)).revocations).toHaveLength(1);
  });

  it('revoked again, for a later time, there is one revocation', async () => {
    for (const offset of [-30, -20, -10]) await revoke({ subject: 'ada', before: at(offset).toISOString() });
    expect((await contents(test, organization)).revocations).toMatchObject([{ subject: 'ada', before: at(-10) }]);
    expect(await asked(second, await tokenOf('ada', -15))).toEqual(refused);
  });

  it('the time may be five minutes ahead, for a clock that is', async () => {
    expect(await revoke({ subject: 'ada', before: at(301).toISOString() })).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'before'], message: 'must be at most five minutes in the future' }],
    });
    expect((await revoke({ subject: 'ada', before: at(300).toISOString() })).revocation.before).toBe(at(300).toISOString());
  });

  it.each([{ subject: '' }, { subject: 'x'.repeat(256) }])('no such subject: %j', async (input) => {
    expect(await revoke(input)).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'subject'] }] });
  });

  it('is told to the audit log, by whom and whose', async () => {
    await revoke({ subject: 'ada' });
    const { auditLog } = await test.query(
      await tokenOf('auditor', 0),
      '{ auditLog(action: revokeTokens) { nodes { subject objectId reason } } }',
    );
    expect(auditLog.nodes).toEqual([{ subject: 'admin', objectId: null, reason: '2030-01-01T12:00:01.000Z: ada' }]);
  });

  it('a viewer can revoke its own tokens, and is then refused', async () => {
    await revoke({ subject: 'admin' });
    expect(await asked(second, caller)).toEqual(refused);
  });
});

describe('with API keys', () => {
  const make = async (who: Caller, more: object = {}) =>
    test.makeAPIKey(who, { scopes: ['integrations.get', 'integrations.post', 'apiKeys.post'], ...more });

  it('revokes those that the subject created or rotated, and those that were created with them, and no others', async () => {
    const [ada, bob] = [await tokenOf('ada', -60), await tokenOf('bob', -60)];
    const own = await make(ada);
    const child = await make({ organization, token: own.key });
    const others = await make(bob);
    const rotated = await make(bob);
    const { issued } = await run(test, ada, 'rotateAPIKey', { apiKey: rotated.id }, 'key');
    const all = { own: own.key, child: child.key, others: others.key, rotated: issued.key };
    const codes = async () =>
      Object.fromEntries(
        await Promise.all(Object.entries(all).map(async ([name, token]) => [name, (await asked(second, { organization, token }))[0]])),
      );
    expect((await revoke({ subject: 'ada' })).revocation.apiKeyCount).toBe(0);
    expect(await codes()).toEqual({ own: 200, child: 200, others: 200, rotated: 200 });
    test.time = () => at(2);
    const again = await run(test, await tokenOf('admin', 2), 'revokeTokens', { subject: 'ada', apiKeys: true }, 'before apiKeyCount');
    expect(again.revocation.apiKeyCount).toBe(3);
    expect(await codes()).toEqual({ own: 'UNAUTHENTICATED', child: 'UNAUTHENTICATED', others: 200, rotated: 'UNAUTHENTICATED' });
  });

  const rotate = async (who: Caller, apiKey: string, overlapSeconds = 0): Promise<string> =>
    (await run(test, who, 'rotateAPIKey', { apiKey, overlapSeconds }, 'key')).issued.key;
  const withKey = (token: string): Caller => ({ organization, token });
  const code = async (token: string) => (await asked(second, withKey(token)))[0];
  /** Revokes the tokens of mallory and the keys. Returns the number of keys. */
  const revokeMallory = async () => {
    test.time = () => at(2);
    const answer = await run(test, await tokenOf('admin', 2), 'revokeTokens', { subject: 'mallory', apiKeys: true }, 'before apiKeyCount');
    return answer.revocation?.apiKeyCount ?? answer.code;
  };

  it('a key that replaced itself, or another one, is still known to be in the hands of the subject', async () => {
    const [admin, mallory] = [await tokenOf('admin', -60), await tokenOf('mallory', -60)];
    const [itself, above] = [await make(admin), await make(admin)];
    const below = await make(withKey(above.key));
    const first = await rotate(withKey(await rotate(mallory, itself.id)), itself.id);
    const second = await rotate(withKey(first), itself.id);
    const stolen = await rotate(mallory, above.id);
    const [child, replaced] = [await make(withKey(stolen)), await rotate(withKey(stolen), below.id)];
    // The admin takes back one key, and does not know of those that were received with it.
    const takenBack = await rotate(admin, above.id);
    for (const key of [second, child.key, replaced, takenBack]) expect(await code(key)).toBe(200);
    expect(await revokeMallory()).toBe(3);
    for (const key of [second, child.key, replaced]) expect(await code(key)).toBe('UNAUTHENTICATED');
    expect(await code(takenBack)).toBe(200);
  });

  it('of a key that somebody else has replaced since, only the old secret is revoked', async () => {
    const [admin, mallory] = [await tokenOf('admin', -60), await tokenOf('mallory', -60)];
    const { id } = await make(admin);
    const old = await rotate(mallory, id);
    const present = await rotate(admin, id, 3_600);
    const [child, other] = [await make(withKey(old)), await make(withKey(present))];
    for (const key of [old, present, child.key, other.key]) expect(await code(key)).toBe(200);
    expect(await revokeMallory()).toBe(2);
    for (const key of [old, child.key]) expect(await code(key)).toBe('UNAUTHENTICATED');
    for (const key of [present, other.key]) expect(await code(key)).toBe(200);
  });

  it('the old secret of a key cannot hide who has it by replacing the key', async () => {
    const [admin, mallory] = [await tokenOf('admin', -60), await tokenOf('mallory', -60)];
    const { id } = await make(admin);
    const old = await rotate(mallory, id);
    await rotate(admin, id, 3_600);
    const present = await rotate(withKey(old), id, 3_600);
    expect(await code(present)).toBe(200);
    expect(await revokeMallory()).toBe(1);
    expect(await code(present)).toBe('UNAUTHENTICATED');
  });

  it('an altered key does not stop it', async () => {
    const mallory = await tokenOf('mallory', -60);
    const [own, others] = [await make(mallory), await make(await tokenOf('admin', -60))];
    const rotated = await rotate(mallory, others.id);
    const keys = test.database.collection<Json>('apiKeys');
    const [document] = await keys.find({ organizationId: organization }).toArray();
    const received = { receivers: [{ subject: 'mallory', at: start }], previousReceivers: [{ subject: 'mallory', at: start }] };
    for (const [index, garbage] of [received, { ...received, receivers: 5 }, { ...received, updatedAt: 'x', _id: 'no id' }].entries()) {
      await keys.insertOne({ ...document, name: `garbage ${index}`, _id: `${index}`.repeat(24), ...garbage });
    }
    expect(await revokeMallory()).toBeGreaterThanOrEqual(2);
    expect(await asked(second, mallory)).toEqual(refused);
    for (const key of [own.key, rotated]) expect(await code(key)).toBe('UNAUTHENTICATED');
    await keys.deleteMany({ organizationId: organization });
  });

  it('needs apiKeys.delete, too', async () => {
    const { errors } = await send(
      test,
      { ...caller, scopes: ['tokens.delete'] },
      'revokeTokens',
      { subject: 'ada', apiKeys: true },
      'before',
    );
    expect(errors!.map(({ extensions }) => extensions)).toEqual([{ code: 'FORBIDDEN', scope: 'apiKeys.delete' }]);
  });
});

describe('the tokens of an end user', () => {
  let ada: { readonly id: string };
  let token: Caller;
  beforeEach(async () => {
    ada = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
    token = { organization, token: await test.makeEndUserToken(caller, ada) };
  });
  const OWN = '{ endUsers { totalCount } }';
  const status = async (gateway: Gateway, { token }: Caller): Promise<number> => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const response = await gateway.fetch(
      new Request('http://gateway.test/graphql', { method: 'POST', headers, body: JSON.stringify({ query: OWN }) }),
    );
    return response.status;
  };

  it('are refused, at once here and by the others when they have read it; those of another are not', async () => {
    const bob = await test.create(caller, 'EndUser', { integration, externalId: 'bob' });
    const bobs = { organization, token: await test.makeEndUserToken(caller, bob) };
    expect([await status(first, token), await status(second, token)]).toEqual([200, 200]);
    const { revocation } = await revokeEndUser({ endUser: { inIntegration: { integration, externalId: 'ada' } } });
    expect(revocation).toEqual({ before: '2030-01-01T12:00:01.000Z', apiKeyCount: 0 });
    expect([await status(first, token), await status(second, token)]).toEqual([200, 401]);
    await first.refreshRevocations();
    expect([await status(first, token), await status(second, token), await status(first, bobs), await status(second, bobs)]).toEqual([
      401, 401, 200, 200,
    ]);
    test.time = () => at(1);
    expect(await status(second, { organization, token: await test.makeEndUserToken(caller, ada) })).toBe(200);
  });

  it('a subject of the issuer with the same id is somebody else', async () => {
    const [, raw] = Buffer.from(ada.id, 'base64url').toString().split(':');
    await revoke({ subject: raw! });
    expect(await status(second, token)).toBe(200);
    await revokeEndUser({ endUser: ada });
    test.time = () => at(2);
    expect(await asked(second, await tokenOf(raw!, 2))).toEqual(letIn);
  });

  it('are revoked by an API key of their integration, and by none of another', async () => {
    const other = { name: 'shop' };
    await test.create(caller, 'Integration', other);
    const scopes = ['endUserTokens.delete'];
    const [own, foreign] = [
      await test.makeAPIKey(caller, { scopes, integration }),
      await test.makeAPIKey(caller, { scopes, integration: other }),
    ];
    expect(await revokeEndUser({ endUser: ada }, { organization, token: foreign.key })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await status(second, token)).toBe(200);
    expect((await revokeEndUser({ endUser: ada }, { organization, token: own.key })).revocation).toBeTruthy();
    expect(await status(second, token)).toBe(401);
    // The tokens of the issuer are the organization's own.
    expect(confinedScopes.integration).not.toContain('tokens.delete');
  });

  // It is not refused, and finds nothing: it belongs to an end user that does not exist.
  it('of a deleted end user give access to nothing', async () => {
    await run(test, caller, 'deleteEndUser', { endUser: ada });
    const everything =
      '{ integrations { nodes { id } } endUsers { totalCount } connections { totalCount } credentials { totalCount } viewer { endUser { id } } }';
    expect(await test.query(token, everything)).toMatchObject({
      endUsers: { totalCount: 0 },
      connections: { totalCount: 0 },
      credentials: { totalCount: 0 },
      viewer: { endUser: null },
    });
    for (const [name, input] of [
      ['createCredential', { integration, name: 'x', data: { none: {} } }],
      ['createConnection', { integration, name: 'x' }],
    ] as const) {
      expect(await run(test, token, name, input)).toMatchObject({ code: 'NOT_FOUND' });
    }
  });
});

describe('a deleted organization', () => {
  it('its tokens, API keys and end users’ tokens are refused, for queries as for mutations, by all copies', async () => {
    const ada = await test.create(caller, 'EndUser', { integration, externalId: 'ada' });
    const who: Record<string, Caller> = {
      issuer: await tokenOf('ada', 0),
      endUser: { organization, token: await test.makeEndUserToken(caller, ada) },
      apiKey: { organization, token: (await test.makeAPIKey(caller, { scopes: ['all.Organization'] })).key },
    };
    for (const each of Object.values(who)) for (const gateway of [first, second]) expect((await asked(gateway, each))[0]).toBe(200);
    await second.deleteOrganization(organization);
    for (const each of Object.values(who)) expect(await asked(second, each)).toEqual(refused);
    expect(await asked(first, who.issuer!)).toEqual([200, 200, 'UNAUTHENTICATED']);
    await first.refreshRevocations();
    for (const each of Object.values(who)) expect(await asked(first, each)).toEqual(refused);
    // A copy that starts afterwards reads all of them.
    await reopen();
    for (const each of Object.values(who)) expect(await asked(second, each)).toEqual(refused);
    // So is one that is issued when its name is known to nobody any more.
    test.time = () => at(400 * 86_400);
    await second.sweep();
    await reopen();
    expect(await asked(second, await tokenOf('ada', 400 * 86_400, { exp: seconds(at(400 * 86_400)) + 60 }))).toEqual(refused);
    expect((await contents(test, organization)).revocations).toEqual([]);
  });

  it('whose tombstone is set and whose data are still there: an interrupted deletion', async () => {
    const key = { organization, token: (await test.makeAPIKey(caller, { scopes: ['all.Organization'] })).key };
    await test.database.collection('organizations').updateOne({ organizationId: organization }, { $set: { deletedAt: start } });
    // It came without a notice, as from an older version: the next full read finds it.
    await second.refreshRevocations();
    expect((await asked(second, key))[0]).toBe(200);
    test.elapsed += 5 * 60_000;
    await first.refreshRevocations();
    await second.refreshRevocations();
    expect(await asked(second, key)).toEqual(refused);
  });
});

describe('a copy that cannot read the revocations', () => {
  it('answers 503 after a minute, and what it knew holds before; then it reads everything', async () => {
    const ada = await tokenOf('ada', -60);
    await revoke({ subject: 'ada' });
    const notices = test.database.collection('revocationNotices');
    test.elapsed += 60_000;
    expect([await asked(second, ada), await asked(second, caller)]).toEqual([refused, letIn]);
    test.elapsed += 1;
    const { status, errors, headers } = await test.answer(caller, QUERY);
    expect([status, errors![0].extensions, headers.get('retry-after')]).toEqual([503, { code: 'UNAVAILABLE', retryAfter: 5 }, '5']);
    const unavailable = ['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'];
    expect(await asked(first, caller)).toEqual(unavailable);
    // A notice of that time may have passed.
    await notices.deleteMany({ of: organization });
    await first.refreshRevocations();
    expect([await asked(first, ada), await asked(first, caller)]).toEqual([refused, letIn]);
    expect(await asked(second, caller)).toEqual(unavailable);
    await second.refreshRevocations();
    expect(await asked(second, caller)).toEqual(letIn);
  });

  it('a failed reading is no reading', async () => {
    const stores = await openStore(test);
    const { revocations } = gatewayOn(stores, () => start);
    await revocations.refresh();
    await stores.close();
    await expect(revocations.refresh()).rejects.toThrow();
    await expect(revocations.refresh()).rejects.toThrow();
  });
});

describe('what is kept', () => {
  const kept = async () => (await contents(test, organization)).revocations ?? [];

  it('a revocation is there until each token that it refuses has expired, and not longer', async () => {
    await revoke({ subject: 'ada', before: at(-60).toISOString() });
    await revokeEndUser({ endUser: await test.create(caller, 'EndUser', { integration, externalId: 'ada' }) });
    expect(await kept()).toHaveLength(2);
    const notices = () => test.database.collection('revocationNotices').countDocuments({ of: organization });
    test.time = () => at(3_600);
    await second.sweep();
    expect([await kept(), await notices()]).toMatchObject([[{}, {}], 2]);
    test.time = () => at(2 * 3_600);
    await second.sweep();
    expect([await kept(), await notices()]).toMatchObject([[{ subject: 'ada' }], 0]);
    test.time = () => at(24 * 3_600);
    await second.sweep();
    expect(await kept()).toHaveLength(1);
    test.time = () => at(25 * 3_600);
    await second.sweep();
    expect(await kept()).toEqual([]);
  });

  // All copies hold them in memory.
  it('is bounded: an organization cannot have any number of them', async () => {
    await revoke({ subject: 'ada', before: at(-60).toISOString() });
    const [one] = (await kept()) as [Json];
    const collection = test.database.collection<Json>('revocations');
    const idOf = (index: number) => index.toString(16).padStart(24, '0');
    await collection.insertMany(Array.from({ length: 19_999 }, (_, index) => ({ ...one, _id: idOf(index), subject: `s${index}` })));
    test.elapsed += 5 * 60_000;
    await Promise.all([first.refreshRevocations(), second.refreshRevocations()]);
    const message = 'cannot be added: the tokens of 20000 subjects and end users of the organization are revoked';
    expect(await revoke({ subject: 'one more' })).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input'], message }] });
    // What is revoked already can be revoked for a later time.
    expect((await revoke({ subject: 's7' })).revocation.before).toBe('2030-01-01T12:00:01.000Z');
    expect(await asked(second, await tokenOf('s7', -30))).toEqual(refused);
  });
});

async function reopen(): Promise<void> {
  await second.stop();
  await test.open();
  second = test.gateway;
}
