/** Security group rules as flows: a rule is flows per port that has its group, a member is one flow (DESIGN law 5). */
import { maskedPorts } from '#net/port-range.ts';
import { remoteSet, type RuleItem } from '#hoststate/port.ts';
import { hex } from './base-flows.ts';
import type { HostView } from './host-view.ts';
import { INT } from './tables.ts';

/** New connections, and packets in the direction in which the connection was opened; replies need no rule. */
const JUDGED = 'ct_state=-rel-rpl-inv+trk';
/** Flows of conjunctions must share a priority with each other and with nothing else. */
const PRIORITY = { plain: 77, conjunction: 70 };
const TCP = 6;
const UDP = 17;
const SCTP = 132;
/** DCCP and UDP-Lite. */
const PORTS_UNSEEN: ReadonlySet<number> = new Set([33, 136]);

/** The flows of `rules`, those of all groups of a port, for that port. */
export function ruleFlows(rules: Iterable<RuleItem>, ofport: number): string[] {
  const lines: string[] = [];
  /** Match → conjunctions. Two groups may admit one service from different members: that is one flow, or the last would win. */
  const conjunctions = new Map<string, number[]>();
  for (const rule of rules) {
    const table = rule.direction === 'ingress' ? INT.RULES_INGRESS : INT.RULES_EGRESS;
    for (const service of serviceMatches(rule)) {
      const match = (priority: number): string => `table=${table},priority=${priority},${JUDGED},${service},reg5=${hex(ofport)}`;
      if (remoteSet(rule) !== null) {
        const key = match(PRIORITY.conjunction);
        conjunctions.set(key, [...(conjunctions.get(key) ?? []), rule.conj_id]);
        continue;
      }
      const remote = rule.remote_ip_prefix ? `,${remoteField(rule)}=${rule.remote_ip_prefix}` : '';
      lines.push(`${match(PRIORITY.plain)}${remote} actions=resubmit(,${accepted(rule)})`);
    }
  }
  for (const [match, ids] of conjunctions) lines.push(`${match} actions=${ids.sort((a, b) => a - b).map((id) => `conjunction(${id},2/2)`).join(',')}`);
  return lines;
}

/**
 * What a conjunction admits once both its halves hold; one flow for the rule, whatever ports and members there are.
 * Throws for a rule that the switch cannot hold: it is said once, and of the rule.
 */
export function conjunctionFlows(view: HostView, groupId: string, ruleId: string): string[] {
  const rule = view.get('rule', groupId, ruleId);
  if (!rule) return [];
  requireMatchable(rule);
  if (remoteSet(rule) === null) return [];
  const table = rule.direction === 'ingress' ? INT.RULES_INGRESS : INT.RULES_EGRESS;
  return [`table=${table},priority=${PRIORITY.conjunction},${JUDGED},conj_id=${rule.conj_id},${family(rule)} actions=resubmit(,${accepted(rule)})`];
}

/** An address of remote sets: one flow a direction, naming the conjunctions of all rules that refer to its sets. */
export function memberFlows(view: HostView, address: string): string[] {
  const ethertype = address.includes(':') ? 'IPv6' : 'IPv4';
  const lines: string[] = [];
  for (const direction of ['ingress', 'egress'] as const) {
    const rules = [...view.setsOfAddress(address)].sort().flatMap((set) => view.rulesOfSet(set)).filter((rule) => rule.direction === direction && rule.ethertype === ethertype);
    const first = rules[0];
    if (!first) continue;
    const table = direction === 'ingress' ? INT.RULES_INGRESS : INT.RULES_EGRESS;
    const clauses = rules.map((rule) => rule.conj_id).sort((a, b) => a - b).map((id) => `conjunction(${id},1/2)`);
    lines.push(`table=${table},priority=${PRIORITY.conjunction},${JUDGED},${family(first)},${remoteField(first)}=${address} actions=${clauses.join(',')}`);
  }
  return lines;
}

function accepted(rule: RuleItem): number {
  return rule.direction === 'ingress' ? INT.ACCEPTED_INGRESS : INT.ACCEPT_OR_INGRESS;
}

function family(rule: RuleItem): string {
  return rule.ethertype === 'IPv6' ? 'ipv6' : 'ip';
}

function remoteField(rule: RuleItem): string {
  const end = rule.direction === 'ingress' ? 'src' : 'dst';
  return rule.ethertype === 'IPv6' ? `ipv6_${end}` : `nw_${end}`;
}

/** Protocol, ports, ICMP type and code: one match, or several for a range of ports. */
function serviceMatches(rule: RuleItem): string[] {
  const six = rule.ethertype === 'IPv6' ? '6' : '';
  switch (rule.protocol) {
    case null: return [family(rule)];
    case TCP: return portMatches(`tcp${six}`, rule);
    case UDP: return portMatches(`udp${six}`, rule);
    case SCTP: return portMatches(`sctp${six}`, rule);
    case 1:
    case 58: {
      const name = rule.protocol === 58 ? 'icmp6' : 'icmp';
      if ((rule.protocol === 58) !== (rule.ethertype === 'IPv6')) return [`${family(rule)},nw_proto=${rule.protocol}`];
      if (rule.port_range_min === null) return [name];
      return [`${name},icmp_type=${rule.port_range_min}${rule.port_range_max === null ? '' : `,icmp_code=${rule.port_range_max}`}`];
    }
    default: return isMatchable(rule) ? [`${family(rule)},nw_proto=${rule.protocol}`] : [];
  }
}

/**
 * Open vSwitch reads no ports of DCCP and UDP-Lite. Such a rule admits nothing: its protocol without its ports, as
 * Neutron's agent has it, would be more than was asked.
 */
function isMatchable({ protocol, port_range_min: first, port_range_max: last }: RuleItem): boolean {
  return protocol === null || !PORTS_UNSEEN.has(protocol) || first === null || (first <= 1 && last === 65535);
}

function requireMatchable(rule: RuleItem): void {
  if (!isMatchable(rule)) throw new Error(`Open vSwitch matches no ports of protocol ${rule.protocol}: the rule admits nothing`);
}

function portMatches(protocol: string, rule: RuleItem): string[] {
  const { port_range_min: first, port_range_max: last } = rule;
  if (first === null || last === null || (first <= 1 && last === 65535)) return [protocol];
  return maskedPorts(first, last).map(({ value, mask }) => `${protocol},tp_dst=${mask === 0xffff ? value : `${hex(value)}/${hex(mask)}`}`);
}
