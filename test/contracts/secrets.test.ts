import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Redacted } from '../../src/redacted.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { argumentsIn, needsConsent } from './mutations.ts';
import { type Field, mutationFields, objectsOf, operationOf, types } from './walk.ts';

// A mutation that answers a secret can be sent once in a request: else one request takes as many as there are aliases.
const test = useTestGateway();
// Everything is selected.
test.limits = { ...test.limits, maxAliases: 10_000, maxTokens: 100_000, maxCost: 10_000_000 };
let world: BoundWorld;
beforeAll(async () => {
  world = await seedBoundWorld(test);
});
afterEach(() => void vi.restoreAllMocks());

const perRequest = ({ extensions }: Field) => (extensions as { perRequest?: number }).perRequest;

/** A short prefix for each type: in a union, fields of one name can have different types, and a document has a maximum length. */
const prefixOf = new Map(types.map(({ name }, index) => [name, `t${index}`]));

/** Everything that can be selected of an answer without arguments, to a depth at which all secrets are. */
function everythingOf(field: Field, depth = 5): string {
  const objects = objectsOf(field);
  if (objects.length === 0) return '';
  if (depth === 0) return '{ __typename }';
  const parts = objects.map((type) => {
    // Of what an object only refers to, everything is asked for where it is the result itself.
    const refersTo = type.name.endsWith('Success')
      ? /^$/
      : /^(integration|endUser|connector|owner|object|cause|credential|connection|(client|mtls|privateKey)Credential)$/;
    const selectable = Object.values(type.getFields()).filter(({ args, name }) => args.length === 0 && !refersTo.test(name));
    return `... on ${type.name} { __typename ${selectable.map((each) => `${prefixOf.get(type.name)}_${each.name}: ${each.name} ${everythingOf(each, depth - 1)}`).join(' ')} }`;
  });
  return `{ ${parts.join(' ')} }`;
}

describe('a mutation that answers a secret', () => {
  const answering: string[] = [];
  it.each(mutationFields.filter(({ name }) => !needsConsent.includes(name)).map((field) => [field.name, field] as const))(
    '%s declares how often a request can contain it, if it is one',
    async (name, field) => {
      const own = /^(delete|revoke)/.test(name) ? await seedBoundWorld(test) : world;
      // Whoever makes the text of an answer takes the plaintext out of its wrapping, in `schema/`.
      const exposed: string[] = [];
      const expose = Redacted.prototype.expose;
      vi.spyOn(Redacted.prototype, 'expose').mockImplementation(function (this: Redacted) {
        if (/\/src\/schema\//.test(String(new Error().stack).split('\n').slice(2, 6).join('\n'))) exposed.push(name);
        return expose.call(this);
      });
      const { query, variables } = operationOf(field, argumentsIn(own, name), everythingOf(field));
      const { result } = await test.query(own.caller, query, variables);
      expect(result.__typename).toMatch(/Success$/);
      if (exposed.length > 0) {
        answering.push(name);
        expect(perRequest(field)).toBe(1);
      }
    },
  );

  it('is one of those that are known', () => {
    expect(answering.sort()).toEqual([
      'authorizeRequest',
      'createAPIKey',
      'createEndUserToken',
      'createSSOLink',
      'createWebhook',
      'revealSecret',
      'rotateAPIKey',
      'rotateWebhookSecret',
    ]);
    expect(
      mutationFields
        .filter(perRequest)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(answering);
    expect(types.length).toBeGreaterThan(50);
  });

  it.each(mutationFields.filter(perRequest).map((field) => [field.name, field] as const))(
    '%s is refused twice in a request, and writes nothing',
    async (name, field) => {
      const { query, variables } = operationOf(field, argumentsIn(world, name), '{ __typename }');
      const twice = query.replace('result:', `first: ${name}(input: $input) { __typename } result:`);
      const commands = await test.countCommands(async () => {
        const { errors, data } = await test.answer(world.caller, twice, variables);
        expect([data, errors!.map(({ extensions }) => extensions)]).toEqual([
          undefined,
          [{ code: 'LIMIT_EXCEEDED', limit: 'PER_REQUEST', maximum: 1 }],
        ]);
      });
      expect(commands).toEqual([]);
    },
  );
});
