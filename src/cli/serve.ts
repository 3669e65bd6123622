import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { type Config, ConfigError } from '../config/index.ts';
import type { OpenGateway } from './open-gateway.ts';
import { reloadTls, type TlsPair } from './tls.ts';

/** How long running requests may continue after a signal, in milliseconds. */
const DRAIN_MILLISECONDS = 10_000;

/** How much later the server ends a proxied request than the proxy does, in milliseconds. */
const PROXY_SLACK_MILLISECONDS = 30_000;

/** What answers requests: a server in this process, or several processes. */
export interface Serving {
  readonly port: number;
  /** Rejects if it cannot continue. Never resolves. */
  readonly failed: Promise<never>;
  /** Takes nothing new, and lets running requests complete for a while. */
  stop(): Promise<void>;
}

/** Answers requests in this process. @throws ConfigError when the address cannot be listened on */
export async function serve(config: Config, { gateway, logger }: OpenGateway, tls: TlsPair | undefined): Promise<Serving> {
  // It loads parts of the gateway, which are loaded now.
  const { createLimitedServer } = await import('./server.ts');
  const { maxSockets, maxSocketsPerAddress, proxySeconds, proxyWaitSeconds } = config.limits;
  // Each process counts its own, so each has its part.
  const part = (limit: number) => Math.ceil(limit / config.workers);
  const limits = {
    maxConnections: part(maxSockets),
    // Behind a proxy, all connections have its address. The proxy must limit its clients.
    maxConnectionsPerAddress: config.trustedProxies > 0 ? 0 : part(maxSocketsPerAddress),
    // Later than the proxy itself, which says what the reason is.
    proxyTimeout: proxySeconds * 1_000 + PROXY_SLACK_MILLISECONDS,
    proxySocketTimeout: proxyWaitSeconds * 1_000 + PROXY_SLACK_MILLISECONDS,
  };
  const server = createLimitedServer(gateway.requestListener, limits, tls);
  try {
    server.listen(config.port, config.host);
    await once(server, 'listening');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new ConfigError(
      `HOST and PORT: cannot listen on ${config.host}:${config.port} (${code}). Choose another PORT, or stop the process that uses it.`,
    );
  }
  // What a build would replace while this process runs. What is missing now fails the request that needs it.
  void import('../gateway/index.ts').then(({ loadRest }) => loadRest()).catch(() => {});
  const options = { mayLackPermissions: config.isDevelopment };
  const endReloading = config.tls && tls && server instanceof TlsServer ? reloadTls(server, config.tls, tls, logger, options) : () => {};
  return {
    port: (server.address() as AddressInfo).port,
    failed: new Promise<never>(() => {}),
    async stop() {
      endReloading();
      // Otherwise the server would wait for them.
      gateway.endLiveQueries();
      // A client that keeps its connection open would otherwise send further requests over it.
      server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'));
      server.close();
      server.closeIdleConnections();
      const drained = once(server, 'close');
      await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, DRAIN_MILLISECONDS).unref())]);
      server.closeAllConnections();
    },
  };
}
