import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Confinement } from '../../src/access/viewer.ts';
import { Redacted } from '../../src/redacted.ts';
import { newState } from '../../src/store/authorization.ts';
import type { EventRecord } from '../../src/store/event.ts';
import { positionOf } from '../../src/store/event-forms.ts';
import type { OrganizationStore, Store } from '../../src/store/index.ts';
import { type BaseRecord, newId, type RecordStore } from '../../src/store/records.ts';
import type { SecretOwner } from '../../src/store/secret.ts';
import { useTestGateway } from '../harness.ts';
import { openStore, signed } from '../vault.ts';

// What the store is for a viewer who is limited, member by member, below all rules of the domain. A new member needs a case here, or this file
// does not compile.
const test = useTestGateway();
const now = new Date();
const change = { updatedAt: now, updatedBy: { kind: 'token', subject: 'someone' } } as const;
let stores: Store;
beforeAll(async () => {
  stores = await openStore(test);
});
afterAll(() => stores.close());

/** Whose something is. */
interface Place {
  readonly integrationId: string;
  readonly endUserId: string;
}

interface Side {
  /** The store of the whole organization, and as it is for the viewer. */
  readonly whole: OrganizationStore;
  readonly confined: OrganizationStore;
  readonly organizationId: string;
  readonly ours: Place;
  readonly theirs: Place;
}

const first = { integrationId: newId(), endUserId: newId() };
const elsewhere = { integrationId: newId(), endUserId: newId() };
const beside = { integrationId: first.integrationId, endUserId: newId() };
const limits: readonly [string, Confinement, Place][] = [
  ['to an integration', { integrationId: first.integrationId }, elsewhere],
  ['to an end user, from another integration', first, elsewhere],
  ['to an end user, from another of its integration', first, beside],
];

const page = { limit: 10, sortField: 'createdAt', descending: false } as const;
const put = (store: OrganizationStore, owner: Omit<SecretOwner, 'secrets'>) => store.secrets.put(owner, { value: new Redacted('x') }, now);

describe.each(limits)('limited %s', (_, confinement, theirs) => {
  let side: Side;
  beforeAll(async () => {
    const organizationId = test.newOrganization();
    const whole = stores.of(organizationId);
    await whole.organization.ensure(now);
    side = { organizationId, whole, confined: stores.of(organizationId, confinement), ours: first, theirs };
  });

  const base = (id = newId()): BaseRecord => ({ id, organizationId: side.organizationId, version: 1, createdAt: now, updatedAt: now });
  const credential = (place: Place) => ({
    ...base(),
    ...place,
    name: 'c',
    description: null,
    kind: 'string',
    enabled: true,
    expiresAt: null,
    settings: {},
    facts: {},
    secrets: {},
  });

  /** That of two records, of which one lies beyond the limit, there is only the other. */
  async function expectConfined<R extends BaseRecord>(
    confined: RecordStore<R>,
    whole: RecordStore<R>,
    ours: R,
    theirs: R,
    changes: Parameters<RecordStore<R>['update']>[1],
  ): Promise<void> {
    await whole.insert(theirs);
    await whole.insert(ours);
    const { id } = theirs;
    const beyond = { id } as Parameters<RecordStore<R>['one']>[0];
    const all = {} as typeof beyond;
    expect(await confined.byIds([ours.id, id])).toMatchObject([{ id: ours.id }]);
    expect(await confined.one(beyond)).toBeNull();
    expect((await confined.page(all, page)).records).toMatchObject([{ id: ours.id }]);
    // Also in the form that looks in the indexes first, which is for lists. Revocations have none.
    for (const request of 'before' in ours ? [page] : [page, { ...page, isBounded: true }]) {
      const asked = [all, beyond, { nameGlob: '*?' }].map((filter) => ({ filter: filter as typeof all, request }));
      expect((await confined.pages(asked)).map(({ records }) => records.every(({ id }) => id === ours.id))).toEqual([true, true, true]);
      expect((await confined.pages(asked)).map(({ records, hasMore }) => [records.length, hasMore])).toMatchObject([
        [1, false],
        [0, false],
        {},
      ]);
    }
    expect(await confined.counts([all, beyond], 10)).toEqual([
      { count: 1, isExact: true },
      { count: 0, isExact: true },
    ]);
    expect(await confined.ids(all)).toEqual([ours.id]);
    expect(await confined.touch(id)).toBe(false);
    await expect(confined.update(theirs, changes, change)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await confined.remove(beyond)).toBe(0);
    await expect(confined.insert({ ...theirs, id: newId() })).rejects.toThrow('outside the limit');
    expect(await whole.byIds([id])).toMatchObject([{ id, version: 1 }]);
    expect(await confined.remove(all)).toBe(1);
    expect(await whole.ids(all)).toEqual([id]);
    await whole.remove(all);
  }

  /** That each function of a member throws. */
  async function expectRefusing(member: object, except: readonly string[] = []): Promise<void> {
    const functions = Object.entries(member).filter(([name]) => !except.includes(name));
    expect(functions.length).toBeGreaterThan(0);
    for (const [name, run] of functions) await expect(run(), name).rejects.toThrow('not available to a limited viewer');
  }

  /** What an end user shares with the others of its integration has no other side there. */
  const isShared = () => side.theirs.integrationId === side.ours.integrationId;

  const members: { readonly [M in keyof OrganizationStore]: () => Promise<void> } = {
    async integrations() {
      if (isShared()) return;
      const integration = ({ integrationId }: Place) => ({ ...base(integrationId), name: integrationId, description: null });
      const { confined, whole, ours, theirs } = side;
      await expectConfined(confined.integrations, whole.integrations, integration(ours), integration(theirs), { name: 'x' });
    },
    async connectors() {
      if (isShared()) return;
      const lists = { authSchemes: [], credentialIds: [] };
      const connector = ({ integrationId }: Place) => ({
        ...base(),
        ...lists,
        integrationId,
        name: 'c',
        description: null,
        baseUrl: 'https://x',
      });
      const { confined, whole, ours, theirs } = side;
      await expectConfined(confined.connectors, whole.connectors, connector(ours), connector(theirs), { name: 'x' });
    },
    async endUsers() {
      const endUser = ({ integrationId, endUserId }: Place) => ({
        ...base(endUserId),
        integrationId,
        externalId: endUserId,
        displayName: '',
        contacts: [],
      });
      const { confined, whole, ours, theirs } = side;
      await expectConfined(confined.endUsers, whole.endUsers, endUser(ours), endUser(theirs), { displayName: 'x' });
    },
    async connections() {
      const lists = { variables: [], actionCredentials: [], triggerCredentials: [], credentialIds: [] };
      const connection = (place: Place) => ({
        ...base(),
        ...place,
        ...lists,
        connectorId: null,
        ownerId: place.endUserId,
        name: 'c',
        allowedDomain: null,
      });
      const { confined, whole, ours, theirs } = side;
      await expectConfined(confined.connections, whole.connections, connection(ours), connection(theirs), { name: 'x' });
    },
    async credentials() {
      const { confined, whole, ours, theirs } = side;
      await expectConfined(confined.credentials, whole.credentials, credential(ours), credential(theirs), { name: 'x' });
      const past = { ...credential(theirs), expiresAt: new Date(0) };
      await whole.credentials.insert(past);
      const none = { ids: [], altered: [] };
      expect([await whole.credentials.expired(10), await confined.credentials.expired(10)]).toEqual([{ ...none, ids: [past.id] }, none]);
      expect(await whole.credentials.expired(10, [past.id])).toEqual(none);
      await whole.credentials.remove({});
    },
    async apiKeys() {
      const { confined, whole, ours } = side;
      const key = { ...base(), name: 'k', scopes: [], integrationId: ours.integrationId, expiresAt: null, lastUsedAt: null };
      const [record, shown] = await whole.apiKeys.issue(key);
      const secret = new Redacted(shown.expose().split('.').at(-1)!);
      expect(await whole.apiKeys.verify(record.id, secret, now, null)).toMatchObject({ id: record.id });
      expect(await confined.apiKeys.verify(record.id, secret, now, null)).toBeNull();
      expect(await confined.apiKeys.byIds([record.id])).toEqual([]);
      expect(await confined.apiKeys.ids({})).toEqual([]);
      expect((await confined.apiKeys.page({}, page)).records).toEqual([]);
      expect(await confined.apiKeys.remove({})).toBe(0);
      await expect(confined.apiKeys.issue({ ...key, id: newId(), name: 'other' })).rejects.toThrow('outside the limit');
      await expect(confined.apiKeys.reissue(record, now, change, [])).rejects.toMatchObject({ code: 'CONFLICT' });
      expect(await whole.apiKeys.byIds([record.id])).toMatchObject([{ version: 1 }]);
    },
    async audit() {
      const { confined, whole } = side;
      const about = { objectNoun: null, objectId: null, reason: null, address: null, requestId: null, sequence: null, count: 1 };
      const entry = { ...base(), subject: 's', action: 'a', outcome: 'SUCCESS', ...about };
      await confined.audit.insert(entry);
      expect(await whole.audit.ids({})).toEqual([entry.id]);
      const more = [1, 2].map(() => ({ ...base(), subject: 's', action: 'a', outcome: 'SUCCESS', ...about }));
      await confined.transaction(() => confined.audit.insertAll(more));
      expect((await whole.audit.ids({})).toSorted()).toEqual([entry.id, ...more.map(({ id }) => id)].toSorted());
      await expectRefusing(confined.audit, ['insert', 'insertAll']);
    },
    async events() {
      const { confined, whole, ours, theirs } = side;
      const event = (place: Place, number: number) => ({
        ...base(),
        ...place,
        ...{ position: positionOf(number), type: 'CREATED', objectNoun: 'credential', objectId: newId() },
        ...{ snapshot: null, previousState: null, state: null, problem: null, expiry: null },
        ...{ reason: null, causeNoun: null, causeId: null, action: null },
      });
      const [own, foreign] = [event(ours, 1), event(theirs, 2)] as unknown as [EventRecord, EventRecord];
      await whole.events.insertAll([own, foreign]);
      const order = { ...page, sortField: 'position', isBounded: true };
      expect((await confined.events.page({}, order)).records).toMatchObject([{ id: own.id }]);
      expect(await confined.events.byIds([own.id, foreign.id])).toMatchObject([{ id: own.id }]);
      expect(await confined.events.ids({})).toEqual([own.id]);
      await expect(confined.events.insert(event(theirs, 3) as unknown as EventRecord)).rejects.toThrow('outside the limit');
      const { number, range, positionAt, trim, removeAll } = confined.events;
      await expectRefusing({ number, range, positionAt, trim, removeAll });
      await whole.events.remove({});
    },
    async webhooks() {
      const { confined, whole, ours, theirs } = side;
      // All end users of an integration would share them; they have no scope for them.
      if (isShared()) return;
      const webhook = ({ integrationId }: Place) => ({
        ...base(),
        ...{
          integrationId,
          url: 'https://a.example/',
          types: [],
          nouns: [],
          enabled: true,
          problem: null,
          algorithm: 'HMAC_SHA256' as const,
        },
        secrets: [],
      });
      await expectConfined(confined.webhooks, whole.webhooks, webhook(ours), webhook(theirs), { url: 'https://b.example/' });
      const { secrets: _, ...foreign } = webhook(theirs);
      await expect(confined.webhooks.issue(foreign)).rejects.toThrow('outside the limit');
      const [stored] = await whole.webhooks.issue({ ...foreign, id: newId() });
      await expect(confined.webhooks.reissue(stored, now, change)).rejects.toMatchObject({ code: 'CONFLICT' });
      expect(await confined.webhooks.removeWhole({ id: stored.id })).toEqual([]);
      expect((await whole.webhooks.signer(stored, now))('id', 0, '')).toMatch(/^v1,/);
      // Not even who holds a record from elsewhere signs with its secret.
      await expect(confined.webhooks.signer(stored, now)).rejects.toMatchObject({ code: 'UNREADABLE_SECRET' });
      await whole.webhooks.removeWhole({});
    },
    async webhookDeliveries() {
      const { confined, whole, ours, theirs } = side;
      if (isShared()) return;
      const delivery = ({ integrationId }: Place) => ({
        ...base(),
        ...{ integrationId, webhookId: newId(), eventId: null, attempt: 1, status: 200, failure: null, milliseconds: 1, answer: null },
      });
      await expectConfined(confined.webhookDeliveries, whole.webhookDeliveries, delivery(ours), delivery(theirs), { attempt: 2 });
    },
    async idempotency() {
      const { confined, whole } = side;
      const { removeExpired, removeAll } = confined.idempotency;
      await expectRefusing({ removeExpired, removeAll });
      // Its hash tells which viewer's it is.
      const later = new Date(Date.now() + 60_000);
      const reservation = { keyHash: newId(), requestHash: newId(), attempt: newId(), expiresAt: later };
      await confined.transaction(() => confined.idempotency.insert(reservation, later, null));
      expect(await whole.idempotency.find(reservation.keyHash, new Date())).toMatchObject({ state: 'running', hasCommitted: false });
      await whole.idempotency.removeAll();
      expect(await confined.idempotency.find(reservation.keyHash, new Date())).toBeNull();
    },
    async webhookQueue() {
      const { confined, whole } = side;
      await expectRefusing(confined.webhookQueue, ['begin', 'setActive', 'restart', 'rewind', 'add']);
      const id = newId();
      await confined.webhookQueue.begin(id, positionOf(1));
      expect(await whole.webhookQueue.ids()).toEqual([id]);
      await whole.webhookQueue.forget();
      expect(await whole.webhookQueue.ids()).toEqual([]);
    },
    async secrets() {
      const { confined, whole, ours, theirs } = side;
      const [own, foreign] = [credential(ours), credential(theirs)];
      await expect(put(confined, foreign)).rejects.toThrow('outside the limit');
      const [ownRecord, foreignRecord] = [
        { ...own, secrets: await put(confined, own) },
        { ...foreign, secrets: await put(whole, foreign) },
      ];
      for (const record of [ownRecord, foreignRecord]) await whole.credentials.insert(record);
      expect((await confined.secrets.open(ownRecord, 'value')).expose()).toBe('x');
      const missing = expect.objectContaining({ code: 'UNREADABLE_SECRET', message: expect.stringContaining('missing') });
      await expect(confined.secrets.open(foreignRecord, 'value')).rejects.toEqual(missing);
      await expect(confined.secrets.sign(foreignRecord, 'value', 'utf8', {})).rejects.toEqual(missing);
      await expect(confined.secrets.unset(foreign.id, ['value'])).rejects.toEqual(missing);
      await expect(confined.secrets.put({ ...foreign, ...ours }, { other: new Redacted('y') }, now)).rejects.toEqual(missing);
      const secrets = { other: new Redacted('y') };
      await expect(
        confined.secrets.putAll(
          [
            { owner: own, secrets },
            { owner: foreign, secrets },
          ],
          now,
        ),
      ).rejects.toThrow('outside the limit');
      await expect(confined.secrets.putAll([{ owner: { ...foreign, ...ours }, secrets }], now)).rejects.toEqual(missing);
      await expect(confined.credentials.insertAll([credential(ours), credential(theirs)])).rejects.toThrow('outside the limit');
      await confined.credentials.touchAll([foreign.id]);
      expect((await confined.credentials.all({ id: [own.id, foreign.id] })).map(({ id }) => id)).toEqual([own.id]);
      expect([...(await confined.secrets.readableFields([ownRecord, foreignRecord])).keys()]).toEqual([own.id]);
      await confined.secrets.removeAll([own.id, foreign.id]);
      expect((await whole.secrets.open(foreignRecord, 'value')).expose()).toBe('x');
      await expect(whole.secrets.open(ownRecord, 'value')).rejects.toEqual(missing);
      await expectRefusing(confined.secrets, ['open', 'sign', 'unset', 'put', 'putAll', 'readableFields', 'removeAll']);
      await whole.credentials.remove({});
    },
    async ssoLinks() {
      const { confined, whole, ours, theirs } = side;
      const link = (place: Place) => ({ ...place, jti: newId(), contactType: 'REGULAR', issuedAt: now, expiresAt: now }) as const;
      await confined.ssoLinks.insert(link(ours));
      await expect(confined.ssoLinks.insert(link(theirs))).rejects.toThrow('outside the limit');
      await whole.ssoLinks.insert(link(theirs));
      await confined.ssoLinks.removeAll(theirs.integrationId);
      await confined.ssoLinks.removeExpired();
      const left = await test.database.collection('ssoLinks').find({ organizationId: side.organizationId }).toArray();
      expect(left).toMatchObject([theirs]);
    },
    async authorizations() {
      const { confined, whole, ours, theirs } = side;
      const start = async (store: typeof whole, place: Place) => {
        const { state, secrets } = newState();
        const details = {
          ...place,
          connectorId: 'c',
          schemeId: 's',
          connectionId: null,
          name: 'n',
          scopes: [],
          redirectUrl: 'https://a.example/',
        };
        const startedBy = { kind: 'token', subject: 's', issuedAt: null, keyHash: null, scopes: [], confinedTo: null } as const;
        const more = { returnTo: null, confirmation: false, startedBy };
        await store.authorizations.insert(newId(), state, { ...details, ...more }, secrets, new Date(now.getTime() + 60_000));
        return state;
      };
      const [own, foreign] = [await start(confined, ours), await start(whole, theirs)];
      await expect(start(confined, theirs)).rejects.toThrow('outside the limit');
      expect(await confined.authorizations.peek(foreign)).toBeUndefined();
      expect(await confined.authorizations.take(foreign)).toBeUndefined();
      expect(await confined.authorizations.count(10)).toBe(1);
      await confined.authorizations.removeExpired();
      await confined.authorizations.removeAll(theirs);
      expect(await whole.authorizations.peek(foreign)).toMatchObject(theirs);
      expect(await confined.authorizations.take(own)).toMatchObject(ours);
      expect(await whole.authorizations.take(own)).toBeUndefined();
      expect(await whole.authorizations.take(foreign)).toMatchObject(theirs);
    },
    async revocations() {
      const { confined, whole, ours, theirs } = side;
      const revocation = (place: Place) => ({ ...base(), ...place, subject: null, before: now, expiresAt: new Date(0) });
      await expectConfined(confined.revocations, whole.revocations, revocation(ours), revocation(theirs), { before: now });
      const issuers = { ...base(), subject: 's', endUserId: null, integrationId: null, before: now, expiresAt: new Date(0) };
      await expect(confined.revocations.insert(issuers)).rejects.toThrow('outside the limit');
      await whole.revocations.insert(issuers);
      await whole.revocations.insert(revocation(theirs));
      expect(await confined.revocations.all()).toEqual([]);
      expect(await confined.revocations.latest({ subject: 's', endUserId: null })).toBeNull();
      expect(await confined.revocations.latest({ subject: null, endUserId: theirs.endUserId })).toBeNull();
      await confined.revocations.removeExpired(now);
      expect(await whole.revocations.all()).toHaveLength(2);
      await whole.revocations.remove({});
    },
    async endUserTokens() {
      const { confined, whole, ours, theirs } = side;
      const claims = (place: Place) => ({ ...place, scopes: [], jti: newId() });
      const expiresAt = new Date(now.getTime() + 60_000);
      await expect(confined.endUserTokens.sign(claims(theirs), now, expiresAt)).rejects.toThrow('outside the limit');
      const { keyId } = await whole.keys.token();
      const verified = async (place: Place) =>
        confined.endUserTokens.verify(keyId, await whole.endUserTokens.sign(claims(place), now, expiresAt), now);
      expect(await verified(ours)).toMatchObject(ours);
      expect(await verified(theirs)).toBeUndefined();
    },
    async organization() {
      const { organization } = side.confined;
      expect(await organization.state()).toBe('live');
      expect(await organization.begin()).toBe('live');
      await organization.ensure(now);
      await expectRefusing(organization, ['state', 'begin', 'ensure']);
    },
    keys: () => expectRefusing(side.confined.keys),
    leases: () => expectRefusing(side.confined.leases),
    async slots() {
      const { confined, whole, ours } = side;
      await confined.slots.open(ours.integrationId);
      await confined.slots.attach(ours.integrationId);
      await whole.slots.close([ours.integrationId]);
    },
    async transaction() {
      expect(side.confined.transaction).toBe(side.whole.transaction);
    },
  };

  it.each(Object.entries(members))('%s', (_, expectAsItsRowSays) => expectAsItsRowSays());
});

describe('an organization’s store', () => {
  it('builds a member when it is first read, and keeps it', () => {
    const store = stores.of(test.newOrganization());
    expect(Object.keys(store)).toEqual([]);
    const { credentials } = store;
    expect(store.credentials).toBe(credentials);
    expect(Object.keys(store)).toEqual(['credentials']);
  });

  it('writes its own organization, whatever a record says', async () => {
    const [one, other] = [test.newOrganization(), test.newOrganization()];
    const record = { id: newId(), organizationId: other, version: 1, createdAt: now, updatedAt: now, name: 'x', description: null };
    await stores.of(one).organization.ensure(now);
    await stores.of(one).integrations.insert(record);
    expect(await stores.of(other).integrations.byIds([record.id])).toEqual([]);
    expect(await stores.of(one).integrations.byIds([record.id])).toMatchObject([{ organizationId: one }]);
  });
});

// It was called `problems` once, and was always null.
it('a credential that was stored before it had errors is read and changed as one that was never checked', async () => {
  const caller = { organization: test.newOrganization() };
  await test.create(caller, 'Integration', { name: 'crm' });
  const { id } = await test.create(caller, 'Credential', { integration: { name: 'crm' }, name: 'old', data: { none: {} } });
  const stored = { organizationId: caller.organization, name: 'old' };
  const before = (await test.database.collection('credentials').findOne(stored))!;
  await test.database.collection('credentials').replaceOne(stored, await signed(test, 'credential', { ...before, problems: null }));
  const read = 'query ($id: ID!) { credential(id: $id) { ... on CredentialBase { name errors } } }';
  expect((await test.query(caller, read, { id })).credential).toEqual({ name: 'old', errors: null });
  const change = 'mutation ($id: ID!) { result: updateCredential(input: { credential: $id, name: "new" }) { __typename } }';
  expect((await test.query(caller, change, { id })).result.__typename).toBe('UpdateCredentialSuccess');
  expect((await test.query(caller, read, { id })).credential).toEqual({ name: 'new', errors: null });
});
