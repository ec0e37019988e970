/**
 * The legs of a router: its ports on networks. Which there are and where they lead changes only under the lock of
 * their router. Locks are taken in one order: routers, then networks, each sorted; who reads a router to use it (a
 * floating IP) locks it before any network too.
 */
import { ApiError } from '#model/errors.ts';
import { type Port, port, type Subnet, subnet } from '#model/networks.ts';
import { type Router, ROUTER_PORT_OWNERS, router } from '#model/routers.ts';
import { cidrContains, cidrOverlaps, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { lockObject } from './collection.ts';
import { lockNetwork } from './ipam.ts';

const ports = new Table(port);
const subnets = new Table(subnet);

export const GATEWAY = 'network:router_gateway';
export const INTERFACE = 'network:router_interface';

/** Holds a router against its deletion and other changes of its legs until the transaction ends: the lock that `Collection.change` takes. */
export const lockRouter = (tx: Tx, id: string): Promise<void> => lockObject(tx, router, id);

/** Locks networks in the order that all transactions keep. */
export async function lockNetworks(tx: Tx, ids: readonly string[]): Promise<void> {
  for (const id of [...new Set(ids)].sort()) await lockNetwork(tx, id);
}

/** A router's ports; of several routers all of theirs. */
export function legsOf(reader: Reader, ...routerIds: string[]): Promise<Port[]> {
  return ports.list(reader, { filters: { device_id: routerIds, device_owner: [...ROUTER_PORT_OWNERS] }, sort: [{ key: 'id', dir: 'asc' }] });
}

/** Where the legs lead directly: the subnets of their addresses, and of a gateway all subnets of its network. */
export async function reachedSubnets(reader: Reader, legs: readonly Port[]): Promise<Subnet[]> {
  const external = legs.find((leg) => leg.device_owner === GATEWAY)?.network_id;
  return [
    ...await subnetsOfAddresses(reader, legs.filter((leg) => leg.device_owner !== GATEWAY)),
    ...(external !== undefined ? await subnets.list(reader, { filters: { network_id: [external] } }) : []),
  ];
}

/** The subnets in which the legs have an address. */
export function subnetsOfAddresses(reader: Reader, legs: readonly Port[]): Promise<Subnet[]> {
  return subnets.getMany(reader, subnetIds(legs));
}

/** Refuses subnets that a router has already, or whose addresses it could not tell from what its legs lead to. Throws ApiError BadRequest. */
export async function requireDistinct(reader: Reader, legs: readonly Port[], added: readonly Subnet[]): Promise<void> {
  const held = new Set(subnetIds(legs));
  const twice = added.find((one) => held.has(one.id));
  if (twice) throw bad(`Router already has a port on subnet ${twice.id}`);
  for (const other of await reachedSubnets(reader, legs)) {
    for (const one of added) {
      if (cidrOverlaps(parseCidr(one.cidr)!, parseCidr(other.cidr)!)) throw bad(`Cidr ${one.cidr} of subnet ${one.id} overlaps with cidr ${other.cidr} of subnet ${other.id}`);
    }
  }
}

/** Refuses to take from a router the subnets that its floating IPs lead to (Neutron's order: these first), or the next hops of its routes. */
export async function requireUnused(tx: Tx, current: Router, removed: readonly Subnet[]): Promise<void> {
  for (const { id: subnet_id, cidr } of removed) {
    if (await leadsInto(tx, current.id, subnet_id)) throw new ApiError('RouterInterfaceInUseByFloatingIP', { id: current.id, subnet_id });
    const prefix = parseCidr(cidr)!;
    if (current.routes.some(({ nexthop }) => cidrContains(prefix, parseIp(nexthop!)!))) throw new ApiError('RouterInterfaceInUseByRoute', { id: current.id, subnet_id });
  }
}

/** Refuses to take a router's gateway away while it serves floating IPs. Throws ApiError RouterExternalGatewayInUseByFloatingIp. */
export async function requireNoFloatingIps(tx: Tx, id: string, network_id: string): Promise<void> {
  const served = await tx.db.selectFrom('floatingips').select('id').where('router_id', '=', id).limit(1).executeTakeFirst();
  if (served) throw new ApiError('RouterExternalGatewayInUseByFloatingIp', { id, network_id });
}

export function bad(reason: string): ApiError {
  return new ApiError('BadRequest', { resource: 'router', reason });
}

/** True when a floating IP of the router, or one of its port forwardings, ends on the subnet. */
async function leadsInto(tx: Tx, routerId: string, subnetId: string): Promise<boolean> {
  const floating = await tx.db.selectFrom('floatingips as f').innerJoin('ip_allocations as a', (join) => join.onRef('a.port_id', '=', 'f.port_id').onRef('a.ip_address', '=', 'f.fixed_ip_address'))
    .select('f.id').where('f.router_id', '=', routerId).where('a.subnet_id', '=', subnetId).limit(1).executeTakeFirst();
  if (floating) return true;
  const forwarded = await tx.db.selectFrom('floatingips as f').innerJoin('port_forwardings as p', 'p.floatingip_id', 'f.id')
    .innerJoin('ip_allocations as a', (join) => join.onRef('a.port_id', '=', 'p.internal_port_id').onRef('a.ip_address', '=', 'p.internal_ip_address'))
    .select('f.id').where('f.router_id', '=', routerId).where('a.subnet_id', '=', subnetId).limit(1).executeTakeFirst();
  return forwarded !== undefined;
}

function subnetIds(legs: readonly Port[]): string[] {
  return legs.flatMap((leg) => leg.fixed_ips.map((ip) => ip.subnet_id!));
}
