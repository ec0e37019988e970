/** A packet as the fake switch sees it: header fields, registers and metadata as numbers, by their name in a match. */
import { splitArguments } from '#openflow/action-argument.ts';
import type { Field, Subfield } from '#openflow/field.ts';
import { formatMatch, MATCH_FIELDS, type Match, parseMatch, type WritableMatch } from '#openflow/match.ts';

/** Absent is zero. `inner_tci` is the tag below the outermost one; Open vSwitch keeps two and forgets a third. */
export type Packet = Record<string, bigint>;

export const TAG_PRESENT = 0x1000n;

/** A packet in the words that `ofproto/trace` takes: `in_port=3,tcp,dl_src=…,tp_dst=80`. Masks are refused. */
export function parsePacket(text: string): Packet {
  const packet: Packet = {};
  for (const [name, entry] of Object.entries(parseMatch(splitArguments(text)))) {
    if (!('value' in entry)) throw new Error(`${name} is no field of a packet`);
    if (entry.mask !== undefined && name !== 'vlan_tci' && name !== 'ct_state' && name !== 'nw_frag') throw new Error(`a packet has no mask: ${name} in ${text}`);
    packet[name] = entry.value;
  }
  return packet;
}

/** What is in the frame itself (and the tunnel id it leaves with), in `ovs-ofctl`'s words; no registers, no in_port. */
export function printHeaders(packet: Packet): string {
  const match: WritableMatch = {};
  for (const name of MATCH_FIELDS) {
    if (INTERNAL.test(name) || !packet[name]) continue;
    match[name] = { value: packet[name] };
  }
  return formatMatch(match as Match);
}

const INTERNAL = /^(reg\d+|metadata|in_port|conj_id|ct_\w+|pkt_mark)$/;

/** Where the bits of a field are kept: fields that are parts of others share their slot. */
function slotOf(field: Field): { name: string; offset: number; bits: number } {
  if (field.name === 'vlan_vid') return { name: 'vlan_tci', offset: 0, bits: 13 };
  if (field.name === 'vlan_pcp') return { name: 'vlan_tci', offset: 13, bits: 3 };
  if (field.name === 'ip_dscp') return { name: 'nw_tos', offset: 2, bits: 6 };
  return { name: field.match, offset: 0, bits: field.bits };
}

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

export function readBits(packet: Packet, { field, offset, bits }: Subfield): bigint {
  const slot = slotOf(field);
  return ((packet[slot.name] ?? 0n) >> BigInt(slot.offset + offset)) & ones(bits);
}

export function writeBits(packet: Packet, { field, offset, bits }: Subfield, value: bigint): void {
  const slot = slotOf(field);
  const shift = BigInt(slot.offset + offset);
  packet[slot.name] = ((packet[slot.name] ?? 0n) & ~(ones(bits) << shift)) | ((value & ones(bits)) << shift);
  if (field.name === 'vlan_pcp') packet['vlan_tci']! |= TAG_PRESENT;
}

/** OpenFlow's set_field: a VLAN id carries the bit that says there is a tag. */
export function setWhole(packet: Packet, field: Field, value: bigint): void {
  const slot = slotOf(field);
  writeBits(packet, { field, offset: 0, bits: slot.bits }, value);
}

export function pushTag(packet: Packet): void {
  packet['inner_tci'] = packet['vlan_tci'] ?? 0n;
  packet['vlan_tci'] = TAG_PRESENT;
}

export function popTag(packet: Packet): void {
  packet['vlan_tci'] = packet['inner_tci'] ?? 0n;
  packet['inner_tci'] = 0n;
}
