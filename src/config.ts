import { isIP, isIPv4, isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import type { ViewerKind } from './access/viewer.ts';
import type { AuditSinkTarget } from './audit-sink.ts';
import { defaultLimits, EVENT_DAYS, type Limits, TOKEN_LIFETIME_SECONDS } from './limits.ts';
import { SECRET_MIN, secretPlaceholder } from './placeholders.ts';
import { type FederationAddition, type FederationOptions, federationAdditions, isNewName, type SchemaNames } from './schema-names.ts';
import { parsedUrl } from './url.ts';

/** A setting that is a whole number. */
function whole(min: number, max: number, byDefault: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return digits(message).pipe(z.number().min(min, message).max(max, message)).default(byDefault);
}

/** Digits only: `Number` also reads spaces as 0, which often means "no limit". */
function digits(message: string) {
  return z
    .string()
    .regex(/^-?\d{1,16}$/, message)
    .transform(Number);
}

const wrongPort = 'must be a port number, 0 to 65535';
const portNumber = digits(wrongPort).pipe(z.number().min(0, wrongPort).max(65_535, wrongPort));

/** A setting that is a list, separated by commas, and whose items have a canonical form. */
function listOf(canonical: (item: string, refuse: (message: string) => void) => string) {
  return z.string().transform((list, { addIssue }) =>
    list.split(',').map((item) => {
      const messages = new Set<string>();
      const text = item.trim();
      const result = text === '' ? text : canonical(text, (message) => messages.add(message));
      if (text === '') messages.add('must not have an empty item');
      for (const message of messages) addIssue(message);
      return result;
    }),
  );
}

/** In ROOT_FIELDS, stands for a field that is left out. */
const LEFT_OUT = '-';
const typePlace = /^[A-Z]\w*$/;
const rootFieldPlace = /^(Query|Mutation|Subscription)\.[a-z]\w*$/;

/** A setting that is a list of pairs `old=new`. Whether there is the old name, and whether the new one is free, only the schema tells. */
function pairsOf(wrong: (old: string, name: string) => string | undefined) {
  return z.string().transform((list, { addIssue }) => {
    const pairs = new Map<string, string>();
    const messages = new Set<string>();
    for (const item of list.split(',')) {
      const [old = '', name = '', ...more] = item.split('=').map((part) => part.trim());
      const message = more.length > 0 ? wrong('', '') : wrong(old, name);
      if (message) messages.add(message);
      else if (pairs.has(old)) messages.add('must not name the same one twice');
      pairs.set(old, name);
    }
    for (const message of messages) addIssue(message);
    return pairs;
  });
}

/** Returns what is wrong with a text that should be a host name or an address without anything else. Undefined if nothing of this is wrong. */
function wrongHost(text: string): string | undefined {
  if (text.includes('*')) return 'must not contain a wildcard: list each host name';
  if (text.includes('://')) return 'must be host names without a scheme such as https://';
  if (text.endsWith('/')) return 'must be host names without a slash at the end';
  if (/[/?#@\\]/.test(text)) return 'must be host names without a path, query or user name';
  return undefined;
}

/** Returns a host name or address as the Host header of a request has it, in the form that URLs give it: lower case, Punycode, IPv6 in brackets. */
function canonicalHostHeader(text: string, refuse: (message: string) => void): string {
  const wrong = wrongHost(text);
  if (wrong) {
    refuse(wrong);
    return text;
  }
  const host = isIPv6(text) ? `[${text}]` : text;
  const url = parsedUrl(`http://${host}`);
  if (!url) refuse('must be host names or addresses, such as gateway.example.com');
  else if (/:\d*$/.test(host)) refuse('must be host names without a port: any port is accepted');
  return url?.hostname.replace(/\.$/, '') ?? text;
}

/** Returns an origin as browsers send it: in lower case, in Punycode, without the default port. */
function canonicalOrigin(text: string, refuse: (message: string) => void): string {
  const url = parsedUrl(text);
  if (text.includes('*')) refuse('must be origins without wildcards: list each origin');
  else if (!url || !/^https?:\/\//i.test(text))
    refuse('must be origins that begin with https:// or http://, such as https://app.example.com');
  else if (/^[^/]*\/\/[^/?#]*\/+$/.test(text)) refuse('must be origins without a slash at the end, such as https://app.example.com');
  else if (!/^[^/]*\/\/[^/?#@\\]*$/.test(text))
    refuse('must be origins without a path, query or user name, such as https://app.example.com');
  else if (url.hostname.endsWith('.')) refuse('must be origins without a dot at the end of the host name');
  else return url.origin;
  return text;
}

/** Returns a block of addresses (CIDR), or one address, without brackets. */
function canonicalBlock(text: string, refuse: (message: string) => void): string {
  const [, address = '', bits] = /^([^/]*?)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const isBlock = family !== 0 && !address.includes('%') && Number(bits ?? 0) <= (family === 4 ? 32 : 128);
  if (!isBlock) refuse('must be addresses or blocks of addresses, such as 10.1.0.0/16 or fd12::/16');
  return text.toLowerCase();
}

/** Returns an item of NO_PROXY: a host or a domain, with a port or without. */
function canonicalNoProxy(text: string, refuse: (message: string) => void): string {
  if (!/^(?:\*|(?:\*?\.)?[\w.-]+(?::\d{1,5})?|\[[\da-fA-F:.]+\](?::\d{1,5})?|[\da-fA-F:]+)$/.test(text)) {
    refuse('must be host names, such as example.com or example.com:8443');
  }
  return text.toLowerCase();
}

/** Returns whether a text is the URL of a proxy. Its user name and password must be percent-encoded. */
function isProxyUrl(text: string): boolean {
  const url = parsedUrl(text);
  return (
    url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.hash === '' && isDecodable(url)
  );
}

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(`${username}${password}`) !== undefined;
  } catch {
    return false;
  }
}

/** Returns the host to listen on as the system takes it: in lower case, IPv6 without brackets. Undefined if it is neither a name nor an address. */
function canonicalListenHost(text: string): string | undefined {
  const [, inBrackets] = /^\[(.*)\]$/.exec(text) ?? [];
  if (inBrackets !== undefined) return isIPv6(inBrackets) ? inBrackets.toLowerCase() : undefined;
  const isName = isIP(text) !== 0 || z.hostname().safeParse(text).success;
  return isName ? text.toLowerCase().replace(/\.$/, '') : undefined;
}

/** The viewers whose documents can be limited to trusted ones. */
const documentViewers = ['endUser', 'apiKey', 'token'] as const satisfies readonly ViewerKind[];
const NOBODY = 'none';
const wrongDocumentViewers = `must be ${NOBODY}, or a list of ${documentViewers.slice(0, -1).join(', ')} and ${documentViewers.at(-1)}`;

/** A claim of a token. The registered claims that are times cannot contain text (RFC 7519, section 4.1). */
function claim(byDefault: string) {
  return z
    .string()
    .min(1)
    .refine((name) => !['exp', 'iat', 'nbf'].includes(name), 'must not be a registered claim that is a time')
    .default(byDefault);
}

/** Settings in whose values spaces or quotation marks at the ends can have a meaning, or are removed later. */
const anyEnds: readonly string[] = ['MASTER_KEY', 'ALLOWED_HOSTS', 'CORS_ORIGINS', 'OAUTH_RETURN_ORIGINS', 'REVEAL_REASON_PATTERN'];

/**
 * Returns what is wrong with the ends of a value: what files of settings and shells leave there by mistake. Such a value would be compared with what
 * a token or a request contains, and match nothing.
 */
function wrongEnds(name: string, value: string): string | undefined {
  if (/^(["']).*\1$/s.test(value) && name !== 'REVEAL_REASON_PATTERN') return 'must not be in quotation marks';
  return value !== value.trim() && !anyEnds.includes(name) ? 'must not begin or end with spaces or line breaks' : undefined;
}

/** Each repetition without an end multiplies the time of a text that does not match by its length. */
const REPETITIONS_MAX = 3;

function isExpression(pattern: string): boolean {
  try {
    return new RegExp(pattern, 'u') !== undefined;
  } catch {
    return false;
  }
}

/**
 * Returns whether a regular expression can take exponential time by the usual causes: a repeated group that can match the same text in several
 * ways, or a reference to a group. `domain/reveal-reason.ts` ends what is not found here.
 */
function mayTakeLong(pattern: string): boolean {
  // Escapes and classes match one character each. What begins a group has no meaning here.
  const plain = pattern.replace(/\\(?![1-9k])[\s\S]|\[(?:\\[\s\S]|[^\]])*\]/gu, 'x').replace(/\((?:\?(?:[:=!]|<[=!]|<\w+>))?/g, '(');
  if (plain.includes('\\')) return true;
  if ((plain.match(/[*+]|\{\d+,\}/g) ?? []).length > REPETITIONS_MAX) return true;
  // For each open group, whether it contains a repetition or alternatives.
  const varies = [false];
  for (const { 0: part, index } of plain.matchAll(/[()|*+?]|\{\d+(?:,\d*)?\}/g)) {
    const innermost = varies.length - 1;
    if (part === '(') varies.push(false);
    else if (part !== ')') varies[innermost] = true;
    else {
      const isRepeated = /^(?:[*+]|\{)/.test(plain.slice(index + 1));
      if (isRepeated && varies[innermost]) return true;
      varies[innermost - 1] ||= varies.pop()!;
    }
  }
  return false;
}

/**
 * The settings, as read from the environment. `npm run readme` generates the README's table from this: a description says in Markdown what a
 * setting is, and `byDefault` describes a default that is not one value.
 */
const settings = {
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
  GRAPHIQL: z
    .enum(['true', 'false'], 'must be true or false')
    .optional()
    .meta({ description: 'whether the gateway serves GraphiQL to browsers', byDefault: '`true`, in production `false`' }),
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

type Settings = z.output<z.ZodObject<typeof settings>>;

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

/** The absolute paths of a certificate with its chain, and of its private key. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  /** The number of processes that answer requests. */
  readonly workers: number;
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
    readonly scopeClaim: string;
    /** The required `typ` of a token. If undefined, every type is accepted. */
    readonly typ: string | undefined;
    readonly maxLifetimeSeconds: number;
    /** If undefined, there are development tokens only, and `isDevelopment` is true. */
    readonly key: { readonly jwksUrl: URL } | { readonly secret: Uint8Array } | undefined;
  };
  /** The files of the certificate and its key. If undefined, the gateway serves HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly allowedHosts: readonly string[] | undefined;
  readonly corsOrigins: readonly string[];
  readonly trustedProxies: number;
  /** How the gateway is a subgraph. If undefined, it is none. */
  readonly federation: FederationOptions | undefined;
  readonly names: SchemaNames;
  /** 0 if connections are only checked when somebody asks. */
  readonly checkConnectionsHours: number;
  readonly eventDays: number;
  readonly graphiql: boolean;
  readonly limits: Limits;
  /** The operator's rules. */
  readonly policy: {
    /** The pattern that the reason of a reveal must match. If null, there is none. */
    readonly revealReasonPattern: RegExp | null;
    /** The longest lifetime of an API key in milliseconds. Null if it is not limited. */
    readonly apiKeyLifetimeMs: number | null;
    /** The URL under which browsers reach the gateway. Null if it is not known. */
    readonly publicUrl: string | null;
    /** The origins to which browsers may be sent after an authorization. */
    readonly returnOrigins: readonly string[];
    readonly tokenRefreshMs: number;
    readonly tokenRefreshAheadMs: number;
  };
  /** The absolute paths of the manifests of trusted documents, and who can run no others. If undefined, there are none. */
  readonly trustedDocuments: { readonly files: readonly string[]; readonly requiredFor: readonly ViewerKind[] } | undefined;
  /** Where the audit log is streamed to. If undefined, nowhere. */
  readonly auditSink: { readonly target: AuditSinkTarget; readonly isRequired: boolean } | undefined;
  /** Requests to third parties. */
  readonly outbound: {
    readonly allowedAddresses: readonly string[];
    readonly allowsHttp: boolean;
    readonly proxy?: URL;
    readonly noProxy: readonly string[];
  };
  /** Whether reads of credentials are logged. */
  readonly logsReads: boolean;
  readonly auditsProxied: 'each' | 'minute';
  readonly logLevel: string;
  /** Whether this is somebody's own machine, see `publicBecause`. Only there are development tokens accepted. */
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

/** The host names of a server that is bound to loopback. */
const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

/** Returns whether a server that is bound to this host is reachable only from this machine. An IPv6 address can be in brackets, as in a URL. */
export function isLoopback(host: string): boolean {
  return ['localhost', '::1', '[::1]'].includes(host) || (isIPv4(host) && host.startsWith('127.'));
}

/**
 * Returns why the gateway cannot be on somebody's own machine only, as the end of a sentence; undefined if it can. Development tokens give access
 * to everything and are printed, so a gateway that others use must never accept one.
 */
function publicBecause(read: Settings): string | undefined {
  if (read.NODE_ENV === 'production') return 'in production (NODE_ENV)';
  if (read.MONGODB_URI) return 'with MONGODB_URI';
  if (!isLoopback(read.HOST)) return 'when HOST is not loopback';
  if (read.TRUSTED_PROXIES > 0) return 'behind a proxy (TRUSTED_PROXIES)';
  if (read.ALLOWED_HOSTS?.some((host) => !isLoopback(host))) return 'when ALLOWED_HOSTS has a name that is not loopback';
  return undefined;
}

/** Returns the sink that the setting names. Undefined if it names none. */
function auditSinkOf(text: string, token?: string): AuditSinkTarget | undefined {
  if (text === 'stdout') return { kind: 'stdout' };
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length);
    return isAbsolute(path) ? { kind: 'file', path: resolve(path) } : undefined;
  }
  const url = parsedUrl(text);
  if (!url) return undefined;
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && loopbackHosts.includes(url.hostname));
  return isSafe && url.username === '' && url.password === '' ? { kind: 'http', url, token } : undefined;
}

/** Returns the problems of settings that are valid individually but not together. */
function combinations(read: Settings): string[] {
  const problems: string[] = [];
  if (read.RATE_LIMIT > 0 && read.RATE_LIMIT < read.MAX_COST) {
    problems.push('RATE_LIMIT must be at least MAX_COST, or 0 for no limit: otherwise some operations within MAX_COST could never run');
  }
  if (read.RATE_LIMIT_ORGANIZATION > 0 && read.RATE_LIMIT_ORGANIZATION < 2 * read.MAX_COST) {
    problems.push('RATE_LIMIT_ORGANIZATION must be at least twice MAX_COST, or 0 for no limit: end users together can spend half of it');
  }
  if (read.TRUSTED_DOCUMENTS_REQUIRED && !read.TRUSTED_DOCUMENTS) {
    problems.push('TRUSTED_DOCUMENTS is missing: TRUSTED_DOCUMENTS_REQUIRED needs it');
  }
  if (read.TRUSTED_DOCUMENTS_REQUIRED?.includes(NOBODY) && read.TRUSTED_DOCUMENTS_REQUIRED.length > 1) {
    problems.push(`TRUSTED_DOCUMENTS_REQUIRED ${wrongDocumentViewers}`);
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
  if (Boolean(read.TLS_CERT_FILE) !== Boolean(read.TLS_KEY_FILE)) {
    problems.push(`TLS_CERT_FILE and TLS_KEY_FILE belong together: ${read.TLS_CERT_FILE ? 'TLS_KEY_FILE' : 'TLS_CERT_FILE'} is missing`);
  }
  if (read.TOKEN_ORGANIZATION_CLAIM === read.TOKEN_SCOPE_CLAIM) {
    problems.push('TOKEN_ORGANIZATION_CLAIM and TOKEN_SCOPE_CLAIM name the same claim: they must differ');
  }
  if (read.TOKEN_JWKS_URL && read.TOKEN_SECRET) problems.push('TOKEN_JWKS_URL and TOKEN_SECRET are both set: set only one of them');
  if (!read.TOKEN_JWKS_URL && !read.TOKEN_SECRET) {
    const why = publicBecause(read);
    if (why) problems.push(`TOKEN_JWKS_URL (or TOKEN_SECRET) is missing: development tokens are not available ${why}`);
  }
  return problems;
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

/** Reads the settings with these names; the others have their defaults. @throws ConfigError */
function parsedSettings(
  names: readonly (keyof typeof settings)[],
  environment: Readonly<Record<string, string | undefined>>,
  combined: (read: Settings) => readonly string[],
): Settings {
  // An empty setting counts as unset, as intended by `FOO= npm start` and in compose files.
  const given = Object.fromEntries(names.map((name) => [name, environment[name] || undefined]));
  const wrong = names.flatMap((name) => {
    const problem = wrongEnds(name, given[name] ?? '');
    return problem ? [`${name} ${problem}`] : [];
  });
  if (wrong.length > 0) throw new ConfigError(wrong.map((problem) => `${problem}.`).join('\n'));
  const parsed = z.object(settings).safeParse(given);
  const problems = parsed.success ? combined(parsed.data) : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems.map((problem) => `${problem}.`).join('\n'));
  return parsed.data;
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
