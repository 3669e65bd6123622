import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConfig, settingNames, settingsTable } from '../src/config/index.ts';

const key = randomBytes(32).toString('base64');
const TOKEN_SECRET = randomBytes(32).toString('base64');
const production = { MONGODB_URI: 'mongodb://db.example/?replicaSet=rs0', MASTER_KEY: key, TOKEN_SECRET };

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
    ['two ways to check tokens', { TOKEN_SECRET, TOKEN_JWKS_URL: 'https://issuer.example/jwks' }, /are both set/],
    ['two places of master keys', { MASTER_KEY: key, MASTER_KEY_FILE: 'master.key' }, /are both set/],
    ['a log level that is none', { LOG_LEVEL: 'loud' }, /^LOG_LEVEL /],
    ['an environment that is none', { NODE_ENV: 'staging' }, /^NODE_ENV /],
    ['a switch that is neither', { GRAPHIQL: 'yes' }, /^GRAPHIQL must be true or false/],
    ['a pattern that is none', { REVEAL_REASON_PATTERN: 'hunter2(' }, /^REVEAL_REASON_PATTERN must be a regular expression\.$/],
    ['a long pattern', { REVEAL_REASON_PATTERN: 'x'.repeat(201) }, /^REVEAL_REASON_PATTERN must be at most 200 characters/],
    ['a limit of spaces, which is no number', { RATE_LIMIT: ' ' }, /^RATE_LIMIT must not begin or end with spaces/],
    ['a limit in another notation', { MAX_SOCKETS: '1e3' }, /^MAX_SOCKETS must be a whole number/],
    ['a port of spaces', { EMBEDDED_MONGODB_PORT: ' ' }, /^EMBEDDED_MONGODB_PORT must not begin or end with spaces/],
    ['a pattern with many repetitions', { REVEAL_REASON_PATTERN: '^[^x]*[^y]*[^z]*[^w]*Q$' }, /^REVEAL_REASON_PATTERN must not repeat/],
    ['a lifetime below zero', { API_KEY_MAX_LIFETIME_DAYS: '-1' }, /^API_KEY_MAX_LIFETIME_DAYS must be a whole number/],
    ['an address that is no URL', { TOKEN_JWKS_URL: 'hunter2' }, /^TOKEN_JWKS_URL must be an https URL/],
    [
      'keys over http',
      { TOKEN_JWKS_URL: 'http://hunter2.example/jwks' },
      /^TOKEN_JWKS_URL must be an https URL: http is accepted for loopback/,
    ],
    ['keys over http from what is like loopback', { TOKEN_JWKS_URL: 'http://localhost.example/jwks' }, /^TOKEN_JWKS_URL must be an https/],
    ['keys over http from a name that ends in a dot', { TOKEN_JWKS_URL: 'http://localhost./jwks' }, /^TOKEN_JWKS_URL must be an https/],
    ['keys over http from everywhere', { TOKEN_JWKS_URL: 'http://0.0.0.0/jwks' }, /^TOKEN_JWKS_URL must be an https/],
    ['keys behind a password', { TOKEN_JWKS_URL: 'https://a:hunter2@issuer.example/' }, /^TOKEN_JWKS_URL must not contain a user name/],
    ['a token secret of one character', { TOKEN_SECRET: 'x'.repeat(64) }, /^TOKEN_SECRET is a placeholder: it has too few different/],
    ['the type of our own tokens', { ...production, TOKEN_TYP: 'application/End-User+JWT' }, /^TOKEN_TYP must not be end-user\+jwt/],
    ['a type that is none', { ...production, TOKEN_TYP: 'at jwt' }, /^TOKEN_TYP must be a media type/],
    ['an endless lifetime', { ...production, TOKEN_MAX_LIFETIME_SECONDS: '0' }, /^TOKEN_MAX_LIFETIME_SECONDS must be a whole number/],
    [
      'production without a way to check tokens',
      { NODE_ENV: 'production' },
      /^TOKEN_JWKS_URL \(or TOKEN_SECRET\) is missing.*in production/,
    ],
    [
      'production on a database, without a way to check tokens',
      { ...production, TOKEN_SECRET: '', NODE_ENV: 'production' },
      /^TOKEN_JWKS_URL .* in production/,
    ],
    ['production, spelt otherwise', { NODE_ENV: 'Production' }, /^NODE_ENV must be development, production or test\.$/],
    ['production, with a space', { NODE_ENV: 'production ' }, /^NODE_ENV must not begin or end with spaces or line breaks\.$/],
    ['development tokens behind a proxy', { TRUSTED_PROXIES: '1' }, /^TOKEN_JWKS_URL .* behind a proxy/],
    [
      'development tokens under a public name',
      { ALLOWED_HOSTS: 'localhost, gateway.example.com' },
      /^TOKEN_JWKS_URL .* when ALLOWED_HOSTS/,
    ],
  ])('%s', (_what, environment, message) => {
    expect(() => readConfig(environment)).toThrow(message);
    expect(() => readConfig(environment)).not.toThrow(/hunter2/);
  });

  it('lists everything that is wrong at once', () => {
    expect(() => readConfig({ PORT: 'x', LOG_LEVEL: 'x' })).toThrow(/PORT.*LOG_LEVEL/s);
  });
});

/** For each setting, values that it accepts. A setting that is added needs a line here. */
const accepted: Readonly<Record<(typeof settingNames)[number], readonly string[]>> = {
  HOST: ['127.0.0.1', '::1', 'localhost', '0.0.0.0', 'fe80::1'],
  PORT: ['4000'],
  WORKERS: ['1', '64', 'auto'],
  NODE_ENV: ['production'],
  DATA_DIR: ['/data'],
  MONGODB_URI: ['mongodb://db.example/?replicaSet=rs0'],
  EMBEDDED_MONGODB_PORT: ['27017'],
  MONGODB_DATABASE: ['gateway'],
  MASTER_KEY: [key],
  MASTER_KEY_FILE: ['/run/master.key'],
  TOKEN_ISSUER: ['https://issuer.example/'],
  TOKEN_AUDIENCE: ['gateway'],
  TOKEN_ORGANIZATION_CLAIM: ['https://acme.example/tenant'],
  TOKEN_SCOPE_CLAIM: ['scp', 'permissions'],
  TOKEN_JWKS_URL: ['https://issuer.example/jwks'],
  TOKEN_SECRET: [TOKEN_SECRET],
  TOKEN_TYP: ['at+jwt'],
  TOKEN_MAX_LIFETIME_SECONDS: ['3600'],
  TLS_CERT_FILE: ['/run/tls.crt'],
  TLS_KEY_FILE: ['/run/tls.key'],
  ALLOWED_HOSTS: ['gateway.example.com', 'a.example.com,b.example.com', '127.0.0.1', '[::1]', 'xn--bcher-kva.example'],
  PUBLIC_URL: ['https://gateway.example.com', 'https://example.com/gateway/', 'http://localhost:4000'],
  OAUTH_RETURN_ORIGINS: ['https://app.example.com', 'http://localhost:3000,https://app.example.com'],
  FEDERATION: ['true'],
  FEDERATION_ADDS: ['plaintext', 'plaintext,scopes,credentials'],
  TYPE_NAMES: ['Contact=EndUserContact', 'Contact=EndUserContact,Connection=ServiceConnection'],
  ROOT_FIELDS: ['Query.viewer=gatewayViewer', 'Query.viewer=gatewayViewer,Query.node=-'],
  CHECK_CONNECTIONS_HOURS: ['24'],
  EVENT_DAYS: ['1', '30'],
  TOKEN_REFRESH_SECONDS: ['0', '60'],
  TOKEN_REFRESH_AHEAD_SECONDS: ['0', '600'],
  CORS_ORIGINS: ['https://app.example.com', 'http://localhost:3000', 'https://app.example.com,https://xn--bcher-kva.example'],
  TRUSTED_PROXIES: ['1'],
  GRAPHIQL: ['true'],
  INTROSPECTION: ['false'],
  MAX_BODY_BYTES: ['4096'],
  MAX_TOKENS: ['200'],
  MAX_DEPTH: ['5'],
  MAX_ALIASES: ['5'],
  MAX_DIRECTIVES: ['5'],
  MAX_ROOT_FIELDS: ['5'],
  MAX_LIST_ITEMS: ['5'],
  MAX_COST: ['500'],
  OPERATION_SECONDS: ['5'],
  DATABASE_SECONDS: ['5'],
  COUNT_SECONDS: ['5'],
  RATE_LIMIT: ['100000'],
  RATE_LIMIT_ORGANIZATION: ['1000000'],
  RATE_LIMIT_ANONYMOUS: ['5'],
  MAX_SOCKETS: ['5'],
  MAX_SOCKETS_PER_ADDRESS: ['5'],
  MAX_INTEGRATIONS: ['5'],
  MAX_CONNECTORS: ['5'],
  MAX_END_USERS: ['5'],
  MAX_CONNECTIONS: ['5'],
  MAX_CREDENTIALS: ['5'],
  MAX_API_KEYS: ['5'],
  MAX_WEBHOOKS: ['5'],
  MAX_IDEMPOTENCY_KEYS: ['5'],
  TRUSTED_DOCUMENTS: ['/run/documents.json', '/run/a.json,/run/b.json'],
  TRUSTED_DOCUMENTS_REQUIRED: ['none', 'endUser', 'endUser,apiKey,token'],
  MAX_OWNED: ['5'],
  MAX_STORED_BYTES: ['5'],
  OUTBOUND_ALLOWED_ADDRESSES: ['10.1.0.0/16', '192.168.1.1,fd12::/16'],
  OUTBOUND_ALLOW_HTTP: ['true'],
  HTTPS_PROXY: ['http://proxy.example.com:3128', 'https://user:pass%20word@proxy.example.com'],
  NO_PROXY: ['*', 'example.com,.example.org,*.example.net', 'example.com:8443,10.1.2.3,fd12::1,[fd12::1]:8443'],
  PROXY_SECONDS: ['5'],
  PROXY_WAIT_SECONDS: ['5'],
  PROXY_MAX_BODY_BYTES: ['5'],
  PROXY_BUFFER_BYTES: ['5'],
  PROXY_REQUESTS_PER_CONNECTION: ['5'],
  MAX_LISTENERS: ['5'],
  MAX_LISTENERS_PER_ORGANIZATION: ['5'],
  MAX_LISTENERS_PER_VIEWER: ['5'],
  REVEAL_REASON_PATTERN: ['^[A-Z]+-[0-9]+'],
  API_KEY_MAX_LIFETIME_DAYS: ['5'],
  AUDIT_SINK: ['stdout', 'file:/var/log/audit', 'https://collector.example/'],
  AUDIT_SINK_TOKEN: ['token'],
  AUDIT_SINK_REQUIRED: ['true'],
  AUDIT_READS: ['true'],
  AUDIT_PROXIED_REQUESTS: ['minute'],
  LOG_LEVEL: ['warn'],
};
/** What some settings need beside them. */
const besides: Partial<Record<(typeof settingNames)[number], Record<string, string>>> = {
  MONGODB_URI: { MASTER_KEY: key },
  TLS_CERT_FILE: { TLS_KEY_FILE: '/run/tls.key' },
  TLS_KEY_FILE: { TLS_CERT_FILE: '/run/tls.crt' },
  AUDIT_SINK_TOKEN: { AUDIT_SINK: 'https://collector.example/' },
  AUDIT_SINK_REQUIRED: { AUDIT_SINK: 'stdout' },
  TRUSTED_DOCUMENTS_REQUIRED: { TRUSTED_DOCUMENTS: '/run/documents.json' },
};
const configOf = (name: (typeof settingNames)[number], value: string) => {
  const withToken = name === 'TOKEN_JWKS_URL' || name === 'TOKEN_SECRET' ? {} : { TOKEN_SECRET };
  return readConfig({ ...withToken, ...besides[name], [name]: value });
};

describe('a look-alike of a value is the value, or stops the start with a message that names the setting', () => {
  /** What files of settings, shells and people make of a value. */
  const lookAlikes: readonly ((value: string) => string)[] = [
    (value) => ` ${value}`,
    (value) => `${value} `,
    (value) => `${value}\n`,
    (value) => `${value}\r`,
    (value) => `\u00a0${value}`,
    (value) => `"${value}"`,
    (value) => `'${value}'`,
  ];
  /** Only where they do not matter to what the value is compared with. */
  const ofNames: readonly ((value: string) => string)[] = [
    (value) => value.toUpperCase(),
    (value) => `${value}/`,
    (value) => `${value},`,
    (value) => `,${value}`,
    (value) => `${value},,${value}`,
    (value) => `${value}.`,
    (value) => `${value}:443`,
    (value) => `${value}:80`,
    (value) => `https://${value}`,
    (value) => `${value}/path`,
    (value) => `*.${value}`,
    (value) => `user@${value}`,
  ];

  it.each(settingNames)('%s', (name) => {
    for (const value of accepted[name]) {
      const config = configOf(name, value);
      const changes = ['HOST', 'ALLOWED_HOSTS', 'CORS_ORIGINS'].includes(name) ? [...lookAlikes, ...ofNames] : lookAlikes;
      for (const change of changes) {
        // The pattern can begin and end with everything.
        if (name === 'REVEAL_REASON_PATTERN') continue;
        // Another port is another origin, and an IPv6 address can have one group more.
        if (/:\d+$/.test(change('x')) && (name === 'CORS_ORIGINS' || value.includes(':'))) continue;
        let alike: unknown;
        try {
          alike = configOf(name, change(value));
        } catch (error) {
          expect((error as Error).message, change(value)).toMatch(new RegExp(`^${name} (must|Invalid)`));
          continue;
        }
        // Master keys are trimmed where they are read.
        if (name !== 'MASTER_KEY') expect(alike, change(value)).toEqual(config);
      }
    }
  });

  it.each<[string, string[] | RegExp]>([
    ['Gateway.Example.COM', ['gateway.example.com']],
    ['gateway.example.com.', ['gateway.example.com']],
    ['bücher.example, ::1', ['xn--bcher-kva.example', '[::1]']],
    ['0x7f.1', ['127.0.0.1']],
    ['[0:0:0:0:0:0:0:1]', ['[::1]']],
    ['https://gateway.example.com', /^ALLOWED_HOSTS must be host names without a scheme/],
    ['gateway.example.com/', /^ALLOWED_HOSTS must be host names without a slash at the end/],
    ['gateway.example.com:443', /^ALLOWED_HOSTS must be host names without a port/],
    ['gateway.example.com:8443', /^ALLOWED_HOSTS must be host names without a port/],
    ['*.example.com', /^ALLOWED_HOSTS must not contain a wildcard/],
    ['*', /^ALLOWED_HOSTS must not contain a wildcard/],
    ['a b', /^ALLOWED_HOSTS must be host names or addresses/],
    // An empty name was the name of every Host header that is none.
    ['gateway.example.com,', /^ALLOWED_HOSTS must not have an empty item/],
    [' , ', /^ALLOWED_HOSTS must not have an empty item/],
  ])('host names: %s', (value, expected) => {
    const read = () => readConfig({ ALLOWED_HOSTS: value, TOKEN_SECRET }).allowedHosts;
    if (expected instanceof RegExp) expect(read).toThrow(expected);
    else expect(read()).toEqual(expected);
  });

  it.each<[string, string[] | RegExp]>([
    ['HTTPS://App.Example.com', ['https://app.example.com']],
    ['https://app.example.com:443, http://a.example:80', ['https://app.example.com', 'http://a.example']],
    ['https://bücher.example', ['https://xn--bcher-kva.example']],
    ['https://app.example.com/', /^CORS_ORIGINS must be origins without a slash at the end/],
    ['https://app.example.com/app', /^CORS_ORIGINS must be origins without a path/],
    ['https://a@app.example.com', /^CORS_ORIGINS must be origins without a path, query or user name/],
    ['app.example.com', /^CORS_ORIGINS must be origins that begin with https:/],
    ['null', /^CORS_ORIGINS must be origins that begin with https:/],
    ['*', /^CORS_ORIGINS must be origins without wildcards/],
    ['https://*.example.com', /^CORS_ORIGINS must be origins without wildcards/],
    ['https://app.example.com,', /^CORS_ORIGINS must not have an empty item/],
  ])('origins: %s', (value, expected) => {
    const read = () => readConfig({ CORS_ORIGINS: value }).corsOrigins;
    if (expected instanceof RegExp) expect(read).toThrow(expected);
    else expect(read()).toEqual(expected);
  });

  it('hosts to listen on, of which only loopback has development tokens', () => {
    expect(readConfig({ HOST: 'LOCALHOST' })).toMatchObject({ host: 'localhost', isDevelopment: true });
    expect(readConfig({ HOST: '[::1]' })).toMatchObject({
      host: '::1',
      isDevelopment: true,
      allowedHosts: ['localhost', '127.0.0.1', '[::1]'],
    });
    for (const HOST of ['http://localhost', 'localhost:4000', '127.0.0.1:4000', '*', '[localhost]', 'local host']) {
      expect(() => readConfig({ HOST })).toThrow(/^HOST must be a host name or an address/);
    }
  });

  it('claims that cannot contain what they should', () => {
    expect(readConfig({}).tokens).toMatchObject({ organizationClaim: 'organization', scopeClaim: 'scope' });
    for (const claim of ['exp', 'iat', 'nbf']) {
      expect(() => readConfig({ TOKEN_SCOPE_CLAIM: claim })).toThrow(/^TOKEN_SCOPE_CLAIM must not be a registered claim/);
      expect(() => readConfig({ TOKEN_ORGANIZATION_CLAIM: claim })).toThrow(/^TOKEN_ORGANIZATION_CLAIM must not be a registered claim/);
    }
    expect(() => readConfig({ TOKEN_SCOPE_CLAIM: 'organization' })).toThrow(/name the same claim/);
  });
});

it('what guards requests to third parties is not understood by guessing', () => {
  const wrong: Partial<Record<(typeof settingNames)[number], readonly string[]>> = {
    OUTBOUND_ALLOWED_ADDRESSES: [
      '10.1.0.0/33',
      'fd12::/129',
      '10.1/16',
      '0x0a.1.0.0/16',
      'localhost',
      'fe80::1%lo/64',
      '10.1.0.0/',
      '10.0.0.1-9',
      '*',
    ],
    OUTBOUND_ALLOW_HTTP: ['yes', '1'],
    HTTPS_PROXY: ['proxy.example.com:3128', 'socks5://hunter2.example', 'http://hunter2.example/path', 'http://hunter2%@proxy.example'],
    NO_PROXY: ['https://hunter2.example', 'hunter2.example/path', 'hunter2*', 'a b'],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      expect(() => readConfig({ [name]: value }), value).toThrow(new RegExp(`^${name} must`));
      expect(() => readConfig({ [name]: value }), value).not.toThrow(/hunter2/);
    }
  }
  expect(readConfig({}).outbound).toEqual({ allowedAddresses: [], allowsHttp: false, noProxy: [] });
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
    expect(readConfig({}).policy).toMatchObject({ revealReasonPattern: null, apiKeyLifetimeMs: null });
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

it.each([
  'http://localhost:8080/jwks',
  'http://127.0.0.1/jwks',
  'http://127.1/jwks',
  'http://[::1]:8080/jwks',
  'https://issuer.example/jwks',
])('takes keys from %s', (url) => {
  expect(readConfig({ TOKEN_JWKS_URL: url }).tokens.key).toEqual({ jwksUrl: new URL(url) });
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
  const secret = { TOKEN_SECRET };
  expect(readConfig({}).isDevelopment).toBe(true);
  expect(readConfig({ HOST: 'localhost', NODE_ENV: 'test' }).isDevelopment).toBe(true);
  expect(readConfig({ NODE_ENV: 'production', ...secret }).isDevelopment).toBe(false);
  expect(readConfig({ HOST: '0.0.0.0', ...secret }).isDevelopment).toBe(false);
  expect(readConfig(production).isDevelopment).toBe(false);
  expect(readConfig({ TRUSTED_PROXIES: '1', ...secret }).isDevelopment).toBe(false);
  expect(readConfig({ ALLOWED_HOSTS: 'gateway.example.com', ...secret }).isDevelopment).toBe(false);
  expect(readConfig({ ALLOWED_HOSTS: '[::1],127.0.0.2' }).isDevelopment).toBe(true);
});

// Whoever adds a setting tells the users of it.
it('has every setting in the README as it is: npm run readme', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const [table] = /^\| setting \|.*\n(\|.*\n)*/m.exec(readme) ?? [];
  expect(table).toBe(`${settingsTable()}\n`);
  expect(table).not.toContain('undefined');
});
