/** Ethernet frames for attacks: real bytes with right checksums, so that a drop is never the fault of a broken packet. */
import { checksum, ethernet, ipFrame, ipv4, summed } from '#net/frame.ts';
import { ipBytes, parseIp } from '#net/ip.ts';
import { macBytes } from '#net/mac.ts';

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const address = (ip: string): Buffer => Buffer.from(ipBytes(parseIp(ip)!));

export { ethernet, ipv4, tagged } from '#net/frame.ts';

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

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
  return ipFrame({ destination, source, from, to, protocol: 17, payload: Buffer.concat([header, body]), checksumAt: 6 });
}

export function icmpv6(destination: string, source: string, from: string, to: string, type: number, body: Buffer): Buffer {
  return ipFrame({ destination, source, from, to, protocol: 58, payload: Buffer.concat([Buffer.from([type, 0, 0, 0]), body]), checksumAt: 2 });
}

/** A neighbour advertisement that claims `target` (override flag set); without the option when `option` is null. */
export function neighbourAdvertisement(destination: string, source: string, from: string, to: string, target: string, option: string | null = source): Buffer {
  return icmpv6(destination, source, from, to, 136, Buffer.concat([Buffer.from([0x20, 0, 0, 0]), address(target), linkLayerOption(2, option)]));
}

export function neighbourSolicitation(destination: string, source: string, from: string, to: string, target: string, option: string | null = source): Buffer {
  return icmpv6(destination, source, from, to, 135, Buffer.concat([Buffer.alloc(4), address(target), linkLayerOption(1, option)]));
}

/** A redirect (RFC 4861): `target` is the better way to `goal`. */
export function redirect6(destination: string, source: string, from: string, to: string, target: string, goal: string): Buffer {
  return icmpv6(destination, source, from, to, 137, Buffer.concat([Buffer.alloc(4), address(target), address(goal)]));
}

function linkLayerOption(type: number, mac: string | null): Buffer {
  return mac === null ? Buffer.alloc(0) : Buffer.concat([Buffer.from([type, 1]), macBytes(mac)]);
}

/** ICMP of IPv4; `rest` begins behind the checksum. */
export function icmp(destination: string, source: string, from: string, to: string, type: number, code: number, rest: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([type, code, 0, 0]), rest]);
  u16(checksum(body)).copy(body, 2);
  return ipv4(destination, source, from, to, 1, body);
}

/** The IPv4 packet of a frame with options in its header, a multiple of four bytes. */
export function withIpOptions(frame: Buffer, options: Buffer): Buffer {
  const header = Buffer.concat([frame.subarray(14, 34), options]);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.readUInt16BE(2) + options.length, 2);
  return Buffer.concat([frame.subarray(0, 14), summed(header), frame.subarray(34)]);
}

/** The IPv6 packet of a frame with an empty extension header in front: 60 are destination options, 0 hop-by-hop ones. */
export function withExtensionHeader(frame: Buffer, type: number): Buffer {
  const head = Buffer.from(frame.subarray(0, 54));
  const extension = Buffer.from([head[20]!, 0, 1, 4, 0, 0, 0, 0]);
  head[20] = type;
  head.writeUInt16BE(head.readUInt16BE(18) + extension.length, 18);
  return Buffer.concat([head, extension, frame.subarray(54)]);
}

export interface Piece {
  /** Bytes of the packet's payload, and how many. */
  readonly at: number;
  readonly length: number;
}

/** The IP packet of a frame as fragments, the `pieces` of its payload in this order; the one that reaches its end is the last. */
export function fragments(frame: Buffer, id: number, pieces: readonly Piece[]): Buffer[] {
  const six = frame.readUInt16BE(12) === 0x86dd;
  const head = frame.subarray(14, six ? 54 : 34);
  const payload = frame.subarray(14 + head.length, 14 + (six ? 40 + head.readUInt16BE(4) : head.readUInt16BE(2)));
  return pieces.map(({ at, length }) => {
    const more = at + length < payload.length;
    const part = payload.subarray(at, at + length);
    const header = Buffer.from(head);
    if (!six) {
      header.writeUInt16BE(header.length + part.length, 2);
      header.writeUInt16BE(id, 4);
      header.writeUInt16BE((more ? 0x2000 : 0) | (at / 8), 6);
      return Buffer.concat([frame.subarray(0, 14), summed(header), part]);
    }
    const extension = Buffer.concat([Buffer.from([header[6]!, 0]), u16(at | (more ? 1 : 0)), u16(0), u16(id)]);
    header[6] = 44;
    header.writeUInt16BE(extension.length + part.length, 4);
    return Buffer.concat([frame.subarray(0, 14), header, extension, part]);
  });
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
