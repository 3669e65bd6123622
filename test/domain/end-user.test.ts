import { describe, expect, it } from 'vitest';
import { danglingReferences } from '../database.ts';
import { type Caller, type Json, useTestGateway } from '../harness.ts';
import { run } from '../operations.ts';
import { resign } from '../vault.ts';

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

describe('the primary connection', () => {
  const primary = async (caller: Caller, primaryConnection: object | null) =>
    (await run(test, caller, 'updateEndUser', { endUser, primaryConnection }, 'version primaryConnection { name }')).endUser;
  const now = async (caller: Caller) =>
    (
      await test.query(
        caller,
        'query ($by: EndUserRef!) { endUser(by: $by) { version primaryConnection { name } updatedBy { subject } } }',
        { by: endUser },
      )
    ).endUser;

  it('is one of the end user’s own, and is forgotten with the connection, however that goes', async () => {
    const caller = await setUp();
    await test.create(caller, 'EndUser', { integration, externalId: 'u-2' });
    const connector = await test.create(caller, 'Connector', { integration, name: 's', baseUrl: 'https://api.example.com' });
    const own = await test.create(caller, 'Connection', { integration, endUser, name: 'own' });
    const viaConnector = await test.create(caller, 'Connection', { integration, endUser, connector: { id: connector.id }, name: 'via' });
    const shared = await test.create(caller, 'Connection', { integration, name: 'shared' });
    const others = { inIntegration: { integration, externalId: 'u-2' } };
    const another = await test.create(caller, 'Connection', { integration, endUser: others, name: 'another’s' });
    for (const { id } of [shared, another]) {
      const result = await run(test, caller, 'updateEndUser', { endUser, primaryConnection: { id } });
      expect(result).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: ['input', 'primaryConnection'] }] });
    }
    expect(await now(caller)).toMatchObject({ version: 1, primaryConnection: null });

    expect(await primary(caller, { id: own.id })).toEqual({ version: 2, primaryConnection: { name: 'own' } });
    expect(await primary(caller, { id: own.id })).toMatchObject({ version: 2 });
    expect(await primary(caller, null)).toEqual({ version: 3, primaryConnection: null });
    // By its name, and kept by an update of something else.
    await primary(caller, { inIntegration: { integration, endUser, name: 'own' } });
    expect(await update(caller, { displayName: 'Ada' })).toMatchObject({ version: 5 });
    // Deleting another connection is none of its business.
    await run(test, caller, 'deleteConnection', { connection: { id: shared.id } });
    expect(await now(caller)).toMatchObject({ version: 5, primaryConnection: { name: 'own' } });
    const token = await test.makeEndUserToken(caller, endUser, { scopes: ['connections.delete'] });
    await run(test, { ...caller, token }, 'deleteConnection', { connection: { id: own.id } });
    const ownId = (await run(test, caller, 'updateEndUser', { endUser })).endUser.id;
    expect(await now(caller)).toEqual({ version: 6, primaryConnection: null, updatedBy: { subject: ownId } });
    const { auditLog } = await test.query(caller, '{ auditLog(first: 1, action: updateEndUser) { nodes { reason } } }');
    expect(auditLog.nodes[0].reason).toBe('nothing changed');

    await primary(caller, { id: viaConnector.id });
    await run(test, caller, 'deleteConnector', { connector: { id: connector.id }, force: true });
    expect(await now(caller)).toMatchObject({ version: 8, primaryConnection: null, updatedBy: { subject: 'tester' } });
    await run(test, caller, 'deleteEndUser', { endUser: others, force: true });
    expect((await test.gateway.audit.verify(caller.organization))!.problems).toEqual([]);
    expect(await danglingReferences(test)).toEqual([]);
  });
});

describe('who wrote a record', () => {
  it('is told to the organization; an end user learns who it was only if that was the end user itself', async () => {
    const caller = await setUp();
    const credential = await test.create(caller, 'Credential', { integration, endUser, name: 'c', data: { string: { value: 'v' } } });
    const connection = await test.create(caller, 'Connection', {
      integration,
      endUser,
      name: 'own',
      actionCredentials: [{ credential: { id: credential.id } }],
    });
    const key = await test.makeAPIKey(caller, { scopes: ['connections.*'], integration });
    const own = { ...caller, token: await test.makeEndUserToken(caller, endUser, { scopes: ['all.Organization'] }) };
    const query = 'query ($id: ID!) { connection(by: { id: $id }) { createdBy { kind subject } updatedBy { kind subject } } }';
    const seenBy = async (viewer: Caller) => (await test.query(viewer, query, { id: connection.id })).connection;
    const seeder = { kind: 'TOKEN', subject: 'tester' };
    expect(await seenBy(caller)).toEqual({ createdBy: seeder, updatedBy: seeder });
    expect(await seenBy(own)).toEqual({ createdBy: { kind: 'TOKEN', subject: null }, updatedBy: { kind: 'TOKEN', subject: null } });

    // What goes along with the deletion of a credential is of who asked for that.
    await run(test, own, 'deleteCredential', { credential: credential.id, force: true });
    const { id } = (await run(test, caller, 'updateEndUser', { endUser })).endUser;
    const itself = { kind: 'END_USER', subject: id };
    expect(await seenBy(caller)).toEqual({ createdBy: seeder, updatedBy: itself });
    expect(await seenBy(own)).toEqual({ createdBy: { kind: 'TOKEN', subject: null }, updatedBy: itself });
    const service = { ...caller, token: key.key };
    expect(await seenBy(service)).toEqual({ createdBy: { kind: 'TOKEN', subject: null }, updatedBy: itself });
    await run(test, service, 'updateConnection', { connection: { id: connection.id }, name: 'renamed' });
    expect(await seenBy(service)).toMatchObject({ updatedBy: { kind: 'API_KEY', subject: key.id } });

    // A record of an earlier version says nothing about it.
    await resign(test, 'connection', { organizationId: caller.organization }, ({ createdBy: _, updatedBy: __, ...rest }) => rest);
    expect(await seenBy(caller)).toEqual({ createdBy: null, updatedBy: null });
  });
});
