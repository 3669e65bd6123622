import { getNamedType } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { nounTable } from '../../src/access/nouns.ts';
import { confinedScopes, type Noun, nouns, readScope, type Scope, scopes } from '../../src/access/scopes.ts';
import { rememberingContents } from '../database.ts';
import type { Answer, Caller, Json } from '../harness.ts';
import { type BoundWorld, missingId, missingLike, seedBoundWorld, seedEndUserWorld } from '../world.ts';
import { comparable, useTestGateway } from './answers.ts';
import { argumentsIn } from './mutations.ts';
import {
  type Field,
  isPage,
  mutationFields,
  operationOf,
  queryFields,
  type Reference,
  readFields,
  referencesIn,
  resultSelection,
  scopeOf,
  selectionOf,
  subscriptionFields,
  titleOf,
  withValue,
} from './walk.ts';

// Two who have one of everything, on two sides of a boundary. Neither can read, change, delete, use, attach or count what is the other's, and
// is told of it exactly what it is told of what does not exist.
const test = useTestGateway();
test.federation = { adds: ['credentials'] };
const contents = rememberingContents(test);
// The clock stands: an API key that is used notes so once a minute, which would be a command more here and there.
const start = new Date();
test.time = () => start;

interface Sides {
  readonly ours: BoundWorld;
  readonly theirs: BoundWorld;
}

/** Each boundary: what one on this side can be allowed, and how the two sides are made. */
const boundaries: readonly [string, readonly Scope[], () => Promise<Sides>][] = [
  ['two organizations', scopes, async () => ({ ours: await seedBoundWorld(test), theirs: await seedBoundWorld(test) })],
  [
    'two integrations of an organization, each by an API key that is limited to it',
    confinedScopes.integration,
    async () => {
      const ours = await seedBoundWorld(test);
      return { ours: await byAPIKey(ours), theirs: await byAPIKey(await seedBoundWorld(test, ours.caller.organization)) };
    },
  ],
  [
    'two end users of an integration, each by a token of its own',
    confinedScopes.endUser,
    async () => {
      const world = await seedBoundWorld(test);
      return { ours: await seedEndUserWorld(test, world), theirs: await seedEndUserWorld(test, world) };
    },
  ],
  [
    'two end users of two integrations, each by a token of its own',
    confinedScopes.endUser,
    async () => {
      const [one, other] = [await seedBoundWorld(test), await seedBoundWorld(test)];
      return { ours: await seedEndUserWorld(test, one), theirs: await seedEndUserWorld(test, other) };
    },
  ],
  [
    'an end user, by a token, and the integration that it is of',
    confinedScopes.endUser,
    async () => {
      const world = await seedBoundWorld(test);
      return { ours: await seedEndUserWorld(test, world), theirs: world };
    },
  ],
];

/** Every id and name in what names objects. */
function words(refs: unknown): Set<string> {
  if (typeof refs !== 'object' || refs === null) return new Set([String(refs)]);
  return new Set(Object.values(refs).flatMap((each) => [...words(each)]));
}

/** A world as it is for an API key that is limited to its integration. */
async function byAPIKey(world: BoundWorld): Promise<BoundWorld> {
  const input = { scopes: ['all.Organization', ...confinedScopes.integration], integration: { id: world.ids.integration } };
  return { ...world, caller: { ...world.caller, token: (await test.makeAPIKey(world.caller, input)).key } };
}

describe.each(boundaries)('%s', (_, allowed, makeSides) => {
  let ours: BoundWorld;
  let theirs: BoundWorld;
  /** What both share is on no side. */
  let foreignNouns: readonly Noun[];
  let turn = 0;
  beforeAll(async () => {
    ({ ours, theirs } = await makeSides());
    await test.query(ours.caller, '{ __typename }');
    foreignNouns = nouns.filter((noun) => allowed.includes(readScope(noun)) && ours.ids[noun] !== theirs.ids[noun]);
  });

  /** Every way to name what is theirs in a place, each with one that looks like it and names nothing. */
  function foreignAndMissing({ type, noun }: Reference): [unknown, unknown][] {
    if (type === '[ID]') return [[foreignNouns.map((each) => theirs.ids[each]), foreignNouns.map(missingId)]];
    if (type === 'ID') {
      const ids = foreignNouns.filter((each) => noun === 'any' || noun === each);
      // Of the credentials of other kinds, each place gets one, in turn.
      const others = Object.values(theirs.more);
      const more = noun === 'credential' ? others.slice(turn % others.length).slice(0, 1) : [];
      turn++;
      // What an id looks like tells its noun, so the one that names nothing is of the same.
      return [
        ...ids.map((each): [string, string] => [theirs.ids[each], missingId(each)]),
        ...more.map((id): [string, string] => [id, missingId('credential')]),
      ];
    }
    const shared = JSON.stringify(ours.refs[type]);
    return theirs.refs[type]!.filter((ref) => !shared.includes(JSON.stringify(ref))).map((ref) => [
      ref,
      missingLike(ref, words(ours.refs)),
    ]);
  }

  async function answers(field: Field, args: Record<string, unknown>, selection: string): Promise<Answer> {
    const { query, variables } = operationOf(field, args, selection);
    return test.answer(ours.caller, query, variables);
  }

  /** All arguments of a query field that name objects, with ours. */
  function namingOurs(field: Field): Record<string, unknown> {
    const given = field.args.flatMap(({ name, type }) => {
      const named = getNamedType(type).name;
      if (named in ours.refs) return [[name, ours.refs[named]![0]]];
      if (named !== 'ID') return [];
      return [[name, String(type).startsWith('[') ? [ours.ids.credential] : ours.ids.credential]];
    });
    return Object.fromEntries(given);
  }

  const isAllowed = (field: Field) => {
    const scope = scopeOf(field);
    return !scope || allowed.includes(scope);
  };
  const queries = readFields
    .filter((field) => isAllowed(field) && field.args.some(({ type }) => /Ref|ID/.test(getNamedType(type).name)))
    .map((field) => [titleOf(field), field] as const);
  const pages = queryFields
    .filter((field) => isAllowed(field) && isPage(getNamedType(field.type)))
    .map((field) => [field.name, field] as const);

  describe('reading', () => {
    it.each(queries)('%s finds nothing by what names theirs, and takes as many commands as for nothing', async (_, field) => {
      const all = namingOurs(field);
      for (const reference of referencesIn(field, all)) {
        // Alone, where it can stand alone: together with others of ours, an empty page would prove less.
        const alone = field.args.find(({ name }) => name === reference.path[0])!;
        const others = Object.fromEntries(
          Object.entries(all).filter(
            ([name]) => name === alone.name || String(field.args.find((arg) => arg.name === name)!.type).endsWith('!'),
          ),
        );
        for (const [foreign, missing] of foreignAndMissing(reference)) {
          const seen: Json[] = [];
          const work: string[][] = [];
          for (const value of [foreign, missing]) {
            work.push(
              await test.countCommands(
                async () => void seen.push(comparable(await answers(field, withValue(others, reference.path, value), selectionOf(field)))),
              ),
            );
          }
          expect(seen[0]).toEqual(seen[1]);
          expect(work[0]).toEqual(work[1]);
          const { data, errors } = JSON.parse(seen[0].body);
          const result = data?.result ?? null;
          const isList = isPage(getNamedType(field.type)) || subscriptionFields.includes(field);
          if (isList && reference.type !== 'ID') {
            // An empty page would look as if the record existed.
            expect(result).toBeNull();
            const code = reference.noun === 'integration' ? 'INVALID_INTEGRATION' : 'NOT_FOUND';
            expect(errors).toMatchObject([{ extensions: { code, path: [reference.path[0]] } }]);
          } else if (isPage(getNamedType(field.type)))
            expect(result).toMatchObject({ totalCount: 0, nodes: [], edges: [], pageInfo: { hasNextPage: false } });
          else expect([null, [null], foreignNouns.map(() => null)]).toContainEqual(result);
        }
      }
    });

    it('_entities finds nothing by any key of theirs, and takes as many commands as for nothing', async () => {
      const typeOf = (noun: Noun) => (noun === 'credential' ? 'CredentialBase' : nounTable[noun].typeName);
      const byId = foreignNouns.map((noun) => [theirs.ids[noun], missingId(noun)].map((id) => ({ __typename: typeOf(noun), id })));
      const byKey = theirs.refs.EndUserRef!.flatMap((ref) => {
        const { integration, externalId } = (ref as Json).inIntegration ?? {};
        if (!integration || !foreignNouns.includes('endUser')) return [];
        const key = integration.id ? { integrationId: integration.id } : { integrationName: integration.name };
        return [[externalId, 'nobody'].map((each) => ({ __typename: 'EndUser', ...key, externalId: each }))];
      });
      expect(byId.length).toBeGreaterThan(0);
      if (foreignNouns.includes('endUser')) expect(byKey.length).toBeGreaterThan(0);
      for (const [foreign, missing] of [...byId, ...byKey]) {
        const seen: Json[] = [];
        for (const representation of [foreign, missing]) {
          const query = 'query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }';
          const work = await test.countCommands(
            async () => void seen.push(comparable(await test.answer(ours.caller, query, { of: [representation] }))),
          );
          seen.push(work);
        }
        expect(seen.slice(0, 2)).toEqual(seen.slice(2));
        expect(seen[0].body).toBe('{"data":{"_entities":[null]}}');
      }
    });

    it.each(pages)('%s lists and counts ours alone', async (_, field) => {
      const own = await listed(ours.caller, field);
      expect(own.totalCount).toBe(own.ids.length);
      expect(own.ids.length).toBeGreaterThan(0);
      const strange = foreignNouns.map((noun) => theirs.ids[noun]);
      expect(own.ids.filter((id) => strange.includes(id) || Object.values(theirs.more).includes(id))).toEqual([]);
      for (const id of [...strange, ...Object.values(theirs.more)]) expect(own.text).not.toContain(id);
    });
  });

  async function listed(caller: Caller, field: Field) {
    const { query } = operationOf(field, {}, '(first: 100) { totalCount nodes { ... on Node { nodeId: id } } }');
    const { result } = await test.query(caller, query);
    return { totalCount: result.totalCount, ids: result.nodes.map(({ nodeId }: Json) => nodeId) as string[], text: JSON.stringify(result) };
  }

  describe('writing', () => {
    it.each(mutationFields.filter(isAllowed).map((field) => [field.name, field] as const))(
      '%s does nothing to theirs, nor with it, and says what it says of nothing',
      async (name, field) => {
        const args = possible(argumentsIn(ours, name));
        const before = await everything();
        for (const reference of referencesIn(field, args)) {
          for (const [foreign, missing] of foreignAndMissing(reference)) {
            const [one, other] = [
              await answers(field, withValue(args, reference.path, foreign), resultSelection(field)),
              await answers(field, withValue(args, reference.path, missing), resultSelection(field)),
            ];
            expect(one.data?.result?.__typename, one.text).toMatch(/^(NotFound|InvalidIntegration)Error$/);
            expect(comparable(one)).toEqual(comparable(other));
          }
        }
        expect(await everything()).toEqual(before);
      },
    );

    it.each(mutationFields.filter((field) => !isAllowed(field)).map((field) => [field.name, field] as const))(
      '%s is refused, whatever the token says',
      async (name, field) => {
        const before = await everything();
        const { data, errors, text } = await answers(field, argumentsIn(ours, name), '{ __typename }');
        expect(data, text).toBeUndefined();
        expect(errors!.map(({ extensions }) => extensions.code)).toContain('FORBIDDEN');
        expect(await everything()).toEqual(before);
      },
    );
  });

  /** Both sides, as they lie in the database. An API key's last use is written as it is used. */
  async function everything(): Promise<Json> {
    const sides = [...new Set([ours, theirs].map(({ caller }) => caller.organization))];
    const found = await Promise.all(sides.map((organization) => contents(organization)));
    return found.map(({ apiKeys, ...others }) => ({ ...others, apiKeys: apiKeys?.map(({ lastUsedAt: _, ...key }) => key) }));
  }

  /** Without what asks for a scope that one on this side cannot have. */
  function possible({ input: { force, ...input } }: ReturnType<typeof argumentsIn>): ReturnType<typeof argumentsIn> {
    return { input: allowed.includes('connectors.patch') && force !== undefined ? { ...input, force } : input };
  }
});
