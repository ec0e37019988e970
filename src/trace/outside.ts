/** A physical network: an ordinary switch that knows where a MAC is, and the world outside behind it. */
import type { HostIndex } from './host-index.ts';
import { isMulticast, type Packet } from './packet.ts';
import type { Path } from './step.ts';
import { switchFrame } from './switching.ts';
import { drop, type Walk } from './walk.ts';

interface Wire {
  readonly network_id: string;
  readonly physical_network: string;
  /** The host that the frame comes from; null when it comes from outside. */
  readonly except: string | null;
}

/** The frame is on the wire: it goes where its MAC is, or everywhere. */
export function fromOutsideTo(walk: Walk, wire: Wire, packet: Packet): Path {
  const object = walk.named('network', wire.network_id);
  const hosts = [...walk.hostsOfNetwork(wire.network_id)].filter((host) => host.host !== wire.except && host.physnet(wire.physical_network));
  const outside = wire.except === null ? [] : [toOutside(walk, wire, packet)];
  if (packet.destination_mac === null) return outside[0] ?? drop(null, object, 'no-neighbour', `${packet.destination_ip} is not behind a port of ours`);
  const known = isMulticast(packet) ? undefined : hosts.find((host) => hasMac(host, wire.network_id, packet.destination_mac!));
  const enter = (host: HostIndex): Path => [
    { type: 'switch', host: host.host, object, text: `${host.host} takes it in from ${wire.physical_network}` },
    ...switchFrame(walk, host, host.segment(wire.network_id)!, packet, 'uplink'),
  ];
  if (known) return enter(known);
  const branches = [...hosts.map(enter), ...outside];
  if (branches.length === 0) return drop(null, object, 'unknown-mac', `nobody on ${wire.physical_network} takes the MAC ${packet.destination_mac}`);
  return branches.length === 1 ? branches[0]! : [{ type: 'fork', host: null, object, text: `${wire.physical_network} floods it: to every host with ports of the network, and outside`, branches }];
}

function toOutside(walk: Walk, wire: Wire, packet: Packet): Path {
  const object = walk.named('network', wire.network_id);
  return [{ type: 'deliver', host: null, object, port_id: null, to: 'outside', addressed: packet.destination_mac === null, packet, text: `leaves the cloud on ${wire.physical_network}` }];
}

function hasMac(index: HostIndex, networkId: string, mac: string): boolean {
  return index.ports(networkId).some((port) => index.isWired(port) && port.mac_address === mac);
}
