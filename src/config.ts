import { isIPv4 } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import type { AuditSinkTarget } from './audit-sink.ts';
import { defaultLimits, type Limits } from './limits.ts';

/** A setting that is a whole number. */
function whole(min: number, max: number, byDefault: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number(message).int(message).min(min, message).max(max, message).default(byDefault);
}

const portNumber = z.coerce.number('must be a port number, 0 to 65535').int().min(0).max(65_535);

const isOrigin = (text: string) => /^https?:[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;

/**
 * The settings, as read from the environment. `npm run readme` generates the README's table from this: a description says in Markdown what a
 * setting is, and `byDefault` describes a default that is not one value.
 */
const settings = {
  HOST: z.string().min(1).default('127.0.0.1').describe('the address to listen on'),
  PORT: portNumber.default(4000).describe('the port; 0 chooses a free port'),
  NODE_ENV: z
    .enum(['development', 'production', 'test'])
    .default('development')
    .describe('`production` disables GraphiQL, introspection and the development features of the [log](#log)'),
  DATA_DIR: z
    .string()
    .min(1)
    .default('./data')
    .describe('the directory of the embedded database, its master key and the secret of development tokens'),
  MONGODB_URI: z
    .string()
    .regex(/^mongodb(\+srv)?:\/\//, 'must begin with mongodb:// or mongodb+srv://')
    .optional()
    .describe(
      'the connection string of a replica set or sharded cluster, MongoDB 6 or newer. If not set, the gateway uses the embedded database',
    ),
  EMBEDDED_MONGODB_PORT: portNumber
    .optional()
    .describe(
      'a TCP port on loopback for the embedded database; 0 chooses a free port. Set it to connect with mongosh or Compass. Required for it on Windows, where Unix sockets are not supported. There is no password',
    ),
  MONGODB_DATABASE: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 letters, digits, _ or -')
    .default('credential-gateway')
    .describe('the name of the database'),
  MASTER_KEY: z
    .string()
    .optional()
    .describe(
      '32 bytes in base64 (`openssl rand -base64 32`), or `aws-kms:` followed by the ARN of a key in AWS KMS. Several keys are separated by commas: the first one wraps, all of them unwrap. This or `MASTER_KEY_FILE` is required with `MONGODB_URI`',
    ),
  MASTER_KEY_FILE: z.string().min(1).optional().describe('a file that contains the master keys in the same form, instead of `MASTER_KEY`'),
  TOKEN_ISSUER: z.string().min(1).default('credential-gateway').describe('the required value of the claim `iss`'),
  TOKEN_AUDIENCE: z.string().min(1).default('credential-gateway').describe('the value that the claim `aud` must contain'),
  TOKEN_ORGANIZATION_CLAIM: z.string().min(1).default('organization').describe('the name of the claim that contains the organization'),
  TOKEN_JWKS_URL: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .optional()
    .describe('the URL of the public keys of the issuer (JWKS)'),
  TOKEN_SECRET: z
    .string()
    .min(32, 'must be at least 32 characters, as from: openssl rand -base64 32')
    .optional()
    .describe('a secret shared with the issuer, instead of `TOKEN_JWKS_URL`; at least 32 characters (HS256, HS384 or HS512)'),
  ALLOWED_HOSTS: z.string().optional().meta({
    description: 'the accepted host names of requests, separated by commas',
    byDefault: 'loopback names if `HOST` is loopback, otherwise any',
  }),
  CORS_ORIGINS: z
    .string()
    .transform((list) => list.split(',').map((origin) => origin.trim()))
    .refine(
      (origins) => origins.every(isOrigin),
      'must be origins separated by commas, such as https://app.example.com; wildcards are not supported',
    )
    .optional()
    .describe(
      'the origins whose pages may use the gateway, separated by commas, such as `https://app.example.com`. Wildcards and cookies are not supported',
    ),
  TRUSTED_PROXIES: whole(0, 16, 0).describe(
    'the number of proxies in front of the gateway that append to `X-Forwarded-For`; with 0, the client address is the address of the socket',
  ),
  GRAPHIQL: z
    .enum(['true', 'false'], 'must be true or false')
    .optional()
    .meta({ description: 'whether the gateway serves GraphiQL to browsers', byDefault: '`true`, in production `false`' }),
  INTROSPECTION: z.enum(['true', 'false'], 'must be true or false').optional().meta({
    description: 'whether introspection queries are accepted; `schema.graphql` contains the schema in any case',
    byDefault: '`true`, in production `false`',
  }),
  MAX_BODY_BYTES: whole(1_024, 64 * 1024 * 1024, defaultLimits.maxBodyBytes).describe(
    'the maximum size of a request body; a larger one gets status 413',
  ),
  MAX_TOKENS: whole(100, 100_000, defaultLimits.maxTokens).describe('the maximum number of lexical tokens in a document'),
  MAX_DEPTH: whole(1, 64, defaultLimits.maxDepth).describe('the maximum depth of nested fields'),
  MAX_ALIASES: whole(0, 10_000, defaultLimits.maxAliases).describe('the maximum number of aliases in a document'),
  MAX_DIRECTIVES: whole(0, 10_000, defaultLimits.maxDirectives).describe('the maximum number of directives in a document'),
  MAX_ROOT_FIELDS: whole(1, 1_000, defaultLimits.maxRootFields).describe('the maximum number of queries or mutations in one operation'),
  MAX_LIST_ITEMS: whole(1, 100_000, defaultLimits.maxListItems).describe('the maximum number of items in a list of the input'),
  MAX_COST: whole(1, 10_000_000, defaultLimits.maxCost).describe('the maximum cost of one operation, see [Limits](#limits)'),
  OPERATION_SECONDS: whole(1, 300, defaultLimits.operationSeconds).describe('the maximum time of one operation, in seconds'),
  RATE_LIMIT: whole(0, 1_000_000_000, defaultLimits.rateLimit).describe(
    'the maximum cost of all operations of a viewer in a minute, on all copies together; 0 means no limit',
  ),
  RATE_LIMIT_ANONYMOUS: whole(0, 1_000_000, defaultLimits.anonymousRateLimit).describe(
    'the maximum number of requests without a valid token from one address in a minute; 0 means no limit',
  ),
  AUDIT_SINK: z
    .string()
    .refine(
      (sink) => auditSinkOf(sink) !== undefined,
      'must be stdout, file: followed by an absolute path, or an https URL without credentials; http is accepted for loopback only',
    )
    .optional()
    .describe(
      'where entries and heads of the audit log are streamed to, as lines of JSON: `stdout`, `file:/path`, or the `https` URL of a collector that gets them by POST (`http` on loopback only). See [Audit log](#audit-log)',
    ),
  AUDIT_SINK_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'must consist of printable characters without spaces')
    .optional()
    .describe('the bearer token for the collector'),
  AUDIT_SINK_REQUIRED: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .describe('whether mutations are refused (`UNAVAILABLE`) while the sink does not take what is sent, or gets nothing for a minute'),
  AUDIT_READS: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .describe('whether reads of credentials are written to the audit log, too, summed per minute, viewer, and end user or integration'),
  LOG_LEVEL: z
    .enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'])
    .default('info')
    .describe('the minimum level that is logged: `silent`, `fatal`, `error`, `warn`, `info`, `debug` or `trace`'),
};

/** The names of all settings. */
export const settingNames = Object.keys(settings) as (keyof typeof settings)[];

/** The settings as a table in Markdown. */
export function settingsTable(): string {
  const rows = Object.entries(settings).map(([name, schema]) => {
    const { description, byDefault } = schema.meta() ?? {};
    const value = schema instanceof z.ZodDefault ? schema.def.defaultValue : undefined;
    return `| \`${name}\` | ${byDefault ?? (value === undefined ? '–' : `\`${value}\``)} | ${description} |`;
  });
  return ['| setting | default | what it does |', '|---|---|---|', ...rows].join('\n');
}

export interface Config {
  readonly host: string;
  readonly port: number;
  /** The absolute path of the directory of the embedded database and its keys. */
  readonly dataDirectory: string;
  /** If undefined, the embedded database is used. */
  readonly mongodbUri: string | undefined;
  /** The TCP port of the embedded database. If undefined, it does not listen on TCP. */
  readonly embeddedMongodbPort: number | undefined;
  readonly databaseName: string;
  /** The configured master keys; the first one wraps. If undefined, the embedded database uses a master key of its own. */
  readonly masterKeys: { readonly base64: string } | { readonly file: string } | undefined;
  readonly tokens: {
    readonly issuer: string;
    readonly audience: string;
    readonly organizationClaim: string;
    /** If undefined, there are development tokens only, with the embedded database on loopback. */
    readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array } | undefined;
  };
  readonly allowedHosts: readonly string[] | undefined;
  readonly corsOrigins: readonly string[];
  readonly trustedProxies: number;
  readonly graphiql: boolean;
  readonly limits: Limits;
  /** Where the audit log is streamed to. If undefined, nowhere. */
  readonly auditSink: { readonly target: AuditSinkTarget; readonly isRequired: boolean } | undefined;
  /** Whether reads of credentials are logged. */
  readonly logsReads: boolean;
  readonly logLevel: string;
  /** Whether this is somebody's own machine: the embedded database, on loopback, and not said to be production. */
  readonly isDevelopment: boolean;
}

/** One or more settings are invalid. The message names each and says what is valid; it never repeats a value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Reads the settings.
 * @throws ConfigError listing all invalid settings
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  // An empty setting counts as unset, as intended by `FOO= npm start` and in compose files.
  const given = Object.fromEntries(settingNames.map((name) => [name, environment[name] || undefined]));
  const parsed = z.object(settings).safeParse(given);
  const problems = parsed.success
    ? combinations(parsed.data)
    : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems.map((problem) => `${problem}.`).join('\n'));
  const read = parsed.data;
  return {
    host: read.HOST,
    port: read.PORT,
    dataDirectory: resolve(read.DATA_DIR),
    mongodbUri: read.MONGODB_URI,
    embeddedMongodbPort: read.EMBEDDED_MONGODB_PORT,
    databaseName: read.MONGODB_DATABASE,
    masterKeys: read.MASTER_KEY ? { base64: read.MASTER_KEY } : read.MASTER_KEY_FILE ? { file: resolve(read.MASTER_KEY_FILE) } : undefined,
    tokens: {
      issuer: read.TOKEN_ISSUER,
      audience: read.TOKEN_AUDIENCE,
      organizationClaim: read.TOKEN_ORGANIZATION_CLAIM,
      key: read.TOKEN_JWKS_URL
        ? { jwksUrl: new URL(read.TOKEN_JWKS_URL) }
        : read.TOKEN_SECRET
          ? { secret: new TextEncoder().encode(read.TOKEN_SECRET) }
          : undefined,
    },
    allowedHosts: read.ALLOWED_HOSTS?.split(',').map((host) => host.trim()) ?? (isLoopback(read.HOST) ? loopbackHosts : undefined),
    corsOrigins: read.CORS_ORIGINS ?? [],
    trustedProxies: read.TRUSTED_PROXIES,
    limits: {
      maxBodyBytes: read.MAX_BODY_BYTES,
      maxTokens: read.MAX_TOKENS,
      maxDepth: read.MAX_DEPTH,
      maxAliases: read.MAX_ALIASES,
      maxDirectives: read.MAX_DIRECTIVES,
      maxRootFields: read.MAX_ROOT_FIELDS,
      maxListItems: read.MAX_LIST_ITEMS,
      maxCost: read.MAX_COST,
      operationSeconds: read.OPERATION_SECONDS,
      rateLimit: read.RATE_LIMIT,
      anonymousRateLimit: read.RATE_LIMIT_ANONYMOUS,
      introspection: read.INTROSPECTION ? read.INTROSPECTION === 'true' : read.NODE_ENV !== 'production',
    },
    graphiql: read.GRAPHIQL ? read.GRAPHIQL === 'true' : read.NODE_ENV !== 'production',
    auditSink: read.AUDIT_SINK
      ? { target: auditSinkOf(read.AUDIT_SINK, read.AUDIT_SINK_TOKEN)!, isRequired: read.AUDIT_SINK_REQUIRED === 'true' }
      : undefined,
    logsReads: read.AUDIT_READS === 'true',
    logLevel: read.LOG_LEVEL,
    isDevelopment: read.NODE_ENV !== 'production' && !read.MONGODB_URI && isLoopback(read.HOST),
  };
}

/** The host names of a server that is bound to loopback. */
const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

/** Returns whether a server that is bound to this host is reachable only from this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** Returns the sink that the setting names. Undefined if it names none. */
function auditSinkOf(text: string, token?: string): AuditSinkTarget | undefined {
  if (text === 'stdout') return { kind: 'stdout' };
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length);
    return isAbsolute(path) ? { kind: 'file', path: resolve(path) } : undefined;
  }
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && loopbackHosts.includes(url.hostname));
  return isSafe && url.username === '' && url.password === '' ? { kind: 'http', url, token } : undefined;
}

/** Returns the problems of settings that are valid individually but not together. */
function combinations(read: z.output<z.ZodObject<typeof settings>>): string[] {
  const problems: string[] = [];
  if (read.RATE_LIMIT > 0 && read.RATE_LIMIT < read.MAX_COST) {
    problems.push('RATE_LIMIT must be at least MAX_COST, or 0 for no limit: otherwise some operations within MAX_COST could never run');
  }
  if (!read.AUDIT_SINK && read.AUDIT_SINK_REQUIRED === 'true') problems.push('AUDIT_SINK is missing: AUDIT_SINK_REQUIRED needs one');
  if (read.AUDIT_SINK_TOKEN && !/^https?:/.test(read.AUDIT_SINK ?? '')) {
    problems.push('AUDIT_SINK_TOKEN is set, but AUDIT_SINK is not the URL of a collector');
  }
  if (read.MASTER_KEY && read.MASTER_KEY_FILE) problems.push('MASTER_KEY and MASTER_KEY_FILE are both set: set only one of them');
  if (read.MONGODB_URI && !read.MASTER_KEY && !read.MASTER_KEY_FILE) {
    problems.push(
      'MASTER_KEY (or MASTER_KEY_FILE) is missing: it is required with MONGODB_URI; to create one, run: openssl rand -base64 32',
    );
  }
  if (read.TOKEN_JWKS_URL && read.TOKEN_SECRET) problems.push('TOKEN_JWKS_URL and TOKEN_SECRET are both set: set only one of them');
  if (!read.TOKEN_JWKS_URL && !read.TOKEN_SECRET) {
    const why = read.MONGODB_URI ? 'with MONGODB_URI' : isLoopback(read.HOST) ? undefined : 'when HOST is not loopback';
    if (why) problems.push(`TOKEN_JWKS_URL (or TOKEN_SECRET) is missing: development tokens are not available ${why}`);
  }
  return problems;
}

/** The paths of the files in the data directory. */
export function dataPaths(dataDirectory: string) {
  return {
    database: join(dataDirectory, 'mongodb'),
    masterKey: join(dataDirectory, 'master.key'),
    tokenSecret: join(dataDirectory, 'token.secret'),
    /** Says that a backup was restored, until that is in the log of the platform. */
    restoreNote: join(dataDirectory, 'restored.json'),
  };
}
