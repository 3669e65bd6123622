import { describe, expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();
const integration = { name: 'crm' };
const endUser = { inIntegration: { integration, externalId: 'u-1' } };
const billing = { type: 'BILLING', name: 'Ada', email: 'ada@example.com', phone: '+1 555' };
const technical = { type: 'TECHNICAL', name: 'Grace', email: 'grace@example.com', phone: null };
const fields = 'id externalId displayName version contacts { type name email emailVerified phone }';

async function setUp(): Promise<Caller> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', integration);
  await test.create(caller, 'EndUser', { integration, externalId: 'u-1', displayName: 'Ada Ltd', contacts: [billing, technical] });
  return caller;
}
const update = async (caller: Caller, input: object) => (await run(test, caller, 'updateEndUser', { endUser, ...input }, fields)).endUser;
const verify = (caller: Caller, contactType: string, email: string, verified = true) =>
  run(test, caller, 'setEmailVerified', { endUser, contactType, email, verified }, fields);
const verified = (user: Json) => Object.fromEntries(user.contacts.map(({ type, emailVerified }: Json) => [type, emailVerified]));

describe('an update', () => {
  it('keeps what is absent, clears what is null and empties with []', async () => {
    const caller = await setUp();
    expect(await update(caller, { displayName: 'Ada Inc' })).toMatchObject({
      displayName: 'Ada Inc',
      contacts: [billing, technical],
      version: 2,
    });
    expect(await update(caller, { displayName: null })).toMatchObject({ displayName: '', contacts: [billing, technical] });
    expect(await update(caller, { contacts: [] })).toMatchObject({ displayName: '', contacts: [] });
    expect(await update(caller, { contacts: [technical] })).toMatchObject({ contacts: [technical] });
    expect(await update(caller, { contacts: null })).toMatchObject({ contacts: [], version: 6 });
  });
});

describe('a verified address', () => {
  it('stays verified while it stays the same, of the same contact, whatever else changes', async () => {
    const caller = await setUp();
    await verify(caller, 'BILLING', billing.email);
    expect(verified(await update(caller, { contacts: [technical, { ...billing, name: 'Ada L.', phone: null }] }))).toEqual({
      TECHNICAL: false,
      BILLING: true,
    });
    expect(verified(await update(caller, { displayName: 'x' }))).toEqual({ TECHNICAL: false, BILLING: true });
  });

  const changes: readonly (readonly [string, object[]])[] = [
    ['is changed', [{ ...billing, email: 'other@example.com' }]],
    ['is changed in case only', [{ ...billing, email: 'Ada@example.com' }]],
    ['is cleared', [{ ...billing, email: null }]],
    ['moves to another contact', [{ ...billing, type: 'REGULAR' }]],
    ['is removed', []],
  ];
  it.each(changes)('falls back when it %s, also when it comes back', async (_how, contacts) => {
    const caller = await setUp();
    await verify(caller, 'BILLING', billing.email);
    expect(Object.values(verified(await update(caller, { contacts })))).not.toContain(true);
    expect(verified(await update(caller, { contacts: [billing] }))).toEqual({ BILLING: false });
  });

  // The caller sends the address, so that an address that has changed in the meantime is not confirmed.
  it('is confirmed only if it is the current one', async () => {
    const caller = await setUp();
    expect(await verify(caller, 'BILLING', 'old@example.com')).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'email'], message: expect.stringContaining('is not the current email address') }],
    });
    expect(await verify(caller, 'TECHNICAL', billing.email)).toMatchObject({ code: 'VALIDATION_FAILED' });
    expect(verified(await update(caller, {}))).toEqual({ BILLING: false, TECHNICAL: false });
  });

  it('can be taken back', async () => {
    const caller = await setUp();
    await verify(caller, 'BILLING', billing.email);
    expect(verified((await verify(caller, 'BILLING', billing.email, false)).endUser)).toEqual({ BILLING: false, TECHNICAL: false });
  });

  it('is not carried over to an end user that is made anew', async () => {
    const caller = await setUp();
    await verify(caller, 'BILLING', billing.email);
    await run(test, caller, 'deleteEndUser', { endUser });
    const again = await test.create(caller, 'EndUser', { integration, externalId: 'u-1', contacts: [billing] }, fields);
    expect(verified(again)).toEqual({ BILLING: false });
  });
});

it('has an external id that is unique within its integration, and free in another', async () => {
  const caller = await setUp();
  expect(await run(test, caller, 'createEndUser', { integration, externalId: 'u-1' })).toMatchObject({
    code: 'CONFLICT',
    path: ['input', 'externalId'],
  });
  await test.create(caller, 'Integration', { name: 'shop' });
  await test.create(caller, 'EndUser', { integration: { name: 'shop' }, externalId: 'u-1' });
});
