import { type GraphQLObjectType, getNamedType, isAbstractType } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { nounTable } from '../../src/access/nouns.ts';
import { type Noun, nouns, readScope, type Scope, scopes } from '../../src/access/scopes.ts';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { exampleData } from '../credential-kinds/examples.ts';
import type { Answer, Json } from '../harness.ts';
import { readableKinds } from '../kinds.ts';
import { makeOutdated } from '../vault.ts';
import { type BoundWorld, missingId, seedBoundWorld } from '../world.ts';
import { comparable, useTestGateway } from './answers.ts';
import { type Field, nodeTypes, nounOf, objectsOf, operationOf, readFields, scopeOf, selectionOf, titleOf } from './walk.ts';

const test = useTestGateway();
// `_entities` is another way to an object by its id.
test.federation = {};
let world: BoundWorld;
/** An id of each type that is a Node. */
let idOf: Readonly<Record<string, string>>;
beforeAll(async () => {
  world = await seedBoundWorld(test);
  const made: [string, string][] = [];
  for (const kind of readableKinds) {
    const [integration] = world.refs.IntegrationRef!;
    const input = { integration, name: kind.kind, endUser: { id: world.ids.endUser }, data: { [kind.kind]: exampleData(kind) } };
    made.push([kind.typeName, (await test.create(world.caller, 'Credential', input)).id]);
  }
  const others = nodeTypes.filter((type) => nounOf(type) !== 'credential').map((type) => [type.name, world.ids[nounOf(type)]] as const);
  const owned = { integration: world.refs.IntegrationRef![0], endUser: { id: world.ids.endUser } };
  const { id } = await test.create(world.caller, 'Credential', { ...owned, name: 'altered', data: { none: {} } });
  await test.database.collection<Json>('credentials').updateOne({ _id: parseId(id)!.id }, { $set: { description: 'altered' } });
  const outdated = await makeOutdated(test, world.caller, owned);
  idOf = Object.fromEntries([...made, ...others, ['AlteredCredential', id], ['OutdatedCredential', outdated]]);
});

/** Everything but one scope: each by its name, for a wildcard would cover it. */
const without = (missing: Scope) => ({ organization: world.caller.organization, scopes: scopes.filter((scope) => scope !== missing) });

function expectForbidden({ errors, data, text }: Answer, scope: Scope): void {
  expect(errors?.length, text).toBeGreaterThan(0);
  for (const error of errors!) {
    expect(error).toMatchObject({ message: `Cannot access this resource. Missing scope ${scope}.` });
    expect(error.extensions).toEqual({ code: 'FORBIDDEN', scope });
  }
  // What is refused is null, up to the next field that may be.
  const path: (string | number)[] = errors![0].path ?? [];
  const at = path.reduce<Json>((value, step) => value?.[step], data);
  expect(at ?? null).toBeNull();
}

/** Arguments that a root field must have, naming what there is. */
function argumentsOf(field: Field): Record<string, unknown> {
  const required = field.args.filter(({ type }) => String(type).endsWith('!'));
  return Object.fromEntries(
    required.map(({ name, type }) => {
      const named = getNamedType(type).name;
      if (named in world.refs) return [name, world.refs[named]![0]];
      if (named === 'ID')
        return [
          name,
          String(type).startsWith('[')
            ? Object.values(world.ids)
            : world.ids[field.name in world.ids ? (field.name as Noun) : 'credential'],
        ];
      throw new Error(`What is to be given for ${field.name}(${name}: ${type})?`);
    }),
  );
}

const guardedFields = readFields.filter((field) => scopeOf(field)).map((field) => [titleOf(field), field, scopeOf(field)!] as const);

describe('a root field', () => {
  it.each(guardedFields)('%s is refused without its scope, and nothing is read', async (_, field, scope) => {
    const { query, variables } = operationOf(field, argumentsOf(field), '{ __typename }');
    const commands = await test.countCommands(async () => expectForbidden(await test.answer(without(scope), query, variables), scope));
    expect(commands).toEqual([]);
  });

  it.each(guardedFields)('%s is refused with a scope of another noun, and with another verb of its own', async (_, field, scope) => {
    const { query, variables } = operationOf(field, argumentsOf(field), '{ __typename }');
    const [noun] = scope.split('.');
    const other = scopes.find((each) => each.endsWith('.get') && !each.startsWith(noun!))!;
    for (const granted of [
      [],
      [other],
      [`${other.split('.')[0]}.*`],
      scopes.filter((each) => each.startsWith(`${noun}.`) && each !== scope),
    ]) {
      expectForbidden(await test.answer({ ...world.caller, scopes: granted }, query, variables), scope);
    }
  });

  it.each(guardedFields)('%s is answered with its scope alone, and with each wildcard over it', async (_, field, scope) => {
    const { query, variables } = operationOf(field, argumentsOf(field), selectionOf(field));
    for (const granted of [scope, `${scope.split('.')[0]}.*`, 'all.Organization', 'all.Organization.read']) {
      const { result } = await test.query({ ...world.caller, scopes: [granted] }, query, variables);
      expect(result).not.toBeNull();
    }
  });
});

/** A way into the schema, from one record on. */
interface Way {
  readonly scope: Scope;
  readonly selection: string;
}

/** The ways from an object to what asks for another scope, through objects that ask for none. */
function waysFrom(type: GraphQLObjectType, above: readonly string[] = []): Way[] {
  return Object.values(type.getFields()).flatMap((field): Way[] => {
    if (field.args.some(({ type: arg, defaultValue }) => String(arg).endsWith('!') && defaultValue === undefined)) return [];
    // Its scope depends on the object: see below.
    if (['object', 'cause'].includes(field.name)) return [];
    const given = objectsOf(field);
    const scope = scopeOf(field) ?? given.map(scopeOf).find((each) => each);
    if (scope) return [{ scope, selection: `{ ${field.name} ${given.length > 0 ? '{ __typename }' : ''} }` }];
    return given
      .filter(({ name }) => !above.includes(name))
      .flatMap((inner) => {
        const ways = waysFrom(inner, [...above, type.name]);
        // Only this one of several types has the field.
        const within = (selection: string) =>
          isAbstractType(getNamedType(field.type)) ? `{ ... on ${inner.name} ${selection} }` : selection;
        return ways.map((way) => ({ ...way, selection: `{ ${field.name} ${within(way.selection)} }` }));
      });
  });
}

const nestedWays = nodeTypes.flatMap((type) =>
  waysFrom(type)
    .filter(({ scope }) => scope !== scopeOf(type))
    .map((way) => [`${type.name} ${way.selection}`, type, way] as const),
);

describe('a nested field', () => {
  it('there are some to test', () => {
    expect(nestedWays.length).toBeGreaterThan(80);
  });

  it.each(nestedWays)('is refused without its own scope: %s', async (_, type, { scope, selection }) => {
    const query = `query ($id: ID!) { node(id: $id) { ... on ${type.name} ${selection} } }`;
    const refused = await test.answer(without(scope), query, { id: idOf[type.name] });
    expectForbidden(refused, scope);
    // What the viewer may see of the record is answered.
    expect(refused.data.node).not.toBeNull();
    const { node } = await test.query(world.caller, query, { id: idOf[type.name] });
    expect(node).not.toBeNull();
  });
});

describe('the object of an entry or event', () => {
  const types = ['AuditEntry', 'Event'];
  it('is every field that gives a node of any type', () => {
    const given = nodeTypes.flatMap((type) =>
      Object.values(type.getFields()).flatMap((each) => (String(each.type) === 'Node' ? [`${type.name}.${each.name}`] : [])),
    );
    expect(given.sort()).toEqual(['AuditEntry.object', 'Event.cause', 'Event.object']);
  });

  it.each(types)('of %s asks for the scope of each, whether it is there or was deleted, and costs one command a noun', async (typeName) => {
    const list = typeName === 'Event' ? 'events' : 'auditLog';
    const query = `{ list: ${list}(first: 100) { nodes { objectId object { __typename id } } } }`;
    const own = await seedBoundWorld(test);
    const deletion = 'mutation ($connection: ConnectionRef!) { deleteConnection(input: { connection: $connection }) { __typename } }';
    const { deleteConnection } = await test.query(own.caller, deletion, { connection: { id: own.ids.connection } });
    expect(deleteConnection.__typename).toBe('DeleteConnectionSuccess');
    const whole = await test.query(own.caller, query);
    const named = whole.list.nodes.filter(({ objectId }: Json) => objectId !== null);
    const nounsNamed = new Set<Noun>(named.map(({ objectId }: Json) => parseId(objectId)!.noun));
    expect(nounsNamed.size).toBeGreaterThan(4);
    for (const { objectId, object } of whole.list.nodes) {
      if (objectId === own.ids.connection) expect(object).toBeNull();
      else if (object !== null) expect(object.id).toBe(objectId);
    }
    expect(named.filter(({ object }: Json) => object !== null).length).toBeGreaterThan(4);
    const commands = await test.countCommands(() => test.query(own.caller, query));
    const without = await test.countCommands(() => test.query(own.caller, query.replace('object { __typename id }', '')));
    expect(commands.length - without.length).toBeLessThanOrEqual(nounsNamed.size);
    // Deleted or not, the answer without the scope is the same.
    for (const noun of nounsNamed) {
      const scopesOf = scopes.filter((scope) => scope !== readScope(noun));
      const { data, errors } = await test.answer({ ...own.caller, scopes: scopesOf }, query);
      const refused = data.list.nodes.flatMap(({ objectId }: Json, at: number) =>
        objectId && parseId(objectId)!.noun === noun ? [at] : [],
      );
      const paths = (errors ?? []).map(({ path, extensions }) => {
        expect(extensions).toEqual({ code: 'FORBIDDEN', scope: readScope(noun) });
        return path![2];
      });
      expect(paths.toSorted()).toEqual(refused.toSorted());
      for (const at of refused) expect(data.list.nodes[at].object).toBeNull();
    }
  });
});

describe('an object by its id', () => {
  const ways: Readonly<Record<string, string>> = {
    node: 'query ($id: ID!) { node(id: $id) { SELECTION } }',
    nodes: 'query ($id: ID!) { nodes(ids: [$id]) { SELECTION } }',
    _entities:
      'query ($id: ID!) { _entities(representations: [{ __typename: "TYPE", id: $id }]) { __typename ... on Node { SELECTION } } }',
  };
  const selections = ['__typename', 'id', '__typename id ... on CredentialBase { name }'];
  const cases = nodeTypes.flatMap((type, index) => {
    const noun = nounOf(type);
    // All kinds of credentials go one way, in all its forms for the first.
    const isFirst = nodeTypes.findIndex((each) => nounOf(each) === noun) === index;
    const asked = isFirst
      ? Object.keys(ways).flatMap((way) => selections.map((selection) => [way, selection] as const))
      : [['node', '__typename'] as const];
    return asked.map(([way, selection]) => [type.name, way, selection, noun] as const);
  });

  // An answer that differs tells what there is to somebody who may not know.
  it.each(cases)('%s by %s { %s } tells nothing without the scope', async (typeName, way, selection, noun) => {
    const query = ways[way]!.replace('TYPE', typeName).replace('SELECTION', selection);
    const caller = without(readScope(noun));
    const answers: Json[] = [];
    for (const id of [idOf[typeName]!, missingId(noun)]) {
      const commands = await test.countCommands(async () => {
        const answer = await test.answer(caller, query, { id });
        expectForbidden(answer, readScope(noun));
        answers.push(comparable(answer));
      });
      expect(commands).toEqual([]);
    }
    expect(answers[0]).toEqual(answers[1]);
  });

  it.each(nouns.flatMap((noun) => Object.keys(ways).map((way) => [noun, way] as const)))(
    'what does not exist and what is another organization’s are one, in the answer and in the work: %s by %s',
    async (noun: Noun, way) => {
      const typeName = noun === 'credential' ? 'BasicAuthCredential' : nounTable[noun].typeName;
      const query = ways[way]!.replace('TYPE', typeName).replace('SELECTION', '__typename id');
      const stranger = { organization: test.newOrganization() };
      await test.create(stranger, 'Integration', { name: 'crm' });
      const seen: Json[] = [];
      for (const id of [world.ids[noun], missingId(noun)]) {
        const commands = await test.countCommands(async () => void seen.push(comparable(await test.answer(stranger, query, { id }))));
        seen.push(commands);
      }
      expect(seen.slice(0, 2)).toEqual(seen.slice(2));
      expect(seen[0].body).toBe(way === 'node' ? '{"data":{"node":null}}' : `{"data":{"${way}":[null]}}`);
    },
  );

  it('ids that are none are nothing, and ask for no scope', async () => {
    const ids = [
      '',
      'x',
      'Q3JlZGVudGlhbDo',
      missingId('credential').slice(0, -1),
      Buffer.from('Nothing:0123456789abcdef01234567').toString('base64url'),
    ];
    const { nodes } = await test.query({ ...world.caller, scopes: [] }, 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } }', {
      ids,
    });
    expect(nodes).toEqual(ids.map(() => null));
  });
});

describe('a fingerprint', () => {
  // It is an oracle for whoever may write: create a guess, compare.
  it('is null without its scope, whatever else one may do', async () => {
    const query = 'query ($id: ID!) { credential(id: $id) { ... on BasicAuthCredential { password { isSet redacted fingerprint } } } }';
    const id = world.ids.credential;
    const all = { ...world.caller, scopes: ['all.Organization', 'credentials.*', 'credentials.reveal'] };
    expect((await test.query(all, query, { id })).credential.password).toEqual({ isSet: true, redacted: '*****', fingerprint: null });
    expect((await test.query(world.caller, query, { id })).credential.password.fingerprint).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });
});
