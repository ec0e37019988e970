/** The filter of a port: port security, then the known connection, then the rules of its groups. */
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import { repairs } from './advice.ts';
import type { HostIndex } from './host-index.ts';
import { forgery, receivedUnasked, sentUnasked } from './identity.ts';
import { isIcmp, isQuestion, type Packet, serviceText, TCP } from './packet.ts';
import { misfits, ruleText } from './rule-match.ts';
import type { Path, Step } from './step.ts';
import { answers, drop, nameText, type Walk, zoneOf } from './walk.ts';

export type Direction = 'ingress' | 'egress';
const OTHER_WAY = { ingress: 'egress', egress: 'ingress' } as const;

/** The step that lets the packet pass the port's filter, or the path that ends there. */
export function filter(walk: Walk, index: HostIndex, port: PortItem, packet: Packet, direction: Direction): { pass: Step } | { end: Path } {
  const at = { host: index.host, object: walk.named('port', port.port_id) };
  const passed = (by: 'rule' | 'base' | 'open', text: string, rule: RuleItem | null = null): { pass: Step } => ({
    pass: { type: 'filter', ...at, ...(rule && { object: walk.named('security_group', rule.security_group_id) }), direction, port_id: port.port_id, by, rule_id: rule?.rule_id ?? null, remembered: by === 'rule' && port.stateful, packet, text },
  });
  if (!port.port_security_enabled) return passed('open', `${nameText(at.object)} has no port security: nothing is filtered`);
  if (direction === 'egress') {
    const forged = forgery(port, packet);
    if (forged !== undefined) return { end: drop(at.host, at.object, 'port-security', `port security of ${nameText(at.object)} drops it: ${forged}`, forgeryRepair(port, packet)) };
    if (sentUnasked(packet)) return passed('base', `${nameText(at.object)} may send ${serviceText(packet)} without a rule`);
  } else if (receivedUnasked(packet)) return passed('base', `${nameText(at.object)} gets ${serviceText(packet)} without a rule`);
  if (port.stateful) {
    const known = walk.connection?.zones.get(zoneOf(index.host, port.network_id))?.find((there) => answers(packet, there));
    if (known) return answerOf(walk, index, port, known, packet, direction);
    if (needsConnection(walk, packet)) return { end: drop(at.host, at.object, 'no-connection', `${nameText(at.object)} knows no connection that ${serviceText(packet)} from ${packet.source_ip} could be part of, and nothing begins with it: no rule is asked`, answerRepair(packet)) };
  }
  for (const rule of rulesOf(index, port)) {
    if (misfits(index, rule, packet, direction).length === 0) return passed('rule', `${direction} rule ${rule.rule_id} of ${nameText(walk.named('security_group', rule.security_group_id))} admits it: ${textOf(walk, rule)}`, rule);
  }
  return { end: drop(at.host, at.object, 'security-group', ...refusal(walk, index, port, packet, direction)) };
}

/** An answer passes by the rule that admits what `first` began: the ports of a network share what their host remembers, each port has rules of its own. */
function answerOf(walk: Walk, index: HostIndex, port: PortItem, first: Packet, packet: Packet, direction: Direction): { pass: Step } | { end: Path } {
  const object = walk.named('port', port.port_id);
  const there = OTHER_WAY[direction];
  for (const rule of rulesOf(index, port)) {
    if (misfits(index, rule, first, there).length > 0) continue;
    const text = `${nameText(object)} knows the connection: its answers pass by ${there} rule ${rule.rule_id} of ${nameText(walk.named('security_group', rule.security_group_id))}: ${textOf(walk, rule)}`;
    return { pass: { type: 'conntrack', host: index.host, object, direction, rule_id: rule.rule_id, text } };
  }
  return { end: drop(index.host, object, 'no-connection', `${serviceText(packet)} from ${packet.source_ip} answers a connection that no ${there} rule of ${nameText(object)} admits`) };
}

/** True for what begins no connection: the answer of TCP, and all of ICMP but a question. */
function needsConnection(walk: Walk, packet: Packet): boolean {
  if (packet.protocol === TCP) return walk.connection !== undefined;
  return isIcmp(packet.protocol) && packet.icmp_type !== null && !isQuestion(packet);
}

function answerRepair({ protocol }: Packet): string[] {
  return protocol === TCP ? ['the answer has to come back the way of its request: here it takes another, past a translation of addresses'] : [];
}

/** Why no rule admits the packet, and what would. */
function refusal(walk: Walk, index: HostIndex, port: PortItem, packet: Packet, direction: Direction): [text: string, repair: readonly string[]] {
  const groups = port.security_groups.map((id) => nameText(walk.named('security_group', id)));
  const what = `${serviceText(packet)} ${direction === 'ingress' ? `from ${packet.source_ip}` : `to ${packet.destination_ip}`}`;
  const answer = walk.connection && !port.stateful ? ' (an answer: its groups are stateless and know no connection)' : '';
  if (groups.length === 0) return [`${nameText(walk.named('port', port.port_id))} has no security group: nothing is admitted, so ${what} is dropped`, ['openstack port set --security-group GROUP ' + port.port_id]];
  const { nearest, lines } = repairs(walk, index, [...rulesOf(index, port)], port, packet, direction);
  return [`no ${direction} rule of ${groups.join(', ')} admits ${what}${answer}${nearest === undefined ? '' : `; the nearest is ${nearest}`}`, lines];
}

function* rulesOf(index: HostIndex, port: PortItem): Iterable<RuleItem> {
  for (const group of port.security_groups) yield* index.rules(group);
}

const textOf = (walk: Walk, rule: RuleItem): string => ruleText(rule, (kind, id) => nameText(walk.named(kind, id)));

function forgeryRepair(port: PortItem, packet: Packet): string[] {
  const mac = packet.source_mac === port.mac_address ? '' : `,mac-address=${packet.source_mac}`;
  return [`openstack port set --allowed-address ip-address=${packet.source_ip}${mac} ${port.port_id}`];
}
