/** Routers, floating IPs and port forwardings (Networking API v2.0; extensions router, ext-gw-mode, extraroute, floating-ip-port-forwarding, …). */
import { formatCidr, parseCidr } from '#net/cidr.ts';
import { boolean, cidr, enumeration, integer, InvalidValue, ipAddress, json, type Kind, list, nullable, object, orElse, portRange, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, optional, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

/** A router's way to an external network, as clients give it; `{}` is none, as null is. */
export const externalGatewayInfo = orElse(null, nullable(object({
  network_id: uuid,
  enable_snat: boolean,
  external_fixed_ips: list(object({ subnet_id: uuid, ip_address: ipAddress })),
}, ['network_id'])), (value) => value === null || (typeof value === 'object' && Object.keys(value).length === 0));
export type ExternalGatewayInfo = ReturnType<typeof externalGatewayInfo.convert>;

/** A prefix in canonical form; one with host bits is refused, as a route's destination is no address. */
const destination: Kind<string> = {
  ...cidr,
  convert(value) {
    const given = cidr.convert(value);
    const canonical = formatCidr(parseCidr(given)!);
    if (ipAddress.convert(given.split('/')[0]) !== canonical.split('/')[0]) throw new InvalidValue(`'${given}' isn't a recognized IP subnet cidr, '${canonical}' is recommended`);
    return canonical;
  },
};

/** Static routes of a router (extension extraroute); null is none. */
export const routerRoutes = orElse([], list(object({ destination, nexthop: ipAddress }, ['destination', 'nexthop']), { unique: true }));
export type RouterRoutes = ReturnType<typeof routerRoutes.convert>;

export const router = defineResource({
  collection: 'routers', member: 'router', noun: 'Router',
  attributes: {
    ...identified,
    admin_state_up: defaulted(boolean, true),
    status: readOnly(text(16)),
    /** Computed from the gateway port and `enable_snat`; null without a gateway. */
    external_gateway_info: optional(externalGatewayInfo, { stored: false }),
    routes: optional(routerRoutes, { post: false }),
    availability_zone_hints: defaulted(list(text(255)), [], { put: false }),
    availability_zones: readOnly(list(text()), { stored: false }),
    /** The port on the external network (device_owner network:router_gateway); null without a gateway (N-L3-3). */
    gw_port_id: readOnly(nullable(uuid), { readers: 'nobody' }),
    /** Source NAT towards the external network; the default of the settings while there is no gateway. */
    enable_snat: readOnly(boolean, { readers: 'nobody' }),
    /** Why the router does not work, where its host knows it; not Neutron's. */
    status_reason: readOnly(nullable(text(1024)), { readers: 'admin', filter: false, sort: false }),
    ...standardAttributes, ...tagged,
  },
});
export type Router = Held<typeof router>;

export const floatingIp = defineResource({
  collection: 'floatingips', member: 'floatingip', noun: 'FloatingIP',
  attributes: {
    id: readOnly(uuid),
    project_id: optional(text(255), { put: false }),
    floating_network_id: required(uuid, { put: false }),
    /** Admins may wish for one; else the lowest free address. */
    floating_ip_address: defaulted(nullable(ipAddress), null, { put: false, writers: 'admin' }),
    /** The external subnet to take the address from; only asked for, never shown. */
    subnet_id: optional(nullable(uuid), { put: false, stored: false }),
    router_id: readOnly(nullable(uuid)),
    port_id: optional(nullable(uuid)),
    fixed_ip_address: optional(nullable(ipAddress)),
    status: readOnly(text(16)),
    dns_name: defaulted(text(255), '', { put: false }),
    dns_domain: defaulted(text(255), '', { put: false }),
    port_details: readOnly(nullable(json), { stored: false }),
    port_forwardings: readOnly(list(json), { stored: false }),
    /** The port that holds the address on the external network (device_owner network:floatingip). */
    floating_port_id: readOnly(uuid, { readers: 'nobody' }),
    /** Why it does not work, where its router's host knows it; not Neutron's. */
    status_reason: readOnly(nullable(text(1024)), { readers: 'admin', filter: false, sort: false }),
    ...standardAttributes, ...tagged,
  },
});
export type FloatingIp = Held<typeof floatingIp>;

/** One port, or a range of them, of a floating IP that leads to a port of a server (below /floatingips/{id}/port_forwardings). */
export const portForwarding = defineResource({
  collection: 'port_forwardings', member: 'port_forwarding', noun: 'PortForwarding',
  attributes: {
    id: readOnly(uuid),
    /** The floating IP's, whatever a client says. */
    project_id: optional(text(255), { put: false, readers: 'nobody' }),
    floatingip_id: readOnly(uuid, { readers: 'nobody' }),
    protocol: required(enumeration('tcp', 'udp', 'sctp', 'dccp', 'icmp', 'ipv6-icmp')),
    internal_port_id: required(uuid),
    internal_ip_address: optional(ipAddress, { filter: false, sort: false }),
    /** A single port; null for a range, and then not shown. */
    internal_port: optional(nullable(integer(1, 65535)), { filter: false, sort: false }),
    external_port: optional(nullable(integer(1, 65535))),
    /** `FIRST:LAST`; a single port is `N:N`. */
    internal_port_range: optional(nullable(portRange), { filter: false, sort: false }),
    external_port_range: optional(nullable(portRange)),
    description: defaulted(text(1024), '', { sort: false }),
    created_at: readOnly(text(32), { readers: 'nobody' }),
    updated_at: readOnly(text(32), { readers: 'nobody' }),
    revision_number: readOnly(integer(), { readers: 'nobody' }),
  },
});
export type PortForwarding = Held<typeof portForwarding>;

/** How a router's legs are called on their host (N-L3-7). */
export function routerDeviceName(portId: string, deviceOwner: string): string {
  return `${deviceOwner === 'network:router_gateway' ? 'qg-' : 'qr-'}${portId.slice(0, 11)}`;
}

/** Owners of ports that are legs of a router, and so plugged into its namespace. */
export const ROUTER_PORT_OWNERS: ReadonlySet<string> = new Set(['network:router_interface', 'network:router_gateway']);
