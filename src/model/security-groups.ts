/** Security groups and their rules (extensions security-group, stateful-security-group, security-groups-normalized-cidr). */
import { boolean, enumeration, integer, InvalidValue, type Kind, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

/** Protocol names that Neutron knows, with IANA's numbers. */
export const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  ah: 51, dccp: 33, egp: 8, esp: 50, gre: 47, hopopt: 0, icmp: 1, igmp: 2, ip: 0, ipip: 4, 'ipv6-encap': 41, 'ipv6-frag': 44,
  'ipv6-icmp': 58, icmpv6: 58, 'ipv6-nonxt': 59, 'ipv6-opts': 60, 'ipv6-route': 43, ospf: 89, pgm: 113, rsvp: 46, sctp: 132, tcp: 6,
  udp: 17, udplite: 136, vrrp: 112,
};

/** A protocol by name (any case) or number 0..255, kept lower-case as text. */
const protocol: Kind<string> = {
  ...text(40),
  convert(value) {
    const name = String(value).toLowerCase();
    if (name in PROTOCOL_NUMBERS) return name;
    if (/^[0-9]{1,3}$/.test(name) && Number(name) <= 255) return name;
    throw new InvalidValue(`Security group rule protocol ${String(value).slice(0, 60)} not supported. Only protocol values [${Object.keys(PROTOCOL_NUMBERS).join(', ')}] and integer representations [0 to 255] are supported`);
  },
};

/** Ethertypes in any case, kept as Neutron spells them. */
const ethertype: Kind<'IPv4' | 'IPv6'> = {
  ...enumeration('IPv4', 'IPv6'),
  convert(value) {
    const found = (['IPv4', 'IPv6'] as const).find((name) => name.toLowerCase() === String(value).toLowerCase());
    if (!found) throw new InvalidValue(`Security group rule for ethertype '${String(value).slice(0, 60)}' not supported. Allowed values are ['IPv4', 'IPv6']`);
    return found;
  },
};

export const securityGroup = defineResource({
  collection: 'security_groups', member: 'security_group', noun: 'SecurityGroup',
  attributes: {
    ...identified,
    stateful: defaulted(boolean, true),
    /** The project's `default` group: made by the system, never deleted by its owner. */
    is_default: readOnly(boolean, { readers: 'admin' }),
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
    port_range_min: defaulted(nullable(integer(-1, 65535)), null, { put: false }),
    port_range_max: defaulted(nullable(integer(-1, 65535)), null, { put: false }),
    remote_ip_prefix: defaulted(nullable(text(64)), null, { put: false }),
    remote_group_id: defaulted(nullable(uuid), null, { put: false }),
    remote_address_group_id: defaulted(nullable(uuid), null, { put: false }),
    normalized_cidr: readOnly(nullable(text(64))),
    ...standardAttributes,
  },
});
export type SecurityGroupRule = Held<typeof securityGroupRule>;
