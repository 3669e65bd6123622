import { beforeAll, describe, expect, it } from 'vitest';
import { nouns } from '../../src/access/scopes.ts';
import { contents } from '../database.ts';
import type { Json } from '../harness.ts';
import { type BoundWorld, seedBoundWorld } from '../world.ts';
import { useTestGateway } from './answers.ts';
import { schema } from './walk.ts';

// Two organizations that have one of everything. What is kept of them lies apart; boundaries.test.ts tries to cross from the one to the other.
const test = useTestGateway();
let theirs: BoundWorld;
let ours: BoundWorld;
beforeAll(async () => {
  [theirs, ours] = [await seedBoundWorld(test), await seedBoundWorld(test)];
});

// A name that is taken elsewhere is free here: else a conflict would tell that it is.
it('names are unique within the organization only', async () => {
  const { integration } = await test.query(theirs.caller, 'query ($id: ID!) { integration(by: { id: $id }) { name } }', {
    id: theirs.ids.integration,
  });
  await test.create(ours.caller, 'Integration', { name: integration.name });
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
    const beyond: Readonly<Record<string, readonly string[]>> = {
      // Whoever comes back from a service has nothing but the state: it says which organization it is. No unique index, which could not be sharded.
      authorizations: ['stateHash'],
      // One read tells which webhooks of all organizations are delivered.
      webhookStates: ['isActive'],
    };
    for (const { name } of await test.database.listCollections({}, { nameOnly: true }).toArray()) {
      const indexes = await test.database.collection(name).indexes();
      const firsts = indexes.filter(({ key }) => !('_id' in key && Object.keys(key).length === 1)).map(({ key }) => Object.keys(key)[0]);
      const others: readonly string[] = beyond[name] ?? [];
      expect([name, firsts.filter((first) => first !== 'organizationId')]).toEqual([name, others]);
      expect([name, indexes.filter(({ key, unique }) => unique && !('organizationId' in key))]).toEqual([name, []]);
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
