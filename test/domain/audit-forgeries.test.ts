import { randomBytes } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
let caller = { organization: '' };
const entries = () => test.database.collection<Json>('auditEntries');
const seals = () => test.database.collection<Json>('auditSeals');
const heads = () => test.database.collection<Json>('auditHeads');
const mine = () => ({ organizationId: caller.organization });
const act = (organization = caller.organization) =>
  test.create({ organization }, 'Integration', { name: `i-${randomBytes(6).toString('hex')}` });
const seal = () => test.gateway.audit.seal();
const verify = () => test.gateway.audit.verify(caller.organization);
/** Ends the process, as the gateway sees it: nothing is remembered. */
const restart = async () => {
  await test.close();
  await test.open();
};
const newId = () => randomBytes(12).toString('hex');
const monthAgo = () => new Date(Date.now() - 30 * 24 * 60 * 60 * 1_000);
/** The fields that an older version gave to an entry. */
const legacyForm = ({ format: _, writer: _1, number: _2, settled: _3, batch: _4, batchHash: _5, mac: _6, ...entry }: Json) => entry;
const errorsLogged = () =>
  test.logs.map((line) => JSON.parse(line)).filter(({ level, organization }) => level === 50 && organization === caller.organization);

interface Copy {
  readonly entries: Json[];
  readonly seals: Json[];
  readonly heads: Json[];
}
async function copyOfLog(): Promise<Copy> {
  const [all, batches, newest] = await Promise.all([entries(), seals(), heads()].map((each) => each.find(mine()).toArray()));
  return { entries: all!, seals: batches!, heads: newest! };
}
/** Two sealed batches of two entries each, and an unsealed entry. Returns what the log held when batch 1 was the newest. */
async function writeLog(): Promise<Copy> {
  await act();
  await act();
  await seal();
  const copy = await copyOfLog();
  await act();
  await act();
  await seal();
  await act();
  return copy;
}

beforeEach(() => {
  caller = { organization: test.newOrganization() };
  test.logs.length = 0;
});
// Each run seals the logs of all organizations, so those of earlier tests would cost time.
afterEach(() => test.database.collection('organizations').deleteMany({}));

describe('who can write to the database, but has no key', () => {
  interface Forgery {
    readonly forge: (before: Copy) => Promise<unknown>;
    /** What verifying says, in a process that remembers nothing. */
    readonly says: RegExp;
    /** What a running process logs when it seals. */
    readonly logs?: RegExp;
  }
  const notOurs = /contains entries that this gateway did not write/;
  const lastUnsealed = () => entries().findOne({ ...mine(), sequence: null });
  const forgeries: Record<string, Forgery> = {
    'inserts an entry, dated back thirty days': {
      async forge() {
        await entries().insertOne({ ...legacyForm(await lastUnsealed()), _id: newId(), createdAt: monthAgo(), subject: 'mallory' });
      },
      says: /^1 entry was not written by this gateway, or changed later, and never sealed: [0-9a-f]{24}$/m,
      logs: notOurs,
    },
    'gives an entry an id of another type, which looks the same': {
      async forge() {
        const entry = (await lastUnsealed())!;
        await entries().deleteOne({ _id: entry._id });
        await entries().insertOne({ ...entry, _id: new ObjectId(entry._id) });
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'puts values of another type into an entry, which look the same': {
      async forge() {
        const { _id } = (await lastUnsealed())!;
        await entries().updateOne({ _id }, { $set: { reason: Number.NaN } });
        const { auditLog } = await test.query(caller, '{ auditLog { nodes { reason } } }');
        expect(auditLog.nodes).toHaveLength(5);
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'inserts an entry with the MAC of another': {
      async forge() {
        await entries().insertOne({ ...(await lastUnsealed()), _id: newId(), number: 77, createdAt: monthAgo() });
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'copies an entry with another id, past the index': {
      async forge() {
        const { format: _, ...entry } = (await lastUnsealed())!;
        await entries().insertOne({ ...entry, _id: newId() });
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'moves an entry of another organization here': {
      async forge() {
        const other = test.newOrganization();
        await act(other);
        await entries().updateOne({ organizationId: other }, { $set: mine() });
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'changes an entry before it is sealed': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { subject: 'mallory' } }),
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'changes the time of an entry before it is sealed': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { createdAt: monthAgo() } }),
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'gives an entry a time that is none': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { createdAt: 'yesterday' } }),
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'gives an entry an id of another type with the same text': {
      async forge() {
        const { _id, ...entry } = (await lastUnsealed())!;
        await entries().deleteOne({ _id });
        await entries().insertOne({ ...entry, _id: new ObjectId(_id as unknown as string) } as never);
      },
      says: /1 entry was not written by this gateway, or changed later, and never sealed: \(no id\)/,
      logs: notOurs,
    },
    'gives a field of an entry another type with the same text': {
      async forge() {
        const { _id, objectId } = (await lastUnsealed())!;
        await entries().updateOne({ _id }, { $set: { objectId: new ObjectId(objectId as string) } });
      },
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'replaces null by a number that is none': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { reason: Number.NaN } }),
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'gives a field of a sealed entry another type with the same text': {
      forge: () => entries().updateOne({ ...mine(), sequence: 2 }, { $set: { reason: Number.NaN } }),
      says: /batch 2: 1 entry was not written by this gateway/,
    },
    'names a kind of viewer that does not exist': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { viewerKind: 'mallory' } }),
      says: /1 entry was not written by this gateway/,
      logs: notOurs,
    },
    'hides an unsealed entry in a batch that is sealed': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { sequence: 2 } }),
      says: /batch 2: has 3 entries, but was sealed with 2/,
    },
    'hides an unsealed entry in a batch to come': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { sequence: 9 } }),
      says: /1 entries belong to batches that are missing/,
    },
    'hides an unsealed entry in a batch that cannot exist': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { sequence: 'none' } }),
      says: /1 entries have a number of a batch that cannot exist/,
    },
    'hides an unsealed entry between two batches': {
      forge: () => entries().updateOne({ ...mine(), sequence: null }, { $set: { sequence: 1.5 } }),
      says: /1 entries have a number of a batch that cannot exist/,
    },
    'removes an entry before it is sealed': {
      async forge() {
        await act();
        await entries().deleteOne({ ...mine(), number: 5 });
      },
      says: /an entry was removed or changed: number 5$/m,
      logs: /entries were removed/,
    },
    'cuts the last batch': {
      async forge() {
        await seals().deleteOne({ ...mine(), sequence: 2 });
        await entries().updateMany({ ...mine(), sequence: 2 }, { $set: { sequence: null } });
      },
      says: /the chain ends at batch 1, but batch 2 was sealed/,
      logs: /chain is not as it should be/,
    },
    'cuts the last batch with its entries': {
      async forge() {
        await seals().deleteOne({ ...mine(), sequence: 2 });
        await entries().deleteMany({ ...mine(), sequence: 2 });
      },
      says: /the chain ends at batch 1, but batch 2 was sealed/,
      logs: /chain is not as it should be/,
    },
    'cuts the last batch, and puts the record of the newest batch back': {
      async forge(before) {
        await seals().deleteOne({ ...mine(), sequence: 2 });
        await entries().deleteMany({ ...mine(), sequence: 2 });
        await heads().replaceOne(mine(), before.heads[0]);
      },
      // The unsealed entry was written after batch 2.
      says: /entries were written after batch 2, but the chain ends at batch 1/,
      logs: /chain is not as it should be/,
    },
    'removes the record of the newest batch': {
      forge: () => heads().deleteOne(mine()),
      says: /the record of the newest batch was removed/,
      logs: /chain is not as it should be/,
    },
    'changes the number of batches of older versions': {
      forge: () => heads().updateOne(mine(), { $set: { legacyBatches: 2 } }),
      says: /the record of the newest batch was changed/,
      logs: /chain is not as it should be/,
    },
    'removes all batches, and rewrites history': {
      async forge() {
        await seals().deleteMany(mine());
        await entries().updateMany(mine(), { $set: { sequence: null, subject: 'mallory', createdAt: monthAgo() } });
      },
      says: /the chain ends at batch 0, but batch 2 was sealed/,
      logs: /chain is not as it should be/,
    },
    'removes all batches and their record, and rewrites history as an older version would have written it': {
      async forge() {
        await seals().deleteMany(mine());
        await heads().deleteMany(mine());
        const all = await entries().find(mine()).toArray();
        await entries().deleteMany(mine());
        await entries().insertMany(all.map((entry) => ({ ...legacyForm(entry), sequence: null, subject: 'mallory' })));
      },
      says: /there is no record of the newest batch|the record of the newest batch was removed/,
      logs: /chain is not as it should be/,
    },
    'puts the log back to when batch 1 was the newest, but for an entry': {
      async forge(before) {
        const rest = await lastUnsealed();
        for (const each of [entries(), seals(), heads()]) await each.deleteMany(mine());
        await entries().insertMany([...before.entries, rest]);
        await seals().insertMany(before.seals);
        await heads().insertMany(before.heads);
      },
      says: /entries were written after batch 2, but the chain ends at batch 1/,
      logs: /chain is not as it should be/,
    },
  };

  it.each(Object.entries(forgeries))('%s', async (_, { forge, says, logs }) => {
    const before = await writeLog();
    expect(await verify()).toMatchObject({ problems: [], notes: [], batches: 2, unsealed: 1 });
    await forge(before);
    await seal();
    if (logs) expect(errorsLogged().map(({ msg }) => msg)).toContainEqual(expect.stringMatching(logs));
    expect((await verify())!.problems.join('\n')).toMatch(says);
    const shown = await test.answer(
      caller,
      '{ auditLog { nodes { id createdAt viewerKind subject outcome objectId reason count isSealed } } }',
    );
    expect(shown.errors).toBeUndefined();
    await restart();
    await seal();
    const found = await verify();
    if (process.env.SHOW_FORGERIES) console.log(`${_}\n  ${found!.problems.join('\n  ')}`);
    expect(found!.problems.join('\n')).toMatch(says);
    // What was forged is not certified.
    expect(await entries().countDocuments({ ...mine(), subject: 'mallory', sequence: { $ne: null } })).toBe(0);
  });

  it('is found out by the running process if all is put back together', async () => {
    const before = await writeLog();
    for (const each of [entries(), seals(), heads()]) await each.deleteMany(mine());
    await entries().insertMany(before.entries);
    await seals().insertMany(before.seals);
    await heads().insertMany(before.heads);
    await seal();
    expect(errorsLogged()).toContainEqual(
      expect.objectContaining({ refusal: 'the chain ends at batch 1, but this process has seen batch 2' }),
    );
    await act();
    await seal();
    expect(await seals().countDocuments(mine())).toBe(1);
  });

  it('is not found out if all is put back together while no process runs, except by a head that was kept elsewhere', async () => {
    const before = await writeLog();
    const head = (await verify())!.head!;
    await test.close();
    for (const each of [entries(), seals(), heads()]) await each.deleteMany(mine());
    await entries().insertMany(before.entries);
    await seals().insertMany(before.seals);
    await heads().insertMany(before.heads);
    await test.open();
    expect((await verify())!.problems).toEqual([]);
    expect((await test.gateway.audit.verify(caller.organization, head))!.problems).toEqual([
      'the chain ends before batch 2, which the given head belongs to',
    ]);
  });

  it('is found out when the end of a run is cut while the process runs, and the proof stays in the log', async () => {
    await writeLog();
    await entries().deleteOne({ ...mine(), number: 5 });
    await seal();
    expect(errorsLogged()).toEqual([expect.objectContaining({ count: 1, msg: 'entries were removed from the audit log' })]);
    await restart();
    expect((await verify())!.problems).toEqual([expect.stringMatching(/an entry was removed or changed: number 5$/)]);
    expect(await entries().findOne({ ...mine(), action: 'missAuditEntries' })).toMatchObject({
      reason: expect.stringMatching(/^writer .*: 5$/),
    });
  });

  it('is not found out if it removes the newest entries and ends the process before the next minute', async () => {
    await writeLog();
    await act();
    await entries().deleteMany({ ...mine(), sequence: null });
    await restart();
    // Nothing is left that names them.
    expect(await verify()).toMatchObject({ problems: [], unsealed: 0 });
  });

  it('takes the numbers that a process would use next, and one mutation fails for each', async () => {
    await act();
    const [entry] = await entries().find(mine()).toArray();
    await entries().insertOne({ ...entry, _id: newId(), number: 2 });
    const failed = await test.answer(caller, 'mutation { createIntegration(input: { name: "a" }) { __typename } }');
    expect(failed.errors![0].extensions.code).toBe('INTERNAL_SERVER_ERROR');
    await act();
    await seal();
    await act();
    await seal();
    expect((await verify())!.problems.join('\n')).toMatch(/an entry was removed or changed: number 2/);
  });

  it('makes the audit key of one organization unusable, which stops neither the others nor their alarms', async () => {
    const victims = [test.newOrganization(), caller.organization, test.newOrganization()];
    for (const organization of victims) await act(organization);
    await test.close();
    // The first of them in every order has no key any more, and has something to be written down.
    const [bad, good] = [victims[0]!, victims.slice(1)];
    const keys = test.database.collection<Json>('dataKeys');
    const audit = { organizationId: bad, purpose: 'audit' };
    const key = await keys.findOne(audit);
    await keys.updateOne(audit, { $set: { wrapped: 'x' } });
    await test.open();
    try {
      for (const organization of victims) {
        await test.answer({ organization, scopes: [] } as never, 'mutation { createIntegration(input: { name: "a" }) { __typename } }');
      }
      test.logs.length = 0;
      await expect(seal()).rejects.toBeInstanceOf(AggregateError);
      expect(test.logs.map((line) => JSON.parse(line))).toContainEqual(
        expect.objectContaining({ organization: bad, msg: 'the audit log of an organization could not be written or sealed' }),
      );
      for (const organizationId of good) {
        expect(await entries().countDocuments({ organizationId, outcome: 'FORBIDDEN', sequence: 1 })).toBe(1);
      }
    } finally {
      await keys.updateOne(audit, { $set: { wrapped: key!.wrapped } });
      await restart();
    }
    // What could not be written is not lost while the process runs; what was written before is sealed now.
    await seal();
    expect(await entries().countDocuments({ organizationId: bad, sequence: null })).toBe(0);
  });
});

it('an organization whose audit key cannot be used does not stop the logs of others', async () => {
  const [broken, other] = [caller.organization, test.newOrganization()];
  await act(broken);
  await act(other);
  const refused = { organization: broken, scopes: [] };
  const wrapped = { organizationId: broken, purpose: 'audit' };
  const keys = test.database.collection<Json>('dataKeys');
  const before = await keys.findOne(wrapped);
  await keys.updateOne(wrapped, { $set: { wrapped: 'x' } });
  await restart();
  await test.answer(refused, 'mutation { createIntegration(input: { name: "x" }) { __typename } }');
  await expect(seal()).rejects.toThrow();
  expect(await test.gateway.audit.verify(other)).toMatchObject({ unsealed: 0, problems: [] });
  await keys.updateOne(wrapped, { $set: { wrapped: before.wrapped } });
  await restart();
});
