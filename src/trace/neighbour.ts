/** Who answers for an address on a network: what ARP and neighbour discovery would say. */
import type { PortItem } from '#hoststate/port.ts';
import { cidrLast, parseCidr } from '#net/cidr.ts';
import { type Ip, ipBytes, parseIp } from '#net/ip.ts';
import type { HostIndex } from './host-index.ts';
import { mayHave } from './identity.ts';
import { BROADCAST_MAC, multicastMac } from './packet.ts';
import { nameText, type Walk } from './walk.ts';

/** `mac` null is somebody outside. `down` is a port that has the address and does not answer. */
export type Neighbour = { readonly mac: string | null } | { readonly down: PortItem } | 'nobody';

/** The candidates for `address` on the network, seen from `index`: one, or several where guests share an address by allowed pairs. */
export function neighbours(walk: Walk, index: HostIndex, networkId: string, address: string): Neighbour[] {
  const ip = parseIp(address);
  const group = ip && (multicastMac(address, ipBytes(ip)) ?? (walk.topology.subnetsOf(networkId).some(({ cidr }) => isBroadcastOf(cidr, ip)) ? BROADCAST_MAC : undefined));
  if (!ip || group) return [group ? { mac: group } : 'nobody'];
  const sharing: Neighbour[] = [];
  let down: PortItem | undefined;
  for (const host of hearing(walk, index, networkId)) {
    for (const port of host.ports(networkId)) {
      if (port.ip_addresses.includes(address)) {
        if (host.isWired(port)) return [{ mac: port.mac_address }];
        down = port;
      } else if (host.isWired(port) && port.allowed_address_pairs.length > 0 && mayHave(port, ip)) {
        for (const pair of port.allowed_address_pairs) if (pair.ip_address === address || pair.ip_address.startsWith(`${address}/`)) sharing.push({ mac: pair.mac_address });
      }
      const leg = host.leg(port.port_id);
      if (leg && host.isWired(port) && host.router(leg.router_id)?.floatingIps.some((floating) => leg.role === 'gateway' && floating.floating_ip_address === address)) return [{ mac: leg.mac_address }];
    }
  }
  if (sharing.length > 0) return [...new Map(sharing.map((one) => [JSON.stringify(one), one])).values()];
  if (down) return [{ down }];
  const segment = index.segment(networkId);
  return [segment?.physical_network ? { mac: null } : 'nobody'];
}

/** True for the last address of an IPv4 subnet: everybody on it. */
export function isBroadcastOf(text: string, ip: Ip): boolean {
  const cidr = parseCidr(text);
  return cidr !== undefined && cidr.version === 4 && ip.version === 4 && cidr.prefix <= 30 && cidrLast(cidr) === ip.value;
}

/** The hosts that hear the question: a local network does not leave its own. */
function hearing(walk: Walk, index: HostIndex, networkId: string): Iterable<HostIndex> {
  return isLocal(index, networkId) ? [index] : walk.hostsOfNetwork(networkId);
}

/** What to say of an address that nobody answers for. */
export function nobodyText(walk: Walk, index: HostIndex, networkId: string, address: string): string {
  return `nobody on ${nameText(walk.named('network', networkId))} answers for ${address}${isLocal(index, networkId) ? ': the network is local to each host, and ports of it on other hosts are out of reach' : ''}`;
}

function isLocal(index: HostIndex, networkId: string): boolean {
  return index.segment(networkId)?.network_type === 'local';
}
