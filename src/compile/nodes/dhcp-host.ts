/** The ports that the host's DHCP servers know: their addresses for DHCP, where the subnet has it, and their names for DNS. */
import type { Network, Port } from '#model/networks.ts';
import type { Node } from '../node.ts';
import type { World } from '../world.ts';

/** Ports that neither ask for an address nor are called by name (Neutron's list). */
const UNNAMED_OWNERS: ReadonlySet<string> = new Set(['network:dhcp', 'network:floatingip', 'network:router_ha_interface', 'network:distributed']);

export const dhcpHost: Node<'dhcp-host'> = {
  type: 'dhcp-host',
  *all(world, host) {
    for (const networkId of world.networksOfHost.of(host)) {
      if (!world.get('dhcp_bindings', `${networkId}/${host}`)) continue;
      for (const id of world.portsOfNetwork.of(networkId)) yield [networkId, id];
    }
  },
  item(world, host, [networkId = '', portId = '']) {
    const network = world.get('networks', networkId);
    const port = world.get('ports', portId);
    if (!network || port?.network_id !== networkId || UNNAMED_OWNERS.has(port.device_owner)) return undefined;
    if (!world.get('dhcp_bindings', `${networkId}/${host}`) || !world.presence.has(networkId, host) || !hasDhcp(world, networkId)) return undefined;
    const addresses = port.fixed_ips.map((fixed) => ({ subnet_id: fixed.subnet_id!, ip_address: fixed.ip_address! }));
    if (addresses.length === 0) return undefined;
    return {
      type: 'dhcp-host', network_id: networkId, port_id: portId, mac_address: port.mac_address, addresses,
      ...namesOf(network, port, world.settings.dns_domain.replace(/\.$/, '').toLowerCase()),
      options: port.extra_dhcp_opts.filter((option) => option.opt_value != null).map((option) => ({ name: option.opt_name!, value: option.opt_value!, ip_version: option.ip_version ?? 4 })),
    };
  },
};

/** Without DHCP on any subnet there is no server to know the port. */
function hasDhcp(world: World, networkId: string): boolean {
  for (const id of world.subnetsOfNetwork.of(networkId)) if (world.get('subnets', id)!.enable_dhcp) return true;
  return false;
}

/**
 * What the port is called: its name in the cloud's domain, and in that of the network or its own. Names that the rest of the world could
 * have are for who owns the network: on a shared one nobody answers for another's `www.example.com`.
 */
function namesOf(network: Network, port: Port, cloudDomain: string): { hostname: string; names: string[] } {
  const hostname = port.dns_name.endsWith('.') ? port.dns_name.slice(0, port.dns_name.endsWith(`.${cloudDomain}.`) ? -cloudDomain.length - 2 : -1) : port.dns_name;
  const owns = port.project_id === network.project_id;
  if (hostname === '' || (!owns && cloudDomain === '' && hostname.includes('.'))) return { hostname: '', names: [] };
  const domain = ((owns ? port.dns_domain : '') || network.dns_domain).replace(/\.$/, '');
  return { hostname, names: [...(domain === '' ? [] : [`${hostname}.${domain}`]), ...(owns && hostname.includes('.') ? [hostname] : [])] };
}
