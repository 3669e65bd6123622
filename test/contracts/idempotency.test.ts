import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PerRequestExtensions } from '../../src/schema/kit/per-request.ts';
import { contents } from '../database.ts';
import { type Answer, type Caller, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { operation } from '../operations.ts';
import { serve } from '../serve.ts';
import { wireTo } from '../wire.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { argumentsIn, needsConsent, newName } from './mutations.ts';
import { mutationFields, operationOf, resultSelection } from './walk.ts';

const test = useTestGateway();
/** For what succeeds again and again, and for what deletes. */
let scratch: BoundWorld;
let doomed: BoundWorld;
/** Another copy of the gateway, on the same database. */
const copy = new TestGateway();
beforeAll(async () => {
  scratch = await seedBoundWorld(test);
  doomed = await seedBoundWorld(test);
  const { uri, databaseName, masterKey } = test;
  Object.assign(copy, { uri, databaseName, masterKey, time: () => test.time() });
  await copy.open();
});
afterAll(() => copy.close());

const send = async (caller: Caller, key: string, query: string, variables: object = {}, gateway = test): Promise<Answer> =>
  gateway.send({ query, variables }, { authorization: `Bearer ${await test.token(caller)}`, 'idempotency-key': key });
const integration = (name = newName()) => {
  const { query } = operation('createIntegration', {});
  return { query, variables: { input: { name } } };
};
const codes = ({ errors = [] }: Answer) => [...new Set(errors.map(({ extensions }: Json) => extensions.code))];
const isReplayed = ({ headers }: Answer) => headers.get('idempotency-replayed');
const records = () => test.database.collection('idempotencyKeys');
const newCaller = (): Caller => ({ organization: test.newOrganization() });
const names = async (caller: Caller) =>
  (await test.query(caller, '{ integrations { nodes { name } } }')).integrations.nodes.map(({ name }: Json) => name);
/** Makes all keys of a caller look as if their processes were killed before they could answer. */
const kill = ({ organization: organizationId }: Caller) =>
  records().updateMany({ organizationId }, { $set: { state: 'running', endsAt: new Date(0) }, $unset: { sealed: '', unkept: '' } });

/** What deletes comes last, and what deletes most at the very end. */
const deleters = ['deleteCredential', 'deleteConnection', 'deleteConnector', 'deleteEndUser', 'deleteIntegration'];
const inOrder = mutationFields.toSorted((a, b) => deleters.indexOf(a.name) - deleters.indexOf(b.name));

describe.each(inOrder.map((field) => [field.name, field] as const))('%s', (name, field) => {
  it('runs once, and gives its answer again unless that can contain a plaintext', async () => {
    const own = /^(delete|revoke|remove)/.test(name) ? doomed : scratch;
    const { caller } = own;
    const { query, variables } = operationOf(field, argumentsIn(own, name), resultSelection(field));
    const key = `"${newName()}"`;
    const first = await send(caller, key, query, variables);
    const isDone = first.data?.result.__typename.endsWith('Success');
    expect(isDone, first.text).toBe(!needsConsent.includes(name));
    expect(isReplayed(first)).toBeNull();
    const audited = () => test.database.collection('auditEntries').countDocuments({ organizationId: caller.organization });
    const [before, entries] = [await contents(test, caller.organization), await audited()];
    // The transaction of the mutation itself says so: what is killed after it does not run again.
    expect(before.idempotencyKeys!.at(-1)!.hasCommitted).toBe(isDone);

    const again = await send(caller, key, query, variables, copy);
    expect(await contents(test, caller.organization)).toEqual(before);
    expect(await audited()).toBe(entries);
    if ((field.extensions as PerRequestExtensions).perRequest === undefined) {
      expect([again.status, isReplayed(again), again.data]).toEqual([first.status, 'true', first.data]);
    } else {
      expect([again.status, codes(again), again.errors![0].extensions.reason]).toEqual([422, ['ALREADY_EXECUTED'], 'PLAINTEXT']);
    }
  });
});

describe('a key', () => {
  it('is refused for another operation or other variables, and not for the same in another order', async () => {
    const caller = newCaller();
    const query = `mutation A($a: String!, $b: String) { createIntegration(input: { name: $a, description: $b }) { __typename } }
      mutation B($a: String!, $b: String) { createIntegration(input: { name: $a, description: $b }) { __typename } }`;
    const headers = { authorization: `Bearer ${await test.token(caller)}`, 'idempotency-key': 'k' };
    const ask = (body: object) => test.send({ query, operationName: 'A', variables: { a: 'x', b: 'y' }, ...body }, headers);
    expect(isReplayed(await ask({}))).toBeNull();
    for (const other of [{ operationName: 'B' }, { variables: { a: 'x', b: 'z' } }, { query: `${query} ` }]) {
      const answer = await ask(other);
      expect([answer.status, codes(answer)]).toEqual([422, ['IDEMPOTENCY_KEY_REUSED']]);
    }
    expect(isReplayed(await ask({ variables: { b: 'y', a: 'x' } }))).toBe('true');
  });

  it('is the viewer’s own: of an organization, a subject, an API key, an end user', async () => {
    const caller = newCaller();
    const { key: token } = await test.makeAPIKey(caller, { scopes: ['all.Organization'] });
    const { query, variables } = integration('same');
    const typeOf = async (who: Caller) => (await send(who, 'k', query, variables)).data.result.__typename;
    expect(await typeOf(caller)).toBe('CreateIntegrationSuccess');
    for (const other of [
      { ...caller, claims: { sub: 'other' } },
      { ...caller, token },
    ])
      expect(await typeOf(other)).toBe('ConflictError');
    expect(await typeOf(newCaller())).toBe('CreateIntegrationSuccess');
    // The errors of a mutation are answers, too.
    expect(isReplayed(await send({ ...caller, token }, 'k', query, variables))).toBe('true');
  });

  it('is refused unless it occurs once, with 1 to 255 visible ASCII characters; a string of RFC 9651 is the text in it', async () => {
    const caller = newCaller();
    const { query, variables } = integration();
    for (const wrong of ['', '""', '"a', 'a"', 'a b', '"a b"', 'a,b', '"a", "a"', 'é', 'x'.repeat(256), '"a\\b"', '"a";b']) {
      const answer = await send(caller, wrong, query, variables);
      expect([answer.status, codes(answer)], wrong).toEqual([400, ['BAD_REQUEST']]);
    }
    const first = await send(caller, '"x\\"y\\\\z"', query, variables);
    expect(codes(first)).toEqual([]);
    expect(codes(await send(caller, 'x'.repeat(255), query, variables))).toEqual([]);
    expect(await names(caller)).toEqual([variables.input.name]);
    const plain = await send(caller, 'abc', query, variables);
    expect(isReplayed(await send(caller, '"abc"', query, variables))).toBe('true');
    expect(isReplayed(plain)).toBeNull();
  });

  it('of a query does nothing, but a malformed one is refused', async () => {
    const caller = newCaller();
    for (const _ of [1, 2]) expect(isReplayed(await send(caller, 'k', '{ integrations { totalCount } }'))).toBeNull();
    const malformed = await send(caller, 'a b', '{ integrations { totalCount } }');
    expect([malformed.status, codes(malformed), malformed.data]).toEqual([400, ['BAD_REQUEST'], undefined]);
    expect(await records().countDocuments({ organizationId: caller.organization })).toBe(0);
  });

  it('is not used by what is refused before it runs, or fails without a result', async () => {
    const caller = newCaller();
    const { query, variables } = integration();
    expect(codes(await send({ ...caller, scopes: [] }, 'k', query, variables))).toEqual(['FORBIDDEN']);
    expect(codes(await send(caller, 'k', query, { input: 1 }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await send(caller, 'k', 'mutation { nothing }'))).toEqual(['GRAPHQL_VALIDATION_FAILED']);
    copy.limits = { ...copy.limits, maxIntegrations: 0 };
    await copy.close();
    await copy.open();
    expect(codes(await send(caller, 'k', query, variables, copy))).toEqual(['LIMIT_EXCEEDED']);
    copy.limits = test.limits;
    await copy.close();
    await copy.open();
    const first = await send(caller, 'k', query, variables);
    expect([first.data.result.__typename, isReplayed(first)]).toEqual(['CreateIntegrationSuccess', null]);
  });

  it('is forgotten after a day, and then deleted with its answer, which is sealed', async () => {
    const caller = newCaller();
    const { query, variables } = integration('planted-name');
    await send(caller, 'planted-key', query, variables);
    const filter = { organizationId: caller.organization };
    expect(JSON.stringify(await records().find(filter).toArray())).not.toContain('planted');
    try {
      test.time = () => new Date(Date.now() + 23.9 * 60 * 60_000);
      expect(isReplayed(await send(caller, 'planted-key', query, variables))).toBe('true');
      test.time = () => new Date(Date.now() + 24.1 * 60 * 60_000);
      expect((await send(caller, 'planted-key', query, variables)).data.result.__typename).toBe('ConflictError');
      expect(await records().countDocuments(filter)).toBe(1);
      test.time = () => new Date(Date.now() + 49 * 60 * 60_000);
      await test.gateway.sweep();
      expect(await records().countDocuments(filter)).toBe(0);
      // The counters have no more than what is there.
      const slots: Json[] = await test.database.collection('usage').find(filter).toArray();
      expect(slots.reduce((sum, { idempotencyKeys }) => sum + idempotencyKeys, 0)).toBe(0);
    } finally {
      test.time = () => new Date();
    }
  });

  it('can be one of so many', async () => {
    const caller = newCaller();
    const few = new TestGateway();
    const { uri, databaseName, masterKey } = test;
    Object.assign(few, { uri, databaseName, masterKey, limits: { ...test.limits, maxIdempotencyKeys: 2 } });
    await few.open();
    try {
      const { query, variables } = integration();
      for (const key of ['a', 'b']) expect(codes(await send(caller, key, query, variables, few))).toEqual([]);
      const answer = await send(caller, 'c', query, variables, few);
      expect(answer.errors).toMatchObject([{ extensions: { code: 'LIMIT_EXCEEDED', limit: 'MAX_IDEMPOTENCY_KEYS', maximum: 2 } }]);
      expect(isReplayed(await send(caller, 'a', query, variables, few))).toBe('true');
    } finally {
      await few.close();
    }
  });

  it('of an end user takes nothing from others: there are so many, with answers of so many characters', async () => {
    const { caller, ids } = await seedBoundWorld(test);
    const few = new TestGateway();
    const { uri, databaseName, masterKey } = test;
    Object.assign(few, { uri, databaseName, masterKey, limits: { ...test.limits, maxOwned: 5 } });
    await few.open();
    try {
      const own = { ...caller, token: await test.makeEndUserToken(caller, { id: ids.endUser }, { scopes: ['all.Organization'] }) };
      const description = 'x'.repeat(30_000);
      const { id } = await test.create(own, 'Credential', {
        integration: { id: ids.integration },
        name: 'n',
        description,
        data: { none: {} },
      });
      const again = (selection: string) =>
        `mutation { result: updateCredential(input: { credential: "${id}", enabled: true }) {
          ... on UpdateCredentialSuccess { credential { ... on CredentialBase { ${selection} } } } } }`;
      for (const key of ['a', 'b']) expect(codes(await send(own, key, again('a: description b: description'), {}, few))).toEqual([]);
      // It was carried out, and its answer is larger than an end user's can be.
      expect((await send(own, 'a', again('a: description b: description'), {}, few)).errors![0].extensions.reason).toBe('TOO_LARGE');
      for (const key of ['c', 'd', 'e']) expect(codes(await send(own, key, again('id'), {}, few))).toEqual([]);
      expect((await send(own, 'f', again('id'), {}, few)).errors).toMatchObject([{ extensions: { limit: 'MAX_OWNED', maximum: 5 } }]);
      expect(isReplayed(await send(own, 'c', again('id'), {}, few))).toBe('true');
      const { query, variables } = integration();
      expect(codes(await send(caller, 'f', query, variables, few))).toEqual([]);
    } finally {
      await few.close();
    }
  });

  it('whose answer finds no room is not kept, and was carried out', async () => {
    const caller = newCaller();
    await test.create(caller, 'Integration', { name: 'first' });
    const few = new TestGateway();
    const { uri, databaseName, masterKey } = test;
    Object.assign(few, { uri, databaseName, masterKey, limits: { ...test.limits, maxStoredBytes: 4_000 } });
    await few.open();
    try {
      const { query, variables } = operation('updateIntegration', { integration: { name: 'first' }, description: 'y'.repeat(1_500) });
      expect(codes(await send(caller, 'k', query, variables, few))).toEqual([]);
      expect((await send(caller, 'k', query, variables, few)).errors![0].extensions.reason).toBe('TOO_LARGE');
      expect((await test.query(caller, '{ integrations { nodes { description } } }')).integrations.nodes[0].description).toHaveLength(
        1_500,
      );
    } finally {
      await few.close();
    }
  });

  it('counts for execute, too, which says that an answer is one of before', async () => {
    const viewer = {
      organizationId: test.newOrganization(),
      kind: 'token',
      subject: 'code',
      scopes: new Set(['all.Organization']),
    } as const;
    const { query, variables } = integration();
    const execute = (idempotencyKey: string) => test.gateway.execute({ query, variables, viewer, idempotencyKey });
    const first = await execute('k');
    expect(first.isReplayed).toBeUndefined();
    expect(await execute('k')).toEqual({ ...first, isReplayed: true });
    // What a request without the header has.
    for (const none of [null, undefined]) expect((await execute(none as never)).isReplayed).toBeUndefined();
    for (const wrong of [5, ['a'], {}])
      expect((await execute(wrong as never)).errors).toMatchObject([{ extensions: { code: 'BAD_REQUEST' } }]);
    const cyclic: Record<string, unknown> = { ...variables };
    cyclic.self = cyclic;
    for (const odd of [cyclic, { ...variables, n: 1n }]) {
      const { errors } = await test.gateway.execute({ query, variables: odd, viewer, idempotencyKey: 'odd' });
      expect(errors).toMatchObject([{ extensions: { code: 'BAD_REQUEST' } }]);
    }
    expect((await execute('')).errors).toMatchObject([{ extensions: { code: 'BAD_REQUEST' } }]);
  });
});

describe('an answer', () => {
  it('is not given to a token that has less than the one before', async () => {
    const caller = newCaller();
    const { query, variables } = integration();
    await send(caller, 'k', query, variables);
    const answer = await send({ ...caller, scopes: ['integrations.*'] }, 'k', query, variables);
    expect([codes(answer), answer.data]).toEqual([['FORBIDDEN'], undefined]);
    expect(codes(await send({ ...caller, scopes: [] }, 'k', query, variables))).toEqual(['FORBIDDEN']);
    expect(isReplayed(await send(caller, 'k', query, variables))).toBe('true');
  });

  it('is lost when it was changed or moved, or its data key was destroyed, and the operation does not run again', async () => {
    const caller = newCaller();
    const [one, other] = [integration(), integration()];
    await send(caller, 'a', one.query, one.variables);
    const filter = { organizationId: caller.organization };
    const a = (await records().findOne(filter)) as Json;
    await send(caller, 'b', other.query, other.variables);
    const b = (await records().findOne({ ...filter, _id: { $ne: a._id } })) as Json;
    await records().updateOne({ _id: a._id }, { $set: { sealed: b.sealed } });
    const lost = async (key: string, { query, variables }: ReturnType<typeof integration>) => {
      const answer = await send(caller, key, query, variables);
      expect([answer.status, codes(answer), answer.errors?.[0].extensions.reason]).toEqual([422, ['ALREADY_EXECUTED'], 'LOST']);
    };
    await lost('a', one);
    // Nobody can make one last longer than a day.
    const longer = new Date(Date.now() + 1_000 * 24 * 60 * 60_000);
    await records().updateOne({ _id: b._id }, { $set: { expiresAt: longer } });
    await lost('b', other);
    await records().updateOne({ _id: b._id }, { $set: { expiresAt: b.expiresAt } });
    const { keyId } = JSON.parse(Buffer.from(b.sealed.split('.')[0], 'base64url').toString().replace('"kid"', '"keyId"'));
    await test.gateway.keys.rotate();
    expect(isReplayed(await send(caller, 'b', other.query, other.variables))).toBe('true');
    try {
      test.time = () => new Date(Date.now() + 10 * 60_000);
      await test.gateway.keys.rotate();
    } finally {
      test.time = () => new Date();
    }
    expect(await test.database.collection('dataKeys').findOne({ _id: keyId })).toMatchObject({ state: 'destroyed' });
    await lost('b', other);
    expect((await names(caller)).sort()).toEqual([one.variables.input.name, other.variables.input.name].sort());
  });

  it('is deleted with the organization', async () => {
    const caller = newCaller();
    const { query, variables } = integration();
    await send(caller, 'k', query, variables);
    await test.gateway.deleteOrganization(caller.organization);
    expect(await records().countDocuments({ organizationId: caller.organization })).toBe(0);
    expect(codes(await send(caller, 'k', query, variables))).toEqual(['UNAUTHENTICATED']);
  });
});

describe('an operation', () => {
  it('runs once when it comes to several copies at once', async () => {
    const caller = newCaller();
    await test.create(caller, 'Integration', { name: 'x' });
    const { query, variables } = operation('createEndUser', { integration: { name: 'x' }, externalId: 'e' });
    const answers = await Promise.all([test, copy, test, copy].map((gateway) => send(caller, 'k', query, variables, gateway)));
    expect(await test.database.collection('endUsers').countDocuments({ organizationId: caller.organization })).toBe(1);
    const done = answers.filter(({ data }) => data);
    expect(done.length).toBeGreaterThan(0);
    for (const { data } of done) expect(data.result.__typename).toBe('CreateEndUserSuccess');
    for (const refused of answers.filter(({ data }) => !data)) {
      expect([refused.status, codes(refused)]).toEqual([409, ['IDEMPOTENCY_KEY_IN_USE']]);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    }
  });

  it('whose process was killed runs again if nothing was committed, and otherwise does not', async () => {
    const caller = newCaller();
    const { query, variables } = integration();
    await send(caller, 'committed', query, variables);
    await kill(caller);
    const lost = await send(caller, 'committed', query, variables);
    expect([codes(lost), lost.errors![0].extensions.reason]).toEqual([['ALREADY_EXECUTED'], 'LOST']);

    const invalid = integration('');
    expect((await send(caller, 'invalid', invalid.query, invalid.variables)).data.result.__typename).toBe('ValidationError');
    await kill(caller);
    const again = await send(caller, 'invalid', invalid.query, invalid.variables);
    expect([again.data.result.__typename, isReplayed(again)]).toEqual(['ValidationError', null]);
    expect(isReplayed(await send(caller, 'invalid', invalid.query, invalid.variables))).toBe('true');
  });

  it('that exceeds its time limit keeps its key while it may still run, and does not run again if it was committed', async () => {
    const caller = newCaller();
    const slow = new TestGateway();
    const { uri, databaseName, masterKey } = test;
    Object.assign(slow, { uri, databaseName, masterKey, time: () => test.time(), limits: { ...test.limits, operationSeconds: 1 } });
    await slow.open();
    let release = () => {};
    const released = new Promise<void>((done) => {
      release = done;
    });
    const service = await serve(async (_, response) => {
      await released;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }));
    });
    const issuer = `http://localhost:${service.port}`;
    await test.create(caller, 'Integration', { name: 'x' });
    const { id } = await test.create(caller, 'Connector', { integration: { name: 'x' }, name: 'c', baseUrl: 'https://api.example.com' });
    const versionNow = async () =>
      (await test.query(caller, 'query ($id: ID!) { connector(by: { id: $id }) { version } }', { id })).connector.version;
    const { query, variables } = operation('discoverConnector', { connector: { id }, issuer });
    const ask = () => send(caller, 'k', query, variables, slow);
    try {
      expect(codes(await ask())).toEqual(['TIMEOUT']);
      expect(codes(await ask())).toEqual(['IDEMPOTENCY_KEY_IN_USE']);
      release();
      await expect.poll(versionNow, { timeout: 20_000 }).toBe(2);
      expect(codes(await ask())).toEqual(['IDEMPOTENCY_KEY_IN_USE']);
      test.time = () => new Date(Date.now() + 7_000);
      const lost = await ask();
      expect([codes(lost), lost.errors![0].extensions.reason]).toEqual([['ALREADY_EXECUTED'], 'LOST']);
      expect(await versionNow()).toBe(2);
    } finally {
      test.time = () => new Date();
      await service.stop();
      await slow.close();
    }
  });

  it.each(['committed', 'aborted'] as const)(
    'whose commit has an unknown outcome, and was %s, runs again only if it was aborted',
    async (outcome) => {
      const caller = newCaller();
      const other = integration();
      await send(caller, 'other', other.query, other.variables);
      const wire = await wireTo(test.uri);
      const far = new TestGateway();
      const { databaseName, masterKey } = test;
      Object.assign(far, { uri: wire.uri, databaseName, masterKey });
      await far.open();
      try {
        const { query, variables } = integration();
        // The reservation comes first: it inserts the key.
        const reserving = wire.hold('insert');
        const answering = send(caller, 'k', query, variables, far);
        await reserving.reached;
        const mutating = wire.hold('insert');
        reserving.release();
        await mutating.reached;
        const forgotten = wire.forgetCommit(outcome);
        mutating.release();
        await forgotten;
        const answer = await answering;
        expect(answer.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE', outcome: 'UNKNOWN' } }]);
        const again = await send(caller, 'k', query, variables);
        expect(isReplayed(again)).toBeNull();
        if (outcome === 'aborted') expect(again.data.result.__typename).toBe('CreateIntegrationSuccess');
        else expect([codes(again), again.errors![0].extensions.reason]).toEqual([['ALREADY_EXECUTED'], 'LOST']);
        expect((await names(caller)).sort()).toEqual([other.variables.input.name, variables.input.name].sort());
      } finally {
        await far.close();
        await wire.close();
      }
    },
  );

  // Otherwise an operation that is only slow would run twice.
  it('that was taken for dead commits nothing any more', async () => {
    const caller = newCaller();
    const service = await serve(async ({ url }, response) => {
      await records().updateOne({ organizationId: caller.organization }, { $set: { attempt: 'another' } });
      const facts = { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}${url}` };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(facts));
    });
    const issuer = `http://localhost:${service.port}`;
    try {
      await test.create(caller, 'Integration', { name: 'x' });
      const { id } = await test.create(caller, 'Connector', { integration: { name: 'x' }, name: 'c', baseUrl: 'https://api.example.com' });
      const { query, variables } = operation('discoverConnector', { connector: { id }, issuer });
      const answer = await send(caller, 'k', query, variables);
      expect([answer.status, codes(answer)]).toEqual([200, ['IDEMPOTENCY_KEY_IN_USE']]);
      const { connector } = await test.query(caller, 'query ($id: ID!) { connector(by: { id: $id }) { version } }', { id });
      expect(connector.version).toBe(1);
    } finally {
      await service.stop();
    }
  });
});
