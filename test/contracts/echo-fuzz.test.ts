import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  coerceInputValue,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  getNamedType,
  isCompositeType,
  isInputObjectType,
  isNonNullType,
  isObjectType,
  isRequiredInputField,
  isUnionType,
} from 'graphql';
import { BSON, MongoServerError } from 'mongodb';
import { Error as MongooseError } from 'mongoose';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import type { Limits } from '../../src/limits.ts';
import { exampleData } from '../credential-kinds/examples.ts';
import type { Json } from '../harness.ts';
import { credentialKinds, kindOf } from '../kinds.ts';
import { serve } from '../serve.ts';
import { type Wire, wireTo } from '../wire.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { Canaries } from './canaries.ts';
import { envelopes, harmlessEnvelopes, type Planted } from './envelopes.ts';
import { LeakDetector } from './leak-detector.ts';
import { argumentsIn, needsConsent } from './mutations.ts';
import {
  isCredentialData,
  kindOfData,
  leafPlaces,
  literal,
  type Path,
  placeAt,
  type Spot,
  spotsIn,
  type Tree,
  treeOf,
  valueAt,
  variantsOf,
} from './places.ts';
import { plant } from './plant.ts';
import {
  type Field,
  inputFields,
  isPage,
  mutationFields,
  operationKind,
  operationOf,
  resultSelection,
  schema,
  selectionOf,
  subscriptionFields,
  titleOf,
  withValue,
} from './walk.ts';

// Whatever a caller sends, and wherever: it does not come back, is not logged and not written, unless it was right and is not secret.
//
//   SHOW_FUZZ=1   prints what was planted and searched
//   FUZZ_SEED=…   chooses as a run did that failed

const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31));
const test = useTestGateway();
// Production logs less: the same without messages.
test.logsDefectMessages = true;
const canaries = new Canaries();
const detector = new LeakDetector(test, canaries, seed);
const mutations = mutationFields.map((field) => [field.name, field] as const);
const subscriptions = subscriptionFields.map((field) => [titleOf(field), field] as const);
/** Those that can succeed without a service of somebody else. */
const carriedOut = mutations.filter(([name]) => !needsConsent.includes(name));
let world: BoundWorld;
let authorization: string;

/** What was done; compared with what the schema has at the end. */
const sentTo = new Map<string, number>();
const brokenAt = new Set<string>();
const sealedAt = new Set<string>();
const shownAt = new Set<string>();
const faults = new Map<string, number>();

beforeAll(async () => {
  world = await seedBoundWorld(test);
  authorization = `Bearer ${await test.token(world.caller)}`;
  detector.listen();
});
afterAll(() => {
  vi.restoreAllMocks();
});

function count(field: Field): void {
  sentTo.set(titleOf(field), (sentTo.get(titleOf(field)) ?? 0) + 1);
}

const selected = (field: Field) => (subscriptionFields.includes(field) ? selectionOf(field) : resultSelection(field));

/** Asks for a mutation with arguments of their types. */
function ask(field: Field, what: string, args: Readonly<Record<string, unknown>>, selection = selected(field), as = authorization) {
  count(field);
  return detector.send(what, operationOf(field, args, selection), as);
}

/** The operation with its arguments in the document, as default values, or in a fragment. */
function inDocument(field: Field, args: Readonly<Record<string, unknown>>, form: number): string {
  const given = field.args.filter(({ name }) => name in args);
  const written = (write: (arg: (typeof given)[number]) => string) => (given.length > 0 ? `(${given.map(write).join(', ')})` : '');
  const inline = written(({ name, type }) => `${name}: ${literal(type, args[name])}`);
  const call = (list: string) => `result: ${field.name}${list} ${selected(field)}`;
  const kind = operationKind(field);
  switch (form % 4) {
    case 0:
      return `${kind} ${written(({ name, type }) => `$${name}: ${type} = ${literal(type, args[name])}`)} { ${call(written(({ name }) => `${name}: $${name}`))} }`;
    case 1:
      return `${kind} { ...F } fragment F on ${rootOf(field)} { ${call(inline)} }`;
    case 2:
      return `${kind} { ... on ${rootOf(field)} @include(if: true) { ${call(inline.replace(/"(qHunter2z\w+)"/g, '"""$1"""'))} } }`;
    default:
      return `${kind} { ${call(inline)} }`;
  }
}

const rootOf = (field: Field) => `${operationKind(field)[0]!.toUpperCase()}${operationKind(field).slice(1)}`;

// ------------------------------------------------------------------------------------------------------------ what is not of its type

/** A valid value, which nothing but a text makes wrong. */
function hiddenValue(field: Field): (spot: Spot) => unknown {
  return ({ type, path }) => {
    const examples: Readonly<Record<string, unknown>> = {
      Int: 1,
      Float: 1,
      Boolean: true,
      DateTime: '2031-01-01T00:00:00Z',
      EmptyObject: {},
    };
    const { name } = getNamedType(type);
    return name in examples ? examples[name] : canaries.hidden(placeAt(field, path));
  };
}

function isBroken(type: GraphQLInputType, value: unknown): boolean {
  let broken = false;
  coerceInputValue(value, type, () => {
    broken = true;
  });
  return broken;
}

interface Broken {
  readonly args: Record<string, unknown>;
  readonly paths: readonly Path[];
}
const breaking = (tree: Tree, changes: readonly (readonly [Path, unknown])[], paths = changes.map(([path]) => path)): Broken => ({
  args: changes.reduce((args, [path, value]) => withValue(args, path, value), tree.args),
  paths,
});

/** Ways in which a scalar or an enum can be wrong. */
const wrongLeaves: Readonly<Record<string, (place: string) => unknown>> = {
  'an object': (place) => ({ [canaries.hidden(place)]: canaries.hidden(place) }),
  'a list': (place) => [canaries.hidden(place)],
  'a number': (place) => canaries.number(place),
  'a fraction': (place) => canaries.number(place) / 1e5,
  'a truth value': () => true,
  'a text': (place) => canaries.hidden(place),
  null: () => null,
};

/** Ways in which all objects of a tree can be wrong at once. */
const wrongObjects: Readonly<Record<string, (field: Field, tree: Tree) => Broken>> = {
  'a member of an unknown name': (field, tree) => withMembers(tree, (place) => ({ [canaries.hidden(place)]: 1 }), field),
  'a member of an unknown value': (field, tree) => withMembers(tree, (place) => ({ notAMember: { a: [canaries.hidden(place)] } }), field),
  'a member missing': (_, tree) => {
    const missing = [...tree.objects].reverse().flatMap(({ path, type }) => {
      const required = Object.values((getNamedType(type) as GraphQLInputObjectType).getFields()).filter(isRequiredInputField);
      const [first] = required.sort(
        (a, b) => Number(isInputObjectType(getNamedType(a.type))) - Number(isInputObjectType(getNamedType(b.type))),
      );
      return first ? [[...path, first.name]] : [];
    });
    const args = missing.reduce((all, path) => withValue(all, path, undefined), tree.args);
    return { args, paths: missing.filter((path) => valueAt(args, path.slice(0, -1)) !== undefined) };
  },
};
function withMembers(tree: Tree, members: (place: string) => object, field: Field): Broken {
  const args = tree.objects.reduce(
    (all, { path }) => withValue(all, path, { ...(valueAt(all, path) as object), ...members(placeAt(field, path)) }),
    tree.args,
  );
  return { args, paths: tree.objects.map(({ path }) => path) };
}

/** Ways in which one object can be wrong, that hide what is below. */
const wrongObject: Readonly<Record<string, (tree: Tree, spot: Spot, word: string) => unknown>> = {
  'a text for an object': (_tree, _spot, word) => word,
  'a list for an object': (_tree, _spot, word) => [[word]],
  'two members of one': (tree, { path, type }, word) => {
    const [given] = Object.keys(valueAt(tree.args, path) as object);
    const other = Object.keys((getNamedType(type) as GraphQLInputObjectType).getFields()).find((name) => name !== given);
    return other && { ...(valueAt(tree.args, path) as object), [other]: word };
  },
  'no member of one': () => ({}),
  'null for the one member': (tree, { path }) =>
    Object.fromEntries(Object.keys(valueAt(tree.args, path) as object).map((name) => [name, null])),
};

it.each([...mutations, ...subscriptions])('%s: what is not of its type is refused, by path, unseen', async (_, field) => {
  const seen = new Set<string>();
  let turn = seed;
  const refused = async (way: string, { args, paths }: Broken) => {
    if (paths.length === 0) return;
    count(field);
    for (const path of paths) brokenAt.add(placeAt(field, path));
    const what = `${field.name}, ${way}`;
    const byVariables = operationOf(field, args, selected(field));
    const { variables } = byVariables;
    // Code has no stream.
    const isFromCode = turn % 3 === 0 && operationKind(field) !== 'subscription';
    const outcomes = [await detector.send(`${what}, in variables`, byVariables, authorization)];
    if (isFromCode)
      outcomes.push(await detector.execute(`${what}, in variables, from code`, world.caller.organization, byVariables.query, variables));
    const wanted = new Set(paths.map(([first, ...rest]) => JSON.stringify([`$${first}`, ...rest.map(String)])));
    for (const outcome of outcomes) {
      const told = outcome.paths.filter((path) => wanted.has(JSON.stringify(path)));
      expect([what, outcome.isDone, new Set(told.map(String)).size >= Math.min(45, wanted.size)], outcome.text).toEqual([
        what,
        false,
        true,
      ]);
    }
    // In the document each second one: another half with another seed.
    if (turn++ % 2 === 0) return;
    const document = inDocument(field, args, turn >> 1);
    const inline = isFromCode
      ? await detector.execute(`${what}, in the document, from code`, world.caller.organization, document)
      : await detector.send(`${what}, in the document`, { query: document }, authorization);
    expect([what, inline.isDone, inline.isPlaced], `${inline.text}\n${document}`).toEqual([what, false, true]);
  };

  for (const variant of variantsOf(field)) {
    const tree = treeOf(field, variant, hiddenValue(field));
    const isNew = ({ path }: Spot) => !seen.has(path.join('.'));
    const newLeaves = tree.leaves.filter(isNew);
    const newObjects = tree.objects.filter(isNew);
    for (const { path } of [...newLeaves, ...newObjects]) seen.add(path.join('.'));

    for (const [way, wrong] of Object.entries(wrongLeaves)) {
      const values = newLeaves.map((spot) => [spot, wrong(placeAt(field, spot.path))] as const);
      const broken = values.filter(([{ type }, value]) => isBroken(type, value));
      await refused(
        `${way} for ${newLeaves.length} values of variant ${variant}`,
        breaking(
          tree,
          broken.map(([{ path }, value]) => [path, value]),
        ),
      );
    }
    for (const [way, wrong] of Object.entries(wrongObjects))
      if (newObjects.length > 0) await refused(`${way}, variant ${variant}`, wrong(field, tree));
    for (const spot of newObjects) {
      for (const [way, wrong] of Object.entries(wrongObject)) {
        const value = wrong(tree, spot, canaries.hidden(placeAt(field, spot.path)));
        const { isOneOf } = getNamedType(spot.type) as GraphQLInputObjectType;
        if (value === undefined || (!isOneOf && /\bone\b/.test(way)) || !isBroken(spot.type, value)) continue;
        await refused(`${way} at ${spot.path.join('.')}`, {
          args: withValue(tree.args, spot.path, value),
          paths: [spot.path],
        });
      }
    }
  }
  detector.expectNoLeaks();
});

// ---------------------------------------------------------------------------------------------------- requests that are wrong as a whole

/** Arguments that are of their types, all texts of them to be looked for; with a secret among them, where there can be one. */
function plantedIn(field: Field): Planted {
  const variants = variantsOf(field);
  const secretOnes = variants.filter((variant) => treeOf(field, variant, () => '').leaves.some(({ isSecret }) => isSecret));
  const from = secretOnes.length > 0 ? secretOnes : variants;
  const { args } = treeOf(field, from[seed % from.length]!, hiddenValue(field));
  return { mutation: field.name, ...operationOf(field, args, selected(field)), variables: args, inline: inDocument(field, args, 3) };
}

it.each([...mutations, ...subscriptions])('%s: a request that is wrong is refused, unseen', async (_, field) => {
  const word = () => canaries.hidden(`${field.name}: an envelope`);
  const planted = plantedIn(field);
  for (const [turn, [way, sending]] of Object.entries(envelopes(planted, word)).entries()) {
    // Each way by each third mutation: by others with another seed.
    if ((turn + seed + mutationFields.indexOf(field)) % 3 !== 0) continue;
    count(field);
    const { isDone, status, text } = await detector.sendAs(`${field.name}, ${way}`, world.caller, sending);
    expect([way, isDone, status < 500], text).toEqual([way, false, true]);
    if (status !== 404) expect([way, text]).toEqual([way, expect.stringMatching(/"code":"[A-Z_]+"/)]);
    if (typeof sending.body === 'string' && sending.body.startsWith('{"query"')) {
      const { query, variables } = readable(sending.body);
      if (typeof query === 'string')
        await detector.execute(`${field.name}, ${way}, from code`, world.caller.organization, query, variables);
    }
  }
  for (const [way, sending] of Object.entries(harmlessEnvelopes(planted, word))) {
    count(field);
    const { isDone, status, text } = await detector.sendAs(`${field.name}, ${way}`, world.caller, sending);
    expect([way, isDone, status < 500], text).toEqual([way, false, true]);
  }
  detector.expectNoLeaks();
});

it.each(subscriptions)(
  '%s: a cursor or a reference that names nothing, and a database that fails, are told without their values',
  async (_, field) => {
    const place = `${titleOf(field)}: a cursor`;
    for (const [way, wrong] of Object.entries({ 'a word': (word: string) => word, ...wrongTexts })) {
      const { isDone, paths, text } = await ask(field, `${place}, ${way}`, { after: wrong(canaries.hidden(place)) });
      expect([way, isDone, paths], text).toEqual([way, false, [['after']]]);
    }
    const { query } = operationOf(field, {}, selectionOf(field));
    const outcome = await detector.sendAs(`${place} as an id`, world.caller, {
      body: JSON.stringify({ query }),
      headers: { accept: 'text/event-stream', 'last-event-id': canaries.hidden(place) },
    });
    expect([outcome.status, outcome.paths], outcome.text).toEqual([200, [['Last-Event-ID']]]);
    for (const { name, type } of field.args) {
      for (const [index, ref] of (world.refs[getNamedType(type).name] ?? []).entries()) {
        const missing = JSON.parse(JSON.stringify(ref), (key, value) =>
          typeof value === 'string' && key !== 'id' ? canaries.hidden(`${titleOf(field)}: ${name}`) : value,
        );
        if (JSON.stringify(missing) === JSON.stringify(ref)) continue;
        const refused = await ask(field, `${name}, reference ${index} to nothing`, { [name]: missing });
        expect([index, refused.paths.length > 0], refused.text).toEqual([index, true]);
      }
    }
    detector.expectNoLeaks();
  },
);

function readable(body: string): { query?: unknown; variables?: Record<string, unknown> } {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}

// ---------------------------------------------------------------------------------------------------------- what breaks a rule of ours

/** Ways in which a text can be wrong that its type knows nothing of. */
const wrongTexts: Readonly<Record<string, (word: string) => string>> = {
  'too long': (word) => `${word.repeat(3_000)}!`,
  'half a surrogate pair': (word) => `${word}\ud800`,
  'control characters': (word) => `${word}\n\u0000${word}`,
};

it.each(mutations)('%s: a text that breaks a rule is refused, by path, unseen', async (_, field) => {
  const valid = argumentsIn(world, field.name);
  const texts = spotsIn(field, valid).leaves.filter(
    ({ type, parent }) => /^(String|ID)$/.test(getNamedType(type).name) && !kindOfData(parent),
  );
  for (const { path } of texts) {
    const place = placeAt(field, path);
    for (const [way, wrong] of Object.entries(wrongTexts)) {
      const outcome = await ask(field, `${place}, ${way}`, withValue(argumentsIn(world, field.name), path, wrong(canaries.shown(place))));
      // Prose may have line breaks.
      if (outcome.isDone && way === 'control characters') continue;
      const isNamed = outcome.paths.some((told) => path.join('.').startsWith(told.join('.')));
      expect([place, way, outcome.isDone, isNamed], outcome.text).toEqual([place, way, false, true]);
    }
  }

  // Of each kind of credential, wherever one can be made or changed.
  const places = dataPlaces(field, valid);
  for (const [turn, { path, kind, name, type }] of places.entries()) {
    const secrets = Object.keys(kind.fields).filter((each) => kind.fields[each]!.secret);
    if (secrets.length === 0) continue;
    for (const [index, [way, wrong]] of Object.entries(wrongTexts).entries()) {
      // Where they are one of many things, each kind in one of the ways.
      if (path.length > 2 && (turn + seed) % 3 !== index) continue;
      const at = [...path, name];
      const data = {
        ...exampleData(kind),
        ...Object.fromEntries(secrets.map((each) => [each, wrong(canaries.hidden(placeAt(field, [...at, each])))])),
      };
      const args = withValue(await ofKind(kind, field, type, argumentsIn(world, field.name)), path, { [name]: data });
      const outcome = await ask(field, `${placeAt(field, at)}, ${way}`, args);
      if (outcome.isDone && way === 'control characters') continue;
      const told = outcome.paths.map((each) => each.join('.'));
      const wanted = secrets.map((each) => [...at, each].join('.')).filter((each) => way !== 'control characters' || told.includes(each));
      expect([placeAt(field, at), way, outcome.isDone, told], outcome.text).toEqual([
        placeAt(field, at),
        way,
        false,
        expect.arrayContaining(wanted),
      ]);
      expect(wanted.length).toBeGreaterThan(0);
    }
  }
  detector.expectNoLeaks();
});

/** Where arguments hold the data of a credential, for each kind that can stand there. */
function dataPlaces(field: Field, args: Readonly<Record<string, unknown>>) {
  return spotsIn(field, args)
    .objects.filter(({ type }) => isCredentialData(type))
    .flatMap(({ path, type }) =>
      Object.keys((getNamedType(type) as GraphQLInputObjectType).getFields()).map((name) => ({ path, type, name, kind: kindOf(name)! })),
    );
}

/** One credential of each kind, to be changed. */
const made = new Map<string, string>();

/** The arguments, of a mutation that changes a credential with one of that kind. */
async function ofKind(kind: CredentialKind, field: Field, type: GraphQLInputType, args: Readonly<Record<string, unknown>>) {
  if (getNamedType(type).name !== 'CredentialDataChanges' || field.name !== 'updateCredential') return args;
  if (!made.has(kind.kind)) {
    const input = { integration: { id: world.ids.integration }, name: kind.kind, data: { [kind.kind]: exampleData(kind) } };
    made.set(kind.kind, (await test.create(world.caller, 'Credential', input)).id);
  }
  return withValue(args, ['input', 'credential'], made.get(kind.kind));
}

// ------------------------------------------------------------------------------------------------------------------------ what is right

/** All that a mutation answers with, down to what its objects refer to. */
function everything(field: Field): string {
  const select = (type: Json, depth: number): string => {
    const named = getNamedType(type);
    if (!isCompositeType(named)) return '';
    if (isUnionType(named)) {
      return `{ __typename ${named
        .getTypes()
        .map((member) => `... on ${member.name} ${select(member, depth)}`)
        .join(' ')} }`;
    }
    const fields = Object.values(named.getFields()).filter(
      ({ args, type: of }) => !isPage(getNamedType(of)) && !args.some(({ type: arg }) => isNonNullType(arg)),
    );
    const selected = fields.flatMap(({ name, type: of }) => {
      if (!isCompositeType(getNamedType(of))) return [name];
      return depth > 0 ? [`${name} ${select(of, depth - 1)}`] : [];
    });
    return `{ __typename ${selected.join(' ')} }`;
  };
  const success = schema.getType(`${field.name[0]!.toUpperCase()}${field.name.slice(1)}Success`);
  return `{ __typename ... on ${isObjectType(success) ? `${success.name} ${select(success, 2)}` : 'MutationError { code }'} ... on MutationError { code message } }`;
}

/** The texts of a mutation's valid arguments that can be any word, found by trying. */
const anyWord = new Map<string, readonly Path[]>();

it.each(carriedOut)('%s: what is right is kept, and what is secret is seen by nobody', async (_, field) => {
  const examples = argumentsIn(world, field.name);
  const texts = spotsIn(field, examples).leaves.filter(
    ({ type, parent }) =>
      getNamedType(type).name === 'String' && !kindOfData(parent) && !/Ref$|In(Connector|Integration)$/.test(parent?.name ?? ''),
  );
  // What takes nothing but names of what is there, such as a deletion, may succeed once only.
  const own = texts.length > 0 || dataPlaces(field, examples).length > 0 ? world : await seedBoundWorld(test);
  const token = `Bearer ${await test.token(own.caller)}`;
  const run = (what: string, args: Readonly<Record<string, unknown>>) => ask(field, what, args, everything(field), token);
  const valid = argumentsIn(own, field.name);
  const taking: Path[] = [];
  for (const { path } of texts) {
    const place = placeAt(field, path);
    // It may be shown, so that little is asked for.
    const args = withValue(argumentsIn(own, field.name), path, canaries.shown(place));
    const { isDone } = await ask(field, `${place}, a word`, args, resultSelection(field), token);
    if (!isDone) continue;
    shownAt.add(place);
    taking.push(path);
  }
  anyWord.set(field.name, taking);

  // The same kind in every place of a mutation at once.
  const places = dataPlaces(field, valid);
  for (const { name, kind, type } of places.filter((place, index) => places.findIndex((other) => other.name === place.name) === index)) {
    let args = await ofKind(kind, field, type, argumentsIn(own, field.name));
    for (const { path } of places.filter((place) => place.name === name)) {
      const data: Record<string, unknown> = { ...exampleData(kind) };
      for (const [each, described] of Object.entries(kind.fields).filter(([, { secret }]) => secret)) {
        const place = placeAt(field, [...path, name, each]);
        const planted = plant(kind, each, described, canaries.hidden(place));
        canaries.texts(planted.canaries, place);
        data[each] = planted.value;
        sealedAt.add(place);
      }
      args = withValue(args, path, { [name]: data });
    }
    const outcome = await run(`${field.name}, a valid ${name}`, args);
    // A kind that is refused at present is refused, and shows as little.
    expect([name, outcome.isDone], outcome.text).toEqual([name, !kind.refusal]);
  }
  const last = await run(`${field.name}, valid`, argumentsIn(own, field.name));
  expect(last.isDone, last.text).toBe(true);
  detector.expectNoLeaks();
});

/** Arguments that would succeed, with words to look for in all texts that can be any word, and in a secret where there is one. */
function plantedArguments(field: Field): Readonly<Record<string, unknown>> {
  const args = argumentsIn(world, field.name);
  const secrets = spotsIn(field, args).leaves.filter(({ isSecret }) => isSecret);
  const shown = (anyWord.get(field.name) ?? []).reduce(
    (changed, path) => withValue(changed, path, canaries.shown(placeAt(field, path))),
    args,
  );
  return secrets.reduce((changed, { path }) => withValue(changed, path, canaries.hidden(placeAt(field, path))), shown);
}

// -------------------------------------------------------------------------------------------------- conflicts, and what is not there

it.each(mutations)('%s: a conflict, or a name that nothing has, is told without its values', async (_, field) => {
  if ('expectedVersion' in inputFields(field)) {
    const args = withValue(plantedArguments(field), ['input', 'expectedVersion'], 4_711);
    const { paths, isDone, text } = await ask(field, `${field.name}, another version`, args);
    expect([isDone, paths], text).toEqual([false, [['input', 'expectedVersion']]]);
  }
  if (/^create/.test(field.name) && (anyWord.get(field.name) ?? []).some((path) => path.at(-1) === 'name')) {
    const args = plantedArguments(field);
    const first = await ask(field, `${field.name}, a new name`, args);
    expect(first.isDone, first.text).toBe(true);
    const again = await ask(field, `${field.name}, a name that is taken`, args);
    // The names of credentials need not be unique.
    if (!again.isDone) expect(again.paths, again.text).toEqual([['input', 'name']]);
  }
  // Every name in a reference is of something that is not there.
  for (const { path, type } of spotsIn(field, argumentsIn(world, field.name)).objects) {
    for (const [index, ref] of (world.refs[getNamedType(type).name] ?? []).entries()) {
      const hide = (name: string, value: unknown) =>
        typeof value === 'string' && name !== 'id' ? canaries.hidden(placeAt(field, path)) : value;
      const missing = JSON.parse(JSON.stringify(ref), hide);
      if (JSON.stringify(missing) === JSON.stringify(ref)) continue;
      const outcome = await ask(
        field,
        `${placeAt(field, path)}, reference ${index} to nothing`,
        withValue(plantedArguments(field), path, missing),
      );
      // What is refused for another reason first, is refused for a reason that has no path.
      const isTold = outcome.paths.length > 0 || /EMAIL_NOT_VERIFIED/.test(outcome.text);
      expect([path, outcome.isDone, isTold], outcome.text).toEqual([path, false, true]);
    }
  }
  detector.expectNoLeaks();
});

// ---------------------------------------------------------------------------------------------------------------------- what goes wrong

/** How a database says no: each of its errors repeats what it was sent. */
const databaseFaults: Readonly<Record<string, (sent: string) => object>> = {
  'a document that fails its validation': (sent) => ({
    ok: 0,
    code: 121,
    codeName: 'DocumentValidationFailure',
    errmsg: sent,
    errInfo: { sent },
  }),
  'a duplicate key': (sent) => ({ ok: 0, code: 11000, keyPattern: { [sent]: 1 }, keyValue: { name: sent }, errmsg: `E11000 ${sent}` }),
  'a time-out': (sent) => ({ ok: 0, code: 50, codeName: 'MaxTimeMSExpired', errmsg: sent }),
  'a document too large': (sent) => ({ ok: 0, code: 10334, codeName: 'BSONObjectTooLarge', errmsg: sent }),
  'an error without a code': (sent) => ({ ok: 0, errmsg: sent }),
  'a write error': (sent) => ({ ok: 1, n: 0, nModified: 0, writeErrors: [{ index: 0, code: 2, errmsg: sent, keyValue: { sent } }] }),
};

it('a database that fails, and repeats what it was sent, is not quoted', async () => {
  const direct = test.uri;
  expect(await test.database.command({ ping: 1 })).toBeDefined();
  const wire: Wire = await wireTo(direct);
  await test.close();
  test.uri = wire.uri;
  await test.open();
  try {
    for (const field of mutationFields) {
      for (const [turn, [way, fault]] of Object.entries(databaseFaults).entries()) {
        const commands = [['insert'], ['update', 'findAndModify', 'delete'], ['find', 'aggregate']][(turn + seed) % 3]!;
        const args = plantedArguments(field);
        const refusal = wire.refuse(commands, (sent) => fault(`${sent} ${JSON.stringify(args)}`));
        const { isDone, text } = await ask(field, `${field.name}, ${way} on ${commands[0]}`, args);
        refusal.end();
        if (refusal.count === 0) continue;
        faults.set(field.name, (faults.get(field.name) ?? 0) + 1);
        expect([field.name, way, isDone, text]).toEqual([
          field.name,
          way,
          false,
          expect.stringMatching(/INTERNAL_SERVER_ERROR|TIMEOUT|CONFLICT/),
        ]);
      }
    }
  } finally {
    await test.close();
    test.uri = direct;
    await test.open();
    await wire.close();
  }
  detector.expectNoLeaks();
});

it('a defect in the domain is not quoted, whatever its error holds', async () => {
  const usual = test.time;
  for (const [, field] of carriedOut) {
    const args = plantedArguments(field);
    const word = canaries.hidden(`${field.name}: a defect`);
    for (const thrown of [
      Object.assign(new Error(`${word}\n    at ${word} (${word}:1:1)`), {
        code: word,
        value: word,
        path: word,
        errors: { [word]: { value: word } },
      }),
      Object.assign(new Error(word, { cause: new Error(word) }), { name: word }),
      Object.assign(new Error(word), {
        extensions: { http: { status: 400, headers: { [word]: word } }, [word]: word },
        toJSON: () => word,
      }),
      // Errors of libraries hold values.
      new MongooseError.CastError('String', word, word),
      Object.assign(new MongooseError.ValidationError(), {
        message: word,
        errors: { [word]: new MongooseError.CastError('String', word, word) },
      }),
      new MongoServerError({ message: word, errmsg: word, code: 121, keyValue: { [word]: word }, errInfo: { [word]: word } }),
      z.literal('x', { error: () => word }).safeParse(word).error,
      // Of a message that is ours, all that is not.
      new TypeError(`Cannot read properties of undefined (reading '${word}')`, { cause: new Error(`The value is ${inspect(args)}`) }),
      new Error(
        [
          JSON.stringify(args),
          encodeURIComponent(JSON.stringify(args)),
          Buffer.from(word).toString('base64'),
          word.slice(0, 12),
          word.toUpperCase(),
        ]
          .map((form) => `the value ${form} is not valid, for the value "${form.slice(3)}' is not`)
          .join('; '),
      ),
      word,
      { message: word, stack: word },
    ]) {
      // The time is asked for to check the token, too.
      test.time = () => {
        if (!/\/src\/domain\//.test(new Error().stack!)) return usual();
        throw thrown;
      };
      const { isDone, text } = await ask(field, `${field.name}, a defect`, args);
      test.time = usual;
      expect([field.name, isDone, text], text).toEqual([field.name, false, expect.stringContaining('INTERNAL_SERVER_ERROR')]);
    }
  }
  detector.expectNoLeaks();
});

it('what is beyond its limits of time and rate is refused, unseen', async () => {
  const usual = test.limits;
  for (const [limits, code] of [
    [{ operationSeconds: 0 }, 'TIMEOUT'],
    [{ rateLimit: 10 }, 'RATE_LIMITED'],
    [{ maxCost: 1 }, 'COST_LIMIT_EXCEEDED'],
    [{ maxBodyBytes: 30 }, 'BAD_REQUEST'],
  ] as [Partial<Limits>, string][]) {
    await test.close();
    test.limits = { ...usual, ...limits };
    await test.open();
    try {
      for (const field of mutationFields) {
        const args = plantedArguments(field);
        const { text } = await ask(field, `${field.name}, ${code}`, args);
        // What has begun when its time is up may be carried out.
        if (code === 'TIMEOUT') detector.take(JSON.stringify(args));
        expect([field.name, text]).toEqual([field.name, expect.stringContaining(code)]);
      }
    } finally {
      await test.close();
      test.limits = usual;
      await test.open();
    }
  }
  detector.expectNoLeaks();
});

it('what is no HTTP, or half of it, is refused, unseen', async () => {
  const { port, stop } = await serve(test.gateway.requestListener);
  const word = () => canaries.hidden('a line of HTTP');
  const end = () => `Authorization: ${authorization}\r\nContent-Type: application/json\r\nConnection: close\r\n`;
  for (const lines of [
    `${word()}\r\n\r\n`,
    `${word()} /graphql HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /${word()} HTTP/9.9\r\nHost: ${word()}\r\n\r\n`,
    `GET http://${word()}:${word()}/ HTTP/1.1\r\nHost: ${word()}:${word()}\r\n${end()}\r\n`,
    `GET /graphql?query=%${word()} HTTP/1.1\r\nHost: x\r\n${end()}\r\n`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\n${word()}\r\n${end()}\r\n`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: ${word()}\r\n${end()}\r\n`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\nExpect: ${word()}\r\nContent-Length: 3\r\n${end()}\r\nabc`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n${end()}\r\n${word()}\r\n`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\nX: ${word().repeat(2_000)}\r\n${end()}\r\n`,
    `POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n${end()}\r\n{"query":"${word()}`,
    `CONNECT ${word()}:443 HTTP/1.1\r\nHost: ${word()}\r\n\r\n`,
    `OPTIONS /graphql HTTP/1.1\r\nHost: x\r\nOrigin: https://${word()}\r\nAccess-Control-Request-Headers: ${word()}\r\nConnection: close\r\n\r\n`,
    `GET /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nCookie: ${word()}\r\nReferer: http://x/${word()}\r\nConnection: close\r\n\r\n`,
    `GET /graphql?query=${word()}&variables=${word()}&token=${word()} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n`,
  ]) {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.write(lines);
    // Half a request ends when its sender goes.
    setTimeout(() => socket.end(), 150);
    await once(socket, 'close');
    detector.search(`HTTP: ${lines.replaceAll(/qHunter2z\w+/g, '…').slice(0, 40)}`, {
      status: 0,
      headers: new Headers(),
      text,
      data: undefined,
      errors: undefined,
    });
  }
  await stop();
  detector.expectNoLeaks();
});

// ---------------------------------------------------------------------------------------------------------------------- after all that

it('the database holds what was taken, and nothing that is secret or was refused', async () => {
  await test.gateway.audit.seal();
  const found = new Set<string>();
  for (const { name } of await test.database.listCollections({}, { nameOnly: true }).toArray()) {
    const documents: Json[] = await test.database.collection(name).find({}).toArray();
    detector.searched.documents += documents.length;
    for (const document of documents) {
      const where = `${name}, ${document.action ?? document.kind ?? document.name ?? ''}`;
      const content = `${JSON.stringify(document)}\n${Buffer.from(BSON.serialize(document)).toString('latin1')}`;
      const hidden = canaries.hiddenIn(content);
      if (hidden) detector.report(`${where} holds what was planted as ${hidden}`);
      for (const word of canaries.shownIn(content)) {
        found.add(word);
        if (!detector.taken.has(word)) detector.report(`${where} holds what was refused as ${canaries.placeOf(word)}`);
      }
      // Elsewhere than in the records themselves, there is only the reason that was given for a reveal.
      const { reason: _, ...rest } = document;
      if (/^(audit|rateLimit|organization|dataKey|key|secret)/i.test(name) && canaries.shownIn(JSON.stringify(rest)).length > 0)
        detector.report(`${where} holds a value`);
    }
  }
  expect(found.size).toBeGreaterThan(10);
  detector.expectNoLeaks();
});

it('the files of the embedded database do, too', () => {
  if (!test.directory) return;
  for (const file of readdirSync(test.directory, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())) {
    const content = readFileSync(join(file.parentPath, file.name)).toString('latin1');
    detector.searched.bytesOfFiles += content.length;
    const hidden = canaries.hiddenIn(content);
    if (hidden) detector.report(`${file.name} holds what was planted as ${hidden}`);
  }
  expect(detector.searched.bytesOfFiles).toBeGreaterThan(100_000);
  detector.expectNoLeaks();
});

it('met every mutation, every place and every secret that there is', () => {
  const places = mutationFields.flatMap((field) => [...leafPlaces(field)]);
  // A connection has room for fewer credentials than there are kinds, so that this one mutation is not repeated with each kind. What it makes is
  // made as in the lists of `createConnection`.
  const isRepeated = (place: string) => !place.startsWith('addConnectionCredential:');
  const isCarriedOut = (place: string) => carriedOut.some(([name]) => place.startsWith(`${name}:`));
  const secretPlaces = places.flatMap(([place, isSecret]) => (isSecret && isRepeated(place) && isCarriedOut(place) ? [place] : []));
  expect([...sentTo.keys()].sort()).toEqual([...mutationFields, ...subscriptionFields].map(titleOf).sort());
  expect([...faults.keys()].sort()).toEqual(carriedOut.map(([name]) => name).sort());
  for (const [place] of places) expect([place, brokenAt.has(place)]).toEqual([place, true]);
  expect([...sealedAt].sort()).toEqual(secretPlaces.sort());

  // Counted by the descriptors alone: what is made takes every kind, what is changed those that are kept.
  const secretsOf = (kinds: readonly CredentialKind[]) =>
    kinds.flatMap(({ fields }) => Object.values(fields).filter(({ secret }) => secret)).length;
  const repeated = mutationFields.filter(({ name }) => isRepeated(`${name}:`));
  const dataPlaces = repeated.flatMap((field) => [
    ...new Set(
      variantsOf(field).flatMap((variant) =>
        treeOf(field, variant, () => '')
          .objects.filter(({ type }) => isCredentialData(type))
          .map(({ path, type }) => `${path.join('.')}: ${getNamedType(type).name}`),
      ),
    ),
  ]);
  const expected = dataPlaces.map((place) =>
    secretsOf(place.endsWith('Changes') ? credentialKinds.filter(({ storedAs }) => !storedAs) : credentialKinds),
  );
  expect(secretPlaces.length).toBe(expected.reduce((sum, each) => sum + each, 0));

  if (!process.env.SHOW_FUZZ) return;
  const requests = [...sentTo.values()].reduce((sum, each) => sum + each, 0);
  const summary = {
    seed,
    mutations: sentTo.size,
    places: places.length,
    secretPlaces: secretPlaces.length,
    placesOfWordsThatMayBeShown: shownAt.size,
    cases: requests,
    planted: canaries.count,
    databaseFaults: [...faults.values()].reduce((sum, each) => sum + each, 0),
    searched: detector.searched,
  };
  process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
});

// A search that finds nothing proves nothing unless it can find.
it('the search finds a word, whole or cut, as text and encoded', async () => {
  const word = canaries.hidden('here');
  for (const text of [
    word,
    word.slice(0, 12),
    word.slice(-12),
    word.toUpperCase(),
    encodeURIComponent(`{"a":"${word}"}`),
    JSON.stringify(JSON.stringify({ word })),
    ...['', 'a', 'ab'].flatMap((before) => [
      Buffer.from(`${before}${word}.`).toString('base64'),
      Buffer.from(`${before}${word}.`).toString('base64url'),
    ]),
    Buffer.from(word).toString('hex'),
    Buffer.from(word, 'utf16le').toString('latin1'),
    String(canaries.number('here')),
    String(canaries.number('here') / 1e5),
    Buffer.from(BSON.serialize({ a: [word] })).toString('latin1'),
  ]) {
    expect([text, canaries.hiddenIn(`..${text}..`)]).toEqual([text, expect.any(String)]);
  }
  expect(canaries.hiddenIn(`..${word}..`)).toBe('here');
});
