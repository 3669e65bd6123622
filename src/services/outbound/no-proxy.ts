/**
 * Returns whether requests to a host pass the proxy. Each entry is `*`, a host or a domain with all hosts below it, with a port or for all ports:
 * `example.com`, `.example.com`, `*.example.com`, `10.1.2.3`, `example.com:8443`.
 */
export function usesProxy({ hostname, port }: URL, noProxy: readonly string[]): boolean {
  const host = hostname.replace(/^\[|\]$|\.$/g, '');
  return !noProxy.some((entry) => {
    if (entry === '*') return true;
    const [, name = '', onlyPort] = /^\*?\.?\[?(.*?)\]?(?::(\d+))?$/.exec(isIPv6(entry) ? `[${entry}]` : entry.toLowerCase()) ?? [];
    if (onlyPort !== undefined && onlyPort !== (port || '443')) return false;
    return name !== '' && (host === name || host.endsWith(`.${name}`));
  });
}

function isIPv6(entry: string): boolean {
  return entry.split(':').length > 2 && !entry.includes('[');
}
