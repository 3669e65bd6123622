import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { exampleCertificate, exampleGcpKey, exampleKey, exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { exampleData, issuesOf, kindNamed, prepareWrite, storedAfter, storedExample } from './examples.ts';
import { certificateOfSeveralValues, ed25519, encrypted, examplePublicRsaKey, otherCertificate, p256 } from './key-examples.ts';

const strangersKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });

describe.each([
  { row: 'V18j', name: 'certificate', keyField: 'key' },
  { row: 'L45', name: 'certificateKeyPair', keyField: 'privateKey' },
])('$row: facts of $name', ({ name, keyField }) => {
  const kind = kindNamed(name);
  const infoOf = (facts: Record<string, unknown>) => facts.certificateInfo as Record<string, unknown>;

  it('says what the certificate says', async () => {
    expect(infoOf((await storedExample(kind)).facts)).toEqual({
      subject: 'CN=example.invalid, O=Published throwaway',
      issuer: 'CN=example.invalid, O=Published throwaway',
      commonName: 'example.invalid',
      serialNumber: new X509Certificate(exampleCertificate).serialNumber,
      fingerprint: new X509Certificate(exampleCertificate).fingerprint256,
      notBefore: new Date(new X509Certificate(exampleCertificate).validFrom),
      notAfter: new Date('2126-10-30T02:52:48Z'),
      keyMatches: true,
    });
  });

  it('shows a subject with several values in one part, without escapes', async () => {
    const { facts } = await prepareWrite(kind, { ...exampleData(kind), certificate: certificateOfSeveralValues });
    const name = 'O="Acme, Inc.", OU=R&D + CN="a+b ""x"" é", C=DE';
    expect(infoOf(facts)).toMatchObject({ subject: name, issuer: name, commonName: 'a+b "x" é' });
  });

  it('keyMatches follows partial updates of the key or the certificate, without the stored key', async () => {
    const mismatched = await prepareWrite(kind, { [keyField]: strangersKey }, await storedExample(kind));
    expect(infoOf(mismatched.facts).keyMatches).toBe(false);
    const afterCertificate = await prepareWrite(kind, { certificate: exampleCertificate }, storedAfter(mismatched));
    expect(infoOf(afterCertificate.facts).keyMatches).toBe(false);
    const repaired = await prepareWrite(kind, { [keyField]: exampleKey }, storedAfter(afterCertificate));
    expect(infoOf(repaired.facts).keyMatches).toBe(true);
    expect(infoOf((await prepareWrite(kind, { certificate: exampleCertificate }, storedAfter(repaired))).facts).keyMatches).toBe(true);
  });

  it('keeps what it needs of the key under a name that is not shown', async () => {
    expect(Object.keys(kind.facts ?? {})).toEqual(['certificateInfo']);
    expect(Object.keys((await storedExample(kind)).facts).sort()).toEqual(['certificateInfo', 'publicKeyHash']);
  });

  it('takes a chain and describes its first certificate, and refuses anything that is not a certificate', async () => {
    const withCertificate = (certificate: string) => ({ ...exampleData(kind), certificate });
    const chain = `\n${exampleCertificate}\n${otherCertificate}`;
    expect(infoOf((await prepareWrite(kind, withCertificate(chain))).facts).commonName).toBe('example.invalid');
    const damaged = exampleCertificate.replace('MIIB', 'MIIC');
    for (const text of [
      exampleCertificate + exampleKey,
      `my cert ${exampleCertificate}`,
      exampleKey,
      damaged,
      exampleCertificate.slice(0, -10),
      '  ',
    ])
      expect(await issuesOf(kind, withCertificate(text))).toEqual([
        {
          path: ['certificate'],
          message: expect.stringMatching(/^must be one to ten X\.509 certificates in PEM \(RFC 7468\) and no other blocks/),
        },
      ]);
  });

  it('refuses a key with a passphrase', async () => {
    const locked = generateKeyPairSync('ed25519').privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-128-cbc',
      passphrase: 'x',
    });
    expect(await issuesOf(kind, { [keyField]: locked }, await storedExample(kind))).toEqual([
      { path: [keyField], message: expect.stringMatching(/^must be one unencrypted private key in PEM \(RFC 7468\)/) },
    ]);
  });
});

describe('L32: facts of gcp', () => {
  const gcp = kindNamed('gcp');
  const metaOf = async (keyJson: string) => (await prepareWrite(gcp, { keyJson })).facts.keyMeta as Record<string, unknown>;

  it('shows the public members of the key file, and no others', async () => {
    const file = JSON.parse(exampleGcpKey);
    expect(await metaOf(exampleGcpKey)).toEqual({
      type: 'service_account',
      projectId: 'example-project',
      privateKeyId: file.private_key_id,
      clientEmail: file.client_email,
      clientId: file.client_id,
      authUri: file.auth_uri,
      tokenUri: file.token_uri,
      clientX509CertUrl: file.client_x509_cert_url,
    });
    expect(JSON.stringify(await metaOf(exampleGcpKey))).not.toContain('PRIVATE KEY');
  });

  it('does not show what is in the place of a text but is none', async () => {
    const odd = JSON.stringify({ ...JSON.parse(exampleGcpKey), project_id: { private_key: exampleKey }, client_email: undefined });
    expect(await metaOf(odd)).toMatchObject({ projectId: null, clientEmail: null, type: 'service_account' });
  });

  it('refuses JSON that is no key file', async () => {
    for (const keyJson of ['{}', '{"type":"service_account"}', '{"type":"service_account","private_key":"nonsense"}'])
      expect(await issuesOf(gcp, { keyJson })).toEqual([
        { path: ['keyJson'], message: expect.stringContaining('must be a Google key file') },
      ]);
    expect(await metaOf('{"type":"authorized_user","client_id":"7","client_secret":"s"}')).toMatchObject({
      type: 'authorized_user',
      clientId: '7',
    });
  });

  it('follows the file when it is replaced, and stays when it is not', async () => {
    const stored = await storedExample(gcp);
    expect((await prepareWrite(gcp, {}, stored)).facts).toEqual(stored.facts);
    expect((await prepareWrite(gcp, { keyJson: '{"type":"external_account"}' }, stored)).facts.keyMeta).toMatchObject({
      type: 'external_account',
      projectId: null,
    });
  });
});

describe('L42: facts of snowflake', () => {
  it('shows the public half of the key', async () => {
    expect((await storedExample(kindNamed('snowflake'))).facts.publicKey).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
  });
});

describe('L43: facts of git', () => {
  const git = kindNamed('git');
  const sshData = { ...exampleData(git), type: 'SSH_KEY', secretValue: ed25519.plainKey };
  const publicKeyOf = async (data: Record<string, unknown>) => (await prepareWrite(git, { ...sshData, ...data })).facts.publicKey;

  it('shows the public half of an SSH key as OpenSSH spells it', async () => {
    expect(await publicKeyOf({ secretValue: ed25519.plainKey })).toBe(ed25519.publicKey);
    expect(await publicKeyOf({ secretValue: p256.plainKey })).toBe(p256.publicKey);
    expect(await publicKeyOf({ secretValue: exampleRsaKey })).toBe(examplePublicRsaKey);
  });

  it('refuses what is no SSH private key, or has a passphrase, or is damaged', async () => {
    const damaged = ed25519.plainKey.replace(/[^\n]{20}\n-----END/, '\n-----END');
    for (const secretValue of ['password', encrypted, ed25519.publicKey, exampleCertificate, damaged])
      expect(await issuesOf(git, { ...sshData, secretValue })).toEqual([
        { path: ['secretValue'], message: expect.stringContaining('must be one SSH private key') },
      ]);
  });

  it('believes neither a file that names a cipher nor one whose two check numbers differ', async () => {
    const [, body = ''] = /KEY-----([^-]+)-----END/.exec(ed25519.plainKey) ?? [];
    const withByte = (at: number, change: number) => {
      const file = Buffer.from(body, 'base64');
      file[at] = (file[at] ?? 0) ^ change;
      return `-----BEGIN OPENSSH PRIVATE KEY-----\n${file.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
    };
    const file = Buffer.from(body, 'base64');
    const checkNumber = file.indexOf('ssh-ed25519', file.indexOf('ssh-ed25519') + 1) - 8;
    expect(await publicKeyOf({ secretValue: withByte(0, 0) })).toBe(ed25519.publicKey);
    for (const secretValue of [withByte(file.indexOf('none'), 1), withByte(checkNumber, 1)])
      expect((await issuesOf(git, { ...sshData, secretValue }))[0]?.path).toEqual(['secretValue']);
  });

  it('has no public key for a password, and forgets it with the key', async () => {
    expect(await publicKeyOf({ type: 'HTTP_PASSWORD', secretValue: 'pw' })).toBeUndefined();
    const stored = storedAfter(await prepareWrite(git, sshData));
    expect((await prepareWrite(git, { username: 'eve' }, stored)).facts.publicKey).toBe(ed25519.publicKey);
    expect((await prepareWrite(git, { secretValue: null }, stored)).facts).toEqual({});
    expect((await prepareWrite(git, { type: 'HTTP_PASSWORD', secretValue: 'pw' }, stored)).facts).toEqual({});
  });
});
