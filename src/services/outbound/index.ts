import { Readable } from 'node:stream';
import { Agent, request as send } from 'undici';
import type { Redacted } from '../../redacted.ts';

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
  /** The proxy that requests pass, if the operator has one. */
  readonly proxy?: URL;
  /** Certificates of further authorities, in PEM, that are trusted besides those that Node.js knows. */
  readonly trustedAuthorities?: string;
  readonly limits: OutboundLimits;
  /** Returns all addresses of a host name. The resolver of the operating system by default. */
  readonly lookup?: (hostname: string) => Promise<readonly string[]>;
}

/** A request to a third party. */
export interface OutboundRequest {
  readonly method: string;
  readonly url: URL;
  /** A name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  readonly clientCertificate?: ClientCertificate;
  /** Ends the request. */
  readonly signal?: AbortSignal;
  /** Limits that override those of the settings. */
  readonly limits?: Partial<OutboundLimits>;
}

/** The answer of a third party. Redirects are answers like others: they are never followed. */
export interface OutboundResponse {
  readonly status: number;
  /** As they came: a name can occur several times. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The body as it is sent, not decompressed. Destroy it if it is not read to its end. */
  readonly body: Readable;
}

/** Why a request did not go out, or got no complete answer. */
export type OutboundFailure =
  /** The URL is not https, and http is not allowed. */
  | 'HTTPS_REQUIRED'
  /** The host, or one of its addresses, is not public. */
  | 'ADDRESS_NOT_ALLOWED'
  | 'NAME_NOT_FOUND'
  | 'CONNECTION_FAILED'
  | 'TLS_FAILED'
  | 'TIMEOUT'
  | 'TOO_LARGE'
  /** The answer is not HTTP. */
  | 'INVALID_ANSWER'
  | 'ABORTED';

/** A request to a third party failed. The message contains nothing of the request or of the answer. */
export class OutboundError extends Error {
  override name = 'OutboundError';
  readonly failure: OutboundFailure;
  /** Whether nothing of the request can have reached the service, so that it can be sent again. */
  readonly wasNotSent: boolean;
  constructor(failure: OutboundFailure, wasNotSent: boolean) {
    super(`A request to a third party failed: ${failure}.`);
    this.failure = failure;
    this.wasNotSent = wasNotSent;
  }
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

/**
 * Reads the body of an answer, at most that many bytes.
 * @throws OutboundError when it is larger, or does not arrive whole
 */
export async function readAll({ body }: OutboundResponse, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += (chunk as Buffer).length;
      if (size > maxBytes) throw new OutboundError('TOO_LARGE', false);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw error instanceof OutboundError ? error : new OutboundError('CONNECTION_FAILED', false);
  } finally {
    body.destroy();
  }
  return Buffer.concat(chunks);
}

/** Opens the way out. To be replaced: this first form guards nothing. */
export function createOutbound(settings: OutboundSettings): Outbound {
  const agent = new Agent({
    connect: {
      ...(settings.trustedAuthorities && { ca: settings.trustedAuthorities }),
      ...(settings.lookup && {
        lookup: (name: string, _options: object, done: (error: Error | null, found: { address: string; family: number }[]) => void) => {
          settings.lookup!(name).then(
            (found) =>
              done(
                null,
                found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
              ),
            (error) => done(error as Error, []),
          );
        },
      }),
    } as object,
  });
  return {
    async request({ method, url, headers, body, signal }) {
      const answer = await send(url, {
        dispatcher: agent,
        method: method as 'GET',
        headers: headers.flat(),
        ...(body && { body: body instanceof Uint8Array ? body : Readable.from(body) }),
        ...(signal && { signal }),
      });
      const pairs = Object.entries(answer.headers).flatMap(([name, value]) =>
        (Array.isArray(value) ? value : [value ?? '']).map((each) => [name, each] as const),
      );
      return { status: answer.statusCode, headers: pairs, body: answer.body };
    },
    stop: () => agent.close(),
  };
}
