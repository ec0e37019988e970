/** Networks, subnets and ports (Networking API v2.0; extensions provider, external-net, net-mtu, port-security, binding, …). */
import { boolean, cidr, enumeration, integer, ipAddress, ipVersion, json, type Kind, list, macAddress, nullable, object, orElse, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, optional, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

export const NETWORK_TYPES = ['local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve'] as const;
export type NetworkType = (typeof NETWORK_TYPES)[number];

const adminOnly = { writers: 'admin', readers: 'admin' } as const;
const hostRoutes = orElse([], list(object({ destination: cidr, nexthop: ipAddress }, ['destination', 'nexthop']), { unique: true }));

/** In place of a pool's id: the prefix comes from a router further up. */
export const PREFIX_DELEGATION = 'prefix_delegation';
const subnetPoolId: Kind<string> = { ...uuid, convert: (value) => (value === PREFIX_DELEGATION ? value : uuid.convert(value)) };

export const network = defineResource({
  collection: 'networks', member: 'network', noun: 'Network',
  attributes: {
    ...identified,
    admin_state_up: defaulted(boolean, true),
    status: readOnly(text(16)),
    /** A policy for everybody (rbac-policies.ts); shown as the asking project sees it. */
    shared: defaulted(boolean, false, { writers: 'admin', stored: false }),
    'router:external': defaulted(boolean, false, { writers: 'admin' }),
    is_default: defaulted(boolean, false, { writers: 'admin' }),
    mtu: optional(integer(0, 65535)),
    port_security_enabled: defaulted(boolean, true, { writers: 'network_owner' }),
    'provider:network_type': optional(nullable(text(32)), adminOnly),
    'provider:physical_network': optional(nullable(text(64)), adminOnly),
    'provider:segmentation_id': optional(nullable(integer(0, 2 ** 31 - 1)), adminOnly),
    dns_domain: defaulted(text(255), ''),
    availability_zone_hints: defaulted(list(text(255)), [], { put: false }),
    subnets: readOnly(list(uuid), { stored: false }),
    availability_zones: readOnly(list(text()), { stored: false }),
    ipv4_address_scope: readOnly(nullable(uuid), { stored: false }),
    ipv6_address_scope: readOnly(nullable(uuid), { stored: false }),
    ...standardAttributes, ...tagged,
  },
});
export type Network = Held<typeof network>;

export const subnet = defineResource({
  collection: 'subnets', member: 'subnet', noun: 'Subnet',
  attributes: {
    ...identified,
    network_id: required(uuid, { put: false }),
    ip_version: required(ipVersion, { put: false }),
    cidr: optional(cidr, { put: false }),
    prefixlen: optional(integer(0), { put: false, stored: false }),
    subnetpool_id: optional(nullable(subnetPoolId), { put: false }),
    use_default_subnetpool: defaulted(boolean, false, { put: false, stored: false }),
    gateway_ip: optional(nullable(ipAddress)),
    allocation_pools: optional(list(object({ start: ipAddress, end: ipAddress }, ['start', 'end']))),
    dns_nameservers: defaulted(orElse([], list(ipAddress, { unique: true })), []),
    host_routes: defaulted(hostRoutes, []),
    enable_dhcp: defaulted(boolean, true),
    ipv6_ra_mode: defaulted(nullable(enumeration('dhcpv6-stateful', 'dhcpv6-stateless', 'slaac')), null, { put: false }),
    ipv6_address_mode: defaulted(nullable(enumeration('dhcpv6-stateful', 'dhcpv6-stateless', 'slaac')), null, { put: false }),
    service_types: defaulted(list(text(255)), [], { writers: 'admin' }),
    segment_id: defaulted(nullable(uuid), null, { writers: 'admin' }),
    dns_publish_fixed_ip: defaulted(boolean, false),
    shared: readOnly(boolean, { stored: false }),
    'router:external': readOnly(boolean, { stored: false }),
    ...standardAttributes, ...tagged,
  },
});
export type Subnet = Held<typeof subnet>;

export const port = defineResource({
  collection: 'ports', member: 'port', noun: 'Port',
  attributes: {
    ...identified,
    network_id: required(uuid, { put: false }),
    admin_state_up: defaulted(boolean, true),
    status: readOnly(text(16)),
    mac_address: optional(macAddress),
    fixed_ips: optional(list(object({ subnet_id: uuid, ip_address: ipAddress }))),
    device_id: defaulted(text(255), ''),
    device_owner: defaulted(text(255), ''),
    security_groups: optional(orElse([], list(uuid, { unique: true }))),
    port_security_enabled: optional(boolean, { writers: 'network_owner' }),
    allowed_address_pairs: defaulted(orElse([], list(object({ ip_address: text(64), mac_address: macAddress }))), [], { writers: 'network_owner' }),
    extra_dhcp_opts: defaulted(orElse([], list(object({ opt_name: text(64), opt_value: nullable(text(255)), ip_version: integer(4, 6) }, ['opt_name']))), []),
    /** null unbinds: `openstack port unset --host` says so. */
    'binding:host_id': defaulted(orElse('', text(255)), '', adminOnly),
    'binding:vnic_type': defaulted(enumeration('normal', 'direct', 'macvtap', 'direct-physical', 'baremetal', 'virtio-forwarder', 'smart-nic'), 'normal'),
    'binding:profile': defaulted(orElse({}, json), {}, adminOnly),
    'binding:vif_type': readOnly(text(64), { readers: 'admin' }),
    'binding:vif_details': readOnly(json, { readers: 'admin' }),
    /** Why the port is not ACTIVE, where a host or the binding knows it; not Neutron's. */
    status_reason: readOnly(nullable(text(1024)), { readers: 'admin', filter: false, sort: false }),
    dns_name: defaulted(text(256), ''),
    dns_domain: defaulted(text(255), ''),
    dns_assignment: readOnly(list(json), { stored: false }),
    ip_allocation: readOnly(text(16), { stored: false }),
    ...standardAttributes, ...tagged,
  },
});
export type Port = Held<typeof port>;
export type FixedIp = { subnet_id: string; ip_address: string };
