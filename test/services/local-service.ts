import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { OutboundSettings } from '../../src/services/outbound/index.ts';

/** A certificate and its key, in PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

export interface IssueOptions {
  /** What the certificate is for. A server unless told. */
  readonly usage?: 'server' | 'client';
  /** Whether it has run out already. */
  readonly isExpired?: boolean;
}

/** A certificate authority of one test. Nobody trusts it who was not told to. */
export class TestAuthority {
  readonly certificate: string;
  readonly #key: string;

  constructor(name = 'Test authority') {
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    const files = inDirectory({}, ['cert.pem', 'key.pem'], (directory) =>
      openssl(directory, [
        'req',
        '-x509',
        '-days',
        '2',
        ...newKey,
        '-subj',
        `/CN=${name}`,
        '-keyout',
        'key.pem',
        '-out',
        'cert.pem',
        ...extensions,
      ]),
    );
    [this.certificate, this.#key] = files as [string, string];
  }

  /** Issues a certificate for names, such as `localhost`, `*.service.test` and `127.0.0.1`. */
  issue(names: readonly string[], { usage = 'server', isExpired = false }: IssueOptions = {}): TlsPair {
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
    const extensions = [
      `subjectAltName=${alternatives}`,
      `extendedKeyUsage=${usage}Auth`,
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature',
    ];
    const given = { 'ca.pem': this.certificate, 'ca-key.pem': this.#key, 'extensions.cnf': `${extensions.join('\n')}\n` };
    const [cert, key] = inDirectory(given, ['cert.pem', 'key.pem'], (directory) => {
      openssl(directory, ['req', '-new', ...newKey, '-subj', `/CN=${names[0]}`, '-keyout', 'key.pem', '-out', 'request.pem']);
      const issuer = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-extfile', 'extensions.cnf'];
      openssl(directory, ['x509', '-req', '-in', 'request.pem', '-out', 'cert.pem', '-days', isExpired ? '-1' : '2', ...issuer]);
    });
    return { cert: cert!, key: key! };
  }
}

/** A request that came in, whole. */
export interface Received {
  readonly method: string;
  /** The path with the query, as it came. */
  readonly target: string;
  /** The headers in their order, with their names as they came. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[];
  /** The headers by their names in lower case. */
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** The common name of the client's certificate, if it presented one that its authority issued. */
  readonly clientCertificate: string | undefined;
  /** The name of the server that the client asked for in the handshake (SNI). */
  readonly serverName: string | undefined;
  /** The number of the connection, from 1 in the order of their beginning. */
  readonly connection: number;
}

/** An answer. */
export interface Answer {
  readonly status?: number;
  /** A list gives a header several times. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** An object is sent as JSON. */
  readonly body?: string | Uint8Array | object;
}

/** Decides what a request gets. One that returns nothing writes the response by itself. */
export type Responder = (received: Received, response: ServerResponse) => Answer | undefined | Promise<Answer | undefined>;

export interface LocalServiceOptions {
  /** Without TLS. */
  readonly isPlain?: boolean;
  /** The authority of its certificate; one of its own unless told. */
  readonly authority?: TestAuthority;
  /** Its certificate; one that its authority issues for its names unless told. */
  readonly pair?: TlsPair;
  /** Whether a client must present a certificate of the authority. Without it, one is asked for and not required. */
  readonly requiresClientCertificate?: boolean;
  /** Reads the requests by itself: nothing is recorded. For bodies that must not be kept. */
  readonly listener?: (request: IncomingMessage, response: ServerResponse) => unknown;
}

/** The host names that lead to local services by `LocalService#outbound`. */
export const serviceNames = ['localhost', 'service.test', '*.service.test', '127.0.0.1'];

/**
 * A service of a third party on this machine: it records what arrives, whole, and answers as told. `localhost`, and with the settings of
 * `outbound` also `service.test` and every name below, lead to it.
 */
export class LocalService {
  /** What arrived, in order. */
  readonly received: Received[] = [];
  readonly authority: TestAuthority;
  /** What every request gets. An empty JSON object unless told. */
  answer: Answer | Responder = { body: {} };
  /** The connections by their numbers. */
  readonly sockets: Socket[] = [];
  readonly #isPlain: boolean;
  readonly #server: Server;

  constructor({ isPlain = false, authority, pair, requiresClientCertificate = false, listener }: LocalServiceOptions = {}) {
    this.#isPlain = isPlain;
    this.authority = authority ?? new TestAuthority();
    const listen = listener ?? ((request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response));
    this.#server = isPlain
      ? createServer(listen)
      : createTlsServer(
          {
            ...(pair ?? this.authority.issue(serviceNames)),
            ca: this.authority.certificate,
            maxHeaderSize: 128 * 1024,
            requestCert: true,
            rejectUnauthorized: requiresClientCertificate,
          },
          listen,
        );
    this.#server.on(isPlain ? 'connection' : 'secureConnection', (socket: Socket) => this.sockets.push(socket));
    this.#server.on('tlsClientError', () => {});
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The address of the service by a name, such as `https://localhost:12345`. */
  origin(name = 'localhost'): string {
    return `${this.#isPlain ? 'http' : 'https'}://${name}:${this.port}`;
  }

  /** The settings with which a gateway reaches the service (`TestGateway#outbound`). */
  get outbound(): Partial<OutboundSettings> {
    return {
      allowedAddresses: ['127.0.0.0/8', '::1/128'],
      allowsHttp: true,
      trustedAuthorities: this.authority.certificate,
      lookup: async (name) => (name === 'service.test' || name.endsWith('.service.test') || name === 'localhost' ? ['127.0.0.1'] : []),
    };
  }

  /** The connection that the last request came in. */
  get lastSocket(): Socket {
    return this.sockets[this.last.connection - 1]!;
  }

  /** The last request that arrived. */
  get last(): Received {
    const last = this.received.at(-1);
    if (!last) throw new Error('No request has arrived.');
    return last;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      // The client has gone. What it sent is no request.
      return;
    }
    const received = receivedFrom(request, Buffer.concat(chunks), this.sockets.indexOf(request.socket) + 1);
    this.received.push(received);
    const answer = typeof this.answer === 'function' ? await this.answer(received, response) : this.answer;
    if (!answer) return;
    const { status = 200, headers = {}, body = '' } = answer;
    const isJson = typeof body === 'object' && !(body instanceof Uint8Array);
    response.writeHead(status, { ...(isJson && { 'content-type': 'application/json' }), ...headers } as Record<string, string | string[]>);
    response.end(isJson ? JSON.stringify(body) : body);
  }
}

function receivedFrom(request: IncomingMessage, body: Buffer, connection: number): Received {
  const socket = request.socket as TLSSocket;
  const subject = socket.authorized ? socket.getPeerCertificate().subject : undefined;
  const name = subject?.CN;
  const { rawHeaders } = request;
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    rawHeaders: rawHeaders.flatMap((each, index) => (index % 2 === 0 ? [[each, rawHeaders[index + 1]!] as const] : [])),
    headers: request.headers,
    body,
    clientCertificate: Array.isArray(name) ? name[0] : name,
    serverName: (socket as TLSSocket & { servername?: string | false }).servername || undefined,
    connection,
  };
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(directory: string, parameters: readonly string[]): void {
  execFileSync('openssl', parameters, { cwd: directory, stdio: 'ignore' });
}

/** Runs something in a directory of its own that has some files, and returns the contents of others. */
function inDirectory(given: Readonly<Record<string, string>>, results: readonly string[], run: (directory: string) => void): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'credential-gateway-authority-'));
  try {
    for (const [name, content] of Object.entries(given)) writeFileSync(join(directory, name), content);
    run(directory);
    return results.map((name) => readFileSync(join(directory, name), 'utf8'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
