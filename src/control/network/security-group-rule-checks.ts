/** What a security group rule may say by itself, checked as Neutron checks it (OSSA-2014-014, 2019-001): for rules of groups and for templates. */
import { ApiError } from '#model/errors.ts';
import { PROTOCOL_NUMBERS, type SecurityGroupRule } from '#model/security-groups.ts';
import { formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';

/** DCCP, SCTP, TCP, UDP, UDP-Lite: the protocols with ports. */
const WITH_PORTS = new Set([33, 132, 6, 17, 136]);
const ICMP = new Set([1, 58]);
const IPV6_ONLY = new Set(['ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'icmpv6', 'ipv6-nonxt', 'ipv6-opts', 'ipv6-route', '41', '44', '58', '59', '60', '43']);

/** What a rule admits. */
export type Admitted = Pick<SecurityGroupRule, 'direction' | 'ethertype' | 'protocol' | 'port_range_min' | 'port_range_max' | 'remote_ip_prefix' | 'remote_group_id' | 'remote_address_group_id'>;

/** The rule in canonical form; throws the error of the first check that fails, in Neutron's order. */
export function checkedRule<R extends Admitted>(rule: R): R & Pick<SecurityGroupRule, 'normalized_cidr'> {
  const protocol = canonicalProtocol(rule.protocol, rule.ethertype);
  const ports = canonicalPorts(rule);
  checkPorts(protocol, ports.port_range_min, ports.port_range_max);
  const prefix = checkPrefix(rule.remote_ip_prefix, rule.ethertype);
  if (rule.ethertype === 'IPv4' && protocol !== null && IPV6_ONLY.has(protocol)) throw new ApiError('SecurityGroupEthertypeConflictWithProtocol', { ethertype: rule.ethertype, protocol });
  if ([prefix.remote_ip_prefix, rule.remote_group_id, rule.remote_address_group_id].filter(Boolean).length > 1) throw new ApiError('SecurityGroupMultipleRemoteEntites');
  return { ...rule, ...ports, ...prefix, protocol };
}

/** Rules with one meaning are one rule: a prefix of length 0 is no prefix, `tcp` is `6`. */
export function meaningOf(rule: Admitted & Partial<Pick<SecurityGroupRule, 'normalized_cidr'>>): string {
  const cidr = rule.normalized_cidr ?? null;
  const prefix = cidr === '0.0.0.0/0' || cidr === '::/0' ? null : cidr;
  return JSON.stringify([rule.direction, rule.ethertype, protocolMeaning(rule.protocol), rule.port_range_min, rule.port_range_max, rule.remote_group_id, rule.remote_address_group_id, prefix]);
}

/** `ip` is every protocol; number 0 by any other name is the hop-by-hop option alone. */
function protocolMeaning(protocol: string | null): number | string | null {
  return protocol === null || protocol === 'ip' ? protocol : numberOf(protocol);
}

/** ICMP of IPv6 has its own number; its old names and IPv4's number mean it. */
function canonicalProtocol(protocol: string | null, ethertype: string): string | null {
  if (ethertype !== 'IPv6' || protocol === null) return protocol;
  if (protocol === 'icmp' || protocol === 'icmpv6') return 'ipv6-icmp';
  return protocol === '1' ? '58' : protocol;
}

/** All ports are no range. */
function canonicalPorts({ port_range_min, port_range_max }: Admitted): Pick<Admitted, 'port_range_min' | 'port_range_max'> {
  return port_range_min === 1 && port_range_max === 65535 ? { port_range_min: null, port_range_max: null } : { port_range_min, port_range_max };
}

function checkPorts(protocol: string | null, min: number | null, max: number | null): void {
  if (min === null && max === null) return;
  if (protocol === null) throw new ApiError('SecurityGroupProtocolRequiredWithPorts');
  const number = numberOf(protocol);
  if (WITH_PORTS.has(number)) {
    if (min === 0 || max === 0) throw new ApiError('SecurityGroupInvalidPortValue', { port: 0 });
    if (min === null || max === null || min > max) throw new ApiError('SecurityGroupInvalidPortRange');
  } else if (ICMP.has(number)) {
    for (const [attr, field, value] of [['port_range_min', 'type', min], ['port_range_max', 'code', max]] as const) {
      if (value !== null && (value < 0 || value > 255)) throw new ApiError('SecurityGroupInvalidIcmpValue', { field, attr, value });
    }
    if (min === null) throw new ApiError('SecurityGroupMissingIcmpType', { value: max });
  } else {
    throw new ApiError('SecurityGroupInvalidProtocolForPort', { protocol });
  }
}

/** The prefix with its length, as given, and in `normalized_cidr` without host bits. An empty text is none. */
function checkPrefix(text: string | null, ethertype: string): Pick<SecurityGroupRule, 'remote_ip_prefix' | 'normalized_cidr'> {
  if (!text) return { remote_ip_prefix: null, normalized_cidr: null };
  const cidr = parseCidr(text);
  if (!cidr) throw new ApiError('InvalidCIDR', { input: text });
  const remote_ip_prefix = `${formatIp(parseIp(text.split('/')[0]!)!)}/${cidr.prefix}`;
  if (ethertype !== `IPv${cidr.version}`) throw new ApiError('SecurityGroupRuleParameterConflict', { ethertype, cidr: text });
  return { remote_ip_prefix, normalized_cidr: formatCidr(cidr) };
}

const numberOf = (protocol: string): number => PROTOCOL_NUMBERS[protocol] ?? Number(protocol);
