/** Items of a HostState in few words, and one rich state that has every kind of them. */
import type { Item } from '#hoststate/host-state.ts';
import type { LogItem } from '#hoststate/log.ts';
import type { MemberItem, PortItem, RuleItem } from '#hoststate/port.ts';
import type { FloodItem, ForwardItem, PhysnetItem, SegmentItem, TunnelItem } from '#hoststate/switching.ts';

export const physnet = (physical_network = 'physnet', bridge = 'br-phys'): PhysnetItem => ({ type: 'physnet', physical_network, bridge });

/** `segment('red', 1, 'vlan', 100)`; flat and vlan are on `physnet`. */
export function segment(network_id: string, local_vlan: number, network_type: string, segmentation_id: number | null = null): SegmentItem {
  const physical_network = network_type === 'flat' || network_type === 'vlan' ? 'physnet' : null;
  return { type: 'segment', network_id, local_vlan, network_type, physical_network, segmentation_id, mtu: 1450, connections_of_removed_rules: 'cut' };
}

export const tunnel = (remote_ip: string, network_type = 'vxlan'): TunnelItem => ({ type: 'tunnel', network_type, host: `at-${remote_ip}`, remote_ip });
export const flood = (network_id: string, remote_ip: string, network_type = 'vxlan'): FloodItem => ({ type: 'flood', network_id, network_type, remote_ip });

export function forward(network_id: string, port_id: string, remote_ip: string, mac_address: string, ip_addresses: readonly string[], network_type = 'vxlan'): ForwardItem {
  return { type: 'forward', network_id, network_type, port_id, mac_address, ip_addresses, remote_ip };
}

/** A filtered port of an instance without groups, unless `given` says otherwise. */
export function port(port_id: string, network_id: string, mac_address: string, ip_addresses: readonly string[], given: Partial<PortItem> = {}): PortItem {
  return {
    type: 'port', port_id, network_id, project_id: 'demo', device: `tap${port_id}`, device_owner: 'compute:nova', mac_address, ip_addresses,
    admin_state_up: true, port_security_enabled: true, allowed_address_pairs: [], security_groups: [], stateful: true, ...given,
  };
}

/** Without port security. */
export function openPort(port_id: string, network_id: string, mac_address: string, ip_addresses: readonly string[], device_owner = 'compute:nova'): PortItem {
  return port(port_id, network_id, mac_address, ip_addresses, { port_security_enabled: false, device_owner });
}

export interface RuleGiven {
  readonly direction?: 'ingress' | 'egress';
  readonly ethertype?: 'IPv4' | 'IPv6';
  readonly protocol?: number;
  /** First and last port, or ICMP type and code. */
  readonly range?: readonly [number, number?];
  readonly prefix?: string;
  readonly group?: string;
  readonly addressGroup?: string;
}

/** Ingress, IPv4, everything from everywhere, unless `given` says otherwise. */
export function rule(security_group_id: string, conj_id: number, given: RuleGiven = {}): RuleItem {
  const { direction = 'ingress', ethertype = 'IPv4', protocol = null, range, prefix = null, group = null, addressGroup = null } = given;
  return {
    type: 'rule', rule_id: `r${conj_id}`, security_group_id, direction, ethertype, protocol,
    port_range_min: range?.[0] ?? null, port_range_max: range?.[1] ?? null, remote_ip_prefix: prefix, remote_group_id: group, remote_address_group_id: addressGroup, conj_id,
  };
}

export const log = (log_id: string, port_id: string, event: LogItem['event'] = 'ALL', security_group_id: string | null = null): LogItem => ({ type: 'log', log_id, port_id, event, security_group_id });

export const member = (set_id: string, address: string): MemberItem => ({ type: 'member', set_id, address });

/** Neutron's default group: everything out, in from its own members. */
export function defaultGroup(id: string, firstConj: number): RuleItem[] {
  return [
    rule(id, firstConj, { direction: 'egress' }), rule(id, firstConj + 1, { direction: 'egress', ethertype: 'IPv6' }),
    rule(id, firstConj + 2, { group: id }), rule(id, firstConj + 3, { ethertype: 'IPv6', group: id }),
  ];
}

/** `fa:16:3e:00:00:NN`. */
export const mac = (n: number): string => `fa:16:3e:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;

export const PEER_A = '192.0.2.2';
export const PEER_B = '192.0.2.3';
export const VIRTUAL_MAC = '00:00:5e:00:01:07';

/** One host among three, with every kind of network, port and rule. */
export function richHost(): Item[] {
  return [
    physnet(),
    segment('vx', 1, 'vxlan', 2000), segment('tagged', 2, 'vlan', 100), segment('flat', 3, 'flat'), segment('alone', 4, 'local'), segment('gre', 5, 'gre', 7),
    tunnel(PEER_A), tunnel(PEER_B), tunnel(PEER_A, 'gre'),
    flood('vx', PEER_A), flood('vx', PEER_B), flood('gre', PEER_A, 'gre'),
    forward('vx', 'far1', PEER_A, mac(0x21), ['10.0.0.33', 'fd00::21']), forward('vx', 'far2', PEER_B, mac(0x22), ['10.0.0.34']), forward('gre', 'far3', PEER_A, mac(0x23), ['10.0.0.35'], 'gre'),
    port('a', 'vx', mac(1), ['10.0.0.1', 'fd00::1'], { security_groups: ['default', 'web'] }),
    port('b', 'vx', mac(2), ['10.0.0.2'], { security_groups: ['default'], allowed_address_pairs: [{ mac_address: mac(2), ip_address: '10.0.0.128/25' }, { mac_address: VIRTUAL_MAC, ip_address: '10.0.0.7' }] }),
    port('c', 'vx', mac(3), ['10.0.0.3', 'fd00::3'], { security_groups: ['ops', 'default'], allowed_address_pairs: [{ mac_address: VIRTUAL_MAC, ip_address: '10.0.0.7' }] }),
    openPort('d', 'vx', mac(4), ['10.0.0.4']), openPort('dhcp', 'vx', mac(5), ['10.0.0.5'], 'network:dhcp'),
    port('e', 'tagged', mac(6), ['10.0.0.1'], { security_groups: ['web'] }), openPort('f', 'tagged', mac(7), ['10.0.0.2']),
    port('g', 'flat', mac(8), ['10.0.0.1', 'fd00::1'], { security_groups: ['default', 'ops'] }), openPort('h', 'flat', mac(9), ['10.0.0.2']),
    port('i', 'alone', mac(10), ['10.0.0.1'], { security_groups: ['default'] }), port('j', 'alone', mac(11), ['10.0.0.2'], { security_groups: ['default'] }),
    port('k', 'gre', mac(12), ['10.0.0.1'], { security_groups: ['web', 'ops'] }),
    port('down', 'vx', mac(13), ['10.0.0.13'], { security_groups: ['default'], admin_state_up: false }),
    ...defaultGroup('default', 10),
    rule('web', 20, { protocol: 6, range: [80, 80] }), rule('web', 21, { protocol: 6, range: [8001, 8100], prefix: '10.0.0.0/8' }), rule('web', 22, { protocol: 6, range: [8050, 9000], group: 'ops' }),
    rule('web', 23, { ethertype: 'IPv6', protocol: 17, range: [53, 53], prefix: 'fd00::/64' }), rule('web', 24, { protocol: 1, range: [8, 0] }), rule('web', 25, { ethertype: 'IPv6', protocol: 58 }),
    rule('web', 26, { protocol: 47 }), rule('web', 27, { protocol: 132, range: [5000, 5003] }), rule('web', 28, { direction: 'egress', protocol: 6, prefix: '10.0.0.0/24' }),
    rule('ops', 30, { protocol: 6, range: [22, 22] }), rule('ops', 31, { protocol: 6, range: [8001, 8100], group: 'default' }), rule('ops', 32, { protocol: 17, group: 'ops' }),
    rule('ops', 33, { direction: 'egress', group: 'default' }), rule('ops', 34, { direction: 'egress', ethertype: 'IPv6', protocol: 6, prefix: '::/0' }),
    ...['10.0.0.1', '10.0.0.2', '10.0.0.128/25', '10.0.0.7', '10.0.0.3', '10.0.0.33', 'fd00::1', 'fd00::3', 'fd00::21'].map((address) => member('default', address)),
    ...['10.0.0.3', '10.0.0.34', '10.0.0.7'].map((address) => member('ops', address)),
    // An address group whose prefixes hold addresses of the groups above, and one another.
    rule('ops', 35, { protocol: 6, range: [8090, 8099], addressGroup: 'nets' }), rule('default', 36, { ethertype: 'IPv6', addressGroup: 'nets' }),
    ...['10.0.0.0/24', '10.0.0.3', '10.0.0.32/27', 'fd00::/64'].map((address) => member('nets', address)),
  ];
}
