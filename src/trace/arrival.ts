/** A packet comes out of a port: an instance, a router's leg, or a service of ours is behind it. */
import type { PortItem } from '#hoststate/port.ts';
import { parseIp } from '#net/ip.ts';
import type { HostIndex } from './host-index.ts';
import { mayHave } from './identity.ts';
import { isMulticast, type Packet } from './packet.ts';
import { throughRouter } from './router.ts';
import type { DeliverStep, Path } from './step.ts';
import { nameText, type Walk } from './walk.ts';

export const METADATA_ADDRESSES: ReadonlySet<string> = new Set(['169.254.169.254', 'fe80::a9fe:a9fe']);

export function arrive(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): Path {
  const leg = index.leg(port.port_id);
  const forIt = packet.destination_mac === port.mac_address || port.allowed_address_pairs.some((pair) => pair.mac_address === packet.destination_mac);
  if (leg && forIt) return throughRouter(walk, index, leg, packet);
  const object = walk.named('port', port.port_id);
  const addressed = forIt || isMulticast(packet);
  const server = port.device_owner === 'network:dhcp' ? index.dhcpServer(port.network_id) : undefined;
  const to: DeliverStep['to'] = leg ? 'router' : !server ? 'instance' : server.metadata && METADATA_ADDRESSES.has(packet.destination_ip) ? 'metadata' : 'dhcp';
  const ip = parseIp(packet.destination_ip);
  const foreign = addressed && to === 'instance' && !isMulticast(packet) && ip && !mayHave(port, ip) ? `; ${packet.destination_ip} is not its address: the guest has to send it on` : '';
  const what = to === 'metadata' ? `the metadata proxy behind ${nameText(object)}` : nameText(object);
  const text = `${addressed ? 'delivered to' : 'a copy reaches'} ${what}${foreign}`;
  return [{ type: 'deliver', host: index.host, object, port_id: port.port_id, to, addressed, packet, text }];
}
