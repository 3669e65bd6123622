import { getNamedType, isInterfaceType, isUnionType, type OperationDefinitionNode, parse } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Scope, scopes } from '../../src/access/scopes.ts';
import { errorCodes } from '../../src/errors.ts';
import { requiredScopes } from '../../src/schema/index.ts';
import { rememberingContents } from '../database.ts';
import { type BoundWorld, missingId, missingLike, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn, needsConsent, newName } from './mutations.ts';
import {
  type Field,
  inputFields,
  mutationFields,
  nodeTypes,
  objectsOf,
  operationOf,
  type Reference,
  referencePlaces,
  referencesIn,
  resultSelection,
  schema,
  scopeOf,
  withValue,
} from './walk.ts';

const test = useTestGateway();
const contents = rememberingContents(test);
const mutations = mutationFields.map((field) => [field.name, field] as const);
/** For what fails: no test that uses it changes it. */
let world: BoundWorld;
/** For what succeeds, again and again. */
let scratch: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
  scratch = await seedBoundWorld(test);
});

async function resultOf(world: BoundWorld, field: Field, args: object) {
  const { query, variables } = operationOf(field, args as Record<string, unknown>, resultSelection(field));
  return (await test.query(world.caller, query, variables)).result;
}

describe('a result', () => {
  // A caller handles what it can act on by type; the rest are top-level errors with codes.
  it.each(mutations)(
    '%s: a union of one success, with one field that is always there, and of errors that all have code and message',
    (name, field) => {
      const typeName = name[0]!.toUpperCase() + name.slice(1);
      const union = getNamedType(field.type);
      if (!isUnionType(union)) throw new Error(`${name} does not give a union.`);
      expect(union.name).toBe(`${typeName}Result`);
      expect(String(field.type)).toBe(`${typeName}Result!`);
      const [success, ...others] = union
        .getTypes()
        .toSorted((a, b) => Number(b.name.endsWith('Success')) - Number(a.name.endsWith('Success')));
      expect(success!.name).toBe(`${typeName}Success`);
      const fields = Object.values(success!.getFields());
      const [main, ...also] = fields.toSorted((a, b) => Number(String(b.type).endsWith('!')) - Number(String(a.type).endsWith('!')));
      expect(String(main!.type)).toMatch(/!$/);
      // What was done after the mutation itself.
      const told = name.startsWith('upsert') ? [['created', 'Boolean!']] : [];
      expect(also.map((field) => [field.name, String(field.type)])).toEqual(
        name === 'deleteCredential' ? [['revocation', 'ServiceRevocation']] : told,
      );
      expect(others.length).toBeGreaterThan(0);
      for (const error of others) {
        expect(error.name).toMatch(/Error$/);
        expect(error.getInterfaces().map((each) => each.name)).toEqual(['MutationError']);
      }
      expect(others.map((error) => error.name)).toContain('ValidationError');
    },
  );

  it('every object that is stored tells who created it and who changed it last', () => {
    const lacking = nodeTypes.filter(
      (type) =>
        !['AuditEntry', 'Event', 'WebhookDelivery'].includes(type.name) &&
        !['createdBy', 'updatedBy'].every((each) => each in type.getFields()),
    );
    expect(lacking.map(({ name }) => name)).toEqual([]);
    expect(nodeTypes.length).toBeGreaterThan(6);
  });

  it('every error type is used, and is one of the codes', () => {
    const base = schema.getType('MutationError');
    if (!isInterfaceType(base)) throw new Error('MutationError is no interface.');
    const used = new Set(mutationFields.flatMap(({ type }) => schema.getPossibleTypes(getNamedType(type) as never)));
    expect(schema.getPossibleTypes(base).filter((type) => !used.has(type))).toEqual([]);
    expect(Object.keys(errorCodes).length).toBeGreaterThan(10);
  });
});

describe('the input', () => {
  it.each(mutations)('%s takes one argument, which is required: its input', (name, { args }) => {
    const typeName = name[0]!.toUpperCase() + name.slice(1);
    expect(args.map((arg) => [arg.name, String(arg.type)])).toEqual([['input', `${typeName}Input!`]]);
  });

  /** What there is nothing of yet, or what changes no record that a caller has read. */
  const versionless =
    /^(create|import)|^(authorizeRequest|revealSecret|setEmailVerified|startAuthorization|completeAuthorization|checkConnection|checkCredential|testWebhook|revokeTokens|revokeEndUserTokens)$/;

  it.each(mutations)('%s takes expectedVersion where there is a version', (name, field) => {
    expect('expectedVersion' in inputFields(field)).toBe(!versionless.test(name));
  });

  // Else the tests below would leave out a way to reach what is another’s.
  it.each(mutations)('%s is tested with every reference that it takes', (_, field) => {
    const places = referencesIn(field, argumentsIn(world, field.name)).map(({ path }) =>
      path.filter((step) => typeof step === 'string').join('.'),
    );
    expect([...new Set(places)].sort()).toEqual([...referencePlaces(field)].sort());
  });
});

describe.each(mutations)('%s', (name, field) => {
  it.skipIf(needsConsent.includes(name))('succeeds, with no scopes but those that it says it needs', async () => {
    const own = /^(delete|revoke|remove)/.test(name) ? await seedBoundWorld(test) : scratch;
    const { query, variables } = operationOf(field, argumentsIn(own, name), resultSelection(field));
    const document = parse(query);
    const needed = [
      ...requiredScopes(schema, document, document.definitions[0] as OperationDefinitionNode, variables),
      // What these are required for is in the world: test/contracts/changes.test.ts shows that they are not required without it.
      ...(field.extensions as { mayNeed: (args: object) => Scope[] }).mayNeed(variables),
    ];
    const { result } = await test.query({ ...own.caller, scopes: needed }, query, variables);
    expect(result.__typename).toMatch(/Success$/);
  });

  const written = Object.values(
    objectsOf(field)
      .find((type) => type.name.endsWith('Success'))
      ?.getFields() ?? {},
  )[0];
  const noun = written && getNamedType(written.type);
  // What these learn or obtain changes nothing that a caller has written.
  const learns = /^(check|refresh)/.test(name) || needsConsent.includes(name);
  if (noun && !learns && 'getFields' in noun && 'updatedBy' in noun.getFields()) {
    it('leaves in what it writes who wrote it', async () => {
      const author = { kind: 'TOKEN', subject: `author of ${name}` };
      const { query, variables } = operationOf(
        field,
        argumentsIn(scratch, name),
        `{ ... on ${name[0]!.toUpperCase()}${name.slice(1)}Success { ${written.name} { ... on ${noun.name} { version createdBy { kind subject } updatedBy { kind subject } } } } }`,
      );
      const { result } = await test.query({ ...scratch.caller, claims: { sub: author.subject } }, query, variables);
      const { version, createdBy, updatedBy } = result[written.name];
      const seeder = { kind: 'TOKEN', subject: 'tester' };
      if (/^(create|upsert)/.test(name)) expect([version, createdBy]).toEqual([1, author]);
      else expect(createdBy).toEqual(seeder);
      // Whoever writes what is stored already changes nothing.
      if (/^(move|resumeWebhook|redeliver)/.test(name)) expect(updatedBy).not.toEqual(author);
      // What an earlier test has done already.
      else if (!/^(setEmailVerified|discoverConnector)$/.test(name)) expect(updatedBy).toEqual(author);
    });
  }

  it('writes nothing without each of its scopes, even before another mutation', async () => {
    const { query, variables } = operationOf(field, argumentsIn(world, name), resultSelection(field));
    const document = parse(query);
    const needed = [...requiredScopes(schema, document, document.definitions[0] as OperationDefinitionNode, variables)];
    expect(needed).toContain(scopeOf(field));
    const before = await contents(world.caller.organization);
    const first = `first: createIntegration(input: { name: "${newName()}" }) { __typename }`;
    for (const scope of needed) {
      const granted: Scope[] = scopes.filter((each) => each !== scope);
      const caller = { ...world.caller, scopes: granted };
      for (const text of [
        query,
        query.replace('result:', `${first} result:`),
        query.replace(/\}\s*$/, `${first.replace('first', 'last')} }`),
      ]) {
        const { status, data, errors } = await test.answer(caller, text, variables);
        expect([status, data]).toEqual([403, undefined]);
        expect(errors!.map(({ extensions }) => extensions)).toEqual([{ code: 'FORBIDDEN', scope }]);
      }
    }
    expect(await contents(world.caller.organization)).toEqual(before);
  });

  it('says which of its references there is none of, and writes nothing', async () => {
    const args = argumentsIn(world, name);
    const before = await contents(world.caller.organization);
    for (const reference of referencesIn(field, args)) {
      for (const missing of missingFor(reference)) {
        const result = await resultOf(world, field, withValue(args, reference.path, missing));
        expect([reference.path, result]).toEqual([
          reference.path,
          expect.objectContaining({ __typename: expect.stringMatching(/^(NotFound|InvalidIntegration)Error$/) }),
        ]);
        const isIntegration = result.__typename === 'InvalidIntegrationError';
        expect(result.code).toBe(isIntegration ? 'INVALID_INTEGRATION' : 'NOT_FOUND');
        if (reference.noun === 'integration') expect(isIntegration).toBe(true);
        expectPathTo(reference, toldTogether[`${name}.${reference.path.join('.')}`] ?? result.path);
      }
    }
    expect(await contents(world.caller.organization)).toEqual(before);
  });

  it('says which of its ids is none, or one of another noun, and writes nothing', async () => {
    const args = argumentsIn(world, name);
    const before = await contents(world.caller.organization);
    for (const reference of referencesIn(field, args)) {
      const otherNoun = reference.noun === 'connector' ? world.ids.endUser : world.ids.connector;
      for (const id of ['', `${world.ids.credential}=`.slice(1), otherNoun]) {
        const result = await resultOf(world, field, withValue(args, reference.path, reference.type === 'ID' ? id : { id }));
        expect(result).toMatchObject({ __typename: 'ValidationError', code: 'VALIDATION_FAILED' });
        expect(result.issues.length).toBeGreaterThan(0);
        for (const { path, message } of result.issues) {
          expectPathTo({ ...reference, path: reference.type === 'ID' ? reference.path : [...reference.path, 'id'] }, path);
          expect(message).toMatch(/must be the id of an? /);
        }
      }
    }
    expect(await contents(world.caller.organization)).toEqual(before);
  });

  if ('expectedVersion' in inputFields(field)) {
    // Compare and set: who has read something else does not write over it.
    it('refuses another version than the one expected, tells the one that is, and writes nothing', async () => {
      // An upsert would create what is not there.
      const existing = name.startsWith('upsert') ? argumentsIn(scratch, name) : undefined;
      if (existing) await resultOf(scratch, field, existing);
      const target = existing ? scratch : world;
      const before = await contents(target.caller.organization);
      const expecting = (of: BoundWorld, version: number) =>
        withValue(existing ?? argumentsIn(of, name), ['input', 'expectedVersion'], version);
      for (const version of [0, 99, -1]) {
        const result = await resultOf(target, field, expecting(target, version));
        expect(result).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT', path: ['input', 'expectedVersion'] });
        expect(result.currentVersion).toBeGreaterThan(0);
        expect(result.message).toContain(String(result.currentVersion));
      }
      expect(await contents(target.caller.organization)).toEqual(before);
      const own = /^(delete|revoke|remove)/.test(name) ? await seedBoundWorld(test) : scratch;
      const { currentVersion } = await resultOf(own, field, expecting(own, 0));
      const written = await resultOf(own, field, expecting(own, currentVersion));
      expect(written.__typename).toMatch(/Success$/);
    });
  }
});

// A variable that is left out takes its default, and what is one of a list may stand for the list: both are known before anything runs.
describe('scopes that depend on the input are known before the first mutation runs', () => {
  const first = () => `first: createIntegration(input: { name: "${newName()}" }) { __typename }`;
  const binding = `{ credential: { create: { name: "x", data: { string: { value: "v" } } } } }`;
  it.each<[string, Scope, (world: BoundWorld) => { query: string; variables: Record<string, unknown> }]>([
    [
      'the default of a variable',
      'apiKeys.delete',
      () => ({
        query: `mutation ($apiKeys: Boolean = true) { ${first()} revokeTokens(input: { subject: "nobody", apiKeys: $apiKeys }) { __typename } }`,
        variables: {},
      }),
    ],
    [
      'the default of an input',
      'credentials.post',
      ({ ids }) => ({
        query: `mutation ($id: ID!, $list: [ConnectionCredentialInput!] = [${binding}]) { ${first()} updateConnection(input: { connection: { id: $id }, actionCredentials: $list }) { __typename } }`,
        variables: { id: ids.connection },
      }),
    ],
    [
      'one for a list, as a variable',
      'credentials.post',
      ({ ids }) => ({
        query: `mutation ($input: UpdateConnectionInput!) { ${first()} updateConnection(input: $input) { __typename } }`,
        variables: {
          input: {
            connection: { id: ids.connection },
            actionCredentials: { credential: { create: { name: 'x', data: { string: { value: 'v' } } } } },
          },
        },
      }),
    ],
    [
      'one for a list, inline',
      'credentials.post',
      ({ ids }) => ({
        query: `mutation ($id: ID!) { ${first()} updateConnection(input: { connection: { id: $id }, actionCredentials: ${binding} }) { __typename } }`,
        variables: { id: ids.connection },
      }),
    ],
    [
      'what is selected of an answer',
      'endUsers.get',
      ({ ids }) => ({
        query: `mutation ($id: ID!) { ${first()} updateConnection(input: { connection: { id: $id } }) { ...F } } fragment F on UpdateConnectionSuccess { connection { ...G } } fragment G on Connection { endUser { externalId } }`,
        variables: { id: ids.connection },
      }),
    ],
    [
      'what is included',
      'credentials.delete',
      ({ ids }) => ({
        query: `mutation ($id: ID!, $yes: Boolean = true) { ${first()} deleteCredential(input: { credential: $id }) @include(if: $yes) { __typename } }`,
        variables: { id: ids.credential },
      }),
    ],
  ])('%s', async (_, scope, operation) => {
    const before = await contents(world.caller.organization);
    const { query, variables } = operation(world);
    const { status, data, errors } = await test.answer(
      { ...world.caller, scopes: scopes.filter((each) => each !== scope) },
      query,
      variables,
    );
    expect([status, data, errors!.map(({ extensions }) => extensions)]).toEqual([403, undefined, [{ code: 'FORBIDDEN', scope }]]);
    expect(await contents(world.caller.organization)).toEqual(before);
  });
});

/** References like the one given, to what there is none of: each way to name it. */
function missingFor({ type, noun }: Reference): unknown[] {
  if (type === 'ID') return [missingId(noun === 'any' ? 'credential' : noun)];
  return world.refs[type]!.map((ref) => missingLike(ref));
}

/** References whose lack is told as another's, on purpose. */
const toldTogether: Readonly<Record<string, readonly string[]>> = {
  // There is no such contact, whether it is the end user that there is none of or the contact: one answer for both.
  'createSSOLink.input.endUser': ['input', 'endUser'],
};

/** A path leads to a reference when it stops at it, before it, or at what it names within. */
function expectPathTo(reference: Reference, path: readonly string[]): void {
  expect(path.length).toBeGreaterThan(0);
  expect(reference.path.map(String).slice(0, path.length)).toEqual(path.slice(0, reference.path.length));
}
