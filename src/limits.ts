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
  /** RATE_LIMIT: the maximum total cost of a viewer's operations in a minute, across all copies of the gateway. 0 means no limit. */
  readonly rateLimit: number;
  /** RATE_LIMIT_ORGANIZATION: the same for all viewers of an organization together. Its end users can spend half of it. 0 means no limit. */
  readonly organizationRateLimit: number;
  /** RATE_LIMIT_ANONYMOUS: the maximum number of requests without a valid token from one address in a minute. 0 means no limit. */
  readonly anonymousRateLimit: number;
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
  maxListItems: 250,
  maxCost: 10_000,
  operationSeconds: 20,
  databaseSeconds: 10,
  rateLimit: 300_000,
  organizationRateLimit: 3_000_000,
  anonymousRateLimit: 120,
  introspection: true,
};
