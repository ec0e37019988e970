/** Ports bound to a host, with what may pass them. */

export interface AddressPair {
  readonly mac_address: string;
  /** An address or a prefix. */
  readonly ip_address: string;
}

export interface PortItem {
  readonly type: 'port';
  readonly port_id: string;
  readonly network_id: string;
  readonly project_id: string;
  /** `tap` and the first 11 characters of the id: who plugs it may use any name, the iface-id decides. */
  readonly device: string;
  readonly device_owner: string;
  readonly mac_address: string;
  readonly ip_addresses: readonly string[];
  readonly admin_state_up: boolean;
  /** False lifts all filtering and anti-spoofing (N-SG-2). */
  readonly port_security_enabled: boolean;
  readonly allowed_address_pairs: readonly AddressPair[];
  /** Ids of its groups; their rules are items of their own. */
  readonly security_groups: readonly string[];
  /** False when its groups are stateless: each packet is judged by itself, replies need rules of their own. */
  readonly stateful: boolean;
}

/** A rule of a group that a port on this host has. */
export interface RuleItem {
  readonly type: 'rule';
  readonly rule_id: string;
  readonly security_group_id: string;
  readonly direction: 'ingress' | 'egress';
  readonly ethertype: 'IPv4' | 'IPv6';
  /** IANA number; null is every protocol. */
  readonly protocol: number | null;
  /** Ports, or ICMP type and code. */
  readonly port_range_min: number | null;
  readonly port_range_max: number | null;
  readonly remote_ip_prefix: string | null;
  /** The address set that the other end must be in: the members of a security group, or an address group. At most one of the two. */
  readonly remote_group_id: string | null;
  readonly remote_address_group_id: string | null;
  /** The conjunction that joins this rule's ports with its remote set. */
  readonly conj_id: number;
}

/** The set of addresses that a rule refers to, whichever kind of group has them; null when it refers to none. */
export function remoteSet(rule: Pick<RuleItem, 'remote_group_id' | 'remote_address_group_id'>): string | null {
  return rule.remote_group_id ?? rule.remote_address_group_id;
}

/** One address of a set that rules refer to: one member more is one item more (DESIGN law 5). */
export interface MemberItem {
  readonly type: 'member';
  /** The security group whose member has the address, or the address group that lists it. */
  readonly set_id: string;
  /** An address, or a prefix of an allowed address pair or an address group, as `setElement` spells it: one element of two sets is one match. */
  readonly address: string;
}
