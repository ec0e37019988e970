/** Where the ports of the host's networks are that live on other hosts: nothing without `l2_population`, then table 10 learns it. */
import type { Node } from '../node.ts';
import { boundHost } from '../world.ts';
import { tunnelType } from './tunnel.ts';

export const forward: Node<'forward'> = {
  type: 'forward',
  *all(world, host) {
    if (!world.settings.l2_population) return;
    for (const networkId of world.networksOfHost.of(host)) {
      if (!tunnelType(world, networkId)) continue;
      for (const portId of world.portsOfNetwork.of(networkId)) yield [networkId, portId];
    }
  },
  item(world, host, [networkId = '', portId = '']) {
    const type = tunnelType(world, networkId);
    const port = world.get('ports', portId);
    const at = port?.network_id === networkId ? boundHost(port) : null;
    const remote = at && at !== host ? world.get('hosts', at)?.tunneling_ip : undefined;
    if (!port || !type || !world.settings.l2_population || !remote || !world.presence.has(networkId, host) || !world.get('hosts', host)?.tunneling_ip) return undefined;
    return {
      type: 'forward', network_id: networkId, network_type: type, port_id: portId, mac_address: port.mac_address,
      ip_addresses: port.fixed_ips.map((fixed) => fixed.ip_address!), remote_ip: remote,
    };
  },
};
