import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseMasterKeys } from '../../src/cli/master-keys.ts';
import { awsKmsMasterKey } from '../../src/secrets/aws-kms.ts';
import { type DataKeyPlace, keyProvider, localMasterKey } from '../../src/secrets/key-provider.ts';
import { useTestGateway } from '../harness.ts';
import { add, expectAllOpen, newVault, openCopy, reveal } from '../vault.ts';
import { awsSettings, KmsServer } from './kms-server.ts';

const kms = new KmsServer();
const test = useTestGateway();
const place: DataKeyPlace = { organizationId: 'acme', keyId: '0123456789abcdef01234567', purpose: 'seal' };
const dataKey = new Uint8Array(randomBytes(32));

beforeAll(async () => {
  for (const [name, value] of Object.entries(awsSettings(await kms.start()))) vi.stubEnv(name, value);
});
afterEach(() => {
  kms.states.clear();
  kms.faults = [];
});
afterAll(() => kms.stop());

/** No error repeats the key, nor what AWS wrote, which here repeats the whole request. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error: Error = await promise.then(
    () => expect.fail('It should have been refused.'),
    (thrown) => thrown,
  );
  const everything = JSON.stringify([error.message, error.stack, error, error.cause, Object.values(error)]);
  expect(everything).not.toContain(Buffer.from(dataKey).toString('base64'));
  expect(everything).not.toContain('Something about');
  return `${error.name}: ${error.message}`;
}

describe('a master key in AWS KMS', () => {
  it('wraps and unwraps by signed calls, which name organization and key', async () => {
    const arn = kms.addKey();
    const masterKey = awsKmsMasterKey(arn);
    const before = kms.calls.length;
    const wrapped = await masterKey.wrap(dataKey, place);
    expect(Buffer.from(await masterKey.unwrap(wrapped, place))).toEqual(Buffer.from(dataKey));
    const [encrypt, decrypt] = kms.calls.slice(before);
    const context = { organization: 'acme', keyId: place.keyId, purpose: 'seal' };
    expect(encrypt).toMatchObject({ target: 'TrentService.Encrypt', body: { KeyId: arn, EncryptionContext: context } });
    expect(decrypt).toMatchObject({ target: 'TrentService.Decrypt', body: { KeyId: arn, EncryptionContext: context } });
    expect(wrapped).not.toContain(Buffer.from(dataKey).toString('base64url').slice(0, 12));
  });

  it.each([
    ['organization', { ...place, organizationId: 'other' }],
    ['key', { ...place, keyId: '0123456789abcdef01234568' }],
    ['purpose', { ...place, purpose: 'records' }],
    ['key without a purpose', { ...place, purpose: null }],
  ])('does not unwrap in the place of another %s', async (_, elsewhere) => {
    const masterKey = awsKmsMasterKey(kms.addKey());
    const wrapped = await masterKey.wrap(dataKey, place);
    expect(await refusal(masterKey.unwrap(wrapped, elsewhere))).toBe(
      'Error: The wrapped data key was changed or belongs to another place.',
    );
  });

  it.each([
    ['disabled', /^MasterKeyError: AWS KMS refused to (un)?wrap a data key \(DisabledException\): the key is disabled: enable it\.$/],
    ['denied', /^MasterKeyError: .*\(AccessDeniedException\): grant kms:Encrypt and kms:Decrypt on the key/],
    ['deleted', /^MasterKeyError: .*\(KMSInvalidStateException\): the key is being deleted/],
  ] as const)('says what to do when it is %s', async (state, message) => {
    const arn = kms.addKey();
    const masterKey = awsKmsMasterKey(arn);
    const wrapped = await masterKey.wrap(dataKey, place);
    kms.states.set(arn, state);
    expect(await refusal(masterKey.unwrap(wrapped, place))).toMatch(message);
    expect(await refusal(masterKey.wrap(dataKey, place))).toMatch(message);
  });

  it('says when there is no such key', async () => {
    const arn = 'arn:aws:kms:eu-central-1:111122223333:key/nobody';
    expect(await refusal(awsKmsMasterKey(arn).wrap(dataKey, place))).toContain('(NotFoundException): there is no such key');
  });

  it.each(['throttle', 'internal', 'break', 'hang'] as const)('tries again after: %s', async (fault) => {
    const masterKey = awsKmsMasterKey(kms.addKey(), { timeoutMilliseconds: 300 });
    kms.faults = [fault];
    const wrapped = await masterKey.wrap(dataKey, place);
    expect(Buffer.from(await masterKey.unwrap(wrapped, place))).toEqual(Buffer.from(dataKey));
  });

  it.each(['throttle', 'internal', 'break', 'hang'] as const)('ends after some tries, and says that it may pass: %s', async (fault) => {
    const masterKey = awsKmsMasterKey(kms.addKey(), { timeoutMilliseconds: 200, attempts: 2 });
    kms.faults = [fault, fault];
    const started = Date.now();
    expect(await refusal(masterKey.wrap(dataKey, place))).toMatch(
      /^MasterKeyUnavailableError: AWS KMS cannot wrap .* at the moment .*; try again\.$/,
    );
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it.each(['arn:aws:kms:eu-central-1:111122223333:alias/mine', 'arn:aws:s3:::bucket', 'alias/mine', 'https://kms.example.com/key'])(
    'is not named by %s',
    (arn) => {
      expect(() => awsKmsMasterKey(arn)).toThrow(RangeError);
      expect(() => parseMasterKeys(`aws-kms:${arn}`, 'MASTER_KEY')).toThrow(/^MASTER_KEY: key 1 must be the ARN of a key in AWS KMS/);
    },
  );

  it('stands in a list with others: the first wraps, all open', async () => {
    const arn = kms.addKey();
    const local = randomBytes(32);
    expect(parseMasterKeys(`aws-kms:${arn},${local.toString('base64')}`, 'MASTER_KEY')).toEqual([
      { awsKmsKeyArn: arn },
      new Uint8Array(local),
    ]);
    const [far, near] = [awsKmsMasterKey(arn), localMasterKey(local)];
    const both = keyProvider([far, near]);
    const nearWrapped = await near.wrap(dataKey, place);
    const farWrapped = await both.wrap(dataKey, place);
    expect([both.isUnderFirst(nearWrapped), both.isUnderFirst(farWrapped)]).toEqual([false, true]);
    for (const wrapped of [nearWrapped, farWrapped]) {
      expect(Buffer.from(await both.unwrap(wrapped, place))).toEqual(Buffer.from(dataKey));
    }
    await expect(keyProvider([near]).unwrap(farWrapped, place)).rejects.toThrow('is not configured');
  });
});

it('takes over from a local master key, serves through the front door, and is left again', async () => {
  const { caller, values } = await newVault(test, 2);
  const awsKmsKeyArn = kms.addKey();
  await test.close();

  await test.open([{ awsKmsKeyArn }, test.masterKey]);
  expect(await test.gateway.keys.rewrap()).toMatchObject({ failed: 0, kept: 0 });
  await test.close();
  await test.open([{ awsKmsKeyArn }]);
  await expectAllOpen(test, caller, values);
  await add(test, caller, values);
  // Unwrapped keys stay in memory: not every reveal asks AWS.
  const calls = kms.calls.length;
  await expectAllOpen(test, caller, values);
  expect(kms.calls).toHaveLength(calls);

  // While AWS does not answer, what is not in memory cannot be opened; later it can.
  await test.close();
  await test.open([{ awsKmsKeyArn }]);
  const [id] = values.keys();
  kms.states.set(awsKmsKeyArn, 'busy');
  expect(await reveal(test, caller, id!)).toBe('UNREADABLE_SECRET');
  kms.states.clear();
  expect(await reveal(test, caller, id!)).toBe(values.get(id!));

  const copy = await openCopy(test, { masterKeys: [test.masterKey, { awsKmsKeyArn }] });
  expect(await copy.keys.rewrap()).toMatchObject({ failed: 0, kept: 0 });
  await copy.stop();
  await test.close();
  await test.open();
  await expectAllOpen(test, caller, values);
});

it('stops the start, in a line, when AWS refuses', async () => {
  const awsKmsKeyArn = kms.addKey();
  await newVault(test, 1);
  await (await openCopy(test, { masterKeys: [{ awsKmsKeyArn }, test.masterKey] })).keys.rewrap();
  kms.states.set(awsKmsKeyArn, 'disabled');
  await expect(openCopy(test, { masterKeys: [{ awsKmsKeyArn }] })).rejects.toThrow(/^AWS KMS refused .*: enable it\.$/);
});
