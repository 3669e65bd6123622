import { isIPv4 } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { defaultLimits, type Limits } from './limits.ts';

/** A setting that is a whole number. */
function whole(min: number, max: number, byDefault: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number(message).int(message).min(min, message).max(max, message).default(byDefault);
}

const portNumber = z.coerce.number('must be a port number, 0 to 65535').int().min(0).max(65_535);

const isOrigin = (text: string) => /^https?:[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;

/** The settings, as the environment gives them. The README has the same table; a test compares the two. */
const settings = {
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: portNumber.default(4000),
  DATA_DIR: z.string().min(1).default('./data'),
  MONGODB_URI: z
    .string()
    .regex(/^mongodb(\+srv)?:\/\//, 'must begin with mongodb:// or mongodb+srv://')
    .optional(),
  EMBEDDED_MONGODB_PORT: portNumber.optional(),
  MONGODB_DATABASE: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 letters, digits, _ or -')
    .default('credential-gateway'),
  MASTER_KEY: z.string().optional(),
  MASTER_KEY_FILE: z.string().min(1).optional(),
  TOKEN_ISSUER: z.string().min(1).default('credential-gateway'),
  TOKEN_AUDIENCE: z.string().min(1).default('credential-gateway'),
  TOKEN_ORGANIZATION_CLAIM: z.string().min(1).default('organization'),
  TOKEN_JWKS_URL: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional(),
  TOKEN_SECRET: z.string().min(32, 'must be at least 32 characters, as from: openssl rand -base64 32').optional(),
  ALLOWED_HOSTS: z.string().optional(),
  CORS_ORIGINS: z
    .string()
    .transform((list) => list.split(',').map((origin) => origin.trim()))
    .refine(
      (origins) => origins.every(isOrigin),
      'must be origins separated by commas, as in https://app.example.com; there is no wildcard',
    )
    .optional(),
  TRUSTED_PROXIES: whole(0, 16, 0),
  GRAPHIQL: z.enum(['true', 'false'], 'must be true or false').optional(),
  INTROSPECTION: z.enum(['true', 'false'], 'must be true or false').optional(),
  MAX_BODY_BYTES: whole(1_024, 64 * 1024 * 1024, defaultLimits.maxBodyBytes),
  MAX_TOKENS: whole(100, 100_000, defaultLimits.maxTokens),
  MAX_DEPTH: whole(1, 64, defaultLimits.maxDepth),
  MAX_ALIASES: whole(0, 10_000, defaultLimits.maxAliases),
  MAX_DIRECTIVES: whole(0, 10_000, defaultLimits.maxDirectives),
  MAX_ROOT_FIELDS: whole(1, 1_000, defaultLimits.maxRootFields),
  MAX_LIST_ITEMS: whole(1, 100_000, defaultLimits.maxListItems),
  MAX_COST: whole(1, 10_000_000, defaultLimits.maxCost),
  OPERATION_SECONDS: whole(1, 300, defaultLimits.operationSeconds),
  RATE_LIMIT: whole(0, 1_000_000_000, defaultLimits.rateLimit),
  RATE_LIMIT_ANONYMOUS: whole(0, 1_000_000, defaultLimits.anonymousRateLimit),
  LOG_LEVEL: z.enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
};

/** The names of all settings. */
export const settingNames = Object.keys(settings) as (keyof typeof settings)[];

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Where the embedded database and what goes with it lies, absolute. */
  readonly dataDirectory: string;
  /** Undefined: the embedded database. */
  readonly mongodbUri: string | undefined;
  /** Where the embedded database listens on TCP. Undefined: it does not. */
  readonly embeddedMongodbPort: number | undefined;
  readonly databaseName: string;
  /** The master keys given, the first to wrap with. Undefined: none were, and the embedded database may have one of its own. */
  readonly masterKeys: { readonly base64: string } | { readonly file: string } | undefined;
  readonly tokens: {
    readonly issuer: string;
    readonly audience: string;
    readonly organizationClaim: string;
    /** Undefined: development tokens, on the embedded database and loopback only. */
    readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array } | undefined;
  };
  readonly allowedHosts: readonly string[] | undefined;
  readonly corsOrigins: readonly string[];
  readonly trustedProxies: number;
  readonly graphiql: boolean;
  readonly limits: Limits;
  readonly logLevel: string;
  /** Whether this is somebody's own machine: the embedded database, on loopback, and not said to be production. */
  readonly isDevelopment: boolean;
}

/** A setting is wrong. The message names each, what is wrong with it, and what would be right; it never repeats a value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Reads the settings.
 * @throws ConfigError listing everything that is wrong
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  // An empty setting is an unset one: that is what `FOO= npm start` and compose files mean.
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
    logLevel: read.LOG_LEVEL,
    isDevelopment: read.NODE_ENV !== 'production' && !read.MONGODB_URI && isLoopback(read.HOST),
  };
}

/** The names by which a browser reaches a server that is bound to loopback. */
const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

/** Whether only this machine reaches what is bound to the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** What is wrong with settings that are right one by one. */
function combinations(read: z.output<z.ZodObject<typeof settings>>): string[] {
  const problems: string[] = [];
  if (read.RATE_LIMIT > 0 && read.RATE_LIMIT < read.MAX_COST) {
    problems.push('RATE_LIMIT must be at least MAX_COST (or 0, which is none): otherwise an operation that is allowed could never run');
  }
  if (read.MASTER_KEY && read.MASTER_KEY_FILE) problems.push('MASTER_KEY and MASTER_KEY_FILE exclude each other: give one of them');
  if (read.MONGODB_URI && !read.MASTER_KEY && !read.MASTER_KEY_FILE) {
    problems.push(
      'MASTER_KEY (or MASTER_KEY_FILE) is missing: with MONGODB_URI a master key must be given, as from: openssl rand -base64 32',
    );
  }
  if (read.TOKEN_JWKS_URL && read.TOKEN_SECRET) problems.push('TOKEN_JWKS_URL and TOKEN_SECRET exclude each other: give one of them');
  if (!read.TOKEN_JWKS_URL && !read.TOKEN_SECRET) {
    const why = read.MONGODB_URI ? 'with MONGODB_URI' : isLoopback(read.HOST) ? undefined : 'when HOST is not loopback';
    if (why) problems.push(`TOKEN_JWKS_URL (or TOKEN_SECRET) is missing: development tokens do not exist ${why}`);
  }
  return problems;
}

/** Where things lie in the data directory. */
export function dataPaths(dataDirectory: string) {
  return {
    database: join(dataDirectory, 'mongodb'),
    masterKey: join(dataDirectory, 'master.key'),
    tokenSecret: join(dataDirectory, 'token.secret'),
  };
}
