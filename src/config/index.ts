// What `import … from '../config/index.ts'` gives: the settings of the command line, read and checked.
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import type { FederationAddition, FederationOptions, SchemaNames } from '../schema-names.ts';
import type { Config } from './config.ts';
import { LEFT_OUT } from './forms.ts';
import { isLoopback, loopbackHosts } from './loopback.ts';
import { parsedSettings } from './parse.ts';
import { combinations, publicBecause } from './rules.ts';
import { documentViewers, type Settings, settingNames } from './settings.ts';
import { auditSinkOf } from './sink.ts';

export type { Config, TlsFiles } from './config.ts';
export { ConfigError } from './parse.ts';
export { settingNames, settingsTable } from './settings.ts';

/**
 * Reads the settings.
 * @throws ConfigError listing all invalid settings
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const read = parsedSettings(settingNames, environment, combinations);
  const subgraph = subgraphOf(read);
  return {
    host: read.HOST,
    port: read.PORT,
    workers: read.WORKERS === 'auto' ? availableParallelism() : Number(read.WORKERS),
    dataDirectory: resolve(read.DATA_DIR),
    mongodbUri: read.MONGODB_URI,
    embeddedMongodbPort: read.EMBEDDED_MONGODB_PORT,
    databaseName: read.MONGODB_DATABASE,
    masterKeys: read.MASTER_KEY ? { base64: read.MASTER_KEY } : read.MASTER_KEY_FILE ? { file: resolve(read.MASTER_KEY_FILE) } : undefined,
    tokens: {
      issuer: read.TOKEN_ISSUER,
      audience: read.TOKEN_AUDIENCE,
      organizationClaim: read.TOKEN_ORGANIZATION_CLAIM,
      scopeClaim: read.TOKEN_SCOPE_CLAIM,
      typ: read.TOKEN_TYP,
      maxLifetimeSeconds: read.TOKEN_MAX_LIFETIME_SECONDS,
      key: read.TOKEN_JWKS_URL
        ? { jwksUrl: new URL(read.TOKEN_JWKS_URL) }
        : read.TOKEN_SECRET
          ? { secret: new TextEncoder().encode(read.TOKEN_SECRET) }
          : undefined,
    },
    tls:
      read.TLS_CERT_FILE && read.TLS_KEY_FILE ? { certificate: resolve(read.TLS_CERT_FILE), key: resolve(read.TLS_KEY_FILE) } : undefined,
    allowedHosts: read.ALLOWED_HOSTS ?? (isLoopback(read.HOST) ? loopbackHosts : undefined),
    corsOrigins: read.CORS_ORIGINS ?? [],
    trustedProxies: read.TRUSTED_PROXIES,
    federation: read.FEDERATION === 'true' ? subgraph.federation : undefined,
    names: subgraph.names,
    checkConnectionsHours: read.CHECK_CONNECTIONS_HOURS,
    eventDays: read.EVENT_DAYS,
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
      databaseSeconds: read.DATABASE_SECONDS,
      countSeconds: read.COUNT_SECONDS,
      rateLimit: read.RATE_LIMIT,
      organizationRateLimit: read.RATE_LIMIT_ORGANIZATION,
      anonymousRateLimit: read.RATE_LIMIT_ANONYMOUS,
      maxSockets: read.MAX_SOCKETS,
      maxSocketsPerAddress: read.MAX_SOCKETS_PER_ADDRESS,
      maxIntegrations: read.MAX_INTEGRATIONS,
      maxConnectors: read.MAX_CONNECTORS,
      maxEndUsers: read.MAX_END_USERS,
      maxConnections: read.MAX_CONNECTIONS,
      maxCredentials: read.MAX_CREDENTIALS,
      maxAPIKeys: read.MAX_API_KEYS,
      maxWebhooks: read.MAX_WEBHOOKS,
      maxOwned: read.MAX_OWNED,
      maxIdempotencyKeys: read.MAX_IDEMPOTENCY_KEYS,
      maxStoredBytes: read.MAX_STORED_BYTES,
      proxySeconds: read.PROXY_SECONDS,
      proxyWaitSeconds: read.PROXY_WAIT_SECONDS,
      proxyMaxBodyBytes: read.PROXY_MAX_BODY_BYTES,
      proxyBufferBytes: read.PROXY_BUFFER_BYTES,
      proxyRequestsPerConnection: read.PROXY_REQUESTS_PER_CONNECTION,
      maxListeners: read.MAX_LISTENERS,
      maxListenersPerOrganization: read.MAX_LISTENERS_PER_ORGANIZATION,
      maxListenersPerViewer: read.MAX_LISTENERS_PER_VIEWER,
      introspection: read.INTROSPECTION ? read.INTROSPECTION === 'true' : read.NODE_ENV !== 'production',
    },
    policy: {
      revealReasonPattern: read.REVEAL_REASON_PATTERN ?? null,
      apiKeyLifetimeMs: read.API_KEY_MAX_LIFETIME_DAYS === 0 ? null : read.API_KEY_MAX_LIFETIME_DAYS * 24 * 60 * 60 * 1_000,
      publicUrl: read.PUBLIC_URL ?? null,
      returnOrigins: read.OAUTH_RETURN_ORIGINS ?? [],
      tokenRefreshMs: read.TOKEN_REFRESH_SECONDS * 1_000,
      tokenRefreshAheadMs: read.TOKEN_REFRESH_AHEAD_SECONDS * 1_000,
    },
    graphiql: read.GRAPHIQL ? read.GRAPHIQL === 'true' : read.NODE_ENV !== 'production',
    isGraphiqlRequired: read.GRAPHIQL === 'true',
    trustedDocuments: read.TRUSTED_DOCUMENTS && {
      files: read.TRUSTED_DOCUMENTS.map((path) => resolve(path)),
      requiredFor: documentViewers.filter((kind) => (read.TRUSTED_DOCUMENTS_REQUIRED ?? ['endUser']).includes(kind)),
    },
    auditSink: read.AUDIT_SINK
      ? { target: auditSinkOf(read.AUDIT_SINK, read.AUDIT_SINK_TOKEN)!, isRequired: read.AUDIT_SINK_REQUIRED === 'true' }
      : undefined,
    outbound: {
      allowedAddresses: read.OUTBOUND_ALLOWED_ADDRESSES ?? [],
      allowsHttp: read.OUTBOUND_ALLOW_HTTP === 'true',
      ...(read.HTTPS_PROXY && { proxy: new URL(read.HTTPS_PROXY) }),
      noProxy: read.NO_PROXY ?? [],
    },
    logsReads: read.AUDIT_READS === 'true',
    auditsProxied: read.AUDIT_PROXIED_REQUESTS,
    logLevel: read.LOG_LEVEL,
    isDevelopment: publicBecause(read) === undefined,
  };
}

const subgraphSettings = ['FEDERATION', 'FEDERATION_ADDS', 'TYPE_NAMES', 'ROOT_FIELDS'] as const;

/** The form of the subgraph, whether or not the gateway serves it. */
export interface SubgraphConfig {
  readonly federation: FederationOptions;
  readonly names: SchemaNames;
}

/**
 * Reads only the settings that the text of the subgraph depends on, so that it can be printed where there is no database and no key.
 * @throws ConfigError
 */
export function readSubgraphConfig(environment: Readonly<Record<string, string | undefined>>): SubgraphConfig {
  return subgraphOf(parsedSettings(subgraphSettings, environment, () => []));
}

function subgraphOf(read: Pick<Settings, (typeof subgraphSettings)[number]>): SubgraphConfig {
  const rootFields = [...(read.ROOT_FIELDS ?? [])].map(([place, name]) => [place, name === LEFT_OUT ? null : name] as const);
  return {
    federation: { adds: (read.FEDERATION_ADDS ?? []) as FederationAddition[] },
    names: { types: Object.fromEntries(read.TYPE_NAMES ?? []), rootFields: Object.fromEntries(rootFields) },
  };
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
