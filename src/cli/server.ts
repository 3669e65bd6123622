import { createServer, type RequestListener, type Server } from 'node:http';

/** How long a client may take, and how much it may hold open. Times are in milliseconds. */
export const serverLimits = {
  /** For a request's headers to arrive. */
  headersTimeout: 10_000,
  /** For the whole request to arrive, body included. */
  requestTimeout: 30_000,
  /** How often the two are looked at; by itself Node does every 30 seconds, so that ten would be forty. */
  connectionsCheckingInterval: 1_000,
  /** For which a connection may be idle between two requests. Longer than a proxy keeps one, or it sends into a closed one: most keep 60. */
  keepAliveTimeout: 65_000,
  /** For which a connection may be silent while an answer is being written: a client that reads nothing. */
  socketTimeout: 120_000,
  /** The bytes of a request's headers. Beyond: 431. */
  maxHeaderSize: 16 * 1024,
  maxHeadersCount: 100,
  /** Requests that one connection carries before it is closed, so that proxies spread anew over the copies. */
  maxRequestsPerSocket: 10_000,
  /** Connections at a time. Beyond, they are closed at once. */
  maxConnections: 5_000,
};

/** A server that lets go of clients that send slowly, never end, or read nothing. */
export function createLimitedServer(listener: RequestListener, limits: Partial<typeof serverLimits> = {}): Server {
  const { maxHeadersCount, maxRequestsPerSocket, maxConnections, socketTimeout, ...options } = { ...serverLimits, ...limits };
  const server = createServer(options, listener);
  server.maxHeadersCount = maxHeadersCount;
  server.maxRequestsPerSocket = maxRequestsPerSocket;
  server.maxConnections = maxConnections;
  server.setTimeout(socketTimeout);
  return server;
}
