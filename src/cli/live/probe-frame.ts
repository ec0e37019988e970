/** The traced packet as a frame with a token that tells it from all others, and the filter by which tcpdump knows it. Pure. */
import { ipFrame, tagged } from '#net/frame.ts';
import { ICMP, ICMPV6, isIcmp, type Packet, TCP, UDP, versionOf } from '#trace/packet.ts';

export interface ProbeMark {
  /** Four bytes of the payload. */
  readonly token: number;
  /** Identifier of an ICMP echo: what conntrack knows the connection by. */
  readonly icmp_id: number;
}

const SCTP = 132;
const TRANSPORT_HEADER: Readonly<Record<number, number>> = { [TCP]: 20, [UDP]: 8, [SCTP]: 12, [ICMP]: 8, [ICMPV6]: 8 };
const TOKEN = 4;

/** The frame as the guest's own kernel would send it: a SYN, a datagram, an echo request. No shorter than what the token needs. */
export function probeFrame(packet: Packet, mark: ProbeMark, vlan: number | null = null): Buffer {
  const { protocol, size, source_mac, destination_mac, source_ip, destination_ip } = packet;
  const header = transportHeader(packet, mark);
  const padding = size - (versionOf(source_ip) === 6 ? 40 : 20) - header.length - TOKEN;
  const payload = Buffer.concat([header, u32(mark.token), Buffer.alloc(Math.max(0, padding))]);
  if (protocol === UDP) payload.writeUInt16BE(payload.length, 4);
  const frame = ipFrame({
    destination: destination_mac!, source: source_mac, from: source_ip, to: destination_ip, protocol, payload, dontFragment: true,
    checksumAt: { [TCP]: 16, [UDP]: 6, [ICMP]: 2, [ICMPV6]: 2 }[protocol], pseudoHeader: protocol !== ICMP,
  });
  return vlan === null ? frame : tagged(vlan, frame);
}

/** A pcap filter for copies of the probe, whatever NAT has made of its addresses, and for no answer to it. */
export function probeFilter(packet: Packet, { token }: ProbeMark): string {
  const six = versionOf(packet.source_ip) === 6;
  const [layer, start] = six ? ['ip6', 40] : ['ip', 20];
  const { protocol } = packet;
  // An answer that echoes the payload goes to the port that the probe came from.
  const kind = isIcmp(protocol) ? [`${layer}[${start}] = ${packet.icmp_type}`] : packet.source_port === null ? [] : [`${layer}[${start + 2}:2] != ${packet.source_port}`];
  return [`${layer} proto ${protocol}`, ...kind, `${layer}[${start + (TRANSPORT_HEADER[protocol] ?? 0)}:4] = ${token}`].join(' and ');
}

function transportHeader({ protocol, source_port, destination_port, icmp_type, icmp_code }: Packet, { icmp_id, token }: ProbeMark): Buffer {
  const header = Buffer.alloc(TRANSPORT_HEADER[protocol] ?? 0);
  if (isIcmp(protocol)) {
    header.set([icmp_type ?? 0, icmp_code ?? 0]);
    header.writeUInt16BE(icmp_id, 4);
    header.writeUInt16BE(1, 6);
  } else if (header.length > 0) {
    header.writeUInt16BE(source_port ?? 0, 0);
    header.writeUInt16BE(destination_port ?? 0, 2);
  }
  if (protocol === TCP) {
    header.writeUInt32BE(token, 4); // a sequence number as good as any
    header.set([5 << 4, 0x02, 0xff, 0xff], 12); // no options, SYN, window
  }
  return header;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
