import { expect, it } from 'vitest';
import { createRefusals } from '../../src/domain/refusals.ts';
import type { Store } from '../../src/store/index.ts';

let requests = 0;
const viewer = { organizationId: 'acme', kind: 'token', subject: 'ada', scopes: new Set<string>() } as const;

it.each(['state', 'insert'])('what cannot be written while %s fails is written with what comes after', async (failing) => {
  const written: { readonly count: number }[] = [];
  let isDown = true;
  const orFail = <T>(name: string, value: T) => {
    if (isDown && name === failing) throw new Error('no server');
    return value;
  };
  const store = {
    organization: { state: async () => orFail('state', 'live') },
    audit: { insert: async (record: { readonly count: number }) => void written.push(orFail('insert', record)) },
  };
  const stores = { of: () => store } as unknown as Store;
  const refusals = createRefusals();
  refusals.add(viewer, 'createIntegration', 'FORBIDDEN', { requestId: `r${++requests}`, address: null });
  await expect(refusals.flush(stores, new Date())).rejects.toMatchObject({ errors: [{ cause: { message: 'no server' } }] });
  refusals.add(viewer, 'createIntegration', 'FORBIDDEN', { requestId: `r${++requests}`, address: null });
  isDown = false;
  await refusals.flush(stores, new Date());
  await refusals.flush(stores, new Date());
  expect(written.map(({ count }) => count)).toEqual([2]);
});
