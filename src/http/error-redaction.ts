import { GraphQLError } from 'graphql';
import {
  ConflictError,
  CostLimitError,
  type ErrorCode,
  ForbiddenError,
  GatewayError,
  LimitExceededError,
  NotFoundError,
  OperationTimeoutError,
  RateLimitedError,
  ValidationError,
} from '../errors.ts';

/** Called with each defect: an error that is not an answer. */
export type OnDefect = (error: unknown) => void;

const shown = new WeakSet<GraphQLError>();

/** A GraphQL error whose message was written here, and may be shown. */
export function answer(
  code: ErrorCode,
  message: string,
  extensions: Record<string, unknown> = {},
  source: Partial<GraphQLError> = {},
): GraphQLError {
  const { nodes, positions, path } = source;
  // With the nodes come the locations; the source text, which graphql-js would attach too, is not part of an answer.
  const error = new GraphQLError(message, { nodes, positions, path, extensions: { code, ...extensions } });
  shown.add(error);
  return error;
}

/**
 * What a caller gets to see of an error. Everything that leaves the gateway passes here, and only what was written for callers passes:
 * stock messages, of graphql-js or of a library, repeat what was sent.
 */
export function publicError(error: unknown, onDefect: OnDefect): GraphQLError {
  if (error instanceof GraphQLError && shown.has(error)) return error;
  const source = error instanceof GraphQLError ? error : {};
  const cause = innermost(error);
  if (cause instanceof GatewayError) return answer(cause.code, cause.message, extensionsOf(cause), source);
  if (cause instanceof GraphQLError) {
    const fromGraphql = stockAnswer(cause);
    if (fromGraphql) return fromGraphql;
  }
  onDefect(cause);
  return answer('INTERNAL_SERVER_ERROR', 'Unexpected error.', {}, source);
}

/** graphql-js wraps what a resolver throws, and yoga may wrap that. */
function innermost(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError ? innermost(error.originalError) : error;
}

function extensionsOf(error: GatewayError): Record<string, unknown> {
  if (error instanceof ForbiddenError) return { scope: error.scope };
  if (error instanceof ValidationError) return { issues: error.issues };
  if (error instanceof NotFoundError || error instanceof ConflictError) return { path: error.path };
  if (error instanceof LimitExceededError) return { limit: error.limit, maximum: error.maximum, http: { status: 400 } };
  if (error instanceof CostLimitError) return { cost: error.cost, maxCost: error.maxCost, http: { status: 400 } };
  if (error instanceof RateLimitedError) {
    return { retryAfter: error.retryAfter, http: { status: 429, headers: { 'retry-after': String(error.retryAfter) } } };
  }
  if (error instanceof OperationTimeoutError) return { http: { status: 504 } };
  if (error.code === 'UNAUTHENTICATED') return { http: { status: 401, headers: { 'www-authenticate': 'Bearer' } } };
  return {};
}

/** The answer to a request whose body, or whose parameters, are not what GraphQL over HTTP asks for. */
export function malformedRequest(): GraphQLError {
  return answer('BAD_REQUEST', requestMessages[400]!, { http: { status: 400 } });
}

/** The answer to an operation name that names none, or is missing. */
export function unknownOperation(): GraphQLError {
  const message = 'The request must name one of the document’s operations, or the document must have just one.';
  return answer('BAD_REQUEST', message, { http: { status: 400 } });
}

/** An error that graphql-js or yoga makes of a bad request, told again in words that repeat nothing. The stock text only tells which it is. */
function stockAnswer(error: GraphQLError): GraphQLError | undefined {
  const { message } = error;
  if (message.startsWith('Syntax Error')) {
    const [at] = error.locations ?? [];
    const where = at ? ` at line ${at.line}, column ${at.column}` : '';
    return answer(
      'GRAPHQL_PARSE_FAILED',
      `The document is not GraphQL: it cannot be read${where}.`,
      { http: { status: 400 } },
      { positions: undefined },
    );
  }
  if (/^Argument "[^"]*" (has invalid value|of )/.test(message)) {
    return answer('BAD_USER_INPUT', 'An argument of this field is missing or not of the type it asks for.', {}, error);
  }
  if (/^(Unknown operation named|Must provide operation name|Must provide an operation|Could not determine what operation)/.test(message)) {
    return unknownOperation();
  }
  const http = error.extensions.http as { status?: number; headers?: Record<string, string> } | undefined;
  if (!http?.status || http.status >= 500) return undefined;
  return answer('BAD_REQUEST', requestMessages[http.status] ?? 'The request is not one that GraphQL over HTTP allows.', {
    http: { status: http.status, headers: http.headers },
  });
}

const requestMessages: Readonly<Record<number, string>> = {
  400: 'The request must be a JSON object with a member "query", and at most "variables", "operationName" and "extensions" beside it. By GET these are parameters, variables and extensions in JSON.',
  405: 'Only POST is allowed here; queries may also come by GET.',
  413: 'The request’s body is too large.',
  415: 'The request’s body must be JSON, with Content-Type: application/json.',
};
