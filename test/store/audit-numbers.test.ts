import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../src/gateway/index.ts';
import { createEntryNumbers } from '../../src/store/audit-numbers.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { type Wire, wireTo } from '../wire.ts';

const test = useTestGateway();

describe('the numbers of a writer', () => {
  it('are given out again, the smallest first, when their transactions were aborted', () => {
    const numbers = createEntryNumbers();
    const taken = [1, 2, 3, 4, 5].map(() => numbers.take());
    expect(taken).toEqual([1, 2, 3, 4, 5]);
    for (const number of [4, 2]) numbers.end(number, 'aborted');
    for (const number of [3, 1]) numbers.end(number, 'committed');
    expect(numbers.settled()).toBe(1);
    expect(numbers.hasGaps()).toBe(true);
    expect([numbers.take(), numbers.take(), numbers.take()]).toEqual([2, 4, 6]);
    for (const number of [2, 4, 5, 6]) numbers.end(number, 'committed');
    expect([numbers.settled(), numbers.isOpen(), numbers.hasGaps()]).toEqual([6, false, false]);
  });

  it('leave no gap at the end', () => {
    const numbers = createEntryNumbers();
    for (let index = 0; index < 4; index++) numbers.take();
    for (const number of [1, 3, 2, 4]) numbers.end(number, 'aborted');
    expect([numbers.isUnused(), numbers.hasGaps(), numbers.take()]).toEqual([true, false, 1]);
  });

  it('are not settled, and not given out, while nobody knows their outcome', () => {
    const numbers = createEntryNumbers();
    numbers.end(numbers.take(), 'unknown');
    numbers.end(numbers.take(), 'committed');
    expect([numbers.take(), numbers.settled(), numbers.isOpen()]).toEqual([3, 0, true]);
    const number = numbers.takeUnknown()!;
    numbers.end(number, 'committed');
    expect([number, numbers.settled(), numbers.takeUnknown()]).toEqual([1, 2, undefined]);
  });

  it('are ended once', () => {
    const numbers = createEntryNumbers();
    numbers.end(numbers.take(), 'committed');
    numbers.end(1, 'aborted');
    expect(numbers.take()).toBe(2);
  });
});

describe('in the database', () => {
  let first: Gateway;
  let second: Gateway;
  let wire: Wire;
  let caller: { organization: string };
  const entries = () => test.database.collection<Json>('auditEntries');
  const written = () => entries().find({ organizationId: caller.organization }).sort({ number: 1 }).toArray();
  const via = async (gateway: Gateway, query: string) => {
    const request = new Request('http://gateway.test/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${await test.token(caller)}` },
      body: JSON.stringify({ query }),
    });
    return (await (await gateway.fetch(request)).json()) as Json;
  };
  const update = ({ id }: { id: string }, text: string) =>
    `mutation { updateIntegration(input: { integration: { id: "${id}" }, description: "${text}" }) { ... on MutationError { code } } }`;
  const create = (name: string) => `mutation { createIntegration(input: { name: "${name}" }) { __typename } }`;

  beforeAll(async () => {
    const { uri } = test;
    first = test.gateway;
    wire = await wireTo(uri);
    test.uri = wire.uri;
    await test.open();
    second = test.gateway;
    test.uri = uri;
  });
  afterAll(async () => {
    await first?.stop();
    await second?.stop();
    await wire?.close();
  });

  it('have no gap, though transactions meet, abort and are repeated', async () => {
    caller = { organization: test.newOrganization() };
    const hot = await test.create(caller, 'Integration', { name: 'hot' });
    const before = test.commands.filter((name) => name === 'abortTransaction').length;
    const mutations = Array.from({ length: 18 }, (_, index) =>
      via(
        index % 2 ? first : second,
        index % 3 === 0 ? create('taken') : index % 3 === 1 ? create(`new-${index}`) : update(hot, `text ${index}`),
      ),
    );
    const sealing = (async () => {
      for (let round = 0; round < 3; round++) await Promise.all([first.audit.seal(), second.audit.seal()]);
    })();
    const answers = await Promise.all(mutations);
    await sealing;
    expect(test.commands.filter((name) => name === 'abortTransaction').length).toBeGreaterThan(before);
    expect(answers.filter(({ errors }) => errors)).toEqual([]);
    await first.audit.seal();
    await second.audit.seal();
    const byWriter = new Map<string, Json[]>();
    for (const entry of await written()) {
      if (entry.action !== 'voidAuditNumber') byWriter.set(entry.writer, [...(byWriter.get(entry.writer) ?? []), entry]);
    }
    expect(byWriter.size).toBe(2);
    for (const run of byWriter.values()) expect(run.map(({ number }) => number)).toEqual(run.map((_, index) => index + 1));
    expect(await first.audit.verify(caller.organization)).toMatchObject({ problems: [], notes: [], unsealed: 0 });
  });

  it.each(['committed', 'aborted'] as const)('are settled when the outcome of a commit is unknown, and it was %s', async (outcome) => {
    caller = { organization: test.newOrganization() };
    await via(second, create('before'));
    const forgotten = wire.forgetCommit(outcome);
    const answer = await via(second, create('unknown'));
    await forgotten;
    expect(answer.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE', outcome: 'UNKNOWN' } }]);
    await via(second, create('after'));
    // The number before is not settled: the entry may be in the log, and may not.
    expect((await written()).at(-1)).toMatchObject({ number: 3, settled: 1 });
    await second.audit.seal();
    await via(second, create('later'));
    const rows = (await written()).map((entry) => [entry.number, entry.action, entry.outcome, entry.settled]);
    expect(rows).toEqual([
      [1, 'createIntegration', 'SUCCESS', 0],
      [2, outcome === 'committed' ? 'createIntegration' : 'voidAuditNumber', 'SUCCESS', 1],
      [3, 'createIntegration', 'SUCCESS', 1],
      // What the caller was told.
      [4, 'createIntegration', 'UNAVAILABLE', 1],
      [5, 'createIntegration', 'SUCCESS', 4],
    ]);
    await second.audit.seal();
    expect(await first.audit.verify(caller.organization)).toMatchObject({ problems: [], notes: [], unsealed: 0, entries: 5 });
  });

  it('that were in flight when a process ended are told, and are no problem', async () => {
    caller = { organization: test.newOrganization() };
    const one = await test.create(caller, 'Integration', { name: 'one' });
    const other = await test.create(caller, 'Integration', { name: 'other' });
    const hold = wire.hold('commitTransaction');
    const held = via(second, update(one, 'held'));
    await hold.reached;
    expect((await via(second, update(other, 'meanwhile'))).errors).toBeUndefined();
    expect(await first.audit.verify(caller.organization)).toMatchObject({
      problems: [],
      notes: [expect.stringMatching(/^writer .*: number 3 may have been in flight when the process ended, or is still$/)],
    });
    hold.release();
    expect((await held).errors).toBeUndefined();
    expect(await first.audit.verify(caller.organization)).toMatchObject({ problems: [], notes: [] });
  });

  it('cost a mutation no command', async () => {
    caller = { organization: test.newOrganization() };
    const integration = await test.create(caller, 'Integration', { name: 'one' });
    await via(second, update(integration, 'first'));
    const commands = await test.countCommands(() => via(second, update(integration, 'second')));
    // Whether the organization is deleted, with its keys and counters; the integration, its new text, the entry.
    expect(commands).toEqual(['aggregate', 'find', 'findAndModify', 'insert', 'commitTransaction']);
  });
});
