/**
 * Security groups, their rules, and what new groups begin with (extensions security-group, stateful-security-group,
 * security-groups-normalized-cidr, security-groups-default-rules, security-groups-default-statefulness).
 */
import { ApiError } from './errors.ts';
import { boolean, enumeration, integer, json, type Kind, list, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, optional, readOnly, required } from './resource.ts';
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
    if (Object.hasOwn(PROTOCOL_NUMBERS, name)) return name;
    if (/^[0-9]{1,3}$/.test(name) && Number(name) <= 255) return name;
    throw new ApiError('SecurityGroupRuleInvalidProtocol', { protocol: String(value).slice(0, 60), values: Object.keys(PROTOCOL_NUMBERS).join(', ') });
  },
};

/** `any` is none. */
const protocolOrAny: Kind<string | null> = { ...protocol, convert: (value) => (value === null || String(value).toLowerCase() === 'any' ? null : protocol.convert(value)) };

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
    /** False: each packet is judged by itself. A POST that leaves it out gets its project's default. */
    stateful: optional(boolean),
    /** The project's `default` group: made by the system, never deleted by its owner. */
    is_default: readOnly(boolean, { readers: 'admin' }),
    security_group_rules: readOnly(list(json), { stored: false }),
    shared: readOnly(boolean, { stored: false }),
    ...standardAttributes, ...tagged,
  },
});
export type SecurityGroup = Held<typeof securityGroup>;

/** What a rule admits: the same for a rule of a group and for a template of rules. */
const admitted = {
  direction: required(enumeration('ingress', 'egress'), { put: false }),
  ethertype: defaulted(ethertype, 'IPv4', { put: false }),
  protocol: defaulted(protocolOrAny, null, { put: false }),
  port_range_min: defaulted(nullable(portValue), null, { put: false }),
  port_range_max: defaulted(nullable(portValue), null, { put: false }),
  remote_ip_prefix: defaulted(nullable(text(64)), null, { put: false }),
};

export const securityGroupRule = defineResource({
  collection: 'security_group_rules', member: 'security_group_rule', noun: 'SecurityGroupRule',
  attributes: {
    id: identified.id,
    project_id: identified.project_id,
    security_group_id: required(uuid, { put: false }),
    ...admitted,
    remote_group_id: defaulted(nullable(uuid), null, { put: false }),
    remote_address_group_id: defaulted(nullable(uuid), null, { put: false }),
    normalized_cidr: readOnly(nullable(text(64))),
    /** Of the project's `default` group (extension security-groups-rules-belongs-to-default-sg). */
    belongs_to_default_sg: readOnly(boolean, { stored: false }),
    /** Names the rule's conjunctive match on every host; unique in the store and never given again. */
    conj_id: readOnly(integer(1), { readers: 'nobody', filter: false, sort: false }),
    ...standardAttributes,
  },
});
export type SecurityGroupRule = Held<typeof securityGroupRule>;

/** In a template's `remote_group_id`: the group that the rule is made for. */
export const PARENT_GROUP = 'PARENT';

const parentOrUuid: Kind<string> = { ...uuid, convert: (value) => (value === PARENT_GROUP ? PARENT_GROUP : uuid.convert(value)) };

/** A rule that every new group is made with: the projects' `default` groups, the others, or both. It belongs to no project. */
export const defaultSecurityGroupRule = defineResource({
  collection: 'default_security_group_rules', member: 'default_security_group_rule', noun: 'DefaultSecurityGroupRule',
  attributes: {
    id: identified.id,
    ...admitted,
    remote_group_id: defaulted(nullable(parentOrUuid), null, { put: false }),
    remote_address_group_id: defaulted(nullable(uuid), null, { put: false }),
    used_in_default_sg: defaulted(boolean, false, { put: false }),
    used_in_non_default_sg: defaulted(boolean, true, { put: false }),
    ...standardAttributes,
    description: defaulted(nullable(text(255)), '', { put: false }),
  },
});
export type DefaultSecurityGroupRule = Held<typeof defaultSecurityGroupRule>;

/** Whether groups that do not say it are stateful: of a project, or of all that have no row of their own (project null). */
export const defaultStatefulness = defineResource({
  collection: 'security_groups_default_statefulness', member: 'security_groups_default_statefulness', noun: 'SecurityGroupDefaultStatefulness',
  attributes: {
    id: identified.id,
    project_id: optional(nullable(text(255)), { put: false }),
    stateful: defaulted(boolean, true),
  },
});
export type DefaultStatefulness = Held<typeof defaultStatefulness>;
