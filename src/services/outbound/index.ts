import type { Readable } from 'node:stream';
import type { Redacted } from '../../redacted.ts';
import { createAddressGuard } from './addresses.ts';
import type { OutboundFailure } from './error.ts';

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

/** Loads what the first request needs, see `createOutbound`. Can be called before, so that it does not depend on files that may change later. */
export async function loadOutbound(): Promise<void> {
  await import('./open.ts');
}

/**
 * Returns the way out, which opens with the first request: many gateways send none, and the library that sends them takes long to load.
 * `onRequest` is told of every request when it has ended.
 *
 * @throws Error when an allowed address is none
 */
export function createOutbound(settings: OutboundSettings, onRequest: (event: OutboundEvent) => void = () => {}): Outbound {
  const isAllowed = createAddressGuard(settings.allowedAddresses);
  let opened: Promise<Outbound> | undefined;
  async function open(): Promise<Outbound> {
    try {
      const { openOutbound } = await import('./open.ts');
      return openOutbound(settings, isAllowed, onRequest);
    } catch (error) {
      // There is nothing to stop.
      opened = undefined;
      throw error;
    }
  }
  return {
    async request(request) {
      opened ??= open();
      return (await opened).request(request);
    },
    async stop() {
      await (await opened)?.stop();
    },
  };
}
