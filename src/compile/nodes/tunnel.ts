/** Tunnels to the peers that share a tunnelled network with the host: no network in common, no tunnel. */
import type { Node } from '../node.ts';
import { TUNNEL_TYPES, type World } from '../world.ts';

export const tunnel: Node<'tunnel'> = {
  type: 'tunnel',
  *all(world, host) {
    const seen = new Set<string>();
    for (const networkId of world.networksOfHost.of(host)) {
      const type = tunnelType(world, networkId);
      if (!type) continue;
      for (const peer of world.peers(networkId, host)) {
        const key = `${type}/${peer.tunneling_ip}`;
        if (!peer.tunneling_ip || seen.has(key)) continue;
        seen.add(key);
        yield [type, peer.tunneling_ip];
      }
    }
  },
  item(world, host, [type = '', remoteIp = '']) {
    if (!world.get('hosts', host)?.tunneling_ip) return undefined;
    const [peer] = [...world.hostsOfEndpoint.of(remoteIp)].filter((id) => id !== host && shareNetwork(world, host, id, type)).sort();
    return peer === undefined ? undefined : { type: 'tunnel', network_type: type, host: peer, remote_ip: remoteIp };
  },
};

/** The network's type if it is tunnelled. */
export function tunnelType(world: World, networkId: string): string | undefined {
  const type = world.get('networks', networkId)?.['provider:network_type'];
  return type && TUNNEL_TYPES.has(type) ? type : undefined;
}

function shareNetwork(world: World, a: string, b: string, type: string): boolean {
  for (const networkId of world.networksOfHost.of(a)) {
    if (world.presence.has(networkId, b) && tunnelType(world, networkId) === type) return true;
  }
  return false;
}
