import { isIPv4 } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';

/** The settings, as the environment gives them. The README has the same table; a test compares the two. */
const settings = {
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z.coerce.number('must be a port number, 0 to 65535').int().min(0).max(65_535).default(4000),
  DATA_DIR: z.string().min(1).default('./data'),
  MONGODB_URI: z
    .string()
    .regex(/^mongodb(\+srv)?:\/\//, 'must begin with mongodb:// or mongodb+srv://')
    .optional(),
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
  GRAPHIQL: z.enum(['true', 'false'], 'must be true or false').optional(),
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
  readonly graphiql: boolean;
  readonly logLevel: string;
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
    graphiql: read.GRAPHIQL ? read.GRAPHIQL === 'true' : read.NODE_ENV !== 'production',
    logLevel: read.LOG_LEVEL,
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
