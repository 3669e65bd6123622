import { GraphQLEnumType, type GraphQLObjectType, type GraphQLUnionType, parse, validate } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { scopes } from '../../src/access/scopes.ts';
import { subgraphText } from '../../src/gateway/index.ts';
import { credentialIdQuery, examples } from '../../src/http/graphiql/examples.ts';
import { createSchema, operationCost, renamedDocument, schemaText } from '../../src/schema/index.ts';
import { checkNames, federationFields, federationTypes, type SchemaNames, SchemaNamesError } from '../../src/schema-names.ts';
import { type Json, TestGateway, useTestGateway } from '../harness.ts';
import { kindRegistry } from '../kinds.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';

/** What a neighbour in a graph may have, too. */
const names: SchemaNames = {
  types: {
    Connection: 'ServiceConnection',
    Contact: 'EndUserContact',
    NotFoundError: 'GatewayNotFoundError',
    ValidationError: 'GatewayValidationError',
    CreateConnectionInput: 'NewServiceConnection',
    BasicAuthCredential: 'PasswordCredential',
    CredentialBase: 'AnyCredential',
    Variable: 'ConnectionVariable',
    HTTPAuthMethod: 'ServiceAuthMethod',
    MutationError: 'GatewayError',
  },
  rootFields: {
    'Query.viewer': 'gatewayViewer',
    'Query.node': null,
    'Query.connections': 'serviceConnections',
    'Query.connection': 'serviceConnection',
    'Query.credentials': 'secretsOfServices',
    'Mutation.createConnection': 'createServiceConnection',
    'Mutation.revealSecret': null,
  },
};
const test = new TestGateway();
test.names = names;
test.federation = { adds: ['credentials'] };
useTestGateway(test);
/** A gateway on the same database, without other names. */
const plain = new TestGateway();
let world: BoundWorld;
beforeAll(async () => {
  Object.assign(plain, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey });
  await plain.open();
  world = await seedBoundWorld(plain);
  return () => plain.close();
});

const schema = createSchema(kindRegistry, { names, federation: test.federation });
const plainSchema = createSchema(kindRegistry);
const roots = [plainSchema.getQueryType()!, plainSchema.getMutationType()!, plainSchema.getSubscriptionType()!];
/** Checks names as the start does, without building the schema each time. */
const wrong = (given: Partial<SchemaNames>) => () =>
  checkNames(
    { types: {}, rootFields: {}, ...given },
    {
      types: Object.keys(plainSchema.getTypeMap()),
      rootFields: roots.flatMap((root) => Object.keys(root.getFields()).map((name) => `${root.name}.${name}`)),
    },
  );

describe('other names', () => {
  it('are those of types in each place where an answer names one', async () => {
    const { caller, ids } = world;
    const { nodes, _entities, credentialKinds, deletePreview } = await test.query(
      caller,
      `query ($ids: [ID!]!, $of: [_Any!]!, $connection: ID!) {
        nodes(ids: $ids) { __typename ... on ServiceConnection { name variables { __typename } } ... on AnyCredential { kind } }
        _entities(representations: $of) { __typename }
        credentialKinds { name typeName }
        deletePreview(objectId: $connection) { __typename }
      }`,
      {
        ids: [ids.connection, ids.credential],
        connection: ids.connection,
        of: [
          { __typename: 'ServiceConnection', id: ids.connection },
          { __typename: 'PasswordCredential', id: ids.credential },
          { __typename: 'AnyCredential', id: ids.credential },
        ],
      },
    );
    expect(nodes).toEqual([
      { __typename: 'ServiceConnection', name: expect.any(String), variables: [{ __typename: 'ConnectionVariable' }] },
      { __typename: 'PasswordCredential', kind: 'BASIC_AUTH' },
    ]);
    expect(_entities).toEqual(['ServiceConnection', 'PasswordCredential', 'PasswordCredential'].map((__typename) => ({ __typename })));
    expect(credentialKinds).toContainEqual({ name: 'basicAuth', typeName: 'PasswordCredential' });
    expect(deletePreview).not.toBeNull();
    const { errors } = await test.answer(caller, 'query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }', {
      of: [{ __typename: 'Connection', id: ids.connection }],
    });
    expect(errors).toMatchObject([{ extensions: { code: 'VALIDATION_FAILED' } }]);
  });

  it('are those of types and enums that `credentialKinds` names', async () => {
    const { credentialKinds } = await test.query(world.caller, '{ credentialKinds { typeName fields { enumName } } }');
    const enumNames = credentialKinds.flatMap(({ fields }: Json) => fields.flatMap(({ enumName }: Json) => enumName ?? []));
    expect(enumNames).toContain('ServiceAuthMethod');
    const types = schema.getTypeMap();
    for (const { typeName } of credentialKinds) expect(types, typeName).toHaveProperty([typeName]);
    for (const enumName of enumNames) expect(types[enumName], enumName).toBeInstanceOf(GraphQLEnumType);
  });

  it('are those of root fields, which do what they did', async () => {
    const { caller, ids } = world;
    const { gatewayViewer, serviceConnections, serviceConnection } = await test.query(
      caller,
      'query ($by: ConnectionRef!) { gatewayViewer { __typename } serviceConnections(first: 1) { nodes { __typename } } serviceConnection(by: $by) { id } }',
      { by: { id: ids.connection } },
    );
    expect(gatewayViewer).toEqual({ __typename: 'Viewer' });
    expect(serviceConnections.nodes).toEqual([{ __typename: 'ServiceConnection' }]);
    expect(serviceConnection).toEqual({ id: ids.connection });
    const create = `mutation ($input: NewServiceConnection!) {
      createServiceConnection(input: $input) {
        __typename
        ... on CreateConnectionSuccess { connection { __typename name } }
        ... on GatewayError { code }
        ... on GatewayValidationError { issues { path } }
      }
    }`;
    const name = 'by another name';
    const integration = { id: ids.integration };
    const first = await test.query(caller, create, { input: { integration, name } });
    expect(first.createServiceConnection).toEqual({
      __typename: 'CreateConnectionSuccess',
      connection: { __typename: 'ServiceConnection', name },
    });
    const invalid = await test.query(caller, create, { input: { integration, name: '', connector: { id: ids.integration } } });
    expect(invalid.createServiceConnection).toMatchObject({
      __typename: 'GatewayValidationError',
      code: 'VALIDATION_FAILED',
      issues: expect.arrayContaining([{ path: ['input', 'name'] }]),
    });
    for (const query of [
      '{ viewer { __typename } }',
      '{ connections { totalCount } }',
      'query ($id: ID!) { node(id: $id) { __typename } }',
      'mutation { createConnection(input: {}) { __typename } }',
      'mutation { revealSecret(input: {}) { __typename } }',
      '{ nodes(ids: []) { ... on Connection { id } } }',
    ]) {
      const { errors, data } = await test.answer(caller, query, { id: ids.connection });
      expect([data, errors?.[0].extensions.code], query).toEqual([undefined, 'GRAPHQL_VALIDATION_FAILED']);
    }
  });

  it('need the scopes that the others need, and cost the same', async () => {
    const caller = { ...world.caller, scopes: scopes.filter((scope) => scope !== 'connections.get') };
    const of = [{ __typename: 'ServiceConnection', id: world.ids.connection }];
    for (const [query, variables] of [
      ['{ serviceConnections { totalCount } }', {}],
      ['query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } }', { ids: [world.ids.connection] }],
      ['query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }', { of }],
      [
        'mutation ($input: NewServiceConnection!) { createServiceConnection(input: $input) { ... on CreateConnectionSuccess { connection { id } } } }',
        { input: { integration: { id: world.ids.integration }, name: 'x' } },
      ],
    ] as const) {
      const commands = await test.countCommands(async () => {
        const { errors } = await test.answer(caller, query, variables);
        expect(errors, query).toMatchObject([{ extensions: { code: 'FORBIDDEN', scope: 'connections.get' } }]);
      });
      expect(commands).toEqual([]);
    }
    const costIn = (of: typeof schema, query: string) => operationCost(of, parse(query), parse(query).definitions[0] as never, {});
    for (const { query } of examples) {
      const named = renamedDocument(query, names);
      if (named !== undefined) expect(costIn(schema, named)).toBe(costIn(plainSchema, query));
    }
  });

  it('are not those of messages, which name mutations as schema.graphql does', async () => {
    const rootFields = { 'Mutation.revealSecret': 'updateCredential', 'Mutation.updateCredential': 'changeCredential' };
    const other = new TestGateway();
    Object.assign(other, { uri: test.uri, databaseName: test.databaseName, masterKey: test.masterKey, names: { types: {}, rootFields } });
    await other.open();
    const input = `{ credential: "${world.ids.credential}", field: "password", reason: "for a test of messages" }`;
    const { errors } = await other.answer(
      world.caller,
      `mutation { a: updateCredential(input: ${input}) { __typename } b: updateCredential(input: ${input}) { __typename } }`,
    );
    await other.close();
    expect(errors).toMatchObject([
      { message: 'The operation contains revealSecret too often: at most 1 (PER_REQUEST).', extensions: { code: 'LIMIT_EXCEEDED' } },
    ]);
  });

  it('are not those of the audit log, which several gateways can write', async () => {
    const organization = test.newOrganization();
    const integration = await plain.create({ organization }, 'Integration', { name: 'crm' });
    const create = 'mutation ($input: NewServiceConnection!) { createServiceConnection(input: $input) { __typename } }';
    const input = { integration: { id: integration.id }, name: 'one' };
    await test.query({ organization }, create, { input });
    const { errors } = await test.answer({ organization, scopes: ['connections.get'] }, create, { input });
    expect(errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    await test.gateway.audit.seal();
    const { auditLog } = await test.query({ organization }, '{ auditLog { nodes { action outcome } } }');
    expect(auditLog.nodes).toEqual(
      expect.arrayContaining([
        { action: 'createConnection', outcome: 'SUCCESS' },
        { action: 'createConnection', outcome: 'FORBIDDEN' },
      ]),
    );
    expect(JSON.stringify(auditLog)).not.toContain('createServiceConnection');
    // Nor are they the values of the enum: it has all mutations, also the one that is left out here.
    const found = await test.query(
      { organization },
      '{ created: auditLog(action: createConnection) { nodes { outcome } } revealed: auditLog(action: revealSecret) { nodes { outcome } } }',
    );
    expect([found.created.nodes.length, found.revealed.nodes.length]).toEqual([2, 0]);
  });

  it('are those of the examples, of which those that ask for what is left out are left out', () => {
    const all = examples.map(({ query }) => renamedDocument(query, names));
    expect(all.filter((query) => query === undefined)).toHaveLength(examples.filter(({ query }) => query.includes('revealSecret')).length);
    for (const query of [...all, renamedDocument(credentialIdQuery, names, { keepsKeys: true })]) {
      if (query !== undefined) expect(validate(schema, parse(query))).toEqual([]);
    }
    expect(renamedDocument(credentialIdQuery, names, { keepsKeys: true })).toContain('credentials: secretsOfServices(');
    expect(renamedDocument(credentialIdQuery, { types: {}, rootFields: {} })).toBe(credentialIdQuery);
  });

  it('are those of descriptions and of the subgraph, and everything else is as it was', () => {
    const sdl = subgraphText({ names });
    expect(sdl).toMatch(/^type ServiceConnection implements CredentialUsage & Node @key\(fields: "id"\)/m);
    for (const old of Object.keys(names.types))
      expect(sdl).not.toMatch(new RegExp(`^(type|interface|input) ${old}\\b|: \\[?${old}\\b|\`${old}\``, 'm'));
    // Back by a search in the text, it is the schema that it was, but for the order.
    const lines = (text: string) =>
      text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('"""'))
        .sort();
    const back = Object.entries(names.types).reduce(
      (text, [old, name]) => text.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), old),
      schemaText(createSchema(kindRegistry, { names: { types: names.types, rootFields: {} } })),
    );
    const sorted = (text: string) =>
      lines(text)
        .map((line) =>
          line
            .split(/[\s|&]+/)
            .sort()
            .join(' '),
        )
        .sort();
    expect(sorted(back)).toEqual(sorted(schemaText(createSchema(kindRegistry))));
  });

  it('leave the schemas of other gateways as they are', () => {
    const before = schemaText(createSchema(kindRegistry));
    createSchema(kindRegistry, { names });
    expect(schemaText(createSchema(kindRegistry))).toBe(before);
    expect((schema.getType('_Entity') as GraphQLUnionType).getTypes().map(({ name }) => name)).toContain('PasswordCredential');
  });

  it('can leave out all of a root but the queries, and what is asked of it is refused', async () => {
    const leftOut = (root: 'Query' | 'Mutation' | 'Subscription', of: GraphQLObjectType) =>
      Object.fromEntries(Object.keys(of.getFields()).map((name) => [`${root}.${name}`, null]));
    const [query, mutation, subscription] = roots as [GraphQLObjectType, GraphQLObjectType, GraphQLObjectType];
    expect(wrong({ rootFields: leftOut('Query', query) })).toThrow(/a query must be left/);
    const readOnly = new TestGateway();
    const rootFields = { ...leftOut('Mutation', mutation), ...leftOut('Subscription', subscription) };
    Object.assign(readOnly, {
      uri: test.uri,
      databaseName: test.databaseName,
      masterKey: test.masterKey,
      names: { types: {}, rootFields },
    });
    await readOnly.open();
    for (const query of ['mutation { revealSecret { __typename } }', 'mutation { __typename }', 'subscription { events { __typename } }']) {
      const { data, errors } = await readOnly.answer(world.caller, query);
      expect([data, errors?.[0].extensions.code], query).toEqual([undefined, 'GRAPHQL_VALIDATION_FAILED']);
    }
    const { __schema } = await readOnly.query(
      world.caller,
      '{ __schema { mutationType { name } subscriptionType { name } types { name } } }',
    );
    expect([__schema.mutationType, __schema.subscriptionType]).toEqual([null, null]);
    expect(__schema.types.filter(({ name }: Json) => ['Mutation', 'Subscription'].includes(name))).toEqual([]);
    await readOnly.close();
  });
});

describe('names that are wrong stop the start, and everything that is wrong is told', () => {
  it.each<readonly [string, Partial<SchemaNames>, RegExp]>([
    ['no such type', { types: { Nothing: 'Something' } }, /there is no type Nothing/],
    ['no such field', { rootFields: { 'Query.nothing': 'something' } }, /there is no root field Query\.nothing/],
    ['a field of a type', { rootFields: { 'Connection.name': 'title' } }, /there is no root field Connection\.name/],
    ['a name that is taken', { types: { Connection: 'Connector' } }, /Connection and Connector would both be called Connector/],
    ['the same name twice', { types: { Connection: 'Thing', Connector: 'Thing' } }, /would both be called Thing/],
    ['a field that is taken', { rootFields: { 'Query.connections': 'connectors' } }, /would both be called/],
    ['a root', { types: { Query: 'Root' } }, /the type Query cannot be called otherwise/],
    ['a scalar of GraphQL', { types: { String: 'Text' } }, /the type String cannot be called otherwise/],
    ['a reserved name', { types: { Connection: '__Type' } }, /the new name of Connection must be letters and digits/],
    ['a name of Federation', { types: { Connection: '_Entity' } }, /the new name of Connection must be letters and digits/],
    ['no name', { types: { Connection: '' } }, /the new name of Connection must be letters and digits/],
    ['not a name', { rootFields: { 'Query.viewer': 'a b' } }, /the new name of Query\.viewer must be letters and digits/],
    ['a long name', { types: { Connection: 'C'.repeat(101) } }, /the new name of Connection must be letters and digits, at most 100/],
    ['FieldSet', { types: { Connection: 'FieldSet' } }, /the new name of Connection must not be FieldSet or contain __/],
    [
      'a name of an import',
      { types: { Connection: 'federation__FieldSet' } },
      /the new name of Connection must not be FieldSet or contain __/,
    ],
    [
      'a name with __',
      { rootFields: { 'Query.viewer': 'my__viewer' } },
      /the new name of Query\.viewer must not be FieldSet or contain __/,
    ],
    ...federationTypes.map(
      (name) =>
        [`the type ${name}`, { types: { [name]: 'Foo' } }, new RegExp(`: the type ${name} cannot be called otherwise\\.$`)] as const,
    ),
    ...federationFields.flatMap((field) =>
      ['found', null].map(
        (name) =>
          [
            `the field ${field}, as ${name}`,
            { rootFields: { [`Query.${field}`]: name } },
            new RegExp(`: the root field Query\\.${field} cannot be called otherwise or left out\\.$`),
          ] as const,
      ),
    ),
    ['a type left out', { types: { Connection: null as never } }, /the new name of Connection must be letters and digits/],
    ['a name that is not text', { types: { Connection: 5 as never } }, /the new name of Connection must be letters and digits/],
    ['what all objects have', { types: { constructor: 'Thing' } }, /there is no type constructor/],
  ])('%s', (_what, given, message) => {
    let error: unknown;
    try {
      wrong(given)();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SchemaNamesError);
    expect((error as Error).message).toMatch(message);
  });

  it('two at once, when the schema is built', () => {
    const two = { types: { Nothing: 'Thing' }, rootFields: { 'Query.nothing': null } };
    expect(() => createSchema(kindRegistry, { names: two })).toThrow(/type Nothing; .*Query\.nothing/);
  });

  it('in a subgraph, too: a router finds `_entities` by its own name', () => {
    const given = { types: { _Any: 'Foo', Connection: 'FieldSet' }, rootFields: { 'Query._entities': null } };
    expect(() => createSchema(kindRegistry, { names: given, federation: {} })).toThrow(
      /type _Any cannot .*Query\._entities cannot .*Connection must not/,
    );
  });

  it.each([null, [], 'Connection', { types: null, rootFields: {} }, { types: {} }, { types: { Connection: null }, rootFields: {} }])(
    'from code: %j',
    (given) => {
      expect(() => createSchema(kindRegistry, { names: given as never })).toThrow(SchemaNamesError);
    },
  );

  it('a swap is fine', async () => {
    const swapped = { types: { Connection: 'Connector', Connector: 'Connection' }, rootFields: {} };
    const swappedSchema = createSchema(kindRegistry, { names: swapped });
    const fieldsOf = (of: typeof schema, name: string) => Object.keys((of.getType(name) as GraphQLObjectType).getFields());
    expect(fieldsOf(swappedSchema, 'Connector')).toEqual(fieldsOf(plainSchema, 'Connection'));
    expect(fieldsOf(swappedSchema, 'Connection')).toEqual(fieldsOf(plainSchema, 'Connector'));
    expect(fieldsOf(plainSchema, 'Connection')).not.toEqual(fieldsOf(plainSchema, 'Connector'));
    const { uri, databaseName, masterKey } = test;
    const gateway = new TestGateway();
    Object.assign(gateway, { uri, databaseName, masterKey, names: swapped });
    await gateway.open();
    const { caller, ids } = world;
    try {
      const { nodes, connection } = await gateway.query(
        caller,
        `query ($ids: [ID!]!, $by: ConnectionRef!) {
          nodes(ids: $ids) { __typename ... on Connector { variables { name } } ... on Connection { authSchemes { __typename } } }
          connection(by: $by) { __typename id }
        }`,
        { ids: [ids.connection, ids.connector], by: { id: ids.connection } },
      );
      expect(nodes).toEqual([
        { __typename: 'Connector', variables: expect.any(Array) },
        { __typename: 'Connection', authSchemes: expect.any(Array) },
      ]);
      expect(connection).toEqual({ __typename: 'Connector', id: ids.connection });
    } finally {
      await gateway.close();
    }
  });
});
