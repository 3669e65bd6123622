import { type GraphQLInputType, getNamedType, isInputObjectType, type OperationDefinitionNode, parse } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { nouns, nounTable } from '../../src/access/nouns.ts';
import type { Scope } from '../../src/access/scopes.ts';
import { requiredScopes } from '../../src/schema/index.ts';
import { encodeId } from '../../src/schema/kit/global-id.ts';
import { contents } from '../database.ts';
import { type Answer, type Caller, type Json, useTestGateway } from '../harness.ts';
import { run, send } from '../operations.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { argumentsIn, needsConsent } from './mutations.ts';
import { type Field, inputFields, mutationFields, operationOf, resultSelection, schema } from './walk.ts';

// Whatever changes leaves its entry in the audit log, with the cause. What does not change keeps its version.
const test = useTestGateway();
// Entries, events and what is sent of them are records of a change themselves.
const recorded = nouns.filter((noun) => noun !== 'auditEntry' && noun !== 'event' && noun !== 'webhookDelivery');
/** For what succeeds again and again. */
let scratch: BoundWorld;
beforeAll(async () => {
  scratch = await seedBoundWorld(test);
});

/** The records of an organization by global id, without what changes on its own. */
async function records(organization: string): Promise<Map<string, string>> {
  const all = await contents(test, organization);
  return new Map(
    recorded.flatMap((noun) =>
      (all[nounTable[noun].plural] ?? []).map(({ _id, touches: _, bytes: __, mac: ___, lastUsedAt: ____, ...rest }: Json) => [
        encodeId(noun, _id),
        JSON.stringify(rest),
      ]),
    ),
  );
}

/** The global ids of what an action created, changed or deleted, and the entries that it left. */
async function changesOf(organization: string, act: () => Promise<Answer | undefined>) {
  const before = await records(organization);
  const log = test.database.collection('auditEntries');
  const known = new Set((await log.find({ organizationId: organization }).toArray()).map(({ _id }) => String(_id)));
  const answer = await act();
  const after = await records(organization);
  const ids = new Set([...before.keys(), ...after.keys()]);
  const changed = [...ids].filter((id) => before.get(id) !== after.get(id)).sort();
  const entries = (await log.find({ organizationId: organization }).toArray())
    .filter(({ _id }) => !known.has(String(_id)))
    .map(({ action, objectNoun, objectId, reason, requestId, subject, outcome }) => ({
      action,
      object: objectNoun && objectId && encodeId(objectNoun, objectId),
      reason,
      requestId,
      subject,
      outcome,
    }));
  return { answer, changed, entries };
}

async function runField(world: BoundWorld, field: Field): Promise<Answer> {
  const { query, variables } = operationOf(field, argumentsIn(world, field.name), resultSelection(field));
  return test.answer(world.caller, query, variables);
}

it.each(mutationFields.filter(({ name }) => !needsConsent.includes(name)).map((field) => [field.name, field] as const))(
  '%s leaves an entry for all that it changes, with the request and the cause',
  async (name, field) => {
    const isLast = /^(delete|revoke|remove)/.test(name);
    const world = isLast ? await seedBoundWorld(test) : scratch;
    if (isLast) {
      const { key } = await test.makeAPIKey(world.caller, { scopes: ['connections.get'], integration: { id: world.ids.integration } });
      expect(key).toBeTruthy();
    }
    const { answer, changed, entries } = await changesOf(world.caller.organization, () => runField(world, field));
    expect(answer!.data.result.__typename).toMatch(/Success$/);
    const missing = changed.filter((id) => !entries.some(({ object }) => object === id));
    expect(missing).toEqual([]);
    const own = entries.filter(({ action, reason }) => action === name && !/^with /.test(reason ?? ''));
    expect(own).toHaveLength(1);
    for (const entry of entries) {
      expect(entry).toMatchObject({ requestId: answer!.headers.get('x-request-id'), subject: 'tester', outcome: 'SUCCESS' });
      if (entry === own[0]) continue;
      // Nothing is said of what did not change.
      expect(changed).toContain(entry.object);
      expect(entry.reason).toMatch(new RegExp(`^with ${name}( of [\\w-]+)?$`));
    }
    if (name === 'deleteIntegration') {
      const actions = [
        'deleteConnection',
        'deleteConnector',
        'deleteCredential',
        'deleteEndUser',
        'deleteIntegration',
        'deleteWebhook',
        'revokeAPIKey',
      ];
      expect([...new Set(entries.map(({ action }) => action))].sort()).toEqual(actions);
      expect(entries.find(({ action }) => action === 'deleteEndUser')!.reason).toBe(`with deleteIntegration of ${world.ids.integration}`);
    }
    expect((await test.gateway.audit.verify(world.caller.organization))!.problems).toEqual([]);
  },
);

it('revoking API keys leaves an entry for each', async () => {
  const caller: Caller = { organization: test.newOrganization() };
  const eve = { ...caller, claims: { sub: 'eve' } };
  const make = (who: Caller) => test.makeAPIKey(who, { scopes: ['apiKeys.post', 'apiKeys.get'] });
  const [first, second] = [await make(eve), await make(eve)];
  const child = await make({ ...caller, token: first.key });
  const grandchild = await make({ ...caller, token: child.key });
  const one = await changesOf(caller.organization, () => send(test, caller, 'revokeAPIKey', { apiKey: child.id }));
  expect(one.changed).toEqual([child.id, grandchild.id].sort());
  expect(one.entries.map(({ object, reason }) => [object, reason]).sort()).toEqual(
    [
      [child.id, null],
      [grandchild.id, `with revokeAPIKey of ${child.id}`],
    ].sort(),
  );
  // Somebody else has replaced this one: only the old key ends.
  await run(test, { ...caller, claims: { sub: 'bob' } }, 'rotateAPIKey', { apiKey: second.id, overlapSeconds: 600 }, 'apiKeyId');
  test.time = () => new Date(Date.now() + 2_000);
  try {
    const all = await changesOf(caller.organization, () => send(test, caller, 'revokeTokens', { subject: 'eve', apiKeys: true }, 'before'));
    expect(all.changed).toEqual([first.id, second.id].sort());
    expect(all.entries.map(({ action, object }) => [action, object])).toEqual(
      expect.arrayContaining([
        ['revokeAPIKey', first.id],
        ['revokeAPIKey', second.id],
      ]),
    );
  } finally {
    test.time = () => new Date();
  }
});

it('the job that deletes expired credentials leaves an entry for each connection and connector that it changes', async () => {
  const world = await seedBoundWorld(test);
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  const { ids, more, caller } = world;
  for (const credential of [ids.credential, more.client]) await run(test, caller, 'updateCredential', { credential, expiresAt });
  test.time = () => new Date(Date.now() + 120_000);
  try {
    const { changed, entries } = await changesOf(caller.organization, async () => {
      await test.gateway.sweep();
      return undefined;
    });
    expect(changed).toEqual([ids.credential, more.client, ids.connection, ids.connector].sort());
    expect(changed.filter((id) => !entries.some(({ object }) => object === id))).toEqual([]);
    const causes = entries.filter(({ action }) => action === 'updateConnector').map(({ reason }) => reason);
    expect(causes).toEqual([`with expireCredential of ${more.client}`]);
    for (const { subject, requestId } of entries) expect([subject, requestId]).toEqual(['(credential-gateway)', null]);
  } finally {
    test.time = () => new Date();
  }
});

it('an entry of refusals names the first of the requests', async () => {
  const caller: Caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  const refused = [
    await test.answer(caller, 'mutation { createIntegration(input: { name: "crm" }) { __typename } }'),
    await test.answer(caller, 'mutation { createIntegration(input: { name: "crm" }) { __typename } }'),
    await test.answer({ ...caller, scopes: [] }, 'mutation { createIntegration(input: { name: "x" }) { __typename } }'),
  ];
  await test.gateway.audit.seal();
  const { auditLog } = await test.query(caller, '{ auditLog { nodes { outcome requestId count } } }');
  const [first, , third] = refused.map(({ headers }) => headers.get('x-request-id'));
  expect(auditLog.nodes.filter(({ outcome }: Json) => outcome !== 'SUCCESS')).toEqual(
    expect.arrayContaining([
      { outcome: 'CONFLICT', requestId: first, count: 2 },
      { outcome: 'FORBIDDEN', requestId: third, count: 1 },
    ]),
  );
});

describe('an update that changes nothing', () => {
  const updates = mutationFields.filter(({ name }) => /^(update|set|move)/.test(name)).map((field) => [field.name, field] as const);

  /** The arguments without what is made or sealed anew each time: new credentials and secrets. */
  function repeatable(value: Json): Json {
    if (Array.isArray(value)) return value.filter((item) => !item?.credential?.create).map(repeatable);
    if (typeof value !== 'object' || value === null) return value;
    const members = Object.entries(value).filter(([name]) => name !== 'password');
    return Object.fromEntries(members.map(([name, member]) => [name, repeatable(member)]));
  }

  it.each(updates)('%s: succeeds, writes nothing, and its entry says so', async (name, field) => {
    const { caller } = scratch;
    const { query, variables } = operationOf(field, repeatable(argumentsIn(scratch, name)), resultSelection(field));
    expect((await test.query(caller, query, variables)).result.__typename).toMatch(/Success$/);
    const before = await records(caller.organization);
    const { entries } = await changesOf(caller.organization, () => test.answer(caller, query, variables));
    expect(await records(caller.organization)).toEqual(before);
    expect(entries).toMatchObject([{ action: name, outcome: 'SUCCESS', reason: 'nothing changed' }]);
  });

  it('sends back each field as it was read, alone and with others', async () => {
    const { caller, ids } = scratch;
    await run(test, caller, 'updateConnection', {
      connection: { id: ids.connection },
      allowedDomain: 'api.example.com',
      variables: [
        { name: 'b', value: '' },
        { name: 'a', value: '1' },
      ],
    });
    const read = `{ node(id: "${ids.connection}") { ... on Connection { version name allowedDomain variables { name value } } } }`;
    const { version, ...same } = (await test.query(caller, read)).node;
    for (const changes of [same, ...Object.entries(same).map(([name, value]) => ({ [name]: value }))]) {
      const { connection } = await run(test, caller, 'updateConnection', { connection: { id: ids.connection }, ...changes }, 'version');
      expect(connection).toEqual({ version });
    }
    // The order of a list is a change.
    const variables = same.variables.toReversed();
    expect((await run(test, caller, 'updateConnection', { connection: { id: ids.connection }, variables }, 'version')).connection).toEqual({
      version: version + 1,
    });
  });

  // Otherwise who may only change a credential could find out a secret by trying.
  it('is none if it sends a secret, even the one that is stored', async () => {
    const { caller, ids } = scratch;
    const send = (password: string) => ({ credential: ids.credential, data: { basicAuth: { password } } });
    const versions = [];
    for (const password of ['pa55word', 'pa55word', 'other']) {
      versions.push((await run(test, caller, 'updateCredential', send(password), 'version')).credential.version);
    }
    expect([versions[1] - versions[0], versions[2] - versions[1]]).toEqual([1, 1]);
  });
});

describe('a scheme of the same id', () => {
  type Attempt = (value: unknown) => Promise<{ readonly refused: readonly unknown[]; readonly isDone: boolean }>;
  const lists = ['actionCredentials', 'triggerCredentials'] as const;

  it('keeps its type, through every door: mutations and imports, in a connector and in both lists of a connection', async () => {
    const { caller, ids } = scratch;
    const { integration, connector } = await test.query(
      caller,
      `query ($i: ID!, $c: ID!) { integration(by: { id: $i }) { name } connector(by: { id: $c }) { name baseUrl } }`,
      { i: ids.integration, c: ids.connector },
    );
    const name = 'bound by scheme';
    const item = { name, connector: { id: ids.connector } };
    const { id: connection } = await test.create(caller, 'Connection', { ...item, integration: { id: ids.integration } });
    const byMutation =
      (mutation: string, inputOf: (value: unknown) => object): Attempt =>
      async (value) => {
        const { __typename, code, issues } = await run(test, caller, mutation, inputOf(value));
        if (code) expect(code).toBe('VALIDATION_FAILED');
        return { refused: (issues ?? []).map(({ path }: Json) => path), isDone: /Success$/.test(__typename) };
      };
    const byImport =
      (list: string): Attempt =>
      async (value) => {
        const connections = [{ ...item, [list]: value }];
        const query = `mutation ($input: ImportConnectionsInput!) { result: importConnections(input: $input) {
        ... on ImportConnectionsSuccess { imported { updatedCount } } ... on MutationError { message } } }`;
        const { result } = await test.query(caller, query, { input: { integration: { id: ids.integration }, connections } });
        if (!result.imported) return { refused: [result.message], isDone: false };
        return { refused: [], isDone: result.imported.updatedCount === 1 };
      };
    const byLine =
      (line: object, list: string): Attempt =>
      async (value) => {
        const problems: string[] = [];
        async function* lines() {
          yield JSON.stringify({ ...line, integration: integration.name, [list]: value });
        }
        const onProblem = (_: number, problem: string) => void problems.push(problem);
        const { counts } = await test.gateway.transfer.importLines(caller.organization, lines(), { onProblem });
        return { refused: problems, isDone: counts.UPDATED === 1 };
      };
    const scheme = (schemeType: string) => ({
      schemeId: 'same',
      schemeType,
      ...(schemeType === 'API_KEY' && { apiKey: { name: 'X', in: 'HEADER' } }),
    });
    const own = (type: string) => [scheme(type)];
    const bound = (type: string) => [{ credential: { id: ids.credential }, authScheme: scheme(type) }];
    const reference = await exportedReference(caller.organization, ids.credential);
    const boundByReference = (type: string) => [{ credential: reference, authScheme: scheme(type) }];
    const place = expect.stringContaining('schemeType');
    const doors: [string, Attempt, (type: string) => unknown, unknown][] = [
      [
        'updateConnector',
        byMutation('updateConnector', (value) => ({ connector: { id: ids.connector }, authSchemes: value })),
        own,
        ['input', 'authSchemes', '0', 'schemeType'],
      ],
      ['a line of a connector', byLine({ type: 'connector', ...connector }, 'authSchemes'), own, place],
      ...lists.flatMap((list): typeof doors => [
        [
          'updateConnection',
          byMutation('updateConnection', (value) => ({ connection: { id: connection }, [list]: value })),
          bound,
          ['input', list, '0', 'authScheme', 'schemeType'],
        ],
        [
          'upsertConnection',
          byMutation('upsertConnection', (value) => ({ ...item, integration: { id: ids.integration }, [list]: value })),
          bound,
          ['input', list, '0', 'authScheme', 'schemeType'],
        ],
        ['importConnections', byImport(list), bound, place],
        ['a line of a connection', byLine({ type: 'connection', name, connector: connector.name }, list), boundByReference, place],
      ]),
    ];
    for (const [door, attempt, listOf, path] of doors) {
      expect([door, await attempt(listOf('NONE'))]).toEqual([door, { refused: [], isDone: true }]);
      for (const type of ['BASIC_AUTH', 'API_KEY']) {
        expect([door, await attempt(listOf(type))]).toEqual([door, { refused: [path], isDone: false }]);
      }
      // Without it, the id is free.
      expect([door, (await attempt([])).isDone]).toEqual([door, true]);
      expect([door, (await attempt(listOf('BASIC_AUTH'))).isDone]).toEqual([door, true]);
      expect([door, (await attempt([])).isDone]).toEqual([door, true]);
    }
  });

  // What takes schemes creates them, or is a door above, or adds one whose id must be new in its list.
  it('has no other door', () => {
    const taking = mutationFields.filter(({ args }) => takesScheme(args[0]!.type, new Set()));
    expect(taking.map(({ name }) => name).sort()).toEqual([
      'addConnectionCredential',
      'createConnection',
      'createConnector',
      'importConnections',
      'updateConnection',
      'updateConnector',
      'upsertConnection',
    ]);
  });

  function takesScheme(type: GraphQLInputType, seen: Set<string>): boolean {
    const named = getNamedType(type);
    if (named.name === 'AuthSchemeInput') return true;
    if (!isInputObjectType(named) || seen.has(named.name)) return false;
    seen.add(named.name);
    return Object.values(named.getFields()).some((field) => takesScheme(field.type, seen));
  }

  /** Returns how the lines of an export name a credential. */
  async function exportedReference(organization: string, id: string): Promise<string> {
    const { name } = (
      await test.query({ organization }, `query ($id: ID!) { node: credential(id: $id) { ... on CredentialBase { name } } }`, { id })
    ).node;
    for await (const text of test.gateway.transfer.exportLines(organization, { onProblem: () => {} })) {
      const line = JSON.parse(text);
      if (line.type === 'credential' && line.name === name) return line.reference;
    }
    throw new Error('The export lacks the credential.');
  }
});

// An end user can never have `connectors.patch`, and what nothing uses changes nothing else.
describe('a forced deletion', () => {
  const forced = mutationFields.filter((field) => 'force' in inputFields(field));
  const mayNeed = ({ extensions }: Field, args: object) => (extensions as { mayNeed: (args: object) => Scope[] }).mayNeed(args);

  it.each(forced.map((field) => [field.name, field] as const))(
    '%s: requires a further scope if there is something to use it for, and only then',
    async (name, field) => {
      const world = await seedBoundWorld(test);
      const args = argumentsIn(world, name);
      const { query, variables } = operationOf(field, args, resultSelection(field));
      const document = parse(query);
      const base = [...requiredScopes(schema, document, document.definitions[0] as OperationDefinitionNode, variables)];
      const before = await contents(test, world.caller.organization);
      const further = mayNeed(field, args);
      for (const scope of further) {
        const rest = further.filter((each) => each !== scope);
        const { data, errors } = await test.answer({ ...world.caller, scopes: [...base, ...rest] }, query, variables);
        if (name === 'deleteCredential' && scope === 'connectors.patch') {
          expect(data.result.__typename).toMatch(/Success$/);
          continue;
        }
        expect([data, errors?.map(({ extensions }) => extensions)]).toEqual([null, [{ code: 'FORBIDDEN', scope }]]);
        expect(await contents(test, world.caller.organization)).toEqual(before);
      }
      // Nothing uses these.
      const { caller } = world;
      const integration = { id: (await test.create(caller, 'Integration', { name: `alone-${name}` })).id };
      const lone: Record<string, () => Promise<object>> = {
        deleteIntegration: async () => ({ integration }),
        deleteConnector: async () => ({
          connector: await test.create(caller, 'Connector', { integration, name: 'c', baseUrl: 'https://api.example.com' }),
        }),
        deleteEndUser: async () => ({ endUser: await test.create(caller, 'EndUser', { integration, externalId: 'e' }) }),
        deleteCredential: async () => ({
          credential: (await test.create(caller, 'Credential', { integration, name: 'c', data: { none: {} } })).id,
        }),
      };
      if (further.length > 0) {
        const result = await run(test, { ...caller, scopes: base }, name, { ...(await lone[name]!()), force: true });
        expect(result.__typename).toMatch(/Success$/);
      }
    },
  );

  it('of a credential that a connector names requires the scope for connectors', async () => {
    const { caller, more } = await seedBoundWorld(test);
    const input = { credential: more.client, force: true };
    const { errors } = await send(test, { ...caller, scopes: ['credentials.delete', 'connections.patch'] }, 'deleteCredential', input);
    expect(errors!.map(({ extensions }) => extensions)).toEqual([{ code: 'FORBIDDEN', scope: 'connectors.patch' }]);
  });
});
