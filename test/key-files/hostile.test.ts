import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CredentialKind } from '../../src/credential-kinds/define.ts';
import { exampleCertificate, exampleGcpKey, exampleKey, exampleRsaKey } from '../../src/credential-kinds/examples-pem.ts';
import { readsKeyFiles } from '../../src/credential-kinds/validate.ts';
import { readAsOf } from '../../src/fields/formats.ts';
import { runTask } from '../../src/key-files/tasks.ts';
import { exampleData, issuesOf, kindNamed, prepareWrite } from '../credential-kinds/examples.ts';
import { ed25519, otherCertificate } from '../credential-kinds/key-examples.ts';
import { useTestGateway } from '../harness.ts';
import { credentialKinds } from '../kinds.ts';
import { hostileCertificates, hostileKeys, hostileOpenSshKeys, hostilePublicKeys } from './hostile.ts';

/** What OpenSSL was given to decode, in the order in which it was. */
let decoded: string[] = [];
const original = {
  createPrivateKey: crypto.createPrivateKey,
  createPublicKey: crypto.createPublicKey,
  X509Certificate: crypto.X509Certificate,
};

// The functions of Node are watched where everybody imports them. They work as before.
beforeAll(() => {
  const note = (given: unknown) => {
    const { key = given } = given as { key?: unknown };
    if (key instanceof Uint8Array || typeof key === 'string') decoded.push(Buffer.from(key as string).toString('base64'));
  };
  const watched = <T extends object>(target: T): T =>
    new Proxy(target, {
      apply(call, self, args) {
        note(args[0]);
        return Reflect.apply(call as never, self, args);
      },
      construct(made, args) {
        note(args[0]);
        return Reflect.construct(made as never, args);
      },
    });
  Object.assign(crypto, {
    createPrivateKey: watched(original.createPrivateKey),
    createPublicKey: watched(original.createPublicKey),
    X509Certificate: watched(original.X509Certificate),
  });
  syncBuiltinESMExports();
});
afterAll(() => {
  Object.assign(crypto, original);
  syncBuiltinESMExports();
});
beforeEach(() => {
  decoded = [];
});

/** A place in which callers can put a key or certificates. `put` writes such a text the way that the field wants it. */
interface Place {
  readonly kind: string;
  readonly field: string;
  readonly takes: 'key' | 'certificates' | 'anyKey' | 'sshKey';
  readonly characters: number;
  readonly others?: Record<string, unknown>;
  readonly put?: (text: string) => string;
  readonly good?: string;
}

const pair = { authMethod: 'CLIENT_CERTIFICATE', publicValue: exampleCertificate, secretValue: exampleKey };
const base64 = (text: string) => Buffer.from(text).toString('base64');
const derOf = (text: string) => Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString('base64');

/** The places whose field has another format than that of a key or certificate. */
const otherPlaces: Place[] = [
  { kind: 'http', field: 'publicValue', takes: 'certificates', characters: 32_768, others: pair },
  { kind: 'http', field: 'secretValue', takes: 'key', characters: 16_384, others: pair },
  { kind: 'git', field: 'secretValue', takes: 'sshKey', characters: 16_384, others: { type: 'SSH_KEY' }, good: ed25519.plainKey },
  {
    kind: 'gcp',
    field: 'keyJson',
    takes: 'key',
    characters: 8_000,
    put: (text) => JSON.stringify({ ...JSON.parse(exampleGcpKey), private_key: text }).slice(0, 8_192),
  },
  { kind: 'jwt', field: 'secret', takes: 'anyKey', characters: 4_096, others: { algorithm: 'RS256' } },
  { kind: 'jwt', field: 'secret', takes: 'anyKey', characters: 4_096, others: { algorithm: 'ES256' }, good: exampleKey },
  { kind: 'jwtBearer', field: 'secret', takes: 'key', characters: 12_000, others: { algorithm: 'RS256' }, put: base64 },
];
const places: Place[] = [
  ...credentialKinds.flatMap((kind) =>
    Object.entries(kind.fields).flatMap(([field, descriptor]): Place[] => {
      const readAs = descriptor.type === 'String' ? readAsOf(descriptor.format) : undefined;
      if (!readAs || descriptor.type !== 'String') return [];
      return [{ kind: kind.kind, field, takes: readAs === 'certificates' ? 'certificates' : 'key', characters: descriptor.maxLength }];
    }),
  ),
  ...otherPlaces,
];

const keys = (characters: number) => hostileKeys(characters, exampleRsaKey);
const certificates = (characters: number) => hostileCertificates(characters, exampleCertificate);

function hostileFor({ takes, characters }: Place): Record<string, string> {
  if (takes === 'certificates') return certificates(characters);
  if (takes === 'sshKey') return { ...keys(characters), ...hostileOpenSshKeys(ed25519.plainKey) };
  if (takes === 'key') return keys(characters);
  const { 'eleven certificates': _, ...ofOne } = certificates(characters);
  return Object.fromEntries(
    Object.entries({ ...keys(characters), ...ofOne, ...hostilePublicKeys() }).filter(([, text]) => text.length <= characters),
  );
}

function dataOf(place: Place, text: string): [CredentialKind, Record<string, unknown>] {
  const kind = kindNamed(place.kind);
  return [kind, { ...exampleData(kind), ...place.others, [place.field]: (place.put ?? String)(text) }];
}

it('every kind that reads keys or certificates is attacked here', () => {
  expect([...new Set(places.map(({ kind }) => kind))].sort()).toEqual(
    credentialKinds
      .filter(readsKeyFiles)
      .map(({ kind }) => kind)
      .sort(),
  );
  // Of the fields of 16,384 characters, the DSA key is as long as may be.
  expect(keys(16_384)['a DSA key']!.length).toBeGreaterThan(15_500);
  expect(Object.keys(keys(16_384))).toHaveLength(44);
  expect(Object.keys(certificates(65_536))).toHaveLength(26);
});

describe.each(places.map((place) => ({ at: `${place.kind}.${place.field}`, place })))('$at', ({ place }) => {
  const nonsense = '-----BEGIN NONSENSE-----';

  it('takes a good one, which OpenSSL decodes', async () => {
    const [kind, data] = dataOf(
      place,
      place.good ?? (place.takes === 'certificates' ? exampleCertificate + otherCertificate : exampleRsaKey),
    );
    await prepareWrite(kind, data);
    if (place.takes !== 'sshKey') expect(decoded.length).toBeGreaterThan(0);
  });

  it('refuses each hostile one, and OpenSSL does not see it', async () => {
    await issuesOf(...dataOf(place, nonsense));
    const ofTheOtherFields = decoded;
    for (const [name, text] of Object.entries(hostileFor(place))) {
      // OpenSSL itself finds that a point is not on its curve; the key is bounded, and that is cheap.
      if (name.includes('not on')) continue;
      decoded = [];
      const issues = await issuesOf(...dataOf(place, text));
      expect(
        issues.map(({ path }) => path[0]),
        name,
      ).toEqual([place.field]);
      expect(decoded, name).toEqual(ofTheOtherFields);
      expect(JSON.stringify(issues), name).not.toContain(text.slice(40, 60));
    }
  });
});

it('a shared secret is no key, whatever its algorithm', async () => {
  const jwt = kindNamed('jwt');
  for (const [name, text] of Object.entries({ ...keys(4_096), ...hostilePublicKeys() })) {
    if (text.length > 4_096 || name === 'text before the key') continue;
    expect(await issuesOf(jwt, { ...exampleData(jwt), secret: text }), name).toEqual([
      { path: ['secret'], message: expect.stringMatching(/^must be a shared secret: .*not a key in PEM, because algorithm is HS256$/) },
    ]);
  }
  expect(decoded).toEqual([]);
});

it('jwtBearer takes the file of a key in DER too, and no hostile one', async () => {
  const jwtBearer = kindNamed('jwtBearer');
  const data = (secret: string) => ({ ...exampleData(jwtBearer), algorithm: 'RS256', secret });
  const pkcs1 = original.createPrivateKey(exampleRsaKey).export({ type: 'pkcs1', format: 'pem' }) as string;
  for (const good of [derOf(exampleRsaKey), derOf(pkcs1)])
    expect((await prepareWrite(jwtBearer, data(good))).secrets.secret?.expose()).toBe(good);
  decoded = [];
  const { 'PEM headers of encryption': _, 'two keys': __, 'text after the key': ___, 'text before the key': ____, ...inDer } = keys(12_000);
  for (const [name, text] of Object.entries(inDer)) {
    if (name === 'another end' || derOf(text) === '') continue;
    expect(
      (await issuesOf(jwtBearer, data(derOf(text)))).map(({ path }) => path),
      name,
    ).toEqual([['secret']]);
  }
  expect(decoded).toEqual([]);
});

describe('what the workers run', () => {
  it.each(['privateKey', 'anyKey', 'certificates', 'sshKey'] as const)('refuses everything hostile as %s', (readAs) => {
    const all = { ...keys(65_536), ...certificates(65_536), ...hostilePublicKeys(), ...hostileOpenSshKeys(ed25519.plainKey) };
    for (const [name, text] of Object.entries(all)) {
      expect(runTask({ readAs, plain: text }), name).toBeUndefined();
      if (!name.includes('not on')) expect(decoded, name).toEqual([]);
      decoded = [];
    }
  });

  it.each([
    ...(['rsa', 'rsa3072', 'rsa4096'] as const).map((type) => [type, { modulusLength: Number(type.slice(3)) || 2048 }] as const),
    ...(['P-256', 'P-384', 'P-521'] as const).map((namedCurve) => ['ec', { namedCurve }] as const),
    ['ed25519', {}] as const,
    ['ed448', {}] as const,
  ])('reads a good %s key %o in each form, and tells its public key', (type, options) => {
    const name = type.startsWith('rsa') ? 'rsa' : type;
    const { privateKey, publicKey } = crypto.generateKeyPairSync(name as 'rsa', options as { modulusLength: number });
    const expected = publicKey.export({ type: 'spki', format: 'pem' });
    const forms = ['pkcs8', ...(name === 'rsa' ? ['pkcs1'] : name === 'ec' ? ['sec1'] : [])];
    for (const form of forms) {
      const plain = privateKey.export({ type: form as 'pkcs8', format: 'pem' }) as string;
      expect(runTask({ readAs: 'privateKey', plain })).toMatchObject({ publicKey: expected });
      expect(runTask({ readAs: 'anyKey', plain })).toEqual(runTask({ readAs: 'anyKey', plain: expected as string }));
    }
  });
});

describe('through the front door', () => {
  const test = useTestGateway();

  it('each place answers a DSA key or certificate with a validation error', async () => {
    const caller = { organization: test.newOrganization() };
    const integration = await test.create(caller, 'Integration', { name: 'i' });
    for (const place of places) {
      const [name, hostile] = Object.entries(hostileFor(place)).find(([each]) => each.startsWith('a DSA'))!;
      const [kind, data] = dataOf(place, hostile);
      const { result } = await test.query(
        caller,
        `mutation ($input: CreateCredentialInput!) { result: createCredential(input: $input) { __typename ... on ValidationError { issues { path } } } }`,
        { input: { integration: { id: integration.id }, name: 'n', data: { [kind.kind]: data } } },
      );
      expect(result, `${place.kind}.${place.field}, ${name}`).toEqual({
        __typename: 'ValidationError',
        issues: [{ path: ['input', 'data', place.kind, place.field] }],
      });
    }
  });
});
