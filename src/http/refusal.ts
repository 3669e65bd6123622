import type { FetchAPI } from 'graphql-yoga';
import type { ErrorCode } from '../errors.ts';

/** A response that says why a request is not a GraphQL-over-HTTP request, or may not be made. */
export interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  /** Must not repeat anything from the request. */
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Returns the body of a refusal: a GraphQL response, so that a GraphQL client finds the code where it looks for it. */
export function refusalBody({ code, message }: Pick<Refusal, 'code' | 'message'>): string {
  return JSON.stringify({ errors: [{ message, extensions: { code } }] });
}

/** Returns the response that a refusal is. */
export function refusalResponse(refusal: Refusal, { Response }: Pick<FetchAPI, 'Response'>): Response {
  const headers = { 'content-type': 'application/json; charset=utf-8', ...refusal.headers };
  return new Response(refusalBody(refusal), { status: refusal.status, headers });
}
