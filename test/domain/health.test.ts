import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkDueConnections } from '../../src/domain/check.ts';
import { contextOf } from '../../src/domain/context.ts';
import { createFindings, noteFinding, type ProblemCode } from '../../src/domain/findings.ts';
import { healthStates } from '../../src/domain/health.ts';
import { settleStates } from '../../src/domain/states.ts';
import { refreshDueTokens } from '../../src/domain/token-refreshing.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { createOutbound, defaultOutbound } from '../../src/services/outbound/index.ts';
import type { OrganizationStore, Store } from '../../src/store/index.ts';
import { exampleData, kindNamed } from '../credential-kinds/examples.ts';
import { type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';
import { LocalService } from '../services/local-service.ts';
import { gatewayOn, openStore } from '../vault.ts';

const service = new LocalService();
const test = useTestGateway(Object.assign(new TestGateway(), { outbound: service.outbound }));
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const start = Date.now();
let now = start;
/** Another copy of the gateway, as far as it concerns states. */
let copy: Store;

beforeAll(async () => {
  test.time = () => new Date(now);
  await service.start();
  copy = await openStore(test);
});
afterAll(async () => {
  await copy.close();
  await service.stop();
});

const later = (milliseconds: number) => new Date(start + milliseconds).toISOString();
const integration = { name: 'crm' };
const idOf = (globalId: string) => parseId(globalId)!.id;

async function newCaller(): Promise<Caller> {
  now = start;
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  return caller;
}

const FIELDS = 'id name state checkedAt problems { code message since }';
const credentialOf = async (caller: Caller, id: string, fields = FIELDS): Promise<Json> =>
  (await test.query(caller, `query ($id: ID!) { node: credential(id: $id) { ... on CredentialBase { ${fields} } } }`, { id })).node;
const connectionOf = async (caller: Caller, id: string, fields = FIELDS): Promise<Json> =>
  (await test.query(caller, `query ($id: ID!) { node: connection(by: { id: $id }) { ${fields} } }`, { id })).node;

async function update(caller: Caller, noun: 'Credential' | 'Connection', input: object): Promise<void> {
  const query = `mutation ($input: Update${noun}Input!) { result: update${noun}(input: $input) { __typename ... on MutationError { message } } }`;
  expect((await test.query(caller, query, { input })).result).toEqual({ __typename: `Update${noun}Success` });
}

/** What the lists by state hold, and that each holds exactly what is in this state. Returns the states by name. */
async function states(caller: Caller): Promise<Record<string, string>> {
  const page = 'totalCount nodes { ... on CredentialBase { name state } ... on Connection { name state } }';
  const own = (of: string) => page.replace(/\.\.\. on (\w+) \{[^}]*\}/g, (all, type) => (type === of ? all : ''));
  const lists = ['credentials', 'connections'].flatMap((list) => {
    const selection = own(list === 'credentials' ? 'CredentialBase' : 'Connection');
    return [
      `all_${list}: ${list} { ${selection} }`,
      ...healthStates.map((state) => `${state}_${list}: ${list}(state: ${state}) { ${selection} }`),
    ];
  });
  const data = await test.query(caller, `{ ${lists.join(' ')} }`);
  const found: Record<string, string> = {};
  for (const list of ['credentials', 'connections']) {
    for (const state of healthStates) {
      const { nodes, totalCount } = data[`${state}_${list}`];
      expect(totalCount).toBe(nodes.length);
      for (const node of nodes) {
        expect(node).toEqual({ name: node.name, state });
        found[node.name] = state;
      }
    }
    const shown = Object.fromEntries(data[`all_${list}`].nodes.map((node: Json) => [node.name, node.state]));
    expect(found).toMatchObject(shown);
  }
  expect(Object.keys(found)).toHaveLength(data.all_credentials.nodes.length + data.all_connections.nodes.length);
  return found;
}

const token = (expiresAt: string, refreshToken?: string) => ({
  oauth2Token: { accessToken: 'a-token', scopes: ['read'], accessTokenExpiresAt: expiresAt, ...(refreshToken && { refreshToken }) },
});

// A filter by a state that was stored would be wrong from the moment on at which time changes the state, until a job has written it.
it('a state is true at the moment of reading, for display and for filters, whatever a job has done', async () => {
  const caller = await newCaller();
  const credential = (name: string, data: Json, more: object = {}) =>
    test.create(caller, 'Credential', { integration, name, data, ...more });
  const connection = (name: string, ...ids: string[]) =>
    test.create(caller, 'Connection', { integration, name, actionCredentials: ids.map((id) => ({ credential: { id } })) });
  const plain = await credential('plain', { string: { value: 'x' } });
  const ends = await credential('ends', token(later(HOUR)));
  const renewed = await credential('renewed', token(later(HOUR), 'r'));
  const deleted = await credential('deleted', { string: { value: 'x' } }, { expiresAt: later(2 * HOUR) });
  const pending = await credential('pending', { string: {} }, { pending: true });
  const off = await credential('off', { none: {} }, { enabled: false });
  await connection('of plain', plain.id);
  await connection('of ends', ends.id, plain.id);
  await connection('of renewed', renewed.id);
  await connection('of deleted', deleted.id);
  await connection('of pending and ends', pending.id, ends.id);
  await connection('of off', off.id, pending.id);
  await connection('of none');

  const atFirst = {
    plain: 'UNKNOWN',
    ends: 'UNKNOWN',
    renewed: 'UNKNOWN',
    deleted: 'UNKNOWN',
    pending: 'NEEDS_ATTENTION',
    off: 'DISABLED',
    'of plain': 'UNKNOWN',
    'of ends': 'UNKNOWN',
    'of renewed': 'UNKNOWN',
    'of deleted': 'UNKNOWN',
    'of pending and ends': 'NEEDS_ATTENTION',
    'of off': 'DISABLED',
    'of none': 'UNKNOWN',
  };
  expect(await states(caller)).toEqual(atFirst);
  expect(await credentialOf(caller, pending.id)).toMatchObject({
    checkedAt: null,
    problems: [{ code: 'SECRET_MISSING', message: expect.stringContaining('updateCredential'), since: new Date(start).toISOString() }],
  });

  now = start + HOUR;
  const anHourLater = {
    ...atFirst,
    ends: 'NEEDS_AUTHORIZATION',
    'of ends': 'NEEDS_AUTHORIZATION',
    'of pending and ends': 'NEEDS_AUTHORIZATION',
  };
  expect(await states(caller)).toEqual(anHourLater);
  expect((await credentialOf(caller, ends.id)).problems).toEqual([
    { code: 'TOKEN_EXPIRED', message: expect.stringContaining('startAuthorization'), since: later(HOUR) },
  ]);
  now = start;
  // The clock goes back only in tests. What another copy has settled meanwhile is settled again when it is due.
  await update(caller, 'Credential', { credential: ends.id, data: { oauth2Token: { accessTokenExpiresAt: later(3 * HOUR) } } });
  expect(await states(caller)).toEqual(atFirst);

  // Expired, and not swept yet: nobody finds it, and its connection lacks it.
  now = start + 2 * HOUR;
  const { deleted: _, ...twoHoursLater } = { ...atFirst, 'of deleted': 'NEEDS_ATTENTION' };
  expect(await states(caller)).toEqual(twoHoursLater);
  await test.gateway.sweep();
  expect(await states(caller)).toEqual({ ...twoHoursLater, 'of deleted': 'UNKNOWN' });

  // Each way in which a write changes a state, of a credential that connections share.
  await update(caller, 'Credential', { credential: pending.id, data: { string: { value: 'y' } } });
  await update(caller, 'Credential', { credential: plain.id, enabled: false });
  const afterWrites = { ...twoHoursLater, 'of deleted': 'UNKNOWN', pending: 'UNKNOWN', 'of pending and ends': 'UNKNOWN' };
  const withPlainOff = { ...afterWrites, plain: 'DISABLED', 'of plain': 'DISABLED', 'of ends': 'DISABLED' };
  expect(await states(caller)).toEqual(withPlainOff);
  await update(caller, 'Credential', { credential: off.id, enabled: true });
  // The job of another copy, and again.
  await settleStates(gatewayOn(copy, test.time));
  expect(await states(caller)).toEqual({ ...withPlainOff, off: 'UNKNOWN', 'of off': 'UNKNOWN' });

  // As an earlier version stored them, and as one that knows no states changes them.
  const collection = (name: string) => test.database.collection(name);
  for (const name of ['credentials', 'connections']) {
    const fields = { state: 1, stateChangesAt: 1, runsOutAt: 1, findings: 1, checkedAt: 1, isUnspread: 1 } as const;
    await collection(name).updateMany({ organizationId: caller.organization }, { $unset: fields as never });
  }
  expect(await states(caller)).toEqual({ ...withPlainOff, off: 'UNKNOWN', 'of off': 'UNKNOWN' });
  now = start;
});

it('a job that fails for one organization does its work for the others', async () => {
  const callers = [await newCaller(), await newCaller(), await newCaller()];
  const credentials = test.database.collection('credentials');
  const data = token(later(-MINUTE), 'r');
  for (const caller of callers) await test.create(caller, 'Credential', { integration, name: 'renewed', data });
  now = start + HOUR;
  const own = callers.map(({ organization }) => organization);
  const base = gatewayOn(copy, test.time);
  const organizationId = { $in: own };
  for (const failing of own) {
    await credentials.updateMany({ organizationId }, { $unset: { state: 1, stateChangesAt: 1 } as never });
    const of = (id: string): OrganizationStore => {
      if (id === failing) throw new TypeError('It is broken.');
      return copy.of(id);
    };
    const gateway = { ...base, stores: { ...copy, of } };
    const failuresOf = (job: Promise<void>) => job.catch((error: AggregateError) => error.errors);
    expect(await failuresOf(settleStates(gateway))).toMatchObject([{ organizationId: failing, name: 'TypeError' }]);
    const left = await credentials.find({ organizationId, state: { $exists: false } }).toArray();
    expect(left.map((each: Json) => each.organizationId)).toEqual([failing]);

    const renewed: string[] = [];
    const renewIfDue = async (id: string) => void renewed.push(id);
    const refreshing = refreshDueTokens({ ...gateway, tokens: { ...gateway.tokens, renewIfDue } });
    expect(await failuresOf(refreshing)).toMatchObject([{ name: 'TypeError' }]);
    expect(renewed.filter((id) => own.includes(id)).sort()).toEqual(own.filter((id) => id !== failing).sort());
  }
  now = start;
});

it('lists what ends by itself, whatever its kind, in the order of the ends', async () => {
  const caller = await newCaller();
  const certificate = exampleData(kindNamed('certificateKeyPair'));
  const create = (name: string, data: Json, more: object = {}) =>
    test.create(caller, 'Credential', { integration, name, data, ...more }, 'id runsOutAt');
  await create('never', { string: { value: 'x' } });
  await create('renewed', token(later(HOUR), 'r'));
  const pair = await create('certificate', { certificateKeyPair: certificate });
  await create('token', token(later(HOUR)));
  await create('both', token(later(3 * HOUR)), { expiresAt: later(2 * HOUR) });
  const [info] = [await credentialOf(caller, pair.id, '... on CertificateKeyPairCredential { certificateInfo { notAfter } }')];
  expect(pair.runsOutAt).toBe(info.certificateInfo.notAfter);
  const list = async (args: string) =>
    (await test.query(caller, `{ credentials(${args}) { nodes { ... on CredentialBase { name runsOutAt } } pageInfo { endCursor } } }`))
      .credentials;
  const sort = 'sort: { field: RUNS_OUT_AT, direction: ASC }';
  const all = await list(sort);
  const names = ({ nodes }: Json) => nodes.map(({ name }: Json) => name);
  expect(names(all)).toEqual([
    'token',
    'both',
    'certificate',
    ...['never', 'renewed'].sort((a, b) => names(all).indexOf(a) - names(all).indexOf(b)),
  ]);
  expect(all.nodes.map(({ runsOutAt }: Json) => runsOutAt)).toEqual([later(HOUR), later(2 * HOUR), pair.runsOutAt, null, null]);
  expect(names(await list(`expiresBefore: "${later(2 * HOUR + 1)}"`)).sort()).toEqual(['both', 'token']);
  expect(names(await list(`expiresBefore: "${later(2 * HOUR)}", ${sort}`))).toEqual(['token']);
  expect(names(await list(`expiresBefore: "9999-01-01T00:00:00Z", ${sort}`))).toEqual(['token', 'both', 'certificate']);
  // A page ends among those that never end, and the next one goes on there.
  const { pageInfo } = await list(`${sort}, first: 4`);
  expect(names(await list(`${sort}, after: "${pageInfo.endCursor}"`))).toHaveLength(1);
  // Certificates of which one is not valid yet, and one not any more.
  const at = async (time: string) => {
    now = new Date(time).getTime();
    const { state, problems } = await credentialOf(caller, pair.id);
    return [state, ...problems.map(({ code }: Json) => code)];
  };
  const { certificateInfo } = await credentialOf(
    caller,
    pair.id,
    '... on CertificateKeyPairCredential { certificateInfo { notBefore notAfter } }',
  );
  expect(await at(new Date(Date.parse(certificateInfo.notBefore) - 1).toISOString())).toEqual([
    'NEEDS_ATTENTION',
    'CERTIFICATE_NOT_YET_VALID',
  ]);
  expect(await at(certificateInfo.notBefore)).toEqual(['UNKNOWN']);
  expect(await at(certificateInfo.notAfter)).toEqual(['NEEDS_ATTENTION', 'CERTIFICATE_EXPIRED']);
  now = start;
});

it('what is learned by using credentials is counted in memory, and written when it is certain enough', async () => {
  const caller = await newCaller();
  const credential = await test.create(
    caller,
    'Credential',
    { integration, name: 'key', data: { string: { value: 'x' } } },
    'id version updatedAt',
  );
  const other = await test.create(caller, 'Credential', { integration, name: 'other', data: { string: { value: 'x' } } });
  const bound = (...ids: string[]) => ids.map((id) => ({ credential: { id } }));
  const one = await test.create(
    caller,
    'Connection',
    { integration, name: 'one', actionCredentials: bound(credential.id) },
    'id version updatedAt',
  );
  const both = await test.create(caller, 'Connection', { integration, name: 'both', actionCredentials: bound(credential.id, other.id) });
  const gateway = { ...gatewayOn(copy, test.time), findings: createFindings() };
  const context = contextOf(gateway, { organizationId: caller.organization, kind: 'token', subject: 'x', scopes: new Set() });
  const note = (connection: Json, problem: ProblemCode | null, ids = [credential.id]) =>
    noteFinding(context, { connectionId: connection && idOf(connection.id), credentialIds: ids.map(idOf), problem });
  const flush = async () => {
    const before = test.commands.length;
    await gateway.findings.flush(copy);
    return test.commands.length - before;
  };
  const seen = async () => {
    await flush();
    const { key, other: second, one: alone, both: together } = (await states(caller)) as Json;
    return [key, second, alone, together];
  };

  // Failures of moments, and of a long time with a success between.
  for (let count = 0; count < 20; count++) note(one, 'REFUSED');
  now += 10 * MINUTE;
  note(one, null);
  note(one, 'REFUSED');
  note(one, 'REFUSED');
  now += MINUTE;
  expect(await seen()).toEqual(['WORKING', 'UNKNOWN', 'WORKING', 'UNKNOWN']);
  expect((await credentialOf(caller, credential.id)).checkedAt).toBe(new Date(now - MINUTE).toISOString());

  // The third in a row, a minute after the first: it is known since the first.
  note(one, 'REFUSED');
  expect(await seen()).toEqual(['NEEDS_ATTENTION', 'UNKNOWN', 'NEEDS_ATTENTION', 'NEEDS_ATTENTION']);
  const expected = {
    code: 'REFUSED',
    message: expect.stringMatching(/refuses the credential/),
    since: new Date(now - MINUTE).toISOString(),
  };
  expect((await credentialOf(caller, credential.id)).problems).toEqual([expected]);
  expect((await connectionOf(caller, both.id)).problems).toEqual([expected]);
  expect(await credentialOf(caller, credential.id, 'version updatedAt errors')).toEqual({
    version: credential.version,
    updatedAt: credential.updatedAt,
    errors: [expected.message],
  });
  // What is known is not written again.
  note(one, 'REFUSED');
  const write = ['update', 'findAndModify', 'commitTransaction'];
  const before = test.commands.length;
  await flush();
  expect(test.commands.slice(before).filter((name) => write.includes(name))).toEqual([]);

  // Of two credentials, nobody knows which one is refused: so it is a problem of the connection.
  note(both, null, [credential.id, other.id]);
  expect(await seen()).toEqual(['WORKING', 'WORKING', 'WORKING', 'WORKING']);
  for (const _ of [1, 2, 3]) {
    note(both, 'REFUSED', [credential.id, other.id]);
    now += MINUTE;
  }
  expect(await seen()).toEqual(['WORKING', 'WORKING', 'WORKING', 'NEEDS_ATTENTION']);
  note(both, null, [credential.id, other.id]);
  // What cannot change by trying again needs no threshold.
  note(null, 'AUTHORIZATION_LOST');
  expect(await seen()).toEqual(['NEEDS_AUTHORIZATION', 'WORKING', 'NEEDS_AUTHORIZATION', 'NEEDS_AUTHORIZATION']);

  // A new secret: what was learned of the old one, before or after, says nothing about it.
  note(null, 'AUTHORIZATION_LOST');
  now += 1;
  await update(caller, 'Credential', { credential: credential.id, data: { string: { value: 'new' } } });
  expect(await seen()).toEqual(['UNKNOWN', 'WORKING', 'WORKING', 'WORKING']);
  // A new name changes nothing.
  note(one, null);
  await flush();
  now += 1;
  await update(caller, 'Credential', { credential: credential.id, name: 'key', description: 'x' });
  expect(await seen()).toEqual(['WORKING', 'WORKING', 'WORKING', 'WORKING']);
  // Another way to the service is another connection.
  await update(caller, 'Connection', { connection: { id: both.id }, allowedDomain: 'api.example.com' });
  expect((await connectionOf(caller, both.id)).checkedAt).toBeNull();
  now = start;
});

it('a secret that cannot be opened is known after an attempt, until it can be opened or is replaced', async () => {
  const caller = await newCaller();
  const { id } = await test.create(caller, 'Credential', { integration, name: 'key', data: { string: { value: 'x' } } });
  await test.create(caller, 'Connection', { integration, name: 'main', actionCredentials: [{ credential: { id } }] });
  const secrets = test.database.collection('secrets');
  const stored = (await secrets.findOne({ organizationId: caller.organization }))!;
  const reveal =
    'mutation ($id: ID!) { result: revealSecret(input: { credential: $id, field: "value", reason: "to see whether it works" }) { __typename } }';
  const attempts: Record<string, () => Promise<unknown>> = {
    errors: () => credentialOf(caller, id, 'errors'),
    reveal: () => test.query(caller, reveal, { id }),
    integrity: () => test.gateway.checkIntegrity(caller.organization),
  };
  for (const [name, attempt] of Object.entries(attempts)) {
    await secrets.deleteOne({ _id: stored._id });
    expect(await states(caller), name).toEqual({ key: 'UNKNOWN', main: 'UNKNOWN' });
    await attempt();
    await test.gateway.updateHealth();
    expect(await states(caller), name).toEqual({ key: 'NEEDS_ATTENTION', main: 'NEEDS_ATTENTION' });
    expect(await credentialOf(caller, id)).toMatchObject({ checkedAt: null, problems: [{ code: 'SECRET_UNREADABLE' }] });
    expect(await credentialOf(caller, id, 'errors')).toEqual({ errors: ['The secret value cannot be opened.'] });
    await secrets.insertOne(stored);
    await (name === 'errors' ? attempt() : test.gateway.checkIntegrity(caller.organization));
    await test.gateway.updateHealth();
  }
  expect(await states(caller)).toEqual({ key: 'UNKNOWN', main: 'UNKNOWN' });
});

it('an end user learns of a credential that it cannot see no more than the state of its connection', async () => {
  const caller = await newCaller();
  const endUser = await test.create(caller, 'EndUser', { integration, externalId: 'ada', displayName: 'Ada' });
  const own = { endUser: { id: endUser.id } };
  const data = token(later(HOUR));
  const hidden = await test.create(caller, 'Credential', { integration, name: 'hidden', data });
  const visible = await test.create(caller, 'Credential', { integration, name: 'visible', data: { string: {} }, pending: true, ...own });
  const bound = (...ids: string[]) => ids.map((id) => ({ credential: { id } }));
  const one = await test.create(caller, 'Connection', { integration, name: 'one', ...own, actionCredentials: bound(hidden.id) });
  const two = await test.create(caller, 'Connection', {
    integration,
    name: 'two',
    ...own,
    actionCredentials: bound(hidden.id, visible.id),
  });
  now = start + HOUR;
  const create =
    'mutation ($input: CreateEndUserTokenInput!) { result: createEndUserToken(input: $input) { ... on CreateEndUserTokenSuccess { endUserToken { token } } } }';
  const { result } = await test.query(caller, create, { input: { endUser: { id: endUser.id } } });
  const ada = { organization: caller.organization, token: result.endUserToken.token };
  const fields = 'state checkedAt problems { code since }';
  const NEEDS = { state: 'NEEDS_AUTHORIZATION', checkedAt: null };
  expect(await connectionOf(ada, one.id, fields)).toEqual({ ...NEEDS, problems: [{ code: 'CREDENTIAL_PROBLEM', since: null }] });
  expect(await connectionOf(ada, two.id, fields)).toEqual({
    ...NEEDS,
    problems: [{ code: 'SECRET_MISSING', since: new Date(start).toISOString() }],
  });
  const list = '{ connections(state: NEEDS_AUTHORIZATION) { nodes { name } } credentials(state: NEEDS_AUTHORIZATION) { totalCount } }';
  expect(await test.query(ada, list)).toEqual({
    connections: { nodes: [{ name: 'two' }, { name: 'one' }] },
    credentials: { totalCount: 0 },
  });
  expect((await connectionOf(caller, one.id, fields)).problems).toEqual([{ code: 'TOKEN_EXPIRED', since: later(HOUR) }]);
  // Who may read connections only learns the state.
  const reader = { ...caller, scopes: ['connections.get'] };
  const { data: answer, errors } = await test.answer(reader, `query ($id: ID!) { node: connection(by: { id: $id }) { ${fields} } }`, {
    id: one.id,
  });
  expect([answer.node, errors?.map(({ path }) => path)]).toEqual([{ ...NEEDS, problems: null }, [['node', 'problems']]]);
  now = start;

  // It cannot check a connection with credentials that it cannot see, and does not make it look broken.
  const check = { method: 'GET', path: '/me' };
  const connector = await test.create(caller, 'Connector', { integration, name: 'checked', baseUrl: 'https://api.example.com', check });
  const usable = { allowedDomains: ['api.example.com'], allowedPurposes: ['ACTION'] };
  const basic = { basicAuth: { username: 'ada', password: 'pw' } };
  const shared = await test.create(caller, 'Credential', { integration, name: 'shared', data: basic, ...usable });
  const three = { integration, connector: { id: connector.id }, name: 'three', ...own, actionCredentials: bound(shared.id) };
  const { id } = await test.create(caller, 'Connection', three);
  expect(await run(test, ada, 'checkConnection', { connection: { id } }, 'state')).toHaveProperty('connection');
  expect(await connectionOf(caller, id, fields)).toEqual({ state: 'UNKNOWN', checkedAt: null, problems: [] });
});

it('a check asks the service as the connector says, with the credentials, and its result counts at once', async () => {
  const caller = await newCaller();
  const check = { method: 'GET', path: '/v1/me?fields=id' };
  const connector = await test.create(
    caller,
    'Connector',
    { integration, name: 'service', baseUrl: service.origin(), check },
    'id check { method path expectedStatus }',
  );
  expect(connector.check).toEqual({ ...check, expectedStatus: null });
  const use = { allowedDomains: ['localhost'], allowedPurposes: ['ACTION'] };
  const make = { name: 'key', data: { bearerToken: { token: 'the-token-of-the-check' } }, ...use };
  const credential = await test.create(caller, 'Credential', { integration, ...make });
  const connection = async (name: string, id: string, more: object = { connector: { id: connector.id } }) =>
    test.create(caller, 'Connection', { integration, name, actionCredentials: [{ credential: { id } }], ...more });
  const main = await connection('main', credential.id);
  const run = async (noun: 'Connection' | 'Credential', id: string, who = caller) => {
    const selection = noun === 'Credential' ? `... on CredentialBase { ${FIELDS} }` : FIELDS;
    const field = noun.toLowerCase();
    const query = `mutation ($input: Check${noun}Input!) { result: check${noun}(input: $input) { ... on Check${noun}Success { node: ${field} { ${selection} } } ... on MutationError { code message } } }`;
    const { result } = await test.query(who, query, { input: { [field]: noun === 'Connection' ? { id } : id } });
    return result.node ? [result.node.state, ...result.node.problems.map(({ code }: Json) => code)] : result;
  };
  const list = async () => Object.values(await states(caller));
  const answers: readonly [answer: Json, found: string[]][] = [
    [{ status: 200 }, ['WORKING']],
    [{ status: 401 }, ['NEEDS_ATTENTION', 'REFUSED']],
    [{ status: 204 }, ['WORKING']],
    [{ status: 403 }, ['NEEDS_ATTENTION', 'FORBIDDEN']],
    // That the service fails does not show that it would allow the request now.
    [{ status: 503 }, ['NEEDS_ATTENTION', 'SERVICE_FAILED', 'FORBIDDEN']],
    [{ status: 200 }, ['WORKING']],
    [{ status: 302, headers: { location: '/login' } }, ['NEEDS_ATTENTION', 'UNEXPECTED_ANSWER']],
    [{ status: 200, body: 'x'.repeat(100_000) }, ['WORKING']],
  ];
  for (const [answer, found] of answers) {
    service.answer = answer;
    now += 1;
    expect(await run('Connection', main.id), answer.status).toEqual(found);
    expect(service.last).toMatchObject({
      method: 'GET',
      target: '/v1/me?fields=id',
      headers: { authorization: 'Bearer the-token-of-the-check' },
    });
    expect((await states(caller)).main).toBe(found[0]);
  }
  expect(await run('Credential', credential.id)).toEqual(['WORKING']);
  expect(await list()).toEqual(['WORKING', 'WORKING']);

  // It expects another answer, and gets none at all.
  const set = 'mutation ($input: UpdateConnectorInput!) { result: updateConnector(input: $input) { __typename } }';
  const change = (value: Json) => test.query(caller, set, { input: { connector: { id: connector.id }, ...value } });
  await change({ check: { ...check, method: 'HEAD', expectedStatus: 404 } });
  service.answer = { status: 404 };
  now += 1;
  expect(await run('Connection', main.id)).toEqual(['WORKING']);
  expect(service.last.method).toBe('HEAD');
  service.answer = (_received, response) => void response.destroy();
  now += 1;
  expect(await run('Credential', credential.id)).toEqual(['WORKING']);
  expect(await run('Connection', main.id)).toEqual(['NEEDS_ATTENTION', 'SERVICE_FAILED']);

  // What cannot be sent is not sent, and says so; the secret goes nowhere.
  const received = service.received.length;
  const pending = await test.create(caller, 'Credential', {
    integration,
    ...make,
    name: 'pending',
    data: { bearerToken: {} },
    pending: true,
  });
  const elsewhere = await test.create(caller, 'Credential', { integration, ...make, name: 'elsewhere', allowedDomains: [] });
  const off = await test.create(caller, 'Credential', { integration, ...make, name: 'off', enabled: false });
  const unusable = { pending: ['NEEDS_ATTENTION', 'SECRET_MISSING'], elsewhere: ['NEEDS_ATTENTION', 'NOT_USABLE'], off: ['DISABLED'] };
  for (const { id, name } of [
    { ...pending, name: 'pending' },
    { ...elsewhere, name: 'elsewhere' },
    { ...off, name: 'off' },
  ] as const) {
    expect(await run('Connection', (await connection(`of ${name}`, id)).id), name).toEqual(unusable[name as keyof typeof unusable]);
  }
  const alone = await connection('alone', credential.id, { allowedDomain: 'localhost' });
  expect(await run('Connection', alone.id)).toMatchObject({ code: 'VALIDATION_FAILED', message: expect.stringContaining('how to check') });
  expect(
    await run('Connection', main.id, { ...caller, scopes: ['connections.get', 'connections.patch', 'credentials.get'] }).catch(
      () => 'refused',
    ),
  ).toBe('refused');
  expect(service.received).toHaveLength(received);
  for (const path of [
    '//evil.example/',
    '/\\\\evil.example',
    'v1',
    'https://evil.example/',
    '/a b',
    '/a#b',
    '/../admin',
    '/a/%2e%2e/b',
    '/..;/b',
    '',
  ]) {
    expect((await change({ check: { method: 'GET', path } })).result.__typename, path).toBe('ValidationError');
  }

  // The job asks for each connection once in a time, however many copies run it.
  service.answer = { status: 404 };
  const copies = [
    gatewayOn(copy, test.time),
    { ...gatewayOn(copy, test.time), outbound: createOutbound({ ...defaultOutbound, ...service.outbound }) },
  ];
  const usable = copies.map((gateway) => ({ ...gateway, policy: { ...gateway.policy, allowsHttp: true }, outbound: copies[1]!.outbound }));
  const asked = async () => {
    const before = service.received.length;
    await Promise.all(usable.map((gateway) => checkDueConnections(gateway, 24)));
    return service.received.length - before;
  };
  now += MINUTE;
  expect(await asked()).toBe(1);
  expect((await states(caller)).main).toBe('WORKING');
  now += 23 * HOUR;
  expect(await asked()).toBe(0);
  now += HOUR;
  expect(await asked()).toBe(1);
  await Promise.all(copies.map(({ outbound }) => outbound.stop()));
  now = start;
}, 60_000);
