import type { Readable } from 'node:stream';
import { Pool } from 'undici';
import type { Redacted } from '../../redacted.ts';
import { createAddressGuard } from './addresses.ts';
import { checkRequest } from './check-request.ts';
import { createGuardedConnect } from './connect.ts';
import { OutboundError, type OutboundFailure } from './error.ts';
import { exchange } from './exchange.ts';
import { createNameLookup } from './names.ts';
import { usesProxy } from './no-proxy.ts';
import { tlsIdentity } from './tls.ts';

export { OutboundError, type OutboundFailure } from './error.ts';
export { readAll } from './read.ts';

/** A certificate that the gateway presents to the server of a third party (TLS client authentication). */
export interface ClientCertificate {
  /** The certificate and those of its issuers, in PEM. Not secret. */
  readonly certificates: string;
  /** The private key, in PEM. */
  readonly privateKey: Redacted;
}

/** The limits of one request to a third party. */
export interface OutboundLimits {
  /** How long it may take to connect, with the lookup of the name, in milliseconds. */
  readonly connectMs: number;
  /** How long the answer may take to begin after the request was sent, in milliseconds. */
  readonly headersMs: number;
  /** The longest pause between two parts of the answer, in milliseconds. */
  readonly idleMs: number;
  /** How long everything may take, in milliseconds. */
  readonly totalMs: number;
  /** The maximum size of the headers of the answer in bytes. */
  readonly maxHeaderBytes: number;
  /** The maximum size of the body of the answer in bytes, as it is sent. */
  readonly maxBodyBytes: number;
}

/** The settings of everything that goes out. */
export interface OutboundSettings {
  /** The addresses that may be reached though they are not public, as CIDR blocks such as `10.1.0.0/16`. None by default. */
  readonly allowedAddresses: readonly string[];
  /** Whether requests may go out without TLS. False by default. */
  readonly allowsHttp: boolean;
  /** The proxy that requests pass, if the operator has one. It may have any address. Requests without TLS do not pass it. */
  readonly proxy?: URL;
  /** The hosts to which requests do not pass the proxy, as in NO_PROXY. */
  readonly noProxy?: readonly string[];
  /** Certificates of further authorities, in PEM, that are trusted besides those that Node.js contains. */
  readonly trustedAuthorities?: string;
  readonly limits: OutboundLimits;
  /** Returns all addresses of a host name. By default, the hosts file and the name servers of the operating system are asked. */
  readonly lookup?: (hostname: string) => Promise<readonly string[]>;
}

/** A request to a third party. */
export interface OutboundRequest {
  readonly method: string;
  readonly url: URL;
  /** A name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  /** The size of a body that is an iterable, if it is known. Otherwise it is sent in chunks. */
  readonly contentLength?: number;
  readonly clientCertificate?: ClientCertificate;
  /** Ends the request. */
  readonly signal?: AbortSignal;
  /** Limits that override those of the settings. */
  readonly limits?: Partial<OutboundLimits>;
  /**
   * Requests with different ones never share a connection. Some services authenticate the connection and not the request (NTLM), and whatever one caller
   * leaves behind in a connection must not reach another. Without one, requests share connections if they have the same origin and client certificate.
   */
  readonly partition?: string;
  /** Called once, when nothing more happens: the whole answer has arrived, though perhaps nobody has read it yet, or the request has failed. */
  readonly onEnd?: () => void;
}

/** The answer of a third party. Redirects are answers like others: they are never followed. */
export interface OutboundResponse {
  readonly status: number;
  /** As they came: a name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The body as it is sent, not decompressed. Destroy it if it is not read to its end. */
  readonly body: Readable;
}

/** The only way out of the gateway to third parties. */
export interface Outbound {
  /** Sends a request. @throws OutboundError */
  request(request: OutboundRequest): Promise<OutboundResponse>;
  /** Closes all connections. */
  stop(): Promise<void>;
}

export const defaultOutbound: OutboundSettings = {
  allowedAddresses: [],
  allowsHttp: false,
  limits: {
    connectMs: 5_000,
    headersMs: 30_000,
    idleMs: 30_000,
    totalMs: 60_000,
    maxHeaderBytes: 32 * 1024,
    maxBodyBytes: 1024 * 1024,
  },
};

/** What is logged of a request. */
export interface OutboundEvent {
  readonly host: string;
  readonly status?: number;
  readonly failure?: OutboundFailure;
  readonly milliseconds: number;
}

/** How long an open connection waits for a next request, and how long if the service promises to keep it. */
const KEPT_ALIVE_MS = 4_000;
const KEPT_ALIVE_MAX_MS = 30_000;
/** How long the connections of an origin are kept together without a request. */
const IDLE_POOL_MS = 60_000;
/** The maximum number of origins with kept connections. Those without requests are closed first. */
const POOLS_MAX = 1_000;

interface OpenPool {
  readonly pool: Pool;
  running: number;
  idle: NodeJS.Timeout | undefined;
}

/**
 * Opens the way out. Every request is checked here, and every connection when it is opened: a kept connection leads to an address that was
 * allowed. `onRequest` is told of every request when it has ended.
 */
export function createOutbound(settings: OutboundSettings, onRequest: (event: OutboundEvent) => void = () => {}): Outbound {
  const isAllowed = createAddressGuard(settings.allowedAddresses);
  const lookup = settings.lookup ?? createNameLookup();
  const pools = new Map<string, OpenPool>();
  const proxy = settings.proxy && { pool: new Pool(settings.proxy.origin), authorization: basicOf(settings.proxy) };

  function close(key: string, { pool, idle }: OpenPool): void {
    clearTimeout(idle);
    pools.delete(key);
    pool.close().catch(() => {});
  }

  function makeRoom(): void {
    if (pools.size < POOLS_MAX) return;
    const idle = [...pools].find(([, { running }]) => running === 0);
    if (idle) close(...idle);
  }

  function poolFor({ url, clientCertificate, partition = '' }: OutboundRequest, limits: OutboundLimits): [string, OpenPool] {
    const identity = tlsIdentity(clientCertificate, settings.trustedAuthorities);
    const key = JSON.stringify([url.origin, identity.id, partition, limits.connectMs, limits.maxHeaderBytes]);
    const known = pools.get(key);
    if (known) return [key, known];
    makeRoom();
    const isSecure = url.protocol === 'https:';
    const connect = createGuardedConnect({
      isAllowed,
      lookup,
      connectMs: limits.connectMs,
      tls: isSecure ? identity.context() : undefined,
      proxy: isSecure && usesProxy(url, settings.noProxy ?? []) ? proxy : undefined,
    });
    const pool = new Pool(url.origin, {
      connect,
      maxHeaderSize: limits.maxHeaderBytes,
      keepAliveTimeout: KEPT_ALIVE_MS,
      keepAliveMaxTimeout: KEPT_ALIVE_MAX_MS,
    });
    const opened: OpenPool = { pool, running: 0, idle: undefined };
    pools.set(key, opened);
    return [key, opened];
  }

  return {
    async request(request) {
      const startedAt = performance.now();
      const tell = (result: { readonly status?: number; readonly failure?: OutboundFailure }) =>
        onRequest({ host: request.url.host, ...result, milliseconds: Math.round(performance.now() - startedAt) });
      const limits = { ...settings.limits, ...request.limits };
      let key: string;
      let open: OpenPool;
      try {
        checkRequest(request, settings.allowsHttp);
        [key, open] = poolFor(request, limits);
      } catch (error) {
        if (error instanceof OutboundError) tell({ failure: error.failure });
        throw error;
      }
      clearTimeout(open.idle);
      open.running += 1;
      const { body, contentLength } = request;
      const length =
        contentLength !== undefined && body && !(body instanceof Uint8Array) ? [['content-length', String(contentLength)] as const] : [];
      return exchange(open.pool, { ...request, headers: [...request.headers, ...length] }, limits, (result) => {
        open.running -= 1;
        if (open.running === 0) open.idle = setTimeout(() => close(key, open), IDLE_POOL_MS).unref();
        tell(result);
        request.onEnd?.();
      });
    },

    async stop() {
      const opened = [...pools.values()];
      pools.clear();
      for (const { idle } of opened) clearTimeout(idle);
      await Promise.all([...opened.map(({ pool }) => pool.destroy()), proxy?.pool.destroy()]);
    },
  };
}

function basicOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  return `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
}
