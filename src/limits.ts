/** What a request may cost the gateway. Each is a setting of the configuration, under the name that stands beside it. */
export interface Limits {
  /** MAX_BODY_BYTES: the largest body that is read. Twenty binary secrets of the largest size, in base64, fit. */
  readonly maxBodyBytes: number;
  /** MAX_TOKENS: how many lexical tokens a document may have. */
  readonly maxTokens: number;
  /** MAX_DEPTH: how many fields deep an operation may select. The stock introspection query is 15 deep. */
  readonly maxDepth: number;
  /** MAX_ALIASES: how many aliases a document may have. */
  readonly maxAliases: number;
  /** MAX_DIRECTIVES: how many directives a document may have. */
  readonly maxDirectives: number;
  /** MAX_ROOT_FIELDS: how many queries or mutations an operation may run. */
  readonly maxRootFields: number;
  /** MAX_LIST_ITEMS: how many items a list in the input may have. What a field allows may be less. */
  readonly maxListItems: number;
  /** MAX_COST: what one operation may cost; `schema/cost.ts` says how it is counted. */
  readonly maxCost: number;
  /** OPERATION_SECONDS: how long one operation may run. */
  readonly operationSeconds: number;
  /** RATE_LIMIT: what a viewer's operations may cost in a minute, by all copies of the gateway together. 0: any. */
  readonly rateLimit: number;
  /** RATE_LIMIT_ANONYMOUS: how many requests without a good token an address may send in a minute. 0: any. */
  readonly anonymousRateLimit: number;
  /** INTROSPECTION: whether the schema may be asked for. */
  readonly introspection: boolean;
}

/** What holds unless told. */
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
  rateLimit: 300_000,
  anonymousRateLimit: 120,
  introspection: true,
};
