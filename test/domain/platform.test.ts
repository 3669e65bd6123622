import { beforeEach, describe, expect, it } from 'vitest';
import { createFailedLogins } from '../../src/domain/failed-logins.ts';
import { type Json, useTestGateway } from '../harness.ts';

const test = useTestGateway();
const entries = () => test.database.collection<Json>('auditEntries');
const platform = { organizationId: '(platform)' };
const list = async () => {
  const found = [];
  for await (const entry of test.gateway.platform.entries()) found.push(entry);
  return found;
};
const verify = () => test.gateway.audit.verify(test.gateway.platform.id);

beforeEach(() => {
  test.logs.length = 0;
});

describe('the log of the platform', () => {
  it('keeps who deleted an organization, and the end of its log', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: 'one' });
    await test.gateway.audit.seal();
    await test.create(caller, 'Integration', { name: 'two' });
    await test.gateway.deleteOrganization(caller.organization);
    expect((await list()).at(-1)).toMatchObject({
      action: 'deleteOrganization',
      organization: caller.organization,
      subject: expect.stringMatching(/^.+@.+$/),
      outcome: 'SUCCESS',
      details: expect.stringMatching(/^\{"auditEntries":2,"auditHead":\{"sequence":2,"headHash":"[\w-]{43}"\}\}$/),
    });
    expect(await entries().countDocuments({ organizationId: caller.organization })).toBe(0);
    await test.gateway.audit.seal();
    expect(await verify()).toMatchObject({ problems: [], unsealed: 0 });
  });

  it('is verified, sealed and read, also beyond a page', async () => {
    await test.gateway.platform.record('backup', { details: 'first' });
    for (let index = 0; index < 3; index++) await test.gateway.platform.record('backup');
    await test.gateway.audit.seal();
    expect((await list()).filter(({ action }) => action === 'backup').map(({ isSealed }) => isSealed)).toEqual([true, true, true, true]);
    expect(await verify()).toMatchObject({ problems: [] });
    await entries().updateOne({ ...platform, action: 'backup', reason: 'first' }, { $set: { subject: 'nobody' } });
    expect((await verify())!.problems.join('\n')).toMatch(/an entry was removed, changed or inserted/);
    await entries().updateOne({ ...platform, action: 'backup', reason: 'first' }, { $set: { subject: 'ada@host' } });
  });

  it('cannot be reached by a token, and no organization can have its name', async () => {
    const answer = await test.answer({ organization: platform.organizationId }, '{ auditLog { nodes { id } } }');
    expect(answer.errors![0].extensions.code).toBe('UNAUTHENTICATED');
    expect(await test.gateway.audit.organizations()).not.toContain(platform.organizationId);
    expect(await test.gateway.deleteOrganization(platform.organizationId)).toBe(false);
  });

  it('that was removed is not begun again: what it should tell is refused, or said in the log', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: 'before' });
    const [own, key] = await Promise.all(
      ['auditHeads', 'dataKeys'].map((name) => test.database.collection<Json>(name).findOneAndDelete(platform)),
    );
    try {
      await test.close();
      await test.open();
      await expect(test.gateway.platform.record('backup')).rejects.toThrow('does not exist');
      await expect(test.gateway.deleteOrganization(caller.organization)).rejects.toThrow('does not exist');
      await test.create(caller, 'Integration', { name: 'not deleted' });
      await test.send({ query: '{ __typename }' });
      await test.gateway.audit.seal();
      expect(test.logs.map((line) => JSON.parse(line))).toContainEqual(
        expect.objectContaining({ level: 50, msg: expect.stringContaining('there is no log of the platform') }),
      );
      expect((await verify())!.problems.join('\n')).toMatch(/record of the newest batch/);
    } finally {
      await test.database.collection('dataKeys').insertOne(key!);
      await test.database.collection('auditHeads').insertOne(own!);
    }
    await test.gateway.audit.seal();
    expect((await list()).at(-1)).toMatchObject({ action: 'refuseToken', count: 1 });
  });
});

describe('failed logins', () => {
  const written = async (failed: ReturnType<typeof createFailedLogins>) => {
    const found: Json[] = [];
    const audit = { insert: async (record: Json) => void found.push(record) };
    const stores = { platform: { organizationId: '(platform)', exists: async () => true }, of: () => ({ audit }) } as never;
    const sum = await failed.flush({ stores, now: () => new Date() });
    return { sum, found: found.map(({ address, count, outcome }) => [address, count, outcome]) };
  };

  it('tell the address, and what was wrong', async () => {
    const before = (await list()).length;
    for (const token of ['nonsense', 'cg_nonsense']) await test.send({ query: '{ __typename }' }, { authorization: `Bearer ${token}` });
    await test.gateway.audit.seal();
    expect((await list()).slice(before)).toEqual([
      expect.objectContaining({
        action: 'refuseToken',
        address: '(none)',
        count: 2,
        outcome: 'UNAUTHENTICATED',
        subject: '(credential-gateway)',
      }),
    ]);
  });

  it('of many addresses are a few entries, and who fails most is named all the same', async () => {
    const failed = createFailedLogins();
    for (let index = 0; index < 100_000; index++) {
      failed.add(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, 'UNAUTHENTICATED');
      if (index % 1_000 === 0) for (let times = 0; times < 3; times++) failed.add('192.0.2.1', 'UNAUTHENTICATED');
    }
    const { sum, found } = await written(failed);
    expect(sum).toBe(100_300);
    expect(found).toHaveLength(21);
    expect(found).toContainEqual(['192.0.2.1', 300, 'UNAUTHENTICATED']);
    expect(found.find(([address]) => address === '(many)')![1]).toBeGreaterThan(99_900);
  });

  it('are kept when they cannot be written', async () => {
    const failed = createFailedLogins();
    failed.add('192.0.2.1', 'UNAUTHENTICATED');
    const stores = {
      platform: {
        exists: async () => {
          throw new Error('no server');
        },
      },
    } as never;
    await expect(failed.flush({ stores, now: () => new Date() })).rejects.toThrow('no server');
    failed.add('192.0.2.1', 'UNAUTHENTICATED');
    failed.add(undefined, 'RATE_LIMITED');
    expect(await written(failed)).toEqual({
      sum: 3,
      found: [
        ['192.0.2.1', 2, 'UNAUTHENTICATED'],
        ['(none)', 1, 'RATE_LIMITED'],
      ],
    });
  });
});
