import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { scopes, scopesOf } from '../access/scopes.ts';
import { type Config, ConfigError } from '../config.ts';
import type { Gateway } from '../gateway.ts';
import { openGateway } from './open-gateway.ts';
import { continueOnClosedOutput } from './output.ts';
import { untilSignal } from './signals.ts';
import { readTlsPair, reloadTls, tlsWarning } from './tls.ts';
import { version } from './version.ts';

/** The organization and scopes of the token in the printed address. It has all scopes. */
const DEVELOPMENT_ORGANIZATION = 'example';
const developmentScopes = ['all.Organization', ...scopes.filter((scope) => !scopesOf('all.Organization').includes(scope))];

/** How long running requests may continue after a signal, in milliseconds. */
const DRAIN_MILLISECONDS = 10_000;

/** Serves until it receives a signal. Resolves when everything is closed. @throws ConfigError */
export async function start(config: Config, print: (line: string) => void): Promise<void> {
  continueOnClosedOutput();
  const options = { mayLackPermissions: config.isDevelopment };
  // Before the database is opened: what is wrong with a file is said at once.
  const tls = config.tls && readTlsPair(config.tls, options);
  const { gateway, developmentSecret, databaseDescription, notices, logger, close } = await openGateway(config, { isServer: true });
  // They load parts of the gateway, which are loaded now.
  const [{ createLimitedServer }, { developmentToken }] = await Promise.all([import('./server.ts'), import('./token.ts')]);
  const limits = {
    maxConnections: config.limits.maxSockets,
    // Behind a proxy, all connections have its address. The proxy must limit its clients.
    maxConnectionsPerAddress: config.trustedProxies > 0 ? 0 : config.limits.maxSocketsPerAddress,
  };
  const server = createLimitedServer(gateway.requestListener, limits, tls);
  // From here on, a signal lets running requests complete. Until here, it ends the process.
  const signal = untilSignal();
  try {
    server.listen(config.port, config.host);
    await once(server, 'listening');
  } catch (error) {
    await close();
    const code = (error as NodeJS.ErrnoException).code;
    throw new ConfigError(
      `HOST and PORT: cannot listen on ${config.host}:${config.port} (${code}). Choose another PORT, or stop the process that uses it.`,
    );
  }
  const { port } = server.address() as AddressInfo;
  const address = `${tls ? 'https' : 'http'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}/graphql`;
  let endReloading = () => {};
  try {
    const token = developmentSecret && (await developmentToken(config, developmentSecret, DEVELOPMENT_ORGANIZATION, developmentScopes));
    await recordStart(gateway, token !== undefined, print);
    if (config.tls && tls && server instanceof TlsServer) endReloading = reloadTls(server, config.tls, tls, logger, options);
    const warning = tls && tlsWarning(tls, new Date());
    for (const notice of warning ? [...notices, warning] : notices) print(notice);
    print(`Database: ${databaseDescription}.`);
    print(token ? `Open ${address}#token=${token}` : `GraphQL at ${address}`);
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    endReloading();
    // A client that keeps its connection open would otherwise send further requests over it.
    server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'));
    server.close();
    server.closeIdleConnections();
    const drained = once(server, 'close');
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, DRAIN_MILLISECONDS).unref())]);
    server.closeAllConnections();
    await recordStop(gateway).catch(() => process.stderr.write('The stop could not be written to the log of the platform.\n'));
    await close();
  }
}

async function recordStart({ platform }: Gateway, hasToken: boolean, print: (line: string) => void): Promise<void> {
  if (!(await platform.exists())) {
    print('There is no log of the platform. If an older version made this database, run: credential-gateway migrate');
    return;
  }
  await platform.record('startServer', { details: `version ${version}` });
  const scopesOfToken = { organization: DEVELOPMENT_ORGANIZATION, details: developmentScopes.join(' ') };
  if (hasToken) await platform.record('createDevelopmentToken', scopesOfToken);
}

async function recordStop({ platform }: Gateway): Promise<void> {
  if (await platform.exists()) await platform.record('stopServer');
}
