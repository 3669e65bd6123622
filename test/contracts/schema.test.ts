import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  buildSchema,
  type GraphQLNamedType,
  type GraphQLType,
  getNamedType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isNonNullType,
  isObjectType,
  parse,
  specifiedScalarTypes,
  validate,
} from 'graphql';
import { buildSchema as buildSchema15 } from 'graphql-15';
import { buildSchema as buildSchema16 } from 'graphql-16-8';
import { describe, expect, it } from 'vitest';
import { gatewayActions } from '../../src/access/gateway-actions.ts';
import { scopes } from '../../src/access/scopes.ts';
import { subgraphText } from '../../src/gateway/index.ts';
import { createSchema, schemaText } from '../../src/schema/index.ts';
import { kindOf, kindRegistry, readableKinds } from '../kinds.ts';
import { seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { isEdge, isPage, mutationFields, nodeTypes, objectsOf, queryFields, rootFields, schema, scopeOf, titleOf, types } from './walk.ts';

const test = useTestGateway();
/** The schema with all that it can have as a subgraph. */
const federated = createSchema(kindRegistry, { federation: { adds: ['plaintext', 'scopes', 'credentials'] } });
const federatedTypes = Object.values(federated.getTypeMap()).filter(({ name }) => !name.startsWith('__'));
const routerFields = Object.values(federated.getQueryType()!.getFields()).filter(
  ({ name }) => !queryFields.some((field) => field.name === name),
);

// Every change of the API is read in review: the text is committed, and is what the code makes.
it('schema.graphql is the schema', () => {
  expect(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8')).toBe(schemaText(schema));
});

// What routers compose is read in review, too. `test/supergraph.test.ts` composes it.
it('subgraph.graphql is the subgraph', () => {
  expect(readFileSync(new URL('../../subgraph.graphql', import.meta.url), 'utf8')).toBe(subgraphText());
});

// Tools with an older graphql know neither `@oneOf` nor how to read what they do not know.
it.each([
  ['15', buildSchema15],
  ['16.8', buildSchema16],
])('schema.graphql is read by graphql %s, and nothing in it is undeclared', (_, buildSchema) => {
  const read = buildSchema(schemaText(schema));
  expect(Object.keys(read.getTypeMap())).toEqual(expect.arrayContaining(types.map(({ name }) => name)));
  expect(read.getDirective('oneOf')?.locations).toEqual(['INPUT_OBJECT']);
});

it('graphql of today reads the same schema from it', () => {
  expect(schemaText(buildSchema(schemaText(schema)))).toBe(schemaText(schema));
});

describe('descriptions', () => {
  const described = federatedTypes
    .filter((type) => !specifiedScalarTypes.some(({ name }) => name === type.name))
    .flatMap((type): (readonly [string, string | null | undefined])[] => [
      [type.name, type.description],
      ...(isEnumType(type) ? type.getValues().map(({ name, description }) => [`${type.name}.${name}`, description] as const) : []),
      ...(isInputObjectType(type)
        ? Object.values(type.getFields()).map(({ name, description }) => [`${type.name}.${name}`, description] as const)
        : []),
      ...(isObjectType(type) || isInterfaceType(type)
        ? Object.values(type.getFields()).flatMap((field) => [
            [`${type.name}.${field.name}`, field.description] as const,
            ...field.args.map(({ name, description }) => [`${type.name}.${field.name}(${name}:)`, description] as const),
          ])
        : []),
    ]);

  it('there is one of everything: types, fields, arguments, input fields, enum values', () => {
    expect(described.length).toBeGreaterThan(1_000);
    expect(described.filter(([, text]) => !text?.trim()).map(([at]) => at)).toEqual([]);
  });

  it('each is a sentence', () => {
    expect(described.filter(([, text]) => !/^[A-Z0-9`“[][\s\S]*[.!?)…]$/.test(text!.trim())).map(([at, text]) => `${at}: ${text}`)).toEqual(
      [],
    );
  });

  // Whoever reads the schema knows what to ask for.
  it('each root field names its scope', () => {
    const silent = [...rootFields, ...routerFields].filter(
      ({ description }) => !/Scope: (`[a-zA-Z]+\.[a-zA-Z]+`|as for `node`|depends on the noun|none\.)/.test(description!),
    );
    expect(silent.map(({ name }) => name)).toEqual([]);
    for (const field of rootFields) {
      const scope = scopeOf(field);
      if (scope) expect(field.description).toContain(`\`${scope}\``);
    }
  });
});

describe('scopes', () => {
  /** Their resolvers ask for the scope of the noun in the id, before anything is loaded. */
  const decideByThemselves = ['node', 'nodes', 'object', 'cause', 'deletePreview', '_entities'];
  /** Tells whoever asks what they could know. */
  const open = ['viewer', '_service'];

  it.each([...rootFields, ...routerFields].map((field) => [titleOf(field), field] as const))('%s declares one', (_, field) => {
    if ([...decideByThemselves, ...open].includes(field.name)) return;
    expect(scopes).toContain(scopeOf(field));
  });

  it('every type that is a Node, a page or an edge declares one', () => {
    const guarded = types.filter((type) => isObjectType(type) && (nodeTypes.includes(type) || isPage(type) || isEdge(type)));
    expect(guarded.length).toBeGreaterThan(40);
    expect(guarded.filter((type) => !scopes.includes(scopeOf(type)!)).map(({ name }) => name)).toEqual([]);
  });

  // Only a scope on the field keeps `__typename` from telling that something is there, and the database from being asked.
  it('every field that gives a guarded type asks for its scope before it is resolved, unless it is guarded by the same', () => {
    const open: string[] = [];
    for (const type of federatedTypes) {
      if (!isObjectType(type) || type === federated.getMutationType() || type.name.endsWith('Success')) continue;
      for (const field of Object.values(type.getFields())) {
        if (decideByThemselves.includes(field.name)) continue;
        for (const given of objectsOf(field)) {
          const needed = scopeOf(given);
          if (needed && scopeOf(field) !== needed && scopeOf(type) !== needed) open.push(`${type.name}.${field.name} gives ${given.name}`);
        }
      }
    }
    expect([...new Set(open)]).toEqual([]);
  });

  it('every scope is asked for somewhere', () => {
    const asked = new Set<string>(['credentials.fingerprint']); // asked within the field: it hides, it does not refuse
    // By a root field, or by a field of an object.
    const fields = types.filter(isObjectType).flatMap((type) => Object.values(type.getFields()));
    for (const field of fields) asked.add(scopeOf(field) ?? '');
    expect(scopes.filter((scope) => !asked.has(scope))).toEqual([]);
  });
});

// What is not in the enum is shown as OTHER.
it('every action that the source names for the audit log of an organization is a value of AuditAction', () => {
  const src = fileURLToPath(new URL('../../src/', import.meta.url));
  const source = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(src, file), 'utf8').replaceAll(/^.*recordPlatformEvent.*$/gm, ''))
    .join('\n');
  const forms = [
    /\bname: '(\w+)', noun:/g,
    /\baction: '(\w+)'/g,
    /\bgatewayEntry\(\w+, '(\w+)'/g,
    /\brecordKeyDone\(context, '(\w+)'/g,
    /\bact\('(\w+)'/g,
    /^const ACTION = '(\w+)'/gm,
  ];
  const named = forms.flatMap((form) => {
    const found = [...source.matchAll(form)].map(([, name]) => name!);
    expect(found.length, String(form)).toBeGreaterThan(0);
    return found;
  });
  const actions = federatedTypes.filter(isEnumType).find(({ name }) => name === 'AuditAction')!;
  const values = actions.getValues().map(({ name }) => name);
  expect([...new Set(named)].filter((name) => !values.includes(name))).toEqual([]);
  expect(mutationFields.map(({ name }) => name).filter((name) => !values.includes(name))).toEqual([]);
  // No action of the gateway has the name of a mutation, and each is named by the source.
  expect(Object.keys(gatewayActions).filter((name) => mutationFields.some((field) => field.name === name))).toEqual([]);
  const others = values.filter((name) => name !== 'OTHER' && !mutationFields.some((field) => field.name === name));
  expect(others.filter((name) => !source.includes(`'${name}'`) && !named.includes(name))).toEqual([]);
});

describe('plaintext', () => {
  /** The types that are reached from one, without going through the root of mutations. */
  function reachable(from: GraphQLNamedType): Set<GraphQLNamedType> {
    const seen = new Set<GraphQLNamedType>();
    const visit = (type: GraphQLNamedType) => {
      if (seen.has(type)) return;
      seen.add(type);
      if (isAbstractType(type)) for (const each of schema.getPossibleTypes(type)) visit(each);
      if (isObjectType(type) || isInterfaceType(type)) for (const field of Object.values(type.getFields())) visit(getNamedType(field.type));
    };
    visit(from);
    return seen;
  }
  /** The types that hold what must be answered once and never again, and the mutations that give each. */
  const secretTypes: Readonly<Record<string, readonly string[]>> = {
    AuthorizedRequest: ['authorizeRequest'],
    RevealedSecret: ['revealSecret'],
    SSOLink: ['createSSOLink'],
    SSOForm: ['createSSOLink'],
    SSOFormField: ['createSSOLink'],
    IssuedAPIKey: ['createAPIKey', 'rotateAPIKey'],
    EndUserToken: ['createEndUserToken'],
    IssuedWebhook: ['createWebhook', 'rotateWebhookSecret'],
  };

  it.each(Object.entries(secretTypes))('%s is reached from %j, and from no query', (name, mutations) => {
    const type = schema.getType(name)!;
    for (const root of [schema.getQueryType(), schema.getSubscriptionType()]) if (root) expect(reachable(root)).not.toContain(type);
    const ways = mutationFields.filter((field) => reachable(getNamedType(field.type)).has(type));
    expect(ways.map((field) => field.name)).toEqual(mutations);
  });

  it('a field named like it stands in those types only', () => {
    const named = types
      .filter(isObjectType)
      .filter((type) =>
        Object.keys(type.getFields()).some((name) =>
          /plain|cleartext|decrypted|unsealed|ciphertext|^sealed$|wrapped|dataKey|masterKey/i.test(name),
        ),
      );
    expect(named.map(({ name }) => name)).toEqual(['RevealedSecret']);
  });

  // A secret is never a String: another type, so that nobody shows one by forgetting to hide it.
  it.each(readableKinds.map((kind) => [kind.typeName, kind] as const))(
    'each secret of %s is a Secret!, and nothing else is',
    (typeName, kind) => {
      const type = schema.getType(typeName);
      if (!isObjectType(type)) throw new Error(`${typeName} is not an object type.`);
      const secretFields = Object.values(type.getFields()).filter((field) => getNamedType(field.type).name === 'Secret');
      const secrets = Object.entries(kind.fields).filter(([, field]) => field.secret);
      expect(secretFields.map(({ name }) => name).sort()).toEqual(secrets.map(([name]) => name).sort());
      for (const field of secretFields) expect([field.name, isNonNullType(field.type)]).toEqual([field.name, true]);
    },
  );

  // Whoever has the id of a record wants the record. What can be gone, and what a mutation answers about its own input, has the id alone.
  it('each id of another record has the record beside it', () => {
    const alone = types.filter(isObjectType).flatMap((type) =>
      Object.values(type.getFields())
        .filter(({ name, type: of }) => /Id$/.test(name) && getNamedType(of).name === 'ID')
        .filter(({ name }) => !(name.slice(0, -2) in type.getFields()))
        .map(({ name }) => `${type.name}.${name}`),
    );
    const withoutRecord =
      /^(AuditEntry|Event|EventSnapshot|WebhookDelivery|AuthorizedRequest|RevealedSecret|ImportedConnection|CredentialNotUsableError|\w+Success)\./;
    expect(alone.filter((each) => !withoutRecord.test(each))).toEqual([]);
    const scheme = schema.getType('OAuth2AuthScheme');
    expect(isObjectType(scheme) && Object.keys(scheme.getFields())).toContain('clientCredential');
  });

  it('a Secret shows four things, none of them the secret', () => {
    const secret = schema.getType('Secret');
    expect(isObjectType(secret) && Object.keys(secret.getFields()).sort()).toEqual(['fingerprint', 'isSet', 'redacted', 'sealedAt']);
  });
});

// Clients with a normalised cache take whatever is named `id` for a key that is unique among all objects.
describe('ids', () => {
  const nodes = new Set(
    types.filter((type) => (isObjectType(type) || isInterfaceType(type)) && type.getInterfaces().some((each) => each.name === 'Node')),
  );
  const fieldsNamedId = types.flatMap((type) => {
    if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) return [];
    const fields = Object.values(type.getFields()) as { readonly name: string; readonly type: GraphQLType }[];
    return fields.flatMap((field) => (field.name === 'id' ? [{ type, field }] : []));
  });

  it('what is named `id` is the global id of a Node, in outputs, inputs and arguments', () => {
    expect(fieldsNamedId.length).toBeGreaterThan(40);
    for (const { type, field } of fieldsNamedId) {
      const at = type.name;
      expect([at, getNamedType(field.type).name]).toEqual([at, 'ID']);
      if (isInputObjectType(type) || at === 'Node') continue;
      // Interfaces of nodes, such as CredentialBase, are nodes, too.
      expect([at, nodes.has(type), String(field.type)]).toEqual([at, true, 'ID!']);
    }
    const args = types.flatMap((type) => (isObjectType(type) ? Object.values(type.getFields()).flatMap((field) => field.args) : []));
    for (const arg of args.filter(({ name }) => name === 'id')) expect(getNamedType(arg.type).name).toBe('ID');
  });

  it('`node` finds each by its id, with the same type', async () => {
    const { caller, ids } = await seedBoundWorld(test);
    const found = async (asker: typeof caller, id: string) =>
      (await test.query(asker, 'query ($id: ID!) { node(id: $id) { __typename id } }', { id })).node;
    const names: string[] = [];
    for (const id of Object.values(ids)) {
      const node = await found(caller, id);
      expect(node).toEqual({ __typename: expect.any(String), id });
      names.push(node.__typename);
    }
    // Each kind of viewer finds itself, and no other viewer.
    const viewerOf = async (asker: typeof caller) => (await test.query(asker, '{ viewer { __typename id } }')).viewer;
    const { key } = await test.makeAPIKey(caller, { scopes: ['connections.get'] });
    const viewers = [
      caller,
      { ...caller, claims: { sub: 'another' } },
      { ...caller, token: key },
      { ...caller, token: await test.makeEndUserToken(caller, { id: ids.endUser }) },
    ];
    const own = await Promise.all(viewers.map(viewerOf));
    expect(new Set(own.map(({ id }) => id)).size).toBe(viewers.length);
    for (const [index, asker] of viewers.entries())
      for (const [other, viewer] of own.entries()) expect(await found(asker, viewer.id)).toEqual(index === other ? viewer : null);
    names.push(own[0].__typename);
    // A credential has one type for each kind; the loader is the same for all.
    const expected = fieldsNamedId.flatMap(({ type }) => (isObjectType(type) && !/Credential$/.test(type.name) ? [type.name] : []));
    expect(names.filter((name) => !/Credential$/.test(name)).sort()).toEqual(expected.sort());
  });

  it('what is in use names its users as nodes', async () => {
    const { caller, ids } = await seedBoundWorld(test);
    const { result } = await test.query(
      caller,
      'mutation ($input: DeleteConnectorInput!) { result: deleteConnector(input: $input) { ... on InUseError { usages { noun name node { __typename id ... on Connection { name } } } } } }',
      { input: { connector: { id: ids.connector } } },
    );
    const name = expect.stringMatching(/^connection-/);
    expect(result.usages).toEqual([{ noun: 'CONNECTION', name, node: { __typename: 'Connection', id: ids.connection, name } }]);
    const { id } = await test.makeAPIKey(caller, { scopes: ['connections.get'] });
    expect((await test.query(caller, 'query ($id: ID!) { node(id: $id) { __typename } }', { id })).node).toEqual({ __typename: 'APIKey' });
  });
});

describe('one query over every kind', () => {
  // What has the same name has the same type in all kinds: else such a query does not validate.
  const selections = schema.getPossibleTypes(schema.getType('Credential') as never).map((type) => {
    const fields = Object.values(type.getFields()).map((field) => {
      const inner = getNamedType(field.type);
      if (!isObjectType(inner)) return field.name;
      if (isPage(inner)) return `${field.name} { totalCount }`;
      return `${field.name} { ${Object.values(inner.getFields())
        .filter((each) => !isObjectType(getNamedType(each.type)))
        .map(({ name }) => name)
        .join(' ')} }`;
    });
    return `... on ${type.name} { ${fields.join(' ')} }`;
  });
  const query = `query { credentials(first: 3) { nodes { __typename ${selections.join('\n')} } } }`.replace(/auditEntry \{[^}]*\}/g, '');

  it('selects every field of every kind, validates and runs', async () => {
    // Two more, for altered credentials and for outdated ones.
    expect(selections).toHaveLength(readableKinds.length + 2);
    expect(validate(schema, parse(query)).map(({ message }) => message)).toEqual([]);
    const { caller } = await seedBoundWorld(test);
    const { credentials } = await test.query(caller, query);
    expect(credentials.nodes).toHaveLength(3);
    for (const node of credentials.nodes) {
      const kind = readableKinds.find(({ typeName }) => typeName === node.__typename)!;
      for (const name of Object.keys(kindOf(kind.kind)!.fields)) expect(node).toHaveProperty(name);
    }
  });
});
