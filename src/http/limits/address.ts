import { isIPv4, isIPv6 } from 'node:net';

/**
 * The address that a request comes from. Behind proxies that is what the outermost trusted one saw: each appends the address of its client
 * to X-Forwarded-For, so with n proxies the nth entry from the end. What stands before it was written by the client and proves nothing.
 */
export function clientAddress(socketAddress: string | undefined, headers: Headers, trustedProxies: number): string | undefined {
  const direct = socketAddress && withoutMapping(socketAddress);
  if (trustedProxies === 0) return direct;
  const entries = (headers.get('x-forwarded-for') ?? '').split(',').map((entry) => withoutMapping(entry.trim()));
  const seen = entries.at(-trustedProxies);
  return seen && (isIPv4(seen) || isIPv6(seen)) ? seen : direct;
}

/** Addresses that count as one: an IPv6 customer has a whole /64. */
export function addressGroup(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const before = head.split(':').filter(Boolean);
  const after = (tail ?? '').split(':').filter(Boolean);
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

function withoutMapping(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  return mapped ?? address;
}
