/** The filter of a port: port security, then the known connection, then the rules of its groups. */
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import { repairs } from './advice.ts';
import type { HostIndex } from './host-index.ts';
import { forgery, receivedUnasked, sentUnasked } from './identity.ts';
import { type Packet, serviceText } from './packet.ts';
import { misfits, ruleText } from './rule-match.ts';
import type { Path, Step } from './step.ts';
import { answers, drop, nameText, type Walk } from './walk.ts';

export type Direction = 'ingress' | 'egress';

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
  if (walk.connection?.ports.get(port.port_id)?.some((there) => answers(packet, there))) return { pass: { type: 'conntrack', ...at, direction, text: `${nameText(at.object)} knows the connection: its answers pass` } };
  for (const rule of rulesOf(index, port)) {
    if (misfits(index, rule, packet, direction).length === 0) return passed('rule', `${direction} rule ${rule.rule_id} of ${nameText(walk.named('security_group', rule.security_group_id))} admits it: ${textOf(walk, rule)}`, rule);
  }
  return { end: drop(at.host, at.object, 'security-group', ...refusal(walk, index, port, packet, direction)) };
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
