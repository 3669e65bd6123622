import { Pool } from 'undici';
import { checkRequest } from './check-request.ts';
import { createGuardedConnect } from './connect.ts';
import { OutboundError, type OutboundFailure } from './error.ts';
import { exchange } from './exchange.ts';
import type { Outbound, OutboundEvent, OutboundLimits, OutboundRequest, OutboundSettings } from './index.ts';
import { createNameLookup } from './names.ts';
import { usesProxy } from './no-proxy.ts';
import { tlsIdentity } from './tls.ts';

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
export function openOutbound(
  settings: OutboundSettings,
  isAllowed: (address: string) => boolean,
  onRequest: (event: OutboundEvent) => void,
): Outbound {
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
