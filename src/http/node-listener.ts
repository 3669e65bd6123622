import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { HttpRequest, HttpResponse, RequestHeaders } from './request.ts';

/** What frameworks such as Express add to Node's request. */
interface Framed {
  readonly originalUrl?: string;
  readonly protocol?: string;
}

/** Creates the request listener for `node:http`, which passes requests to the function that answers all. */
export function nodeListener(handle: (request: HttpRequest) => Promise<HttpResponse>): RequestListener {
  return (incoming, response) => {
    // The client has gone. Nobody needs to know.
    response.on('error', () => {});
    // What an early answer has left of the request would stand before the next one.
    response.once('finish', () => {
      if (!incoming.complete) incoming.resume();
    });
    // `handle` answers every error of a request. What it throws nevertheless must not be lost with the socket kept open.
    handle(requestOf(incoming, response))
      .then((answer) => send(response, answer))
      .catch(() => response.destroy());
  };
}

function requestOf(incoming: IncomingMessage & Framed, response: ServerResponse): HttpRequest {
  const headers = incoming.headers as RequestHeaders;
  const encrypted = incoming.protocol ? incoming.protocol === 'https' : (incoming.socket as Partial<TLSSocket>).encrypted === true;
  return {
    method: incoming.method ?? 'GET',
    host: headers.host || headers[':authority'] || 'localhost',
    target: incoming.originalUrl ?? incoming.url ?? '/',
    isEncrypted: encrypted,
    headers,
    rawHeaders: pairsOf(incoming.rawHeaders),
    hasBody: headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0,
    isBodyRead: incoming.readableDidRead,
    signal: () => goneSignal(response),
    // An unread request must stay open: closing it would close the socket before the response is sent.
    body: () => incoming.iterator({ destroyOnReturn: false }),
    incoming,
  };
}

function pairsOf(raw: readonly string[]): (readonly [name: string, value: string])[] {
  return raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ''] as const] : []));
}

function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  const onClose = () => {
    if (!response.writableFinished) gone.abort();
  };
  if (response.destroyed) onClose();
  else response.once('close', onClose);
  return gone.signal;
}

function send(response: ServerResponse, { status, headers, body }: HttpResponse): void {
  if (response.destroyed || response.writableEnded || response.headersSent) {
    if (body instanceof Readable) body.destroy();
    // Somebody else has begun another answer. The client must not take it, with nothing behind it, for a whole one.
    if (!response.writableEnded) response.destroy();
    return;
  }
  if (body instanceof Readable) {
    response.writeHead(status, headers);
    // A stream that fails closes the connection: the client must not take a part for the whole.
    pipeline(body, response, () => {});
    return;
  }
  response.writeHead(status, body === null ? headers : { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body ?? undefined);
}
