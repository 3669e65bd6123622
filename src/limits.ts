/** The limits of a request. Each is a setting; its description begins with the name of the setting. */
export interface Limits {
  /** MAX_BODY_BYTES: the maximum size of a body. The default fits twenty binary secrets of maximum size in base64. */
  readonly maxBodyBytes: number;
  /** MAX_TOKENS: the maximum number of lexical tokens in a document. */
  readonly maxTokens: number;
  /** MAX_DEPTH: the maximum depth of nested fields in an operation. The standard introspection query has a depth of 15. */
  readonly maxDepth: number;
  /** MAX_ALIASES: the maximum number of aliases in a document. */
  readonly maxAliases: number;
  /** MAX_DIRECTIVES: the maximum number of directives in a document. */
  readonly maxDirectives: number;
  /** MAX_ROOT_FIELDS: the maximum number of queries or mutations in an operation. */
  readonly maxRootFields: number;
  /** MAX_LIST_ITEMS: the maximum number of items in an input list. Single fields may have lower limits. */
  readonly maxListItems: number;
  /** MAX_COST: the maximum cost of one operation, as computed by `schema/kit/cost.ts`. */
  readonly maxCost: number;
  /** OPERATION_SECONDS: the maximum duration of one operation. */
  readonly operationSeconds: number;
  /**
   * DATABASE_SECONDS: how long a request waits for each function of the store. Longer than a read may take, and shorter than OPERATION_SECONDS,
   * so that the error says what the reason is.
   */
  readonly databaseSeconds: number;
  /** COUNT_SECONDS: how long one command that counts a list may take. A list that takes longer has no `totalCount`. */
  readonly countSeconds: number;
  /** RATE_LIMIT: the maximum total cost of a viewer's operations in a minute, across all copies of the gateway. 0 means no limit. */
  readonly rateLimit: number;
  /** RATE_LIMIT_ORGANIZATION: the same for all viewers of an organization together. Its end users can spend half of it. 0 means no limit. */
  readonly organizationRateLimit: number;
  /** RATE_LIMIT_ANONYMOUS: the maximum number of requests without a valid token from one address in a minute. 0 means no limit. */
  readonly anonymousRateLimit: number;
  /** MAX_SOCKETS: the maximum number of open sockets of clients. */
  readonly maxSockets: number;
  /** MAX_SOCKETS_PER_ADDRESS: the same for each client address. 0 means no limit. Does not apply behind trusted proxies. */
  readonly maxSocketsPerAddress: number;
  /** MAX_INTEGRATIONS: the maximum number of integrations of an organization. */
  readonly maxIntegrations: number;
  /** MAX_CONNECTORS: the maximum number of connectors of an organization. */
  readonly maxConnectors: number;
  /** MAX_END_USERS: the maximum number of end users of an organization. */
  readonly maxEndUsers: number;
  /** MAX_CONNECTIONS: the maximum number of connections of an organization. */
  readonly maxConnections: number;
  /** MAX_CREDENTIALS: the maximum number of credentials of an organization. */
  readonly maxCredentials: number;
  /** MAX_API_KEYS: the maximum number of API keys of an organization. */
  readonly maxAPIKeys: number;
  /** MAX_WEBHOOKS: the maximum number of webhooks of an organization. */
  readonly maxWebhooks: number;
  /** MAX_OWNED: the maximum number of credentials, of connections, and of idempotency keys of a day, that one end user can own. */
  readonly maxOwned: number;
  /** MAX_IDEMPOTENCY_KEYS: the maximum number of idempotency keys that an organization uses in a day. */
  readonly maxIdempotencyKeys: number;
  /** MAX_STORED_BYTES: the maximum size of all records, sealed secrets and kept answers of an organization. */
  readonly maxStoredBytes: number;
  /** PROXY_SECONDS: the maximum duration of one proxied request, from its headers to the end of the answer. */
  readonly proxySeconds: number;
  /** PROXY_WAIT_SECONDS: the longest time without anything of a proxied request or of its answer. */
  readonly proxyWaitSeconds: number;
  /** PROXY_MAX_BODY_BYTES: the maximum size of the body of a proxied request, and of its answer. */
  readonly proxyMaxBodyBytes: number;
  /** PROXY_BUFFER_BYTES: the maximum size of a body that a signature covers, or that can be sent once more. It is kept in memory. */
  readonly proxyBufferBytes: number;
  /** PROXY_REQUESTS_PER_CONNECTION: the maximum number of proxied requests under way over one connection, in each copy of the gateway. */
  readonly proxyRequestsPerConnection: number;
  /** MAX_LISTENERS: the maximum number of live queries that one process serves. */
  readonly maxListeners: number;
  /** MAX_LISTENERS_PER_ORGANIZATION: the same for one organization. Its end users can have half of them. */
  readonly maxListenersPerOrganization: number;
  /** MAX_LISTENERS_PER_VIEWER: the same for one subject, API key or end user. */
  readonly maxListenersPerViewer: number;
  /** INTROSPECTION: whether introspection is allowed. */
  readonly introspection: boolean;
}

/** The defaults. */
export const defaultLimits: Limits = {
  maxBodyBytes: 2 * 1024 * 1024,
  maxTokens: 4_000,
  maxDepth: 16,
  maxAliases: 50,
  maxDirectives: 50,
  maxRootFields: 20,
  maxListItems: 1_000,
  maxCost: 10_000,
  operationSeconds: 20,
  databaseSeconds: 10,
  countSeconds: 1,
  rateLimit: 300_000,
  organizationRateLimit: 3_000_000,
  anonymousRateLimit: 120,
  maxSockets: 5_000,
  maxSocketsPerAddress: 256,
  maxIntegrations: 10_000,
  maxConnectors: 100_000,
  maxEndUsers: 1_000_000,
  maxConnections: 1_000_000,
  maxCredentials: 1_000_000,
  maxAPIKeys: 1_000,
  maxWebhooks: 100,
  maxOwned: 500,
  maxIdempotencyKeys: 100_000,
  maxStoredBytes: 10 * 1024 ** 3,
  proxySeconds: 600,
  proxyWaitSeconds: 30,
  proxyMaxBodyBytes: 8 * 1024 ** 3,
  proxyBufferBytes: 1024 * 1024,
  proxyRequestsPerConnection: 64,
  maxListeners: 2_000,
  maxListenersPerOrganization: 1_000,
  maxListenersPerViewer: 50,
  introspection: true,
};

/**
 * The longest accepted lifetime of a token of the issuer, in seconds, unless it is configured. Revocations are kept as long, so there is one
 * value for both.
 */
export const TOKEN_LIFETIME_SECONDS = 24 * 60 * 60;

/** How long events are kept, in days, unless it is configured. */
export const EVENT_DAYS = 30;
