import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { parsedUrl } from '../../url.ts';

type Address = ReturnType<typeof ipaddr.parse>;

/** The addresses that the registries give to networks of the Internet (RFC 4291, section 2.4). */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');
/** IPv4 as networks with IPv6 alone reach it (RFC 6052, section 2.1). */
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');
/** IPv4 as sockets of IPv6 write it (RFC 4291, section 2.5.5.2). */
const mapped = ipaddr.IPv6.parseCIDR('::ffff:0:0/96');
/** The address at which Azure serves every virtual machine its platform: it is in a public block, and nobody else's. */
const AZURE_PLATFORM = '168.63.129.16';

/**
 * Creates the function that tells whether an address may be reached: it is public, or in one of the allowed blocks. An address that is not surely
 * public is not: there is no list of those that are refused. One of IPv4 within IPv6 is judged by the former.
 */
export function createAddressGuard(allowed: readonly string[]): (address: string) => boolean {
  const blocks = allowed.map(parseBlock);
  return (address) => {
    const standard = standardForm(address);
    if (standard === undefined) return false;
    const parsed = ipaddr.parse(standard);
    const inner = embedded(parsed);
    return isPublic(inner) || blocks.some((block) => isWithin(parsed, block) || isWithin(inner, block));
  };
}

/**
 * Returns an address in the form that sockets read in the same way as the parser: it would also read octal and short forms of IPv4, and take `::8.8.8.8`
 * for a mapped address. Undefined for what is no address, or has a zone.
 */
function standardForm(address: string): string | undefined {
  return isIP(address) === 6 ? parsedUrl(`http://[${address}]`)?.hostname.slice(1, -1) : isIP(address) === 4 ? address : undefined;
}

function parseBlock(block: string): [Address, number] {
  return block.includes('/') ? ipaddr.parseCIDR(block) : [ipaddr.parse(block), block.includes(':') ? 128 : 32];
}

function isWithin(address: Address, [base, bits]: [Address, number]): boolean {
  return address.kind() === base.kind() && address.match([base, bits] as [ipaddr.IPv4, number] & [ipaddr.IPv6, number]);
}

function embedded(address: Address): Address {
  if (!(address instanceof ipaddr.IPv6)) return address;
  return address.match(mapped) || address.match(nat64) ? new ipaddr.IPv4(address.toByteArray().slice(12)) : address;
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  return address instanceof ipaddr.IPv6 ? address.match(globalUnicast) : address.toString() !== AZURE_PLATFORM;
}
