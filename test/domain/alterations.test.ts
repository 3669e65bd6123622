import { describe, expect, it } from 'vitest';
import { createAlterations } from '../../src/domain/alterations.ts';
import type { Json } from '../harness.ts';

describe('altered records', () => {
  const written: Json[] = [];
  const store = { organization: { state: async () => 'live' }, audit: { insert: async (record: Json) => void written.push(record) } };
  const stores = { of: () => store } as never;
  const of = (organizationId: string) => written.filter((entry) => entry.organizationId === organizationId);

  it('of one organization do not hide those of another', async () => {
    const alterations = createAlterations();
    for (let index = 0; index < 10_000; index++) alterations.add({ organizationId: 'loud', noun: 'integration', id: `${index}` });
    alterations.add({ organizationId: 'quiet', noun: 'credential', id: '1' });
    const start = new Date();
    expect(await alterations.flush(stores, start)).toBe(102);
    expect(of('quiet')).toEqual([expect.objectContaining({ objectNoun: 'credential', objectId: '1' })]);
    expect(of('loud')).toHaveLength(101);
    // One entry says that there are more.
    expect(of('loud').filter(({ objectId }) => objectId === null)).toHaveLength(1);
    alterations.add({ organizationId: 'loud', noun: 'integration', id: 'another' });
    expect(await alterations.flush(stores, start)).toBe(0);
    await alterations.flush(stores, new Date(start.getTime() + 60 * 60_000));
    alterations.add({ organizationId: 'loud', noun: 'integration', id: 'another' });
    expect(await alterations.flush(stores, start)).toBe(1);
  });
});
