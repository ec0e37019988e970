/** A question of the API as the tracer's probe. */
import type { World } from '#compile/world.ts';
import { ApiError } from '#model/errors.ts';
import type { Port } from '#model/networks.ts';
import type { Held } from '#model/resource.ts';
import { protocolNumber } from '#model/security-groups.ts';
import type { traceQuestion } from '#model/traces.ts';
import type { Origin, Probe } from '#trace/probe.ts';

export type Question = Held<typeof traceQuestion>;

/** Throws ApiError: 400 for a question that says too little or too much, 404 for objects that are not there. */
export function probeOf(world: World, question: Question): Probe {
  const from = originOf(world, question);
  const destination_ip = destinationOf(world, question);
  const { source_port, destination_port, icmp_type, icmp_code, source_ip_address, source_mac_address } = question;
  const spoofed = 'port_id' in from && (source_ip_address !== null || source_mac_address !== null);
  return {
    from, destination_ip, size: question.packet_size,
    protocol: protocolNumber(question.protocol, destination_ip.includes(':') ? 'IPv6' : 'IPv4') ?? 0,
    ...(source_port !== null && { source_port }), ...(destination_port !== null && { destination_port }),
    ...(icmp_type !== null && { icmp_type }), ...(icmp_code !== null && { icmp_code }),
    ...(spoofed && { spoofed: { ...(source_mac_address !== null && { source_mac: source_mac_address }), ...(source_ip_address !== null && { source_ip: source_ip_address }) } }),
  };
}

function originOf(world: World, { source_port_id, source_network_id, source_ip_address }: Question): Origin {
  if ((source_port_id === null) === (source_network_id === null)) throw bad('Exactly one of source_port_id and source_network_id must be given.');
  if (source_port_id !== null) return { port_id: portOf(world, source_port_id).id };
  const network = world.get('networks', source_network_id!);
  if (!network) throw new ApiError('NetworkNotFound', { id: source_network_id });
  const physical_network = network['provider:physical_network'];
  if (!physical_network) throw bad(`Network ${network.id} lies on no physical network: nobody outside can send on it.`);
  if (source_ip_address === null) throw bad('source_ip_address must be given with source_network_id: who sends from outside?');
  return { physical_network, segmentation_id: network['provider:segmentation_id'], source_ip: source_ip_address };
}

function destinationOf(world: World, question: Question): string {
  const { destination_port_id, destination_ip_address, source_port_id } = question;
  if ((destination_port_id === null) === (destination_ip_address === null)) throw bad('Exactly one of destination_port_id and destination_ip_address must be given.');
  if (destination_ip_address !== null) return destination_ip_address;
  const versions = versionsOf(source_port_id === null ? undefined : world.get('ports', source_port_id));
  const addresses = portOf(world, destination_port_id!).fixed_ips.map((fixed) => fixed.ip_address!);
  const found = addresses.find((address) => versions.has(address.includes(':') ? 6 : 4)) ?? addresses[0];
  if (found === undefined) throw bad(`Port ${destination_port_id} has no address.`);
  return found;
}

function versionsOf(port: Port | undefined): Set<number> {
  return new Set(port?.fixed_ips.map((fixed) => (fixed.ip_address!.includes(':') ? 6 : 4)));
}

function portOf(world: World, id: string): Port {
  const port = world.get('ports', id);
  if (!port) throw new ApiError('PortNotFound', { id });
  return port;
}

const bad = (reason: string): ApiError => new ApiError('HTTPBadRequest', { reason });
