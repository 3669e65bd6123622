import { z } from 'zod';
import type { ViewerKind } from '../access/viewer.ts';
import { defaultLimits, EVENT_DAYS, TOKEN_LIFETIME_SECONDS } from '../limits.ts';
import { SECRET_MIN, secretPlaceholder } from '../placeholders.ts';
import { federationAdditions, isNewName } from '../schema-names.ts';
import { parsedUrl } from '../url.ts';
import { isExpression, mayTakeLong, REPETITIONS_MAX } from './expressions.ts';
import {
  canonicalBlock,
  canonicalHostHeader,
  canonicalListenHost,
  canonicalNoProxy,
  canonicalOrigin,
  claim,
  isProxyUrl,
  LEFT_OUT,
  listOf,
  pairsOf,
  portNumber,
  rootFieldPlace,
  typePlace,
  whole,
} from './forms.ts';
import { isLoopback } from './loopback.ts';
import { auditSinkOf } from './sink.ts';

/** The viewers whose documents can be limited to trusted ones. */
export const documentViewers = ['endUser', 'apiKey', 'token'] as const satisfies readonly ViewerKind[];
export const NOBODY = 'none';
export const wrongDocumentViewers = `must be ${NOBODY}, or a list of ${documentViewers.slice(0, -1).join(', ')} and ${documentViewers.at(-1)}`;

/**
 * The settings, as read from the environment. `npm run readme` generates the README's table from this: a description says in Markdown what a
 * setting is, and `byDefault` describes a default that is not one value.
 */
export const settings = {
  HOST: z
    .string()
    .transform((text, { addIssue }) => {
      const host = canonicalListenHost(text);
      if (host === undefined) addIssue('must be a host name or an address, without scheme, port or path');
      return host ?? text;
    })
    .default('127.0.0.1')
    .describe('the address to listen on'),
  PORT: portNumber.default(4000).describe('the port; 0 chooses a free port'),
  WORKERS: z
    .string()
    .regex(/^(auto|[1-9]|[1-5][0-9]|6[0-4])$/, 'must be a whole number from 1 to 64, or auto')
    .default('1')
    .describe(
      'the number of processes that answer requests on the port; `auto` is the number of available cores. See [Several processes](#several-processes)',
    ),
  NODE_ENV: z
    .enum(['development', 'production', 'test'], 'must be development, production or test')
    .default('development')
    .describe(
      '`production` disables GraphiQL, introspection, development tokens and the development features of the [log](#log); `TOKEN_JWKS_URL` or `TOKEN_SECRET` is then required',
    ),
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
  TOKEN_ORGANIZATION_CLAIM: claim('organization').describe('the name of the claim that contains the organization'),
  TOKEN_SCOPE_CLAIM: claim('scope').describe(
    'the name of the claim that contains the scopes: a text with scopes separated by spaces, or a list. With the default, `scp` is read in tokens without `scope`',
  ),
  TOKEN_JWKS_URL: z
    .url({ protocol: /^https?$/, error: 'must be an https URL', abort: true })
    .refine((url) => new URL(url).protocol === 'https:' || isLoopback(new URL(url).hostname), {
      error: 'must be an https URL: http is accepted for loopback only, because who is on the network could replace the keys',
      abort: true,
    })
    .refine((url) => new URL(url).username === '' && new URL(url).password === '', 'must not contain a user name or password')
    .optional()
    .describe('the https URL of the public keys of the issuer (JWKS); http is accepted for loopback. Redirects are not followed'),
  TOKEN_SECRET: z
    .string()
    .min(SECRET_MIN, { error: `must be at least ${SECRET_MIN} characters, as from: openssl rand -base64 32`, abort: true })
    .superRefine((secret, { addIssue }) => {
      const reason = secretPlaceholder(secret);
      if (reason) addIssue(`is a placeholder: it ${reason}; to create a secret, run: openssl rand -base64 32`);
    })
    .optional()
    .describe(
      'a secret shared with the issuer, instead of `TOKEN_JWKS_URL`; at least 32 characters (HS256, HS384 or HS512). Placeholders are rejected',
    ),
  TOKEN_TYP: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,126}$/, 'must be a media type, with or without application/, such as at+jwt')
    .refine(
      (typ) => !/^(application\/)?end-user\+jwt$/i.test(typ),
      'must not be end-user+jwt, the type of the tokens that the gateway issues',
    )
    .optional()
    .describe(
      'the required value of the header `typ`, such as `at+jwt` (RFC 9068). If set, other tokens of the issuer, such as ID tokens, are rejected',
    ),
  TOKEN_MAX_LIFETIME_SECONDS: whole(60, 365 * 86_400, TOKEN_LIFETIME_SECONDS).describe(
    'the maximum lifetime of a token, from `iat` (or now, if there is none) to `exp`, in seconds; tokens that are valid for longer are rejected',
  ),
  TLS_CERT_FILE: z
    .string()
    .min(1)
    .optional()
    .describe(
      'a file that contains the certificate of the gateway and its chain (PEM). With `TLS_KEY_FILE`, the gateway serves HTTPS, and no HTTP. Changed files are loaded within seconds',
    ),
  TLS_KEY_FILE: z
    .string()
    .min(1)
    .optional()
    .describe('a file that contains the private key of the certificate (PEM, without a passphrase)'),
  ALLOWED_HOSTS: listOf(canonicalHostHeader).optional().meta({
    description: 'the accepted host names of requests, without ports, separated by commas',
    byDefault: 'loopback names if `HOST` is loopback, otherwise any',
  }),
  CORS_ORIGINS: listOf(canonicalOrigin)
    .optional()
    .describe(
      'the origins whose pages may use the gateway, separated by commas, such as `https://app.example.com`. Wildcards and cookies are not supported',
    ),
  TRUSTED_PROXIES: whole(0, 16, 0).describe(
    'the number of proxies in front of the gateway that append to `X-Forwarded-For`; with 0, the client address is the address of the socket',
  ),
  GRAPHIQL: z.enum(['true', 'false'], 'must be true or false').optional().meta({
    description:
      'whether the gateway serves GraphiQL to browsers. It needs the package `@graphql-yoga/render-graphiql`: with `true`, the gateway does not start without it',
    byDefault: '`true` if the package is installed, in production `false`',
  }),
  INTROSPECTION: z.enum(['true', 'false'], 'must be true or false').optional().meta({
    description: 'whether introspection queries are accepted; `schema.graphql` contains the schema in any case',
    byDefault: '`true`, in production `false`',
  }),
  FEDERATION: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .describe('whether the gateway is a subgraph of Apollo Federation 2, see [In a supergraph](#in-a-supergraph)'),
  FEDERATION_ADDS: listOf((item, refuse) => {
    if (!federationAdditions.some((each) => each === item)) refuse(`must be of: ${federationAdditions.join(', ')}`);
    return item;
  })
    .optional()
    .describe(
      'what the subgraph contains that it does not by default, separated by commas: `plaintext` (the mutations that return secrets), `scopes` (`@requiresScopes`), `credentials` (a key of `CredentialBase`)',
    ),
  TYPE_NAMES: pairsOf((place, name) =>
    typePlace.test(place) && isNewName(name) ? undefined : 'must be pairs such as Contact=EndUserContact, separated by commas',
  )
    .optional()
    .describe(
      'other names for types, where they would meet those of another subgraph, such as `Contact=EndUserContact,Connection=ServiceConnection`',
    ),
  ROOT_FIELDS: pairsOf((place, name) =>
    rootFieldPlace.test(place) && (isNewName(name) || name === LEFT_OUT)
      ? undefined
      : `must be pairs such as Query.viewer=gatewayViewer or Query.node=${LEFT_OUT}, separated by commas`,
  )
    .optional()
    .describe('other names for root fields, such as `Query.viewer=gatewayViewer`. `Query.node=-` leaves one out'),
  CHECK_CONNECTIONS_HOURS: whole(0, 8_760, 0).describe(
    'after how many hours each connection is checked again, if its connector says how (`check`, or an `introspectionUrl`); 0 means only when somebody asks',
  ),
  EVENT_DAYS: whole(1, 3_650, EVENT_DAYS).describe('for how many days events are kept'),
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
  DATABASE_SECONDS: whole(1, 300, defaultLimits.databaseSeconds).describe(
    'how long a request waits for one answer of the database, in seconds; after that, it gets the error `UNAVAILABLE` with status 503',
  ),
  COUNT_SECONDS: whole(1, 300, defaultLimits.countSeconds).describe(
    'how long the database may count a list, in seconds; after that, its `totalCount` is null',
  ),
  RATE_LIMIT: whole(0, 1_000_000_000, defaultLimits.rateLimit).describe(
    'the maximum cost of all operations of a viewer in a minute, on all copies together; 0 means no limit',
  ),
  RATE_LIMIT_ORGANIZATION: whole(0, 1_000_000_000_000, defaultLimits.organizationRateLimit).describe(
    'the same for all viewers of an organization together; its end users together can spend half of it; 0 means no limit',
  ),
  RATE_LIMIT_ANONYMOUS: whole(0, 1_000_000, defaultLimits.anonymousRateLimit).describe(
    'the maximum number of requests without a valid token from one address in a minute; 0 means no limit',
  ),
  MAX_SOCKETS: whole(1, 1_000_000, defaultLimits.maxSockets).describe('the maximum number of open sockets of clients'),
  MAX_SOCKETS_PER_ADDRESS: whole(0, 1_000_000, defaultLimits.maxSocketsPerAddress).describe(
    'the same for each client address; 0 means no limit. It does not apply if `TRUSTED_PROXIES` is set, because all sockets are then those of the proxy',
  ),
  MAX_INTEGRATIONS: whole(0, 1_000_000_000, defaultLimits.maxIntegrations).describe(
    'the maximum number of integrations of an organization',
  ),
  MAX_CONNECTORS: whole(0, 1_000_000_000, defaultLimits.maxConnectors).describe('the maximum number of connectors of an organization'),
  MAX_END_USERS: whole(0, 1_000_000_000, defaultLimits.maxEndUsers).describe('the maximum number of end users of an organization'),
  MAX_CONNECTIONS: whole(0, 1_000_000_000, defaultLimits.maxConnections).describe('the maximum number of connections of an organization'),
  MAX_CREDENTIALS: whole(0, 1_000_000_000, defaultLimits.maxCredentials).describe('the maximum number of credentials of an organization'),
  MAX_API_KEYS: whole(0, 1_000_000_000, defaultLimits.maxAPIKeys).describe('the maximum number of API keys of an organization'),
  MAX_WEBHOOKS: whole(0, 10_000, defaultLimits.maxWebhooks).describe('the maximum number of webhooks of an organization'),
  MAX_OWNED: whole(0, 1_000_000_000, defaultLimits.maxOwned).describe(
    'the maximum number of credentials, of connections, and of idempotency keys of a day, that one end user can own',
  ),
  MAX_IDEMPOTENCY_KEYS: whole(0, 1_000_000_000, defaultLimits.maxIdempotencyKeys).describe(
    'the maximum number of idempotency keys of an organization in a day',
  ),
  MAX_STORED_BYTES: whole(0, 2 ** 50, defaultLimits.maxStoredBytes).describe(
    'the maximum size of all records, sealed secrets and kept answers of an organization, in bytes; the audit log is not included',
  ),
  OUTBOUND_ALLOWED_ADDRESSES: listOf(canonicalBlock)
    .optional()
    .describe(
      'the addresses, such as `10.1.0.0/16`, that the gateway may send requests to though they are not public, separated by commas. By default, it reaches no private network, and not itself',
    ),
  OUTBOUND_ALLOW_HTTP: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .describe('whether the gateway sends requests to third parties without TLS, too'),
  HTTPS_PROXY: z
    .string()
    .refine(isProxyUrl, 'must be the URL of a proxy without a path, such as http://proxy.example.com:3128')
    .optional()
    .describe(
      'the proxy that requests to third parties pass, such as `http://user:password@proxy.example.com:3128`. The gateway looks up the names of their hosts itself, too, and checks the addresses',
    ),
  NO_PROXY: listOf(canonicalNoProxy)
    .optional()
    .describe('the hosts to which requests do not pass `HTTPS_PROXY`, with all hosts below them, separated by commas. `*` means all'),
  PROXY_SECONDS: whole(1, 86_400, defaultLimits.proxySeconds).describe(
    'the maximum time of one request by `/proxy`, with its answer, in seconds',
  ),
  PROXY_WAIT_SECONDS: whole(1, 3_600, defaultLimits.proxyWaitSeconds).describe(
    'how long such a request waits for its service or its client without any progress, in seconds',
  ),
  PROXY_MAX_BODY_BYTES: whole(0, 2 ** 50, defaultLimits.proxyMaxBodyBytes).describe(
    'the maximum size of the body of such a request, and of its answer, in bytes',
  ),
  PROXY_BUFFER_BYTES: whole(0, 64 * 1024 * 1024, defaultLimits.proxyBufferBytes).describe(
    'the maximum size of a body that is kept in memory, in bytes: one that a signature covers, or that is sent again after a refresh of the access token',
  ),
  PROXY_REQUESTS_PER_CONNECTION: whole(1, 10_000, defaultLimits.proxyRequestsPerConnection).describe(
    'the maximum number of requests by `/proxy` that are under way over one connection, in each process',
  ),
  MAX_LISTENERS: whole(0, 100_000, defaultLimits.maxListeners).describe(
    'the maximum number of live queries (subscriptions), in each process. 0 allows none',
  ),
  MAX_LISTENERS_PER_ORGANIZATION: whole(0, 100_000, defaultLimits.maxListenersPerOrganization).describe(
    'the maximum number of live queries of one organization, in each process. All its end users together can have half of them',
  ),
  MAX_LISTENERS_PER_VIEWER: whole(0, 100_000, defaultLimits.maxListenersPerViewer).describe(
    'the maximum number of live queries of one subject of the issuer, one API key, or one end user, in each process',
  ),
  REVEAL_REASON_PATTERN: z
    .string()
    .max(200, 'must be at most 200 characters')
    .refine(isExpression, 'must be a regular expression')
    .refine(
      (pattern) => !isExpression(pattern) || !mayTakeLong(pattern),
      `must not repeat a group that contains a repetition or alternatives, must not refer back to a group, and can have ${REPETITIONS_MAX} of * and + at most: more can take very long`,
    )
    .transform((pattern) => new RegExp(pattern, 'u'))
    .optional()
    .meta({
      description:
        'a regular expression (JavaScript) that the reason of a reveal must match, such as `^[A-Z]+-[0-9]+` for the number of a ticket. Callers see it in the error',
      byDefault: 'ten characters',
    }),
  API_KEY_MAX_LIFETIME_DAYS: whole(0, 3_650, 0).describe(
    'the longest lifetime of an API key in days, counted from its creation, also for existing keys; 0 means no limit',
  ),
  PUBLIC_URL: z
    .string()
    .transform((text, { addIssue }) => {
      const url = parsedUrl(text);
      const isPlain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
      if (!url || !isPlain) addIssue('must be an https URL without user name, query or fragment, such as https://gateway.example.com');
      else if (url.protocol === 'http:' && !isLoopback(url.hostname)) addIssue('must be an https URL: http is accepted for loopback only');
      return text.replace(/\/+$/, '');
    })
    .optional()
    .describe(
      'the URL under which browsers reach the gateway, such as `https://gateway.example.com`. `<PUBLIC_URL>/oauth/callback` is the redirect URL to register at OAuth 2.0 services, see [Connect a service with OAuth 2.0](#connect-a-service-with-oauth-20)',
    ),
  OAUTH_RETURN_ORIGINS: listOf(canonicalOrigin)
    .optional()
    .describe('the origins to which browsers may be sent after an authorization, separated by commas, such as `https://app.example.com`'),
  TOKEN_REFRESH_SECONDS: whole(0, 3_600, 60).describe('an access token that has less time left is refreshed before it is used, in seconds'),
  TOKEN_REFRESH_AHEAD_SECONDS: whole(0, 86_400, 300).describe(
    'an access token that has less time left is refreshed though nobody uses it, in seconds, so that its refresh token does not die of disuse; 0 means never',
  ),
  TRUSTED_DOCUMENTS: listOf((path) => path)
    .optional()
    .describe(
      'the files with the documents that clients can name by their ids, separated by commas, see [Trusted documents](#trusted-documents)',
    ),
  TRUSTED_DOCUMENTS_REQUIRED: listOf((kind, refuse) => {
    if (![NOBODY, ...documentViewers].includes(kind)) refuse(wrongDocumentViewers);
    return kind;
  })
    .optional()
    .meta({
      description:
        'who can run no other documents, separated by commas: `endUser` (with end users’ tokens), `apiKey`, `token` (with tokens of the issuer); or `none`',
      byDefault: '`endUser` with `TRUSTED_DOCUMENTS`',
    }),
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
  AUDIT_PROXIED_REQUESTS: z
    .enum(['each', 'minute'], 'must be each or minute')
    .default('each')
    .describe(
      'how requests by `/proxy` are written to the audit log: `each` one before it is sent, or summed per `minute`, viewer and connection',
    ),
  LOG_LEVEL: z
    .enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'])
    .default('info')
    .describe('the minimum level that is logged: `silent`, `fatal`, `error`, `warn`, `info`, `debug` or `trace`'),
};

export type Settings = z.output<z.ZodObject<typeof settings>>;

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
