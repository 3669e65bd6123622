import { GraphQLError } from 'graphql';
import {
  AlreadyExecutedError,
  ConflictError,
  CostLimitError,
  CredentialKindError,
  type ErrorCode,
  ForbiddenError,
  GatewayError,
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  InvalidIntegrationError,
  LimitExceededError,
  NotFoundError,
  OperationTimeoutError,
  RateLimitedError,
  StorageLimitError,
  UnavailableError,
  ValidationError,
} from '../errors.ts';

/** Called with each unexpected error, which is a bug. */
export type OnDefect = (error: unknown) => void;

const shown = new WeakSet<GraphQLError>();

/** Creates a GraphQL error with a message of our own, which may be shown to callers. */
export function answer(
  code: ErrorCode,
  message: string,
  extensions: Record<string, unknown> = {},
  source: Partial<GraphQLError> = {},
): GraphQLError {
  const { nodes, positions, path } = source;
  // The nodes provide the locations. The source text, which graphql-js would also attach, is left out.
  const error = new GraphQLError(message, { nodes, positions, path, extensions: { code, ...extensions } });
  shown.add(error);
  return error;
}

/**
 * Converts an error into one that may be shown to callers. All errors that leave the gateway pass through here. Messages of graphql-js and
 * other libraries are replaced, because they repeat the input.
 */
export function publicError(error: unknown, onDefect: OnDefect): GraphQLError {
  if (error instanceof GraphQLError && shown.has(error)) return error;
  const source = error instanceof GraphQLError ? error : {};
  const cause = innermost(error);
  // Not a bug of the gateway, but one that whoever runs it must hear of.
  if (cause instanceof CredentialKindError) onDefect(cause);
  if (cause instanceof GatewayError) return answer(cause.code, cause.message, extensionsOf(cause), source);
  if (cause instanceof GraphQLError) {
    const fromGraphql = stockAnswer(cause);
    if (fromGraphql) return fromGraphql;
  }
  onDefect(cause);
  return answer('INTERNAL_SERVER_ERROR', 'Unexpected error.', {}, source);
}

/** Unwraps an error: graphql-js wraps what a resolver throws. */
function innermost(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError ? innermost(error.originalError) : error;
}

function extensionsOf(error: GatewayError): Record<string, unknown> {
  if (error instanceof ForbiddenError) return { scope: error.scope };
  if (error instanceof ValidationError) return { issues: error.issues };
  if (error instanceof NotFoundError || error instanceof InvalidIntegrationError || error instanceof ConflictError) {
    return { path: error.path };
  }
  if (error instanceof LimitExceededError || error instanceof StorageLimitError) return { limit: error.limit, maximum: error.maximum };
  if (error instanceof CostLimitError) return { cost: error.cost, maxCost: error.maxCost };
  if (error instanceof RateLimitedError) {
    return { retryAfter: error.retryAfter, http: { status: 429, headers: { 'retry-after': String(error.retryAfter) } } };
  }
  if (error instanceof UnavailableError) {
    const { retryAfter, outcome } = error;
    return { retryAfter, ...(outcome && { outcome }), http: { status: 503, headers: { 'retry-after': String(retryAfter) } } };
  }
  // The statuses of draft-ietf-httpapi-idempotency-key-header, section 2.7. Retrying does not help against 422.
  if (error instanceof IdempotencyKeyInUseError) {
    const { retryAfter } = error;
    return { retryAfter, http: { status: 409, headers: { 'retry-after': String(retryAfter) } } };
  }
  if (error instanceof IdempotencyKeyReusedError) return { http: { status: 422 } };
  if (error instanceof AlreadyExecutedError) return { reason: error.reason, http: { status: 422 } };
  if (error instanceof OperationTimeoutError) return { http: { status: 504 } };
  if (error.code === 'UNAUTHENTICATED') return { http: { status: 401, headers: { 'www-authenticate': 'Bearer' } } };
  return {};
}

/** The error for a request whose body or parameters do not conform to GraphQL over HTTP. */
export function malformedRequest(): GraphQLError {
  return answer('BAD_REQUEST', requestMessages[400]!, { http: { status: 400 } });
}

/** The error for an idempotency key that is not one. */
export function malformedIdempotencyKey(): GraphQLError {
  const message =
    'The header Idempotency-Key must occur once and be a text of 1 to 255 visible ASCII characters, in double quotes (RFC 9651, section 3.3.3) or without.';
  return answer('BAD_REQUEST', message, { http: { status: 400 } });
}

/** The error for a body that is not UTF-8. */
export function notUtf8(): GraphQLError {
  return answer('BAD_REQUEST', 'The body of the request must be JSON in UTF-8: it contains bytes that are not UTF-8.', {
    http: { status: 400 },
  });
}

/** The error for a request that names a persisted document and contains none. Apollo's clients know its code and its message. */
export function noPersistedDocuments(): GraphQLError {
  return answer('PERSISTED_QUERY_NOT_SUPPORTED', 'PersistedQueryNotSupported', { http: { status: 400 } });
}

/** The error for a request that names a trusted document that there is none. Apollo's clients know the code and the message of theirs. */
export function unknownDocument(isApollo: boolean): GraphQLError {
  if (isApollo) return answer('PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound');
  return answer('DOCUMENT_NOT_FOUND', 'There is no trusted document with this id.');
}

/** The error for a document of a viewer that can run trusted documents only. */
export function documentRequired(): GraphQLError {
  return answer('DOCUMENT_REQUIRED', 'With this token, only trusted documents can be run. Send the id of one as documentId.');
}

/** The error for JSON that exceeds a limit and is not parsed, so that nobody knows whether the request is well-formed. */
export function limitedRequest({ code, message, limit, maximum }: LimitExceededError): GraphQLError {
  return answer(code, message, { limit, maximum, http: { status: 400 } });
}

/** The error for a body that is too large. */
export function tooLarge(): GraphQLError {
  return answer('BAD_REQUEST', requestMessages[413]!, { http: { status: 413 } });
}

/** The error for a method that GraphQL over HTTP does not know. */
export function unknownMethod(): GraphQLError {
  return answer('BAD_REQUEST', requestMessages[405]!, { http: { status: 405, headers: { allow: 'GET, POST' } } });
}

/** The error for a mutation by GET, which must change nothing (GraphQL over HTTP, section "GET"). */
export function mutationByGet(): GraphQLError {
  return answer('BAD_REQUEST', requestMessages[405]!, { http: { status: 405, headers: { allow: 'POST' } } });
}

/** The error for a live query beyond a limit of their number. */
export function tooManyListeners(limit: string, maximum: number, retryAfter: number): GraphQLError {
  const message = `There are too many live queries: the maximum is ${maximum} (${limit}). End one that is not needed, or try again in ${retryAfter} seconds.`;
  const http = { status: 429, headers: { 'retry-after': String(retryAfter) } };
  return answer('LIMIT_EXCEEDED', message, { limit, maximum, http });
}

/** The error for a subscription by a client that does not accept server-sent events. */
export function streamNotAccepted(): GraphQLError {
  const message = 'A subscription is answered with a stream of server-sent events. Accept must contain text/event-stream.';
  return answer('BAD_REQUEST', message, { http: { status: 406 } });
}

/** The error for a subscription whose only field is left out by a directive. */
export function emptySubscription(): GraphQLError {
  return answer('BAD_REQUEST', 'The subscription selects no field: a directive leaves it out.');
}

/** The error for an operation name that is missing or unknown. */
export function unknownOperation(): GraphQLError {
  const message = 'The request must name one of the operations in the document, unless the document contains only one.';
  return answer('BAD_REQUEST', message);
}

/** The error for an operation of a kind of which the schema has none: the operator has left them out. */
export function noOperations(): GraphQLError {
  return answer('GRAPHQL_VALIDATION_FAILED', 'The schema has no operations of this kind.');
}

/** Replaces an error of graphql-js about a bad request by one that repeats no input. The library's message only identifies it. */
function stockAnswer(error: GraphQLError): GraphQLError | undefined {
  const { message } = error;
  if (message.startsWith('Syntax Error')) {
    const [at] = error.locations ?? [];
    const where = at ? ` at line ${at.line}, column ${at.column}` : '';
    return answer('GRAPHQL_PARSE_FAILED', `The document is not valid GraphQL: there is a syntax error${where}.`);
  }
  if (/^Argument "[^"]*" (has invalid value|of )/.test(message)) {
    return answer('BAD_USER_INPUT', 'An argument of this field is missing or does not have the expected type.', {}, error);
  }
  if (/^(Unknown operation named|Must provide operation name|Must provide an operation|Could not determine what operation)/.test(message)) {
    return unknownOperation();
  }
  const http = error.extensions.http as { status?: number; headers?: Record<string, string> } | undefined;
  if (!http?.status || http.status >= 500) return undefined;
  return answer('BAD_REQUEST', requestMessages[http.status] ?? 'The request is not a valid GraphQL over HTTP request.', {
    http: { status: http.status, headers: http.headers },
  });
}

const requestMessages: Readonly<Record<number, string>> = {
  400: 'The request must be a JSON object with a member "query" and, optionally, "variables", "operationName" and "extensions", and no others. With GET these are URL parameters, with "variables" and "extensions" in JSON.',
  405: 'Only POST is allowed here. Queries can also use GET.',
  413: 'The body of the request is too large.',
  415: 'The body of the request must be JSON, with Content-Type: application/json.',
};
