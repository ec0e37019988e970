/** The segment of each network that has ports on the host. */
import type { Node } from '../node.ts';

export const segment: Node<'segment'> = {
  type: 'segment',
  *all(world, host) {
    for (const network of world.networksOfHost.of(host)) yield [network];
  },
  item(world, host, [networkId = '']) {
    const network = world.get('networks', networkId);
    const local = world.get('local_vlans', `${host}/${networkId}`);
    if (!network || !local || !world.presence.has(networkId, host)) return undefined;
    return {
      type: 'segment',
      network_id: networkId,
      local_vlan: local.number,
      network_type: network['provider:network_type'] ?? 'local',
      physical_network: network['provider:physical_network'],
      segmentation_id: network['provider:segmentation_id'],
      mtu: network.mtu,
      connections_of_removed_rules: world.settings.connections_of_removed_rules,
    };
  },
};
