import { once } from 'node:events';
import { mkdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { expect, it } from 'vitest';
import { createLimitedServer } from '../../src/cli/server.ts';
import { newDataDirectory, run, useProcesses } from './process.ts';
import { newTlsPair } from './tls-pair.ts';

useProcesses();

/** What a client sees: the name in the certificate and the version, or why there is no connection. */
function shaken(port: number, options: object = {}): Promise<{ name?: string; version?: string; error?: string }> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
      resolve({ name: String(socket.getPeerCertificate().subject.CN), version: String(socket.getProtocol()) });
      socket.destroy();
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve({ error: String(code) }));
  });
}

// As Kubernetes mounts secrets: links to a directory that is exchanged as a whole.
it('serves HTTPS, and loads a new pair when both files of it are there', async () => {
  const directory = newDataDirectory();
  const mount = join(directory, 'mount');
  mkdirSync(mount);
  const publish = (version: string, files: Record<string, string>) => {
    mkdirSync(join(mount, version));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(mount, version, name), text, { mode: 0o600 });
    symlinkSync(version, join(mount, '..new'));
    renameSync(join(mount, '..new'), join(mount, '..data'));
  };
  const [first, second, third] = ['first.test', 'second.test', 'third.test'].map((name) => newTlsPair(name)) as [
    ReturnType<typeof newTlsPair>,
    ReturnType<typeof newTlsPair>,
    ReturnType<typeof newTlsPair>,
  ];
  publish('..1', { 'tls.crt': first.cert, 'tls.key': first.key });
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(mount, name));
  const files = { TLS_CERT_FILE: join(mount, 'tls.crt'), TLS_KEY_FILE: join(mount, 'tls.key') };
  const { output } = run(['start'], { DATA_DIR: join(directory, 'data'), PORT: '0', ...files });
  await expect.poll(() => output.stdout, { timeout: 100_000 }).toMatch(/^Open https:\/\/127\.0\.0\.1:\d+\/graphql#token=/m);
  const port = Number(/127\.0\.0\.1:(\d+)\/graphql/.exec(output.stdout)![1]);
  expect(await shaken(port)).toEqual({ name: 'first.test', version: 'TLSv1.3' });
  expect(await shaken(port, { maxVersion: 'TLSv1.2' })).toEqual({ name: 'first.test', version: 'TLSv1.2' });
  expect(await shaken(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).toHaveProperty('error');
  await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();

  publish('..2', { 'tls.crt': second.cert, 'tls.key': second.key });
  await expect.poll(async () => (await shaken(port)).name, { timeout: 60_000 }).toBe('second.test');

  // Each step of somebody who copies one file after the other, and is interrupted within the first.
  const refusals = () => output.stdout.split('could not be loaded again').length - 1;
  publish('..3', { 'tls.crt': third.cert.slice(0, 200), 'tls.key': second.key });
  await expect.poll(refusals, { timeout: 60_000 }).toBe(1);
  writeFileSync(join(mount, '..3', 'tls.crt'), third.cert);
  await expect.poll(refusals, { timeout: 60_000 }).toBe(2);
  expect(await shaken(port)).toMatchObject({ name: 'second.test' });
  writeFileSync(join(mount, '..3', 'tls.key'), third.key);
  await expect.poll(async () => (await shaken(port)).name, { timeout: 60_000 }).toBe('third.test');
  expect(output.stdout).not.toContain('PRIVATE KEY');
});

it.each<[string, (pair: { cert: string; key: string }) => { cert?: string; key?: string }, RegExp]>([
  ['no certificate', ({ key }) => ({ cert: 'hello', key }), /^TLS_CERT_FILE does not contain certificates in PEM, or is incomplete\.\n$/],
  [
    'half of a chain',
    ({ cert, key }) => ({ cert: cert + cert.slice(0, 300), key }),
    /^TLS_CERT_FILE does not contain .* is incomplete\.\n$/,
  ],
  ['no key', ({ cert }) => ({ cert, key: cert }), /^TLS_KEY_FILE does not contain a private key in PEM\.\n$/],
  [
    'the key of another',
    ({ cert }) => ({ cert, key: newTlsPair('other.test').key }),
    /^TLS_KEY_FILE does not contain the key of the first/,
  ],
  ['a file that is not there', ({ cert }) => ({ cert }), /^TLS_KEY_FILE cannot be read: ENOENT\.\n$/],
])('says what is wrong with the pair at the start: %s', async (_, change, message) => {
  const directory = newDataDirectory();
  const files = { TLS_CERT_FILE: join(directory, 'cert'), TLS_KEY_FILE: join(directory, 'key') };
  const { cert, key } = change(newTlsPair('gateway.test'));
  if (cert !== undefined) writeFileSync(files.TLS_CERT_FILE, cert);
  if (key !== undefined) writeFileSync(files.TLS_KEY_FILE, key, { mode: 0o644 });
  const { code, stdout, stderr } = await run(['start'], { DATA_DIR: join(directory, 'data'), PORT: '0', ...files }).ended;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(message);
  // What is no key stays as it is.
  if (key !== undefined && !key.includes('PRIVATE')) expect(statSync(files.TLS_KEY_FILE).mode & 0o777).toBe(0o644);
});

it('asks for both files', async () => {
  const { code, stderr } = await run(['start'], { TLS_CERT_FILE: 'cert.pem' }).ended;
  expect({ code, stderr }).toEqual({ code: 1, stderr: 'TLS_CERT_FILE and TLS_KEY_FILE belong together: TLS_KEY_FILE is missing.\n' });
});

it('closes connections that never begin the handshake', async () => {
  const server = createLimitedServer(() => {}, { headersTimeout: 100 }, newTlsPair('silent.test'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const socket = createConnection((server.address() as AddressInfo).port, '127.0.0.1');
    // Resolves when the server closes it.
    await once(socket.resume(), 'close');
    expect(await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))).toBe(0);
  } finally {
    server.close();
  }
});
