/** A packet as the tracer follows it: the fields that decide about its way. */
import { PROTOCOL_NUMBERS } from '#model/security-groups.ts';

export interface Packet {
  readonly source_mac: string;
  /** Null is somebody outside: a MAC that no port of ours has. */
  readonly destination_mac: string | null;
  readonly source_ip: string;
  readonly destination_ip: string;
  /** IANA number. */
  readonly protocol: number;
  /** Null for protocols without ports. */
  readonly source_port: number | null;
  readonly destination_port: number | null;
  readonly icmp_type: number | null;
  readonly icmp_code: number | null;
  /** Bytes of the IP packet. */
  readonly size: number;
}

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
/** TCP, UDP, SCTP: ports that a switch can match. */
const WITH_PORTS: ReadonlySet<number> = new Set([TCP, UDP, 132]);
export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';

export const versionOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);
export const isIcmp = (protocol: number): boolean => protocol === ICMP || protocol === ICMPV6;
export const hasPorts = (protocol: number): boolean => WITH_PORTS.has(protocol);

/** True for a frame that goes to everybody of its network. */
export function isMulticast({ destination_mac }: Packet): boolean {
  return destination_mac !== null && (Number.parseInt(destination_mac.slice(0, 2), 16) & 1) === 1;
}

/** True for a question of ICMP: Open vSwitch's conntrack begins a connection with nothing else of it. */
export function isQuestion({ protocol, icmp_type }: Packet): boolean {
  return icmp_type !== null && (protocol === ICMP ? [8, 13, 15] : [128]).includes(icmp_type);
}

/** The MAC that a broadcast or multicast address is sent to (RFC 1112, RFC 2464); undefined for a unicast address. */
export function multicastMac(address: string, bytes: Uint8Array): string | undefined {
  const hex = (list: Iterable<number>): string => [...list].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  if (versionOf(address) === 6) return bytes[0] === 0xff ? `33:33:${hex(bytes.slice(12))}` : undefined;
  if (address === '255.255.255.255') return BROADCAST_MAC;
  return bytes[0]! >= 224 && bytes[0]! < 240 ? `01:00:5e:${hex([bytes[1]! & 0x7f, bytes[2]!, bytes[3]!])}` : undefined;
}

/** `tcp/80`, `icmp type 8`, `protocol 112`: what a rule would call it. */
export function serviceText(packet: Packet): string {
  const name = protocolName(packet.protocol);
  if (isIcmp(packet.protocol) && packet.icmp_type !== null) return `${name} type ${packet.icmp_type}`;
  return packet.destination_port === null ? name : `${name}/${packet.destination_port}`;
}

/** `tcp 10.0.0.3:40000 -> 10.0.0.4:80`. */
export function packetText(packet: Packet): string {
  const end = (address: string, port: number | null): string => (port === null ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
  const kind = isIcmp(packet.protocol) && packet.icmp_type !== null ? ` type ${packet.icmp_type}` : '';
  return `${protocolName(packet.protocol)} ${end(packet.source_ip, packet.source_port)} -> ${end(packet.destination_ip, packet.destination_port)}${kind}`;
}

/** The name that OpenStack's clients take for a protocol, or its number. */
export function protocolName(protocol: number): string {
  if (protocol === ICMPV6) return 'ipv6-icmp';
  return Object.entries(PROTOCOL_NUMBERS).find(([name, number]) => number === protocol && name !== 'ip' && name !== 'hopopt')?.[0] ?? `protocol ${protocol}`;
}

const ANSWERS: Readonly<Record<number, Readonly<Record<number, number>>>> = { [ICMP]: { 8: 0, 13: 14 }, [ICMPV6]: { 128: 129 } };

/** What the receiver of `packet` sends back; MACs are those of the way there, turned round. */
export function answerTo(packet: Packet): Packet {
  return {
    ...packet, source_ip: packet.destination_ip, destination_ip: packet.source_ip, source_port: packet.destination_port, destination_port: packet.source_port,
    icmp_type: packet.icmp_type === null ? null : (ANSWERS[packet.protocol]?.[packet.icmp_type] ?? packet.icmp_type),
  };
}
