import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { buildConnector, type Pool } from 'undici';
import { OutboundError } from './error.ts';
import type { NameLookup } from './names.ts';

type Connector = buildConnector.connector;
type Target = buildConnector.Options;

export interface ConnectSettings {
  readonly isAllowed: (address: string) => boolean;
  readonly lookup: NameLookup;
  readonly connectMs: number;
  /** The TLS to use; undefined without TLS. */
  readonly tls: SecureContext | undefined;
  /** The connections to the proxy that this one must pass. */
  readonly proxy?: { readonly pool: Pool; readonly authorization: string | undefined } | undefined;
}

/**
 * Creates the function that opens connections to a host. Its name is looked up once for each connection, and the connection goes to an address of that
 * very answer: an answer that is another one a moment later changes nothing. One address that is not allowed refuses the name: a name
 * with a public and a private address is a mistake, or an attack, and must not work by chance.
 */
export function createGuardedConnect({ isAllowed, lookup, connectMs, tls, proxy }: ConnectSettings): Connector {
  async function addressesOf(hostname: string): Promise<readonly string[]> {
    const addresses = isIP(hostname) === 0 ? await lookup(hostname, connectMs).catch(() => []) : [hostname];
    if (addresses.length === 0) throw new OutboundError('NAME_NOT_FOUND', true);
    if (!addresses.every(isAllowed)) throw new OutboundError('ADDRESS_NOT_ALLOWED', true);
    return addresses;
  }

  const guardedLookup: LookupFunction = (hostname, { all }, done) => {
    addressesOf(hostname).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        if (all) done(null, found);
        else done(null, found[0]!.address, found[0]!.family);
      },
      (error) => done(error, []),
    );
  };
  const open = buildConnector({
    timeout: connectMs,
    autoSelectFamily: true,
    lookup: guardedLookup,
    // Whatever the environment says.
    ...(tls && { secureContext: tls, rejectUnauthorized: true }),
  } as buildConnector.BuildOptions);

  function connectDirectly(target: Target, callback: buildConnector.Callback): void {
    // Sockets do not look up an address.
    if (isIP(target.hostname) !== 0 && !isAllowed(target.hostname)) {
      queueMicrotask(() => callback(new OutboundError('ADDRESS_NOT_ALLOWED', true), null));
      return;
    }
    let isConnected = false;
    const socket = (open as unknown as (...given: Parameters<Connector>) => Socket)(target, (error, opened) => {
      if (error) callback(connectFailure(error, isConnected), null);
      else callback(null, opened!);
    });
    socket.once('connect', () => {
      isConnected = true;
    });
  }

  /**
   * The proxy gets the name: most decide by names. It looks the name up again, perhaps with another result. So a connection through it always has TLS,
   * and a host that has no certificate for the name gets nothing of the request.
   */
  async function connectByProxy({ pool, authorization }: NonNullable<typeof proxy>, target: Target): Promise<Socket> {
    await addressesOf(target.hostname);
    const { hostname, port } = target;
    const address = `${isIP(hostname) === 6 ? `[${hostname}]` : hostname}:${port || '443'}`;
    const headers = { host: address, ...(authorization && { 'proxy-authorization': authorization }) };
    const signal = AbortSignal.timeout(connectMs);
    const { statusCode, socket } = await pool.connect({ path: address, headers, signal }).catch(() => {
      throw new OutboundError(signal.aborted ? 'TIMEOUT' : 'CONNECTION_FAILED', true);
    });
    // The socket is ours now, whatever becomes of it.
    socket.on('error', () => {});
    if (statusCode !== 200) {
      socket.destroy();
      throw new OutboundError('CONNECTION_FAILED', true);
    }
    return new Promise((resolve, reject) => {
      open({ ...target, httpSocket: socket as Socket }, (error, opened) => {
        if (error) reject(connectFailure(error, true));
        else resolve(opened!);
      });
    });
  }

  return (target, callback) => {
    if (!proxy) return connectDirectly(target, callback);
    connectByProxy(proxy, target).then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error, null),
    );
  };
}

function connectFailure(error: Error & { readonly code?: string }, isConnected: boolean): OutboundError {
  if (error instanceof OutboundError) return error;
  if (error.code === 'UND_ERR_CONNECT_TIMEOUT') return new OutboundError('TIMEOUT', true);
  // After the connection, only the handshake can fail.
  return new OutboundError(isConnected ? 'TLS_FAILED' : 'CONNECTION_FAILED', true);
}
