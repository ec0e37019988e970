/** Which instance asks for its metadata: the one whose port has the address, on a network that the asking host serves (N-MD-7). */
import type { World } from '#compile/world.ts';
import type { Server } from '#model/compute.ts';
import type { Config } from '#model/config.ts';
import { port as portResource, type Port } from '#model/networks.ts';
import { formatIp, type Ip, isLinkLocal, macOfEui64, parseIp } from '#net/ip.ts';
import type { MetadataAnswer, MetadataQuestion } from '#protocol/messages.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { instanceSignature } from './signature.ts';

const ports = new Table(portResource);

/** Null when no port of an instance answers to the question, or more than one, or when the host carries neither the router nor the network's DHCP server. */
export type AskingInstance = (world: World, host: string, question: MetadataQuestion) => Promise<MetadataAnswer>;

/** `secret` signs what is told. */
export function askingInstance(reader: Reader, config: Pick<Config, 'nova_metadata_host'>, secret: string): AskingInstance {
  return async (world, host, question) => {
    const networkIds = networksOf(world, host, question);
    const address = parseIp(question.address);
    const port = networkIds.size > 0 && address ? await portAt(reader, [...networkIds], unmapped(address)) : undefined;
    if (!port?.device_owner.startsWith('compute:')) return null;
    // A real Nova knows its servers itself, and compares the project.
    const owner = config.nova_metadata_host === null ? ownerOf(world, port) : { id: port.device_id, project_id: port.project_id };
    return owner ? { instance_id: owner.id, project_id: owner.project_id, signature: instanceSignature(secret, owner.id) } : null;
  };
}

/** The networks that the question is about, if the host carries the router, or the network's DHCP server. */
function networksOf(world: World, host: string, { router_id, network_id }: MetadataQuestion): Set<string> {
  if (network_id !== undefined && router_id === undefined && world.get('dhcp_bindings', `${network_id}/${host}`)) return new Set([network_id]);
  if (router_id === undefined || network_id !== undefined || !world.get('router_bindings', `${router_id}/${host}`)) return new Set();
  const legs = [...world.portsOfRouter.of(router_id)].map((id) => world.get('ports', id)!);
  return new Set(legs.filter((leg) => leg.device_owner !== 'network:router_gateway').map((leg) => leg.network_id));
}

/** The one port that has the address; a link-local one of IPv6 names the port's MAC. */
async function portAt(reader: Reader, networkIds: readonly string[], address: Ip): Promise<Port | undefined> {
  if (!isLinkLocal(address)) {
    const held = await reader.db.selectFrom('ip_allocations').select('port_id').where('ip_address', '=', formatIp(address)).where('network_id', 'in', networkIds).limit(2).execute();
    return held.length === 1 ? ports.get(reader, held[0]!.port_id) : undefined;
  }
  const mac = macOfEui64(address);
  const found = mac === undefined ? [] : await ports.list(reader, { filters: { network_id: networkIds, mac_address: [mac] }, limit: 2 });
  return found.length === 1 ? found[0] : undefined;
}

/** The server whose NIC the port is. What the port says of its device was perhaps written by its owner (OSSA-2013-033). */
function ownerOf(world: World, port: Port): Server | undefined {
  const [id, ...more] = world.serversOfPort.of(port.id);
  return id !== undefined && more.length === 0 ? world.get('servers', id) : undefined;
}

/** HAProxy shows IPv4 as `::ffff:10.0.0.5` where it listens on both. */
function unmapped({ version, value }: Ip): Ip {
  return version === 6 && value >> 32n === 0xffffn ? { version: 4, value: value & 0xffffffffn } : { version, value };
}
