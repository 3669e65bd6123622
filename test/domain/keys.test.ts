import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { replaceWornKeys } from '../../src/domain/keys.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import { Redacted } from '../../src/redacted.ts';
import type { Store } from '../../src/store/index.ts';
import type { SecretOwner } from '../../src/store/secret.ts';
import { useTestGateway } from '../harness.ts';
import {
  add,
  Clock,
  change,
  expectAllOpen,
  expectFilledOpen,
  fill,
  gatewayOn,
  newVault,
  openCopy,
  openStore,
  ownerOf,
  reveal,
  sealKeys,
  secretsUnder,
  stateOf,
} from '../vault.ts';

const test = useTestGateway();
const clock = new Clock();
let rotator: Gateway;
let stores: Store;

beforeAll(async () => {
  rotator = await openCopy(test, { now: clock.now });
  stores = await openStore(test);
});
afterEach(() => {
  clock.offset = 0;
});
afterAll(async () => {
  await rotator.stop();
  await stores.close();
});

it('moves every secret to a new key, and destroys the old one when it has rested', async () => {
  const { caller, values } = await newVault(test);
  const organizationId = caller.organization;
  const credentials = () => test.database.collection('credentials').find({ organizationId }).toArray();
  const before = await credentials();
  const [old] = await sealKeys(test, organizationId);

  const first = await rotator.keys.rotate({ organizationId });
  expect(first).toMatchObject({ newKeys: 1, continued: 0, resealed: 3, destroyed: 0, resting: 1, unreadableCount: 0, stopped: false });
  expect(first.restingUntil!.getTime() - clock.now().getTime()).toBeGreaterThan(4 * 60_000);
  const [opening, current] = await sealKeys(test, organizationId);
  expect(opening).toMatchObject({ _id: old!._id, state: 'opening', wrapped: old!.wrapped });
  expect(await secretsUnder(test, organizationId)).toEqual({ [current!._id]: 3 });
  await expectAllOpen(test, caller, values);

  clock.pastRest();
  expect(await rotator.keys.rotate({ organizationId, newKeys: false })).toMatchObject({ newKeys: 0, destroyed: 1, resting: 0 });
  const [destroyed] = await sealKeys(test, organizationId);
  expect(destroyed).toMatchObject({ _id: old!._id, state: 'destroyed' });
  expect(destroyed).not.toHaveProperty('wrapped');
  await expectAllOpen(test, caller, values);
  // Neither version nor times nor fingerprints: nobody has changed a credential.
  expect(await credentials()).toEqual(before);
  const log = '{ auditLog(subject: "(credential-gateway)") { nodes { action outcome viewerKind objectId reason } } }';
  const told = { outcome: 'SUCCESS', viewerKind: 'GATEWAY', objectId: null, reason: String(old!._id) };
  expect((await test.query(caller, log)).auditLog.nodes).toEqual([
    { action: 'destroyDataKey', ...told },
    { action: 'replaceDataKey', ...told },
  ]);
});

it('goes on with a rotation that had not ended, instead of beginning another', async () => {
  const { caller } = await newVault(test);
  const organizationId = caller.organization;
  await rotator.keys.rotate({ organizationId });
  expect(await rotator.keys.rotate({ organizationId })).toMatchObject({ newKeys: 0, continued: 1, resting: 1 });
  expect(await stateOf(test, organizationId)).toEqual(['opening', 'current']);
  clock.pastRest();
  expect(await rotator.keys.rotate({ organizationId })).toMatchObject({ newKeys: 1, destroyed: 1 });
  expect(await stateOf(test, organizationId)).toEqual(['destroyed', 'opening', 'current']);
});

it('stops after the batch at hand, and goes on when it is run again', async () => {
  const { caller } = await newVault(test, 0);
  const organizationId = caller.organization;
  await fill(test, organizationId, 450);
  const controller = new AbortController();
  const onProgress = ({ done }: { done: number }) => done >= 200 && controller.abort();
  const stopped = await rotator.keys.rotate({ organizationId, signal: controller.signal, onProgress });
  expect(stopped).toMatchObject({ newKeys: 1, resealed: 200, stopped: true });

  const seen: number[] = [];
  const rest = await rotator.keys.rotate({ organizationId, onProgress: ({ done, total }) => seen.push(done, total) });
  expect(rest).toMatchObject({ newKeys: 0, continued: 1, resealed: 250, stopped: false });
  expect(seen).toEqual([0, 250, 100, 250, 200, 250, 250, 250]);
  const [, current] = await sealKeys(test, organizationId);
  expect(await secretsUnder(test, organizationId)).toEqual({ [current!._id]: 450 });
  await expectFilledOpen(test, organizationId, 450);
});

it('two at once make one new key, and move each secret once', async () => {
  const { caller } = await newVault(test, 0);
  const organizationId = caller.organization;
  await fill(test, organizationId, 300);
  const second = await openCopy(test);
  const reports = await Promise.all([rotator.keys.rotate({ organizationId }), second.keys.rotate({ organizationId })]);
  await second.stop();
  expect(reports[0].newKeys + reports[1].newKeys).toBe(1);
  expect(reports[0].resealed + reports[1].resealed).toBe(300);
  expect(await stateOf(test, organizationId)).toEqual(['opening', 'current']);
  await expectFilledOpen(test, organizationId, 300);
});

it('loses nothing while eight write and reveal, through rotation, re-sealing and destruction', async () => {
  const { caller } = await newVault(test, 0);
  const organizationId = caller.organization;
  const acknowledged = new Map<string, string>();
  let isOver = false;
  let operations = 0;
  const rounds = Array<number>(8).fill(0);
  const writer = async (number: number) => {
    const own: string[] = [];
    for (let round = 0; !isOver; rounds[number] = ++round) {
      if (own.length < 6) own.push(await add(test, caller, acknowledged));
      const id = own[round % own.length]!;
      const value = `writer ${number} round ${round}`;
      expect(await change(test, caller, id, value)).toEqual({ __typename: 'UpdateCredentialSuccess' });
      acknowledged.set(id, value);
      expect(await reveal(test, caller, id)).toBe(value);
      operations += 2;
    }
  };
  const writers = rounds.map((_, number) =>
    writer(number).finally(() => {
      isOver = true;
    }),
  );
  // Otherwise a failure that comes while the rotations run would be nobody's to handle.
  const written = Promise.allSettled(writers);

  const rotations = 3;
  let destroyed = 0;
  for (let rotation = 0; rotation < rotations; rotation++) {
    expect(await rotator.keys.rotate({ organizationId })).toMatchObject({ newKeys: 1, unreadableCount: 0 });
    // When every writer has gone round twice, no transaction from before the retirement is running, and the clock may say that it has rested.
    const then = [...rounds];
    while (!isOver && rounds.some((round, number) => round < then[number]! + 2)) await sleep(10);
    clock.pastRest();
    // The first run moves what was committed late, and may destroy at once; the second finds nothing but that.
    for (let run = 0; run < 2; run++) destroyed += (await rotator.keys.rotate({ organizationId, newKeys: false })).destroyed;
  }
  isOver = true;
  for (const result of await written) if (result.status === 'rejected') throw result.reason;

  expect(destroyed).toBe(rotations);
  expect(await stateOf(test, organizationId)).toEqual([...Array(rotations).fill('destroyed'), 'current']);
  const current = (await sealKeys(test, organizationId)).at(-1)!;
  expect(await secretsUnder(test, organizationId)).toEqual({ [current._id]: acknowledged.size });
  await expectAllOpen(test, caller, acknowledged);
  expect(operations).toBeGreaterThan(50);
  console.info(`${operations} operations of 8 writers during ${rotations} rotations, ${acknowledged.size} secrets`);
});

// The write skew that the rest is for: snapshot isolation lets "it is current, so seal" and "it is unused, so destroy" both commit.
it('keeps a key for a transaction that read it as current and commits after the retirement', async () => {
  const { caller } = await newVault(test, 1);
  const organizationId = caller.organization;
  const store = stores.of(organizationId);
  let late = ownerOf('late') as SecretOwner;
  await store.transaction(async () => {
    late = { ...ownerOf('late'), secrets: await store.secrets.put(ownerOf('late'), { value: new Redacted('committed late') }, new Date()) };
    // Meanwhile, elsewhere: the key is retired, and what can be seen under it is moved.
    await rotator.keys.rotate({ organizationId });
    expect(await stateOf(test, organizationId)).toEqual(['opening', 'current']);
    expect(await rotator.keys.rotate({ organizationId, newKeys: false })).toMatchObject({ destroyed: 0, resting: 1 });
  });
  const [old, current] = await sealKeys(test, organizationId);
  expect(await secretsUnder(test, organizationId)).toEqual({ [old!._id]: 1, [current!._id]: 1 });
  // Past the rest, what is under it is seen again before it is destroyed.
  clock.pastRest();
  expect(await rotator.keys.rotate({ organizationId, newKeys: false })).toMatchObject({ resealed: 1, destroyed: 1 });
  expect((await store.secrets.open(late, 'value')).expose()).toBe('committed late');
});

// The same the other way round: a run that was held up must not seal under a key that is not current any more.
it('re-seals under the key that is current when it writes', async () => {
  const { caller, values } = await newVault(test, 2);
  const organizationId = caller.organization;
  await rotator.keys.rotate({ organizationId });
  clock.pastRest();
  await rotator.keys.rotate({ organizationId });
  const current = (await sealKeys(test, organizationId)).at(-1)!;
  expect(await stateOf(test, organizationId)).toEqual(['destroyed', 'opening', 'current']);
  expect(await secretsUnder(test, organizationId)).toEqual({ [current._id]: 2 });
  await expectAllOpen(test, caller, values);
});

it('leaves what was written meanwhile alone', async () => {
  const { caller } = await newVault(test, 0);
  const organizationId = caller.organization;
  await fill(test, organizationId, 2);
  const secrets = test.database.collection('secrets');
  const [first, second] = await secrets.find({ organizationId }).toArray();
  const [old] = await sealKeys(test, organizationId);
  const store = stores.of(organizationId);
  await store.transaction(async () => void (await store.keys.replace(old!._id, new Date())));
  // Between reading the secrets and writing them: the first is written by somebody else.
  const { current } = store.keys;
  let meddled = false;
  store.keys.current = async (...args) => {
    if (!meddled) await secrets.updateOne({ _id: first!._id }, { $set: { sealed: 'another' } });
    meddled = true;
    return current(...args);
  };
  const { resealed } = await store.secrets.reseal(old!._id, '', 10);
  store.keys.current = current;
  expect(resealed).toBe(1);
  expect(await secrets.findOne({ _id: first!._id })).toMatchObject({ keyId: old!._id, sealed: 'another' });
  expect((await secrets.findOne({ _id: second!._id }))!.sealed).not.toBe(second!.sealed);
});

// Between reading a secret and reading its key, the secret may be moved and the key destroyed.
it('opens a secret that is moved while it is being opened', async () => {
  const { caller } = await newVault(test, 0);
  const organizationId = caller.organization;
  await fill(test, organizationId, 1);
  const store = stores.of(organizationId);
  const { byId } = store.keys;
  let calls = 0;
  store.keys.byId = async (...args) => {
    if (++calls === 1) {
      await rotator.keys.rotate({ organizationId });
      clock.pastRest();
      expect(await rotator.keys.rotate({ organizationId, newKeys: false })).toMatchObject({ destroyed: 1 });
    }
    return byId(...args);
  };
  const opened = store.secrets.open(ownerOf('filler-0'), 'value').finally(() => {
    store.keys.byId = byId;
  });
  expect((await opened).expose()).toBe('filled 0');
  expect(calls).toBe(2);
});

it('does not re-create keys of an organization that is deleted', async () => {
  const { caller } = await newVault(test, 1);
  const organizationId = caller.organization;
  await test.gateway.deleteOrganization(organizationId);
  await expect(rotator.keys.rotate({ organizationId })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await rotator.keys.rotate();
  expect(await sealKeys(test, organizationId)).toEqual([]);
});

it('rotates each organization by itself', async () => {
  const [one, other] = [await newVault(test, 1), await newVault(test, 1)];
  await rotator.keys.rotate({ organizationId: one.caller.organization });
  expect(await stateOf(test, one.caller.organization)).toEqual(['opening', 'current']);
  expect(await stateOf(test, other.caller.organization)).toEqual(['current']);
});

it('keeps the key of what cannot be opened, names it, and does not let it stop later rotations', async () => {
  const { caller, values } = await newVault(test, 2);
  const organizationId = caller.organization;
  const [damaged] = await test.database.collection('secrets').find({ organizationId }).toArray();
  await test.database.collection('secrets').updateOne({ _id: damaged!._id }, { $set: { sealed: `${damaged!.sealed.slice(0, -4)}AAAA` } });
  const expected = {
    organizationId,
    credentialId: damaged!.credentialId,
    field: 'value',
    why: expect.stringContaining('cannot be opened'),
  };
  expect(await rotator.keys.rotate({ organizationId })).toMatchObject({
    newKeys: 1,
    resealed: 1,
    unreadableCount: 1,
    unreadable: [expected],
  });
  clock.pastRest();
  expect(await rotator.keys.rotate({ organizationId })).toMatchObject({ newKeys: 1, destroyed: 0, unreadableCount: 1, resealed: 1 });
  expect(await stateOf(test, organizationId)).toEqual(['opening', 'opening', 'current']);
  const revealed = [];
  for (const id of values.keys()) revealed.push(await reveal(test, caller, id));
  expect(revealed).toContain('UNREADABLE_SECRET');
});

it('counts seals by reservation, and replaces a key long before it has sealed 2^31 values', async () => {
  const { caller, values } = await newVault(test, 1);
  const organizationId = caller.organization;
  const [key] = await sealKeys(test, organizationId);
  const reserved = key!.reservedSeals!;
  expect(reserved).toBe(2 ** 16);
  for (let index = 0; index < 20; index++) await add(test, caller, values);
  expect((await sealKeys(test, organizationId))[0]!.reservedSeals).toBe(reserved);

  const keys = test.database.collection<{ _id: string }>('dataKeys');
  await keys.updateOne({ _id: key!._id }, { $set: { reservedSeals: 2 ** 30 } });
  const fresh = await openStore(test);
  await fresh.transaction(
    async () => void (await fresh.of(organizationId).secrets.put(ownerOf('worn'), { value: new Redacted('x') }, new Date())),
  );
  expect(await replaceWornKeys(gatewayOn(fresh, clock.now))).toBe(1);
  expect(await replaceWornKeys(gatewayOn(fresh, clock.now))).toBe(0);
  await fresh.close();
  expect(await stateOf(test, organizationId)).toEqual(['opening', 'current']);
  await expectAllOpen(test, caller, values);
});

it('replaces worn keys though that of an organization before them cannot be replaced', async () => {
  const [broken, other] = [(await newVault(test, 1)).caller.organization, (await newVault(test, 1)).caller.organization];
  await test.database.collection('dataKeys').updateMany({ organizationId: { $in: [broken, other] } }, { $set: { reservedSeals: 2 ** 30 } });
  const fresh = await openStore(test);
  for (const organizationId of [broken, other]) {
    await fresh.transaction(
      async () => void (await fresh.of(organizationId).secrets.put(ownerOf('worn'), { value: new Redacted('x') }, new Date())),
    );
  }
  const of: Store['of'] = (organizationId) => {
    const store = fresh.of(organizationId);
    if (organizationId === broken) {
      store.keys.replace = async () => {
        throw new TypeError('as of a bug');
      };
    }
    return store;
  };
  const failing = { ...fresh, of };
  await expect(replaceWornKeys(gatewayOn(failing, clock.now))).rejects.toMatchObject({
    errors: [expect.any(TypeError)],
  });
  expect([await stateOf(test, broken), await stateOf(test, other)]).toEqual([['current'], ['opening', 'current']]);
  // It is tried again, and then it is done.
  expect(await replaceWornKeys(gatewayOn(fresh, clock.now))).toBe(1);
  expect(await stateOf(test, broken)).toEqual(['opening', 'current']);
  expect(await replaceWornKeys(gatewayOn(fresh, clock.now))).toBe(0);
  await fresh.close();
});

it('refuses to seal under a key that has sealed all it may', async () => {
  const { caller } = await newVault(test, 1);
  const organizationId = caller.organization;
  const [key] = await sealKeys(test, organizationId);
  await test.database.collection<{ _id: string }>('dataKeys').updateOne({ _id: key!._id }, { $set: { reservedSeals: 2 ** 31 } });
  const fresh = await openStore(test);
  const put = fresh.transaction(
    async () => void (await fresh.of(organizationId).secrets.put(ownerOf('x'), { value: new Redacted('x') }, new Date())),
  );
  await expect(put).rejects.toThrow('has reached its maximum number of seals');
  await fresh.close();
});
