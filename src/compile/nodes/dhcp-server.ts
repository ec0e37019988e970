/** The DHCP servers that the host carries. */
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import { deviceName } from '#model/metadata-tree.ts';
import type { Subnet } from '#model/networks.ts';
import type { Node } from '../node.ts';
import { boundHost, type World } from '../world.ts';

export const dhcpServer: Node<'dhcp-server'> = {
  type: 'dhcp-server',
  *all(world, host) {
    for (const networkId of world.networksOfHost.of(host)) if (world.get('dhcp_bindings', `${networkId}/${host}`)) yield [networkId];
  },
  item(world, host, [networkId = '']) {
    const network = world.get('networks', networkId);
    const binding = world.get('dhcp_bindings', `${networkId}/${host}`);
    const port = binding && world.get('ports', binding.port_id);
    if (!network || port?.network_id !== networkId || boundHost(port) !== host || !network.admin_state_up) return undefined;
    const subnets = subnetsOf(world, networkId);
    const metadata = new Map(subnets.map((subnet) => [subnet.id, metadataBy(world, subnet)]));
    if (!subnets.some((subnet) => subnet.enable_dhcp)) return undefined;
    return {
      type: 'dhcp-server',
      network_id: networkId,
      port_id: port.id,
      device: deviceName(port.id),
      mac_address: port.mac_address,
      mtu: network.mtu,
      addresses: port.fixed_ips.map((fixed) => withPrefix(subnets, fixed.ip_address!)),
      subnets: subnets.map((subnet) => ({
        subnet_id: subnet.id, cidr: subnet.cidr, gateway_ip: subnet.gateway_ip, dns_nameservers: subnet.dns_nameservers, dhcp_servers: serversOf(world, subnet),
        host_routes: subnet.host_routes.map((route) => ({ destination: route.destination!, nexthop: route.nexthop! })),
        ipv6_address_mode: addressMode(subnet), enable_dhcp: subnet.enable_dhcp, metadata: metadata.get(subnet.id)!,
      })),
      dns_domain: world.settings.dns_domain.replace(/\.$/, ''),
      dns_servers: world.settings.dnsmasq_dns_servers,
      local_resolv: world.settings.dnsmasq_local_resolv,
      metadata: [...metadata.values()].includes('server'),
      lease_duration: world.settings.dhcp_lease_duration,
    };
  },
};

/** In the order of their CIDRs, so that the item does not depend on the order of creation. */
export function subnetsOf(world: World, networkId: string): Subnet[] {
  return [...world.subnetsOfNetwork.of(networkId)].map((id) => world.get('subnets', id)!).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Without a word about either mode an IPv6 subnet has its addresses by DHCPv6, as Neutron's agent does it. */
function addressMode({ ip_version, ipv6_address_mode, ipv6_ra_mode }: Subnet): Subnet['ipv6_address_mode'] {
  return ip_version === 6 && !ipv6_address_mode && !ipv6_ra_mode ? 'dhcpv6-stateful' : ipv6_address_mode;
}

/** Where the network's DHCP servers are in a subnet, the same for each of them. */
function serversOf(world: World, subnet: Subnet): string[] {
  const ports = [...world.dhcpOfNetwork.of(subnet.network_id)].map((id) => world.get('ports', world.get('dhcp_bindings', id)!.port_id));
  return ports.flatMap((port) => (port?.fixed_ips ?? []).filter((fixed) => fixed.subnet_id === subnet.id).map((fixed) => fixed.ip_address!)).sort();
}

/** Who answers for metadata on a subnet: its gateway, if a router of ours holds that address, else the DHCP server if the settings say so (N-MD-12…16). */
function metadataBy(world: World, subnet: Subnet): 'server' | 'gateway' | null {
  if (subnet.ip_version !== 4 || !subnet.enable_dhcp) return null;
  const { force_metadata, enable_isolated_metadata } = world.settings;
  if (force_metadata) return 'server';
  if (!isRouted(world, subnet)) return enable_isolated_metadata ? 'server' : null;
  return 'gateway';
}

/** True when the port of a router holds the subnet's gateway address (N-MD-16). */
function isRouted(world: World, subnet: Subnet): boolean {
  for (const id of world.routerPortsOfNetwork.of(subnet.network_id)) {
    const port = world.get('ports', id)!;
    if (port.device_owner !== 'network:router_gateway' && port.fixed_ips.some((fixed) => fixed.subnet_id === subnet.id && fixed.ip_address === subnet.gateway_ip)) return true;
  }
  return false;
}

/** `address/prefix`, the prefix being that of the subnet which holds the address. */
export function withPrefix(subnets: readonly Subnet[], address: string): string {
  const ip = parseIp(address);
  for (const subnet of subnets) {
    const cidr = parseCidr(subnet.cidr);
    if (ip && cidr && cidrContains(cidr, ip)) return `${address}/${cidr.prefix}`;
  }
  return `${address}/${ip?.version === 6 ? 128 : 32}`;
}
