/** Ethernet frames as bytes, with right checksums: a drop is never the fault of a broken packet. */
import { ipBytes, parseIp } from './ip.ts';
import { macBytes } from './mac.ts';

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const address = (ip: string): Buffer => Buffer.from(ipBytes(parseIp(ip)!));

/** Padded to the shortest frame that Ethernet knows. */
export function ethernet(destination: string, source: string, ethertype: number, payload: Uint8Array): Buffer {
  const frame = Buffer.concat([macBytes(destination), macBytes(source), u16(ethertype), payload]);
  return frame.length < 60 ? Buffer.concat([frame, Buffer.alloc(60 - frame.length)]) : frame;
}

/** The same frame with an 802.1Q tag, or one of 802.1ad. */
export function tagged(vlan: number, frame: Buffer, ethertype = 0x8100): Buffer {
  return Buffer.concat([frame.subarray(0, 12), u16(ethertype), u16(vlan), frame.subarray(12)]);
}

export interface IpFrameFields {
  /** MACs. */
  readonly destination: string;
  readonly source: string;
  /** IP addresses of one family. */
  readonly from: string;
  readonly to: string;
  /** IANA number. */
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Where the transport's checksum stands in `payload`; undefined for protocols that have none. */
  readonly checksumAt: number | undefined;
  /** ICMP's checksum covers the payload alone, every other one the addresses too. */
  readonly pseudoHeader?: boolean;
  /** IPv4 only; IPv6 never lets routers fragment. */
  readonly dontFragment?: boolean;
}

/** An IPv4 or IPv6 packet without options in a frame. */
export function ipFrame({ destination, source, from, to, protocol, payload, checksumAt, pseudoHeader = true, dontFragment = false }: IpFrameFields): Buffer {
  const body = Buffer.from(payload);
  if (checksumAt !== undefined) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    const pseudo = pseudoHeader ? Buffer.concat([address(from), address(to), length, Buffer.from([0, 0, 0, protocol])]) : Buffer.alloc(0);
    u16(checksum(Buffer.concat([pseudo, body]))).copy(body, checksumAt);
  }
  if (from.includes(':')) return ethernet(destination, source, 0x86dd, Buffer.concat([Buffer.from([0x60, 0, 0, 0]), u16(body.length), Buffer.from([protocol, 255]), address(from), address(to), body]));
  return ipv4(destination, source, from, to, protocol, body, dontFragment);
}

/** An IPv4 packet in a frame; `payload` has its checksum. */
export function ipv4(destination: string, source: string, from: string, to: string, protocol: number, payload: Uint8Array, dontFragment = false): Buffer {
  const header = Buffer.concat([Buffer.from([0x45, 0]), u16(20 + payload.length), u16(0), u16(dontFragment ? 0x4000 : 0), Buffer.from([64, protocol, 0, 0]), address(from), address(to)]);
  return ethernet(destination, source, 0x0800, Buffer.concat([summed(header), payload]));
}

/** An IPv4 header with its checksum. */
export function summed(header: Buffer): Buffer {
  const copy = Buffer.from(header);
  copy.writeUInt16BE(0, 10);
  u16(checksum(copy)).copy(copy, 10);
  return copy;
}

/** RFC 1071. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
