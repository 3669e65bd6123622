import { type GraphQLObjectType, type GraphQLUnionType, getNamedType, isObjectType, parse } from 'graphql';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { nouns, readScope, scopes } from '../../src/access/scopes.ts';
import { createSchema, operationCost } from '../../src/schema/index.ts';
import { encodeId, parseId } from '../../src/schema/kit/global-id.ts';
import { nodeTypes, nounOf as nounOfType } from '../contracts/walk.ts';
import { exampleData } from '../credential-kinds/examples.ts';
import { type Answer, type Json, TestGateway, useTestGateway } from '../harness.ts';
import { kindRegistry, readableKinds } from '../kinds.ts';
import { makeOutdated } from '../vault.ts';
import { type BoundWorld, missingId, seedBoundWorld, seedEndUserWorld } from '../world.ts';

// What a router asks a subgraph for. A router sends what its own clients and other subgraphs gave it, so nothing in a representation can be trusted.
const test = new TestGateway();
test.federation = { adds: ['credentials'] };
useTestGateway(test);
const federated = createSchema(kindRegistry, { federation: test.federation });
const entityTypes = (federated.getType('_Entity') as GraphQLUnionType).getTypes();

/** The noun of a type, by its name: the types of another schema are others. */
const nounOf = (name: string) => nounOfType(nodeTypes.find((type) => type.name === name)!);

let world: BoundWorld;
let foreign: BoundWorld;
/** An id of each type that has a key, and of the same noun in another organization. */
const idOf: Record<string, string> = {};
beforeAll(async () => {
  [world, foreign] = [await seedBoundWorld(test), await seedBoundWorld(test)];
  const [integration] = world.refs.IntegrationRef!;
  for (const { name } of nodeTypes) if (nounOf(name) !== 'credential') idOf[name] = world.ids[nounOf(name)];
  for (const kind of readableKinds) {
    const input = { integration, name: `of ${kind.kind}`, data: { [kind.kind]: exampleData(kind) } };
    idOf[kind.typeName] = (await test.create(world.caller, 'Credential', input)).id;
  }
  const { id } = await test.create(world.caller, 'Credential', { integration, name: 'altered', data: { none: {} } });
  await test.database.collection<Json>('credentials').updateOne({ _id: parseId(id)!.id }, { $set: { description: 'altered' } });
  idOf.AlteredCredential = id;
  idOf.OutdatedCredential = await makeOutdated(test, world.caller, { integration });
});

const QUERY = 'query ($of: [_Any!]!) { entities: _entities(representations: $of) { __typename ... on Node { id } } }';
const ask = (of: readonly unknown[], caller = world.caller, query = QUERY): Promise<Answer> => test.answer(caller, query, { of });
const codesAt = ({ errors = [] }: Answer) => errors.map(({ path, extensions }) => [path?.[1], extensions.code]);

describe('_entities', () => {
  it('has every type that has a global id and is stored, and no other', () => {
    expect(entityTypes.map(({ name }) => name).sort()).toEqual(nodeTypes.map(({ name }) => name).sort());
  });

  it('gives one of each type by its id, in the order that is asked for, with one command for each noun', async () => {
    const of = entityTypes.map(({ name }) => ({ __typename: name, id: idOf[name] }));
    const commands = await test.countCommands(async () => {
      const { data, errors } = await ask(of);
      expect(errors).toBeUndefined();
      expect(data.entities).toEqual(of);
    });
    expect(commands).toEqual(nouns.map(() => 'find'));
  });

  it('gives null for an id of another type, of another organization, and of nothing, with as many commands for each', async () => {
    const seen: Json[] = [];
    for (const { name } of entityTypes) {
      const noun = nounOf(name);
      const sibling = noun === 'credential' ? idOf[name === 'StringCredential' ? 'HTTPCredential' : 'StringCredential'] : undefined;
      for (const id of [missingId(noun), foreign.ids[noun], ...(sibling ? [sibling] : [])]) {
        const commands = await test.countCommands(async () => {
          const { data, errors } = await ask([{ __typename: name, id }]);
          seen.push({ data, errors });
        });
        expect(commands).toEqual(['find']);
      }
    }
    expect(new Set(seen.map((each) => JSON.stringify(each)))).toEqual(new Set(['{"data":{"entities":[null]}}']));
    // An id of another noun, and what is none, needs no command.
    const none = ['', 'x', idOf.Connection, 'constructor', `x${idOf.EndUser}`, 'x'.repeat(100_000)].map((id) => ({
      __typename: 'EndUser',
      id,
    }));
    const commands = await test.countCommands(async () => {
      const { data, errors } = await ask(none);
      expect([data, errors]).toEqual([{ entities: none.map(() => null) }, undefined]);
    });
    expect(commands).toEqual([]);
  });

  it.each(entityTypes.map(({ name }) => name))('tells nothing of %s without its scope, and asks nothing', async (name) => {
    const scope = readScope(nounOf(name));
    const caller = { ...world.caller, scopes: scopes.filter((each) => each !== scope) };
    const texts = new Set<string>();
    const commands = await test.countCommands(async () => {
      for (const id of [idOf[name], missingId(nounOf(name)), foreign.ids[nounOf(name)], 'x', 5, undefined]) {
        const { errors, data } = await ask([{ __typename: name, id }], caller);
        expect(errors).toMatchObject([{ path: ['entities', 0], extensions: { code: 'FORBIDDEN', scope } }]);
        texts.add(JSON.stringify([errors, data]));
      }
    });
    expect([texts.size, commands]).toEqual([1, []]);
  });

  it('answers each representation by itself: duplicates, wrong ones and forbidden ones between good ones', async () => {
    const good = { __typename: 'EndUser', id: idOf.EndUser };
    const caller = { ...world.caller, scopes: ['endUsers.get', 'connectors.get'] };
    const answer = await ask(
      [
        good,
        { __typename: 'Nothing', id: idOf.EndUser },
        good,
        { __typename: 'Connection', id: idOf.Connection },
        'text',
        { __typename: 'Connector', id: 7 },
        good,
      ],
      caller,
    );
    expect(answer.data.entities).toEqual([good, null, good, null, null, null, good]);
    expect(codesAt(answer)).toEqual([
      [1, 'VALIDATION_FAILED'],
      [3, 'FORBIDDEN'],
      [4, 'VALIDATION_FAILED'],
      [5, 'VALIDATION_FAILED'],
    ]);
    expect(answer.status).toBe(200);
  });

  const marker = 'hunter2';
  const hostile: readonly (readonly [string, unknown, readonly (string | number)[]])[] = [
    ['a text', marker, []],
    ['a list', [marker], []],
    ['nothing in it', {}, ['__typename']],
    ['no type', { id: marker }, ['__typename']],
    ['a type that is none', { __typename: marker, id: 'x' }, ['__typename']],
    ['a type that is not text', { __typename: { toString: marker }, id: 'x' }, ['__typename']],
    ['a name that all objects have', { __typename: 'constructor', id: marker }, ['__typename']],
    ['the prototype', JSON.parse(`{"__proto__": {"__typename": "EndUser", "id": "${marker}"}}`), ['__typename']],
    ['a type without a key', { __typename: 'Viewer', id: marker }, ['__typename']],
    ['a root', { __typename: 'Query', id: marker }, ['__typename']],
    ['a type of Federation', { __typename: '_Entity', id: marker }, ['__typename']],
    ['no key', { __typename: 'EndUser', externalId: marker }, []],
    ['a key of another type', { __typename: 'Connection', integrationId: 'x', externalId: marker }, []],
    ['a key in the prototype', JSON.parse(`{"__typename": "EndUser", "__proto__": {"id": "${marker}"}}`), []],
    ['an id that is a number', { __typename: 'EndUser', id: 7 }, ['id']],
    ['an id that is null', { __typename: 'EndUser', id: null }, ['id']],
    ['an id that is an operator', { __typename: 'EndUser', id: { $ne: marker } }, ['id']],
    ['an external id that is an operator', { __typename: 'EndUser', integrationName: 'crm', externalId: { $gt: marker } }, ['externalId']],
    ['an external id that is a list', { __typename: 'EndUser', integrationId: 'x', externalId: [marker] }, ['externalId']],
    ['an external id that is too long', { __typename: 'EndUser', integrationId: 'x', externalId: marker.repeat(10_000) }, ['externalId']],
    ['a name that is too long', { __typename: 'EndUser', integrationName: marker.repeat(10_000), externalId: 'x' }, ['integrationName']],
  ];
  it.each(hostile)('refuses a representation that is wrong, and repeats nothing of it: %s', async (_what, representation, path) => {
    const commands = await test.countCommands(async () => {
      const answer = await ask([representation, { __typename: 'EndUser', id: 'x' }]);
      expect(answer.data).toEqual({ entities: [null, null] });
      expect(answer.errors).toMatchObject([
        { path: ['entities', 0], extensions: { code: 'VALIDATION_FAILED', issues: [{ path: ['representations', 0, ...path] }] } },
      ]);
      expect(answer.text).not.toContain(marker);
      expect(test.logs.join('')).not.toContain(marker);
    });
    expect(commands).toEqual([]);
  });

  it('takes representations that are written into the document, with variables in them', async () => {
    const query = `query ($id: ID!) { entities: _entities(representations: [{ __typename: "EndUser", id: $id }, { __typename: "Connector", id: "${idOf.Connector}" }, 5]) { __typename } }`;
    const answer = await test.answer(world.caller, query, { id: idOf.EndUser });
    expect(answer.data).toEqual({ entities: [{ __typename: 'EndUser' }, { __typename: 'Connector' }, null] });
    expect(codesAt(answer)).toEqual([[2, 'VALIDATION_FAILED']]);
  });

  it('resolves 1,000 in one command, and refuses 1,001 before it asks anything', async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => encodeId('endUser', (index + 1).toString(16).padStart(24, '0')));
    const of = [...many.slice(1), idOf.EndUser].map((id) => ({ __typename: 'EndUser', id }));
    const commands = await test.countCommands(async () => {
      const { data } = await ask(of);
      expect(data.entities.slice(-2)).toEqual([null, of.at(-1)]);
      expect(data.entities).toHaveLength(1_000);
    });
    expect(commands).toEqual(['find']);
    const tooMany = [...of, of[0]];
    const nothing = await test.countCommands(async () => {
      for (const [answer, limit] of [
        [await ask(tooMany), 'MAX_LIST_ITEMS'],
        // Within the document, it has too many tokens, or too many items.
        [
          await test.answer(world.caller, `{ _entities(representations: [${tooMany.map(() => '1').join(' ')}]) { __typename } }`),
          'MAX_LIST_ITEMS',
        ],
      ] as const) {
        expect(answer.errors).toMatchObject([{ extensions: { code: 'LIMIT_EXCEEDED', limit } }]);
        expect(answer.data).toBeUndefined();
      }
    });
    expect(nothing).toEqual([]);
  });

  it('resolves 1,000 in all fields of an operation together, whatever they are selected by, and refuses 1,001 before it asks anything', async () => {
    const valid = { __typename: 'EndUser', id: idOf.EndUser };
    const fields = (count: number) =>
      Array.from({ length: count }, (_, index) => `a${index}: _entities(representations: $of) { __typename }`).join(' ');
    const of = Array(500).fill(valid);
    // One of the same response name runs once.
    const two = `query ($of: [_Any!]!, $yes: Boolean = true) { ${fields(2)} ${fields(2)} ...F ... @skip(if: $yes) { b: _entities(representations: $of) { __typename } } } fragment F on Query { ${fields(1)} }`;
    const { data } = await ask(of, world.caller, two);
    expect(Object.values<Json[]>(data).map(({ length }) => length)).toEqual([500, 500]);
    const commands = await test.countCommands(async () => {
      for (const [query, caller] of [
        [`query ($of: [_Any!]!) { ${fields(2)} c: _entities(representations: 5) { __typename } }`, world.caller],
        [`query ($of: [_Any!]!) { ${fields(1)} ...F } fragment F on Query { ...G } fragment G on Query { ${fields(3)} }`, world.caller],
        [`query ($of: [_Any!]!) { ${fields(9)} }`, { ...world.caller, scopes: [] }],
      ] as const) {
        const { data, errors } = await ask(of, caller, query);
        expect(data).toBeUndefined();
        expect(errors).toMatchObject([{ extensions: { code: 'LIMIT_EXCEEDED', limit: 'REPRESENTATIONS', maximum: 1_000 } }]);
      }
    });
    expect(commands).toEqual([]);
  });

  it('reads no stack for a refusal, of which there can be 1,000', async () => {
    const written = vi.fn((error: Error) => `${error}`);
    const { prepareStackTrace } = Error;
    Error.prepareStackTrace = written;
    try {
      for (const [item, code] of [
        [0, 'VALIDATION_FAILED'],
        [{ __typename: 'EndUser' }, 'FORBIDDEN'],
      ] as const) {
        const answer = await ask(Array(100).fill(item), { ...world.caller, scopes: [] });
        expect(codesAt(answer)).toEqual(Array.from({ length: 100 }, (_, index) => [index, code]));
      }
    } finally {
      Error.prepareStackTrace = prepareStackTrace;
    }
    expect(written.mock.calls.length).toBeLessThan(20);
  });

  it('refuses 1,001 also where lists may be longer', async () => {
    const roomy = new TestGateway();
    Object.assign(roomy, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey, federation: {} });
    roomy.limits = { ...roomy.limits, maxListItems: 10_000 };
    await roomy.open();
    const of = Array.from({ length: 1_001 }, () => ({ __typename: 'EndUser', id: idOf.EndUser }));
    const { errors } = await roomy.answer(world.caller, QUERY, { of });
    await roomy.close();
    expect(errors).toMatchObject([{ extensions: { code: 'LIMIT_EXCEEDED', limit: 'REPRESENTATIONS', maximum: 1_000 } }]);
  });

  it('costs what is selected, for each representation', async () => {
    const cost = (of: number, selection: string) => {
      const document = parse(`query ($of: [_Any!]!) { _entities(representations: $of) { ${selection} } }`);
      return operationCost(federated, document, document.definitions[0] as never, { of: Array(of).fill({}) });
    };
    expect(cost(1, '__typename')).toBe(2);
    expect(cost(100, '__typename')).toBe(101);
    // An operation costs 1, an object 1, and a page of 50 51.
    const page = '... on EndUser { connections(first: 50) { nodes { id } } }';
    expect(cost(1, page)).toBe(1 + 1 + 1 + 50);
    expect(cost(100, page)).toBe(1 + 100 * (1 + 1 + 50));
    // Of several types, the dearest counts.
    expect(cost(10, `... on Connector { id } ${page}`)).toBe(1 + 10 * (1 + 1 + 50));
    const { errors } = await ask(
      Array(1_000).fill({ __typename: 'EndUser', id: 'x' }),
      world.caller,
      `query ($of: [_Any!]!) { _entities(representations: $of) { ${page} } }`,
    );
    expect(errors).toMatchObject([{ extensions: { code: 'COST_LIMIT_EXCEEDED', cost: 1 + 1_000 * 52 } }]);
  });
});

describe('an end user by what other systems know of it', () => {
  /** The keys of end users, each with what gives the same one. */
  const keys = async () => {
    const { endUser } = await test.query(
      world.caller,
      'query ($by: EndUserRef!) { endUser(by: $by) { integrationId integrationName externalId integration { id name } } }',
      { by: { id: idOf.EndUser } },
    );
    expect([endUser.integrationId, endUser.integrationName]).toEqual([endUser.integration.id, endUser.integration.name]);
    return endUser as { integrationId: string; integrationName: string; externalId: string };
  };

  it('is found by the id or the name of its integration, with endUsers.get alone', async () => {
    const { integrationId, integrationName, externalId } = await keys();
    const found = { __typename: 'EndUser', id: idOf.EndUser };
    const caller = { ...world.caller, scopes: ['endUsers.get'] };
    const { data, errors } = await ask(
      [
        { __typename: 'EndUser', integrationId, externalId },
        { __typename: 'EndUser', integrationName, externalId },
        { __typename: 'EndUser', integrationId, externalId: 'nobody' },
        { __typename: 'EndUser', integrationName: 'nothing', externalId },
        { __typename: 'EndUser', integrationId: missingId('integration'), externalId },
        { __typename: 'EndUser', integrationId: idOf.EndUser, externalId },
        // The id decides.
        { __typename: 'EndUser', id: missingId('endUser'), integrationId, externalId },
      ],
      caller,
    );
    expect(errors).toBeUndefined();
    expect(data.entities).toEqual([found, found, null, null, null, null, null]);
    const { result } = await test.query(caller, 'query ($by: EndUserRef!) { result: endUser(by: $by) { integrationId integrationName } }', {
      by: { id: idOf.EndUser },
    });
    expect(result).toEqual({ integrationId, integrationName });
  });

  it('is looked up with as many commands by the name of an integration that there is not, which nobody learns without integrations.get', async () => {
    const { integrationName } = await keys();
    const other = await test.create(world.caller, 'Integration', { name: 'one more' }).then(() => 'one more');
    const caller = { ...world.caller, scopes: ['endUsers.get'] };
    const sent = (names: readonly string[]) =>
      test.countCommands(async () => {
        const { data, errors } = await ask(
          names.map((name) => ({ __typename: 'EndUser', integrationName: name, externalId: 'nobody' })),
          caller,
        );
        expect([data, errors]).toEqual([{ entities: names.map(() => null) }, undefined]);
      });
    expect(await sent([integrationName])).toEqual(['find', 'find']);
    expect(await sent(['unknown'])).toEqual(['find', 'find']);
    expect(await sent(['unknown', 'unknown'])).toEqual(['find', 'find']);
    for (const names of [
      [integrationName, other],
      [integrationName, 'unknown'],
      ['unknown', 'also unknown'],
    ]) {
      expect(await sent(names)).toEqual(['find', 'aggregate']);
    }
  });

  it('is read with all others in one command, or two by name, of however many integrations', async () => {
    const { organization } = { organization: test.newOrganization() };
    const caller = { organization };
    const made: { name: string; id: string; users: Record<string, string> }[] = [];
    for (const name of ['one', 'two', 'three', 'ü']) {
      const { id } = await test.create(caller, 'Integration', { name });
      const users: Record<string, string> = {};
      for (const externalId of ['a', 'b c', 'd'])
        users[externalId] = (await test.create(caller, 'EndUser', { integration: { id }, externalId })).id;
      made.push({ name, id, users });
    }
    const all = made.flatMap(({ name, id, users }) => Object.entries(users).map(([externalId, user]) => ({ name, id, externalId, user })));
    const expected = all.map(({ user }) => ({ __typename: 'EndUser', id: user }));
    const by = async (of: readonly object[], commands: readonly string[]) => {
      const sent = await test.countCommands(async () => expect((await ask(of, caller)).data).toEqual({ entities: expected }));
      expect(sent).toEqual(commands);
    };
    await by(
      all.map(({ id, externalId }) => ({ __typename: 'EndUser', integrationId: id, externalId })),
      ['aggregate'],
    );
    await by(
      all.map(({ name, externalId }) => ({ __typename: 'EndUser', integrationName: name, externalId })),
      ['find', 'aggregate'],
    );
    // The same name in another form of Unicode.
    await by(
      all.map(({ name, externalId }) => ({ __typename: 'EndUser', integrationName: name.normalize('NFD'), externalId })),
      ['find', 'aggregate'],
    );
    const one = all.filter(({ name }) => name === 'one');
    const commands = await test.countCommands(async () => {
      const { data } = await ask(
        one.map(({ id, externalId }) => ({ __typename: 'EndUser', integrationId: id, externalId })),
        caller,
      );
      expect(data.entities).toEqual(one.map(({ user }) => ({ __typename: 'EndUser', id: user })));
    });
    expect(commands).toEqual(['find']);
  });

  it('of 1,000 integrations that there are not, takes five commands', async () => {
    const of = Array.from({ length: 1_000 }, (_, index) => ({
      __typename: 'EndUser',
      integrationId: encodeId('integration', index.toString(16).padStart(24, '0')),
      externalId: 'x',
    }));
    const commands = await test.countCommands(async () =>
      expect((await ask(of)).data.entities.every((each: Json) => each === null)).toBe(true),
    );
    expect(commands).toEqual(Array(5).fill('aggregate'));
  });

  it('is nobody for another organization, another integration and another end user', async () => {
    const { integrationId, integrationName, externalId } = await keys();
    const of = [
      { __typename: 'EndUser', id: idOf.EndUser },
      { __typename: 'EndUser', integrationId, externalId },
      { __typename: 'EndUser', integrationName, externalId },
    ];
    const other = await test.create(world.caller, 'Integration', { name: 'another' });
    const { key } = await test.makeAPIKey(world.caller, { scopes: ['all.Organization'], integration: { id: other.id } });
    const sibling = await seedEndUserWorld(test, world);
    for (const caller of [foreign.caller, { ...world.caller, token: key }, sibling.caller]) {
      expect((await ask(of, caller)).data).toEqual({ entities: [null, null, null] });
    }
    // It finds itself, by each key.
    const token = await test.makeEndUserToken(world.caller, { id: idOf.EndUser });
    const found = { __typename: 'EndUser', id: idOf.EndUser };
    expect((await ask(of, { ...world.caller, token })).data).toEqual({ entities: [found, found, found] });
  });
});

describe('credentials by their interface', () => {
  const of = () => Object.entries(idOf).flatMap(([name, id]) => (name.endsWith('Credential') ? [{ name, id }] : []));
  it('are found whatever their kind, with the type that they have', async () => {
    const { data } = await ask([
      ...of().map(({ id }) => ({ __typename: 'CredentialBase', id })),
      { __typename: 'CredentialBase', id: idOf.Connection },
    ]);
    expect(data.entities).toEqual([...of().map(({ name, id }) => ({ __typename: name, id })), null]);
  });

  it('are not, unless that was added', async () => {
    const plain = new TestGateway();
    Object.assign(plain, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey, federation: {} });
    await plain.open();
    const { errors } = await plain.answer(world.caller, QUERY, { of: [{ __typename: 'CredentialBase', id: of()[0]!.id }] });
    await plain.close();
    expect(errors).toMatchObject([{ extensions: { code: 'VALIDATION_FAILED' } }]);
  });
});

describe('_service', () => {
  it('gives what the command prints, to everybody with a token and nobody else', async () => {
    const query = '{ _service { sdl } }';
    const { data } = await test.query({ ...world.caller, scopes: [] }, query).then((answer) => ({ data: answer }));
    const { subgraphText } = await import('../../src/gateway/index.ts');
    expect(data._service.sdl).toBe(subgraphText({ federation: test.federation }));
    for (const asked of [query, '{ _entities(representations: []) { __typename } }']) {
      const answer = await test.send({ query: asked });
      expect([answer.status, answer.errors?.[0].extensions.code, answer.data]).toEqual([401, 'UNAUTHENTICATED', undefined]);
    }
  });

  it.each([{ adds: ['nonsense'] }, { adds: 'plaintext' }, { adds: {} }, { adds: ['plaintext', 5] }, true])(
    'is refused at the start with additions that are none: %j',
    (federation) => {
      expect(() => createSchema(kindRegistry, { federation: federation as never })).toThrow(
        'federation.adds must be a list of: plaintext, scopes, credentials.',
      );
    },
  );

  it('is not there without federation', async () => {
    const schema = createSchema(kindRegistry);
    expect(['_Any', '_Entity', '_Service'].filter((name) => schema.getType(name))).toEqual([]);
    expect(Object.keys(schema.getQueryType()!.getFields()).filter((name) => name.startsWith('_'))).toEqual([]);
  });
});

// Types whose `__typename` a client would not know.
it('every entity gives its own fields', async () => {
  for (const type of entityTypes as readonly GraphQLObjectType[]) {
    const scalars = Object.values(type.getFields()).filter((field) => !isObjectType(getNamedType(field.type)) && field.args.length === 0);
    const names = scalars
      .filter((field) => !('getFields' in getNamedType(field.type)) && !('getTypes' in getNamedType(field.type)))
      .map(({ name }) => name);
    const { errors, data } = await ask(
      [{ __typename: type.name, id: idOf[type.name] }],
      world.caller,
      `query ($of: [_Any!]!) { _entities(representations: $of) { ... on ${type.name} { ${names.join(' ')} } } }`,
    );
    expect(errors).toBeUndefined();
    expect(Object.keys(data._entities[0])).toEqual(names);
  }
});
