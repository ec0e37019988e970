/** The actions ct and nat (nicira-ext.h: nx_action_conntrack, nx_action_nat). */
import type { Action, CtAction, Nat } from '../action.ts';
import { bitRange, nicira, NXAST, readActions, readBitRange, writeAction } from './action-codec.ts';
import { type ByteWriter, numberOf } from './byte-writer.ts';

const FLAG = { COMMIT: 1, FORCE: 2 } as const;
const NO_TABLE = 0xff;
const NAT_FLAG = { SRC: 1, DST: 2, PERSISTENT: 4, HASH: 8, RANDOM: 16 } as const;
const RANGE = { IPV4_MIN: 1, IPV4_MAX: 2, IPV6_MIN: 4, IPV6_MAX: 8, PROTO_MIN: 16, PROTO_MAX: 32 } as const;

/** Writes the body of a ct action, behind the Nicira header. */
export function writeCt(out: ByteWriter, ct: CtAction): void {
  out.u16((ct.commit ? FLAG.COMMIT : 0) | (ct.force ? FLAG.FORCE : 0));
  if (typeof ct.zone === 'object') out.u32(ct.zone.field.subfieldHeader).u16(bitRange(ct.zone));
  else out.u32(0).u16(ct.zone ?? 0);
  out.u8(ct.table ?? NO_TABLE).zeros(3).u16(ct.alg ?? 0);
  if (ct.nat) writeNat(out, ct.nat);
  for (const action of ct.exec ?? []) writeAction(out, action);
}

function writeNat(out: ByteWriter, nat: Nat): void {
  const flags =
    (nat.kind === 'src' ? NAT_FLAG.SRC : 0) | (nat.kind === 'dst' ? NAT_FLAG.DST : 0) |
    (nat.persistent ? NAT_FLAG.PERSISTENT : 0) | (nat.hash ? NAT_FLAG.HASH : 0) | (nat.random ? NAT_FLAG.RANDOM : 0);
  const { addresses, ports } = nat;
  const isIpv4 = addresses?.version === 4;
  const present =
    (addresses ? (isIpv4 ? RANGE.IPV4_MIN : RANGE.IPV6_MIN) : 0) |
    (addresses?.last !== undefined ? (isIpv4 ? RANGE.IPV4_MAX : RANGE.IPV6_MAX) : 0) |
    (ports ? RANGE.PROTO_MIN : 0) | (ports?.last !== undefined ? RANGE.PROTO_MAX : 0);
  nicira(out, NXAST.NAT, () => {
    out.zeros(2).u16(flags).u16(present);
    if (addresses) out.number(addresses.first, isIpv4 ? 4 : 16);
    if (addresses?.last !== undefined) out.number(addresses.last, isIpv4 ? 4 : 16);
    if (ports) out.u16(ports.first);
    if (ports?.last !== undefined) out.u16(ports.last);
  });
}

/** Reads a whole ct action; `undefined` when it names what this library does not know. */
export function readCt(bytes: Buffer): CtAction | undefined {
  const flags = bytes.readUInt16BE(10);
  const zoneSource = bytes.readUInt32BE(12);
  const zone = zoneSource === 0 ? bytes.readUInt16BE(16) : readBitRange(zoneSource, bytes.readUInt16BE(16));
  if (zone === undefined) return undefined;
  const table = bytes[18]!;
  const alg = bytes.readUInt16BE(22);
  let nested = bytes.subarray(24);
  let nat: Nat | undefined;
  if (nested.length > 0 && nested.readUInt16BE(0) === 0xffff && nested.readUInt16BE(8) === NXAST.NAT) {
    const length = nested.readUInt16BE(2);
    nat = readNat(nested.subarray(0, length));
    nested = nested.subarray(length);
  }
  const exec: readonly Action[] = readActions(nested);
  return {
    type: 'ct',
    ...(flags & FLAG.COMMIT && { commit: true }),
    ...(flags & FLAG.FORCE && { force: true }),
    ...(table !== NO_TABLE && { table }),
    ...(zone !== 0 && { zone }),
    ...(nat && { nat }),
    ...(exec.length > 0 && { exec }),
    ...(alg !== 0 && { alg }),
  };
}

function readNat(bytes: Buffer): Nat {
  const flags = bytes.readUInt16BE(12);
  const present = bytes.readUInt16BE(14);
  let at = 16;
  const take = (bit: number, size: number): bigint | undefined => {
    if (!(present & bit)) return undefined;
    at += size;
    return numberOf(bytes.subarray(at - size, at));
  };
  const v4First = take(RANGE.IPV4_MIN, 4);
  const v4Last = take(RANGE.IPV4_MAX, 4);
  const v6First = take(RANGE.IPV6_MIN, 16);
  const v6Last = take(RANGE.IPV6_MAX, 16);
  const portFirst = take(RANGE.PROTO_MIN, 2);
  const portLast = take(RANGE.PROTO_MAX, 2);
  const first = v4First ?? v6First;
  const last = v4Last ?? v6Last;
  return {
    ...(flags & NAT_FLAG.SRC && { kind: 'src' }),
    ...(flags & NAT_FLAG.DST && { kind: 'dst' }),
    ...(first !== undefined && { addresses: { version: v4First !== undefined ? 4 : 6, first, ...(last !== undefined && last !== first && { last }) } }),
    ...(portFirst !== undefined && { ports: { first: Number(portFirst), ...(portLast !== undefined && portLast !== portFirst && { last: Number(portLast) }) } }),
    ...(flags & NAT_FLAG.PERSISTENT && { persistent: true }),
    ...(flags & NAT_FLAG.HASH && { hash: true }),
    ...(flags & NAT_FLAG.RANDOM && { random: true }),
  } as Nat;
}
