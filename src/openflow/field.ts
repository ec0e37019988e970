/** The header fields and metadata that flows match and set, with their names and wire numbers (ovs-fields(7)). */

/** How values of a field are written: what `ovs-ofctl dump-flows` prints. */
export type ValueKind = 'decimal' | 'hex' | 'mac' | 'ip' | 'ipv6' | 'port' | 'ct_state' | 'frag' | 'tcp_flags';

export interface Field {
  /** Open vSwitch's own name, as `set_field:…->name` prints it. */
  readonly name: string;
  /** Its name in a match, as `dump-flows` prints it: `tcp_dst`, `udp_dst` and `sctp_dst` are all `tp_dst`. */
  readonly match: string;
  readonly kind: ValueKind;
  readonly bytes: number;
  readonly bits: number;
  /** Name and header as `move`, `load`, `learn` and `output` use them: the NXM ones where they exist. */
  readonly subfieldName: string;
  readonly subfieldHeader: number;
  /** Header as a match and `set_field` use it in OpenFlow 1.4: the OXM one where it exists. */
  readonly oxmHeader: number;
}

/** Bits `offset`..`offset + bits - 1` of a field, counted from the least significant. */
export interface Subfield {
  readonly field: Field;
  readonly offset: number;
  readonly bits: number;
}

const CLASS: Readonly<Record<string, number>> = { NXM_OF: 0, NXM_NX: 1, OXM_OF: 0x8000, OXM_OF_PKT: 0x8001 };

interface WireName {
  readonly name: string;
  readonly header: number;
}

/** `NXM_NX_REG0:0` → name and 32-bit header without mask. */
function wireName(text: string, bytes: number): WireName {
  const [name, number] = text.split(':') as [string, string];
  const prefix = name.startsWith('OXM_OF_PKT') ? 'OXM_OF_PKT' : name.slice(0, 6);
  return { name, header: ((CLASS[prefix]! << 16) | (Number(number) << 9) | bytes) >>> 0 };
}

const byName = new Map<string, Field>();
const byHeader = new Map<number, Field>();

/** `names` is the field's name, then its synonyms; the last one with `=` names it in a match. */
function field(names: string, size: string, kind: ValueKind, ...wire: string[]): void {
  const all = names.split(' ');
  const match = all.find((name) => name.startsWith('='))?.slice(1);
  const plain = all.filter((name) => !name.startsWith('='));
  const [bytesText, bitsText] = size.split('.');
  const bytes = Number(bytesText);
  const wires = wire.map((text) => wireName(text, bytes));
  const nxm = wires.find((w) => w.name.startsWith('NXM')) ?? wires[0]!;
  const oxm = wires.find((w) => w.name.startsWith('OXM')) ?? wires[0]!;
  const made: Field = {
    name: plain[0]!,
    match: match ?? plain[0]!,
    kind,
    bytes,
    bits: bitsText === undefined ? bytes * 8 : Number(bitsText),
    subfieldName: nxm.name,
    subfieldHeader: nxm.header,
    oxmHeader: oxm.header,
  };
  for (const name of [...plain, ...wires.map((w) => w.name)]) byName.set(name.toLowerCase(), made);
  for (const { header } of wires) byHeader.set(header, made);
}

field('conj_id', '4', 'decimal', 'NXM_NX_CONJ_ID:37');
field('tun_id tunnel_id', '8', 'hex', 'NXM_NX_TUN_ID:16', 'OXM_OF_TUNNEL_ID:38');
field('tun_src', '4', 'ip', 'NXM_NX_TUN_IPV4_SRC:31');
field('tun_dst', '4', 'ip', 'NXM_NX_TUN_IPV4_DST:32');
field('tun_ipv6_src', '16', 'ipv6', 'NXM_NX_TUN_IPV6_SRC:109');
field('tun_ipv6_dst', '16', 'ipv6', 'NXM_NX_TUN_IPV6_DST:110');
field('metadata', '8', 'hex', 'OXM_OF_METADATA:2');
field('in_port', '2', 'port', 'NXM_OF_IN_PORT:0');
field('in_port_oxm =in_port', '4', 'port', 'OXM_OF_IN_PORT:0');
field('pkt_mark', '4', 'hex', 'NXM_NX_PKT_MARK:33');
field('ct_state', '4', 'ct_state', 'NXM_NX_CT_STATE:105');
field('ct_zone', '2', 'decimal', 'NXM_NX_CT_ZONE:106');
field('ct_mark', '4', 'hex', 'NXM_NX_CT_MARK:107');
field('ct_label', '16', 'hex', 'NXM_NX_CT_LABEL:108');
field('ct_nw_src', '4', 'ip', 'NXM_NX_CT_NW_SRC:120');
field('ct_nw_dst', '4', 'ip', 'NXM_NX_CT_NW_DST:121');
field('ct_ipv6_src', '16', 'ipv6', 'NXM_NX_CT_IPV6_SRC:122');
field('ct_ipv6_dst', '16', 'ipv6', 'NXM_NX_CT_IPV6_DST:123');
field('ct_nw_proto', '1', 'decimal', 'NXM_NX_CT_NW_PROTO:119');
field('ct_tp_src', '2', 'decimal', 'NXM_NX_CT_TP_SRC:124');
field('ct_tp_dst', '2', 'decimal', 'NXM_NX_CT_TP_DST:125');
for (let i = 0; i < 16; i++) field(`reg${i}`, '4', 'hex', `NXM_NX_REG${i}:${i}`);
for (let i = 0; i < 8; i++) field(`xreg${i}`, '8', 'hex', `OXM_OF_PKT_REG${i}:${i}`);
for (let i = 0; i < 4; i++) field(`xxreg${i}`, '16', 'hex', `NXM_NX_XXREG${i}:${111 + i}`);
field('eth_src dl_src =dl_src', '6', 'mac', 'NXM_OF_ETH_SRC:2', 'OXM_OF_ETH_SRC:4');
field('eth_dst dl_dst =dl_dst', '6', 'mac', 'NXM_OF_ETH_DST:1', 'OXM_OF_ETH_DST:3');
field('eth_type dl_type =dl_type', '2', 'hex', 'NXM_OF_ETH_TYPE:3', 'OXM_OF_ETH_TYPE:5');
field('vlan_tci', '2', 'hex', 'NXM_OF_VLAN_TCI:4');
field('vlan_vid', '2.12', 'decimal', 'OXM_OF_VLAN_VID:6');
field('vlan_pcp', '1.3', 'decimal', 'OXM_OF_VLAN_PCP:7');
field('ip_src nw_src =nw_src', '4', 'ip', 'NXM_OF_IP_SRC:7', 'OXM_OF_IPV4_SRC:11');
field('ip_dst nw_dst =nw_dst', '4', 'ip', 'NXM_OF_IP_DST:8', 'OXM_OF_IPV4_DST:12');
field('ipv6_src', '16', 'ipv6', 'NXM_NX_IPV6_SRC:19', 'OXM_OF_IPV6_SRC:26');
field('ipv6_dst', '16', 'ipv6', 'NXM_NX_IPV6_DST:20', 'OXM_OF_IPV6_DST:27');
field('ipv6_label', '4.20', 'hex', 'NXM_NX_IPV6_LABEL:27', 'OXM_OF_IPV6_FLABEL:28');
field('nw_proto ip_proto', '1', 'decimal', 'NXM_OF_IP_PROTO:6', 'OXM_OF_IP_PROTO:10');
field('nw_tos', '1', 'decimal', 'NXM_OF_IP_TOS:5');
field('ip_dscp', '1.6', 'decimal', 'OXM_OF_IP_DSCP:8');
field('nw_ecn ip_ecn', '1.2', 'decimal', 'NXM_NX_IP_ECN:28', 'OXM_OF_IP_ECN:9');
field('nw_ttl', '1', 'decimal', 'NXM_NX_IP_TTL:29');
field('ip_frag nw_frag =nw_frag', '1.2', 'frag', 'NXM_NX_IP_FRAG:26');
field('arp_op', '2', 'decimal', 'NXM_OF_ARP_OP:15', 'OXM_OF_ARP_OP:21');
field('arp_spa', '4', 'ip', 'NXM_OF_ARP_SPA:16', 'OXM_OF_ARP_SPA:22');
field('arp_tpa', '4', 'ip', 'NXM_OF_ARP_TPA:17', 'OXM_OF_ARP_TPA:23');
field('arp_sha', '6', 'mac', 'NXM_NX_ARP_SHA:17', 'OXM_OF_ARP_SHA:24');
field('arp_tha', '6', 'mac', 'NXM_NX_ARP_THA:18', 'OXM_OF_ARP_THA:25');
field('tcp_src tp_src =tp_src', '2', 'decimal', 'NXM_OF_TCP_SRC:9', 'OXM_OF_TCP_SRC:13');
field('tcp_dst tp_dst =tp_dst', '2', 'decimal', 'NXM_OF_TCP_DST:10', 'OXM_OF_TCP_DST:14');
field('tcp_flags', '2.12', 'tcp_flags', 'NXM_NX_TCP_FLAGS:34');
field('udp_src =tp_src', '2', 'decimal', 'NXM_OF_UDP_SRC:11', 'OXM_OF_UDP_SRC:15');
field('udp_dst =tp_dst', '2', 'decimal', 'NXM_OF_UDP_DST:12', 'OXM_OF_UDP_DST:16');
field('sctp_src =tp_src', '2', 'decimal', 'OXM_OF_SCTP_SRC:17');
field('sctp_dst =tp_dst', '2', 'decimal', 'OXM_OF_SCTP_DST:18');
field('icmp_type', '1', 'decimal', 'NXM_OF_ICMP_TYPE:13', 'OXM_OF_ICMPV4_TYPE:19');
field('icmp_code', '1', 'decimal', 'NXM_OF_ICMP_CODE:14', 'OXM_OF_ICMPV4_CODE:20');
field('icmpv6_type =icmp_type', '1', 'decimal', 'NXM_NX_ICMPV6_TYPE:21', 'OXM_OF_ICMPV6_TYPE:29');
field('icmpv6_code =icmp_code', '1', 'decimal', 'NXM_NX_ICMPV6_CODE:22', 'OXM_OF_ICMPV6_CODE:30');
field('nd_target', '16', 'ipv6', 'NXM_NX_ND_TARGET:23', 'OXM_OF_IPV6_ND_TARGET:31');
field('nd_sll', '6', 'mac', 'NXM_NX_ND_SLL:24', 'OXM_OF_IPV6_ND_SLL:32');
field('nd_tll', '6', 'mac', 'NXM_NX_ND_TLL:25', 'OXM_OF_IPV6_ND_TLL:33');

/** The field called `name`: Open vSwitch's name, a synonym, or an NXM or OXM name, in any case. */
export function findField(name: string): Field | undefined {
  return byName.get(name) ?? byName.get(name.toLowerCase());
}

/** Like `findField`, for names that the program itself writes. */
export function knownField(name: string): Field {
  const found = findField(name);
  if (!found) throw new Error(`no field is called ${name}`);
  return found;
}

/** The field of a 32-bit NXM/OXM header without mask bit (the length being that of the value). */
export function fieldOfHeader(header: number): Field | undefined {
  return byHeader.get(header >>> 0);
}

/** All ones, as wide as the field on the wire. */
export function fullMask(of: Field): bigint {
  return (1n << BigInt(of.bytes * 8)) - 1n;
}

/** Parses `NAME[]`, `NAME[5]`, `NAME[0..11]` or a bare `NAME`; `undefined` when it is none. */
export function parseSubfield(text: string): Subfield | undefined {
  const parts = /^([A-Za-z]\w*)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?$/.exec(text);
  const found = parts && findField(parts[1]!);
  if (!found) return undefined;
  if (parts[2] === undefined) return { field: found, offset: 0, bits: found.bits };
  const first = Number(parts[2]);
  const last = parts[3] === undefined ? first : Number(parts[3]);
  if (last < first || last >= found.bits) return undefined;
  return { field: found, offset: first, bits: last - first + 1 };
}

/** `NXM_NX_REG5[]`, `NXM_OF_VLAN_TCI[0..11]`, `NXM_NX_REG0[3]`. */
export function formatSubfield(sub: Subfield): string {
  if (sub.offset === 0 && sub.bits === sub.field.bits) return `${sub.field.subfieldName}[]`;
  if (sub.bits === 1) return `${sub.field.subfieldName}[${sub.offset}]`;
  return `${sub.field.subfieldName}[${sub.offset}..${sub.offset + sub.bits - 1}]`;
}
