import { Resolver } from 'node:dns/promises';
import { closeSync, openSync, readSync } from 'node:fs';

/** Returns all addresses of a host name, or none if it has none. */
export type NameLookup = (hostname: string, timeoutMs: number) => Promise<readonly string[]>;

export interface NameLookupSettings {
  readonly hostsFile?: string;
  /** Where the search domains are. The resolver reads its name servers there, too. */
  readonly resolverFile?: string;
  /** The name servers, if not those of the system. */
  readonly servers?: readonly string[];
}

/** How much of the files of the system is read. */
const FILE_MAX_BYTES = 256 * 1024;
/** How long what was read of them is used, in milliseconds. */
const FILE_MS = 5_000;
/** As many as resolvers have always read. */
const SEARCH_MAX = 6;
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1'];
const notFound: readonly unknown[] = ['ENOTFOUND', 'ENODATA'];

/**
 * Creates the function that looks up names as the operating system does, but without its `getaddrinfo`: that one occupies a thread of the process
 * until name servers answer, and there are four threads. One lookup of a name is under way at a time: all who need the name then share it.
 */
export function createNameLookup({
  hostsFile = '/etc/hosts',
  resolverFile = '/etc/resolv.conf',
  servers,
}: NameLookupSettings = {}): NameLookup {
  const underWay = new Map<string, Promise<readonly string[]>>();
  const hosts = recent(() => hostsOf(textOf(hostsFile)));
  const search = recent(() => searchOf(textOf(resolverFile)));

  async function lookUp(hostname: string, timeoutMs: number): Promise<readonly string[]> {
    const name = hostname.replace(/\.$/, '').toLowerCase();
    const known = hosts().get(name);
    if (known) return known;
    // RFC 6761, section 6.3: never a question to a name server.
    if (/(?:^|\.)localhost$/.test(name)) return LOOPBACK;
    // Two tries, of which the second one waits twice as long. The rest of the time is for the connection.
    const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 4), tries: 2 });
    if (servers) resolver.setServers(servers);
    let hasEnded = false;
    const timer = setTimeout(
      () => {
        hasEnded = true;
        resolver.cancel();
      },
      (3 * timeoutMs) / 4,
    );
    try {
      for (const candidate of candidatesOf(hostname, search())) {
        const addresses = await ask(resolver, candidate);
        if (addresses.length > 0 || hasEnded) return addresses;
      }
      return [];
    } finally {
      clearTimeout(timer);
      resolver.cancel();
    }
  }

  return (hostname, timeoutMs) => {
    const same = underWay.get(hostname);
    if (same) return same;
    const found = lookUp(hostname, timeoutMs).finally(() => underWay.delete(hostname));
    underWay.set(hostname, found);
    return found;
  };
}

/** Asks for the addresses of both families. @throws what the resolver throws, unless a family has addresses or the name has none */
async function ask(resolver: Resolver, name: string): Promise<readonly string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const failed = answers.find((answer) => answer.status === 'rejected' && !notFound.includes(answer.reason?.code));
  if (addresses.length === 0 && failed?.status === 'rejected') throw failed.reason;
  return addresses;
}

/** Returns the names to ask for, as resolv.conf(5) has it with `ndots:1`. With a dot at its end, a name is whole. */
function candidatesOf(hostname: string, search: readonly string[]): string[] {
  if (hostname.endsWith('.')) return [hostname.slice(0, -1)];
  const longer = search.map((domain) => `${hostname}.${domain}`);
  return hostname.includes('.') ? [hostname, ...longer] : [...longer, hostname];
}

/** Returns the addresses of each name in a hosts file. */
function hostsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    for (const name of names) hosts.set(name.toLowerCase(), [...(hosts.get(name.toLowerCase()) ?? []), address]);
  }
  return hosts;
}

/** Returns the search domains of a resolv.conf: of the last line that has them. */
function searchOf(text: string): readonly string[] {
  const lines = text.split('\n').flatMap((line) => (/^\s*(?:search|domain)\s+(\S.*)$/.exec(line)?.[1] ?? []) as string | []);
  const domains = (lines.at(-1) ?? '').split(/\s+/).map((domain) => domain.replace(/^\.+|\.+$/g, ''));
  return domains.filter((domain) => domain !== '').slice(0, SEARCH_MAX);
}

function recent<T>(read: () => T): () => T {
  let last: { readonly value: T; readonly until: number } | undefined;
  return () => {
    const now = performance.now();
    if (!last || last.until < now) last = { value: read(), until: now + FILE_MS };
    return last.value;
  };
}

/** Returns the beginning of a file. It is read at once: anything else would wait for a thread. Empty if it cannot be read. */
function textOf(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(FILE_MAX_BYTES);
      return bytes.toString('utf8', 0, readSync(file, bytes, 0, FILE_MAX_BYTES, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}
