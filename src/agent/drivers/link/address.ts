/** Addresses as `ip` prints them, and those that mean the metadata service. */
import { parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';

/** Where a guest asks for metadata, over IPv4 and over IPv6. */
export const METADATA_IPV4 = '169.254.169.254';
export const METADATA_IPV6 = 'fe80::a9fe:a9fe';

/** The kernel takes no IPv6 address on a device with a lower MTU (RFC 8200). */
export const LEAST_IPV6_MTU = 1280;

/** Where a device of this MTU answers for metadata. */
export function metadataAddresses(mtu: number): string[] {
  return [`${METADATA_IPV4}/32`, ...(mtu < LEAST_IPV6_MTU ? [] : [`${METADATA_IPV6}/128`])];
}

/** `address/prefix` as `ip` prints it; undefined for what is none. */
export function canonicalAddress(text: string): string | undefined {
  const [address, prefix] = text.split('/', 2);
  const ip = parseIp(address!);
  return ip && parseCidr(text) ? `${formatIp(ip)}/${prefix ?? (ip.version === 4 ? 32 : 128)}` : undefined;
}
