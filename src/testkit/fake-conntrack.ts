/**
 * The connection tracker of the userspace datapath, as far as flow fields tell: a packet has no payload and no
 * sequence numbers here, so windows, helpers, NAT and expiry are left out. Fragments carry the ports of their packet.
 */
import { ETH, IPPROTO } from '#openflow/match.ts';
import type { Packet } from './fake-packet.ts';

/** Bits of ct_state (ovs-fields(7)). */
export const CT = { NEW: 1n, EST: 2n, REL: 4n, RPL: 8n, INV: 16n, TRK: 32n } as const;

interface Connection {
  readonly tuple: string;
  readonly zone: bigint;
  /** Its first packet, in the fields ct_nw_src to ct_tp_dst. */
  readonly first: Packet;
  mark: bigint;
  /** A packet came back; or it is TCP that was under way when the tracker saw it first. */
  replied: boolean;
}

export interface Verdict {
  readonly state: bigint;
  readonly mark: bigint;
  /** ct_nw_src to ct_tp_dst: the connection's first packet, which is the packet itself while it is new; nothing of an invalid one. */
  readonly first: Packet;
}

export class FakeConntrack {
  /** By zone and tuple, under both directions. */
  readonly #connections = new Map<string, Connection>();

  /** The state in which the packet goes on, and the connection's mark. */
  track(zone: bigint, packet: Packet): Verdict {
    const ends = endsOf(packet);
    if (!ends) return { state: CT.TRK | CT.INV, mark: 0n, first: {} };
    const connection = this.#connections.get(`${zone} ${ends.tuple}`);
    if (!connection) return { state: CT.TRK | (ends.opens ? CT.NEW : CT.INV), mark: 0n, first: ends.opens ? firstOf(packet) : {} };
    const reply = connection.tuple !== ends.tuple;
    if (reply) connection.replied = true;
    const state = CT.TRK | (connection.replied ? CT.EST : CT.NEW) | (reply ? CT.RPL : 0n);
    return { state, mark: connection.mark, first: connection.first };
  }

  /** `ct(commit)`: remembers the connection of a packet that may open one; `change` writes its mark. */
  commit(zone: bigint, packet: Packet, change: (mark: bigint) => bigint): void {
    const ends = endsOf(packet);
    if (!ends) return;
    let connection = this.#connections.get(`${zone} ${ends.tuple}`);
    if (!connection) {
      if (!ends.opens) return;
      connection = { tuple: ends.tuple, zone, first: firstOf(packet), mark: 0n, replied: ends.midway };
      for (const tuple of [ends.tuple, ends.reverse]) this.#connections.set(`${zone} ${tuple}`, connection);
    }
    connection.mark = change(connection.mark);
  }

  /** Forgets the connections of a zone; of all without. */
  flush(zone?: bigint): void {
    for (const [key, connection] of this.#connections) if (zone === undefined || connection.zone === zone) this.#connections.delete(key);
  }

  get size(): number {
    return new Set(this.#connections.values()).size;
  }
}

/** For ICMP type and code stand for the ports. */
function firstOf(packet: Packet): Packet {
  const [src, dst] = packet['dl_type'] === ETH.IPV6 ? ['ipv6_src', 'ipv6_dst'] : ['nw_src', 'nw_dst'];
  const proto = packet['nw_proto'] ?? 0n;
  const icmp = proto === (packet['dl_type'] === ETH.IPV6 ? IPPROTO.ICMPV6 : IPPROTO.ICMP);
  const [low, high] = icmp ? ['icmp_type', 'icmp_code'] : ['tp_src', 'tp_dst'];
  const ported = icmp || proto === IPPROTO.TCP || proto === IPPROTO.UDP || proto === IPPROTO.SCTP;
  return {
    [`ct_${src}`]: packet[src!] ?? 0n, [`ct_${dst}`]: packet[dst!] ?? 0n, ct_nw_proto: proto,
    ...(ported && { ct_tp_src: packet[low!] ?? 0n, ct_tp_dst: packet[high!] ?? 0n }),
  };
}

/** ICMP requests and their answers (lib/conntrack.c: reverse_icmp_type); other types open nothing. */
const ICMP_REVERSE: Readonly<Record<string, bigint>> = { 8: 0n, 0: 8n, 13: 14n, 14: 13n, 15: 16n, 16: 15n };
const ICMP_REQUEST = [8n, 13n, 15n];
const ICMP6_REVERSE: Readonly<Record<string, bigint>> = { 128: 129n, 129: 128n };

const FIN = 1n;
const SYN = 2n;
const RST = 4n;
const ACK = 16n;

function endsOf(packet: Packet): { tuple: string; reverse: string; opens: boolean; midway: boolean } | undefined {
  const field = (name: string): bigint => packet[name] ?? 0n;
  const six = field('dl_type') === ETH.IPV6;
  if (!six && field('dl_type') !== ETH.IP) return undefined;
  const proto = field('nw_proto');
  const [src, dst] = six ? [field('ipv6_src'), field('ipv6_dst')] : [field('nw_src'), field('nw_dst')];
  const tuple = (a: bigint, b: bigint, low: bigint, high: bigint): string => [six ? 6 : 4, proto, a, b, low, high].join();
  if (proto === (six ? IPPROTO.ICMPV6 : IPPROTO.ICMP)) {
    const type = field('icmp_type');
    const back = (six ? ICMP6_REVERSE : ICMP_REVERSE)[String(type)];
    if (back === undefined) return undefined;
    const request = six ? type === 128n : ICMP_REQUEST.includes(type);
    return { tuple: tuple(src, dst, type, 0n), reverse: tuple(dst, src, back, 0n), opens: request, midway: false };
  }
  const flags = field('tcp_flags');
  const ported = proto === IPPROTO.TCP || proto === IPPROTO.UDP;
  const [from, to] = ported ? [field('tp_src'), field('tp_dst')] : [0n, 0n];
  return { tuple: tuple(src, dst, from, to), reverse: tuple(dst, src, to, from), opens: proto !== IPPROTO.TCP || tcpOpens(flags), midway: proto === IPPROTO.TCP && (flags & SYN) === 0n };
}

/** A SYN, or a packet from the middle of a connection that began before the tracker. */
function tcpOpens(flags: bigint): boolean {
  if (flags & SYN) return (flags & (RST | FIN | ACK)) === 0n;
  return (flags & (ACK | RST)) !== 0n;
}
