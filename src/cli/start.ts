import cluster from 'node:cluster';
import { once } from 'node:events';
import { scopes, scopesOf } from '../access/scopes.ts';
import type { Config } from '../config/index.ts';
import type { Gateway } from '../gateway/index.ts';
import { openGateway } from './open-gateway.ts';
import { continueOnClosedOutput } from './output.ts';
import { type Serving, serve } from './serve.ts';
import { untilSignal } from './signals.ts';
import { readTlsPair, tlsWarning } from './tls.ts';
import { version } from './version.ts';
import { runAsWorker, startWorkers } from './workers.ts';

/** The organization and scopes of the token in the printed address. It has all scopes. */
const DEVELOPMENT_ORGANIZATION = 'example';
const developmentScopes = ['all.Organization', ...scopes.filter((scope) => !scopesOf('all.Organization').includes(scope))];

/** Serves until it receives a signal. Resolves when everything is closed. @throws ConfigError */
export async function start(config: Config, print: (line: string) => void): Promise<void> {
  continueOnClosedOutput();
  // Before the database is opened: what is wrong with a file is said at once.
  const tls = config.tls && readTlsPair(config.tls, { mayLackPermissions: config.isDevelopment });
  if (cluster.isWorker) return runAsWorker(config, tls);
  const open = await openGateway(config, { isServer: true });
  const { gateway, developmentSecret, databaseDescription, servesGraphiql, notices, close } = open;
  // From here on, a signal lets running requests complete. Until here, it ends the process.
  const signal = untilSignal();
  let serving: Serving;
  try {
    serving = await (config.workers > 1 ? startWorkers(config, open, signal) : serve(config, open, tls));
  } catch (error) {
    await close();
    throw error;
  }
  const { port, failed, stop } = serving;
  const address = `${tls ? 'https' : 'http'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}/graphql`;
  try {
    const { developmentToken } = await import('./token.ts');
    const token = developmentSecret && (await developmentToken(config, developmentSecret, DEVELOPMENT_ORGANIZATION, developmentScopes));
    await recordStart(gateway, token !== undefined, print);
    const warning = tls && tlsWarning(tls, new Date());
    for (const notice of warning ? [...notices, warning] : notices) print(notice);
    print(`Database: ${databaseDescription}.`);
    // Without a port, a signal has come before one of several processes has listened.
    if (port > 0) print(token && servesGraphiql ? `Open ${address}#token=${token}` : `GraphQL at ${address}`);
    if (port > 0 && token && !servesGraphiql) print(`The development token: ${token}`);
    if (!signal.aborted) await Promise.race([once(signal, 'abort'), failed]);
  } finally {
    await stop();
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
