/** What Open vSwitch refuses of a flow, and with which error (lib/ofp-actions.c: ofpact_check). */
import type { Action, LearnAction } from '#openflow/action.ts';
import { encodeFlowMod, type FlowMod } from '#openflow/codec/flow-codec.ts';
import type { Field } from '#openflow/field.ts';
import { ETH, hasVlanTag, IPPROTO, type Match, type WritableMatch } from '#openflow/match.ts';
import { PORT } from '#openflow/port-number.ts';
import { CT } from './fake-conntrack.ts';
import { TAG_PRESENT } from './fake-packet.ts';

/** FLOW_MAX_VLAN_HEADERS. */
const MAX_TAGS = 2;
const INCONSISTENT = 'OFPET_BAD_ACTION MATCH_INCONSISTENT';

/** The error, or undefined when the switch takes it. */
export function refusalOf(mod: FlowMod): string | undefined {
  if (mod.command !== 'add' && mod.command !== 'modify_strict') return undefined;
  const { flow } = mod;
  try {
    if (encodeFlowMod(mod).length > 0xffff - 40) return 'longer than an OpenFlow message';
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
  return refusalOfActions(flow.actions, flow.match, flow.table);
}

function refusalOfActions(actions: readonly Action[], match: Match, table: number): string | undefined {
  let tags = hasVlanTag(match) ? 1 : 0;
  const conjunctions = actions.filter(({ type }) => type === 'conjunction').length;
  if (conjunctions > 0 && conjunctions < actions.length) return 'experimenter error 15 of 0x2320';
  for (const action of actions) {
    switch (action.type) {
      case 'strip_vlan':
        if (tags === 0) return INCONSISTENT;
        tags--;
        break;
      case 'push_vlan':
        if (++tags > MAX_TAGS) return 'OFPET_BAD_ACTION BAD_TAG';
        break;
      case 'dec_ttl':
        if (!isIp(match)) return INCONSISTENT;
        break;
      case 'ct': {
        if (!isIp(match) || (action.commit && isInvalid(match))) return INCONSISTENT;
        const inside = refusalOfActions(action.exec ?? [], match, table);
        if (inside) return inside;
        if (action.exec?.some((each) => !isMarkOrLabel(each))) return 'OFPET_BAD_ACTION BAD_ARGUMENT';
        break;
      }
      case 'set_field':
        if (action.field.name.startsWith('vlan_vid') && tags === 0) return INCONSISTENT;
        if (!allowed(action.field, match)) return INCONSISTENT;
        break;
      case 'load':
        if (!allowed(action.dst.field, match)) return INCONSISTENT;
        // Open vSwitch takes what is loaded for the whole of it, and looks for the bit that says there is a tag.
        if (action.dst.field.name === 'vlan_tci') tags = (action.value << BigInt(action.dst.offset)) & TAG_PRESENT ? Math.max(tags, 1) : 0;
        break;
      case 'move':
        if (!allowed(action.src.field, match) || !allowed(action.dst.field, match)) return INCONSISTENT;
        break;
      case 'output':
        if ((action.port >= 0xff00 && action.port < PORT.IN_PORT) || action.port === PORT.ANY) return 'OFPET_BAD_ACTION BAD_OUT_PORT';
        break;
      case 'learn': {
        const learned = matchOf(action);
        for (const spec of action.specs) {
          if ('src' in spec && 'subfield' in spec.src && !allowed(spec.src.subfield.field, match)) return INCONSISTENT;
          if (spec.type !== 'output' && !allowed(spec.dst.field, learned)) return INCONSISTENT;
        }
        break;
      }
      case 'goto_table':
        if (action.table <= table) return 'OFPET_BAD_INSTRUCTION BAD_TABLE_ID';
        break;
      case 'group':
        return 'OFPET_BAD_ACTION BAD_OUT_GROUP';
      default:
    }
  }
  return undefined;
}

/** What a learned flow matches as far as it is known before a packet comes. */
function matchOf(action: LearnAction): Match {
  const match: WritableMatch = {};
  for (const spec of action.specs) {
    if (spec.type === 'match' && 'value' in spec.src) match[spec.dst.field.match as Exclude<keyof Match, 'unknown'>] = { value: spec.src.value };
  }
  return match;
}

function isMarkOrLabel(action: Action): boolean {
  const field = action.type === 'load' || action.type === 'move' ? action.dst.field : action.type === 'set_field' ? action.field : undefined;
  return field?.name === 'ct_mark' || field?.name === 'ct_label';
}

/** `+inv`: what is no connection cannot be committed. */
function isInvalid({ ct_state }: Match): boolean {
  return ct_state !== undefined && (ct_state.value & CT.INV) !== 0n;
}

function isIp(match: Match): boolean {
  return match.dl_type?.value === ETH.IP || match.dl_type?.value === ETH.IPV6;
}

/** True when the match admits only packets that have the field. */
function allowed(field: Field, match: Match): boolean {
  const type = match.dl_type?.value;
  const proto = isIp(match) ? match.nw_proto?.value : undefined;
  const icmpType = match.icmp_type?.value;
  const { name } = field;
  if (/^(ip_(src|dst))$/.test(name)) return type === ETH.IP;
  if (/^ipv6_/.test(name)) return type === ETH.IPV6;
  if (/^(nw_|ip_)/.test(name)) return isIp(match);
  if (/^arp_/.test(name)) return type === ETH.ARP || type === ETH.RARP;
  if (/^tcp_/.test(name)) return proto === IPPROTO.TCP;
  if (/^udp_/.test(name)) return proto === IPPROTO.UDP;
  if (/^sctp_/.test(name)) return proto === IPPROTO.SCTP;
  if (/^icmp_/.test(name)) return type === ETH.IP && proto === IPPROTO.ICMP;
  if (/^icmpv6_/.test(name)) return type === ETH.IPV6 && proto === IPPROTO.ICMPV6;
  if (name === 'nd_target') return type === ETH.IPV6 && proto === IPPROTO.ICMPV6 && (icmpType === 135n || icmpType === 136n);
  if (/^nd_/.test(name)) return type === ETH.IPV6 && proto === IPPROTO.ICMPV6 && icmpType === (name === 'nd_sll' ? 135n : 136n);
  return true;
}
