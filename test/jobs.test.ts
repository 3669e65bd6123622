import { afterEach, expect, it, vi } from 'vitest';
import { useTestGateway } from './harness.ts';
import { openCopy } from './keys/vault.ts';

const test = useTestGateway();
afterEach(() => void vi.useRealTimers());

// Nobody asks for it: what is past goes away and the audit log is sealed because a gateway is there.
it('a gateway sweeps and seals by itself each minute, until it stops', async () => {
  const caller = { organization: test.newOrganization() };
  const integration = { name: 'crm' };
  await test.create(caller, 'Integration', integration);
  const expiresAt = new Date(Date.now() + 60_000);
  await test.create(caller, 'Credential', { integration, name: 'short-lived', data: { none: {} }, expiresAt });
  const left = () => test.database.collection('credentials').countDocuments({ organizationId: caller.organization });
  const sealed = () => test.database.collection('auditSeals').countDocuments({ organizationId: caller.organization });

  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const gateway = await openCopy(test, { now: () => expiresAt });
  await vi.advanceTimersByTimeAsync(59_999);
  expect([await left(), await sealed()]).toEqual([1, 0]);
  await vi.advanceTimersByTimeAsync(1);
  await vi.waitFor(async () => expect([await left(), (await sealed()) > 0]).toEqual([0, true]), { timeout: 10_000, interval: 50 });

  await gateway.stop();
  const before = await sealed();
  await test.create(caller, 'Integration', { name: 'later' });
  await vi.advanceTimersByTimeAsync(120_000);
  expect(await sealed()).toBe(before);
});
