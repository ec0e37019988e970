/** The peers that a network's broadcasts go to. */
import type { Node } from '../node.ts';
import { tunnelType } from './tunnel.ts';

export const flood: Node<'flood'> = {
  type: 'flood',
  *all(world, host) {
    for (const networkId of world.networksOfHost.of(host)) {
      if (!tunnelType(world, networkId)) continue;
      for (const peer of world.peers(networkId, host)) if (peer.tunneling_ip) yield [networkId, peer.tunneling_ip];
    }
  },
  item(world, host, [networkId = '', remoteIp = '']) {
    const type = tunnelType(world, networkId);
    if (!type || !world.presence.has(networkId, host) || !world.get('hosts', host)?.tunneling_ip) return undefined;
    for (const peer of world.peers(networkId, host)) {
      if (peer.tunneling_ip === remoteIp) return { type: 'flood', network_id: networkId, network_type: type, remote_ip: remoteIp };
    }
    return undefined;
  },
};
