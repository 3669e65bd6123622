import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { defineCredentialKind } from '../../src/credential-kinds/define.ts';
import { exampleCertificate, exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { builtInKinds } from '../../src/credential-kinds/index.ts';
import { RateLimitedError } from '../../src/errors.ts';
import { secret } from '../../src/fields/field.ts';
import { createKeyFilesPool } from '../../src/key-files/pool.ts';
import { Redacted } from '../../src/redacted.ts';
import { TestGateway, useTestGateway } from '../harness.ts';

describe('the worker threads', () => {
  const pool = createKeyFilesPool();
  afterAll(() => pool.stop());

  it('read and generate', async () => {
    const keyFiles = pool.of('acme');
    expect(await keyFiles.read('privateKey', new Redacted(exampleRsaKey))).toMatchObject({ type: 'rsa' });
    expect(await keyFiles.read('certificates', exampleCertificate)).toMatchObject({
      commonName: 'example.invalid',
      notAfter: expect.any(Date),
    });
    expect(await keyFiles.read('privateKey', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----')).toBeUndefined();
    const generated = await keyFiles.generate('rsa');
    expect(generated).toBeInstanceOf(Redacted);
    expect(await keyFiles.read('privateKey', generated)).toMatchObject({ type: 'rsa' });
    expect(await keyFiles.read('sshKey', await keyFiles.generate('ssh'))).toMatchObject({
      publicKey: expect.stringMatching(/^ssh-ed25519 /),
    });
  });

  it('read equal texts of one mutation once', async () => {
    const keyFiles = pool.of('acme');
    const [first, again] = await Promise.all([exampleRsaKey, exampleRsaKey].map((text) => keyFiles.read('privateKey', text)));
    expect(again).toBe(first);
    expect(await pool.of('acme').read('privateKey', exampleRsaKey)).not.toBe(first);
  });

  it('refuse too much work of one organization, and do that of another', async () => {
    const many = Array.from({ length: 80 }, () => pool.of('greedy').read('privateKey', exampleRsaKey));
    const other = pool.of('modest').read('privateKey', exampleRsaKey);
    const ends = await Promise.allSettled(many);
    const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused) {
      expect(error).toBeInstanceOf(RateLimitedError);
      expect(error).toMatchObject({ code: 'RATE_LIMITED', retryAfter: 5 });
    }
    expect(await other).toMatchObject({ type: 'rsa' });
  });

  it('do no more after the end', async () => {
    const ended = createKeyFilesPool();
    await ended.of('acme').read('privateKey', exampleRsaKey);
    await ended.stop();
    await expect(ended.of('acme').read('privateKey', exampleRsaKey)).rejects.toThrow('The gateway has stopped.');
  });

  it('do not keep the process running, and get none of its environment', () => {
    const script = `
      import { createKeyFilesPool } from ${JSON.stringify(new URL('../../dist/key-files/pool.js', import.meta.url).href)};
      const pool = createKeyFilesPool();
      console.log((await pool.of('acme').generate('ssh')).expose().slice(5, 30));`;
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'BEGIN OPENSSH PRIVATE KEY\n' });
  });
});

describe('a gateway', () => {
  /** Asks for more at once than may wait, as many requests at once would. */
  const greedy = defineCredentialKind({
    kind: 'greedy',
    typeName: 'GreedyCredential',
    description: 'A credential that needs much work.',
    fields: { value: secret({ description: 'The value.', maxLength: 10, example: 'a', invalidExample: '' }) },
    async check(_write, keyFiles) {
      await Promise.all(Array.from({ length: 80 }, () => keyFiles.generate('ssh')));
      return [];
    },
  });
  const test = new TestGateway();
  test.credentialKinds = [...builtInKinds, greedy];
  useTestGateway(test);

  it('answers 429 to an organization with too much work waiting, and does nothing', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: 'i' });
    const query = `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) { __typename } }`;
    const input = { integration: { name: 'i' }, name: 'n', data: { greedy: { value: 'a' } } };
    const { status, errors, headers } = await test.answer(caller, query, { input });
    expect([status, errors?.[0].extensions]).toEqual([429, { code: 'RATE_LIMITED', retryAfter: 5 }]);
    expect(headers.get('retry-after')).toBe('5');
    expect((await test.query(caller, '{ credentials { totalCount } }')).credentials.totalCount).toBe(0);
    // Another organization's work comes next.
    const other = { organization: test.newOrganization() };
    const { id } = await test.create(other, 'Integration', { name: 'i' });
    const certificateKeyPair = { certificate: exampleCertificate, privateKey: exampleRsaKey };
    expect(await test.create(other, 'Credential', { integration: { id }, name: 'n', data: { certificateKeyPair } })).toHaveProperty('id');
    expect(test.logs.join('\n')).not.toContain('BEGIN ');
  });
});
