/** The way of a frame on br-int of one host: to a port here, or out by the uplink of its network (docs/design/ovs-pipeline.md, tables 60 to 94). */
import type { PortItem } from '#hoststate/port.ts';
import type { SegmentItem } from '#hoststate/switching.ts';
import { arrive } from './arrival.ts';
import { filter } from './filter.ts';
import { type HostIndex, isRouterLeg } from './host-index.ts';
import { pairMacs } from './identity.ts';
import { isMulticast, type Packet } from './packet.ts';
import type { Path, Step } from './step.ts';
import { toUplink } from './uplink.ts';
import { drop, nameText, type Walk } from './walk.ts';

/** Where a frame came into br-int by. */
export type Entry = { readonly port_id: string } | 'uplink';

/** The frame leaves a port here: filter, then the switch. */
export function fromPort(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): Path {
  const verdict = leave(walk, index, port, packet);
  return 'end' in verdict ? verdict.end : [verdict.pass, ...switchFrame(walk, index, verdict.segment, packet, { port_id: port.port_id })];
}

/** Whether the frame leaves the port at all, whoever it is for. */
export function leave(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): { readonly pass: Step; readonly segment: SegmentItem } | { readonly end: Path } {
  const object = walk.named('port', port.port_id);
  if (!index.isWired(port)) return { end: drop(index.host, object, 'down', `${nameText(object)} is down: nothing leaves it`, isRouterLeg(port) ? [] : [`openstack port set --enable ${port.port_id}`]) };
  const segment = index.segment(port.network_id);
  if (!segment) return { end: drop(index.host, object, 'no-segment', `${index.host} does not hold the network of ${nameText(object)}`) };
  const verdict = filter(walk, index, port, packet, 'egress');
  return 'end' in verdict ? verdict : { ...verdict, segment };
}

/** The frame is past its sender's filter, or has come in by the uplink. */
export function switchFrame(walk: Walk, index: HostIndex, segment: SegmentItem, packet: Packet, from: Entry): Path {
  const ports = index.ports(segment.network_id).filter((port) => index.isWired(port) && (from === 'uplink' || port.port_id !== from.port_id));
  if (isMulticast(packet)) return fork(walk, index, segment, 'a broadcast or multicast goes to every port of the network', [...ports.map((port) => toPort(walk, index, port, packet)), ...beyond(walk, index, segment, packet, from)]);
  const filtered = ports.filter((port) => port.port_security_enabled);
  const owner = filtered.find((port) => port.mac_address === packet.destination_mac);
  if (owner) return toPort(walk, index, owner, packet);
  const open = ports.find((port) => !port.port_security_enabled && port.mac_address === packet.destination_mac);
  const rest = open ? [toPort(walk, index, open, packet)] : unknown(walk, index, segment, packet, from, ports);
  const shared = filtered.filter((port) => packet.destination_mac !== null && pairMacs(port).has(packet.destination_mac)).map((port) => toPort(walk, index, port, packet));
  const branches = [...shared, ...rest];
  if (branches.length === 0) return drop(index.host, walk.named('network', segment.network_id), 'unknown-mac', `no port of the network on ${index.host} has the MAC ${packet.destination_mac}`);
  return fork(walk, index, segment, shared.length > 0 ? `${packet.destination_mac} belongs to allowed address pairs: each of their ports gets a copy` : `no port here has the MAC ${packet.destination_mac ?? 'of somebody outside'}: a copy goes to each unfiltered guest`, branches);
}

/** A MAC that is no port's here: to guests without filter, and on by the uplink. */
function unknown(walk: Walk, index: HostIndex, segment: SegmentItem, packet: Packet, from: Entry, ports: readonly PortItem[]): Path[] {
  const listening = ports.filter((port) => !port.port_security_enabled && !port.device_owner.startsWith('network:'));
  return [...listening.map((port) => toPort(walk, index, port, packet)), ...beyond(walk, index, segment, packet, from)];
}

/** A frame that came in by the uplink does not go back there. */
function beyond(walk: Walk, index: HostIndex, segment: SegmentItem, packet: Packet, from: Entry): Path[] {
  return from === 'uplink' ? [] : [toUplink(walk, index, segment, packet)];
}

function toPort(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): Path {
  const object = walk.named('port', port.port_id);
  const step: Step = { type: 'switch', host: index.host, object, text: `br-int of ${index.host} sends it to ${nameText(object)}` };
  const verdict = filter(walk, index, port, packet, 'ingress');
  return [step, ...('end' in verdict ? verdict.end : [verdict.pass, ...arrive(walk, index, port, packet)])];
}

/** One branch needs no fork. */
function fork(walk: Walk, index: HostIndex, segment: SegmentItem, text: string, branches: readonly Path[]): Path {
  if (branches.length === 1) return branches[0]!;
  return [{ type: 'fork', host: index.host, object: walk.named('network', segment.network_id), text, branches }];
}
