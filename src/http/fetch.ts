import { Readable } from 'node:stream';
import type { HttpRequest, HttpResponse } from './request.ts';

/**
 * Creates the function that answers requests of the Fetch standard, by the function that answers all. It rejects when the request is aborted, and
 * what the request has started goes on.
 */
export function fetchDoor(handle: (request: HttpRequest) => Promise<HttpResponse>): (request: Request) => Promise<Response> {
  return async (request) => {
    const { status, headers, body } = await untilAborted(handle(requestOf(request)), request.signal);
    return new Response(body instanceof Readable ? webStream(body) : body, { status, headers });
  };
}

function requestOf({ method, url: address, headers, body, bodyUsed, signal }: Request): HttpRequest {
  const url = new URL(address, 'http://localhost');
  return {
    method,
    host: headers.get('host') ?? url.host,
    target: url.pathname + url.search,
    isEncrypted: url.protocol === 'https:',
    headers: Object.fromEntries(headers),
    rawHeaders: [...headers],
    hasBody: body !== null,
    isBodyRead: bodyUsed || body?.locked === true,
    signal: () => signal,
    body: () => ((body as AsyncIterable<Uint8Array> | null) ?? (async function* () {})())[Symbol.asyncIterator](),
  };
}

/** Returns a stream of the web that reads on demand. In Node 20, one of `Readable.toWeb` ends the process when it is cancelled at the wrong moment. */
function webStream(body: Readable): ReadableStream<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => void body.destroy(),
    },
    { highWaterMark: 0 },
  );
}

function untilAborted<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    running.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
