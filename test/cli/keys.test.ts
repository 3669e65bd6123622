import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { localKeyProvider } from '../../src/secrets/key-provider.ts';
import { useTestGateway } from '../harness.ts';
import { Clock, change, expectAllOpen, expectFilledOpen, fill, newVault, openCopy, sealKeys, secretsUnder, stateOf } from '../vault.ts';
import { runHere } from './here.ts';
import { run, useProcesses } from './process.ts';

useProcesses();

const test = useTestGateway();
const base64 = (key: Uint8Array) => Buffer.from(key).toString('base64');

const settingsWith = (masterKeys: readonly Uint8Array[]) => ({
  MONGODB_URI: test.uri,
  MONGODB_DATABASE: test.databaseName,
  MASTER_KEY: masterKeys.map(base64).join(','),
  TOKEN_SECRET: randomBytes(32).toString('hex'),
});

/** A `keys` command, as a process, on the database that the test's gateway serves from. */
const keys = (args: readonly string[]) => run(['keys', ...args], settingsWith([test.masterKey]));

/** The same in this process, with other master keys. */
const keysHere = (args: readonly string[], masterKeys: readonly Uint8Array[]) => runHere(['keys', ...args], settingsWith(masterKeys));

/** Ends a rotation of many secrets by a signal, once it has moved some of them. */
async function interrupt(organization: string, signal: NodeJS.Signals) {
  const rotating = keys(['rotate', '--organization', organization]);
  const [old] = await sealKeys(test, organization);
  const secrets = test.database.collection('secrets');
  const moved = () => secrets.countDocuments({ organizationId: organization, keyId: { $ne: old!._id } });
  while ((await moved()) === 0 && rotating.child.exitCode === null) await sleep(2);
  rotating.child.kill(signal);
  return { ...(await rotating.ended), moved: await moved() };
}

afterEach(() => expect(test.logs.filter((line) => line.includes('"level":50'))).toEqual([]));

it('rotates while the gateway serves, tells what it did, and stays with --wait until the old key is destroyed or a signal comes', async () => {
  const { caller, values } = await newVault(test, 3);
  const organization = caller.organization;
  const waiting = keys(['rotate', '--wait', '--organization', organization]);
  while (!waiting.output.stdout.includes('\n') && waiting.child.exitCode === null) await sleep(20);
  expect(waiting.output.stdout).toBe('New keys: 1. Re-sealed secrets: 3. Destroyed keys: 0.\n');
  const [id] = values.keys();
  expect(await change(test, caller, id!, 'anew')).toEqual({ __typename: 'UpdateCredentialSuccess' });
  values.set(id!, 'anew');
  await expectAllOpen(test, caller, values);
  expect(waiting.child.exitCode).toBeNull();
  waiting.child.kill('SIGINT');
  expect(await waiting.ended).toMatchObject({ code: 130, stdout: expect.stringContaining('Stopped. Run the command again to continue.') });

  // As if it had rested but for a moment: what is waited for comes.
  const retiredAt = new Date(Date.now() - 5 * 60_000 + 8_000);
  await test.database.collection('dataKeys').updateOne({ organizationId: organization, state: 'opening' }, { $set: { retiredAt } });
  const { code, stdout } = await keys(['rotate', '--wait', '--finish', '--organization', organization]).ended;
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('Destroyed keys: 1.') });
  expect(await stateOf(test, organization)).toEqual(['destroyed', 'current']);
  await expectAllOpen(test, caller, values);
});

it.each([
  ['a signal, which ends it after the batch at hand', 'SIGINT', 130],
  ['kill -9', 'SIGKILL', null],
] as const)('loses nothing by %s, and goes on when it is run again', async (_, signal, code) => {
  const { caller, values } = await newVault(test, 2);
  const organizationId = caller.organization;
  await fill(test, organizationId, 1_000);
  const interrupted = await interrupt(organizationId, signal);
  expect(interrupted.code).toBe(code);
  expect(interrupted.moved).toBeGreaterThan(0);
  expect(interrupted.moved).toBeLessThan(1_002);
  if (signal === 'SIGINT') expect(interrupted.stdout).toContain('Stopped. Run the command again to continue.');
  await expectAllOpen(test, caller, values);

  const clock = new Clock();
  const later = await openCopy(test, { now: clock.now });
  const moved = 1_002 - interrupted.moved;
  expect(await later.keys.rotate({ organizationId })).toMatchObject({ newKeys: 0, continued: 1, resealed: moved });
  clock.pastRest();
  expect(await later.keys.rotate({ organizationId, newKeys: false })).toMatchObject({ destroyed: 1 });
  await later.stop();
  const current = (await sealKeys(test, organizationId)).at(-1)!;
  expect(await secretsUnder(test, organizationId)).toEqual({ [current._id]: 1_002 });
  await expectAllOpen(test, caller, values);
  await expectFilledOpen(test, organizationId, 1_000);
});

it('wraps all data keys under a new master key, after which the old one is not needed', async () => {
  const { caller, values } = await newVault(test, 2);
  await test.gateway.keys.rotate({ organizationId: caller.organization });
  const next = new Uint8Array(randomBytes(32));
  const kid = (key: Uint8Array) =>
    createHash('sha256').update('credential-gateway master key').update(key).digest('base64url').slice(0, 16);
  const wrappers = async () => {
    const found = await test.database
      .collection('dataKeys')
      .find({ state: { $ne: 'destroyed' } })
      .toArray();
    return new Set(found.map(({ wrapped }) => JSON.parse(Buffer.from(wrapped.split('.')[0], 'base64url').toString()).kid));
  };
  expect(await wrappers()).toEqual(new Set([kid(test.masterKey)]));

  await expect(openCopy(test, { masterKeys: [next] })).rejects.toThrow('is not configured');
  const total = await test.database.collection('dataKeys').countDocuments({ state: { $ne: 'destroyed' } });
  const first = await keysHere(['rewrap'], [next, test.masterKey]);
  expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining(`Re-wrapped: ${total}. Already under the first master key: 0.`) });
  expect(await wrappers()).toEqual(new Set([kid(next)]));
  const again = await openCopy(test, { masterKeys: [next, test.masterKey] });
  expect(await again.keys.rewrap()).toEqual({ rewrapped: 0, kept: total, failed: 0, stopped: false });
  await again.stop();

  await test.close();
  await expect(test.open()).rejects.toThrow('is not configured');
  await test.open([next]);
  await expectAllOpen(test, caller, values);
  // Back, for the tests that follow.
  const copy = await openCopy(test, { masterKeys: [test.masterKey, next] });
  await copy.keys.rewrap();
  await copy.stop();
  await test.close();
  await test.open();
});

it('names what the master keys given do not open, and goes on with the rest', async () => {
  const { caller, values } = await newVault(test, 1);
  const organizationId = caller.organization;
  const [next, lost] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
  // One key is under a master key that nobody has any more.
  const dataKeys = test.database.collection<{ _id: string }>('dataKeys');
  const [key] = await sealKeys(test, organizationId);
  const wrapped = await localKeyProvider([lost]).wrap(randomBytes(32), { organizationId, keyId: key!._id, purpose: 'seal' });
  await dataKeys.updateOne({ _id: key!._id }, { $set: { wrapped } });
  const { code, stdout } = await keysHere(['rewrap'], [next, test.masterKey]);
  expect({ code, stdout }).toEqual({
    code: 1,
    stdout: expect.stringContaining('1 data key cannot be unwrapped with the configured master keys: keep'),
  });
  await dataKeys.updateOne({ _id: key!._id }, { $set: { wrapped: key!.wrapped } });
  const copy = await openCopy(test, { masterKeys: [test.masterKey, next] });
  expect(await copy.keys.rewrap()).toMatchObject({ failed: 0 });
  await copy.stop();
  await expectAllOpen(test, caller, values);
});

it('stops between batches, and rewraps the rest when it is run again', async () => {
  for (let index = 0; index < 40; index++) await newVault(test, 0);
  const next = new Uint8Array(randomBytes(32));
  const forth = await openCopy(test, { masterKeys: [next, test.masterKey] });
  const controller = new AbortController();
  const stopped = await forth.keys.rewrap({ signal: controller.signal, onProgress: () => controller.abort() });
  expect(stopped).toEqual({ rewrapped: 100, kept: 0, failed: 0, stopped: true });
  expect(await forth.keys.rewrap()).toMatchObject({ kept: 100, failed: 0, stopped: false });
  await forth.stop();
  const back = await openCopy(test, { masterKeys: [test.masterKey, next] });
  expect(await back.keys.rewrap()).toMatchObject({ kept: 0, failed: 0 });
  await back.stop();
});
