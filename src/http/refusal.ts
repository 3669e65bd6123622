import type { ErrorCode } from '../errors.ts';
import type { HttpResponse } from './request.ts';

/** A response that says why a request is not a GraphQL-over-HTTP request, or may not be made. */
export interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  /** Must not repeat anything from the request. */
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Returns the response that a refusal is: a GraphQL response, so that a GraphQL client finds the code and the id of the request where it looks for them. */
export function refusalResponse({ status, code, message, headers }: Refusal, requestId: string): HttpResponse {
  const body = JSON.stringify({ errors: [{ message, extensions: { code, requestId } }] });
  return { status, headers: { 'content-type': 'application/json; charset=utf-8', ...headers }, body };
}
