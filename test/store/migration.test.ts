import { readFileSync } from 'node:fs';
import { EJSON } from 'bson';
import { beforeEach, expect, it } from 'vitest';
import { parseId } from '../../src/schema/kit/global-id.ts';
import { localKeyProvider } from '../../src/secrets/key-provider.ts';
import { type Json, TestGateway, useTestGateway } from '../harness.ts';
import { openCopy, reveal } from '../vault.ts';

// A database as the version before wrote it: keys without a purpose, records without MACs, secrets without generations.
const { about, dump } = EJSON.parse(readFileSync(new URL('format-1.json', import.meta.url), 'utf8')) as {
  about: {
    masterKey: string;
    ids: Record<string, string>;
    jwt: string;
    email: string;
    values: [string, string][];
    apiKey: { key: string };
  };
  dump: Record<string, Json[]>;
};

class OldDatabase extends TestGateway {
  override readonly masterKey = new Uint8Array(Buffer.from(about.masterKey, 'base64'));
}
const test = useTestGateway(new OldDatabase());
const organization = 'acme';
const caller = { organization };
const documents = (name: string) => test.database.collection<Json>(name);
const idOf = (globalId: string) => parseId(globalId)!.id;

beforeEach(async () => {
  await test.close();
  for (const collection of await test.database.collections()) await collection.deleteMany({});
  for (const [name, all] of Object.entries(dump)) {
    if (all.length > 0) await documents(name).insertMany(structuredClone(all));
  }
});

/** A gateway that is open for the migration only. */
const opened = () => openCopy(test, { opensOldFormat: true });

async function migrated(signal?: AbortSignal) {
  const gateway = await opened();
  try {
    return await gateway.migrate(signal ? { signal } : {});
  } finally {
    await gateway.stop();
  }
}

const SIGN = `mutation ($endUser: EndUserRef!) { result: createSSOLink(input: { endUser: $endUser, contactType: REGULAR }) { __typename ... on MutationError { code message } } }`;

const ALLOW = `mutation ($input: UpdateCredentialInput!) { result: updateCredential(input: $input) { __typename ... on MutationError { code message } } }`;

async function expectMigrated(): Promise<void> {
  await test.open();
  for (const [id, value] of about.values) expect(await reveal(test, caller, id)).toBe(value);
  expect(await test.gateway.checkIntegrity(organization)).toEqual({ altered: [], unreadable: [] });
  // No version before had these fields, and nobody has allowed anything yet.
  const sign = async () => (await test.query(caller, SIGN, { endUser: { id: about.ids.endUser } })).result;
  expect(await sign()).toMatchObject({ code: 'SSO_NOT_CONFIGURED' });
  const allowed = { credential: about.jwt, allowedPurposes: ['SSO_SIGNING'], allowedDomains: ['acme.zendesk.com'] };
  await test.query(caller, ALLOW, { input: allowed });
  expect(await sign()).toEqual({ __typename: 'CreateSSOLinkSuccess' });
  const { data } = await test.answer(
    { organization, token: about.apiKey.key },
    '{ credentials { nodes { ... on CredentialBase { integrity version } } } }',
  );
  expect(data.credentials.nodes.length).toBeGreaterThan(5);
  expect(new Set(data.credentials.nodes.map(({ integrity }: Json) => integrity))).toEqual(new Set(['INTACT']));
  await test.gateway.audit.seal();
  expect(await test.gateway.audit.verify(organization)).toMatchObject({ problems: [] });
  await test.gateway.keys.rotate({ organizationId: organization });
  for (const [id, value] of about.values) expect(await reveal(test, caller, id)).toBe(value);
}

it('a database of the version before is refused, and nothing in it is changed', async () => {
  const before = await documents('dataKeys').find().toArray();
  await expect(test.open()).rejects.toMatchObject({ name: 'OldFormatError' });
  expect(await documents('dataKeys').find().toArray()).toEqual(before);
});

it('is migrated as a whole, and only once', async () => {
  expect(await migrated()).toMatchObject({ organizations: 1, failed: [], unreadableCount: 0, stopped: false });
  expect(await migrated()).toMatchObject({ organizations: 0, records: 0 });
  await expectMigrated();
});

// The command asks the signal before each organization and before each batch of a noun.
it.each([1, 2, 4, 6])('goes on after it was stopped at step %i', async (step) => {
  let asked = 0;
  const signal = {
    get aborted() {
      return asked++ >= step;
    },
  } as AbortSignal;
  expect(await migrated(signal)).toMatchObject({ organizations: 0, stopped: true });
  await expect(test.open()).rejects.toMatchObject({ name: 'OldFormatError' });
  expect(await migrated()).toMatchObject({ organizations: 1, failed: [], unreadableCount: 0, stopped: false });
  await expectMigrated();
});

it('forged records do not get a MAC by migrating again, whatever the hints in the database say', async () => {
  await migrated();
  const forged = { ...dump.apiKeys![0], _id: 'f'.repeat(24), name: 'forged', scopes: ['credentials.reveal'] };
  await documents('apiKeys').insertOne(structuredClone(forged));
  await documents('dataKeys').updateMany({}, { $unset: { format: 1 } });
  // The start is refused, as somebody wants; but the headers of the keys prove that there is nothing to migrate.
  await expect(test.open()).rejects.toMatchObject({ name: 'OldFormatError' });
  expect(await migrated()).toMatchObject({ organizations: 0, records: 0, failed: [organization] });
  await documents('dataKeys').updateMany({}, { $set: { format: 2 } });
  await test.open();
  expect((await test.gateway.checkIntegrity(organization)).altered).toEqual([{ noun: 'apiKey', id: forged._id }]);
  await documents('apiKeys').deleteOne({ _id: forged._id });
});

it('one old key put among the new ones is not taken for an old database', async () => {
  await migrated();
  const old = dump.dataKeys!.find(({ purpose }) => purpose === 'fingerprint');
  await documents('dataKeys').replaceOne({ _id: old._id }, structuredClone(old));
  expect(await migrated()).toMatchObject({ organizations: 0, records: 0, failed: [organization] });
});

it('an organization with keys of both formats, or without a key to seal with, does not stop the others', async () => {
  const { wrapped } = dump.dataKeys!.find(({ purpose }) => purpose === 'fingerprint');
  const key = { purpose: 'fingerprint', state: 'current', wrapped, createdAt: new Date() };
  await documents('dataKeys').insertMany([
    { ...key, _id: 'a', organizationId: 'aaa' },
    { ...key, _id: 'b', organizationId: 'aaa', purpose: 'seal', format: 2 },
    { ...key, _id: 'c', organizationId: 'aab' },
  ]);
  // A key that is not bound to its purpose is bound to its organization.
  const own = await localKeyProvider([test.masterKey]).wrap(new Uint8Array(32), { organizationId: 'aab', keyId: 'c', purpose: null });
  await documents('dataKeys').updateOne({ _id: 'c' }, { $set: { wrapped: own } });
  expect(await migrated()).toMatchObject({ organizations: 1, failed: ['aaa', 'aab'] });
  await documents('dataKeys').deleteMany({ organizationId: { $in: ['aaa', 'aab'] } });
  // The audit logs are migrated when all organizations are.
  expect(await migrated()).toMatchObject({ organizations: 0, failed: [], auditLogs: { migrated: [{ organizationId: organization }] } });
  await expectMigrated();
});

it('an organization whose keys no master key opens is named and left alone; a secret that does not open is named', async () => {
  const [damaged] = await documents('secrets')
    .find({ credentialId: idOf(about.values[0]![0]) })
    .toArray();
  await documents('secrets').updateOne({ _id: damaged._id }, { $set: { sealed: `${damaged.sealed.slice(0, -4)}AAAA` } });
  const other = new OldDatabase();
  const lost = await localKeyProvider([new Uint8Array(32).fill(7)]).wrap(new Uint8Array(32), {
    organizationId: 'lost',
    keyId: 'k',
    purpose: null,
  });
  const key = { _id: 'k', organizationId: 'lost', purpose: 'fingerprint', state: 'current', wrapped: lost, createdAt: new Date() };
  await documents('dataKeys').insertOne(key);
  expect(other.masterKey).toEqual(test.masterKey);
  const report = await migrated();
  expect(report).toMatchObject({
    organizations: 1,
    failed: ['lost'],
    unreadableCount: 1,
    unreadable: [{ credentialId: damaged.credentialId, field: 'value' }],
  });
  await documents('dataKeys').deleteOne({ _id: 'k' });
  await test.open();
  expect(await reveal(test, caller, about.values[0]![0])).toBe('UNREADABLE_SECRET');
  expect(await reveal(test, caller, about.values[1]![0])).toBe(about.values[1]![1]);
});
