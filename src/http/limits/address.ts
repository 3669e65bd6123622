import { isIPv4, isIPv6 } from 'node:net';
import type { RequestHeaders } from '../request.ts';

/**
 * Returns the network address of the client. Each proxy appends the address of its own client to X-Forwarded-For. Behind n trusted proxies
 * the client's address is therefore the nth entry from the end. Earlier entries come from the client and are not trusted.
 */
export function clientAddress(socketAddress: string | undefined, headers: RequestHeaders, trustedProxies: number): string | undefined {
  const direct = socketAddress && withoutMapping(socketAddress);
  if (trustedProxies === 0) return direct;
  const entries = (headers['x-forwarded-for'] ?? '').split(',').map((entry) => withoutMapping(entry.trim()));
  const seen = entries.at(-trustedProxies);
  return seen && (isIPv4(seen) || isIPv6(seen)) ? seen : direct;
}

/** Returns the group of addresses that share a rate limit. An IPv6 customer usually has a whole /64. */
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

/** Returns the group of a socket's remote address. */
export function socketGroup(socketAddress: string): string {
  return addressGroup(withoutMapping(socketAddress));
}

function withoutMapping(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  return mapped ?? address;
}
