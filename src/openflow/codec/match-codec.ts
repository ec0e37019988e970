/** ofp_match of OpenFlow 1.4: a list of OXM entries (§7.2.2). */
import { fieldOfHeader, type Field, fullMask } from '../field.ts';
import { addMatch, fieldOf, type Match, MATCH_FIELDS, type MatchField, type WritableMatch } from '../match.ts';
import { type ByteWriter, numberOf } from './byte-writer.ts';

const OFPMT_OXM = 1;
const HAS_MASK = 0x100;
const EXPERIMENTER_CLASS = 0xffff;
const ONF_TCP_FLAGS = 42;

/** The switch refuses a field before the ones it depends on (OpenFlow 1.4 §7.2.3.6). */
const ENCODE_ORDER: readonly MatchField[] = [
  'in_port', 'dl_type', 'vlan_tci', 'nw_proto', ...MATCH_FIELDS.filter((name) => !['in_port', 'dl_type', 'vlan_tci', 'nw_proto'].includes(name)),
];

/** Writes the match with its header, padded to 8 bytes. */
export function writeMatch(out: ByteWriter, match: Match): void {
  const start = out.length;
  out.u16(OFPMT_OXM).u16(0);
  for (const name of ENCODE_ORDER) {
    const entry = match[name];
    if (entry) writeOxm(out, fieldOf(name, match), entry.value, entry.mask);
  }
  for (const hex of match.unknown ?? []) out.bytes(Buffer.from(hex, 'hex'));
  out.setU16(start + 2, out.length - start);
  out.padTo8(start);
}

/** One OXM entry: header, value, and the mask if there is one. */
export function writeOxm(out: ByteWriter, field: Field, value: bigint, mask?: bigint): void {
  if (mask === undefined) out.u32(field.oxmHeader).number(value, field.bytes);
  else out.u32((field.oxmHeader | HAS_MASK) + field.bytes).number(value, field.bytes).number(mask, field.bytes);
}

/** Reads the match at `at`; `end` is behind its padding. */
export function readMatch(bytes: Buffer, at: number): { match: Match; end: number } {
  const length = bytes.readUInt16BE(at + 2);
  const match: WritableMatch = {};
  for (let pos = at + 4; pos < at + length; ) {
    const size = 4 + bytes[pos + 3]!;
    readOxm(bytes.subarray(pos, pos + size), match);
    pos += size;
  }
  return { match, end: at + Math.ceil(length / 8) * 8 };
}

function readOxm(entry: Buffer, match: WritableMatch): void {
  const hasMask = (entry[2]! & 1) === 1;
  const size = hasMask ? entry[3]! / 2 : entry[3]!;
  const isTcpFlags = entry.readUInt16BE(0) === EXPERIMENTER_CLASS && entry[2]! >> 1 === ONF_TCP_FLAGS;
  if (isTcpFlags) {
    const value = BigInt(entry.readUInt16BE(8));
    addMatch(match, 'tcp_flags', hasMask ? { value, mask: BigInt(entry.readUInt16BE(10)) } : { value });
    return;
  }
  const field = fieldOfHeader(((entry.readUInt32BE(0) & 0xfffffe00) | size) >>> 0);
  const value = numberOf(entry.subarray(4, 4 + size));
  const mask = hasMask ? numberOf(entry.subarray(4 + size)) : undefined;
  const name = field && field.match;
  if (field && (MATCH_FIELDS as readonly string[]).includes(name!)) {
    addMatch(match, name as MatchField, mask === undefined ? { value } : { value, mask });
  } else if (field?.name === 'vlan_vid') addTci(match, value, mask ?? 0x1fffn);
  else if (field?.name === 'vlan_pcp') addTci(match, value << 13n, 0xe000n);
  else if (field?.name === 'ip_dscp') addMatch(match, 'nw_tos', { value: value << 2n });
  else if (field && addRegisters(match, field, value, mask ?? fullMask(field))) return;
  else match.unknown = [...(match.unknown ?? []), entry.toString('hex')];
}

function addTci(match: WritableMatch, value: bigint, mask: bigint): void {
  const before = match.vlan_tci ?? { value: 0n, mask: 0n };
  addMatch(match, 'vlan_tci', { value: before.value | value, mask: (before.mask ?? 0xffffn) | mask });
}

/** A 64-bit (128-bit) register is a pair (four) of the 32-bit ones, the most significant first. */
function addRegisters(match: WritableMatch, field: Field, value: bigint, mask: bigint): boolean {
  const parts = /^(x{1,2})reg(\d+)$/.exec(field.name);
  if (!parts) return false;
  const count = field.bytes / 4;
  for (let i = 0; i < count; i++) {
    const shift = BigInt(32 * (count - 1 - i));
    const word = { value: (value >> shift) & 0xffffffffn, mask: (mask >> shift) & 0xffffffffn };
    addMatch(match, `reg${Number(parts[2]) * count + i}` as MatchField, word);
  }
  return true;
}
