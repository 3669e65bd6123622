import { getNamedType } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { nouns } from '../../src/access/scopes.ts';
import type { Answer, Json } from '../harness.ts';
import { argumentsIn } from './mutations.ts';
import {
  type Field,
  isPage,
  mutationFields,
  operationOf,
  queryFields,
  type Reference,
  referencesIn,
  resultSelection,
  schema,
  selectionOf,
  withValue,
} from './walk.ts';
import { comparable, contents, makeWorld, missingId, missingLike, useTestGateway, type World } from './world.ts';

// Two organizations that have one of everything. Neither can read, change, delete, use, attach or count what is the other's, and is told
// of it exactly what it is told of what does not exist.
const test = useTestGateway();
let theirs: World;
let ours: World;
beforeAll(async () => {
  [theirs, ours] = [await makeWorld(test), await makeWorld(test)];
});

/** Every way to name what is theirs in a place, each with one that looks like it and names nothing. */
function foreignAndMissing({ type, noun }: Reference): [unknown, unknown][] {
  if (type === '[ID]') return [[Object.values(theirs.ids), nouns.map(missingId)]];
  if (type === 'ID') {
    const ids = noun === 'any' ? nouns : [noun];
    const more = noun === 'credential' ? Object.values(theirs.more) : [];
    return [...ids.map((each) => theirs.ids[each]), ...more].map((id) => [id, missingId(noun === 'any' ? 'credential' : noun)]);
  }
  return theirs.refs[type]!.map((ref) => [ref, missingLike(ref)]);
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

const queries = queryFields
  .filter((field) => field.args.some(({ type }) => /Ref|ID/.test(getNamedType(type).name)))
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
        const { result } = JSON.parse(seen[0].body).data;
        if (isPage(getNamedType(field.type)))
          expect(result).toMatchObject({ totalCount: 0, nodes: [], edges: [], pageInfo: { hasNextPage: false } });
        else expect([null, [null], nouns.map(() => null)]).toContainEqual(result);
      }
    }
  });

  const pages = queryFields.filter((field) => isPage(getNamedType(field.type))).map((field) => [field.name, field] as const);
  it.each(pages)('%s lists and counts ours alone', async (_, field) => {
    const [own, foreign] = await Promise.all(
      [ours, theirs].map(async ({ caller }) => {
        const { query } = operationOf(field, {}, '(first: 100) { totalCount nodes { ... on Node { nodeId: id } } }');
        return (await test.query(caller, query)).result;
      }),
    );
    const ids = ({ nodes }: Json) => nodes.map(({ nodeId }: Json) => nodeId);
    expect(own.totalCount).toBe(own.nodes.length);
    expect(own.nodes.length).toBeGreaterThan(0);
    expect(ids(own).filter((id: string) => ids(foreign).includes(id))).toEqual([]);
    const text = JSON.stringify(own);
    for (const id of [...Object.values(theirs.ids), ...Object.values(theirs.more)]) expect(text).not.toContain(id);
  });
});

describe('writing', () => {
  it.each(mutationFields.map((field) => [field.name, field] as const))(
    '%s does nothing to theirs, nor with it, and says what it says of nothing',
    async (name, field) => {
      const args = argumentsIn(ours, name);
      const before = await contents(test, theirs.caller.organization);
      const own = await contents(test, ours.caller.organization);
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
      expect(await contents(test, theirs.caller.organization)).toEqual(before);
      expect(await contents(test, ours.caller.organization)).toEqual(own);
    },
  );

  // A name that is taken elsewhere is free here: else a conflict would tell that it is.
  it('names are unique within the organization only', async () => {
    const { integration } = await test.query(theirs.caller, 'query ($id: ID!) { integration(by: { id: $id }) { name } }', {
      id: theirs.ids.integration,
    });
    await test.create(ours.caller, 'Integration', { name: integration.name });
  });
});

describe('what is kept', () => {
  // The shard key, and what every query begins with: a document without it would belong to all.
  it('names its organization, in every collection', async () => {
    const all = await contents(test);
    const own = { ...(await contents(test, ours.caller.organization)) };
    expect(Object.keys(own).filter((name) => own[name]!.length > 0).length).toBeGreaterThan(6);
    for (const [collection, documents] of Object.entries(all)) {
      for (const document of documents) expect([collection, typeof document.organizationId]).toEqual([collection, 'string']);
    }
  });

  it('is indexed by organization first, in every index', async () => {
    for (const { name } of await test.database.listCollections({}, { nameOnly: true }).toArray()) {
      const indexes = await test.database.collection(name).indexes();
      const firsts = indexes.filter(({ key }) => !('_id' in key && Object.keys(key).length === 1)).map(({ key }) => Object.keys(key)[0]);
      expect([name, firsts.filter((first) => first !== 'organizationId')]).toEqual([name, []]);
    }
  });

  it('keys of two organizations are different keys', async () => {
    const keys = (await contents(test)).dataKeys ?? [];
    expect(new Set(keys.map(({ wrapped }: Json) => wrapped)).size).toBe(keys.length);
    const [a, b] = await Promise.all(
      [ours, theirs].map(async ({ caller, refs }) => {
        const { id } = await test.create(caller, 'Credential', {
          integration: refs.IntegrationRef![0],
          name: 'same',
          data: { string: { value: 'the same secret' } },
        });
        return (
          await test.query(caller, 'query ($id: ID!) { credential(id: $id) { ... on StringCredential { value { fingerprint } } } }', { id })
        ).credential.value.fingerprint;
      }),
    );
    expect(a).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(a).not.toBe(b);
  });
});

it('has every noun', () => {
  expect(Object.keys(theirs.ids).sort()).toEqual([...nouns].sort());
  const refs = Object.keys(schema.getTypeMap()).filter((name) => /Ref$/.test(name));
  expect(Object.keys(theirs.refs).sort()).toEqual(refs.sort());
});
