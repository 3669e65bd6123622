import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import { exampleCertificate, exampleKey, exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import {
  type PreparedWrite,
  prepareWrite as prepareWrapped,
  type StoredParts,
  withGeneratedSecret,
} from '../../src/credential-kinds/validate.ts';
import { credentialKinds } from '../kinds.ts';
import { exampleData, issuesOf, keyFilesHere, kindNamed, prepareWrite, storedAfter, storedExample, wrapped } from './examples.ts';
import { ed25519 } from './key-examples.ts';

/** The write of these data and of the key that the server is asked to make. */
async function generating(kind: CredentialKind, data: Record<string, unknown>, stored?: StoredParts): Promise<PreparedWrite> {
  const keyFiles = keyFilesHere();
  const complete = await withGeneratedSecret(kind, wrapped(kind, { ...data, generatePrivateKey: true }), keyFiles);
  return prepareWrapped(kind, complete, keyFiles, stored);
}

describe('L28, L42: a key made by the server, snowflake', () => {
  const snowflake = kindNamed('snowflake');
  const { privateKey: _, ...data } = exampleData(snowflake);

  it('is RSA 2048 in PKCS#8, and its public half is the fact', async () => {
    const write = await generating(snowflake, data);
    const plainKey = write.secrets.privateKey?.expose() ?? '';
    expect(plainKey).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(createPublicKey(plainKey).asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(write.facts.publicKey).toBe(createPublicKey(plainKey).export({ type: 'spki', format: 'pem' }));
    expect(write.settings).not.toHaveProperty('generatePrivateKey');
  });

  it('replaces the stored one on update, each time another', async () => {
    const stored = await storedExample(snowflake);
    const write = await generating(snowflake, {}, stored);
    expect(write.facts.publicKey).not.toBe(stored.facts.publicKey);
    expect(write.settings).toEqual(stored.settings);
  });

  it('either the key or the flag is required, not both', async () => {
    const required = [{ path: ['privateKey'], message: 'is required unless generatePrivateKey is true' }];
    expect(await issuesOf(snowflake, data)).toEqual(required);
    expect(await issuesOf(snowflake, { ...data, generatePrivateKey: false })).toEqual(required);
    const both = [{ path: ['generatePrivateKey'], message: 'cannot be combined with privateKey' }];
    expect(await issuesOf(snowflake, { ...data, privateKey: exampleRsaKey, generatePrivateKey: true })).toEqual(both);
    expect(await issuesOf(snowflake, { privateKey: null, generatePrivateKey: true }, await storedExample(snowflake))).toEqual(both);
    expect(await issuesOf(snowflake, { privateKey: null }, await storedExample(snowflake))).toEqual([
      { path: ['privateKey'], message: 'cannot be cleared' },
    ]);
  });

  it('a given key is RSA of 2048 bits or more', async () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const forPssOnly = generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const privateKey of [small, exampleKey, forPssOnly])
      expect(await issuesOf(snowflake, { ...data, privateKey })).toEqual([
        {
          path: ['privateKey'],
          message: expect.stringMatching(privateKey === exampleKey ? /^must be an RSA key/ : /^must be one unencrypted/),
        },
      ]);
  });
});

describe('L28, L43: a key made by the server, git', () => {
  const git = kindNamed('git');
  const { secretValue: _, ...data } = exampleData(git);

  it('is ed25519 in OpenSSH’s form, and its public half is the fact', async () => {
    const write = await generating(git, { ...data, type: 'SSH_KEY' });
    const plainKey = write.secrets.secretValue?.expose() ?? '';
    expect(plainKey).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----\n/);
    expect(write.facts.publicKey).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]+$/);
    expect((await keyFilesHere().read('sshKey', plainKey))?.publicKey).toBe(write.facts.publicKey);
  });

  it('needs SSH_KEY, and no key beside it', async () => {
    expect(await issuesOf(git, { ...data, generatePrivateKey: true })).toEqual([
      { path: ['generatePrivateKey'], message: 'requires type SSH_KEY' },
    ]);
    expect(await issuesOf(git, { ...data, type: 'SSH_KEY', secretValue: ed25519.plainKey, generatePrivateKey: true })).toEqual([
      { path: ['generatePrivateKey'], message: 'cannot be combined with secretValue' },
    ]);
  });

  it('serves a change from password to key', async () => {
    const write = await generating(git, { type: 'SSH_KEY' }, await storedExample(git));
    expect(write.facts.publicKey).toMatch(/^ssh-ed25519 /);
  });
});

it('L28: no other kind knows generatePrivateKey, and those that do want a Boolean', async () => {
  const generating = credentialKinds.filter((kind) => kind.generate).map(({ kind }) => kind);
  expect(generating.sort()).toEqual(['git', 'snowflake']);
  const basicAuth = kindNamed('basicAuth');
  expect((await issuesOf(basicAuth, { ...exampleData(basicAuth), generatePrivateKey: true }))[0]?.path).toEqual([]);
  expect(await issuesOf(kindNamed('git'), { generatePrivateKey: 'yes' }, await storedExample(kindNamed('git')))).toEqual([
    { path: ['generatePrivateKey'], message: 'must be true or false' },
  ]);
});

describe('L33: http', () => {
  const http = kindNamed('http');
  const data = exampleData(http);

  it.each([
    ['BASIC_AUTH', 'the user name'],
    ['QUERY_PARAM', 'the parameter’s name'],
    ['CLIENT_CERTIFICATE', 'the certificate in PEM'],
  ])('%s needs publicValue: %s', async (authMethod, is) => {
    expect(
      await issuesOf(http, {
        ...data,
        authMethod,
        publicValue: null,
        secretValue: authMethod === 'CLIENT_CERTIFICATE' ? exampleKey : 'secret',
      }),
    ).toEqual([{ path: ['publicValue'], message: `is required with ${authMethod}: it is ${is}` }]);
  });

  it('HEADER goes without, and with a header’s name', async () => {
    expect((await prepareWrite(http, { ...data, publicValue: null })).settings).not.toHaveProperty('publicValue');
    expect((await issuesOf(http, { ...data, publicValue: 'X Key' }))[0]?.path).toEqual(['publicValue']);
  });

  it('publicValue has the form that the method asks for', async () => {
    expect((await issuesOf(http, { ...data, authMethod: 'BASIC_AUTH', publicValue: 'ada:x' }))[0]?.path).toEqual(['publicValue']);
    const pair = { authMethod: 'CLIENT_CERTIFICATE', publicValue: exampleCertificate, secretValue: exampleKey };
    expect((await prepareWrite(http, { ...data, ...pair })).settings.publicValue).toBe(exampleCertificate);
    expect((await issuesOf(http, { ...data, ...pair, publicValue: exampleKey }))[0]?.path).toEqual(['publicValue']);
    expect((await issuesOf(http, { ...data, ...pair, secretValue: 'password' }))[0]?.path).toEqual(['secretValue']);
  });

  it('the rule holds for the merged state of an update', async () => {
    expect(
      (await issuesOf(http, { publicValue: null }, await storedExample(http, { authMethod: 'BASIC_AUTH', publicValue: 'ada' })))[0]?.path,
    ).toEqual(['publicValue']);
    expect((await prepareWrite(http, { publicValue: 'X-Other' }, await storedExample(http))).settings).toMatchObject({
      authMethod: 'HEADER',
      publicValue: 'X-Other',
    });
  });
});

describe('a stored secret is not put to another use unseen', () => {
  it('L33, L43: changing the method asks for the secret again', async () => {
    const [http, git] = [kindNamed('http'), kindNamed('git')];
    const message = expect.stringContaining('the stored value belongs to the old');
    expect(await issuesOf(http, { authMethod: 'BASIC_AUTH' }, await storedExample(http))).toEqual([{ path: ['secretValue'], message }]);
    expect((await prepareWrite(http, { authMethod: 'BASIC_AUTH', secretValue: 'pw' }, await storedExample(http))).settings.authMethod).toBe(
      'BASIC_AUTH',
    );
    expect(await issuesOf(git, { type: 'SSH_KEY' }, await storedExample(git))).toEqual([{ path: ['secretValue'], message }]);
    const ssh = await storedExample(git, { type: 'SSH_KEY', secretValue: ed25519.plainKey });
    expect(await issuesOf(git, { type: 'HTTP_PASSWORD' }, ssh)).toEqual([{ path: ['secretValue'], message }]);
    expect((await prepareWrite(git, { type: 'HTTP_PASSWORD', secretValue: null }, ssh)).unset).toEqual(['secretValue']);
    expect(
      (await prepareWrite(git, { type: 'HTTP_PASSWORD' }, storedAfter(await prepareWrite(git, { secretValue: null }, ssh)))).settings.type,
    ).toBe('HTTP_PASSWORD');
  });

  it('L37: a key of one family of algorithms does not become one of another', async () => {
    const jwt = kindNamed('jwt');
    const stored = await storedExample(jwt);
    expect((await issuesOf(jwt, { algorithm: 'RS256' }, stored))[0]?.path).toEqual(['secret']);
    expect((await prepareWrite(jwt, { algorithm: 'RS256', secret: exampleRsaKey }, stored)).settings.algorithm).toBe('RS256');
    const publicKey = createPublicKey(exampleRsaKey).export({ type: 'spki', format: 'pem' });
    expect((await prepareWrite(jwt, { algorithm: 'RS256', secret: publicKey }, stored)).settings.algorithm).toBe('RS256');
    expect(await issuesOf(jwt, { algorithm: 'HS256', secret: publicKey }, stored)).toEqual([
      { path: ['secret'], message: expect.stringMatching(/^must be a shared secret: .* because algorithm is HS256$/) },
    ]);
    expect(await issuesOf(jwt, { algorithm: 'ES256', secret: exampleRsaKey }, stored)).toEqual([
      { path: ['secret'], message: 'must be one EC key on P-256 in PEM with ES256' },
    ]);
  });
});

describe('V18f: an authorization code', () => {
  const code = kindNamed('oauth2Code');

  it('comes in whole, also for tokens that are stored already, and leaves them', async () => {
    const token = await storedExample(kindNamed('oauth2Token'));
    const write = await prepareWrite(code, { code: 'c0de', state: 'st4te' }, token);
    expect(Object.keys(write.secrets)).toEqual(['code', 'state']);
    expect(write).toMatchObject({ settings: token.settings, facts: token.facts, unset: [] });
    expect(await issuesOf(code, { state: 'st4te' }, token)).toEqual([{ path: ['code'], message: 'is required' }]);
  });
});
