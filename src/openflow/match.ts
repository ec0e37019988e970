/** What packets a flow applies to: a record of field → value/mask, in `ovs-ofctl`'s spelling. */
import { FlowSyntaxError } from './flow-syntax-error.ts';
import { type Field, fullMask, knownField } from './field.ts';
import { type FieldMatch, formatFieldMatch, parseFieldMatch } from './field-value.ts';

const REGISTERS = [
  'reg0', 'reg1', 'reg2', 'reg3', 'reg4', 'reg5', 'reg6', 'reg7',
  'reg8', 'reg9', 'reg10', 'reg11', 'reg12', 'reg13', 'reg14', 'reg15',
] as const;

/** Every field of a match, in the order in which `dump-flows` prints them. */
export const MATCH_FIELDS = [
  'pkt_mark', 'conj_id', 'ct_state', 'ct_zone', 'ct_mark', 'ct_label',
  'ct_nw_src', 'ct_nw_dst', 'ct_ipv6_src', 'ct_ipv6_dst', 'ct_nw_proto', 'ct_tp_src', 'ct_tp_dst', 'dl_type', 'nw_proto', ...REGISTERS,
  'tun_id', 'tun_src', 'tun_dst', 'tun_ipv6_src', 'tun_ipv6_dst', 'metadata', 'in_port', 'vlan_tci', 'dl_src', 'dl_dst',
  'ipv6_src', 'ipv6_dst', 'ipv6_label', 'arp_spa', 'arp_tpa', 'nw_src', 'nw_dst', 'arp_op', 'arp_sha', 'arp_tha',
  'nw_tos', 'nw_ecn', 'nw_ttl', 'nw_frag', 'icmp_type', 'icmp_code', 'nd_target', 'nd_sll', 'nd_tll',
  'tp_src', 'tp_dst', 'tcp_flags',
] as const;

export type MatchField = (typeof MATCH_FIELDS)[number];

/**
 * Only bits of the mask are set in a value, and a full mask is left out, so that equal matches have equal records.
 * `dl_type` and `nw_proto` stand for the keywords (`tcp` = 0x800 and 6); `vlan_tci` holds dl_vlan and dl_vlan_pcp too.
 */
export type Match = { readonly [F in MatchField]?: FieldMatch } & {
  /** Hex of OXM entries that this library does not know: only in flows that somebody else wrote. */
  readonly unknown?: readonly string[];
};

export type WritableMatch = { -readonly [F in keyof Match]: Match[F] };

export const ETH = { IP: 0x800n, ARP: 0x806n, RARP: 0x8035n, IPV6: 0x86ddn } as const;
export const IPPROTO = { ICMP: 1n, TCP: 6n, UDP: 17n, ICMPV6: 58n, SCTP: 132n } as const;

const KEYWORDS: Readonly<Record<string, readonly [bigint, bigint?]>> = {
  ip: [ETH.IP], icmp: [ETH.IP, IPPROTO.ICMP], tcp: [ETH.IP, IPPROTO.TCP], udp: [ETH.IP, IPPROTO.UDP], sctp: [ETH.IP, IPPROTO.SCTP],
  ipv6: [ETH.IPV6], icmp6: [ETH.IPV6, IPPROTO.ICMPV6], tcp6: [ETH.IPV6, IPPROTO.TCP], udp6: [ETH.IPV6, IPPROTO.UDP], sctp6: [ETH.IPV6, IPPROTO.SCTP],
  ip6: [ETH.IPV6], arp: [ETH.ARP], rarp: [ETH.RARP],
};
const KEYWORD_OF = new Map(
  Object.entries(KEYWORDS).filter(([word]) => word !== 'ip6').map(([word, [type, proto]]) => [`${type}/${proto ?? ''}`, word]),
);

const VLAN_PRESENT = 0x1000n;

/** Parses `key=value` and keyword parts of a flow line. Throws `FlowSyntaxError` naming the part that is wrong. */
export function parseMatch(parts: readonly string[]): Match {
  const match: WritableMatch = {};
  const later: [string, string][] = [];
  for (const part of parts) {
    const keyword = KEYWORDS[part];
    if (keyword) {
      match.dl_type = { value: keyword[0] };
      if (keyword[1] !== undefined) match.nw_proto = { value: keyword[1] };
      continue;
    }
    const equals = part.indexOf('=');
    if (equals <= 0) throw new FlowSyntaxError(`"${part}" is neither a protocol nor field=value`);
    later.push([part.slice(0, equals), part.slice(equals + 1)]);
  }
  // The protocol comes first: it decides what nw_src or tp_src mean.
  for (const [name, value] of later) if (PROTOCOL_FIELDS.has(name)) setField(match, name, value);
  for (const [name, value] of later) if (!PROTOCOL_FIELDS.has(name)) setField(match, name, value);
  checkPrerequisites(match);
  return match;
}

const PROTOCOL_FIELDS = new Set(['dl_type', 'eth_type', 'nw_proto', 'ip_proto']);

function setField(match: WritableMatch, given: string, text: string): void {
  const isArp = match.dl_type?.value === ETH.ARP || match.dl_type?.value === ETH.RARP;
  const name = (isArp && ARP_NAMES[given]) || given;
  const vlan = vlanMatch(name, text);
  if (vlan) {
    const before = match.vlan_tci ?? { value: 0n, mask: 0n };
    addMatch(match, 'vlan_tci', { value: before.value | vlan.value, mask: (before.mask ?? 0xffffn) | (vlan.mask ?? 0xffffn) });
    return;
  }
  const isIcmp = match.nw_proto?.value === IPPROTO.ICMP || match.nw_proto?.value === IPPROTO.ICMPV6;
  const matchName = (isIcmp && ICMP_NAMES[name]) || MATCH_NAMES.get(name);
  if (matchName === undefined) throw new FlowSyntaxError(`no field is called "${given}"`);
  const parsed = parseFieldMatch(fieldOf(matchName, match), text);
  if (!parsed) throw new FlowSyntaxError(`"${text}" is no value of ${given}`);
  addMatch(match, matchName, parsed);
}

const ARP_NAMES: Readonly<Record<string, string>> = { nw_src: 'arp_spa', nw_dst: 'arp_tpa', nw_proto: 'arp_op', ip_src: 'arp_spa', ip_dst: 'arp_tpa' };
const ICMP_NAMES: Readonly<Record<string, MatchField>> = { tp_src: 'icmp_type', tp_dst: 'icmp_code' };

/** Names accepted in a line → the field of the match. */
const MATCH_NAMES = new Map<string, MatchField>([
  ...MATCH_FIELDS.map((name) => [name, name] as const),
  ['eth_src', 'dl_src'], ['eth_dst', 'dl_dst'], ['eth_type', 'dl_type'], ['ip_proto', 'nw_proto'], ['ip_src', 'nw_src'], ['ip_dst', 'nw_dst'],
  ['ip_frag', 'nw_frag'], ['ip_ecn', 'nw_ecn'], ['tunnel_id', 'tun_id'],
  ['tcp_src', 'tp_src'], ['tcp_dst', 'tp_dst'], ['udp_src', 'tp_src'], ['udp_dst', 'tp_dst'], ['sctp_src', 'tp_src'], ['sctp_dst', 'tp_dst'],
  ['icmpv6_type', 'icmp_type'], ['icmpv6_code', 'icmp_code'],
]);

/** Adds one field under the rules of `Match`; a mask of zero adds nothing. */
export function addMatch(match: WritableMatch, name: MatchField, { value, mask }: FieldMatch): void {
  if (mask === 0n) return;
  if (name === 'vlan_tci' && (mask === undefined || mask & VLAN_PRESENT) && value === 0n) {
    // "No tag" has no priority bits, and OpenFlow 1.4 does not hand back a mask on them.
    match.vlan_tci = { value, mask: 0x1fffn };
    return;
  }
  if (mask === undefined) match[name] = { value };
  else match[name] = mask === fullMask(fieldOf(name, match)) ? { value } : { value: value & mask, mask };
}

/** dl_vlan, vlan_vid and the priority as a match on the tag control information. */
function vlanMatch(name: string, text: string): FieldMatch | undefined {
  const number = (spec: string | undefined): bigint => {
    if (spec === undefined || !/^(\d+|0x[0-9a-f]+)$/i.test(spec)) throw new FlowSyntaxError(`"${text}" is no value of ${name}`);
    return BigInt(spec);
  };
  if (name === 'dl_vlan') {
    const vid = number(text);
    if (vid === 0xffffn) return { value: 0n, mask: 0x1fffn };
    if (vid > 0xfffn) throw new FlowSyntaxError(`"${text}" is no value of ${name}`);
    return { value: VLAN_PRESENT | vid, mask: 0x1fffn };
  }
  if (name === 'vlan_vid') {
    const [value, mask] = text.split('/');
    return { value: number(value) & 0x1fffn, mask: mask === undefined ? 0x1fffn : number(mask) & 0x1fffn };
  }
  if (name === 'dl_vlan_pcp' || name === 'vlan_pcp') return { value: VLAN_PRESENT | (number(text) << 13n), mask: 0xf000n };
  return undefined;
}

/** True when every packet of the match carries an 802.1Q tag. */
export function hasVlanTag(match: Match): boolean {
  const tci = match.vlan_tci;
  return tci !== undefined && (tci.value & VLAN_PRESENT) !== 0n;
}

/** The wire field that `name` stands for beside the other fields of `match`. */
export function fieldOf(name: MatchField, match: Match): Field {
  switch (name) {
    case 'in_port':
      return IN_PORT;
    case 'tp_src':
    case 'tp_dst':
      return TRANSPORT[name][String(match.nw_proto?.value)] ?? TRANSPORT[name]['6']!;
    case 'icmp_type':
      return match.dl_type?.value === ETH.IPV6 ? ICMPV6_TYPE : ICMP_TYPE;
    case 'icmp_code':
      return match.dl_type?.value === ETH.IPV6 ? ICMPV6_CODE : ICMP_CODE;
    default:
      return FIELDS.get(name)!;
  }
}

const FIELDS = new Map<string, Field>(MATCH_FIELDS.map((name) => [name, knownField(name)]));
const IN_PORT = knownField('in_port_oxm');
const TRANSPORT: Readonly<Record<'tp_src' | 'tp_dst', Readonly<Record<string, Field>>>> = {
  tp_src: { '6': knownField('tcp_src'), '17': knownField('udp_src'), '132': knownField('sctp_src') },
  tp_dst: { '6': knownField('tcp_dst'), '17': knownField('udp_dst'), '132': knownField('sctp_dst') },
};
const ICMP_TYPE = knownField('icmp_type');
const ICMP_CODE = knownField('icmp_code');
const ICMPV6_TYPE = knownField('icmpv6_type');
const ICMPV6_CODE = knownField('icmpv6_code');

/** ovs-ofctl drops a field whose protocol is not matched with a warning only: a filter would then let everything pass. */
function checkPrerequisites(match: Match): void {
  const type = match.dl_type?.value;
  const proto = match.nw_proto?.value;
  const isIp = type === ETH.IP || type === ETH.IPV6;
  const isIcmp6 = type === ETH.IPV6 && proto === IPPROTO.ICMPV6;
  const need = (names: readonly MatchField[], holds: boolean, what: string): void => {
    for (const name of names) if (match[name] && !holds) throw new FlowSyntaxError(`${name} needs ${what}`);
  };
  need(['nw_src', 'nw_dst'], type === ETH.IP, 'ip');
  need(['ipv6_src', 'ipv6_dst', 'ipv6_label'], type === ETH.IPV6, 'ipv6');
  need(['nw_proto', 'nw_tos', 'nw_ecn', 'nw_ttl', 'nw_frag'], isIp, 'ip or ipv6');
  need(['arp_op', 'arp_spa', 'arp_tpa', 'arp_sha', 'arp_tha'], type === ETH.ARP || type === ETH.RARP, 'arp');
  need(['tp_src', 'tp_dst'], isIp && TRANSPORT.tp_src[String(proto)] !== undefined, 'tcp, udp or sctp');
  need(['tcp_flags'], isIp && proto === IPPROTO.TCP, 'tcp');
  need(['icmp_type', 'icmp_code'], isIcmp6 || (type === ETH.IP && proto === IPPROTO.ICMP), 'icmp or icmp6');
  const icmpType = match.icmp_type?.value;
  need(['nd_target'], isIcmp6 && (icmpType === 135n || icmpType === 136n), 'icmp_type=135 or 136');
  need(['nd_sll'], isIcmp6 && icmpType === 135n, 'icmp_type=135');
  need(['nd_tll'], isIcmp6 && icmpType === 136n, 'icmp_type=136');
  // The connection's first packet is known of what belongs to one. Open vSwitch forgets ports without a protocol.
  const valid = impliesConnection(match.ct_state);
  need(['ct_nw_src', 'ct_nw_dst'], valid && type === ETH.IP, 'ip, and ct_state=-inv+trk');
  need(['ct_ipv6_src', 'ct_ipv6_dst'], valid && type === ETH.IPV6, 'ipv6, and ct_state=-inv+trk');
  need(['ct_nw_proto'], valid && isIp, 'ip or ipv6, and ct_state=-inv+trk');
  need(['ct_tp_src', 'ct_tp_dst'], valid && match.ct_nw_proto !== undefined, 'ct_nw_proto, and ct_state=-inv+trk');
}

/** Bits of ct_state that only packets of a connection have, new ones included; and `-inv+trk`, which says so too (lib/flow.h: is_ct_valid). */
const OF_CONNECTION = 0x0fn;
const INVALID = 0x10n;
const TRACKED = 0x20n;

function impliesConnection(state: FieldMatch | undefined): boolean {
  if (!state) return false;
  const mask = state.mask ?? OF_CONNECTION | INVALID | TRACKED;
  return (state.value & OF_CONNECTION) !== 0n || ((state.value & TRACKED) !== 0n && (mask & INVALID) !== 0n && (state.value & INVALID) === 0n);
}

/** The canonical text, without priority: fields in `dump-flows`' order, joined by commas; empty when all packets match. */
export function formatMatch(match: Match): string {
  const out: string[] = [];
  const keyword = KEYWORD_OF.get(`${match.dl_type?.value}/${match.nw_proto?.value ?? ''}`) ?? KEYWORD_OF.get(`${match.dl_type?.value}/`);
  const saysProto = keyword !== undefined && KEYWORDS[keyword]![1] !== undefined;
  for (const name of MATCH_FIELDS) {
    const entry = match[name];
    if (name === 'dl_type' && keyword !== undefined) out.push(keyword);
    if (entry) {
      if (name === 'vlan_tci') formatVlan(entry, out);
      else if (name !== 'dl_type' && name !== 'nw_proto') out.push(`${name}=${formatFieldMatch(fieldOf(name, match), entry)}`);
    }
    // Unnamed protocols are printed as numbers where dump-flows prints them.
    if (name === 'dl_dst' && match.dl_type && keyword === undefined) out.push(`dl_type=0x${match.dl_type.value.toString(16).padStart(4, '0')}`);
    if (name === 'nw_dst' && match.nw_proto && !saysProto) out.push(`nw_proto=${match.nw_proto.value}`);
  }
  for (const hex of match.unknown ?? []) out.push(`oxm(${hex})`);
  return out.join(',');
}

function formatVlan({ value, mask = 0xffffn }: FieldMatch, out: string[]): void {
  const vid = mask & 0xfffn;
  const pcp = mask & 0xe000n;
  if ((mask & value & VLAN_PRESENT) && (vid === 0n || vid === 0xfffn) && (pcp === 0n || pcp === 0xe000n) && mask !== VLAN_PRESENT) {
    if (vid) out.push(`dl_vlan=${value & 0xfffn}`);
    if (pcp) out.push(`dl_vlan_pcp=${value >> 13n}`);
    return;
  }
  const hex = (n: bigint): string => `0x${n.toString(16).padStart(4, '0')}`;
  out.push(mask === 0xffffn ? `vlan_tci=${hex(value)}` : `vlan_tci=${hex(value)}/${hex(mask)}`);
}
