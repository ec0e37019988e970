/**
 * The packet tracer: why a packet arrives, or does not (DESIGN §8). A pure function of the HostStates of all hosts and a
 * packet. It knows what the cloud promises, not how flows and rules are written: an independent witness, which the
 * reachability oracle holds against real packets.
 */
import { parseIp } from '#net/ip.ts';
import { fromGuest, sourceAddress } from './guest.ts';
import { neighbours } from './neighbour.ts';
import { fromOutsideTo } from './outside.ts';
import { answerTo, hasPorts, ICMP, ICMPV6, isIcmp, type Packet } from './packet.ts';
import type { Origin, Probe } from './probe.ts';
import { fromRouter } from './router.ts';
import { type DeliverStep, type DropStep, endsOf, type Path, type RouteStep, type Step, wayTo } from './step.ts';
import type { Topology } from './topology.ts';
import { type Connection, drop, nameText, Walk, zoneOf } from './walk.ts';
import { networkOnWire } from './wire-network.ts';

export interface Trace {
  readonly verdict: 'deliver' | 'drop';
  readonly path: Path;
  /** Who gets the packet: those it was sent to, and copies. */
  readonly deliveries: readonly DeliverStep[];
  readonly drops: readonly DropStep[];
  /** The way of the answer, when the packet arrives; an answer has none. */
  readonly reply: Trace | null;
}

const EPHEMERAL = 40000;

/** Follows `probe` and, where it arrives, the answer to it. Costs one pass over the items of each host that it comes to. */
export function trace(topology: Topology, probe: Probe): Trace {
  const walk = new Walk(topology);
  const there = result(start(walk, probe.from, probe));
  const arrived = there.deliveries.find((end) => end.addressed);
  return { ...there, reply: arrived && there.path[0] !== arrived ? result(answer(walk, arrived, wayTo(there.path, arrived))) : null };
}

function result(path: Path): Trace {
  const ends = [...endsOf(path)];
  const deliveries = ends.filter((end) => end.type === 'deliver');
  return { verdict: deliveries.some((end) => end.addressed) ? 'deliver' : 'drop', path, deliveries, drops: ends.filter((end) => end.type === 'drop'), reply: null };
}

function start(walk: Walk, from: Origin, probe: Probe): Path {
  const destination = parseIp(probe.destination_ip);
  if (!destination) return drop(null, null, 'no-route', `${probe.destination_ip} is no address`);
  if (!('port_id' in from)) return fromWire(walk, from, packetOf(probe, '00:00:00:00:00:00', from.source_ip));
  const index = walk.hostOfPort(from.port_id);
  const port = index?.port(from.port_id);
  const object = walk.named('port', from.port_id);
  if (!index || !port) return drop(null, object, 'unbound', `${nameText(object)} is not bound to a host: no instance uses it, or its binding failed`);
  if (port.ip_addresses.includes(probe.destination_ip)) return [{ type: 'deliver', host: index.host, object, port_id: port.port_id, to: 'instance', addressed: true, packet: packetOf(probe, port.mac_address, probe.destination_ip), text: `${probe.destination_ip} is its own address: the packet never leaves the guest` }];
  const source = probe.spoofed?.source_ip ?? sourceAddress(walk, port, destination);
  if (source === undefined) return drop(index.host, object, 'no-route', `${nameText(object)} has no IPv${destination.version} address`);
  return fromGuest(walk, index, port, packetOf(probe, probe.spoofed?.source_mac ?? port.mac_address, source));
}

/** Somebody outside finds whoever has the address on the network of that wire. */
function fromWire(walk: Walk, from: Exclude<Origin, { port_id: string }>, packet: Packet): Path {
  const found = networkOnWire(walk, from.physical_network, from.segmentation_id);
  if (!found) return drop(null, null, 'no-segment', `no host holds a network on ${from.physical_network}${from.segmentation_id === null ? ', untagged' : ` with VLAN ${from.segmentation_id}`}`);
  const network = walk.named('network', found.network_id);
  const [neighbour = 'nobody'] = neighbours(walk, found.index, found.network_id, packet.destination_ip);
  if (neighbour !== 'nobody' && 'down' in neighbour) return drop(null, walk.named('port', neighbour.down.port_id), 'down', `${nameText(walk.named('port', neighbour.down.port_id))}, which has ${packet.destination_ip}, is down`);
  if (neighbour === 'nobody' || neighbour.mac === null) return drop(null, network, 'no-neighbour', `no port on ${nameText(network)} and no floating IP answers for ${packet.destination_ip}`);
  const frame = { ...packet, destination_mac: neighbour.mac };
  const step: Step = { type: 'port', host: null, object: network, packet: frame, text: `from outside onto ${from.physical_network}, to ${frame.destination_mac}` };
  return [step, ...fromOutsideTo(walk, { network_id: found.network_id, physical_network: from.physical_network, except: null }, frame)];
}

/** What the receiver sends back, with what the hosts remember of the way there. */
function answer(before: Walk, arrived: DeliverStep, way: readonly Step[]): Path {
  const walk = new Walk(before.topology, connectionOf(before, way), before);
  const packet = { ...answerTo(arrived.packet), source_mac: arrived.packet.destination_mac ?? '00:00:00:00:00:00', destination_mac: arrived.packet.source_mac };
  if (arrived.to === 'outside') {
    const wire = way.findLast((step) => step.type === 'wire')!;
    const network = wire.object!.id;
    const segmentation_id = [...walk.hostsOfNetwork(network)].find((host) => host.segment(network)?.network_type === 'vlan') ? wire.segmentation_id : null;
    return fromWire(walk, { physical_network: wire.physical_network, segmentation_id, source_ip: packet.source_ip }, packet);
  }
  const index = walk.host(arrived.host!)!;
  const port = index.port(arrived.port_id!)!;
  const leg = index.leg(port.port_id);
  const traced = leg && (arrived.to === 'router' || arrived.to === 'metadata') ? index.router(leg.router_id) : undefined;
  return traced ? fromRouter(walk, index, traced, { ...packet, source_mac: leg!.mac_address }) : fromGuest(walk, index, port, { ...packet, source_mac: port.mac_address });
}

function connectionOf(walk: Walk, way: readonly Step[]): Connection {
  const zones = new Map<string, Packet[]>();
  let packet: Packet | undefined;
  for (const step of way) {
    if (step.type === 'port') packet = step.packet;
    else if (step.type === 'route') packet = step.after;
    else if (step.type === 'filter' && step.remembered && packet) {
      const zone = zoneOf(step.host!, walk.host(step.host!)!.port(step.port_id)!.network_id);
      zones.set(zone, [...(zones.get(zone) ?? []), packet]);
    }
  }
  return { zones, routers: new Map(way.filter((step): step is RouteStep => step.type === 'route').map((step) => [step.router_id, step])) };
}

function packetOf(probe: Probe, source_mac: string, source_ip: string): Packet {
  const protocol = probe.protocol === ICMP && source_ip.includes(':') ? ICMPV6 : probe.protocol;
  const ported = hasPorts(protocol);
  return {
    source_mac, destination_mac: null, source_ip, destination_ip: probe.destination_ip, protocol,
    source_port: ported ? (probe.source_port ?? EPHEMERAL) : null,
    destination_port: ported ? (probe.destination_port ?? null) : null,
    icmp_type: isIcmp(protocol) ? (probe.icmp_type ?? (protocol === ICMP ? 8 : 128)) : null,
    icmp_code: isIcmp(protocol) ? (probe.icmp_code ?? 0) : null,
    size: probe.size ?? 64,
  };
}
