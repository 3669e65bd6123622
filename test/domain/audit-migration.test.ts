import { createHash, createHmac, randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { localKeyProvider } from '../../src/secrets/key-provider.ts';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
let caller = { organization: '' };
const entries = () => test.database.collection<Json>('auditEntries');
const seals = () => test.database.collection<Json>('auditSeals');
const heads = () => test.database.collection<Json>('auditHeads');
const mine = () => ({ organizationId: caller.organization });
const act = () => test.create(caller, 'Integration', { name: `i-${randomBytes(6).toString('hex')}` });
const verify = () => test.gateway.audit.verify(caller.organization);
const migrated = async () =>
  (await test.gateway.audit.migrate()).migrated.filter(({ organizationId }) => organizationId === caller.organization);
const restart = async () => {
  await test.close();
  await test.open();
};

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url');

/** Turns the log into one that an older version has written, with batches of these numbers of entries; the rest is unsealed. */
async function makeLegacy(batches: readonly number[]): Promise<void> {
  const all = await entries().find(mine()).sort({ _id: 1 }).toArray();
  const old = all.map(({ format: _, writer: _1, number: _2, settled: _3, batch: _4, batchHash: _5, mac: _6, ...entry }) => ({
    ...entry,
    sequence: null,
  }));
  for (const each of [entries(), seals(), heads()]) await each.deleteMany(mine());
  const record = await test.database.collection<Json>('dataKeys').findOne({ ...mine(), purpose: 'audit' });
  const key = await localKeyProvider([test.masterKey]).unwrap(record.wrapped, {
    organizationId: caller.organization,
    keyId: record._id,
    purpose: 'audit',
  });
  let previousHash = '';
  for (const [index, entryCount] of batches.entries()) {
    const sequence = index + 1;
    const batch = old.filter((entry) => entry.sequence === null).slice(0, entryCount);
    for (const entry of batch) entry.sequence = sequence;
    const rows = batch.map((entry) => [
      ...[entry._id, entry.organizationId, entry.createdAt.toISOString(), entry.subject, entry.address, entry.requestId, entry.action],
      ...[entry.outcome, entry.objectNoun, entry.objectId, entry.reason, entry.count, entry.viewerKind],
    ]);
    const seal = { sequence, sealedAt: new Date(), entryCount, entriesHash: sha256(JSON.stringify(rows)), previousHash };
    const headHash = sha256(JSON.stringify([sequence, seal.sealedAt.toISOString(), entryCount, seal.entriesHash, previousHash]));
    const mac = createHmac('sha256', key)
      .update(JSON.stringify([caller.organization, headHash]))
      .digest('base64url');
    await seals().insertOne({ _id: randomBytes(12).toString('hex'), ...mine(), ...seal, headHash, mac });
    previousHash = headHash;
  }
  await entries().insertMany(old);
  await removePlatformLog();
  await restart();
}

/** An older version has none. */
async function removePlatformLog(): Promise<void> {
  for (const name of ['auditEntries', 'auditSeals', 'auditHeads', 'dataKeys']) {
    await test.database.collection(name).deleteMany({ organizationId: '(platform)' });
  }
}

beforeEach(async () => {
  caller = { organization: test.newOrganization() };
  for (let index = 0; index < 6; index++) await act();
});

describe('a log of an older version', () => {
  it('is not sealed before it is migrated, and says what to do', async () => {
    await makeLegacy([2, 2]);
    test.logs.length = 0;
    await test.gateway.audit.seal();
    expect(test.logs.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ level: 50, refusal: expect.stringContaining('run `credential-gateway migrate`') }),
    );
    expect(await seals().countDocuments(mine())).toBe(2);
    expect((await verify())!.problems.join('\n')).toContain('run `credential-gateway migrate` once');
  });

  it('keeps its batches, and has its unsealed entries sealed as unproven', async () => {
    await makeLegacy([2, 2]);
    expect(await migrated()).toEqual([{ organizationId: caller.organization, legacyBatches: 2, unproven: 2 }]);
    await act();
    await test.gateway.audit.seal();
    expect(await verify()).toMatchObject({
      problems: [],
      batches: 4,
      entries: 7,
      unsealed: 0,
      notes: [
        'batches 1 to 2 were sealed by an older version, which did not check who had written an entry',
        'batch 3: 2 entries were not sealed when the log was migrated; nothing proves who wrote them',
      ],
    });
    expect(await migrated()).toEqual([]);
  });

  it('is migrated while the gateway writes, and without anything unsealed', async () => {
    await makeLegacy([6]);
    await act();
    expect(await migrated()).toEqual([{ organizationId: caller.organization, legacyBatches: 1, unproven: 0 }]);
    await act();
    await test.gateway.audit.seal();
    expect(await verify()).toMatchObject({
      problems: [],
      batches: 2,
      entries: 8,
      unsealed: 0,
      notes: [expect.stringMatching(/^batches 1 to 1/)],
    });
  });

  it('is migrated after an interruption', async () => {
    await makeLegacy([2, 2]);
    await migrated();
    // As if it had ended before the record was written.
    await heads().deleteOne(mine());
    await removePlatformLog();
    await restart();
    expect(await migrated()).toEqual([{ organizationId: caller.organization, legacyBatches: 2, unproven: 0 }]);
    expect((await verify())!.problems).toEqual([]);
  });
});

describe('a log that was migrated, or is new', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['only its record is removed', async () => undefined],
    [
      'its batches are removed too, and history is rewritten',
      async () => {
        await seals().deleteMany(mine());
        await entries().updateMany({ ...mine(), batch: 0 }, { $set: { sequence: null, subject: 'mallory' } });
      },
    ],
    ['its batches are made to look unproven', () => seals().updateMany(mine(), { $set: { unproven: 6, entryCount: 6 } })],
  ])('is not migrated again when %s', async (_, forge) => {
    // There is a log of the platform from now on, whatever tests before have removed.
    await test.gateway.audit.migrate();
    await test.gateway.audit.seal();
    await act();
    await heads().deleteMany(mine());
    await forge();
    for (const reason of ['The database was migrated before, or never needed it.', expect.stringMatching(/after its migration/)]) {
      await restart();
      const { migrated: done, refused } = await test.gateway.audit.migrate();
      expect(done.map(({ organizationId }) => organizationId)).not.toContain(caller.organization);
      expect(refused).toContainEqual({ organizationId: caller.organization, reason });
      expect((await verify())!.problems).not.toEqual([]);
      await removePlatformLog();
    }
  });

  it('takes no batch of the older form', async () => {
    await makeLegacy([2, 2]);
    await migrated();
    await act();
    await test.gateway.audit.seal();
    const [old] = await seals()
      .find({ ...mine(), sequence: 1 })
      .toArray();
    await seals().insertOne({ ...old, _id: randomBytes(12).toString('hex'), sequence: 5 });
    await restart();
    expect((await verify())!.problems.join('\n')).toMatch(/batch 5: has the form of an older version/);
    await act();
    await test.gateway.audit.seal();
    expect(await seals().countDocuments(mine())).toBe(5);
  });

  it('does not let the place of its migration be moved', async () => {
    await makeLegacy([2, 2]);
    await migrated();
    await act();
    await test.gateway.audit.seal();
    await seals().updateOne({ ...mine(), sequence: 4 }, { $set: { unproven: 1 } });
    await heads().updateOne(mine(), { $set: { legacyBatches: 3 } });
    const problems = (await verify())!.problems.join('\n');
    expect(problems).toContain('the record of the newest batch was changed');
    expect(problems).toContain('batch 4: the record of the batch was changed');
  });
});
