import Negotiator from 'negotiator';
import type { RequestHeaders } from './request.ts';

/** The media types of a GraphQL response. */
export type MediaType = 'application/json' | 'application/graphql-response+json' | 'text/event-stream';
const mediaTypes: readonly MediaType[] = ['application/json', 'application/graphql-response+json', 'text/event-stream'];

/** The content codings of compressed responses, the best one first. */
export type Coding = 'br' | 'gzip';
const codings: readonly (Coding | 'identity')[] = ['br', 'gzip', 'identity'];

/**
 * Returns the media type of the response that a client accepts, by the weights in `Accept` (RFC 9110, section 12.5.1). Undefined if it accepts none.
 * Without `Accept` it is `application/graphql-response+json` (GraphQL over HTTP, Legacy watershed). A client that accepts everything gets
 * `application/json`: such clients are mostly older than the other type.
 */
export function mediaTypeFor({ accept }: RequestHeaders): MediaType | undefined {
  if (accept === undefined || accept.trim() === '') return 'application/graphql-response+json';
  // Parameters such as charset say nothing about JSON, which is always UTF-8.
  const weights = accept.replace(/;[ \t]*(?!q[ \t]*=)[^;,]*/gi, '');
  return new Negotiator({ headers: { accept: weights } }).mediaType([...mediaTypes]) as MediaType | undefined;
}

/** Returns whether a client accepts server-sent events. It must name them: who accepts everything does not expect a stream. */
export function acceptsEvents({ accept }: RequestHeaders): boolean {
  return accept !== undefined && new Negotiator({ headers: { accept: accept.toLowerCase() } }).mediaTypes().includes('text/event-stream');
}

/** Returns whether a client asks for a page, as browsers do. Media types have no case. */
export function acceptsHtml({ accept }: RequestHeaders): boolean {
  return /\btext\/html\b/i.test(accept ?? '');
}

/**
 * Returns the content coding of the response, by the weights in `Accept-Encoding` (RFC 9110, section 12.5.3). Undefined if the content should be
 * sent as it is. Of codings with equal weights, ours is the best one.
 */
export function codingFor(headers: RequestHeaders): Coding | undefined {
  const accepted = headers['accept-encoding'];
  if (accepted === undefined) return undefined;
  const negotiator: Encodings = new Negotiator({ headers: { 'accept-encoding': accepted } });
  const coding = negotiator.encoding(codings, { preferred: codings });
  return coding === 'identity' ? undefined : (coding as Coding | undefined);
}

/** `@types/negotiator` does not know the option. */
interface Encodings {
  encoding(available: readonly string[], options: { readonly preferred: readonly string[] }): string | undefined;
}
