import { Readable } from 'node:stream';
import type { HttpRequest, HttpResponse } from './request.ts';

/**
 * Creates the function that answers requests of the Fetch standard, by the function that answers all. It rejects when the request is aborted, and
 * what the request has started goes on.
 */
export function fetchDoor(handle: (request: HttpRequest) => Promise<HttpResponse>): (request: Request) => Promise<Response> {
  return async (request) => {
    const { status, headers, body } = await untilAborted(handle(requestOf(request)), request.signal);
    return new Response(body instanceof Readable ? (Readable.toWeb(body) as ReadableStream<Uint8Array>) : body, { status, headers });
  };
}

function requestOf({ method, url: address, headers, body, signal }: Request): HttpRequest {
  const url = new URL(address, 'http://localhost');
  return {
    method,
    host: headers.get('host') ?? url.host,
    target: url.pathname + url.search,
    isEncrypted: url.protocol === 'https:',
    headers: Object.fromEntries(headers),
    rawHeaders: [...headers],
    hasBody: body !== null,
    signal: () => signal,
    body: () => ((body as AsyncIterable<Uint8Array> | null) ?? (async function* () {})())[Symbol.asyncIterator](),
  };
}

function untilAborted<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    running.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
