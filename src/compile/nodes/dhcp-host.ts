/** The clients that the host's DHCP servers answer: every port of the network with an address of a DHCP subnet. */
import type { Node } from '../node.ts';

export const dhcpHost: Node<'dhcp-host'> = {
  type: 'dhcp-host',
  *all(world, host) {
    for (const networkId of world.networksOfHost.of(host)) {
      if (!world.get('dhcp_bindings', `${networkId}/${host}`)) continue;
      for (const id of world.portsOfNetwork.of(networkId)) yield [networkId, id];
    }
  },
  item(world, host, [networkId = '', portId = '']) {
    const port = world.get('ports', portId);
    if (port?.network_id !== networkId || port.device_owner === 'network:dhcp' || !world.get('dhcp_bindings', `${networkId}/${host}`) || !world.presence.has(networkId, host)) return undefined;
    const served = port.fixed_ips.filter((fixed) => world.get('subnets', fixed.subnet_id!)?.enable_dhcp);
    const addresses = served.map((fixed) => ({ subnet_id: fixed.subnet_id!, ip_address: fixed.ip_address! }));
    if (addresses.length === 0) return undefined;
    return {
      type: 'dhcp-host', network_id: networkId, port_id: portId, mac_address: port.mac_address, addresses,
      hostname: port.dns_name || `host-${addresses[0]!.ip_address.replaceAll(/[.:]+/g, '-')}`,
      options: port.extra_dhcp_opts.filter((option) => option.opt_value != null).map((option) => ({ name: option.opt_name!, value: option.opt_value!, ip_version: option.ip_version ?? 4 })),
    };
  },
};
