import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfig, settingsTable } from '../src/config.ts';

const key = Buffer.alloc(32, 7).toString('base64');
const production = { MONGODB_URI: 'mongodb://db.example/?replicaSet=rs0', MASTER_KEY: key, TOKEN_SECRET: 'x'.repeat(32) };

describe('a start that would go wrong is stopped by a message that names the setting', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ['a port that is none', { PORT: 'hunter2' }, /^PORT must be a port number, 0 to 65535\.$/],
    ['a port too high', { PORT: '70000' }, /^PORT /],
    ['an address of another database', { MONGODB_URI: 'postgres://db' }, /MONGODB_URI must begin with mongodb:\/\//],
    ['MongoDB without a master key', { ...production, MASTER_KEY: '' }, /^MASTER_KEY \(or MASTER_KEY_FILE\) is missing/],
    [
      'MongoDB without a way to check tokens',
      { ...production, TOKEN_SECRET: '' },
      /^TOKEN_JWKS_URL \(or TOKEN_SECRET\) is missing.*with MONGODB_URI/,
    ],
    ['development tokens beyond loopback', { HOST: '0.0.0.0' }, /^TOKEN_JWKS_URL .* when HOST is not loopback/],
    ['a short token secret', { TOKEN_SECRET: 'hunter2' }, /^TOKEN_SECRET must be at least 32 characters/],
    ['two ways to check tokens', { TOKEN_SECRET: 'x'.repeat(32), TOKEN_JWKS_URL: 'https://issuer.example/jwks' }, /are both set/],
    ['two places of master keys', { MASTER_KEY: key, MASTER_KEY_FILE: 'master.key' }, /are both set/],
    ['a log level that is none', { LOG_LEVEL: 'loud' }, /^LOG_LEVEL /],
    ['an environment that is none', { NODE_ENV: 'staging' }, /^NODE_ENV /],
    ['a switch that is neither', { GRAPHIQL: 'yes' }, /^GRAPHIQL must be true or false/],
    ['a pattern that is none', { REVEAL_REASON_PATTERN: 'hunter2(' }, /^REVEAL_REASON_PATTERN must be a regular expression\.$/],
    ['a long pattern', { REVEAL_REASON_PATTERN: 'x'.repeat(201) }, /^REVEAL_REASON_PATTERN must be at most 200 characters/],
    ['a lifetime below zero', { API_KEY_MAX_LIFETIME_DAYS: '-1' }, /^API_KEY_MAX_LIFETIME_DAYS must be a whole number/],
    ['an address that is no URL', { TOKEN_JWKS_URL: 'hunter2' }, /^TOKEN_JWKS_URL must be an http or https URL/],
  ])('%s', (_what, environment, message) => {
    expect(() => readConfig(environment)).toThrow(message);
    expect(() => readConfig(environment)).not.toThrow(/hunter2/);
  });

  it('lists everything that is wrong at once', () => {
    expect(() => readConfig({ PORT: 'x', LOG_LEVEL: 'x' })).toThrow(/PORT.*LOG_LEVEL/s);
  });
});

describe('the pattern of reasons', () => {
  it.each([
    '(a+)+$',
    '(a|a)*',
    '(?:a?b){2,}',
    '((a*)b)+',
    '(?<x>a+)*',
    '(a)\\1',
    '(?<x>a)\\k<x>',
    '^(\\w+\\s?)*$',
    '(a{1,2}){5}',
    '([(]|x)+',
  ])('that can take very long is refused: %s', (pattern) => {
    expect(() => readConfig({ REVEAL_REASON_PATTERN: pattern })).toThrow(/^REVEAL_REASON_PATTERN must not repeat a group/);
  });
  it.each(['^[A-Z]+-\\d+', '^(INC|CHG)[0-9]{7}\\b', '^#\\d+( .*)?$', '(?:ab)+', '[(+)]+\\(\\)*', '\\\\1', '^\\p{Lu}{2,4}-\\d+'])(
    'that names tickets is taken: %s',
    (pattern) => {
      expect(readConfig({ REVEAL_REASON_PATTERN: pattern }).policy.revealReasonPattern?.source).toBe(pattern);
    },
  );
  it('is none unless told, as the lifetime of API keys is', () => {
    expect(readConfig({}).policy).toEqual({ revealReasonPattern: null, apiKeyLifetimeMs: null });
    expect(readConfig({ API_KEY_MAX_LIFETIME_DAYS: '90' }).policy.apiKeyLifetimeMs).toBe(90 * 86_400_000);
  });
});

it('starts with nothing set: embedded, on loopback, with development tokens', () => {
  expect(readConfig({})).toMatchObject({
    host: '127.0.0.1',
    port: 4000,
    mongodbUri: undefined,
    tokens: { key: undefined },
    allowedHosts: ['localhost', '127.0.0.1', '[::1]'],
    graphiql: true,
  });
});

it('takes an empty setting for an unset one', () => {
  expect(readConfig({ PORT: '', MONGODB_URI: '' })).toMatchObject({ port: 4000, mongodbUri: undefined });
});

it('shows no GraphiQL in production unless told', () => {
  expect(readConfig({ ...production, NODE_ENV: 'production' }).graphiql).toBe(false);
  expect(readConfig({ ...production, NODE_ENV: 'production', GRAPHIQL: 'true' }).graphiql).toBe(true);
});

// What is logged of a defect, and how, is for people who look at their own screen.
it('takes for development what runs on the embedded database, on loopback, and is not said to be production', () => {
  const secret = { TOKEN_SECRET: 'x'.repeat(32) };
  expect(readConfig({}).isDevelopment).toBe(true);
  expect(readConfig({ HOST: 'localhost', NODE_ENV: 'test' }).isDevelopment).toBe(true);
  expect(readConfig({ NODE_ENV: 'production' }).isDevelopment).toBe(false);
  expect(readConfig({ HOST: '0.0.0.0', ...secret }).isDevelopment).toBe(false);
  expect(readConfig(production).isDevelopment).toBe(false);
});

// Whoever adds a setting tells the users of it.
it('has every setting in the README as it is: npm run readme', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const [table] = /^\| setting \|.*\n(\|.*\n)*/m.exec(readme) ?? [];
  expect(table).toBe(`${settingsTable()}\n`);
  expect(table).not.toContain('undefined');
});
