/**
 * All error codes and their meanings. A code is stable and meant for programs. A message is meant for people and never contains a value
 * that a caller sent. The first group are members of mutation results; the second group are top-level GraphQL errors.
 */
export const errorCodes = {
  VALIDATION_FAILED: 'The input breaks one or more rules; each is listed with its path.',
  NOT_FOUND: 'The object does not exist, or the viewer may not see it.',
  CONFLICT: 'The name or id is already in use, or the object has changed since it was read.',
  INVALID_INTEGRATION: 'The integration named in the input does not exist.',
  IN_USE: 'The object is in use or not empty; set force to delete it anyway.',
  EMAIL_NOT_VERIFIED: 'The contact’s email address is not verified.',
  SSO_NOT_CONFIGURED: 'No connection can sign the SSO link, or the named connection is not configured for it.',
  CREDENTIAL_NOT_USABLE: 'A credential may not or cannot be used for the request; the reason says why.',
  SERVICE_FAILED: 'The service of a third party could not be reached, refused the request of the gateway, or answered in an unusable way.',

  UNAUTHENTICATED: 'The token is missing, malformed, expired or not valid for this gateway.',
  FORBIDDEN: 'The token does not have a required scope; extensions.scope names it.',
  BAD_USER_INPUT: 'A variable, argument, cursor or id does not have the format of its type.',
  CURSOR_EXPIRED:
    'Events after the cursor are not kept any more, or the cursor is from another database: events were missed. Read without a cursor from the oldest event on.',
  BAD_REQUEST: 'The request is not a valid GraphQL over HTTP request.',
  PERSISTED_QUERY_NOT_SUPPORTED:
    'The request names a persisted document instead of containing one, and there are none (TRUSTED_DOCUMENTS). Send the document as query.',
  PERSISTED_QUERY_NOT_FOUND: 'There is no trusted document with the hash in extensions.persistedQuery. Send the document as query.',
  DOCUMENT_NOT_FOUND: 'There is no trusted document with this id: it is not in the manifests of TRUSTED_DOCUMENTS.',
  DOCUMENT_REQUIRED: 'The viewer can run trusted documents only: those in the manifests of TRUSTED_DOCUMENTS.',
  IDEMPOTENCY_KEY_REUSED:
    'The idempotency key was used for another operation or other variables within a day. Use a new key for each operation.',
  IDEMPOTENCY_KEY_IN_USE:
    'An operation with this idempotency key is still running, or its process was killed; retry after extensions.retryAfter seconds.',
  ALREADY_EXECUTED:
    'The operation with this idempotency key was carried out, at least in part, and its answer is not kept; extensions.reason says why not. Look at what is stored.',
  GRAPHQL_PARSE_FAILED: 'The document is not valid GraphQL syntax.',
  GRAPHQL_VALIDATION_FAILED: 'The document is not valid for the schema.',
  LIMIT_EXCEEDED: 'The request exceeds a limit, or the organization would store more than it may; extensions.limit names the limit.',
  COST_LIMIT_EXCEEDED: 'The operation exceeds the cost limit; extensions.cost and extensions.maxCost contain its cost and the limit.',
  RATE_LIMITED: 'The rate limit is exceeded; retry after extensions.retryAfter seconds.',
  UNAVAILABLE:
    'The gateway cannot answer at the moment; retry after extensions.retryAfter seconds. For mutations, extensions.outcome says whether it was carried out.',
  TIMEOUT: 'The operation or a database query exceeded its time limit, or the client of a live query did not read.',
  UNREADABLE_SECRET: 'The secret cannot be opened: its key was destroyed or is not available, or the stored value was tampered with.',
  ALTERED_RECORD: 'A stored object was changed, but not by the gateway. It is shown and can be deleted, but it is not used.',
  CREDENTIAL_KIND_FAILED:
    'A function of a credential kind of this gateway has failed, or returned what it must not; nothing was stored. Who runs the gateway finds it in the log.',
  INTERNAL_SERVER_ERROR: 'A bug in the gateway; the log contains details under the request id.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** Where in an input, as in `['contacts', 0, 'email']`: relative to what the function that throws was given. */
export type Path = readonly (string | number)[];

/** One broken rule: the path, and a message that says what is valid. Never contains the value. */
export interface Issue {
  readonly path: Path;
  readonly message: string;
}

/** The base class of all expected errors. Their messages may be shown to callers. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }

  /** The same error, for an input that holds this one's input at `path`: its paths, if it has any, begin with that. */
  within(_path: Path): GatewayError {
    return this;
  }
}

/** The input breaks rules. Lists every broken rule, so that a form can mark all invalid fields at once. */
export class ValidationError extends GatewayError {
  readonly issues: readonly Issue[];
  constructor(issues: readonly Issue[]) {
    super('VALIDATION_FAILED', issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
    this.issues = issues;
  }

  override within(path: Path): ValidationError {
    return new ValidationError(this.issues.map((issue) => ({ ...issue, path: [...path, ...issue.path] })));
  }
}

/** The input refers to an object that does not exist or that the viewer may not see. Both cases have the same message. */
export class NotFoundError extends GatewayError {
  readonly noun: string;
  readonly path: Path;
  constructor(noun: string, path: Path) {
    super('NOT_FOUND', `There is no such ${noun}.`);
    this.noun = noun;
    this.path = path;
  }

  override within(path: Path): NotFoundError {
    return new NotFoundError(this.noun, [...path, ...this.path]);
  }
}

/** The integration that the input names does not exist. */
export class InvalidIntegrationError extends GatewayError {
  readonly path: Path;
  constructor(path: Path) {
    super('INVALID_INTEGRATION', 'Specified integration is not valid: there is no such integration.');
    this.path = path;
  }

  override within(path: Path): InvalidIntegrationError {
    return new InvalidIntegrationError([...path, ...this.path]);
  }
}

/** A name is already in use, or `expectedVersion` is not the current version. */
export class ConflictError extends GatewayError {
  readonly path: Path;
  /** The current version, if the conflict is about versions. */
  readonly currentVersion: number | null;
  constructor(message: string, path: Path, currentVersion: number | null = null) {
    super('CONFLICT', message);
    this.path = path;
    this.currentVersion = currentVersion;
  }

  /** Without a path, the object was changed by somebody else at the same time: nothing in the input is at fault. */
  override within(path: Path): ConflictError {
    return this.path.length === 0 ? this : new ConflictError(this.message, [...path, ...this.path], this.currentVersion);
  }
}

/** An object that uses another one and so prevents its deletion. */
export interface Usage {
  readonly noun: string;
  readonly id: string;
  readonly name: string;
}

/** The object is in use, or is not empty. */
export class InUseError extends GatewayError {
  /** The first usages that the viewer may see. Can be fewer than `usageCount`. */
  readonly usages: readonly Usage[];
  readonly usageCount: number;
  constructor(noun: string, usages: readonly Usage[], usageCount: number) {
    super('IN_USE', `The ${noun} is in use by ${usageCount} other object${usageCount === 1 ? '' : 's'}; set force to delete it anyway.`);
    this.usages = usages;
    this.usageCount = usageCount;
  }
}

/** The contact's email address is not verified, so it cannot be used to sign in. */
export class EmailNotVerifiedError extends GatewayError {
  constructor() {
    super('EMAIL_NOT_VERIFIED', 'Email address is not verified');
  }
}

/** The requirements for signing in to Zendesk, each with the message for when it is not met. */
export const ssoRequirements = {
  CONNECTION: 'there is no connection to <subdomain>.zendesk.com with a jwt or jwtBearer credential',
  ALLOWED_DOMAIN: 'the allowed domain of the connection does not have the form <subdomain>.zendesk.com',
  CREDENTIAL: 'the action credentials of the connection include no jwt or jwtBearer credential',
  ENABLED_CREDENTIAL: 'the jwt or jwtBearer credential of the connection is not enabled',
  CREDENTIAL_PURPOSE:
    'the jwt or jwtBearer credential of the connection does not allow the purpose SSO_SIGNING; updateCredential sets its allowedPurposes',
  CREDENTIAL_ALLOWED_DOMAINS:
    'the allowed domains of the connection’s jwt or jwtBearer credential do not list <subdomain>.zendesk.com itself; updateCredential sets its allowedDomains',
  HS256: 'the algorithm of the connection’s jwt or jwtBearer credential is not HS256, the only one that Zendesk accepts',
} as const;
export type SSOMissing = keyof typeof ssoRequirements;

/** A requirement for signing in to Zendesk is not met. */
export class SSONotConfiguredError extends GatewayError {
  readonly missing: SSOMissing;
  constructor(missing: SSOMissing) {
    super('SSO_NOT_CONFIGURED', `The SSO link cannot be signed: ${ssoRequirements[missing]}.`);
    this.missing = missing;
  }
}

/** Why a request cannot be sent over a connection, each with the message. */
export const notUsable = {
  NO_HOST: 'the connection leads to no host with a name: it needs an allowedDomain, or a connector whose baseUrl has a host name',
  VARIABLE_MISSING:
    'the base URL names a variable that the connection does not have, or whose value does not fit there; updateConnection sets its variables',
  BASE_URL:
    'the base URL of the connection leads to another host than its allowed domain or its connector; updateConnection sets its baseUrl and allowedDomain',
  HTTPS_REQUIRED: 'the base URL is not https, and the setting OUTBOUND_ALLOW_HTTP of the gateway does not allow http',
  PURPOSE_WITHOUT_REQUESTS: 'only ACTION and TRIGGER are purposes of requests over a connection',
  URL_NOT_ALLOWED:
    'the URL is not one that the connection and its credentials allow; requestPlan of the connection shows its baseUrl and allowedHosts',
  HEADER_NOT_ALLOWED:
    'the request has a header, a cookie or a query parameter that a credential sets, or one that the gateway sets itself; leave it out. requestPlan of the connection shows them',
  BODY_REQUIRED: 'a signature covers the body, and the request does not contain what it needs of it; set body or, for AWS, bodySha256',
  HEADER_REQUIRED: 'a signature needs a header that the request does not have: x-ms-version, for Azure Storage',
  PLACEHOLDER_REQUIRED: 'the path of the URL does not have the segment that the credential replaces, such as TOKEN for Loggly',
  CREDENTIAL_REQUIRED:
    'the connector has auth schemes, and the connection has no credential for the purpose; addConnectionCredential adds one, to the list ACTION or TRIGGER',
  ALTERED:
    'a stored object was changed, but not by the gateway, so it is not used; restore it from a backup, or delete it and create it again',
  OUTDATED:
    'the settings of a credential do not fit its kind any more, because the kind was changed; updateCredential gives new values to its outdatedFields',
  HIDDEN: 'a credential is hidden from the viewer, so this plan is not complete',
  CREDENTIAL_MISSING: 'a credential of the connection does not exist or has expired; updateConnection replaces it',
  DISABLED: 'a credential is not enabled; updateCredential sets enabled',
  PURPOSE:
    'a credential does not allow the purpose: that of the request or, if a token is obtained with it, TOKEN_REQUEST; updateCredential sets its allowedPurposes',
  DOMAIN:
    'the allowed domains of a credential do not include the host: that of the request or, if a token is obtained with it, that of the token endpoint; updateCredential sets its allowedDomains',
  SECRET_MISSING: 'a secret that the request needs is not set; updateCredential sets it',
  SECRET_NOT_SUITABLE: 'a secret cannot be put where it belongs, such as a text with line breaks into a header',
  KIND_DOES_NOT_FIT: 'the kind of a credential does not fit the authScheme of its entry in the connection; updateConnection sets another',
  SCHEME_REQUIRED: 'a credential needs an authScheme in its entry of the connection that says how it is applied; updateConnection sets it',
  SCHEME_INCOMPLETE:
    'the auth scheme of a credential needs another credential, which it does not name: mtlsCredentialId or privateKeyCredentialId',
  SERVICE_REQUIRED:
    'an AWS signature names a service, and the host does not tell which one; updateCredential sets the service of the credential',
  NOT_FOR_REQUESTS: 'a credential is of a kind that is not for HTTP requests',
  NOT_SUPPORTED: 'the gateway cannot apply a credential of this kind and auth scheme',
  SAME_PLACE:
    'two credentials set the same header, query parameter or cookie, or each present a client certificate; removeConnectionCredential removes one, or updateConnection gives it another authScheme',
  NO_CLIENT:
    'a token cannot be obtained, because there is no auth scheme any more that says how, or its client (clientCredentialId) is not set, does not exist, or may not be sent to the token endpoint (its allowedPurposes need TOKEN_REQUEST, its allowedDomains the host) or with what an end user has written (endUsersMayUseClient)',
  NEEDS_AUTHORIZATION:
    'there is no valid token, and a person must consent again: startAuthorization with this connection returns where. Or updateCredential sets other tokens',
} as const;
export type NotUsable = keyof typeof notUsable;

/** A credential may not or cannot be used for a request. */
export class CredentialNotUsableError extends GatewayError {
  readonly reason: NotUsable;
  /** Null if the reason is not one of a single credential. */
  readonly credentialId: string | null;
  constructor(reason: NotUsable, credentialId: string | null = null) {
    super('CREDENTIAL_NOT_USABLE', `The request cannot be authorized: ${notUsable[reason]}.`);
    this.reason = reason;
    this.credentialId = credentialId;
  }
}

/** The time limit of the operation is close, and something was not tried. */
export class NoTimeLeftError extends GatewayError {
  constructor(what = 'for this item, which was not imported. Import it again, or fewer at once.') {
    super('TIMEOUT', `The operation has no time left ${what}`);
  }
}

/** A function of a credential kind has thrown, or returned what it must not. Kinds see secrets, so nothing of what they threw is kept. */
export class CredentialKindError extends GatewayError {
  constructor(kind: string, name: string, problem: string) {
    super('CREDENTIAL_KIND_FAILED', `The function ${name} of the credential kind ${kind} ${problem}. Nothing was stored.`);
  }
}

/** Returns one of these texts, or of `serviceFailures`, as a sentence of its own. */
export function asSentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** What the service of a third party did not do. */
export const serviceFailures = {
  UNREACHABLE:
    'no connection to the service could be opened, or it broke; its name must lead to public addresses, or to those that the setting OUTBOUND_ALLOWED_ADDRESSES allows',
  NOT_ALLOWED: 'the gateway does not send such a request, or not without TLS; the setting OUTBOUND_ALLOW_HTTP allows that',
  TIMEOUT: 'the service did not answer in time',
  REFUSED: 'the service refused the request',
  WAITING: 'the service has failed, and the gateway waits before it asks again; refreshCredential asks now',
  INVALID_ANSWER: 'the answer of the service was not as the standard requires',
  OTHER_ISSUER:
    'the document of the server names another issuer than the one that was asked for; use the issuer that it names, which can differ by the host, the path or a slash at the end',
} as const;
export type ServiceFailure = keyof typeof serviceFailures;

/** The service of a third party failed. Nothing of its answer is repeated, except an error code that a standard defines. */
export class ServiceFailedError extends GatewayError {
  readonly reason: ServiceFailure;
  /** The error code of the service if a standard defines it, such as `invalid_grant` (RFC 6749, section 5.2). */
  readonly serviceCode: string | null;
  /** `serviceCode` must be one of a fixed list. */
  constructor(reason: ServiceFailure, serviceCode: string | null = null) {
    super('SERVICE_FAILED', `The service failed: ${serviceFailures[reason]}${serviceCode === null ? '' : ` (${serviceCode})`}.`);
    this.reason = reason;
    this.serviceCode = serviceCode;
  }
}

/** The request has no token, or an invalid one. The message gives the reason and never contains the token. */
export class UnauthenticatedError extends GatewayError {
  constructor(message: string) {
    super('UNAUTHENTICATED', message);
  }
}

/** The token is valid but does not have a required scope. */
export class ForbiddenError extends GatewayError {
  readonly scope: string;
  constructor(scope: string) {
    super('FORBIDDEN', `Cannot access this resource. Missing scope ${scope}.`);
    this.scope = scope;
  }
}

/** A database query exceeded its time limit. */
export class TimeoutError extends GatewayError {
  constructor() {
    super('TIMEOUT', 'The query took too long. Use a filter and a sort that an index supports; the description of the page lists them.');
  }
}

/** Returns the error for a filter or an order that needs what is still being derived from stored objects. `what` is a sentence. */
export function beingPrepared(what: string, retryAfter: number): UnavailableError {
  return new UnavailableError(`${what} Leave out the filter or the order that needs it, or wait.`, retryAfter);
}

/** A reader of events comes too late: some of those that follow its cursor are not kept any more. */
export class CursorExpiredError extends GatewayError {
  constructor() {
    super('CURSOR_EXPIRED', 'Events after this cursor are not kept any more. Read without a cursor from the oldest event on.');
  }
}

/** An operation exceeded its time limit and was aborted. */
export class OperationTimeoutError extends GatewayError {
  constructor(seconds: number) {
    super('TIMEOUT', `The operation took longer than ${seconds} seconds. If it was a mutation, check whether it was carried out.`);
  }
}

/** The client of a live query does not read. */
export class UnreadError extends GatewayError {
  constructor(seconds: number) {
    super('TIMEOUT', `The stream was not read for ${seconds} seconds. Listen again, and continue after the last event.`);
  }
}

/** A request exceeds one of the size limits. */
export class LimitExceededError extends GatewayError {
  /** The name of the setting, or of the limit if it is not configurable. */
  readonly limit: string;
  readonly maximum: number;
  /** `what` is the beginning of the message. It must not repeat anything from the request. */
  constructor(what: string, limit: string, maximum: number) {
    super('LIMIT_EXCEEDED', `${what}: at most ${maximum} (${limit}).`);
    this.limit = limit;
    this.maximum = maximum;
  }
}

/** A mutation would store more than the organization, or an end user, may store. */
export class StorageLimitError extends GatewayError {
  /** The name of the setting. */
  readonly limit: string;
  readonly maximum: number;
  constructor(what: string, limit: string, maximum: number) {
    super('LIMIT_EXCEEDED', `${what}: at most ${maximum} (${limit}).`);
    this.limit = limit;
    this.maximum = maximum;
  }
}

/** An idempotency key was used for another request. */
export class IdempotencyKeyReusedError extends GatewayError {
  constructor() {
    super('IDEMPOTENCY_KEY_REUSED', 'The idempotency key was used for another operation or other variables. Use a new key.');
  }
}

/** An operation with the same idempotency key may still be running. */
export class IdempotencyKeyInUseError extends GatewayError {
  /** In seconds. */
  readonly retryAfter: number;
  constructor(retryAfter: number) {
    super('IDEMPOTENCY_KEY_IN_USE', `An operation with this idempotency key is still running. Retry in ${retryAfter} seconds.`);
    this.retryAfter = retryAfter;
  }
}

/** Why no answer is kept of an operation with an idempotency key that was carried out. */
export const unkept = {
  PLAINTEXT: 'an answer that can contain a plaintext is given once and not kept',
  LOST: 'its answer was lost, for example because the process was killed',
  TOO_LARGE: 'its answer is too large to be kept',
} as const;
export type Unkept = keyof typeof unkept;

/** An operation with an idempotency key was carried out, and its answer is not kept. */
export class AlreadyExecutedError extends GatewayError {
  readonly reason: Unkept;
  constructor(reason: Unkept) {
    super('ALREADY_EXECUTED', `The operation with this idempotency key was carried out, at least in part: ${unkept[reason]}.`);
    this.reason = reason;
  }
}

/** An operation exceeds the cost limit. */
export class CostLimitError extends GatewayError {
  readonly cost: number;
  readonly maxCost: number;
  constructor(cost: number, maxCost: number) {
    super('COST_LIMIT_EXCEEDED', `The operation can cost ${cost}; the limit is ${maxCost}. Request smaller pages or fewer fields.`);
    this.cost = cost;
    this.maxCost = maxCost;
  }
}

/** A viewer or an address has exceeded its rate limit, or an organization has too much work waiting. */
export class RateLimitedError extends GatewayError {
  /** In seconds. */
  readonly retryAfter: number;
  /** `what` is the beginning of the message. It must not repeat anything from the request. */
  constructor(retryAfter: number, what = 'The rate limit is exceeded') {
    super('RATE_LIMITED', `${what}. Retry in ${retryAfter} seconds.`);
    this.retryAfter = retryAfter;
  }
}

/** Whether a mutation was carried out that got no answer from the database. */
export type Outcome = 'NOT_EXECUTED' | 'UNKNOWN' | 'EXECUTED';

/** The gateway cannot answer at the moment. */
export class UnavailableError extends GatewayError {
  readonly why: string;
  /** In seconds. */
  readonly retryAfter: number;
  /** Undefined if the error does not belong to a mutation. */
  readonly outcome: Outcome | undefined;
  /** `why` is a sentence. It must not repeat anything from the request. */
  constructor(why: string, retryAfter: number, outcome?: Outcome) {
    const advice =
      outcome === 'UNKNOWN'
        ? 'The mutation may or may not have been carried out: check that before you repeat it.'
        : `Retry in ${retryAfter} seconds.`;
    super('UNAVAILABLE', `${why} ${advice}`);
    this.why = why;
    this.retryAfter = retryAfter;
    this.outcome = outcome;
  }

  /** The same error, for a mutation with this outcome. */
  of(outcome: Outcome): UnavailableError {
    return new UnavailableError(this.why, this.retryAfter, outcome);
  }
}

/** A stored secret, or a key, cannot be opened. The message gives the reason and never contains the value. */
export class UnreadableSecretError extends GatewayError {
  constructor(reason: string, what = 'The secret') {
    super('UNREADABLE_SECRET', `${what} cannot be opened: ${reason}.`);
  }
}

/** A stored record is not as the gateway wrote it. It is shown, and can be deleted, but it cannot be used or changed. */
export class AlteredRecordError extends GatewayError {
  constructor(noun: string) {
    super(
      'ALTERED_RECORD',
      `The stored ${noun} was changed, but not by the gateway, so it is not used. Restore it from a backup, or delete it and create it again.`,
    );
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
