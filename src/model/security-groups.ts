/** Security groups and their rules (extensions security-group, stateful-security-group, security-groups-normalized-cidr). */
import { ApiError } from './errors.ts';
import { boolean, enumeration, integer, json, type Kind, list, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

/** Protocol names that Neutron knows, with IANA's numbers. */
export const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  ah: 51, dccp: 33, egp: 8, esp: 50, gre: 47, hopopt: 0, icmp: 1, igmp: 2, ip: 0, ipip: 4, 'ipv6-encap': 41, 'ipv6-frag': 44,
  'ipv6-icmp': 58, icmpv6: 58, 'ipv6-nonxt': 59, 'ipv6-opts': 60, 'ipv6-route': 43, ospf: 89, pgm: 113, rsvp: 46, sctp: 132, tcp: 6,
  udp: 17, udplite: 136, vrrp: 112,
};

/** `icmp` in an IPv6 rule is ICMPv6, as in Neutron; `ip` and number 0 of IPv4 mean every protocol. */
export function protocolNumber(name: string | null, ethertype: 'IPv4' | 'IPv6'): number | null {
  if (name === null || name === 'ip') return null;
  const number = PROTOCOL_NUMBERS[name] ?? Number(name);
  return ethertype === 'IPv6' && number === 1 ? 58 : number;
}

/** A protocol by name (any case) or number 0..255, kept lower-case as text. */
export const protocol: Kind<string> = {
  ...text(40),
  convert(value) {
    const name = String(value).toLowerCase();
    if (name in PROTOCOL_NUMBERS) return name;
    if (/^[0-9]{1,3}$/.test(name) && Number(name) <= 255) return name;
    throw new ApiError('SecurityGroupRuleInvalidProtocol', { protocol: String(value).slice(0, 60), values: Object.keys(PROTOCOL_NUMBERS).join(', ') });
  },
};

/** Ethertypes in any case, kept as Neutron spells them. */
const ethertype: Kind<'IPv4' | 'IPv6'> = {
  ...enumeration('IPv4', 'IPv6'),
  convert(value) {
    const found = (['IPv4', 'IPv6'] as const).find((name) => name.toLowerCase() === String(value).toLowerCase());
    if (!found) throw new ApiError('SecurityGroupRuleInvalidEtherType', { ethertype: String(value).slice(0, 60) });
    return found;
  },
};

/** A transport port, or an ICMP type or code: the rule's checks know which. */
const portValue: Kind<number> = {
  ...integer(0, 65535),
  convert(value) {
    const number = typeof value === 'string' && /^[0-9]{1,5}$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 65535) throw new ApiError('SecurityGroupInvalidPortValue', { port: String(value).slice(0, 60) });
    return number;
  },
};

export const securityGroup = defineResource({
  collection: 'security_groups', member: 'security_group', noun: 'SecurityGroup',
  attributes: {
    ...identified,
    stateful: defaulted(boolean, true),
    /** The project's `default` group: made by the system, never deleted by its owner. */
    is_default: readOnly(boolean, { readers: 'admin' }),
    security_group_rules: readOnly(list(json), { stored: false }),
    shared: readOnly(boolean, { stored: false }),
    ...standardAttributes, ...tagged,
  },
});
export type SecurityGroup = Held<typeof securityGroup>;

export const securityGroupRule = defineResource({
  collection: 'security_group_rules', member: 'security_group_rule', noun: 'SecurityGroupRule',
  attributes: {
    id: identified.id,
    project_id: identified.project_id,
    security_group_id: required(uuid, { put: false }),
    direction: required(enumeration('ingress', 'egress'), { put: false }),
    ethertype: defaulted(ethertype, 'IPv4', { put: false }),
    protocol: defaulted(nullable(protocol), null, { put: false }),
    port_range_min: defaulted(nullable(portValue), null, { put: false }),
    port_range_max: defaulted(nullable(portValue), null, { put: false }),
    remote_ip_prefix: defaulted(nullable(text(64)), null, { put: false }),
    remote_group_id: defaulted(nullable(uuid), null, { put: false }),
    remote_address_group_id: defaulted(nullable(uuid), null, { put: false }),
    normalized_cidr: readOnly(nullable(text(64))),
    /** Names the rule's conjunctive match on every host; unique in the store and never given again. */
    conj_id: readOnly(integer(1), { readers: 'nobody', filter: false, sort: false }),
    ...standardAttributes,
  },
});
export type SecurityGroupRule = Held<typeof securityGroupRule>;
