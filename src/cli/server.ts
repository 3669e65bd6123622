import { createServer, type RequestListener, type Server } from 'node:http';
import { socketGroup } from '../gateway.ts';

/** Limits of the HTTP server. Times are in milliseconds. */
export const serverLimits = {
  /** The time for the headers of a request to arrive. */
  headersTimeout: 10_000,
  /** The time for the whole request to arrive, including the body. */
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
  /** The maximum number of open connections. Further ones are closed at once. */
  maxConnections: 5_000,
  /** The same for each client address. 0 means no limit: behind a proxy, all connections have the address of the proxy. */
  maxConnectionsPerAddress: 0,
};

/** Creates a server that disconnects clients that send too slowly or do not read. */
export function createLimitedServer(listener: RequestListener, limits: Partial<typeof serverLimits> = {}): Server {
  const { maxHeadersCount, maxRequestsPerSocket, maxConnections, maxConnectionsPerAddress, socketTimeout, answerTimeout, ...options } = {
    ...serverLimits,
    ...limits,
  };
  const server = createServer(options, listener);
  server.maxHeadersCount = maxHeadersCount;
  server.maxRequestsPerSocket = maxRequestsPerSocket;
  server.maxConnections = maxConnections;
  server.setTimeout(socketTimeout);
  server.on('request', ({ socket }, response) => {
    const timer = setTimeout(() => socket.destroy(), answerTimeout);
    response.once('close', () => clearTimeout(timer));
  });
  if (maxConnectionsPerAddress > 0) limitAddresses(server, maxConnectionsPerAddress);
  return server;
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
