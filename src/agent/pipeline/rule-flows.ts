/**
 * Security group rules as flows: a rule is flows per port that has its group, a member is one flow per table (DESIGN
 * law 5). Nothing is remembered of a verdict: each packet is judged by the rules of now, an answer as the question that
 * its connection began with. So a connection ends when no rule admits it any more, and goes on when one does again.
 */
import { maskedPorts } from '#net/port-range.ts';
import { remoteSet, type RuleItem } from '#hoststate/port.ts';
import { hex } from './base-flows.ts';
import type { HostView } from './host-view.ts';
import { logsAccepted, noteRule } from './log-flows.ts';
import { INT } from './tables.ts';

/** New connections, and packets in the direction in which the connection was opened. */
const QUESTION = 'ct_state=-rel-rpl-inv+trk';
const ANSWER = 'ct_state=+est-rel+rpl+trk';
/** Flows of conjunctions must share a priority with each other and with nothing else. */
const PRIORITY = { plain: 77, conjunction: 70 };
const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
const SCTP = 132;
/** Hop-by-hop options, routing, authentication and destination options: Open vSwitch looks for the protocol behind them. 44 is not one of them: it is what later fragments have. */
const IPV6_EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 51, 60]);
/** DCCP and UDP-Lite. */
const PORTS_UNSEEN: ReadonlySet<number> = new Set([33, 136]);

/** A way through one of the two tables of rules, on which the rule decides. */
interface Way {
  readonly table: number;
  /** What of ct_state it is for; nothing where packets are not tracked. */
  readonly state: string;
  readonly answer: boolean;
}

/** The flows of `rules`, those of all groups of a port, for that port. A stateless port's packets are judged one by one, answers too. `logged`: somebody asks which rule admits. */
export function ruleFlows(rules: Iterable<RuleItem>, ofport: number, stateful: boolean, logged: boolean): string[] {
  const lines: string[] = [];
  /** Match → conjunctions. Two groups may admit one service from different members: that is one flow, or the last would win. */
  const conjunctions = new Map<string, number[]>();
  for (const rule of rules) {
    for (const way of waysOf(rule, stateful)) {
      for (const service of serviceMatches(rule, way)) {
        const match = (priority: number): string => `table=${way.table},priority=${priority},${way.state}${service},reg5=${hex(ofport)}`;
        if (remoteSet(rule) !== null) {
          const key = match(PRIORITY.conjunction);
          conjunctions.set(key, [...(conjunctions.get(key) ?? []), rule.conj_id]);
          continue;
        }
        const remote = rule.remote_ip_prefix ? `,${remoteField(rule.ethertype, way.table)}=${rule.remote_ip_prefix}` : '';
        lines.push(`${match(PRIORITY.plain)}${remote} actions=${noteRule(rule, logged && !way.answer)}resubmit(,${ACCEPTED[way.table]})`);
      }
    }
  }
  for (const [match, ids] of conjunctions) lines.push(`${match} actions=${ids.sort((a, b) => a - b).map((id) => `conjunction(${id},2/2)`).join(',')}`);
  return lines;
}

/**
 * What a conjunction admits once both its halves hold, in both directions of a connection; whatever ports and members
 * there are. Throws for a rule that the switch cannot hold: it is said once, and of the rule.
 */
export function conjunctionFlows(view: HostView, groupId: string, ruleId: string): string[] {
  const rule = view.get('rule', groupId, ruleId);
  if (!rule) return [];
  requireMatchable(rule);
  if (remoteSet(rule) === null) return [];
  const noted = groupIsLogged(view, groupId) ? wayThere(rule) : undefined;
  return TABLES.map((table) => `table=${table},priority=${PRIORITY.conjunction},conj_id=${rule.conj_id} actions=${noteRule(rule, table === noted)}resubmit(,${ACCEPTED[table]})`);
}

/** An element of remote sets: one flow per table, naming the conjunctions of all rules that refer to its sets. */
export function memberFlows(view: HostView, address: string): string[] {
  const ethertype = address.includes(':') ? 'IPv6' : 'IPv4';
  const rules = [...view.setsOfAddress(address)].sort().flatMap((set) => view.rulesOfSet(set)).filter((rule) => rule.ethertype === ethertype);
  if (rules.length === 0) return [];
  const clauses = rules.map((rule) => rule.conj_id).sort((a, b) => a - b).map((id) => `conjunction(${id},1/2)`).join(',');
  return TABLES.map((table) => `table=${table},priority=${PRIORITY.conjunction},${FAMILY[ethertype]},${remoteField(ethertype, table)}=${address} actions=${clauses}`);
}

/** The table in which the rule admits; answers come back through the other. */
const wayThere = (rule: RuleItem): number => (rule.direction === 'ingress' ? INT.RULES_INGRESS : INT.RULES_EGRESS);

/** Whether accepted packets of a port here that has the group are logged: the flow is all its ports'. */
function groupIsLogged(view: HostView, groupId: string): boolean {
  for (const port of view.portsOfGroup(groupId)) if (view.logsOfPort(port.port_id).some(logsAccepted)) return true;
  return false;
}

const TABLES = [INT.RULES_EGRESS, INT.RULES_INGRESS];
const ACCEPTED: Readonly<Record<number, number>> = { [INT.RULES_EGRESS]: INT.ACCEPT_OR_INGRESS, [INT.RULES_INGRESS]: INT.ACCEPTED_INGRESS };
const FAMILY = { IPv4: 'ip', IPv6: 'ipv6' } as const;

/** Where packets go that the rule admits, and where the answers to them come back. */
function waysOf(rule: RuleItem, stateful: boolean): Way[] {
  const [there, back] = rule.direction === 'ingress' ? [INT.RULES_INGRESS, INT.RULES_EGRESS] : [INT.RULES_EGRESS, INT.RULES_INGRESS];
  if (!stateful) return [{ table: there, state: '', answer: false }];
  return [{ table: there, state: `${QUESTION},`, answer: false }, { table: back, state: `${ANSWER},`, answer: true }];
}

/** The end that is not the port's: on the way in the source, on the way out the destination. */
function remoteField(ethertype: 'IPv4' | 'IPv6', table: number): string {
  const end = table === INT.RULES_INGRESS ? 'src' : 'dst';
  return ethertype === 'IPv6' ? `ipv6_${end}` : `nw_${end}`;
}

/** Protocol, ports, ICMP type and code: one match, or several for a range of ports. */
function serviceMatches(rule: RuleItem, way: Way): string[] {
  const six = rule.ethertype === 'IPv6' ? '6' : '';
  switch (rule.protocol) {
    case null: return [FAMILY[rule.ethertype]];
    case TCP: return portMatches(`tcp${six}`, rule, way);
    case UDP: return portMatches(`udp${six}`, rule, way);
    case SCTP: return portMatches(`sctp${six}`, rule, way);
    case ICMP:
    case ICMPV6:
      if ((rule.protocol === ICMPV6) === (rule.ethertype === 'IPv6')) return icmpMatches(rule.protocol === ICMPV6 ? 'icmp6' : 'icmp', rule, way);
      return [`${FAMILY[rule.ethertype]},nw_proto=${rule.protocol}`];
    default: return isMatchable(rule) ? [`${FAMILY[rule.ethertype]},nw_proto=${rule.protocol}`] : [];
  }
}

/**
 * Open vSwitch reads no ports of DCCP and UDP-Lite, and passes over extension headers of IPv6. Such a rule admits nothing: its protocol without its ports, as
 * Neutron's agent has it, would be more than was asked.
 */
function isMatchable({ ethertype, protocol, port_range_min: first, port_range_max: last }: RuleItem): boolean {
  if (ethertype === 'IPv6' && IPV6_EXTENSIONS.has(protocol ?? -1)) return false;
  return protocol === null || !PORTS_UNSEEN.has(protocol) || first === null || (first <= 1 && last === 65535);
}

function requireMatchable(rule: RuleItem): void {
  if (isMatchable(rule)) return;
  const what = PORTS_UNSEEN.has(rule.protocol!) ? 'ports of protocol' : 'IPv6 extension header';
  throw new Error(`Open vSwitch matches no ${what} ${rule.protocol}: the rule admits nothing`);
}

function portMatches(protocol: string, rule: RuleItem, way: Way): string[] {
  const { port_range_min: first, port_range_max: last } = rule;
  if (first === null || last === null || (first <= 1 && last === 65535)) return [protocol];
  return maskedPorts(first, last).map(({ value, mask }) => `${protocol},${way.answer ? 'tp_src' : 'tp_dst'}=${mask === 0xffff ? value : `${hex(value)}/${hex(mask)}`}`);
}

/** ICMP that answers: echo, timestamp, information. Another type opens no connection. */
const ANSWERS: Readonly<Record<string, Readonly<Record<number, number>>>> = { icmp: { 8: 0, 13: 14, 15: 16 }, icmp6: { 128: 129 } };

function icmpMatches(protocol: 'icmp' | 'icmp6', rule: RuleItem, way: Way): string[] {
  const { port_range_min: type, port_range_max: code } = rule;
  if (type === null) return [protocol];
  if (!way.answer) return [`${protocol},icmp_type=${type}${code === null ? '' : `,icmp_code=${code}`}${whole(type)}`];
  const answer = ANSWERS[protocol]![type];
  return answer === undefined ? [] : [`${protocol},icmp_type=${answer}${whole(answer)}`];
}

/** Open vSwitch shows no ports and no type of fragments, not of the first one either (ovs-ofctl(8), set-frags): type 0 must not be all of them. */
const whole = (type: number): string => (type === 0 ? ',nw_frag=no' : '');
