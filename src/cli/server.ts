import { createServer, type IncomingMessage, type RequestListener, type Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { ErrorCode } from '../errors.ts';
import { isProxyTarget, socketGroup } from '../gateway/index.ts';
import { responseHeaders, strictTransport } from '../response-headers.ts';
import { type TlsPair, tlsOptions } from './tls.ts';

/** Limits of the HTTP server. Times are in milliseconds. */
export const serverLimits = {
  /** The time for the headers of a request to arrive. */
  headersTimeout: 10_000,
  /** The time for the body of a request to arrive, unless it is a proxied one. */
  requestTimeout: 30_000,
  /** How often the two timeouts are checked. Node's default is 30 seconds, which would extend ten seconds to forty. */
  connectionsCheckingInterval: 1_000,
  /**
   * How long a connection may be idle between two requests. Longer than in proxies, mostly 60 s, so that they do not use closed
   * connections.
   */
  keepAliveTimeout: 65_000,
  /** How long a connection may be inactive while a response is written. Limits clients that do not read. */
  socketTimeout: 120_000,
  /** The maximum size of a request's headers, in bytes. Larger headers get the status 431. */
  maxHeaderSize: 16 * 1024,
  maxHeadersCount: 100,
  /** The number of requests after which a connection is closed, so that proxies distribute their connections again over all copies. */
  maxRequestsPerSocket: 10_000,
  /**
   * How long a request may take from its headers to the end of its answer. Limits clients that read slowly, and so are never inactive.
   */
  answerTimeout: 180_000,
  /** The same for a proxied request, and the time for its body. The limits of the proxy are shorter, and are what ends a request. */
  proxyTimeout: 3_600_000,
  /** How long a connection may be inactive during a proxied request. */
  proxySocketTimeout: 120_000,
  /** The maximum number of open connections. Further ones are closed at once. */
  maxConnections: 5_000,
  /** The same for each client address. 0 means no limit: behind a proxy, all connections have the address of the proxy. */
  maxConnectionsPerAddress: 0,
};

/** Responses that were begun and are not complete, by their sockets. */
const begun = new WeakMap<Duplex, ServerResponse>();

/**
 * A response that has the common headers from the beginning. Node answers some requests itself: without a Host, with an unknown Expect, or after the
 * last request of a connection.
 */
class SafeResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  constructor(...[request, ...rest]: ConstructorParameters<typeof ServerResponse<Request>>) {
    super(request, ...rest);
    for (const [name, value] of Object.entries(headersFor(request.socket, request.headers.host))) this.setHeader(name, value);
    begun.set(request.socket, this as ServerResponse);
  }
}

function headersFor(socket: Duplex, host?: string): Readonly<Record<string, string>> {
  return { ...responseHeaders, ...((socket as Partial<TLSSocket>).encrypted && strictTransport(host)) };
}

/**
 * Creates a server that disconnects clients that send too slowly or do not read. With `tls`, it serves HTTPS. Every response has the common headers,
 * also those to what is not a request.
 */
export function createLimitedServer(listener: RequestListener, limits: Partial<typeof serverLimits> = {}, tls?: TlsPair): Server {
  const {
    maxHeadersCount,
    maxRequestsPerSocket,
    maxConnections,
    maxConnectionsPerAddress,
    socketTimeout,
    requestTimeout,
    answerTimeout,
    proxyTimeout,
    proxySocketTimeout,
    ...times
  } = { ...serverLimits, ...limits };
  // Node has one limit for all requests.
  const options = { ...times, requestTimeout: Math.max(requestTimeout, proxyTimeout), ServerResponse: SafeResponse };
  const handle: RequestListener = (request, response) =>
    request.rawHeaders.length > 2 * maxHeadersCount ? refuseHeaders(response) : listener(request, response);
  const server = tls
    ? createTlsServer({ ...options, ...tlsOptions, ...tls, handshakeTimeout: times.headersTimeout }, handle)
    : createServer(options, handle);
  // Without a limit of its own, because Node does not refuse what exceeds it. The size of the headers limits their number.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = maxRequestsPerSocket;
  server.maxConnections = maxConnections;
  server.setTimeout(socketTimeout);
  server.on('request', (request, response) => {
    const { socket } = request;
    const isProxied = isProxyTarget(request.url ?? '');
    const refuseIncomplete = () => {
      if (!request.complete) refuse(socket, late, request.headers.host);
    };
    const arrival = setTimeout(refuseIncomplete, isProxied ? proxyTimeout : requestTimeout);
    const endLate = () => {
      if (!isStream(response)) socket.destroy();
    };
    const answer = setTimeout(endLate, isProxied ? proxyTimeout : answerTimeout);
    if (isProxied) socket.setTimeout(proxySocketTimeout);
    response.once('close', () => {
      clearTimeout(arrival);
      clearTimeout(answer);
      if (isProxied) socket.setTimeout(socketTimeout);
      // What was answered before it had arrived may not arrive for longer than others.
      if (!request.complete) setTimeout(() => request.complete || socket.destroy(), requestTimeout).unref();
    });
  });
  if (maxConnectionsPerAddress > 0) limitAddresses(server, maxConnectionsPerAddress);
  const secured = new WeakSet<Duplex>();
  server.on('secureConnection', (socket: TLSSocket) => secured.add(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Nothing can be written before the handshake is complete.
    if (tls && !secured.has(socket)) socket.destroy();
    else refuse(socket, refusals[error.code ?? ''] ?? malformed);
  });
  // Without a listener, Node closes the connection without an answer.
  server.on('connect', ({ headers }, socket) =>
    refuse(socket, { status: '405 Method Not Allowed', message: 'CONNECT is not accepted.' }, headers.host),
  );
  return server;
}

/** Returns whether a response is a stream of events. It has no end; clients that do not read it are disconnected by the gateway. */
function isStream(response: ServerResponse): boolean {
  return response.statusCode === 200 && String(response.getHeader('content-type')).startsWith('text/event-stream');
}

/** Answers a request with too many headers. Node would leave out those after a number, and so the address that the last proxy adds. */
function refuseHeaders(response: ServerResponse): void {
  const message = `The request has more than ${serverLimits.maxHeadersCount} headers.`;
  const code: ErrorCode = 'BAD_REQUEST';
  response.writeHead(431, { 'content-type': 'application/json; charset=utf-8', connection: 'close' });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}

/** Closes connections of an address that has too many. The addresses of one IPv6 network count as one. */
function limitAddresses(server: Server, most: number): void {
  const open = new Map<string, number>();
  server.on('connection', (socket) => {
    const group = socketGroup(socket.remoteAddress ?? '');
    const count = (open.get(group) ?? 0) + 1;
    open.set(group, count);
    socket.once('close', () => {
      const left = open.get(group)! - 1;
      if (left > 0) open.set(group, left);
      else open.delete(group);
    });
    if (count > most) socket.destroy();
  });
}

interface Refusal {
  readonly status: string;
  readonly message: string;
}

const malformed: Refusal = { status: '400 Bad Request', message: 'The request is not valid HTTP.' };
const late: Refusal = { status: '408 Request Timeout', message: 'The request did not arrive in time.' };
/** What Node's own errors mean, by their codes. */
const refusals: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: { status: '431 Request Header Fields Too Large', message: 'The headers of the request are too large.' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: '413 Content Too Large', message: 'The chunk extensions of the request are too large.' },
  ERR_HTTP_REQUEST_TIMEOUT: late,
};

/** How long a refused client has to read the answer. */
const REFUSAL_MILLISECONDS = 2_000;

/** Writes a response to a socket that no request was read from, and closes it. */
function refuse(socket: Duplex, { status, message }: Refusal, host?: string): void {
  const response = begun.get(socket);
  // A second response within the first one would be taken for a part of it.
  if (!socket.writable || (response?.headersSent && !response.writableFinished)) return void socket.destroy();
  const code: ErrorCode = 'BAD_REQUEST';
  const body = JSON.stringify({ errors: [{ message, extensions: { code } }] });
  const headers = {
    ...headersFor(socket, host),
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.on('error', () => {});
  // A client that does not read must not keep the socket.
  setTimeout(() => socket.destroy(), REFUSAL_MILLISECONDS).unref();
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
}
