import { describe, expect, it } from 'vitest';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';

const test = useTestGateway();

// The document's account is our end user, its four contacts are the end user's. The links are in `test/sso/`.
const types = ['REGULAR', 'BILLING', 'ADMINISTRATOR', 'TECHNICAL'] as const;
const account = { inIntegration: { integration: { name: 'hosting' }, externalId: 'account-1' } };
const contactOf = (type: string) => ({
  type,
  name: `The ${type} one`,
  email: `${type.toLowerCase()}@example.com`,
  phone: '+1 210 555 0100',
});

async function setUp(contacts: readonly object[] = types.map(contactOf)): Promise<Caller> {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'hosting' });
  await test.create(caller, 'EndUser', { integration: { name: 'hosting' }, externalId: 'account-1', contacts });
  return caller;
}
async function contacts(caller: Caller): Promise<Json[]> {
  const query = 'query ($by: EndUserRef!) { endUser(by: $by) { contacts { type name email emailVerified phone } } }';
  return (await test.query(caller, query, { by: account })).endUser.contacts;
}
const verify = (caller: Caller, contactType: string, email: string, verified = true, endUser: object = account) =>
  run(test, caller, 'setEmailVerified', { endUser, contactType, email, verified }, 'contacts { type emailVerified }');

describe('contacts', () => {
  it('H2, H3: an account, told by its own id, has a contact of each of four types', async () => {
    expect(await contacts(await setUp())).toEqual(types.map((type) => ({ ...contactOf(type), emailVerified: false })));
  });

  it('H3: there is no fifth type, and none twice', async () => {
    const caller = await setUp([]);
    const twice = await run(test, caller, 'updateEndUser', {
      endUser: account,
      contacts: [contactOf('BILLING'), contactOf('BILLING')],
    });
    expect(twice.issues).toEqual([{ path: ['input', 'contacts'], message: 'must not have two items with the same type' }]);
    const query = 'mutation ($input: UpdateEndUserInput!) { updateEndUser(input: $input) { __typename } }';
    const { status, errors } = await test.answer(caller, query, { input: { endUser: account, contacts: [contactOf('SALES')] } });
    expect({ status, path: errors?.[0].extensions.path }).toEqual({ status: 400, path: ['$input', 'contacts', 0, 'type'] });
  });

  it('H20: what is not given of a contact is null', async () => {
    expect(await contacts(await setUp([{ type: 'TECHNICAL' }]))).toEqual([
      { type: 'TECHNICAL', name: null, email: null, phone: null, emailVerified: false },
    ]);
  });
});

describe('whether the email address is verified', () => {
  it('H9, H20: is known of each contact, and of one contact only', async () => {
    const caller = await setUp();
    await verify(caller, 'BILLING', 'billing@example.com');
    expect((await contacts(caller)).map(({ type, emailVerified }) => [type, emailVerified])).toEqual([
      ['REGULAR', false],
      ['BILLING', true],
      ['ADMINISTRATOR', false],
      ['TECHNICAL', false],
    ]);
    await verify(caller, 'BILLING', 'billing@example.com', false);
    expect((await contacts(caller)).map(({ emailVerified }) => emailVerified)).toEqual([false, false, false, false]);
  });

  it('H9: cannot be sent with the contact itself', async () => {
    const caller = await setUp([]);
    const query = 'mutation ($input: UpdateEndUserInput!) { updateEndUser(input: $input) { __typename } }';
    const { status } = await test.answer(caller, query, {
      input: { endUser: account, contacts: [{ ...contactOf('BILLING'), emailVerified: true }] },
    });
    expect(status).toBe(400);
    expect(await contacts(caller)).toEqual([]);
  });

  it('H11: an account or a contact that does not exist is not found', async () => {
    const caller = await setUp([contactOf('BILLING')]);
    expect(await verify(caller, 'TECHNICAL', 'technical@example.com')).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'contactType'] });
    const unknown = { inIntegration: { integration: { name: 'hosting' }, externalId: 'no such' } };
    expect(await verify(caller, 'BILLING', 'billing@example.com', true, unknown)).toMatchObject({
      code: 'NOT_FOUND',
      path: ['input', 'endUser'],
    });
  });
});
