/** The headers of an Ethernet frame, as far as a log of it tells. Never throws: what is cut off is left out. */
import { formatIp } from './ip.ts';
import { macFromBytes } from './mac.ts';

/** Names are those of flow matches and of the Networking API; what the frame does not have is absent. */
export interface FrameHeaders {
  readonly eth_src?: string;
  readonly eth_dst?: string;
  /** Behind a VLAN tag, where there is one. */
  readonly ethertype?: string;
  readonly vlan_id?: number;
  readonly ip_src?: string;
  readonly ip_dst?: string;
  /** IANA number; of IPv6 that of the header behind the extension headers. */
  readonly protocol?: number;
  readonly port_src?: number;
  readonly port_dst?: number;
  readonly icmp_type?: number;
  readonly icmp_code?: number;
  readonly arp_op?: number;
  /** True of every fragment but the first: it has no ports. */
  readonly fragment?: true;
}

const ETHERTYPE = { IPV4: 0x0800, ARP: 0x0806, VLAN: 0x8100, QINQ: 0x88a8, IPV6: 0x86dd } as const;
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);
const ICMP: ReadonlySet<number> = new Set([1, 58]);
/** Hop-by-hop, routing, destination options; authentication counts its length in other words; fragment (RFC 8200). */
const EXTENSION: ReadonlySet<number> = new Set([0, 43, 60]);
const [FRAGMENT, AUTHENTICATION] = [44, 51];

export function parseFrame(frame: Buffer): FrameHeaders {
  if (frame.length < 14) return {};
  const eth = { eth_dst: macFromBytes(frame.subarray(0, 6)), eth_src: macFromBytes(frame.subarray(6, 12)) };
  let at = 12;
  let vlan_id: number | undefined;
  let type = frame.readUInt16BE(at);
  while ((type === ETHERTYPE.VLAN || type === ETHERTYPE.QINQ) && frame.length >= at + 6) {
    vlan_id ??= frame.readUInt16BE(at + 2) & 0xfff;
    at += 4;
    type = frame.readUInt16BE(at);
  }
  const payload = frame.subarray(at + 2);
  return { ...eth, ethertype: `0x${type.toString(16).padStart(4, '0')}`, ...(vlan_id !== undefined && { vlan_id }), ...payloadHeaders(type, payload) };
}

function payloadHeaders(type: number, bytes: Buffer): FrameHeaders {
  if (type === ETHERTYPE.IPV4) return ipv4(bytes);
  if (type === ETHERTYPE.IPV6) return ipv6(bytes);
  if (type === ETHERTYPE.ARP && bytes.length >= 28) return { arp_op: bytes.readUInt16BE(6), ip_src: address(bytes.subarray(14, 18)), ip_dst: address(bytes.subarray(24, 28)) };
  return {};
}

function ipv4(bytes: Buffer): FrameHeaders {
  if (bytes.length < 20) return {};
  const protocol = bytes[9]!;
  const head = { ip_src: address(bytes.subarray(12, 16)), ip_dst: address(bytes.subarray(16, 20)), protocol };
  if (bytes.readUInt16BE(6) & 0x1fff) return { ...head, fragment: true };
  return { ...head, ...transport(protocol, bytes.subarray((bytes[0]! & 0xf) * 4)) };
}

function ipv6(bytes: Buffer): FrameHeaders {
  if (bytes.length < 40) return {};
  const addresses = { ip_src: address(bytes.subarray(8, 24)), ip_dst: address(bytes.subarray(24, 40)) };
  let next = bytes[6]!;
  let rest = bytes.subarray(40);
  while (rest.length >= 8 && (EXTENSION.has(next) || next === FRAGMENT || next === AUTHENTICATION)) {
    const length = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (rest[1]! + 2) * 4 : (rest[1]! + 1) * 8;
    const later = next === FRAGMENT && (rest.readUInt16BE(2) & 0xfff8) !== 0;
    next = rest[0]!;
    if (later) return { ...addresses, protocol: next, fragment: true };
    rest = rest.subarray(length);
  }
  return { ...addresses, protocol: next, ...transport(next, rest) };
}

function transport(protocol: number, bytes: Buffer): FrameHeaders {
  if (WITH_PORTS.has(protocol) && bytes.length >= 4) return { port_src: bytes.readUInt16BE(0), port_dst: bytes.readUInt16BE(2) };
  if (ICMP.has(protocol) && bytes.length >= 2) return { icmp_type: bytes[0]!, icmp_code: bytes[1]! };
  return {};
}

function address(bytes: Buffer): string {
  return formatIp({ version: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${bytes.toString('hex')}`) });
}
