/** Port security: who a guest may claim to be, and what every guest may send and get without a rule (docs/design/ovs-pipeline.md, tables 24, 25, 71, 81). */
import type { PortItem } from '#hoststate/port.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { type Ip, linkLocalOf, parseIp } from '#net/ip.ts';
import { ICMP, ICMPV6, type Packet, UDP, versionOf } from './packet.ts';

/** Why port security drops what the guest sends; undefined when the guest is what it says. */
export function forgery(port: PortItem, packet: Packet): string | undefined {
  const pairs = identities(port);
  const own = pairs.filter(({ mac }) => mac === packet.source_mac);
  if (own.length === 0) return `source MAC ${packet.source_mac} is neither the port's nor that of an allowed address pair`;
  if (isServerOnly(packet)) return `a guest is no DHCP server and no router (${packet.protocol === UDP ? `udp source port ${packet.source_port}` : `${packet.protocol === ICMP ? 'ICMP' : 'ICMPv6'} type ${packet.icmp_type}`})`;
  if (isUnspecifiedDiscovery(packet) || (isDhcpRequest(packet) && packet.source_ip === '0.0.0.0' && packet.source_mac === port.mac_address)) return undefined;
  const source = parseIp(packet.source_ip);
  if (source && own.some(({ addresses }) => addresses.some((text) => covers(text, source)))) return undefined;
  return `source address ${packet.source_ip} is neither a fixed address of the port nor an allowed address pair of ${packet.source_mac}`;
}

/** What a guest may send without a rule. */
export function sentUnasked(packet: Packet): boolean {
  return isDhcpRequest(packet) || (packet.protocol === ICMPV6 && [131, 132, 133, 135, 136, 143].includes(packet.icmp_type ?? -1));
}

/** What a guest gets without a rule: who may send it is decided at its source. */
export function receivedUnasked(packet: Packet): boolean {
  if (packet.protocol === UDP) return matchesPorts(packet, 67, 68, 4) || matchesPorts(packet, 547, 546, 6);
  return packet.protocol === ICMPV6 && [130, 134, 135, 136].includes(packet.icmp_type ?? -1);
}

/** The MACs that the port may use besides its own. */
export function pairMacs(port: PortItem): Set<string> {
  return new Set(port.allowed_address_pairs.map((pair) => pair.mac_address).filter((mac) => mac !== port.mac_address));
}

/** True when the port has the address or may use it. */
export function mayHave(port: PortItem, ip: Ip): boolean {
  return identities(port).some(({ addresses }) => addresses.some((text) => covers(text, ip)));
}

interface Identity {
  readonly mac: string;
  /** Addresses or prefixes. */
  readonly addresses: readonly string[];
}

function identities(port: PortItem): Identity[] {
  return [
    { mac: port.mac_address, addresses: [...port.ip_addresses, linkLocalOf(port.mac_address)] },
    ...port.allowed_address_pairs.map((pair) => ({ mac: pair.mac_address, addresses: [pair.ip_address, linkLocalOf(pair.mac_address)] })),
  ];
}

function covers(text: string, ip: Ip): boolean {
  const cidr = parseCidr(text);
  return cidr !== undefined && cidrContains(cidr, ip);
}

/** DHCP servers' answers; redirects and router advertisements of both families, and listener queries. */
function isServerOnly(packet: Packet): boolean {
  if (packet.protocol === UDP) return matchesPorts(packet, 67, 68, 4) || matchesPorts(packet, 547, 546, 6);
  const types = packet.protocol === ICMP ? [5, 9] : packet.protocol === ICMPV6 ? [130, 134, 137] : [];
  return types.includes(packet.icmp_type ?? -1) && versionOf(packet.source_ip) === (packet.protocol === ICMP ? 4 : 6);
}

function isDhcpRequest(packet: Packet): boolean {
  return packet.protocol === UDP && (matchesPorts(packet, 68, 67, 4) || matchesPorts(packet, 546, 547, 6));
}

/** While an address is tentative (RFC 4862, RFC 3590, RFC 3810). */
function isUnspecifiedDiscovery(packet: Packet): boolean {
  return packet.source_ip === '::' && packet.protocol === ICMPV6 && [131, 133, 135, 143].includes(packet.icmp_type ?? -1);
}

function matchesPorts(packet: Packet, source: number, destination: number, version: 4 | 6): boolean {
  return packet.source_port === source && packet.destination_port === destination && versionOf(packet.source_ip) === version;
}
