/**
 * Every way in which the gateway says no. A code is stable and meant for programs; a message is for people and never holds a value
 * that a caller sent. The first group are members of mutation results, the second are top-level GraphQL errors.
 */
export const errorCodes = {
  VALIDATION_FAILED: 'The input breaks a rule; every broken one is listed with its path.',
  NOT_FOUND: 'The object does not exist, or this viewer may not know that it does.',
  CONFLICT: 'The name or id is taken, or the object has changed since it was read.',
  INVALID_INTEGRATION: 'The integration named in the input does not exist.',
  IN_USE: 'The object is in use or not empty; pass force to delete it all the same.',
  EMAIL_NOT_VERIFIED: 'Nobody has vouched that the contact’s mail address is the contact’s.',
  SSO_NOT_CONFIGURED: 'No connection can sign for the end user, or the one that is named lacks something.',

  UNAUTHENTICATED: 'The token is missing, malformed, expired or not meant for this gateway.',
  FORBIDDEN: 'The token lacks a scope; extensions.scope names it.',
  BAD_USER_INPUT: 'A variable, argument, cursor or id is not of the form its type asks for.',
  BAD_REQUEST: 'The request is not one that GraphQL over HTTP allows.',
  GRAPHQL_PARSE_FAILED: 'The document is not GraphQL.',
  GRAPHQL_VALIDATION_FAILED: 'The document does not fit the schema.',
  LIMIT_EXCEEDED: 'The document or a list in its variables is larger than this gateway takes; extensions.limit names the limit.',
  COST_LIMIT_EXCEEDED: 'The operation would cost more than one may; extensions.cost and extensions.maxCost tell how much.',
  RATE_LIMITED: 'Too much was asked for in too short a time; extensions.retryAfter tells in how many seconds to come back.',
  TIMEOUT: 'The operation, or the database in one query, took longer than it may.',
  UNREADABLE_SECRET: 'The secret cannot be opened: its key is destroyed, or what is stored was tampered with.',
  INTERNAL_SERVER_ERROR: 'A defect of the gateway; the log has the details under the request id.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** A path into the input, as in `['input', 'contacts', 0, 'email']`. */
export type Path = readonly (string | number)[];

/** One broken rule: where, and what would be right. Never the value. */
export interface Issue {
  readonly path: Path;
  readonly message: string;
}

/** The base of all errors that are answers rather than defects: their messages may be shown. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The input breaks rules. Lists all of them, so that a form can mark every field at once. */
export class ValidationError extends GatewayError {
  readonly issues: readonly Issue[];
  constructor(issues: readonly Issue[]) {
    super('VALIDATION_FAILED', issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
    this.issues = issues;
  }
}

/** What the input refers to does not exist, or the viewer may not see it: one answer for both. */
export class NotFoundError extends GatewayError {
  readonly path: Path;
  constructor(noun: string, path: Path) {
    super('NOT_FOUND', `There is no such ${noun}.`);
    this.path = path;
  }
}

/** The integration that the input names does not exist. */
export class InvalidIntegrationError extends GatewayError {
  readonly path: Path;
  constructor(path: Path) {
    super('INVALID_INTEGRATION', 'Specified integration is not valid: there is no such integration.');
    this.path = path;
  }
}

/** A name is taken, or `expectedVersion` is stale. */
export class ConflictError extends GatewayError {
  readonly path: Path;
  /** The version stored now, when the conflict is about versions. */
  readonly currentVersion: number | null;
  constructor(message: string, path: Path, currentVersion: number | null = null) {
    super('CONFLICT', message);
    this.path = path;
    this.currentVersion = currentVersion;
  }
}

/** Something that keeps an object from being deleted. */
export interface Usage {
  readonly noun: string;
  readonly id: string;
  readonly name: string;
}

/** The object is in use, or is not empty. */
export class InUseError extends GatewayError {
  /** The first usages that the viewer may see; may be fewer than `usageCount`. */
  readonly usages: readonly Usage[];
  readonly usageCount: number;
  constructor(noun: string, usages: readonly Usage[], usageCount: number) {
    super(
      'IN_USE',
      `The ${noun} is in use by ${usageCount} other object${usageCount === 1 ? '' : 's'}; pass force to delete it all the same.`,
    );
    this.usages = usages;
    this.usageCount = usageCount;
  }
}

/** Nobody has vouched that the contact's mail address is the contact's, so nobody may sign in by it. */
export class EmailNotVerifiedError extends GatewayError {
  constructor() {
    super('EMAIL_NOT_VERIFIED', 'Email address is not verified');
  }
}

/** What it takes to sign in to Zendesk, each with what is said when it is missing. */
export const ssoRequirements = {
  CONNECTION: 'there is no connection to a host <subdomain>.zendesk.com with a jwt or jwtBearer credential',
  ALLOWED_DOMAIN: 'the connection’s allowed domain is not of the form <subdomain>.zendesk.com',
  CREDENTIAL: 'the connection’s action credentials hold none of the kind jwt or jwtBearer',
  ENABLED_CREDENTIAL: 'the connection’s jwt or jwtBearer credential is not enabled',
  HS256: 'the connection’s jwt or jwtBearer credential is not for HS256, the only algorithm that Zendesk takes',
} as const;
export type SSOMissing = keyof typeof ssoRequirements;

/** Nothing can sign for the end user. */
export class SSONotConfiguredError extends GatewayError {
  readonly missing: SSOMissing;
  constructor(missing: SSOMissing) {
    super('SSO_NOT_CONFIGURED', `Nothing can sign: ${ssoRequirements[missing]}.`);
    this.missing = missing;
  }
}

/** The caller presented no token, or a bad one. The message says what is wrong with it, never what it was. */
export class UnauthenticatedError extends GatewayError {
  constructor(message: string) {
    super('UNAUTHENTICATED', message);
  }
}

/** The token is good but lacks a scope. */
export class ForbiddenError extends GatewayError {
  readonly scope: string;
  constructor(scope: string) {
    super('FORBIDDEN', `Cannot access this resource. Missing scope ${scope}.`);
    this.scope = scope;
  }
}

/** A query ran longer than it may. */
export class TimeoutError extends GatewayError {
  constructor() {
    super('TIMEOUT', 'The query took too long. Ask for a filter and a sort that an index serves; the page’s description names them.');
  }
}

/** An operation ran longer than it may, and was left. */
export class OperationTimeoutError extends GatewayError {
  constructor(seconds: number) {
    super('TIMEOUT', `The operation took longer than ${seconds} seconds. If it was a mutation, look whether it was done.`);
  }
}

/** A request is larger, in one of many ways, than the gateway takes. */
export class LimitExceededError extends GatewayError {
  /** The setting that says how large it may be, or the name of a limit that is none. */
  readonly limit: string;
  readonly maximum: number;
  /** `what` is a sentence without its end, and repeats nothing of the request. */
  constructor(what: string, limit: string, maximum: number) {
    super('LIMIT_EXCEEDED', `${what}: at most ${maximum} (${limit}).`);
    this.limit = limit;
    this.maximum = maximum;
  }
}

/** An operation would cost more than one may. */
export class CostLimitError extends GatewayError {
  readonly cost: number;
  readonly maxCost: number;
  constructor(cost: number, maxCost: number) {
    super(
      'COST_LIMIT_EXCEEDED',
      `The operation may cost ${cost}, and one may cost ${maxCost} at most. Ask for smaller pages, or for less.`,
    );
    this.cost = cost;
    this.maxCost = maxCost;
  }
}

/** A viewer, or an address, has used up its share of the gateway for now. */
export class RateLimitedError extends GatewayError {
  /** In seconds. */
  readonly retryAfter: number;
  constructor(retryAfter: number) {
    super('RATE_LIMITED', `Too much was asked for in too short a time. Come back in ${retryAfter} seconds.`);
    this.retryAfter = retryAfter;
  }
}

/** A stored secret cannot be opened. It says where, never what. */
export class UnreadableSecretError extends GatewayError {
  constructor(reason: string) {
    super('UNREADABLE_SECRET', `The secret cannot be opened: ${reason}.`);
  }
}

/** How many causes of a defect are told. */
const CAUSES_MAX = 5;

/**
 * A defect as it may be logged: its class and where it was thrown. Its message may hold what a caller sent, and so may all else in it; `tell`
 * makes of a message what may be told of it, and without it nothing is.
 */
export function loggableDefect(error: unknown, tell?: (message: string) => string, causesMax = CAUSES_MAX): object {
  if (!(error instanceof Error)) return { thrown: typeof error };
  const code = 'code' in error && /^(\d+|[A-Z][A-Z0-9_]*)$/.test(String(error.code)) ? error.code : undefined;
  const place = { name: error.constructor.name, code };
  const at = framesOf(error);
  if (!tell) return { ...place, at };
  const cause = error.cause instanceof Error && causesMax > 0 ? loggableDefect(error.cause, tell, causesMax - 1) : undefined;
  return { ...place, message: tell(String(error.message)), at, cause };
}

/**
 * The frames of a stack. It begins with the error's name and message, lines of which may look like frames; where it does not, as when the
 * message was changed later, nothing tells where the frames begin, and there are none.
 */
function framesOf({ name, message, stack }: Error): string[] {
  if (typeof stack !== 'string' || !/^[\w$.]*$/.test(name)) return [];
  const start = stack.indexOf(message);
  // Node puts a code after the name of its own errors: `TypeError [ERR_INVALID_ARG_TYPE]: …`.
  if (start < 0 || !/^[\w$.]*( \[\w+\])?(: )?$/.test(stack.slice(0, start))) return [];
  const [, ...lines] = stack.slice(start + message.length).split('\n');
  return lines.filter((line) => /^\s+at /.test(line)).map((line) => line.trim());
}
