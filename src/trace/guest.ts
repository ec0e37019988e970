/** A guest sends: with which of its addresses, and to whom on its network, as DHCP and router advertisements have told it. */
import type { PortItem } from '#hoststate/port.ts';
import { type Cidr, cidrContains, parseCidr } from '#net/cidr.ts';
import { type Ip, isLinkLocal, parseIp } from '#net/ip.ts';
import { METADATA_ADDRESSES } from './arrival.ts';
import type { HostIndex } from './host-index.ts';
import { neighbours, nobodyText } from './neighbour.ts';
import type { Packet } from './packet.ts';
import type { Path, PortStep } from './step.ts';
import { fromPort, leave } from './switching.ts';
import type { TracedSubnet } from './topology.ts';
import { drop, nameText, type Walk } from './walk.ts';

/** The packet leaves the guest of `port`; its MACs are filled in. */
export function fromGuest(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): Path {
  const object = walk.named('port', port.port_id);
  const network = walk.named('network', port.network_id);
  const hop = nextHop(walk, index, port, packet);
  if ('problem' in hop) return drop(index.host, object, 'no-route', `${nameText(object)}: ${hop.problem}`, hop.repair);
  const sends = (frame: Packet): PortStep => ({ type: 'port', host: index.host, object, packet: frame, text: `${nameText(object)} sends it ${hop.address === packet.destination_ip ? 'to its neighbour' : `by ${hop.address}`}` });
  const paths = neighbours(walk, index, port.network_id, hop.address).map((neighbour): Path => {
    // What its own filter drops it drops for everybody: whether there is a neighbour must not be told by that (docs/trace.md).
    const leaving = neighbour === 'nobody' || 'down' in neighbour ? leave(walk, index, port, packet) : undefined;
    if (leaving && 'end' in leaving) return [sends(packet), ...leaving.end];
    if (neighbour === 'nobody') return drop(index.host, network, 'no-neighbour', `${nobodyText(walk, index, port.network_id, hop.address)}${hop.address === packet.destination_ip ? '' : `; it is the way to ${packet.destination_ip}`}`, hop.address === packet.destination_ip ? [] : [`openstack router add subnet ROUTER SUBNET (a router that has ${hop.address})`]);
    if ('down' in neighbour) return drop(index.host, walk.named('port', neighbour.down.port_id), 'down', `${nameText(walk.named('port', neighbour.down.port_id))}, which has ${hop.address}, is down`, [`openstack port set --enable ${neighbour.down.port_id}`]);
    const frame = { ...packet, destination_mac: neighbour.mac };
    return [sends(frame), ...fromPort(walk, index, port, frame)];
  });
  return paths.length === 1 ? paths[0]! : [{ type: 'fork', host: index.host, object: network, text: `${hop.address} is an allowed address of several ports: whoever has it answers`, branches: paths }];
}

/** The address of a port that a guest would use for `destination`: on the same subnet if there is one. */
export function sourceAddress(walk: Walk, port: PortItem, destination: Ip): string | undefined {
  const own = port.ip_addresses.filter((text) => parseIp(text)!.version === destination.version);
  const subnets = prefixesOf(walk, port);
  return own.find((text) => subnets.some(({ cidr }) => cidrContains(cidr, parseIp(text)!) && cidrContains(cidr, destination)))
    ?? own.find((text) => subnets.some(({ cidr, subnet }) => subnet.gateway_ip !== null && cidrContains(cidr, parseIp(text)!))) ?? own[0];
}

type Hop = { readonly address: string } | { readonly problem: string; readonly repair: readonly string[] };

/** The destination itself on the link, else a host route of the sender's subnet, else its gateway. */
function nextHop(walk: Walk, index: HostIndex, port: PortItem, packet: Packet): Hop {
  const destination = parseIp(packet.destination_ip)!;
  if (METADATA_ADDRESSES.has(packet.destination_ip) && destination.version === 4) return metadataHop(walk, port, packet);
  const subnets = prefixesOf(walk, port).filter(({ cidr }) => cidr.version === destination.version);
  const own = port.ip_addresses.map((text) => parseIp(text)!);
  const onLink = (cidr: Cidr): boolean => destination.version === 4 || own.some((ip) => cidrContains(cidr, ip));
  if (isLinkLocal(destination) || isMulticastAddress(destination) || subnets.some(({ cidr }) => onLink(cidr) && cidrContains(cidr, destination))) return { address: packet.destination_ip };
  const source = parseIp(packet.source_ip)!;
  const from = subnets.find(({ cidr }) => cidrContains(cidr, source)) ?? subnets.find(({ cidr }) => own.some((ip) => cidrContains(cidr, ip)));
  if (!from) return { problem: `it has no IPv${destination.version} subnet on its network, and so no way to ${packet.destination_ip}`, repair: [] };
  const route = from.subnet.host_routes.map((one) => ({ ...one, cidr: parseCidr(one.destination) })).filter(({ cidr }) => cidr && cidrContains(cidr, destination)).sort((a, b) => b.cidr!.prefix - a.cidr!.prefix)[0];
  const address = route?.nexthop ?? from.subnet.gateway_ip;
  return address ? { address } : { problem: `its subnet ${from.subnet.cidr} has no gateway, and so no way to ${packet.destination_ip}`, repair: [`openstack subnet set --gateway ADDRESS SUBNET`] };
}

/** 169.254.169.254 is reached by the route that DHCP gave: to the DHCP server, or to the gateway. */
function metadataHop(walk: Walk, port: PortItem, packet: Packet): Hop {
  for (const host of walk.hostsOfNetwork(port.network_id)) {
    const server = host.dhcpServer(port.network_id);
    const subnet = server?.subnets.find(({ cidr }) => cidrContains(parseCidr(cidr)!, parseIp(packet.source_ip)!));
    if (!server || !subnet) continue;
    const address = subnet.metadata === 'gateway' ? subnet.gateway_ip : subnet.metadata === 'server' ? subnet.dhcp_servers[0] : null;
    if (address) return { address };
  }
  return { problem: 'nobody serves metadata on its network', repair: ['enable_isolated_metadata: true in the configuration, or a router on the subnet'] };
}

function prefixesOf(walk: Walk, port: PortItem): { cidr: Cidr; subnet: TracedSubnet }[] {
  return walk.topology.subnetsOf(port.network_id).flatMap((subnet) => {
    const cidr = parseCidr(subnet.cidr);
    return cidr ? [{ cidr, subnet }] : [];
  });
}

const isMulticastAddress = (ip: Ip): boolean => (ip.version === 6 ? ip.value >> 120n === 0xffn : ip.value === 0xffffffffn || ip.value >> 28n === 0xen);
