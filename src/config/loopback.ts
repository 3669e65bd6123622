import { isIPv4 } from 'node:net';

/** The host names of a server that is bound to loopback. */
export const loopbackHosts = ['localhost', '127.0.0.1', '[::1]'];

/** Returns whether a server that is bound to this host is reachable only from this machine. An IPv6 address can be in brackets, as in a URL. */
export function isLoopback(host: string): boolean {
  return ['localhost', '::1', '[::1]'].includes(host) || (isIPv4(host) && host.startsWith('127.'));
}
