/** The legs of the routers that the host carries. */
import type { Advertisement } from '#hoststate/router.ts';
import type { Port, Subnet } from '#model/networks.ts';
import { routerDeviceName } from '#model/routers.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import type { Node } from '../node.ts';
import { boundHost, type World } from '../world.ts';
import { subnetsOf, withPrefix } from './dhcp-server.ts';
import { routerOn } from './router.ts';

export const routerPort: Node<'router-port'> = {
  type: 'router-port',
  *all(world, host) {
    for (const routerId of world.routersOfHost(host)) for (const id of world.portsOfRouter.of(routerId)) yield [routerId, id];
  },
  item(world, host, [routerId = '', id = '']) {
    const port = world.get('ports', id);
    if (port?.device_id !== routerId || !world.portsOfRouter.of(routerId).has(id) || boundHost(port) !== host || !routerOn(world, host, routerId)) return undefined;
    const subnets = subnetsOf(world, port.network_id);
    const own = port.fixed_ips.map((fixed) => subnets.find((subnet) => subnet.id === fixed.subnet_id)).filter((subnet) => subnet !== undefined);
    const gateway = port.device_owner === 'network:router_gateway';
    return {
      type: 'router-port', router_id: routerId, port_id: id, role: gateway ? 'gateway' : 'interface',
      device: routerDeviceName(id, port.device_owner),
      mac_address: port.mac_address,
      mtu: world.get('networks', port.network_id)?.mtu ?? 1500,
      addresses: port.fixed_ips.map((fixed) => withPrefix(subnets, fixed.ip_address!)),
      gateway_ips: gateway ? [4, 6].flatMap((version) => own.find((subnet) => subnet.ip_version === version && subnet.gateway_ip !== null)?.gateway_ip ?? []) : [],
      onlink: gateway ? subnets.filter((subnet) => !holdsAddress(subnet, port) && own.some((each) => each.ip_version === subnet.ip_version)).map((subnet) => subnet.cidr) : [],
      address_scopes: { ipv4: scopeOf(world, subnets, 4), ipv6: scopeOf(world, subnets, 6) },
      advertisements: gateway ? [] : own.flatMap(advertised),
    };
  },
};

/** The address scope of a network's subnets of one version: a network lies in one pool, or in none. */
export function scopeOf(world: World, subnets: readonly Subnet[], version: 4 | 6): string | null {
  for (const subnet of subnets) {
    const pool = subnet.ip_version === version && subnet.subnetpool_id ? world.get('subnetpools', subnet.subnetpool_id) : undefined;
    if (pool) return pool.address_scope_id;
  }
  return null;
}

function advertised(subnet: Subnet): Advertisement[] {
  const { cidr, ipv6_ra_mode: mode, dns_nameservers } = subnet;
  return subnet.ip_version === 6 && mode !== null ? [{ cidr, mode, dns_nameservers }] : [];
}

function holdsAddress(subnet: Subnet, port: Port): boolean {
  const cidr = parseCidr(subnet.cidr);
  return cidr !== undefined && port.fixed_ips.some((fixed) => cidrContains(cidr, parseIp(fixed.ip_address!)!));
}
