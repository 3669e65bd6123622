import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createGateway } from '../src/api.ts';
import { parseMasterKeys } from '../src/cli/master-keys.ts';
import { masterKeyProblem } from '../src/gateway/index.ts';
import { keyPlaceholder, secretPlaceholder } from '../src/placeholders.ts';

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const digits = '0123456789';
const pick = (characters: string, count: number) => Array.from({ length: count }, () => characters[randomInt(characters.length)]).join('');
const bytes = (first: number, step: number) => Uint8Array.from({ length: 32 }, (_, at) => (first + at * step) % 256);
const base64 = (key: Uint8Array | string) => Buffer.from(key).toString('base64');

describe('a master key that is a placeholder', () => {
  it.each<[string, Uint8Array]>([
    ['zeros', new Uint8Array(32)],
    ['one byte', new Uint8Array(32).fill(0xa7)],
    ['two bytes, repeated', bytes(1, 128)],
    ['eight bytes, repeated', Buffer.alloc(32, randomBytes(8))],
    ['sixteen bytes, twice', Buffer.alloc(32, randomBytes(16))],
    ['sixteen bytes, then zeros', Buffer.concat([randomBytes(16), Buffer.alloc(16)])],
    ['ascending bytes', bytes(0, 1)],
    ['descending bytes', bytes(255, 255)],
    ['every seventh byte', bytes(3, 7)],
    ['ascending bytes that begin anew', Uint8Array.from({ length: 32 }, (_, at) => at % 20)],
    ['text of one word, repeated', Buffer.alloc(32, 'changeme')],
    ['text of words', Buffer.from('this is a very long master key!!')],
    ['text of other words', Buffer.from('correct horse battery staple abc')],
    ['text of digits in turn', Buffer.from('12345678901234567890123456789012')],
    ['text that counts', Buffer.from('abcdefghijklmnopqrstuvwxyz012345')],
  ])('is refused in first place, and taken after a good one: %s', (_, key) => {
    expect(keyPlaceholder(key)).toMatch(/^(has|repeats|consists|encodes) /);
    const refusal = () => parseMasterKeys(base64(key), 'MASTER_KEY');
    expect(refusal).toThrow(/^MASTER_KEY: the first key is a placeholder: it .* keys rewrap/);
    expect(refusal).not.toThrow(base64(key));
    // Otherwise what it sealed could not be moved to another key.
    expect(parseMasterKeys(`${base64(randomBytes(32))},${base64(key)}`, 'MASTER_KEY')).toHaveLength(2);
  });
});

it('master keys are refused in the command and in the library with the same words', async () => {
  const tooShort = randomBytes(31);
  for (const keys of [[], [tooShort], [randomBytes(32), tooShort], [Buffer.alloc(32)]]) {
    const problem = masterKeyProblem(keys)!;
    expect(() => parseMasterKeys(keys.map(base64).join(), 'MASTER_KEY')).toThrow(`MASTER_KEY: ${problem}`);
    const options = { database: { uri: 'mongodb://127.0.0.1:1', name: 'x' }, masterKeys: keys, tokens: {} as never };
    await expect(createGateway(options)).rejects.toThrow(`masterKeys: ${problem}`);
    expect(problem).not.toContain(base64(tooShort));
  }
});

describe('a token secret that is a placeholder', () => {
  const changeMe = 'changeme'.repeat(4);
  it.each([
    'x'.repeat(32),
    'ab'.repeat(20),
    '0123456789abcdef'.repeat(2),
    '0123456789abcdef'.repeat(4),
    'deadbeefcafebabe'.repeat(4),
    '00112233445566778899aabbccddeeff',
    'abcdefghijklmnopqrstuvwxyz0123456789',
    '12345678901234567890123456789012',
    '98765432109876543210987654321098',
    changeMe,
    `${changeMe}1`,
    'ChangeMe-ChangeMe-ChangeMe-ChangeMe!',
    'change-me-please-change-me-now-12345',
    'secret-secret-secret-secret-secret',
    'your-256-bit-secret-your-256-bit-secret',
    'this-is-my-secret-key-1234567890',
    'MySuperSecretTokenForDevelopment123',
    'my_super_long_jwt_secret_key_for_testing',
    'S3cr3tP@ssw0rdS3cr3tP4ssw0rd!!!!',
    'please-replace-this-with-a-strong-secret',
    'must-be-at-least-32-characters-long-1234',
    'replace me with 32 random characters',
    'the quick brown fox jumps over the lazy dog',
    'AT LEAST THIRTY TWO CHARACTERS LONG',
    'passwordpassword1234passwordpassword',
    'credential-gateway-token-secret-0000',
    'qwertyuiopasdfghjklzxcvbnmqwertyuiop',
    base64(new Uint8Array(32)),
    base64(bytes(0, 1)),
    base64(changeMe),
    Buffer.from(bytes(0, 1)).toString('hex'),
    Buffer.from(bytes(7, 3)).toString('base64url'),
    Buffer.from('this-is-my-secret-key-1234567890').toString('hex'),
  ])('is found: %s', (secret) => {
    expect(secretPlaceholder(secret)).toMatch(/^(has|repeats|consists|encodes) /);
  });

  it('may contain a word, if enough of it is random', () => {
    expect(secretPlaceholder(`prod-secret-${randomBytes(24).toString('base64url')}`)).toBe(undefined);
  });
});

describe('what is random is never taken for a placeholder: 10,000 of each usual form', () => {
  it.each<[string, () => string]>([
    ['openssl rand -base64 32', () => randomBytes(32).toString('base64')],
    ['openssl rand -base64 24', () => randomBytes(24).toString('base64')],
    ['openssl rand -base64 48', () => randomBytes(48).toString('base64')],
    ['base64url', () => randomBytes(32).toString('base64url')],
    ['openssl rand -hex 16', () => randomBytes(16).toString('hex')],
    ['openssl rand -hex 32', () => randomBytes(32).toString('hex')],
    ['hex in capitals', () => randomBytes(32).toString('hex').toUpperCase()],
    ['a UUID', () => randomUUID()],
    ['letters and digits', () => pick(letters + digits, 32)],
    ['letters', () => pick(letters, 40)],
    ['digits', () => pick(digits, 40)],
    ['base32', () => pick('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 52)],
    ['a password manager’s', () => pick(`${letters}${digits}!@#$%^&*-_=+`, 40)],
  ])('as a token secret: %s', (_, create) => {
    expect(Array.from({ length: 10_000 }, create).filter(secretPlaceholder)).toEqual([]);
  });

  it.each<[string, () => Uint8Array]>([
    ['bytes', () => randomBytes(32)],
    ['letters and digits', () => Buffer.from(pick(letters + digits, 32))],
    ['hex', () => Buffer.from(randomBytes(16).toString('hex'))],
  ])('as a master key: %s', (_, create) => {
    expect(Array.from({ length: 10_000 }, create).filter(keyPlaceholder)).toEqual([]);
  });
});

// Whoever copies an example must not have a key that everybody knows.
it('what the documents show is no key that would be taken', () => {
  for (const file of ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'src/README.md']) {
    const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
    for (const [, value] of text.matchAll(/(?:MASTER_KEY|TOKEN_SECRET)=([^\s`'"]+)/g)) {
      expect(() => parseMasterKeys(value!, 'MASTER_KEY'), `${file}: ${value}`).toThrow();
    }
  }
});
