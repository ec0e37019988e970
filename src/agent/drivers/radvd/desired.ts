/** The configuration of a router's radvd: what each leg says to the hosts on its link (RFC 4861, RFC 8106). Pure. */
import type { RouterPortItem } from '#hoststate/router.ts';
import { parseCidr } from '#net/cidr.ts';
import { ipBytes, parseIp } from '#net/ip.ts';
import { LEAST_IPV6_MTU } from '#agent/drivers/link/address.ts';

export interface Intervals {
  /** Seconds. */
  readonly min: number;
  readonly max: number;
}

/** radvd takes no more for one interface. */
const MOST_SERVERS = 3;

/** The text of radvd.conf; undefined when no leg announces anything. */
export function radvdConfig(ports: readonly RouterPortItem[], intervals: Intervals): string | undefined {
  const speaking = ports.filter((port) => port.advertisements.some(({ cidr }) => prefixText(cidr)));
  return speaking.length === 0 ? undefined : speaking.map((port) => interfaceText(port, intervals)).join('');
}

function interfaceText({ device, mtu, advertisements }: RouterPortItem, { min, max }: Intervals): string {
  const modes = new Set(advertisements.map(({ mode }) => mode));
  // Only hosts that ask nobody else (SLAAC) have to hear of name servers here; DHCPv6 tells the others.
  const servers = [...new Set(advertisements.filter(({ mode }) => mode === 'slaac').flatMap(({ dns_nameservers }) => dns_nameservers.flatMap(ipv6)))].slice(0, MOST_SERVERS);
  return [
    `interface ${device} {`,
    '  AdvSendAdvert on;',
    `  MinRtrAdvInterval ${min};`,
    `  MaxRtrAdvInterval ${max};`,
    ...(mtu >= LEAST_IPV6_MTU ? [`  AdvLinkMTU ${mtu};`] : []),
    ...(modes.has('dhcpv6-stateful') ? ['  AdvManagedFlag on;'] : []),
    ...(modes.has('dhcpv6-stateless') ? ['  AdvOtherConfigFlag on;'] : []),
    ...advertisements.flatMap(({ cidr, mode }) => [`  prefix ${prefixText(cidr)} { AdvOnLink on; AdvAutonomous ${mode === 'dhcpv6-stateful' ? 'off' : 'on'}; };`]),
    ...(servers.length > 0 ? [`  RDNSS ${servers.join(' ')} { };`] : []),
    '};',
    '',
  ].join('\n');
}

function ipv6(text: string): string[] {
  const ip = parseIp(text);
  return ip?.version === 6 ? [spelledOut(ip.value)] : [];
}

function prefixText(cidr: string): string | undefined {
  const parsed = parseCidr(cidr);
  return parsed?.version === 6 ? `${spelledOut(parsed.base)}/${parsed.prefix}` : undefined;
}

/** All eight groups: radvd refuses its whole file for an address that begins with `::` and goes on (`::ffff:a00:0`). */
function spelledOut(value: bigint): string {
  const bytes = Buffer.from(ipBytes({ version: 6, value }));
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}
