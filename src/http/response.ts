import { compressed } from './compression.ts';
import { codingFor, type MediaType, mediaTypeFor } from './negotiation.ts';
import type { HttpResponse, RequestHeaders } from './request.ts';

/** A GraphQL response, whose errors may be shown to the caller. */
export interface Result {
  readonly data?: unknown;
  readonly errors?: readonly { readonly extensions: Readonly<Record<string, unknown>>; readonly toJSON: () => object }[];
  readonly extensions?: unknown;
}

/** The member of an error's extensions that is for HTTP, and is not sent. */
interface HttpExtension {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Returns the HTTP status of a GraphQL response, by GraphQL over HTTP, section "Status Codes".
 *
 * - An error with a status of its own is not one of GraphQL: the request is not well-formed (400, 405, 413), the caller is not known (401), or
 *   the server does not carry it out at the moment (429, 503, 504). It decides the status, for both media types, if nothing was answered.
 * - Data that is not null is always 200. So is `data: null`, a partial response.
 * - All other errors are request errors: the document or the variables are not valid, or the caller may not run it. With `application/json` they
 *   are 200, because clients of this type take any other status for the answer of a proxy, and do not show our errors. With
 *   `application/graphql-response+json` they are 400 or 403.
 */
export function statusOf({ data, errors = [] }: Result, mediaType: MediaType): number {
  const isRequestError = errors.length > 0 && data === undefined;
  if (!isRequestError) return 200;
  const statuses = errors.map(({ extensions }) => httpOf(extensions).status ?? 0);
  if (Math.max(...statuses) > 0) return Math.max(...statuses);
  const codes = errors.map(({ extensions }) => extensions.code);
  if (codes.includes('INTERNAL_SERVER_ERROR')) return 500;
  if (mediaType !== 'application/graphql-response+json') return 200;
  return codes.includes('FORBIDDEN') ? 403 : 400;
}

/**
 * Writes a GraphQL response. `mayCompress` must be false if the response can contain a secret: its compressed length would tell, request by
 * request, what of the secret equals text that another person can choose, such as the name of a record (the attack BREACH).
 */
export async function respond(result: Result, given: RequestHeaders, mayCompress: boolean, requestId: string): Promise<HttpResponse> {
  // Who accepts neither is refused before anything is carried out. That refusal is JSON.
  const accepted = mediaTypeFor(given) ?? 'application/json';
  const status = statusOf(result, accepted);
  // GraphQL over SSE: what is wrong with an operation is told in the stream. What is wrong with the request is the answer to it.
  const mediaType = accepted === 'text/event-stream' && status !== 200 ? 'application/json' : accepted;
  const headers: Record<string, string> = { 'content-type': `${mediaType}; charset=utf-8`, vary: 'accept, accept-encoding' };
  for (const { extensions } of result.errors ?? []) Object.assign(headers, httpOf(extensions).headers);
  if (mediaType === 'text/event-stream') {
    return { status, headers: { ...headers, ...streamHeaders }, body: `${nextMessage(result, requestId)}${COMPLETE}` };
  }
  const text = JSON.stringify(sentResult(result, requestId));
  const coding = mayCompress ? codingFor(given) : undefined;
  const smaller = coding && (await compressed(new TextEncoder().encode(text), coding));
  if (!coding || !smaller) return { status, headers, body: text };
  return { status, headers: { ...headers, 'content-encoding': coding }, body: smaller };
}

/** The headers of a stream: neither a proxy nor a cache may keep any of it back, or change it. */
export const streamHeaders: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-store, no-transform',
  'x-accel-buffering': 'no',
};
/** The last message of a stream. */
export const COMPLETE = 'event: complete\ndata:\n\n';

/** Returns a GraphQL response as a message of a stream (GraphQL over SSE). A client that continues after this message sends its id. */
export function nextMessage(result: Result, requestId: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: next\ndata: ${JSON.stringify(sentResult(result, requestId))}\n\n`;
}

/** Returns a GraphQL response as it is sent: each error tells the id of the request, unless it tells that of an earlier one, and what errors say to HTTP is left out. */
export function sentResult({ errors, data, extensions }: Result, requestId: string): object {
  const sent = errors?.map((error) => {
    const { http, ...own } = error.extensions;
    return { ...error.toJSON(), extensions: { ...own, requestId: own.requestId ?? requestId } };
  });
  return { ...(sent && { errors: sent }), ...(data !== undefined && { data }), ...(extensions !== undefined && { extensions }) };
}

function httpOf({ http = {} }: { readonly http?: HttpExtension }): HttpExtension {
  return http;
}
