/** Whether a rule of a security group admits a packet, and what of it does not fit when it does not. */
import type { RuleItem } from '#hoststate/port.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import type { HostIndex } from './host-index.ts';
import { hasPorts, isIcmp, type Packet, protocolName, versionOf } from './packet.ts';

export type Misfit = 'direction' | 'ethertype' | 'protocol' | 'port' | 'remote';

/** Empty when the rule admits the packet. */
export function misfits(index: HostIndex, rule: RuleItem, packet: Packet, direction: 'ingress' | 'egress'): Misfit[] {
  const found: Misfit[] = [];
  if (rule.direction !== direction) found.push('direction');
  if (rule.ethertype !== `IPv${versionOf(packet.source_ip)}`) found.push('ethertype');
  if (rule.protocol !== null && rule.protocol !== packet.protocol) found.push('protocol');
  else if (!servesPort(rule, packet)) found.push('port');
  if (!knowsRemote(index, rule, direction === 'ingress' ? packet.source_ip : packet.destination_ip)) found.push('remote');
  return found;
}

/** As an operator would say it: `ingress tcp/22 from 10.0.0.0/24`. */
export function ruleText(rule: RuleItem, nameOfSet: (kind: 'security_group' | 'address_group', id: string) => string): string {
  const family = rule.ethertype === 'IPv6' ? ' (IPv6)' : '';
  const end = rule.direction === 'ingress' ? 'from' : 'to';
  const remote = rule.remote_group_id ? nameOfSet('security_group', rule.remote_group_id)
    : rule.remote_address_group_id ? nameOfSet('address_group', rule.remote_address_group_id)
      : (rule.remote_ip_prefix ?? 'anywhere');
  return `${rule.direction} ${rule.protocol === null ? 'any protocol' : `${protocolName(rule.protocol)}${portsText(rule)}`} ${end} ${remote}${family}`;
}

function portsText({ protocol, port_range_min: first, port_range_max: last }: RuleItem): string {
  if (first === null) return '';
  if (isIcmp(protocol ?? 0)) return ` type ${first}${last === null ? '' : ` code ${last}`}`;
  return first === last || last === null ? `/${first}` : `/${first}-${last}`;
}

/** Headers that a switch passes over to find the protocol: a rule that names one admits nothing. */
const IPV6_EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 51, 60]);

function servesPort({ ethertype, protocol, port_range_min: first, port_range_max: last }: RuleItem, packet: Packet): boolean {
  if (ethertype === 'IPv6' && IPV6_EXTENSIONS.has(protocol ?? -1)) return false;
  if (protocol === null || first === null) return true;
  if (isIcmp(protocol)) return packet.icmp_type === first && (last === null || packet.icmp_code === last);
  // A switch reads no ports of DCCP and UDP-Lite: a rule that names some admits nothing.
  if (!hasPorts(protocol)) return first <= 1 && last === 65535;
  return packet.destination_port !== null && packet.destination_port >= first && packet.destination_port <= (last ?? first);
}

function knowsRemote(index: HostIndex, rule: RuleItem, address: string): boolean {
  const ip = parseIp(address);
  if (!ip) return false;
  const set = rule.remote_group_id ?? rule.remote_address_group_id;
  if (set) return index.inSet(set, address, ip);
  const cidr = rule.remote_ip_prefix === null ? undefined : parseCidr(rule.remote_ip_prefix);
  return rule.remote_ip_prefix === null || (cidr !== undefined && cidrContains(cidr, ip));
}
