/** Frames of the probe lab: each carries a token, so that whoever sees it knows which probe it was. */
import { ipFrame } from '#net/frame.ts';

export type ProbeProtocol = 'icmp' | 'tcp' | 'udp' | 'sctp' | 'vrrp';

export interface ProbeFrame {
  readonly id: number;
  readonly destination_mac: string;
  readonly source_mac: string;
  readonly source_ip: string;
  readonly destination_ip: string;
  readonly protocol: ProbeProtocol;
  /** Also the id of an echo request. */
  readonly source_port: number;
  readonly destination_port: number;
  /** Whether a station that it is meant for answers, or says that nobody listens there, in one piece or in two; `only seen`: of interest is only who sees it. */
  readonly answered: boolean | 'unreachable' | 'unreachable in fragments' | 'only seen';
  /** `damaged`: with a wrong checksum. `unasked`: an echo reply that nobody asked for. */
  readonly fault?: 'damaged' | 'unasked';
}

/** As in prober.py. */
const MAGIC = 'PBtoken!';

/** IANA's number of a protocol in the family of `address`. */
export function protocolNumber(protocol: ProbeProtocol, address: string): number {
  if (protocol === 'icmp') return address.includes(':') ? 58 : 1;
  return { tcp: 6, udp: 17, sctp: 132, vrrp: 112 }[protocol];
}

/** L: a frame of which only who sees it is of interest. */
export function tokenOf(id: number, kind: 'P' | 'N' | 'U' | 'F' | 'L'): Buffer {
  return Buffer.concat([Buffer.from(MAGIC + kind), u32(id)]);
}

export function probeFrame({ id, destination_mac, source_mac, source_ip, destination_ip, protocol, source_port, destination_port, answered, fault }: ProbeFrame): Buffer {
  const token = tokenOf(id, typeof answered === 'string' ? ({ unreachable: 'U', 'unreachable in fragments': 'F', 'only seen': 'L' } as const)[answered] : answered ? 'P' : 'N');
  const ports = Buffer.concat([u16(source_port), u16(destination_port)]);
  const number = protocolNumber(protocol, source_ip);
  const six = source_ip.includes(':');
  const frame = (payload: Buffer, checksumAt?: number): Buffer => {
    const right = ipFrame({ destination: destination_mac, source: source_mac, from: source_ip, to: destination_ip, protocol: number, payload, checksumAt, pseudoHeader: number !== 1 });
    return fault === 'damaged' && checksumAt !== undefined ? withWrongSum(right, ETHERNET_HEADER + (six ? 40 : 20) + checksumAt) : right;
  };
  switch (protocol) {
    case 'icmp': return frame(Buffer.concat([Buffer.from([ECHO[six ? 6 : 4][fault === 'unasked' ? 'reply' : 'request'], 0, 0, 0]), u16(source_port), u16(1), token]), 2);
    case 'udp': return frame(Buffer.concat([ports, u16(8 + token.length), u16(0), token]), 6);
    // A SYN with data, as TCP fast open sends it.
    case 'tcp': return frame(Buffer.concat([ports, u32(id * 1000), u32(0), Buffer.from([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]), token]), 16);
    case 'sctp': return frame(sctpInit(ports, id, token));
    case 'vrrp': return frame(Buffer.concat([Buffer.from([0x21, 1, 100, 1]), token]));
  }
}

const ETHERNET_HEADER = 14;
const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;

/** Never 0, which is UDP's word for none. */
function withWrongSum(frame: Buffer, at: number): Buffer {
  frame.writeUInt16BE((frame.readUInt16BE(at) ^ 1) || 2, at);
  return frame;
}

/** An INIT chunk, whose parameter 0x8008 (supported extensions) holds the token. */
function sctpInit(ports: Buffer, id: number, token: Buffer): Buffer {
  const parameter = Buffer.concat([u16(0x8008), u16(4 + token.length), token]);
  const padding = Buffer.alloc((4 - (parameter.length % 4)) % 4);
  const body = Buffer.concat([u32(id + 1), u32(65_535), u16(1), u16(1), u32(id + 1), parameter]);
  const packet = Buffer.concat([ports, u32(0), u32(0), Buffer.from([1, 0]), u16(4 + body.length), body, padding]);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value >>> 0;
});

/** RFC 9260, appendix A. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}
