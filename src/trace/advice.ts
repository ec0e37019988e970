/** What would have to change so that a port's groups admit a packet: the rule that comes nearest, and the rule that is missing. */
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import type { HostIndex } from './host-index.ts';
import { isIcmp, type Packet, protocolName, versionOf } from './packet.ts';
import { type Misfit, misfits, ruleText } from './rule-match.ts';
import { nameText, type Walk } from './walk.ts';

export interface Advice {
  /** Of the rules of this direction the one with the fewest misfits; undefined where there is none of this direction and family. */
  readonly nearest: string | undefined;
  /** Commands. */
  readonly lines: readonly string[];
}

/** How far a misfit takes a rule from the packet: a rule for another port is nearer than one for another protocol. */
const DISTANCE: Readonly<Record<Misfit, number>> = { port: 1, remote: 2, protocol: 4, ethertype: 100, direction: 100 };
const SAYS: Readonly<Record<Misfit, string>> = { port: 'the port differs', remote: 'the other end differs', protocol: 'the protocol differs', ethertype: '', direction: '' };

export function repairs(walk: Walk, index: HostIndex, rules: readonly RuleItem[], port: PortItem, packet: Packet, direction: 'ingress' | 'egress'): Advice {
  const ranked = rules
    .map((rule) => ({ rule, lacks: misfits(index, rule, packet, direction) }))
    .map((one) => ({ ...one, distance: one.lacks.reduce((sum, misfit) => sum + DISTANCE[misfit], 0) }))
    .filter(({ distance }) => distance < DISTANCE.ethertype)
    .sort((a, b) => a.distance - b.distance || (a.rule.rule_id < b.rule.rule_id ? -1 : 1));
  const first = ranked[0];
  const text = first && ruleText(first.rule, (kind, id) => nameText(walk.named(kind, id)));
  return {
    nearest: first && `${text} (rule ${first.rule.rule_id}): ${first.lacks.map((misfit) => misfitText(misfit, first.rule, packet)).join(', ')}`,
    lines: [missingRule(first?.rule.security_group_id ?? port.security_groups[0]!, packet, direction)],
  };
}

function misfitText(misfit: Misfit, rule: RuleItem, packet: Packet): string {
  return misfit === 'port' && isIcmp(rule.protocol ?? 0) && isIcmp(packet.protocol) ? 'the ICMP type differs' : SAYS[misfit];
}

/** The command that makes the rule which the packet lacks. It names the group by its id: each project has a `default`. */
function missingRule(groupId: string, packet: Packet, direction: 'ingress' | 'egress'): string {
  const remote = direction === 'ingress' ? packet.source_ip : packet.destination_ip;
  const version = versionOf(remote);
  const port = isIcmp(packet.protocol) ? '' : packet.destination_port === null ? '' : ` --dst-port ${packet.destination_port}`;
  const protocol = protocolName(packet.protocol).replace('protocol ', '');
  return `openstack security group rule create --${direction}${version === 6 ? ' --ethertype IPv6' : ''} --protocol ${protocol}${port} --remote-ip ${remote}/${version === 6 ? 128 : 32} ${groupId}`;
}
