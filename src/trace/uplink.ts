/** Between hosts: tunnels, and physical networks with the world outside on them. */
import type { SegmentItem } from '#hoststate/switching.ts';
import { fromOutsideTo } from './outside.ts';
import type { HostIndex } from './host-index.ts';
import { isMulticast, type Packet } from './packet.ts';
import type { Path } from './step.ts';
import { switchFrame } from './switching.ts';
import { drop, type Walk } from './walk.ts';

/** The frame leaves the host by the uplink of its network. */
export function toUplink(walk: Walk, index: HostIndex, segment: SegmentItem, packet: Packet): Path {
  if (segment.network_type === 'local') return drop(index.host, walk.named('network', segment.network_id), 'unknown-mac', `the network is local to ${index.host}, and no port of it here has the MAC ${packet.destination_mac}`);
  return segment.physical_network === null ? toPeers(walk, index, segment, packet) : toWire(walk, index, segment, segment.physical_network, packet);
}

/** br-tun: to the peer that has the MAC, or to all peers of the network. */
function toPeers(walk: Walk, index: HostIndex, segment: SegmentItem, packet: Packet): Path {
  const object = walk.named('network', segment.network_id);
  const known = isMulticast(packet) ? undefined : index.forwards(segment.network_id).find((forward) => forward.mac_address === packet.destination_mac);
  if (known) return toPeer(walk, index, segment, known.remote_ip, packet);
  const floods = index.floods(segment.network_id);
  if (floods.length === 0) return drop(index.host, object, 'unknown-mac', `no port of the network on ${index.host} has the MAC ${packet.destination_mac}, and no other host has ports of it`);
  const branches = floods.map((flood) => toPeer(walk, index, segment, flood.remote_ip, packet));
  return branches.length === 1 ? branches[0]! : [{ type: 'fork', host: index.host, object, text: `br-tun of ${index.host} sends a copy to each of ${floods.length} peers`, branches }];
}

function toPeer(walk: Walk, index: HostIndex, segment: SegmentItem, remoteIp: string, packet: Packet): Path {
  const object = walk.named('network', segment.network_id);
  const type = segment.network_type;
  const to = index.tunnelTo(type, remoteIp);
  if (to === undefined) return drop(index.host, object, 'no-tunnel', `${index.host} has no ${type} tunnel to ${remoteIp}`);
  const peer = walk.host(to);
  const there = peer?.segment(segment.network_id);
  if (!peer || !there) return drop(to, object, 'no-segment', `${to} does not hold the network`);
  if (!peer.hasTunnelFrom(type, index.host)) return drop(to, object, 'no-tunnel', `${to} has no ${type} tunnel from ${index.host}`);
  return [
    { type: 'tunnel', host: index.host, object, to_host: to, network_type: type, segmentation_id: segment.segmentation_id, text: `${type} tunnel ${segment.segmentation_id} from ${index.host} to ${to} (${remoteIp})` },
    ...switchFrame(walk, peer, there, packet, 'uplink'),
  ];
}

/** The physical bridge and what is behind it: the hosts with ports of the network, and the world outside. */
function toWire(walk: Walk, index: HostIndex, segment: SegmentItem, physicalNetwork: string, packet: Packet): Path {
  const object = walk.named('network', segment.network_id);
  if (!index.physnet(physicalNetwork)) return drop(index.host, object, 'no-physical-network', `${index.host} has no bridge for the physical network ${physicalNetwork}`, [`bridge_mappings: ${physicalNetwork}:BRIDGE in the configuration of ${index.host}`]);
  const tag = segment.network_type === 'vlan' ? `VLAN ${segment.segmentation_id}` : 'untagged';
  return [
    { type: 'wire', host: index.host, object, physical_network: physicalNetwork, segmentation_id: segment.segmentation_id, text: `out of ${index.host} onto ${physicalNetwork}, ${tag}` },
    ...fromOutsideTo(walk, { network_id: segment.network_id, physical_network: physicalNetwork, except: index.host }, packet),
  ];
}
