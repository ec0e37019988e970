/** Ethernet frames for attacks: real bytes with right checksums, so that a drop is never the fault of a broken packet. */
import { ipBytes, parseIp } from '#net/ip.ts';
import { macBytes } from '#net/mac.ts';

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const address = (ip: string): Buffer => Buffer.from(ipBytes(parseIp(ip)!));

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export function ethernet(destination: string, source: string, ethertype: number, payload: Buffer): Buffer {
  const frame = Buffer.concat([macBytes(destination), macBytes(source), u16(ethertype), payload]);
  return frame.length < 60 ? Buffer.concat([frame, Buffer.alloc(60 - frame.length)]) : frame;
}

/** The same frame with an 802.1Q tag. */
export function tagged(vlan: number, frame: Buffer): Buffer {
  return Buffer.concat([frame.subarray(0, 12), u16(0x8100), u16(vlan), frame.subarray(12)]);
}

export interface ArpFields {
  readonly op: 'request' | 'reply';
  readonly sha: string;
  readonly spa: string;
  readonly tha?: string;
  readonly tpa: string;
}

export function arp(destination: string, source: string, { op, sha, spa, tha = '00:00:00:00:00:00', tpa }: ArpFields): Buffer {
  return ethernet(destination, source, 0x0806, Buffer.concat([u16(1), u16(0x0800), Buffer.from([6, 4]), u16(op === 'request' ? 1 : 2), macBytes(sha), address(spa), macBytes(tha), address(tpa)]));
}

export interface UdpFields {
  readonly from: string;
  readonly to: string;
  readonly sport: number;
  readonly dport: number;
  readonly data: Buffer | string;
}

export function udp(destination: string, source: string, { from, to, sport, dport, data }: UdpFields): Buffer {
  const body = Buffer.from(data);
  const header = Buffer.concat([u16(sport), u16(dport), u16(8 + body.length), u16(0)]);
  return ip(destination, source, from, to, 17, Buffer.concat([header, body]), 6);
}

export function icmpv6(destination: string, source: string, from: string, to: string, type: number, body: Buffer): Buffer {
  return ip(destination, source, from, to, 58, Buffer.concat([Buffer.from([type, 0, 0, 0]), body]), 2);
}

/** A neighbour advertisement that claims `target` (override flag set). */
export function neighbourAdvertisement(destination: string, source: string, from: string, to: string, target: string): Buffer {
  return icmpv6(destination, source, from, to, 136, Buffer.concat([Buffer.from([0x20, 0, 0, 0]), address(target), Buffer.from([2, 1]), macBytes(source)]));
}

export function routerAdvertisement(destination: string, source: string, from: string): Buffer {
  return icmpv6(destination, source, from, 'ff02::1', 134, Buffer.from([64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]));
}

export const DHCP = { DISCOVER: 1, OFFER: 2, REQUEST: 3, DECLINE: 4, ACK: 5, NAK: 6, RELEASE: 7, INFORM: 8 } as const;

export interface DhcpFields {
  readonly op: 'request' | 'reply';
  readonly type: number;
  readonly mac: string;
  readonly ciaddr?: string;
  readonly yiaddr?: string;
  /** Option 54. */
  readonly server?: string;
  /** Option 50. */
  readonly requested?: string;
}

/** A BOOTP message with DHCP options (RFC 2131, RFC 2132). */
export function dhcpMessage({ op, type, mac, ciaddr = '0.0.0.0', yiaddr = '0.0.0.0', server, requested }: DhcpFields): Buffer {
  const fixed = Buffer.alloc(236);
  fixed.set([op === 'reply' ? 2 : 1, 1, 6, 0, 0x50, 0x42, 0, type], 0);
  address(ciaddr).copy(fixed, 12);
  address(yiaddr).copy(fixed, 16);
  Buffer.from(macBytes(mac)).copy(fixed, 28);
  const option = (code: number, ip: string | undefined) => (ip === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([code, 4]), address(ip)]));
  return Buffer.concat([fixed, Buffer.from([0x63, 0x82, 0x53, 0x63, 53, 1, type]), option(54, server), option(50, requested), Buffer.from([255])]);
}

/** `checksumAt`: where the transport's checksum stands in `payload`; both families know it there. */
function ip(destination: string, source: string, from: string, to: string, protocol: number, payload: Buffer, checksumAt: number): Buffer {
  const six = from.includes(':');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(payload.length);
  const pseudo = Buffer.concat([address(from), address(to), length, Buffer.from([0, 0, 0, protocol])]);
  const body = Buffer.from(payload);
  u16(checksum(Buffer.concat([pseudo, body]))).copy(body, checksumAt);
  if (six) return ethernet(destination, source, 0x86dd, Buffer.concat([Buffer.from([0x60, 0, 0, 0]), u16(body.length), Buffer.from([protocol, 255]), address(from), address(to), body]));
  const header = Buffer.concat([Buffer.from([0x45, 0]), u16(20 + body.length), u16(0), u16(0), Buffer.from([64, protocol, 0, 0]), address(from), address(to)]);
  u16(checksum(header)).copy(header, 10);
  return ethernet(destination, source, 0x0800, Buffer.concat([header, body]));
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
